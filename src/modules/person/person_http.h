/*
 * modules/person/person_http.h -- the doors of this room, and what other rooms' doors need of it.
 */
#pragma once

#include "modules/person/person.h"
#include "request/request.h"

#include "base/money.h"
#include "modules/setting/setting.h"

extern const Door PERSON_DOORS[];

/* What is asked of a timeline. */
typedef struct TimelineAsk {
    EventActor actor;
    const Str *names; /* none = all */
    size_t name_count;
    bool oldest_first;
    size_t limit;
    const Str *cursor; /* NULL: from the newest, or the oldest */
} TimelineAsk;

/* Into an ApiPersonTimeline: the events of everybody who is one person with the actor now; of the actor alone, when there
 * is no engine.  INVALID "request.cursor". */
MUST_USE Err person_read_timeline(Work *work, const TimelineAsk *asked, void *timeline);

/* The doors of person_timeline.c. */
Err person_timeline(Work *work, Call *call);
Err person_actor_timeline(Work *work, Call *call);

/* Somebody as a request names them: texts without pointer were not sent. */
typedef struct PersonWanted {
    Str phone, card, name;
    int64_t store;
    Str channel;
} PersonWanted;

/* A draft to enrol from, sealed and hashed; INVALID "person.identifier", "person.phone". */
MUST_USE Err person_http_draft(Ctx *ctx, const PersonWanted *wanted, PersonDraft *out);
