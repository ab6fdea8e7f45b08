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

/* What is wrong with a text, NULL = nothing. */
static const char *text_reason(Str s, size_t max, bool needed)
{
    if (needed && s.len == 0)
        return "event.missing";
    if (s.len > max)
        return "event.length";
    return str_is_utf8(s) ? NULL : "event.text";
}

static const char *actor_reason(EventActor a, bool needed)
{
    if ((a.kind.len == 0) != (a.value.len == 0))
        return "event.actor";
    if (!needed && a.kind.len == 0)
        return NULL;
    const char *reason = text_reason(a.kind, EVENT_ACTOR_KIND_BYTES_MAX, needed);
    return reason != NULL ? reason : text_reason(a.value, EVENT_ACTOR_VALUE_BYTES_MAX, needed);
}

static bool instant_is_good(int64_t at_ms)
{
    return at_ms >= 0 && at_ms <= EVENT_TIME_MS_MAX;
}

/* The texts of a head: where they stand, how long they may be, whether they are needed; of the name, NEEDS says it. */
enum { HEAD_NAME = 2 };
static const struct {
    const char *pointer;
    size_t at, max;
    bool needed;
} TEXTS[] = {{"/source", offsetof(Event, source), EVENT_SOURCE_BYTES_MAX, true},
             {"/id", offsetof(Event, id), EVENT_ID_BYTES_MAX, true},
             {"/name", offsetof(Event, name), EVENT_NAME_BYTES_MAX, false},
             {"/store", offsetof(Event, store), EVENT_STORE_BYTES_MAX, false}};

/* What is wrong beside those texts. */
static EventProblem other_problem(const Event *e)
{
    const bool other = NEEDS[e->kind].other;
    const char *actor = actor_reason(e->actor, NEEDS[e->kind].actor);
    if (actor != NULL)
        return (EventProblem){actor, "/actor"};
    const char *second = actor_reason(e->other, other);
    if (second != NULL)
        return (EventProblem){second, "/other"};
    if (!other && e->other.kind.len != 0)
        return (EventProblem){"event.actor", "/other"};
    if (!instant_is_good(e->time_ms))
        return (EventProblem){"event.time", "/time"};
    return (EventProblem){instant_is_good(e->received_ms) ? NULL : "event.time", "/received"};
}

EventProblem event_head_problem(const Event *e)
{
    if (e->kind <= EVENT_GONE || e->kind >= EVENT_KIND_COUNT)
        return (EventProblem){"event.value", "/kind"};
    for (size_t i = 0; i < ARRAY_LEN(TEXTS); i++) {
        Str text;
        memcpy(&text, (const char *)e + TEXTS[i].at, sizeof text);
        const bool needed = i == HEAD_NAME ? NEEDS[e->kind].name : TEXTS[i].needed;
        const char *reason = text_reason(text, TEXTS[i].max, needed);
        if (reason != NULL)
            return (EventProblem){reason, TEXTS[i].pointer};
    }
    return other_problem(e);
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
