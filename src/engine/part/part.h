/*
 * engine/part/part.h -- a part: events of one week in columns, immutable, in memory or in a file.
 *
 * A week's persons stand in blocks of PART_BLOCK_PERSONS.  Within a block the events are ordered by
 * (person, time, arrival).  They are stored twice over:
 *   sequence   one small code per event, in that order: which list it belongs to;
 *   lists      per event name: keys (person in block, second in week) and one dense column per property,
 *              in the same order.  A list of one week is one stretch of the file.
 * Walking the sequence with a cursor per list gives the order back without a comparison; what needs one
 * event name only never reads the others.  With more than PART_LISTS_MAX lists (attributes of persons are one) the
 * rarest names share the last one, PART_REST, whose column PROP_EVENT says which.
 * The format is docs/formats/event-parts.md; part_build.c writes it, part.c reads it.
 *
 * Owns: a Part its bytes (heap or mapped) until the last part_unref().
 * Promises: no byte is used before its checksum was looked at, once per 64 KiB; damage is named and
 * makes part_touch() false, the rest stays readable.  When the disk takes a page of a map away later, nothing of the part
 * is readable any more (decision 0018).  A file with right checksums whose tables, keys or sequence make no
 * sense (somebody forged it, or it was made by a broken program) is damaged, too: what is read of it stays within its
 * bounds, and what it makes others take of memory is in proportion to its bytes, items apart.
 * Threads: any.
 */
#pragma once

#include "base/file.h"
#include "engine/core/kernels.h"

#include <stdatomic.h>

enum {
    PART_BLOCK_BITS = 11,
    PART_BLOCK_PERSONS = 1 << PART_BLOCK_BITS,
    PART_SECOND_BITS = 20, /* a week has 604,800 seconds */
    PART_SECOND_MASK = (1 << PART_SECOND_BITS) - 1,
    PART_LISTS_MAX = 255,
    PART_EVENTS_MAX = 65535,   /* numbers of event names */
    PART_COLUMNS_MAX = 131072, /* of all lists together, and of their items */
    PART_SCALE_MAX = 18,
    PART_PIECE_BYTES = 65536,
    PART_VERSION = 2,
    PART_STRIDE_ROWS = 256, /* from one start to the next */
    PART_SLACK_BYTES = 128, /* zeros at the end: kernels read ahead */
};
#define PART_WEEK_MS   INT64_C(604800000)
#define PART_MISSING   INT64_MIN           /* in place of a value */
#define PART_ROWS_MAX  (UINT32_C(1) << 24) /* more persons go to a part of their own */
#define PART_ITEMS_MAX (UINT32_C(1) << 30) /* of one list property */
#define PART_REST      UINT32_MAX
/* As an event name: attributes of the person from then on.  Never among the rest. */
#define PART_PERSON    0
#define PART_NO_BLOCK  UINT32_MAX
#define PART_BYTES_MAX (UINT64_C(1) << 32)

/* Properties that every event has; what people send starts at PROP_FIRST. */
enum {
    PROP_NONE,
    PROP_MS,       /* milliseconds behind the key's second */
    PROP_EVENT,    /* of PART_REST: which event name */
    PROP_SOURCE,   /* dictionary code */
    PROP_STORE,    /* dictionary code, 0 = none */
    PROP_RECEIVED, /* received minus time, milliseconds */
    PROP_ACTOR,    /* as whom it was recorded, where that is not the person it stands under */
    PROP_FIRST = 16,
};

typedef enum PartKind {
    PART_CODES = 1, /* dictionary codes, 0 = missing */
    PART_NUMBERS,   /* int64: numbers at the column's scale, money, booleans, times */
} PartKind;

typedef struct PartColumn {
    uint32_t prop;
    uint8_t kind;     /* PartKind */
    uint8_t width;    /* bits of a stored value; 0 = all rows have the same */
    uint8_t scale;    /* PART_NUMBERS: decimal places */
    uint8_t nullable; /* PART_NUMBERS: stored 0 = missing, others are one higher */
    int64_t base;     /* PART_NUMBERS: the smallest; what a stored 0 (1 when nullable) means */
    int64_t max;      /* the largest value or code; below base = no row has one */
    uint64_t at;      /* in the file */
    uint64_t bytes;
} PartColumn;
_Static_assert(sizeof(PartColumn) == 40, "on-disk layout");

typedef struct PartList {
    uint32_t event; /* PART_REST = several */
    uint32_t rows;
    uint32_t first_dir, dir_count; /* a last entry behind them says where the list ends */
    uint32_t first_column, column_count;
    uint64_t keys_at, keys_bytes;
} PartList;
_Static_assert(sizeof(PartList) == 40, "on-disk layout");

/* What the events of one list have in one of their list properties. */
typedef struct PartItems {
    uint32_t of; /* number of that list */
    /* the property; in the list, a column of numbers: how many items each event has */
    uint32_t prop;
    /* event: as that list; its keys are starts (u32): how many items stand before every PART_STRIDE_ROWS-th event of
     * the list, and last, how many there are; no directory */
    PartList list;
} PartItems;
_Static_assert(sizeof(PartItems) == 48, "on-disk layout");

/* Where the events of one block stand in a list. */
typedef struct PartDir {
    uint32_t block;
    uint32_t first_row;
    uint32_t keys_at; /* behind the list's keys_at */
} PartDir;
_Static_assert(sizeof(PartDir) == 12, "on-disk layout");

/* Where a block stands in the sequence. */
typedef struct PartBlock {
    uint32_t block;
    uint32_t first_row;
} PartBlock;
_Static_assert(sizeof(PartBlock) == 8, "on-disk layout");

typedef struct PartHead {
    char magic[8]; /* "TDEVPRT1" */
    uint32_t version;
    uint32_t head_crc;         /* of the bytes behind this field up to the end of the head */
    int64_t week_ms;           /* when its week begins, UTC */
    uint64_t from_seq, to_seq; /* what arrived in [from, to) of the log */
    uint64_t file_bytes;
    uint32_t rows, list_count, column_count, dir_count, block_count;
    uint32_t sequence_width;
    uint64_t sequence_at, sequence_bytes;
    uint64_t tables_at; /* lists, columns, directory, blocks, items, each at a multiple of 8 */
    uint64_t tables_bytes;
    uint64_t pieces_at; /* checksums of the 64 KiB pieces of [PART_DATA_AT, tables_at) */
    uint32_t piece_count;
    uint32_t tables_crc;    /* of the tables and the checksums of the pieces */
    int64_t min_ms, max_ms; /* within the week, also without rows */
    uint32_t generation;    /* moves of persons that it has behind it (engine/part/moved.h) */
    uint32_t items_count;
    /* Who has events in each block (engine/part/part_active.h); 0 = only the keys say it. */
    uint64_t active_at;
    /* How many events each list has in each hour (engine/part/part_hours.h); 0 = only the keys say it. */
    uint64_t hours_at;
    uint8_t zero[256 - 160];
} PartHead;
_Static_assert(sizeof(PartHead) == 256, "on-disk layout");
enum { PART_DATA_AT = 256 };

typedef struct Part {
    atomic_int refs;
    const PartHead *head;
    const PartList *lists;
    const PartColumn *columns;
    const PartDir *dir;
    const PartBlock *blocks; /* block_count, and one behind them that says where the last ends */
    const PartItems *items;  /* by list, then property */
    const uint32_t *piece_crc;
    const uint8_t *data; /* the whole file; of a map head and tables are read from `kept` */
    Str bytes;
    bool is_mapped;
    void *kept; /* a copy of head and tables of a map: they must not change; else NULL */
    const atomic_bool *lost; /* file_map_lost() of the bytes */
    uint64_t number;         /* of its file; 0 = in memory */
    uint32_t generation;     /* of a file as its head says; in memory set by who made it */
    /* Events of persons who were moved since it was opened; of them those that the files knew when the last flush
     * began, and that ended; the keeper's.  How many were dead before, once they were counted. */
    _Atomic uint32_t died;
    uint32_t died_flushing, died_durable;
    _Atomic int64_t dead_before;
    atomic_bool dead_known;
    _Atomic uint64_t *good; /* one bit per piece whose checksum was found right */
    _Atomic uint64_t *told; /* the same: engine/scan/ahead.c has told the kernel of it */
    /* per entry of the directory, then per block: its keys, its sequence make sense */
    _Atomic uint64_t *sound;
    struct PartActive *_Atomic active; /* part_active.h; NULL until it is asked for */
    atomic_bool damaged;       /* a piece, or the ids beside it: the engine makes both again */
    atomic_bool ids_are_sound; /* of the ids beside it, the engine's: looked at, and right */
} Part;

/*
 * Takes over `bytes` (heap from malloc, or a map) on success.
 * Errors: INTERNAL "events.part_damaged" when head or tables are.
 */
MUST_USE Err part_open(Ctx *ctx, Str bytes, bool is_mapped, uint64_t number, Part **out);
Part *part_ref(Part *part);
void part_unref(Part *part); /* NULL is nothing to do */

/* Below, at or above 0: by week, then by arrival, as views and lists of files are ordered. */
int part_order(const Part *a, const Part *b);

/* Whether [at, at + bytes) can be believed.  The first look at a piece costs its checksum. */
MUST_USE bool part_touch(Part *part, uint64_t at, uint64_t bytes);

/* The same of what was read since, before anything follows from it: part_was_whole() whoever reads data himself asks.
 * False: the disk has taken a page of it away (file_map_lost()). */
void part_set_lost(Part *part);
MUST_USE static inline bool part_was_whole(Part *part)
{
    const bool whole = file_is_whole(part->lost);
    if (!whole)
        part_set_lost(part);
    return whole;
}

/* Whether the checksum of that piece of PART_PIECE_BYTES, from PART_DATA_AT on, was looked at, and right. */
static inline bool part_piece_is_known(const Part *part, uint64_t piece)
{
    const uint64_t bits = atomic_load_explicit(&part->good[piece / 64], memory_order_relaxed);
    return (bits >> (piece & 63) & 1) != 0;
}

/* Whether the kernel was told that it will be read. */
static inline bool part_piece_is_told(const Part *part, uint64_t piece)
{
    const uint64_t bits = atomic_load_explicit(&part->told[piece / 64], memory_order_relaxed);
    return (bits >> (piece & 63) & 1) != 0;
}

/* NULL: no row of the list has it.  Columns of a list ascend by property. */
const PartColumn *part_find_column(const Part *part, const PartList *list, uint32_t prop);

/* What events of the list have in a list property.  NULL: none of them has an item. */
const PartItems *part_find_items(const Part *part, const PartList *list, uint32_t prop);

/* The start before event `row` of the list that the items are of; *at is the event it counts up to.  False:
 * damaged. */
MUST_USE bool part_items_start(Part *part, const PartItems *items, uint32_t row, uint32_t *at,
                               uint32_t *start);

/* The events of `block` in one list.  *cursor remembers the place (0 starts; blocks ascend). */
typedef struct PartRows {
    uint32_t first, count; /* rows of the list */
    const uint8_t *keys;   /* NULL when there are none */
    uint32_t bytes;        /* of the keys */
    uint32_t at;           /* in the directory */
} PartRows;
PartRows part_list_rows(const Part *part, const PartList *list, uint32_t block, uint32_t *cursor);

/* The rows of the list's next block, when that is `last` at most: *block.  `cursor` begins with 0.  No rows: there is
 * none. */
PartRows part_next_rows(const Part *part, const PartList *list, uint32_t last, uint32_t *cursor,
                        uint32_t *block);

/* The keys of these rows; room for KERNEL_SLACK more.  False: damaged. */
MUST_USE bool part_read_keys(Part *part, const PartRows *rows, uint32_t *out);

/* The same, some at a time: for rows that are too many to be read at once. */
typedef struct PartKeys {
    Part *part;
    KeyPlace at;
    const uint8_t *end;
    uint32_t left;
    uint32_t bit, before; /* of their place in the directory; the key before the next */
} PartKeys;
PartKeys part_keys(Part *part, const PartRows *rows);

/* The next `n` of those that are left, a multiple of four or all; room for KERNEL_SLACK more.  False: damaged. */
MUST_USE bool part_next_keys(PartKeys *k, uint32_t n, uint32_t *out);

/* The first of ascending keys at or above `key`; n = none is. */
uint32_t part_first_key(const uint32_t *keys, uint32_t n, uint32_t key);

/* A cursor for part_list_rows() of the block that has this place among the part's blocks. */
uint32_t part_list_cursor(const Part *part, const PartList *list, uint32_t place);

/* The events of `block` in the sequence: [*first, *first + result).  When there are any, *cursor is the block's place
 * among the blocks. */
uint32_t part_sequence_rows(const Part *part, uint32_t block, uint32_t *cursor, uint32_t *first);

/* Whether a block has as many events of each list in its sequence as the directory says, by its place among the
 * blocks.  It is looked at once.  False: damaged. */
MUST_USE bool part_check_sequence(Part *part, uint32_t place);

/* The codes of events [first, first + n) of the sequence; room for KERNEL_SLACK more.  False: damaged. */
MUST_USE bool part_read_sequence(Part *part, uint32_t first, uint32_t n, uint8_t *out);

/* Calls `report` (which may be NULL) for every piece whose checksum is wrong, with its offset; how many there are. */
typedef void (*PartReportFn)(int64_t offset, const char *what, void *arg);
int64_t part_verify(Part *part, PartReportFn report, void *arg);
