/*
 * engine/part/part_active_test.c -- who is active in parts, and the scan that asks for them in place of rows.
 */
#include "engine/part/part_active.h"

#include "engine/engine_testkit.h"
#include "engine/scan/scan_whole.h"

#include <pthread.h>
#include <stdlib.h>

/* ---- one part ------------------------------------------------------------------------------------- */

/* Bits of all persons who have rows that the parts of this week hold. */
static uint64_t *slow_active(Kit *k, const Part *part)
{
    uint64_t *bits =
        ARENA_ARRAY(k->ctx.arena, uint64_t, k->view.person_count / 64 + PART_ACTIVE_WORDS);
    for (uint32_t i = 0; i < k->count; i++) {
        const KitRow *r = &k->rows[i];
        if (r->time_ms >= part->head->week_ms && r->time_ms < part->head->week_ms + PART_WEEK_MS)
            bits[r->person / 64] |= UINT64_C(1) << (r->person & 63);
    }
    return bits;
}

typedef struct Asker {
    pthread_t thread;
    Part *part;
    const uint64_t *want;
} Asker;

static void *ask_all(void *arg)
{
    const Asker *a = arg;
    for (uint32_t i = 0; i < a->part->head->block_count; i++) {
        uint64_t room[PART_ACTIVE_WORDS];
        const uint64_t *got = part_active(a->part, i, room);
        CHECK(got != NULL);
        CHECK(memcmp(got, a->want + (size_t)a->part->blocks[i].block * PART_ACTIVE_WORDS,
                     sizeof room) == 0);
    }
    return NULL;
}

static void active_persons(void)
{
    static const KitShape shapes[] = {{.rows = 3000, .persons = 60000, .events = 300, .weeks = 2},
                                      {.rows = 3000, .persons = 9000, .events = 5, .weeks = 2},
                                      {.rows = 20000, .persons = 3000, .events = 5, .weeks = 2}};
    const bool says_it[] = {false, false, true};
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        Kit k;
        kit_open(&k, 300 + i, &shapes[i], 1);
        for (uint32_t p = 0; p < k.view.part_count; p++) {
            const uint64_t *want = slow_active(&k, k.view.parts[p]);
            CHECK((k.view.parts[p]->head->active_at != 0) == says_it[i]);
            Asker askers[4];
            for (size_t a = 0; a < ARRAY_LEN(askers); a++) {
                askers[a] = (Asker){.part = k.view.parts[p], .want = want};
                CHECK(pthread_create(&askers[a].thread, NULL, ask_all, &askers[a]) == 0);
            }
            for (size_t a = 0; a < ARRAY_LEN(askers); a++)
                CHECK(pthread_join(askers[a].thread, NULL) == 0);
            ask_all(&askers[0]); /* once more, of what is kept */
        }
        kit_close(&k);
    }
}

TEST(who_is_active_in_a_part_is_the_same_for_everybody_who_asks_at_once)
{
    kit_each_kernel(active_persons);
}

/* Where a part says who is active: in bits of its own, or in the keys of each list. */
static uint64_t says_at(const Part *part)
{
    return part->head->active_at != 0 ? part->head->active_at : part->lists[0].keys_at;
}

/* The part once more, with a bit of that turned when it is wanted. */
static Part *copy_of(Kit *k, const Part *part, uint8_t turned)
{
    char *bytes = malloc(part->bytes.len);
    Part *copy = NULL;
    CHECK(bytes != NULL);
    memcpy(bytes, part->bytes.ptr, part->bytes.len);
    bytes[says_at(part)] ^= (char)turned;
    CHECK(part_open(&k->ctx, (Str){bytes, part->bytes.len}, false, 1, &copy) == ERR_OK);
    for (uint32_t i = 0; i <= copy->head->piece_count / 64; i++)
        atomic_store(&copy->good[i], 0); /* as of a file */
    return copy;
}

static void damaged_part(uint32_t rows)
{
    const KitShape shape = {.rows = rows, .persons = 100, .events = 5, .weeks = 1};
    Kit k;
    kit_open(&k, 304, &shape, 1); /* an even seed: of few blocks */
    CHECK((k.view.parts[0]->head->active_at != 0) == (rows >= PART_ACTIVE_ROWS));
    for (uint8_t turned = 0; turned < 2; turned++) {
        uint64_t got[PART_ACTIVE_WORDS];
        Part *part = copy_of(&k, k.view.parts[0], turned);
        CHECK((part_active(part, 0, got) != NULL) == (turned == 0));
        CHECK((part_active(part, 0, got) != NULL) ==
              (turned == 0)); /* nothing of the damage is kept */
        CHECK(atomic_load(&part->damaged) == (turned != 0));
        part_unref(part);
    }
    kit_close(&k);
}

TEST(who_is_active_in_a_damaged_part_is_not_said)
{
    damaged_part(PART_ACTIVE_ROWS / 2);
    damaged_part(2 * PART_ACTIVE_ROWS);
}

/* ---- the scan --------------------------------------------------------------------------------------- */

enum { BOUNDS_MAX = 12 };

/* What came, as bits: [select][bucket][person]. */
typedef struct Got {
    const Kit *k;
    int64_t bounds[BOUNDS_MAX + 1];
    uint32_t buckets;
    uint8_t *seen;
    uint32_t wholes, loose;
} Got;

static uint8_t *seen_of(const Got *g, uint32_t select, int64_t at_ms, uint32_t person)
{
    uint32_t bucket = 0;
    while (g->bounds[bucket + 1] <= at_ms)
        bucket++;
    CHECK(bucket < g->buckets && at_ms >= g->bounds[0] && person < g->k->view.person_count);
    return &g->seen[((size_t)select * g->buckets + bucket) * g->k->view.person_count + person];
}

static void take_whole(const WholePart *w, void *arg)
{
    Got *g = arg;
    for (uint32_t i = 0; i < PART_BLOCK_PERSONS; i++)
        if ((w->persons[i / 64] >> (i & 63) & 1) != 0)
            *seen_of(g, w->select, g->bounds[w->place - 1], w->block * PART_BLOCK_PERSONS + i) = 1;
    g->wholes++;
}

static void take_rows(const WholeRows *rows, void *arg)
{
    Got *g = arg;
    const Strip *s = rows->strip;
    CHECK(strip_ranks(rows->times, s));
    const StripCut *cut = s->cuts;
    for (uint32_t i = 0; i < s->at.count; i++) {
        while (i >= cut[1].row)
            cut++;
        const uint32_t place = strip_places(rows->times, s)->first + rows->times->ranks[i];
        const bool is_in = s->set == NULL || (s->set[i / 64] >> (i & 63) & 1) != 0;
        if (is_in && place > 0 && place <= g->buckets)
            *seen_of(g, rows->select, g->bounds[place - 1],
                     cut->block * PART_BLOCK_PERSONS + (s->at.keys[i] >> PART_SECOND_BITS)) = 1;
    }
    g->loose++;
}

enum { MOVED = 4 };

/* Persons who were moved, one a generation, two generations a week: rows of the first week are all older. */
static void move_some(Kit *k, bool know, uint32_t persons[MOVED])
{
    Moved *m = moved_new();
    for (uint32_t i = 0; i < MOVED; i++) {
        persons[i] = k->rows[kit_below(k, k->count)].person;
        m = moved_next(m, persons[i]);
    }
    k->view.moved = m;
    for (uint32_t p = 0; p < k->view.part_count; p++)
        k->view.parts[p]->generation =
            2 * (uint32_t)((k->view.parts[p]->head->week_ms - KIT_ORIGIN_MS) / PART_WEEK_MS);
    if (know)
        kit_know_dead(k);
}

static bool is_dead(const KitRow *row, const uint32_t persons[MOVED])
{
    const uint32_t generation = 2 * (uint32_t)((row->time_ms - KIT_ORIGIN_MS) / PART_WEEK_MS);
    for (uint32_t i = generation; i < MOVED; i++)
        if (persons[i] == row->person)
            return true;
    return false;
}

static void compare_whole(Kit *k, const KitShape *shape, const uint32_t moved[MOVED], Got *sum)
{
    uint32_t events[2][KIT_EVENTS];
    ScanSelect selects[2];
    Got got = {.k = k, .buckets = 1 + kit_below(k, BOUNDS_MAX)};
    got.bounds[0] = KIT_ORIGIN_MS - PART_WEEK_MS + (int64_t)kit_below(k, 2) * 86400000;
    for (uint32_t b = 1; b <= got.buckets; b++)
        got.bounds[b] =
            got.bounds[b - 1] + (1 + kit_below(k, 2)) * (PART_WEEK_MS / (1 + kit_below(k, 2)));
    for (uint32_t s = 0; s < ARRAY_LEN(selects); s++) {
        kit_select(k, shape, 1, events[s], &selects[s]);
        if (kit_below(k, 2) == 0)
            selects[s] = (ScanSelect){.events = NULL};
        selects[s].from_ms = got.bounds[0] + (s == 1 ? (int64_t)kit_below(k, 90000000) : 0);
        selects[s].to_ms = got.bounds[got.buckets] - (s == 1 ? (int64_t)kit_below(k, 3) * 999 : 0);
    }
    const size_t cells = ARRAY_LEN(selects) * got.buckets * k->view.person_count;
    got.seen = ARENA_ARRAY(k->ctx.arena, uint8_t, cells);
    uint8_t *want = ARENA_ARRAY(k->ctx.arena, uint8_t, cells);
    const WholeAsk ask = {selects, ARRAY_LEN(selects), got.bounds, got.buckets};
    WholeScan *s = whole_scan_new(&k->view, &ask);
    const uint32_t at_once = 1 + kit_below(k, 3), end = scan_pieces(&k->view);
    for (uint32_t block = 0; block < end; block += at_once)
        whole_scan(s, block, end - block < at_once ? end : block + at_once,
                   &(WholeTaker){take_whole, take_rows, &got});
    EXPECT_I64((int64_t)whole_scan_damaged(s), 0);
    whole_scan_free(s);
    uint8_t *seen = got.seen;
    got.seen = want;
    for (uint32_t i = 0; i < k->count; i++)
        for (uint32_t select = 0; select < ARRAY_LEN(selects); select++)
            if (k->rows[i].time_ms >= selects[select].from_ms &&
                k->rows[i].time_ms < selects[select].to_ms &&
                kit_takes(&selects[select], &k->rows[i]) && !is_dead(&k->rows[i], moved))
                *seen_of(&got, select, k->rows[i].time_ms, k->rows[i].person) = 1;
    CHECK(memcmp(seen, want, cells) == 0);
    sum->wholes += got.wholes;
    sum->loose += got.loose;
}

static void whole_scans(void)
{
    static const KitShape shapes[] = {{.rows = 1500, .persons = 4000, .events = 300, .weeks = 3},
                                      {.rows = 1500, .persons = 100, .events = 5, .weeks = 3}};
    for (size_t i = 0; i < 2 * ARRAY_LEN(shapes); i++) {
        const KitShape *shape = &shapes[i / 2];
        Got sum = {.wholes = 0};
        Kit k;
        uint32_t moved[MOVED];
        kit_open(&k, 310 + i / 2, shape, 3);
        move_some(&k, i % 2 == 1, moved);
        for (int round = 0; round < 40; round++)
            compare_whole(&k, shape, moved, &sum);
        CHECK(sum.wholes > 0 && sum.loose > 0);
        kit_close(&k);
    }
}

static void count_rows(const WholeRows *rows, void *arg)
{
    CHECK(rows->select == 1);
    ++*(uint32_t *)arg;
}

static void count_persons(const WholePart *w, void *arg)
{
    (void)arg;
    CHECK(w->select == 0);
}

TEST(rows_that_came_as_persons_do_not_come_again)
{
    const KitShape shape = {.rows = 1500, .persons = 4000, .events = 5, .weeks = 3};
    static const uint32_t events[] = {1};
    const int64_t bounds[] = {0, INT64_MAX};
    const ScanSelect selects[] = {
        {.from_ms = 0, .to_ms = INT64_MAX},
        {.events = events, .event_count = 1, .from_ms = 0, .to_ms = INT64_MAX}};
    uint32_t rows = 0;
    Kit k;
    kit_open(&k, 320, &shape, 2);
    WholeScan *s = whole_scan_new(&k.view, &(WholeAsk){selects, 2, bounds, 1});
    whole_scan(s, 0, scan_pieces(&k.view), &(WholeTaker){count_persons, count_rows, &rows});
    CHECK(rows > 0);
    whole_scan_free(s);
    kit_close(&k);
}

TEST(persons_in_place_of_rows_are_those_who_have_rows_in_the_bucket)
{
    kit_each_kernel(whole_scans);
}
