/*
 * engine/ask/path_bound_test.c -- where paths, transitions, sessions and touches end: deadlines, limits, damage.
 */
#include "base/clock.h"
#include "engine/ask/path.h"
#include "engine/ask/session.h"
#include "engine/ask/touch.h"
#include "engine/engine_testkit.h"

static const int64_t BOUNDS[] = {KIT_ORIGIN_MS, KIT_ORIGIN_MS + 2 * PART_WEEK_MS};
static const ScanSelect ALL = {.from_ms = KIT_ORIGIN_MS, .to_ms = KIT_ORIGIN_MS + 2 * PART_WEEK_MS};
static const ScanProp PROP = {KIT_PROP(0), 0};

static Err ask_paths(Ctx *ctx, const Query *q)
{
    PathResult out;
    return query_paths(ctx, q, &(Path){.of = ALL, .steps = 3, .top = 3, .gap_ms = 1000}, &out);
}

static Err ask_transitions(Ctx *ctx, const Query *q)
{
    TransitionsResult out;
    return query_transitions(ctx, q, &(Transitions){.of = ALL, .gap_ms = 1000, .top = 3}, &out);
}

/* Milliseconds at the edges of the range decide: it is scanned. */
static Err ask_scanned_transitions(Ctx *ctx, const Query *q)
{
    TransitionsResult out;
    return query_transitions(ctx, q, &(Transitions){.of = ALL, .gap_ms = 1001, .top = 3}, &out);
}

static Err ask_sessions(Ctx *ctx, const Query *q)
{
    SessionsResult out;
    const Sessions s = {.of = ALL,
                        .bounds = BOUNDS,
                        .bucket_count = 1,
                        .max_ms = SESSION_MS_MAX,
                        .breakdown = &PROP,
                        .breakdown_count = 1,
                        .top = 2,
                        .median = true};
    return query_sessions(ctx, q, &s, &out);
}

static Err ask_touches(Ctx *ctx, const Query *q)
{
    TouchResult out;
    const Touch t = {
        .conversion = ALL, .touch = ALL, .breakdown = &PROP, .breakdown_count = 1, .top = 2};
    return query_touch(ctx, q, &t, &out);
}

static Err (*const ASK[])(Ctx *ctx, const Query *q) = {
    ask_paths, ask_transitions, ask_scanned_transitions, ask_sessions, ask_touches};

TEST(paths_sessions_and_touches_end_at_their_deadline_or_when_they_are_stopped)
{
    const KitShape shape = {.rows = 2000, .persons = 20000, .events = 5, .weeks = 2};
    const atomic_bool stop = true;
    Kit k;
    kit_open(&k, 95, &shape, 2);
    Crew *crew = crew_new(2);
    for (size_t i = 0; i < ARRAY_LEN(ASK); i++) {
        Query q = {.view = &k.view, .crew = crew, .until_us = clock_mono_us()};
        EXPECT_I64(ASK[i](&k.ctx, &q), ERR_BUSY);
        EXPECT_STREQ(k.ctx.fault.reason, "query.deadline");
        q = (Query){.view = &k.view, .crew = crew, .stop = &stop};
        EXPECT_I64(ASK[i](&k.ctx, &q), ERR_CONFLICT);
        EXPECT_STREQ(k.ctx.fault.reason, "query.stopped");
        q = (Query){.view = &k.view, .crew = crew, .until_us = clock_mono_us() + 60000000};
        EXPECT_I64(ASK[i](&k.ctx, &q), ERR_OK);
    }
    crew_free(crew);
    kit_close(&k);
}

TEST(paths_sessions_and_touches_that_meet_damage_give_no_answer)
{
    const KitShape shape = {.rows = 500, .persons = 300, .events = 3, .weeks = 2};
    Crew *crew = crew_new(2);
    for (size_t i = 0; i < ARRAY_LEN(ASK); i++) {
        Kit k;
        kit_open(&k, 96, &shape, 2);
        kit_merge(&k, 4);
        const Part *part = k.view.parts[1];
        for (uint32_t piece = 0; piece <= part->head->piece_count / 64; piece++)
            part->good[piece] = 0; /* as if it came from a file */
        ((char *)(uintptr_t)part->bytes.ptr)[part->head->sequence_at] ^= 1;
        EXPECT_I64(ASK[i](&k.ctx, &(Query){.view = &k.view, .crew = crew}), ERR_INTERNAL);
        EXPECT_STREQ(k.ctx.fault.reason, "events.part_damaged");
        kit_close(&k);
    }
    crew_free(crew);
}

/* ---- limits -------------------------------------------------------------------------------------- */

static void refused(Kit *k, Err err)
{
    EXPECT_I64(err, ERR_INVALID);
    EXPECT_STREQ(k->ctx.fault.reason, "query.too_large");
}

TEST(paths_sessions_and_touches_beyond_the_limits_are_refused)
{
    const KitShape shape = {.rows = 10, .persons = 10, .events = 2, .weeks = 1};
    Kit k;
    kit_open(&k, 97, &shape, 1);
    Crew *crew = crew_new(1);
    const Query q = {.view = &k.view, .crew = crew};
    PathResult paths;
    TransitionsResult transitions;
    SessionsResult sessions;
    TouchResult touches;
    const Path bad_paths[] = {{.of = ALL, .top = 1},
                              {.of = ALL, .top = 1, .steps = PATH_STEPS_MAX + 1},
                              {.of = ALL, .steps = 1},
                              {.of = ALL, .steps = 1, .top = PATH_TOP_MAX + 1}};
    for (size_t i = 0; i < ARRAY_LEN(bad_paths); i++)
        refused(&k, query_paths(&k.ctx, &q, &bad_paths[i], &paths));
    const Transitions bad_pairs[] = {{.of = ALL}, {.of = ALL, .top = PATH_ROWS_MAX + 1}};
    for (size_t i = 0; i < ARRAY_LEN(bad_pairs); i++)
        refused(&k, query_transitions(&k.ctx, &q, &bad_pairs[i], &transitions));
    const Sessions bad_sessions[] = {
        {.bounds = BOUNDS},
        {.bounds = BOUNDS, .bucket_count = SESSION_CELLS_MAX},
        {.bounds = BOUNDS,
         .bucket_count = 1,
         .breakdown = &PROP,
         .breakdown_count = 1,
         .top = SESSION_CELLS_MAX / 2},
        {.bounds = BOUNDS, .bucket_count = 1, .names = SESSION_NAMES_MAX + 1}};
    for (size_t i = 0; i < ARRAY_LEN(bad_sessions); i++)
        refused(&k, query_sessions(&k.ctx, &q, &bad_sessions[i], &sessions));
    const Touch bad_touches[] = {
        {.breakdown = &PROP, .top = 1},
        {.breakdown = &PROP, .breakdown_count = QUERY_BREAKDOWNS_MAX + 1, .top = 1},
        {.breakdown = &PROP, .breakdown_count = 1},
        {.breakdown = &PROP, .breakdown_count = 1, .top = QUERY_GROUPS_MAX + 1}};
    for (size_t i = 0; i < ARRAY_LEN(bad_touches); i++)
        refused(&k, query_touch(&k.ctx, &q, &bad_touches[i], &touches));
    crew_free(crew);
    kit_close(&k);
}

/* Rows of one person, each with a value that no other has. */
static void open_values(Kit *k, uint32_t n)
{
    RowBuffer b = {0};
    *k = (Kit){.ctx.arena = arena_new(1 << 20), .view.person_count = PART_BLOCK_PERSONS + 1};
    for (uint32_t i = 0; i < n; i++) {
        rows_add(&b, KIT_ORIGIN_MS + (int64_t)i * 4000, PART_BLOCK_PERSONS, 1);
        rows_value(&b, KIT_PROP(0), PART_NUMBERS, 0, i);
    }
    CHECK(rows_build(&k->ctx, &b, KIT_ORIGIN_MS, 1, 2, &k->view.parts, &k->view.part_count) ==
          ERR_OK);
    rows_free(&b);
}

/* Each row is a path, a session and a conversion of its own; `over`: by one too many. */
static void expect_values(uint32_t n, bool over)
{
    Kit k;
    open_values(&k, n);
    Crew *crew = crew_new(1);
    const Query q = {.view = &k.view, .crew = crew};
    const Err want = over ? ERR_INVALID : ERR_OK;
    const Path path = {.of = ALL, .steps = 2, .top = 1, .gap_ms = 10, .prop = &PROP};
    const Sessions s = {.of = ALL,
                        .bounds = BOUNDS,
                        .bucket_count = 1,
                        .gap_ms = 10,
                        .max_ms = SESSION_MS_MAX,
                        .breakdown = &PROP,
                        .breakdown_count = 1,
                        .top = 1};
    const Touch t = {.conversion = ALL,
                     .touch = ALL,
                     .look_back_ms = 4000,
                     .breakdown = &PROP,
                     .breakdown_count = 1,
                     .top = 1};
    PathResult paths;
    SessionsResult sessions;
    TouchResult touches;
    EXPECT_I64(query_paths(&k.ctx, &q, &path, &paths), want);
    EXPECT_I64(query_sessions(&k.ctx, &q, &s, &sessions), want);
    EXPECT_I64(query_touch(&k.ctx, &q, &t, &touches), n > TOUCH_VALUES_MAX + 1 ? want : ERR_OK);
    if (over)
        EXPECT_STREQ(k.ctx.fault.reason, "query.too_large");
    else
        EXPECT_I64(paths.steps[0].distinct, n);
    crew_free(crew);
    kit_close(&k);
}

TEST(so_many_different_values_are_counted_and_one_more_is_refused)
{
    _Static_assert((int)PATH_NODES_MAX == (int)SESSION_VALUES_MAX &&
                       (int)PATH_NODES_MAX == (int)TOUCH_VALUES_MAX,
                   "they are tried together");
    expect_values(PATH_NODES_MAX, false);
    expect_values(PATH_NODES_MAX + 2, true);
}

/* One person does every pair of `n` names once, but the one from the last row to the first: a sequence of
 * de Bruijn. */
static Err ask_pairs(uint32_t n, TransitionsResult *out)
{
    Kit k = {.ctx.arena = arena_new(1 << 20), .view.person_count = PART_BLOCK_PERSONS + 1};
    RowBuffer b = {0};
    int64_t at_ms = KIT_ORIGIN_MS;
    for (uint32_t i = 0; i < n; i++) {
        rows_add(&b, at_ms += 500, PART_BLOCK_PERSONS, 1 + i);
        for (uint32_t j = i + 1; j < n; j++) {
            rows_add(&b, at_ms += 500, PART_BLOCK_PERSONS, 1 + i);
            rows_add(&b, at_ms += 500, PART_BLOCK_PERSONS, 1 + j);
        }
    }
    CHECK(rows_build(&k.ctx, &b, KIT_ORIGIN_MS, 1, 2, &k.view.parts, &k.view.part_count) == ERR_OK);
    rows_free(&b);
    Crew *crew = crew_new(1);
    const Transitions t = {.of = ALL, .gap_ms = 1000, .repeats = true, .top = 1};
    const Err err = query_transitions(&k.ctx, &(Query){.view = &k.view, .crew = crew}, &t, out);
    if (err != ERR_OK)
        EXPECT_STREQ(k.ctx.fault.reason, "query.too_large");
    crew_free(crew);
    kit_close(&k);
    return err;
}

TEST(so_many_different_transitions_are_counted_and_more_are_refused)
{
    _Static_assert(PATH_PAIRS_MAX == 1024 * 1024, "so many names have as many pairs");
    TransitionsResult got;
    EXPECT_I64(ask_pairs(1024, &got), ERR_OK);
    EXPECT_I64(got.distinct, PATH_PAIRS_MAX - 1);
    EXPECT_I64((int64_t)got.total, PATH_PAIRS_MAX - 1);
    EXPECT_I64(ask_pairs(1025, &got), ERR_INVALID);
}
