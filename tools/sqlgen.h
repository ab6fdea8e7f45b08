/*
 * tools/sqlgen.h -- the parts of sqlgen: read a room's .sql, refuse what is not portable, emit C.
 *
 * Owns:     all memory is one arena that lives as long as the program.
 * Promises: nothing is written unless the whole file was accepted; every refusal names file and line
 *           and says what to write instead.  The language is docs/formats/sql.md.
 * Threads:  one.
 */
#pragma once

#include "base/arena.h"

enum {
    SQLGEN_FILE_BYTES_MAX = 1 << 20,
    SQLGEN_OUT_BYTES_MAX = 8 << 20,
    SQLGEN_TOKENS_MAX = 1 << 16,
    SQLGEN_TABLES_MAX = 64,
    SQLGEN_COLUMNS_MAX = 64,
    SQLGEN_FIELDS_MAX = 48, /* SQL_ARGS_MAX and SQL_COLS_MAX of db.h */
    SQLGEN_QUERIES_MAX = 512,
    SQLGEN_REFS_MAX = 16,
    SQLGEN_PLAIN_ARGS_MAX = 5, /* more parameters than this travel in a struct */
};

typedef enum TokKind {
    TOK_END,
    TOK_WORD,   /* keyword or name */
    TOK_NUMBER, /* digits */
    TOK_STRING, /* with its quotes */
    TOK_PARAM,  /* :name, text is the name */
    TOK_PUNCT,
    TOK_NOTE, /* a comment that means something to sqlgen, without the dashes */
} TokKind;

typedef enum ColType { COL_NONE, COL_I64, COL_BOOL, COL_TEXT, COL_BYTES } ColType;

typedef struct Tok {
    TokKind kind;
    Str text;
    int line;
    bool spaced;  /* white space or a comment before it */
    ColType type; /* in DDL: this word is the type of the column named by the token before */
} Tok;

/* A run of tokens, without the closing ';'. */
typedef struct Toks {
    const Tok *at;
    int count;
} Toks;

typedef struct Field {
    Str name;
    ColType type;
    bool nullable;
    bool used; /* parameters: seen in the SQL */
} Field;

typedef struct Table {
    Str name;
    Field columns[SQLGEN_COLUMNS_MAX];
    int count;
    bool clustered; /* WITHOUT ROWID on SQLite */
} Table;

typedef struct Create {
    Toks sql;
    const Table *table; /* NULL for an index */
} Create;

typedef enum QueryKind { QUERY_EXEC, QUERY_ONE, QUERY_EACH, QUERY_LIST } QueryKind;

typedef struct Query {
    Str name;
    QueryKind kind;
    int line;
    bool writes;  /* the main verb is INSERT, UPDATE or DELETE */
    bool divides; /* `-- division:` was given */
    Field in[SQLGEN_FIELDS_MAX], out[SQLGEN_FIELDS_MAX];
    int in_count, out_count;
    Toks sql;
} Query;

typedef struct Room {
    const char *path; /* for messages */
    Str name;
    Arena *arena;
    Create *creates[2 * SQLGEN_TABLES_MAX];
    Table *tables[SQLGEN_TABLES_MAX];
    Query *queries[SQLGEN_QUERIES_MAX];
    int create_count, table_count, query_count;
} Room;

/* Prints "file:line: text" and ends the program with 1. */
_Noreturn void sqlgen_refuse(const Room *room, int line, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Splits the text into tokens; the last one is TOK_END. */
Tok *sqlgen_lex(const Room *room, Str text);

/* Fills the room from its tokens and checks every rule. */
void sqlgen_read(Room *room, Tok *toks);

/* The rules; `query` is NULL for CREATE statements. */
void sqlgen_check_words(const Room *room, Toks sql, bool divides);
void sqlgen_check_query(const Room *room, Query *query);
void sqlgen_check_conditions(const Room *room, Toks sql, const Table *table);

void sqlgen_emit_header(const Room *room, Buf *out);
void sqlgen_emit_source(const Room *room, Str header_name, Buf *out);

/* ASCII letters compare without case. */
bool tok_is(const Tok *tok, const char *word);
