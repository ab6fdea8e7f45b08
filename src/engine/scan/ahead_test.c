/*
 * engine/scan/ahead_test.c -- whatever a question reads of a file, the kernel was told of before, and of little else.
 */
#include "engine/scan/ahead.h"

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

#include <sys/mman.h>

enum { WEEKS = 2 };

static Kit kit;
static Crew *crew;
static const int64_t BOUNDS[] = {KIT_ORIGIN_MS, KIT_ORIGIN_MS + PART_WEEK_MS / 2,
                                 KIT_ORIGIN_MS + WEEKS *PART_WEEK_MS};
static const uint32_t NAMES[] = {1, 2};
static const ScanProp PROP = {KIT_PROP(0), 0, false}, RARE = {KIT_PROP(1), 0, false};
static const ScanProp NUMBER = {KIT_PROP(3), 0, false};
static const Filter POSITIVE = {.kind = FILTER_RANGE, .prop = KIT_PROP(2), .min = 1, .max = 5000};
static const Filter *const NOT_POSITIVE[] = {&POSITIVE};
static const Filter FILTER = {.kind = FILTER_NOT, .args = NOT_POSITIVE, .arg_count = 1};

/* The parts as if they were files that nobody has read. */
static void map_parts(void)
{
    for (uint32_t i = 0; i < kit.view.part_count; i++) {
        Part *old = kit.view.parts[i];
        File file = {memfd_create("part", 0)};
        Str map;
        CHECK(file.fd >= 0 && file_write_at(&kit.ctx, file, 0, old->bytes) == ERR_OK);
        CHECK(file_map(&kit.ctx, file, &map) == ERR_OK);
        file_close(&file);
        CHECK(part_open(&kit.ctx, map, true, i + 1, &kit.view.parts[i]) == ERR_OK);
        part_unref(old);
    }
}

static void open_kit(void)
{
    const KitShape shape = {
        .rows = 400000, .persons = 5000, .events = 6, .weeks = WEEKS, .nobody = 5};
    kit_open(&kit, 105, &shape, 1);
    map_parts();
    crew = crew_new(2);
}

static void close_kit(void)
{
    crew_free(crew);
    kit_close(&kit);
}

/* ---- the questions ------------------------------------------------------------------------------- */

static ScanSelect of(uint32_t name, const Filter *filter)
{
    return (ScanSelect){.events = name == 0 ? NULL : &NAMES[name - 1],
                        .event_count = name == 0 ? 0 : 1,
                        .from_ms = BOUNDS[0],
                        .to_ms = BOUNDS[2],
                        .filter = filter};
}

static Err ask_sum(Ctx *ctx, const Query *q)
{
    TrendResult out;
    const Trend t = {.select = of(1, &FILTER),
                     .measure = TREND_SUM,
                     .number = NUMBER,
                     .bounds = BOUNDS,
                     .bucket_count = 2,
                     .breakdown = &RARE,
                     .breakdown_count = 1,
                     .top = 3};
    return query_trend(ctx, q, &t, &out);
}

/* Of which the hours say all. */
static Err ask_counts(Ctx *ctx, const Query *q)
{
    TrendResult out;
    const Trend t = {.select = of(1, NULL), .bounds = BOUNDS, .bucket_count = 2};
    return query_trend(ctx, q, &t, &out);
}

static Err ask_persons(Ctx *ctx, const Query *q)
{
    TrendResult out;
    const Trend t = {
        .select = of(0, NULL), .measure = TREND_PERSONS, .bounds = BOUNDS, .bucket_count = 2};
    return query_trend(ctx, q, &t, &out);
}

static Err ask_funnel(Ctx *ctx, const Query *q)
{
    FunnelResult out;
    const ScanSelect steps[] = {of(1, NULL), of(2, &FILTER)};
    const Funnel f = {.steps = steps,
                      .step_count = 2,
                      .window_ms = 600000,
                      .entry = FUNNEL_BEST,
                      .breakdown = &PROP,
                      .breakdown_count = 1,
                      .top = 2};
    return query_funnel(ctx, q, &f, &out);
}

static Err ask_retention(Ctx *ctx, const Query *q)
{
    RetentionResult out;
    const Retention r = {.start = of(1, NULL),
                         .comes_back = of(2, &FILTER),
                         .bounds = BOUNDS,
                         .interval_count = 2,
                         .cohort_count = 1,
                         .starts_end_ms = BOUNDS[1],
                         .sums = true,
                         .number = NUMBER,
                         .breakdown = &PROP,
                         .breakdown_count = 1,
                         .top = 2};
    return query_retention(ctx, q, &r, &out);
}

static Err ask_activity(Ctx *ctx, const Query *q)
{
    RetentionResult out;
    const Retention r = {.start = of(0, NULL),
                         .comes_back = of(0, NULL),
                         .bounds = BOUNDS,
                         .interval_count = 2,
                         .cohort_count = 1,
                         .starts_end_ms = BOUNDS[1]};
    return query_retention(ctx, q, &r, &out);
}

static Err ask_lifecycle(Ctx *ctx, const Query *q)
{
    LifecycleResult out;
    const Lifecycle l = {.select = of(1, &FILTER),
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
        ctx, q, &(Path){.of = of(0, &FILTER), .prop = &PROP, .steps = 3, .top = 3, .gap_ms = 60000},
        &out);
}

static Err ask_transitions(Ctx *ctx, const Query *q)
{
    TransitionsResult out;
    return query_transitions(ctx, q, &(Transitions){.of = of(0, NULL), .gap_ms = 60000, .top = 3},
                             &out);
}

static Err ask_sessions(Ctx *ctx, const Query *q)
{
    SessionsResult out;
    const Sessions s = {.of = of(0, &FILTER),
                        .bounds = BOUNDS,
                        .bucket_count = 2,
                        .gap_ms = 60000,
                        .max_ms = SESSION_MS_MAX};
    return query_sessions(ctx, q, &s, &out);
}

static Err ask_touches(Ctx *ctx, const Query *q)
{
    TouchResult out;
    const Touch t = {.conversion = of(1, NULL),
                     .touch = of(2, &FILTER),
                     .look_back_ms = 60000,
                     .number = &NUMBER,
                     .breakdown = &PROP,
                     .breakdown_count = 1,
                     .top = 2};
    return query_touch(ctx, q, &t, &out);
}

static Err ask_segment(Ctx *ctx, const Query *q)
{
    SegmentResult out;
    const ScanSelect select = of(1, &FILTER);
    const SegmentRange range = {.from = {.whole = 3}, .to = {.whole = SEGMENT_ENDLESS}};
    const SegmentTest test = {.measure = SEGMENT_SUM, .ranges = &range, .range_count = 1};
    const Segment s = {.kind = SEGMENT_TESTS,
                       .selects = &select,
                       .select_count = 1,
                       .props = &NUMBER,
                       .prop_count = 1,
                       .tests = &test,
                       .test_count = 1};
    return query_segment(ctx, q, &s, &out);
}

/* ---- what was read, and told --------------------------------------------------------------------- */

typedef struct Pieces {
    uint32_t all, read, told, untold; /* untold: read without */
} Pieces;

static Pieces count_pieces(void)
{
    Pieces p = {0};
    for (uint32_t i = 0; i < kit.view.part_count; i++)
        for (uint32_t piece = 0; piece < kit.view.parts[i]->head->piece_count; piece++) {
            const bool read = part_piece_is_known(kit.view.parts[i], piece);
            const bool told = part_piece_is_told(kit.view.parts[i], piece);
            p.all++;
            p.read += read;
            p.told += told;
            p.untold += read && !told;
        }
    return p;
}

/* A second time there is nothing to tell. */
static void expect_told(size_t number, Err (*ask)(Ctx *ctx, const Query *q))
{
    const Query q = {.view = &kit.view, .crew = crew};
    EXPECT_I64(ask(&kit.ctx, &q), ERR_OK);
    const Pieces p = count_pieces();
    if (p.untold > 0 || p.read == 0 || p.told > p.read + p.read / 2) {
        fprintf(stderr, "question %zu: of %u pieces %u were read, %u told, %u read untold\n",
                number, p.all, p.read, p.told, p.untold);
        test_stop();
    }
    EXPECT_I64(ask(&kit.ctx, &q), ERR_OK);
    EXPECT_I64(count_pieces().told, p.told);
}

TEST(whatever_a_question_reads_of_files_the_kernel_was_told_of_and_of_little_else)
{
    static Err (*const ASK[])(Ctx * ctx, const Query *q) = {
        ask_sum,       ask_counts, ask_persons,     ask_funnel,   ask_retention, ask_activity,
        ask_lifecycle, ask_paths,  ask_transitions, ask_sessions, ask_touches,   ask_segment};
    for (size_t i = 0; i < ARRAY_LEN(ASK); i++) {
        open_kit();
        expect_told(i, ASK[i]);
        close_kit();
    }
}

/* ---- order lines --------------------------------------------------------------------------------- */

enum { LINES = 40, SKU, PRICE, SIZE };

/* Orders with up to four lines, in place of the kit's rows. */
static void open_orders(void)
{
    kit = (Kit){.ctx.arena = arena_new(1 << 20), .random = prng_of(106)};
    kit.view.person_count = PART_BLOCK_PERSONS + 5000;
    RowBuffer b = {0};
    for (uint32_t i = 0; i < 150000; i++) {
        const uint32_t lines = kit_below(&kit, 5);
        rows_add(&b, KIT_ORIGIN_MS + kit_below(&kit, 604800) * INT64_C(1000),
                 PART_BLOCK_PERSONS + kit_below(&kit, 5000), 1 + kit_below(&kit, 2));
        rows_list(&b, LINES, lines);
        for (uint32_t line = 0; line < lines; line++) {
            rows_item(&b);
            rows_item_value(&b, SKU, PART_CODES, 0, 1 + kit_below(&kit, 300));
            rows_item_value(&b, PRICE, PART_NUMBERS, 0, kit_below(&kit, 100000));
            rows_item_value(&b, SIZE, PART_NUMBERS, 0, kit_below(&kit, 1000));
        }
    }
    Part **made = NULL;
    CHECK(rows_build(&kit.ctx, &b, KIT_ORIGIN_MS, 1, 2, &made, &kit.view.part_count) == ERR_OK);
    kit.view.parts = made;
    rows_free(&b);
    map_parts();
    crew = crew_new(2);
}

static Err ask_lines(Ctx *ctx, const Query *q)
{
    TrendResult out;
    const Filter small = {.kind = FILTER_RANGE, .prop = SIZE, .max = 900};
    const ScanItems items = {LINES, &small};
    const ScanProp sku = {SKU, 0, true};
    const Trend t = {.select = of(1, NULL),
                     .items = &items,
                     .measure = TREND_SUM,
                     .number = {PRICE, 0, true},
                     .bounds = BOUNDS,
                     .bucket_count = 2,
                     .breakdown = &sku,
                     .breakdown_count = 1,
                     .top = 3};
    return query_trend(ctx, q, &t, &out);
}

/* Of two products the sum, and whether any line is small. */
static Err ask_orders(Ctx *ctx, const Query *q)
{
    TrendResult out;
    const Filter small = {.kind = FILTER_RANGE, .prop = SIZE, .max = 10};
    const Filter *const args[] = {&small};
    const Filter any = {
        .kind = FILTER_ITEMS, .prop = LINES, .args = args, .arg_count = 1, .min = 1, .max = 99};
    const Filter sum = {.kind = FILTER_ITEMS_SUM,
                        .prop = LINES,
                        .number = PRICE,
                        .low = 1000,
                        .high = FILTER_ENDLESS};
    const Filter *const both[] = {&any, &sum};
    const Filter filter = {.kind = FILTER_AND, .args = both, .arg_count = 2};
    const Trend t = {.select = of(2, &filter), .bounds = BOUNDS, .bucket_count = 2};
    return query_trend(ctx, q, &t, &out);
}

TEST(of_order_lines_too_the_kernel_was_told_whatever_a_question_reads_and_of_little_else)
{
    static Err (*const ASK[])(Ctx * ctx, const Query *q) = {ask_lines, ask_orders};
    for (size_t i = 0; i < ARRAY_LEN(ASK); i++) {
        open_orders();
        expect_told(i, ASK[i]);
        close_kit();
    }
}

TEST(who_is_late_tells_the_kernel_nothing)
{
    open_kit();
    const Query q = {.view = &kit.view, .crew = crew, .until_us = clock_mono_us()};
    EXPECT_I64(ask_paths(&kit.ctx, &q), ERR_BUSY);
    EXPECT_I64(count_pieces().read, 0);
    close_kit();
}
