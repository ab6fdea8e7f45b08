/*
 * http/http_static_test.c -- static files over a real socket: what is served, cached and refused.
 */
#include "http/http_client.h"
#include "http/http_static.h"

static Arena *arena;
static HttpServer *server;

static const HttpStaticFile FILES[] = {
    {"console/assets/app-1a2b.js", "text/javascript; charset=utf-8", {"js", 2}, {"", 0}, "e1"},
    {"console/index.html", "text/html; charset=utf-8", {"console", 7}, {"GZ", 2}, "e2"},
    {"index.html", "text/html; charset=utf-8", {"root", 4}, {"", 0}, "e3"},
};
static HttpStatic site;

static HttpWhen on_fallback(HttpExchange *x)
{
    return http_static_serve(&site, x);
}

static void start(void)
{
    arena_free(arena);
    arena = arena_new(1 << 16);
    Ctx ctx = {.arena = arena};
    HttpOptions o = http_options_default();
    o.fallback = on_fallback;
    CHECK(http_start(&ctx, &o, &server) == ERR_OK);
}

static const char *talk(const char *text)
{
    const int fd = client_dial(http_port(server));
    client_say(fd, str_of(text));
    return client_hear_all(arena, fd);
}

#define CLOSE "Host: a\r\nConnection: close\r\n\r\n"

static const char *get(const char *path, const char *headers)
{
    return talk(arena_printf(arena, "GET %s HTTP/1.1\r\n%s" CLOSE, path, headers).ptr);
}

TEST(static_table_serves_pages_assets_and_applications)
{
    site = (HttpStatic){.files = FILES, .count = ARRAY_LEN(FILES)};
    start();
    const char *html = "Accept: text/html,*/*\r\n";
    EXPECT_STREQ(client_body(get("/", "")), "root");
    EXPECT_STREQ(client_body(get("/console/", "")), "console");
    EXPECT_STREQ(client_body(get("/console", html)), "console");
    EXPECT_STREQ(client_body(get("/console/people/7", html)), "console");
    EXPECT_STREQ(client_body(get("/other/page", html)), "root");
    EXPECT_STREQ(client_body(get("/console/", "Accept-Encoding: gzip\r\n")), "GZ");
    EXPECT_I64(client_status(get("/console/people/7", "Accept: */*\r\n")), 404);
    EXPECT_I64(client_status(get("/console/missing.js", html)), 404);
    const char *const outside[] = {
        "/../http.h",           "/%2e%2e/http.h", "/console/..%2findex.html",
        "/console//index.html", "/.git/config.x", "/console/%5cindex.html"};
    for (size_t i = 0; i < ARRAY_LEN(outside); i++)
        EXPECT_I64(client_status(get(outside[i], html)), 404);
    EXPECT_I64(client_status(talk("POST /console/ HTTP/1.1\r\n" CLOSE)), 405);
    const char *asset = get("/console/assets/app-1a2b.js", "");
    CHECK(strstr(asset, "\r\nCache-Control: public, max-age=31536000, immutable\r\n") != NULL);
    const char *page = get("/console/index.html", "");
    CHECK(strstr(page, "\r\nCache-Control: no-cache\r\n") != NULL);
    CHECK(strstr(page, "\r\nETag: W/\"e2\"\r\n") != NULL);
    CHECK(strstr(page, "frame-ancestors 'none'") != NULL);
    CHECK(strstr(page, "\r\nReferrer-Policy: same-origin\r\n") != NULL);
    CHECK(strstr(page, "\r\nX-Content-Type-Options: nosniff\r\n") != NULL);
    const char *same = get("/console/", "If-None-Match: \"x\", W/\"e2\"\r\n");
    EXPECT_I64(client_status(same), 304);
    EXPECT_STREQ(client_body(same), "");
    EXPECT_I64(client_status(get("/console/", "If-None-Match: W/\"e3\"\r\n")), 200);
    http_stop(server, 1000);
}

TEST(static_folder_serves_what_lies_in_it_and_nothing_beside_it)
{
    char folder[] = "/tmp/http_static_XXXXXX";
    CHECK(mkdtemp(folder) != NULL);
    site = (HttpStatic){.folder = str_of(folder)};
    start();
    const char *file = arena_printf(arena, "%s/a.txt", folder).ptr;
    FILE *f = fopen(file, "w");
    CHECK(f != NULL && fputs("first", f) >= 0 && fclose(f) == 0);
    const char *reply = get("/a.txt", "");
    EXPECT_STREQ(client_body(reply), "first");
    CHECK(strstr(reply, "\r\nContent-Type: text/plain; charset=utf-8\r\n") != NULL);
    f = fopen(file, "w");
    CHECK(f != NULL && fputs("second", f) >= 0 && fclose(f) == 0);
    EXPECT_STREQ(client_body(get("/a.txt", "")), "second");
    EXPECT_I64(client_status(get("/..%2f..%2fetc/passwd", "")), 404);
    EXPECT_I64(client_status(get("/b.txt", "")), 404);
    EXPECT_I64(client_status(get("/", "")), 404);
    http_stop(server, 1000);
    CHECK(unlink(file) == 0 && rmdir(folder) == 0);
}
