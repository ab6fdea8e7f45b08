/*
 * engine/engine_link_test.c -- who is one person, against a model that keeps every event in a list and every link in
 * another: whatever is linked, undone and erased when, through flushes, merges, restarts and power cuts.
 */
#include "engine/ask/segment.h"
#include "engine/ask/trend.h"
#include "engine/engine.h"
#include "engine/scan/walk_batch.h"

#include "base/log.h"
#include "base/rand.h"
#include "base/test.h"
#include "base/test_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { NAMES = 5, KEYS = 60, WEEKS = 3, RECORDS_MAX = 20000, LINKS_MAX = 4000 };

static const EngineOptions SMALL = {
    .origin_ms = INT64_C(1735574400000), .slice_rows = 64, .flush_rows = 300, .fan = 3};

/* ---- the model ----------------------------------------------------------------------------------- */

/* An actor from when it was first heard of until it was erased.  They stand in that order. */
typedef struct Actor {
    uint32_t key;
    bool erased;
    uint32_t person; /* the first actor that it hangs together with */
} Actor;

typedef struct Happened {
    uint32_t actor; /* 0 = nobody */
    bool said;      /* attributes, which are no event */
    uint32_t name;  /* of an event: which */
    int64_t time_ms;
    uint64_t rank; /* among those of one instant: when it arrived, or was moved */
} Happened;

typedef struct Link {
    uint32_t a, b;
    bool gone;
} Link;

typedef struct World {
    char path[64];
    Ctx ctx;
    Prng random;
    Engine *engine;
    Buf records;
    size_t at[RECORDS_MAX + 1];
    uint32_t count;
    Actor actors[RECORDS_MAX];
    uint32_t actor_count; /* from 1 */
    Happened happened[RECORDS_MAX];
    uint32_t happened_count;
    Link links[LINKS_MAX];
    uint32_t link_count;
    uint64_t rank;
    uint32_t known; /* files that were asked for when it was known which of their rows are dead */
} World;

static uint32_t below(World *w, uint32_t n)
{
    return (uint32_t)prng_below(&w->random, n);
}

/* 0 = nobody has heard of it. */
static uint32_t find_actor(const World *w, uint32_t key)
{
    for (uint32_t i = 1; i <= w->actor_count; i++)
        if (w->actors[i].key == key && !w->actors[i].erased)
            return i;
    return 0;
}

static uint32_t actor_of(World *w, uint32_t key)
{
    const uint32_t known = find_actor(w, key);
    if (known != 0)
        return known;
    w->actors[++w->actor_count] = (Actor){.key = key, .person = w->actor_count};
    return w->actor_count;
}

/* Whoever hangs together has the number of the first of them. */
static void find_persons(World *w)
{
    for (uint32_t i = 1; i <= w->actor_count; i++)
        w->actors[i].person = i;
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 0; i < w->link_count; i++) {
            Actor *a = &w->actors[w->links[i].a], *b = &w->actors[w->links[i].b];
            if (w->links[i].gone || a->person == b->person)
                continue;
            const uint32_t low = a->person < b->person ? a->person : b->person;
            a->person = b->person = low;
            changed = true;
        }
    }
}

static Link *find_link(World *w, uint32_t a, uint32_t b)
{
    for (uint32_t i = 0; i < w->link_count; i++) {
        Link *l = &w->links[i];
        if (!l->gone && ((l->a == a && l->b == b) || (l->a == b && l->b == a)))
            return l;
    }
    return NULL;
}

static int by_rank(const void *x, const void *y)
{
    const Happened *a = *(Happened *const *)x, *b = *(Happened *const *)y;
    return (a->rank > b->rank) - (a->rank < b->rank);
}

/* Their events arrive once more, in the order that they had. */
static void rank_again(World *w, uint32_t person)
{
    Happened **of = ARENA_ARRAY(w->ctx.arena, Happened *, w->happened_count + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->happened_count; i++)
        if (w->happened[i].actor != 0 && w->actors[w->happened[i].actor].person == person)
            of[n++] = &w->happened[i];
    qsort(of, n, sizeof(Happened *), by_rank);
    for (uint32_t i = 0; i < n; i++)
        of[i]->rank = ++w->rank;
}

static void link_in_model(World *w, uint32_t a, uint32_t b)
{
    const uint32_t x = w->actors[a].person, y = w->actors[b].person;
    if (a == b || find_link(w, a, b) != NULL)
        return;
    if (x != y)
        rank_again(w, x < y ? y : x);
    w->links[w->link_count++] = (Link){a, b, false};
    find_persons(w);
}

static void unlink_in_model(World *w, uint32_t a, uint32_t b)
{
    Link *l = a == b ? NULL : find_link(w, a, b);
    if (l == NULL)
        return;
    l->gone = true;
    find_persons(w);
    if (w->actors[a].person == w->actors[b].person)
        return;
    rank_again(w, w->actors[a].person);
    rank_again(w, w->actors[b].person);
}

static void erase_in_model(World *w, uint32_t a)
{
    rank_again(w, w->actors[a].person);
    for (uint32_t i = 0; i < w->link_count; i++)
        w->links[i].gone |= w->links[i].a == a || w->links[i].b == a;
    w->actors[a].erased = true;
    find_persons(w);
}

/* ---- records --------------------------------------------------------------------------------------- */

static EventActor key_of(World *w, uint32_t key)
{
    return key == 0 ? (EventActor){STR(""), STR("")}
                    : (EventActor){STR("id"), arena_printf(w->ctx.arena, "%u", key)};
}

static void add_record(World *w, EventBuilder *b)
{
    Event e;
    CHECK(event_end(b, &e) == ERR_OK && w->count < RECORDS_MAX);
    event_encode(&e, &w->records);
    w->at[++w->count] = w->records.len;
}

static Event head_of(World *w, EventKind kind, uint32_t key)
{
    return (Event){.kind = kind,
                   .source = STR("web"),
                   .id = arena_printf(w->ctx.arena, "id-%u", w->count),
                   .time_ms = SMALL.origin_ms,
                   .received_ms = SMALL.origin_ms,
                   .actor = key_of(w, key)};
}

/* The lines of event number n: some have none, some no list. */
static int64_t line_of(uint32_t n, uint32_t line)
{
    return (n * 37 + line * 11) % 100;
}

static uint32_t lines_of(uint32_t n)
{
    return n % 5 == 0 ? 0 : n % 4;
}

static void add_lines(EventBuilder *b, uint32_t n)
{
    if (n % 5 == 0)
        return;
    event_items_begin(b, STR("lines"));
    for (uint32_t i = 0; i < lines_of(n); i++) {
        event_item(b);
        event_prop_i64(b, STR("quantity"), line_of(n, i));
    }
    event_items_end(b);
}

enum { MANY_FROM = 60, MANY_TO = 140 };

/* Whether what its lines add up to is between these. */
static bool has_many(uint32_t n)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < lines_of(n); i++)
        sum += line_of(n, i);
    return sum >= MANY_FROM && sum <= MANY_TO;
}

/* Few instants, so that many events share one. */
static void add_event_of(World *w, uint32_t key)
{
    const bool said = key > 0 && below(w, 6) == 0;
    const uint32_t name = below(w, NAMES);
    Event head = head_of(w, said ? EVENT_PERSON : EVENT_HAPPENED, key);
    head.name = said ? STR("") : arena_printf(w->ctx.arena, "Event %u", name);
    head.time_ms += (int64_t)below(w, WEEKS) * 604800000 + below(w, 4) * 1000 + below(w, 3);
    EventBuilder *b = event_begin(&w->ctx, &head);
    event_prop_i64(b, STR("n"), w->happened_count);
    if (below(w, 3) == 0)
        event_prop_text(b, STR("channel"), STR("web"));
    add_lines(b, w->happened_count);
    add_record(w, b);
    w->happened[w->happened_count++] =
        (Happened){key == 0 ? 0 : actor_of(w, key), said, name, head.time_ms, ++w->rank};
}

static void add_event(World *w)
{
    add_event_of(w, below(w, KEYS));
}

static void erase_key(World *w, uint32_t key)
{
    const Event head = head_of(w, EVENT_ERASE, key);
    add_record(w, event_begin(&w->ctx, &head));
    erase_in_model(w, find_actor(w, key));
}

static void add_change(World *w)
{
    const uint32_t what = below(w, 10), key = 1 + below(w, KEYS - 1),
                   other = 1 + below(w, KEYS - 1);
    const EventKind kind = what == 0 ? EVENT_ERASE : what < 5 ? EVENT_UNLINK : EVENT_LINK;
    Event head = head_of(w, kind, key);
    if (kind != EVENT_ERASE)
        head.other = key_of(w, other);
    add_record(w, event_begin(&w->ctx, &head));
    if (kind == EVENT_LINK) {
        const uint32_t a = actor_of(w, key);
        link_in_model(w, a, actor_of(w, other));
        return;
    }
    /* What there is none of takes no number. */
    const uint32_t a = find_actor(w, key), b = find_actor(w, other);
    if (kind == EVENT_UNLINK && a != 0 && b != 0)
        unlink_in_model(w, a, b);
    else if (kind == EVENT_ERASE && a != 0)
        erase_in_model(w, a);
}

/* An unlink of any two is seldom one of a link: these are. */
static void undo_one(World *w)
{
    const Link l = w->links[below(w, w->link_count)];
    if (l.gone)
        return;
    Event head = head_of(w, EVENT_UNLINK, w->actors[l.b].key);
    head.other = key_of(w, w->actors[l.a].key);
    add_record(w, event_begin(&w->ctx, &head));
    unlink_in_model(w, l.a, l.b);
}

static void add_records(World *w, uint32_t n, uint32_t changes_of_100)
{
    for (uint32_t i = 0; i < n; i++) {
        if (below(w, 100) >= changes_of_100)
            add_event(w);
        else if (w->link_count > 0 && below(w, 3) == 0)
            undo_one(w);
        else
            add_change(w);
    }
}

static void offer_rest(World *w)
{
    for (uint64_t next = engine_next_seq(w->engine); next <= w->count;) {
        const uint32_t left = w->count - (uint32_t)next + 1, some = 1 + below(w, 100);
        const uint32_t n = some < left ? some : left;
        CHECK(engine_offer(w->engine, next, n,
                           str_slice(buf_str(&w->records), w->at[next - 1], w->at[next - 1 + n])));
        next += n;
    }
}

/* ---- comparing --------------------------------------------------------------------------------------- */

static int by_time(const void *x, const void *y)
{
    const Happened *a = *(Happened *const *)x, *b = *(Happened *const *)y;
    return a->time_ms != b->time_ms ? (a->time_ms > b->time_ms) - (a->time_ms < b->time_ms)
                                    : by_rank(x, y);
}

/* What the person did, or what was said, in order: places in `happened`.  Of nobody, person 0. */
static uint32_t events_of(World *w, uint32_t person, bool said, const Happened ***out)
{
    const Happened **of = ARENA_ARRAY(w->ctx.arena, const Happened *, w->happened_count + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->happened_count; i++) {
        const Actor *a = &w->actors[w->happened[i].actor];
        if (w->happened[i].said == said &&
            (w->happened[i].actor == 0 ? person == 0 : !a->erased && a->person == person))
            of[n++] = &w->happened[i];
    }
    qsort(of, n, sizeof(Happened *), by_time);
    *out = of;
    return n;
}

/* The engine's numbers of actors begin behind the block of nobody. */
static uint32_t model_number(uint32_t person)
{
    return person == 0 ? 0 : person - PART_BLOCK_PERSONS + 1;
}

static void expect_person(World *w, const ScanBatch *b, uint32_t i, bool said)
{
    const Happened **of = NULL;
    const uint32_t n = events_of(w, model_number(b->persons[i]), said, &of);
    EXPECT_I64(b->from[i + 1] - b->from[i], n);
    for (uint32_t e = 0; e < n; e++) {
        const uint32_t number = (uint32_t)(of[e] - w->happened);
        EXPECT_I64(b->values[0][b->from[i] + e], (int64_t)number * 1000000);
        EXPECT_I64(b->rows[b->from[i] + e].selects, has_many(number) ? 3 : 1);
    }
}

static uint32_t count_persons(const World *w)
{
    uint32_t n = 0;
    for (uint32_t i = 1; i <= w->actor_count; i++)
        n += !w->actors[i].erased && w->actors[i].person == i;
    return n;
}

static void expect_universe(World *w, const ScanView *view)
{
    Crew *crew = crew_new(1);
    const Query q = {.view = view, .crew = crew};
    SegmentResult all;
    CHECK(query_segment(&w->ctx, &q, &(Segment){.kind = SEGMENT_AND}, &all) == ERR_OK);
    EXPECT_I64((int64_t)all.universe, count_persons(w));
    EXPECT_I64((int64_t)all.people.count, count_persons(w));
    for (uint32_t at = people_next(&all.people, 0); at < all.people.person_count;
         at = people_next(&all.people, at + 1))
        CHECK(w->actors[model_number(at)].person == model_number(at));
    crew_free(crew);
}

static uint32_t count_alive(World *w, bool said)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->happened_count; i++)
        n += w->happened[i].said == said &&
             (w->happened[i].actor == 0 || !w->actors[w->happened[i].actor].erased);
    return n;
}

static uint32_t scan_all(World *w, const ScanView *view, ScanProp n, const Filter *many, bool said)
{
    uint32_t rows = 0;
    static const uint32_t SAID[] = {PART_PERSON};
    const ScanSelect selects[] = {
        {.events = said ? SAID : NULL, .event_count = said, .from_ms = 0, .to_ms = INT64_MAX},
        {.events = said ? SAID : NULL,
         .event_count = said,
         .from_ms = 0,
         .to_ms = INT64_MAX,
         .filter = many}};
    Scanner *scanner = scanner_new(view, &(ScanAsk){selects, 2, &n, 1, true});
    ScanBatch b;
    for (uint32_t piece = 0; piece < scan_pieces(view); piece++)
        if (scanner_batch(scanner, piece, &b))
            for (uint32_t i = 0; i < b.person_count; i++) {
                rows += b.from[i + 1] - b.from[i];
                expect_person(w, &b, i, said);
                arena_reset(w->ctx.arena);
            }
    CHECK(scanner_damaged(scanner) == 0);
    scanner_free(scanner);
    return rows;
}

/* What came of each person so far, which is the beginning of what the model has. */
typedef struct Came {
    World *w;
    int64_t base_ms;
    uint32_t *rows; /* by person of the model */
    const Happened ***want;
    uint32_t count;
} Came;

static Came came_of(World *w, int64_t base_ms)
{
    Came c = {.w = w, .base_ms = base_ms};
    c.rows = ARENA_ARRAY(w->ctx.arena, uint32_t, w->actor_count + 1);
    c.want = ARENA_ARRAY(w->ctx.arena, const Happened **, w->actor_count + 1);
    for (uint32_t i = 0; i <= w->actor_count; i++)
        (void)events_of(w, i, false, &c.want[i]);
    return c;
}

static void expect_next(Came *c, uint32_t person, int64_t time_ms, uint32_t name)
{
    const uint32_t p = model_number(person);
    const Happened *want = c->want[p][c->rows[p]++];
    EXPECT_I64(time_ms, want->time_ms);
    EXPECT_I64(name, want->name);
    c->count++;
}

static void expect_stretch(const ScanStretch *s, void *arg)
{
    Came *c = arg;
    for (uint32_t i = 0; i < s->count; i++) {
        const uint32_t bits = s->bits != NULL ? s->bits[i] : s->of_list[s->lists[i]];
        if (bits == 0)
            continue;
        const int64_t second = s->week_s + (s->keys[i] & PART_SECOND_MASK);
        expect_next(c, s->first_person + (s->keys[i] >> PART_SECOND_BITS),
                    c->base_ms + second * 1000 + (s->ms == NULL ? 0 : s->ms[i]),
                    (uint32_t)__builtin_ctz(bits));
    }
}

/* A select per name, whose bit says it. */
static uint32_t select_names(const Schema *names, uint32_t events[NAMES], ScanSelect selects[NAMES])
{
    uint32_t known = 0;
    for (uint32_t i = 0; i < NAMES; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "Event %u", i);
        events[i] = schema_find_event(names, str_of(text));
        selects[i] = (ScanSelect){
            .events = &events[i], .event_count = 1, .from_ms = 0, .to_ms = INT64_C(1) << 50};
        known += events[i] != 0;
    }
    return known;
}

static uint32_t scan_stretches(World *w, const ScanView *view, const ScanSelect *selects)
{
    Scanner *scanner = scanner_new(view, &(ScanAsk){.selects = selects, .select_count = NAMES});
    Came came = came_of(w, scanner_base_ms(scanner));
    for (uint32_t piece = 0; piece < scan_pieces(view); piece++)
        scanner_stretches(scanner, piece, expect_stretch, &came);
    CHECK(scanner_damaged(scanner) == 0);
    scanner_free(scanner);
    return came.count;
}

static uint32_t walk_all(World *w, const ScanView *view, const ScanSelect *selects)
{
    const ScanAsk ask = {.selects = selects, .select_count = NAMES};
    WalkNames names;
    ScanBatch b;
    CHECK(walk_names(view, selects, NAMES, &names));
    WalkBatcher *walk = walk_batcher_new(view, &ask, &names);
    Came came = came_of(w, view->part_count == 0 ? 0 : view->parts[0]->head->week_ms);
    for (uint32_t piece = 0; walk != NULL && piece < scan_pieces(view); piece++) {
        if (!walk_batch(walk, piece, &b))
            continue;
        for (uint32_t i = 0; i < b.person_count; i++)
            for (uint32_t row = b.from[i]; row < b.from[i + 1]; row++)
                expect_next(&came, b.persons[i],
                            came.base_ms + scan_ms(&b, row) + walk_batch_ms(walk, row),
                            (uint32_t)__builtin_ctz(b.rows[row].selects));
    }
    CHECK(walk != NULL && walk_batch_damaged(walk) == 0);
    walk_batcher_free(walk);
    walk_names_free(&names);
    return came.count;
}

static void count_loose(const ScanLoose *rows, void *arg)
{
    uint32_t *count = arg;
    for (uint32_t i = 0; i < rows->count; i++)
        *count += rows->mask == NULL || rows->mask[i] != 0;
}

static uint32_t scan_loose(const ScanView *view)
{
    uint32_t rows = 0;
    const ScanSelect all = {.from_ms = 0, .to_ms = INT64_MAX};
    Scanner *scanner = scanner_new(view, &(ScanAsk){&all, 1, NULL, 0, false});
    for (uint32_t piece = 0; piece < scan_pieces(view); piece++)
        scanner_loose(scanner, piece, count_loose, &rows);
    scanner_free(scanner);
    return rows;
}

/* Persons with an event. */
static uint32_t count_active(const World *w)
{
    bool *active = calloc(w->actor_count + 1, sizeof *active);
    uint32_t n = 0;
    CHECK(active != NULL);
    for (uint32_t i = 0; i < w->happened_count; i++) {
        const Actor *a = &w->actors[w->happened[i].actor];
        if (w->happened[i].said || w->happened[i].actor == 0 || a->erased || active[a->person])
            continue;
        active[a->person] = true;
        n++;
    }
    free(active);
    return n;
}

/* A trend over all events, in one bucket. */
static void expect_trend(World *w, const ScanView *view, TrendMeasure measure, uint32_t want)
{
    const int64_t bounds[] = {0, INT64_C(1) << 50};
    Crew *crew = crew_new(2);
    const Trend t = {.measure = measure, .bounds = bounds, .bucket_count = 1, .top = 1};
    TrendResult got;
    CHECK(query_trend(&w->ctx, &(Query){.view = view, .crew = crew}, &t, &got) == ERR_OK);
    EXPECT_I64((int64_t)got.series[0].cells[0], want);
    crew_free(crew);
    arena_reset(w->ctx.arena);
}

static void expect_world(World *w)
{
    ScanView *view = engine_view(w->engine);
    for (uint32_t i = 0; i < view->part_count; i++)
        w->known += !moved_spares(view->moved, view->parts[i]) &&
                    moved_known(view->moved, view->parts[i]) != NULL;
    Schema *names = engine_schema_lock(w->engine);
    for (int said = 0; said < 2; said++) {
        const SchemaSpace space = said != 0 ? SCHEMA_PERSON : SCHEMA_EVENT;
        const SchemaProp *prop = schema_find_prop(names, space, STR("n"));
        const SchemaProp *lines = schema_find_prop(names, space, STR("lines"));
        const SchemaProp *quantity =
            lines == NULL ? NULL : schema_find_field(names, lines, STR("quantity"));
        const Filter many = {.kind = FILTER_ITEMS_SUM,
                             .prop = lines == NULL ? PROP_NONE : lines->id,
                             .number = quantity == NULL ? PROP_NONE : quantity->id,
                             .low = MANY_FROM,
                             .high = MANY_TO};
        const ScanProp n = {prop == NULL ? PROP_NONE : prop->id, SCHEMA_SCALE_MAX};
        EXPECT_I64(scan_all(w, view, n, &many, said != 0), count_alive(w, said != 0));
    }
    uint32_t events[NAMES];
    ScanSelect selects[NAMES];
    const bool all_known = select_names(names, events, selects) == NAMES;
    engine_schema_unlock(w->engine);
    if (all_known) {
        EXPECT_I64(scan_stretches(w, view, selects), count_alive(w, false));
        EXPECT_I64(walk_all(w, view, selects), count_alive(w, false));
    }
    EXPECT_I64(scan_loose(view), count_alive(w, false));
    expect_trend(w, view, TREND_EVENTS, count_alive(w, false));
    expect_trend(w, view, TREND_PERSONS, count_active(w));
    expect_universe(w, view);
    engine_view_done(view);
    EngineStat stat;
    engine_stat(w->engine, &stat);
    EXPECT_I64((int64_t)stat.events, count_alive(w, false));
    arena_reset(w->ctx.arena);
}

/* ---- the folder -------------------------------------------------------------------------------------- */

static World *world_new(uint64_t seed)
{
    World *w = calloc(1, sizeof *w);
    CHECK(w != NULL);
    *w = (World){.path = "/tmp/engine_link.XXXXXX",
                 .ctx.arena = arena_new(1 << 16),
                 .random = prng_of(seed),
                 .records = BUF_MAX(1 << 28)};
    CHECK(mkdtemp(w->path) != NULL);
    log_setup(LOG_OFF, false);
    CHECK(engine_open(&w->ctx, str_of(w->path), &SMALL, &w->engine) == ERR_OK);
    return w;
}

static void world_free(World *w)
{
    engine_close(w->engine);
    test_remove_folder(str_of(w->path));
    buf_free(&w->records);
    arena_free(w->ctx.arena);
    free(w);
}

static void reopen_with(World *w, const EngineOptions *o)
{
    engine_close(w->engine);
    CHECK(engine_open(&w->ctx, str_of(w->path), o, &w->engine) == ERR_OK);
}

static void reopen(World *w)
{
    reopen_with(w, &SMALL);
}

/* False: the keeper was at work meanwhile. */
static bool copy_files(World *w, Str to)
{
    Str *names = NULL, bytes, before = STR(""), after = STR("");
    size_t n = 0;
    const Err had = file_load(&w->ctx, str_of(w->path), STR("manifest"), 1 << 20, &before);
    CHECK(file_list(&w->ctx, str_of(w->path), &names, &n) == ERR_OK);
    for (size_t i = 0; i < n; i++) {
        if (file_load(&w->ctx, str_of(w->path), names[i], 1 << 26, &bytes) != ERR_OK)
            return false;
        CHECK(file_replace(&w->ctx, to, names[i], bytes) == ERR_OK);
    }
    return file_load(&w->ctx, str_of(w->path), STR("manifest"), 1 << 20, &after) == had &&
           str_eq(before, after);
}

/* What a power cut leaves: the files as they are now, nothing of memory. */
static void cut_power(World *w)
{
    char copy[64] = "/tmp/engine_link.XXXXXX";
    CHECK(mkdtemp(copy) != NULL);
    while (!copy_files(w, str_of(copy))) {
    }
    engine_close(w->engine);
    test_remove_folder(str_of(w->path));
    memcpy(w->path, copy, sizeof copy);
    CHECK(engine_open(&w->ctx, str_of(w->path), &SMALL, &w->engine) == ERR_OK);
    offer_rest(w);
}

/* Something that happens to every store. */
static void something(World *w, uint32_t what)
{
    if (what == 0)
        CHECK(engine_flush(&w->ctx, w->engine) == ERR_OK);
    else if (what == 1)
        CHECK(engine_settle(&w->ctx, w->engine) == ERR_OK);
    else if (what == 2)
        reopen(w);
}

TEST(who_is_linked_is_one_person_until_it_is_undone_or_erased_whatever_the_files_do)
{
    uint32_t known = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        World *w = world_new(seed);
        for (int round = 0; round < 30; round++) {
            add_records(w, 1 + below(w, 150), seed % 3 == 0 ? 50 : 10);
            offer_rest(w);
            something(w, below(w, 6));
            if (round % 3 == 2)
                expect_world(w);
        }
        CHECK(engine_settle(&w->ctx, w->engine) == ERR_OK);
        expect_world(w);
        EngineStat stat;
        engine_stat(w->engine, &stat);
        EXPECT_I64((int64_t)stat.dead_rows, 0);
        known += w->known;
        world_free(w);
    }
    CHECK(known > 0);
}

/* Files with dead rows of which it is known which they are. */
static uint32_t count_known(World *w)
{
    ScanView *view = engine_view(w->engine);
    uint32_t n = 0;
    for (uint32_t i = 0; i < view->part_count; i++)
        n += !moved_spares(view->moved, view->parts[i]) &&
             moved_known(view->moved, view->parts[i]) != NULL;
    engine_view_done(view);
    return n;
}

/* Few of many: the files are merged for these alone, after half a second. */
TEST(which_rows_of_a_file_are_dead_is_known_when_a_flush_has_ended_and_until_more_are_moved)
{
    enum { OTHERS = 100 };
    World *w = world_new(70);
    for (int i = 0; i < 14000; i++)
        add_event_of(w, OTHERS + below(w, 40));
    for (uint32_t key = 1; key < OTHERS; key++)
        add_event_of(w, key);
    offer_rest(w);
    CHECK(engine_settle(&w->ctx, w->engine) == ERR_OK);
    uint32_t known = 0;
    bool until_moved = false;
    for (uint32_t key = 1; key + 1 < OTHERS && !until_moved; key += 2) {
        erase_key(w, key);
        offer_rest(w);
        CHECK(engine_flush(&w->ctx, w->engine) == ERR_OK);
        known = count_known(w);
        erase_key(w, key + 1);
        offer_rest(w);
        until_moved = known > 0 && count_known(w) == 0; /* all persons are of one block */
    }
    CHECK(until_moved); /* once at least: the keeper may look at any time */
    expect_world(w);
    world_free(w);
}

/* Of the newest week's files. */
static uint64_t bytes_of_newest(World *w)
{
    ScanView *view = engine_view(w->engine);
    int64_t newest_ms = INT64_MIN;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < view->part_count; i++)
        if (view->parts[i]->head->week_ms >= newest_ms) {
            const DeadRows *known = moved_known(view->moved, view->parts[i]);
            bytes = view->parts[i]->head->week_ms > newest_ms ? 0 : bytes;
            bytes += known == NULL ? 0 : known->bytes;
            newest_ms = view->parts[i]->head->week_ms;
        }
    engine_view_done(view);
    return bytes;
}

TEST(of_more_dead_rows_than_there_is_memory_for_those_of_the_newest_week_are_known)
{
    World *w = world_new(71);
    for (int i = 0; i < 14000; i++)
        add_event_of(w, 1 + below(w, 40));
    offer_rest(w);
    CHECK(engine_settle(&w->ctx, w->engine) == ERR_OK);
    bool any_left = false;
    for (uint32_t key = 1; key < 20 && !any_left;
         key++) { /* files are merged for these after a while */
        erase_key(w, key);
        offer_rest(w);
        reopen(w);
        for (int tries = 0; tries < 200 && count_known(w) < WEEKS; tries++)
            CHECK(engine_flush(&w->ctx, w->engine) == ERR_OK);
        const uint64_t newest = bytes_of_newest(w);
        EngineOptions few = SMALL;
        few.known_bytes_max = newest;
        any_left = count_known(w) == WEEKS && newest > 0;
        reopen_with(w, &few);
        CHECK(engine_flush(&w->ctx, w->engine) == ERR_OK);
        any_left = any_left && count_known(w) == 1 && bytes_of_newest(w) == newest;
    }
    CHECK(any_left);
    expect_world(w);
    world_free(w);
}

/* With somebody else in another week, and with nobody at all. */
TEST(files_that_lost_all_their_rows_are_no_harm_to_who_asks)
{
    for (uint32_t others = 0; others < 2; others++) {
        World *w = world_new(60 + others);
        for (int i = 0; i < 200; i++)
            add_event_of(w, 1);
        offer_rest(w);
        CHECK(engine_settle(&w->ctx, w->engine) == ERR_OK);
        for (uint32_t i = 0; i < others; i++)
            add_event_of(w, 2);
        erase_key(w, 1);
        offer_rest(w);
        CHECK(engine_settle(&w->ctx, w->engine) == ERR_OK);
        EngineStat stat;
        engine_stat(w->engine, &stat);
        CHECK(stat.file_parts == WEEKS && stat.dead_rows == 0);
        expect_world(w);
        reopen(w);
        expect_world(w);
        world_free(w);
    }
}

TEST(a_power_cut_loses_no_link_and_no_row_that_one_moved)
{
    for (uint64_t seed = 100; seed < 106; seed++) {
        World *w = world_new(seed);
        for (int round = 0; round < 15; round++) {
            add_records(w, 1 + below(w, 200), 15);
            offer_rest(w);
            something(w, below(w, 5));
            if (round % 3 == 1)
                cut_power(w);
            expect_world(w);
        }
        world_free(w);
    }
}

/* ---- limits ------------------------------------------------------------------------------------------- */

static uint32_t group_of(const Persons *p, uint32_t actor, uint32_t from, uint32_t to)
{
    uint32_t n = 0;
    for (uint32_t i = from; i < to; i++)
        n += persons_of(p, i) == persons_of(p, actor);
    return n;
}

TEST(a_person_has_no_more_actors_than_a_person_can_have_and_what_is_refused_changes_nothing)
{
    Persons *p = persons_new(1000);
    for (uint32_t i = 1; i < PERSONS_ACTORS_MAX; i++)
        CHECK(persons_change(p, (PersonsChange){PERSONS_LINK, 5000, 5000 + i}));
    const uint32_t generation = persons_moved(p)->generation;
    EXPECT_I64(group_of(p, 5000, 5000, 6000), PERSONS_ACTORS_MAX);
    CHECK(!persons_change(p, (PersonsChange){PERSONS_LINK, 5600, 5007}));
    EXPECT_I64(group_of(p, 5000, 5000, 6000), PERSONS_ACTORS_MAX);
    EXPECT_I64(persons_of(p, 5600), 5600);
    EXPECT_I64(persons_moved(p)->generation, generation);
    CHECK(persons_change(p, (PersonsChange){PERSONS_UNLINK, 5007, 5000}));
    CHECK(persons_change(p, (PersonsChange){PERSONS_LINK, 5600, 5000}));
    EXPECT_I64(persons_of(p, 5007), 5007);
    persons_free(p);
}

TEST(links_are_limited_and_one_that_is_undone_makes_room_for_another)
{
    Persons *p = persons_new(2);
    CHECK(persons_change(p, (PersonsChange){PERSONS_LINK, 3000, 3001}));
    CHECK(persons_change(p, (PersonsChange){PERSONS_LINK, 3001, 3000})); /* the same */
    CHECK(persons_change(p, (PersonsChange){PERSONS_LINK, 3002, 3003}));
    CHECK(!persons_change(p, (PersonsChange){PERSONS_LINK, 3004, 3005}));
    CHECK(persons_change(p, (PersonsChange){PERSONS_UNLINK, 3003, 3002}));
    CHECK(persons_change(p, (PersonsChange){PERSONS_LINK, 3004, 3005}));
    EXPECT_I64(persons_of(p, 3005), 3004);
    persons_free(p);
}

TEST(an_unlink_of_actors_who_hang_together_by_others_moves_nobody)
{
    Persons *p = persons_new(100);
    for (uint32_t i = 0; i < 4; i++) /* a ring, and 3004 beside it */
        CHECK(persons_change(p, (PersonsChange){PERSONS_LINK, 3000 + i, 3000 + (i + 1) % 4}));
    CHECK(persons_change(p, (PersonsChange){PERSONS_LINK, 3002, 3004}));
    const uint32_t generation = persons_moved(p)->generation;
    const PersonsChange in_ring = {PERSONS_UNLINK, 3001, 3002};
    EXPECT_I64(persons_moves(p, in_ring), 0);
    CHECK(persons_change(p, in_ring));
    EXPECT_I64(persons_moved(p)->generation, generation);
    EXPECT_I64(group_of(p, 3000, 3000, 3010), 5);
    const PersonsChange last = {PERSONS_UNLINK, 3002, 3003}; /* now a chain */
    EXPECT_I64(persons_moves(p, last), 3000);
    CHECK(persons_change(p, last));
    EXPECT_I64(persons_moved(p)->generation, generation + 1);
    EXPECT_I64(group_of(p, 3000, 3000, 3010), 3);
    EXPECT_I64(persons_of(p, 3004), 3002);
    persons_free(p);
}

TEST(who_joined_a_person_keeps_the_ordinal_under_which_rows_stand)
{
    Persons *p = persons_new(100);
    CHECK(persons_change(p, (PersonsChange){PERSONS_LINK, 3000, 3005}));
    CHECK(persons_change(p, (PersonsChange){PERSONS_LINK, 3000, 3004}));
    EXPECT_I64(persons_ordinal(p, 3005), 1);
    EXPECT_I64(persons_ordinal(p, 3004), 2);
    CHECK(persons_change(p, (PersonsChange){PERSONS_UNLINK, 3000, 3005}));
    EXPECT_I64(persons_ordinal(p, 3005), 0);
    CHECK(persons_change(p, (PersonsChange){PERSONS_LINK, 3005, 3004}));
    EXPECT_I64(persons_ordinal(p, 3005), 1);
    EXPECT_I64(persons_actor(p, 3000, 1), 3005);
    EXPECT_I64(persons_actor(p, 3000, 2), 3004);
    EXPECT_I64(persons_actor(p, 3000, 3), 0);
    EXPECT_I64(persons_actor(p, 3000, 0), 3000);
    persons_free(p);
}

TEST(of_several_who_join_a_person_at_once_the_smaller_number_comes_first)
{
    static const uint32_t OTHERS[] = {3008, 3006, 3009, 3007};
    Persons *p = persons_new(100);
    for (size_t i = 0; i < ARRAY_LEN(OTHERS); i++)
        CHECK(persons_change(p, (PersonsChange){PERSONS_LINK, 3005, OTHERS[i]}));
    CHECK(persons_change(p, (PersonsChange){PERSONS_LINK, 3009, 3000}));
    for (uint32_t i = 0; i <= ARRAY_LEN(OTHERS); i++)
        EXPECT_I64(persons_actor(p, 3000, i + 1), 3005 + i);
    CHECK(persons_change(p, (PersonsChange){PERSONS_ERASE, 3005, 0})); /* who held them together */
    EXPECT_I64(persons_of(p, 3009), 3000);
    EXPECT_I64(persons_of(p, 3008), 3008);
    persons_free(p);
}

TEST(what_persons_take_counts_the_map_of_who_was_moved)
{
    Persons *p = persons_new(100);
    const uint64_t before = persons_bytes(p);
    CHECK(persons_change(p, (PersonsChange){PERSONS_LINK, 3000, 3001}));
    CHECK(persons_bytes(p) > before + sizeof(MovedBlock) + 3001 * sizeof(uint32_t));
    persons_free(p);
}

TEST(a_map_of_moves_stays_as_it_was_for_who_holds_it)
{
    Persons *p = persons_new(100);
    CHECK(persons_change(p, (PersonsChange){PERSONS_LINK, 3000, 5000}));
    Moved *held = moved_ref(persons_moved(p));
    CHECK(persons_change(p, (PersonsChange){PERSONS_ERASE, 3000, 0}));
    CHECK(moved_block(held, 3000 >> PART_BLOCK_BITS, 1) == NULL);
    CHECK(moved_block(held, 5000 >> PART_BLOCK_BITS, 0)[5000 & (PART_BLOCK_PERSONS - 1)] == 1);
    CHECK(moved_block(persons_moved(p), 3000 >> PART_BLOCK_BITS,
                      1)[3000 & (PART_BLOCK_PERSONS - 1)] == 2);
    EXPECT_I64(persons_of(p, 3000), 0);
    EXPECT_I64(persons_of(p, 5000), 5000);
    moved_unref(held);
    persons_free(p);
}

TEST(a_link_that_is_refused_is_counted_and_all_events_stay_with_their_actors)
{
    World *w = world_new(7);
    for (uint32_t i = 0; i < PERSONS_ACTORS_MAX + 40; i++) {
        Event head = head_of(w, EVENT_LINK, 1);
        head.other = key_of(w, 100 + i);
        add_record(w, event_begin(&w->ctx, &head));
    }
    offer_rest(w);
    engine_view_done(engine_view(w->engine));
    EngineStat stat;
    engine_stat(w->engine, &stat);
    EXPECT_I64((int64_t)stat.aside[ENGINE_ASIDE_LINKS], 41);
    EXPECT_I64(stat.moves, PERSONS_ACTORS_MAX - 1);
    world_free(w);
}
