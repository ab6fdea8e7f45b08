/*
 * app/cmd_query.c -- `tongdian query`: one question about all events, in the form of POST /v1/query, without a server.
 *
 * It looks at the columns and at what only the log has, and writes nothing; so it also works beside a running server,
 * and answers as of its start.
 */
#include "app/app.h"
#include "app/args.h"
#include "app/query_table.h"
#include "engine/engine.h"
#include "modules/analysis/analysis_http.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { JSON, TABLE, OPTION_COUNT };
static const ArgOption OPTIONS[OPTION_COUNT] = {
    [JSON] = {"--json", true}, [TABLE] = {"--table", false}};

enum { QUESTION_BYTES_MAX = 4 << 20, ANSWER_BYTES_MAX = 256 << 20, READ_BYTES = 1 << 16 };

/* ---- in -------------------------------------------------------------------------------------------- */

static bool read_all(FILE *from, Buf *out)
{
    while (!feof(from) && !ferror(from)) {
        char *at = buf_reserve(out, READ_BYTES);
        if (at == NULL)
            return false;
        out->len += fread(at, 1, READ_BYTES, from);
    }
    return !ferror(from);
}

/* False: a sentence was printed. */
static bool read_question(const char *path, Buf *out)
{
    const bool is_input = str_eq(str_of(path), STR("-"));
    errno = 0;
    FILE *from = is_input ? stdin : fopen(path, "re");
    const bool good = from != NULL && read_all(from, out);
    const int why = errno;
    if (from != NULL && !is_input)
        (void)fclose(from);
    if (good && !out->overflowed)
        return true;
    if (from != NULL && out->len + READ_BYTES > QUESTION_BYTES_MAX)
        fprintf(stderr, "tongdian: a question has at most %d bytes\n", QUESTION_BYTES_MAX);
    else
        fprintf(stderr, "tongdian: can't read %s: %s\n", path, strerror(why));
    return false;
}

/* ---- out ------------------------------------------------------------------------------------------- */

/* The words that a client of the server would get; but here nobody mends. */
static void complain(const App *app)
{
    const Fault *f = &app->ctx.fault;
    const char *sentence =
        str_eq(str_of(f->reason), STR("query.mending"))
            ? "a file of the columns is damaged: a server makes it again from the log"
            : api_sentence(APP_CONTRACTS, f->reason);
    const char *words = f->hint[0] != '\0'     ? f->hint
                        : sentence != NULL     ? sentence
                        : f->detail[0] != '\0' ? f->detail
                                               : "it cannot be answered";
    fprintf(stderr, "tongdian: %s%s%s: %s\n", f->reason, f->pointer[0] == '\0' ? "" : " at ",
            f->pointer, words);
}

static Err print_json(App *app, const DtoType *type, const void *answer)
{
    Buf out = BUF_MAX(ANSWER_BYTES_MAX);
    dto_print(&out, type, answer);
    buf_add_char(&out, '\n');
    const bool printed = !out.overflowed && fwrite(out.ptr, 1, out.len, stdout) == out.len;
    buf_free(&out);
    return printed ? ERR_OK
                   : fail_field(&app->ctx, "", "query.unwritable", "can't write the answer");
}

/* ---- the command ------------------------------------------------------------------------------------ */

/* Only one at a time may hold the log. */
static Err open_log(App *app, EventsLog **out)
{
    Ctx *ctx = &app->ctx;
    const Str folder = arena_printf(ctx->arena, "%s/events/log", app->config.data);
    const Err err = events_open(ctx, folder, &(EventsOptions){0}, out);
    if (err == ERR_CONFLICT)
        (void)snprintf(ctx->fault.hint, sizeof ctx->fault.hint,
                       "a server holds the log, which has the events: ask it, by POST /v1/query");
    return err;
}

static Err answer(App *app, Str question, bool as_table)
{
    const ApiOperation *op = ANALYSIS_DOORS[0].operation;
    Ctx *ctx = &app->ctx;
    void *body = arena_alloc(ctx->arena, 1, op->body->size);
    Call call = {
        .operation = op, .body = body, .reply = arena_alloc(ctx->arena, 1, op->reply->size)};
    TRY(dto_parse(ctx, op->body, question, body));
    TRY(columns_look_now(app));
    Work work = {.ctx = ctx, .engine = app->engine, .crew = app->crew};
    if (analysis_question_reads_log(body))
        TRY(open_log(app, &work.log));
    const Err err = ANALYSIS_DOORS[0].work(&work, &call);
    events_close(work.log);
    TRY(err);
    if (!as_table)
        return print_json(app, op->reply, call.reply);
    query_table_print(ctx->arena, op->reply, call.reply, analysis_question_zone(ctx, body));
    return ERR_OK;
}

static int run(const Config *config, const char *path, bool as_table)
{
    App app;
    Buf question = BUF_MAX(QUESTION_BYTES_MAX);
    int status = 1;
    if (read_question(path, &question) && app_open(&app, config, BOOT_REPORT)) {
        const Err err = answer(&app, buf_str(&question), as_table);
        if (err != ERR_OK)
            complain(&app);
        status = err == ERR_OK && fflush(stdout) == 0 ? 0 : 1;
        app_close(&app);
    }
    buf_free(&question);
    return status;
}

int cmd_query(Config *config, int argc, char **argv)
{
    const char *value[OPTION_COUNT];
    Args args;
    if (!args_read(argc, argv, OPTIONS, OPTION_COUNT, value, &args))
        return 2;
    if (value[JSON] == NULL || args.rest_count > 0) {
        fprintf(stderr, "Usage: tongdian query --json FILE|- [--table] [--data DIR]\n");
        return 2;
    }
    return run(config, value[JSON], value[TABLE] != NULL);
}
