/*
 * modules/cohort/cohort.c -- reading rules, keeping them, and who names whom.
 */
#include "modules/cohort/cohort.h"

#include "base/id.h"
#include "cohort.sql.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- look ------------------------------------------------------------------------------------ */

Err cohort_find(Ctx *ctx, Str name, Cohort *out)
{
    Row_cohort_by_name r;
    const Err err = sql_cohort_by_name(ctx, name, &r);
    if (err == ERR_NOT_FOUND)
        return fail(ctx, ERR_NOT_FOUND, "cohort.unknown", "no such cohort");
    TRY(err);
    *out = (Cohort){r.id, name, r.rule, r.created_ms, r.changed_ms};
    return ERR_OK;
}

Err cohort_list(Ctx *ctx, Cohort **out, size_t *count)
{
    Row_cohort_list *rows = NULL;
    size_t n = 0;
    TRY(sql_cohort_list(ctx, &rows, &n));
    Cohort *cohorts = ARENA_ARRAY(ctx->arena, Cohort, n + 1);
    for (size_t i = 0; i < n; i++)
        cohorts[i] = (Cohort){rows[i].id, rows[i].name, rows[i].rule, rows[i].created_ms,
                              rows[i].changed_ms};
    *out = cohorts;
    *count = n;
    return ERR_OK;
}

Err cohort_uses(Ctx *ctx, CohortUse **out, size_t *count)
{
    Row_cohort_use_list *rows = NULL;
    size_t n = 0;
    TRY(sql_cohort_use_list(ctx, &rows, &n));
    CohortUse *uses = ARENA_ARRAY(ctx->arena, CohortUse, n + 1);
    for (size_t i = 0; i < n; i++)
        uses[i] = (CohortUse){rows[i].user, rows[i].used};
    *out = uses;
    *count = n;
    return ERR_OK;
}

/* ---- rules ----------------------------------------------------------------------------------- */

typedef struct Known {
    const Settings *settings;
    const Cohort *cohorts;
    size_t count;
} Known;

static RuleDecl lookup(void *arg, const RuleAsk *ask)
{
    const Known *known = arg;
    bool is_there = ask->kind != RULE_NAME_SEGMENT;
    for (size_t i = 0; i < known->count && !is_there; i++)
        is_there = str_eq(known->cohorts[i].name, ask->name);
    return (RuleDecl){.known = is_there};
}

static bool known_name(void *arg, const RuleAsk *ask, size_t i, Str *name)
{
    const Known *known = arg;
    if (ask->kind != RULE_NAME_SEGMENT || i >= known->count)
        return false;
    *name = known->cohorts[i].name;
    return true;
}

static int64_t to_utc(void *arg, int64_t local_ms)
{
    return local_ms - ((const Known *)arg)->settings->offset_min * INT64_C(60000);
}

/* The rule's own words stay in the hint. */
static Err blamed(Ctx *ctx, Err err)
{
    if (err != ERR_OK) {
        ctx->fault.reason = "cohort.rule";
        (void)snprintf(ctx->fault.pointer, sizeof ctx->fault.pointer, "/rule");
    }
    return err;
}

/* The names of segments, each once; one more than COHORT_USES_MAX at most.  A rule's tree has a bounded depth. */
static void gather_uses(const RuleNode *n, Str *uses, uint32_t *count)
{
    if (n->op == RULE_SEGMENT) {
        uint32_t i = 0;
        while (i < *count && !str_eq(uses[i], n->name))
            i++;
        if (i == *count && *count <= COHORT_USES_MAX)
            uses[(*count)++] = n->name;
    }
    if (n->step != NULL)
        gather_uses(n->step, uses, count);
    for (uint32_t i = 0; i < n->count; i++)
        gather_uses(n->args[i], uses, count);
}

Err cohort_read(Ctx *ctx, Str name, Str rule_json, CohortDraft *out)
{
    Known known = {.settings = ctx->settings};
    Cohort *cohorts = NULL;
    Rule rule;
    TRY(cohort_list(ctx, &cohorts, &known.count));
    known.cohorts = cohorts;
    const RuleSchema schema = {.currency = str_of(ctx->settings->currency),
                               .exponent = ctx->settings->exponent,
                               .lookup = lookup,
                               .known = known_name,
                               .to_utc = to_utc,
                               .arg = &known};
    TRY(blamed(ctx, rule_read(ctx, rule_json, RULE_SCOPE_PERSON, &schema, &rule)));
    Str *uses = ARENA_ARRAY(ctx->arena, Str, COHORT_USES_MAX + 1);
    *out = (CohortDraft){.name = name, .uses = uses};
    gather_uses(rule.root, uses, &out->use_count);
    if (out->use_count > COHORT_USES_MAX)
        return fail_field(ctx, "/rule", "cohort.nested", "a cohort names at most %d others",
                          COHORT_USES_MAX);
    Buf text = BUF_MAX(RULE_BYTES_MAX);
    rule_format(&rule, &text);
    out->rule = arena_copy(ctx->arena, buf_str(&text));
    buf_free(&text);
    return ERR_OK;
}

/* ---- who names whom -------------------------------------------------------------------------- */

/* From the cohort that is put to those that it will name, and theirs; or back, to those that name it. */
typedef struct Ways {
    Ctx *ctx;
    CohortUse *uses; /* by user, and on the way back turned round */
    size_t count;
    uint32_t *longest; /* of the way from a user, by its first use; 0 = not known yet */
    Str names[RULE_NESTED_MAX + 1]; /* of the way under way, from the cohort itself on */
} Ways;

static int by_user(const void *a, const void *b)
{
    return str_compare(((const CohortUse *)a)->user, ((const CohortUse *)b)->user);
}

static size_t first_use(const Ways *w, Str user)
{
    size_t low = 0, high = w->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (str_compare(w->uses[middle].user, user) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static Err circle(const Ways *w, uint32_t level)
{
    Buf way = BUF_MAX(160);
    for (uint32_t i = 0; i <= level; i++)
        buf_addf(&way, "%s\"%.*s\"", i == 0 ? "" : " > ", STR_ARG(w->names[i]));
    const Str text =
        way.overflowed ? STR("it would name itself, through many others") : buf_str(&way);
    const Err err = fail_field(w->ctx, "/rule", "cohort.circle", "%.*s", STR_ARG(text));
    buf_free(&way);
    return err;
}

static Err too_deep(Ctx *ctx)
{
    return fail_field(ctx, "/rule", "cohort.nested", "cohorts go at most %d deep into each other",
                      RULE_NESTED_MAX);
}

/* *longest: how many cohorts the longest way from there has.  Those that are kept go in no circle: one would come
 * back to the cohort that is put. */
static Err follow(Ways *w, Str name, uint32_t level, uint32_t *longest)
{
    const size_t first = first_use(w, name);
    *longest = 1;
    if (level == RULE_NESTED_MAX + 1)
        return too_deep(w->ctx);
    w->names[level] = name;
    if (level > 0 && str_eq(name, w->names[0]))
        return circle(w, level);
    if (first < w->count && w->longest[first] != 0) {
        *longest = w->longest[first];
        return ERR_OK;
    }
    for (size_t i = first; i < w->count && str_eq(w->uses[i].user, name); i++) {
        uint32_t behind = 0;
        TRY(follow(w, w->uses[i].used, level + 1, &behind));
        *longest = behind + 1 > *longest ? behind + 1 : *longest;
    }
    if (first < w->count)
        w->longest[first] = *longest;
    return ERR_OK;
}

static Err follow_all(Ctx *ctx, Str name, CohortUse *uses, size_t count, uint32_t *longest)
{
    Ways w = {.ctx = ctx, .uses = uses, .count = count};
    w.longest = ARENA_ARRAY(ctx->arena, uint32_t, count + 1);
    if (count > 0)
        qsort(uses, count, sizeof *uses, by_user);
    return follow(&w, name, 0, longest);
}

/* As they will be: those of the others, and those of the draft. */
static Err check_ways(Ctx *ctx, const CohortDraft *draft)
{
    CohortUse *old = NULL;
    size_t n = 0, count = 0;
    uint32_t below = 0, above = 0;
    TRY(cohort_uses(ctx, &old, &n));
    CohortUse *uses = ARENA_ARRAY(ctx->arena, CohortUse, n + draft->use_count + 1);
    for (size_t i = 0; i < n; i++)
        if (!str_eq(old[i].user, draft->name))
            uses[count++] = old[i];
    for (uint32_t i = 0; i < draft->use_count; i++)
        uses[count++] = (CohortUse){draft->name, draft->uses[i]};
    TRY(follow_all(ctx, draft->name, uses, count, &below));
    for (size_t i = 0; i < count; i++)
        uses[i] = (CohortUse){uses[i].used, uses[i].user};
    TRY(follow_all(ctx, draft->name, uses, count, &above));
    return below + above - 1 > RULE_NESTED_MAX ? too_deep(ctx) : ERR_OK;
}

/* ---- change ---------------------------------------------------------------------------------- */

static Err find_uses(Ctx *ctx, const CohortDraft *draft, int64_t ids[COHORT_USES_MAX])
{
    for (uint32_t i = 0; i < draft->use_count; i++) {
        Cohort used;
        const Err err = cohort_find(ctx, draft->uses[i], &used);
        if (err == ERR_NOT_FOUND)
            return fail_field(ctx, "/rule", "cohort.rule", "a cohort that it names has gone");
        TRY(err);
        ids[i] = used.id;
    }
    return ERR_OK;
}

static Err check_room(Ctx *ctx)
{
    Row_cohort_count row;
    TRY(sql_cohort_count(ctx, &row));
    return row.cohorts < COHORTS_MAX
               ? ERR_OK
               : fail(ctx, ERR_CONFLICT, "cohort.full", "%d cohorts", COHORTS_MAX);
}

/* Reads and checks all; *out: as it will be. */
static Err check_put(Ctx *ctx, const CohortDraft *draft, int64_t ids[COHORT_USES_MAX], bool *is_new,
                     Cohort *out)
{
    const Err found = cohort_find(ctx, draft->name, out);
    *is_new = found == ERR_NOT_FOUND;
    if (!*is_new)
        TRY(found);
    if (*is_new) {
        TRY(check_room(ctx));
        *out = (Cohort){.id = id_next(ctx->now_ms), .created_ms = ctx->now_ms};
    }
    out->name = draft->name;
    out->rule = draft->rule;
    out->changed_ms = ctx->now_ms;
    TRY(check_ways(ctx, draft));
    return find_uses(ctx, draft, ids);
}

Err cohort_put(Tx *tx, const CohortDraft *draft, Cohort *out)
{
    int64_t ids[COHORT_USES_MAX];
    bool is_new = false;
    TRY(check_put(tx->ctx, draft, ids, &is_new, out));
    if (is_new)
        TRY(sql_cohort_insert(tx, out->id, out->name, out->rule, out->changed_ms, NULL));
    else
        TRY(sql_cohort_update(tx, out->id, out->rule, out->changed_ms, NULL));
    TRY(sql_cohort_use_clear(tx, out->id, NULL));
    for (uint32_t i = 0; i < draft->use_count; i++)
        TRY(sql_cohort_use_insert(tx, out->id, ids[i], NULL));
    return ERR_OK;
}

static Err in_use(Ctx *ctx, int64_t id, Str user)
{
    const Err err = fail(ctx, ERR_CONFLICT, "cohort.in_use", "cohort %" PRId64, id);
    const Str hint = arena_printf(ctx->arena, "\"%.*s\" names it.", STR_ARG(user));
    if (hint.len < sizeof ctx->fault.hint)
        memcpy(ctx->fault.hint, hint.ptr, hint.len + 1);
    return err;
}

Err cohort_delete(Tx *tx, Str name, int64_t *id)
{
    Cohort c;
    CohortUse *uses = NULL;
    size_t count = 0;
    TRY(cohort_find(tx->ctx, name, &c));
    TRY(cohort_uses(tx->ctx, &uses, &count));
    for (size_t i = 0; i < count; i++)
        if (str_eq(uses[i].used, name))
            return in_use(tx->ctx, c.id, uses[i].user);
    TRY(sql_cohort_use_clear(tx, c.id, NULL));
    TRY(sql_cohort_delete(tx, c.id, NULL));
    *id = c.id;
    return ERR_OK;
}
