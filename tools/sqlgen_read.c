/*
 * tools/sqlgen_read.c -- tokens to tables and queries: the frame of the language; the rules about
 * what may stand inside a statement are in sqlgen_rules.c.
 */
#include "sqlgen.h"

/* What the comments above a statement said. */
typedef struct Notes {
    Query *query; /* NULL without `-- name:` */
    bool clustered, divides;
    int line;
} Notes;

static ColType type_of(const Tok *tok)
{
    static const struct {
        const char *word;
        ColType type;
    } types[] = {{"i64", COL_I64}, {"bool", COL_BOOL}, {"text", COL_TEXT}, {"bytes", COL_BYTES}};
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (str_eq(tok->text, str_of(types[i].word)))
            return types[i].type;
    return COL_NONE;
}

/* Names are lower case, so that they read the same in C and on both engines. */
static bool is_name(Str s)
{
    if (s.len == 0 || s.len > 60 || s.ptr[0] < 'a' || s.ptr[0] > 'z')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        const char c = s.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'))
            return false;
    }
    return true;
}

/* Names that the generated C needs for itself, and C keywords a column could be called. */
static bool is_taken(Str s, bool is_parameter)
{
    static const char *const own[] = {"ctx",  "tx", "row", "rows", "count", "changed",
                                      "args", "fn", "arg", "in",   "r",     "got"};
    static const char *const c[] = {
        "auto",     "bool",   "break",  "case",   "char",    "const",    "continue", "default",
        "do",       "double", "else",   "enum",   "extern",  "false",    "float",    "for",
        "goto",     "if",     "inline", "int",    "long",    "register", "restrict", "return",
        "short",    "signed", "sizeof", "static", "struct",  "switch",   "true",     "typedef",
        "unsigned", "union",  "void",   "while",  "volatile"};
    for (size_t i = 0; i < ARRAY_LEN(c); i++)
        if (str_eq(s, str_of(c[i])))
            return true;
    for (size_t i = 0; is_parameter && i < ARRAY_LEN(own); i++)
        if (str_eq(s, str_of(own[i])))
            return true;
    return false;
}

/* ---- notes --------------------------------------------------------------------------------------- */

/* One "name type?" of `-- in:` or `-- out:`. */
static void read_field(const Room *room, int line, Str text, Field *fields, int *count, bool in)
{
    const int64_t space = str_index(text, ' ', 0);
    const Str name = str_slice(text, 0, space < 0 ? text.len : (size_t)space);
    Str type = str_trim(str_slice(text, name.len, text.len));
    const bool nullable = str_ends_with(type, STR("?"));
    type = str_slice(type, 0, type.len - (nullable ? 1 : 0));
    const Tok tok = {.kind = TOK_WORD, .text = type};
    if (!is_name(name) || type_of(&tok) == COL_NONE)
        sqlgen_refuse(room, line,
                      "write `name type`, type one of i64 bool text bytes, with ? when "
                      "it may be NULL; not \"%.*s\"",
                      STR_ARG(text));
    if (is_taken(name, in))
        sqlgen_refuse(room, line, "\"%.*s\" is taken in the generated C: choose another name",
                      STR_ARG(name));
    for (int i = 0; i < *count; i++)
        if (str_eq(fields[i].name, name))
            sqlgen_refuse(room, line, "\"%.*s\" is declared twice", STR_ARG(name));
    if (*count == SQLGEN_FIELDS_MAX)
        sqlgen_refuse(room, line, "at most %d: split the query", SQLGEN_FIELDS_MAX);
    fields[(*count)++] = (Field){.name = name, .type = type_of(&tok), .nullable = nullable};
}

static void read_fields(const Room *room, int line, Str list, Field *fields, int *count, bool in)
{
    list = str_trim(list);
    if (str_ends_with(list, STR(",")))
        list.len--; /* the list goes on in the next note */
    for (size_t from = 0; from <= list.len;) {
        const int64_t comma = str_index(list, ',', from);
        const size_t to = comma < 0 ? list.len : (size_t)comma;
        read_field(room, line, str_trim(str_slice(list, from, to)), fields, count, in);
        from = to + 1;
    }
}

static void read_name(Room *room, int line, Str text, Notes *notes)
{
    static const char *const kinds[] = {":exec", ":one", ":each", ":list"}; /* QueryKind */
    if (notes->query != NULL)
        sqlgen_refuse(room, line, "the query %.*s before this one has no SQL",
                      STR_ARG(notes->query->name));
    if (room->query_count == SQLGEN_QUERIES_MAX)
        sqlgen_refuse(room, line, "at most %d queries: split the room", SQLGEN_QUERIES_MAX);
    Query *q = ARENA_NEW(room->arena, Query);
    const int64_t space = str_index(text, ' ', 0);
    q->name = str_slice(text, 0, space < 0 ? text.len : (size_t)space);
    q->line = line;
    const Str kind = str_trim(str_slice(text, q->name.len, text.len));
    int k = 0;
    while (k < (int)ARRAY_LEN(kinds) && !str_eq(kind, str_of(kinds[k])))
        k++;
    if (k == (int)ARRAY_LEN(kinds))
        sqlgen_refuse(room, line, "write `-- name: x :exec`, :one, :each or :list");
    q->kind = (QueryKind)k;
    if (!is_name(q->name) || !str_starts_with(q->name, room->name) ||
        q->name.len < room->name.len + 2 || q->name.ptr[room->name.len] != '_')
        sqlgen_refuse(room, line, "a query of this room is called %.*s_something, in lower case",
                      STR_ARG(room->name));
    for (int i = 0; i < room->query_count; i++)
        if (str_eq(room->queries[i]->name, q->name))
            sqlgen_refuse(room, line, "%.*s was already defined in line %d", STR_ARG(q->name),
                          room->queries[i]->line);
    notes->query = q;
}

static void read_note(Room *room, const Tok *tok, Notes *notes)
{
    const int64_t colon = str_index(tok->text, ':', 0);
    const Str text = str_trim(str_slice(tok->text, (size_t)colon + 1, tok->text.len));
    const bool in = str_starts_with(tok->text, STR("in:"));
    notes->line = tok->line;
    if (str_eq(tok->text, STR("clustered"))) {
        notes->clustered = true;
    } else if (str_starts_with(tok->text, STR("division:"))) {
        if (text.len == 0)
            sqlgen_refuse(room, tok->line, "say why the division is right: floor of non-negatives");
        notes->divides = true;
    } else if (str_starts_with(tok->text, STR("name:"))) {
        read_name(room, tok->line, text, notes);
    } else if (notes->query == NULL) {
        sqlgen_refuse(room, tok->line, "`-- name:` must come first");
    } else {
        Query *q = notes->query;
        read_fields(room, tok->line, text, in ? q->in : q->out, in ? &q->in_count : &q->out_count,
                    in);
    }
}

/* ---- CREATE -------------------------------------------------------------------------------------- */

/* The tokens of one column or constraint: up to the comma or closing parenthesis at depth 1. */
static int item_end(Toks sql, int from)
{
    int depth = 0;
    for (int i = from; i < sql.count; i++) {
        if (tok_is(&sql.at[i], "("))
            depth++;
        if (depth == 0 && (tok_is(&sql.at[i], ",") || tok_is(&sql.at[i], ")")))
            return i;
        if (tok_is(&sql.at[i], ")"))
            depth--;
    }
    return sql.count;
}

static Field *table_column(Table *table, Str name)
{
    for (int i = 0; i < table->count; i++)
        if (str_eq(table->columns[i].name, name))
            return &table->columns[i];
    return NULL;
}

/* PRIMARY KEY (a, b): its columns are NOT NULL on both engines, STRICT sees to it on SQLite. */
static void read_constraint(const Room *room, const Tok *at, int count, Table *table)
{
    int i = tok_is(&at[0], "constraint") ? 2 : 0;
    if (i + 2 >= count || !tok_is(&at[i], "primary"))
        return;
    for (i += 3; i < count; i++) {
        Field *column = at[i].kind == TOK_WORD ? table_column(table, at[i].text) : NULL;
        if (at[i].kind == TOK_WORD && column == NULL)
            sqlgen_refuse(room, at[i].line, "no column %.*s", STR_ARG(at[i].text));
        if (column != NULL)
            column->nullable = false;
    }
}

static void read_column(const Room *room, Tok *at, int count, Table *table)
{
    if (count < 2 || !is_name(at[0].text) || at[0].kind != TOK_WORD)
        sqlgen_refuse(room, at[0].line, "write `name type ...` for a column, in lower case");
    at[1].type = type_of(&at[1]);
    if (at[1].type == COL_NONE)
        sqlgen_refuse(room, at[1].line, "the type of %.*s must be i64, bool, text or bytes",
                      STR_ARG(at[0].text));
    if (table_column(table, at[0].text) != NULL)
        sqlgen_refuse(room, at[0].line, "column %.*s is declared twice", STR_ARG(at[0].text));
    if (table->count == SQLGEN_COLUMNS_MAX)
        sqlgen_refuse(room, at[0].line, "at most %d columns", SQLGEN_COLUMNS_MAX);
    bool not_null = false;
    for (int i = 2; i + 1 < count; i++)
        not_null = not_null || (tok_is(&at[i], "not") && tok_is(&at[i + 1], "null")) ||
                   (tok_is(&at[i], "primary") && tok_is(&at[i + 1], "key"));
    table->columns[table->count++] =
        (Field){.name = at[0].text, .type = at[1].type, .nullable = !not_null};
}

static bool starts_constraint(const Tok *tok)
{
    static const char *const words[] = {"primary", "unique", "check", "foreign", "constraint"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (tok_is(tok, words[i]))
            return true;
    return false;
}

static Table *read_table(Room *room, Tok *at, int count)
{
    if (count < 5 || at[2].kind != TOK_WORD || !is_name(at[2].text) || !tok_is(&at[3], "("))
        sqlgen_refuse(room, at[0].line, "write CREATE TABLE name(...), name in lower case");
    if (room->table_count == SQLGEN_TABLES_MAX)
        sqlgen_refuse(room, at[0].line, "at most %d tables: split the room", SQLGEN_TABLES_MAX);
    Table *table = ARENA_NEW(room->arena, Table);
    table->name = at[2].text;
    const Toks sql = {at, count};
    int i = 4;
    for (int end = item_end(sql, i); end < count; end = item_end(sql, i)) {
        if (end == i)
            sqlgen_refuse(room, at[i].line, "a column is missing here");
        if (starts_constraint(&at[i]))
            read_constraint(room, &at[i], end - i, table);
        else
            read_column(room, &at[i], end - i, table);
        i = end + 1;
        if (tok_is(&at[end], ")"))
            break;
    }
    if (i != count)
        sqlgen_refuse(room, at[i < count ? i : count - 1].line,
                      "the table must end with `);`: STRICT is added, WITHOUT ROWID is written "
                      "`-- clustered` above the table");
    room->tables[room->table_count++] = table;
    return table;
}

static void read_create(Room *room, Tok *at, int count, const Notes *notes)
{
    const Toks sql = {at, count};
    if (room->query_count > 0)
        sqlgen_refuse(room, at[0].line, "CREATE statements come before the first query");
    if (room->create_count == ARRAY_LEN(room->creates))
        sqlgen_refuse(room, at[0].line, "too many CREATE statements: split the room");
    const bool is_index = count > 2 && (tok_is(&at[1], "index") || tok_is(&at[2], "index"));
    if (!is_index && !tok_is(&at[1], "table"))
        sqlgen_refuse(room, at[0].line, "only CREATE TABLE, CREATE INDEX and CREATE UNIQUE INDEX");
    for (int i = 0; i < count; i++)
        if (at[i].kind == TOK_PARAM)
            sqlgen_refuse(room, at[i].line, "a table has no parameters");
    sqlgen_check_words(room, sql, notes->divides);
    Create *create = ARENA_NEW(room->arena, Create);
    create->sql = sql;
    if (!is_index) {
        Table *table = read_table(room, at, count);
        table->clustered = notes->clustered;
        create->table = table;
    } else if (notes->clustered) {
        sqlgen_refuse(room, at[0].line, "`-- clustered` belongs above a table");
    }
    sqlgen_check_conditions(room, sql, create->table);
    room->creates[room->create_count++] = create;
}

/* ---- statements ---------------------------------------------------------------------------------- */

static void read_statement(Room *room, Tok *at, int count, Notes *notes)
{
    if (tok_is(&at[0], "create")) {
        if (notes->query != NULL)
            sqlgen_refuse(room, at[0].line, "a CREATE statement has no `-- name:`");
        read_create(room, at, count, notes);
        return;
    }
    if (notes->query == NULL)
        sqlgen_refuse(room, at[0].line, "`-- name: %.*s_something :one` is missing above this SQL",
                      STR_ARG(room->name));
    if (notes->clustered)
        sqlgen_refuse(room, at[0].line, "`-- clustered` belongs above a table");
    Query *q = notes->query;
    q->sql = (Toks){at, count};
    q->divides = notes->divides;
    sqlgen_check_words(room, q->sql, q->divides);
    sqlgen_check_query(room, q);
    room->queries[room->query_count++] = q;
}

void sqlgen_read(Room *room, Tok *toks)
{
    if (!is_name(room->name))
        sqlgen_refuse(room, 0, "the room's name must be lower case");
    Notes notes = {0};
    int i = 0;
    while (toks[i].kind != TOK_END) {
        if (toks[i].kind == TOK_NOTE) {
            read_note(room, &toks[i++], &notes);
            continue;
        }
        int end = i;
        while (toks[end].kind != TOK_END && !tok_is(&toks[end], ";")) {
            if (toks[end].kind == TOK_NOTE)
                sqlgen_refuse(room, toks[end].line, "the statement above does not end with ';'");
            end++;
        }
        if (toks[end].kind == TOK_END)
            sqlgen_refuse(room, toks[i].line, "the statement does not end with ';'");
        if (end == i)
            sqlgen_refuse(room, toks[i].line, "an empty statement");
        read_statement(room, &toks[i], end - i, &notes);
        notes = (Notes){0};
        i = end + 1;
    }
    if (notes.line != 0)
        sqlgen_refuse(room, notes.line, "no SQL follows");
}
