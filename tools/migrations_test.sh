#!/bin/sh
# tools/migrations_test.sh -- what tools/migrations_embed.sh refuses, with file and line.
# Usage: migrations_test.sh SOURCE_ROOT
set -eu
embed=$1/tools/migrations_embed.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# refused NAME TEXT WANTED: embedding a file NAME with that text fails and says WANTED.
refused() {
    printf '%s\n' "$2" >"$work/$1"
    if said=$("$embed" "$work/out.c" X "$work/$1" 2>&1); then
        said="it was taken"
    fi
    case $said in
    *"$3"*) passed=$((passed + 1)) ;;
    *)
        failed=$((failed + 1))
        echo "FAIL $1: wanted '$3', got '$said'"
        ;;
    esac
    rm -f "$work/$1"
}

refused 1_coupon_x.sql 'SELECT 1;' 'is called NNNN_room_what.sql'
refused 0001_coupon.sql 'SELECT 1;' 'is called NNNN_room_what.sql'
refused 0001_coupon_x.sql 'SELECT 1;' 'needs a line "-- leads_to: "'
refused 0001_coupon_x.sql '-- leads_to: 0123' 'needs a line "-- leads_to: "'
refused 0001_coupon_x.sql '-- leads_to: 0123456789abcdef
-- engine: oracle
SELECT 1;' ':2: the engine is sqlite, postgres or both'
refused 0001_coupon_x.sql '-- leads_to: 0123456789abcdef
-- engine: sqlite
SELECT 1;' 'has nothing for one of the engines'
if "$embed" "$work/out.c" X && grep -q 'X_COUNT' "$work/out.c"; then
    passed=$((passed + 1))
else
    failed=$((failed + 1))
    echo "FAIL no migrations make an empty table"
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
