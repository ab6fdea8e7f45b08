/*
 * engine/ask/query_bound_test.c -- what does not fit: more combinations of values than are counted, more different values
 * than are kept.  The question is refused, and says what to do; it never answers with other series than the top ones.
 */
#include "engine/ask/funnel.h"
#include "engine/ask/lifecycle.h"
#include "engine/ask/retention.h"
#include "engine/ask/trend.h"
#include "engine/engine_testkit.h"

static Kit kit;
static Crew *crew;
static const int64_t BOUNDS[] = {KIT_ORIGIN_MS, KIT_ORIGIN_MS + PART_WEEK_MS};
static const ScanSelect ALL = {.from_ms = KIT_ORIGIN_MS, .to_ms = KIT_ORIGIN_MS + PART_WEEK_MS};

/* Codes, rare codes, and numbers of which nearly all differ. */
static const ScanProp PROPS[] = {
    {KIT_PROP(0), 0, false}, {KIT_PROP(1), 0, false}, {KIT_PROP(3), 0, false}};

static Err ask_trend(Ctx *ctx, const Query *q, uint32_t first, uint32_t props)
{
    TrendResult out;
    const Trend t = {.select = ALL,
                     .bounds = BOUNDS,
                     .bucket_count = 1,
                     .breakdown = PROPS + first,
                     .breakdown_count = props,
                     .top = 3};
    return query_trend(ctx, q, &t, &out);
}

static Err ask_funnel(Ctx *ctx, const Query *q, uint32_t first, uint32_t props)
{
    FunnelResult out;
    const Funnel f = {.steps = &ALL,
                      .step_count = 1,
                      .entry = FUNNEL_ALL,
                      .breakdown = PROPS + first,
                      .breakdown_count = props,
                      .top = 3};
    return query_funnel(ctx, q, &f, &out);
}

static Err ask_retention(Ctx *ctx, const Query *q, uint32_t first, uint32_t props)
{
    RetentionResult out;
    const Retention r = {.start = ALL,
                         .comes_back = ALL,
                         .bounds = BOUNDS,
                         .interval_count = 1,
                         .cohort_count = 1,
                         .starts_end_ms = BOUNDS[1],
                         .breakdown = PROPS + first,
                         .breakdown_count = props,
                         .top = 3};
    return query_retention(ctx, q, &r, &out);
}

static Err ask_lifecycle(Ctx *ctx, const Query *q, uint32_t first, uint32_t props)
{
    LifecycleResult out;
    const Lifecycle l = {.select = ALL,
                         .bounds = BOUNDS,
                         .interval_count = 1,
                         .breakdown = PROPS + first,
                         .breakdown_count = props,
                         .top = 3};
    return query_lifecycle(ctx, q, &l, &out);
}

TEST(a_breakdown_with_more_combinations_than_are_counted_is_refused_and_says_what_to_do)
{
    static Err (*const ASK[])(Ctx * ctx, const Query *q, uint32_t first, uint32_t props) = {
        ask_trend, ask_funnel, ask_retention, ask_lifecycle};
    const KitShape shape = {
        .rows = QUERY_VALUES_MAX + QUERY_VALUES_MAX / 3, .persons = 3000, .events = 1, .weeks = 1};
    kit_open(&kit, 99, &shape, 1);
    crew = crew_new(2);
    const Query q = {.view = &kit.view, .crew = crew};
    for (size_t i = 0; i < ARRAY_LEN(ASK); i++) {
        EXPECT_I64(ASK[i](&kit.ctx, &q, 0, 2), ERR_OK);
        EXPECT_I64(ASK[i](&kit.ctx, &q, 0, 3), ERR_INVALID);
        EXPECT_STREQ(kit.ctx.fault.reason, "query.too_large");
        CHECK(strstr(kit.ctx.fault.hint, "fewer properties") != NULL);
    }
    crew_free(crew);
    kit_close(&kit);
}

/* Two blocks of persons, looked at one by one, as the seed says: whoever reads one sees half of the combinations. */
TEST(with_many_threads_each_of_them_counts_fewer_combinations)
{
    const KitShape shape = {.rows = QUERY_VALUES_MAX / 5, .persons = 3000, .events = 1, .weeks = 1};
    kit_open(&kit, 110, &shape, 1);
    for (uint32_t threads = 2; threads <= CREW_MAX; threads *= 32) {
        crew = crew_new(threads);
        const Query q = {.view = &kit.view, .crew = crew};
        EXPECT_I64(query_share(&q, QUERY_VALUES_MAX), QUERY_VALUES_MAX / (threads <= 4 ? 1 : 16));
        EXPECT_I64(ask_trend(&kit.ctx, &q, 0, 3), threads <= 4 ? ERR_OK : ERR_INVALID);
        EXPECT_I64(ask_funnel(&kit.ctx, &q, 0, 3), threads <= 4 ? ERR_OK : ERR_INVALID);
        EXPECT_I64(ask_lifecycle(&kit.ctx, &q, 0, 3), threads <= 4 ? ERR_OK : ERR_INVALID);
        crew_free(crew);
    }
    kit_close(&kit);
}

static Err ask_per_person(Ctx *ctx, const Query *q, uint32_t buckets)
{
    TrendResult out;
    int64_t bounds[QUERY_BUCKETS_MAX + 1];
    for (uint32_t b = 0; b <= buckets; b++)
        bounds[b] = KIT_ORIGIN_MS + (int64_t)b * PART_WEEK_MS / buckets;
    const Trend t = {.select = ALL,
                     .measure = TREND_AVERAGE,
                     .of = TREND_OF_PERSON_EVENTS,
                     .bounds = bounds,
                     .bucket_count = buckets};
    return query_trend(ctx, q, &t, &out);
}

/* One block of persons: each has rows in most buckets. */
TEST(what_is_kept_of_persons_is_bounded_for_all_threads_together)
{
    const KitShape shape = {.rows = 900000, .persons = 2000, .events = 1, .weeks = 1};
    kit_open(&kit, 100, &shape, 1);
    for (uint32_t threads = 1; threads <= CREW_MAX; threads *= 8) {
        crew = crew_new(threads);
        const Query q = {.view = &kit.view, .crew = crew};
        const bool fits = 900000 < QUERY_VALUE_CELLS_MAX / threads / 2;
        EXPECT_I64(ask_per_person(&kit.ctx, &q, 10), ERR_OK);
        EXPECT_I64(ask_per_person(&kit.ctx, &q, QUERY_BUCKETS_MAX), fits ? ERR_OK : ERR_INVALID);
        if (!fits) {
            EXPECT_STREQ(kit.ctx.fault.reason, "query.too_large");
            CHECK(strstr(kit.ctx.fault.hint, "longer buckets") != NULL);
        }
        crew_free(crew);
    }
    kit_close(&kit);
}
