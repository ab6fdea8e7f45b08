/*
 * base/json.h -- reading and writing JSON (RFC 8259).
 *
 * Reading: json_open() checks the grammar of the whole document at once and makes an index of it.
 * After that, walking cannot fail: values are small handles that may be read in any order, any
 * number of times, and skipped for nothing.  What is wrong *inside* one value (half an emoji, bad
 * UTF-8, U+0000, a number that does not fit) is reported when that value is read; the rest of the
 * document stays good.
 *
 * Owns: nothing.  Index and unescaped texts live in ctx->arena; texts without escapes are slices of
 * the input, so the input must live as long as the handles.  It needs no padding behind it.
 * Promises: no document makes it read out of bounds or recurse; the index takes at most 16 bytes per
 * byte of input.  In steady state only documents above 1 MiB call malloc.
 * Threads: any; a document belongs to one thread at a time.
 */
#pragma once

#include "base/ctx.h"

enum { JSON_DEPTH_MAX = 32, JSON_BYTES_MAX = 64 << 20 };

typedef struct JsonDoc JsonDoc;

/* One value of a document.  Copy it freely. */
typedef struct JsonValue {
    const JsonDoc *doc;
    uint32_t at; /* its place in the index */
} JsonValue;

typedef enum JsonType {
    JSON_OBJECT,
    JSON_ARRAY,
    JSON_STRING,
    JSON_NUMBER,
    JSON_BOOL,
    JSON_NULL
} JsonType;

/* What can be wrong with one value of a well-formed document. */
#define JSON_FAULT_MAP(X)                                                                          \
    X(NONE, "is fine")                                                                             \
    X(TYPE, "has the wrong type")                                                                  \
    X(FRACTION, "has more decimal places than allowed")                                            \
    X(RANGE, "is a number out of range")                                                           \
    X(SURROGATE, "contains half of a surrogate pair (a cut emoji?)")                               \
    X(UTF8, "is not valid UTF-8")                                                                  \
    X(ESCAPE, "contains an invalid escape sequence")                                               \
    X(CONTROL, "contains a control character that must be escaped")                                \
    X(NUL, "contains the character U+0000")

typedef enum JsonFault {
#define X(code, text) JSON_FAULT_##code,
    JSON_FAULT_MAP(X)
#undef X
        JSON_FAULT_COUNT
} JsonFault;

/* "contains the character U+0000": goes behind the name of the field. */
const char *json_fault_text(JsonFault fault);

/*
 * Checks `text` and gives its root value.  A byte order mark in front is skipped.
 * Errors: INVALID "json.malformed" (also for anything but white space behind the document, and for a
 * key without quotes; the hint says "byte 17: expected a comma or ]", counted from 0 with the byte
 * order mark), INVALID "json.too_deep" (over JSON_DEPTH_MAX), TOO_LARGE "json.too_large" (over
 * JSON_BYTES_MAX).
 */
MUST_USE Err json_open(Ctx *ctx, Str text, JsonValue *root);

JsonType json_type(JsonValue v);
const char *json_type_name(JsonType type); /* "object", "array", ... "null" */

/* Byte position of the value in the text given to json_open(). */
size_t json_position(JsonValue v);

/* How many bytes it has there. */
size_t json_bytes(JsonValue v);

/*
 * The members of an object in document order, duplicates included:
 *     for (JsonIter i = json_fields(v); json_next_field(&i, &key, &value);)
 * and the items of an array the same way.  A value of another type has none.
 * A key that is no valid text comes with U+FFFD in place of each fault.
 */
typedef struct JsonIter {
    const JsonDoc *doc;
    uint32_t at;
    uint32_t end;
} JsonIter;

JsonIter json_fields(JsonValue object);
bool json_next_field(JsonIter *i, Str *key, JsonValue *value);
JsonIter json_items(JsonValue array);
bool json_next_item(JsonIter *i, JsonValue *value);

/* How many members or items, 0 for a scalar.  Steps over them one by one. */
size_t json_count(JsonValue v);

/* The member `key`, the last one where it is repeated (as JavaScript reads it).  False when there
 * is none or `object` is no object. */
bool json_find(JsonValue object, Str key, JsonValue *out);

/* The readers give JSON_FAULT_NONE, or say why not and leave *out untouched. */

/* Unescaped text, valid UTF-8 without U+0000. */
MUST_USE JsonFault json_text(JsonValue v, Str *out);

/* The same, but a string with faults is given too, with U+FFFD in place of each; the result names
 * the first.  *out is untouched only for JSON_FAULT_TYPE. */
JsonFault json_text_repaired(JsonValue v, Str *out);

MUST_USE JsonFault json_bool(JsonValue v, bool *out);

/*
 * The number times 10^places, exactly: 3.86 with places 2 is 386.  Exponents and zeros at the end
 * are no obstacle (1e3, 1.50), a non-zero digit behind the last place is JSON_FAULT_FRACTION, what
 * does not fit an int64 is JSON_FAULT_RANGE.  0 <= places <= 18.
 */
MUST_USE JsonFault json_scaled(JsonValue v, int places, int64_t *out);

/* The number as an integer: json_scaled() with no places, so 1e3 and 7.0 are integers, 7.5 is not. */
MUST_USE JsonFault json_i64(JsonValue v, int64_t *out);

/* The nearest double, never for money.  1e400 is JSON_FAULT_RANGE, 1e-400 is 0. */
MUST_USE JsonFault json_f64(JsonValue v, double *out);

/* The number as it stands in the text, e.g. "25.90"; empty for other types. */
Str json_number_token(JsonValue v);

/*
 * The value as JSON text, always valid JSON without U+0000.  Normally a slice of the input; when a
 * string inside has faults, a copy that replaces each by U+FFFD, and *repaired (may be NULL) is true.
 */
Str json_raw(JsonValue v, bool *repaired);

/*
 * Writing: JsonOut puts the commas.
 *     JsonOut out = json_out(&buf);
 *     json_out_object(&out);
 *     json_out_key(&out, STR("id")), json_out_id(&out, id);
 *     json_out_end(&out);
 * Whatever goes in, the result is valid JSON and may stand inside an HTML <script> element: < > & and
 * U+2028/9 are escaped, bytes that are not UTF-8 become U+FFFD.  Past the maximum of the Buf, it is
 * buf->overflowed.  Wrong nesting is a CHECK.
 */
typedef struct JsonOut {
    Buf *buf;
    uint64_t objects; /* bit i: level i is an object */
    uint32_t depth;
    bool comma;     /* the next key or item needs one in front */
    bool after_key; /* a value must follow */
} JsonOut;

JsonOut json_out(Buf *buf);
void json_out_object(JsonOut *o);
void json_out_array(JsonOut *o);
void json_out_end(JsonOut *o); /* of the innermost object or array */
void json_out_key(JsonOut *o, Str key);
void json_out_text(JsonOut *o, Str text);
void json_out_i64(JsonOut *o, int64_t v);
void json_out_id(JsonOut *o, int64_t id); /* as a string: 63 bits do not fit a double */
void json_out_bool(JsonOut *o, bool v);
void json_out_null(JsonOut *o);
void json_out_time(JsonOut *o, int64_t at_ms); /* RFC 3339, UTC, milliseconds */
void json_out_raw(JsonOut *o, Str json);       /* one valid value, e.g. from json_raw() */

/* Everything that was begun has been ended, and there is a value. */
bool json_out_done(const JsonOut *o);
