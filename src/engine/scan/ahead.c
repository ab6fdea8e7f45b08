/*
 * engine/scan/ahead.c
 */
#include "engine/scan/ahead.h"

#include "engine/part/part_active.h"

#include <stdlib.h>

enum {
    CHUNK_BYTES = 1 << 19
}; /* of more a kernel may take the beginning only: as much as it hands to the disk at once */

/* What is wanted of one part: pieces of PART_PIECE_BYTES. */
typedef struct Wanted {
    Part *part;
    uint64_t *pieces; /* bits; NULL until there are any */
} Wanted;

/* ---- ranges -------------------------------------------------------------------------------------- */

static void want(Wanted *w, uint64_t at, uint64_t bytes)
{
    if (bytes == 0)
        return;
    const uint64_t last = (at + bytes - 1 - PART_DATA_AT) / PART_PIECE_BYTES;
    for (uint64_t i = (at - PART_DATA_AT) / PART_PIECE_BYTES; i <= last; i++) {
        if (part_piece_is_known(w->part, i) || part_piece_is_told(w->part, i))
            continue;
        if (w->pieces == NULL) {
            w->pieces = calloc(w->part->head->piece_count / 64 + 1, sizeof *w->pieces);
            CHECK(w->pieces != NULL);
        }
        w->pieces[i / 64] |= UINT64_C(1) << (i & 63);
    }
}

static void want_column(Wanted *w, const PartList *list, uint32_t prop)
{
    const PartColumn *c = part_find_column(w->part, list, prop);
    if (c != NULL)
        want(w, c->at, c->bytes);
}

/* The columns that a filter looks at; recursion is bounded by FILTER_DEPTH_MAX. */
static void want_filter(Wanted *w, const PartList *list, const Filter *f)
{
    if (f == NULL)
        return;
    want_column(w, list, f->prop);
    const bool of_items =
        f->kind == FILTER_ITEMS || f->kind == FILTER_ITEMS_ALL || f->kind == FILTER_ITEMS_SUM;
    const PartItems *items = of_items ? part_find_items(w->part, list, f->prop) : NULL;
    const PartList *of = of_items ? (items == NULL ? NULL : &items->list) : list;
    if (of == NULL)
        return;
    if (items != NULL)
        want(w, of->keys_at, of->keys_bytes);
    want_column(w, of, f->number);
    want_column(w, of, f->times);
    for (uint32_t i = 0; i < f->arg_count; i++)
        want_filter(w, of, f->args[i]);
}

/* ---- parts --------------------------------------------------------------------------------------- */

/* Of the items that are the rows: where they are, and what is asked of them. */
static void want_items(Wanted *w, const AheadAsk *ask, const PartList *list)
{
    const PartItems *items = part_find_items(w->part, list, ask->items->list);
    want_column(w, list, ask->items->list);
    if (items == NULL)
        return;
    want(w, items->list.keys_at, items->list.keys_bytes);
    want_filter(w, &items->list, ask->items->filter);
    for (uint32_t i = 0; i < ask->prop_count; i++)
        if (ask->props[i].of_item)
            want_column(w, &items->list, ask->props[i].prop);
}

/* False: the list takes no part. */
static bool want_list(Wanted *w, const AheadAsk *ask, uint32_t number, uint32_t whole, uint32_t l)
{
    const PartList *list = &w->part->lists[l];
    bool takes_part = false;
    for (uint32_t i = 0; i < ask->select_count; i++) {
        if ((whole >> i & 1) != 0 || !scan_select_has(&ask->selects[i], w->part, l))
            continue;
        takes_part = true;
        want_filter(w, list, ask->selects[i].filter);
    }
    if (!takes_part)
        return false;
    if (ask->keys == NULL || ask->keys[number])
        want(w, list->keys_at, list->keys_bytes);
    if (ask->ms)
        want_column(w, list, PROP_MS);
    if (list->event == PART_REST)
        want_column(w, list, PROP_EVENT);
    for (uint32_t i = 0; i < ask->prop_count; i++)
        if (!ask->props[i].of_item)
            want_column(w, list, ask->props[i].prop);
    if (ask->items != NULL)
        want_items(w, ask, list);
    return true;
}

static void want_part(Wanted *w, const AheadAsk *ask, uint32_t number)
{
    const PartHead *h = w->part->head;
    const bool says_active = ask->whole != NULL && h->active_at != 0;
    const uint32_t whole = says_active ? whole_selects(ask->whole, w->part) : 0;
    uint32_t lists = 0;
    if (whole != 0)
        want(w, h->active_at, (uint64_t)h->block_count * PART_ACTIVE_BYTES);
    for (uint32_t l = 0; l < h->list_count; l++)
        lists += want_list(w, ask, number, whole, l);
    if (ask->order && lists > 1)
        want(w, h->sequence_at, h->sequence_bytes);
}

/* ---- telling ------------------------------------------------------------------------------------- */

static bool is_wanted(const Wanted *w, uint64_t piece)
{
    return (w->pieces[piece / 64] >> (piece & 63) & 1) != 0;
}

/* Pieces that lie together are one range. */
static Err tell(Ctx *ctx, const Query *q, const Wanted *w, uint64_t *left)
{
    const uint32_t count = w->part->head->piece_count;
    for (uint64_t i = 0, end; i<count && * left> 0; i = end) {
        for (end = i; end < count && is_wanted(w, end); end++)
            (void)atomic_fetch_or(&w->part->told[end / 64], UINT64_C(1) << (end & 63));
        uint64_t at = PART_DATA_AT + i * PART_PIECE_BYTES;
        uint64_t bytes = (end - i) * PART_PIECE_BYTES;
        bytes = bytes < *left ? bytes : *left;
        *left -= bytes;
        for (uint64_t some; bytes > 0; bytes -= some, at += some) {
            some = bytes < CHUNK_BYTES ? bytes : CHUNK_BYTES;
            TRY(crew_look(ctx, q->until_us, q->stop)); /* it waits when the disk has much to do */
            file_will_read(w->part->bytes, at, some);
        }
        end += end == i;
    }
    return ERR_OK;
}

/* Ends `w`. */
static Err tell_wanted(Ctx *ctx, const Query *q, Wanted *w, uint64_t *left)
{
    const Err err = w->pieces == NULL ? ERR_OK : tell(ctx, q, w, left);
    free(w->pieces);
    return err;
}

Err ahead_of(Ctx *ctx, const Query *q, const AheadAsk *ask)
{
    uint64_t left = AHEAD_BYTES_MAX;
    Err err = ERR_OK;
    for (uint32_t i = 0; i < q->view->part_count && err == ERR_OK; i++) {
        Wanted w = {.part = q->view->parts[i]};
        if (!w.part->is_mapped)
            continue;
        want_part(&w, ask, i);
        err = tell_wanted(ctx, q, &w, &left);
    }
    return err;
}

Err ahead_of_bytes(Ctx *ctx, const Query *q, Part *part, uint64_t at, uint64_t bytes)
{
    uint64_t left = AHEAD_BYTES_MAX;
    Wanted w = {.part = part};
    if (part->is_mapped)
        want(&w, at, bytes);
    return tell_wanted(ctx, q, &w, &left);
}

Err ahead_of_scan(Ctx *ctx, const Query *q, const ScanAsk *ask, bool order)
{
    return ahead_of(ctx, q,
                    &(AheadAsk){.selects = ask->selects,
                                .select_count = ask->select_count,
                                .props = ask->props,
                                .prop_count = ask->prop_count,
                                .ms = true,
                                .order = order});
}
