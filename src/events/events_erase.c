/*
 * events/events_erase.c -- full segments written again without what was erased.
 *
 *   look     every EVENT_ERASE since the last look goes into the ledger (events/erased.h), on disk
 *   close    the newest segment becomes a full one, when there is something to erase in it
 *   sweep    one segment per step: read; when it holds something to erase, "N.log.tmp" is written and synced,
 *            renamed, its run swapped, "N.idx" written
 *   done     nobody waits in the ledger any more
 *
 * Whoever reads records before all this is done looks by himself, into a ledger of his own (events_hidden()).
 *
 * The ledger is on disk before the first EVENT_ERASE goes, so that after a crash the sweep begins anew and finds
 * everybody.  A file that was renamed and has its old index is found at start (the index does not fit) and here (the
 * run is not mapped).
 */
#include "events/eventlog.h"
#include "events/events_survey.h"

#include "base/log.h"
#include "events/crc32c.h"
#include "events/event_rules.h"

#include <stdlib.h>

enum {
    WRITE_BYTES = 1 << 20,
    HOLE_BYTES = FRAME_HEAD_BYTES,
    LOOK_EVENTS = 4 << 20,                /* of one step */
    LOOK_SAVE = EVENTS_SEGMENT_COUNT_MAX, /* so many are looked at again by a start at most */
};

/* ---- looking --------------------------------------------------------------------------------- */

typedef struct Look {
    EventsLog *log;
    const EventsErase *options;
    uint64_t from_seq, end_seq;
    uint64_t reached; /* everything below was looked at */
    uint64_t unread;  /* the first segment that could not be, 0 = none */
    bool full;        /* there is no room for who asked at `reached` */
    Erased found;     /* the ledger in the making */
} Look;

static Err look_at(Ctx *ctx, uint64_t first_seq, int64_t outbox_id, Str records, void *arg)
{
    (void)outbox_id;
    Look *l = arg;
    uint64_t seq = first_seq;
    l->reached = first_seq;
    if (first_seq >= l->from_seq + LOOK_EVENTS)
        return ERR_CONFLICT; /* enough of them */
    for (size_t used = 0; records.len > 0 && seq < l->end_seq; seq++) {
        Event e;
        CHECK(event_check(records, &e, &used)); /* the survey did the same */
        records = str_slice(records, used, records.len);
        if (e.kind != EVENT_ERASE || seq < l->from_seq)
            continue;
        l->reached = seq;
        const Err err = erased_add(ctx, &l->found, l->options->key, e.actor, seq, e.received_ms);
        l->full = err != ERR_OK;
        if (l->full)
            return ERR_CONFLICT;
    }
    return ERR_OK;
}

static Erased copy_of(const Erased *e)
{
    Erased copy = *e;
    copy.cap = e->count;
    copy.at = calloc(e->count + 1, sizeof *copy.at);
    CHECK(copy.at != NULL);
    if (e->count > 0)
        memcpy(copy.at, e->at, e->count * sizeof *copy.at);
    return copy;
}

/* What the look met, for whoever asks how things are. */
static void set_met(EventsLog *log, const Look *l)
{
    if (l->unread != 0 && log->look_unread == 0)
        LOG(LOG_ERROR, "events.erase_unread", LOG_I64("segment", (int64_t)l->unread),
            LOG_C("note", "who asked in it to be erased is not known"));
    (void)pthread_mutex_lock(&log->lock);
    log->look_unread = log->look_unread == 0 ? l->unread : log->look_unread;
    log->erase_full = l->full;
    (void)pthread_mutex_unlock(&log->lock);
}

static void set_ledger(EventsLog *log, const Erased *e)
{
    (void)pthread_mutex_lock(&log->lock);
    erased_clear(&log->erased);
    log->erased = *e;
    (void)pthread_mutex_unlock(&log->lock);
}

/* The ledger becomes `e`, which is taken over, on disk and then in memory.  What could not be read is looked at again
 * by the next start. */
static Err use_ledger(Ctx *ctx, EventsLog *log, Erased *e)
{
    const uint64_t looked = e->looked;
    if (log->look_unread != 0 && log->look_unread < looked)
        e->looked = log->look_unread;
    const Err err = erased_save(ctx, log->folder, e);
    e->looked = looked;
    if (err == ERR_OK)
        set_ledger(log, e);
    else
        erased_clear(e);
    return err;
}

static Err look_through(Ctx *ctx, Look *l)
{
    EventsSurvey survey;
    int64_t bad = 0; /* found again, and named, by events_verify() */
    const EventsSurveyVisit visit = {
        .from_seq = l->from_seq, .batch = look_at, .arg = l, .unread = &l->unread};
    TRY(events_survey(ctx, l->log->folder, &survey));
    const Err err = events_survey_read(ctx, &survey, &visit, &bad);
    if (err == ERR_OK)
        l->reached = l->end_seq;
    l->found.looked = l->reached;
    return err == ERR_CONFLICT ? ERR_OK : err;
}

static Err look_on(Ctx *ctx, Look *l)
{
    TRY(erased_use_key(ctx, &l->found, l->options->key));
    if (l->found.again)
        erased_again(&l->found, l->end_seq, l->options->now_ms);
    l->from_seq = l->reached = l->found.looked;
    return l->from_seq < l->end_seq ? look_through(ctx, l) : ERR_OK;
}

/* Of what is on disk only: numbers that a crash takes back are given once more.  *more = there is more to look at. */
static Err look(Ctx *ctx, EventsLog *log, const EventsErase *options, bool *more)
{
    TRY(events_sync(ctx, log));
    const Erased *before = &log->erased;
    Look l = {.log = log, .options = options, .found = copy_of(before)};
    (void)pthread_mutex_lock(&log->lock);
    l.end_seq = log->durable_seq;
    (void)pthread_mutex_unlock(&log->lock);
    const Err err = look_on(ctx, &l);
    if (err != ERR_OK) {
        erased_clear(&l.found);
        return err;
    }
    const ErasedWaiting was = erased_waiting(before), is = erased_waiting(&l.found);
    const bool news = before->again || is.count != was.count || is.top != was.top;
    *more = l.found.looked < l.end_seq && !l.full;
    set_met(log, &l);
    if (news || l.found.looked - log->looked_saved >= LOOK_SAVE) {
        log->looked_saved = l.found.looked;
        return use_ledger(ctx, log, &l.found);
    }
    set_ledger(log, &l.found);
    return ERR_OK;
}

/* ---- hiding ------------------------------------------------------------------------------------ */

struct EventsHidden {
    CryptoKey key;
    Erased erased;
};

/* Goes on until everything that was there was looked at; whoever cannot be known must not be shown. */
static Err look_to_end(Ctx *ctx, Look *l)
{
    do
        TRY(look_on(ctx, l));
    while (l->found.looked < l->end_seq && !l->full);
    const uint64_t unread = l->log->look_unread != 0 ? l->log->look_unread : l->unread;
    if (l->full)
        return fail(ctx, ERR_BUSY, "events.erased_full", "%d actors", ERASED_MAX);
    if (unread != 0)
        return fail(ctx, ERR_INTERNAL, "events.erase_unread", "segment %" PRIu64, unread);
    return ERR_OK;
}

static Err find_hidden(Ctx *ctx, EventsLog *log, const EventsErase *options, Erased *out)
{
    Look l = {.log = log, .options = options, .found = copy_of(&log->erased)};
    (void)pthread_mutex_lock(&log->lock);
    l.end_seq = log->durable_seq;
    (void)pthread_mutex_unlock(&log->lock);
    const Err err = look_to_end(ctx, &l);
    if (err == ERR_OK)
        *out = l.found;
    else
        erased_clear(&l.found);
    return err;
}

Err events_hidden(Ctx *ctx, EventsLog *log, const CryptoKey *key, EventsHidden **out)
{
    const EventsErase options = {.key = key, .now_ms = ctx->now_ms};
    Erased erased;
    TRY(events_sync(ctx, log));
    (void)pthread_mutex_lock(&log->rework);
    const Err err = find_hidden(ctx, log, &options, &erased);
    (void)pthread_mutex_unlock(&log->rework);
    TRY(err);
    EventsHidden *hidden = calloc(1, sizeof *hidden);
    CHECK(hidden != NULL);
    *hidden = (EventsHidden){.key = *key, .erased = erased};
    *out = hidden;
    return ERR_OK;
}

void events_hidden_free(EventsHidden *hidden)
{
    if (hidden == NULL)
        return;
    erased_clear(&hidden->erased);
    free(hidden);
}

bool events_is_hidden(const EventsHidden *hidden, const Event *e)
{
    const Erased *erased = &hidden->erased;
    if (erased->count == 0)
        return false;
    const uint64_t below = erased_below(erased, &hidden->key, e->actor);
    return e->seq < below || (e->kind == EVENT_ERASE && e->seq == below) ||
           (event_has_other(e->kind) && e->seq < erased_below(erased, &hidden->key, e->other));
}

/* ---- closing the newest segment ---------------------------------------------------------------- */

/* Whether the newest segment holds numbers up to `top`.  Under the lock. */
static bool is_in_newest(const EventsLog *log, uint64_t top)
{
    return log->active_first <= top && log->next_seq > log->active_first;
}

/* Under the lock; while it waits, an append may have closed the segment. */
static Err close_newest(Ctx *ctx, EventsLog *log, uint64_t top)
{
    log->spare_wanted = true;
    (void)pthread_cond_broadcast(&log->changed);
    while (is_in_newest(log, top) && (!log->spare_ready || log->spare_making || log->syncing ||
                                      log->unsealed_count == LOG_UNSEALED_MAX)) {
        if (log->keeper_err != ERR_OK) {
            ctx->fault = log->keeper_fault;
            return log->keeper_err;
        }
        (void)pthread_cond_wait(&log->changed, &log->lock);
    }
    return is_in_newest(log, top) ? log_roll(ctx, log) : ERR_OK;
}

/* Under the lock. */
static Err wait_until_sealed(Ctx *ctx, EventsLog *log)
{
    while (log->unsealed_count > 0 && log->keeper_err == ERR_OK)
        (void)pthread_cond_wait(&log->changed, &log->lock);
    if (log->unsealed_count > 0)
        ctx->fault = log->keeper_fault;
    return log->unsealed_count > 0 ? log->keeper_err : ERR_OK;
}

/* Afterwards everything up to number `top` is in segments that have their index, or cannot get one. */
static Err begin_sweep(Ctx *ctx, EventsLog *log, uint64_t top)
{
    (void)pthread_mutex_lock(&log->lock);
    Err err = is_in_newest(log, top) ? close_newest(ctx, log, top) : ERR_OK;
    log->spare_wanted = false;
    if (err == ERR_OK)
        err = wait_until_sealed(ctx, log);
    log->sweep_unread = 0;
    if (err == ERR_INTERNAL &&
        log->unsealed_count > 0) { /* they cannot be read: the others go on */
        log->sweep_unread = (int64_t)log->unsealed_count;
        err = ERR_OK;
    }
    log->sweeping = err == ERR_OK;
    log->sweep_at = 1;
    log->sweep_top = top;
    (void)pthread_mutex_unlock(&log->lock);
    return err;
}

/* ---- what is to go ----------------------------------------------------------------------------- */

static bool is_to_go(const EventsLog *log, const EventsErase *o, const Event *e, uint64_t seq)
{
    /* Later ones wait: the columns have not heard of them.  And as long as something of the actor may be left before
     * it, whoever reads the log must meet it. */
    if (e->kind == EVENT_ERASE)
        return seq <= log->sweep_top && log->sweep_unread == 0;
    return e->kind != EVENT_GONE &&
           (seq < erased_below(&log->erased, o->key, e->actor) ||
            (event_has_other(e->kind) && seq < erased_below(&log->erased, o->key, e->other)));
}

typedef struct Finding {
    const EventsLog *log;
    const EventsErase *options;
    bool found;
    uint64_t asked; /* behind the last EVENT_ERASE that goes */
} Finding;

static Err find_in_frame(Ctx *ctx, const Frame *f, void *arg)
{
    (void)ctx;
    Finding *x = arg;
    Str records = f->events;
    uint64_t seq = f->head.first_seq;
    for (size_t used = 0; records.len > 0; seq++) {
        Event e;
        if (!event_check(records, &e, &used))
            return ERR_OK; /* damage, and so not of this frame's count */
        records = str_slice(records, used, records.len);
        if (!is_to_go(x->log, x->options, &e, seq))
            continue;
        x->found = true;
        x->asked = e.kind == EVENT_ERASE ? seq + 1 : x->asked;
    }
    return ERR_OK;
}

static Err pass_gap(Ctx *ctx, uint64_t seq, uint64_t count, int64_t offset, void *arg)
{
    (void)ctx;
    (void)seq;
    (void)count;
    (void)offset;
    (void)arg;
    return ERR_OK;
}

static Err walk_segment(Ctx *ctx, FullSegment segment, File file, FrameWalk walk)
{
    FrameReader reader;
    FrameWalkEnd end;
    walk.first_seq = segment.first_seq;
    walk.proven_seq = segment.end_seq;
    walk.sealed = true;
    frame_reader_init(&reader, file, FRAME_SCAN_BYTES);
    const Err err = frame_walk(ctx, &reader, &walk, &end);
    frame_reader_clear(&reader);
    return err;
}

/* ---- writing a segment again ------------------------------------------------------------------- */

typedef struct Rewrite {
    EventsLog *log;
    const EventsErase *options;
    File file;
    int64_t at; /* where `out` goes */
    Buf out, body;
    uint32_t prev;
    uint32_t frames;
    int64_t gone; /* records */
} Rewrite;

static Err put_out(Ctx *ctx, Rewrite *r)
{
    CHECK(!r->out.overflowed);
    TRY(file_write_at(ctx, r->file, r->at, buf_str(&r->out)));
    r->at += (int64_t)r->out.len;
    buf_clear(&r->out);
    return ERR_OK;
}

/* False: the frame holds what is no event. */
static bool make_body(Rewrite *r, const Frame *f)
{
    static const Event GONE = {.kind = EVENT_GONE};
    Str records = f->events;
    uint64_t seq = f->head.first_seq;
    buf_clear(&r->body);
    for (size_t used = 0; records.len > 0; seq++) {
        Event e;
        if (!event_check(records, &e, &used))
            return false;
        const bool goes = is_to_go(r->log, r->options, &e, seq);
        if (goes)
            event_encode(&GONE, &r->body);
        else
            buf_add(&r->body, str_slice(records, 0, used));
        r->gone += goes;
        records = str_slice(records, used, records.len);
    }
    CHECK(!r->body.overflowed);
    return seq == f->head.first_seq + f->head.count;
}

static void put_zeros(Rewrite *r, size_t n)
{
    static const char zeros[HOLE_BYTES];
    buf_add(&r->out, (Str){zeros, n});
}

/* Nobody can tell what stood there.  A place without a frame keeps the next one from being taken for its successor. */
static Err put_hole(Ctx *ctx, uint64_t seq, uint64_t count, int64_t offset, void *arg)
{
    (void)ctx;
    (void)seq;
    (void)count;
    (void)offset;
    Rewrite *r = arg;
    put_zeros(r, HOLE_BYTES);
    r->prev = 0;
    return ERR_OK;
}

static Err put_frame(Ctx *ctx, const Frame *f, void *arg)
{
    Rewrite *r = arg;
    if (!make_body(r, f))
        return put_hole(ctx, f->head.first_seq, f->head.count, f->offset, r);
    FrameHead head = f->head;
    head.bytes = (uint32_t)r->body.len;
    head.body_crc = crc32c_add(0, buf_str(&r->body));
    head.prev = r->prev;
    frame_head_seal(&head);
    r->prev = head.head_crc;
    r->frames++;
    buf_add(&r->out, (Str){(const char *)&head, sizeof head});
    buf_add(&r->out, buf_str(&r->body));
    put_zeros(r, frame_size(head.bytes) - sizeof head - head.bytes);
    return r->out.len >= WRITE_BYTES ? put_out(ctx, r) : ERR_OK;
}

/* As it was; one that is damaged is made anew. */
static Err put_head(Ctx *ctx, Rewrite *r, FullSegment segment, File from)
{
    SegmentHead head = {.first_seq = 0};
    size_t got = 0;
    TRY(file_read_at(ctx, from, 0, (char *)&head, sizeof head, &got));
    if (got < sizeof head || !segment_head_is_good(&head, segment.first_seq)) {
        head = (SegmentHead){.first_seq = segment.first_seq, .made_ms = r->options->now_ms};
        segment_head_seal(&head);
    }
    buf_add(&r->out, (Str){(const char *)&head, sizeof head});
    return ERR_OK;
}

static Err write_again(Ctx *ctx, Rewrite *r, FullSegment segment, File from)
{
    TRY(put_head(ctx, r, segment, from));
    TRY(walk_segment(ctx, segment, from,
                     (FrameWalk){.on_frame = put_frame, .on_gap = put_hole, .arg = r}));
    TRY(put_out(ctx, r));
    return file_sync(ctx, r->file);
}

/* ---- one segment ------------------------------------------------------------------------------- */

typedef struct Sweep {
    EventsLog *log;
    const EventsErase *options;
    FullSegment segment;
    Run *run; /* that is in the list */
    EventsErased *out;
} Sweep;

static Str new_name(const Sweep *s, char dst[LOG_NAME_BYTES])
{
    return log_file_name(s->segment.first_seq, LOG_SUFFIX ".tmp", dst);
}

static void swap_in(EventsLog *log, Run *run)
{
    (void)pthread_mutex_lock(&log->lock);
    log_swap_runs(log, run);
    (void)pthread_mutex_unlock(&log->lock);
}

/* The index of a run that has none on disk. */
static Err add_index(Ctx *ctx, Sweep *s, Run *run)
{
    Run *mapped = run_ref(run);
    const Err err = log_write_index(ctx, s->log, s->segment, &mapped);
    if (mapped != run)
        swap_in(s->log, mapped);
    else
        run_unref(mapped);
    return err;
}

/* File and run at once.  When the rename fails it may have happened all the same: the file says. */
static Err swap_file(Ctx *ctx, const Sweep *s, Run *run)
{
    char from[LOG_NAME_BYTES], to[LOG_NAME_BYTES];
    EventsLog *log = s->log;
    const Str from_name = new_name(s, from);
    const Str to_name = log_file_name(s->segment.first_seq, LOG_SUFFIX, to);
    (void)pthread_mutex_lock(&log->lock);
    const Err err = file_rename(ctx, log->folder, from_name, to_name);
    const Fault fault = ctx->fault;
    const bool done = err == ERR_OK || log_index_fits(ctx, log, s->segment, &run->head) == ERR_OK;
    ctx->fault = fault;
    run->version = s->run->version + 1;
    if (done)
        log_swap_runs(log, run_ref(run));
    (void)pthread_mutex_unlock(&log->lock);
    return err;
}

/* What was written is read back before it takes the old one's place. */
static Err put_in_place(Ctx *ctx, Sweep *s, const Rewrite *r)
{
    Run *run = NULL;
    bool damaged = false;
    TRY(log_index_file(ctx, s->log, s->segment, r->file, &run, &damaged));
    Err err = ERR_OK;
    if (run->count != s->run->count || run->frame_count != r->frames)
        err = fail(ctx, ERR_INTERNAL, "disk.failed", "%u events in %u frames were %u in %u",
                   run->count, run->frame_count, s->run->count, r->frames);
    if (err == ERR_OK)
        err = swap_file(ctx, s, run);
    if (err == ERR_OK)
        err = add_index(ctx, s, run);
    run_unref(run);
    return err;
}

static Err rewrite_from(Ctx *ctx, Sweep *s, File from)
{
    char name[LOG_NAME_BYTES];
    Rewrite r = {.log = s->log,
                 .options = s->options,
                 .out = BUF_MAX(EVENTS_BATCH_BYTES_MAX + 2 * WRITE_BYTES),
                 .body = BUF_MAX(EVENTS_BATCH_BYTES_MAX)};
    TRY(file_open(ctx, s->log->folder, new_name(s, name), FILE_CREATE, &r.file));
    Err err = write_again(ctx, &r, s->segment, from);
    buf_free(&r.out);
    buf_free(&r.body);
    if (err == ERR_OK)
        err = put_in_place(ctx, s, &r);
    file_close(&r.file);
    if (err == ERR_OK) {
        s->out->records += r.gone;
        s->out->rewritten++;
        return ERR_OK;
    }
    const Fault first = ctx->fault;
    if (file_remove(ctx, s->log->folder, new_name(s, name)) != ERR_OK)
        LOG(LOG_WARN, "events.erase_leftover", LOG_C("detail", ctx->fault.detail));
    ctx->fault = first;
    return err;
}

/* Whoever has not heard of an erasure before it goes must be able to know that. */
static Err save_gone(Ctx *ctx, EventsLog *log, uint64_t gone)
{
    if (gone <= log->erased.gone)
        return ERR_OK;
    Erased e = copy_of(&log->erased);
    e.gone = gone;
    return use_ledger(ctx, log, &e);
}

static Err sweep_file(Ctx *ctx, Sweep *s, File file)
{
    Finding x = {.log = s->log, .options = s->options};
    TRY(walk_segment(ctx, s->segment, file,
                     (FrameWalk){.on_frame = find_in_frame, .on_gap = pass_gap, .arg = &x}));
    if (!x.found)
        return s->run->is_mapped ? ERR_OK : add_index(ctx, s, s->run);
    TRY(save_gone(ctx, s->log, x.asked));
    return rewrite_from(ctx, s, file);
}

/* Under the lock. */
static bool is_unsealed(const EventsLog *log, uint64_t segment)
{
    for (size_t i = 0; i < log->unsealed_count; i++)
        if (log->unsealed[i].first_seq == segment)
            return true;
    return false;
}

/* The first segment that is not done yet; false = none is left. */
static bool next_segment(EventsLog *log, Sweep *s)
{
    bool found = false;
    (void)pthread_mutex_lock(&log->lock);
    for (size_t i = 0; i + 1 < log->run_count && !found; i++) {
        Run *run = log->runs[i];
        found = run->segment >= log->sweep_at && run->segment <= log->sweep_top &&
                run->segment < log->active_first && !is_unsealed(log, run->segment);
        if (found) {
            s->segment = (FullSegment){run->segment, log->runs[i + 1]->segment};
            s->run = run_ref(run);
        }
    }
    (void)pthread_mutex_unlock(&log->lock);
    return found;
}

static void set_swept(EventsLog *log, bool sweeping, uint64_t at)
{
    (void)pthread_mutex_lock(&log->lock);
    log->sweeping = sweeping;
    log->sweep_at = at;
    (void)pthread_mutex_unlock(&log->lock);
}

static Err sweep_one(Ctx *ctx, Sweep *s)
{
    char name[LOG_NAME_BYTES];
    File file;
    const Str named = log_file_name(s->segment.first_seq, LOG_SUFFIX, name);
    const Err opened = file_open(ctx, s->log->folder, named, FILE_READ, &file);
    if (opened != ERR_OK)
        return opened == ERR_NOT_FOUND ? ERR_OK : opened; /* a lost file holds nothing */
    const Err err = sweep_file(ctx, s, file);
    file_close(&file);
    return err;
}

static void set_unread(EventsLog *log, int64_t now_ms)
{
    (void)pthread_mutex_lock(&log->lock);
    log->erase_unread = log->sweep_unread;
    log->unread_ms = log->sweep_unread == 0 ? 0 : now_ms;
    (void)pthread_mutex_unlock(&log->lock);
}

/* Everybody who waited when this sweep began: nobody was added since.  Where a segment was passed over, nobody knows
 * whose records are left. */
static Err end_sweep(Ctx *ctx, EventsLog *log, int64_t now_ms)
{
    set_unread(log, now_ms);
    if (log->sweep_unread > 0) {
        set_swept(log, false, 0);
        return fail(ctx, ERR_INTERNAL, "events.erase_unread", "%" PRId64 " segments",
                    log->sweep_unread);
    }
    TRY(file_sync_folder(ctx, log->folder));
    Erased e = copy_of(&log->erased);
    erased_done(&e);
    TRY(use_ledger(ctx, log, &e));
    set_swept(log, false, 0);
    return ERR_OK;
}

/* A disk that is full heals; one that does not give a file back, or takes none, must not keep the others. */
static bool is_passed_over(EventsLog *log, const Sweep *s, Err err, const Fault *why)
{
    if (err != ERR_INTERNAL)
        return false;
    log->sweep_unread++;
    LOG(LOG_ERROR, "events.erase_unread", LOG_I64("segment", (int64_t)s->segment.first_seq),
        LOG_C("reason", why->reason), LOG_C("detail", why->detail));
    return true;
}

static Err sweep(Ctx *ctx, EventsLog *log, const EventsErase *options, EventsErased *out)
{
    Sweep s = {.log = log, .options = options, .out = out};
    out->more = next_segment(log, &s);
    if (!out->more)
        return end_sweep(ctx, log, options->now_ms);
    const Err err = sweep_one(ctx, &s);
    run_unref(s.run);
    const bool goes_on = err == ERR_OK || is_passed_over(log, &s, err, &ctx->fault);
    set_swept(log, goes_on, s.segment.end_seq);
    return goes_on ? ERR_OK : err;
}

/* ---- the steps --------------------------------------------------------------------------------- */

/* Of a ledger in which nobody stands. */
static Err end_redoing(Ctx *ctx, EventsLog *log)
{
    Erased e = copy_of(&log->erased);
    erased_done(&e);
    return use_ledger(ctx, log, &e);
}

static bool is_due(const EventsLog *log, const EventsErase *o, ErasedWaiting waiting)
{
    const int64_t since_ms = log->unread_ms > waiting.since_ms ? log->unread_ms : waiting.since_ms;
    return waiting.count > 0 && (o->wait_ms == 0 || o->now_ms - since_ms >= o->wait_ms);
}

/* Nothing is due: but who could not be looked for, or has no room, is not done. */
static Err say_what_waits(Ctx *ctx, const EventsLog *log)
{
    if (log->erase_full)
        return fail(ctx, ERR_BUSY, "events.erased_full", "%d actors", ERASED_MAX);
    if (log->look_unread != 0)
        return fail(ctx, ERR_INTERNAL, "events.erase_unread", "segment %" PRIu64, log->look_unread);
    return ERR_OK;
}

static Err step(Ctx *ctx, EventsLog *log, const EventsErase *o, EventsErased *out)
{
    if (log->sweeping)
        return sweep(ctx, log, o, out);
    TRY(look(ctx, log, o, &out->more));
    const ErasedWaiting waiting = erased_waiting(&log->erased);
    const bool heard = o->heard_seq > waiting.top || o->heard_seq >= log->erased.looked;
    if (out->more)
        return ERR_OK;
    if (waiting.count == 0 && log->erased.redoing)
        return end_redoing(ctx, log);
    if (!is_due(log, o, waiting) || !heard)
        return say_what_waits(ctx, log);
    TRY(begin_sweep(ctx, log, waiting.top));
    out->more = true;
    return ERR_OK;
}

Err events_erase(Ctx *ctx, EventsLog *log, const EventsErase *options, EventsErased *out)
{
    *out = (EventsErased){.more = false};
    (void)pthread_mutex_lock(&log->rework);
    const Err err = step(ctx, log, options, out);
    (void)pthread_mutex_unlock(&log->rework);
    return err;
}

/* ---- after a restore --------------------------------------------------------------------------- */

Err events_erase_again(Ctx *ctx, Str from, Str to)
{
    Erased e;
    TRY(erased_read(ctx, from, ERASED_FILE, &e));
    e.again = true;
    const Err err = erased_save(ctx, to, &e);
    erased_clear(&e);
    return err;
}
