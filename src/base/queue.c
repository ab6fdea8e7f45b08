/*
 * base/queue.c -- the many-to-one queue of base/queue.h.
 */
#include "base/queue.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void futex_wait(atomic_uint *word, unsigned expected, int64_t timeout_ms)
{
    const struct timespec t = {.tv_sec = timeout_ms / 1000,
                               .tv_nsec = (timeout_ms % 1000) * 1000000};
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, &t, NULL, 0);
}

void queue_wake(Queue *q)
{
    if (atomic_exchange(&q->asleep, 0) == 1)
        (void)syscall(SYS_futex, &q->asleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

bool queue_push(Queue *q, QueueNode *node)
{
    QueueNode *head = atomic_load_explicit(&q->head, memory_order_relaxed);
    do {
        node->next = head;
    } while (!atomic_compare_exchange_weak(&q->head, &head, node));
    /* Sequentially consistent with the taker's `asleep = 1; is there anything?`: one of both sees
     * the other, so no wake is lost. */
    if (atomic_load(&q->asleep) == 1)
        queue_wake(q);
    return head == NULL;
}

QueueNode *queue_take(Queue *q)
{
    if (atomic_load_explicit(&q->head, memory_order_relaxed) == NULL)
        return NULL;
    QueueNode *newest = atomic_exchange(&q->head, NULL);
    QueueNode *chain = NULL;
    while (newest != NULL) {
        QueueNode *older = newest->next;
        newest->next = chain;
        chain = newest;
        newest = older;
    }
    return chain;
}

QueueNode *queue_take_wait(Queue *q, int64_t timeout_ms)
{
    QueueNode *chain = queue_take(q);
    if (chain != NULL)
        return chain;
    atomic_store(&q->asleep, 1);
    if (atomic_load(&q->head) == NULL)
        futex_wait(&q->asleep, 1, timeout_ms);
    atomic_store(&q->asleep, 0);
    return queue_take(q);
}
