/*
 * app/cmd_backup.c -- `tongdian backup` and `tongdian restore`.
 *
 * A backup beside a running server: (1) DATA/backup.hold is locked: while it is, the server deletes
 * no outbox row; (2) the event log is copied as a survey sees it: M; (3) the database is copied as
 * one snapshot: N >= M.  Every event of N that is not in M lies in N's outbox, and the first start
 * on the restored folder puts it into the log.  The lock goes with the process, also when it is killed.
 * Everything is written to DIR.partial, which becomes DIR when it is whole and on disk.
 */
#include "app/app.h"
#include "app/args.h"
#include "app/backup_files.h"
#include "app/terminal.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/keyring.h"
#include "events/events_survey.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HOLD_TRIES = 300, HOLD_WAIT_US = 100000 };

static const Str LOG_FOLDER = {"events/log", 10};
static const Str DATABASE_NAME = {"tongdian.db", 11};

/* ---- shared ------------------------------------------------------------------------------------------ */

static Str without_slash(const char *path)
{
    Str s = str_of(path);
    while (s.len > 1 && s.ptr[s.len - 1] == '/')
        s.len--;
    return s;
}

static Str parent_of(Arena *arena, Str path)
{
    size_t at = path.len;
    while (at > 0 && path.ptr[at - 1] != '/')
        at--;
    return at == 0 ? STR(".") : arena_copy(arena, str_slice(path, 0, at == 1 ? 1 : at - 1));
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

/* The finished folder gets its name, on disk. */
static Err finish_folder(Ctx *ctx, Str partial, Str to)
{
    if (rename(partial.ptr, to.ptr) != 0)
        return fail(ctx, ERR_INTERNAL, "disk.failed", "rename %s: errno %d", partial.ptr, errno);
    return file_sync_folder(ctx, parent_of(ctx->arena, to));
}

/* Tells the right key file from a wrong one and gives away nothing about it. */
static Str key_check(Arena *arena, const Keyring *keys)
{
    uint8_t digest[CRYPTO_MAC_BYTES];
    const CryptoKey *key = keyring_key(keys, KEY_BACKUP);
    crypto_sha256((Str){(const char *)key->bytes, sizeof key->bytes}, digest);
    return hex_encode(arena, (Str){(const char *)digest, sizeof digest});
}

static void print_sum(Arena *arena, const BackupList *list, const char *what, Str where)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < list->count; i++)
        bytes += list->files[i].bytes;
    const Str kib = terminal_count(arena, (bytes + 1023) / 1024);
    printf("%s %.*s: %zu files, %.*s KiB, events below number %" PRId64 ".\n", what, STR_ARG(where),
           list->count, STR_ARG(kib), list->events);
}

/* ---- backup ------------------------------------------------------------------------------------------ */

typedef struct Backup {
    App *app;
    Str out, partial;
    File hold;
    BackupList list;
    Progress progress;
} Backup;

/* The server takes the same lock for the moment in which it deletes outbox rows. */
static Err take_hold(Backup *b)
{
    Ctx *ctx = &b->app->ctx;
    Err err = ERR_CONFLICT;
    for (int i = 0; i < HOLD_TRIES && err == ERR_CONFLICT; i++) {
        err = file_open_locked(ctx, str_of(b->app->config.data), APP_BACKUP_HOLD, &b->hold);
        if (err == ERR_CONFLICT)
            (void)usleep(HOLD_WAIT_US);
    }
    if (err == ERR_CONFLICT)
        (void)snprintf(ctx->fault.hint, sizeof ctx->fault.hint,
                       "another backup of this folder is running: wait for it");
    return err;
}

static Err copy_log(Backup *b)
{
    Ctx *ctx = &b->app->ctx;
    const Str from = backup_folder(ctx->arena, str_of(b->app->config.data), LOG_FOLDER);
    const Str to = backup_folder(ctx->arena, b->partial, LOG_FOLDER);
    EventsSurvey survey;
    TRY(events_survey(ctx, from, &survey));
    TRY(file_make_folder(ctx, to));
    for (size_t i = 0; i < survey.count; i++) {
        const EventsSurveySegment *g = &survey.segments[i];
        progress_show(&b->progress, "event log files", (int64_t)i,
                      (int64_t)(i * 500 / survey.count));
        TRY(backup_copy(ctx, from, to, str_of(g->name), g->bytes));
        backup_add(ctx->arena, &b->list, LOG_FOLDER, str_of(g->name));
    }
    b->list.events = (int64_t)survey.end_seq;
    if (survey.manifest_good) {
        TRY(file_replace(ctx, to, STR("manifest"), survey.manifest));
        backup_add(ctx->arena, &b->list, LOG_FOLDER, STR("manifest"));
    }
    const Err ledger = backup_copy(ctx, from, to, STR("erased"), 0);
    if (ledger == ERR_OK)
        backup_add(ctx->arena, &b->list, LOG_FOLDER, STR("erased"));
    else if (ledger != ERR_NOT_FOUND) /* of nobody: there is no file */
        return ledger;
    return file_sync_folder(ctx, to);
}

static Err copy_database(Backup *b)
{
    Ctx *ctx = &b->app->ctx;
    progress_show(&b->progress, "database", 0, 500);
    TRY(database_backup(
        b->app->database, ctx,
        arena_printf(ctx->arena, "%.*s/%.*s", STR_ARG(b->partial), STR_ARG(DATABASE_NAME))));
    backup_add(ctx->arena, &b->list, STR(""), DATABASE_NAME);
    return ERR_OK;
}

static Err write_backup(Backup *b)
{
    App *app = b->app;
    Ctx *ctx = &app->ctx;
    TRY(take_hold(b));
    TRY(file_make_folder(ctx, b->partial));
    TRY(copy_log(b));
    TRY(copy_database(b));
    for (size_t i = 0; i < b->list.count; i++) {
        progress_show(&b->progress, "checksums", (int64_t)i,
                      900 + (int64_t)(i * 100 / b->list.count));
        TRY(backup_measure(ctx, b->partial, &b->list.files[i]));
    }
    b->list.made_at_ms = ctx->now_ms;
    b->list.version = STR(TONGDIAN_VERSION);
    b->list.currency = str_of(app->settings.currency);
    b->list.key_newest = keyring_newest(app->keys);
    b->list.key_check = key_check(ctx->arena, app->keys);
    TRY(backup_save(ctx, b->partial, &b->list));
    return finish_folder(ctx, b->partial, b->out);
}

static bool may_back_up(const Backup *b)
{
    if (database_is_postgres(b->app->database)) {
        fprintf(stderr,
                "tongdian: the records are in PostgreSQL: this command does not copy them.\n"
                "Stop the servers, run `pg_dump -Fc -f FILE URL`, copy the folder %s/events with "
                "it, and start again:\nboth then are of the same moment.\n",
                b->app->config.data);
        return false;
    }
    const Str taken = exists(b->out.ptr) ? b->out : b->partial;
    if (!exists(taken.ptr))
        return true;
    fprintf(stderr, "tongdian: %s is there already: name a folder that is not%s\n", taken.ptr,
            str_eq(taken, b->out) ? "" : ", or remove it: it is of a backup that did not end");
    return false;
}

int cmd_backup(Config *config, int argc, char **argv)
{
    static const ArgOption OPTIONS[] = {{"--out", true}};
    const char *value[ARRAY_LEN(OPTIONS)];
    Args args;
    App app;
    if (!args_read(argc, argv, OPTIONS, ARRAY_LEN(OPTIONS), value, &args))
        return 2;
    if (value[0] == NULL) {
        fprintf(stderr, "tongdian: backup needs --out DIR, a folder that is not there yet\n");
        return 2;
    }
    if (!app_open(&app, config, BOOT_REPORT))
        return 1;
    const Str out = arena_copy(app.arena, without_slash(value[0]));
    Backup b = {.app = &app,
                .out = out,
                .partial = arena_printf(app.arena, "%.*s.partial", STR_ARG(out)),
                .hold = FILE_NONE,
                .progress = progress_start(stderr)};
    const bool may = may_back_up(&b);
    const Err err = may ? write_backup(&b) : ERR_CONFLICT;
    progress_end(&b.progress);
    file_close(&b.hold);
    if (err == ERR_OK) {
        print_sum(app.arena, &b.list, "Backed up to", out);
        printf("The key file is not in it.  Keep a copy of it apart: without it (keys 0 to %" PRId64
               ")\nnobody can read names, phones and coupon codes in this backup.\n",
               b.list.key_newest);
    } else if (may) {
        app_complain(&app, "backing up");
    }
    app_close(&app);
    return err == ERR_OK ? 0 : 1;
}

/* ---- restore ----------------------------------------------------------------------------------------- */

typedef struct Restore {
    Ctx *ctx;
    Str from, to, partial;
    Str newer; /* the newest data folder or backup: it knows who was erased since; empty = none was named */
    BackupList list;
    Progress progress;
} Restore;

/* Size and content as the manifest says, before anything is written. */
static Err verify_files(Restore *r)
{
    for (size_t i = 0; i < r->list.count; i++) {
        BackupFile now = r->list.files[i];
        const BackupFile *f = &r->list.files[i];
        progress_show(&r->progress, "checksums", (int64_t)i, (int64_t)(i * 500 / r->list.count));
        TRY(backup_measure(r->ctx, r->from, &now));
        if (now.bytes == f->bytes && str_eq(str_of(now.sha256), str_of(f->sha256)))
            continue;
        return fail(r->ctx, ERR_INTERNAL, "backup.damaged",
                    "%.*s is not what was backed up: use another backup", STR_ARG(f->name));
    }
    return ERR_OK;
}

/* Done once more at the first start. */
static Err take_erasures(Restore *r, Str log)
{
    Ctx *ctx = r->ctx;
    if (r->newer.len == 0)
        return ERR_OK;
    const Str from = backup_folder(ctx->arena, r->newer, LOG_FOLDER);
    if (!exists(from.ptr)) {
        (void)snprintf(ctx->fault.hint, sizeof ctx->fault.hint,
                       "%.*s is neither a data folder nor a backup", STR_ARG(r->newer));
        return ERR_NOT_FOUND;
    }
    const Err err = events_erase_again(ctx, from, log);
    return err == ERR_NOT_FOUND ? ERR_OK : err; /* nobody was */
}

static Err copy_files(Restore *r)
{
    Ctx *ctx = r->ctx;
    const Str log = backup_folder(ctx->arena, r->partial, LOG_FOLDER);
    TRY(file_make_folder(ctx, log));
    for (size_t i = 0; i < r->list.count; i++) {
        const BackupFile *f = &r->list.files[i];
        progress_show(&r->progress, "copying", (int64_t)i,
                      500 + (int64_t)(i * 500 / r->list.count));
        TRY(backup_copy(ctx, backup_folder(ctx->arena, r->from, f->folder),
                        backup_folder(ctx->arena, r->partial, f->folder), f->name, 0));
    }
    TRY(take_erasures(r, log));
    TRY(file_sync_folder(ctx, log));
    TRY(file_sync_folder(ctx, r->partial));
    return finish_folder(ctx, r->partial, r->to);
}

static bool may_restore(const Restore *r)
{
    if (exists(r->partial.ptr)) {
        fprintf(stderr, "tongdian: remove %s: it is of a restore that did not end\n",
                r->partial.ptr);
        return false;
    }
    /* rmdir() takes an empty folder away, and only that. */
    if (!exists(r->to.ptr) || rmdir(r->to.ptr) == 0)
        return true;
    fprintf(
        stderr,
        "tongdian: the data folder %s is not empty: name another with --data, or move it away\n",
        r->to.ptr);
    return false;
}

/* The key file may come later, but it must be the right one. */
static void tell_about_keys(const Restore *r, const Config *config)
{
    Ctx *ctx = r->ctx;
    const Str path = app_key_file(ctx->arena, config);
    Keyring *keys = NULL;
    if (keyring_load(ctx, path, &keys) != ERR_OK)
        printf("Put the key file of that server to %.*s (mode 0600) before you go on.\n",
               STR_ARG(path));
    else if (!str_eq(key_check(ctx->arena, keys), r->list.key_check))
        printf("WRONG KEY FILE: %.*s is not the one that this backup was made with.\n",
               STR_ARG(path));
    else if (keyring_newest(keys) < r->list.key_newest)
        printf("OLD KEY FILE: %.*s lacks newer keys, up to %" PRId64 ".\n", STR_ARG(path),
               r->list.key_newest);
    keyring_free(keys);
}

static Err run_restore(Restore *r)
{
    TRY(backup_load(r->ctx, r->from, &r->list));
    TRY(verify_files(r));
    return copy_files(r);
}

int cmd_restore(Config *config, int argc, char **argv)
{
    static const ArgOption OPTIONS[] = {{"--from", true}, {"--erased", true}};
    const char *value[ARRAY_LEN(OPTIONS)];
    Args args;
    if (!args_read(argc, argv, OPTIONS, ARRAY_LEN(OPTIONS), value, &args))
        return 2;
    if (value[0] == NULL) {
        fprintf(stderr, "tongdian: restore needs --from DIR, a folder that `backup` made\n");
        return 2;
    }
    App app = {.config = *config, .arena = arena_new(1 << 16)};
    app.ctx = (Ctx){.arena = app.arena, .now_ms = clock_now_ms()};
    const Str to = arena_copy(app.arena, without_slash(config->data));
    Restore r = {.ctx = &app.ctx,
                 .from = without_slash(value[0]),
                 .to = to,
                 .partial = arena_printf(app.arena, "%.*s.partial", STR_ARG(to)),
                 .newer = value[1] == NULL ? STR("") : without_slash(value[1]),
                 .progress = progress_start(stderr)};
    const bool may = may_restore(&r);
    const Err err = may ? run_restore(&r) : ERR_CONFLICT;
    progress_end(&r.progress);
    if (err == ERR_OK) {
        print_sum(app.arena, &r.list, "Restored to", to);
        tell_about_keys(&r, config);
        if (r.newer.len == 0)
            printf("Was anybody erased after this backup?  Then restore with --erased FOLDER, the "
                   "newest data folder or backup that there is.\n");
        printf("Now run `tongdian check --data %.*s`, then start the server.\n", STR_ARG(to));
    } else if (may) {
        app_complain(&app, "restoring");
    }
    arena_free(app.arena);
    return err == ERR_OK ? 0 : 1;
}
