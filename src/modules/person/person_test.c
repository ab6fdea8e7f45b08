/*
 * modules/person/person_test.c -- what person.h promises.
 */
#include "modules/person/person.h"

#include "base/clock.h"
#include "base/file.h"
#include "events/events.h"
#include "jobs/outbox.h"
#include "modules/person/person_http.h"
#include "modules/room_test.h"
#include "modules/store/store.h"
#include "outbox.sql.h"
#include "person.api.h"
#include "person.sql.h"
#include "store.sql.h"

#define PHONE     STR("138 0013 8000")
#define E164      "+8613800138000"
#define CARD      STR("VIP-20260001")
#define NAME      STR("欧阳小明 Li")
#define MINUTE_MS INT64_C(60000)

/* ---- shorthand ----------------------------------------------------------------------------------------- */

typedef struct Enrol {
    PersonDraft draft;
    int64_t person;
    bool created;
} Enrol;

static Err enrol_body(Tx *tx, void *arg)
{
    Enrol *e = arg;
    return person_enrol(tx, &e->draft, &e->person, &e->created);
}

static PersonKey phone_key(Room *room, Str raw)
{
    PersonKey k = {0};
    EXPECT_OK(room->ctx, person_key_phone(room->ctx, raw, &k));
    return k;
}

static PersonKey key_of(Room *room, PersonIdKind kind, Str raw)
{
    PersonKey k = {0};
    EXPECT_OK(room->ctx, person_key(room->ctx, kind, raw, &k));
    return k;
}

static Enrol enrol(Room *room, const PersonKey *keys, size_t n, Str name)
{
    Enrol e = {0};
    EXPECT_OK(room->ctx, person_prepare(room->ctx, keys, n, name, &e.draft));
    e.draft.channel = STR("counter");
    e.draft.store = 7;
    EXPECT_OK(room->ctx, room_write(room, enrol_body, &e));
    return e;
}

static int64_t enrol_phone(Room *room, Str phone, Str name)
{
    const PersonKey k = phone_key(room, phone);
    return enrol(room, &k, 1, name).person;
}

static int64_t enrol_card(Room *room, Str card, Str name)
{
    const PersonKey k = key_of(room, PERSON_CARD, card);
    return enrol(room, &k, 1, name).person;
}

static Person find(Room *room, int64_t id)
{
    Person p = {0};
    EXPECT_OK(room->ctx, person_find(room->ctx, id, &p));
    return p;
}

static int64_t people(Room *room)
{
    Row_person_count row = {0};
    EXPECT_OK(room->ctx, sql_person_count(room->ctx, &row));
    return row.people;
}

/* ---- identifiers ------------------------------------------------------------------------------------------ */

ROOM_TEST(person_key_is_the_same_however_the_number_was_typed, &PERSON_SCHEMA)
{
    static const char *const FORMS[] = {"13800138000", "+86 138-0013-8000", "0086 138 0013 8000",
                                        " 138 0013 8000 ", "１３８００１３８０００"};
    const PersonKey want = phone_key(room, PHONE);
    EXPECT_STREQ(ROOM_C(room, want.canonical), E164);
    for (size_t i = 0; i < ARRAY_LEN(FORMS); i++) {
        const PersonKey k = phone_key(room, str_of(FORMS[i]));
        EXPECT_I64(memcmp(k.hash, want.hash, sizeof k.hash), 0);
    }
    const PersonKey card = key_of(room, PERSON_CARD, STR("13800138000"));
    const PersonKey openid = key_of(room, PERSON_OPENID, STR("13800138000"));
    CHECK(memcmp(card.hash, want.hash, sizeof card.hash) != 0);
    CHECK(memcmp(card.hash, openid.hash, sizeof card.hash) != 0);
    const PersonKey trimmed = key_of(room, PERSON_CARD, STR(" 13800138000\t"));
    EXPECT_I64(memcmp(card.hash, trimmed.hash, sizeof card.hash), 0);
    const PersonKey by_kind = key_of(room, PERSON_PHONE, PHONE);
    EXPECT_I64(memcmp(by_kind.hash, want.hash, sizeof want.hash), 0);
    memcpy(room->settings.region, "HK", 3);
    EXPECT_STREQ(ROOM_C(room, phone_key(room, STR("61234567")).canonical), "+85261234567");
}

ROOM_TEST(person_key_that_is_none_is_refused, &PERSON_SCHEMA)
{
    static const char *const PHONES[] = {"", "12345", "1380013800x", "nonsense"};
    PersonKey k = {.canonical = STR("before")};
    for (size_t i = 0; i < ARRAY_LEN(PHONES); i++) {
        EXPECT_FAULT(room->ctx, person_key_phone(room->ctx, str_of(PHONES[i]), &k), ERR_INVALID,
                     "person.phone");
        EXPECT_STREQ(room->ctx->fault.pointer, "/phone");
        CHECK(PHONES[i][0] == '\0' || strstr(room->ctx->fault.hint, PHONES[i]) == NULL);
    }
    char longest[PERSON_ID_BYTES_MAX + 2];
    memset(longest, 'x', sizeof longest);
    const Str others[] = {STR(""),   STR("  "),    STR("a b"),
                          STR("卡"), STR("a\x7f"), {longest, PERSON_ID_BYTES_MAX + 1}};
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        EXPECT_FAULT(room->ctx, person_key(room->ctx, PERSON_CARD, others[i], &k), ERR_INVALID,
                     "person.identifier");
    EXPECT_STREQ(ROOM_C(room, k.canonical), "before");
    (void)key_of(room, PERSON_CARD, (Str){longest, PERSON_ID_BYTES_MAX});
}

ROOM_TEST(person_draft_needs_one_to_eight_identifiers_and_a_name_that_fits, &PERSON_SCHEMA)
{
    PersonKey keys[PERSON_IDS_MAX + 1];
    PersonDraft d;
    char name[PERSON_NAME_BYTES_MAX + 1];
    memset(name, 'n', sizeof name);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        keys[i] = key_of(room, PERSON_CARD, arena_printf(room->ctx->arena, "C%zu", i));
    EXPECT_FAULT(room->ctx, person_prepare(room->ctx, keys, 0, NAME, &d), ERR_INVALID,
                 "person.identifier");
    EXPECT_FAULT(room->ctx, person_prepare(room->ctx, keys, PERSON_IDS_MAX + 1, NAME, &d),
                 ERR_INVALID, "person.identifier");
    EXPECT_FAULT(room->ctx, person_prepare(room->ctx, keys, 1, (Str){name, sizeof name}, &d),
                 ERR_INVALID, "person.name");
    const Enrol e = enrol(room, keys, PERSON_IDS_MAX, (Str){name, sizeof name - 1});
    EXPECT_I64((int64_t)find(room, e.person).id_count, PERSON_IDS_MAX);
}

/* ---- enrol ------------------------------------------------------------------------------------------------- */

ROOM_TEST(person_comes_back_masked_with_everything_that_was_told, &PERSON_SCHEMA)
{
    const PersonKey keys[] = {phone_key(room, PHONE), key_of(room, PERSON_CARD, CARD),
                              key_of(room, PERSON_OPENID, STR("oABC"))};
    const Enrol e = enrol(room, keys, 3, NAME);
    EXPECT_I64(e.created, true);
    const Person p = find(room, e.person);
    EXPECT_I64(p.id, e.person);
    EXPECT_STREQ(ROOM_C(room, p.name), ROOM_C(room, NAME));
    EXPECT_STREQ(ROOM_C(room, p.phone), "138****8000");
    EXPECT_STREQ(ROOM_C(room, p.card), "****0001");
    EXPECT_I64(p.store, 7);
    EXPECT_STREQ(ROOM_C(room, p.channel), "counter");
    EXPECT_I64(p.enrolled_ms, ROOM_NOW_MS);
    EXPECT_I64((int64_t)p.id_count, 3);
    EXPECT_I64(p.ids[0].kind, PERSON_PHONE);
    EXPECT_STREQ(ROOM_C(room, p.ids[2].masked), "****BC");
    Str phone;
    int64_t root = 0;
    EXPECT_OK(room->ctx, person_reveal_phone(room->ctx, e.person, &phone));
    EXPECT_STREQ(ROOM_C(room, phone), E164);
    EXPECT_OK(room->ctx, person_root(room->ctx, e.person, &root));
    EXPECT_I64(root, e.person);
}

ROOM_TEST(person_that_is_not_there_is_unknown, &PERSON_SCHEMA)
{
    Person p;
    Str phone;
    int64_t id = 5;
    const PersonKey k = phone_key(room, PHONE);
    EXPECT_FAULT(room->ctx, person_find(room->ctx, 99, &p), ERR_NOT_FOUND, "person.unknown");
    EXPECT_FAULT(room->ctx, person_root(room->ctx, 99, &id), ERR_NOT_FOUND, "person.unknown");
    EXPECT_FAULT(room->ctx, person_by_key(room->ctx, &k, &id), ERR_NOT_FOUND, "person.unknown");
    EXPECT_FAULT(room->ctx, person_reveal_phone(room->ctx, 99, &phone), ERR_NOT_FOUND,
                 "person.unknown");
    EXPECT_I64(id, 5);
    const int64_t with_card = enrol_card(room, CARD, STR(""));
    EXPECT_FAULT(room->ctx, person_reveal_phone(room->ctx, with_card, &phone), ERR_NOT_FOUND,
                 "person.no_phone");
    EXPECT_STREQ(ROOM_C(room, find(room, with_card).name), "");
    EXPECT_STREQ(ROOM_C(room, find(room, with_card).phone), "");
}

ROOM_TEST(person_enrolled_again_is_the_same_and_gets_the_identifiers_that_are_new, &PERSON_SCHEMA)
{
    const PersonKey phone = phone_key(room, PHONE), card = key_of(room, PERSON_CARD, CARD);
    const Enrol first = enrol(room, &phone, 1, NAME);
    const Enrol again = enrol(room, &phone, 1, STR("another name"));
    EXPECT_I64(again.created, false);
    EXPECT_I64(again.person, first.person);
    EXPECT_STREQ(ROOM_C(room, find(room, first.person).name), ROOM_C(room, NAME));
    const Enrol more = enrol(room, (const PersonKey[]){card, phone}, 2, STR(""));
    EXPECT_I64(more.created, false);
    EXPECT_I64(more.person, first.person);
    EXPECT_I64(people(room), 1);
    int64_t by_card = 0;
    EXPECT_OK(room->ctx, person_by_key(room->ctx, &card, &by_card));
    EXPECT_I64(by_card, first.person);
    EXPECT_STREQ(ROOM_C(room, find(room, first.person).card),
                 "****0001"); /* opens under their key */
    const Enrol twice = enrol(room, (const PersonKey[]){phone, phone}, 2, STR(""));
    EXPECT_I64((int64_t)find(room, twice.person).id_count, 2);
}

ROOM_TEST(person_keeps_an_identifier_that_another_enrolment_names_too, &PERSON_SCHEMA)
{
    const int64_t a = enrol_phone(room, PHONE, STR("a")), b = enrol_card(room, CARD, STR("b"));
    const PersonKey both[] = {key_of(room, PERSON_CARD, CARD), phone_key(room, PHONE),
                              key_of(room, PERSON_OPENID, STR("o1"))};
    const Enrol e = enrol(room, both, 3, STR("c"));
    int64_t owner = 0;
    EXPECT_I64(e.created, false);
    EXPECT_I64(e.person, b); /* the first identifier that is known says who */
    EXPECT_OK(room->ctx, person_by_key(room->ctx, &both[1], &owner));
    EXPECT_I64(owner, a);
    EXPECT_OK(room->ctx, person_by_key(room->ctx, &both[2], &owner));
    EXPECT_I64(owner, b);
    Person *found = NULL;
    size_t n = 0;
    EXPECT_OK(room->ctx, person_search(room->ctx, STR("8000"), 5, &found, &n));
    EXPECT_I64((int64_t)n, 1); /* nor do its last four lead to the other */
    EXPECT_I64(found[0].id, a);
    EXPECT_I64((int64_t)find(room, a).id_count, 1);
    EXPECT_I64((int64_t)find(room, b).id_count, 2);
    EXPECT_I64(people(room), 2);
}

ROOM_TEST(person_identifier_has_one_owner_though_two_enrol_at_once, &PERSON_SCHEMA)
{
    const PersonKey k = phone_key(room, PHONE);
    Enrol a = {0}, b = {0}; /* both were prepared before either was stored */
    EXPECT_OK(room->ctx, person_prepare(room->ctx, &k, 1, STR("a"), &a.draft));
    EXPECT_OK(room->ctx, person_prepare(room->ctx, &k, 1, STR("b"), &b.draft));
    EXPECT_OK(room->ctx, room_write(room, enrol_body, &a));
    EXPECT_OK(room->ctx, room_write(room, enrol_body, &b));
    EXPECT_I64(a.created && !b.created, true);
    EXPECT_I64(a.person, b.person);
    EXPECT_I64(people(room), 1);
}

ROOM_TEST(person_pages_and_counts_go_by_the_time_of_enrolment, &PERSON_SCHEMA)
{
    int64_t ids[4];
    for (int i = 0; i < 4; i++) {
        const PersonKey k = key_of(room, PERSON_CARD, arena_printf(room->ctx->arena, "CARD%d", i));
        Enrol e = {0};
        EXPECT_OK(room->ctx, person_prepare(room->ctx, &k, 1, STR(""), &e.draft));
        e.draft.channel = STR("import");
        e.draft.enrolled_ms = ROOM_NOW_MS - (i == 3 ? 1 : i) * MINUTE_MS; /* two at the same time */
        EXPECT_OK(room->ctx, room_write(room, enrol_body, &e));
        ids[i] = e.person;
    }
    const int64_t want[] = {ids[0], ids[3], ids[1], ids[2]};
    Person *page = NULL;
    size_t n = 0, at = 0;
    int64_t before_ms = INT64_MAX, before_id = INT64_MAX;
    for (;;) {
        EXPECT_OK(room->ctx, person_page(room->ctx, before_ms, before_id, 2, &page, &n));
        for (size_t i = 0; i < n; i++)
            EXPECT_I64(page[i].id, want[at++]);
        if (n == 0)
            break;
        before_ms = page[n - 1].enrolled_ms;
        before_id = page[n - 1].id;
    }
    EXPECT_I64((int64_t)at, 4);
    int64_t count = 0;
    EXPECT_OK(room->ctx,
              person_count_between(room->ctx, ROOM_NOW_MS - MINUTE_MS, ROOM_NOW_MS, &count));
    EXPECT_I64(count, 2);
}

/* ---- search --------------------------------------------------------------------------------------------------- */

/* The people found, as letters in the order found: 'a' is the first of `ids`. */
static const char *found(Room *room, const int64_t *ids, Str text, int64_t max)
{
    Person *p = NULL;
    size_t n = 0;
    char *letters = arena_bytes(room->ctx->arena, 32);
    if (person_search(room->ctx, text, max, &p, &n) != ERR_OK)
        return room->ctx->fault.reason;
    for (size_t i = 0; i < n; i++) {
        letters[i] = '?';
        for (int k = 0; k < 6; k++)
            if (ids[k] == p[i].id)
                letters[i] = (char)('a' + k);
    }
    letters[n] = '\0';
    return letters;
}

ROOM_TEST(person_is_found_by_number_card_last_four_and_part_of_the_name, &PERSON_SCHEMA)
{
    const int64_t ids[6] = {enrol_phone(room, PHONE, NAME),
                            enrol_phone(room, STR("13900138000"), STR("小明欧阳")),
                            enrol_card(room, STR("VIP-8000"), STR("Abcab Smith")),
                            enrol_phone(room, STR("13700001234"), STR("王芳")),
                            enrol_card(room, STR("9911"), STR("li")),
                            enrol_phone(room, STR("+14155552671"), STR(""))};
    const struct {
        const char *text, *people;
    } cases[] = {{"13800138000", "a"},
                 {"+86 138 0013 8000", "a"},
                 {"VIP-8000", "c"},
                 {"vip-8000", ""},
                 {"8000", "cba"}, /* the newest first */
                 {"1234", "d"},
                 {"2671", "f"},
                 {"9911", "e"},
                 {"0138", ""},
                 {"欧阳", "ba"},
                 {"欧阳小", "a"},
                 {"小明", "ba"},
                 {"小明欧", "b"},
                 {"小明欧阳", "b"},
                 {"欧阳小明", "a"},
                 {"阳明", ""},
                 {"bcab", "c"},
                 {"bcabc", ""}, /* all its pairs are in the name, but not in this order */
                 {"SMITH", "c"},
                 {"b cab", ""},
                 {"cab smi", "c"},
                 {"li", "ea"},
                 {"明 LI", "a"},
                 {"王", "person.search"},
                 {"x", "person.search"},
                 {"", "person.search"},
                 {"  ", "person.search"},
                 {"138001", ""},
                 {"13811112222", ""}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *got = found(room, ids, str_of(cases[i].text), 20);
        if (strcmp(got, cases[i].people) != 0)
            fprintf(stderr, "searched \"%s\"\n", cases[i].text);
        EXPECT_STREQ(got, cases[i].people);
    }
    EXPECT_STREQ(found(room, ids, STR("8000"), 2), "cb");
    EXPECT_STREQ(found(room, ids, STR("小明"), 1), "b");
    char longest[PERSON_NAME_BYTES_MAX + 1];
    memset(longest, 'x', sizeof longest);
    EXPECT_STREQ(found(room, ids, (Str){longest, sizeof longest}, 1), "person.search");
    EXPECT_STREQ(found(room, ids, (Str){longest, sizeof longest - 1}, 1), "");
}

typedef struct Many {
    PersonDraft *drafts;
    size_t n;
} Many;

static Err enrol_many_body(Tx *tx, void *arg)
{
    const Many *m = arg;
    for (size_t i = 0; i < m->n; i++) {
        int64_t person = 0;
        bool created = false;
        TRY(person_enrol(tx, &m->drafts[i], &person, &created));
    }
    return ERR_OK;
}

ROOM_TEST(person_with_a_rare_name_is_found_behind_many_of_the_same_beginning, &PERSON_SCHEMA)
{
    enum { OTHERS = 250 };
    const int64_t ids[6] = {enrol_phone(room, PHONE, STR("王小波"))};
    Many m = {ARENA_ARRAY(room->ctx->arena, PersonDraft, OTHERS), OTHERS};
    for (size_t i = 0; i < OTHERS; i++) {
        const PersonKey k = key_of(room, PERSON_CARD, arena_printf(room->ctx->arena, "C%zu", i));
        EXPECT_OK(room->ctx, person_prepare(room->ctx, &k, 1, STR("王小明"), &m.drafts[i]));
        m.drafts[i].channel = STR("import");
    }
    EXPECT_OK(room->ctx, room_write(room, enrol_many_body, &m));
    EXPECT_STREQ(found(room, ids, STR("王小波"), 20), "a");
    EXPECT_I64((int64_t)str_of(found(room, ids, STR("王小"), 20)).len, 20);
}

/* `n` people of that name, whose cards begin with `card`. */
static void enrol_crowd(Room *room, size_t n, Str name, const char *card, int64_t store)
{
    Many m = {ARENA_ARRAY(room->ctx->arena, PersonDraft, n), n};
    for (size_t i = 0; i < n; i++) {
        const Str code = arena_printf(room->ctx->arena, "%s%05zu", card, i);
        const PersonKey k = key_of(room, PERSON_CARD, code);
        EXPECT_OK(room->ctx, person_prepare(room->ctx, &k, 1, name, &m.drafts[i]));
        m.drafts[i].channel = STR("import");
        m.drafts[i].store = store;
    }
    EXPECT_OK(room->ctx, room_write(room, enrol_many_body, &m));
}

ROOM_TEST(person_name_is_found_though_many_share_its_first_and_last_pair, &PERSON_SCHEMA)
{
    const int64_t ids[6] = {enrol_phone(room, PHONE, STR("Anna Bell Smith"))};
    enrol_crowd(room, 300, STR("Anna Carr Smith"), "A", 7);
    enrol_crowd(room, 300, STR("ith smi Anna Bel"), "B", 7); /* its pairs in another order */
    EXPECT_STREQ(found(room, ids, STR("anna bell smith"), 20), "a");
    EXPECT_STREQ(found(room, ids, STR("Bell S"), 20), "a");
    EXPECT_STREQ(found(room, ids, STR("Anna Dorr Smith"), 20), "");
}

ROOM_TEST(person_name_is_found_behind_hundreds_with_the_same_pairs_in_another_order, &PERSON_SCHEMA)
{
    const int64_t ids[6] = {enrol_phone(room, PHONE, STR("abcab"))};
    enrol_crowd(room, 450, STR("cabca"), "C", 7); /* ab bc ca, all three */
    EXPECT_STREQ(found(room, ids, STR("abcab"), 20), "a");
}

ROOM_TEST(person_search_by_name_tells_when_the_database_fails, &PERSON_SCHEMA)
{
    const int64_t ids[6] = {enrol_phone(room, PHONE, NAME)};
    EXPECT_OK(room->ctx, database_script(room->world.database, room->ctx,
                                         "ALTER TABLE person_gram RENAME TO away;"));
    EXPECT_STREQ(found(room, ids, STR("欧阳"), 5), "db.failed");
}

ROOM_TEST(person_search_by_last_four_tells_when_the_database_fails, &PERSON_SCHEMA)
{
    const int64_t ids[6] = {enrol_phone(room, PHONE, NAME)};
    EXPECT_OK(room->ctx, database_script(room->world.database, room->ctx,
                                         "ALTER TABLE person_last4 RENAME TO away;"));
    EXPECT_STREQ(found(room, ids, STR("8000"), 5), "db.failed");
}

ROOM_TEST(person_search_of_a_shops_clerk_finds_by_part_only_who_was_enrolled_there, &PERSON_SCHEMA)
{
    const int64_t ids[6] = {enrol_phone(room, PHONE, STR("王小波"))}; /* in shop 7 */
    enrol_crowd(room, 450, STR("王小波"), "X8000", 8);                /* newer, in shop 8 */
    const Principal clerk = {.kind = PRINCIPAL_STAFF, .store_count = 2, .stores = {6, 7}};
    const Principal other = {.kind = PRINCIPAL_STAFF, .store_count = 1, .stores = {9}};
    room->ctx->who = &clerk;
    EXPECT_STREQ(found(room, ids, STR("8000"), 5), "a");
    EXPECT_STREQ(found(room, ids, STR("王小波"), 5), "a");
    EXPECT_STREQ(found(room, ids, STR("X800000007"), 5), "?");
    room->ctx->who = &other;
    EXPECT_STREQ(found(room, ids, STR("8000"), 5), "");
    EXPECT_STREQ(found(room, ids, STR("王小波"), 5), "");
    EXPECT_STREQ(found(room, ids, STR("13800138000"), 5), "a");
    room->ctx->who = &PRINCIPAL_OF_SYSTEM;
}

ROOM_TEST(person_search_kind_says_what_it_looks_like_and_not_what_it_is, &PERSON_SCHEMA)
{
    static const char *const CASES[][2] = {
        {"13800138000", "phone"}, {" +86 138 0013 8000", "phone"},
        {"8000", "last4"},        {"A-12", "last4"},
        {"VIP-20260001", "card"}, {"王小波", "name"},
        {"anna", "name"},         {"", "name"}};
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
        EXPECT_STREQ(person_search_kind(room->ctx, str_of(CASES[i][0])), CASES[i][1]);
}

/* ---- through the doors ------------------------------------------------------------------------------------------ */

static const Door *door(const ApiOperation *operation)
{
    const Door *d = PERSON_DOORS;
    while (d->operation != operation)
        d++;
    return d;
}

typedef struct Knock {
    const Door *door;
    Call call;
} Knock;

static Err knock_body(Tx *tx, void *arg)
{
    Knock *k = arg;
    return k->door->apply(tx, &k->call);
}

/* A write as the request layer runs it. */
static Err knock(Room *room, Knock *k)
{
    k->call.audit_detail = STR("");
    if (k->door->prepare != NULL)
        TRY(k->door->prepare(room->ctx, &k->call));
    return room_write(room, knock_body, k);
}

/* So many knocks are answered, and those whose tokens grew again meanwhile: that is a long while when the machine is busy. */
static void expect_answered(Room *room, Knock *k, int per_minute)
{
    const int64_t began_us = clock_mono_us();
    int answered = 0;
    for (Err err = ERR_OK; err == ERR_OK && answered < 10 * per_minute; answered += err == ERR_OK) {
        err = knock(room, k);
        if (err != ERR_OK)
            EXPECT_FAULT(room->ctx, err, ERR_LIMITED, "request.limited");
    }
    const int64_t grown = (clock_mono_us() - began_us) * per_minute / 60000000;
    CHECK(answered >= per_minute && answered <= per_minute + grown + 1);
}

ROOM_TEST(person_search_door_counts_names_its_kind_and_stops_at_thirty_a_minute, &PERSON_SCHEMA)
{
    (void)enrol_phone(room, PHONE, NAME);
    const Principal clerk = {.kind = PRINCIPAL_STAFF, .id = ROOM_NOW_MS + room->world.postgres};
    const ApiPersonSearch body = {.q = PHONE, .limit = 5};
    ApiPersonFound reply = {0};
    Knock k = {door(&API_OP_PERSON_SEARCH), {.body = &body, .reply = &reply}};
    const Principal other = {.kind = PRINCIPAL_STAFF, .id = clerk.id + 2};
    room->ctx->who = &other;
    EXPECT_OK(room->ctx, knock(room, &k));
    EXPECT_STREQ(ROOM_C(room, k.call.audit_detail), "phone");
    EXPECT_I64((int64_t)reply.items_count, 1);
    EXPECT_STREQ(ROOM_C(room, reply.items[0].phone), "138****8000");
    room->ctx->who = &clerk;
    expect_answered(room, &k, 30);
    Principal analyst = {.kind = PRINCIPAL_KEY, .id = clerk.id};
    analyst.permissions = permission_bit("insight.read");
    room->ctx->who = &analyst;
    expect_answered(room, &k, 120);
    room->ctx->who = &PRINCIPAL_OF_SYSTEM;
}

typedef struct Shop {
    Store in;
    int64_t id;
} Shop;

static Err shop_body(Tx *tx, void *arg)
{
    Shop *s = arg;
    return store_create(tx, &s->in, &s->id);
}

ROOM_TEST(person_enrol_door_takes_a_store_of_the_caller_only, &PERSON_SCHEMA, &STORE_SCHEMA)
{
    Shop a = {.in = {.code = STR("a"), .name = STR("a")}},
         b = {.in = {.code = STR("b"), .name = STR("b")}};
    EXPECT_OK(room->ctx, room_write(room, shop_body, &a));
    EXPECT_OK(room->ctx, room_write(room, shop_body, &b));
    const Principal clerk = {.kind = PRINCIPAL_STAFF, .store_count = 1, .stores = {a.id}};
    ApiPersonEnrol body = {
        .phone = PHONE, .phone_is = DTO_VALUE, .store = b.id, .store_is = DTO_VALUE};
    ApiPersonEnrolled reply = {0};
    Knock k = {door(&API_OP_PERSON_ENROL), {.body = &body, .reply = &reply}};
    room->ctx->who = &clerk;
    EXPECT_FAULT(room->ctx, knock(room, &k), ERR_DENIED, "auth.store");
    EXPECT_I64(people(room), 0);
    body.store = a.id;
    EXPECT_OK(room->ctx, knock(room, &k));
    EXPECT_I64(find(room, reply.id).store, a.id);
    body = (ApiPersonEnrol){.card = CARD, .card_is = DTO_VALUE};
    EXPECT_OK(room->ctx, knock(room, &k)); /* names none: theirs */
    EXPECT_I64(find(room, reply.id).store, a.id);
    room->ctx->who = &PRINCIPAL_OF_SYSTEM;
    body = (ApiPersonEnrol){.card = STR("C2"), .card_is = DTO_VALUE, .store = 99};
    body.store_is = DTO_VALUE;
    EXPECT_FAULT(room->ctx, knock(room, &k), ERR_NOT_FOUND, "store.unknown");
}

ROOM_TEST(person_enrol_door_audits_an_identifier_that_a_known_person_gets, &PERSON_SCHEMA)
{
    ApiPersonEnrol body = {.phone = PHONE, .phone_is = DTO_VALUE};
    ApiPersonEnrolled reply = {0};
    Knock k = {door(&API_OP_PERSON_ENROL), {.body = &body, .reply = &reply}};
    EXPECT_OK(room->ctx, knock(room, &k));
    EXPECT_STREQ(ROOM_C(room, k.call.audit_detail), "");
    EXPECT_OK(room->ctx, knock(room, &k));
    EXPECT_STREQ(ROOM_C(room, k.call.audit_detail), "");
    body.card = CARD;
    body.card_is = DTO_VALUE;
    EXPECT_OK(room->ctx, knock(room, &k));
    EXPECT_STREQ(ROOM_C(room, k.call.audit_detail), "identifier added");
    EXPECT_I64(reply.created, false);
}

ROOM_TEST(person_reveal_door_audits_the_reason_without_the_numbers_in_it, &PERSON_SCHEMA)
{
    const ApiPersonRevealPath path = {.id = enrol_phone(room, PHONE, NAME)};
    const ApiPersonReveal body = {.reason = STR("asked by 138-0013-8000 herself")};
    ApiPersonRevealed reply = {0};
    Knock k = {door(&API_OP_PERSON_REVEAL), {.params = &path, .body = &body, .reply = &reply}};
    EXPECT_OK(room->ctx, knock(room, &k));
    EXPECT_STREQ(ROOM_C(room, reply.phone), E164);
    EXPECT_STREQ(ROOM_C(room, k.call.audit_detail), "asked by ***-****-**00 herself");
}

ROOM_TEST(person_list_door_is_closed_to_who_works_in_some_shops_only, &PERSON_SCHEMA)
{
    (void)enrol_phone(room, PHONE, NAME);
    const Principal clerk = {.kind = PRINCIPAL_STAFF, .store_count = 1, .stores = {7}};
    const ApiPersonListQuery query = {.limit = 5};
    ApiPersonPage reply = {0};
    Call call = {.query = &query, .reply = &reply};
    Work work = {.ctx = room->ctx};
    room->ctx->who = &clerk;
    EXPECT_FAULT(room->ctx, door(&API_OP_PERSON_LIST)->work(&work, &call), ERR_DENIED,
                 "person.list_scoped");
    room->ctx->who = &PRINCIPAL_OF_SYSTEM;
    EXPECT_OK(room->ctx, door(&API_OP_PERSON_LIST)->work(&work, &call));
    EXPECT_I64((int64_t)reply.items_count, 1);
}

/* ---- secrets ---------------------------------------------------------------------------------------------------- */

static int64_t count_in(Str bytes, Str what)
{
    int64_t n = 0;
    for (size_t i = 0; i + what.len <= bytes.len; i++)
        n += memcmp(bytes.ptr + i, what.ptr, what.len) == 0;
    return n;
}

ROOM_TEST(person_values_are_nowhere_in_the_database_file, &PERSON_SCHEMA, &OUTBOX_SCHEMA)
{
    if (room->world.postgres)
        return; /* the same bytes, in files of another program */
    const PersonKey keys[] = {phone_key(room, PHONE), key_of(room, PERSON_CARD, CARD),
                              key_of(room, PERSON_EMAIL, STR("ming@example.com"))};
    const int64_t id = enrol(room, keys, 3, NAME).person;
    const Str secrets[] = {STR("13800138000"), STR("8613800138000"), CARD,
                           STR("20260001"),    STR("欧阳"),          STR("小明"),
                           STR("example.com")};
    static const char *const FILES[] = {"t.db", "t.db-wal"};
    int64_t channels = 0;
    for (size_t f = 0; f < ARRAY_LEN(FILES); f++) {
        Str bytes;
        EXPECT_OK(room->ctx, file_load(room->ctx, str_of(room->world.folder), str_of(FILES[f]),
                                       64 << 20, &bytes));
        channels += count_in(bytes, STR("counter"));
        for (size_t i = 0; i < ARRAY_LEN(secrets); i++)
            EXPECT_I64(count_in(bytes, secrets[i]), 0);
    }
    CHECK(channels > 0); /* what is plain is found: the scan sees the person's row */
    EXPECT_STREQ(ROOM_C(room, find(room, id).name), ROOM_C(room, NAME));
}

static Keyring *other_keys(Ctx *ctx)
{
    char folder[] = "/tmp/person_test_XXXXXX";
    Keyring *keys = NULL;
    CHECK(mkdtemp(folder) != NULL);
    const Str path = arena_printf(ctx->arena, "%s/keys", folder);
    EXPECT_OK(ctx, keyring_create(ctx, path));
    EXPECT_OK(ctx, keyring_load(ctx, path, &keys));
    CHECK(unlink(path.ptr) == 0 && rmdir(folder) == 0);
    return keys;
}

ROOM_TEST(person_is_unreadable_with_another_key_file_and_nobody_is_found, &PERSON_SCHEMA)
{
    const int64_t id = enrol_phone(room, PHONE, NAME);
    const Keyring *right = room->ctx->keys;
    Keyring *wrong = other_keys(room->ctx);
    Person p;
    Str phone;
    room->ctx->keys = wrong;
    EXPECT_FAULT(room->ctx, person_find(room->ctx, id, &p), ERR_INTERNAL, "secret.unreadable");
    EXPECT_FAULT(room->ctx, person_reveal_phone(room->ctx, id, &phone), ERR_INTERNAL,
                 "secret.unreadable");
    CHECK(strstr(room->ctx->fault.detail, "138") == NULL);
    const int64_t ids[6] = {id};
    EXPECT_STREQ(found(room, ids, STR("13800138000"), 5), "");
    EXPECT_STREQ(found(room, ids, STR("8000"), 5), "");
    EXPECT_STREQ(found(room, ids, STR("欧阳"), 5), "");
    room->ctx->keys = right;
    EXPECT_STREQ(ROOM_C(room, find(room, id).phone), "138****8000");
    keyring_free(wrong);
}

ROOM_TEST(person_value_that_was_moved_to_somebody_else_does_not_open, &PERSON_SCHEMA)
{
    const int64_t a = enrol_phone(room, PHONE, STR("张三")),
                  b = enrol_card(room, CARD, STR("李四"));
    char sql[256];
    Person p;
    (void)snprintf(sql, sizeof sql,
                   "UPDATE person SET name = (SELECT name FROM person WHERE id = %" PRId64
                   ") WHERE id = %" PRId64 ";",
                   a, b);
    EXPECT_OK(room->ctx, database_script(room->world.database, room->ctx, sql));
    EXPECT_FAULT(room->ctx, person_find(room->ctx, b, &p), ERR_INTERNAL, "secret.unreadable");
}

/* ---- attributes and events ------------------------------------------------------------------------------------------ */

typedef struct Attributes {
    int64_t person;
    PersonAttribute at[3];
    size_t n;
} Attributes;

static Err attributes_body(Tx *tx, void *arg)
{
    const Attributes *a = arg;
    return person_set_attributes(tx, a->person, a->at, a->n);
}

ROOM_TEST(person_attributes_are_set_and_replaced_by_name, &PERSON_SCHEMA)
{
    const int64_t id = enrol_phone(room, PHONE, STR(""));
    Attributes a = {
        .person = id, .at = {{STR("skin"), STR("dry")}, {STR("city"), STR("上海")}}, .n = 2};
    EXPECT_OK(room->ctx, room_write(room, attributes_body, &a));
    a.at[0].value = STR("oily");
    a.n = 1;
    EXPECT_OK(room->ctx, room_write(room, attributes_body, &a));
    const Person p = find(room, id);
    EXPECT_I64((int64_t)p.attribute_count, 2);
    EXPECT_STREQ(ROOM_C(room, p.attributes[0].name), "city");
    EXPECT_STREQ(ROOM_C(room, p.attributes[0].value), "上海");
    EXPECT_STREQ(ROOM_C(room, p.attributes[1].value), "oily");
}

ROOM_TEST(person_attributes_that_are_none_are_refused_whole, &PERSON_SCHEMA)
{
    const int64_t id = enrol_phone(room, PHONE, STR(""));
    char longest[300];
    memset(longest, 'x', sizeof longest);
    const PersonAttribute wrong[] = {{STR(""), STR("v")},
                                     {{longest, sizeof longest}, STR("v")},
                                     {STR("n"), STR("\xff")},
                                     {STR("good"), STR("twice")}};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        Attributes a = {.person = id, .at = {{STR("good"), STR("v")}, wrong[i]}, .n = 2};
        EXPECT_FAULT(room->ctx, room_write(room, attributes_body, &a), ERR_INVALID,
                     "person.attribute");
        EXPECT_I64((int64_t)find(room, id).attribute_count, 0);
    }
    Attributes nobody = {.person = 99, .at = {{STR("good"), STR("v")}}, .n = 1};
    EXPECT_FAULT(room->ctx, room_write(room, attributes_body, &nobody), ERR_NOT_FOUND,
                 "person.unknown");
}

typedef struct Told {
    Room *room;
    char text[600];
} Told;

static Err hear(Ctx *ctx, const Event *e, void *arg)
{
    (void)ctx;
    Told *t = arg;
    const size_t at = str_of(t->text).len;
    (void)snprintf(t->text + at, sizeof t->text - at, "%d %.*s %.*s:%.*s @%.*s %.*s=%.*s; ",
                   (int)e->kind, STR_ARG(e->name), STR_ARG(e->actor.kind), STR_ARG(e->actor.value),
                   STR_ARG(e->store), STR_ARG(e->props[0].name), STR_ARG(e->props[0].text));
    return ERR_OK;
}

ROOM_TEST(person_events_tell_of_the_enrolment_and_the_attributes_without_identifiers,
          &PERSON_SCHEMA, &OUTBOX_SCHEMA)
{
    char folder[] = "/tmp/person_log_XXXXXX", want[600], command[128];
    EventsLog *log = NULL;
    Outbox *outbox = NULL;
    CHECK(mkdtemp(folder) != NULL);
    EXPECT_OK(room->ctx, events_open(room->ctx, arena_printf(room->ctx->arena, "%s/log", folder),
                                     &(EventsOptions){.segment_bytes = 1 << 20}, &log));
    EXPECT_OK(room->ctx, outbox_open(room->ctx, room->world.database, log, &outbox));
    const int64_t id = enrol_phone(room, PHONE, NAME);
    (void)enrol_phone(room, PHONE, NAME); /* known: nothing to tell */
    room_advance(room, 1000);
    Attributes a = {.person = id, .at = {{STR("skin"), STR("dry")}}, .n = 1};
    EXPECT_OK(room->ctx, room_write(room, attributes_body, &a));
    Told t = {.room = room};
    EventsPage page;
    EXPECT_OK(room->ctx,
              events_by_time(room->ctx, log, &(EventsQuery){.limit = 10}, hear, &t, &page));
    (void)snprintf(want, sizeof want,
                   "%d  person:%" PRId64 " @ skin=dry; %d Person Enrolled person:%" PRId64
                   " @7 channel=counter; ",
                   EVENT_PERSON, id, EVENT_HAPPENED, id);
    EXPECT_STREQ(t.text, want);
    const EventActor nobody = person_actor(room->ctx, 0);
    EXPECT_I64((int64_t)(nobody.kind.len + nobody.value.len), 0);
    world_reopen(&room->world);
    outbox_close(outbox);
    events_close(log);
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    CHECK(system(command) == 0);
}
