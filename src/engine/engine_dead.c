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

/* Of a damaged part 0. */
static uint32_t count_dead(Part *part, const Moved *moved)
{
    const DeadRows *known = moved_known(moved, part);
    if (known != NULL || !moved_behind(moved, part, part->generation))
        return known == NULL ? 0 : known->events;
    DeadRows *found = dead_rows_find(part, moved, moved_once_known(moved, part));
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

enum { KNOW_SHARE = 20 }; /* of its time the keeper looks for dead rows one part */

/* What there was to look at, at one moment. */
typedef struct Look {
    Moved *moved;
    Part **parts; /* by week, then arrival */
    uint32_t count;
    uint64_t newest; /* the highest number of a file */
} Look;

static Look look_at(Engine *e)
{
    (void)pthread_mutex_lock(&e->apply);
    Look l = {.moved = moved_ref(persons_moved(schema_persons(e->schema)))};
    (void)pthread_mutex_lock(&e->lock);
    l.parts = calloc((size_t)e->file_count + 1, sizeof(Part *));
    CHECK(l.parts != NULL);
    for (uint32_t i = 0; i < e->file_count; i++) {
        l.parts[l.count++] = part_ref(e->files[i].part);
        l.newest = l.newest < e->files[i].number ? e->files[i].number : l.newest;
    }
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

/* Files have numbers that ascend: there are others when the highest is another one, or there are fewer. */
static bool was_looked_at(const Engine *e, const Look *l)
{
    return l->moved->generation == e->know_dead.generation && l->newest == e->know_dead.newest &&
           l->count == e->know_dead.file_count;
}

/* What is known in the end. */
typedef struct Found {
    DeadRows **known; /* on the heap */
    uint32_t count;
    uint64_t bytes;
    bool is_new;  /* some of it */
    bool is_full; /* there is no room for more */
    bool gave_up; /* files were not looked at */
} Found;

static bool has_to_end(Engine *e)
{
    (void)pthread_mutex_lock(&e->lock);
    const bool wanted = e->flush_wanted;
    (void)pthread_mutex_unlock(&e->lock);
    return wanted || atomic_load(&e->closing);
}

/* What is known of the part, or is found now.  NULL: it is damaged. */
static DeadRows *know(const Look *l, Part *part, Found *f)
{
    DeadRows *once = moved_once_known(l->moved, part);
    if (once == NULL || moved_behind(l->moved, part, atomic_load(&once->generation))) {
        f->is_new = true;
        return atomic_load(&part->damaged) ? NULL : dead_rows_find(part, l->moved, once);
    }
    /* Nobody of its blocks was moved meanwhile: of maps between the two the same is true as before, so whoever looks at
     * one of them is told nothing else. */
    atomic_store(&once->generation, l->moved->generation);
    return dead_rows_ref(once);
}

static void add_found(const Engine *e, Found *f, DeadRows *d)
{
    if (d == NULL)
        return;
    f->is_full = f->bytes + d->bytes > e->o.known_bytes_max;
    if (f->is_full) {
        dead_rows_unref(d);
        return;
    }
    f->bytes += d->bytes;
    f->known[f->count++] = d;
}

static int by_number(const void *a, const void *b)
{
    const DeadRows *const *x = a, *const *y = b;
    return ((*x)->number > (*y)->number) - ((*x)->number < (*y)->number);
}

/* The newest weeks first, which are asked for most.  When it has to end, of those that are left it is known what was: the
 * next look begins there. */
static Found know_all(Engine *e, const Look *l)
{
    Found f = {.known = calloc((size_t)l->count + 1, sizeof(DeadRows *))};
    CHECK(f.known != NULL);
    for (uint32_t i = l->count; i > 0 && !f.is_full; i--) {
        Part *part = l->parts[i - 1];
        f.gave_up =
            f.gave_up || (f.is_new && has_to_end(e)); /* one at least, or nothing is ever known */
        DeadRows *once = f.gave_up ? moved_once_known(l->moved, part) : NULL;
        add_found(e, &f,
                  !f.gave_up     ? know(l, part, &f)
                  : once == NULL ? NULL
                                 : dead_rows_ref(once));
    }
    qsort(f.known, f.count, sizeof(DeadRows *), by_number);
    return f;
}

static void tell(Engine *e, const Found *f)
{
    (void)pthread_mutex_lock(&e->apply);
    persons_know_dead(schema_persons(e->schema), f->known, f->count);
    (void)pthread_mutex_unlock(&e->apply);
}

static void drop_found(const Found *f)
{
    for (uint32_t i = 0; i < f->count; i++)
        dead_rows_unref(f->known[i]);
    free(f->known);
}

/* Of the time also what the disk takes, but not what the applier makes it wait. */
static void know_again(Engine *e, const Look *l)
{
    const int64_t from_us = clock_mono_us();
    const Found f = know_all(e, l);
    const int64_t until_us = clock_mono_us();
    e->know_dead.next_us = until_us + (until_us - from_us) * KNOW_SHARE;
    if (!f.gave_up) {
        e->know_dead.generation = l->moved->generation;
        e->know_dead.newest = l->newest;
        e->know_dead.file_count = l->count;
    }
    if (f.is_new || f.count != l->moved->known_count)
        tell(e, &f);
    else
        drop_found(&f);
}

void engine_know_dead(Engine *e)
{
    if (clock_mono_us() < e->know_dead.next_us)
        return;
    Look l = look_at(e);
    if (l.moved->generation > 0 && !was_looked_at(e, &l))
        know_again(e, &l);
    look_done(&l);
}
