/*
 * engine/scan/scan_test.c -- the inner door against the slow obvious way, on random rows, selects, ranges.
 */
#include "engine/ask/trend.h"
#include "engine/engine_testkit.h"
#include "engine/merge.h"
#include "engine/scan/buckets.h"

#include <stdlib.h>

typedef struct Question {
    ScanSelect selects[4];
    uint32_t select_count;
    uint32_t events[4][8];
} Question;

static int by_u32(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void random_select(Kit *k, const KitShape *shape, ScanSelect *s, uint32_t *events)
{
    const int64_t span = (int64_t)shape->weeks * PART_WEEK_MS;
    s->from_ms = 0;
    s->to_ms = INT64_MAX;
    if (kit_below(k, 2) == 0) {
        s->from_ms = KIT_ORIGIN_MS + (int64_t)prng_below(&k->random, (uint64_t)span);
        s->to_ms = s->from_ms + (int64_t)prng_below(&k->random, (uint64_t)span);
    }
    s->event_count = kit_below(k, 5);
    for (uint32_t i = 0; i < s->event_count; i++)
        events[i] = 1 + kit_below(k, shape->events);
    qsort(events, s->event_count, sizeof *events, by_u32);
    s->events = s->event_count > 0 ? events : NULL;
    s->filter = kit_below(k, 3) == 0 ? NULL : kit_filter(k, 3);
}

static bool select_takes(const ScanSelect *s, const KitRow *r)
{
    bool named = s->events == NULL;
    for (uint32_t i = 0; i < s->event_count; i++)
        named = named || s->events[i] == r->event;
    return named && r->time_ms >= s->from_ms && r->time_ms < s->to_ms &&
           (s->filter == NULL || kit_fulfils(s->filter, r));
}

static uint32_t selects_of(const Question *q, const KitRow *r)
{
    uint32_t bits = 0;
    for (uint32_t i = 0; i < q->select_count; i++)
        bits |= select_takes(&q->selects[i], r) ? 1U << i : 0;
    return bits;
}

static void compare_row(const ScanBatch *b, const Scanner *s, uint32_t row, const KitRow *want,
                        uint32_t bits)
{
    EXPECT_I64(b->rows[row].selects, bits);
    EXPECT_I64(scanner_base_ms(s) + scan_ms(b, row), want->time_ms);
    CHECK(b->events == NULL || b->events[row] == want->event);
    for (uint32_t p = 0; p < KIT_PROPS; p++) {
        EXPECT_I64(b->values[p][row], want->values[p]);
    }
}

/* Where the rows behind the batch begin. */
static uint32_t compare_batch(Kit *k, const Question *q, const Scanner *s, const ScanBatch *b,
                              KitRow *const *sorted, uint32_t at)
{
    CHECK(b->person_count == 1 || k->view.batch_rows == 0 ||
          b->from[b->person_count] <= k->view.batch_rows);
    for (uint32_t i = 0; i < b->person_count; i++)
        for (uint32_t row = b->from[i]; row < b->from[i + 1]; row++, at++) {
            while (at < k->count && selects_of(q, sorted[at]) == 0)
                at++;
            CHECK(at < k->count);
            EXPECT_I64(b->persons[i], sorted[at]->person);
            compare_row(b, s, row, sorted[at], selects_of(q, sorted[at]));
        }
    return at;
}

static void ask_batches(Kit *k, const Question *q)
{
    static const ScanProp props[KIT_PROPS] = {
        {KIT_PROP(0), 0}, {KIT_PROP(1), 0}, {KIT_PROP(2), 2}, {KIT_PROP(3), 0}};
    const ScanAsk ask = {q->selects, q->select_count, props, KIT_PROPS, true};
    Scanner *s = scanner_new(&k->view, &ask);
    KitRow **sorted = kit_sorted(k);
    uint32_t at = 0;
    for (uint32_t piece = 0; piece < scan_pieces(&k->view); piece++) {
        ScanBatch b;
        while (scanner_batch(s, piece, &b))
            at = compare_batch(k, q, s, &b, sorted, at);
    }
    while (at < k->count && selects_of(q, sorted[at]) == 0)
        at++;
    EXPECT_I64(at, k->count);
    EXPECT_I64((int64_t)scanner_damaged(s), 0);
    scanner_free(s);
}

/* Stretches are the same rows: by person they come in order, however they are cut. */
typedef struct Order {
    int64_t base_ms;
    int64_t *last_ms; /* by person */
    uint64_t rows, check;
} Order;

static uint64_t order_check(uint32_t person, int64_t at_ms, uint64_t bits, int64_t code)
{
    return ((uint64_t)person * UINT64_C(1000003) + (uint64_t)at_ms) * bits + (uint64_t)code * bits;
}

static void add_stretch(const ScanStretch *s, void *arg)
{
    Order *o = arg;
    for (uint32_t i = 0; i < s->count; i++) {
        const uint32_t bits = s->bits != NULL ? s->bits[i] : s->of_list[s->lists[i]];
        if (bits == 0)
            continue;
        const uint32_t person = s->first_person + (s->keys[i] >> PART_SECOND_BITS);
        const int64_t second = s->week_s + (s->keys[i] & PART_SECOND_MASK);
        const int64_t at = o->base_ms + second * 1000 + (s->ms ? s->ms[i] : 0);
        CHECK(at >= o->last_ms[person] && (i == 0 || s->keys[i] >= s->keys[i - 1]));
        o->last_ms[person] = at;
        o->rows++;
        o->check += order_check(person, at, bits, s->codes == NULL ? 0 : s->codes[i]);
    }
}

static void ask_stretches(Kit *k, const Question *q, uint32_t prop_count)
{
    static const ScanProp text = {KIT_PROP(0), 0};
    const ScanAsk ask = {.selects = q->selects,
                         .select_count = q->select_count,
                         .props = &text,
                         .prop_count = prop_count};
    Scanner *s = scanner_new(&k->view, &ask);
    Order o = {.base_ms = scanner_base_ms(s),
               .last_ms = ARENA_ARRAY(k->ctx.arena, int64_t, k->view.person_count)};
    const uint32_t largest = scan_largest_code(&k->view, &ask, text);
    uint64_t rows = 0, check = 0;
    for (uint32_t piece = 0; piece < scan_pieces(&k->view); piece++)
        scanner_stretches(s, piece, add_stretch, &o);
    for (uint32_t i = 0; i < k->count; i++) {
        const KitRow *r = &k->rows[i];
        const uint64_t bits = selects_of(q, r);
        const int64_t code = r->values[0] == SCAN_MISSING ? 0 : r->values[0];
        rows += bits != 0;
        check += order_check(r->person, r->time_ms, bits, prop_count == 0 ? 0 : code);
        CHECK(bits == 0 || code <= (int64_t)largest);
    }
    EXPECT_I64((int64_t)o.rows, (int64_t)rows);
    CHECK(o.check == check);
    scanner_free(s);
}

typedef struct Sums {
    uint64_t rows[4], check[4]; /* per select: how many, and a sum over person and second */
} Sums;

static uint64_t mixed(uint32_t person, int64_t second)
{
    return (uint64_t)person * UINT64_C(1000003) + (uint64_t)second;
}

static void add_loose(const ScanLoose *l, void *arg)
{
    Sums *sums = arg;
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->mask != NULL && l->mask[i] == 0)
            continue;
        const int64_t second = l->base_ms / 1000 + (l->keys[i] & PART_SECOND_MASK);
        sums->rows[l->select]++;
        sums->check[l->select] += mixed(l->first_person + (l->keys[i] >> PART_SECOND_BITS), second);
    }
}

static void ask_loose(Kit *k, const Question *q)
{
    const ScanAsk ask = {q->selects, q->select_count, NULL, 0};
    Scanner *s = scanner_new(&k->view, &ask);
    Sums got = {0}, want = {0};
    for (uint32_t piece = 0; piece < scan_pieces(&k->view); piece++)
        scanner_loose(s, piece, add_loose, &got);
    for (uint32_t i = 0; i < k->count; i++)
        for (uint32_t j = 0; j < q->select_count; j++)
            if (select_takes(&q->selects[j], &k->rows[i])) {
                want.rows[j]++;
                want.check[j] += mixed(k->rows[i].person, k->rows[i].time_ms / 1000);
            }
    CHECK(memcmp(&got, &want, sizeof got) == 0);
    scanner_free(s);
}

static void ask_at_random(uint64_t seed, const KitShape *shape, uint32_t slices, int questions)
{
    Kit k;
    kit_open(&k, seed, shape, slices);
    if (seed % 2 == 0)
        kit_merge(&k, 2 + kit_below(&k, 4));
    for (int i = 0; i < questions; i++) {
        Question q = {.select_count = 1 + kit_below(&k, 4)};
        for (uint32_t s = 0; s < q.select_count; s++)
            random_select(&k, shape, &q.selects[s], q.events[s]);
        ask_batches(&k, &q);
        ask_stretches(&k, &q, 0);
        ask_stretches(&k, &q, 1);
        ask_loose(&k, &q);
    }
    kit_close(&k);
}

static void ask_shapes(void)
{
    static const KitShape shapes[] = {
        {.rows = 3000, .persons = 100, .events = 6, .weeks = 3, .ties = 10},
        {.rows = 3000, .persons = 9000, .events = 30, .weeks = 2, .whole_seconds = true},
        {.rows = 6000, .persons = 3000, .events = 900, .weeks = 1, .ties = 50},
        {.rows = 40, .persons = 5, .events = 3, .weeks = 5},
        {.rows = 3000,
         .persons = 9000,
         .events = 6,
         .weeks = 4,
         .whole_weeks = 2,
         .whole_names = 2},
    };
    for (uint64_t seed = 1; seed <= 3; seed++)
        for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
            for (uint32_t slices = 1; slices <= 5; slices += 4)
                ask_at_random(100 * seed + i, &shapes[i], slices, 12);
}

TEST(a_block_of_more_rows_than_wait_at_a_time_is_merged_in_their_order)
{
    const KitShape shapes[] = {
        {.rows = 50000, .persons = 2, .events = 5, .weeks = 1, .whole_seconds = true, .ties = 95},
        {.rows = 50000, .persons = 300, .events = 700, .weeks = 1, .ties = 20},
    };
    for (uint32_t i = 0; i < ARRAY_LEN(shapes); i++)
        for (uint32_t slices = 3; slices <= 12; slices += 9)
            ask_at_random(2 * i, &shapes[i], slices, 3);
}

/* More rows, and more blocks, than go together. */
TEST(blocks_of_few_rows_are_merged_together_in_their_order)
{
    const KitShape shapes[] = {
        {.rows = 150000, .persons = 300000, .events = 30, .weeks = 1, .ties = 20, .nobody = 1},
        {.rows = 20000, .persons = 12000000, .events = 300, .weeks = 1, .ties = 20},
    };
    for (uint32_t i = 0; i < ARRAY_LEN(shapes); i++)
        ask_at_random(2 * i, &shapes[i], 5, 3);
}

TEST(a_merged_week_is_one_part_and_takes_fewer_bytes)
{
    const KitShape shape = {.rows = 4000, .persons = 5000, .events = 20, .weeks = 2};
    Kit k;
    kit_open(&k, 5, &shape, 6);
    uint64_t before = 0, after = 0;
    for (uint32_t i = 0; i < k.view.part_count; i++)
        before += k.view.parts[i]->bytes.len;
    kit_merge(&k, 6);
    EXPECT_I64(k.view.part_count, 2);
    for (uint32_t i = 0; i < 2; i++)
        after += k.view.parts[i]->bytes.len;
    CHECK(after < before);
    EXPECT_I64((int64_t)k.view.parts[0]->head->from_seq, 1);
    EXPECT_I64((int64_t)k.view.parts[0]->head->to_seq, 7);
    kit_close(&k);
}

TEST(batches_stretches_and_loose_rows_are_those_of_the_slow_way_with_every_kernel)
{
    kit_each_kernel(ask_shapes);
}

TEST(a_person_with_very_many_events_in_overlapping_parts_comes_in_order)
{
    const KitShape shape = {.rows = 200000, .persons = 1, .events = 3, .weeks = 1, .ties = 5};
    Kit k;
    kit_open(&k, 7, &shape, 8);
    const Question q = {.selects = {{.from_ms = 0, .to_ms = INT64_MAX}}, .select_count = 1};
    ask_batches(&k, &q);
    ask_stretches(&k, &q, 0);
    ask_stretches(&k, &q, 1);
    kit_close(&k);
}

/* ---- what the ends of columns tell ---------------------------------------------------------------- */

/* How many rows of a list fulfil it. */
static uint32_t count_rows(const Filter *f, Part *part, const PartList *list)
{
    FilterScratch scratch = {0};
    uint32_t count = 0, cursor = 0;
    for (uint32_t i = 0; i < list->dir_count; i++) {
        const uint32_t block = part->dir[list->first_dir + i].block;
        const PartRows rows = part_list_rows(part, list, block, &cursor);
        uint32_t *keys = malloc((rows.count + KERNEL_SLACK) * sizeof *keys);
        uint8_t *mask = malloc(rows.count + KERNEL_SLACK);
        CHECK(keys != NULL && mask != NULL && part_read_keys(part, &rows, keys));
        const FilterRows at = {part, list, rows.first, rows.count, block, keys};
        CHECK(filter_rows(f, &at, &scratch, mask));
        for (uint32_t row = 0; row < rows.count; row++)
            count += mask[row];
        free(keys);
        free(mask);
    }
    filter_scratch_free(&scratch);
    return count;
}

static void judge(Kit *k, const Filter *f, uint32_t told[])
{
    for (uint32_t p = 0; p < k->view.part_count; p++)
        for (uint32_t l = 0; l < k->view.parts[p]->head->list_count; l++) {
            const PartList *list = &k->view.parts[p]->lists[l];
            const FilterVerdict verdict = filter_verdict(f, k->view.parts[p], list);
            const uint32_t count = count_rows(f, k->view.parts[p], list);
            told[verdict]++;
            CHECK(verdict != FILTER_OF_NONE || count == 0);
            CHECK(verdict != FILTER_OF_ALL || count == list->rows);
        }
}

TEST(what_a_filter_is_said_to_take_of_a_list_without_a_look_is_what_it_takes)
{
    const KitShape shape = {.rows = 300, .persons = 40, .events = 12, .weeks = 2};
    uint32_t told[3] = {0};
    for (uint64_t seed = 1; seed <= 10; seed++) {
        Kit k;
        kit_open(&k, seed, &shape, 2);
        for (int i = 0; i < 100; i++)
            judge(&k, kit_filter(&k, 3), told);
        kit_close(&k);
    }
    CHECK(told[FILTER_OF_NONE] > 1000 && told[FILTER_OF_SOME] > 1000 && told[FILTER_OF_ALL] > 1000);
}

/* ---- too many rows of one person -------------------------------------------------------------------- */

/* What a question of one kind was given of all pieces. */
typedef struct Given {
    Scanner *scanner;
    uint64_t rows, persons;
} Given;

static void count_stretch(const ScanStretch *s, void *arg)
{
    Given *g = arg;
    for (uint32_t i = 0; i < s->count; i++)
        g->rows += (s->bits != NULL ? s->bits[i] : s->of_list[s->lists[i]]) != 0;
}

static void count_loose(const ScanLoose *l, void *arg)
{
    Given *g = arg;
    for (uint32_t i = 0; i < l->count; i++)
        g->rows += l->mask == NULL || l->mask[i] != 0;
}

static void give_batches(uint32_t worker, uint32_t piece, void *arg)
{
    Given *g = arg;
    ScanBatch b;
    (void)worker;
    while (scanner_batch(g->scanner, piece, &b)) {
        g->rows += b.from[b.person_count];
        g->persons += b.person_count;
    }
}

static void give_stretches(uint32_t worker, uint32_t piece, void *arg)
{
    (void)worker;
    scanner_stretches(((Given *)arg)->scanner, piece, count_stretch, arg);
}

static void give_loose(uint32_t worker, uint32_t piece, void *arg)
{
    (void)worker;
    scanner_loose(((Given *)arg)->scanner, piece, count_loose, arg);
}

static Err ask_kit(Kit *k, const Filter *filter,
                   void (*piece)(uint32_t worker, uint32_t piece, void *arg), Given *out)
{
    const ScanSelect all = {.to_ms = INT64_MAX, .filter = filter};
    Crew *crew = crew_new(1);
    *out =
        (Given){.scanner = scanner_new(&k->view, &(ScanAsk){.selects = &all, .select_count = 1})};
    const CrewJob job = {.pieces = scan_pieces(&k->view), .piece = piece, .arg = out};
    const Err err = crew_run(&k->ctx, crew, &job);
    CHECK((err == ERR_OK) == (scanner_damaged(out->scanner) == 0));
    scanner_free(out->scanner);
    crew_free(crew);
    return err;
}

TEST(who_has_too_many_rows_to_be_put_into_order_is_refused_and_else_they_are_read_in_passes)
{
    const KitShape shape = {.rows = 60000, .persons = 3, .events = 3, .weeks = 2, .ties = 5};
    const Filter few = {.kind = FILTER_RANGE, .prop = KIT_PROP(3), .min = 7, .max = 9, .scale = 0};
    Kit k;
    Given g;
    kit_open(&k, 1, &shape, 4);
    k.view.batch_rows = 3000;
    k.view.person_rows_max = 15000;
    CHECK(scan_has_large_block(&k.view));
    EXPECT_I64(ask_kit(&k, NULL, give_batches, &g), ERR_INVALID);
    EXPECT_STREQ(k.ctx.fault.reason, "query.too_large");
    CHECK(g.persons < 3);
    EXPECT_I64(ask_kit(&k, NULL, give_stretches, &g), ERR_OK);
    EXPECT_I64((int64_t)g.rows, k.count);
    EXPECT_I64(ask_kit(&k, NULL, give_loose, &g), ERR_OK);
    EXPECT_I64((int64_t)g.rows, k.count);
    EXPECT_I64(ask_kit(&k, &few, give_batches, &g), ERR_OK); /* few of each are left */
    CHECK(g.persons == 3 && g.rows > 0 && g.rows < 15000);
    k.view.person_rows_max = 60000;
    CHECK(!scan_has_large_block(&k.view));
    EXPECT_I64(ask_kit(&k, NULL, give_batches, &g), ERR_OK);
    EXPECT_I64((int64_t)g.rows, k.count);
    kit_close(&k);
}

/* ---- parts with dead rows --------------------------------------------------------------------------- */

static Part *merged(Kit *k, Part *const *parts, uint32_t count, const Moved *moved)
{
    Buf bytes = BUF_MAX(1 << 24);
    Part *out = NULL;
    CHECK(parts_merge(&k->ctx, &(PartsMerge){parts, count, moved, 1 << 24, NULL, false},
                      part_sink_buf, &bytes) == ERR_OK);
    CHECK(part_open(&k->ctx, buf_str(&bytes), false, 0, &out) == ERR_OK);
    return out;
}

/* A week of one row, whose person was moved since. */
static Part *part_without_rows(Kit *k, Moved **moved)
{
    RowBuffer b = {0};
    *k = (Kit){.ctx.arena = arena_new(1 << 16), .view.person_count = PART_BLOCK_PERSONS + 1};
    rows_add(&b, KIT_ORIGIN_MS, PART_BLOCK_PERSONS, 3);
    CHECK(rows_build(&k->ctx, &b, KIT_ORIGIN_MS, 1, 2, &k->view.parts, &k->view.part_count) ==
          ERR_OK);
    rows_free(&b);
    *moved = moved_next(moved_new(), PART_BLOCK_PERSONS);
    return merged(k, k->view.parts, 1, *moved);
}

TEST(a_part_all_of_whose_rows_are_dead_is_merged_again_and_again)
{
    Kit k;
    Moved *moved = NULL;
    Part *once = part_without_rows(&k, &moved);
    Part *twice = merged(&k, &once, 1, moved);
    EXPECT_I64(once->head->rows + twice->head->rows, 0);
    part_unref(once);
    part_unref(twice);
    moved_unref(moved);
    kit_close(&k);
}

TEST(a_part_without_rows_lies_in_no_bucket_and_takes_no_memory_for_its_places)
{
    Kit k;
    Moved *moved = NULL;
    const int64_t bounds[] = {KIT_ORIGIN_MS, KIT_ORIGIN_MS + 86400000,
                              KIT_ORIGIN_MS + PART_WEEK_MS};
    Part *part = part_without_rows(&k, &moved);
    const BucketPlaces p = bucket_places(k.ctx.arena, bounds, 2, part->head);
    EXPECT_I64(p.first, p.last);
    part_unref(k.view.parts[0]);
    k.view.parts[0] = part;
    Crew *crew = crew_new(1);
    const Query q = {.view = &k.view, .crew = crew};
    const Trend t = {.bounds = bounds, .bucket_count = 2};
    TrendResult got;
    EXPECT_I64(query_trend(&k.ctx, &q, &t, &got), ERR_OK);
    EXPECT_I64((int64_t)(got.series[0].cells[0] + got.series[0].cells[1]), 0);
    crew_free(crew);
    moved_unref(moved);
    kit_close(&k);
}

/* Rows of persons of many blocks, merged together, of which some persons were moved. */
TEST(rows_of_who_was_moved_stay_behind_whatever_block_they_are_of)
{
    const KitShape shape = {.rows = 20000, .persons = 60000, .events = 9, .weeks = 1, .ties = 30};
    const Question all = {.selects = {{.from_ms = 0, .to_ms = INT64_MAX}}, .select_count = 1};
    Kit k;
    kit_open(&k, 9, &shape, 4);
    Moved *moved = moved_new();
    uint64_t *gone = ARENA_ARRAY(k.ctx.arena, uint64_t, k.view.person_count / 64 + 1);
    for (uint32_t i = 0; i < 3000; i++) {
        const uint32_t person = k.rows[kit_below(&k, k.count)].person;
        moved = moved_next(moved, person);
        gone[person / 64] |= UINT64_C(1) << (person & 63);
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < k.count; i++)
        if ((gone[k.rows[i].person / 64] >> (k.rows[i].person & 63) & 1) == 0)
            k.rows[kept++] = k.rows[i];
    CHECK(kept < k.count);
    k.count = kept;
    Part *one = merged(&k, k.view.parts, k.view.part_count, moved);
    EXPECT_I64(one->head->rows, kept);
    for (uint32_t i = 0; i < k.view.part_count; i++)
        part_unref(k.view.parts[i]);
    k.view.parts[0] = one;
    k.view.part_count = 1;
    ask_batches(&k, &all);
    ask_loose(&k, &all);
    moved_unref(moved);
    kit_close(&k);
}
