/*
 * base/err.c -- names and statuses of base/err.h.
 */
#include "base/ctx.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    int http;
    const char *name;
} ERRS[] = {
#define X(code, http, name) [ERR_##code] = {http, name},
    ERR_MAP(X)
#undef X
};
_Static_assert(ARRAY_LEN(ERRS) == ERR_COUNT, "every Err has a row");

const char *err_name(Err code)
{
    CHECK(code < ERR_COUNT);
    return ERRS[code].name;
}

int err_http_status(Err code)
{
    CHECK(code < ERR_COUNT);
    return ERRS[code].http;
}

Err fail(Ctx *ctx, Err code, const char *reason, const char *fmt, ...)
{
    CHECK(code != ERR_OK);
    Fault *f = &ctx->fault;
    f->code = code;
    f->reason = reason;
    f->pointer[0] = '\0';
    f->hint[0] = '\0';
    f->retry_s = 0;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(f->detail, sizeof f->detail, fmt, ap);
    va_end(ap);
    return code;
}

Err fail_field(Ctx *ctx, const char *pointer, const char *reason, const char *fmt, ...)
{
    Fault *f = &ctx->fault;
    f->code = ERR_INVALID;
    f->reason = reason;
    (void)snprintf(f->pointer, sizeof f->pointer, "%s", pointer);
    f->detail[0] = '\0';
    f->retry_s = 0;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(f->hint, sizeof f->hint, fmt, ap);
    va_end(ap);
    return ERR_INVALID;
}
