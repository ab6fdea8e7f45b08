/*
 * app/tls_authority.h -- a certificate authority of the chain's own, and the server's certificate.
 *
 * Owns:     the folder that it is called with: authority.pem, authority.crt (the same in DER, for
 *           phones), authority.key, server.pem, server.key.
 * Promises: P-256 throughout; private keys are readable by their owner only; the authority can vouch
 *           for local names, private addresses and the hosts it was made for, and for nothing else
 *           (critical name constraints), so a stolen one cannot pose as a bank; the server's
 *           certificate lives 825 days at most, as phones demand.
 * Depends:  base, libcrypto.      Threads: any.
 */
#pragma once

#include "base/ctx.h"

enum {
    TLS_HOSTS_MAX = 64,
    TLS_HOST_BYTES_MAX = 253,
    TLS_AUTHORITY_YEARS = 10,
    TLS_SERVER_DAYS = 825
};

/* Host names and IPv4 or IPv6 addresses, each NUL-terminated. */
typedef struct TlsHosts {
    char name[TLS_HOSTS_MAX][TLS_HOST_BYTES_MAX + 1];
    size_t count;
} TlsHosts;

/* Adds one, lower case, once.  INVALID "tls.host" (neither a name nor an address), TOO_LARGE
 * "tls.hosts". */
MUST_USE Err tls_hosts_add(Ctx *ctx, TlsHosts *hosts, Str host);

/* Adds localhost, 127.0.0.1 and this machine's IPv4 addresses. */
MUST_USE Err tls_hosts_add_local(Ctx *ctx, TlsHosts *hosts);

/* Makes the authority.  CONFLICT "tls.exists" when there is one, INTERNAL "tls.failed". */
MUST_USE Err tls_authority_make(Ctx *ctx, Str folder, const TlsHosts *hosts);

/* Makes a key and a certificate for the hosts, replacing the former ones.  NOT_FOUND "tls.missing"
 * without an authority, CONFLICT "tls.constraint" when it may not vouch for one of the hosts. */
MUST_USE Err tls_server_make(Ctx *ctx, Str folder, const TlsHosts *hosts);

/* Adds the hosts of the present server certificate.  NOT_FOUND "tls.missing". */
MUST_USE Err tls_server_hosts(Ctx *ctx, Str folder, TlsHosts *hosts);

/* SHA-256 of the authority's certificate as phones show it: "AB:CD:...". */
MUST_USE Err tls_authority_fingerprint(Ctx *ctx, Str folder, Str *out);
