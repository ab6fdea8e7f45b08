/*
 * engine/engine_inside.h -- what the files of the engine share.  Private to engine*.c.
 *
 *   engine.c         opening, closing, views, figures
 *   engine_apply.c   encoded events to rows, rows to slices
 *   engine_read.c    the bytes of some of them, to be applied together
 *   engine_row.c     an event to a row
 *   engine_memory.c  what happens when memory is full
 *   engine_move.c    links, unlinks, erasures: rows go to where they belong now
 *   engine_dead.c    which rows of files are dead since: how many, and for questions which ones
 *   engine_keep.c    slices to files, files to larger files
 *   engine_write.c   new files, and how they come into the manifest
 *   engine_mend.c    damaged files once more from the log
 *   engine_files.c   the manifest and what it names
 *   engine_forget.c  what only erased persons had leaves every file
 *
 * Locks: `apply` (the schema, the open slice, the weeks' ids) before `lock` (the lists of parts).
 */
#pragma once

#include "engine/core/dict_find.h"
#include "engine/engine.h"
#include "engine/part/ids.h"
#include "engine/part/rows.h"
#include "events/event_rest.h"
#include "events/events.h"
#include "events/siphash.h"

#include <pthread.h>

enum { ENGINE_MANIFEST_VERSION = 8, ENGINE_NAME_BYTES = 40 };

/* A part in a file, with the ids of its events. */
typedef struct FilePart {
    Part *part;
    Ids ids;
    uint64_t number;
    uint32_t failures;   /* how often something that was tried with it failed */
    int64_t retry_at_us; /* of the monotonic clock: put aside until then; 0 = not */
    bool ends_stretch;   /* with what came behind it, it would become too large */
    /* of the monotonic clock: its dead rows have stayed for long enough then; 0 = it has none */
    int64_t stale_at_us;
} FilePart;

typedef struct NamesFile {
    uint64_t number;    /* of the file; 0 = there is none yet */
    int64_t bytes;      /* that count */
    uint32_t forgotten; /* so many erasures have left nothing in it, nor in the files beside it */
} NamesFile;

/* How far the files know the log, as the manifest says it; the last two are filled in when it is saved. */
typedef struct Durable {
    uint64_t seq;          /* numbers below are in files */
    uint32_t mark;         /* which history of the log that is */
    const uint64_t *aside; /* by reason: of what lies below */
    uint32_t erased;       /* erasures that they have heard of, since ever */
    /* when they heard of the first that has left anything in a file; 0 = none */
    int64_t erased_since_ms;
    NamesFile names;
} Durable;

/* What is known about the events of one week, to see repetitions. */
typedef struct Week {
    int64_t week_ms;
    RecentIds recent;   /* of rows that are not being written */
    RecentIds flushing; /* of rows that are */
    RecentIds stand_in; /* of files whose ids are damaged, read from the log */
    IdFilter filter;    /* before the files; made when the week gets an event and has none */
    uint64_t flushed;   /* number behind the last flush that had events of it */
} Week;

/* The properties that events of a name had, in the order in which they came first, and the fields of its last record: the
 * next ones mostly have the same. */
enum { SHAPE_PROPS = 32, SHAPE_FIELDS = 16 };

/* How a property begins in a record: the length of its name, that, its type.  So it is known again at one look. */
typedef struct ShapeMark {
    uint64_t low, high, low_mask, high_mask;
    uint32_t bytes; /* SHAPE_MARK_NONE: it is too long for that, or its type may change */
} ShapeMark;
enum { SHAPE_MARK_BYTES = 16, SHAPE_MARK_NONE = INT32_MAX };

typedef struct Shape {
    uint32_t count;
    SchemaProp *props[SHAPE_PROPS];
    ShapeMark marks[SHAPE_PROPS];
    SchemaProp *fields[SHAPE_FIELDS];
} Shape;

/* A text that came last, and its code: the next one mostly is the same.  0: none yet. */
typedef struct LastText {
    Str text;
    uint32_t code;
} LastText;

/* A batch that waits to be applied. */
typedef struct Offer {
    struct Offer *next;
    uint64_t first_seq;
    uint32_t count;
    uint32_t bytes;
    char records[];
} Offer;

struct Engine {
    char folder_bytes[FILE_PATH_BYTES_MAX + 1], log_folder_bytes[FILE_PATH_BYTES_MAX + 1];
    Str folder;
    EngineOptions o;
    uint8_t key[SIPHASH_KEY_BYTES]; /* of the ids */

    pthread_t applier, keeper;
    atomic_bool stuck;   /* a change was left out, because rows that it moves cannot be read */
    atomic_bool closing; /* merges end at their next block, and no other begins */
    pthread_mutex_t apply;
    Schema *schema; /* guarded by apply */
    Shape *shapes;  /* by event name; guarded by apply */
    uint32_t shape_count;
    RowBuffer open;      /* guarded by apply */
    uint64_t open_names; /* schema_new_bytes() when `open` began; guarded by apply */
    uint64_t open_from;  /* first number of `open`; guarded by apply */
    uint64_t applied;    /* numbers below are in rows; guarded by apply, changes under lock too */
    Week **weeks;        /* ascending: those with files or rows; guarded by apply */
    uint32_t week_count, week_cap;
    Part **peek; /* parts of the open slice, made for a view; guarded by apply */
    uint32_t peek_count, peek_rows;
    Week *week_near; /* of the last event; guarded by apply */
    LastText last_source;
    Arena *scratch;           /* guarded by apply */
    Arena *group[2];          /* of events that are applied together; the applier's own */
    uint32_t moved_rows;      /* since the last flush began; guarded by apply, as the next two */
    uint64_t unflushed_bytes; /* of records */
    bool cannot_spill;        /* the log has heard of it */
    uint64_t repeated;
    uint64_t aside[ENGINE_ASIDE_COUNT]; /* guarded by apply */
    _Atomic uint64_t kept_aside;        /* of all reasons, since it was opened */
    uint32_t aside_said;                /* bit i: the log has heard of reason i */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    Offer *first, *last;  /* guarded by lock, as everything below */
    uint64_t offered;     /* numbers below were offered */
    uint64_t lacks_seq;   /* the last one that was refused, 0 = none */
    int64_t queued_bytes; /* of what waits to be applied */
    bool stopping, refusing, flush_wanted, settle_wanted, forget_wanted, complete;
    bool waits_for_room; /* the applier does, in the middle of an offer */
    Part **memory;       /* slices, by arrival */
    uint32_t memory_count, memory_cap, memory_rows;
    uint64_t memory_bytes; /* of the slices */
    uint64_t new_names;    /* bytes of names that no flush has taken */
    uint32_t flush_count;  /* of them: the first ones are on their way to files */
    bool flush_begun;      /* with none it is for who is whom alone */
    Buf flush_names;       /* names that no file has yet; the keeper's own, as what follows */
    Buf flush_changes;     /* of who is whom: those that the flush's rows know of */
    Moved *flush_moved;    /* as it is with them */
    uint32_t flush_erased; /* erasures, since ever, with them */
    uint64_t flush_end;    /* numbers below are in the slices of the flush, or aside */
    uint64_t flush_aside[ENGINE_ASIDE_COUNT];   /* of the events below the flush's end */
    uint64_t durable_aside[ENGINE_ASIDE_COUNT]; /* of those below durable_seq */
    Week **flush_weeks;
    uint32_t flush_week_count;
    FilePart *files; /* by week, then arrival */
    uint32_t file_count, file_cap;
    uint64_t durable_seq;  /* numbers below are in files */
    uint32_t durable_mark; /* which history of the log that is */
    /* whose rows in files are dead because they are elsewhere in files; guarded by lock */
    Moved *durable_moved;
    struct {
        int64_t next_us;  /* not before */
        uint64_t no_room; /* the file for which there was none; 0 = for all there was */
        uint64_t newest;  /* what was looked at: the highest number of a file, */
        uint32_t file_count, generation; /* so many, and who was moved up to then */
    } know_dead;                         /* the keeper's own: engine_dead.c */
    uint64_t next_number;
    uint64_t *orphans; /* files that a manifest may name whose save failed; the keeper's own */
    uint32_t orphan_count, orphan_cap;
    NamesFile names;            /* as the next manifest will say it */
    uint32_t durable_erased;    /* erasures that the files have heard of */
    uint32_t durable_forgotten; /* names.forgotten, as the manifest says it */
    int64_t erased_since_ms;    /* as there */
    /* of the round that is under way: files to write again, and those that are done */
    uint32_t forget_files, forgot_files;
    _Atomic uint64_t bytes_written; /* by the keeper, without a lock */
    uint64_t rounds;                /* of the keeper that came to an end */
    EngineHealth health;            /* its counters */
    Err keeper_err;
    Fault keeper_fault;
};

/* ---- engine_apply.c ----------------------------------------------------------------------------- */

void *engine_apply_main(void *engine);

/* The week that begins there, made when there is none.  NULL: there are too many.  Under `apply`. */
Week *engine_week(Engine *e, int64_t week_ms);

/* The files of a week: how many, and where they begin.  Under `lock`. */
uint32_t engine_files_of(const Engine *e, int64_t week_ms, uint32_t *first);

/* What a slice takes while it is sorted, and while it grows: its columns have eight bytes per cell at most. */
enum { ENGINE_SLICE_CELLS = 1 << 24, ENGINE_SLICE_TAKEN = 1 << 23 };

/* Parts that were made just now have everything behind them that is known of who is whom.  Under `apply`. */
void engine_set_generation(const Engine *e, Part *const *parts, uint32_t count);

/* The parts of the open slice that a view had made.  Under `apply`. */
void engine_drop_peek(Engine *e);

/* Turns the open slice into parts.  Under `apply`. */
void engine_close_slice(Engine *e);

/* Names that no file has, into `flush_names`.  Under `apply` and `lock`. */
void engine_take_names(Engine *e);

/* Where an event goes: `ordinal` says which of the person's actors it was. */
typedef struct Home {
    uint32_t name, person, ordinal;
    Week *week;
} Home;

/* Why the event has no place in the columns; ENGINE_ASIDE_COUNT = it has.  Under `apply`. */
EngineAside engine_find_home(Engine *e, const Event *event, Home *out);

/* The week of an event that was received then. */
EngineAside engine_find_week(Engine *e, int64_t time_ms, int64_t received_ms, Week **out);

/* The ids of the week's files were read, and there is room for more. */
static inline bool engine_has_filter(const Week *w)
{
    return w->filter.lines != NULL && w->filter.count <= w->filter.cap;
}

/* An event, or attributes of a person. */
static inline bool engine_has_row(EventKind kind)
{
    return kind == EVENT_HAPPENED || kind == EVENT_PERSON;
}

/* Of source and id as they stand in a record, each behind its length: keyed; never 0. */
static inline uint64_t engine_id_of(const Engine *e, Str source_and_id)
{
    const uint64_t hash = siphash_13(e->key, source_and_id);
    return hash == 0 ? 1 : hash;
}
uint64_t engine_id_hash(const Engine *e, const Event *event);

/* ---- engine_read.c ------------------------------------------------------------------------------- */

/* A value that came, and what is known of where it goes. */
typedef struct Value {
    SchemaProp *prop; /* NULL: it must be looked for, by its name */
    Str name;         /* unless bytes of the shape said which one it is */
    EventType type;
    uint8_t scale; /* EVENT_NUMBER */
    union {
        int64_t number; /* also money, a time, yes or no */
        DictKey text;   /* EVENT_TEXT: a key of prop->values; when there are none, the text alone */
        const EventProp *list; /* EVENT_TEXTS, EVENT_ITEMS */
    };
} Value;

typedef struct Values {
    Value *at;
    uint32_t count;
} Values;

/* A record that was read.  Without a place (`why`), nothing but its times. */
typedef struct Coming {
    EventKind kind;
    const Event *change; /* of another kind: all of it */
    size_t bytes;        /* of its record */
    int64_t time_ms, received_ms;
    Week *week;
    EngineAside why;
    Str source, id_bytes, name;
    DictKey store, actor; /* an empty text: none, nobody */
    uint32_t event;       /* its name; 0: nobody knows it yet */
    Values props, context;
    uint64_t id;
    char near_actor[DICT_PADDING]; /* the key of an actor, when it is short */
} Coming;

/* A text that will be looked for. */
typedef struct Wanted {
    const Dict *in;
    uint64_t hash;
} Wanted;

/* Events that are read together, and then applied: what they need of tables that are larger than the caches is on its way
 * meanwhile, while the next ones are read.  So an event takes half of the time.  They are so few that what they were
 * read into stays in the nearest cache. */
enum { GROUP_EVENTS = 16, GROUP_BYTES = 1 << 16, GROUP_WANTED = 4 * GROUP_EVENTS };
typedef struct Group {
    Arena *arena;
    Coming at[GROUP_EVENTS];
    Wanted wanted[GROUP_WANTED]; /* in large dictionaries; what is more is not fetched before */
    uint32_t count, wanted_count;
    DictStep steps; /* that they need: short ones stand in their places */
    Week *lacks;    /* the week of the event behind the last one: its ids must be read first */
} Group;

/* What the first records of `left` say, at most `most`; takes them off.  Read, they are many times as large: hence
 * the bytes.  What is no event stands alone.  DICT_PADDING bytes behind all of them may be read.  Under `apply`, and
 * valid until it is given up. */
void engine_read_group(Engine *e, Str *left, uint32_t most, Group *g);

/* What its first fetch has brought says what is fetched next; between the two, something else is done. */
void engine_fetch_group(const Group *g);

/* ---- engine_row.c ------------------------------------------------------------------------------- */

#define ASIDE_NOT ENGINE_ASIDE_COUNT /* it has a place */

/* The property of this name, when events of the shape had it.  *near: where to look first, 0 in the beginning: properties
 * mostly come in the order of the shape. */
static inline SchemaProp *shape_find(const Shape *shape, uint32_t *near, SchemaSpace space,
                                     Str name)
{
    for (uint32_t i = 0; i < shape->count; i++) {
        const uint32_t at = *near + i < shape->count ? *near + i : *near + i - shape->count;
        SchemaProp *prop = shape->props[at];
        if (prop->space != space || !str_same(prop->name, name))
            continue;
        *near = at + 1;
        return prop;
    }
    return NULL;
}

/* As a row.  What of it has no place is counted when it goes to the open slice: elsewhere, it was before. */
void engine_put_row(Engine *e, RowBuffer *to, const Event *event, const Home *home);

/* The same, to the open slice. */
void engine_put_coming(Engine *e, const Coming *c, const Home *home);

/* Numbers below `seq` are in rows; so many bytes of what was offered are done with. */
void engine_set_applied(Engine *e, uint64_t seq, uint32_t bytes_done);

/* Closes the open slice when it has become large. */
void engine_slice_grew(Engine *e);

/* An event, or a value of it, has no place.  Under `apply`. */
void engine_keep_aside(Engine *e, EngineAside why);

/* ---- engine_move.c ------------------------------------------------------------------------------- */

/* What the record says of who is whom, with number `seq`.  Under `apply`, which is free while memory is full, and while a
 * file with rows of the person is being made again.  False: there is no room, nor will there be (engine_give_back()). */
MUST_USE bool engine_change(Engine *e, const Event *record, uint64_t seq);

/* ---- engine_dead.c ------------------------------------------------------------------------------- */

/* Events of the part that are dead by this map, as which `died` of them have died since it was opened: both of one
 * moment under `apply`.  Without a lock: when nobody has counted them yet, keys are read. */
uint32_t engine_dead(Part *part, const Moved *moved, uint32_t died);

/* Finds the dead rows of files again, when persons were moved or files made since and it is time: of the keeper's time it
 * takes a twentieth.  Ends early, with what it has, when a flush is wanted or the engine closes.
 * The keeper's, without a lock. */
void engine_know_dead(Engine *e);

/* ---- engine_memory.c ----------------------------------------------------------------------------- */

/* Whether slices and names leave room for more.  Under `lock`. */
bool engine_has_memory(const Engine *e);

/* Waits between two changes until a flush has made room; gives up `apply` meanwhile.  False: there will be none. */
MUST_USE bool engine_wait_for_room(Engine *e);

/* What was offered and is not applied must be offered again, to another engine: this one takes no more.  Under
 * `apply`. */
void engine_give_back(Engine *e);

/* Bytes that a slice takes of memory. */
uint64_t engine_heap_bytes(const Part *slice);

/* Slices that a change fills memory with go to files without a name.  Under `apply`. */
void engine_spill_when_full(Engine *e);

/* What came since the last flush is much, although its rows are few.  Under `apply` and `lock`. */
bool engine_flush_is_due(const Engine *e, bool is_quiet);

/* ---- engine_mend.c ------------------------------------------------------------------------------ */

/* Makes the damaged files again whose time has come; what fails is put aside, the first failure returned. */
MUST_USE Err engine_mend_due(Ctx *ctx, Engine *e);

/* Files that were written together: the first one has the ids of all, and whatever they were merged with since,
 * the files before hold the ids of their own rows, and these those of theirs.  Most stand alone. */
typedef struct FileGroup {
    uint32_t from, to; /* of the files: [from, to) */
} FileGroup;

/* Of the file at `at`; `files` are all of its week. */
FileGroup engine_group_of(const FilePart *files, uint32_t count, uint32_t at);

/* What arrived in [from_seq, to_seq) of one week. */
typedef struct LogStretch {
    int64_t week_ms;
    uint64_t from_seq, to_seq;
    bool erasures; /* these instead, of any week */
} LogStretch;

typedef Err (*LogEventFn)(Ctx *ctx, uint64_t seq, const Event *event, void *arg);

/* Calls `fn` for every event of the stretch.  `stop` (may be NULL): CONFLICT "events.stopped" once it is true.
 * INTERNAL "events.log_short": the log ends before. */
MUST_USE Err engine_log_read(Ctx *ctx, const Engine *e, const LogStretch *stretch,
                             const atomic_bool *stop, LogEventFn fn, void *arg);

/* ---- engine_keep.c ------------------------------------------------------------------------------ */

void *engine_keep_main(void *engine);
uint64_t *engine_hashes_of(Ctx *ctx, const RecentIds *r); /* ascending */

/* In the middle of a long round of the keeper: memory goes to files when it should. */
MUST_USE Err engine_flush_when_due(Ctx *ctx, Engine *e);

/* ---- engine_write.c ----------------------------------------------------------------------------- */

/* What a file shall hold: parts of one week by arrival, and the ids of their events, ascending. */
typedef struct FileContent {
    Part *const *parts;
    uint32_t count;
    const uint64_t *hashes;
    uint32_t hash_count;
    const Moved *moved;      /* whose rows stay behind */
    uint64_t bytes_max;      /* as the next one: parts_merge() */
    const atomic_bool *stop; /* may be NULL */
} FileContent;

/* One file and its ids, synced and open; the folder is not synced yet.  On failure nothing of it stays.
 * Errors: those of parts_merge() and file.h. */
MUST_USE Err engine_file_write(Ctx *ctx, Engine *e, const FileContent *c, FilePart *out);

/* Whether a merge failed because of its size. */
bool engine_is_too_large(const Ctx *ctx, Err err);

/* Removes what the manifest names no more, and closes it. */
void engine_file_retire(Engine *e, FilePart *f);

/* The files by week, then arrival, as they shall be. */
typedef struct FileList {
    FilePart *at;
    uint32_t count;
} FileList;

/* The same as one file behind those of `made`, or as several when it would be too large: the first then has the ids
 * of all. */
MUST_USE Err engine_files_write(Ctx *ctx, Engine *e, const FileContent *c, FileList *made);

FileList engine_files_copy(Ctx *ctx, Engine *e, uint32_t room); /* with room for so many more */
void engine_files_insert(FileList *l, const FilePart *f);
void engine_files_cut(FileList *l, uint32_t first, uint32_t n);
void engine_files_take_over(Engine *e, const FileList *l); /* under `lock` */

/* The n files of `old`, l->at[first] and on, become one (engine_keep.c). */
MUST_USE Err engine_files_merge(Ctx *ctx, Engine *e, FileList *l, uint32_t first, uint32_t n,
                                FilePart *old);

/* What was tried with these files failed: they are left alone for a while, longer each time, so that the
 * others get on. */
void engine_files_put_aside(Engine *e, const FilePart *files, uint32_t n, const Fault *why);

/* New names and the list go to disk; `made` are the list's new files, given up when that fails.  NULL `d`: the
 * files know as much as before; what it says of names is not looked at. */
MUST_USE Err engine_files_save(Ctx *ctx, Engine *e, const FileList *l, const Durable *d,
                               const FileList *made);

/* Closes them and removes them: at once, or, when a manifest may name them, with the next that is saved. */
void engine_files_give_up(Engine *e, const FileList *made, bool named);

/* A start may find a manifest that names this file; with the next one that is saved, it goes. */
void engine_keep_orphan(Engine *e, uint64_t number);
void engine_remove_files(Engine *e, uint64_t number); /* all of this number */

/* ---- engine_forget.c ---------------------------------------------------------------------------- */

/* What is left of the erased whom the files have heard of leaves them; the keeper's, behind a flush.  Errors: as of
 * engine_forget(). */
MUST_USE Err engine_forget_due(Ctx *ctx, Engine *e);

/* Whether rows of somebody erased stay behind when this is written: then nothing of them may be in the tables either. */
bool engine_has_erased_rows(Engine *e, const FileContent *c);

/* ---- engine_files.c ----------------------------------------------------------------------------- */

MUST_USE Err engine_load(Ctx *ctx, Engine *e); /* the manifest and what it names */
MUST_USE Err engine_file_open(Ctx *ctx, Engine *e, uint64_t number, FilePart *out);
/* Syncs the folder, then swaps the manifest.  *named: it failed, but a start may find it nevertheless. */
MUST_USE Err engine_manifest_save(Ctx *ctx, Engine *e, const FilePart *files, uint32_t count,
                                  const Durable *d, bool *named);
void engine_file_close(FilePart *f);
MUST_USE Err engine_names_map(Ctx *ctx, Engine *e, Str *out); /* those that count, and maybe more */
Str engine_file_name(uint64_t number, const char *suffix, char dst[ENGINE_NAME_BYTES]);
