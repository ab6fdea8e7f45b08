/*
 * events/events_read.c -- pages by actor and by time, counts per name and day.
 *
 * A query takes the list of runs under the lock, with a reference each, and works without it: runs are immutable, or
 * grow behind what was seen.  In each run the matching positions are one stretch of a sorted order; the
 * page is the merge of these stretches, newest first.  When a segment's file turns out to have been
 * rewritten since, or the disk takes a page of an index away, the rest of the page is found with the new runs.
 */
#include "events/eventlog.h"

#include "base/clock.h"
#include "base/log.h"
#include "events/crc32c.h"

#include <stdlib.h>

/* One run as the query saw it, and the stretch [lo, hi) of `order` that is still to be given. */
typedef struct Source {
    Run *run;
    uint32_t count, frame_count, name_count;
    const RunFrame *frames; /* an open run's own pointers belong to the lock */
    const int64_t *time;
    const uint32_t *offset;
    const uint32_t *order;
    uint32_t lo, hi;
} Source;

typedef struct Sources {
    Source *at;
    size_t count;
} Sources;

/* An end of what is to be given: below it is what is older than (time, seq). */
typedef EventsCursor Bound;

typedef struct Reader {
    EventsLog *log;
    Sources sources;
    const EventsQuery *q;
    bool by_actor;
    Bound from, below;              /* [from, below) */
    uint8_t key[SIPHASH_KEY_BYTES]; /* that `hash` was made with */
    uint64_t hash;
    FrameReader frames;
    uint64_t segment; /* whose file is open, 0 = none */
    Frame frame;      /* the last one read, when has_frame */
    bool has_frame;
    bool stale;     /* a file was rewritten, or an index lost: its run is another one now */
    Arena *scratch; /* the event given to `fn` */
} Reader;

static Source source_of(Run *run)
{
    return (Source){.run = run_ref(run),
                    .count = run->count,
                    .frame_count = run->frame_count,
                    .name_count = run->name_count,
                    .frames = run->frames,
                    .time = run->time,
                    .offset = run->offset};
}

/* The first run that is full and has no orders, with a reference; NULL: none.  Under the lock. */
static Run *full_run(const EventsLog *log)
{
    for (size_t i = 0; i + 1 < log->run_count; i++)
        if (log->runs[i]->is_open)
            return run_ref(log->runs[i]);
    return NULL;
}

/* Puts `to` in the place of `from`, when that still has one. */
static void replace_run(EventsLog *log, const Run *from, Run *to)
{
    (void)pthread_mutex_lock(&log->lock);
    size_t i = 0;
    while (i < log->run_count && log->runs[i] != from)
        i++;
    if (i < log->run_count) {
        run_unref(log->runs[i]);
        log->runs[i] = run_ref(to);
    }
    (void)pthread_mutex_unlock(&log->lock);
}

static Run *take_full_run(EventsLog *log)
{
    (void)pthread_mutex_lock(&log->lock);
    Run *full = full_run(log);
    (void)pthread_mutex_unlock(&log->lock);
    return full;
}

/* What fills up meanwhile is read as it is. */
static void order_full_runs(EventsLog *log)
{
    for (Run *full = take_full_run(log); full != NULL; full = take_full_run(log)) {
        Run *ordered = run_build(
            full->columns,
            &(RunOf){.segment = full->segment, .first_seq = full->first_seq, .key = full->key});
        replace_run(log, full, ordered);
        run_unref(ordered);
        run_unref(full);
    }
}

static Sources take_sources(Ctx *ctx, EventsLog *log)
{
    (void)pthread_mutex_lock(&log->lock);
    Sources s = {.at = ARENA_ARRAY(ctx->arena, Source, log->run_count), .count = log->run_count};
    for (size_t i = 0; i < s.count; i++)
        s.at[i] = source_of(log->runs[i]);
    (void)pthread_mutex_unlock(&log->lock);
    return s;
}

/* Whether what was read of the runs until now was theirs. */
static bool are_whole(const Sources *s)
{
    bool whole = true;
    for (size_t i = 0; i < s->count; i++)
        whole = run_is_whole(s->at[i].run) && whole;
    return whole;
}

static void give_sources(const Sources *s)
{
    for (size_t i = 0; i < s->count; i++)
        run_unref(s->at[i].run);
}

/* The run of the segment that is in the list now. */
static Run *run_now(EventsLog *log, uint64_t segment)
{
    Run *run = NULL;
    (void)pthread_mutex_lock(&log->lock);
    for (size_t i = 0; i < log->run_count && run == NULL; i++)
        if (log->runs[i]->segment == segment)
            run = run_ref(log->runs[i]);
    (void)pthread_mutex_unlock(&log->lock);
    CHECK(run != NULL);
    return run;
}

static Err make_again(Ctx *ctx, EventsLog *log, Source *s)
{
    Run *again = NULL;
    const FullSegment segment = {s->run->segment, s->run->first_seq + s->run->count};
    LOG(LOG_ERROR, "events.index_damaged", LOG_I64("segment", (int64_t)segment.first_seq));
    const Err err = log_seal_segment(ctx, log, segment, &again);
    if (again == NULL)
        return err;
    run_unref(s->run);
    (void)pthread_mutex_lock(&log->lock);
    *s = source_of(again);
    log_swap_runs(log, again);
    (void)pthread_mutex_unlock(&log->lock);
    return ERR_OK;
}

/* A sealed run whose file turned out to be damaged is made again from its segment, unless somebody did. */
static Err repair(Ctx *ctx, EventsLog *log, Source *s)
{
    (void)pthread_mutex_lock(&log->rework);
    Run *now = run_now(log, s->run->segment);
    run_unref(s->run);
    *s = source_of(now);
    run_unref(now);
    const Err err = run_is_trusted(s->run) ? ERR_OK : make_again(ctx, log, s);
    (void)pthread_mutex_unlock(&log->rework);
    return err;
}

static Err make_trusted(Ctx *ctx, EventsLog *log, Source *s)
{
    return run_is_trusted(s->run) ? ERR_OK : repair(ctx, log, s);
}

/* ---- stretches ------------------------------------------------------------------------------- */

/* The position at place `i` of the order.  A mapped file may go bad after it was checked: a wrong
 * position gives a wrong event at worst, and verify finds it. */
static uint32_t position_at(const Source *s, uint32_t i)
{
    const uint32_t position = s->order[i];
    return position < s->count ? position : 0;
}

static bool is_below(const Source *s, uint32_t position, Bound b)
{
    const int64_t t = s->time[position];
    return t < b.time_ms || (t == b.time_ms && s->run->first_seq + position < b.seq);
}

/* The first place in order[lo, hi) that is not below `b`. */
static uint32_t bound_place(const Source *s, uint32_t lo, uint32_t hi, Bound b)
{
    while (lo < hi) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if (is_below(s, position_at(s, mid), b))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The first place in the sorted hash[0, n) with at least `hash`. */
static uint32_t hash_place(const uint64_t *sorted, uint32_t n, uint64_t hash)
{
    uint32_t lo = 0, hi = n;
    while (lo < hi) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if (sorted[mid] < hash)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static uint64_t query_hash(Reader *r, const Run *run)
{
    if (memcmp(r->key, run->key, sizeof r->key) != 0) {
        memcpy(r->key, run->key, sizeof r->key);
        r->hash = run_actor_hash(run->key, r->q->actor);
    }
    return r->hash;
}

/* An open run has no orders yet: its matches are picked and sorted here. */
static void stretch_of_open(Ctx *ctx, Reader *r, Source *s)
{
    const uint64_t hash = r->by_actor ? query_hash(r, s->run) : 0;
    uint32_t *order = ARENA_ARRAY(ctx->arena, uint32_t, s->count + 1);
    uint64_t *keys = ARENA_ARRAY(ctx->arena, uint64_t, s->count + 1);
    uint32_t n = 0;
    const RunColumns *c = s->run->columns;
    for (uint32_t i = 0; i < s->count; i++) {
        if ((r->by_actor && c->hash[i] != hash) || is_below(s, i, r->from) ||
            !is_below(s, i, r->below))
            continue;
        order[n++] = i;
        keys[i] = (uint64_t)s->time[i];
    }
    run_sort(keys, n, order, ARENA_ARRAY(ctx->arena, uint32_t, n + 1));
    s->order = order;
    s->lo = 0;
    s->hi = n;
}

static Err find_stretch(Ctx *ctx, Reader *r, Source *s)
{
    if (s->run->is_open) {
        stretch_of_open(ctx, r, s);
        return ERR_OK;
    }
    const RunHead *h = &s->run->head;
    if (h->max_ms < r->from.time_ms || h->min_ms > r->below.time_ms)
        return ERR_OK; /* lo == hi: nothing here */
    TRY(make_trusted(ctx, r->log, s));
    s->lo = 0;
    s->hi = s->count;
    s->order = r->by_actor ? s->run->by_actor : s->run->by_time;
    if (r->by_actor) {
        const uint64_t hash = query_hash(r, s->run);
        s->lo = hash_place(s->run->hash, s->count, hash);
        s->hi = hash == UINT64_MAX ? s->count : hash_place(s->run->hash, s->count, hash + 1);
    }
    s->lo = bound_place(s, s->lo, s->hi, r->from);
    s->hi = bound_place(s, s->lo, s->hi, r->below);
    return ERR_OK;
}

/* The position that the source gives next. */
static uint32_t next_position(const Reader *r, const Source *s)
{
    return position_at(s, r->q->oldest_first ? s->lo : s->hi - 1);
}

static EventsCursor next_of(const Reader *r, const Source *s)
{
    const uint32_t position = next_position(r, s);
    return (EventsCursor){s->time[position], s->run->first_seq + position};
}

static bool is_newer(EventsCursor a, EventsCursor b)
{
    return a.time_ms > b.time_ms || (a.time_ms == b.time_ms && a.seq > b.seq);
}

/* The source that holds the event to be given next, or NULL. */
static Source *next_source(const Reader *r)
{
    Source *best = NULL;
    EventsCursor best_at = {0, 0};
    for (size_t i = 0; i < r->sources.count; i++) {
        Source *one = &r->sources.at[i];
        if (one->lo == one->hi)
            continue;
        const EventsCursor at = next_of(r, one);
        if (best == NULL || is_newer(at, best_at) != r->q->oldest_first) {
            best = one;
            best_at = at;
        }
    }
    return best;
}

/* ---- events ---------------------------------------------------------------------------------- */

static const RunFrame *frame_of(const Source *s, uint32_t position)
{
    uint32_t lo = 0, hi = s->frame_count;
    while (lo < hi) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if (s->frames[mid].first <= position)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo == 0 ? NULL : &s->frames[lo - 1];
}

/* *stale = the file may not be the one that the run was made of. */
static Err open_file_of(Ctx *ctx, EventsLog *log, const Run *run, File *file, bool *stale)
{
    char name[LOG_NAME_BYTES];
    TRY(file_open(ctx, log->folder, log_file_name(run->segment, LOG_SUFFIX, name), FILE_READ,
                  file));
    *stale = !log_is_current(log, run);
    return ERR_OK;
}

static Err open_segment(Ctx *ctx, Reader *r, const Run *run)
{
    const uint64_t segment = run->segment;
    if (r->segment == segment)
        return ERR_OK;
    File file;
    TRY(open_file_of(ctx, r->log, run, &file, &r->stale));
    file_close(&r->frames.file);
    frame_reader_switch(&r->frames, file);
    r->segment = segment;
    r->has_frame = false;
    return ERR_OK;
}

/* *good = the event could be read; otherwise its frame is damaged. */
static Err read_event(Ctx *ctx, Reader *r, const Source *s, uint32_t position, Event *e, bool *good)
{
    *good = false;
    const RunFrame *where = frame_of(s, position);
    if (where == NULL)
        return ERR_OK;
    const Err opened = open_segment(ctx, r, s->run);
    if (opened != ERR_OK || r->stale)
        return opened == ERR_NOT_FOUND ? ERR_OK : opened; /* a lost file is damage */
    if (!r->has_frame || r->frame.offset != where->offset) {
        FrameState state;
        TRY(frame_read(ctx, &r->frames, where->offset, &r->frame, &state));
        r->has_frame = state == FRAME_GOOD;
    }
    const uint64_t first_seq = s->run->first_seq + where->first;
    const uint32_t at = s->offset[position];
    const size_t from = where->offset + FRAME_HEAD_BYTES;
    if (!r->has_frame || r->frame.head.first_seq != first_seq || at < from)
        return ERR_OK;
    Ctx scratch = {.arena = r->scratch};
    arena_reset(r->scratch);
    const Str bytes = str_slice(r->frame.events, at - from, r->frame.events.len);
    *good = event_decode(&scratch, bytes, e, NULL) == ERR_OK && e->kind != EVENT_GONE &&
            e->time_ms == s->time[position];
    e->seq = s->run->first_seq + position;
    return ERR_OK;
}

static bool is_wanted(const Reader *r, const Event *e)
{
    return !r->by_actor ||
           (str_eq(e->actor.kind, r->q->actor.kind) && str_eq(e->actor.value, r->q->actor.value));
}

static Err give_page(Ctx *ctx, Reader *r, EventFn fn, void *arg, EventsPage *page)
{
    while (page->given < r->q->limit) {
        Source *s = next_source(r);
        if (s == NULL)
            return ERR_OK;
        const uint32_t position = next_position(r, s);
        Event e = {.kind = EVENT_GONE};
        bool good = false;
        TRY(read_event(ctx, r, s, position, &e, &good));
        const EventsCursor next = next_of(r, s);
        if (r->stale || !are_whole(&r->sources))
            return ERR_OK;
        page->next = next;
        if (r->q->oldest_first)
            s->lo++;
        else
            s->hi--;
        page->damaged += !good;
        if (!good || !is_wanted(r, &e))
            continue; /* another actor may share the hash */
        TRY(fn(ctx, &e, arg));
        page->given++;
    }
    page->more = next_source(r) != NULL;
    return ERR_OK;
}

static Bound upper_bound(const EventsQuery *q, EventsCursor after)
{
    const Bound to = {q->to_ms == 0 ? INT64_MAX : q->to_ms, 0};
    return q->oldest_first || after.seq == 0 || is_newer(after, to) ? to : after;
}

static Bound lower_bound(const EventsQuery *q, EventsCursor after)
{
    const Bound from = {q->from_ms < 0 ? 0 : q->from_ms, 0};
    const Bound behind = {after.time_ms, after.seq + 1};
    return !q->oldest_first || after.seq == 0 || is_newer(from, behind) ? from : behind;
}

static Err read_with(Ctx *ctx, Reader *r, EventFn fn, void *arg, EventsPage *page)
{
    for (size_t i = 0; i < r->sources.count; i++)
        TRY(find_stretch(ctx, r, &r->sources.at[i]));
    return give_page(ctx, r, fn, arg, page);
}

/* What was given stays given; the rest comes from the runs of now. */
static Err read_page(Ctx *ctx, Reader *r, EventFn fn, void *arg, EventsPage *page)
{
    Err err = ERR_OK;
    do {
        r->stale = false;
        r->below = upper_bound(r->q, page->next);
        r->from = lower_bound(r->q, page->next);
        order_full_runs(r->log);
        r->sources = take_sources(ctx, r->log);
        err = read_with(ctx, r, fn, arg, page);
        r->stale = r->stale || !are_whole(&r->sources);
        give_sources(&r->sources);
        r->segment = r->stale ? 0 : r->segment;
    } while (err == ERR_OK && r->stale);
    return err;
}

static Err query(Ctx *ctx, EventsLog *log, const EventsQuery *q, bool by_actor, EventFn fn,
                 void *arg, EventsPage *page)
{
    *page = (EventsPage){.next = q->after};
    if (q->limit == 0 || q->limit > EVENTS_PAGE_MAX)
        return fail(ctx, ERR_INVALID, "events.limit", "%u", q->limit);
    const bool no_such_key = q->actor.kind.len > EVENT_ACTOR_KIND_BYTES_MAX ||
                             q->actor.value.len > EVENT_ACTOR_VALUE_BYTES_MAX;
    if (by_actor && no_such_key)
        return ERR_OK;
    Reader r = {.log = log, .q = q, .by_actor = by_actor, .scratch = arena_new(FRAME_PICK_BYTES)};
    memcpy(r.key, log->key, sizeof r.key);
    r.hash = by_actor ? run_actor_hash(r.key, q->actor) : 0;
    frame_reader_init(&r.frames, FILE_NONE, FRAME_PICK_BYTES);
    const Err err = read_page(ctx, &r, fn, arg, page);
    file_close(&r.frames.file);
    frame_reader_clear(&r.frames);
    arena_free(r.scratch);
    return err;
}

Err events_by_actor(Ctx *ctx, EventsLog *log, const EventsQuery *q, EventFn fn, void *arg,
                    EventsPage *page)
{
    return query(ctx, log, q, true, fn, arg, page);
}

static Err keep_erasure(Ctx *ctx, const Event *e, void *arg)
{
    (void)ctx;
    uint64_t *seq = arg;
    if (e->kind == EVENT_ERASE && e->seq > *seq)
        *seq = e->seq;
    return ERR_OK;
}

Err events_forgotten(Ctx *ctx, EventsLog *log, EventActor actor, uint64_t *seq)
{
    EventsPage page = {.more = true};
    uint64_t last = 0;
    while (page.more) {
        const EventsQuery q = {.actor = actor, .limit = EVENTS_PAGE_MAX, .after = page.next};
        TRY(query(ctx, log, &q, true, keep_erasure, &last, &page));
    }
    *seq = last;
    return ERR_OK;
}

Err events_by_time(Ctx *ctx, EventsLog *log, const EventsQuery *q, EventFn fn, void *arg,
                   EventsPage *page)
{
    return query(ctx, log, q, false, fn, arg, page);
}

/* ---- histories --------------------------------------------------------------------------------- */

static Err read_mark(Ctx *ctx, EventsLog *log, const Source *s, uint64_t end_seq, uint32_t *mark,
                     bool *stale)
{
    const uint64_t seq = end_seq - 1;
    const RunFrame *where = frame_of(s, (uint32_t)(seq - s->run->first_seq));
    if (where == NULL)
        return ERR_OK;
    FrameHead head = {0};
    File file;
    TRY(open_file_of(ctx, log, s->run, &file, stale));
    size_t got = 0;
    const Err err = file_read_at(ctx, file, where->offset, (char *)&head, sizeof head, &got);
    file_close(&file);
    /* What the damage took stands behind another frame. */
    const bool holds = err == ERR_OK && got == sizeof head && frame_head_is_good(&head) &&
                       seq >= head.first_seq && seq < head.first_seq + head.count;
    *mark = holds ? frame_mark(&head) : 0;
    return err;
}

static Err find_mark(Ctx *ctx, EventsLog *log, uint64_t end_seq, uint32_t *mark, bool *stale)
{
    *mark = 0;
    *stale = false;
    Err err = ERR_OK;
    Sources sources = take_sources(ctx, log);
    for (size_t i = 0; i < sources.count && err == ERR_OK; i++) {
        Source *s = &sources.at[i];
        if (end_seq <= s->run->first_seq || end_seq > s->run->first_seq + s->count)
            continue;
        err = make_trusted(ctx, log, s);
        if (err == ERR_OK)
            err = read_mark(ctx, log, s, end_seq, mark, stale);
    }
    give_sources(&sources);
    return err == ERR_NOT_FOUND ? ERR_OK : err; /* a lost file has no history */
}

Err events_mark(Ctx *ctx, EventsLog *log, uint64_t end_seq, uint32_t *mark)
{
    bool stale = true;
    while (stale)
        TRY(find_mark(ctx, log, end_seq, mark, &stale));
    return ERR_OK;
}

/* ---- counts ---------------------------------------------------------------------------------- */

int64_t events_count(EventsLog *log)
{
    int64_t n = 0;
    (void)pthread_mutex_lock(&log->lock);
    for (size_t i = 0; i < log->run_count; i++)
        n += log->runs[i]->happened;
    (void)pthread_mutex_unlock(&log->lock);
    return n;
}

/* Sums per (name, day): a hash table that doubles. */
typedef struct Tally {
    Arena *arena;      /* the names' bytes */
    EventsCount *slot; /* count 0 = empty */
    size_t slots, used;
    Str name; /* only this one, "" = all */
    int32_t from_day, to_day;
} Tally;

static EventsCount *tally_slot(const Tally *t, Str name, int32_t day)
{
    static const uint8_t key[SIPHASH_KEY_BYTES]; /* lives as long as one query */
    size_t at = (size_t)(siphash(key, name) + (uint64_t)(uint32_t)day * 0x9e3779b97f4a7c15) &
                (t->slots - 1);
    while (t->slot[at].count != 0 && (t->slot[at].day != day || !str_eq(t->slot[at].name, name)))
        at = (at + 1) & (t->slots - 1);
    return &t->slot[at];
}

static void tally_grow(Tally *t)
{
    const Tally old = *t;
    t->slots = old.slots == 0 ? 256 : old.slots * 2;
    t->slot = calloc(t->slots, sizeof *t->slot);
    CHECK(t->slot != NULL);
    for (size_t i = 0; i < old.slots; i++)
        if (old.slot[i].count != 0)
            *tally_slot(t, old.slot[i].name, old.slot[i].day) = old.slot[i];
    free(old.slot);
}

static void tally_add(Tally *t, Str name, int32_t day, int64_t count)
{
    if (day < t->from_day || day >= t->to_day || (t->name.len > 0 && !str_eq(t->name, name)))
        return;
    if (t->used * 2 >= t->slots)
        tally_grow(t);
    EventsCount *slot = tally_slot(t, name, day);
    if (slot->count == 0) {
        t->used++;
        *slot = (EventsCount){.name = arena_copy(t->arena, name), .day = day};
    }
    slot->count += count;
}

static void tally_source(Tally *t, const Source *s)
{
    const Run *run = s->run;
    for (uint32_t i = 0; !run->is_open && i < run->head.count_count; i++) {
        const RunCount *c = &run->counts[i];
        if ((uint64_t)c->name_at + c->name_len > run->head.name_bytes)
            continue; /* gone bad after it was checked, see position_at() */
        tally_add(t, (Str){run->names + c->name_at, c->name_len}, c->day, c->count);
    }
    for (uint32_t i = 0; run->is_open && i < s->count; i++) {
        const uint32_t id = run->columns->name_id[i];
        if (id != RUN_NAME_NONE)
            tally_add(t, run->columns->names[id], clock_day(s->time[i], 0), 1);
    }
}

static Err tally_all(Ctx *ctx, EventsLog *log, Tally *t, bool *whole)
{
    Err err = ERR_OK;
    order_full_runs(log);
    Sources sources = take_sources(ctx, log);
    for (size_t i = 0; i < sources.count && err == ERR_OK; i++) {
        err = make_trusted(ctx, log, &sources.at[i]);
        if (err == ERR_OK)
            tally_source(t, &sources.at[i]);
    }
    *whole = are_whole(&sources);
    give_sources(&sources);
    return err;
}

Err events_counts(Ctx *ctx, EventsLog *log, Str name, int32_t from_day, int32_t to_day,
                  EventsCountFn fn, void *arg, int64_t *total)
{
    Tally t = {.slot = NULL};
    int64_t sum = 0;
    bool whole = false;
    Err err = ERR_OK;
    while (!whole && err == ERR_OK) {
        free(t.slot);
        t = (Tally){.arena = ctx->arena, .name = name, .from_day = from_day, .to_day = to_day};
        err = tally_all(ctx, log, &t, &whole);
    }
    for (size_t i = 0; i < t.slots && err == ERR_OK; i++) {
        if (t.slot[i].count == 0)
            continue;
        sum += t.slot[i].count;
        err = fn(ctx, &t.slot[i], arg);
    }
    free(t.slot);
    if (err == ERR_OK && total != NULL)
        *total = sum;
    return err;
}
