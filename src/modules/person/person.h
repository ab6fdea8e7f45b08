/*
 * modules/person/person.h -- people and the identifiers that find them.
 *
 * Owns:     tables person, person_identifier, person_last4, person_gram, person_attribute.
 * Promises: an identifier belongs to one person; values are stored sealed under a data key per
 *           person and found by keyed hash only; nothing here returns a full phone number but
 *           person_reveal(), which is a permission of its own and audited; reads go over
 *           person.root, so that a later merge is a link and no row moves.
 *
 *     field            stored            found by                       shown
 *     phone, card ...  sealed            HMAC of the canonical value    masked
 *     last four        -                 HMAC, a key of its own         -
 *     name             sealed            HMAC of pairs of characters    to whom person.read allows
 *     attributes       plain             -                              plain (no identifiers there)
 *
 * Depends:  base, db, request, jobs (outbox), setting.
 */
#pragma once

#include "base/crypto.h"
#include "db/db.h"
#include "events/event.h"

typedef enum PersonIdKind {
    PERSON_PHONE = 1,
    PERSON_UNIONID = 2,
    PERSON_CARD = 3,
    PERSON_OPENID = 4,
    PERSON_WECOM = 5,
    PERSON_EMAIL = 6
} PersonIdKind;

enum { PERSON_IDS_MAX = 8, PERSON_NAME_BYTES_MAX = 120, PERSON_ID_BYTES_MAX = 128 };

/* An identifier ready to be looked up: its canonical form and keyed hash.  Made off the writer. */
typedef struct PersonKey {
    PersonIdKind kind;
    Str canonical;
    uint8_t hash[CRYPTO_INDEX_BYTES];
} PersonKey;

/* Errors: INVALID "person.phone" with what is wrong (field /phone); `region` for numbers without +. */
MUST_USE Err person_key_phone(Ctx *ctx, Str raw, PersonKey *out);

/* Card, unionid, ...: trimmed, 1 to PERSON_ID_BYTES_MAX visible characters.  INVALID "person.identifier". */
MUST_USE Err person_key(Ctx *ctx, PersonIdKind kind, Str raw, PersonKey *out);

/* The person (root) that an identifier belongs to.  NOT_FOUND "person.unknown". */
MUST_USE Err person_by_key(Ctx *ctx, const PersonKey *key, int64_t *person);

/* Everything a new person needs, sealed and hashed: made off the writer, stored by person_enrol(). */
typedef struct PersonDraft {
    int64_t id;
    Str wrapped_key;
    Str name_sealed;
    PersonKey keys[PERSON_IDS_MAX];
    Str sealed[PERSON_IDS_MAX];
    size_t key_count;
    Str *grams; /* CRYPTO_INDEX_BYTES each */
    size_t gram_count;
    int64_t store;       /* 0 = online or unknown */
    Str channel;         /* "counter", "h5", "import", ... */
    int64_t enrolled_ms; /* 0 = now */
} PersonDraft;

/* Errors: INVALID "person.name" (too long), "person.identifier" (none, or too many). */
MUST_USE Err person_prepare(Ctx *ctx, const PersonKey *keys, size_t key_count, Str name,
                            PersonDraft *out);

/*
 * Stores the person unless one of the identifiers is known: then that person gets the others (an
 * identifier that belongs to somebody else stays there).  *created says which.
 */
MUST_USE Err person_enrol(Tx *tx, const PersonDraft *draft, int64_t *person, bool *created);

/* The same, and *added = whether a known person got an identifier by it: for the audit. */
MUST_USE Err person_enrol_told(Tx *tx, const PersonDraft *draft, int64_t *person, bool *created,
                               bool *added);

typedef struct PersonId {
    PersonIdKind kind;
    Str masked;
    int64_t created_ms;
} PersonId;

typedef struct PersonAttribute {
    Str name, value;
} PersonAttribute;

typedef struct Person {
    int64_t id; /* the root */
    Str name;   /* "" = unknown */
    Str phone;  /* masked; "" = none */
    Str card;   /* masked; "" = none */
    int64_t store;
    Str channel;
    int64_t enrolled_ms;
    PersonId *ids;
    size_t id_count;
    PersonAttribute *attributes;
    size_t attribute_count;
} Person;

/* NOT_FOUND "person.unknown". */
MUST_USE Err person_find(Ctx *ctx, int64_t id, Person *out);

/* The root of a person: itself until merged.  NOT_FOUND "person.unknown". */
MUST_USE Err person_root(Ctx *ctx, int64_t id, int64_t *root);

/* The full phone number.  The caller has checked "person.reveal" and audits.  NOT_FOUND
 * "person.no_phone". */
MUST_USE Err person_reveal_phone(Ctx *ctx, int64_t id, Str *phone);

/*
 * People that `text` may mean, at most `max`: a whole phone number, a card, the last four characters of
 * either, or a part of a name (two characters or more; letters A to Z in any case), in this order; of
 * those that one of them finds the newest first.  Whoever works in some shops only finds by last four
 * or name those who were enrolled there (of the newest 2,000 that fit), but anybody by phone or card.
 * Errors: INVALID "person.search" when it is too short for any.
 */
MUST_USE Err person_search(Ctx *ctx, Str text, int64_t max, Person **out, size_t *count);

/* What the text looks like, for the audit: "phone", "card", "last4" or "name". */
const char *person_search_kind(Ctx *ctx, Str text);

/* Newest first, enrolled before (before_ms, before_id); start with INT64_MAX, INT64_MAX. */
MUST_USE Err person_page(Ctx *ctx, int64_t before_ms, int64_t before_id, int64_t max, Person **out,
                         size_t *count);

/* How many were enrolled in [from_ms, to_ms). */
MUST_USE Err person_count_between(Ctx *ctx, int64_t from_ms, int64_t to_ms, int64_t *people);

/* Sets attributes; tells the event engine.  INVALID "person.attribute", NOT_FOUND "person.unknown". */
MUST_USE Err person_set_attributes(Tx *tx, int64_t person, const PersonAttribute *attributes,
                                   size_t count);

/* The event engine's name for a person: ("person", id); 0 is nobody. */
EventActor person_actor(Ctx *ctx, int64_t person);
