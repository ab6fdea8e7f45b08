/*
 * modules/staff/staff_test.c -- what staff.h promises.
 */
#include "modules/staff/staff.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/rand.h"
#include "modules/room_test.h"
#include "modules/staff/staff_http.h"
#include "staff.api.h"
#include "staff.sql.h"

#include <pthread.h>

#define PASSWORD  STR("correct horse")
#define OTHER     STR("battery staple")
#define MINUTE_MS INT64_C(60000)

/* ---- shorthand ------------------------------------------------------------------------------- */

typedef struct Account {
    Staff in;
    Str hash;
    int64_t id;
} Account;

static Err apply_create(Tx *tx, void *arg)
{
    Account *a = arg;
    return staff_create(tx, &a->in, a->hash, &a->id);
}

/* Hashing takes 25 ms, and in most tests it does not matter which password it was. */
static Str hash_of(Room *room, Str password)
{
    Str hash = {0};
    EXPECT_OK(room->ctx, staff_password_prepare(room->ctx, STR("nobody"), password, &hash));
    return hash;
}

static int64_t create(Room *room, Str login, Str role)
{
    Account a = {.in = {.login = login, .name = STR("王小明"), .role = role},
                 .hash = hash_of(room, PASSWORD)};
    EXPECT_OK(room->ctx, room_write(room, apply_create, &a));
    return a.id;
}

typedef struct Change {
    int64_t id;
    Str text; /* password hash, or role */
    const int64_t *stores;
    size_t store_count;
    bool disabled;
} Change;

static Err apply_password(Tx *tx, void *arg)
{
    const Change *c = arg;
    return staff_set_password(tx, c->id, c->text);
}

static Err apply_role(Tx *tx, void *arg)
{
    const Change *c = arg;
    return staff_set_role(tx, c->id, c->text, c->stores, c->store_count);
}

static Err apply_disabled(Tx *tx, void *arg)
{
    const Change *c = arg;
    return staff_set_disabled(tx, c->id, c->disabled);
}

static Err apply_sign_in(Tx *tx, void *arg)
{
    return staff_sign_in_apply(tx, arg);
}

static Err apply_purge(Tx *tx, void *arg)
{
    return staff_session_purge(tx, arg);
}

static Err apply_sign_out(Tx *tx, void *arg)
{
    return staff_sign_out(tx, *(Str *)arg);
}

/* All three parts, as a request runs them. */
static Err sign_in_from(Room *room, const char *address, Str login, Str password, StaffSignIn *in)
{
    TRY(staff_sign_in_prepare(room->ctx, &(StaffCredentials){login, password, str_of(address)},
                              in));
    TRY(room_write(room, apply_sign_in, in));
    return staff_sign_in_result(room->ctx, in);
}

#define HERE "192.0.2.1"

static Err prepare(Room *room, Str login, Str password, StaffSignIn *in)
{
    return staff_sign_in_prepare(room->ctx, &(StaffCredentials){login, password, STR(HERE)}, in);
}

static Err sign_in(Room *room, Str login, Str password, StaffSignIn *in)
{
    return sign_in_from(room, HERE, login, password, in);
}

static Err ask(Room *room, const StaffSignIn *in)
{
    Principal who;
    return staff_principal_by_session(room->ctx, str_of(in->token), &who);
}

static int64_t sessions(Room *room)
{
    static const SqlType OUT_TYPES[] = {SQL_I64};
    static SqlStmt count = {"test_sessions",
                            "SELECT count(*) FROM staff_session",
                            "SELECT count(*) FROM staff_session",
                            NULL,
                            0,
                            OUT_TYPES,
                            1};
    return world_number(&room->world, &count, NULL);
}

/* ---- roles ----------------------------------------------------------------------------------- */

static bool may(const char *role, const char *permission)
{
    PermissionSet set = 0;
    CHECK(staff_role_permissions(str_of(role), &set));
    return (set & permission_bit(permission)) != 0;
}

TEST(staff_roles_may_what_the_table_says)
{
    const struct {
        const char *role, *permission;
        bool may;
    } cases[] = {{"owner", "staff.manage", true},
                 {"owner", "person.reveal", true},
                 {"marketer", "coupon.template.write", true},
                 {"marketer", "coupon.redeem", false},
                 {"marketer", "person.reveal", false},
                 {"clerk", "coupon.redeem", true},
                 {"clerk", "order.write", true},
                 {"clerk", "coupon.template.write", false},
                 {"clerk", "person.reveal", false},
                 {"clerk", "audit.read", false},
                 {"analyst", "insight.read", true},
                 {"analyst", "person.read", false},
                 {"brand", "insight.read", true},
                 {"brand", "order.read", false},
                 {"privacy", "person.reveal", true},
                 {"privacy", "audit.read", true},
                 {"privacy", "coupon.claim", false},
                 {"integrator", "event.collect", true},
                 {"integrator", "event.identity", true},
                 {"integrator", "event.erase", false},
                 {"clerk", "event.identity", false},
                 {"integrator", "key.manage", true},
                 {"integrator", "staff.manage", false},
                 {"integrator", "person.reveal", false}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        EXPECT_I64(may(cases[i].role, cases[i].permission), cases[i].may);
    PermissionSet owner = 0, clerk = 0, integrator = 0, any = 0;
    CHECK(staff_role_permissions(STR("owner"), &owner));
    CHECK(staff_role_permissions(STR("clerk"), &clerk));
    CHECK(staff_role_permissions(STR("integrator"), &integrator));
    EXPECT_I64((int64_t)(clerk & ~integrator), 0);
    EXPECT_I64((int64_t)STAFF_ROLE_COUNT, 7);
    for (size_t i = 0; i < STAFF_ROLE_COUNT; i++) {
        CHECK(staff_role_permissions(str_of(STAFF_ROLES[i]), &any));
        EXPECT_I64((int64_t)(any & ~owner), 0);
        EXPECT_I64(may(STAFF_ROLES[i], "staff.manage"), i == 0);
    }
    CHECK(!staff_role_permissions(STR("Owner"), &any));
    CHECK(!staff_role_permissions(STR(""), &any));
}

/* ---- accounts -------------------------------------------------------------------------------- */

ROOM_TEST(staff_password_must_be_hard_to_guess, &STAFF_SCHEMA)
{
    char longest[STAFF_PASSWORD_BYTES_MAX + 1];
    for (size_t i = 0; i < sizeof longest; i++)
        longest[i] = (char)('a' + i % 26);
    const Str bad[] = {STR(""),
                       STR("short pwd"),
                       STR("密码密码密码密码密"), /* 9 characters in 27 bytes */
                       STR("Branch.Manager"),
                       STR("Qwerty12345"),
                       STR("1111111111"),
                       STR("abcabcabcabc"),
                       STR("\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7\xf6\xf5\xf4"),
                       {longest, sizeof longest}};
    Str hash = STR("untouched");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        EXPECT_FAULT(room->ctx,
                     staff_password_prepare(room->ctx, STR("branch.manager"), bad[i], &hash),
                     ERR_INVALID, "staff.password");
        EXPECT_STREQ(room->ctx->fault.pointer, "/password");
    }
    EXPECT_STREQ(hash.ptr, "untouched");
    const Str good[] = {PASSWORD, STR("一个很容易记住的句子"), {longest, sizeof longest - 1}};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        EXPECT_OK(room->ctx,
                  staff_password_prepare(room->ctx, STR("branch.manager"), good[i], &hash));
        CHECK(crypto_check_password(good[i], hash, NULL));
    }
}

ROOM_TEST(staff_comes_back_as_created_with_a_folded_login, &STAFF_SCHEMA)
{
    const int64_t stores[] = {11, 22, INT64_MAX};
    Account a = {.in = {.login = STR("Li.Na@SH"),
                        .name = STR("李娜"),
                        .role = STR("clerk"),
                        .stores = stores,
                        .store_count = 3},
                 .hash = STR("h")};
    EXPECT_OK(room->ctx, room_write(room, apply_create, &a));
    Staff *all = NULL;
    size_t n = 0;
    EXPECT_OK(room->ctx, staff_list(room->ctx, &all, &n));
    EXPECT_I64((int64_t)n, 1);
    Staff found;
    EXPECT_OK(room->ctx, staff_find(room->ctx, a.id, &found));
    const Staff *const both[] = {&all[0], &found};
    for (size_t i = 0; i < 2; i++) {
        EXPECT_I64(both[i]->id, a.id);
        EXPECT_STREQ(ROOM_C(room, both[i]->login), "li.na@sh");
        EXPECT_STREQ(ROOM_C(room, both[i]->name), "李娜");
        EXPECT_STREQ(ROOM_C(room, both[i]->role), "clerk");
        EXPECT_I64((int64_t)both[i]->store_count, 3);
        for (size_t k = 0; k < 3; k++)
            EXPECT_I64(both[i]->stores[k], stores[k]);
        CHECK(!both[i]->disabled);
        EXPECT_I64(both[i]->created_ms, ROOM_NOW_MS);
    }
    a.in.login = STR("LI.NA@sh");
    EXPECT_FAULT(room->ctx, room_write(room, apply_create, &a), ERR_CONFLICT, "staff.login_taken");
    EXPECT_FAULT(room->ctx, staff_find(room->ctx, 1, &found), ERR_NOT_FOUND, "staff.unknown");
}

ROOM_TEST(staff_refuses_what_is_no_account_and_names_the_field, &STAFF_SCHEMA)
{
    char longest[STAFF_LOGIN_BYTES_MAX + 1];
    memset(longest, 'a', sizeof longest);
    const Str long_text = {longest, sizeof longest}, ok = STR("ok"), clerk = STR("clerk");
    int64_t stores[PRINCIPAL_STORES_MAX + 1] = {0};
    const struct {
        const char *pointer;
        Staff in;
    } cases[] = {
        {"/login", {.name = ok, .role = clerk}},
        {"/login", {.login = STR("a b"), .name = ok, .role = clerk}},
        {"/login", {.login = STR("李娜"), .name = ok, .role = clerk}},
        {"/login", {.login = long_text, .name = ok, .role = clerk}},
        {"/name", {.login = ok, .role = clerk}},
        {"/name", {.login = ok, .name = str_slice(long_text, 0, 64), .role = clerk}},
        {"/role", {.login = ok, .name = ok, .role = STR("boss")}},
        {"/stores",
         {.login = ok,
          .name = ok,
          .role = clerk,
          .stores = stores,
          .store_count = ARRAY_LEN(stores)}},
        {"/stores",
         {.login = ok, .name = ok, .role = STR("owner"), .stores = stores, .store_count = 1}},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Account a = {.in = cases[i].in, .hash = ok, .id = 77};
        EXPECT_FAULT(room->ctx, room_write(room, apply_create, &a), ERR_INVALID, "staff.invalid");
        EXPECT_STREQ(room->ctx->fault.pointer, cases[i].pointer);
        EXPECT_I64(a.id, 77);
    }
    Account most = {.in = {.login = ok,
                           .name = ok,
                           .role = clerk,
                           .stores = stores,
                           .store_count = PRINCIPAL_STORES_MAX},
                    .hash = ok};
    for (int i = 0; i < PRINCIPAL_STORES_MAX; i++)
        stores[i] = INT64_MAX - i;
    EXPECT_OK(room->ctx, room_write(room, apply_create, &most));
    Staff found;
    EXPECT_OK(room->ctx, staff_find(room->ctx, most.id, &found));
    EXPECT_I64((int64_t)found.store_count, PRINCIPAL_STORES_MAX);
    EXPECT_I64(found.stores[63], INT64_MAX - 63);
}

/* ---- who may change whom --------------------------------------------------------------------- */

static Principal principal(const char *role, int64_t id, int64_t store)
{
    Principal p = {.kind = PRINCIPAL_STAFF, .id = id, .store_count = store != 0, .stores = {store}};
    CHECK(staff_role_permissions(str_of(role), &p.permissions));
    return p;
}

ROOM_TEST(staff_nobody_grants_more_than_they_have, &STAFF_SCHEMA)
{
    const int64_t owner = create(room, STR("owner"), STR("owner"));
    const int64_t clerk = create(room, STR("clerk"), STR("clerk"));
    const int64_t one[] = {1}, two[] = {1, 2};
    const Principal integrator = principal("integrator", 5, 0), local = principal("clerk", 6, 1);
    const struct {
        const Principal *who;
        const char *role;
        const int64_t *stores;
        size_t store_count;
        Err err;
    } cases[] = {
        {&integrator, "owner", NULL, 0, ERR_DENIED}, {&integrator, "privacy", NULL, 0, ERR_DENIED},
        {&integrator, "clerk", NULL, 0, ERR_OK},     {&local, "clerk", NULL, 0, ERR_DENIED},
        {&local, "clerk", two, 2, ERR_DENIED},       {&local, "clerk", one, 1, ERR_OK},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        room->ctx->who = cases[i].who;
        Account a = {.in = {.login = arena_printf(room->ctx->arena, "u%zu", i),
                            .name = STR("u"),
                            .role = str_of(cases[i].role),
                            .stores = cases[i].stores,
                            .store_count = cases[i].store_count},
                     .hash = STR("h")};
        EXPECT_I64(room_write(room, apply_create, &a), cases[i].err);
        if (cases[i].err != ERR_OK)
            EXPECT_STREQ(room->ctx->fault.reason, "staff.beyond");
    }
    room->ctx->who = &integrator;
    Change up = {.id = clerk, .text = STR("owner")}, down = {.id = owner, .text = STR("clerk")};
    EXPECT_FAULT(room->ctx, room_write(room, apply_role, &up), ERR_DENIED, "staff.beyond");
    EXPECT_FAULT(room->ctx, room_write(room, apply_role, &down), ERR_DENIED, "staff.beyond");
    EXPECT_FAULT(room->ctx, room_write(room, apply_password, &down), ERR_DENIED, "staff.beyond");
    EXPECT_FAULT(room->ctx, room_write(room, apply_disabled, &down), ERR_DENIED, "staff.beyond");
}

ROOM_TEST(staff_may_change_their_own_password_but_not_their_role, &STAFF_SCHEMA)
{
    const int64_t id = create(room, STR("li"), STR("clerk"));
    Principal self = principal("clerk", id, 0);
    self.permissions = 0; /* not even what the role has */
    room->ctx->who = &self;
    Change c = {.id = id, .text = hash_of(room, OTHER)};
    EXPECT_OK(room->ctx, room_write(room, apply_password, &c));
    c.text = STR("owner");
    EXPECT_FAULT(room->ctx, room_write(room, apply_role, &c), ERR_DENIED, "staff.beyond");
    self.kind = PRINCIPAL_KEY; /* a key of the same number is somebody else */
    EXPECT_FAULT(room->ctx, room_write(room, apply_password, &c), ERR_DENIED, "staff.beyond");
    StaffSignIn in;
    EXPECT_FAULT(room->ctx, sign_in(room, STR("li"), PASSWORD, &in), ERR_UNAUTHENTICATED,
                 "auth.password");
    EXPECT_OK(room->ctx, sign_in(room, STR("li"), OTHER, &in));
}

ROOM_TEST(staff_last_enabled_owner_stays, &STAFF_SCHEMA)
{
    const int64_t a = create(room, STR("a"), STR("owner"));
    Change off = {.id = a, .disabled = true}, down = {.id = a, .text = STR("clerk")};
    Change same = {.id = a, .text = STR("owner")};
    EXPECT_FAULT(room->ctx, room_write(room, apply_disabled, &off), ERR_CONFLICT,
                 "staff.last_owner");
    EXPECT_FAULT(room->ctx, room_write(room, apply_role, &down), ERR_CONFLICT, "staff.last_owner");
    EXPECT_OK(room->ctx, room_write(room, apply_role, &same));
    const int64_t b = create(room, STR("b"), STR("owner"));
    EXPECT_OK(room->ctx, room_write(room, apply_disabled, &off));
    Change off_b = {.id = b, .disabled = true};
    EXPECT_FAULT(room->ctx, room_write(room, apply_disabled, &off_b), ERR_CONFLICT,
                 "staff.last_owner");
    EXPECT_OK(room->ctx, room_write(room, apply_role, &down)); /* b is left */
    Staff found;
    EXPECT_OK(room->ctx, staff_find(room->ctx, b, &found));
    CHECK(!found.disabled);
}

typedef struct Quit {
    Room *room;
    Change change;
    Err err;
} Quit;

static void *quit(void *arg)
{
    Quit *q = arg;
    Ctx ctx = world_ctx();
    ctx.who = &PRINCIPAL_OF_SYSTEM;
    q->err = database_write(q->room->world.database, &ctx, "test", apply_disabled, &q->change);
    world_ctx_free(&ctx);
    return NULL;
}

ROOM_TEST(staff_of_four_owners_that_leave_at_once_one_stays, &STAFF_SCHEMA)
{
    enum { OWNERS = 4 };
    Quit quits[OWNERS];
    pthread_t threads[OWNERS];
    for (int i = 0; i < OWNERS; i++) {
        const Str login = arena_printf(room->ctx->arena, "o%d", i);
        quits[i] = (Quit){room, {.id = create(room, login, STR("owner")), .disabled = true}, 0};
    }
    for (int i = 0; i < OWNERS; i++)
        CHECK(pthread_create(&threads[i], NULL, quit, &quits[i]) == 0);
    int left = 0, stayed = 0;
    for (int i = 0; i < OWNERS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        left += quits[i].err == ERR_OK;
        stayed += quits[i].err == ERR_CONFLICT;
    }
    EXPECT_I64(left, OWNERS - 1);
    EXPECT_I64(stayed, 1);
}

/* ---- signing in ------------------------------------------------------------------------------ */

ROOM_TEST(staff_sign_in_opens_a_session_of_twelve_hours, &STAFF_SCHEMA)
{
    const int64_t stores[] = {7, 8};
    Account a = {.in = {.login = STR("li"),
                        .name = STR("李娜"),
                        .role = STR("clerk"),
                        .stores = stores,
                        .store_count = 2},
                 .hash = hash_of(room, PASSWORD)};
    EXPECT_OK(room->ctx, room_write(room, apply_create, &a));
    StaffSignIn in;
    EXPECT_OK(room->ctx, sign_in(room, STR("Li"), PASSWORD, &in));
    EXPECT_I64(in.staff, a.id);
    EXPECT_I64(in.expires_ms, ROOM_NOW_MS + STAFF_SESSION_MS);
    EXPECT_I64((int64_t)str_of(in.token).len, 43);
    for (int round = 0; round < 2; round++) { /* from the database, then from memory */
        Principal who;
        EXPECT_OK(room->ctx, staff_principal_by_session(room->ctx, str_of(in.token), &who));
        EXPECT_I64(who.kind, PRINCIPAL_STAFF);
        EXPECT_I64(who.id, a.id);
        EXPECT_STREQ(who.role, "clerk");
        EXPECT_STREQ(who.name, "李娜");
        CHECK(principal_may(&who, "coupon.redeem") && !principal_may(&who, "staff.manage"));
        CHECK(principal_may_store(&who, 7) && principal_may_store(&who, 8));
        CHECK(!principal_may_store(&who, 9));
    }
    room_advance(room, STAFF_SESSION_MS - 1);
    EXPECT_OK(room->ctx, ask(room, &in)); /* and remembers it, but not past its end */
    room_advance(room, 1);
    EXPECT_FAULT(room->ctx, ask(room, &in), ERR_UNAUTHENTICATED, "auth.session");
}

static Err each_bytes(Ctx *ctx, const SqlRow *row, void *arg)
{
    (void)ctx;
    const Str *secret = arg;
    for (int c = 0; c < row->count; c++)
        CHECK(!str_eq(row->col[c].text, *secret) && row->col[c].text.len != secret->len);
    return ERR_OK;
}

ROOM_TEST(staff_stores_neither_token_nor_password, &STAFF_SCHEMA)
{
    static const SqlType OUT_TYPES[] = {SQL_BYTES, SQL_TEXT};
    static SqlStmt secrets = {
        "test_secrets",
        "SELECT s.hash, a.password FROM staff_session s JOIN staff a ON a.id = s.staff",
        "SELECT s.hash, a.password FROM staff_session s JOIN staff a ON a.id = s.staff",
        NULL,
        0,
        OUT_TYPES,
        2};
    (void)create(room, STR("li"), STR("clerk"));
    StaffSignIn in;
    EXPECT_OK(room->ctx, sign_in(room, STR("li"), PASSWORD, &in));
    EXPECT_I64(sessions(room), 1);
    Str token = str_of(in.token), password = PASSWORD;
    EXPECT_OK(room->ctx, db_each(room->ctx, &secrets, NULL, each_bytes, &token));
    EXPECT_OK(room->ctx, db_each(room->ctx, &secrets, NULL, each_bytes, &password));
}

ROOM_TEST(staff_wrong_password_unknown_login_and_disabled_account_get_one_answer, &STAFF_SCHEMA)
{
    (void)create(room, STR("li"), STR("clerk"));
    const int64_t gone = create(room, STR("gone"), STR("clerk"));
    Change off = {.id = gone, .disabled = true};
    EXPECT_OK(room->ctx, room_write(room, apply_disabled, &off));
    const struct {
        Str login, password;
    } cases[] = {
        {STR("li"), OTHER}, {STR("nobody"), PASSWORD}, {STR("no login at all\n"), PASSWORD},
        {STR(""), STR("")}, {STR("gone"), PASSWORD},   {STR("gone"), OTHER}};
    StaffSignIn in;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        EXPECT_FAULT(room->ctx, sign_in(room, cases[i].login, cases[i].password, &in),
                     ERR_UNAUTHENTICATED, "auth.password");
        EXPECT_STREQ(room->ctx->fault.detail, "sign-in");
        EXPECT_STREQ(room->ctx->fault.hint, "");
    }
    EXPECT_I64(sessions(room), 0);
}

static int64_t fastest_us(Room *room, Str login)
{
    int64_t best = INT64_MAX;
    for (int i = 0; i < 5; i++) {
        StaffSignIn in;
        const int64_t from = clock_thread_us();
        (void)!prepare(room, login, OTHER, &in);
        const int64_t took = clock_thread_us() - from;
        best = took < best ? took : best;
    }
    return best;
}

ROOM_TEST(staff_unknown_login_costs_as_much_time_as_a_wrong_password, &STAFF_SCHEMA)
{
    (void)create(room, STR("li"), STR("clerk"));
    const int64_t known = fastest_us(room, STR("li")), unknown = fastest_us(room, STR("nobody"));
    CHECK(known > 1000); /* or nothing was hashed */
    CHECK(unknown * 2 > known && known * 2 > unknown);
}

static Err wrong(Room *room)
{
    StaffSignIn in;
    return sign_in(room, STR("li"), OTHER, &in);
}

ROOM_TEST(staff_five_failures_lock_for_a_minute_doubling_up_to_an_hour, &STAFF_SCHEMA)
{
    (void)create(room, STR("li"), STR("clerk"));
    StaffSignIn in;
    for (int i = 0; i < 5; i++)
        EXPECT_FAULT(room->ctx, wrong(room), ERR_UNAUTHENTICATED, "auth.password");
    const int64_t minutes[] = {1, 2, 4, 8, 16, 32, 60, 60};
    for (size_t i = 0; i < ARRAY_LEN(minutes); i++) {
        EXPECT_FAULT(room->ctx, sign_in(room, STR("li"), PASSWORD, &in), ERR_LIMITED,
                     "auth.locked");
        room_advance(room, minutes[i] * 60000 - 1);
        EXPECT_FAULT(room->ctx, sign_in(room, STR("LI"), PASSWORD, &in), ERR_LIMITED,
                     "auth.locked");
        CHECK(strstr(room->ctx->fault.hint, "in 1 seconds") != NULL);
        room_advance(room, 1);
        EXPECT_FAULT(room->ctx, wrong(room), ERR_UNAUTHENTICATED, "auth.password");
    }
    room_advance(room, STAFF_LOCK_MS_MAX);
    EXPECT_OK(room->ctx, sign_in(room, STR("li"), PASSWORD, &in));
    for (int i = 0; i < 4; i++) /* the count began again */
        EXPECT_FAULT(room->ctx, wrong(room), ERR_UNAUTHENTICATED, "auth.password");
    EXPECT_OK(room->ctx, sign_in(room, STR("li"), PASSWORD, &in));
}

/* `n` wrong passwords, each from an address of its own. */
static void guess_from_everywhere(Room *room, Str login, int n)
{
    for (int i = 0; i < n; i++) {
        StaffSignIn in = {.login = login,
                          .address = arena_printf(room->ctx->arena, "198.51.%d", i)};
        EXPECT_OK(room->ctx,
                  room_write(room, apply_sign_in, &in)); /* as prepare leaves a wrong one */
    }
}

ROOM_TEST(staff_guesses_from_one_address_lock_out_no_other, &STAFF_SCHEMA)
{
    (void)create(room, STR("li"), STR("clerk"));
    StaffSignIn in;
    for (int i = 0; i < 5; i++)
        EXPECT_FAULT(room->ctx, wrong(room), ERR_UNAUTHENTICATED, "auth.password");
    EXPECT_FAULT(room->ctx, wrong(room), ERR_LIMITED, "auth.locked");
    EXPECT_OK(room->ctx, sign_in_from(room, "192.0.2.2", STR("li"), PASSWORD, &in));
    EXPECT_OK(room->ctx, sign_in_from(room, "", STR("li"), PASSWORD, &in));
    EXPECT_FAULT(room->ctx, sign_in(room, STR("li"), PASSWORD, &in), ERR_LIMITED, "auth.locked");
}

ROOM_TEST(staff_login_that_nobody_has_is_locked_like_any_other, &STAFF_SCHEMA)
{
    StaffSignIn in;
    for (int i = 0; i < 5; i++)
        EXPECT_FAULT(room->ctx, sign_in(room, STR("Nobody"), PASSWORD, &in), ERR_UNAUTHENTICATED,
                     "auth.password");
    EXPECT_FAULT(room->ctx, sign_in(room, STR("nobody"), PASSWORD, &in), ERR_LIMITED,
                 "auth.locked");
    CHECK(strstr(room->ctx->fault.hint, "in 60 seconds") != NULL);
    EXPECT_FAULT(room->ctx, sign_in(room, STR("somebody"), PASSWORD, &in), ERR_UNAUTHENTICATED,
                 "auth.password");
}

ROOM_TEST(staff_hundred_guesses_an_hour_slow_strangers_down_but_not_who_was_there_before,
          &STAFF_SCHEMA)
{
    (void)create(room, STR("li"), STR("clerk"));
    StaffSignIn in;
    EXPECT_OK(room->ctx, sign_in(room, STR("li"), PASSWORD, &in)); /* HERE is known from now on */
    guess_from_everywhere(room, STR("li"), STAFF_FAILURES_HOUR - 1);
    EXPECT_OK(room->ctx, sign_in_from(room, "192.0.2.2", STR("li"), PASSWORD, &in));
    EXPECT_FAULT(room->ctx, sign_in_from(room, "192.0.2.3", STR("li"), OTHER, &in),
                 ERR_UNAUTHENTICATED, "auth.password");
    EXPECT_FAULT(room->ctx, sign_in_from(room, "192.0.2.4", STR("li"), PASSWORD, &in), ERR_LIMITED,
                 "auth.locked");
    EXPECT_OK(room->ctx, sign_in(room, STR("li"), PASSWORD, &in));
    EXPECT_OK(room->ctx, sign_in_from(room, "192.0.2.2", STR("li"), PASSWORD, &in));
    room_advance(room, STAFF_LOCK_ALL_MS);
    EXPECT_OK(room->ctx, sign_in_from(room, "192.0.2.4", STR("li"), PASSWORD, &in));
    room_advance(room, 60 * MINUTE_MS); /* a new hour, a new count */
    EXPECT_FAULT(room->ctx, sign_in_from(room, "192.0.2.3", STR("li"), OTHER, &in),
                 ERR_UNAUTHENTICATED, "auth.password");
    EXPECT_OK(room->ctx, sign_in_from(room, "192.0.2.5", STR("li"), PASSWORD, &in));
}

ROOM_TEST(staff_address_is_known_for_thirty_days, &STAFF_SCHEMA)
{
    (void)create(room, STR("li"), STR("clerk"));
    StaffSignIn in;
    int64_t purged = 0;
    EXPECT_OK(room->ctx, sign_in(room, STR("li"), PASSWORD, &in));
    room_advance(room, STAFF_KNOWN_MS - 1);
    EXPECT_OK(room->ctx, room_write(room, apply_purge, &purged)); /* which must not forget it */
    guess_from_everywhere(room, STR("li"), STAFF_FAILURES_HOUR);
    StaffSignIn right;
    EXPECT_OK(room->ctx, prepare(room, STR("li"), PASSWORD, &right));
    room_advance(room, 1);
    guess_from_everywhere(room, STR("li"), 1);
    EXPECT_FAULT(room->ctx, prepare(room, STR("li"), PASSWORD, &right), ERR_LIMITED, "auth.locked");
}

ROOM_TEST(staff_guesses_are_forgotten_after_two_hours_and_with_a_new_password, &STAFF_SCHEMA)
{
    Change c = {.id = create(room, STR("li"), STR("clerk")), .text = hash_of(room, PASSWORD)};
    StaffSignIn in;
    int64_t purged = 0;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 5; i++)
            EXPECT_FAULT(room->ctx, wrong(room), ERR_UNAUTHENTICATED, "auth.password");
        EXPECT_FAULT(room->ctx, wrong(room), ERR_LIMITED, "auth.locked");
        if (round == 0) {
            EXPECT_OK(room->ctx, room_write(room, apply_password, &c));
            continue;
        }
        room_advance(room, STAFF_GUESS_MS);
        if (round == 1)
            EXPECT_OK(room->ctx, room_write(room, apply_purge, &purged));
    }
    EXPECT_FAULT(room->ctx, wrong(room), ERR_UNAUTHENTICATED, "auth.password");
    EXPECT_OK(room->ctx, sign_in(room, STR("li"), PASSWORD, &in));
}

ROOM_TEST(staff_guesses_made_at_once_are_all_counted_before_the_right_one, &STAFF_SCHEMA)
{
    (void)create(room, STR("li"), STR("clerk"));
    StaffSignIn guess[6], right;
    for (size_t i = 0; i < ARRAY_LEN(guess); i++)
        EXPECT_OK(room->ctx, prepare(room, STR("li"), OTHER, &guess[i]));
    EXPECT_OK(room->ctx, prepare(room, STR("li"), PASSWORD, &right));
    for (size_t i = 0; i < ARRAY_LEN(guess); i++) {
        EXPECT_OK(room->ctx, room_write(room, apply_sign_in, &guess[i]));
        EXPECT_I64(staff_sign_in_result(room->ctx, &guess[i]),
                   i < 5 ? ERR_UNAUTHENTICATED : ERR_LIMITED);
    }
    EXPECT_OK(room->ctx, room_write(room, apply_sign_in, &right));
    EXPECT_FAULT(room->ctx, staff_sign_in_result(room->ctx, &right), ERR_LIMITED, "auth.locked");
    EXPECT_I64(sessions(room), 0);
}

ROOM_TEST(staff_password_changed_or_account_disabled_meanwhile_opens_nothing, &STAFF_SCHEMA)
{
    const int64_t id = create(room, STR("li"), STR("clerk"));
    StaffSignIn old, late;
    EXPECT_OK(room->ctx, prepare(room, STR("li"), PASSWORD, &old));
    Change c = {.id = id, .text = hash_of(room, OTHER), .disabled = true};
    EXPECT_OK(room->ctx, room_write(room, apply_password, &c));
    EXPECT_OK(room->ctx, room_write(room, apply_sign_in, &old));
    EXPECT_FAULT(room->ctx, staff_sign_in_result(room->ctx, &old), ERR_UNAUTHENTICATED,
                 "auth.password");
    EXPECT_OK(room->ctx, prepare(room, STR("li"), OTHER, &late));
    EXPECT_OK(room->ctx, room_write(room, apply_disabled, &c));
    EXPECT_OK(room->ctx, room_write(room, apply_sign_in, &late));
    EXPECT_FAULT(room->ctx, staff_sign_in_result(room->ctx, &late), ERR_UNAUTHENTICATED,
                 "auth.password");
    EXPECT_I64(sessions(room), 0);
}

ROOM_TEST(staff_password_of_older_parameters_is_hashed_again, &STAFF_SCHEMA)
{
    /* "correct horse" with 8 KiB and one pass */
    const Str weak = STR(
        "$argon2id$v=19$m=8,t=1,p=1$4gDWet4OUfSoUxlBj4eVRA$DTH+AxJb23gWdqfVoo2qW0zkhUYRqeys7E3bjLyIJfg");
    Account a = {.in = {.login = STR("li"), .name = STR("l"), .role = STR("clerk")}, .hash = weak};
    EXPECT_OK(room->ctx, room_write(room, apply_create, &a));
    StaffSignIn in;
    EXPECT_OK(room->ctx, sign_in(room, STR("li"), PASSWORD, &in));
    Row_staff_by_login row;
    EXPECT_OK(room->ctx, sql_staff_by_login(room->ctx, STR("li"), &row));
    bool stale = true;
    CHECK(crypto_check_password(PASSWORD, row.password, &stale) && !stale);
    EXPECT_OK(room->ctx, sign_in(room, STR("li"), PASSWORD, &in));
    CHECK(in.rehash.ptr == NULL);
}

/* ---- the end of sessions --------------------------------------------------------------------- */

ROOM_TEST(staff_sign_out_ends_one_session_at_once, &STAFF_SCHEMA)
{
    (void)create(room, STR("li"), STR("clerk"));
    StaffSignIn phone, till;
    EXPECT_OK(room->ctx, sign_in(room, STR("li"), PASSWORD, &phone));
    EXPECT_OK(room->ctx, sign_in(room, STR("li"), PASSWORD, &till));
    EXPECT_OK(room->ctx, ask(room, &phone));
    EXPECT_OK(room->ctx, ask(room, &till));
    Str token = str_of(phone.token), none = STR("none");
    EXPECT_OK(room->ctx, room_write(room, apply_sign_out, &token));
    EXPECT_FAULT(room->ctx, ask(room, &phone), ERR_UNAUTHENTICATED, "auth.session");
    EXPECT_OK(room->ctx, ask(room, &till));
    EXPECT_OK(room->ctx, room_write(room, apply_sign_out, &none));
    EXPECT_OK(room->ctx, ask(room, &till));
}

ROOM_TEST(staff_change_of_password_role_or_standing_ends_the_sessions_at_once, &STAFF_SCHEMA)
{
    const int64_t id = create(room, STR("li"), STR("clerk"));
    (void)create(room, STR("wang"), STR("clerk"));
    StaffSignIn other;
    EXPECT_OK(room->ctx, sign_in(room, STR("wang"), PASSWORD, &other));
    Change c = {.id = id, .text = hash_of(room, PASSWORD), .disabled = true};
    Change on = {.id = id}, role = {.id = id, .text = STR("marketer")};
    const struct {
        TxBody apply;
        Change *change;
    } cases[] = {{apply_password, &c}, {apply_role, &role}, {apply_disabled, &c}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        StaffSignIn in;
        EXPECT_OK(room->ctx, sign_in(room, STR("li"), PASSWORD, &in));
        EXPECT_OK(room->ctx, ask(room, &in));
        EXPECT_OK(room->ctx, room_write(room, cases[i].apply, cases[i].change));
        EXPECT_FAULT(room->ctx, ask(room, &in), ERR_UNAUTHENTICATED, "auth.session");
        EXPECT_OK(room->ctx, ask(room, &other));
    }
    EXPECT_OK(room->ctx, room_write(room, apply_disabled, &on));
    StaffSignIn in;
    Principal who;
    EXPECT_OK(room->ctx, sign_in(room, STR("li"), PASSWORD, &in));
    EXPECT_OK(room->ctx, staff_principal_by_session(room->ctx, str_of(in.token), &who));
    EXPECT_STREQ(who.role, "marketer");
}

static Err apply_disabled_then_refuse(Tx *tx, void *arg)
{
    TRY(apply_disabled(tx, arg));
    return fail(tx->ctx, ERR_CONFLICT, "test.refused", "after the write");
}

ROOM_TEST(staff_change_that_was_rolled_back_ends_nothing, &STAFF_SCHEMA)
{
    Change off = {.id = create(room, STR("li"), STR("clerk")), .disabled = true};
    StaffSignIn in;
    EXPECT_OK(room->ctx, sign_in(room, STR("li"), PASSWORD, &in));
    EXPECT_FAULT(room->ctx, room_write(room, apply_disabled_then_refuse, &off), ERR_CONFLICT,
                 "test.refused");
    EXPECT_OK(room->ctx, ask(room, &in));
}

ROOM_TEST(staff_purge_forgets_the_sessions_that_are_over, &STAFF_SCHEMA)
{
    (void)create(room, STR("li"), STR("clerk"));
    StaffSignIn first, second;
    EXPECT_OK(room->ctx, sign_in(room, STR("li"), PASSWORD, &first));
    room_advance(room, 1);
    EXPECT_OK(room->ctx, sign_in(room, STR("li"), PASSWORD, &second));
    room_advance(room, STAFF_SESSION_MS - 1);
    int64_t purged = 0;
    EXPECT_OK(room->ctx, room_write(room, apply_purge, &purged));
    EXPECT_I64(purged, 1);
    EXPECT_I64(sessions(room), 1);
    EXPECT_OK(room->ctx, ask(room, &second));
}

ROOM_TEST(staff_csrf_token_belongs_to_one_session, &STAFF_SCHEMA)
{
    Ctx *ctx = room->ctx;
    const Str a = STR("AAAA"), b = STR("BBBB");
    const Str of_a = staff_csrf(ctx, a);
    EXPECT_I64((int64_t)of_a.len, 43);
    CHECK(staff_csrf_matches(ctx, a, of_a));
    CHECK(!staff_csrf_matches(ctx, b, of_a));
    CHECK(!staff_csrf_matches(ctx, a, a));
    CHECK(!staff_csrf_matches(ctx, a, STR("")));
    CHECK(!staff_csrf_matches(ctx, a, str_slice(of_a, 0, 42)));
}

/* ---- keys ------------------------------------------------------------------------------------ */

typedef struct MakeKey {
    StaffKey in;
    int64_t id;
    char key[STAFF_KEY_BYTES];
} MakeKey;

static Err apply_key(Tx *tx, void *arg)
{
    MakeKey *k = arg;
    return staff_key_create(tx, &k->in, &k->id, k->key);
}

static Err apply_revoke(Tx *tx, void *arg)
{
    return staff_key_revoke(tx, *(int64_t *)arg);
}

ROOM_TEST(staff_key_works_until_it_is_revoked, &STAFF_SCHEMA)
{
    const int64_t stores[] = {7};
    MakeKey k = {
        .in = {.name = STR("till 7"), .role = STR("clerk"), .stores = stores, .store_count = 1}};
    EXPECT_OK(room->ctx, room_write(room, apply_key, &k));
    const Str key = str_of(k.key);
    EXPECT_I64((int64_t)key.len, 46);
    CHECK(str_starts_with(key, STR("td_")));
    Principal who;
    for (int round = 0; round < 2; round++) {
        EXPECT_OK(room->ctx, staff_principal_by_key(room->ctx, key, &who));
        EXPECT_I64(who.kind, PRINCIPAL_KEY);
        EXPECT_I64(who.id, k.id);
        EXPECT_STREQ(who.name, "till 7");
        CHECK(principal_may(&who, "order.write") && !principal_may_store(&who, 8));
    }
    EXPECT_OK(room->ctx, room_write(room, apply_revoke, &k.id));
    EXPECT_FAULT(room->ctx, staff_principal_by_key(room->ctx, key, &who), ERR_UNAUTHENTICATED,
                 "auth.key");
    EXPECT_FAULT(room->ctx, room_write(room, apply_revoke, &k.id), ERR_NOT_FOUND,
                 "staff.key_unknown");
}

ROOM_TEST(staff_key_is_listed_without_itself, &STAFF_SCHEMA)
{
    MakeKey first = {.in = {.name = STR("first"), .role = STR("integrator")}};
    MakeKey second = {.in = {.name = STR("second"), .role = STR("clerk")}};
    EXPECT_OK(room->ctx, room_write(room, apply_key, &first));
    EXPECT_OK(room->ctx, room_write(room, apply_key, &second));
    room_advance(room, 5);
    EXPECT_OK(room->ctx, room_write(room, apply_revoke, &first.id));
    StaffKey *keys = NULL;
    size_t n = 0;
    EXPECT_OK(room->ctx, staff_key_list(room->ctx, &keys, &n));
    EXPECT_I64((int64_t)n, 2);
    EXPECT_I64(keys[0].id, first.id);
    EXPECT_I64(keys[0].revoked_ms, ROOM_NOW_MS + 5);
    EXPECT_STREQ(ROOM_C(room, keys[1].name), "second");
    EXPECT_STREQ(ROOM_C(room, keys[1].role), "clerk");
    EXPECT_STREQ(ROOM_C(room, keys[1].hint), second.key + STAFF_KEY_BYTES - 5);
    EXPECT_I64(keys[1].revoked_ms, 0);
    EXPECT_I64(keys[1].created_ms, ROOM_NOW_MS);
}

ROOM_TEST(staff_key_has_no_more_than_its_maker, &STAFF_SCHEMA)
{
    const Principal integrator = principal("integrator", 5, 0);
    room->ctx->who = &integrator;
    MakeKey k = {.in = {.name = STR("k"), .role = STR("owner")}};
    EXPECT_FAULT(room->ctx, room_write(room, apply_key, &k), ERR_DENIED, "staff.beyond");
    k.in.role = STR("robot");
    EXPECT_FAULT(room->ctx, room_write(room, apply_key, &k), ERR_INVALID, "staff.invalid");
    EXPECT_STREQ(room->ctx->fault.pointer, "/role");
    EXPECT_STREQ(k.key, "");
}

ROOM_TEST(staff_key_and_account_are_seen_and_ended_only_by_who_could_have_made_them, &STAFF_SCHEMA)
{
    const int64_t one[] = {1}, two[] = {2}, both[] = {1, 2};
    const struct {
        const char *role;
        const int64_t *stores;
        size_t store_count;
        bool below; /* an integrator of shop 2 */
    } cases[] = {{"owner", NULL, 0, false},     {"integrator", NULL, 0, false},
                 {"integrator", one, 1, false}, {"clerk", both, 2, false},
                 {"privacy", two, 1, false},    {"clerk", two, 1, true},
                 {"integrator", two, 1, true}};
    const Principal local = principal("integrator", 5, 2);
    int64_t ids[ARRAY_LEN(cases)];
    size_t n = 0, below = 0;
    StaffKey *keys = NULL;
    Staff *staff = NULL;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        MakeKey k = {.in = {.name = STR("k"),
                            .role = str_of(cases[i].role),
                            .stores = cases[i].stores,
                            .store_count = cases[i].store_count}};
        EXPECT_OK(room->ctx, room_write(room, apply_key, &k));
        ids[i] = k.id;
        Account a = {.in = {.login = arena_printf(room->ctx->arena, "u%zu", i),
                            .name = STR("u"),
                            .role = k.in.role,
                            .stores = k.in.stores,
                            .store_count = k.in.store_count},
                     .hash = STR("h")};
        EXPECT_OK(room->ctx, room_write(room, apply_create, &a));
        below += cases[i].below;
    }
    room->ctx->who = &local;
    EXPECT_OK(room->ctx, staff_key_list(room->ctx, &keys, &n));
    EXPECT_I64((int64_t)n, (int64_t)below);
    EXPECT_I64(keys[0].id, ids[5]);
    EXPECT_OK(room->ctx, staff_list(room->ctx, &staff, &n));
    EXPECT_I64((int64_t)n, (int64_t)below);
    EXPECT_STREQ(ROOM_C(room, staff[0].login), "u5");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const Err err = room_write(room, apply_revoke, &ids[i]);
        EXPECT_I64(err, cases[i].below ? ERR_OK : ERR_DENIED);
        if (err != ERR_OK)
            EXPECT_STREQ(room->ctx->fault.reason, "staff.beyond");
    }
    room->ctx->who = &PRINCIPAL_OF_SYSTEM;
    EXPECT_OK(room->ctx, staff_key_list(room->ctx, &keys, &n));
    EXPECT_I64((int64_t)n, ARRAY_LEN(cases));
    for (size_t i = 0; i < n; i++)
        EXPECT_I64(keys[i].revoked_ms != 0, cases[i].below);
}

/* ---- through the doors ----------------------------------------------------------------------- */

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
static Err knock(Room *room, const ApiOperation *operation, Call call)
{
    Knock k = {STAFF_DOORS, call};
    while (k.door->operation != operation)
        k.door++;
    if (k.door->prepare != NULL)
        TRY(k.door->prepare(room->ctx, &k.call));
    return room_write(room, knock_body, &k);
}

/* The store room stands on this one: its table here is what this room reads of it. */
ROOM_TEST(staff_doors_take_only_stores_that_are_there, &STAFF_SCHEMA)
{
    EXPECT_OK(room->ctx, database_script(room->world.database, room->ctx,
                                         "CREATE TABLE store(id BIGINT PRIMARY KEY);"
                                         "INSERT INTO store(id) VALUES (7);"));
    int64_t stores[] = {7, 99};
    const ApiStaffRolePath path = {.id = create(room, STR("li"), STR("clerk"))};
    ApiKeyDraft key = {.name = STR("k"), .role = API_STAFF_ROLE_CLERK, .stores = stores};
    ApiStaffDraft account = {.login = STR("wang"),
                             .name = STR("w"),
                             .password = PASSWORD,
                             .role = API_STAFF_ROLE_CLERK,
                             .stores = stores};
    ApiStaffRoleChange role = {.role = API_STAFF_ROLE_MARKETER, .stores = stores};
    key.stores_is = account.stores_is = role.stores_is = DTO_VALUE;
    ApiStaffView view = {0};
    ApiKeyMade made = {0};
    for (size_t count = 2; count > 0; count--) {
        key.stores_count = account.stores_count = role.stores_count = count;
        const Err errs[] = {
            knock(room, &API_OP_STAFF_KEY_CREATE, (Call){.body = &key, .reply = &made}),
            knock(room, &API_OP_STAFF_CREATE, (Call){.body = &account, .reply = &view}),
            knock(room, &API_OP_STAFF_ROLE,
                  (Call){.params = &path, .body = &role, .reply = &view})};
        for (size_t i = 0; i < ARRAY_LEN(errs); i++)
            EXPECT_I64(errs[i], count == 2 ? ERR_NOT_FOUND : ERR_OK);
        if (count == 2)
            EXPECT_STREQ(room->ctx->fault.reason, "store.unknown");
    }
    EXPECT_STREQ(ROOM_C(room, view.role), "marketer");
    EXPECT_I64((int64_t)view.stores_count, 1);
}

typedef struct OwnChange {
    const StaffPasswordChange *in;
    Str token;
} OwnChange;

static Err change_body(Tx *tx, void *arg)
{
    const OwnChange *c = arg;
    return staff_change_password(tx, c->in, c->token);
}

static Err change(Room *room, const StaffPasswordChange *in, Str token)
{
    OwnChange c = {in, token};
    return room_write(room, change_body, &c);
}

ROOM_TEST(staff_changes_their_own_password_with_the_old_one_and_stays_signed_in, &STAFF_SCHEMA)
{
    const int64_t id = create(room, STR("li"), STR("clerk"));
    StaffSignIn here, there;
    StaffPasswordChange c, late;
    EXPECT_OK(room->ctx, sign_in(room, STR("li"), PASSWORD, &here));
    EXPECT_OK(room->ctx, sign_in(room, STR("li"), PASSWORD, &there));
    Principal self = principal("clerk", id, 0);
    room->ctx->who = &self;
    EXPECT_FAULT(room->ctx, staff_change_password_prepare(room->ctx, OTHER, OTHER, &c), ERR_INVALID,
                 "staff.password_old");
    EXPECT_STREQ(room->ctx->fault.pointer, "/old");
    EXPECT_FAULT(room->ctx, staff_change_password_prepare(room->ctx, PASSWORD, STR("short"), &c),
                 ERR_INVALID, "staff.password");
    EXPECT_OK(room->ctx, staff_change_password_prepare(room->ctx, PASSWORD, OTHER, &c));
    EXPECT_OK(room->ctx, staff_change_password_prepare(room->ctx, PASSWORD, OTHER, &late));
    EXPECT_OK(room->ctx, change(room, &c, str_of(here.token)));
    EXPECT_OK(room->ctx, ask(room, &here));
    EXPECT_FAULT(room->ctx, ask(room, &there), ERR_UNAUTHENTICATED, "auth.session");
    EXPECT_FAULT(room->ctx, change(room, &late, str_of(here.token)), ERR_INVALID,
                 "staff.password_old");
    EXPECT_OK(room->ctx, sign_in(room, STR("li"), OTHER, &there));
    EXPECT_FAULT(room->ctx, staff_change_password_prepare(room->ctx, PASSWORD, OTHER, &c),
                 ERR_INVALID, "staff.password_old");
    EXPECT_FAULT(room->ctx, staff_change_password_prepare(room->ctx, PASSWORD, OTHER, &c),
                 ERR_LIMITED, "request.limited");
    self.kind = PRINCIPAL_KEY;
    EXPECT_FAULT(room->ctx, staff_change_password_prepare(room->ctx, OTHER, PASSWORD, &c),
                 ERR_DENIED, "auth.permission");
    room->ctx->who = &PRINCIPAL_OF_SYSTEM;
}

ROOM_TEST(staff_session_is_no_key_and_key_is_no_session, &STAFF_SCHEMA)
{
    (void)create(room, STR("li"), STR("clerk"));
    StaffSignIn in;
    MakeKey k = {.in = {.name = STR("k"), .role = STR("clerk")}};
    EXPECT_OK(room->ctx, sign_in(room, STR("li"), PASSWORD, &in));
    EXPECT_OK(room->ctx, room_write(room, apply_key, &k));
    Principal who;
    EXPECT_OK(room->ctx, staff_principal_by_session(room->ctx, str_of(in.token), &who));
    EXPECT_OK(room->ctx, staff_principal_by_key(room->ctx, str_of(k.key), &who));
    EXPECT_FAULT(room->ctx, staff_principal_by_key(room->ctx, str_of(in.token), &who),
                 ERR_UNAUTHENTICATED, "auth.key");
    EXPECT_FAULT(room->ctx, staff_principal_by_session(room->ctx, str_of(k.key), &who),
                 ERR_UNAUTHENTICATED, "auth.session");
}

/* ---- the cache ------------------------------------------------------------------------------- */

static Err apply_rename(Tx *tx, void *arg)
{
    static const SqlType IN_TYPES[] = {SQL_I64};
    static SqlStmt rename = {"test_rename",
                             "UPDATE staff SET name = 'renamed' WHERE id = ?1",
                             "UPDATE staff SET name = 'renamed' WHERE id = $1",
                             IN_TYPES,
                             1,
                             NULL,
                             0};
    return db_exec(tx, &rename, arg, NULL);
}

ROOM_TEST(staff_principal_is_remembered_for_a_minute_and_no_longer, &STAFF_SCHEMA)
{
    (void)create(room, STR("li"), STR("clerk"));
    StaffSignIn in;
    Principal who;
    EXPECT_OK(room->ctx, sign_in(room, STR("li"), PASSWORD, &in));
    const Str token = str_of(in.token);
    EXPECT_OK(room->ctx, staff_principal_by_session(room->ctx, token, &who));
    SqlValue id = sql_i64(in.staff); /* behind the room's back, as another process would */
    EXPECT_OK(room->ctx, room_write(room, apply_rename, &id));
    room_advance(room, STAFF_CACHE_MS - 1);
    EXPECT_OK(room->ctx, staff_principal_by_session(room->ctx, token, &who));
    EXPECT_STREQ(who.name, "王小明");
    room_advance(room, 1);
    EXPECT_OK(room->ctx, staff_principal_by_session(room->ctx, token, &who));
    EXPECT_STREQ(who.name, "renamed");
}

enum { CROWD = 6000 };

static void crowd_token(char out[STAFF_TOKEN_BYTES], int64_t staff, int i)
{
    (void)snprintf(out, STAFF_TOKEN_BYTES, "%" PRId64 "-%d", staff, i);
}

static Err apply_crowd(Tx *tx, void *arg)
{
    StaffSignIn *in = arg;
    for (int i = 0; i < CROWD; i++) {
        crowd_token(in->token, in->staff, i);
        TRY(staff_sign_in_apply(tx, in));
    }
    return ERR_OK;
}

/* More callers than there is room for: each still gets themselves. */
ROOM_TEST(staff_cache_that_is_full_still_answers_right, &STAFF_SCHEMA)
{
    const int64_t id = create(room, STR("li"), STR("clerk"));
    StaffSignIn in;
    EXPECT_OK(room->ctx, prepare(room, STR("li"), PASSWORD, &in));
    EXPECT_OK(room->ctx, room_write(room, apply_crowd, &in));
    for (int i = 0; i < 2 * CROWD; i++) {
        char token[STAFF_TOKEN_BYTES];
        Principal who;
        crowd_token(token, id, i % (CROWD + 100));
        const Err err = staff_principal_by_session(room->ctx, str_of(token), &who);
        EXPECT_I64(err, i % (CROWD + 100) < CROWD ? ERR_OK : ERR_UNAUTHENTICATED);
        if (err == ERR_OK)
            EXPECT_I64(who.id, id);
    }
}

typedef struct Asking {
    Room *room;
    const char *key;
    int64_t delay_us;
} Asking;

static void *ask_once(void *arg)
{
    const Asking *a = arg;
    Ctx ctx = world_ctx();
    ctx.db = database_reader_take(a->room->world.database);
    const int64_t from_us = clock_mono_us();
    while (clock_mono_us() - from_us < a->delay_us) {
    }
    Principal who;
    (void)!staff_principal_by_key(&ctx, str_of(a->key), &who);
    database_reader_give(a->room->world.database, ctx.db);
    world_ctx_free(&ctx);
    return NULL;
}

/* Some ask just before the commit, some just after it, some in between: who was answered from the old
 * row must not bring it back into memory. */
ROOM_TEST(staff_revoked_key_is_never_accepted_again_however_many_ask, &STAFF_SCHEMA)
{
    enum { ASKERS = 3, ROUNDS = 300 };
    Prng prng = prng_of(1);
    int64_t write_us = 1000;
    for (int round = 0; round < ROUNDS; round++) {
        MakeKey k = {.in = {.name = STR("k"), .role = STR("clerk")}};
        EXPECT_OK(room->ctx, room_write(room, apply_key, &k));
        Asking asking[ASKERS];
        pthread_t threads[ASKERS];
        for (int i = 0; i < ASKERS; i++) {
            const uint64_t spread_us = (uint64_t)write_us * 3 / 2 + 1;
            asking[i] = (Asking){room, k.key, (int64_t)prng_below(&prng, spread_us)};
            CHECK(pthread_create(&threads[i], NULL, ask_once, &asking[i]) == 0);
        }
        const int64_t from_us = clock_mono_us();
        EXPECT_OK(room->ctx, room_write(room, apply_revoke, &k.id));
        write_us = clock_mono_us() - from_us;
        for (int i = 0; i < ASKERS; i++)
            CHECK(pthread_join(threads[i], NULL) == 0);
        Principal who;
        EXPECT_FAULT(room->ctx, staff_principal_by_key(room->ctx, str_of(k.key), &who),
                     ERR_UNAUTHENTICATED, "auth.key");
    }
}
