/*
 * base/file.c -- the disk calls behind base/file.h, but those of maps.
 */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    ZERO_PIECE_BYTES = 65536,
    DIRECT_PIECE_BYTES = 1 << 20,
    HUGE_BYTES = 2 << 20, /* a huge page */
    DIRECT_ALIGN = 4096,
    LIST_FIRST = 64
};

static const Str TEMP_SUFFIX = {".tmp", 4};

typedef struct Path {
    char c[FILE_PATH_BYTES_MAX + FILE_NAME_BYTES_MAX + 2];
} Path;

static Err fail_errno(Ctx *ctx, int error, const char *call, const char *what)
{
    if (error == ENOENT)
        return fail(ctx, ERR_NOT_FOUND, "file.missing", "%s %s", call, what);
    const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
    return fail(ctx, full ? ERR_BUSY : ERR_INTERNAL, full ? "disk.full" : "disk.failed",
                "%s %s: errno %d", call, what, error);
}

static Err fail_fd(Ctx *ctx, int error, const char *call, File file)
{
    char what[24];
    (void)snprintf(what, sizeof what, "fd %d", file.fd);
    return fail_errno(ctx, error, call, what);
}

static bool name_is_good(Str name)
{
    if (name.len == 0 || name.len > FILE_NAME_BYTES_MAX || name.ptr[0] == '.')
        return false;
    for (size_t i = 0; i < name.len; i++) {
        const char c = name.ptr[i];
        const bool alnum =
            (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

static Err make_path(Ctx *ctx, Str folder, Str name, Path *out)
{
    if (!name_is_good(name))
        return fail(ctx, ERR_INVALID, "file.name", "a name of %zu bytes", name.len);
    if (folder.len == 0 || folder.len > FILE_PATH_BYTES_MAX ||
        !str_to_c(folder, out->c, sizeof out->c))
        return fail(ctx, ERR_INVALID, "file.name", "a folder of %zu bytes", folder.len);
    out->c[folder.len] = '/';
    CHECK(str_to_c(name, out->c + folder.len + 1, sizeof out->c - folder.len - 1));
    return ERR_OK;
}

/* open() that is not disturbed by signals. */
static int open_again(const char *path, int flags)
{
    int fd;
    do
        fd = open(path, flags | O_CLOEXEC, 0600);
    while (fd < 0 && errno == EINTR);
    return fd;
}

Err file_open(Ctx *ctx, Str folder, Str name, FileMode mode, File *out)
{
    static const int FLAGS[] = {[FILE_READ] = O_RDONLY,
                                [FILE_WRITE] = O_RDWR | O_CREAT,
                                [FILE_CREATE] = O_RDWR | O_CREAT | O_TRUNC};
    Path path;
    TRY(make_path(ctx, folder, name, &path));
    const int fd = open_again(path.c, FLAGS[mode]);
    if (fd < 0)
        return fail_errno(ctx, errno, "open", path.c);
    out->fd = fd;
    return ERR_OK;
}

void file_close(File *file)
{
    if (file->fd >= 0)
        (void)close(file->fd); /* what must be on disk was synced before */
    *file = FILE_NONE;
}

Err file_open_locked(Ctx *ctx, Str folder, Str name, File *out)
{
    File file;
    TRY(file_open(ctx, folder, name, FILE_WRITE, &file));
    if (flock(file.fd, LOCK_EX | LOCK_NB) != 0) {
        const int error = errno;
        file_close(&file);
        if (error == EWOULDBLOCK)
            return fail(ctx, ERR_CONFLICT, "file.locked", "%.*s", STR_ARG(name));
        return fail_errno(ctx, error, "flock", "file");
    }
    *out = file;
    return ERR_OK;
}

Err file_size(Ctx *ctx, File file, int64_t *bytes)
{
    struct stat st;
    if (fstat(file.fd, &st) != 0)
        return fail_fd(ctx, errno, "fstat", file);
    *bytes = st.st_size;
    return ERR_OK;
}

Err file_read_at(Ctx *ctx, File file, int64_t at, char *dst, size_t n, size_t *got)
{
    size_t have = 0;
    while (have < n) {
        const ssize_t r = pread(file.fd, dst + have, n - have, at + (int64_t)have);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return fail_fd(ctx, errno, "pread", file);
        if (r == 0)
            break;
        have += (size_t)r;
    }
    *got = have;
    return ERR_OK;
}

Err file_write_at(Ctx *ctx, File file, int64_t at, Str data)
{
    for (size_t done = 0; done < data.len;) {
        const ssize_t w = pwrite(file.fd, data.ptr + done, data.len - done, at + (int64_t)done);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return fail_fd(ctx, w == 0 ? ENOSPC : errno, "pwrite", file);
        done += (size_t)w;
    }
    return ERR_OK;
}

Err file_write_pieces(Ctx *ctx, File file, int64_t at, const Str *pieces, size_t count)
{
    struct iovec left[FILE_PIECES_MAX], *next = left;
    CHECK(count <= ARRAY_LEN(left));
    for (size_t i = 0; i < count; i++)
        left[i] = (struct iovec){(void *)(uintptr_t)pieces[i].ptr, pieces[i].len};
    while (count > 0) {
        const ssize_t w = pwritev(file.fd, next, (int)count, at);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return fail_fd(ctx, w == 0 ? ENOSPC : errno, "pwritev", file);
        size_t done = (size_t)w;
        at += w;
        for (; count > 0 && done >= next->iov_len; next++, count--)
            done -= next->iov_len;
        if (count > 0)
            *next = (struct iovec){(char *)next->iov_base + done, next->iov_len - done};
    }
    return ERR_OK;
}

Err file_write_zeros(Ctx *ctx, File file, int64_t from, int64_t to)
{
    static const char zeros[ZERO_PIECE_BYTES];
    while (from < to) {
        const int64_t in_piece = ZERO_PIECE_BYTES - from % ZERO_PIECE_BYTES;
        const int64_t n = to - from < in_piece ? to - from : in_piece;
        TRY(file_write_at(ctx, file, from, (Str){zeros, (size_t)n}));
        from += n;
    }
    return ERR_OK;
}

/* What is written past the page cache: whole pieces from memory at a page of its own.  With `from` they are copied there
 * before, without it the piece is what is written, each time. */
typedef struct Direct {
    char *piece; /* DIRECT_PIECE_BYTES */
    const char *from;
} Direct;

/* As many bytes as the rules of such writing let through: *end is behind them. */
static Err write_directly(Ctx *ctx, File file, Direct d, int64_t bytes, int64_t *end)
{
    while (bytes - *end >= DIRECT_ALIGN) {
        const int64_t left = bytes - *end < DIRECT_PIECE_BYTES ? bytes - *end : DIRECT_PIECE_BYTES;
        const size_t n = (size_t)left / DIRECT_ALIGN * DIRECT_ALIGN;
        if (d.from != NULL)
            memcpy(d.piece, d.from + *end, n);
        const ssize_t w = pwrite(file.fd, d.piece, n, *end);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0 && errno == EINVAL) /* a disk with larger blocks */
            return ERR_OK;
        if (w <= 0)
            return fail_fd(ctx, w == 0 ? ENOSPC : errno, "pwrite", file);
        *end += w;
    }
    return ERR_OK;
}

/* Of a new file, when it was opened so; what is left goes through the page cache. */
static Err write_past_cache(Ctx *ctx, File file, Direct d, int64_t bytes, int64_t *end)
{
    *end = 0;
    const int flags = fcntl(file.fd, F_GETFL);
    if (flags < 0)
        return fail_fd(ctx, errno, "fcntl", file);
    if ((flags & O_DIRECT) != 0)
        TRY(write_directly(ctx, file, d, bytes, end));
    if (fcntl(file.fd, F_SETFL, flags & ~O_DIRECT) != 0)
        return fail_fd(ctx, errno, "fcntl", file);
    return ERR_OK;
}

/* Of the zeros in a map of its own.  Without memory for that nothing is written here. */
static Err write_zeros_past_cache(Ctx *ctx, File file, int64_t bytes, int64_t *end)
{
    const size_t room = 2 * HUGE_BYTES;
    char *map = mmap(NULL, room, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return write_past_cache(ctx, file, (Direct){NULL, NULL}, 0, end);
    char *zeros = map + (HUGE_BYTES - (uintptr_t)map % HUGE_BYTES);
    (void)madvise(zeros, HUGE_BYTES,
                  MADV_HUGEPAGE); /* the kernel has one page of zeros that large */
    const Err err = write_past_cache(ctx, file, (Direct){zeros, NULL}, bytes, end);
    (void)munmap(map, room);
    return err;
}

static Err write_zeros_and_sync(Ctx *ctx, File file, int64_t bytes)
{
    int64_t end = 0;
    TRY(write_zeros_past_cache(ctx, file, bytes, &end));
    TRY(file_write_zeros(ctx, file, end, bytes));
    return file_sync(ctx, file);
}

/* A new file, to be written past the page cache where there is a way. */
static Err open_past_cache(Ctx *ctx, Str folder, Str name, File *out)
{
    Path path;
    TRY(make_path(ctx, folder, name, &path));
    out->fd = open_again(path.c, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT);
    if (out->fd < 0 && errno == EINVAL) /* a file system that is nothing but page cache */
        out->fd = open_again(path.c, O_RDWR | O_CREAT | O_TRUNC);
    return out->fd < 0 ? fail_errno(ctx, errno, "open", path.c) : ERR_OK;
}

Err file_create_zeros(Ctx *ctx, Str folder, Str name, int64_t bytes)
{
    File file;
    TRY(open_past_cache(ctx, folder, name, &file));
    const Err err = write_zeros_and_sync(ctx, file, bytes);
    file_close(&file);
    return err;
}

Err file_truncate(Ctx *ctx, File file, int64_t bytes)
{
    int r;
    do
        r = ftruncate(file.fd, bytes);
    while (r != 0 && errno == EINTR);
    return r == 0 ? ERR_OK : fail_fd(ctx, errno, "ftruncate", file);
}

Err file_sync(Ctx *ctx, File file)
{
    int r;
    do
        r = fdatasync(file.fd);
    while (r != 0 && errno == EINTR);
    return r == 0 ? ERR_OK : fail_fd(ctx, errno, "fdatasync", file);
}

static Err sync_folder(Ctx *ctx, const char *path)
{
    const int fd = open_again(path, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return fail_errno(ctx, errno, "open", path);
    int r;
    do
        r = fsync(fd);
    while (r != 0 && errno == EINTR);
    const int error = errno;
    (void)close(fd);
    return r == 0 ? ERR_OK : fail_errno(ctx, error, "fsync", path);
}

Err file_sync_folder(Ctx *ctx, Str folder)
{
    char path[FILE_PATH_BYTES_MAX + 1];
    if (!str_to_c(folder, path, sizeof path))
        return fail(ctx, ERR_INVALID, "file.name", "a folder of %zu bytes", folder.len);
    return sync_folder(ctx, path);
}

/* Ends at *end bytes of it, of which the rest is still to be written. */
static Err write_large(Ctx *ctx, File file, Str content, int64_t *end)
{
    char *piece = aligned_alloc(DIRECT_ALIGN, DIRECT_PIECE_BYTES);
    CHECK(piece != NULL);
    const Direct d = {piece, content.ptr};
    const Err err = write_past_cache(ctx, file, d, (int64_t)content.len, end);
    free(piece);
    return err;
}

/* Writes and syncs a file of its own; not yet under its final name. */
static Err write_whole(Ctx *ctx, Str folder, Str name, Str content)
{
    File file = {.fd = -1};
    int64_t end = 0;
    const bool large = content.len >= DIRECT_PIECE_BYTES;
    TRY(large ? open_past_cache(ctx, folder, name, &file)
              : file_open(ctx, folder, name, FILE_CREATE, &file));
    Err err = large ? write_large(ctx, file, content, &end) : ERR_OK;
    if (err == ERR_OK)
        err = file_write_at(ctx, file, end, str_slice(content, (size_t)end, content.len));
    if (err == ERR_OK)
        err = file_sync(ctx, file);
    file_close(&file);
    return err;
}

Err file_replace(Ctx *ctx, Str folder, Str name, Str content)
{
    char temp_bytes[FILE_NAME_BYTES_MAX + 1];
    const int len =
        snprintf(temp_bytes, sizeof temp_bytes, "%.*s%.*s", STR_ARG(name), STR_ARG(TEMP_SUFFIX));
    if (len < 0 || (size_t)len >= sizeof temp_bytes)
        return fail(ctx, ERR_INVALID, "file.name", "a name of %zu bytes", name.len);
    const Str temp = {temp_bytes, (size_t)len};
    const Err err = write_whole(ctx, folder, temp, content);
    if (err != ERR_OK) {
        const Fault first = ctx->fault;
        if (file_remove(ctx, folder, temp) != ERR_OK) {
            /* the first failure is the one to tell; an old temporary file does no harm */
        }
        ctx->fault = first;
        return err;
    }
    return file_rename(ctx, folder, temp, name);
}

Err file_load(Ctx *ctx, Str folder, Str name, size_t bytes_max, Str *out)
{
    File file;
    TRY(file_open(ctx, folder, name, FILE_READ, &file));
    int64_t bytes = 0;
    Err err = file_size(ctx, file, &bytes);
    if (err == ERR_OK && (uint64_t)bytes > bytes_max)
        err = fail(ctx, ERR_TOO_LARGE, "file.too_large", "%" PRId64 " bytes", bytes);
    if (err == ERR_OK) {
        char *content = arena_bytes(ctx->arena, (size_t)bytes + 1);
        size_t got = 0;
        err = file_read_at(ctx, file, 0, content, (size_t)bytes, &got);
        *out = (Str){content, got};
    }
    file_close(&file);
    return err;
}

Err file_rename(Ctx *ctx, Str folder, Str from, Str to)
{
    Path a, b;
    TRY(make_path(ctx, folder, from, &a));
    TRY(make_path(ctx, folder, to, &b));
    if (rename(a.c, b.c) != 0)
        return fail_errno(ctx, errno, "rename", a.c);
    return file_sync_folder(ctx, folder);
}

Err file_remove(Ctx *ctx, Str folder, Str name)
{
    Path path;
    TRY(make_path(ctx, folder, name, &path));
    if (unlink(path.c) != 0 && errno != ENOENT)
        return fail_errno(ctx, errno, "unlink", path.c);
    return ERR_OK;
}

/* Makes the folder that `path` names up to byte `end`; its parent is there. */
static Err make_one_folder(Ctx *ctx, char *path, size_t end, size_t parent_end)
{
    const char kept = path[end];
    path[end] = '\0';
    const int r = mkdir(path, 0700);
    const int error = errno;
    path[end] = kept;
    if (r != 0)
        return error == EEXIST ? ERR_OK : fail_errno(ctx, error, "mkdir", path);
    const Str parent =
        parent_end == 0 ? (path[0] == '/' ? STR("/") : STR(".")) : (Str){path, parent_end};
    return file_sync_folder(ctx, parent);
}

Err file_make_folder(Ctx *ctx, Str folder)
{
    char path[FILE_PATH_BYTES_MAX + 1];
    if (folder.len == 0 || !str_to_c(folder, path, sizeof path))
        return fail(ctx, ERR_INVALID, "file.name", "a folder of %zu bytes", folder.len);
    size_t parent_end = 0;
    for (size_t end = 1; end <= folder.len; end++) {
        if (path[end] != '/' && path[end] != '\0')
            continue;
        TRY(make_one_folder(ctx, path, end, parent_end));
        parent_end = end;
    }
    return ERR_OK;
}

static int compare_names(const void *a, const void *b)
{
    return str_compare(*(const Str *)a, *(const Str *)b);
}

static void add_name(Ctx *ctx, Str name, Str **names, size_t *count, size_t *cap)
{
    if (*count == *cap) {
        *cap *= 2;
        Str *wider = ARENA_ARRAY(ctx->arena, Str, *cap);
        memcpy(wider, *names, *count * sizeof **names);
        *names = wider;
    }
    (*names)[(*count)++] = arena_copy(ctx->arena, name);
}

Err file_list(Ctx *ctx, Str folder, Str **names, size_t *count)
{
    char path[FILE_PATH_BYTES_MAX + 1];
    if (!str_to_c(folder, path, sizeof path))
        return fail(ctx, ERR_INVALID, "file.name", "a folder of %zu bytes", folder.len);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return fail_errno(ctx, errno, "opendir", path);
    size_t n = 0, cap = LIST_FIRST;
    Str *list = ARENA_ARRAY(ctx->arena, Str, cap);
    errno = 0;
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        const Str name = str_of(e->d_name);
        if ((e->d_type == DT_REG || e->d_type == DT_UNKNOWN) && name_is_good(name))
            add_name(ctx, name, &list, &n, &cap);
        errno = 0;
    }
    const int error = errno;
    (void)closedir(dir);
    if (error != 0)
        return fail_errno(ctx, error, "readdir", path);
    qsort(list, n, sizeof *list, compare_names);
    *names = list;
    *count = n;
    return ERR_OK;
}

Err file_free_bytes(Ctx *ctx, Str folder, int64_t *bytes)
{
    char path[FILE_PATH_BYTES_MAX + 1];
    if (!str_to_c(folder, path, sizeof path))
        return fail(ctx, ERR_INVALID, "file.name", "a folder of %zu bytes", folder.len);
    struct statvfs st;
    if (statvfs(path, &st) != 0)
        return fail_errno(ctx, errno, "statvfs", path);
    *bytes = (int64_t)(st.f_bavail * st.f_frsize);
    return ERR_OK;
}
