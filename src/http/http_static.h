/*
 * http/http_static.h -- the web pages: from a table inside the program, or from a folder while they
 * are being written.
 *
 * Paths: "/" and "/x/" mean their index.html.  An address without a dot in its last part that is no
 * file is a page of an application that routes in the browser: it gets the index.html of its first
 * part ("/counter/a/b": counter/index.html), else the one of the root -- but only for a client that
 * asks for text/html, so a mistyped API address stays a 404.  Parts that start with '.' do not
 * exist.
 * Caching: what lies in a folder called assets has a hash in its name and never changes;
 * everything else is asked for again each time and answered 304 by its ETag.
 * Every reply has a strict Content-Security-Policy, and frames are forbidden.
 * Owns: nothing; the table and the folder's name must outlive it.  Threads: any.
 */
#pragma once

#include "http/http.h"

typedef struct HttpStaticFile {
    const char *path; /* "console/index.html": no leading slash */
    const char *mime;
    Str bytes;
    Str gzip;         /* the same, compressed; empty = not worth it */
    const char *etag; /* without quotes; changes with the bytes */
} HttpStaticFile;

typedef struct HttpStatic {
    const HttpStaticFile *files; /* in byte order of path */
    size_t count;
    Str folder; /* not empty: files are read from here at each request, the table is unused */
} HttpStatic;

enum { HTTP_STATIC_BYTES_MAX = 32 << 20 };

/* Fills the reply: 200, 304, 404 "http.no_such_path" or 405.  Always HTTP_NOW. */
HttpWhen http_static_serve(const HttpStatic *site, HttpExchange *x);
