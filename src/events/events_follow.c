/*
 * events/events_follow.c -- what is there is read from the files as from outside; what comes is handed on
 * where it is written, and waits in memory as long as files are being read.
 */
#include "events/eventlog.h"
#include "events/events_survey.h"

#include <stdlib.h>

enum { WAITING_BYTES_MAX = 64 << 20 };

typedef struct Batch {
    struct Batch *next;
    uint64_t first_seq;
    uint32_t count;
    size_t bytes;
    char records[];
} Batch;

typedef struct Following {
    const EventsFollower *to;
    uint64_t from_seq;   /* numbers below were handed on */
    uint64_t end_seq;    /* the files are read up to here; from here on batches wait */
    Batch *first, *last; /* guarded by the log's lock, as `bytes` and `lost` */
    size_t bytes; /* of what waits and of what was taken last, which is gone when more is taken */
    size_t taken;
    bool lost; /* there was no room for a batch */
} Following;

static Err hand_on(Ctx *ctx, Following *f, uint64_t first_seq, uint32_t count, Str records)
{
    if (first_seq + count <= f->from_seq)
        return ERR_OK;
    if (!f->to->read(first_seq, count, records, f->to->arg))
        return fail(ctx, ERR_CONFLICT, "events.stopped", "at %" PRIu64, first_seq);
    f->from_seq = first_seq + count;
    return ERR_OK;
}

/* ---- what is there ----------------------------------------------------------------------------- */

static uint32_t count_records(Str records)
{
    uint32_t count = 0;
    Event ignored;
    for (size_t used = 0; records.len > 0; count++) {
        CHECK(event_check(records, &ignored, &used)); /* the survey did the same */
        records = str_slice(records, used, records.len);
    }
    return count;
}

static Err hand_on_from_file(Ctx *ctx, uint64_t first_seq, int64_t outbox_id, Str records,
                             void *arg)
{
    (void)outbox_id;
    Following *f = arg;
    return first_seq >= f->end_seq ? ERR_OK
                                   : hand_on(ctx, f, first_seq, count_records(records), records);
}

/* What the files hold below end_seq.  Damage is found again, and named, by events_verify(). */
static Err hand_on_files(Ctx *ctx, const EventsLog *log, Following *f)
{
    if (f->from_seq >= f->end_seq)
        return ERR_OK;
    EventsSurvey survey;
    int64_t bad = 0;
    TRY(events_survey(ctx, log->folder, &survey));
    const EventsSurveyVisit visit = {.from_seq = f->from_seq, .batch = hand_on_from_file, .arg = f};
    TRY(events_survey_read(ctx, &survey, &visit, &bad));
    f->from_seq = f->end_seq > f->from_seq ? f->end_seq : f->from_seq;
    return ERR_OK;
}

/* ---- what comes meanwhile ------------------------------------------------------------------------ */

static bool let_wait(uint64_t first_seq, uint32_t count, Str records, void *arg)
{
    Following *f = arg;
    f->lost = f->bytes + records.len > WAITING_BYTES_MAX;
    if (f->lost)
        return false;
    Batch *b = malloc(sizeof *b + records.len);
    CHECK(b != NULL);
    *b = (Batch){.first_seq = first_seq, .count = count, .bytes = records.len};
    memcpy(b->records, records.ptr, records.len);
    *(f->last == NULL ? &f->first : &f->last->next) = b;
    f->last = b;
    f->bytes += records.len;
    return true;
}

static void begin_waiting(EventsLog *log, Following *f)
{
    (void)pthread_mutex_lock(&log->lock);
    f->lost = false;
    f->end_seq = log->next_seq;
    log->follow = let_wait;
    log->follow_arg = f;
    (void)pthread_mutex_unlock(&log->lock);
}

/* Everything that waits; when that is nothing, and nothing was lost, *live: the next batch is handed on. */
static Batch *take_waiting(EventsLog *log, Following *f, bool *live)
{
    (void)pthread_mutex_lock(&log->lock);
    Batch *taken = f->first;
    *live = taken == NULL && !f->lost;
    if (*live) {
        log->follow = f->to->live;
        log->follow_arg = f->to->arg;
    }
    f->first = f->last = NULL;
    f->bytes -= f->taken;
    f->taken = f->bytes;
    (void)pthread_mutex_unlock(&log->lock);
    return taken;
}

static Err hand_on_batches(Ctx *ctx, Following *f, Batch *b)
{
    Err err = ERR_OK;
    while (b != NULL) {
        Batch *next = b->next;
        if (err == ERR_OK)
            err = hand_on(ctx, f, b->first_seq, b->count, (Str){b->records, b->bytes});
        free(b);
        b = next;
    }
    return err;
}

static Err hand_on_waiting(Ctx *ctx, EventsLog *log, Following *f, bool *live)
{
    for (;;) {
        Batch *taken = take_waiting(log, f, live);
        if (taken == NULL)
            return ERR_OK;
        TRY(hand_on_batches(ctx, f, taken));
    }
}

static void forget_waiting(EventsLog *log, Following *f)
{
    events_unfollow(log);
    while (f->first != NULL) { /* nobody adds any more */
        Batch *next = f->first->next;
        free(f->first);
        f->first = next;
    }
}

/* ---- following --------------------------------------------------------------------------------- */

Err events_follow(Ctx *ctx, EventsLog *log, uint64_t from_seq, const EventsFollower *follower)
{
    Following f = {.to = follower, .from_seq = from_seq};
    bool live = false;
    Err err = ERR_OK;
    while (!live && err == ERR_OK) {
        begin_waiting(log, &f);
        err = hand_on_files(ctx, log, &f);
        if (err == ERR_OK)
            err = hand_on_waiting(ctx, log, &f, &live);
    }
    if (err != ERR_OK)
        forget_waiting(log, &f);
    return err;
}

void events_unfollow(EventsLog *log)
{
    (void)pthread_mutex_lock(&log->lock);
    log->follow = NULL;
    (void)pthread_mutex_unlock(&log->lock);
}
