/*
 * engine/engine_testkit.c
 */
#include "engine/engine_testkit.h"

#include "engine/core/kernels.h"
#include "engine/merge.h"

#include <stdlib.h>

uint32_t kit_below(Kit *k, uint32_t n)
{
    return (uint32_t)prng_below(&k->random, n);
}

/* ---- rows ------------------------------------------------------------------------------------- */

static const struct {
    PartKind kind;
    int scale_max;
} PROPS[KIT_PROPS] = {{PART_CODES, 0}, {PART_CODES, 0}, {PART_NUMBERS, 2}, {PART_NUMBERS, 0}};

/* Values as the model keeps them: numbers of property 2 at scale 2. */
static int64_t random_value(Kit *k, uint32_t prop)
{
    switch (prop) {
    case 0:
        return 1 + kit_below(k, 7);
    case 1:
        return kit_below(k, 4) == 0 ? 1 + kit_below(k, 3000) : SCAN_MISSING;
    case 2:
        return kit_below(k, 3) != 0 ? (int64_t)kit_below(k, 100000) : SCAN_MISSING;
    default:
        return kit_below(k, 9) != 0 ? (int64_t)prng_u64(&k->random) >> (3 + kit_below(k, 60))
                                    : SCAN_MISSING;
    }
}

static KitRow random_row(Kit *k, const KitShape *shape, uint32_t i)
{
    KitRow r = {.person = PART_BLOCK_PERSONS + kit_below(k, shape->persons) * k->apart,
                .event = 1 + kit_below(k, 1 + kit_below(k, shape->events)),
                .seq = i};
    const uint32_t seconds = shape->weeks * 604800;
    r.time_ms = KIT_ORIGIN_MS + (int64_t)kit_below(k, seconds) * 1000;
    const bool whole = shape->whole_seconds || r.event <= shape->whole_names ||
                       r.time_ms < KIT_ORIGIN_MS + shape->whole_weeks * PART_WEEK_MS;
    r.time_ms += whole ? 0 : kit_below(k, 1000);
    if (i > 0 && kit_below(k, 100) < shape->ties) {
        r.time_ms = k->rows[i - 1].time_ms;
        r.person = k->rows[i - 1].person;
    }
    if (i > 0 && shape->near > 0 && kit_below(k, 100) < shape->near) {
        const int64_t apart = (int64_t)kit_below(k, 120001) - 60000;
        const int64_t at =
            k->rows[i - 1].time_ms + (shape->whole_seconds ? apart / 5000 * 1000 : apart);
        r.time_ms = at > KIT_ORIGIN_MS ? at : KIT_ORIGIN_MS;
        r.person = k->rows[i - 1].person;
    }
    if (shape->nobody > 0 && kit_below(k, 100) < shape->nobody)
        r.person = 0;
    if (shape->said > 0 && kit_below(k, 100) < shape->said)
        r.event = PART_PERSON;
    for (uint32_t p = 0; p < KIT_PROPS; p++)
        r.values[p] = random_value(k, p);
    return r;
}

static void add_row(Kit *k, RowBuffer *b, const KitRow *r)
{
    rows_add(b, r->time_ms, r->person, r->event);
    for (uint32_t p = 0; p < KIT_PROPS; p++) {
        int64_t value = r->values[p];
        if (value == SCAN_MISSING)
            continue;
        int scale = PROPS[p].scale_max;
        while (scale > 0 && value % 10 == 0 &&
               kit_below(k, 2) == 0) { /* the same number, shorter */
            value /= 10;
            scale--;
        }
        rows_value(b, KIT_PROP(p), PROPS[p].kind, scale, value);
    }
}

static int by_week(const void *a, const void *b)
{
    return part_order(*(Part *const *)a, *(Part *const *)b);
}

void kit_open(Kit *k, uint64_t seed, const KitShape *shape, uint32_t slices)
{
    *k = (Kit){.ctx.arena = arena_new(1 << 20), .random = prng_of(seed), .count = shape->rows};
    k->made = shape->rows;
    k->persons = shape->persons;
    k->slices = slices;
    k->rows = ARENA_ARRAY(k->ctx.arena, KitRow, shape->rows);
    k->view.parts = ARENA_ARRAY(k->ctx.arena, Part *, (size_t)slices * (shape->weeks + 1));
    k->apart = seed % 2 == 0 ? 1 : 1 + KIT_BLOCKS * PART_BLOCK_PERSONS / shape->persons;
    k->view.person_count = PART_BLOCK_PERSONS + shape->persons * k->apart;
    k->view.batch_rows = seed % 3 == 0 ? 0 : 1 + (uint32_t)(seed % 97);
    k->view.blocks_at_once = seed % 5 == 0 ? 0 : (uint32_t)(seed % 5);
    RowBuffer b = {0};
    for (uint32_t i = 0, slice = 0; i < shape->rows; i++) {
        k->rows[i] = random_row(k, shape, i);
        add_row(k, &b, &k->rows[i]);
        if (i + 1 < (uint64_t)shape->rows * (slice + 1) / slices)
            continue;
        Part **made = NULL;
        uint32_t n = 0;
        CHECK(rows_build(&k->ctx, &b, KIT_ORIGIN_MS, slice + 1, slice + 2, &made, &n) == ERR_OK);
        memcpy(k->view.parts + k->view.part_count, made, n * sizeof(Part *));
        k->view.part_count += n;
        rows_clear(&b);
        slice++;
    }
    rows_free(&b);
    qsort(k->view.parts, k->view.part_count, sizeof(Part *), by_week);
}

void kit_close(Kit *k)
{
    for (uint32_t i = 0; i < k->view.part_count; i++)
        part_unref(k->view.parts[i]);
    moved_unref(k->view.moved);
    arena_free(k->ctx.arena);
}

/* Merges parts[at, at + n) into one at `at`. */
static void merge_some(Kit *k, uint32_t at, uint32_t n)
{
    Part **parts = k->view.parts;
    Buf bytes = BUF_MAX(PART_BYTES_MAX);
    Part *merged = NULL;
    CHECK(parts_merge(&k->ctx, &(PartsMerge){parts + at, n, NULL, MERGE_BYTES_MAX, NULL, false},
                      part_sink_buf, &bytes) == ERR_OK);
    CHECK(part_open(&k->ctx, buf_str(&bytes), false, 0, &merged) == ERR_OK);
    for (uint32_t i = 0; i < n; i++)
        part_unref(parts[at + i]);
    parts[at] = merged;
    memmove(parts + at + 1, parts + at + n, (k->view.part_count - at - n) * sizeof *parts);
    k->view.part_count -= n - 1;
}

void kit_merge(Kit *k, uint32_t fan)
{
    CHECK(k->view.moved == NULL);
    k->is_merged = true;
    for (uint32_t at = 0; at < k->view.part_count;) {
        uint32_t n = 1;
        while (n < fan && at + n < k->view.part_count &&
               k->view.parts[at + n]->head->week_ms == k->view.parts[at]->head->week_ms)
            n++;
        if (n == 1)
            at++;
        else
            merge_some(k, at, n);
    }
}

void kit_know_dead(Kit *k)
{
    const uint32_t count = k->view.part_count;
    DeadRows **known = calloc((size_t)count + 1, sizeof(DeadRows *));
    CHECK(known != NULL);
    uint32_t n = 0;
    for (uint32_t number = 1; number <= count; number++) {
        Part *part = k->view.parts[count - number]; /* numbers ascend otherwise than weeks do */
        part->number = number;
        if (kit_below(k, 4) == 0)
            continue;
        known[n] = dead_rows_find(part, k->view.moved, NULL);
        CHECK(known[n++] != NULL);
    }
    k->view.moved = moved_know(k->view.moved, known, n);
}

/* What was moved when the part with the row was made. */
static uint32_t generation_of(const Kit *k, const KitRow *r, uint32_t each)
{
    uint32_t slice = 0;
    while (r->seq + 1 > (uint64_t)k->made * (slice + 1) / k->slices)
        slice++;
    return k->is_merged ? 0 : each * slice;
}

static bool is_dead(const Kit *k, const KitRow *r, uint32_t each)
{
    const uint32_t generation = generation_of(k, r, each);
    const uint32_t *at = moved_block(k->view.moved, r->person / PART_BLOCK_PERSONS, generation);
    return at != NULL && at[r->person % PART_BLOCK_PERSONS] > generation;
}

void kit_move_some(Kit *k)
{
    const uint32_t each = k->persons < 100 ? 1 : 12; /* between two slices */
    Moved *m = k->view.moved != NULL ? k->view.moved : moved_new();
    for (uint32_t i = 0; i < each * k->slices; i++) {
        const uint32_t person = k->rows[kit_below(k, k->count)].person;
        m = moved_next(m, person == 0 ? PART_BLOCK_PERSONS : person);
    }
    k->view.moved = m;
    for (uint32_t i = 0; i < k->view.part_count; i++)
        k->view.parts[i]->generation =
            k->is_merged ? 0 : each * (uint32_t)(k->view.parts[i]->head->from_seq - 1);
    uint32_t left = 0;
    for (uint32_t i = 0; i < k->count; i++)
        if (!is_dead(k, &k->rows[i], each))
            k->rows[left++] = k->rows[i];
    k->count = left;
    CHECK(k->count > 0);
    if (kit_below(k, 3) > 0)
        kit_know_dead(k);
}

static int by_person(const void *a, const void *b)
{
    const KitRow *x = *(KitRow *const *)a, *y = *(KitRow *const *)b;
    if (x->person != y->person)
        return x->person < y->person ? -1 : 1;
    if (x->time_ms != y->time_ms)
        return x->time_ms < y->time_ms ? -1 : 1;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

KitRow **kit_sorted(Kit *k)
{
    KitRow **sorted = ARENA_ARRAY(k->ctx.arena, KitRow *, k->count);
    for (uint32_t i = 0; i < k->count; i++)
        sorted[i] = &k->rows[i];
    qsort(sorted, k->count, sizeof *sorted, by_person);
    return sorted;
}

/* ---- filters ---------------------------------------------------------------------------------- */

static Filter codes_filter(Kit *k)
{
    const uint32_t prop = kit_below(k, 2), most = prop == 0 ? 8 : 3001;
    const uint32_t first = kit_below(k, 2) == 0 ? 0 : kit_below(k, most);
    const uint32_t count = kit_below(k, 4) == 0 ? 1 : 1 + kit_below(k, most);
    uint8_t *codes = ARENA_ARRAY(k->ctx.arena, uint8_t, count);
    for (uint32_t i = 0; i < count; i++)
        codes[i] = kit_below(k, 2) == 0;
    return (Filter){.kind = FILTER_CODES,
                    .prop = KIT_PROP(prop),
                    .codes = codes,
                    .first_code = first,
                    .code_count = count};
}

static Filter range_filter(Kit *k)
{
    const uint32_t prop = 2 + kit_below(k, 2);
    int64_t a = random_value(k, prop), b = random_value(k, prop);
    a = a == SCAN_MISSING ? 0 : a;
    b = b == SCAN_MISSING ? 100 : b;
    return (Filter){.kind = FILTER_RANGE,
                    .prop = KIT_PROP(prop),
                    .min = a < b ? a : b,
                    .max = a < b ? b : a,
                    .scale = (uint8_t)(prop == 2 ? kit_below(k, 4) : 0),
                    .missing = kit_below(k, 2) == 0};
}

static Filter time_filter(Kit *k)
{
    const KitRow *a = &k->rows[kit_below(k, k->count)], *b = &k->rows[kit_below(k, k->count)];
    return (Filter){.kind = FILTER_TIME,
                    .min = a->time_ms < b->time_ms ? a->time_ms : b->time_ms,
                    .max = a->time_ms < b->time_ms ? b->time_ms : a->time_ms};
}

static Filter names_filter(Kit *k)
{
    const uint32_t count = 1 + kit_below(k, 40);
    uint8_t *codes = ARENA_ARRAY(k->ctx.arena, uint8_t, count);
    for (uint32_t i = 0; i < count; i++)
        codes[i] = kit_below(k, 2) == 0;
    return (Filter){.kind = FILTER_CODES, .prop = PROP_EVENT, .codes = codes, .code_count = count};
}

static Filter persons_filter(Kit *k)
{
    const uint32_t count = k->view.person_count / (1 + kit_below(k, 2));
    uint64_t *persons = ARENA_ARRAY(k->ctx.arena, uint64_t, count / 64 + 1);
    for (uint32_t i = 0; i <= count / 64; i++)
        persons[i] = prng_u64(&k->random);
    return (Filter){.kind = FILTER_PERSONS, .persons = persons, .person_count = count};
}

const Filter *kit_filter(Kit *k, int depth)
{
    Filter *f = ARENA_NEW(k->ctx.arena, Filter);
    switch (kit_below(k, depth > 0 ? 9 : 6)) {
    case 0:
    case 1:
        *f = codes_filter(k);
        return f;
    case 2:
        *f = range_filter(k);
        return f;
    case 3:
        *f = persons_filter(k);
        return f;
    case 4:
        *f = time_filter(k);
        return f;
    case 5:
        *f = names_filter(k);
        return f;
    case 6:
        f->kind = FILTER_NOT;
        f->arg_count = 1;
        break;
    default:
        f->kind = kit_below(k, 2) == 0 ? FILTER_AND : FILTER_OR;
        f->arg_count = kit_below(k, 4);
    }
    const Filter **args = ARENA_ARRAY(k->ctx.arena, const Filter *, f->arg_count + 1);
    for (uint32_t i = 0; i < f->arg_count; i++)
        args[i] = kit_filter(k, depth - 1);
    f->args = args;
    return f;
}

static bool in_range(const Filter *f, const KitRow *row)
{
    const uint32_t prop = f->prop - PROP_FIRST;
    if (row->values[prop] == SCAN_MISSING)
        return f->missing;
    __extension__ __int128 value = row->values[prop], min = f->min, max = f->max;
    for (int s = PROPS[prop].scale_max; s < f->scale; s++)
        value *= 10;
    for (int s = f->scale; s < PROPS[prop].scale_max; s++) {
        min *= 10;
        max *= 10;
    }
    return value >= min && value <= max;
}

bool kit_fulfils(const Filter *f, const KitRow *row)
{
    bool holds = f->kind == FILTER_AND || f->kind == FILTER_ALL;
    switch (f->kind) {
    case FILTER_TIME:
        return row->time_ms >= f->min && row->time_ms <= f->max;
    case FILTER_CODES: {
        const bool is_name = f->prop == PROP_EVENT;
        const int64_t value = is_name ? row->event : row->values[f->prop - PROP_FIRST];
        const uint32_t code = value == SCAN_MISSING ? 0 : (uint32_t)value;
        return code >= f->first_code && code - f->first_code < f->code_count &&
               f->codes[code - f->first_code] != 0;
    }
    case FILTER_RANGE:
        return in_range(f, row);
    case FILTER_PERSONS:
        return row->person < f->person_count &&
               (f->persons[row->person / 64] >> (row->person & 63) & 1) != 0;
    case FILTER_NOT:
        return !kit_fulfils(f->args[0], row);
    case FILTER_AND:
        for (uint32_t i = 0; i < f->arg_count; i++)
            holds = holds && kit_fulfils(f->args[i], row);
        return holds;
    case FILTER_OR:
        for (uint32_t i = 0; i < f->arg_count; i++)
            holds = holds || kit_fulfils(f->args[i], row);
        return holds;
    case FILTER_ALL:
    case FILTER_NONE:
    case FILTER_CHANGES: /* changes_test.c */
    case FILTER_PRODUCT: /* items_test.c */
    case FILTER_ITEMS:
    case FILTER_ITEMS_ALL:
    case FILTER_ITEMS_SUM:
        break;
    }
    return holds;
}

bool kit_takes(const ScanSelect *s, const KitRow *row)
{
    bool named = s->events == NULL;
    for (uint32_t i = 0; i < s->event_count; i++)
        named = named || s->events[i] == row->event;
    return named && (s->filter == NULL || kit_fulfils(s->filter, row));
}

static int by_number(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

uint32_t kit_events(Kit *k, const KitShape *shape, uint32_t events[KIT_EVENTS])
{
    const uint32_t n = 1 + kit_below(k, KIT_EVENTS);
    for (uint32_t i = 0; i < n; i++)
        events[i] = 1 + kit_below(k, shape->events);
    qsort(events, n, sizeof *events, by_number);
    return n;
}

void kit_select(Kit *k, const KitShape *shape, int depth, uint32_t events[KIT_EVENTS],
                ScanSelect *out)
{
    *out = (ScanSelect){.filter = kit_below(k, 2) == 0 ? NULL : kit_filter(k, depth)};
    if (kit_below(k, 3) == 0)
        return;
    out->events = events;
    out->event_count = kit_events(k, shape, events);
}

static bool has_values(const KitSeries *s, const KitRow *row)
{
    for (uint32_t b = 0; b < s->width; b++)
        if (row->values[s->breakdown[b].prop - PROP_FIRST] != s->values[b])
            return false;
    return true;
}

static int by_size(const void *a, const void *b)
{
    const KitSeries *x = a, *y = b;
    if (x->events != y->events)
        return x->events < y->events ? 1 : -1;
    for (uint32_t i = 0; i < x->width; i++)
        if (x->values[i] != y->values[i])
            return x->values[i] < y->values[i] ? -1 : 1;
    return 0;
}

static uint32_t add_series(KitSeries *all, uint32_t n, const KitRow *row, const ScanProp *breakdown,
                           uint32_t width)
{
    uint32_t at = 0;
    while (at < n && !has_values(&all[at], row))
        at++;
    if (at == n)
        all[n] = (KitSeries){.width = width, .breakdown = breakdown};
    for (uint32_t b = 0; b < width; b++)
        all[at].values[b] = row->values[breakdown[b].prop - PROP_FIRST];
    all[at].events++;
    return n + (at == n);
}

uint32_t kit_series(Kit *k, const ScanSelect *select, const ScanProp *breakdown, uint32_t width,
                    uint32_t top, KitSeries **out, const uint32_t *distinct)
{
    KitSeries *all = ARENA_ARRAY(k->ctx.arena, KitSeries, (size_t)k->count + 2);
    uint32_t n = width == 0;
    for (uint32_t i = 0; i < k->count && width > 0; i++) {
        const KitRow *r = &k->rows[i];
        if (r->person > 0 && kit_takes(select, r) && r->time_ms >= select->from_ms &&
            r->time_ms < select->to_ms)
            n = add_series(all, n, r, breakdown, width);
    }
    EXPECT_I64(*distinct, n);
    qsort(all, n, sizeof *all, by_size);
    KitSeries *shown = ARENA_ARRAY(k->ctx.arena, KitSeries, (size_t)n + 1);
    const uint32_t count = width == 0 ? 1 : n < top ? n : top;
    memcpy(shown, all, count * sizeof *shown);
    shown[count] = (KitSeries){.all = all, .shown = count, .is_other = true};
    for (uint32_t i = count; i < n; i++)
        shown[count].events += all[i].events;
    *out = shown;
    return count + (count < n);
}

bool kit_in_series(const KitSeries *s, const KitRow *row)
{
    for (uint32_t i = 0; s->is_other && i < s->shown; i++)
        if (has_values(&s->all[i], row))
            return false;
    return s->is_other || has_values(s, row);
}

void kit_expect_series(const KitSeries *s, const QuerySeries *key, uint64_t events)
{
    CHECK(key->is_other == s->is_other && events == s->events);
    for (uint32_t b = 0; b < s->width; b++)
        EXPECT_I64(key->values[b], s->values[b]);
}

static KitShare share_of(Kit *k, KitRow **rows, uint32_t n, KitShareFn share, const void *arg)
{
    Kit alone = *k;
    alone.ctx.arena = arena_new(1 << 12);
    alone.rows = ARENA_ARRAY(alone.ctx.arena, KitRow, n);
    alone.count = n;
    for (uint32_t i = 0; i < n; i++)
        alone.rows[i] = *rows[i];
    const KitShare one = share(&alone, arg);
    arena_free(alone.ctx.arena);
    return one;
}

void kit_expect_people(Kit *k, const People *p, KitShareFn share, const void *arg)
{
    KitRow **sorted = kit_sorted(k);
    PeopleSum amount = 0, nobodys = 0;
    uint64_t count = 0;
    uint32_t at = people_next(p, 0);
    for (uint32_t from = 0, to = 0; from < k->count; from = to) {
        while (to < k->count && sorted[to]->person == sorted[from]->person)
            to++;
        const uint32_t person = sorted[from]->person;
        const KitShare one = share_of(k, sorted + from, to - from, share, arg);
        if (person == 0)
            nobodys = one.amount;
        if (person == 0 || !one.is_in)
            continue;
        EXPECT_I64(at, person);
        CHECK(p->amounts == NULL || p->amounts[person] == one.amount);
        amount += one.amount;
        count++;
        at = people_next(p, at + 1);
    }
    EXPECT_I64(at, p->person_count);
    EXPECT_I64((int64_t)p->count, (int64_t)count);
    CHECK(p->amounts == NULL || (p->amount == amount && p->nobodys == nobodys));
}

void kit_each_kernel(void (*body)(void))
{
    static const char *const names[] = {"plain", "avx2", "avx512"};
    const Kernels *const before = kernels();
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (kernels_force(str_of(names[i])))
            body();
    CHECK(kernels_force(str_of(before->name)));
}

void kit_each_kernel_and_crew(void (*body)(void), Crew **crew)
{
    for (uint32_t size = 1; size <= 3; size++) {
        *crew = crew_new(size);
        kit_each_kernel(body);
        crew_free(*crew);
    }
}
