/*
 * engine/ask/touch.h -- the question "touch": which touches before a conversion have earned it.
 *
 * A conversion is worth one, or a number that it has (without one: nothing).  What it is worth goes to the person's
 * touches that come before it, at most `look_back_ms` earlier; an event that is both is no touch of itself.  A
 * conversion without a touch is direct, and so is one of nobody, of whom no touch is known.  Where one conversion of each
 * person counts, those of nobody are none.
 *
 * Credits are whole units: what a model's shares leave over goes unit by unit to the touches with the largest
 * remainders, of equal ones to the earliest.  So the credits of one conversion add up to exactly what it is worth,
 * whichever model but TOUCH_PARTICIPATION; of a negative one as well.
 *
 * Owns: nothing.  Results live in ctx->arena.  Threads: any.  Errors: as engine/scan/query.h says.
 */
#pragma once

#include "engine/scan/query.h"

enum {
    TOUCH_UNITS = 1000000,      /* of a conversion that is worth one */
    TOUCH_SHARED_MAX = 1000,    /* touches that share a conversion: of more, the latest */
    TOUCH_VALUES_MAX = 1 << 17, /* different combinations of values: beyond, "query.too_large" */
};

typedef enum TouchModel {
    TOUCH_LAST,
    TOUCH_FIRST,
    TOUCH_LINEAR, /* the same to each */
    TOUCH_U,      /* 40 % to the first, 40 % to the last, 20 % to those between; two: half each */
    TOUCH_J,      /* 20, 60, 20 */
    TOUCH_INVERSE_J,     /* 60, 20, 20 */
    TOUCH_DECAY,         /* half as much for every half_life_ms before the last one */
    TOUCH_PARTICIPATION, /* all to each combination of values, once */
} TouchModel;

/* Which conversions of a person count. */
typedef enum TouchWhich {
    TOUCH_EACH,
    TOUCH_FIRST_OF_PERSON, /* in the range */
    TOUCH_LAST_OF_PERSON,
} TouchWhich;

typedef struct Touch {
    ScanSelect conversion;
    ScanSelect touch; /* its range is that of the conversions, and look_back_ms before */
    int64_t look_back_ms;
    TouchModel model;
    int64_t half_life_ms; /* TOUCH_DECAY: at least 1 */
    TouchWhich which;
    const ScanProp *number;    /* NULL: a conversion is worth TOUCH_UNITS */
    const ScanProp *breakdown; /* the rows, by the values that the touch has of these */
    uint32_t breakdown_count;  /* 1 to QUERY_BREAKDOWNS_MAX */
    uint32_t top;              /* rows that are shown; the rest are "other" */
} Touch;

typedef struct TouchRow {
    QuerySeries key;
    uint64_t conversions; /* that it had a share in; of "other" once for each of its combinations */
    TrendSum credit;
} TouchRow;

typedef struct TouchResult {
    const TouchRow *rows; /* by credit, descending, then values; "other" last, when there is any */
    uint32_t count;
    uint32_t distinct; /* combinations there are */
    TouchRow direct;   /* without a touch */
    TouchRow total;    /* of all conversions: what they are worth */
} TouchResult;

MUST_USE Err query_touch(Ctx *ctx, const Query *q, const Touch *t, TouchResult *out);

#define TOUCH_BAR_TOTAL  UINT32_MAX
#define TOUCH_BAR_DIRECT (UINT32_MAX - 1)

/* Whose conversions a row counts (its place), or one of the two above, with amounts: how many; some of them may be nobody's.
 * `r` is what the view answered; see engine/scan/query.h. */
MUST_USE Err query_touch_people(Ctx *ctx, const Query *q, const Touch *t, const TouchResult *r,
                                uint32_t bar, People *out);
