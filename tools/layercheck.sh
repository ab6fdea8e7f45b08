#!/bin/sh
# tools/layercheck.sh -- reads the object files: who calls whom, and who knows what.
# Usage: layercheck.sh BUILD.  The include folders keep layers apart while compiling; this is the second
# opinion, on what was linked.  Ranks: base; db, http, events; engine; request; jobs; rules; the rooms by the
# lines of src/modules/RANKS; app.  A layer may use lower ranks only, never another of its own rank.
set -eu
cd "$(dirname "$0")/.."
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# layer rank
{
    echo 'base 0'
    printf '%s 1\n' db http events
    echo 'engine 2'
    echo 'request 3'
    echo 'jobs 4'
    echo 'rules 5'
    awk '!/^#/ && NF { n++; for (i = 1; i <= NF; i++) print $i, 9 + n }' src/modules/RANKS
    echo 'app 99'
} >"$work/ranks"

# layer object symbol, once for what is defined and once for what is used
symbols() {
    for archive in "$build"/src/*/lib*.a "$build"/src/modules/*/lib*.a; do
        layer=$(basename "$(dirname "$archive")")
        nm -A "$1" "$archive" 2>/dev/null | awk -v layer="$layer" '
            { n = split($1, part, /[:\/]/); print layer, part[n - 1], $NF }'
    done
    for object in "$build"/src/app/tongdian.p/*.o; do
        nm "$1" "$object" | awk -v object="$(basename "$object")" '{ print "app", object, $NF }'
    done
}
symbols --defined-only | awk '{ print $1, $3 }' | sort -u >"$work/defined"
symbols --undefined-only | sed 's/@.*//' | sort -u >"$work/used"
[ -s "$work/used" ] || {
    echo "FAIL no object files in $build: build first"
    exit 1
}

# Upward or sideways: a symbol that no layer below defines and another one does.
awk '
    FILENAME == ARGV[1] { rank[$1] = $2; next }
    FILENAME == ARGV[2] { where[$2] = where[$2] " " $1; next }
    {
        n = split(where[$3], layers, " ")
        if (!($1 in rank)) { print "FAIL " $1 " stands in no rank"; next }
        fine = n == 0
        for (i = 1; i <= n; i++)
            if (layers[i] == $1 || rank[layers[i]] < rank[$1]) fine = 1
        if (!fine) print "FAIL " $1 ": " $2 " uses " $3 " of" where[$3]
    }' "$work/ranks" "$work/defined" "$work/used" >"$work/found"

# What | where alone it may be used (layer/object, as regular expressions).
doors() {
    cat <<'LIST'
sqlite3_.*                                     | db/db_sqlite.*
PQ[a-z].*                                      | db/db_postgres.*
MHD_.*                                         | http/.*
(in|de)flate.*                                 | http/.*, intake/.*
EVP_.*|RAND_.*                                 | base/crypto.c.o, app/tls_authority.c.o
crypto_(pwhash|generichash|auth|hash_sha256).*|sodium_.*|randombytes_.* | base/.*, audit/audit.c.o
time|gettimeofday|clock_gettime|clock|localtime.*|gmtime.*|mktime  | base/clock.c.o, events/.*, engine/.*, jobs/.*, app/tls_authority.c.o
malloc|calloc|realloc|free|posix_memalign|strdup                   | base/.*, db/.*, http/.*, events/.*, engine/.*, request/.*, jobs/.*, intake/.*, app/.*
open|open64|fopen|fopen64|creat|opendir        | base/.*, db/.*, http/.*, events/.*, intake/.*, app/.*
socket|connect|bind|listen|accept.*|send|recv  | http/.*, app/.*
pthread_create                                 | db/.*, http/.*, events/.*, engine/.*, request/.*, jobs/.*, app/.*
getenv|secure_getenv                           | app/.*
exit|_exit|system|popen|execv.*|fork           | app/.*
strlen                                         | base/.*
strcpy|strcat|strncpy|strncat|sprintf|vsprintf|strtok.*|atoi|atol|atof|strtod|gets|rand|random|srand|alloca |
LIST
}
doors | while IFS='|' read -r line; do
    what=$(printf '%s' "$line" | sed 's/ *|[^|]*$//; s/ *$//')
    where=$(printf '%s' "$line" | sed 's/.*|//; s/^ *//; s/, /|/g; s/ *$//')
    awk -v what="^($what)\$" -v where="^($where)\$" '
        $3 ~ what && (where == "^()$" || $1 "/" $2 !~ where) { print "FAIL " $1 ": " $2 " uses " $3 }' "$work/used"
done >>"$work/found"

# What is built for newer processors runs only when it is chosen: nothing of it may run at the start.
for object in "$build"/src/engine/libengine_*.a.p/*.o; do
    if readelf -SW "$object" | grep -qE '\.(init_array|ctors)'; then
        echo "FAIL engine: $(basename "$object") has code that runs at the start"
    fi
done >>"$work/found"

# What a room includes must stand on a line above its own; foreign headers have one home each.
for file in src/modules/*/*.[ch]; do
    room=$(basename "$(dirname "$file")")
    sed -n 's/^#include "modules\/\([a-z]*\)\/.*/\1/p' "$file" | sort -u | while read -r other; do
        awk -v a="$room" -v b="$other" -v f="$file" '
            { rank[$1] = $2 }
            END { if (a != b && !(rank[b] < rank[a])) print "FAIL " f " includes the room " b ", which is not below" }' "$work/ranks"
    done
done >>"$work/found"
# The rooms of the engine: each includes those before it in this list, those of one line not each other; the store that
# stands above them all has no room of its own.
printf '%s\n' 'core 1' 'part 2' 'scan 3' 'names 4' 'ask 4' >"$work/engine"
grep -rnoE '#include "engine/[a-z]+/' src/engine --include='*.[ch]' | grep -vE '_(test|fuzz|testkit)\.' |
    sed 's/:[0-9]*:#include "engine\// /; s/\/$//' | while read -r file other; do
    room=$(dirname "$file")
    awk -v a="${room##*/}" -v b="$other" -v f="$file" '
        { rank[$1] = $2 }
        END { if (!(b in rank)) print "FAIL " f " includes engine/" b ", which has no rank"
              else if ((a in rank) && a != b && rank[b] >= rank[a]) print "FAIL " f " includes engine/" b ", which is not below" }' "$work/engine"
done >>"$work/found"
grep -nE '#include "engine/[a-z_]+\.h"' src/engine/*/*.[ch] | grep -vE '_(test|fuzz)\.c:' |
    sed 's/^/FAIL a room of the engine includes the store: /' >>"$work/found" || :
grep -rnE '#include <(sqlite3|libpq-fe|microhttpd|simdjson|openssl/.*|phonenumbers/.*)(\.h)?>' src |
    grep -vE '^src/(db/db_(sqlite|postgres)[a-z_]*\.[ch]|http/[a-z_]*\.[ch]|base/(json_shim\.cpp|crypto\.c|phone_shim\.cpp)|app/tls_authority\.c):' |
    sed 's/^/FAIL a foreign header: /' >>"$work/found" || :

sort -u "$work/found"
[ ! -s "$work/found" ]
