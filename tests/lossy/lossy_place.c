/*
 * tests/lossy/lossy_place.c -- liblossy.so: folder entries, and the calls that change them.
 */
#undef _FILE_OFFSET_BITS /* as in lossy.c: one struct stat for both */
#include "lossy_place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

LossySuper *lossy_super;
static char live[LOSSY_PATH_MAX];
static size_t live_len;

__attribute__((constructor)) static void start(void)
{
    const char *dir = getenv("LOSSY_DIR");
    if (dir == NULL || dir[0] == '\0')
        return;
    if (realpath(dir, live) == NULL)
        lossy_die("no folder %s", dir);
    live_len = strnlen(live, sizeof live);
    char beside[LOSSY_PATH_MAX + 16];
    snprintf(beside, sizeof beside, "%s.platter", live);
    const char *platter = getenv("LOSSY_PLATTER");
    LossySuper *s = lossy_disk_open(platter != NULL ? platter : beside);
    if (strncmp(s->live, live, sizeof live) != 0)
        lossy_die("the platter belongs to %s, not to %s", s->live, live);
    lossy_super = s;
}

int lossy_raw_open(int dirfd, const char *path, int flags, mode_t mode)
{
    return (int)syscall(SYS_openat, dirfd, path, flags, mode);
}

void lossy_raw_close(int fd)
{
    const int e = errno;
    (void)syscall(SYS_close, fd);
    errno = e;
}

bool lossy_fd_path(int fd, char path[static LOSSY_PATH_MAX])
{
    char link[LOSSY_PROC_PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const long n = syscall(SYS_readlinkat, AT_FDCWD, link, path, LOSSY_PATH_MAX - 1);
    if (n < (long)live_len)
        return false;
    path[n] = '\0';
    return memcmp(path, live, live_len) == 0 && (path[live_len] == '/' || path[live_len] == '\0');
}

static void id_set(int fd, uint64_t id)
{
    char link[LOSSY_PROC_PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (setxattr(link, LOSSY_XATTR, &id, sizeof id, 0) != 0)
        lossy_die("cannot number a file: errno %d (the file system needs user xattrs)", errno);
}

static void name_copy(char to[static LOSSY_NAME_MAX], const char *from)
{
    if ((size_t)snprintf(to, LOSSY_NAME_MAX, "%s", from) >= LOSSY_NAME_MAX)
        lossy_die("name too long: %s", from);
}

uint64_t lossy_fd_adopt(int fd, const char *path, bool is_dir)
{
    char parent[LOSSY_PATH_MAX];
    snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    *slash = '\0';
    LossyName n = {.op = LOSSY_NAME_CREATE, .is_dir = is_dir, .dir = lossy_id_of(parent)};
    if (n.dir == 0)
        lossy_die("%s was made behind the disk's back", parent);
    name_copy(n.name, slash + 1);
    lossy_names_lock();
    n.id = lossy_id_of_fd(fd);
    if (n.id == 0) {
        n.id = lossy_object_make();
        LossyMap *map = lossy_object_map(n.id);
        atomic_store(&map->head.all_dirty, 1);
        lossy_object_unmap(map);
        id_set(fd, n.id);
        lossy_names_append(&n);
    }
    lossy_names_unlock();
    return n.id;
}

bool lossy_place_find(int dirfd, const char *path, Place *place)
{
    char copy[LOSSY_PATH_MAX], canonical[LOSSY_PATH_MAX];
    size_t len = lossy_super == NULL ? 0 : strnlen(path, sizeof copy);
    if (len == 0 || len == sizeof copy)
        return false;
    memcpy(copy, path, len + 1);
    while (len > 1 && copy[len - 1] == '/')
        copy[--len] = '\0';
    char *slash = strrchr(copy, '/');
    const char *name = slash == NULL ? copy : slash + 1;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    if (strnlen(name, LOSSY_NAME_MAX) >= LOSSY_NAME_MAX)
        return false; /* ENAMETOOLONG, from the kernel */
    memcpy(place->name, name, strnlen(name, LOSSY_NAME_MAX) + 1);
    if (slash != NULL)
        slash[slash == copy] = '\0'; /* keeps the slash of the root */
    const char *parent = slash == NULL ? "." : copy;
    place->dirfd = lossy_raw_open(dirfd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (place->dirfd < 0)
        return false;
    if (!lossy_fd_path(place->dirfd, canonical)) {
        lossy_raw_close(place->dirfd);
        return false;
    }
    place->dir = lossy_id_of_fd(place->dirfd);
    if (place->dir == 0)
        place->dir = lossy_fd_adopt(place->dirfd, canonical, true);
    return true;
}

/* The number of the file or folder at `place`, 0 when there is none; fills `st`. */
static uint64_t place_id(const Place *place, struct stat *st)
{
    if (fstatat(place->dirfd, place->name, st, AT_SYMLINK_NOFOLLOW) != 0)
        return 0;
    if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode))
        return 0;
    char path[LOSSY_PROC_PATH_MAX + LOSSY_NAME_MAX];
    snprintf(path, sizeof path, "/proc/self/fd/%d/%s", place->dirfd, place->name);
    const uint64_t id = lossy_id_of(path);
    if (id != 0)
        return id;
    const int fd = lossy_raw_open(AT_FDCWD, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
    char canonical[LOSSY_PATH_MAX];
    if (fd < 0 || !lossy_fd_path(fd, canonical))
        lossy_die("cannot open %s to number it", place->name);
    const uint64_t fresh = lossy_fd_adopt(fd, canonical, S_ISDIR(st->st_mode));
    lossy_raw_close(fd);
    return fresh;
}

void lossy_place_created(const Place *place, int fd, bool is_dir)
{
    LossyName n = {.op = LOSSY_NAME_CREATE, .is_dir = is_dir, .dir = place->dir};
    n.id = lossy_object_make();
    id_set(fd, n.id);
    name_copy(n.name, place->name);
    lossy_names_append(&n);
}

/* ---- the calls ---- */

int mkdirat(int dirfd, const char *path, mode_t mode)
{
    Place place;
    if (!lossy_place_find(dirfd, path, &place))
        return (int)syscall(SYS_mkdirat, dirfd, path, mode);
    lossy_names_lock();
    int result = (int)syscall(SYS_mkdirat, place.dirfd, place.name, mode);
    if (result == 0) {
        const int fd =
            lossy_raw_open(place.dirfd, place.name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
        if (fd < 0)
            lossy_die("cannot open the new folder %s", place.name);
        lossy_place_created(&place, fd, true);
        lossy_raw_close(fd);
    }
    lossy_names_unlock();
    lossy_raw_close(place.dirfd);
    return result;
}

int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

/* The entry of `id` in `dir` is gone or replaced: notes what that frees. */
static void entry_dropped(uint64_t dir, uint64_t id, const struct stat *st)
{
    if (id == 0 || !S_ISREG(st->st_mode) || st->st_nlink != 1)
        return;
    lossy_room_give(st->st_size);
    lossy_names_forget(dir, id);
}

int unlinkat(int dirfd, const char *path, int flags)
{
    Place place;
    struct stat st = {0};
    if (!lossy_place_find(dirfd, path, &place))
        return (int)syscall(SYS_unlinkat, dirfd, path, flags);
    LossyName n = {.op = LOSSY_NAME_REMOVE, .dir = place.dir};
    name_copy(n.name, place.name);
    n.id = place_id(&place, &st);
    n.is_dir = S_ISDIR(st.st_mode);
    lossy_names_lock();
    const int result = (int)syscall(SYS_unlinkat, place.dirfd, place.name, flags);
    if (result == 0 && n.id != 0) {
        lossy_names_append(&n);
        entry_dropped(n.dir, n.id, &st);
    }
    lossy_names_unlock();
    lossy_raw_close(place.dirfd);
    return result;
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int remove(const char *path)
{
    const int result = unlinkat(AT_FDCWD, path, 0);
    return result != 0 && errno == EISDIR ? unlinkat(AT_FDCWD, path, AT_REMOVEDIR) : result;
}

static int rename_inside(const Place *from, const Place *to, unsigned flags)
{
    struct stat st = {0}, old_st = {0};
    if ((flags & ~(unsigned)RENAME_NOREPLACE) != 0) {
        errno = EINVAL; /* as on file systems without exchange */
        return -1;
    }
    LossyName n = {.op = LOSSY_NAME_RENAME, .dir = from->dir, .dir2 = to->dir};
    name_copy(n.name, from->name);
    name_copy(n.name2, to->name);
    n.id = place_id(from, &st);
    n.is_dir = S_ISDIR(st.st_mode);
    const uint64_t old = place_id(to, &old_st);
    lossy_names_lock();
    const int result =
        (int)syscall(SYS_renameat2, from->dirfd, from->name, to->dirfd, to->name, flags);
    if (result == 0 && n.id != 0 && n.id != old) {
        lossy_names_append(&n);
        entry_dropped(to->dir, old, &old_st);
    }
    lossy_names_unlock();
    return result;
}

int renameat2(int from_dirfd, const char *from, int to_dirfd, const char *to, unsigned flags)
{
    Place a, b;
    const bool ours = lossy_place_find(from_dirfd, from, &a);
    const bool theirs = lossy_place_find(to_dirfd, to, &b);
    int result = -1;
    if (ours && theirs)
        result = rename_inside(&a, &b, flags);
    else if (ours || theirs)
        errno = EXDEV; /* a disk of its own */
    else
        result = (int)syscall(SYS_renameat2, from_dirfd, from, to_dirfd, to, flags);
    if (ours)
        lossy_raw_close(a.dirfd);
    if (theirs)
        lossy_raw_close(b.dirfd);
    return result;
}

int renameat(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
    return renameat2(from_dirfd, from, to_dirfd, to, 0);
}

int rename(const char *from, const char *to)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

static void linked_set(uint64_t id)
{
    LossyMap *map = lossy_object_map(id);
    if (map == NULL)
        return;
    atomic_store(&map->head.linked, 1);
    lossy_object_unmap(map);
}

int linkat(int from_dirfd, const char *from, int to_dirfd, const char *to, int flags)
{
    Place place;
    struct stat st;
    if (!lossy_place_find(to_dirfd, to, &place))
        return (int)syscall(SYS_linkat, from_dirfd, from, to_dirfd, to, flags);
    lossy_names_lock();
    const int result = (int)syscall(SYS_linkat, from_dirfd, from, place.dirfd, place.name, flags);
    const int e = errno;
    if (result == 0) {
        char path[LOSSY_PROC_PATH_MAX + LOSSY_NAME_MAX];
        snprintf(path, sizeof path, "/proc/self/fd/%d/%s", place.dirfd, place.name);
        LossyName n = {.op = LOSSY_NAME_CREATE, .dir = place.dir, .id = lossy_id_of(path)};
        if (n.id == 0 || lstat(path, &st) != 0 || !S_ISREG(st.st_mode))
            lossy_die("%s is linked to a file from outside", to);
        name_copy(n.name, place.name);
        linked_set(n.id);
        lossy_names_append(&n);
    }
    lossy_names_unlock();
    lossy_raw_close(place.dirfd);
    errno = e;
    return result;
}

int link(const char *from, const char *to)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}
