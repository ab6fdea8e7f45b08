/*
 * modules/intake/intake_journey_test.c -- the demo's data through the demo's map: every published count,
 * exact to the cent.
 *
 * Needs the folder of the repository in TONGDIAN_SOURCE_ROOT, or as the working directory.
 */
#include "base/test.h"
#include "modules/intake/intake_rows.h"

#include <stdlib.h>

typedef struct Totals {
    int64_t rows, lines, rejects;
    int64_t sales, retail, coupon, match, quantity;
    int64_t zero_quantity, over_sale, noise, folded, read;
    int64_t first_at_ms, last_at_ms;
} Totals;

static Err count_reject(void *arg, Ctx *ctx, const IntakeReject *reject)
{
    (void)ctx, (void)reject;
    ++*(int64_t *)arg;
    return ERR_OK;
}

static const char *root(void)
{
    const char *r = getenv("TONGDIAN_SOURCE_ROOT");
    return r == NULL ? "." : r;
}

static void add_lines(Totals *t, const IntakeRow *row)
{
    for (size_t i = 0; i < row->lines; i++) {
        const IntakeValue *v = row->line + i * INTAKE_ORDER_LINE_FIELDS;
        t->sales += v[INTAKE_ORDER_LINE_SALES].number;
        t->retail += v[INTAKE_ORDER_LINE_RETAIL_DISCOUNT].number;
        t->coupon += v[INTAKE_ORDER_LINE_COUPON_DISCOUNT].number;
        t->match += v[INTAKE_ORDER_LINE_COUPON_MATCH].number;
        t->quantity += v[INTAKE_ORDER_LINE_QUANTITY].number;
    }
    const int64_t at = row->value[INTAKE_ORDER_PLACED_AT].number;
    t->first_at_ms = t->first_at_ms == 0 || at < t->first_at_ms ? at : t->first_at_ms;
    t->last_at_ms = at > t->last_at_ms ? at : t->last_at_ms;
}

static Ctx ctx;

enum { CARDS = 10000 }; /* household numbers are below */
static bool has_card[CARDS];

/* Marks the card of a row; which field holds it depends on the target. */
static void mark_card(IntakeTargetId target, const IntakeRow *row)
{
    static const int FIELD[INTAKE_TARGET_COUNT] = {
        [INTAKE_TARGET_PEOPLE] = INTAKE_PERSON_CARD,
        [INTAKE_TARGET_ORDERS] = INTAKE_ORDER_CARD,
        [INTAKE_TARGET_CAMPAIGN_TARGETS] = INTAKE_TARGETING_CARD,
        [INTAKE_TARGET_REDEMPTIONS] = INTAKE_REDEMPTION_CARD,
    };
    int64_t number = 0;
    const IntakeValue *v = &row->value[FIELD[target]];
    if (str_to_i64(v->text, &number) && number >= 0 && number < CARDS)
        has_card[number] = true;
}

static const IntakeMap *load(void)
{
    ctx = (Ctx){.arena = arena_new(1 << 16)};
    const Str path = arena_printf(ctx.arena, "%s/maps/completejourney.yaml", root());
    const IntakeMap *map = NULL;
    const Err err = intake_map_load(&ctx, path.ptr, &map);
    if (err != ERR_OK)
        fprintf(stderr, "%s %s\n", ctx.fault.hint, ctx.fault.detail);
    CHECK(err == ERR_OK);
    return map;
}

/* Reads entry `n` of `target` (0 = the first) whole. */
static Totals run(const IntakeMap *map, IntakeTargetId target, int n, size_t sort_bytes)
{
    const IntakeMapFile *f = NULL;
    for (size_t i = 0; i < map->files && f == NULL; i++)
        if (map->file[i].target->id == target && n-- == 0)
            f = &map->file[i];
    CHECK(f != NULL);
    StrList paths;
    const Str dir = arena_printf(ctx.arena, "%s/data/completejourney", root());
    CHECK(intake_map_find(&ctx, map, f, dir.ptr, &paths) == ERR_OK && paths.count == 1);
    Totals t = {0};
    RowReader *r = NULL;
    const IntakeRowsOptions options = {
        .reject = count_reject, .reject_arg = &t.rejects, .sort_bytes = sort_bytes};
    CHECK(intake_rows_open(&ctx, map, f, paths.item[0].ptr, &options, &r) == ERR_OK);
    IntakeRow row;
    bool more = true;
    while (intake_rows_next(r, &ctx, &row, &more) == ERR_OK && more) {
        t.rows++;
        t.lines += (int64_t)row.lines;
        if (target == INTAKE_TARGET_ORDERS)
            add_lines(&t, &row);
        mark_card(target, &row);
    }
    CHECK(!more);
    const IntakeStats s = intake_rows_stats(r);
    t.noise = s.noise;
    t.folded = s.folded;
    t.read = s.read;
    t.zero_quantity = f->count.count > 0 ? s.count_hits[0] : 0;
    t.over_sale = f->count.count > 1 ? s.count_hits[1] : 0;
    CHECK(s.read == s.skipped + s.folded + s.rejected + (f->lines.count > 0 ? s.lines : s.rows));
    intake_rows_close(r);
    return t;
}

static void expect_orders(const Totals *t)
{
    EXPECT_I64(t->rejects, 0);
    EXPECT_I64(t->rows, 47243);
    EXPECT_I64(t->lines, 75000);
    EXPECT_I64(t->sales, 23393524);
    EXPECT_I64(t->retail, 4018091);
    EXPECT_I64(t->coupon, 135671);
    EXPECT_I64(t->match, 24210);
    EXPECT_I64(t->zero_quantity, 416);
    EXPECT_I64(t->over_sale, 198);
    EXPECT_I64(t->noise, 1);
    EXPECT_I64(t->first_at_ms, INT64_C(1483255827000)); /* 2017-01-01 07:30:27 */
    EXPECT_I64(t->last_at_ms, INT64_C(1514760458000));  /* 2017-12-31 22:47:38 */
}

TEST(journey_orders_are_exact_to_the_cent_also_when_the_sort_spills)
{
    const IntakeMap *map = load();
    const Totals in_memory = run(map, INTAKE_TARGET_ORDERS, 0, 0);
    expect_orders(&in_memory);
    const Totals spilled = run(map, INTAKE_TARGET_ORDERS, 0, 64 * 1024);
    expect_orders(&spilled);
    arena_free(ctx.arena);
}

TEST(journey_every_other_table_has_its_published_count)
{
    static const struct {
        IntakeTargetId target;
        int nth;
        int64_t rows, lines, read;
    } WANT[] = {
        {INTAKE_TARGET_STORES, 0, 293, 0, 75000},
        {INTAKE_TARGET_PRODUCTS, 0, 92331, 0, 92331},
        {INTAKE_TARGET_PEOPLE, 0, 2377, 0, 75000},
        {INTAKE_TARGET_PEOPLE, 1, 1559, 0, 6589},
        {INTAKE_TARGET_PEOPLE, 2, 801, 0, 801},
        {INTAKE_TARGET_CAMPAIGNS, 0, 27, 0, 27},
        {INTAKE_TARGET_CAMPAIGN_TARGETS, 0, 6589, 0, 6589},
        {INTAKE_TARGET_COUPON_TEMPLATES, 0, 1197, 116204, 116204},
        {INTAKE_TARGET_REDEMPTIONS, 0, 2102, 0, 2102},
    };
    const IntakeMap *map = load();
    for (size_t i = 0; i < ARRAY_LEN(WANT); i++) {
        const Totals t = run(map, WANT[i].target, WANT[i].nth, 0);
        EXPECT_I64(t.rejects, 0);
        EXPECT_I64(t.rows, WANT[i].rows);
        EXPECT_I64(t.lines, WANT[i].lines);
        EXPECT_I64(t.read, WANT[i].read);
        EXPECT_I64(t.noise, 0);
    }
    arena_free(ctx.arena);
}

/* Cards in entry `nth` of `target`; those in `but` are left out. */
static int64_t cards_in(const IntakeMap *map, IntakeTargetId target, int nth, const bool *but)
{
    int64_t n = 0;
    memset(has_card, 0, sizeof has_card);
    (void)run(map, target, nth, 0);
    for (size_t i = 0; i < CARDS; i++)
        n += has_card[i] && (but == NULL || !but[i]);
    return n;
}

TEST(journey_households_are_those_that_bought_and_two_that_were_only_targeted)
{
    static bool bought[CARDS];
    const IntakeMap *map = load();
    EXPECT_I64(cards_in(map, INTAKE_TARGET_ORDERS, 0, NULL), 2377);
    memcpy(bought, has_card, sizeof bought);
    EXPECT_I64(cards_in(map, INTAKE_TARGET_PEOPLE, 0, bought), 0);
    EXPECT_I64(cards_in(map, INTAKE_TARGET_PEOPLE, 1, bought), 2);
    CHECK(has_card[572] && has_card[834] && !bought[572] && !bought[834]);
    EXPECT_I64(cards_in(map, INTAKE_TARGET_PEOPLE, 2, bought), 0);
    EXPECT_I64(cards_in(map, INTAKE_TARGET_CAMPAIGN_TARGETS, 0, NULL), 1559);
    EXPECT_I64(cards_in(map, INTAKE_TARGET_REDEMPTIONS, 0, NULL), 410);
    EXPECT_I64(cards_in(map, INTAKE_TARGET_REDEMPTIONS, 0, bought), 0);
    arena_free(ctx.arena);
}

/* The manual, so that it cannot fall behind. */
static Str read_manual(void)
{
    enum { MANUAL_BYTES_MAX = 256 * 1024 };
    const Str path = arena_printf(ctx.arena, "%s/docs/formats/import-map.md", root());
    FILE *f = fopen(path.ptr, "r");
    CHECK(f != NULL);
    char *bytes = arena_bytes(ctx.arena, MANUAL_BYTES_MAX);
    const size_t len = fread(bytes, 1, MANUAL_BYTES_MAX, f);
    CHECK(fclose(f) == 0);
    return (Str){bytes, len};
}

static bool has_text(Str s, Str text)
{
    return memmem(s.ptr, s.len, text.ptr, text.len) != NULL;
}

TEST(journey_manual_has_a_map_that_loads_and_names_every_field)
{
    ctx = (Ctx){.arena = arena_new(1 << 16)};
    const Str manual = read_manual(), open = STR("```yaml\n"), end = STR("```\n");
    const char *from = memmem(manual.ptr, manual.len, open.ptr, open.len);
    CHECK(from != NULL);
    const Str rest = str_slice(manual, (size_t)(from - manual.ptr) + open.len, manual.len);
    const char *to = memmem(rest.ptr, rest.len, end.ptr, end.len);
    CHECK(to != NULL);
    const IntakeMap *map = NULL;
    const Str text = str_slice(rest, 0, (size_t)(to - rest.ptr));
    CHECK(intake_map_parse(&ctx, STR("manual"), text, &map) == ERR_OK);
    for (size_t t = 0; t < INTAKE_TARGET_COUNT; t++) {
        const IntakeTarget *target = &INTAKE_TARGETS[t];
        const Str row = arena_printf(ctx.arena, "| `%s` | ", target->name);
        CHECK(has_text(manual, row));
        for (size_t i = 0; i < target->fields; i++)
            CHECK(has_text(manual, str_of(target->field[i].name)));
        for (size_t i = 0; i < target->line_fields; i++)
            CHECK(has_text(manual, str_of(target->line[i].name)));
    }
    arena_free(ctx.arena);
}
