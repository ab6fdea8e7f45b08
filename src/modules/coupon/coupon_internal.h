/*
 * modules/coupon/coupon_internal.h -- what the files of this room share.
 */
#pragma once

#include "modules/coupon/coupon.h"

#include "base/money.h"

/* coupon_state.redemption: of one width (6 bytes in SQLite), so that an update never moves a row. */
#define COUPON_STATE_USED   (INT64_C(1) << 44) /* + id of the redemption */
#define COUPON_STATE_UNUSED (-COUPON_STATE_USED)
#define COUPON_STATE_VOID   (-COUPON_STATE_USED + 1)

CouponStatus coupon_status(int64_t redemption, bool is_void, int64_t from_ms, int64_t to_ms,
                           int64_t now_ms);

/* Adds to the counters of the business day of `at_ms`. */
Err coupon_count(Tx *tx, int64_t template, int64_t at_ms, const CouponTotals *add);

/* An event about a coupon, into the outbox. */
typedef struct CouponHappening {
    Str name;
    Str verb; /* prefix of the event's id: "claimed-" */
    int64_t coupon;
    const CouponTemplate *template;
    int64_t person;
    int64_t redemption; /* 0 = none */
    int64_t store;      /* 0 = none */
    int64_t sale;       /* 0 = none */
    int64_t discount_fen;
    int64_t at_ms;
} CouponHappening;

Err coupon_emit(Tx *tx, const CouponHappening *h);
