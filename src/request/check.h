/*
 * request/check.h -- what a room hands to `tongdian check`: queries that find what is wrong, and
 * which of its rows an event in the log must stand for.
 *
 * Owns:     nothing; each room defines one constant RoomCheck.
 * Depends:  base, db.      Threads: any.
 */
#pragma once

#include "db/schema.h"

/* One finding: `what` is "THING: sentence", `id` the number of that thing (0 = none). */
typedef void (*CheckReport)(void *arg, const char *what, int64_t id);

/* A named query of the room's .sql (:list) with the columns id, or id and other: every row is a
 * finding.  A '#' in `what` becomes `other`. */
typedef struct CheckQuery {
    const char *query;
    const char *what;
} CheckQuery;

/* Every row that `query` (in: after, max; out: id; ascending) gives has exactly one event in the log,
 * whose source and name are these and whose id ends in the row's; and no event is without its row. */
typedef struct CheckEvent {
    const char *source, *name;
    const char *thing; /* "coupon": how the row is called in a finding */
    const char *query;
} CheckEvent;

typedef struct RoomCheck {
    const SqlSchema *schema;
    const CheckQuery *queries; /* ends with a zero row; NULL = none */
    const CheckEvent *events;  /* the same */
    /* What takes more than a query; may be NULL. */
    Err (*run)(Ctx *ctx, CheckReport report, void *arg);
} RoomCheck;

/* The statement of that name; a CHECK when the room has none: a spelling mistake. */
SqlStmt *check_query_of(const SqlSchema *schema, const char *name);

/* Runs the room's queries, then its own function. */
MUST_USE Err check_room(Ctx *ctx, const RoomCheck *room, CheckReport report, void *arg);
