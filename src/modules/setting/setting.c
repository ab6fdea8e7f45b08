/*
 * modules/setting/setting.c -- load and save of the folder's facts.
 */
#include "modules/setting/setting.h"

#include "base/clock.h"
#include "setting.sql.h"

#include <stdio.h>

static const struct {
    char code[4];
    int exponent;
} CURRENCIES[] = {{"CNY", 2}, {"HKD", 2}, {"MOP", 2}, {"TWD", 2}, {"SGD", 2},
                  {"MYR", 2}, {"USD", 2}, {"EUR", 2}, {"GBP", 2}, {"JPY", 0},
                  {"KRW", 0}, {"VND", 0}, {"KWD", 3}, {"BHD", 3}};

int setting_currency_exponent(Str currency)
{
    for (size_t i = 0; i < ARRAY_LEN(CURRENCIES); i++)
        if (str_eq(currency, str_of(CURRENCIES[i].code)))
            return CURRENCIES[i].exponent;
    return -1;
}

Settings setting_default(void)
{
    return (Settings){
        .currency = "CNY", .exponent = 2, .region = "CN", .offset_min = 480, .cutover_hour = 0};
}

static bool take_text(Str value, char *dst, size_t bytes)
{
    return str_to_c(value, dst, bytes);
}

/* Two capital letters. */
static bool is_region(Str s)
{
    return s.len == 2 && s.ptr[0] >= 'A' && s.ptr[0] <= 'Z' && s.ptr[1] >= 'A' && s.ptr[1] <= 'Z';
}

static bool take_int(Str value, int64_t low, int64_t high, int32_t *dst)
{
    int64_t v = 0;
    if (!str_to_i64(value, &v) || v < low || v > high)
        return false;
    *dst = (int32_t)v;
    return true;
}

static bool take(Settings *s, Str name, Str value)
{
    if (str_eq(name, STR("currency"))) {
        s->exponent = setting_currency_exponent(value);
        return s->exponent >= 0 && take_text(value, s->currency, sizeof s->currency);
    }
    if (str_eq(name, STR("region")))
        return is_region(value) && take_text(value, s->region, sizeof s->region);
    if (str_eq(name, STR("name")))
        return take_text(value, s->name, sizeof s->name);
    if (str_eq(name, STR("offset_min")))
        return take_int(value, -14 * 60, 14 * 60, &s->offset_min);
    if (str_eq(name, STR("cutover_hour")))
        return take_int(value, 0, 23, &s->cutover_hour);
    return true; /* another version's fact */
}

Err setting_load(Ctx *ctx, Settings *out)
{
    Settings s = setting_default();
    Row_setting_list *rows = NULL;
    size_t count = 0;
    TRY(sql_setting_list(ctx, &rows, &count));
    for (size_t i = 0; i < count; i++)
        if (!take(&s, rows[i].name, rows[i].value))
            return fail(ctx, ERR_INTERNAL, "setting.damaged", "%.*s", STR_ARG(rows[i].name));
    *out = s;
    return ERR_OK;
}

static Err check(Tx *tx, const Settings *in)
{
    const int exponent = setting_currency_exponent(str_of(in->currency));
    if (exponent < 0 || exponent != in->exponent)
        return fail_field(tx->ctx, "/currency", "setting.currency",
                          "give an ISO 4217 code such as CNY or USD");
    if (!is_region(str_of(in->region)))
        return fail_field(tx->ctx, "/region", "setting.region",
                          "give two capital letters such as CN");
    if (in->offset_min < -14 * 60 || in->offset_min > 14 * 60 || in->cutover_hour < 0 ||
        in->cutover_hour > 23)
        return fail_field(tx->ctx, "/offset_min", "setting.zone",
                          "the zone is -840 to 840 minutes, the cut-over hour 0 to 23");
    Row_setting_list *rows = NULL;
    size_t count = 0;
    TRY(sql_setting_list(tx->ctx, &rows, &count));
    for (size_t i = 0; i < count; i++)
        if (str_eq(rows[i].name, STR("currency")) && !str_eq(rows[i].value, str_of(in->currency)))
            return fail(tx->ctx, ERR_CONFLICT, "setting.currency_fixed", "%.*s",
                        STR_ARG(rows[i].value));
    return ERR_OK;
}

Err setting_save(Tx *tx, const Settings *in)
{
    TRY(check(tx, in));
    char offset[16], cutover[16];
    (void)snprintf(offset, sizeof offset, "%d", in->offset_min);
    (void)snprintf(cutover, sizeof cutover, "%d", in->cutover_hour);
    const struct {
        Str name, value;
    } facts[] = {{STR("currency"), str_of(in->currency)},
                 {STR("region"), str_of(in->region)},
                 {STR("name"), str_of(in->name)},
                 {STR("offset_min"), str_of(offset)},
                 {STR("cutover_hour"), str_of(cutover)}};
    for (size_t i = 0; i < ARRAY_LEN(facts); i++)
        TRY(sql_setting_put(tx, facts[i].name, facts[i].value, NULL));
    return ERR_OK;
}

int64_t setting_day(const Ctx *ctx, int64_t at_ms)
{
    const Settings *s = ctx->settings;
    CHECK(s != NULL);
    return clock_day(at_ms - (int64_t)s->cutover_hour * 3600000, s->offset_min);
}
