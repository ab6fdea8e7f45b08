/*
 * engine/engine_dead.c -- which rows of the files are dead: counted for those who keep them, found for those who ask.
 *
 * A question may find out itself, from the keys.  Many need no keys otherwise, and take longer for a few dead rows than for
 * all others: so the keeper looks once some persons were moved, and says it with the map of moves.  Between a move and the
 * next look questions read keys.
 */
#include "engine/engine_inside.h"

#include "base/clock.h"

#include <stdlib.h>

/* ---- how many ---------------------------------------------------------------------------------------- */

static uint32_t count_dead(Part *part, const Moved *moved)
{
    const DeadRows *known = moved_known(moved, part);
    if (known != NULL || !moved_behind(moved, part, part->generation))
        return known == NULL ? 0 : known->events;
    DeadRows *found = dead_rows_find(part, moved);
    const uint32_t events = found == NULL ? 0 : found->events;
    dead_rows_unref(found);
    return events;
}

uint32_t engine_dead(Part *part, const Moved *moved, uint32_t died)
{
    if (!atomic_load(&part->dead_known)) {
        atomic_store(&part->dead_before, (int64_t)count_dead(part, moved) - died);
        atomic_store(&part->dead_known, true);
    }
    return (uint32_t)(atomic_load(&part->dead_before) + died);
}

/* ---- which ones -------------------------------------------------------------------------------------- */

enum {
    /* Of its time the keeper looks for dead rows one part, while more are moved; and once nobody was moved for a while. */
    KNOW_SHARE = 100,
    KNOW_SHARE_QUIET = 10,
    KNOWN_MAX = 128 << 20 /* bytes: rows of further files are found by their keys */
};

/* What there was to look at, at one moment. */
typedef struct Look {
    Moved *moved;
    Part **parts;
    uint32_t count;
} Look;

static Look look_at(Engine *e)
{
    (void)pthread_mutex_lock(&e->apply);
    Look l = {.moved = moved_ref(persons_moved(schema_persons(e->schema)))};
    (void)pthread_mutex_lock(&e->lock);
    l.parts = calloc((size_t)e->file_count + 1, sizeof(Part *));
    CHECK(l.parts != NULL);
    for (uint32_t i = 0; i < e->file_count; i++)
        l.parts[l.count++] = part_ref(e->files[i].part);
    (void)pthread_mutex_unlock(&e->lock);
    (void)pthread_mutex_unlock(&e->apply);
    return l;
}

static void look_done(Look *l)
{
    for (uint32_t i = 0; i < l->count; i++)
        part_unref(l->parts[i]);
    free(l->parts);
    moved_unref(l->moved);
}

/* What is known of the part, or is found now.  NULL: nobody of its blocks was moved behind it, or it is damaged. */
static DeadRows *know(const Look *l, Part *part, bool *fresh)
{
    if (!moved_behind(l->moved, part, part->generation) || atomic_load(&part->damaged))
        return NULL;
    DeadRows *known = moved_known(l->moved, part);
    if (known == NULL) {
        *fresh = true;
        return dead_rows_find(part, l->moved);
    }
    atomic_store(&known->generation, l->moved->generation);
    return dead_rows_ref(known);
}

static int by_number(const void *a, const void *b)
{
    const DeadRows *const *x = a, *const *y = b;
    return ((*x)->number > (*y)->number) - ((*x)->number < (*y)->number);
}

/* On the heap, by their numbers. */
static DeadRows **know_all(Engine *e, const Look *l, uint32_t *count, bool *fresh)
{
    DeadRows **known = calloc((size_t)l->count + 1, sizeof(DeadRows *));
    CHECK(known != NULL);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < l->count && bytes < KNOWN_MAX && !atomic_load(&e->closing); i++) {
        DeadRows *d = know(l, l->parts[i], fresh);
        if (d == NULL)
            continue;
        bytes += d->bytes;
        known[(*count)++] = d;
    }
    qsort(known, *count, sizeof(DeadRows *), by_number);
    return known;
}

static void tell(Engine *e, DeadRows **known, uint32_t count)
{
    (void)pthread_mutex_lock(&e->apply);
    persons_know_dead(schema_persons(e->schema), known, count);
    (void)pthread_mutex_unlock(&e->apply);
}

static void drop_known(DeadRows **known, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        dead_rows_unref(known[i]);
    free(known);
}

static bool is_time(Engine *e, uint32_t generation, int64_t now_us)
{
    const bool is_quiet = e->know_dead.generation == generation;
    e->know_dead.generation = generation;
    return now_us >= e->know_dead.ended_us +
                         e->know_dead.took_us * (is_quiet ? KNOW_SHARE_QUIET : KNOW_SHARE);
}

void engine_know_dead(Engine *e)
{
    uint32_t count = 0;
    bool fresh = false;
    Look l = look_at(e);
    if (!is_time(e, l.moved->generation, clock_mono_us())) {
        look_done(&l);
        return;
    }
    const int64_t from_us = clock_thread_us();
    DeadRows **known = know_all(e, &l, &count, &fresh);
    const int64_t took_us = clock_thread_us() - from_us;
    if (fresh || count != l.moved->known_count)
        tell(e, known, count);
    else
        drop_known(known, count);
    look_done(&l);
    if (!fresh)
        return;
    e->know_dead.ended_us = clock_mono_us();
    e->know_dead.took_us = took_us;
}
