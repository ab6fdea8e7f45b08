/*
 * tests/arm/bytes.c -- prints what parts of random rows are made of and what a scan gives of them, as checksums: two
 * machines that print the same write the same files and read the same rows.
 */
#include "engine/core/kernels.h"
#include "engine/engine_testkit.h"
#include "events/crc32c.h"

#include <stdlib.h>

/* Of base/test.h, which the kit asks when what it expects is not so. */
_Noreturn void test_stop(void)
{
    abort();
}

static uint32_t scan_sum(Kit *k, const ScanSelect *select)
{
    const ScanProp props[] = {{KIT_PROP(0), 0}, {KIT_PROP(2), 6}, {KIT_PROP(3), 6}};
    Scanner *s = scanner_new(&k->view, &(ScanAsk){select, 1, props, ARRAY_LEN(props), true});
    ScanBatch b;
    uint32_t sum = 0;
    for (uint32_t piece = 0; piece < scan_pieces(&k->view); piece++) {
        if (!scanner_batch(s, piece, &b))
            continue;
        const uint32_t rows = b.from[b.person_count];
        sum = crc32c_add(sum, (Str){(const char *)b.persons, b.person_count * sizeof *b.persons});
        sum = crc32c_add(sum, (Str){(const char *)b.rows, rows * sizeof *b.rows});
        sum = crc32c_add(sum, (Str){(const char *)b.events, rows * sizeof *b.events});
        for (size_t p = 0; p < ARRAY_LEN(props); p++)
            sum = crc32c_add(sum, (Str){(const char *)b.values[p], rows * sizeof **b.values});
    }
    scanner_free(s);
    return sum;
}

static void print_kit(Kit *k, const KitShape *shape, uint64_t seed, const char *when)
{
    enum { FILTERS = 8, DEPTH = 4 };
    for (uint32_t i = 0; i < k->view.part_count; i++)
        printf("seed %d %s part %u: %08x\n", (int)seed, when, i,
               crc32c_add(0, k->view.parts[i]->bytes));
    for (int i = 0; i < FILTERS; i++) {
        uint32_t events[KIT_EVENTS];
        ScanSelect select;
        kit_select(k, shape, DEPTH, events, &select);
        printf("seed %d %s select %d: %08x\n", (int)seed, when, i, scan_sum(k, &select));
    }
}

int main(void)
{
    static const KitShape SHAPES[] = {
        {.rows = 6000, .persons = 5000, .events = 12, .weeks = 3, .ties = 20, .nobody = 10},
        {.rows = 6000,
         .persons = 300,
         .events = 400,
         .weeks = 1,
         .whole_seconds = true,
         .near = 40},
        {.rows = 20000, .persons = 9000, .events = 3, .weeks = 2, .near = 70},
    };
    for (uint64_t seed = 1; seed <= ARRAY_LEN(SHAPES); seed++) {
        Kit k;
        kit_open(&k, seed, &SHAPES[seed - 1], 4);
        print_kit(&k, &SHAPES[seed - 1], seed, "slices");
        kit_merge(&k, 3);
        print_kit(&k, &SHAPES[seed - 1], seed, "merged");
        kit_close(&k);
    }
    return 0;
}
