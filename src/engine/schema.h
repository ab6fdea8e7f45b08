/*
 * engine/schema.h -- what names and texts are as numbers: events, properties with their types, the values
 * of each, actors.
 *
 * Everything arrives by itself: the first value of a property pins its type; a later one of another type
 * is a conflict, which is counted and kept out of the columns (the log still has it).
 * What is new since the last save is written behind the file of names before any part that uses it is.
 *
 * Owns: its memory until schema_free().
 * Threads: schema_event(), schema_prop(), schema_code(), schema_actor(), schema_save_new() one at a time;
 * the find and text functions under the same lock; texts once given stay.
 */
#pragma once

#include "engine/dict.h"
#include "engine/part.h"
#include "events/event.h"

enum {
    SCHEMA_EVENTS_MAX = 65535,
    SCHEMA_PROPS_MAX = 16384,
    SCHEMA_VALUES_MAX = 1 << 22, /* distinct texts of one property */
    SCHEMA_ACTORS_MAX = DICT_COUNT_MAX,
    SCHEMA_SCALE_MAX = 6, /* decimal places of a number in the columns */
};

/* Where a property stands; the same name in two of them is two properties. */
typedef enum SchemaSpace {
    SCHEMA_EVENT = 'e',   /* of the event */
    SCHEMA_CONTEXT = 'c', /* of its context */
} SchemaSpace;

typedef struct SchemaProp {
    uint32_t id;
    SchemaSpace space;
    EventType type; /* as the first value was */
    Dict *values;   /* EVENT_TEXT: its texts; else NULL */
    uint64_t
        conflicts; /* values of another type, of too many places, too large, or one text too many */
    uint32_t saved_values;
} SchemaProp;

typedef struct Schema Schema;

Schema *schema_new(void);
void schema_free(Schema *s); /* NULL is nothing to do */

/* The number of an event name, from 1; 0 = there are too many. */
uint32_t schema_event(Schema *s, Str name);

/* The property with this name, made with `type` when there is none.  NULL: too many. */
SchemaProp *schema_prop(Schema *s, SchemaSpace space, Str name, EventType type);

/* The code of a text, 0 = too many.  `prop` is of EVENT_TEXT, PROP_SOURCE or PROP_STORE. */
uint32_t schema_code(Schema *s, uint32_t prop, Str text);

/* The number of an actor: 0 for nobody, else from PART_BLOCK_PERSONS.  False = there are too many. */
MUST_USE bool schema_actor(Schema *s, EventActor actor, uint32_t *out);

uint32_t schema_find_event(const Schema *s, Str name);                      /* 0 = unknown */
SchemaProp *schema_find_prop(const Schema *s, SchemaSpace space, Str name); /* NULL = unknown */
SchemaProp *schema_prop_at(const Schema *s, uint32_t id);            /* also the built-in texts */
uint32_t schema_find_code(const Schema *s, uint32_t prop, Str text); /* 0 = unknown */

/* The texts of a property, and of PROP_EVENT the event names.  NULL: it has none. */
const Dict *schema_texts(const Schema *s, uint32_t prop);

Str schema_event_name(const Schema *s, uint32_t event);
Str schema_prop_name(const Schema *s, uint32_t prop);
Str schema_text(const Schema *s, uint32_t prop, uint32_t code);
EventActor schema_actor_of(const Schema *s, uint32_t person);

uint32_t schema_event_count(const Schema *s);
uint32_t schema_prop_count(const Schema *s);   /* ids are PROP_FIRST up to PROP_FIRST + this */
uint32_t schema_person_count(const Schema *s); /* person numbers are below */
uint64_t schema_bytes(const Schema *s);        /* of memory */

/* Adds what is new since the last call as one record with its checksum; nothing when nothing is. */
void schema_save_new(Schema *s, Buf *out);

/* Reads records into an empty schema.  INTERNAL "events.names_damaged". */
MUST_USE Err schema_load(Ctx *ctx, Schema *s, Str bytes);
