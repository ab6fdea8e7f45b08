/*
 * tools/sqlgen_engines_test.c -- what sqlgen made of sqlgen_test/coupon.sql, run on both engines: each
 * statement is prepared and run, and gives the same on both.
 */
#include "coupon.sql.h"

#include "db/db_migrate.h"
#include "db/db_world.h"

static const SqlSchema *const ROOMS[] = {&COUPON_SCHEMA};

typedef struct Step {
    int64_t id, changed;
    Row_coupon_take_left left;
} Step;

static void write_ok(World *w, TxBody body, void *arg)
{
    const Err err = database_write(w->database, &w->ctx, "test", body, arg);
    if (err != ERR_OK)
        fprintf(stderr, "%s: %s\n", w->ctx.fault.reason, w->ctx.fault.detail);
    CHECK(err == ERR_OK);
}

/* Coupon 1 has every value; 2 has NULL and empty where it may; more are like 2. */
static Err insert(Tx *tx, void *arg)
{
    Step *s = arg;
    const bool full = s->id == 1;
    return sql_coupon_insert(
        tx,
        &(In_coupon_insert){.id = s->id,
                            .code = arena_printf(tx->ctx->arena, "code-%02" PRId64, s->id),
                            .face = 100 * s->id,
                            .left_count = 1,
                            .open = full,
                            .at_ms = 1000 + s->id,
                            .end_at_ms = {.has = full, .v = -5},
                            .note = full ? STR("it's \xe6\x98\xa5") : (Str){NULL, 0},
                            .secret = full ? (Str){"\0\xff", 2} : STR("")},
        &s->changed);
}

static Err take(Tx *tx, void *arg)
{
    Step *s = arg;
    return sql_coupon_take(tx, s->id, &s->changed);
}

static Err take_left(Tx *tx, void *arg)
{
    Step *s = arg;
    return sql_coupon_take_left(tx, s->id, &s->left);
}

static Err claim(Tx *tx, void *arg)
{
    Step *s = arg;
    return sql_coupon_claim_insert(tx, 1, s->id, 50 - s->id, &s->changed);
}

static Err forget(Tx *tx, void *arg)
{
    Step *s = arg;
    return sql_coupon_forget(tx, s->id, &s->changed);
}

static void begin(World *w, int coupons)
{
    CHECK(schema_install(w->database, &w->ctx, ROOMS, 1) == ERR_OK);
    for (int i = 1; i <= coupons; i++) {
        Step s = {.id = i};
        write_ok(w, insert, &s);
        EXPECT_I64(s.changed, 1);
    }
}

BOTH_ENGINES(sqlgen_values_and_nulls_survive)
{
    begin(w, 2);
    Row_coupon_find row;
    CHECK(sql_coupon_find(&w->ctx, STR("code-01"), &row) == ERR_OK);
    EXPECT_I64(row.id, 1);
    EXPECT_I64(row.face, 100);
    CHECK(row.open && row.end_at_ms.has && row.end_at_ms.v == -5);
    CHECK(str_eq(row.note, STR("it's \xe6\x98\xa5")));
    CHECK(str_eq(row.secret, ((Str){"\0\xff", 2})));
    CHECK(sql_coupon_find(&w->ctx, STR("code-02"), &row) == ERR_OK);
    CHECK(!row.open && !row.end_at_ms.has && row.note.ptr == NULL);
    CHECK(row.secret.ptr != NULL && row.secret.len == 0);
    EXPECT_I64(sql_coupon_find(&w->ctx, STR("CODE-01"), &row), ERR_NOT_FOUND);
}

BOTH_ENGINES(sqlgen_changed_rows_are_counted)
{
    begin(w, 1);
    Step s = {.id = 1};
    write_ok(w, insert, &s);
    EXPECT_I64(s.changed, 0); /* ON CONFLICT DO NOTHING */
    write_ok(w, take, &s);
    EXPECT_I64(s.changed, 1);
    write_ok(w, take, &s);
    EXPECT_I64(s.changed, 0);
    EXPECT_I64(database_write(w->database, &w->ctx, "test", take_left, &s), ERR_NOT_FOUND);
}

BOTH_ENGINES(sqlgen_returning_gives_the_new_row)
{
    begin(w, 1);
    Step s = {.id = 1, .left = {99}};
    write_ok(w, take_left, &s);
    EXPECT_I64(s.left.left_count, 0);
}

BOTH_ENGINES(sqlgen_lists_are_copied_in_order)
{
    begin(w, 40);
    for (int i = 1; i <= 3; i++) {
        Step s = {.id = i};
        write_ok(w, claim, &s);
    }
    Row_coupon_page *rows;
    size_t count;
    CHECK(sql_coupon_page(&w->ctx, 40, 35, &rows, &count) == ERR_OK);
    EXPECT_I64((int64_t)count, 35);
    EXPECT_I64(rows[0].id, 1); /* the only one with an end: NULLS LAST */
    EXPECT_I64(rows[0].claims, 3);
    CHECK(str_eq(rows[0].state, STR("it's \"open\"")));
    CHECK(str_eq(rows[0].note, STR("it's \xe6\x98\xa5")));
    for (size_t i = 1; i < count; i++) {
        EXPECT_I64(rows[i].id, 40 - (int64_t)i);
        EXPECT_I64(rows[i].claims, 0);
        CHECK(rows[i].note.ptr == NULL);
        CHECK(str_eq(rows[i].state, STR("closed\\")));
        CHECK(str_eq(rows[i].code, arena_printf(w->ctx.arena, "code-%02" PRId64, rows[i].id)));
    }
    CHECK(sql_coupon_page(&w->ctx, 0, 35, &rows, &count) == ERR_OK);
    EXPECT_I64((int64_t)count, 0);
}

static Err collect(Ctx *ctx, const Row_coupon_each_claim *row, void *arg)
{
    int64_t *sum = arg;
    if (*sum >= 200)
        return fail(ctx, ERR_CONFLICT, "test.stop", "enough");
    *sum = *sum * 10 + row->person_id;
    return ERR_OK;
}

BOTH_ENGINES(sqlgen_each_calls_back_until_an_error)
{
    begin(w, 1);
    for (int i = 1; i <= 4; i++) {
        Step s = {.id = i};
        write_ok(w, claim, &s);
    }
    int64_t sum = 0;
    EXPECT_I64(sql_coupon_each_claim(&w->ctx, 1, collect, &sum), ERR_CONFLICT);
    EXPECT_I64(sum, 432); /* by at_ms, the latest claimer first */
    Step s = {.id = 48};
    write_ok(w, forget, &s);
    EXPECT_I64(s.changed, 2); /* 46 and 47 */
}

BOTH_ENGINES(sqlgen_sums_are_integers)
{
    begin(w, 0);
    Row_coupon_total row;
    CHECK(sql_coupon_total(&w->ctx, &row) == ERR_OK);
    EXPECT_I64(row.face, 0);
    CHECK(!row.most.has);
    for (int i = 1; i <= 3; i++) {
        Step s = {.id = i};
        write_ok(w, insert, &s);
    }
    CHECK(sql_coupon_total(&w->ctx, &row) == ERR_OK);
    EXPECT_I64(row.face, 600);
    EXPECT_I64(row.most.v, 300);
    EXPECT_I64(row.half, 1);
    EXPECT_I64(row.open_face, 100);
}
