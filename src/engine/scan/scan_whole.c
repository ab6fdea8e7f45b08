/*
 * engine/scan/scan_whole.c
 */
#include "engine/scan/scan_whole.h"

#include "engine/part/part_active.h"

#include <stdlib.h>

/* A part that is whole to some selects. */
typedef struct Whole {
    Part *part;
    const DeadRows *known; /* moved_known() */
    uint32_t selects;      /* bits */
    uint32_t place;        /* of the bucket that it lies in */
    uint32_t cursor;
} Whole;

/* What is left of a select: strips of the other parts. */
typedef struct Rest {
    ScanView view;
    Strips *strips;
    StripTimes times;
    bool *keys; /* of each part */
    uint32_t select;
    const WholeTaker *taker; /* of the call under way */
} Rest;

struct WholeScan {
    const ScanView *view;
    WholeAsk ask;
    Arena *arena;
    Whole *wholes;
    uint32_t whole_count;
    Rest *rests; /* of each select */
    uint64_t damaged;
    MovedDead dead;
};

/* ---- preparing ------------------------------------------------------------------------------------ */

static bool in_one_bucket(const WholeAsk *ask, int64_t from_ms, int64_t to_ms)
{
    if (from_ms < ask->bounds[0] || to_ms >= ask->bounds[ask->count])
        return false;
    return to_ms < ask->bounds[buckets_begun(ask->bounds, ask->count, from_ms)];
}

static bool takes_all(const ScanSelect *s, const PartHead *h)
{
    return s->events == NULL && s->filter == NULL && s->from_ms <= h->min_ms &&
           s->to_ms > h->max_ms;
}

uint32_t whole_selects(const WholeAsk *ask, const Part *part)
{
    uint32_t bits = 0;
    if (!in_one_bucket(ask, part->head->min_ms, part->head->max_ms))
        return 0;
    for (uint32_t i = 0; i < ask->select_count; i++)
        bits |= takes_all(&ask->selects[i], part->head) ? 1U << i : 0;
    return bits & ~ask->rows_only;
}

/* The parts that are not whole to the select. */
static void open_view(const WholeScan *s, Rest *r)
{
    uint32_t whole = 0;
    r->view = (ScanView){.person_count = s->view->person_count, .moved = s->view->moved};
    r->view.parts = ARENA_ARRAY(s->arena, Part *, (size_t)s->view->part_count + 1);
    for (uint32_t i = 0; i < s->view->part_count; i++) {
        const bool is_whole = whole < s->whole_count && s->wholes[whole].part == s->view->parts[i];
        if (!is_whole || (s->wholes[whole].selects >> r->select & 1) == 0)
            r->view.parts[r->view.part_count++] = s->view->parts[i];
        whole += is_whole;
    }
}

static int64_t clamp(int64_t at_ms, int64_t from_ms, int64_t to_ms)
{
    return at_ms < from_ms ? from_ms : at_ms > to_ms ? to_ms : at_ms;
}

/* Bounds outside of the select's range are at its ends: so what lies outside is before all buckets, or behind. */
static BucketPlaces *open_places(const WholeScan *s, const Rest *r)
{
    const WholeAsk *ask = &s->ask;
    const ScanSelect *select = &ask->selects[r->select];
    int64_t *bounds = ARENA_ARRAY(s->arena, int64_t, (size_t)ask->count + 1);
    BucketPlaces *places = ARENA_ARRAY(s->arena, BucketPlaces, (size_t)r->view.part_count + 1);
    for (uint32_t i = 0; i <= ask->count; i++)
        bounds[i] = clamp(ask->bounds[i], select->from_ms, select->to_ms);
    for (uint32_t i = 0; i < r->view.part_count; i++)
        places[i] = bucket_places(s->arena, bounds, ask->count, r->view.parts[i]->head);
    return places;
}

static void open_rest(const WholeScan *s, Rest *r, uint32_t select)
{
    r->select = select;
    open_view(s, r);
    r->keys = ARENA_ARRAY(s->arena, bool, (size_t)r->view.part_count + 1);
    memset(r->keys, true, r->view.part_count);
    r->strips = strips_new(&r->view, &(StripAsk){.select = &s->ask.selects[select],
                                                 .keys = r->keys,
                                                 .by_block = s->ask.by_block});
    strip_times_open(&r->times, open_places(s, r), s->ask.count);
}

static Whole whole_of(const ScanView *view, const WholeAsk *ask, Part *part, uint32_t selects)
{
    return (Whole){.part = part,
                   .known = moved_known(view->moved, part),
                   .selects = selects,
                   .place = buckets_begun(ask->bounds, ask->count + 1, part->head->min_ms)};
}

WholeScan *whole_scan_new(const ScanView *view, const WholeAsk *ask)
{
    WholeScan *s = calloc(1, sizeof *s);
    CHECK(s != NULL);
    s->view = view;
    s->ask = *ask;
    s->arena = arena_new(1 << 14);
    s->wholes = ARENA_ARRAY(s->arena, Whole, (size_t)view->part_count + 1);
    s->rests = ARENA_ARRAY(s->arena, Rest, ask->select_count);
    for (uint32_t i = 0; i < view->part_count; i++) {
        const uint32_t selects = whole_selects(ask, view->parts[i]);
        if (selects != 0)
            s->wholes[s->whole_count++] = whole_of(view, ask, view->parts[i], selects);
    }
    for (uint32_t i = 0; i < ask->select_count; i++)
        open_rest(s, &s->rests[i], i);
    return s;
}

void whole_scan_free(WholeScan *s)
{
    if (s == NULL)
        return;
    for (uint32_t i = 0; i < s->ask.select_count; i++) {
        strips_free(s->rests[i].strips);
        strip_times_close(&s->rests[i].times);
    }
    arena_free(s->arena);
    free(s);
}

uint64_t whole_scan_damaged(const WholeScan *s)
{
    uint64_t damaged = s->damaged;
    for (uint32_t i = 0; i < s->ask.select_count; i++)
        damaged += strips_damaged(s->rests[i].strips);
    return damaged;
}

/* ---- blocks ---------------------------------------------------------------------------------------- */

static void take_out(uint64_t *restrict persons, const uint64_t *restrict dead)
{
    for (uint32_t i = 0; i < PART_ACTIVE_WORDS; i++)
        persons[i] &= ~dead[i];
}

static void give_whole(WholeScan *s, Whole *w, uint32_t block, const WholeTaker *taker)
{
    uint64_t room[PART_ACTIVE_WORDS];
    uint32_t first = 0;
    const uint32_t rows = part_sequence_rows(w->part, block, &w->cursor, &first);
    if (rows == 0)
        return;
    const uint64_t *active = part_active(w->part, w->cursor, room);
    if (active == NULL) {
        s->damaged += rows;
        return;
    }
    const uint64_t *dead =
        moved_dead(s->view->moved, w->known, block, w->part->generation, &s->dead);
    if (dead != NULL) {
        if (active != room)
            memcpy(room, active, sizeof room);
        take_out(room, dead);
        active = room;
    }
    for (uint32_t left = w->selects; left != 0; left &= left - 1)
        taker->part(&(WholePart){.block = block,
                                 .persons = active,
                                 .place = w->place,
                                 .select = (uint32_t)__builtin_ctz(left)},
                    taker->arg);
}

static void give_rows(const Strip *strip, void *arg)
{
    Rest *r = arg;
    r->taker->rows(&(WholeRows){strip, &r->times, r->select}, r->taker->arg);
}

void whole_scan(WholeScan *s, uint32_t from, uint32_t to, const WholeTaker *taker)
{
    for (uint32_t block = from; block < to; block++)
        for (uint32_t i = 0; i < s->whole_count; i++)
            give_whole(s, &s->wholes[i], block, taker);
    for (uint32_t i = 0; i < s->ask.select_count; i++) {
        s->rests[i].taker = taker;
        strips_read(s->rests[i].strips, from, to, give_rows, &s->rests[i]);
    }
}
