/*
 * engine/engine_forge.c
 */
#include "engine/engine_forge.h"

#include "engine/engine_inside.h"
#include "events/crc32c.h"

/* ---- events --------------------------------------------------------------------------------------- */

enum { PERSONS = 60, NAMES = 300, WEEKS = 2 };

const EngineOptions FORGE_OPTIONS = {.origin_ms = FORGE_ORIGIN_MS,
                                     .slice_rows = 100,
                                     .flush_rows = 1 << 16,
                                     .fan = 64,
                                     .tiny_rows = 1};

static uint64_t mixed(uint64_t n)
{
    return (n + 1) * UINT64_C(0x9E3779B97F4A7C15) >> 32;
}

static EventActor actor_of(Ctx *ctx, uint64_t n)
{
    const uint64_t person = mixed(n) % PERSONS;
    return person == 0 ? (EventActor){STR(""), STR("")}
                       : (EventActor){STR("person"), arena_i64(ctx->arena, (int64_t)person)};
}

static void add_values(EventBuilder *b, uint64_t n)
{
    static const Str CHANNELS[] = {{"web", 3}, {"app", 3}, {"mini program", 12}};
    event_prop_text(b, STR("channel"), CHANNELS[n % ARRAY_LEN(CHANNELS)]);
    event_prop_decimal(b, STR("weight"), (int64_t)(mixed(n) % 5000) - 2500, 3);
    event_prop_money(b, STR("total"), (int64_t)(mixed(n) % 100000));
    if (n % 3 == 0)
        event_prop_bool(b, STR("gift"), n % 2 == 0);
    if (n % 5 == 0)
        event_prop_time(b, STR("paid at"), FORGE_ORIGIN_MS + (int64_t)mixed(n));
    event_context(b);
    event_prop_i64(b, STR("wide"), (int64_t)(mixed(n) * mixed(n + 1)));
}

static void add_items(EventBuilder *b, uint64_t n)
{
    static const Str TAGS[] = {{"new", 3}, {"gold", 4}, {"late", 4}};
    event_prop_texts(b, STR("tags"), TAGS, n % 4);
    event_items_begin(b, STR("lines"));
    for (uint64_t i = 0; i < mixed(n) % 5; i++) {
        event_item(b);
        event_prop_text(b, STR("sku"), i % 2 == 0 ? STR("tea") : STR("cup"));
        event_prop_money(b, STR("price"), (int64_t)(mixed(n + i) % 1000));
        event_prop_i64(b, STR("quantity"), (int64_t)i);
    }
    event_items_end(b);
}

/* The head of number n, and which of the shape's kinds it is. */
static Event head_of(Ctx *ctx, ForgeShape shape, uint64_t n)
{
    Event head = {.kind = EVENT_HAPPENED,
                  .source = n % 7 == 0 ? STR("till") : STR("web"),
                  .id = arena_i64(ctx->arena, (int64_t)n),
                  .time_ms = FORGE_ORIGIN_MS + (int64_t)(mixed(n * 7) % (WEEKS * PART_WEEK_MS)),
                  .actor = actor_of(ctx, n),
                  .store = n % 3 == 0 ? STR("S1") : STR("")};
    head.time_ms -= shape == FORGE_ITEMS ? 0 : head.time_ms % 1000;
    head.received_ms = head.time_ms + (int64_t)(n % 50);
    head.name = arena_printf(ctx->arena, "Event %u",
                             (unsigned)(mixed(n * 3) % (shape == FORGE_NAMES ? NAMES : 3)));
    if (shape == FORGE_NAMES) { /* few columns: each of many lists has them */
        head.source = STR("web");
        head.store = STR("");
        head.received_ms = head.time_ms;
    }
    if (shape != FORGE_MOVES || n % 4 != 0 || event_actor_is_nobody(head.actor))
        return head;
    head.kind = n % 8 == 0 ? EVENT_PERSON : EVENT_LINK;
    head.kind = n % 100 == 52 ? EVENT_ERASE : head.kind;
    head.name = STR("");
    if (head.kind == EVENT_LINK)
        head.other = (EventActor){
            STR("person"), arena_i64(ctx->arena, 1 + (int64_t)(mixed(n + 9) % (PERSONS - 1)))};
    return head;
}

static void add_event(Ctx *ctx, ForgeShape shape, uint64_t n, Buf *out)
{
    const Event head = head_of(ctx, shape, n);
    Event e;
    EventBuilder *b = event_begin(ctx, &head);
    if (head.kind == EVENT_PERSON)
        event_prop_text(b, STR("tier"), n % 16 == 0 ? STR("gold") : STR("none"));
    if (head.kind == EVENT_HAPPENED && shape == FORGE_ITEMS)
        add_items(b, n);
    if (head.kind == EVENT_HAPPENED && (shape != FORGE_NAMES || n % 64 == 0))
        add_values(b, n);
    CHECK(event_end(b, &e) == ERR_OK);
    event_encode(&e, out);
}

void forge_events(Ctx *ctx, ForgeShape shape, uint64_t first, uint32_t count, Buf *out)
{
    for (uint32_t i = 0; i < count; i++)
        add_event(ctx, shape, first + i, out);
}

void forge_folder(Ctx *ctx, Str folder, ForgeShape shape, uint32_t events)
{
    const uint32_t flushes[] = {events, events, 2};
    Engine *e = NULL;
    CHECK(engine_open(ctx, folder, &FORGE_OPTIONS, &e) == ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(flushes); i++) {
        Buf records = BUF_MAX(1 << 22);
        const uint64_t first = engine_next_seq(e);
        forge_events(ctx, shape, first, flushes[i], &records);
        CHECK(engine_offer(e, first, flushes[i], buf_str(&records)));
        CHECK(engine_flush(ctx, e) == ERR_OK);
        buf_free(&records);
    }
    engine_close(e);
}

/* ---- checksums ------------------------------------------------------------------------------------ */

static void put_u32(char *at, uint32_t value)
{
    memcpy(at, &value, sizeof value);
}

/* Of the bytes from `from` on, wherever they end. */
static uint32_t sum_of(const char *bytes, size_t size, uint64_t from, uint64_t to)
{
    return crc32c_add(
        0, str_slice((Str){bytes, size}, from < size ? from : size, to < size ? to : size));
}

void forge_seal_part(char *bytes, size_t size)
{
    PartHead h;
    if (size < sizeof h)
        return;
    memcpy(&h, bytes, sizeof h);
    memcpy(h.magic, "TDEVPRT1", sizeof h.magic);
    h.version = PART_VERSION;
    h.file_bytes = size;
    const uint64_t end = h.tables_at < size ? h.tables_at : size;
    uint64_t at = h.pieces_at;
    for (uint64_t from = PART_DATA_AT; from < end && at <= size - sizeof(uint32_t) && at < size;
         from += PART_PIECE_BYTES, at += sizeof(uint32_t)) {
        const uint64_t to = from + PART_PIECE_BYTES;
        put_u32(bytes + at, sum_of(bytes, size, from, to < end ? to : end));
    }
    h.tables_crc =
        sum_of(bytes, size, h.tables_at,
               h.pieces_at > size ? size : h.pieces_at + h.piece_count * sizeof(uint32_t));
    memcpy(bytes, &h, sizeof h);
    const size_t from = offsetof(PartHead, head_crc) + sizeof h.head_crc;
    put_u32(bytes + offsetof(PartHead, head_crc), sum_of(bytes, size, from, sizeof h));
}

void forge_seal_ids(char *bytes, size_t size)
{
    const size_t from = offsetof(IdHead, head_crc) + sizeof(uint32_t);
    if (size < sizeof(IdHead))
        return;
    memcpy(bytes, "TDEVIDS1", 8);
    put_u32(bytes + offsetof(IdHead, version), IDS_VERSION);
    put_u32(bytes + offsetof(IdHead, body_crc), sum_of(bytes, size, sizeof(IdHead), size));
    put_u32(bytes + offsetof(IdHead, head_crc), sum_of(bytes, size, from, sizeof(IdHead)));
}

void forge_seal_manifest(char *bytes, size_t size)
{
    enum { VERSION_AT = 8, CRC_AT = 12, CRC_FROM = 16 };
    if (size < CRC_FROM)
        return;
    memcpy(bytes, "TDEVENG1", 8);
    put_u32(bytes + VERSION_AT, ENGINE_MANIFEST_VERSION);
    put_u32(bytes + CRC_AT, sum_of(bytes, size, CRC_FROM, size));
}

void forge_seal_names(char *bytes, size_t size)
{
    enum { HEAD_BYTES = 8 };
    uint32_t length = 0;
    for (size_t at = 0; size - at >= HEAD_BYTES; at += HEAD_BYTES + length) {
        memcpy(&length, bytes + at, sizeof length);
        if (length > size - at - HEAD_BYTES) {
            length = (uint32_t)(size - at - HEAD_BYTES);
            put_u32(bytes + at, length);
        }
        put_u32(bytes + at + sizeof length,
                sum_of(bytes, size, at + HEAD_BYTES, at + HEAD_BYTES + length));
    }
}

static void clear_bits(_Atomic uint64_t *bits, uint32_t count)
{
    for (uint32_t i = 0; i <= count / 64; i++)
        atomic_store(&bits[i], 0);
}

void forge_distrust(Part *part)
{
    clear_bits(part->good, part->head->piece_count);
    clear_bits(part->sound, part->head->dir_count + part->head->block_count);
}
