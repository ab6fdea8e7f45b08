/*
 * tools/sqlgen_lex.c -- portable SQL text to tokens; refuses characters that only one engine knows.
 */
#include "sqlgen.h"

typedef struct Lex {
    const Room *room;
    Str text;
    size_t at;
    int line;
    bool spaced;
    bool line_start; /* nothing but white space so far on this line */
    Tok *toks;
    int count;
} Lex;

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char peek(const Lex *x, size_t ahead)
{
    return x->at + ahead < x->text.len ? x->text.ptr[x->at + ahead] : '\0';
}

static void push(Lex *x, TokKind kind, Str text)
{
    if (x->count == SQLGEN_TOKENS_MAX)
        sqlgen_refuse(x->room, x->line, "too many tokens: split the room");
    x->toks[x->count++] = (Tok){.kind = kind, .text = text, .line = x->line, .spaced = x->spaced};
    x->spaced = false;
}

/* Comments that mean something start their line and begin with one of these. */
static bool is_note(Str comment)
{
    static const char *const notes[] = {"name:", "in:", "out:", "division:"};
    for (size_t i = 0; i < ARRAY_LEN(notes); i++)
        if (str_starts_with(comment, str_of(notes[i])))
            return true;
    return str_eq(comment, STR("clustered"));
}

static void lex_comment(Lex *x)
{
    const int64_t end = str_index(x->text, '\n', x->at);
    const size_t to = end < 0 ? x->text.len : (size_t)end;
    const Str comment = str_trim(str_slice(x->text, x->at + 2, to));
    if (x->line_start && is_note(comment))
        push(x, TOK_NOTE, comment);
    x->at = to;
    x->spaced = true;
}

static void lex_string(Lex *x)
{
    size_t n = 1;
    while (peek(x, n) != '\'' || peek(x, n + 1) == '\'') {
        if (x->at + n >= x->text.len || peek(x, n) == '\n')
            sqlgen_refuse(x->room, x->line, "the string does not end on its line");
        n += peek(x, n) == '\'' ? 2 : 1;
    }
    push(x, TOK_STRING, str_slice(x->text, x->at, x->at + n + 1));
    x->at += n + 1;
}

static void lex_word(Lex *x)
{
    size_t n = 0;
    while (is_letter(peek(x, n)) || is_digit(peek(x, n)))
        n++;
    const Str word = str_slice(x->text, x->at, x->at + n);
    if (peek(x, n) == '\'')
        sqlgen_refuse(x->room, x->line, "%.*s'..' is not portable: send bytes as a parameter",
                      STR_ARG(word));
    push(x, TOK_WORD, word);
    x->at += n;
}

static void lex_number(Lex *x)
{
    size_t n = 0;
    while (is_digit(peek(x, n)))
        n++;
    if (peek(x, n) == '.' || is_letter(peek(x, n)))
        sqlgen_refuse(x->room, x->line,
                      "only whole decimal numbers: 1.5 and 0x1F differ per engine");
    push(x, TOK_NUMBER, str_slice(x->text, x->at, x->at + n));
    x->at += n;
}

static void lex_param(Lex *x)
{
    size_t n = 1;
    while (is_letter(peek(x, n)) || is_digit(peek(x, n)))
        n++;
    if (peek(x, 1) == ':')
        sqlgen_refuse(x->room, x->line, "x::type is PostgreSQL only: write CAST(x AS BIGINT)");
    if (n == 1 || is_digit(peek(x, 1)))
        sqlgen_refuse(x->room, x->line, "':' must begin a parameter: write :name");
    push(x, TOK_PARAM, str_slice(x->text, x->at + 1, x->at + n));
    x->at += n;
}

static void lex_punct(Lex *x)
{
    static const char *const known[] = {"->", "@>", "==", "!=", "<=", ">=", "<>", "<<", ">>", "||"};
    static const struct {
        char c;
        const char *instead;
    } refused[] = {
        {'"', "no double quotes: names are plain, strings take single quotes"},
        {'`', "no backticks: names are plain"},
        {'[', "no brackets: names are plain, lists go through a join"},
        {'?', "parameters have names: write :name"},
        {'$', "parameters have names: write :name"},
        {'@', "parameters have names: write :name"},
        {'\\', "no backslash outside a string"},
        {'~', "no regular expressions: a prefix is `x >= :from AND x < :to`"},
        {'#', "only SQL comments: write --"},
    };
    Str s = str_slice(x->text, x->at, x->at + 1);
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_starts_with(str_slice(x->text, x->at, x->text.len), str_of(known[i])))
            s = str_slice(x->text, x->at, x->at + 2);
    if (str_eq(s, STR("->")) || str_eq(s, STR("@>")))
        sqlgen_refuse(x->room, x->line, "JSON in a column is opaque text: take it apart in C");
    if (str_eq(s, STR("==")) || str_eq(s, STR("!=")))
        sqlgen_refuse(x->room, x->line, "write = or <>, not %.*s", STR_ARG(s));
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        if (refused[i].c == s.ptr[0])
            sqlgen_refuse(x->room, x->line, "%s", refused[i].instead);
    if (str_index(STR("(),;.=<>+-*/%&|"), s.ptr[0], 0) < 0)
        sqlgen_refuse(x->room, x->line, "'%c' is not portable SQL",
                      s.ptr[0] < ' ' || s.ptr[0] > '~' ? '?' : s.ptr[0]);
    if (s.ptr[0] == '/' && peek(x, 1) == '*')
        sqlgen_refuse(x->room, x->line, "write comments with --");
    push(x, TOK_PUNCT, s);
    x->at += s.len;
}

static void lex_space(Lex *x)
{
    if (peek(x, 0) == '\n') {
        x->line++;
        x->line_start = true;
    }
    x->spaced = true;
    x->at++;
}

Tok *sqlgen_lex(const Room *room, Str text)
{
    Lex x = {.room = room, .text = text, .line = 1, .line_start = true};
    x.toks = ARENA_ARRAY(room->arena, Tok, SQLGEN_TOKENS_MAX + 1);
    while (x.at < text.len) {
        const char c = peek(&x, 0);
        if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
            lex_space(&x);
            continue;
        }
        if (c == '-' && peek(&x, 1) == '-')
            lex_comment(&x);
        else if (c == '\'')
            lex_string(&x);
        else if (is_letter(c))
            lex_word(&x);
        else if (is_digit(c))
            lex_number(&x);
        else if (c == ':')
            lex_param(&x);
        else
            lex_punct(&x);
        x.line_start = false;
    }
    x.toks[x.count] = (Tok){.kind = TOK_END, .line = x.line};
    return x.toks;
}
