/*
 * http/http_test.c -- the parts of http/ that need no socket: routes, escapes, framing, problems.
 */
#include "base/rand.h"
#include "base/test.h"
#include "http/http_guard.h"
#include "http/http_query.h"
#include "http/http_router.h"

static Arena *arena;

static void setup(void)
{
    arena_free(arena);
    arena = arena_new(4096);
}

static const char *c_of(Str s)
{
    return arena_copy(arena, s).ptr;
}

static HttpWhen ignore(HttpExchange *x)
{
    (void)x;
    return HTTP_NOW;
}

static const HttpRoute ROUTES[] = {
    {HTTP_GET, "/", ignore, 0, NULL},
    {HTTP_GET, "/v1/coupons", ignore, 0, NULL},
    {HTTP_POST, "/v1/coupons", ignore, 0, NULL},
    {HTTP_GET, "/v1/coupons/{code}", ignore, 0, NULL},
    {HTTP_POST, "/v1/coupons/claim", ignore, 0, NULL},
    {HTTP_POST, "/v1/coupons/{code}/redeem", ignore, 0, NULL},
    {HTTP_GET, "/v1/{noun}/all", ignore, 0, NULL},
    {HTTP_GET, "/v1/a/{b}/c/{d}", ignore, 0, NULL},
    {0},
};

static HttpMatch match;

/* The path of the route found, or what went wrong. */
static const char *found(HttpMethod method, const char *path)
{
    const char *bad = NULL;
    const HttpRouter *r = http_router_new(arena, ROUTES, &bad);
    switch (http_router_find(r, arena, method, str_of(path), &match)) {
    case HTTP_ROUTED:
        return match.route->path;
    case HTTP_NO_SUCH_PATH:
        return "no path";
    case HTTP_NO_SUCH_METHOD:
        return http_router_allow(arena, match.allow);
    case HTTP_BAD_PATH:
        return "bad path";
    }
    return "?";
}

TEST(router_prefers_literals_and_falls_back_to_placeholders)
{
    setup();
    EXPECT_STREQ(found(HTTP_GET, "/"), "/");
    EXPECT_STREQ(found(HTTP_GET, "/v1/coupons"), "/v1/coupons");
    EXPECT_STREQ(found(HTTP_POST, "/v1/coupons/claim"), "/v1/coupons/claim");
    EXPECT_STREQ(found(HTTP_GET, "/v1/coupons/claim"), "/v1/coupons/{code}");
    EXPECT_STREQ(found(HTTP_GET, "/v1/stores/all"), "/v1/{noun}/all");
    EXPECT_STREQ(found(HTTP_GET, "/v1/coupons/all"), "/v1/coupons/{code}");
    EXPECT_STREQ(found(HTTP_POST, "/v1/coupons/K7/redeem"), "/v1/coupons/{code}/redeem");
    EXPECT_STREQ(c_of(match.param[0]), "K7");
    EXPECT_STREQ(found(HTTP_GET, "/v1/a/x/c/y"), "/v1/a/{b}/c/{d}");
    EXPECT_STREQ(c_of(match.param[0]), "x");
    EXPECT_STREQ(c_of(match.param[1]), "y");
}

TEST(router_keeps_slashes_and_empty_segments_apart)
{
    setup();
    const char *const nowhere[] = {"",
                                   "v1/coupons",
                                   "/v1/coupons/",
                                   "//v1/coupons",
                                   "/v1//all",
                                   "/V1/coupons",
                                   "/v1",
                                   "/v1/coupons/a/b",
                                   "/v1/a//c/",
                                   "/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8"};
    for (size_t i = 0; i < ARRAY_LEN(nowhere); i++)
        EXPECT_STREQ(found(HTTP_GET, nowhere[i]), "no path");
}

TEST(router_names_the_methods_there_are)
{
    setup();
    EXPECT_STREQ(found(HTTP_DELETE, "/v1/coupons"), "GET, HEAD, POST, OPTIONS");
    EXPECT_STREQ(found(HTTP_GET, "/v1/coupons/x/redeem"), "POST, OPTIONS");
    EXPECT_STREQ(found(HTTP_PUT, "/v1/coupons/claim"), "GET, HEAD, POST, OPTIONS");
}

TEST(router_decodes_parameters_once_and_refuses_bad_escapes)
{
    setup();
    EXPECT_STREQ(found(HTTP_GET, "/v1/%63oupons/a%2Fb%20%E5%88%B8+%2541"), "/v1/coupons/{code}");
    EXPECT_STREQ(c_of(match.param[0]), "a/b \xe5\x88\xb8+%41");
    const char *const bad[] = {"/v1/coupons/%",   "/v1/coupons/%4",  "/v1/coupons/%4g",
                               "/v1/coupons/%00", "/v1/coupons/%ff", "/v1/coupons/\xff"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        EXPECT_STREQ(found(HTTP_GET, bad[i]), "bad path");
}

TEST(router_refuses_tables_that_contradict_themselves)
{
    setup();
    const HttpRoute twice[] = {
        {HTTP_GET, "/a/{x}", ignore, 0, NULL}, {HTTP_GET, "/a/{y}", ignore, 0, NULL}, {0}};
    const HttpRoute relative[] = {{HTTP_GET, "a", ignore, 0, NULL}, {0}};
    const HttpRoute many[] = {{HTTP_GET, "/{a}/{b}/{c}/{d}/{e}", ignore, 0, NULL}, {0}};
    const char *bad = NULL;
    CHECK(http_router_new(arena, twice, &bad) == NULL);
    EXPECT_STREQ(bad, "/a/{y}");
    CHECK(http_router_new(arena, relative, &bad) == NULL);
    CHECK(http_router_new(arena, many, &bad) == NULL);
}

/* Does `pattern` match `path`, segment by segment?  The score is larger the earlier the literals.
 * */
static int slow_score(const char *pattern, const char *path)
{
    int score = 1;
    while (*pattern == '/' && *path == '/') {
        const char *p = ++pattern, *q = ++path;
        while (*pattern != '\0' && *pattern != '/')
            pattern++;
        while (*path != '\0' && *path != '/')
            path++;
        const bool any = *p == '{';
        const bool same = pattern - p == path - q && strncmp(p, q, (size_t)(path - q)) == 0;
        if (!same && !(any && path > q))
            return 0;
        score = score * 2 + (any ? 0 : 1);
    }
    return *pattern == '\0' && *path == '\0' ? score : 0;
}

TEST(router_agrees_with_a_slow_model_on_random_tables)
{
    Prng r = prng_of(7);
    for (int round = 0; round < 300; round++) {
        setup();
        HttpRoute routes[13] = {{0}};
        int n = 0;
        for (int i = 0; i < 12; i++) {
            Str path = STR("");
            for (uint64_t k = prng_below(&r, 4) + 1; k > 0; k--) {
                static const char *const PARTS[] = {"a", "b", "c", "{x}"};
                path = arena_printf(arena, "%.*s/%s", STR_ARG(path), PARTS[prng_below(&r, 4)]);
            }
            bool is_new = true;
            for (int k = 0; k < n; k++)
                is_new = is_new && strcmp(routes[k].path, path.ptr) != 0;
            if (is_new)
                routes[n++] = (HttpRoute){HTTP_GET, path.ptr, ignore, 0, NULL};
        }
        const char *bad = NULL;
        const HttpRouter *router = http_router_new(arena, routes, &bad);
        CHECK(router != NULL);
        for (int i = 0; i < 40; i++) {
            Str path = STR("");
            for (uint64_t k = prng_below(&r, 4) + 1; k > 0; k--)
                path = arena_printf(arena, "%.*s/%c", STR_ARG(path), "abcd"[prng_below(&r, 4)]);
            int best = 0;
            const char *want = "";
            for (int k = 0; k < n; k++) {
                const int score = slow_score(routes[k].path, path.ptr);
                if (score > best) {
                    best = score;
                    want = routes[k].path;
                }
            }
            const HttpRouted got = http_router_find(router, arena, HTTP_GET, path, &match);
            EXPECT_STREQ(got == HTTP_ROUTED ? match.route->path : "", want);
        }
    }
}

static const char *query_of(const char *query, const char *name)
{
    Str value;
    return http_query_find(arena, str_of(query), str_of(name), &value) ? c_of(value) : "absent";
}

TEST(query_parameters_are_found_decoded_first_one_first)
{
    setup();
    EXPECT_STREQ(query_of("a=1&b=2&a=3", "a"), "1");
    EXPECT_STREQ(query_of("a=1&b=2&a=3", "b"), "2");
    EXPECT_STREQ(query_of("a=1&b", "b"), "");
    EXPECT_STREQ(query_of("a=1&b=", "b"), "");
    EXPECT_STREQ(query_of("a=x%20y+z%2B&b", "a"), "x y z+");
    EXPECT_STREQ(query_of("%61b=7", "ab"), "7");
    EXPECT_STREQ(query_of("a=b=c", "a"), "b=c");
    EXPECT_STREQ(query_of("&&a=1", "a"), "1");
    EXPECT_STREQ(query_of("ab=1", "a"), "absent");
    EXPECT_STREQ(query_of("", "a"), "absent");
    EXPECT_STREQ(query_of("a=%4", "a"), "absent");
}

TEST(query_soundness_means_good_escapes_and_utf8)
{
    setup();
    const char *const good[] = {"", "a=1", "a=%e5%88%b8", "+", "a=\xe5\x88\xb8"};
    const char *const bad[] = {"%", "a=%1", "a=%zz", "%00", "a=%ff", "\xff", "a=%e5%88"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        EXPECT_I64(http_query_is_sound(arena, str_of(good[i])), 1);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        EXPECT_I64(http_query_is_sound(arena, str_of(bad[i])), 0);
}

TEST(cookies_are_found_by_their_whole_name)
{
    setup();
    const Str h = STR("a=1; session=\"x y\";sess=2 ;b; c=d=e; a=9");
    EXPECT_STREQ(c_of(http_cookie_find(h, STR("a"))), "1");
    EXPECT_STREQ(c_of(http_cookie_find(h, STR("session"))), "x y");
    EXPECT_STREQ(c_of(http_cookie_find(h, STR("sess"))), "2");
    EXPECT_STREQ(c_of(http_cookie_find(h, STR("c"))), "d=e");
    EXPECT_I64((int64_t)http_cookie_find(h, STR("b")).len, 0);
    EXPECT_I64((int64_t)http_cookie_find(h, STR("ession")).len, 0);
    EXPECT_I64((int64_t)http_cookie_find(STR(""), STR("a")).len, 0);
}

typedef struct Pair {
    const char *name, *value;
} Pair;

static const char *judge(const char *method, const char *target, const char *version,
                         const Pair *headers, size_t n)
{
    HttpGuard g;
    http_guard_line(&g, str_of(method), str_of(target), str_of(version), NULL);
    for (size_t i = 0; i < n; i++)
        http_guard_header(&g, str_of(headers[i].name), str_of(headers[i].value));
    const char *reason = http_guard_end(&g, NULL, 0);
    return reason == NULL ? "fine" : reason;
}

TEST(guard_takes_or_leaves_each_kind_of_header)
{
    static const struct {
        Pair header[2];
        const char *want;
    } rows[] = {
        {{{"Content-Length", "5"}}, "fine"},
        {{{"Transfer-Encoding", "Chunked"}}, "fine"},
        {{{"X-Name", "\xe5\x88\xb8 with\ttab"}}, "fine"},
        {{{"Content-Length", "5"}, {"content-length", "5"}}, "http.content_length"},
        {{{"Content-Length", "+5"}}, "http.content_length"},
        {{{"Content-Length", "5 "}}, "http.content_length"},
        {{{"Content-Length", ""}}, "http.content_length"},
        {{{"Content-Length", "9999999999999999999"}}, "http.content_length"},
        {{{"Content-Length", "5"}, {"Transfer-Encoding", "chunked"}}, "http.length_and_chunked"},
        {{{"Transfer-Encoding", "chunked"}, {"Content-Length", "0"}}, "http.length_and_chunked"},
        {{{"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "chunked"}},
         "http.transfer_encoding"},
        {{{"Transfer-Encoding", "gzip, chunked"}}, "http.transfer_encoding"},
        {{{"Transfer-Encoding", "chunked "}}, "http.transfer_encoding"},
        {{{"Transfer-Encoding", ""}}, "http.transfer_encoding"},
        {{{"Content-Length ", "5"}}, "http.header_name"},
        {{{"X Y", "5"}}, "http.header_name"},
        {{{"", "5"}}, "http.header_name"},
        {{{"X\x01", "5"}}, "http.header_name"},
        {{{"X\xe5", "5"}}, "http.header_name"},
        {{{"X", "a\rb"}}, "http.header_value"},
        {{{"X", "a\nb"}}, "http.header_value"},
        {{{"X", "a\x7f"}}, "http.header_value"},
        {{{"Host", "b"}}, "http.host"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const Pair list[] = {{"Host", "a.example:8080"}, rows[i].header[0], rows[i].header[1]};
        const size_t n = rows[i].header[1].name == NULL ? 2 : 3;
        EXPECT_STREQ(judge("POST", "/", "HTTP/1.1", list, n), rows[i].want);
    }
}

TEST(guard_wants_a_plain_first_line_and_one_host)
{
    const Pair host = {"Host", "[::1]:80"}, chunked = {"Transfer-Encoding", "chunked"};
    EXPECT_STREQ(judge("GET", "/a?b", "HTTP/1.1", &host, 1), "fine");
    EXPECT_STREQ(judge("GET", "/", "HTTP/1.0", NULL, 0), "fine");
    EXPECT_STREQ(judge("GET", "/", "HTTP/1.1", NULL, 0), "http.host");
    EXPECT_STREQ(judge("GET", "/", "HTTP/1.0", &chunked, 1), "http.transfer_encoding");
    EXPECT_STREQ(judge("GET", "/", "HTTP/1.2", &host, 1), "http.version");
    EXPECT_STREQ(judge("GET", "http://x/", "HTTP/1.1", &host, 1), "http.request_line");
    EXPECT_STREQ(judge("GET", "*", "HTTP/1.1", &host, 1), "http.request_line");
    EXPECT_STREQ(judge("GET", "/a b", "HTTP/1.1", &host, 1), "http.request_line");
    EXPECT_STREQ(judge("GET", "/a\x01", "HTTP/1.1", &host, 1), "http.request_line");
    EXPECT_STREQ(judge("G(T", "/", "HTTP/1.1", &host, 1), "http.request_line");
    const char *const hosts[] = {"", "a/b", "a@b", "a b", "a,b"};
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
        EXPECT_STREQ(judge("GET", "/", "HTTP/1.1", &(Pair){"Host", hosts[i]}, 1), "http.host");
}

TEST(guard_reads_accept_encoding_with_weights)
{
    const char *const yes[] = {"gzip", "deflate, gzip;q=0.5", "br,GZIP ", "gzip; q=1",
                               "gzip;q=0.001"};
    const char *const no[] = {"", "br", "gzip;q=0", "gzip; q=0.000", "xgzip", "gzipx", "deflate"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        EXPECT_I64(http_accepts_gzip(str_of(yes[i])), 1);
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        EXPECT_I64(http_accepts_gzip(str_of(no[i])), 0);
}

TEST(problem_is_json_whatever_goes_in)
{
    setup();
    HttpExchange x = {.arena = arena};
    http_reply_problem(&x, 409, "coupon.sold_out", STR("Sold \"out\"\n"), STR("/code"), STR("No"));
    EXPECT_I64(x.reply.status, 409);
    EXPECT_STREQ(x.reply.content_type, "application/problem+json");
    EXPECT_STREQ(c_of(x.reply.body), "{\"status\":409,\"code\":\"coupon.sold_out\","
                                     "\"title\":\"Sold \\\"out\\\"\\n\",\"detail\":\"No\","
                                     "\"errors\":[{\"pointer\":\"/code\",\"detail\":\"No\"}]}");
}

TEST(reply_headers_never_carry_line_ends_and_are_bounded)
{
    setup();
    HttpExchange x = {.arena = arena};
    http_reply_header(&x, "X-A", "fine");
    http_reply_header(&x, "X-B", "bad\r\nSet-Cookie: a=b");
    http_reply_header(&x, "X-C\n", "bad");
    EXPECT_I64(x.reply.header_count, 1);
    for (int i = 0; i < HTTP_REPLY_HEADERS_MAX + 3; i++)
        http_reply_header(&x, "X-D", "fine");
    EXPECT_I64(x.reply.header_count, HTTP_REPLY_HEADERS_MAX);
}

static const char *start_reason(HttpOptions o)
{
    Ctx ctx = {.arena = arena};
    HttpServer *s = NULL;
    if (http_start(&ctx, &o, &s) != ERR_OK)
        return ctx.fault.reason;
    http_stop(s, 1000);
    return "started";
}

TEST(start_refuses_limits_out_of_range_and_what_it_cannot_open)
{
    setup();
    const HttpOptions fine = http_options_default();
    EXPECT_STREQ(start_reason(fine), "started");
    HttpOptions o = fine;
    o.loops = 0;
    EXPECT_STREQ(start_reason(o), "http.options");
    o = fine, o.connections_max = 0;
    EXPECT_STREQ(start_reason(o), "http.options");
    o = fine, o.head_deadline_ms = 0;
    EXPECT_STREQ(start_reason(o), "http.options");
    o = fine, o.head_bytes_max = 100;
    EXPECT_STREQ(start_reason(o), "http.options");
    o = fine, o.body_bytes_max = (size_t)2 << 30;
    EXPECT_STREQ(start_reason(o), "http.options");
    o = fine, o.port = 70000;
    EXPECT_STREQ(start_reason(o), "http.options");
    o = fine, o.address = "not an address";
    EXPECT_STREQ(start_reason(o), "http.address");
    o = fine, o.tls_cert_file = "/nonexistent.pem";
    EXPECT_STREQ(start_reason(o), "http.tls_files");
    o.tls_key_file = "/nonexistent.pem";
    EXPECT_STREQ(start_reason(o), "http.tls_files");
    o = fine, o.routes = (const HttpRoute[]){{HTTP_GET, "x", ignore, 0, NULL}, {0}};
    EXPECT_STREQ(start_reason(o), "http.route");
}

TEST(start_refuses_a_port_that_another_server_has)
{
    setup();
    Ctx ctx = {.arena = arena};
    HttpOptions o = http_options_default();
    o.loops = 2;
    HttpServer *s = NULL;
    EXPECT_I64(http_start(&ctx, &o, &s), ERR_OK);
    o.port = http_port(s);
    EXPECT_STREQ(start_reason(o), "http.listen");
    http_stop(s, 1000);
    EXPECT_STREQ(start_reason(o), "started");
}
