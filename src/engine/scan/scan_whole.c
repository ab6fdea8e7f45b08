/*
 * engine/scan/scan_whole.c
 */
#include "engine/scan/scan_whole.h"

#include "engine/core/kernels.h"
#include "engine/part/part_active.h"
#include "engine/scan/buckets.h"

#include <stdlib.h>

/* A part that is whole to some selects. */
typedef struct Whole {
    Part *part;
    uint32_t selects; /* bits */
    uint32_t cursor;
} Whole;

/* What is left of a select, or of all of them: its own scan of the other parts. */
typedef struct Rest {
    ScanView view;
    Scanner *scanner;
    uint32_t first_select;
    ScanLooseFn rows; /* of the call under way */
    void *arg;
} Rest;

struct WholeScan {
    const ScanView *view;
    WholeAsk ask;
    Whole *wholes;
    uint32_t whole_count;
    Rest *rests;
    uint32_t rest_count;
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

/* A scan of `count` selects, of the parts that are not whole to the first of them. */
static void open_rest(const WholeScan *s, Rest *r, uint32_t first, uint32_t count)
{
    uint32_t whole = 0;
    r->first_select = first;
    r->view = (ScanView){.person_count = s->view->person_count, .moved = s->view->moved};
    r->view.parts = malloc((s->view->part_count + 1) * sizeof(Part *));
    CHECK(r->view.parts != NULL);
    for (uint32_t i = 0; i < s->view->part_count; i++) {
        const bool is_whole = whole < s->whole_count && s->wholes[whole].part == s->view->parts[i];
        if (!is_whole || (s->wholes[whole].selects >> first & 1) == 0)
            r->view.parts[r->view.part_count++] = s->view->parts[i];
        whole += is_whole;
    }
    r->scanner =
        scanner_new(&r->view, &(ScanAsk){.selects = s->ask.selects + first, .select_count = count});
}

WholeScan *whole_scan_new(const ScanView *view, const WholeAsk *ask)
{
    WholeScan *s = calloc(1, sizeof *s);
    CHECK(s != NULL);
    s->view = view;
    s->ask = *ask;
    s->wholes = calloc(view->part_count + 1, sizeof *s->wholes);
    s->rests = calloc(ask->select_count, sizeof *s->rests);
    CHECK(s->wholes != NULL && s->rests != NULL);
    for (uint32_t i = 0; i < view->part_count; i++) {
        const uint32_t selects = whole_selects(ask, view->parts[i]);
        if (selects != 0)
            s->wholes[s->whole_count++] = (Whole){.part = view->parts[i], .selects = selects};
    }
    /* Selects that want the same list read it once together: they stay so when nothing is whole. */
    s->rest_count = s->whole_count == 0 ? 1 : ask->select_count;
    for (uint32_t i = 0; i < s->rest_count; i++)
        open_rest(s, &s->rests[i], i, s->whole_count == 0 ? ask->select_count : 1);
    return s;
}

void whole_scan_free(WholeScan *s)
{
    if (s == NULL)
        return;
    for (uint32_t i = 0; i < s->rest_count; i++) {
        scanner_free(s->rests[i].scanner);
        free(s->rests[i].view.parts);
    }
    free(s->rests);
    free(s->wholes);
    free(s);
}

uint64_t whole_scan_damaged(const WholeScan *s)
{
    uint64_t damaged = s->damaged;
    for (uint32_t i = 0; i < s->rest_count; i++)
        damaged += scanner_damaged(s->rests[i].scanner);
    return damaged;
}

/* ---- one piece ------------------------------------------------------------------------------------- */

static void give_whole(WholeScan *s, Whole *w, uint32_t piece, WholePartFn fn, void *arg)
{
    uint64_t room[PART_ACTIVE_WORDS];
    uint32_t first = 0;
    const uint32_t rows = part_sequence_rows(w->part, piece, &w->cursor, &first);
    if (rows == 0)
        return;
    const uint64_t *active = part_active(w->part, w->cursor, room);
    if (active == NULL) {
        s->damaged += rows;
        return;
    }
    const uint64_t *dead = moved_dead(s->view->moved, piece, w->part->generation, &s->dead);
    for (uint32_t i = 0; dead != NULL && i < PART_ACTIVE_WORDS; i++)
        room[i] = active[i] & ~dead[i];
    for (uint32_t left = w->selects; left != 0; left &= left - 1)
        fn(&(WholePart){.first_person = piece << PART_BLOCK_BITS,
                        .persons = dead == NULL ? active : room,
                        .at_ms = w->part->head->min_ms,
                        .select = (uint32_t)__builtin_ctz(left)},
           arg);
}

static void give_rows(const ScanLoose *rows, void *arg)
{
    const Rest *r = arg;
    ScanLoose mine = *rows;
    mine.select += r->first_select;
    r->rows(&mine, r->arg);
}

void whole_scan(WholeScan *s, uint32_t piece, WholePartFn part, ScanLooseFn rows, void *arg)
{
    for (uint32_t i = 0; i < s->whole_count; i++)
        give_whole(s, &s->wholes[i], piece, part, arg);
    for (uint32_t i = 0; i < s->rest_count; i++) {
        s->rests[i].rows = rows;
        s->rests[i].arg = arg;
        scanner_loose(s->rests[i].scanner, piece, give_rows, &s->rests[i]);
    }
}

/* ---- rows to persons --------------------------------------------------------------------------------- */

enum { MANY_ROWS = 256 }; /* from here on a byte per person is cheaper than its bit */

static void add_few(const ScanLoose *rows, uint64_t *persons)
{
    for (uint32_t i = 0; i < rows->count; i++) {
        const uint32_t person = rows->keys[i] >> PART_SECOND_BITS;
        const uint64_t is_in = rows->mask == NULL || rows->mask[i] != 0;
        persons[person / 64] |= is_in << (person & 63);
    }
}

/* A byte is written and never read before, so that no row waits for the one before it. */
static void add_many(const ScanLoose *rows, uint64_t *persons)
{
    uint8_t is_in[SCAN_PIECE_PERSONS] = {0};
    const uint32_t *const keys = rows->keys, count = rows->count;
    const uint8_t *const mask = rows->mask;
    for (uint32_t i = 0; mask == NULL && i < count; i++)
        is_in[keys[i] >> PART_SECOND_BITS] = 1;
    for (uint32_t from = 0; mask != NULL && from < count; from += MANY_ROWS) {
        const uint32_t end = count - from < MANY_ROWS ? count : from + MANY_ROWS;
        uint16_t match[MANY_ROWS];
        uint32_t n = 0;
        for (uint32_t i = from; i < end; i++) {
            match[n] = (uint16_t)(keys[i] >> PART_SECOND_BITS);
            n += mask[i];
        }
        for (uint32_t i = 0; i < n; i++)
            is_in[match[i]] = 1;
    }
    kernels()->add_bytes(is_in, SCAN_PIECE_PERSONS / 64, persons);
}

void whole_add_rows(const ScanLoose *rows, uint64_t persons[SCAN_PIECE_PERSONS / 64])
{
    if (rows->count < MANY_ROWS)
        add_few(rows, persons);
    else
        add_many(rows, persons);
}
