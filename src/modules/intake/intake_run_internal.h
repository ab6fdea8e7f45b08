/*
 * modules/intake/intake_run_internal.h -- what the files of an import run share.
 *
 * The run's thread prepares one step while the database applies the other.  Only the run's thread
 * touches the cache, and only with ids that are committed: what an apply learns waits in its step.
 */
#pragma once

#include "modules/intake/intake_rows.h"
#include "modules/intake/intake_run.h"

#include <semaphore.h>

enum {
    STEP_UNITS = 4 * INTAKE_STEP_ROWS, /* records and their lines; one record is never split */
    STEP_LEARNED_MAX = 4 * INTAKE_STEP_ROWS, /* the rest is looked up again when needed */
    CACHE_SLOTS = 1 << 17,                   /* of the run; one per place, the newer wins */
    CACHE_KEY_BYTES_MAX = 64,
};

typedef enum ThingKind {
    THING_PRODUCT,
    THING_STORE,
    THING_CAMPAIGN,
    THING_TEMPLATE,
    THING_PERSON, /* by kind and hash of an identifier */
} ThingKind;

/* ---- cache: code -> id ------------------------------------------------------------------------- */

typedef struct CacheSlot {
    int64_t id;   /* 0 = free */
    uint8_t kind; /* ThingKind */
    uint8_t len;
    char key[CACHE_KEY_BYTES_MAX];
} CacheSlot;

int64_t intake_cache_find(const CacheSlot *cache, ThingKind kind, Str key); /* 0 = not there */
void intake_cache_put(CacheSlot *cache, ThingKind kind, Str key, int64_t id);

/* ---- steps --------------------------------------------------------------------------------------- */

typedef enum IntakeOutcome { OUTCOME_ADDED, OUTCOME_CHANGED, OUTCOME_UNCHANGED } IntakeOutcome;

typedef struct StepRow {
    const void *record; /* the target's own, in the step's arena; NULL when rejected */
    int64_t ordinal, line_no;
    int64_t file_rows;  /* that it is made of */
    const char *reason; /* why it is rejected; NULL = good */
    Str column, value, sentence;
} StepRow;

typedef struct Learned {
    ThingKind kind;
    Str key;
    int64_t id;
} Learned;

typedef struct Made {
    int64_t products, stores, people;
} Made;

typedef struct IntakeStep {
    Arena *arena;
    Ctx ctx;
    WriteTask task;
    sem_t applied;
    bool in_flight;
    const struct IntakeFeed *feed;
    StepRow row[INTAKE_STEP_ROWS];
    size_t rows, units;
    size_t from, to; /* what apply takes */
    Learned learned[STEP_LEARNED_MAX];
    size_t learned_count, learned_by_prepare;
    int field;         /* that prepare looks at; -1 = none */
    IntakeTally tally; /* of the last apply, and so is `made` */
    Made made;
} IntakeStep;

/* One file of a run. */
typedef struct IntakeFeed {
    Str run; /* key of the run */
    int64_t part;
    const IntakeMap *map;
    const IntakeMapFile *file;
    const char *path;
    Str name; /* without the folder */
    int64_t bytes;
    const CacheSlot *cache;
} IntakeFeed;

/* Remembers a committed (prepare) or about to be committed (apply) id until the step is collected. */
void intake_step_learn(IntakeStep *step, ThingKind kind, Str key, int64_t id);

/* ---- targets --------------------------------------------------------------------------------------- */

/* How a target's row becomes a record, and how that goes into its room.  prepare runs on the run's
 * thread and reads; apply runs inside the transaction, maybe more than once, and changes nothing in
 * the record.  An Err of a class that intake_err_rejects() names rejects the row. */
typedef struct IntakeFeeder {
    Err (*prepare)(IntakeStep *step, const IntakeRow *in, const void **record);
    Err (*apply)(Tx *tx, IntakeStep *step, const void *record, IntakeOutcome *out);
} IntakeFeeder;

extern const IntakeFeeder INTAKE_FEEDERS[INTAKE_ROOM_TARGETS];

/* The row is at fault, not the house. */
bool intake_err_rejects(Err err);
