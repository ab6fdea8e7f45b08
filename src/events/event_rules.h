/*
 * events/event_rules.h -- which fields an event must have, for the builder and the decoder alike.
 *
 * Owns: nothing.  Private to event*.c.  Threads: any.
 */
#pragma once

#include "events/event.h"

/* Why one field is refused: `reason` is NULL when nothing is wrong. */
typedef struct EventProblem {
    const char *reason;
    const char *pointer;
} EventProblem;

/* Checks everything but the props and the context. */
EventProblem event_head_problem(const Event *e);

/* Checks the value of a property whose texts were checked already. */
bool event_value_is_good(EventKind kind, const EventProp *p);

static inline bool event_has_other(EventKind kind)
{
    return kind == EVENT_LINK || kind == EVENT_UNLINK;
}
