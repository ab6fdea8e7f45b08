/*
 * base/arena.c -- block-chained bump allocator behind base/arena.h.
 *
 * Invariant: cleanups run before any block is reused, newest first, exactly once.
 */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifdef HAS_ASAN
#include <sanitizer/asan_interface.h>
#ifndef __clang__ /* gcc takes poisoning fresh memory for reading it */
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#define POISON(p, n)   __asan_poison_memory_region((p), (n))
#define UNPOISON(p, n) __asan_unpoison_memory_region((p), (n))
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

enum { ALIGN_BYTES = _Alignof(max_align_t) };

typedef struct Block {
    struct Block *next;
    size_t cap_bytes;
    size_t used_bytes;
    _Alignas(max_align_t) unsigned char data[];
} Block;

typedef struct Deferred {
    struct Deferred *next;
    ArenaCleanup fn;
    void *arg;
} Deferred;

struct Arena {
    Block *head; /* newest block; older ones follow */
    Deferred *deferred;
    size_t block_bytes;
};

static Block *block_new(size_t cap_bytes, Block *next)
{
    Block *b = malloc(sizeof(Block) + cap_bytes);
    CHECK(b != NULL);
    *b = (Block){.next = next, .cap_bytes = cap_bytes, .used_bytes = 0};
    POISON(b->data, cap_bytes);
    return b;
}

Arena *arena_new(size_t block_bytes)
{
    Arena *a = malloc(sizeof(Arena));
    CHECK(a != NULL);
    *a = (Arena){.head = block_new(block_bytes, NULL), .block_bytes = block_bytes};
    return a;
}

/* `n` bytes, aligned, content undefined. */
static unsigned char *take(Arena *a, size_t n)
{
    CHECK(n <= SIZE_MAX / 2);
    const size_t want = (n + ALIGN_BYTES - 1) & ~(size_t)(ALIGN_BYTES - 1);
    if (want > a->head->cap_bytes - a->head->used_bytes)
        a->head = block_new(want > a->block_bytes ? want : a->block_bytes, a->head);
    unsigned char *p = a->head->data + a->head->used_bytes;
    a->head->used_bytes += want;
    UNPOISON(p, n);
    return p;
}

void *arena_alloc(Arena *a, size_t count, size_t size)
{
    size_t want = 0;
    CHECK(!__builtin_mul_overflow(count, size, &want));
    unsigned char *p = take(a, want);
    memset(p, 0, want);
    return p;
}

char *arena_bytes(Arena *a, size_t n)
{
    return (char *)take(a, n);
}

Str arena_copy(Arena *a, Str s)
{
    char *p = arena_bytes(a, s.len + 1);
    if (s.len > 0)
        memcpy(p, s.ptr, s.len);
    p[s.len] = '\0';
    return (Str){p, s.len};
}

Str arena_i64(Arena *a, int64_t v)
{
    enum { DIGITS_MAX = 20 };
    char *end = arena_bytes(a, DIGITS_MAX + 1) + DIGITS_MAX, *at = end;
    uint64_t left = v < 0 ? ~(uint64_t)v + 1 : (uint64_t)v;
    *end = '\0';
    do {
        *--at = (char)('0' + left % 10);
        left /= 10;
    } while (left != 0);
    if (v < 0)
        *--at = '-';
    return (Str){at, (size_t)(end - at)};
}

Str arena_printf(Arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    va_list again;
    va_copy(again, ap);
    const int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    CHECK(n >= 0);
    char *p = arena_bytes(a, (size_t)n + 1);
    (void)vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return (Str){p, (size_t)n};
}

void arena_defer(Arena *a, ArenaCleanup fn, void *arg)
{
    Deferred *d = ARENA_NEW(a, Deferred);
    *d = (Deferred){.next = a->deferred, .fn = fn, .arg = arg};
    a->deferred = d;
}

void arena_reset(Arena *a)
{
    while (a->deferred != NULL) {
        Deferred *d = a->deferred;
        a->deferred = d->next;
        d->fn(d->arg);
    }
    while (a->head->next != NULL) {
        Block *old = a->head;
        a->head = old->next;
        free(old);
    }
    a->head->used_bytes = 0;
    POISON(a->head->data, a->head->cap_bytes);
}

size_t arena_used_bytes(const Arena *a)
{
    size_t n = 0;
    for (const Block *b = a->head; b != NULL; b = b->next)
        n += b->used_bytes;
    return n;
}

void arena_free(Arena *a)
{
    if (a == NULL)
        return;
    arena_reset(a);
    free(a->head);
    free(a);
}
