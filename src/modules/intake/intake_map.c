/*
 * modules/intake/intake_map.c -- YAML to an IntakeMap, checked.
 *
 * Each kind of mapping has a table of its keys: name, how the value is read, where it goes.  The
 * YAML tree is walked to a fixed depth, so anchors that build loops or towers do no harm.
 */
#include "modules/intake/intake_map.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>
#include <yaml.h>

typedef struct Load {
    Ctx *ctx;
    IntakeMap *map;
    yaml_document_t *doc;
} Load;

typedef enum KeyKind { KEY_TEXT, KEY_I64, KEY_BOOL, KEY_LIST, KEY_CALL } KeyKind;

typedef struct Key {
    const char *name;
    KeyKind kind;
    size_t offset; /* of the member that takes the value */
    Err (*call)(Load *l, const yaml_node_t *value, void *into);
} Key;

static int64_t line_of(const yaml_node_t *n)
{
    return (int64_t)n->start_mark.line + 1;
}

#define INVALID(l, line, fmt, ...)                                                                 \
    fail_field((l)->ctx, "", "intake.map_invalid", "%.*s:%" PRId64 ": " fmt,                       \
               STR_ARG((l)->map->path), (line), __VA_ARGS__)

/* Text from the map in a message: not more than a line's worth. */
#define SHORT(s) (int)((s).len < 40 ? (s).len : 40), (s).ptr

/* ---- names ---- */

enum { NEAREST_BYTES_MAX = 48 };

/* Levenshtein distance of two short names. */
static size_t distance(Str a, Str b)
{
    size_t row[NEAREST_BYTES_MAX + 1];
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            const size_t change = diagonal + ((a.ptr[i - 1] | 0x20) != (b.ptr[j - 1] | 0x20));
            const size_t edit = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = change < edit ? change : edit;
        }
    }
    return row[b.len];
}

Str intake_map_nearest(Str name, StrList known)
{
    Str best = {NULL, 0};
    size_t least = name.len / 3 + 2; /* further away is another word */
    for (size_t i = 0; i < known.count && name.len <= NEAREST_BYTES_MAX; i++) {
        if (known.item[i].len > NEAREST_BYTES_MAX)
            continue;
        const size_t d = distance(name, known.item[i]);
        if (d < least) {
            least = d;
            best = known.item[i];
        }
    }
    return best;
}

/* "unknown key "colum": did you mean "column"?  Known: ..." */
static Err unknown_name(Load *l, int64_t line, const char *what, Str name, StrList known)
{
    Buf text = BUF_MAX(4096);
    const Str near = intake_map_nearest(name, known);
    if (near.len > 0)
        buf_addf(&text, "; did you mean \"%.*s\"?", STR_ARG(near));
    for (size_t i = 0; i < known.count; i++)
        buf_addf(&text, "%s%.*s", i == 0 ? " Known: " : ", ", STR_ARG(known.item[i]));
    const Err err =
        INVALID(l, line, "unknown %s \"%.*s\"%.*s", what, SHORT(name), STR_ARG(buf_str(&text)));
    buf_free(&text);
    return err;
}

static StrList field_names(Ctx *ctx, const IntakeField *field, size_t count)
{
    Str *names = ARENA_ARRAY(ctx->arena, Str, count);
    for (size_t i = 0; i < count; i++)
        names[i] = str_of(field[i].name);
    return (StrList){names, count};
}

/* ---- reading values ---- */

static Str scalar(const yaml_node_t *n)
{
    return (Str){(const char *)n->data.scalar.value, n->data.scalar.length};
}

static const yaml_node_t *node(Load *l, int id)
{
    return yaml_document_get_node(l->doc, id);
}

static Err read_text(Load *l, const char *what, const yaml_node_t *n, Str *out)
{
    if (n->type != YAML_SCALAR_NODE)
        return INVALID(l, line_of(n), "%s must be one text", what);
    if (!str_is_utf8(scalar(n)))
        return INVALID(l, line_of(n), "%s holds a character that is not allowed", what);
    *out = arena_copy(l->ctx->arena, scalar(n));
    return ERR_OK;
}

/* A list of texts, or one text alone. */
static Err read_list(Load *l, const char *what, const yaml_node_t *n, StrList *out)
{
    if (n->type == YAML_SCALAR_NODE) {
        Str *one = ARENA_NEW(l->ctx->arena, Str);
        TRY(read_text(l, what, n, one));
        *out = (StrList){one, 1};
        return ERR_OK;
    }
    if (n->type != YAML_SEQUENCE_NODE)
        return INVALID(l, line_of(n), "%s must be a text or a list of texts", what);
    const yaml_node_item_t *from = n->data.sequence.items.start;
    const size_t count = (size_t)(n->data.sequence.items.top - from);
    if (count == 0 || count > INTAKE_MAP_LIST_MAX)
        return INVALID(l, line_of(n), "%s must have between 1 and %d items", what,
                       INTAKE_MAP_LIST_MAX);
    Str *item = ARENA_ARRAY(l->ctx->arena, Str, count);
    for (size_t i = 0; i < count; i++)
        TRY(read_text(l, what, node(l, from[i]), &item[i]));
    *out = (StrList){item, count};
    return ERR_OK;
}

static Err read_bool(Load *l, const char *what, const yaml_node_t *n, bool *out)
{
    Str s = {NULL, 0};
    TRY(read_text(l, what, n, &s));
    *out = str_eq(s, STR("true"));
    if (!*out && !str_eq(s, STR("false")))
        return INVALID(l, line_of(n), "%s must be true or false", what);
    return ERR_OK;
}

static Err read_i64(Load *l, const char *what, const yaml_node_t *n, int64_t *out)
{
    Str s = {NULL, 0};
    TRY(read_text(l, what, n, &s));
    if (!str_to_i64(s, out))
        return INVALID(l, line_of(n), "%s must be a whole number", what);
    return ERR_OK;
}

static Err read_value(Load *l, const Key *key, const yaml_node_t *n, void *into)
{
    void *member = (char *)into + key->offset;
    switch (key->kind) {
    case KEY_TEXT:
        return read_text(l, key->name, n, member);
    case KEY_I64:
        return read_i64(l, key->name, n, member);
    case KEY_BOOL:
        return read_bool(l, key->name, n, member);
    case KEY_LIST:
        return read_list(l, key->name, n, member);
    case KEY_CALL:
        return key->call(l, n, member);
    }
    CHECK(false);
}

static Err unknown_key(Load *l, const yaml_node_t *n, const Key *keys, size_t count)
{
    Str *names = ARENA_ARRAY(l->ctx->arena, Str, count);
    for (size_t i = 0; i < count; i++)
        names[i] = str_of(keys[i].name);
    return unknown_name(l, line_of(n), "key", scalar(n), (StrList){names, count});
}

/* Reads the mapping `n` by its table of keys into the struct `into`. */
static Err read_mapping(Load *l, const char *what, const yaml_node_t *n, const Key *keys,
                        size_t count, void *into)
{
    if (n->type != YAML_MAPPING_NODE)
        return INVALID(l, line_of(n), "%s must be a mapping (key: value)", what);
    uint32_t seen = 0;
    CHECK(count <= 32);
    for (const yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top;
         p++) {
        const yaml_node_t *k = node(l, p->key), *v = node(l, p->value);
        if (k->type != YAML_SCALAR_NODE)
            return INVALID(l, line_of(k), "a key of %s must be one text", what);
        size_t i = 0;
        while (i < count && !str_eq(str_of(keys[i].name), scalar(k)))
            i++;
        if (i == count)
            return unknown_key(l, k, keys, count);
        if ((seen >> i & 1) != 0)
            return INVALID(l, line_of(k), "%s is given twice", keys[i].name);
        seen |= UINT32_C(1) << i;
        TRY(read_value(l, &keys[i], v, into));
    }
    return ERR_OK;
}

/* ---- expressions ---- */

static Err read_table(Load *l, const yaml_node_t *n, void *into)
{
    IntakeExpr *e = into;
    if (n->type != YAML_MAPPING_NODE)
        return INVALID(l, line_of(n), "%s must be a mapping from values to values", "map");
    const yaml_node_pair_t *p = n->data.mapping.pairs.start;
    const size_t count = (size_t)(n->data.mapping.pairs.top - p);
    if (count == 0 || count > INTAKE_MAP_LIST_MAX)
        return INVALID(l, line_of(n), "map must have between 1 and %d values", INTAKE_MAP_LIST_MAX);
    Str *from = ARENA_ARRAY(l->ctx->arena, Str, count),
        *to = ARENA_ARRAY(l->ctx->arena, Str, count);
    for (size_t i = 0; i < count; i++) {
        TRY(read_text(l, "a value of map", node(l, p[i].key), &from[i]));
        TRY(read_text(l, "a value of map", node(l, p[i].value), &to[i]));
    }
    e->from = (StrList){from, count};
    e->to = (StrList){to, count};
    return ERR_OK;
}

static Err read_trim(Load *l, const yaml_node_t *n, void *into)
{
    bool trim = true;
    TRY(read_bool(l, "trim", n, &trim));
    ((IntakeExpr *)into)->keep_blanks = !trim;
    return ERR_OK;
}

#define AT(kind, member, type) KEY_##kind, offsetof(type, member), NULL

static const Key EXPR_KEYS[] = {
    {"column", AT(LIST, column, IntakeExpr)},
    {"concat", AT(LIST, concat, IntakeExpr)},
    {"with", AT(TEXT, with, IntakeExpr)},
    {"constant", AT(TEXT, constant, IntakeExpr)},
    {"remove", AT(LIST, remove, IntakeExpr)},
    {"map", KEY_CALL, 0, read_table},
    {"otherwise", AT(TEXT, otherwise, IntakeExpr)},
    {"default", AT(TEXT, fallback, IntakeExpr)},
    {"parse", AT(TEXT, parse, IntakeExpr)},
    {"type", AT(TEXT, type_name, IntakeExpr)},
    {"zone", AT(TEXT, zone_name, IntakeExpr)},
    {"trim", KEY_CALL, 0, read_trim},
    {"required", AT(BOOL, required, IntakeExpr)},
    {"optional", AT(BOOL, optional, IntakeExpr)},
    {"float_noise", AT(BOOL, float_noise, IntakeExpr)},
};

static Err read_expr(Load *l, const yaml_node_t *name, const yaml_node_t *n, IntakeExpr *e)
{
    *e = (IntakeExpr){.line = line_of(name)};
    TRY(read_text(l, "a field's name", name, &e->name));
    if (n->type == YAML_MAPPING_NODE)
        TRY(read_mapping(l, "a field", n, EXPR_KEYS, ARRAY_LEN(EXPR_KEYS), e));
    else
        TRY(read_list(l, "a field", n, &e->column)); /* the short form: just the column */
    const int sources = (e->column.count > 0) + (e->concat.count > 0) + (e->constant.ptr != NULL);
    if (sources != 1)
        return INVALID(l, e->line, "%.*s needs exactly one of column, concat and constant",
                       SHORT(e->name));
    if (e->otherwise.ptr != NULL && e->from.count == 0)
        return INVALID(l, e->line, "%.*s has otherwise but no map", SHORT(e->name));
    e->zone = l->map->zone;
    return e->zone_name.ptr == NULL ? ERR_OK : intake_zone_load(l->ctx, e->zone_name, &e->zone);
}

static Err read_exprs(Load *l, const yaml_node_t *n, void *into)
{
    IntakeExprs *out = into;
    if (n->type != YAML_MAPPING_NODE)
        return INVALID(l, line_of(n), "%s must be a mapping from field to column", "this");
    const yaml_node_pair_t *p = n->data.mapping.pairs.start;
    const size_t count = (size_t)(n->data.mapping.pairs.top - p);
    if (count == 0 || count > INTAKE_MAP_EXPRS_MAX)
        return INVALID(l, line_of(n), "between 1 and %d fields are needed here",
                       INTAKE_MAP_EXPRS_MAX);
    out->expr = ARENA_ARRAY(l->ctx->arena, IntakeExpr, count);
    out->count = count;
    for (size_t i = 0; i < count; i++) {
        TRY(read_expr(l, node(l, p[i].key), node(l, p[i].value), &out->expr[i]));
        for (size_t j = 0; j < i; j++)
            if (str_eq(out->expr[j].name, out->expr[i].name))
                return INVALID(l, out->expr[i].line, "%.*s is given twice",
                               SHORT(out->expr[i].name));
    }
    return ERR_OK;
}

/* ---- conditions ---- */

static const Key CONDITION_KEYS[] = {
    {"as", AT(TEXT, as, IntakeCondition)},   {"column", AT(TEXT, column, IntakeCondition)},
    {"in", AT(LIST, in, IntakeCondition)},   {"empty", AT(TEXT, empty, IntakeCondition)},
    {"sum", AT(LIST, sum, IntakeCondition)}, {"exceeds", AT(LIST, exceeds, IntakeCondition)},
};

static Err read_condition(Load *l, const yaml_node_t *n, IntakeCondition *c)
{
    *c = (IntakeCondition){.line = line_of(n)};
    TRY(read_mapping(l, "a condition", n, CONDITION_KEYS, ARRAY_LEN(CONDITION_KEYS), c));
    if (c->as.len == 0)
        return INVALID(l, c->line, "a condition needs %s: the name it is counted under", "as");
    const bool one_column = c->column.ptr != NULL && (c->in.count > 0) != (c->empty.ptr != NULL) &&
                            c->sum.count == 0 && c->exceeds.count == 0;
    const bool sums = c->sum.count > 0 && c->exceeds.count > 0 && c->column.ptr == NULL &&
                      c->in.count == 0 && c->empty.ptr == NULL;
    if (!one_column && !sums)
        return INVALID(l, c->line, "%.*s needs column with in or empty, or sum with exceeds",
                       SHORT(c->as));
    if (c->empty.ptr != NULL && !str_eq(c->empty, STR("true")) && !str_eq(c->empty, STR("false")))
        return INVALID(l, c->line, "%s must be true or false", "empty");
    return ERR_OK;
}

static Err read_conditions(Load *l, const yaml_node_t *n, void *into)
{
    IntakeConditions *out = into;
    if (n->type != YAML_SEQUENCE_NODE)
        return INVALID(l, line_of(n), "%s must be a list of conditions", "this");
    const yaml_node_item_t *from = n->data.sequence.items.start;
    const size_t count = (size_t)(n->data.sequence.items.top - from);
    if (count > INTAKE_MAP_EXPRS_MAX)
        return INVALID(l, line_of(n), "at most %d conditions", INTAKE_MAP_EXPRS_MAX);
    out->condition = ARENA_ARRAY(l->ctx->arena, IntakeCondition, count);
    out->count = count;
    for (size_t i = 0; i < count; i++)
        TRY(read_condition(l, node(l, from[i]), &out->condition[i]));
    return ERR_OK;
}

/* ---- checking against the target ---- */

static Err check_parse(Load *l, IntakeExpr *e)
{
    const bool is_time = e->type == INTAKE_TIME || e->type == INTAKE_DATE;
    if (e->parse.ptr == NULL && is_time)
        e->parse = e->type == INTAKE_DATE ? STR("yyyy-MM-dd") : STR("yyyy-MM-dd HH:mm:ss");
    if (e->float_noise && e->type != INTAKE_MONEY)
        return INVALID(l, e->line, "float_noise is for money, %.*s is %s", SHORT(e->name),
                       intake_type_name(e->type));
    if (is_time && !intake_pattern_is_valid(e->parse))
        return INVALID(l, e->line, "no date pattern: \"%.*s\"; write e.g. yyyy-MM-dd HH:mm:ss",
                       SHORT(e->parse));
    if (!is_time && e->parse.ptr != NULL && !str_eq(e->parse, str_of(intake_type_name(e->type))))
        return INVALID(l, e->line, "%.*s is %s: leave parse out", SHORT(e->name),
                       intake_type_name(e->type));
    return ERR_OK;
}

/* Finds every expression its field, and every field that must be filled its expression. */
static Err bind_fields(Load *l, int64_t line, IntakeExprs *exprs, const IntakeField *field,
                       size_t fields)
{
    bool filled[INTAKE_FIELDS_MAX] = {false};
    CHECK(fields <= INTAKE_FIELDS_MAX);
    for (size_t i = 0; i < exprs->count; i++) {
        IntakeExpr *e = &exprs->expr[i];
        size_t f = 0;
        while (f < fields && !str_eq(str_of(field[f].name), e->name))
            f++;
        if (f == fields)
            return unknown_name(l, e->line, "field", e->name, field_names(l->ctx, field, fields));
        e->index = f;
        e->type = field[f].type;
        if (e->type_name.ptr != NULL)
            return INVALID(l, e->line, "%.*s is %s: leave type out", SHORT(e->name),
                           intake_type_name(e->type));
        e->required = e->required || field[f].need == INTAKE_REQUIRED;
        filled[f] = true;
        TRY(check_parse(l, e));
    }
    size_t keys = 0, keys_filled = 0;
    const char *a_key = "";
    for (size_t f = 0; f < fields; f++) {
        if (field[f].need == INTAKE_REQUIRED && !filled[f])
            return INVALID(l, line, "the field \"%s\" must be filled", field[f].name);
        if (field[f].need != INTAKE_KEY)
            continue;
        a_key = field[f].name;
        keys++;
        keys_filled += filled[f];
    }
    if (keys > 0 && keys_filled == 0)
        return INVALID(l, line, "a key must be filled, for example \"%s\"", a_key);
    return ERR_OK;
}

static Err bind_attribute(Load *l, const IntakeMapFile *f, IntakeExpr *e)
{
    static const IntakeType TYPES[] = {INTAKE_TEXT, INTAKE_NUMBER, INTAKE_MONEY, INTAKE_BOOL,
                                       INTAKE_TIME};
    Str names[ARRAY_LEN(TYPES)];
    const size_t known = f->target->typed ? ARRAY_LEN(TYPES) : 1;
    bool found = e->type_name.ptr == NULL;
    for (size_t i = 0; i < known; i++) {
        names[i] = str_of(intake_type_name(TYPES[i]));
        if (!str_eq(names[i], e->type_name))
            continue;
        e->type = TYPES[i];
        found = true;
    }
    if (!found)
        return unknown_name(l, e->line, "type", e->type_name, (StrList){names, known});
    return check_parse(l, e);
}

static Err bind_target(Load *l, IntakeMapFile *f)
{
    Str names[INTAKE_TARGET_COUNT];
    for (size_t i = 0; i < INTAKE_TARGET_COUNT; i++) {
        names[i] = str_of(INTAKE_TARGETS[i].name);
        if (str_eq(names[i], f->target_name))
            f->target = &INTAKE_TARGETS[i];
    }
    if (f->target_name.len == 0)
        return INVALID(l, f->line, "this entry needs %s", "target");
    if (f->target == NULL)
        return unknown_name(l, f->line, "target", f->target_name,
                            (StrList){names, INTAKE_TARGET_COUNT});
    return ERR_OK;
}

static Err check_table(Load *l, IntakeMapFile *f)
{
    static const struct {
        Str name;
        TableEncoding encoding;
    } ENCODINGS[] = {{{"detect", 6}, TABLE_ENCODING_DETECT},
                     {{"utf-8", 5}, TABLE_ENCODING_UTF8},
                     {{"gb18030", 7}, TABLE_ENCODING_GB18030}};
    if (f->file.len == 0 || str_index(f->file, '/', 0) >= 0)
        return INVALID(l, f->line, "an entry needs %s: the name of a file, without a folder",
                       "file");
    if (f->delimiter.ptr != NULL &&
        (f->delimiter.len != 1 || f->delimiter.ptr[0] == '"' || f->delimiter.ptr[0] == '\n'))
        return INVALID(l, f->line, "%s must be one ASCII character", "delimiter");
    f->table.delimiter = f->delimiter.len == 1 ? f->delimiter.ptr[0] : '\0';
    bool known = f->encoding.ptr == NULL;
    for (size_t i = 0; i < ARRAY_LEN(ENCODINGS); i++) {
        if (!str_eq(ENCODINGS[i].name, f->encoding))
            continue;
        f->table.encoding = ENCODINGS[i].encoding;
        known = true;
    }
    if (!known)
        return INVALID(l, f->line, "unknown encoding \"%.*s\". Known: detect, utf-8, gb18030",
                       SHORT(f->encoding));
    if (f->table.skip_lines < 0 || f->table.sheet_index < 0)
        return INVALID(l, f->line, "%s must not be negative", "skip_lines and sheet_index");
    if (f->columns.count > TABLE_COLUMNS_MAX)
        return INVALID(l, f->line, "at most %d columns", TABLE_COLUMNS_MAX);
    f->table.columns = f->columns.item;
    f->table.columns_count = f->columns.count;
    return ERR_OK;
}

static Err check_file(Load *l, IntakeMapFile *f)
{
    TRY(check_table(l, f));
    TRY(bind_target(l, f));
    TRY(bind_fields(l, f->line, &f->fields, f->target->field, f->target->fields));
    if (f->lines.count > 0 && f->target->line == NULL)
        return INVALID(l, f->line, "%s has no lines", f->target->name);
    if (f->lines.count > 0 && f->group_by.count == 0)
        return INVALID(l, f->line, "lines need %s: the columns that rows of one %s share",
                       "group_by", f->target->name);
    if (f->lines.count > 0)
        TRY(bind_fields(l, f->line, &f->lines, f->target->line, f->target->line_fields));
    if (f->attributes.count > 0 && !f->target->attributes)
        return INVALID(l, f->line, "%s has no attributes", f->target->name);
    for (size_t i = 0; i < f->attributes.count; i++)
        TRY(bind_attribute(l, f, &f->attributes.expr[i]));
    return ERR_OK;
}

/* ---- the whole file ---- */

static const Key FILE_KEYS[] = {
    {"file", AT(TEXT, file, IntakeMapFile)},
    {"optional", AT(BOOL, optional, IntakeMapFile)},
    {"sheet", AT(TEXT, table.sheet, IntakeMapFile)},
    {"sheet_index", AT(I64, table.sheet_index, IntakeMapFile)},
    {"delimiter", AT(TEXT, delimiter, IntakeMapFile)},
    {"encoding", AT(TEXT, encoding, IntakeMapFile)},
    {"skip_lines", AT(I64, table.skip_lines, IntakeMapFile)},
    {"columns", AT(LIST, columns, IntakeMapFile)},
    {"target", AT(TEXT, target_name, IntakeMapFile)},
    {"group_by", AT(LIST, group_by, IntakeMapFile)},
    {"sorted", AT(BOOL, sorted, IntakeMapFile)},
    {"fields", KEY_CALL, offsetof(IntakeMapFile, fields), read_exprs},
    {"lines", KEY_CALL, offsetof(IntakeMapFile, lines), read_exprs},
    {"attributes", KEY_CALL, offsetof(IntakeMapFile, attributes), read_exprs},
    {"skip", KEY_CALL, offsetof(IntakeMapFile, skip), read_conditions},
    {"count", KEY_CALL, offsetof(IntakeMapFile, count), read_conditions},
};

static Err read_files(Load *l, const yaml_node_t *n, void *into)
{
    IntakeMap *map = into;
    if (map->zone_name.ptr == NULL)
        return INVALID(l, line_of(n),
                       "%s must be given above files: UTC, +08:00, or a name as Asia/Shanghai",
                       "zone");
    TRY(intake_zone_load(l->ctx, map->zone_name, &map->zone));
    if (n->type != YAML_SEQUENCE_NODE)
        return INVALID(l, line_of(n), "%s must be a list", "files");
    const yaml_node_item_t *from = n->data.sequence.items.start;
    map->files = (size_t)(n->data.sequence.items.top - from);
    if (map->files == 0 || map->files > INTAKE_MAP_FILES_MAX)
        return INVALID(l, line_of(n), "between 1 and %d files are needed", INTAKE_MAP_FILES_MAX);
    map->file = ARENA_ARRAY(l->ctx->arena, IntakeMapFile, map->files);
    for (size_t i = 0; i < map->files; i++) {
        const yaml_node_t *entry = node(l, from[i]);
        map->file[i].line = line_of(entry);
        TRY(read_mapping(l, "an entry of files", entry, FILE_KEYS, ARRAY_LEN(FILE_KEYS),
                         &map->file[i]));
        TRY(check_file(l, &map->file[i]));
    }
    return ERR_OK;
}

static const Key MAP_KEYS[] = {
    {"version", AT(I64, version, IntakeMap)},   {"name", AT(TEXT, name, IntakeMap)},
    {"source", AT(TEXT, source, IntakeMap)},    {"currency", AT(TEXT, currency, IntakeMap)},
    {"exponent", AT(I64, exponent, IntakeMap)}, {"zone", AT(TEXT, zone_name, IntakeMap)},
    {"files", KEY_CALL, 0, read_files},
};

static bool is_currency(Str s)
{
    bool ok = s.len == 3;
    for (size_t i = 0; i < s.len; i++)
        ok = ok && s.ptr[i] >= 'A' && s.ptr[i] <= 'Z';
    return ok;
}

static Err read_root(Load *l)
{
    const yaml_node_t *root = yaml_document_get_root_node(l->doc);
    IntakeMap *m = l->map;
    if (root == NULL)
        return INVALID(l, INT64_C(1), "%s", "the map is empty");
    m->exponent = -1;
    TRY(read_mapping(l, "the map", root, MAP_KEYS, ARRAY_LEN(MAP_KEYS), m));
    if (m->version != 1)
        return INVALID(l, line_of(root), "%s must be 1: the version of the mapping language",
                       "version");
    if (!is_currency(m->currency))
        return INVALID(l, line_of(root), "%s must be three capital letters, e.g. CNY", "currency");
    if (m->exponent < 0 || m->exponent > 4)
        return INVALID(l, line_of(root), "%s must be 0 to 4: decimal places of the currency",
                       "exponent");
    if (m->files == 0)
        return INVALID(l, line_of(root), "%s is missing: the list of what to import", "files");
    return ERR_OK;
}

Err intake_map_parse(Ctx *ctx, Str name, Str text, const IntakeMap **out)
{
    if (text.len > INTAKE_MAP_BYTES_MAX)
        return fail(ctx, ERR_TOO_LARGE, "intake.map_too_large", "%zu bytes", text.len);
    Load l = {.ctx = ctx, .map = ARENA_NEW(ctx->arena, IntakeMap)};
    l.map->path = arena_copy(ctx->arena, name);
    yaml_parser_t parser;
    yaml_document_t doc;
    CHECK(yaml_parser_initialize(&parser) == 1);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.ptr, text.len);
    if (yaml_parser_load(&parser, &doc) == 0) {
        const Err err = INVALID(&l, (int64_t)parser.problem_mark.line + 1, "no YAML: %s",
                                parser.problem == NULL ? "unreadable" : parser.problem);
        yaml_parser_delete(&parser);
        return err;
    }
    l.doc = &doc;
    const Err err = read_root(&l);
    yaml_document_delete(&doc);
    yaml_parser_delete(&parser);
    if (err == ERR_OK)
        *out = l.map;
    return err;
}

Err intake_map_load(Ctx *ctx, const char *path, const IntakeMap **out)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(ctx, ERR_NOT_FOUND, "intake.map_not_found", "cannot open %s", path);
    char *bytes = arena_bytes(ctx->arena, INTAKE_MAP_BYTES_MAX + 1);
    size_t len = 0;
    ssize_t n = 0;
    while ((n = read(fd, bytes + len, INTAKE_MAP_BYTES_MAX + 1 - len)) > 0)
        len += (size_t)n;
    (void)close(fd);
    if (n < 0)
        return fail(ctx, ERR_NOT_FOUND, "intake.map_not_found", "cannot read %s", path);
    return intake_map_parse(ctx, str_of(path), (Str){bytes, len}, out);
}

/* ---- finding the files ---- */

enum { FOUND_MAX = 10000 };

static int compare_names(const void *a, const void *b)
{
    return str_compare(*(const Str *)a, *(const Str *)b);
}

static bool is_found(const Str *found, size_t count, Str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(found[i], name))
            return true;
    return false;
}

/* With or without .gz. */
static bool matches(const char *pattern, const char *name)
{
    char plain[NAME_MAX + 1];
    const Str whole = str_of(name);
    const bool packed = str_ends_with(whole, STR(".gz"));
    return fnmatch(pattern, name, FNM_PERIOD) == 0 ||
           (packed && str_to_c(str_slice(whole, 0, whole.len - 3), plain, sizeof plain) &&
            fnmatch(pattern, plain, FNM_PERIOD) == 0);
}

const IntakeMapFile *intake_map_entry(const IntakeMap *map, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    for (size_t i = 0; i < map->files; i++)
        if (matches(map->file[i].file.ptr, name))
            return &map->file[i];
    return NULL;
}

/* Names in the folder that match. */
static size_t list_matches(Ctx *ctx, DIR *d, const char *pattern, Str *found)
{
    size_t count = 0;
    const struct dirent *e = NULL;
    while (count < FOUND_MAX && (e = readdir(d)) != NULL)
        if (matches(pattern, e->d_name))
            found[count++] = arena_copy(ctx->arena, str_of(e->d_name));
    return count;
}

Err intake_map_find(Ctx *ctx, const IntakeMap *map, const IntakeMapFile *file, const char *dir,
                    StrList *paths)
{
    DIR *d = opendir(dir);
    if (d == NULL)
        return fail(ctx, ERR_NOT_FOUND, "intake.file_not_found", "no folder %s", dir);
    Str *found = ARENA_ARRAY(ctx->arena, Str, FOUND_MAX);
    const size_t count = list_matches(ctx, d, file->file.ptr, found);
    (void)closedir(d);
    if (count == 0 && !file->optional)
        return fail(ctx, ERR_NOT_FOUND, "intake.file_not_found",
                    "%.*s:%" PRId64 ": no file %.*s in the folder", STR_ARG(map->path), file->line,
                    STR_ARG(file->file));
    qsort(found, count, sizeof *found, compare_names);
    Str *path = ARENA_ARRAY(ctx->arena, Str, count);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        const bool packed = str_ends_with(found[i], STR(".gz"));
        if (packed && is_found(found, count, str_slice(found[i], 0, found[i].len - 3)))
            continue;
        path[kept++] = arena_printf(ctx->arena, "%s/%.*s", dir, STR_ARG(found[i]));
    }
    *paths = (StrList){path, kept};
    return ERR_OK;
}
