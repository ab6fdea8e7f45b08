/*
 * modules/analysis/analysis_compile.c -- the tree of a rule becomes a filter of numbers.
 *
 * Texts: a condition is asked of every text that the property ever had, once; what is left per event is a
 * look at one byte.  Numbers: a condition is a range.  A property that no event has had, or that has values
 * of another type than the condition's, is missing everywhere.
 */
#include "modules/analysis/analysis_inside.h"

#include <stdlib.h>

__extension__ typedef __int128 Wide;

typedef struct Compiler {
    Ctx *ctx;
    const AnalysisNames *names;
} Compiler;

static Err compile(Compiler *c, const RuleNode *n, const Filter **out);

Err analysis_unsupported(Ctx *ctx, const RuleNode *n, const char *what)
{
    return fail_field(ctx, "", "query.unsupported",
                      "%s (\"%s\", byte %u) cannot be asked of all events yet", what,
                      rule_op_text(n->op), n->at);
}

static Err unsupported(const Compiler *c, const RuleNode *n, const char *what)
{
    return analysis_unsupported(c->ctx, n, what);
}

static Filter *new_filter(Compiler *c, FilterKind kind)
{
    Filter *f = ARENA_NEW(c->ctx->arena, Filter);
    f->kind = kind;
    return f;
}

static const Filter *negated(Compiler *c, const Filter *f)
{
    const Filter **args = ARENA_ARRAY(c->ctx->arena, const Filter *, 1);
    args[0] = f;
    Filter *not = new_filter(c, FILTER_NOT);
    not ->args = args;
    not ->arg_count = 1;
    return not ;
}

/* ---- operands ------------------------------------------------------------------------------------ */

/* What an operand is in the columns. */
typedef struct Operand {
    enum { OPERAND_MISSING, OPERAND_TEXT, OPERAND_NUMBER, OPERAND_TIME } kind;
    uint32_t prop;
    uint8_t scale;     /* OPERAND_NUMBER: that filters of it shall have */
    const Dict *texts; /* OPERAND_TEXT */
} Operand;

/* `wanted` is the type of what it is compared with, RULE_TYPE_UNKNOWN for any. */
static Err property(Compiler *c, const RuleNode *n, RuleType wanted, Operand *out)
{
    const SchemaSpace space = n->op == RULE_PROP ? SCHEMA_EVENT : SCHEMA_CONTEXT;
    const SchemaProp *p = schema_find_prop(c->names->schema, space, n->name);
    wanted = wanted == RULE_TYPE_ENUM ? RULE_TYPE_TEXT : wanted;
    *out = (Operand){.kind = OPERAND_MISSING};
    if (p == NULL)
        return ERR_OK;
    if (p->type == EVENT_TEXTS || p->type == EVENT_ITEMS)
        return unsupported(c, n, "a list");
    if (wanted != RULE_TYPE_UNKNOWN && analysis_rule_type(p->type) != wanted)
        return ERR_OK;
    *out = (Operand){.kind = p->type == EVENT_TEXT ? OPERAND_TEXT : OPERAND_NUMBER,
                     .prop = p->id,
                     .scale = p->type == EVENT_NUMBER ? SCHEMA_SCALE_MAX : 0,
                     .texts = p->values};
    return ERR_OK;
}

static Operand field(const Compiler *c, RuleField field)
{
    static const uint32_t PROPS[RULE_FIELD_COUNT] = {[RULE_FIELD_NAME] = PROP_EVENT,
                                                     [RULE_FIELD_STORE] = PROP_STORE,
                                                     [RULE_FIELD_SOURCE] = PROP_SOURCE};
    if (field == RULE_FIELD_TIME)
        return (Operand){.kind = OPERAND_TIME};
    return (Operand){.kind = OPERAND_TEXT,
                     .prop = PROPS[field],
                     .texts = schema_texts(c->names->schema, PROPS[field])};
}

static Err operand(Compiler *c, const RuleNode *n, RuleType wanted, Operand *out)
{
    switch ((int)n->op) {
    case RULE_PROP:
    case RULE_CONTEXT:
        return property(c, n, wanted, out);
    case RULE_FIELD:
        *out = field(c, n->field);
        return ERR_OK;
    case RULE_PERSON:
        return unsupported(c, n, "an attribute of persons");
    default:
        return unsupported(c, n, "this value");
    }
}

/* ---- texts --------------------------------------------------------------------------------------- */

/* Whether a text fulfils a comparison with one literal; EQ and the like see bytes. */
static bool text_holds(RuleOp op, Str text, Str literal)
{
    const int order = str_compare(text, literal);
    switch ((int)op) {
    case RULE_EQ:
        return order == 0;
    case RULE_LT:
        return order < 0;
    case RULE_LE:
        return order <= 0;
    case RULE_GT:
        return order > 0;
    case RULE_GE:
        return order >= 0;
    case RULE_STARTS:
        return str_starts_with(text, literal);
    case RULE_ENDS:
        return str_ends_with(text, literal);
    default: /* RULE_CONTAINS */
        return literal.len == 0 || memmem(text.ptr, text.len, literal.ptr, literal.len) != NULL;
    }
}

/* A label compares by its rank: a text that is none is missing. */
static bool label_holds(const RuleEnum *labels, RuleOp op, Str text, int64_t rank)
{
    int64_t at = 0;
    while (at < (int64_t)labels->count && !str_eq(labels->labels[at], text))
        at++;
    if (at == (int64_t)labels->count)
        return false;
    switch ((int)op) {
    case RULE_LT:
        return at < rank;
    case RULE_LE:
        return at <= rank;
    case RULE_GT:
        return at > rank;
    case RULE_GE:
        return at >= rank;
    default:
        return at == rank;
    }
}

static Filter *texts_filter(Compiler *c, const Operand *o)
{
    Filter *f = new_filter(c, FILTER_CODES);
    f->prop = o->prop;
    f->code_count = dict_count(o->texts) + 1;
    f->codes = ARENA_ARRAY(c->ctx->arena, uint8_t, f->code_count);
    return f;
}

static const Filter *compare_text(Compiler *c, const Operand *o, const RuleNode *n, RuleOp op,
                                  const RuleValue *v)
{
    Filter *f = texts_filter(c, o);
    uint8_t *codes = (uint8_t *)(uintptr_t)f->codes;
    if (op == RULE_EQ && v->type == RULE_TYPE_TEXT) {
        codes[dict_find(o->texts, v->text)] = 1;
        codes[0] = 0; /* the text that nobody has had */
        return f;
    }
    const RuleEnum *labels = v->type == RULE_TYPE_ENUM ? n->args[0]->labels : NULL;
    for (uint32_t code = 1; code < f->code_count; code++) {
        const Str text = dict_text(o->texts, code);
        codes[code] =
            labels != NULL ? label_holds(labels, op, text, v->i64) : text_holds(op, text, v->text);
    }
    return f;
}

/* ---- numbers ------------------------------------------------------------------------------------- */

static int64_t clamped(Wide v)
{
    return v > INT64_MAX ? INT64_MAX : v < INT64_MIN + 1 ? INT64_MIN + 1 : (int64_t)v;
}

/* The literal at the scale of the columns, rounded down; *exact = nothing was rounded. */
static Wide at_scale(const RuleValue *v, int scale, bool *exact)
{
    Wide value = v->i64;
    *exact = true;
    for (int s = v->type == RULE_TYPE_NUMBER ? v->scale : 0; s != scale; s += s < scale ? 1 : -1) {
        if (s < scale) {
            value *= 10;
            continue;
        }
        const Wide down = value / 10 - (value % 10 < 0);
        *exact = *exact && down * 10 == value;
        value = down;
    }
    return value;
}

static const Filter *range(Compiler *c, const Operand *o, Wide min, Wide max)
{
    if (min > max)
        return new_filter(c, FILTER_NONE);
    Filter *f = new_filter(c, o->kind == OPERAND_TIME ? FILTER_TIME : FILTER_RANGE);
    f->prop = o->prop;
    f->scale = o->scale;
    f->min = clamped(min);
    f->max = clamped(max);
    return f;
}

/* first..last is the literal itself: for a time its span, for a number that lies between two of the
 * columns' numbers, none (last < first). */
static const Filter *compare_number(Compiler *c, const Operand *o, RuleOp op, const RuleValue *v)
{
    bool exact = true;
    const bool is_time = v->type == RULE_TYPE_TIME;
    const int number_scale = v->type == RULE_TYPE_NUMBER ? o->scale : 0;
    const Wide down = at_scale(v, number_scale, &exact);
    const Wide first = is_time ? v->i64 : exact ? down : down + 1;
    const Wide last = is_time ? (Wide)v->end_ms - 1 : down;
    switch ((int)op) {
    case RULE_LT:
        return range(c, o, INT64_MIN, first - 1);
    case RULE_LE:
        return range(c, o, INT64_MIN, last);
    case RULE_GT:
        return range(c, o, last + 1, INT64_MAX);
    case RULE_GE:
        return range(c, o, first, INT64_MAX);
    default:
        return range(c, o, first, last);
    }
}

/* ---- comparisons --------------------------------------------------------------------------------- */

static const Filter *compare_one(Compiler *c, const Operand *o, const RuleNode *n, RuleOp op,
                                 const RuleValue *v)
{
    const bool is_text = v->type == RULE_TYPE_TEXT || v->type == RULE_TYPE_ENUM;
    if (o->kind == OPERAND_MISSING || is_text != (o->kind == OPERAND_TEXT))
        return new_filter(c, FILTER_NONE);
    return is_text ? compare_text(c, o, n, op, v) : compare_number(c, o, op, v);
}

static Err comparison(Compiler *c, const RuleNode *n, RuleOp op, const Filter **out)
{
    Operand o;
    const RuleValue *v = &n->args[1]->value;
    TRY(operand(c, n->args[0], v->type, &o));
    *out = compare_one(c, &o, n, op, v);
    return ERR_OK;
}

static Filter *gathered(Compiler *c, FilterKind kind, const Filter **args, uint32_t count)
{
    Filter *f = new_filter(c, kind);
    f->args = args;
    f->arg_count = count;
    return f;
}

static Err between(Compiler *c, const RuleNode *n, const Filter **out)
{
    Operand o;
    TRY(operand(c, n->args[0], n->args[1]->value.type, &o));
    const Filter **ends = ARENA_ARRAY(c->ctx->arena, const Filter *, 2);
    ends[0] = compare_one(c, &o, n, RULE_GE, &n->args[1]->value);
    ends[1] = compare_one(c, &o, n, RULE_LE, &n->args[2]->value);
    *out = gathered(c, FILTER_AND, ends, 2);
    return ERR_OK;
}

static Err in_list(Compiler *c, const RuleNode *n, const Filter **out)
{
    Operand o;
    const RuleNode *list = n->args[1];
    TRY(operand(c, n->args[0], list->values[0].type, &o));
    if (o.kind == OPERAND_TEXT && list->values[0].type == RULE_TYPE_TEXT) {
        Filter *f = texts_filter(c, &o);
        uint8_t *codes = (uint8_t *)(uintptr_t)f->codes;
        for (uint32_t i = 0; i < list->value_count; i++)
            codes[dict_find(o.texts, list->values[i].text)] = 1;
        codes[0] = 0;
        *out = f;
        return ERR_OK;
    }
    const Filter **args = ARENA_ARRAY(c->ctx->arena, const Filter *, list->value_count);
    for (uint32_t i = 0; i < list->value_count; i++)
        args[i] = compare_one(c, &o, n, RULE_EQ, &list->values[i]);
    *out = gathered(c, FILTER_OR, args, list->value_count);
    return ERR_OK;
}

static Err is_set(Compiler *c, const RuleNode *n, const Filter **out)
{
    Operand o;
    TRY(operand(c, n->args[0], RULE_TYPE_UNKNOWN, &o));
    if (o.kind == OPERAND_MISSING || o.kind == OPERAND_TIME) {
        *out = new_filter(c, o.kind == OPERAND_TIME ? FILTER_ALL : FILTER_NONE);
        return ERR_OK;
    }
    if (o.kind == OPERAND_NUMBER) {
        *out = range(c, &o, INT64_MIN, INT64_MAX);
        return ERR_OK;
    }
    Filter *f = texts_filter(c, &o);
    memset((uint8_t *)(uintptr_t)f->codes + 1, 1, f->code_count - 1);
    *out = f;
    return ERR_OK;
}

/* The window of a time as seen from now. */
static Err when(Compiler *c, const RuleNode *n, const Filter **out)
{
    Operand o;
    TRY(operand(c, n->args[0], RULE_TYPE_TIME, &o));
    const AnalysisRange r = analysis_window(c->names->settings, c->ctx->now_ms, &n->window);
    *out = o.kind == OPERAND_MISSING ? new_filter(c, FILTER_NONE)
                                     : range(c, &o, r.from_ms, (Wide)r.to_ms - 1);
    return ERR_OK;
}

/* ---- trees --------------------------------------------------------------------------------------- */

static Err all_args(Compiler *c, const RuleNode *n, FilterKind kind, const Filter **out)
{
    const Filter **args = ARENA_ARRAY(c->ctx->arena, const Filter *, n->count);
    for (uint32_t i = 0; i < n->count; i++)
        TRY(compile(c, n->args[i], &args[i]));
    *out = gathered(c, kind, args, n->count);
    return ERR_OK;
}

/* The complement of what `how` makes of it. */
static Err complement(Compiler *c, Err err, const Filter **out)
{
    TRY(err);
    *out = negated(c, *out);
    return ERR_OK;
}

static Err leaf(Compiler *c, const RuleNode *n, const Filter **out)
{
    switch ((int)n->op) {
    case RULE_EQ:
    case RULE_LT:
    case RULE_LE:
    case RULE_GT:
    case RULE_GE:
    case RULE_CONTAINS:
    case RULE_STARTS:
    case RULE_ENDS:
        return comparison(c, n, n->op, out);
    case RULE_NE:
        return complement(c, comparison(c, n, RULE_EQ, out), out);
    case RULE_IN:
        return in_list(c, n, out);
    case RULE_NOT_IN:
        return complement(c, in_list(c, n, out), out);
    case RULE_BETWEEN:
        return between(c, n, out);
    case RULE_IS_SET:
        return is_set(c, n, out);
    case RULE_IS_MISSING:
        return complement(c, is_set(c, n, out), out);
    case RULE_WHEN:
        return when(c, n, out);
    default:
        return unsupported(c, n, "this condition");
    }
}

/* Recursion: a rule's tree is at most RULE_DEPTH_MAX deep, and a filter's at most two levels deeper. */
static Err compile(Compiler *c, const RuleNode *n, const Filter **out)
{
    switch ((int)n->op) {
    case RULE_AND:
        return all_args(c, n, FILTER_AND, out);
    case RULE_OR:
        return all_args(c, n, FILTER_OR, out);
    case RULE_NOT:
        return complement(c, compile(c, n->args[0], out), out);
    case RULE_LITERAL:
        *out = new_filter(c, n->value.i64 != 0 ? FILTER_ALL : FILTER_NONE);
        return ERR_OK;
    default:
        return leaf(c, n, out);
    }
}

/* ---- steps --------------------------------------------------------------------------------------- */

/* One of these events, as a filter; NULL = any event. */
static const Filter *names_filter(Compiler *c, const RuleNode *pick)
{
    if (pick->name_count == 0)
        return NULL;
    const Operand o = field(c, RULE_FIELD_NAME);
    Filter *f = texts_filter(c, &o);
    uint8_t *codes = (uint8_t *)(uintptr_t)f->codes;
    for (uint32_t i = 0; i < pick->name_count; i++)
        codes[dict_find(o.texts, pick->names[i])] = 1;
    codes[0] = 0;
    return f;
}

static Err pick_filter(Compiler *c, const RuleNode *pick, bool with_names, const Filter **out)
{
    const Filter *names = with_names ? names_filter(c, pick) : NULL, *where = NULL;
    if (pick->count > 0)
        TRY(compile(c, pick->args[0], &where));
    if (names != NULL && where != NULL) {
        const Filter **both = ARENA_ARRAY(c->ctx->arena, const Filter *, 2);
        both[0] = names;
        both[1] = where;
        where = gathered(c, FILTER_AND, both, 2);
    }
    *out = where != NULL ? where : names;
    return ERR_OK;
}

static int by_number(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* The events of all picks, each once; NULL when one of them takes any. */
static void gather_events(Compiler *c, const RuleNode *step, ScanSelect *out)
{
    uint32_t total = 0, n = 0;
    for (uint32_t i = 0; i < step->count; i++) {
        if (step->args[i]->name_count == 0)
            return;
        total += step->args[i]->name_count;
    }
    uint32_t *events = ARENA_ARRAY(c->ctx->arena, uint32_t, (size_t)total + 1);
    for (uint32_t i = 0; i < step->count; i++)
        for (uint32_t j = 0; j < step->args[i]->name_count; j++)
            events[n++] = schema_find_event(c->names->schema, step->args[i]->names[j]);
    qsort(events, n, sizeof *events, by_number);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++)
        if (kept == 0 || events[kept - 1] != events[i])
            events[kept++] = events[i]; /* 0: a name that never came, which no event has */
    out->events = events;
    out->event_count = kept;
}

Err analysis_step(Ctx *ctx, const AnalysisNames *names, const RuleNode *step, ScanSelect *out)
{
    Compiler c = {ctx, names};
    ScanSelect select = {.from_ms = out->from_ms, .to_ms = out->to_ms};
    gather_events(&c, step, &select);
    if (step->count == 1) {
        TRY(pick_filter(&c, step->args[0], false, &select.filter));
    } else {
        const Filter **picks = ARENA_ARRAY(ctx->arena, const Filter *, step->count);
        for (uint32_t i = 0; i < step->count; i++) {
            TRY(pick_filter(&c, step->args[i], true, &picks[i]));
            if (picks[i] == NULL)
                picks[i] = new_filter(&c, FILTER_ALL);
        }
        select.filter = gathered(&c, FILTER_OR, picks, step->count);
    }
    *out = select;
    return ERR_OK;
}

Err analysis_compile(Ctx *ctx, const AnalysisNames *names, const Rule *rule, ScanSelect *out)
{
    return analysis_step(ctx, names, rule->root, out);
}

Err analysis_filter(Ctx *ctx, const AnalysisNames *names, const RuleNode *condition,
                    const Filter **out)
{
    Compiler c = {ctx, names};
    return compile(&c, condition, out);
}

Err analysis_column(Ctx *ctx, const AnalysisNames *names, const RuleNode *n, RuleType wanted,
                    ScanProp *out)
{
    Compiler c = {ctx, names};
    Operand o;
    TRY(operand(&c, n, wanted, &o));
    *out = o.kind == OPERAND_MISSING ? (ScanProp){PROP_NONE, 0} : (ScanProp){o.prop, o.scale};
    return ERR_OK;
}
