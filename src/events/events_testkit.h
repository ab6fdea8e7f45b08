/*
 * events/events_testkit.h -- what the tests of this layer share: scratch folders, random events, a
 * slow obvious model of the log.
 */
#pragma once

#include "base/test.h"
#include "events/events.h"

typedef struct Kit {
    char path[64]; /* made by kit_open, removed with its files by kit_close */
    Str folder;
    Ctx ctx;
    uint64_t random;
} Kit;

/* The file that this thread wrote to last, unless it was synced since; -1 = none.  Kept by the functions of libc that
 * the tests replace. */
extern _Thread_local int kit_dirty_fd;

void kit_open(Kit *k, uint64_t seed);
void kit_close(Kit *k);
uint32_t kit_below(Kit *k, uint32_t n); /* random, [0, n) */
Str kit_subfolder(Kit *k, const char *name);
void kit_copy_folder(Kit *k, Str from, Str to);

/* The log's file with this name as bytes, and back. */
Str kit_read(Kit *k, Str folder, Str name);
void kit_write(Kit *k, Str folder, Str name, Str bytes);

/* A random event with id `id`: one of 12 actors or nobody, one of 5 names, times that tie. */
void kit_random_event(Kit *k, Str id, Event *out);
Str kit_encode(Kit *k, const Event *e); /* in the kit's arena */

/* One plain event with that id. */
Str kit_record(Kit *k, const char *id);

EventsLog *kit_log(Kit *k, Str folder, EventsOptions options);

typedef struct Model {
    Event *at; /* in arrival order, seq set; bytes in the kit's arena */
    size_t count, cap;
} Model;
void model_add(Kit *k, Model *m, const Event *e, uint64_t seq);
void model_compare(Kit *k, const Model *m, EventsLog *log, int rounds);
