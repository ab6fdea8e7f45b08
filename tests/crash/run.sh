#!/bin/sh
# tests/crash/run.sh BINARY LOSSY_DIR [ROUNDS] [--seed N] [--seeds N] [--only WORD] [--keep]
#
# LOSSY_DIR is where liblossy.so and lossy-disk were built; ../crash/crash-sql lies beside it.
set -eu
here=$(dirname "$0")
[ $# -ge 2 ] || {
    sed -n '2s/^# /Usage: /p' "$0" >&2
    exit 2
}
binary=$1 lossy=$2 rounds=20
shift 2
case ${1:-} in
[0-9]*)
    rounds=$1
    shift
    ;;
esac
exec node "$here/crash.mjs" "$binary" "$lossy" --rounds "$rounds" "$@"
