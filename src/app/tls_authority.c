/*
 * app/tls_authority.c -- keys, certificates and their extensions with libcrypto.
 */
#include "app/tls_authority.h"

#include "base/crypto.h"
#include "base/file.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>

enum { PEM_BYTES_MAX = 1 << 16, DAY_S = 86400, DAYS_OF_YEAR = 365, SERIAL_BYTES = 16 };

#define AUTHORITY_PEM STR("authority.pem")
#define AUTHORITY_DER STR("authority.crt")
#define AUTHORITY_KEY STR("authority.key")
#define SERVER_PEM    STR("server.pem")
#define SERVER_KEY    STR("server.key")

static Err tls_fail(Ctx *ctx, const char *doing)
{
    char text[120];
    ERR_error_string_n(ERR_get_error(), text, sizeof text);
    return fail(ctx, ERR_INTERNAL, "tls.failed", "%s: %s", doing, text);
}

/* ---- hosts ------------------------------------------------------------------------------------------- */

static bool is_address(const char *host)
{
    unsigned char bytes[16];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

static bool is_name(Str s)
{
    if (s.len == 0 || s.len > TLS_HOST_BYTES_MAX || s.ptr[0] == '-' || s.ptr[0] == '.')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        const char c = s.ptr[i];
        const bool good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
        if (!good || (c == '.' && s.ptr[i - 1] == '.'))
            return false;
    }
    return true;
}

Err tls_hosts_add(Ctx *ctx, TlsHosts *hosts, Str host)
{
    char name[TLS_HOST_BYTES_MAX + 1];
    if (!str_to_c(str_trim(host), name, sizeof name))
        return fail(ctx, ERR_INVALID, "tls.host", "over %d bytes", TLS_HOST_BYTES_MAX);
    for (char *c = name; *c != '\0'; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
    if (!is_address(name) && !is_name(str_of(name)))
        return fail(ctx, ERR_INVALID, "tls.host", "\"%s\" is no host name and no address", name);
    for (size_t i = 0; i < hosts->count; i++)
        if (str_eq(str_of(hosts->name[i]), str_of(name)))
            return ERR_OK;
    if (hosts->count == TLS_HOSTS_MAX)
        return fail(ctx, ERR_TOO_LARGE, "tls.hosts", "over %d hosts", TLS_HOSTS_MAX);
    memcpy(hosts->name[hosts->count++], name, sizeof name);
    return ERR_OK;
}

Err tls_hosts_add_local(Ctx *ctx, TlsHosts *hosts)
{
    struct ifaddrs *all = NULL;
    TRY(tls_hosts_add(ctx, hosts, STR("localhost")));
    TRY(tls_hosts_add(ctx, hosts, STR("127.0.0.1")));
    if (getifaddrs(&all) != 0)
        return ERR_OK; /* they can be named by hand */
    Err err = ERR_OK;
    for (const struct ifaddrs *i = all; i != NULL && err == ERR_OK; i = i->ifa_next) {
        char text[INET_ADDRSTRLEN];
        struct sockaddr_in in;
        if (i->ifa_addr == NULL || i->ifa_addr->sa_family != AF_INET)
            continue;
        memcpy(&in, i->ifa_addr, sizeof in);
        if (inet_ntop(AF_INET, &in.sin_addr, text, sizeof text) != NULL)
            err = tls_hosts_add(ctx, hosts, str_of(text));
    }
    freeifaddrs(all);
    return err;
}

/* ---- files ------------------------------------------------------------------------------------------- */

static Err save_bio(Ctx *ctx, Str folder, Str name, BIO *bio)
{
    char *bytes = NULL;
    const long n = BIO_get_mem_data(bio, &bytes);
    return file_replace(ctx, folder, name, (Str){bytes, (size_t)n});
}

/* file_replace() makes files that only their owner may read: the keys need it, the others may. */
static Err save_key(Ctx *ctx, Str folder, Str name, EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    CHECK(bio != NULL);
    const bool written = PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
    const Err err = written ? save_bio(ctx, folder, name, bio) : tls_fail(ctx, "writing a key");
    (void)BIO_free(bio);
    return err;
}

static Err save_certificate(Ctx *ctx, Str folder, Str name, X509 *certificate, bool der)
{
    BIO *bio = BIO_new(BIO_s_mem());
    CHECK(bio != NULL);
    const int written = der ? i2d_X509_bio(bio, certificate) : PEM_write_bio_X509(bio, certificate);
    const Err err =
        written == 1 ? save_bio(ctx, folder, name, bio) : tls_fail(ctx, "writing a certificate");
    (void)BIO_free(bio);
    return err;
}

static Err load_bio(Ctx *ctx, Str folder, Str name, BIO **out)
{
    Str bytes;
    const Err err = file_load(ctx, folder, name, PEM_BYTES_MAX, &bytes);
    if (err == ERR_NOT_FOUND)
        return fail(ctx, ERR_NOT_FOUND, "tls.missing", "%.*s: run `tongdian tls init` first",
                    STR_ARG(name));
    TRY(err);
    *out = BIO_new_mem_buf(bytes.ptr, (int)bytes.len);
    CHECK(*out != NULL);
    return ERR_OK;
}

static Err load_certificate(Ctx *ctx, Str folder, Str name, X509 **out)
{
    BIO *bio = NULL;
    TRY(load_bio(ctx, folder, name, &bio));
    *out = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    (void)BIO_free(bio);
    return *out == NULL ? tls_fail(ctx, "reading a certificate") : ERR_OK;
}

static Err load_key(Ctx *ctx, Str folder, Str name, EVP_PKEY **out)
{
    BIO *bio = NULL;
    TRY(load_bio(ctx, folder, name, &bio));
    *out = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    (void)BIO_free(bio);
    return *out == NULL ? tls_fail(ctx, "reading a key") : ERR_OK;
}

/* ---- certificates ------------------------------------------------------------------------------------ */

static bool add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX v3;
    X509V3_set_ctx_nodb(&v3);
    X509V3_set_ctx(&v3, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &v3, nid, value);
    const bool added = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

static bool set_serial(X509 *certificate)
{
    unsigned char bytes[SERIAL_BYTES];
    BIGNUM *number = NULL;
    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return false;
    bytes[0] &= 0x7f; /* positive */
    number = BN_bin2bn(bytes, sizeof bytes, NULL);
    const bool set =
        number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
    BN_free(number);
    return set;
}

/* The parts that both kinds share; the clock of a phone may be a day behind. */
static bool begin_certificate(X509 *certificate, EVP_PKEY *key, const char *name, int64_t now_ms,
                              long days)
{
    X509_NAME *subject = X509_get_subject_name(certificate);
    time_t at = (time_t)(now_ms / 1000);
    return X509_set_version(certificate, 2) == 1 && set_serial(certificate) &&
           X509_time_adj_ex(X509_getm_notBefore(certificate), -1, 0, &at) != NULL &&
           X509_time_adj_ex(X509_getm_notAfter(certificate), (int)days - 1, 0, &at) != NULL &&
           X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8,
                                      (const unsigned char *)"Tongdian", -1, -1, 0) == 1 &&
           X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1,
                                      -1, 0) == 1 &&
           X509_set_pubkey(certificate, key) == 1;
}

/* "permitted;DNS:local,permitted;IP:10.0.0.0/255.0.0.0,..." */
static void add_constraints(Buf *out, const TlsHosts *hosts)
{
    static const char *const LOCAL[] = {"DNS:localhost",
                                        "DNS:local",
                                        "DNS:lan",
                                        "DNS:internal",
                                        "DNS:home.arpa",
                                        "IP:127.0.0.0/255.0.0.0",
                                        "IP:10.0.0.0/255.0.0.0",
                                        "IP:172.16.0.0/255.240.0.0",
                                        "IP:192.168.0.0/255.255.0.0",
                                        "IP:100.64.0.0/255.192.0.0",
                                        "IP:169.254.0.0/255.255.0.0"};
    buf_addf(out, "critical");
    for (size_t i = 0; i < ARRAY_LEN(LOCAL); i++)
        buf_addf(out, ",permitted;%s", LOCAL[i]);
    for (size_t i = 0; i < hosts->count; i++) {
        const char *h = hosts->name[i];
        const bool v6 = str_index(str_of(h), ':', 0) >= 0;
        if (!is_address(h))
            buf_addf(out, ",permitted;DNS:%s", h);
        else
            buf_addf(out, ",permitted;IP:%s/%s", h,
                     v6 ? "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" : "255.255.255.255");
    }
    buf_add_char(out, '\0');
}

static bool fill_authority(X509 *ca, EVP_PKEY *key, const TlsHosts *hosts, int64_t now_ms)
{
    char name[64], day[9];
    const time_t at = (time_t)(now_ms / 1000);
    struct tm utc;
    (void)strftime(day, sizeof day, "%Y%m%d", gmtime_r(&at, &utc));
    (void)snprintf(name, sizeof name, "Tongdian local authority %s", day);
    Buf constraints = BUF_MAX(1 << 16);
    add_constraints(&constraints, hosts);
    const bool good =
        begin_certificate(ca, key, name, now_ms, (long)TLS_AUTHORITY_YEARS * DAYS_OF_YEAR) &&
        X509_set_issuer_name(ca, X509_get_subject_name(ca)) == 1 &&
        add_extension(ca, ca, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
        add_extension(ca, ca, NID_key_usage, "critical,keyCertSign,cRLSign") &&
        add_extension(ca, ca, NID_subject_key_identifier, "hash") &&
        add_extension(ca, ca, NID_name_constraints, constraints.ptr) &&
        X509_sign(ca, key, EVP_sha256()) > 0;
    buf_free(&constraints);
    return good;
}

static bool fill_server(X509 *certificate, EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key,
                        const TlsHosts *hosts, int64_t now_ms)
{
    Buf names = BUF_MAX(1 << 16);
    for (size_t i = 0; i < hosts->count; i++)
        buf_addf(&names, "%s%s:%s", i == 0 ? "" : ",", is_address(hosts->name[i]) ? "IP" : "DNS",
                 hosts->name[i]);
    buf_add_char(&names, '\0');
    const bool good =
        begin_certificate(certificate, key, "Tongdian server", now_ms, TLS_SERVER_DAYS) &&
        X509_set_issuer_name(certificate, X509_get_subject_name(ca)) == 1 &&
        add_extension(certificate, ca, NID_basic_constraints, "critical,CA:FALSE") &&
        add_extension(certificate, ca, NID_key_usage, "critical,digitalSignature") &&
        add_extension(certificate, ca, NID_ext_key_usage, "serverAuth") &&
        add_extension(certificate, ca, NID_subject_key_identifier, "hash") &&
        add_extension(certificate, ca, NID_authority_key_identifier, "keyid:always") &&
        add_extension(certificate, ca, NID_subject_alt_name, names.ptr) &&
        X509_sign(certificate, ca_key, EVP_sha256()) > 0;
    buf_free(&names);
    return good;
}

/* ---- the doors --------------------------------------------------------------------------------------- */

Err tls_authority_make(Ctx *ctx, Str folder, const TlsHosts *hosts)
{
    Str there;
    TRY(file_make_folder(ctx, folder));
    if (file_load(ctx, folder, AUTHORITY_KEY, PEM_BYTES_MAX, &there) != ERR_NOT_FOUND)
        return fail(ctx, ERR_CONFLICT, "tls.exists", "%.*s holds an authority: `tls renew` goes on",
                    STR_ARG(folder));
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *ca = X509_new();
    CHECK(ca != NULL);
    Err err = key != NULL && fill_authority(ca, key, hosts, ctx->now_ms)
                  ? ERR_OK
                  : tls_fail(ctx, "making the authority");
    if (err == ERR_OK)
        err = save_certificate(ctx, folder, AUTHORITY_PEM, ca, false);
    if (err == ERR_OK)
        err = save_certificate(ctx, folder, AUTHORITY_DER, ca, true);
    if (err == ERR_OK)
        err = save_key(ctx, folder, AUTHORITY_KEY, key);
    X509_free(ca);
    EVP_PKEY_free(key);
    return err;
}

/* A phone would refuse what the authority may not vouch for: say so here. */
static Err check_constraints(Ctx *ctx, X509 *certificate, X509 *ca)
{
    (void)X509_check_purpose(certificate, -1,
                             0); /* reads its extensions, which the check looks at */
    NAME_CONSTRAINTS *limits = X509_get_ext_d2i(ca, NID_name_constraints, NULL, NULL);
    const int verdict = limits == NULL ? X509_V_OK : NAME_CONSTRAINTS_check(certificate, limits);
    NAME_CONSTRAINTS_free(limits);
    if (verdict == X509_V_OK)
        return ERR_OK;
    return fail(ctx, ERR_CONFLICT, "tls.constraint",
                "the authority was not made for one of these hosts: make a new one in another "
                "folder (%s)",
                X509_verify_cert_error_string(verdict));
}

static Err make_server(Ctx *ctx, Str folder, const TlsHosts *hosts, X509 *ca, EVP_PKEY *ca_key)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    CHECK(certificate != NULL);
    Err err = key != NULL && fill_server(certificate, key, ca, ca_key, hosts, ctx->now_ms)
                  ? ERR_OK
                  : tls_fail(ctx, "making the server's certificate");
    if (err == ERR_OK)
        err = check_constraints(ctx, certificate, ca);
    if (err == ERR_OK)
        err = save_key(ctx, folder, SERVER_KEY, key);
    if (err == ERR_OK)
        err = save_certificate(ctx, folder, SERVER_PEM, certificate, false);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return err;
}

Err tls_server_make(Ctx *ctx, Str folder, const TlsHosts *hosts)
{
    X509 *ca = NULL;
    EVP_PKEY *ca_key = NULL;
    TRY(load_certificate(ctx, folder, AUTHORITY_PEM, &ca));
    Err err = load_key(ctx, folder, AUTHORITY_KEY, &ca_key);
    if (err == ERR_OK)
        err = make_server(ctx, folder, hosts, ca, ca_key);
    X509_free(ca);
    EVP_PKEY_free(ca_key);
    return err;
}

static Err add_general_name(Ctx *ctx, const GENERAL_NAME *n, TlsHosts *hosts)
{
    char text[INET6_ADDRSTRLEN];
    if (n->type == GEN_DNS)
        return tls_hosts_add(ctx, hosts,
                             (Str){(const char *)ASN1_STRING_get0_data(n->d.dNSName),
                                   (size_t)ASN1_STRING_length(n->d.dNSName)});
    if (n->type != GEN_IPADD)
        return ERR_OK;
    const int family = ASN1_STRING_length(n->d.iPAddress) == 4 ? AF_INET : AF_INET6;
    if (inet_ntop(family, ASN1_STRING_get0_data(n->d.iPAddress), text, sizeof text) == NULL)
        return ERR_OK;
    return tls_hosts_add(ctx, hosts, str_of(text));
}

Err tls_server_hosts(Ctx *ctx, Str folder, TlsHosts *hosts)
{
    X509 *certificate = NULL;
    TRY(load_certificate(ctx, folder, SERVER_PEM, &certificate));
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    Err err = ERR_OK;
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && err == ERR_OK; i++)
        err = add_general_name(ctx, sk_GENERAL_NAME_value(names, i), hosts);
    GENERAL_NAMES_free(names);
    X509_free(certificate);
    return err;
}

Err tls_authority_fingerprint(Ctx *ctx, Str folder, Str *out)
{
    Str der;
    uint8_t digest[CRYPTO_MAC_BYTES];
    TRY(file_load(ctx, folder, AUTHORITY_DER, PEM_BYTES_MAX, &der));
    crypto_sha256(der, digest);
    char *text = arena_bytes(ctx->arena, 3 * sizeof digest + 1);
    for (size_t i = 0; i < sizeof digest; i++)
        (void)snprintf(text + 3 * i, 4, "%02X:", digest[i]);
    *out = (Str){text, 3 * sizeof digest - 1};
    return ERR_OK;
}
