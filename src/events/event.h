/*
 * events/event.h -- the canonical event: what every touchpoint's message becomes, and its bytes.
 *
 * An Event is a view: its strings and arrays belong to the bytes or the arena behind it.  It is
 * made by the builder here (which refuses what must not be stored) or by event_decode().  The
 * encoding is docs/formats/events.md: self-delimiting, versioned, one form per event (what was
 * decoded encodes to the same bytes); the outbox stores the same bytes.
 * Promises: every text is UTF-8 without U+0000; every limit below holds, also for decoded bytes.
 * Errors: INVALID "event.*" as listed at event_end() and event_decode().
 * Threads: any, one builder each.
 */
#pragma once

#include "base/ctx.h"

enum {
    EVENT_SOURCE_BYTES_MAX = 64,
    EVENT_ID_BYTES_MAX = 255,
    EVENT_NAME_BYTES_MAX = 255, /* event names and property names */
    EVENT_STORE_BYTES_MAX = 64,
    EVENT_ACTOR_KIND_BYTES_MAX = 32,
    EVENT_ACTOR_VALUE_BYTES_MAX = 255,
    EVENT_TEXT_BYTES_MAX = 32 * 1024,
    EVENT_PROPS_MAX = 256, /* of one event; its context has the same limit */
    EVENT_LIST_MAX = 1000, /* texts in one list */
    EVENT_ITEMS_MAX = 2000,
    EVENT_FIELDS_MAX = 64, /* of one item */
    EVENT_SCALE_MAX = 18,
    EVENT_BYTES_MAX = 512 * 1024, /* one encoded event */
};

/* Instants of events: 1970 up to the end of 9999.  A time in a property may lie before. */
#define EVENT_TIME_MS_MAX INT64_C(253402300799999)
#define EVENT_TIME_MS_MIN INT64_C(-62135596800000) /* the year 1, properties only */

/* What a record of the log says.  The numbers are on disk. */
typedef enum EventKind {
    EVENT_GONE = 0, /* an erased record's place: nothing else is left of it */
    EVENT_HAPPENED, /* an event; actor may be nobody */
    EVENT_PERSON,   /* `props` are attributes of `actor` from now on; EVENT_NONE removes one */
    EVENT_LINK,     /* `actor` and `other` are one person */
    EVENT_UNLINK,   /* no longer */
    EVENT_ERASE,    /* forget `actor`: law 2's exception */
    EVENT_KIND_COUNT,
} EventKind;

typedef enum EventType {
    EVENT_NONE = 0, /* in EVENT_PERSON: the attribute is removed */
    EVENT_TEXT,
    EVENT_NUMBER, /* i64 * 10^-scale: an integer or an exact decimal */
    EVENT_MONEY,  /* i64 minor units */
    EVENT_BOOL,
    EVENT_TIME,  /* i64 UTC milliseconds */
    EVENT_TEXTS, /* list of strings */
    EVENT_ITEMS, /* list of records: order lines */
    EVENT_TYPE_COUNT,
} EventType;

static inline bool event_type_is_list(EventType type)
{
    return type == EVENT_TEXTS || type == EVENT_ITEMS;
}

typedef struct EventItem EventItem;

typedef struct EventProp {
    Str name;
    EventType type;
    uint8_t scale; /* EVENT_NUMBER: decimal places */
    int64_t i64;   /* EVENT_NUMBER, EVENT_MONEY, EVENT_BOOL, EVENT_TIME */
    Str text;      /* EVENT_TEXT */
    uint32_t count;
    const Str *texts;       /* EVENT_TEXTS: `count` of them */
    const EventItem *items; /* EVENT_ITEMS: `count` of them */
} EventProp;

struct EventItem {
    const EventProp *fields; /* neither lists nor items */
    uint32_t count;
};

/* Who: a kind ("phone", "openid", "cookie") and its value.  Both empty: nobody (actor 0). */
typedef struct EventActor {
    Str kind, value;
} EventActor;

typedef struct Event {
    EventKind kind;
    Str source; /* which door or system it came through; with `id` the key for deduplication */
    Str id;
    Str name;            /* EVENT_HAPPENED: not empty */
    int64_t time_ms;     /* when it happened */
    int64_t received_ms; /* when it reached us */
    EventActor actor;
    EventActor other; /* EVENT_LINK, EVENT_UNLINK */
    Str store;        /* "" = none */
    const EventProp *props;
    uint32_t prop_count;
    const EventProp *context; /* device, page, campaign ...: same shape as properties, no items */
    uint32_t context_count;
    uint64_t seq; /* arrival order, given by the log; 0 before; not in the encoding */
} Event;

static inline bool event_actor_is_nobody(EventActor a)
{
    return a.kind.len == 0;
}

/* ---- building -------------------------------------------------------------------------------- */

typedef struct EventBuilder EventBuilder;

/* Starts an event from the fields of `head` other than props and context; everything handed in is
 * borrowed until the event was encoded.  The builder lives in ctx->arena and remembers the first
 * thing that was wrong, so that only event_end() needs a check. */
EventBuilder *event_begin(Ctx *ctx, const Event *head);

void event_prop_text(EventBuilder *b, Str name, Str value);
void event_prop_i64(EventBuilder *b, Str name, int64_t value);
/* coefficient * 10^-scale: 12.50 is 1250 with scale 2. */
void event_prop_decimal(EventBuilder *b, Str name, int64_t coefficient, int scale);
void event_prop_money(EventBuilder *b, Str name, int64_t fen);
void event_prop_bool(EventBuilder *b, Str name, bool value);
void event_prop_time(EventBuilder *b, Str name, int64_t at_ms);
void event_prop_texts(EventBuilder *b, Str name, const Str *values, size_t count);
void event_prop_none(EventBuilder *b, Str name); /* EVENT_PERSON only */

/* A list of records: begin, then per record event_item() and its event_prop_*, then end. */
void event_items_begin(EventBuilder *b, Str name);
void event_item(EventBuilder *b);
void event_items_end(EventBuilder *b);

/* From here on event_prop_* adds to the context. */
void event_context(EventBuilder *b);

/*
 * The finished event, valid as long as the arena and what was handed in.
 * Errors, all INVALID with the field's pointer: "event.text" (not UTF-8, or U+0000),
 * "event.length", "event.missing" (a field that this kind needs), "event.actor" (half an actor),
 * "event.time", "event.value" (money, scale or time out of range, or a type that does not belong
 * there), "event.prop_twice", "event.count" (too many), "event.size" (larger than EVENT_BYTES_MAX).
 */
MUST_USE Err event_end(EventBuilder *b, Event *out);

/* ---- bytes ----------------------------------------------------------------------------------- */

/* Adds the event's bytes, at most EVENT_BYTES_MAX, to `out`.  `e` came from event_end() or
 * event_decode(). */
void event_encode(const Event *e, Buf *out);

/*
 * Reads the one event at the start of `bytes` without copying text; arrays are in ctx->arena.
 * *used (may be NULL) = its bytes.  Errors: INVALID "event.encoding" when it is cut, damaged, of an
 * unknown version or outside a limit.
 */
MUST_USE Err event_decode(Ctx *ctx, Str bytes, Event *out, size_t *used);

/* The same checks, but allocates nothing: props and context of *out stay NULL.  False = refused. */
MUST_USE bool event_check(Str bytes, Event *out, size_t *used);

/* event_decode() of bytes that it or event_check() has accepted: a third of its time, because texts and values
 * are not looked at again.  False when a length is wrong, which then somebody wrote over. */
MUST_USE bool event_decode_checked(Str bytes, Arena *arena, Event *out, size_t *used);
