/*
 * modules/intake/intake_temp.h -- nameless temporary files: gone with the process, whatever happens.
 *
 * They hold parts of somebody's import (names, phones), so they have no name and mode 0600.
 * Owns: nothing; the caller closes the descriptor.  Threads: any.
 */
#pragma once

#include "base/ctx.h"

/* `dir` NULL = /tmp.  Errors: BUSY "intake.temp_failed" (no such folder, no room). */
MUST_USE Err intake_temp_open(Ctx *ctx, const char *dir, int *fd);

/* All of `s` at the end of the file.  Errors: BUSY "intake.temp_failed". */
MUST_USE Err intake_temp_write(Ctx *ctx, int fd, Str s);

/* Up to `n` bytes from `at`; *got < n only at the end of the file. */
MUST_USE Err intake_temp_read(Ctx *ctx, int fd, int64_t at, char *dst, size_t n, size_t *got);
