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
static bool has_other_files(const Engine *e, const Look *l)
{
    return l->newest != e->know_dead.newest || l->count != e->know_dead.file_count;
}

/* What is known in the end. */
typedef struct Found {
    DeadRows **known; /* on the heap */
    uint32_t count;
    uint64_t bytes;
    bool is_new;   /* some of it */
    bool has_read; /* keys */
    bool is_full;  /* there is no room for more */
    bool gave_up;  /* files were not looked at */
} Found;

/* One file's keys at least are read, or nothing is ever known. */
static bool has_to_end(Engine *e, const Found *f)
{
    (void)pthread_mutex_lock(&e->lock);
    const bool wanted = e->flush_wanted;
    (void)pthread_mutex_unlock(&e->lock);
    return (wanted && f->has_read) || atomic_load(&e->closing);
}

/* What is known of the part, of which that was known once, or is found now.  NULL: it is damaged. */
static DeadRows *know(const Look *l, Part *part, DeadRows *once, Found *f)
{
    const uint32_t looked_at = once == NULL ? part->generation : atomic_load(&once->generation);
    const bool has_to_read = moved_behind(l->moved, part, looked_at);
    if (once == NULL || has_to_read) {
        f->is_new = true;
        f->has_read |= has_to_read;
        return atomic_load(&part->damaged) ? NULL : dead_rows_find(part, l->moved, once);
    }
    /* Nobody of its blocks was moved meanwhile: of maps between the two the same is true as before, so whoever looks at
     * one of them is told nothing else. */
    atomic_store(&once->generation, l->moved->generation);
    return dead_rows_ref(once);
}

static void add_found(Engine *e, Found *f, DeadRows *d)
{
    if (d == NULL)
        return;
    f->is_full = f->bytes + d->bytes > e->o.known_bytes_max;
    if (f->is_full) {
        e->know_dead.no_room = d->number;
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

/* The newest weeks first, which are asked for most; older ones wait while flushes are wanted again and again.  When it has to
 * end, what was known of the others stays. */
static Found know_all(Engine *e, const Look *l)
{
    Found f = {.known = calloc((size_t)l->count + 1, sizeof(DeadRows *))};
    CHECK(f.known != NULL);
    for (uint32_t i = l->count; i > 0 && !f.is_full; i--) {
        Part *part = l->parts[i - 1];
        DeadRows *once = moved_once_known(l->moved, part);
        if (once == NULL && part->number == e->know_dead.no_room)
            break;
        f.gave_up = f.gave_up || has_to_end(e, &f);
        if (!f.gave_up)
            add_found(e, &f, know(l, part, once, &f));
        else if (once != NULL)
            add_found(e, &f, dead_rows_ref(once));
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
    if (has_other_files(e, l))
        e->know_dead.no_room = 0;
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
    if (clock_mono_us() < e->know_dead.next_us || atomic_load(&e->closing))
        return;
    Look l = look_at(e);
    if (l.moved->generation > 0 &&
        (l.moved->generation != e->know_dead.generation || has_other_files(e, &l)))
        know_again(e, &l);
    look_done(&l);
}
