/*
 * rules/rule_draft.c -- the parts of a rule in the making: nodes and lists of them.
 */
#include "rules/rule_internal.h"

enum { LIST_FIRST = 4 };

/* What is dissolved by draft_join() counts while it is read, never in the rule: it has two children at
 * least, so it is less than half of what is made. */
enum { MADE_MAX = 2 * RULE_NODES_MAX };

void draft_init(Draft *d, Ctx *ctx, RuleScope scope, const RuleSchema *schema)
{
    *d = (Draft){.ctx = ctx, .schema = schema, .scope = scope};
    d->nodes = ARENA_ARRAY(ctx->arena, RuleNode *, MADE_MAX);
}

Err draft_node(Draft *d, RuleOp op, size_t at, RuleNode **out)
{
    if (d->made == MADE_MAX)
        return draft_fail(d, at, "rule.nodes", "a rule has at most %d parts", RULE_NODES_MAX);
    RuleNode *n = ARENA_NEW(d->ctx->arena, RuleNode);
    n->op = op;
    n->at = (uint32_t)at;
    n->id = d->made;
    d->nodes[d->made++] = n;
    *out = n;
    return ERR_OK;
}

/* Room for one more of `size` bytes in a list of `count`; the list as it is now. */
static void *list_grow(Draft *d, void *list, uint32_t count, uint32_t *cap, size_t size)
{
    if (count < *cap)
        return list;
    *cap = *cap == 0 ? LIST_FIRST : *cap * 2;
    void *wider = arena_alloc(d->ctx->arena, *cap, size);
    if (count > 0)
        memcpy(wider, list, count * size);
    return wider;
}

void nodes_add(Draft *d, NodeList *list, const RuleNode *node)
{
    list->at = (const RuleNode **)list_grow(d, (void *)list->at, list->count, &list->cap,
                                            sizeof(const RuleNode *));
    list->at[list->count++] = node;
}

Err names_add(Draft *d, NameList *list, size_t at, Str name)
{
    if (list->count == RULE_LIST_MAX)
        return draft_fail(d, at, "rule.list", "a list has at most %d entries", RULE_LIST_MAX);
    list->at = (Str *)list_grow(d, list->at, list->count, &list->cap, sizeof(Str));
    list->at[list->count++] = name;
    return ERR_OK;
}

Err values_add(Draft *d, ValueList *list, size_t at, const RuleValue *value)
{
    if (list->count == RULE_LIST_MAX)
        return draft_fail(d, at, "rule.list", "a list has at most %d entries", RULE_LIST_MAX);
    list->at = (RuleValue *)list_grow(d, list->at, list->count, &list->cap, sizeof(RuleValue));
    list->at[list->count++] = *value;
    return ERR_OK;
}

void node_take(RuleNode *node, const NodeList *args)
{
    node->args = args->at;
    node->count = args->count;
}

void node_take_one(Draft *d, RuleNode *node, const RuleNode *arg)
{
    NodeList args = {0};
    nodes_add(d, &args, arg);
    node_take(node, &args);
}

void node_take_two(Draft *d, RuleNode *node, const RuleNode *first, const RuleNode *second)
{
    NodeList args = {0};
    nodes_add(d, &args, first);
    nodes_add(d, &args, second);
    node_take(node, &args);
}

Err draft_join(Draft *d, RuleOp op, size_t at, const NodeList *args, RuleNode **out)
{
    if (args->count == 1) {
        *out = d->nodes[args->at[0]->id];
        return ERR_OK;
    }
    NodeList flat = {0};
    for (uint32_t i = 0; i < args->count; i++) {
        const RuleNode *arg = args->at[i];
        if (arg->op != op)
            nodes_add(d, &flat, arg);
        else
            for (uint32_t j = 0; j < arg->count; j++)
                nodes_add(d, &flat, arg->args[j]);
    }
    TRY(draft_node(d, op, at, out));
    node_take(*out, &flat);
    return ERR_OK;
}

Err draft_any_event(Draft *d, size_t at, RuleNode **out)
{
    RuleNode *pick;
    TRY(draft_node(d, RULE_PICK, at, &pick));
    TRY(draft_node(d, RULE_STEP, at, out));
    node_take_one(d, *out, pick);
    return ERR_OK;
}
