/*
 * modules/campaign/campaign_test.c -- what campaign.h promises.
 */
#include "modules/campaign/campaign.h"

#include "campaign.sql.h"
#include "modules/room_test.h"

typedef struct Put {
    Campaign in;
    int64_t id;
    bool changed;
} Put;

static Err apply_create(Tx *tx, void *arg)
{
    Put *p = arg;
    return campaign_create(tx, &p->in, &p->id);
}

static Err apply_put(Tx *tx, void *arg)
{
    Put *p = arg;
    return campaign_put(tx, &p->in, &p->id, &p->changed);
}

static Campaign spring(void)
{
    return (Campaign){.code = STR("A-18"),
                      .name = STR("春季"),
                      .kind = STR("A"),
                      .start_ms = 1000,
                      .end_ms = 2000};
}

static void expect_same(Room *room, int64_t id, const Campaign *want)
{
    Campaign got;
    EXPECT_OK(room->ctx, campaign_find(room->ctx, id, &got));
    EXPECT_I64(got.id, id);
    EXPECT_STREQ(ROOM_C(room, got.code), ROOM_C(room, want->code));
    EXPECT_STREQ(ROOM_C(room, got.name), ROOM_C(room, want->name));
    EXPECT_STREQ(ROOM_C(room, got.kind), ROOM_C(room, want->kind));
    EXPECT_I64(got.start_ms, want->start_ms);
    EXPECT_I64(got.end_ms, want->end_ms);
}

ROOM_TEST(campaign_comes_back_as_it_was_created, &CAMPAIGN_SCHEMA)
{
    Put p = {.in = spring()};
    EXPECT_OK(room->ctx, room_write(room, apply_create, &p));
    expect_same(room, p.id, &p.in);
    int64_t id = 0;
    EXPECT_OK(room->ctx, campaign_by_code(room->ctx, STR("A-18"), &id));
    EXPECT_I64(id, p.id);
    EXPECT_OK(room->ctx, campaign_by_code(room->ctx, STR("A-19"), &id));
    EXPECT_I64(id, 0);
    Campaign none;
    EXPECT_FAULT(room->ctx, campaign_find(room->ctx, 1, &none), ERR_NOT_FOUND, "campaign.unknown");
}

ROOM_TEST(campaign_code_is_taken_once, &CAMPAIGN_SCHEMA)
{
    Put first = {.in = spring()}, second = {.in = spring(), .id = 77};
    second.in.name = STR("another");
    EXPECT_OK(room->ctx, room_write(room, apply_create, &first));
    EXPECT_FAULT(room->ctx, room_write(room, apply_create, &second), ERR_CONFLICT,
                 "campaign.code_taken");
    EXPECT_I64(second.id, 77);
    expect_same(room, first.id, &first.in);
}

ROOM_TEST(campaign_refuses_what_is_none_and_names_the_field, &CAMPAIGN_SCHEMA)
{
    char longest[CAMPAIGN_TEXT_BYTES_MAX + 1];
    memset(longest, 'a', sizeof longest);
    const Str long_text = {longest, sizeof longest}, one = STR("1");
    const struct {
        const char *pointer;
        Campaign in;
    } cases[] = {
        {"/code", {.name = one, .end_ms = 1}},
        {"/code", {.code = str_slice(long_text, 0, 65), .name = one, .end_ms = 1}},
        {"/name", {.code = one, .end_ms = 1}},
        {"/name", {.code = one, .name = long_text, .end_ms = 1}},
        {"/kind", {.code = one, .name = one, .kind = STR("a\nb"), .end_ms = 1}},
        {"/end_ms", {.code = one, .name = one, .start_ms = 5, .end_ms = 5}},
        {"/end_ms", {.code = one, .name = one, .start_ms = 5, .end_ms = 4}},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Put p = {.in = cases[i].in, .id = 77};
        EXPECT_FAULT(room->ctx, room_write(room, apply_create, &p), ERR_INVALID,
                     "campaign.invalid");
        EXPECT_STREQ(room->ctx->fault.pointer, cases[i].pointer);
        EXPECT_I64(p.id, 77);
    }
    Campaign *all = NULL;
    size_t n = 9;
    EXPECT_OK(room->ctx, campaign_list(room->ctx, &all, &n));
    EXPECT_I64((int64_t)n, 0);
}

ROOM_TEST(campaign_put_writes_only_what_differs, &CAMPAIGN_SCHEMA)
{
    Put p = {.in = {.code = STR("A-18"), .start_ms = 1000, .end_ms = 1500}};
    EXPECT_OK(room->ctx, room_write(room, apply_put, &p));
    CHECK(p.changed);
    p.in.name = STR("A-18");
    expect_same(room, p.id, &p.in);
    Put full = {.in = spring()};
    EXPECT_OK(room->ctx, room_write(room, apply_put, &full));
    CHECK(full.changed);
    EXPECT_I64(full.id, p.id);
    expect_same(room, p.id, &full.in);
    Put less = {.in = {.code = STR("A-18"), .start_ms = 1000, .end_ms = 2000}, .changed = true};
    EXPECT_OK(room->ctx, room_write(room, apply_put, &less));
    CHECK(!less.changed);
    expect_same(room, p.id, &full.in);
    Put wrong = {.in = {.code = STR("A-18"), .start_ms = 2000, .end_ms = 2000}};
    EXPECT_FAULT(room->ctx, room_write(room, apply_put, &wrong), ERR_INVALID, "campaign.invalid");
    expect_same(room, p.id, &full.in);
}

ROOM_TEST(campaign_list_begins_with_the_latest_start, &CAMPAIGN_SCHEMA)
{
    const struct {
        Str code;
        int64_t start_ms;
    } made[] = {{STR("old"), 1}, {STR("new"), 3}, {STR("middle"), 2}};
    for (size_t i = 0; i < ARRAY_LEN(made); i++) {
        Put p = {.in = {.code = made[i].code, .start_ms = made[i].start_ms, .end_ms = 9}};
        EXPECT_OK(room->ctx, room_write(room, apply_put, &p));
    }
    Campaign *all = NULL;
    size_t n = 0;
    EXPECT_OK(room->ctx, campaign_list(room->ctx, &all, &n));
    EXPECT_I64((int64_t)n, 3);
    EXPECT_STREQ(ROOM_C(room, all[0].code), "new");
    EXPECT_STREQ(ROOM_C(room, all[1].code), "middle");
    EXPECT_STREQ(ROOM_C(room, all[2].code), "old");
    expect_same(room, all[2].id, &all[2]);
}

typedef struct Target {
    int64_t campaign, person;
    bool added;
} Target;

static Err apply_target(Tx *tx, void *arg)
{
    Target *t = arg;
    return campaign_target_add(tx, t->campaign, t->person, &t->added);
}

ROOM_TEST(campaign_has_each_target_once, &CAMPAIGN_SCHEMA)
{
    Target targets[] = {{1, 10, false}, {1, 11, false}, {1, 10, true}, {2, 10, false}};
    const bool added[] = {true, true, false, true};
    for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
        EXPECT_OK(room->ctx, room_write(room, apply_target, &targets[i]));
        EXPECT_I64(targets[i].added, added[i]);
    }
    const int64_t want[] = {0, 2, 1};
    for (int64_t campaign = 0; campaign < 3; campaign++) {
        int64_t people = -1;
        EXPECT_OK(room->ctx, campaign_target_count(room->ctx, campaign, &people));
        EXPECT_I64(people, want[campaign]);
    }
    int64_t targetings = 0, people = 0;
    EXPECT_OK(room->ctx, campaign_target_total(room->ctx, &targetings, &people));
    EXPECT_I64(targetings, 3);
    EXPECT_I64(people, 2);
}
