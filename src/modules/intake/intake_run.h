/*
 * modules/intake/intake_run.h -- a map and a folder of files, into the rooms.
 *
 *     files -> rows of typed fields -> prepare (this thread: keys, sealing, look-ups)
 *           -> steps of at most INTAKE_STEP_ROWS records, one transaction each, progress in it
 *
 * Owns:     tables intake_progress, intake_reject, intake_redemption.
 * Promises: a run that was killed goes on where it was and ends as if it had not been; importing the
 *           same again changes nothing: a shop, product, campaign or template is known by its code, a
 *           person by any of its identifiers, an order by (shop, business day, channel, number), a redemption by
 *           (template, person, time); a record goes in whole or is rejected with a reason; what a row
 *           refers to and does not exist (product, shop, person) is made, known by its code only, and
 *           counted; memory is bounded whatever the files hold.
 * Depends:  base, db, jobs (outbox), setting, store, catalog, person, campaign, coupon, order.
 * Threads:  one run at a time per database; it reads ahead while the database writes.
 */
#pragma once

#include "db/db.h"
#include "modules/intake/intake_map.h"

enum { INTAKE_STEP_ROWS = 2000 };

typedef struct IntakeTally {
    int64_t added, changed, unchanged; /* records */
    int64_t rejected;                  /* rows of the files */
} IntakeTally;

/* Something that was counted by name: a condition of the map, amounts with noise. */
typedef struct IntakeNote {
    Str file, what;
    int64_t count;
} IntakeNote;

typedef struct IntakeResult {
    IntakeTally target[INTAKE_ROOM_TARGETS];
    int64_t files, rows;                             /* read */
    int64_t products_made, stores_made, people_made; /* because a row referred to them */
    bool resumed;                                    /* an earlier run had been interrupted */
    IntakeNote *notes;                               /* with a count above 0 */
    size_t note_count;
} IntakeResult;

typedef struct IntakeProgress {
    const char *file; /* its name without the folder */
    Str target;
    size_t part, parts; /* from 1 */
    int64_t rows;       /* of all files so far */
    int64_t permille;   /* of the whole run, by bytes of the files */
} IntakeProgress;

typedef struct IntakeRunOptions {
    const IntakeMap *map;
    const char *dir;
    const char *rejects_path; /* made when the first row is rejected; an older one is removed */
    const char *temp_dir;     /* for sorting; NULL = /tmp */
    /* After each step and every few thousand rows read; an error stops the run, which can be resumed.  May
     * be NULL. */
    Err (*tick)(void *arg, Ctx *ctx, const IntakeProgress *progress);
    void *tick_arg;
} IntakeRunOptions;

/*
 * Imports everything.  ctx->db reads, ctx->keys and ctx->settings are set; the folder's currency is
 * the map's (see intake_settings()).
 * Errors: those of intake_map_find(), intake_rows_open() and intake_rows_next(); whatever the database
 * says (BUSY: run it again); what `tick` returns.
 */
MUST_USE Err intake_run(Ctx *ctx, Database *database, const IntakeRunOptions *options,
                        IntakeResult *out);

/* Reads everything and writes nothing: out->target[].added is how many records could be imported.  What
 * rows refer to is not looked up.  Needs ctx->settings (for phone numbers), no database. */
MUST_USE Err intake_dry_run(Ctx *ctx, const IntakeRunOptions *options, IntakeResult *out);

/*
 * A folder without sales and coupons takes the map's currency, and its zone as it is now; any other
 * must have that currency.  *settings is what holds afterwards.
 * Errors: CONFLICT "intake.currency" (the hint says what to do), INVALID "setting.currency".
 */
MUST_USE Err intake_settings(Ctx *ctx, Database *database, const IntakeMap *map,
                             struct Settings *settings);

/* Fields that the map fills and no room keeps yet: "products.barcode", ...; in ctx->arena. */
StrList intake_unkept(Ctx *ctx, const IntakeMap *map);

/* Redemptions of campaigns' coupons by people who were no targets, and outside the campaign's dates. */
MUST_USE Err intake_strays(Ctx *ctx, int64_t *untargeted, int64_t *undated);
