/*
 * http/http_tls_test.c -- HTTPS with a certificate made for the test: who gets in, and who does
 * not.
 */
#include "base/clock.h"
#include "http/http.h"
#include "http/http_client.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

static char folder[64], cert_file[96], key_file[96];
static HttpServer *server;
static Arena *arena;

static HttpWhen on_hello(HttpExchange *x)
{
    x->reply.status = 200;
    x->reply.content_type = "text/plain";
    x->reply.body = x->request.secure ? STR("secure") : STR("plain");
    return HTTP_NOW;
}

static HttpWhen on_large(HttpExchange *x)
{
    char *text = arena_bytes(x->arena, 3000000);
    memset(text, 'x', 3000000);
    x->reply.status = 200;
    x->reply.content_type = "application/octet-stream";
    x->reply.body = (Str){text, 3000000};
    return HTTP_NOW;
}

static const HttpRoute ROUTES[] = {
    {HTTP_GET, "/hello", on_hello, 0, NULL},
    {HTTP_GET, "/large", on_large, 0, NULL},
    {0},
};

static void write_file(const char *name, const gnutls_datum_t *pem)
{
    FILE *f = fopen(name, "w");
    CHECK(f != NULL);
    CHECK(fwrite(pem->data, 1, pem->size, f) == pem->size);
    CHECK(fclose(f) == 0);
}

static void make_certificate(void)
{
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t cert;
    gnutls_datum_t pem = {NULL, 0};
    const time_t now = (time_t)(clock_now_ms() / 1000);
    CHECK(gnutls_x509_privkey_init(&key) == 0 && gnutls_x509_crt_init(&cert) == 0);
    CHECK(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                       GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0) == 0);
    CHECK(gnutls_x509_crt_set_version(cert, 3) == 0);
    CHECK(gnutls_x509_crt_set_serial(cert, "\x01", 1) == 0);
    CHECK(gnutls_x509_crt_set_activation_time(cert, now - 60) == 0);
    CHECK(gnutls_x509_crt_set_expiration_time(cert, now + 3600) == 0);
    CHECK(gnutls_x509_crt_set_dn_by_oid(cert, GNUTLS_OID_X520_COMMON_NAME, 0, "test", 4) == 0);
    CHECK(gnutls_x509_crt_set_key(cert, key) == 0);
    CHECK(gnutls_x509_crt_sign2(cert, cert, key, GNUTLS_DIG_SHA256, 0) == 0);
    CHECK(gnutls_x509_crt_export2(cert, GNUTLS_X509_FMT_PEM, &pem) == 0);
    write_file(cert_file, &pem);
    gnutls_free(pem.data);
    CHECK(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem) == 0);
    write_file(key_file, &pem);
    gnutls_free(pem.data);
    gnutls_x509_crt_deinit(cert);
    gnutls_x509_privkey_deinit(key);
}

static HttpOptions options(void)
{
    HttpOptions o = http_options_default();
    o.routes = ROUTES;
    o.tls_cert_file = cert_file;
    o.tls_key_file = key_file;
    return o;
}

static void start(HttpOptions o)
{
    (void)snprintf(folder, sizeof folder, "/tmp/http_tls_XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    (void)snprintf(cert_file, sizeof cert_file, "%s/cert.pem", folder);
    (void)snprintf(key_file, sizeof key_file, "%s/key.pem", folder);
    make_certificate();
    arena_free(arena);
    arena = arena_new(4096);
    Ctx ctx = {.arena = arena};
    CHECK(http_start(&ctx, &o, &server) == ERR_OK);
}

static void stop(void)
{
    http_stop(server, 2000);
    CHECK(unlink(cert_file) == 0 && unlink(key_file) == 0 && rmdir(folder) == 0);
}

static int dial(void)
{
    return client_dial(http_port(server));
}

typedef struct Answer {
    bool connected;
    size_t bytes;
    char start[2048];
} Answer;

/* One request over TLS with these GnuTLS priorities, read until the server closes. */
static Answer talk(const char *priorities, const char *request)
{
    Answer a = {.connected = false};
    gnutls_session_t session;
    gnutls_certificate_credentials_t nobody;
    const int fd = dial();
    CHECK(gnutls_init(&session, GNUTLS_CLIENT) == 0);
    CHECK(gnutls_priority_set_direct(session, priorities, NULL) == 0);
    CHECK(gnutls_certificate_allocate_credentials(&nobody) == 0);
    CHECK(gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, nobody) == 0);
    gnutls_transport_set_int(session, fd);
    int rc = 0;
    do {
        rc = gnutls_handshake(session);
    } while (rc < 0 && gnutls_error_is_fatal(rc) == 0);
    a.connected = rc == 0;
    if (a.connected) {
        const size_t length = str_of(request).len;
        CHECK(gnutls_record_send(session, request, length) == (ssize_t)length);
        char piece[16384];
        for (;;) {
            const ssize_t n = gnutls_record_recv(session, piece, sizeof piece);
            if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED)
                continue;
            if (n <= 0)
                break;
            for (size_t i = 0; i < (size_t)n && a.bytes + i < sizeof a.start - 1; i++)
                a.start[a.bytes + i] = piece[i];
            a.bytes += (size_t)n;
        }
    }
    gnutls_deinit(session);
    gnutls_certificate_free_credentials(nobody);
    (void)close(fd);
    return a;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

TEST(tls_serves_1_3_and_1_2_and_nothing_older)
{
    start(options());
    const char *const modern[] = {"NORMAL:-VERS-ALL:+VERS-TLS1.3", "NORMAL:-VERS-ALL:+VERS-TLS1.2"};
    for (size_t i = 0; i < ARRAY_LEN(modern); i++) {
        const Answer a = talk(modern[i], GET("/hello"));
        CHECK(a.connected);
        const char *body = strstr(a.start, "\r\n\r\n");
        CHECK(body != NULL);
        EXPECT_STREQ(body + 4, "secure");
    }
    EXPECT_I64(talk("NORMAL:-VERS-ALL:+VERS-TLS1.1:+VERS-TLS1.0", GET("/hello")).connected, 0);
    stop();
}

TEST(tls_delivers_large_replies_whole)
{
    start(options());
    const Answer a = talk("NORMAL", GET("/large"));
    CHECK(a.connected);
    CHECK(a.bytes > 3000000 && a.bytes < 3001000);
    stop();
}

TEST(tls_port_gives_nothing_to_plain_http_and_cuts_silent_handshakes)
{
    HttpOptions o = options();
    o.head_deadline_ms = 300;
    start(o);
    char reply[512];
    const int plain = dial();
    CHECK(send(plain, GET("/hello"), sizeof(GET("/hello")) - 1, MSG_NOSIGNAL) > 0);
    const ssize_t n = recv(plain, reply, sizeof reply - 1, 0);
    reply[n > 0 ? n : 0] = '\0';
    CHECK(strstr(reply, "HTTP/") == NULL);
    (void)close(plain);
    const int silent = dial();
    const int64_t from_us = clock_mono_us();
    CHECK(recv(silent, reply, sizeof reply, 0) <= 0);
    const int64_t ms = (clock_mono_us() - from_us) / 1000;
    CHECK(ms >= 250 && ms < 1500);
    (void)close(silent);
    stop();
}

TEST(tls_refuses_files_that_are_no_pair)
{
    start(options());
    Ctx ctx = {.arena = arena};
    HttpServer *second = NULL;
    HttpOptions o = options();
    o.tls_key_file = cert_file;
    EXPECT_I64(http_start(&ctx, &o, &second), ERR_INVALID);
    EXPECT_STREQ(ctx.fault.reason, "http.tls_files");
    stop();
}
