/*
 * base/dto.h -- C structs to and from JSON by descriptor tables, which tools/apigen emits from the
 * contracts (docs/formats/contract.md), and the table rows that describe an operation.
 *
 * One interpreter parses, validates and prints.  A member that may be missing or null has a DtoState
 * beside it (`note` and `note_is`); all others always hold a value.  Texts and arrays are in
 * ctx->arena, or are slices of the input, so the input must live as long as the struct.
 *
 * Owns:     nothing.
 * Promises: what was parsed keeps every bound of its descriptor; what is printed is valid JSON and
 *           parses again to the same; the depth of calls is that of the descriptor, never of the input.
 * Threads:  any; descriptors are constant.
 */
#pragma once

#include "base/json.h"

enum { DTO_FIELDS_MAX = 64, DTO_DEPTH_MAX = 12, DTO_QUERY_PAIRS_MAX = 64 };

typedef enum DtoState { DTO_ABSENT, DTO_NULL, DTO_VALUE } DtoState;

/* Gives an optional member a value: DTO_SET(&reply, note, STR("..")). */
#define DTO_SET(dto, member, value) ((dto)->member = (value), (dto)->member##_is = DTO_VALUE)

typedef enum DtoKind {
    DTO_OBJECT,  /* a struct */
    DTO_ARRAY,   /* T *x; size_t x_count */
    DTO_MAP,     /* DtoPair *x; size_t x_count: text to text, order kept, keys unique */
    DTO_JSON,    /* Str: any JSON value as text, for what another parser reads; or a JsonValue */
    DTO_STRING,  /* Str */
    DTO_ENUM,    /* a C enum, 0 is the first name */
    DTO_ID,      /* int64_t > 0; a string in JSON */
    DTO_DATE,    /* int32_t yyyymmdd, 1900 to 9999; "2026-11-21" */
    DTO_TIME,    /* int64_t UTC milliseconds, 1900 to 9999; RFC 3339 with any offset */
    DTO_INTEGER, /* int64_t */
    DTO_BOOL,    /* bool */
} DtoKind;

typedef enum DtoFormat {
    DTO_FORMAT_TEXT,     /* no control characters but tab and line ends */
    DTO_FORMAT_LINE,     /* no control characters */
    DTO_FORMAT_PASSWORD, /* any character */
    DTO_FORMAT_CODE,     /* visible ASCII */
    DTO_FORMAT_SLUG,     /* a-z, then a-z 0-9 _ - */
    DTO_FORMAT_DIGITS,   /* 0-9 */
    DTO_FORMAT_PHONE, /* digits, spaces, dashes, brackets, perhaps a + in front; not normalised */
    DTO_FORMAT_EMAIL,
    DTO_FORMAT_URI, /* http or https */
    DTO_FORMAT_UUID,
    DTO_FORMAT_COUNT
} DtoFormat;

typedef struct DtoPair {
    Str key;
    Str value;
} DtoPair;

typedef struct DtoField DtoField;

typedef struct DtoType {
    DtoKind kind;
    DtoFormat format; /* DTO_STRING */
    const char *name; /* DTO_OBJECT, DTO_ENUM: as in the contract */
    size_t size;      /* bytes of one value in C */
    int64_t min, max; /* DTO_STRING: characters; DTO_INTEGER: value; DTO_ARRAY, DTO_MAP: items;
                         DTO_JSON: bytes */
    bool object_only; /* DTO_JSON: nothing but an object */
    bool
        tree; /* DTO_JSON: a JsonValue of the text's document.  What is wrong inside is its reader's business */
    const struct DtoType *item;    /* DTO_ARRAY; DTO_MAP: of the values, a DTO_STRING */
    const DtoField *fields;        /* DTO_OBJECT */
    const char *const *enum_names; /* DTO_ENUM */
    int count;                     /* of fields or names */
} DtoType;

enum { DTO_NOWHERE = -1 };

struct DtoField {
    const char *name; /* in JSON */
    const DtoType *type;
    size_t at;                /* offset of the value */
    ptrdiff_t count_at;       /* offset of a size_t, for DTO_ARRAY and DTO_MAP; else DTO_NOWHERE */
    ptrdiff_t state_at;       /* offset of a DtoState, or DTO_NOWHERE: there is always a value */
    bool required;            /* must be in the JSON */
    bool nullable;            /* may be null */
    bool has_default;         /* when it is missing: */
    int64_t default_i64;      /* DTO_INTEGER, DTO_BOOL, DTO_ENUM */
    const char *default_text; /* DTO_STRING */
};

/*
 * Reads a whole JSON text into the struct that `type` describes.  *out is untouched on failure.
 * Errors: those of json_open(); INVALID with the JSON pointer of the field and a sentence what to
 * send: "request.type", "request.missing", "request.null", "request.unknown_field",
 * "request.repeated", "request.range" (number, length or count), "request.format", "request.choice"
 * (not one of the names), "request.text" (bad Unicode).
 */
MUST_USE Err dto_parse(Ctx *ctx, const DtoType *type, Str json, void *out);

/* The same for one value of a document; `pointer` is where it stands ("" for the whole, "/rows/3"). */
MUST_USE Err dto_read(Ctx *ctx, const DtoType *type, JsonValue value, const char *pointer,
                      void *out);

/*
 * Reads a query (without '?') into an object of scalars and arrays of scalars; a repeated name makes
 * an array.  The "pointer" of an error is "?name".
 * Errors: as dto_parse(), and "request.encoding" (a broken % sequence), "request.too_many".
 */
MUST_USE Err dto_parse_query(Ctx *ctx, const DtoType *type, Str query, void *out);

/* Reads the decoded {placeholders} of a path, in the order of the fields.  The "pointer" is "{name}".
 * Errors: NOT_FOUND "not_found": an address that cannot be one names nothing. */
MUST_USE Err dto_parse_path(Ctx *ctx, const DtoType *type, const Str *params, size_t count,
                            void *out);

/* Prints the value as JSON.  A missing optional member is left out, a required one that has no value
 * is null.  An enum outside its names is a CHECK. */
void dto_write(JsonOut *out, const DtoType *type, const void *value);
void dto_print(Buf *out, const DtoType *type, const void *value);

/* ---- operations ------------------------------------------------------------------------------- */

typedef enum ApiKind { API_PEEK, API_WORK, API_WRITE, API_COLLECT } ApiKind;

/* What an Idempotency-Key means to an operation. */
typedef enum ApiRepeat { API_REPEAT_IGNORED, API_REPEAT_OPTIONAL, API_REPEAT_REQUIRED } ApiRepeat;

typedef struct ApiError {
    const char *code;     /* "coupon.sold_out" */
    const char *sentence; /* English, for the caller */
} ApiError;

typedef struct ApiOperation {
    const char *id;     /* "coupon_redeem" */
    const char *method; /* "POST" */
    const char *path;   /* "/v1/coupons/{code}/redeem" */
    const char *summary;
    const char *permission; /* NULL: anybody */
    ApiKind kind;
    ApiRepeat repeat;
    bool prepare_on_pool; /* API_WRITE: prepare blocks or computes */
    bool raw;             /* reads and answers its body itself: body and reply are NULL */
    int status;           /* of success */
    const DtoType *params, *query, *body, *reply; /* NULL: none */
    const ApiError *errors;                       /* ends with a zero row */
} ApiOperation;

/* What apigen emits for a contract file. */
typedef struct ApiContract {
    const char *room;
    const ApiOperation *const *operations; /* ends with NULL */
    const ApiError *errors;                /* every code of the file once; ends with a zero row */
} ApiContract;

/* The sentence of a code in any of the contracts (list ends with NULL), or NULL. */
const char *api_sentence(const ApiContract *const *contracts, const char *code);
