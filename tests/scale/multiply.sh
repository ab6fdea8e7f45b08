#!/bin/sh
# tests/scale/multiply.sh SOURCE OUT TIMES -- the demo's data, TIMES times as many households in the same
# shops: every copy has its own cards and baskets, buys the same, is targeted and redeems the same.
# Plain CSV; products, coupons and campaigns are copied as they are.
set -eu
source=$1 out=$2 times=$3
mkdir -p "$out"

# multiply FILE COLUMN...: the columns' values (quoted in the source) get the copy's number in front.
multiply() {
    file=$1
    shift
    zcat "$source/$file.csv.gz" >"$out/one"
    awk -v times="$times" -v columns="$*" '
        BEGIN { FS = OFS = ","; n = split(columns, at, " ") }
        NR == 1 { print; next }
        { row[NR] = $0 }
        END {
            for (k = 0; k < times; k++)
                for (i = 2; i <= NR; i++) {
                    $0 = row[i]
                    for (c = 1; c <= n; c++)
                        $at[c] = substr($at[c], 1, length($at[c]) - 1) "." k "\""
                    print
                }
        }' "$out/one" >"$out/$file.csv"
    rm "$out/one"
}

for file in campaign_descriptions coupons products; do
    zcat "$source/$file.csv.gz" >"$out/$file.csv"
done
multiply campaigns 2
multiply coupon_redemptions 1
multiply demographics 1
multiply transactions_sample 1 3
