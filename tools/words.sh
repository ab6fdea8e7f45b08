#!/bin/sh
# tools/words.sh -- words and calls that have no place in the repository.
# The patterns are written so that they do not find themselves.
set -eu
cd "$(dirname "$0")/.."
files=$(mktemp)
trap 'rm -f "$files"' EXIT
git ls-files -co --exclude-standard 2>/dev/null >"$files" || :
[ -s "$files" ] || find . -name node_modules -prune -o -name dist -prune -o -path ./build -prune -o -type f -print >"$files"
grep -vE '\.(gz|png|svg|woff2?|golden)$|^(\./)?(data|LICENSE|build|tests/corpus)' "$files" >"$files.text" || :
bad=0
# look WHAT PATTERN FILES-PATTERN: every hit is a failure
look() {
    hits=$(grep -E "$3" "$files.text" | xargs -d '\n' grep -nIE "$2" /dev/null 2>/dev/null | cut -c1-160 || :)
    [ -n "$hits" ] || return 0
    printf '%s\n' "$hits" | sed "s/^/FAIL $1: /"
    bad=1
}
look 'unfinished' '\b(T[O]DO|F[I]XME|H[A]CK)\b' '.'
look 'unfinished' '\b(n[o]t implemented|u[n]implemented|f[o]r now|d[u]mmy|i[n] a real (system|product))\b' '.'
look 'a path or host of one machine' '/w[o]rk/(main|shared|steering)|r[e]gistry\.npmjs|d[e]b\.debian\.org|r[e]gistry\.npmmirror' '.'
look 'an unbounded call' '\b(strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|atof|gets|alloca)\(' '(^|/)src/.*\.[ch]$'
look 'a call that base replaces' '\b(strlen|strdup|time|rand|srand|localtime|gmtime)\(' '(^|/)src/(db|http|events|request|jobs|rules|modules|app)/.*[^t]\.c$'
look 'an assertion of another kind' '\bassert\(' '(^|/)src/.*\.[ch]$'
look 'floating point near money' '^[^*]*\b(double|float)\b' '(^|/)src/(base/money|modules/(coupon|order|points|tier)/).*\.[ch]$'
rm -f "$files.text"
exit "$bad"
