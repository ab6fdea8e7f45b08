/*
 * modules/analysis/analysis_people_test.c -- pages of persons, while persons are erased.
 */
#include "modules/analysis/analysis_ask.h"
#include "modules/analysis/analysis_testkit.h"
#include "request/request.h"

static void erase(Shop *s, int64_t person)
{
    const Event e = {.kind = EVENT_ERASE,
                     .source = STR("test"),
                     .id = STR("erase"),
                     .time_ms = s->kit.ctx.now_ms,
                     .received_ms = s->kit.ctx.now_ms,
                     .actor = {STR("person"), arena_i64(s->kit.ctx.arena, person)}};
    Buf bytes = BUF_MAX(EVENT_BYTES_MAX + 16);
    event_encode(&e, &bytes);
    (void)engine_offer(s->engine, engine_next_seq(s->engine), 1, buf_str(&bytes));
    buf_free(&bytes);
    engine_view_done(engine_view(s->engine)); /* it holds from now on */
}

TEST(who_is_erased_between_the_question_and_its_page_is_left_out_of_it)
{
    enum { LIMIT = 7 };
    Shop s;
    shop_open(&s, 83);
    Ctx *ctx = &s.kit.ctx;
    ScanView *view = engine_view(s.engine);
    People everybody = people_none(ctx->arena, view);
    for (uint32_t person = PART_BLOCK_PERSONS; person < view->person_count; person++)
        people_add(&everybody, person);
    people_count(&everybody);
    erase(&s, 5);
    const Asking a = {.ctx = ctx, .engine = s.engine};
    uint64_t seen = 0;
    AskPage page = {0, LIMIT};
    for (bool more = true; more;) {
        ApiPeoplePage out = {0};
        ask_give_people(&a, &everybody, &page, ASK_COUNTS, &out);
        EXPECT_I64(out.persons, (int64_t)everybody.count);
        for (size_t i = 0; i < out.items_count; i++) {
            EXPECT_STREQ(out.items[i].kind.ptr, "person");
            CHECK(!str_eq(out.items[i].value, STR("5")));
        }
        more = out.next_is == DTO_VALUE;
        CHECK(out.items_count == LIMIT || !more);
        seen += out.items_count;
        int64_t from = 0, unused = 0;
        if (more)
            CHECK(request_cursor_read(ctx, out.next, &from, &unused) == ERR_OK);
        page.from = (uint32_t)from;
    }
    EXPECT_I64((int64_t)seen, (int64_t)everybody.count - 1);
    engine_view_done(view);
    shop_close(&s);
}
