/*
 * engine/part/dead_rows.c
 */
#include "engine/part/dead_rows.h"

#include "engine/core/kernels.h"
#include "engine/part/moved.h"

#include <stdlib.h>

enum { STEP_ROWS = 8192 };

static void *zeroes(size_t n, size_t size)
{
    void *p = calloc(n > 0 ? n : 1, size);
    CHECK(p != NULL);
    return p;
}

/* A word more than the rows have is read. */
static size_t list_words(const Part *part, uint32_t list)
{
    return kernel_words(part->lists[list].rows) + 1;
}

/* ---- making and freeing ------------------------------------------------------------------------------ */

static DeadRows *new_dead(const Part *part, uint32_t generation)
{
    DeadRows *d = zeroes(1, sizeof *d);
    atomic_store(&d->refs, 1);
    atomic_store(&d->generation, generation);
    d->number = part->number;
    d->list_count = part->head->list_count;
    d->lists = zeroes(d->list_count, sizeof *d->lists);
    d->bytes = sizeof *d + d->list_count * sizeof *d->lists;
    return d;
}

DeadRows *dead_rows_ref(DeadRows *d)
{
    atomic_fetch_add(&d->refs, 1);
    return d;
}

void dead_rows_unref(DeadRows *d)
{
    if (d == NULL || atomic_fetch_sub(&d->refs, 1) != 1)
        return;
    for (uint32_t i = 0; i < d->list_count; i++) {
        free(d->lists[i].rows);
        free(d->lists[i].hours);
    }
    free(d->lists);
    free(d->places);
    free(d->who);
    free(d);
}

/* From here on the list can have dead rows. */
static void open_list(DeadRows *d, const Part *part, uint32_t list)
{
    DeadList *l = &d->lists[list];
    const size_t words = list_words(part, list);
    l->rows = zeroes(words, sizeof *l->rows);
    d->bytes += words * sizeof *l->rows;
    if (!part_has_hours(part))
        return;
    l->hours = zeroes(1, sizeof *l->hours);
    d->bytes += sizeof *l->hours;
}

/* While rows are looked at: how many in each hour, in place of how many before its end. */
static void hours_apart(PartHours *hours)
{
    for (uint32_t h = PART_HOURS - 1; h > 0; h--)
        hours->ends[h] -= hours->ends[h - 1];
}

static void hours_together(PartHours *hours)
{
    for (uint32_t h = 1; h < PART_HOURS; h++)
        hours->ends[h] += hours->ends[h - 1];
}

/* Rows and hours, which are apart then. */
static void copy_lists(DeadRows *d, const Part *part, const DeadRows *from)
{
    d->count = from->count;
    d->events = from->events;
    for (uint32_t list = 0; list < d->list_count; list++) {
        if (from->lists[list].rows == NULL)
            continue;
        open_list(d, part, list);
        memcpy(d->lists[list].rows, from->lists[list].rows,
               list_words(part, list) * sizeof(uint64_t));
        if (d->lists[list].hours == NULL)
            continue;
        *d->lists[list].hours = *from->lists[list].hours;
        hours_apart(d->lists[list].hours);
    }
}

static void *grown(void *p, uint32_t n, size_t size)
{
    void *more = realloc(p, n * size);
    CHECK(more != NULL);
    return more;
}

static void set_place(DeadRows *d, uint32_t block)
{
    d->first_block = d->who_count == 0 ? block : d->first_block;
    const uint32_t at = block - d->first_block, places = at / 64 + 1, had = d->place_count;
    if (places > had) {
        d->places = grown(d->places, places, sizeof *d->places);
        d->bytes += (places - had) * sizeof *d->places;
        d->place_count = places;
        memset(d->places + had, 0, (places - had) * sizeof *d->places);
        d->places[at / 64].before = d->who_count;
    }
    d->places[at / 64].has |= UINT64_C(1) << (at & 63);
}

/* Blocks ascend. */
static void keep_who(DeadRows *d, uint32_t block, const uint64_t *bits)
{
    if (d->who_count == d->who_cap) {
        const uint32_t cap = 2 * d->who_cap + 2;
        d->who = grown(d->who, cap, sizeof *d->who);
        d->bytes += (cap - d->who_cap) * sizeof *d->who;
        d->who_cap = cap;
    }
    set_place(d, block);
    memcpy(d->who[d->who_count++].bits, bits, sizeof(DeadPersons));
}

/* ---- looking for them -------------------------------------------------------------------------------- */

typedef struct Search {
    Part *part;
    DeadRows *dead;
    uint32_t *cursors; /* of each list */
    uint32_t *keys;
    bool any;         /* of the block under way is dead: */
    DeadPersons here; /* of these */
    uint64_t alive[STEP_ROWS / 64 + 1], before[STEP_ROWS / 64 + 1]; /* kernels read a word more */
} Search;

/* What is dead stays so. */
static void mark_row(Search *s, uint32_t list, uint32_t row, uint32_t key)
{
    DeadRows *d = s->dead;
    if (d->lists[list].rows == NULL)
        open_list(d, s->part, list);
    d->lists[list].rows[row / 64] |= UINT64_C(1) << (row & 63);
    d->count++;
    d->events += s->part->lists[list].event != PART_PERSON;
    if (d->lists[list].hours != NULL)
        d->lists[list].hours->ends[(key & PART_SECOND_MASK) / (PART_HOUR_MS / 1000) % PART_HOURS]++;
}

static void mark_person(Search *s, uint32_t key)
{
    const uint32_t person = key >> PART_SECOND_BITS;
    s->here.bits[person / 64] |= UINT64_C(1) << (person & 63);
    s->any = true;
}

/* What stands in s->keys. */
static void look_at_keys(Search *s, uint32_t list, uint32_t first, uint32_t n, const uint64_t *who)
{
    memset(s->alive, 0xff, sizeof s->alive);
    memset(s->before, 0xff, sizeof s->before);
    kernels()->drop_marked(s->keys, 0, n, PART_SECOND_BITS, who, s->alive);
    if (s->dead->lists[list].rows != NULL)
        dead_rows_drop(s->dead, list, first, n, s->before);
    for (uint32_t word = 0; word < kernel_words(n); word++) {
        const uint64_t rows = n - 64 * word >= 64 ? UINT64_MAX : (UINT64_C(1) << (n & 63)) - 1;
        for (uint64_t left = ~s->alive[word] & rows; left != 0; left &= left - 1)
            mark_person(s, s->keys[64 * word + (uint32_t)__builtin_ctzll(left)]);
        for (uint64_t left = ~s->alive[word] & s->before[word] & rows; left != 0;
             left &= left - 1) {
            const uint32_t i = 64 * word + (uint32_t)__builtin_ctzll(left);
            mark_row(s, list, first + i, s->keys[i]);
        }
    }
}

/* False: damaged. */
static bool look_at_list(Search *s, uint32_t list, uint32_t block, const uint64_t *who)
{
    const PartRows rows = part_list_rows(s->part, &s->part->lists[list], block, &s->cursors[list]);
    if (rows.count == 0)
        return true;
    PartKeys keys = part_keys(s->part, &rows);
    for (uint32_t done = 0, n; done < rows.count; done += n) {
        n = rows.count - done < STEP_ROWS ? rows.count - done : STEP_ROWS;
        if (!part_next_keys(&keys, n, s->keys))
            return false;
        look_at_keys(s, list, rows.first + done, n, who);
    }
    return true;
}

static bool look_at_block(Search *s, uint32_t block, const uint64_t *who)
{
    s->any = false;
    s->here = (DeadPersons){{0}};
    for (uint32_t list = 0; list < s->part->head->list_count; list++)
        if (!look_at_list(s, list, block, who))
            return false;
    if (s->any)
        keep_who(s->dead, block, s->here.bits);
    return true;
}

static bool look_at_all(Search *s, const Moved *moved, const DeadRows *before)
{
    const uint32_t once = before == NULL ? 0 : atomic_load(&before->generation);
    const uint32_t looked_at = once > s->part->generation ? once : s->part->generation;
    MovedDead dead = {0};
    for (uint32_t i = 0; i < s->part->head->block_count; i++) {
        const uint32_t block = s->part->blocks[i].block;
        const uint64_t *was = before == NULL ? NULL : dead_rows_who(before, block);
        if (moved_block(moved, block, looked_at) == NULL) {
            if (was != NULL)
                keep_who(s->dead, block, was);
            continue;
        }
        const uint64_t *who = moved_dead(moved, NULL, block, s->part->generation, &dead);
        if (!look_at_block(s, block, who))
            return false;
    }
    return true;
}

DeadRows *dead_rows_find(Part *part, const Moved *moved, const DeadRows *before)
{
    Search *s = zeroes(1, sizeof *s);
    DeadRows *d = s->dead = new_dead(part, moved->generation);
    s->part = part;
    s->cursors = zeroes(d->list_count, sizeof *s->cursors);
    s->keys = zeroes(STEP_ROWS + KERNEL_SLACK, sizeof *s->keys);
    if (before != NULL)
        copy_lists(d, part, before);
    const bool good = look_at_all(s, moved, before);
    for (uint32_t list = 0; good && list < d->list_count; list++)
        if (d->lists[list].hours != NULL)
            hours_together(d->lists[list].hours);
    free(s->cursors);
    free(s->keys);
    free(s);
    if (good)
        return d;
    dead_rows_unref(d);
    return NULL;
}

/* ---- using them -------------------------------------------------------------------------------------- */

void dead_rows_drop(const DeadRows *d, uint32_t list, uint32_t first, uint32_t n, uint64_t *set)
{
    const uint64_t *bits = d->lists[list].rows + first / 64;
    const uint32_t shift = first & 63;
    for (uint32_t i = 0; i < kernel_words(n); i++) {
        const uint64_t above = shift == 0 ? 0 : bits[i + 1] << (64 - shift);
        set[i] &= ~(bits[i] >> shift | above);
    }
}
