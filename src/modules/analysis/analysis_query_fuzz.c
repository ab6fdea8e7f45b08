/*
 * modules/analysis/analysis_query_fuzz.c -- any bytes as the body of POST /v1/query: what the contract refuses is refused
 * with the place, what is a question is asked of a small shop, and its answer is printed by the contract.
 *
 * Inputs grow from a question of each kind; the mutator puts other words, numbers and rules into them.
 */
#include "modules/analysis/analysis_http.h"
#include "modules/analysis/analysis_testkit.h"

#include "analysis.api.h"
#include "base/clock.h"
#include "cohort.sql.h"
#include "db/db_migrate.h"
#include "modules/cohort/cohort.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);
void __sanitizer_malloc_hook(const volatile void *at, size_t size);

enum {
    ALLOCATION_MAX = 512 << 20, /* of one question, at once: series times cells of percentiles */
    REPLY_MAX = 8 << 20,
    PATIENCE_US = 10000000, /* sanitizers are slow */
};

void __sanitizer_malloc_hook(const volatile void *at, size_t size)
{
    (void)at;
    if (size > ALLOCATION_MAX)
        abort();
}

/* ---- questions -------------------------------------------------------------------------------------- */

#define RANGE "\"from\":\"2025-07-01\",\"to\":\"2026-01-31\""
#define ORDER "\"of\":\"\\\"Order Completed\\\" where total > 5.00 CNY\""

static const char *const QUESTIONS[] = {
    "{\"trend\":{" ORDER "," RANGE
    ",\"by\":\"week\",\"breakdown\":[\"channel\",\"status\"],\"top\":3}}",
    "{\"trend\":{\"series\":[{" ORDER "},{\"of\":\"\\\"Store Visited\\\"\",\"measure\":\"average\","
    "\"number\":\"visit_minutes\"},{" ORDER ",\"measure\":\"percentile\",\"percentile_bps\":9000,"
    "\"number\":\"total\",\"per\":\"person\"}]," RANGE ",\"formula\":\"A / (B + 1) - C * 2\"}}",
    "{\"trend\":{" ORDER "," RANGE ",\"by\":\"all\",\"measure\":\"sum\",\"number\":\"items.price\","
    "\"records\":\"any(items, qty > 1)\",\"breakdown\":[\"items.sku\"]}}",
    "{\"trend\":{\"of\":\"any event\"," RANGE ",\"by\":\"month\",\"measure\":\"persons_so_far\","
    "\"breakdown\":[\"event\"]},\"zone\":\"America/New_York\",\"cut_over\":\"04:30\","
    "\"from_time\":\"9\",\"to_time\":\"10:30\",\"week_start\":\"sunday\"}",
    "{\"funnel\":{\"steps\":[{\"of\":\"\\\"Page Viewed\\\"\"},{\"of\":\"\\\"Store Visited\\\"\"},{" ORDER
    "}]," RANGE
    ",\"window_s\":864000,\"order\":\"sequential\",\"entry\":\"best\",\"times\":true,\"grace_ms\":5,"
    "\"exclude\":[{\"of\":\"\\\"Page Viewed\\\" where context.page == \\\"/\\\"\",\"from_step\":1,\"to_step\":2}],"
    "\"breakdown\":[\"channel\"],\"attribution\":\"last_known\",\"by\":\"month\",\"top\":2},"
    "\"people\":{\"step\":2,\"outcome\":\"dropped\",\"limit\":5,\"interval\":1}}",
    "{\"funnel\":{\"steps\":[{\"of\":\"any event\"},{\"of\":\"any event\"}]," RANGE
    ",\"order\":\"strict\",\"entry\":\"all\",\"hold_constant\":[\"channel\"],\"exclude_by\":\"person\"}}",
    "{\"funnel\":{\"steps\":[{\"of\":\"any event\"},{\"of\":\"any event\"},{\"of\":\"any event\"}]," RANGE
    ",\"entry\":\"nearest\",\"hold_constant\":[\"channel\"],\"hold_steps\":[1,3],\"window_sessions\":3,"
    "\"gap_s\":60,\"max_s\":600}}",
    "{\"retention\":{\"start\":\"any event\",\"returns\":\"\\\"Order Completed\\\"\"," RANGE
    ",\"by\":\"week\",\"cohort\":\"first\",\"comes\":\"bracket\",\"brackets\":[{\"first\":1,\"last\":3}],"
    "\"zero\":true,\"rolling\":true,\"follow\":5,\"number\":\"total\",\"breakdown\":[\"channel\"],"
    "\"same_value\":true}}",
    "{\"stickiness\":{\"of\":\"any event\"," RANGE ",\"by\":\"week\",\"breakdown\":[\"event\"]}}",
    "{\"lifecycle\":{\"of\":\"any event\"," RANGE ",\"by\":\"month\",\"look_back\":2}}",
    "{\"segment\":{\"of\":\"did(\\\"Order Completed\\\", within 90d) and not did(\\\"Store Visited\\\")\",\"limit\":7}}",
    "{\"paths\":{\"start\":\"\\\"Page Viewed\\\"\"," RANGE ",\"steps\":4,\"top\":2,\"gap_s\":86400,"
    "\"count\":\"persons\",\"property\":\"context.page\",\"direction\":\"forward\",\"collapse\":false}}",
    "{\"paths\":{" RANGE ",\"start\":\"\\\"Page Viewed\\\"\",\"end\":\"\\\"Order Completed\\\"\","
    "\"window_s\":864000,\"gap_s\":864000}}",
    "{\"funnel\":{\"steps\":[{" ORDER
    "},{\"of\":\"any event\",\"optional\":true},{\"of\":\"any event\"}]," RANGE
    ",\"order\":\"any_after_first\",\"entry\":\"first_ever\",\"by\":\"quarter\"},"
    "\"people\":{\"step\":2,\"without\":true}}",
    "{\"transitions\":{" RANGE ",\"gap_s\":864000,\"collapse\":true,\"top\":5}}",
    "{\"sessions\":{" RANGE
    ",\"by\":\"month\",\"gap_s\":3600,\"max_s\":7200,\"breakdown\":[\"channel\"],\"median\":true,\"names\":5}}",
    "{\"touch\":{\"conversion\":\"\\\"Order Completed\\\"\",\"touch\":\"\\\"Page Viewed\\\"\",\"breakdown\":"
    "[\"context.page\"]," RANGE
    ",\"look_back_s\":8640000,\"model\":\"u_shaped\",\"number\":\"total\"}}",
    "{\"touch\":{" RANGE
    ",\"conversion\":\"any event\",\"touch\":\"any event\",\"breakdown\":[\"event\"],"
    "\"model\":\"time_decay\",\"half_life_s\":86400,\"count\":\"last\",\"look_back_s\":8640000}}",
};

/* What may stand in another's place. */
static const char *const WORDS[] = {
    "\"channel\"",
    "\"total\"",
    "\"weight\"",
    "\"tags\"",
    "\"items\"",
    "\"items.qty\"",
    "\"items.price\"",
    "\"event\"",
    "\"store\"",
    "\"source\"",
    "\"context.device\"",
    "\"paid_at\"",
    "\"gift\"",
    "\"nothing\"",
    "\"all\"",
    "\"minute\"",
    "\"hour\"",
    "\"day\"",
    "\"quarter\"",
    "\"year\"",
    "\"any\"",
    "\"strict\"",
    "\"first\"",
    "\"last\"",
    "\"first_ever\"",
    "\"streak\"",
    "\"on_or_after\"",
    "\"persons\"",
    "\"distinct\"",
    "\"median\"",
    "\"min\"",
    "\"step\"",
    "\"linear\"",
    "\"participation\"",
    "true",
    "false",
    "null",
    "[]",
    "{}",
    "0",
    "1",
    "2",
    "20",
    "256",
    "400",
    "3155760000",
    "-1",
    "1e3",
    "9223372036854775807",
    "\"1970-01-01\"",
    "\"2100-12-31\"",
    "\"2026-01-31\"",
    "\"9999-12-31\"",
    "\"Asia/Shanghai\"",
    "\"-11:30\"",
    "\"any event\"",
    "\"\\\"Order Completed\\\"\"",
    "\"any(items, price * qty > 2.00 CNY)\"",
    "\"A + B\"",
    "\"eyJ\"",
    "\"\\ud800\"",
    "\"\\u0000\"",
};

/* The bytes of a JSON word that begins at `at`. */
static size_t word_end(const uint8_t *data, size_t size, size_t at)
{
    size_t end = at + 1;
    if (data[at] == '"') {
        while (end < size && data[end] != '"')
            end += data[end] == '\\' ? 2 : 1;
        return end < size ? end + 1 : size;
    }
    while (end < size && strchr(",]}", data[end]) == NULL)
        end++;
    return end;
}

/* Puts `text` in the place of [from, to). */
static size_t put(uint8_t *data, size_t size, size_t max, size_t from, size_t to, Str text)
{
    if (size - (to - from) + text.len > max)
        return size;
    memmove(data + from + text.len, data + to, size - to);
    memcpy(data + from, text.ptr, text.len);
    return size - (to - from) + text.len;
}

/* A value of the input becomes another word, or a rule. */
static size_t change_value(Prng *r, uint8_t *data, size_t size, size_t max, RuleKit *rules)
{
    const size_t start = prng_below(r, size);
    size_t at = start;
    while (at < size && data[at] != ':' && data[at] != '[' && data[at] != ',')
        at++;
    if (at + 1 >= size)
        return size;
    const size_t end = word_end(data, size, at + 1);
    if (prng_below(r, 3) > 0)
        return put(data, size, max, at + 1, end, str_of(WORDS[prng_below(r, ARRAY_LEN(WORDS))]));
    Buf text = BUF_MAX(RULE_BYTES_MAX * 4), json = BUF_MAX(RULE_BYTES_MAX * 16);
    JsonOut out = json_out(&json);
    rules->random = prng_of(prng_u64(r));
    rule_kit_random(rules, prng_below(r, 3) == 0 ? RULE_SCOPE_PERSON : RULE_SCOPE_STEP, &text);
    json_out_text(&out, buf_str(&text));
    if (!json.overflowed)
        size = put(data, size, max, at + 1, end, buf_str(&json));
    buf_free(&text);
    buf_free(&json);
    return size;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    static RuleKit rules;
    Prng r = prng_of(seed);
    if (rules.ctx.arena == NULL)
        rule_kit_open(&rules, 1);
    if (size < 3 || data[0] != '{' || prng_below(&r, 32) == 0) {
        const Str question = str_of(QUESTIONS[prng_below(&r, ARRAY_LEN(QUESTIONS))]);
        if (question.len > max)
            return size;
        memcpy(data, question.ptr, question.len);
        size = question.len;
    }
    for (uint64_t n = 1 + prng_below(&r, 3); n > 0; n--)
        size = prng_below(&r, 6) == 0 ? LLVMFuzzerMutate(data, size, max)
                                      : change_value(&r, data, size, max, &rules);
    arena_reset(rules.ctx.arena);
    return size;
}

/* ---- asking ----------------------------------------------------------------------------------------- */

/* With one of the room's or the contract's codes, and in words that a reply can hold. */
static void check_refusal(const Ctx *ctx)
{
    static const Str ROOMS[] = {{"query.", 6}, {"request.", 8}, {"json.", 5}, {"auth.", 5}};
    const Str reason = str_of(ctx->fault.reason);
    bool known = false;
    for (size_t i = 0; i < ARRAY_LEN(ROOMS); i++)
        known = known || str_starts_with(reason, ROOMS[i]);
    if (!known || ctx->fault.code == ERR_INTERNAL) {
        fprintf(stderr, "refused with %s: %s\n", ctx->fault.reason, ctx->fault.detail);
        abort();
    }
    Buf told = BUF_MAX(4096);
    JsonOut out = json_out(&told);
    JsonValue root;
    json_out_array(&out);
    json_out_text(&out, str_of(ctx->fault.hint));
    json_out_text(&out, str_of(ctx->fault.pointer));
    json_out_end(&out);
    Ctx reader = {.arena = ctx->arena};
    CHECK(!told.overflowed && str_is_utf8(buf_str(&told)) &&
          json_open(&reader, buf_str(&told), &root) == ERR_OK);
    buf_free(&told);
}

static void check_answer(Ctx *ctx, const ApiOperation *op, const void *reply)
{
    Buf text = BUF_MAX(REPLY_MAX);
    JsonValue root;
    dto_print(&text, op->reply, reply);
    CHECK(!text.overflowed);
    CHECK(json_open(ctx, buf_str(&text), &root) == ERR_OK && json_type(root) == JSON_OBJECT);
    buf_free(&text);
}

/* A shop, and the cohorts that rules of the kit name. */
static struct {
    Shop shop;
    char folder[64];
    Database *database;
    Db *reader;
} world = {.folder = "/tmp/query_fuzz.XXXXXX"};

static void close_world(void)
{
    static const char *const FILES[] = {"t.db", "t.db-wal", "t.db-shm"};
    database_reader_give(world.database, world.reader);
    database_close(world.database);
    for (size_t i = 0; i < ARRAY_LEN(FILES); i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%s", world.folder, FILES[i]);
        (void)unlink(path);
    }
    CHECK(rmdir(world.folder) == 0);
    shop_close(&world.shop);
}

static Err keep_cohorts(Tx *tx, void *arg)
{
    (void)arg;
    for (size_t i = 0; i < KIT_SEGMENTS; i++) {
        Cohort kept;
        const CohortDraft draft = {.name = str_of(RULE_KIT_SEGMENTS[i].name),
                                   .rule = str_of(RULE_KIT_SEGMENTS[i].rule)};
        TRY(cohort_put(tx, &draft, &kept));
    }
    return ERR_OK;
}

static void open_world(void)
{
    static const SqlSchema *const SCHEMAS[] = {&COHORT_SCHEMA};
    Ctx *ctx = &world.shop.kit.ctx;
    char url[128];
    shop_open(&world.shop, 1);
    ctx->who = &PRINCIPAL_OF_SYSTEM;
    ctx->settings = &world.shop.settings;
    CHECK(mkdtemp(world.folder) != NULL);
    (void)snprintf(url, sizeof url, "%s/t.db", world.folder);
    const DatabaseOptions options = {.url = str_of(url), .readers = 1};
    CHECK(database_open(ctx, &options, &world.database) == ERR_OK &&
          schema_install(world.database, ctx, SCHEMAS, 1) == ERR_OK &&
          database_write(world.database, ctx, "fuzz", keep_cohorts, NULL) == ERR_OK);
    world.reader = database_reader_take(world.database);
    engine_set_complete(world.shop.engine);
    CHECK(atexit(close_world) == 0);
}

static Err ask(const Shop *s, Crew *crew, Ctx *ctx, Str json)
{
    const Door *door = ANALYSIS_DOORS;
    const ApiOperation *op = door->operation;
    void *body = arena_alloc(ctx->arena, 1, op->body->size);
    Call call = {
        .operation = op, .body = body, .reply = arena_alloc(ctx->arena, 1, op->reply->size)};
    Work work = {.ctx = ctx,
                 .engine = s->engine,
                 .crew = crew,
                 .deadline_us = clock_mono_us() + PATIENCE_US};
    TRY(dto_parse(ctx, op->body, json, body));
    TRY(door->work(&work, &call));
    check_answer(ctx, op, call.reply);
    return ERR_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Crew *crew;
    static Arena *arena;
    if (crew == NULL) {
        open_world();
        crew = crew_new(1);
        arena = arena_new(1 << 16);
    }
    Ctx ctx = {.arena = arena,
               .db = world.reader,
               .now_ms = world.shop.kit.ctx.now_ms,
               .who = &PRINCIPAL_OF_SYSTEM,
               .settings = &world.shop.settings};
    if (ask(&world.shop, crew, &ctx, (Str){(const char *)data, size}) != ERR_OK)
        check_refusal(&ctx);
    arena_reset(arena);
    return 0;
}
