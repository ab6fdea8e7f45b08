/*
 * modules/coupon/coupon_code_fuzz.c -- the tokens that customers and clients hand back to us: any text as a
 * coupon's code and as a page's cursor.  What is read prints to what is read as the same again; of codes,
 * nothing is read that was not made here.
 */
#include "base/keyring.h"
#include "modules/coupon/coupon.h"
#include "request/request.h"

#include <stdlib.h>
#include <unistd.h>

static Keyring *load_keys(Arena *arena)
{
    Ctx ctx = {.arena = arena};
    Keyring *keys = NULL;
    char folder[] = "/tmp/coupon_code_fuzz_XXXXXX";
    CHECK(mkdtemp(folder) != NULL);
    const Str path = arena_printf(arena, "%s/keys", folder);
    CHECK(keyring_create(&ctx, path) == ERR_OK && keyring_load(&ctx, path, &keys) == ERR_OK);
    CHECK(unlink(path.ptr) == 0 && rmdir(folder) == 0);
    return keys;
}

static void try_code(Ctx *ctx, Str text)
{
    int64_t coupon = 0, again = 0;
    char code[COUPON_CODE_BYTES];
    if (coupon_code_read(ctx, text, &coupon) == ERR_OK) {
        CHECK(coupon_code_make(ctx, coupon, code) == ERR_OK);
        CHECK(coupon_code_read(ctx, str_of(code), &again) == ERR_OK && again == coupon);
    }
}

/* A code of ours with one character changed is read as the same coupon (0 for O, a dash) or as none. */
static void try_changed(Ctx *ctx, const uint8_t *data)
{
    int64_t again = 0;
    const int64_t coupon = 1 + (int64_t)data[0] + 256 * (int64_t)data[1];
    char code[COUPON_CODE_BYTES];
    CHECK(coupon_code_make(ctx, coupon, code) == ERR_OK);
    code[data[2] % (COUPON_CODE_BYTES - 1)] = (char)data[3];
    if (coupon_code_read(ctx, (Str){code, COUPON_CODE_BYTES - 1}, &again) == ERR_OK)
        CHECK(again == coupon);
}

static void try_cursor(Ctx *ctx, Str text)
{
    int64_t time = 0, id = 0, time_again = 0, id_again = 0;
    if (request_cursor_read(ctx, text, &time, &id) != ERR_OK)
        return;
    const Str cursor = request_cursor_make(ctx, time, id);
    CHECK(request_cursor_read(ctx, cursor, &time_again, &id_again) == ERR_OK);
    CHECK(time == time_again && id == id_again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Arena *arena;
    static Keyring *keys;
    if (arena == NULL) {
        arena = arena_new(1 << 12);
        keys = load_keys(arena);
    }
    Ctx ctx = {.arena = arena, .keys = keys};
    const Str text = {(const char *)data, size};
    try_code(&ctx, text);
    try_cursor(&ctx, text);
    if (size >= 4)
        try_changed(&ctx, data);
    arena_reset(arena);
    return 0;
}
