/*
 * app/cmd_migrate.c -- `tongdian migrate`: what the schema is, and bringing it up to this program.
 */
#include "app/app.h"
#include "app/args.h"
#include "app/terminal.h"
#include "base/clock.h"

#include <stdio.h>

typedef struct Todo {
    int64_t pending, missing, changed;
} Todo;

static void print_day(Table *t, int64_t at_ms)
{
    char text[CLOCK_TEXT_BYTES] = "";
    if (at_ms > 0)
        clock_print(at_ms, text);
    table_add(t, str_slice(str_of(text), 0, 10));
}

/* The rooms with their state, the migrations that wait. */
static bool show_status(App *app, bool silent, Todo *todo)
{
    SchemaStatus *s = ARENA_NEW(app->arena, SchemaStatus);
    const SchemaSet set = app_schema_set();
    if (schema_status(app->database, &app->ctx, &set, s) != ERR_OK) {
        app_complain(app, "looking at the schema");
        return false;
    }
    *todo = (Todo){.pending = (int64_t)s->pending_count};
    Table t = table_new(app->arena, "room|tables|installed");
    for (size_t i = 0; i < s->room_count; i++) {
        todo->missing += s->rooms[i].state == SCHEMA_MISSING;
        todo->changed += s->rooms[i].state == SCHEMA_CHANGED;
        table_add(&t, str_of(s->rooms[i].room));
        table_add(&t, str_of(schema_state_name(s->rooms[i].state)));
        print_day(&t, s->rooms[i].installed_at_ms);
    }
    if (!silent)
        table_print(&t, stdout);
    for (size_t i = 0; i < s->pending_count; i++)
        printf("%s %s\n", silent ? "applying" : "waits:", s->pending[i]->name);
    if (!silent)
        printf("Schema version %" PRId64 ", %" PRId64 " migrations wait.\n", s->version,
               todo->pending);
    return true;
}

/* Opening to write installs and migrates; with a server running it is refused by the log's lock. */
static int apply(Config *config, const Todo *todo)
{
    App app;
    if (todo->pending + todo->missing + todo->changed == 0) {
        printf("Nothing to do: the schema is what this program wants.\n");
        return 0;
    }
    if (!app_open(&app, config, BOOT_WRITE))
        return 1;
    app_close(&app);
    printf("Done: %" PRId64 " migrations applied, %" PRId64 " rooms installed.\n", todo->pending,
           todo->missing);
    return 0;
}

int cmd_migrate(Config *config, int argc, char **argv)
{
    static const ArgOption OPTIONS[] = {{"--status", false}};
    const char *value[ARRAY_LEN(OPTIONS)];
    Args args;
    Todo todo = {0};
    App app;
    if (!args_read(argc, argv, OPTIONS, ARRAY_LEN(OPTIONS), value, &args))
        return 2;
    if (!app_open(&app, config, BOOT_REPORT))
        return 1;
    const bool status_only = value[0] != NULL;
    const bool good = show_status(&app, !status_only, &todo);
    app_close(&app);
    if (!good)
        return 1;
    return status_only ? (todo.pending + todo.missing + todo.changed == 0 ? 0 : 3)
                       : apply(config, &todo);
}
