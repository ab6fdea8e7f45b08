/*
 * modules/intake/intake_reject_test.c -- what the rejects file shows and what it hides.
 */
#include "base/test.h"
#include "modules/intake/intake_reject.h"
#include "modules/intake/intake_testing.h"

TEST(reject_values_never_show_phones_cards_or_addresses)
{
    static const struct {
        const char *value, *want;
    } CASES[] = {
        {"13800138000", "*********00"},
        {"+86 138-0013-8000", "+** ***-****-**00"},
        {"tel 13800138000, x", "tel *********00, x"},
        {"123456", "123456"},
        {"2017-02", "2017-02"},
        {"zhang@example.com", "z***@example.com"},
        {"张三@example.com", "张***@example.com"},
        {"@x", "@x"},
        {"\xff", "(not text)"},
        {"", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        Buf out = BUF_MAX(1024);
        intake_mask_value(&out, str_of(CASES[i].value));
        buf_add_char(&out, '\0');
        char got[128];
        (void)snprintf(got, sizeof got, "%s", out.ptr);
        buf_free(&out);
        EXPECT_STREQ(got, CASES[i].want);
    }
}

TEST(reject_values_are_cut_between_characters)
{
    Buf out = BUF_MAX(1024), value = BUF_MAX(1024);
    buf_add_char(&value, 'x');
    for (int i = 0; i < 50; i++)
        buf_add(&value, STR("中"));
    intake_mask_value(&out, buf_str(&value));
    EXPECT_I64((int64_t)out.len, 79);
    CHECK(str_is_utf8(buf_str(&out)));
    buf_free(&out);
    buf_free(&value);
}

TEST(reject_file_is_csv_that_no_spreadsheet_runs)
{
    Ctx ctx = {.arena = arena_new(4096)};
    const MemoryFile f = memory_file(STR(""));
    RejectWriter *w = NULL;
    CHECK(intake_reject_open(&ctx, f.path, &w) == ERR_OK);
    const IntakeReject r = {STR("a,b.csv"), 7, STR("qty"), STR("=1+2"), "intake.x", "say \"no\""};
    CHECK(intake_reject_put(w, &ctx, &r) == ERR_OK);
    CHECK(intake_reject_close(w, &ctx) == ERR_OK);
    char got[256] = {0};
    CHECK(pread(f.fd, got, sizeof got - 1, 0) > 0);
    (void)close(f.fd);
    arena_free(ctx.arena);
    EXPECT_STREQ(got, "file,line,column,value,reason,message\n"
                      "\"a,b.csv\",7,qty,'=1+2,intake.x,\"say \"\"no\"\"\"\n");
}

TEST(reject_file_that_cannot_be_written_is_an_error)
{
    Ctx ctx = {.arena = arena_new(4096)};
    RejectWriter *w = NULL;
    EXPECT_I64(intake_reject_open(&ctx, "/nonexistent/rejects.csv", &w), ERR_BUSY);
    CHECK(intake_reject_open(&ctx, "/dev/full", &w) == ERR_OK);
    EXPECT_I64(intake_reject_close(w, &ctx), ERR_BUSY);
    EXPECT_STREQ(ctx.fault.reason, "intake.rejects_unwritable");
    arena_free(ctx.arena);
}
