/*
 * engine/core/crew_test.c -- questions that are under way at the same time: none waits for another, the crew's
 * threads take them in turn, every piece is worked off once.
 */
#include "engine/core/crew.h"

#include "base/clock.h"
#include "base/test.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

enum { WAIT_MS = 5000 };

/* False: it did not come to be true in a long time. */
static bool wait_for(const atomic_bool *flag)
{
    for (int ms = 0; ms < WAIT_MS && !*flag; ms++)
        (void)usleep(1000);
    return *flag;
}

/* A question that a thread of its own asks. */
typedef struct Asker {
    pthread_t thread;
    Crew *crew;
    CrewJob job;
    Err err;
} Asker;

static Err run(Crew *crew, const CrewJob *job)
{
    Ctx ctx = {.arena = arena_new(4096)};
    const Err err = crew_run(&ctx, crew, job);
    CHECK(err == ERR_OK ||
          err == (strcmp(ctx.fault.reason, "query.deadline") == 0 ? ERR_BUSY : ERR_CONFLICT));
    arena_free(ctx.arena);
    return err;
}

static void *ask(void *arg)
{
    Asker *a = arg;
    a->err = run(a->crew, &a->job);
    return NULL;
}

static void start(Asker *a)
{
    CHECK(pthread_create(&a->thread, NULL, ask, a) == 0);
}

static void finish(Asker *a)
{
    CHECK(pthread_join(a->thread, NULL) == 0);
    EXPECT_I64(a->err, ERR_OK);
}

/* ---- a long question and others beside it --------------------------------------------------------- */

/* Its pieces wait until the others were answered. */
typedef struct Long {
    Asker asker;
    atomic_bool began, others_are_done, was_alone;
} Long;

static void long_piece(uint32_t worker, uint32_t piece, void *arg)
{
    (void)worker;
    (void)piece;
    Long *l = arg;
    l->began = true;
    if (!l->was_alone && !wait_for(&l->others_are_done))
        l->was_alone = true;
}

static void start_long(Long *l, Crew *crew)
{
    *l = (Long){.asker = {.crew = crew, .job = {.pieces = 100, .piece = long_piece, .arg = l}}};
    start(&l->asker);
    CHECK(wait_for(&l->began));
}

static void finish_long(Long *l)
{
    l->others_are_done = true;
    finish(&l->asker);
    CHECK(!l->was_alone);
}

static void count_piece(uint32_t worker, uint32_t piece, void *arg)
{
    (void)worker;
    (void)piece;
    atomic_fetch_add((atomic_uint *)arg, 1);
}

TEST(a_short_question_is_answered_while_a_long_one_is_under_way)
{
    for (uint32_t size = 1; size <= 3; size++) {
        Crew *crew = crew_new(size);
        Long l;
        atomic_uint pieces = 0;
        start_long(&l, crew);
        const CrewJob job = {.first_piece = 1, .pieces = 50, .piece = count_piece, .arg = &pieces};
        const Err err = run(crew, &job);
        finish_long(&l);
        EXPECT_I64(err, ERR_OK);
        EXPECT_I64(pieces, 49);
        crew_free(crew);
    }
}

TEST(a_question_that_is_late_or_stopped_ends_before_its_first_piece_whatever_else_is_under_way)
{
    Crew *crew = crew_new(2);
    Long l;
    atomic_uint pieces = 0;
    const atomic_bool stop = true;
    start_long(&l, crew);
    CrewJob job = {.pieces = 50, .piece = count_piece, .arg = &pieces, .stop = &stop};
    const Err stopped = run(crew, &job);
    job.stop = NULL;
    job.until_us = clock_mono_us();
    const Err late = run(crew, &job);
    finish_long(&l);
    EXPECT_I64(stopped, ERR_CONFLICT);
    EXPECT_I64(late, ERR_BUSY);
    EXPECT_I64(pieces, 0);
    crew_free(crew);
}

typedef struct StopsItself {
    atomic_bool stop;
    uint32_t pieces;
} StopsItself;

static void stopping_piece(uint32_t worker, uint32_t piece, void *arg)
{
    StopsItself *s = arg;
    (void)worker;
    s->pieces++;
    s->stop = piece == 5;
}

TEST(a_question_looks_before_each_piece_whether_it_shall_go_on)
{
    Crew *crew = crew_new(1);
    StopsItself s = {false, 0};
    const CrewJob job = {.pieces = 50, .piece = stopping_piece, .arg = &s, .stop = &s.stop};
    EXPECT_I64(run(crew, &job), ERR_CONFLICT);
    EXPECT_I64(s.pieces, 6);
    crew_free(crew);
}

/* Works until it is told to end, or for too long. */
typedef struct Endless {
    atomic_bool stop;
    uint64_t rows, pieces;
    bool stays_so;
} Endless;

static void endless_piece(uint32_t worker, uint32_t piece, void *arg)
{
    Endless *e = arg;
    (void)worker, (void)piece;
    e->pieces++;
    while (!crew_gives_up(100) && e->rows < 100 * (uint64_t)CREW_LOOK_ROWS) {
        e->rows += 100;
        e->stop = true;
    }
    e->stop = false;
    e->stays_so = crew_gives_up(0) && crew_gives_up(CREW_LOOK_ROWS);
}

TEST(a_piece_that_asks_gives_up_within_so_many_rows_and_the_question_fails_even_with_its_last_piece)
{
    for (uint32_t pieces = 1; pieces <= 2; pieces++) {
        Crew *crew = crew_new(1);
        Endless e = {.rows = 0};
        const CrewJob job = {.pieces = pieces, .piece = endless_piece, .arg = &e, .stop = &e.stop};
        EXPECT_I64(run(crew, &job), ERR_CONFLICT);
        CHECK(e.stays_so && e.pieces == 1 && e.rows > 0 && e.rows <= CREW_LOOK_ROWS);
        CHECK(!crew_gives_up(0) && !crew_gives_up(UINT64_C(1) << 40));
        crew_free(crew);
    }
}

static void refusing_piece(uint32_t worker, uint32_t piece, void *arg)
{
    uint32_t *pieces = arg;
    (void)worker;
    (*pieces)++;
    CHECK(!crew_gives_up(1));
    if (piece == 3)
        crew_refuse("too much");
    CHECK(crew_gives_up(0) == (piece == 3));
}

TEST(a_piece_that_would_take_too_much_ends_its_question_with_these_words)
{
    Ctx ctx = {.arena = arena_new(4096)};
    Crew *crew = crew_new(1);
    uint32_t pieces = 0;
    const CrewJob job = {.pieces = 50, .piece = refusing_piece, .arg = &pieces};
    EXPECT_I64(crew_run(&ctx, crew, &job), ERR_INVALID);
    EXPECT_STREQ(ctx.fault.reason, "query.too_large");
    EXPECT_STREQ(ctx.fault.hint, "too much");
    EXPECT_I64(pieces, 4);
    crew_refuse("nobody listens");
    CHECK(!crew_gives_up(UINT64_C(1) << 40));
    crew_free(crew);
    arena_free(ctx.arena);
}

TEST(a_piece_that_asks_gives_up_at_its_deadline)
{
    Crew *crew = crew_new(1);
    Endless e = {.rows = 0};
    CrewJob job = {.pieces = 1, .piece = endless_piece, .arg = &e};
    EXPECT_I64(run(crew, &job), ERR_OK);
    job.until_us = clock_mono_us() + 1;
    (void)usleep(10);
    EXPECT_I64(run(crew, &job), ERR_BUSY);
    crew_free(crew);
}

TEST(whoever_works_outside_of_pieces_can_look_too)
{
    Ctx ctx = {.arena = NULL};
    const atomic_bool stop = true, go_on = false;
    EXPECT_I64(crew_look(&ctx, 0, NULL), ERR_OK);
    EXPECT_I64(crew_look(&ctx, clock_mono_us() + 60000000, &go_on), ERR_OK);
    EXPECT_I64(crew_look(&ctx, clock_mono_us(), &go_on), ERR_BUSY);
    EXPECT_STREQ(ctx.fault.reason, "query.deadline");
    EXPECT_I64(crew_look(&ctx, 0, &stop), ERR_CONFLICT);
    EXPECT_STREQ(ctx.fault.reason, "query.stopped");
}

/* Whoever has the first piece waits until the others are done. */
typedef struct First {
    atomic_uint done;
    atomic_bool all_done, was_alone;
} First;

static void first_piece(uint32_t worker, uint32_t piece, void *arg)
{
    First *f = arg;
    (void)worker;
    if (piece == 0)
        f->was_alone = !wait_for(&f->all_done);
    else
        f->all_done = atomic_fetch_add(&f->done, 1) + 1 == 3;
}

TEST(of_a_job_with_a_grain_of_one_other_threads_take_the_next_piece)
{
    Crew *crew = crew_new(2);
    First f = {.done = 0};
    const CrewJob job = {.pieces = 4, .grain = 1, .piece = first_piece, .arg = &f};
    EXPECT_I64(run(crew, &job), ERR_OK);
    CHECK(!f.was_alone);
    crew_free(crew);
}

/* ---- in turn -------------------------------------------------------------------------------------- */

enum { TURNS = 3, TURN_PIECES = 80, NEIGHBOURS_MAX = 8 };

/* Questions of the same size, whose callers stay at their first piece until the crew's one thread has done
 * the rest of all of them. */
typedef struct Turns {
    struct Turn {
        Asker asker;
        struct Turns *all;
        uint32_t done; /* by the crew's thread */
    } of[TURNS];
    atomic_uint begun;
    atomic_bool all_begun, is_uneven, crew_is_through;
} Turns;

static void look_at_turns(Turns *t)
{
    uint32_t least = UINT32_MAX, most = 0, sum = 0;
    for (int i = 0; i < TURNS; i++) {
        const uint32_t done = t->of[i].done;
        sum += done;
        least = done < least ? done : least;
        most = done > most ? done : most;
    }
    t->is_uneven = t->is_uneven || most - least > NEIGHBOURS_MAX;
    t->crew_is_through = sum + TURNS * NEIGHBOURS_MAX >= TURNS * TURN_PIECES;
}

static void turn_piece(uint32_t worker, uint32_t piece, void *arg)
{
    struct Turn *mine = arg;
    Turns *t = mine->all;
    if (worker == 0 && piece == 0) {
        t->all_begun = atomic_fetch_add(&t->begun, 1) + 1 == TURNS;
        (void)wait_for(&t->crew_is_through);
    }
    if (worker == 0)
        return;
    (void)wait_for(&t->all_begun);
    mine->done++;
    look_at_turns(t);
}

TEST(the_crew_takes_a_few_pieces_of_each_question_in_turn)
{
    Crew *crew = crew_new(2);
    Turns t = {.begun = 0};
    for (int i = 0; i < TURNS; i++) {
        t.of[i].all = &t;
        t.of[i].asker = (Asker){
            .crew = crew, .job = {.pieces = TURN_PIECES, .piece = turn_piece, .arg = &t.of[i]}};
        start(&t.of[i].asker);
    }
    for (int i = 0; i < TURNS; i++)
        finish(&t.of[i].asker);
    CHECK(t.crew_is_through && !t.is_uneven);
    crew_free(crew);
}

/* ---- many at once --------------------------------------------------------------------------------- */

enum { ASKERS = 6, ROUNDS = 60, PIECES = 97, SIZE = 4 };

typedef struct Busy {
    Asker asker;
    atomic_uint times[PIECES];
    atomic_bool at_work[SIZE];
    uint32_t last[SIZE]; /* piece of each worker, + 1 */
} Busy;

static void busy_piece(uint32_t worker, uint32_t piece, void *arg)
{
    Busy *b = arg;
    CHECK(worker < SIZE && !atomic_exchange(&b->at_work[worker], true));
    CHECK(piece + 1 > b->last[worker]);
    b->last[worker] = piece + 1;
    atomic_fetch_add(&b->times[piece], 1);
    b->at_work[worker] = false;
}

static void *ask_often(void *arg)
{
    Busy *b = arg;
    for (uint32_t round = 0; round < ROUNDS && b->asker.err == ERR_OK; round++) {
        memset(b->last, 0, sizeof b->last);
        b->asker.err = run(b->asker.crew, &b->asker.job);
        for (uint32_t i = 0; i < PIECES; i++)
            CHECK(b->times[i] == round + 1);
    }
    return NULL;
}

TEST(every_piece_is_worked_off_once_and_each_worker_is_one_when_many_ask_at_once)
{
    static Busy busy[ASKERS];
    Crew *crew = crew_new(SIZE);
    for (int i = 0; i < ASKERS; i++) {
        busy[i].asker =
            (Asker){.crew = crew, .job = {.pieces = PIECES, .piece = busy_piece, .arg = &busy[i]}};
        busy[i].asker.job.grain = (uint32_t)(i * i * 5);
        CHECK(pthread_create(&busy[i].asker.thread, NULL, ask_often, &busy[i]) == 0);
    }
    for (int i = 0; i < ASKERS; i++)
        finish(&busy[i].asker);
    crew_free(crew);
}

/* ---- on which processor --------------------------------------------------------------------------- */

/* Pieces that wait until a thread of the crew has come. */
typedef struct Apart {
    int askers_processor;
    atomic_bool came;
    atomic_uint beside; /* pieces of the crew's threads on the asker's processor */
} Apart;

static void apart_piece(uint32_t worker, uint32_t piece, void *arg)
{
    (void)piece;
    Apart *a = arg;
    if (worker > 0) {
        a->beside += sched_getcpu() == a->askers_processor;
        a->came = true;
    }
    CHECK(wait_for(&a->came));
}

static void stay_on(int processor)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((size_t)processor, &one);
    CHECK(pthread_setaffinity_np(pthread_self(), sizeof one, &one) == 0);
}

/* From each of a few processors, so that the crew's threads have to go to and fro. */
TEST(a_thread_of_the_crew_that_slept_begins_on_another_processor_than_the_askers)
{
    enum { ROUNDS_OF_EACH = 10, PROCESSORS = 4, ASLEEP_US = 20000 };
    cpu_set_t all;
    CHECK(sched_getaffinity(0, sizeof all, &all) == 0);
    Crew *crew = crew_new(4);
    for (int at = 0, i = 0; CPU_COUNT(&all) > 1 && at < ROUNDS_OF_EACH * PROCESSORS; i++) {
        if (!CPU_ISSET((size_t)(i % CPU_SETSIZE), &all))
            continue;
        Apart a = {.askers_processor = i % CPU_SETSIZE};
        const CrewJob job = {.pieces = 8, .grain = 1, .piece = apart_piece, .arg = &a};
        stay_on(a.askers_processor);
        (void)usleep(ASLEEP_US); /* the crew sleeps by then */
        EXPECT_I64(run(crew, &job), ERR_OK);
        EXPECT_I64(a.beside, 0);
        at++;
    }
    CHECK(pthread_setaffinity_np(pthread_self(), sizeof all, &all) == 0);
    crew_free(crew);
}

TEST(a_crew_keeps_to_the_processors_that_it_may_use)
{
    cpu_set_t all;
    CHECK(sched_getaffinity(0, sizeof all, &all) == 0);
    const int here = sched_getcpu();
    stay_on(here);
    Crew *crew = crew_new(3);
    Apart a = {.askers_processor = here};
    EXPECT_I64(run(crew, &(CrewJob){.pieces = 8, .grain = 1, .piece = apart_piece, .arg = &a}),
               ERR_OK);
    CHECK(a.beside > 0);
    CHECK(pthread_setaffinity_np(pthread_self(), sizeof all, &all) == 0);
    crew_free(crew);
}
