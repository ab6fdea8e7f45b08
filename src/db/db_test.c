/*
 * db/db_test.c -- what db.h promises, on both engines.
 */
#include "db/db_world.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

static const char TABLES[] =
    "CREATE TABLE thing(id $INT PRIMARY KEY, n $INT, flag $INT, words TEXT, raw $BYTES) $STRICT;"
    "CREATE TABLE account(id $INT PRIMARY KEY, cents $INT NOT NULL) $STRICT;"
    "CREATE TABLE transfer(id $INT PRIMARY KEY, cents $INT NOT NULL) $STRICT;"
    "CREATE TABLE log(id $INT PRIMARY KEY, raw $BYTES NOT NULL) $STRICT;";

STATEMENT(thing_add, "INSERT INTO thing(id, n, flag, words, raw) VALUES (?1, ?2, ?3, ?4, ?5)",
          "INSERT INTO thing(id, n, flag, words, raw) VALUES ($1, $2, $3, $4, $5)",
          IN(SQL_I64, SQL_I64, SQL_BOOL, SQL_TEXT, SQL_BYTES), NONE);
STATEMENT(thing_get, "SELECT n, flag, words, raw FROM thing WHERE id = ?1",
          "SELECT n, flag, words, raw FROM thing WHERE id = $1", IN(SQL_I64),
          OUT(SQL_I64, SQL_BOOL, SQL_TEXT, SQL_BYTES));
STATEMENT(thing_put, "INSERT INTO thing(id, n) VALUES (?1, 0)",
          "INSERT INTO thing(id, n) VALUES ($1, 0)", IN(SQL_I64), NONE);
STATEMENT(thing_put_back, "INSERT INTO thing(id, n) VALUES (?1, 0) RETURNING id",
          "INSERT INTO thing(id, n) VALUES ($1, 0) RETURNING id", IN(SQL_I64), OUT(SQL_I64));
STATEMENT(thing_drop, "DELETE FROM thing WHERE id >= ?1", "DELETE FROM thing WHERE id >= $1",
          IN(SQL_I64), NONE);
STATEMENT(thing_list, "SELECT id FROM thing ORDER BY id", "SELECT id FROM thing ORDER BY id", NONE,
          OUT(SQL_I64));
STATEMENT(thing_count, "SELECT count(*) FROM thing", "SELECT count(*) FROM thing", NONE,
          OUT(SQL_I64));
STATEMENT(log_add, "INSERT INTO log(id, raw) VALUES (?1, ?2)",
          "INSERT INTO log(id, raw) VALUES ($1, $2)", IN(SQL_I64, SQL_BYTES), NONE);
STATEMENT(log_list, "SELECT id, raw FROM log ORDER BY id", "SELECT id, raw FROM log ORDER BY id",
          NONE, OUT(SQL_I64, SQL_BYTES));
STATEMENT(account_add, "INSERT INTO account(id, cents) VALUES (?1, ?2)",
          "INSERT INTO account(id, cents) VALUES ($1, $2)", IN(SQL_I64, SQL_I64), NONE);
STATEMENT(account_get, "SELECT cents FROM account WHERE id = ?1",
          "SELECT cents FROM account WHERE id = $1", IN(SQL_I64), OUT(SQL_I64));
STATEMENT(account_move, "UPDATE account SET cents = cents + ?2 WHERE id = ?1",
          "UPDATE account SET cents = cents + $2 WHERE id = $1", IN(SQL_I64, SQL_I64), NONE);
STATEMENT(account_sum, "SELECT CAST(sum(cents) AS BIGINT) FROM account",
          "SELECT CAST(sum(cents) AS BIGINT) FROM account", NONE, OUT(SQL_I64));
STATEMENT(transfer_add, "INSERT INTO transfer(id, cents) VALUES (?1, ?2)",
          "INSERT INTO transfer(id, cents) VALUES ($1, $2)", IN(SQL_I64, SQL_I64), NONE);
STATEMENT(transfer_count, "SELECT count(*) FROM transfer", "SELECT count(*) FROM transfer", NONE,
          OUT(SQL_I64));
/* One write that must succeed. */
static void must_write(World *w, TxBody apply, void *arg)
{
    const Err err = database_write(w->database, &w->ctx, "test", apply, arg);
    if (err != ERR_OK)
        fprintf(stderr, "write: %s %s\n", w->ctx.fault.reason, w->ctx.fault.detail);
    CHECK(err == ERR_OK);
}

static int64_t things(World *w)
{
    return world_number(w, &thing_count, NULL);
}

/* ---- values -------------------------------------------------------------------------------------- */

typedef struct Thing {
    SqlValue args[5];
} Thing;

static Err apply_thing(Tx *tx, void *arg)
{
    int64_t changed = 0;
    TRY(db_exec(tx, &thing_add, ((Thing *)arg)->args, &changed));
    CHECK(changed == 1);
    return ERR_OK;
}

static Str long_text(char *space, size_t n)
{
    for (size_t i = 0; i < n; i++)
        space[i] = (char)('a' + i % 26);
    return (Str){space, n};
}

BOTH_ENGINES(values_of_all_types_come_back_as_they_went)
{
    world_script(w, TABLES);
    enum { LONG_BYTES = 1 << 20 };
    static char space[LONG_BYTES];
    const Str all_bytes = {"\0\1\xff\\'\"\n\xc3", 8};
    const SqlValue nothing[4] = {{.type = SQL_I64, .is_null = true},
                                 {.type = SQL_BOOL, .is_null = true},
                                 {.type = SQL_TEXT, .is_null = true},
                                 {.type = SQL_BYTES, .is_null = true}};
    const SqlValue sets[][4] = {
        {nothing[0], nothing[1], nothing[2], nothing[3]},
        {sql_i64(0), sql_bool(false), sql_text(STR("")), sql_bytes(STR(""))},
        {sql_i64(INT64_MIN), sql_bool(true), sql_text((Str){NULL, 0}), sql_bytes((Str){NULL, 0})},
        {sql_i64(INT64_MAX), sql_bool(true), sql_text(STR("优惠券 'x' \\ $1 ?1")),
         sql_bytes(all_bytes)},
        {sql_i64(-1), sql_bool(false), sql_text(long_text(space, LONG_BYTES)),
         sql_bytes((Str){space, LONG_BYTES})}};
    for (int64_t i = 0; i < (int64_t)ARRAY_LEN(sets); i++) {
        const SqlValue *v = sets[i];
        Thing t = {{sql_i64(i), v[0], v[1], v[2], v[3]}};
        must_write(w, apply_thing, &t);
        SqlRow row;
        EXPECT_I64(db_one(&w->ctx, &thing_get, t.args, &row), ERR_OK);
        EXPECT_I64(row.count, 4);
        for (int c = 0; c < 4; c++) {
            EXPECT_I64(row.col[c].type, v[c].type);
            EXPECT_I64(row.col[c].is_null, v[c].is_null);
            EXPECT_I64(row.col[c].i64, v[c].i64);
            CHECK(str_eq(row.col[c].text, v[c].text));
            CHECK(v[c].is_null || c < 2 || row.col[c].text.ptr != NULL);
        }
    }
}

BOTH_ENGINES(one_row_that_is_not_there_is_not_found_and_spoils_nothing)
{
    world_script(w, TABLES);
    SqlRow row;
    const SqlValue args[] = {sql_i64(7)};
    EXPECT_I64(db_one(&w->ctx, &thing_get, args, &row), ERR_NOT_FOUND);
    EXPECT_STREQ(w->ctx.fault.reason, "not_found");
    EXPECT_I64(things(w), 0);
}

static Err apply_ten_things(Tx *tx, void *arg)
{
    (void)arg;
    for (int64_t i = 0; i < 10; i++) {
        const SqlValue args[] = {sql_i64(i)};
        TRY(db_exec(tx, &thing_put, args, NULL));
    }
    return ERR_OK;
}

static Err stop_at_the_third(Ctx *ctx, const SqlRow *row, void *arg)
{
    CHECK(row->col[0].i64 == *(int64_t *)arg);
    if (++*(int64_t *)arg == 3)
        return fail(ctx, ERR_CONFLICT, "test.enough", "third");
    return ERR_OK;
}

static Err apply_each_then_write(Tx *tx, void *arg)
{
    int64_t seen = 0;
    CHECK(db_each(tx->ctx, &thing_list, NULL, stop_at_the_third, &seen) == ERR_CONFLICT);
    const SqlValue args[] = {sql_i64(*(int64_t *)arg)};
    return db_exec(tx, &thing_put, args, NULL);
}

BOTH_ENGINES(each_stops_when_the_callback_fails_and_the_connection_goes_on)
{
    world_script(w, TABLES);
    must_write(w, apply_ten_things, NULL);
    int64_t seen = 0;
    EXPECT_I64(db_each(&w->ctx, &thing_list, NULL, stop_at_the_third, &seen), ERR_CONFLICT);
    EXPECT_STREQ(w->ctx.fault.reason, "test.enough");
    EXPECT_I64(seen, 3);
    EXPECT_I64(things(w), 10);
    int64_t id = 77;
    must_write(w, apply_each_then_write, &id);
    EXPECT_I64(things(w), 11);
}

static Err apply_drop_from(Tx *tx, void *arg)
{
    const SqlValue args[] = {sql_i64(*(int64_t *)arg)};
    return db_exec(tx, &thing_drop, args, (int64_t *)arg);
}

BOTH_ENGINES(exec_counts_the_rows_that_it_changed)
{
    world_script(w, TABLES);
    must_write(w, apply_ten_things, NULL);
    int64_t from_then_count = 6;
    must_write(w, apply_drop_from, &from_then_count);
    EXPECT_I64(from_then_count, 4);
    from_then_count = 100;
    must_write(w, apply_drop_from, &from_then_count);
    EXPECT_I64(from_then_count, 0);
}

BOTH_ENGINES(a_reader_cannot_write)
{
    world_script(w, TABLES);
    SqlRow row;
    const SqlValue args[] = {sql_i64(1)};
    EXPECT_I64(db_one(&w->ctx, &thing_put_back, args, &row), ERR_INTERNAL);
    database_reader_give(w->database, w->ctx.db);
    w->ctx.db = database_reader_take(w->database);
    EXPECT_I64(things(w), 0);
}

/* ---- errors -------------------------------------------------------------------------------------- */

/* Writes 1, then the same key again; whatever comes after must not be able to succeed. */
static Err apply_ignoring_an_error(Tx *tx, void *arg)
{
    (void)arg;
    const SqlValue one[] = {sql_i64(1)}, two[] = {sql_i64(2)};
    SqlRow row;
    TRY(db_exec(tx, &thing_put, one, NULL));
    CHECK(db_exec(tx, &thing_put, one, NULL) == ERR_INTERNAL);
    CHECK(strcmp(tx->ctx->fault.reason, "db.constraint") == 0);
    CHECK(db_exec(tx, &thing_put, two, NULL) == ERR_INTERNAL);
    CHECK(strcmp(tx->ctx->fault.reason, "db.poisoned") == 0);
    CHECK(db_one(tx->ctx, &thing_get, one, &row) == ERR_INTERNAL);
    return ERR_OK;
}

BOTH_ENGINES(an_sql_error_poisons_the_transaction_even_when_it_is_ignored)
{
    world_script(w, TABLES);
    EXPECT_I64(database_write(w->database, &w->ctx, "test", apply_ignoring_an_error, NULL),
               ERR_INTERNAL);
    EXPECT_STREQ(w->ctx.fault.reason, "db.poisoned");
    EXPECT_I64(things(w), 0);
    must_write(w, apply_ten_things, NULL);
    EXPECT_I64(things(w), 10);
}

static Err apply_returning_then_refuse(Tx *tx, void *arg)
{
    (void)arg;
    SqlRow row;
    const SqlValue args[] = {sql_i64(1)};
    TRY(db_one(tx->ctx, &thing_put_back, args, &row));
    return fail(tx->ctx, ERR_CONFLICT, "test.refused", "after the write");
}

BOTH_ENGINES(a_refusal_after_insert_returning_leaves_nothing)
{
    world_script(w, TABLES);
    EXPECT_I64(database_write(w->database, &w->ctx, "test", apply_returning_then_refuse, NULL),
               ERR_CONFLICT);
    EXPECT_STREQ(w->ctx.fault.reason, "test.refused");
    EXPECT_I64(things(w), 0);
}

BOTH_ENGINES(a_script_that_fails_in_the_middle_leaves_nothing_and_hurts_nobody)
{
    world_script(w, TABLES);
    EXPECT_I64(
        database_script(w->database, &w->ctx,
                        "INSERT INTO thing(id) VALUES (1); INSERT INTO thing(id) VALUES (1);"),
        ERR_INTERNAL);
    EXPECT_STREQ(w->ctx.fault.reason, "db.script");
    EXPECT_I64(things(w), 0);
    must_write(w, apply_ten_things, NULL);
    EXPECT_I64(things(w), 10);
}

/* ---- groups, hooks, journal ------------------------------------------------------------------------ */

enum { BATCH = 200 };

typedef struct Item {
    WriteTask task;
    struct Batch *batch;
    Ctx ctx;
    int64_t id;
    bool refuse_late; /* after its writes */
    bool refuse_soon; /* before them */
    atomic_int done;
    int hooks_run; /* on the committing thread */
} Item;

typedef struct Batch {
    World *w;
    Item items[BATCH];
    sem_t all_submitted; /* holds the first task's apply, so that the others queue up behind it */
    sem_t done;
    atomic_bool first_ran;
} Batch;

/* Hooks must run in order, once, and see their row committed. */
static void first_hook(void *arg)
{
    Item *item = arg;
    CHECK(item->hooks_run == 0);
    item->hooks_run = 1;
    Ctx ctx = world_ctx();
    ctx.db = database_reader_take(item->batch->w->database);
    SqlRow row;
    const SqlValue args[] = {sql_i64(item->id)};
    CHECK(db_one(&ctx, &thing_get, args, &row) == ERR_OK);
    database_reader_give(item->batch->w->database, ctx.db);
    world_ctx_free(&ctx);
}

static void second_hook(void *arg)
{
    Item *item = arg;
    CHECK(item->hooks_run == 1 && atomic_load(&item->done) == 0);
    item->hooks_run = 2;
}

static void wait_for(sem_t *sem)
{
    while (sem_wait(sem) != 0) { /* EINTR */
    }
}

static Err apply_item(Tx *tx, void *arg)
{
    Item *item = arg;
    if (item->id == 0 && !atomic_exchange(&item->batch->first_ran, true))
        wait_for(&item->batch->all_submitted);
    if (item->refuse_soon)
        return fail(tx->ctx, ERR_CONFLICT, "test.refused", "before the write");
    const SqlValue args[] = {sql_i64(item->id)};
    char record[32];
    const int n = snprintf(record, sizeof record, "%" PRId64 "\n", item->id);
    tx_after_commit(tx, first_hook, item);
    TRY(tx_journal(tx, (Str){record, (size_t)n}));
    TRY(db_exec(tx, &thing_put, args, NULL));
    tx_after_commit(tx, second_hook, item);
    if (item->refuse_late)
        return fail(tx->ctx, ERR_CONFLICT, "test.refused", "after the write");
    return ERR_OK;
}

static void item_done(WriteTask *task)
{
    Item *item = CONTAINER_OF(task, Item, task);
    CHECK(atomic_fetch_add(&item->done, 1) == 0);
    CHECK(sem_post(&item->batch->done) == 0);
}

static Batch *batch_new(World *w)
{
    Batch *b = calloc(1, sizeof *b);
    CHECK(b != NULL && sem_init(&b->all_submitted, 0, 0) == 0 && sem_init(&b->done, 0, 0) == 0);
    b->w = w;
    for (int64_t i = 0; i < BATCH; i++) {
        Item *item = &b->items[i];
        *item = (Item){.batch = b, .id = i, .ctx = world_ctx()};
        item->task = (WriteTask){
            .apply = apply_item, .arg = item, .ctx = &item->ctx, .done = item_done, .name = "test"};
    }
    return b;
}

static void batch_run(Batch *b)
{
    for (int i = 0; i < BATCH; i++)
        database_submit(b->w->database, &b->items[i].task);
    CHECK(sem_post(&b->all_submitted) == 0);
    for (int i = 0; i < BATCH; i++)
        wait_for(&b->done);
}

static void batch_free(Batch *b)
{
    for (int i = 0; i < BATCH; i++)
        world_ctx_free(&b->items[i].ctx);
    (void)sem_destroy(&b->all_submitted);
    (void)sem_destroy(&b->done);
    free(b);
}

/* Every item got what it asked for, and the table holds exactly the accepted ones. */
static void batch_check(Batch *b)
{
    int64_t accepted = 0;
    for (int i = 0; i < BATCH; i++) {
        Item *item = &b->items[i];
        const bool refused = item->refuse_soon || item->refuse_late;
        accepted += refused ? 0 : 1;
        EXPECT_I64(item->task.err, refused ? ERR_CONFLICT : ERR_OK);
        EXPECT_I64(item->hooks_run, refused ? 0 : 2);
        EXPECT_I64(atomic_load(&item->done), 1);
        CHECK(item->ctx.db == NULL); /* the writing connection does not leak */
        SqlRow row;
        const SqlValue args[] = {sql_i64(item->id)};
        EXPECT_I64(db_one(&b->w->ctx, &thing_get, args, &row), refused ? ERR_NOT_FOUND : ERR_OK);
    }
    EXPECT_I64(things(b->w), accepted);
}

BOTH_ENGINES(a_late_refusal_takes_nobody_with_it_and_hooks_run_once_after_the_commit)
{
    world_script(w, TABLES);
    Batch *b = batch_new(w);
    for (int i = 1; i < BATCH; i++) {
        b->items[i].refuse_late = i % 7 == 0;
        b->items[i].refuse_soon = i % 5 == 0;
    }
    batch_run(b);
    batch_check(b);
    DatabaseStats stats;
    database_stats(w->database, &stats);
    EXPECT_I64(stats.writes, BATCH);
    EXPECT_I64(stats.queue_depth, 0);
    if (!w->postgres) {
        CHECK(stats.replays >= 1);
        CHECK(stats.groups <= 3);
    }
    batch_free(b);
}

BOTH_ENGINES(an_early_refusal_costs_no_replay)
{
    world_script(w, TABLES);
    Batch *b = batch_new(w);
    for (int i = 1; i < BATCH; i++)
        b->items[i].refuse_soon = i % 3 == 0;
    batch_run(b);
    batch_check(b);
    DatabaseStats stats;
    database_stats(w->database, &stats);
    EXPECT_I64(stats.replays, 0);
    batch_free(b);
}

/* A journal writer that keeps the records in table `log` and what was handed to committed(). */
typedef struct Outbox {
    pthread_mutex_t lock;
    int64_t last_id; /* guarded by: lock */
    Buf committed;   /* guarded by: lock */
    int64_t last_committed;
    bool in_order;
    bool refuse;
} Outbox;

static Err outbox_write(Tx *tx, Str records, void *arg, int64_t *journal_id)
{
    Outbox *o = arg;
    CHECK(pthread_mutex_lock(&o->lock) == 0);
    const int64_t id = ++o->last_id;
    CHECK(pthread_mutex_unlock(&o->lock) == 0);
    const SqlValue args[] = {sql_i64(id), sql_bytes(records)};
    TRY(db_exec(tx, &log_add, args, NULL));
    if (o->refuse)
        return fail(tx->ctx, ERR_INTERNAL, "test.journal", "refused");
    *journal_id = id;
    return ERR_OK;
}

static void outbox_committed(Str records, int64_t journal_id, void *arg)
{
    Outbox *o = arg;
    CHECK(pthread_mutex_lock(&o->lock) == 0);
    o->in_order = o->in_order && journal_id > o->last_committed;
    o->last_committed = journal_id;
    buf_add(&o->committed, records);
    CHECK(pthread_mutex_unlock(&o->lock) == 0);
}

static Err count_lines(Ctx *ctx, const SqlRow *row, void *arg)
{
    (void)ctx;
    buf_add(arg, row->col[1].text);
    return ERR_OK;
}

/* How often the line `id` stands in `text`. */
static int lines_of(Str text, int64_t id)
{
    int n = 0;
    for (size_t from = 0; from < text.len;) {
        const int64_t end = str_index(text, '\n', from);
        CHECK(end >= 0);
        int64_t v = -1;
        CHECK(str_to_i64(str_slice(text, from, (size_t)end), &v));
        n += v == id ? 1 : 0;
        from = (size_t)end + 1;
    }
    return n;
}

BOTH_ENGINES(the_journal_commits_with_its_transaction_and_is_handed_on_exactly_once)
{
    world_script(w, TABLES);
    Outbox o = {.lock = PTHREAD_MUTEX_INITIALIZER, .committed = BUF_MAX(1 << 20), .in_order = true};
    database_set_journal(w->database, (DatabaseJournal){outbox_write, outbox_committed, &o});
    Batch *b = batch_new(w);
    for (int i = 1; i < BATCH; i++)
        b->items[i].refuse_late = i % 7 == 0;
    batch_run(b);
    batch_check(b);
    Buf stored = BUF_MAX(1 << 20);
    EXPECT_I64(db_each(&w->ctx, &log_list, NULL, count_lines, &stored), ERR_OK);
    for (int i = 0; i < BATCH; i++) {
        const int want = b->items[i].refuse_late ? 0 : 1;
        EXPECT_I64(lines_of(buf_str(&stored), i), want);
        EXPECT_I64(lines_of(buf_str(&o.committed), i), want);
    }
    CHECK(w->postgres || o.in_order);
    buf_free(&stored);
    buf_free(&o.committed);
    batch_free(b);
}

BOTH_ENGINES(a_journal_that_cannot_be_written_fails_the_group_and_leaves_nothing)
{
    world_script(w, TABLES);
    Outbox o = {.lock = PTHREAD_MUTEX_INITIALIZER, .committed = BUF_MAX(1 << 20), .refuse = true};
    database_set_journal(w->database, (DatabaseJournal){outbox_write, outbox_committed, &o});
    Batch *b = batch_new(w);
    batch_run(b);
    for (int i = 0; i < BATCH; i++) {
        EXPECT_I64(b->items[i].task.err, ERR_BUSY);
        EXPECT_STREQ(b->items[i].ctx.fault.reason, "test.journal");
        EXPECT_I64(b->items[i].hooks_run, 0);
    }
    EXPECT_I64(things(w), 0);
    EXPECT_I64((int64_t)o.committed.len, 0);
    buf_free(&o.committed);
    batch_free(b);
}

static Err apply_big_journal(Tx *tx, void *arg)
{
    return tx_journal(tx, (Str){arg, (4 << 20) + 1});
}

BOTH_ENGINES(a_journal_record_over_the_limit_is_refused)
{
    char *bytes = calloc(1, (4 << 20) + 1);
    CHECK(bytes != NULL);
    EXPECT_I64(database_write(w->database, &w->ctx, "test", apply_big_journal, bytes),
               ERR_TOO_LARGE);
    EXPECT_STREQ(w->ctx.fault.reason, "db.journal_full");
    free(bytes);
}

BOTH_ENGINES(close_waits_for_the_writes_in_flight)
{
    world_script(w, TABLES);
    Batch *b = batch_new(w);
    for (int i = 0; i < BATCH; i++)
        database_submit(w->database, &b->items[i].task);
    CHECK(sem_post(&b->all_submitted) == 0);
    world_reopen(w);
    batch_check(b);
    batch_free(b);
}

/* ---- concurrency against a model --------------------------------------------------------------------- */

enum { TELLERS = 8, TRANSFERS = 500, ACCOUNTS = 50, OPENING_CENTS = 1000 };

typedef struct Teller {
    World *w;
    pthread_t thread;
    uint64_t random;
    int64_t accounts;        /* how many of them there are */
    int64_t delta[ACCOUNTS]; /* what the successful transfers should have done */
    int64_t done, refused;   /* transfers */
    int64_t from, to, cents; /* of the current one */
    int64_t max_cents;       /* of a transfer */
} Teller;

static Serial transfer_serial = {.table = "transfer"};

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Writes first and asks later, in half of the cases: both orders must leave nothing when refused. */
static Err apply_transfer(Tx *tx, void *arg)
{
    const Teller *t = arg;
    SqlRow row;
    const SqlValue from[] = {sql_i64(t->from), sql_i64(-t->cents)};
    const SqlValue to[] = {sql_i64(t->to), sql_i64(t->cents)};
    const bool write_first = t->cents % 2 == 0;
    if (write_first) {
        TRY(db_exec(tx, &account_move, from, NULL));
        TRY(db_exec(tx, &account_move, to, NULL));
    }
    TRY(db_one(tx->ctx, &account_get, from, &row));
    if (row.col[0].i64 < (write_first ? 0 : t->cents))
        return fail(tx->ctx, ERR_CONFLICT, "test.overdraft", "%" PRId64, t->from);
    if (!write_first) {
        const int64_t before = row.col[0].i64;
        TRY(db_exec(tx, &account_move, from, NULL));
        TRY(db_exec(tx, &account_move, to, NULL));
        TRY(db_one(tx->ctx, &account_get, from, &row));
        CHECK(row.col[0].i64 == before - t->cents); /* nobody moves what this one has read */
    }
    int64_t id = 0;
    TRY(db_serial(tx, &transfer_serial, &id));
    const SqlValue transfer[] = {sql_i64(id), sql_i64(t->cents)};
    return db_exec(tx, &transfer_add, transfer, NULL);
}

static void *teller_main(void *arg)
{
    Teller *t = arg;
    Ctx ctx = world_ctx();
    for (int i = 0; i < TRANSFERS; i++) {
        t->from = (int64_t)(next_random(&t->random) % (uint64_t)t->accounts);
        t->to = (t->from + 1) % t->accounts;
        t->cents = (int64_t)(next_random(&t->random) % (uint64_t)t->max_cents) + 1;
        const Err err = database_write(t->w->database, &ctx, "transfer", apply_transfer, t);
        if (err == ERR_OK) {
            t->delta[t->from] -= t->cents;
            t->delta[t->to] += t->cents;
            t->done++;
        } else {
            if (err != ERR_CONFLICT)
                fprintf(stderr, "transfer: %s %s\n", ctx.fault.reason, ctx.fault.detail);
            CHECK(err == ERR_CONFLICT);
            t->refused++;
        }
        arena_reset(ctx.arena);
    }
    world_ctx_free(&ctx);
    return NULL;
}

static Err apply_open_accounts(Tx *tx, void *arg)
{
    (void)arg;
    for (int64_t i = 0; i < ACCOUNTS; i++) {
        const SqlValue args[] = {sql_i64(i), sql_i64(OPENING_CENTS)};
        TRY(db_exec(tx, &account_add, args, NULL));
    }
    return ERR_OK;
}

BOTH_ENGINES(random_transfers_by_many_threads_agree_with_the_model)
{
    world_script(w, TABLES);
    world_serial(w, "transfer");
    must_write(w, apply_open_accounts, NULL);
    static Teller tellers[TELLERS];
    for (int i = 0; i < TELLERS; i++) {
        tellers[i] = (Teller){.w = w,
                              .random = 0x9e3779b9u + (uint64_t)i,
                              .accounts = i % 2 == 0 ? ACCOUNTS
                                                     : 3, /* half of them crowd at three accounts */
                              .max_cents = 600};
        CHECK(pthread_create(&tellers[i].thread, NULL, teller_main, &tellers[i]) == 0);
    }
    for (int i = 0; i < TELLERS; i++)
        CHECK(pthread_join(tellers[i].thread, NULL) == 0);
    int64_t done = 0, refused = 0;
    for (int64_t a = 0; a < ACCOUNTS; a++) {
        int64_t want = OPENING_CENTS;
        for (int i = 0; i < TELLERS; i++)
            want += tellers[i].delta[a];
        const SqlValue args[] = {sql_i64(a)};
        EXPECT_I64(world_number(w, &account_get, args), want);
        CHECK(want >= 0);
    }
    for (int i = 0; i < TELLERS; i++)
        done += tellers[i].done, refused += tellers[i].refused;
    EXPECT_I64(done + refused, TELLERS * TRANSFERS);
    CHECK(refused > 20); /* else the test shows nothing about refusals */
    EXPECT_I64(world_number(w, &transfer_count, NULL), done);
    EXPECT_I64(world_number(w, &account_sum, NULL), ACCOUNTS * OPENING_CENTS);
}

enum { STOCK = 100, TAKERS = 1000 };

typedef struct Taker {
    WriteTask task;
    Ctx ctx;
    sem_t *done;
} Taker;

/* Reads, thinks, writes: correct only when transactions do not see past each other. */
static Err apply_take(Tx *tx, void *arg)
{
    (void)arg;
    SqlRow row;
    const SqlValue take[] = {sql_i64(1), sql_i64(-1)};
    TRY(db_one(tx->ctx, &account_get, take, &row));
    if (row.col[0].i64 == 0)
        return fail(tx->ctx, ERR_CONFLICT, "test.sold_out", "stock");
    int64_t id = 0;
    TRY(db_serial(tx, &transfer_serial, &id));
    const SqlValue transfer[] = {sql_i64(id), sql_i64(1)};
    TRY(db_exec(tx, &transfer_add, transfer, NULL));
    return db_exec(tx, &account_move, take, NULL);
}

static Err apply_stock(Tx *tx, void *arg)
{
    (void)arg;
    const SqlValue args[] = {sql_i64(1), sql_i64(STOCK)};
    return db_exec(tx, &account_add, args, NULL);
}

static void taker_done(WriteTask *task)
{
    CHECK(sem_post(CONTAINER_OF(task, Taker, task)->done) == 0);
}

static void sell_out(World *w, int64_t hot_key)
{
    world_script(w, TABLES);
    world_serial(w, "transfer");
    must_write(w, apply_stock, NULL);
    static Taker takers[TAKERS];
    sem_t done;
    CHECK(sem_init(&done, 0, 0) == 0);
    for (int i = 0; i < TAKERS; i++) {
        takers[i] = (Taker){.ctx = world_ctx(), .done = &done};
        takers[i].task = (WriteTask){.apply = apply_take,
                                     .ctx = &takers[i].ctx,
                                     .done = taker_done,
                                     .hot_key = hot_key,
                                     .name = "take"};
        database_submit(w->database, &takers[i].task);
    }
    for (int i = 0; i < TAKERS; i++)
        wait_for(&done);
    int64_t sold = 0;
    for (int i = 0; i < TAKERS; i++) {
        sold += takers[i].task.err == ERR_OK ? 1 : 0;
        CHECK(takers[i].task.err == ERR_OK || takers[i].task.err == ERR_CONFLICT);
        world_ctx_free(&takers[i].ctx);
    }
    const SqlValue args[] = {sql_i64(1)};
    EXPECT_I64(sold, STOCK);
    EXPECT_I64(world_number(w, &account_get, args), 0);
    EXPECT_I64(world_number(w, &transfer_count, NULL), STOCK);
    (void)sem_destroy(&done);
}

BOTH_ENGINES(a_stock_of_100_goes_to_exactly_100_of_1000_takers)
{
    sell_out(w, 0);
}

BOTH_ENGINES(a_hot_key_serialises_the_takers_of_a_stock)
{
    sell_out(w, 4711);
    DatabaseStats stats;
    database_stats(w->database, &stats);
    EXPECT_I64(stats.replays, 0); /* nobody had to try twice */
}

/* ---- serial numbers ------------------------------------------------------------------------------------ */

static Serial thing_serial = {.table = "thing"};

typedef struct Draw {
    int64_t id;
    bool refuse;
    bool keep; /* writes a row with it */
} Draw;

static Err apply_draw(Tx *tx, void *arg)
{
    Draw *d = arg;
    TRY(db_serial(tx, &thing_serial, &d->id));
    const SqlValue args[] = {sql_i64(d->id)};
    if (d->keep)
        TRY(db_exec(tx, &thing_put, args, NULL));
    return d->refuse ? fail(tx->ctx, ERR_CONFLICT, "test.refused", "drawn") : ERR_OK;
}

BOTH_ENGINES(serial_numbers_ascend_and_never_repeat_also_after_deletion_and_reopening)
{
    world_script(w, TABLES);
    world_serial(w, "thing");
    int64_t last = 0;
    if (!w->postgres) { /* rows that were there before the first number was asked for */
        world_script(w, "INSERT INTO thing(id) VALUES (41);");
        last = 41;
    }
    for (int i = 0; i < 1500; i++) {
        Draw d = {.refuse = i % 11 == 3, .keep = i % 2 == 0};
        const Err err = database_write(w->database, &w->ctx, "draw", apply_draw, &d);
        EXPECT_I64(err, d.refuse ? ERR_CONFLICT : ERR_OK);
        CHECK(d.id > last || (w->postgres && d.id > 0));
        CHECK(w->postgres || d.id == last + 1 || d.refuse || i % 100 == 0);
        last = d.id > last ? d.id : last;
        if (i % 100 == 99) {
            int64_t all = 0;
            must_write(w, apply_drop_from, &all);
            world_reopen(w);
        }
        arena_reset(w->ctx.arena);
    }
}

/* ---- looking at all of it -------------------------------------------------------------------------- */

BOTH_ENGINES(a_snapshot_reads_one_state_while_others_write)
{
    world_script(w, TABLES);
    Thing t = {{sql_i64(1), sql_i64(0), sql_bool(true), sql_text(STR("")), sql_bytes(STR(""))}};
    must_write(w, apply_thing, &t);
    EXPECT_I64(db_snapshot_begin(&w->ctx), ERR_OK);
    t.args[0] = sql_i64(2);
    must_write(w, apply_thing, &t);
    EXPECT_I64(things(w), 1);
    db_snapshot_end(&w->ctx);
    EXPECT_I64(things(w), 2);
}

BOTH_ENGINES(a_shared_reader_sees_every_write_that_was_answered)
{
    world_script(w, TABLES);
    DbShare share = {.database = w->database};
    Db *const own = w->ctx.db;
    for (int i = 1; i <= 40; i++) {
        Thing t = {{sql_i64(i), sql_i64(0), sql_bool(true), sql_text(STR("")), sql_bytes(STR(""))}};
        w->ctx.db = own;
        must_write(w, apply_thing, &t);
        for (int k = 0; k < 3; k++) {
            w->ctx.db = db_share_read(&share);
            EXPECT_I64(things(w), i);
        }
        if (i % 10 == 0)
            db_share_end(&share);
    }
    db_share_end(&share);
    db_share_end(&share); /* nothing to do */
    w->ctx.db = own;
}

static void count_finding(void *arg, const char *what)
{
    (void)what;
    ++*(int64_t *)arg;
}

BOTH_ENGINES(a_sound_database_has_no_findings)
{
    int64_t findings = 0;
    world_script(w, TABLES);
    EXPECT_I64(db_verify(&w->ctx, count_finding, &findings), ERR_OK);
    EXPECT_I64(findings, 0);
}
