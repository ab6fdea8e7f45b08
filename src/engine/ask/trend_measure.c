/*
 * engine/ask/trend_measure.c -- what the rows of a trend add to their cells, and what the cells come to.
 */
#include "engine/ask/trend_inside.h"

#include "engine/core/bits.h"
#include "engine/core/kernels.h"

/* ---- numbers into cells -------------------------------------------------------------------------- */

/* One number of an event or of a person. */
static void add_number(TrendWorker *w, uint32_t cell, int64_t number)
{
    TrendSum *const sum = &w->cells[cell];
    const bool first = w->counts[cell] == 0;
    switch (w->run->t->measure) {
    case TREND_AVERAGE:
        *sum += number;
        w->counts[cell]++;
        break;
    case TREND_MIN:
        *sum = first || number < *sum ? number : *sum;
        w->counts[cell] = 1;
        break;
    case TREND_MAX:
        *sum = first || number > *sum ? number : *sum;
        w->counts[cell] = 1;
        break;
    case TREND_DISTINCT:
    case TREND_PERCENTILE:
        cell_sums_add(&w->seen, cell, number, 1);
        break;
    case TREND_EVENTS:
    case TREND_PERSONS:
    case TREND_PERSONS_SO_FAR:
    case TREND_STICKINESS:
    case TREND_SUM:
        break;
    }
}

/* ---- rows ---------------------------------------------------------------------------------------- */

static void add_events(TrendWorker *w, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        w->counts[w->cell[i]]++;
}

static void add_sums(TrendWorker *w, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const int64_t number = w->numbers[w->picked[i]];
        w->cells[w->cell[i]] += number == SCAN_MISSING ? 0 : number;
    }
}

static void add_numbers(TrendWorker *w, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (w->numbers[w->picked[i]] != SCAN_MISSING)
            add_number(w, w->cell[i], w->numbers[w->picked[i]]);
}

static void add_codes(TrendWorker *w, uint32_t n)
{
    const uint32_t words = trend_seen_words(w->run);
    for (uint32_t i = 0; i < n; i++) {
        const int64_t code = w->numbers[w->picked[i]];
        if (code != SCAN_MISSING)
            w->seen_bits[(size_t)w->cell[i] * words + (uint64_t)code / 64] |= UINT64_C(1)
                                                                              << (code & 63);
    }
}

static void add_flags(TrendWorker *w, const Strip *strip, uint32_t n)
{
    const StripCut *cut = strip->cuts;
    for (uint32_t i = 0; i < n; i++) {
        while (w->picked[i] >= cut[1].row)
            cut++;
        const size_t cell = (cut->block - w->block) * trend_cells(w->run) + w->cell[i];
        const uint32_t person = strip->at.keys[w->picked[i]] >> PART_SECOND_BITS;
        w->flags[cell * TREND_FLAG_WORDS + person / 64] |= UINT64_C(1) << (person & 63);
    }
}

/* Each person's events, or the sum of their numbers. */
static void add_persons(TrendWorker *w, const Strip *strip, uint32_t n)
{
    const bool counts = w->run->t->of == TREND_OF_PERSON_EVENTS;
    const TrendWho *const who = w->run->who;
    const bool ones = who != NULL && who->values;
    const StripCut *cut = strip->cuts;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t row = w->picked[i];
        while (row >= cut[1].row)
            cut++;
        const int64_t number = counts ? 1 : w->numbers[row];
        const int64_t person =
            ((int64_t)cut->block << PART_BLOCK_BITS) + (strip->at.keys[row] >> PART_SECOND_BITS);
        if (number != SCAN_MISSING && (who == NULL || w->cell[i] == who->cell))
            cell_sums_add(&w->persons, w->cell[i], person, ones ? 1 : number);
    }
}

void trend_add_rows(TrendWorker *w, const Strip *strip, uint32_t n)
{
    const Trend *t = w->run->t;
    if (t->measure == TREND_EVENTS)
        add_events(w, n);
    else if (t->measure == TREND_SUM)
        add_sums(w, n);
    else if (trend_flags_persons(t))
        add_flags(w, strip, n);
    else if (trend_is_per_person(t))
        add_persons(w, strip, n);
    else if (w->run->seen_codes > 0)
        add_codes(w, n);
    else
        add_numbers(w, n);
}

/* ---- in how many buckets each person is ---------------------------------------------------------- */

enum { PLANES_MAX = 13 }; /* bits of a count up to QUERY_BUCKETS_MAX */

/* One more for each of the 64 persons in `who`: bit k of all their counts stands in planes[k]. */
static void add_one(uint64_t *planes, uint64_t who)
{
    for (uint32_t k = 0; who != 0; k++) {
        const uint64_t carry = planes[k] & who;
        planes[k] ^= who;
        who = carry;
    }
}

static uint64_t above_zero(const uint64_t *planes, uint32_t count)
{
    uint64_t who = 0;
    for (uint32_t k = 0; k < count; k++)
        who |= planes[k];
    return who;
}

static uint32_t number_of(const uint64_t *planes, uint32_t count, uint32_t person)
{
    uint32_t number = 0;
    for (uint32_t k = 0; k < count; k++)
        number |= (uint32_t)(planes[k] >> person & 1) << k;
    return number;
}

/* Of the persons in `left` those with n, or more. */
static uint64_t with_number(const uint64_t *planes, uint32_t count, uint64_t left, uint32_t n,
                            bool at_least)
{
    uint64_t who = 0;
    for (; left != 0; left &= left - 1) {
        const uint32_t number = number_of(planes, count, (uint32_t)__builtin_ctzll(left));
        if (number == n || (at_least && number > n))
            who |= left & -left;
    }
    return who;
}

/* One series: who has how many of the flags.  `who`: the words of whoever has as many as cell `of` says; or NULL. */
static void add_stickiness(const uint64_t *flags, uint32_t buckets, TrendSum *cells, uint32_t of,
                           bool at_least, uint64_t *who)
{
    const uint32_t count = (uint32_t)bits_width(buckets);
    for (uint32_t word = 0; word < TREND_FLAG_WORDS; word++) {
        uint64_t planes[PLANES_MAX] = {0};
        for (uint32_t b = 0; b < buckets; b++)
            add_one(planes, flags[(size_t)b * TREND_FLAG_WORDS + word]);
        const uint64_t some = above_zero(planes, count);
        for (uint64_t left = some; left != 0; left &= left - 1)
            cells[number_of(planes, count, (uint32_t)__builtin_ctzll(left)) - 1]++;
        if (who != NULL)
            who[word] = with_number(planes, count, some, of + 1, at_least);
    }
}

/* ---- one piece ----------------------------------------------------------------------------------- */

/* Whoever was in a bucket stays in all behind it. */
static void keep_flags(uint64_t *flags, uint32_t buckets)
{
    for (size_t i = TREND_FLAG_WORDS; i < (size_t)buckets * TREND_FLAG_WORDS; i++)
        flags[i] |= flags[i - TREND_FLAG_WORDS];
}

static void unite_flags(uint64_t *to, const uint64_t *from)
{
    for (uint32_t i = 0; i < TREND_FLAG_WORDS; i++)
        to[i] |= from[i];
}

/* Buckets [first, end), at most `rolling`: each gets those before it among these, and of the `rolling` before these,
 * which are as they were, the last ones. */
static void roll_stretch(uint64_t *flags, uint32_t first, uint32_t end, uint32_t rolling)
{
    uint64_t before[TREND_FLAG_WORDS] = {0};
    keep_flags(flags + (size_t)first * TREND_FLAG_WORDS, end - first);
    for (uint32_t b = first + rolling - 1; first > 0 && b-- > first;) {
        unite_flags(before, flags + (size_t)(b + 1 - rolling) * TREND_FLAG_WORDS);
        if (b < end)
            unite_flags(flags + (size_t)b * TREND_FLAG_WORDS, before);
    }
}

/* Whoever was in one of the `rolling - 1` buckets before, too: each bucket is looked at three times however many these
 * are (van Herk's running maximum). */
static void roll_flags(uint64_t *flags, uint32_t buckets, uint32_t rolling)
{
    for (uint32_t left = (buckets - 1) / rolling + 1; left-- > 0;) {
        const uint32_t first = left * rolling;
        roll_stretch(flags, first, buckets - first < rolling ? buckets : first + rolling, rolling);
    }
}

/* One series in one block: how many persons are in each bucket. */
static void count_flags(const uint64_t *flags, uint32_t buckets, TrendSum *cells)
{
    for (uint32_t b = 0; b < buckets; b++)
        cells[b] += kernels()->count(flags + (size_t)b * TREND_FLAG_WORDS, TREND_FLAG_WORDS);
}

static size_t flag_bytes(const TrendRun *run)
{
    return run->strip_blocks * trend_cells(run) * TREND_FLAG_WORDS * sizeof(uint64_t);
}

void trend_begin_piece(TrendWorker *w)
{
    if (trend_flags_persons(w->run->t))
        memset(w->flags, 0, flag_bytes(w->run));
}

/* Where the persons of a block go, when those of a cell of this series are asked for. */
static uint64_t *who_of(const TrendRun *run, uint32_t block, size_t first_cell)
{
    _Static_assert((int)TREND_FLAG_WORDS == (int)PEOPLE_PIECE_WORDS, "a block is a piece");
    const TrendWho *who = run->who;
    const bool has_cell = who != NULL && who->cell - first_cell < run->t->bucket_count;
    return has_cell && block < scan_pieces(run->q->view) ? people_piece(who->people, block) : NULL;
}

static void end_flags(TrendWorker *w)
{
    const TrendRun *run = w->run;
    const Trend *t = run->t;
    for (uint32_t block = 0; block < run->strip_blocks; block++)
        for (uint32_t s = 0; s < run->series; s++) {
            const size_t cell = (size_t)s * run->stride + 1; /* of the first bucket */
            uint64_t *flags = w->flags + (block * trend_cells(run) + cell) * TREND_FLAG_WORDS;
            uint64_t *const who = who_of(run, w->block + block, cell);
            const uint32_t of = who == NULL ? 0 : run->who->cell - (uint32_t)cell;
            if (t->measure == TREND_STICKINESS) {
                add_stickiness(flags, t->bucket_count, w->cells + cell, of,
                               who != NULL && run->who->at_least, who);
                continue;
            }
            if (t->measure == TREND_PERSONS_SO_FAR)
                keep_flags(flags, t->bucket_count);
            else if (t->rolling > 1)
                roll_flags(flags, t->bucket_count, t->rolling);
            count_flags(flags, t->bucket_count, w->cells + cell);
            if (who != NULL)
                memcpy(who, flags + (size_t)of * TREND_FLAG_WORDS,
                       PEOPLE_PIECE_WORDS * sizeof *who);
        }
}

void trend_end_piece(TrendWorker *w)
{
    if (trend_flags_persons(w->run->t) || w->persons.count > 0)
        trend_need_cells(w);
    if (trend_flags_persons(w->run->t))
        end_flags(w);
    cell_sums_settle(&w->persons);
    for (uint32_t i = 0; i < w->persons.count; i++) {
        const CellSum *one = &w->persons.at[i];
        add_number(w, one->cell, one->amount);
        if (w->run->who != NULL)
            people_add_amount(w->run->who->people, (uint32_t)one->value, one->amount);
    }
    w->persons.count = 0;
}

/* ---- the result ---------------------------------------------------------------------------------- */

/* Puts one worker's cell to the others'. */
static void join_cell(TrendMeasure measure, TrendSum theirs, uint64_t of, TrendSum *cell,
                      uint64_t *cell_of)
{
    const bool is_extreme = measure == TREND_MIN || measure == TREND_MAX;
    if (!is_extreme) {
        *cell += theirs;
        *cell_of += of;
    } else if (of > 0) {
        const bool better = measure == TREND_MIN ? theirs < *cell : theirs > *cell;
        *cell = *cell_of == 0 || better ? theirs : *cell;
        *cell_of = 1;
    }
}

static void join_workers(const TrendRun *run, uint32_t series, TrendSum *cells, uint64_t *of)
{
    const size_t from = (size_t)series * run->stride + 1;
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++) {
        const TrendWorker *w = &run->workers[i];
        for (uint32_t b = 0; w->cells != NULL && b < run->t->bucket_count; b++)
            join_cell(run->t->measure, w->cells[from + b] + w->narrow[from + b],
                      w->counts[from + b], &cells[b], &of[b]);
        for (uint32_t b = 0; w->packed != NULL && b < run->t->bucket_count; b++) {
            cells[b] += trend_packed_sum(w->packed[from + b]);
            of[b] += trend_packed_count(w->packed[from + b]);
        }
    }
    for (uint32_t b = 0; run->t->measure == TREND_EVENTS && b < run->t->bucket_count; b++)
        cells[b] = (TrendSum)of[b];
}

/* The value with `rank` others before it, of a cell's entries. */
static int64_t value_at(const CellSum *entries, uint64_t rank)
{
    while (rank >= (uint64_t)entries->amount)
        rank -= (uint64_t)entries++->amount;
    return entries->value;
}

enum { BPS = 10000 };

static void give_percentile(const Trend *t, const CellSum *entries, uint32_t n, TrendSum *cell,
                            uint64_t *of)
{
    uint64_t values = 0;
    for (uint32_t i = 0; i < n; i++)
        values += (uint64_t)entries[i].amount;
    const uint64_t share = values * t->percentile_bps, before = share == 0 ? 0 : (share - 1) / BPS;
    const uint64_t at = t->nearest_rank ? before * BPS : (values - 1) * t->percentile_bps;
    const uint64_t part = at % BPS;
    const TrendSum low = value_at(entries, at / BPS);
    *cell = low * BPS;
    if (part > 0)
        *cell += (value_at(entries, at / BPS + 1) - low) * (TrendSum)part;
    *of = BPS;
}

/* The entries are sorted by cell: the first one of this cell, or behind it. */
static uint32_t first_of_cell(const CellSums *seen, uint32_t cell)
{
    uint32_t low = 0, high = seen->count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (seen->at[middle].cell < cell)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void give_seen(const TrendRun *run, const CellSums *seen, uint32_t series, TrendSum *cells,
                      uint64_t *of)
{
    const uint32_t from = series * run->stride + 1;
    uint32_t at = first_of_cell(seen, from);
    for (uint32_t b = 0; b < run->t->bucket_count; b++) {
        uint32_t n = 0;
        while (at + n < seen->count && seen->at[at + n].cell == from + b)
            n++;
        if (run->t->measure == TREND_DISTINCT)
            cells[b] = n;
        else if (n > 0)
            give_percentile(run->t, seen->at + at, n, &cells[b], &of[b]);
        at += n;
    }
}

/* How many codes any worker saw in each cell. */
static void count_codes(const TrendRun *run, uint32_t series, TrendSum *cells)
{
    const uint32_t words = trend_seen_words(run);
    for (uint32_t b = 0; b < run->t->bucket_count; b++)
        for (uint32_t word = 0; word < words; word++) {
            const size_t at = ((size_t)series * run->stride + 1 + b) * words + word;
            uint64_t seen = 0;
            for (uint32_t i = 0; i < crew_size(run->q->crew); i++)
                seen |= run->workers[i].seen_bits[at];
            cells[b] += __builtin_popcountll(seen);
        }
}

void trend_give_cells(const TrendRun *run, const CellSums *seen, uint32_t series, TrendSum *cells,
                      uint64_t *of)
{
    if (run->seen_codes > 0)
        count_codes(run, series, cells);
    else if (trend_keeps_values(run->t))
        give_seen(run, seen, series, cells, of);
    else
        join_workers(run, series, cells, of);
}
