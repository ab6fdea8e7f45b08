/*
 * base/id.c -- the generator of base/id.h: one atomic counter of (millisecond, sequence).
 */
#include "base/id.h"

enum { SEQUENCE_BITS = 14, NODE_BITS = 8, GO_ON_MS = 1000 };
static const int64_t EPOCH_MS = INT64_C(1704067200000); /* 2024-01-01T00:00:00Z */

static _Atomic int64_t last_tick; /* milliseconds << SEQUENCE_BITS | sequence */
static _Atomic int64_t node_bits;

void id_set_node(int node)
{
    CHECK(node >= 0 && node <= ID_NODE_MAX);
    atomic_store(&node_bits, (int64_t)node);
}

int64_t id_next(int64_t now_ms)
{
    const int64_t since = now_ms > EPOCH_MS ? now_ms - EPOCH_MS : 0;
    const int64_t floor = since << SEQUENCE_BITS;
    int64_t last = atomic_load_explicit(&last_tick, memory_order_relaxed), tick;
    do {
        tick = last < floor ? floor : last + 1;
    } while (!atomic_compare_exchange_weak(&last_tick, &last, tick));
    const int64_t ms = tick >> SEQUENCE_BITS;
    const int64_t sequence = tick & ((1 << SEQUENCE_BITS) - 1);
    const int64_t id =
        ms << (SEQUENCE_BITS + NODE_BITS) | atomic_load(&node_bits) << SEQUENCE_BITS | sequence;
    CHECK(id >= 0); /* the 41 bits last until 2093 */
    return id;
}

void id_go_on_after(int64_t newest)
{
    const int64_t floor = ((newest >> (SEQUENCE_BITS + NODE_BITS)) + GO_ON_MS) << SEQUENCE_BITS;
    int64_t last = atomic_load(&last_tick);
    while (last < floor && !atomic_compare_exchange_weak(&last_tick, &last, floor))
        ;
}

int64_t id_time_ms(int64_t id)
{
    return (id >> (SEQUENCE_BITS + NODE_BITS)) + EPOCH_MS;
}
