/*
 * modules/staff/staff_principal.c -- who asks, from memory when they asked within the last minute.
 *
 * An entry belongs to an epoch, and every commit that ends a session or key, or changes what somebody
 * may, begins a new one: all older entries are void.  A reader notes the epoch before it reads the
 * database, so what it read just before such a commit is void too.  That is rare and costs a point
 * read per caller; finding the entries that are concerned would cost a second index.
 */
#include "modules/staff/staff_internal.h"

#include "staff.sql.h"

#include <pthread.h>

enum { SETS = 1024, WAYS = 4 };

typedef struct Entry {
    StaffHash hash;
    uint64_t epoch;
    int64_t until_ms; /* 0 = never used */
    Principal who;
} Entry;

static pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER;
static Entry cache[SETS][WAYS]; /* guarded by: cache_lock */
static uint64_t cache_epoch;    /* guarded by: cache_lock */

/* Only hashes of valid tokens come in, so nobody can aim at a set. */
static Entry *set_of(const StaffHash *hash)
{
    return cache[(hash->bytes[0] | hash->bytes[1] << 8) % SETS];
}

static bool is_fresh(const Entry *e, PrincipalKind kind, const StaffHash *hash, int64_t now_ms)
{
    return e->epoch == cache_epoch && e->until_ms > now_ms && e->who.kind == kind &&
           memcmp(&e->hash, hash, sizeof *hash) == 0;
}

/* A session is no key, nor the other way round.  False when it must be looked up; then *epoch goes with
 * what is found. */
static bool recall(PrincipalKind kind, const StaffHash *hash, int64_t now_ms, Principal *out,
                   uint64_t *epoch)
{
    CHECK(pthread_mutex_lock(&cache_lock) == 0);
    const Entry *set = set_of(hash);
    int i = 0;
    while (i < WAYS && !is_fresh(&set[i], kind, hash, now_ms))
        i++;
    if (i < WAYS)
        *out = set[i].who;
    *epoch = cache_epoch;
    CHECK(pthread_mutex_unlock(&cache_lock) == 0);
    return i < WAYS;
}

/* In place of the same caller's older entry, else of the one that would end first. */
static void keep(const StaffHash *hash, uint64_t epoch, int64_t until_ms, const Principal *who)
{
    CHECK(pthread_mutex_lock(&cache_lock) == 0);
    Entry *set = set_of(hash), *victim = set;
    for (int i = 0; i < WAYS; i++) {
        if (memcmp(&set[i].hash, hash, sizeof *hash) == 0) {
            victim = &set[i];
            break;
        }
        if (set[i].until_ms < victim->until_ms)
            victim = &set[i];
    }
    *victim = (Entry){.hash = *hash, .epoch = epoch, .until_ms = until_ms, .who = *who};
    CHECK(pthread_mutex_unlock(&cache_lock) == 0);
}

static void begin_epoch(void *arg)
{
    (void)arg;
    CHECK(pthread_mutex_lock(&cache_lock) == 0);
    cache_epoch++;
    CHECK(pthread_mutex_unlock(&cache_lock) == 0);
}

void staff_principals_forget(Tx *tx)
{
    tx_after_commit(tx, begin_epoch, NULL);
}

static Err principal_of(Ctx *ctx, Principal *p, Str name, Str role, Str stores)
{
    const int64_t *ids = NULL;
    size_t count = 0;
    TRY(staff_stores_read(ctx, stores, &ids, &count));
    if (!staff_role_permissions(role, &p->permissions) ||
        !str_to_c(role, p->role, sizeof p->role) || !str_to_c(name, p->name, sizeof p->name))
        return fail(ctx, ERR_INTERNAL, "staff.damaged", "%" PRId64, p->id);
    if (count > 0)
        memcpy(p->stores, ids, count * sizeof *ids);
    p->store_count = (int)count;
    return ERR_OK;
}

Err staff_principal_by_session(Ctx *ctx, Str token, Principal *out)
{
    const StaffHash hash = staff_hash(token);
    uint64_t epoch = 0;
    if (recall(PRINCIPAL_STAFF, &hash, ctx->now_ms, out, &epoch))
        return ERR_OK;
    Row_staff_session_find row = {0};
    const Err err = sql_staff_session_find(ctx, staff_hash_bytes(&hash), &row);
    if (err != ERR_NOT_FOUND)
        TRY(err);
    if (err == ERR_NOT_FOUND || row.expires_ms <= ctx->now_ms || row.disabled)
        return fail(ctx, ERR_UNAUTHENTICATED, "auth.session", "none, over or ended");
    Principal who = {.kind = PRINCIPAL_STAFF, .id = row.staff};
    TRY(principal_of(ctx, &who, row.name, row.role, row.stores));
    const int64_t soon_ms = ctx->now_ms + STAFF_CACHE_MS;
    keep(&hash, epoch, row.expires_ms < soon_ms ? row.expires_ms : soon_ms, &who);
    *out = who;
    return ERR_OK;
}

Err staff_principal_by_key(Ctx *ctx, Str key, Principal *out)
{
    const StaffHash hash = staff_hash(key);
    uint64_t epoch = 0;
    if (recall(PRINCIPAL_KEY, &hash, ctx->now_ms, out, &epoch))
        return ERR_OK;
    Row_staff_key_find row = {0};
    const Err err = sql_staff_key_find(ctx, staff_hash_bytes(&hash), &row);
    if (err != ERR_NOT_FOUND)
        TRY(err);
    if (err == ERR_NOT_FOUND || row.revoked_ms != 0)
        return fail(ctx, ERR_UNAUTHENTICATED, "auth.key", "none or revoked");
    Principal who = {.kind = PRINCIPAL_KEY, .id = row.id};
    TRY(principal_of(ctx, &who, row.name, row.role, row.stores));
    keep(&hash, epoch, ctx->now_ms + STAFF_CACHE_MS, &who);
    *out = who;
    return ERR_OK;
}
