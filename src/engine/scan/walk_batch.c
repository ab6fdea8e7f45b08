/*
 * engine/scan/walk_batch.c -- the weeks' rows, each in order, become persons by one counting sort.
 */
#include "engine/scan/walk_batch.h"

#include "engine/core/crew.h"

#include <stdlib.h>

typedef struct BatchWeek {
    Walker *walker;
    uint32_t second; /* behind the first week's start */
    WalkRows rows;
    uint32_t first; /* number of its first row among those of all weeks */
} BatchWeek;

struct WalkBatcher {
    BatchWeek *weeks;
    uint32_t week_count;
    uint32_t selects[WALK_CODES_MAX], names[WALK_CODES_MAX]; /* [code] */
    uint32_t row_cap;
    ScanRow *rows;
    uint32_t *events;
    uint32_t *numbers; /* of each row among those of all weeks */
    uint32_t at[PART_BLOCK_PERSONS + 1];
    uint32_t from[PART_BLOCK_PERSONS + 1];
    uint32_t persons[PART_BLOCK_PERSONS];
};

static uint32_t selects_of(const ScanAsk *ask, uint32_t event)
{
    uint32_t bits = 0;
    for (uint32_t i = 0; i < ask->select_count; i++)
        bits |= scan_has(&ask->selects[i], event) ? 1U << i : 0;
    return bits;
}

static bool open_weeks(WalkBatcher *b, const WalkWeek *weeks, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (weeks[i].ask.part_count > WALK_PARTS_MAX)
            return false;
        const int64_t behind_ms =
            weeks[i].ask.parts[0]->head->week_ms - weeks[0].ask.parts[0]->head->week_ms;
        b->weeks[b->week_count++] =
            (BatchWeek){walker_new(&weeks[i].ask), .second = (uint32_t)(behind_ms / 1000)};
    }
    return true;
}

WalkBatcher *walk_batcher_new(const ScanView *view, const ScanAsk *ask, const WalkNames *names)
{
    WalkBatcher *b = calloc(1, sizeof *b);
    WalkWeek *weeks = calloc((size_t)view->part_count + 1, sizeof *weeks);
    CHECK(b != NULL && weeks != NULL);
    b->weeks = calloc((size_t)view->part_count + 1, sizeof *b->weeks);
    CHECK(b->weeks != NULL);
    for (uint32_t code = 0; code < names->count; code++) {
        b->names[code] = names->names[code];
        b->selects[code] = selects_of(ask, names->names[code]);
    }
    const uint32_t count =
        walk_weeks(view, ask->selects[0].from_ms, ask->selects[0].to_ms, names, weeks);
    if (!open_weeks(b, weeks, count)) {
        walk_batcher_free(b);
        b = NULL;
    }
    free(weeks);
    return b;
}

void walk_batcher_free(WalkBatcher *b)
{
    if (b == NULL)
        return;
    for (uint32_t i = 0; i < b->week_count; i++)
        walker_free(b->weeks[i].walker);
    free(b->weeks);
    free(b->rows);
    free(b->events);
    free(b->numbers);
    free(b);
}

uint64_t walk_batch_damaged(const WalkBatcher *b)
{
    uint64_t damaged = 0;
    for (uint32_t i = 0; i < b->week_count; i++)
        damaged += walker_damaged(b->weeks[i].walker);
    return damaged;
}

static void reserve(WalkBatcher *b, uint32_t n)
{
    if (n <= b->row_cap)
        return;
    b->row_cap = n + n / 2;
    free(b->rows);
    free(b->events);
    free(b->numbers);
    b->rows = malloc(b->row_cap * sizeof *b->rows);
    b->events = malloc(b->row_cap * sizeof *b->events);
    b->numbers = malloc(b->row_cap * sizeof *b->numbers);
    CHECK(b->rows != NULL && b->events != NULL && b->numbers != NULL);
}

/* The weeks' rows; how many, and in at[p + 1] how many person p has. */
static uint32_t read_weeks(WalkBatcher *b, uint32_t piece)
{
    uint32_t count = 0;
    memset(b->at, 0, sizeof b->at);
    for (uint32_t i = 0; i < b->week_count; i++) {
        BatchWeek *week = &b->weeks[i];
        week->first = count;
        if (!walker_rows(week->walker, piece, &week->rows))
            week->rows.count = 0;
        for (uint32_t row = 0; row < week->rows.count; row++)
            b->at[(week->rows.keys[row] >> PART_SECOND_BITS) + 1]++;
        count += week->rows.count;
    }
    return count;
}

/* Stable: weeks ascend, and so do the rows of a person in each. */
static void scatter_week(WalkBatcher *b, const BatchWeek *week)
{
    for (uint32_t row = 0; row < week->rows.count && !crew_gives_up_at(row); row++) {
        const uint32_t key = week->rows.keys[row];
        const uint8_t code = week->rows.codes[row];
        const uint32_t to = b->at[key >> PART_SECOND_BITS]++;
        b->rows[to] = (ScanRow){b->selects[code], week->second + (key & PART_SECOND_MASK)};
        b->events[to] = b->names[code];
        b->numbers[to] = week->first + row;
    }
}

/* Each at[p] is where person p ends now. */
static void list_persons(WalkBatcher *b, uint32_t piece, ScanBatch *out)
{
    uint32_t n = 0;
    for (uint32_t p = 0, from = 0; p < PART_BLOCK_PERSONS; p++) {
        b->persons[n] = piece * PART_BLOCK_PERSONS + p;
        b->from[n] = from;
        n += b->at[p] > from;
        from = b->at[p];
    }
    b->from[n] = b->at[PART_BLOCK_PERSONS - 1];
    *out = (ScanBatch){.person_count = n,
                       .persons = b->persons,
                       .from = b->from,
                       .rows = b->rows,
                       .events = b->events};
}

bool walk_batch(WalkBatcher *b, uint32_t piece, ScanBatch *out)
{
    const uint32_t count = read_weeks(b, piece);
    if (count == 0 || crew_gives_up(count))
        return false;
    reserve(b, count);
    for (uint32_t p = 0; p < PART_BLOCK_PERSONS; p++)
        b->at[p + 1] += b->at[p];
    for (uint32_t i = 0; i < b->week_count; i++)
        scatter_week(b, &b->weeks[i]);
    list_persons(b, piece, out);
    return !crew_gives_up(0);
}

int64_t walk_batch_ms(const WalkBatcher *b, uint32_t row)
{
    uint32_t week = b->week_count - 1;
    while (b->weeks[week].first > b->numbers[row])
        week--;
    return walker_ms(b->weeks[week].walker, b->numbers[row] - b->weeks[week].first);
}
