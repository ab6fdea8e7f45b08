/*
 * engine/part/dead_rows.c
 */
#include "engine/part/dead_rows.h"

#include "engine/core/kernels.h"
#include "engine/part/moved.h"

#include <stdlib.h>

enum { STEP_ROWS = 8192 };

static void *zeroes(uint64_t *bytes, size_t n, size_t size)
{
    void *p = calloc(n + 1, size);
    CHECK(p != NULL);
    *bytes += (n + 1) * size;
    return p;
}

/* A word more than the rows have is read. */
static size_t list_words(const Part *part, uint32_t list)
{
    return kernel_words(part->lists[list].rows) + 1;
}

static DeadRows *new_dead(const Part *part, uint32_t generation)
{
    const PartHead *h = part->head;
    uint64_t bytes = 0;
    DeadRows *d = zeroes(&bytes, 1, sizeof *d);
    atomic_store(&d->refs, 1);
    atomic_store(&d->generation, generation);
    d->number = part->number;
    d->list_count = h->list_count;
    if (h->block_count > 0) {
        d->first_block = part->blocks[0].block;
        d->block_count = part->blocks[h->block_count - 1].block - d->first_block + 1;
    }
    d->rows = zeroes(&bytes, h->list_count, sizeof *d->rows);
    d->places = zeroes(&bytes, d->block_count, sizeof *d->places);
    if (part_has_hours(part))
        d->hours = zeroes(&bytes, h->list_count, sizeof *d->hours);
    d->bytes = bytes;
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
    for (uint32_t i = 0; i < d->list_count; i++)
        free(d->rows[i]);
    free(d->rows);
    free(d->places);
    free(d->who);
    free(d->hours);
    free(d);
}

/* ---- looking for them ------------------------------------------------------------------------------- */

typedef struct Search {
    Part *part;
    DeadRows *dead;
    uint32_t *cursors; /* of each list */
    uint32_t *keys;
    DeadPersons here;                 /* of the block under way */
    uint64_t set[STEP_ROWS / 64 + 1]; /* kernels read a word more */
} Search;

static void mark(Search *s, uint32_t list, uint32_t row, uint32_t key)
{
    DeadRows *d = s->dead;
    if (d->rows[list] == NULL)
        d->rows[list] = zeroes(&d->bytes, list_words(s->part, list), sizeof **d->rows);
    d->rows[list][row / 64] |= UINT64_C(1) << (row & 63);
    const uint32_t person = key >> PART_SECOND_BITS;
    s->here.bits[person / 64] |= UINT64_C(1) << (person & 63);
    d->count++;
    d->events += s->part->lists[list].event != PART_PERSON;
    if (d->hours != NULL)
        d->hours[list].ends[(key & PART_SECOND_MASK) / (PART_HOUR_MS / 1000) % PART_HOURS]++;
}

/* What stands in s->keys. */
static void mark_some(Search *s, uint32_t list, uint32_t first, uint32_t n, const uint64_t *who)
{
    memset(s->set, 0xff, sizeof s->set);
    kernels()->drop_marked(s->keys, 0, n, PART_SECOND_BITS, who, s->set);
    for (uint32_t word = 0; word < kernel_words(n); word++)
        for (uint64_t left = ~s->set[word]; left != 0; left &= left - 1) {
            const uint32_t i = 64 * word + (uint32_t)__builtin_ctzll(left);
            if (i < n)
                mark(s, list, first + i, s->keys[i]);
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
        mark_some(s, list, rows.first + done, n, who);
    }
    return true;
}

static void keep_who(DeadRows *d, uint32_t block, const DeadPersons *who)
{
    if (d->who_count == d->who_cap) {
        const uint32_t cap = 2 * d->who_cap + 2;
        d->who = realloc(d->who, cap * sizeof *d->who);
        CHECK(d->who != NULL);
        d->bytes += (cap - d->who_cap) * sizeof *d->who;
        d->who_cap = cap;
        d->who_count += d->who_count == 0;
    }
    d->places[block - d->first_block] = d->who_count;
    d->who[d->who_count++] = *who;
}

static bool look_at_block(Search *s, uint32_t block, const uint64_t *who)
{
    const uint32_t before = s->dead->count;
    s->here = (DeadPersons){{0}};
    for (uint32_t list = 0; list < s->part->head->list_count; list++)
        if (!look_at_list(s, list, block, who))
            return false;
    if (s->dead->count > before)
        keep_who(s->dead, block, &s->here);
    return true;
}

static bool look_at_all(Search *s, const Moved *moved)
{
    MovedDead dead = {0};
    for (uint32_t i = 0; i < s->part->head->block_count; i++) {
        const uint32_t block = s->part->blocks[i].block;
        const uint64_t *who = moved_dead(moved, NULL, block, s->part->generation, &dead);
        if (who != NULL && !look_at_block(s, block, who))
            return false;
    }
    return true;
}

/* As PartHours says it: how many before the end of each hour. */
static void add_up(DeadRows *d)
{
    for (uint32_t list = 0; d->hours != NULL && list < d->list_count; list++)
        for (uint32_t h = 1; h < PART_HOURS; h++)
            d->hours[list].ends[h] += d->hours[list].ends[h - 1];
}

DeadRows *dead_rows_find(Part *part, const Moved *moved)
{
    uint64_t bytes = 0;
    Search *s = zeroes(&bytes, 1, sizeof *s);
    s->part = part;
    s->dead = new_dead(part, moved->generation);
    s->cursors = zeroes(&bytes, part->head->list_count, sizeof *s->cursors);
    s->keys = zeroes(&bytes, STEP_ROWS + KERNEL_SLACK, sizeof *s->keys);
    DeadRows *d = s->dead;
    if (look_at_all(s, moved)) {
        add_up(d);
    } else {
        dead_rows_unref(d);
        d = NULL;
    }
    free(s->cursors);
    free(s->keys);
    free(s);
    return d;
}

/* ---- using them ------------------------------------------------------------------------------------- */

void dead_rows_drop(const DeadRows *d, uint32_t list, uint32_t first, uint32_t n, uint64_t *set)
{
    const uint64_t *bits = d->rows[list] + first / 64;
    const uint32_t shift = first & 63;
    for (uint32_t i = 0; i < kernel_words(n); i++) {
        const uint64_t above = shift == 0 ? 0 : bits[i + 1] << (64 - shift);
        set[i] &= ~(bits[i] >> shift | above);
    }
}
