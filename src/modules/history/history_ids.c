/*
 * modules/history/history_ids.c -- rows (hash; number), sorted: the first of each hash stays, unless it is the log's.
 */
#include "modules/history/history_ids.h"

#include "base/hash.h"
#include "base/rand.h"
#include "modules/history/history.h"
#include "modules/intake/intake_sort.h"

struct HistoryIds {
    Arena *arena;
    RowSorter *sorter;
    uint64_t seed[2];
    Buf out; /* a bit per number: it is left out */
};

HistoryIds *history_ids_new(const char *temp_dir, size_t memory_bytes)
{
    Arena *arena = arena_new(sizeof(HistoryIds) + 64);
    HistoryIds *ids = ARENA_NEW(arena, HistoryIds);
    *ids = (HistoryIds){.arena = arena,
                        .sorter = intake_sort_new(temp_dir, memory_bytes, false),
                        .seed = {rand_u64(), rand_u64()},
                        .out = BUF_MAX(HISTORY_EVENTS_MAX / 8 + 1)};
    return ids;
}

Err history_ids_add(HistoryIds *ids, Ctx *ctx, Str id, int64_t number)
{
    const uint64_t hash[2] = {hash_bytes(id, ids->seed[0]), hash_bytes(id, ids->seed[1])};
    return intake_sort_add(ids->sorter, ctx, (Str){(const char *)hash, sizeof hash},
                           (Str){(const char *)&number, sizeof number});
}

Err history_ids_add_there(HistoryIds *ids, Ctx *ctx, Str id)
{
    return history_ids_add(ids, ctx, id, 0);
}

static void leave_out(HistoryIds *ids, int64_t number)
{
    ids->out.ptr[number / 8] = (char)(ids->out.ptr[number / 8] | 1 << number % 8);
}

Err history_ids_finish(HistoryIds *ids, Ctx *ctx, int64_t count, int64_t *there, int64_t *repeated)
{
    const size_t bytes = (size_t)count / 8 + 1;
    uint64_t last[2] = {0};
    bool has_last = false, in_log = false, more = false;
    SortedRow row;
    CHECK(buf_reserve(&ids->out, bytes) != NULL);
    memset(ids->out.ptr, 0, bytes);
    TRY(intake_sort_finish(ids->sorter, ctx));
    for (;;) {
        int64_t number = 0;
        TRY(intake_sort_next(ids->sorter, ctx, &row, &more));
        if (!more)
            break;
        memcpy(&number, row.payload.ptr, sizeof number);
        const bool again = has_last && memcmp(last, row.key.ptr, sizeof last) == 0;
        in_log = again ? in_log : number == 0;
        memcpy(last, row.key.ptr, sizeof last);
        has_last = true;
        if (number == 0 || !again)
            continue;
        leave_out(ids, number);
        *(in_log ? there : repeated) += 1;
    }
    intake_sort_free(ids->sorter);
    ids->sorter = NULL;
    return ERR_OK;
}

bool history_ids_has_left_out(const HistoryIds *ids, int64_t number)
{
    return (ids->out.ptr[number / 8] >> number % 8 & 1) != 0;
}

void history_ids_free(HistoryIds *ids)
{
    if (ids == NULL)
        return;
    intake_sort_free(ids->sorter);
    buf_free(&ids->out);
    arena_free(ids->arena);
}
