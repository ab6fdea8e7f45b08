/*
 * tools/apigen_openapi.c -- all contracts as one OpenAPI 3.1 document.
 */
#include "apigen.h"

enum { COPY_DEPTH_MAX = 16 };

static const struct {
    const char *name, *pattern;
} FORMATS[DTO_FORMAT_COUNT] = {
    [DTO_FORMAT_TEXT] = {"text", NULL},
    [DTO_FORMAT_LINE] = {"line", NULL},
    [DTO_FORMAT_PASSWORD] = {"password", NULL},
    [DTO_FORMAT_CODE] = {"code", "^[!-~]*$"},
    [DTO_FORMAT_SLUG] = {"slug", "^([a-z][a-z0-9_-]*)?$"},
    [DTO_FORMAT_DIGITS] = {"digits", "^[0-9]*$"},
    [DTO_FORMAT_PHONE] = {"phone", "^[+]?[0-9 ()-]+$"},
    [DTO_FORMAT_EMAIL] = {"email", NULL},
    [DTO_FORMAT_URI] = {"uri", NULL},
    [DTO_FORMAT_UUID] = {"uuid", NULL},
};

static void put(JsonOut *o, const char *key, Str text)
{
    json_out_key(o, str_of(key));
    json_out_text(o, text);
}

static void put_if(JsonOut *o, const char *key, Str text)
{
    if (text.len > 0)
        put(o, key, text);
}

static void put_i64(JsonOut *o, const char *key, int64_t v)
{
    json_out_key(o, str_of(key));
    json_out_i64(o, v);
}

static void open_key(JsonOut *o, const char *key)
{
    json_out_key(o, str_of(key));
    json_out_object(o);
}

/* ---- parts that are copied as they are ----------------------------------------------------------------- */

static void copy_node(JsonOut *o, File *file, const yaml_node_t *node, int depth);

static void copy_scalar(JsonOut *o, const yaml_node_t *node)
{
    const Str s = {(const char *)node->data.scalar.value, node->data.scalar.length};
    const bool plain = node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    int64_t number;
    if (plain && (str_eq(s, STR("true")) || str_eq(s, STR("false"))))
        json_out_bool(o, s.len == 4);
    else if (plain && str_to_i64(s, &number))
        json_out_i64(o, number);
    else
        json_out_text(o, s);
}

static void copy_list(JsonOut *o, File *file, const yaml_node_t *node, int depth)
{
    const int n = yaml_count(file, node, YAML_SEQUENCE_NODE, "a list");
    json_out_array(o);
    for (int i = 0; i < n; i++)
        copy_node(o, file, yaml_item(file, node, i), depth + 1);
    json_out_end(o);
}

static void copy_node(JsonOut *o, File *file, const yaml_node_t *node, int depth)
{
    if (depth > COPY_DEPTH_MAX)
        apigen_refuse(file, yaml_line(node), "more than %d levels deep", COPY_DEPTH_MAX);
    if (node->type == YAML_SCALAR_NODE) {
        copy_scalar(o, node);
        return;
    }
    if (node->type == YAML_SEQUENCE_NODE) {
        copy_list(o, file, node, depth);
        return;
    }
    json_out_object(o);
    const int n = yaml_count(file, node, YAML_MAPPING_NODE, "a mapping");
    for (int i = 0; i < n; i++) {
        yaml_node_t *value;
        json_out_key(o, yaml_pair(file, node, i, &value));
        copy_node(o, file, value, depth + 1);
    }
    json_out_end(o);
}

static void copy_key(JsonOut *o, File *file, const yaml_node_t *map, const char *key)
{
    const yaml_node_t *node = yaml_get(file, map, key);
    if (node == NULL)
        return;
    json_out_key(o, str_of(key));
    copy_node(o, file, node, 0);
}

/* ---- schemas ------------------------------------------------------------------------------------------- */

static void put_use(JsonOut *o, const Property *p);

static void put_type(JsonOut *o, const char *type, bool nullable)
{
    json_out_key(o, STR("type"));
    if (nullable)
        json_out_array(o);
    json_out_text(o, str_of(type));
    if (nullable) {
        json_out_text(o, STR("null"));
        json_out_end(o);
    }
}

static void put_string(JsonOut *o, const Schema *s)
{
    put(o, "format", str_of(FORMATS[s->format].name));
    if (s->min > 0)
        put_i64(o, "minLength", s->min);
    put_i64(o, "maxLength", s->max);
    if (FORMATS[s->format].pattern != NULL)
        put(o, "pattern", str_of(FORMATS[s->format].pattern));
}

static void put_enum(JsonOut *o, const Schema *s, bool nullable)
{
    json_out_key(o, STR("enum"));
    json_out_array(o);
    for (int i = 0; i < s->name_count; i++)
        json_out_text(o, s->names[i]);
    if (nullable)
        json_out_null(o);
    json_out_end(o);
}

static void put_object(JsonOut *o, const Schema *s)
{
    bool any = false;
    json_out_key(o, STR("additionalProperties"));
    json_out_bool(o, false);
    open_key(o, "properties");
    for (int i = 0; i < s->field_count; i++) {
        json_out_key(o, s->fields[i].name);
        put_use(o, &s->fields[i]);
        any = any || s->fields[i].required;
    }
    json_out_end(o);
    if (!any)
        return;
    json_out_key(o, STR("required"));
    json_out_array(o);
    for (int i = 0; i < s->field_count; i++)
        if (s->fields[i].required)
            json_out_text(o, s->fields[i].name);
    json_out_end(o);
}

static void put_holder(JsonOut *o, const Schema *s)
{
    const Property item = {.schema = s->item};
    const bool array = s->kind == DTO_ARRAY;
    json_out_key(o, array ? STR("items") : STR("additionalProperties"));
    put_use(o, &item);
    if (s->min > 0)
        put_i64(o, array ? "minItems" : "minProperties", s->min);
    put_i64(o, array ? "maxItems" : "maxProperties", s->max);
}

static const char *json_type_of(DtoKind kind)
{
    switch (kind) {
    case DTO_OBJECT:
    case DTO_MAP:
    case DTO_JSON:
        return "object";
    case DTO_ARRAY:
        return "array";
    case DTO_INTEGER:
        return "integer";
    case DTO_BOOL:
        return "boolean";
    case DTO_STRING:
    case DTO_ENUM:
    case DTO_ID:
    case DTO_DATE:
    case DTO_TIME:
        break;
    }
    return "string";
}

/* The members of a schema, into an object that is open. */
static void put_members(JsonOut *o, const Schema *s, bool nullable)
{
    if (s->kind != DTO_JSON || s->object_only)
        put_type(o, json_type_of(s->kind), nullable);
    if (s->kind == DTO_OBJECT) {
        put_object(o, s);
    } else if (s->kind == DTO_ARRAY || s->kind == DTO_MAP) {
        put_holder(o, s);
    } else if (s->kind == DTO_STRING) {
        put_string(o, s);
    } else if (s->kind == DTO_ENUM) {
        put_enum(o, s, nullable);
    } else if (s->kind == DTO_ID) {
        put(o, "format", STR("id"));
        put(o, "pattern", STR("^[1-9][0-9]{0,18}$"));
    } else if (s->kind == DTO_DATE || s->kind == DTO_TIME) {
        put(o, "format", s->kind == DTO_DATE ? STR("date") : STR("date-time"));
    } else if (s->kind == DTO_INTEGER) {
        put(o, "format", STR("int64"));
        put_i64(o, "minimum", s->min);
        put_i64(o, "maximum", s->max);
    } else if (s->kind == DTO_JSON) {
        put_i64(o, "x-bytes-max", s->max);
    }
}

static void put_ref(JsonOut *o, const Schema *s)
{
    Buf b = BUF_MAX(256);
    buf_addf(&b, "#/components/schemas/%.*s", STR_ARG(s->name));
    put(o, "$ref", buf_str(&b));
    buf_free(&b);
}

static void put_default(JsonOut *o, const Property *p)
{
    if (!p->has_default)
        return;
    json_out_key(o, STR("default"));
    if (p->schema->kind == DTO_BOOL)
        json_out_bool(o, p->default_i64 != 0);
    else if (p->schema->kind == DTO_INTEGER)
        json_out_i64(o, p->default_i64);
    else
        json_out_text(o, p->default_text);
}

/* A schema where it is used: by name, or in place. */
static void put_use(JsonOut *o, const Property *p)
{
    json_out_object(o);
    if (p->schema->name.len > 0 && p->nullable) {
        json_out_key(o, STR("oneOf"));
        json_out_array(o);
        json_out_object(o);
        put_ref(o, p->schema);
        json_out_end(o);
        json_out_object(o);
        put(o, "type", STR("null"));
        json_out_end(o);
        json_out_end(o);
    } else if (p->schema->name.len > 0) {
        put_ref(o, p->schema);
    } else {
        put_members(o, p->schema, p->nullable);
    }
    put_if(o, "description", p->description);
    put_default(o, p);
    json_out_end(o);
}

static void put_schemas(JsonOut *o, File *const *files, int count)
{
    open_key(o, "schemas");
    for (int f = 0; f < count; f++) {
        for (int i = 0; i < files[f]->named_count; i++) {
            const Schema *s = files[f]->named[i].schema;
            json_out_key(o, s->name);
            json_out_object(o);
            put_members(o, s, false);
            put_if(o, "description", s->description);
            json_out_end(o);
        }
    }
    json_out_end(o);
}

/* ---- operations ---------------------------------------------------------------------------------------- */

static void put_parameters(JsonOut *o, const Schema *s, const char *in)
{
    for (int i = 0; s != NULL && i < s->field_count; i++) {
        Property use = s->fields[i];
        json_out_object(o);
        put(o, "name", use.name);
        put(o, "in", str_of(in));
        json_out_key(o, STR("required"));
        json_out_bool(o, use.required);
        put_if(o, "description", use.description);
        use.description.len = 0;
        json_out_key(o, STR("schema"));
        put_use(o, &use);
        json_out_end(o);
    }
}

static void put_repeat_header(JsonOut *o, ApiRepeat repeat)
{
    if (repeat == API_REPEAT_IGNORED)
        return;
    json_out_object(o);
    put(o, "name", STR("Idempotency-Key"));
    put(o, "in", STR("header"));
    json_out_key(o, STR("required"));
    json_out_bool(o, repeat == API_REPEAT_REQUIRED);
    put(o, "description",
        STR("Any text that is new for each intention; a repeat gets the first "
            "reply."));
    open_key(o, "schema");
    put(o, "type", STR("string"));
    put_i64(o, "minLength", 1);
    put_i64(o, "maxLength", 128);
    json_out_end(o);
    json_out_end(o);
}

static void put_content(JsonOut *o, Str media, const Schema *s)
{
    json_out_key(o, media);
    json_out_object(o);
    if (s != NULL) {
        open_key(o, "schema");
        put_ref(o, s);
        json_out_end(o);
    }
    json_out_end(o);
}

static void put_contents(JsonOut *o, const Schema *s, const Str *media, int count)
{
    if (s == NULL && count == 0)
        return;
    open_key(o, "content");
    if (s != NULL)
        put_content(o, STR("application/json"), s);
    for (int i = 0; i < count; i++)
        put_content(o, media[i], NULL);
    json_out_end(o);
}

static void put_failure(JsonOut *o, const Operation *op)
{
    Buf b = BUF_MAX(16384);
    buf_add(&b, STR("A problem. Its code is one of the general ones"));
    for (int i = 0; i < op->error_count; i++)
        buf_addf(&b, "%s\n- `%.*s`: %.*s", i == 0 ? ", or:" : "", STR_ARG(op->errors[i].code),
                 STR_ARG(op->errors[i].sentence));
    if (op->error_count == 0)
        buf_add_char(&b, '.');
    open_key(o, "4XX");
    put(o, "description", buf_str(&b));
    open_key(o, "content");
    open_key(o, "application/problem+json");
    open_key(o, "schema");
    put(o, "$ref", STR("#/components/schemas/Problem"));
    json_out_end(o);
    json_out_end(o);
    json_out_end(o);
    json_out_end(o);
    buf_free(&b);
}

static void put_responses(JsonOut *o, const Operation *op)
{
    Buf status = BUF_MAX(16);
    buf_add_i64(&status, op->status);
    open_key(o, "responses");
    json_out_key(o, buf_str(&status));
    json_out_object(o);
    put(o, "description", op->status_description);
    put_contents(o, op->reply, op->media_out, op->media_out_count);
    json_out_end(o);
    put_failure(o, op);
    json_out_end(o);
    buf_free(&status);
}

static void put_operation(JsonOut *o, const Operation *op)
{
    static const char *const kinds[] = {"peek", "work", "write", "collect"};
    put(o, "operationId", op->id);
    json_out_key(o, STR("tags"));
    json_out_array(o);
    json_out_text(o, op->file->room);
    json_out_end(o);
    put(o, "summary", op->summary);
    put_if(o, "description", op->description);
    put(o, "x-kind", str_of(kinds[op->kind]));
    put(o, "x-permission", op->permission.len == 0 ? STR("public") : op->permission);
    if (op->permission.len == 0) {
        json_out_key(o, STR("security"));
        json_out_array(o);
        json_out_end(o);
    }
    if (op->params != NULL || op->query != NULL || op->repeat != API_REPEAT_IGNORED) {
        json_out_key(o, STR("parameters"));
        json_out_array(o);
        put_parameters(o, op->params, "path");
        put_parameters(o, op->query, "query");
        put_repeat_header(o, op->repeat);
        json_out_end(o);
    }
    if (op->body != NULL || op->media_in_count > 0) {
        open_key(o, "requestBody");
        json_out_key(o, STR("required"));
        json_out_bool(o, true);
        put_contents(o, op->body, op->media_in, op->media_in_count);
        json_out_end(o);
    }
    put_responses(o, op);
}

static void put_method_key(JsonOut *o, Str method)
{
    char key[8];
    for (size_t i = 0; i < method.len; i++)
        key[i] = (char)(method.ptr[i] | 32);
    json_out_key(o, (Str){key, method.len});
}

/* Does an operation before (f, i) have the same path? */
static bool is_done(File *const *files, int f, int i)
{
    for (int g = 0; g <= f; g++)
        for (int k = 0; k < (g == f ? i : files[g]->operation_count); k++)
            if (str_eq(files[g]->operations[k]->path, files[f]->operations[i]->path))
                return true;
    return false;
}

static void put_path(JsonOut *o, File *const *files, int count, Str path)
{
    json_out_key(o, path);
    json_out_object(o);
    for (int f = 0; f < count; f++) {
        for (int i = 0; i < files[f]->operation_count; i++) {
            const Operation *op = files[f]->operations[i];
            if (!str_eq(op->path, path))
                continue;
            put_method_key(o, op->method);
            json_out_object(o);
            put_operation(o, op);
            json_out_end(o);
        }
    }
    json_out_end(o);
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

/* "/v1/a/{x}" and "/v1/a/{y}" are the same place. */
static bool is_same_place(Str a, Str b)
{
    size_t i = 0, k = 0;
    while (i < a.len && k < b.len && a.ptr[i] == b.ptr[k]) {
        const bool open = a.ptr[i] == '{';
        const int64_t end_a = str_index(a, '}', i), end_b = str_index(b, '}', k);
        i = open && end_a > 0 ? (size_t)end_a : i + 1;
        k = open && end_b > 0 ? (size_t)end_b : k + 1;
    }
    return i == a.len && k == b.len;
}

static void check_operation(const Operation *a, const Operation *b)
{
    if (str_eq(a->id, b->id))
        apigen_refuse(a->file, a->line, "the operation %.*s is also in %s", STR_ARG(a->id),
                      b->file->path);
    if (str_eq(a->method, b->method) && is_same_place(a->path, b->path))
        apigen_refuse(a->file, a->line, "%.*s %.*s is also %.*s of %s", STR_ARG(a->method),
                      STR_ARG(a->path), STR_ARG(b->id), b->file->path);
    if (!str_eq(a->path, b->path) && is_same_place(a->path, b->path))
        apigen_refuse(a->file, a->line, "%.*s calls its placeholders other names than %.*s of %s",
                      STR_ARG(a->path), STR_ARG(b->id), b->file->path);
}

static void check_schemas(const File *a, const File *b)
{
    for (int i = 0; i < a->named_count; i++)
        for (int k = 0; k < b->named_count; k++)
            if (str_eq(a->named[i].name, b->named[k].name))
                apigen_refuse(a, yaml_line(a->named[i].node), "the schema %.*s is also in %s",
                              STR_ARG(a->named[i].name), b->path);
}

static void check_errors(const File *a, const File *b)
{
    for (int i = 0; i < a->error_count; i++)
        for (int k = 0; k < b->error_count; k++)
            if (str_eq(a->errors[i].code, b->errors[k].code))
                apigen_refuse(a, a->errors[i].line,
                              "%.*s is also in %s: a code that two rooms use belongs to common",
                              STR_ARG(a->errors[i].code), b->path);
}

static void check_files(const File *a, const File *b)
{
    if (a != b) {
        check_schemas(a, b);
        check_errors(a, b);
    }
    for (int i = 0; i < a->operation_count; i++)
        for (int k = 0; k < (a == b ? i : b->operation_count); k++)
            check_operation(a->operations[i], b->operations[k]);
}

static void put_paths(JsonOut *o, File *const *files, int count)
{
    open_key(o, "paths");
    for (int f = 0; f < count; f++)
        for (int i = 0; i < files[f]->operation_count; i++)
            if (!is_done(files, f, i))
                put_path(o, files, count, files[f]->operations[i]->path);
    json_out_end(o);
}

/* What every failure refers to. */
static void need_problem(const File *common)
{
    for (int i = 0; i < common->named_count; i++)
        if (str_eq(common->named[i].name, STR("Problem")))
            return;
    apigen_refuse(common, 1, "common needs the schema Problem (RFC 9457)");
}

/* A tag per room; its words are the title of the room's info. */
static void put_tags(JsonOut *o, File *const *files, int count)
{
    static const char *const keys[] = {"title", NULL};
    json_out_key(o, STR("tags"));
    json_out_array(o);
    for (int f = 0; f < count; f++) {
        if (files[f]->operation_count == 0)
            continue;
        json_out_object(o);
        put(o, "name", files[f]->room);
        const yaml_node_t *info = f == 0 ? NULL : yaml_get(files[f], files[f]->root, "info");
        if (info != NULL) {
            yaml_only(files[f], info, "the info of a room", keys);
            put(o, "description",
                yaml_text(files[f], yaml_need(files[f], info, "info", "title"), "title"));
        }
        json_out_end(o);
    }
    json_out_end(o);
}

void emit_openapi(File *const *files, int count, Buf *out)
{
    File *common = files[0];
    for (int a = 0; a < count; a++)
        for (int b = 0; b <= a; b++)
            check_files(files[a], files[b]);
    need_problem(common);
    JsonOut json = json_out(out), *o = &json;
    json_out_object(o);
    put(o, "openapi", STR("3.1.0"));
    (void)yaml_need(common, common->root, "common", "info");
    copy_key(o, common, common->root, "info");
    copy_key(o, common, common->root, "servers");
    copy_key(o, common, common->root, "security");
    put_tags(o, files, count);
    put_paths(o, files, count);
    open_key(o, "components");
    const yaml_node_t *components = yaml_get(common, common->root, "components");
    if (components != NULL)
        copy_key(o, common, components, "securitySchemes");
    put_schemas(o, files, count);
    json_out_end(o);
    json_out_end(o);
    buf_add_char(out, '\n');
}
