/*
 * base/base.c -- where a broken invariant ends: a message, a stack trace, abort.
 */
#include "base/base.h"

#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TRACE_FRAMES_MAX = 32 };

_Noreturn void check_failed(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: check failed: %s\n", file, line, what);
    void *frames[TRACE_FRAMES_MAX];
    const int n = backtrace(frames, TRACE_FRAMES_MAX);
    backtrace_symbols_fd(frames, n, STDERR_FILENO);
    abort();
}
