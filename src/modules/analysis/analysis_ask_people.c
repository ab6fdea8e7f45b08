/*
 * modules/analysis/analysis_ask_people.c -- the people behind a number: which number is meant, and they page by page.
 * Each question finds the number in its answer itself, and asks the engine for those whom it counted there.
 */
#include "modules/analysis/analysis_ask.h"
#include "modules/analysis/analysis_http.h"

/* A number must not show whom the list of people would not. */
static Err read_cursor(Ctx *ctx, Str cursor, const char *pointer, int64_t *from)
{
    int64_t unused = 0;
    const Err err = request_cursor_read(ctx, cursor, from, &unused);
    if (err != ERR_OK || *from < 0 || *from > UINT32_MAX)
        return fail_field(ctx, pointer, "request.cursor", "start again without a cursor");
    return ERR_OK;
}

Err ask_page(Ctx *ctx, int64_t limit, const Str *cursor, const char *pointer, AskPage *out)
{
    int64_t from = 0;
    TRY(principal_require(ctx, "person.read"));
    if (ctx->who->store_count > 0)
        return fail(ctx, ERR_DENIED, "auth.permission", "a page of persons, for some shops only");
    if (cursor != NULL)
        TRY(read_cursor(ctx, *cursor, pointer, &from));
    *out = (AskPage){(uint32_t)from, (uint32_t)limit};
    return ERR_OK;
}

/* What of a number is the person's; nothing of one that counts persons. */
static void give_amount(const Asking *a, const People *people, uint32_t person, AskAmount as,
                        ApiSegmentPerson *out)
{
    if (people->amounts != NULL)
        DTO_SET(out, amount, ask_decimal(a->ctx, people->amounts[person], as.scale, as.keep_zeros));
}

/* The number of persons is as of the question; who was erased since is on no page. */
void ask_give_people(const Asking *a, const People *people, const AskPage *page, AskAmount as,
                     ApiPeoplePage *out)
{
    const Schema *schema = engine_schema_lock(a->engine);
    uint32_t at = people_next(people, page->from);
    out->persons = (int64_t)people->count;
    out->items = ARENA_ARRAY(a->ctx->arena, ApiSegmentPerson, page->limit);
    for (; out->items_count < page->limit && at < people->person_count;
         at = people_next(people, at + 1)) {
        const EventActor actor = schema_actor_of(schema, at);
        if (actor.kind.len == 0) /* erased since the question looked */
            continue;
        ApiSegmentPerson *item = &out->items[out->items_count++];
        *item = (ApiSegmentPerson){.kind = actor.kind, .value = actor.value};
        give_amount(a, people, at, as, item);
    }
    engine_schema_unlock(a->engine);
    if (page->limit > 0 && at < people->person_count)
        DTO_SET(out, next, request_cursor_make(a->ctx, at, 0));
}

void ask_give_who(Asking *a, const People *people, AskAmount as)
{
    ApiPeoplePage *out = &a->answer->people;
    ask_give_people(a, people, a->page, as, out);
    a->answer->people_is = DTO_VALUE;
    if (people->amounts == NULL)
        return;
    DTO_SET(out, amount, ask_decimal(a->ctx, people->amount, as.scale, as.keep_zeros));
    DTO_SET(out, nobody, ask_decimal(a->ctx, people->nobodys, as.scale, as.keep_zeros));
}

/* ---- which number --------------------------------------------------------------------------------- */

Err ask_no_bar(Ctx *ctx, const char *pointer, const char *why)
{
    return fail_field(ctx, pointer, "query.bar", "%s", why);
}

static Err check_fields(Ctx *ctx, const ApiPeopleBar *bar, unsigned told_by)
{
    const struct {
        unsigned field;
        bool is_said;
        const char *pointer;
    } fields[] = {{BAR_LETTER, bar->letter_is == DTO_VALUE, "/people/letter"},
                  {BAR_SERIES, bar->values_count > 0, "/people/values"},
                  {BAR_SERIES, bar->other, "/people/other"},
                  {BAR_WITHOUT, bar->without, "/people/without"},
                  {BAR_UNREACHED, bar->unreached, "/people/unreached"},
                  {BAR_INTERVAL, bar->interval_is == DTO_VALUE, "/people/interval"},
                  {BAR_COLUMN, bar->column_is == DTO_VALUE, "/people/column"},
                  {BAR_STEP, bar->step_is == DTO_VALUE, "/people/step"},
                  {BAR_N, bar->n_is == DTO_VALUE, "/people/n"},
                  {BAR_OUTCOME, bar->outcome_is == DTO_VALUE, "/people/outcome"},
                  {BAR_NODES, bar->from_is == DTO_VALUE, "/people/from"},
                  {BAR_NODES, bar->to_is == DTO_VALUE, "/people/to"}};
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (fields[i].is_said && (fields[i].field & told_by) == 0)
            return ask_no_bar(ctx, fields[i].pointer, "no number of this question is told by it");
    return ERR_OK;
}

Err ask_who(Asking *a, const ApiQuery *in, unsigned told_by)
{
    const ApiPeopleBar *bar = &in->people;
    if (in->people_is != DTO_VALUE)
        return ERR_OK;
    a->who = bar;
    a->page = ARENA_NEW(a->ctx->arena, AskPage);
    TRY(ask_page(a->ctx, bar->limit, bar->cursor_is == DTO_VALUE ? &bar->cursor : NULL,
                 "/people/cursor", a->page));
    return check_fields(a->ctx, bar, told_by);
}

Err ask_place(Ctx *ctx, DtoState is, int64_t n, uint64_t count, const char *pointer, uint32_t *out)
{
    if (is != DTO_VALUE)
        return ask_no_bar(ctx, pointer, "say which, from 1");
    if (n < 1 || (uint64_t)n > count)
        return ask_no_bar(ctx, pointer, "there are fewer");
    *out = (uint32_t)n - 1;
    return ERR_OK;
}

/* ---- of which series ------------------------------------------------------------------------------- */

bool ask_names_series(const Asking *a)
{
    return a->who->other || a->who->values_count > 0;
}

static bool same_values(const ApiBreakdownValue *a, const ApiBreakdownValue *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (a[i].value_is != b[i].value_is ||
            (a[i].value_is == DTO_VALUE && !str_eq(a[i].value, b[i].value)))
            return false;
    return true;
}

static bool is_series(const Asking *a, const AskSeries *by, const QuerySeries *key)
{
    size_t count = 0;
    const ApiBreakdownValue *texts = ask_give_values(a, by, key, &count);
    return a->who->other == key->is_other && a->who->values_count == count &&
           same_values(texts, a->who->values, count);
}

Err ask_find_series(const Asking *a, const AskSeries *by, const void *series, size_t size,
                    uint32_t count, uint32_t *out)
{
    for (uint32_t i = 0; i < count; i++)
        if (is_series(a, by, (const void *)((const char *)series + i * size))) {
            *out = i;
            return ERR_OK;
        }
    return ask_no_bar(a->ctx, "/people/values", "no series of the answer has these values");
}

Err ask_outcome(const Asking *a, const ApiPeopleOutcome *has, size_t count,
                ApiPeopleOutcome otherwise, ApiPeopleOutcome *out)
{
    *out = a->who->outcome_is == DTO_VALUE ? a->who->outcome : otherwise;
    for (size_t i = 0; i < count; i++)
        if (has[i] == *out)
            return ERR_OK;
    return ask_no_bar(a->ctx, "/people/outcome", "this question has no such outcome");
}
