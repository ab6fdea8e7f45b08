/*
 * engine/crew.c
 */
#include "engine/crew.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum { GRAIN = 4 }; /* pieces taken at once: neighbours lie together in every list */

struct Crew {
    uint32_t size;
    pthread_t threads[CREW_MAX];
    pthread_mutex_t turn; /* held by whoever runs a job */
    pthread_mutex_t lock;
    pthread_cond_t moved;
    /* guarded by lock */
    const CrewJob *job;
    uint64_t jobs;    /* given out so far */
    uint32_t working; /* threads that are still at the last one */
    bool quit;
    /* of the job under way */
    atomic_uint next;
    atomic_int given_up; /* an Err */
};

typedef struct Worker {
    Crew *crew;
    uint32_t number;
} Worker;

static Err why_stop(const CrewJob *job)
{
    if (job->stop != NULL && atomic_load_explicit(job->stop, memory_order_relaxed))
        return ERR_CONFLICT;
    return job->until_us > 0 && clock_mono_us() >= job->until_us ? ERR_BUSY : ERR_OK;
}

static void work(Crew *crew, const CrewJob *job, uint32_t worker)
{
    while (atomic_load(&crew->given_up) == ERR_OK) {
        const uint32_t from = atomic_fetch_add(&crew->next, GRAIN);
        if (from >= job->pieces)
            return;
        const uint32_t to = job->pieces - from < GRAIN ? job->pieces : from + GRAIN;
        for (uint32_t piece = from; piece < to; piece++)
            job->piece(worker, piece, job->arg);
        const Err why = why_stop(job);
        if (why != ERR_OK)
            atomic_store(&crew->given_up, (int)why);
    }
}

static void *worker_main(void *arg)
{
    const Worker me = *(Worker *)arg;
    free(arg);
    Crew *crew = me.crew;
    (void)pthread_setname_np(pthread_self(), "engine-query");
    uint64_t done = 0;
    (void)pthread_mutex_lock(&crew->lock);
    for (;;) {
        while (!crew->quit && crew->jobs == done)
            (void)pthread_cond_wait(&crew->moved, &crew->lock);
        if (crew->quit)
            break;
        done = crew->jobs;
        const CrewJob *job = crew->job;
        (void)pthread_mutex_unlock(&crew->lock);
        work(crew, job, me.number);
        (void)pthread_mutex_lock(&crew->lock);
        crew->working--;
        (void)pthread_cond_broadcast(&crew->moved);
    }
    (void)pthread_mutex_unlock(&crew->lock);
    return NULL;
}

Crew *crew_new(uint32_t size)
{
    Crew *crew = calloc(1, sizeof *crew);
    CHECK(crew != NULL);
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    size = size > 0 ? size : processors > 0 ? (uint32_t)processors : 1;
    crew->size = size < CREW_MAX ? size : CREW_MAX;
    CHECK(pthread_mutex_init(&crew->turn, NULL) == 0 &&
          pthread_mutex_init(&crew->lock, NULL) == 0 && pthread_cond_init(&crew->moved, NULL) == 0);
    for (uint32_t i = 1; i < crew->size; i++) {
        Worker *w = malloc(sizeof *w);
        CHECK(w != NULL);
        *w = (Worker){crew, i};
        CHECK(pthread_create(&crew->threads[i], NULL, worker_main, w) == 0);
    }
    return crew;
}

void crew_free(Crew *crew)
{
    if (crew == NULL)
        return;
    (void)pthread_mutex_lock(&crew->lock);
    crew->quit = true;
    (void)pthread_cond_broadcast(&crew->moved);
    (void)pthread_mutex_unlock(&crew->lock);
    for (uint32_t i = 1; i < crew->size; i++)
        CHECK(pthread_join(crew->threads[i], NULL) == 0);
    (void)pthread_mutex_destroy(&crew->turn);
    (void)pthread_mutex_destroy(&crew->lock);
    (void)pthread_cond_destroy(&crew->moved);
    free(crew);
}

uint32_t crew_size(const Crew *crew)
{
    return crew->size;
}

static Err verdict(Ctx *ctx, Err why)
{
    if (why == ERR_BUSY)
        return fail(ctx, ERR_BUSY, "query.deadline", "the query took too long");
    if (why == ERR_CONFLICT)
        return fail(ctx, ERR_CONFLICT, "query.stopped", "the query was stopped");
    return why;
}

Err crew_run(Ctx *ctx, Crew *crew, const CrewJob *job)
{
    (void)pthread_mutex_lock(&crew->turn);
    (void)pthread_mutex_lock(&crew->lock);
    atomic_store(&crew->next, job->first_piece);
    atomic_store(&crew->given_up, ERR_OK);
    crew->job = job;
    crew->working = crew->size - 1;
    crew->jobs++;
    (void)pthread_cond_broadcast(&crew->moved);
    (void)pthread_mutex_unlock(&crew->lock);
    work(crew, job, 0);
    (void)pthread_mutex_lock(&crew->lock);
    while (crew->working > 0)
        (void)pthread_cond_wait(&crew->moved, &crew->lock);
    (void)pthread_mutex_unlock(&crew->lock);
    const Err why = (Err)atomic_load(&crew->given_up);
    (void)pthread_mutex_unlock(&crew->turn);
    return verdict(ctx, why);
}
