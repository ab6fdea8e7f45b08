/*
 * tools/apigen_schema.c -- the schemas of a contract: JSON Schema cut down to what a C struct can be.
 */
#include "apigen.h"

static const struct {
    const char *name;
    DtoKind kind;
    DtoFormat format;
    int64_t chars_max; /* DTO_STRING; 0: maxLength must be given */
} FORMATS[] = {
    {"text", DTO_STRING, DTO_FORMAT_TEXT, 0},    {"line", DTO_STRING, DTO_FORMAT_LINE, 0},
    {"code", DTO_STRING, DTO_FORMAT_CODE, 0},    {"password", DTO_STRING, DTO_FORMAT_PASSWORD, 0},
    {"slug", DTO_STRING, DTO_FORMAT_SLUG, 0},    {"digits", DTO_STRING, DTO_FORMAT_DIGITS, 0},
    {"phone", DTO_STRING, DTO_FORMAT_PHONE, 32}, {"email", DTO_STRING, DTO_FORMAT_EMAIL, 254},
    {"uri", DTO_STRING, DTO_FORMAT_URI, 2048},   {"uuid", DTO_STRING, DTO_FORMAT_UUID, 36},
    {"id", DTO_ID, DTO_FORMAT_TEXT, 0},          {"date", DTO_DATE, DTO_FORMAT_TEXT, 0},
    {"date-time", DTO_TIME, DTO_FORMAT_TEXT, 0},
};

/* JSON numbers are exact up to here in every client. */
static const int64_t INTEGER_MAX = INT64_C(9007199254740991);
static const int64_t CHARACTERS_MAX = 1000000;
static const int64_t ITEMS_MAX = 100000; /* room is made for all before the first is read */
static const int64_t MEMBERS_MAX = 256;  /* of a map: each is compared with all */
static const int64_t JSON_DEFAULT_BYTES = 65536;

/* ---- names --------------------------------------------------------------------------------------- */

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool name_is_snake(Str s)
{
    if (s.len == 0 || s.len > 60 || !is_lower(s.ptr[0]))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!is_lower(s.ptr[i]) && !is_digit(s.ptr[i]) && s.ptr[i] != '_')
            return false;
    return true;
}

bool name_is_camel(Str s)
{
    if (s.len == 0 || s.len > 60 || !is_upper(s.ptr[0]))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!is_lower(s.ptr[i]) && !is_digit(s.ptr[i]) && !is_upper(s.ptr[i]))
            return false;
    return true;
}

Str name_to_upper(Arena *arena, Str name)
{
    char *out = arena_bytes(arena, 2 * name.len);
    size_t n = 0;
    for (size_t i = 0; i < name.len; i++) {
        const char c = name.ptr[i];
        if (i > 0 && is_upper(c) && !is_upper(name.ptr[i - 1]))
            out[n++] = '_';
        out[n++] = is_lower(c) ? (char)(c - 32) : (is_upper(c) || is_digit(c)) ? c : '_';
    }
    return (Str){out, n};
}

Str name_to_camel(Arena *arena, Str name)
{
    char *out = arena_bytes(arena, name.len);
    size_t n = 0;
    bool start = true;
    for (size_t i = 0; i < name.len; i++) {
        const char c = name.ptr[i];
        if (c != '_')
            out[n++] = start && is_lower(c) ? (char)(c - 32) : c;
        start = c == '_';
    }
    return (Str){out, n};
}

static void check_field_name(const File *file, int line, Str name)
{
    static const char *const taken[] = {
        "auto",     "bool",   "break",  "case",   "char",    "const",    "continue", "default",
        "do",       "double", "else",   "enum",   "extern",  "false",    "float",    "for",
        "goto",     "if",     "inline", "int",    "long",    "register", "restrict", "return",
        "short",    "signed", "sizeof", "static", "struct",  "switch",   "true",     "typedef",
        "unsigned", "union",  "void",   "while",  "volatile"};
    if (!name_is_snake(name))
        apigen_refuse(file, line, "\"%.*s\": names are snake_case", STR_ARG(name));
    if (str_ends_with(name, STR("_is")) || str_ends_with(name, STR("_count")))
        apigen_refuse(file, line,
                      "\"%.*s\": names that end in _is and _count are taken by the generated C: "
                      "write is_open, line_total",
                      STR_ARG(name));
    for (size_t i = 0; i < ARRAY_LEN(taken); i++)
        if (str_eq(name, str_of(taken[i])))
            apigen_refuse(file, line, "\"%.*s\" is a keyword of C: choose another name",
                          STR_ARG(name));
}

/* ---- scalars ------------------------------------------------------------------------------------- */

Schema *schema_new(File *file, int line, DtoKind kind)
{
    Schema *s = ARENA_NEW(file->arena, Schema);
    s->kind = kind;
    s->file = file;
    s->line = line;
    s->depth = 1;
    return s;
}

static int64_t bound(File *file, yaml_node_t *node, const char *key, int64_t otherwise)
{
    yaml_node_t *value = yaml_get(file, node, key);
    return value == NULL ? otherwise : yaml_i64(file, value, key);
}

static void check_bounds(const Schema *s)
{
    if (s->min > s->max)
        apigen_refuse(s->file, s->line, "the lower bound is above the upper one");
}

static Schema *read_enum(File *file, yaml_node_t *node, Str c_name)
{
    static const char *const keys[] = {"type", "enum", "description", "default", NULL};
    yaml_only(file, node, "an enum", keys);
    Schema *s = schema_new(file, yaml_line(node), DTO_ENUM);
    yaml_node_t *list = yaml_get(file, node, "enum");
    const int n = yaml_count(file, list, YAML_SEQUENCE_NODE, "enum");
    if (n == 0 || n > APIGEN_NAMES_MAX)
        apigen_refuse(file, s->line, "an enum has 1 to %d names", APIGEN_NAMES_MAX);
    s->names = ARENA_ARRAY(file->arena, Str, (size_t)n);
    s->name_count = n;
    s->c_name = c_name;
    for (int i = 0; i < n; i++) {
        yaml_node_t *item = yaml_item(file, list, i);
        s->names[i] = yaml_text(file, item, "a name of an enum");
        if (!name_is_snake(s->names[i]))
            apigen_refuse(file, yaml_line(item), "\"%.*s\": names of an enum are snake_case",
                          STR_ARG(s->names[i]));
        for (int k = 0; k < i; k++)
            if (str_eq(s->names[k], s->names[i]))
                apigen_refuse(file, yaml_line(item), "\"%.*s\" stands twice", STR_ARG(s->names[i]));
    }
    CHECK(file->order_count < APIGEN_ORDER_MAX);
    file->order[file->order_count++] = s;
    return s;
}

static Schema *read_string(File *file, yaml_node_t *node, Str c_name)
{
    static const char *const keys[] = {"type",    "format",      "minLength", "maxLength",
                                       "default", "description", NULL};
    if (yaml_get(file, node, "enum") != NULL)
        return read_enum(file, node, c_name);
    yaml_only(file, node, "a string", keys);
    yaml_node_t *named = yaml_need(file, node, "a string", "format");
    const Str format = yaml_text(file, named, "format");
    size_t f = 0;
    while (f < ARRAY_LEN(FORMATS) && !str_eq(format, str_of(FORMATS[f].name)))
        f++;
    if (f == ARRAY_LEN(FORMATS))
        apigen_refuse(file, yaml_line(named),
                      "unknown format \"%.*s\": choose among text, line, code, password, slug, "
                      "digits, phone, email, uri, uuid, id, date, date-time",
                      STR_ARG(format));
    Schema *s = schema_new(file, yaml_line(node), FORMATS[f].kind);
    s->format = FORMATS[f].format;
    const bool counted = s->kind == DTO_STRING;
    if (!counted && (yaml_get(file, node, "minLength") || yaml_get(file, node, "maxLength")))
        apigen_refuse(file, s->line, "format %s has its own length: drop minLength and maxLength",
                      FORMATS[f].name);
    if (!counted)
        return s;
    s->min = bound(file, node, "minLength", 0);
    s->max = bound(file, node, "maxLength", FORMATS[f].chars_max);
    if (s->max <= 0 || s->max > CHARACTERS_MAX || s->min < 0)
        apigen_refuse(file, s->line, "a string needs maxLength, 1 to %d", (int)CHARACTERS_MAX);
    check_bounds(s);
    return s;
}

static Schema *read_integer(File *file, yaml_node_t *node)
{
    static const char *const keys[] = {"type",    "minimum",     "maximum",
                                       "default", "description", NULL};
    yaml_only(file, node, "an integer", keys);
    Schema *s = schema_new(file, yaml_line(node), DTO_INTEGER);
    s->min = bound(file, node, "minimum", -INTEGER_MAX);
    s->max = bound(file, node, "maximum", INTEGER_MAX);
    if (s->min < -INTEGER_MAX || s->max > INTEGER_MAX)
        apigen_refuse(file, s->line,
                      "beyond 2^53 a number is not exact in every client: use "
                      "format id, or smaller bounds");
    check_bounds(s);
    return s;
}

static Schema *read_boolean(File *file, yaml_node_t *node)
{
    static const char *const keys[] = {"type", "default", "description", NULL};
    yaml_only(file, node, "a boolean", keys);
    return schema_new(file, yaml_line(node), DTO_BOOL);
}

static Schema *read_any_json(File *file, yaml_node_t *node)
{
    static const char *const keys[] = {"x-json", "x-tree", "x-bytes-max", "description", NULL};
    static const char *const object_keys[] = {"type", "x-bytes-max", "description", NULL};
    yaml_node_t *any = yaml_get(file, node, "x-json");
    yaml_only(file, node, any != NULL ? "x-json" : "an object without properties",
              any != NULL ? keys : object_keys);
    Schema *s = schema_new(file, yaml_line(node), DTO_JSON);
    if (any != NULL && !yaml_bool(file, any, "x-json"))
        apigen_refuse(file, s->line, "x-json is true or not there");
    s->object_only = any == NULL;
    s->tree = yaml_get(file, node, "x-tree") != NULL &&
              yaml_bool(file, yaml_get(file, node, "x-tree"), "x-tree");
    s->max = bound(file, node, "x-bytes-max", JSON_DEFAULT_BYTES);
    if (s->max < 2 || s->max > JSON_BYTES_MAX)
        apigen_refuse(file, s->line, "x-bytes-max must be 2 to %d", JSON_BYTES_MAX);
    return s;
}

/* ---- what holds others ------------------------------------------------------------------------------ */

static void read_counts(File *file, yaml_node_t *node, Schema *s, const char *least,
                        const char *most, int64_t limit)
{
    s->min = bound(file, node, least, 0);
    s->max = yaml_i64(file, yaml_need(file, node, "what is bounded", most), most);
    if (s->min < 0 || s->max < 1 || s->max > limit)
        apigen_refuse(file, s->line, "%s must be 1 to %d", most, (int)limit);
    check_bounds(s);
}

static void hold(Schema *holder, const Schema *held)
{
    if (held->depth + 1 > holder->depth)
        holder->depth = held->depth + 1;
    if (holder->depth > DTO_DEPTH_MAX)
        apigen_refuse(holder->file, holder->line, "more than %d levels deep", DTO_DEPTH_MAX);
}

static Schema *read_array(File *file, yaml_node_t *node, Str c_name)
{
    static const char *const keys[] = {"type",     "items",       "minItems",
                                       "maxItems", "description", NULL};
    yaml_only(file, node, "an array", keys);
    Schema *s = schema_new(file, yaml_line(node), DTO_ARRAY);
    read_counts(file, node, s, "minItems", "maxItems", ITEMS_MAX);
    Property use = {0};
    s->item = schema_read(file, yaml_need(file, node, "an array", "items"), &use, c_name);
    if (s->item->kind == DTO_ARRAY || s->item->kind == DTO_MAP)
        apigen_refuse(file, s->line, "an array of arrays or maps: put an object between");
    if (use.nullable || use.has_default)
        apigen_refuse(file, s->line, "items are never null and have no default");
    hold(s, s->item);
    return s;
}

static Schema *read_map(File *file, yaml_node_t *node)
{
    static const char *const keys[] = {"type",          "additionalProperties", "minProperties",
                                       "maxProperties", "description",          NULL};
    yaml_only(file, node, "a map", keys);
    Schema *s = schema_new(file, yaml_line(node), DTO_MAP);
    read_counts(file, node, s, "minProperties", "maxProperties", MEMBERS_MAX);
    Property use = {0};
    s->item = schema_read(file, yaml_get(file, node, "additionalProperties"), &use, (Str){0});
    if (s->item->kind != DTO_STRING || use.nullable || use.has_default)
        apigen_refuse(file, s->line, "a map holds strings of one format, never null");
    hold(s, s->item);
    return s;
}

static void read_required(File *file, yaml_node_t *node, const Schema *s)
{
    yaml_node_t *list = yaml_get(file, node, "required");
    const int n = list == NULL ? 0 : yaml_count(file, list, YAML_SEQUENCE_NODE, "required");
    for (int i = 0; i < n; i++) {
        yaml_node_t *item = yaml_item(file, list, i);
        const Str name = yaml_text(file, item, "a name in required");
        int f = 0;
        while (f < s->field_count && !str_eq(s->fields[f].name, name))
            f++;
        if (f == s->field_count)
            apigen_refuse(file, yaml_line(item), "required names \"%.*s\", which is no property",
                          STR_ARG(name));
        if (s->fields[f].has_default)
            apigen_refuse(file, yaml_line(item), "\"%.*s\" has a default: it is not required",
                          STR_ARG(name));
        s->fields[f].required = true;
    }
}

static Str joined(Arena *arena, Str a, Str b)
{
    return arena_printf(arena, "%.*s%.*s", STR_ARG(a), STR_ARG(b));
}

void schema_close_object(File *file, Schema *object)
{
    for (int i = 0; i < object->field_count; i++)
        hold(object, object->fields[i].schema);
    CHECK(file->order_count < APIGEN_ORDER_MAX);
    file->order[file->order_count++] = object;
}

static Schema *read_object(File *file, yaml_node_t *node, Str c_name)
{
    static const char *const keys[] = {"type", "properties", "required", "description", NULL};
    yaml_only(file, node, "an object", keys);
    Schema *s = schema_new(file, yaml_line(node), DTO_OBJECT);
    s->c_name = c_name;
    yaml_node_t *map = yaml_need(file, node, "an object", "properties");
    yaml_only(file, map, "properties", NULL);
    const int n = yaml_count(file, map, YAML_MAPPING_NODE, "properties");
    if (n == 0 || n > DTO_FIELDS_MAX)
        apigen_refuse(file, s->line, "an object has 1 to %d properties", DTO_FIELDS_MAX);
    s->fields = ARENA_ARRAY(file->arena, Property, (size_t)n);
    s->field_count = n;
    for (int i = 0; i < n; i++) {
        yaml_node_t *value;
        Property *field = &s->fields[i];
        field->name = yaml_pair(file, map, i, &value);
        check_field_name(file, yaml_line(value), field->name);
        const Str inner = joined(file->arena, c_name, name_to_camel(file->arena, field->name));
        field->schema = schema_read(file, value, field, inner);
    }
    read_required(file, node, s);
    schema_close_object(file, s);
    return s;
}

static Schema *read_schema(File *file, yaml_node_t *node, Property *use, Str c_name, bool is_named);

/* ---- any schema ---------------------------------------------------------------------------------- */

static Named *find_named(File *file, Str name)
{
    for (int i = 0; i < file->named_count; i++)
        if (str_eq(file->named[i].name, name))
            return &file->named[i];
    return NULL;
}

static Schema *read_named(File *file, Named *named)
{
    if (named->schema != NULL)
        return named->schema;
    if (named->reading)
        apigen_refuse(file, yaml_line(named->node),
                      "%.*s contains itself: a tree of any depth is x-json", STR_ARG(named->name));
    named->reading = true;
    Property use = {0};
    Schema *s =
        read_schema(file, named->node, &use, joined(file->arena, STR("Api"), named->name), true);
    if (use.nullable || use.has_default)
        apigen_refuse(file, yaml_line(named->node), "null and default belong where %.*s is used",
                      STR_ARG(named->name));
    if (s->name.len > 0)
        apigen_refuse(file, yaml_line(named->node), "%.*s is only another name of %.*s: drop it",
                      STR_ARG(named->name), STR_ARG(s->name));
    s->name = named->name;
    named->schema = s;
    return s;
}

Schema *schema_ref(File *file, yaml_node_t *node)
{
    const Str ref = yaml_text(file, node, "$ref");
    const Str inside = STR("#/components/schemas/");
    const int64_t hash = str_index(ref, '#', 0);
    const Str at = str_slice(ref, 0, hash < 0 ? ref.len : (size_t)hash);
    const Str rest = str_slice(ref, at.len, ref.len);
    if (!str_starts_with(rest, inside) || (at.len > 0 && !str_eq(at, file->common->base)))
        apigen_refuse(file, yaml_line(node),
                      "$ref is \"#/components/schemas/X\": X of this file or "
                      "of %.*s",
                      STR_ARG(file->common->base));
    const Str name = str_slice(rest, inside.len, rest.len);
    File *where = at.len == 0 && find_named(file, name) != NULL ? file : file->common;
    Named *named = find_named(where, name);
    if (named == NULL)
        apigen_refuse(file, yaml_line(node), "no schema %.*s here or in %.*s", STR_ARG(name),
                      STR_ARG(file->common->base));
    return read_named(where, named);
}

/* `type: string` or `type: [string, "null"]`. */
static Str read_type(File *file, yaml_node_t *node, Property *use)
{
    yaml_node_t *type = yaml_need(file, node, "a schema", "type");
    if (type->type == YAML_SCALAR_NODE)
        return yaml_text(file, type, "type");
    const int n = yaml_count(file, type, YAML_SEQUENCE_NODE, "type");
    if (n != 2 || !str_eq(yaml_text(file, yaml_item(file, type, 1), "type"), STR("null")))
        apigen_refuse(file, yaml_line(type), "type is one name, or [name, \"null\"]");
    use->nullable = true;
    return yaml_text(file, yaml_item(file, type, 0), "type");
}

static Schema *read_by_type(File *file, yaml_node_t *node, Property *use, Str c_name)
{
    const Str type = read_type(file, node, use);
    if (str_eq(type, STR("string")))
        return read_string(file, node, c_name);
    if (str_eq(type, STR("integer")))
        return read_integer(file, node);
    if (str_eq(type, STR("boolean")))
        return read_boolean(file, node);
    if (str_eq(type, STR("array")))
        return read_array(file, node, c_name);
    if (!str_eq(type, STR("object")))
        apigen_refuse(file, yaml_line(node),
                      "type \"%.*s\": choose among object, array, string, "
                      "integer, boolean (numbers are integers)",
                      STR_ARG(type));
    if (yaml_get(file, node, "additionalProperties") != NULL)
        return read_map(file, node);
    if (yaml_get(file, node, "properties") == NULL)
        return read_any_json(file, node);
    return read_object(file, node, c_name);
}

static int64_t default_number(File *file, const Schema *s, yaml_node_t *node)
{
    if (s->kind == DTO_BOOL)
        return yaml_bool(file, node, "default") ? 1 : 0;
    if (s->kind == DTO_INTEGER) {
        const int64_t v = yaml_i64(file, node, "default");
        if (v < s->min || v > s->max)
            apigen_refuse(file, yaml_line(node), "the default is out of bounds");
        return v;
    }
    if (s->kind != DTO_ENUM)
        apigen_refuse(file, yaml_line(node), "no default for this type: make it optional");
    const Str text = yaml_text(file, node, "default");
    for (int i = 0; i < s->name_count; i++)
        if (str_eq(s->names[i], text))
            return i;
    apigen_refuse(file, yaml_line(node), "the default is not one of the names");
}

static void read_default(File *file, yaml_node_t *node, Property *use)
{
    yaml_node_t *value = yaml_get(file, node, "default");
    if (value == NULL)
        return;
    use->has_default = true;
    use->default_text = yaml_text(file, value, "default");
    if (use->schema->kind != DTO_STRING)
        use->default_i64 = default_number(file, use->schema, value);
    if (use->nullable)
        apigen_refuse(file, yaml_line(value), "a default and null: one says enough");
}

static Schema *read_schema(File *file, yaml_node_t *node, Property *use, Str c_name, bool is_named)
{
    static const char *const ref_keys[] = {"$ref", "description", "x-nullable", "default", NULL};
    (void)yaml_count(file, node, YAML_MAPPING_NODE, "a schema");
    yaml_node_t *ref = yaml_get(file, node, "$ref");
    yaml_node_t *text = yaml_get(file, node, "description");
    if (text != NULL)
        use->description = yaml_text(file, text, "description");
    if (ref != NULL) {
        yaml_only(file, node, "a $ref", ref_keys);
        yaml_node_t *nullable = yaml_get(file, node, "x-nullable");
        use->nullable = nullable != NULL && yaml_bool(file, nullable, "x-nullable");
        use->schema = schema_ref(file, ref);
    } else {
        use->schema = yaml_get(file, node, "x-json") != NULL
                          ? read_any_json(file, node)
                          : read_by_type(file, node, use, c_name);
        use->schema->description = use->description;
        if (use->schema->kind == DTO_OBJECT && !is_named)
            apigen_refuse(file, yaml_line(node),
                          "give the object a name in components.schemas and "
                          "$ref it");
    }
    read_default(file, node, use);
    return use->schema;
}

Schema *schema_read(File *file, yaml_node_t *node, Property *use, Str c_name)
{
    return read_schema(file, node, use, c_name, false);
}

void schemas_read(File *file)
{
    yaml_node_t *components = yaml_get(file, file->root, "components");
    if (components == NULL)
        return;
    static const char *const room_keys[] = {"schemas", NULL};
    static const char *const common_keys[] = {"schemas", "securitySchemes", NULL};
    yaml_only(file, components, "components", file->common == file ? common_keys : room_keys);
    yaml_node_t *schemas = yaml_need(file, components, "components", "schemas");
    yaml_only(file, schemas, "schemas", NULL);
    const int n = yaml_count(file, schemas, YAML_MAPPING_NODE, "schemas");
    for (int i = 0; i < n; i++) {
        if (i == APIGEN_SCHEMAS_MAX)
            apigen_refuse(file, yaml_line(schemas), "at most %d schemas", APIGEN_SCHEMAS_MAX);
        Named *named = &file->named[file->named_count++];
        named->name = yaml_pair(file, schemas, i, &named->node);
        if (!name_is_camel(named->name))
            apigen_refuse(file, yaml_line(named->node), "\"%.*s\": schemas are CamelCase",
                          STR_ARG(named->name));
    }
    for (int i = 0; i < file->named_count; i++)
        (void)read_named(file, &file->named[i]);
}
