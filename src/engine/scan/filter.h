/*
 * engine/scan/filter.h -- a condition on events as the columns see it, and its evaluation over many rows.
 *
 * Two-valued: each leaf says itself what a missing value means.  Made by whoever compiles a query (texts
 * have become dictionary codes, numbers have a scale); nothing here knows names.
 * Owns: nothing.  Threads: a Filter is constant; scratch belongs to one thread.
 */
#pragma once

#include "engine/part/part.h"

enum { FILTER_DEPTH_MAX = 32 };

typedef enum FilterKind {
    FILTER_ALL,   /* every row */
    FILTER_NONE,  /* no row */
    FILTER_AND,   /* args */
    FILTER_OR,    /* args */
    FILTER_NOT,   /* args[0] */
    FILTER_CODES, /* the code of `prop` is in `codes`; of PROP_EVENT, the number of the event name */
    FILTER_RANGE,   /* the number of `prop` is in [min, max] */
    FILTER_TIME,    /* it happened in [min, max], UTC milliseconds */
    FILTER_PERSONS, /* the person is in `persons` */
    FILTER_CHANGES, /* what `changes` say of the person as of the event is not 0 */
    FILTER_PRODUCT, /* the number of `prop` times that of `times` is in [low, high]; missing is not */
    /* On the items that a row has in the list property `prop`; args[0], if any, is a filter of items. */
    FILTER_ITEMS,     /* so many as fulfil it are in [min, max]; without such a list: 0 */
    FILTER_ITEMS_ALL, /* all fulfil it, and there is one */
    FILTER_ITEMS_SUM, /* the sum of `number` (times `times`) over them is in [low, high]; of none: 0 */
} FilterKind;

/* A number at any scale, or a sum of such. */
__extension__ typedef __int128 FilterWide;
#define FILTER_ENDLESS   ((FilterWide)1 << 126)
#define FILTER_NO_NUMBER (-FILTER_ENDLESS * 2) /* in place of a value */

typedef struct Filter Filter;
struct Filter {
    FilterKind kind;
    const Filter *const *args;
    uint32_t arg_count;
    uint32_t prop;
    const uint8_t *codes; /* codes[i] = 1: first_code + i is in; code 0 is a missing value */
    uint32_t first_code, code_count; /* other codes are not in */
    int64_t min, max;                /* inclusive, at `scale` decimal places */
    uint8_t scale;
    bool missing;            /* FILTER_RANGE: what a missing value gives */
    const uint64_t *persons; /* one bit per person */
    uint32_t person_count;   /* persons from here on are not in */
    const struct Changes *changes;
    uint32_t number; /* FILTER_ITEMS_SUM: the property that is added up */
    uint32_t times;  /* the other factor; PROP_NONE = there is none */
    FilterWide low,
        high; /* inclusive, at `scale`: not less than that of the numbers, or of the product */
};

/* Rows of one list that lie together. */
typedef struct FilterRows {
    Part *part;
    const PartList *list;
    uint32_t first, count;
    uint32_t block;
    const uint32_t *keys; /* of these rows; needed as filter_needs() says */
} FilterRows;

/* Room for `rows` rows in every buffer; grows, never shrinks.  Owns its memory. */
typedef struct FilterScratch {
    uint32_t rows;
    uint64_t *wide;
    uint32_t *narrow;
    int64_t *times; /* of a time leaf; of a leaf on items, how many each row has */
    uint8_t *mask;
    uint64_t *sets;             /* FILTER_DEPTH_MAX of them, and two */
    struct ItemsScratch *items; /* NULL until it is needed */
    uint8_t *codes;             /* of a block's sequence; room for code_cap */
    uint32_t code_cap;
} FilterScratch;

void filter_scratch_reserve(FilterScratch *s, uint32_t rows);
void filter_scratch_free(FilterScratch *s);

/* The set of rows that fulfil the filter, as in kernels.h; no bits behind the rows.  False when the part is damaged
 * there. */
MUST_USE bool filter_set(const Filter *f, const FilterRows *rows, FilterScratch *s, uint64_t *out);

/* What it says of all rows of a list, as far as the columns' ends tell without a look at rows.  NULL: of all. */
typedef enum FilterVerdict {
    FILTER_OF_NONE,
    FILTER_OF_SOME, /* or of none, or of all */
    FILTER_OF_ALL,
} FilterVerdict;
FilterVerdict filter_verdict(const Filter *f, const Part *part, const PartList *list);

/* What is looked at besides columns: keys, and the block, which is then that of all rows. */
typedef struct FilterNeeds {
    bool keys, block;
} FilterNeeds;
FilterNeeds filter_needs(const Filter *f); /* NULL: nothing */

/* mask[i] = 1 when row i fulfils the filter, else 0.  False when the part is damaged there. */
MUST_USE bool filter_rows(const Filter *f, const FilterRows *rows, FilterScratch *s, uint8_t *mask);

/* Codes of a column of codes; 0 = there is none. */
MUST_USE bool filter_codes(const FilterRows *rows, const PartColumn *column, uint32_t *out);

/* What a column of at most 32 bits has stored; room for KERNEL_SLACK more. */
MUST_USE bool filter_stored(const FilterRows *rows, const PartColumn *column, uint32_t *out);

/* Values of a column as numbers: out[i], or `missing` where there is none. */
MUST_USE bool filter_values(const FilterRows *rows, const PartColumn *column, int64_t missing,
                            FilterScratch *s, int64_t *out);

/* What FILTER_PRODUCT and FILTER_ITEMS_SUM look at in each row, at the filter's scale: FILTER_NO_NUMBER = missing, also
 * a product that is no number (64 bits without the zeros behind its point).  `values`: room for the rows and
 * KERNEL_SLACK more.  False: damaged. */
MUST_USE bool filter_numbers(const Filter *f, const FilterRows *rows, FilterScratch *s,
                             int64_t *values, FilterWide *out);

/* Two numbers of `scale` decimal places together, multiplied, at that scale; FILTER_NO_NUMBER: that is no number. */
FilterWide filter_product(int64_t a, int64_t b, int scale);

void items_scratch_free(struct ItemsScratch *s); /* engine/scan/items.c; NULL is nothing to do */
