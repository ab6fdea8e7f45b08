/*
 * http/http_static.c -- finding, labelling and caching of static files.
 */
#include "http/http_static.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "http/http_guard.h"
#include "http/http_query.h"

/* Scripts, styles and data from here only.  Style attributes are allowed: charts set them. */
static const char POLICY[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; media-src 'self' blob:; "
    "manifest-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'";

static const struct {
    Str ending;
    const char *mime;
} MIMES[] = {
    {{".html", 5}, "text/html; charset=utf-8"},
    {{".js", 3}, "text/javascript; charset=utf-8"},
    {{".mjs", 4}, "text/javascript; charset=utf-8"},
    {{".css", 4}, "text/css; charset=utf-8"},
    {{".json", 5}, "application/json"},
    {{".webmanifest", 12}, "application/manifest+json"},
    {{".svg", 4}, "image/svg+xml"},
    {{".png", 4}, "image/png"},
    {{".jpg", 4}, "image/jpeg"},
    {{".webp", 5}, "image/webp"},
    {{".ico", 4}, "image/x-icon"},
    {{".woff2", 6}, "font/woff2"},
    {{".wasm", 5}, "application/wasm"},
    {{".txt", 4}, "text/plain; charset=utf-8"},
};

static const char *mime_of(Str path)
{
    for (size_t i = 0; i < ARRAY_LEN(MIMES); i++)
        if (str_ends_with(path, MIMES[i].ending))
            return MIMES[i].mime;
    return "application/octet-stream";
}

/* Every part has bytes, does not start with '.', and holds nothing that a file system could read as
 * something else. */
static bool is_clean(Str path)
{
    bool at_start = true;
    for (size_t i = 0; i < path.len; i++) {
        const unsigned char c = (unsigned char)path.ptr[i];
        if (c < ' ' || c == '\\' || c == 0x7f)
            return false;
        if (at_start && (c == '.' || c == '/'))
            return false;
        at_start = c == '/';
    }
    return path.len > 0 && !at_start && str_is_utf8(path);
}

static bool find_in_table(const HttpStatic *site, Str path, HttpStaticFile *out)
{
    size_t low = 0, high = site->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = str_compare(str_of(site->files[middle].path), path);
        if (order == 0) {
            *out = site->files[middle];
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static bool find_in_folder(const HttpStatic *site, Arena *arena, Str path, HttpStaticFile *out)
{
    size_t cut = path.len;
    while (cut > 0 && path.ptr[cut - 1] != '/')
        cut--;
    const Str parent = str_slice(path, 0, cut);
    const Str folder = arena_printf(arena, "%.*s/%.*s", STR_ARG(site->folder), STR_ARG(parent));
    Ctx ctx = {.arena = arena, .now_ms = clock_now_ms()};
    Str bytes = {NULL, 0};
    if (file_load(&ctx, folder, str_slice(path, cut, path.len), HTTP_STATIC_BYTES_MAX, &bytes) !=
        ERR_OK)
        return false;
    *out = (HttpStaticFile){
        .path = arena_copy(arena, path).ptr,
        .mime = mime_of(path),
        .bytes = bytes,
        .etag = arena_printf(arena, "%016" PRIx64, hash_bytes(bytes, 0)).ptr,
    };
    return true;
}

static bool find(const HttpStatic *site, Arena *arena, Str path, HttpStaticFile *out)
{
    if (!is_clean(path))
        return false;
    return site->folder.len > 0 ? find_in_folder(site, arena, path, out)
                                : find_in_table(site, path, out);
}

/* The page that routes `path` in the browser. */
static bool find_application(const HttpStatic *site, HttpExchange *x, Str path, HttpStaticFile *out)
{
    size_t last = path.len;
    while (last > 0 && path.ptr[last - 1] != '/')
        last--;
    const Str accept = http_header(x, "Accept");
    bool wants_page = false;
    for (size_t i = 0; i < accept.len && !wants_page; i++)
        wants_page = str_starts_with(str_slice(accept, i, accept.len), STR("text/html"));
    if (!wants_page || str_index(path, '.', last) >= 0)
        return false;
    const int64_t mark = str_index(path, '/', 0);
    const Str first = str_slice(path, 0, mark < 0 ? path.len : (size_t)mark);
    const Str own = arena_printf(x->arena, "%.*s/index.html", STR_ARG(first));
    return find(site, x->arena, own, out) || find(site, x->arena, STR("index.html"), out);
}

static bool look_up(const HttpStatic *site, HttpExchange *x, HttpStaticFile *out)
{
    Str path;
    if (!http_percent_decode(x->arena, str_slice(x->request.path, 1, x->request.path.len), false,
                             &path))
        return false;
    if (path.len == 0 || str_ends_with(path, STR("/"))) {
        const Str index = arena_printf(x->arena, "%.*sindex.html", STR_ARG(path));
        if (find(site, x->arena, index, out))
            return true;
    }
    return find(site, x->arena, path, out) || find_application(site, x, path, out);
}

/* Is the tag in this If-None-Match?  Weak comparison: W/ in front does not matter. */
static bool client_has(Str list, Str tag)
{
    for (size_t from = 0; from < list.len;) {
        const int64_t comma = str_index(list, ',', from);
        const size_t to = comma < 0 ? list.len : (size_t)comma;
        Str element = str_trim(str_slice(list, from, to));
        if (str_starts_with(element, STR("W/")))
            element = str_slice(element, 2, element.len);
        if (element.len == tag.len + 2 && str_eq(str_slice(element, 1, tag.len + 1), tag))
            return true;
        from = to + 1;
    }
    return false;
}

static bool never_changes(Str path)
{
    const Str folder = STR("assets/");
    for (size_t i = 0; i + folder.len <= path.len; i++) {
        const bool at_start = i == 0 || path.ptr[i - 1] == '/';
        if (at_start && str_starts_with(str_slice(path, i, path.len), folder))
            return true;
    }
    return false;
}

static void add_headers(HttpExchange *x, const HttpStaticFile *f)
{
    const bool fixed = never_changes(str_of(f->path));
    http_reply_header(x, "Cache-Control",
                      fixed ? "public, max-age=31536000, immutable" : "no-cache");
    http_reply_header(x, "ETag", arena_printf(x->arena, "W/\"%s\"", f->etag).ptr);
    http_reply_header(x, "Content-Security-Policy", POLICY);
    http_reply_header(x, "Referrer-Policy", "same-origin");
    http_reply_header(x, "X-Frame-Options", "DENY");
}

HttpWhen http_static_serve(const HttpStatic *site, HttpExchange *x)
{
    HttpStaticFile f;
    if (!look_up(site, x, &f)) {
        http_reply_problem(x, 404, "http.no_such_path", STR("There is nothing at this address."),
                           STR(""), STR(""));
        return HTTP_NOW;
    }
    if (x->request.method != HTTP_GET) {
        http_reply_header(x, "Allow", "GET, HEAD");
        http_reply_problem(x, 405, "http.method_not_allowed",
                           STR("This address does not answer to this method."), STR(""), STR(""));
        return HTTP_NOW;
    }
    add_headers(x, &f);
    if (client_has(http_header(x, "If-None-Match"), str_of(f.etag))) {
        x->reply.status = 304;
        return HTTP_NOW;
    }
    x->reply.compressed = f.gzip.len > 0 && http_accepts_gzip(http_header(x, "Accept-Encoding"));
    x->reply.status = 200;
    x->reply.content_type = f.mime;
    x->reply.body = x->reply.compressed ? f.gzip : f.bytes;
    return HTTP_NOW;
}
