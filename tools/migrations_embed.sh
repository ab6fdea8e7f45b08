#!/bin/sh
# tools/migrations_embed.sh -- turns migration files into a C table of SchemaMigration (db/db_migrate.h).
#
#   migrations_embed.sh OUT.c NAME [FILE...]
#
# OUT.c defines `const SchemaMigration NAME[]` and `const size_t NAME_COUNT`.  A FILE is called
# NNNN_room_what.sql; in it, a line "-- leads_to: 16 hex digits" is needed, and lines "-- engine: sqlite",
# "-- engine: postgres", "-- engine: both" say for whom what follows is (at first: both).
set -eu
[ $# -ge 2 ] || { sed -n 's/^#   //p' "$0" >&2; exit 2; }
out=$1 name=$2
shift 2
for file in "$@"; do
    base=$(basename "$file" .sql)
    case $base in
    [0-9][0-9][0-9][0-9]_[a-z]*_?*) ;;
    *) echo "$file: a migration is called NNNN_room_what.sql" >&2; exit 1 ;;
    esac
done
{
    echo '/* Made by tools/migrations_embed.sh: do not edit. */'
    echo '#include "db/db_migrate.h"'
    echo
    echo "extern const SchemaMigration ${name}[];"
    echo "extern const size_t ${name}_COUNT;"
    echo "const SchemaMigration ${name}[] = {"
    for file in "$@"; do echo "$file"; done | LC_ALL=C sort | while read -r file; do
        [ -n "$file" ] || continue
        awk -v base="$(basename "$file" .sql)" -v file="$file" '
            function quoted(s) {
                gsub(/\\/, "&&", s)
                gsub(/"/, "\\\\&", s)
                return "        \"" s "\\n\"\n"
            }
            /^-- leads_to:/ { leads = $3; next }
            /^-- engine:/ {
                engine = $3
                if (engine != "sqlite" && engine != "postgres" && engine != "both") {
                    print file ":" NR ": the engine is sqlite, postgres or both" > "/dev/stderr"
                    failed = 1
                    exit 1
                }
                next
            }
            /^[ \t]*--/ || /^[ \t]*$/ { next }
            engine != "postgres" { sqlite = sqlite quoted($0) }
            engine != "sqlite" { postgres = postgres quoted($0) }
            END {
                if (failed) exit 1
                if (length(leads) != 16 || leads !~ /^[0-9a-f]+$/) {
                    print file ": needs a line \"-- leads_to: \" with the checksum that the refusal names" > "/dev/stderr"
                    exit 1
                }
                if (sqlite == "" || postgres == "") {
                    print file ": has nothing for one of the engines" > "/dev/stderr"
                    exit 1
                }
                split(base, part, "_")
                printf "    {.number = %d,\n     .name = \"%s\",\n     .room = \"%s\",\n", part[1] + 0, base, part[2]
                printf "     .sqlite =\n%s,\n     .postgres =\n%s,\n     .leads_to = \"%s\"},\n", sqlite, postgres, leads
            }' "$file"
    done
    echo '    {0}};'
    echo "const size_t ${name}_COUNT = sizeof $name / sizeof ${name}[0] - 1;"
} >"$out.tmp"
mv "$out.tmp" "$out"
