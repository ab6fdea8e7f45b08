/*
 * modules/intake/intake_map.h -- the mapping file: which file feeds which target, and how its columns
 * become fields.  docs/formats/import-map.md is its manual.
 *
 * Promises: a map that loads names only targets, fields, keys and zones that exist, fills every
 *           required field and has a key; an error says file:line, what is wrong and what is known.
 * Depends:  base.          Threads: any; a loaded map is immutable and lives in the arena it was
 *           loaded into.
 */
#pragma once

#include "modules/intake/intake_source.h"
#include "modules/intake/intake_target.h"
#include "modules/intake/intake_time.h"

enum {
    INTAKE_MAP_BYTES_MAX = 1024 * 1024,
    INTAKE_MAP_FILES_MAX = 256,
    INTAKE_MAP_EXPRS_MAX = 256, /* fields, lines or attributes of one file entry */
    INTAKE_MAP_LIST_MAX = 4096, /* items of a list or of a value table */
};

typedef struct StrList {
    const Str *item;
    size_t count;
} StrList;

/* How one field gets its value.  A text whose ptr is NULL was not given. */
typedef struct IntakeExpr {
    Str name;     /* of the field or attribute */
    size_t index; /* of the field in its target's table */
    IntakeType type;
    int64_t line;   /* in the map file */
    StrList column; /* alternatives: the first that the file has */
    StrList concat; /* columns joined; empty ones are left out */
    Str with;       /* between them */
    Str constant;
    StrList remove;   /* texts taken out before parsing: "," and the like */
    StrList from, to; /* value table: from[i] becomes to[i], anything else is rejected */
    Str otherwise;    /* unless this is given */
    Str fallback;     /* `default:`, for an empty cell; goes through the parser too */
    Str parse;        /* a date pattern, or empty */
    Str type_name;    /* attributes of a typed target; empty = text */
    Str zone_name;
    const Zone *zone;
    bool keep_blanks; /* trim: false */
    bool required;
    bool optional;    /* the file may lack the column altogether */
    bool float_noise; /* money: 4.4e-16 and 3.8600000000000003 are accepted, and counted */
} IntakeExpr;

/* True for a row when, whichever is given: the column's text is one of `in`; it is empty (or not); the
 * sum of the columns `sum` exceeds the sum of the columns `exceeds`, as exact decimals. */
typedef struct IntakeCondition {
    Str as; /* the name it is counted under */
    int64_t line;
    Str column;
    StrList in;
    Str empty; /* "true" or "false" */
    StrList sum;
    StrList exceeds;
} IntakeCondition;

typedef struct IntakeExprs {
    IntakeExpr *expr;
    size_t count;
} IntakeExprs;

typedef struct IntakeConditions {
    IntakeCondition *condition;
    size_t count;
} IntakeConditions;

/* One entry of `files:`. */
typedef struct IntakeMapFile {
    int64_t line;
    Str file; /* name or pattern with * and ?; a .gz behind it is found too */
    bool optional;
    TableOptions table;
    StrList columns; /* names, when the file has no header */
    Str delimiter;
    Str encoding;
    Str target_name;
    const IntakeTarget *target;
    StrList group_by;
    bool sorted; /* rows of one group already stand together */
    IntakeExprs fields;
    IntakeExprs lines;
    IntakeExprs attributes;
    IntakeConditions skip;
    IntakeConditions count;
} IntakeMapFile;

typedef struct IntakeMap {
    Str path; /* for messages */
    int64_t version;
    Str name;
    Str source;   /* where the data is from and under which licence */
    Str currency; /* ISO 4217 */
    int64_t exponent;
    Str zone_name;
    const Zone *zone;
    IntakeMapFile *file;
    size_t files;
} IntakeMap;

/* Errors: NOT_FOUND "intake.map_not_found"; TOO_LARGE "intake.map_too_large"; INVALID
 * "intake.map_invalid" with the sentence in fault.hint. */
MUST_USE Err intake_map_load(Ctx *ctx, const char *path, const IntakeMap **out);

/* The same from memory; `name` stands for the path in messages. */
MUST_USE Err intake_map_parse(Ctx *ctx, Str name, Str text, const IntakeMap **out);

/* The files in folder `dir` that the entry means, by name; x.gz only where there is no x.
 * Errors: NOT_FOUND "intake.file_not_found" (unless the entry is optional, or no such folder). */
MUST_USE Err intake_map_find(Ctx *ctx, const IntakeMap *map, const IntakeMapFile *file,
                             const char *dir, StrList *paths);

/* The first entry that means a file of this name, NULL when none does. */
const IntakeMapFile *intake_map_entry(const IntakeMap *map, const char *path);

/* The name in `known` that `name` was probably meant to be; empty when none is near. */
Str intake_map_nearest(Str name, StrList known);
