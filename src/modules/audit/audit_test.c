/*
 * modules/audit/audit_test.c -- what audit.h promises.
 */
#include "modules/audit/audit.h"

#include "audit.sql.h"
#include "modules/room_test.h"

#define MINUTE_MS INT64_C(60000)

/* ---- shorthand ------------------------------------------------------------------------------------------- */

typedef struct Add {
    int count;
    bool fail_after;
} Add;

static Err add_body(Tx *tx, void *arg)
{
    const Add *a = arg;
    for (int i = 0; i < a->count; i++)
        TRY(audit_add(tx, STR("coupon.redeem"), 100 + i,
                      arena_printf(tx->ctx->arena, "detail %d", i)));
    return a->fail_after ? fail(tx->ctx, ERR_CONFLICT, "t.no", "test") : ERR_OK;
}

static void add(Room *room, int count)
{
    Add a = {.count = count};
    EXPECT_OK(room->ctx, room_write(room, add_body, &a));
}

typedef struct Seal {
    int64_t rows_max, sealed;
} Seal;

static Err seal_body(Tx *tx, void *arg)
{
    Seal *s = arg;
    return audit_seal(tx, s->rows_max, &s->sealed);
}

static int64_t seal(Room *room, int64_t rows_max)
{
    Seal s = {.rows_max = rows_max, .sealed = -1};
    EXPECT_OK(room->ctx, room_write(room, seal_body, &s));
    return s.sealed;
}

static int64_t verified(Room *room)
{
    int64_t rows = -1;
    EXPECT_OK(room->ctx, audit_verify(room->ctx, &rows));
    return rows;
}

static void sql(Room *room, const char *text)
{
    EXPECT_OK(room->ctx, database_script(room->world.database, room->ctx, text));
}

/* ---- rows --------------------------------------------------------------------------------------------------- */

ROOM_TEST(audit_row_says_who_did_what_when_and_goes_with_its_transaction, &AUDIT_SCHEMA)
{
    const Principal clerk = {.kind = PRINCIPAL_STAFF, .id = 5};
    room->ctx->who = &clerk;
    add(room, 2);
    Add undone = {.count = 1, .fail_after = true};
    EXPECT_FAULT(room->ctx, room_write(room, add_body, &undone), ERR_CONFLICT, "t.no");
    Row_audit_page *rows = NULL;
    size_t n = 0;
    EXPECT_OK(room->ctx, sql_audit_page(room->ctx, INT64_MAX, 10, &rows, &n));
    EXPECT_I64((int64_t)n, 2);
    CHECK(rows[0].id > rows[1].id);
    EXPECT_I64(rows[1].at_ms, ROOM_NOW_MS);
    EXPECT_I64(rows[1].who, 5);
    EXPECT_STREQ(ROOM_C(room, rows[1].who_kind), "staff");
    EXPECT_STREQ(ROOM_C(room, rows[1].action), "coupon.redeem");
    EXPECT_I64(rows[1].object, 100);
    EXPECT_STREQ(ROOM_C(room, rows[0].detail), "detail 1");
}

/* ---- seals --------------------------------------------------------------------------------------------------- */

ROOM_TEST(audit_seal_waits_for_rows_that_others_may_still_commit_before, &AUDIT_SCHEMA)
{
    EXPECT_I64(seal(room, 10), 0);
    add(room, 2);
    EXPECT_I64(seal(room, 10), 0);
    room_advance(room, MINUTE_MS);
    EXPECT_I64(seal(room, 10), 0); /* exactly a minute is young */
    add(room, 3);
    room_advance(room, 1);
    EXPECT_I64(seal(room, 10), 2);
    EXPECT_I64(seal(room, 10), 0);
    EXPECT_I64(verified(room), 2);
    room_advance(room, MINUTE_MS);
    EXPECT_I64(seal(room, 10), 3);
    EXPECT_I64(verified(room), 5);
}

ROOM_TEST(audit_seal_takes_at_most_so_many_and_goes_on_where_it_stopped, &AUDIT_SCHEMA)
{
    add(room, 10);
    room_advance(room, 2 * MINUTE_MS);
    const int64_t want[] = {4, 4, 2, 0};
    for (size_t i = 0; i < ARRAY_LEN(want); i++)
        EXPECT_I64(seal(room, 4), want[i]);
    EXPECT_I64(verified(room), 10);
}

ROOM_TEST(audit_of_an_empty_folder_is_sound, &AUDIT_SCHEMA)
{
    EXPECT_I64(verified(room), 0);
}

/* Rows 1..9 by rank in three seals; each case spoils one thing in one way, and names the seal that must
 * break first. */
#define RANK(n) "(SELECT id FROM audit ORDER BY id LIMIT 1 OFFSET " #n ")"
static const struct {
    const char *sql;
    const char *seal;
} SPOILT[] = {
    {"UPDATE audit SET at_ms = at_ms + 1 WHERE id = " RANK(0), "seal 1"},
    {"UPDATE audit SET who = who + 1 WHERE id = " RANK(4), "seal 2"},
    {"UPDATE audit SET who_kind = 'staff' WHERE id = " RANK(5), "seal 2"},
    {"UPDATE audit SET action = 'coupon.look' WHERE id = " RANK(8), "seal 3"},
    {"UPDATE audit SET object = object + 1 WHERE id = " RANK(3), "seal 2"},
    {"UPDATE audit SET detail = 'detail' WHERE id = " RANK(2), "seal 1"},
    {"UPDATE audit SET who_kind = 'systemc', action = 'oupon.redeem' WHERE id = " RANK(2),
     "seal 1"},
    {"DELETE FROM audit WHERE id = " RANK(0), "seal 1"},
    {"DELETE FROM audit WHERE id = " RANK(4), "seal 2"},
    {"DELETE FROM audit WHERE id = " RANK(8), "seal 3"},
    {"DELETE FROM audit", "seal 1"},
    {"INSERT INTO audit SELECT id - 1, at_ms, who, who_kind, action, object, detail FROM audit"
     " WHERE id = " RANK(0),
     "seal 1"},
    {"INSERT INTO audit SELECT -id, at_ms, who, who_kind, action, object, detail FROM audit"
     " WHERE id = " RANK(0),
     "seal 1"},
    {"INSERT INTO audit SELECT 0, at_ms, who, who_kind, action, object, detail FROM audit"
     " WHERE id = " RANK(0),
     "seal 1"},
    {"INSERT INTO audit SELECT id - 1, at_ms, who, who_kind, action, object, detail FROM audit"
     " WHERE id = " RANK(3),
     "seal 2"},
    {"INSERT INTO audit SELECT id - 1, at_ms, who, who_kind, action, object, detail FROM audit"
     " WHERE id = " RANK(8),
     "seal 3"},
    /* two rows change places */
    {"UPDATE audit SET object = CASE object WHEN 104 THEN 105 ELSE 104 END,"
     " detail = CASE object WHEN 104 THEN 'detail 5' ELSE 'detail 4' END"
     " WHERE object = 104 OR object = 105",
     "seal 2"},
    {"UPDATE audit_seal SET rows_sealed = rows_sealed + 1 WHERE id = 2", "seal 2"},
    {"UPDATE audit_seal SET first_audit = first_audit + 1 WHERE id = 2", "seal 2"},
    {"UPDATE audit_seal SET last_audit = last_audit - 1 WHERE id = 2", "seal 2"},
    {"UPDATE audit_seal SET hash = (SELECT hash FROM audit_seal WHERE id = 1) WHERE id = 2",
     "seal 2"},
    {"DELETE FROM audit_seal WHERE id = 1", "seal 2"},
    {"DELETE FROM audit_seal WHERE id = 2", "seal 3"},
};

ROOM_TEST(audit_verify_names_the_first_seal_that_breaks, &AUDIT_SCHEMA)
{
    add(room, 9);
    sql(room, "UPDATE audit SET id = id + object * 1000;"); /* room between the numbers */
    room_advance(room, 2 * MINUTE_MS);
    for (int i = 0; i < 3; i++)
        EXPECT_I64(seal(room, 3), 3);
    sql(room, "CREATE TABLE kept AS SELECT * FROM audit; CREATE TABLE kept_seal AS SELECT * FROM "
              "audit_seal;");
    for (size_t i = 0; i < ARRAY_LEN(SPOILT); i++) {
        int64_t rows = 77;
        EXPECT_I64(verified(room), 9);
        sql(room, arena_printf(room->ctx->arena, "%s;", SPOILT[i].sql).ptr);
        room->ctx->fault = (Fault){.reason = ""};
        const Err err = audit_verify(room->ctx, &rows);
        if (err != ERR_INTERNAL)
            fprintf(stderr, "not found: %s\n", SPOILT[i].sql);
        EXPECT_I64(err, ERR_INTERNAL);
        EXPECT_STREQ(room->ctx->fault.reason, "audit.broken");
        EXPECT_STREQ(room->ctx->fault.detail, SPOILT[i].seal);
        EXPECT_I64(rows, 77);
        sql(room, "DELETE FROM audit; INSERT INTO audit SELECT * FROM kept;"
                  "DELETE FROM audit_seal; INSERT INTO audit_seal SELECT * FROM kept_seal;");
    }
    sql(room, "DROP TABLE kept; DROP TABLE kept_seal;");
}

ROOM_TEST(audit_chain_goes_on_after_rows_that_are_not_yet_sealed_changed, &AUDIT_SCHEMA)
{
    add(room, 3);
    room_advance(room, 2 * MINUTE_MS);
    EXPECT_I64(seal(room, 2), 2);
    sql(room, "UPDATE audit SET detail = 'other' WHERE id = (SELECT max(id) FROM audit);");
    EXPECT_I64(verified(room), 2); /* nothing vouches for it yet */
    EXPECT_I64(seal(room, 2), 1);
    EXPECT_I64(verified(room), 3);
}
