/*
 * modules/insight/insight.h -- what campaigns brought, and the overview.
 *
 * Owns:     nothing; it reads other rooms' tables.
 * Promises: the redemption rate of a kind of campaign counts person-campaigns (a person targeted by
 *           two campaigns counts twice, as does one who redeemed in both); "sales" are the net sales
 *           to the targets inside the campaign's dates, beside those of the same length before:
 *           a comparison, not a proof of cause.
 * Depends:  base, db, request, campaign, coupon, order, person, setting.
 */
#pragma once

#include "db/db.h"
#include "modules/campaign/campaign.h"

typedef struct CampaignResult {
    Campaign campaign;
    int64_t targets;
    int64_t redeemers;   /* people with a standing redemption of one of its coupons */
    int64_t redemptions; /* standing */
    int64_t discount_fen;
    int64_t sales_fen, sales_before_fen;
    int64_t buyers; /* targets who bought inside the dates */
} CampaignResult;

MUST_USE Err insight_campaign(Ctx *ctx, int64_t campaign, CampaignResult *out);

/* Latest start first. */
MUST_USE Err insight_campaigns(Ctx *ctx, CampaignResult **out, size_t *count);

typedef struct CampaignKind {
    Str kind;
    int64_t campaigns, targets, redeemers, redemptions, discount_fen;
} CampaignKind;

/* Sums per kind, in the order of kinds. */
size_t insight_kinds(Arena *arena, const CampaignResult *results, size_t count, CampaignKind **out);

typedef struct StoreSales {
    Str code, name;
    int64_t sales, returns; /* how many */
    int64_t net_fen, coupon_discount_fen;
} StoreSales;

/* The shops that sold most, of all days. */
MUST_USE Err insight_stores(Ctx *ctx, int64_t max, StoreSales **out, size_t *count);

/* part of whole in basis points, rounded half up; 0 of 0 is 0. */
int64_t insight_rate_bps(int64_t part, int64_t whole);
