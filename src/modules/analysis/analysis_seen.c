/*
 * modules/analysis/analysis_seen.c -- an event of the log as questions see it: a value that has no place in the columns is
 * not there, a number or an amount is what its property is (docs/decisions/0020).
 *
 * Written without the engine's own code, so that a single person's explanation and a segment can be held against each other.
 */
#include "modules/analysis/analysis_inside.h"

#include "base/money.h"
#include "engine/part/rows.h"

/* coefficient * 10^-scale with `places` places; false when that is not exact. */
static bool rescale(int64_t *coefficient, int scale, int places)
{
    int64_t v = *coefficient;
    for (; scale > places; scale--, v /= 10)
        if (v % 10 != 0)
            return false;
    for (; scale < places; scale++)
        if (__builtin_mul_overflow(v, 10, &v))
            return false;
    *coefficient = v;
    return true;
}

static bool fit_number(EventProp *p)
{
    int64_t at_most = p->i64;
    return rescale(&at_most, p->scale, SCHEMA_SCALE_MAX) && at_most <= ROWS_NUMBER_MAX &&
           at_most >= -ROWS_NUMBER_MAX;
}

static bool fit(EventProp *p, EventType wanted, int places)
{
    if (wanted == EVENT_MONEY && p->type == EVENT_NUMBER) {
        p->type = EVENT_MONEY;
        return rescale(&p->i64, p->scale, places) && money_in_range(p->i64);
    }
    if (wanted == EVENT_NUMBER && p->type == EVENT_MONEY) {
        p->type = EVENT_NUMBER;
        p->scale = (uint8_t)places;
    }
    return p->type == wanted && (wanted != EVENT_NUMBER || fit_number(p));
}

/* Of the fields of each record those that fit; a list stays as long as it was. */
static void see_records(Arena *arena, const Schema *names, const SchemaProp *list, EventProp *p,
                        int places)
{
    EventItem *items = ARENA_ARRAY(arena, EventItem, p->count + 1);
    for (uint32_t i = 0; i < p->count; i++) {
        EventProp *fields = ARENA_ARRAY(arena, EventProp, p->items[i].count + 1);
        items[i].fields = fields;
        for (uint32_t f = 0; f < p->items[i].count; f++) {
            EventProp field = p->items[i].fields[f];
            const SchemaProp *known = schema_find_field(names, list, field.name);
            if (known != NULL && fit(&field, known->type, places))
                fields[items[i].count++] = field;
        }
    }
    p->items = items;
}

static const EventProp *see(Arena *arena, const Schema *names, SchemaSpace space,
                            const EventProp *props, uint32_t *count, int places)
{
    EventProp *seen = ARENA_ARRAY(arena, EventProp, *count + 1);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < *count; i++) {
        EventProp p = props[i];
        const SchemaProp *known = schema_find_prop(names, space, p.name);
        const bool is_gone = p.type == EVENT_NONE;
        const bool is_empty = event_type_is_list(p.type) && p.count == 0 && known != NULL &&
                              event_type_is_list(known->type);
        if (!is_gone && !is_empty && (known == NULL || !fit(&p, known->type, places)))
            continue;
        if (p.type == EVENT_ITEMS && p.count > 0)
            see_records(arena, names, known, &p, places);
        seen[kept++] = p;
    }
    *count = kept;
    return seen;
}

void analysis_see(Arena *arena, const Schema *names, int places, Event *e)
{
    const SchemaSpace space = e->kind == EVENT_PERSON ? SCHEMA_PERSON : SCHEMA_EVENT;
    e->props = see(arena, names, space, e->props, &e->prop_count, places);
    e->context = see(arena, names, SCHEMA_CONTEXT, e->context, &e->context_count, places);
}
