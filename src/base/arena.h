/*
 * base/arena.h -- memory that lives exactly as long as one frame: process, worker, request, scratch.
 *
 * Owns: every byte handed out, until arena_reset().  Threads: one thread per arena at a time.
 * Allocation never returns NULL: inputs are bounded before they reach an arena, so a failing malloc
 * is the machine's end, not the caller's branch.  Unused bytes are poisoned under ASan.
 */
#pragma once

#include "base/str.h"

typedef struct Arena Arena;
typedef void (*ArenaCleanup)(void *arg);

Arena *arena_new(size_t block_bytes);
void arena_free(Arena *arena); /* NULL is nothing to do */

/* Zeroed memory, aligned for any type.  `count * size` overflow is a CHECK. */
void *arena_alloc(Arena *arena, size_t count, size_t size);
#define ARENA_NEW(arena, T)      ((T *)arena_alloc((arena), 1, sizeof(T)))
#define ARENA_ARRAY(arena, T, n) ((T *)arena_alloc((arena), (n), sizeof(T)))

/* Memory that is not zeroed, for bytes that are written at once. */
char *arena_bytes(Arena *arena, size_t n);

/* The copy is NUL-terminated (behind its len), for the library edge. */
Str arena_copy(Arena *arena, Str s);
Str arena_i64(Arena *arena, int64_t v); /* in decimal: much cheaper than arena_printf() */
Str arena_printf(Arena *arena, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Runs `fn(arg)` at the next reset, last registered first: for statements, files, locks. */
void arena_defer(Arena *arena, ArenaCleanup fn, void *arg);

/* Runs the cleanups, then forgets every allocation.  Keeps the first block for reuse. */
void arena_reset(Arena *arena);

size_t arena_used_bytes(const Arena *arena);
