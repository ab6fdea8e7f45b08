/*
 * events/events_fault_test.c -- a full disk and a sync that fails.
 *
 * The kernel's limit on a file's size stands in for a full disk.  fdatasync, and fsync, which is for
 * folders only, are replaced for this program by ones that can be told to fail, which is what a
 * preloaded disk would do.
 */
#include "base/test_folder.h"
#include "events/eventlog.h"

#include "base/test_folder.h"
#include "events/events_testkit.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_bool syncs_fail, folder_syncs_fail;

int fdatasync(int fd)
{
    if (atomic_load(&syncs_fail)) {
        errno = EIO;
        return -1;
    }
    kit_dirty_fd = kit_dirty_fd == fd ? -1 : kit_dirty_fd;
    return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    if (atomic_load(&folder_syncs_fail)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

TEST(events_a_full_disk_is_busy_tears_nothing_and_heals)
{
    enum { SEGMENT = 8192, TRIES = 200 };
    Kit k;
    kit_open(&k, 21);
    (void)signal(SIGXFSZ, SIG_IGN);
    const EventsOptions o = {.segment_bytes = SEGMENT};
    EventsLog *log = kit_log(&k, k.folder, o);
    CHECK(events_append(&k.ctx, log, kit_record(&k, "a"), NULL) == ERR_OK);
    struct rlimit before;
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    const struct rlimit full = {SEGMENT - 4096, before.rlim_max};
    CHECK(setrlimit(RLIMIT_FSIZE, &full) == 0);
    int64_t acknowledged = 1, refused = 0, id = 0, rows = 0;
    Err other = ERR_OK;
    for (int i = 0; i < TRIES; i++) {
        const Err err = events_append(&k.ctx, log, kit_record(&k, "b"), NULL);
        acknowledged += err == ERR_OK;
        refused += err == ERR_BUSY && str_eq(str_of(k.ctx.fault.reason), STR("disk.full"));
        const Err applied = events_apply_outbox(&k.ctx, log, kit_record(&k, "c"), ++id);
        rows += applied == ERR_OK;
        other = err != ERR_OK && err != ERR_BUSY ? err : other;
    }
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    EXPECT_I64(other, ERR_OK);
    CHECK(refused > 0);
    EXPECT_I64(events_count(log), acknowledged + rows);
    for (int i = 0; i < TRIES; i++)
        acknowledged += events_append(&k.ctx, log, kit_record(&k, "d"), NULL) == ERR_OK;
    for (id = 1; id <= TRIES; id++) /* all rows again: those that were refused get in */
        CHECK(events_apply_outbox(&k.ctx, log, kit_record(&k, "c"), id) == ERR_OK);
    EXPECT_I64(events_count(log), acknowledged + TRIES);
    int64_t bad = -1;
    CHECK(events_verify(&k.ctx, log, NULL, NULL, &bad) == ERR_OK);
    EXPECT_I64(bad, 0);
    events_close(log);
    log = kit_log(&k, k.folder, o);
    EXPECT_I64(events_count(log), acknowledged + TRIES);
    EXPECT_I64(events_applied_through(log), TRIES);
    events_close(log);
    kit_close(&k);
}

TEST(events_a_failed_sync_is_an_error_and_is_made_good)
{
    Kit k;
    kit_open(&k, 22);
    const EventsOptions o = {.segment_bytes = 65536, .lazy_ms = 3600000};
    EventsLog *log = kit_log(&k, k.folder, o);
    CHECK(events_append(&k.ctx, log, kit_record(&k, "a"), NULL) == ERR_OK);
    atomic_store(&syncs_fail, true);
    const Err err = events_append(&k.ctx, log, kit_record(&k, "b"), NULL);
    const Err applied = events_apply_outbox(&k.ctx, log, kit_record(&k, "c"), 1);
    const bool durable = events_outbox_is_durable(log, 1);
    atomic_store(&syncs_fail, false);
    EXPECT_I64(err, ERR_INTERNAL);
    EXPECT_STREQ(k.ctx.fault.reason, "disk.failed");
    EXPECT_I64(applied, ERR_OK);
    CHECK(!durable);
    /* The kernel may have dropped the bytes although it calls them written: they are written again,
     * which the file's time shows. */
    struct stat before, after;
    CHECK(fstat(log->active.fd, &before) == 0);
    (void)usleep(50000);
    EXPECT_I64(events_sync(&k.ctx, log), ERR_OK);
    CHECK(fstat(log->active.fd, &after) == 0);
    CHECK(memcmp(&before.st_mtim, &after.st_mtim, sizeof before.st_mtim) != 0);
    CHECK(events_outbox_is_durable(log, 1));
    EXPECT_I64(events_append(&k.ctx, log, kit_record(&k, "d"), NULL), ERR_OK);
    CHECK(events_outbox_is_durable(log, 1));
    EventsStat stat;
    events_stat(log, &stat);
    EXPECT_I64((int64_t)stat.durable_seq, (int64_t)stat.next_seq);
    int64_t bad = -1;
    CHECK(events_verify(&k.ctx, log, NULL, NULL, &bad) == ERR_OK);
    EXPECT_I64(bad, 0);
    events_close(log);
    kit_close(&k);
}

/* Several records in one batch. */
static Str large_batch(Kit *k)
{
    Buf b = BUF_MAX(4096);
    for (int i = 0; i < 8; i++)
        buf_add(&b, kit_record(k, "large"));
    const Str records = arena_copy(k->ctx.arena, buf_str(&b));
    buf_free(&b);
    return records;
}

static void expect_log(Kit *k, EventsLog *log, int64_t events)
{
    int64_t bad = -1;
    uint64_t seq = 0;
    EXPECT_I64(events_count(log), events);
    CHECK(events_append(&k->ctx, log, kit_record(k, "behind"), &seq) == ERR_OK);
    EXPECT_I64((int64_t)seq, events + 1);
    CHECK(events_verify(&k->ctx, log, NULL, NULL, &bad) == ERR_OK);
    EXPECT_I64(bad, 0);
}

/* The segment has its name all the same, and after a crash it is the newest: nothing may stand behind it. */
TEST(events_a_segment_whose_name_was_not_synced_is_where_the_next_numbers_go)
{
    Kit k;
    kit_open(&k, 23);
    const EventsOptions o = {.segment_bytes = 8192};
    EventsLog *log = kit_log(&k, kit_subfolder(&k, "log"), o);
    const Str small = kit_record(&k, "small"), large = large_batch(&k);
    int64_t acknowledged = 0;
    while (log->tail + (int64_t)large.len < log->active_bytes - 64)
        acknowledged += events_append(&k.ctx, log, small, NULL) == ERR_OK;
    atomic_store(&folder_syncs_fail, true);
    EXPECT_I64(events_append(&k.ctx, log, large, NULL), ERR_INTERNAL);
    for (int i = 0; i < 2; i++)
        acknowledged += events_append(&k.ctx, log, small, NULL) == ERR_OK;
    atomic_store(&folder_syncs_fail, false);
    const Str copy = kit_subfolder(&k, "copy");
    kit_copy_folder(&k, log->folder, copy);
    EventsLog *after_crash = kit_log(&k, copy, o);
    expect_log(&k, after_crash, acknowledged);
    events_close(after_crash);
    expect_log(&k, log, acknowledged);
    events_close(log);
    log = kit_log(&k, kit_subfolder(&k, "log"), o);
    expect_log(&k, log, acknowledged + 1);
    events_close(log);
    test_remove_folder(kit_subfolder(&k, "log"));
    test_remove_folder(copy);
    kit_close(&k);
}
