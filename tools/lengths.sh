#!/bin/sh
# tools/lengths.sh -- functions of at most 60 lines and 4 levels, files but tests of at most 800 lines.
# Usage: lengths.sh [--accept]
# What is longer must stand in tools/lengths.txt with its size: that list may only shrink.  A size that
# grew, and a row that is no longer needed, both fail.  --accept writes the list anew.
# clang-format puts a function's braces alone into column 0 and a level into four columns: that is read.
set -eu
cd "$(dirname "$0")/.."
found=$(mktemp)
trap 'rm -f "$found"' EXIT
find src tools tests bench -name node_modules -prune -o -name '*.[ch]' -print 2>/dev/null | LC_ALL=C sort | xargs awk '
    function finish_file() { if (file !~ /^$|_test\.c$/ && lines > 800) print "file", file, "-", lines }
    FNR == 1 { finish_file(); file = FILENAME; inside = 0 }
    { lines = FNR }
    /^[A-Za-z_].*\(/ { name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name)
                       if (name == "TEST" || name ~ /_TEST$/) { name = $0; sub(/^[A-Z_]*\(/, "", name); sub(/[,)].*/, "", name) } }
    /^{/ { inside = 1; from = FNR; deepest = 0 }
    inside && /^ +(if|for|while|switch|do)[ ({]/ { match($0, /^ +/); if (RLENGTH / 4 > deepest) deepest = RLENGTH / 4 }
    /^}/ && inside {
        inside = 0
        if (FNR - from + 1 > 60) print "function", file, name, FNR - from + 1
        if (deepest > 4) print "nesting", file, name, deepest
    }
    END { finish_file() }' >"$found"
list=tools/lengths.txt
if [ "${1:-}" = --accept ]; then
    cp "$found" "$list"
    exit 0
fi
awk '
    FILENAME == ARGV[1] { allowed[$1 " " $2 " " $3] = $4; next }
    { key = $1 " " $2 " " $3; seen[key] = 1 }
    !(key in allowed) { print "FAIL " key ": " $4 " is too much"; next }
    $4 > allowed[key] { print "FAIL " key ": grew from " allowed[key] " to " $4 }
    $4 < allowed[key] { print "FAIL " key ": shrank from " allowed[key] " to " $4 ": say so in tools/lengths.txt" }
    END { for (key in allowed) if (!(key in seen)) print "FAIL " key ": fits now: take it out of tools/lengths.txt" }
' "$list" "$found" | LC_ALL=C sort | tee "$found.out"
bad=0
[ ! -s "$found.out" ] || bad=1
rm -f "$found.out"
exit "$bad"
