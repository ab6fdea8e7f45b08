/*
 * engine/engine_forget.c -- what only erased actors had leaves every file.
 *
 * Their rows are dead at once, but stand in files until these are merged; their keys and texts stand in the file of
 * names, which only grows.  One round, behind a flush that has heard of all of them:
 *
 *   rows     every file with a dead row of somebody erased is merged alone, and nothing in its tables is of them
 *   texts    the columns of texts of all files are read: a name or text that no row has, only they had
 *   names    the file of names is written once more under a new number, with empty places for these and for their keys
 *   commit   under `apply`: when nobody has brought one of the texts meanwhile, they are forgotten in memory
 *   save     the manifest names the new file; then the old one goes, and the folder is synced
 *
 * Between two files memory is flushed when it is due, so that nobody who offers waits for this.
 * From the commit on the new file is the one that grows, and the next manifest names it, whoever saves that: when the
 * save fails or the power does, the old manifest, the old names and the log say all of it once more.
 *
 * Memory: a bit per name, text and person, two megabytes of actors, and windows of a megabyte.
 */
#include "engine/core/kernels.h"
#include "engine/engine_inside.h"
#include "engine/names/schema_unused.h"

#include <stdlib.h>

/* ---- rows ----------------------------------------------------------------------------------------- */

/* Numbers under which an erased actor ever stood. */
typedef struct Stood {
    uint64_t *bits;
    const Moved *moved; /* as the files know it */
} Stood;

enum { BLOCK_WORDS = PART_BLOCK_PERSONS / 64 };

static bool is_gone(const Stood *s, uint32_t person, const uint32_t *moved, uint32_t generation)
{
    return moved[person & (PART_BLOCK_PERSONS - 1)] > generation &&
           (s->bits[person / 64] >> (person & 63) & 1) != 0;
}

/* Whether anybody of the block may have such rows. */
static bool block_may_have(const Stood *s, uint32_t block, const uint32_t *moved,
                           uint32_t generation)
{
    const uint64_t *words = s->bits + (size_t)block * BLOCK_WORDS;
    for (uint32_t i = 0; i < PART_BLOCK_PERSONS; i++)
        if (words[i / 64] == 0)
            i |= 63;
        else if (is_gone(s, (block << PART_BLOCK_BITS) + i, moved, generation))
            return true;
    return false;
}

/* Dead rows of the block that were of an erased actor, or of whom it was linked with.  False: damaged. */
static bool look_at_block(const Stood *s, Part *part, uint32_t block, Arena *arena, bool *found)
{
    const uint32_t *moved = moved_block(s->moved, block, part->generation);
    if (moved == NULL || !block_may_have(s, block, moved, part->generation))
        return true;
    for (uint32_t l = 0; l < part->head->list_count && !*found; l++) {
        uint32_t cursor = 0;
        const PartRows rows = part_list_rows(part, &part->lists[l], block, &cursor);
        uint32_t *keys = (uint32_t *)arena_alloc(arena, rows.count + KERNEL_SLACK, sizeof *keys);
        if (rows.count == 0)
            continue;
        if (!part_read_keys(part, &rows, keys))
            return false;
        for (uint32_t i = 0; i < rows.count && !*found; i++)
            *found = is_gone(s, (block << PART_BLOCK_BITS) + (keys[i] >> PART_SECOND_BITS), moved,
                             part->generation);
    }
    return true;
}

static bool look_at_part(const Stood *s, Part *part, bool *found)
{
    Arena *arena = arena_new(1 << 16);
    bool good = true;
    for (uint32_t i = 0; i < part->head->block_count && good && !*found; i++) {
        good = look_at_block(s, part, part->blocks[i].block, arena, found);
        arena_reset(arena);
    }
    arena_free(arena);
    return good;
}

static Err part_damaged(Ctx *ctx, Part *part)
{
    atomic_store(&part->damaged, true); /* the keeper makes it again from the log */
    return fail(ctx, ERR_INTERNAL, "events.part_damaged", "file %" PRIu64, part->number);
}

/* Before each file. */
static Err go_on(Ctx *ctx, Engine *e)
{
    if (atomic_load(&e->closing))
        return fail(ctx, ERR_CONFLICT, "events.stopped", "closing");
    Ctx c = *ctx;
    c.arena = arena_new(1 << 16);
    const Err err = engine_flush_when_due(&c, e);
    ctx->fault = c.fault;
    arena_free(c.arena);
    return err;
}

/* Nobody is left to be forgotten: no bits. */
static Stood stood(Engine *e, const Moved *moved)
{
    Stood s = {.moved = moved};
    (void)pthread_mutex_lock(&e->apply);
    const Persons *persons = schema_persons(e->schema);
    const uint32_t count = schema_person_count(e->schema);
    const size_t blocks = (count >> PART_BLOCK_BITS) + 1;
    if (persons_erased(persons) > e->names.forgotten) {
        s.bits = calloc(blocks * BLOCK_WORDS, sizeof *s.bits);
        CHECK(s.bits != NULL);
        persons_mark_erased(persons, count, s.bits);
    }
    (void)pthread_mutex_unlock(&e->apply);
    return s;
}

bool engine_has_erased_rows(Engine *e, const FileContent *c)
{
    bool found = false;
    Stood s = stood(e, c->moved);
    for (uint32_t i = 0; i < c->count && s.bits != NULL && !found; i++)
        if (!look_at_part(&s, c->parts[i], &found))
            break; /* which whoever reads it will say */
    free(s.bits);
    return found;
}

/* The files that have such rows.  The first failure is returned, the others are looked at. */
static Err find_files(Ctx *ctx, Engine *e, const FileList *l, const Stood *s, bool *due)
{
    Err first_err = ERR_OK;
    for (uint32_t i = 0; i < l->count; i++) {
        TRY(go_on(ctx, e));
        if (atomic_load(&l->at[i].part->damaged) || !look_at_part(s, l->at[i].part, &due[i]))
            first_err = part_damaged(ctx, l->at[i].part);
    }
    return first_err;
}

static void say_progress(Engine *e, uint32_t done, uint32_t of)
{
    (void)pthread_mutex_lock(&e->lock);
    e->forgot_files = done;
    e->forget_files = of;
    (void)pthread_mutex_unlock(&e->lock);
}

static Err merge_alone(Ctx *ctx, Engine *e, uint64_t number)
{
    Ctx c = *ctx;
    c.arena = arena_new(1 << 16);
    FileList l = engine_files_copy(&c, e, 1);
    uint32_t at = 0;
    while (l.at[at].number != number) /* it is there: nobody but the keeper changes the list */
        at++;
    FilePart old = l.at[at];
    const Err err = engine_files_merge(&c, e, &l, at, 1, &old);
    ctx->fault = c.fault;
    arena_free(c.arena);
    return err;
}

/* What fails with one file does not keep the others. */
static Err merge_files(Ctx *ctx, Engine *e, const FileList *l, const bool *due)
{
    uint32_t of = 0, done = 0;
    Err first_err = ERR_OK;
    Fault first_fault = {0};
    for (uint32_t i = 0; i < l->count; i++)
        of += due[i];
    for (uint32_t i = 0; i < l->count; i++) {
        say_progress(e, done, of);
        TRY(go_on(ctx, e));
        const Err err = due[i] ? merge_alone(ctx, e, l->at[i].number) : ERR_OK;
        done += due[i];
        first_fault = first_err == ERR_OK ? ctx->fault : first_fault;
        first_err = first_err == ERR_OK ? err : first_err;
    }
    ctx->fault = first_fault;
    return first_err;
}

static Err forget_rows(Ctx *ctx, Engine *e)
{
    const FileList l = engine_files_copy(ctx, e, 1);
    bool *due = ARENA_ARRAY(ctx->arena, bool, (size_t)l.count + 1);
    Moved *moved = moved_ref(e->durable_moved); /* a flush between two files brings another */
    Stood s = stood(e, moved);
    const Err looked = find_files(ctx, e, &l, &s, due);
    const Fault fault = ctx->fault;
    free(s.bits);
    moved_unref(moved);
    TRY(merge_files(ctx, e, &l, due));
    say_progress(e, 0, 0);
    ctx->fault = fault;
    return looked;
}

/* ---- texts ---------------------------------------------------------------------------------------- */

/* Also at those that flushes bring meanwhile: they have larger numbers. */
static Err look_at_files(Ctx *ctx, Engine *e, Unused *u)
{
    for (uint64_t from = 0; from < e->next_number;) {
        const FileList l = engine_files_copy(ctx, e, 1);
        const uint64_t to = e->next_number;
        for (uint32_t i = 0; i < l.count; i++) {
            if (l.at[i].number < from)
                continue;
            TRY(go_on(ctx, e));
            if (!unused_part(u, l.at[i].part))
                return part_damaged(ctx, l.at[i].part);
        }
        from = to;
    }
    return ERR_OK;
}

/* What came since the flush.  Under `apply`. */
static void look_at_memory(Engine *e, Unused *u)
{
    engine_close_slice(e);
    (void)pthread_mutex_lock(&e->lock); /* only the keeper takes parts away */
    Part **parts = calloc((size_t)e->memory_count + 1, sizeof(Part *));
    CHECK(parts != NULL);
    const uint32_t count = e->memory_count;
    for (uint32_t i = 0; i < count; i++)
        parts[i] = e->memory[i];
    (void)pthread_mutex_unlock(&e->lock);
    for (uint32_t i = 0; i < count; i++)
        CHECK(unused_part(u, parts[i])); /* memory is not damaged */
    free(parts);
}

/* ---- names ---------------------------------------------------------------------------------------- */

typedef struct Output {
    Engine *e;
    File file;
    int64_t at;
} Output;

static Err write_piece(Ctx *ctx, Str bytes, void *arg)
{
    Output *o = arg;
    if (atomic_load(&o->e->closing))
        return fail(ctx, ERR_CONFLICT, "events.stopped", "closing");
    TRY(file_write_at(ctx, o->file, o->at, bytes));
    o->at += (int64_t)bytes.len;
    o->e->bytes_written += bytes.len;
    return ERR_OK;
}

static Err write_file(Ctx *ctx, Engine *e, const Unused *u, Str names, NamesFile *out)
{
    char name[ENGINE_NAME_BYTES];
    Output o = {.e = e};
    TRY(file_open(ctx, e->folder, engine_file_name(out->number, ".names", name), FILE_CREATE,
                  &o.file));
    Err err = unused_leave_out(ctx, u, names, write_piece, &o);
    if (err == ERR_OK)
        err = file_sync(ctx, o.file);
    file_close(&o.file);
    out->bytes = o.at;
    return err;
}

static Err write_again(Ctx *ctx, Engine *e, const Unused *u, NamesFile *out)
{
    Str map = {0};
    out->number = e->next_number++;
    TRY(engine_names_map(ctx, e, &map));
    const Err err = write_file(ctx, e, u, str_slice(map, 0, (size_t)e->names.bytes), out);
    file_unmap(map);
    if (err != ERR_OK)
        engine_remove_files(e, out->number);
    return err;
}

/* What looks names up without the schema.  Under `apply`. */
static void drop_shortcuts(Engine *e)
{
    e->last_source = (LastText){.code = 0};
    if (e->shape_count > 0)
        memset(e->shapes, 0, e->shape_count * sizeof *e->shapes);
}

/* False: somebody has brought one of the texts since, and it is unused no more. */
static bool commit(Engine *e, Unused *u, const NamesFile *made)
{
    (void)pthread_mutex_lock(&e->apply);
    const uint64_t before = unused_count(u);
    look_at_memory(e, u);
    const bool same = unused_count(u) == before;
    if (same) {
        unused_forget(u, e->schema);
        drop_shortcuts(e);
        engine_keep_orphan(e, e->names.number);
        (void)pthread_mutex_lock(&e->lock);
        e->names = *made;
        (void)pthread_mutex_unlock(&e->lock);
    }
    (void)pthread_mutex_unlock(&e->apply);
    return same;
}

enum { TRIES = 8 };

static Err replace_names(Ctx *ctx, Engine *e, Unused *u, uint32_t erased)
{
    for (int tries = 0; tries < TRIES; tries++) {
        NamesFile made = {.forgotten = erased};
        TRY(write_again(ctx, e, u, &made));
        if (commit(e, u, &made))
            return ERR_OK;
        engine_remove_files(e, made.number);
    }
    return fail(ctx, ERR_CONFLICT, "events.moving", "texts come again as they are forgotten");
}

static Err save(Ctx *ctx, Engine *e)
{
    const FileList l = engine_files_copy(ctx, e, 1);
    return engine_files_save(ctx, e, &l, NULL, &(FileList){NULL, 0});
}

static Err forget_names(Ctx *ctx, Engine *e, uint32_t erased)
{
    if (e->flush_names.len > 0) /* of a file that was made again, and not saved */
        TRY(save(ctx, e));
    (void)pthread_mutex_lock(&e->apply);
    Unused *u = unused_new(e->schema);
    (void)pthread_mutex_unlock(&e->apply);
    Err err = look_at_files(ctx, e, u);
    if (err == ERR_OK)
        err = replace_names(ctx, e, u, erased);
    unused_free(u);
    return err;
}

static Err forget_all(Ctx *ctx, Engine *e, uint32_t erased)
{
    if (atomic_load(&e->stuck))
        return fail(ctx, ERR_CONFLICT, "events.moving", "rows that a change moves cannot be read");
    if (erased > e->names.forgotten) {
        TRY(forget_rows(ctx, e));
        TRY(forget_names(ctx, e, erased));
    }
    return save(ctx, e);
}

/* At last the old files' names must be gone for good, too: a power cut may bring them back. */
Err engine_forget_due(Ctx *ctx, Engine *e)
{
    /* A flush may bring more: they wait for the next round. */
    const uint32_t erased = e->durable_erased;
    if (erased != e->durable_forgotten)
        TRY(forget_all(ctx, e, erased));
    return file_sync_folder(ctx, e->folder);
}
