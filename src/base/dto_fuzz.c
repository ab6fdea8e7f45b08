/*
 * base/dto_fuzz.c -- any bytes as a request: what is accepted prints and parses again to the same.
 */
#include "base/dto_sample.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_stable(Ctx *ctx, const Sample *sample)
{
    Buf first = BUF_MAX(1 << 20), second = BUF_MAX(1 << 20);
    Sample again;
    dto_print(&first, &SAMPLE, sample);
    CHECK(dto_parse(ctx, &SAMPLE, buf_str(&first), &again) == ERR_OK);
    dto_print(&second, &SAMPLE, &again);
    CHECK(str_eq(buf_str(&first), buf_str(&second)));
    buf_free(&first);
    buf_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const Str text = {(const char *)data, size};
    Ctx ctx = {.arena = arena_new(4096)};
    Sample sample;
    SampleLine line;
    if (dto_parse(&ctx, &SAMPLE, text, &sample) == ERR_OK)
        check_stable(&ctx, &sample);
    else
        CHECK(ctx.fault.reason != NULL);
    if (dto_parse_query(&ctx, &SAMPLE_LINE, text, &line) == ERR_OK)
        CHECK(line.sku.len > 0 && line.pieces >= SAMPLE_MONEY.min);
    arena_free(ctx.arena);
    return 0;
}
