#!/bin/sh
# tests/fuzz.sh -- one fuzzer: first every input that is kept, then SECONDS of new ones.
# Usage: fuzz.sh PROGRAM SECONDS NEW_CORPUS KEPT_CORPUS FINDINGS_PREFIX
# NEW_CORPUS grows; KEPT_CORPUS (in the repository) is only read.  A finding's input is left in the
# file that the log names: mend the fault, then keep the input in tests/corpus/.
set -eu
program=$1 seconds=$2 new=$3 kept=$4 findings=$5
name=$(basename "$program" _fuzz)
if ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 "$program" \
    -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -max_len=65536 -print_final_stats=1 \
    -artifact_prefix="$findings$name-" "$new" "$kept"; then
    echo "1 passed, 0 failed"
else
    echo "FAIL $name"
    echo "0 passed, 1 failed"
    exit 1
fi
