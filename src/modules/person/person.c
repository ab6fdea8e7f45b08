/*
 * modules/person/person.c -- enrolling, finding, showing.
 */
#include "modules/person/person_internal.h"

#include "base/id.h"
#include "base/keyring.h"
#include "base/phone.h"
#include "jobs/outbox.h"
#include "person.sql.h"

Str person_label(PersonIdKind kind)
{
    switch (kind) {
    case PERSON_PHONE:
        return STR("person.phone");
    case PERSON_UNIONID:
        return STR("person.unionid");
    case PERSON_CARD:
        return STR("person.card");
    case PERSON_OPENID:
        return STR("person.openid");
    case PERSON_WECOM:
        return STR("person.wecom");
    case PERSON_EMAIL:
        return STR("person.email");
    }
    CHECK(false && "a kind of identifier");
    return STR("");
}

EventActor person_actor(Ctx *ctx, int64_t person)
{
    if (person == 0)
        return (EventActor){STR(""), STR("")};
    return (EventActor){STR("person"), arena_i64(ctx->arena, person)};
}

/* ---- enrol --------------------------------------------------------------------------------------- */

Err person_prepare(Ctx *ctx, const PersonKey *keys, size_t key_count, Str name, PersonDraft *out)
{
    if (key_count == 0 || key_count > PERSON_IDS_MAX)
        return fail_field(ctx, "", "person.identifier", "1 to %d identifiers", PERSON_IDS_MAX);
    if (name.len > PERSON_NAME_BYTES_MAX)
        return fail_field(ctx, "/name", "person.name", "at most %d bytes", PERSON_NAME_BYTES_MAX);
    PersonDraft d = {.id = id_next(ctx->now_ms), .key_count = key_count, .channel = STR("")};
    const DataKey key = secret_new_key(ctx->arena, ctx->keys, d.id);
    d.wrapped_key = key.wrapped;
    d.name_sealed = STR("");
    if (name.len > 0)
        TRY(secret_seal(ctx, ctx->keys, key, PERSON_LABEL_NAME, name, &d.name_sealed));
    for (size_t i = 0; i < key_count; i++) {
        d.keys[i] = keys[i];
        TRY(secret_seal(ctx, ctx->keys, key, person_label(keys[i].kind), keys[i].canonical,
                        &d.sealed[i]));
    }
    d.gram_count = person_grams(ctx, name, &d.grams);
    *out = d;
    return ERR_OK;
}

static Str hash_str(const uint8_t hash[CRYPTO_INDEX_BYTES])
{
    return (Str){(const char *)hash, CRYPTO_INDEX_BYTES};
}

static Err insert_identifier(Tx *tx, int64_t person, const PersonKey *k, Str sealed)
{
    TRY(sql_person_identifier_insert(tx, k->kind, hash_str(k->hash), person, sealed,
                                     tx->ctx->now_ms, NULL));
    uint8_t last4[CRYPTO_INDEX_BYTES];
    if ((k->kind == PERSON_PHONE || k->kind == PERSON_CARD) &&
        person_last4_hash(tx->ctx, k->canonical, last4))
        TRY(sql_person_last4_insert(tx, hash_str(last4), person, NULL));
    return ERR_OK;
}

/* The person that already has one of the draft's identifiers; 0 = nobody. */
static Err known_person(Ctx *ctx, const PersonDraft *d, int64_t *person)
{
    for (size_t i = 0; i < d->key_count; i++) {
        const Err err = person_by_key(ctx, &d->keys[i], person);
        if (err != ERR_NOT_FOUND)
            return err;
    }
    *person = 0;
    return ERR_OK;
}

/* Identifiers that the known person does not have yet, sealed under that person's own key. */
static Err add_identifiers(Tx *tx, const PersonDraft *d, int64_t person, bool *added)
{
    Ctx *ctx = tx->ctx;
    Row_person_find row;
    TRY(sql_person_find(ctx, person, &row));
    for (size_t i = 0; i < d->key_count; i++) {
        int64_t owner = 0;
        const Err err = person_by_key(ctx, &d->keys[i], &owner);
        if (err == ERR_OK)
            continue;
        if (err != ERR_NOT_FOUND)
            return err;
        Str sealed;
        TRY(secret_seal(ctx, ctx->keys, (DataKey){person, row.data_key},
                        person_label(d->keys[i].kind), d->keys[i].canonical, &sealed));
        TRY(insert_identifier(tx, person, &d->keys[i], sealed));
        *added = true;
    }
    return ERR_OK;
}

static Err emit_enrolled(Tx *tx, const PersonDraft *d, int64_t at_ms)
{
    Ctx *ctx = tx->ctx;
    const Event head = {.kind = EVENT_HAPPENED,
                        .source = STR("person"),
                        .id = arena_printf(ctx->arena, "enrolled:%" PRId64, d->id),
                        .name = STR("Person Enrolled"),
                        .time_ms = at_ms,
                        .received_ms = ctx->now_ms,
                        .actor = person_actor(ctx, d->id),
                        .store = d->store == 0 ? STR("") : arena_i64(ctx->arena, d->store)};
    EventBuilder *b = event_begin(ctx, &head);
    event_prop_text(b, STR("channel"), d->channel);
    Event event;
    TRY(event_end(b, &event));
    return outbox_emit(tx, &event);
}

Err person_enrol(Tx *tx, const PersonDraft *d, int64_t *person, bool *created)
{
    bool added = false;
    return person_enrol_told(tx, d, person, created, &added);
}

Err person_enrol_told(Tx *tx, const PersonDraft *d, int64_t *person, bool *created, bool *added)
{
    int64_t known = 0;
    TRY(known_person(tx->ctx, d, &known));
    *created = known == 0;
    *added = false;
    if (known != 0) {
        *person = known;
        return add_identifiers(tx, d, known, added);
    }
    const int64_t at_ms = d->enrolled_ms == 0 ? tx->ctx->now_ms : d->enrolled_ms;
    TRY(sql_person_insert(tx,
                          &(In_person_insert){.id = d->id,
                                              .data_key = d->wrapped_key,
                                              .name = d->name_sealed,
                                              .store = d->store,
                                              .channel = d->channel,
                                              .enrolled_ms = at_ms},
                          NULL));
    for (size_t i = 0; i < d->key_count; i++)
        TRY(insert_identifier(tx, d->id, &d->keys[i], d->sealed[i]));
    for (size_t i = 0; i < d->gram_count; i++)
        TRY(sql_person_gram_insert(tx, d->grams[i], d->id, NULL));
    *person = d->id;
    return emit_enrolled(tx, d, at_ms);
}

/* ---- find ---------------------------------------------------------------------------------------- */

Err person_by_key(Ctx *ctx, const PersonKey *key, int64_t *person)
{
    Row_person_by_identifier row;
    const Err err = sql_person_by_identifier(ctx, key->kind, hash_str(key->hash), &row);
    if (err == ERR_NOT_FOUND)
        return fail(ctx, ERR_NOT_FOUND, "person.unknown", "kind %d", (int)key->kind);
    TRY(err);
    return person_root(ctx, row.person, person);
}

Err person_root(Ctx *ctx, int64_t id, int64_t *root)
{
    Row_person_root row;
    const Err err = sql_person_root(ctx, id, &row);
    if (err == ERR_NOT_FOUND)
        return fail(ctx, ERR_NOT_FOUND, "person.unknown", "person %" PRId64, id);
    TRY(err);
    *root = row.root;
    return ERR_OK;
}

/* A card: all but its last four characters hidden, at least four of them. */
static Str mask_code(Ctx *ctx, Str value)
{
    const size_t show = value.len >= 8 ? 4 : value.len >= 4 ? 2 : 0;
    return arena_printf(ctx->arena, "****%.*s",
                        STR_ARG(str_slice(value, value.len - show, value.len)));
}

static Err read_identifiers(Ctx *ctx, DataKey key, Person *p)
{
    Row_person_identifiers *rows = NULL;
    TRY(sql_person_identifiers(ctx, p->id, &rows, &p->id_count));
    p->ids = ARENA_ARRAY(ctx->arena, PersonId, p->id_count + 1);
    for (size_t i = 0; i < p->id_count; i++) {
        const PersonIdKind kind = (PersonIdKind)rows[i].kind;
        Str plain;
        TRY(secret_open(ctx, ctx->keys, key, person_label(kind), rows[i].value, &plain));
        const Str masked =
            kind == PERSON_PHONE ? phone_mask(ctx->arena, plain) : mask_code(ctx, plain);
        p->ids[i] = (PersonId){.kind = kind, .masked = masked, .created_ms = rows[i].created_ms};
        if (kind == PERSON_PHONE && p->phone.len == 0)
            p->phone = masked;
        if (kind == PERSON_CARD && p->card.len == 0)
            p->card = masked;
    }
    return ERR_OK;
}

static Err read_attributes(Ctx *ctx, Person *p)
{
    Row_person_attributes *rows = NULL;
    TRY(sql_person_attributes(ctx, p->id, &rows, &p->attribute_count));
    p->attributes = ARENA_ARRAY(ctx->arena, PersonAttribute, p->attribute_count + 1);
    for (size_t i = 0; i < p->attribute_count; i++)
        p->attributes[i] = (PersonAttribute){.name = rows[i].name, .value = rows[i].value};
    return ERR_OK;
}

Err person_find(Ctx *ctx, int64_t id, Person *out)
{
    int64_t root = 0;
    TRY(person_root(ctx, id, &root));
    Row_person_find row;
    TRY(sql_person_find(ctx, root, &row));
    Person p = {.id = root,
                .name = STR(""),
                .phone = STR(""),
                .card = STR(""),
                .store = row.store,
                .channel = row.channel,
                .enrolled_ms = row.enrolled_ms};
    const DataKey key = {root, row.data_key};
    if (row.name.len > 0)
        TRY(secret_open(ctx, ctx->keys, key, PERSON_LABEL_NAME, row.name, &p.name));
    TRY(read_identifiers(ctx, key, &p));
    TRY(read_attributes(ctx, &p));
    *out = p;
    return ERR_OK;
}

Err person_reveal_phone(Ctx *ctx, int64_t id, Str *phone)
{
    int64_t root = 0;
    TRY(person_root(ctx, id, &root));
    Row_person_find row;
    TRY(sql_person_find(ctx, root, &row));
    Row_person_identifiers *rows = NULL;
    size_t n = 0;
    TRY(sql_person_identifiers(ctx, root, &rows, &n));
    for (size_t i = 0; i < n; i++)
        if (rows[i].kind == PERSON_PHONE)
            return secret_open(ctx, ctx->keys, (DataKey){root, row.data_key},
                               person_label(PERSON_PHONE), rows[i].value, phone);
    return fail(ctx, ERR_NOT_FOUND, "person.no_phone", "person %" PRId64, id);
}

Err person_page(Ctx *ctx, int64_t before_ms, int64_t before_id, int64_t max, Person **out,
                size_t *count)
{
    Row_person_page *rows = NULL;
    TRY(sql_person_page(ctx, before_ms, before_id, max, &rows, count));
    *out = ARENA_ARRAY(ctx->arena, Person, *count + 1);
    for (size_t i = 0; i < *count; i++)
        TRY(person_find(ctx, rows[i].id, &(*out)[i]));
    return ERR_OK;
}

Err person_count_between(Ctx *ctx, int64_t from_ms, int64_t to_ms, int64_t *people)
{
    Row_person_count_between row;
    TRY(sql_person_count_between(ctx, from_ms, to_ms, &row));
    *people = row.people;
    return ERR_OK;
}

/* ---- attributes ------------------------------------------------------------------------------------ */

Err person_set_attributes(Tx *tx, int64_t person, const PersonAttribute *attributes, size_t count)
{
    Ctx *ctx = tx->ctx;
    const Event head = {.kind = EVENT_PERSON,
                        .source = STR("person"),
                        .id = arena_printf(ctx->arena, "attributes:%" PRId64, id_next(ctx->now_ms)),
                        .time_ms = ctx->now_ms,
                        .received_ms = ctx->now_ms,
                        .actor = person_actor(ctx, person)};
    EventBuilder *b = event_begin(ctx, &head);
    for (size_t i = 0; i < count; i++)
        event_prop_text(b, attributes[i].name, attributes[i].value);
    int64_t root = 0;
    TRY(person_root(ctx, person, &root));
    Event event;
    const Err err = event_end(b, &event); /* checks names and values */
    if (err == ERR_INVALID)
        return fail_field(ctx, "/attributes", "person.attribute",
                          "an attribute has a name, once, and a value: %s", ctx->fault.reason);
    TRY(err);
    for (size_t i = 0; i < count; i++)
        TRY(sql_person_attribute_put(tx, person, attributes[i].name, attributes[i].value, NULL));
    return outbox_emit(tx, &event);
}
