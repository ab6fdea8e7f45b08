/*
 * engine/core/crew.c
 */
#include "engine/core/crew.h"

#include "base/clock.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

/* Pieces taken at once, unless the job says: neighbours lie together in every list. */
enum { GRAIN = 4 };

/* A question under way.  Stands on its caller's stack; everything is guarded by the crew's lock. */
typedef struct Running {
    struct Running *next;
    const CrewJob *job;
    uint32_t next_piece;
    uint32_t working; /* threads that are at a grain of it */
    Err given_up;
    const char *words; /* of who refused; NULL: nobody did */
} Running;

/* A thread besides the askers. */
typedef struct Mate {
    pthread_t thread;
    int avoids; /* the processor that it keeps away from; -1 = none.  Guarded by the crew's lock, as the next one */
    bool is_awake; /* it looks for work by itself */
} Mate;

struct Crew {
    uint32_t size;
    Mate mates[CREW_MAX]; /* the first one is not used: number 0 is the asker's */
    cpu_set_t processors; /* that it may use */
    pthread_mutex_t lock;
    pthread_cond_t came; /* a question, or the end */
    pthread_cond_t left; /* the last thread at a question */
    /* guarded by lock */
    Running *first; /* whose turn it is; the others behind it */
    bool quit;
};

typedef struct Worker {
    Crew *crew;
    uint32_t number;
} Worker;

/* ---- whose turn it is: under the lock ------------------------------------------------------------ */

static void append(Crew *crew, Running *r)
{
    Running **end = &crew->first;
    while (*end != NULL)
        end = &(*end)->next;
    *end = r;
    r->next = NULL;
}

static void take_out(Crew *crew, const Running *r)
{
    for (Running **at = &crew->first; *at != NULL; at = &(*at)->next)
        if (*at == r) {
            *at = r->next;
            return;
        }
}

static bool has_more(const Running *r)
{
    return r->given_up == ERR_OK && r->next_piece < r->job->pieces;
}

/* The question in front goes behind the others; one without pieces for anybody falls out.  NULL: there is
 * none. */
static Running *next_in_turn(Crew *crew)
{
    while (crew->first != NULL) {
        Running *r = crew->first;
        crew->first = r->next;
        if (!has_more(r))
            continue;
        append(crew, r);
        return r;
    }
    return NULL;
}

/* ---- on which processors ------------------------------------------------------------------------- */

/* A call of the system for each: of many, one that waits at the asker's is no loss. */
enum { APART_MAX = 3 };

/* Those that sleep will not wake where the asker works: the scheduler likes to put them there, as it takes a guest's processor
 * that sleeps for one that is busy, and a question is over before it moves them.  Under the lock. */
static void keep_apart(Crew *crew, int here)
{
    cpu_set_t elsewhere = crew->processors;
    CPU_CLR((size_t)here, &elsewhere);
    for (uint32_t i = 1; i < crew->size && i <= APART_MAX && CPU_COUNT(&elsewhere) > 0; i++) {
        Mate *m = &crew->mates[i];
        if (!m->is_awake && m->avoids != here &&
            pthread_setaffinity_np(m->thread, sizeof elsewhere, &elsewhere) == 0)
            m->avoids = here;
    }
}

/* Under the lock. */
static void wake_mates(Crew *crew)
{
    const int here = sched_getcpu();
    if (here >= 0)
        keep_apart(crew, here);
    (void)pthread_cond_broadcast(&crew->came);
}

/* ---- working ------------------------------------------------------------------------------------- */

/* The piece that a thread is at.  It is the thread's, so that no loop within needs to be told of it. */
typedef struct Watch {
    const CrewJob *job; /* NULL: at none */
    Err why;            /* it gives up */
    const char *words;
} Watch;

static _Thread_local Watch watch;
_Thread_local uint64_t crew_rows; /* since the last look; once it gives up, enough for the next */

static Err why_stop(int64_t until_us, const atomic_bool *stop)
{
    if (stop != NULL && atomic_load_explicit(stop, memory_order_relaxed))
        return ERR_CONFLICT;
    return until_us > 0 && clock_mono_us() >= until_us ? ERR_BUSY : ERR_OK;
}

bool crew_looks(void)
{
    if (watch.why == ERR_OK && watch.job != NULL)
        watch.why = why_stop(watch.job->until_us, watch.job->stop);
    crew_rows = watch.why == ERR_OK ? 0 : CREW_LOOK_ROWS;
    return watch.why != ERR_OK;
}

void crew_refuse(const char *words)
{
    if (watch.job == NULL || watch.why != ERR_OK)
        return;
    watch.why = ERR_INVALID;
    watch.words = words;
    crew_rows = CREW_LOOK_ROWS;
}

static Watch run_pieces(const CrewJob *job, uint32_t worker, uint32_t from, uint32_t to)
{
    watch = (Watch){.job = job};
    for (uint32_t piece = from; piece < to && !crew_looks(); piece++)
        job->piece(worker, piece, job->arg);
    const Watch seen = watch;
    watch = (Watch){.job = NULL};
    crew_rows = 0;
    return seen;
}

/* Takes a grain of it and works it off.  Under the lock, which is free while the pieces run. */
static void work_a_grain(Crew *crew, Running *r, uint32_t worker)
{
    const CrewJob *job = r->job;
    const uint32_t from = r->next_piece, left = job->pieces - from;
    const uint32_t grain = job->grain > 0 ? job->grain : GRAIN;
    const uint32_t to = from + (left < grain ? left : grain);
    r->next_piece = to;
    r->working++;
    (void)pthread_mutex_unlock(&crew->lock);
    const Watch seen = run_pieces(job, worker, from, to);
    (void)pthread_mutex_lock(&crew->lock);
    if (seen.why != ERR_OK && r->given_up == ERR_OK) {
        r->given_up = seen.why;
        r->words = seen.words;
    }
    if (--r->working == 0)
        (void)pthread_cond_broadcast(&crew->left);
}

static void *worker_main(void *arg)
{
    const Worker me = *(Worker *)arg;
    free(arg);
    Crew *crew = me.crew;
    Mate *mate = &crew->mates[me.number];
    (void)pthread_setname_np(pthread_self(), "engine-query");
    (void)pthread_mutex_lock(&crew->lock);
    while (!crew->quit) {
        Running *r = next_in_turn(crew);
        mate->is_awake = r != NULL;
        if (r != NULL)
            work_a_grain(crew, r, me.number);
        else
            (void)pthread_cond_wait(&crew->came, &crew->lock);
    }
    (void)pthread_mutex_unlock(&crew->lock);
    return NULL;
}

/* ---- the crew ------------------------------------------------------------------------------------ */

Crew *crew_new(uint32_t size)
{
    Crew *crew = calloc(1, sizeof *crew);
    CHECK(crew != NULL);
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    size = size > 0 ? size : processors > 0 ? (uint32_t)processors : 1;
    crew->size = size < CREW_MAX ? size : CREW_MAX;
    CHECK(pthread_mutex_init(&crew->lock, NULL) == 0 && pthread_cond_init(&crew->came, NULL) == 0 &&
          pthread_cond_init(&crew->left, NULL) == 0);
    if (sched_getaffinity(0, sizeof crew->processors, &crew->processors) != 0)
        CPU_ZERO(&crew->processors);
    (void)pthread_mutex_lock(&crew->lock); /* nobody looks at a mate that is not there yet */
    for (uint32_t i = 1; i < crew->size; i++) {
        Worker *w = malloc(sizeof *w);
        CHECK(w != NULL);
        *w = (Worker){crew, i};
        crew->mates[i].avoids = -1;
        CHECK(pthread_create(&crew->mates[i].thread, NULL, worker_main, w) == 0);
    }
    (void)pthread_mutex_unlock(&crew->lock);
    return crew;
}

void crew_free(Crew *crew)
{
    if (crew == NULL)
        return;
    (void)pthread_mutex_lock(&crew->lock);
    CHECK(crew->first == NULL);
    crew->quit = true;
    (void)pthread_cond_broadcast(&crew->came);
    (void)pthread_mutex_unlock(&crew->lock);
    for (uint32_t i = 1; i < crew->size; i++)
        CHECK(pthread_join(crew->mates[i].thread, NULL) == 0);
    (void)pthread_mutex_destroy(&crew->lock);
    (void)pthread_cond_destroy(&crew->came);
    (void)pthread_cond_destroy(&crew->left);
    free(crew);
}

uint32_t crew_size(const Crew *crew)
{
    return crew->size;
}

static Err verdict(Ctx *ctx, Err why, const char *words)
{
    if (words != NULL)
        return fail_field(ctx, "", "query.too_large", "%s", words);
    if (why == ERR_BUSY)
        return fail(ctx, ERR_BUSY, "query.deadline", "the query took too long");
    if (why == ERR_CONFLICT)
        return fail(ctx, ERR_CONFLICT, "query.stopped", "the query was stopped");
    return why;
}

Err crew_look(Ctx *ctx, int64_t until_us, const atomic_bool *stop)
{
    return verdict(ctx, why_stop(until_us, stop), NULL);
}

Err crew_run(Ctx *ctx, Crew *crew, const CrewJob *job)
{
    Running mine = {.job = job, .next_piece = job->first_piece};
    (void)pthread_mutex_lock(&crew->lock);
    append(crew, &mine);
    wake_mates(crew);
    while (has_more(&mine))
        work_a_grain(crew, &mine, 0);
    take_out(crew, &mine);
    while (mine.working > 0)
        (void)pthread_cond_wait(&crew->left, &crew->lock);
    (void)pthread_mutex_unlock(&crew->lock);
    return verdict(ctx, mine.given_up, mine.words);
}
