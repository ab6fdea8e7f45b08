/*
 * engine/engine_files.c
 */
#include "engine/engine_inside.h"

#include "base/log.h"
#include "base/rand.h"
#include "events/crc32c.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct ManifestHead {
    char magic[8]; /* "TDEVENG1" */
    uint32_t version;
    uint32_t crc; /* of everything behind this field */
    uint8_t key[SIPHASH_KEY_BYTES];
    int64_t origin_ms;
    uint64_t durable_seq;
    uint64_t next_number;
    uint64_t names_number;
    int64_t names_bytes;
    uint32_t names_forgotten;
    uint32_t durable_mark;
    int64_t erased_since_ms;
    uint64_t aside[ENGINE_ASIDE_COUNT]; /* of what lies below durable_seq */
    uint64_t file_count;                /* their numbers follow, u64 each */
} ManifestHead;
_Static_assert(sizeof(ManifestHead) == 184, "on-disk layout");

enum { MANIFEST_BYTES_MAX = 1 << 24, CRC_FROM = offsetof(ManifestHead, crc) + 4 };
#define FILE_NUMBER_MAX (UINT64_C(1) << 62) /* what counts on from below it never overflows */

Str engine_file_name(uint64_t number, const char *suffix, char dst[ENGINE_NAME_BYTES])
{
    const int n = snprintf(dst, ENGINE_NAME_BYTES, "%020" PRIu64 "%s", number, suffix);
    return (Str){dst, (size_t)n};
}

/* ---- one file ----------------------------------------------------------------------------------- */

static Err map_file(Ctx *ctx, Engine *e, uint64_t number, const char *suffix, Str *out)
{
    char name[ENGINE_NAME_BYTES];
    File file = FILE_NONE;
    TRY(file_open(ctx, e->folder, engine_file_name(number, suffix, name), FILE_READ, &file));
    const Err err = file_map(ctx, file, out);
    file_close(&file);
    return err;
}

/* Which file it was, for the log. */
static Err in_file(Ctx *ctx, Err err, uint64_t number)
{
    char what[sizeof ctx->fault.detail];
    (void)snprintf(what, sizeof what, "%s", ctx->fault.detail);
    (void)snprintf(ctx->fault.detail, sizeof ctx->fault.detail, "%020" PRIu64 ": %.100s", number,
                   what);
    return err;
}

/* Of each file a start looks at little: heads and tables. */
static Err open_part(Ctx *ctx, Engine *e, uint64_t number, Part **out)
{
    Str map = {0};
    TRY(map_file(ctx, e, number, ".part", &map));
    file_read_around(map, false);
    const Err err = part_open(ctx, map, true, number, out);
    file_read_around(map, true);
    if (err != ERR_OK)
        file_unmap(map);
    return err;
}

static Err open_ids(Ctx *ctx, Engine *e, uint64_t number, Ids *out)
{
    Str map = {0};
    TRY(map_file(ctx, e, number, ".ids", &map));
    file_read_around(map, false);
    const Err err = ids_open(ctx, map, true, out);
    file_read_around(map, true);
    if (err != ERR_OK)
        file_unmap(map);
    return err;
}

Err engine_file_open(Ctx *ctx, Engine *e, uint64_t number, FilePart *out)
{
    FilePart f = {.number = number};
    Err err = open_part(ctx, e, number, &f.part);
    if (err != ERR_OK)
        return in_file(ctx, err, number);
    err = open_ids(ctx, e, number, &f.ids);
    if (err != ERR_OK) {
        part_unref(f.part);
        return in_file(ctx, err, number);
    }
    *out = f;
    return ERR_OK;
}

void engine_file_close(FilePart *f)
{
    part_unref(f->part);
    ids_free(&f->ids);
}

/* ---- the manifest ------------------------------------------------------------------------------- */

/* After a save that failed: whether a start may find this manifest all the same. */
static bool may_be_there(Engine *e, Str manifest)
{
    Ctx ctx = {.arena = arena_new(4096)};
    Str there = {0};
    const Err err = file_load(&ctx, e->folder, STR("manifest"), MANIFEST_BYTES_MAX, &there);
    const bool may = err == ERR_OK ? str_eq(there, manifest) : err != ERR_NOT_FOUND;
    arena_free(ctx.arena);
    return may;
}

Err engine_manifest_save(Ctx *ctx, Engine *e, const FilePart *files, uint32_t count,
                         const Durable *d, bool *named)
{
    TRY(file_sync_folder(ctx, e->folder)); /* first the names of the files, then who names them */
    Buf bytes = BUF_MAX(MANIFEST_BYTES_MAX);
    ManifestHead head = {.magic = "TDEVENG",
                         .version = ENGINE_MANIFEST_VERSION,
                         .origin_ms = e->o.origin_ms,
                         .durable_seq = d->seq,
                         .durable_mark = d->mark,
                         .next_number = e->next_number,
                         .names_number = d->names.number,
                         .names_bytes = d->names.bytes,
                         .names_forgotten = d->names.forgotten,
                         .erased_since_ms = d->erased_since_ms,
                         .file_count = count};
    head.magic[7] = '1';
    memcpy(head.key, e->key, sizeof head.key);
    memcpy(head.aside, d->aside, sizeof head.aside);
    buf_add(&bytes, (Str){(const char *)&head, sizeof head});
    for (uint32_t i = 0; i < count; i++)
        buf_add(&bytes, (Str){(const char *)&files[i].number, sizeof files[i].number});
    CHECK(!bytes.overflowed);
    const uint32_t crc = crc32c_add(0, str_slice(buf_str(&bytes), CRC_FROM, bytes.len));
    memcpy(bytes.ptr + offsetof(ManifestHead, crc), &crc, sizeof crc);
    const Err err = file_replace(ctx, e->folder, STR("manifest"), buf_str(&bytes));
    *named = err != ERR_OK && may_be_there(e, buf_str(&bytes));
    buf_free(&bytes);
    return err;
}

static bool manifest_is_good(Str bytes, ManifestHead *head)
{
    if (bytes.len < sizeof *head)
        return false;
    memcpy(head, bytes.ptr, sizeof *head);
    return memcmp(head->magic, "TDEVENG1", 8) == 0 && head->version == ENGINE_MANIFEST_VERSION &&
           crc32c_add(0, str_slice(bytes, CRC_FROM, bytes.len)) == head->crc &&
           head->file_count == (bytes.len - sizeof *head) / sizeof(uint64_t) &&
           head->names_bytes >= 0 && head->origin_ms >= -ENGINE_TIME_MS_MAX &&
           head->origin_ms <= ENGINE_TIME_MS_MAX && head->durable_seq > 0 &&
           head->durable_seq <= EVENTS_SEQ_MAX && head->next_number <= FILE_NUMBER_MAX &&
           head->names_number < head->next_number;
}

/* No number is used twice: a new file would be written over one that is there. */
static bool numbers_fit(const Engine *e)
{
    for (uint32_t i = 0; i < e->file_count; i++)
        if (e->files[i].number >= e->next_number ||
            (i > 0 && e->files[i].number == e->files[i - 1].number))
            return false;
    return true;
}

static int by_week(const void *a, const void *b)
{
    return part_order(((const FilePart *)a)->part, ((const FilePart *)b)->part);
}

static Err open_files(Ctx *ctx, Engine *e, Str numbers)
{
    const size_t count = numbers.len / sizeof(uint64_t);
    e->files = calloc(count + 1, sizeof *e->files);
    CHECK(e->files != NULL);
    e->file_cap = (uint32_t)count + 1;
    for (size_t i = 0; i < count; i++) {
        uint64_t number;
        memcpy(&number, numbers.ptr + i * sizeof number, sizeof number);
        TRY(engine_file_open(ctx, e, number, &e->files[e->file_count]));
        e->file_count++;
    }
    qsort(e->files, e->file_count, sizeof *e->files, by_week);
    if (!numbers_fit(e))
        return fail(ctx, ERR_INTERNAL, "events.manifest_damaged", "numbers of files");
    for (uint32_t i = 0; i < e->file_count; i++)
        if (engine_week(e, e->files[i].part->head->week_ms) == NULL)
            return fail(ctx, ERR_INTERNAL, "events.manifest_damaged", "too many weeks");
    return ERR_OK;
}

Err engine_names_map(Ctx *ctx, Engine *e, Str *out)
{
    TRY(map_file(ctx, e, e->names.number, ".names", out));
    if ((int64_t)out->len >= e->names.bytes)
        return ERR_OK;
    const Err err = fail(ctx, ERR_INTERNAL, "events.names_damaged", "%zu bytes", out->len);
    file_unmap(*out);
    return err;
}

static Err load_names(Ctx *ctx, Engine *e)
{
    Str map = {0};
    if (e->names.bytes == 0)
        return ERR_OK;
    TRY(engine_names_map(ctx, e, &map));
    const Err loaded = schema_load(ctx, e->schema, str_slice(map, 0, (size_t)e->names.bytes));
    file_unmap(map);
    return loaded;
}

static bool is_part(const Engine *e, uint64_t number)
{
    bool found = false;
    for (uint32_t f = 0; f < e->file_count; f++)
        found |= e->files[f].number == number;
    return found;
}

/* What no manifest names was being written when the machine stopped. */
static Err remove_strays(Ctx *ctx, Engine *e)
{
    Str *names = NULL;
    size_t count = 0;
    if (e->o.read_only)
        return ERR_OK;
    TRY(file_list(ctx, e->folder, &names, &count));
    for (size_t i = 0; i < count; i++) {
        int64_t number = 0;
        const bool is_names = str_ends_with(names[i], STR(".names"));
        bool known = !is_names && !str_ends_with(names[i], STR(".part")) &&
                     !str_ends_with(names[i], STR(".ids"));
        const int64_t dot = str_index(names[i], '.', 0);
        if (!known && str_to_i64(str_slice(names[i], 0, (size_t)dot), &number))
            known = is_names ? e->names.number == (uint64_t)number : is_part(e, (uint64_t)number);
        if (!known)
            TRY(file_remove(ctx, e->folder, names[i]));
    }
    return ERR_OK;
}

Err engine_load(Ctx *ctx, Engine *e)
{
    Str bytes = {0};
    ManifestHead head;
    const Err err = file_load(ctx, e->folder, STR("manifest"), MANIFEST_BYTES_MAX, &bytes);
    if (err == ERR_NOT_FOUND) {
        rand_bytes(e->key, sizeof e->key);
        e->next_number = 1;
        e->durable_seq = 1;
        return remove_strays(ctx, e);
    }
    TRY(err);
    if (!manifest_is_good(bytes, &head))
        return fail(ctx, ERR_INTERNAL, "events.manifest_damaged", "%zu bytes", bytes.len);
    memcpy(e->key, head.key, sizeof e->key);
    e->o.origin_ms = head.origin_ms;
    memcpy(e->aside, head.aside, sizeof e->aside);
    memcpy(e->durable_aside, head.aside, sizeof e->durable_aside);
    e->durable_seq = head.durable_seq;
    e->durable_mark = head.durable_mark;
    e->next_number = head.next_number;
    e->names = (NamesFile){head.names_number, head.names_bytes, head.names_forgotten};
    e->durable_forgotten = head.names_forgotten;
    e->erased_since_ms = head.erased_since_ms;
    TRY(open_files(ctx, e, str_slice(bytes, sizeof head, bytes.len)));
    TRY(load_names(ctx, e));
    moved_unref(e->durable_moved);
    e->durable_moved = moved_alone(persons_moved(schema_persons(e->schema)));
    e->durable_erased = persons_erased(schema_persons(e->schema));
    e->flush_wanted = e->durable_moved->generation > 0; /* a look at what is dead in the files */
    return remove_strays(ctx, e);
}
