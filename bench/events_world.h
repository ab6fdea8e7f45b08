/*
 * bench/events_world.h -- a made-up retail chain's events: who does what, when, over 180 days.
 *
 * Persons are as active as a Zipf-like law says; each lives through sessions, online a walk between pages,
 * products and the cart, offline a visit to a shop.  What a person does depends on the seed and the
 * person's number alone, so every run makes the same events.  A person's events are at different seconds.
 *
 * Owns: nothing.  Threads: any, one Walk each.
 */
#pragma once

#include "base/str.h"

enum {
    WORLD_CHANNELS = 7,
    WORLD_STORES = 500,
    WORLD_PRODUCTS = 20000,
    WORLD_CITIES = 300,
    WORLD_DAYS = 180,
    WORLD_SPAN_S = WORLD_DAYS * 86400,
    WORLD_PERSON_EVENTS_MAX = 8192,
};
#define WORLD_BEGIN_S INT64_C(1735689600) /* 2025-01-01T00:00:00Z */

/* The numbers are what the files and the peer's queries say. */
typedef enum WorldName {
    PAGE_VIEWED,
    PRODUCT_VIEWED,
    PRODUCT_ADDED,
    CHECKOUT_STARTED,
    ORDER_COMPLETED,
    COUPON_CLAIMED,
    COUPON_REDEEMED,
    STORE_VISITED,
    BEACON_SEEN,
    APP_OPENED,
    PRODUCTS_SEARCHED,
    PUSH_RECEIVED,
    PUSH_CLICKED,
    AD_CLICKED,
    SMS_CLICKED,
    EMAIL_OPENED,
    EMAIL_CLICKED,
    CART_VIEWED,
    PRODUCT_REMOVED,
    PRODUCT_SHARED,
    PRODUCT_WISHED,
    PAYMENT_FAILED,
    ORDER_REFUNDED,
    PRODUCT_REVIEWED,
    REGISTERED,
    POINTS_EARNED,
    ACCOUNT_FOLLOWED,
    MINI_PROGRAM_OPENED,
    LIVE_WATCHED,
    SURVEY_ANSWERED,
    WORLD_NAMES,
} WorldName;

/* As it stands in the file of rows: little-endian, 20 bytes. */
typedef struct WorldEvent {
    uint32_t person;    /* from 0 */
    uint32_t at_s;      /* UTC */
    int32_t amount_fen; /* 0 = none */
    uint16_t store;     /* from 1; 0 = none */
    uint16_t product;   /* from 1; 0 = none */
    uint16_t city;      /* from 1 */
    uint8_t name;       /* WorldName */
    uint8_t channel;    /* from 1 */
} WorldEvent;
_Static_assert(sizeof(WorldEvent) == 20, "layout of the file");

typedef struct World {
    uint32_t persons;
    double events; /* wanted, about */
    double weight; /* of all persons together */
} World;

World world_of(uint32_t events, uint32_t persons);

/* The events of one person in order: at most WORLD_PERSON_EVENTS_MAX.  Gives how many. */
uint32_t world_person(const World *world, uint32_t person, WorldEvent *out);

Str world_name(uint32_t name);
Str world_channel(uint32_t channel); /* from 1 */
