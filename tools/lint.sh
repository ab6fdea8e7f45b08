#!/bin/sh
# tools/lint.sh -- every check of the source, each one line; ends with `N passed, N failed`.
# Usage: lint.sh LONG: 1 = also clang-tidy.  Uses TONGDIAN_BUILD, where the program was built.
set -eu
cd "$(dirname "$0")/.."
long=${1:-0}
build=${TONGDIAN_BUILD:-build}
passed=0
failed=0
out=$(mktemp)
trap 'rm -f "$out"' EXIT

check() {
    name=$1
    shift
    if "$@" >"$out" 2>&1; then
        echo "ok $name"
        passed=$((passed + 1))
    else
        echo "FAIL $name"
        # A build says much: what counts are its complaints.
        if grep -qE 'error:|FAIL|warning:' "$out"; then grep -E 'error:|FAIL|warning:' "$out" | head -n 60; else tail -n 40 "$out"; fi
        failed=$((failed + 1))
    fi
}

sources() {
    find src tests tools bench -name node_modules -prune -o \( -name '*.[ch]' -o -name '*.cpp' \) -print 2>/dev/null | LC_ALL=C sort
}

layout() { sources | xargs clang-format --dry-run -Werror; }

scripts() {
    {
        echo run
        echo .ci/run
        find tools tests bench deploy -name node_modules -prune -o -name '*.sh' -print 2>/dev/null
    } | xargs shellcheck --severity=warning
}

# The build by gcc has warnings as errors too: that is what TONGDIAN_BUILD is.
clang_build() {
    [ -e "$build/clang/build.ninja" ] ||
        CC=clang CXX=clang++ meson setup "$build/clang" . --buildtype=debugoptimized || return 1
    ninja -C "$build/clang"
}

# What was compiled, but tests (their macros count as nesting) and what was generated.
tidy() {
    sed -n 's/^ *"file": "\(.*\)",*$/\1/p' "$build/clang/compile_commands.json" | LC_ALL=C sort -u |
        grep -E '/(src|tools)/[^ ]*\.c$' | grep -vE '_test\.c$|_fuzz\.c$|_testkit\.c$|/src/src/|\.(api|sql)\.c$' |
        (cd "$build/clang" && xargs -P "$(nproc)" -n 8 clang-tidy --quiet -p .)
}

web() { (cd web && npm run --silent lint); }

check layout layout
check scripts scripts
check words tools/words.sh
check lengths tools/lengths.sh
check layers tools/layercheck.sh "$build"
check licences tools/licensecheck.sh "$build/src/app/tongdian"
check 'warnings of clang' clang_build
[ "$long" != 1 ] || check clang-tidy tidy
[ ! -d web/node_modules/eslint ] || check web web
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
