/*
 * app/backup_files.c -- copying, measuring, and the manifest as JSON.
 */
#include "app/backup_files.h"

#include "base/crypto.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"

enum { COPY_BYTES = 1 << 20, MANIFEST_BYTES_MAX = 32 << 20 };

Str backup_folder(Arena *arena, Str root, Str below)
{
    if (below.len == 0)
        return root;
    return arena_printf(arena, "%.*s/%.*s", STR_ARG(root), STR_ARG(below));
}

/* ---- files ------------------------------------------------------------------------------------------ */

static Err copy_bytes(Ctx *ctx, File from, File to, int64_t limit)
{
    char *piece = arena_bytes(ctx->arena, COPY_BYTES);
    for (int64_t at = 0;;) {
        const int64_t left = limit == 0 ? COPY_BYTES : limit - at;
        const size_t want = left < COPY_BYTES ? (size_t)left : COPY_BYTES;
        size_t got = 0;
        TRY(file_read_at(ctx, from, at, piece, want, &got));
        TRY(file_write_at(ctx, to, at, (Str){piece, got}));
        at += (int64_t)got;
        if (got < COPY_BYTES)
            return file_sync(ctx, to);
    }
}

Err backup_copy(Ctx *ctx, Str from, Str to, Str name, int64_t limit)
{
    File source, copy;
    Arena *scratch = arena_new(COPY_BYTES + 4096);
    Ctx c = {.arena = scratch};
    Err err = file_open(&c, from, name, FILE_READ, &source);
    if (err == ERR_OK) {
        err = file_open(&c, to, name, FILE_CREATE, &copy);
        if (err == ERR_OK) {
            err = copy_bytes(&c, source, copy, limit);
            file_close(&copy);
        }
        file_close(&source);
    }
    if (err != ERR_OK)
        ctx->fault = c.fault;
    arena_free(scratch);
    return err;
}

Err backup_measure(Ctx *ctx, Str root, BackupFile *file)
{
    File opened;
    Str map = {NULL, 0};
    uint8_t digest[CRYPTO_MAC_BYTES];
    TRY(file_open(ctx, backup_folder(ctx->arena, root, file->folder), file->name, FILE_READ,
                  &opened));
    const Err err = file_map(ctx, opened, &map);
    file_close(&opened);
    TRY(err);
    crypto_sha256(map, digest);
    const bool whole = file_is_whole(file_map_lost(map));
    file->bytes = (int64_t)map.len;
    file_unmap(map);
    if (!whole)
        return fail(ctx, ERR_INTERNAL, "disk.failed", "%.*s", STR_ARG(file->name));
    CHECK(str_to_c(hex_encode(ctx->arena, (Str){(const char *)digest, sizeof digest}), file->sha256,
                   sizeof file->sha256));
    return ERR_OK;
}

void backup_add(Arena *arena, BackupList *list, Str folder, Str name)
{
    if (list->count == list->cap) {
        list->cap = list->cap == 0 ? 64 : list->cap * 2;
        BackupFile *wider = ARENA_ARRAY(arena, BackupFile, list->cap);
        if (list->count > 0)
            memcpy(wider, list->files, list->count * sizeof *wider);
        list->files = wider;
    }
    list->files[list->count++] = (BackupFile){.folder = folder, .name = name};
}

/* ---- the manifest ------------------------------------------------------------------------------------ */

static void put_text(JsonOut *o, Str key, Str text)
{
    json_out_key(o, key);
    json_out_text(o, text);
}

static void put_i64(JsonOut *o, Str key, int64_t v)
{
    json_out_key(o, key);
    json_out_i64(o, v);
}

Err backup_save(Ctx *ctx, Str root, const BackupList *list)
{
    Buf text = BUF_MAX(MANIFEST_BYTES_MAX);
    JsonOut o = json_out(&text);
    json_out_object(&o);
    put_i64(&o, STR("format"), BACKUP_FORMAT);
    put_text(&o, STR("version"), list->version);
    put_i64(&o, STR("made_at_ms"), list->made_at_ms);
    put_text(&o, STR("currency"), list->currency);
    put_i64(&o, STR("key_newest"), list->key_newest);
    put_text(&o, STR("key_check"), list->key_check);
    put_i64(&o, STR("events"), list->events);
    json_out_key(&o, STR("files"));
    json_out_array(&o);
    for (size_t i = 0; i < list->count; i++) {
        json_out_object(&o);
        put_text(&o, STR("folder"), list->files[i].folder);
        put_text(&o, STR("name"), list->files[i].name);
        put_i64(&o, STR("bytes"), list->files[i].bytes);
        put_text(&o, STR("sha256"), str_of(list->files[i].sha256));
        json_out_end(&o);
    }
    json_out_end(&o);
    json_out_end(&o);
    CHECK(!text.overflowed);
    const Err err = file_replace(ctx, root, BACKUP_MANIFEST, buf_str(&text));
    buf_free(&text);
    return err;
}

static bool take_text(JsonValue object, Str key, Str *out)
{
    JsonValue v;
    return json_find(object, key, &v) && json_text(v, out) == JSON_FAULT_NONE;
}

static bool take_i64(JsonValue object, Str key, int64_t *out)
{
    JsonValue v;
    return json_find(object, key, &v) && json_i64(v, out) == JSON_FAULT_NONE;
}

/* Files lie in the two folders that a backup has, and nowhere else. */
static bool take_file(Arena *arena, JsonValue v, BackupList *list)
{
    Str folder, name, sha256;
    if (!take_text(v, STR("folder"), &folder) || !take_text(v, STR("name"), &name) ||
        !take_text(v, STR("sha256"), &sha256) || list->count == BACKUP_FILES_MAX)
        return false;
    if (folder.len != 0 && !str_eq(folder, STR("events/log")))
        return false;
    backup_add(arena, list, folder, name);
    BackupFile *f = &list->files[list->count - 1];
    return str_to_c(sha256, f->sha256, sizeof f->sha256) && take_i64(v, STR("bytes"), &f->bytes);
}

static bool take_list(Arena *arena, JsonValue root, BackupList *out)
{
    JsonValue files, file;
    int64_t format = 0;
    if (!take_i64(root, STR("format"), &format) || format != BACKUP_FORMAT ||
        !take_text(root, STR("version"), &out->version) ||
        !take_i64(root, STR("made_at_ms"), &out->made_at_ms) ||
        !take_text(root, STR("currency"), &out->currency) ||
        !take_i64(root, STR("key_newest"), &out->key_newest) ||
        !take_text(root, STR("key_check"), &out->key_check) ||
        !take_i64(root, STR("events"), &out->events) || !json_find(root, STR("files"), &files))
        return false;
    for (JsonIter i = json_items(files); json_next_item(&i, &file);)
        if (!take_file(arena, file, out))
            return false;
    return out->count > 0;
}

Err backup_load(Ctx *ctx, Str root, BackupList *out)
{
    Str text;
    JsonValue v;
    BackupList list = {0};
    TRY(file_load(ctx, root, BACKUP_MANIFEST, MANIFEST_BYTES_MAX, &text));
    if (json_open(ctx, text, &v) != ERR_OK || !take_list(ctx->arena, v, &list))
        return fail(ctx, ERR_INVALID, "backup.manifest", "%.*s is not of format %d",
                    STR_ARG(BACKUP_MANIFEST), BACKUP_FORMAT);
    *out = list;
    return ERR_OK;
}
