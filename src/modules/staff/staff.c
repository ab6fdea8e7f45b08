/*
 * modules/staff/staff.c -- accounts: what a password may be, who may change whom.
 */
#include "modules/staff/staff_internal.h"

#include "base/id.h"
#include "request/request_limit.h"
#include "staff.sql.h"

enum { CHANGES_PER_MINUTE = 5 };

/* ---- passwords ------------------------------------------------------------------------------- */

/* Of the passwords that leaks show most often, those that are long enough to be asked about. */
static const char *const COMMONEST[] = {
    "1234567890",  "12345678910",   "123456789a",  "123456789q",   "a123456789",    "0123456789",
    "0987654321",  "9876543210",    "1234554321",  "1q2w3e4r5t",   "1qaz2wsx3edc",  "1q2w3e4r5t6y",
    "qwertyuiop",  "qwerty1234",    "qwerty12345", "qwerty123456", "q1w2e3r4t5",    "q1w2e3r4t5y6",
    "zaq12wsxcde", "asdfghjkl;",    "qazwsxedcr",  "abcd123456",   "abc1234567",    "aa12345678",
    "a1b2c3d4e5",  "password12",    "password123", "password1234", "password12345", "password01",
    "passw0rd12",  "passw0rd123",   "p@ssw0rd123", "iloveyou12",   "iloveyou123",   "woaini1314",
    "woaini520",   "woaini1314520", "5201314520",  "1314520520",   "administrator", "admin12345",
    "admin123456", "admin@1234",    "welcome123",  "welcome1234",  "letmein1234",   "changeme123",
    "football123", "princess123",   "sunshine123", "dragon1234",   "liverpool1",    "basketball",
};

Str staff_fold(Arena *arena, Str s)
{
    char *out = arena_bytes(arena, s.len + 1);
    for (size_t i = 0; i < s.len; i++)
        out[i] = (char)(s.ptr[i] >= 'A' && s.ptr[i] <= 'Z' ? s.ptr[i] - 'A' + 'a' : s.ptr[i]);
    return (Str){out, s.len};
}

static bool is_commonest(Str folded)
{
    for (size_t i = 0; i < ARRAY_LEN(COMMONEST); i++)
        if (str_eq(folded, str_of(COMMONEST[i])))
            return true;
    return false;
}

/* Counts characters, and the different bytes among them. */
static void measure(Str s, int *characters, int *different)
{
    bool seen[256] = {false};
    *characters = *different = 0;
    for (size_t i = 0; i < s.len; i++) {
        const unsigned char c = (unsigned char)s.ptr[i];
        *characters += (c & 0xc0) != 0x80;
        *different += !seen[c];
        seen[c] = true;
    }
}

Err staff_password_prepare(Ctx *ctx, Str login, Str password, Str *hash)
{
    int characters = 0, different = 0;
    measure(password, &characters, &different);
    const Str folded = staff_fold(ctx->arena, password);
    const char *wrong = NULL;
    if (characters < STAFF_PASSWORD_CHARS_MIN)
        wrong = "use at least 10 characters: a sentence is easy to remember";
    else if (password.len > STAFF_PASSWORD_BYTES_MAX || !str_is_utf8(password))
        wrong = "use at most 256 bytes of text";
    else if (str_eq(folded, staff_fold(ctx->arena, login)))
        wrong = "use something else than the login";
    else if (different < 4 || is_commonest(folded))
        wrong = "use something that is not guessed first";
    if (wrong != NULL)
        return fail_field(ctx, "/password", "staff.password", "%s", wrong);
    return crypto_hash_password(ctx, password, hash);
}

/* ---- look ------------------------------------------------------------------------------------ */

Err staff_find(Ctx *ctx, int64_t id, Staff *out)
{
    Row_staff_by_id r;
    const Err err = sql_staff_by_id(ctx, id, &r);
    if (err == ERR_NOT_FOUND)
        return fail(ctx, ERR_NOT_FOUND, "staff.unknown", "staff %" PRId64, id);
    TRY(err);
    Staff s = {.id = id,
               .login = r.login,
               .name = r.name,
               .role = r.role,
               .disabled = r.disabled,
               .created_ms = r.created_ms};
    TRY(staff_stores_read(ctx, r.stores, &s.stores, &s.store_count));
    *out = s;
    return ERR_OK;
}

Err staff_list(Ctx *ctx, Staff **out, size_t *count)
{
    Row_staff_list *rows = NULL;
    size_t n = 0;
    TRY(sql_staff_list(ctx, &rows, &n));
    Staff *staff = ARENA_ARRAY(ctx->arena, Staff, n + 1);
    *count = 0;
    for (size_t i = 0; i < n; i++) {
        Staff *s = &staff[*count];
        *s = (Staff){.id = rows[i].id,
                     .login = rows[i].login,
                     .name = rows[i].name,
                     .role = rows[i].role,
                     .disabled = rows[i].disabled,
                     .created_ms = rows[i].created_ms};
        TRY(staff_stores_read(ctx, rows[i].stores, &s->stores, &s->store_count));
        *count += staff_covers(ctx->who, s->role, s->stores, s->store_count);
    }
    *out = staff;
    return ERR_OK;
}

/* ---- change ---------------------------------------------------------------------------------- */

static bool is_login(Str s)
{
    for (size_t i = 0; i < s.len; i++) {
        const char c = s.ptr[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '.' && c != '_' &&
            c != '@' && c != '-')
            return false;
    }
    return s.len > 0 && s.len <= STAFF_LOGIN_BYTES_MAX;
}

Err staff_create(Tx *tx, const Staff *in, Str password_hash, int64_t *id)
{
    Ctx *ctx = tx->ctx;
    const Str login = staff_fold(ctx->arena, in->login);
    if (!is_login(login))
        return fail_field(ctx, "/login", "staff.invalid",
                          "use 1 to 64 letters, digits and . _ @ -");
    TRY(staff_check(ctx, in->name, in->role, in->store_count));
    TRY(staff_require_covers(ctx, in->role, in->stores, in->store_count));
    const int64_t new_id = id_next(ctx->now_ms);
    int64_t changed = 0;
    TRY(sql_staff_insert(
        tx,
        &(In_staff_insert){.id = new_id,
                           .login = login,
                           .name = in->name,
                           .role = in->role,
                           .stores = staff_stores_print(ctx->arena, in->stores, in->store_count),
                           .password = password_hash,
                           .created_ms = ctx->now_ms},
        &changed));
    if (changed == 0)
        return fail(ctx, ERR_CONFLICT, "staff.login_taken", "%.*s", STR_ARG(login));
    *id = new_id;
    return ERR_OK;
}

/* The account, which ctx->who may change. */
static Err find_below(Ctx *ctx, int64_t id, Staff *out)
{
    TRY(staff_find(ctx, id, out));
    return staff_require_covers(ctx, out->role, out->stores, out->store_count);
}

static Err end_sessions(Tx *tx, int64_t id)
{
    staff_principals_forget(tx);
    return sql_staff_session_delete_of(tx, id, NULL);
}

/* For whoever is about to take the owner's role, or the account, from `s`. */
static Err require_another_owner(Ctx *ctx, const Staff *s)
{
    if (!str_eq(s->role, STR("owner")))
        return ERR_OK;
    Row_staff_other_owners others;
    TRY(sql_staff_other_owners(ctx, s->id, &others));
    if (others.owners == 0)
        return fail(ctx, ERR_CONFLICT, "staff.last_owner", "staff %" PRId64, s->id);
    return ERR_OK;
}

Err staff_set_password(Tx *tx, int64_t id, Str password_hash)
{
    Ctx *ctx = tx->ctx;
    Staff s;
    ENSURE(ctx, ctx->who != NULL);
    if (ctx->who->kind == PRINCIPAL_STAFF && ctx->who->id == id)
        TRY(staff_find(ctx, id, &s));
    else
        TRY(find_below(ctx, id, &s));
    TRY(sql_staff_set_password(tx, id, password_hash, NULL));
    TRY(staff_guesses_forget(tx, s.login));
    return end_sessions(tx, id);
}

Err staff_change_password_prepare(Ctx *ctx, Str old, Str password, StaffPasswordChange *out)
{
    Staff s;
    Row_staff_by_login row;
    ENSURE(ctx, ctx->who != NULL);
    if (ctx->who->kind != PRINCIPAL_STAFF)
        return fail(ctx, ERR_DENIED, "auth.permission", "a key has no password");
    TRY(request_limit(ctx, "staff.password", CHANGES_PER_MINUTE));
    TRY(staff_find(ctx, ctx->who->id, &s));
    TRY(sql_staff_by_login(ctx, s.login, &row));
    if (!crypto_check_password(old, row.password, NULL))
        return fail_field(ctx, "/old", "staff.password_old", "type the password of now");
    *out = (StaffPasswordChange){.login = s.login, .checked = row.password};
    return staff_password_prepare(ctx, s.login, password, &out->hash);
}

Err staff_change_password(Tx *tx, const StaffPasswordChange *in, Str token)
{
    Ctx *ctx = tx->ctx;
    Row_staff_by_login row;
    const StaffHash hash = staff_hash(token);
    TRY(sql_staff_by_login(ctx, in->login, &row));
    if (row.id != ctx->who->id || !str_eq(row.password, in->checked))
        return fail_field(ctx, "/old", "staff.password_old", "it was changed at this very moment");
    TRY(sql_staff_set_password(tx, row.id, in->hash, NULL));
    staff_principals_forget(tx);
    return sql_staff_session_delete_others(tx, row.id, staff_hash_bytes(&hash), NULL);
}

Err staff_set_role(Tx *tx, int64_t id, Str role, const int64_t *stores, size_t store_count)
{
    Ctx *ctx = tx->ctx;
    Staff s;
    TRY(find_below(ctx, id, &s));
    TRY(staff_check(ctx, s.name, role, store_count));
    TRY(staff_require_covers(ctx, role, stores, store_count));
    if (!str_eq(role, STR("owner")))
        TRY(require_another_owner(ctx, &s));
    TRY(sql_staff_set_role(tx, id, role, staff_stores_print(ctx->arena, stores, store_count),
                           NULL));
    return end_sessions(tx, id);
}

Err staff_set_disabled(Tx *tx, int64_t id, bool disabled)
{
    Staff s;
    TRY(find_below(tx->ctx, id, &s));
    if (disabled)
        TRY(require_another_owner(tx->ctx, &s));
    TRY(sql_staff_set_disabled(tx, id, disabled, NULL));
    return end_sessions(tx, id);
}
