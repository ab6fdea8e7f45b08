/*
 * tests/lossy/lossy_disk.c -- the engine of lossy_disk.h: dirty pages, syncs, names.log.
 *
 * Every system call is made raw: liblossy.so defines open, write and their like, and the engine
 * must not meet itself.  It never opens a live file either, because closing one would drop the
 * POSIX locks the program holds on it.
 */
#include "lossy_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER_BYTES = 256 * 1024, FORGOTTEN_MAX = 4096, WRITEBACK_PAGES_MAX = 64 };

static struct {
    LossySuper *super;
    char path[LOSSY_PATH_MAX];
    int names_fd;
    bool drop_sync;
    /* Guarded by: super->names_lock. */
    struct {
        uint64_t dir, id;
    } forgotten[FORGOTTEN_MAX];
    int forgotten_count;
} disk;

_Noreturn void lossy_die(const char *format, ...)
{
    char text[1024] = "lossy: ";
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(text + 7, sizeof text - 9, format, args);
    va_end(args);
    const size_t len = 7 + (n < 0 ? 0 : (size_t)n < sizeof text - 9 ? (size_t)n : sizeof text - 10);
    text[len] = '\n';
    (void)syscall(SYS_write, 2, text, len + 1);
    abort();
}

static int raw_open(const char *path, int flags)
{
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0644);
}

static void raw_close(int fd)
{
    (void)syscall(SYS_close, fd);
}

static int64_t raw_size(int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        lossy_die("fstat(%d): errno %d", fd, errno);
    return st.st_size;
}

static void raw_resize(int fd, int64_t size)
{
    if (syscall(SYS_ftruncate, fd, size) != 0)
        lossy_die("cannot resize a file of the platter: errno %d", errno);
}

static void *raw_map(int fd, size_t bytes)
{
    const int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    const long at = syscall(SYS_mmap, NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0L);
    if (at == -1)
        lossy_die("mmap: errno %d", errno);
    return (void *)at; /* NOLINT(performance-no-int-to-ptr) */
}

/* ---- locks that outlive their owner ---- */

static void shared_lock_init(pthread_mutex_t *lock)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    if (pthread_mutex_init(lock, &attr) != 0)
        lossy_die("cannot make a lock");
    pthread_mutexattr_destroy(&attr);
}

/* Returns false when the last owner died holding it. */
static bool shared_lock(pthread_mutex_t *lock)
{
    const int e = pthread_mutex_lock(lock);
    if (e == 0)
        return true;
    if (e != EOWNERDEAD)
        lossy_die("lock: error %d", e);
    pthread_mutex_consistent(lock);
    return false;
}

static void map_lock(LossyMap *map)
{
    if (!shared_lock(&map->head.lock))
        atomic_store(&map->head.all_dirty, 1);
}

/* ---- the platter ---- */

static void disk_attach(const char *platter, int extra_flags)
{
    char path[LOSSY_PATH_MAX + 32];
    snprintf(disk.path, sizeof disk.path, "%s", platter);
    snprintf(path, sizeof path, "%s/names.log", platter);
    disk.names_fd = raw_open(path, O_WRONLY | O_APPEND | extra_flags);
    snprintf(path, sizeof path, "%s/super", platter);
    const int fd = raw_open(path, O_RDWR | extra_flags);
    if (fd < 0 || disk.names_fd < 0)
        lossy_die("no platter at %s: run lossy-disk format first", platter);
    if (extra_flags & O_CREAT)
        raw_resize(fd, (int64_t)sizeof(LossySuper));
    if (raw_size(fd) != (int64_t)sizeof(LossySuper))
        lossy_die("%s is no platter", platter);
    disk.super = raw_map(fd, sizeof(LossySuper));
    raw_close(fd);
    const char *drop = getenv("LOSSY_DROP_SYNC");
    disk.drop_sync = drop != NULL && drop[0] == '1';
}

LossySuper *lossy_disk_open(const char *platter)
{
    disk_attach(platter, 0);
    if (disk.super->magic != LOSSY_MAGIC)
        lossy_die("%s is no platter", platter);
    return disk.super;
}

LossySuper *lossy_disk_make(const char *platter, const char *live, LossyMode mode)
{
    char path[LOSSY_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/obj", platter);
    if (syscall(SYS_mkdirat, AT_FDCWD, path, 0755) != 0)
        lossy_die("cannot make %s: errno %d", path, errno);
    disk_attach(platter, O_CREAT | O_EXCL);
    LossySuper *s = disk.super;
    s->mode = mode;
    shared_lock_init(&s->names_lock);
    atomic_store(&s->next_id, LOSSY_ROOT_ID);
    atomic_store(&s->room, INT64_MAX);
    atomic_store(&s->writeback_permille, 10);
    snprintf(s->live, sizeof s->live, "%s", live);
    s->magic = LOSSY_MAGIC;
    return s;
}

uint64_t lossy_id_of(const char *path)
{
    uint64_t id = 0;
    return lgetxattr(path, LOSSY_XATTR, &id, sizeof id) == (ssize_t)sizeof id ? id : 0;
}

uint64_t lossy_id_of_fd(int fd)
{
    uint64_t id = 0;
    return fgetxattr(fd, LOSSY_XATTR, &id, sizeof id) == (ssize_t)sizeof id ? id : 0;
}

static int object_open(uint64_t id, const char *kind, int flags)
{
    char path[LOSSY_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/obj/%llu.%s", disk.path, (unsigned long long)id, kind);
    return raw_open(path, flags);
}

uint64_t lossy_object_make(void)
{
    const uint64_t id = atomic_fetch_add(&disk.super->next_id, 1);
    const int data = object_open(id, "data", O_RDWR | O_CREAT | O_EXCL);
    const int fd = object_open(id, "map", O_RDWR | O_CREAT | O_EXCL);
    if (data < 0 || fd < 0)
        lossy_die("cannot make object %llu: errno %d", (unsigned long long)id, errno);
    raw_resize(fd, (int64_t)sizeof(LossyMap));
    LossyMap *map = raw_map(fd, sizeof(LossyMap));
    shared_lock_init(&map->head.lock);
    atomic_store(&map->head.floor, INT64_MAX);
    lossy_object_unmap(map);
    raw_close(fd);
    raw_close(data);
    return id;
}

int lossy_object_data(uint64_t id)
{
    return object_open(id, "data", O_RDWR);
}

LossyMap *lossy_object_map(uint64_t id)
{
    const int fd = object_open(id, "map", O_RDWR);
    if (fd < 0)
        return NULL;
    LossyMap *map = raw_map(fd, sizeof(LossyMap));
    raw_close(fd);
    return map;
}

void lossy_object_unmap(LossyMap *map)
{
    (void)syscall(SYS_munmap, map, sizeof *map);
}

static void object_remove(uint64_t id)
{
    static const char *const kinds[] = {"data", "map"};
    for (size_t i = 0; i < 2; i++) {
        char path[LOSSY_PATH_MAX + 64];
        snprintf(path, sizeof path, "%s/obj/%llu.%s", disk.path, (unsigned long long)id, kinds[i]);
        (void)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    }
}

/* ---- names ---- */

void lossy_names_lock(void)
{
    (void)shared_lock(&disk.super->names_lock);
}

void lossy_names_unlock(void)
{
    pthread_mutex_unlock(&disk.super->names_lock);
}

void lossy_names_append(const LossyName *n)
{
    if (syscall(SYS_write, disk.names_fd, n, sizeof *n) != (long)sizeof *n)
        lossy_die("cannot write names.log: errno %d", errno);
    atomic_fetch_add(&disk.super->name_count, 1);
}

void lossy_names_forget(uint64_t dir, uint64_t id)
{
    LossyMap *map = lossy_object_map(id);
    if (map == NULL)
        return;
    const bool linked = atomic_load(&map->head.linked) != 0;
    lossy_object_unmap(map);
    if (linked || disk.forgotten_count == FORGOTTEN_MAX)
        return; /* only costs room until the next format */
    disk.forgotten[disk.forgotten_count].dir = dir;
    disk.forgotten[disk.forgotten_count].id = id;
    disk.forgotten_count++;
}

static void dir_sync(uint64_t dir)
{
    const LossyName n = {.op = LOSSY_NAME_SYNC_DIR, .id = dir, .is_dir = 1};
    lossy_names_lock();
    lossy_names_append(&n);
    int kept = 0;
    for (int i = 0; i < disk.forgotten_count; i++) {
        if (disk.forgotten[i].dir == dir)
            object_remove(disk.forgotten[i].id);
        else
            disk.forgotten[kept++] = disk.forgotten[i];
    }
    disk.forgotten_count = kept;
    lossy_names_unlock();
}

/* Only when some entry changed since this file last said so: most syncs find none. */
static void file_name_sync(LossyFile *f)
{
    if (disk.super->mode != LOSSY_EXT4 ||
        atomic_load(&f->named_at) == atomic_load(&disk.super->name_count))
        return;
    const LossyName n = {.op = LOSSY_NAME_SYNC_FILE, .id = f->id};
    lossy_names_lock();
    lossy_names_append(&n);
    atomic_store(&f->named_at, atomic_load(&disk.super->name_count));
    lossy_names_unlock();
}

/* ---- files ---- */

LossyFile *lossy_file_open(uint64_t id, bool is_dir)
{
    LossyFile *f = calloc(1, sizeof *f);
    if (f == NULL)
        lossy_die("out of memory");
    f->id = id;
    f->is_dir = is_dir;
    f->fails = true;
    f->data_fd = -1;
    atomic_store(&f->refs, 1);
    atomic_store(&f->named_at, UINT64_MAX);
    pthread_mutex_init(&f->cursor, NULL);
    if (is_dir)
        return f;
    f->map = lossy_object_map(id);
    f->data_fd = lossy_object_data(id);
    if (f->map == NULL || f->data_fd < 0)
        lossy_die("object %llu is not on the platter", (unsigned long long)id);
    return f;
}

void lossy_file_release(LossyFile *f)
{
    if (atomic_fetch_sub(&f->refs, 1) != 1)
        return;
    if (f->map != NULL)
        lossy_object_unmap(f->map);
    if (f->data_fd >= 0)
        raw_close(f->data_fd);
    if (f->buffer != NULL)
        (void)syscall(SYS_munmap, f->buffer, BUFFER_BYTES);
    pthread_mutex_destroy(&f->cursor);
    free(f);
}

/* Copies [off, off + len) as far as the live file reaches.  The caller holds the map's lock. */
static void copy_to_platter(LossyFile *f, int fd, int64_t off, int64_t len)
{
    if (f->buffer == NULL)
        f->buffer = raw_map(-1, BUFFER_BYTES);
    while (len > 0) {
        const size_t want = len < BUFFER_BYTES ? (size_t)len : BUFFER_BYTES;
        const long n = syscall(SYS_pread64, fd, f->buffer, want, off);
        if (n < 0)
            lossy_die("cannot read the live file: errno %d", errno);
        if (n == 0)
            return;
        if (syscall(SYS_pwrite64, f->data_fd, f->buffer, (size_t)n, off) != n)
            lossy_die("cannot write the platter: errno %d", errno);
        atomic_fetch_add(&disk.super->sync_bytes, (uint64_t)n);
        off += n;
        len -= n;
    }
}

/* Neighbouring dirty pages, copied in one go. */
typedef struct DirtyRun {
    int64_t first, count;
} DirtyRun;

static void run_push(LossyFile *f, int fd, DirtyRun *run)
{
    if (fd >= 0 && run->count > 0)
        copy_to_platter(f, fd, run->first * LOSSY_PAGE, run->count * LOSSY_PAGE);
    run->count = 0;
}

static void word_push(LossyFile *f, int fd, size_t w, DirtyRun *run)
{
    uint64_t bits = atomic_exchange(&f->map->words[w], 0);
    while (bits != 0) {
        const int64_t page = (int64_t)w * 64 + __builtin_ctzll(bits);
        bits &= bits - 1;
        if (run->count > 0 && page != run->first + run->count)
            run_push(f, fd, run);
        if (run->count == 0)
            run->first = page;
        run->count++;
    }
}

/* Clears every dirty bit and copies its page; fd < 0 only clears.  Bits are cleared before their
 * pages are read and set after a page is written, so a concurrent write is copied or stays. */
static void dirty_push(LossyFile *f, int fd)
{
    DirtyRun run = {0};
    for (size_t s = 0; s < LOSSY_SUMMARY_WORDS; s++) {
        if (atomic_load_explicit(&f->map->summary[s], memory_order_acquire) == 0)
            continue;
        uint64_t bits = atomic_exchange(&f->map->summary[s], 0);
        while (bits != 0) {
            word_push(f, fd, s * 64 + (size_t)__builtin_ctzll(bits), &run);
            bits &= bits - 1;
        }
    }
    run_push(f, fd, &run);
}

/* One word of the map is 64 pages; summary bit i of word s covers words[s * 64 + i]. */
static void page_set_dirty(LossyMap *map, int64_t page)
{
    const size_t w = (size_t)page / 64;
    atomic_fetch_or(&map->words[w], UINT64_C(1) << (page % 64));
    atomic_fetch_or(&map->summary[w / 64], UINT64_C(1) << (w % 64));
}

/* The caller holds the map's lock.  Each step leaves a state a disk may be in. */
static void file_push(LossyFile *f, int fd)
{
    const int64_t size = raw_size(fd);
    const int64_t floor = atomic_load(&f->map->head.floor);
    if (floor < raw_size(f->data_fd))
        raw_resize(f->data_fd, floor);
    atomic_store(&f->map->head.floor, INT64_MAX);
    if (atomic_exchange(&f->map->head.all_dirty, 0) != 0 || atomic_load(&f->untracked))
        copy_to_platter(f, fd, 0, size);
    else
        dirty_push(f, fd);
    if (raw_size(f->data_fd) < size)
        raw_resize(f->data_fd, size);
    if (atomic_load(&f->untracked) && raw_size(f->data_fd) > size)
        raw_resize(f->data_fd, size);
}

static bool take_failure(void)
{
    int64_t left = atomic_load(&disk.super->fail_sync);
    while (left > 0) {
        if (atomic_compare_exchange_weak(&disk.super->fail_sync, &left, left - 1))
            return true;
    }
    return false;
}

int lossy_file_sync(LossyFile *f, int fd)
{
    atomic_fetch_add(&disk.super->sync_count, 1);
    const int64_t us = atomic_load(&disk.super->sleep_us);
    if (us > 0) {
        const struct timespec t = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
        nanosleep(&t, NULL);
    }
    if (f->fails && take_failure()) {
        /* As Linux does: the pages count as clean now, and a second sync will not save them. */
        if (!f->is_dir) {
            map_lock(f->map);
            dirty_push(f, -1);
            pthread_mutex_unlock(&f->map->head.lock);
        }
        errno = EIO;
        return -1;
    }
    if (f->drops || disk.drop_sync || atomic_load(&disk.super->drop_sync) != 0)
        return 0;
    if (f->is_dir) {
        dir_sync(f->id);
        return 0;
    }
    map_lock(f->map);
    file_push(f, fd);
    pthread_mutex_unlock(&f->map->head.lock);
    file_name_sync(f);
    return 0;
}

int lossy_file_truncate(LossyFile *f, int fd, int64_t size)
{
    map_lock(f->map);
    const int64_t before = raw_size(fd);
    int result = -1;
    if (size > before && lossy_room_take(fd, before, size - before) < size - before)
        errno = ENOSPC;
    else
        result = (int)syscall(SYS_ftruncate, fd, size);
    if (result == 0 && size < before) {
        if (size < atomic_load(&f->map->head.floor))
            atomic_store(&f->map->head.floor, size);
        lossy_room_give(before - size);
    }
    pthread_mutex_unlock(&f->map->head.lock);
    return result;
}

/* ---- writeback: the kernel writes dirty pages whenever it likes ---- */

static uint64_t thread_random(void)
{
    static _Thread_local uint64_t state;
    if (state == 0)
        state = (uint64_t)getpid() * 0x9E3779B97F4A7C15 ^ (uint64_t)syscall(SYS_gettid) ^
                (uint64_t)clock() << 32;
    state += 0x9E3779B97F4A7C15;
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
}

/* Lets some sectors of one dirty page through; it stays dirty. */
static void page_leak(LossyFile *f, int fd, int64_t page, int64_t durable_size)
{
    const uint64_t coins = thread_random();
    for (int s = 0; s < LOSSY_PAGE / LOSSY_SECTOR; s++) {
        const int64_t off = page * LOSSY_PAGE + (int64_t)s * LOSSY_SECTOR;
        if ((coins >> s & 1) == 0)
            continue;
        if (disk.super->mode == LOSSY_EXT4 && off + LOSSY_SECTOR > durable_size)
            continue; /* ext4 would not show a size beyond pages it has not written */
        copy_to_platter(f, fd, off, LOSSY_SECTOR);
    }
}

static void file_leak(LossyFile *f, int fd)
{
    const int e = pthread_mutex_trylock(&f->map->head.lock);
    if (e == EOWNERDEAD) {
        pthread_mutex_consistent(&f->map->head.lock);
        atomic_store(&f->map->head.all_dirty, 1);
    } else if (e != 0) {
        return; /* a sync is at it already */
    }
    const int64_t durable_size = raw_size(f->data_fd);
    int left = atomic_load(&f->map->head.floor) < durable_size ? 0 : WRITEBACK_PAGES_MAX;
    for (size_t s = 0; s < LOSSY_SUMMARY_WORDS && left > 0; s++) {
        uint64_t words = atomic_load(&f->map->summary[s]);
        for (; words != 0 && left > 0; words &= words - 1) {
            const size_t w = s * 64 + (size_t)__builtin_ctzll(words);
            uint64_t pages = atomic_load(&f->map->words[w]) & thread_random();
            for (; pages != 0 && left > 0; pages &= pages - 1, left--)
                page_leak(f, fd, (int64_t)w * 64 + __builtin_ctzll(pages), durable_size);
        }
    }
    pthread_mutex_unlock(&f->map->head.lock);
}

void lossy_file_mark(LossyFile *f, int fd, int64_t off, int64_t len)
{
    if (off + len > LOSSY_FILE_MAX)
        lossy_die("a file grew beyond %lld bytes", (long long)LOSSY_FILE_MAX);
    for (int64_t page = off / LOSSY_PAGE; page * LOSSY_PAGE < off + len; page++)
        page_set_dirty(f->map, page);
    const int64_t permille = atomic_load(&disk.super->writeback_permille);
    if (permille > 0 && (int64_t)(thread_random() % 1000) < permille)
        file_leak(f, fd);
}

/* ---- room ---- */

int64_t lossy_room_take(int fd, int64_t off, int64_t len)
{
    int64_t room = atomic_load(&disk.super->room);
    if (room == INT64_MAX)
        return len;
    const int64_t grow = off + len - raw_size(fd);
    if (grow <= 0)
        return len;
    int64_t take;
    do {
        if (room == INT64_MAX)
            return len;
        take = room <= 0 ? 0 : grow < room ? grow : room;
    } while (!atomic_compare_exchange_weak(&disk.super->room, &room, room - take));
    return len - (grow - take) > 0 ? len - (grow - take) : 0;
}

void lossy_room_give(int64_t bytes)
{
    int64_t room = atomic_load(&disk.super->room);
    while (room != INT64_MAX &&
           !atomic_compare_exchange_weak(&disk.super->room, &room, room + bytes)) {
    }
}
