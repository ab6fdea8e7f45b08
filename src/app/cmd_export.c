/*
 * app/cmd_export.c -- `tongdian export`: tables as CSV or one JSON object per line.
 */
#include "app/app.h"

#include "app/args.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/money.h"
#include "modules/export/export.h"

#include <errno.h>
#include <stdio.h>

enum { FORMAT, OUT, OPTION_COUNT };
static const ArgOption OPTIONS[OPTION_COUNT] = {
    [FORMAT] = {"--format", true}, [OUT] = {"--out", true}};

typedef struct Sink {
    FILE *to;
    const ExportTable *table;
    const Settings *settings;
    bool jsonl;
    Buf line;
} Sink;

/* ---- CSV --------------------------------------------------------------------------------------------- */

/* A spreadsheet runs cells that start with one of these as a formula. */
static bool is_formula(Str s)
{
    return s.len > 0 && str_index(STR("=+-@\t\r"), s.ptr[0], 0) >= 0;
}

static void put_csv_text(Buf *b, Str s)
{
    bool quote = is_formula(s);
    for (size_t i = 0; i < s.len && !quote; i++)
        quote = str_index(STR(",\"\r\n"), s.ptr[i], 0) >= 0;
    if (!quote) {
        buf_add(b, s);
        return;
    }
    buf_add_char(b, '"');
    if (is_formula(s))
        buf_add_char(b, '\'');
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '"')
            buf_add_char(b, '"');
        buf_add_char(b, s.ptr[i]);
    }
    buf_add_char(b, '"');
}

static void put_day(Buf *b, int64_t day)
{
    buf_addf(b, "%04d-%02d-%02d", (int)(day / 10000), (int)(day / 100 % 100), (int)(day % 100));
}

static void put_csv(Sink *s, ExportType type, const ExportValue *v)
{
    char time[CLOCK_TEXT_BYTES];
    switch (type) {
    case EXPORT_TEXT:
    case EXPORT_JSON:
        put_csv_text(&s->line, v->text);
        return;
    case EXPORT_ID:
    case EXPORT_COUNT:
        buf_add_i64(&s->line, v->number);
        return;
    case EXPORT_MONEY:
        money_print(&s->line, (Money){v->number}, s->settings->exponent);
        return;
    case EXPORT_TIME:
        clock_print(v->number, time);
        buf_add(&s->line, str_of(time));
        return;
    case EXPORT_DAY:
        put_day(&s->line, v->number);
        return;
    }
}

/* ---- JSON -------------------------------------------------------------------------------------------- */

static void put_json(Sink *s, JsonOut *out, ExportType type, const ExportValue *v)
{
    Buf text = BUF_MAX(64);
    switch (type) {
    case EXPORT_TEXT:
        json_out_text(out, v->text);
        return;
    case EXPORT_JSON:
        json_out_raw(out, v->text);
        return;
    case EXPORT_ID:
        json_out_id(out, v->number);
        return;
    case EXPORT_COUNT:
        json_out_i64(out, v->number);
        return;
    case EXPORT_TIME:
        json_out_time(out, v->number);
        return;
    case EXPORT_MONEY:
        money_print(&text, (Money){v->number}, s->settings->exponent);
        json_out_raw(out, buf_str(&text));
        break;
    case EXPORT_DAY:
        put_day(&text, v->number);
        json_out_text(out, buf_str(&text));
        break;
    }
    buf_free(&text);
}

/* ---- rows -------------------------------------------------------------------------------------------- */

static bool has_money(const ExportTable *t)
{
    for (size_t i = 0; i < t->columns; i++)
        if (t->column[i].type == EXPORT_MONEY)
            return true;
    return false;
}

static void line_of_json(Sink *s, const ExportValue *row)
{
    JsonOut out = json_out(&s->line);
    json_out_object(&out);
    for (size_t i = 0; i < s->table->columns; i++) {
        json_out_key(&out, str_of(s->table->column[i].name));
        if (row[i].present)
            put_json(s, &out, s->table->column[i].type, &row[i]);
        else
            json_out_null(&out);
    }
    if (has_money(s->table)) {
        json_out_key(&out, STR("currency"));
        json_out_text(&out, str_of(s->settings->currency));
    }
    json_out_end(&out);
    buf_add_char(&s->line, '\n');
}

static void line_of_csv(Sink *s, const ExportValue *row)
{
    for (size_t i = 0; i < s->table->columns; i++) {
        if (i > 0)
            buf_add_char(&s->line, ',');
        if (row[i].present)
            put_csv(s, s->table->column[i].type, &row[i]);
    }
    if (has_money(s->table))
        buf_addf(&s->line, ",%s", s->settings->currency);
    buf_add(&s->line, STR("\r\n"));
}

static Err write_line(Sink *s, Ctx *ctx)
{
    ENSURE(ctx, !s->line.overflowed);
    const bool written = fwrite(s->line.ptr, 1, s->line.len, s->to) == s->line.len;
    buf_clear(&s->line);
    if (written)
        return ERR_OK;
    return fail_field(ctx, "", "export.unwritable", "can't write: %s", strerror(errno));
}

static Err put_row(void *arg, Ctx *ctx, const ExportValue *row)
{
    Sink *s = arg;
    if (s->jsonl)
        line_of_json(s, row);
    else
        line_of_csv(s, row);
    return write_line(s, ctx);
}

static Err put_heading(Sink *s, Ctx *ctx)
{
    for (size_t i = 0; i < s->table->columns; i++)
        buf_addf(&s->line, "%s%s", i > 0 ? "," : "", s->table->column[i].name);
    if (has_money(s->table))
        buf_add(&s->line, STR(",currency"));
    buf_add(&s->line, STR("\r\n"));
    return write_line(s, ctx);
}

/* ---- the command ------------------------------------------------------------------------------------- */

static Err export_to(App *app, Sink *s, ExportKind kind, int64_t *rows)
{
    if (!s->jsonl)
        TRY(put_heading(s, &app->ctx));
    TRY(export_rows(&app->ctx, app->log, kind, put_row, s, rows));
    if (fflush(s->to) != 0)
        return fail_field(&app->ctx, "", "export.unwritable", "can't write: %s", strerror(errno));
    return ERR_OK;
}

static int run(const Config *config, ExportKind kind, bool jsonl, const char *path)
{
    App app;
    int64_t rows = 0;
    FILE *to = path == NULL ? stdout : fopen(path, "we");
    if (to == NULL) {
        fprintf(stderr, "tongdian: can't write %s: %s\n", path, strerror(errno));
        return 1;
    }
    if (!app_open(&app, config, kind == EXPORT_EVENTS ? BOOT_READ : BOOT_REPORT))
        return 1;
    Sink s = {.to = to,
              .table = &EXPORT_TABLES[kind],
              .settings = &app.settings,
              .jsonl = jsonl,
              .line = BUF_MAX(64 << 20)};
    const Err err = export_to(&app, &s, kind, &rows);
    if (err != ERR_OK)
        app_complain(&app, "exporting");
    else if (path != NULL)
        fprintf(stderr, "%" PRId64 " rows in %s\n", rows, path);
    buf_free(&s.line);
    app_close(&app);
    const bool closed = path == NULL || fclose(to) == 0;
    return err == ERR_OK && closed ? 0 : 1;
}

int cmd_export(Config *config, int argc, char **argv)
{
    const char *value[OPTION_COUNT];
    Args args;
    if (!args_read(argc, argv, OPTIONS, OPTION_COUNT, value, &args))
        return 2;
    const Str format = str_of(value[FORMAT] == NULL ? "csv" : value[FORMAT]);
    const bool jsonl = str_eq(format, STR("jsonl"));
    if (args.rest_count != 1 || (!jsonl && !str_eq(format, STR("csv")))) {
        fprintf(stderr, "Usage: tongdian export people|orders|coupons|redemptions|events "
                        "[--format csv|jsonl] [--out FILE] [--data DIR]\n");
        return 2;
    }
    for (int kind = 0; kind < EXPORT_KIND_COUNT; kind++)
        if (str_eq(str_of(EXPORT_TABLES[kind].name), str_of(args.rest[0])))
            return run(config, (ExportKind)kind, jsonl, value[OUT]);
    fprintf(stderr,
            "tongdian: export knows people, orders, coupons, redemptions and events, not %s\n",
            args.rest[0]);
    return 2;
}
