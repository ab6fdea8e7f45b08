/*
 * modules/staff/staff_key.c -- keys for machines.
 */
#include "modules/staff/staff_internal.h"

#include "base/id.h"
#include "base/rand.h"
#include "staff.sql.h"

enum { HINT_BYTES = 4, KEY_RANDOM_BYTES = 32 };

Err staff_key_create(Tx *tx, const StaffKey *in, int64_t *id, char key[STAFF_KEY_BYTES])
{
    Ctx *ctx = tx->ctx;
    TRY(staff_check(ctx, in->name, in->role, in->store_count));
    TRY(staff_require_covers(ctx, in->role, in->stores, in->store_count));
    const Str random = rand_token(ctx->arena, KEY_RANDOM_BYTES);
    const Str text = arena_printf(ctx->arena, "td_%.*s", STR_ARG(random));
    const StaffHash hash = staff_hash(text);
    const int64_t new_id = id_next(ctx->now_ms);
    TRY(sql_staff_key_insert(
        tx,
        &(In_staff_key_insert){.id = new_id,
                               .hash = staff_hash_bytes(&hash),
                               .name = in->name,
                               .role = in->role,
                               .stores =
                                   staff_stores_print(ctx->arena, in->stores, in->store_count),
                               .hint = str_slice(text, text.len - HINT_BYTES, text.len),
                               .created_by = ctx->who->id,
                               .created_ms = ctx->now_ms},
        NULL));
    CHECK(str_to_c(text, key, STAFF_KEY_BYTES));
    *id = new_id;
    return ERR_OK;
}

Err staff_key_list(Ctx *ctx, StaffKey **out, size_t *count)
{
    Row_staff_key_list *rows = NULL;
    size_t n = 0;
    TRY(sql_staff_key_list(ctx, &rows, &n));
    StaffKey *keys = ARENA_ARRAY(ctx->arena, StaffKey, n + 1);
    *count = 0;
    for (size_t i = 0; i < n; i++) {
        StaffKey *k = &keys[*count];
        *k = (StaffKey){.id = rows[i].id,
                        .name = rows[i].name,
                        .role = rows[i].role,
                        .hint = rows[i].hint,
                        .created_ms = rows[i].created_ms,
                        .revoked_ms = rows[i].revoked_ms};
        TRY(staff_stores_read(ctx, rows[i].stores, &k->stores, &k->store_count));
        *count += staff_covers(ctx->who, k->role, k->stores, k->store_count);
    }
    *out = keys;
    return ERR_OK;
}

static Err fail_key(Ctx *ctx, int64_t id)
{
    return fail(ctx, ERR_NOT_FOUND, "staff.key_unknown", "key %" PRId64, id);
}

Err staff_key_revoke(Tx *tx, int64_t id)
{
    Ctx *ctx = tx->ctx;
    Row_staff_key_by_id row;
    const int64_t *stores = NULL;
    size_t store_count = 0;
    int64_t changed = 0;
    const Err err = sql_staff_key_by_id(ctx, id, &row);
    if (err == ERR_NOT_FOUND)
        return fail_key(ctx, id);
    TRY(err);
    TRY(staff_stores_read(ctx, row.stores, &stores, &store_count));
    TRY(staff_require_covers(ctx, row.role, stores, store_count));
    TRY(sql_staff_key_revoke(tx, id, ctx->now_ms, &changed));
    if (changed == 0)
        return fail_key(ctx, id);
    staff_principals_forget(tx);
    return ERR_OK;
}
