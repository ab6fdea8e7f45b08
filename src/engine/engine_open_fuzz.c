/*
 * engine/engine_open_fuzz.c -- any bytes under right checksums as the manifest, the names, the ids or a part of a folder
 * whose other files are sound: the folder is refused with one of its errors, or the engine opens it, answers, takes more
 * events, merges, and opens what it wrote.
 *
 * The first byte says which folder, the second which file of it.  Inputs grow from what an engine wrote.
 */
#include "engine/engine_forge.h"
#include "engine/part/ids.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/rand.h"
#include "base/test_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);
void __sanitizer_malloc_hook(const volatile void *at, size_t size);

enum {
    INPUT_MAX = 1 << 16,
    HEAD_BYTES = 2,
    ALLOCATION_MAX = 192 << 20,
    OFFERED = 40,
    FILES_MAX = 32,
    EVENTS = 200,
    WRITES_OF = 8
};

void __sanitizer_malloc_hook(const volatile void *at, size_t size)
{
    (void)at;
    if (size > ALLOCATION_MAX)
        abort();
}

/* ---- folders that an engine wrote ------------------------------------------------------------------- */

typedef struct Original {
    char path[40];
    Str folder;
    Str names[FILES_MAX], bytes[FILES_MAX];
    size_t count;
} Original;

static Original originals[FORGE_SHAPES];

static void remove_folders(void)
{
    for (ForgeShape shape = 0; shape < FORGE_SHAPES; shape++)
        test_remove_folder(originals[shape].folder);
}

static void make_originals(void)
{
    static Ctx ctx;
    if (ctx.arena != NULL)
        return;
    ctx.arena = arena_new(1 << 20); /* for good */
    CHECK(atexit(remove_folders) == 0);
    log_setup(LOG_OFF, false);
    for (ForgeShape shape = 0; shape < FORGE_SHAPES; shape++) {
        Original *o = &originals[shape];
        Str *names = NULL;
        *o = (Original){.path = "/dev/shm/engine_open_fuzz.XXXXXX"};
        CHECK(mkdtemp(o->path) != NULL);
        o->folder = str_of(o->path);
        forge_folder(&ctx, o->folder, shape, EVENTS);
        CHECK(file_list(&ctx, o->folder, &names, &o->count) == ERR_OK && o->count <= FILES_MAX);
        for (size_t i = 0; i < o->count; i++) {
            o->names[i] = names[i];
            CHECK(file_load(&ctx, o->folder, names[i], INPUT_MAX, &o->bytes[i]) == ERR_OK);
        }
    }
}

static void put_file(Ctx *ctx, Str folder, Str name, Str bytes)
{
    File f;
    CHECK(file_remove(ctx, folder, name) == ERR_OK);
    CHECK(file_open(ctx, folder, name, FILE_CREATE, &f) == ERR_OK);
    CHECK(file_write_at(ctx, f, 0, bytes) == ERR_OK);
    file_close(&f);
}

static void put_back(Ctx *ctx, const Original *o)
{
    test_empty_folder(o->folder);
    for (size_t i = 0; i < o->count; i++)
        put_file(ctx, o->folder, o->names[i], o->bytes[i]);
}

/* ---- mutations ------------------------------------------------------------------------------------ */

static size_t mutate(Prng *r, uint8_t *data, size_t size, size_t max)
{
    static const size_t WIDTHS[] = {1, 4, 4, 8};
    const size_t width = WIDTHS[prng_below(r, ARRAY_LEN(WIDTHS))];
    uint64_t value = 0;
    if (size < width || prng_below(r, 5) == 0)
        return LLVMFuzzerMutate(data, size, max);
    /* The numbers of names stand anywhere. */
    const size_t at = prng_below(r, 2) == 0 ? prng_below(r, size - width + 1)
                                            : prng_below(r, size / width) * width;
    memcpy(&value, data + at, width);
    switch (prng_below(r, 4)) {
    case 0:
        value += prng_below(r, 5) - 2;
        break;
    case 1:
        value = prng_below(r, 3000);
        break;
    case 2:
        value ^= UINT64_C(1) << prng_below(r, 64);
        break;
    default:
        value = UINT64_MAX - prng_below(r, 3);
    }
    memcpy(data + at, &value, width);
    return size;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    Prng r = prng_of(seed);
    make_originals();
    if (size < HEAD_BYTES + 16 || prng_below(&r, 32) == 0) {
        const uint8_t shape = (uint8_t)prng_below(&r, FORGE_SHAPES);
        const Original *o = &originals[shape];
        const size_t file =
            prng_below(&r, 2) == 0 ? o->count - 1 - prng_below(&r, 2) : prng_below(&r, o->count);
        if (o->bytes[file].len + HEAD_BYTES > max)
            return size;
        data[0] = shape;
        data[1] = (uint8_t)file;
        memcpy(data + HEAD_BYTES, o->bytes[file].ptr, o->bytes[file].len);
        size = HEAD_BYTES + o->bytes[file].len;
    }
    for (uint64_t n = 1 + prng_below(&r, 3); n > 0; n--)
        size = HEAD_BYTES + mutate(&r, data + HEAD_BYTES, size - HEAD_BYTES, max - HEAD_BYTES);
    return size;
}

/* ---- one folder ------------------------------------------------------------------------------------- */

static void seal(Str name, char *bytes, size_t size)
{
    if (str_ends_with(name, STR(".part")))
        forge_seal_part(bytes, size);
    else if (str_ends_with(name, STR(".ids")))
        forge_seal_ids(bytes, size);
    else if (str_eq(name, STR("manifest")))
        forge_seal_manifest(bytes, size);
    else
        forge_seal_names(bytes, size);
}

static void expect_refusal(const Ctx *ctx)
{
    static const char *const REASONS[] = {
        "events.manifest_damaged", "events.names_damaged", "events.part_damaged",
        "events.ids_damaged",      "file.missing",         "file.too_large"};
    for (size_t i = 0; i < ARRAY_LEN(REASONS); i++)
        if (strcmp(ctx->fault.reason, REASONS[i]) == 0)
            return;
    fprintf(stderr, "refused with %s\n", ctx->fault.reason);
    abort();
}

/* What a row says, by its names. */
static size_t spell(const Schema *names, const ScanBatch *b, const ScanProp *props, uint32_t n,
                    uint32_t row)
{
    size_t bytes = schema_event_name(names, b->events[row]).len;
    for (uint32_t p = 0; p < n; p++) {
        const int64_t code = b->values[p][row];
        if (code != SCAN_MISSING && props[p].prop < PROP_FIRST + schema_prop_count(names) &&
            schema_texts(names, props[p].prop) != NULL)
            bytes += schema_text(names, props[p].prop, (uint32_t)code).len;
    }
    return bytes;
}

static void read_all(Engine *e)
{
    static const ScanSelect all = {.from_ms = 0, .to_ms = INT64_MAX};
    ScanProp props[SCAN_COLUMNS_MAX];
    uint32_t n = 0;
    size_t bytes = 0;
    ScanView *view = engine_view(e);
    if (view->part_count > 0)
        for (; n < SCAN_COLUMNS_MAX && n < view->parts[0]->head->column_count; n++)
            props[n] = (ScanProp){.prop = view->parts[0]->columns[n].prop};
    const Schema *names = engine_schema_lock(e);
    Scanner *s = scanner_new(view, &(ScanAsk){&all, 1, props, n, true});
    ScanBatch b;
    for (uint32_t piece = 0; piece < scan_pieces(view); piece++)
        for (uint32_t row = 0, end = scanner_batch(s, piece, &b) ? b.from[b.person_count] : 0;
             row < end; row++)
            bytes += spell(names, &b, props, n, row);
    for (uint32_t person = 0; person < view->person_count; person++)
        bytes += schema_actor_of(names, person).value.len;
    scanner_free(s);
    engine_schema_unlock(e);
    engine_view_done(view);
    CHECK(bytes < (size_t)1 << 32);
}

static void use(Ctx *ctx, Engine *e, ForgeShape shape)
{
    EngineStat stat;
    int64_t bad = 0;
    Buf records = BUF_MAX(1 << 20);
    read_all(e);
    CHECK(engine_verify(ctx, e, NULL, NULL, &bad) == ERR_OK && bad >= 0);
    forge_events(ctx, shape, 2 * EVENTS - OFFERED / 2, OFFERED,
                 &records); /* half have come before */
    CHECK(engine_offer_now(e, engine_next_seq(e), OFFERED, buf_str(&records)));
    read_all(e);
    engine_stat(e, &stat);
    buf_free(&records);
}

/* Merges may find that files make no sense: they are put aside, and the folder stays one that opens. */
static void use_to_write(Ctx *ctx, const Original *o, ForgeShape shape)
{
    Engine *e = NULL;
    CHECK(engine_open(ctx, o->folder, &FORGE_OPTIONS, &e) == ERR_OK);
    use(ctx, e, shape);
    if (engine_settle(ctx, e) != ERR_OK)
        CHECK(strncmp(ctx->fault.reason, "events.", 7) == 0);
    read_all(e);
    engine_close(e);
    CHECK(engine_open(ctx, o->folder, &FORGE_OPTIONS, &e) == ERR_OK);
    read_all(e);
    engine_close(e);
}

/* Mapped files hide what is read behind their end: the same on the heap. */
static void read_on_heap(Ctx *ctx, Str name, Str bytes)
{
    Ids ids;
    char *copy = malloc(bytes.len + 1);
    CHECK(copy != NULL);
    memcpy(copy, bytes.ptr, bytes.len);
    if (str_ends_with(name, STR(".names"))) {
        Schema *s = schema_new(&SCHEMA_LIMITS);
        if (schema_load(ctx, s, (Str){copy, bytes.len}) != ERR_OK)
            CHECK(strcmp(ctx->fault.reason, "events.names_damaged") == 0);
        schema_free(s);
    } else if (str_ends_with(name, STR(".ids")) &&
               ids_open(ctx, (Str){copy, bytes.len}, false, &ids) == ERR_OK) {
        uint64_t *hashes = malloc(((size_t)ids.head->count + 1) * sizeof *hashes);
        CHECK(hashes != NULL);
        if (ids_are_sound(&ids) && ids_read(&ids, hashes))
            (void)ids_has(&ids, 1);
        free(hashes);
        ids_free(&ids); /* with its bytes */
        return;
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Ctx ctx;
    make_originals();
    if (ctx.arena == NULL)
        ctx.arena = arena_new(1 << 16);
    if (size < HEAD_BYTES || size > INPUT_MAX)
        return 0;
    const ForgeShape shape = (ForgeShape)(data[0] % FORGE_SHAPES);
    const Original *o = &originals[shape];
    const size_t file = data[1] % o->count;
    char *bytes = arena_bytes(ctx.arena, size);
    const Str forged = {bytes, size - HEAD_BYTES};
    memcpy(bytes, data + HEAD_BYTES, forged.len);
    seal(o->names[file], bytes, forged.len);
    read_on_heap(&ctx, o->names[file], forged);
    put_file(&ctx, o->folder, o->names[file], forged);
    EngineOptions look = FORGE_OPTIONS;
    look.read_only = true;
    Engine *e = NULL;
    if (engine_open(&ctx, o->folder, &look, &e) == ERR_OK) {
        use(&ctx, e, shape);
        engine_close(e);
        if (hash_bytes(forged, 1) % WRITES_OF == 0) { /* this takes many times as long */
            use_to_write(&ctx, o, shape);
            put_back(&ctx, o);
        }
    } else {
        expect_refusal(&ctx);
    }
    put_file(&ctx, o->folder, o->names[file], o->bytes[file]);
    arena_reset(ctx.arena);
    return 0;
}
