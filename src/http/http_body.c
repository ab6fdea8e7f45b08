/*
 * http/http_body.c -- request bodies: collected whole, bounded each and all together, inflated.
 *
 * A declared length is only believed up to HTTP_ARENA_BODY_BYTES: beyond that memory grows with
 * what has arrived, so a thousand clients that announce 64 MB cost nothing.
 */
#include "http/http_internal.h"

enum { HTTP_ARENA_BODY_BYTES = 16384 };

void http_body_begin(HttpConn *c, size_t max_bytes)
{
    c->body = (HttpBody){.max_bytes = max_bytes, .heap = BUF_MAX(max_bytes + HTTP_PADDING_BYTES)};
    const int64_t declared = c->guard.length;
    if (declared == 0 || declared > HTTP_ARENA_BODY_BYTES)
        return;
    c->body.ptr = arena_bytes(c->x->arena, (size_t)declared + HTTP_PADDING_BYTES);
    c->body.cap_bytes = (size_t)declared;
}

/* Counts what `heap` holds against the server's budget for all bodies; false when that is used up.
 * */
static bool charge(HttpConn *c, const Buf *heap)
{
    HttpServer *s = c->loop->server;
    const size_t more = heap->cap_bytes - c->body.charged_bytes;
    if (more == 0)
        return true;
    c->body.charged_bytes += more;
    const int64_t all = atomic_fetch_add(&s->body_bytes, (int64_t)more) + (int64_t)more;
    return all <= (int64_t)s->options.bodies_bytes_max;
}

/* Makes room for `n` more bytes and the padding; false = failed_status is set. */
static bool make_room(HttpConn *c, size_t n)
{
    HttpBody *b = &c->body;
    if (n > b->max_bytes - b->len) {
        b->failed_status = 413;
        return false;
    }
    if (n <= b->cap_bytes - b->len)
        return true;
    DCHECK(b->ptr == b->heap.ptr); /* an arena body is as large as was declared */
    b->heap.len = b->len;
    if (buf_reserve(&b->heap, n + HTTP_PADDING_BYTES) != NULL) {
        b->ptr = b->heap.ptr;
        b->cap_bytes = b->heap.cap_bytes - HTTP_PADDING_BYTES;
        if (charge(c, &b->heap))
            return true;
    }
    b->failed_status = 503;
    return false;
}

void http_body_add(HttpConn *c, Str piece)
{
    HttpBody *b = &c->body;
    http_count(&c->loop->count.bytes_in, (int64_t)piece.len);
    if (c->answered || b->failed_status != 0 || !make_room(c, piece.len)) {
        b->dropped_bytes += piece.len;
        return;
    }
    memcpy(b->ptr + b->len, piece.ptr, piece.len);
    b->len += piece.len;
}

static z_stream *inflater(HttpLoop *l)
{
    if (l->has_inflater)
        CHECK(inflateReset(&l->inflater) == Z_OK);
    else
        CHECK(inflateInit2(&l->inflater, 15 + 16) == Z_OK); /* + 16: gzip, nothing else */
    l->has_inflater = true;
    return &l->inflater;
}

/* Inflates the first `len` bytes of `packed` into the (now empty) body; 0 or a status. */
static int inflate_into(HttpConn *c, const char *packed, size_t len)
{
    z_stream *z = inflater(c->loop);
    z->next_in = (Bytef *)(uintptr_t)packed;
    z->avail_in = (uInt)len;
    for (;;) {
        const size_t left = c->body.max_bytes - c->body.len;
        const size_t step = left < 16384 ? left : 16384;
        /* One byte past the maximum is asked for, so that "exactly full" and "too big" differ. */
        char past = 0;
        if (step > 0 && !make_room(c, step))
            return c->body.failed_status;
        z->next_out = (Bytef *)(step > 0 ? c->body.ptr + c->body.len : &past);
        z->avail_out = step > 0 ? (uInt)step : 1;
        const uInt room = z->avail_out;
        const int rc = inflate(z, Z_NO_FLUSH);
        const uInt got = room - z->avail_out;
        if (step == 0 && got > 0)
            return 413;
        c->body.len += step > 0 ? got : 0;
        if (rc == Z_STREAM_END)
            return z->avail_in == 0 ? 0 : 400;
        if (rc != Z_OK || (z->avail_in == 0 && z->avail_out != 0))
            return 400;
    }
}

static void unpack(HttpConn *c)
{
    HttpBody *b = &c->body;
    const HttpBody packed = *b;
    *b = (HttpBody){.max_bytes = packed.max_bytes,
                    .heap = BUF_MAX(packed.max_bytes + HTTP_PADDING_BYTES)};
    b->failed_status = inflate_into(c, packed.ptr, packed.len);
    Buf old = packed.heap;
    buf_free(&old);
    atomic_fetch_sub(&c->loop->server->body_bytes, (int64_t)packed.charged_bytes);
}

void http_body_end(HttpConn *c)
{
    HttpBody *b = &c->body;
    const Str coding = c->guard.content_encoding;
    if (b->failed_status == 0 && b->len > 0 && http_name_is(coding, STR("gzip")))
        unpack(c);
    if (b->failed_status == 0 && b->ptr != NULL)
        memset(b->ptr + b->len, 0, HTTP_PADDING_BYTES);
}

void http_body_free(HttpConn *c)
{
    if (c->body.heap.ptr == NULL)
        return;
    buf_free(&c->body.heap);
    atomic_fetch_sub(&c->loop->server->body_bytes, (int64_t)c->body.charged_bytes);
    c->body.charged_bytes = 0;
}

Str http_body_str(const HttpConn *c)
{
    static const char NOTHING[HTTP_PADDING_BYTES];
    return c->body.len == 0 ? (Str){NOTHING, 0} : (Str){c->body.ptr, c->body.len};
}
