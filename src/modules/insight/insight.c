/*
 * modules/insight/insight.c -- campaign results.
 */
#include "modules/insight/insight.h"

#include "insight.sql.h"

#include <stdlib.h>

int64_t insight_rate_bps(int64_t part, int64_t whole)
{
    return whole == 0 ? 0 : (part * 20000 + whole) / (2 * whole);
}

static Err result_of(Ctx *ctx, const Campaign *c, CampaignResult *out)
{
    CampaignResult r = {.campaign = *c};
    Row_insight_campaign_redemptions redeemed;
    Row_insight_campaign_sales during, before;
    TRY(campaign_target_count(ctx, c->id, &r.targets));
    TRY(sql_insight_campaign_redemptions(ctx, c->id, &redeemed));
    TRY(sql_insight_campaign_sales(ctx, c->id, c->start_ms, c->end_ms, &during));
    TRY(sql_insight_campaign_sales(ctx, c->id, c->start_ms - (c->end_ms - c->start_ms), c->start_ms,
                                   &before));
    r.redeemers = redeemed.people;
    r.redemptions = redeemed.redemptions;
    r.discount_fen = redeemed.discount_fen;
    r.sales_fen = during.net_fen;
    r.buyers = during.buyers;
    r.sales_before_fen = before.net_fen;
    *out = r;
    return ERR_OK;
}

Err insight_campaign(Ctx *ctx, int64_t campaign, CampaignResult *out)
{
    Campaign c;
    TRY(campaign_find(ctx, campaign, &c));
    return result_of(ctx, &c, out);
}

Err insight_campaigns(Ctx *ctx, CampaignResult **out, size_t *count)
{
    Campaign *campaigns = NULL;
    TRY(campaign_list(ctx, &campaigns, count));
    *out = ARENA_ARRAY(ctx->arena, CampaignResult, *count + 1);
    for (size_t i = 0; i < *count; i++)
        TRY(result_of(ctx, &campaigns[i], &(*out)[i]));
    return ERR_OK;
}

static int by_kind(const void *a, const void *b)
{
    const CampaignKind *x = a, *y = b;
    return str_compare(x->kind, y->kind);
}

size_t insight_kinds(Arena *arena, const CampaignResult *results, size_t count, CampaignKind **out)
{
    CampaignKind *kinds = ARENA_ARRAY(arena, CampaignKind, count + 1);
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        const CampaignResult *r = &results[i];
        size_t k = 0;
        while (k < n && !str_eq(kinds[k].kind, r->campaign.kind))
            k++;
        if (k == n)
            kinds[n++] = (CampaignKind){.kind = r->campaign.kind};
        kinds[k].campaigns++;
        kinds[k].targets += r->targets;
        kinds[k].redeemers += r->redeemers;
        kinds[k].redemptions += r->redemptions;
        kinds[k].discount_fen += r->discount_fen;
    }
    qsort(kinds, n, sizeof *kinds, by_kind);
    *out = kinds;
    return n;
}

Err insight_stores(Ctx *ctx, int64_t max, StoreSales **out, size_t *count)
{
    Row_insight_stores *rows = NULL;
    TRY(sql_insight_stores(ctx, max, &rows, count));
    *out = ARENA_ARRAY(ctx->arena, StoreSales, *count + 1);
    for (size_t i = 0; i < *count; i++)
        (*out)[i] = (StoreSales){.code = rows[i].code,
                                 .name = rows[i].name,
                                 .sales = rows[i].sales,
                                 .returns = rows[i].returns,
                                 .net_fen = rows[i].net_fen,
                                 .coupon_discount_fen = rows[i].coupon_discount_fen};
    return ERR_OK;
}
