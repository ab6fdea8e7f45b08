/*
 * base/json_index.c -- json_open(): finds the tokens, checks the grammar, writes the nodes.
 *
 * The places of all tokens come from simdjson (json_shim.h).  Where simdjson objects, a plain scan
 * finds the same places, so that one bad byte costs one value and not the document.
 */
#include "base/json_internal.h"
#include "base/json_shim.h"

#include <stdio.h>

enum { NODE_INDEX_MASK = 0x7fffffff };

/* ---- tokens ---- */

/* What a byte is outside strings. */
enum { CLASS_SCALAR, CLASS_SPACE, CLASS_OPERATOR };
static const uint8_t CLASS[256] = {
    [' '] = CLASS_SPACE,    ['\t'] = CLASS_SPACE,   ['\n'] = CLASS_SPACE,   ['\r'] = CLASS_SPACE,
    ['{'] = CLASS_OPERATOR, ['}'] = CLASS_OPERATOR, ['['] = CLASS_OPERATOR, [']'] = CLASS_OPERATOR,
    [':'] = CLASS_OPERATOR, [','] = CLASS_OPERATOR,
};

static int class_at(Str text, size_t at)
{
    return CLASS[(unsigned char)text.ptr[at]];
}

typedef struct Tokens {
    Str text;
    const uint32_t *at; /* NULL: look for each token as it is wanted */
    size_t count;
    size_t taken;
    size_t coming; /* place of the next token; text.len when there is none */
} Tokens;

/* Place of the quote that closes the string opened at `at`, text.len when there is none. */
static size_t scan_string(Str text, size_t at)
{
    for (size_t i = at + 1; i < text.len; i++) {
        if (text.ptr[i] == '"')
            return i;
        i += text.ptr[i] == '\\';
    }
    return text.len;
}

/* Place of the first token at or behind `from`. */
static size_t scan_space(Str text, size_t from)
{
    while (from < text.len && class_at(text, from) == CLASS_SPACE)
        from++;
    return from;
}

/* Place of the token behind the one at `at`. */
static size_t scan_token(Str text, size_t at)
{
    if (at >= text.len)
        return text.len;
    size_t end = at + 1;
    if (text.ptr[at] == '"') {
        const size_t quote = scan_string(text, at);
        end = quote < text.len ? quote + 1 : text.len;
    } else if (class_at(text, at) == CLASS_SCALAR) {
        while (end < text.len && class_at(text, end) == CLASS_SCALAR)
            end++;
    }
    return scan_space(text, end);
}

static inline size_t indexed_token(const Tokens *t, size_t i)
{
    return i < t->count && t->at[i] < t->text.len ? t->at[i] : t->text.len;
}

static Tokens tokens_of(Str text)
{
    Tokens t = {.text = text};
    if (json_shim_index(text.ptr, text.len, &t.at, &t.count)) {
        t.coming = indexed_token(&t, 0);
        return t;
    }
    t.at = NULL;
    t.coming = scan_space(text, 0);
    for (size_t at = t.coming; at < text.len; at = scan_token(text, at))
        t.count++;
    return t;
}

/* Without a call: a document is made of these. */
__attribute__((always_inline)) static inline size_t take_token(Tokens *t)
{
    const size_t at = t->coming;
    t->taken++;
    t->coming = t->at != NULL ? indexed_token(t, t->taken) : scan_token(t->text, at);
    return at;
}

/* ---- grammar ---- */

typedef enum Want {
    WANT_VALUE,
    WANT_ITEM_OR_END, /* behind [ */
    WANT_KEY,
    WANT_KEY_OR_END, /* behind { */
    WANT_MORE,       /* behind a value in a container */
    WANT_NOTHING,
    WANT_FAILED
} Want;

typedef struct Build {
    Tokens tokens;
    Node *nodes;
    uint32_t count;
    uint32_t room; /* of nodes */
    uint32_t depth;
    bool escapes; /* some string may have one */
    struct {
        uint32_t node;
        bool object;
    } open[JSON_DEPTH_MAX];
    size_t fault_at;
    const char *expected; /* NULL when the fault is the depth */
} Build;

static Want expected(Build *b, size_t at, const char *what)
{
    b->fault_at = at;
    b->expected = what;
    return WANT_FAILED;
}

static void add_node(Build *b, size_t at, size_t end, bool slow)
{
    DCHECK(b->count < b->room);
    const uint32_t next = b->count + 1;
    b->nodes[b->count++] = (Node){
        .at = (uint32_t)at, .end = (uint32_t)end, .next = next & NODE_INDEX_MASK, .slow = slow};
}

static Want after_value(const Build *b)
{
    return b->depth == 0 ? WANT_NOTHING : WANT_MORE;
}

/* Does one of the n bytes at `p` equal a backslash?  Eight at a time; `readable` bytes may be read. */
static bool has_backslash(const char *p, size_t n, size_t readable)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = UINT64_C(0x8080808080808080);
    for (size_t i = 0; i < n; i += 8) {
        if (readable - i < 8)
            return memchr(p + i, '\\', n - i) != NULL;
        uint64_t word;
        memcpy(&word, p + i, sizeof word);
        word ^= ones * '\\';
        if (((word - ones) & ~word & highs) != 0 && memchr(p + i, '\\', n - i) != NULL)
            return true;
    }
    return false;
}

static bool has_control(Str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x20)
            return true;
    return false;
}

/* Adds the string that opens at `at`; false when it has no end. */
static bool add_string(Build *b, size_t at)
{
    const Tokens *t = &b->tokens;
    const Str text = t->text;
    size_t quote = t->coming - 1;
    if (t->at == NULL)
        quote = scan_string(text, at);
    else if (text.ptr[quote] != '"')
        while (quote > at && class_at(text, quote) == CLASS_SPACE)
            quote--;
    if (quote <= at || quote >= text.len || text.ptr[quote] != '"')
        return false;
    const Str inside = {text.ptr + at + 1, quote - at - 1};
    bool slow = b->escapes && has_backslash(inside.ptr, inside.len, text.len - at - 1);
    if (t->at == NULL)
        slow = slow || has_control(inside) || !str_is_utf8(inside);
    add_node(b, at, quote + 1, slow);
    if (slow && b->depth > 0)
        b->nodes[b->open[b->depth - 1].node].slow = 1;
    return true;
}

static size_t digits_end(Str text, size_t at)
{
    while (at < text.len && text.ptr[at] >= '0' && text.ptr[at] <= '9')
        at++;
    return at;
}

/* Where the number that starts at `at` ends; `at` itself when it is none. */
static size_t number_end(Str text, size_t at)
{
    const size_t whole = at + (text.ptr[at] == '-');
    size_t end = digits_end(text, whole);
    if (end == whole || (text.ptr[whole] == '0' && end > whole + 1))
        return at;
    if (end < text.len && text.ptr[end] == '.') {
        const size_t part = end + 1;
        end = digits_end(text, part);
        if (end == part)
            return at;
    }
    if (end < text.len && (text.ptr[end] == 'e' || text.ptr[end] == 'E')) {
        size_t power = end + 1;
        power += power < text.len && (text.ptr[power] == '-' || text.ptr[power] == '+');
        end = digits_end(text, power);
        if (end == power)
            return at;
    }
    return end;
}

static size_t literal_end(Str text, size_t at)
{
    static const Str LITERALS[] = {{"true", 4}, {"false", 5}, {"null", 4}};
    const Str rest = str_slice(text, at, text.len);
    for (size_t i = 0; i < ARRAY_LEN(LITERALS); i++)
        if (str_starts_with(rest, LITERALS[i]))
            return at + LITERALS[i].len;
    return at;
}

static Want take_scalar(Build *b, size_t at)
{
    const Str text = b->tokens.text;
    const char c = text.ptr[at];
    const bool number = c == '-' || (c >= '0' && c <= '9');
    const size_t end = number ? number_end(text, at) : literal_end(text, at);
    if (end == at || (end < text.len && class_at(text, end) == CLASS_SCALAR))
        return expected(b, at, "a value");
    add_node(b, at, end, false);
    return after_value(b);
}

static Want open_container(Build *b, size_t at, bool object)
{
    if (b->depth == JSON_DEPTH_MAX)
        return expected(b, at, NULL);
    b->open[b->depth].node = b->count;
    b->open[b->depth].object = object;
    b->depth++;
    add_node(b, at, at, false);
    return object ? WANT_KEY_OR_END : WANT_ITEM_OR_END;
}

static Want close_container(Build *b, size_t at)
{
    b->depth--;
    Node *node = &b->nodes[b->open[b->depth].node];
    node->end = (uint32_t)at + 1;
    node->next = b->count & NODE_INDEX_MASK;
    if (node->slow && b->depth > 0)
        b->nodes[b->open[b->depth - 1].node].slow = 1;
    return after_value(b);
}

static Want take_value(Build *b, size_t at)
{
    const char c = b->tokens.text.ptr[at];
    if (c == '"')
        return add_string(b, at) ? after_value(b) : expected(b, at, "a closing quote");
    if (c == '{' || c == '[')
        return open_container(b, at, c == '{');
    return take_scalar(b, at);
}

/* A key, its colon and, when the text goes on, what a value begins with. */
static Want take_key(Build *b, size_t at, const char *what)
{
    const Str text = b->tokens.text;
    if (text.ptr[at] != '"')
        return expected(b, at, what);
    if (!add_string(b, at))
        return expected(b, at, "a closing quote");
    const size_t colon = take_token(&b->tokens);
    if (colon == text.len || text.ptr[colon] != ':')
        return expected(b, colon, "a colon");
    return b->tokens.coming < text.len ? take_value(b, take_token(&b->tokens)) : WANT_VALUE;
}

static const char KEY[] = "a key in quotes";

static Want take_more(Build *b, size_t at)
{
    const bool object = b->open[b->depth - 1].object;
    const char c = b->tokens.text.ptr[at];
    if (c == ',' && object && b->tokens.coming < b->tokens.text.len)
        return take_key(b, take_token(&b->tokens), KEY);
    if (c == ',')
        return object ? WANT_KEY : WANT_VALUE;
    if (c == (object ? '}' : ']'))
        return close_container(b, at);
    return expected(b, at, object ? "a comma or }" : "a comma or ]");
}

static Want step(Build *b, Want want, size_t at)
{
    const char c = b->tokens.text.ptr[at];
    switch (want) {
    case WANT_VALUE:
        return take_value(b, at);
    case WANT_ITEM_OR_END:
        return c == ']' ? close_container(b, at) : take_value(b, at);
    case WANT_KEY:
        return take_key(b, at, KEY);
    case WANT_KEY_OR_END:
        return c == '}' ? close_container(b, at) : take_key(b, at, "a key in quotes or }");
    case WANT_MORE:
        return take_more(b, at);
    case WANT_NOTHING:
        return expected(b, at, "the end of the document");
    case WANT_FAILED:
        break;
    }
    return WANT_FAILED;
}

/* What was open when the text ended. */
static const char *missing(const Build *b, Want want)
{
    if (want == WANT_MORE || want == WANT_ITEM_OR_END || want == WANT_KEY_OR_END)
        return b->open[b->depth - 1].object ? "a comma or }" : "a comma or ]";
    return want == WANT_KEY ? KEY : "a value";
}

static bool build(Build *b)
{
    Want want = WANT_VALUE;
    while (want != WANT_FAILED && b->tokens.coming < b->tokens.text.len)
        want = step(b, want, take_token(&b->tokens));
    if (want != WANT_FAILED && want != WANT_NOTHING)
        want = expected(b, b->tokens.text.len, missing(b, want));
    return want == WANT_NOTHING;
}

static Err fail_build(Ctx *ctx, const Build *b, size_t bom_bytes)
{
    const size_t at = b->fault_at + bom_bytes;
    if (b->expected == NULL) {
        const Err err = fail(ctx, ERR_INVALID, "json.too_deep", "byte %zu", at);
        (void)snprintf(ctx->fault.hint, sizeof ctx->fault.hint,
                       "byte %zu: more than %d levels of nesting", at, JSON_DEPTH_MAX);
        return err;
    }
    const Err err = fail(ctx, ERR_INVALID, "json.malformed", "byte %zu", at);
    (void)snprintf(ctx->fault.hint, sizeof ctx->fault.hint, "byte %zu: expected %s", at,
                   b->expected);
    return err;
}

Err json_open(Ctx *ctx, Str text, JsonValue *root)
{
    if (text.len > JSON_BYTES_MAX)
        return fail(ctx, ERR_TOO_LARGE, "json.too_large", "%zu bytes", text.len);
    const uint32_t bom_bytes = str_starts_with(text, STR("\xef\xbb\xbf")) ? 3 : 0;
    Build b = {.tokens = tokens_of(str_slice(text, bom_bytes, text.len))};
    b.escapes = str_index(b.tokens.text, '\\', 0) >= 0;
    /* Each node has a token that makes none: a key its colon, an item that is not the first its
     * comma, a first item the bracket that closes its container (at most DEPTH of these are still
     * to come when the text is cut). */
    b.room = (uint32_t)(b.tokens.count / 2 + 2 + JSON_DEPTH_MAX);
    b.nodes = (Node *)(void *)arena_bytes(ctx->arena, b.room * sizeof(Node));
    const bool ok = build(&b);
    json_shim_release();
    if (!ok)
        return fail_build(ctx, &b, bom_bytes);
    JsonDoc *doc = ARENA_NEW(ctx->arena, JsonDoc);
    *doc = (JsonDoc){b.tokens.text, ctx->arena, b.nodes, bom_bytes};
    *root = (JsonValue){doc, 0};
    return ERR_OK;
}
