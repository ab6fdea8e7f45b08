/*
 * tools/apigen_yaml.c -- YAML documents as closed mappings: every key is asked for by name, what
 * nobody asks for is refused.
 */
#include "apigen.h"

#include <stdio.h>

static void check_text(File *file, FILE *f)
{
    char *text = arena_bytes(file->arena, APIGEN_FILE_BYTES_MAX);
    const size_t len = fread(text, 1, APIGEN_FILE_BYTES_MAX, f);
    if (len == APIGEN_FILE_BYTES_MAX)
        apigen_refuse(file, 0, "is larger than %d bytes: split the room", APIGEN_FILE_BYTES_MAX);
    yaml_parser_t parser;
    CHECK(yaml_parser_initialize(&parser) == 1);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    const bool ok = yaml_parser_load(&parser, &file->doc) == 1;
    const int line = (int)parser.problem_mark.line + 1;
    const char *problem = parser.problem == NULL ? "is not YAML" : parser.problem; /* a literal */
    yaml_parser_delete(&parser);
    if (!ok)
        apigen_refuse(file, line, "%s", problem);
}

void yaml_load(File *file)
{
    FILE *f = fopen(file->path, "rb");
    if (f == NULL)
        apigen_refuse(file, 0, "cannot be opened");
    check_text(file, f);
    fclose(f);
    file->root = yaml_document_get_root_node(&file->doc);
    if (file->root == NULL || file->root->type != YAML_MAPPING_NODE)
        apigen_refuse(file, 1, "the file must be a mapping");
}

int yaml_line(const yaml_node_t *node)
{
    return (int)node->start_mark.line + 1;
}

Str yaml_text(const File *file, const yaml_node_t *node, const char *what)
{
    if (node->type != YAML_SCALAR_NODE)
        apigen_refuse(file, yaml_line(node), "%s must be text", what);
    return (Str){(const char *)node->data.scalar.value, node->data.scalar.length};
}

bool yaml_bool(const File *file, const yaml_node_t *node, const char *what)
{
    const Str s = yaml_text(file, node, what);
    if (!str_eq(s, STR("true")) && !str_eq(s, STR("false")))
        apigen_refuse(file, yaml_line(node), "%s must be true or false", what);
    return s.len == 4;
}

int64_t yaml_i64(const File *file, const yaml_node_t *node, const char *what)
{
    int64_t v;
    if (!str_to_i64(yaml_text(file, node, what), &v))
        apigen_refuse(file, yaml_line(node), "%s must be a whole number", what);
    return v;
}

int yaml_count(const File *file, const yaml_node_t *node, yaml_node_type_t type, const char *what)
{
    if (node->type != type)
        apigen_refuse(file, yaml_line(node), "%s must be a %s", what,
                      type == YAML_MAPPING_NODE ? "mapping" : "list");
    if (type == YAML_MAPPING_NODE)
        return (int)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);
    return (int)(node->data.sequence.items.top - node->data.sequence.items.start);
}

yaml_node_t *yaml_item(File *file, const yaml_node_t *list, int i)
{
    return yaml_document_get_node(&file->doc, list->data.sequence.items.start[i]);
}

Str yaml_pair(File *file, const yaml_node_t *map, int i, yaml_node_t **value)
{
    const yaml_node_pair_t *pair = &map->data.mapping.pairs.start[i];
    *value = yaml_document_get_node(&file->doc, pair->value);
    return yaml_text(file, yaml_document_get_node(&file->doc, pair->key), "a key");
}

static bool is_listed(Str key, const char *const *keys)
{
    for (; *keys != NULL; keys++)
        if (str_eq(key, str_of(*keys)))
            return true;
    return false;
}

static void refuse_key(const File *file, int line, const char *what, Str key,
                       const char *const *keys)
{
    Buf b = BUF_MAX(4096);
    for (int i = 0; keys[i] != NULL; i++)
        buf_addf(&b, "%s%s", i == 0 ? "" : ", ", keys[i]);
    const Str list = arena_copy(file->arena, buf_str(&b));
    buf_free(&b);
    apigen_refuse(file, line, "unknown keyword \"%.*s\" in %s: choose among %.*s", STR_ARG(key),
                  what, STR_ARG(list));
}

void yaml_only(File *file, const yaml_node_t *map, const char *what, const char *const *keys)
{
    const int n = yaml_count(file, map, YAML_MAPPING_NODE, what);
    for (int i = 0; i < n; i++) {
        yaml_node_t *value;
        const Str key = yaml_pair(file, map, i, &value);
        const int line =
            yaml_line(yaml_document_get_node(&file->doc, map->data.mapping.pairs.start[i].key));
        if (keys != NULL && !is_listed(key, keys))
            refuse_key(file, line, what, key, keys);
        for (int k = 0; k < i; k++)
            if (str_eq(key, yaml_pair(file, map, k, &value)))
                apigen_refuse(file, line, "\"%.*s\" stands twice in %s", STR_ARG(key), what);
    }
}

yaml_node_t *yaml_get(File *file, const yaml_node_t *map, const char *key)
{
    const int n = yaml_count(file, map, YAML_MAPPING_NODE, "this");
    for (int i = 0; i < n; i++) {
        yaml_node_t *value;
        if (str_eq(yaml_pair(file, map, i, &value), str_of(key)))
            return value;
    }
    return NULL;
}

yaml_node_t *yaml_need(File *file, const yaml_node_t *map, const char *what, const char *key)
{
    yaml_node_t *value = yaml_get(file, map, key);
    if (value == NULL)
        apigen_refuse(file, yaml_line(map), "%s needs \"%s\"", what, key);
    return value;
}
