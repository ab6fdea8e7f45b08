#!/bin/sh
# tools/licensecheck.sh -- that nothing GPL-only is linked, and that docs/dependencies.md names it all.
# Usage: licensecheck.sh PROGRAM.  Asks the dynamic linker which libraries are loaded and Debian which
# package each is of; its row in docs/dependencies.md must name a licence that the package's copyright
# file knows, and that lets a program under Apache-2.0 link it.
set -eu
cd "$(dirname "$0")/.."
table=docs/dependencies.md
bad=0
complain() {
    echo "FAIL $1"
    bad=1
}
packages=$(ldd "$1" | awk '$3 ~ /^\// { print $3 }' | while read -r library; do
    real=$(readlink -f "$library")
    # /lib is /usr/lib, and packages know their files by either name
    dpkg-query -S "$real" 2>/dev/null || dpkg-query -S "${real#/usr}" 2>/dev/null || echo "unknown: $real"
done | sed 's/:.*//' | sort -u)
[ -n "$packages" ] || complain "ldd says nothing of $1"
for package in $packages; do
    licence=$(awk -F ' *[|] *' -v p="$package" '$2 == p { print $3 }' "$table")
    copyright=/usr/share/doc/$package/copyright
    if [ -z "$licence" ]; then
        complain "$package is linked and has no row in $table"
        continue
    fi
    case $licence in
    *LGPL*) words='LGPL|Lesser General|Library General' ;;
    GPL*exception*) words='exception|EXCEPTION' ;;
    *GPL*)
        complain "$package is under $licence: a program under Apache-2.0 may not link it"
        continue
        ;;
    Apache*) words=Apache ;;
    *'public domain'*) words='[Pp]ublic.[Dd]omain' ;;
    *) words=$(printf '%s' "$licence" | sed 's/[-0-9. ].*//') ;;
    esac
    # Debian writes MIT also as Expat, and some texts carry no name: then a sentence that only they have.
    case $words in
    MIT) words='MIT|Expat|[Pp]ermission is hereby granted' ;;
    BSD) words='BSD|[Rr]edistribution and use' ;;
    PostgreSQL) words='PostgreSQL|REGENTS|Regents' ;;
    OpenLDAP) words='OpenLDAP' ;;
    esac
    grep -qE "$words" "$copyright" 2>/dev/null ||
        complain "$package: $table says $licence, its copyright file does not know that"
done
[ "$bad" = 0 ]
