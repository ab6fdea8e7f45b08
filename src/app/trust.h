/*
 * app/trust.h -- the page that helps a shop's phones trust the local authority.
 *
 * A plain HTTP server of its own, because a phone that does not trust the certificate yet could only
 * reach the page over HTTPS through a warning.  It shows the page /trust, gives the authority's
 * certificate (public) at /trust/authority.crt, and nothing else.
 *
 * Owns:    nothing on disk.      Threads: the server's one loop.
 */
#pragma once

#include "http/http.h"

/* Serves the authority that lies beside the certificate `tls_cert`, on `address`:`port`.  What is read lives
 * in ctx->arena, which must outlive the server.
 * Errors: NOT_FOUND "tls.missing" when there is no authority.crt, and those of http_start(). */
MUST_USE Err trust_start(Ctx *ctx, Str tls_cert, const char *address, int port, HttpServer **out);
