/*
 * app/backup_files.h -- what a backup folder holds: files, and a manifest that names each with its
 * size and SHA-256.
 *
 *     DIR/backup.json            written last: a folder without it is no backup
 *     DIR/tongdian.db            the database at N
 *     DIR/events/log/N.log ...   the event log at M <= N, with its manifest
 *
 * Owns:    nothing.  Threads: any.
 */
#pragma once

#include "base/ctx.h"

#define BACKUP_MANIFEST STR("backup.json")

enum { BACKUP_FILES_MAX = 100000, BACKUP_FORMAT = 1, BACKUP_TEXT_BYTES = 65 };

typedef struct BackupFile {
    Str folder; /* below the backup folder: "" or "events/log" */
    Str name;
    int64_t bytes;
    char sha256[BACKUP_TEXT_BYTES]; /* hexadecimal */
} BackupFile;

typedef struct BackupList {
    BackupFile *files;
    size_t count, cap;
    int64_t made_at_ms;
    Str version;   /* of the program that made it */
    Str currency;  /* ISO 4217 */
    Str key_check; /* hexadecimal: tells whether a key file is the right one, and nothing else */
    int64_t key_newest;
    int64_t events; /* below this sequence number the log is in it */
} BackupList;

/* The folder `below` the root `root`; `root` itself for "". */
Str backup_folder(Arena *arena, Str root, Str below);

/* Copies the first `limit` bytes (0 = all) of a file, synced; its place in the list is filled but for
 * the checksum. */
MUST_USE Err backup_copy(Ctx *ctx, Str from, Str to, Str name, int64_t limit);

/* Size and checksum of root/folder/name.  NOT_FOUND "file.missing". */
MUST_USE Err backup_measure(Ctx *ctx, Str root, BackupFile *file);

void backup_add(Arena *arena, BackupList *list, Str folder, Str name);

/* Writes the manifest, synced. */
MUST_USE Err backup_save(Ctx *ctx, Str root, const BackupList *list);

/* INVALID "backup.manifest" when it is no manifest of ours, NOT_FOUND "file.missing". */
MUST_USE Err backup_load(Ctx *ctx, Str root, BackupList *out);
