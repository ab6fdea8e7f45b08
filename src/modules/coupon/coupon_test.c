/*
 * modules/coupon/coupon_test.c -- what coupon.h promises, by example.  Codes are in coupon_code_test.c,
 * random histories against a model and many threads in coupon_model_test.c.
 */
#include "modules/coupon/coupon_testkit.h"

#include "base/rand.h"
#include "campaign.sql.h"
#include "catalog.sql.h"
#include "coupon.sql.h"
#include "events/events.h"
#include "jobs/outbox.h"
#include "outbox.sql.h"

#define ROOMS &CAMPAIGN_SCHEMA, &CATALOG_SCHEMA, &COUPON_SCHEMA

enum { ALICE = 1001, BOB = 1002 };

/* ---- templates --------------------------------------------------------------------------------- */

static bool same_template(const CouponTemplate *a, const CouponTemplate *b)
{
    return str_eq(a->code, b->code) && str_eq(a->name, b->name) && a->campaign == b->campaign &&
           a->kind == b->kind && a->amount_fen == b->amount_fen && a->rate_bps == b->rate_bps &&
           a->cap_fen == b->cap_fen && a->gift_product == b->gift_product &&
           a->min_spend_fen == b->min_spend_fen && a->claim_from_ms == b->claim_from_ms &&
           a->claim_to_ms == b->claim_to_ms && a->valid_from_ms == b->valid_from_ms &&
           a->valid_to_ms == b->valid_to_ms && a->valid_days == b->valid_days &&
           a->stock == b->stock && a->per_person == b->per_person &&
           a->by_product == b->by_product && a->by_store == b->by_store && a->paused == b->paused;
}

ROOM_TEST(coupon_template_comes_back_as_it_was_created, ROOMS)
{
    CouponTemplate in = kit_template(STR("AUTUMN-1"));
    in.kind = COUPON_PERCENT;
    in.amount_fen = 0;
    in.rate_bps = 1500;
    in.cap_fen = 2000;
    in.min_spend_fen = 9900;
    in.valid_days = 7;
    in.stock = 12;
    in.per_person = 3;
    in.by_product = true;
    in.by_store = true;
    const int64_t id = kit_create(room, in);
    CouponTemplate got;
    EXPECT_OK(room->ctx, coupon_template_find(room->ctx, id, &got));
    EXPECT_I64(got.id, id);
    EXPECT_I64(same_template(&got, &in), true);
    int64_t found = 0;
    EXPECT_OK(room->ctx, coupon_template_by_code(room->ctx, STR("AUTUMN-1"), &found));
    EXPECT_I64(found, id);
    EXPECT_OK(room->ctx, coupon_template_by_code(room->ctx, STR("autumn-1"), &found));
    EXPECT_I64(found, 0);
    EXPECT_FAULT(room->ctx, coupon_template_find(room->ctx, id + 1, &got), ERR_NOT_FOUND,
                 "coupon.template_unknown");
}

ROOM_TEST(coupon_template_with_a_wrong_field_is_refused_and_the_field_named, ROOMS)
{
    const struct {
        const char *pointer;
        size_t at; /* offset of an int64_t in CouponTemplate */
        int64_t value;
        CouponKind kind;
    } cases[] = {
#define CASE(pointer, kind, field, value) {pointer, offsetof(CouponTemplate, field), value, kind}
        CASE("/amount_fen", COUPON_AMOUNT, amount_fen, 0),
        CASE("/amount_fen", COUPON_AMOUNT, amount_fen, -1),
        CASE("/amount_fen", COUPON_PERCENT, amount_fen, -1),
        CASE("/amount_fen", COUPON_AMOUNT, amount_fen, INT64_C(1000000000000001)),
        CASE("/rate_bps", COUPON_PERCENT, rate_bps, 0),
        CASE("/rate_bps", COUPON_PERCENT, rate_bps, 10001),
        CASE("/rate_bps", COUPON_AMOUNT, rate_bps, 10001),
        CASE("/rate_bps", COUPON_AMOUNT, rate_bps, -1),
        CASE("/cap_fen", COUPON_PERCENT, cap_fen, -1),
        CASE("/cap_fen", COUPON_PERCENT, cap_fen, INT64_MAX),
        CASE("/gift_product", COUPON_GIFT, gift_product, 0),
        CASE("/min_spend_fen", COUPON_AMOUNT, min_spend_fen, -1),
        CASE("/claim_to", COUPON_AMOUNT, claim_to_ms, ROOM_NOW_MS - KIT_HOUR_MS),
        CASE("/valid_to", COUPON_AMOUNT, valid_to_ms, ROOM_NOW_MS - KIT_HOUR_MS),
        CASE("/valid_days", COUPON_AMOUNT, valid_days, -1),
        CASE("/valid_days", COUPON_AMOUNT, valid_days, 3661),
        CASE("/stock", COUPON_AMOUNT, stock, -1),
        CASE("/per_person", COUPON_AMOUNT, per_person, -1),
#undef CASE
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        KitTemplate k = {.in = kit_template(STR("T"))};
        k.in.kind = cases[i].kind;
        k.in.rate_bps = 1500;
        *(int64_t *)(void *)((char *)&k.in + cases[i].at) = cases[i].value;
        EXPECT_FAULT(room->ctx, room_write(room, kit_template_body, &k), ERR_INVALID,
                     "coupon.template");
        EXPECT_STREQ(room->ctx->fault.pointer, cases[i].pointer);
    }
    CouponSums sums;
    EXPECT_OK(room->ctx, coupon_sums(room->ctx, &sums));
    EXPECT_I64(sums.templates, 0);
}

ROOM_TEST(coupon_template_needs_code_name_and_a_kind, ROOMS)
{
    KitTemplate code = {.in = kit_template(STR(""))}, name = {.in = kit_template(STR("T"))},
                kind = name;
    name.in.name = STR("");
    kind.in.kind = (CouponKind)4;
    KitTemplate *const wrong[] = {&code, &name, &kind};
    const char *const pointers[] = {"/code", "/name", "/kind"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        EXPECT_FAULT(room->ctx, room_write(room, kit_template_body, wrong[i]), ERR_INVALID,
                     "coupon.template");
        EXPECT_STREQ(room->ctx->fault.pointer, pointers[i]);
    }
}

static Err import_body(Tx *tx, void *arg)
{
    KitTemplate *k = arg;
    return coupon_template_import(tx, &k->in, &k->id);
}

ROOM_TEST(coupon_template_of_an_import_may_lack_its_amount_and_is_then_never_burnt, ROOMS)
{
    KitTemplate k = {.in = kit_template(STR("T"))};
    k.in.amount_fen = 0;
    EXPECT_OK(room->ctx, room_write(room, import_body, &k));
    CouponTemplate t;
    CouponLine line = {.product = 1, .quantity = 1, .net_fen = 1000};
    int64_t off = 0;
    EXPECT_OK(room->ctx, coupon_template_find(room->ctx, k.id, &t));
    EXPECT_FAULT(room->ctx, coupon_discount(room->ctx, &t, &line, 1, &off), ERR_CONFLICT,
                 "coupon.no_effect");
    k.in.amount_fen = -1;
    EXPECT_FAULT(room->ctx, room_write(room, import_body, &k), ERR_INVALID, "coupon.template");
}

ROOM_TEST(coupon_template_scope_is_counted_and_takes_a_product_once, ROOMS)
{
    const int64_t products[] = {11, 12, 11};
    KitTemplate k = {.in = kit_template(STR("T")), .products = products, .product_count = 3};
    k.in.by_product = true;
    EXPECT_OK(room->ctx, room_write(room, kit_template_body, &k));
    int64_t size = 0;
    EXPECT_OK(room->ctx, coupon_template_scope_size(room->ctx, k.id, &size));
    EXPECT_I64(size, 2);
}

ROOM_TEST(coupon_template_names_only_what_exists_and_a_code_once, ROOMS)
{
    KitTemplate k = {.in = kit_template(STR("T"))};
    k.in.campaign = 77;
    EXPECT_FAULT(room->ctx, room_write(room, kit_template_body, &k), ERR_NOT_FOUND,
                 "campaign.unknown");
    k.in.campaign = 0;
    k.in.kind = COUPON_GIFT;
    k.in.gift_product = 77;
    EXPECT_FAULT(room->ctx, room_write(room, kit_template_body, &k), ERR_NOT_FOUND,
                 "catalog.product_unknown");
    (void)kit_create(room, kit_template(STR("T")));
    KitTemplate again = {.in = kit_template(STR("T"))};
    again.in.amount_fen = 1;
    EXPECT_FAULT(room->ctx, room_write(room, kit_template_body, &again), ERR_CONFLICT,
                 "coupon.code_taken");
}

ROOM_TEST(coupon_templates_are_paged_newest_first, ROOMS)
{
    int64_t ids[3];
    const Str codes[] = {STR("A"), STR("B"), STR("C")};
    for (size_t i = 0; i < 3; i++)
        ids[i] = kit_create(room, kit_template(codes[i]));
    CouponTemplate *page = NULL;
    size_t n = 0;
    EXPECT_OK(room->ctx, coupon_template_page(room->ctx, INT64_MAX, 2, &page, &n));
    EXPECT_I64((int64_t)n, 2);
    EXPECT_I64(page[0].id, ids[2]);
    EXPECT_STREQ(ROOM_C(room, page[1].code), "B");
    EXPECT_OK(room->ctx, coupon_template_page(room->ctx, page[1].id, 2, &page, &n));
    EXPECT_I64((int64_t)n, 1);
    EXPECT_I64(page[0].id, ids[0]);
}

typedef struct Pause {
    int64_t id;
    bool paused;
} Pause;

static Err pause_body(Tx *tx, void *arg)
{
    const Pause *p = arg;
    return coupon_template_pause(tx, p->id, p->paused);
}

ROOM_TEST(coupon_template_that_is_paused_gives_none_but_those_given_stay_valid, ROOMS)
{
    const int64_t id = kit_create(room, kit_template(STR("T")));
    const int64_t had = kit_coupon(room, id, ALICE);
    Pause p = {id, true};
    EXPECT_OK(room->ctx, room_write(room, pause_body, &p));
    Coupon c;
    EXPECT_FAULT(room->ctx, kit_claim(room, id, BOB, &c), ERR_CONFLICT, "coupon.paused");
    CouponRedemption r;
    EXPECT_OK(room->ctx, kit_redeem(room, had, 500, &r));
    p.paused = false;
    EXPECT_OK(room->ctx, room_write(room, pause_body, &p));
    EXPECT_OK(room->ctx, kit_claim(room, id, BOB, &c));
    p.id = id + 1;
    EXPECT_FAULT(room->ctx, room_write(room, pause_body, &p), ERR_NOT_FOUND,
                 "coupon.template_unknown");
    kit_expect_clean(room);
}

/* ---- claim ------------------------------------------------------------------------------------- */

ROOM_TEST(coupon_claim_window_is_half_open_and_ends_with_the_validity, ROOMS)
{
    CouponTemplate in = kit_template(STR("T")), over = kit_template(STR("OVER"));
    in.claim_from_ms = ROOM_NOW_MS;
    in.claim_to_ms = ROOM_NOW_MS + 1000;
    over.claim_to_ms = ROOM_NOW_MS + 5000;
    over.valid_to_ms = ROOM_NOW_MS + 1000;
    const int64_t by_claim = kit_create(room, in), by_valid = kit_create(room, over);
    const struct {
        int64_t template, at_ms;
        const char *reason;
    } cases[] = {{by_claim, -1, "coupon.not_open"},
                 {by_claim, 0, ""},
                 {by_claim, 999, ""},
                 {by_claim, 1000, "coupon.not_open"},
                 {by_valid, 999, ""},
                 {by_valid, 1000, "coupon.not_open"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Coupon c;
        room->ctx->now_ms = ROOM_NOW_MS + cases[i].at_ms;
        const Err err = kit_claim(room, cases[i].template, ALICE, &c);
        EXPECT_STREQ(err == ERR_OK ? "" : room->ctx->fault.reason, cases[i].reason);
    }
    kit_expect_clean(room);
}

ROOM_TEST(coupon_claim_past_the_stock_is_sold_out_and_leaves_nothing_behind, ROOMS)
{
    CouponTemplate in = kit_template(STR("T"));
    in.stock = 3;
    const int64_t id = kit_create(room, in);
    for (int64_t person = 1; person <= 3; person++)
        (void)kit_coupon(room, id, person);
    Coupon c = {.id = 77};
    EXPECT_FAULT(room->ctx, kit_claim(room, id, 4, &c), ERR_CONFLICT, "coupon.sold_out");
    EXPECT_I64(c.id, 77);
    CouponTotals totals;
    CouponSums sums;
    EXPECT_OK(room->ctx, coupon_template_totals(room->ctx, id, &totals));
    EXPECT_OK(room->ctx, coupon_sums(room->ctx, &sums));
    EXPECT_I64(totals.issued, 3);
    EXPECT_I64(sums.coupons, 3);
    kit_expect_clean(room);
}

ROOM_TEST(coupon_claim_stops_at_the_limit_of_a_person, ROOMS)
{
    CouponTemplate in = kit_template(STR("T"));
    in.per_person = 2;
    const int64_t id = kit_create(room, in), free = kit_create(room, kit_template(STR("FREE")));
    Coupon c;
    CouponRedemption r;
    const int64_t first = kit_coupon(room, id, ALICE);
    (void)kit_coupon(room, id, ALICE);
    EXPECT_FAULT(room->ctx, kit_claim(room, id, ALICE, &c), ERR_CONFLICT, "coupon.limit");
    EXPECT_OK(room->ctx, kit_redeem(room, first, 500, &r));
    EXPECT_FAULT(room->ctx, kit_claim(room, id, ALICE, &c), ERR_CONFLICT, "coupon.limit");
    EXPECT_OK(room->ctx, kit_claim(room, id, BOB, &c));
    for (int i = 0; i < 5; i++)
        (void)kit_coupon(room, free, ALICE);
    EXPECT_FAULT(room->ctx, kit_claim(room, 77, ALICE, &c), ERR_NOT_FOUND,
                 "coupon.template_unknown");
}

ROOM_TEST(coupon_is_valid_for_the_days_of_its_template, ROOMS)
{
    const int64_t now = ROOM_NOW_MS, day = KIT_DAY_MS;
    const struct {
        int64_t valid_from, valid_to, days; /* relative to now */
        int64_t from, to;
        CouponStatus status;
    } cases[] = {
        {-5 * day, 5 * day, 0, -5 * day, 5 * day, COUPON_ISSUED},
        {day, 5 * day, 0, day, 5 * day, COUPON_NOT_YET},
        {-5 * day, 5 * day, 2, 0, 2 * day, COUPON_ISSUED},
        {-5 * day, 5 * day, 9, 0, 5 * day, COUPON_ISSUED}, /* never past the template */
        {day, 5 * day, 2, day, 3 * day, COUPON_NOT_YET},   /* days count from the first valid one */
        {-5 * day, 1, 1, 0, 1, COUPON_ISSUED},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CouponTemplate in = kit_template(arena_printf(room->ctx->arena, "T%zu", i));
        in.valid_from_ms = now + cases[i].valid_from;
        in.valid_to_ms = now + cases[i].valid_to;
        in.valid_days = cases[i].days;
        Coupon c, found;
        EXPECT_OK(room->ctx, kit_claim(room, kit_create(room, in), ALICE, &c));
        EXPECT_OK(room->ctx, coupon_find(room->ctx, c.id, &found));
        EXPECT_I64(c.valid_from_ms - now, cases[i].from);
        EXPECT_I64(found.valid_from_ms - now, cases[i].from);
        EXPECT_I64(found.valid_to_ms - now, cases[i].to);
        EXPECT_I64(c.status, cases[i].status);
        EXPECT_I64(found.status, cases[i].status);
        EXPECT_STREQ(found.code, c.code);
    }
}

ROOM_TEST(coupon_can_be_redeemed_from_its_first_instant_to_before_its_last, ROOMS)
{
    CouponTemplate in = kit_template(STR("T"));
    in.valid_from_ms = ROOM_NOW_MS + 1000;
    in.valid_to_ms = ROOM_NOW_MS + 3000;
    const int64_t id = kit_create(room, in);
    const struct {
        int64_t at_ms;
        const char *reason;
    } cases[] = {{999, "coupon.not_yet"}, {1000, ""}, {2999, ""}, {3000, "coupon.expired"}};
    int64_t coupons[ARRAY_LEN(cases)];
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        coupons[i] = kit_coupon(room, id, ALICE);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CouponRedemption r;
        room->ctx->now_ms = ROOM_NOW_MS + cases[i].at_ms;
        const Err err = kit_redeem(room, coupons[i], 500, &r);
        EXPECT_STREQ(err == ERR_OK ? "" : room->ctx->fault.reason, cases[i].reason);
    }
}

typedef struct Past {
    int64_t template, person, issued_ms;
    Coupon out;
} Past;

static Err past_body(Tx *tx, void *arg)
{
    Past *p = arg;
    CouponTemplate t;
    TRY(coupon_template_find(tx->ctx, p->template, &t));
    return coupon_issue_past(tx, &t, p->person, p->issued_ms, &p->out);
}

ROOM_TEST(coupon_of_an_import_needs_no_window_limit_or_stock_and_is_counted, ROOMS)
{
    CouponTemplate in = kit_template(STR("T"));
    in.claim_from_ms = ROOM_NOW_MS - 100 * KIT_DAY_MS;
    in.claim_to_ms = ROOM_NOW_MS - 99 * KIT_DAY_MS;
    in.valid_from_ms = ROOM_NOW_MS - 100 * KIT_DAY_MS;
    in.valid_to_ms = ROOM_NOW_MS - 90 * KIT_DAY_MS;
    in.stock = 1;
    in.per_person = 1;
    const int64_t id = kit_create(room, in);
    Past p = {.template = id, .person = ALICE, .issued_ms = ROOM_NOW_MS - 95 * KIT_DAY_MS};
    for (int i = 0; i < 3; i++)
        EXPECT_OK(room->ctx, room_write(room, past_body, &p));
    EXPECT_I64(p.out.issued_ms, p.issued_ms);
    EXPECT_I64(p.out.status, COUPON_EXPIRED); /* at ctx->now_ms, as everywhere */
    CouponDay *days = NULL;
    size_t n = 0;
    EXPECT_OK(room->ctx, coupon_days(room->ctx, 20260101, 20270101, &days, &n));
    EXPECT_I64((int64_t)n, 1);
    EXPECT_I64(days[0].day, 20260818); /* 95 days before the 21st of November */
    EXPECT_I64(days[0].totals.issued, 3);
    kit_expect_clean(room);
}

ROOM_TEST(coupon_of_an_import_is_valid_for_the_days_of_its_template_too, ROOMS)
{
    CouponTemplate in = kit_template(STR("T"));
    in.valid_days = 3;
    in.valid_from_ms = ROOM_NOW_MS - 20 * KIT_DAY_MS;
    Past p = {.template = kit_create(room, in),
              .person = ALICE,
              .issued_ms = ROOM_NOW_MS - 10 * KIT_DAY_MS};
    EXPECT_OK(room->ctx, room_write(room, past_body, &p));
    EXPECT_I64(p.out.valid_from_ms, p.issued_ms);
    EXPECT_I64(p.out.valid_to_ms, p.issued_ms + 3 * KIT_DAY_MS);
}

/* ---- redeem and reverse -------------------------------------------------------------------------- */

ROOM_TEST(coupon_is_redeemed_once_and_again_after_it_was_taken_back, ROOMS)
{
    const int64_t template = kit_create(room, kit_template(STR("T")));
    const int64_t id = kit_coupon(room, template, ALICE);
    CouponRedemption first, again, found;
    Coupon c;
    EXPECT_OK(room->ctx, kit_redeem(room, id, 500, &first));
    EXPECT_OK(room->ctx, coupon_find(room->ctx, id, &c));
    EXPECT_I64(c.status, COUPON_REDEEMED);
    EXPECT_I64(c.redemption, first.id);
    EXPECT_FAULT(room->ctx, kit_redeem(room, id, 500, &again), ERR_CONFLICT, "coupon.used");
    room_advance(room, 60000);
    EXPECT_OK(room->ctx, kit_reverse(room, first.id));
    EXPECT_FAULT(room->ctx, kit_reverse(room, first.id), ERR_CONFLICT, "coupon.reversed");
    EXPECT_OK(room->ctx, coupon_redemption_find(room->ctx, first.id, &found));
    EXPECT_I64(found.reversed_ms, ROOM_NOW_MS + 60000);
    EXPECT_I64(found.at_ms, ROOM_NOW_MS);
    EXPECT_I64(found.person, ALICE);
    EXPECT_I64(found.template, template);
    EXPECT_I64(found.store, 7);
    EXPECT_OK(room->ctx, kit_redeem(room, id, 300, &again));
    EXPECT_FAULT(room->ctx, kit_reverse(room, first.id), ERR_CONFLICT, "coupon.reversed");
    CouponTotals totals;
    EXPECT_OK(room->ctx, coupon_template_totals(room->ctx, template, &totals));
    EXPECT_I64(totals.redeemed, 2);
    EXPECT_I64(totals.reversed, 1);
    EXPECT_I64(totals.discount_fen, 300);
    EXPECT_FAULT(room->ctx, kit_reverse(room, 77), ERR_NOT_FOUND, "coupon.redemption_unknown");
    kit_expect_clean(room);
}

/* Redeems without looking first, as a racing transaction would that looked before the other wrote. */
static Err blind_body(Tx *tx, void *arg)
{
    KitRedeem *k = arg;
    k->out = (CouponRedemption){.discount_fen = 1, .at_ms = tx->ctx->now_ms};
    return coupon_redeem(tx, &(Coupon){.id = k->coupon, .template = 1, .person = ALICE}, &k->out);
}

ROOM_TEST(coupon_redeem_that_lost_a_race_is_refused_and_leaves_nothing_behind, ROOMS)
{
    const int64_t id = kit_coupon(room, kit_create(room, kit_template(STR("T"))), ALICE);
    CouponRedemption first;
    EXPECT_OK(room->ctx, kit_redeem(room, id, 500, &first));
    KitRedeem late = {.coupon = id};
    EXPECT_FAULT(room->ctx, room_write(room, blind_body, &late), ERR_CONFLICT, "coupon.used");
    CouponSums sums;
    EXPECT_OK(room->ctx, coupon_sums(room->ctx, &sums));
    EXPECT_I64(sums.redemptions, 1);
    kit_expect_clean(room);
}

ROOM_TEST(coupon_of_some_shops_is_refused_in_others, ROOMS)
{
    const int64_t shops[] = {7, 9};
    KitTemplate k = {.in = kit_template(STR("T")), .stores = shops, .store_count = 2};
    k.in.by_store = true;
    EXPECT_OK(room->ctx, room_write(room, kit_template_body, &k));
    const int64_t id = kit_coupon(room, k.id, ALICE);
    KitRedeem elsewhere = {.coupon = id, .store = 8, .discount_fen = 1};
    EXPECT_FAULT(room->ctx, room_write(room, kit_redeem_body, &elsewhere), ERR_CONFLICT,
                 "coupon.store");
    elsewhere.store = 9;
    EXPECT_OK(room->ctx, room_write(room, kit_redeem_body, &elsewhere));
}

ROOM_TEST(coupon_that_is_void_is_refused, ROOMS)
{
    const int64_t id = kit_coupon(room, kit_create(room, kit_template(STR("T"))), ALICE);
    kit_sql(room, arena_printf(room->ctx->arena,
                               "UPDATE coupon_state SET redemption = -17592186044415 WHERE id = "
                               "%" PRId64 ";",
                               id));
    CouponRedemption r;
    Coupon c;
    EXPECT_OK(room->ctx, coupon_find(room->ctx, id, &c));
    EXPECT_I64(c.status, COUPON_VOID);
    EXPECT_FAULT(room->ctx, kit_redeem(room, id, 500, &r), ERR_CONFLICT, "coupon.void");
    EXPECT_FAULT(room->ctx, coupon_find(room->ctx, id + 1, &c), ERR_NOT_FOUND, "coupon.unknown");
}

ROOM_TEST(coupon_wallet_and_redemptions_are_listed_newest_first, ROOMS)
{
    const int64_t t = kit_create(room, kit_template(STR("T")));
    const int64_t a = kit_coupon(room, t, ALICE), b = kit_coupon(room, t, ALICE);
    const int64_t other = kit_coupon(room, t, BOB), last = kit_coupon(room, t, ALICE);
    CouponRedemption one, two, *page = NULL;
    EXPECT_OK(room->ctx, kit_redeem(room, b, 500, &one));
    EXPECT_OK(room->ctx, kit_redeem(room, other, 500, &two));
    Coupon *wallet = NULL;
    size_t n = 0;
    EXPECT_OK(room->ctx, coupon_wallet(room->ctx, ALICE, 10, &wallet, &n));
    EXPECT_I64((int64_t)n, 3);
    EXPECT_I64(wallet[0].id, last);
    EXPECT_I64(wallet[1].id, b);
    EXPECT_I64(wallet[1].status, COUPON_REDEEMED);
    EXPECT_I64(wallet[1].redemption, one.id);
    EXPECT_I64(wallet[2].id, a);
    EXPECT_OK(room->ctx, coupon_wallet(room->ctx, ALICE, 2, &wallet, &n));
    EXPECT_I64((int64_t)n, 2);
    EXPECT_OK(room->ctx, coupon_redemption_page(room->ctx, INT64_MAX, 10, &page, &n));
    EXPECT_I64((int64_t)n, 2);
    EXPECT_I64(page[0].id, two.id);
    EXPECT_OK(room->ctx, coupon_redemption_page(room->ctx, two.id, 10, &page, &n));
    EXPECT_I64((int64_t)n, 1);
    EXPECT_I64(page[0].id, one.id);
    CouponSums sums;
    EXPECT_OK(room->ctx, kit_reverse(room, two.id));
    EXPECT_OK(room->ctx, coupon_sums(room->ctx, &sums));
    EXPECT_I64(sums.coupons, 4);
    EXPECT_I64(sums.redemptions, 2);
    EXPECT_I64(sums.reversals, 1);
    EXPECT_I64(sums.redeemers, 1);
}

/* Redeems coupons of one template at instants and in shops that repeat, imported ones among them. */
static void redeem_here_and_there(Room *room, CouponRedemption *made, size_t n)
{
    static const int64_t SHOPS[] = {7, 8, 9, 0};
    const int64_t t = kit_create(room, kit_template(STR("T")));
    Prng r = prng_of(4711);
    for (size_t i = 0; i < n; i++) {
        KitRedeem k = {.coupon = kit_coupon(room, t, ALICE), .store = SHOPS[prng_below(&r, 4)]};
        room->ctx->now_ms = ROOM_NOW_MS + (int64_t)prng_below(&r, 6) * 1000;
        EXPECT_OK(room->ctx, room_write(room, kit_redeem_body, &k));
        made[i] = k.out;
    }
}

static bool is_wanted(const CouponRedemption *r, const Principal *who,
                      const CouponRedemptionQuery *q)
{
    return r->at_ms >= q->from_ms && (q->store == 0 || r->store == q->store) &&
           principal_may_store(who, r->store);
}

/* Page after page: the same rows as a look at everything, each once, newest first. */
static void expect_recent(Room *room, const CouponRedemption *made, size_t n,
                          CouponRedemptionQuery q)
{
    size_t wanted = 0, found = 0, got = 0;
    for (size_t i = 0; i < n; i++)
        wanted += is_wanted(&made[i], room->ctx->who, &q);
    q.before_ms = q.before = INT64_MAX;
    do {
        CouponRedemption *page = NULL;
        EXPECT_OK(room->ctx, coupon_redemption_recent(room->ctx, &q, &page, &got));
        for (size_t i = 0; i < got; i++) {
            EXPECT_I64(is_wanted(&page[i], room->ctx->who, &q), true);
            EXPECT_I64(page[i].at_ms < q.before_ms ||
                           (page[i].at_ms == q.before_ms && page[i].id < q.before),
                       true);
            q.before_ms = page[i].at_ms;
            q.before = page[i].id;
        }
        found += got;
    } while (got == (size_t)q.max);
    EXPECT_I64((int64_t)found, (int64_t)wanted);
}

ROOM_TEST(coupon_redemptions_are_listed_of_a_shop_and_from_an_instant_page_by_page, ROOMS)
{
    CouponRedemption made[60];
    redeem_here_and_there(room, made, ARRAY_LEN(made));
    for (int64_t store = 0; store <= 8; store += store == 0 ? 7 : 1)
        for (int64_t from_ms = 0; from_ms <= ROOM_NOW_MS + 6000;
             from_ms += from_ms == 0 ? ROOM_NOW_MS : 3000)
            for (int64_t max = 1; max <= 64; max *= 4)
                expect_recent(
                    room, made, ARRAY_LEN(made),
                    (CouponRedemptionQuery){.store = store, .from_ms = from_ms, .max = max});
}

ROOM_TEST(coupon_redemptions_of_other_shops_are_hidden_from_who_works_in_some, ROOMS)
{
    CouponRedemption made[60], *page = NULL;
    redeem_here_and_there(room, made, ARRAY_LEN(made));
    const Principal clerk = {.store_count = 3, .stores = {9, 7, 9}};
    const Principal newcomer = {.store_count = 1, .stores = {6}};
    CouponRedemptionQuery q = {.before_ms = INT64_MAX, .before = INT64_MAX, .max = 100};
    size_t n = 0;
    room->ctx->who = &newcomer;
    EXPECT_OK(room->ctx, coupon_redemption_recent(room->ctx, &q, &page, &n));
    EXPECT_I64((int64_t)n, 0);
    room->ctx->who = &clerk;
    for (int64_t max = 1; max <= 64; max *= 4) {
        q.max = max;
        expect_recent(room, made, ARRAY_LEN(made), q);
        expect_recent(room, made, ARRAY_LEN(made),
                      (CouponRedemptionQuery){.store = 9, .from_ms = ROOM_NOW_MS + 1, .max = max});
    }
    q.store = 8;
    EXPECT_FAULT(room->ctx, coupon_redemption_recent(room->ctx, &q, &page, &n), ERR_DENIED,
                 "auth.store");
    room->ctx->who = &PRINCIPAL_OF_SYSTEM;
}

ROOM_TEST(coupon_days_begin_at_the_cut_over_hour_of_the_chain, ROOMS)
{
    room->settings.cutover_hour = 4;
    const int64_t t = kit_create(room, kit_template(STR("T")));
    const int64_t midnight = ROOM_NOW_MS + 12 * KIT_HOUR_MS; /* begins the 22nd */
    const int64_t at[] = {midnight, midnight + 4 * KIT_HOUR_MS - 1, midnight + 4 * KIT_HOUR_MS};
    int64_t coupons[3];
    for (size_t i = 0; i < 3; i++) {
        room->ctx->now_ms = at[i];
        coupons[i] = kit_coupon(room, t, ALICE);
    }
    CouponRedemption r;
    EXPECT_OK(room->ctx, kit_redeem(room, coupons[0], 500, &r));
    room->ctx->now_ms += KIT_DAY_MS;
    EXPECT_OK(room->ctx, kit_reverse(room, r.id));
    CouponDay *days = NULL;
    size_t n = 0;
    EXPECT_OK(room->ctx, coupon_days(room->ctx, 20261121, 20261124, &days, &n));
    const struct {
        int64_t day;
        CouponTotals totals;
    } want[] = {{20261121, {2, 0, 0, 0}}, {20261122, {1, 1, 0, 500}}, {20261123, {0, 0, 1, -500}}};
    EXPECT_I64((int64_t)n, (int64_t)ARRAY_LEN(want));
    for (size_t i = 0; i < n; i++) {
        EXPECT_I64(days[i].day, want[i].day);
        EXPECT_I64(days[i].totals.issued, want[i].totals.issued);
        EXPECT_I64(days[i].totals.redeemed, want[i].totals.redeemed);
        EXPECT_I64(days[i].totals.reversed, want[i].totals.reversed);
        EXPECT_I64(days[i].totals.discount_fen, want[i].totals.discount_fen);
    }
    EXPECT_OK(room->ctx, coupon_days(room->ctx, 20261122, 20261123, &days, &n));
    EXPECT_I64((int64_t)n, 1);
}

/* ---- check --------------------------------------------------------------------------------------- */

/* One spoilt row of each kind, and which coupon or template must be named: 'c' the used coupon, 'u' the
 * unused one, 't' the template, 'r' the redemption, '*' any. */
static const struct {
    const char *sql;
    char named;
} SPOILT[] = {
    {"UPDATE coupon_stock SET issued = issued + 1", 't'},
    {"UPDATE coupon_day SET issued = issued - 1", 't'},
    {"UPDATE coupon_day SET redeemed = redeemed + 1", 't'},
    {"UPDATE coupon_day SET reversed = 0", 't'},
    {"UPDATE coupon_day SET discount_fen = discount_fen + 1", 't'},
    {"DELETE FROM coupon_day", 't'},
    {"DELETE FROM coupon_stock", 't'},
    {"INSERT INTO coupon_day(template, day, issued, redeemed, reversed, discount_fen)"
     " VALUES (99, 20261121, 1, 0, 0, 0)",
     '*'},
    {"DELETE FROM coupon WHERE id = (SELECT max(id) FROM coupon)", 't'},
    {"UPDATE coupon SET template = 99 WHERE id = (SELECT max(id) FROM coupon)", 't'},
    {"UPDATE coupon SET person = 99 WHERE id = (SELECT min(id) FROM coupon)", 'c'},
    {"DELETE FROM coupon_state WHERE redemption < 0", 'u'},
    {"UPDATE coupon_state SET redemption = 17592186044416 + 99 WHERE redemption < 0", 'u'},
    {"UPDATE coupon_state SET redemption = -17592186044416 WHERE redemption > 0", 'c'},
    {"UPDATE coupon_state SET redemption = -17592186044415 WHERE redemption > 0", 'c'},
    {"UPDATE coupon_state SET redemption = redemption + 1 WHERE redemption > 0", 'c'},
    {"INSERT INTO coupon_state(id, redemption) VALUES (99, -17592186044416)", '*'},
    {"UPDATE coupon_redemption SET discount_fen = discount_fen + 1"
     " WHERE id = (SELECT max(id) FROM coupon_redemption)",
     't'},
    {"UPDATE coupon_redemption SET template = 99", 't'},
    {"UPDATE coupon_redemption SET person = 99"
     " WHERE id = (SELECT max(id) FROM coupon_redemption)",
     'c'},
    {"UPDATE coupon_redemption SET coupon = coupon + 1"
     " WHERE id = (SELECT max(id) FROM coupon_redemption)",
     'u'},
    {"DELETE FROM coupon_redemption WHERE id = (SELECT max(id) FROM coupon_redemption)", 'c'},
    {"INSERT INTO coupon_redemption(id, coupon, template, person, store, sale, discount_fen, at_ms,"
     " who) VALUES (99, 99, 99, 99, 0, 0, 0, 0, 0)",
     'x'},
    {"DELETE FROM coupon_reversal", 'c'},
    {"INSERT INTO coupon_reversal(id, at_ms, who, reason) VALUES (98, 0, 0, '')", 'y'},
    {"INSERT INTO coupon_reversal(id, at_ms, who, reason)"
     " SELECT max(id), 0, 0, '' FROM coupon_redemption",
     'c'},
};

static const char *const SPOILT_TABLES[] = {"coupon_stock", "coupon_day",        "coupon",
                                            "coupon_state", "coupon_redemption", "coupon_reversal"};

static void for_tables(Room *room, const char *format)
{
    Buf sql = BUF_MAX(4096);
    for (size_t i = 0; i < ARRAY_LEN(SPOILT_TABLES); i++)
        for (const char *at = format; *at != '\0'; at++)
            if (*at == '%')
                buf_add(&sql, str_of(SPOILT_TABLES[i]));
            else
                buf_add_char(&sql, *at);
    kit_sql(room, arena_copy(room->ctx->arena, buf_str(&sql)));
    buf_free(&sql);
}

typedef struct Wanted {
    int64_t id; /* 0 = any */
    bool named;
} Wanted;

static void see(void *arg, const char *what, int64_t id)
{
    (void)what;
    Wanted *w = arg;
    w->named = w->named || w->id == 0 || id == w->id;
}

ROOM_TEST(coupon_check_names_every_row_that_was_spoilt, ROOMS)
{
    const int64_t template = kit_create(room, kit_template(STR("T")));
    const int64_t used = kit_coupon(room, template, ALICE),
                  unused = kit_coupon(room, template, BOB);
    CouponRedemption r;
    EXPECT_OK(room->ctx, kit_redeem(room, used, 500, &r));
    EXPECT_OK(room->ctx, kit_reverse(room, r.id));
    EXPECT_OK(room->ctx, kit_redeem(room, used, 400, &r));
    kit_expect_clean(room);
    for_tables(room, "CREATE TABLE kept_% AS SELECT * FROM %;");
    for (size_t i = 0; i < ARRAY_LEN(SPOILT); i++) {
        const char n = SPOILT[i].named;
        Wanted w = {.id = n == 't'   ? template
                          : n == 'c' ? used
                          : n == 'u' ? unused
                          : n == 'x' ? 99
                          : n == 'y' ? 98
                                     : 0};
        kit_sql(room, arena_printf(room->ctx->arena, "%s;", SPOILT[i].sql));
        EXPECT_OK(room->ctx, coupon_check(room->ctx, see, &w));
        EXPECT_STREQ(w.named ? SPOILT[i].sql : "not named", SPOILT[i].sql);
        for_tables(room, "DELETE FROM %; INSERT INTO % SELECT * FROM kept_%;");
        kit_expect_clean(room);
    }
    for_tables(room, "DROP TABLE kept_%;");
}

/* ---- events -------------------------------------------------------------------------------------- */

typedef struct Told {
    Room *room;
    const char *names[8];
    const char *ids[8];
    const char *props[8]; /* "name=value " each */
    int count;
} Told;

static Err hear(Ctx *ctx, const Event *e, void *arg)
{
    (void)ctx;
    Told *t = arg;
    Arena *arena = t->room->ctx->arena;
    CHECK(t->count < 8);
    Str props = arena_printf(arena, "%.*s:%.*s@%.*s ", STR_ARG(e->actor.kind),
                             STR_ARG(e->actor.value), STR_ARG(e->store));
    for (uint32_t i = 0; i < e->prop_count; i++)
        props = e->props[i].type == EVENT_MONEY
                    ? arena_printf(arena, "%s%.*s=%" PRId64 " ", props.ptr,
                                   STR_ARG(e->props[i].name), e->props[i].i64)
                    : arena_printf(arena, "%s%.*s=%.*s ", props.ptr, STR_ARG(e->props[i].name),
                                   STR_ARG(e->props[i].text));
    t->names[t->count] = arena_copy(arena, e->name).ptr;
    t->ids[t->count] = arena_copy(arena, e->id).ptr;
    t->props[t->count++] = props.ptr;
    return ERR_OK;
}

/* The log and the outbox of a test, in a folder of their own. */
typedef struct Telling {
    char folder[64];
    EventsLog *log;
    Outbox *outbox;
} Telling;

static void telling_begin(Room *room, Telling *t)
{
    (void)snprintf(t->folder, sizeof t->folder, "/tmp/coupon_log_XXXXXX");
    CHECK(mkdtemp(t->folder) != NULL);
    EXPECT_OK(room->ctx, events_open(room->ctx, arena_printf(room->ctx->arena, "%s/log", t->folder),
                                     &(EventsOptions){.segment_bytes = 1 << 20}, &t->log));
    EXPECT_OK(room->ctx, outbox_open(room->ctx, room->world.database, t->log, &t->outbox));
}

/* Behind the database: its last commit may still speak to the outbox. */
static void telling_end(Room *room, Telling *t)
{
    world_reopen(&room->world);
    outbox_close(t->outbox);
    events_close(t->log);
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r %s", t->folder);
    CHECK(system(command) == 0);
}

ROOM_TEST(coupon_events_say_what_happened_and_nothing_else, ROOMS, &OUTBOX_SCHEMA)
{
    Telling telling;
    telling_begin(room, &telling);
    CouponTemplate in = kit_template(STR("T"));
    in.stock = 1;
    const int64_t template = kit_create(room, in);
    const int64_t id = kit_coupon(room, template, ALICE);
    Coupon none;
    CouponRedemption r;
    EXPECT_FAULT(room->ctx, kit_claim(room, template, BOB, &none), ERR_CONFLICT, "coupon.sold_out");
    room_advance(room, 1000);
    EXPECT_OK(room->ctx, kit_redeem(room, id, 500, &r));
    room_advance(room, 1000);
    EXPECT_OK(room->ctx, kit_reverse(room, r.id));
    EXPECT_FAULT(room->ctx, kit_reverse(room, r.id), ERR_CONFLICT, "coupon.reversed");
    Told told = {.room = room};
    EventsPage page;
    EXPECT_OK(room->ctx, events_by_time(room->ctx, telling.log, &(EventsQuery){.limit = 100}, hear,
                                        &told, &page));
    EXPECT_I64(told.count, 3);
    const char *const names[] = {"Coupon Reversed", "Coupon Redeemed", "Coupon Claimed"};
    for (int i = 0; i < 3; i++)
        EXPECT_STREQ(told.names[i], names[i]);
    char want[256];
    (void)snprintf(want, sizeof want,
                   "person:%d@7 coupon_id=%" PRId64 " template_id=%" PRId64
                   " redemption_id=%" PRId64 " discount=500 ",
                   ALICE, id, template, r.id);
    EXPECT_STREQ(told.props[0], want);
    EXPECT_STREQ(told.props[1], want);
    (void)snprintf(want, sizeof want, "person:%d@ coupon_id=%" PRId64 " template_id=%" PRId64 " ",
                   ALICE, id, template);
    EXPECT_STREQ(told.props[2], want);
    (void)snprintf(want, sizeof want, "redeemed-%" PRId64, r.id);
    EXPECT_STREQ(told.ids[1], want);
    EXPECT_I64(events_count(telling.log), 3);
    EXPECT_I64(outbox_behind(telling.outbox), 0);
    telling_end(room, &telling);
}
