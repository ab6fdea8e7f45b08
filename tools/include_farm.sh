#!/bin/sh
# tools/include_farm.sh -- gives every layer an include folder of its own, so that a library can be
# built against exactly the layers below it.  Usage: include_farm.sh SOURCE_ROOT BUILD_ROOT
# Makes BUILD_ROOT/inc/LAYER/LAYER -> SOURCE_ROOT/src/LAYER and, per room,
# BUILD_ROOT/inc/modules_ROOM/modules/ROOM -> SOURCE_ROOT/src/modules/ROOM.
set -eu
src=$1/src out=$2/inc
for layer in base db http events engine request jobs rules app; do
    mkdir -p "$out/$layer"
    ln -sfn "$src/$layer" "$out/$layer/$layer"
done
for room in "$src"/modules/*/; do
    [ -d "$room" ] || continue
    name=$(basename "$room")
    mkdir -p "$out/modules_$name/modules"
    ln -sfn "$src/modules/$name" "$out/modules_$name/modules/$name"
done
