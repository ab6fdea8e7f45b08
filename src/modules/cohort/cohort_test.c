/*
 * modules/cohort/cohort_test.c -- what cohort.h promises.
 */
#include "modules/cohort/cohort.h"

#include "cohort.sql.h"
#include "modules/room_test.h"

static Err apply_put(Tx *tx, void *arg)
{
    Cohort c;
    return cohort_put(tx, arg, &c);
}

static Err apply_delete(Tx *tx, void *arg)
{
    int64_t id = 0;
    return cohort_delete(tx, *(const Str *)arg, &id);
}

/* As the door does it. */
static Err put(Room *room, const char *name, const char *json)
{
    CohortDraft draft;
    TRY(cohort_read(room->ctx, str_of(name), str_of(json), &draft));
    return room_write(room, apply_put, &draft);
}

static Err forget(Room *room, const char *name)
{
    Str text = str_of(name);
    return room_write(room, apply_delete, &text);
}

static void expect_rule(Room *room, const char *name, const char *rule)
{
    Cohort c;
    EXPECT_OK(room->ctx, cohort_find(room->ctx, str_of(name), &c));
    EXPECT_STREQ(ROOM_C(room, c.rule), rule);
}

ROOM_TEST(cohort_rules_are_kept_in_their_canonical_text, &COHORT_SCHEMA)
{
    EXPECT_OK(room->ctx,
              put(room, "常客", "\"did( \\\"Bought\\\",count>=2 )and tier==\\\"gold\\\"\""));
    expect_rule(room, "常客", "did(\"Bought\", count >= 2) and person.tier == \"gold\"");
    EXPECT_OK(room->ctx, put(room, "a", "{\"op\": \"not\", \"arg\": {\"segment\": \"常客\"}}"));
    expect_rule(room, "a", "not segment(\"常客\")");
    EXPECT_OK(room->ctx, put(room, "常客", "true"));
    expect_rule(room, "常客", "true");
    Cohort *all = NULL;
    size_t count = 0;
    EXPECT_OK(room->ctx, cohort_list(room->ctx, &all, &count));
    EXPECT_I64((int64_t)count, 2);
    EXPECT_STREQ(ROOM_C(room, all[0].name), "a");
}

ROOM_TEST(cohort_rules_that_are_none_are_refused_with_their_place, &COHORT_SCHEMA)
{
    EXPECT_OK(room->ctx, put(room, "Regulars", "\"true\""));
    static const struct {
        const char *json, *hint;
    } CASES[] = {{"\"did(\\\"A\\\"\"", "line 1, column 8"},
                 {"{\"op\": \"nand\"}", "no operator"},
                 {"\"\\\"Bought\\\"\"", ""},
                 {"\"segment(\\\"regulars\\\")\"", "did you mean \"Regulars\"?"}};
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        EXPECT_FAULT(room->ctx, put(room, "x", CASES[i].json), ERR_INVALID, "cohort.rule");
        EXPECT_STREQ(room->ctx->fault.pointer, "/rule");
        CHECK(strstr(room->ctx->fault.hint, CASES[i].hint) != NULL);
    }
    Cohort none;
    EXPECT_FAULT(room->ctx, cohort_find(room->ctx, STR("x"), &none), ERR_NOT_FOUND,
                 "cohort.unknown");
}

ROOM_TEST(cohort_circles_are_refused_with_their_way, &COHORT_SCHEMA)
{
    EXPECT_OK(room->ctx, put(room, "c", "\"true\""));
    EXPECT_OK(room->ctx, put(room, "b", "\"did(\\\"A\\\" where not segment(\\\"c\\\"))\""));
    EXPECT_OK(room->ctx, put(room, "a", "\"segment(\\\"b\\\") or segment(\\\"c\\\")\""));
    EXPECT_FAULT(room->ctx, put(room, "c", "\"segment(\\\"a\\\")\""), ERR_INVALID, "cohort.circle");
    CHECK(strstr(room->ctx->fault.hint, "\"c\" > \"a\" > \"b\" > \"c\"") != NULL ||
          strstr(room->ctx->fault.hint, "\"c\" > \"a\" > \"c\"") != NULL);
    EXPECT_FAULT(room->ctx, put(room, "c", "\"segment(\\\"c\\\")\""), ERR_INVALID, "cohort.circle");
    expect_rule(room, "c", "true");
    EXPECT_OK(room->ctx, put(room, "a", "\"true\""));
    EXPECT_OK(room->ctx, put(room, "c", "\"segment(\\\"a\\\")\""));
}

/* c0 names nobody, each other one the one before. */
static Err put_chain(Room *room, int from, int to)
{
    for (int i = from; i < to; i++) {
        char name[16], rule[64];
        (void)snprintf(name, sizeof name, "c%d", i);
        (void)snprintf(rule, sizeof rule, i == from ? "\"true\"" : "\"segment(\\\"c%d\\\")\"",
                       i - 1);
        TRY(put(room, name, rule));
    }
    return ERR_OK;
}

ROOM_TEST(cohort_nesting_has_its_limit_from_either_end, &COHORT_SCHEMA)
{
    EXPECT_OK(room->ctx, put_chain(room, 0, RULE_NESTED_MAX));
    EXPECT_FAULT(room->ctx, put(room, "x", "\"segment(\\\"c15\\\")\""), ERR_INVALID,
                 "cohort.nested");
    EXPECT_OK(room->ctx, put_chain(room, 20, 24));
    EXPECT_FAULT(room->ctx, put(room, "c0", "\"segment(\\\"c20\\\")\""), ERR_INVALID,
                 "cohort.nested");
    EXPECT_OK(room->ctx, put(room, "c20", "\"segment(\\\"c11\\\")\"")); /* 12 below, 4 above */
    EXPECT_FAULT(room->ctx, put(room, "c20", "\"segment(\\\"c12\\\")\""), ERR_INVALID,
                 "cohort.nested");
    Buf many = BUF_MAX(4096);
    for (int i = 0; i <= COHORT_USES_MAX; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "u%d", i);
        EXPECT_OK(room->ctx, put(room, name, "\"true\""));
        buf_addf(&many, "%ssegment(\\\"u%d\\\")", i == 0 ? "\"" : " or ", i);
    }
    buf_add(&many, STR("\""));
    buf_add_char(&many, '\0');
    EXPECT_FAULT(room->ctx, put(room, "x", many.ptr), ERR_INVALID, "cohort.nested");
    buf_free(&many);
}

ROOM_TEST(cohort_that_another_names_stays, &COHORT_SCHEMA)
{
    EXPECT_OK(room->ctx, put(room, "b", "\"true\""));
    EXPECT_OK(room->ctx, put(room, "a", "\"not segment(\\\"b\\\")\""));
    EXPECT_FAULT(room->ctx, forget(room, "b"), ERR_CONFLICT, "cohort.in_use");
    CHECK(strstr(room->ctx->fault.hint, "\"a\"") != NULL);
    EXPECT_OK(room->ctx, forget(room, "a"));
    EXPECT_OK(room->ctx, forget(room, "b"));
    EXPECT_FAULT(room->ctx, forget(room, "b"), ERR_NOT_FOUND, "cohort.unknown");
}

/* What was read stays as it was, but what it names may go. */
ROOM_TEST(cohort_that_names_one_that_has_gone_meanwhile_is_refused, &COHORT_SCHEMA)
{
    CohortDraft draft;
    EXPECT_OK(room->ctx, put(room, "b", "\"true\""));
    EXPECT_OK(room->ctx, cohort_read(room->ctx, STR("a"), STR("\"segment(\\\"b\\\")\""), &draft));
    EXPECT_OK(room->ctx, forget(room, "b"));
    EXPECT_FAULT(room->ctx, room_write(room, apply_put, &draft), ERR_INVALID, "cohort.rule");
}
