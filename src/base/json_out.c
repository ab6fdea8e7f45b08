/*
 * base/json_out.c -- the writer of base/json.h.
 */
#include "base/clock.h"
#include "base/json.h"

enum { ESCAPE_UNICODE = 'u' };

/* What stands behind the backslash for the ASCII bytes that need one; the other control characters
 * are ESCAPE_UNICODE too. */
static const char ESCAPES[128] = {
    ['\b'] = 'b',           ['\f'] = 'f',           ['\n'] = 'n',
    ['\r'] = 'r',           ['\t'] = 't',           ['"'] = '"',
    ['\\'] = '\\',          ['<'] = ESCAPE_UNICODE, ['>'] = ESCAPE_UNICODE,
    ['&'] = ESCAPE_UNICODE,
};

/* U+2028 and U+2029 end a line in old JavaScript. */
static bool is_line_separator(Str s, size_t at)
{
    return s.len - at >= 3 && s.ptr[at] == '\xe2' && s.ptr[at + 1] == '\x80' &&
           (s.ptr[at + 2] == '\xa8' || s.ptr[at + 2] == '\xa9');
}

/* How many bytes at `at` may stand in a string as they are: one character, or 0. */
static size_t plain_len(Str s, size_t at)
{
    const unsigned char c = (unsigned char)s.ptr[at];
    if (c < 0x80)
        return c >= 0x20 && ESCAPES[c] == '\0';
    return is_line_separator(s, at) ? 0 : str_utf8_len(s, at);
}

static void put_unicode(Buf *buf, unsigned c)
{
    static const char HEX[] = "0123456789abcdef";
    const char escape[] = {'\\',       'u', HEX[c >> 12 & 15], HEX[c >> 8 & 15], HEX[c >> 4 & 15],
                           HEX[c & 15]};
    buf_add(buf, (Str){escape, sizeof escape});
}

/* Writes what stands for the bytes at `at`; returns how many these are. */
static size_t put_escape(Buf *buf, Str s, size_t at)
{
    const unsigned char c = (unsigned char)s.ptr[at];
    if (is_line_separator(s, at)) {
        put_unicode(buf, s.ptr[at + 2] == '\xa8' ? 0x2028 : 0x2029);
        return 3;
    }
    if (c >= 0x80)
        put_unicode(buf, 0xfffd);
    else if (ESCAPES[c] == '\0' || ESCAPES[c] == ESCAPE_UNICODE)
        put_unicode(buf, c);
    else
        buf_add(buf, (Str){(const char[]){'\\', ESCAPES[c]}, 2});
    return 1;
}

static void put_string(Buf *buf, Str s)
{
    buf_add_char(buf, '"');
    size_t written = 0;
    for (size_t i = 0; i < s.len;) {
        const size_t n = plain_len(s, i);
        if (n > 0) {
            i += n;
            continue;
        }
        buf_add(buf, str_slice(s, written, i));
        i += put_escape(buf, s, i);
        written = i;
    }
    buf_add(buf, str_slice(s, written, s.len));
    buf_add_char(buf, '"');
}

JsonOut json_out(Buf *buf)
{
    return (JsonOut){.buf = buf};
}

static bool in_object(const JsonOut *o)
{
    return o->depth > 0 && (o->objects >> (o->depth - 1) & 1) != 0;
}

/* Before each value: its comma, or the check that a key stands in front. */
static void begin_value(JsonOut *o)
{
    CHECK(in_object(o) ? o->after_key : o->depth > 0 || !o->comma);
    if (o->comma && !o->after_key)
        buf_add_char(o->buf, ',');
    o->after_key = false;
    o->comma = true;
}

static void begin_container(JsonOut *o, bool object)
{
    begin_value(o);
    CHECK(o->depth < 64);
    const uint64_t bit = UINT64_C(1) << o->depth;
    o->objects = object ? o->objects | bit : o->objects & ~bit;
    o->depth++;
    o->comma = false;
    buf_add_char(o->buf, object ? '{' : '[');
}

void json_out_object(JsonOut *o)
{
    begin_container(o, true);
}

void json_out_array(JsonOut *o)
{
    begin_container(o, false);
}

void json_out_end(JsonOut *o)
{
    CHECK(o->depth > 0 && !o->after_key);
    buf_add_char(o->buf, in_object(o) ? '}' : ']');
    o->depth--;
    o->comma = true;
}

void json_out_key(JsonOut *o, Str key)
{
    CHECK(in_object(o) && !o->after_key);
    if (o->comma)
        buf_add_char(o->buf, ',');
    put_string(o->buf, key);
    buf_add_char(o->buf, ':');
    o->after_key = true;
}

void json_out_text(JsonOut *o, Str text)
{
    begin_value(o);
    put_string(o->buf, text);
}

void json_out_i64(JsonOut *o, int64_t v)
{
    begin_value(o);
    buf_add_i64(o->buf, v);
}

void json_out_id(JsonOut *o, int64_t id)
{
    begin_value(o);
    buf_add_char(o->buf, '"');
    buf_add_i64(o->buf, id);
    buf_add_char(o->buf, '"');
}

void json_out_bool(JsonOut *o, bool v)
{
    begin_value(o);
    buf_add(o->buf, v ? STR("true") : STR("false"));
}

void json_out_null(JsonOut *o)
{
    begin_value(o);
    buf_add(o->buf, STR("null"));
}

void json_out_time(JsonOut *o, int64_t at_ms)
{
    char text[CLOCK_TEXT_BYTES];
    clock_print(at_ms, text);
    json_out_text(o, (Str){text, CLOCK_TEXT_BYTES - 1});
}

/* < > & and the line separators stand in JSON inside strings only, so they can be escaped anywhere;
 * everything else stays as it is. */
void json_out_raw(JsonOut *o, Str json)
{
    begin_value(o);
    size_t written = 0;
    for (size_t i = 0; i < json.len;) {
        const char c = json.ptr[i];
        if (c != '<' && c != '>' && c != '&' && !is_line_separator(json, i)) {
            i++;
            continue;
        }
        buf_add(o->buf, str_slice(json, written, i));
        i += put_escape(o->buf, json, i);
        written = i;
    }
    buf_add(o->buf, str_slice(json, written, json.len));
}

bool json_out_done(const JsonOut *o)
{
    return o->depth == 0 && o->comma && !o->after_key;
}
