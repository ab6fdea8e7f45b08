/*
 * engine/names/schema_inside.h -- what the files of the schema share.  Private to schema*.c.
 *
 *   schema.c          texts to numbers, and back
 *   schema_file.c     into the file of names, and from it
 *   schema_unused.c   what no row has any more
 */
#pragma once

#include "engine/names/schema.h"

/* Event names and the properties that they have: a set, and in the order of arrival. */
typedef struct Pairs {
    uint64_t *in_order; /* event << 32 | property */
    uint32_t *slots;    /* place + 1, 0 = empty; twice as many as the limit at least */
    uint32_t count, saved, slot_count;
    uint64_t seed;
    uint16_t *of_event; /* event -> how many */
} Pairs;

struct Schema {
    SchemaLimits limits;
    Pairs pairs;
    uint64_t values_cost; /* of the texts of all properties */
    uint64_t saved_cost;  /* of everything, when it was saved last */
    Dict *events, *props, *actors;
    Persons *persons;
    SchemaProp builtin[PROP_FIRST];            /* PROP_SOURCE and PROP_STORE have texts */
    SchemaProp *shelf[SCHEMA_PROPS_MAX / 256]; /* never move */
    uint32_t saved_events, saved_props, saved_actors;
};

/* A property's key: its space, of a field also its list, and its name. */
typedef struct PropKey {
    SchemaSpace space;
    uint32_t list;
    Str name;
} PropKey;

size_t schema_key_head(SchemaSpace space); /* bytes before the name */

SchemaProp *schema_find_or_make(Schema *s, PropKey key, EventType type, bool *is_new);

/* The next property, whose name was forgotten.  NULL: too many. */
SchemaProp *schema_add_forgotten_prop(Schema *s, PropKey key, EventType type);

/* False: there are too many. */
MUST_USE bool schema_add_pair(Schema *s, uint32_t event, uint32_t prop);

/* Actors are numbered from 1, persons behind the block of nobody. */
static inline uint32_t schema_person_of(uint32_t actor)
{
    return PART_BLOCK_PERSONS + actor - 1;
}

static inline uint32_t schema_actor_number(uint32_t person)
{
    return person - PART_BLOCK_PERSONS + 1;
}

/* A record of the file of names begins and ends; an empty one is none. */
size_t schema_begin_record(Buf *out);
void schema_end_record(Buf *out, size_t start);

/* The first record of `from`, which is taken off.  False: it is damaged. */
MUST_USE bool schema_take_record(Str *from, Str *out);
