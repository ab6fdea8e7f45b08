/*
 * request/principal.h -- who asks, and what they may do.
 *
 * Permissions are names in the contracts ("coupon.redeem"); the set of all of them is known at boot,
 * so a caller's permissions are one bit each.  Roles and shops come from the staff room.
 * Threads: a Principal is never changed after it was made.
 */
#pragma once

#include "base/ctx.h"

typedef uint64_t PermissionSet;

enum { PERMISSIONS_MAX = 64, PRINCIPAL_STORES_MAX = 64 };

typedef enum PrincipalKind { PRINCIPAL_STAFF, PRINCIPAL_KEY, PRINCIPAL_SYSTEM } PrincipalKind;

typedef struct Principal {
    PrincipalKind kind;
    int64_t id; /* staff.id or staff_key.id; 0 = the system itself */
    PermissionSet permissions;
    int store_count; /* 0 = every shop */
    int64_t stores[PRINCIPAL_STORES_MAX];
    char role[16];
    char name[64];
} Principal;

/* The system itself: jobs, imports, the command line.  May do everything. */
extern const Principal PRINCIPAL_OF_SYSTEM;

/* The bit of a permission, given out at its first use.  Names are string literals. */
PermissionSet permission_bit(const char *name);

/* Names of the permissions in a set, in no order; at most PERMISSIONS_MAX.  Returns how many. */
size_t permission_names(PermissionSet set, const char *out[PERMISSIONS_MAX]);

bool principal_may(const Principal *who, const char *permission);
bool principal_may_store(const Principal *who, int64_t store);

/* "staff", "key" or "system". */
const char *principal_kind_name(PrincipalKind kind);

/* DENIED "auth.permission" unless ctx->who has the permission. */
MUST_USE Err principal_require(Ctx *ctx, const char *permission);

/* DENIED "auth.store" unless ctx->who works in that shop. */
MUST_USE Err principal_require_store(Ctx *ctx, int64_t store);
