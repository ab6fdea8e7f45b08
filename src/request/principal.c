/*
 * request/principal.c -- permission bits behind request/principal.h.
 */
#include "request/principal.h"

#include <pthread.h>

const Principal PRINCIPAL_OF_SYSTEM = {
    .kind = PRINCIPAL_SYSTEM, .permissions = ~UINT64_C(0), .role = "system", .name = "system"};

static const char *names[PERMISSIONS_MAX]; /* guarded by: names_lock */
static int name_count;                     /* guarded by: names_lock */
static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;

PermissionSet permission_bit(const char *name)
{
    CHECK(pthread_mutex_lock(&names_lock) == 0);
    int i = 0;
    while (i < name_count && !str_eq(str_of(names[i]), str_of(name)))
        i++;
    if (i == name_count) {
        CHECK(name_count < PERMISSIONS_MAX);
        names[name_count++] = name;
    }
    CHECK(pthread_mutex_unlock(&names_lock) == 0);
    return UINT64_C(1) << i;
}

size_t permission_names(PermissionSet set, const char *out[PERMISSIONS_MAX])
{
    size_t n = 0;
    CHECK(pthread_mutex_lock(&names_lock) == 0);
    for (int i = 0; i < name_count; i++)
        if ((set >> i & 1) != 0)
            out[n++] = names[i];
    CHECK(pthread_mutex_unlock(&names_lock) == 0);
    return n;
}

bool principal_may(const Principal *who, const char *permission)
{
    return who != NULL && (who->permissions & permission_bit(permission)) != 0;
}

bool principal_may_store(const Principal *who, int64_t store)
{
    if (who == NULL)
        return false;
    for (int i = 0; i < who->store_count; i++)
        if (who->stores[i] == store)
            return true;
    return who->store_count == 0;
}

const char *principal_kind_name(PrincipalKind kind)
{
    static const char *const NAMES[] = {"staff", "key", "system"};
    CHECK((size_t)kind < ARRAY_LEN(NAMES));
    return NAMES[kind];
}

Err principal_require(Ctx *ctx, const char *permission)
{
    if (principal_may(ctx->who, permission))
        return ERR_OK;
    return fail(ctx, ERR_DENIED, "auth.permission", "%s", permission);
}

Err principal_require_store(Ctx *ctx, int64_t store)
{
    if (principal_may_store(ctx->who, store))
        return ERR_OK;
    return fail(ctx, ERR_DENIED, "auth.store", "store %" PRId64, store);
}
