/*
 * engine/names/schema.h -- what names and texts are as numbers: events, properties with their types, the values
 * of each, actors.
 *
 * Everything arrives by itself: the first value of a property pins its type; a later one of another type
 * is a conflict, which is counted and kept out of the columns (the log still has it).
 * Which properties an event name has is pinned in the same way, so that no part can get more columns than
 * PART_COLUMNS_MAX, however many of them grow together.
 * What is new since the last save is written behind the file of names before any part that uses it is.  What no row has
 * any more may be forgotten (engine/names/schema_unused.h): then it has an empty text, and comes again with another number.
 * Memory: SchemaLimits says it; what is beyond a limit gets no number, what is known keeps it.
 *
 * Owns: its memory until schema_free().
 * Threads: schema_text(), schema_event_name(), schema_actor_of() and the dictionaries of schema_texts() any, for numbers
 * that somebody has from a part or from under the lock, as engine/core/dict.h says it; everything else under the owner's lock.
 */
#pragma once

#include "engine/core/dict.h"
#include "engine/names/persons.h"
#include "engine/part/part.h"
#include "events/event.h"

enum {
    SCHEMA_EVENTS_MAX = 65535,
    SCHEMA_PROPS_MAX = 16384,
    SCHEMA_SCALE_MAX = 6, /* decimal places of a number in the columns */
};

/* Costs are those of engine/core/dict.h. */
typedef struct SchemaLimits {
    uint32_t events;      /* at most SCHEMA_EVENTS_MAX */
    uint32_t props;       /* at most SCHEMA_PROPS_MAX */
    uint32_t event_props; /* of one event name, with the fields of its lists */
    uint32_t list_fields; /* of one list of records */
    uint32_t pairs;       /* of an event name and a property */
    uint32_t values;      /* distinct texts of one property */
    uint64_t values_cost; /* of the texts of one property */
    uint64_t all_cost;    /* of the texts of all properties */
    uint64_t actors_cost;
    uint32_t links; /* between actors */
} SchemaLimits;

/* What a server has; the reasons stand beside the numbers. */
extern const SchemaLimits SCHEMA_LIMITS;

/* Where a property stands; the same name in two of them is two properties. */
typedef enum SchemaSpace {
    SCHEMA_EVENT = 'e',   /* of the event */
    SCHEMA_CONTEXT = 'c', /* of its context */
    SCHEMA_PERSON = 'p',  /* of its person: in rows of PART_PERSON */
    SCHEMA_GONE = 'g',    /* there, true: the person has the attribute of this name no longer */
    SCHEMA_FIELD = 'i',   /* of the records of a list */
} SchemaSpace;

/* Values of a property that are in the log only, since the folder was opened. */
typedef struct SchemaAside {
    uint64_t other_type;
    EventType came_as; /* the last of them */
    uint64_t number;   /* too large, or with too many decimal places */
    uint64_t texts;    /* one text too many */
} SchemaAside;

typedef struct SchemaProp {
    uint32_t id;
    Str name; /* without its space; the built-in ones have none */
    SchemaSpace space;
    EventType type; /* as the first value was; a list's, as the first with anything in it */
    EventType saved_type;
    uint32_t list;   /* SCHEMA_FIELD: the property that holds the records */
    uint32_t fields; /* EVENT_ITEMS: how many its records have */
    Dict *values;    /* EVENT_TEXT, EVENT_TEXTS: its texts; else NULL */
    uint32_t saved_values;
    bool pinned; /* it stays although no row has it */
    SchemaAside aside;
} SchemaProp;

typedef struct Schema Schema;

Schema *schema_new(const SchemaLimits *limits);
void schema_free(Schema *s); /* NULL is nothing to do */

/* The number of an event name, from 1; 0 = there are too many. */
uint32_t schema_event(Schema *s, Str name);

/* The property with this name, made with `type` when there is none.  NULL: too many. */
SchemaProp *schema_prop(Schema *s, SchemaSpace space, Str name, EventType type);

/* The same of the records of `list`, whose type is EVENT_ITEMS.  NULL: too many, of this list or of all. */
SchemaProp *schema_field(Schema *s, SchemaProp *list, Str name, EventType type);
bool schema_fields_are_full(const Schema *s, const SchemaProp *list); /* no other may come */

/* A list that had nothing in it yet may turn out to be of texts, or of records.  False: it had. */
MUST_USE bool schema_list_becomes(Schema *s, SchemaProp *list, EventType type);

/* Whether events of this name, or rows of PART_PERSON, may have the property; the first ones that ask may. */
MUST_USE bool schema_pair(Schema *s, uint32_t event, const SchemaProp *prop);

/* The code of a text, 0 = too many.  `prop` is of EVENT_TEXT, EVENT_TEXTS, PROP_SOURCE or PROP_STORE. */
uint32_t schema_code(Schema *s, uint32_t prop, Str text);

/* The same in steps, so that many look-ups overlap: the text as a key of prop->values, and dict_find_key() are the first
 * (engine/core/dict_find.h); this gives a code to who has none. */
uint32_t schema_new_code(Schema *s, Dict *values, const DictKey *text);

/* The number of an actor: 0 for nobody, else from PART_BLOCK_PERSONS.  False = there are too many. */
MUST_USE bool schema_actor(Schema *s, EventActor actor, uint32_t *out);

/* The same in two steps, so that many look-ups overlap (engine/core/dict_find.h): the key, in `room` for kind, value and one
 * byte more, as a text of schema_actors(), the empty one of nobody; then schema_actor_of_key(). */
enum { SCHEMA_KEY_BYTES = EVENT_ACTOR_KIND_BYTES_MAX + 1 + EVENT_ACTOR_VALUE_BYTES_MAX };
DictKey schema_actor_key(const Schema *s, EventActor actor, char *room);
const Dict *schema_actors(const Schema *s);
MUST_USE bool schema_actor_of_key(Schema *s, const DictKey *key, uint32_t *out);

/* The number that an actor has; 0 = none, or nobody. */
uint32_t schema_find_actor(const Schema *s, EventActor actor);

/* Which actors are one person: to look at, and to change by schema_change(). */
Persons *schema_persons(const Schema *s);

/* persons_change(), after which an erased actor's key is known no more: who comes with it is somebody else. */
MUST_USE bool schema_change(Schema *s, PersonsChange change);

uint32_t schema_find_event(const Schema *s, Str name);                      /* 0 = unknown */
SchemaProp *schema_find_prop(const Schema *s, SchemaSpace space, Str name); /* NULL = unknown */
SchemaProp *schema_find_field(const Schema *s, const SchemaProp *list, Str name); /* the same */
SchemaProp *schema_prop_at(const Schema *s, uint32_t id);            /* also the built-in texts */
uint32_t schema_find_code(const Schema *s, uint32_t prop, Str text); /* 0 = unknown */

/* The texts of a property, and of PROP_EVENT the event names.  NULL: it has none. */
const Dict *schema_texts(const Schema *s, uint32_t prop);

/* Empty for a number that nothing has. */
Str schema_event_name(const Schema *s, uint32_t event);
Str schema_prop_name(const Schema *s, uint32_t prop);
Str schema_text(const Schema *s, uint32_t prop, uint32_t code);
EventActor schema_actor_of(const Schema *s, uint32_t person);

uint32_t schema_event_count(const Schema *s);
uint32_t schema_prop_count(const Schema *s);   /* ids are PROP_FIRST up to PROP_FIRST + this */
uint32_t schema_person_count(const Schema *s); /* person numbers are below */
uint64_t schema_bytes(const Schema *s);        /* of memory */

/* What schema_save_new() would add now, at most. */
uint64_t schema_new_bytes(const Schema *s);

/* Adds what is new since the last call as one record with its checksum; nothing when nothing is.
 * Must be called before schema_new_bytes() is SCHEMA_SAVE_BYTES_MAX. */
#define SCHEMA_SAVE_BYTES_MAX (UINT64_C(1) << 30)
void schema_save_new(Schema *s, Buf *out);

/* The same of the changes of who is whom: apart, because only a flush may save them, together with the rows
 * that they moved.  All actors must have been saved. */
void schema_save_changes(Schema *s, Buf *out);

/* Reads records into an empty schema.  INTERNAL "events.names_damaged". */
MUST_USE Err schema_load(Ctx *ctx, Schema *s, Str bytes);
