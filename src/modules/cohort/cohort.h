/*
 * modules/cohort/cohort.h -- cohorts: rules about persons, by name.
 *
 * Owns:     tables cohort, cohort_use.
 * Promises: a rule is one of scope PERSON in its canonical text; every cohort that it names is there, and none names
 *           itself through others; they go at most RULE_NESTED_MAX deep into each other.  A failed call changed
 *           nothing.
 * Depends:  db, rules, setting.      Threads: any.
 */
#pragma once

#include "db/db.h"
#include "modules/setting/setting.h"
#include "rules/rule.h"

enum { COHORTS_MAX = 1000, COHORT_USES_MAX = 16 };

typedef struct Cohort {
    int64_t id;
    Str name;
    Str rule;
    int64_t created_ms, changed_ms;
} Cohort;

/* NOT_FOUND "cohort.unknown". */
MUST_USE Err cohort_find(Ctx *ctx, Str name, Cohort *out);

/* By name; at most COHORTS_MAX. */
MUST_USE Err cohort_list(Ctx *ctx, Cohort **out, size_t *count);

/* One cohort names another. */
typedef struct CohortUse {
    Str user, used;
} CohortUse;

/* All there are, by user, then used. */
MUST_USE Err cohort_uses(Ctx *ctx, CohortUse **out, size_t *count);

/* A cohort as it was sent. */
typedef struct CohortDraft {
    Str name;
    Str rule;        /* canonical */
    const Str *uses; /* each once */
    uint32_t use_count;
} CohortDraft;

/*
 * Reads a rule as JSON: a text, or its tree.  The names of events and of what they have are not looked at: they may
 * come later, and questions warn of them.
 * Errors: INVALID "cohort.rule" with what is wrong and where, also for a cohort that is not there, with the nearest;
 * INVALID "cohort.nested" for more than COHORT_USES_MAX of them.
 */
MUST_USE Err cohort_read(Ctx *ctx, Str name, Str rule_json, CohortDraft *out);

/*
 * Makes the cohort, or gives it the rule.
 * Errors: INVALID "cohort.rule" (a cohort that it names has gone meanwhile), "cohort.circle" with the way,
 * "cohort.nested"; CONFLICT "cohort.full".
 */
MUST_USE Err cohort_put(Tx *tx, const CohortDraft *draft, Cohort *out);

/* Errors: NOT_FOUND "cohort.unknown"; CONFLICT "cohort.in_use" with who names it. */
MUST_USE Err cohort_delete(Tx *tx, Str name, int64_t *id);
