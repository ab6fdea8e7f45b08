/*
 * app/trust.c -- the page, its QR code, the certificate.
 */
#include "app/trust.h"

#include "app/tls_authority.h"
#include "base/file.h"

#include <arpa/inet.h>
#include <qrencode.h>

enum { CERTIFICATE_BYTES_MAX = 1 << 16, PAGE_BYTES_MAX = 1 << 18, QUIET_ZONE = 4 };

/* What the one running server shows; set before it starts. */
static struct {
    Str certificate; /* DER */
    Str fingerprint;
    char address[INET_ADDRSTRLEN]; /* of this machine, as phones may reach it; "" = not known */
    int port;
} shown;

static const char PAGE_HEAD[] =
    "<!doctype html><html lang=\"zh-CN\"><head><meta charset=\"utf-8\">"
    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
    "<title>信任本店服务器 · Trust this server</title><style>"
    "body{font:17px/1.6 -apple-system,BlinkMacSystemFont,'PingFang SC','Noto Sans CJK SC',"
    "'Microsoft YaHei',sans-serif;max-width:34rem;margin:0 auto;padding:1rem;color:#1a1a1a;"
    "background:#fff}h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:1.6rem}"
    "a.get{display:block;text-align:center;background:#0b6b3a;color:#fff;padding:.9rem;"
    "border-radius:.5rem;text-decoration:none;font-weight:600}code{word-break:break-all;"
    "font-size:.85rem}svg{display:block;width:12rem;height:12rem;margin:1rem auto}"
    "li{margin:.3rem 0}hr{border:0;border-top:1px solid #ddd;margin:2rem 0}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#eee}"
    "svg{background:#fff}hr{border-color:#444}}</style></head><body>";

static const char PAGE_CHINESE[] =
    "<h1>让这部手机信任本店服务器</h1>"
    "<p>每部手机只需做一次。之后扫码、离线核销等功能才能使用。</p>"
    "<p><a class=\"get\" href=\"/trust/authority.crt\">下载证书</a></p>"
    "<h2>iPhone（请用 Safari 打开本页）</h2><ol>"
    "<li>点“下载证书”，再点“允许”。</li>"
    "<li>打开“设置”，点顶部的“已下载描述文件”，点“安装”。</li>"
    "<li>打开“设置 → 通用 → 关于本机 → 证书信任设置”，打开“Tongdian local authority”的开关。</li></ol>"
    "<h2>安卓</h2><ol><li>点“下载证书”。</li>"
    "<li>打开“设置 → 安全 → 更多安全设置 → 加密与凭据 → 安装证书 → CA 证书”"
    "（各品牌名称略有不同，可在设置中搜索“证书”）。</li>"
    "<li>选择刚下载的 authority.crt。</li></ol>"
    "<p>安装前请核对指纹（SHA-256），应与店长手中的一致：</p>";

static const char PAGE_ENGLISH[] =
    "<hr><div lang=\"en\"><h1>Make this phone trust the shop's server</h1>"
    "<p>Once per phone. Scanning codes and working offline need it.</p>"
    "<p><a class=\"get\" href=\"/trust/authority.crt\">Download the certificate</a></p>"
    "<h2>iPhone (open this page in Safari)</h2><ol>"
    "<li>Tap “Download the certificate”, then “Allow”.</li>"
    "<li>Open Settings, tap “Profile Downloaded” at the top, tap “Install”.</li>"
    "<li>Open Settings → General → About → Certificate Trust Settings and switch “Tongdian local "
    "authority” on.</li></ol>"
    "<h2>Android</h2><ol><li>Tap “Download the certificate”.</li>"
    "<li>Open Settings → Security → More security settings → Encryption &amp; credentials → "
    "Install a certificate → CA certificate (names differ: search the settings for "
    "“certificate”).</li>"
    "<li>Choose authority.crt.</li></ol>"
    "<p>Before you install it, compare its fingerprint (SHA-256) with the one that your manager "
    "has:</p>";

/* ---- the QR code ------------------------------------------------------------------------------------- */

static bool add_qr(Buf *out, const char *text)
{
    QRcode *code = QRcode_encodeString(text, 0, QR_ECLEVEL_M, QR_MODE_8, 1);
    if (code == NULL)
        return false;
    const int side = code->width + 2 * QUIET_ZONE;
    buf_addf(
        out,
        "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"QR\" shape-rendering=\"crispEdges\">"
        "<path fill=\"#fff\" d=\"M0 0h%dv%dH0z\"/><path d=\"",
        side, side, side, side);
    for (int i = 0; i < code->width * code->width; i++)
        if (code->data[i] & 1)
            buf_addf(out, "M%d %dh1v1h-1z", i % code->width + QUIET_ZONE,
                     i / code->width + QUIET_ZONE);
    buf_addf(out, "\"/></svg>");
    QRcode_free(code);
    return true;
}

/* Where the asking phone reached us; from this machine itself: where others would. */
static Str own_address(HttpExchange *x)
{
    const Str host = http_header(x, "Host");
    bool plain = host.len > 0 && host.len <= 200;
    for (size_t i = 0; i < host.len && plain; i++) {
        const char c = host.ptr[i];
        plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                c == '.' || c == '-' || c == ':' || c == '[' || c == ']';
    }
    const bool here = str_starts_with(host, STR("localhost")) || str_starts_with(host, STR("127."));
    if (plain && (!here || shown.address[0] == '\0'))
        return arena_printf(x->arena, "http://%.*s/trust", STR_ARG(host));
    return arena_printf(x->arena, "http://%s:%d/trust", shown.address, shown.port);
}

/* ---- the doors --------------------------------------------------------------------------------------- */

static HttpWhen page(HttpExchange *x)
{
    const Str address = own_address(x);
    Buf out = BUF_MAX(PAGE_BYTES_MAX);
    buf_add(&out, str_of(PAGE_HEAD));
    buf_add(&out, str_of(PAGE_CHINESE));
    buf_addf(&out, "<p><code>%.*s</code></p>", STR_ARG(shown.fingerprint));
    buf_addf(&out, "<p>其他手机扫这个码打开本页 · Other phones: scan this</p>");
    if (add_qr(&out, address.ptr))
        buf_addf(&out, "<p style=\"text-align:center\"><code>%.*s</code></p>", STR_ARG(address));
    buf_add(&out, str_of(PAGE_ENGLISH));
    buf_addf(&out, "<p><code>%.*s</code></p></div></body></html>", STR_ARG(shown.fingerprint));
    x->reply.status = 200;
    x->reply.content_type = "text/html; charset=utf-8";
    http_reply_header(x, "Content-Security-Policy",
                      "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
                      "form-action 'none'; frame-ancestors 'none'");
    x->reply.body = arena_copy(x->arena, buf_str(&out));
    buf_free(&out);
    return HTTP_NOW;
}

static HttpWhen certificate(HttpExchange *x)
{
    x->reply.status = 200;
    x->reply.content_type = "application/x-x509-ca-cert";
    http_reply_header(x, "Content-Disposition", "attachment; filename=\"authority.crt\"");
    x->reply.body = shown.certificate;
    return HTTP_NOW;
}

static HttpWhen to_page(HttpExchange *x)
{
    x->reply.status = 302;
    http_reply_header(x, "Location", "/trust");
    return HTTP_NOW;
}

static const HttpRoute ROUTES[] = {
    {.method = HTTP_GET, .path = "/", .handle = to_page},
    {.method = HTTP_GET, .path = "/trust", .handle = page},
    {.method = HTTP_GET, .path = "/trust/authority.crt", .handle = certificate},
    {0}};

/* The first address that is not the machine's own loop. */
static Err find_address(Ctx *ctx)
{
    TlsHosts *hosts = ARENA_NEW(ctx->arena, TlsHosts);
    TRY(tls_hosts_add_local(ctx, hosts));
    for (size_t i = 0; i < hosts->count; i++) {
        const Str h = str_of(hosts->name[i]);
        if (str_eq(h, STR("localhost")) || str_starts_with(h, STR("127.")))
            continue;
        CHECK(str_to_c(h, shown.address, sizeof shown.address));
        break;
    }
    return ERR_OK;
}

Err trust_start(Ctx *ctx, Str tls_cert, const char *address, int port, HttpServer **out)
{
    size_t at = tls_cert.len;
    while (at > 0 && tls_cert.ptr[at - 1] != '/')
        at--;
    const Str folder = at == 0 ? STR(".") : str_slice(tls_cert, 0, at == 1 ? 1 : at - 1);
    const Err err =
        file_load(ctx, folder, STR("authority.crt"), CERTIFICATE_BYTES_MAX, &shown.certificate);
    if (err == ERR_NOT_FOUND)
        return fail(ctx, ERR_NOT_FOUND, "tls.missing",
                    "no authority.crt beside the certificate: --trust-listen is for those that "
                    "`tongdian tls init` makes");
    TRY(err);
    TRY(tls_authority_fingerprint(ctx, folder, &shown.fingerprint));
    TRY(find_address(ctx));
    HttpOptions options = http_options_default();
    options.address = address;
    options.port = port;
    options.loops = 1;
    options.routes = ROUTES;
    TRY(http_start(ctx, &options, out));
    shown.port = http_port(*out);
    return ERR_OK;
}
