#!/bin/sh
# tests/arm/run.sh -- the engine's plain C on ARM: built for it, run by qemu, with the same answers and the same bytes.
#
# What is built: base, events and engine, as far as they need no library; the tests of kernels, parts, scans and
# questions, which compare with slow obvious models; and bytes.c, whose output must be that of this machine.
set -eu
cd "$(dirname "$0")/../.."
out=${TONGDIAN_BUILD:-build}/arm
cross=aarch64-linux-gnu-gcc
machine="qemu-aarch64 -L /usr/aarch64-linux-gnu"
if ! command -v "$cross" >/dev/null || ! command -v qemu-aarch64 >/dev/null; then
    echo "no compiler for ARM, or no qemu: tools/setup.sh arm"
    echo "0 passed, 0 failed, 1 skipped"
    exit 77
fi

base="arena base clock err file file_map hash log pages rand str"
events="crc32c event_again event_build event_code event_rules siphash"
engine="engine_forge engine_testkit merge merge_items merge_plan $(cd src/engine && for file in */*.c; do
    case $file in *_test.c | *_fuzz.c | core/kernels_avx*.c) ;; *) echo "${file%.c}" ;; esac
done)"
tests="core/cell_sums core/crew core/kernels core/order core/tally part/ids part/part part/part_active part/rows
    scan/items scan/scan scan/walk ask/funnel ask/lifecycle ask/path ask/retention ask/segment ask/session
    ask/touch ask/trend ask/trend_hours"

# A source and its object per line.
sources() {
    for name in $base; do echo "src/base/$name.c base_$name.o"; done
    for name in $events; do echo "src/events/$name.c events_$name.o"; done
    for name in $engine; do echo "src/engine/$name.c engine_${name##*/}.o"; done
    for name in $tests; do echo "src/engine/${name}_test.c test_${name##*/}.o"; done
    echo "src/base/test_main.c main_tests.o"
    echo "tests/arm/bytes.c main_bytes.o"
    echo "tests/arm/random.c random.o"
}

# build FOLDER COMPILER: FOLDER/tests and FOLDER/bytes.  What is not reached is left out, and with it what
# would need a library.
build() {
    dir=$1
    compiler=$2
    rm -rf "$dir"
    mkdir -p "$dir"
    sources | xargs -P "$(nproc)" -n 2 sh -c 'dir=$1 compiler=$2 source=$3 object=$4
        exec "$compiler" -std=gnu17 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Werror -Wno-missing-field-initializers \
            -pthread -ffunction-sections -fdata-sections -Isrc -c "$source" -o "$dir/$object"' sh "$dir" "$compiler" || return 1
    "$compiler" -pthread "$dir"/base_*.o "$dir"/events_*.o "$dir"/engine_*.o "$dir"/random.o "$dir"/test_*.o \
        "$dir"/main_tests.o -Wl,--gc-sections -lm -o "$dir/tests" || return 1
    "$compiler" -pthread "$dir"/base_*.o "$dir"/events_*.o "$dir"/engine_*.o "$dir"/random.o \
        "$dir"/main_bytes.o -Wl,--gc-sections -o "$dir/bytes"
}

passed=0 failed=0
count() {
    if [ "$2" = 0 ]; then
        passed=$((passed + 1))
    else
        echo "FAIL $1"
        failed=$((failed + 1))
    fi
}

build "$out" "$cross"
# shellcheck disable=SC2086 # words
said=$($machine "$out/tests" 2>&1) || :
printf '%s\n' "$said" | tail -n 20
counted=$(printf '%s\n' "$said" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed.*/\1 \2/p')
# shellcheck disable=SC2086 # two numbers
set -- ${counted:-0 1}
passed=$1 failed=$2

# shellcheck disable=SC2086 # words
$machine "$out/bytes" >"$out/bytes.arm"
"${TONGDIAN_BUILD:-build}/tests/arm_bytes" >"$out/bytes.here"
status=0
diff "$out/bytes.here" "$out/bytes.arm" || status=1
[ -s "$out/bytes.here" ] || status=1
count "the same rows are the same bytes on ARM" "$status"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
