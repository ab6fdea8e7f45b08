/*
 * request/request_pool.c -- a bounded pool of threads for what may block.
 */
#include "request/request_internal.h"

#include <pthread.h>
#include <stdlib.h>

enum { THREADS_MAX = 64 };

struct Pool {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    PoolTask *first, **last; /* guarded by: lock */
    int queued, queued_max;  /* guarded by: lock */
    bool stopping;           /* guarded by: lock */
    int thread_count;
    pthread_t threads[THREADS_MAX];
};

static PoolTask *next_task(Pool *p)
{
    CHECK(pthread_mutex_lock(&p->lock) == 0);
    while (p->first == NULL && !p->stopping)
        CHECK(pthread_cond_wait(&p->moved, &p->lock) == 0);
    PoolTask *task = p->first;
    if (task != NULL) {
        p->first = task->next;
        p->queued--;
        if (p->first == NULL)
            p->last = &p->first;
    }
    CHECK(pthread_mutex_unlock(&p->lock) == 0);
    return task;
}

static void *pool_main(void *arg)
{
    (void)pthread_setname_np(pthread_self(), "pool");
    Pool *p = arg;
    for (PoolTask *task = NULL; (task = next_task(p)) != NULL;)
        task->run(task);
    return NULL;
}

Pool *pool_new(int threads, int queued_max)
{
    CHECK(threads >= 1 && threads <= THREADS_MAX);
    Pool *p = calloc(1, sizeof *p);
    CHECK(p != NULL);
    p->last = &p->first;
    p->queued_max = queued_max;
    CHECK(pthread_mutex_init(&p->lock, NULL) == 0);
    CHECK(pthread_cond_init(&p->moved, NULL) == 0);
    for (; p->thread_count < threads; p->thread_count++)
        CHECK(pthread_create(&p->threads[p->thread_count], NULL, pool_main, p) == 0);
    return p;
}

bool pool_submit(Pool *p, PoolTask *task)
{
    CHECK(pthread_mutex_lock(&p->lock) == 0);
    const bool taken = p->queued < p->queued_max && !p->stopping;
    if (taken) {
        task->next = NULL;
        *p->last = task;
        p->last = &task->next;
        p->queued++;
        CHECK(pthread_cond_signal(&p->moved) == 0);
    }
    CHECK(pthread_mutex_unlock(&p->lock) == 0);
    return taken;
}

void pool_free(Pool *p)
{
    if (p == NULL)
        return;
    CHECK(pthread_mutex_lock(&p->lock) == 0);
    p->stopping = true;
    CHECK(pthread_cond_broadcast(&p->moved) == 0);
    CHECK(pthread_mutex_unlock(&p->lock) == 0);
    for (int i = 0; i < p->thread_count; i++)
        CHECK(pthread_join(p->threads[i], NULL) == 0);
    (void)pthread_mutex_destroy(&p->lock);
    (void)pthread_cond_destroy(&p->moved);
    free(p);
}
