/*
 * engine/retention_bits.c -- 64 persons at once.
 *
 * Of every interval who started in it and who came back in it are bits, of a piece's persons.  Whoever is in both of two
 * of these sets is counted in a cell; who came back "or after", "or before", in a streak or a bracket are sets made of
 * those of the single intervals.
 */
#include "engine/kernels.h"
#include "engine/retention_inside.h"
#include "engine/scan_whole.h"

#include <stdlib.h>

enum { WORDS = PART_BLOCK_PERSONS / 64 };

typedef struct Persons {
    uint64_t bits[WORDS];
} Persons;

typedef struct RetentionBits {
    WholeScan *scan;
    Buckets buckets;
    int64_t *bounds;  /* of the time before the range, and of the intervals */
    Persons *started; /* [bucket]: 0 is the time before */
    Persons *back;    /* the same; of one select, `started` */
    Persons *column;  /* of one cohort: who is in its columns */
} RetentionBits;

RetentionBits *retention_bits_new(const RetentionRun *run, const ScanView *view)
{
    const Retention *r = run->r;
    RetentionBits *b = calloc(1, sizeof *b);
    CHECK(b != NULL);
    const uint32_t buckets = r->interval_count + 1;
    b->bounds = malloc((buckets + 1) * sizeof *b->bounds);
    b->started = malloc(buckets * sizeof *b->started);
    b->back = malloc(buckets * sizeof *b->back);
    b->column = malloc(QUERY_INTERVALS_MAX * sizeof *b->column);
    CHECK(b->bounds != NULL && b->started != NULL && b->back != NULL && b->column != NULL);
    b->bounds[0] = INT64_MIN;
    memcpy(b->bounds + 1, r->bounds, buckets * sizeof *b->bounds);
    b->buckets = (Buckets){.bounds = b->bounds, .count = buckets};
    b->scan = whole_scan_new(view, &(WholeAsk){.selects = run->selects,
                                               .select_count = run->select_count,
                                               .bounds = b->bounds,
                                               .count = buckets});
    return b;
}

void retention_bits_free(RetentionBits *b)
{
    if (b == NULL)
        return;
    whole_scan_free(b->scan);
    buckets_free(&b->buckets);
    free(b->bounds);
    free(b->started);
    free(b->back);
    free(b->column);
    free(b);
}

uint64_t retention_bits_damaged(const RetentionBits *b)
{
    return whole_scan_damaged(b->scan);
}

/* ---- rows ----------------------------------------------------------------------------------------- */

static void take_rows(const ScanLoose *l, void *arg)
{
    RetentionBits *b = arg;
    Persons *const to = l->select == 0 ? b->started : b->back;
    const uint16_t only = buckets_of_week(&b->buckets, l);
    if (only != BUCKETS_NONE) {
        whole_add_rows(l, to[only].bits);
        return;
    }
    const uint16_t *bucket = buckets_of(&b->buckets, l);
    for (uint32_t i = 0; i < l->count; i++) {
        if ((l->mask != NULL && l->mask[i] == 0) || bucket[i] == BUCKETS_NONE)
            continue;
        const uint32_t person = l->keys[i] >> PART_SECOND_BITS;
        to[bucket[i]].bits[person / 64] |= UINT64_C(1) << (person & 63);
    }
}

static void unite(Persons *to, const uint64_t *from)
{
    for (int w = 0; w < WORDS; w++)
        to->bits[w] |= from[w];
}

static void take_whole(const WholePart *whole, void *arg)
{
    RetentionBits *b = arg;
    unite((whole->select == 0 ? b->started : b->back) + buckets_at(&b->buckets, whole->at_ms),
          whole->persons);
}

/* ---- columns --------------------------------------------------------------------------------------- */

static void intersect(Persons *to, const Persons *from)
{
    for (int w = 0; w < WORDS; w++)
        to->bits[w] &= from->bits[w];
}

/* back[0] is interval 0 of the cohort, of `count` there are.  Interval 0 counts only by person. */
static void find_columns(const Retention *r, const Persons *back, uint32_t count, Persons *column)
{
    Persons so_far = {{0}};
    for (uint32_t k = count; r->comes == RETENTION_ON_OR_AFTER && k-- > 1;) {
        unite(&so_far, back[k].bits);
        column[k] = so_far;
    }
    for (uint32_t k = 1; r->comes == RETENTION_ON_OR_BEFORE && k < count; k++) {
        unite(&so_far, back[k].bits);
        column[k] = so_far;
    }
    for (uint32_t k = 1; r->comes == RETENTION_STREAK && k < count; k++) {
        column[k] = back[k];
        if (k > 1)
            intersect(&column[k], &column[k - 1]);
    }
    for (uint32_t c = 0; r->comes == RETENTION_BRACKETS && c < r->bracket_count; c++) {
        column[c] = (Persons){{0}};
        for (uint32_t k = r->brackets[c].first; k <= r->brackets[c].last && k < count; k++)
            unite(&column[c], back[k].bits);
    }
}

static void add_cohort(const RetentionWorker *w, uint32_t cohort, const Persons *who)
{
    const Retention *r = w->run->r;
    RetentionBits *b = w->bits;
    const uint32_t left = r->interval_count - cohort;
    const Persons *back = (w->run->select_count == 1 ? b->started : b->back) + 1 + cohort;
    const bool brackets = r->comes == RETENTION_BRACKETS;
    const uint64_t count = kernels()->count_both(who->bits, who->bits, WORDS);
    uint64_t *cells = w->cells + (size_t)cohort * w->run->columns;
    w->persons[cohort] += count;
    if (count == 0)
        return;
    find_columns(r, back, left, b->column);
    const Persons *column = r->comes == RETENTION_ON ? back : b->column;
    for (uint32_t c = !brackets; c < (brackets ? r->bracket_count : left); c++)
        cells[c] += kernels()->count_both(who->bits, column[c].bits, WORDS);
}

void retention_bits_piece(RetentionWorker *w, uint32_t piece)
{
    const Retention *r = w->run->r;
    RetentionBits *b = w->bits;
    const uint32_t buckets = r->interval_count + 1;
    memset(b->started, 0, buckets * sizeof *b->started);
    memset(b->back, 0, buckets * sizeof *b->back);
    whole_scan(b->scan, piece, take_whole, take_rows, b);
    Persons earlier = b->started[0];
    for (uint32_t i = 0; i < r->cohort_count; i++) {
        Persons who = b->started[i + 1];
        for (int word = 0; r->cohort != RETENTION_RECURRING && word < WORDS; word++)
            who.bits[word] &= ~earlier.bits[word];
        unite(&earlier, b->started[i + 1].bits);
        add_cohort(w, i, &who);
    }
}
