#!/bin/sh
# tools/sqlgen_test.sh -- sqlgen against its golden output and one refused example per rule.
# Usage: sqlgen_test.sh SQLGEN SOURCE_ROOT [--accept]        --accept rewrites the golden files.
set -eu
sqlgen=$1 here=$2/tools/sqlgen_test accept=${3:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
complain() {
    echo "FAIL $1"
    failed=$((failed + 1))
}

"$sqlgen" "$here/coupon.sql" "$work/coupon.sql.h" "$work/coupon.sql.c"
for file in coupon.sql.h coupon.sql.c; do
    [ -z "$accept" ] || cp "$work/$file" "$here/$file.golden"
    diff -u "$here/$file.golden" "$work/$file" || complain "golden $file"
done

# One file per case, its expectation in NNN.want.
awk -v dir="$work" '
    /^#/ && !/^###/ { next }
    /^@T=/ { tables = substr($0, 4); next }
    /^###/ {
        base = sprintf("%s/%03d", dir, ++n)
        system("mkdir " base)
        print substr($0, 5) > (base "/want")
        next
    }
    { if (substr($0, 1, 2) == "@T") $0 = tables substr($0, 3); print > (base "/room.sql") }
' "$here/refused.txt"

cases=0
for dir in "$work"/[0-9]*; do
    cases=$((cases + 1))
    want=$(cat "$dir/want")
    line=${want%% *} message=${want#* }
    code=0
    "$sqlgen" "$dir/room.sql" "$dir/h" "$dir/c" 2>"$dir/err" || code=$?
    [ "$code" = 1 ] || complain "\"$message\" ended with $code"
    [ ! -e "$dir/h" ] && [ ! -e "$dir/c" ] || complain "\"$message\" wrote output"
    if ! grep -qF "room.sql:$line: " "$dir/err" || ! grep -qF -- "$message" "$dir/err"; then
        complain "want line $line \"$message\", got: $(cat "$dir/err")"
    fi
done
[ "$cases" -ge 90 ] || complain "only $cases refused cases were read"
echo "$((cases > failed ? cases - failed : 0)) passed, $failed failed"
[ "$failed" = 0 ]
