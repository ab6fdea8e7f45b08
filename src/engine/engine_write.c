/*
 * engine/engine_write.c
 *
 * New files are written and synced each, then the folder is synced once, then the manifest that names them
 * takes the old one's place.  So whichever manifest a start finds, its files are there.
 */
#include "engine/engine_inside.h"
#include "engine/merge.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

/* ---- one file and its ids ------------------------------------------------------------------------ */

typedef struct Output {
    Engine *e;
    File file;
    int64_t at;
    const atomic_bool *stop; /* NULL = to the end */
} Output;

_Static_assert((int)PART_SINK_STRETCHES <= (int)FILE_PIECES_MAX, "as one call");

static Err write_stretches(Ctx *ctx, const Str *stretches, size_t count, void *arg)
{
    Output *o = arg;
    uint64_t bytes = 0;
    if (o->stop != NULL && atomic_load(o->stop))
        return fail(ctx, ERR_CONFLICT, "events.stopped", "at byte %" PRId64, o->at);
    TRY(file_write_pieces(ctx, o->file, o->at, stretches, count));
    for (size_t i = 0; i < count; i++)
        bytes += stretches[i].len;
    o->at += (int64_t)bytes;
    o->e->bytes_written += bytes;
    return ERR_OK;
}

static Err write_part(Ctx *ctx, Engine *e, uint64_t number, const FileContent *c, bool exact)
{
    char name[ENGINE_NAME_BYTES];
    Output o = {.e = e, .stop = c->stop};
    TRY(file_open(ctx, e->folder, engine_file_name(number, ".part", name), FILE_CREATE, &o.file));
    const PartsMerge merge = {c->parts, c->count, c->moved, c->bytes_max, c->stop, exact};
    Err err = parts_merge(ctx, &merge, write_stretches, &o);
    if (err == ERR_OK)
        err = file_sync(ctx, o.file);
    file_close(&o.file);
    return err;
}

static Err write_ids(Ctx *ctx, Engine *e, uint64_t number, const FileContent *c)
{
    char name[ENGINE_NAME_BYTES];
    Output o = {.e = e, .stop = c->stop};
    TRY(file_open(ctx, e->folder, engine_file_name(number, ".ids", name), FILE_CREATE, &o.file));
    Buf bytes = BUF_MAX((size_t)c->hash_count * 9 + (1 << 20));
    ids_encode(c->hashes, c->hash_count, &bytes);
    Err err = write_stretches(ctx, &(Str){bytes.ptr, bytes.len}, 1, &o);
    if (err == ERR_OK)
        err = file_sync(ctx, o.file);
    file_close(&o.file);
    buf_free(&bytes);
    return err;
}

void engine_remove_files(Engine *e, uint64_t number)
{
    static const char *const suffixes[] = {".part", ".ids", ".names"};
    Ctx ctx = {.arena = arena_new(4096)};
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        char name[ENGINE_NAME_BYTES];
        const Str file = engine_file_name(number, suffixes[i], name);
        if (file_remove(&ctx, e->folder, file) != ERR_OK) /* the next start removes it */
            LOG(LOG_WARN, "events.file_stays", LOG_C("reason", ctx.fault.reason));
    }
    arena_free(ctx.arena);
}

static Err write_once(Ctx *ctx, Engine *e, const FileContent *c, bool exact, FilePart *out)
{
    const uint64_t number = e->next_number++;
    Err err = write_part(ctx, e, number, c, exact);
    if (err == ERR_OK)
        err = write_ids(ctx, e, number, c);
    if (err == ERR_OK)
        err = engine_file_open(ctx, e, number, out);
    if (err == ERR_OK)
        out->part->ids_are_sound = true; /* written just now */
    if (err != ERR_OK)
        engine_remove_files(e, number);
    return err;
}

/* Of dead rows the bounds of columns stay: when these were of somebody erased, what is left is written once more. */
Err engine_file_write(Ctx *ctx, Engine *e, const FileContent *c, FilePart *out)
{
    FilePart alive;
    FileContent left = *c;
    if (!engine_has_erased_rows(e, c))
        return write_once(ctx, e, c, false, out);
    TRY(write_once(ctx, e, c, false, &alive));
    left.parts = &alive.part;
    left.count = 1;
    const Err err = write_once(ctx, e, &left, true, out);
    engine_file_retire(e, &alive);
    return err;
}

bool engine_is_too_large(const Ctx *ctx, Err err)
{
    return err == ERR_TOO_LARGE && str_eq(str_of(ctx->fault.reason), STR("events.merge"));
}

/* As many of the first parts as one file may have rows of; one at least. */
static uint32_t count_fitting(Part *const *parts, uint32_t count)
{
    uint64_t rows = 0;
    uint32_t n = 0;
    while (n < count && (n == 0 || rows + parts[n]->head->rows <= PART_ROWS_MAX))
        rows += parts[n++]->head->rows;
    return n;
}

Err engine_files_write(Ctx *ctx, Engine *e, const FileContent *c, FileList *made)
{
    FileContent some = *c;
    for (uint32_t at = 0; at < c->count;) {
        some.parts = c->parts + at;
        some.count = count_fitting(some.parts, c->count - at);
        Err err = engine_file_write(ctx, e, &some, &made->at[made->count]);
        while (some.count > 1 && engine_is_too_large(ctx, err)) {
            some.count = (some.count + 1) / 2;
            err = engine_file_write(ctx, e, &some, &made->at[made->count]);
        }
        TRY(err);
        made->count++;
        some.hash_count = 0;
        at += some.count;
    }
    return ERR_OK;
}

void engine_file_retire(Engine *e, FilePart *f)
{
    engine_remove_files(e, f->number);
    engine_file_close(f);
}

/* ---- the list of files --------------------------------------------------------------------------- */

FileList engine_files_copy(Ctx *ctx, Engine *e, uint32_t room)
{
    (void)pthread_mutex_lock(&e->lock); /* only the keeper changes it, but others read */
    FileList l = {ARENA_ARRAY(ctx->arena, FilePart, (size_t)e->file_count + room), e->file_count};
    if (e->file_count > 0)
        memcpy(l.at, e->files, e->file_count * sizeof *l.at);
    (void)pthread_mutex_unlock(&e->lock);
    return l;
}

void engine_files_insert(FileList *l, const FilePart *f)
{
    uint32_t at = l->count++;
    for (; at > 0 && part_order(f->part, l->at[at - 1].part) < 0; at--)
        l->at[at] = l->at[at - 1];
    l->at[at] = *f;
}

void engine_files_cut(FileList *l, uint32_t first, uint32_t n)
{
    memmove(l->at + first, l->at + first + n, (l->count - first - n) * sizeof *l->at);
    l->count -= n;
}

void engine_files_take_over(Engine *e, const FileList *l)
{
    if (l->count > e->file_cap) {
        e->file_cap = l->count * 2;
        e->files = realloc(e->files, e->file_cap * sizeof *e->files);
        CHECK(e->files != NULL);
    }
    if (l->count > 0)
        memcpy(e->files, l->at, l->count * sizeof *e->files);
    e->file_count = l->count;
}

enum { RETRY_FIRST_US = 1000000, RETRY_DOUBLINGS_MAX = 8 };

void engine_files_put_aside(Engine *e, const FilePart *files, uint32_t n, const Fault *why)
{
    const int64_t now_us = clock_mono_us();
    int64_t longest_us = 0;
    (void)pthread_mutex_lock(&e->lock);
    for (uint32_t i = 0; i < e->file_count; i++)
        for (uint32_t j = 0; j < n; j++) {
            FilePart *f = &e->files[i];
            if (f->number != files[j].number)
                continue;
            const int64_t wait_us = (int64_t)RETRY_FIRST_US << f->failures;
            f->failures += f->failures < RETRY_DOUBLINGS_MAX;
            f->retry_at_us = now_us + wait_us;
            longest_us = wait_us > longest_us ? wait_us : longest_us;
        }
    (void)pthread_mutex_unlock(&e->lock);
    LOG(LOG_ERROR, "events.put_aside", LOG_C("reason", why->reason), LOG_C("detail", why->detail),
        LOG_I64("files", n), LOG_I64("retry_s", longest_us / 1000000));
}

/* ---- what the manifest names --------------------------------------------------------------------- */

void engine_keep_orphan(Engine *e, uint64_t number)
{
    if (e->orphan_count == e->orphan_cap) {
        e->orphan_cap = e->orphan_cap == 0 ? 16 : e->orphan_cap * 2;
        e->orphans = realloc(e->orphans, e->orphan_cap * sizeof *e->orphans);
        CHECK(e->orphans != NULL);
    }
    e->orphans[e->orphan_count++] = number;
}

void engine_files_give_up(Engine *e, const FileList *made, bool named)
{
    for (uint32_t i = 0; i < made->count; i++) {
        if (named)
            engine_keep_orphan(e, made->at[i].number);
        else
            engine_remove_files(e, made->at[i].number);
        engine_file_close(&made->at[i]);
    }
}

static void remove_orphans(Engine *e)
{
    for (uint32_t i = 0; i < e->orphan_count; i++)
        engine_remove_files(e, e->orphans[i]);
    e->orphan_count = 0;
}

/* Behind the names that count: what an older try left there is written over. */
static Err write_names(Ctx *ctx, Engine *e, Str changes)
{
    char name[ENGINE_NAME_BYTES];
    if (e->flush_names.len + changes.len == 0)
        return ERR_OK;
    if (e->names.number == 0)
        e->names.number = e->next_number++;
    File file = FILE_NONE;
    const int64_t at = e->names.bytes, behind = at + (int64_t)e->flush_names.len;
    TRY(file_open(ctx, e->folder, engine_file_name(e->names.number, ".names", name), FILE_WRITE,
                  &file));
    Err err = file_write_at(ctx, file, at, buf_str(&e->flush_names));
    if (err == ERR_OK)
        err = file_write_at(ctx, file, behind, changes);
    if (err == ERR_OK)
        err = file_sync(ctx, file);
    file_close(&file);
    e->bytes_written += e->flush_names.len + changes.len;
    return err;
}

/* Since when anything of somebody erased has waited to leave the files. */
static int64_t since_ms(const Engine *e, uint32_t erased)
{
    if (erased == e->names.forgotten)
        return 0;
    return e->erased_since_ms != 0 ? e->erased_since_ms : clock_now_ms();
}

Err engine_files_save(Ctx *ctx, Engine *e, const FileList *l, const Durable *d,
                      const FileList *made)
{
    Durable now = {.seq = e->durable_seq,
                   .mark = e->durable_mark,
                   .aside = e->durable_aside,
                   .erased = e->durable_erased};
    bool named = false;
    now = d == NULL ? now : *d;
    /* Who is whom counts with the rows that it moved, thus with the flush that has them. */
    const Str changes = d == NULL ? STR("") : buf_str(&e->flush_changes);
    Err err = write_names(ctx, e, changes);
    now.names = e->names;
    now.names.bytes += (int64_t)(e->flush_names.len + changes.len);
    now.erased_since_ms = since_ms(e, now.erased);
    if (err == ERR_OK)
        err = engine_manifest_save(ctx, e, l->at, l->count, &now, &named);
    if (err != ERR_OK) {
        engine_files_give_up(e, made, named);
        return err;
    }
    (void)pthread_mutex_lock(&e->lock); /* who offers looks at what the names take */
    e->names = now.names;
    e->durable_erased = now.erased;
    e->durable_forgotten = now.names.forgotten;
    e->erased_since_ms = now.erased_since_ms;
    buf_clear(&e->flush_names);
    if (d != NULL)
        buf_clear(&e->flush_changes);
    (void)pthread_cond_broadcast(&e->changed);
    (void)pthread_mutex_unlock(&e->lock);
    remove_orphans(e);
    return ERR_OK;
}
