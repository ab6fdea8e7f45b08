/*
 * modules/intake/intake_run_room.c -- each target's rows into its room.
 */
#include "modules/intake/intake_run_internal.h"

#include "base/clock.h"
#include "base/id.h"
#include "base/money.h"
#include "intake.sql.h"
#include "modules/campaign/campaign.h"
#include "modules/catalog/catalog.h"
#include "modules/coupon/coupon.h"
#include "modules/order/order.h"
#include "modules/person/person.h"
#include "modules/store/store.h"

static const int64_t DAY_MS = INT64_C(86400000);

/* ---- values ------------------------------------------------------------------------------------------ */

/* A copy in the step's arena; empty when the cell was. */
static Str text_of(IntakeStep *s, const IntakeValue *v)
{
    return v->present ? arena_copy(s->ctx.arena, v->text) : STR("");
}

/* Midnight that begins a local day of the map. */
static int64_t day_start(const IntakeStep *s, int64_t day)
{
    return zone_to_utc(s->feed->map->zone, clock_day_start_ms((int32_t)day, 0));
}

static int64_t day_end(const IntakeStep *s, int64_t day)
{
    return zone_to_utc(s->feed->map->zone, clock_day_start_ms((int32_t)day, 0) + DAY_MS);
}

/* Ids ascend, so a thing with a larger id than `mark` was made after it. */
static IntakeOutcome outcome_of(int64_t mark, int64_t id, bool changed)
{
    if (!changed)
        return OUTCOME_UNCHANGED;
    return id > mark ? OUTCOME_ADDED : OUTCOME_CHANGED;
}

/* ---- what rows refer to -------------------------------------------------------------------------------- */

typedef struct Ref {
    int64_t id; /* 0 = not found when the row was prepared */
    Str code;
} Ref;

static Err by_code(Ctx *ctx, ThingKind kind, Str code, int64_t *id)
{
    switch (kind) {
    case THING_PRODUCT:
        return catalog_product_by_code(ctx, code, id);
    case THING_STORE:
        return store_by_code(ctx, code, id);
    case THING_CAMPAIGN:
        return campaign_by_code(ctx, code, id);
    case THING_TEMPLATE:
        return coupon_template_by_code(ctx, code, id);
    case THING_PERSON:
        break;
    }
    CHECK(false && "a thing with a code");
    return ERR_OK;
}

static Err find_ref(IntakeStep *s, ThingKind kind, Str code, Ref *out)
{
    *out = (Ref){.id = intake_cache_find(s->feed->cache, kind, code)};
    if (out->id != 0)
        return ERR_OK;
    TRY(by_code(&s->ctx, kind, code, &out->id));
    out->code = arena_copy(s->ctx.arena, code);
    if (out->id != 0)
        intake_step_learn(s, kind, out->code, out->id);
    return ERR_OK;
}

/* A reference to something that must be there, or the row is rejected. */
static Err need_ref(IntakeStep *s, ThingKind kind, int field, const IntakeValue *v,
                    const char *reason, int64_t *id)
{
    Ref ref;
    *id = 0;
    if (!v->present)
        return ERR_OK;
    s->field = field;
    TRY(find_ref(s, kind, v->text, &ref));
    if (ref.id == 0)
        return fail_field(&s->ctx, "", reason, "there is none with this code: import it first");
    s->field = -1;
    *id = ref.id;
    return ERR_OK;
}

static Err resolve_product(Tx *tx, IntakeStep *s, const Ref *ref, int64_t *id)
{
    bool made = false;
    *id = ref->id;
    if (ref->id != 0)
        return ERR_OK;
    TRY(catalog_product_put(tx, &(Product){.code = ref->code}, id, &made));
    s->made.products += made;
    intake_step_learn(s, THING_PRODUCT, ref->code, *id);
    return ERR_OK;
}

/* No code: no shop. */
static Err resolve_store(Tx *tx, IntakeStep *s, const Ref *ref, int64_t *id)
{
    bool made = false;
    *id = ref->id;
    if (ref->id != 0 || ref->code.len == 0)
        return ERR_OK;
    TRY(store_put(tx, &(Store){.code = ref->code}, id, &made));
    s->made.stores += made;
    intake_step_learn(s, THING_STORE, ref->code, *id);
    return ERR_OK;
}

/* ---- people ---------------------------------------------------------------------------------------------- */

/* Which of a row's values identify a person. */
typedef struct Identifier {
    PersonIdKind kind;
    int field;
} Identifier;

typedef struct PersonRef {
    int64_t id; /* 0 = make or find by `draft`; with neither: nobody */
    const PersonDraft *draft;
    Str cache_key;
} PersonRef;

/* The row's identifiers, canonical and hashed. */
static Err read_keys(IntakeStep *s, const IntakeValue *v, const Identifier *which, size_t n,
                     PersonKey *keys, size_t *count)
{
    *count = 0;
    for (size_t i = 0; i < n; i++) {
        if (!v[which[i].field].present)
            continue;
        s->field = which[i].field;
        TRY(person_key(&s->ctx, which[i].kind, v[which[i].field].text, &keys[*count]));
        (*count)++;
    }
    s->field = -1;
    return ERR_OK;
}

static Str key_text(IntakeStep *s, const PersonKey *k)
{
    char *bytes = arena_bytes(s->ctx.arena, 1 + CRYPTO_INDEX_BYTES);
    bytes[0] = (char)k->kind;
    memcpy(bytes + 1, k->hash, CRYPTO_INDEX_BYTES);
    return (Str){bytes, 1 + CRYPTO_INDEX_BYTES};
}

static Err find_person(IntakeStep *s, const PersonKey *keys, size_t n, int64_t *id)
{
    for (size_t i = 0; i < n; i++) {
        const Str key = key_text(s, &keys[i]);
        *id = intake_cache_find(s->feed->cache, THING_PERSON, key);
        if (*id != 0)
            return ERR_OK;
        const Err err = person_by_key(&s->ctx, &keys[i], id);
        if (err == ERR_OK)
            intake_step_learn(s, THING_PERSON, key, *id);
        if (err != ERR_NOT_FOUND)
            return err;
    }
    *id = 0;
    return ERR_OK;
}

/* The person that an order, a targeting or a redemption names. */
static Err find_person_ref(IntakeStep *s, const IntakeValue *v, const Identifier *which, size_t n,
                           PersonRef *out)
{
    PersonKey keys[PERSON_IDS_MAX];
    size_t count = 0;
    *out = (PersonRef){0};
    TRY(read_keys(s, v, which, n, keys, &count));
    TRY(find_person(s, keys, count, &out->id));
    if (out->id != 0 || count == 0)
        return ERR_OK;
    PersonDraft *draft = ARENA_NEW(s->ctx.arena, PersonDraft);
    TRY(person_prepare(&s->ctx, keys, count, STR(""), draft));
    draft->channel = STR("import");
    out->draft = draft;
    out->cache_key = key_text(s, &keys[0]);
    return ERR_OK;
}

static Err resolve_person(Tx *tx, IntakeStep *s, const PersonRef *ref, int64_t *id)
{
    bool made = false;
    *id = ref->id;
    if (ref->draft == NULL)
        return ERR_OK;
    TRY(person_enrol(tx, ref->draft, id, &made));
    s->made.people += made;
    intake_step_learn(s, THING_PERSON, ref->cache_key, *id);
    return ERR_OK;
}

typedef struct PersonRecord {
    PersonDraft draft;
    Ref store;
    PersonAttribute *attributes;
    size_t attribute_count;
} PersonRecord;

static void add_attribute(PersonRecord *r, Str name, Str value)
{
    if (value.len > 0)
        r->attributes[r->attribute_count++] = (PersonAttribute){name, value};
}

static void read_attributes(IntakeStep *s, const IntakeRow *in, PersonRecord *r)
{
    const IntakeExprs *names = &s->feed->file->attributes;
    r->attributes = ARENA_ARRAY(s->ctx.arena, PersonAttribute, names->count + 2);
    for (size_t i = 0; i < names->count; i++)
        add_attribute(r, names->expr[i].name, text_of(s, &in->attribute[i]));
    add_attribute(r, STR("gender"), text_of(s, &in->value[INTAKE_PERSON_GENDER]));
    add_attribute(r, STR("birthday"), text_of(s, &in->value[INTAKE_PERSON_BIRTHDAY]));
}

static Err prepare_person(IntakeStep *s, const IntakeRow *in, const void **record)
{
    static const Identifier IDENTIFIERS[] = {{PERSON_CARD, INTAKE_PERSON_CARD},
                                             {PERSON_PHONE, INTAKE_PERSON_PHONE},
                                             {PERSON_WECOM, INTAKE_PERSON_EXTERNAL_ID},
                                             {PERSON_EMAIL, INTAKE_PERSON_EMAIL}};
    PersonRecord *r = ARENA_NEW(s->ctx.arena, PersonRecord);
    PersonKey keys[PERSON_IDS_MAX];
    size_t n = 0;
    TRY(read_keys(s, in->value, IDENTIFIERS, ARRAY_LEN(IDENTIFIERS), keys, &n));
    s->field = INTAKE_PERSON_NAME;
    TRY(person_prepare(&s->ctx, keys, n, text_of(s, &in->value[INTAKE_PERSON_NAME]), &r->draft));
    s->field = -1;
    if (in->value[INTAKE_PERSON_STORE].present)
        TRY(find_ref(s, THING_STORE, in->value[INTAKE_PERSON_STORE].text, &r->store));
    r->draft.channel = STR("import");
    r->draft.enrolled_ms = in->value[INTAKE_PERSON_ENROLLED_AT].number;
    read_attributes(s, in, r);
    *record = r;
    return ERR_OK;
}

/* Leaves in `r` only what differs from what the person has. */
static Err keep_new_attributes(Ctx *ctx, int64_t person, PersonRecord *r, size_t *ids)
{
    Person p;
    TRY(person_find(ctx, person, &p));
    *ids = p.id_count;
    size_t kept = 0;
    for (size_t i = 0; i < r->attribute_count; i++) {
        bool same = false;
        for (size_t k = 0; k < p.attribute_count && !same; k++)
            same = str_eq(p.attributes[k].name, r->attributes[i].name) &&
                   str_eq(p.attributes[k].value, r->attributes[i].value);
        if (!same)
            r->attributes[kept++] = r->attributes[i];
    }
    r->attribute_count = kept;
    return ERR_OK;
}

/* A copy that apply may narrow down. */
static PersonRecord working_copy(Ctx *ctx, const PersonRecord *from)
{
    PersonRecord r = *from;
    r.attributes = ARENA_ARRAY(ctx->arena, PersonAttribute, r.attribute_count + 1);
    for (size_t i = 0; i < r.attribute_count; i++)
        r.attributes[i] = from->attributes[i];
    return r;
}

static Err apply_person(Tx *tx, IntakeStep *s, const void *record, IntakeOutcome *out)
{
    PersonRecord r = working_copy(tx->ctx, record);
    int64_t person = 0;
    bool created = false;
    size_t ids = 0, ids_after = 0;
    TRY(resolve_store(tx, s, &r.store, &r.draft.store));
    for (size_t i = 0; i < r.draft.key_count && person == 0; i++) {
        const Err err = person_by_key(tx->ctx, &r.draft.keys[i], &person);
        if (err != ERR_NOT_FOUND)
            TRY(err);
    }
    if (person != 0)
        TRY(keep_new_attributes(tx->ctx, person, &r, &ids));
    ids_after = ids;
    if (person == 0 || r.draft.key_count > 1) {
        TRY(person_enrol(tx, &r.draft, &person, &created));
        PersonRecord none = {0};
        if (!created)
            TRY(keep_new_attributes(tx->ctx, person, &none, &ids_after));
    }
    if (r.attribute_count > 0)
        TRY(person_set_attributes(tx, person, r.attributes, r.attribute_count));
    if (r.draft.key_count == 1) /* with several, some may be another person's */
        intake_step_learn(s, THING_PERSON, key_text(s, &r.draft.keys[0]), person);
    *out = created                                     ? OUTCOME_ADDED
           : r.attribute_count > 0 || ids_after != ids ? OUTCOME_CHANGED
                                                       : OUTCOME_UNCHANGED;
    return ERR_OK;
}

/* ---- shops and products -------------------------------------------------------------------------------- */

static Err prepare_store(IntakeStep *s, const IntakeRow *in, const void **record)
{
    Store *r = ARENA_NEW(s->ctx.arena, Store);
    *r = (Store){.code = text_of(s, &in->value[INTAKE_STORE_CODE]),
                 .name = text_of(s, &in->value[INTAKE_STORE_NAME]),
                 .phone = text_of(s, &in->value[INTAKE_STORE_PHONE]),
                 .city = text_of(s, &in->value[INTAKE_STORE_CITY]),
                 .address = text_of(s, &in->value[INTAKE_STORE_ADDRESS])};
    *record = r;
    return ERR_OK;
}

static Err apply_store(Tx *tx, IntakeStep *s, const void *record, IntakeOutcome *out)
{
    const Store *r = record;
    const int64_t mark = id_next(tx->ctx->now_ms);
    int64_t id = 0;
    bool changed = false;
    TRY(store_put(tx, r, &id, &changed));
    intake_step_learn(s, THING_STORE, r->code, id);
    *out = outcome_of(mark, id, changed);
    return ERR_OK;
}

static Err prepare_product(IntakeStep *s, const IntakeRow *in, const void **record)
{
    Product *r = ARENA_NEW(s->ctx.arena, Product);
    *r = (Product){.code = text_of(s, &in->value[INTAKE_PRODUCT_SKU]),
                   .name = text_of(s, &in->value[INTAKE_PRODUCT_NAME]),
                   .brand = text_of(s, &in->value[INTAKE_PRODUCT_BRAND]),
                   .department = text_of(s, &in->value[INTAKE_PRODUCT_DEPARTMENT]),
                   .category = text_of(s, &in->value[INTAKE_PRODUCT_CATEGORY])};
    *record = r;
    return ERR_OK;
}

static Err apply_product(Tx *tx, IntakeStep *s, const void *record, IntakeOutcome *out)
{
    const Product *r = record;
    const int64_t mark = id_next(tx->ctx->now_ms);
    int64_t id = 0;
    bool changed = false;
    TRY(catalog_product_put(tx, r, &id, &changed));
    intake_step_learn(s, THING_PRODUCT, r->code, id);
    *out = outcome_of(mark, id, changed);
    return ERR_OK;
}

/* ---- orders ---------------------------------------------------------------------------------------------- */

typedef struct OrderRecord {
    Order order;
    PersonRef person;
    Ref store;
    Ref *products; /* of the lines */
} OrderRecord;

static bool read_line(const IntakeValue *v, OrderLine *out)
{
    *out = (OrderLine){.quantity = v[INTAKE_ORDER_LINE_QUANTITY].number,
                       .net_fen = v[INTAKE_ORDER_LINE_SALES].number,
                       .retail_discount_fen = v[INTAKE_ORDER_LINE_RETAIL_DISCOUNT].number,
                       .coupon_discount_fen = v[INTAKE_ORDER_LINE_COUPON_DISCOUNT].number,
                       .match_discount_fen = v[INTAKE_ORDER_LINE_COUPON_MATCH].number};
    const int64_t amounts[] = {out->net_fen, out->retail_discount_fen, out->coupon_discount_fen,
                               out->match_discount_fen};
    bool fits = true; /* so that the order's sums are amounts too */
    for (size_t i = 0; i < ARRAY_LEN(amounts); i++)
        fits = fits && amounts[i] <= MONEY_FEN_MAX / ORDER_LINES_MAX &&
               amounts[i] >= -MONEY_FEN_MAX / ORDER_LINES_MAX;
    return fits;
}

static Err read_lines(IntakeStep *s, const IntakeRow *in, OrderRecord *r)
{
    int64_t pieces = 0;
    if (in->lines > ORDER_LINES_MAX)
        return fail_field(&s->ctx, "", "intake.order_too_large", "an order has at most %d lines",
                          ORDER_LINES_MAX);
    r->order.line_count = in->lines;
    r->order.lines = ARENA_ARRAY(s->ctx.arena, OrderLine, in->lines + 1);
    r->products = ARENA_ARRAY(s->ctx.arena, Ref, in->lines + 1);
    for (size_t i = 0; i < in->lines; i++) {
        const IntakeValue *v = in->line + i * INTAKE_ORDER_LINE_FIELDS;
        if (!read_line(v, &r->order.lines[i]))
            return fail_field(&s->ctx, "", "intake.out_of_range",
                              "line %zu: an amount is too large", i + 1);
        if (__builtin_add_overflow(pieces, r->order.lines[i].quantity, &pieces))
            return fail_field(&s->ctx, "", "intake.out_of_range", "too many pieces");
        TRY(find_ref(s, THING_PRODUCT, v[INTAKE_ORDER_LINE_SKU].text, &r->products[i]));
    }
    r->order.kind = pieces < 0 ? ORDER_RETURN : ORDER_SALE;
    return ERR_OK;
}

static Err check_length(IntakeStep *s, int field, Str text, size_t max)
{
    s->field = field;
    if (text.len > max)
        return fail_field(&s->ctx, "", "intake.out_of_range", "at most %zu bytes", max);
    s->field = -1;
    return ERR_OK;
}

static Err prepare_order(IntakeStep *s, const IntakeRow *in, const void **record)
{
    static const Identifier IDENTIFIERS[] = {{PERSON_CARD, INTAKE_ORDER_CARD},
                                             {PERSON_PHONE, INTAKE_ORDER_PHONE},
                                             {PERSON_WECOM, INTAKE_ORDER_EXTERNAL_ID}};
    OrderRecord *r = ARENA_NEW(s->ctx.arena, OrderRecord);
    r->order = (Order){.number = text_of(s, &in->value[INTAKE_ORDER_NUMBER]),
                       .till = text_of(s, &in->value[INTAKE_ORDER_CHANNEL]),
                       .at_ms = in->value[INTAKE_ORDER_PLACED_AT].number};
    TRY(check_length(s, INTAKE_ORDER_NUMBER, r->order.number, ORDER_NUMBER_BYTES_MAX));
    TRY(check_length(s, INTAKE_ORDER_CHANNEL, r->order.till, ORDER_TILL_BYTES_MAX));
    if (in->value[INTAKE_ORDER_STORE].present)
        TRY(find_ref(s, THING_STORE, in->value[INTAKE_ORDER_STORE].text, &r->store));
    TRY(find_person_ref(s, in->value, IDENTIFIERS, ARRAY_LEN(IDENTIFIERS), &r->person));
    TRY(read_lines(s, in, r));
    *record = r;
    return ERR_OK;
}

static Err apply_order(Tx *tx, IntakeStep *s, const void *record, IntakeOutcome *out)
{
    const OrderRecord *r = record;
    Order o = r->order;
    o.lines = ARENA_ARRAY(tx->ctx->arena, OrderLine, o.line_count + 1);
    TRY(resolve_store(tx, s, &r->store, &o.store));
    TRY(resolve_person(tx, s, &r->person, &o.person));
    for (size_t i = 0; i < o.line_count; i++) {
        o.lines[i] = r->order.lines[i];
        TRY(resolve_product(tx, s, &r->products[i], &o.lines[i].product));
    }
    bool stored = false;
    TRY(order_import(tx, &o, &stored));
    *out = stored ? OUTCOME_ADDED : OUTCOME_UNCHANGED;
    return ERR_OK;
}

/* ---- campaigns and their targets ------------------------------------------------------------------------- */

static Err prepare_campaign(IntakeStep *s, const IntakeRow *in, const void **record)
{
    Campaign *r = ARENA_NEW(s->ctx.arena, Campaign);
    *r = (Campaign){.code = text_of(s, &in->value[INTAKE_CAMPAIGN_CODE]),
                    .name = text_of(s, &in->value[INTAKE_CAMPAIGN_NAME]),
                    .kind = text_of(s, &in->value[INTAKE_CAMPAIGN_KIND]),
                    .start_ms = day_start(s, in->value[INTAKE_CAMPAIGN_STARTS_ON].number),
                    .end_ms = day_end(s, in->value[INTAKE_CAMPAIGN_ENDS_ON].number)};
    *record = r;
    return ERR_OK;
}

static Err apply_campaign(Tx *tx, IntakeStep *s, const void *record, IntakeOutcome *out)
{
    const Campaign *r = record;
    const int64_t mark = id_next(tx->ctx->now_ms);
    int64_t id = 0;
    bool changed = false;
    TRY(campaign_put(tx, r, &id, &changed));
    intake_step_learn(s, THING_CAMPAIGN, r->code, id);
    *out = outcome_of(mark, id, changed);
    return ERR_OK;
}

typedef struct TargetingRecord {
    int64_t campaign;
    PersonRef person;
} TargetingRecord;

static Err prepare_targeting(IntakeStep *s, const IntakeRow *in, const void **record)
{
    static const Identifier IDENTIFIERS[] = {{PERSON_CARD, INTAKE_TARGETING_CARD},
                                             {PERSON_PHONE, INTAKE_TARGETING_PHONE},
                                             {PERSON_WECOM, INTAKE_TARGETING_EXTERNAL_ID}};
    TargetingRecord *r = ARENA_NEW(s->ctx.arena, TargetingRecord);
    TRY(need_ref(s, THING_CAMPAIGN, INTAKE_TARGETING_CAMPAIGN,
                 &in->value[INTAKE_TARGETING_CAMPAIGN], "intake.campaign_unknown", &r->campaign));
    TRY(find_person_ref(s, in->value, IDENTIFIERS, ARRAY_LEN(IDENTIFIERS), &r->person));
    *record = r;
    return ERR_OK;
}

static Err apply_targeting(Tx *tx, IntakeStep *s, const void *record, IntakeOutcome *out)
{
    const TargetingRecord *r = record;
    int64_t person = 0;
    bool added = false;
    TRY(resolve_person(tx, s, &r->person, &person));
    TRY(campaign_target_add(tx, r->campaign, person, &added));
    *out = added ? OUTCOME_ADDED : OUTCOME_UNCHANGED;
    return ERR_OK;
}

/* ---- coupons --------------------------------------------------------------------------------------------- */

typedef struct TemplateRecord {
    CouponTemplate template;
    Ref *products;
    size_t product_count;
} TemplateRecord;

/* Given days, or else the campaign's; what is past is not claimable, so the claim window is the same. */
static Err template_window(IntakeStep *s, const IntakeRow *in, CouponTemplate *t)
{
    const IntakeValue *from = &in->value[INTAKE_TEMPLATE_VALID_FROM];
    const IntakeValue *to = &in->value[INTAKE_TEMPLATE_VALID_TO];
    Campaign c = {0};
    if (t->campaign != 0)
        TRY(campaign_find(&s->ctx, t->campaign, &c));
    else if (!from->present || !to->present)
        return fail_field(&s->ctx, "", "intake.no_window",
                          "give valid_from and valid_to, or a campaign");
    t->valid_from_ms = from->present ? day_start(s, from->number) : c.start_ms;
    t->valid_to_ms = to->present ? day_end(s, to->number) : c.end_ms;
    t->claim_from_ms = t->valid_from_ms;
    t->claim_to_ms = t->valid_to_ms;
    return ERR_OK;
}

static Err template_value(IntakeStep *s, const IntakeRow *in, CouponTemplate *t)
{
    const IntakeValue *percent = &in->value[INTAKE_TEMPLATE_PERCENT_OFF];
    t->kind = percent->present ? COUPON_PERCENT : COUPON_AMOUNT;
    t->amount_fen = in->value[INTAKE_TEMPLATE_AMOUNT_OFF].number;
    if (!percent->present)
        return ERR_OK;
    s->field = INTAKE_TEMPLATE_PERCENT_OFF;
    if (percent->number < 1 || percent->number > 100)
        return fail_field(&s->ctx, "", "intake.out_of_range", "1 to 100 percent");
    s->field = -1;
    t->rate_bps = percent->number * 100;
    return ERR_OK;
}

static Err prepare_template(IntakeStep *s, const IntakeRow *in, const void **record)
{
    TemplateRecord *r = ARENA_NEW(s->ctx.arena, TemplateRecord);
    CouponTemplate *t = &r->template;
    t->code = text_of(s, &in->value[INTAKE_TEMPLATE_CODE]);
    t->name = text_of(s, &in->value[INTAKE_TEMPLATE_NAME]);
    if (t->name.len == 0)
        t->name = t->code;
    TRY(need_ref(s, THING_CAMPAIGN, INTAKE_TEMPLATE_CAMPAIGN, &in->value[INTAKE_TEMPLATE_CAMPAIGN],
                 "intake.campaign_unknown", &t->campaign));
    TRY(template_window(s, in, t));
    TRY(template_value(s, in, t));
    t->by_product = in->lines > 0;
    r->product_count = in->lines;
    r->products = ARENA_ARRAY(s->ctx.arena, Ref, in->lines + 1);
    for (size_t i = 0; i < in->lines; i++)
        TRY(find_ref(s, THING_PRODUCT, in->line[i * INTAKE_SCOPE_FIELDS + INTAKE_SCOPE_SKU].text,
                     &r->products[i]));
    *record = r;
    return ERR_OK;
}

/* A template that is there keeps what it is; products that it lacks are added to its scope. */
static Err apply_template(Tx *tx, IntakeStep *s, const void *record, IntakeOutcome *out)
{
    const TemplateRecord *r = record;
    int64_t id = 0, before = 0, after = 0;
    TRY(coupon_template_by_code(tx->ctx, r->template.code, &id));
    const bool known = id != 0;
    if (!known)
        TRY(coupon_template_import(tx, &r->template, &id));
    else
        TRY(coupon_template_scope_size(tx->ctx, id, &before));
    for (size_t i = 0; i < r->product_count; i++) {
        int64_t product = 0;
        TRY(resolve_product(tx, s, &r->products[i], &product));
        TRY(coupon_template_scope_product(tx, id, product));
    }
    if (known)
        TRY(coupon_template_scope_size(tx->ctx, id, &after));
    intake_step_learn(s, THING_TEMPLATE, r->template.code, id);
    *out = !known ? OUTCOME_ADDED : after != before ? OUTCOME_CHANGED : OUTCOME_UNCHANGED;
    return ERR_OK;
}

typedef struct RedemptionRecord {
    int64_t template;
    PersonRef person;
    Ref store;
    int64_t at_ms;
} RedemptionRecord;

static Err prepare_redemption(IntakeStep *s, const IntakeRow *in, const void **record)
{
    static const Identifier IDENTIFIERS[] = {{PERSON_CARD, INTAKE_REDEMPTION_CARD},
                                             {PERSON_PHONE, INTAKE_REDEMPTION_PHONE},
                                             {PERSON_WECOM, INTAKE_REDEMPTION_EXTERNAL_ID}};
    RedemptionRecord *r = ARENA_NEW(s->ctx.arena, RedemptionRecord);
    const IntakeValue *at = &in->value[INTAKE_REDEMPTION_REDEEMED_AT];
    TRY(need_ref(s, THING_TEMPLATE, INTAKE_REDEMPTION_TEMPLATE,
                 &in->value[INTAKE_REDEMPTION_TEMPLATE], "intake.template_unknown", &r->template));
    TRY(find_person_ref(s, in->value, IDENTIFIERS, ARRAY_LEN(IDENTIFIERS), &r->person));
    if (in->value[INTAKE_REDEMPTION_STORE].present)
        TRY(find_ref(s, THING_STORE, in->value[INTAKE_REDEMPTION_STORE].text, &r->store));
    r->at_ms =
        at->present ? at->number : day_start(s, in->value[INTAKE_REDEMPTION_REDEEMED_ON].number);
    *record = r;
    return ERR_OK;
}

/* When the coupon was given is not told: when it became valid, at the latest when it was used. */
static Err apply_redemption(Tx *tx, IntakeStep *s, const void *record, IntakeOutcome *out)
{
    const RedemptionRecord *r = record;
    int64_t person = 0, is_new = 0;
    TRY(resolve_person(tx, s, &r->person, &person));
    TRY(sql_intake_redemption_insert(tx, r->template, person, r->at_ms, &is_new));
    *out = is_new != 0 ? OUTCOME_ADDED : OUTCOME_UNCHANGED;
    if (is_new == 0)
        return ERR_OK;
    CouponTemplate t;
    Coupon c;
    CouponRedemption redemption = {.at_ms = r->at_ms};
    TRY(resolve_store(tx, s, &r->store, &redemption.store));
    TRY(coupon_template_find(tx->ctx, r->template, &t));
    const int64_t issued_ms = t.valid_from_ms < r->at_ms ? t.valid_from_ms : r->at_ms;
    TRY(coupon_issue_past(tx, &t, person, issued_ms, &c));
    return coupon_redeem(tx, &c, &redemption);
}

const IntakeFeeder INTAKE_FEEDERS[INTAKE_ROOM_TARGETS] = {
    [INTAKE_TARGET_STORES] = {prepare_store, apply_store},
    [INTAKE_TARGET_PRODUCTS] = {prepare_product, apply_product},
    [INTAKE_TARGET_PEOPLE] = {prepare_person, apply_person},
    [INTAKE_TARGET_ORDERS] = {prepare_order, apply_order},
    [INTAKE_TARGET_CAMPAIGNS] = {prepare_campaign, apply_campaign},
    [INTAKE_TARGET_CAMPAIGN_TARGETS] = {prepare_targeting, apply_targeting},
    [INTAKE_TARGET_COUPON_TEMPLATES] = {prepare_template, apply_template},
    [INTAKE_TARGET_REDEMPTIONS] = {prepare_redemption, apply_redemption},
};
