/*
 * modules/store/store.c -- what a shop may be, and keeping it.
 */
#include "modules/store/store.h"

#include "base/id.h"
#include "store.sql.h"

static const int64_t LAT_E7_MAX = INT64_C(900000000);
static const int64_t LNG_E7_MAX = INT64_C(1800000000);

enum { PHONE_BYTES_MAX = 64, ZONE_BYTES_MAX = 64 };

/* ---- checks ---------------------------------------------------------------------------------- */

/* A shop's phone is shown and dialled, never matched: hotlines and extensions are as good as any. */
static bool is_phone(Str s)
{
    if (s.len == 0)
        return true;
    bool digit = false;
    for (size_t i = 0; i < s.len; i++)
        digit = digit || (s.ptr[i] >= '0' && s.ptr[i] <= '9');
    return digit && str_is_line(s, PHONE_BYTES_MAX);
}

/* "Asia/Shanghai": letters, digits and + - _ in parts.  Whether there is such a zone is for the caller
 * that converts times. */
static bool is_zone(Str s)
{
    for (size_t i = 0; i < s.len; i++) {
        const char c = s.ptr[i];
        const bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        const bool other = (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '_' || c == '/';
        if (!letter && (!other || i == 0))
            return false;
    }
    return s.len <= ZONE_BYTES_MAX;
}

static bool is_datum(Str s)
{
    return str_eq(s, STR("wgs84")) || str_eq(s, STR("gcj02")) || str_eq(s, STR("bd09"));
}

static bool is_degrees(OptI64 e7, int64_t max)
{
    return !e7.has || (e7.v >= -max && e7.v <= max);
}

/* The first thing that is wrong with a shop: one row per rule. */
static Err check(Ctx *ctx, const Store *s)
{
    const struct {
        bool right;
        const char *pointer;
        const char *hint;
    } rules[] = {
        {s->code.len > 0 && str_is_line(s->code, STORE_CODE_BYTES_MAX), "/code",
         "give the shop a code of its own, at most 64 bytes"},
        {s->name.len > 0 && str_is_line(s->name, STORE_TEXT_BYTES_MAX), "/name",
         "give the shop a name of at most 200 bytes"},
        {is_phone(s->phone), "/phone", "write it as people dial it, at most 64 bytes"},
        {str_is_line(s->city, STORE_TEXT_BYTES_MAX), "/city", "one line of at most 200 bytes"},
        {str_is_line(s->address, STORE_TEXT_BYTES_MAX), "/address",
         "one line of at most 200 bytes"},
        {s->hours.len == 0 || (s->hours.len <= STORE_TEXT_BYTES_MAX && store_hours_valid(s->hours)),
         "/hours", "write it like: Mo-Fr 09:00-21:00; Sa,Su 10:00-22:00"},
        {is_degrees(s->lat_e7, LAT_E7_MAX), "/lat_e7", "-900000000 to 900000000"},
        {is_degrees(s->lng_e7, LNG_E7_MAX), "/lng_e7", "-1800000000 to 1800000000"},
        {s->lat_e7.has || !s->lng_e7.has, "/lat_e7", "give both coordinates or none"},
        {s->lng_e7.has || !s->lat_e7.has, "/lng_e7", "give both coordinates or none"},
        {is_datum(s->datum), "/datum", "choose wgs84, gcj02 or bd09"},
        {is_zone(s->zone), "/zone", "give a name like Asia/Shanghai"},
        {s->cutover_hour >= 0 && s->cutover_hour <= 23, "/cutover_hour", "0 to 23"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rules); i++)
        if (!rules[i].right)
            return fail_field(ctx, rules[i].pointer, "store.invalid", "%s", rules[i].hint);
    return ERR_OK;
}

/* ---- look ------------------------------------------------------------------------------------ */

Err store_find(Ctx *ctx, int64_t id, Store *out)
{
    Row_store_find r;
    const Err err = sql_store_find(ctx, id, &r);
    if (err == ERR_NOT_FOUND)
        return fail(ctx, ERR_NOT_FOUND, "store.unknown", "store %" PRId64, id);
    TRY(err);
    *out = (Store){.id = id,
                   .code = r.code,
                   .name = r.name,
                   .phone = r.phone,
                   .city = r.city,
                   .address = r.address,
                   .hours = r.hours,
                   .lat_e7 = r.lat_e7,
                   .lng_e7 = r.lng_e7,
                   .datum = r.datum,
                   .zone = r.zone,
                   .cutover_hour = r.cutover_hour,
                   .created_ms = r.created_ms};
    return ERR_OK;
}

Err store_by_code(Ctx *ctx, Str code, int64_t *id)
{
    Row_store_by_code row = {0};
    const Err err = sql_store_by_code(ctx, code, &row);
    if (err != ERR_NOT_FOUND)
        TRY(err);
    *id = err == ERR_NOT_FOUND ? 0 : row.id;
    return ERR_OK;
}

Err store_page(Ctx *ctx, Str after_code, int64_t max, Store **out, size_t *count)
{
    Row_store_page *rows = NULL;
    size_t n = 0;
    const int64_t limit = max < 0 ? 0 : max < STORE_PAGE_MAX ? max : STORE_PAGE_MAX;
    TRY(sql_store_page(ctx, after_code, limit, &rows, &n));
    Store *stores = ARENA_ARRAY(ctx->arena, Store, n + 1);
    for (size_t i = 0; i < n; i++)
        stores[i] = (Store){.id = rows[i].id,
                            .code = rows[i].code,
                            .name = rows[i].name,
                            .phone = rows[i].phone,
                            .city = rows[i].city,
                            .address = rows[i].address,
                            .hours = rows[i].hours,
                            .lat_e7 = rows[i].lat_e7,
                            .lng_e7 = rows[i].lng_e7,
                            .datum = rows[i].datum,
                            .zone = rows[i].zone,
                            .cutover_hour = rows[i].cutover_hour,
                            .created_ms = rows[i].created_ms};
    *out = stores;
    *count = n;
    return ERR_OK;
}

Err store_count(Ctx *ctx, int64_t *stores)
{
    Row_store_count row;
    TRY(sql_store_count(ctx, &row));
    *stores = row.stores;
    return ERR_OK;
}

/* ---- change ---------------------------------------------------------------------------------- */

static Store with_datum(const Store *in)
{
    Store s = *in;
    if (s.datum.len == 0)
        s.datum = STR("wgs84");
    return s;
}

Err store_create(Tx *tx, const Store *in, int64_t *id)
{
    const Store s = with_datum(in);
    TRY(check(tx->ctx, &s));
    const int64_t new_id = id_next(tx->ctx->now_ms);
    int64_t changed = 0;
    TRY(sql_store_insert(tx,
                         &(In_store_insert){.id = new_id,
                                            .code = s.code,
                                            .name = s.name,
                                            .phone = s.phone,
                                            .city = s.city,
                                            .address = s.address,
                                            .hours = s.hours,
                                            .lat_e7 = s.lat_e7,
                                            .lng_e7 = s.lng_e7,
                                            .datum = s.datum,
                                            .zone = s.zone,
                                            .cutover_hour = s.cutover_hour,
                                            .created_ms = tx->ctx->now_ms},
                         &changed));
    if (changed == 0)
        return fail(tx->ctx, ERR_CONFLICT, "store.code_taken", "%.*s", STR_ARG(s.code));
    *id = new_id;
    return ERR_OK;
}

static Err write_update(Tx *tx, const Store *s)
{
    int64_t changed = 0;
    TRY(sql_store_update(tx,
                         &(In_store_update){.id = s->id,
                                            .name = s->name,
                                            .phone = s->phone,
                                            .city = s->city,
                                            .address = s->address,
                                            .hours = s->hours,
                                            .lat_e7 = s->lat_e7,
                                            .lng_e7 = s->lng_e7,
                                            .datum = s->datum,
                                            .zone = s->zone,
                                            .cutover_hour = s->cutover_hour},
                         &changed));
    if (changed == 0)
        return fail(tx->ctx, ERR_NOT_FOUND, "store.unknown", "store %" PRId64, s->id);
    return ERR_OK;
}

Err store_update(Tx *tx, const Store *in)
{
    Store now;
    TRY(store_find(tx->ctx, in->id, &now));
    Store s = with_datum(in);
    s.code = now.code;
    TRY(check(tx->ctx, &s));
    return write_update(tx, &s);
}

static Err create_by_put(Tx *tx, const Store *in, int64_t *id)
{
    Store s = *in;
    if (s.name.len == 0)
        s.name = s.code;
    return store_create(tx, &s, id);
}

/* Coordinates mean nothing without their datum: all three come over, or none. */
static bool merge_place(Store *into, const Store *in)
{
    if (!in->lat_e7.has && !in->lng_e7.has)
        return false;
    const Str datum = with_datum(in).datum;
    const bool same = into->lat_e7.has && in->lat_e7.has && in->lng_e7.has &&
                      into->lat_e7.v == in->lat_e7.v && into->lng_e7.v == in->lng_e7.v;
    if (same && str_eq(into->datum, datum))
        return false;
    into->lat_e7 = in->lat_e7;
    into->lng_e7 = in->lng_e7;
    into->datum = datum;
    return true;
}

Err store_put(Tx *tx, const Store *in, int64_t *id, bool *changed)
{
    int64_t old = 0;
    TRY(store_by_code(tx->ctx, in->code, &old));
    if (old == 0) {
        TRY(create_by_put(tx, in, id));
        *changed = true;
        return ERR_OK;
    }
    Store s;
    TRY(store_find(tx->ctx, old, &s));
    bool differs = merge_place(&s, in);
    differs |= str_merge(&s.name, in->name);
    differs |= str_merge(&s.phone, in->phone);
    differs |= str_merge(&s.city, in->city);
    differs |= str_merge(&s.address, in->address);
    differs |= str_merge(&s.hours, in->hours);
    differs |= str_merge(&s.zone, in->zone);
    if (differs) {
        TRY(check(tx->ctx, &s));
        TRY(write_update(tx, &s));
    }
    *id = old;
    *changed = differs;
    return ERR_OK;
}
