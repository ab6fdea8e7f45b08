/*
 * engine/ask/path.c -- paths: which nodes there are per step, then how often they and the ways between them occur.
 *
 * The first pass counts every node of every step, which says which ones are shown.  The second one counts those,
 * the others as one, and what lies between two steps: as few cells as are shown, however many nodes there are.
 *
 * Where nodes are event names, and few of them, the first pass counts everything per name.  That is all when paths
 * are counted: the names that are not shown are added up.  Persons are not: one may be in several.
 */
#include "engine/ask/path.h"

#include "engine/core/tally.h"
#include "engine/scan/ahead.h"
#include "engine/scan/walk_batch.h"

#include <stdlib.h>

/* Of paths, or of persons, each once: all of a person comes together. */
typedef struct PathCount {
    uint64_t n;
    uint32_t person; /* counted last */
} PathCount;

enum {
    SHOWN_MAX = PATH_TOP_MAX + 1, /* with "other" */
    WIDE_MAX = 64,                /* names that are counted one by one */
};

/* What is counted of `width` places per step. */
typedef struct PathCells {
    uint32_t width;
    PathCount steps[PATH_STEPS_MAX], ends[PATH_STEPS_MAX];
    PathCount *nodes, *node_ends; /* [step][place] */
    PathCount *edges;             /* [step][place][place in the next step] */
} PathCells;

typedef struct PathWorker {
    const struct PathRun *run;
    Scanner *scanner;
    WalkBatcher *walker; /* instead of it, where names and seconds are enough */
    Tally nodes;
    PathCells cells;
} PathWorker;

typedef struct PathRun {
    const Query *q;
    const Path *p;
    ScanAsk ask;
    bool counting; /* the first of two passes */
    bool walks;    /* names and seconds are enough */
    bool few;      /* nodes are names that have codes */
    bool wide;     /* the pass that counts all of them: a place per code */
    WalkNames names;
    uint8_t places[PATH_STEPS_MAX][WIDE_MAX]; /* [step][code], once it is known what is shown */
    Tally shown;                              /* the nodes that are, step by step */
    uint32_t first[PATH_STEPS_MAX + 1];       /* a step's are [first[k], first[k + 1]) of them */
    uint32_t distinct[PATH_STEPS_MAX];
    const PathBar *bar; /* NULL: nobody asks who is behind it */
    const People *people;
    PathWorker *workers;
} PathRun;

/* The rows of one path that are its nodes, from where it begins. */
typedef struct Trail {
    uint32_t person;
    uint32_t rows[PATH_STEPS_MAX];
    uint32_t count;
    bool goes_on; /* behind the last step that is asked for */
} Trail;

/* ---- one path ------------------------------------------------------------------------------------ */

static int64_t value_at(const Path *p, const ScanBatch *b, uint32_t row)
{
    return p->prop == NULL ? 0 : b->values[0][row];
}

static bool alike(const Path *p, const ScanBatch *b, uint32_t x, uint32_t y)
{
    return b->events[x] == b->events[y] && value_at(p, b, x) == value_at(p, b, y);
}

static bool is_anchor(const Path *p, const ScanBatch *b, uint32_t row)
{
    return p->anchor == NULL || (b->rows[row].selects & 2) != 0;
}

/* Where a path goes along some rows. */
typedef struct Course {
    const Path *p;
    const ScanBatch *b;
    uint32_t from, to;
} Course;

static uint32_t row_at(const Course *c, uint32_t i)
{
    return c->p->backward ? c->to - 1 - i : c->from + i;
}

/* How many of the rows from the i-th on, where the path begins, are of it; 0 = it does not count. */
static uint32_t length_of(const Course *c, uint32_t i)
{
    const Path *p = c->p;
    const uint32_t n = c->to - c->from;
    const int64_t begin_ms = scan_ms(c->b, row_at(c, i));
    uint32_t end = i + 1;
    for (; end < n && !crew_gives_up_at(end); end++) {
        const int64_t apart_ms = scan_ms(c->b, row_at(c, end)) - begin_ms;
        if ((apart_ms < 0 ? -apart_ms : apart_ms) > p->window_ms && p->window_ms > 0)
            break;
        if (p->goal != NULL && (c->b->rows[row_at(c, end)].selects & 4) != 0)
            return end + 1 - i;
    }
    return p->goal == NULL ? end - i : 0;
}

/* Of rows [from, to), which lie together.  False: nothing is what it shall begin, or end, with. */
static bool follow(const Path *p, const ScanBatch *b, uint32_t from, uint32_t to, Trail *out)
{
    const uint32_t n = to - from;
    out->count = 0;
    out->goes_on = false;
    const Course course = {p, b, from, to};
    uint32_t i = 0;
    while (i < n && !is_anchor(p, b, row_at(&course, i)))
        i++;
    const bool has_end = p->goal != NULL || p->window_ms > 0;
    const uint32_t end = has_end && i < n ? i + length_of(&course, i) : n;
    for (; i < end && !out->goes_on && !crew_gives_up_at(i); i++) {
        const uint32_t row = row_at(&course, i);
        if (!p->repeats && out->count > 0 && alike(p, b, row, out->rows[out->count - 1]))
            continue;
        out->goes_on = out->count == p->steps;
        if (!out->goes_on)
            out->rows[out->count++] = row;
    }
    return out->count > 0;
}

static TallyKey node_at(const Path *p, const ScanBatch *b, const Trail *t, uint32_t step)
{
    const uint32_t row = t->rows[step];
    return (TallyKey){{step, b->events[row], value_at(p, b, row)}};
}

static void count_nodes(PathWorker *w, const ScanBatch *b, const Trail *t)
{
    const Path *p = w->run->p;
    for (uint32_t step = 0; step < t->count; step++) {
        if (p->persons)
            tally_add_person(&w->nodes, node_at(p, b, t, step), t->person);
        else
            tally_add(&w->nodes, node_at(p, b, t, step), 1);
    }
}

/* ---- cells --------------------------------------------------------------------------------------- */

static size_t node_cell(const PathCells *c, uint32_t step, uint32_t place)
{
    return (size_t)step * c->width + place;
}

static size_t edge_cell(const PathCells *c, uint32_t step, uint32_t from, uint32_t to)
{
    return node_cell(c, step, from) * c->width + to;
}

static PathCount *zeros(size_t n)
{
    PathCount *cells = calloc(n, sizeof *cells);
    CHECK(cells != NULL);
    return cells;
}

static void open_cells(PathCells *c, uint32_t steps, uint32_t width)
{
    const size_t nodes = (size_t)steps * width;
    *c = (PathCells){.width = width, .nodes = zeros(nodes + 1), .node_ends = zeros(nodes + 1)};
    c->edges = zeros(nodes * width + 1);
}

static void close_cells(PathCells *c)
{
    free(c->nodes);
    free(c->node_ends);
    free(c->edges);
    *c = (PathCells){0};
}

/* ---- what is shown of it ------------------------------------------------------------------------- */

static void count(const Path *p, PathCount *c, uint32_t person)
{
    if (p->persons && c->person == person)
        return;
    c->person = person;
    c->n++;
}

/* Its place in its step; "other" stands behind those that are shown. */
static uint32_t shown_place(const PathRun *run, TallyKey node)
{
    const int64_t step = node.of[0];
    const uint32_t number = tally_find(&run->shown, node);
    return (number == TALLY_NONE ? run->first[step + 1] : number) - run->first[step];
}

static uint32_t place_of(const PathRun *run, const ScanBatch *b, const Trail *t, uint32_t step)
{
    if (!run->few)
        return shown_place(run, node_at(run->p, b, t, step));
    const uint8_t code = run->names.codes[b->events[t->rows[step]]];
    return run->wide ? code : run->places[step][code];
}

/* A path at this step, in this place and before in that one. */
static bool is_behind(const PathBar *bar, uint32_t step, uint32_t before, uint32_t place, bool ends)
{
    if (bar->to != QUERY_WHOLE)
        return step == bar->step + 1 && before == bar->node && place == bar->to;
    return step == bar->step && (bar->node == QUERY_WHOLE || bar->node == place) &&
           (ends || !bar->has_ended);
}

static void count_trail(PathWorker *w, const ScanBatch *b, const Trail *t)
{
    const PathRun *run = w->run;
    PathCells *c = &w->cells;
    uint32_t before = 0;
    for (uint32_t step = 0; step < t->count; step++) {
        const uint32_t place = place_of(run, b, t, step);
        const bool ends = step + 1 == t->count && !t->goes_on;
        count(run->p, &c->steps[step], t->person);
        count(run->p, &c->nodes[node_cell(c, step, place)], t->person);
        if (ends) {
            count(run->p, &c->ends[step], t->person);
            count(run->p, &c->node_ends[node_cell(c, step, place)], t->person);
        }
        if (step > 0)
            count(run->p, &c->edges[edge_cell(c, step - 1, before, place)], t->person);
        if (run->bar != NULL && is_behind(run->bar, step, before, place, ends))
            people_add_amount(run->people, t->person, 1);
        before = place;
    }
}

/* ---- persons ------------------------------------------------------------------------------------- */

/* Whether the row lies near enough behind the one before it. */
static bool goes_on(const PathWorker *w, const ScanBatch *b, uint32_t row)
{
    const int64_t apart_ms = scan_ms(b, row) - scan_ms(b, row - 1), gap_ms = w->run->p->gap_ms;
    if (w->walker == NULL || apart_ms != gap_ms)
        return apart_ms <= gap_ms;
    return walk_batch_ms(w->walker, row) <= walk_batch_ms(w->walker, row - 1);
}

static uint32_t path_end(const PathWorker *w, const ScanBatch *b, uint32_t from, uint32_t to)
{
    uint32_t row = from + 1;
    while (row < to && goes_on(w, b, row) && !crew_gives_up_at(row))
        row++;
    return row;
}

static void take_batch(PathWorker *w, const ScanBatch *b)
{
    const PathRun *run = w->run;
    Trail t;
    for (uint32_t i = 0; i < b->person_count && !crew_gives_up(scan_rows_of(b, i)); i++) {
        t.person = b->persons[i];
        for (uint32_t from = b->from[i], to; from < b->from[i + 1] && !crew_gives_up(1);
             from = to) {
            to = path_end(w, b, from, b->from[i + 1]);
            if (!follow(run->p, b, from, to, &t))
                continue;
            if (run->counting)
                count_nodes(w, b, &t);
            else
                count_trail(w, b, &t);
            if (run->p->first)
                break;
        }
    }
}

static void take_piece(uint32_t worker, uint32_t piece, void *arg)
{
    PathWorker *w = &((const PathRun *)arg)->workers[worker];
    ScanBatch b;
    if (w->walker != NULL && walk_batch(w->walker, piece, &b))
        take_batch(w, &b);
    while (w->walker == NULL && scanner_batch(w->scanner, piece, &b))
        take_batch(w, &b);
}

static void open_reader(PathRun *run, PathWorker *w)
{
    w->walker = run->walks ? walk_batcher_new(run->q->view, &run->ask, &run->names) : NULL;
    w->scanner = w->walker == NULL ? scanner_new(run->q->view, &run->ask) : NULL;
}

/* Whether it met damage. */
static bool close_reader(PathWorker *w)
{
    const uint64_t damaged =
        w->walker != NULL ? walk_batch_damaged(w->walker) : scanner_damaged(w->scanner);
    walk_batcher_free(w->walker);
    scanner_free(w->scanner);
    return damaged > 0;
}

static Err run_pass(Ctx *ctx, PathRun *run)
{
    const uint32_t size = crew_size(run->q->crew);
    TRY(ahead_of_scan(ctx, run->q, &run->ask, true));
    for (uint32_t i = 0; i < size; i++)
        open_reader(run, &run->workers[i]);
    Err err = query_pieces(ctx, run->q, QUERY_PERSONS, take_piece, run);
    bool damaged = false;
    for (uint32_t i = 0; i < size; i++)
        damaged = close_reader(&run->workers[i]) || damaged;
    if (err == ERR_OK && damaged)
        err = fail(ctx, ERR_INTERNAL, "events.part_damaged", "paths met damage");
    return err;
}

/* ---- what is shown ------------------------------------------------------------------------------- */

/* The most frequent nodes of each step: `all` is in that order. */
static void choose_nodes(PathRun *run, const Tally *all)
{
    for (uint32_t step = 0; step < run->p->steps; step++) {
        run->first[step] = run->shown.count;
        for (uint32_t i = 0; i < all->count; i++) {
            if (all->at[i].key.of[0] != step)
                continue;
            if (run->distinct[step]++ < run->p->top)
                (void)tally_number(&run->shown, &all->at[i].key);
        }
    }
    run->first[run->p->steps] = run->shown.count;
}

static Err find_nodes(Ctx *ctx, PathRun *run)
{
    Tally all = {.limit = PATH_NODES_MAX};
    run->counting = true;
    TRY(run_pass(ctx, run));
    run->counting = false;
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++)
        tally_join(&all, &run->workers[i].nodes);
    tally_sort(&all);
    choose_nodes(run, &all);
    const bool is_over = all.is_over;
    tally_free(&all);
    return is_over ? fail(ctx, ERR_INVALID, "query.too_large", "over %d nodes", PATH_NODES_MAX)
                   : ERR_OK;
}

/* ---- adding up ----------------------------------------------------------------------------------- */

static void add_counts(PathCount *into, const PathCount *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        into[i].n += from[i].n;
}

/* The persons of two workers are others. */
static void join_cells(PathCells *into, const PathCells *from, uint32_t steps)
{
    const size_t nodes = (size_t)steps * into->width;
    add_counts(into->steps, from->steps, PATH_STEPS_MAX);
    add_counts(into->ends, from->ends, PATH_STEPS_MAX);
    add_counts(into->nodes, from->nodes, nodes);
    add_counts(into->node_ends, from->node_ends, nodes);
    add_counts(into->edges, from->edges, nodes * into->width);
}

/* Where each name stands among those that are shown. */
static void place_names(PathRun *run)
{
    for (uint32_t step = 0; run->few && step < run->p->steps; step++)
        for (uint32_t code = 0; code < run->names.count; code++)
            run->places[step][code] =
                (uint8_t)shown_place(run, (TallyKey){{step, run->names.names[code], 0}});
}

/* choose_nodes() of what was counted per name. */
static void choose_names(PathRun *run, const PathCells *wide)
{
    Tally all = {.limit = PATH_NODES_MAX};
    for (uint32_t step = 0; step < run->p->steps; step++)
        for (uint32_t code = 0; code < wide->width; code++) {
            const uint64_t n = wide->nodes[node_cell(wide, step, code)].n;
            if (n > 0)
                tally_add(&all, (TallyKey){{step, run->names.names[code], 0}}, n);
        }
    tally_sort(&all);
    choose_nodes(run, &all);
    tally_free(&all);
    place_names(run);
}

/* The names that are not shown become one. */
static void narrow_cells(const PathRun *run, const PathCells *wide, PathCells *out)
{
    memcpy(out->steps, wide->steps, sizeof out->steps);
    memcpy(out->ends, wide->ends, sizeof out->ends);
    for (uint32_t step = 0; step < run->p->steps; step++)
        for (uint32_t code = 0; code < wide->width; code++) {
            const size_t from = node_cell(wide, step, code);
            const uint32_t place = run->places[step][code];
            out->nodes[node_cell(out, step, place)].n += wide->nodes[from].n;
            out->node_ends[node_cell(out, step, place)].n += wide->node_ends[from].n;
            for (uint32_t to = 0; to < wide->width && step + 1 < run->p->steps; to++)
                out->edges[edge_cell(out, step, place, run->places[step + 1][to])].n +=
                    wide->edges[edge_cell(wide, step, code, to)].n;
        }
}

/* ---- the answer ---------------------------------------------------------------------------------- */

static int by_edge(const void *a, const void *b)
{
    const PathEdge *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return x->from != y->from ? (x->from < y->from ? -1 : 1) : (x->to > y->to) - (x->to < y->to);
}

static const PathEdge *give_edges(Ctx *ctx, const PathCells *c, uint32_t step, uint32_t *count)
{
    PathEdge *edges = ARENA_ARRAY(ctx->arena, PathEdge, SHOWN_MAX * SHOWN_MAX);
    uint32_t n = 0;
    for (uint32_t from = 0; from < c->width; from++)
        for (uint32_t to = 0; to < c->width; to++)
            if (c->edges[edge_cell(c, step, from, to)].n > 0)
                edges[n++] = (PathEdge){from, to, c->edges[edge_cell(c, step, from, to)].n};
    qsort(edges, n, sizeof *edges, by_edge);
    *count = n;
    return edges;
}

static const PathNode *give_nodes(Ctx *ctx, const PathRun *run, const PathCells *c, uint32_t step,
                                  uint32_t *count)
{
    const uint32_t shown = run->first[step + 1] - run->first[step];
    PathNode *nodes = ARENA_ARRAY(ctx->arena, PathNode, SHOWN_MAX);
    *count = shown + (shown < run->distinct[step]);
    for (uint32_t i = 0; i < *count; i++) {
        nodes[i] = (PathNode){.value = SCAN_MISSING,
                              .is_other = i == shown,
                              .count = c->nodes[node_cell(c, step, i)].n,
                              .ended = c->node_ends[node_cell(c, step, i)].n};
        if (i == shown)
            continue;
        const TallyKey *key = &run->shown.at[run->first[step] + i].key;
        nodes[i].event = (uint32_t)key->of[1];
        nodes[i].value = run->p->prop == NULL ? SCAN_MISSING : key->of[2];
    }
    return nodes;
}

static void give_result(Ctx *ctx, const PathRun *run, const PathCells *c, PathResult *out)
{
    PathStep *steps = ARENA_ARRAY(ctx->arena, PathStep, PATH_STEPS_MAX);
    *out = (PathResult){.steps = steps};
    for (uint32_t k = 0; k < run->p->steps && c->steps[k].n > 0; k++, out->step_count++) {
        PathStep *s = &steps[k];
        *s =
            (PathStep){.distinct = run->distinct[k], .count = c->steps[k].n, .ended = c->ends[k].n};
        s->nodes = give_nodes(ctx, run, c, k, &s->node_count);
        s->edges = give_edges(ctx, c, k, &s->edge_count);
    }
}

/* Counts what is shown, or everything, per worker; the first one has it all then. */
static Err count_cells(Ctx *ctx, PathRun *run, uint32_t width)
{
    const uint32_t size = crew_size(run->q->crew);
    for (uint32_t i = 0; i < size; i++)
        open_cells(&run->workers[i].cells, run->p->steps, width);
    TRY(run_pass(ctx, run));
    for (uint32_t i = 1; i < size; i++)
        join_cells(&run->workers[0].cells, &run->workers[i].cells, run->p->steps);
    return ERR_OK;
}

static void close_all_cells(PathRun *run)
{
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++)
        close_cells(&run->workers[i].cells);
}

/* A pass per name; of persons another one of what is shown. */
static Err run_names(Ctx *ctx, PathRun *run, PathResult *out)
{
    PathCells narrow;
    run->wide = true;
    TRY(count_cells(ctx, run, run->names.count));
    run->wide = false;
    choose_names(run, &run->workers[0].cells);
    if (run->p->persons) {
        close_all_cells(run);
        TRY(count_cells(ctx, run, SHOWN_MAX));
        give_result(ctx, run, &run->workers[0].cells, out);
        return ERR_OK;
    }
    open_cells(&narrow, run->p->steps, SHOWN_MAX);
    narrow_cells(run, &run->workers[0].cells, &narrow);
    give_result(ctx, run, &narrow, out);
    close_cells(&narrow);
    return ERR_OK;
}

static Err run_nodes(Ctx *ctx, PathRun *run, PathResult *out)
{
    TRY(find_nodes(ctx, run));
    TRY(count_cells(ctx, run, SHOWN_MAX));
    give_result(ctx, run, &run->workers[0].cells, out);
    return ERR_OK;
}

/* The same nodes as once before. */
static void know_nodes(PathRun *run, const PathResult *known)
{
    for (uint32_t k = 0; k < run->p->steps; k++) {
        run->first[k] = run->shown.count;
        for (uint32_t i = 0; k < known->step_count && i < known->steps[k].node_count; i++) {
            const PathNode *n = &known->steps[k].nodes[i];
            const int64_t value = run->p->prop == NULL ? 0 : n->value;
            if (!n->is_other)
                (void)tally_number(&run->shown, &(TallyKey){{k, n->event, value}});
        }
    }
    run->first[run->p->steps] = run->shown.count;
    place_names(run);
}

static Err run_known(Ctx *ctx, PathRun *run, const PathResult *known)
{
    know_nodes(run, known);
    return count_cells(ctx, run, SHOWN_MAX);
}

static void open_workers(PathRun *run)
{
    run->workers = calloc(crew_size(run->q->crew), sizeof *run->workers);
    CHECK(run->workers != NULL);
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++)
        run->workers[i] = (PathWorker){.run = run, .nodes = {.limit = PATH_NODES_MAX}};
}

static void close_workers(PathRun *run)
{
    close_all_cells(run);
    for (uint32_t i = 0; i < crew_size(run->q->crew); i++)
        tally_free(&run->workers[i].nodes);
    free(run->workers);
    tally_free(&run->shown);
    walk_names_free(&run->names);
}

/* `known`: of these nodes, whoever is behind the bar; or what there is. */
static Err answer(Ctx *ctx, const Query *q, PathRun *run, const PathResult *known, PathResult *out)
{
    const Path *p = run->p;
    if (p->steps == 0 || p->steps > PATH_STEPS_MAX || p->top == 0 || p->top > PATH_TOP_MAX)
        return fail(ctx, ERR_INVALID, "query.too_large", "%u steps, top %u", p->steps, p->top);
    ScanSelect selects[3] = {p->of};
    const ScanSelect *more[] = {p->anchor, p->anchor == NULL ? NULL : p->goal};
    uint32_t count = 1;
    for (; count < ARRAY_LEN(selects) && more[count - 1] != NULL; count++) {
        selects[count] = *more[count - 1];
        selects[count].from_ms = p->of.from_ms;
        selects[count].to_ms = p->of.to_ms;
    }
    run->q = q;
    run->ask = (ScanAsk){.selects = selects,
                         .select_count = count,
                         .props = p->prop,
                         .prop_count = p->prop != NULL,
                         .wants_events = true};
    run->shown = (Tally){.limit = PATH_NODES_MAX};
    const bool has_codes = walk_names(q->view, selects, run->ask.select_count, &run->names);
    run->few = has_codes && run->names.count <= WIDE_MAX && p->prop == NULL;
    run->walks = has_codes && p->prop == NULL && p->window_ms == 0 &&
                 walk_suffices(selects, run->ask.select_count, p->gap_ms);
    open_workers(run);
    const Err err = known != NULL ? run_known(ctx, run, known)
                    : run->few    ? run_names(ctx, run, out)
                                  : run_nodes(ctx, run, out);
    close_workers(run);
    return err;
}

Err query_paths(Ctx *ctx, const Query *q, const Path *p, PathResult *out)
{
    return answer(ctx, q, &(PathRun){.p = p}, NULL, out);
}

Err query_paths_people(Ctx *ctx, const Query *q, const Path *p, const PathResult *r,
                       const PathBar *bar, People *out)
{
    People people = people_with_amounts(ctx->arena, q->view);
    TRY(answer(ctx, q, &(PathRun){.p = p, .bar = bar, .people = &people}, r, NULL));
    people_count(&people);
    *out = people;
    return ERR_OK;
}
