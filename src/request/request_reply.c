/*
 * request/request_reply.c -- replies, refusals, cursors, cookies, meters.
 */
#include "request/request_internal.h"

#include "base/hash.h"
#include "base/log.h"

#include <stdio.h>

/* Sentences of the codes that belong to no room. */
static const ApiError COMMON[] = {
    {"auth.session", "You are not signed in: sign in and try again."},
    {"auth.key", "The API key is not known or was revoked: make a new one."},
    {"auth.missing", "Sign in, or send an API key as `Authorization: Bearer ...`."},
    {"auth.permission", "Your role does not allow this: ask an owner."},
    {"auth.store", "You do not work in this shop."},
    {"auth.csrf", "The page is out of date: reload it and try again."},
    {"idempotency.missing",
     "Send an Idempotency-Key header, best a UUIDv7, new for each new wish."},
    {"idempotency.malformed", "The Idempotency-Key must be 1 to 255 visible ASCII characters."},
    {"idempotency.reused", "This Idempotency-Key was used for another request: take a new one."},
    {"idempotency.in_flight", "The same request is being worked on: repeat it in a moment."},
    {"request.cursor", "The cursor is not one of ours: start again without it."},
    {"request.busy", "Too much is being worked on: try again in a moment."},
    {"not_found", "There is no such thing."},
    {"disk.full", "The disk is full: make room; nothing was changed."},
    {"db.busy", "The database is busy: try again in a moment."},
    {"db.deadline", "This took too long and was stopped: ask for less."},
    {"json.malformed", "The body is not valid JSON."},
    {"json.too_deep", "The JSON is nested too deeply."},
    {"json.too_large", "The JSON is too large."},
    {"request.reply_size", "The answer is too large: ask for less."},
    {NULL, NULL}};

static const char *common_sentence(const char *code)
{
    for (const ApiError *e = COMMON; e->code != NULL; e++)
        if (str_eq(str_of(e->code), str_of(code)))
            return e->sentence;
    return NULL;
}

/* What the client is told: the fault's own hint, the contract's sentence, or the common one. */
static Str sentence_of(const Fault *f, const ApiContract *const *contracts)
{
    if (f->hint[0] != '\0')
        return str_of(f->hint);
    const char *s = api_sentence(contracts, f->reason);
    if (s == NULL)
        s = common_sentence(f->reason);
    if (s == NULL && f->code == ERR_BUSY)
        s = "The service is busy: try again in a moment.";
    if (s == NULL && f->code != ERR_INTERNAL)
        s = "The request was refused; the code says why.";
    return s == NULL ? STR("Something went wrong on our side; it has been logged.") : str_of(s);
}

static Str title_of(Err err)
{
    static const char *const TITLES[ERR_COUNT] = {[ERR_OK] = "Done",
                                                  [ERR_INVALID] = "The request is not valid",
                                                  [ERR_UNAUTHENTICATED] = "Not signed in",
                                                  [ERR_DENIED] = "Not allowed",
                                                  [ERR_NOT_FOUND] = "Not found",
                                                  [ERR_CONFLICT] = "A rule says no",
                                                  [ERR_TOO_LARGE] = "Too large",
                                                  [ERR_UNPROCESSABLE] =
                                                      "Contradicts an earlier request",
                                                  [ERR_LIMITED] = "Too many requests",
                                                  [ERR_INTERNAL] = "Our mistake",
                                                  [ERR_BUSY] = "Busy"};
    return str_of(TITLES[err]);
}

void reply_fault(HttpExchange *x, Ctx *ctx, Err err, const ApiContract *const *contracts)
{
    const Fault *f = &ctx->fault;
    const bool ours = err == ERR_INTERNAL;
    if (ours || err == ERR_BUSY)
        LOG(ours ? LOG_ERROR : LOG_WARN, "request.failed",
            LOG_C("operation", x->route == NULL ? "" : x->route->path), LOG_C("reason", f->reason),
            LOG_C("detail", f->detail));
    if (err == ERR_BUSY || err == ERR_LIMITED)
        http_reply_header(x, "Retry-After",
                          arena_printf(x->arena, "%d", f->retry_s > 1 ? f->retry_s : 1).ptr);
    if (err == ERR_UNAUTHENTICATED)
        http_reply_header(x, "WWW-Authenticate", "Bearer");
    http_reply_problem(x, err_http_status(err), f->reason, title_of(err), str_of(f->pointer),
                       sentence_of(f, contracts));
}

Err reply_print(Ctx *ctx, const DtoType *type, const void *reply, Str *out)
{
    Buf text = BUF_MAX(REPLY_BYTES_MAX);
    dto_print(&text, type, reply);
    const bool fits = !text.overflowed;
    if (fits)
        *out = arena_copy(ctx->arena, buf_str(&text));
    buf_free(&text);
    return fits ? ERR_OK : fail(ctx, ERR_TOO_LARGE, "request.reply_size", "%s", type->name);
}

/* ---- cursors and cookies -------------------------------------------------------------------------- */

static Err fail_cursor(Ctx *ctx)
{
    return fail_field(ctx, "?cursor", "request.cursor", "start again without a cursor");
}

Str request_cursor_make(Ctx *ctx, int64_t a, int64_t b)
{
    const Str plain = arena_printf(ctx->arena, "%" PRId64 ".%" PRId64, a, b);
    return base64url_encode(ctx->arena, plain);
}

Err request_cursor_read(Ctx *ctx, Str cursor, int64_t *a, int64_t *b)
{
    Str plain;
    if (base64url_decode(ctx->arena, cursor, &plain)) {
        const int64_t dot = str_index(plain, '.', 0);
        int64_t first = 0, second = 0;
        if (dot > 0 && str_to_i64(str_slice(plain, 0, (size_t)dot), &first) &&
            str_to_i64(str_slice(plain, (size_t)dot + 1, plain.len), &second)) {
            *a = first;
            *b = second;
            return ERR_OK;
        }
    }
    return fail_cursor(ctx);
}

/* The sign in front keeps the cursor of an empty text from being empty, and numbers from being texts. */
Str request_cursor_make_text(Ctx *ctx, Str text)
{
    return base64url_encode(ctx->arena, arena_printf(ctx->arena, "=%.*s", STR_ARG(text)));
}

Err request_cursor_read_text(Ctx *ctx, Str cursor, Str *text)
{
    Str plain;
    *text = STR("");
    if (cursor.len == 0)
        return ERR_OK;
    if (!base64url_decode(ctx->arena, cursor, &plain) || !str_starts_with(plain, STR("=")) ||
        !str_is_line(plain, plain.len))
        return fail_cursor(ctx);
    *text = str_slice(plain, 1, plain.len);
    return ERR_OK;
}

void request_set_cookie(Call *call, Ctx *ctx, const char *name, Str value, int64_t max_age_s)
{
    HttpExchange *x = call->exchange;
    const Str cookie = arena_printf(
        ctx->arena, "%s=%.*s; Path=/; Max-Age=%" PRId64 "; HttpOnly; SameSite=Strict%s", name,
        STR_ARG(value), max_age_s, x->request.secure ? "; Secure" : "");
    http_reply_header(x, "Set-Cookie", cookie.ptr);
}

/* ---- meters ---------------------------------------------------------------------------------------- */

static const int64_t BUCKET_US[METER_BUCKETS - 1] = {100,   250,   500,    1000,   2500,   5000,
                                                     10000, 25000, 100000, 500000, 2500000};

void meter_add(Meter *m, int status, int64_t took_us)
{
    size_t b = 0;
    while (b < ARRAY_LEN(BUCKET_US) && took_us > BUCKET_US[b])
        b++;
    atomic_fetch_add_explicit(&m->sum_us, took_us, memory_order_relaxed);
    atomic_fetch_add_explicit(&m->bucket[b], 1, memory_order_relaxed);
    if (status >= 500)
        atomic_fetch_add_explicit(&m->failed, 1, memory_order_relaxed);
    else if (status >= 400)
        atomic_fetch_add_explicit(&m->refused, 1, memory_order_relaxed);
}

/* The count is the sum of the buckets, so that it agrees with them while calls go on. */
void meter_print_seconds(Buf *out, const Meter *m, const char *operation)
{
    int64_t calls = 0;
    for (size_t b = 0; b < ARRAY_LEN(BUCKET_US); b++) {
        calls += atomic_load(&m->bucket[b]);
        buf_addf(out, "tongdian_request_seconds_bucket{operation=\"%s\",le=\"%g\"} %" PRId64 "\n",
                 operation, (double)BUCKET_US[b] / 1e6, calls);
    }
    calls += atomic_load(&m->bucket[METER_BUCKETS - 1]);
    buf_addf(out, "tongdian_request_seconds_bucket{operation=\"%s\",le=\"+Inf\"} %" PRId64 "\n",
             operation, calls);
    buf_addf(out, "tongdian_request_seconds_sum{operation=\"%s\"} %.6f\n", operation,
             (double)atomic_load(&m->sum_us) / 1e6);
    buf_addf(out, "tongdian_request_seconds_count{operation=\"%s\"} %" PRId64 "\n", operation,
             calls);
}

void meter_print_refused(Buf *out, const Meter *m, const char *operation)
{
    buf_addf(out, "tongdian_requests_refused_total{operation=\"%s\"} %" PRId64 "\n", operation,
             atomic_load(&m->refused));
}

void meter_print_failed(Buf *out, const Meter *m, const char *operation)
{
    buf_addf(out, "tongdian_requests_failed_total{operation=\"%s\"} %" PRId64 "\n", operation,
             atomic_load(&m->failed));
}
