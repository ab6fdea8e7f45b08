/*
 * events/events_follow.c -- what is there is read from the files as from outside; what comes is handed on
 * where it is written.
 */
#include "events/eventlog.h"
#include "events/events_survey.h"

typedef struct Following {
    EventsFollowFn fn;
    void *arg;
    uint64_t from_seq;
} Following;

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

static Err hand_on(Ctx *ctx, uint64_t first_seq, int64_t outbox_id, Str records, void *arg)
{
    (void)outbox_id;
    const Following *f = arg;
    const uint32_t count = count_records(records);
    if (first_seq + count <= f->from_seq || f->fn(first_seq, count, records, f->arg))
        return ERR_OK;
    return fail(ctx, ERR_CONFLICT, "events.stopped", "at %" PRIu64, first_seq);
}

/* What the files hold from f->from_seq on; that then stands behind it. */
static Err hand_on_files(Ctx *ctx, const EventsLog *log, Following *f)
{
    EventsSurvey survey;
    int64_t bad = 0; /* found again, and named, by events_verify() */
    TRY(events_survey(ctx, log->folder, &survey));
    TRY(events_survey_read(
        ctx, &survey, &(EventsSurveyVisit){.from_seq = f->from_seq, .batch = hand_on, .arg = f},
        &bad));
    f->from_seq = survey.end_seq > f->from_seq ? survey.end_seq : f->from_seq;
    return ERR_OK;
}

Err events_follow(Ctx *ctx, EventsLog *log, uint64_t from_seq, EventsFollowFn fn, void *arg)
{
    Following f = {.fn = fn, .arg = arg, .from_seq = from_seq};
    for (;;) { /* each round hands on what came during the one before */
        (void)pthread_mutex_lock(&log->lock);
        const bool done = f.from_seq >= log->next_seq;
        if (done) {
            log->follow = fn;
            log->follow_arg = arg;
        }
        (void)pthread_mutex_unlock(&log->lock);
        if (done)
            return ERR_OK;
        TRY(hand_on_files(ctx, log, &f));
    }
}
