/*
 * modules/intake/intake_run_test.c -- small files through small maps into the rooms, on both engines.
 */
#include "base/file.h"
#include "base/test.h"
#include "campaign.sql.h"
#include "catalog.sql.h"
#include "coupon.sql.h"
#include "intake.sql.h"
#include "modules/campaign/campaign.h"
#include "modules/catalog/catalog.h"
#include "modules/coupon/coupon.h"
#include "modules/intake/intake_run_internal.h"
#include "modules/order/order.h"
#include "modules/person/person.h"
#include "modules/room_test.h"
#include "modules/store/store.h"
#include "order.sql.h"
#include "person.sql.h"
#include "setting.sql.h"
#include "store.sql.h"

#define INTAKE_TEST(name)                                                                          \
    ROOM_TEST(name, &SETTING_SCHEMA, &STORE_SCHEMA, &CATALOG_SCHEMA, &PERSON_SCHEMA,               \
              &CAMPAIGN_SCHEMA, &COUPON_SCHEMA, &ORDER_SCHEMA, &INTAKE_SCHEMA)

#define HEAD "version: 1\nname: Test\ncurrency: CNY\nexponent: 2\nzone: Asia/Shanghai\nfiles:\n"
#define PEOPLE                                                                                     \
    "  - file: people.csv\n    target: people\n    fields: {card: card, phone: {column: phone, "   \
    "optional: true}, name: {column: name, optional: true}}\n    attributes: {city: city}\n"
#define PRODUCTS                                                                                   \
    "  - file: products.csv\n    target: products\n    fields: {sku: sku, name: name}\n"
#define ORDERS                                                                                     \
    "  - file: orders.csv\n    target: orders\n    group_by: no\n    fields: {number: no, "        \
    "placed_at: at, store: shop, card: card}\n    lines: {sku: sku, quantity: qty, sales: sum}\n"
#define CAMPAIGNS                                                                                  \
    "  - file: campaigns.csv\n    target: campaigns\n    fields: {code: code, starts_on: from, "   \
    "ends_on: to}\n"
#define TEMPLATES                                                                                  \
    "  - file: templates.csv\n    target: coupon_templates\n    group_by: code\n"                  \
    "    fields: {code: code, campaign: campaign}\n    lines: {sku: sku}\n"
#define REDEMPTIONS                                                                                 \
    "  - file: redemptions.csv\n    target: redemptions\n    fields: {template: code, card: card, " \
    "redeemed_on: day}\n"

/* ---- a folder of files --------------------------------------------------------------------------- */

typedef struct Folder {
    Room *room;
    char dir[160];
    const IntakeMap *map;
    IntakeResult result;
    int64_t stop_after; /* ticks; 0 = never */
    int64_t ticks;
} Folder;

static Str path_in(Folder *f, const char *name)
{
    return arena_printf(f->room->ctx->arena, "%s/%s", f->dir, name);
}

static void put(Folder *f, const char *name, const char *text)
{
    FILE *file = fopen(path_in(f, name).ptr, "we");
    CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

static Folder folder(Room *room, const char *map)
{
    Folder f = {.room = room};
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(f.dir, sizeof f.dir, "%s/intake_run_XXXXXX", tmp == NULL ? "/tmp" : tmp);
    CHECK(mkdtemp(f.dir) != NULL);
    put(&f, "map.yaml", map);
    EXPECT_OK(room->ctx, intake_map_load(room->ctx, path_in(&f, "map.yaml").ptr, &f.map));
    return f;
}

static void remove_folder(Folder *f)
{
    static const char *const NAMES[] = {"map.yaml",        "people.csv",    "products.csv",
                                        "orders.csv",      "campaigns.csv", "templates.csv",
                                        "redemptions.csv", "rejects.csv"};
    for (size_t i = 0; i < ARRAY_LEN(NAMES); i++)
        (void)unlink(path_in(f, NAMES[i]).ptr);
    CHECK(rmdir(f->dir) == 0);
}

static Err tick(void *arg, Ctx *ctx, const IntakeProgress *p)
{
    Folder *f = arg;
    CHECK(p->part >= 1 && p->part <= p->parts && p->permille >= 0 && p->permille <= 1000);
    if (f->stop_after == 0 || ++f->ticks < f->stop_after)
        return ERR_OK;
    return fail(ctx, ERR_BUSY, "test.stopped", "%s", p->file);
}

static Err run(Folder *f)
{
    const IntakeRunOptions options = {.map = f->map,
                                      .dir = f->dir,
                                      .rejects_path = path_in(f, "rejects.csv").ptr,
                                      .tick = tick,
                                      .tick_arg = f};
    return intake_run(f->room->ctx, f->room->world.database, &options, &f->result);
}

static void expect_tally(const Folder *f, IntakeTargetId target, IntakeTally want)
{
    const IntakeTally *got = &f->result.target[target];
    EXPECT_I64(got->added, want.added);
    EXPECT_I64(got->changed, want.changed);
    EXPECT_I64(got->unchanged, want.unchanged);
    EXPECT_I64(got->rejected, want.rejected);
}

static Str rejects(Folder *f)
{
    Str text;
    EXPECT_OK(f->room->ctx,
              file_load(f->room->ctx, str_of(f->dir), STR("rejects.csv"), 1 << 20, &text));
    return text;
}

static bool contains(Str text, const char *part)
{
    const Str p = str_of(part);
    for (size_t i = 0; i + p.len <= text.len; i++)
        if (str_eq(str_slice(text, i, i + p.len), p))
            return true;
    return false;
}

/* ---- people -------------------------------------------------------------------------------------- */

INTAKE_TEST(a_map_of_events_is_not_for_the_rooms)
{
    Folder f = folder(room, HEAD "  - file: people.csv\n    target: events\n"
                                 "    fields: {id: card, name: card, time: card}\n");
    put(&f, "people.csv", "card\nC1\n");
    EXPECT_FAULT(room->ctx, run(&f), ERR_INVALID, "intake.map_invalid");
    const IntakeRunOptions options = {.map = f.map, .dir = f.dir};
    EXPECT_FAULT(room->ctx, intake_dry_run(room->ctx, &options, &f.result), ERR_INVALID,
                 "intake.map_invalid");
    remove_folder(&f);
}

INTAKE_TEST(a_person_is_known_by_any_identifier_and_only_what_differs_is_written)
{
    Folder f = folder(room, HEAD PEOPLE);
    put(&f, "people.csv", "card,phone,name,city\nC1,13800138000,Li Lei,Xi'an\nC2,,Han,\n");
    EXPECT_OK(room->ctx, run(&f));
    expect_tally(&f, INTAKE_TARGET_PEOPLE, (IntakeTally){.added = 2});
    EXPECT_OK(room->ctx, run(&f));
    expect_tally(&f, INTAKE_TARGET_PEOPLE, (IntakeTally){.unchanged = 2});
    put(&f, "people.csv", "card,phone,name,city\nC1,,,Beijing\nC9,13800138000,,Beijing\nC2,,,\n");
    EXPECT_OK(room->ctx, run(&f)); /* a city changes; a card is added to whom the phone belongs */
    expect_tally(&f, INTAKE_TARGET_PEOPLE, (IntakeTally){.changed = 2, .unchanged = 1});
    PersonKey key;
    int64_t by_card = 0, by_phone = 0;
    EXPECT_OK(room->ctx, person_key(room->ctx, PERSON_CARD, STR("C9"), &key));
    EXPECT_OK(room->ctx, person_by_key(room->ctx, &key, &by_card));
    EXPECT_OK(room->ctx, person_key_phone(room->ctx, STR("13800138000"), &key));
    EXPECT_OK(room->ctx, person_by_key(room->ctx, &key, &by_phone));
    EXPECT_I64(by_card, by_phone);
    remove_folder(&f);
}

/* ---- references ---------------------------------------------------------------------------------- */

static const char ORDERS_CSV[] = "no,at,shop,card,sku,qty,sum\n"
                                 "1,2026-01-02 10:00:00,S1,C1,P1,2,19.80\n"
                                 "1,2026-01-02 10:00:00,S1,C1,P2,0,0\n"
                                 "2,2026-01-02 23:30:00,S1,,P2,1,-3.00\n"
                                 "3,2026-01-03 10:00:00,S2,C2,P1,-1,-9.90\n";

INTAKE_TEST(what_an_order_refers_to_is_made_and_counted_once)
{
    Folder f = folder(room, HEAD PRODUCTS ORDERS);
    put(&f, "products.csv", "sku,name\nP1,Apple\n");
    put(&f, "orders.csv", ORDERS_CSV);
    EXPECT_OK(room->ctx, run(&f));
    expect_tally(&f, INTAKE_TARGET_ORDERS, (IntakeTally){.added = 3});
    EXPECT_I64(f.result.products_made, 1);
    EXPECT_I64(f.result.stores_made, 2);
    EXPECT_I64(f.result.people_made, 2);
    OrderDay total;
    EXPECT_OK(room->ctx, order_total(room->ctx, &total));
    EXPECT_I64(total.net_fen, 690);
    EXPECT_I64(total.sales, 2);
    EXPECT_I64(total.returns, 1); /* its pieces are negative */
    EXPECT_OK(room->ctx, run(&f));
    expect_tally(&f, INTAKE_TARGET_ORDERS, (IntakeTally){.unchanged = 3});
    EXPECT_I64(f.result.products_made + f.result.stores_made + f.result.people_made, 0);
    OrderSums sums;
    EXPECT_OK(room->ctx, order_sums(room->ctx, &sums));
    EXPECT_I64(sums.orders, 3);
    EXPECT_I64(sums.lines, 4);
    remove_folder(&f);
}

INTAKE_TEST(a_row_that_its_room_refuses_is_rejected_alone_and_the_rest_goes_in)
{
    Folder f = folder(room, HEAD PRODUCTS);
    Buf text = BUF_MAX(1 << 16);
    buf_add(&text, STR("sku,name\n"));
    for (int i = 0; i < 40; i++) {
        buf_addf(&text, "P%d,", i);
        for (int k = 0; k < (i == 17 ? 300 : 3); k++) /* a name has at most 200 bytes */
            buf_add_char(&text, 'x');
        buf_add_char(&text, '\n');
    }
    put(&f, "products.csv", arena_copy(room->ctx->arena, buf_str(&text)).ptr);
    buf_free(&text);
    EXPECT_OK(room->ctx, run(&f));
    expect_tally(&f, INTAKE_TARGET_PRODUCTS, (IntakeTally){.added = 39, .rejected = 1});
    CHECK(contains(rejects(&f), "products.csv,19,/name,,catalog.invalid,"));
    int64_t products = 0;
    EXPECT_OK(room->ctx, catalog_product_count(room->ctx, &products));
    EXPECT_I64(products, 39);
    remove_folder(&f);
}

INTAKE_TEST(an_order_of_more_lines_than_one_may_have_is_rejected_whole)
{
    Folder f = folder(room, HEAD ORDERS);
    Buf text = BUF_MAX(1 << 17);
    buf_add(&text, STR("no,at,shop,card,sku,qty,sum\n"));
    for (int i = 0; i <= ORDER_LINES_MAX; i++)
        buf_add(&text, STR("1,2026-01-02 10:00:00,S1,C1,P1,1,1.00\n"));
    buf_add(&text, STR("2,2026-01-02 10:00:00,S1,C1,P1,1,1.00\n"));
    put(&f, "orders.csv", arena_copy(room->ctx->arena, buf_str(&text)).ptr);
    buf_free(&text);
    EXPECT_OK(room->ctx, run(&f));
    expect_tally(&f, INTAKE_TARGET_ORDERS,
                 (IntakeTally){.added = 1, .rejected = ORDER_LINES_MAX + 1});
    CHECK(contains(rejects(&f), "intake.order_too_large"));
    remove_folder(&f);
}

/* ---- coupons ------------------------------------------------------------------------------------- */

static Folder coupon_folder(Room *room)
{
    Folder f = folder(room, HEAD CAMPAIGNS TEMPLATES REDEMPTIONS);
    put(&f, "campaigns.csv", "code,from,to\nA,2026-01-01,2026-01-31\n");
    put(&f, "templates.csv", "code,campaign,sku\nT1,A,P1\nT2,A,P1\nT1,A,P2\nT9,Z,P1\n");
    put(&f, "redemptions.csv",
        "code,card,day\nT1,C1,2026-01-05\nT1,C1,2026-01-06\nT2,C1,2026-01-05\nT1,C2,2026-01-05\n"
        "T1,C1,2026-01-05\nT7,C1,2026-01-05\n");
    return f;
}

INTAKE_TEST(template_person_and_time_are_one_redemption)
{
    Folder f = coupon_folder(room);
    EXPECT_OK(room->ctx, run(&f));
    expect_tally(&f, INTAKE_TARGET_COUPON_TEMPLATES, (IntakeTally){.added = 2, .rejected = 1});
    expect_tally(&f, INTAKE_TARGET_REDEMPTIONS,
                 (IntakeTally){.added = 4, .unchanged = 1, .rejected = 1});
    CHECK(contains(rejects(&f), "templates.csv,5,campaign,Z,intake.campaign_unknown,"));
    CHECK(contains(rejects(&f), "redemptions.csv,7,code,T7,intake.template_unknown,"));
    EXPECT_OK(room->ctx, run(&f));
    expect_tally(&f, INTAKE_TARGET_COUPON_TEMPLATES, (IntakeTally){.unchanged = 2, .rejected = 1});
    expect_tally(&f, INTAKE_TARGET_REDEMPTIONS, (IntakeTally){.unchanged = 5, .rejected = 1});
    CouponSums sums;
    EXPECT_OK(room->ctx, coupon_sums(room->ctx, &sums));
    EXPECT_I64(sums.coupons, 4);
    EXPECT_I64(sums.redemptions, 4);
    EXPECT_I64(sums.redeemers, 2);
    remove_folder(&f);
}

static Err reverse_body(Tx *tx, void *arg)
{
    CouponRedemption r;
    return coupon_reverse(tx, *(const int64_t *)arg, STR("test"), &r);
}

INTAKE_TEST(an_imported_redemption_that_was_reversed_does_not_come_back)
{
    Folder f = coupon_folder(room);
    EXPECT_OK(room->ctx, run(&f));
    CouponRedemption *list = NULL;
    size_t n = 0;
    EXPECT_OK(room->ctx, coupon_redemption_page(room->ctx, INT64_MAX, 1, &list, &n));
    EXPECT_OK(room->ctx, room_write(room, reverse_body, &list[0].id));
    EXPECT_OK(room->ctx, run(&f));
    CouponSums sums;
    EXPECT_OK(room->ctx, coupon_sums(room->ctx, &sums));
    EXPECT_I64(sums.redemptions, 4);
    EXPECT_I64(sums.reversals, 1);
    remove_folder(&f);
}

INTAKE_TEST(past_coupons_lie_in_their_campaign_and_a_product_more_is_a_change)
{
    Folder f = coupon_folder(room);
    EXPECT_OK(room->ctx, run(&f));
    int64_t id = 0, products = 0, untargeted = 0, undated = 0;
    CouponTemplate t;
    EXPECT_OK(room->ctx, coupon_template_by_code(room->ctx, STR("T1"), &id));
    EXPECT_OK(room->ctx, coupon_template_find(room->ctx, id, &t));
    EXPECT_I64(t.valid_from_ms, INT64_C(1767196800000)); /* 2026-01-01 00:00 in China */
    EXPECT_I64(t.valid_to_ms, INT64_C(1769875200000));   /* 2026-02-01 00:00 */
    EXPECT_OK(room->ctx, coupon_template_scope_size(room->ctx, id, &products));
    EXPECT_I64(products, 2);
    EXPECT_OK(room->ctx, intake_strays(room->ctx, &untargeted, &undated));
    EXPECT_I64(untargeted, 4);
    EXPECT_I64(undated, 0);
    put(&f, "templates.csv", "code,campaign,sku\nT1,A,P1\nT1,A,P3\nT2,A,P1\n");
    EXPECT_OK(room->ctx, run(&f));
    expect_tally(&f, INTAKE_TARGET_COUPON_TEMPLATES, (IntakeTally){.changed = 1, .unchanged = 1});
    remove_folder(&f);
}

/* ---- interruption -------------------------------------------------------------------------------- */

enum { MANY = 5 * INTAKE_STEP_ROWS + 100, BAD = MANY / 100 };

static void put_many(Folder *f)
{
    Buf text = BUF_MAX(1 << 20);
    buf_add(&text, STR("sku,name\n"));
    for (int i = 0; i < MANY; i++)
        buf_addf(&text, "P%d,%s\n", i, i % 100 == 7 ? "\xff" : "name"); /* a byte that is no text */
    put(f, "products.csv", arena_copy(f->room->ctx->arena, buf_str(&text)).ptr);
    buf_clear(&text);
    buf_add(&text, STR("no,at,shop,card,sku,qty,sum\n"));
    for (int i = 0; i < MANY; i++)
        buf_addf(&text, "%d,2026-01-02 10:00:00,S%d,C%d%s,P%d,1,1.25\n", i, i % 7, i % 50,
                 i % 100 == 3 ? " x" : "", i % (MANY + 200)); /* a card with a space */
    put(f, "orders.csv", arena_copy(f->room->ctx->arena, buf_str(&text)).ptr);
    buf_free(&text);
}

/* Stopped again and again, with one or two steps under way, then finished: the sums are those of a run
 * that was never stopped. */
INTAKE_TEST(a_run_that_was_stopped_ends_as_if_it_had_not_been)
{
    Folder f = folder(room, HEAD PRODUCTS ORDERS);
    put_many(&f);
    int64_t stops = 0;
    for (Err err = ERR_BUSY; err != ERR_OK && stops < 100; stops += err != ERR_OK) {
        f.ticks = 0;
        f.stop_after = MANY / 4096 + 1 + stops % 3; /* reading ticks too */
        err = run(&f);
        if (err != ERR_OK)
            EXPECT_STREQ(room->ctx->fault.reason, "test.stopped");
    }
    CHECK(stops >= 5 && stops < 100 && f.result.resumed);
    expect_tally(&f, INTAKE_TARGET_PRODUCTS, (IntakeTally){.added = MANY - BAD, .rejected = BAD});
    expect_tally(&f, INTAKE_TARGET_ORDERS, (IntakeTally){.added = MANY - BAD, .rejected = BAD});
    EXPECT_I64(f.result.stores_made, 7);
    EXPECT_I64(f.result.people_made, 50);
    EXPECT_I64(f.result.products_made, BAD);
    const Str text = rejects(&f);
    int64_t lines = 0;
    for (size_t i = 0; i < text.len; i++)
        lines += text.ptr[i] == '\n';
    EXPECT_I64(lines, 1 + BAD + BAD); /* whole, also those that were refused before a stop */
    OrderDay total;
    EXPECT_OK(room->ctx, order_total(room->ctx, &total));
    EXPECT_I64(total.net_fen, (MANY - BAD) * 125);
    f.stop_after = 0;
    EXPECT_OK(room->ctx, run(&f));
    CHECK(!f.result.resumed); /* the run was forgotten when it was done */
    expect_tally(&f, INTAKE_TARGET_ORDERS, (IntakeTally){.unchanged = MANY - BAD, .rejected = BAD});
    remove_folder(&f);
}

/* ---- settings and dry runs ------------------------------------------------------------------------- */

INTAKE_TEST(an_empty_folder_takes_the_maps_currency_and_any_other_must_have_it)
{
    Folder f =
        folder(room, "version: 1\nname: T\ncurrency: USD\nexponent: 2\nzone: UTC\nfiles:\n" ORDERS);
    put(&f, "orders.csv", ORDERS_CSV);
    EXPECT_OK(room->ctx, intake_settings(room->ctx, room->world.database, f.map, &room->settings));
    EXPECT_STREQ(room->settings.currency, "USD");
    EXPECT_I64(room->settings.offset_min, 0);
    EXPECT_OK(room->ctx, run(&f));
    EXPECT_OK(room->ctx, intake_settings(room->ctx, room->world.database, f.map, &room->settings));
    put(&f, "map.yaml", HEAD ORDERS);
    EXPECT_OK(room->ctx, intake_map_load(room->ctx, path_in(&f, "map.yaml").ptr, &f.map));
    EXPECT_FAULT(room->ctx,
                 intake_settings(room->ctx, room->world.database, f.map, &room->settings),
                 ERR_CONFLICT, "intake.currency");
    remove_folder(&f);
}

INTAKE_TEST(a_dry_run_tells_what_would_go_in_and_writes_nothing)
{
    Folder f = folder(room, HEAD PEOPLE);
    put(&f, "people.csv", "card,phone,name,city\nC1,13800138000,,\nC2,12,,\nC3,,,\n");
    const IntakeRunOptions options = {
        .map = f.map, .dir = f.dir, .rejects_path = path_in(&f, "rejects.csv").ptr};
    EXPECT_OK(room->ctx, intake_dry_run(room->ctx, &options, &f.result));
    expect_tally(&f, INTAKE_TARGET_PEOPLE, (IntakeTally){.added = 2, .rejected = 1});
    CHECK(contains(rejects(&f), "people.csv,3,phone,12,person.phone,"));
    int64_t people = -1;
    EXPECT_OK(room->ctx, person_count_between(room->ctx, 0, INT64_MAX, &people));
    EXPECT_I64(people, 0);
    remove_folder(&f);
}

TEST(the_cache_finds_what_was_put_last_and_never_another_key)
{
    Arena *arena = arena_new(1 << 16);
    CacheSlot *cache = ARENA_ARRAY(arena, CacheSlot, CACHE_SLOTS);
    int64_t found = 0;
    for (int64_t i = 1; i <= 2 * CACHE_SLOTS; i++)
        intake_cache_put(cache, THING_PRODUCT, arena_printf(arena, "P%" PRId64, i), i);
    for (int64_t i = 1; i <= 2 * CACHE_SLOTS; i++) {
        const Str key = arena_printf(arena, "P%" PRId64, i);
        const int64_t got = intake_cache_find(cache, THING_PRODUCT, key);
        CHECK(got == 0 || got == i);
        CHECK(intake_cache_find(cache, THING_STORE, key) == 0);
        found += got == i;
    }
    CHECK(found > CACHE_SLOTS / 2 && found <= CACHE_SLOTS);
    intake_cache_put(cache, THING_STORE, STR("S"), 7);
    intake_cache_put(cache, THING_STORE, STR("S"), 8);
    EXPECT_I64(intake_cache_find(cache, THING_STORE, STR("S")), 8);
    arena_free(arena);
}
