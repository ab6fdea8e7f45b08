/*
 * bench/events_world.c
 */
#include "events_world.h"

#include "base/rand.h"

#include <math.h>
#include <stdlib.h>

enum {
    SESSION_EVENTS = 7,     /* of a session, on average */
    SESSION_STEPS_MAX = 80, /* of a walk */
    HOUR_S = 3600,
    DAY_S = 86400,
};
#define SKEW 0.9 /* of the law of activity */
#define SHORTFALL                                                                                  \
    1.09 /* persons end before their share is used up: so much more is wanted of each */

static const Str NAMES[WORLD_NAMES] = {
    [PAGE_VIEWED] = {"Page Viewed", 11},
    [PRODUCT_VIEWED] = {"Product Viewed", 14},
    [PRODUCT_ADDED] = {"Product Added", 13},
    [CHECKOUT_STARTED] = {"Checkout Started", 16},
    [ORDER_COMPLETED] = {"Order Completed", 15},
    [COUPON_CLAIMED] = {"Coupon Claimed", 14},
    [COUPON_REDEEMED] = {"Coupon Redeemed", 15},
    [STORE_VISITED] = {"Store Visited", 13},
    [BEACON_SEEN] = {"Beacon Seen", 11},
    [APP_OPENED] = {"App Opened", 10},
    [PRODUCTS_SEARCHED] = {"Products Searched", 17},
    [PUSH_RECEIVED] = {"Push Received", 13},
    [PUSH_CLICKED] = {"Push Clicked", 12},
    [AD_CLICKED] = {"Ad Clicked", 10},
    [SMS_CLICKED] = {"SMS Clicked", 11},
    [EMAIL_OPENED] = {"Email Opened", 12},
    [EMAIL_CLICKED] = {"Email Clicked", 13},
    [CART_VIEWED] = {"Cart Viewed", 11},
    [PRODUCT_REMOVED] = {"Product Removed", 15},
    [PRODUCT_SHARED] = {"Product Shared", 14},
    [PRODUCT_WISHED] = {"Product Wished", 14},
    [PAYMENT_FAILED] = {"Payment Failed", 14},
    [ORDER_REFUNDED] = {"Order Refunded", 14},
    [PRODUCT_REVIEWED] = {"Product Reviewed", 16},
    [REGISTERED] = {"Registered", 10},
    [POINTS_EARNED] = {"Points Earned", 13},
    [ACCOUNT_FOLLOWED] = {"Account Followed", 16},
    [MINI_PROGRAM_OPENED] = {"Mini Program Opened", 19},
    [LIVE_WATCHED] = {"Live Watched", 12},
    [SURVEY_ANSWERED] = {"Survey Answered", 15},
};

enum { WEB = 1, PUSH, AD, SMS, EMAIL, MINI, SHOP };
static const Str CHANNELS[WORLD_CHANNELS] = {{"web", 3}, {"push", 4},  {"ad", 2},
                                             {"sms", 3}, {"email", 5}, {"mini-program", 12},
                                             {"shop", 4}};

Str world_name(uint32_t name)
{
    return NAMES[name];
}

Str world_channel(uint32_t channel)
{
    return CHANNELS[channel - 1];
}

/* ---- chance -------------------------------------------------------------------------------------- */

static double unit(Prng *r)
{
    return (double)(prng_u64(r) >> 11) * 0x1p-53;
}

static bool chance(Prng *r, double share)
{
    return unit(r) < share;
}

static uint32_t below(Prng *r, uint32_t n)
{
    return (uint32_t)prng_below(r, n);
}

/* From 1 to n, small ones much more often: half of the draws are in the first eighth. */
static uint16_t popular(Prng *r, uint32_t n)
{
    const double u = unit(r);
    return (uint16_t)(1 + (uint32_t)(n * u * u * u));
}

static int32_t price_fen(uint32_t product)
{
    const uint64_t mixed = (product + 1) * UINT64_C(0x9E3779B97F4A7C15);
    return 990 + (int32_t)((mixed >> 40) % 30000);
}

/* ---- a person ------------------------------------------------------------------------------------ */

typedef struct Walk {
    Prng random;
    WorldEvent *out;
    uint32_t person, count, target;
    uint32_t first_s, last_s; /* behind the world's begin */
    uint32_t coupons;
    bool is_registered;
    bool is_over; /* has as many events as it may, or time is over */
    uint16_t home_city, home_store;
    double offline; /* share of the sessions */
    /* of the session */
    uint32_t at_s;
    uint8_t channel;
    uint16_t store, product, city;
} Walk;

static bool is_of_product(WorldName name)
{
    const uint32_t names = 1U << PRODUCT_VIEWED | 1U << PRODUCT_ADDED | 1U << ORDER_COMPLETED |
                           1U << PRODUCT_REMOVED | 1U << PRODUCT_SHARED | 1U << PRODUCT_WISHED |
                           1U << ORDER_REFUNDED | 1U << PRODUCT_REVIEWED;
    return (names >> name & 1) != 0;
}

static void emit(Walk *w, WorldName name, uint32_t delay_s, int32_t amount_fen)
{
    w->at_s += delay_s;
    if (w->count > 0 && w->at_s <= w->last_s)
        w->at_s = w->last_s + 1;
    w->is_over = w->is_over || w->at_s >= WORLD_SPAN_S || w->count >= w->target;
    if (w->is_over)
        return;
    w->last_s = w->at_s;
    w->out[w->count++] = (WorldEvent){.person = w->person,
                                      .at_s = (uint32_t)WORLD_BEGIN_S + w->at_s,
                                      .amount_fen = amount_fen,
                                      .store = w->store,
                                      .product = is_of_product(name) ? w->product : 0,
                                      .city = w->city,
                                      .name = (uint8_t)name,
                                      .channel = w->channel};
}

static void buy(Walk *w, uint32_t delay_s, uint32_t most)
{
    emit(w, ORDER_COMPLETED, delay_s,
         price_fen(w->product) * (1 + (int32_t)below(&w->random, most)));
}

static void visit_shop(Walk *w)
{
    Prng *r = &w->random;
    w->channel = SHOP;
    w->store = chance(r, 0.8) ? w->home_store : (uint16_t)(1 + below(r, WORLD_STORES));
    for (uint32_t beacons = 1 + below(r, 2); beacons > 0; beacons--)
        emit(w, BEACON_SEEN, 20 + below(r, 300), 0);
    emit(w, STORE_VISITED, 10 + below(r, 60), 0);
    if (chance(r, 0.12)) {
        emit(w, COUPON_CLAIMED, 60 + below(r, 300), 0);
        w->coupons++;
    }
    w->product = popular(r, WORLD_PRODUCTS);
    if (w->coupons > 0 && chance(r, 0.5)) {
        emit(w, COUPON_REDEEMED, 200 + below(r, 900), 0);
        w->coupons--;
        buy(w, 1 + below(r, 20), 3);
    } else if (chance(r, 0.3)) {
        buy(w, 300 + below(r, 900), 3);
    }
    if (chance(r, 0.05))
        emit(w, POINTS_EARNED, 60, 0);
    if (chance(r, 0.03))
        emit(w, SURVEY_ANSWERED, 600 + below(r, 2000), 0);
}

/* How an online session begins.  False: with a message that nobody followed. */
static bool enter(Walk *w)
{
    Prng *r = &w->random;
    const double how = unit(r);
    w->channel = (uint8_t)popular(r, EMAIL);
    if (how < 0.10) {
        emit(w, PUSH_RECEIVED, 0, 0);
        if (!chance(r, 0.3))
            return false;
        w->channel = PUSH;
        emit(w, PUSH_CLICKED, 20 + below(r, 2000), 0);
    } else if (how < 0.15) {
        w->channel = AD;
        emit(w, AD_CLICKED, 0, 0);
    } else if (how < 0.17) {
        w->channel = SMS;
        emit(w, SMS_CLICKED, 0, 0);
    } else if (how < 0.22) {
        w->channel = EMAIL;
        emit(w, EMAIL_OPENED, 0, 0);
        if (!chance(r, 0.3))
            return false;
        emit(w, EMAIL_CLICKED, 15 + below(r, 100), 0);
    }
    if (!w->is_registered)
        emit(w, REGISTERED, 30, 0);
    w->is_registered = true;
    if (how > 0.5 && how < 0.75) {
        emit(w, APP_OPENED, 1, 0);
    } else if (how > 0.75 && how < 0.83) {
        w->channel = MINI;
        emit(w, MINI_PROGRAM_OPENED, 1, 0);
    }
    if (how > 0.99)
        emit(w, ACCOUNT_FOLLOWED, 10, 0);
    return true;
}

/* ---- an online session: a walk between places ---------------------------------------------------- */

typedef enum Place { PAGE, PRODUCT, CART, AWAY } Place;

static Place at_page(Walk *w)
{
    emit(w, PAGE_VIEWED, 2 + below(&w->random, 70), 0);
    const double next = unit(&w->random);
    if (next < 0.46)
        return PAGE;
    if (next < 0.53)
        emit(w, PRODUCTS_SEARCHED, 5 + below(&w->random, 20), 0);
    if (next < 0.83)
        return PRODUCT;
    if (next >= 0.875)
        return AWAY;
    if (next < 0.865) {
        emit(w, COUPON_CLAIMED, 5, 0);
        w->coupons++;
    } else {
        emit(w, LIVE_WATCHED, 10, 0);
    }
    return PAGE;
}

static Place at_product(Walk *w)
{
    w->product = popular(&w->random, WORLD_PRODUCTS);
    emit(w, PRODUCT_VIEWED, 2 + below(&w->random, 70), price_fen(w->product));
    const double next = unit(&w->random);
    if (next < 0.32)
        return PRODUCT;
    if (next < 0.60)
        return PAGE;
    if (next < 0.88)
        return CART;
    if (next < 0.895) {
        emit(w, PRODUCT_WISHED, 10, 0);
        return PRODUCT;
    }
    if (next >= 0.905)
        return AWAY;
    emit(w, PRODUCT_SHARED, 10, 0);
    return PAGE;
}

static Place check_out(Walk *w)
{
    Prng *r = &w->random;
    emit(w, CHECKOUT_STARTED, 20 + below(r, 60), 0);
    const double how = unit(r);
    if (how < 0.05)
        emit(w, PAYMENT_FAILED, 20, 0);
    if (w->coupons > 0 && how > 0.9) {
        emit(w, COUPON_REDEEMED, 20, 0);
        w->coupons--;
    }
    if (how > 0.5) {
        buy(w, 25 + below(r, 100), 4);
        if (how > 0.96)
            emit(w, ORDER_REFUNDED, HOUR_S, price_fen(w->product));
        else if (how > 0.9)
            emit(w, PRODUCT_REVIEWED, HOUR_S / 2, 0);
        return AWAY;
    }
    return how < 0.3 ? AWAY : PAGE;
}

static Place at_cart(Walk *w)
{
    emit(w, PRODUCT_ADDED, 2 + below(&w->random, 70), price_fen(w->product));
    const double look = unit(&w->random);
    if (look < 0.10)
        emit(w, CART_VIEWED, 5, 0);
    if (look > 0.95)
        emit(w, PRODUCT_REMOVED, 9, price_fen(w->product));
    const double next = unit(&w->random);
    if (next < 0.35)
        return PAGE;
    if (next < 0.55)
        return PRODUCT;
    return next < 0.92 ? check_out(w) : AWAY;
}

static void browse(Walk *w)
{
    static Place (*const places[])(Walk *) = {at_page, at_product, at_cart};
    Place place = PAGE;
    for (int step = 0; step < SESSION_STEPS_MAX && place != AWAY && !w->is_over; step++)
        place = places[place](w);
}

/* ---- all sessions -------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Some day from the person's first on, around the afternoon. */
static uint32_t session_start(Walk *w)
{
    Prng *r = &w->random;
    const uint32_t day = w->first_s / DAY_S + below(r, (WORLD_SPAN_S - w->first_s) / DAY_S);
    double hour = 10 + 4.5 * (unit(r) + unit(r) + unit(r) - 0.3);
    hour = hour < 23.9 ? hour : 23.9;
    uint32_t at_s = day * DAY_S + (uint32_t)(hour * HOUR_S);
    if (at_s < w->first_s)
        at_s += DAY_S / 2;
    if (at_s >= WORLD_SPAN_S - 2 * HOUR_S)
        at_s = WORLD_SPAN_S - 2 * HOUR_S - below(r, 80000);
    return at_s;
}

static void live(Walk *w)
{
    uint32_t starts[WORLD_PERSON_EVENTS_MAX / SESSION_EVENTS + 1];
    const uint32_t sessions = 1 + (w->target - 1) / SESSION_EVENTS;
    for (uint32_t i = 0; i < sessions; i++)
        starts[i] = session_start(w);
    qsort(starts, sessions, sizeof *starts, ascending);
    for (uint32_t i = 0; i < sessions && !w->is_over; i++) {
        Prng *r = &w->random;
        w->at_s = starts[i];
        w->store = 0;
        w->product = popular(r, WORLD_PRODUCTS);
        w->city = chance(r, 0.95) ? w->home_city : (uint16_t)(1 + below(r, WORLD_CITIES));
        if (chance(r, w->offline))
            visit_shop(w);
        else if (enter(w))
            browse(w);
    }
}

/* ---- the world ----------------------------------------------------------------------------------- */

/* Keeps the most active persons from having nearly everything. */
static double shift(const World *world)
{
    return world->persons / 1000.0;
}

World world_of(uint32_t events, uint32_t persons)
{
    World world = {.persons = persons, .events = events * SHORTFALL};
    for (uint32_t i = 0; i < persons; i++)
        world.weight += pow(i + shift(&world), -SKEW);
    return world;
}

uint32_t world_person(const World *world, uint32_t person, WorldEvent *out)
{
    Walk w = {.random = prng_of(person), .out = out, .person = person};
    /* The active ones are spread over all numbers. */
    const uint64_t rank = (person * UINT64_C(2654435761) + 97) % world->persons;
    const double wanted =
        world->events * pow((double)rank + shift(world), -SKEW) / world->weight + unit(&w.random);
    w.target = wanted < 1                         ? 1
               : wanted < WORLD_PERSON_EVENTS_MAX ? (uint32_t)wanted
                                                  : WORLD_PERSON_EVENTS_MAX;
    w.home_city = popular(&w.random, WORLD_CITIES);
    w.home_store = (uint16_t)(1 + (w.home_city * 5U + below(&w.random, 5)) % WORLD_STORES);
    w.first_s = chance(&w.random, 0.4) ? 0 : below(&w.random, WORLD_SPAN_S / 10 * 6);
    w.is_registered = w.first_s == 0;
    w.offline = unit(&w.random) * 0.35;
    live(&w);
    return w.count;
}
