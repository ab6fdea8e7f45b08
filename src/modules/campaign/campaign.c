/*
 * modules/campaign/campaign.c -- what a campaign may be, keeping it, and its targets.
 */
#include "modules/campaign/campaign.h"

#include "base/id.h"
#include "campaign.sql.h"

static Err check(Ctx *ctx, const Campaign *c)
{
    const struct {
        bool right;
        const char *pointer;
        const char *hint;
    } rules[] = {
        {c->code.len > 0 && str_is_line(c->code, CAMPAIGN_CODE_BYTES_MAX), "/code",
         "give the campaign a code of its own, at most 64 bytes"},
        {c->name.len > 0 && str_is_line(c->name, CAMPAIGN_TEXT_BYTES_MAX), "/name",
         "give the campaign a name of at most 200 bytes"},
        {str_is_line(c->kind, CAMPAIGN_TEXT_BYTES_MAX), "/kind", "one line of at most 200 bytes"},
        {c->end_ms > c->start_ms, "/end_ms", "must be after the start"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rules); i++)
        if (!rules[i].right)
            return fail_field(ctx, rules[i].pointer, "campaign.invalid", "%s", rules[i].hint);
    return ERR_OK;
}

/* ---- look ------------------------------------------------------------------------------------ */

Err campaign_find(Ctx *ctx, int64_t id, Campaign *out)
{
    Row_campaign_find r;
    const Err err = sql_campaign_find(ctx, id, &r);
    if (err == ERR_NOT_FOUND)
        return fail(ctx, ERR_NOT_FOUND, "campaign.unknown", "campaign %" PRId64, id);
    TRY(err);
    *out = (Campaign){.id = id,
                      .code = r.code,
                      .name = r.name,
                      .kind = r.kind,
                      .start_ms = r.start_ms,
                      .end_ms = r.end_ms};
    return ERR_OK;
}

/* The campaign with that code; out->id = 0 when there is none. */
static Err by_code(Ctx *ctx, Str code, Campaign *out)
{
    Row_campaign_by_code r = {0};
    const Err err = sql_campaign_by_code(ctx, code, &r);
    if (err != ERR_NOT_FOUND)
        TRY(err);
    *out = (Campaign){0};
    if (err == ERR_OK)
        *out = (Campaign){.id = r.id,
                          .code = code,
                          .name = r.name,
                          .kind = r.kind,
                          .start_ms = r.start_ms,
                          .end_ms = r.end_ms};
    return ERR_OK;
}

Err campaign_by_code(Ctx *ctx, Str code, int64_t *id)
{
    Campaign c;
    TRY(by_code(ctx, code, &c));
    *id = c.id;
    return ERR_OK;
}

Err campaign_list(Ctx *ctx, Campaign **out, size_t *count)
{
    Row_campaign_list *rows = NULL;
    size_t n = 0;
    TRY(sql_campaign_list(ctx, &rows, &n));
    Campaign *campaigns = ARENA_ARRAY(ctx->arena, Campaign, n + 1);
    for (size_t i = 0; i < n; i++)
        campaigns[i] = (Campaign){.id = rows[i].id,
                                  .code = rows[i].code,
                                  .name = rows[i].name,
                                  .kind = rows[i].kind,
                                  .start_ms = rows[i].start_ms,
                                  .end_ms = rows[i].end_ms};
    *out = campaigns;
    *count = n;
    return ERR_OK;
}

/* ---- change ---------------------------------------------------------------------------------- */

Err campaign_create(Tx *tx, const Campaign *in, int64_t *id)
{
    TRY(check(tx->ctx, in));
    const int64_t new_id = id_next(tx->ctx->now_ms);
    int64_t changed = 0;
    TRY(sql_campaign_insert(tx,
                            &(In_campaign_insert){.id = new_id,
                                                  .code = in->code,
                                                  .name = in->name,
                                                  .kind = in->kind,
                                                  .start_ms = in->start_ms,
                                                  .end_ms = in->end_ms,
                                                  .created_ms = tx->ctx->now_ms},
                            &changed));
    if (changed == 0)
        return fail(tx->ctx, ERR_CONFLICT, "campaign.code_taken", "%.*s", STR_ARG(in->code));
    *id = new_id;
    return ERR_OK;
}

static Err create_by_put(Tx *tx, const Campaign *in, int64_t *id)
{
    Campaign c = *in;
    if (c.name.len == 0)
        c.name = c.code;
    return campaign_create(tx, &c, id);
}

Err campaign_put(Tx *tx, const Campaign *in, int64_t *id, bool *changed)
{
    Campaign old;
    TRY(by_code(tx->ctx, in->code, &old));
    if (old.id == 0) {
        TRY(create_by_put(tx, in, id));
        *changed = true;
        return ERR_OK;
    }
    Campaign c = *in;
    c.name = in->name.len == 0 ? old.name : in->name;
    c.kind = in->kind.len == 0 ? old.kind : in->kind;
    TRY(check(tx->ctx, &c));
    const bool differs = !str_eq(c.name, old.name) || !str_eq(c.kind, old.kind) ||
                         c.start_ms != old.start_ms || c.end_ms != old.end_ms;
    if (differs)
        TRY(sql_campaign_update(tx, old.id, c.name, c.kind, c.start_ms, c.end_ms, NULL));
    *id = old.id;
    *changed = differs;
    return ERR_OK;
}

/* ---- targets --------------------------------------------------------------------------------- */

Err campaign_target_add(Tx *tx, int64_t campaign, int64_t person, bool *added)
{
    int64_t changed = 0;
    TRY(sql_campaign_target_insert(tx, campaign, person, &changed));
    *added = changed == 1;
    return ERR_OK;
}

Err campaign_target_count(Ctx *ctx, int64_t campaign, int64_t *people)
{
    Row_campaign_target_count row;
    TRY(sql_campaign_target_count(ctx, campaign, &row));
    *people = row.people;
    return ERR_OK;
}

Err campaign_target_total(Ctx *ctx, int64_t *targetings, int64_t *people)
{
    Row_campaign_target_total row;
    TRY(sql_campaign_target_total(ctx, &row));
    *targetings = row.targetings;
    *people = row.people;
    return ERR_OK;
}
