/*
 * modules/staff/staff_http.c -- the doors of staff.api.yaml.
 */
#include "modules/staff/staff_http.h"

#include "modules/setting/setting.h"
#include "modules/staff/staff.h"
#include "staff.api.h"

static const char COOKIE[] = "td_session";

/* ---- who asks -------------------------------------------------------------------------------------- */

static Str bearer(const HttpExchange *x)
{
    const Str h = http_header(x, "Authorization");
    const Str scheme = STR("Bearer ");
    return str_starts_with(h, scheme) ? str_trim(str_slice(h, scheme.len, h.len)) : (Str){NULL, 0};
}

Err staff_authenticate(Ctx *ctx, const HttpExchange *x, const Principal **out, void *arg)
{
    (void)arg;
    Principal *who = ARENA_NEW(ctx->arena, Principal);
    const Str key = bearer(x), token = http_cookie(x, COOKIE);
    if (key.ptr != NULL) {
        TRY(staff_principal_by_key(ctx, key, who));
    } else if (token.len > 0) {
        TRY(staff_principal_by_session(ctx, token, who));
        if (x->request.method != HTTP_GET &&
            !staff_csrf_matches(ctx, token, http_header(x, "X-CSRF-Token")))
            return fail(ctx, ERR_DENIED, "auth.csrf", "staff %" PRId64, who->id);
    } else {
        who = NULL;
    }
    *out = who;
    return ERR_OK;
}

/* ---- session --------------------------------------------------------------------------------------- */

static Err describe(Ctx *ctx, const Principal *who, Str token, ApiMe *out)
{
    *out = (ApiMe){.id = who->id,
                   .login = STR(""),
                   .name = arena_copy(ctx->arena, str_of(who->name)),
                   .role = arena_copy(ctx->arena, str_of(who->role)),
                   .currency = str_of(ctx->settings->currency),
                   .exponent = ctx->settings->exponent,
                   .csrf = token.len == 0 ? STR("") : staff_csrf(ctx, token)};
    DTO_SET(out, region, str_of(ctx->settings->region));
    DTO_SET(out, chain, str_of(ctx->settings->name));
    if (who->kind == PRINCIPAL_STAFF) {
        Staff s;
        TRY(staff_find(ctx, who->id, &s));
        out->login = s.login;
    }
    const char *names[PERMISSIONS_MAX];
    out->permissions_count = permission_names(who->permissions, names);
    out->permissions = ARENA_ARRAY(ctx->arena, Str, PERMISSIONS_MAX);
    for (size_t i = 0; i < out->permissions_count; i++)
        out->permissions[i] = str_of(names[i]);
    out->stores_count = (size_t)who->store_count;
    out->stores = ARENA_ARRAY(ctx->arena, int64_t, PRINCIPAL_STORES_MAX);
    for (size_t i = 0; i < out->stores_count; i++)
        out->stores[i] = who->stores[i];
    return ERR_OK;
}

static Err me(Ctx *ctx, Call *call)
{
    return describe(ctx, ctx->who, http_cookie(call->exchange, COOKIE), call->reply);
}

static Err sign_in_prepare(Ctx *ctx, Call *call)
{
    const ApiSignIn *in = call->body;
    StaffSignIn *s = ARENA_NEW(ctx->arena, StaffSignIn);
    call->state = s;
    return staff_sign_in_prepare(ctx,
                                 &(StaffCredentials){.login = in->login,
                                                     .password = in->password,
                                                     .address = call->exchange->request.peer},
                                 s);
}

static Err sign_in_apply(Tx *tx, Call *call)
{
    Ctx *ctx = tx->ctx;
    StaffSignIn *s = call->state;
    TRY(staff_sign_in_apply(tx, s));
    call->object = s->staff;
    call->refused = staff_sign_in_result(ctx, s);
    call->audit_detail = call->refused == ERR_OK ? STR("") : STR("refused");
    if (call->refused != ERR_OK)
        return ERR_OK;
    const Str token = str_of(s->token);
    Principal who;
    TRY(staff_principal_by_session(ctx, token, &who));
    request_set_cookie(call, ctx, COOKIE, token, STAFF_SESSION_MS / 1000);
    return describe(ctx, &who, token, call->reply);
}

static Err sign_out(Tx *tx, Call *call)
{
    TRY(staff_sign_out(tx, http_cookie(call->exchange, COOKIE)));
    request_set_cookie(call, tx->ctx, COOKIE, STR(""), 0);
    ((ApiDone *)call->reply)->done = true;
    return ERR_OK;
}

static Err own_password_prepare(Ctx *ctx, Call *call)
{
    const ApiOwnPassword *in = call->body;
    StaffPasswordChange *change = ARENA_NEW(ctx->arena, StaffPasswordChange);
    call->state = change;
    return staff_change_password_prepare(ctx, in->old, in->new, change);
}

static Err own_password_apply(Tx *tx, Call *call)
{
    TRY(staff_change_password(tx, call->state, http_cookie(call->exchange, COOKIE)));
    call->object = tx->ctx->who->id;
    ((ApiDone *)call->reply)->done = true;
    return ERR_OK;
}

/* ---- accounts -------------------------------------------------------------------------------------- */

static void copy_stores(Ctx *ctx, const int64_t *from, size_t n, int64_t **to, size_t *count)
{
    *to = ARENA_ARRAY(ctx->arena, int64_t, n + 1);
    for (size_t i = 0; i < n; i++)
        (*to)[i] = from[i];
    *count = n;
}

static ApiStaffView view_of(Ctx *ctx, const Staff *s)
{
    ApiStaffView v = {.id = s->id,
                      .login = s->login,
                      .name = s->name,
                      .role = s->role,
                      .disabled = s->disabled,
                      .created_at = s->created_ms};
    copy_stores(ctx, s->stores, s->store_count, &v.stores, &v.stores_count);
    return v;
}

static Err list(Work *work, Call *call)
{
    ApiStaffList *out = call->reply;
    Staff *staff = NULL;
    TRY(staff_list(work->ctx, &staff, &out->items_count));
    out->items = ARENA_ARRAY(work->ctx->arena, ApiStaffView, out->items_count + 1);
    for (size_t i = 0; i < out->items_count; i++)
        out->items[i] = view_of(work->ctx, &staff[i]);
    return ERR_OK;
}

static Err create_prepare(Ctx *ctx, Call *call)
{
    const ApiStaffDraft *in = call->body;
    Str *hash = ARENA_NEW(ctx->arena, Str);
    call->state = hash;
    return staff_password_prepare(ctx, in->login, in->password, hash);
}

static Err create_apply(Tx *tx, Call *call)
{
    const ApiStaffDraft *in = call->body;
    const Staff draft = {.login = in->login,
                         .name = in->name,
                         .role = str_of(STAFF_ROLES[in->role]),
                         .stores = in->stores,
                         .store_count = in->stores_is == DTO_VALUE ? in->stores_count : 0};
    Staff made;
    TRY(staff_require_stores(tx->ctx, draft.stores, draft.store_count));
    TRY(staff_create(tx, &draft, *(const Str *)call->state, &made.id));
    TRY(staff_find(tx->ctx, made.id, &made));
    *(ApiStaffView *)call->reply = view_of(tx->ctx, &made);
    call->object = made.id;
    return ERR_OK;
}

static Err disable(Tx *tx, Call *call)
{
    const ApiStaffDisablePath *path = call->params;
    const ApiStaffDisable *in = call->body;
    TRY(staff_set_disabled(tx, path->id, in->disabled));
    Staff s;
    TRY(staff_find(tx->ctx, path->id, &s));
    *(ApiStaffView *)call->reply = view_of(tx->ctx, &s);
    call->object = path->id;
    call->audit_detail = in->disabled ? STR("disabled") : STR("enabled");
    return ERR_OK;
}

static Err role(Tx *tx, Call *call)
{
    const ApiStaffRolePath *path = call->params;
    const ApiStaffRoleChange *in = call->body;
    const size_t store_count = in->stores_is == DTO_VALUE ? in->stores_count : 0;
    TRY(staff_require_stores(tx->ctx, in->stores, store_count));
    TRY(staff_set_role(tx, path->id, str_of(STAFF_ROLES[in->role]), in->stores, store_count));
    Staff s;
    TRY(staff_find(tx->ctx, path->id, &s));
    *(ApiStaffView *)call->reply = view_of(tx->ctx, &s);
    call->object = path->id;
    call->audit_detail = s.role;
    return ERR_OK;
}

static Err password_prepare(Ctx *ctx, Call *call)
{
    const ApiStaffPasswordPath *path = call->params;
    const ApiStaffPassword *in = call->body;
    Staff s;
    TRY(staff_find(ctx, path->id, &s));
    Str *hash = ARENA_NEW(ctx->arena, Str);
    call->state = hash;
    return staff_password_prepare(ctx, s.login, in->password, hash);
}

static Err password_apply(Tx *tx, Call *call)
{
    const ApiStaffPasswordPath *path = call->params;
    TRY(staff_set_password(tx, path->id, *(const Str *)call->state));
    call->object = path->id;
    ((ApiDone *)call->reply)->done = true;
    return ERR_OK;
}

/* ---- keys ------------------------------------------------------------------------------------------- */

static Err key_list(Work *work, Call *call)
{
    Ctx *ctx = work->ctx;
    ApiKeyList *out = call->reply;
    StaffKey *keys = NULL;
    TRY(staff_key_list(ctx, &keys, &out->items_count));
    out->items = ARENA_ARRAY(ctx->arena, ApiKeyView, out->items_count + 1);
    for (size_t i = 0; i < out->items_count; i++) {
        ApiKeyView *v = &out->items[i];
        *v = (ApiKeyView){.id = keys[i].id,
                          .name = keys[i].name,
                          .role = keys[i].role,
                          .hint = keys[i].hint,
                          .created_at = keys[i].created_ms};
        copy_stores(ctx, keys[i].stores, keys[i].store_count, &v->stores, &v->stores_count);
        if (keys[i].revoked_ms != 0)
            DTO_SET(v, revoked_at, keys[i].revoked_ms);
    }
    return ERR_OK;
}

static Err key_create(Tx *tx, Call *call)
{
    const ApiKeyDraft *in = call->body;
    const StaffKey draft = {.name = in->name,
                            .role = str_of(STAFF_ROLES[in->role]),
                            .stores = in->stores,
                            .store_count = in->stores_is == DTO_VALUE ? in->stores_count : 0};
    ApiKeyMade *out = call->reply;
    char key[STAFF_KEY_BYTES];
    TRY(staff_require_stores(tx->ctx, draft.stores, draft.store_count));
    TRY(staff_key_create(tx, &draft, &out->id, key));
    out->key = arena_copy(tx->ctx->arena, str_of(key));
    call->object = out->id;
    return ERR_OK;
}

static Err key_revoke(Tx *tx, Call *call)
{
    const ApiStaffKeyRevokePath *path = call->params;
    TRY(staff_key_revoke(tx, path->id));
    call->object = path->id;
    ((ApiDone *)call->reply)->done = true;
    return ERR_OK;
}

const Door STAFF_DOORS[] = {
    {.operation = &API_OP_STAFF_ME, .peek = me},
    {.operation = &API_OP_STAFF_SIGN_IN, .prepare = sign_in_prepare, .apply = sign_in_apply},
    {.operation = &API_OP_STAFF_SIGN_OUT, .apply = sign_out},
    {.operation = &API_OP_STAFF_OWN_PASSWORD,
     .prepare = own_password_prepare,
     .apply = own_password_apply},
    {.operation = &API_OP_STAFF_LIST, .work = list},
    {.operation = &API_OP_STAFF_CREATE, .prepare = create_prepare, .apply = create_apply},
    {.operation = &API_OP_STAFF_DISABLE, .apply = disable},
    {.operation = &API_OP_STAFF_ROLE, .apply = role},
    {.operation = &API_OP_STAFF_PASSWORD, .prepare = password_prepare, .apply = password_apply},
    {.operation = &API_OP_STAFF_KEY_LIST, .work = key_list},
    {.operation = &API_OP_STAFF_KEY_CREATE, .apply = key_create},
    {.operation = &API_OP_STAFF_KEY_REVOKE, .apply = key_revoke},
    {0}};
