/*
 * modules/intake/intake_bytes.h -- the bytes of a file, inflated on the way when it is gzip.
 *
 * Owns: the file descriptor and the inflater.  Threads: one at a time.
 */
#pragma once

#include "base/ctx.h"

typedef struct ByteSource ByteSource;

/* "-" is standard input.  `chunk_bytes` is the most that one read takes from the file (0 = 64 KB).
 * Errors: NOT_FOUND "intake.file_not_found"; INVALID "intake.file_unreadable". */
MUST_USE Err intake_bytes_open(Ctx *ctx, const char *path, size_t chunk_bytes, ByteSource **out);

/* Up to `n` bytes; *got = 0 means the end.  Errors: INVALID "intake.file_unreadable",
 * "intake.gzip_broken" (damaged, or cut off before its end). */
MUST_USE Err intake_bytes_read(ByteSource *bytes, Ctx *ctx, char *dst, size_t n, size_t *got);

/* Of the file as it lies on disk. */
void intake_bytes_progress(const ByteSource *bytes, int64_t *read_bytes, int64_t *size_bytes);

void intake_bytes_close(ByteSource *bytes);
