/*
 * modules/analysis/analysis_properties.c -- which properties there are, and what of them has no place in the columns.
 */
#include "modules/analysis/analysis_http.h"

#include "analysis.api.h"
#include "engine/engine.h"

static const ApiPropertyType TYPES[EVENT_TYPE_COUNT] = {
    [EVENT_TEXT] = API_PROPERTY_TYPE_TEXT,    [EVENT_NUMBER] = API_PROPERTY_TYPE_NUMBER,
    [EVENT_MONEY] = API_PROPERTY_TYPE_AMOUNT, [EVENT_BOOL] = API_PROPERTY_TYPE_BOOLEAN,
    [EVENT_TIME] = API_PROPERTY_TYPE_TIME,    [EVENT_TEXTS] = API_PROPERTY_TYPE_TEXTS,
    [EVENT_ITEMS] = API_PROPERTY_TYPE_RECORDS};

/* Of an attribute that was taken away only the attribute itself is told. */
static bool is_told(const SchemaProp *p, bool only_aside)
{
    const SchemaAside *a = &p->aside;
    return p->name.len > 0 && p->space != SCHEMA_GONE &&
           (!only_aside || a->other_type + a->number + a->texts > 0);
}

static ApiEventPropertyOf space_of(SchemaSpace space)
{
    return space == SCHEMA_CONTEXT  ? API_EVENT_PROPERTY_OF_CONTEXT
           : space == SCHEMA_PERSON ? API_EVENT_PROPERTY_OF_PERSON
           : space == SCHEMA_FIELD  ? API_EVENT_PROPERTY_OF_RECORD
                                    : API_EVENT_PROPERTY_OF_EVENT;
}

/* Names are copied: they may be forgotten once the lock is given back. */
static ApiEventProperty told(Arena *arena, const Schema *names, const SchemaProp *p)
{
    const bool is_field = p->space == SCHEMA_FIELD;
    return (ApiEventProperty){.of = space_of(p->space),
                              .list = is_field ? arena_copy(arena, schema_prop_name(names, p->list))
                                               : STR(""),
                              .name = arena_copy(arena, p->name),
                              .type = TYPES[p->type],
                              .values = p->values == NULL ? 0 : dict_count(p->values),
                              .other_type = (int64_t)p->aside.other_type,
                              .came_as = TYPES[p->aside.came_as],
                              .came_as_is = p->aside.other_type > 0 ? DTO_VALUE : DTO_ABSENT,
                              .odd_numbers = (int64_t)p->aside.number,
                              .odd_texts = (int64_t)p->aside.texts};
}

Err analysis_properties(Work *work, Call *call)
{
    Ctx *ctx = work->ctx;
    const ApiAnalysisPropertiesQuery *in = call->query;
    ApiEventProperties *out = call->reply;
    const size_t limit = (size_t)in->limit;
    if (work->engine == NULL)
        return fail(ctx, ERR_BUSY, "query.closed", "no engine");
    out->items = ARENA_ARRAY(ctx->arena, ApiEventProperty, limit);
    const Schema *names = engine_schema_lock(work->engine);
    const uint32_t count = schema_prop_count(names);
    for (int64_t i = in->cursor; i < count; i++) {
        const SchemaProp *p = schema_prop_at(names, PROP_FIRST + (uint32_t)i);
        if (!is_told(p, in->aside))
            continue;
        if (out->items_count == limit) {
            out->next = i;
            out->next_is = DTO_VALUE;
            break;
        }
        out->items[out->items_count++] = told(ctx->arena, names, p);
    }
    engine_schema_unlock(work->engine);
    return ERR_OK;
}
