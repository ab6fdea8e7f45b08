/*
 * modules/analysis/analysis_testkit.c
 */
#include "modules/analysis/analysis_testkit.h"

#include "base/log.h"

#include <stdlib.h>
#include <unistd.h>

static void add_event(Shop *s, const Event *from, uint32_t person)
{
    Ctx *ctx = &s->kit.ctx;
    Event *e = ARENA_NEW(ctx->arena, Event);
    *e = *from;
    e->id = arena_i64(ctx->arena, s->count);
    e->received_ms = e->time_ms + s->count;
    if (person > 0)
        e->actor = (EventActor){STR("person"), arena_i64(ctx->arena, person)};
    Buf bytes = BUF_MAX(EVENT_BYTES_MAX + 16);
    event_encode(e, &bytes);
    (void)engine_offer(s->engine, s->count + 1, 1, buf_str(&bytes));
    buf_free(&bytes);
    s->events[s->count++] = e;
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
    for (uint32_t person = 0; person < SHOP_PEOPLE; person++) {
        RuleFacts *facts = &s->people[person];
        rule_kit_person(&s->kit, SHOP_EVENTS_MAX, 200, facts);
        facts->calendar = shop_calendar(s);
        for (size_t i = 0; i < facts->event_count; i++)
            add_event(s, facts->events[i], person);
    }
}

void shop_close(Shop *s)
{
    Str *names = NULL;
    size_t n = 0;
    engine_close(s->engine);
    CHECK(file_list(&s->kit.ctx, str_of(s->path), &names, &n) == ERR_OK);
    for (size_t i = 0; i < n; i++)
        CHECK(file_remove(&s->kit.ctx, str_of(s->path), names[i]) == ERR_OK);
    CHECK(rmdir(s->path) == 0);
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
    return names;
}
