/*
 * modules/person/person_search.c -- who could be meant: a phone, a card, four last characters, a name.
 *
 * Every way in looks up hashes; nothing is compared in plain text but names of candidates, which are
 * opened and checked because pairs of characters may match in another order.
 */
#include "modules/person/person_internal.h"

#include "base/keyring.h"
#include "person.sql.h"

enum { CANDIDATES_MAX = 200 };

typedef struct Found {
    int64_t *ids;
    size_t count, max;
} Found;

static void add(Found *f, int64_t id)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->ids[i] == id)
            return;
    if (f->count < f->max)
        f->ids[f->count++] = id;
}

static Err by_identifier(Ctx *ctx, PersonIdKind kind, Str text, Found *f)
{
    PersonKey key;
    if (person_key(ctx, kind, text, &key) != ERR_OK)
        return ERR_OK; /* it is not one: another way in may fit */
    int64_t person = 0;
    const Err err = person_by_key(ctx, &key, &person);
    if (err == ERR_NOT_FOUND)
        return ERR_OK;
    TRY(err);
    add(f, person);
    return ERR_OK;
}

static Err by_last4(Ctx *ctx, Str text, Found *f)
{
    uint8_t hash[CRYPTO_INDEX_BYTES];
    if (text.len != 4 || !person_last4_hash(ctx, text, hash))
        return ERR_OK;
    Row_person_by_last4 *rows = NULL;
    size_t n = 0;
    TRY(sql_person_by_last4(ctx, (Str){(const char *)hash, sizeof hash}, (int64_t)f->max, &rows,
                            &n));
    for (size_t i = 0; i < n; i++) {
        int64_t root = 0;
        TRY(person_root(ctx, rows[i].person, &root));
        add(f, root);
    }
    return ERR_OK;
}

/* Whether the person's own name, opened, has `text` in it. */
static Err is_named(Ctx *ctx, int64_t person, Str folded, bool *out)
{
    Row_person_find row;
    Str name;
    TRY(sql_person_find(ctx, person, &row));
    TRY(secret_open(ctx, ctx->keys, (DataKey){person, row.data_key}, PERSON_LABEL_NAME, row.name,
                    &name));
    const Str whole = person_fold(ctx, name);
    *out = false;
    for (size_t i = 0; !*out && i + folded.len <= whole.len; i++)
        *out = str_eq(str_slice(whole, i, i + folded.len), folded);
    return ERR_OK;
}

/* Two pairs narrow it down to few candidates: a Chinese name has seldom more. */
static Err by_name(Ctx *ctx, Str text, Found *f)
{
    Str *grams = NULL;
    const size_t n = person_grams(ctx, text, &grams);
    if (n == 0)
        return ERR_OK;
    Row_person_by_grams *rows = NULL;
    size_t count = 0;
    const Str folded = person_fold(ctx, text);
    TRY(sql_person_by_grams(ctx, grams[0], grams[n - 1], CANDIDATES_MAX, &rows, &count));
    for (size_t i = 0; i < count && f->count < f->max; i++) {
        bool named = false;
        int64_t root = 0;
        TRY(is_named(ctx, rows[i].person, folded, &named));
        if (!named)
            continue;
        TRY(person_root(ctx, rows[i].person, &root));
        add(f, root);
    }
    return ERR_OK;
}

Err person_search(Ctx *ctx, Str text, int64_t max, Person **out, size_t *count)
{
    const Str wanted = str_trim(text);
    Str *grams = NULL;
    if (wanted.len > PERSON_NAME_BYTES_MAX ||
        (wanted.len < 4 && person_grams(ctx, wanted, &grams) == 0))
        return fail_field(ctx, "?q", "person.search",
                          "type a phone number, a card, its last four digits, or two characters "
                          "of a name");
    CHECK(max > 0 && max <= CANDIDATES_MAX);
    Found f = {.ids = ARENA_ARRAY(ctx->arena, int64_t, (size_t)max), .max = (size_t)max};
    TRY(by_identifier(ctx, PERSON_PHONE, wanted, &f));
    TRY(by_identifier(ctx, PERSON_CARD, wanted, &f));
    TRY(by_last4(ctx, wanted, &f));
    TRY(by_name(ctx, wanted, &f));
    *out = ARENA_ARRAY(ctx->arena, Person, f.count + 1);
    for (size_t i = 0; i < f.count; i++)
        TRY(person_find(ctx, f.ids[i], &(*out)[i]));
    *count = f.count;
    return ERR_OK;
}
