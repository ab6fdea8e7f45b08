/*
 * modules/setting/setting.h -- facts that hold for the whole data folder: currency, zone, region.
 *
 * Owns:     table setting.
 * Promises: the currency never changes after it was set; a Settings is never changed after it was
 *           loaded.
 * Depends:  base, db.      Threads: any.
 */
#pragma once

#include "db/db.h"

typedef struct Settings {
    char currency[4];     /* ISO 4217, e.g. "CNY" */
    int exponent;         /* minor units per unit: 10^exponent */
    char region[3];       /* default region of phone numbers, ISO 3166, e.g. "CN" */
    int32_t offset_min;   /* of the chain's civil days, minutes east of UTC */
    int32_t cutover_hour; /* a business day begins at this hour */
    char name[128];       /* of the chain */
} Settings;

/* CNY, CN, UTC+8. */
Settings setting_default(void);

/* The exponent of a currency (ISO 4217; those that standards lists), or -1 when it is not known. */
int setting_currency_exponent(Str currency);

/* Reads what is stored over the defaults. */
MUST_USE Err setting_load(Ctx *ctx, Settings *out);

/*
 * Stores every fact.  Errors: INVALID "setting.currency" (unknown), "setting.region", "setting.zone";
 * CONFLICT "setting.currency_fixed" when the folder already has another currency.
 */
MUST_USE Err setting_save(Tx *tx, const Settings *in);

/* The business day (yyyymmdd) of an instant, in the chain's zone with its cut-over hour. */
int64_t setting_day(const Ctx *ctx, int64_t at_ms);
