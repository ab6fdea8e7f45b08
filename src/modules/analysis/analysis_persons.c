/*
 * modules/analysis/analysis_persons.c -- attributes of persons, as of now and as of events.
 *
 * What was said of persons are rows like others.  As of now it is the last of them that decides, for everybody at
 * once (SEGMENT_LAST, FILTER_PERSONS); as of an event, the last one before it (engine/scan/changes.h).
 */
#include "modules/analysis/analysis_compiler.h"

struct AnalysisPersons *analysis_persons_later(Ctx *ctx, AnalysisTexts *texts)
{
    struct AnalysisPersons *p = ARENA_NEW(ctx->arena, struct AnalysisPersons);
    if (texts->first == NULL)
        texts->first = p;
    else
        texts->last->next = p;
    texts->last = p;
    return p;
}

/* The attribute is, or was, said there. */
static const Filter *says(Compiler *c, const SchemaProp *p, Str name)
{
    static const uint8_t MISSING[] = {1};
    const SchemaProp *gone = schema_find_prop(c->names->schema, SCHEMA_GONE, name);
    const Filter **args = ARENA_ARRAY(c->ctx->arena, const Filter *, 2);
    Filter *set = compiler_filter(c, p->type == EVENT_TEXT ? FILTER_CODES : FILTER_RANGE);
    *set = (Filter){.kind = set->kind, .prop = p->id, .min = INT64_MIN + 1, .max = INT64_MAX};
    if (p->type == EVENT_TEXT) {
        set->codes = MISSING;
        set->code_count = 1;
    }
    args[0] = p->type == EVENT_TEXT ? compiler_negated(c, set) : set;
    if (gone == NULL)
        return args[0];
    Filter *removed = compiler_filter(c, FILTER_RANGE);
    removed->prop = gone->id;
    removed->min = removed->max = 1;
    args[1] = removed;
    return compiler_gather(c, FILTER_OR, args, 2);
}

/* What holds where nothing was said. */
static bool holds_of_none(const RuleNode *comparison)
{
    return comparison->op == RULE_NE || comparison->op == RULE_NOT_IN ||
           comparison->op == RULE_IS_MISSING;
}

Err analysis_attribute(Ctx *ctx, const AnalysisNames *names, const RuleNode *comparison,
                       AnalysisTexts *texts, const Segment **out)
{
    static const uint32_t ATTRIBUTES[] = {PART_PERSON};
    Compiler c = {.ctx = ctx, .names = names, .texts = texts, .of_person = true};
    const Filter *holds = NULL;
    const RuleNode *of = comparison->args[0];
    const bool otherwise = holds_of_none(comparison);
    TRY(compiler_comparison(&c, comparison, &holds));
    Segment *s = ARENA_NEW(ctx->arena, Segment);
    *out = s;
    const SchemaProp *p = schema_find_prop(names->schema, SCHEMA_PERSON, of->name);
    if (p == NULL) { /* nobody has it */
        *s = (Segment){.kind = otherwise ? SEGMENT_AND : SEGMENT_OR};
        return ERR_OK;
    }
    ScanSelect *selects = ARENA_ARRAY(ctx->arena, ScanSelect, 2);
    const Filter **both = ARENA_ARRAY(ctx->arena, const Filter *, 2);
    both[0] = says(&c, p, of->name);
    both[1] = holds;
    for (int i = 0; i < 2; i++)
        selects[i] =
            (ScanSelect){.events = ATTRIBUTES,
                         .event_count = 1,
                         .from_ms = 0,
                         .to_ms = ctx->now_ms + 1,
                         .filter = i == 0 ? both[0] : compiler_gather(&c, FILTER_AND, both, 2)};
    *s = (Segment){
        .kind = SEGMENT_LAST, .selects = selects, .select_count = 2, .otherwise = otherwise};
    return ERR_OK;
}

const RuleNode *analysis_consent(Ctx *ctx, const RuleNode *n)
{
    RuleNode *comparison = ARENA_NEW(ctx->arena, RuleNode), *of = ARENA_NEW(ctx->arena, RuleNode),
             *yes = ARENA_NEW(ctx->arena, RuleNode);
    const RuleNode **args = ARENA_ARRAY(ctx->arena, const RuleNode *, 2);
    *of = (RuleNode){.op = RULE_PERSON, .type = RULE_TYPE_BOOL, .name = n->name, .at = n->at};
    *yes = (RuleNode){
        .op = RULE_LITERAL, .type = RULE_TYPE_BOOL, .value = {.type = RULE_TYPE_BOOL, .i64 = 1}};
    args[0] = of;
    args[1] = yes;
    *comparison =
        (RuleNode){.op = RULE_EQ, .type = RULE_TYPE_BOOL, .args = args, .count = 2, .at = n->at};
    return comparison;
}

/* ---- as of events -------------------------------------------------------------------------------- */

Err compiler_changes(Compiler *c, const RuleNode *n, const Filter **out)
{
    Compiler of_person = *c;
    const Filter *holds = NULL;
    of_person.of_person = true;
    TRY(compiler_comparison(&of_person, n, &holds));
    const Str name = n->args[0]->name;
    const SchemaProp *p = schema_find_prop(c->names->schema, SCHEMA_PERSON, name);
    if (p == NULL) {
        *out = compiler_filter(c, holds_of_none(n) ? FILTER_ALL : FILTER_NONE);
        return ERR_OK;
    }
    Changes *changes = ARENA_NEW(c->ctx->arena, Changes);
    *changes = (Changes){.says = says(c, p, name), .holds = holds, .before = holds_of_none(n)};
    analysis_persons_later(c->ctx, c->texts)->changes = changes;
    Filter *f = compiler_filter(c, FILTER_CHANGES);
    f->changes = changes;
    *out = f;
    return ERR_OK;
}

const Changes *analysis_attribute_values(Ctx *ctx, const AnalysisNames *names, Str name,
                                         bool at_event, AnalysisTexts *texts)
{
    Compiler c = {.ctx = ctx, .names = names, .texts = texts};
    const SchemaProp *p = schema_find_prop(names->schema, SCHEMA_PERSON, name);
    if (p == NULL)
        return NULL;
    Changes *changes = ARENA_NEW(ctx->arena, Changes);
    *changes =
        (Changes){.says = says(&c, p, name),
                  .value = {.prop = p->id, .scale = p->type == EVENT_NUMBER ? SCHEMA_SCALE_MAX : 0},
                  .before = SCAN_MISSING,
                  .is_latest = !at_event,
                  .until_ms = ctx->now_ms + 1};
    analysis_persons_later(ctx, texts)->changes = changes;
    return changes;
}

/* ---- asking -------------------------------------------------------------------------------------- */

static Err ask_who(Ctx *ctx, const Query *q, const struct AnalysisPersons *p)
{
    SegmentResult who;
    TRY(query_segment(ctx, q, p->who, &who));
    who.people.bits[0] |= p->nobody;
    p->filter->persons = who.people.bits;
    p->filter->person_count = who.people.person_count;
    return ERR_OK;
}

Err analysis_ask_persons(Ctx *ctx, const Query *q, const AnalysisTexts *texts)
{
    uint64_t changes = 0;
    for (const struct AnalysisPersons *p = texts->first; p != NULL; p = p->next)
        TRY(p->changes != NULL ? query_changes(ctx, q, p->changes, &changes) : ask_who(ctx, q, p));
    return ERR_OK;
}
