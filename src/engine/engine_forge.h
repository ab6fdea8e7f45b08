/*
 * engine/engine_forge.h -- small real folders of columns, and files with other bytes under right checksums: for the
 * tests and fuzzers of whoever reads them.
 *
 * Owns: nothing.  Threads: any.
 */
#pragma once

#include "engine/engine.h"

/* What the events of a folder are like. */
typedef enum ForgeShape {
    FORGE_PLAIN, /* three names, whole seconds, a few properties of every type, nobody among the persons */
    FORGE_ITEMS, /* lists of records and of texts; milliseconds */
    FORGE_NAMES, /* of 2,000 events a flush, more names than a part has lists */
    FORGE_MOVES, /* attributes of persons, links, an erasure */
    FORGE_SHAPES
} ForgeShape;

#define FORGE_ORIGIN_MS INT64_C(1735574400000)
extern const EngineOptions FORGE_OPTIONS;

/* Adds `count` events, all in the two weeks from FORGE_ORIGIN_MS on; the first has number `first`, which its id
 * says, too. */
void forge_events(Ctx *ctx, ForgeShape shape, uint64_t first, uint32_t count, Buf *out);

/* Writes a folder in three flushes: two of `events` each, and one of two. */
void forge_folder(Ctx *ctx, Str folder, ForgeShape shape, uint32_t events);

/* Make every checksum of a file right, and what else stands between its bytes and their meaning (magic, version, its
 * length); whatever the bytes are. */
void forge_seal_part(char *bytes, size_t size);
void forge_seal_ids(char *bytes, size_t size);
void forge_seal_manifest(char *bytes, size_t size);
void forge_seal_names(char *bytes, size_t size);

/* A part in memory as if it came from a file: nothing of it has been looked at. */
void forge_distrust(Part *part);
