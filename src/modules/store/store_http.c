/*
 * modules/store/store_http.c -- the doors of store.api.yaml.
 */
#include "modules/store/store_http.h"

#include "modules/store/store.h"
#include "store.api.h"

static const char *const DATUMS[] = {[API_STORE_DATUM_WGS84] = "wgs84",
                                     [API_STORE_DATUM_GCJ02] = "gcj02",
                                     [API_STORE_DATUM_BD09] = "bd09"};

static ApiStoreView view_of(const Store *s)
{
    ApiStoreView v = {.id = s->id,
                      .code = s->code,
                      .name = s->name,
                      .phone = s->phone,
                      .city = s->city,
                      .address = s->address,
                      .hours = s->hours,
                      .zone = s->zone,
                      .cutover_hour = s->cutover_hour};
    for (size_t i = 0; i < ARRAY_LEN(DATUMS); i++)
        if (str_eq(s->datum, str_of(DATUMS[i])))
            v.datum = (ApiStoreDatum)i;
    if (s->lat_e7.has)
        DTO_SET(&v, lat_e7, s->lat_e7.v);
    if (s->lng_e7.has)
        DTO_SET(&v, lng_e7, s->lng_e7.v);
    return v;
}

static Str text_or_empty(DtoState is, Str value)
{
    return is == DTO_VALUE ? value : STR("");
}

static Store store_of(const ApiStoreDraft *in)
{
    return (Store){
        .code = in->code,
        .name = in->name,
        .phone = text_or_empty(in->phone_is, in->phone),
        .city = text_or_empty(in->city_is, in->city),
        .address = text_or_empty(in->address_is, in->address),
        .hours = text_or_empty(in->hours_is, in->hours),
        .lat_e7 = {in->lat_e7_is == DTO_VALUE, in->lat_e7_is == DTO_VALUE ? in->lat_e7 : 0},
        .lng_e7 = {in->lng_e7_is == DTO_VALUE, in->lng_e7_is == DTO_VALUE ? in->lng_e7 : 0},
        .datum = str_of(DATUMS[in->datum_is == DTO_VALUE ? in->datum : API_STORE_DATUM_WGS84]),
        .zone = text_or_empty(in->zone_is, in->zone),
        .cutover_hour = in->cutover_hour};
}

static Err list(Work *work, Call *call)
{
    Ctx *ctx = work->ctx;
    const ApiStoreListQuery *q = call->query;
    ApiStorePage *out = call->reply;
    Str after;
    TRY(request_cursor_read_text(ctx, q->cursor_is == DTO_VALUE ? q->cursor : STR(""), &after));
    Store *stores = NULL;
    TRY(store_page(ctx, after, q->limit, &stores, &out->items_count));
    out->items = ARENA_ARRAY(ctx->arena, ApiStoreView, out->items_count + 1);
    for (size_t i = 0; i < out->items_count; i++)
        out->items[i] = view_of(&stores[i]);
    if (out->items_count == (size_t)q->limit)
        DTO_SET(out, next, request_cursor_make_text(ctx, stores[out->items_count - 1].code));
    return ERR_OK;
}

static Err get(Ctx *ctx, Call *call)
{
    const ApiStoreGetPath *path = call->params;
    Store s;
    TRY(store_find(ctx, path->id, &s));
    *(ApiStoreView *)call->reply = view_of(&s);
    return ERR_OK;
}

static Err answer(Tx *tx, Call *call, int64_t id)
{
    Store s;
    TRY(store_find(tx->ctx, id, &s));
    *(ApiStoreView *)call->reply = view_of(&s);
    call->object = id;
    return ERR_OK;
}

static Err create(Tx *tx, Call *call)
{
    const Store draft = store_of(call->body);
    int64_t id = 0;
    if (tx->ctx->who->store_count > 0)
        return fail(tx->ctx, ERR_DENIED, "auth.store", "a new one");
    TRY(store_create(tx, &draft, &id));
    return answer(tx, call, id);
}

static Err update(Tx *tx, Call *call)
{
    const ApiStoreUpdatePath *path = call->params;
    Store draft = store_of(call->body);
    draft.id = path->id;
    TRY(principal_require_store(tx->ctx, path->id));
    TRY(store_update(tx, &draft));
    return answer(tx, call, path->id);
}

const Door STORE_DOORS[] = {{.operation = &API_OP_STORE_LIST, .work = list},
                            {.operation = &API_OP_STORE_CREATE, .apply = create},
                            {.operation = &API_OP_STORE_GET, .peek = get},
                            {.operation = &API_OP_STORE_UPDATE, .apply = update},
                            {0}};
