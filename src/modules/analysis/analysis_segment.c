/*
 * modules/analysis/analysis_segment.c -- the tree of a rule about persons becomes a segment.
 *
 * A leaf over events keeps its shape: its step and window become selects, what it compares becomes ranges of
 * exact numbers.  `stopped` is two leaves, `did` one.  What first and last compare is a condition on one event, so
 * it becomes a second select: the events of the step that fulfil it.
 */
#include "modules/analysis/analysis_inside.h"

static const int64_t HOUR_MS = INT64_C(3600000), MINUTE_MS = INT64_C(60000);

enum { PLACES = 18 }; /* of a SegmentNumber's part, and of a literal at most */

typedef struct Maker {
    Ctx *ctx;
    const AnalysisNames *names;
    AnalysisTexts *texts; /* of all leaves */
} Maker;

static Err make(const Maker *m, const RuleNode *n, const Segment **out);

static Segment *new_segment(const Maker *m, SegmentKind kind)
{
    Segment *s = ARENA_NEW(m->ctx->arena, Segment);
    s->kind = kind;
    return s;
}

static Segment *joined(const Maker *m, SegmentKind kind, uint32_t count, const Segment ***args)
{
    Segment *s = new_segment(m, kind);
    *args = ARENA_ARRAY(m->ctx->arena, const Segment *, (size_t)count + 1);
    s->args = *args;
    s->arg_count = count;
    return s;
}

/* ---- selects ------------------------------------------------------------------------------------- */

/* The scan takes times apart: what lies further off than this is as far as anything. */
static int64_t within_reach(int64_t ms)
{
    const int64_t most = INT64_MAX / 4;
    return ms > most ? most : ms < -most ? -most : ms;
}

/* Nobody knows yet what comes later than now. */
static AnalysisRange until_now(const Maker *m, AnalysisRange r)
{
    const int64_t end = m->ctx->now_ms + 1;
    return (AnalysisRange){within_reach(r.from_ms), within_reach(r.to_ms < end ? r.to_ms : end)};
}

static Err select_in(const Maker *m, const RuleNode *step, AnalysisRange range, ScanSelect *out)
{
    range = until_now(m, range);
    *out = (ScanSelect){.from_ms = range.from_ms, .to_ms = range.to_ms};
    return analysis_step(m->ctx, m->names, step, m->texts, out);
}

static AnalysisRange window_of(const Maker *m, const RuleNode *leaf)
{
    return analysis_window(&m->names->calendar, m->ctx->now_ms, &leaf->window);
}

/* A leaf with room for that many selects. */
static Segment *new_leaf(const Maker *m, SegmentKind kind, uint32_t selects, ScanSelect **out)
{
    Segment *s = new_segment(m, kind);
    *out = ARENA_ARRAY(m->ctx->arena, ScanSelect, selects);
    s->selects = *out;
    s->select_count = selects;
    return s;
}

/* ---- numbers ------------------------------------------------------------------------------------- */

static SegmentWide power10(int n)
{
    SegmentWide p = 1;
    while (n-- > 0)
        p *= 10;
    return p;
}

/* coefficient * 10^-places in units of 10^-scale. */
static SegmentNumber number_of(int64_t coefficient, int places, int scale)
{
    if (places <= scale)
        return (SegmentNumber){coefficient * power10(scale - places), 0};
    const SegmentWide unit = power10(places - scale);
    SegmentWide whole = coefficient / unit, rest = coefficient % unit;
    whole -= rest < 0;
    rest += rest < 0 ? unit : 0;
    return (SegmentNumber){whole, (int64_t)(rest * power10(PLACES - places + scale))};
}

/* The literal itself: a time is a span of milliseconds, anything else one number. */
static SegmentRange literal(const RuleValue *v, int scale)
{
    if (v->type == RULE_TYPE_TIME)
        return (SegmentRange){.from = {v->i64, 0}, .to = {(SegmentWide)v->end_ms - 1, 0}};
    const SegmentNumber at = number_of(v->i64, v->type == RULE_TYPE_NUMBER ? v->scale : 0, scale);
    return (SegmentRange){.from = at, .to = at};
}

static const SegmentNumber LOWEST = {-SEGMENT_ENDLESS, 0}, HIGHEST = {SEGMENT_ENDLESS, 0};

static SegmentRange compared(RuleOp op, const RuleValue *v, int scale)
{
    const SegmentRange at = literal(v, scale);
    switch ((int)op) {
    case RULE_LT:
        return (SegmentRange){.from = LOWEST, .to = at.from, .without_to = true};
    case RULE_LE:
        return (SegmentRange){.from = LOWEST, .to = at.to};
    case RULE_GT:
        return (SegmentRange){.from = at.to, .to = HIGHEST, .without_from = true};
    case RULE_GE:
        return (SegmentRange){.from = at.from, .to = HIGHEST};
    default:
        return at;
    }
}

/* ---- tests --------------------------------------------------------------------------------------- */

/* What a comparison asks for, as ranges. */
static void set_ranges(const Maker *m, const RuleNode *n, int scale, SegmentTest *t)
{
    const RuleNode *list = n->op == RULE_WHEN ? NULL : n->args[1];
    const uint32_t count = n->op == RULE_IN || n->op == RULE_NOT_IN ? list->value_count : 1;
    SegmentRange *ranges = ARENA_ARRAY(m->ctx->arena, SegmentRange, count);
    t->ranges = ranges;
    t->range_count = count;
    t->negated = n->op == RULE_NE || n->op == RULE_NOT_IN;
    if (n->op == RULE_WHEN) {
        const AnalysisRange w = window_of(m, n);
        ranges[0] = (SegmentRange){{w.from_ms, 0}, {w.to_ms, 0}, .without_to = true};
    } else if (n->op == RULE_BETWEEN) {
        ranges[0] = (SegmentRange){.from = literal(&n->args[1]->value, scale).from,
                                   .to = literal(&n->args[2]->value, scale).to};
    } else if (n->op == RULE_IN || n->op == RULE_NOT_IN) {
        for (uint32_t i = 0; i < count; i++)
            ranges[i] = literal(&list->values[i], scale);
    } else {
        ranges[0] = compared(n->op, &n->args[1]->value, scale);
    }
}

static const SegmentMeasure MEASURES[RULE_OP_COUNT] = {
    [RULE_COUNT] = SEGMENT_COUNT,      [RULE_DAYS] = SEGMENT_DAYS, [RULE_SUM] = SEGMENT_SUM,
    [RULE_AVG] = SEGMENT_AVG,          [RULE_MIN] = SEGMENT_MIN,   [RULE_MAX] = SEGMENT_MAX,
    [RULE_DISTINCT] = SEGMENT_DISTINCT};

static bool is_aggregate(const RuleNode *n)
{
    return n->op >= RULE_COUNT && n->op <= RULE_DISTINCT;
}

/* A leaf of tests while it grows. */
typedef struct Tests {
    Segment *leaf;
    SegmentTest *tests;
    ScanProp *props;
} Tests;

static Err new_tests(const Maker *m, const RuleNode *leaf, AnalysisRange range, uint32_t count,
                     Tests *out)
{
    ScanSelect *select;
    *out = (Tests){new_leaf(m, SEGMENT_TESTS, 1, &select),
                   ARENA_ARRAY(m->ctx->arena, SegmentTest, count),
                   ARENA_ARRAY(m->ctx->arena, ScanProp, SCAN_COLUMNS_MAX)};
    out->leaf->tests = out->tests;
    out->leaf->props = out->props;
    return select_in(m, leaf->step, range, select);
}

/* The column that an aggregate looks at, added to the leaf's; *scale is that of what is compared. */
static Err set_column(const Maker *m, const RuleNode *aggregate, Tests *of_leaf, SegmentTest *t,
                      int *scale)
{
    const RuleNode *of = aggregate->args[0];
    const bool counts = aggregate->op == RULE_DISTINCT;
    AnalysisColumn column;
    if (of->op == RULE_FIELD && of->field == RULE_FIELD_TIME) {
        t->column = SEGMENT_TIME;
        return ERR_OK;
    }
    if (counts && of->type == RULE_TYPE_ENUM)
        return analysis_unsupported(m->ctx, of, "the number of labels");
    TRY(analysis_column(m->ctx, m->names, of, counts ? of->type : aggregate->type, &column));
    if (column.of.prop == PROP_NONE) {
        t->column = SEGMENT_ABSENT;
        return ERR_OK;
    }
    *scale = counts ? 0 : column.of.scale + column.times.scale;
    t->column = of_leaf->leaf->prop_count++;
    t->product = column.times.prop != PROP_NONE;
    of_leaf->props[t->column] = column.of;
    if (t->product)
        of_leaf->props[of_leaf->leaf->prop_count++] = column.times;
    return ERR_OK;
}

/* Adds the test that a comparison of COUNT to DISTINCT is. */
static Err add_test(const Maker *m, const RuleNode *n, Tests *to)
{
    const Settings *s = m->names->settings;
    const RuleNode *aggregate = n->args[0];
    SegmentTest *t = &to->tests[to->leaf->test_count++];
    int scale = 0;
    DCHECK(is_aggregate(aggregate)); /* in a did too: the language takes nothing else there */
    t->measure = MEASURES[aggregate->op];
    t->day_ms = s->cutover_hour * HOUR_MS - s->offset_min * MINUTE_MS;
    if (aggregate->count > 0)
        TRY(set_column(m, aggregate, to, t, &scale));
    set_ranges(m, n, scale, t);
    return ERR_OK;
}

/* One comparison outside of a did. */
static Err make_aggregate(const Maker *m, const RuleNode *n, const Segment **out)
{
    Tests t;
    TRY(new_tests(m, n->args[0], window_of(m, n->args[0]), 1, &t));
    *out = t.leaf;
    return add_test(m, n, &t);
}

static void add_occurs(Tests *to, bool occurs)
{
    static const SegmentRange ONCE = {.from = {1, 0}, .to = {SEGMENT_ENDLESS, 0}};
    to->tests[to->leaf->test_count++] = (SegmentTest){
        .measure = SEGMENT_COUNT, .ranges = &ONCE, .range_count = 1, .negated = !occurs};
}

static Err make_occurs(const Maker *m, const RuleNode *leaf, AnalysisRange range, bool occurs,
                       const Segment **out)
{
    Tests t;
    TRY(new_tests(m, leaf, range, 1, &t));
    *out = t.leaf;
    add_occurs(&t, occurs);
    return ERR_OK;
}

/* ---- did ----------------------------------------------------------------------------------------- */

static bool is_counted(const RuleNode *did)
{
    for (uint32_t i = 0; i < did->count; i++)
        if (did->args[i]->args[0]->op == RULE_COUNT)
            return true;
    return false;
}

/* How many columns its condition may need. */
static uint32_t columns_of(const RuleNode *comparison)
{
    const RuleNode *aggregate = comparison->args[0];
    return aggregate->count == 0 ? 0 : aggregate->args[0]->op == RULE_MUL ? 2 : 1;
}

/* As many of its conditions as one scan has columns for, from *at on. */
static Err make_conditions(const Maker *m, const RuleNode *did, uint32_t *at, const Segment **out)
{
    Tests t;
    TRY(new_tests(m, did, window_of(m, did), did->count + 1, &t));
    *out = t.leaf;
    if (*at == 0 && !is_counted(did))
        add_occurs(&t, true);
    while (*at < did->count && t.leaf->prop_count + columns_of(did->args[*at]) <= SCAN_COLUMNS_MAX)
        TRY(add_test(m, did->args[(*at)++], &t));
    return ERR_OK;
}

static Err make_did(const Maker *m, const RuleNode *n, const Segment **out)
{
    const Segment **args;
    Segment *all = joined(m, SEGMENT_AND, n->count + 1, &args);
    uint32_t at = 0;
    all->arg_count = 0;
    do
        TRY(make_conditions(m, n, &at, &args[all->arg_count++]));
    while (at < n->count);
    *out = all;
    return ERR_OK;
}

/* ---- stopped and resumed ------------------------------------------------------------------------- */

/* With none lately, one in the window is one from before. */
static Err make_stopped(const Maker *m, const RuleNode *n, const Segment **out)
{
    const int64_t now = m->ctx->now_ms;
    const AnalysisRange lately = {now - n->span.ms + 1, now + 1};
    const Segment **args;
    *out = joined(m, SEGMENT_AND, 2, &args);
    TRY(make_occurs(m, n, window_of(m, n), true, &args[0]));
    return make_occurs(m, n, lately, false, &args[1]);
}

static Err make_resumed(const Maker *m, const RuleNode *n, const Segment **out)
{
    const int64_t now = m->ctx->now_ms, since = now - n->span2.ms + 1;
    ScanSelect *selects;
    Segment *s = new_leaf(m, SEGMENT_RESUMED, 2, &selects);
    s->span_ms = n->span.ms;
    *out = s;
    TRY(select_in(m, n->step, (AnalysisRange){since, now + 1}, &selects[0]));
    return select_in(m, n->step, (AnalysisRange){INT64_MIN, since}, &selects[1]);
}

/* ---- sequence ------------------------------------------------------------------------------------ */

static Err make_sequence(const Maker *m, const RuleNode *n, const Segment **out)
{
    if (n->count > SCAN_SELECTS_MAX)
        return fail_field(m->ctx, "", "query.too_large", "a sequence of at most %d steps",
                          SCAN_SELECTS_MAX);
    ScanSelect *selects;
    Segment *s = new_leaf(m, SEGMENT_SEQUENCE, n->count, &selects);
    SegmentLink *links = ARENA_ARRAY(m->ctx->arena, SegmentLink, n->count);
    for (uint32_t i = 0; i < n->count; i++) {
        TRY(select_in(m, n->args[i], window_of(m, n), &selects[i]));
        links[i] = (SegmentLink){n->args[i]->span.ms, n->args[i]->of_first};
    }
    s->links = links;
    *out = s;
    return ERR_OK;
}

/* ---- first and last ------------------------------------------------------------------------------ */

/* The comparison as one of an event: its operand is what is read there, or when it happened. */
static const RuleNode *about_event(const Maker *m, const RuleNode *n)
{
    const RuleNode *end = n->args[0];
    RuleNode *about = ARENA_NEW(m->ctx->arena, RuleNode);
    RuleNode *time = ARENA_NEW(m->ctx->arena, RuleNode);
    const RuleNode **args = ARENA_ARRAY(m->ctx->arena, const RuleNode *, n->count);
    *time = (RuleNode){
        .op = RULE_FIELD, .type = RULE_TYPE_TIME, .field = RULE_FIELD_TIME, .at = end->at};
    memcpy(args, n->args, n->count * sizeof *args);
    args[0] = end->count > 0 ? end->args[0] : time;
    *about = *n;
    about->args = args;
    return about;
}

static const Filter *both(const Maker *m, const Filter *a, const Filter *b)
{
    const Filter **args = ARENA_ARRAY(m->ctx->arena, const Filter *, 2);
    Filter *f = ARENA_NEW(m->ctx->arena, Filter);
    args[0] = a;
    args[1] = b;
    *f = (Filter){.kind = FILTER_AND, .args = args, .arg_count = 2};
    return f;
}

static Err make_end(const Maker *m, const RuleNode *n, const Segment **out)
{
    const RuleNode *end = n->args[0];
    const Filter *holds;
    ScanSelect *selects;
    Segment *s = new_leaf(m, end->op == RULE_FIRST ? SEGMENT_FIRST : SEGMENT_LAST, 2, &selects);
    s->otherwise = n->op == RULE_NE || n->op == RULE_NOT_IN || n->op == RULE_IS_MISSING;
    TRY(select_in(m, end->step, window_of(m, end), &selects[0]));
    TRY(analysis_filter(m->ctx, m->names, about_event(m, n), m->texts, &holds));
    selects[1] = selects[0];
    selects[1].filter = selects[0].filter == NULL ? holds : both(m, selects[0].filter, holds);
    *out = s;
    return ERR_OK;
}

/* ---- trees --------------------------------------------------------------------------------------- */

/* A comparison: what it is of decides. */
static Err make_comparison(const Maker *m, const RuleNode *n, const Segment **out)
{
    const RuleOp of = n->args[0]->op;
    if (of == RULE_FIRST || of == RULE_LAST)
        return make_end(m, n, out);
    if (is_aggregate(n->args[0]))
        return make_aggregate(m, n, out);
    if (of == RULE_PERSON)
        return analysis_attribute(m->ctx, m->names, n, m->texts, out);
    return analysis_unsupported(m->ctx, n->args[0], "this value");
}

static Err make_cohort(const Maker *m, const RuleNode *n, const Segment **out)
{
    Segment *s = new_segment(m, SEGMENT_PERSONS);
    *out = s;
    return analysis_cohort(m->ctx, m->names, n, m->texts, &s->persons);
}

static Err make_joined(const Maker *m, const RuleNode *n, SegmentKind kind, const Segment **out)
{
    const Segment **args;
    *out = joined(m, kind, n->count, &args);
    for (uint32_t i = 0; i < n->count; i++)
        TRY(make(m, n->args[i], &args[i]));
    return ERR_OK;
}

/* Recursion: a rule's tree is at most RULE_DEPTH_MAX deep, and a segment's at most one level deeper. */
static Err make(const Maker *m, const RuleNode *n, const Segment **out)
{
    switch ((int)n->op) {
    case RULE_AND:
        return make_joined(m, n, SEGMENT_AND, out);
    case RULE_OR:
        return make_joined(m, n, SEGMENT_OR, out);
    case RULE_NOT:
        return make_joined(m, n, SEGMENT_NOT, out);
    case RULE_LITERAL: /* of nothing: everybody, no one */
        *out = new_segment(m, n->value.i64 != 0 ? SEGMENT_AND : SEGMENT_OR);
        return ERR_OK;
    case RULE_DID:
        return make_did(m, n, out);
    case RULE_STOPPED:
        return make_stopped(m, n, out);
    case RULE_RESUMED:
        return make_resumed(m, n, out);
    case RULE_SEQUENCE:
        return make_sequence(m, n, out);
    case RULE_SEGMENT:
        return make_cohort(m, n, out);
    case RULE_CONSENTS:
        return analysis_attribute(m->ctx, m->names, analysis_consent(m->ctx, n), m->texts, out);
    default:
        break;
    }
    if (n->op >= RULE_EQ && n->op <= RULE_WHEN)
        return make_comparison(m, n, out);
    return analysis_unsupported(m->ctx, n, "this condition");
}

Err analysis_segment(Ctx *ctx, const AnalysisNames *names, const Rule *rule, AnalysisTexts *texts,
                     const Segment **out)
{
    const Maker m = {ctx, names, texts};
    CHECK(rule->scope == RULE_SCOPE_PERSON);
    return make(&m, rule->root, out);
}
