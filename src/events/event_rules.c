/*
 * events/event_rules.c -- the tables behind events/event_rules.h.
 */
#include "events/event_rules.h"

#include "base/money.h"

/* What each kind needs; GONE is never built and carries nothing. */
static const struct {
    bool name, actor, other;
} NEEDS[EVENT_KIND_COUNT] = {
    [EVENT_HAPPENED] = {.name = true},
    [EVENT_PERSON] = {.actor = true},
    [EVENT_LINK] = {.actor = true, .other = true},
    [EVENT_UNLINK] = {.actor = true, .other = true},
    [EVENT_ERASE] = {.actor = true},
};

static EventProblem text_problem(Str s, size_t max, bool needed, const char *pointer)
{
    if (needed && s.len == 0)
        return (EventProblem){"event.missing", pointer};
    if (s.len > max)
        return (EventProblem){"event.length", pointer};
    return (EventProblem){str_is_utf8(s) ? NULL : "event.text", pointer};
}

static EventProblem actor_problem(EventActor a, bool needed, const char *pointer)
{
    if ((a.kind.len == 0) != (a.value.len == 0))
        return (EventProblem){"event.actor", pointer};
    const EventProblem kind = text_problem(a.kind, EVENT_ACTOR_KIND_BYTES_MAX, needed, pointer);
    if (kind.reason != NULL)
        return kind;
    return text_problem(a.value, EVENT_ACTOR_VALUE_BYTES_MAX, needed, pointer);
}

static bool instant_is_good(int64_t at_ms)
{
    return at_ms >= 0 && at_ms <= EVENT_TIME_MS_MAX;
}

EventProblem event_head_problem(const Event *e)
{
    if (e->kind <= EVENT_GONE || e->kind >= EVENT_KIND_COUNT)
        return (EventProblem){"event.value", "/kind"};
    const bool other = NEEDS[e->kind].other;
    const EventProblem parts[] = {
        text_problem(e->source, EVENT_SOURCE_BYTES_MAX, true, "/source"),
        text_problem(e->id, EVENT_ID_BYTES_MAX, true, "/id"),
        text_problem(e->name, EVENT_NAME_BYTES_MAX, NEEDS[e->kind].name, "/name"),
        text_problem(e->store, EVENT_STORE_BYTES_MAX, false, "/store"),
        actor_problem(e->actor, NEEDS[e->kind].actor, "/actor"),
        actor_problem(e->other, other, "/other"),
        {!other && e->other.kind.len != 0 ? "event.actor" : NULL, "/other"},
        {instant_is_good(e->time_ms) ? NULL : "event.time", "/time"},
        {instant_is_good(e->received_ms) ? NULL : "event.time", "/received"},
    };
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (parts[i].reason != NULL)
            return parts[i];
    return (EventProblem){NULL, ""};
}

bool event_value_is_good(EventKind kind, const EventProp *p)
{
    switch (p->type) {
    case EVENT_NONE:
        return kind == EVENT_PERSON;
    case EVENT_NUMBER:
        return p->scale <= EVENT_SCALE_MAX;
    case EVENT_MONEY:
        return money_in_range(p->i64);
    case EVENT_BOOL:
        return p->i64 == 0 || p->i64 == 1;
    case EVENT_TIME:
        return p->i64 >= EVENT_TIME_MS_MIN && p->i64 <= EVENT_TIME_MS_MAX;
    case EVENT_TEXT:
    case EVENT_TEXTS:
    case EVENT_ITEMS:
        return true;
    case EVENT_TYPE_COUNT:
    default:
        return false;
    }
}
