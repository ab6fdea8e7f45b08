/*
 * modules/campaign/campaign.h -- campaigns: when, for whom, with which coupons.
 *
 * Owns:     tables campaign, campaign_target.
 * Promises: a code names one campaign and never changes; a campaign ends after it starts; a person is
 *           at most once a target of a campaign; a failed call changed nothing.
 * Depends:  base, db.      Threads: any.
 */
#pragma once

#include "db/db.h"

enum { CAMPAIGN_CODE_BYTES_MAX = 64, CAMPAIGN_TEXT_BYTES_MAX = 200, CAMPAIGN_LIST_MAX = 1000 };

typedef struct Campaign {
    int64_t id;
    Str code; /* the chain's own, unique */
    Str name;
    Str kind;                 /* the chain's own grouping, e.g. "A"; "" = none */
    int64_t start_ms, end_ms; /* [start, end) */
} Campaign;

/* NOT_FOUND "campaign.unknown". */
MUST_USE Err campaign_find(Ctx *ctx, int64_t id, Campaign *out);

/* By the chain's own code; *id = 0 when there is none. */
MUST_USE Err campaign_by_code(Ctx *ctx, Str code, int64_t *id);

/*
 * Checks and stores a campaign; gives it an id.
 * Errors: INVALID "campaign.invalid" with the field; CONFLICT "campaign.code_taken".
 */
MUST_USE Err campaign_create(Tx *tx, const Campaign *in, int64_t *id);

/*
 * For imports: the campaign with in->code gets the given window, and the given texts where they are
 * not empty; without such a campaign it is created, named by its code when it has no name.
 * *changed = whether anything was written.
 * Errors: INVALID "campaign.invalid" with the field; CONFLICT "campaign.code_taken" (another process created it
 * at this very moment: put it again).
 */
MUST_USE Err campaign_put(Tx *tx, const Campaign *in, int64_t *id, bool *changed);

/* The latest start first, at most CAMPAIGN_LIST_MAX. */
MUST_USE Err campaign_list(Ctx *ctx, Campaign **out, size_t *count);

/* Makes a person a target of a campaign; the caller has found both.  *added = false when it was one
 * already. */
MUST_USE Err campaign_target_add(Tx *tx, int64_t campaign, int64_t person, bool *added);

MUST_USE Err campaign_target_count(Ctx *ctx, int64_t campaign, int64_t *people);

/* Over all campaigns: pairs of campaign and person, and the people in them. */
MUST_USE Err campaign_target_total(Ctx *ctx, int64_t *targetings, int64_t *people);
