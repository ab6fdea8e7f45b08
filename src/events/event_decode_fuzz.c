/*
 * events/event_decode_fuzz.c -- any bytes: refused, or an event that encodes to the same bytes.
 */
#include "events/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Arena *arena;
    if (arena == NULL)
        arena = arena_new(1 << 16);
    Ctx ctx = {.arena = arena};
    const Str bytes = {(const char *)data, size};
    Event head, event;
    size_t checked = 0, used = 0;
    const bool good = event_check(bytes, &head, &checked);
    CHECK((event_decode(&ctx, bytes, &event, &used) == ERR_OK) == good);
    if (good) {
        CHECK(checked == used && head.time_ms == event.time_ms && str_eq(head.id, event.id));
        Buf again = BUF_MAX(EVENT_BYTES_MAX + 16);
        event_encode(&event, &again);
        CHECK(str_eq(buf_str(&again), str_slice(bytes, 0, used)));
        buf_free(&again);
    }
    arena_reset(arena);
    return 0;
}
