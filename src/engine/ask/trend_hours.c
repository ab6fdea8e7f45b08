/*
 * engine/ask/trend_hours.c -- parts that say how many events they have in every hour: these are counted without a row,
 * and left out of the passes.
 */
#include "engine/ask/trend_inside.h"
#include "engine/part/moved.h"
#include "engine/part/part_hours.h"
#include "engine/scan/ahead.h"

/* Events are counted, one by one or by name, whatever else is in them. */
static bool may_count(const TrendRun *run)
{
    const Trend *t = run->t;
    const bool by_name = t->breakdown_count == 1 && run->in_one_pass &&
                         t->breakdown[0].prop == PROP_EVENT && t->breakdown[0].changes == NULL;
    return t->measure == TREND_EVENTS && t->items == NULL && run->select.filter == NULL &&
           (t->breakdown_count == 0 || by_name);
}

/* Which names the rest has does not matter. */
static bool takes_rest(const TrendRun *run)
{
    return run->select.events == NULL && run->t->breakdown_count == 0;
}

static bool has_rest(const Part *part)
{
    for (uint32_t i = 0; i < part->head->list_count; i++)
        if (part->lists[i].event == PART_REST)
            return true;
    return false;
}

/* No bound among its rows is within an hour. */
static bool in_hours(const BucketPlaces *p, const Part *part)
{
    for (uint32_t i = 0; i < p->last - p->first; i++)
        if ((p->bounds[i] - part->head->week_ms) % PART_HOUR_MS != 0)
            return false;
    return true;
}

/* Its hours less those of what is dead in it: of how many rows that is, is known. */
static bool knows_dead(const Moved *moved, const Part *part)
{
    return moved_known(moved, part) != NULL || !moved_behind(moved, part, part->generation);
}

static bool says_all(const TrendRun *run, uint32_t p)
{
    const ScanView *view = run->q->view;
    const Part *part = view->parts[p];
    return part_has_hours(part) && knows_dead(view->moved, part) &&
           in_hours(&run->places[p], part) && (takes_rest(run) || !has_rest(part));
}

static void count_list(TrendRun *run, const BucketPlaces *p, const Part *part,
                       const PartHours *hours, uint32_t series)
{
    const uint32_t bounds = p->last - p->first;
    trend_need_cells(&run->workers[0]);
    uint64_t *cell = run->workers[0].counts + (size_t)series * run->stride + p->first;
    uint32_t before = 0;
    for (uint32_t b = 0; b < bounds; b++) {
        const uint32_t until = part_hours_before(part, hours, p->bounds[b]);
        cell[b] += until - before;
        before = until;
    }
    cell[bounds] += hours->ends[PART_HOURS - 1] - before;
}

/* False: damaged. */
static bool count_part(TrendRun *run, uint32_t p)
{
    PartHours hours;
    Part *part = run->q->view->parts[p];
    const DeadRows *dead = moved_known(run->q->view->moved, part);
    for (uint32_t i = 0; i < part->head->list_count; i++) {
        if (!scan_select_has(&run->select, part, i))
            continue;
        if (!part_hours(part, i, &hours))
            return false;
        if (dead != NULL && dead->lists[i].hours != NULL &&
            !part_hours_without(&hours, dead->lists[i].hours)) {
            atomic_store(&part->damaged, true); /* its keys say otherwise than its hours */
            return false;
        }
        count_list(run, &run->places[p], part, &hours,
                   run->t->breakdown_count == 0 ? 0 : part->lists[i].event);
    }
    return true;
}

/* One behind the other the disk would be waited for. */
static Err read_ahead(Ctx *ctx, const TrendRun *run)
{
    for (uint32_t p = 0; p < run->q->view->part_count; p++) {
        Part *part = run->q->view->parts[p];
        if (says_all(run, p))
            TRY(ahead_of_bytes(ctx, run->q, part, part->head->hours_at,
                               part->head->list_count * sizeof(PartHours)));
    }
    return ERR_OK;
}

Err trend_count_hours(Ctx *ctx, TrendRun *run)
{
    const ScanView *all = run->q->view;
    if (!may_count(run))
        return ERR_OK;
    Part **left = ARENA_ARRAY(ctx->arena, Part *, (size_t)all->part_count + 1);
    uint32_t n = 0;
    TRY(read_ahead(ctx, run));
    for (uint32_t p = 0; p < all->part_count; p++) {
        if (!says_all(run, p)) {
            run->places[n] = run->places[p];
            left[n++] = all->parts[p];
            continue;
        }
        TRY(crew_look(ctx, run->q->until_us, run->q->stop)); /* the disk may be slow */
        if (!count_part(run, p))
            return trend_met_damage(ctx);
    }
    run->rest_view = (ScanView){.parts = left,
                                .part_count = n,
                                .person_count = all->person_count,
                                .moved = all->moved,
                                .batch_rows = all->batch_rows,
                                .person_rows_max = all->person_rows_max};
    run->rest = *run->q;
    run->rest.view = &run->rest_view;
    run->q = &run->rest;
    return ERR_OK;
}
