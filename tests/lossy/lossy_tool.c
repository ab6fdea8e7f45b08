/*
 * tests/lossy/lossy_tool.c -- lossy-disk: makes a platter, pulls the plug, turns the fault knobs.
 *
 *   lossy-disk [-p PLATTER] [-m strict|ext4] format LIVE     everything in LIVE is durable from now
 *   lossy-disk [-p PLATTER] -s SEED -o OUT   crash LIVE      writes the folder a restart would find
 *   lossy-disk [-p PLATTER] set LIVE KEY=VALUE...            room|fail_sync|sleep_us|drop_sync|
 *                                                            writeback_permille (room=none: any)
 *   lossy-disk [-p PLATTER] stat LIVE                        the knobs, and syncs and bytes so far
 *
 * `crash` needs every process on the folder dead, changes neither LIVE nor PLATTER, and gives the
 * same OUT for the same seed: one kill can be judged under many seeds.  The rules of what may
 * survive are in lossy_disk.h.
 */
#include "lossy_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { CHUNK = 256 * 1024, DEPTH_MAX = 64, NFTW_FDS = 32 };

typedef struct Options {
    char live[LOSSY_PATH_MAX], platter[LOSSY_PATH_MAX + 16];
    const char *out;
    uint64_t seed;
    LossyMode mode;
} Options;

/* One entry of the folder tree as it will be after the crash. */
typedef struct Entry {
    uint64_t dir, id;
    bool is_dir;
    char name[LOSSY_NAME_MAX];
} Entry;

typedef struct LivePath {
    uint64_t id;
    char *path;
} LivePath;

static struct {
    uint64_t random;
    LossyMode mode;
    LossyName *names;
    bool *durable;
    size_t name_count, names_settled; /* all below names_settled is durable */
    Entry *entries;
    size_t entry_count, entry_room;
    LivePath *paths;
    size_t path_count, path_room;
    uint64_t names_undone, sectors_lost, sectors_kept;
} crash;

static void *grown(void *array, size_t *room, size_t count, size_t size)
{
    if (count < *room)
        return array;
    *room = *room == 0 ? 256 : *room * 2;
    void *bigger = realloc(array, *room * size);
    if (bigger == NULL)
        lossy_die("out of memory");
    return bigger;
}

static uint64_t next_random(void)
{
    crash.random += 0x9E3779B97F4A7C15;
    uint64_t z = crash.random;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
}

static bool coin(uint64_t percent)
{
    return next_random() % 100 < percent;
}

/* All, nothing and every mixture must occur: a fair coin alone would never lose or keep it all. */
static uint64_t mood_percent(void)
{
    const uint64_t mood = next_random() % 4;
    return mood == 0 ? 0 : mood == 1 ? 100 : next_random() % 101;
}

/* ---- format ---- */

static void copy_whole(int from, int to)
{
    static char buffer[CHUNK];
    ssize_t n;
    while ((n = read(from, buffer, sizeof buffer)) > 0) {
        if (write(to, buffer, (size_t)n) != n)
            lossy_die("cannot copy: errno %d", errno);
    }
    if (n < 0)
        lossy_die("cannot copy: errno %d", errno);
}

static int visit_format(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    if (type != FTW_D && type != FTW_F)
        return 0;
    if (type == FTW_F && (!S_ISREG(st->st_mode) || st->st_nlink > 1))
        lossy_die("%s is no plain file with one name", path);
    LossyName n = {.op = LOSSY_NAME_CREATE, .is_dir = type == FTW_D, .id = lossy_object_make()};
    if (setxattr(path, LOSSY_XATTR, &n.id, sizeof n.id, 0) != 0)
        lossy_die("cannot number %s: errno %d", path, errno);
    if (ftw->level > 0) {
        char parent[LOSSY_PATH_MAX];
        snprintf(parent, sizeof parent, "%.*s", ftw->base - 1, path);
        n.dir = lossy_id_of(parent);
        snprintf(n.name, sizeof n.name, "%s", path + ftw->base);
        lossy_names_append(&n);
    }
    if (type == FTW_D)
        return 0;
    const int from = open(path, O_RDONLY | O_CLOEXEC);
    const int to = lossy_object_data(n.id);
    if (from < 0 || to < 0)
        lossy_die("cannot copy %s: errno %d", path, errno);
    copy_whole(from, to);
    close(from);
    close(to);
    return 0;
}

static int visit_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int run_format(const Options *o)
{
    if (nftw(o->platter, visit_remove, NFTW_FDS, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        lossy_die("cannot remove the old %s: errno %d", o->platter, errno);
    if (mkdir(o->platter, 0755) != 0)
        lossy_die("cannot make %s: errno %d", o->platter, errno);
    (void)lossy_disk_make(o->platter, o->live, o->mode);
    if (nftw(o->live, visit_format, NFTW_FDS, FTW_PHYS) != 0)
        lossy_die("cannot walk %s: errno %d", o->live, errno);
    const LossyName all = {.op = LOSSY_NAME_SYNC_ALL};
    lossy_names_append(&all);
    return 0;
}

/* ---- crash: which entries survive ---- */

static void names_load(const Options *o)
{
    char path[LOSSY_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/names.log", o->platter);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0)
        lossy_die("cannot read %s: errno %d", path, errno);
    crash.name_count =
        (size_t)st.st_size / sizeof(LossyName); /* a record cut by the kill is none */
    crash.names = calloc(crash.name_count + 1, sizeof(LossyName));
    crash.durable = calloc(crash.name_count + 1, sizeof(bool));
    if (crash.names == NULL || crash.durable == NULL)
        lossy_die("out of memory");
    const size_t bytes = crash.name_count * sizeof(LossyName);
    if (read(fd, crash.names, bytes) != (ssize_t)bytes)
        lossy_die("cannot read %s", path);
    close(fd);
}

static bool is_change(const LossyName *n)
{
    return n->op <= LOSSY_NAME_RENAME;
}

/* A rename takes what its file went through before with it, whichever folders that was in. */
static void mark_durable(size_t at)
{
    crash.durable[at] = true;
    if (crash.names[at].op != LOSSY_NAME_RENAME)
        return;
    for (size_t i = crash.names_settled; i < at; i++) {
        if (crash.names[i].id == crash.names[at].id && is_change(&crash.names[i]))
            crash.durable[i] = true;
    }
}

static void mark_synced(size_t sync)
{
    const LossyName *s = &crash.names[sync];
    while (crash.names_settled < sync &&
           (crash.durable[crash.names_settled] || !is_change(&crash.names[crash.names_settled])))
        crash.names_settled++;
    size_t end = s->op == LOSSY_NAME_SYNC_ALL ? sync : 0;
    for (size_t i = crash.names_settled; i < sync; i++) {
        const LossyName *n = &crash.names[i];
        if (crash.durable[i] || !is_change(n))
            continue;
        const bool in_dir = n->dir == s->id || (n->op == LOSSY_NAME_RENAME && n->dir2 == s->id);
        const bool hit = s->op == LOSSY_NAME_SYNC_DIR ? in_dir : n->id == s->id;
        if (hit && s->op != LOSSY_NAME_SYNC_ALL)
            mark_durable(i);
        if (hit && crash.mode == LOSSY_EXT4)
            end = i;
    }
    for (size_t i = crash.names_settled; i < end; i++) /* ext4 commits in order */
        crash.durable[i] = true;
}

static Entry *entry_find(uint64_t dir, const char *name)
{
    for (size_t i = 0; i < crash.entry_count; i++) {
        Entry *e = &crash.entries[i];
        if (e->dir == dir && strncmp(e->name, name, LOSSY_NAME_MAX) == 0)
            return e;
    }
    return NULL;
}

static Entry *dir_find(uint64_t id)
{
    for (size_t i = 0; i < crash.entry_count; i++) {
        if (crash.entries[i].is_dir && crash.entries[i].id == id)
            return &crash.entries[i];
    }
    return NULL;
}

static bool is_empty(const Entry *e)
{
    for (size_t i = 0; e->is_dir && i < crash.entry_count; i++) {
        if (crash.entries[i].dir == e->id)
            return false;
    }
    return true;
}

static void entry_remove(Entry *e)
{
    *e = crash.entries[--crash.entry_count];
}

static void entry_put(uint64_t dir, const char *name, const LossyName *n)
{
    Entry *e = entry_find(dir, name);
    if (e == NULL) {
        crash.entries =
            grown(crash.entries, &crash.entry_room, crash.entry_count, sizeof *crash.entries);
        e = &crash.entries[crash.entry_count++];
    }
    *e = (Entry){.dir = dir, .id = n->id, .is_dir = n->is_dir != 0};
    memcpy(e->name, name, sizeof e->name);
}

/* Whether `n` can happen in the tree as it stands: what it builds on may not have happened. */
static bool makes_sense(const LossyName *n)
{
    const Entry *e = entry_find(n->dir, n->name);
    if (n->op == LOSSY_NAME_CREATE)
        return e == NULL;
    if (e == NULL || e->id != n->id)
        return false;
    if (n->op == LOSSY_NAME_REMOVE)
        return is_empty(e);
    const Entry *target = entry_find(n->dir2, n->name2);
    return target == NULL || is_empty(target);
}

static void name_apply(const LossyName *n)
{
    Entry *e = entry_find(n->dir, n->name);
    if (n->op != LOSSY_NAME_CREATE && e != NULL && e->id == n->id)
        entry_remove(e);
    if (n->op == LOSSY_NAME_CREATE)
        entry_put(n->dir, n->name, n);
    if (n->op == LOSSY_NAME_RENAME)
        entry_put(n->dir2, n->name2, n);
}

static void names_replay(void)
{
    size_t cut = 0; /* ext4: everything before it happened */
    for (size_t i = 0; i < crash.name_count; i++) {
        if (!is_change(&crash.names[i]))
            mark_synced(i);
    }
    for (size_t i = 0; i < crash.name_count; i++) {
        if (crash.durable[i])
            cut = i + 1;
    }
    const uint64_t percent = mood_percent();
    if (crash.mode == LOSSY_EXT4)
        cut += (crash.name_count - cut) * percent / 100;
    for (size_t i = 0; i < crash.name_count; i++) {
        const LossyName *n = &crash.names[i];
        if (!is_change(n))
            continue;
        const bool chosen = crash.mode == LOSSY_EXT4 ? i < cut : coin(percent) && makes_sense(n);
        if (crash.durable[i] || chosen)
            name_apply(n);
        else
            crash.names_undone++;
    }
}

/* ---- crash: which bytes survive ---- */

static int visit_live(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)ftw;
    const uint64_t id = lossy_id_of(path);
    if (id == 0 || (type != FTW_F && type != FTW_D))
        return 0;
    crash.paths = grown(crash.paths, &crash.path_room, crash.path_count, sizeof *crash.paths);
    crash.paths[crash.path_count].id = id;
    crash.paths[crash.path_count++].path = strndup(path, LOSSY_PATH_MAX);
    return 0;
}

static const char *live_path(uint64_t id)
{
    for (size_t i = 0; i < crash.path_count; i++) {
        if (crash.paths[i].id == id)
            return crash.paths[i].path;
    }
    return NULL;
}

/* How one file ends: below `may_change` a sector is old or new; old bytes end at `old_size`,
 * beyond it are zeros or, in ext4 mode, the new bytes; the file has `size` bytes. */
typedef struct Fate {
    int64_t old_size, may_change, size;
    uint64_t percent;
} Fate;

static Fate fate_choose(int64_t platter_size, int64_t live_size, int64_t floor)
{
    Fate f = {.percent = mood_percent()};
    if (live_size < floor)
        floor = live_size;
    if (floor < platter_size && coin(50)) {
        /* The truncation did not happen, so neither did what was written after it, above it. */
        f.old_size = f.size = platter_size;
        f.may_change = floor / LOSSY_SECTOR * LOSSY_SECTOR;
        return f;
    }
    f.old_size = f.size = floor < platter_size ? floor : platter_size;
    if (live_size > f.size) {
        const int64_t grown_by = live_size - f.size;
        const uint64_t how = next_random() % 3;
        if (how == 0)
            f.size = live_size;
        if (how == 1) /* a whole number of sectors, as the disk was asked to write them */
            f.size += (int64_t)(next_random() % (uint64_t)grown_by);
        if (how == 1 && f.size / LOSSY_SECTOR * LOSSY_SECTOR > f.old_size)
            f.size = f.size / LOSSY_SECTOR * LOSSY_SECTOR;
        else if (how == 1)
            f.size = f.old_size;
    }
    f.may_change = f.size;
    return f;
}

/* Chooses old or new for each sector of the chunk at `off`; the result is left in `old`. */
static void chunk_mix(const Fate *f, int64_t off, size_t len, char *old, const char *new)
{
    for (size_t at = 0; at < len; at += LOSSY_SECTOR) {
        const size_t n = len - at < LOSSY_SECTOR ? len - at : LOSSY_SECTOR;
        const int64_t begin = off + (int64_t)at;
        if (begin >= f->may_change || memcmp(old + at, new + at, n) == 0)
            continue;
        const bool grew = f->size > f->old_size && begin + (int64_t)n > f->old_size;
        if ((grew && crash.mode == LOSSY_EXT4) || coin(f->percent)) {
            memcpy(old + at, new + at, n);
            crash.sectors_kept++;
        } else {
            crash.sectors_lost++;
        }
    }
}

static void read_or_zeros(int fd, char *buffer, size_t len, int64_t off, int64_t end)
{
    memset(buffer, 0, len);
    if (fd < 0 || off >= end)
        return;
    if (end - off < (int64_t)len)
        len = (size_t)(end - off);
    if (pread(fd, buffer, len, off) < 0)
        lossy_die("cannot read: errno %d", errno);
}

static int64_t size_of(int fd)
{
    struct stat st;
    if (fd < 0)
        return 0;
    if (fstat(fd, &st) != 0)
        lossy_die("fstat: errno %d", errno);
    return st.st_size;
}

static void file_write(const Entry *e, const char *out)
{
    static char old[CHUNK], new[CHUNK];
    const char *path = live_path(e->id);
    const int platter = lossy_object_data(e->id);
    const int live = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    const int to = open(out, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    LossyMap *map = lossy_object_map(e->id);
    if (to < 0 || platter < 0 || map == NULL || (path != NULL && live < 0))
        lossy_die("cannot write %s: errno %d", out, errno);
    Fate f = {0};
    if (live >= 0)
        f = fate_choose(size_of(platter), size_of(live), atomic_load(&map->head.floor));
    else /* unlinked in LIVE: what was not synced is gone */
        f.old_size = f.size = size_of(platter);
    const int64_t live_size = size_of(live);
    for (int64_t off = 0; off < f.size; off += CHUNK) {
        const size_t len = f.size - off < CHUNK ? (size_t)(f.size - off) : CHUNK;
        read_or_zeros(platter, old, len, off, f.old_size);
        read_or_zeros(live, new, len, off, live_size);
        chunk_mix(&f, off, len, old, new);
        if (write(to, old, len) != (ssize_t)len)
            lossy_die("cannot write %s: errno %d", out, errno);
    }
    struct stat st;
    if (live >= 0 && fstat(live, &st) == 0)
        (void)fchmod(to, st.st_mode & 07777);
    lossy_object_unmap(map);
    close(to);
    close(platter);
    if (live >= 0)
        close(live);
}

/* Writes the path of `e` below `out` and makes the folders above it; false when one of them did not
 * survive, and `e` with it. */
static bool entry_path(const Entry *e, const char *out, char path[static LOSSY_PATH_MAX])
{
    const Entry *chain[DEPTH_MAX];
    size_t depth = 0;
    for (; e != NULL; e = dir_find(e->dir)) {
        if (depth == DEPTH_MAX)
            lossy_die("folders too deep");
        chain[depth++] = e;
        if (e->dir == LOSSY_ROOT_ID)
            break;
    }
    if (e == NULL)
        return false;
    int n = snprintf(path, LOSSY_PATH_MAX, "%s", out);
    while (depth > 0 && n < LOSSY_PATH_MAX) {
        const Entry *step = chain[--depth];
        n += snprintf(path + n, (size_t)(LOSSY_PATH_MAX - n), "/%s", step->name);
        if (n < LOSSY_PATH_MAX && step->is_dir && mkdir(path, 0755) != 0 && errno != EEXIST)
            lossy_die("cannot make %s: errno %d", path, errno);
    }
    if (n >= LOSSY_PATH_MAX)
        lossy_die("path too long");
    return true;
}

static int run_crash(const Options *o)
{
    char path[LOSSY_PATH_MAX];
    if (o->out == NULL || mkdir(o->out, 0755) != 0)
        lossy_die("-o must name a folder that does not exist yet");
    crash.mode = (LossyMode)lossy_disk_open(o->platter)->mode;
    crash.random = o->seed * 0xD1342543DE82EF95 + 1;
    names_load(o);
    names_replay();
    if (nftw(o->live, visit_live, NFTW_FDS, FTW_PHYS) != 0)
        lossy_die("cannot walk %s: errno %d", o->live, errno);
    size_t files = 0;
    for (size_t i = 0; i < crash.entry_count; i++) {
        if (!entry_path(&crash.entries[i], o->out, path) || crash.entries[i].is_dir)
            continue;
        file_write(&crash.entries[i], path);
        files++;
    }
    printf("files=%zu entries_undone=%" PRIu64 " sectors_lost=%" PRIu64 " sectors_kept=%" PRIu64
           "\n",
           files, crash.names_undone, crash.sectors_lost, crash.sectors_kept);
    return 0;
}

/* ---- knobs ---- */

static _Atomic int64_t *knob_find(LossySuper *s, const char *key, size_t len)
{
    const struct {
        const char *name;
        _Atomic int64_t *knob;
    } knobs[] = {{"room", &s->room},
                 {"fail_sync", &s->fail_sync},
                 {"sleep_us", &s->sleep_us},
                 {"drop_sync", &s->drop_sync},
                 {"writeback_permille", &s->writeback_permille}};
    for (size_t i = 0; i < sizeof knobs / sizeof knobs[0]; i++) {
        if (strnlen(knobs[i].name, 32) == len && memcmp(knobs[i].name, key, len) == 0)
            return knobs[i].knob;
    }
    lossy_die("no knob %.*s", (int)len, key);
}

static int run_set(const Options *o, int count, char **settings)
{
    LossySuper *s = lossy_disk_open(o->platter);
    for (int i = 0; i < count; i++) {
        const char *equals = strchr(settings[i], '=');
        if (equals == NULL)
            lossy_die("not KEY=VALUE: %s", settings[i]);
        _Atomic int64_t *knob = knob_find(s, settings[i], (size_t)(equals - settings[i]));
        char *end;
        int64_t value = strtoll(equals + 1, &end, 10);
        if (knob == &s->room && strcmp(equals + 1, "none") == 0)
            value = INT64_MAX;
        else if (end == equals + 1 || *end != '\0' || value < 0)
            lossy_die("not a number: %s", settings[i]);
        atomic_store(knob, value);
    }
    return 0;
}

static int run_stat(const Options *o)
{
    LossySuper *s = lossy_disk_open(o->platter);
    printf("mode=%s room=%" PRId64 " fail_sync=%" PRId64 " sleep_us=%" PRId64 " drop_sync=%" PRId64
           " writeback_permille=%" PRId64 " syncs=%" PRIu64 " bytes=%" PRIu64 " names=%" PRIu64
           "\n",
           s->mode == LOSSY_EXT4 ? "ext4" : "strict", atomic_load(&s->room),
           atomic_load(&s->fail_sync), atomic_load(&s->sleep_us), atomic_load(&s->drop_sync),
           atomic_load(&s->writeback_permille), atomic_load(&s->sync_count),
           atomic_load(&s->sync_bytes), atomic_load(&s->name_count));
    return 0;
}

int main(int argc, char **argv)
{
    Options o = {0};
    const char *platter = NULL;
    for (int c; (c = getopt(argc, argv, "p:m:s:o:")) != -1;) {
        if (c == 'p')
            platter = optarg;
        else if (c == 'o')
            o.out = optarg;
        else if (c == 's')
            o.seed = strtoull(optarg, NULL, 10);
        else if (c == 'm' && strcmp(optarg, "ext4") == 0)
            o.mode = LOSSY_EXT4;
        else if (c != 'm' || strcmp(optarg, "strict") != 0)
            lossy_die("unknown option; the head of lossy_tool.c lists them");
    }
    if (argc - optind < 2 || realpath(argv[optind + 1], o.live) == NULL)
        lossy_die("usage: lossy-disk [options] format|crash|set|stat LIVE");
    snprintf(o.platter, sizeof o.platter, "%s%s", platter != NULL ? platter : o.live,
             platter != NULL ? "" : ".platter");
    const char *command = argv[optind];
    if (strcmp(command, "format") == 0)
        return run_format(&o);
    if (strcmp(command, "crash") == 0)
        return run_crash(&o);
    if (strcmp(command, "set") == 0)
        return run_set(&o, argc - optind - 2, argv + optind + 2);
    if (strcmp(command, "stat") == 0)
        return run_stat(&o);
    lossy_die("unknown command %s", command);
}
