#!/bin/sh
# tests/behaviour/run.sh [PROGRAM] [WORD] -- questions with the answers that others expect, over the wire.
# WORD: only the cases whose file or name contains it.  Ends with `N passed, N failed, N skipped`.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
TONGDIAN=$(realpath "${1:-${TONGDIAN:-$here/../../build/src/app/tongdian}}")
export TONGDIAN
exec node "$here/suite.mjs" "${2:-}"
