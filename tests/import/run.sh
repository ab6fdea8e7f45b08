#!/bin/sh
# tests/import/run.sh [PROGRAM] -- the import, its report and its export, as a user meets them.
#
# The demo's data must give every published count, on SQLite and (with TONGDIAN_TEST_PG, the URL of a server
# where databases may be made) on PostgreSQL; importing twice changes nothing; a killed import goes on
# and ends in the same state.  Prints ok/FAIL lines and `N passed, N failed[, N skipped]`.
set -u
cd "$(dirname "$0")/../.." || exit 1
program=${1:-${TONGDIAN:-build/src/app/tongdian}}
map=maps/completejourney.yaml source=data/completejourney
work=$(mktemp -d "${TMPDIR:-/tmp}/tongdian-import-XXXXXX")
server=
finish() {
    [ -z "$server" ] || kill "$server" 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT
export TONGDIAN_LOG_LEVEL=error
unset TONGDIAN_DATA TONGDIAN_DB

passed=0 failed=0 skipped=0
ok() { passed=$((passed + 1)) && echo "ok    $1"; }
bad() { failed=$((failed + 1)) && echo "FAIL  $1"; }
# expect LABEL COMMAND...: the command must succeed; what it prints is in $work/out.
expect() {
    label=$1
    shift
    if "$@" >"$work/out" 2>"$work/err"; then ok "$label"; else
        bad "$label"
        tail -n 12 "$work/out" "$work/err"
    fi
}
# says LABEL TEXT: the last command printed TEXT.
says() {
    if grep -qF -- "$2" "$work/out"; then ok "$1"; else
        bad "$1: it does not say \"$2\""
        tail -n 12 "$work/out"
    fi
}
# refuses LABEL TEXT COMMAND...: the command must fail and say TEXT.
refuses() {
    label=$1 text=$2
    shift 2
    if "$@" >"$work/out" 2>&1; then bad "$label: it succeeded"; else says "$label" "$text"; fi
}
same() { if [ "$2" = "$3" ]; then ok "$1"; else bad "$1: $2 is not $3"; fi; }

# ---- the demo's data on one database; $1 = name, $2 = options that choose the database -------------------

# Everything that an import makes, without the numbers that the house gives.
state() {
    data=$1
    shift
    for what in overview campaigns stores; do "$program" report $what --json --data "$data" "$@"; done
    "$program" export orders --data "$data" --out "$work/orders.csv" "$@" 2>/dev/null
    cut -d, -f2-4,6- "$work/orders.csv" | sort
    cut -d, -f5 "$work/orders.csv" | sort | uniq -c | awk '{print $1}' | sort -n
    "$program" export redemptions --data "$data" "$@" | cut -d, -f3,4,6,8-10 | sort
    "$program" export events --data "$data" "$@" | cut -d, -f4,5 | grep -o '^[a-zA-Z ]*,[a-zA-Z ]*' | sort | uniq -c
}

# A run that is killed after a while; success when it was still running.
killed_after() {
    seconds=$1 data=$2
    shift 2
    "$program" import --map $map $source --data "$data" "$@" >/dev/null 2>&1 &
    pid=$!
    sleep "$seconds"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
}

on_database() {
    name=$1 options=$2 killed_options=$3 pauses=$4
    # shellcheck disable=SC2086 # options are words
    {
        expect "$name: the demo reproduces every count" "$program" demo --once --data "$work/$name" $options
        says "$name: and says so" 'All 21 counts are exact'
        expect "$name: reports campaigns" "$program" report campaigns --data "$work/$name" $options
        for rate in '16.56 %' '6.50 %' '5.92 %'; do says "$name: the report says $rate" " $rate "; done
        expect "$name: check finds nothing" "$program" check --data "$work/$name" $options
        state "$work/$name" $options >"$work/$name.once"
        expect "$name: imports a second time" "$program" import --map $map $source --json --data "$work/$name" $options
        same "$name: nothing is new, changed or rejected" \
            "$(grep -oE '"(new|changed|rejected)":[1-9]' "$work/out" | wc -l)" 0
        same "$name: everything is there" "$(grep -oE '"unchanged":[0-9]+' "$work/out" | tr '\n' ' ')" \
            '"unchanged":293 "unchanged":92331 "unchanged":4737 "unchanged":47243 "unchanged":27 "unchanged":6589 "unchanged":1197 "unchanged":2102 '
        state "$work/$name" $options >"$work/$name.twice"
        expect "$name: the second import changed nothing" cmp "$work/$name.once" "$work/$name.twice"

        for pause in $pauses; do killed_after "$pause" "$work/$name-killed" $killed_options; done
        expect "$name: goes on after kill -9" "$program" demo --once --data "$work/$name-killed" $killed_options
        state "$work/$name-killed" $killed_options >"$work/$name.killed"
        expect "$name: and ends in the same state" diff "$work/$name.once" "$work/$name.killed"
        expect "$name: check finds nothing there" "$program" check --data "$work/$name-killed" $killed_options
    }
}

on_database sqlite '' '' '0.7 0.9 0.8 1.1'

if [ -n "${TONGDIAN_TEST_PG:-}" ] && command -v psql >/dev/null; then
    server_url=${TONGDIAN_TEST_PG%/*}
    for db in import_once_$$ import_killed_$$; do
        psql -q "$TONGDIAN_TEST_PG" -c "DROP DATABASE IF EXISTS $db" -c "CREATE DATABASE $db" >/dev/null 2>&1
    done
    on_database postgres "--db $server_url/import_once_$$" "--db $server_url/import_killed_$$" '6'
    for db in import_once_$$ import_killed_$$; do
        psql -q "$TONGDIAN_TEST_PG" -c "DROP DATABASE IF EXISTS $db" >/dev/null 2>&1
    done
else
    skipped=$((skipped + 1))
    echo "skip  postgres: TONGDIAN_TEST_PG is not set"
fi

# ---- a run that was interrupted says so, and its summary is whole -------------------------------------------

for pause in 0.9 1.2 1.6 0.6 2.0; do
    rm -rf "$work/part" "$work/part.key"
    killed_after $pause "$work/part"
    "$program" import --map $map $source --json --data "$work/part" >"$work/out" 2>/dev/null
    grep -q '"resumed":true' "$work/out" && break
done
says "an interrupted import goes on" '"resumed":true'
same "its summary counts what came before" \
    "$(grep -oE '"(new|changed|unchanged)":[0-9]+' "$work/out" | cut -d: -f2 | awk '{s += $1} END {print s}')" 154519

# ---- beside a running server --------------------------------------------------------------------------------

"$program" serve --data "$work/sqlite" --listen 127.0.0.1:0 >/dev/null 2>&1 &
server=$!
sleep 1.5
expect "report works beside a running server" "$program" report campaigns --data "$work/sqlite"
expect "export works beside a running server" "$program" export people --data "$work/sqlite"
same "every line of every order is exported once" \
    "$(tail -n +2 "$work/orders.csv" | cut -d, -f1,2 | sort -u | wc -l) $(tail -n +2 "$work/orders.csv" | wc -l)" '75000 75000'
weeks='"from": "2017-01-01", "to": "2017-12-31", "window_s": 604800'
steps='{"of": "\"Coupon Claimed\""}, {"of": "\"Coupon Redeemed\""}, {"of": "\"Order Completed\""}'
echo "{\"funnel\": {$weeks, \"steps\": [$steps]}}" >"$work/question"
expect "a question is answered beside a running server" \
    "$program" query --json "$work/question" --table --data "$work/sqlite"
same "the README's funnel" "$(awk 'NR > 1 && NR < 5 {printf "%s ", $1}' "$work/out")" '409 176 126 '
refuses "export of events says to stop the server" "stop it first" "$program" export events --data "$work/sqlite"
refuses "import says to stop the server" "stop it first" "$program" import --map $map $source --data "$work/sqlite"
kill "$server" && wait "$server" 2>/dev/null
server=

# ---- a till's export with mistakes --------------------------------------------------------------------------

mkdir "$work/till" "$work/gbk"
cat >"$work/till.yaml" <<'MAP'
version: 1
name: Till
currency: CNY
exponent: 2
zone: Asia/Shanghai
files:
  - file: members.csv
    target: people
    fields: {phone: 手机, name: 姓名}
  - file: lines.csv
    target: orders
    group_by: 单号
    fields:
      number: 单号
      placed_at: 时间
      store: 门店
      phone: 手机
    lines: {sku: 条码, quantity: 数量, sales: 实收}
MAP
printf '手机,姓名\n13800138000,李雷\n12345,不对\n13900139000,韩梅梅\n' >"$work/till/members.csv"
printf '单号,时间,门店,手机,条码,数量,实收\nA1,2026-01-02 10:00:00,S1,13800138000,6901,2,19.80\nA1,2026-01-02 10:00:00,S1,13800138000,6902,1,5.00\nA2,2026-01-02 11:00:00,S1,,6901,1,abc\nA3,2026-01-03 09:00:00,S2,13700137000,6901,1,9.90\n' >"$work/till/lines.csv"
for f in members lines; do iconv -f UTF-8 -t GB18030 "$work/till/$f.csv" >"$work/gbk/$f.csv"; done

expect "a dry run reads everything" "$program" import --map "$work/till.yaml" "$work/till" --dry-run --data "$work/shop"
says "and says what is wrong" '2 rows were rejected'
expect "and makes no data folder" test ! -e "$work/shop"
expect "good rows go in, though others are bad" "$program" import --map "$work/till.yaml" "$work/gbk" --data "$work/shop"
same "the last line says so" "$(tail -n 1 "$work/out")" "2 rows were rejected: $work/shop.rejects.csv says where and why."
same "the rejects file names line and column" "$(cut -d, -f1-3 "$work/shop.rejects.csv" | tail -n +2 | tr '\n' ' ')" \
    'members.csv,3,手机 lines.csv,4,实收 '
expect "a report in JSON" "$program" report --json --data "$work/shop"
says "money is exact" '"net_fen":3470,'
says "who bought without being a member is one now" '"people":3,'
expect "UTF-8 gives the same" "$program" import --map "$work/till.yaml" "$work/till" --json --data "$work/shop"
same "so nothing is new" "$(grep -oE '"(new|changed)":[1-9]' "$work/out" | wc -l)" 0
expect "full numbers stay inside" sh -c "! '$program' export people --data '$work/shop' | grep -q 13800138000"

refuses "another currency is refused" "import into a folder of its own" "$program" import --map $map $source --data "$work/shop"
refuses "a missing map says what a map is" "import-map.md" "$program" import --map nowhere.yaml $source --data "$work/x"
refuses "a missing folder says so" "no folder" "$program" import --map $map nowhere --data "$work/x"
refuses "a missing file is named" "members.csv" "$program" import --map "$work/till.yaml" $source --data "$work/x"
sed 's/sku: 条码/skuu: 条码/' "$work/till.yaml" >"$work/wrong.yaml"
refuses "a wrong map names the line" "did you mean" "$program" import --map "$work/wrong.yaml" "$work/till" --data "$work/x"
refuses "an unknown option is named" "does not know --fast" "$program" import --fast --map $map $source --data "$work/x"
refuses "no data folder says what to do" "tongdian demo" "$program" report --data "$work/none"

if [ "$skipped" = 0 ]; then echo "$passed passed, $failed failed"; else echo "$passed passed, $failed failed, $skipped skipped"; fi
[ "$failed" = 0 ]
