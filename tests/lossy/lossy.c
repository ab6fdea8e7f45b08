/*
 * tests/lossy/lossy.c -- liblossy.so: the calls a program makes to the folder LOSSY_DIR, watched.
 *
 * Preload it with LOSSY_DIR=folder and, when it is not folder.platter, LOSSY_PLATTER=folder; run
 * `lossy-disk format` first.  LOSSY_DROP_SYNC=1 makes every sync a lie, LOSSY_DROP_ONLY='*-wal' those
 * of matching paths; LOSSY_FAIL_ONLY='*.db' lets fail_sync hit these only.  lossy_disk.h says what the
 * disk promises; README.md says how to use it and what it cannot see.
 *
 * Each call does the real thing on the real file and then notes it.  Real syncs are never made: the
 * page cache outlives a SIGKILL, and what counts as durable is the platter.  System calls are raw,
 * so that no wrapper meets another one; syscall() takes longs, a bare int must not stand for one.
 * Threads:  any.
 */
#undef _FILE_OFFSET_BITS /* else each call and its 64 twin would be one name */
#include "lossy_place.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/close_range.h>
#include <linux/falloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

_Static_assert(sizeof(off_t) == 8, "each call and its 64 twin take the same arguments");

enum { FDS_MAX = 65536 };

static _Atomic(LossyFile *) files[FDS_MAX];

/* ---- which descriptors and paths are ours ---- */

static LossyFile *file_of(int fd)
{
    if (fd < 0 || fd >= FDS_MAX)
        return NULL;
    return atomic_load_explicit(&files[fd], memory_order_acquire);
}

static void file_set(int fd, LossyFile *f)
{
    if (fd < 0 || fd >= FDS_MAX) {
        if (f != NULL)
            lossy_die("descriptor %d is too large", fd);
        return;
    }
    LossyFile *old = atomic_exchange(&files[fd], f);
    if (old != NULL)
        lossy_file_release(old);
}

static void file_share(int fd, LossyFile *f)
{
    if (f != NULL)
        atomic_fetch_add(&f->refs, 1);
    file_set(fd, f);
}

/* Whether the pattern in the environment names this path; `otherwise` when there is none. */
static bool path_matches(const char *variable, const char *path, bool otherwise)
{
    const char *pattern = getenv(variable);
    if (pattern == NULL || pattern[0] == '\0')
        return otherwise;
    return fnmatch(pattern, path, 0) == 0;
}

/* The file behind `fd` when it is ours (a new reference), else NULL.  `fd` must be readable. */
static LossyFile *fd_file(int fd, int flags)
{
    char path[LOSSY_PATH_MAX];
    struct stat st;
    if (!lossy_fd_path(fd, path) || fstat(fd, &st) != 0 ||
        !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
        return NULL;
    const bool is_dir = S_ISDIR(st.st_mode);
    uint64_t id = lossy_id_of_fd(fd);
    if (id == 0)
        id = lossy_fd_adopt(fd, path, is_dir);
    LossyFile *f = lossy_file_open(id, is_dir);
    const size_t len = strnlen(path, sizeof path);
    f->drops = path_matches("LOSSY_DROP_ONLY", path, false);
    f->fails = path_matches("LOSSY_FAIL_ONLY", path, true);
    f->shm = len > 4 && memcmp(path + len - 4, "-shm", 4) == 0;
    f->dsync = (flags & O_DSYNC) != 0;
    f->append = (flags & O_APPEND) != 0;
    atomic_store(&f->direct, (flags & O_DIRECT) != 0);
    return f;
}

/* ---- open ---- */

/* Opens in the folder of `place`, noting a creation.  Returns the descriptor or -1. */
static int place_open(const Place *place, int flags, mode_t mode)
{
    if ((flags & O_CREAT) == 0)
        return lossy_raw_open(place->dirfd, place->name, flags, 0);
    const int plain = flags & ~(O_CREAT | O_EXCL);
    int fd = -1;
    lossy_names_lock();
    errno = ENOENT;
    if ((flags & O_EXCL) == 0)
        fd = lossy_raw_open(place->dirfd, place->name, plain, 0);
    if (fd < 0 && errno == ENOENT) {
        fd = lossy_raw_open(place->dirfd, place->name, plain | O_CREAT | O_EXCL, mode);
        if (fd >= 0)
            lossy_place_created(place, fd, false);
    }
    const int e = errno;
    lossy_names_unlock();
    errno = e;
    return fd;
}

static int open_inside(const Place *place, int flags, mode_t mode)
{
    /* A sync reads through the program's own descriptor, so it must be readable, and not O_DIRECT, of which we
     * keep the rules; truncation must be noted, and O_DSYNC is kept by us. */
    int real = flags & ~(O_TRUNC | O_DIRECT | O_SYNC | O_DSYNC);
    if ((flags & O_ACCMODE) == O_WRONLY)
        real = (real & ~O_ACCMODE) | O_RDWR;
    const int fd = place_open(place, real, mode);
    if (fd < 0)
        return -1;
    LossyFile *f = fd_file(fd, flags);
    file_share(fd, f);
    if (f != NULL)
        lossy_file_release(f);
    if ((flags & O_TRUNC) == 0)
        return fd;
    const int done =
        f != NULL ? lossy_file_truncate(f, fd, 0) : (int)syscall(SYS_ftruncate, fd, 0L);
    if (done == 0 || f == NULL) /* a device or a pipe ignores O_TRUNC */
        return fd;
    file_set(fd, NULL);
    lossy_raw_close(fd);
    return -1;
}

static int open_any(int dirfd, const char *path, int flags, mode_t mode)
{
    if (lossy_super == NULL || (flags & O_PATH) != 0)
        return lossy_raw_open(dirfd, path, flags, mode);
    const bool nameless = (flags & O_TMPFILE) == O_TMPFILE;
    const bool changes = (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC)) != 0;
    Place place;
    if (changes && !nameless && lossy_place_find(dirfd, path, &place)) {
        const int fd = open_inside(&place, flags, mode);
        lossy_raw_close(place.dirfd);
        return fd;
    }
    const int fd = lossy_raw_open(dirfd, path, flags, mode);
    if (fd < 0)
        return -1;
    LossyFile *f = fd_file(fd, flags);
    if (f != NULL && nameless) {
        lossy_file_release(f);
        lossy_raw_close(fd);
        errno = EOPNOTSUPP; /* as on file systems without O_TMPFILE */
        return -1;
    }
    if (f != NULL && changes)
        lossy_die("%s is opened for writing through a symbolic link from outside", path);
    file_set(fd, f);
    return fd;
}

static bool wants_mode(int flags)
{
    return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
}

#define OPEN_BODY(dirfd)                                                                           \
    mode_t mode = 0;                                                                               \
    if (wants_mode(flags)) {                                                                       \
        va_list args;                                                                              \
        va_start(args, flags);                                                                     \
        mode = va_arg(args, mode_t);                                                               \
        va_end(args);                                                                              \
    }                                                                                              \
    return open_any(dirfd, path, flags, mode)

int open(const char *path, int flags, ...)
{
    OPEN_BODY(AT_FDCWD);
}

int open64(const char *path, int flags, ...)
{
    OPEN_BODY(AT_FDCWD);
}

int openat(int dirfd, const char *path, int flags, ...)
{
    OPEN_BODY(dirfd);
}

int openat64(int dirfd, const char *path, int flags, ...)
{
    OPEN_BODY(dirfd);
}

int creat(const char *path, mode_t mode)
{
    return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int creat64(const char *path, mode_t mode)
{
    return creat(path, mode);
}

/* What -D_FORTIFY_SOURCE makes of open without a mode. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags);
int __openat64_2(int dirfd, const char *path, int flags);

int __open_2(const char *path, int flags)
{
    return open_any(AT_FDCWD, path, flags, 0);
}

int __open64_2(const char *path, int flags)
{
    return open_any(AT_FDCWD, path, flags, 0);
}

int __openat_2(int dirfd, const char *path, int flags)
{
    return open_any(dirfd, path, flags, 0);
}

int __openat64_2(int dirfd, const char *path, int flags)
{
    return open_any(dirfd, path, flags, 0);
}

/* ---- close and duplicates ---- */

int close(int fd)
{
    file_set(fd, NULL); /* first: the number may be another file's the moment it is free */
    return (int)syscall(SYS_close, fd);
}

int close_range(unsigned first, unsigned last, int flags)
{
    if (((unsigned)flags & CLOSE_RANGE_CLOEXEC) == 0) {
        for (unsigned fd = first; fd <= last && fd < FDS_MAX; fd++)
            file_set((int)fd, NULL);
    }
    return (int)syscall(SYS_close_range, first, last, flags);
}

int dup(int fd)
{
    const int copy = (int)syscall(SYS_dup, fd);
    if (copy >= 0)
        file_share(copy, file_of(fd));
    return copy;
}

int dup3(int fd, int to, int flags)
{
    const int copy = (int)syscall(SYS_dup3, fd, to, flags);
    if (copy >= 0)
        file_share(copy, file_of(fd));
    return copy;
}

int dup2(int fd, int to)
{
    if (fd == to)
        return (int)syscall(SYS_fcntl, fd, F_GETFD) < 0 ? -1 : to;
    return dup3(fd, to, 0);
}

static int fcntl_any(int fd, int command, void *arg)
{
    LossyFile *f = file_of(fd);
    if (f != NULL && command == F_SETFL) {
        const uintptr_t flags = (uintptr_t)arg;
        atomic_store(&f->direct, (flags & O_DIRECT) != 0);
        arg = (void *)(flags & ~(uintptr_t)O_DIRECT);
    }
    const int result = (int)syscall(SYS_fcntl, fd, command, arg);
    if (f != NULL && command == F_GETFL && result >= 0 && atomic_load(&f->direct))
        return result | O_DIRECT;
    if (result >= 0 && (command == F_DUPFD || command == F_DUPFD_CLOEXEC))
        file_share(result, file_of(fd));
    return result;
}

#define FCNTL_BODY                                                                                 \
    va_list args;                                                                                  \
    va_start(args, command);                                                                       \
    void *arg = va_arg(args, void *);                                                              \
    va_end(args);                                                                                  \
    return fcntl_any(fd, command, arg)

int fcntl(int fd, int command, ...)
{
    FCNTL_BODY;
}

int fcntl64(int fd, int command, ...)
{
    FCNTL_BODY;
}

/* stdio and dirent close with the C library's own close, which we do not see: our note of the
 * number must go first, and what stdio writes to a descriptor of ours cannot be followed. */
FILE *fdopen(int fd, const char *mode)
{
    static FILE *(*next)(int, const char *);
    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "fdopen");
    LossyFile *f = file_of(fd);
    if (f != NULL)
        atomic_store(&f->untracked, true);
    return next(fd, mode);
}

int fclose(FILE *stream)
{
    static int (*next)(FILE *);
    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "fclose");
    file_set(fileno(stream), NULL);
    return next(stream);
}

int closedir(DIR *dir)
{
    static int (*next)(DIR *);
    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "closedir");
    file_set(dirfd(dir), NULL);
    return next(dir);
}

/* ---- writes ---- */

static int64_t fd_size(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? st.st_size : 0;
}

static bool room_limited(void)
{
    return atomic_load_explicit(&lossy_super->room, memory_order_relaxed) != INT64_MAX;
}

/* Notes `n` bytes written at `off`; returns `n`, or -1 when an O_DSYNC write was not synced. */
static ssize_t wrote(LossyFile *f, int fd, int64_t off, ssize_t n, bool sync)
{
    if (n <= 0)
        return n;
    lossy_file_mark(f, fd, off, n);
    if ((sync || f->dsync) && lossy_file_sync(f, fd) != 0)
        return -1;
    return n;
}

/* Cuts `iov` (a copy is made in `cut` when needed) to what the disk has room for.  Returns the
 * count to write, 0 with errno ENOSPC when there is no room at all. */
static int room_cut(int fd, int64_t off, const struct iovec **iov, int count, struct iovec *cut)
{
    int64_t len = 0;
    for (int i = 0; i < count; i++)
        len += (int64_t)(*iov)[i].iov_len;
    const int64_t room = lossy_room_take(fd, off, len);
    if (room == len)
        return count;
    /* A short write of the first piece, or of as much of it as fits: any length is allowed. */
    *cut = (*iov)[0];
    if ((int64_t)cut->iov_len > room)
        cut->iov_len = (size_t)room;
    *iov = cut;
    errno = ENOSPC;
    return cut->iov_len > 0 ? 1 : 0;
}

/* Past the page cache a disk takes whole blocks from addresses of blocks only. */
static bool may_write(LossyFile *f, const struct iovec *iov, int count, int64_t off)
{
    enum { BLOCK = 4096 };
    uint64_t bits = (uint64_t)off;
    for (int i = 0; i < count; i++)
        bits |= (uintptr_t)iov[i].iov_base | iov[i].iov_len;
    if (!atomic_load(&f->direct) || bits % BLOCK == 0)
        return true;
    errno = EINVAL;
    return false;
}

/* A write at the descriptor's own offset, or at the end with O_APPEND. */
static ssize_t write_here(LossyFile *f, int fd, const struct iovec *iov, int count)
{
    struct iovec cut;
    if (!may_write(f, iov, count,
                   atomic_load(&f->direct) ? syscall(SYS_lseek, fd, 0L, SEEK_CUR) : 0))
        return -1;
    pthread_mutex_lock(&f->cursor);
    if (room_limited()) {
        const int64_t off = f->append ? fd_size(fd) : syscall(SYS_lseek, fd, 0L, SEEK_CUR);
        count = room_cut(fd, off, &iov, count, &cut);
    }
    const ssize_t n = count == 0 ? -1 : syscall(SYS_writev, fd, iov, (long)count);
    const int64_t end = n > 0 ? syscall(SYS_lseek, fd, 0L, SEEK_CUR) : 0;
    pthread_mutex_unlock(&f->cursor);
    return wrote(f, fd, end - n, n, false);
}

static ssize_t write_there(LossyFile *f, int fd, const struct iovec *iov, int count, off_t off,
                           int flags)
{
    struct iovec cut;
    if (!may_write(f, iov, count, off))
        return -1;
    /* Linux appends whatever the offset says; the old end is where it began at the earliest. */
    const int64_t from = f->append ? fd_size(fd) : off;
    if (room_limited())
        count = room_cut(fd, from, &iov, count, &cut);
    const ssize_t n = count == 0 ? -1 : syscall(SYS_pwritev2, fd, iov, (long)count, off, 0L, flags);
    if (n > 0 && f->append)
        lossy_file_mark(f, fd, from, fd_size(fd) - from);
    return wrote(f, fd, from, n, (flags & (RWF_DSYNC | RWF_SYNC)) != 0);
}

ssize_t write(int fd, const void *data, size_t len)
{
    LossyFile *f = file_of(fd);
    if (f == NULL || len == 0)
        return syscall(SYS_write, fd, data, len);
    const struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    return write_here(f, fd, &iov, 1);
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
    LossyFile *f = file_of(fd);
    if (f == NULL || count <= 0)
        return syscall(SYS_writev, fd, iov, (long)count);
    return write_here(f, fd, iov, count);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t off)
{
    LossyFile *f = file_of(fd);
    if (f == NULL || len == 0 || off < 0)
        return syscall(SYS_pwrite64, fd, data, len, off);
    const struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    return write_there(f, fd, &iov, 1, off, 0);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t off)
{
    return pwrite64(fd, data, len, off);
}

ssize_t pwritev64v2(int fd, const struct iovec *iov, int count, off64_t off, int flags)
{
    LossyFile *f = file_of(fd);
    if (f != NULL && off == -1 && count > 0 && flags == 0)
        return write_here(f, fd, iov, count);
    if (f == NULL || count <= 0 || off < 0)
        return syscall(SYS_pwritev2, fd, iov, (long)count, off, 0L, flags);
    return write_there(f, fd, iov, count, off, flags);
}

ssize_t pwritev2(int fd, const struct iovec *iov, int count, off_t off, int flags)
{
    return pwritev64v2(fd, iov, count, off, flags);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int count, off64_t off)
{
    return pwritev64v2(fd, iov, count, off, 0);
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t off)
{
    return pwritev64v2(fd, iov, count, off, 0);
}

/* Kernel copies into a file of ours: the program falls back to write when told so, as on file
 * systems that cannot do it. */
ssize_t copy_file_range(int in, off64_t *in_off, int out, off64_t *out_off, size_t len,
                        unsigned flags)
{
    if (file_of(out) == NULL)
        return syscall(SYS_copy_file_range, in, in_off, out, out_off, len, flags);
    errno = EXDEV;
    return -1;
}

ssize_t splice(int in, off64_t *in_off, int out, off64_t *out_off, size_t len, unsigned flags)
{
    if (file_of(out) == NULL)
        return syscall(SYS_splice, in, in_off, out, out_off, len, flags);
    errno = EINVAL;
    return -1;
}

ssize_t sendfile64(int out, int in, off64_t *off, size_t len)
{
    if (file_of(out) == NULL)
        return syscall(SYS_sendfile, out, in, off, len);
    errno = EINVAL;
    return -1;
}

ssize_t sendfile(int out, int in, off_t *off, size_t len)
{
    return sendfile64(out, in, off, len);
}

/* ---- sizes ---- */

int ftruncate64(int fd, off64_t size)
{
    LossyFile *f = file_of(fd);
    if (f == NULL || f->is_dir || size < 0)
        return (int)syscall(SYS_ftruncate, fd, size);
    return lossy_file_truncate(f, fd, size);
}

int ftruncate(int fd, off_t size)
{
    return ftruncate64(fd, size);
}

int truncate64(const char *path, off64_t size)
{
    if (lossy_super == NULL)
        return (int)syscall(SYS_truncate, path, size);
    const int fd = open_any(AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    const int result = ftruncate64(fd, size);
    file_set(fd, NULL);
    lossy_raw_close(fd);
    return result;
}

int truncate(const char *path, off_t size)
{
    return truncate64(path, size);
}

int fallocate64(int fd, int mode, off64_t off, off64_t len)
{
    LossyFile *f = file_of(fd);
    if (f == NULL || off < 0 || len <= 0)
        return (int)syscall(SYS_fallocate, fd, mode, off, len);
    const int zeroing = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
    if ((mode & ~(zeroing | FALLOC_FL_KEEP_SIZE)) != 0) {
        errno = EOPNOTSUPP;
        return -1;
    }
    const bool grows = (mode & FALLOC_FL_KEEP_SIZE) == 0;
    if (grows && room_limited() && lossy_room_take(fd, off, len) < len) {
        errno = ENOSPC;
        return -1;
    }
    const int result = (int)syscall(SYS_fallocate, fd, mode, off, len);
    if (result == 0 && (mode & zeroing) != 0)
        lossy_file_mark(f, fd, off, len);
    return result;
}

int fallocate(int fd, int mode, off_t off, off_t len)
{
    return fallocate64(fd, mode, off, len);
}

int posix_fallocate64(int fd, off64_t off, off64_t len)
{
    const int before = errno;
    const int result = fallocate64(fd, 0, off, len) == 0 ? 0 : errno;
    errno = before;
    return result;
}

int posix_fallocate(int fd, off_t off, off_t len)
{
    return posix_fallocate64(fd, off, len);
}

/* ---- syncs ---- */

/* A descriptor we did not see opened (stdio, mkstemp, inherited): all of its file is synced. */
static int unseen_sync(int fd, bool data_only)
{
    char path[LOSSY_PATH_MAX];
    if (lossy_super == NULL || !lossy_fd_path(fd, path))
        return (int)syscall(data_only ? SYS_fdatasync : SYS_fsync, fd);
    char link[LOSSY_PROC_PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const int readable = lossy_raw_open(AT_FDCWD, link, O_RDONLY | O_CLOEXEC, 0);
    LossyFile *f = readable < 0 ? NULL : fd_file(readable, 0);
    if (f == NULL)
        lossy_die("cannot sync %s", path);
    atomic_store(&f->untracked, true);
    const int result = lossy_file_sync(f, readable);
    lossy_file_release(f);
    lossy_raw_close(readable);
    return result;
}

int fsync(int fd)
{
    LossyFile *f = file_of(fd);
    return f == NULL ? unseen_sync(fd, false) : lossy_file_sync(f, fd);
}

int fdatasync(int fd)
{
    LossyFile *f = file_of(fd);
    return f == NULL ? unseen_sync(fd, true) : lossy_file_sync(f, fd);
}

/* Starts writeback and promises nothing, least of all the size. */
int sync_file_range(int fd, off64_t off, off64_t len, unsigned flags)
{
    if (file_of(fd) == NULL)
        return (int)syscall(SYS_sync_file_range, fd, off, len, flags);
    return 0;
}

/* Harsher than Linux: a server that relied on it would wait for the whole machine. */
int syncfs(int fd)
{
    return file_of(fd) == NULL ? (int)syscall(SYS_syncfs, fd) : 0;
}

void *mmap64(void *at, size_t len, int prot, int flags, int fd, off64_t off)
{
    const LossyFile *f = file_of(fd);
    const bool shared = (flags & MAP_TYPE) != MAP_PRIVATE;
    if (f != NULL && shared && (prot & PROT_WRITE) != 0 && !f->shm &&
        (flags & MAP_ANONYMOUS) == 0) {
        static const char text[] = "lossy: a writable shared map of a durable file is refused\n";
        (void)syscall(SYS_write, 2, text, sizeof text - 1);
        errno = EACCES;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, at, len, prot, flags, fd, off); /* NOLINT */
}

void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t off)
{
    return mmap64(at, len, prot, flags, fd, off);
}
