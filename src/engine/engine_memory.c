/*
 * engine/engine_memory.c -- what happens when memory is full.
 *
 * Offers wait before they are taken.  One of links may take much more than it weighs, since each moves the rows of a
 * person: between two of them the applier waits, too.  What one change moves is not cut, since who is whom counts with
 * all rows that it moved: its slices go to a file that has lost its name already, which the flush reads as it reads
 * memory, and which is gone with the process.
 */
#include "engine/engine_inside.h"

#include "base/log.h"

#include <stdlib.h>
#include <time.h>

enum {
    RECORDS_FACTOR = 4, /* of EngineOptions.flush_bytes: records that became few rows, or none */
    /* of EngineOptions.flush_rows: they lie in many weeks, in slices of few rows each */
    MOVED_SHARE = 16,
};

bool engine_has_memory(const Engine *e)
{
    return e->memory_rows < e->o.memory_rows_max &&
           e->memory_bytes + e->new_names + e->flush_names.len < e->o.memory_bytes_max;
}

bool engine_flush_is_due(const Engine *e, bool is_quiet)
{
    uint32_t changes = 0;
    (void)persons_new_changes(schema_persons(e->schema), &changes);
    return changes >= e->o.flush_changes ||
           e->unflushed_bytes >= RECORDS_FACTOR * e->o.flush_bytes ||
           (is_quiet && e->moved_rows > 0 && e->moved_rows >= e->o.flush_rows / MOVED_SHARE);
}

/* ---- between two changes ---------------------------------------------------------------------------- */

static bool has_memory_now(Engine *e)
{
    (void)pthread_mutex_lock(&e->lock);
    const bool has = engine_has_memory(e);
    (void)pthread_mutex_unlock(&e->lock);
    return has;
}

/* Under `lock`. */
static void wait_a_second(Engine *e)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 1;
    (void)pthread_cond_timedwait(&e->changed, &e->lock, &until);
}

bool engine_wait_for_room(Engine *e)
{
    bool has = has_memory_now(e);
    if (has || e->o.read_only)
        return has;
    engine_unlock(e);
    (void)pthread_mutex_lock(&e->lock);
    e->waits_for_room = true;
    while (!(has = engine_has_memory(e)) && !atomic_load(&e->closing)) {
        e->flush_wanted = true;
        (void)pthread_cond_broadcast(&e->changed);
        wait_a_second(e);
    }
    e->waits_for_room = false;
    (void)pthread_mutex_unlock(&e->lock);
    engine_lock(e);
    return has;
}

void engine_give_back(Engine *e)
{
    (void)pthread_mutex_lock(&e->lock);
    e->offered = e->lacks_seq = e->applied;
    e->refusing = true;
    e->complete = false;
    for (Offer *o = e->first, *next; o != NULL; o = next) {
        next = o->next;
        free(o);
    }
    e->first = e->last = NULL;
    e->queued_bytes = 0;
    (void)pthread_cond_broadcast(&e->changed);
    (void)pthread_mutex_unlock(&e->lock);
}

/* ---- within one ---------------------------------------------------------------------------------------- */

uint64_t engine_heap_bytes(const Part *slice)
{
    return slice->is_mapped ? 0 : slice->bytes.len;
}

/* A name that no manifest has: a start removes it, should the power fail before we do. */
#define SPILL_NAME "spill.part"

static Err map_copy(Ctx *ctx, const Engine *e, const Part *slice, Str *out)
{
    File file = FILE_NONE;
    TRY(file_open(ctx, e->folder, STR(SPILL_NAME), FILE_CREATE, &file));
    Err err = file_write_at(ctx, file, 0, slice->bytes);
    if (err == ERR_OK)
        err = file_map(ctx, file, out);
    file_close(&file);
    const Err removed = file_remove(ctx, e->folder, STR(SPILL_NAME));
    if (err == ERR_OK && removed != ERR_OK)
        file_unmap(*out);
    return err == ERR_OK ? removed : err;
}

/* The same slice, on disk. */
static Err spill(Ctx *ctx, const Engine *e, Part *slice, Part **out)
{
    Str bytes = {0};
    TRY(map_copy(ctx, e, slice, &bytes));
    const Err err = part_open(ctx, bytes, true, 0, out);
    if (err != ERR_OK) {
        file_unmap(bytes);
        return err;
    }
    (*out)->generation = slice->generation;
    atomic_store(&(*out)->died, atomic_load(&slice->died));
    return ERR_OK;
}

/* Those that no flush has taken.  What cannot be written stays. */
static Err spill_all(Ctx *ctx, Engine *e)
{
    for (uint32_t i = e->flush_count; i < e->memory_count; i++) {
        Part *const slice = e->memory[i];
        Part *made = NULL;
        if (slice->is_mapped)
            continue;
        TRY(spill(ctx, e, slice, &made));
        (void)pthread_mutex_lock(&e->lock);
        e->memory[i] = made;
        e->memory_bytes -= slice->bytes.len;
        (void)pthread_mutex_unlock(&e->lock);
        part_unref(slice);
    }
    return ERR_OK;
}

void engine_spill_when_full(Engine *e)
{
    (void)pthread_mutex_lock(&e->lock);
    const bool is_full = e->memory_bytes >= e->o.flush_bytes;
    (void)pthread_mutex_unlock(&e->lock);
    if (!is_full || e->o.read_only)
        return;
    Ctx ctx = {.arena = arena_new(4096)};
    const bool failed = spill_all(&ctx, e) != ERR_OK;
    if (failed && !e->cannot_spill)
        LOG(LOG_WARN, "events.spill_failed", LOG_C("reason", ctx.fault.reason),
            LOG_C("note", "the rows that a link moves stay in memory"));
    e->cannot_spill = failed;
    arena_free(ctx.arena);
}
