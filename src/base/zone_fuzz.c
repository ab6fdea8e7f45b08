/*
 * base/zone_fuzz.c -- any bytes as a file of the tz database: what is accepted has spans in order, and every instant
 * is found again.
 */
#include "base/zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_zone(const Zone *zone)
{
    CHECK(zone->count > 0 && zone->spans[0].from_ms == INT64_MIN);
    for (size_t i = 1; i < zone->count; i++) {
        const int64_t from_ms = zone->spans[i].from_ms;
        CHECK(from_ms > zone->spans[i - 1].from_ms);
        CHECK(zone->spans[i].offset_ms != zone->spans[i - 1].offset_ms);
        const int64_t local_ms = zone_to_local(zone, from_ms);
        CHECK(zone_first_ms(zone, local_ms) <= from_ms);
        CHECK(zone_to_local(zone, zone_first_ms(zone, local_ms)) >= local_ms);
        CHECK(zone_next_turn_ms(zone, from_ms - 1) == from_ms);
        (void)zone_to_utc(zone, local_ms);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Ctx ctx = {.arena = arena_new(1 << 16)};
    const Zone *zone = NULL;
    if (zone_parse(&ctx, (Str){(const char *)data, size}, &zone))
        check_zone(zone);
    arena_free(ctx.arena);
    return 0;
}
