/*
 * modules/intake/intake_gb18030.h -- the text of a file as UTF-8, whether it is UTF-8 or GB18030.
 *
 * The encoding is decided at the first block that is not plain ASCII: valid UTF-8 is UTF-8; otherwise
 * what iconv accepts as GB18030 (which includes GBK and GB2312) is that; otherwise UTF-8, and the bad
 * rows are reported one by one.  A byte that is no text comes out as 0xFF, which is never valid UTF-8:
 * the row reader finds it there.
 * Owns: the ByteSource under it and the converter.  Threads: one at a time.
 */
#pragma once

#include "modules/intake/intake_bytes.h"
#include "modules/intake/intake_source.h"

enum { TEXT_READ_BYTES_MIN = 16 }; /* room for any one character */

typedef struct TextSource TextSource;

/* Takes over `bytes`: closing the text closes it. */
TextSource *intake_text_open(ByteSource *bytes, TableEncoding encoding);

/* Up to `n` >= TEXT_READ_BYTES_MIN bytes of UTF-8 without a byte order mark; *got = 0 is the end.
 * Errors: those of intake_bytes_read(); INVALID "intake.utf16". */
MUST_USE Err intake_text_read(TextSource *text, Ctx *ctx, char *dst, size_t n, size_t *got);

void intake_text_close(TextSource *text);

/* Number of bytes before the first that is not ASCII. */
size_t intake_text_ascii_prefix(Str s);
