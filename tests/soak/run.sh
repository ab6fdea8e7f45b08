#!/bin/sh
# tests/soak/run.sh -- many requests over many connections, every one answered; see soak.mjs.
# Short: 60,000 requests each over 128, 256 and 1,000 connections; long: a million each.
set -eu
cd "$(dirname "$0")"
requests=60000
[ "${TONGDIAN_LONG:-0}" = 0 ] || requests=1000000
passed=0 failed=0
# shellcheck disable=SC3045 # Debian's sh knows -n
ulimit -n 8192 2>/dev/null || :
for connections in 128 256 1000; do
    if node soak.mjs "$TONGDIAN_BUILD/tests/soak" "$connections" "$requests"; then
        passed=$((passed + 1))
    else
        echo "FAIL $requests requests over $connections connections"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
