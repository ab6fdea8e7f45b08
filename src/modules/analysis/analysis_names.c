/*
 * modules/analysis/analysis_names.c -- what the engine has seen, as the rule language asks for it.
 */
#include "modules/analysis/analysis.h"

RuleType analysis_rule_type(EventType type)
{
    static const RuleType TYPES[EVENT_TYPE_COUNT] = {
        [EVENT_TEXT] = RULE_TYPE_TEXT,   [EVENT_NUMBER] = RULE_TYPE_NUMBER,
        [EVENT_MONEY] = RULE_TYPE_MONEY, [EVENT_BOOL] = RULE_TYPE_BOOL,
        [EVENT_TIME] = RULE_TYPE_TIME,   [EVENT_TEXTS] = RULE_TYPE_TEXTS,
        [EVENT_ITEMS] = RULE_TYPE_ITEMS};
    return TYPES[type];
}

static bool is_space(RuleNameKind kind, SchemaSpace *out)
{
    *out = kind == RULE_NAME_PROP     ? SCHEMA_EVENT
           : kind == RULE_NAME_PERSON ? SCHEMA_PERSON
                                      : SCHEMA_CONTEXT;
    return kind == RULE_NAME_PROP || kind == RULE_NAME_CONTEXT || kind == RULE_NAME_PERSON;
}

/* The records that the ask is about; NULL: no event has had such a list. */
static const SchemaProp *records(const Schema *schema, const RuleAsk *ask)
{
    const SchemaProp *list = schema_find_prop(schema, SCHEMA_EVENT, ask->list);
    return list == NULL || list->type != EVENT_ITEMS ? NULL : list;
}

static const SchemaProp *find_field(const Schema *schema, const RuleAsk *ask)
{
    const SchemaProp *list = records(schema, ask);
    return list == NULL ? NULL : schema_find_field(schema, list, ask->name);
}

/* Before they are known, who makes the condition is told. */
static RuleDecl lookup_cohort(const AnalysisCohorts *cohorts, Str name)
{
    bool known = !cohorts->known;
    for (size_t i = 0; i < cohorts->count && !known; i++)
        known = str_eq(cohorts->at[i].name, name);
    return (RuleDecl){.known = known};
}

static RuleDecl lookup(void *arg, const RuleAsk *ask)
{
    const Schema *schema = ((const AnalysisNames *)arg)->schema;
    if (ask->kind == RULE_NAME_SEGMENT)
        return lookup_cohort(((const AnalysisNames *)arg)->cohorts, ask->name);
    SchemaSpace space;
    const bool is_prop = is_space(ask->kind, &space);
    if (ask->kind == RULE_NAME_EVENT)
        return (RuleDecl){.known = schema_find_event(schema, ask->name) != 0};
    const SchemaProp *p =
        is_prop ? schema_find_prop(schema, space, ask->name) : find_field(schema, ask);
    return p == NULL ? (RuleDecl){0}
                     : (RuleDecl){.known = true, .type = analysis_rule_type(p->type)};
}

static bool known(void *arg, const RuleAsk *ask, size_t i, Str *name)
{
    const Schema *schema = ((const AnalysisNames *)arg)->schema;
    SchemaSpace space;
    const AnalysisCohorts *cohorts = ((const AnalysisNames *)arg)->cohorts;
    if (ask->kind == RULE_NAME_SEGMENT) {
        *name = i < cohorts->count ? cohorts->at[i].name : STR("");
        return i < cohorts->count;
    }
    if (ask->kind == RULE_NAME_EVENT && i < schema_event_count(schema)) {
        *name = schema_event_name(schema, (uint32_t)i + 1);
        return true;
    }
    const bool is_prop = is_space(ask->kind, &space);
    const SchemaProp *list = is_prop ? NULL : records(schema, ask);
    if ((!is_prop && (ask->kind != RULE_NAME_ITEM || list == NULL)) ||
        i >= schema_prop_count(schema))
        return false;
    const SchemaProp *p = schema_prop_at(schema, PROP_FIRST + (uint32_t)i);
    const bool fits = is_prop ? p->space == space : p->list == list->id;
    *name = fits ? schema_prop_name(schema, p->id) : STR("");
    return true;
}

static int64_t to_utc(void *arg, int64_t local_ms)
{
    return zone_to_utc(((const AnalysisNames *)arg)->calendar.zone, local_ms);
}

AnalysisNames analysis_names(Arena *arena, const Schema *schema, const Settings *s)
{
    return (AnalysisNames){schema, s, analysis_calendar(arena, s),
                           ARENA_NEW(arena, AnalysisCohorts)};
}

RuleSchema analysis_rule_schema(const AnalysisNames *names)
{
    return (RuleSchema){.currency = str_of(names->settings->currency),
                        .exponent = names->settings->exponent,
                        .lookup = lookup,
                        .known = known,
                        .to_utc = to_utc,
                        .arg = (void *)(uintptr_t)names};
}
