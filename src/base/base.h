/*
 * base/base.h -- the few macros every file needs: must-use results and the kinds of assertion.
 *
 * Owns: nothing.  Threads: any.  Depends on: libc only.
 */
#pragma once

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_USE          __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define UNUSED            __attribute__((unused))
#define ARRAY_LEN(a)      (sizeof(a) / sizeof((a)[0]))

/* The struct of type T whose field M is at address P: from an intrusive list node to its owner. */
#define CONTAINER_OF(p, T, m) ((T *)(void *)((char *)(p)-offsetof(T, m)))

/* Prints file, line and condition with a stack trace, then aborts.  Never returns. */
_Noreturn void check_failed(const char *file, int line, const char *what);

/* CHECK: a broken invariant that would corrupt money or data.  Stays on in release builds. */
#define CHECK(cond)                                                                                \
    (__builtin_expect(!!(cond), 1) ? (void)0 : check_failed(__FILE__, __LINE__, #cond))

/* DCHECK: the same, for hot loops.  Debug and sanitizer builds only; always compiled. */
#ifdef NDEBUG
#define DCHECK(cond) ((void)sizeof(cond))
#else
#define DCHECK(cond) CHECK(cond)
#endif
