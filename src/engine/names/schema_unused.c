/*
 * engine/names/schema_unused.c -- see engine/names/schema_unused.h.
 */
#include "engine/names/schema_unused.h"

#include "engine/core/kernels.h"
#include "engine/names/schema_inside.h"
#include "engine/scan/filter.h"

#include <stdlib.h>

enum { ROWS_AT_ONCE = 4096 };

/* ---- sets of numbers ------------------------------------------------------------------------------ */

/* Of the numbers 1 to `count` those that nobody was seen to use. */
typedef struct Numbers {
    uint64_t *bits;
    uint32_t count, left;
} Numbers;

struct Unused {
    Numbers events, props, *values; /* by property */
    uint32_t prop_end;
};

static Numbers all_to(uint32_t count)
{
    Numbers n = {calloc((size_t)count / 64 + 1, sizeof *n.bits), count, count};
    CHECK(n.bits != NULL);
    for (uint32_t i = 1; i <= count; i++)
        n.bits[i / 64] |= UINT64_C(1) << (i & 63);
    return n;
}

static bool has(const Numbers *n, uint32_t number)
{
    return number <= n->count && (n->bits[number / 64] >> (number & 63) & 1) != 0;
}

static inline void use(Numbers *n, uint32_t number)
{
    if (has(n, number)) {
        n->bits[number / 64] &= ~(UINT64_C(1) << (number & 63));
        n->left--;
    }
}

static uint32_t number_of_prop(uint32_t id)
{
    return id < PROP_FIRST ? 0 : id - PROP_FIRST + 1;
}

Unused *unused_new(const Schema *s)
{
    Unused *u = calloc(1, sizeof *u);
    CHECK(u != NULL);
    u->events = all_to(s->saved_events);
    u->props = all_to(s->saved_props);
    u->prop_end = PROP_FIRST + s->saved_props;
    u->values = calloc(u->prop_end, sizeof *u->values);
    CHECK(u->values != NULL);
    for (uint32_t id = 0; id < u->prop_end; id++) {
        const SchemaProp *p = schema_prop_at(s, id);
        u->values[id] = all_to(p->saved_values);
        if (p->pinned)
            use(&u->props, number_of_prop(id));
    }
    return u;
}

void unused_free(Unused *u)
{
    if (u == NULL)
        return;
    for (uint32_t id = 0; id < u->prop_end; id++)
        free(u->values[id].bits);
    free(u->values);
    free(u->events.bits);
    free(u->props.bits);
    free(u);
}

uint64_t unused_count(const Unused *u)
{
    uint64_t n = u->events.left + u->props.left;
    for (uint32_t id = 0; id < u->prop_end; id++)
        n += u->values[id].left;
    return n;
}

/* ---- what rows have ------------------------------------------------------------------------------- */

typedef struct Look {
    Unused *unused;
    Part *part;
    FilterScratch scratch;
    uint32_t *codes;
    int64_t *values;
} Look;

static FilterRows rows_at(const Look *k, const PartList *list, uint32_t first)
{
    const uint32_t left = list->rows - first;
    return (FilterRows){.part = k->part,
                        .list = list,
                        .first = first,
                        .count = left < ROWS_AT_ONCE ? left : ROWS_AT_ONCE};
}

/* Once all of them were met, nothing more can come of it. */
static bool look_at_codes(Look *k, const PartList *list, const PartColumn *column, Numbers *of)
{
    Numbers *props = &k->unused->props;
    const uint32_t prop = number_of_prop(column->prop);
    for (uint32_t first = 0; first < list->rows && (of->left > 0 || has(props, prop));
         first += ROWS_AT_ONCE) {
        const FilterRows rows = rows_at(k, list, first);
        if (!filter_codes(&rows, column, k->codes))
            return false;
        for (uint32_t i = 0; i < rows.count; i++) {
            use(of, k->codes[i]);
            if (k->codes[i] != 0)
                use(props, prop);
        }
    }
    return true;
}

static bool look_at_numbers(Look *k, const PartList *list, const PartColumn *column)
{
    Numbers *props = &k->unused->props;
    const uint32_t prop = number_of_prop(column->prop);
    for (uint32_t first = 0; first < list->rows && has(props, prop); first += ROWS_AT_ONCE) {
        const FilterRows rows = rows_at(k, list, first);
        if (!filter_values(&rows, column, PART_MISSING, &k->scratch, k->values))
            return false;
        for (uint32_t i = 0; i < rows.count; i++)
            if (k->values[i] != PART_MISSING)
                use(props, prop);
    }
    return true;
}

static bool look_at_column(Look *k, const PartList *list, const PartColumn *column)
{
    Unused *u = k->unused;
    if (column->prop >= u->prop_end || column->prop == PROP_ACTOR)
        return true;
    if (column->kind == PART_NUMBERS)
        return look_at_numbers(k, list, column);
    Numbers *of = column->prop == PROP_EVENT ? &u->events : &u->values[column->prop];
    return look_at_codes(k, list, column, of);
}

static bool look_at_list(Look *k, const PartList *list)
{
    bool good = true;
    for (uint32_t c = 0; c < list->column_count && good; c++)
        good = look_at_column(k, list, &k->part->columns[list->first_column + c]);
    return good;
}

bool unused_part(Unused *u, Part *part)
{
    Look k = {.unused = u,
              .part = part,
              .codes = calloc(ROWS_AT_ONCE + KERNEL_SLACK, sizeof *k.codes),
              .values = calloc(ROWS_AT_ONCE + KERNEL_SLACK, sizeof *k.values)};
    CHECK(k.codes != NULL && k.values != NULL);
    filter_scratch_reserve(&k.scratch, ROWS_AT_ONCE);
    bool good = true;
    for (uint32_t l = 0; l < part->head->list_count && good; l++) {
        const PartList *list = &part->lists[l];
        if (list->rows > 0 && list->event != PART_REST)
            use(&u->events, list->event);
        good = look_at_list(&k, list);
    }
    for (uint32_t i = 0; i < part->head->items_count && good; i++)
        good = look_at_list(&k, &part->items[i].list);
    filter_scratch_free(&k.scratch);
    free(k.codes);
    free(k.values);
    return good;
}

/* ---- in memory ------------------------------------------------------------------------------------ */

static void forget_all(const Numbers *n, Dict *d)
{
    for (uint32_t number = 1; number <= n->count && n->left > 0; number++)
        if (has(n, number))
            dict_forget(d, number);
}

void unused_forget(const Unused *u, Schema *s)
{
    forget_all(&u->events, s->events);
    forget_all(&u->props, s->props);
    for (uint32_t id = 0; id < u->prop_end; id++) {
        SchemaProp *p = schema_prop_at(s, id);
        forget_all(&u->values[id], p->values);
        if (has(&u->props, number_of_prop(id)))
            p->name = STR("");
    }
}

/* ---- the file once more --------------------------------------------------------------------------- */

enum { RECORD_BYTES = 1 << 20, NUMBER_BYTES = sizeof(uint32_t) };

/* Numbers follow from the order: so many of each were copied so far. */
typedef struct Copy {
    const Unused *unused;
    Ctx *ctx;
    UnusedWriteFn write;
    void *arg;
    Buf out;
    uint64_t *erased; /* bits of actors */
    uint32_t events, props, actors, *values;
} Copy;

/* An entry: its kind, its numbers (of 'P' and 'T' the type among them), its text. */
typedef struct Entry {
    char kind;
    uint32_t number; /* the first one, when it has any */
    Str head, text;  /* in front of the text's length; the text */
    Str bytes;
} Entry;

static const struct EntryForm {
    char kind;
    uint8_t head; /* bytes behind the kind */
    bool has_text;
} FORMS[] = {{'E', 0, true},
             {'P', 1, true},
             {'T', NUMBER_BYTES + 1, false},
             {'V', NUMBER_BYTES, true},
             {'F', NUMBER_BYTES, false},
             {'C', 2 * NUMBER_BYTES, false},
             {'A', 0, true},
             {PERSONS_LINK, 2 * NUMBER_BYTES, false},
             {PERSONS_UNLINK, 2 * NUMBER_BYTES, false},
             {PERSONS_ERASE, 2 * NUMBER_BYTES, false}};

static const struct EntryForm *form_of(char kind)
{
    for (size_t i = 0; i < ARRAY_LEN(FORMS); i++)
        if (FORMS[i].kind == kind)
            return &FORMS[i];
    return NULL;
}

/* The first entry of `from`, which is taken off. */
static bool take_entry(Str *from, Entry *out)
{
    const struct EntryForm *form = form_of(from->ptr[0]);
    if (form == NULL || from->len < 1U + form->head)
        return false;
    Entry e = {.kind = form->kind};
    size_t end = 1U + form->head;
    e.head = str_slice(*from, 0, end);
    if (form->head >= NUMBER_BYTES)
        memcpy(&e.number, from->ptr + 1, NUMBER_BYTES);
    if (form->has_text) {
        uint32_t length = 0;
        if (from->len - end < NUMBER_BYTES)
            return false;
        memcpy(&length, from->ptr + end, NUMBER_BYTES);
        end += NUMBER_BYTES;
        if (length > from->len - end)
            return false;
        e.text = str_slice(*from, end, end + length);
        end += length;
    }
    e.bytes = str_slice(*from, 0, end);
    *from = str_slice(*from, end, from->len);
    *out = e;
    return true;
}

static void put_with_text(Copy *c, const Entry *e, Str text)
{
    const uint32_t length = (uint32_t)text.len;
    buf_add(&c->out, e->head);
    buf_add(&c->out, (Str){(const char *)&length, NUMBER_BYTES});
    buf_add(&c->out, text);
}

static bool was_erased(const Copy *c, uint32_t actor)
{
    return (c->erased[actor / 64] >> (actor & 63) & 1) != 0;
}

/* Of a property its space stays, of a field also whose it is. */
static Str key_head(Str key)
{
    const size_t head = key.len == 0 ? 0 : schema_key_head((SchemaSpace)key.ptr[0]);
    return str_slice(key, 0, head < key.len ? head : key.len);
}

static void put_value(Copy *c, const Entry *e)
{
    const uint32_t number = ++c->values[e->number];
    if (e->kind == 'F' || !has(&c->unused->values[e->number], number)) {
        buf_add(&c->out, e->bytes);
        return;
    }
    buf_add_char(&c->out, 'F');
    buf_add(&c->out, str_slice(e->head, 1, e->head.len));
}

/* False: no such property was saved. */
static bool put_entry(Copy *c, const Entry *e)
{
    const bool is_value = e->kind == 'V' || e->kind == 'F';
    if (is_value && e->number >= c->unused->prop_end)
        return false;
    if (is_value)
        put_value(c, e);
    else if (e->kind == 'E' && has(&c->unused->events, ++c->events))
        put_with_text(c, e, STR(""));
    else if (e->kind == 'P' && has(&c->unused->props, ++c->props))
        put_with_text(c, e, key_head(e->text));
    else if (e->kind == 'A' && was_erased(c, ++c->actors))
        put_with_text(c, e, STR(""));
    else
        buf_add(&c->out, e->bytes);
    return true;
}

static Err put_out(Copy *c)
{
    schema_end_record(&c->out, 0);
    const Err err = c->out.len == 0 ? ERR_OK : c->write(c->ctx, buf_str(&c->out), c->arg);
    buf_clear(&c->out);
    (void)schema_begin_record(&c->out);
    return err;
}

static Err copy_record(Copy *c, Str record)
{
    while (record.len > 0) {
        Entry e;
        if (!take_entry(&record, &e) || !put_entry(c, &e))
            return fail(c->ctx, ERR_INTERNAL, "events.names_damaged", "an entry");
        if (c->out.len >= RECORD_BYTES)
            TRY(put_out(c));
    }
    return ERR_OK;
}

/* Who was erased, as far as the file knows. */
static Err find_erased(Copy *c, Str record)
{
    while (record.len > 0) {
        Entry e;
        if (!take_entry(&record, &e))
            return fail(c->ctx, ERR_INTERNAL, "events.names_damaged", "an entry");
        const uint32_t actor = e.kind == PERSONS_ERASE ? schema_actor_number(e.number) : 0;
        if (actor >= 1 && actor <= DICT_COUNT_MAX)
            c->erased[actor / 64] |= UINT64_C(1) << (actor & 63);
    }
    return ERR_OK;
}

static Err each_record(Copy *c, Str names, Err (*fn)(Copy *c, Str record))
{
    while (names.len > 0) {
        Str record;
        if (!schema_take_record(&names, &record))
            return fail(c->ctx, ERR_INTERNAL, "events.names_damaged", "%zu bytes left", names.len);
        TRY(fn(c, record));
    }
    return ERR_OK;
}

static Err leave_out(Copy *c, Str names)
{
    TRY(each_record(c, names, find_erased));
    (void)schema_begin_record(&c->out);
    TRY(each_record(c, names, copy_record));
    return put_out(c);
}

Err unused_leave_out(Ctx *ctx, const Unused *u, Str names, UnusedWriteFn write, void *arg)
{
    Copy c = {.unused = u,
              .ctx = ctx,
              .write = write,
              .arg = arg,
              .out = BUF_MAX(2 * RECORD_BYTES),
              .erased = calloc(DICT_COUNT_MAX / 64 + 1, sizeof *c.erased),
              .values = calloc(u->prop_end, sizeof *c.values)};
    CHECK(c.erased != NULL && c.values != NULL);
    const Err err = leave_out(&c, names);
    CHECK(!c.out.overflowed);
    buf_free(&c.out);
    free(c.erased);
    free(c.values);
    return err;
}
