/*
 * engine/part/part_active.c
 */
#include "engine/part/part_active.h"

#include "engine/part/weave.h"

#include <stdlib.h>

typedef struct Bits {
    uint64_t words[PART_ACTIVE_WORDS];
} Bits;

/* A block is claimed by the thread that makes it, and known from then on; who comes between makes it for himself. */
typedef struct PartActive {
    _Atomic uint64_t *claimed, *known; /* a bit per block */
    Bits *bits;                        /* [block] */
} PartActive;

static void free_active(PartActive *a)
{
    if (a == NULL)
        return;
    free((void *)(uintptr_t)a->claimed);
    free((void *)(uintptr_t)a->known);
    free(a->bits);
    free(a);
}

void part_active_free(Part *part)
{
    free_active(atomic_load(&part->active));
}

static PartActive *new_active(uint32_t blocks)
{
    PartActive *a = calloc(1, sizeof *a);
    CHECK(a != NULL);
    a->claimed = calloc(blocks / 64 + 1, sizeof *a->claimed);
    a->known = calloc(blocks / 64 + 1, sizeof *a->known);
    a->bits = malloc(((size_t)blocks + 1) * sizeof *a->bits);
    CHECK(a->claimed != NULL && a->known != NULL && a->bits != NULL);
    return a;
}

static PartActive *active_of(Part *part)
{
    PartActive *a = atomic_load(&part->active);
    if (a != NULL)
        return a;
    PartActive *made = new_active(part->head->block_count);
    if (atomic_compare_exchange_strong(&part->active, &a, made))
        return made;
    free_active(made);
    return a;
}

static bool add_list(Part *part, const PartList *list, uint32_t place, Bits *out)
{
    uint32_t cursor = part_list_cursor(part, list, place);
    const PartRows rows = part_list_rows(part, list, part->blocks[place].block, &cursor);
    if (rows.count == 0)
        return true;
    uint32_t *keys = malloc(((size_t)rows.count + KERNEL_SLACK) * sizeof *keys);
    CHECK(keys != NULL);
    const bool good = weave_read_keys(part, &rows, keys);
    for (uint32_t i = 0; good && i < rows.count; i++) {
        const uint32_t person = keys[i] >> PART_SECOND_BITS;
        out->words[person / 64] |= UINT64_C(1) << (person & 63);
    }
    free(keys);
    return good;
}

static bool make(Part *part, uint32_t block_index, Bits *out)
{
    *out = (Bits){{0}};
    for (uint32_t list = 0; list < part->head->list_count; list++)
        if (part->lists[list].event != PART_PERSON &&
            !add_list(part, &part->lists[list], block_index, out))
            return false;
    return true;
}

const uint64_t *part_active(Part *part, uint32_t block_index, uint64_t room[PART_ACTIVE_WORDS])
{
    const uint64_t stored_at = part->head->active_at + (uint64_t)block_index * PART_ACTIVE_BYTES;
    if (part->head->active_at != 0) {
        if (!part_touch(part, stored_at, PART_ACTIVE_BYTES))
            return NULL;
        memcpy(room, part->data + stored_at, PART_ACTIVE_BYTES);
        return part_was_whole(part) ? room : NULL;
    }
    PartActive *a = active_of(part);
    const uint64_t bit = UINT64_C(1) << (block_index & 63);
    if ((atomic_load(&a->known[block_index / 64]) & bit) != 0)
        return a->bits[block_index].words;
    Bits bits;
    if (!make(part, block_index, &bits))
        return NULL;
    memcpy(room, bits.words, sizeof bits);
    if ((atomic_fetch_or(&a->claimed[block_index / 64], bit) & bit) == 0) {
        a->bits[block_index] = bits;
        atomic_fetch_or(&a->known[block_index / 64], bit);
    }
    return room;
}
