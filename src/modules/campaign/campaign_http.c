/*
 * modules/campaign/campaign_http.c -- the doors of campaign.api.yaml.
 */
#include "modules/campaign/campaign_http.h"

#include "campaign.api.h"
#include "modules/campaign/campaign.h"

static Err view(Ctx *ctx, const Campaign *c, ApiCampaignView *out)
{
    *out = (ApiCampaignView){.id = c->id,
                             .code = c->code,
                             .name = c->name,
                             .kind = c->kind,
                             .start = c->start_ms,
                             .end = c->end_ms};
    return campaign_target_count(ctx, c->id, &out->targets);
}

static Err list(Work *work, Call *call)
{
    Ctx *ctx = work->ctx;
    ApiCampaignList *out = call->reply;
    Campaign *campaigns = NULL;
    TRY(campaign_list(ctx, &campaigns, &out->items_count));
    out->items = ARENA_ARRAY(ctx->arena, ApiCampaignView, out->items_count + 1);
    for (size_t i = 0; i < out->items_count; i++)
        TRY(view(ctx, &campaigns[i], &out->items[i]));
    return ERR_OK;
}

static Err get(Ctx *ctx, Call *call)
{
    const ApiCampaignGetPath *path = call->params;
    Campaign c;
    TRY(campaign_find(ctx, path->id, &c));
    return view(ctx, &c, call->reply);
}

static Err create(Tx *tx, Call *call)
{
    const ApiCampaignDraft *in = call->body;
    Campaign c = {.code = in->code,
                  .name = in->name,
                  .kind = in->kind_is == DTO_VALUE ? in->kind : STR(""),
                  .start_ms = in->start,
                  .end_ms = in->end};
    TRY(campaign_create(tx, &c, &c.id));
    call->object = c.id;
    return view(tx->ctx, &c, call->reply);
}

const Door CAMPAIGN_DOORS[] = {{.operation = &API_OP_CAMPAIGN_LIST, .work = list},
                               {.operation = &API_OP_CAMPAIGN_CREATE, .apply = create},
                               {.operation = &API_OP_CAMPAIGN_GET, .peek = get},
                               {0}};
