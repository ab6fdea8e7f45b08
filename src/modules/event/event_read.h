/*
 * modules/event/event_read.h -- one event as JSON (EventBatch in event.api.yaml) into the canonical one: for every
 * door through which events come in.
 *
 * Promises: a phone number as actor becomes its keyed hash: the log holds no numbers.  Needs ctx->keys and
 *           ctx->settings for that.
 * Owns:     nothing; texts borrow from the document, the rest lives in ctx->arena.  Threads: any.
 */
#pragma once

#include "base/json.h"
#include "events/event.h"

#define EVENT_TIME_MISSING INT64_MIN

typedef struct EventReading {
    Str source;
    int64_t received_ms;
    int64_t
        time_ms; /* of an event that does not say when; EVENT_TIME_MISSING: such a one is refused */
    Err (*may)(Ctx *ctx, EventKind kind); /* asked when a `kind` stands there */
} EventReading;

/* Errors, INVALID with the field's pointer: "event.invalid", those of event_end(), "person.phone"; what `may` says. */
MUST_USE Err event_read(Ctx *ctx, const EventReading *how, JsonValue v, Event *out);

/* A fault of reading as a sentence for people. */
Str event_refusal(const Fault *fault);

/* The value of a "phone" becomes its keyed hash.  INVALID "person.phone". */
MUST_USE Err event_actor_hide(Ctx *ctx, EventActor *actor);

/* INVALID "event.source_reserved": our own rooms speak under this name. */
MUST_USE Err event_source_is_free(Ctx *ctx, Str source);
