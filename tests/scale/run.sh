#!/bin/sh
# tests/scale/run.sh [PROGRAM] [TIMES] -- the demo's chain a thousand times over: 2.4 million people, 47
# million sales (TIMES, or TONGDIAN_SCALE, for fewer).
#
# Every count must be the demo's times TIMES, to the cent; the memory of the import stays bounded; `check`
# finds nothing; the server starts and answers.  Times are printed and never judged.  Needs 45 MB of disk
# per time.  The last line is `N passed, N failed[, N skipped]`.
set -u
cd "$(dirname "$0")/../.." || exit 1
program=${1:-${TONGDIAN:-build/src/app/tongdian}}
times=${2:-${TONGDIAN_SCALE:-1000}}
memory_promise_mb=1024 # what the import holds of its own, whatever the files hold
work=$(mktemp -d "${TMPDIR:-/tmp}/tongdian-scale-XXXXXX")
data=$work/data
child=
finish() {
    [ -z "$child" ] || kill "$child" 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
export TONGDIAN_LOG_LEVEL=error
unset TONGDIAN_DATA TONGDIAN_DB

passed=0 failed=0
verdict() { # STATUS WHAT
    if [ "$1" = 0 ]; then passed=$((passed + 1)) && echo "ok    $2"; else
        failed=$((failed + 1))
        echo "FAIL  $2"
        tail -n 12 "$work/out" "$work/err" 2>/dev/null
    fi
}
# timed WHAT COMMAND...: what it prints is in $work/out; says how long it took.
timed() {
    what=$1 began=$(date +%s)
    shift
    "$@" >"$work/out" 2>"$work/err" &
    child=$! # so that a stop ends it too
    wait "$child"
    status=$?
    child=
    verdict $status "$what ($(($(date +%s) - began)) s)"
}
counts() { # NAME VALUE: what the report says of it
    has=$(grep -oE "\"$1\":-?[0-9]+" "$work/out" | head -n 1 | cut -d: -f2)
    [ "$has" = "$2" ]
    verdict $? "$1: $has, published times $times is $2"
}

free_mb=$(df -Pm "$work" | awk 'NR == 2 { print $4 }')
if [ "$free_mb" -lt $((times * 45)) ]; then
    echo "$times times the demo needs $((times * 45)) MB in $work, and there are $free_mb: see TMPDIR, TONGDIAN_SCALE"
    echo "0 passed, 0 failed, 1 skipped"
    exit 77
fi

# Kilobytes that the import has of its own, the most of all looks.
watch_memory() {
    most=0
    while kill -0 "$child" 2>/dev/null; do
        now=$(awk '/^RssAnon/ { print $2 }' "/proc/$child/status" 2>/dev/null)
        [ "${now:-0}" -le "$most" ] || most=$now
        sleep 1
    done
    wait "$child"
}

timed "makes the data of $times chains" tests/scale/multiply.sh data/completejourney "$work/files" "$times"
began=$(date +%s)
"$program" import --map maps/completejourney.yaml "$work/files" --data "$data" >"$work/out" 2>"$work/err" &
child=$!
watch_memory
status=$?
child=
verdict $status "imports it ($(($(date +%s) - began)) s)"
tail -n 2 "$work/out"
rm -rf "$work/files"
[ $((most / 1024)) -le $memory_promise_mb ]
verdict $? "in at most $memory_promise_mb MB of its own: $((most / 1024)) MB"

timed 'the overview' "$program" report overview --json --data "$data"
counts people $((2379 * times))
counts stores 293
counts sales $((47243 * times))
counts net_fen $((23393524 * times))
counts retail_discount_fen $((4018091 * times))
counts coupon_discount_fen $((135671 * times))
counts match_discount_fen $((24210 * times))
counts targeted $((1559 * times))
counts redeemers $((410 * times))
counts redemptions $((2102 * times))
timed 'the campaign report' "$program" report campaigns --data "$data"
for rate in '16.56 %' '6.50 %' '5.92 %'; do
    grep -qF " $rate " "$work/out"
    verdict $? "the report says $rate"
done
timed 'check finds nothing' "$program" check --data "$data"

"$program" key add scale --role owner --data "$data" >"$work/key" 2>/dev/null
timed 'the server starts and answers' node tests/scale/ask.mjs "$program" "$data" "$(tail -n 1 "$work/key")"
cat "$work/out"
du -sm "$data"/tongdian.db "$data"/events
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
