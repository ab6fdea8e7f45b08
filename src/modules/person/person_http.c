/*
 * modules/person/person_http.c -- the doors of person.api.yaml.
 */
#include "modules/person/person_http.h"

#include "base/log.h"
#include "modules/store/store.h"
#include "person.api.h"
#include "request/request_limit.h"

/* Searches per minute: of who looks for the person before them, and of who looks at everybody anyway. */
enum { SEARCHES_PER_MINUTE = 30, SEARCHES_PER_MINUTE_ALL = 120 };

/* ---- views --------------------------------------------------------------------------------------- */

static ApiPersonView view_of(Ctx *ctx, const Person *p)
{
    ApiPersonView v = {
        .id = p->id,
        .name = p->name,
        .phone = p->phone,
        .card = p->card,
        .channel = p->channel,
        .enrolled_at = p->enrolled_ms,
        .identifiers = ARENA_ARRAY(ctx->arena, ApiPersonIdentifierView, p->id_count + 1),
        .identifiers_count = p->id_count,
        .attributes = ARENA_ARRAY(ctx->arena, ApiPersonAttributeView, p->attribute_count + 1),
        .attributes_count = p->attribute_count};
    if (p->store != 0)
        DTO_SET(&v, store, p->store);
    for (size_t i = 0; i < p->id_count; i++)
        v.identifiers[i] = (ApiPersonIdentifierView){
            .kind = (ApiPersonIdentifierKind)(p->ids[i].kind - PERSON_PHONE),
            .value = p->ids[i].masked,
            .at = p->ids[i].created_ms};
    for (size_t i = 0; i < p->attribute_count; i++)
        v.attributes[i] = (ApiPersonAttributeView){.name = p->attributes[i].name,
                                                   .value = p->attributes[i].value};
    return v;
}
_Static_assert(PERSON_EMAIL - PERSON_PHONE == (int)API_PERSON_IDENTIFIER_KIND_EMAIL,
               "the contract names the kinds in the same order");

/* ---- list, search, get ------------------------------------------------------------------------------ */

static Err list(Work *work, Call *call)
{
    Ctx *ctx = work->ctx;
    const ApiPersonListQuery *q = call->query;
    ApiPersonPage *out = call->reply;
    int64_t before_ms = INT64_MAX, before_id = INT64_MAX;
    if (ctx->who->store_count > 0) /* everybody is more than they may see: they search */
        return fail(ctx, ERR_DENIED, "person.list_scoped", "principal %" PRId64, ctx->who->id);
    if (q->cursor_is == DTO_VALUE)
        TRY(request_cursor_read(ctx, q->cursor, &before_ms, &before_id));
    Person *people = NULL;
    TRY(person_page(ctx, before_ms, before_id, q->limit, &people, &out->items_count));
    out->items = ARENA_ARRAY(ctx->arena, ApiPersonView, out->items_count + 1);
    for (size_t i = 0; i < out->items_count; i++)
        out->items[i] = view_of(ctx, &people[i]);
    if (out->items_count == (size_t)q->limit) {
        const Person *last = &people[out->items_count - 1];
        DTO_SET(out, next, request_cursor_make(ctx, last->enrolled_ms, last->id));
    }
    return ERR_OK;
}

/* Searching is a write so that it is audited: whoever tries out numbers leaves a trace. */
static Err search_prepare(Ctx *ctx, Call *call)
{
    const ApiPersonSearch *q = call->body;
    const bool all = principal_may(ctx->who, "insight.read");
    TRY(request_limit(ctx, "person.search", all ? SEARCHES_PER_MINUTE_ALL : SEARCHES_PER_MINUTE));
    ApiPersonFound *out = ARENA_NEW(ctx->arena, ApiPersonFound);
    Person *people = NULL;
    TRY(person_search(ctx, q->q, q->limit, &people, &out->items_count));
    out->items = ARENA_ARRAY(ctx->arena, ApiPersonView, out->items_count + 1);
    for (size_t i = 0; i < out->items_count; i++)
        out->items[i] = view_of(ctx, &people[i]);
    call->audit_detail = str_of(person_search_kind(ctx, q->q));
    call->state = out;
    return ERR_OK;
}

static Err search_apply(Tx *tx, Call *call)
{
    (void)tx;
    *(ApiPersonFound *)call->reply = *(const ApiPersonFound *)call->state;
    return ERR_OK;
}

static Err get(Ctx *ctx, Call *call)
{
    const ApiPersonGetPath *path = call->params;
    Person p;
    TRY(person_find(ctx, path->id, &p));
    *(ApiPersonView *)call->reply = view_of(ctx, &p);
    return ERR_OK;
}

/* ---- enrol ------------------------------------------------------------------------------------------ */

Err person_http_draft(Ctx *ctx, const PersonWanted *w, PersonDraft *out)
{
    PersonKey keys[2];
    size_t n = 0;
    if (w->phone.ptr != NULL)
        TRY(person_key_phone(ctx, w->phone, &keys[n++]));
    if (w->card.ptr != NULL)
        TRY(person_key(ctx, PERSON_CARD, w->card, &keys[n++]));
    if (n == 0)
        return fail_field(ctx, "", "person.identifier", "send a phone, a card, or both");
    TRY(person_prepare(ctx, keys, n, w->name.ptr == NULL ? STR("") : w->name, out));
    out->store = w->store;
    out->channel = w->channel;
    return ERR_OK;
}

static Str opt(DtoState is, Str value)
{
    return is == DTO_VALUE ? value : (Str){NULL, 0};
}

static Err enrol_prepare(Ctx *ctx, Call *call)
{
    const ApiPersonEnrol *in = call->body;
    const Principal *who = ctx->who;
    PersonDraft *draft = ARENA_NEW(ctx->arena, PersonDraft);
    int64_t at = who->store_count == 1 ? who->stores[0] : 0; /* unless the body names one */
    if (in->store_is == DTO_VALUE) {
        Store store;
        at = in->store;
        TRY(principal_require_store(ctx, at));
        TRY(store_find(ctx, at, &store));
    }
    TRY(person_http_draft(ctx,
                          &(PersonWanted){.phone = opt(in->phone_is, in->phone),
                                          .card = opt(in->card_is, in->card),
                                          .name = opt(in->name_is, in->name),
                                          .store = at,
                                          .channel = in->channel},
                          draft));
    call->state = draft;
    return ERR_OK;
}

static Err enrol_apply(Tx *tx, Call *call)
{
    ApiPersonEnrolled *out = call->reply;
    bool added = false;
    TRY(person_enrol_told(tx, call->state, &out->id, &out->created, &added));
    call->object = out->id;
    call->audit_detail = added ? STR("identifier added") : STR("");
    return ERR_OK;
}

/* ---- reveal ----------------------------------------------------------------------------------------- */

static Err reveal_apply(Tx *tx, Call *call)
{
    const ApiPersonRevealPath *path = call->params;
    const ApiPersonReveal *in = call->body;
    ApiPersonRevealed *out = call->reply;
    TRY(person_reveal_phone(tx->ctx, path->id, &out->phone));
    call->object = path->id;
    call->audit_detail = log_mask(tx->ctx->arena, in->reason);
    return ERR_OK;
}

const Door PERSON_DOORS[] = {
    {.operation = &API_OP_PERSON_LIST, .work = list},
    {.operation = &API_OP_PERSON_SEARCH, .prepare = search_prepare, .apply = search_apply},
    {.operation = &API_OP_PERSON_GET, .peek = get},
    {.operation = &API_OP_PERSON_ENROL, .prepare = enrol_prepare, .apply = enrol_apply},
    {.operation = &API_OP_PERSON_REVEAL, .apply = reveal_apply},
    {.operation = &API_OP_PERSON_TIMELINE, .work = person_timeline},
    {.operation = &API_OP_PERSON_ACTOR_TIMELINE, .work = person_actor_timeline},
    {0}};
