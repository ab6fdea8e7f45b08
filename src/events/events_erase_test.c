/*
 * events/events_erase_test.c -- what erasing leaves, against a list of all records; at a crash after every write, on a
 * full disk, beside readers.
 *
 * The functions of libc that write are replaced for this program, so that a test can look at the folder whenever the
 * thread that erases is about to change it.
 */
#include "base/test_folder.h"
#include "events/event_rules.h"
#include "events/eventlog.h"
#include "events/events_survey.h"
#include "events/events_testkit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { SEGMENT = 16384, RECORDS_MAX = 4000, ACTORS = 13, CRASHES_MAX = 400 };

static const EventsOptions SMALL = {.segment_bytes = SEGMENT, .lazy_ms = 20};
static const CryptoKey KEY = {{1, 2, 3}};
static const int64_t NOW_MS = INT64_C(1760000000000);

static const EventsErase AT_ONCE = {.key = &KEY, .now_ms = NOW_MS, .heard_seq = UINT64_MAX};

/* ---- the list ---------------------------------------------------------------------------------- */

typedef struct Record {
    Event event;
    Str bytes;
    uint64_t seq;
    bool gone;
} Record;

typedef struct World {
    Kit k;
    EventsLog *log;
    Record at[RECORDS_MAX]; /* number i + 1 */
    uint32_t count;
    int64_t outbox;
} World;

static World *world_new(uint64_t seed)
{
    World *w = calloc(1, sizeof *w);
    CHECK(w != NULL);
    kit_open(&w->k, seed);
    w->log = kit_log(&w->k, w->k.folder, SMALL);
    return w;
}

static void world_free(World *w)
{
    events_close(w->log);
    kit_close(&w->k);
    free(w);
}

static void reopen(World *w)
{
    events_close(w->log);
    w->log = kit_log(&w->k, w->k.folder, SMALL);
}

static EventActor actor_of(World *w, uint32_t who)
{
    return (EventActor){STR("phone"), arena_printf(w->k.ctx.arena, "+86138000%05u", who)};
}

static void add_record(World *w, const Event *e)
{
    CHECK(w->count < RECORDS_MAX);
    w->at[w->count] = (Record){.event = *e, .bytes = kit_encode(&w->k, e), .seq = w->count + 1};
    w->count++;
}

static void add_change(World *w, EventKind kind, uint32_t a, uint32_t b)
{
    Event e;
    const Event head = {.kind = kind,
                        .source = STR("till"),
                        .id = arena_printf(w->k.ctx.arena, "change-%u", w->count),
                        .time_ms = NOW_MS - 5000,
                        .received_ms = NOW_MS - 1000 + w->count,
                        .actor = actor_of(w, a),
                        .other =
                            kind == EVENT_ERASE ? (EventActor){STR(""), STR("")} : actor_of(w, b)};
    CHECK(event_end(event_begin(&w->k.ctx, &head), &e) == ERR_OK);
    add_record(w, &e);
}

static void add_some(World *w, uint32_t erasures_of_1000)
{
    Event e;
    const uint32_t what = kit_below(&w->k, 1000), a = 1 + kit_below(&w->k, ACTORS - 1);
    const uint32_t b = 1 + (a + kit_below(&w->k, ACTORS - 2)) % (ACTORS - 1);
    if (what < erasures_of_1000) {
        add_change(w, EVENT_ERASE, a, 0);
    } else if (what < erasures_of_1000 + 60) {
        add_change(w, what % 3 == 0 ? EVENT_UNLINK : EVENT_LINK, a, b);
    } else {
        kit_random_event(&w->k, arena_printf(w->k.ctx.arena, "id-%u", w->count), &e);
        add_record(w, &e);
    }
}

/* Batches of up to 9 records; two of three come through the outbox. */
static void append_random(World *w, uint32_t records, uint32_t erasures_of_1000)
{
    for (const uint32_t end = w->count + records; w->count < end;) {
        Buf batch = BUF_MAX(1 << 20);
        const uint32_t first = w->count;
        for (uint32_t n = 1 + kit_below(&w->k, 9); n > 0 && w->count < end; n--)
            add_some(w, erasures_of_1000);
        for (uint32_t i = first; i < w->count; i++)
            buf_add(&batch, w->at[i].bytes);
        const Err err = kit_below(&w->k, 3) == 0
                            ? events_append(&w->k.ctx, w->log, buf_str(&batch), NULL)
                            : events_apply_outbox(&w->k.ctx, w->log, buf_str(&batch), ++w->outbox);
        CHECK(err == ERR_OK);
        buf_free(&batch);
    }
}

static bool is_same(EventActor a, EventActor b)
{
    return str_eq(a.kind, b.kind) && str_eq(a.value, b.value);
}

/* What is asked for so far is done. */
static uint32_t erase_in_list(World *w)
{
    uint32_t gone = 0;
    for (uint32_t j = 0; j < w->count; j++) {
        const Event *asks = &w->at[j].event;
        if (asks->kind != EVENT_ERASE)
            continue;
        for (uint32_t i = 0; i <= j; i++) {
            const Event *e = &w->at[i].event;
            w->at[i].gone |= i == j || is_same(e->actor, asks->actor) ||
                             (event_has_other(e->kind) && is_same(e->other, asks->actor));
        }
    }
    for (uint32_t i = 0; i < w->count; i++)
        gone += w->at[i].gone;
    return gone;
}

/* ---- comparing --------------------------------------------------------------------------------- */

typedef struct Reading {
    const World *w;
    bool partly; /* some of what is to go may still be there */
    uint32_t seen, gone;
} Reading;

static bool see_batch(uint64_t first_seq, uint32_t count, Str records, void *arg)
{
    Reading *r = arg;
    for (uint64_t seq = first_seq; seq < first_seq + count; seq++) {
        Event e;
        size_t used = 0;
        CHECK(event_check(records, &e, &used) && seq <= r->w->count);
        const Record *want = &r->w->at[seq - 1];
        const bool as_it_was = str_eq(str_slice(records, 0, used), want->bytes);
        CHECK(e.kind == EVENT_GONE ? want->gone : as_it_was);
        CHECK(e.kind == EVENT_GONE || !want->gone || r->partly);
        r->gone += e.kind == EVENT_GONE;
        r->seen++;
        records = str_slice(records, used, records.len);
    }
    CHECK(records.len == 0);
    return true;
}

/* Every record with its number, byte for byte. */
static uint32_t expect_records(World *w, EventsLog *log, bool partly)
{
    Reading r = {.w = w, .partly = partly};
    const EventsFollower follower = {.read = see_batch, .live = see_batch, .arg = &r};
    CHECK(events_follow(&w->k.ctx, log, 1, &follower) == ERR_OK);
    events_unfollow(log);
    EXPECT_I64(r.seen, w->count);
    return r.gone;
}

static void expect_sound(Kit *k, EventsLog *log)
{
    int64_t bad = -1;
    EventsSurvey survey;
    CHECK(events_verify(&k->ctx, log, NULL, NULL, &bad) == ERR_OK);
    EXPECT_I64(bad, 0);
    CHECK(events_survey(&k->ctx, log->folder, &survey) == ERR_OK);
    CHECK(events_survey_read(&k->ctx, &survey, &(EventsSurveyVisit){.from_seq = 0}, &bad) ==
          ERR_OK);
    EXPECT_I64(bad, 0);
}

static void expect_world(World *w, EventsLog *log)
{
    Model m = {0};
    (void)expect_records(w, log, false);
    expect_sound(&w->k, log);
    for (uint32_t i = 0; i < w->count; i++)
        if (!w->at[i].gone)
            model_add(&w->k, &m, &w->at[i].event, w->at[i].seq);
    model_compare(&w->k, &m, log, 6);
    EXPECT_I64((int64_t)log->next_seq, w->count + 1);
}

static EventsErased erase_all(Kit *k, EventsLog *log, const EventsErase *how)
{
    EventsErased all = {.more = true}, one;
    while (all.more) {
        const Err err = events_erase(&k->ctx, log, how, &one);
        if (err != ERR_OK)
            fprintf(stderr, "erasing: %s %s\n", k->ctx.fault.reason, k->ctx.fault.detail);
        CHECK(err == ERR_OK);
        all.more = one.more;
        all.records += one.records;
        all.rewritten += one.rewritten;
    }
    return all;
}

static EventsStat stat_of(EventsLog *log)
{
    EventsStat stat;
    events_stat(log, &stat);
    return stat;
}

TEST(events_erasing_leaves_everybody_elses_records_as_they_were_whenever_it_is_done)
{
    for (uint64_t seed = 1; seed < 5; seed++) {
        World *w = world_new(seed);
        uint32_t marks[RECORDS_MAX + 2] = {0};
        int64_t gone_before = 0, rewritten = 0;
        for (int round = 0; round < 5; round++) {
            append_random(w, 150 + kit_below(&w->k, 150), round == 3 ? 0 : 12);
            if (kit_below(&w->k, 3) == 0)
                reopen(w);
            if (kit_below(&w->k, 4) == 0) { /* the ids are those of the frames then */
                events_close(w->log);
                CHECK(file_remove(&w->k.ctx, w->k.folder, STR("manifest")) == ERR_OK);
                w->log = kit_log(&w->k, w->k.folder, SMALL);
            }
            for (uint64_t seq = 1; seq <= w->count + 1; seq++) {
                uint32_t mark = 0;
                CHECK(events_mark(&w->k.ctx, w->log, seq, &mark) == ERR_OK);
                CHECK(marks[seq] == 0 || marks[seq] == mark); /* a rewritten log is the same log */
                marks[seq] = mark;
            }
            const uint32_t gone = erase_in_list(w);
            const EventsErased done = erase_all(&w->k, w->log, &AT_ONCE);
            EXPECT_I64(done.records, gone - gone_before);
            gone_before = gone;
            rewritten += done.rewritten;
            expect_world(w, w->log);
            EXPECT_I64(stat_of(w->log).erase_waiting, 0);
            EXPECT_I64(erase_all(&w->k, w->log, &AT_ONCE).rewritten, 0);
            reopen(w);
            expect_world(w, w->log);
            for (int64_t id = 1; id <= w->outbox; id++)
                CHECK(events_outbox_is_durable(w->log, id));
        }
        CHECK(gone_before > 100 && rewritten > 10);
        world_free(w);
    }
}

/* ---- nothing is left ------------------------------------------------------------------------------ */

static const Str MARKER = {"Zhuque-7731", 11};

/* False: the log was at work meanwhile, and a file has another name now. */
static bool count_files_with(Kit *k, Str folder, Str text, uint32_t *found)
{
    Str *names = NULL, bytes;
    size_t n = 0;
    *found = 0;
    CHECK(file_list(&k->ctx, folder, &names, &n) == ERR_OK);
    for (size_t i = 0; i < n; i++) {
        if (file_load(&k->ctx, folder, names[i], 1 << 26, &bytes) != ERR_OK)
            return false;
        *found += bytes.len > 0 && memmem(bytes.ptr, bytes.len, text.ptr, text.len) != NULL;
    }
    return true;
}

/* Files of the folder in which the text stands. */
static uint32_t files_with(Kit *k, Str folder, Str text)
{
    uint32_t found = 0;
    while (!count_files_with(k, folder, text, &found)) {
    }
    return found;
}

/* The marker stands wherever a text can stand. */
static void add_marked(World *w, EventKind kind)
{
    const EventActor marked = {STR("card"), MARKER};
    Event e;
    const Event head = {.kind = kind,
                        .source = STR("till"),
                        .id = arena_printf(w->k.ctx.arena, "%.*s-%u", STR_ARG(MARKER), w->count),
                        .name = kind == EVENT_HAPPENED ? MARKER : STR(""),
                        .time_ms = NOW_MS,
                        .received_ms = NOW_MS,
                        .actor = kind == EVENT_UNLINK ? actor_of(w, 3) : marked,
                        .other = kind == EVENT_LINK     ? actor_of(w, 4)
                                 : kind == EVENT_UNLINK ? marked
                                                        : (EventActor){STR(""), STR("")},
                        .store = kind == EVENT_HAPPENED ? MARKER : STR("")};
    EventBuilder *b = event_begin(&w->k.ctx, &head);
    if (kind == EVENT_HAPPENED || kind == EVENT_PERSON)
        event_prop_text(b, MARKER, MARKER);
    if (kind == EVENT_HAPPENED) {
        event_prop_texts(b, STR("texts"), &MARKER, 1);
        event_items_begin(b, STR("lines"));
        event_item(b);
        event_prop_text(b, STR("sku"), MARKER);
        event_items_end(b);
        event_context(b);
        event_prop_text(b, STR("page"), MARKER);
    }
    CHECK(event_end(b, &e) == ERR_OK);
    add_record(w, &e);
    CHECK(events_append(&w->k.ctx, w->log, w->at[w->count - 1].bytes, NULL) == ERR_OK);
}

TEST(events_no_byte_of_who_was_erased_is_left_in_any_file_and_who_comes_again_is_somebody_else)
{
    World *w = world_new(21);
    for (int i = 0; i < 40; i++) {
        append_random(w, 20, 0);
        add_marked(w, EVENT_HAPPENED + (EventKind)(i % 4));
    }
    add_marked(w, EVENT_ERASE);
    CHECK(files_with(&w->k, w->k.folder, MARKER) > 4);
    CHECK(erase_in_list(w) == 41);
    EXPECT_I64(erase_all(&w->k, w->log, &AT_ONCE).records, 41);
    EXPECT_I64(files_with(&w->k, w->k.folder, MARKER), 0);
    expect_world(w, w->log);
    add_marked(w, EVENT_HAPPENED);
    append_random(w, 100, 0);
    EXPECT_I64(erase_all(&w->k, w->log, &AT_ONCE).records, 0);
    expect_world(w, w->log);
    CHECK(files_with(&w->k, w->k.folder, MARKER) > 0);
    world_free(w);
}

/* ---- when it is done ------------------------------------------------------------------------------ */

TEST(who_asked_to_be_erased_is_forgotten_before_the_log_is_rewritten)
{
    World *w = world_new(41);
    uint32_t asked = 0;
    append_random(w, 600, 30);
    for (uint32_t who = 1; who < ACTORS; who++) {
        const EventActor actor = actor_of(w, who);
        uint64_t want = 0, seq = 7;
        for (uint32_t i = 0; i < w->count; i++)
            if (w->at[i].event.kind == EVENT_ERASE &&
                str_eq(w->at[i].event.actor.value, actor.value))
                want = w->at[i].seq;
        CHECK(events_forgotten(&w->k.ctx, w->log, actor, &seq) == ERR_OK);
        EXPECT_I64((int64_t)seq, (int64_t)want);
        asked += want > 0;
    }
    CHECK(asked > 0);
    world_free(w);
}

/* Of every record that was ever added, what is hidden is what erasing takes, whether it did or not. */
static void expect_hidden(World *w)
{
    EventsHidden *hidden = NULL;
    const uint32_t gone = erase_in_list(w);
    uint32_t seen = 0;
    CHECK(events_hidden(&w->k.ctx, w->log, &KEY, &hidden) == ERR_OK);
    for (uint32_t i = 0; i < w->count; i++) {
        Event e = w->at[i].event;
        e.seq = w->at[i].seq;
        CHECK(events_is_hidden(hidden, &e) == w->at[i].gone);
        seen += w->at[i].gone;
    }
    EXPECT_I64(seen, gone);
    events_hidden_free(hidden);
}

TEST(events_of_who_asked_to_be_erased_are_hidden_before_while_and_after_the_log_is_rewritten)
{
    World *w = world_new(43);
    EventsErased one;
    append_random(w, 300, 0);
    expect_hidden(w);
    append_random(w, 300, 20);
    expect_hidden(w);
    EXPECT_I64(stat_of(w->log).erase_waiting, 0); /* a look of its own: it changes nothing */
    for (int steps = 0; steps < 4; steps++) {
        CHECK(events_erase(&w->k.ctx, w->log, &AT_ONCE, &one) == ERR_OK);
        CHECK(one.more);
        expect_hidden(w);
        append_random(w, 20, 60);
        expect_hidden(w);
    }
    reopen(w);
    expect_hidden(w);
    (void)erase_all(&w->k, w->log, &AT_ONCE);
    expect_hidden(w);
    append_random(w, 100, 0);
    expect_hidden(w);
    world_free(w);
}

TEST(events_an_erasure_waits_as_long_as_it_may_and_until_who_follows_has_heard_of_it)
{
    World *w = world_new(22);
    append_random(w, 100, 0);
    EventsErase later = AT_ONCE;
    later.wait_ms = 86400000;
    EXPECT_I64(erase_all(&w->k, w->log, &later).records, 0);
    add_change(w, EVENT_ERASE, 5, 0); /* asked for about a second before "now" */
    CHECK(events_append(&w->k.ctx, w->log, w->at[w->count - 1].bytes, NULL) == ERR_OK);
    EXPECT_I64(erase_all(&w->k, w->log, &later).records, 0);
    EventsStat stat = stat_of(w->log);
    EXPECT_I64(stat.erase_waiting, 1);
    EXPECT_I64(stat.erase_since_ms, w->at[w->count - 1].event.received_ms);
    EXPECT_I64((int64_t)stat.erase_gone_seq, 0);
    reopen(w);
    EXPECT_I64(stat_of(w->log).erase_waiting, 1);
    later.now_ms += 86400000;
    later.heard_seq = w->count; /* not of the last one */
    EXPECT_I64(erase_all(&w->k, w->log, &later).records, 0);
    later.heard_seq++;
    EXPECT_I64(erase_all(&w->k, w->log, &later).records, erase_in_list(w));
    stat = stat_of(w->log);
    EXPECT_I64(stat.erase_waiting, 0);
    EXPECT_I64(stat.erased, 1);
    EXPECT_I64((int64_t)stat.erase_gone_seq, w->count + 1);
    expect_world(w, w->log);
    world_free(w);
}

/* Whoever follows is always a little behind: of what it has heard of, everybody goes, and nobody else. */
TEST(events_in_a_busy_log_goes_who_was_heard_of_while_more_is_asked_for)
{
    World *w = world_new(25);
    append_random(w, 200, 0);
    add_change(w, EVENT_ERASE, 5, 0);
    CHECK(events_append(&w->k.ctx, w->log, w->at[w->count - 1].bytes, NULL) == ERR_OK);
    EventsErase behind = AT_ONCE;
    behind.heard_seq = w->count + 1;
    append_random(w, 30, 0); /* of which nobody has heard */
    const EventsErased first = erase_all(&w->k, w->log, &behind);
    CHECK(first.records > 1 && first.rewritten > 0);
    EXPECT_I64(first.records, erase_in_list(w));
    expect_world(w, w->log);
    EXPECT_I64(stat_of(w->log).erase_waiting, 0);
    world_free(w);
}

TEST(events_an_erasure_that_comes_while_others_are_done_waits_until_it_was_heard_of)
{
    World *w = world_new(26);
    EventsErased one = {.more = true};
    append_random(w, 200, 0);
    add_change(w, EVENT_ERASE, 5, 0);
    CHECK(events_append(&w->k.ctx, w->log, w->at[w->count - 1].bytes, NULL) == ERR_OK);
    EventsErase behind = AT_ONCE;
    behind.heard_seq = w->count + 1;
    CHECK(events_erase(&w->k.ctx, w->log, &behind, &one) == ERR_OK && one.more); /* looks */
    while (!w->log->sweeping)
        CHECK(events_erase(&w->k.ctx, w->log, &behind, &one) == ERR_OK && one.more);
    const int64_t gone = erase_in_list(w);
    add_change(w, EVENT_ERASE, 6, 0);
    CHECK(events_append(&w->k.ctx, w->log, w->at[w->count - 1].bytes, NULL) == ERR_OK);
    EXPECT_I64(erase_all(&w->k, w->log, &behind).records, gone);
    expect_world(w, w->log); /* the second one's record and all that is theirs is there */
    EXPECT_I64(erase_all(&w->k, w->log, &behind).records, 0);
    EXPECT_I64(stat_of(w->log).erase_waiting, 1);
    behind.heard_seq = w->count + 1;
    EXPECT_I64(erase_all(&w->k, w->log, &behind).records, erase_in_list(w) - gone);
    expect_world(w, w->log);
    world_free(w);
}

TEST(events_another_key_erases_nobody)
{
    static const CryptoKey other = {{9}};
    World *w = world_new(23);
    append_random(w, 100, 30);
    (void)erase_in_list(w);
    (void)erase_all(&w->k, w->log, &AT_ONCE);
    EventsErase wrong = AT_ONCE;
    EventsErased one;
    wrong.key = &other;
    EXPECT_I64(events_erase(&w->k.ctx, w->log, &wrong, &one), ERR_INVALID);
    EXPECT_STREQ(w->k.ctx.fault.reason, "events.erased_key");
    expect_world(w, w->log);
    world_free(w);
}

/* ---- damage --------------------------------------------------------------------------------------- */

TEST(events_damage_stays_the_same_numbers_when_its_segment_is_written_again)
{
    World *w = world_new(24);
    append_random(w, 300, 0);
    const uint64_t second = w->log->runs[1]->segment; /* there are several */
    CHECK(w->log->runs[0]->frame_count > 3 && second > 1);
    const RunFrame hit = w->log->runs[0]->frames[1], behind = w->log->runs[0]->frames[2];
    events_close(w->log);
    char name[LOG_NAME_BYTES];
    const Str file = log_file_name(1, LOG_SUFFIX, name);
    const Str bytes = kit_read(&w->k, w->k.folder, file);
    ((char *)(uintptr_t)bytes.ptr)[hit.offset + FRAME_HEAD_BYTES] ^= 1;
    kit_write(&w->k, w->k.folder, file, bytes);
    w->log = kit_log(&w->k, w->k.folder, SMALL);
    for (uint32_t who = 1; who < ACTORS; who++) {
        add_change(w, EVENT_ERASE, who, 0);
        CHECK(events_append(&w->k.ctx, w->log, w->at[w->count - 1].bytes, NULL) == ERR_OK);
    }
    const int64_t lost = behind.first - hit.first;
    uint32_t gone = erase_in_list(w), gone_lost = 0;
    for (uint32_t i = hit.first; i < behind.first; i++)
        gone_lost += w->at[i].gone;
    EXPECT_I64(erase_all(&w->k, w->log, &AT_ONCE).records, gone - gone_lost);
    for (int twice = 0; twice < 2; twice++) {
        Reading r = {.w = w};
        const EventsFollower follower = {.read = see_batch, .live = see_batch, .arg = &r};
        CHECK(events_follow(&w->k.ctx, w->log, 1, &follower) == ERR_OK);
        events_unfollow(w->log);
        EXPECT_I64(r.seen, w->count - lost);
        EXPECT_I64(r.gone, gone - gone_lost);
        int64_t bad = 0;
        CHECK(events_verify(&w->k.ctx, w->log, NULL, NULL, &bad) == ERR_OK);
        EXPECT_I64(bad, 1);
        reopen(w);
    }
    world_free(w);
}

TEST(events_a_ledger_that_is_damaged_is_put_aside_and_who_still_asks_is_found_again)
{
    World *w = world_new(25);
    append_random(w, 200, 60);
    EventsErase later = AT_ONCE;
    later.heard_seq = 1; /* it is looked, and nothing done */
    (void)erase_all(&w->k, w->log, &later);
    const int64_t waiting = stat_of(w->log).erase_waiting;
    CHECK(waiting > 1);
    events_close(w->log);
    const Str bytes = kit_read(&w->k, w->k.folder, ERASED_FILE);
    ((char *)(uintptr_t)bytes.ptr)[bytes.len - 1] ^= 1;
    kit_write(&w->k, w->k.folder, ERASED_FILE, bytes);
    w->log = kit_log(&w->k, w->k.folder, SMALL);
    EXPECT_I64(stat_of(w->log).erase_waiting, 0);
    EXPECT_I64((int64_t)kit_read(&w->k, w->k.folder, STR("erased.damaged")).len,
               (int64_t)bytes.len);
    (void)erase_all(&w->k, w->log, &later);
    EXPECT_I64(stat_of(w->log).erase_waiting, waiting);
    EXPECT_I64(erase_all(&w->k, w->log, &AT_ONCE).records, erase_in_list(w));
    expect_world(w, w->log);
    world_free(w);
}

/* ---- an older backup ------------------------------------------------------------------------------ */

TEST(events_a_log_that_was_put_back_to_an_older_backup_forgets_whom_the_newer_one_forgot)
{
    World *w = world_new(26);
    append_random(w, 200, 10);
    (void)erase_in_list(w);
    (void)erase_all(&w->k, w->log, &AT_ONCE);
    append_random(w, 100, 0);
    for (int i = 0; i < 8; i++)
        add_marked(w, EVENT_HAPPENED + (EventKind)(i % 4));
    CHECK(events_sync(&w->k.ctx, w->log) == ERR_OK);
    events_close(w->log);
    const Str newer = kit_subfolder(&w->k, "newer");
    kit_copy_folder(&w->k, w->k.folder, newer);
    const uint32_t count = w->count; /* of the backup */
    w->log = kit_log(&w->k, newer, SMALL);
    const Str backup = w->k.folder;
    append_random(w, 300, 0);
    add_marked(w, EVENT_ERASE);
    (void)erase_all(&w->k, w->log, &AT_ONCE);
    EXPECT_I64(files_with(&w->k, newer, MARKER), 0);
    events_close(w->log);

    w->count = count;
    CHECK(files_with(&w->k, backup, MARKER) > 0);
    CHECK(events_erase_again(&w->k.ctx, newer, backup) == ERR_OK);
    w->log = kit_log(&w->k, backup, SMALL);
    CHECK(stat_of(w->log).erase_again);
    const EventsErased done = erase_all(&w->k, w->log, &AT_ONCE);
    EXPECT_I64(done.records, 8);
    CHECK(!stat_of(w->log).erase_again);
    EXPECT_I64(files_with(&w->k, backup, MARKER), 0);
    for (uint32_t i = count - 8; i < count; i++)
        w->at[i].gone = true;
    add_marked(w, EVENT_HAPPENED); /* with a number that the newer log had before its erasure */
    add_change(w, EVENT_ERASE, 5, 0);
    CHECK(events_append(&w->k.ctx, w->log, w->at[w->count - 1].bytes, NULL) == ERR_OK);
    (void)erase_in_list(w);
    (void)erase_all(&w->k, w->log, &AT_ONCE);
    expect_world(w, w->log);
    CHECK(files_with(&w->k, backup, MARKER) > 0);
    test_remove_folder(newer);
    world_free(w);
}

TEST(events_erasing_once_more_after_a_restore_is_still_to_be_done_until_it_is_done_whatever_is_cut)
{
    World *w = world_new(29);
    append_random(w, 300, 12);
    (void)erase_in_list(w);
    CHECK(events_sync(&w->k.ctx, w->log) == ERR_OK);
    const Str newer = kit_subfolder(&w->k, "newer");
    events_close(w->log);
    kit_copy_folder(&w->k, w->k.folder, newer);
    w->log = kit_log(&w->k, newer, SMALL);
    (void)erase_all(&w->k, w->log, &AT_ONCE);
    events_close(w->log);
    CHECK(events_erase_again(&w->k.ctx, newer, w->k.folder) == ERR_OK);
    uint32_t steps = 0;
    for (bool more = true; more; steps++) { /* one step more after each start */
        w->log = kit_log(&w->k, w->k.folder, SMALL);
        CHECK(stat_of(w->log).erase_again);
        EventsErased one = {.more = true};
        for (uint32_t i = 0; i <= steps && one.more; i++)
            CHECK(events_erase(&w->k.ctx, w->log, &AT_ONCE, &one) == ERR_OK);
        more = one.more;
        CHECK(stat_of(w->log).erase_again == more);
        if (more)
            events_close(w->log);
    }
    CHECK(steps > 3);
    expect_world(w, w->log);
    reopen(w);
    CHECK(!stat_of(w->log).erase_again);
    test_remove_folder(newer);
    world_free(w);
}

/* ---- what cannot be done ---------------------------------------------------------------------------- */

static Err erase_until(World *w, const EventsErase *how, int64_t *records)
{
    EventsErased one = {.more = true};
    Err err = ERR_OK;
    *records = 0;
    while (one.more && err == ERR_OK) {
        err = events_erase(&w->k.ctx, w->log, how, &one);
        *records += one.records;
    }
    return err;
}

static atomic_ulong
    unreadable; /* the number of a file that the disk does not give back; 0 = none */

ssize_t pread(int fd, void *dst, size_t n, off_t at)
{
    struct stat stat;
    if (atomic_load(&unreadable) != 0 && fstat(fd, &stat) == 0 && stat.st_ino == unreadable) {
        errno = EIO;
        return -1;
    }
    return syscall(SYS_pread64, fd, dst, n, at);
}

static void hide(World *w, uint64_t segment)
{
    char name[LOG_NAME_BYTES];
    struct stat stat;
    const Str file = log_file_name(segment, LOG_SUFFIX, name);
    const Str path = arena_printf(w->k.ctx.arena, "%.*s/%.*s", STR_ARG(w->k.folder), STR_ARG(file));
    CHECK(lstat(path.ptr, &stat) == 0);
    atomic_store(&unreadable, stat.st_ino);
}

/* Every full segment has its index: the keeper needs to read none of them. */
static void wait_for_indexes(World *w)
{
    for (size_t left = 1; left > 0;) {
        (void)usleep(1000);
        (void)pthread_mutex_lock(&w->log->lock);
        left = w->log->unsealed_count;
        (void)pthread_mutex_unlock(&w->log->lock);
    }
}

/* Nobody is told who is hidden when it cannot be known of somebody. */
static void expect_no_hidden(World *w, Err err, const char *reason)
{
    EventsHidden *hidden = NULL;
    EXPECT_I64(events_hidden(&w->k.ctx, w->log, &KEY, &hidden), err);
    EXPECT_STREQ(w->k.ctx.fault.reason, reason);
    CHECK(hidden == NULL);
}

TEST(events_a_segment_that_cannot_be_read_keeps_nobody_elses_records_and_is_erased_when_it_can)
{
    World *w = world_new(30);
    append_random(w, 400, 0);
    EventsErased one;
    EventsErase none = AT_ONCE;
    none.heard_seq = 1;
    CHECK(events_erase(&w->k.ctx, w->log, &none, &one) == ERR_OK); /* it has looked so far */
    for (uint32_t who = 1; who < 4; who++) {
        add_change(w, EVENT_ERASE, who, 0);
        CHECK(events_append(&w->k.ctx, w->log, w->at[w->count - 1].bytes, NULL) == ERR_OK);
    }
    const int64_t gone = erase_in_list(w);
    wait_for_indexes(w);
    const Run *second = w->log->runs[1];
    int64_t hidden = 0, records = 0;
    for (uint64_t seq = second->segment; seq < w->log->runs[2]->segment; seq++)
        hidden += w->at[seq - 1].gone;
    CHECK(hidden > 0 && w->log->run_count > 3);
    const uint64_t segment = second->segment;
    hide(w, segment);
    EXPECT_I64(erase_until(w, &AT_ONCE, &records), ERR_INTERNAL);
    EXPECT_STREQ(w->k.ctx.fault.reason, "events.erase_unread");
    EXPECT_I64(records,
               gone - hidden - 3); /* those who ask stay, so that the columns hear of them */
    EXPECT_I64((int64_t)stat_of(w->log).erase_gone_seq, 0);
    EXPECT_I64(stat_of(w->log).erase_unread, 1);
    EXPECT_I64(stat_of(w->log).erase_waiting, 3);
    EventsErase later = AT_ONCE;
    later.wait_ms = 86400000; /* begins anew: the whole log is not read again every ten minutes */
    later.now_ms += later.wait_ms - 1;
    EXPECT_I64(erase_until(w, &later, &records), ERR_OK);
    EXPECT_I64(records, 0);
    atomic_store(&unreadable, 0);
    later.now_ms += 1;
    EXPECT_I64(erase_until(w, &later, &records), ERR_OK);
    EXPECT_I64(records, hidden + 3);
    EXPECT_I64(stat_of(w->log).erase_unread, 0);
    EXPECT_I64(stat_of(w->log).erase_waiting, 0);
    expect_world(w, w->log);
    world_free(w);
}

TEST(events_who_asked_in_a_segment_that_cannot_be_read_is_found_by_a_start_that_can)
{
    World *w = world_new(31);
    append_random(w, 400, 40);
    (void)erase_in_list(w);
    wait_for_indexes(w);
    CHECK(w->log->run_count > 3);
    const uint64_t segment = w->log->runs[1]->segment;
    int64_t records = 0;
    hide(w, segment);
    EXPECT_I64(erase_until(w, &AT_ONCE, &records), ERR_INTERNAL);
    CHECK(records > 0 && stat_of(w->log).erase_unread > 0);
    expect_no_hidden(w, ERR_INTERNAL, "events.erase_unread");
    events_close(w->log);
    atomic_store(&unreadable, 0);
    w->log = kit_log(&w->k, w->k.folder, SMALL);
    EXPECT_I64(erase_until(w, &AT_ONCE, &records), ERR_OK);
    expect_world(w, w->log);
    EXPECT_I64(erase_until(w, &AT_ONCE, &records), ERR_OK);
    EXPECT_I64(records, 0);
    world_free(w);
}

TEST(events_a_segment_that_cannot_be_read_before_it_has_its_index_keeps_nobody_elses_records)
{
    World *w = world_new(32);
    append_random(w, 380, 40);
    const uint64_t hidden = w->log->active_first;
    hide(w, hidden);
    while (w->log->active_first == hidden)
        append_random(w, 1, 0);
    (void)erase_in_list(w);
    int64_t records = 0;
    EXPECT_I64(erase_until(w, &AT_ONCE, &records), ERR_INTERNAL);
    EXPECT_STREQ(w->k.ctx.fault.reason, "events.erase_unread");
    CHECK(records > 0);
    events_close(w->log);
    atomic_store(&unreadable, 0);
    w->log = kit_log(&w->k, w->k.folder, SMALL);
    EXPECT_I64(erase_until(w, &AT_ONCE, &records), ERR_OK);
    expect_world(w, w->log);
    world_free(w);
}

/* A ledger with as many as fit but for one, all of them gone long ago. */
static void fill_ledger(World *w)
{
    Erased full = {.count = ERASED_MAX - 1, .looked = 1};
    full.at = calloc(ERASED_MAX, sizeof *full.at);
    CHECK(full.at != NULL);
    for (uint32_t i = 0; i < ERASED_MAX - 1; i++) {
        const uint32_t big_endian = __builtin_bswap32(i);
        memcpy(full.at[i].hash, &big_endian, sizeof big_endian);
        full.at[i].below = 1;
    }
    Erased nobody = {.looked = 1};
    CHECK(erased_use_key(&w->k.ctx, &nobody, &KEY) == ERR_OK);
    memcpy(full.key_check, nobody.key_check, sizeof full.key_check);
    CHECK(erased_save(&w->k.ctx, w->k.folder, &full) == ERR_OK);
    free(full.at);
}

TEST(events_a_full_ledger_keeps_nobody_who_is_in_it_and_goes_on_with_an_empty_one)
{
    World *w = world_new(32);
    append_random(w, 200, 0);
    for (uint32_t who = 1; who < 3; who++) {
        add_change(w, EVENT_ERASE, who, 0);
        CHECK(events_append(&w->k.ctx, w->log, w->at[w->count - 1].bytes, NULL) == ERR_OK);
        append_random(w, 50, 0);
    }
    events_close(w->log);
    fill_ledger(w);
    w->log = kit_log(&w->k, w->k.folder, SMALL);
    int64_t first = 0, second = 0;
    EXPECT_I64(erase_until(w, &AT_ONCE, &first), ERR_OK);
    CHECK(first > 1 && stat_of(w->log).erase_full);
    EXPECT_I64(stat_of(w->log).erase_waiting, 0);
    EXPECT_I64(erase_until(w, &AT_ONCE, &second), ERR_BUSY);
    EXPECT_STREQ(w->k.ctx.fault.reason, "events.erased_full");
    EXPECT_I64(second, 0);
    expect_no_hidden(w, ERR_BUSY, "events.erased_full");
    events_close(w->log);
    CHECK(file_remove(&w->k.ctx, w->k.folder, ERASED_FILE) == ERR_OK);
    w->log = kit_log(&w->k, w->k.folder, SMALL);
    EXPECT_I64(erase_until(w, &AT_ONCE, &second), ERR_OK);
    CHECK(!stat_of(w->log).erase_full);
    EXPECT_I64(first + second, erase_in_list(w));
    expect_world(w, w->log);
    world_free(w);
}

TEST(events_who_was_never_asked_to_erase_has_no_ledger_to_give)
{
    World *w = world_new(27);
    const Str to = kit_subfolder(&w->k, "to");
    EXPECT_I64(events_erase_again(&w->k.ctx, w->k.folder, to), ERR_NOT_FOUND);
    test_remove_folder(to);
    world_free(w);
}

/* ---- a full disk ---------------------------------------------------------------------------------- */

TEST(events_on_a_full_disk_erasing_is_busy_changes_nothing_and_is_done_when_there_is_room)
{
    World *w = world_new(28);
    (void)signal(SIGXFSZ, SIG_IGN);
    append_random(w, 300, 10);
    (void)erase_in_list(w);
    struct rlimit before;
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    int refused = 0;
    for (rlim_t room = 64; room <= SEGMENT; room += 1024) {
        const struct rlimit full = {room, before.rlim_max};
        CHECK(setrlimit(RLIMIT_FSIZE, &full) == 0);
        EventsErased one = {.more = true};
        Err err = ERR_OK;
        while (one.more && err == ERR_OK)
            err = events_erase(&w->k.ctx, w->log, &AT_ONCE, &one);
        const bool is_full = str_eq(str_of(w->k.ctx.fault.reason), STR("disk.full"));
        CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
        CHECK(err == ERR_OK || (err == ERR_BUSY && is_full));
        refused += err != ERR_OK;
        (void)expect_records(w, w->log, true);
    }
    CHECK(refused > 3);
    EventsErased one = {.more = true};
    Err err = ERR_OK;
    for (int tries = 0; tries < 300 && (one.more || err != ERR_OK); tries++) {
        err = events_erase(&w->k.ctx, w->log, &AT_ONCE, &one);
        if (err != ERR_OK)
            (void)usleep(20000); /* the keeper tries again each second */
    }
    CHECK(err == ERR_OK && !one.more);
    expect_world(w, w->log);
    world_free(w);
}

/* ---- crashes -------------------------------------------------------------------------------------- */

static _Thread_local void (*on_write)(void); /* NULL = nobody looks */

static void look_now(void)
{
    void (*look)(void) = on_write;
    on_write = NULL;
    if (look != NULL)
        look();
    on_write = look;
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    look_now();
    kit_dirty_fd = fd;
    return syscall(SYS_pwrite64, fd, bytes, n, at);
}

ssize_t pwritev(int fd, const struct iovec *pieces, int n, off_t at)
{
    look_now();
    kit_dirty_fd = fd;
    return syscall(SYS_pwritev, fd, pieces, n, at, 0L);
}

int rename(const char *from, const char *to)
{
    CHECK(on_write == NULL || kit_dirty_fd == -1); /* what takes another's place is on disk */
    look_now();
    const int failed = (int)syscall(SYS_rename, from, to);
    look_now();
    return failed;
}

int unlink(const char *path)
{
    look_now();
    return (int)syscall(SYS_unlink, path);
}

static World *crashing;
static uint32_t crash_count;

/* One file of the disk as it is now; of one that is not synced a part is missing. */
static void keep_file(Kit *k, Str folder, Str name, bool synced)
{
    Str bytes;
    const Err err = file_load(&k->ctx, k->folder, name, 1 << 26, &bytes);
    if (err == ERR_NOT_FOUND) /* the keeper has just renamed it */
        return;
    CHECK(err == ERR_OK);
    if (!synced && bytes.len > 0 && str_ends_with(name, STR(".tmp"))) {
        bytes.len = kit_below(k, (uint32_t)bytes.len) + 1;
        ((char *)(uintptr_t)bytes.ptr)[kit_below(k, (uint32_t)bytes.len)] = 0;
    }
    kit_write(k, folder, name, bytes);
}

static void crash_here(void)
{
    Kit *k = &crashing->k;
    Str *names = NULL;
    size_t n = 0;
    const bool synced = kit_dirty_fd == -1;
    CHECK(crash_count < CRASHES_MAX);
    const Str copy = kit_subfolder(k, arena_printf(k->ctx.arena, "crash%u", crash_count++).ptr);
    CHECK(file_list(&k->ctx, k->folder, &names, &n) == ERR_OK);
    for (size_t i = 0; i < n; i++)
        if (!str_eq(names[i], LOG_SPARE))
            keep_file(k, copy, names[i], synced);
    kit_dirty_fd = synced ? -1 : kit_dirty_fd;
}

static void expect_after_crash(World *w, Str folder)
{
    EventsLog *log = kit_log(&w->k, folder, SMALL);
    (void)expect_records(w, log, true);
    expect_sound(&w->k, log);
    (void)erase_all(&w->k, log, &AT_ONCE);
    expect_world(w, log);
    EXPECT_I64(files_with(&w->k, folder, MARKER), 0);
    events_close(log);
}

TEST(events_a_crash_at_any_write_of_an_erasing_loses_nothing_and_what_was_asked_for_is_done)
{
    World *w = world_new(29);
    append_random(w, 120, 10);
    for (int i = 0; i < 8; i++) {
        add_marked(w, EVENT_HAPPENED + (EventKind)(i % 4));
        append_random(w, 20, 0);
    }
    add_marked(w, EVENT_ERASE);
    (void)erase_in_list(w);
    crashing = w;
    crash_count = 0;
    EventsErased one = {.more = true};
    while (one.more) {
        on_write = crash_here;
        const Err err = events_erase(&w->k.ctx, w->log, &AT_ONCE, &one);
        on_write = NULL;
        CHECK(err == ERR_OK);
    }
    expect_world(w, w->log);
    CHECK(crash_count > 30);
    for (uint32_t i = 0; i < crash_count; i++) {
        const Str folder = kit_subfolder(&w->k, arena_printf(w->k.ctx.arena, "crash%u", i).ptr);
        expect_after_crash(w, folder);
        test_remove_folder(folder);
    }
    world_free(w);
}

/* ---- beside readers ------------------------------------------------------------------------------- */

typedef struct Beside {
    World *w;
    atomic_bool stop;
    uint32_t steady; /* events of an actor that nobody erases, in the list when this began */
    atomic_int pages;
    Str record; /* that is appended meanwhile */
} Beside;

static Err count_steady(Ctx *ctx, const Event *e, void *arg)
{
    (void)ctx;
    uint32_t *n = arg;
    CHECK(str_eq(e->actor.value, STR("steady")));
    ++*n;
    return ERR_OK;
}

static Err pass_event(Ctx *ctx, const Event *e, void *arg)
{
    (void)ctx;
    int64_t *last = arg;
    CHECK(e->kind != EVENT_GONE && e->time_ms <= *last);
    *last = e->time_ms;
    return ERR_OK;
}

static Err pass_count(Ctx *ctx, const EventsCount *count, void *arg)
{
    (void)ctx;
    (void)count;
    (void)arg;
    return ERR_OK;
}

static void *read_beside(void *arg)
{
    Beside *b = arg;
    Ctx ctx = {.arena = arena_new(65536)};
    while (!atomic_load(&b->stop)) {
        EventsQuery q = {.actor = {STR("card"), STR("steady")},
                         .limit = 7,
                         .oldest_first = atomic_load(&b->pages) % 2 == 1};
        EventsPage page = {.more = true};
        uint32_t n = 0;
        while (page.more) {
            CHECK(events_by_actor(&ctx, b->w->log, &q, count_steady, &n, &page) == ERR_OK);
            EXPECT_I64((int64_t)page.damaged, 0);
            q.after = page.next;
            atomic_fetch_add(&b->pages, 1);
        }
        EXPECT_I64(n, b->steady);
        q = (EventsQuery){.limit = EVENTS_PAGE_MAX};
        int64_t last = INT64_MAX, total = 0;
        uint32_t mark = 0;
        CHECK(events_by_time(&ctx, b->w->log, &q, pass_event, &last, &page) == ERR_OK);
        EXPECT_I64((int64_t)page.damaged, 0);
        CHECK(events_counts(&ctx, b->w->log, STR("Steady"), 0, INT32_MAX, pass_count, NULL,
                            &total) == ERR_OK);
        EXPECT_I64(total, b->steady);
        CHECK(events_mark(&ctx, b->w->log, 40, &mark) == ERR_OK && mark != 0);
        arena_reset(ctx.arena);
    }
    arena_free(ctx.arena);
    return NULL;
}

static void *append_beside(void *arg)
{
    Beside *b = arg;
    Ctx ctx = {.arena = arena_new(65536)};
    while (!atomic_load(&b->stop))
        CHECK(events_append(&ctx, b->w->log, b->record, NULL) == ERR_OK);
    arena_free(ctx.arena);
    return NULL;
}

static void add_steady(World *w)
{
    Event e;
    const Event head = {.kind = EVENT_HAPPENED,
                        .source = STR("web"),
                        .id = arena_printf(w->k.ctx.arena, "steady-%u", w->count),
                        .name = STR("Steady"),
                        .time_ms = NOW_MS - kit_below(&w->k, 50) * 1000,
                        .received_ms = NOW_MS,
                        .actor = {STR("card"), STR("steady")}};
    CHECK(event_end(event_begin(&w->k.ctx, &head), &e) == ERR_OK);
    add_record(w, &e);
    CHECK(events_append(&w->k.ctx, w->log, w->at[w->count - 1].bytes, NULL) == ERR_OK);
}

TEST(events_whoever_reads_or_appends_while_segments_are_rewritten_sees_nothing_amiss)
{
    World *w = world_new(30);
    Beside b = {.w = w, .steady = 100, .record = kit_record(&w->k, "beside")};
    for (uint32_t i = 0; i < b.steady; i++) {
        append_random(w, 10, 0);
        add_steady(w);
    }
    pthread_t readers[2], appender;
    for (size_t i = 0; i < ARRAY_LEN(readers); i++)
        CHECK(pthread_create(&readers[i], NULL, read_beside, &b) == 0);
    CHECK(pthread_create(&appender, NULL, append_beside, &b) == 0);
    int64_t rewritten = 0;
    for (uint32_t who = 1; who < ACTORS; who++) { /* every segment once more each time */
        add_change(w, EVENT_ERASE, who, 0);
        CHECK(events_append(&w->k.ctx, w->log, w->at[w->count - 1].bytes, NULL) == ERR_OK);
        const int pages = atomic_load(&b.pages);
        rewritten += erase_all(&w->k, w->log, &AT_ONCE).rewritten;
        for (int i = 0; i < 200 && atomic_load(&b.pages) == pages; i++)
            (void)usleep(1000);
    }
    atomic_store(&b.stop, true);
    for (size_t i = 0; i < ARRAY_LEN(readers); i++)
        CHECK(pthread_join(readers[i], NULL) == 0);
    CHECK(pthread_join(appender, NULL) == 0);
    CHECK(rewritten > 60 && atomic_load(&b.pages) > 20);
    expect_sound(&w->k, w->log);
    world_free(w);
}
