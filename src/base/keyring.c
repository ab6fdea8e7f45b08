/*
 * base/keyring.c -- the key file and the sealed values of base/keyring.h.
 */
#include "base/keyring.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/rand.h"

#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>

enum { KEYS_MAX = 256, FILE_BYTES_MAX = 1 << 16, ROOT_ID = 0, DATA_KEY_ID = 0 };

struct Keyring {
    CryptoKey root;
    CryptoKey derived[KEY_USES];
    CryptoKey keys[KEYS_MAX];
    uint16_t ids[KEYS_MAX]; /* ascending */
    size_t count;
};

/* The labels are part of the keys: never change one. */
static const char *const LABELS[KEY_USES] = {
    [KEY_PHONE_INDEX] = "phone.index", [KEY_LAST_FOUR] = "phone.last_four",
    [KEY_NAME_INDEX] = "name.index",   [KEY_COUPON_CODE] = "coupon.code",
    [KEY_BACKUP] = "backup.check",     [KEY_ERASED] = "events.erased"};

/* ---- the file ---- */

static void split_path(Str path, Str *folder, Str *name)
{
    size_t slash = path.len;
    while (slash > 0 && path.ptr[slash - 1] != '/')
        slash--;
    *name = str_slice(path, slash, path.len);
    *folder = slash == 0 ? STR(".") : str_slice(path, 0, slash == 1 ? 1 : slash - 1);
}

static Err check_mode(Ctx *ctx, Str folder, Str name)
{
    File file = FILE_NONE;
    TRY(file_open(ctx, folder, name, FILE_READ, &file));
    struct stat st;
    const bool known = fstat(file.fd, &st) == 0;
    file_close(&file);
    if (!known || (st.st_mode & 077) != 0)
        return fail(ctx, ERR_DENIED, "keyring.mode", "must be 0600");
    return ERR_OK;
}

/* Text of the file; the caller wipes it. */
static Err load_text(Ctx *ctx, Str path, Str *text)
{
    Str folder, name;
    split_path(path, &folder, &name);
    TRY(check_mode(ctx, folder, name));
    return file_load(ctx, folder, name, FILE_BYTES_MAX, text);
}

static void wipe_text(Str text)
{
    if (text.len > 0)
        crypto_wipe((void *)(uintptr_t)text.ptr, text.len);
}

static bool read_key(Arena *arena, Str text, CryptoKey *out)
{
    Str bytes;
    if (!base64_decode(arena, text, &bytes))
        return false;
    const bool fits = bytes.len == sizeof out->bytes;
    if (fits)
        memcpy(out->bytes, bytes.ptr, sizeof out->bytes);
    wipe_text(bytes);
    return fits;
}

/* One line: nothing, or the next key (ids ascend). */
static bool add_line(Arena *arena, Keyring *keys, bool *has_root, Str line)
{
    line = str_trim(line);
    if (line.len == 0 || line.ptr[0] == '#')
        return true;
    const int64_t space = str_index(line, ' ', 0);
    int64_t id = 0;
    if (space < 0 || !str_to_i64(str_slice(line, 0, (size_t)space), &id) || id < 0 ||
        id > UINT16_MAX)
        return false;
    const Str text = str_trim(str_slice(line, (size_t)space, line.len));
    if (id == ROOT_ID) {
        const bool first = !*has_root;
        *has_root = true;
        return first && read_key(arena, text, &keys->root);
    }
    if (keys->count == KEYS_MAX || (keys->count > 0 && id <= keys->ids[keys->count - 1]))
        return false;
    keys->ids[keys->count] = (uint16_t)id;
    return read_key(arena, text, &keys->keys[keys->count++]);
}

static Err parse(Ctx *ctx, Str text, Keyring *keys)
{
    bool has_root = false;
    int line = 1;
    for (size_t from = 0; from < text.len; line++) {
        const int64_t end = str_index(text, '\n', from);
        const size_t to = end < 0 ? text.len : (size_t)end;
        if (!add_line(ctx->arena, keys, &has_root, str_slice(text, from, to)))
            return fail(ctx, ERR_INVALID, "keyring.malformed", "line %d", line);
        from = to + 1;
    }
    if (!has_root || keys->count == 0)
        return fail(ctx, ERR_INVALID, "keyring.malformed", "no %s", has_root ? "key" : "root");
    return ERR_OK;
}

Err keyring_load(Ctx *ctx, Str path, Keyring **out)
{
    Str text;
    TRY(load_text(ctx, path, &text));
    CHECK(sodium_init() >= 0);
    Keyring *keys = sodium_malloc(sizeof *keys);
    CHECK(keys != NULL);
    memset(keys, 0, sizeof *keys);
    const Err err = parse(ctx, text, keys);
    wipe_text(text);
    if (err != ERR_OK) {
        keyring_free(keys);
        return err;
    }
    for (size_t i = 0; i < KEY_USES; i++)
        crypto_derive(&keys->root, str_of(LABELS[i]), &keys->derived[i]);
    CHECK(sodium_mprotect_readonly(keys) == 0);
    *out = keys;
    return ERR_OK;
}

void keyring_free(Keyring *keys)
{
    sodium_free(keys); /* wipes */
}

static void add_random_key(Ctx *ctx, Buf *text, int id)
{
    CryptoKey key;
    rand_bytes(key.bytes, sizeof key.bytes);
    const Str base64 = base64_encode(ctx->arena, (Str){(const char *)key.bytes, sizeof key.bytes});
    buf_addf(text, "%d %.*s\n", id, STR_ARG(base64));
    wipe_text(base64);
    crypto_wipe(&key, sizeof key);
}

static Err save_text(Ctx *ctx, Str path, Buf *text)
{
    Str folder, name;
    split_path(path, &folder, &name);
    CHECK(!text->overflowed);
    const Err err = file_replace(ctx, folder, name, buf_str(text));
    crypto_wipe(text->ptr, text->len);
    buf_free(text);
    return err;
}

Err keyring_create(Ctx *ctx, Str path)
{
    Str folder, name;
    split_path(path, &folder, &name);
    File file = FILE_NONE;
    const Err err = file_open(ctx, folder, name, FILE_READ, &file);
    if (err == ERR_OK) {
        file_close(&file);
        return fail(ctx, ERR_CONFLICT, "keyring.exists", "%.*s", STR_ARG(path));
    }
    if (err != ERR_NOT_FOUND)
        return err;
    Buf text = BUF_MAX(FILE_BYTES_MAX);
    CHECK(buf_reserve(&text, 1024) != NULL); /* no copy of a key is left behind by growing */
    buf_add(&text, STR("# Keep a copy of this file in a safe, apart from backups of the data.\n"));
    add_random_key(ctx, &text, ROOT_ID);
    add_random_key(ctx, &text, 1);
    return save_text(ctx, path, &text);
}

Err keyring_rotate(Ctx *ctx, Str path)
{
    Keyring *keys = NULL;
    TRY(keyring_load(ctx, path, &keys));
    const size_t count = keys->count;
    const uint16_t newest = keyring_newest(keys);
    keyring_free(keys);
    if (count == KEYS_MAX || newest == UINT16_MAX)
        return fail(ctx, ERR_CONFLICT, "keyring.full", "%zu keys", count);
    Str old;
    TRY(load_text(ctx, path, &old));
    Buf text = BUF_MAX(FILE_BYTES_MAX + 1024);
    CHECK(buf_reserve(&text, old.len + 1024) != NULL);
    buf_add(&text, old);
    if (!str_ends_with(old, STR("\n")))
        buf_add_char(&text, '\n');
    add_random_key(ctx, &text, newest + 1);
    wipe_text(old);
    return save_text(ctx, path, &text);
}

/* ---- values ---- */

uint16_t keyring_newest(const Keyring *keys)
{
    return keys->ids[keys->count - 1];
}

const CryptoKey *keyring_key(const Keyring *keys, KeyUse use)
{
    return &keys->derived[use];
}

Str keyring_seal(Arena *arena, const Keyring *keys, Str label, Str plain)
{
    return crypto_seal(arena, &keys->keys[keys->count - 1], keyring_newest(keys), label, plain);
}

static Err unreadable(Ctx *ctx, Str label)
{
    return fail(ctx, ERR_INTERNAL, "secret.unreadable", "%.*s", STR_ARG(label));
}

Err keyring_open(Ctx *ctx, const Keyring *keys, Str label, Str sealed, Str *plain)
{
    uint16_t id = 0;
    if (!crypto_key_id(sealed, &id))
        return unreadable(ctx, label);
    size_t i = 0;
    while (i < keys->count && keys->ids[i] != id)
        i++;
    if (i == keys->count)
        return fail(ctx, ERR_INTERNAL, "secret.key_missing", "master key %d", id);
    return crypto_open(ctx->arena, &keys->keys[i], label, sealed, plain) ? ERR_OK
                                                                         : unreadable(ctx, label);
}

/* What a wrapped key is and whose. */
static Str owner_label(Arena *arena, int64_t owner)
{
    return arena_printf(arena, "data key of %" PRId64, owner);
}

/* Wraps `data` and wipes it. */
static DataKey wrap(Arena *arena, const Keyring *keys, int64_t owner, CryptoKey *data)
{
    const Str plain = {(const char *)data->bytes, sizeof data->bytes};
    const DataKey key = {owner, keyring_seal(arena, keys, owner_label(arena, owner), plain)};
    crypto_wipe(data, sizeof *data);
    return key;
}

DataKey secret_new_key(Arena *arena, const Keyring *keys, int64_t owner)
{
    CryptoKey data;
    rand_bytes(data.bytes, sizeof data.bytes);
    return wrap(arena, keys, owner, &data);
}

static Err unwrap(Ctx *ctx, const Keyring *keys, DataKey key, CryptoKey *out)
{
    Str plain;
    const Str label = owner_label(ctx->arena, key.owner);
    TRY(keyring_open(ctx, keys, label, key.wrapped, &plain));
    const bool fits = plain.len == sizeof out->bytes;
    if (fits)
        memcpy(out->bytes, plain.ptr, sizeof out->bytes);
    wipe_text(plain);
    return fits ? ERR_OK : unreadable(ctx, label);
}

Err secret_seal(Ctx *ctx, const Keyring *keys, DataKey key, Str label, Str plain, Str *sealed)
{
    CryptoKey data;
    TRY(unwrap(ctx, keys, key, &data));
    *sealed = crypto_seal(ctx->arena, &data, DATA_KEY_ID, label, plain);
    crypto_wipe(&data, sizeof data);
    return ERR_OK;
}

Err secret_open(Ctx *ctx, const Keyring *keys, DataKey key, Str label, Str sealed, Str *plain)
{
    CryptoKey data;
    TRY(unwrap(ctx, keys, key, &data));
    const bool genuine = crypto_open(ctx->arena, &data, label, sealed, plain);
    crypto_wipe(&data, sizeof data);
    return genuine ? ERR_OK : unreadable(ctx, label);
}

Err secret_rewrap(Ctx *ctx, const Keyring *keys, DataKey key, DataKey *out, bool *changed)
{
    uint16_t id = 0;
    if (crypto_key_id(key.wrapped, &id) && id == keyring_newest(keys)) {
        *out = key;
        *changed = false;
        return ERR_OK;
    }
    CryptoKey data;
    TRY(unwrap(ctx, keys, key, &data));
    *out = wrap(ctx->arena, keys, key.owner, &data);
    *changed = true;
    return ERR_OK;
}
