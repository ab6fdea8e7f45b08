#!/bin/sh
# tests/http/run.sh -- black-box tests of the real program over loopback.
# Usage: tests/http/run.sh [sqlite|postgres] [FILE.test.mjs...]; see ../../run for the environment.
set -eu
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
export TONGDIAN_HTTP_DB="${1:-sqlite}"
[ $# = 0 ] || shift
export TONGDIAN="${TONGDIAN:-$root/build/src/app/tongdian}"
build=${TONGDIAN_BUILD:-$root/build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TONGDIAN_OPENAPI="$work/openapi.json" TONGDIAN_HTTP_SEEN="$work/seen"
# shellcheck disable=SC2046 # no blanks in these names
"$build/tools/apigen" --openapi "$TONGDIAN_OPENAPI" "$root/src/request/common.api.yaml" \
    $(find "$root/src" -name "*.api.yaml" ! -name common.api.yaml | LC_ALL=C sort)
: >"$TONGDIAN_HTTP_SEEN"

ok=0 bad=0
all=$#
run_file() { # FILE WHERE
    echo "# $1 on $2"
    # A server that a failed test left running would keep node waiting for ever.
    timeout 300 node --test --test-reporter=tap "$1" >"$work/tap" 2>&1 </dev/null || :
    # Passed tests are a line each; of a failed one, all that it said.
    awk '/^ *ok / { print; next } /^ *not ok/ { bad = 1 } bad { print } /^ *\.\.\.$/ { bad = 0 }' "$work/tap"
    p=$(sed -n 's/^# pass //p' "$work/tap") f=$(sed -n 's/^# \(fail\|cancelled\) //p' "$work/tap" | awk '{ n += $1 } END { print n + 0 }')
    if [ -z "$p" ]; then
        cat "$work/tap"
        p=0 f=1
    fi
    ok=$((ok + p)) bad=$((bad + f))
}
[ "$all" -gt 0 ] || set -- *.test.mjs
for file in "$@"; do run_file "$file" "$TONGDIAN_HTTP_DB"; done
# What little data there is stays in memory; here it goes to files, which are merged while it comes.
if [ "$all" = 0 ] && [ "$TONGDIAN_HTTP_DB" = sqlite ]; then
    export TONGDIAN_ENGINE_ROWS=256
    for name in attributes cohorts explain funnel funnel_ways odd paths people properties query query_calendar timeline; do
        run_file "$name.test.mjs" "small files"
    done
fi
if [ "$all" = 0 ]; then
    if node operations.mjs "$TONGDIAN_OPENAPI" "$TONGDIAN_HTTP_SEEN"; then ok=$((ok + 1)); else bad=$((bad + 1)); fi
fi
echo "$ok passed, $bad failed"
[ "$bad" = 0 ]
