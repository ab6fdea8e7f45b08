/*
 * events/events_survey_test.c -- the log seen from outside: complete, calm beside a writer, and
 * awake to damage.
 */
#include "events/events_survey.h"
#include "events/events_testkit.h"

#include <pthread.h>
#include <stdatomic.h>

static const EventsOptions TINY = {.segment_bytes = 16384};

typedef struct Seen {
    int64_t batches, events, reports;
    uint64_t next_seq;
    char file[32];
} Seen;

static Err see_batch(Ctx *ctx, uint64_t first_seq, int64_t outbox_id, Str records, void *arg)
{
    (void)ctx;
    (void)outbox_id;
    Seen *s = arg;
    EXPECT_I64(first_seq >= s->next_seq, 1);
    s->next_seq = first_seq;
    s->batches++;
    for (size_t at = 0, used = 0; at < records.len; at += used) {
        Event e;
        CHECK(event_check(str_slice(records, at, records.len), &e, &used));
        s->events++;
        s->next_seq++;
    }
    return ERR_OK;
}

static void see_report(const char *file, int64_t offset, const char *what, void *arg)
{
    (void)offset;
    (void)what;
    Seen *s = arg;
    s->reports++;
    CHECK(str_to_c(str_of(file), s->file, sizeof s->file));
}

static Seen look(Kit *k, EventsSurvey *survey)
{
    Seen s = {0};
    int64_t bad = 0;
    const EventsSurveyVisit visit = {.batch = see_batch, .report = see_report, .arg = &s};
    EXPECT_I64(events_survey(&k->ctx, k->folder, survey), ERR_OK);
    EXPECT_I64(events_survey_read(&k->ctx, survey, &visit, &bad), ERR_OK);
    EXPECT_I64(bad, s.reports);
    return s;
}

static void append_some(Kit *k, EventsLog *log, int from, int count)
{
    for (int i = from; i < from + count; i++) {
        const Str record = kit_record(k, arena_printf(k->ctx.arena, "e%d", i).ptr);
        if (i % 2 == 0)
            EXPECT_I64(events_append(&k->ctx, log, record, NULL), ERR_OK);
        else
            EXPECT_I64(events_apply_outbox(&k->ctx, log, record, i / 2 + 1), ERR_OK);
    }
}

TEST(events_survey_sees_every_event_while_the_log_is_open_and_after_it_was_closed)
{
    Kit k;
    EventsSurvey survey;
    kit_open(&k, 1);
    EventsLog *log = kit_log(&k, k.folder, TINY);
    append_some(&k, log, 0, 400);
    Seen s = look(&k, &survey);
    EXPECT_I64(s.events, 400);
    EXPECT_I64(s.reports, 0);
    EXPECT_I64((int64_t)survey.end_seq, 401);
    CHECK(survey.count > 2);
    events_close(log);
    s = look(&k, &survey);
    EXPECT_I64(s.events, 400);
    EXPECT_I64(s.reports, 0);
    EXPECT_I64(events_survey_counts_applied(&survey, 200), true);
    EXPECT_I64(events_survey_counts_applied(&survey, 201), false);
    kit_close(&k);
}

TEST(events_survey_of_no_folder_is_not_found)
{
    Kit k;
    EventsSurvey survey;
    kit_open(&k, 1);
    EXPECT_I64(events_survey(&k.ctx, arena_printf(k.ctx.arena, "%s/none", k.path), &survey),
               ERR_NOT_FOUND);
    kit_close(&k);
}

TEST(events_survey_names_the_file_with_a_flipped_byte)
{
    Kit k;
    EventsSurvey survey;
    kit_open(&k, 7);
    EventsLog *log = kit_log(&k, k.folder, TINY);
    append_some(&k, log, 0, 400);
    events_close(log);
    (void)look(&k, &survey);
    for (int round = 0; round < 60; round++) {
        const EventsSurveySegment *g = &survey.segments[kit_below(&k, (uint32_t)survey.count)];
        const Str name = str_of(g->name);
        const Str good = kit_read(&k, k.folder, name);
        const size_t end = g->bytes == 0 ? good.len : (size_t)g->bytes;
        char *bytes = arena_bytes(k.ctx.arena, good.len);
        memcpy(bytes, good.ptr, good.len);
        bytes[kit_below(&k, (uint32_t)end)] ^= (char)(1 << kit_below(&k, 8));
        kit_write(&k, k.folder, name, (Str){bytes, good.len});
        EventsSurvey damaged;
        const Seen s = look(&k, &damaged);
        CHECK(s.reports > 0 || s.events == 400); /* a byte of padding says nothing */
        if (s.reports > 0)
            EXPECT_STREQ(s.file, g->name);
        if (s.events < 400)
            CHECK(s.reports > 0);
        kit_write(&k, k.folder, name, good);
    }
    EXPECT_I64(look(&k, &survey).reports, 0);
    kit_close(&k);
}

enum { WRITES_MAX = 50000 };

typedef struct Writer {
    EventsLog *log;
    Str record;
    atomic_bool stop;
    _Atomic int64_t acknowledged;
} Writer;

static void *write_on(void *arg)
{
    Writer *w = arg;
    Ctx ctx = {.arena = arena_new(4096)};
    for (int64_t id = 1; id < WRITES_MAX && !atomic_load(&w->stop); id++) {
        CHECK(events_apply_outbox(&ctx, w->log, w->record, id) == ERR_OK);
        atomic_fetch_add(&w->acknowledged, 1);
        arena_reset(ctx.arena);
    }
    arena_free(ctx.arena);
    return NULL;
}

TEST(events_survey_beside_a_writer_is_complete_and_never_takes_growth_for_damage)
{
    Kit k;
    kit_open(&k, 3);
    Writer w = {.log = kit_log(&k, k.folder, (EventsOptions){.segment_bytes = 1 << 20}),
                .record = kit_record(&k, "again")};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, write_on, &w) == 0);
    for (int round = 0; round < 30; round++) {
        EventsSurvey survey;
        const int64_t before = atomic_load(&w.acknowledged);
        const Seen s = look(&k, &survey);
        EXPECT_I64(s.reports, 0);
        CHECK((int64_t)survey.end_seq > before);
        EXPECT_I64(s.events, (int64_t)survey.end_seq - 1);
    }
    atomic_store(&w.stop, true);
    CHECK(pthread_join(thread, NULL) == 0);
    events_close(w.log);
    kit_close(&k);
}
