/*
 * engine/scan/items_test.c -- items of events: they go into parts and through merges, and conditions on them hold for the
 * events that they hold for.
 */
#include "engine/scan/items.h"

#include "engine/ask/trend.h"
#include "engine/engine_forge.h"
#include "engine/engine_testkit.h"
#include "engine/merge.h"

#include <stdlib.h>

/* Every event has its number; two numbers; texts (codes in a column of their own name); records of three fields. */
enum {
    SEQ = PROP_FIRST,
    LEFT,
    RIGHT,
    TEXTS,
    RECORDS,
    SKU,
    PRICE,
    QTY,
    NO_LIST,
    TEXTS_MAX = 12,
    RECORDS_MAX = 5
};
enum { ROWS = 3000, SLICES = 5, PRICE_SCALE = 2 };

__extension__ typedef __int128 Wide;

typedef struct Record {
    int64_t sku, price, qty; /* SCAN_MISSING = none */
} Record;

typedef struct Line {
    int64_t time_ms, left, right;
    uint32_t person, event;
    int texts, records; /* how many; -1 = no such list */
    uint32_t text[TEXTS_MAX];
    Record record[RECORDS_MAX];
} Line;

typedef struct Shop {
    Ctx ctx;
    Prng random;
    Line *lines;
    ScanView view;
    bool got[ROWS];
    FilterScratch scratch;
} Shop;

static uint32_t below(Shop *s, uint32_t n)
{
    return (uint32_t)prng_below(&s->random, n);
}

/* ---- the same rows twice -------------------------------------------------------------------------- */

static int64_t maybe(Shop *s, int64_t value)
{
    return below(s, 5) == 0 ? SCAN_MISSING : value;
}

static int64_t wide_number(Shop *s)
{
    const int64_t value = (int64_t)(prng_u64(&s->random) >> (2 + below(s, 62)));
    return below(s, 3) == 0 ? -value : value;
}

static Line random_line(Shop *s, uint32_t events)
{
    Line l = {.time_ms = KIT_ORIGIN_MS + (int64_t)below(s, 2 * 604800) * 1000 + below(s, 3),
              .person = below(s, 4) == 0 ? 0 : PART_BLOCK_PERSONS + below(s, 5000),
              .event = 1 + below(s, 1 + below(s, events)),
              .left = maybe(s, below(s, 100)),
              .right = maybe(s, wide_number(s))};
    l.texts = (int)below(s, TEXTS_MAX + 2) - 1;
    l.records = l.event % 3 == 0 ? -1 : (int)below(s, RECORDS_MAX + 2) - 1;
    for (int i = 0; i < l.texts; i++)
        l.text[i] = 1 + below(s, 9);
    for (int i = 0; i < l.records; i++)
        l.record[i] = (Record){.sku = maybe(s, 1 + below(s, 20)),
                               .price = l.event % 2 == 0 ? maybe(s, below(s, 3000)) : SCAN_MISSING,
                               .qty = maybe(s, wide_number(s))};
    return l;
}

static void add_value(RowBuffer *b, uint32_t prop, PartKind kind, int scale, int64_t value)
{
    if (value != SCAN_MISSING)
        rows_item_value(b, prop, kind, scale, value);
}

static void add_line(RowBuffer *b, const Line *l, uint32_t seq)
{
    rows_add(b, l->time_ms, l->person, l->event);
    rows_value(b, SEQ, PART_NUMBERS, 0, seq);
    if (l->left != SCAN_MISSING)
        rows_value(b, LEFT, PART_NUMBERS, 0, l->left);
    if (l->records >= 0)
        rows_list(b, RECORDS, (uint32_t)l->records);
    for (int i = 0; i < l->records; i++) {
        const Record *r = &l->record[i];
        const bool whole = r->price % 100 == 0; /* the same number, shorter */
        rows_item(b);
        add_value(b, QTY, PART_NUMBERS, 0, r->qty);
        add_value(b, SKU, PART_CODES, 0, r->sku);
        add_value(b, PRICE, PART_NUMBERS, whole ? 0 : PRICE_SCALE,
                  r->price == SCAN_MISSING || !whole ? r->price : r->price / 100);
    }
    if (l->texts >= 0)
        rows_list(b, TEXTS, (uint32_t)l->texts);
    for (int i = 0; i < l->texts; i++) {
        rows_item(b);
        rows_item_value(b, TEXTS, PART_CODES, 0, l->text[i]);
    }
    if (l->right != SCAN_MISSING)
        rows_value(b, RIGHT, PART_NUMBERS, 0, l->right);
}

static int by_week(const void *a, const void *b)
{
    return part_order(*(Part *const *)a, *(Part *const *)b);
}

static void shop_open(Shop *s, uint64_t seed, uint32_t events)
{
    *s = (Shop){.ctx.arena = arena_new(1 << 20), .random = prng_of(seed)};
    s->lines = ARENA_ARRAY(s->ctx.arena, Line, ROWS);
    s->view.parts = ARENA_ARRAY(s->ctx.arena, Part *, 3 * SLICES);
    s->view.person_count = PART_BLOCK_PERSONS + 5000;
    RowBuffer b = {0};
    for (uint32_t i = 0; i < ROWS; i++) {
        s->lines[i] = random_line(s, events);
        add_line(&b, &s->lines[i], i);
        if ((i + 1) % (ROWS / SLICES) != 0)
            continue;
        Part **made = NULL;
        uint32_t n = 0;
        CHECK(rows_build(&s->ctx, &b, KIT_ORIGIN_MS, i, i + 1, &made, &n) == ERR_OK);
        memcpy(s->view.parts + s->view.part_count, made, n * sizeof(Part *));
        s->view.part_count += n;
        rows_clear(&b);
    }
    rows_free(&b);
    qsort(s->view.parts, s->view.part_count, sizeof(Part *), by_week);
}

static void shop_close(Shop *s)
{
    for (uint32_t i = 0; i < s->view.part_count; i++)
        part_unref(s->view.parts[i]);
    filter_scratch_free(&s->scratch);
    arena_free(s->ctx.arena);
}

/* Neighbours of one week, `fan` at a time, become one. */
static void merge_some(Shop *s, uint32_t fan)
{
    Part **parts = s->view.parts;
    uint32_t kept = 0;
    for (uint32_t at = 0, n = 0; at < s->view.part_count; at += n) {
        Buf bytes = BUF_MAX(PART_BYTES_MAX);
        for (n = 1; n < fan && at + n < s->view.part_count &&
                    parts[at + n]->head->week_ms == parts[at]->head->week_ms;)
            n++;
        Part *merged = NULL;
        CHECK(parts_merge(&s->ctx, &(PartsMerge){parts + at, n, NULL, MERGE_BYTES_MAX, NULL, false},
                          part_sink_buf, &bytes) == ERR_OK);
        CHECK(part_open(&s->ctx, buf_str(&bytes), false, 0, &merged) == ERR_OK);
        for (uint32_t i = 0; i < n; i++)
            part_unref(parts[at + i]);
        parts[kept++] = merged;
    }
    s->view.part_count = kept;
}

/* ---- conditions, and whether they hold ----------------------------------------------------------- */

static Filter *new_filter(Shop *s, FilterKind kind, uint32_t prop)
{
    Filter *f = ARENA_NEW(s->ctx.arena, Filter);
    *f = (Filter){.kind = kind, .prop = prop};
    return f;
}

static void set_args(Shop *s, Filter *f, const Filter *a, const Filter *b)
{
    const Filter **args = ARENA_ARRAY(s->ctx.arena, const Filter *, 2);
    args[0] = a;
    args[1] = b;
    f->args = args;
    f->arg_count = b == NULL ? 1 : 2;
}

static void set_codes(Shop *s, Filter *f)
{
    uint8_t *codes = ARENA_ARRAY(s->ctx.arena, uint8_t, 12);
    for (int i = 0; i < 12; i++)
        codes[i] = below(s, 3) == 0;
    f->codes = codes;
    f->first_code = below(s, 3);
    f->code_count = 1 + below(s, 12);
}

/* A range at the scale of products, from one value to another. */
static void set_wide(Shop *s, Filter *f, int scale)
{
    Wide a = below(s, 4) == 0 ? wide_number(s) : below(s, 5000);
    Wide b = below(s, 4) == 0 ? wide_number(s) : below(s, 5000);
    f->scale = (uint8_t)scale;
    for (int i = 0; i < scale; i++) {
        a *= 10;
        b *= 10;
    }
    f->low = below(s, 6) == 0 ? -FILTER_ENDLESS : a < b ? a : b;
    f->high = below(s, 6) == 0 ? FILTER_ENDLESS : a < b ? b : a;
}

static const Filter *item_filter(Shop *s, uint32_t list, int depth)
{
    Filter *f = NULL;
    switch (below(s, depth == 0 ? 4 : 7)) {
    case 0:
    case 1:
        f = new_filter(s, FILTER_CODES, list == TEXTS ? TEXTS : SKU);
        set_codes(s, f);
        return f;
    case 2:
        f = new_filter(s, FILTER_RANGE, PRICE);
        f->min = below(s, 3000);
        f->max = f->min + below(s, 1000);
        f->scale = PRICE_SCALE;
        f->missing = below(s, 2) == 0;
        return f;
    case 3:
        f = new_filter(s, FILTER_PRODUCT, PRICE);
        f->times = QTY;
        set_wide(s, f, PRICE_SCALE + 1);
        return f;
    case 4:
        f = new_filter(s, FILTER_NOT, 0);
        set_args(s, f, item_filter(s, list, depth - 1), NULL);
        return f;
    default:
        f = new_filter(s, below(s, 2) == 0 ? FILTER_AND : FILTER_OR, 0);
        set_args(s, f, item_filter(s, list, depth - 1), item_filter(s, list, depth - 1));
        return f;
    }
}

static const Filter *event_filter(Shop *s)
{
    static const uint32_t LISTS[] = {TEXTS, RECORDS, RECORDS, NO_LIST};
    const uint32_t list = LISTS[below(s, 4)], what = below(s, 7);
    if (what == 0) {
        Filter *f = new_filter(s, FILTER_PRODUCT, LEFT);
        f->times = RIGHT;
        set_wide(s, f, 0);
        return f;
    }
    if (what <= 2) {
        Filter *f = new_filter(s, FILTER_ITEMS_SUM, RECORDS);
        f->number = below(s, 2) == 0 ? PRICE : QTY;
        f->times = below(s, 2) == 0 ? PROP_NONE : f->number == PRICE ? QTY : LEFT;
        set_wide(s, f, PRICE_SCALE + (int)below(s, 3));
        return f;
    }
    Filter *f = new_filter(s, what == 3 ? FILTER_ITEMS_ALL : FILTER_ITEMS, list);
    if (what == 3 || below(s, 3) > 0)
        set_args(s, f, item_filter(s, list, 3), NULL);
    f->min = below(s, 3);
    f->max = below(s, 3) == 0 ? INT64_MAX : f->min + below(s, 3);
    return f;
}

static Wide scaled(Wide v, int from, int to)
{
    for (; from < to; from++)
        v *= 10;
    return v;
}

/* At the scale of f; false: it is missing, or is no number. */
static bool product(const Filter *f, int64_t a, int64_t b, int scale, Wide *out)
{
    if (a == SCAN_MISSING || b == SCAN_MISSING)
        return false;
    Wide shortest = (Wide)a * b;
    *out = scaled(shortest, scale, f->scale);
    for (int s = scale; s > 0 && shortest % 10 == 0; s--)
        shortest /= 10;
    return shortest <= INT64_MAX && shortest >= INT64_MIN;
}

static bool has_code(const Filter *f, int64_t value)
{
    const int64_t at = (value == SCAN_MISSING ? 0 : value) - f->first_code;
    return at >= 0 && at < f->code_count && f->codes[at] != 0;
}

static bool item_fulfils(const Filter *f, int64_t text, const Record *r)
{
    Wide value = 0;
    switch ((int)f->kind) {
    case FILTER_CODES:
        return has_code(f, f->prop == TEXTS ? text : r->sku);
    case FILTER_RANGE:
        return r->price == SCAN_MISSING ? f->missing : r->price >= f->min && r->price <= f->max;
    case FILTER_PRODUCT:
        return product(f, r->price, r->qty, PRICE_SCALE, &value) && value >= f->low &&
               value <= f->high;
    case FILTER_NOT:
        return !item_fulfils(f->args[0], text, r);
    case FILTER_AND:
        return item_fulfils(f->args[0], text, r) && item_fulfils(f->args[1], text, r);
    default:
        return item_fulfils(f->args[0], text, r) || item_fulfils(f->args[1], text, r);
    }
}

static bool sum_fulfils(const Filter *f, const Line *l)
{
    Wide sum = 0;
    for (int i = 0; i < l->records; i++) {
        const Record *r = &l->record[i];
        const bool is_price = f->number == PRICE;
        Wide value = 0;
        if (f->times == PROP_NONE && (is_price ? r->price : r->qty) != SCAN_MISSING)
            sum += scaled(is_price ? r->price : r->qty, is_price ? PRICE_SCALE : 0, f->scale);
        else if (f->times == QTY && product(f, r->price, r->qty, PRICE_SCALE, &value))
            sum += value;
    }
    return sum >= f->low && sum <= f->high;
}

static bool event_fulfils(const Filter *f, const Line *l)
{
    static const Record NO_RECORD = {SCAN_MISSING, SCAN_MISSING, SCAN_MISSING};
    const int size = f->prop == TEXTS ? l->texts : f->prop == RECORDS ? l->records : -1;
    Wide value = 0;
    int holds = 0;
    if (f->kind == FILTER_PRODUCT)
        return product(f, l->left, l->right, 0, &value) && value >= f->low && value <= f->high;
    if (f->kind == FILTER_ITEMS_SUM)
        return sum_fulfils(f, l);
    for (int i = 0; i < size; i++)
        holds += f->arg_count == 0 ||
                 (f->prop == TEXTS ? item_fulfils(f->args[0], l->text[i], &NO_RECORD)
                                   : item_fulfils(f->args[0], SCAN_MISSING, &l->record[i]));
    return f->kind == FILTER_ITEMS_ALL ? size > 0 && holds == size
                                       : holds >= f->min && holds <= f->max;
}

/* ---- asking ---------------------------------------------------------------------------------------- */

static void take(const ScanLoose *rows, void *arg)
{
    Shop *s = arg;
    int64_t *seq = calloc((size_t)rows->count + 256, sizeof *seq);
    CHECK(seq != NULL && scan_values(rows->at, (ScanProp){SEQ, 0}, &s->scratch, seq));
    for (uint32_t i = 0; i < rows->count; i++)
        if (rows->mask == NULL || rows->mask[i] != 0) {
            CHECK(!s->got[seq[i]]);
            s->got[seq[i]] = true;
        }
    free(seq);
}

/* How many events it holds for; every one is compared. */
static uint32_t compare(Shop *s, const Filter *f)
{
    uint32_t hits = 0;
    const ScanSelect select = {.from_ms = 0, .to_ms = INT64_MAX, .filter = f};
    Scanner *scanner = scanner_new(&s->view, &(ScanAsk){.selects = &select, .select_count = 1});
    memset(s->got, 0, sizeof s->got);
    for (uint32_t piece = 0; piece < scan_pieces(&s->view); piece++)
        scanner_loose(scanner, piece, take, s);
    EXPECT_I64((int64_t)scanner_damaged(scanner), 0);
    scanner_free(scanner);
    for (uint32_t i = 0; i < ROWS; i++) {
        const bool want = event_fulfils(f, &s->lines[i]);
        if (s->got[i] != want)
            fprintf(stderr, "kind %d of %u: event %u\n", (int)f->kind, f->prop, i);
        EXPECT_I64(s->got[i], want);
        hits += want;
    }
    return hits;
}

static void compare_many(Shop *s, int filters)
{
    int some = 0;
    for (int i = 0; i < filters; i++) {
        const uint32_t hits = compare(s, event_filter(s));
        some += hits > 0 && hits < ROWS;
    }
    CHECK(some > filters / 3); /* else little was shown */
}

static void items_of_random_events(void)
{
    static const uint32_t EVENTS[] = {7, 400}; /* the rest shares a list */
    for (size_t i = 0; i < ARRAY_LEN(EVENTS); i++) {
        Shop s;
        shop_open(&s, 100 + i, EVENTS[i]);
        compare_many(&s, 60);
        for (uint32_t fan = 2; s.view.part_count > 2; fan++) {
            merge_some(&s, fan);
            compare_many(&s, 40);
        }
        merge_some(&s, 1); /* of one part alone nothing is lost either */
        compare_many(&s, 20);
        shop_close(&s);
    }
}

TEST(conditions_on_items_select_the_events_they_hold_for_in_slices_and_after_merges)
{
    kit_each_kernel(items_of_random_events);
}

/* ---- parts ------------------------------------------------------------------------------------------ */

static Str copy_of(Str bytes)
{
    char *copy = malloc(bytes.len);
    CHECK(copy != NULL);
    memcpy(copy, bytes.ptr, bytes.len);
    return (Str){copy, bytes.len};
}

/* A random byte of what items are made of: their starts, table, numbers of items, columns. */
static uint64_t place_in_items(Shop *s, const Part *p)
{
    const uint32_t i = below(s, p->head->items_count);
    const PartItems *items = &p->items[i];
    const PartColumn *counts = part_find_column(p, &p->lists[items->of], items->prop);
    const PartColumn *column =
        &p->columns[items->list.first_column + below(s, items->list.column_count)];
    const struct {
        uint64_t at, bytes;
    } places[] = {{items->list.keys_at, items->list.keys_bytes},
                  {(uint64_t)((const uint8_t *)items - p->data), sizeof *items},
                  {counts->at, counts->bytes},
                  {(uint64_t)((const uint8_t *)counts - p->data), sizeof *counts},
                  {column->at, column->bytes}};
    const uint32_t which = below(s, ARRAY_LEN(places));
    return places[which].bytes == 0 ? places[0].at
                                    : places[which].at + below(s, (uint32_t)places[which].bytes);
}

static void look_at_forged(Shop *s, Part *p)
{
    Part *parts[] = {p};
    Shop forged = *s;
    forged.scratch = (FilterScratch){0};
    forged.view.parts = parts;
    forged.view.part_count = 1;
    for (int i = 0; i < 4; i++) {
        const ScanSelect select = {
            .from_ms = 0, .to_ms = INT64_MAX, .filter = event_filter(&forged)};
        Scanner *scanner =
            scanner_new(&forged.view, &(ScanAsk){.selects = &select, .select_count = 1});
        ScanBatch batch;
        uint32_t batches = 0;
        for (uint32_t piece = 0; piece < scan_pieces(&forged.view); piece++)
            batches += scanner_batch(scanner, piece, &batch);
        CHECK(batches <= scan_pieces(&forged.view));
        scanner_free(scanner);
    }
    s->random = forged.random;
    filter_scratch_free(&forged.scratch);
    Buf bytes = BUF_MAX(PART_BYTES_MAX);
    const Err err =
        parts_merge(&s->ctx, &(PartsMerge){parts, 1, NULL, MERGE_BYTES_MAX, NULL, false},
                    part_sink_buf, &bytes);
    CHECK(err == ERR_OK || err == ERR_INTERNAL);
    buf_free(&bytes);
}

TEST(items_that_make_no_sense_under_sound_checksums_are_refused_or_read_without_harm)
{
    enum { FORGERIES = 3000 };
    int opened = 0;
    Shop s;
    shop_open(&s, 12, 6);
    const Part *sound = s.view.parts[0];
    for (int i = 0; i < FORGERIES; i++) {
        const Str bytes = copy_of(sound->bytes);
        for (uint32_t flips = 1 + below(&s, 3); flips > 0; flips--)
            ((char *)(uintptr_t)bytes.ptr)[place_in_items(&s, sound)] ^= (char)(1 + below(&s, 255));
        forge_seal_part((char *)(uintptr_t)bytes.ptr, bytes.len);
        Part *p = NULL;
        if (part_open(&s.ctx, bytes, false, 1, &p) != ERR_OK) {
            free((void *)(uintptr_t)bytes.ptr);
            continue;
        }
        opened++;
        forge_distrust(p);
        look_at_forged(&s, p);
        part_unref(p);
    }
    CHECK(opened > FORGERIES / 3 && opened < FORGERIES);
    shop_close(&s);
}

TEST(a_flipped_bit_anywhere_in_a_part_with_items_is_found)
{
    Shop s;
    shop_open(&s, 13, 3);
    const Part *p = s.view.parts[0];
    const size_t end = p->bytes.len - PART_SLACK_BYTES;
    for (size_t at = below(&s, 8); at < end; at += 1 + below(&s, 16)) {
        Part *wrong = NULL;
        const Str bytes = copy_of(p->bytes);
        ((char *)(uintptr_t)bytes.ptr)[at] ^= (char)(1 << below(&s, 8));
        if (part_open(&s.ctx, bytes, false, 1, &wrong) != ERR_OK) {
            free((void *)(uintptr_t)bytes.ptr);
            continue;
        }
        CHECK(part_verify(wrong, NULL, NULL) > 0);
        part_unref(wrong);
    }
    shop_close(&s);
}

/* Events with as many items as one may have, around the strides between starts. */
TEST(items_are_found_wherever_a_stretch_of_events_begins)
{
    enum { EVENTS = 3 * PART_STRIDE_ROWS + 7 };
    Ctx ctx = {.arena = arena_new(1 << 16)};
    RowBuffer b = {0};
    Part **made = NULL;
    uint32_t n = 0, before[EVENTS + 1] = {0};
    for (uint32_t i = 0; i < EVENTS; i++) {
        const uint32_t count = i % 50 == 3 ? 2000 : i % 3;
        rows_add(&b, KIT_ORIGIN_MS + i * 1000, 5, 1);
        if (i % 7 != 0)
            rows_list(&b, TEXTS, count);
        for (uint32_t k = 0; i % 7 != 0 && k < count; k++) {
            rows_item(&b);
            rows_item_value(&b, TEXTS, PART_CODES, 0, 1 + i);
        }
        before[i + 1] = before[i] + (i % 7 != 0 ? count : 0);
    }
    CHECK(rows_build(&ctx, &b, KIT_ORIGIN_MS, 1, 2, &made, &n) == ERR_OK);
    rows_free(&b);
    int64_t counts[EVENTS + PART_SLACK_BYTES];
    FilterScratch scratch = {0};
    filter_scratch_reserve(&scratch, EVENTS);
    for (uint32_t first = 0; first < EVENTS; first++) {
        const FilterRows rows = {
            .part = made[0], .list = made[0]->lists, .first = first, .count = (EVENTS - first) / 2};
        ItemsOf of;
        CHECK(items_of_rows(&rows, TEXTS, &scratch, counts, &of));
        EXPECT_I64(of.first, before[first]);
        EXPECT_I64(of.total, before[first + rows.count] - before[first]);
    }
    filter_scratch_free(&scratch);
    part_unref(made[0]);
    arena_free(ctx.arena);
}

/* ---- many items ------------------------------------------------------------------------------------- */

enum { CROWD = 900, CROWD_PARTS = 3 };

static uint32_t crowd_items(uint32_t event)
{
    return event % 200 + 100;
}

static int64_t crowd_value(uint32_t event, uint32_t item)
{
    return event * 1000 + item;
}

/* Nobody's events, every third one. */
static Part *crowd_part(Ctx *ctx, uint32_t number)
{
    RowBuffer b = {0};
    Part **made = NULL;
    uint32_t n = 0;
    for (uint32_t i = number; i < CROWD; i += CROWD_PARTS) {
        rows_add(&b, KIT_ORIGIN_MS + i * 1000, 0, 1);
        rows_value(&b, SEQ, PART_NUMBERS, 0, i);
        rows_value(&b, LEFT, PART_NUMBERS, 0, i % 7);
        rows_list(&b, RECORDS, crowd_items(i));
        for (uint32_t k = 0; k < crowd_items(i); k++) {
            rows_item(&b);
            rows_item_value(&b, QTY, PART_NUMBERS, 0, crowd_value(i, k));
        }
    }
    CHECK(rows_build(ctx, &b, KIT_ORIGIN_MS, number, number + 1, &made, &n) == ERR_OK && n == 1);
    rows_free(&b);
    return made[0];
}

static Part *merged_crowd(Ctx *ctx)
{
    Part *parts[CROWD_PARTS], *merged = NULL;
    Buf bytes = BUF_MAX(PART_BYTES_MAX);
    for (uint32_t i = 0; i < CROWD_PARTS; i++)
        parts[i] = crowd_part(ctx, i);
    const PartsMerge merge = {parts, CROWD_PARTS, NULL, MERGE_BYTES_MAX, NULL, false};
    CHECK(parts_merge(ctx, &merge, part_sink_buf, &bytes) == ERR_OK);
    CHECK(part_open(ctx, buf_str(&bytes), false, 0, &merged) == ERR_OK);
    for (uint32_t i = 0; i < CROWD_PARTS; i++)
        part_unref(parts[i]);
    return merged;
}

TEST(a_merge_of_more_items_than_go_together_keeps_each_with_its_event)
{
    Ctx ctx = {.arena = arena_new(1 << 16)};
    Part *part = merged_crowd(&ctx);
    int64_t counts[CROWD + PART_SLACK_BYTES], values[ITEMS_PIECE + PART_SLACK_BYTES];
    FilterScratch scratch = {0};
    const FilterRows rows = {.part = part, .list = part->lists, .count = CROWD};
    ItemsOf of;
    filter_scratch_reserve(&scratch, ITEMS_PIECE);
    CHECK(items_of_rows(&rows, RECORDS, &scratch, counts, &of));
    for (uint32_t i = 0, first = 0; i < CROWD; first += crowd_items(i++)) {
        const FilterRows items = items_rows(&rows, of.items, first, crowd_items(i));
        EXPECT_I64(counts[i], crowd_items(i));
        CHECK(filter_values(&items, part_find_column(part, items.list, QTY), SCAN_MISSING, &scratch,
                            values));
        for (uint32_t k = 0; k < items.count; k++)
            EXPECT_I64(values[k], crowd_value(i, k));
    }
    filter_scratch_free(&scratch);
    part_unref(part);
    arena_free(ctx.arena);
}

/* ---- trends ------------------------------------------------------------------------------------------ */

enum { DAYS = 14, SKUS = 21 };
#define DAY_MS INT64_C(86400000)

static Crew *crew;

/* What the items of the events that match both conditions come to, by day and sku (0 = none). */
typedef struct Expected {
    uint64_t items[DAYS][SKUS];
    Wide sums[DAYS][SKUS];
    bool persons[DAYS][SKUS][5000];
    uint64_t all[SKUS];
} Expected;

static void expect_lines(Shop *s, const Filter *of, const ScanItems *which, bool of_persons,
                         Expected *out)
{
    memset(out, 0, sizeof *out);
    for (uint32_t i = 0; i < ROWS; i++) {
        const Line *l = &s->lines[i];
        const int64_t day = (l->time_ms - KIT_ORIGIN_MS) / DAY_MS;
        for (int k = 0; event_fulfils(of, l) && k < l->records; k++) {
            const Record *r = &l->record[k];
            const int64_t sku = r->sku == SCAN_MISSING ? 0 : r->sku;
            if ((which->filter != NULL && !item_fulfils(which->filter, SCAN_MISSING, r)) ||
                (of_persons && l->person == 0))
                continue;
            out->items[day][sku]++;
            out->all[sku]++;
            out->sums[day][sku] += r->price == SCAN_MISSING ? 0 : r->price;
            if (l->person != 0)
                out->persons[day][sku][l->person - PART_BLOCK_PERSONS] = true;
        }
    }
}

static int64_t count_true(const bool *at, uint32_t n)
{
    int64_t count = 0;
    for (uint32_t i = 0; i < n; i++)
        count += at[i];
    return count;
}

static void expect_series(const TrendSeries *t, TrendMeasure measure, const Expected *want)
{
    const int64_t sku = t->key.values[0] == SCAN_MISSING ? 0 : t->key.values[0];
    CHECK(!t->key.is_other && sku < SKUS);
    EXPECT_I64((int64_t)t->events, (int64_t)want->all[sku]);
    for (uint32_t day = 0; day < DAYS; day++)
        EXPECT_I64((int64_t)t->cells[day], measure == TREND_EVENTS ? (int64_t)want->items[day][sku]
                                           : measure == TREND_SUM
                                               ? (int64_t)want->sums[day][sku]
                                               : count_true(want->persons[day][sku], 5000));
}

static void ask_trends(Shop *s, Expected *want, int rounds)
{
    static const TrendMeasure MEASURES[] = {TREND_EVENTS, TREND_SUM, TREND_PERSONS};
    int64_t bounds[DAYS + 1];
    for (int i = 0; i <= DAYS; i++)
        bounds[i] = KIT_ORIGIN_MS + i * DAY_MS;
    for (int i = 0; i < rounds; i++) {
        const Filter *of = event_filter(s);
        const ScanItems items = {RECORDS, i % 3 == 0 ? NULL : item_filter(s, RECORDS, 2)};
        const ScanProp by[] = {{SKU, 0, true}};
        const Query q = {.view = &s->view, .crew = crew};
        const Trend t = {.select = {.filter = of},
                         .items = &items,
                         .measure = MEASURES[i % 3],
                         .number = {PRICE, PRICE_SCALE, true},
                         .bounds = bounds,
                         .bucket_count = DAYS,
                         .breakdown = by,
                         .breakdown_count = 1,
                         .top = SKUS};
        TrendResult got;
        uint32_t series = 0;
        expect_lines(s, of, &items, t.measure == TREND_PERSONS, want);
        CHECK(query_trend(&s->ctx, &q, &t, &got) == ERR_OK);
        for (uint32_t k = 0; k < got.count; k++) {
            series += got.series[k].events > 0;
            expect_series(&got.series[k], t.measure, want);
        }
        for (uint32_t sku = 0; sku < SKUS; sku++)
            series -= want->all[sku] > 0;
        EXPECT_I64(series, 0);
    }
}

/* By what the events have, each of their items is a row with it. */
static void ask_by_event(Shop *s)
{
    const int64_t bounds[] = {KIT_ORIGIN_MS, KIT_ORIGIN_MS + DAYS * DAY_MS};
    const ScanItems items = {TEXTS, NULL};
    const ScanProp by[] = {{LEFT, 0, false}};
    const Query q = {.view = &s->view, .crew = crew};
    const Trend t = {.items = &items,
                     .measure = TREND_EVENTS,
                     .bounds = bounds,
                     .bucket_count = 1,
                     .breakdown = by,
                     .breakdown_count = 1,
                     .top = 200};
    TrendResult got;
    uint64_t left = 0;
    CHECK(query_trend(&s->ctx, &q, &t, &got) == ERR_OK);
    for (uint32_t k = 0; k < got.count; k++) {
        uint64_t want = 0;
        for (uint32_t i = 0; i < ROWS; i++)
            want += s->lines[i].left == got.series[k].key.values[0] && s->lines[i].texts > 0
                        ? (uint64_t)s->lines[i].texts
                        : 0;
        EXPECT_I64((int64_t)got.series[k].cells[0], (int64_t)want);
        left += want;
    }
    for (uint32_t i = 0; i < ROWS; i++)
        left -= s->lines[i].texts > 0 ? (uint64_t)s->lines[i].texts : 0;
    EXPECT_I64((int64_t)left, 0);
}

static void trends_of_random_items(void)
{
    Expected *want = malloc(sizeof *want);
    CHECK(want != NULL);
    Shop s;
    shop_open(&s, 31, 300);
    ask_trends(&s, want, 9);
    ask_by_event(&s);
    merge_some(&s, SLICES);
    ask_trends(&s, want, 9);
    ask_by_event(&s);
    shop_close(&s);
    free(want);
}

TEST(a_trend_of_items_takes_each_item_that_counts_as_a_row)
{
    kit_each_kernel_and_crew(trends_of_random_items, &crew);
}

TEST(a_trend_of_more_items_than_a_strip_has_keeps_each_with_its_event)
{
    const int64_t bounds[] = {KIT_ORIGIN_MS, KIT_ORIGIN_MS + 300000, KIT_ORIGIN_MS + 900000};
    const ScanItems items = {RECORDS, NULL};
    const ScanProp by[] = {{LEFT, 0, false}};
    const Trend t = {.items = &items,
                     .measure = TREND_SUM,
                     .number = {QTY, 0, true},
                     .bounds = bounds,
                     .bucket_count = 2,
                     .breakdown = by,
                     .breakdown_count = 1,
                     .top = 7};
    Ctx ctx = {.arena = arena_new(1 << 16)};
    Part *parts[] = {merged_crowd(&ctx)};
    const ScanView view = {.parts = parts, .part_count = 1, .person_count = PART_BLOCK_PERSONS};
    Wide want[7][2] = {0};
    TrendResult got;
    for (uint32_t i = 0; i < CROWD; i++)
        for (uint32_t k = 0; k < crowd_items(i); k++)
            want[i % 7][i >= 300] += crowd_value(i, k);
    crew = crew_new(2);
    CHECK(query_trend(&ctx, &(Query){.view = &view, .crew = crew}, &t, &got) == ERR_OK);
    EXPECT_I64(got.count, 7);
    for (uint32_t i = 0; i < got.count; i++)
        for (uint32_t b = 0; b < 2; b++)
            EXPECT_I64((int64_t)got.series[i].cells[b],
                       (int64_t)want[got.series[i].key.values[0]][b]);
    crew_free(crew);
    part_unref(parts[0]);
    arena_free(ctx.arena);
}
