/*
 * base/id.h -- 63-bit ids that sort by time: 41 bits of milliseconds since 2024, 8 bits of node, 14
 * bits of sequence.
 *
 * Two processes with different node numbers never give the same id; within one, ids ascend, also
 * when more than 16,384 are wanted in a millisecond (the generator then borrows from the next ones).
 * In JSON an id is a string: it does not fit a double.  Threads: any.
 */
#pragma once

#include "base/str.h"
#include <stdatomic.h>

enum { ID_NODE_MAX = 255 };

/* Before the first id; the node number comes from the configuration. */
void id_set_node(int node);

int64_t id_next(int64_t now_ms);

/* Ids from now on come after `newest`, an id of an earlier run, and the second that it was made in: a
 * clock that was set back since then does not give an id twice. */
void id_go_on_after(int64_t newest);

/* The millisecond (UTC) that an id was made in. */
int64_t id_time_ms(int64_t id);
