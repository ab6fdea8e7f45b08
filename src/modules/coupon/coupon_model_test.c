/*
 * modules/coupon/coupon_model_test.c -- coupons against slow obvious models on random data, and many
 * threads at one template.
 */
#include "modules/coupon/coupon_testkit.h"

#include "base/money.h"
#include "base/rand.h"
#include "campaign.sql.h"
#include "catalog.sql.h"
#include "coupon.sql.h"

#include <pthread.h>

#define ROOMS &CAMPAIGN_SCHEMA, &CATALOG_SCHEMA, &COUPON_SCHEMA

__extension__ typedef __int128 Wide;

/* ---- discount ------------------------------------------------------------------------------------ */

enum { BASKET_MAX = 8, SCOPE = 3 };

typedef struct Basket {
    CouponLine lines[BASKET_MAX];
    bool covered[BASKET_MAX];
    size_t n;
    int64_t covered_fen, total_fen;
    bool any;
} Basket;

static void random_basket(Prng *r, const CouponTemplate *t, Basket *b)
{
    *b = (Basket){.n = 1 + (size_t)prng_below(r, BASKET_MAX)};
    const uint64_t dearest = prng_below(r, 3) == 0 ? 20 : prng_below(r, 2) == 0 ? 100000 : 1 << 30;
    for (size_t i = 0; i < b->n; i++) {
        const int64_t product = 1 + (int64_t)prng_below(r, 6);
        b->lines[i] = (CouponLine){.product = product,
                                   .quantity = 1 + (int64_t)prng_below(r, 5),
                                   .net_fen = (int64_t)prng_below(r, dearest),
                                   .discount_fen = 12345};
        if (prng_below(r, 6) == 0)
            b->lines[i].net_fen = 0;
        b->covered[i] = t->kind == COUPON_GIFT ? product == t->gift_product
                        : t->by_product        ? product <= SCOPE
                                               : true;
        b->any = b->any || b->covered[i];
        b->covered_fen += b->covered[i] ? b->lines[i].net_fen : 0;
        b->total_fen += b->lines[i].net_fen;
    }
}

/* What it takes off, share by share.  NULL when it is refused: *reason says why. */
static int64_t model_discount(const CouponTemplate *t, const Basket *b, int64_t *share,
                              const char **reason)
{
    int64_t off = 0, given = 0;
    memset(share, 0, BASKET_MAX * sizeof *share);
    if (t->kind == COUPON_GIFT) {
        for (size_t i = 0; i < b->n && off == 0; i++) {
            if (!b->covered[i] || b->lines[i].net_fen == 0)
                continue;
            off = share[i] = b->lines[i].net_fen / b->lines[i].quantity;
            break;
        }
    } else {
        off = t->kind == COUPON_AMOUNT ? t->amount_fen
                                       : (int64_t)((Wide)b->covered_fen * t->rate_bps / 10000);
        if (t->kind == COUPON_PERCENT && t->cap_fen > 0 && off > t->cap_fen)
            off = t->cap_fen;
        if (off > b->covered_fen)
            off = b->covered_fen;
        for (size_t i = 0; i < b->n && b->covered_fen > 0; i++)
            given += share[i] =
                b->covered[i] ? (int64_t)((Wide)off * b->lines[i].net_fen / b->covered_fen) : 0;
        /* what is left goes, fen by fen, to the largest remainder, the earlier line first */
        for (bool had[BASKET_MAX] = {false}; given < off; given++) {
            size_t best = BASKET_MAX;
            Wide best_rest = 0;
            for (size_t i = 0; i < b->n; i++) {
                const Wide rest =
                    b->covered[i] && !had[i] ? (Wide)off * b->lines[i].net_fen % b->covered_fen : 0;
                if (rest > best_rest) {
                    best = i;
                    best_rest = rest;
                }
            }
            CHECK(best < BASKET_MAX);
            had[best] = true;
            share[best]++;
        }
    }
    const int64_t spent = t->kind == COUPON_GIFT ? b->total_fen - off : b->covered_fen;
    *reason = !b->any                    ? "coupon.no_product"
              : spent < t->min_spend_fen ? "coupon.min_spend"
              : off == 0                 ? "coupon.no_effect"
                                         : "";
    return off;
}

static void compare_discount(Room *room, const CouponTemplate *t, Prng *r)
{
    Basket b;
    random_basket(r, t, &b);
    CouponLine lines[BASKET_MAX];
    memcpy(lines, b.lines, sizeof lines);
    int64_t share[BASKET_MAX], off = -1, sum = 0;
    const char *reason = NULL;
    const int64_t want = model_discount(t, &b, share, &reason);
    const Err err = coupon_discount(room->ctx, t, lines, b.n, &off);
    EXPECT_STREQ(err == ERR_OK ? "" : room->ctx->fault.reason, reason);
    if (err != ERR_OK)
        return;
    EXPECT_I64(off, want);
    if (t->kind != COUPON_GIFT)
        EXPECT_I64(coupon_spend_discount(t, b.covered_fen), want);
    for (size_t i = 0; i < b.n; i++) {
        EXPECT_I64(lines[i].discount_fen, share[i]);
        EXPECT_I64(lines[i].net_fen, b.lines[i].net_fen);
        CHECK(share[i] >= 0 && share[i] <= lines[i].net_fen && (share[i] == 0 || b.covered[i]));
        sum += lines[i].discount_fen;
    }
    EXPECT_I64(sum, off);
}

ROOM_TEST(coupon_discounts_agree_with_the_model_on_random_baskets, ROOMS)
{
    Prng r = prng_of(7);
    for (int64_t i = 1; i <= 6; i++)
        (void)kit_product(room, arena_printf(room->ctx->arena, "P%" PRId64, i));
    for (int round = 0; round < 60; round++) {
        KitTemplate k = {.in = kit_template(arena_printf(room->ctx->arena, "T%d", round)),
                         .products = (const int64_t[]){1, 2, 3},
                         .product_count = round % 2 == 0 ? SCOPE : 0};
        k.in.kind = (CouponKind)(1 + round / 2 % 2); /* a gift needs a product that exists */
        k.in.by_product = round % 2 == 0;
        k.in.amount_fen = 1 + (int64_t)prng_below(&r, round % 3 == 0 ? 10 : 50000);
        k.in.rate_bps = 1 + (int64_t)prng_below(&r, 10000);
        k.in.cap_fen = prng_below(&r, 2) == 0 ? 0 : 1 + (int64_t)prng_below(&r, 5000);
        k.in.min_spend_fen = prng_below(&r, 2) == 0 ? 0 : (int64_t)prng_below(&r, 90000);
        EXPECT_OK(room->ctx, room_write(room, kit_template_body, &k));
        CouponTemplate t;
        EXPECT_OK(room->ctx, coupon_template_find(room->ctx, k.id, &t));
        for (int basket = 0; basket < 40; basket++)
            compare_discount(room, &t, &r);
        t.kind = COUPON_GIFT; /* the discount does not ask whether the product exists */
        t.gift_product = 1 + (int64_t)prng_below(&r, 6);
        for (int basket = 0; basket < 20; basket++)
            compare_discount(room, &t, &r);
    }
}

TEST(coupon_percent_of_a_great_spend_is_exact_and_capped)
{
    const CouponTemplate all = {.kind = COUPON_PERCENT, .rate_bps = 10000};
    const CouponTemplate capped = {.kind = COUPON_PERCENT, .rate_bps = 1, .cap_fen = 99};
    const CouponTemplate amount = {.kind = COUPON_AMOUNT, .amount_fen = MONEY_FEN_MAX};
    const CouponTemplate gift = {.kind = COUPON_GIFT, .gift_product = 1};
    EXPECT_I64(coupon_spend_discount(&all, MONEY_FEN_MAX), MONEY_FEN_MAX);
    EXPECT_I64(coupon_spend_discount(&capped, 9999), 0);
    EXPECT_I64(coupon_spend_discount(&capped, 10000), 1);
    EXPECT_I64(coupon_spend_discount(&capped, 990000), 99);
    EXPECT_I64(coupon_spend_discount(&capped, MONEY_FEN_MAX), 99);
    EXPECT_I64(coupon_spend_discount(&amount, 5), 5);
    EXPECT_I64(coupon_spend_discount(&gift, 5), 0);
}

/* ---- histories ------------------------------------------------------------------------------------- */

enum { TEMPLATES = 4, PEOPLE = 6, STEPS = 400, COUPONS_MAX = STEPS, CHECK_EVERY = 25 };

typedef struct ModelCoupon {
    int64_t id, from_ms, to_ms, redemption, discount_fen;
    int template, person;
} ModelCoupon;

typedef struct ModelRedemption {
    int64_t id, discount_fen;
    int coupon;
    bool reversed;
} ModelRedemption;

typedef struct Model {
    CouponTemplate templates[TEMPLATES];
    ModelCoupon coupons[COUPONS_MAX];
    ModelRedemption redemptions[STEPS];
    int coupon_count, redemption_count;
    CouponTotals totals[TEMPLATES];
    int refused; /* a history without refusals would prove little */
} Model;

static void model_begin(Room *room, Model *m)
{
    static const struct {
        int64_t stock, per_person, valid_days, open_h;
    } SHAPES[TEMPLATES] = {{0, 0, 0, 240}, {9, 0, 1, 240}, {0, 2, 0, 240}, {20, 3, 2, 48}};
    for (int i = 0; i < TEMPLATES; i++) {
        CouponTemplate in = kit_template(arena_printf(room->ctx->arena, "T%d", i));
        in.stock = SHAPES[i].stock;
        in.per_person = SHAPES[i].per_person;
        in.valid_days = SHAPES[i].valid_days;
        in.claim_to_ms = ROOM_NOW_MS + SHAPES[i].open_h * KIT_HOUR_MS;
        in.valid_from_ms = ROOM_NOW_MS + (i % 2 == 0 ? 0 : 12 * KIT_HOUR_MS);
        in.valid_to_ms = ROOM_NOW_MS + 96 * KIT_HOUR_MS;
        in.id = kit_create(room, in);
        m->templates[i] = in;
    }
}

static const char *model_claim(Room *room, Model *m, int template, int person)
{
    const CouponTemplate *t = &m->templates[template];
    int64_t had = 0;
    for (int i = 0; i < m->coupon_count; i++)
        had += m->coupons[i].template == template && m->coupons[i].person == person;
    const int64_t now = room->ctx->now_ms;
    if (t->paused)
        return "coupon.paused";
    if (now < t->claim_from_ms || now >= t->claim_to_ms || now >= t->valid_to_ms)
        return "coupon.not_open";
    if (t->per_person > 0 && had >= t->per_person)
        return "coupon.limit";
    return t->stock > 0 && m->totals[template].issued >= t->stock ? "coupon.sold_out" : "";
}

static void step_claim(Room *room, Model *m, Prng *r)
{
    const int template = (int)prng_below(r, TEMPLATES), person = 1 + (int)prng_below(r, PEOPLE);
    const CouponTemplate *t = &m->templates[template];
    const char *want = model_claim(room, m, template, person);
    Coupon c;
    const Err err = kit_claim(room, t->id, person, &c);
    EXPECT_STREQ(err == ERR_OK ? "" : room->ctx->fault.reason, want);
    m->refused += err != ERR_OK;
    if (err != ERR_OK)
        return;
    int64_t from = t->valid_from_ms, to = t->valid_to_ms;
    if (t->valid_days > 0) {
        from = room->ctx->now_ms > from ? room->ctx->now_ms : from;
        to = from + t->valid_days * KIT_DAY_MS < to ? from + t->valid_days * KIT_DAY_MS : to;
    }
    m->coupons[m->coupon_count++] = (ModelCoupon){
        .id = c.id, .from_ms = from, .to_ms = to, .template = template, .person = person};
    m->totals[template].issued++;
}

static CouponStatus model_status(const Room *room, const ModelCoupon *c)
{
    const int64_t now = room->ctx->now_ms;
    return c->redemption != 0 ? COUPON_REDEEMED
           : now < c->from_ms ? COUPON_NOT_YET
           : now < c->to_ms   ? COUPON_ISSUED
                              : COUPON_EXPIRED;
}

static void step_redeem(Room *room, Model *m, Prng *r)
{
    static const char *const REASONS[] = {[COUPON_ISSUED] = "",
                                          [COUPON_NOT_YET] = "coupon.not_yet",
                                          [COUPON_REDEEMED] = "coupon.used",
                                          [COUPON_EXPIRED] = "coupon.expired",
                                          [COUPON_VOID] = "coupon.void"};
    if (m->coupon_count == 0)
        return;
    const int at = (int)prng_below(r, (uint64_t)m->coupon_count);
    ModelCoupon *c = &m->coupons[at];
    const int64_t discount = (int64_t)prng_below(r, 900);
    CouponRedemption out = {0};
    const Err err = kit_redeem(room, c->id, discount, &out);
    EXPECT_STREQ(err == ERR_OK ? "" : room->ctx->fault.reason, REASONS[model_status(room, c)]);
    m->refused += err != ERR_OK;
    if (err != ERR_OK)
        return;
    c->redemption = out.id;
    m->redemptions[m->redemption_count++] =
        (ModelRedemption){.id = out.id, .discount_fen = discount, .coupon = at};
    m->totals[c->template].redeemed++;
    m->totals[c->template].discount_fen += discount;
}

static void step_reverse(Room *room, Model *m, Prng *r)
{
    if (m->redemption_count == 0)
        return;
    ModelRedemption *x = &m->redemptions[prng_below(r, (uint64_t)m->redemption_count)];
    const Err err = kit_reverse(room, x->id);
    EXPECT_STREQ(err == ERR_OK ? "" : room->ctx->fault.reason,
                 x->reversed ? "coupon.reversed" : "");
    m->refused += err != ERR_OK;
    if (err != ERR_OK)
        return;
    x->reversed = true;
    ModelCoupon *c = &m->coupons[x->coupon];
    c->redemption = 0;
    m->totals[c->template].reversed++;
    m->totals[c->template].discount_fen -= x->discount_fen;
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

static void step_other(Room *room, Model *m, Prng *r)
{
    CouponTemplate *t = &m->templates[prng_below(r, TEMPLATES)];
    if (prng_below(r, 2) == 0) {
        room_advance(room, (int64_t)prng_below(r, 3 * (uint64_t)KIT_HOUR_MS));
        return;
    }
    t->paused = !t->paused && prng_below(r, 3) == 0;
    EXPECT_OK(room->ctx, room_write(room, pause_body, &(Pause){t->id, t->paused}));
}

static void compare_people(Room *room, const Model *m)
{
    for (int person = 1; person <= PEOPLE; person++) {
        Coupon *wallet = NULL;
        size_t n = 0, at = 0;
        EXPECT_OK(room->ctx, coupon_wallet(room->ctx, person, 1000, &wallet, &n));
        for (int i = m->coupon_count; i-- > 0;) {
            const ModelCoupon *c = &m->coupons[i];
            if (c->person != person)
                continue;
            CHECK(at < n);
            EXPECT_I64(wallet[at].id, c->id);
            EXPECT_I64(wallet[at].template, m->templates[c->template].id);
            EXPECT_I64(wallet[at].redemption, c->redemption);
            EXPECT_I64(wallet[at].valid_from_ms, c->from_ms);
            EXPECT_I64(wallet[at].valid_to_ms, c->to_ms);
            EXPECT_I64(wallet[at].status, model_status(room, c));
            at++;
        }
        EXPECT_I64((int64_t)at, (int64_t)n);
    }
}

static void compare(Room *room, const Model *m)
{
    kit_expect_clean(room);
    compare_people(room, m);
    for (int i = 0; i < TEMPLATES; i++) {
        CouponTotals got;
        EXPECT_OK(room->ctx, coupon_template_totals(room->ctx, m->templates[i].id, &got));
        EXPECT_I64(got.issued, m->totals[i].issued);
        EXPECT_I64(got.redeemed, m->totals[i].redeemed);
        EXPECT_I64(got.reversed, m->totals[i].reversed);
        EXPECT_I64(got.discount_fen, m->totals[i].discount_fen);
    }
}

ROOM_TEST(coupons_agree_with_the_model_over_a_random_history, ROOMS)
{
    static void (*const STEP[])(Room *, Model *, Prng *) = {step_claim,  step_claim,   step_redeem,
                                                            step_redeem, step_reverse, step_other};
    Prng r = prng_of(room->world.postgres ? 11 : 12);
    Model *m = ARENA_NEW(room->ctx->arena, Model);
    model_begin(room, m);
    for (int i = 1; i <= STEPS; i++) {
        STEP[prng_below(&r, ARRAY_LEN(STEP))](room, m, &r);
        if (i % CHECK_EVERY == 0)
            compare(room, m);
    }
    CHECK(m->coupon_count > 30 && m->redemption_count > 20 && m->refused > 20);
}

/* ---- many at once ------------------------------------------------------------------------------------ */

enum { THREADS = 16, TRIES = 10, STOCK = 100, PER_PERSON = 4 };

typedef struct Claimer {
    Room *room;
    int64_t template;
    int index;
    int got, sold_out, limited, other;
    pthread_t thread;
} Claimer;

static Err claim_once(Claimer *c, Ctx *ctx, int64_t person)
{
    KitClaim k = {.template = c->template, .person = person};
    return database_write(c->room->world.database, ctx, "claim", kit_claim_body, &k);
}

static void *claim_many(void *arg)
{
    Claimer *c = arg;
    Ctx ctx = world_ctx();
    ctx.keys = c->room->ctx->keys;
    ctx.settings = c->room->ctx->settings;
    ctx.who = &PRINCIPAL_OF_SYSTEM;
    ctx.now_ms = ROOM_NOW_MS;
    for (int i = 0; i < TRIES; i++) {
        const Err err = claim_once(c, &ctx, 1 + (c->index * TRIES + i) % 40);
        const Str why = err == ERR_OK ? STR("") : str_of(ctx.fault.reason);
        c->got += err == ERR_OK;
        c->sold_out += str_eq(why, STR("coupon.sold_out"));
        c->limited += str_eq(why, STR("coupon.limit"));
        c->other += err != ERR_OK && err != ERR_CONFLICT && err != ERR_BUSY;
    }
    world_ctx_free(&ctx);
    return NULL;
}

/* Sixteen threads ask 160 times, four times for each of 40 people. */
static Claimer run_claimers(Room *room, int64_t template)
{
    static Claimer all[THREADS];
    Claimer sum = {0};
    for (int i = 0; i < THREADS; i++) {
        all[i] = (Claimer){.room = room, .template = template, .index = i};
        CHECK(pthread_create(&all[i].thread, NULL, claim_many, &all[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(all[i].thread, NULL) == 0);
        sum.got += all[i].got;
        sum.sold_out += all[i].sold_out;
        sum.limited += all[i].limited;
        sum.other += all[i].other;
    }
    return sum;
}

ROOM_TEST(coupon_stock_is_never_overdrawn_by_many_threads, ROOMS)
{
    CouponTemplate in = kit_template(STR("T"));
    in.stock = STOCK;
    const int64_t id = kit_create(room, in);
    const Claimer sum = run_claimers(room, id);
    CouponTotals totals;
    EXPECT_OK(room->ctx, coupon_template_totals(room->ctx, id, &totals));
    EXPECT_I64(totals.issued, sum.got);
    EXPECT_I64(sum.other, 0);
    CHECK(sum.got <= STOCK);
    if (!room->world.postgres) { /* there a conflict may outlast its retries: 503, nothing given */
        EXPECT_I64(sum.got, STOCK);
        EXPECT_I64(sum.sold_out, THREADS * TRIES - STOCK);
    }
    kit_expect_clean(room);
}

ROOM_TEST(coupon_limit_of_a_person_holds_against_many_threads, ROOMS)
{
    CouponTemplate in = kit_template(STR("T"));
    in.per_person = PER_PERSON - 1;
    const int64_t id = kit_create(room, in);
    const Claimer sum = run_claimers(room, id);
    EXPECT_I64(sum.other, 0);
    if (!room->world.postgres)
        EXPECT_I64(sum.got, 40 * (PER_PERSON - 1));
    for (int64_t person = 1; person <= 40; person++) {
        Coupon *wallet = NULL;
        size_t n = 0;
        EXPECT_OK(room->ctx, coupon_wallet(room->ctx, person, 100, &wallet, &n));
        CHECK(n <= PER_PERSON - 1);
    }
    kit_expect_clean(room);
}

/* ---- redeeming at the same time ---------------------------------------------------------------------- */

typedef struct Redeemer {
    Room *room;
    int64_t coupon;
    Err err;
    pthread_t thread;
} Redeemer;

static void *redeem_once(void *arg)
{
    Redeemer *r = arg;
    Ctx ctx = world_ctx();
    ctx.keys = r->room->ctx->keys;
    ctx.settings = r->room->ctx->settings;
    ctx.who = &PRINCIPAL_OF_SYSTEM;
    ctx.now_ms = ROOM_NOW_MS;
    KitRedeem k = {.coupon = r->coupon, .store = 7, .discount_fen = 500};
    r->err = database_write(r->room->world.database, &ctx, "redeem", kit_redeem_body, &k);
    world_ctx_free(&ctx);
    return NULL;
}

ROOM_TEST(coupon_is_redeemed_by_one_of_many_threads, ROOMS)
{
    Redeemer all[THREADS];
    const int64_t coupon = kit_coupon(room, kit_create(room, kit_template(STR("T"))), 1);
    int won = 0;
    for (int i = 0; i < THREADS; i++) {
        all[i] = (Redeemer){.room = room, .coupon = coupon};
        CHECK(pthread_create(&all[i].thread, NULL, redeem_once, &all[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(all[i].thread, NULL) == 0);
        won += all[i].err == ERR_OK;
        CHECK(all[i].err == ERR_OK || all[i].err == ERR_CONFLICT || all[i].err == ERR_BUSY);
    }
    EXPECT_I64(won, 1);
    kit_expect_clean(room);
}
