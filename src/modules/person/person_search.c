/*
 * modules/person/person_search.c -- who could be meant: a phone, a card, four last characters, a name.
 *
 * Every way in looks up hashes; nothing is compared in plain text but names of candidates, which are
 * opened and checked because pairs of characters may match in another order.  Candidates come from the
 * rarest pairs, in pages, until enough were right.
 */
#include "modules/person/person_internal.h"

#include "base/keyring.h"
#include "person.sql.h"
#include "request/principal.h"

enum { PAGE = 200, CANDIDATES_MAX = 10 * PAGE, PAIRS = 4, RARITY_MAX = 2000 };

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
    int64_t person = 0;
    const Err none = person_key(ctx, kind, text, &key);
    if (none == ERR_INVALID)
        return ERR_OK; /* it is not one: another way in may fit */
    TRY(none);
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
    size_t n = PAGE;
    int64_t before = INT64_MAX;
    for (int seen = 0; seen < CANDIDATES_MAX && n == PAGE && f->count < f->max; seen += PAGE) {
        Row_person_by_last4 *rows = NULL;
        TRY(sql_person_by_last4(ctx, (Str){(const char *)hash, sizeof hash}, before, PAGE, &rows,
                                &n));
        for (size_t i = 0; i < n; i++) {
            before = rows[i].person;
            if (principal_may_store(ctx->who, rows[i].store))
                add(f, rows[i].root);
        }
    }
    return ERR_OK;
}

/* ---- by name ------------------------------------------------------------------------------------- */

/* The rarest pairs of a name, rarest first; one is there several times when it has fewer. */
static Err rarest_pairs(Ctx *ctx, const Str *grams, size_t n, Str out[PAIRS])
{
    int64_t people[PAIRS];
    for (size_t k = 0; k < PAIRS; k++) {
        out[k] = grams[0];
        people[k] = INT64_MAX;
    }
    for (size_t i = 0; i < n; i++) {
        Row_person_gram_count row;
        TRY(sql_person_gram_count(ctx, grams[i], RARITY_MAX, &row));
        size_t at = PAIRS;
        while (at > 0 && row.people < people[at - 1])
            at--;
        for (size_t k = PAIRS - 1; k > at; k--) {
            out[k] = out[k - 1];
            people[k] = people[k - 1];
        }
        if (at < PAIRS) {
            out[at] = grams[i];
            people[at] = row.people;
        }
    }
    return ERR_OK;
}

/* Whether the candidate's own name, opened, has `text` in it. */
static Err is_named(Ctx *ctx, const Row_person_by_grams *row, Str folded, bool *out)
{
    Str name;
    TRY(secret_open(ctx, ctx->keys, (DataKey){row->person, row->data_key}, PERSON_LABEL_NAME,
                    row->name, &name));
    const Str whole = person_fold(ctx, name);
    *out = false;
    for (size_t i = 0; !*out && i + folded.len <= whole.len; i++)
        *out = str_eq(str_slice(whole, i, i + folded.len), folded);
    return ERR_OK;
}

static Err add_named(Ctx *ctx, const Row_person_by_grams *rows, size_t n, Str folded, Found *f)
{
    for (size_t i = 0; i < n && f->count < f->max; i++) {
        bool named = false;
        if (!principal_may_store(ctx->who, rows[i].store))
            continue;
        TRY(is_named(ctx, &rows[i], folded, &named));
        if (named)
            add(f, rows[i].root);
    }
    return ERR_OK;
}

static Err by_name(Ctx *ctx, Str text, Found *f)
{
    Str *grams = NULL, rarest[PAIRS];
    size_t n = person_grams(ctx, text, &grams);
    if (n == 0)
        return ERR_OK;
    TRY(rarest_pairs(ctx, grams, n, rarest));
    const Str folded = person_fold(ctx, text);
    int64_t before = INT64_MAX;
    n = PAGE;
    for (int seen = 0; seen < CANDIDATES_MAX && n == PAGE && f->count < f->max; seen += PAGE) {
        Row_person_by_grams *rows = NULL;
        TRY(sql_person_by_grams(ctx,
                                &(In_person_by_grams){.first = rarest[0],
                                                      .second = rarest[1],
                                                      .third = rarest[2],
                                                      .fourth = rarest[3],
                                                      .before = before,
                                                      .max = PAGE},
                                &rows, &n));
        TRY(add_named(ctx, rows, n, folded, f));
        before = n == 0 ? before : rows[n - 1].person;
    }
    return ERR_OK;
}

/* ---- together ------------------------------------------------------------------------------------ */

const char *person_search_kind(Ctx *ctx, Str text)
{
    const Str wanted = str_trim(text);
    PersonKey key;
    bool digit = false;
    for (size_t i = 0; i < wanted.len; i++)
        digit = digit || (wanted.ptr[i] >= '0' && wanted.ptr[i] <= '9');
    if (digit && wanted.len == 4)
        return "last4";
    if (person_key(ctx, PERSON_PHONE, wanted, &key) == ERR_OK)
        return "phone";
    return digit ? "card" : "name";
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
    CHECK(max > 0 && max <= PAGE);
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
