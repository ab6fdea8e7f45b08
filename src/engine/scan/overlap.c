/*
 * engine/scan/overlap.c
 */
#include "engine/scan/overlap.h"

#include <stdlib.h>

uint32_t overlap_base(Part *const *parts, uint32_t count)
{
    uint32_t base = 0;
    for (uint32_t i = 1; i < count; i++)
        base = parts[i]->head->rows > parts[base]->head->rows ? i : base;
    return base;
}

void overlap_add(Overlap *o, const uint32_t *keys, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t person = keys[i] >> PART_SECOND_BITS;
        o->persons[person / 64] |= UINT64_C(1) << (person & 63);
    }
    o->any |= n > 0;
}

void row_set_free(RowSet *s)
{
    free(s->bits);
    *s = (RowSet){0};
}

uint64_t *rows_of_others(RowSet *s, const uint32_t *keys, uint32_t n,
                         const uint64_t persons[PART_BLOCK_PERSONS / 64])
{
    const uint32_t words = kernel_words(n);
    if (words >= s->cap) { /* kernels read a word more */
        s->cap = words + words / 2 + 1;
        free(s->bits);
        s->bits = calloc(s->cap, sizeof *s->bits);
        CHECK(s->bits != NULL);
    }
    memset(s->bits, 0xff, words * sizeof *s->bits);
    kernels()->drop_marked(keys, 0, n, PART_SECOND_BITS, persons, s->bits);
    return s->bits;
}

void rows_invert(uint64_t *set, uint32_t n)
{
    for (uint32_t i = 0; i < kernel_words(n); i++)
        set[i] = ~set[i];
}
