/*
 * http/http_guard.c -- the framing rules of http/http_guard.h.
 */
#include "http/http_guard.h"

enum { LENGTH_DIGITS_MAX = 18 };

/* RFC 9110 section 5.6.2: the characters of a method or a header name. */
static bool is_token_char(unsigned char c)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return true;
    return c > ' ' && c < 0x7f && memchr("!#$%&'*+-.^_`|~", c, 15) != NULL;
}

static bool is_token(Str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_token_char((unsigned char)s.ptr[i]))
            return false;
    return s.len > 0;
}

/* No control characters but the tab: a bare CR inside a value is a line end to somebody. */
static bool is_value(Str s)
{
    for (size_t i = 0; i < s.len; i++) {
        const unsigned char c = (unsigned char)s.ptr[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/* Only the origin form, "/path?query": the absolute form brings a second host name along. */
static bool is_target(Str s)
{
    for (size_t i = 0; i < s.len; i++) {
        const unsigned char c = (unsigned char)s.ptr[i];
        if (c <= ' ' || c == 0x7f)
            return false;
    }
    return s.len > 0 && s.ptr[0] == '/';
}

static bool is_host(Str s)
{
    for (size_t i = 0; i < s.len; i++) {
        const unsigned char c = (unsigned char)s.ptr[i];
        if (!is_token_char(c) && c != ':' && c != '[' && c != ']')
            return false;
    }
    return s.len > 0;
}

static bool is_length(Str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
    return s.len > 0 && s.len <= LENGTH_DIGITS_MAX;
}

bool http_name_is(Str name, Str lower)
{
    if (name.len != lower.len)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        const char c = name.ptr[i];
        if ((c >= 'A' && c <= 'Z' ? (char)(c + 32) : c) != lower.ptr[i])
            return false;
    }
    return true;
}

static void object(HttpGuard *g, bool fine, const char *reason)
{
    if (!fine && g->reason == NULL)
        g->reason = reason;
}

void http_guard_line(HttpGuard *g, Str method, Str target, Str version, const char *target_at)
{
    *g = (HttpGuard){.http10 = str_eq(version, STR("HTTP/1.0"))};
    object(g, is_token(method) && is_target(target), "http.request_line");
    object(g, g->http10 || str_eq(version, STR("HTTP/1.1")), "http.version");
    if (target_at == NULL)
        return;
    object(g, target_at == method.ptr + method.len + 1, "http.head_layout");
    object(g, version.ptr == target_at + target.len + 1, "http.head_layout");
    g->next = version.ptr + version.len + 2;
}

static void see_host(HttpGuard *g, Str value)
{
    g->hosts++;
    object(g, is_host(str_trim(value)), "http.host");
}

static void see_length(HttpGuard *g, Str value)
{
    g->lengths++;
    object(g, is_length(value) && str_to_i64(value, &g->length), "http.content_length");
}

static void see_coding(HttpGuard *g, Str value)
{
    g->codings++;
    g->chunked = true;
    object(g, http_name_is(value, STR("chunked")), "http.transfer_encoding");
}

static void see_content_encoding(HttpGuard *g, Str value)
{
    g->content_encoding = str_trim(value);
}

static void see_accept_encoding(HttpGuard *g, Str value)
{
    g->accept_encoding = value;
}

static const struct {
    Str name;
    void (*see)(HttpGuard *g, Str value);
} WATCHED[] = {
    {{"host", 4}, see_host},
    {{"content-length", 14}, see_length},
    {{"transfer-encoding", 17}, see_coding},
    {{"content-encoding", 16}, see_content_encoding},
    {{"accept-encoding", 15}, see_accept_encoding},
};

void http_guard_header(HttpGuard *g, Str name, Str value)
{
    if (g->next != NULL) {
        object(g, name.ptr == g->next, "http.head_layout");
        g->next = value.ptr + value.len + 2;
    }
    object(g, is_token(name), "http.header_name");
    object(g, is_value(value), "http.header_value");
    for (size_t i = 0; i < ARRAY_LEN(WATCHED); i++)
        if (http_name_is(name, WATCHED[i].name))
            WATCHED[i].see(g, value);
}

const char *http_guard_end(HttpGuard *g, const char *head, size_t head_bytes)
{
    object(g, g->hosts == 1 || (g->hosts == 0 && g->http10), "http.host");
    object(g, g->lengths <= 1, "http.content_length");
    object(g, g->codings <= (g->http10 ? 0 : 1), "http.transfer_encoding");
    object(g, g->lengths == 0 || g->codings == 0, "http.length_and_chunked");
    if (g->next != NULL)
        object(g, g->next + 2 == head + head_bytes, "http.head_layout");
    return g->reason;
}

/* One element of the list, "gzip;q=0.5": is it gzip, and wanted? */
static bool element_allows_gzip(Str element)
{
    const int64_t semicolon = str_index(element, ';', 0);
    const size_t end = semicolon < 0 ? element.len : (size_t)semicolon;
    if (!http_name_is(str_trim(str_slice(element, 0, end)), STR("gzip")))
        return false;
    const Str weight = str_trim(str_slice(element, end + 1, element.len));
    if (!str_starts_with(weight, STR("q=0")))
        return true;
    for (size_t i = 3; i < weight.len; i++)
        if (weight.ptr[i] >= '1' && weight.ptr[i] <= '9')
            return true;
    return false;
}

bool http_accepts_gzip(Str list)
{
    for (size_t from = 0; from < list.len;) {
        const int64_t comma = str_index(list, ',', from);
        const size_t to = comma < 0 ? list.len : (size_t)comma;
        if (element_allows_gzip(str_slice(list, from, to)))
            return true;
        from = to + 1;
    }
    return false;
}
