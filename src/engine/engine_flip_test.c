/*
 * engine/engine_flip_test.c -- every byte of every file of the columns, turned one by one: it is found and the file
 * named, and questions get what they got before, or are told.
 *
 * Bytes without a meaning are the 128 zeros behind a part, and nothing else: kernels read ahead into them and use nothing
 * of what they find.
 */
#include "engine/engine_forge.h"
#include "engine/part/ids.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/test.h"
#include "base/test_folder.h"

#include <stdlib.h>
#include <unistd.h>

enum { EVENTS = 30, FILE_MAX = 1 << 20, OPENED_OF_FILE = 120 };

typedef struct Folder {
    char path[64];
    Ctx ctx;
    uint64_t answer; /* when nothing is damaged */
    int64_t reports;
    char file[64];
} Folder;

static void folder_open(Folder *f, ForgeShape shape)
{
    *f = (Folder){.path = "/tmp/engine_flip_test.XXXXXX", .ctx.arena = arena_new(1 << 16)};
    CHECK(mkdtemp(f->path) != NULL);
    log_setup(LOG_OFF, false);
    forge_folder(&f->ctx, str_of(f->path), shape, EVENTS);
}

static void folder_close(Folder *f)
{
    test_remove_folder(str_of(f->path));
    arena_free(f->ctx.arena);
}

static void put_file(Folder *f, Str name, Str bytes)
{
    File file;
    CHECK(file_open(&f->ctx, str_of(f->path), name, FILE_CREATE, &file) == ERR_OK);
    CHECK(file_write_at(&f->ctx, file, 0, bytes) == ERR_OK);
    file_close(&file);
}

static Err look_at(Folder *f, Engine **out)
{
    EngineOptions look = FORGE_OPTIONS;
    look.read_only = true;
    return engine_open(&f->ctx, str_of(f->path), &look, out);
}

static void see_report(const char *file, int64_t offset, const char *what, void *arg)
{
    Folder *f = arg;
    CHECK(offset >= 0 && what[0] != '\0');
    f->reports++;
    CHECK(str_to_c(str_of(file), f->file, sizeof f->file));
}

/* ---- a question that reads everything --------------------------------------------------------------- */

static uint64_t add_batch(const Schema *names, const ScanBatch *b, uint32_t n, uint64_t sum)
{
    for (uint32_t i = 0; i < b->person_count; i++) {
        sum = hash_bytes(schema_actor_of(names, b->persons[i]).value, sum);
        for (uint32_t row = b->from[i]; row < b->from[i + 1]; row++) {
            sum = hash_u64((uint64_t)scan_ms(b, row), sum);
            sum = hash_bytes(schema_event_name(names, b->events[row]), sum);
            for (uint32_t p = 0; p < n; p++)
                sum = hash_u64((uint64_t)b->values[p][row], sum);
        }
    }
    return sum;
}

/* False: it was told that something is damaged. */
static bool ask(Engine *e, uint64_t *answer)
{
    static const ScanSelect all = {.from_ms = 0, .to_ms = INT64_MAX};
    ScanProp props[SCAN_COLUMNS_MAX] = {{.prop = PROP_SOURCE}, {.prop = PROP_STORE}};
    ScanView *view = engine_view(e);
    const Schema *names = engine_schema_lock(e);
    uint32_t n = 2;
    for (; n < SCAN_COLUMNS_MAX && n - 2 < schema_prop_count(names); n++)
        props[n] = (ScanProp){.prop = PROP_FIRST + n - 2, .scale = SCHEMA_SCALE_MAX};
    Scanner *s = scanner_new(view, &(ScanAsk){&all, 1, props, n, true});
    ScanBatch b;
    *answer = 0;
    for (uint32_t piece = 0; piece < scan_pieces(view); piece++)
        if (scanner_batch(s, piece, &b))
            *answer = add_batch(names, &b, n, *answer);
    const bool told = scanner_damaged(s) > 0;
    scanner_free(s);
    engine_schema_unlock(e);
    engine_view_done(view);
    return !told;
}

/* ---- one turned byte --------------------------------------------------------------------------------- */

/* Whether the file alone shows it: what the engine looks at, on the heap. */
static bool is_found_alone(Ctx *ctx, Str name, Str bytes)
{
    Part *part = NULL;
    Ids ids;
    char *copy = malloc(bytes.len);
    CHECK(copy != NULL);
    memcpy(copy, bytes.ptr, bytes.len);
    bool found = true;
    if (str_ends_with(name, STR(".part"))) {
        if (part_open(ctx, (Str){copy, bytes.len}, false, 1, &part) == ERR_OK) {
            found = part_verify(part, NULL, NULL) > 0;
            part_unref(part); /* with the bytes */
            return found;
        }
    } else if (str_ends_with(name, STR(".ids"))) {
        if (ids_open(ctx, (Str){copy, bytes.len}, false, &ids) == ERR_OK) {
            found = !ids_are_sound(&ids);
            ids_free(&ids);
            return found;
        }
    } else if (str_ends_with(name, STR(".names"))) {
        Schema *s = schema_new(&SCHEMA_LIMITS);
        found = schema_load(ctx, s, (Str){copy, bytes.len}) != ERR_OK;
        schema_free(s);
    }
    free(copy);
    return found;
}

/* The manifest and the names by what is said, files by their number. */
static bool is_named(const Fault *fault, Str name)
{
    if (str_eq(name, STR("manifest")))
        return str_eq(str_of(fault->reason), STR("events.manifest_damaged"));
    if (str_ends_with(name, STR(".names")))
        return str_eq(str_of(fault->reason), STR("events.names_damaged"));
    return str_starts_with(str_of(fault->detail), str_slice(name, 0, 20));
}

static void expect_found(Folder *f, Str name, bool means_something)
{
    Engine *e = NULL;
    int64_t bad = 0;
    uint64_t answer = 0;
    if (look_at(f, &e) != ERR_OK) {
        CHECK(means_something && is_named(&f->ctx.fault, name));
        return;
    }
    f->reports = 0;
    CHECK(!ask(e, &answer) || answer == f->answer);
    CHECK(engine_verify(&f->ctx, e, see_report, f, &bad) == ERR_OK);
    EXPECT_I64(bad, means_something);
    EXPECT_I64(f->reports, means_something);
    CHECK(!means_something || str_eq(str_of(f->file), name));
    engine_close(e);
}

static void turn_each_byte(Folder *f, Str name)
{
    Str good;
    CHECK(file_load(&f->ctx, str_of(f->path), name, FILE_MAX, &good) == ERR_OK);
    char *bytes = arena_bytes(f->ctx.arena, good.len);
    const size_t end = good.len - (str_ends_with(name, STR(".part")) ? PART_SLACK_BYTES : 0);
    const size_t step = str_eq(name, STR("manifest")) ? 1 : good.len / OPENED_OF_FILE + 1;
    memcpy(bytes, good.ptr, good.len);
    for (size_t at = 0; at < good.len; at++) {
        const char turned = (char)(1 << at * 7 % 11 % 8);
        bytes[at] ^= turned;
        if (!str_eq(name, STR("manifest")))
            EXPECT_I64(is_found_alone(&f->ctx, name, (Str){bytes, good.len}), at < end);
        if (at % step == 0) {
            put_file(f, name, (Str){bytes, good.len});
            expect_found(f, name, at < end);
        }
        CHECK(at < end || good.ptr[at] == 0);
        bytes[at] ^= turned;
    }
    put_file(f, name, good);
}

static void turn_everything(ForgeShape shape)
{
    Folder f;
    Engine *e = NULL;
    Str *names = NULL;
    size_t n = 0;
    folder_open(&f, shape);
    CHECK(look_at(&f, &e) == ERR_OK && ask(e, &f.answer) && f.answer != 0);
    engine_close(e);
    CHECK(file_list(&f.ctx, str_of(f.path), &names, &n) == ERR_OK);
    CHECK(n >= 6);
    for (size_t i = 0; i < n; i++)
        turn_each_byte(&f, names[i]);
    uint64_t answer = 0;
    CHECK(look_at(&f, &e) == ERR_OK && ask(e, &answer) && answer == f.answer);
    engine_close(e);
    folder_close(&f);
}

TEST(every_byte_that_is_turned_in_any_file_of_the_columns_is_found_and_named_and_no_answer_is_wrong)
{
    for (ForgeShape shape = 0; shape < FORGE_SHAPES; shape++)
        turn_everything(shape);
}
