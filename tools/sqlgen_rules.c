/*
 * tools/sqlgen_rules.c -- what sqlgen refuses because SQLite and PostgreSQL would silently differ, or
 * because the declaration does not fit the SQL.  Each refusal says what to write instead.
 */
#include "sqlgen.h"

/* ---- words --------------------------------------------------------------------------------------- */

typedef struct Refused {
    const char *word;
    bool call; /* only when '(' follows: the bare word may be a column */
    const char *instead;
} Refused;

#define FOLD "fold in C when the text is stored, and compare exactly"
#define TIME "times are i64 UTC milliseconds sent as parameters (ctx->now_ms)"
#define REAL "there are no floating point numbers in SQL: count in integers"
#define KEYS "only the program gives ids: db_serial()"

static const Refused refused[] = {
    {"like", false, "a prefix is `x >= :from AND x < :to`; LIKE ignores case on SQLite only"},
    {"ilike", false, "a prefix is `x >= :from AND x < :to`, folded in C"},
    {"glob", false, "a prefix is `x >= :from AND x < :to`"},
    {"regexp", false, "a prefix is `x >= :from AND x < :to`"},
    {"similar", false, "a prefix is `x >= :from AND x < :to`"},
    {"match", false, "a prefix is `x >= :from AND x < :to`"},
    {"lower", true, FOLD},
    {"upper", true, FOLD},
    {"date", true, TIME},
    {"time", true, TIME},
    {"datetime", true, TIME},
    {"julianday", true, TIME},
    {"strftime", true, TIME},
    {"unixepoch", true, TIME},
    {"now", true, TIME},
    {"date_trunc", true, TIME},
    {"date_part", true, TIME},
    {"extract", true, TIME},
    {"age", true, TIME},
    {"to_char", true, TIME},
    {"to_timestamp", true, TIME},
    {"current_date", false, TIME},
    {"current_time", false, TIME},
    {"current_timestamp", false, TIME},
    {"interval", false, TIME},
    {"avg", true, "select CAST(sum(x) AS BIGINT) and count(*), and divide in C"},
    {"total", true, "write CAST(sum(x) AS BIGINT)"},
    {"round", true, REAL},
    {"real", false, REAL},
    {"float", false, REAL},
    {"double", false, REAL},
    {"numeric", false, REAL},
    {"decimal", false, REAL},
    {"integer", false, "it is 32 bits on PostgreSQL: write i64 for a column, BIGINT in a CAST"},
    {"int", false, "it is 32 bits on PostgreSQL: write i64 for a column, BIGINT in a CAST"},
    {"ifnull", true, "write COALESCE(a, b)"},
    {"iif", true, "write CASE WHEN .. THEN .. ELSE .. END"},
    {"random", true, "send random numbers as parameters"},
    {"rowid", false, "name the primary key"},
    {"_rowid_", false, "name the primary key"},
    {"oid", false, "name the primary key"},
    {"ctid", false, "name the primary key"},
    {"autoincrement", false, KEYS},
    {"serial", false, KEYS},
    {"bigserial", false, KEYS},
    {"last_insert_rowid", true, KEYS},
    {"changes", true, "an :exec query returns the number of changed rows"},
    {"replace", false, "write INSERT .. ON CONFLICT (key) DO UPDATE SET .."},
    {"any", true, "join with the list's table, or call in a loop"},
    {"some", true, "join with the list's table, or call in a loop"},
    {"collate", false, "text is always compared as bytes; DDL adds it"},
    {"pragma", false, "it belongs to the db layer"},
    {"begin", false, "a write runs inside a Tx already"},
    {"commit", false, "a write runs inside a Tx already"},
    {"rollback", false, "return an Err: the Tx is rolled back"},
    {"savepoint", false, "a write runs inside a Tx already"},
};

static const char *word_refused(Toks sql, int i)
{
    const bool call = i + 1 < sql.count && tok_is(&sql.at[i + 1], "(");
    for (size_t r = 0; r < ARRAY_LEN(refused); r++)
        if (tok_is(&sql.at[i], refused[r].word) && (call || !refused[r].call))
            return refused[r].instead;
    if (call && str_starts_with(sql.at[i].text, STR("json")))
        return "JSON in a column is opaque text: take it apart in C";
    return NULL;
}

static bool is_any(Toks sql, int i, const char *const *words)
{
    for (const char *const *w = words; i >= 0 && i < sql.count && *w != NULL; w++)
        if (tok_is(&sql.at[i], *w))
            return true;
    return false;
}

/* The closing parenthesis of the one at `open`, or the end. */
static int closing(Toks sql, int open)
{
    int depth = 0;
    for (int i = open; i < sql.count; i++) {
        depth += tok_is(&sql.at[i], "(") ? 1 : 0;
        depth -= tok_is(&sql.at[i], ")") ? 1 : 0;
        if (depth == 0)
            return i;
    }
    return sql.count;
}

/* CAST ( sum ( x ) [FILTER (..)] [OVER (..)] AS BIGINT ): sum(bigint) is numeric on PostgreSQL. */
static bool is_cast_sum(Toks sql, int i)
{
    if (i < 2 || !tok_is(&sql.at[i - 1], "(") || !tok_is(&sql.at[i - 2], "cast"))
        return false;
    int at = closing(sql, i + 1) + 1;
    while (at + 1 < sql.count && (tok_is(&sql.at[at], "filter") || tok_is(&sql.at[at], "over")) &&
           tok_is(&sql.at[at + 1], "("))
        at = closing(sql, at + 1) + 1;
    return at + 1 < sql.count && tok_is(&sql.at[at], "as") && tok_is(&sql.at[at + 1], "bigint");
}

/* TRUE is an integer on SQLite and a boolean on PostgreSQL; as a whole condition it is the same. */
static bool is_whole_condition(Toks sql, int i)
{
    static const char *const before[] = {"where", "on", "and", "or", "not", "when", NULL};
    return is_any(sql, i - 1, before);
}

static void check_cast(const Room *room, Toks sql, int i)
{
    const int end = i + 1 < sql.count ? closing(sql, i + 1) : sql.count;
    if (end >= sql.count || end < 2 || !tok_is(&sql.at[end - 2], "as") ||
        !(tok_is(&sql.at[end - 1], "bigint") || tok_is(&sql.at[end - 1], "text")))
        sqlgen_refuse(room, sql.at[i].line, "write CAST(x AS BIGINT) or CAST(x AS TEXT)");
}

static void check_word(const Room *room, Toks sql, int i)
{
    const Tok *tok = &sql.at[i];
    const bool last = i + 1 == sql.count;
    const char *instead = word_refused(sql, i);
    if (instead != NULL)
        sqlgen_refuse(room, tok->line, "%.*s is not portable: %s", STR_ARG(tok->text), instead);
    if (!last && (tok_is(tok, "insert") || tok_is(tok, "update")) && tok_is(&sql.at[i + 1], "or"))
        sqlgen_refuse(room, tok->line, "%.*s OR is SQLite only: write ON CONFLICT (key) DO ..",
                      STR_ARG(tok->text));
    if (!last && tok_is(tok, "sum") && tok_is(&sql.at[i + 1], "(") && !is_cast_sum(sql, i))
        sqlgen_refuse(room, tok->line,
                      "write CAST(sum(x) AS BIGINT): a bare sum is numeric on "
                      "PostgreSQL");
    if ((tok_is(tok, "true") || tok_is(tok, "false")) && !is_whole_condition(sql, i))
        sqlgen_refuse(room, tok->line, "a bool is stored as 0 or 1: write 1, or send a parameter");
    if (tok_is(tok, "cast"))
        check_cast(room, sql, i);
}

void sqlgen_check_words(const Room *room, Toks sql, bool divides)
{
    bool divided = false;
    int depth = 0;
    for (int i = 0; i < sql.count; i++) {
        const Tok *tok = &sql.at[i];
        depth += tok_is(tok, "(") ? 1 : 0;
        depth -= tok_is(tok, ")") ? 1 : 0;
        if (depth < 0)
            sqlgen_refuse(room, tok->line, "a ')' too many");
        if (tok->kind == TOK_WORD)
            check_word(room, sql, i);
        if (tok_is(tok, "/") && !divides)
            sqlgen_refuse(room, tok->line,
                          "integer division truncates towards zero: divide in C, "
                          "or write `-- division: floor of non-negatives` above");
        divided = divided || tok_is(tok, "/");
    }
    if (depth != 0)
        sqlgen_refuse(room, sql.at[0].line, "a ')' is missing");
    if (divides && !divided)
        sqlgen_refuse(room, sql.at[0].line, "`-- division:` above a statement without a division");
}

/* ---- names --------------------------------------------------------------------------------------- */

/* A table as a query names it. */
typedef struct Ref {
    const Table *table; /* NULL: another room's, or a WITH */
    Str alias;
    bool outer; /* behind LEFT JOIN: its columns may be NULL */
} Ref;

typedef struct Scope {
    Ref refs[SQLGEN_REFS_MAX];
    int count;
} Scope;

static const Table *find_table(const Room *room, Str name)
{
    for (int i = 0; i < room->table_count; i++)
        if (str_eq(room->tables[i]->name, name))
            return room->tables[i];
    return NULL;
}

static bool ends_ref(const Tok *tok)
{
    static const char *const words[] = {
        "where",     "on",      "set",    "join",   "left",   "right",    "full",   "inner",
        "cross",     "order",   "group",  "limit",  "union",  "using",    "values", "select",
        "returning", "default", "having", "window", "except", "intersect"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (tok_is(tok, words[i]))
            return true;
    return tok->kind != TOK_WORD;
}

static void read_scope(const Room *room, Toks sql, Scope *scope)
{
    for (int i = 0; i + 1 < sql.count; i++) {
        const Tok *tok = &sql.at[i];
        const bool outer = tok_is(tok, "join") && i > 0 &&
                           (tok_is(&sql.at[i - 1], "left") || tok_is(&sql.at[i - 1], "outer"));
        if (tok_is(tok, "right") || tok_is(tok, "full"))
            sqlgen_refuse(room, tok->line, "only JOIN and LEFT JOIN: turn the query round");
        const bool names = tok_is(tok, "from") || tok_is(tok, "join") || tok_is(tok, "into") ||
                           (tok_is(tok, "update") && !tok_is(&sql.at[i + 1], "set"));
        if (!names || ends_ref(&sql.at[i + 1]))
            continue;
        if (scope->count == SQLGEN_REFS_MAX)
            sqlgen_refuse(room, tok->line, "at most %d tables in a query", SQLGEN_REFS_MAX);
        Ref *ref = &scope->refs[scope->count++];
        *ref = (Ref){find_table(room, sql.at[i + 1].text), sql.at[i + 1].text, outer};
        int alias = i + 2;
        if (alias < sql.count && tok_is(&sql.at[alias], "as"))
            alias++;
        if (alias < sql.count && !ends_ref(&sql.at[alias]))
            ref->alias = sql.at[alias].text;
        if (tok_is(tok, "from") && i + 2 < sql.count && tok_is(&sql.at[i + 2], ","))
            sqlgen_refuse(room, tok->line, "write JOIN .. ON, not a comma between tables");
    }
}

/* The column that `[alias.]name` means, or false when it is not one of this room's tables'. */
static bool find_column(const Scope *scope, Str alias, Str name, Field *out)
{
    bool found = false;
    for (int r = 0; r < scope->count; r++) {
        const Ref *ref = &scope->refs[r];
        if (ref->table == NULL || (alias.len > 0 && !str_eq(alias, ref->alias)))
            continue;
        for (int c = 0; c < ref->table->count; c++) {
            if (!str_eq(ref->table->columns[c].name, name))
                continue;
            const bool nullable =
                ref->table->columns[c].nullable || ref->outer || (found && out->nullable);
            *out = ref->table->columns[c];
            out->nullable = nullable;
            found = true;
        }
    }
    return found;
}

/* Reads `[alias.]name` at `i`; returns the tokens taken, 0 when there is none. */
static int column_at(const Scope *scope, Toks sql, int i, Field *out)
{
    if (sql.at[i].kind != TOK_WORD)
        return 0;
    const bool dotted = i + 2 < sql.count && tok_is(&sql.at[i + 1], ".");
    const Str alias = dotted ? sql.at[i].text : (Str){NULL, 0};
    const Str name = dotted ? sql.at[i + 2].text : sql.at[i].text;
    return find_column(scope, alias, name, out) ? (dotted ? 3 : 1) : 0;
}

/* ---- conditions ---------------------------------------------------------------------------------- */

/* A bool column is an integer: `WHERE flag` runs on SQLite only. */
static void check_scope_conditions(const Room *room, Toks sql, const Scope *scope)
{
    static const char *const before[] = {"where", "and", "or", "not", "when", "on", "having", NULL};
    static const char *const logic[] = {"and", "or", NULL};
    static const char *const after[] = {"and",   "or",        "then", "group", "order", "limit",
                                        "union", "returning", "on",   ")",     NULL};
    for (int i = 1; i < sql.count; i++) {
        Field column;
        const int taken = column_at(scope, sql, i, &column);
        if (taken == 0 || column.type != COL_BOOL)
            continue;
        const int next = i + taken;
        /* "(flag" may also begin a list of columns or an argument */
        const bool opens =
            is_any(sql, i - 1, before) || (tok_is(&sql.at[i - 1], "(") && is_any(sql, next, logic));
        if (opens && (next == sql.count || is_any(sql, next, after)))
            sqlgen_refuse(room, sql.at[i].line, "a bool is stored as 0 or 1: write %.*s = 1",
                          STR_ARG(column.name));
    }
}

void sqlgen_check_conditions(const Room *room, Toks sql, const Table *table)
{
    Scope scope = {0};
    for (int i = 0; table == NULL && i + 1 < sql.count; i++)
        if (tok_is(&sql.at[i], "on"))
            table = find_table(room, sql.at[i + 1].text);
    if (table == NULL)
        return;
    scope.refs[scope.count++] = (Ref){table, table->name, false};
    check_scope_conditions(room, sql, &scope);
}

/* ---- ORDER BY ------------------------------------------------------------------------------------ */

static int order_item_end(Toks sql, int from)
{
    static const char *const words[] = {"limit",  "offset", "rows", "range",
                                        "groups", "union",  "on",   ","};
    int depth = 0;
    for (int i = from; i < sql.count; i++) {
        for (size_t w = 0; depth == 0 && w < ARRAY_LEN(words); w++)
            if (tok_is(&sql.at[i], words[w]))
                return i;
        depth += tok_is(&sql.at[i], "(") ? 1 : 0;
        depth -= tok_is(&sql.at[i], ")") ? 1 : 0;
        if (depth < 0)
            return i;
    }
    return sql.count;
}

static bool never_null(const Query *q, const Scope *scope, Toks item)
{
    Field column;
    const int taken = column_at(scope, item, 0, &column);
    int left = item.count - taken;
    if (left == 1 && (tok_is(&item.at[taken], "asc") || tok_is(&item.at[taken], "desc")))
        left--;
    if (taken > 0)
        return left == 0 && !column.nullable;
    /* the name of a result column that is declared NOT NULL */
    const bool bare = item.count == 1 || tok_is(&item.at[1], "asc") || tok_is(&item.at[1], "desc");
    for (int i = 0; bare && i < q->out_count; i++)
        if (item.at[0].kind == TOK_WORD && str_eq(q->out[i].name, item.at[0].text))
            return !q->out[i].nullable;
    return false;
}

static void check_order_item(const Room *room, const Query *q, const Scope *scope, Toks item)
{
    if (item.count == 0)
        sqlgen_refuse(room, q->line, "an empty ORDER BY");
    for (int i = 0; i < item.count; i++)
        if (tok_is(&item.at[i], "nulls"))
            return;
    if (!never_null(q, scope, item))
        sqlgen_refuse(room, item.at[0].line,
                      "ORDER BY \"%.*s\" may meet NULL or is not known here: add NULLS FIRST or "
                      "NULLS LAST",
                      STR_ARG(item.at[0].text));
}

static void check_order(const Room *room, const Query *q, const Scope *scope)
{
    const Toks sql = q->sql;
    for (int i = 0; i + 1 < sql.count; i++) {
        if (!tok_is(&sql.at[i], "order") || !tok_is(&sql.at[i + 1], "by"))
            continue;
        for (int from = i + 2;;) {
            const int end = order_item_end(sql, from);
            check_order_item(room, q, scope, (Toks){&sql.at[from], end - from});
            if (end == sql.count || !tok_is(&sql.at[end], ","))
                break;
            from = end + 1;
        }
    }
}

/* ---- shape --------------------------------------------------------------------------------------- */

/* Place of the first of `words` outside parentheses at or behind `from`, or -1. */
static int top_level(Toks sql, int from, const char *const *words)
{
    int depth = 0;
    for (int i = from; i < sql.count; i++) {
        for (const char *const *w = words; depth == 0 && *w != NULL; w++)
            if (tok_is(&sql.at[i], *w))
                return i;
        depth += tok_is(&sql.at[i], "(") ? 1 : 0;
        depth -= tok_is(&sql.at[i], ")") ? 1 : 0;
    }
    return -1;
}

#define TOP_LEVEL(sql, from, ...) top_level((sql), (from), (const char *const[]){__VA_ARGS__, NULL})

static void check_params(const Room *room, Query *q)
{
    for (int i = 0; i < q->sql.count; i++) {
        const Tok *tok = &q->sql.at[i];
        if (tok->kind != TOK_PARAM)
            continue;
        int p = 0;
        while (p < q->in_count && !str_eq(q->in[p].name, tok->text))
            p++;
        if (p == q->in_count)
            sqlgen_refuse(room, tok->line, "parameter :%.*s is not declared: add it to `-- in:`",
                          STR_ARG(tok->text));
        q->in[p].used = true;
    }
    for (int i = 0; i < q->in_count; i++)
        if (!q->in[i].used)
            sqlgen_refuse(room, q->line, "parameter %.*s is declared but not used: remove it",
                          STR_ARG(q->in[i].name));
}

/* `SELECT a = b` is 1 on SQLite and a boolean on PostgreSQL. */
static void check_no_condition(const Room *room, Toks item)
{
    static const char *const words[] = {"=",  "<>",  "<",  ">",       "<=",     ">=", "is",
                                        "in", "and", "or", "between", "exists", "not"};
    int depth = 0;
    for (int i = 0; i < item.count; i++) {
        const Tok *tok = &item.at[i];
        depth += tok_is(tok, "(") || tok_is(tok, "case") ? 1 : 0;
        depth -= tok_is(tok, ")") || tok_is(tok, "end") ? 1 : 0;
        for (size_t w = 0; depth == 0 && w < ARRAY_LEN(words); w++)
            if (tok_is(tok, words[w]))
                sqlgen_refuse(room, tok->line,
                              "a condition as a column: write CASE WHEN .. THEN 1 "
                              "ELSE 0 END");
    }
}

static bool holds(Toks sql, const char *word)
{
    for (int i = 0; i < sql.count; i++)
        if (tok_is(&sql.at[i], word))
            return true;
    return false;
}

/* An aggregate over no rows is NULL: say so, or give the value. */
static bool may_be_null_of_nothing(const Query *q, Toks item)
{
    const bool aggregate = holds(item, "sum") || holds(item, "min") || holds(item, "max");
    return aggregate && !holds(item, "coalesce") && !holds(item, "over") && !holds(item, "case") &&
           !holds(q->sql, "group");
}

static void check_out_item(const Room *room, const Query *q, const Scope *scope, Toks item, int nth)
{
    if (item.count == 0)
        sqlgen_refuse(room, q->line, "an empty column");
    const Tok *last = &item.at[item.count - 1];
    const int line = item.at[0].line;
    if (tok_is(last, "*") && (item.count == 1 || tok_is(&item.at[item.count - 2], ".")))
        sqlgen_refuse(room, line, "name the columns instead of *");
    check_no_condition(room, item);
    if (nth >= q->out_count)
        return; /* the count is reported by the caller */
    const Field *out = &q->out[nth];
    Field column;
    const bool bare = column_at(scope, item, 0, &column) == item.count;
    const bool plain = item.count == 1 || (item.count == 3 && tok_is(&item.at[1], "."));
    const bool named = item.count > 2 && tok_is(&item.at[item.count - 2], "as");
    if (((plain && last->kind == TOK_WORD) || named) && !str_eq(last->text, out->name))
        sqlgen_refuse(room, line,
                      "column %d is %.*s but `-- out:` says %.*s: write .. AS %.*s, or "
                      "mend the order",
                      nth + 1, STR_ARG(last->text), STR_ARG(out->name), STR_ARG(out->name));
    if (bare && column.type != out->type)
        sqlgen_refuse(room, line, "the type of %.*s in `-- out:` is not the table's",
                      STR_ARG(out->name));
    if (!out->nullable && may_be_null_of_nothing(q, item))
        sqlgen_refuse(room, line,
                      "%.*s is NULL when there is no row: write COALESCE(.., 0), or "
                      "declare it with ?",
                      STR_ARG(out->name));
}

static void check_out(const Room *room, const Query *q, const Scope *scope)
{
    int at = TOP_LEVEL(q->sql, 0, "returning");
    if (at < 0 && !q->writes)
        at = TOP_LEVEL(q->sql, 0, "select");
    if (at < 0) {
        if (q->out_count > 0)
            sqlgen_refuse(room, q->line, "`-- out:` without RETURNING");
        return;
    }
    at++;
    if (at < q->sql.count && tok_is(&q->sql.at[at], "distinct"))
        at++;
    int end =
        TOP_LEVEL(q->sql, at, "from", "where", "union", "except", "intersect", "order", "limit");
    if (end < 0)
        end = q->sql.count;
    int count = 0;
    for (bool more = true; more; count++) {
        const Toks rest = {&q->sql.at[at], end - at};
        const int comma = TOP_LEVEL(rest, 0, ",");
        more = comma >= 0;
        check_out_item(room, q, scope, (Toks){rest.at, more ? comma : rest.count}, count);
        at += comma + 1;
    }
    if (count != q->out_count)
        sqlgen_refuse(room, q->line, "the SQL gives %d columns, `-- out:` declares %d", count,
                      q->out_count);
}

/* A second verb that writes would slip past the Tx. */
static void check_one_write(const Room *room, Toks sql, int verb)
{
    static const char *const writes[] = {"insert", "update", "delete", NULL};
    for (int i = 0; i < sql.count; i++)
        if (i != verb && is_any(sql, i, writes) && !(i > 0 && tok_is(&sql.at[i - 1], "do")))
            sqlgen_refuse(room, sql.at[i].line,
                          "%.*s inside a statement is PostgreSQL only: write two queries",
                          STR_ARG(sql.at[i].text));
}

static void check_kind(const Room *room, Query *q)
{
    const int verb = TOP_LEVEL(q->sql, 0, "select", "insert", "update", "delete");
    if (verb < 0)
        sqlgen_refuse(room, q->line, "only SELECT, INSERT, UPDATE and DELETE");
    check_one_write(room, q->sql, verb);
    q->writes = !tok_is(&q->sql.at[verb], "select");
    if (q->kind == QUERY_EXEC && !q->writes)
        sqlgen_refuse(room, q->line, "a SELECT is :one, :each or :list");
    if (q->kind == QUERY_EXEC && q->out_count > 0)
        sqlgen_refuse(room, q->line, ":exec has no `-- out:`; with RETURNING it is :one");
    if (q->kind != QUERY_EXEC && q->out_count == 0)
        sqlgen_refuse(room, q->line, "`-- out:` is missing");
    if (q->writes && (q->kind == QUERY_EACH || q->kind == QUERY_LIST))
        sqlgen_refuse(room, q->line, "a write is :exec, or :one with RETURNING");
    if (q->writes && q->kind == QUERY_ONE && TOP_LEVEL(q->sql, 0, "returning") < 0)
        sqlgen_refuse(room, q->line, "a write that is :one needs RETURNING");
    const bool limited = TOP_LEVEL(q->sql, 0, "limit") >= 0;
    if (q->kind == QUERY_LIST && !limited)
        sqlgen_refuse(room, q->line, "a :list needs LIMIT: it is held in memory; or use :each");
    if (limited && TOP_LEVEL(q->sql, 0, "order") < 0)
        sqlgen_refuse(room, q->line,
                      "LIMIT without ORDER BY takes any rows: order by a unique key");
    if (tok_is(&q->sql.at[verb], "insert") && verb + 3 < q->sql.count) {
        const bool as = tok_is(&q->sql.at[verb + 3], "as");
        const int list = verb + (as ? 5 : 3);
        if (list >= q->sql.count || !tok_is(&q->sql.at[list], "("))
            sqlgen_refuse(room, q->line, "name the columns: INSERT INTO t(a, b) ..");
    }
}

void sqlgen_check_query(const Room *room, Query *query)
{
    Scope scope = {0};
    check_kind(room, query);
    check_params(room, query);
    read_scope(room, query->sql, &scope);
    check_scope_conditions(room, query->sql, &scope);
    check_order(room, query, &scope);
    check_out(room, query, &scope);
}
