/*
 * engine/engine_testkit.h -- what the tests of this layer share: random rows, parts made of them, and the
 * slow obvious way to ask them.
 */
#pragma once

#include "base/rand.h"
#include "base/test.h"
#include "engine/part/rows.h"
#include "engine/scan/query.h"
#include "engine/scan/scan.h"

enum { KIT_PROPS = 4, KIT_BLOCKS = 6 };
#define KIT_ORIGIN_MS INT64_C(1735574400000) /* a Monday, 2024-12-30T16:00Z: midnight in Shanghai */

/* What the random rows are like. */
typedef struct KitShape {
    uint32_t rows, persons, events, weeks;
    bool whole_seconds;
    uint32_t whole_weeks, whole_names; /* only those of the first ones are of whole seconds */
    uint32_t ties;                     /* of 100 rows: at the time of the row before */
    uint32_t near;   /* of 100 rows: of the person of the row before, within a minute of it */
    uint32_t nobody; /* of 100 rows: of person 0 */
    uint32_t said;   /* of 100 rows: no events, but PART_PERSON */
} KitShape;

typedef struct KitRow {
    int64_t time_ms;
    uint32_t person, event;
    uint32_t seq;
    int64_t values[KIT_PROPS]; /* SCAN_MISSING = none */
} KitRow;

/* The same rows twice: as parts, and as they are. */
typedef struct Kit {
    Ctx ctx;
    Prng random;
    KitRow *rows; /* by arrival */
    uint32_t count;
    uint32_t apart; /* numbers of persons are */
    uint32_t made;  /* rows, before any was dead */
    uint32_t persons, slices;
    bool is_merged;
    ScanView view;
} Kit;

/* Properties 16 to 19: codes, rare codes, numbers with mixed scales, numbers that may be negative. */
#define KIT_PROP(i) ((uint32_t)PROP_FIRST + (i))

/* `slices` parts per week overlap in time as the memory's parts do.  Of two seeds in three, a scan reads few rows at a
 * time; of odd seeds, the persons are of KIT_BLOCKS blocks; of four in five, so many blocks are looked at together. */
void kit_open(Kit *k, uint64_t seed, const KitShape *shape, uint32_t slices);
void kit_close(Kit *k);

/* Merges the parts of each week, as many at a time as `fan` says, until one is left. */
void kit_merge(Kit *k, uint32_t fan);

/* Some persons' rows, mostly those of the slices before they were moved, are dead from here on, as if they had been
 * erased: in the parts they stay, the model forgets them.  Two times in three it is known of most parts which they are. */
void kit_move_some(Kit *k);

/* The parts become files, of most of which it is known from here on which rows are dead. */
void kit_know_dead(Kit *k);

uint32_t kit_below(Kit *k, uint32_t n);

/* The rows by (person, time, arrival). */
KitRow **kit_sorted(Kit *k);

/* A random filter, and whether a row fulfils it. */
const Filter *kit_filter(Kit *k, int depth);
bool kit_fulfils(const Filter *f, const KitRow *row);

/* Whether the row is one of the select's events; its time is not looked at. */
bool kit_takes(const ScanSelect *s, const KitRow *row);

/* One to three of the events, ascending; how many. */
enum { KIT_EVENTS = 3 };
uint32_t kit_events(Kit *k, const KitShape *shape, uint32_t events[KIT_EVENTS]);

/* Names and filter of a random select; `events` belongs to it. */
void kit_select(Kit *k, const KitShape *shape, int depth, uint32_t events[KIT_EVENTS],
                ScanSelect *out);

/* The slow way to series: every row of the select in its range is compared with every combination found so far. */
typedef struct KitSeries {
    /* those with values, of which the first `shown` have no other one */
    const struct KitSeries *all;
    uint32_t shown, width;
    const ScanProp *breakdown;
    int64_t values[3];
    uint64_t events;
    bool is_other;
} KitSeries;

/* How many there are, "other" among them; `distinct` is what is expected.  Events of nobody do not count. */
uint32_t kit_series(Kit *k, const ScanSelect *select, const ScanProp *breakdown, uint32_t width,
                    uint32_t top, KitSeries **out, const uint32_t *distinct);
bool kit_in_series(const KitSeries *s, const KitRow *row);
void kit_expect_series(const KitSeries *s, const QuerySeries *key, uint64_t events);

/* What a number is of the rows of one person: whether the person is behind it, and with how much. */
typedef struct KitShare {
    bool is_in;
    PeopleSum amount;
} KitShare;

/*
 * The slow way to the people behind a number: `share` says what it is when there are no rows but one person's, person by
 * person.  `p` are those that are in, with these amounts when it has any, and nobody's.
 */
typedef KitShare (*KitShareFn)(Kit *alone, const void *arg);
void kit_expect_people(Kit *k, const People *p, KitShareFn share, const void *arg);

/* Called before anything is written, renamed or synced, on the thread that does it; NULL = nothing is.
 * engine_fault_test.c */
extern void (*_Atomic kit_before_change)(void);

/* Runs `body` once with every version of the kernels that this processor has. */
void kit_each_kernel(void (*body)(void));

/* The same with crews of one to three, of which *crew is the one. */
void kit_each_kernel_and_crew(void (*body)(void), Crew **crew);
