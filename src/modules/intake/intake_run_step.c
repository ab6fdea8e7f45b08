/*
 * modules/intake/intake_run_step.c -- steps of a run: one transaction each, and the cache of ids.
 */
#include "modules/intake/intake_run_step.h"

#include "base/clock.h"
#include "base/hash.h"
#include "intake.sql.h"

/* ---- cache ------------------------------------------------------------------------------------------- */

static size_t place_of(ThingKind kind, Str key)
{
    return hash_bytes(key, (uint64_t)kind) % CACHE_SLOTS;
}

int64_t intake_cache_find(const CacheSlot *cache, ThingKind kind, Str key)
{
    const CacheSlot *slot = &cache[place_of(kind, key)];
    const bool same =
        slot->kind == (uint8_t)kind && str_eq((Str){slot->key, slot->len}, key) && slot->id != 0;
    return same ? slot->id : 0;
}

void intake_cache_put(CacheSlot *cache, ThingKind kind, Str key, int64_t id)
{
    if (key.len == 0 || key.len > CACHE_KEY_BYTES_MAX)
        return;
    CacheSlot *slot = &cache[place_of(kind, key)];
    slot->id = id;
    slot->kind = (uint8_t)kind;
    slot->len = (uint8_t)key.len;
    memcpy(slot->key, key.ptr, key.len);
}

void intake_step_learn(IntakeStep *s, ThingKind kind, Str key, int64_t id)
{
    if (s->learned_count < STEP_LEARNED_MAX)
        s->learned[s->learned_count++] = (Learned){kind, key, id};
}

/* ---- filling ----------------------------------------------------------------------------------------- */

void intake_step_reset(IntakeStep *s, const IntakeFeed *feed)
{
    arena_reset(s->arena);
    s->ctx.now_ms = clock_now_ms();
    s->feed = feed;
    s->rows = s->units = 0;
    s->learned_count = 0;
    s->field = -1;
}

bool intake_err_rejects(Err err)
{
    return err == ERR_INVALID || err == ERR_CONFLICT || err == ERR_NOT_FOUND ||
           err == ERR_TOO_LARGE;
}

/* The file's column that fills a field. */
static Str column_of(const IntakeMapFile *file, int field)
{
    for (size_t i = 0; i < file->fields.count; i++) {
        const IntakeExpr *e = &file->fields.expr[i];
        if ((int)e->index == field)
            return e->column.count > 0 ? e->column.item[0] : e->name;
    }
    return STR("");
}

static Str masked(Arena *arena, Str value)
{
    Buf out = BUF_MAX(1024);
    intake_mask_value(&out, value);
    const Str copy = arena_copy(arena, buf_str(&out));
    buf_free(&out);
    return copy;
}

/* From the fault that a room, or prepare, left in the step's Ctx. */
static void reject_row(IntakeStep *s, StepRow *r, const IntakeRow *in)
{
    const Fault *f = &s->ctx.fault;
    const bool knows = in != NULL && s->field >= 0;
    r->record = NULL;
    r->reason = f->reason;
    r->sentence = arena_copy(s->arena, str_of(f->hint[0] != '\0' ? f->hint : f->detail));
    r->column = knows ? column_of(s->feed->file, s->field) : str_of(f->pointer);
    r->value = knows ? masked(s->arena, in->value[s->field].text) : STR("");
    r->column = arena_copy(s->arena, r->column);
    s->field = -1;
}

Err intake_step_add(IntakeStep *s, const IntakeRow *in)
{
    StepRow *r = &s->row[s->rows];
    *r = (StepRow){.ordinal = in->ordinal,
                   .line_no = in->line_no,
                   .file_rows = in->lines > 0 ? (int64_t)in->lines : 1};
    const Err err = INTAKE_FEEDERS[s->feed->file->target->id].prepare(s, in, &r->record);
    if (err != ERR_OK && !intake_err_rejects(err))
        return err;
    if (err != ERR_OK)
        reject_row(s, r, in);
    s->rows++;
    s->units += 1 + in->lines;
    return ERR_OK;
}

bool intake_step_full(const IntakeStep *s)
{
    return s->rows == INTAKE_STEP_ROWS || s->units >= STEP_UNITS;
}

/* ---- applying ---------------------------------------------------------------------------------------- */

static Err store_reject(Tx *tx, IntakeStep *s, const StepRow *r)
{
    s->tally.rejected += r->file_rows;
    return sql_intake_reject_insert(tx,
                                    &(In_intake_reject_insert){.run = s->feed->run,
                                                               .part = s->feed->part,
                                                               .ordinal = r->ordinal,
                                                               .line = r->line_no,
                                                               .field = r->column,
                                                               .value = r->value,
                                                               .reason = str_of(r->reason),
                                                               .sentence = r->sentence},
                                    NULL);
}

static Err apply_row(Tx *tx, IntakeStep *s, const StepRow *r)
{
    if (r->reason != NULL)
        return store_reject(tx, s, r);
    IntakeOutcome outcome = OUTCOME_UNCHANGED;
    TRY(INTAKE_FEEDERS[s->feed->file->target->id].apply(tx, s, r->record, &outcome));
    s->tally.added += outcome == OUTCOME_ADDED;
    s->tally.changed += outcome == OUTCOME_CHANGED;
    s->tally.unchanged += outcome == OUTCOME_UNCHANGED;
    return ERR_OK;
}

static Err apply_step(Tx *tx, void *arg)
{
    IntakeStep *s = arg;
    s->tally = (IntakeTally){0};
    s->made = (Made){0};
    s->learned_count = s->learned_by_prepare;
    for (size_t i = s->from; i < s->to; i++)
        TRY(apply_row(tx, s, &s->row[i]));
    return sql_intake_progress_add(tx,
                                   &(In_intake_progress_add){.run = s->feed->run,
                                                             .part = s->feed->part,
                                                             .done = s->row[s->to - 1].ordinal,
                                                             .added = s->tally.added,
                                                             .altered = s->tally.changed,
                                                             .same = s->tally.unchanged,
                                                             .rejected = s->tally.rejected,
                                                             .products = s->made.products,
                                                             .stores = s->made.stores,
                                                             .people = s->made.people,
                                                             .at_ms = tx->ctx->now_ms},
                                   NULL);
}

static void step_applied(WriteTask *task)
{
    IntakeStep *s = CONTAINER_OF(task, IntakeStep, task);
    CHECK(sem_post(&s->applied) == 0);
}

void intake_step_submit(IntakeStep *s, Database *database)
{
    s->from = 0;
    s->to = s->rows;
    s->learned_by_prepare = s->learned_count;
    s->in_flight = true;
    s->task = (WriteTask){
        .apply = apply_step, .arg = s, .ctx = &s->ctx, .done = step_applied, .name = "intake.step"};
    database_submit(database, &s->task);
}

/* One row of a step that failed as a whole: alone, and if it fails alone, as a reject. */
static Err apply_alone(IntakeStep *s, Database *database, size_t i)
{
    s->from = i;
    s->to = i + 1;
    const Err err = database_write(database, &s->ctx, "intake.row", apply_step, s);
    if (err == ERR_OK || !intake_err_rejects(err))
        return err;
    reject_row(s, &s->row[i], NULL);
    return database_write(database, &s->ctx, "intake.row", apply_step, s);
}

static void add_up(IntakeStep *s, StepSum *sum)
{
    sum->tally.added += s->tally.added;
    sum->tally.changed += s->tally.changed;
    sum->tally.unchanged += s->tally.unchanged;
    sum->tally.rejected += s->tally.rejected;
    sum->made.products += s->made.products;
    sum->made.stores += s->made.stores;
    sum->made.people += s->made.people;
    for (size_t i = 0; i < s->learned_count; i++)
        intake_cache_put(sum->cache, s->learned[i].kind, s->learned[i].key, s->learned[i].id);
}

Err intake_step_collect(IntakeStep *s, Database *database, StepSum *sum)
{
    if (!s->in_flight)
        return ERR_OK;
    while (sem_wait(&s->applied) != 0) {
    }
    s->in_flight = false;
    if (s->task.err == ERR_OK) {
        add_up(s, sum);
        return ERR_OK;
    }
    if (!intake_err_rejects(s->task.err))
        return s->task.err;
    for (size_t i = 0; i < s->rows; i++) {
        TRY(apply_alone(s, database, i));
        add_up(s, sum);
    }
    return ERR_OK;
}

IntakeStep *intake_step_new(const Ctx *ctx)
{
    Arena *arena = arena_new(1 << 18);
    IntakeStep *s = ARENA_NEW(ctx->arena, IntakeStep);
    s->arena = arena;
    s->ctx = *ctx;
    s->ctx.arena = arena;
    CHECK(sem_init(&s->applied, 0, 0) == 0);
    return s;
}

void intake_step_free(IntakeStep *s)
{
    if (s->in_flight)
        while (sem_wait(&s->applied) != 0) {
        }
    CHECK(sem_destroy(&s->applied) == 0);
    arena_free(s->arena);
}
