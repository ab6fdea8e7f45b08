/*
 * engine/engine_fault_test.c -- the engine on a disk that fails, and what it asks of one that does not.
 *
 * fsync, fdatasync, rename, pwrite and pwritev are replaced for this program by ones that count and can be told to fail
 * or to take their time, which is what a preloaded disk would do.  The engine syncs only its folder with fsync.
 */
#include "engine/engine.h"
#include "engine/engine_testkit.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/test.h"
#include "base/test_folder.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WEEKS = 3, MANIFEST_NUMBERS_AT = 184 };

static atomic_int folder_syncs, file_syncs;
static atomic_bool syncs_fail_after_a_rename, renamed;

void (*_Atomic kit_before_change)(void);

static void before_change(void)
{
    void (*const hook)(void) = atomic_load(&kit_before_change);
    if (hook != NULL)
        hook();
}

int rename(const char *from, const char *to)
{
    before_change();
    atomic_store(&renamed, true);
    return (int)syscall(SYS_rename, from, to);
}

int fsync(int fd)
{
    before_change();
    (void)atomic_fetch_add(&folder_syncs, 1);
    if (atomic_exchange(&renamed, false) && atomic_load(&syncs_fail_after_a_rename)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    before_change();
    (void)atomic_fetch_add(&file_syncs, 1);
    return (int)syscall(SYS_fdatasync, fd);
}

static atomic_bool write_after_a_flush_waits, write_waits;

/* A flush is over with its second sync of the folder: what is written then belongs to a merge. */
ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    before_change();
    if (atomic_load(&folder_syncs) >= 2 && atomic_exchange(&write_after_a_flush_waits, false)) {
        atomic_store(&write_waits, true);
        (void)usleep(300000);
    }
    return syscall(SYS_pwrite64, fd, bytes, n, at);
}

/* The power may go between any two pieces. */
ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t at)
{
    ssize_t done = 0;
    for (int i = 0; i < count; i++) {
        const ssize_t n = pwrite(fd, pieces[i].iov_base, pieces[i].iov_len, at + done);
        if (n < 0)
            return done > 0 ? done : n;
        done += n;
        if ((size_t)n < pieces[i].iov_len)
            break;
    }
    return done;
}

/* ---- an engine without a log ---------------------------------------------------------------------- */

static const EngineOptions LONELY = {.origin_ms = INT64_C(1735574400000),
                                     .slice_rows = 64,
                                     .flush_rows = 1 << 16,
                                     .fan = 64,
                                     .tiny_rows = 1};

typedef struct Lone {
    char path[64];
    Ctx ctx;
    Engine *engine;
} Lone;

static void lone_start(Lone *l, const EngineOptions *options)
{
    CHECK(engine_open(&l->ctx, str_of(l->path), options, &l->engine) == ERR_OK);
}

static void lone_open(Lone *l, const EngineOptions *options)
{
    *l = (Lone){.path = "/tmp/engine_fault.XXXXXX", .ctx.arena = arena_new(1 << 16)};
    CHECK(mkdtemp(l->path) != NULL);
    log_setup(LOG_OFF, false);
    lone_start(l, options);
}

static void lone_close(Lone *l)
{
    engine_close(l->engine);
    test_remove_folder(str_of(l->path));
    arena_free(l->ctx.arena);
}

/* `count` events, one after the other in each of the weeks. */
static void lone_offer(Lone *l, uint32_t count)
{
    Buf records = BUF_MAX(1 << 26);
    const uint64_t first = engine_next_seq(l->engine);
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t n = first + i;
        const Event head = {.kind = EVENT_HAPPENED,
                            .source = STR("web"),
                            .id = arena_i64(l->ctx.arena, (int64_t)n),
                            .name = STR("Seen"),
                            .time_ms = LONELY.origin_ms + (int64_t)(n % WEEKS) * PART_WEEK_MS,
                            .received_ms = LONELY.origin_ms,
                            .actor = {STR("person"), arena_i64(l->ctx.arena, (int64_t)n % 5000)}};
        Event e;
        CHECK(event_end(event_begin(&l->ctx, &head), &e) == ERR_OK);
        event_encode(&e, &records);
    }
    CHECK(engine_offer(l->engine, first, count, buf_str(&records)));
    buf_free(&records);
}

static EngineStat lone_stat(Lone *l)
{
    EngineStat stat;
    engine_view_done(engine_view(l->engine));
    engine_stat(l->engine, &stat);
    return stat;
}

static size_t files_in(Lone *l)
{
    Str *names = NULL;
    size_t n = 0;
    CHECK(file_list(&l->ctx, str_of(l->path), &names, &n) == ERR_OK);
    return n;
}

/* ---- syncs ---------------------------------------------------------------------------------------- */

TEST(a_flush_syncs_every_new_file_once_and_the_folder_twice_however_many_weeks_it_touches)
{
    Lone l;
    lone_open(&l, &LONELY);
    lone_offer(&l, 300);
    (void)lone_stat(&l);
    atomic_store(&folder_syncs, 0);
    atomic_store(&file_syncs, 0);
    CHECK(engine_flush(&l.ctx, l.engine) == ERR_OK);
    EXPECT_I64(atomic_load(&folder_syncs), 2);
    EXPECT_I64(atomic_load(&file_syncs), WEEKS * 2 + 2); /* the names and the manifest */
    lone_close(&l);
}

/* How many files the manifest on disk names that are not there. */
static int missing_files(Lone *l)
{
    Str manifest;
    int missing = 0;
    CHECK(file_load(&l->ctx, str_of(l->path), STR("manifest"), 1 << 20, &manifest) == ERR_OK);
    for (size_t at = MANIFEST_NUMBERS_AT; at < manifest.len; at += 8) {
        uint64_t number;
        memcpy(&number, manifest.ptr + at, sizeof number);
        File file = FILE_NONE;
        const Str name = arena_printf(l->ctx.arena, "%020" PRIu64 ".part", number);
        missing += file_open(&l->ctx, str_of(l->path), name, FILE_READ, &file) != ERR_OK;
        file_close(&file);
    }
    return missing;
}

TEST(a_manifest_whose_rename_was_not_synced_still_finds_its_files_and_the_next_one_clears_up)
{
    Lone l;
    lone_open(&l, &LONELY);
    lone_offer(&l, 300);
    (void)lone_stat(&l);
    atomic_store(&syncs_fail_after_a_rename, true);
    EXPECT_I64(engine_flush(&l.ctx, l.engine), ERR_INTERNAL);
    EXPECT_STREQ(l.ctx.fault.reason, "disk.failed");
    EXPECT_I64(missing_files(&l), 0);
    atomic_store(&syncs_fail_after_a_rename, false);
    CHECK(engine_flush(&l.ctx, l.engine) == ERR_OK);
    EXPECT_I64(missing_files(&l), 0);
    EXPECT_I64((int64_t)files_in(&l), WEEKS * 2 + 2);
    EXPECT_I64((int64_t)lone_stat(&l).events, 300);
    lone_close(&l);
}

/* ---- merges --------------------------------------------------------------------------------------- */

static EngineOptions eager(void)
{
    EngineOptions o = LONELY;
    o.flush_rows = 64;
    o.fan = 2;
    return o;
}

TEST(closing_does_not_wait_for_a_merge_and_leaves_nothing_half_made)
{
    Lone l;
    const EngineOptions merges = eager();
    lone_open(&l, &LONELY);
    for (int i = 0; i < 2; i++) {
        lone_offer(&l, 300);
        CHECK(engine_flush(&l.ctx, l.engine) == ERR_OK);
    }
    EXPECT_I64(lone_stat(&l).file_parts, 2 * WEEKS);
    engine_close(l.engine);
    lone_start(&l, &merges);
    atomic_store(&folder_syncs, 0);
    atomic_store(&write_after_a_flush_waits, true);
    lone_offer(&l, 90);
    while (!atomic_load(&write_waits))
        (void)usleep(1000);
    engine_close(l.engine);
    const size_t files = files_in(&l);
    lone_start(&l, &LONELY);
    const EngineStat stat = lone_stat(&l);
    EXPECT_I64((int64_t)stat.events, 690);
    EXPECT_I64(stat.file_parts, 3 * WEEKS);
    EXPECT_I64((int64_t)files, 3 * WEEKS * 2 + 2);
    lone_close(&l);
}

/* ---- damage without a log to heal it ---------------------------------------------------------------- */

/* Turns a bit of a file, while no engine has it open. */
static void damage(Lone *l, const char *name, size_t at)
{
    Str bytes;
    CHECK(file_load(&l->ctx, str_of(l->path), str_of(name), 1 << 26, &bytes) == ERR_OK);
    ((char *)(uintptr_t)bytes.ptr)[at < bytes.len ? at : bytes.len / 2] ^= 4;
    CHECK(file_replace(&l->ctx, str_of(l->path), str_of(name), bytes) == ERR_OK);
}

/* Two files in each of the weeks, the first one damaged at this byte. */
static void open_damaged(Lone *l, const char *name, size_t at)
{
    lone_open(l, &LONELY);
    for (int i = 0; i < 2; i++) {
        lone_offer(l, 300);
        CHECK(engine_flush(&l->ctx, l->engine) == ERR_OK);
    }
    engine_close(l->engine);
    damage(l, name, at);
    lone_start(l, &LONELY);
}

TEST(a_merge_that_fails_is_put_aside_and_the_others_go_on)
{
    Lone l;
    open_damaged(&l, "00000000000000000001.part", 300);
    EXPECT_I64(engine_settle(&l.ctx, l.engine), ERR_INTERNAL);
    EXPECT_STREQ(l.ctx.fault.reason, "events.part_damaged");
    EngineStat stat = lone_stat(&l);
    EXPECT_I64(stat.file_parts, WEEKS + 1);
    EXPECT_I64(stat.health.files_aside, 2);
    EXPECT_I64((int64_t)stat.health.failed_merges, 1);
    lone_offer(&l, 30);
    CHECK(engine_flush(&l.ctx, l.engine) == ERR_OK);
    stat = lone_stat(&l);
    EXPECT_I64(stat.file_parts, 2 * WEEKS + 1);
    EXPECT_I64((int64_t)stat.health.failed_merges, 1); /* not tried again at once */
    lone_close(&l);
}

TEST(a_merge_takes_no_damaged_ids_with_it)
{
    Lone l;
    open_damaged(&l, "00000000000000000001.ids", 100);
    EXPECT_I64(engine_settle(&l.ctx, l.engine), ERR_INTERNAL);
    EXPECT_STREQ(l.ctx.fault.reason, "events.ids_damaged");
    const EngineStat stat = lone_stat(&l);
    EXPECT_I64(stat.file_parts, WEEKS + 1);
    EXPECT_I64(stat.health.files_aside, 2);
    lone_close(&l);
}

/* ---- looking ---------------------------------------------------------------------------------------- */

/* Every name and every byte. */
static uint64_t folder_hash(Lone *l)
{
    Str *names = NULL, bytes;
    size_t n = 0;
    uint64_t h = 0;
    CHECK(file_list(&l->ctx, str_of(l->path), &names, &n) == ERR_OK);
    for (size_t i = 0; i < n; i++) {
        CHECK(file_load(&l->ctx, str_of(l->path), names[i], 1 << 26, &bytes) == ERR_OK);
        h = hash_bytes(bytes, hash_bytes(names[i], h));
    }
    return h;
}

TEST(looking_at_the_columns_changes_nothing_in_their_folder)
{
    Lone l;
    EngineOptions look = eager();
    look.read_only = true;
    open_damaged(&l, "00000000000000000002.part", 300);
    engine_close(l.engine);
    CHECK(file_replace(&l.ctx, str_of(l.path), STR("00000000000000000999.part"), STR("half")) ==
          ERR_OK);
    const uint64_t before = folder_hash(&l);
    lone_start(&l, &look);
    int64_t bad = 0;
    CHECK(engine_verify(&l.ctx, l.engine, NULL, NULL, &bad) == ERR_OK);
    EXPECT_I64(bad, 1);
    EXPECT_I64((int64_t)lone_stat(&l).events, 600);
    engine_close(l.engine);
    CHECK(folder_hash(&l) == before);
    lone_start(&l, &LONELY);
    lone_close(&l);
}

TEST(what_is_offered_to_columns_that_are_looked_at_is_seen_and_changes_nothing)
{
    Lone l;
    EngineOptions look = eager();
    look.read_only = true;
    lone_open(&l, &LONELY);
    lone_offer(&l, 300);
    engine_close(l.engine);
    const uint64_t before = folder_hash(&l);
    lone_start(&l, &look);
    lone_offer(&l, 90);
    ScanView *view = engine_view(l.engine);
    uint64_t rows = 0;
    for (uint32_t i = 0; i < view->part_count; i++)
        rows += view->parts[i]->head->rows;
    engine_view_done(view);
    EXPECT_I64((int64_t)rows, 390);
    EXPECT_I64((int64_t)lone_stat(&l).events, 390);
    engine_close(l.engine);
    CHECK(folder_hash(&l) == before);
    lone_start(&l, &LONELY);
    EXPECT_I64((int64_t)lone_stat(&l).events, 300);
    lone_close(&l);
}

TEST(looking_at_columns_that_are_not_there_shows_none_and_makes_none)
{
    Ctx ctx = {.arena = arena_new(4096)};
    EngineOptions look = LONELY;
    look.read_only = true;
    Engine *e = NULL;
    EngineStat stat;
    CHECK(engine_open(&ctx, STR("/tmp/engine_fault_nowhere"), &look, &e) == ERR_OK);
    engine_stat(e, &stat);
    EXPECT_I64((int64_t)stat.events, 0);
    engine_close(e);
    CHECK(access("/tmp/engine_fault_nowhere", F_OK) != 0);
    arena_free(ctx.arena);
}
