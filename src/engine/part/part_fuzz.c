/*
 * engine/part/part_fuzz.c -- any bytes under right checksums as a part: it is refused, or everything that reads parts reads
 * it without harm, and what a merge makes of it is a part that can be read.
 *
 * Inputs grow from files that an engine wrote: the mutator changes numbers of the head and the tables, where most of
 * the meaning is, and bytes of the data.  No single allocation may be larger than ALLOCATION_MAX.
 */
#include "engine/core/kernels.h"
#include "engine/engine_forge.h"
#include "engine/merge.h"
#include "engine/part/moved.h"
#include "engine/part/part_active.h"
#include "engine/part/part_hours.h"
#include "engine/scan/items.h"
#include "engine/scan/walk.h"

#include "base/log.h"
#include "base/rand.h"

#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);
void __sanitizer_malloc_hook(const volatile void *at, size_t size);

enum {
    INPUT_MAX = 1 << 16,
    ALLOCATION_MAX = 64 << 20,
    STRETCH = 2048,
    ROWS_LOOKED_AT = 1 << 18, /* of one list: items may be many, of few bytes */
    ITEMS_MERGED_MAX = 1 << 18,
    SEEDS_MAX = 32,
    SEED_EVENTS = 500,
    SEED_EVENTS_OF_NAMES = 2000,
    PIECES = 4,
};

void __sanitizer_malloc_hook(const volatile void *at, size_t size)
{
    (void)at;
    if (size > ALLOCATION_MAX)
        abort();
}

/* ---- files that an engine wrote --------------------------------------------------------------------- */

static struct {
    Str bytes[SEEDS_MAX];
    uint32_t count;
} seeds;

static void keep_parts(Ctx *ctx, Str folder)
{
    Str *names = NULL;
    size_t n = 0;
    CHECK(file_list(ctx, folder, &names, &n) == ERR_OK);
    for (size_t i = 0; i < n; i++) {
        if (str_ends_with(names[i], STR(".part")) && seeds.count < SEEDS_MAX) {
            Str *seed = &seeds.bytes[seeds.count++];
            CHECK(file_load(ctx, folder, names[i], INPUT_MAX, seed) == ERR_OK);
        }
        CHECK(file_remove(ctx, folder, names[i]) == ERR_OK);
    }
}

static void make_seeds(void)
{
    static Ctx ctx;
    if (seeds.count > 0)
        return;
    ctx.arena = arena_new(1 << 20); /* for good */
    log_setup(LOG_OFF, false);
    for (ForgeShape shape = 0; shape < FORGE_SHAPES; shape++) {
        char path[] = "/dev/shm/part_fuzz.XXXXXX";
        CHECK(mkdtemp(path) != NULL);
        forge_folder(&ctx, str_of(path), shape,
                     shape == FORGE_NAMES ? SEED_EVENTS_OF_NAMES : SEED_EVENTS);
        keep_parts(&ctx, str_of(path));
        CHECK(rmdir(path) == 0);
    }
}

/* ---- mutations ------------------------------------------------------------------------------------ */

static uint64_t interesting(Prng *r, uint64_t old)
{
    switch (prng_below(r, 6)) {
    case 0:
        return old + prng_below(r, 5) - 2;
    case 1:
        return prng_below(r, 300);
    case 2:
        return UINT64_MAX - prng_below(r, 3);
    case 3:
        return old ^ UINT64_C(1) << prng_below(r, 64);
    case 4:
        return UINT64_C(1) << prng_below(r, 64);
    default:
        return prng_u64(r);
    }
}

/* One number of 1, 4 or 8 bytes at its natural place in [from, to). */
static void change_number(Prng *r, uint8_t *data, size_t from, size_t to)
{
    static const size_t WIDTHS[] = {1, 4, 4, 8};
    const size_t width = WIDTHS[prng_below(r, ARRAY_LEN(WIDTHS))];
    if (to - from < width)
        return;
    const size_t at = from + prng_below(r, (to - from) / width) * width;
    uint64_t value = 0;
    memcpy(&value, data + at, width);
    value = interesting(r, value);
    memcpy(data + at, &value, width);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    Prng r = prng_of(seed);
    PartHead h;
    make_seeds();
    if (size < sizeof h || memcmp(data, "TDEVPRT1", 8) != 0 || prng_below(&r, 64) == 0) {
        const Str file = seeds.bytes[prng_below(&r, seeds.count)];
        if (file.len > max)
            return size;
        memcpy(data, file.ptr, file.len);
        size = file.len;
    }
    memcpy(&h, data, sizeof h);
    const size_t tables = h.tables_at < size && h.tables_at >= sizeof h ? h.tables_at : sizeof h;
    for (uint64_t n = 1 + prng_below(&r, 4); n > 0; n--) {
        switch (prng_below(&r, 8)) {
        case 0:
            change_number(&r, data, 16, sizeof h);
            break;
        case 1:
        case 2:
        case 3:
            change_number(&r, data, tables, size);
            break;
        case 4:
            return LLVMFuzzerMutate(data, size, max);
        default:
            change_number(&r, data, sizeof h, tables);
        }
    }
    return size;
}

/* ---- what reads parts ------------------------------------------------------------------------------- */

typedef struct Reading {
    Ctx ctx;
    Part *part;
    ScanView view;
    FilterScratch scratch;
} Reading;

static void read_columns(Reading *r, const PartList *list)
{
    static int64_t values[STRETCH + KERNEL_SLACK];
    filter_scratch_reserve(&r->scratch, STRETCH);
    for (uint32_t first = 0; first < list->rows && first < ROWS_LOOKED_AT; first += STRETCH) {
        const uint32_t left = list->rows - first;
        const FilterRows rows = {.part = r->part,
                                 .list = list,
                                 .first = first,
                                 .count = left < STRETCH ? left : STRETCH};
        for (uint32_t c = 0; c < list->column_count; c++)
            CHECK(filter_values(&rows, &r->part->columns[list->first_column + c], PART_MISSING,
                                &r->scratch, values));
    }
}

static void count_rows(const ScanStretch *rows, void *arg)
{
    for (uint32_t i = 0; i < rows->count; i++)
        *(uint64_t *)arg += rows->keys[i] >> PART_SECOND_BITS < PART_BLOCK_PERSONS;
}

static void count_loose(const ScanLoose *rows, void *arg)
{
    for (uint32_t i = 0; i < rows->count; i++)
        *(uint64_t *)arg += rows->mask == NULL || rows->mask[i] != 0;
}

/* What comes adds up, person by person. */
static void check_batch(const ScanBatch *b)
{
    for (uint32_t i = 0; i < b->person_count; i++)
        CHECK(b->from[i] < b->from[i + 1]);
}

static void scan_with(Reading *r, const Filter *filter)
{
    ScanProp props[SCAN_COLUMNS_MAX];
    const PartHead *h = r->part->head;
    const uint32_t n = h->column_count < SCAN_COLUMNS_MAX ? h->column_count : SCAN_COLUMNS_MAX;
    for (uint32_t i = 0; i < n; i++)
        props[i] = (ScanProp){.prop = r->part->columns[i].prop, .scale = 6};
    const ScanSelect select = {.from_ms = INT64_MIN, .to_ms = INT64_MAX, .filter = filter};
    Scanner *s = scanner_new(&r->view, &(ScanAsk){&select, 1, props, n, true});
    Scanner *plain = scanner_new(&r->view, &(ScanAsk){&select, 1, NULL, 0, false});
    ScanBatch batch;
    uint64_t rows = 0;
    for (uint32_t piece = 0; piece < PIECES; piece++) {
        if (scanner_batch(s, piece, &batch))
            check_batch(&batch);
        scanner_stretches(plain, piece, count_rows, &rows);
        scanner_loose(s, piece, count_loose, &rows);
    }
    scanner_free(s);
    scanner_free(plain);
}

/* Filters of every kind on the first columns, and on the first items. */
static void scan_all(Reading *r)
{
    static const uint8_t codes[] = {1, 0, 1, 1};
    static const uint64_t persons[] = {0x5555, 1};
    const Part *p = r->part;
    const uint32_t n = p->head->column_count < 6 ? p->head->column_count : 6;
    scan_with(r, NULL);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t prop = p->columns[i].prop;
        const Filter in = {
            .kind = FILTER_CODES, .prop = prop, .codes = codes, .code_count = ARRAY_LEN(codes)};
        const Filter range = {.kind = FILTER_RANGE,
                              .prop = prop,
                              .min = -5,
                              .max = 1000,
                              .scale = 2,
                              .missing = true};
        const Filter time = {.kind = FILTER_TIME, .min = FORGE_ORIGIN_MS, .max = INT64_MAX};
        const Filter who = {.kind = FILTER_PERSONS, .persons = persons, .person_count = 128};
        const Filter times = {.kind = FILTER_PRODUCT,
                              .prop = prop,
                              .times = p->columns[n - 1 - i].prop,
                              .scale = 2 * SCHEMA_SCALE_MAX,
                              .low = -100,
                              .high = FILTER_ENDLESS};
        const Filter *const args[] = {&in, &range, &time, &who, &times};
        scan_with(r, &(Filter){.kind = FILTER_OR, .args = args, .arg_count = ARRAY_LEN(args)});
    }
    for (uint32_t i = 0; i < p->head->items_count && i < 3; i++) {
        const PartItems *items = &p->items[i];
        const Filter any = {.kind = FILTER_ITEMS, .prop = items->prop, .min = 1, .max = INT64_MAX};
        Filter sum = {.kind = FILTER_ITEMS_SUM, .prop = items->prop, .scale = SCHEMA_SCALE_MAX};
        sum.high = FILTER_ENDLESS;
        if (items->list.column_count > 0)
            sum.number = p->columns[items->list.first_column].prop;
        scan_with(r, &any);
        scan_with(r, &sum);
    }
}

static void walk_all(Reading *r)
{
    const ScanSelect all = {.from_ms = INT64_MIN, .to_ms = INT64_MAX};
    WalkNames names;
    WalkWeek week;
    WalkRows rows;
    if (walk_names(&r->view, &all, 1, &names) &&
        walk_weeks(&r->view, INT64_MIN, INT64_MAX, &names, &week) == 1) {
        Walker *w = walker_new(&week.ask);
        for (uint32_t piece = 0; piece < PIECES; piece++)
            for (uint32_t i = 0, n = walker_rows(w, piece, &rows) ? rows.count : 0; i < n; i++)
                CHECK(rows.codes[i] < names.count && walker_ms(w, i) >= 0);
        walker_free(w);
    }
    walk_names_free(&names);
    uint64_t active[PART_ACTIVE_WORDS];
    PartHours hours;
    for (uint32_t i = 0; i < r->part->head->block_count && i < PIECES; i++)
        (void)part_active(r->part, i, active);
    for (uint32_t i = 0; part_has_hours(r->part) && i < r->part->head->list_count; i++)
        (void)part_hours(r->part, i, &hours);
}

static void expect_same_dead(const Part *part, const DeadRows *a, const DeadRows *b)
{
    CHECK(a->count == b->count && a->events == b->events);
    for (uint32_t list = 0; list < a->list_count; list++) {
        const DeadList *x = &a->lists[list], *y = &b->lists[list];
        const size_t bytes = kernel_words(part->lists[list].rows) * sizeof *x->rows;
        CHECK((x->rows == NULL) == (y->rows == NULL) && (x->hours == NULL) == (y->hours == NULL));
        CHECK(x->rows == NULL || memcmp(x->rows, y->rows, bytes) == 0);
        CHECK(x->hours == NULL || memcmp(x->hours, y->hours, sizeof *x->hours) == 0);
    }
    for (uint32_t i = 0; i < part->head->block_count; i++) {
        const uint64_t *x = dead_rows_who(a, part->blocks[i].block);
        const uint64_t *y = dead_rows_who(b, part->blocks[i].block);
        CHECK((x == NULL) == (y == NULL) && (x == NULL || memcmp(x, y, sizeof(DeadPersons)) == 0));
    }
}

/* Of persons of the first blocks, and of one more: found behind the others, and at once. */
static void find_dead(Reading *r)
{
    Moved *moved = moved_new();
    for (uint32_t i = 0; i < 64; i++)
        moved = moved_next(moved, i * (PIECES * PART_BLOCK_PERSONS / 64) + 1);
    DeadRows *dead = dead_rows_find(r->part, moved, NULL);
    moved = moved_next(moved, 3);
    DeadRows *more = dead == NULL ? NULL : dead_rows_find(r->part, moved, dead);
    DeadRows *all = dead_rows_find(r->part, moved, NULL);
    CHECK((more == NULL) == (all == NULL));
    if (more != NULL)
        expect_same_dead(r->part, more, all);
    dead_rows_unref(dead);
    dead_rows_unref(more);
    dead_rows_unref(all);
    moved_unref(moved);
}

static void merge_with(Reading *r, Part *const *parts, uint32_t count)
{
    Buf bytes = BUF_MAX(PART_BYTES_MAX);
    Part *made = NULL;
    const PartsMerge merge = {.parts = parts, .count = count, .bytes_max = ALLOCATION_MAX};
    const Err err = parts_merge(&r->ctx, &merge, part_sink_buf, &bytes);
    if (err == ERR_OK) {
        CHECK(part_open(&r->ctx, buf_str(&bytes), false, 1, &made) == ERR_OK);
        CHECK(part_verify(made, NULL, NULL) == 0);
        part_unref(made); /* with its bytes */
        return;
    }
    CHECK(err == ERR_INTERNAL || err == ERR_TOO_LARGE);
    buf_free(&bytes);
}

/* Alone, and behind a sound part of its week. */
static void merge_all(Reading *r, Part *good)
{
    uint64_t items = 0;
    for (uint32_t i = 0; i < r->part->head->items_count; i++)
        items += r->part->items[i].list.rows;
    if (items > ITEMS_MERGED_MAX)
        return;
    merge_with(r, &r->part, 1);
    if (r->part->head->week_ms == good->head->week_ms)
        merge_with(r, (Part *const[]){good, r->part}, 2);
}

static Part *open_copy(Ctx *ctx, Str bytes)
{
    Part *part = NULL;
    char *copy = malloc(bytes.len + 1);
    CHECK(copy != NULL);
    memcpy(copy, bytes.ptr, bytes.len);
    forge_seal_part(copy, bytes.len);
    if (part_open(ctx, (Str){copy, bytes.len}, false, 1, &part) == ERR_OK) {
        forge_distrust(part);
        return part;
    }
    CHECK(str_eq(str_of(ctx->fault.reason), STR("events.part_damaged")));
    free(copy);
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Part *good;
    static Reading r;
    make_seeds();
    if (good == NULL) {
        r.ctx.arena = arena_new(1 << 16);
        good = open_copy(&r.ctx, seeds.bytes[0]);
        CHECK(good != NULL);
    }
    if (size < 1 || size > INPUT_MAX)
        return 0;
    r.part = open_copy(&r.ctx, (Str){(const char *)data, size});
    if (r.part != NULL) {
        r.view = (ScanView){
            .parts = &r.part, .part_count = 1, .person_count = PIECES * PART_BLOCK_PERSONS};
        CHECK(part_verify(r.part, NULL, NULL) == 0);
        for (uint32_t i = 0; i < r.part->head->list_count; i++)
            read_columns(&r, &r.part->lists[i]);
        for (uint32_t i = 0; i < r.part->head->items_count; i++)
            read_columns(&r, &r.part->items[i].list);
        scan_all(&r);
        walk_all(&r);
        find_dead(&r);
        merge_all(&r, good);
        part_unref(r.part);
    }
    arena_reset(r.ctx.arena);
    return 0;
}
