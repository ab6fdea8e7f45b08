/*
 * http/http_guard.h -- is the framing of this request beyond doubt?  (RFC 9112; request smuggling)
 *
 * The HTTP library accepts more than is safe behind a proxy that counts bytes another way.  The
 * guard sees every piece of a head, in order, and refuses whatever two programs could read
 * differently.
 * Owns: nothing; keeps views of the pieces.  Threads: one per guard.  Knows no sockets.
 */
#pragma once

#include "base/str.h"

typedef struct HttpGuard {
    const char *reason; /* stable code of the first objection; NULL while there is none */
    const char *next;   /* where the next piece must start; NULL = the layout is not checked */
    bool http10;
    int hosts, lengths, codings;
    bool chunked;
    int64_t length;       /* Content-Length; 0 when absent */
    Str content_encoding; /* for whoever reads the body and writes the reply */
    Str accept_encoding;
} HttpGuard;

/*
 * Use: http_guard_line() once, http_guard_header() per header, then http_guard_end().
 * Reasons: "http.request_line", "http.version", "http.header_name", "http.header_value",
 * "http.host", "http.content_length", "http.transfer_encoding", "http.length_and_chunked",
 * "http.head_layout".
 *
 * `target_at` is where the library's buffer holds the target (it cuts queries up there, so `target`
 * may be a copy).  When it is not NULL, all other pieces must lie in that buffer exactly as RFC
 * 9112 spells a head: one space between the parts of the first line, CR LF behind every line.  So
 * folded lines, bare line feeds and values cut by a NUL are seen, although the library has joined
 * or cut them.
 */
void http_guard_line(HttpGuard *g, Str method, Str target, Str version, const char *target_at);
void http_guard_header(HttpGuard *g, Str name, Str value);

/* `head` is where the first line starts, `head_bytes` the size of the head with its empty line
 * (both only looked at when the layout is checked).  The answer is g->reason. */
const char *http_guard_end(HttpGuard *g, const char *head, size_t head_bytes);

/* ASCII case does not matter; `lower` is in lower case. */
bool http_name_is(Str name, Str lower);

/* Does this Accept-Encoding allow gzip (not "gzip;q=0")? */
bool http_accepts_gzip(Str accept_encoding);
