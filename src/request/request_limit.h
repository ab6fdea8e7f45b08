/*
 * request/request_limit.h -- how often one caller may ask for something that is dear or tells too much.
 *
 * A bucket of tokens per caller and class, in memory: full it holds a minute's worth, and it fills up
 * evenly.  At most REQUEST_LIMITS of them; past that the fullest one of its neighbours is forgotten, so
 * that nobody is refused for somebody else's questions.
 *
 * Owns: nothing on disk: a restart fills every bucket.  Threads: any.
 */
#pragma once

#include "request/principal.h"

enum { REQUEST_LIMITS = 4096 };

/*
 * Takes a token of ctx->who for `class`, a string literal that names one thing ("person.search"); at most
 * `per_minute` (1 to 1,000,000) in any burst, and as many per minute in the long run.
 * Errors: LIMITED "request.limited".
 */
MUST_USE Err request_limit(Ctx *ctx, const char *class, int per_minute);

/* The same at a monotonic time that the caller has read. */
MUST_USE Err request_limit_at(Ctx *ctx, const char *class, int per_minute, int64_t now_us);
