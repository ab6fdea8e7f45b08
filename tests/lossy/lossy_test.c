/*
 * tests/lossy/lossy_test.c -- proves that the lossy disk keeps what was synced, and only that.
 *
 *   lossy_test LIBLOSSY LOSSY_DISK [NAME]     runs the tests whose name contains NAME
 *
 * A test runs a workload (lossy_work.c) in a process of its own, kills it, lets lossy-disk decide
 * what the disk kept, and judges that folder.  Works in a fresh folder under TMPDIR (or /tmp), that
 * needs user extended attributes.
 */
#include "lossy_work.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, FILE_MAX = 16 * 1024 * 1024, ACKS_MAX = 100000, BIG = 64 * 1024 };

#define WANT(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            return false;                                                                          \
        }                                                                                          \
    } while (0)

static char library[PATH_BYTES], tool[PATH_BYTES];
static char base[1024], live[2048], out[2048], platter[2048];
static unsigned chance = 20261121;

typedef struct Child {
    pid_t pid;
    int acks; /* read end */
} Child;

static struct {
    int64_t values[ACKS_MAX];
    size_t count;
} acks;

/* ---- processes and folders ---- */

static int visit_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void remove_tree(const char *path)
{
    (void)nftw(path, visit_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static bool tool_runs(const char *const *args)
{
    const pid_t pid = fork();
    if (pid == 0) {
        const char *argv[12] = {tool};
        for (size_t i = 0; args[i] != NULL && i < 10; i++)
            argv[i + 1] = args[i];
        const int null = open("/dev/null", O_WRONLY);
        dup2(null, 1);
        execv(tool, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    int status = -1;
    return waitpid(pid, &status, 0) == pid && status == 0;
}

static bool disk_format(const char *mode)
{
    const char *const args[] = {"-m", mode, "format", live, NULL};
    return tool_runs(args);
}

static bool disk_fresh(const char *mode)
{
    remove_tree(live);
    remove_tree(out);
    return mkdir(live, 0755) == 0 && disk_format(mode);
}

static bool disk_set(const char *setting)
{
    const char *const args[] = {"set", live, setting, NULL};
    return tool_runs(args);
}

/* Leaves in `out` what the disk kept. */
static bool disk_crash(unsigned seed)
{
    char text[16];
    snprintf(text, sizeof text, "%u", seed);
    remove_tree(out);
    const char *const args[] = {"-s", text, "-o", out, "crash", live, NULL};
    return tool_runs(args);
}

/* The machine comes up again: `live` is what the disk kept, all of it durable. */
static bool disk_restart(unsigned seed, const char *mode)
{
    if (!disk_crash(seed))
        return false;
    remove_tree(live);
    return rename(out, live) == 0 && disk_format(mode);
}

static Child child_start(const char *work, const char *arg, bool drop_sync)
{
    int ends[2];
    /* A small pipe: on a busy machine the child must not run far ahead of the kill. */
    if (pipe2(ends, O_CLOEXEC) != 0 || fcntl(ends[1], F_SETPIPE_SZ, 4096) < 0)
        abort();
    const pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], 1);
        setenv("LD_PRELOAD", library, 1);
        setenv("LOSSY_DIR", live, 1);
        setenv("ASAN_OPTIONS", "verify_asan_link_order=0:detect_leaks=0", 1);
        if (drop_sync)
            setenv("LOSSY_DROP_SYNC", "1", 1);
        execl("/proc/self/exe", "lossy_test", "work", work, live, arg, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    acks.count = 0;
    return (Child){.pid = pid, .acks = ends[0]};
}

static bool child_ack(const Child *c)
{
    int64_t value;
    if (acks.count == ACKS_MAX || read(c->acks, &value, sizeof value) != (ssize_t)sizeof value)
        return false;
    acks.values[acks.count++] = value;
    return true;
}

/* Kills the child some time after its `wanted`-th promise; collects every promise it made. */
static bool child_kill(Child *c, int wanted, unsigned wait_us_max)
{
    bool all = true;
    for (int i = 0; i < wanted; i++)
        all = all && child_ack(c);
    if (wait_us_max > 0)
        usleep((unsigned)rand_r(&chance) % wait_us_max);
    kill(c->pid, SIGKILL);
    waitpid(c->pid, NULL, 0);
    while (child_ack(c)) {
    }
    close(c->acks);
    return all;
}

static bool child_succeeds(const char *work, const char *arg)
{
    Child c = child_start(work, arg, false);
    int status = -1;
    waitpid(c.pid, &status, 0);
    close(c.acks);
    return status == 0;
}

static bool child_waits(const char *work, const char *arg)
{
    Child c = child_start(work, arg, false);
    return child_kill(&c, 1, 0);
}

/* Reads folder/name; -1 when it is not there. */
static int64_t slurp(const char *folder, const char *name, char data[static FILE_MAX])
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    const ssize_t n = read(fd, data, FILE_MAX);
    close(fd);
    if (n == FILE_MAX)
        abort(); /* a file cut short would be judged as a loss */
    return n;
}

static char kept[FILE_MAX], other[FILE_MAX];

/* ---- records ---- */

/* How many records from the first on are whole. */
static int64_t whole_records(const char *data, int64_t size)
{
    int64_t n = 0;
    while ((n + 1) * WORK_RECORD_BYTES <= size &&
           work_is_filled(data + n * WORK_RECORD_BYTES, WORK_RECORD_BYTES, n))
        n++;
    return n;
}

/* Kills the log writer `kills` times; counts kills after which an acknowledged record or an
 * un-synced number was missing. */
static bool log_kills(int kills, bool drop, int *lost_synced, int *lost_unsynced)
{
    const char *mode = "strict";
    for (int i = 0; i < kills; i++) {
        if (i % 20 == 0)
            WANT(disk_fresh(mode));
        Child c = child_start("log", "", drop);
        WANT(child_kill(&c, 1 + rand_r(&chance) % 12, 300));
        WANT(disk_restart((unsigned)i, mode));
        const int64_t last = acks.values[acks.count - 1];
        const int64_t size = slurp(live, "log", kept);
        if (size < 0 || whole_records(kept, size) <= last)
            (*lost_synced)++;
        const int64_t gossip = slurp(live, "gossip", kept);
        int64_t number = -1;
        if (gossip >= (last + 1) * 8)
            memcpy(&number, kept + last * 8, sizeof number);
        if (number != last)
            (*lost_unsynced)++;
    }
    return true;
}

static bool acknowledged_records_survive_200_kills_and_unsynced_ones_do_not(void)
{
    int lost_synced = 0, lost_unsynced = 0;
    WANT(log_kills(200, false, &lost_synced, &lost_unsynced));
    WANT(lost_synced == 0);
    WANT(lost_unsynced > 0);
    return true;
}

static bool dropped_syncs_lose_acknowledged_records(void)
{
    int lost_synced = 0, lost_unsynced = 0;
    WANT(log_kills(20, true, &lost_synced, &lost_unsynced));
    WANT(lost_synced > 0);
    return true;
}

static bool lies_can_be_about_some_files_only(void)
{
    int lost_log = 0, lost_none = 0, lost_unsynced = 0;
    setenv("LOSSY_DROP_ONLY", "*/live/log", 1);
    const bool first = log_kills(20, false, &lost_log, &lost_unsynced);
    setenv("LOSSY_DROP_ONLY", "*/live/gossip", 1);
    const bool second = log_kills(20, false, &lost_none, &lost_unsynced);
    unsetenv("LOSSY_DROP_ONLY");
    WANT(first && second);
    WANT(lost_log > 0);
    WANT(lost_none == 0);
    return true;
}

static bool threads_that_sync_one_file_lose_nothing(void)
{
    for (unsigned i = 0; i < 40; i++) {
        WANT(disk_fresh(i % 2 == 0 ? "strict" : "ext4"));
        Child c = child_start("threads", "", false);
        WANT(child_kill(&c, 20 + rand_r(&chance) % 100, 500));
        WANT(disk_crash(i));
        const int64_t size = slurp(out, "slots", kept);
        for (size_t k = 0; k < acks.count; k++) {
            const int64_t slot = acks.values[k];
            WANT((slot + 1) * WORK_SLOT_BYTES <= size);
            WANT(work_is_filled(kept + slot * WORK_SLOT_BYTES, WORK_SLOT_BYTES, slot));
        }
    }
    return true;
}

/* ---- SQLite ---- */

static int64_t db_number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s = NULL;
    int64_t value = -1;
    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
        value = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return value;
}

static bool db_make(void)
{
    char path[PATH_BYTES];
    sqlite3 *db;
    remove_tree(live);
    remove_tree(out);
    WANT(mkdir(live, 0755) == 0);
    snprintf(path, sizeof path, "%s/db", live);
    WANT(sqlite3_open(path, &db) == SQLITE_OK);
    const int result = sqlite3_exec(db,
                                    "PRAGMA journal_mode=WAL;"
                                    "CREATE TABLE t(id INTEGER PRIMARY KEY, body BLOB NOT NULL)",
                                    NULL, NULL, NULL);
    sqlite3_close(db);
    WANT(result == SQLITE_OK);
    return disk_format("strict");
}

/* Whether the database in `live` is sound and holds the rows 1..last. */
static bool db_holds(int64_t last)
{
    char path[PATH_BYTES], sql[96];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/db", live);
    snprintf(sql, sizeof sql, "SELECT count(*) FROM t WHERE id <= %lld", (long long)last);
    if (sqlite3_open(path, &db) != SQLITE_OK)
        return false;
    const bool sound =
        db_number(db, "SELECT integrity_check = 'ok' FROM pragma_integrity_check") == 1;
    const int64_t rows = db_number(db, sql);
    sqlite3_close(db);
    return sound && rows == last;
}

/* Kills the row writer `kills` times; counts kills after which the database was broken or short. */
static bool db_kills(int kills, const char *synchronous, bool drop, int *bad)
{
    WANT(db_make());
    for (int i = 0; i < kills; i++) {
        Child c = child_start("sqlite", synchronous, drop);
        WANT(child_kill(&c, 1 + rand_r(&chance) % 25, 1000));
        WANT(disk_crash((unsigned)i));
        remove_tree(live);
        WANT(rename(out, live) == 0);
        if (db_holds(acks.values[acks.count - 1])) {
            WANT(disk_format("strict"));
            continue;
        }
        (*bad)++;
        WANT(db_make());
    }
    return true;
}

static bool sqlite_full_loses_nothing_over_100_kills(void)
{
    int bad = 0;
    WANT(db_kills(100, "FULL", false, &bad));
    WANT(bad == 0);
    return true;
}

static bool sqlite_without_syncs_is_caught(void)
{
    int bad = 0;
    WANT(db_kills(20, "OFF", false, &bad));
    WANT(bad > 0);
    return true;
}

static bool sqlite_with_dropped_syncs_is_caught(void)
{
    int bad = 0;
    WANT(db_kills(20, "FULL", true, &bad));
    WANT(bad > 0);
    return true;
}

static bool sqlite_reads_fresh_rows_through_its_map(void)
{
    WANT(db_make());
    WANT(child_succeeds("sqlite_mmap", ""));
    return true;
}

static bool sqlite_survives_a_full_disk(void)
{
    WANT(db_make());
    WANT(disk_set("room=400000"));
    Child c = child_start("sqlite_full", "", false);
    WANT(child_ack(&c));
    WANT(disk_set("room=none"));
    WANT(child_kill(&c, 1, 0));
    WANT(disk_restart(1, "strict"));
    WANT(acks.count == 2 && db_holds(acks.values[1]));
    return true;
}

/* ---- names ---- */

static bool rename_kills(const char *arg, int *lost)
{
    for (unsigned i = 0; i < 40; i++) {
        WANT(disk_fresh("strict"));
        Child c = child_start("rename", arg, false);
        WANT(child_kill(&c, 1 + rand_r(&chance) % 10, 300));
        WANT(disk_crash(i));
        const int64_t size = slurp(out, "value", kept);
        int64_t seq = -1;
        if (size >= 0) {
            WANT(size == WORK_VALUE_BYTES); /* its bytes were synced before it got its name */
            memcpy(&seq, kept, sizeof seq);
            work_fill(other, WORK_VALUE_BYTES, seq);
            WANT(memcmp(kept + 8, other + 8, WORK_VALUE_BYTES - 8) == 0);
        }
        if (seq < acks.values[acks.count - 1])
            (*lost)++;
    }
    return true;
}

static bool rename_without_folder_sync_is_lost_sometimes(void)
{
    int lost = 0;
    WANT(rename_kills("", &lost));
    WANT(lost > 0 && lost < 40);
    return true;
}

static bool rename_with_folder_sync_is_kept(void)
{
    int lost = 0;
    WANT(rename_kills("dirsync", &lost));
    WANT(lost == 0);
    return true;
}

static bool file_sync_keeps_the_name_in_ext4_mode_only(void)
{
    static const char *const modes[] = {"strict", "ext4"};
    for (int m = 0; m < 2; m++) {
        int lost = 0;
        WANT(disk_fresh(modes[m]));
        WANT(child_waits("new_file", ""));
        for (unsigned seed = 0; seed < 20; seed++) {
            WANT(disk_crash(seed));
            lost += slurp(out, "new", kept) != 3;
        }
        WANT(m == 0 ? lost > 0 && lost < 20 : lost == 0);
    }
    return true;
}

static bool unlink_without_folder_sync_may_come_back_whole(void)
{
    int back = 0;
    WANT(disk_fresh("strict"));
    WANT(child_waits("unlink", ""));
    for (unsigned seed = 0; seed < 20; seed++) {
        WANT(disk_crash(seed));
        WANT(slurp(out, "d1/x", kept) == -1);
        const int64_t size = slurp(out, "d2/x", kept);
        WANT(size == -1 || size == 1000);
        back += size == 1000;
    }
    WANT(back > 0 && back < 20);
    return true;
}

static bool file_renamed_many_times_has_one_name(void)
{
    int ends[4] = {0};
    for (int synced = 0; synced < 2; synced++) {
        WANT(disk_fresh("strict"));
        WANT(child_waits("chain", synced ? "sync" : ""));
        for (unsigned seed = 0; seed < 80; seed++) {
            WANT(disk_crash(seed));
            int found = 0;
            for (int i = 0; i < 4; i++) {
                char name[8];
                snprintf(name, sizeof name, "d%d/x", i);
                if (slurp(out, name, kept) != 1000)
                    continue;
                found++;
                ends[i]++;
                WANT(synced == 0 || i == 3);
            }
            WANT(found == 1);
        }
    }
    WANT(ends[0] > 0 && ends[1] > 0 && ends[2] > 0 && ends[3] > 80);
    return true;
}

static bool first_name_may_outlive_a_second_one(void)
{
    int back = 0;
    WANT(disk_fresh("strict"));
    WANT(child_waits("link", ""));
    for (unsigned seed = 0; seed < 20; seed++) {
        WANT(disk_crash(seed));
        WANT(slurp(out, "d/y", kept) == -1);
        back += slurp(out, "x", kept) == 1000;
    }
    WANT(back > 0 && back < 20);
    return true;
}

/* ---- bytes ---- */

/* Counts sectors that are all `letter`; -1 when one holds two letters. */
static int64_t sectors_of(const char *data, int64_t size, char letter)
{
    int64_t count = 0;
    for (int64_t at = 0; at < size; at += 512) {
        for (int64_t i = at; i < at + 512 && i < size; i++) {
            if (data[i] != data[at])
                return -1;
        }
        count += data[at] == letter;
    }
    return count;
}

static bool unsynced_write_is_torn_between_sectors(void)
{
    int torn = 0, none = 0, all = 0;
    WANT(disk_fresh("strict"));
    WANT(disk_set("writeback_permille=0"));
    WANT(child_waits("torn", ""));
    for (unsigned seed = 0; seed < 30; seed++) {
        WANT(disk_crash(seed));
        WANT(slurp(out, "big", kept) == BIG);
        const int64_t fresh = sectors_of(kept, BIG, 'B');
        WANT(fresh >= 0 && fresh + sectors_of(kept, BIG, 'A') == BIG / 512);
        none += fresh == 0;
        all += fresh == BIG / 512;
        torn += fresh > 0 && fresh < BIG / 512;
    }
    WANT(torn > 0 && none > 0 && all > 0);
    return true;
}

static bool unsynced_write_may_be_written_back_early(void)
{
    WANT(disk_fresh("strict"));
    WANT(disk_set("writeback_permille=1000"));
    WANT(child_waits("torn", ""));
    WANT(slurp(platter, "obj/2.data", kept) == BIG);
    const int64_t fresh = sectors_of(kept, BIG, 'B');
    WANT(fresh > 0 && fresh < BIG / 512);
    return true;
}

static bool truncation_happens_before_what_follows_it(void)
{
    int before = 0, after = 0;
    WANT(disk_fresh("strict"));
    WANT(child_waits("truncate", ""));
    for (unsigned seed = 0; seed < 40; seed++) {
        WANT(disk_crash(seed));
        const int64_t size = slurp(out, "big", kept);
        const int64_t old = sectors_of(kept, size, 'A');
        if (size == BIG) {
            WANT(old == BIG / 512);
            before++;
        } else {
            WANT(size <= BIG / 2 && old == 0);
            after++;
        }
    }
    WANT(before > 0 && after > 0);
    return true;
}

static bool grown_part_may_be_zeros_in_strict_mode_only(void)
{
    static const char *const modes[] = {"strict", "ext4"};
    for (int m = 0; m < 2; m++) {
        int zeros = 0, cut = 0;
        WANT(disk_fresh(modes[m]));
        WANT(child_waits("append", ""));
        for (unsigned seed = 0; seed < 30; seed++) {
            WANT(disk_crash(seed));
            const int64_t size = slurp(out, "big", kept);
            WANT(size >= BIG / 2 && size <= BIG);
            WANT(sectors_of(kept, size, 'A') == BIG / 2 / 512);
            zeros += sectors_of(kept, size, '\0') > 0;
            cut += size < BIG;
        }
        WANT(cut > 0);
        WANT(m == 0 ? zeros > 0 : zeros == 0);
    }
    return true;
}

static bool every_call_is_seen_by_the_sync_after_it(void)
{
    static const char *const names[] = {"calls", "dsync", "stdio", "direct"};
    WANT(disk_fresh("strict"));
    WANT(child_succeeds("calls", ""));
    for (unsigned seed = 0; seed < 5; seed++) {
        WANT(disk_crash(seed));
        for (int i = 0; i < 4; i++) {
            const int64_t size = slurp(live, names[i], other);
            WANT(size > 0 && slurp(out, names[i], kept) == size);
            WANT(memcmp(kept, other, (size_t)size) == 0);
        }
    }
    return true;
}

static bool a_later_process_can_sync_what_an_earlier_one_wrote(void)
{
    WANT(disk_fresh("strict"));
    WANT(child_succeeds("leave", ""));
    WANT(child_succeeds("sync_left", ""));
    for (unsigned seed = 0; seed < 10; seed++) {
        WANT(disk_crash(seed));
        WANT(slurp(out, "left", kept) == 24);
        WANT(memcmp(kept, "not synced by its writer", 24) == 0);
    }
    return true;
}

/* Compares live/path with its fellow in `out`; used by nftw, which has no argument to pass. */
static int visit_compare(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)ftw;
    const char *name = path + strnlen(live, sizeof live);
    char fellow[PATH_BYTES];
    struct stat there;
    snprintf(fellow, sizeof fellow, "%s%s", out, name);
    if (stat(fellow, &there) != 0 || S_ISDIR(st->st_mode) != S_ISDIR(there.st_mode))
        return 1;
    if (type == FTW_D)
        return st->st_nlink != there.st_nlink; /* as many folders in it */
    const int64_t size = slurp(live, name, other);
    return slurp(out, name, kept) != size || memcmp(kept, other, (size_t)size) != 0;
}

static int entries;

static int visit_count(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)path;
    (void)st;
    (void)type;
    (void)ftw;
    entries++;
    return 0;
}

static int count_entries(const char *path)
{
    entries = 0;
    return nftw(path, visit_count, 16, FTW_PHYS) == 0 ? entries : -1;
}

static bool random_calls_then_syncs_leave_platter_and_folder_equal(void)
{
    for (unsigned i = 0; i < 6; i++) {
        char seed[16];
        snprintf(seed, sizeof seed, "%u", i);
        WANT(disk_fresh(i % 2 == 0 ? "strict" : "ext4"));
        WANT(disk_set("writeback_permille=50"));
        WANT(child_succeeds("model", seed));
        WANT(disk_crash(i));
        WANT(count_entries(live) > 3 && count_entries(live) == count_entries(out));
        WANT(nftw(live, visit_compare, 16, FTW_PHYS) == 0);
    }
    return true;
}

static bool kill_amid_random_calls_leaves_a_folder_to_restart_from(void)
{
    for (unsigned i = 0; i < 20; i++) {
        char seed[16];
        snprintf(seed, sizeof seed, "%u", i);
        WANT(disk_fresh(i % 2 == 0 ? "strict" : "ext4"));
        Child c = child_start("model", seed, false);
        WANT(child_kill(&c, 1, 100000));
        for (unsigned crash = 0; crash < 3; crash++)
            WANT(disk_crash(crash));
    }
    return true;
}

/* ---- faults ---- */

static bool full_disk_refuses_growth_until_it_has_room(void)
{
    WANT(disk_fresh("strict"));
    WANT(disk_set("room=100000"));
    Child c = child_start("full", "", false);
    WANT(child_ack(&c));
    WANT(disk_set("room=none"));
    WANT(child_kill(&c, 1, 0));
    WANT(disk_crash(1));
    WANT(slurp(out, "full", kept) == 100001);
    return true;
}

static bool failed_sync_loses_data_though_the_next_one_succeeds(void)
{
    int lost = 0;
    WANT(disk_fresh("strict"));
    WANT(disk_set("writeback_permille=0"));
    WANT(disk_set("fail_sync=1"));
    WANT(child_waits("sync_error", ""));
    for (unsigned seed = 0; seed < 20; seed++) {
        WANT(disk_crash(seed));
        WANT(slurp(out, "file", kept) >= 0);
        lost += memcmp(kept, "lost", 4) != 0;
    }
    WANT(lost > 0);
    return true;
}

static bool a_failing_sync_can_be_that_of_one_file(void)
{
    WANT(disk_fresh("strict"));
    setenv("LOSSY_FAIL_ONLY", "*/another", 1);
    WANT(disk_set("fail_sync=1"));
    const bool spared = !child_waits("sync_error", "");
    setenv("LOSSY_FAIL_ONLY", "*/live/*", 1);
    const bool hit = child_waits("sync_error", "");
    unsetenv("LOSSY_FAIL_ONLY");
    WANT(spared && hit);
    return true;
}

static bool slow_disk_sleeps_in_every_sync(void)
{
    WANT(disk_fresh("strict"));
    WANT(disk_set("sleep_us=20000"));
    WANT(child_succeeds("slow", ""));
    return true;
}

static bool read_maps_are_fresh_and_write_maps_refused(void)
{
    WANT(disk_fresh("strict"));
    WANT(child_succeeds("maps", ""));
    return true;
}

#define CASE(name)                                                                                 \
    {                                                                                              \
#name, name                                                                                \
    }

static const struct {
    const char *name;
    bool (*run)(void);
} tests[] = {
    CASE(acknowledged_records_survive_200_kills_and_unsynced_ones_do_not),
    CASE(dropped_syncs_lose_acknowledged_records),
    CASE(lies_can_be_about_some_files_only),
    CASE(threads_that_sync_one_file_lose_nothing),
    CASE(sqlite_full_loses_nothing_over_100_kills),
    CASE(sqlite_without_syncs_is_caught),
    CASE(sqlite_with_dropped_syncs_is_caught),
    CASE(sqlite_reads_fresh_rows_through_its_map),
    CASE(sqlite_survives_a_full_disk),
    CASE(rename_without_folder_sync_is_lost_sometimes),
    CASE(rename_with_folder_sync_is_kept),
    CASE(file_sync_keeps_the_name_in_ext4_mode_only),
    CASE(unlink_without_folder_sync_may_come_back_whole),
    CASE(file_renamed_many_times_has_one_name),
    CASE(first_name_may_outlive_a_second_one),
    CASE(unsynced_write_is_torn_between_sectors),
    CASE(unsynced_write_may_be_written_back_early),
    CASE(truncation_happens_before_what_follows_it),
    CASE(grown_part_may_be_zeros_in_strict_mode_only),
    CASE(every_call_is_seen_by_the_sync_after_it),
    CASE(a_later_process_can_sync_what_an_earlier_one_wrote),
    CASE(random_calls_then_syncs_leave_platter_and_folder_equal),
    CASE(kill_amid_random_calls_leaves_a_folder_to_restart_from),
    CASE(full_disk_refuses_growth_until_it_has_room),
    CASE(failed_sync_loses_data_though_the_next_one_succeeds),
    CASE(a_failing_sync_can_be_that_of_one_file),
    CASE(slow_disk_sleeps_in_every_sync),
    CASE(read_maps_are_fresh_and_write_maps_refused),
};

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "work") == 0)
        return work_run(argv[2], argv[3], argv[4]);
    if (argc < 3 || realpath(argv[1], library) == NULL || realpath(argv[2], tool) == NULL) {
        fprintf(stderr, "usage: lossy_test LIBLOSSY LOSSY_DISK [NAME]\n");
        return 2;
    }
    const char *only = argc > 3 ? argv[3] : "";
    const char *tmp = getenv("TMPDIR");
    snprintf(base, sizeof base, "%s/lossy-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(base) == NULL)
        return 2;
    snprintf(live, sizeof live, "%s/live", base);
    snprintf(out, sizeof out, "%s/out", base);
    snprintf(platter, sizeof platter, "%s/live.platter", base);
    int passed = 0, failed = 0;
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        if (strstr(tests[i].name, only) == NULL)
            continue;
        const bool ok = tests[i].run();
        passed += ok;
        failed += !ok;
        printf("%s %s\n", ok ? "ok" : "FAIL", tests[i].name);
        fflush(stdout);
    }
    remove_tree(base);
    printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 && passed > 0 ? 0 : 1;
}
