/*
 * modules/insight/insight_http.c -- the doors of insight.api.yaml.
 */
#include "modules/insight/insight_http.h"

#include "base/clock.h"
#include "insight.api.h"
#include "insight.sql.h"
#include "modules/coupon/coupon.h"
#include "modules/insight/insight.h"
#include "modules/order/order.h"
#include "modules/person/person.h"
#include "modules/setting/setting.h"

enum { DAYS_MAX = 731, DAYS_DEFAULT = 30 };
static const int64_t DAY_MS = INT64_C(86400000);

/* ---- overview ------------------------------------------------------------------------------------- */

/* The civil days of the report: first, and how many. */
typedef struct Span {
    int32_t from, to; /* both included, yyyymmdd */
    int64_t days;
} Span;

static int64_t start_ms(const Ctx *ctx, int32_t day)
{
    return clock_day_start_ms(day, ctx->settings->offset_min);
}

static Err read_span(Ctx *ctx, const ApiInsightOverviewQuery *q, int64_t last_day, Span *out)
{
    const int32_t today = (int32_t)setting_day(ctx, ctx->now_ms);
    out->to = q->to_is == DTO_VALUE ? q->to : last_day > 0 ? (int32_t)last_day : today;
    const int64_t back = (DAYS_DEFAULT - 1) * DAY_MS;
    out->from = q->from_is == DTO_VALUE
                    ? q->from
                    : clock_day(start_ms(ctx, out->to) - back, ctx->settings->offset_min);
    out->days = (start_ms(ctx, out->to) - start_ms(ctx, out->from)) / DAY_MS + 1;
    if (out->days < 1 || out->days > DAYS_MAX)
        return fail_field(ctx, "?from", "insight.range",
                          "from must not be after to, and at most %d days", DAYS_MAX);
    return ERR_OK;
}

/* The day's place in the report, or -1. */
static int64_t place_of(const Ctx *ctx, const Span *span, int64_t day)
{
    const int64_t i = (start_ms(ctx, (int32_t)day) - start_ms(ctx, span->from)) / DAY_MS;
    return i >= 0 && i < span->days ? i : -1;
}

static Err fill_days(Ctx *ctx, const Span *span, ApiOverviewDay *days)
{
    const int32_t end = clock_day(start_ms(ctx, span->to) + DAY_MS, ctx->settings->offset_min);
    OrderDay *orders = NULL;
    CouponDay *coupons = NULL;
    size_t n = 0;
    TRY(order_days(ctx, span->from, end, &orders, &n));
    for (size_t i = 0; i < n; i++) {
        const int64_t at = place_of(ctx, span, orders[i].day);
        if (at < 0)
            continue;
        days[at].sales = orders[i].sales;
        days[at].returns = orders[i].returns;
        days[at].net_fen = orders[i].net_fen;
        days[at].coupon_discount_fen = orders[i].coupon_discount_fen;
    }
    TRY(coupon_days(ctx, span->from, end, &coupons, &n));
    for (size_t i = 0; i < n; i++) {
        const int64_t at = place_of(ctx, span, coupons[i].day);
        if (at < 0)
            continue;
        days[at].issued = coupons[i].totals.issued;
        days[at].redeemed = coupons[i].totals.redeemed;
        days[at].reversed = coupons[i].totals.reversed;
    }
    for (int64_t i = 0; i < span->days; i++) {
        const int64_t from = start_ms(ctx, span->from) + i * DAY_MS;
        days[i].day = clock_day(from, ctx->settings->offset_min);
        TRY(person_count_between(ctx, from, from + DAY_MS, &days[i].enrolled));
    }
    return ERR_OK;
}

static Err overview(Work *work, Call *call)
{
    Ctx *ctx = work->ctx;
    ApiOverview *out = call->reply;
    OrderDay total;
    CouponTotals coupons;
    Row_insight_overview_totals counts;
    Span span;
    TRY(order_total(ctx, &total));
    TRY(coupon_total(ctx, &coupons));
    TRY(sql_insight_overview_totals(ctx, &counts));
    TRY(read_span(ctx, call->query, total.day, &span));
    *out = (ApiOverview){.currency = str_of(ctx->settings->currency),
                         .exponent = ctx->settings->exponent,
                         .from = span.from,
                         .to = span.to,
                         .people = counts.people,
                         .stores = counts.stores,
                         .products = counts.products,
                         .orders = total.sales,
                         .net_fen = total.net_fen,
                         .coupons = coupons.issued,
                         .redemptions = coupons.redeemed - coupons.reversed,
                         .days = ARENA_ARRAY(ctx->arena, ApiOverviewDay, (size_t)span.days + 1),
                         .days_count = (size_t)span.days};
    return fill_days(ctx, &span, out->days);
}

/* ---- campaigns ------------------------------------------------------------------------------------ */

static ApiCampaignRow row_of(const CampaignResult *r)
{
    return (ApiCampaignRow){.id = r->campaign.id,
                            .code = r->campaign.code,
                            .name = r->campaign.name,
                            .kind = r->campaign.kind,
                            .start = r->campaign.start_ms,
                            .end = r->campaign.end_ms,
                            .targets = r->targets,
                            .redeemers = r->redeemers,
                            .rate_bps = insight_rate_bps(r->redeemers, r->targets),
                            .redemptions = r->redemptions,
                            .discount_fen = r->discount_fen,
                            .sales_fen = r->sales_fen,
                            .sales_before_fen = r->sales_before_fen,
                            .buyers = r->buyers};
}

static Err campaigns(Work *work, Call *call)
{
    Ctx *ctx = work->ctx;
    ApiCampaignsReport *out = call->reply;
    CampaignResult *results = NULL;
    CampaignKind *kinds = NULL;
    TRY(insight_campaigns(ctx, &results, &out->campaigns_count));
    out->currency = str_of(ctx->settings->currency);
    out->exponent = ctx->settings->exponent;
    out->campaigns = ARENA_ARRAY(ctx->arena, ApiCampaignRow, out->campaigns_count + 1);
    for (size_t i = 0; i < out->campaigns_count; i++)
        out->campaigns[i] = row_of(&results[i]);
    const size_t n = insight_kinds(ctx->arena, results, out->campaigns_count, &kinds);
    out->kinds_count = n < 100 ? n : 100;
    out->kinds = ARENA_ARRAY(ctx->arena, ApiCampaignKindRow, n + 1);
    for (size_t i = 0; i < out->kinds_count; i++)
        out->kinds[i] =
            (ApiCampaignKindRow){.kind = kinds[i].kind,
                                 .campaigns = kinds[i].campaigns,
                                 .targets = kinds[i].targets,
                                 .redeemers = kinds[i].redeemers,
                                 .rate_bps = insight_rate_bps(kinds[i].redeemers, kinds[i].targets),
                                 .redemptions = kinds[i].redemptions,
                                 .discount_fen = kinds[i].discount_fen};
    return ERR_OK;
}

static Err fill_coupons(Ctx *ctx, int64_t campaign, ApiCampaignReport *out)
{
    Row_insight_campaign_coupons *rows = NULL;
    TRY(sql_insight_campaign_coupons(ctx, campaign, &rows, &out->coupons_count));
    out->coupons = ARENA_ARRAY(ctx->arena, ApiCampaignCouponRow, out->coupons_count + 1);
    for (size_t i = 0; i < out->coupons_count; i++)
        out->coupons[i] = (ApiCampaignCouponRow){.id = rows[i].id,
                                                 .code = rows[i].code,
                                                 .name = rows[i].name,
                                                 .issued = rows[i].issued,
                                                 .redeemed = rows[i].redeemed,
                                                 .reversed = rows[i].reversed,
                                                 .discount_fen = rows[i].discount_fen};
    return ERR_OK;
}

static Err fill_campaign_days(Ctx *ctx, const Campaign *c, ApiCampaignReport *out)
{
    Span span = {.from = (int32_t)setting_day(ctx, c->start_ms),
                 .to = (int32_t)setting_day(ctx, c->end_ms - 1)};
    span.days = (start_ms(ctx, span.to) - start_ms(ctx, span.from)) / DAY_MS + 1;
    if (span.days > DAYS_MAX)
        span.days = DAYS_MAX;
    out->days_count = (size_t)span.days;
    out->days = ARENA_ARRAY(ctx->arena, ApiCampaignDay, out->days_count + 1);
    for (int64_t i = 0; i < span.days; i++)
        out->days[i].day =
            clock_day(start_ms(ctx, span.from) + i * DAY_MS, ctx->settings->offset_min);
    Row_insight_campaign_days *redeemed = NULL;
    Row_insight_campaign_order_days *orders = NULL;
    size_t n = 0;
    TRY(sql_insight_campaign_days(ctx, c->id, &redeemed, &n));
    for (size_t i = 0; i < n; i++) {
        const int64_t at = place_of(ctx, &span, redeemed[i].day);
        if (at >= 0)
            out->days[at].redeemed = redeemed[i].redeemed;
    }
    TRY(sql_insight_campaign_order_days(ctx, c->id, c->start_ms, c->end_ms, &orders, &n));
    for (size_t i = 0; i < n; i++) {
        const int64_t at = place_of(ctx, &span, orders[i].day);
        if (at < 0)
            continue;
        out->days[at].orders = orders[i].orders;
        out->days[at].net_fen = orders[i].net_fen;
    }
    return ERR_OK;
}

static Err campaign(Work *work, Call *call)
{
    Ctx *ctx = work->ctx;
    const ApiInsightCampaignPath *path = call->params;
    ApiCampaignReport *out = call->reply;
    CampaignResult r;
    TRY(insight_campaign(ctx, path->id, &r));
    out->currency = str_of(ctx->settings->currency);
    out->exponent = ctx->settings->exponent;
    out->campaign = row_of(&r);
    TRY(fill_coupons(ctx, path->id, out));
    return fill_campaign_days(ctx, &r.campaign, out);
}

const Door INSIGHT_DOORS[] = {{.operation = &API_OP_INSIGHT_OVERVIEW, .work = overview},
                              {.operation = &API_OP_INSIGHT_CAMPAIGNS, .work = campaigns},
                              {.operation = &API_OP_INSIGHT_CAMPAIGN, .work = campaign},
                              {0}};
