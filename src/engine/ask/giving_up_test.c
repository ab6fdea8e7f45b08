/*
 * engine/ask/giving_up_test.c -- questions that must end while they are at one piece: nobody's rows of a week, or one person
 * with very many.
 *
 * What is compared is the processor's time, on one thread: how busy the machine is does not matter.
 */
#include "base/clock.h"
#include "engine/ask/funnel.h"
#include "engine/ask/lifecycle.h"
#include "engine/ask/path.h"
#include "engine/ask/retention.h"
#include "engine/ask/segment.h"
#include "engine/ask/session.h"
#include "engine/ask/touch.h"
#include "engine/ask/trend.h"
#include "engine/engine_testkit.h"
#include "engine/scan/strips.h"

enum { ROWS = 1200000 };

static Kit kit;
static Crew *crew;
static const int64_t BOUNDS[] = {KIT_ORIGIN_MS, KIT_ORIGIN_MS + 1000, KIT_ORIGIN_MS + PART_WEEK_MS};
static const uint32_t ONE[] = {1}, TWO[] = {2}, BOTH[] = {1, 2};
static const ScanProp PROP = {KIT_PROP(0), 0, false}, NUMBER = {KIT_PROP(2), 2, false};
static const ScanProp HOLD = {KIT_PROP(1), 0, false};

static ScanSelect of(const uint32_t *events, uint32_t count)
{
    return (ScanSelect){.events = events,
                        .event_count = count,
                        .from_ms = KIT_ORIGIN_MS,
                        .to_ms = KIT_ORIGIN_MS + PART_WEEK_MS};
}

/* ---- the questions ------------------------------------------------------------------------------- */

static Err trend_of(Ctx *ctx, const Query *q, TrendMeasure measure, uint32_t breakdown_count)
{
    TrendResult out;
    const Trend t = {.select = of(BOTH, 2),
                     .measure = measure,
                     .number = NUMBER,
                     .bounds = BOUNDS,
                     .bucket_count = 2,
                     .breakdown = &HOLD,
                     .breakdown_count = breakdown_count,
                     .top = 3};
    return query_trend(ctx, q, &t, &out);
}

static Err ask_sum(Ctx *ctx, const Query *q)
{
    return trend_of(ctx, q, TREND_SUM, 0);
}

static Err ask_distinct_by(Ctx *ctx, const Query *q)
{
    return trend_of(ctx, q, TREND_DISTINCT, 1);
}

static Err ask_persons(Ctx *ctx, const Query *q)
{
    return trend_of(ctx, q, TREND_PERSONS_SO_FAR, 1);
}

static Err funnel_of(Ctx *ctx, const Query *q, FunnelOrder order, FunnelEntry entry, uint32_t holds)
{
    FunnelResult out;
    const ScanSelect steps[] = {of(ONE, 1), of(TWO, 1), of(ONE, 1)};
    const Funnel f = {.steps = steps,
                      .step_count = 3,
                      .window_ms = 60000,
                      .order = order,
                      .entry = entry,
                      .hold = &HOLD,
                      .hold_count = holds};
    return query_funnel(ctx, q, &f, &out);
}

static Err ask_within_sessions(Ctx *ctx, const Query *q)
{
    FunnelResult out;
    const ScanSelect steps[] = {of(ONE, 1), of(TWO, 1), of(ONE, 1)};
    const Funnel f = {.steps = steps,
                      .step_count = 3,
                      .window_ms = PART_WEEK_MS,
                      .window_sessions = 2,
                      .session_gap_ms = 2000,
                      .session_max_ms = 60000};
    return query_funnel(ctx, q, &f, &out);
}

static Err ask_held_steps(Ctx *ctx, const Query *q)
{
    FunnelResult out;
    const ScanSelect steps[] = {of(ONE, 1), of(TWO, 1), of(ONE, 1)};
    const Funnel f = {.steps = steps,
                      .step_count = 3,
                      .window_ms = 60000,
                      .hold = &PROP,
                      .hold_count = 1,
                      .hold_steps = 6,
                      .exclude_persons = true};
    return query_funnel(ctx, q, &f, &out);
}

static Err ask_plain_funnel(Ctx *ctx, const Query *q)
{
    return funnel_of(ctx, q, FUNNEL_SEQUENTIAL, FUNNEL_BEST, 0);
}

static Err ask_every_way(Ctx *ctx, const Query *q)
{
    return funnel_of(ctx, q, FUNNEL_SEQUENTIAL, FUNNEL_ALL, 0);
}

static Err ask_held(Ctx *ctx, const Query *q)
{
    return funnel_of(ctx, q, FUNNEL_SEQUENTIAL, FUNNEL_ALL, 1);
}

static Err ask_any_order(Ctx *ctx, const Query *q)
{
    return funnel_of(ctx, q, FUNNEL_ANY, FUNNEL_BEST, 0);
}

static Err ask_strict(Ctx *ctx, const Query *q)
{
    return funnel_of(ctx, q, FUNNEL_STRICT, FUNNEL_BEST, 0);
}

static Err retention_of(Ctx *ctx, const Query *q, bool sums)
{
    RetentionResult out;
    const Retention r = {.start = of(ONE, 1),
                         .comes_back = of(TWO, 1),
                         .bounds = BOUNDS,
                         .interval_count = 2,
                         .cohort_count = 1,
                         .starts_end_ms = BOUNDS[1],
                         .sums = sums,
                         .number = NUMBER,
                         .breakdown = &PROP,
                         .breakdown_count = 1,
                         .top = 2};
    return query_retention(ctx, q, &r, &out);
}

static Err ask_retention(Ctx *ctx, const Query *q)
{
    return retention_of(ctx, q, false);
}

static Err ask_retention_sums(Ctx *ctx, const Query *q)
{
    return retention_of(ctx, q, true);
}

static Err ask_lifecycle(Ctx *ctx, const Query *q)
{
    LifecycleResult out;
    const Lifecycle l = {.select = of(BOTH, 2),
                         .bounds = BOUNDS,
                         .interval_count = 2,
                         .breakdown = &PROP,
                         .breakdown_count = 1,
                         .top = 2};
    return query_lifecycle(ctx, q, &l, &out);
}

static Err ask_paths(Ctx *ctx, const Query *q)
{
    PathResult out;
    return query_paths(
        ctx, q, &(Path){.of = of(BOTH, 2), .prop = &PROP, .steps = 5, .top = 3, .gap_ms = 100},
        &out);
}

static Err ask_transitions(Ctx *ctx, const Query *q)
{
    TransitionsResult out;
    return query_transitions(ctx, q, &(Transitions){.of = of(BOTH, 2), .gap_ms = 1000, .top = 3},
                             &out);
}

static Err ask_scanned_transitions(Ctx *ctx, const Query *q)
{
    TransitionsResult out;
    return query_transitions(ctx, q, &(Transitions){.of = of(BOTH, 2), .gap_ms = 1001, .top = 3},
                             &out);
}

static Err ask_sessions(Ctx *ctx, const Query *q)
{
    SessionsResult out;
    const Sessions s = {.of = of(BOTH, 2),
                        .bounds = BOUNDS,
                        .bucket_count = 2,
                        .max_ms = SESSION_MS_MAX,
                        .breakdown = &PROP,
                        .breakdown_count = 1,
                        .top = 2};
    return query_sessions(ctx, q, &s, &out);
}

static Err ask_touches(Ctx *ctx, const Query *q)
{
    TouchResult out;
    const Touch t = {.conversion = of(ONE, 1),
                     .touch = of(TWO, 1),
                     .look_back_ms = 1000,
                     .model = TOUCH_LINEAR,
                     .breakdown = &PROP,
                     .breakdown_count = 1,
                     .top = 2};
    return query_touch(ctx, q, &t, &out);
}

static Err ask_sequence(Ctx *ctx, const Query *q)
{
    SegmentResult out;
    const ScanSelect selects[] = {of(ONE, 1), of(TWO, 1), of(ONE, 1)};
    const SegmentLink links[] = {{.span_ms = 0}, {.span_ms = 1}, {.span_ms = 1}};
    const Segment s = {
        .kind = SEGMENT_SEQUENCE, .selects = selects, .select_count = 3, .links = links};
    return query_segment(ctx, q, &s, &out);
}

static Err ask_count(Ctx *ctx, const Query *q)
{
    SegmentResult out;
    const ScanSelect select = of(BOTH, 2);
    const SegmentRange range = {.from = {.whole = 3}, .to = {.whole = SEGMENT_ENDLESS}};
    const SegmentTest test = {.measure = SEGMENT_COUNT, .ranges = &range, .range_count = 1};
    const Segment s = {.kind = SEGMENT_TESTS,
                       .selects = &select,
                       .select_count = 1,
                       .tests = &test,
                       .test_count = 1};
    return query_segment(ctx, q, &s, &out);
}

typedef struct Question {
    const char *name;
    Err (*ask)(Ctx *ctx, const Query *q);
} Question;

static const Question QUESTIONS[] = {
    {"sum", ask_sum},
    {"distinct by", ask_distinct_by},
    {"persons", ask_persons},
    {"plain funnel", ask_plain_funnel},
    {"every way", ask_every_way},
    {"held", ask_held},
    {"held steps", ask_held_steps},
    {"within sessions", ask_within_sessions},
    {"any order", ask_any_order},
    {"strict", ask_strict},
    {"retention", ask_retention},
    {"retention sums", ask_retention_sums},
    {"lifecycle", ask_lifecycle},
    {"paths", ask_paths},
    {"transitions", ask_transitions},
    {"scanned transitions", ask_scanned_transitions},
    {"sessions", ask_sessions},
    {"touches", ask_touches},
    {"sequence", ask_sequence},
    {"count", ask_count},
};

/* ---- how long they take -------------------------------------------------------------------------- */

static int64_t took_us(const Question *question, int64_t within_us, Err *err)
{
    const Query q = {.view = &kit.view,
                     .crew = crew,
                     .until_us = within_us == 0 ? 0 : clock_mono_us() + within_us};
    const int64_t began_us = clock_thread_us();
    *err = question->ask(&kit.ctx, &q);
    return clock_thread_us() - began_us;
}

/* One that would take long ends soon behind its deadline: it was at work for a part of the time only.  What is done
 * within a few looks anyway is no test. */
static void expect_an_end(const Question *question)
{
    enum { FEW_LOOKS_US = 24000 };
    Err err = ERR_OK;
    const int64_t whole_us = took_us(question, 0, &err);
    EXPECT_I64(err, ERR_OK);
    if (whole_us < FEW_LOOKS_US)
        return;
    int64_t some_us = INT64_MAX;
    for (int tries = 0; tries < 3 && some_us > whole_us / 2; tries++) { /* others make one longer */
        const int64_t took = took_us(question, whole_us / 4, &err);
        some_us = took < some_us ? took : some_us;
        EXPECT_I64(err, ERR_BUSY);
        EXPECT_STREQ(kit.ctx.fault.reason, "query.deadline");
    }
    if (some_us > whole_us / 2 && !TEST_IS_SANITIZED) {
        fprintf(stderr, "%s: %" PRId64 " of %" PRId64 " us\n", question->name, some_us, whole_us);
        test_stop();
    }
}

static void each_question_ends(uint32_t nobody, uint32_t slices)
{
    const KitShape shape = {.rows = ROWS,
                            .persons = 1,
                            .events = 2,
                            .weeks = 1,
                            .whole_seconds = true,
                            .nobody = nobody};
    kit_open(&kit, 97, &shape, slices);
    crew = crew_new(1);
    for (size_t i = 0; i < ARRAY_LEN(QUESTIONS); i++)
        expect_an_end(&QUESTIONS[i]);
    crew_free(crew);
    kit_close(&kit);
}

TEST(every_question_ends_at_its_deadline_within_nobodys_rows_of_a_week)
{
    each_question_ends(100, 1);
}

TEST(every_question_ends_at_its_deadline_within_one_person_with_a_million_rows)
{
    each_question_ends(0, 1);
}

TEST(every_question_ends_at_its_deadline_where_parts_of_one_person_overlap)
{
    each_question_ends(0, 3);
}

/* ---- how many rows there are at once ------------------------------------------------------------- */

typedef struct Stretches {
    atomic_bool stop;
    uint32_t rows, most, behind;
} Stretches;

static void take(Stretches *s, uint32_t rows)
{
    s->rows += rows;
    s->most = rows > s->most ? rows : s->most;
    s->behind += s->stop ? rows : 0;
    s->stop = s->rows > ROWS / 3;
}

static void take_loose(const ScanLoose *rows, void *arg)
{
    take(arg, rows->count);
}

static void take_strip(const Strip *strip, void *arg)
{
    take(arg, strip->at.count);
}

static void loose_piece(uint32_t worker, uint32_t piece, void *arg)
{
    (void)worker;
    const ScanSelect select = of(ONE, 1);
    Scanner *s = scanner_new(&kit.view, &(ScanAsk){.selects = &select, .select_count = 1});
    scanner_loose(s, piece, take_loose, arg);
    scanner_free(s);
}

static void strips_piece(uint32_t worker, uint32_t piece, void *arg)
{
    (void)worker;
    const ScanSelect select = of(ONE, 1);
    const bool keys[] = {true};
    Strips *s = strips_new(&kit.view, &(StripAsk){.select = &select, .keys = keys});
    strips_read(s, piece, piece + 1, take_strip, arg);
    strips_free(s);
}

TEST(nobodys_rows_of_a_week_come_a_few_at_a_time_and_no_more_come_once_the_question_is_stopped)
{
    const KitShape shape = {.rows = ROWS, .persons = 1, .events = 1, .weeks = 1, .nobody = 100};
    kit_open(&kit, 98, &shape, 1);
    crew = crew_new(1);
    void (*const pieces[])(uint32_t worker, uint32_t piece, void *arg) = {loose_piece,
                                                                          strips_piece};
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        Stretches s = {.rows = 0};
        CrewJob job = {.pieces = 1, .piece = pieces[i], .arg = &s};
        EXPECT_I64(crew_run(&kit.ctx, crew, &job), ERR_OK);
        EXPECT_I64(s.rows, ROWS);
        CHECK(s.most <= CREW_LOOK_ROWS);
        s = (Stretches){.rows = 0};
        job.stop = &s.stop;
        EXPECT_I64(crew_run(&kit.ctx, crew, &job), ERR_CONFLICT);
        CHECK(s.stop && s.behind <= CREW_LOOK_ROWS);
    }
    crew_free(crew);
    kit_close(&kit);
}
