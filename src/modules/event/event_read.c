/*
 * modules/event/event_read.c -- the fields of an event's JSON, one by one, into the builder.
 */
#include "modules/event/event_read.h"

#include "base/dto_text.h"
#include "base/hash.h"
#include "base/money.h"
#include "event.api.h"
#include "modules/person/person.h"
#include "modules/setting/setting.h"

/* ---- reading one event ------------------------------------------------------------------------------ */

/* What an event brings; texts borrow from the body. */
typedef struct Incoming {
    Event head;
    bool has_properties, has_context;
    JsonValue properties, context;
} Incoming;

static Err bad(Ctx *ctx, const char *pointer, const char *what)
{
    return fail_field(ctx, pointer, "event.invalid", "%s", what);
}

static Err text_of(Ctx *ctx, JsonValue v, const char *pointer, Str *out)
{
    const JsonFault fault = json_text(v, out);
    return fault == JSON_FAULT_NONE ? ERR_OK : bad(ctx, pointer, json_fault_text(fault));
}

/* A phone number is stored as its keyed hash. */
Err event_actor_hide(Ctx *ctx, EventActor *actor)
{
    PersonKey key;
    if (!str_eq(actor->kind, STR("phone")))
        return ERR_OK;
    TRY(person_key_phone(ctx, actor->value, &key));
    actor->value = hex_encode(ctx->arena, (Str){(const char *)key.hash, sizeof key.hash});
    return ERR_OK;
}

/* `pointer`: of the field that says who. */
static Err read_actor(Ctx *ctx, JsonValue v, const char *pointer, EventActor *out)
{
    JsonValue field, kind = v, value = v;
    bool has_kind = false, has_value = false;
    Str name;
    if (json_type(v) == JSON_NULL)
        return ERR_OK;
    for (JsonIter it = json_fields(v); json_next_field(&it, &name, &field);) {
        if (str_same(name, STR("kind"))) {
            kind = field;
            has_kind = true;
        } else if (str_same(name, STR("value"))) {
            value = field;
            has_value = true;
        }
    }
    if (!has_kind || !has_value)
        return bad(ctx, pointer, "send kind and value, or leave the actor out");
    TRY(text_of(ctx, kind, pointer, &out->kind));
    TRY(text_of(ctx, value, pointer, &out->value));
    return event_actor_hide(ctx, out);
}

static Err read_time(Ctx *ctx, JsonValue v, const char *pointer, int64_t *out)
{
    Str text;
    bool is_time = json_i64(v, out) == JSON_FAULT_NONE;
    if (json_type(v) != JSON_NUMBER) {
        TRY(text_of(ctx, v, pointer, &text));
        is_time = dto_text_time(text, out);
    }
    return is_time ? ERR_OK : bad(ctx, pointer, "send RFC 3339, or milliseconds since 1970");
}

/* What else than an event a record may be. */
static const struct {
    Str kind;
    EventKind is;
} KINDS[] = {{{"event", 5}, EVENT_HAPPENED},
             {{"attributes", 10}, EVENT_PERSON},
             {{"link", 4}, EVENT_LINK},
             {{"unlink", 6}, EVENT_UNLINK},
             {{"erase", 5}, EVENT_ERASE}};

static Err read_kind(Ctx *ctx, const EventReading *how, JsonValue v, EventKind *out)
{
    Str kind;
    TRY(text_of(ctx, v, "/kind", &kind));
    for (size_t i = 0; i < ARRAY_LEN(KINDS); i++) {
        if (!str_eq(kind, KINDS[i].kind))
            continue;
        TRY(how->may(ctx, KINDS[i].is));
        *out = KINDS[i].is;
        return ERR_OK;
    }
    return bad(ctx, "/kind", "kind is event, attributes, link, unlink or erase");
}

static Err read_field(Ctx *ctx, const EventReading *how, Str key, JsonValue v, Incoming *in)
{
    const struct {
        Str name;
        Str *into;
        const char *pointer;
    } texts[] = {{STR("id"), &in->head.id, "/id"},
                 {STR("name"), &in->head.name, "/name"},
                 {STR("store"), &in->head.store, "/store"}};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (str_same(key, texts[i].name))
            return text_of(ctx, v, texts[i].pointer, texts[i].into);
    if (str_same(key, STR("time")))
        return read_time(ctx, v, "/time", &in->head.time_ms);
    if (str_same(key, STR("actor")))
        return read_actor(ctx, v, "/actor", &in->head.actor);
    if (str_same(key, STR("other")))
        return read_actor(ctx, v, "/other", &in->head.other);
    if (str_same(key, STR("kind")))
        return read_kind(ctx, how, v, &in->head.kind);
    if (str_same(key, STR("properties"))) {
        in->properties = v;
        in->has_properties = true;
        return ERR_OK;
    }
    if (str_same(key, STR("context"))) {
        in->context = v;
        in->has_context = true;
        return ERR_OK;
    }
    return bad(ctx, "",
               "an event has id, name, time, actor, store, properties and context, or a kind");
}

/* ---- properties ------------------------------------------------------------------------------------- */

/* Decimal places of a number without zeros at the end; 0 when it has an exponent. */
static int places_of(Str token)
{
    const int64_t dot = str_index(token, '.', 0);
    if (dot < 0 || str_index(token, 'e', 0) >= 0 || str_index(token, 'E', 0) >= 0)
        return 0;
    size_t end = token.len;
    while (token.ptr[end - 1] == '0')
        end--;
    return (int)(end - (size_t)dot) - 1;
}

/* An exact decimal: as few places as hold it. */
static Err add_number(Ctx *ctx, EventBuilder *b, Str name, JsonValue v)
{
    for (int scale = places_of(json_number_token(v)); scale <= 9; scale++) {
        int64_t n = 0;
        const JsonFault fault = json_scaled(v, scale, &n);
        if (fault == JSON_FAULT_NONE) {
            event_prop_decimal(b, name, n, scale);
            return ERR_OK;
        }
        if (fault != JSON_FAULT_FRACTION)
            break;
    }
    return bad(ctx, "/properties", "a number has at most 9 decimal places and 18 digits");
}

static Err add_texts(Ctx *ctx, EventBuilder *b, Str name, JsonValue list)
{
    const size_t n = json_count(list);
    Str *texts = ARENA_ARRAY(ctx->arena, Str, n + 1);
    size_t i = 0;
    JsonValue v;
    for (JsonIter it = json_items(list); json_next_item(&it, &v); i++)
        TRY(text_of(ctx, v, "/properties", &texts[i]));
    event_prop_texts(b, name, texts, n);
    return ERR_OK;
}

/* An amount: a number or its text in the folder's currency, which may stand behind the text. */
static Err add_money(Ctx *ctx, EventBuilder *b, Str name, JsonValue v)
{
    const Settings *s = ctx->settings;
    Str text = json_number_token(v);
    Money money;
    if (json_type(v) != JSON_NUMBER)
        TRY(text_of(ctx, v, "/properties", &text));
    const Str currency = str_of(s->currency);
    const size_t digits = text.len - (str_ends_with(text, currency) ? currency.len : 0);
    if (!money_parse(str_trim(str_slice(text, 0, digits)), s->exponent, &money))
        return fail_field(ctx, "/properties", "event.invalid",
                          "an amount is in %s, with at most %d decimal places", s->currency,
                          s->exponent);
    event_prop_money(b, name, money.fen);
    return ERR_OK;
}

static Err add_time(Ctx *ctx, EventBuilder *b, Str name, JsonValue v)
{
    int64_t at_ms;
    TRY(read_time(ctx, v, "/properties", &at_ms));
    event_prop_time(b, name, at_ms);
    return ERR_OK;
}

/* What JSON itself has no type for, in the form of a rule's tree (docs/formats/rules.md). */
static const struct {
    Str key;
    Err (*add)(Ctx *ctx, EventBuilder *b, Str name, JsonValue v);
} TYPED[] = {{{"money", 5}, add_money}, {{"time", 4}, add_time}};

static Err add_typed(Ctx *ctx, EventBuilder *b, Str name, JsonValue object)
{
    JsonValue v = object;
    Str key = STR("");
    JsonIter it = json_fields(object);
    if (json_next_field(&it, &key, &v) && json_count(object) == 1)
        for (size_t i = 0; i < ARRAY_LEN(TYPED); i++)
            if (str_same(key, TYPED[i].key))
                return TYPED[i].add(ctx, b, name, v);
    return bad(ctx, "/properties",
               "an object as value is an amount, {\"money\": \"12.50\"}, or a time, {\"time\": "
               "\"2026-01-31T12:00:00Z\"}");
}

static Err add_scalar(Ctx *ctx, EventBuilder *b, Str name, JsonValue v)
{
    Str text;
    bool yes = false;
    switch (json_type(v)) {
    case JSON_STRING:
        TRY(text_of(ctx, v, "/properties", &text));
        event_prop_text(b, name, text);
        return ERR_OK;
    case JSON_NUMBER:
        return add_number(ctx, b, name, v);
    case JSON_BOOL:
        if (json_bool(v, &yes) == JSON_FAULT_NONE)
            event_prop_bool(b, name, yes);
        return ERR_OK;
    case JSON_NULL:
        return ERR_OK; /* nothing is known: the same as not sent */
    case JSON_OBJECT:
        return add_typed(ctx, b, name, v);
    case JSON_ARRAY:
        break;
    }
    return bad(ctx, "/properties", "a list of a record is not kept: send its values one by one");
}

/* A list of records: order lines and the like. */
static Err add_records(Ctx *ctx, EventBuilder *b, Str name, JsonValue list)
{
    JsonValue record, v;
    Str key;
    event_items_begin(b, name);
    for (JsonIter it = json_items(list); json_next_item(&it, &record);) {
        if (json_type(record) != JSON_OBJECT)
            return bad(ctx, "/properties", "a list holds texts only, or records only");
        event_item(b);
        for (JsonIter f = json_fields(record); json_next_field(&f, &key, &v);)
            TRY(add_scalar(ctx, b, key, v));
    }
    event_items_end(b);
    return ERR_OK;
}

static Err add_list(Ctx *ctx, EventBuilder *b, Str name, JsonValue list)
{
    JsonValue first;
    JsonIter items = json_items(list);
    const bool filled = json_next_item(&items, &first);
    return filled && json_type(first) == JSON_OBJECT ? add_records(ctx, b, name, list)
                                                     : add_texts(ctx, b, name, list);
}

/* `removes`: null is an attribute that the person has no longer; else it says nothing. */
static Err add_properties(Ctx *ctx, EventBuilder *b, JsonValue object, bool removes)
{
    JsonValue v;
    Str name;
    if (json_type(object) != JSON_OBJECT)
        return bad(ctx, "/properties", "send an object");
    for (JsonIter it = json_fields(object); json_next_field(&it, &name, &v);) {
        if (removes && json_type(v) == JSON_NULL)
            event_prop_none(b, name);
        else if (json_type(v) == JSON_ARRAY)
            TRY(add_list(ctx, b, name, v));
        else
            TRY(add_scalar(ctx, b, name, v));
    }
    return ERR_OK;
}

/* ---- one event -------------------------------------------------------------------------------------- */

Err event_read(Ctx *ctx, const EventReading *how, JsonValue v, Event *out)
{
    Incoming in = {.head = {.kind = EVENT_HAPPENED,
                            .source = how->source,
                            .time_ms = how->time_ms,
                            .received_ms = how->received_ms}};
    JsonValue field;
    Str key;
    if (json_type(v) != JSON_OBJECT)
        return bad(ctx, "", "an event is an object");
    bool is_no_text = false;
    (void)json_raw(v, &is_no_text);
    if (is_no_text) /* also a name of a property, which would come repaired */
        return fail_field(ctx, "", "event.text", "a text inside is not valid Unicode");
    for (JsonIter it = json_fields(v); json_next_field(&it, &key, &field);)
        TRY(read_field(ctx, how, key, field, &in));
    if (in.head.time_ms == EVENT_TIME_MISSING)
        return fail_field(ctx, "/time", "event.missing", "it does not say when it happened");
    EventBuilder *b = event_begin(ctx, &in.head);
    if (in.has_properties)
        TRY(add_properties(ctx, b, in.properties, in.head.kind == EVENT_PERSON));
    if (in.has_context) {
        event_context(b);
        TRY(add_properties(ctx, b, in.context, false));
    }
    return event_end(b, out);
}

Str event_refusal(const Fault *f)
{
    static const ApiContract *const CONTRACTS[] = {&EVENT_CONTRACT, NULL};
    const char *sentence = api_sentence(CONTRACTS, f->reason);
    return str_of(f->hint[0] == '\0' ? sentence : f->hint);
}

/* The names under which our own rooms speak: what they say stands for a row, and nobody else may. */
Err event_source_is_free(Ctx *ctx, Str source)
{
    static const char *const OURS[] = {"adviser", "audit",     "booking", "campaign", "catalog",
                                       "consent", "coupon",    "intake",  "job",      "journey",
                                       "message", "order",     "payment", "person",   "points",
                                       "product", "promotion", "sample",  "segment",  "setting",
                                       "staff",   "stock",     "store",   "tier",     "tongdian"};
    for (size_t i = 0; i < ARRAY_LEN(OURS); i++)
        if (str_eq(source, str_of(OURS[i])))
            return fail_field(ctx, "/source", "event.source_reserved",
                              "the source %s is the server's own: choose another name", OURS[i]);
    return ERR_OK;
}
