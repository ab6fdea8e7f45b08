/*
 * modules/export/export.c -- a page function per table.
 */
#include "modules/export/export.h"

#include "base/json.h"
#include "base/keyring.h"
#include "base/money.h"
#include "modules/campaign/campaign.h"
#include "modules/catalog/catalog.h"
#include "modules/coupon/coupon.h"
#include "modules/order/order.h"
#include "modules/person/person.h"
#include "modules/store/store.h"

/* ---- columns --------------------------------------------------------------------------------------- */

static const ExportColumn PEOPLE[] = {{"person", EXPORT_ID},    {"phone", EXPORT_TEXT},
                                      {"card", EXPORT_TEXT},    {"enrolled_at", EXPORT_TIME},
                                      {"channel", EXPORT_TEXT}, {"attributes", EXPORT_JSON}};
static const ExportColumn ORDERS[] = {{"order", EXPORT_ID},
                                      {"line", EXPORT_COUNT},
                                      {"number", EXPORT_TEXT},
                                      {"store", EXPORT_TEXT},
                                      {"person", EXPORT_ID},
                                      {"business_day", EXPORT_DAY},
                                      {"at", EXPORT_TIME},
                                      {"kind", EXPORT_TEXT},
                                      {"product", EXPORT_TEXT},
                                      {"quantity", EXPORT_COUNT},
                                      {"net", EXPORT_MONEY},
                                      {"retail_discount", EXPORT_MONEY},
                                      {"coupon_discount", EXPORT_MONEY},
                                      {"match_discount", EXPORT_MONEY}};
static const ExportColumn COUPONS[] = {{"coupon", EXPORT_ID},       {"template", EXPORT_TEXT},
                                       {"person", EXPORT_ID},       {"issued_at", EXPORT_TIME},
                                       {"valid_from", EXPORT_TIME}, {"valid_to", EXPORT_TIME},
                                       {"status", EXPORT_TEXT},     {"redemption", EXPORT_ID}};
static const ExportColumn REDEMPTIONS[] = {{"redemption", EXPORT_ID}, {"coupon", EXPORT_ID},
                                           {"template", EXPORT_TEXT}, {"campaign", EXPORT_TEXT},
                                           {"person", EXPORT_ID},     {"store", EXPORT_TEXT},
                                           {"order", EXPORT_ID},      {"discount", EXPORT_MONEY},
                                           {"at", EXPORT_TIME},       {"reversed_at", EXPORT_TIME}};
static const ExportColumn EVENTS[] = {
    {"seq", EXPORT_COUNT},  {"at", EXPORT_TIME},     {"received_at", EXPORT_TIME},
    {"kind", EXPORT_TEXT},  {"name", EXPORT_TEXT},   {"person", EXPORT_TEXT},
    {"store", EXPORT_TEXT}, {"source", EXPORT_TEXT}, {"properties", EXPORT_JSON}};

const ExportTable EXPORT_TABLES[EXPORT_KIND_COUNT] = {
    [EXPORT_PEOPLE] = {"people", PEOPLE, ARRAY_LEN(PEOPLE)},
    [EXPORT_ORDERS] = {"orders", ORDERS, ARRAY_LEN(ORDERS)},
    [EXPORT_COUPONS] = {"coupons", COUPONS, ARRAY_LEN(COUPONS)},
    [EXPORT_REDEMPTIONS] = {"redemptions", REDEMPTIONS, ARRAY_LEN(REDEMPTIONS)},
    [EXPORT_EVENTS] = {"events", EVENTS, ARRAY_LEN(EVENTS)},
};

/* ---- pages ------------------------------------------------------------------------------------------- */

typedef struct Export {
    EventsLog *log;
    EventsHidden *hidden; /* of events only */
    ExportFn fn;
    void *arg;
    int64_t a, b; /* where the page before ended */
    EventsCursor cursor;
    int64_t rows;
} Export;

typedef Err (*PageFn)(Ctx *ctx, Export *x, bool *more);

static ExportValue number(int64_t v)
{
    return (ExportValue){.present = true, .number = v};
}

/* 0 stands for none. */
static ExportValue id_of(int64_t v)
{
    return (ExportValue){.present = v != 0, .number = v};
}

static ExportValue text(Str s)
{
    return (ExportValue){.present = s.ptr != NULL && s.len > 0, .text = s};
}

static Err give(Ctx *ctx, Export *x, const ExportValue *row)
{
    x->rows++;
    return x->fn(x->arg, ctx, row);
}

static Str kept(Arena *arena, Buf *b)
{
    const Str s = arena_copy(arena, buf_str(b));
    buf_free(b);
    return s;
}

static Str attributes_json(Ctx *ctx, const Person *p)
{
    Buf b = BUF_MAX(1 << 20);
    JsonOut out = json_out(&b);
    json_out_object(&out);
    for (size_t i = 0; i < p->attribute_count; i++) {
        json_out_key(&out, p->attributes[i].name);
        json_out_text(&out, p->attributes[i].value);
    }
    json_out_end(&out);
    return kept(ctx->arena, &b);
}

static Err page_people(Ctx *ctx, Export *x, bool *more)
{
    Person *people = NULL;
    size_t n = 0;
    TRY(person_page(ctx, x->a, x->b, EXPORT_PAGE, &people, &n));
    for (size_t i = 0; i < n; i++) {
        const Person *p = &people[i];
        const ExportValue row[] = {id_of(p->id),     text(p->phone),
                                   text(p->card),    number(p->enrolled_ms),
                                   text(p->channel), text(attributes_json(ctx, p))};
        TRY(give(ctx, x, row));
        x->a = p->enrolled_ms;
        x->b = p->id;
    }
    *more = n == EXPORT_PAGE;
    return ERR_OK;
}

/* Codes by which the rooms' things are known outside; 0 has none. */
static Err store_code(Ctx *ctx, int64_t id, Str *out)
{
    Store s = {0};
    if (id != 0)
        TRY(store_find(ctx, id, &s));
    *out = s.code;
    return ERR_OK;
}

static Err give_order(Ctx *ctx, Export *x, const Order *o)
{
    Str store;
    TRY(store_code(ctx, o->store, &store));
    for (size_t i = 0; i < o->line_count; i++) {
        const OrderLine *l = &o->lines[i];
        Product product;
        TRY(catalog_product_find(ctx, l->product, &product));
        const ExportValue row[] = {id_of(o->id),
                                   number((int64_t)i + 1),
                                   text(o->number),
                                   text(store),
                                   id_of(o->person),
                                   number(o->business_day),
                                   number(o->at_ms),
                                   text(o->kind == ORDER_RETURN ? STR("return") : STR("sale")),
                                   text(product.code),
                                   number(l->quantity),
                                   number(l->net_fen),
                                   number(l->retail_discount_fen),
                                   number(l->coupon_discount_fen),
                                   number(l->match_discount_fen)};
        TRY(give(ctx, x, row));
    }
    return ERR_OK;
}

static Err page_orders(Ctx *ctx, Export *x, bool *more)
{
    Order *orders = NULL;
    size_t n = 0;
    TRY(order_page(ctx, x->a, EXPORT_PAGE, &orders, &n));
    for (size_t i = 0; i < n; i++) {
        TRY(give_order(ctx, x, &orders[i]));
        x->a = orders[i].id;
    }
    *more = n == EXPORT_PAGE;
    return ERR_OK;
}

static Str status_name(CouponStatus status)
{
    static const char *const NAMES[] = {[COUPON_ISSUED] = "issued",
                                        [COUPON_NOT_YET] = "not_yet",
                                        [COUPON_REDEEMED] = "redeemed",
                                        [COUPON_EXPIRED] = "expired",
                                        [COUPON_VOID] = "void"};
    return str_of(NAMES[status]);
}

static Err page_coupons(Ctx *ctx, Export *x, bool *more)
{
    Coupon *coupons = NULL;
    size_t n = 0;
    TRY(coupon_page(ctx, x->a, EXPORT_PAGE, &coupons, &n));
    for (size_t i = 0; i < n; i++) {
        const Coupon *c = &coupons[i];
        CouponTemplate t;
        TRY(coupon_template_find(ctx, c->template, &t));
        const ExportValue row[] = {id_of(c->id),
                                   text(t.code),
                                   id_of(c->person),
                                   number(c->issued_ms),
                                   number(c->valid_from_ms),
                                   number(c->valid_to_ms),
                                   text(status_name(c->status)),
                                   id_of(c->redemption)};
        TRY(give(ctx, x, row));
        x->a = c->id;
    }
    *more = n == EXPORT_PAGE;
    return ERR_OK;
}

static Err give_redemption(Ctx *ctx, Export *x, const CouponRedemption *r)
{
    CouponTemplate t;
    Campaign campaign = {0};
    Str store;
    TRY(coupon_template_find(ctx, r->template, &t));
    if (t.campaign != 0)
        TRY(campaign_find(ctx, t.campaign, &campaign));
    TRY(store_code(ctx, r->store, &store));
    const ExportValue row[] = {id_of(r->id),         id_of(r->coupon),        text(t.code),
                               text(campaign.code),  id_of(r->person),        text(store),
                               id_of(r->sale),       number(r->discount_fen), number(r->at_ms),
                               id_of(r->reversed_ms)};
    return give(ctx, x, row);
}

static Err page_redemptions(Ctx *ctx, Export *x, bool *more)
{
    CouponRedemption *rows = NULL;
    size_t n = 0;
    TRY(coupon_redemption_page(ctx, x->a, EXPORT_PAGE, &rows, &n));
    for (size_t i = 0; i < n; i++) {
        TRY(give_redemption(ctx, x, &rows[i]));
        x->a = rows[i].id;
    }
    *more = n == EXPORT_PAGE;
    return ERR_OK;
}

/* ---- events ------------------------------------------------------------------------------------------ */

static void put_decimal(JsonOut *out, int64_t coefficient, int scale)
{
    Buf b = BUF_MAX(64);
    money_print(&b, (Money){coefficient}, scale);
    json_out_raw(out, buf_str(&b));
    buf_free(&b);
}

/* One property's value; lists of records are taken apart by the caller. */
static void put_value(JsonOut *out, const EventProp *p)
{
    switch (p->type) {
    case EVENT_TEXT:
        json_out_text(out, p->text);
        return;
    case EVENT_NUMBER:
        put_decimal(out, p->i64, p->scale);
        return;
    case EVENT_MONEY:
        json_out_i64(out, p->i64);
        return;
    case EVENT_BOOL:
        json_out_bool(out, p->i64 != 0);
        return;
    case EVENT_TIME:
        json_out_time(out, p->i64);
        return;
    case EVENT_TEXTS:
        json_out_array(out);
        for (uint32_t i = 0; i < p->count; i++)
            json_out_text(out, p->texts[i]);
        json_out_end(out);
        return;
    case EVENT_ITEMS:
    case EVENT_NONE:
    case EVENT_TYPE_COUNT:
        json_out_null(out);
        return;
    }
}

static void put_fields(JsonOut *out, const EventProp *props, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        json_out_key(out, props[i].name);
        put_value(out, &props[i]);
    }
}

static void put_items(JsonOut *out, const EventProp *p)
{
    json_out_array(out);
    for (uint32_t i = 0; i < p->count; i++) {
        json_out_object(out);
        put_fields(out, p->items[i].fields, p->items[i].count);
        json_out_end(out);
    }
    json_out_end(out);
}

static Str properties_json(Ctx *ctx, const Event *e)
{
    Buf b = BUF_MAX(8 << 20); /* an event is at most 512 KiB, a byte at most 6 in JSON */
    JsonOut out = json_out(&b);
    json_out_object(&out);
    for (uint32_t i = 0; i < e->prop_count; i++) {
        if (e->props[i].type != EVENT_ITEMS) {
            put_fields(&out, &e->props[i], 1);
            continue;
        }
        json_out_key(&out, e->props[i].name);
        put_items(&out, &e->props[i]);
    }
    json_out_end(&out);
    return kept(ctx->arena, &b);
}

static Str kind_name(EventKind kind)
{
    static const char *const NAMES[EVENT_KIND_COUNT] = {
        [EVENT_GONE] = "gone", [EVENT_HAPPENED] = "happened", [EVENT_PERSON] = "person",
        [EVENT_LINK] = "link", [EVENT_UNLINK] = "unlink",     [EVENT_ERASE] = "erase"};
    return str_of(NAMES[kind]);
}

/* Other actors than people (a cookie, an openid) are not told. */
static Err give_event(Ctx *ctx, const Event *e, void *arg)
{
    Export *x = arg;
    if (events_is_hidden(x->hidden, e))
        return ERR_OK;
    const bool person = str_eq(e->actor.kind, STR("person"));
    const ExportValue row[] = {
        number((int64_t)e->seq),  number(e->time_ms), number(e->received_ms),
        text(kind_name(e->kind)), text(e->name),      text(person ? e->actor.value : STR("")),
        text(e->store),           text(e->source),    text(properties_json(ctx, e))};
    return give(ctx, x, row);
}

static Err page_events(Ctx *ctx, Export *x, bool *more)
{
    const EventsQuery q = {.limit = EXPORT_PAGE, .after = x->cursor};
    EventsPage page;
    TRY(events_by_time(ctx, x->log, &q, give_event, x, &page));
    x->cursor = page.next;
    *more = page.more;
    return ERR_OK;
}

/* ---- all pages ----------------------------------------------------------------------------------------- */

static Err give_pages(Ctx *ctx, Export *x, PageFn page)
{
    Ctx c = *ctx;
    c.arena = arena_new(1 << 18);
    bool more = true;
    Err err = ERR_OK;
    while (more && err == ERR_OK) {
        err = page(&c, x, &more);
        arena_reset(c.arena);
    }
    arena_free(c.arena);
    ctx->fault = c.fault;
    return err;
}

Err export_rows(Ctx *ctx, EventsLog *log, ExportKind kind, ExportFn fn, void *arg, int64_t *rows)
{
    static const PageFn PAGES[EXPORT_KIND_COUNT] = {[EXPORT_PEOPLE] = page_people,
                                                    [EXPORT_ORDERS] = page_orders,
                                                    [EXPORT_COUPONS] = page_coupons,
                                                    [EXPORT_REDEMPTIONS] = page_redemptions,
                                                    [EXPORT_EVENTS] = page_events};
    Export x = {.log = log, .fn = fn, .arg = arg};
    CHECK(kind != EXPORT_EVENTS || log != NULL);
    if (kind == EXPORT_PEOPLE || kind == EXPORT_REDEMPTIONS) /* newest first */
        x.a = x.b = INT64_MAX;
    if (kind == EXPORT_EVENTS)
        TRY(events_hidden(ctx, log, keyring_key(ctx->keys, KEY_ERASED), &x.hidden));
    const Err err = give_pages(ctx, &x, PAGES[kind]);
    events_hidden_free(x.hidden);
    *rows = x.rows;
    return err;
}
