/*
 * modules/analysis/analysis_testkit.c
 */
#include "modules/analysis/analysis_testkit.h"

#include "base/log.h"
#include "base/test_folder.h"

#include <stdlib.h>
#include <unistd.h>

static void offer(Shop *s, const Event *e)
{
    Buf bytes = BUF_MAX(EVENT_BYTES_MAX + 16);
    event_encode(e, &bytes);
    (void)engine_offer(s->engine, engine_next_seq(s->engine), 1, buf_str(&bytes));
    buf_free(&bytes);
}

/* Comes behind all that came: among its person's events, behind those of its time. */
static void add_to_person(RuleFacts *facts, const Event *e)
{
    const Event **events = (const Event **)(uintptr_t)facts->events;
    size_t at = facts->event_count++;
    for (; at > 0 && events[at - 1]->time_ms > e->time_ms; at--)
        events[at] = events[at - 1];
    events[at] = e;
}

static void add_event(Shop *s, const Event *from, uint32_t person)
{
    Ctx *ctx = &s->kit.ctx;
    const bool is_record = from->kind == EVENT_PERSON;
    Event *e = ARENA_NEW(ctx->arena, Event);
    if (is_record && person == 0)
        return;
    *e = *from;
    e->id = is_record ? arena_printf(ctx->arena, "said-%u", s->records++)
                      : arena_i64(ctx->arena, s->count);
    e->received_ms = e->time_ms + s->count;
    if (person > 0)
        e->actor = (EventActor){STR("person"), arena_i64(ctx->arena, person)};
    offer(s, e);
    add_to_person(&s->people[person], e);
    if (!is_record)
        s->events[s->count++] = e;
}

/* As a record of the log; it does not count among the shop's events. */
static void say(Shop *s, uint32_t person, int64_t time_ms, const EventProp *props, uint32_t count)
{
    const Event e = {.kind = EVENT_PERSON,
                     .source = STR("test"),
                     .time_ms = time_ms,
                     .props = props,
                     .prop_count = count};
    add_event(s, &e, person);
}

/* What was said of somebody before, and no longer holds, and then what does. */
static void say_attributes(Shop *s, uint32_t person, const RuleFacts *before, const RuleFacts *now)
{
    const int64_t now_ms = s->kit.ctx.now_ms, hour_ms = 3600000;
    EventProp *gone = ARENA_ARRAY(s->kit.ctx.arena, EventProp, before->attribute_count + 1);
    for (uint32_t i = 0; i < before->attribute_count; i++)
        gone[i] = (EventProp){.name = before->attributes[i].name, .type = EVENT_NONE};
    say(s, person, now_ms + hour_ms, before->attributes, before->attribute_count); /* not yet */
    say(s, person, now_ms - hour_ms, now->attributes, now->attribute_count);
    say(s, person, now_ms - 3 * hour_ms, before->attributes, before->attribute_count);
    say(s, person, now_ms - 2 * hour_ms, gone, before->attribute_count);
}

enum { SAID_MAX = 4 }; /* by say_attributes() */

/* One record of three is late: it comes behind all events. */
static void open_person(Shop *s, uint32_t person)
{
    RuleFacts *facts = &s->people[person], made;
    bool late[SHOP_EVENTS_MAX] = {false};
    rule_kit_person(&s->kit, SHOP_EVENTS_MAX, 200, &made);
    *facts = made;
    facts->calendar = shop_calendar(s);
    facts->events = ARENA_ARRAY(s->kit.ctx.arena, const Event *, SHOP_EVENTS_MAX + SAID_MAX);
    facts->event_count = 0;
    for (size_t i = 0; i < made.event_count; i++) {
        late[i] = made.events[i]->kind == EVENT_PERSON && rule_kit_below(&s->kit, 3) == 0;
        if (!late[i])
            add_event(s, made.events[i], person);
    }
    for (size_t i = 0; i < made.event_count; i++)
        if (late[i])
            add_event(s, made.events[i], person);
    if (person == 0) /* nobody */
        facts->attribute_count = 0, facts->segment = NULL;
    else
        say_attributes(s, person, &s->people[person - 1], facts);
}

void shop_open(Shop *s, uint64_t seed)
{
    *s = (Shop){.path = "/tmp/analysis_test.XXXXXX", .settings = setting_default()};
    s->settings.cutover_hour = 4;
    s->zone = (RuleFixedZone){s->settings.offset_min, s->settings.cutover_hour};
    log_setup(LOG_OFF, false);
    rule_kit_open(&s->kit, seed);
    CHECK(mkdtemp(s->path) != NULL);
    const EngineOptions options = {.origin_ms = 0, .slice_rows = 256, .flush_rows = 700};
    CHECK(engine_open(&s->kit.ctx, str_of(s->path), &options, &s->engine) == ERR_OK);
    s->events = ARENA_ARRAY(s->kit.ctx.arena, const Event *, (size_t)SHOP_PEOPLE *SHOP_EVENTS_MAX);
    for (uint32_t person = 0; person < SHOP_PEOPLE; person++)
        open_person(s, person);
}

void shop_close(Shop *s)
{
    engine_close(s->engine);
    test_remove_folder(str_of(s->path));
    rule_kit_close(&s->kit);
}

RuleCalendar shop_calendar(Shop *s)
{
    return rule_calendar_fixed(&s->zone);
}

AnalysisNames shop_names(const Shop *s)
{
    const AnalysisNames names =
        analysis_names(s->kit.ctx.arena, engine_schema_lock(s->engine), &s->settings);
    engine_schema_unlock(s->engine);
    *names.cohorts = (AnalysisCohorts){.known = true, .count = KIT_SEGMENTS};
    names.cohorts->at = ARENA_ARRAY(s->kit.ctx.arena, AnalysisCohort, KIT_SEGMENTS);
    for (size_t i = 0; i < KIT_SEGMENTS; i++)
        names.cohorts->at[i] = (AnalysisCohort){.name = str_of(RULE_KIT_SEGMENTS[i].name),
                                                .rule = str_of(RULE_KIT_SEGMENTS[i].rule)};
    return names;
}

const RuleFacts *shop_person(const Shop *s, const Event *event)
{
    int64_t person = 0;
    CHECK(event_actor_is_nobody(event->actor) || str_to_i64(event->actor.value, &person));
    return &s->people[person];
}
