/*
 * engine/engine.h -- the columnar store of events: what the log holds, ready to be asked.
 *
 * The log (events/events.h) is the truth; the engine reads what the log was given, in its order, and turns
 * it into parts: slices in memory, sorted as they fill, then files of one week each, which grow together
 * in the background.  Everything here can be made again from the log.
 *
 * Owns:     its folder (normally DATA/events/engine/): "N.part" and "N.ids", "N.names", "manifest".
 *           Formats: docs/formats/event-parts.md.
 * Promises: what was offered is seen by every view taken afterwards; an event comes in once by (source,
 *           id) within its week, however often it is offered; after a crash the engine says from which
 *           sequence number it must be offered again, and nothing below is missing or twice; links, unlinks
 *           and erasures of the log hold for every view taken afterwards, for all events, whenever these came;
 *           after engine_forget() no file has anything that only an erased actor had;
 *           at one instant the rows that a link moves count as having arrived with it; a full disk
 *           stops the writing of files and, once memory is full, engine_offer(), until there is room;
 *           no file knows more than the log has on disk (EngineOptions.settle);
 *           a file whose data or ids turn out to be damaged is made again from the log within seconds of
 *           whoever met it: until then questions that need the data fail with "events.part_damaged".
 * Memory:   rows that are not in files and their new names (EngineOptions.memory_rows_max and
 *           memory_bytes_max; beyond by what is queued, one slice and the largest batch; of links and the like
 *           it waits between two, so that a question may see the beginning of a batch while the disk is full),
 *           while a person is moved 4 bytes per row of their block in a part and flush_bytes: what is more waits
 *           for the flush in a file without a name (in memory when that cannot be written), dictionaries and
 *           actors (SchemaLimits), who is whom (engine/names/persons.h), 20 bits per event of the weeks that memory or the
 *           last flush had events of (of others too, up to EngineOptions.filter_bytes_max), 8 bytes per event that no
 *           file has, mapped pages, a bit per person and file that a question about any activity asked; while files
 *           grow together what engine/merge.h says, and 24 bytes per event; while a file is made again, it and 40
 *           bytes per event of it; while something is forgotten a bit per name, text and person.
 * Threads:  every function may be called from any thread; engine_offer() in the order of the log.
 */
#pragma once

#include "engine/names/schema.h"
#include "engine/scan/scan.h"

typedef struct Engine Engine;

/* Later events stay in the log only: scans count seconds in 32 bits.  2106-01-01. */
#define ENGINE_TIME_MS_MAX INT64_C(4291747200000)

/* How far an event may lie from when it was received: history of thirty years is imported, a clock that is
 * wrong by more than a year says nothing about when something happened. */
#define ENGINE_PAST_MS_MAX   (INT64_C(30) * 366 * 86400000)
#define ENGINE_FUTURE_MS_MAX (INT64_C(366) * 86400000)

/* Why something is in the log only.  The numbers are on disk. */
typedef enum EngineAside {
    ENGINE_ASIDE_TIME,  /* an event: ENGINE_PAST_MS_MAX, ENGINE_FUTURE_MS_MAX, ENGINE_TIME_MS_MAX */
    ENGINE_ASIDE_WEEKS, /* an event: of one week more than EngineOptions.weeks_max */
    ENGINE_ASIDE_NAMES, /* an event: of one name too many */
    ENGINE_ASIDE_ACTORS, /* an event: of one actor too many */
    ENGINE_ASIDE_PROPS,  /* a value: of one property too many */
    ENGINE_ASIDE_PAIRS,  /* a value: of one property, or field, too many of this event name */
    ENGINE_ASIDE_TYPE,   /* a value: of another type than the property's first one */
    ENGINE_ASIDE_NUMBER, /* a value: too many decimal places, or too large */
    ENGINE_ASIDE_TEXTS,  /* a value: one text too many, or too many bytes of texts */
    ENGINE_ASIDE_FIELDS, /* a value: of one field too many of a list of records */
    ENGINE_ASIDE_LINKS, /* a link: too many of them, or of one person's actors (engine/names/persons.h) */
    ENGINE_ASIDE_COUNT
} EngineAside;

/* The reason in a few words, for people. */
const char *engine_aside_text(EngineAside why);

/* A property whose type is known before its first value comes: without, the first one pins it. */
typedef struct EnginePin {
    Str name;
    EventType type;
    Str list; /* the event's list of records that it is a field of; empty = of the event itself */
} EnginePin;

typedef struct EngineOptions {
    int64_t origin_ms;        /* when some week begins; fixed when the folder is made */
    uint32_t slice_rows;      /* 0 = 16,384: rows that are sorted together */
    uint32_t flush_rows;      /* 0 = 262,144: from here on memory goes to files */
    uint32_t memory_rows_max; /* 0 = 2,097,152: offering waits beyond */
    uint32_t flush_changes;   /* 0 = 65,536: links, unlinks and erasures, from here on too */
    uint32_t fan;             /* 0 = 8: so many files of similar size become one */
    /* 0 = a quarter of flush_rows: files of a week with no more together become one at once */
    uint32_t tiny_rows;
    uint64_t flush_bytes;      /* 0 = 64 MiB: of slices, or of new names: from here on too */
    uint64_t memory_bytes_max; /* 0 = 512 MiB: of slices and new names: offering waits beyond */
    uint64_t merge_bytes_max;  /* 0 = 512 MiB: of a file that is made from several parts */
    /* 0 = 128 MiB: of filters before ids: beyond, weeks give theirs up */
    uint64_t filter_bytes_max;
    /* 0 = 128 MiB: of which rows of files are dead, the newest weeks first; of others questions find out */
    uint64_t known_bytes_max;
    uint32_t weeks_max;        /* 0 = 2,048: with events */
    const SchemaLimits *names; /* NULL = SCHEMA_LIMITS */
    const EnginePin *pins; /* a list stands before its fields; what is pinned already stays so */
    uint32_t pin_count;
    int money_places; /* decimal places of the folder's currency: numbers and amounts of one property */
    Str log_folder; /* of the log, to make damaged files again; empty = they stay */
    /* to look at it: nothing in the folder changes, what is offered stays in memory */
    bool read_only;
    /* Makes sure that the log has everything below `end_seq` on disk, and says which history that is
     * (events_mark()).  Called before files that hold it count.  NULL = there is no log. */
    Err (*settle)(Ctx *ctx, uint64_t end_seq, uint32_t *mark, void *arg);
    void *settle_arg;
} EngineOptions;

/* With read_only a folder that is missing is an empty engine, nothing may be flushed or settled, and
 * engine_offer() waits for ever once memory is full: engine_offer_now() says so.  Errors: INTERNAL "events.manifest_damaged", "events.names_damaged", "events.part_damaged",
 * "disk.failed", BUSY "disk.full". */
MUST_USE Err engine_open(Ctx *ctx, Str folder, const EngineOptions *options, Engine **out);

/* Writes what is in memory to files when the disk lets it; a merge that is under way is given up.  NULL does
 * nothing. */
void engine_close(Engine *e);

/* The next sequence number that it wants: everything below it was offered, or is in files. */
uint64_t engine_next_seq(Engine *e);

/* The history of the log that the files were made of: `mark` of everything below `end_seq`. */
void engine_history(Engine *e, uint64_t *end_seq, uint32_t *mark);

/* `records`: encoded events, the first with number `first_seq`.  What lies below engine_next_seq() is
 * passed over; numbers left out are those that the log lost.  Waits when memory is full; false =
 * not taken, engine_refuse_offers() was called. */
bool engine_offer(Engine *e, uint64_t first_seq, uint32_t count, Str records);

/* The same without waiting: false = not taken, memory is full.  The engine is then not complete, until
 * what it lacks was offered again, from engine_next_seq() on. */
bool engine_offer_now(Engine *e, uint64_t first_seq, uint32_t count, Str records);

/* From now on no offer is taken; whoever waits comes back. */
void engine_refuse_offers(Engine *e);

/* The caller's word that everything in the log was offered: until then a view lacks events.  Without effect
 * while something is missing that engine_offer_now() refused. */
void engine_set_complete(Engine *e);

/* Waits for it until `until_us` (clock_mono_us(); 0 = not at all).  False: *offered (may be NULL) says how many
 * there are so far. */
bool engine_is_complete(Engine *e, int64_t until_us, uint64_t *offered);

/* Everything offered so far.  Give it back with engine_view_done(). */
ScanView *engine_view(Engine *e);
void engine_view_done(ScanView *view);

/* The names; hold the lock while finding, not while scanning. */
Schema *engine_schema_lock(Engine *e);
void engine_schema_unlock(Engine *e);

/* All actors that are one person with `who` now, in the arena, at most PERSONS_ACTORS_MAX; itself alone, when the engine does
 * not know it, or is NULL. */
EventActor *engine_actors_with(Arena *arena, Engine *e, EventActor who, uint32_t *count);

/* Everything into files, now. */
MUST_USE Err engine_flush(Ctx *ctx, Engine *e);

/* The same, and one file per week.  What cannot be merged is put aside (EngineHealth), the rest is done, and the
 * first failure returned: those of parts_merge() and file.h, INTERNAL "events.ids_damaged". */
MUST_USE Err engine_settle(Ctx *ctx, Engine *e);

/*
 * Nothing that only erased actors had is in any file of the folder afterwards, as far as they were erased before this
 * call: everything goes to files, those with any of their rows are written again, the columns of texts of all files are
 * read for what nobody else has, the file of names is written again without it and without their keys.  Hashes of the
 * ids of their events stay.  Whoever asks or offers meanwhile does not wait for it.  A crash at any point, or an error,
 * leaves what was there; the next call goes on.
 * `report` (may be NULL) is called about once a second with how many files were written again, and of how many.
 * Errors: those of engine_settle(); CONFLICT "events.moving" when texts come again as fast as they are forgotten.
 */
typedef void (*EngineForgetFn)(uint32_t done, uint32_t of, void *arg);
MUST_USE Err engine_forget(Ctx *ctx, Engine *e, EngineForgetFn report, void *arg);

/* The same, begun soon, without waiting for it: EngineHealth says when it is done. */
void engine_forget_soon(Engine *e);

/* What went wrong with files; of the counters, since the start. */
typedef struct EngineHealth {
    uint32_t files_damaged; /* that wait to be made again */
    uint32_t files_aside;   /* with which something failed: tried again later, the others go on */
    uint64_t failed_merges;
    uint64_t mended_files;
    uint64_t kept_aside;     /* events and values that have no place in the columns (EngineAside) */
    uint32_t erased_waiting; /* actors of whom something may be left in files: engine_forget() */
    int64_t erased_since_ms; /* when files heard of the first of them; 0 = none */
} EngineHealth;

/* Does not wait for what is being applied.  Who was erased is counted once the files have heard of it. */
void engine_health(Engine *e, EngineHealth *out);

typedef struct EngineStat {
    uint64_t next_seq;    /* offered */
    uint64_t durable_seq; /* in files */
    uint64_t events;      /* without those of who was erased */
    /* what was said of persons, also where it stands twice since they were moved */
    uint64_t attribute_rows;
    uint64_t dead_rows; /* events of who was moved or erased since, in files that still have them */
    uint32_t moves;     /* of persons, since ever */
    uint64_t repeated;  /* came again and were passed over, since the start */
    uint64_t aside[ENGINE_ASIDE_COUNT]; /* events and values that are in the log only, since ever */
    uint64_t kept_aside;                /* all of them */
    uint32_t memory_rows, memory_parts, file_parts;
    uint64_t file_bytes, id_bytes;
    uint64_t bytes_written;    /* to files since the start */
    uint64_t names_file_bytes; /* on disk: names, texts, keys of actors */
    uint64_t names_bytes;      /* memory of dictionaries and actors, and of which rows are dead */
    uint64_t filter_bytes;     /* memory that says of most ids that they are new */
    EngineHealth health;
} EngineStat;
void engine_stat(Engine *e, EngineStat *out);

/* Looks at every checksum of every file; *bad = findings, each reported. */
typedef void (*EngineReportFn)(const char *file, int64_t offset, const char *what, void *arg);
MUST_USE Err engine_verify(Ctx *ctx, Engine *e, EngineReportFn report, void *arg, int64_t *bad);
