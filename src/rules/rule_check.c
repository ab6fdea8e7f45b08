/*
 * rules/rule_check.c -- is a tree that was read a rule: names, types, scopes, limits.
 *
 * The readers promise the shape (conditions where conditions belong, the right number of arguments);
 * everything that the table at RuleOp says beyond it is checked here, for both of them.  It goes down
 * once from the root; levels are counted on the way, so it never recurses deeper than RULE_DEPTH_MAX.
 */
#include "rules/rule_check.h"

/* ---- names ----------------------------------------------------------------------------------- */

static const char *const KIND_TEXT[RULE_NAME_KIND_COUNT] = {
    [RULE_NAME_EVENT] = "event",           [RULE_NAME_PROP] = "property",
    [RULE_NAME_CONTEXT] = "context value", [RULE_NAME_ITEM] = "field",
    [RULE_NAME_PERSON] = "attribute",      [RULE_NAME_SEGMENT] = "segment",
};

static void add_warning(Draft *d, size_t at, Str text)
{
    if (d->warnings == NULL)
        d->warnings = ARENA_ARRAY(d->ctx->arena, RuleWarning, RULE_WARNINGS_MAX);
    d->warnings[d->warning_count++] = (RuleWarning){(uint32_t)at, text};
}

static void try_known(const RuleSchema *s, RuleAsk ask, Nearest *near)
{
    Str name;
    ask.name = STR("");
    for (size_t i = 0; s->known != NULL && i < RULE_KNOWN_MAX && s->known(s->arg, &ask, i, &name);
         i++)
        nearest_try(near, name);
}

/* Of these events; if nothing there is near, of any. */
static Str meant_by(const Draft *d, const RuleAsk *ask)
{
    RuleAsk wider = *ask;
    Nearest near = nearest_to(ask->name);
    try_known(d->schema, *ask, &near);
    if (near.best.len == 0 && ask->event_count > 0) {
        wider.event_count = 0;
        try_known(d->schema, wider, &near);
    }
    return str_eq(near.best, ask->name) ? STR(" of this event, only of others")
                                        : nearest_text(d, &near);
}

static Err unknown_name(Draft *d, size_t at, const RuleAsk *ask)
{
    /* Events come before anybody declares them; a segment is made before anybody asks for it. */
    const bool refused = d->schema->strict || ask->kind == RULE_NAME_SEGMENT;
    if (!refused && d->warning_count == RULE_WARNINGS_MAX)
        return ERR_OK;
    const Str quoted = draft_quote(d, ask->name), meant = meant_by(d, ask);
    const char *kind = KIND_TEXT[ask->kind];
    if (refused)
        return draft_fail(d, at, "rule.name", "no %s %.*s is known%.*s", kind, STR_ARG(quoted),
                          STR_ARG(meant));
    const Str place = draft_place(d, at);
    add_warning(d, at,
                arena_printf(d->ctx->arena, "%.*s: no %s %.*s is known%.*s", STR_ARG(place), kind,
                             STR_ARG(quoted), STR_ARG(meant)));
    return ERR_OK;
}

Err check_name(Draft *d, size_t at, const RuleAsk *ask, RuleDecl *decl)
{
    *decl = (RuleDecl){.known = true};
    if (d->schema->lookup == NULL)
        return ERR_OK;
    *decl = d->schema->lookup(d->schema->arg, ask);
    const bool good_enum = decl->labels != NULL && decl->labels->count > 0 &&
                           decl->labels->count <= RULE_ENUM_LABELS_MAX;
    if (!decl->known || (decl->type == RULE_TYPE_ENUM && !good_enum))
        decl->type = RULE_TYPE_UNKNOWN;
    return decl->known ? ERR_OK : unknown_name(d, at, ask);
}

/* ---- walking --------------------------------------------------------------------------------- */

RuleNode *check_node(const Draft *d, const RuleNode *n)
{
    return d->nodes[n->id];
}

/* `level` JSON containers are open around the place, `own` more are needed. */
Err check_level(Draft *d, const RuleNode *n, uint32_t level, uint32_t own)
{
    if (level + own > RULE_DEPTH_MAX)
        return draft_fail(d, n->at, "rule.depth", "more than %d levels of nesting", RULE_DEPTH_MAX);
    return ERR_OK;
}

static Err out_of_scope(Draft *d, const RuleNode *n, const char *why)
{
    return draft_fail(d, n->at, "rule.scope", "%s", why);
}

static Err check_pick(Draft *d, const RuleNode *n, uint32_t level)
{
    TRY(check_level(d, n, level, 1 + (n->name_count > 1)));
    for (uint32_t i = 0; i < n->name_count; i++) {
        RuleDecl decl;
        const RuleAsk ask = {.kind = RULE_NAME_EVENT, .name = n->names[i]};
        TRY(check_name(d, n->at, &ask, &decl));
    }
    const View view = {PLACE_OF_EVENT, n->names, n->name_count, {0}, NULL};
    return n->count == 0 ? ERR_OK : check_condition(d, n->args[0], &view, level + 1);
}

/* `level` containers around the object that holds the step's keys. */
static Err check_step(Draft *d, const RuleNode *n, uint32_t level)
{
    check_node(d, n)->type = RULE_TYPE_BOOL;
    TRY(check_level(d, n, level, 1));
    for (uint32_t i = 0; i < n->count; i++) {
        check_node(d, n->args[i])->type = RULE_TYPE_BOOL;
        TRY(check_pick(d, n->args[i], n->count == 1 ? level : level + 2));
    }
    return ERR_OK;
}

Err check_leaf_step(Draft *d, const RuleNode *n, const View *view, uint32_t level)
{
    if (view->place != PLACE_OF_PERSON)
        return out_of_scope(d, n, "a condition on one event sees no other events of the person");
    TRY(check_level(d, n, level, 3)); /* its object, the inner one, the array of a window */
    return n->step == NULL ? ERR_OK : check_step(d, n->step, level + 1);
}

/* The events that a step may select, for asking about their properties; none = any. */
View check_view_of_step(Draft *d, const RuleNode *step)
{
    View view = {PLACE_OF_EVENT, NULL, 0, {0}, NULL};
    if (step->count == 1) {
        view.events = step->args[0]->names;
        view.event_count = step->args[0]->name_count;
        return view;
    }
    uint32_t total = 0;
    for (uint32_t i = 0; i < step->count; i++) {
        if (step->args[i]->name_count == 0)
            return view;
        total += step->args[i]->name_count;
    }
    Str *all = ARENA_ARRAY(d->ctx->arena, Str, total);
    view.events = all;
    for (uint32_t i = 0; i < step->count; i++)
        for (uint32_t j = 0; j < step->args[i]->name_count; j++)
            all[view.event_count++] = step->args[i]->names[j];
    return view;
}

/* ---- conditions ------------------------------------------------------------------------------ */

static Err check_args(Draft *d, const RuleNode *n, const View *view, uint32_t level)
{
    for (uint32_t i = 0; i < n->count; i++)
        TRY(check_condition(d, n->args[i], view, level));
    return ERR_OK;
}

static Err check_join(Draft *d, RuleNode *n, const View *view, uint32_t level)
{
    return check_args(d, n, view, level + 2);
}

static Err check_not(Draft *d, RuleNode *n, const View *view, uint32_t level)
{
    return check_args(d, n, view, level + 1);
}

static Err check_constant(Draft *d, RuleNode *n, const View *view, uint32_t level)
{
    (void)d, (void)n, (void)view, (void)level;
    return ERR_OK;
}

static Err check_items(Draft *d, RuleNode *n, const View *view, uint32_t level)
{
    View items;
    TRY(check_records(d, n->args[0], view, &items));
    TRY(check_level(d, n, level, 2));
    return check_condition(d, n->args[1], &items, level + 2);
}

static Err check_person_leaf(Draft *d, RuleNode *n, const View *view, uint32_t level)
{
    if (view->place == PLACE_OF_ITEM)
        return out_of_scope(d, n, "a condition on records sees nothing but their fields");
    TRY(check_level(d, n, level, 2));
    if (n->op != RULE_SEGMENT)
        return ERR_OK;
    RuleDecl decl;
    return check_name(d, n->at, &(RuleAsk){.kind = RULE_NAME_SEGMENT, .name = n->name}, &decl);
}

/* What says so is an attribute; its name must tell where the channel ends. */
static Err check_consents(Draft *d, RuleNode *n, const View *view, uint32_t level)
{
    const Str channel = n->names[0], purpose = n->names[1];
    TRY(check_person_leaf(d, n, view, level));
    if (str_index(channel, '.', 0) >= 0)
        return draft_fail(d, n->at, "rule.value", "a channel has no dot in its name");
    n->name = arena_printf(d->ctx->arena, "consent.%.*s.%.*s", STR_ARG(channel), STR_ARG(purpose));
    if (n->name.len > EVENT_NAME_BYTES_MAX)
        return draft_fail(d, n->at, "rule.length", "channel and purpose have at most %d bytes",
                          EVENT_NAME_BYTES_MAX - (int)sizeof "consent.");
    return ERR_OK;
}

static Err check_did(Draft *d, RuleNode *n, const View *view, uint32_t level)
{
    TRY(check_leaf_step(d, n, view, level));
    View having = *view;
    having.did = n->step;
    for (uint32_t i = 0; i < n->count; i++)
        if (n->args[i]->op < RULE_EQ || n->args[i]->op > RULE_WHEN)
            return draft_fail(d, n->args[i]->at, "rule.scope",
                              "inside did(...) stand comparisons, joined by commas");
    return check_args(d, n, &having, level + 3);
}

static Err check_leaf(Draft *d, RuleNode *n, const View *view, uint32_t level)
{
    return check_leaf_step(d, n, view, level);
}

static Err check_sequence(Draft *d, RuleNode *n, const View *view, uint32_t level)
{
    TRY(check_leaf_step(d, n, view, level));
    for (uint32_t i = 0; i < n->count; i++)
        TRY(check_step(d, n->args[i], level + 3));
    return ERR_OK;
}

typedef Err (*CheckCondition)(Draft *d, RuleNode *n, const View *view, uint32_t level);

/* The comparisons that are not here are check_comparison()'s. */
static const CheckCondition CONDITIONS[RULE_OP_COUNT] = {
    [RULE_AND] = check_join,
    [RULE_OR] = check_join,
    [RULE_NOT] = check_not,
    [RULE_LITERAL] = check_constant,
    [RULE_ITEMS_ANY] = check_items,
    [RULE_ITEMS_ALL] = check_items,
    [RULE_SEGMENT] = check_person_leaf,
    [RULE_CONSENTS] = check_consents,
    [RULE_DID] = check_did,
    [RULE_STOPPED] = check_leaf,
    [RULE_RESUMED] = check_leaf,
    [RULE_SEQUENCE] = check_sequence,
};

Err check_condition(Draft *d, const RuleNode *n, const View *view, uint32_t level)
{
    RuleNode *mine = check_node(d, n);
    TRY(check_level(d, n, level, n->op == RULE_LITERAL ? 0 : 1));
    mine->type = RULE_TYPE_BOOL;
    if (CONDITIONS[n->op] != NULL)
        return CONDITIONS[n->op](d, mine, view, level);
    return check_comparison(d, mine, view, level);
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* Numbers the nodes as a walk meets them; the tree's depth is bounded by now. */
static void number_nodes(const Draft *d, const RuleNode *n, uint32_t *next)
{
    check_node(d, n)->id = (*next)++;
    if (n->step != NULL)
        number_nodes(d, n->step, next);
    for (uint32_t i = 0; i < n->count; i++)
        number_nodes(d, n->args[i], next);
}

static Err measure(Draft *d, Rule *rule)
{
    Buf text = BUF_MAX(RULE_BYTES_MAX);
    rule_format(rule, &text);
    rule->text_bytes = text.len;
    const bool too_long = text.overflowed;
    buf_free(&text);
    if (too_long)
        return draft_fail(d, rule->root->at, "rule.size",
                          "a rule has at most %d bytes of text, also in its canonical form",
                          RULE_BYTES_MAX);
    return ERR_OK;
}

Err draft_finish(Draft *d, const RuleNode *root, Rule *out)
{
    const View person = {PLACE_OF_PERSON, NULL, 0, {0}, NULL};
    const View event = {PLACE_OF_EVENT, NULL, 0, {0}, NULL};
    const View *view = d->scope == RULE_SCOPE_PERSON ? &person : &event;
    if (d->scope == RULE_SCOPE_STEP)
        TRY(check_step(d, root, 0));
    else
        TRY(check_condition(d, root, view, 0));
    Rule rule = {.scope = d->scope,
                 .root = root,
                 .currency = arena_copy(d->ctx->arena, d->schema->currency),
                 .exponent = d->schema->exponent,
                 .warnings = d->warnings,
                 .warning_count = d->warning_count};
    number_nodes(d, root, &rule.node_count);
    if (rule.node_count > RULE_NODES_MAX)
        return draft_fail(d, root->at, "rule.nodes", "a rule has at most %d parts, this one has %u",
                          RULE_NODES_MAX, rule.node_count);
    TRY(measure(d, &rule));
    *out = rule;
    return ERR_OK;
}
