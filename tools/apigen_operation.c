/*
 * tools/apigen_operation.c -- the paths of a contract, and the codes it may answer with.
 */
#include "apigen.h"

static const struct {
    const char *key, *method;
    bool has_body;
} METHODS[] = {{"get", "GET", false},
               {"post", "POST", true},
               {"put", "PUT", true},
               {"patch", "PATCH", true},
               {"delete", "DELETE", false}};

/* The place of `node`'s text among `names`. */
static int choose(File *file, yaml_node_t *node, const char *what, const char *const *names)
{
    const Str text = yaml_text(file, node, what);
    Buf b = BUF_MAX(1024);
    for (int i = 0; names[i] != NULL; i++) {
        if (str_eq(text, str_of(names[i]))) {
            buf_free(&b);
            return i;
        }
        buf_addf(&b, "%s%s", i == 0 ? "" : ", ", names[i]);
    }
    const Str list = arena_copy(file->arena, buf_str(&b));
    buf_free(&b);
    apigen_refuse(file, yaml_line(node), "%s \"%.*s\": choose among %.*s", what, STR_ARG(text),
                  STR_ARG(list));
}

/* ---- error codes ----------------------------------------------------------------------------------- */

static const Error *find_error(const File *file, Str code)
{
    for (int i = 0; i < file->error_count; i++)
        if (str_eq(file->errors[i].code, code) && file->errors[i].sentence.len > 0)
            return &file->errors[i];
    return NULL;
}

/* "coupon.sold_out", "not_found" */
static bool is_code(Str s)
{
    for (size_t from = 0; from <= s.len;) {
        const int64_t dot = str_index(s, '.', from);
        const size_t to = dot < 0 ? s.len : (size_t)dot;
        if (!name_is_snake(str_slice(s, from, to)))
            return false;
        from = to + 1;
    }
    return true;
}

static Error read_error(File *file, yaml_node_t *map, int i)
{
    yaml_node_t *value;
    Error e = {.code = yaml_pair(file, map, i, &value), .line = yaml_line(value)};
    e.sentence = yaml_text(file, value, "the sentence of an error");
    if (!is_code(e.code))
        apigen_refuse(file, e.line, "\"%.*s\": a code is like coupon.sold_out", STR_ARG(e.code));
    if (str_eq(e.sentence, STR("~")))
        e.sentence.len = 0;
    const Error *known = find_error(file, e.code);
    if (known == NULL)
        known = find_error(file->common, e.code);
    if (known != NULL && e.sentence.len > 0 && !str_eq(known->sentence, e.sentence))
        apigen_refuse(file, e.line, "%.*s has another sentence elsewhere: write ~ here",
                      STR_ARG(e.code));
    if (known == NULL && e.sentence.len > 0) {
        if (file->error_count == APIGEN_ERRORS_MAX)
            apigen_refuse(file, e.line, "at most %d codes", APIGEN_ERRORS_MAX);
        file->errors[file->error_count++] = e;
    }
    return e;
}

static void read_errors(File *file, yaml_node_t *node, Operation *op)
{
    yaml_node_t *map = yaml_get(file, node, "x-errors");
    if (map == NULL)
        return;
    yaml_only(file, map, "x-errors", NULL);
    const int n = yaml_count(file, map, YAML_MAPPING_NODE, "x-errors");
    if (op != NULL && n > APIGEN_OPERATION_ERRORS_MAX)
        apigen_refuse(file, op->line, "at most %d errors", APIGEN_OPERATION_ERRORS_MAX);
    for (int i = 0; i < n; i++) {
        const Error e = read_error(file, map, i);
        if (op != NULL)
            op->errors[op->error_count++] = e;
    }
}

/* `~` stands for the sentence given elsewhere in the file or in common. */
static void resolve_errors(File *file, Operation *op)
{
    for (int i = 0; i < op->error_count; i++) {
        Error *e = &op->errors[i];
        const Error *known = find_error(file, e->code);
        if (known == NULL)
            known = find_error(file->common, e->code);
        if (known == NULL)
            apigen_refuse(file, e->line, "%.*s has no sentence: write what the caller should do",
                          STR_ARG(e->code));
        e->sentence = known->sentence;
    }
}

/* ---- parameters ------------------------------------------------------------------------------------ */

static void add_property(File *file, Schema **object, const Operation *op, const char *suffix,
                         const Property *p)
{
    if (*object == NULL) {
        Schema *s = schema_new(file, op->line, DTO_OBJECT);
        s->c_name = arena_printf(file->arena, "Api%.*s%s",
                                 STR_ARG(name_to_camel(file->arena, op->id)), suffix);
        s->fields = ARENA_ARRAY(file->arena, Property, DTO_FIELDS_MAX);
        *object = s;
    }
    Schema *s = *object;
    for (int i = 0; i < s->field_count; i++)
        if (str_eq(s->fields[i].name, p->name))
            apigen_refuse(file, op->line, "parameter \"%.*s\" stands twice", STR_ARG(p->name));
    if (s->field_count == DTO_FIELDS_MAX)
        apigen_refuse(file, op->line, "at most %d parameters", DTO_FIELDS_MAX);
    s->fields[s->field_count++] = *p;
}

static bool is_plain(const Schema *s)
{
    return s->kind != DTO_OBJECT && s->kind != DTO_ARRAY && s->kind != DTO_MAP &&
           s->kind != DTO_JSON;
}

static void read_parameter(File *file, yaml_node_t *node, Operation *op)
{
    static const char *const keys[] = {"name", "in", "required", "description", "schema", NULL};
    static const char *const places[] = {"path", "query", NULL};
    yaml_only(file, node, "a parameter", keys);
    yaml_node_t *name = yaml_need(file, node, "a parameter", "name");
    Property p = {.name = yaml_text(file, name, "name")};
    const int place = choose(file, yaml_need(file, node, "a parameter", "in"), "in", places);
    if (!name_is_snake(p.name))
        apigen_refuse(file, yaml_line(name), "parameters are snake_case");
    const Str c_name =
        arena_printf(file->arena, "Api%.*s%.*s", STR_ARG(name_to_camel(file->arena, op->id)),
                     STR_ARG(name_to_camel(file->arena, p.name)));
    p.schema = schema_read(file, yaml_need(file, node, "a parameter", "schema"), &p, c_name);
    yaml_node_t *text = yaml_get(file, node, "description");
    if (text != NULL)
        p.description = yaml_text(file, text, "description");
    yaml_node_t *required = yaml_get(file, node, "required");
    p.required = required != NULL && yaml_bool(file, required, "required");
    const bool list = place == 1 && p.schema->kind == DTO_ARRAY && is_plain(p.schema->item);
    if ((!is_plain(p.schema) && !list) || p.nullable)
        apigen_refuse(file, yaml_line(node),
                      "a parameter is a scalar, or in the query an array of "
                      "scalars, and never null");
    if (place == 0 && (!p.required || p.has_default))
        apigen_refuse(file, yaml_line(node), "a parameter of the path is required");
    if (p.required && p.has_default)
        apigen_refuse(file, yaml_line(node), "a parameter with a default is not required");
    add_property(file, place == 0 ? &op->params : &op->query, op, place == 0 ? "Path" : "Query",
                 &p);
}

/* Puts the parameters of the path in the order of the {placeholders}. */
static void match_path(File *file, Operation *op)
{
    int n = 0;
    const int declared = op->params == NULL ? 0 : op->params->field_count;
    for (int64_t open = str_index(op->path, '{', 0); open >= 0;
         open = str_index(op->path, '{', (size_t)open + 1)) {
        const int64_t close = str_index(op->path, '}', (size_t)open);
        if (close < 0)
            apigen_refuse(file, op->line, "the path has a { without }");
        const Str name = str_slice(op->path, (size_t)open + 1, (size_t)close);
        int i = n;
        while (i < declared && !str_eq(op->params->fields[i].name, name))
            i++;
        if (i >= declared)
            apigen_refuse(file, op->line,
                          "{%.*s} is not among the parameters, `in: path`, or stands "
                          "twice",
                          STR_ARG(name));
        const Property p = op->params->fields[i];
        op->params->fields[i] = op->params->fields[n];
        op->params->fields[n++] = p;
    }
    if (n < declared)
        apigen_refuse(file, op->line, "parameter \"%.*s\" does not stand in the path",
                      STR_ARG(op->params->fields[n].name));
}

static void read_parameters(File *file, yaml_node_t *node, Operation *op)
{
    yaml_node_t *list = yaml_get(file, node, "parameters");
    const int n = list == NULL ? 0 : yaml_count(file, list, YAML_SEQUENCE_NODE, "parameters");
    for (int i = 0; i < n; i++)
        read_parameter(file, yaml_item(file, list, i), op);
    match_path(file, op);
    if (op->params != NULL)
        schema_close_object(file, op->params);
    if (op->query != NULL)
        schema_close_object(file, op->query);
}

/* ---- bodies ------------------------------------------------------------------------------------------ */

/* `content` of an ordinary operation: {application/json: {schema: {$ref: ..}}}. */
static Schema *read_json_content(File *file, yaml_node_t *content)
{
    static const char *const keys[] = {"application/json", NULL};
    static const char *const media_keys[] = {"schema", NULL};
    static const char *const schema_keys[] = {"$ref", NULL};
    yaml_only(file, content, "content (only an `x-raw: true` door may choose)", keys);
    yaml_node_t *media = yaml_need(file, content, "content", "application/json");
    yaml_only(file, media, "application/json", media_keys);
    yaml_node_t *schema = yaml_need(file, media, "application/json", "schema");
    yaml_only(file, schema, "the schema of a body", schema_keys);
    Schema *s = schema_ref(file, yaml_need(file, schema, "the schema of a body", "$ref"));
    if (s->kind != DTO_OBJECT)
        apigen_refuse(file, yaml_line(schema), "a body is an object");
    return s;
}

/* `content` of a raw door: media types without schemas. */
static void read_raw_content(File *file, yaml_node_t *content, Str *media, int *count)
{
    static const char *const none[] = {"description", NULL};
    yaml_only(file, content, "content", NULL);
    *count = yaml_count(file, content, YAML_MAPPING_NODE, "content");
    if (*count > 4)
        apigen_refuse(file, yaml_line(content), "at most 4 media types");
    for (int i = 0; i < *count; i++) {
        yaml_node_t *value;
        media[i] = yaml_pair(file, content, i, &value);
        yaml_only(file, value, "a media type of a raw door", none);
    }
}

static void read_body(File *file, yaml_node_t *node, Operation *op, bool method_has_body)
{
    static const char *const keys[] = {"required", "content", NULL};
    yaml_node_t *body = yaml_get(file, node, "requestBody");
    if (body == NULL)
        return;
    if (!method_has_body)
        apigen_refuse(file, yaml_line(body), "%.*s has no body", STR_ARG(op->method));
    yaml_only(file, body, "requestBody", keys);
    yaml_node_t *required = yaml_get(file, body, "required");
    if (required != NULL && !yaml_bool(file, required, "required"))
        apigen_refuse(file, yaml_line(body), "a body is required, or there is none");
    yaml_node_t *content = yaml_need(file, body, "requestBody", "content");
    if (op->raw)
        read_raw_content(file, content, op->media_in, &op->media_in_count);
    else
        op->body = read_json_content(file, content);
}

static void read_reply(File *file, yaml_node_t *node, Operation *op)
{
    static const char *const keys[] = {"description", "content", NULL};
    yaml_node_t *responses = yaml_need(file, node, "an operation", "responses");
    yaml_node_t *reply;
    if (yaml_count(file, responses, YAML_MAPPING_NODE, "responses") != 1)
        apigen_refuse(file, yaml_line(responses),
                      "responses has the one success; failures are "
                      "x-errors");
    int64_t status;
    if (!str_to_i64(yaml_pair(file, responses, 0, &reply), &status) || status < 200 || status > 399)
        apigen_refuse(file, yaml_line(reply), "the status of success is \"200\", \"201\", \"204\"");
    op->status = (int)status;
    yaml_only(file, reply, "a response", keys);
    yaml_node_t *text = yaml_get(file, reply, "description");
    op->status_description = text == NULL ? op->summary : yaml_text(file, text, "description");
    yaml_node_t *content = yaml_get(file, reply, "content");
    if (content != NULL && status == 204)
        apigen_refuse(file, yaml_line(reply), "204 has no content");
    if (content == NULL && status != 204 && !op->raw)
        apigen_refuse(file, yaml_line(reply), "say the content, or answer \"204\"");
    if (content != NULL && op->raw)
        read_raw_content(file, content, op->media_out, &op->media_out_count);
    else if (content != NULL)
        op->reply = read_json_content(file, content);
}

/* ---- operations --------------------------------------------------------------------------------------- */

static void read_write_keys(File *file, yaml_node_t *node, Operation *op)
{
    static const char *const prepares[] = {"inline", "pool", NULL};
    static const char *const repeats[] = {"ignored", "optional", "required", NULL}; /* ApiRepeat */
    yaml_node_t *prepare = yaml_get(file, node, "x-prepare");
    yaml_node_t *repeat = yaml_get(file, node, "x-idempotent");
    if (op->kind != API_WRITE) {
        if (prepare != NULL || repeat != NULL)
            apigen_refuse(file, op->line, "x-prepare and x-idempotent belong to x-kind: write");
        return;
    }
    if (prepare == NULL)
        apigen_refuse(file, op->line, "x-kind: write needs x-prepare");
    op->prepare_on_pool = choose(file, prepare, "x-prepare", prepares) == 1;
    if (repeat != NULL)
        op->repeat = (ApiRepeat)choose(file, repeat, "x-idempotent", repeats);
}

static void read_keys(File *file, yaml_node_t *node, Operation *op)
{
    static const char *const kinds[] = {"peek", "work", "write", "collect", NULL}; /* ApiKind */
    op->summary = yaml_text(file, yaml_need(file, node, "an operation", "summary"), "summary");
    yaml_node_t *text = yaml_get(file, node, "description");
    if (text != NULL)
        op->description = yaml_text(file, text, "description");
    yaml_node_t *permission = yaml_need(file, node, "an operation", "x-permission");
    op->permission = yaml_text(file, permission, "x-permission");
    if (!is_code(op->permission))
        apigen_refuse(file, yaml_line(permission), "x-permission is like coupon.redeem, or public");
    if (str_eq(op->permission, STR("public")))
        op->permission.len = 0;
    op->kind =
        (ApiKind)choose(file, yaml_need(file, node, "an operation", "x-kind"), "x-kind", kinds);
    const bool get = str_eq(op->method, STR("GET"));
    if (get && (op->kind == API_WRITE || op->kind == API_COLLECT))
        apigen_refuse(file, op->line, "a GET changes nothing: x-kind is peek or work");
    yaml_node_t *raw = yaml_get(file, node, "x-raw");
    op->raw = raw != NULL && yaml_bool(file, raw, "x-raw");
    read_write_keys(file, node, op);
}

static void read_id(File *file, yaml_node_t *node, Operation *op)
{
    yaml_node_t *id = yaml_need(file, node, "an operation", "operationId");
    op->id = yaml_text(file, id, "operationId");
    if (!name_is_snake(op->id) || !str_starts_with(op->id, file->room) ||
        op->id.len < file->room.len + 2 || op->id.ptr[file->room.len] != '_')
        apigen_refuse(file, yaml_line(id), "an operation of this room is called %.*s_something",
                      STR_ARG(file->room));
    for (int i = 0; i < file->operation_count; i++)
        if (str_eq(file->operations[i]->id, op->id))
            apigen_refuse(file, yaml_line(id), "%.*s was already defined", STR_ARG(op->id));
}

static void read_operation(File *file, Str path, size_t method, yaml_node_t *node)
{
    static const char *const keys[] = {
        "operationId", "summary",      "description", "x-kind",   "x-permission",
        "x-prepare",   "x-idempotent", "x-raw",       "x-errors", "parameters",
        "requestBody", "responses",    NULL};
    yaml_only(file, node, "an operation", keys);
    if (file->operation_count == APIGEN_OPERATIONS_MAX)
        apigen_refuse(file, yaml_line(node), "at most %d operations", APIGEN_OPERATIONS_MAX);
    Operation *op = ARENA_NEW(file->arena, Operation);
    op->file = file;
    op->line = yaml_line(node);
    op->path = path;
    op->method = str_of(METHODS[method].method);
    read_id(file, node, op);
    read_keys(file, node, op);
    read_parameters(file, node, op);
    read_body(file, node, op, METHODS[method].has_body);
    read_reply(file, node, op);
    read_errors(file, node, op);
    file->operations[file->operation_count++] = op;
}

static void read_path(File *file, Str path, yaml_node_t *node)
{
    static const char *const keys[] = {"get", "post", "put", "patch", "delete", NULL};
    if (!str_starts_with(path, STR("/")))
        apigen_refuse(file, yaml_line(node), "a path begins with /");
    yaml_only(file, node, "a path", keys);
    for (size_t m = 0; m < ARRAY_LEN(METHODS); m++) {
        yaml_node_t *op = yaml_get(file, node, METHODS[m].key);
        if (op != NULL)
            read_operation(file, path, m, op);
    }
}

void operations_read(File *file)
{
    static const char *const room_keys[] = {"openapi",    "info",     "paths",
                                            "components", "x-errors", NULL};
    static const char *const common_keys[] = {"openapi",  "info",     "servers",
                                              "security", "paths",    "components",
                                              "x-errors", "x-header", NULL};
    const bool is_common = file->common == file;
    yaml_only(file, file->root, "the contract", is_common ? common_keys : room_keys);
    yaml_node_t *version = yaml_get(file, file->root, "openapi");
    if (version != NULL && !str_eq(yaml_text(file, version, "openapi"), STR("3.1.0")))
        apigen_refuse(file, yaml_line(version), "openapi: 3.1.0");
    yaml_node_t *header = is_common ? yaml_get(file, file->root, "x-header") : NULL;
    file->header = header == NULL ? arena_printf(file->arena, "%.*s.api.h", STR_ARG(file->room))
                                  : yaml_text(file, header, "x-header");
    read_errors(file, file->root, NULL);
    yaml_node_t *paths = yaml_get(file, file->root, "paths");
    if (paths != NULL)
        yaml_only(file, paths, "paths", NULL);
    const int n = paths == NULL ? 0 : yaml_count(file, paths, YAML_MAPPING_NODE, "paths");
    for (int i = 0; i < n; i++) {
        yaml_node_t *node;
        const Str path = yaml_pair(file, paths, i, &node);
        read_path(file, path, node);
    }
    for (int i = 0; i < file->operation_count; i++)
        resolve_errors(file, file->operations[i]);
}
