/*
 * events/log_open_fuzz.c -- any bytes as the newest segment, a sealed segment, an index or the
 * manifest: the log opens, reads what is good, and can be appended to and opened again.
 *
 * The first byte chooses the file.  Checksums are made right where the input asks for it, or no
 * fuzzer would ever come past them.
 */
#include "base/log.h"
#include "base/test_folder.h"
#include "events/crc32c.h"
#include "events/eventlog.h"

#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEGMENT = 8192 };

static Err pass(Ctx *ctx, const Event *e, void *arg)
{
    (void)ctx;
    (void)arg;
    CHECK(e->seq > 0 && e->time_ms >= 0);
    return ERR_OK;
}

static Err pass_count(Ctx *ctx, const EventsCount *c, void *arg)
{
    (void)ctx;
    (void)arg;
    CHECK(c->count > 0);
    return ERR_OK;
}

static void pass_finding(const char *file, int64_t offset, const char *what, void *arg)
{
    (void)arg;
    CHECK(file != NULL && what != NULL && offset >= 0);
}

/* Makes every head that follows the one before it believable. */
static void mend_frames(char *bytes, size_t size)
{
    uint32_t prev = 0;
    for (size_t at = FRAME_FIRST_OFFSET; at + FRAME_HEAD_BYTES <= size;) {
        FrameHead h;
        memcpy(&h, bytes + at, sizeof h);
        if (h.bytes > size - at - FRAME_HEAD_BYTES)
            return;
        h.zero = 0;
        h.prev = prev;
        h.body_crc = crc32c_add(0, (Str){bytes + at + FRAME_HEAD_BYTES, h.bytes});
        frame_head_seal(&h);
        memcpy(bytes + at, &h, sizeof h);
        prev = h.head_crc;
        at += frame_size(h.bytes);
    }
}

static void mend_index(char *bytes, size_t size)
{
    RunHead h;
    if (size < sizeof h)
        return;
    memcpy(&h, bytes, sizeof h);
    memcpy(h.magic, "TDEVIDX1", 8);
    h.version = RUN_VERSION;
    h.body_bytes = size - sizeof h;
    h.body_crc = crc32c_add(0, (Str){bytes + sizeof h, size - sizeof h});
    h.head_crc = crc32c_add(0, (Str){(const char *)&h + 16, sizeof h - 16});
    memcpy(bytes, &h, sizeof h);
}

static void put_file(Ctx *ctx, Str folder, Str name, Str bytes)
{
    File f;
    CHECK(file_open(ctx, folder, name, FILE_CREATE, &f) == ERR_OK);
    CHECK(file_write_at(ctx, f, 0, bytes) == ERR_OK);
    file_close(&f);
}

static void use_log(Ctx *ctx, Str folder, Str record)
{
    const EventsOptions o = {.segment_bytes = SEGMENT};
    EventsLog *log = NULL;
    const EventsQuery q = {.limit = 100};
    EventsPage page;
    int64_t bad = 0, total = 0;
    if (events_open(ctx, folder, &o, &log) != ERR_OK)
        return;
    CHECK(events_by_time(ctx, log, &q, pass, NULL, &page) == ERR_OK);
    CHECK(events_by_actor(ctx, log, &q, pass, NULL, &page) == ERR_OK);
    CHECK(events_counts(ctx, log, STR(""), 0, INT32_MAX, pass_count, NULL, &total) == ERR_OK);
    CHECK(events_verify(ctx, log, pass_finding, NULL, &bad) == ERR_OK);
    CHECK(events_append(ctx, log, record, NULL) == ERR_OK);
    events_close(log);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char path[] = "/dev/shm/log_open_fuzz.XXXXXX";
    static Arena *arena;
    if (arena == NULL) {
        arena = arena_new(1 << 16);
        log_setup(LOG_OFF, false);
        CHECK(mkdtemp(path) != NULL);
    }
    if (size < 1 || size > SEGMENT)
        return 0;
    Ctx ctx = {.arena = arena};
    const Str folder = str_of(path),
              input = arena_copy(arena, (Str){(const char *)data + 1, size - 1});
    static const Str NAMES[] = {{"00000000000000000001.log", 24},
                                {"00000000000000000001.log", 24},
                                {"00000000000000000001.idx", 24},
                                {"manifest", 8}};
    char *bytes = arena_bytes(arena, size);
    memcpy(bytes, input.ptr, input.len);
    if ((data[0] & 4) != 0 && (data[0] & 3) < 2)
        mend_frames(bytes, input.len);
    if ((data[0] & 4) != 0 && (data[0] & 3) == 2)
        mend_index(bytes, input.len);
    const Event head = {
        .kind = EVENT_HAPPENED, .source = STR("s"), .id = STR("i"), .name = STR("n")};
    Event e;
    CHECK(event_end(event_begin(&ctx, &head), &e) == ERR_OK);
    Buf record = BUF_MAX(1024);
    event_encode(&e, &record);
    if ((data[0] & 3) == 2) { /* an index needs its segment */
        static const char zeros[SEGMENT];
        put_file(&ctx, folder, NAMES[0], (Str){zeros, sizeof zeros});
    }
    if ((data[0] & 3) == 1 || (data[0] & 3) == 2) { /* and a later one makes it a sealed one */
        static const char zeros[SEGMENT];
        put_file(&ctx, folder, STR("00000000000000000009.log"), (Str){zeros, sizeof zeros});
    }
    put_file(&ctx, folder, NAMES[data[0] & 3], (Str){bytes, input.len});
    use_log(&ctx, folder, buf_str(&record));
    use_log(&ctx, folder, buf_str(&record));
    buf_free(&record);
    test_empty_folder(folder);
    arena_reset(arena);
    return 0;
}
