/*
 * bench/records_raw.c -- the write path without HTTP: the statements of a claim, a redemption and a sale
 * with a redemption, each with its audit row, its stored reply and its event, through the same writer.
 *
 * Usage: records_raw FOLDER PEOPLE IN_FLIGHT     Prints one line "NAME RATE" per kind of write.
 * It is what `./run bench records` holds the rates over HTTP against.
 */
#include "base/clock.h"
#include "base/keyring.h"
#include "base/rand.h"
#include "db/db_migrate.h"
#include "jobs/outbox.h"
#include "modules/audit/audit.h"
#include "modules/catalog/catalog.h"
#include "modules/coupon/coupon.h"
#include "modules/order/order.h"
#include "modules/person/person.h"
#include "modules/setting/setting.h"
#include "modules/store/store.h"
#include "request/request_internal.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

extern const SqlSchema SETTING_SCHEMA, AUDIT_SCHEMA, STAFF_SCHEMA, STORE_SCHEMA, CATALOG_SCHEMA,
    PERSON_SCHEMA, CAMPAIGN_SCHEMA, COUPON_SCHEMA, ORDER_SCHEMA, REQUEST_SCHEMA, JOB_SCHEMA,
    OUTBOX_SCHEMA;
static const SqlSchema *const SCHEMAS[] = {&REQUEST_SCHEMA,  &JOB_SCHEMA,     &OUTBOX_SCHEMA,
                                           &SETTING_SCHEMA,  &AUDIT_SCHEMA,   &STAFF_SCHEMA,
                                           &STORE_SCHEMA,    &CATALOG_SCHEMA, &PERSON_SCHEMA,
                                           &CAMPAIGN_SCHEMA, &COUPON_SCHEMA,  &ORDER_SCHEMA};

/* About as long as the replies that the API stores. */
static const char REPLY[] =
    "{\"id\":\"123456\",\"coupon\":\"123456\",\"template\":\"382662900478640128\",\"template_name\":"
    "\"ten off\",\"person\":\"382662976177438720\",\"store\":\"382662900445085696\","
    "\"discount_fen\":1000,\"at\":\"2026-11-21T22:46:03.913Z\"}";

static struct {
    Database *database;
    Keyring *keys;
    Settings settings;
    int64_t people, in_flight;
    int64_t *person;
    int64_t template, store, product;
} world;

/* One write on its way: its own arena and context, used again and again. */
typedef struct Slot {
    WriteTask task;
    Ctx ctx;
    int64_t index; /* which person or coupon */
    RepeatKey key;
    sem_t *free_slots;
    _Atomic bool busy;
} Slot;

static void die_unless(Err err, const Ctx *ctx, const char *what)
{
    if (err == ERR_OK)
        return;
    fprintf(stderr, "%s: %s %s %s\n", what, ctx->fault.reason, ctx->fault.hint, ctx->fault.detail);
    exit(1);
}

/* A UUIDv7's sixteen bytes: time first, as our clients send. */
static void new_key(RepeatKey *k, int64_t now_ms)
{
    rand_bytes(k->key, sizeof k->key);
    for (int i = 0; i < 6; i++)
        k->key[i] = (uint8_t)((uint64_t)now_ms >> (8 * (5 - i)));
    k->present = true;
}

static Err honest_end(Tx *tx, const Slot *s, Str action, int64_t object)
{
    TRY(audit_add(tx, action, object, STR("")));
    return repeat_keep(tx, &s->key, 201, (Str){REPLY, sizeof REPLY - 1});
}

static Err honest_begin(Tx *tx, const Slot *s)
{
    bool found = false;
    int status = 0;
    Str body;
    return repeat_find(tx->ctx, &s->key, &found, &status, &body);
}

static Err claim(Tx *tx, void *arg)
{
    const Slot *s = arg;
    Coupon c;
    CouponTemplate t;
    TRY(honest_begin(tx, s));
    TRY(coupon_template_find(tx->ctx, world.template, &t));
    TRY(coupon_claim(tx, &t, world.person[s->index], &c));
    return honest_end(tx, s, STR("coupon_claim"), c.id);
}

static Err redeem(Tx *tx, void *arg)
{
    const Slot *s = arg;
    Coupon c;
    CouponTemplate t;
    CouponRedemption r = {.store = world.store, .at_ms = tx->ctx->now_ms, .discount_fen = 1000};
    TRY(honest_begin(tx, s));
    TRY(coupon_find(tx->ctx, s->index + 1, &c));
    TRY(coupon_template_find(tx->ctx, c.template, &t));
    TRY(coupon_redeemable(tx->ctx, &c, &t, world.store));
    TRY(coupon_redeem(tx, &c, &r));
    return honest_end(tx, s, STR("coupon_redeem"), r.id);
}

static Err sell(Tx *tx, void *arg)
{
    const Slot *s = arg;
    Ctx *ctx = tx->ctx;
    const int64_t coupon = world.people + s->index + 1;
    OrderRedeemed redeemed;
    OrderLine *lines = ARENA_ARRAY(ctx->arena, OrderLine, 3);
    for (int i = 0; i < 3; i++)
        lines[i] = (OrderLine){.product = world.product, .quantity = 1, .net_fen = 2500};
    Order o = {.store = world.store,
               .till = STR("T1"),
               .number = arena_i64(ctx->arena, s->index),
               .at_ms = ctx->now_ms,
               .lines = lines,
               .line_count = 3};
    TRY(honest_begin(tx, s));
    TRY(order_sell(tx, &o, &coupon, 1, &redeemed));
    return honest_end(tx, s, STR("order_sell"), o.id);
}

/* ---- driving ---------------------------------------------------------------------------------------- */

static void finished(WriteTask *task)
{
    Slot *s = CONTAINER_OF(task, Slot, task);
    die_unless(task->err, &s->ctx, "write");
    atomic_store(&s->busy, false);
    CHECK(sem_post(s->free_slots) == 0);
}

static Slot *take_slot(Slot *slots, sem_t *free_slots)
{
    static int64_t turn;
    while (sem_wait(free_slots) != 0) {
    }
    while (atomic_load(&slots[turn % world.in_flight].busy))
        turn++;
    return &slots[turn++ % world.in_flight];
}

static void drive(const char *name, TxBody body, int64_t count)
{
    sem_t free_slots;
    CHECK(sem_init(&free_slots, 0, (unsigned)world.in_flight) == 0);
    Slot *slots = calloc((size_t)world.in_flight, sizeof *slots);
    CHECK(slots != NULL);
    const int64_t stride = count * 618 / 1000 | 1; /* no order that a cache could love */
    const int64_t from_us = clock_mono_us();
    for (int64_t i = 0; i < count; i++) {
        Slot *s = take_slot(slots, &free_slots);
        if (s->ctx.arena == NULL)
            s->ctx.arena = arena_new(16384);
        arena_reset(s->ctx.arena);
        s->ctx = (Ctx){.arena = s->ctx.arena,
                       .now_ms = clock_now_ms(),
                       .who = &PRINCIPAL_OF_SYSTEM,
                       .keys = world.keys,
                       .settings = &world.settings};
        s->index = body == claim
                       ? i
                       : (int64_t)((__uint128_t)i * (__uint128_t)stride % (__uint128_t)count);
        s->free_slots = &free_slots;
        new_key(&s->key, s->ctx.now_ms);
        atomic_store(&s->busy, true);
        s->task =
            (WriteTask){.apply = body, .arg = s, .ctx = &s->ctx, .done = finished, .name = name};
        database_submit(world.database, &s->task);
    }
    for (int64_t i = 0; i < world.in_flight; i++)
        while (sem_wait(&free_slots) != 0) {
        }
    printf("%s %.0f\n", name, (double)count / ((double)(clock_mono_us() - from_us) / 1e6));
    (void)fflush(stdout);
    for (int64_t i = 0; i < world.in_flight; i++)
        arena_free(slots[i].ctx.arena);
    free(slots);
}

/* ---- the world --------------------------------------------------------------------------------------- */

static Err furnish(Tx *tx, void *arg)
{
    (void)arg;
    const int64_t now = tx->ctx->now_ms, year = INT64_C(31536000000);
    TRY(store_create(tx, &(Store){.code = STR("S1"), .name = STR("one")}, &world.store));
    bool changed = false;
    TRY(catalog_product_put(tx, &(Product){.code = STR("P1"), .name = STR("product")},
                            &world.product, &changed));
    return coupon_template_create(tx,
                                  &(CouponTemplate){.code = STR("T1"),
                                                    .name = STR("ten off"),
                                                    .kind = COUPON_AMOUNT,
                                                    .amount_fen = 1000,
                                                    .claim_from_ms = now - year,
                                                    .claim_to_ms = now + year,
                                                    .valid_from_ms = now - year,
                                                    .valid_to_ms = now + year,
                                                    .per_person = 2},
                                  &world.template);
}

enum { ENROL_STEP = 500 };

static Err enrol(Tx *tx, void *arg)
{
    const int64_t from = *(const int64_t *)arg;
    for (int64_t i = from; i < from + ENROL_STEP && i < world.people; i++) {
        PersonKey key;
        PersonDraft draft;
        bool created = false;
        TRY(person_key(tx->ctx, PERSON_CARD, arena_i64(tx->ctx->arena, 10000000 + i), &key));
        TRY(person_prepare(tx->ctx, &key, 1, STR(""), &draft));
        TRY(person_enrol(tx, &draft, &world.person[i], &created));
    }
    return ERR_OK;
}

int main(int argc, char **argv)
{
    if (argc != 4 || !str_to_i64(str_of(argv[2]), &world.people) ||
        !str_to_i64(str_of(argv[3]), &world.in_flight) || world.people < 1000 ||
        world.in_flight < 1) {
        fprintf(stderr, "usage: records_raw FOLDER PEOPLE IN_FLIGHT\n");
        return 2;
    }
    (void)mkdir(argv[1], 0700);
    Ctx ctx = {.arena = arena_new(1 << 20), .now_ms = clock_now_ms(), .who = &PRINCIPAL_OF_SYSTEM};
    const Str folder = str_of(argv[1]);
    world.settings = setting_default();
    world.person = calloc((size_t)world.people, sizeof *world.person);
    CHECK(world.person != NULL);
    const Str key_file = arena_printf(ctx.arena, "%.*s/keys", STR_ARG(folder));
    die_unless(keyring_create(&ctx, key_file), &ctx, "keys");
    die_unless(keyring_load(&ctx, key_file, &world.keys), &ctx, "keys");
    ctx.keys = world.keys;
    ctx.settings = &world.settings;
    const DatabaseOptions options = {.url = arena_printf(ctx.arena, "%.*s/raw.db", STR_ARG(folder)),
                                     .readers = 2,
                                     .writers = 16};
    EventsLog *log = NULL;
    Outbox *outbox = NULL;
    die_unless(database_open(&ctx, &options, &world.database), &ctx, "database");
    die_unless(schema_install(world.database, &ctx, SCHEMAS, ARRAY_LEN(SCHEMAS)), &ctx, "schema");
    die_unless(events_open(&ctx, arena_printf(ctx.arena, "%.*s/log", STR_ARG(folder)),
                           &(EventsOptions){0}, &log),
               &ctx, "log");
    die_unless(outbox_open(&ctx, world.database, log, &outbox), &ctx, "outbox");
    die_unless(database_write(world.database, &ctx, "furnish", furnish, NULL), &ctx, "furnish");
    for (int64_t from = 0; from < world.people; from += ENROL_STEP) {
        Ctx step = ctx;
        step.arena = arena_new(1 << 20);
        die_unless(database_write(world.database, &step, "enrol", enrol, &from), &step, "enrol");
        arena_free(step.arena);
    }
    drive("claim", claim, world.people);
    drive("redeem", redeem, world.people);
    drive("claim2", claim, world.people);
    drive("sell", sell, world.people);
    database_close(world.database);
    outbox_close(outbox);
    events_close(log);
    keyring_free(world.keys);
    arena_free(ctx.arena);
    free(world.person);
    return 0;
}
