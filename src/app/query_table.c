/*
 * app/query_table.c
 */
#include "app/query_table.h"

#include "app/terminal.h"
#include "base/clock.h"

enum { ACROSS_MAX = TABLE_COLUMNS - 1 };

typedef struct Printer {
    Arena *arena;
    const Zone *zone;
} Printer;

/* ---- values ---------------------------------------------------------------------------------------- */

/* A member that is a list: its items lie one behind the other. */
typedef struct Items {
    const DtoType *type; /* of one */
    const char *at;
    size_t count;
} Items;

static Items items_of(const DtoField *f, const char *object)
{
    Items out = {.type = f->type->item};
    memcpy(&out.at, object + f->at, sizeof out.at);
    memcpy(&out.count, object + f->count_at, sizeof out.count);
    return out;
}

static const char *item_at(const Items *items, size_t i)
{
    return items->at + i * items->type->size;
}

static bool is_list(const DtoType *t)
{
    return t->kind == DTO_ARRAY;
}

static bool is_objects(const DtoType *t)
{
    return is_list(t) && t->item->kind == DTO_OBJECT;
}

static bool is_single(const DtoType *t)
{
    return t->kind != DTO_OBJECT && t->kind != DTO_ARRAY && t->kind != DTO_MAP &&
           t->kind != DTO_JSON;
}

static bool is_there(const DtoField *f, const char *object)
{
    DtoState state = DTO_VALUE;
    if (f->state_at != DTO_NOWHERE)
        memcpy(&state, object + f->state_at, sizeof state);
    return state == DTO_VALUE;
}

/* The day; the time, too, unless it is midnight. */
static Str time_text(const Printer *p, int64_t at_ms)
{
    char text[CLOCK_TEXT_BYTES];
    clock_print(zone_to_local(p->zone, at_ms), text);
    const Str day = str_slice(str_of(text), 0, 10), time = str_slice(str_of(text), 11, 16);
    return str_eq(time, STR("00:00"))
               ? arena_copy(p->arena, day)
               : arena_printf(p->arena, "%.*s %.*s", STR_ARG(day), STR_ARG(time));
}

/* `at`: a value of a single type. */
static Str single_text(const Printer *p, const DtoType *t, const char *at)
{
    int64_t number = 0;
    Str text;
    bool yes = false;
    switch (t->kind) {
    case DTO_STRING:
        memcpy(&text, at, sizeof text);
        return text;
    case DTO_INTEGER:
        memcpy(&number, at, sizeof number);
        return terminal_count(p->arena, number);
    case DTO_TIME:
        memcpy(&number, at, sizeof number);
        return time_text(p, number);
    case DTO_BOOL:
        memcpy(&yes, at, sizeof yes);
        return yes ? STR("yes") : STR("no");
    case DTO_OBJECT:
    case DTO_ARRAY:
    case DTO_MAP:
    case DTO_JSON:
    case DTO_ENUM:
    case DTO_ID:
    case DTO_DATE:
    default:
        break;
    }
    Buf out = BUF_MAX(256);
    dto_print(&out, t, at);
    text = arena_copy(p->arena, buf_str(&out));
    buf_free(&out);
    return text;
}

static Str object_text(const Printer *p, const DtoType *t, const char *object);

/* All items, `between` them. */
static Str list_text(const Printer *p, const DtoField *f, const char *object, const char *between)
{
    const Items items = items_of(f, object);
    Str out = STR("");
    for (size_t i = 0; i < items.count; i++) {
        const char *at = item_at(&items, i);
        const Str one = items.type->kind == DTO_OBJECT ? object_text(p, items.type, at)
                                                       : single_text(p, items.type, at);
        out = i == 0 ? one
                     : arena_printf(p->arena, "%.*s%s%.*s", STR_ARG(out), between, STR_ARG(one));
    }
    return out;
}

/* The single members of a small object, such as a value of a breakdown. */
static Str object_text(const Printer *p, const DtoType *t, const char *object)
{
    Str out = STR("");
    for (int i = 0; i < t->count; i++) {
        const DtoField *f = &t->fields[i];
        if (!is_single(f->type))
            continue;
        const Str one =
            is_there(f, object) ? single_text(p, f->type, object + f->at) : STR("(none)");
        out = out.len == 0 ? one : arena_printf(p->arena, "%.*s %.*s", STR_ARG(out), STR_ARG(one));
    }
    return out;
}

static Str member_text(const Printer *p, const DtoField *f, const char *object)
{
    if (!is_there(f, object))
        return STR("");
    if (is_single(f->type))
        return single_text(p, f->type, object + f->at);
    return is_list(f->type) ? list_text(p, f, object, is_objects(f->type) ? " / " : " ")
                            : STR("...");
}

/* ---- tables ---------------------------------------------------------------------------------------- */

/* A heading: '|' separates the columns. */
static Str heading_text(const Printer *p, Str name)
{
    const Str out = arena_copy(p->arena, name);
    for (size_t i = 0; i < out.len; i++)
        if (out.ptr[i] == '|')
            ((char *)(uintptr_t)out.ptr)[i] = '/';
    return out;
}

/* The members that some object has; gives how many. */
static int columns_of(const Items *items, const DtoField *columns[TABLE_COLUMNS])
{
    int count = 0;
    for (int i = 0; i < items->type->count && count < TABLE_COLUMNS; i++) {
        const DtoField *f = &items->type->fields[i];
        bool there = items->count == 0;
        for (size_t k = 0; k < items->count && !there; k++)
            there = is_there(f, item_at(items, k));
        if (there)
            columns[count++] = f;
    }
    return count;
}

/* One line per object. */
static void print_down(const Printer *p, const Items *items)
{
    const DtoField *columns[TABLE_COLUMNS];
    const int count = columns_of(items, columns);
    Str heading = STR("");
    for (int i = 0; i < count; i++)
        heading = arena_printf(p->arena, "%.*s%s%s%s", STR_ARG(heading), i == 0 ? "" : "|",
                               columns[i]->type->kind == DTO_INTEGER ? ">" : "", columns[i]->name);
    Table table = table_new(p->arena, heading.ptr);
    for (size_t i = 0; i < items->count; i++)
        for (int c = 0; c < count; c++)
            table_add(&table, member_text(p, columns[c], item_at(items, i)));
    table_print(&table, stdout);
}

/* What an object is called: its values, or what is true of it. */
static Str name_of(const Printer *p, const DtoType *t, const char *object)
{
    for (int i = 0; i < t->count; i++) {
        const DtoField *f = &t->fields[i];
        bool yes = false;
        if (f->type->kind == DTO_BOOL)
            memcpy(&yes, object + f->at, sizeof yes);
        if (yes)
            return str_of(f->name);
        if (is_objects(f->type) && items_of(f, object).count > 0)
            return list_text(p, f, object, " / ");
    }
    return STR("all");
}

/* The objects side by side, one line per item of the member `f`, which begins with its instant, or its number when
 * there are none. */
static void print_across(const Printer *p, const Items *objects, const DtoField *f,
                         const Items *times)
{
    const size_t shown = objects->count < ACROSS_MAX ? objects->count : ACROSS_MAX;
    Str heading = str_of(f->name);
    for (size_t i = 0; i < shown; i++)
        heading =
            arena_printf(p->arena, "%.*s|>%.*s", STR_ARG(heading),
                         STR_ARG(heading_text(p, name_of(p, objects->type, item_at(objects, i)))));
    Table table = table_new(p->arena, heading.ptr);
    const size_t lines = shown == 0 ? 0 : items_of(f, item_at(objects, 0)).count;
    for (size_t line = 0; line < lines; line++) {
        table_add(&table, times == NULL ? terminal_count(p->arena, (int64_t)line + 1)
                                        : single_text(p, times->type, item_at(times, line)));
        for (size_t i = 0; i < shown; i++) {
            const Items cells = items_of(f, item_at(objects, i));
            table_add(&table, single_text(p, cells.type, item_at(&cells, line)));
        }
    }
    table_print(&table, stdout);
    if (shown < objects->count)
        printf("%zu more are in the JSON.\n", objects->count - shown);
}

/* The member that is a list of instants, or NULL. */
static const DtoField *times_of(const DtoType *t)
{
    for (int i = 0; i < t->count; i++)
        if (is_list(t->fields[i].type) && t->fields[i].type->item->kind == DTO_TIME)
            return &t->fields[i];
    return NULL;
}

static int lists_in(const DtoType *t)
{
    int lists = 0;
    for (int i = 0; i < t->count; i++)
        lists += is_list(t->fields[i].type) && is_single(t->fields[i].type->item);
    return lists;
}

/* Of several lists per object none belongs to the instants: their places are numbers of intervals. */
static void print_objects(const Printer *p, const DtoType *t, const DtoField *f, const char *object)
{
    const Items objects = items_of(f, object);
    const DtoField *times = times_of(t);
    const int lists = lists_in(objects.type);
    if (times == NULL || lists == 0) {
        print_down(p, &objects);
        return;
    }
    const Items instants = items_of(times, object);
    for (int i = 0; i < objects.type->count; i++) {
        const DtoField *list = &objects.type->fields[i];
        if (is_list(list->type) && is_single(list->type->item))
            print_across(p, &objects, list, lists == 1 ? &instants : NULL);
    }
}

static void print_part(const Printer *p, const DtoType *t, const char *object)
{
    for (int i = 0; i < t->count; i++) {
        const DtoField *f = &t->fields[i];
        if (!is_there(f, object))
            continue;
        if (is_objects(f->type))
            print_objects(p, t, f, object);
        else if (f != times_of(t))
            printf("%s: %.*s\n", f->name, STR_ARG(member_text(p, f, object)));
    }
}

void query_table_print(Arena *arena, const DtoType *type, const void *answer, const Zone *zone)
{
    const Printer p = {arena, zone};
    const char *object = answer;
    for (int i = 0; i < type->count; i++) {
        const DtoField *f = &type->fields[i];
        if (f->type->kind == DTO_OBJECT && is_there(f, object))
            print_part(&p, f->type, object + f->at);
        else if (is_list(f->type) && items_of(f, object).count > 0)
            printf("%s: %.*s\n", f->name, STR_ARG(list_text(&p, f, object, "\n  ")));
    }
}
