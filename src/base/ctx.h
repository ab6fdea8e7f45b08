/*
 * base/ctx.h -- what one piece of work may touch: its arena, its clock reading, its database, its
 * caller, its fault.
 *
 * Owns: nothing (the arena belongs to whoever runs the work).  Threads: one at a time.  It is the
 * first parameter of every function that can fail.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

struct Db;
struct Keyring;
struct Principal;
struct Settings;

struct Ctx {
    Arena *arena;                    /* reset when the work ends */
    int64_t now_ms;                  /* UTC, read once, so one request sees one instant */
    struct Db *db;                   /* NULL where there is none (base tests, HTTP guards) */
    const struct Principal *who;     /* who asks; NULL = nobody */
    const struct Keyring *keys;      /* master keys; NULL in tests that need none */
    const struct Settings *settings; /* currency, zone, region of this data folder */
    Fault fault;
};
