/*
 * base/file.h -- the one door to disk for everything but SQLite.
 *
 * Owns: nothing; a File is a descriptor that its holder closes.  Paths are a folder of ours plus a
 * checked name, so that no name from outside can leave the folder.
 * Promises: interrupted and short transfers are finished here; only plain libc calls are used
 * (open, close, fcntl, flock, fstat, statvfs, pread, pwrite, pwritev, ftruncate, fdatasync, fsync, rename, unlink, mkdir,
 * opendir, readdir, closedir, mmap, munmap, madvise), so that a preloaded library can stand in for the disk.
 * Errors of every function: BUSY "disk.full" (no space, quota or file size limit: heals when there
 * is room), NOT_FOUND "file.missing", INVALID "file.name", otherwise INTERNAL "disk.failed".
 * Threads: any; positions are always given, so one File may be used by many.
 */
#pragma once

#include "base/ctx.h"

#include <stdatomic.h>

enum { FILE_NAME_BYTES_MAX = 200, FILE_PATH_BYTES_MAX = 1024, FILE_PIECES_MAX = 64 };

typedef struct File {
    int fd; /* -1 = none */
} File;
#define FILE_NONE ((File){-1})

typedef enum FileMode {
    FILE_READ,   /* must exist */
    FILE_WRITE,  /* read and write; made when missing */
    FILE_CREATE, /* read and write; an older file of that name is emptied */
} FileMode;

/* A new file's name is durable only after file_sync_folder(). */
MUST_USE Err file_open(Ctx *ctx, Str folder, Str name, FileMode mode, File *out);
void file_close(File *file); /* FILE_NONE is nothing to do */

/* A File that no other process or File can lock while it is open.  CONFLICT "file.locked". */
MUST_USE Err file_open_locked(Ctx *ctx, Str folder, Str name, File *out);

MUST_USE Err file_size(Ctx *ctx, File file, int64_t *bytes);

/* Reads up to `n` bytes at `at`; *got < n only at the end of the file. */
MUST_USE Err file_read_at(Ctx *ctx, File file, int64_t at, char *dst, size_t n, size_t *got);

/* All of `data` at `at`.  After a failure any part of it may be there. */
MUST_USE Err file_write_at(Ctx *ctx, File file, int64_t at, Str data);

/* The same of several pieces, one behind the other, mostly as one call: at most FILE_PIECES_MAX, not all empty. */
MUST_USE Err file_write_pieces(Ctx *ctx, File file, int64_t at, const Str *pieces, size_t count);

/* Zeros from `from` up to `to`, really written: later writes there change no size and need no room.  In pieces of
 * 64 KiB, as which the page cache then keeps them: with 4 KiB what is written there later costs half as much again. */
MUST_USE Err file_write_zeros(Ctx *ctx, File file, int64_t from, int64_t to);

/* A new file of so many zeros, which are on disk afterwards; an older file of that name is emptied.  They do not go through
 * the page cache where there is another way: what is written there later is cheapest in whole pages (FILE_PAGE_BYTES),
 * because part of one would be read first.  After a failure any part of it may be there. */
enum { FILE_PAGE_BYTES = 4096 };
MUST_USE Err file_create_zeros(Ctx *ctx, Str folder, Str name, int64_t bytes);

MUST_USE Err file_truncate(Ctx *ctx, File file, int64_t bytes);

/* After OK the file's bytes and size are on disk.  After a failure the kernel may have dropped what
 * was written: write it again before the next try. */
MUST_USE Err file_sync(Ctx *ctx, File file);
MUST_USE Err file_sync_folder(Ctx *ctx, Str folder);

/* The whole file at once: a temporary one ("name.tmp") is written, synced and renamed, then the
 * folder is synced.  Readers see the old content or the new one.  A megabyte or more goes past the page cache where there
 * is a way: who reads it then waits for the disk. */
MUST_USE Err file_replace(Ctx *ctx, Str folder, Str name, Str content);

/* The whole file into ctx->arena.  TOO_LARGE "file.too_large" beyond `bytes_max`. */
MUST_USE Err file_load(Ctx *ctx, Str folder, Str name, size_t bytes_max, Str *out);

/* Renames within the folder, replacing, and syncs the folder. */
MUST_USE Err file_rename(Ctx *ctx, Str folder, Str from, Str to);
MUST_USE Err file_remove(Ctx *ctx, Str folder, Str name); /* a missing file is OK */

/* Makes the folder (0700) and its missing parents, and syncs each parent. */
MUST_USE Err file_make_folder(Ctx *ctx, Str folder);

/* Names of the plain files in the folder in byte order, in ctx->arena.  Names that file_open()
 * would refuse are left out. */
MUST_USE Err file_list(Ctx *ctx, Str folder, Str **names, size_t *count);

/* The whole file read-only in memory until file_unmap().  An empty file gives an empty Str. */
MUST_USE Err file_map(Ctx *ctx, File file, Str *out);
void file_unmap(Str map);

/*
 * A disk that fails, or somebody who cuts the file short, may take a page of a map away at any time, which the kernel
 * tells whoever reads it by SIGBUS.  Then the map is lost: all of it reads as zeros from there on, for everybody, and
 * the process lives.  So whoever reads one believes what he read only when file_is_whole() says so afterwards, also of
 * what he found right before; until then it may be anything, and must lead him nowhere.
 * What is written into the file, and a cut's last page, nobody tells.  The first map sets the process's handler.
 */
const atomic_bool *file_map_lost(Str map); /* until file_unmap(); of other memory: never */

/* Whether all that this thread has read of the map was the file's. */
static inline bool file_is_whole(const atomic_bool *lost)
{
    atomic_signal_fence(memory_order_seq_cst); /* processors like x86 read in order */
#ifdef __aarch64__
    __asm__ volatile("dmb ishld" ::: "memory");
#endif
    return !atomic_load_explicit(lost, memory_order_acquire);
}

/* These bytes of a map will be read soon: the kernel begins to read those it does not have, of about a hundred
 * kilobytes at least, and nobody waits for it.  Behind the map's end there is nothing to read. */
void file_will_read(Str map, uint64_t at, uint64_t bytes);

/* Whether a page of a map that is touched, and not in memory, brings its neighbours, as in every new map: of some disks
 * that is megabytes, too much where only a head is looked at. */
void file_read_around(Str map, bool around);

/* What an ordinary user may still write to the folder's disk. */
MUST_USE Err file_free_bytes(Ctx *ctx, Str folder, int64_t *bytes);
