/*
 * events/events_testkit.c -- see events/events_testkit.h.
 */
#include "events/events_testkit.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/test_folder.h"

#include <stdlib.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 1 << 26, DAYS = 9 };

static const int64_t BASE_MS = INT64_C(1750000000000);

_Thread_local int kit_dirty_fd = -1;

void kit_open(Kit *k, uint64_t seed)
{
    *k = (Kit){.path = "/tmp/events_test.XXXXXX", .random = seed, .ctx.arena = arena_new(65536)};
    CHECK(mkdtemp(k->path) != NULL);
    k->folder = str_of(k->path);
    log_setup(LOG_OFF, false);
}

void kit_close(Kit *k)
{
    test_remove_folder(k->folder);
    arena_free(k->ctx.arena);
}

uint32_t kit_below(Kit *k, uint32_t n)
{
    k->random = k->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((k->random >> 33) % n);
}

Str kit_subfolder(Kit *k, const char *name)
{
    const Str folder = arena_printf(k->ctx.arena, "%s/%s", k->path, name);
    CHECK(file_make_folder(&k->ctx, folder) == ERR_OK);
    return folder;
}

Str kit_read(Kit *k, Str folder, Str name)
{
    Str bytes;
    CHECK(file_load(&k->ctx, folder, name, FILE_BYTES_MAX, &bytes) == ERR_OK);
    return bytes;
}

void kit_write(Kit *k, Str folder, Str name, Str bytes)
{
    File f;
    CHECK(file_open(&k->ctx, folder, name, FILE_CREATE, &f) == ERR_OK);
    CHECK(file_write_at(&k->ctx, f, 0, bytes) == ERR_OK);
    file_close(&f);
}

void kit_copy_folder(Kit *k, Str from, Str to)
{
    Str *names = NULL;
    size_t n = 0;
    CHECK(file_list(&k->ctx, from, &names, &n) == ERR_OK);
    for (size_t i = 0; i < n; i++)
        if (!str_eq(names[i], STR("spare")))
            kit_write(k, to, names[i], kit_read(k, from, names[i]));
}

static void add_lines(Kit *k, EventBuilder *b)
{
    event_items_begin(b, STR("lines"));
    for (uint32_t n = kit_below(k, 4); n > 0; n--) {
        event_item(b);
        event_prop_text(b, STR("sku"), arena_printf(k->ctx.arena, "SKU-%u", kit_below(k, 500)));
        event_prop_i64(b, STR("quantity"), kit_below(k, 9) + 1);
        event_prop_money(b, STR("amount"), (int64_t)kit_below(k, 100000) - 500);
    }
    event_items_end(b);
}

void kit_random_event(Kit *k, Str id, Event *out)
{
    static const char *const NAMES[] = {"Order Completed", "Store Visited", "Coupon Claimed",
                                        "\xe8\xbf\x9b\xe5\xba\x97", "Page Viewed"};
    const uint32_t who = kit_below(k, 13);
    const bool person = who > 0 && kit_below(k, 10) == 0;
    const int64_t minute = kit_below(k, DAYS * 1440);
    Event head = {.kind = person ? EVENT_PERSON : EVENT_HAPPENED,
                  .source = STR("till"),
                  .id = id,
                  .name = person ? STR("") : str_of(NAMES[kit_below(k, ARRAY_LEN(NAMES))]),
                  .time_ms = BASE_MS + minute * 60000,
                  .received_ms = BASE_MS + minute * 60000 + kit_below(k, 5000)};
    if (who > 0)
        head.actor = (EventActor){STR("phone"), arena_printf(k->ctx.arena, "+86138000%05u", who)};
    EventBuilder *b = event_begin(&k->ctx, &head);
    event_prop_decimal(b, STR("weight"), (int64_t)kit_below(k, 1000) - 500, 2);
    event_prop_bool(b, STR("member"), kit_below(k, 2) == 1);
    if (kit_below(k, 3) == 0)
        add_lines(k, b);
    const Str tags[] = {STR("a"), STR(""), STR("\xe7\xba\xa2")};
    event_prop_texts(b, STR("tags"), tags, kit_below(k, 4));
    event_context(b);
    event_prop_text(b, STR("page"), STR("/h5/coupon"));
    CHECK(event_end(b, out) == ERR_OK);
}

Str kit_encode(Kit *k, const Event *e)
{
    Buf buf = BUF_MAX(EVENT_BYTES_MAX + 16);
    event_encode(e, &buf);
    CHECK(!buf.overflowed);
    const Str copy = arena_copy(k->ctx.arena, buf_str(&buf));
    buf_free(&buf);
    return copy;
}

Str kit_record(Kit *k, const char *id)
{
    const Event head = {.kind = EVENT_HAPPENED,
                        .source = STR("web"),
                        .id = str_of(id),
                        .name = STR("Page Viewed"),
                        .time_ms = BASE_MS,
                        .received_ms = BASE_MS};
    Event e;
    CHECK(event_end(event_begin(&k->ctx, &head), &e) == ERR_OK);
    return kit_encode(k, &e);
}

EventsLog *kit_log(Kit *k, Str folder, EventsOptions options)
{
    EventsLog *log = NULL;
    const Err err = events_open(&k->ctx, folder, &options, &log);
    if (err != ERR_OK)
        fprintf(stderr, "open: %s %s\n", k->ctx.fault.reason, k->ctx.fault.detail);
    CHECK(err == ERR_OK);
    return log;
}

/* ---- the model ------------------------------------------------------------------------------- */

void model_add(Kit *k, Model *m, const Event *e, uint64_t seq)
{
    if (m->count == m->cap) {
        m->cap = m->cap == 0 ? 1024 : m->cap * 2;
        Event *wider = ARENA_ARRAY(k->ctx.arena, Event, m->cap);
        if (m->count > 0)
            memcpy(wider, m->at, m->count * sizeof *wider);
        m->at = wider;
    }
    m->at[m->count] = *e;
    m->at[m->count++].seq = seq;
}

static bool model_wants(const Event *e, const EventsQuery *q, bool by_actor)
{
    return e->time_ms >= q->from_ms && (q->to_ms == 0 || e->time_ms < q->to_ms) &&
           (!by_actor ||
            (str_eq(e->actor.kind, q->actor.kind) && str_eq(e->actor.value, q->actor.value)));
}

static bool is_older(const Event *e, EventsCursor c)
{
    return e->time_ms < c.time_ms || (e->time_ms == c.time_ms && e->seq < c.seq);
}

/* The newest wanted event that is older than (time, seq), or NULL; the other way round, the oldest that is newer. */
static const Event *model_next(const Model *m, const EventsQuery *q, bool by_actor, EventsCursor c)
{
    const Event *best = NULL;
    for (size_t i = 0; i < m->count; i++) {
        const Event *e = &m->at[i];
        if (e->seq == c.seq || !model_wants(e, q, by_actor) ||
            (c.seq != 0 && is_older(e, c) == q->oldest_first))
            continue;
        if (best == NULL ||
            is_older(e, (EventsCursor){best->time_ms, best->seq}) == q->oldest_first)
            best = e;
    }
    return best;
}

typedef struct Compare {
    Kit *k;
    const Model *m;
    const EventsQuery *q;
    bool by_actor;
    EventsCursor at;
} Compare;

static Err compare_event(Ctx *ctx, const Event *e, void *arg)
{
    (void)ctx;
    Compare *c = arg;
    const Event *want = model_next(c->m, c->q, c->by_actor, c->at);
    CHECK(want != NULL && want->seq == e->seq && str_eq(want->id, e->id));
    CHECK(str_eq(kit_encode(c->k, want), kit_encode(c->k, e)));
    c->at = (EventsCursor){e->time_ms, e->seq};
    return ERR_OK;
}

/* Reads all pages of one random query and expects the model's list. */
static void compare_query(Kit *k, const Model *m, EventsLog *log)
{
    const bool by_actor = kit_below(k, 2) == 1;
    const uint32_t who = kit_below(k, 14);
    EventsQuery q = {.limit = 1 + kit_below(k, 300), .oldest_first = kit_below(k, 2) == 1};
    if (who > 0)
        q.actor = (EventActor){STR("phone"), arena_printf(k->ctx.arena, "+86138000%05u", who)};
    if (kit_below(k, 2) == 1)
        q.from_ms = BASE_MS + (int64_t)kit_below(k, DAYS * 1440) * 60000;
    if (kit_below(k, 2) == 1)
        q.to_ms = BASE_MS + (int64_t)kit_below(k, DAYS * 1440) * 60000;
    Compare c = {.k = k, .m = m, .q = &q, .by_actor = by_actor};
    EventsPage page = {.more = true};
    while (page.more) {
        const Err err = by_actor ? events_by_actor(&k->ctx, log, &q, compare_event, &c, &page)
                                 : events_by_time(&k->ctx, log, &q, compare_event, &c, &page);
        CHECK(err == ERR_OK && page.damaged == 0);
        q.after = page.next;
    }
    CHECK(model_next(m, &q, by_actor, c.at) == NULL);
}

static Err compare_count(Ctx *ctx, const EventsCount *count, void *arg)
{
    (void)ctx;
    const Compare *c = arg;
    int64_t want = 0;
    for (size_t i = 0; i < c->m->count; i++) {
        const Event *e = &c->m->at[i];
        want += e->kind == EVENT_HAPPENED && str_eq(e->name, count->name) &&
                clock_day(e->time_ms, 0) == count->day;
    }
    CHECK(want == count->count);
    return ERR_OK;
}

static void compare_counts(Kit *k, const Model *m, EventsLog *log)
{
    const int32_t from = clock_day(BASE_MS + (int64_t)kit_below(k, DAYS) * 86400000, 0);
    const int32_t to = clock_day(BASE_MS + (int64_t)kit_below(k, DAYS) * 86400000, 0);
    const Str name = kit_below(k, 2) == 1 ? STR("") : STR("Store Visited");
    Compare c = {.k = k, .m = m};
    int64_t total = -1, want = 0, happened = 0;
    CHECK(events_counts(&k->ctx, log, name, from, to, compare_count, &c, &total) == ERR_OK);
    for (size_t i = 0; i < m->count; i++) {
        const Event *e = &m->at[i];
        const int32_t day = clock_day(e->time_ms, 0);
        happened += e->kind == EVENT_HAPPENED;
        want += e->kind == EVENT_HAPPENED && day >= from && day < to &&
                (name.len == 0 || str_eq(name, e->name));
    }
    EXPECT_I64(total, want);
    EXPECT_I64(events_count(log), happened);
}

void model_compare(Kit *k, const Model *m, EventsLog *log, int rounds)
{
    for (int i = 0; i < rounds; i++) {
        compare_query(k, m, log);
        compare_counts(k, m, log);
    }
}
