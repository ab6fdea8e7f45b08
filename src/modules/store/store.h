/*
 * modules/store/store.h -- shops (门店): where they are and when they are open.
 *
 * Owns:     table store.
 * Promises: a code names one shop and never changes; coordinates come in pairs with their datum;
 *           opening hours are schema.org openingHours; a failed call changed nothing.
 * Depends:  base, db.      Threads: any.
 */
#pragma once

#include "db/db.h"

enum { STORE_CODE_BYTES_MAX = 64, STORE_TEXT_BYTES_MAX = 200, STORE_PAGE_MAX = 1000 };

typedef struct Store {
    int64_t id;
    Str code; /* the chain's own, unique */
    Str name;
    Str phone; /* of the shop, as people dial it; "" = none */
    Str city;  /* "" = unknown, and so are address and hours */
    Str address;
    Str hours;             /* "Mo-Fr 09:00-21:00; Sa,Su 10:00-22:00", see store_hours_valid() */
    OptI64 lat_e7, lng_e7; /* degrees * 10^7: both or neither */
    Str datum;             /* of the coordinates: "wgs84" (GPS), "gcj02" (AMap), "bd09" (Baidu) */
    Str zone;              /* IANA name, "" = the chain's */
    int64_t cutover_hour;  /* a business day begins at this hour */
    int64_t created_ms;
} Store;

/*
 * schema.org openingHours, several joined by ';': days, then times or none for all day.
 *     entry = days [" " times]    days = day ["-" day] {"," ...}    day = Mo Tu We Th Fr Sa Su
 *     times = HH:MM "-" HH:MM {"," ...}, 00:00 to 24:00; closing before opening = on the next day
 */
bool store_hours_valid(Str hours);

/* NOT_FOUND "store.unknown". */
MUST_USE Err store_find(Ctx *ctx, int64_t id, Store *out);

/* By the chain's own code; *id = 0 when there is none. */
MUST_USE Err store_by_code(Ctx *ctx, Str code, int64_t *id);

/*
 * Checks and stores a shop; gives it an id.  An empty datum is stored as "wgs84".
 * Errors: INVALID "store.invalid" with the field; CONFLICT "store.code_taken".
 */
MUST_USE Err store_create(Tx *tx, const Store *in, int64_t *id);

/*
 * Changes everything but id, code and created_ms of shop in->id.
 * Errors: INVALID "store.invalid" with the field; NOT_FOUND "store.unknown".
 */
MUST_USE Err store_update(Tx *tx, const Store *in);

/*
 * For imports: the shop with in->code gets the given texts and coordinates, what is empty or absent
 * in `in` stays as it is (the cut-over hour always stays); without such a shop it is created, named
 * by its code when it has no name.  *changed = whether anything was written.
 * Errors: INVALID "store.invalid" with the field; CONFLICT "store.code_taken" (another process created it
 * at this very moment: put it again).
 */
MUST_USE Err store_put(Tx *tx, const Store *in, int64_t *id, bool *changed);

/* In the order of codes, those behind `after_code` ("" = from the first), at most `max` and at most
 * STORE_PAGE_MAX. */
MUST_USE Err store_page(Ctx *ctx, Str after_code, int64_t max, Store **out, size_t *count);

MUST_USE Err store_count(Ctx *ctx, int64_t *stores);
