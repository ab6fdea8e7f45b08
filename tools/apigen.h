/*
 * tools/apigen.h -- the parts of apigen: read contracts, emit C, emit openapi.json.
 *
 * Owns:     all memory is one arena and the YAML documents, kept as long as the program.
 * Promises: nothing is written unless every file was accepted; a refusal names file and line and says
 *           what to write instead.  The language is docs/formats/contract.md.
 * Threads:  one.
 */
#pragma once

#include "base/dto.h"
#include <yaml.h>

enum {
    APIGEN_FILE_BYTES_MAX = 1 << 20,
    APIGEN_OUT_BYTES_MAX = 16 << 20,
    APIGEN_FILES_MAX = 64,
    APIGEN_SCHEMAS_MAX = 256, /* per file, with a name */
    APIGEN_ORDER_MAX = 1024,  /* per file: objects and enums */
    APIGEN_OPERATIONS_MAX = 128,
    APIGEN_NAMES_MAX = 64, /* of an enum */
    APIGEN_ERRORS_MAX = 256,
    APIGEN_OPERATION_ERRORS_MAX = 32,
};

typedef struct File File;
typedef struct Schema Schema;

/* A property, or a parameter. */
typedef struct Property {
    Str name;
    Schema *schema;
    Str description;
    bool required, nullable, has_default;
    int64_t default_i64;
    Str default_text; /* as written */
} Property;

struct Schema {
    DtoKind kind;
    DtoFormat format;
    Str name;   /* in components.schemas; empty when it is written where it is used */
    Str c_name; /* DTO_OBJECT, DTO_ENUM: "ApiCoupon" */
    Str description;
    const File *file;
    int line;
    int depth; /* of what it holds, itself included */
    int64_t min, max;
    bool object_only, tree; /* DTO_JSON */
    Schema *item;
    Property *fields;
    int field_count;
    Str *names; /* DTO_ENUM */
    int name_count;
    int number; /* the C file being written calls it type_N; 0 = not yet */
};

typedef struct Named {
    Str name;
    yaml_node_t *node;
    Schema *schema; /* NULL until it was read */
    bool reading;
} Named;

typedef struct Error {
    Str code;
    Str sentence; /* empty: defined elsewhere */
    int line;
} Error;

typedef struct Operation {
    Str id, method, path, summary, description, permission; /* permission empty: public */
    Str status_description;
    Str media_in[4], media_out[4]; /* of a raw door */
    int media_in_count, media_out_count;
    const File *file;
    int line;
    ApiKind kind;
    ApiRepeat repeat;
    bool prepare_on_pool, raw;
    int status;
    Schema *params, *query, *body, *reply;
    Error errors[APIGEN_OPERATION_ERRORS_MAX];
    int error_count;
} Operation;

struct File {
    const char *path; /* for messages */
    Str base;         /* "coupon.api.yaml" */
    Str room;         /* "coupon" */
    Str header;       /* how others include what is emitted from common */
    Arena *arena;
    File *common; /* itself for common */
    yaml_document_t doc;
    yaml_node_t *root;
    Named named[APIGEN_SCHEMAS_MAX];
    int named_count;
    Schema *order[APIGEN_ORDER_MAX]; /* objects and enums, each behind what it holds */
    int order_count;
    Operation *operations[APIGEN_OPERATIONS_MAX];
    int operation_count;
    Error errors[APIGEN_ERRORS_MAX];
    int error_count;
};

/* Ends the program with 1.  `line` 0 is the file as a whole. */
_Noreturn void apigen_refuse(const File *file, int line, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* ---- apigen_yaml.c: closed mappings ---- */

void yaml_load(File *file);
int yaml_line(const yaml_node_t *node);

/* The text of a scalar; `what` is for the message. */
Str yaml_text(const File *file, const yaml_node_t *node, const char *what);
bool yaml_bool(const File *file, const yaml_node_t *node, const char *what);
int64_t yaml_i64(const File *file, const yaml_node_t *node, const char *what);

/* Refuses other keys than `keys` (ends with NULL), and repeated ones. */
void yaml_only(File *file, const yaml_node_t *map, const char *what, const char *const *keys);

/* The value of a key, or NULL. */
yaml_node_t *yaml_get(File *file, const yaml_node_t *map, const char *key);
/* The same; it must be there. */
yaml_node_t *yaml_need(File *file, const yaml_node_t *map, const char *what, const char *key);

int yaml_count(const File *file, const yaml_node_t *node, yaml_node_type_t type, const char *what);
yaml_node_t *yaml_item(File *file, const yaml_node_t *list, int i);
Str yaml_pair(File *file, const yaml_node_t *map, int i, yaml_node_t **value);

/* ---- the model ---- */

bool name_is_snake(Str s);
bool name_is_camel(Str s);

/* The schema at `node`.  `use` takes what belongs to the place and not to the schema (null, default,
 * description).  `c_name` is for an enum that is written in place. */
Schema *schema_read(File *file, yaml_node_t *node, Property *use, Str c_name);
Schema *schema_new(File *file, int line, DtoKind kind);
/* What `$ref: "#/components/schemas/X"` at `node` names. */
Schema *schema_ref(File *file, yaml_node_t *node);
/* Ends an object: depth, order. */
void schema_close_object(File *file, Schema *object);
void schemas_read(File *file);

void operations_read(File *file);

/* ---- output ---- */

Str name_to_upper(Arena *arena, Str camel_or_snake); /* "CouponNew" and "coupon_new": COUPON_NEW */
Str name_to_camel(Arena *arena, Str snake);          /* "coupon_new": CouponNew */
void emit_header(File *file, Buf *out);
void emit_source(File *file, Str header_name, Buf *out);
void emit_openapi(File *const *files, int count, Buf *out);
