/*
 * base/queue.h -- hands work from many threads to one: a lock-free list that is taken whole.
 *
 * Push is one compare-and-swap; take is one exchange and a reversal, so the taker gets everything
 * that is there, oldest first, as one chain: that is what makes group commit form by itself.
 * A taker that finds nothing sleeps on a futex; a pusher makes the system call only when it sleeps.
 * Threads: any may push, exactly one takes.
 */
#pragma once

#include "base/base.h"
#include <stdatomic.h>

typedef struct QueueNode {
    struct QueueNode *next;
} QueueNode;

typedef struct Queue {
    _Atomic(QueueNode *) head; /* newest first */
    atomic_uint asleep;        /* 1 while the taker waits on the futex */
} Queue;

/* Returns true when the queue was empty before: whoever sleeps elsewhere (an eventfd) needs a wake. */
bool queue_push(Queue *q, QueueNode *node);

/* Everything pushed so far, oldest first, or NULL. */
QueueNode *queue_take(Queue *q);

/* The same, but waits up to `timeout_ms` when there is nothing.  NULL after that, or sooner: after
 * queue_wake(), a signal, or a push whose node an earlier take already got.  Just look again. */
QueueNode *queue_take_wait(Queue *q, int64_t timeout_ms);

/* Wakes the taker without giving it anything: for a stop flag. */
void queue_wake(Queue *q);
