/*
 * tests/lossy/lossy_place.h -- inside liblossy.so: which paths and folder entries are ours.
 * Threads:  any.
 */
#pragma once

#include "lossy_disk.h"

#include <sys/stat.h>

enum { LOSSY_PROC_PATH_MAX = 32 };

/* A folder entry, found by its path: an open descriptor of the folder, and the name in it. */
typedef struct Place {
    int dirfd;
    uint64_t dir;
    char name[LOSSY_NAME_MAX];
} Place;

extern LossySuper *lossy_super; /* NULL: no LOSSY_DIR, every call passes through */

int lossy_raw_open(int dirfd, const char *path, int flags, mode_t mode);
/* Keeps errno. */
void lossy_raw_close(int fd);

/* Writes the canonical path of `fd`; false when it is not in LOSSY_DIR. */
bool lossy_fd_path(int fd, char path[static LOSSY_PATH_MAX]);
/* Gives a number to a file or folder made where we could not see it (stdio, mkstemp, a program
 * without us).  Its creation counts as happening now. */
uint64_t lossy_fd_adopt(int fd, const char *path, bool is_dir);

/* Finds the entry `path`; false when it lies elsewhere.  On true the caller closes place->dirfd. */
bool lossy_place_find(int dirfd, const char *path, Place *place);
/* Numbers and notes the object just made at `place`, open as `fd`; the caller holds the lock. */
void lossy_place_created(const Place *place, int fd, bool is_dir);
