/*
 * events/event_test.c -- the builder, the encoding and the small parts beneath the log.
 */
#include "base/rand.h"
#include "events/crc32c.h"
#include "events/events_testkit.h"
#include "events/idset.h"
#include "events/run.h"

#include <stdlib.h>

static Event head_of(Kit *k)
{
    (void)k;
    return (Event){.kind = EVENT_HAPPENED,
                   .source = STR("till"),
                   .id = STR("1"),
                   .name = STR("Order Completed"),
                   .time_ms = 1000,
                   .received_ms = 2000};
}

TEST(event_random_ones_survive_encoding_bit_for_bit)
{
    Kit k;
    kit_open(&k, 1);
    for (int i = 0; i < 2000; i++) {
        Event e, back, checked;
        size_t used = 0, checked_used = 0;
        kit_random_event(&k, arena_printf(k.ctx.arena, "e%d", i), &e);
        const Str bytes = kit_encode(&k, &e);
        EXPECT_I64(event_decode(&k.ctx, bytes, &back, &used), ERR_OK);
        EXPECT_I64((int64_t)used, (int64_t)bytes.len);
        CHECK(event_check(bytes, &checked, &checked_used) && checked_used == used);
        CHECK(str_eq(kit_encode(&k, &back), bytes));
        CHECK(back.prop_count == e.prop_count && back.time_ms == e.time_ms);
        CHECK(back.received_ms == e.received_ms && str_eq(back.actor.value, e.actor.value));
    }
    kit_close(&k);
}

TEST(event_decoding_keeps_every_type_of_value)
{
    Kit k;
    kit_open(&k, 1);
    Event head = head_of(&k), e, d;
    head.kind = EVENT_PERSON;
    head.actor = (EventActor){STR("phone"), STR("+8613800000000")};
    EventBuilder *b = event_begin(&k.ctx, &head);
    event_prop_text(b, STR("city"), STR("\xe4\xb8\x8a\xe6\xb5\xb7"));
    event_prop_i64(b, STR("visits"), INT64_MIN);
    event_prop_decimal(b, STR("kg"), -1250, 3);
    event_prop_money(b, STR("spent"), -5);
    event_prop_bool(b, STR("vip"), true);
    event_prop_time(b, STR("born"), -86400000);
    event_prop_none(b, STR("old"));
    event_items_begin(b, STR("lines"));
    event_item(b);
    event_prop_money(b, STR("amount"), 990);
    event_item(b);
    event_items_end(b);
    EXPECT_I64(event_end(b, &e), ERR_OK);
    EXPECT_I64(event_decode(&k.ctx, kit_encode(&k, &e), &d, NULL), ERR_OK);
    EXPECT_I64(d.prop_count, 8);
    CHECK(d.props[1].i64 == INT64_MIN && d.props[1].type == EVENT_NUMBER);
    CHECK(d.props[2].i64 == -1250 && d.props[2].scale == 3);
    CHECK(d.props[3].i64 == -5 && d.props[3].type == EVENT_MONEY);
    CHECK(d.props[4].i64 == 1 && d.props[5].i64 == -86400000 && d.props[6].type == EVENT_NONE);
    CHECK(d.props[7].count == 2 && d.props[7].items[0].count == 1 &&
          d.props[7].items[1].count == 0);
    EXPECT_I64(d.props[7].items[0].fields[0].i64, 990);
    kit_close(&k);
}

/* Each builds one thing that must be refused. */
static void bad_zero_byte(EventBuilder *b)
{
    event_prop_text(b, STR("a"), (Str){"x\0y", 3});
}
static void bad_utf8(EventBuilder *b)
{
    event_prop_text(b, STR("a"), STR("\xff"));
}
static void bad_surrogate(EventBuilder *b)
{
    event_prop_texts(b, STR("a"), &STR("\xed\xa0\x80"), 1);
}
static void bad_name(EventBuilder *b)
{
    event_prop_i64(b, STR(""), 1);
}
static void bad_twice(EventBuilder *b)
{
    event_prop_i64(b, STR("a"), 1);
    event_prop_i64(b, STR("a"), 2);
}
static void bad_money(EventBuilder *b)
{
    event_prop_money(b, STR("a"), INT64_MAX);
}
static void bad_scale(EventBuilder *b)
{
    event_prop_decimal(b, STR("a"), 1, 19);
}
static void bad_none(EventBuilder *b)
{
    event_prop_none(b, STR("a"));
}
static void bad_nesting(EventBuilder *b)
{
    event_items_begin(b, STR("a"));
    event_item(b);
    event_prop_texts(b, STR("b"), NULL, 0);
    event_items_end(b);
}
static void bad_open_items(EventBuilder *b)
{
    event_items_begin(b, STR("a"));
}
static void bad_long(EventBuilder *b)
{
    static char text[EVENT_TEXT_BYTES_MAX + 1];
    memset(text, 'x', sizeof text);
    event_prop_text(b, STR("a"), (Str){text, sizeof text});
}
static void bad_many(EventBuilder *b)
{
    static char names[EVENT_PROPS_MAX + 1][16];
    for (int i = 0; i <= EVENT_PROPS_MAX; i++) {
        (void)snprintf(names[i], sizeof names[i], "%03d", i);
        event_prop_i64(b, str_of(names[i]), i);
    }
}
static void bad_size(EventBuilder *b)
{
    static char text[EVENT_TEXT_BYTES_MAX];
    static char names[17][16];
    memset(text, 'x', sizeof text);
    for (int i = 0; i < 17; i++) {
        (void)snprintf(names[i], sizeof names[i], "%d", i);
        event_prop_text(b, str_of(names[i]), (Str){text, sizeof text});
    }
}

TEST(event_builder_refuses_what_must_not_be_stored_and_says_where)
{
    static const struct {
        void (*build)(EventBuilder *b);
        const char *reason, *pointer;
    } CASES[] = {
        {bad_zero_byte, "event.text", "/properties/a"},
        {bad_utf8, "event.text", "/properties/a"},
        {bad_surrogate, "event.text", "/properties/a"},
        {bad_name, "event.missing", "/properties/"},
        {bad_twice, "event.prop_twice", "/properties/a"},
        {bad_money, "event.value", "/properties/a"},
        {bad_scale, "event.value", "/properties/a"},
        {bad_none, "event.value", "/properties/a"},
        {bad_nesting, "event.value", "/properties/b"},
        {bad_open_items, "event.value", "/properties/a"},
        {bad_long, "event.length", "/properties/a"},
        {bad_many, "event.count", "/properties/256"},
        {bad_size, "event.size", ""},
    };
    Kit k;
    kit_open(&k, 1);
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        const Event head = head_of(&k);
        Event e;
        EventBuilder *b = event_begin(&k.ctx, &head);
        CASES[i].build(b);
        EXPECT_I64(event_end(b, &e), ERR_INVALID);
        EXPECT_STREQ(k.ctx.fault.reason, CASES[i].reason);
        EXPECT_STREQ(k.ctx.fault.pointer, CASES[i].pointer);
    }
    kit_close(&k);
}

TEST(event_head_is_checked_field_by_field)
{
    static const struct {
        Event change; /* merged over a good head below */
        const char *reason, *pointer;
    } CASES[] = {
        {{.kind = EVENT_GONE}, "event.value", "/kind"},
        {{.kind = EVENT_HAPPENED, .id = {"a\0", 2}}, "event.text", "/id"},
        {{.kind = EVENT_HAPPENED, .time_ms = -1}, "event.time", "/time"},
        {{.kind = EVENT_HAPPENED, .time_ms = EVENT_TIME_MS_MAX + 1}, "event.time", "/time"},
        {{.kind = EVENT_HAPPENED, .actor.kind = {"phone", 5}}, "event.actor", "/actor"},
        {{.kind = EVENT_PERSON}, "event.missing", "/actor"},
        {{.kind = EVENT_ERASE}, "event.missing", "/actor"},
        {{.kind = EVENT_LINK, .actor = {{"a", 1}, {"b", 1}}}, "event.missing", "/other"},
        {{.kind = EVENT_HAPPENED, .other = {{"a", 1}, {"b", 1}}}, "event.actor", "/other"},
    };
    Kit k;
    kit_open(&k, 1);
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        Event head = head_of(&k), e;
        const Event *c = &CASES[i].change;
        head.kind = c->kind;
        head.id = c->id.len > 0 ? c->id : head.id;
        head.time_ms = c->time_ms != 0 ? c->time_ms : head.time_ms;
        head.actor = c->actor;
        head.other = c->other;
        EXPECT_I64(event_end(event_begin(&k.ctx, &head), &e), ERR_INVALID);
        EXPECT_STREQ(k.ctx.fault.reason, CASES[i].reason);
        EXPECT_STREQ(k.ctx.fault.pointer, CASES[i].pointer);
    }
    kit_close(&k);
}

TEST(event_decoding_refuses_every_cut_and_never_reads_past_it)
{
    Kit k;
    kit_open(&k, 7);
    Event e, back;
    kit_random_event(&k, STR("cut"), &e);
    const Str bytes = kit_encode(&k, &e);
    for (size_t n = 0; n < bytes.len; n++) {
        char *exact = malloc(n + 1); /* so that a sanitizer sees one byte too many */
        CHECK(exact != NULL);
        memcpy(exact, bytes.ptr, n);
        EXPECT_I64(event_decode(&k.ctx, (Str){exact, n}, &back, NULL), ERR_INVALID);
        EXPECT_STREQ(k.ctx.fault.reason, "event.encoding");
        free(exact);
    }
    kit_close(&k);
}

static void expect_same_bytes(const Event *e, Str bytes)
{
    Buf again = BUF_MAX(EVENT_BYTES_MAX + 16);
    event_encode(e, &again);
    CHECK(str_eq(buf_str(&again), bytes));
    buf_free(&again);
}

/* The name that stands once in `bytes` becomes another one of its length. */
static Str renamed(Kit *k, Str bytes, Str from, Str to)
{
    const Str copy = arena_copy(k->ctx.arena, bytes);
    char *at = memmem(copy.ptr, copy.len, from.ptr, from.len);
    CHECK(at != NULL && from.len == to.len);
    memcpy(at, to.ptr, to.len);
    return copy;
}

TEST(event_decoding_refuses_a_name_that_stands_twice_in_one_list)
{
    static const char *const NAMES[] = {"first in properties",  "last in properties!",
                                        "first in the record",  "last in the record!",
                                        "first in the context", "last in the context!"};
    Kit k;
    kit_open(&k, 14);
    EventBuilder *b = event_begin(&k.ctx, &(Event){.kind = EVENT_HAPPENED,
                                                   .source = STR("web"),
                                                   .id = STR("1"),
                                                   .name = STR("Seen")});
    event_prop_i64(b, str_of(NAMES[0]), 1);
    event_items_begin(b, STR("lines"));
    event_item(b);
    event_prop_i64(b, str_of(NAMES[2]), 1);
    event_prop_i64(b, str_of(NAMES[3]), 1);
    event_items_end(b);
    event_prop_i64(b, str_of(NAMES[1]), 1);
    event_context(b);
    event_prop_i64(b, str_of(NAMES[4]), 1);
    event_prop_i64(b, str_of(NAMES[5]), 1);
    Event e;
    CHECK(event_end(b, &e) == ERR_OK);
    const Str bytes = kit_encode(&k, &e);
    for (size_t i = 0; i < ARRAY_LEN(NAMES); i += 2) {
        const Str first = str_of(NAMES[i]), last = str_of(NAMES[i + 1]);
        const Str twice = renamed(&k, bytes, last, first);
        CHECK(!event_check(twice, &e, NULL));
        EXPECT_I64(event_decode(&k.ctx, twice, &e, NULL), ERR_INVALID);
    }
    /* In two lists they are two properties. */
    CHECK(event_check(renamed(&k, bytes, str_of(NAMES[4]), STR("in the context first")), &e, NULL));
    kit_close(&k);
}

TEST(event_what_was_checked_is_read_once_more_to_the_same_event)
{
    Kit k;
    kit_open(&k, 11);
    for (int round = 0; round < 500; round++) {
        Event e, again;
        size_t used = 0;
        kit_random_event(&k, arena_printf(k.ctx.arena, "id %d", round), &e);
        const Str bytes = kit_encode(&k, &e);
        Buf longer = BUF_MAX(EVENT_BYTES_MAX + 16);
        buf_add(&longer, bytes);
        buf_add_char(&longer, '!'); /* it ends by itself */
        CHECK(event_decode_checked(buf_str(&longer), k.ctx.arena, &again, &used));
        CHECK(used == bytes.len);
        expect_same_bytes(&again, bytes);
        buf_free(&longer);
    }
    kit_close(&k);
}

TEST(event_reading_once_more_never_leaves_the_bytes_whatever_they_say)
{
    Kit k;
    kit_open(&k, 12);
    for (int round = 0; round < 300; round++) {
        Event e, back;
        size_t used = 0;
        kit_random_event(&k, STR("cut"), &e);
        const Str bytes = kit_encode(&k, &e);
        const size_t n = kit_below(&k, (uint32_t)bytes.len);
        char *exact = malloc(n + 1); /* so that a sanitizer sees one byte too many */
        CHECK(exact != NULL);
        memcpy(exact, bytes.ptr, n);
        CHECK(!event_decode_checked((Str){exact, n}, k.ctx.arena, &back, &used));
        free(exact);
        exact = malloc(bytes.len);
        CHECK(exact != NULL);
        memcpy(exact, bytes.ptr, bytes.len);
        exact[kit_below(&k, (uint32_t)bytes.len)] = (char)kit_below(&k, 256);
        (void)!event_decode_checked((Str){exact, bytes.len}, k.ctx.arena, &back, &used);
        free(exact);
    }
    kit_close(&k);
}

TEST(event_encoding_fits_into_a_buffer_of_exactly_its_bytes)
{
    Kit k;
    kit_open(&k, 13);
    for (int round = 0; round < 100; round++) {
        Event e;
        kit_random_event(&k, STR("exact"), &e);
        const Str bytes = kit_encode(&k, &e);
        Buf exact = BUF_MAX(bytes.len), less = BUF_MAX(bytes.len - 1);
        event_encode(&e, &exact);
        event_encode(&e, &less);
        CHECK(!exact.overflowed && str_eq(buf_str(&exact), bytes));
        CHECK(less.overflowed && less.len == 0);
        buf_free(&exact);
        buf_free(&less);
    }
    kit_close(&k);
}

TEST(crc32c_gives_the_published_values_both_ways)
{
    static const char zeros[32];
    char ones[32], up[32];
    for (int i = 0; i < 32; i++) {
        ones[i] = (char)0xff;
        up[i] = (char)i;
    }
    const struct {
        Str data;
        uint32_t want;
    } CASES[] = {{STR("123456789"), 0xe3069283}, /* RFC 3720 B.4 and the usual check value */
                 {{zeros, 32}, 0x8a9136aa},
                 {{ones, 32}, 0x62a8ab43},
                 {{up, 32}, 0x46dd794e},
                 {STR(""), 0}};
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        EXPECT_I64(crc32c_add(0, CASES[i].data), CASES[i].want);
        EXPECT_I64(crc32c_add_plain(0, CASES[i].data), CASES[i].want);
    }
    EXPECT_I64(crc32c_add(crc32c_add(0, STR("1234")), STR("56789")), 0xe3069283);
}

TEST(crc32c_gives_the_same_of_long_data_as_the_table)
{
    enum { BYTES_MAX = 50000 };
    Prng random = prng_of(40);
    char *const bytes = malloc(BYTES_MAX);
    CHECK(bytes != NULL);
    for (size_t i = 0; i < BYTES_MAX; i++)
        bytes[i] = (char)prng_below(&random, 256);
    for (int round = 0; round < 300; round++) {
        const size_t from = prng_below(&random, 64);
        const size_t len = prng_below(&random, round < 100 ? 20000 : BYTES_MAX - 64);
        const size_t cut = prng_below(&random, len + 1);
        const Str data = {bytes + from, len};
        const uint32_t before = round % 3 == 0 ? 0 : (uint32_t)prng_u64(&random);
        const uint32_t want = crc32c_add_plain(before, data);
        CHECK(crc32c_add(before, data) == want);
        CHECK(crc32c_add(crc32c_add(before, str_slice(data, 0, cut)), str_slice(data, cut, len)) ==
              want);
    }
    free(bytes);
}

TEST(siphash_gives_the_published_values)
{
    uint8_t key[SIPHASH_KEY_BYTES];
    char input[15];
    for (uint8_t i = 0; i < sizeof key; i++)
        key[i] = i;
    for (int i = 0; i < 15; i++)
        input[i] = (char)i;
    CHECK(siphash(key, (Str){input, 15}) == UINT64_C(0xa129ca6149be45e5)); /* the paper's */
    CHECK(siphash(key, STR("")) == UINT64_C(0x726fdb47dd0e0e31));
    CHECK(siphash(key, (Str){input, 8}) == UINT64_C(0x93f5f5799a932462));
}

/* The paper's description, for any numbers of rounds. */
static uint64_t siphash_of(const uint8_t *key, Str data, int rounds, int last_rounds)
{
    uint64_t k[2], v[4];
    memcpy(k, key, sizeof k);
    v[0] = k[0] ^ UINT64_C(0x736f6d6570736575), v[1] = k[1] ^ UINT64_C(0x646f72616e646f6d);
    v[2] = k[0] ^ UINT64_C(0x6c7967656e657261), v[3] = k[1] ^ UINT64_C(0x7465646279746573);
    for (size_t at = 0; at <= data.len / 8 + 1; at++) {
        const bool last = at > data.len / 8;
        uint64_t word = at == data.len / 8 ? (uint64_t)data.len << 56 : 0;
        for (size_t i = at * 8; i < data.len && i < at * 8 + 8; i++)
            word |= (uint64_t)(uint8_t)data.ptr[i] << 8 * (i - at * 8);
        v[3] ^= word;
        v[2] ^= last ? 0xff : 0;
        for (int n = 0; n < (last ? last_rounds : rounds); n++) {
            v[0] += v[1], v[1] = (v[1] << 13 | v[1] >> 51) ^ v[0], v[0] = v[0] << 32 | v[0] >> 32;
            v[2] += v[3], v[3] = (v[3] << 16 | v[3] >> 48) ^ v[2];
            v[0] += v[3], v[3] = (v[3] << 21 | v[3] >> 43) ^ v[0];
            v[2] += v[1], v[1] = (v[1] << 17 | v[1] >> 47) ^ v[2], v[2] = v[2] << 32 | v[2] >> 32;
        }
        v[0] ^= word;
    }
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

TEST(both_siphashes_are_the_papers_at_every_length)
{
    uint8_t key[SIPHASH_KEY_BYTES];
    char input[100];
    for (uint8_t i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)(7 * i);
    for (size_t i = 0; i < sizeof input; i++)
        input[i] = (char)(i * 37);
    for (size_t len = 0; len <= sizeof input; len++) {
        CHECK(siphash(key, (Str){input, len}) == siphash_of(key, (Str){input, len}, 2, 4));
        CHECK(siphash_13(key, (Str){input, len}) == siphash_of(key, (Str){input, len}, 1, 3));
    }
}

TEST(texts_that_are_hashed_beside_each_other_have_the_same_hashes)
{
    uint8_t key[SIPHASH_KEY_BYTES];
    char input[SIPHASH_LANES][8 * SIPHASH_LANE_WORDS + SIPHASH_PADDING];
    Prng r = prng_of(5);
    for (int round = 0; round < 2000; round++) {
        SiphashLanes lanes = {.count = {0}};
        Str text[SIPHASH_LANES];
        uint64_t out[SIPHASH_LANES + 1], out_13[SIPHASH_LANES + 1];
        const uint32_t n = 1 + (uint32_t)prng_below(&r, SIPHASH_LANES);
        const size_t most = round % 2 == 0 ? 8 * SIPHASH_LANE_WORDS : 20;
        for (size_t i = 0; i < sizeof key; i++)
            key[i] = (uint8_t)prng_u64(&r);
        for (uint32_t lane = 0; lane < n; lane++) {
            for (size_t i = 0; i < sizeof input[lane]; i++)
                input[lane][i] = (char)prng_u64(&r);
            text[lane] = (Str){input[lane], prng_below(&r, most)};
            CHECK(siphash_put(&lanes, lane, text[lane]));
        }
        out[n] = out_13[n] = 7;
        siphash_lanes(key, &lanes, n, out);
        siphash_lanes_13(key, &lanes, n, out_13);
        for (uint32_t lane = 0; lane < n; lane++)
            CHECK(out[lane] == siphash(key, text[lane]) &&
                  out_13[lane] == siphash_13(key, text[lane]));
        CHECK(out[n] == 7 && out_13[n] == 7);
    }
    SiphashLanes lanes;
    CHECK(!siphash_put(&lanes, 0, (Str){input[0], 8 * SIPHASH_LANE_WORDS}));
}

TEST(idset_agrees_with_a_table_of_booleans)
{
    enum { IDS = 400 };
    Kit k;
    kit_open(&k, 3);
    for (int round = 0; round < 50; round++) {
        bool has[IDS + 1] = {true};
        IdSet s;
        idset_init(&s);
        for (int step = 0; step < 300; step++) {
            const int64_t from = kit_below(&k, 10) == 0 ? 0 : 1 + kit_below(&k, IDS - 20);
            const int64_t to = from + (kit_below(&k, 8) == 0 ? kit_below(&k, 20) : 0);
            CHECK(idset_add(&s, (IdRange){from, to}));
            for (int64_t i = from; i <= to; i++)
                has[i] = true;
        }
        int64_t low = 0;
        while (low < IDS && has[low + 1])
            low++;
        EXPECT_I64(idset_low(&s), low);
        for (int64_t i = 0; i <= IDS; i++)
            CHECK(idset_has(&s, i) == has[i]);
        for (size_t i = 1; i < s.count; i++)
            CHECK(s.ranges[i].from > s.ranges[i - 1].to + 1);
        idset_clear(&s);
    }
    kit_close(&k);
}

TEST(run_begins_again_only_when_nobody_else_holds_it_and_is_empty_then)
{
    static const uint8_t KEY[SIPHASH_KEY_BYTES];
    RunColumns *c = run_columns_new(RUN_EVENTS, RUN_FRAMES);
    Run *run = run_new_open(c, 1, 1, KEY);
    run_columns_add_frame(c, 64, 0);
    run_columns_add(c, &(EventsRow){.time_ms = 4, .hash = 6, .at = 7, .name = STR("Visited")});
    run_columns_add(c, &(EventsRow){.time_ms = 5, .hash = 6, .at = 7, .name = STR("Paid")});
    run_refresh_open(run);
    (void)run_ref(run);
    CHECK(!run_begin_again(run, 1, 2));
    EXPECT_I64(run->count, 2);
    run_unref(run);
    CHECK(run_begin_again(run, 9, 10));
    EXPECT_I64((int64_t)run->segment, 9);
    EXPECT_I64((int64_t)run->first_seq, 10);
    EXPECT_I64(run->count + run->frame_count + run->name_count + run->happened, 0);
    run_columns_add(c, &(EventsRow){.time_ms = 8, .hash = 6, .at = 7, .name = STR("Paid")});
    run_refresh_open(run);
    EXPECT_I64(run->name_count, 1); /* it was the second one before */
    CHECK(str_eq(c->names[0], STR("Paid")) && c->name_id[0] == 0);
    run_unref(run);
    run = run_new_open(run_columns_new(100 * RUN_EVENTS, 1), 1, 1, KEY);
    CHECK(!run_begin_again(run, 1, 2)); /* it would keep too much */
    run_unref(run);
}

TEST(run_sort_is_stable_and_orders_by_key)
{
    enum { N = 3000 };
    static uint64_t keys[N];
    static uint32_t order[N], scratch[N];
    Kit k;
    kit_open(&k, 5);
    for (uint32_t i = 0; i < N; i++) {
        keys[i] = (uint64_t)kit_below(&k, 50) << (kit_below(&k, 2) * 40);
        order[i] = i;
    }
    run_sort(keys, N, order, scratch);
    for (uint32_t i = 1; i < N; i++) {
        const uint64_t a = keys[order[i - 1]], b = keys[order[i]];
        CHECK(a < b || (a == b && order[i - 1] < order[i]));
    }
    kit_close(&k);
}
