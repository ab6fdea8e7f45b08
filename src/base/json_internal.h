/*
 * base/json_internal.h -- what json_index.c writes and json.c reads.
 *
 * One Node per key and value, in document order: a container is followed by its contents, a key by
 * its value.
 */
#pragma once

#include "base/json.h"

typedef struct Node {
    uint32_t at;        /* first byte in the text: its type */
    uint32_t end;       /* behind the last byte */
    uint32_t next : 31; /* the node behind this one and its contents */
    uint32_t slow : 1;  /* a string inside is not its own text: escapes, or faults */
} Node;

struct JsonDoc {
    Str text; /* behind the byte order mark */
    Arena *arena;
    const Node *nodes;
    uint32_t bom_bytes;
};
