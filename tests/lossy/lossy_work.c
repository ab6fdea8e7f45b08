/*
 * tests/lossy/lossy_work.c -- the workloads of lossy_work.h.
 */
#include "lossy_work.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { PATH_BYTES = 4200, BIG = 64 * 1024, MODEL_FILES = 6, MODEL_STEPS = 3000 };

#define NEED(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno);      \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

void work_fill(char *data, size_t len, int64_t seq)
{
    uint64_t x = (uint64_t)seq * 0x9E3779B97F4A7C15 + 1;
    for (size_t i = 0; i < len; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        data[i] = (char)(x >> 24);
    }
}

int work_is_filled(const char *data, size_t len, int64_t seq)
{
    char want[WORK_VALUE_BYTES];
    NEED(len <= sizeof want);
    work_fill(want, len, seq);
    return memcmp(data, want, len) == 0;
}

static void acknowledge(int64_t value)
{
    NEED(write(1, &value, sizeof value) == (ssize_t)sizeof value);
}

/* Everything is acknowledged; the next event is the kill. */
static _Noreturn void wait_for_kill(int64_t value)
{
    acknowledge(value);
    for (;;)
        pause();
}

static int open_in(const char *live, const char *name, int flags)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", live, name);
    const int fd = open(path, flags | O_CLOEXEC, 0644);
    NEED(fd >= 0);
    return fd;
}

static void sync_dir(const char *live, const char *name)
{
    const int fd = open_in(live, name, O_RDONLY | O_DIRECTORY);
    NEED(fsync(fd) == 0);
    close(fd);
}

static void make_durable(const char *live, const char *name, char letter, size_t len)
{
    static char data[BIG];
    memset(data, letter, len);
    const int fd = open_in(live, name, O_WRONLY | O_CREAT);
    NEED(write(fd, data, len) == (ssize_t)len);
    NEED(fsync(fd) == 0);
    close(fd);
    sync_dir(live, ".");
}

/* ---- records, one acknowledgement after each sync ---- */

static int work_log(const char *live, const char *arg)
{
    (void)arg;
    char record[WORK_RECORD_BYTES];
    const int fd = open_in(live, "log", O_RDWR | O_CREAT);
    const int gossip = open_in(live, "gossip", O_RDWR | O_CREAT);
    sync_dir(live, ".");
    int64_t seq = 0;
    while (pread(fd, record, sizeof record, seq * WORK_RECORD_BYTES) == WORK_RECORD_BYTES &&
           work_is_filled(record, sizeof record, seq))
        seq++;
    NEED(ftruncate(fd, seq * WORK_RECORD_BYTES) == 0);
    for (;; seq++) {
        work_fill(record, sizeof record, seq);
        NEED(pwrite(fd, record, sizeof record, seq * WORK_RECORD_BYTES) == WORK_RECORD_BYTES);
        NEED(fdatasync(fd) == 0);
        NEED(pwrite(gossip, &seq, sizeof seq, seq * (int64_t)sizeof seq) == sizeof seq);
        acknowledge(seq);
    }
}

static struct {
    int fd;
    _Atomic int64_t next;
} slots;

static void *slot_writer(void *unused)
{
    char record[WORK_SLOT_BYTES];
    for (;;) {
        const int64_t slot = atomic_fetch_add(&slots.next, 1);
        work_fill(record, sizeof record, slot);
        NEED(pwrite(slots.fd, record, sizeof record, slot * WORK_SLOT_BYTES) == WORK_SLOT_BYTES);
        NEED(fdatasync(slots.fd) == 0);
        acknowledge(slot);
    }
    return unused;
}

static int work_threads(const char *live, const char *arg)
{
    (void)arg;
    slots.fd = open_in(live, "slots", O_RDWR | O_CREAT);
    sync_dir(live, ".");
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        NEED(pthread_create(&thread, NULL, slot_writer, NULL) == 0);
    }
    (void)slot_writer(NULL);
    return 0;
}

/* ---- SQLite ---- */

static sqlite3 *db_open(const char *live, const char *pragmas)
{
    char path[PATH_BYTES];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/db", live);
    NEED(sqlite3_open(path, &db) == SQLITE_OK);
    NEED(sqlite3_exec(db, pragmas, NULL, NULL, NULL) == SQLITE_OK);
    return db;
}

static int64_t db_number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s;
    NEED(sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK);
    NEED(sqlite3_step(s) == SQLITE_ROW);
    const int64_t value = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return value;
}

#define INSERT "INSERT INTO t(body) VALUES (randomblob(1500))"

static int work_sqlite(const char *live, const char *arg)
{
    char pragmas[128];
    snprintf(pragmas, sizeof pragmas, "PRAGMA synchronous=%s; PRAGMA wal_autocheckpoint=16", arg);
    sqlite3 *db = db_open(live, pragmas);
    for (;;) {
        NEED(sqlite3_exec(db, INSERT, NULL, NULL, NULL) == SQLITE_OK);
        acknowledge(sqlite3_last_insert_rowid(db));
    }
}

/* A writer beside a reader that has the file mapped: the reader must see every commit. */
static int work_sqlite_mmap(const char *live, const char *arg)
{
    (void)arg;
    static const char pragmas[] = "PRAGMA mmap_size=268435456; PRAGMA wal_autocheckpoint=4";
    sqlite3 *writer = db_open(live, pragmas), *reader = db_open(live, pragmas);
    for (int64_t i = 1; i <= 300; i++) {
        NEED(sqlite3_exec(writer, INSERT, NULL, NULL, NULL) == SQLITE_OK);
        NEED(db_number(reader, "SELECT count(*) FROM t WHERE length(body) = 1500") == i);
    }
    char path[PATH_BYTES], line[PATH_BYTES];
    snprintf(path, sizeof path, "%s/db\n", live);
    FILE *maps = fopen("/proc/self/maps", "r");
    bool mapped = false;
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL)
        mapped = mapped || strstr(line, path) != NULL;
    NEED(mapped);
    fclose(maps);
    sqlite3_close(reader);
    sqlite3_close(writer);
    return 0;
}

static int work_sqlite_full(const char *live, const char *arg)
{
    (void)arg;
    sqlite3 *db = db_open(live, "PRAGMA synchronous=FULL");
    int result;
    while ((result = sqlite3_exec(db, INSERT, NULL, NULL, NULL)) == SQLITE_OK) {
    }
    NEED(result == SQLITE_FULL);
    const int64_t rows = db_number(db, "SELECT count(*) FROM t");
    acknowledge(rows);
    while (sqlite3_exec(db, INSERT, NULL, NULL, NULL) != SQLITE_OK)
        usleep(1000);
    NEED(db_number(db, "SELECT count(*) FROM t") == rows + 1);
    wait_for_kill(rows + 1);
}

/* ---- names ---- */

/* Replaces a value by rename, again and again; "dirsync" syncs the folder before it promises. */
static int work_rename(const char *live, const char *arg)
{
    char data[WORK_VALUE_BYTES], from[PATH_BYTES], to[PATH_BYTES];
    snprintf(from, sizeof from, "%s/value.new", live);
    snprintf(to, sizeof to, "%s/value", live);
    for (int64_t seq = 0;; seq++) {
        work_fill(data, sizeof data, seq);
        memcpy(data, &seq, sizeof seq);
        const int fd = open_in(live, "value.new", O_WRONLY | O_CREAT | O_TRUNC);
        NEED(write(fd, data, sizeof data) == (ssize_t)sizeof data);
        NEED(fdatasync(fd) == 0);
        close(fd);
        NEED(rename(from, to) == 0);
        if (strcmp(arg, "dirsync") == 0)
            sync_dir(live, ".");
        acknowledge(seq);
    }
}

static int work_new_file(const char *live, const char *arg)
{
    (void)arg;
    const int fd = open_in(live, "new", O_WRONLY | O_CREAT);
    NEED(write(fd, "new", 3) == 3);
    NEED(fsync(fd) == 0);
    wait_for_kill(0);
}

static int work_unlink(const char *live, const char *arg)
{
    (void)arg;
    char path[PATH_BYTES];
    for (int i = 1; i <= 2; i++) {
        char name[8];
        snprintf(name, sizeof name, "d%d", i);
        snprintf(path, sizeof path, "%s/%s", live, name);
        NEED(mkdir(path, 0755) == 0);
        make_durable(path, "x", 'A', 1000);
        sync_dir(live, ".");
        snprintf(path, sizeof path, "%s/d%d/x", live, i);
        NEED(unlink(path) == 0);
        if (i == 1)
            sync_dir(live, "d1");
    }
    wait_for_kill(0);
}

/* A file goes from folder to folder; arg "sync": the last one is synced. */
static int work_chain(const char *live, const char *arg)
{
    char from[PATH_BYTES], to[PATH_BYTES];
    for (int i = 0; i < 4; i++) {
        snprintf(to, sizeof to, "%s/d%d", live, i);
        NEED(mkdir(to, 0755) == 0);
    }
    make_durable(live, "d0/x", 'A', 1000);
    sync_dir(live, "d0");
    for (int i = 0; i < 3; i++) {
        snprintf(from, sizeof from, "%s/d%d/x", live, i);
        snprintf(to, sizeof to, "%s/d%d/x", live, i + 1);
        NEED(rename(from, to) == 0);
    }
    if (strcmp(arg, "sync") == 0)
        sync_dir(live, "d3");
    wait_for_kill(0);
}

/* A second name is synced away while the removal of the first is not yet durable. */
static int work_link(const char *live, const char *arg)
{
    (void)arg;
    char a[PATH_BYTES], b[PATH_BYTES];
    snprintf(a, sizeof a, "%s/d", live);
    NEED(mkdir(a, 0755) == 0);
    make_durable(live, "x", 'A', 1000);
    snprintf(a, sizeof a, "%s/x", live);
    snprintf(b, sizeof b, "%s/d/y", live);
    NEED(link(a, b) == 0 && unlink(a) == 0 && unlink(b) == 0);
    sync_dir(live, "d");
    wait_for_kill(0);
}

/* ---- bytes ---- */

static int work_torn(const char *live, const char *arg)
{
    (void)arg;
    static char data[BIG];
    make_durable(live, "big", 'A', BIG);
    memset(data, 'B', sizeof data);
    const int fd = open_in(live, "big", O_WRONLY);
    NEED(pwrite(fd, data, sizeof data, 0) == BIG);
    wait_for_kill(0);
}

static int work_truncate(const char *live, const char *arg)
{
    (void)arg;
    static char data[BIG / 2];
    make_durable(live, "big", 'A', BIG);
    memset(data, 'B', sizeof data);
    const int fd = open_in(live, "big", O_WRONLY | O_TRUNC);
    NEED(write(fd, data, sizeof data) == BIG / 2);
    wait_for_kill(0);
}

static int work_append(const char *live, const char *arg)
{
    (void)arg;
    static char data[BIG / 2];
    make_durable(live, "big", 'A', BIG / 2);
    memset(data, 'B', sizeof data);
    const int fd = open_in(live, "big", O_WRONLY | O_APPEND);
    NEED(write(fd, data, sizeof data) == BIG / 2);
    wait_for_kill(0);
}

static int work_full(const char *live, const char *arg)
{
    (void)arg;
    static char data[BIG];
    const int fd = open_in(live, "full", O_RDWR | O_CREAT);
    memset(data, 'F', sizeof data);
    NEED(write(fd, data, BIG) == BIG);
    NEED(write(fd, data, BIG) == 100000 - BIG); /* the parent left room for 100000 bytes */
    NEED(write(fd, data, 1) == -1 && errno == ENOSPC);
    NEED(ftruncate(fd, 100001) == -1 && errno == ENOSPC);
    NEED(posix_fallocate(fd, 0, 200000) == ENOSPC);
    NEED(pwrite(fd, data, BIG, 0) == BIG);
    NEED(fdatasync(fd) == 0);
    acknowledge(1);
    while (write(fd, data, 1) != 1)
        usleep(1000);
    NEED(fdatasync(fd) == 0);
    sync_dir(live, ".");
    wait_for_kill(2);
}

static int work_sync_error(const char *live, const char *arg)
{
    (void)arg;
    const int fd = open_in(live, "file", O_RDWR | O_CREAT);
    NEED(write(fd, "lost", 4) == 4);
    NEED(fdatasync(fd) == -1 && errno == EIO);
    NEED(fdatasync(fd) == 0);
    sync_dir(live, ".");
    wait_for_kill(0);
}

static int work_slow(const char *live, const char *arg)
{
    (void)arg;
    const int fd = open_in(live, "file", O_RDWR | O_CREAT);
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < 10; i++)
        NEED(fdatasync(fd) == 0);
    clock_gettime(CLOCK_MONOTONIC, &b);
    const int64_t us = (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000;
    NEED(us >= 200000); /* the parent asked for 20 ms each */
    return 0;
}

static int work_maps(const char *live, const char *arg)
{
    (void)arg;
    make_durable(live, "file", 'A', 8192);
    const int fd = open_in(live, "file", O_RDWR);
    NEED(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    NEED(errno == EACCES);
    const char *map = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
    NEED(map != MAP_FAILED);
    NEED(pwrite(fd, "fresh", 5, 5000) == 5);
    NEED(memcmp(map + 5000, "fresh", 5) == 0);
    return 0;
}

/* ---- every call, then one sync: all of it is durable ---- */

/* Past the page cache only whole blocks can be written; with the flag gone, anything. */
static void write_directly(const char *live)
{
    static _Alignas(4096) char block[8192];
    memset(block, 'D', sizeof block);
    const int fd = open_in(live, "direct", O_WRONLY | O_CREAT | O_DIRECT);
    const int flags = fcntl(fd, F_GETFL);
    NEED((flags & O_DIRECT) != 0);
    NEED(pwrite(fd, block, 5, 0) == -1 && errno == EINVAL);
    NEED(pwrite(fd, block + 1, 4096, 0) == -1 && errno == EINVAL);
    NEED(pwrite(fd, block, 4096, 7) == -1 && errno == EINVAL);
    NEED(pwrite(fd, block, sizeof block, 0) == sizeof block);
    NEED(fcntl(fd, F_SETFL, flags & ~O_DIRECT) == 0 && (fcntl(fd, F_GETFL) & O_DIRECT) == 0);
    NEED(pwrite(fd, block + 1, 5, sizeof block) == 5);
    NEED(fsync(fd) == 0);
}

static int work_calls(const char *live, const char *arg)
{
    (void)arg;
    const struct iovec two[2] = {{(void *)(uintptr_t) "one", 3}, {(void *)(uintptr_t) "two", 3}};
    const int fd = open_in(live, "calls", O_WRONLY | O_CREAT | O_EXCL);
    const int copy = dup(fd), other = fcntl(fd, F_DUPFD_CLOEXEC, 50);
    NEED(copy >= 0 && other >= 50);
    NEED(write(fd, "write", 5) == 5);
    NEED(close(fd) == 0);
    NEED(write(copy, "dup", 3) == 3);
    NEED(writev(other, two, 2) == 6);
    NEED(pwritev(copy, two, 2, 9000) == 6);
    NEED(fallocate(copy, 0, 0, 50000) == 0);
    const int end = open_in(live, "calls", O_WRONLY | O_APPEND);
    NEED(write(end, "append", 6) == 6);
    NEED(pwrite(end, "also appended", 13, 0) == 13);
    NEED(fallocate(copy, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 9000, 3) == 0);
    NEED(fsync(end) == 0);
    const int sync = open_in(live, "dsync", O_WRONLY | O_CREAT | O_DSYNC);
    NEED(write(sync, "kept", 4) == 4);
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/stdio", live);
    FILE *stdio = fopen(path, "w");
    NEED(stdio != NULL);
    NEED(fputs("through stdio", stdio) >= 0 && fflush(stdio) == 0 && fsync(fileno(stdio)) == 0);
    NEED(fclose(stdio) == 0);
    write_directly(live);
    sync_dir(live, ".");
    return 0;
}

static int work_leave(const char *live, const char *arg)
{
    (void)arg;
    const int fd = open_in(live, "left", O_WRONLY | O_CREAT);
    NEED(write(fd, "not synced by its writer", 24) == 24);
    return 0;
}

static int work_sync_left(const char *live, const char *arg)
{
    (void)arg;
    const int fd = open_in(live, "left", O_RDONLY);
    NEED(fdatasync(fd) == 0);
    sync_dir(live, ".");
    return 0;
}

/* ---- random calls; the platter must equal the folder once all is synced ---- */

static void model_write(int fd, unsigned *seed)
{
    static char data[BIG];
    const int64_t off = rand_r(seed) % 200000;
    const size_t len = 1 + (size_t)rand_r(seed) % (rand_r(seed) % 8 == 0 ? BIG : 900);
    memset(data, 'a' + rand_r(seed) % 26, len);
    switch (rand_r(seed) % 8) {
    case 0:
        NEED(ftruncate(fd, off) == 0);
        break;
    case 1:
        NEED(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, (off_t)len) == 0);
        break;
    case 2:
        NEED(fdatasync(fd) == 0);
        break;
    case 3:
        NEED(lseek(fd, off, SEEK_SET) == off);
        NEED(write(fd, data, len) == (ssize_t)len);
        break;
    default:
        NEED(pwrite(fd, data, len, off) == (ssize_t)len);
    }
}

static void model_name(const char *live, const char *file, const char *sub, unsigned *seed)
{
    char a[PATH_BYTES], b[PATH_BYTES];
    snprintf(a, sizeof a, "%s/%s", live, file);
    snprintf(b, sizeof b, "%s/%s/f%d", live, sub, rand_r(seed) % MODEL_FILES);
    switch (rand_r(seed) % 5) {
    case 0:
        NEED(unlink(a) == 0);
        break;
    case 1:
        NEED(rename(a, b) == 0);
        break;
    case 2:
        NEED(link(a, b) == 0 || errno == EEXIST);
        break;
    case 3:
        sync_dir(live, sub);
        break;
    default:
        sync_dir(live, ".");
    }
}

static int work_model(const char *live, const char *arg)
{
    static const char *const subs[] = {".", "p", "p/q"};
    unsigned seed = (unsigned)strtoul(arg, NULL, 10);
    char path[PATH_BYTES];
    for (int i = 1; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", live, subs[i]);
        NEED(mkdir(path, 0755) == 0);
    }
    for (int step = 0; step < MODEL_STEPS; step++) {
        char name[32];
        snprintf(name, sizeof name, "%s/f%d", subs[rand_r(&seed) % 3], rand_r(&seed) % MODEL_FILES);
        const int fd = open_in(live, name, O_RDWR | O_CREAT);
        if (step == MODEL_STEPS / 10)
            acknowledge(step);
        for (int i = 0; i < 4; i++)
            model_write(fd, &seed);
        if (rand_r(&seed) % 4 == 0)
            model_name(live, name, subs[rand_r(&seed) % 3], &seed);
        close(fd);
    }
    for (int i = 0; i < 3 * MODEL_FILES; i++) {
        snprintf(path, sizeof path, "%s/%s/f%d", live, subs[i / MODEL_FILES], i % MODEL_FILES);
        const int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        NEED(fsync(fd) == 0);
        close(fd);
    }
    for (int i = 0; i < 3; i++)
        sync_dir(live, subs[i]);
    return 0;
}

int work_run(const char *name, const char *live, const char *arg)
{
    static const struct {
        const char *name;
        int (*run)(const char *live, const char *arg);
    } works[] = {{"log", work_log},
                 {"threads", work_threads},
                 {"sqlite", work_sqlite},
                 {"sqlite_mmap", work_sqlite_mmap},
                 {"sqlite_full", work_sqlite_full},
                 {"rename", work_rename},
                 {"new_file", work_new_file},
                 {"unlink", work_unlink},
                 {"chain", work_chain},
                 {"link", work_link},
                 {"torn", work_torn},
                 {"truncate", work_truncate},
                 {"append", work_append},
                 {"full", work_full},
                 {"sync_error", work_sync_error},
                 {"slow", work_slow},
                 {"maps", work_maps},
                 {"calls", work_calls},
                 {"leave", work_leave},
                 {"sync_left", work_sync_left},
                 {"model", work_model}};
    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++) {
        if (strcmp(works[i].name, name) == 0)
            return works[i].run(live, arg);
    }
    return 99;
}
