/*
 * tools/sqlgen_emit.c -- the accepted room as a C header and source.
 */
#include "sqlgen.h"

typedef enum Dialect { SQLITE, POSTGRES } Dialect;

static const struct {
    const char *c, *c_opt; /* C type, and when it may be NULL */
    const char *make;      /* value to SqlValue */
    const char *name;      /* SqlType */
    const char *ddl[2];    /* by Dialect */
} types[] = {
    [COL_I64] = {"int64_t ", "OptI64 ", "sql_i64", "SQL_I64", {"INTEGER", "BIGINT"}},
    [COL_BOOL] = {"bool ", "OptI64 ", "sql_bool", "SQL_BOOL", {"INTEGER", "BIGINT"}},
    [COL_TEXT] = {"Str ", "Str ", "sql_text", "SQL_TEXT", {"TEXT", "TEXT COLLATE \"C\""}},
    [COL_BYTES] = {"Str ", "Str ", "sql_bytes", "SQL_BYTES", {"BLOB", "BYTEA"}},
};

static bool is_str(const Field *f)
{
    return f->type == COL_TEXT || f->type == COL_BYTES;
}

static const char *c_type(const Field *f)
{
    return f->nullable ? types[f->type].c_opt : types[f->type].c;
}

static void add_upper(Buf *out, Str s)
{
    for (size_t i = 0; i < s.len; i++)
        buf_add_char(out, s.ptr[i] >= 'a' && s.ptr[i] <= 'z' ? (char)(s.ptr[i] - 32) : s.ptr[i]);
}

/* ---- SQL as C strings ---------------------------------------------------------------------------- */

/* Inside a C string literal. */
static void add_escaped(Buf *out, Str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '"' || s.ptr[i] == '\\')
            buf_add_char(out, '\\');
        buf_add_char(out, s.ptr[i]);
    }
}

static int param_number(const Query *q, Str name)
{
    int p = 0;
    while (!str_eq(q->in[p].name, name))
        p++;
    return p + 1;
}

static void add_token(Buf *out, const Query *q, const Tok *tok, Dialect dialect)
{
    if (tok->kind == TOK_PARAM) {
        buf_addf(out, "%c%d", dialect == SQLITE ? '?' : '$', param_number(q, tok->text));
    } else if (tok->type == COL_NONE) {
        add_escaped(out, tok->text);
    } else {
        add_escaped(out, str_of(types[tok->type].ddl[dialect]));
        if (tok->type == COL_BOOL)
            buf_addf(out, " CHECK (%.*s IN (0, 1))", STR_ARG(tok[-1].text));
    }
}

/* One C string per source line; `eol` ends each inner line of the text. */
static void add_sql(Buf *out, const Query *q, Toks sql, Dialect dialect, const char *eol)
{
    buf_add(out, STR("        \""));
    for (int i = 0; i < sql.count; i++) {
        const Tok *tok = &sql.at[i];
        if (i > 0 && tok->line != tok[-1].line)
            buf_addf(out, "%s\"\n        \"", eol);
        else if (i > 0 && tok->spaced)
            buf_add_char(out, ' ');
        add_token(out, q, tok, dialect);
    }
}

static void add_schema_text(Buf *out, const Room *room, Dialect dialect)
{
    for (int i = 0; i < room->create_count; i++) {
        const Create *create = room->creates[i];
        add_sql(out, NULL, create->sql, dialect, "\\n");
        if (dialect == SQLITE && create->table != NULL)
            buf_addf(out, " STRICT%s", create->table->clustered ? ", WITHOUT ROWID" : "");
        buf_add(out, STR(";\\n\"\n"));
    }
    if (room->create_count == 0)
        buf_add(out, STR("        \"\"\n"));
}

static void add_schema(Buf *out, const Room *room)
{
    buf_add(out, STR("static const char *const tables[] = {"));
    for (int i = 0; i < room->table_count; i++)
        buf_addf(out, "\"%.*s\", ", STR_ARG(room->tables[i]->name));
    buf_add(out, STR("NULL};\n\nSqlStmt *const "));
    add_upper(out, room->name);
    buf_add(out, STR("_STMTS[] = {"));
    for (int i = 0; i < room->query_count; i++)
        buf_addf(out, "\n    &stmt_%.*s,", STR_ARG(room->queries[i]->name));
    buf_add(out, STR("\n    NULL,\n};\n\nconst SqlSchema "));
    add_upper(out, room->name);
    buf_addf(out, "_SCHEMA = {\n    .room = \"%.*s\",\n    .sqlite =\n", STR_ARG(room->name));
    add_schema_text(out, room, SQLITE);
    buf_add(out, STR("    ,\n    .postgres =\n"));
    add_schema_text(out, room, POSTGRES);
    buf_add(out, STR("    ,\n    .tables = tables,\n    .stmts = "));
    add_upper(out, room->name);
    buf_add(out, STR("_STMTS,\n};\n"));
}

/* ---- prototypes and structs ---------------------------------------------------------------------- */

static bool uses_in_struct(const Query *q)
{
    return q->in_count > SQLGEN_PLAIN_ARGS_MAX;
}

static void add_signature(Buf *out, const Query *q)
{
    const int n = (int)q->name.len;
    const char *name = q->name.ptr;
    buf_addf(out, "Err sql_%.*s(%s", n, name, q->writes ? "Tx *tx" : "Ctx *ctx");
    if (uses_in_struct(q))
        buf_addf(out, ", const In_%.*s *in", n, name);
    for (int i = 0; !uses_in_struct(q) && i < q->in_count; i++)
        buf_addf(out, ", %s%.*s", c_type(&q->in[i]), STR_ARG(q->in[i].name));
    switch (q->kind) {
    case QUERY_EXEC:
        buf_add(out, STR(", int64_t *changed)"));
        break;
    case QUERY_ONE:
        buf_addf(out, ", Row_%.*s *row)", n, name);
        break;
    case QUERY_EACH:
        buf_addf(out, ", Fn_%.*s fn, void *arg)", n, name);
        break;
    case QUERY_LIST:
        buf_addf(out, ", Row_%.*s **rows, size_t *count)", n, name);
        break;
    }
}

static void add_struct(Buf *out, const char *prefix, Str name, const Field *fields, int count)
{
    buf_addf(out, "typedef struct %s_%.*s {\n", prefix, STR_ARG(name));
    for (int i = 0; i < count; i++)
        buf_addf(out, "    %s%.*s;%s\n", c_type(&fields[i]), STR_ARG(fields[i].name),
                 fields[i].nullable ? " /* may be NULL */" : "");
    buf_addf(out, "} %s_%.*s;\n", prefix, STR_ARG(name));
}

void sqlgen_emit_header(const Room *room, Buf *out)
{
    buf_addf(out,
             "/* Generated by tools/sqlgen from %.*s.sql.  Do not edit. */\n#pragma once\n\n"
             "#include \"db/schema.h\"\n\nextern const SqlSchema ",
             STR_ARG(room->name));
    add_upper(out, room->name);
    buf_add(out, STR("_SCHEMA;\nextern SqlStmt *const "));
    add_upper(out, room->name);
    buf_add(out, STR("_STMTS[]; /* ends with NULL */\n"));
    for (int i = 0; i < room->query_count; i++) {
        const Query *q = room->queries[i];
        buf_addf(out, "\n/* %.*s.sql:%d */\n", STR_ARG(room->name), q->line);
        if (uses_in_struct(q))
            add_struct(out, "In", q->name, q->in, q->in_count);
        if (q->out_count > 0)
            add_struct(out, "Row", q->name, q->out, q->out_count);
        if (q->kind == QUERY_EACH)
            buf_addf(out, "typedef Err (*Fn_%.*s)(Ctx *ctx, const Row_%.*s *row, void *arg);\n",
                     STR_ARG(q->name), STR_ARG(q->name));
        buf_add(out, STR("MUST_USE "));
        add_signature(out, q);
        buf_add(out, STR(";\n"));
    }
}

/* ---- functions ----------------------------------------------------------------------------------- */

static void add_types(Buf *out, const Query *q, const char *prefix, const Field *fields, int count)
{
    if (count == 0)
        return;
    buf_addf(out, "static const SqlType %s_%.*s[] = {", prefix, STR_ARG(q->name));
    for (int i = 0; i < count; i++)
        buf_addf(out, "%s%s", i > 0 ? ", " : "", types[fields[i].type].name);
    buf_add(out, STR("};\n"));
}

static void add_stmt(Buf *out, const Query *q)
{
    const int n = (int)q->name.len;
    const char *name = q->name.ptr;
    add_types(out, q, "in", q->in, q->in_count);
    add_types(out, q, "out", q->out, q->out_count);
    buf_addf(out, "static SqlStmt stmt_%.*s = {\n    .name = \"%.*s\",\n    .sqlite =\n", n, name,
             n, name);
    add_sql(out, q, q->sql, SQLITE, " ");
    buf_add(out, STR("\",\n    .postgres =\n"));
    add_sql(out, q, q->sql, POSTGRES, " ");
    buf_add(out, STR("\",\n"));
    if (q->in_count > 0)
        buf_addf(out, "    .in = in_%.*s,\n    .in_count = %d,\n", n, name, q->in_count);
    if (q->out_count > 0)
        buf_addf(out, "    .out = out_%.*s,\n    .out_count = %d,\n", n, name, q->out_count);
    buf_add(out, STR("};\n\n"));
}

/* take_x(): one SqlRow into the typed row; a NULL where none was declared is our bug. */
static void add_take(Buf *out, const Query *q)
{
    if (q->out_count == 0)
        return;
    buf_addf(out,
             "static Err take_%.*s(Ctx *ctx, const SqlRow *r, Row_%.*s *row)\n{\n    (void)ctx;\n",
             STR_ARG(q->name), STR_ARG(q->name));
    for (int i = 0; i < q->out_count; i++)
        if (!q->out[i].nullable)
            buf_addf(out, "    ENSURE(ctx, !r->col[%d].is_null);\n", i);
    buf_addf(out, "    *row = (Row_%.*s){\n", STR_ARG(q->name));
    for (int i = 0; i < q->out_count; i++) {
        const Field *f = &q->out[i];
        buf_addf(out, "        .%.*s = ", STR_ARG(f->name));
        if (f->nullable)
            buf_addf(out, "sql_opt%s_of(&r->col[%d])", is_str(f) ? "" : "_i64", i);
        else
            buf_addf(out, "r->col[%d].%s%s", i, is_str(f) ? "text" : "i64",
                     f->type == COL_BOOL ? " != 0" : "");
        buf_add(out, STR(",\n"));
    }
    buf_add(out, STR("    };\n    return ERR_OK;\n}\n\n"));
}

static void add_args(Buf *out, const Query *q)
{
    const char *from = uses_in_struct(q) ? "in->" : "";
    if (q->in_count == 0)
        return;
    buf_add(out, STR("    const SqlValue args[] = {\n"));
    for (int i = 0; i < q->in_count; i++) {
        const Field *f = &q->in[i];
        if (f->nullable && is_str(f))
            buf_addf(out, "        sql_opt(%s, %s%.*s),\n", types[f->type].name, from,
                     STR_ARG(f->name));
        else
            buf_addf(out, "        %s(%s%.*s),\n",
                     f->nullable ? "sql_opt_i64" : types[f->type].make, from, STR_ARG(f->name));
    }
    buf_add(out, STR("    };\n"));
}

static void add_each_fn(Buf *out, const Query *q)
{
    const int n = (int)q->name.len;
    const char *name = q->name.ptr;
    buf_addf(out,
             "typedef struct Each_%.*s {\n    Fn_%.*s fn;\n    void *arg;\n} Each_%.*s;\n\n"
             "static Err each_%.*s(Ctx *ctx, const SqlRow *r, void *arg)\n{\n"
             "    const Each_%.*s *each = arg;\n    Row_%.*s row = {0};\n"
             "    TRY(take_%.*s(ctx, r, &row));\n    return each->fn(ctx, &row, each->arg);\n}\n\n",
             n, name, n, name, n, name, n, name, n, name, n, name, n, name);
}

static void add_list_fn(Buf *out, const Query *q)
{
    const int n = (int)q->name.len;
    const char *name = q->name.ptr;
    buf_addf(
        out,
        "typedef struct List_%.*s {\n    Row_%.*s *rows;\n    size_t count;\n} List_%.*s;\n\n"
        "static Err list_%.*s(Ctx *ctx, const SqlRow *r, void *arg)\n{\n"
        "    List_%.*s *list = arg;\n    Row_%.*s row = {0};\n    TRY(take_%.*s(ctx, r, &row));\n",
        n, name, n, name, n, name, n, name, n, name, n, name, n, name);
    for (int i = 0; i < q->out_count; i++)
        if (is_str(&q->out[i]))
            buf_addf(out, "    row.%.*s = sql_keep(ctx->arena, row.%.*s);\n",
                     STR_ARG(q->out[i].name), STR_ARG(q->out[i].name));
    buf_add(out, STR("    list->rows = sql_grow(ctx->arena, list->rows, list->count, sizeof row);\n"
                     "    list->rows[list->count++] = row;\n    return ERR_OK;\n}\n\n"));
}

static void add_body(Buf *out, const Query *q)
{
    const int n = (int)q->name.len;
    const char *name = q->name.ptr;
    const char *args = q->in_count > 0 ? "args" : "NULL";
    const char *ctx = q->writes ? "tx->ctx" : "ctx";
    switch (q->kind) {
    case QUERY_EXEC:
        buf_addf(out, "    return db_exec(tx, &stmt_%.*s, %s, changed);\n", n, name, args);
        break;
    case QUERY_ONE:
        buf_addf(
            out,
            "    SqlRow r;\n    Row_%.*s got = {0};\n    TRY(db_one(%s, &stmt_%.*s, %s, &r));\n"
            "    TRY(take_%.*s(%s, &r, &got));\n    *row = got;\n    return ERR_OK;\n",
            n, name, ctx, n, name, args, n, name, ctx);
        break;
    case QUERY_EACH:
        buf_addf(out,
                 "    Each_%.*s each = {fn, arg};\n"
                 "    return db_each(ctx, &stmt_%.*s, %s, each_%.*s, &each);\n",
                 n, name, n, name, args, n, name);
        break;
    case QUERY_LIST:
        buf_addf(out,
                 "    List_%.*s list = {NULL, 0};\n"
                 "    TRY(db_each(ctx, &stmt_%.*s, %s, list_%.*s, &list));\n"
                 "    *rows = list.rows;\n    *count = list.count;\n    return ERR_OK;\n",
                 n, name, n, name, args, n, name);
        break;
    }
}

void sqlgen_emit_source(const Room *room, Str header_name, Buf *out)
{
    buf_addf(out,
             "/* Generated by tools/sqlgen from %.*s.sql.  Do not edit. */\n#include \"%.*s\"\n\n"
             "#pragma GCC diagnostic ignored \"-Woverlength-strings\"\n\n",
             STR_ARG(room->name), STR_ARG(header_name));
    for (int i = 0; i < room->query_count; i++) {
        const Query *q = room->queries[i];
        add_stmt(out, q);
        add_take(out, q);
        if (q->kind == QUERY_EACH)
            add_each_fn(out, q);
        if (q->kind == QUERY_LIST)
            add_list_fn(out, q);
        add_signature(out, q);
        buf_add(out, STR("\n{\n"));
        add_args(out, q);
        add_body(out, q);
        buf_add(out, STR("}\n\n"));
    }
    add_schema(out, room);
}
