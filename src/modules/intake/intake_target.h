/*
 * modules/intake/intake_target.h -- what can be imported: each target's fields, their types, and the
 * index by which a reader of rows finds them.
 *
 * Owns: the target tables.  Threads: any (constant data).
 */
#pragma once

#include "base/str.h"

typedef enum IntakeType {
    INTAKE_TEXT,
    INTAKE_I64,
    INTAKE_MONEY,  /* minor units of the map's currency */
    INTAKE_TIME,   /* UTC milliseconds */
    INTAKE_DATE,   /* local day yyyymmdd */
    INTAKE_PHONE,  /* as written; the person room normalises it */
    INTAKE_NUMBER, /* exact decimal: INTAKE_PLACES_MAX places, 18 digits */
    INTAKE_BOOL,   /* true or false, 1 or 0 */
    INTAKE_TYPE_COUNT
} IntakeType;

enum { INTAKE_PLACES_MAX = 9 };

const char *intake_type_name(IntakeType type);

typedef enum IntakeNeed {
    INTAKE_OPTIONAL,
    INTAKE_REQUIRED, /* the map must fill it and no row may leave it empty */
    INTAKE_KEY,      /* at least one key of the target must be filled, in the map and in each row */
} IntakeNeed;

typedef struct IntakeField {
    const char *name;
    IntakeType type;
    IntakeNeed need;
} IntakeField;

#define INTAKE_STORES(X)                                                                           \
    X(STORE, CODE, "code", TEXT, INTAKE_KEY)                                                       \
    X(STORE, NAME, "name", TEXT, INTAKE_OPTIONAL)                                                  \
    X(STORE, BRAND, "brand", TEXT, INTAKE_OPTIONAL)                                                \
    X(STORE, PROVINCE, "province", TEXT, INTAKE_OPTIONAL)                                          \
    X(STORE, CITY, "city", TEXT, INTAKE_OPTIONAL)                                                  \
    X(STORE, ADDRESS, "address", TEXT, INTAKE_OPTIONAL)                                            \
    X(STORE, PHONE, "phone", PHONE, INTAKE_OPTIONAL)                                               \
    X(STORE, OPENED_ON, "opened_on", DATE, INTAKE_OPTIONAL)

#define INTAKE_PRODUCTS(X)                                                                         \
    X(PRODUCT, SKU, "sku", TEXT, INTAKE_KEY)                                                       \
    X(PRODUCT, NAME, "name", TEXT, INTAKE_OPTIONAL)                                                \
    X(PRODUCT, BRAND, "brand", TEXT, INTAKE_OPTIONAL)                                              \
    X(PRODUCT, DEPARTMENT, "department", TEXT, INTAKE_OPTIONAL)                                    \
    X(PRODUCT, CATEGORY, "category", TEXT, INTAKE_OPTIONAL)                                        \
    X(PRODUCT, BARCODE, "barcode", TEXT, INTAKE_OPTIONAL)                                          \
    X(PRODUCT, PRICE, "price", MONEY, INTAKE_OPTIONAL)

#define INTAKE_PEOPLE(X)                                                                           \
    X(PERSON, CARD, "card", TEXT, INTAKE_KEY)                                                      \
    X(PERSON, PHONE, "phone", PHONE, INTAKE_KEY)                                                   \
    X(PERSON, EXTERNAL_ID, "external_id", TEXT, INTAKE_KEY)                                        \
    X(PERSON, NAME, "name", TEXT, INTAKE_OPTIONAL)                                                 \
    X(PERSON, EMAIL, "email", TEXT, INTAKE_OPTIONAL)                                               \
    X(PERSON, GENDER, "gender", TEXT, INTAKE_OPTIONAL)                                             \
    X(PERSON, BIRTHDAY, "birthday", DATE, INTAKE_OPTIONAL)                                         \
    X(PERSON, STORE, "store", TEXT, INTAKE_OPTIONAL)                                               \
    X(PERSON, ENROLLED_AT, "enrolled_at", TIME, INTAKE_OPTIONAL)

/* Without card, phone and external id an order is a walk-in sale. */
#define INTAKE_ORDERS(X)                                                                           \
    X(ORDER, NUMBER, "number", TEXT, INTAKE_KEY)                                                   \
    X(ORDER, PLACED_AT, "placed_at", TIME, INTAKE_REQUIRED)                                        \
    X(ORDER, STORE, "store", TEXT, INTAKE_OPTIONAL)                                                \
    X(ORDER, CARD, "card", TEXT, INTAKE_OPTIONAL)                                                  \
    X(ORDER, PHONE, "phone", PHONE, INTAKE_OPTIONAL)                                               \
    X(ORDER, EXTERNAL_ID, "external_id", TEXT, INTAKE_OPTIONAL)                                    \
    X(ORDER, CHANNEL, "channel", TEXT, INTAKE_OPTIONAL)

/* `sales` is what the shop receives for the line; the discounts are told beside it, none of them is
 * taken off again.  A discount may exceed the sale, and a quantity may be 0. */
#define INTAKE_ORDER_LINES(X)                                                                      \
    X(ORDER_LINE, SKU, "sku", TEXT, INTAKE_REQUIRED)                                               \
    X(ORDER_LINE, NAME, "name", TEXT, INTAKE_OPTIONAL)                                             \
    X(ORDER_LINE, QUANTITY, "quantity", I64, INTAKE_REQUIRED)                                      \
    X(ORDER_LINE, SALES, "sales", MONEY, INTAKE_REQUIRED)                                          \
    X(ORDER_LINE, RETAIL_DISCOUNT, "retail_discount", MONEY, INTAKE_OPTIONAL)                      \
    X(ORDER_LINE, COUPON_DISCOUNT, "coupon_discount", MONEY, INTAKE_OPTIONAL)                      \
    X(ORDER_LINE, COUPON_MATCH, "coupon_match", MONEY, INTAKE_OPTIONAL)                            \
    X(ORDER_LINE, COUPON_CODE, "coupon_code", TEXT, INTAKE_OPTIONAL)

#define INTAKE_CAMPAIGNS(X)                                                                        \
    X(CAMPAIGN, CODE, "code", TEXT, INTAKE_KEY)                                                    \
    X(CAMPAIGN, NAME, "name", TEXT, INTAKE_OPTIONAL)                                               \
    X(CAMPAIGN, KIND, "kind", TEXT, INTAKE_OPTIONAL)                                               \
    X(CAMPAIGN, STARTS_ON, "starts_on", DATE, INTAKE_REQUIRED)                                     \
    X(CAMPAIGN, ENDS_ON, "ends_on", DATE, INTAKE_REQUIRED)

#define INTAKE_CAMPAIGN_TARGETS(X)                                                                 \
    X(TARGETING, CAMPAIGN, "campaign", TEXT, INTAKE_REQUIRED)                                      \
    X(TARGETING, CARD, "card", TEXT, INTAKE_KEY)                                                   \
    X(TARGETING, PHONE, "phone", PHONE, INTAKE_KEY)                                                \
    X(TARGETING, EXTERNAL_ID, "external_id", TEXT, INTAKE_KEY)

#define INTAKE_COUPON_TEMPLATES(X)                                                                 \
    X(TEMPLATE, CODE, "code", TEXT, INTAKE_KEY)                                                    \
    X(TEMPLATE, CAMPAIGN, "campaign", TEXT, INTAKE_OPTIONAL)                                       \
    X(TEMPLATE, NAME, "name", TEXT, INTAKE_OPTIONAL)                                               \
    X(TEMPLATE, AMOUNT_OFF, "amount_off", MONEY, INTAKE_OPTIONAL)                                  \
    X(TEMPLATE, PERCENT_OFF, "percent_off", I64, INTAKE_OPTIONAL)                                  \
    X(TEMPLATE, VALID_FROM, "valid_from", DATE, INTAKE_OPTIONAL)                                   \
    X(TEMPLATE, VALID_TO, "valid_to", DATE, INTAKE_OPTIONAL)

#define INTAKE_TEMPLATE_SCOPE(X) X(SCOPE, SKU, "sku", TEXT, INTAKE_REQUIRED)

#define INTAKE_REDEMPTIONS(X)                                                                      \
    X(REDEMPTION, TEMPLATE, "template", TEXT, INTAKE_REQUIRED)                                     \
    X(REDEMPTION, REDEEMED_ON, "redeemed_on", DATE, INTAKE_REQUIRED)                               \
    X(REDEMPTION, REDEEMED_AT, "redeemed_at", TIME, INTAKE_OPTIONAL)                               \
    X(REDEMPTION, CAMPAIGN, "campaign", TEXT, INTAKE_OPTIONAL)                                     \
    X(REDEMPTION, CARD, "card", TEXT, INTAKE_KEY)                                                  \
    X(REDEMPTION, PHONE, "phone", PHONE, INTAKE_KEY)                                               \
    X(REDEMPTION, EXTERNAL_ID, "external_id", TEXT, INTAKE_KEY)                                    \
    X(REDEMPTION, COUPON_CODE, "coupon_code", TEXT, INTAKE_OPTIONAL)                               \
    X(REDEMPTION, STORE, "store", TEXT, INTAKE_OPTIONAL)                                           \
    X(REDEMPTION, ORDER, "order", TEXT, INTAKE_OPTIONAL)

#define INTAKE_EVENTS(X)                                                                           \
    X(EVENT, ID, "id", TEXT, INTAKE_REQUIRED)                                                      \
    X(EVENT, NAME, "name", TEXT, INTAKE_REQUIRED)                                                  \
    X(EVENT, TIME, "time", TIME, INTAKE_REQUIRED)                                                  \
    X(EVENT, ACTOR_KIND, "actor_kind", TEXT, INTAKE_OPTIONAL)                                      \
    X(EVENT, ACTOR, "actor", TEXT, INTAKE_OPTIONAL)                                                \
    X(EVENT, STORE, "store", TEXT, INTAKE_OPTIONAL)

/* INTAKE_STORE_CODE, ... : the index of a field in IntakeRow.value (or .line). */
#define X(group, id, name, type, need) INTAKE_##group##_##id,
enum { INTAKE_STORES(X) INTAKE_STORE_FIELDS };
enum { INTAKE_PRODUCTS(X) INTAKE_PRODUCT_FIELDS };
enum { INTAKE_PEOPLE(X) INTAKE_PERSON_FIELDS };
enum { INTAKE_ORDERS(X) INTAKE_ORDER_FIELDS };
enum { INTAKE_ORDER_LINES(X) INTAKE_ORDER_LINE_FIELDS };
enum { INTAKE_CAMPAIGNS(X) INTAKE_CAMPAIGN_FIELDS };
enum { INTAKE_CAMPAIGN_TARGETS(X) INTAKE_TARGETING_FIELDS };
enum { INTAKE_COUPON_TEMPLATES(X) INTAKE_TEMPLATE_FIELDS };
enum { INTAKE_TEMPLATE_SCOPE(X) INTAKE_SCOPE_FIELDS };
enum { INTAKE_REDEMPTIONS(X) INTAKE_REDEMPTION_FIELDS };
enum { INTAKE_EVENTS(X) INTAKE_EVENT_FIELDS };
#undef X

enum { INTAKE_FIELDS_MAX = 32 }; /* of any target */

typedef enum IntakeTargetId {
    INTAKE_TARGET_STORES,
    INTAKE_TARGET_PRODUCTS,
    INTAKE_TARGET_PEOPLE,
    INTAKE_TARGET_ORDERS,
    INTAKE_TARGET_CAMPAIGNS,
    INTAKE_TARGET_CAMPAIGN_TARGETS,
    INTAKE_TARGET_COUPON_TEMPLATES,
    INTAKE_TARGET_REDEMPTIONS,
    INTAKE_ROOM_TARGETS, /* those above go into rooms; `tongdian events import` takes what follows */
    INTAKE_TARGET_EVENTS = INTAKE_ROOM_TARGETS,
    INTAKE_TARGET_COUNT
} IntakeTargetId;

typedef struct IntakeTarget {
    IntakeTargetId id;
    const char *name;
    const IntakeField *field;
    size_t fields;
    const IntakeField *line; /* NULL when the target has no lines */
    size_t line_fields;
    bool attributes; /* may carry named texts of the customer's own choice */
    bool typed;      /* ... and numbers, booleans, times */
} IntakeTarget;

extern const IntakeTarget INTAKE_TARGETS[INTAKE_TARGET_COUNT];
