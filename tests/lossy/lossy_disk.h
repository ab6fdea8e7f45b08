/*
 * tests/lossy/lossy_disk.h -- a pretended disk that keeps only what was synced: state, engine.
 *
 *   LIVE      what the program under test sees: a real folder with real files.
 *   PLATTER   what the disk holds, beside it:
 *             super        LossySuper, mapped by every process: mode, fault knobs, counters
 *             names.log    every change of a folder entry and every sync of one, in order
 *             obj/ID.data  the durable bytes of one file
 *             obj/ID.map   LossyMap, mapped: the pages of the live file the platter has not got
 *
 * A file or folder is known by the number in its extended attribute, so renames and reused inode
 * numbers do not matter.  A sync copies the dirty pages from LIVE to PLATTER.  A SIGKILL in the
 * midst of one leaves some of them copied, which is what a disk may do with a sync in flight.  What
 * differs after the kill was never synced; `lossy-disk crash` decides how each sector and entry of
 * it ended.
 *
 * Promises, both modes: a completed fsync or fdatasync (or O_DSYNC write) of a file keeps its bytes
 *             and size; fsync of a folder keeps every create, unlink and rename in it so far; a
 *             sector (512) and a rename are never half done; nothing else is kept for certain.
 *           strict (what POSIX lets one rely on): un-synced sectors reach the disk in any
 *             combination, grown parts may read as zeros, un-synced entries happen in any subset
 *             that makes sense, fsync of a file says nothing about its name.
 *           ext4 (data=ordered): entries happen in order; fsync of a file also keeps its own name
 *             and all older changes of entries; grown parts hold the written bytes, never zeros.
 * Threads:  any, and several processes of one tree.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    LOSSY_SECTOR = 512,
    LOSSY_PAGE = 4096,
    LOSSY_SUMMARY_WORDS = 4096,
    LOSSY_WORDS = LOSSY_SUMMARY_WORDS * 64,
    LOSSY_PATH_MAX = 4096,
    LOSSY_NAME_MAX = 256,
};

#define LOSSY_MAGIC    UINT64_C(0x31303059534f4c54)
#define LOSSY_FILE_MAX ((int64_t)LOSSY_WORDS * 64 * LOSSY_PAGE)
#define LOSSY_XATTR    "user.lossy.id"
#define LOSSY_ROOT_ID  UINT64_C(1)

typedef enum LossyMode { LOSSY_STRICT, LOSSY_EXT4 } LossyMode;

typedef struct LossySuper {
    uint64_t magic;
    uint64_t mode;              /* LossyMode */
    pthread_mutex_t names_lock; /* orders changes of entries in LIVE with their records */
    _Atomic uint64_t next_id;
    _Atomic uint64_t name_count; /* records in names.log */
    _Atomic int64_t room;        /* bytes files may still grow; INT64_MAX: no limit */
    _Atomic int64_t fail_sync;   /* that many syncs fail with EIO and lose what they had */
    _Atomic int64_t sleep_us;    /* added to every sync */
    _Atomic int64_t drop_sync;   /* 1: syncs report success and do nothing */
    _Atomic int64_t
        writeback_permille; /* chance that a write lets some dirty sectors through early */
    _Atomic uint64_t sync_count;
    _Atomic uint64_t sync_bytes;
    char live[LOSSY_PATH_MAX]; /* canonical */
} LossySuper;

typedef struct LossyHead {
    pthread_mutex_t lock;       /* one sync or truncation at a time */
    _Atomic int64_t floor;      /* smallest size since the last sync; INT64_MAX: never truncated */
    _Atomic uint32_t all_dirty; /* the page bits cannot be trusted: push everything */
    _Atomic uint32_t
        linked; /* had several entries: the platter's bytes stay until the next format */
} LossyHead;

typedef struct LossyMap {
    union {
        LossyHead head;
        char pad[LOSSY_PAGE];
    };
    _Atomic uint64_t summary[LOSSY_SUMMARY_WORDS]; /* bit: this word below may be non-zero */
    _Atomic uint64_t words[LOSSY_WORDS];           /* bit: this page is dirty */
} LossyMap;

typedef enum LossyNameOp {
    LOSSY_NAME_CREATE = 1, /* dir/name is id; also a further link to a file */
    LOSSY_NAME_REMOVE,     /* dir/name was id */
    LOSSY_NAME_RENAME,     /* dir/name, which is id, becomes dir2/name2 */
    LOSSY_NAME_SYNC_DIR,   /* everything so far in folder id is durable */
    LOSSY_NAME_SYNC_FILE,  /* ext4: everything up to the last change of file id is durable */
    LOSSY_NAME_SYNC_ALL,
} LossyNameOp;

/* 1 KB so that no record crosses a page: a kill in the midst of writing it leaves all or none. */
typedef struct LossyName {
    uint32_t op;
    uint32_t is_dir;
    uint64_t id, dir, dir2;
    char name[LOSSY_NAME_MAX], name2[LOSSY_NAME_MAX];
    char pad[480];
} LossyName;

_Static_assert(sizeof(LossyName) == 1024, "a record must not cross a page");

/* One open file of LIVE; shared by duplicates of its descriptor. */
typedef struct LossyFile {
    _Atomic int refs;
    uint64_t id;
    bool is_dir, dsync, append, shm;
    bool drops, fails;         /* its syncs are lies; they fail while fail_sync says so */
    _Atomic bool direct;       /* O_DIRECT, as the program sees it: its writes must be aligned */
    _Atomic bool untracked;    /* written behind our back (stdio): every sync copies all of it */
    _Atomic uint64_t named_at; /* name_count when our last LOSSY_NAME_SYNC_FILE was written */
    pthread_mutex_t cursor;    /* keeps a write and the question where it ended together */
    int data_fd;
    LossyMap *map;
    char *buffer; /* guarded by: map->head.lock */
} LossyFile;

/* Prints "lossy: ..." and aborts: a test on a disk that is not what it seems proves nothing. */
_Noreturn void lossy_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Maps the state in folder `platter`; at most once per process. */
LossySuper *lossy_disk_open(const char *platter);
/* Writes an empty platter for the canonical folder `live` into the existing folder `platter`. */
LossySuper *lossy_disk_make(const char *platter, const char *live, LossyMode mode);

/* The number of a file or folder, 0 when it has none. */
uint64_t lossy_id_of(const char *path);
uint64_t lossy_id_of_fd(int fd);
/* Makes the platter's (empty) side of a new object and returns its number. */
uint64_t lossy_object_make(void);
/* Opens the platter's bytes of object `id`; -1 when it is gone. */
int lossy_object_data(uint64_t id);
/* Maps the dirty pages of object `id`; NULL when it is gone. */
LossyMap *lossy_object_map(uint64_t id);
void lossy_object_unmap(LossyMap *map);

void lossy_names_lock(void);
void lossy_names_unlock(void);
/* Appends `n` to names.log; the caller holds the lock. */
void lossy_names_append(const LossyName *n);
/* Says that object `id` lost its only entry, in folder `dir`: its bytes go once `dir` is synced. */
void lossy_names_forget(uint64_t dir, uint64_t id);

LossyFile *lossy_file_open(uint64_t id, bool is_dir);
void lossy_file_release(LossyFile *f);
/* After the write: [off, off + len) of the live file differs from the platter.  `fd` reads it. */
void lossy_file_mark(LossyFile *f, int fd, int64_t off, int64_t len);
/* fsync.  Returns 0, or -1 with errno EIO. */
int lossy_file_sync(LossyFile *f, int fd);
/* ftruncate of the live file.  Returns 0, or -1 with errno. */
int lossy_file_truncate(LossyFile *f, int fd, int64_t size);
/* How many of `len` bytes at `off` the disk has room for; they count as used.  0: none. */
int64_t lossy_room_take(int fd, int64_t off, int64_t len);
void lossy_room_give(int64_t bytes);
