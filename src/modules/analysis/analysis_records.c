/*
 * modules/analysis/analysis_records.c -- conditions on what an event has several of, and products.
 *
 * A list that no event has had, or that has another type than the rule says, is an empty one for count and sum, and
 * missing for everything else.
 */
#include "modules/analysis/analysis_compiler.h"

/* ---- products ------------------------------------------------------------------------------------ */

/* The property that the node names, of events or of the records in question; NULL: none has had it. */
const SchemaProp *compiler_named(const Compiler *c, const RuleNode *n)
{
    static const SchemaSpace SPACES[RULE_OP_COUNT] = {[RULE_PROP] = SCHEMA_EVENT,
                                                      [RULE_CONTEXT] = SCHEMA_CONTEXT,
                                                      [RULE_PERSON] = SCHEMA_PERSON,
                                                      [RULE_PERSON_AT] = SCHEMA_PERSON};
    if (n->op == RULE_ITEM)
        return schema_find_field(c->names->schema, c->list, n->name);
    return schema_find_prop(c->names->schema, SPACES[n->op], n->name);
}

static bool is_money(const SchemaProp *p)
{
    return p->type == EVENT_MONEY;
}

/* A factor that can be one; NULL: missing, or no number. */
static const SchemaProp *factor(const Compiler *c, const RuleNode *n)
{
    const SchemaProp *p = compiler_named(c, n);
    if (p == NULL || (p->type != EVENT_NUMBER && p->type != EVENT_MONEY) ||
        (n->type != RULE_TYPE_UNKNOWN && n->type != analysis_rule_type(p->type)))
        return NULL;
    return p;
}

/* What a node that is a number, or a product of two, looks at. */
typedef struct Number {
    ScanProp of, times; /* times: the other factor; PROP_NONE = there is none */
} Number;

static int scale_of(const Number *n)
{
    return n->of.scale + n->times.scale;
}

static ScanProp column_of(const SchemaProp *p)
{
    return (ScanProp){p->id, is_money(p) ? 0 : SCHEMA_SCALE_MAX};
}

/* False: it is missing everywhere, or of another type than `wanted`. */
static bool number_of(const Compiler *c, const RuleNode *n, RuleType wanted, Number *out)
{
    const bool is_product = n->op == RULE_MUL;
    const SchemaProp *a = factor(c, is_product ? n->args[0] : n);
    const SchemaProp *b = is_product ? factor(c, n->args[1]) : NULL;
    if (a == NULL || (is_product && (b == NULL || (is_money(a) && is_money(b)))))
        return false;
    const RuleType type =
        is_money(a) || (b != NULL && is_money(b)) ? RULE_TYPE_MONEY : RULE_TYPE_NUMBER;
    *out = (Number){column_of(a), b == NULL ? (ScanProp){PROP_NONE, 0} : column_of(b)};
    return wanted == type && (n->type == RULE_TYPE_UNKNOWN || n->type == type);
}

static Operand made(const Filter *f)
{
    return (Operand){.kind = OPERAND_MADE, .scale = f->scale, .made = f};
}

Operand compiler_product(Compiler *c, const RuleNode *n, RuleType wanted)
{
    Number number;
    if (!number_of(c, n, wanted, &number))
        return (Operand){.kind = OPERAND_MISSING};
    Filter *f = compiler_filter(c, FILTER_PRODUCT);
    f->prop = number.of.prop;
    f->times = number.times.prop;
    f->scale = (uint8_t)scale_of(&number);
    return made(f);
}

AnalysisColumn compiler_factors(const Compiler *c, const RuleNode *n, RuleType wanted)
{
    Number number = {{PROP_NONE, 0}, {PROP_NONE, 0}};
    const bool any = wanted == RULE_TYPE_UNKNOWN;
    const bool is_one =
        ((any || wanted == RULE_TYPE_MONEY) && number_of(c, n, RULE_TYPE_MONEY, &number)) ||
        ((any || wanted == RULE_TYPE_NUMBER) && number_of(c, n, RULE_TYPE_NUMBER, &number));
    return is_one ? (AnalysisColumn){number.of, number.times}
                  : (AnalysisColumn){{PROP_NONE, 0}, {PROP_NONE, 0}};
}

/* The list whose records or texts the node is about; NULL: no event has had one. */
static const SchemaProp *list_of(const Compiler *c, const RuleNode *n)
{
    const SchemaProp *p = compiler_named(c, n);
    if (p == NULL || (p->type != EVENT_ITEMS && p->type != EVENT_TEXTS) ||
        (n->type != RULE_TYPE_UNKNOWN && n->type != analysis_rule_type(p->type)))
        return NULL;
    return p;
}

/* A filter on the items of the list; of none when it is NULL. */
static Filter *items_filter(Compiler *c, FilterKind kind, const SchemaProp *list,
                            const Filter *where)
{
    Filter *f = compiler_filter(c, kind);
    f->prop = list == NULL ? PROP_NONE : list->id;
    f->min = 1;
    f->max = INT64_MAX;
    if (where == NULL)
        return f;
    const Filter **args = ARENA_ARRAY(c->ctx->arena, const Filter *, 1);
    args[0] = where;
    f->args = args;
    f->arg_count = 1;
    return f;
}

/* The condition on the list's records; NULL: there is none, or nobody has had such records. */
static Err where_of(Compiler *c, const RuleNode *n, const SchemaProp *list, const Filter **out)
{
    Compiler of_records = *c;
    of_records.list = list;
    *out = NULL;
    if (n->count < 2 || list == NULL)
        return ERR_OK;
    TRY(compiler_condition(&of_records, n->args[1], out));
    return ERR_OK;
}

Err compiler_items_count(Compiler *c, const RuleNode *n, RuleType wanted, Operand *out)
{
    const SchemaProp *list = list_of(c, n->args[0]);
    const Filter *where = NULL;
    TRY(where_of(c, n, list, &where));
    *out = wanted == RULE_TYPE_NUMBER ? made(items_filter(c, FILTER_ITEMS, list, where))
                                      : (Operand){.kind = OPERAND_MISSING};
    return ERR_OK;
}

/* Of no records, and of records without such numbers, it is 0. */
Operand compiler_items_sum(Compiler *c, const RuleNode *n, RuleType wanted)
{
    Compiler of_records = *c;
    Number number = {{PROP_NONE, 0}, {PROP_NONE, 0}};
    of_records.list = list_of(c, n->args[0]);
    Filter *f = items_filter(c, FILTER_ITEMS_SUM, of_records.list, NULL);
    if (wanted != n->type)
        return (Operand){.kind = OPERAND_MISSING};
    if (of_records.list == NULL || !number_of(&of_records, n->args[1], wanted, &number))
        f->prop = PROP_NONE;
    f->number = number.of.prop;
    f->times = number.times.prop;
    f->scale = (uint8_t)scale_of(&number);
    return made(f);
}

/* ---- records and texts ------------------------------------------------------------------------------ */

/* Whether a list of texts has one of these. */
Err compiler_texts_have(Compiler *c, const SchemaProp *list, const Str *texts, uint32_t count,
                        const Filter **out)
{
    const Operand text = {.kind = OPERAND_TEXT, .prop = list->id, .texts = list->values};
    const Filter *which = NULL;
    TRY(compiler_texts_in(c, &text, texts, count, &which));
    *out = which->kind == FILTER_NONE ? which : items_filter(c, FILTER_ITEMS, list, which);
    return ERR_OK;
}

/* The list of texts that is asked what it contains; NULL: it is none. */
const SchemaProp *compiler_texts(const Compiler *c, const RuleNode *n)
{
    const bool of_person = n->op == RULE_PERSON || n->op == RULE_PERSON_AT;
    if (n->op != RULE_PROP && n->op != RULE_CONTEXT && !(of_person && c->of_person))
        return NULL;
    const SchemaProp *list = list_of(c, n);
    return list != NULL && list->type == EVENT_TEXTS ? list : NULL;
}

/* An element is any of these, or each of these is an element. */
Err compiler_contains_list(Compiler *c, const RuleNode *n, const Filter **out)
{
    const SchemaProp *list = compiler_texts(c, n->args[0]);
    const RuleNode *wanted = n->args[1];
    const uint32_t count = wanted->value_count;
    Str *texts = ARENA_ARRAY(c->ctx->arena, Str, count);
    for (uint32_t i = 0; i < count; i++)
        texts[i] = wanted->values[i].text;
    if (list == NULL) {
        Operand o;
        TRY(compiler_operand(c, n->args[0], RULE_TYPE_TEXTS, &o));
        *out = compiler_filter(c, FILTER_NONE);
        return ERR_OK;
    }
    if (n->op == RULE_CONTAINS_ANY)
        return compiler_texts_have(c, list, texts, count, out);
    const Filter **each = ARENA_ARRAY(c->ctx->arena, const Filter *, count);
    for (uint32_t i = 0; i < count; i++)
        TRY(compiler_texts_have(c, list, &texts[i], 1, &each[i]));
    *out = compiler_gather(c, FILTER_AND, each, count);
    return ERR_OK;
}

Err compiler_records(Compiler *c, const RuleNode *n, const Filter **out)
{
    const SchemaProp *list = list_of(c, n->args[0]);
    const Filter *where = NULL;
    TRY(where_of(c, n, list, &where));
    *out = where == NULL
               ? compiler_filter(c, FILTER_NONE)
               : items_filter(c, n->op == RULE_ITEMS_ANY ? FILTER_ITEMS : FILTER_ITEMS_ALL, list,
                              where);
    return ERR_OK;
}

Err analysis_records(Ctx *ctx, const AnalysisNames *names, const Rule *rule, AnalysisTexts *texts,
                     uint32_t *list, const Filter **out)
{
    Compiler c = {ctx, names, texts, NULL};
    const SchemaProp *records = list_of(&c, rule->root->args[0]);
    TRY(where_of(&c, rule->root, records, out));
    *list = records == NULL ? PROP_NONE : records->id;
    return ERR_OK;
}
