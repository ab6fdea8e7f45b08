/*
 * http/http_reply.c -- what goes out: headers without line ends, problems as RFC 9457, gzip.
 *
 * Every reply says nosniff, and no-store unless the handler has set Cache-Control.
 */
#include "http/http_internal.h"

#include "base/json.h"
#include "base/log.h"

enum { GZIP_BYTES_MIN = 1024, GZIP_BYTES_MAX = 8 << 20, GZIP_LEVEL = 1, PROBLEM_BYTES_MAX = 16384 };

static bool is_header_text(const char *s)
{
    for (; *s != '\0'; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f)
            return false;
    return true;
}

void http_reply_header(HttpExchange *x, const char *name, const char *value)
{
    HttpReply *r = &x->reply;
    if (!is_header_text(name) || !is_header_text(value) ||
        r->header_count == HTTP_REPLY_HEADERS_MAX) {
        LOG(LOG_ERROR, "http.header_refused", LOG_I64("count", r->header_count));
        return;
    }
    r->header[r->header_count++] = (HttpHeader){name, value};
}

static void add_member(JsonOut *o, Str name, Str value)
{
    if (value.len == 0)
        return;
    json_out_key(o, name);
    json_out_text(o, value);
}

/* The one field that is wrong: "errors":[{"pointer":...,"detail":...}]. */
static void add_error(JsonOut *o, Str pointer, Str detail)
{
    json_out_key(o, STR("errors"));
    json_out_array(o);
    json_out_object(o);
    add_member(o, STR("pointer"), pointer);
    json_out_key(o, STR("detail"));
    json_out_text(o, detail);
    json_out_end(o);
    json_out_end(o);
}

void http_reply_problem(HttpExchange *x, int status, const char *code, Str title, Str pointer,
                        Str detail)
{
    Buf b = BUF_MAX(PROBLEM_BYTES_MAX);
    JsonOut o = json_out(&b);
    json_out_object(&o);
    json_out_key(&o, STR("status"));
    json_out_i64(&o, status);
    add_member(&o, STR("code"), str_of(code));
    add_member(&o, STR("title"), title);
    add_member(&o, STR("detail"), detail);
    if (pointer.len > 0)
        add_error(&o, pointer, detail);
    json_out_end(&o);
    x->reply.status = status;
    x->reply.content_type = "application/problem+json";
    x->reply.compressed = false;
    x->reply.body = b.overflowed ? STR("{}") : arena_copy(x->arena, buf_str(&b));
    buf_free(&b);
}

static bool is_compressible(const char *type)
{
    static const char *const STARTS[] = {
        "application/json", "application/problem+json", "text/", "application/javascript",
        "image/svg+xml",    "application/manifest+json"};
    const Str t = str_of(type);
    for (size_t i = 0; i < ARRAY_LEN(STARTS); i++)
        if (str_starts_with(t, str_of(STARTS[i])))
            return true;
    return false;
}

static z_stream *deflater(HttpLoop *l)
{
    if (l->has_deflater)
        CHECK(deflateReset(&l->deflater) == Z_OK);
    else
        CHECK(deflateInit2(&l->deflater, GZIP_LEVEL, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) ==
              Z_OK);
    l->has_deflater = true;
    return &l->deflater;
}

static void compress_body(HttpConn *c)
{
    HttpReply *r = &c->x->reply;
    z_stream *z = deflater(c->loop);
    const size_t bound = deflateBound(z, r->body.len);
    char *out = arena_bytes(c->x->arena, bound);
    z->next_in = (Bytef *)(uintptr_t)r->body.ptr;
    z->avail_in = (uInt)r->body.len;
    z->next_out = (Bytef *)out;
    z->avail_out = (uInt)bound;
    CHECK(deflate(z, Z_FINISH) == Z_STREAM_END);
    r->body = (Str){out, bound - z->avail_out};
    r->compressed = true;
}

/* May this reply be gzip?  Then caches must know that it depends on Accept-Encoding. */
static bool varies(const HttpReply *r)
{
    return r->compressed || (r->content_type != NULL && r->body.len >= GZIP_BYTES_MIN &&
                             r->body.len <= GZIP_BYTES_MAX && is_compressible(r->content_type));
}

static void mend_reply(HttpConn *c)
{
    HttpReply *r = &c->x->reply;
    if (r->status >= 200 && r->status <= 599)
        return;
    LOG(LOG_ERROR, "http.reply_without_status", LOG_I64("status", r->status));
    r->header_count = 0;
    http_reply_problem(c->x, 500, "internal", STR("The server made a mistake."), STR(""), STR(""));
}

static bool sets(const HttpReply *r, Str lower)
{
    for (int i = 0; i < r->header_count; i++)
        if (http_name_is(str_of(r->header[i].name), lower))
            return true;
    return false;
}

static void add_headers(struct MHD_Response *out, const HttpReply *r, bool vary, bool last)
{
    const struct {
        bool wanted;
        const char *name, *value;
    } rows[] = {
        {r->content_type != NULL, "Content-Type", r->content_type},
        {r->compressed, "Content-Encoding", "gzip"},
        {vary, "Vary", "Accept-Encoding"},
        {last, "Connection", "close"},
        {true, "X-Content-Type-Options", "nosniff"},
        {!sets(r, STR("cache-control")), "Cache-Control", "no-store"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].wanted)
            CHECK(MHD_add_response_header(out, rows[i].name, rows[i].value) == MHD_YES);
    for (int i = 0; i < r->header_count; i++)
        (void)MHD_add_response_header(out, r->header[i].name, r->header[i].value);
}

enum MHD_Result http_reply_send(HttpConn *c)
{
    HttpLoop *l = c->loop;
    mend_reply(c);
    HttpReply *r = &c->x->reply;
    if (r->status == 204 || r->status == 304) {
        r->content_type = NULL;
        r->body.len = 0;
    }
    const bool vary = varies(r);
    if (vary && !r->compressed && http_accepts_gzip(c->guard.accept_encoding))
        compress_body(c);
    struct MHD_Response *out = MHD_create_response_from_buffer(
        r->body.len, (void *)(uintptr_t)r->body.ptr, MHD_RESPMEM_PERSISTENT);
    if (out == NULL)
        return MHD_NO;
    const bool stopping =
        atomic_load_explicit(&l->server->stop_until_us, memory_order_relaxed) != 0;
    add_headers(out, r, vary, stopping);
    c->phase = HTTP_PHASE_REPLY;
    http_conn_set_deadline(c, l->server->options.write_deadline_ms, r->body.len);
    http_count(&l->count.bytes_out, c->is_head ? 0 : (int64_t)r->body.len);
    const enum MHD_Result rc = MHD_queue_response(c->mhd, (unsigned)r->status, out);
    MHD_destroy_response(out);
    return rc;
}
