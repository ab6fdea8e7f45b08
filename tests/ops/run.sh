#!/bin/sh
# tests/ops/run.sh -- the command line as an operator uses it, beside a server or alone, and the files that it leaves.
# Usage: tests/ops/run.sh [BINARY].  Needs node, sqlite3, curl, openssl, flock.  With TONGDIAN_TEST_PG (a
# postgres:// URL, see ../../run) also what differs on PostgreSQL.
set -eu
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
export TONGDIAN="${1:-${TONGDIAN:-$root/build/src/app/tongdian}}"
case $TONGDIAN in /*) ;; *) TONGDIAN=$OLDPWD/$TONGDIAN ;; esac
tap=$(mktemp)
trap 'rm -f "$tap"' EXIT
ok=0 bad=0
for file in *.test.mjs; do
    echo "# $file"
    # A server that a failed test left running would keep node waiting for ever.
    timeout 300 node --test --test-reporter=tap "$file" >"$tap" 2>&1 </dev/null || :
    # Passed tests are a line each; of a failed one, all that it said.
    awk '/^ *ok / { print; next } /^ *not ok/ { bad = 1; sub(/not ok/, "FAIL") } bad { print } /^ *\.\.\.$/ { bad = 0 }' "$tap"
    p=$(sed -n 's/^# pass //p' "$tap")
    f=$(sed -n 's/^# \(fail\|cancelled\) //p' "$tap" | awk '{ n += $1 } END { print n + 0 }')
    if [ -z "$p" ]; then
        cat "$tap"
        p=0 f=1
    fi
    ok=$((ok + p)) bad=$((bad + f))
done
echo "$ok passed, $bad failed"
[ "$bad" = 0 ]
