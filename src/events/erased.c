/*
 * events/erased.c -- see events/erased.h.
 */
#include "events/erased.h"

#include "base/file.h"
#include "base/log.h"
#include "events/crc32c.h"

#include <stdlib.h>

enum { ERASED_VERSION = 1, CRC_FROM = 16, FLAG_AGAIN = 1, FLAG_REDOING = 2, KEYED_BYTES_MAX = 512 };

static const Str MAGIC = {"TDEVERA1", 8};

typedef struct ErasedHead {
    char magic[8];
    uint32_t version;
    uint32_t crc; /* of everything behind this field */
    uint8_t key_check[ERASED_HASH_BYTES];
    uint64_t looked, gone;
    uint64_t flags;
    uint64_t count;
} ErasedHead;
_Static_assert(sizeof(ErasedHead) == 64 && sizeof(ErasedActor) == 32, "on-disk layout");

/* ---- the file -------------------------------------------------------------------------------- */

static bool is_sorted(const ErasedActor *at, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (memcmp(at[i - 1].hash, at[i].hash, ERASED_HASH_BYTES) >= 0)
            return false;
    return true;
}

static bool take_bytes(Str bytes, Erased *out)
{
    ErasedHead head;
    if (bytes.len < sizeof head)
        return false;
    memcpy(&head, bytes.ptr, sizeof head);
    const Str checked = str_slice(bytes, CRC_FROM, bytes.len);
    if (memcmp(head.magic, MAGIC.ptr, sizeof head.magic) != 0 || head.version != ERASED_VERSION ||
        head.crc != crc32c_add(0, checked) || head.count > ERASED_MAX ||
        head.count != (bytes.len - sizeof head) / sizeof(ErasedActor) || head.looked == 0)
        return false;
    Erased e = {.count = head.count,
                .cap = head.count,
                .looked = head.looked,
                .gone = head.gone,
                .again = (head.flags & FLAG_AGAIN) != 0,
                .redoing = (head.flags & FLAG_REDOING) != 0};
    memcpy(e.key_check, head.key_check, sizeof e.key_check);
    e.at = calloc(e.count + 1, sizeof *e.at);
    CHECK(e.at != NULL);
    memcpy(e.at, bytes.ptr + sizeof head, e.count * sizeof *e.at);
    if (!is_sorted(e.at, e.count)) {
        erased_clear(&e);
        return false;
    }
    *out = e;
    return true;
}

Err erased_read(Ctx *ctx, Str folder, Str name, Erased *out)
{
    Str bytes;
    const size_t max = sizeof(ErasedHead) + (size_t)ERASED_MAX * sizeof(ErasedActor);
    const Err err = file_load(ctx, folder, name, max, &bytes);
    if (err != ERR_OK && err != ERR_TOO_LARGE)
        return err;
    if (err == ERR_TOO_LARGE || !take_bytes(bytes, out))
        return fail(ctx, ERR_INTERNAL, "events.erased_damaged", "%.*s", STR_ARG(name));
    return ERR_OK;
}

Err erased_load(Ctx *ctx, Str folder, Erased *out)
{
    const Erased nobody = {.looked = 1};
    const Err err = erased_read(ctx, folder, ERASED_FILE, out);
    if (err == ERR_OK)
        return ERR_OK;
    *out = nobody;
    if (err == ERR_NOT_FOUND)
        return ERR_OK;
    if (!str_eq(str_of(ctx->fault.reason), STR("events.erased_damaged")))
        return err;
    LOG(LOG_ERROR, "events.erased_damaged", LOG_STR("folder", folder));
    return file_rename(ctx, folder, ERASED_FILE, STR("erased.damaged"));
}

Err erased_save(Ctx *ctx, Str folder, const Erased *e)
{
    ErasedHead head = {.version = ERASED_VERSION,
                       .looked = e->looked,
                       .gone = e->gone,
                       .flags = (e->again ? FLAG_AGAIN : 0) | (e->redoing ? FLAG_REDOING : 0),
                       .count = e->count};
    memcpy(head.magic, MAGIC.ptr, sizeof head.magic);
    memcpy(head.key_check, e->key_check, sizeof head.key_check);
    const size_t actors = e->count * sizeof *e->at, len = sizeof head + actors;
    char *bytes = malloc(len);
    CHECK(bytes != NULL);
    memcpy(bytes, &head, sizeof head);
    if (actors > 0)
        memcpy(bytes + sizeof head, e->at, actors);
    head.crc = crc32c_add(0, (Str){bytes + CRC_FROM, len - CRC_FROM});
    memcpy(bytes, &head, sizeof head);
    const Err err = file_replace(ctx, folder, ERASED_FILE, (Str){bytes, len});
    free(bytes);
    return err;
}

void erased_clear(Erased *e)
{
    free(e->at);
    *e = (Erased){.looked = 1};
}

/* ---- hashes ---------------------------------------------------------------------------------- */

Err erased_use_key(Ctx *ctx, Erased *e, const CryptoKey *key)
{
    uint8_t check[ERASED_HASH_BYTES];
    crypto_mac(key, STR("the key of the erased"), check, sizeof check);
    if (e->count > 0 && memcmp(check, e->key_check, sizeof check) != 0)
        return fail(ctx, ERR_INVALID, "events.erased_key",
                    "the ledger of erasures was made with another key file");
    memcpy(e->key_check, check, sizeof check);
    return ERR_OK;
}

static void hash_actor(const CryptoKey *key, EventActor actor, uint8_t hash[ERASED_HASH_BYTES])
{
    char bytes[KEYED_BYTES_MAX];
    _Static_assert(2 + EVENT_ACTOR_KIND_BYTES_MAX + EVENT_ACTOR_VALUE_BYTES_MAX <= KEYED_BYTES_MAX,
                   "a key fits");
    CHECK(actor.kind.len <= EVENT_ACTOR_KIND_BYTES_MAX &&
          actor.value.len <= EVENT_ACTOR_VALUE_BYTES_MAX && actor.kind.len > 0);
    bytes[0] = (char)actor.kind.len;
    memcpy(bytes + 1, actor.kind.ptr, actor.kind.len);
    memcpy(bytes + 1 + actor.kind.len, actor.value.ptr, actor.value.len);
    crypto_mac(key, (Str){bytes, 1 + actor.kind.len + actor.value.len}, hash, ERASED_HASH_BYTES);
}

/* The first place whose hash is not smaller. */
static size_t place_of(const Erased *e, const uint8_t hash[ERASED_HASH_BYTES])
{
    size_t low = 0, high = e->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (memcmp(e->at[middle].hash, hash, ERASED_HASH_BYTES) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool has_at(const Erased *e, size_t at, const uint8_t hash[ERASED_HASH_BYTES])
{
    return at < e->count && memcmp(e->at[at].hash, hash, ERASED_HASH_BYTES) == 0;
}

static void insert(Erased *e, size_t at, ErasedActor actor)
{
    if (e->count == e->cap) {
        e->cap = e->cap == 0 ? 16 : e->cap * 2;
        e->at = realloc(e->at, e->cap * sizeof *e->at);
        CHECK(e->at != NULL);
    }
    memmove(e->at + at + 1, e->at + at, (e->count - at) * sizeof *e->at);
    e->at[at] = actor;
    e->count++;
}

Err erased_add(Ctx *ctx, Erased *e, const CryptoKey *key, EventActor actor, uint64_t below,
               int64_t asked_ms)
{
    ErasedActor one = {.below = below, .asked_ms = asked_ms > 0 ? asked_ms : 1};
    hash_actor(key, actor, one.hash);
    const size_t at = place_of(e, one.hash);
    if (!has_at(e, at, one.hash)) {
        if (e->count == ERASED_MAX)
            return fail(ctx, ERR_BUSY, "events.erased_full", "%d actors", ERASED_MAX);
        insert(e, at, one);
        return ERR_OK;
    }
    ErasedActor *old = &e->at[at];
    old->below = below > old->below ? below : old->below;
    old->asked_ms =
        old->asked_ms > 0 && old->asked_ms < one.asked_ms ? old->asked_ms : one.asked_ms;
    return ERR_OK;
}

uint64_t erased_below(const Erased *e, const CryptoKey *key, EventActor actor)
{
    uint8_t hash[ERASED_HASH_BYTES];
    if (event_actor_is_nobody(actor))
        return 0;
    hash_actor(key, actor, hash);
    const size_t at = place_of(e, hash);
    return has_at(e, at, hash) ? e->at[at].below : 0;
}

/* ---- all of them ----------------------------------------------------------------------------- */

ErasedWaiting erased_waiting(const Erased *e)
{
    ErasedWaiting w = {0};
    for (size_t i = 0; i < e->count; i++) {
        const ErasedActor *a = &e->at[i];
        if (a->asked_ms == 0)
            continue;
        w.since_ms = w.count == 0 || a->asked_ms < w.since_ms ? a->asked_ms : w.since_ms;
        w.top = a->below > w.top ? a->below : w.top;
        w.count++;
    }
    return w;
}

void erased_again(Erased *e, uint64_t end_seq, int64_t now_ms)
{
    for (size_t i = 0; i < e->count; i++) {
        ErasedActor *a = &e->at[i];
        a->below = a->below < end_seq ? a->below : end_seq;
        a->asked_ms = a->asked_ms > 0 ? a->asked_ms : now_ms;
    }
    e->gone = e->gone < end_seq ? e->gone : end_seq;
    e->looked = 1;
    e->again = false;
    e->redoing = true;
}

void erased_done(Erased *e)
{
    for (size_t i = 0; i < e->count; i++)
        e->at[i].asked_ms = 0;
    e->redoing = false;
}
