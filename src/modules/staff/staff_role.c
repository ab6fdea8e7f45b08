/*
 * modules/staff/staff_role.c -- what each role may do, and who may give it.
 */
#include "modules/staff/staff_internal.h"

#include "staff.sql.h"

const char *const STAFF_ROLES[] = {"owner", "marketer", "clerk",     "analyst",
                                   "brand", "privacy",  "integrator"};
const size_t STAFF_ROLE_COUNT = ARRAY_LEN(STAFF_ROLES);

/* Bit i is STAFF_ROLES[i]. */
enum {
    OWNER = 1,
    MARKETER = 2,
    CLERK = 4,
    ANALYST = 8,
    BRAND = 16,
    PRIVACY = 32,
    INTEGRATOR = 64,
    ALL = 127
};

/* An integrator may all that a clerk may: a till's key has a clerk's role. */
static const struct {
    const char *permission;
    unsigned roles;
} GRANTS[] = {
    {"audit.read", OWNER | PRIVACY},
    {"campaign.read", OWNER | MARKETER | CLERK | ANALYST | BRAND | INTEGRATOR},
    {"campaign.write", OWNER | MARKETER},
    {"catalog.read", ALL},
    {"catalog.write", OWNER | MARKETER | INTEGRATOR},
    {"cohort.write", OWNER | MARKETER | ANALYST},
    {"coupon.claim", OWNER | MARKETER | CLERK | INTEGRATOR},
    {"coupon.redeem", OWNER | CLERK | INTEGRATOR},
    {"coupon.reverse", OWNER | CLERK | INTEGRATOR},
    {"coupon.template.read", OWNER | MARKETER | CLERK | ANALYST | BRAND | INTEGRATOR},
    {"coupon.template.write", OWNER | MARKETER},
    {"event.collect", OWNER | CLERK | INTEGRATOR},
    {"event.erase", OWNER | PRIVACY},
    {"event.identity", OWNER | INTEGRATOR},
    {"event.read", OWNER | MARKETER | ANALYST | PRIVACY | INTEGRATOR},
    {"insight.read", OWNER | MARKETER | ANALYST | BRAND},
    {"job.read", OWNER | MARKETER | INTEGRATOR},
    {"job.retry", OWNER | INTEGRATOR},
    {"key.manage", OWNER | INTEGRATOR},
    {"order.read", OWNER | MARKETER | CLERK | ANALYST | PRIVACY | INTEGRATOR},
    {"order.write", OWNER | CLERK | INTEGRATOR},
    {"person.enrol", OWNER | CLERK | INTEGRATOR},
    {"person.read", OWNER | MARKETER | CLERK | PRIVACY | INTEGRATOR},
    {"person.reveal", OWNER | PRIVACY},
    {"setting.write", OWNER},
    {"staff.manage", OWNER},
    {"store.read", ALL},
    {"store.write", OWNER | INTEGRATOR},
};
_Static_assert(ARRAY_LEN(GRANTS) <= PERMISSIONS_MAX, "a permission is a bit");

bool staff_role_permissions(Str role, PermissionSet *out)
{
    size_t r = 0;
    while (r < STAFF_ROLE_COUNT && !str_eq(role, str_of(STAFF_ROLES[r])))
        r++;
    if (r == STAFF_ROLE_COUNT)
        return false;
    PermissionSet set = 0;
    for (size_t i = 0; i < ARRAY_LEN(GRANTS); i++)
        if ((GRANTS[i].roles >> r & 1) != 0)
            set |= permission_bit(GRANTS[i].permission);
    *out = set;
    return true;
}

Err staff_check(Ctx *ctx, Str name, Str role, size_t store_count)
{
    PermissionSet ignored = 0;
    if (name.len == 0 || !str_is_line(name, STAFF_NAME_BYTES_MAX))
        return fail_field(ctx, "/name", "staff.invalid", "give a name of at most 63 bytes");
    if (!staff_role_permissions(role, &ignored))
        return fail_field(ctx, "/role", "staff.invalid",
                          "choose owner, marketer, clerk, analyst, brand, privacy or integrator");
    if (store_count > PRINCIPAL_STORES_MAX)
        return fail_field(ctx, "/stores", "staff.invalid", "at most 64 shops, or none for all");
    if (store_count > 0 && str_eq(role, STR("owner")))
        return fail_field(ctx, "/stores", "staff.invalid", "an owner has every shop");
    return ERR_OK;
}

bool staff_covers(const Principal *who, Str role, const int64_t *stores, size_t store_count)
{
    PermissionSet wanted = 0;
    bool covers = staff_role_permissions(role, &wanted) && (wanted & ~who->permissions) == 0 &&
                  (store_count > 0 || who->store_count == 0);
    for (size_t i = 0; covers && i < store_count; i++)
        covers = principal_may_store(who, stores[i]);
    return covers;
}

Err staff_require_covers(Ctx *ctx, Str role, const int64_t *stores, size_t store_count)
{
    ENSURE(ctx, ctx->who != NULL);
    if (staff_covers(ctx->who, role, stores, store_count))
        return ERR_OK;
    return fail(ctx, ERR_DENIED, "staff.beyond", "role %.*s, %zu stores", STR_ARG(role),
                store_count);
}

Err staff_require_stores(Ctx *ctx, const int64_t *stores, size_t store_count)
{
    for (size_t i = 0; i < store_count; i++) {
        Row_staff_store row;
        const Err err = sql_staff_store(ctx, stores[i], &row);
        if (err == ERR_NOT_FOUND)
            return fail(ctx, ERR_NOT_FOUND, "store.unknown", "store %" PRId64, stores[i]);
        TRY(err);
    }
    return ERR_OK;
}

Str staff_stores_print(Arena *arena, const int64_t *stores, size_t count)
{
    Str text = STR("");
    for (size_t i = 0; i < count; i++)
        text = arena_printf(arena, "%.*s%s%" PRId64, STR_ARG(text), i == 0 ? "" : ",", stores[i]);
    return text;
}

Err staff_stores_read(Ctx *ctx, Str text, const int64_t **stores, size_t *count)
{
    int64_t *ids = ARENA_ARRAY(ctx->arena, int64_t, PRINCIPAL_STORES_MAX);
    size_t n = 0;
    for (size_t at = 0; at < text.len; n++) {
        const int64_t comma = str_index(text, ',', at);
        const size_t end = comma < 0 ? text.len : (size_t)comma;
        if (n == PRINCIPAL_STORES_MAX || !str_to_i64(str_slice(text, at, end), &ids[n]))
            return fail(ctx, ERR_INTERNAL, "staff.damaged", "stores");
        at = end + 1;
    }
    *stores = ids;
    *count = n;
    return ERR_OK;
}
