/*
 * modules/history/history_rows.c -- a table through an entry of an import map, an event per row.
 */
#include "modules/event/event_read.h"
#include "modules/history/history_inside.h"
#include "modules/intake/intake_rows.h"

/* An amount is a number, as the other doors take it: without zeros at the end. */
static void add_amount(EventBuilder *b, Str name, int64_t n, int places)
{
    for (; places > 0 && n % 10 == 0; places--)
        n /= 10;
    event_prop_decimal(b, name, n, places);
}

static void add_attribute(EventBuilder *b, const IntakeExpr *expr, const IntakeValue *v,
                          int exponent)
{
    switch (expr->type) {
    case INTAKE_MONEY:
        add_amount(b, expr->name, v->number, exponent);
        break;
    case INTAKE_NUMBER:
        event_prop_decimal(b, expr->name, v->number, v->places);
        break;
    case INTAKE_BOOL:
        event_prop_bool(b, expr->name, v->number != 0);
        break;
    case INTAKE_TIME:
        event_prop_time(b, expr->name, v->number);
        break;
    case INTAKE_TEXT:
    case INTAKE_I64:
    case INTAKE_DATE:
    case INTAKE_PHONE:
    case INTAKE_TYPE_COUNT:
        event_prop_text(b, expr->name, v->text);
        break;
    }
}

static Err read_event(const Import *im, Ctx *ctx, const IntakeMapFile *entry, const IntakeRow *row,
                      Event *out)
{
    const IntakeValue *v = row->value;
    const bool somebody = v[INTAKE_EVENT_ACTOR].present;
    Event head = {.kind = EVENT_HAPPENED,
                  .source = im->options->source,
                  .id = v[INTAKE_EVENT_ID].text,
                  .name = v[INTAKE_EVENT_NAME].text,
                  .time_ms = v[INTAKE_EVENT_TIME].number,
                  .received_ms = ctx->now_ms,
                  .store = v[INTAKE_EVENT_STORE].text};
    if (somebody) /* a constant kind says nothing of a row without anybody */
        head.actor = (EventActor){v[INTAKE_EVENT_ACTOR_KIND].text, v[INTAKE_EVENT_ACTOR].text};
    TRY(event_actor_hide(ctx, &head.actor));
    EventBuilder *b = event_begin(ctx, &head);
    for (size_t i = 0; i < entry->attributes.count; i++)
        if (row->attribute[i].present)
            add_attribute(b, &entry->attributes.expr[i], &row->attribute[i],
                          (int)im->options->map->exponent);
    TRY(event_end(b, out));
    return history_check_time(ctx, out->time_ms);
}

static Err read_rows(Import *im, RowReader *rows, const IntakeMapFile *entry, Ctx *one)
{
    for (;;) {
        IntakeRow row;
        Event event;
        bool more = false;
        TRY(intake_rows_next(rows, im->ctx, &row, &more));
        if (!more)
            return ERR_OK;
        if (read_event(im, one, entry, &row, &event) != ERR_OK)
            TRY(history_refuse_fault(im, one, row.line_no));
        else
            TRY(history_take(im, &event));
        arena_reset(one->arena);
    }
}

typedef struct Watch {
    Import *im;
    RowReader *rows; /* NULL while it is being opened */
} Watch;

static Err tick(void *arg, Ctx *ctx)
{
    (void)ctx;
    const Watch *w = arg;
    int64_t read_bytes = 0, size = 0;
    if (w->rows != NULL)
        intake_rows_progress(w->rows, &read_bytes, &size);
    return history_tell_reading(w->im, read_bytes);
}

Err history_read_rows(Import *im, const HistoryFile *file)
{
    Watch watch = {.im = im};
    const IntakeRowsOptions options = {.temp_dir = im->options->temp_dir,
                                       .sort_bytes = im->memory_bytes / 4,
                                       .reject = history_refuse,
                                       .reject_arg = im,
                                       .tick = tick,
                                       .tick_arg = &watch};
    Ctx one = *im->ctx;
    TRY(intake_rows_open(im->ctx, im->options->map, file->entry, file->path, &options,
                         &watch.rows));
    one.arena = arena_new(64 * 1024);
    const Err err = read_rows(im, watch.rows, file->entry, &one);
    const IntakeStats stats = intake_rows_stats(watch.rows);
    im->result->read += stats.read;
    im->result->left_out += stats.skipped + stats.folded;
    arena_free(one.arena);
    intake_rows_close(watch.rows);
    return err;
}
