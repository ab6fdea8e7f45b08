/*
 * app/check_log.c -- sums over ids of rows and of events; where they differ, the ids.
 */
#include "app/check_log.h"

#include "base/hash.h"
#include "base/rand.h"
#include "outbox.sql.h"

#include <stdlib.h>

enum { BUCKETS = 4096, PAGE_ROWS = 1000, OUTBOX_PAGE = 100, PROGRESS_EVERY = 65536 };

/* Events add, rows take away: all zero when each has the other. */
typedef struct Bucket {
    int64_t count;
    uint64_t sum;
} Bucket;

/* An id in a bucket that does not add up. */
typedef struct Suspect {
    int64_t id;
    int32_t kind;
    int32_t side; /* +1 an event, -1 a row */
} Suspect;

typedef struct OutboxRow {
    int64_t id;
    uint64_t hash;
    bool in_log;
} OutboxRow;

typedef struct Pass {
    Ctx *ctx;
    CheckLog *check;
    EventsSurvey survey;
    uint64_t seed;
    bool collecting; /* the second pass */
    Bucket (*buckets)[BUCKETS];
    OutboxRow *outbox;
    size_t outbox_count, outbox_cap;
    Suspect *suspects;
    size_t suspect_count, suspect_cap;
    bool excused; /* rows without an event are as few as erased records are */
} Pass;

/* Doubles; what is looked at is bounded by what is wrong and by a minute of outbox rows. */
static void *grown(void *at, size_t count, size_t *cap, size_t size)
{
    if (count < *cap)
        return at;
    *cap = *cap == 0 ? 1024 : *cap * 2;
    at = realloc(at, *cap * size);
    CHECK(at != NULL);
    return at;
}

/* ---- ids ------------------------------------------------------------------------------------------- */

static void note_id(Pass *p, size_t kind, int64_t id, int side)
{
    const uint64_t hash = hash_u64((uint64_t)id, p->seed);
    Bucket *b = &p->buckets[kind][hash % BUCKETS];
    if (!p->collecting) {
        b->count += side;
        b->sum += side > 0 ? hash : 0 - hash;
        return;
    }
    if (b->count == 0 && b->sum == 0)
        return;
    p->suspects = grown(p->suspects, p->suspect_count, &p->suspect_cap, sizeof *p->suspects);
    p->suspects[p->suspect_count++] = (Suspect){.id = id, .kind = (int32_t)kind, .side = side};
}

/* The number at the end of an event's id: 17 of "claimed-17". */
static bool number_of(Str id, int64_t *out)
{
    size_t from = id.len;
    while (from > 0 && id.ptr[from - 1] >= '0' && id.ptr[from - 1] <= '9')
        from--;
    return str_to_i64(str_slice(id, from, id.len), out);
}

static void note_event(Pass *p, const Event *e)
{
    int64_t id = 0;
    if (e->kind != EVENT_HAPPENED)
        return;
    for (size_t i = 0; i < p->check->kind_count; i++) {
        const CheckEvent *k = p->check->kinds[i].event;
        if (!str_eq(e->name, str_of(k->name)) || !str_eq(e->source, str_of(k->source)))
            continue;
        if (number_of(e->id, &id))
            note_id(p, i, id, 1);
        return;
    }
}

/* True when one of the records is an erased one's place. */
static bool note_records(Pass *p, Str records, bool counts)
{
    bool gone = false;
    for (size_t at = 0, used = 0; at < records.len; at += used) {
        Event e;
        if (!event_check(str_slice(records, at, records.len), &e, &used))
            return gone;
        gone |= e.kind == EVENT_GONE;
        p->check->erased += !p->collecting && e.kind == EVENT_GONE;
        p->check->events += !p->collecting;
        if (counts)
            note_event(p, &e);
    }
    return gone;
}

/* ---- rows ------------------------------------------------------------------------------------------ */

typedef struct RowPage {
    Pass *pass;
    size_t kind;
    int64_t last, rows;
} RowPage;

static Err note_row(Ctx *ctx, const SqlRow *row, void *arg)
{
    (void)ctx;
    RowPage *page = arg;
    page->last = row->col[0].i64;
    page->rows++;
    note_id(page->pass, page->kind, page->last, -1);
    return ERR_OK;
}

static Err note_rows(Pass *p, size_t kind)
{
    RowPage page = {.pass = p, .kind = kind, .last = INT64_MIN};
    CheckLogKind *k = &p->check->kinds[kind];
    k->rows = 0;
    do {
        const SqlValue args[] = {sql_i64(page.last), sql_i64(PAGE_ROWS)};
        page.rows = 0;
        TRY(db_each(p->ctx, k->rows_query, args, note_row, &page));
        k->rows += page.rows;
        if (k->rows % PROGRESS_EVERY < PAGE_ROWS)
            p->check->progress(p->check->arg, k->event->thing, k->rows);
    } while (page.rows == PAGE_ROWS);
    return ERR_OK;
}

/* ---- the outbox ------------------------------------------------------------------------------------ */

static OutboxRow *find_outbox(Pass *p, int64_t id)
{
    size_t low = 0, high = p->outbox_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (p->outbox[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < p->outbox_count && p->outbox[low].id == id ? &p->outbox[low] : NULL;
}

typedef Err (*OutboxFn)(Pass *p, const Row_outbox_after *row);

static Err each_outbox(Pass *p, OutboxFn fn)
{
    for (int64_t after = INT64_MIN;;) {
        Arena *arena = arena_new(1 << 16);
        Ctx c = *p->ctx;
        c.arena = arena;
        Row_outbox_after *rows = NULL;
        size_t n = 0;
        Err err = sql_outbox_after(&c, after, OUTBOX_PAGE, &rows, &n);
        for (size_t i = 0; err == ERR_OK && i < n; i++) {
            err = fn(p, &rows[i]);
            after = rows[i].id;
        }
        p->ctx->fault = c.fault;
        arena_free(arena);
        if (err != ERR_OK || n < OUTBOX_PAGE)
            return err;
    }
}

static Err learn_outbox(Pass *p, const Row_outbox_after *row)
{
    p->outbox = grown(p->outbox, p->outbox_count, &p->outbox_cap, sizeof *p->outbox);
    p->outbox[p->outbox_count++] =
        (OutboxRow){.id = row->id, .hash = hash_bytes(row->events, p->seed)};
    return ERR_OK;
}

/* Its events count as if they were in the log: the server, or its next start, puts them there. */
static Err count_waiting(Pass *p, const Row_outbox_after *row)
{
    if (find_outbox(p, row->id)->in_log)
        return ERR_OK;
    (void)note_records(p, row->events, true);
    if (p->collecting)
        return ERR_OK;
    p->check->waiting++;
    if (events_survey_counts_applied(&p->survey, row->id))
        p->check->report(p->check->arg,
                         "outbox row: the log's manifest counts it as applied, but its events are "
                         "not in the log",
                         row->id);
    return ERR_OK;
}

static void meet_outbox(Pass *p, OutboxRow *row, Str records, bool gone)
{
    if (p->collecting)
        return;
    if (row->in_log)
        p->check->report(p->check->arg, "outbox row: its events are twice in the log", row->id);
    else if (!gone && hash_bytes(records, p->seed) != row->hash)
        p->check->report(p->check->arg, "outbox row: the log holds other events for it", row->id);
    row->in_log = true;
}

static Err read_batch(Ctx *ctx, uint64_t first_seq, int64_t outbox_id, Str records, void *arg)
{
    (void)ctx;
    Pass *p = arg;
    OutboxRow *row = outbox_id == 0 ? NULL : find_outbox(p, outbox_id);
    const bool counts = first_seq < p->check->end_before || row != NULL;
    const bool gone = note_records(p, records, counts);
    if (row != NULL)
        meet_outbox(p, row, records, gone);
    if (first_seq % 1024 == 0)
        p->check->progress(p->check->arg, "events", (int64_t)first_seq);
    return ERR_OK;
}

static void report_file(const char *file, int64_t offset, const char *what, void *arg)
{
    const Pass *p = arg;
    p->check->file_report(file, offset, what, p->check->arg);
}

/* ---- findings -------------------------------------------------------------------------------------- */

static int order_suspects(const void *a, const void *b)
{
    const Suspect *x = a, *y = b;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    return x->id == y->id ? 0 : x->id < y->id ? -1 : 1;
}

static void report_suspect(Pass *p, const CheckEvent *e, int64_t id, int64_t rows, int64_t events)
{
    Str what;
    if (rows == 0)
        what = arena_printf(p->ctx->arena, "%s: is not there, but the log has its event \"%s\"",
                            e->thing, e->name);
    else
        what = arena_printf(p->ctx->arena, "%s: has %s event \"%s\" in the log", e->thing,
                            events == 0 ? "no" : "more than one", e->name);
    p->check->report(p->check->arg, what.ptr, id);
}

/* The rows and events of the suspect at `i`; gives the place of the next one. */
static size_t count_sides(const Pass *p, size_t i, int64_t *rows, int64_t *events)
{
    const Suspect *s = &p->suspects[i];
    *rows = *events = 0;
    for (; i < p->suspect_count && order_suspects(s, &p->suspects[i]) == 0; i++) {
        *rows += p->suspects[i].side < 0;
        *events += p->suspects[i].side > 0;
    }
    return i;
}

/* An erased record does not say whose event it was: as many rows may be without theirs. */
static void excuse_erased(Pass *p)
{
    int64_t without = 0, rows = 0, events = 0;
    for (size_t i = 0; i < p->suspect_count;) {
        i = count_sides(p, i, &rows, &events);
        without += events == 0 ? rows : 0;
    }
    p->excused = without <= p->check->erased;
}

static void report_suspects(Pass *p)
{
    int64_t told[CHECK_LOG_KINDS_MAX] = {0}, rows = 0, events = 0;
    if (p->suspect_count > 0)
        qsort(p->suspects, p->suspect_count, sizeof *p->suspects, order_suspects);
    excuse_erased(p);
    for (size_t i = 0, next = 0; i < p->suspect_count; i = next) {
        const Suspect *s = &p->suspects[i];
        next = count_sides(p, i, &rows, &events);
        if (rows == events || (p->excused && events == 0))
            continue;
        if (told[s->kind]++ < CHECK_LOG_FINDINGS_MAX)
            report_suspect(p, p->check->kinds[s->kind].event, s->id, rows, events);
    }
}

/* Keeps the first wrong buckets of each kind and clears the others; true when there is any. */
static bool any_wrong(Pass *p)
{
    bool any = false;
    for (size_t k = 0; k < p->check->kind_count; k++) {
        int kept = 0;
        for (size_t i = 0; i < BUCKETS; i++) {
            Bucket *b = &p->buckets[k][i];
            if (b->count == 0 && b->sum == 0)
                continue;
            any = true;
            if (kept++ >= CHECK_LOG_FINDINGS_MAX)
                *b = (Bucket){0};
        }
    }
    return any;
}

/* ---- passes ---------------------------------------------------------------------------------------- */

static Err one_pass(Pass *p)
{
    int64_t bad = 0;
    const EventsSurveyVisit visit = {
        .batch = read_batch, .report = p->collecting ? NULL : report_file, .arg = p};
    TRY(events_survey_read(p->ctx, &p->survey, &visit, &bad));
    TRY(each_outbox(p, count_waiting));
    for (size_t k = 0; k < p->check->kind_count; k++)
        TRY(note_rows(p, k));
    return ERR_OK;
}

static Err both_passes(Pass *p)
{
    TRY(each_outbox(p, learn_outbox));
    const Err err = events_survey(p->ctx, p->check->folder, &p->survey);
    if (err != ERR_OK && err != ERR_NOT_FOUND)
        return err;
    if (err == ERR_NOT_FOUND)
        p->survey = (EventsSurvey){.folder = p->check->folder, .manifest_good = true};
    TRY(one_pass(p));
    if (!any_wrong(p))
        return ERR_OK;
    p->collecting = true;
    TRY(one_pass(p));
    report_suspects(p);
    return ERR_OK;
}

Err check_log_end(Ctx *ctx, Str folder, uint64_t *end)
{
    EventsSurvey survey;
    const Err err = events_survey(ctx, folder, &survey);
    *end = err == ERR_OK ? survey.end_seq : 1;
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

Err check_log_run(Ctx *ctx, CheckLog *check)
{
    check->kind_count = 0;
    for (const RoomCheck *const *r = check->rooms; *r != NULL; r++)
        for (const CheckEvent *e = (*r)->events; e != NULL && e->source != NULL; e++) {
            CHECK(check->kind_count < CHECK_LOG_KINDS_MAX);
            check->kinds[check->kind_count++] =
                (CheckLogKind){.event = e, .rows_query = check_query_of((*r)->schema, e->query)};
        }
    Pass p = {.ctx = ctx,
              .check = check,
              .seed = rand_u64(),
              .buckets = calloc(check->kind_count + 1, sizeof *p.buckets)};
    CHECK(p.buckets != NULL);
    const Err err = both_passes(&p);
    free(p.buckets);
    free(p.outbox);
    free(p.suspects);
    return err;
}
