/*
 * events/erased.h -- the ledger of erasures: who was erased, below which sequence number.
 *
 * An actor stands in it as a keyed hash, so that the ledger can be kept for good: a log that is put
 * back to an older backup is rewritten by it once more.  The key is the caller's and lies outside of
 * the data folder.  File: "erased" in the log's folder, docs/formats/event-log.md.
 * Owns: its heap memory until erased_clear().  Threads: one at a time.  Private to the events layer.
 */
#pragma once

#include "base/crypto.h"
#include "events/event.h"

enum { ERASED_HASH_BYTES = 16, ERASED_MAX = 1 << 20 };
#define ERASED_FILE STR("erased")

typedef struct ErasedActor {
    uint8_t hash[ERASED_HASH_BYTES];
    uint64_t below;   /* records of it with smaller numbers go */
    int64_t asked_ms; /* while they may still be there: when it was asked for; 0 = all are gone */
} ErasedActor;

typedef struct Erased {
    ErasedActor *at; /* by hash */
    size_t count, cap;
    uint8_t key_check[ERASED_HASH_BYTES]; /* zeros: nobody is in it */
    uint64_t looked;                      /* the asking records below this number are in it */
    uint64_t gone; /* asking records below this number may have become EVENT_GONE */
    bool again;    /* of a log that knew more than this one: it is to be rewritten as a whole */
    bool redoing;  /* that has begun, and is not done */
} Erased;

/* Of a missing file: nobody.  One that is damaged is put aside as "erased.damaged" and logged: whoever asked below
 * `looked` and is still in the log is found again, what had been erased stays so. */
MUST_USE Err erased_load(Ctx *ctx, Str folder, Erased *out);

/* Reads it and changes nothing.  NOT_FOUND "file.missing", INTERNAL "events.erased_damaged". */
MUST_USE Err erased_read(Ctx *ctx, Str folder, Str name, Erased *out);
MUST_USE Err erased_save(Ctx *ctx, Str folder, const Erased *e);
void erased_clear(Erased *e);

/* Whether its hashes are under this key; the first one decides.  INVALID "events.erased_key". */
MUST_USE Err erased_use_key(Ctx *ctx, Erased *e, const CryptoKey *key);

/* Everything of the actor below this number is to go.  BUSY "events.erased_full" beyond ERASED_MAX. */
MUST_USE Err erased_add(Ctx *ctx, Erased *e, const CryptoKey *key, EventActor actor, uint64_t below,
                        int64_t asked_ms);

/* Below which number the actor's records go; 0 = none does. */
uint64_t erased_below(const Erased *e, const CryptoKey *key, EventActor actor);

typedef struct ErasedWaiting {
    int64_t count, since_ms; /* 0 = none */
    uint64_t top;            /* the highest `below` of those */
} ErasedWaiting;
ErasedWaiting erased_waiting(const Erased *e);

/* All of them wait again, for what is below `end_seq`, and the log is looked through once more: `again` is `redoing`
 * from here on. */
void erased_again(Erased *e, uint64_t end_seq, int64_t now_ms);
void erased_done(Erased *e); /* nobody waits, and all is redone */
