/*
 * modules/analysis/analysis_compile.c -- the tree of a rule becomes a filter of numbers.
 *
 * Texts: those that are named are looked up; other conditions are asked of every text that the property ever
 * had, once, when the names are free again; what is left per event is a look at one byte.  Numbers: a condition
 * is a range.  A property that no event has had, or that has values of another type than the condition's, is
 * missing everywhere.  A condition on records is a filter of records, and one on the event by how many fulfil it.
 */
#include "modules/analysis/analysis_compiler.h"

#include "base/clock.h"

#include <stdlib.h>

typedef FilterWide Wide;

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

Filter *compiler_filter(Compiler *c, FilterKind kind)
{
    Filter *f = ARENA_NEW(c->ctx->arena, Filter);
    f->kind = kind;
    return f;
}

Filter *compiler_gather(Compiler *c, FilterKind kind, const Filter **args, uint32_t count)
{
    Filter *f = compiler_filter(c, kind);
    f->args = args;
    f->arg_count = count;
    return f;
}

const Filter *compiler_negated(Compiler *c, const Filter *f)
{
    const Filter **args = ARENA_ARRAY(c->ctx->arena, const Filter *, 1);
    args[0] = f;
    return compiler_gather(c, FILTER_NOT, args, 1);
}

/* ---- operands ------------------------------------------------------------------------------------ */

/* `wanted` is the type of what it is compared with, RULE_TYPE_UNKNOWN for any. */
static Operand property(const Compiler *c, const RuleNode *n, RuleType wanted)
{
    const SchemaProp *p = compiler_named(c, n);
    wanted = wanted == RULE_TYPE_ENUM ? RULE_TYPE_TEXT : wanted;
    if (p == NULL || (wanted != RULE_TYPE_UNKNOWN && analysis_rule_type(p->type) != wanted))
        return (Operand){.kind = OPERAND_MISSING};
    const bool is_list = event_type_is_list(p->type);
    return (Operand){.kind = is_list                 ? OPERAND_LIST
                             : p->type == EVENT_TEXT ? OPERAND_TEXT
                                                     : OPERAND_NUMBER,
                     .prop = p->id,
                     .scale = p->type == EVENT_NUMBER ? SCHEMA_SCALE_MAX : 0,
                     .texts = p->values};
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

Err compiler_operand(Compiler *c, const RuleNode *n, RuleType wanted, Operand *out)
{
    switch ((int)n->op) {
    case RULE_PROP:
    case RULE_CONTEXT:
    case RULE_ITEM:
        *out = property(c, n, wanted);
        return ERR_OK;
    case RULE_MUL:
        *out = compiler_product(c, n, wanted);
        return ERR_OK;
    case RULE_ITEMS_COUNT:
        return compiler_items_count(c, n, wanted, out);
    case RULE_ITEMS_SUM:
        *out = compiler_items_sum(c, n, wanted);
        return ERR_OK;
    case RULE_FIELD:
        *out = field(c, n->field);
        return ERR_OK;
    case RULE_PERSON: /* a whole comparison is about the person: see about_person() */
    case RULE_PERSON_AT:
        if (!c->of_person)
            return unsupported(c, n, "an attribute of persons");
        *out = property(c, n, wanted);
        return ERR_OK;
    default:
        return unsupported(c, n, "this value");
    }
}

/* ---- texts --------------------------------------------------------------------------------------- */

/* A filter that knows `count` codes, none of them in yet. */
static Err codes_filter(Compiler *c, const Operand *o, uint32_t first, uint32_t count,
                        Filter **filter, uint8_t **codes)
{
    if (count > ANALYSIS_CODES_MAX - c->texts->codes)
        return fail_field(c->ctx, "", "query.too_large",
                          "conditions on texts look at each text that a property has had: at most "
                          "%d in one question",
                          ANALYSIS_CODES_MAX);
    c->texts->codes += count;
    *codes = ARENA_ARRAY(c->ctx->arena, uint8_t, (size_t)count + 1);
    *filter = compiler_filter(c, FILTER_CODES);
    (*filter)->prop = o->prop;
    (*filter)->codes = *codes;
    (*filter)->first_code = first;
    (*filter)->code_count = count;
    return ERR_OK;
}

/* It is one of these; what nobody has had falls out. */
Err compiler_texts_in(Compiler *c, const Operand *o, const Str *texts, uint32_t count,
                      const Filter **out)
{
    uint32_t *found = ARENA_ARRAY(c->ctx->arena, uint32_t, (size_t)count + 1);
    uint32_t n = 0, least = UINT32_MAX, most = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t code = dict_find(o->texts, texts[i]);
        if (code == 0)
            continue;
        found[n++] = code;
        least = code < least ? code : least;
        most = code > most ? code : most;
    }
    if (n == 0) {
        *out = compiler_filter(c, FILTER_NONE);
        return ERR_OK;
    }
    Filter *f = NULL;
    uint8_t *codes = NULL;
    TRY(codes_filter(c, o, least, most - least + 1, &f, &codes));
    for (uint32_t i = 0; i < n; i++)
        codes[found[i] - least] = 1;
    *out = f;
    return ERR_OK;
}

static bool rank_holds(RuleOp op, int64_t rank, int64_t literal)
{
    switch ((int)op) {
    case RULE_LT:
        return rank < literal;
    case RULE_LE:
        return rank <= literal;
    case RULE_GT:
        return rank > literal;
    case RULE_GE:
        return rank >= literal;
    default:
        return rank == literal;
    }
}

/* A label compares by its rank: a text that is none is missing. */
static Err labels_in(Compiler *c, const Operand *o, const RuleEnum *labels, RuleOp op,
                     int64_t literal, const Filter **out)
{
    Str *holding = ARENA_ARRAY(c->ctx->arena, Str, (size_t)labels->count + 1);
    uint32_t n = 0;
    for (uint32_t rank = 0; rank < labels->count; rank++)
        if (rank_holds(op, rank, literal))
            holding[n++] = labels->labels[rank];
    return compiler_texts_in(c, o, holding, n, out);
}

/* A condition that waits to be asked of texts 1 to `count`. */
struct AnalysisText {
    struct AnalysisText *next;
    const Dict *texts;
    uint32_t count;
    uint8_t *codes; /* [text - 1] */
    RuleOp op;
    Str literal;
};

static Err ask_later(Compiler *c, const Operand *o, RuleOp op, Str literal, const Filter **out)
{
    struct AnalysisText *t = ARENA_NEW(c->ctx->arena, struct AnalysisText);
    Filter *f = NULL;
    *t = (struct AnalysisText){.next = c->texts->waiting,
                               .texts = o->texts,
                               .count = dict_count(o->texts),
                               .op = op,
                               .literal = literal};
    TRY(codes_filter(c, o, 1, t->count, &f, &t->codes));
    c->texts->waiting = t;
    *out = f;
    return ERR_OK;
}

static Err compare_text(Compiler *c, const Operand *o, const RuleNode *n, RuleOp op,
                        const RuleValue *v, const Filter **out)
{
    if (v->type == RULE_TYPE_ENUM)
        return labels_in(c, o, n->args[0]->labels, op, v->i64, out);
    return op == RULE_EQ ? compiler_texts_in(c, o, &v->text, 1, out)
                         : ask_later(c, o, op, v->text, out);
}

/* Whether a text fulfils a comparison with one literal; < and the like see bytes. */
static bool text_holds(RuleOp op, Str text, Str literal)
{
    switch ((int)op) {
    case RULE_LT:
        return str_compare(text, literal) < 0;
    case RULE_LE:
        return str_compare(text, literal) <= 0;
    case RULE_GT:
        return str_compare(text, literal) > 0;
    case RULE_GE:
        return str_compare(text, literal) >= 0;
    case RULE_STARTS:
        return str_starts_with(text, literal);
    case RULE_ENDS:
        return str_ends_with(text, literal);
    default: /* RULE_CONTAINS */
        return literal.len == 0 || memmem(text.ptr, text.len, literal.ptr, literal.len) != NULL;
    }
}

enum { TEXTS_BETWEEN_LOOKS = 4096 }; /* at the clock */

Err analysis_ask_texts(Ctx *ctx, const AnalysisTexts *texts, int64_t until_us,
                       const atomic_bool *stop)
{
    for (const struct AnalysisText *t = texts->waiting; t != NULL; t = t->next)
        for (uint32_t i = 0; i < t->count; i++) {
            if (i % TEXTS_BETWEEN_LOOKS == 0)
                TRY(crew_look(ctx, until_us, stop));
            t->codes[i] = text_holds(t->op, dict_text(t->texts, i + 1), t->literal);
        }
    return ERR_OK;
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
        return compiler_filter(c, FILTER_NONE);
    if (o->kind == OPERAND_MADE) {
        Filter *made = compiler_filter(c, o->made->kind);
        *made = *o->made;
        made->low = min;
        made->high = max;
        made->min = clamped(min);
        made->max = clamped(max);
        return made;
    }
    Filter *f = compiler_filter(c, o->kind == OPERAND_TIME ? FILTER_TIME : FILTER_RANGE);
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
    const Wide down = at_scale(v, o->scale, &exact);
    const Wide first = is_time ? v->i64 : exact ? down : down + 1;
    const Wide last = is_time ? (Wide)v->end_ms - 1 : down;
    switch ((int)op) {
    case RULE_LT:
        return range(c, o, -FILTER_ENDLESS, first - 1);
    case RULE_LE:
        return range(c, o, -FILTER_ENDLESS, last);
    case RULE_GT:
        return range(c, o, last + 1, FILTER_ENDLESS);
    case RULE_GE:
        return range(c, o, first, FILTER_ENDLESS);
    default:
        return range(c, o, first, last);
    }
}

/* ---- comparisons --------------------------------------------------------------------------------- */

static Err compare_one(Compiler *c, const Operand *o, const RuleNode *n, RuleOp op,
                       const RuleValue *v, const Filter **out)
{
    const bool is_text = v->type == RULE_TYPE_TEXT || v->type == RULE_TYPE_ENUM;
    if (o->kind == OPERAND_MISSING || is_text != (o->kind == OPERAND_TEXT))
        *out = compiler_filter(c, FILTER_NONE);
    else if (is_text)
        return compare_text(c, o, n, op, v, out);
    else
        *out = compare_number(c, o, op, v);
    return ERR_OK;
}

static Err comparison(Compiler *c, const RuleNode *n, RuleOp op, const Filter **out)
{
    Operand o;
    const RuleValue *v = &n->args[1]->value;
    TRY(compiler_operand(c, n->args[0], v->type, &o));
    return compare_one(c, &o, n, op, v, out);
}

static Err between(Compiler *c, const RuleNode *n, const Filter **out)
{
    Operand o;
    TRY(compiler_operand(c, n->args[0], n->args[1]->value.type, &o));
    const Filter **ends = ARENA_ARRAY(c->ctx->arena, const Filter *, 2);
    TRY(compare_one(c, &o, n, RULE_GE, &n->args[1]->value, &ends[0]));
    TRY(compare_one(c, &o, n, RULE_LE, &n->args[2]->value, &ends[1]));
    *out = compiler_gather(c, FILTER_AND, ends, 2);
    return ERR_OK;
}

static Err in_list(Compiler *c, const RuleNode *n, const Filter **out)
{
    Operand o;
    const RuleNode *list = n->args[1];
    TRY(compiler_operand(c, n->args[0], list->values[0].type, &o));
    if (o.kind == OPERAND_TEXT && list->values[0].type == RULE_TYPE_TEXT) {
        Str *texts = ARENA_ARRAY(c->ctx->arena, Str, list->value_count);
        for (uint32_t i = 0; i < list->value_count; i++)
            texts[i] = list->values[i].text;
        return compiler_texts_in(c, &o, texts, list->value_count, out);
    }
    const Filter **args = ARENA_ARRAY(c->ctx->arena, const Filter *, list->value_count);
    for (uint32_t i = 0; i < list->value_count; i++)
        TRY(compare_one(c, &o, n, RULE_EQ, &list->values[i], &args[i]));
    *out = compiler_gather(c, FILTER_OR, args, list->value_count);
    return ERR_OK;
}

static Err is_set(Compiler *c, const RuleNode *n, const Filter **out)
{
    Operand o;
    TRY(compiler_operand(c, n->args[0], RULE_TYPE_UNKNOWN, &o));
    if (o.kind == OPERAND_MISSING || o.kind == OPERAND_TIME) {
        *out = compiler_filter(c, o.kind == OPERAND_TIME ? FILTER_ALL : FILTER_NONE);
        return ERR_OK;
    }
    if (o.kind == OPERAND_NUMBER || o.kind == OPERAND_LIST) {
        *out = range(c, &o, INT64_MIN, INT64_MAX);
        return ERR_OK;
    }
    Filter *missing = NULL;
    uint8_t *codes = NULL;
    TRY(codes_filter(c, &o, 0, 1, &missing, &codes));
    codes[0] = 1;
    *out = compiler_negated(c, missing);
    return ERR_OK;
}

/* In a text a part, in a list of texts an element. */
static Err contains(Compiler *c, const RuleNode *n, const Filter **out)
{
    const SchemaProp *list = compiler_texts(c, n->args[0]);
    if (list != NULL)
        return compiler_texts_have(c, list, &n->args[1]->value.text, 1, out);
    if (n->args[0]->type != RULE_TYPE_TEXTS)
        return comparison(c, n, n->op, out);
    Operand o; /* it may be something that cannot be asked */
    TRY(compiler_operand(c, n->args[0], RULE_TYPE_TEXTS, &o));
    *out = compiler_filter(c, FILTER_NONE);
    return ERR_OK;
}

/* The window of a time as seen from now. */
static Err when(Compiler *c, const RuleNode *n, const Filter **out)
{
    Operand o;
    TRY(compiler_operand(c, n->args[0], RULE_TYPE_TIME, &o));
    const AnalysisRange r = analysis_window(&c->names->calendar, c->ctx->now_ms, &n->window);
    *out = o.kind == OPERAND_MISSING ? compiler_filter(c, FILTER_NONE)
                                     : range(c, &o, r.from_ms, (Wide)r.to_ms - 1);
    return ERR_OK;
}

/* ---- trees --------------------------------------------------------------------------------------- */

static Err all_args(Compiler *c, const RuleNode *n, FilterKind kind, const Filter **out)
{
    const Filter **args = ARENA_ARRAY(c->ctx->arena, const Filter *, n->count);
    for (uint32_t i = 0; i < n->count; i++)
        TRY(compiler_condition(c, n->args[i], &args[i]));
    *out = compiler_gather(c, kind, args, n->count);
    return ERR_OK;
}

/* The complement of what `how` makes of it. */
static Err complement(Compiler *c, Err err, const Filter **out)
{
    TRY(err);
    *out = compiler_negated(c, *out);
    return ERR_OK;
}

Err compiler_comparison(Compiler *c, const RuleNode *n, const Filter **out)
{
    switch ((int)n->op) {
    case RULE_EQ:
    case RULE_LT:
    case RULE_LE:
    case RULE_GT:
    case RULE_GE:
    case RULE_STARTS:
    case RULE_ENDS:
        return comparison(c, n, n->op, out);
    case RULE_CONTAINS:
        return contains(c, n, out);
    case RULE_CONTAINS_ANY:
    case RULE_CONTAINS_ALL:
        return compiler_contains_list(c, n, out);
    case RULE_ITEMS_ANY:
    case RULE_ITEMS_ALL:
        return compiler_records(c, n, out);
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

/* What is said of the event's person: everybody is asked before the events are. */
static Err about_person(Compiler *c, const RuleNode *n, const Filter **out)
{
    const Segment *who = NULL;
    Filter *f = compiler_filter(c, FILTER_PERSONS);
    TRY(analysis_attribute(c->ctx, c->names, n, c->texts, &who));
    struct AnalysisPersons *p = analysis_persons_later(c->ctx, c->texts);
    p->who = who;
    p->filter = f;
    p->nobody = who->otherwise || who->kind == SEGMENT_AND; /* it has no attributes */
    *out = f;
    return ERR_OK;
}

static bool is_of(const RuleNode *n, RuleOp op)
{
    return n->count > 0 && n->args[0]->op == op;
}

static Err leaf(Compiler *c, const RuleNode *n, const Filter **out)
{
    if (is_of(n, RULE_PERSON) && !c->of_person)
        return about_person(c, n, out);
    if (is_of(n, RULE_PERSON_AT) && !c->of_person)
        return compiler_changes(c, n, out);
    return compiler_comparison(c, n, out);
}

/* Recursion: a rule's tree is at most RULE_DEPTH_MAX deep, and a filter's at most two levels deeper. */
Err compiler_condition(Compiler *c, const RuleNode *n, const Filter **out)
{
    switch ((int)n->op) {
    case RULE_AND:
        return all_args(c, n, FILTER_AND, out);
    case RULE_OR:
        return all_args(c, n, FILTER_OR, out);
    case RULE_NOT:
        return complement(c, compiler_condition(c, n->args[0], out), out);
    case RULE_LITERAL:
        *out = compiler_filter(c, n->value.i64 != 0 ? FILTER_ALL : FILTER_NONE);
        return ERR_OK;
    case RULE_SEGMENT:
        return analysis_cohort(c->ctx, c->names, n, c->texts, out);
    case RULE_CONSENTS:
        return about_person(c, analysis_consent(c->ctx, n), out);
    default:
        return leaf(c, n, out);
    }
}

/* ---- steps --------------------------------------------------------------------------------------- */

/* One of these events, as a filter; NULL = any event. */
static Err names_filter(Compiler *c, const RuleNode *pick, const Filter **out)
{
    const Operand o = field(c, RULE_FIELD_NAME);
    *out = NULL;
    return pick->name_count == 0 ? ERR_OK
                                 : compiler_texts_in(c, &o, pick->names, pick->name_count, out);
}

static Err pick_filter(Compiler *c, const RuleNode *pick, bool with_names, const Filter **out)
{
    const Filter *names = NULL, *where = NULL;
    if (with_names)
        TRY(names_filter(c, pick, &names));
    if (pick->count > 0)
        TRY(compiler_condition(c, pick->args[0], &where));
    if (names != NULL && where != NULL) {
        const Filter **both = ARENA_ARRAY(c->ctx->arena, const Filter *, 2);
        both[0] = names;
        both[1] = where;
        where = compiler_gather(c, FILTER_AND, both, 2);
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
            n += (events[n] = schema_find_event(c->names->schema, step->args[i]->names[j])) != 0;
    qsort(events, n, sizeof *events, by_number);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++)
        if (kept == 0 || events[kept - 1] != events[i])
            events[kept++] = events[i];
    out->events = events;
    out->event_count = kept;
}

/* Of several picks without a condition the names decide alone, and they are in the select. */
static bool has_condition(const RuleNode *step)
{
    for (uint32_t i = 0; i < step->count; i++)
        if (step->args[i]->count > 0)
            return true;
    return false;
}

Err analysis_step(Ctx *ctx, const AnalysisNames *names, const RuleNode *step, AnalysisTexts *texts,
                  ScanSelect *out)
{
    Compiler c = {.ctx = ctx, .names = names, .texts = texts};
    ScanSelect select = {.from_ms = out->from_ms, .to_ms = out->to_ms};
    gather_events(&c, step, &select);
    if (step->count == 1) {
        TRY(pick_filter(&c, step->args[0], false, &select.filter));
    } else if (has_condition(step)) {
        const Filter **picks = ARENA_ARRAY(ctx->arena, const Filter *, step->count);
        for (uint32_t i = 0; i < step->count; i++) {
            TRY(pick_filter(&c, step->args[i], true, &picks[i]));
            if (picks[i] == NULL)
                picks[i] = compiler_filter(&c, FILTER_ALL);
        }
        select.filter = compiler_gather(&c, FILTER_OR, picks, step->count);
    }
    *out = select;
    return ERR_OK;
}

Err analysis_compile(Ctx *ctx, const AnalysisNames *names, const Rule *rule, AnalysisTexts *texts,
                     ScanSelect *out)
{
    return analysis_step(ctx, names, rule->root, texts, out);
}

Err analysis_filter(Ctx *ctx, const AnalysisNames *names, const RuleNode *condition,
                    AnalysisTexts *texts, const Filter **out)
{
    Compiler c = {.ctx = ctx, .names = names, .texts = texts};
    return compiler_condition(&c, condition, out);
}

Err analysis_column(Ctx *ctx, const AnalysisNames *names, const RuleNode *n, RuleType wanted,
                    AnalysisColumn *out)
{
    Compiler c = {.ctx = ctx, .names = names}; /* no condition, so no texts */
    Operand o;
    if (n->op == RULE_MUL) {
        *out = compiler_factors(&c, n, wanted);
        return ERR_OK;
    }
    TRY(compiler_operand(&c, n, wanted, &o));
    if (o.kind == OPERAND_LIST)
        return unsupported(&c, n, "a list");
    const ScanProp none = {PROP_NONE, 0}, column = {o.prop, o.scale};
    *out = (AnalysisColumn){o.kind == OPERAND_MISSING ? none : column, none};
    return ERR_OK;
}
