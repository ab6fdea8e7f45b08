#!/bin/sh
# tools/apigen_test.sh -- apigen against its golden output and one refused example per rule.
# Usage: apigen_test.sh APIGEN SOURCE_ROOT [--accept]        --accept rewrites the golden files.
set -eu
apigen=$1 here=$2/tools/apigen_test accept=${3:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
complain() {
    echo "FAIL $1"
    failed=$((failed + 1))
}

common=$here/common.api.yaml room=$here/coupon.api.yaml
"$apigen" "$common" "$common" "$work/common.api.h" "$work/common.api.c"
"$apigen" "$common" "$room" "$work/coupon.api.h" "$work/coupon.api.c"
"$apigen" --openapi "$work/openapi.json" "$common" "$room"
for file in common.api.h common.api.c coupon.api.h coupon.api.c openapi.json; do
    [ -z "$accept" ] || cp "$work/$file" "$here/$file.golden"
    diff -u "$here/$file.golden" "$work/$file" || complain "golden $file"
done

# Two rooms that do not go together.
refuse_both() {
    printf '%s\n' "$2" >"$work/a.api.yaml"
    printf '%s\n' "$3" >"$work/b.api.yaml"
    if "$apigen" --openapi "$work/both" "$common" "$work/a.api.yaml" "$work/b.api.yaml" 2>"$work/err" ||
        ! grep -qF -- "$1" "$work/err"; then
        complain "want \"$1\", got: $(cat "$work/err")"
    fi
}
door() {
    printf 'paths: {"%s": {get: {operationId: %s, summary: x, x-kind: peek, x-permission: public, ' "$1" "$2"
    printf 'parameters: [%s], responses: {"204": {}}}}}' "$3"
}
id='{name: id, in: path, required: true, schema: {type: boolean}}'
key='{name: key, in: path, required: true, schema: {type: boolean}}'
refuse_both 'GET /v1/x is also a_x' "$(door /v1/x a_x '')" "$(door /v1/x b_x '')"
refuse_both 'calls its placeholders other names than a_x' \
    "$(door '/v1/{id}' a_x "$id")" "$(door '/v1/{key}' b_x "$key" | sed 's/get:/delete:/')"
refuse_both 'the schema X is also in' 'components: {schemas: {X: {type: boolean}}}' \
    'components: {schemas: {X: {type: boolean}}}'
refuse_both 'a code that two rooms use belongs to common' 'x-errors: {a.b: No.}' 'x-errors: {a.b: No.}'

# One folder per case, its expectation in want.
awk -v dir="$work" '
    /^#/ && !/^###/ { next }
    /^###/ {
        base = sprintf("%s/%03d", dir, ++n)
        system("mkdir " base)
        print substr($0, 5) > (base "/want")
        next
    }
    { print > (base "/room.api.yaml") }
' "$here/refused.txt"
cp "$here/refused_common.api.yaml" "$work/common.api.yaml"

cases=0
for dir in "$work"/[0-9]*; do
    cases=$((cases + 1))
    want=$(cat "$dir/want")
    line=${want%% *} message=${want#* }
    code=0
    "$apigen" "$work/common.api.yaml" "$dir/room.api.yaml" "$dir/h" "$dir/c" 2>"$dir/err" || code=$?
    [ "$code" = 1 ] || complain "\"$message\" ended with $code"
    [ ! -e "$dir/h" ] && [ ! -e "$dir/c" ] || complain "\"$message\" wrote output"
    if ! grep -qF "room.api.yaml:$line: " "$dir/err" || ! grep -qF -- "$message" "$dir/err"; then
        complain "want line $line \"$message\", got: $(cat "$dir/err")"
    fi
done
[ "$cases" -ge 75 ] || complain "only $cases refused cases were read"
echo "$((cases > failed ? cases - failed : 0)) passed, $failed failed"
[ "$failed" = 0 ]
