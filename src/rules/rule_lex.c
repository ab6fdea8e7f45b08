/*
 * rules/rule_lex.c -- text into tokens; what is no token gets advice instead of a guess.
 */
#include "rules/rule_lex.h"

typedef struct Lexer {
    Draft *d;
    Str text;
    size_t at;
} Lexer;

static const Str SYMBOLS[] = {
    {"==", 2}, {"!=", 2}, {"<=", 2}, {">=", 2}, {"<", 1}, {">", 1}, {"(", 1},
    {")", 1},  {"[", 1},  {"]", 1},  {",", 1},  {".", 1}, {"*", 1},
};

/* What people write who know other languages or have a Chinese keyboard. */
static const struct {
    const char *text, *advice;
} MISTAKES[] = {
    {"<>", "write != for unequal"},
    {"=>", "write >= for at least"},
    {"=<", "write <= for at most"},
    {"&&", "write and"},
    {"||", "write or"},
    {"=", "write == to compare"},
    {"!", "write not, or != for unequal"},
    {"'", "a text stands in double quotes"},
    {"/", "only * is there to calculate with"},
    {"+", "only * is there to calculate with"},
    {"-", "a - belongs to a number: -12.50"},
    {"\xc2\xa5", "write amounts with their currency behind: 300.00 CNY"},
    {"\xef\xbf\xa5", "write amounts with their currency behind: 300.00 CNY"},
    {"\xe2\x80\x9c", "a text stands in straight double quotes"},
    {"\xe2\x80\x9d", "a text stands in straight double quotes"},
    {"\xe2\x80\x98", "a text stands in straight double quotes"},
    {"\xe2\x80\x99", "a text stands in straight double quotes"},
    {"\xef\xbc\x8c", "this is a full-width comma: write ,"},
    {"\xe3\x80\x81", "this is a full-width comma: write ,"},
    {"\xe3\x80\x82", "this is a full stop: leave it out"},
    {"\xef\xbc\x88", "this is a full-width parenthesis: write ("},
    {"\xef\xbc\x89", "this is a full-width parenthesis: write )"},
    {"\xef\xbc\x9d", "this is a full-width character: write =="},
    {"\xef\xbc\x9e", "this is a full-width character: write >"},
    {"\xef\xbc\x9c", "this is a full-width character: write <"},
    {"\xe3\x80\x90", "this is a full-width bracket: write ["},
    {"\xe3\x80\x91", "this is a full-width bracket: write ]"},
    {"\xe3\x80\x80", "this is a full-width space: write a plain one"},
    {"\xc2\xa0", "this is a no-break space: write a plain one"},
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char peek(const Lexer *x, size_t ahead)
{
    return x->at + ahead < x->text.len ? x->text.ptr[x->at + ahead] : '\0';
}

static Token bad(const Lexer *x, size_t at, const char *advice)
{
    const size_t len = at < x->text.len ? str_utf8_len(x->text, at) : 0;
    return (Token){TOKEN_BAD, (uint32_t)at, str_slice(x->text, at, at + len), advice};
}

/* ---- texts and quoted names ------------------------------------------------------------------ */

static void add_code_point(Buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_add_char(out, (char)c);
    } else if (c < 0x800) {
        buf_add_char(out, (char)(0xc0 | c >> 6));
    } else if (c < 0x10000) {
        buf_add_char(out, (char)(0xe0 | c >> 12));
        buf_add_char(out, (char)(0x80 | (c >> 6 & 0x3f)));
    } else {
        buf_add_char(out, (char)(0xf0 | c >> 18));
        buf_add_char(out, (char)(0x80 | (c >> 12 & 0x3f)));
        buf_add_char(out, (char)(0x80 | (c >> 6 & 0x3f)));
    }
    if (c >= 0x80)
        buf_add_char(out, (char)(0x80 | (c & 0x3f)));
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* \u{20ac}: up to six digits, a character, not U+0000.  x->at stands on the u. */
static bool unicode_escape(Lexer *x, Buf *out)
{
    uint32_t c = 0;
    size_t i = 2;
    if (peek(x, 1) != '{')
        return false;
    for (; i < 8 && hex_value(peek(x, i)) >= 0; i++)
        c = c << 4 | (uint32_t)hex_value(peek(x, i));
    if (peek(x, i) != '}' || c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return false;
    add_code_point(out, c);
    x->at += i + 1;
    return true;
}

/* x->at stands behind the backslash. */
static bool escape(Lexer *x, Buf *out)
{
    const char c = peek(x, 0);
    if (c == 'u')
        return unicode_escape(x, out);
    const char plain = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
    if (plain == c && c != '"' && c != '`' && c != '\\')
        return false;
    buf_add_char(out, plain);
    x->at++;
    return true;
}

/* From the opening quote on. */
static Token quoted(Lexer *x, char quote, TokenKind kind)
{
    const size_t from = x->at++;
    Buf out = BUF_MAX(RULE_BYTES_MAX);
    Token t = {kind, (uint32_t)from, {0}, NULL};
    while (t.kind == kind && peek(x, 0) != quote) {
        const char c = peek(x, 0);
        if (x->at >= x->text.len || (unsigned char)c < 0x20) {
            t = bad(x, from, "the quote that begins here is not closed on its line");
        } else if (c == '\\') {
            x->at++;
            if (!escape(x, &out))
                t = bad(x, x->at - 1, "behind \\ stands one of \" ` \\ n r t or u{20ac}");
        } else {
            buf_add_char(&out, c);
            x->at++;
        }
    }
    if (t.kind == kind) {
        t.text = arena_copy(x->d->ctx->arena, buf_str(&out));
        x->at++;
    }
    buf_free(&out);
    return t;
}

/* ---- the rest -------------------------------------------------------------------------------- */

static size_t word_len(Str s, size_t at)
{
    size_t end = at;
    while (end < s.len) {
        const size_t len = is_digit(s.ptr[end]) ? 1 : literal_letter_len(s, end);
        if (len == 0)
            break;
        end += len;
    }
    return end - at;
}

static Token take(Lexer *x, TokenKind kind, size_t len)
{
    const Token t = {kind, (uint32_t)x->at, str_slice(x->text, x->at, x->at + len), NULL};
    x->at += len;
    return t;
}

static Token number_or_time(Lexer *x)
{
    const size_t time = literal_time_len(str_slice(x->text, x->at, x->text.len));
    if (time > 0)
        return take(x, TOKEN_TIME, time);
    size_t len = peek(x, 0) == '-';
    while (is_digit(peek(x, len)))
        len++;
    if (peek(x, len) >= 'a' && peek(x, len) <= 'z')
        return take(x, TOKEN_SPAN, len + word_len(x->text, x->at + len));
    if (peek(x, len) == '.' && is_digit(peek(x, len + 1)))
        for (len++; is_digit(peek(x, len));)
            len++;
    return take(x, TOKEN_NUMBER, len);
}

static size_t symbol_len(Str rest, size_t of_len)
{
    for (size_t i = 0; i < ARRAY_LEN(SYMBOLS); i++)
        if (SYMBOLS[i].len == of_len && str_starts_with(rest, SYMBOLS[i]))
            return of_len;
    return 0;
}

static Token symbol(Lexer *x)
{
    const Str rest = str_slice(x->text, x->at, x->text.len);
    if (symbol_len(rest, 2) > 0)
        return take(x, TOKEN_SYMBOL, 2);
    for (size_t i = 0; i < ARRAY_LEN(MISTAKES); i++)
        if (str_starts_with(rest, str_of(MISTAKES[i].text)))
            return bad(x, x->at, MISTAKES[i].advice);
    if (symbol_len(rest, 1) > 0)
        return take(x, TOKEN_SYMBOL, 1);
    return bad(x, x->at, "this character has no place here; an odd name stands in `backticks`");
}

static Token next(Lexer *x)
{
    while (is_space(peek(x, 0)))
        x->at++;
    if (x->at >= x->text.len)
        return (Token){TOKEN_END, (uint32_t)x->text.len, {0}, NULL};
    const char c = peek(x, 0);
    if (c == '"')
        return quoted(x, c, TOKEN_TEXT);
    if (c == '`')
        return quoted(x, c, TOKEN_NAME);
    if (is_digit(c) || (c == '-' && is_digit(peek(x, 1))))
        return number_or_time(x);
    if (literal_letter_len(x->text, x->at) > 0)
        return take(x, TOKEN_WORD, word_len(x->text, x->at));
    return symbol(x);
}

/* The parser stops at the first bad token, so nothing behind it is looked at. */
const Token *lex_text(Draft *d)
{
    Lexer x = {.d = d, .text = d->text};
    uint32_t cap = 64, count = 0;
    Token *tokens = ARENA_ARRAY(d->ctx->arena, Token, cap);
    for (;;) {
        if (count == cap) {
            Token *wider = ARENA_ARRAY(d->ctx->arena, Token, 2 * cap);
            memcpy(wider, tokens, count * sizeof *tokens);
            tokens = wider;
            cap *= 2;
        }
        const Token t = next(&x);
        tokens[count++] = t;
        if (t.kind == TOKEN_END || t.kind == TOKEN_BAD)
            return tokens;
    }
}
