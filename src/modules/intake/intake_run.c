/*
 * modules/intake/intake_run.c -- runs: which files, what was done before, steps, rejects, progress.
 */
#include "modules/intake/intake_run.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/phone.h"
#include "intake.sql.h"
#include "modules/coupon/coupon.h"
#include "modules/intake/intake_run_step.h"
#include "modules/order/order.h"
#include "modules/setting/setting.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOTES_MAX = 1024 };

typedef struct Run {
    Ctx *ctx;
    Database *database; /* NULL = dry run */
    const IntakeRunOptions *options;
    IntakeResult *result;
    IntakeFeed *feed;
    size_t feeds;
    size_t current; /* feed being read */
    RowReader *rows;
    RejectWriter *rejects; /* from the first reject on */
    IntakeStep *step[2];
    size_t filling; /* the other one may be in flight */
    StepSum sum;    /* of the current feed; its cache is the run's */
    int64_t bytes, bytes_done;
    int64_t rows_done;
} Run;

/* ---- files -------------------------------------------------------------------------------------------- */

static Err stat_file(Ctx *ctx, IntakeFeed *f, Buf *identity)
{
    struct stat st;
    if (stat(f->path, &st) != 0)
        return fail(ctx, ERR_NOT_FOUND, "intake.file_not_found", "%s: %s", f->path,
                    strerror(errno));
    f->bytes = st.st_size;
    buf_addf(identity, "%s\n%" PRId64 " %" PRId64 ".%ld\n", f->name.ptr, f->bytes,
             (int64_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    return ERR_OK;
}

static Str base_name(Str path)
{
    size_t at = path.len;
    while (at > 0 && path.ptr[at - 1] != '/')
        at--;
    return str_slice(path, at, path.len);
}

static Err add_feeds(Run *run, const IntakeMapFile *file, Buf *identity)
{
    StrList paths;
    TRY(intake_map_find(run->ctx, run->options->map, file, run->options->dir, &paths));
    for (size_t i = 0; i < paths.count; i++) {
        IntakeFeed *f = &run->feed[run->feeds];
        *f = (IntakeFeed){.part = (int64_t)run->feeds,
                          .map = run->options->map,
                          .file = file,
                          .path = arena_copy(run->ctx->arena, paths.item[i]).ptr,
                          .name = arena_copy(run->ctx->arena, base_name(paths.item[i])),
                          .cache = run->sum.cache};
        TRY(stat_file(run->ctx, f, identity));
        run->bytes += f->bytes;
        run->feeds++;
    }
    return ERR_OK;
}

static size_t count_files(Ctx *ctx, const IntakeRunOptions *o, Err *err)
{
    size_t n = 0;
    for (size_t i = 0; i < o->map->files && *err == ERR_OK; i++) {
        StrList paths;
        *err = intake_map_find(ctx, o->map, &o->map->file[i], o->dir, &paths);
        n += *err == ERR_OK ? paths.count : 0;
    }
    return n;
}

/* The map's text is part of the run's name: with another map the rows have other ordinals. */
static Err add_map(Ctx *ctx, const IntakeMap *map, Buf *identity)
{
    Str text;
    const Str name = base_name(map->path);
    Str folder = str_slice(map->path, 0, map->path.len - name.len);
    folder = folder.len == 0 ? STR(".") : arena_copy(ctx->arena, folder);
    TRY(file_load(ctx, folder, name, INTAKE_MAP_BYTES_MAX, &text));
    buf_add(identity, text);
    return ERR_OK;
}

static Err find_files(Run *run)
{
    Err err = ERR_OK;
    const size_t n = count_files(run->ctx, run->options, &err);
    TRY(err);
    run->feed = ARENA_ARRAY(run->ctx->arena, IntakeFeed, n + 1);
    Buf identity = BUF_MAX(INTAKE_MAP_BYTES_MAX + n * 512);
    err = add_map(run->ctx, run->options->map, &identity);
    for (size_t i = 0; i < run->options->map->files && err == ERR_OK; i++)
        err = add_feeds(run, &run->options->map->file[i], &identity);
    uint8_t digest[CRYPTO_MAC_BYTES];
    crypto_sha256(buf_str(&identity), digest);
    buf_free(&identity);
    const Str key = hex_encode(run->ctx->arena, (Str){(const char *)digest, 16});
    for (size_t i = 0; i < run->feeds; i++)
        run->feed[i].run = key;
    return err;
}

/* ---- rejects and progress ------------------------------------------------------------------------------ */

static Err put_reject(void *arg, Ctx *ctx, const IntakeReject *reject)
{
    Run *run = arg;
    if (run->options->rejects_path == NULL)
        return ERR_OK;
    if (run->rejects == NULL)
        TRY(intake_reject_open(ctx, run->options->rejects_path, &run->rejects));
    return intake_reject_put(run->rejects, ctx, reject);
}

static Err put_stored_reject(Ctx *ctx, const Row_intake_rejects *row, void *arg)
{
    Run *run = arg;
    char reason[128], sentence[256];
    const bool fits = str_to_c(row->reason, reason, sizeof reason) &&
                      str_to_c(row->sentence, sentence, sizeof sentence);
    ENSURE(ctx, fits);
    return put_reject(run, ctx,
                      &(IntakeReject){.file = run->feed[run->current].name,
                                      .line = row->line,
                                      .column = row->field,
                                      .value = row->value,
                                      .reason = reason,
                                      .sentence = sentence});
}

/* How much of the current file is done, in thousandths.  A file that has to be sorted is read whole
 * before its first row comes. */
static int64_t file_permille(const Run *run)
{
    int64_t read = 0, size = 0;
    const IntakeMapFile *file = run->feed[run->current].file;
    const IntakeStats s = intake_rows_stats(run->rows);
    intake_rows_progress(run->rows, &read, &size);
    const int64_t reading = size > 0 ? read * 1000 / size : 0;
    if (file->group_by.count == 0 || file->sorted)
        return reading;
    const int64_t given = s.lines > 0 ? s.lines : s.rows + s.folded;
    const int64_t giving = s.read > 0 ? given * 1000 / s.read : 0;
    return (reading * 300 + (giving < 1000 ? giving : 1000) * 700) / 1000;
}

static Err tick(void *arg, Ctx *ctx)
{
    Run *run = arg;
    if (run->options->tick == NULL)
        return ERR_OK;
    const IntakeFeed *f = &run->feed[run->current];
    const int64_t done = run->bytes_done + f->bytes * file_permille(run) / 1000;
    const IntakeProgress p = {.file = f->name.ptr,
                              .target = str_of(f->file->target->name),
                              .part = run->current + 1,
                              .parts = run->feeds,
                              .rows = run->rows_done + intake_rows_stats(run->rows).read,
                              .permille = run->bytes > 0 ? done * 1000 / run->bytes : 0};
    return run->options->tick(run->options->tick_arg, ctx, &p);
}

static void note(Run *run, Str what, int64_t count)
{
    if (count > 0 && run->result->note_count < NOTES_MAX)
        run->result->notes[run->result->note_count++] =
            (IntakeNote){run->feed[run->current].name, what, count};
}

static void add_stats(Run *run)
{
    const IntakeStats s = intake_rows_stats(run->rows);
    const IntakeMapFile *file = run->feed[run->current].file;
    IntakeTally *t = &run->result->target[file->target->id];
    t->added += run->sum.tally.added;
    t->changed += run->sum.tally.changed;
    t->unchanged += run->sum.tally.unchanged;
    t->rejected += run->sum.tally.rejected + s.rejected;
    run->result->products_made += run->sum.made.products;
    run->result->stores_made += run->sum.made.stores;
    run->result->people_made += run->sum.made.people;
    run->result->rows += s.read;
    for (size_t i = 0; i < file->skip.count; i++)
        note(run, file->skip.condition[i].as, s.skip_hits[i]);
    for (size_t i = 0; i < file->count.count; i++)
        note(run, file->count.condition[i].as, s.count_hits[i]);
    note(run, STR("amounts that came with floating-point noise"), s.noise);
    run->rows_done += s.read;
    run->bytes_done += run->feed[run->current].bytes;
}

/* ---- one file -------------------------------------------------------------------------------------------- */

/* The step's own rejects, into the file: they are committed. */
static Err list_rejects(Run *run, const IntakeStep *s)
{
    for (size_t i = 0; i < s->rows; i++)
        if (s->row[i].reason != NULL)
            TRY(put_reject(run, run->ctx,
                           &(IntakeReject){.file = run->feed[run->current].name,
                                           .line = s->row[i].line_no,
                                           .column = s->row[i].column,
                                           .value = s->row[i].value,
                                           .reason = s->row[i].reason,
                                           .sentence = s->row[i].sentence.ptr}));
    return ERR_OK;
}

static Err collect(Run *run, IntakeStep *s)
{
    const bool was_in_flight = s->in_flight;
    const Err err = intake_step_collect(s, run->database, &run->sum);
    if (err != ERR_OK)
        run->ctx->fault = s->ctx.fault;
    TRY(err);
    return was_in_flight ? list_rejects(run, s) : ERR_OK;
}

/* Gives the filled step away and takes the other one. */
static Err turn(Run *run)
{
    IntakeStep *full = run->step[run->filling];
    IntakeStep *other = run->step[1 - run->filling];
    TRY(collect(run, other));
    intake_step_submit(full, run->database);
    intake_step_reset(other, &run->feed[run->current]);
    run->filling = 1 - run->filling;
    return tick(run, run->ctx);
}

static Err feed_row(Run *run, const IntakeRow *row)
{
    IntakeStep *s = run->step[run->filling];
    const Err err = intake_step_add(s, row);
    if (err != ERR_OK)
        run->ctx->fault = s->ctx.fault;
    TRY(err);
    return intake_step_full(s) ? turn(run) : ERR_OK;
}

static Err drain(Run *run)
{
    if (run->step[run->filling]->rows > 0)
        TRY(turn(run));
    return collect(run, run->step[1 - run->filling]);
}

/* What an interrupted run did with this file; *done = the ordinal up to which its rows are in. */
static Err recall(Run *run, int64_t *done)
{
    const IntakeFeed *f = &run->feed[run->current];
    Row_intake_progress_find p = {0};
    const Err err = sql_intake_progress_find(run->ctx, f->run, f->part, &p);
    *done = p.done;
    if (err == ERR_NOT_FOUND)
        return ERR_OK;
    TRY(err);
    run->result->resumed = true;
    run->sum.tally = (IntakeTally){p.added, p.altered, p.same, p.rejected};
    run->sum.made = (Made){p.products, p.stores, p.people};
    return sql_intake_rejects(run->ctx, f->run, f->part, put_stored_reject, run);
}

static Err feed_rows(Run *run)
{
    int64_t done = 0;
    IntakeRow row;
    bool more = true;
    TRY(recall(run, &done));
    intake_step_reset(run->step[run->filling], &run->feed[run->current]);
    while (true) {
        TRY(intake_rows_next(run->rows, run->ctx, &row, &more));
        if (!more)
            return drain(run);
        if (row.ordinal > done)
            TRY(feed_row(run, &row));
    }
}

static bool is_a_phone(const Ctx *ctx, Str text)
{
    Phone phone;
    return phone_parse(text, ctx->settings->region, &phone) == PHONE_FAULT_NONE;
}

static Err check_row(Run *run, const IntakeRow *row)
{
    const IntakeTarget *target = run->feed[run->current].file->target;
    for (size_t i = 0; i < target->fields; i++) {
        const IntakeValue *v = &row->value[i];
        if (target->id == INTAKE_TARGET_STORES || target->field[i].type != INTAKE_PHONE ||
            !v->present || is_a_phone(run->ctx, v->text))
            continue;
        run->sum.tally.rejected += row->lines > 0 ? (int64_t)row->lines : 1;
        return put_reject(run, run->ctx,
                          &(IntakeReject){.file = run->feed[run->current].name,
                                          .line = row->line_no,
                                          .column = str_of(target->field[i].name),
                                          .value = v->text,
                                          .reason = "person.phone",
                                          .sentence = "not a phone number"});
    }
    run->sum.tally.added++;
    return ERR_OK;
}

static Err check_rows(Run *run)
{
    IntakeRow row;
    bool more = true;
    while (true) {
        TRY(intake_rows_next(run->rows, run->ctx, &row, &more));
        if (!more)
            return ERR_OK;
        TRY(check_row(run, &row));
    }
}

static Err run_file(Run *run)
{
    const IntakeFeed *f = &run->feed[run->current];
    const IntakeRowsOptions options = {.temp_dir = run->options->temp_dir,
                                       .reject = put_reject,
                                       .reject_arg = run,
                                       .tick = tick,
                                       .tick_arg = run};
    run->sum = (StepSum){.cache = run->sum.cache};
    TRY(intake_rows_open(run->ctx, f->map, f->file, f->path, &options, &run->rows));
    const Err err = run->database == NULL ? check_rows(run) : feed_rows(run);
    if (err == ERR_OK)
        add_stats(run);
    intake_rows_close(run->rows);
    run->rows = NULL;
    return err;
}

/* ---- the run --------------------------------------------------------------------------------------------- */

static Err forget_run(Tx *tx, void *arg)
{
    const Str *key = arg;
    TRY(sql_intake_reject_forget(tx, *key, NULL));
    return sql_intake_progress_forget(tx, *key, NULL);
}

/* They go into the event log, in the order of time: modules/history. */
static Err refuse_events(Ctx *ctx, const IntakeMap *map)
{
    for (size_t i = 0; i < map->files; i++)
        if (map->file[i].target->id == INTAKE_TARGET_EVENTS)
            return fail_field(ctx, "", "intake.map_invalid",
                              "%.*s:%" PRId64 ": `tongdian events import` takes the target events",
                              STR_ARG(map->path), map->file[i].line);
    return ERR_OK;
}

static Err run_files(Run *run)
{
    TRY(refuse_events(run->ctx, run->options->map));
    TRY(find_files(run));
    for (run->current = 0; run->current < run->feeds; run->current++)
        TRY(run_file(run));
    run->result->files = (int64_t)run->feeds;
    if (run->database == NULL || run->feeds == 0)
        return ERR_OK;
    return database_write(run->database, run->ctx, "intake.forget", forget_run, &run->feed[0].run);
}

static Err finish_rejects(Run *run, Err err)
{
    if (run->rejects == NULL)
        return err;
    Ctx quiet = *run->ctx; /* the first failure is the one to tell */
    const Err closed = intake_reject_close(run->rejects, err == ERR_OK ? run->ctx : &quiet);
    return err == ERR_OK ? closed : err;
}

Err intake_run(Ctx *ctx, Database *database, const IntakeRunOptions *options, IntakeResult *out)
{
    IntakeResult result = {.notes = ARENA_ARRAY(ctx->arena, IntakeNote, NOTES_MAX)};
    Run run = {.ctx = ctx, .database = database, .options = options, .result = &result};
    if (options->rejects_path != NULL)
        (void)unlink(options->rejects_path);
    run.sum.cache = ARENA_ARRAY(ctx->arena, CacheSlot, CACHE_SLOTS);
    for (size_t i = 0; i < ARRAY_LEN(run.step); i++)
        run.step[i] = intake_step_new(ctx);
    const Err err = run_files(&run);
    for (size_t i = 0; i < ARRAY_LEN(run.step); i++)
        intake_step_free(run.step[i]);
    TRY(finish_rejects(&run, err));
    *out = result;
    return ERR_OK;
}

Err intake_dry_run(Ctx *ctx, const IntakeRunOptions *options, IntakeResult *out)
{
    IntakeResult result = {.notes = ARENA_ARRAY(ctx->arena, IntakeNote, NOTES_MAX)};
    Run run = {.ctx = ctx, .options = options, .result = &result};
    if (options->rejects_path != NULL)
        (void)unlink(options->rejects_path);
    TRY(finish_rejects(&run, run_files(&run)));
    *out = result;
    return ERR_OK;
}

/* ---- before a run ---------------------------------------------------------------------------------------- */

static Err save_settings(Tx *tx, void *arg)
{
    return setting_save(tx, arg);
}

static Err is_empty(Ctx *ctx, bool *out)
{
    OrderDay sales;
    CouponTemplate *templates = NULL;
    size_t n = 0;
    TRY(order_total(ctx, &sales));
    TRY(coupon_template_page(ctx, INT64_MAX, 1, &templates, &n));
    *out = sales.day == 0 && n == 0;
    return ERR_OK;
}

Err intake_settings(Ctx *ctx, Database *database, const IntakeMap *map, Settings *settings)
{
    Settings s;
    bool empty = false;
    TRY(setting_load(ctx, &s));
    TRY(is_empty(ctx, &empty));
    if (empty) {
        Settings wanted = s;
        if (!str_to_c(map->currency, wanted.currency, sizeof wanted.currency))
            wanted.currency[0] = '\0';
        wanted.exponent = (int)map->exponent;
        wanted.offset_min =
            (int32_t)((zone_to_local(map->zone, ctx->now_ms) - ctx->now_ms) / 60000);
        const Err err = database_write(database, ctx, "setting.save", save_settings, &wanted);
        if (err != ERR_CONFLICT) {
            TRY(err);
            *settings = wanted;
            return ERR_OK;
        }
    }
    *settings = s;
    if (str_eq(str_of(s.currency), map->currency) && s.exponent == map->exponent)
        return ERR_OK;
    const Err err =
        fail_field(ctx, "", "intake.currency",
                   "this data folder counts in %s with %d decimals, the map in %.*s with "
                   "%" PRId64 ": import into a folder of its own (--data NEW)",
                   s.currency, s.exponent, STR_ARG(map->currency), map->exponent);
    return err == ERR_INVALID ? ERR_CONFLICT : err;
}

/* The names in `exprs` of the fields that no room keeps. */
static size_t add_unkept(Ctx *ctx, const IntakeMapFile *f, bool lines, Str *names, size_t n)
{
    static const struct {
        IntakeTargetId target;
        bool line;
        size_t field;
    } UNKEPT[] = {{INTAKE_TARGET_STORES, false, INTAKE_STORE_BRAND},
                  {INTAKE_TARGET_STORES, false, INTAKE_STORE_PROVINCE},
                  {INTAKE_TARGET_STORES, false, INTAKE_STORE_OPENED_ON},
                  {INTAKE_TARGET_PRODUCTS, false, INTAKE_PRODUCT_BARCODE},
                  {INTAKE_TARGET_PRODUCTS, false, INTAKE_PRODUCT_PRICE},
                  {INTAKE_TARGET_ORDERS, true, INTAKE_ORDER_LINE_NAME},
                  {INTAKE_TARGET_ORDERS, true, INTAKE_ORDER_LINE_COUPON_CODE},
                  {INTAKE_TARGET_REDEMPTIONS, false, INTAKE_REDEMPTION_COUPON_CODE},
                  {INTAKE_TARGET_REDEMPTIONS, false, INTAKE_REDEMPTION_ORDER}};
    const IntakeExprs *exprs = lines ? &f->lines : &f->fields;
    for (size_t u = 0; u < ARRAY_LEN(UNKEPT); u++)
        for (size_t k = 0; k < exprs->count; k++)
            if (f->target->id == UNKEPT[u].target && lines == UNKEPT[u].line &&
                exprs->expr[k].index == UNKEPT[u].field)
                names[n++] = arena_printf(ctx->arena, "%s.%.*s", f->target->name,
                                          STR_ARG(exprs->expr[k].name));
    return n;
}

StrList intake_unkept(Ctx *ctx, const IntakeMap *map)
{
    size_t n = 0, most = 0;
    for (size_t i = 0; i < map->files; i++)
        most += map->file[i].fields.count + map->file[i].lines.count + 1;
    Str *names = ARENA_ARRAY(ctx->arena, Str, most + 1);
    for (size_t i = 0; i < map->files; i++) {
        const IntakeMapFile *f = &map->file[i];
        n = add_unkept(ctx, f, false, names, n);
        n = add_unkept(ctx, f, true, names, n);
        if (f->attributes.count > 0 && f->target->id != INTAKE_TARGET_PEOPLE)
            names[n++] = arena_printf(ctx->arena, "%s.attributes", f->target->name);
    }
    return (StrList){names, n};
}

Err intake_strays(Ctx *ctx, int64_t *untargeted, int64_t *undated)
{
    Row_intake_stray_redemptions row;
    TRY(sql_intake_stray_redemptions(ctx, &row));
    *untargeted = row.untargeted;
    *undated = row.undated;
    return ERR_OK;
}
