/*
 * modules/intake/intake_sort.c -- external merge sort behind intake_sort.h.
 *
 * A record is a Head, the key, the payload.  Full memory is sorted and written as a run; 64 runs are
 * merged into one, so there is no limit but the disk's.  The sequence number in the head makes any
 * order of merging stable.
 */
#include "modules/intake/intake_sort.h"

#include "modules/intake/intake_temp.h"
#include <stdlib.h>
#include <unistd.h>

enum {
    RUNS_MAX = 64,
    IO_BYTES = 64 * 1024,
};

typedef struct Head {
    uint32_t key_bytes;
    uint32_t payload_bytes;
    int64_t sequence;
} Head;

typedef struct Record {
    Head head;
    Str key;
    Str payload;
} Record;

/* Where a record in memory starts, and as much of its key as most comparisons need. */
typedef struct Place {
    uint64_t prefix;
    size_t offset;
} Place;

/* One run while it is merged. */
typedef struct Cursor {
    int fd;
    int64_t read_at; /* next byte of the file */
    Buf buf;         /* [at, buf.len) is read and not used */
    size_t at;
    Record record; /* the current one, in buf */
} Cursor;

struct RowSorter {
    Arena *arena;
    const char *temp_dir;
    size_t memory_bytes;
    bool unique;
    int64_t sequence;
    int64_t folded;
    Buf bytes;   /* records not yet in a run */
    Buf places;  /* Place each; sorted in the end */
    size_t next; /* when nothing was spilled: the place to hand out next */
    int run[RUNS_MAX];
    size_t runs;
    Cursor cursor[RUNS_MAX]; /* a heap by current record, smallest first */
    size_t cursors;
    bool advance; /* the first cursor's record has been handed out */
    Buf last_key; /* unique: of the record handed out last */
    bool has_last;
};

RowSorter *intake_sort_new(const char *temp_dir, size_t memory_bytes, bool unique)
{
    Arena *arena = arena_new(sizeof(RowSorter) + 256);
    RowSorter *s = ARENA_NEW(arena, RowSorter);
    s->arena = arena;
    s->temp_dir = temp_dir;
    s->memory_bytes = memory_bytes;
    s->unique = unique;
    s->bytes = BUF_MAX(memory_bytes + INTAKE_SORT_RECORD_BYTES_MAX + sizeof(Head));
    s->places = BUF_MAX(memory_bytes + 2 * sizeof(Place));
    s->last_key = BUF_MAX(INTAKE_SORT_RECORD_BYTES_MAX);
    return s;
}

static Record record_at(const char *p)
{
    Record r;
    memcpy(&r.head, p, sizeof r.head);
    r.key = (Str){p + sizeof r.head, r.head.key_bytes};
    r.payload = (Str){r.key.ptr + r.head.key_bytes, r.head.payload_bytes};
    return r;
}

static size_t record_bytes(const Head *h)
{
    return sizeof *h + h->key_bytes + h->payload_bytes;
}

static int compare(const Record *a, const Record *b)
{
    const int order = str_compare(a->key, b->key);
    if (order != 0)
        return order;
    return (a->head.sequence > b->head.sequence) - (a->head.sequence < b->head.sequence);
}

/* The first bytes as a number: in the order of the keys where it differs. */
static uint64_t prefix_of(Str key)
{
    uint64_t v = 0;
    if (key.len > 0)
        memcpy(&v, key.ptr, key.len < sizeof v ? key.len : sizeof v);
    return __builtin_bswap64(v);
}

static int compare_places(const void *a, const void *b, void *bytes)
{
    Place x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    if (x.prefix != y.prefix)
        return x.prefix < y.prefix ? -1 : 1;
    const Record p = record_at((const char *)bytes + x.offset);
    const Record q = record_at((const char *)bytes + y.offset);
    return compare(&p, &q);
}

static size_t count_of(const RowSorter *s)
{
    return s->places.len / sizeof(Place);
}

static Place place_of(const RowSorter *s, size_t i)
{
    Place v;
    memcpy(&v, s->places.ptr + i * sizeof v, sizeof v);
    return v;
}

static Record record_of(const RowSorter *s, size_t i)
{
    return record_at(s->bytes.ptr + place_of(s, i).offset);
}

/* Leaves only the first place of each key; they are sorted. */
static void fold(RowSorter *s)
{
    size_t kept = 0;
    Record last = {0};
    for (size_t i = 0; i < count_of(s); i++) {
        const Place place = place_of(s, i);
        const Record r = record_of(s, i);
        if (kept > 0 && str_eq(r.key, last.key)) {
            s->folded++;
            continue;
        }
        last = r;
        memcpy(s->places.ptr + kept++ * sizeof place, &place, sizeof place);
    }
    s->places.len = kept * sizeof(Place);
}

static void sort_memory(RowSorter *s)
{
    if (count_of(s) > 0)
        qsort_r(s->places.ptr, count_of(s), sizeof(Place), compare_places, s->bytes.ptr);
    if (s->unique)
        fold(s);
}

static Err write_record(Ctx *ctx, int fd, Buf *out, const Record *r)
{
    buf_add(out, (Str){(const char *)&r->head, sizeof r->head});
    buf_add(out, r->key);
    buf_add(out, r->payload);
    CHECK(!out->overflowed);
    if (out->len < IO_BYTES)
        return ERR_OK;
    TRY(intake_temp_write(ctx, fd, buf_str(out)));
    buf_clear(out);
    return ERR_OK;
}

static Buf out_buf(void)
{
    return BUF_MAX(IO_BYTES + INTAKE_SORT_RECORD_BYTES_MAX + sizeof(Head));
}

static Err write_memory(RowSorter *s, Ctx *ctx, int fd)
{
    Buf out = out_buf();
    Err err = ERR_OK;
    for (size_t i = 0; i < count_of(s) && err == ERR_OK; i++) {
        const Record r = record_of(s, i);
        err = write_record(ctx, fd, &out, &r);
    }
    if (err == ERR_OK)
        err = intake_temp_write(ctx, fd, buf_str(&out));
    buf_free(&out);
    return err;
}

/* ---- merging ---- */

static Err cursor_fill(Cursor *c, Ctx *ctx, size_t need)
{
    if (c->buf.len - c->at >= need)
        return ERR_OK;
    memmove(c->buf.ptr, c->buf.ptr + c->at, c->buf.len - c->at);
    c->buf.len -= c->at;
    c->at = 0;
    const size_t want = need > IO_BYTES ? need : IO_BYTES;
    char *dst = buf_reserve(&c->buf, want - c->buf.len);
    CHECK(dst != NULL);
    size_t got = 0;
    TRY(intake_temp_read(ctx, c->fd, c->read_at, dst, want - c->buf.len, &got));
    c->buf.len += got;
    c->read_at += (int64_t)got;
    return ERR_OK;
}

/* Moves to the next record; *more = false at the end of the run. */
static Err cursor_next(Cursor *c, Ctx *ctx, bool *more)
{
    if (c->buf.ptr == NULL)
        CHECK(buf_reserve(&c->buf, IO_BYTES) != NULL);
    TRY(cursor_fill(c, ctx, sizeof(Head)));
    *more = c->buf.len - c->at >= sizeof(Head);
    if (!*more)
        return ERR_OK;
    Head h;
    memcpy(&h, c->buf.ptr + c->at, sizeof h);
    TRY(cursor_fill(c, ctx, record_bytes(&h)));
    CHECK(c->buf.len - c->at >= record_bytes(&h));
    c->record = record_at(c->buf.ptr + c->at);
    c->at += record_bytes(&h);
    return ERR_OK;
}

static void cursor_close(Cursor *c)
{
    (void)close(c->fd);
    buf_free(&c->buf);
}

/* Lets cursor `i` sink to its place in the heap. */
static void sink(RowSorter *s, size_t i)
{
    for (;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < s->cursors; child++)
            if (compare(&s->cursor[child].record, &s->cursor[least].record) < 0)
                least = child;
        if (least == i)
            return;
        const Cursor moved = s->cursor[i];
        s->cursor[i] = s->cursor[least];
        s->cursor[least] = moved;
        i = least;
    }
}

/* Every run becomes a cursor; the runs' files belong to the cursors from here on. */
static Err merge_start(RowSorter *s, Ctx *ctx)
{
    s->cursors = s->runs;
    s->runs = 0;
    for (size_t i = 0; i < s->cursors; i++)
        s->cursor[i] = (Cursor){.fd = s->run[i], .buf = out_buf()};
    for (size_t i = 0; i < s->cursors; i++) {
        bool more = false;
        TRY(cursor_next(&s->cursor[i], ctx, &more));
        CHECK(more); /* no run is empty */
    }
    for (size_t i = s->cursors; i-- > 0;)
        sink(s, i);
    s->advance = false;
    s->has_last = false;
    return ERR_OK;
}

static Err merge_advance(RowSorter *s, Ctx *ctx)
{
    bool more = false;
    TRY(cursor_next(&s->cursor[0], ctx, &more));
    if (!more) {
        cursor_close(&s->cursor[0]);
        s->cursor[0] = s->cursor[--s->cursors];
    }
    sink(s, 0);
    return ERR_OK;
}

/* The smallest record of all cursors, NULL at the end; folded when `unique`. */
static Err merge_next(RowSorter *s, Ctx *ctx, const Record **out)
{
    *out = NULL;
    while (s->cursors > 0) {
        if (s->advance)
            TRY(merge_advance(s, ctx));
        s->advance = true;
        if (s->cursors == 0)
            return ERR_OK;
        const Record *r = &s->cursor[0].record;
        if (s->unique && s->has_last && str_eq(r->key, buf_str(&s->last_key))) {
            s->folded++;
            continue;
        }
        if (s->unique) {
            buf_clear(&s->last_key);
            buf_add(&s->last_key, r->key);
            s->has_last = true;
        }
        *out = r;
        return ERR_OK;
    }
    return ERR_OK;
}

/* All runs become one. */
static Err merge_runs(RowSorter *s, Ctx *ctx, int fd)
{
    TRY(merge_start(s, ctx));
    Buf out = out_buf();
    const Record *r = NULL;
    Err err = ERR_OK;
    do {
        err = merge_next(s, ctx, &r);
        if (err == ERR_OK && r != NULL)
            err = write_record(ctx, fd, &out, r);
    } while (err == ERR_OK && r != NULL);
    if (err == ERR_OK)
        err = intake_temp_write(ctx, fd, buf_str(&out));
    buf_free(&out);
    return err;
}

static Err new_run(RowSorter *s, Ctx *ctx, Err (*write)(RowSorter *, Ctx *, int))
{
    int fd = -1;
    TRY(intake_temp_open(ctx, s->temp_dir, &fd));
    const Err err = write(s, ctx, fd);
    if (err != ERR_OK) {
        (void)close(fd);
        return err;
    }
    s->run[s->runs++] = fd;
    return ERR_OK;
}

static Err spill(RowSorter *s, Ctx *ctx)
{
    if (s->runs == RUNS_MAX)
        TRY(new_run(s, ctx, merge_runs));
    TRY(new_run(s, ctx, write_memory));
    buf_clear(&s->bytes);
    buf_clear(&s->places);
    return ERR_OK;
}

/* Copies the records that are left after folding together. */
static void compact(RowSorter *s)
{
    Buf kept = BUF_MAX(s->bytes.max_bytes);
    for (size_t i = 0; i < count_of(s); i++) {
        const Place from = place_of(s, i), to = {from.prefix, kept.len};
        const Record r = record_of(s, i);
        buf_add(&kept, (Str){s->bytes.ptr + from.offset, record_bytes(&r.head)});
        memcpy(s->places.ptr + i * sizeof to, &to, sizeof to);
    }
    buf_free(&s->bytes);
    s->bytes = kept;
}

/* Memory is full.  When folding frees half of it, nothing is written. */
static Err make_room(RowSorter *s, Ctx *ctx)
{
    const size_t before = count_of(s);
    sort_memory(s);
    if (count_of(s) > before / 2)
        return spill(s, ctx);
    compact(s);
    return ERR_OK;
}

Err intake_sort_add(RowSorter *s, Ctx *ctx, Str key, Str payload)
{
    const size_t need = sizeof(Head) + key.len + payload.len;
    if (need > INTAKE_SORT_RECORD_BYTES_MAX)
        return fail(ctx, ERR_TOO_LARGE, "intake.row_too_large", "a row of %zu bytes", need);
    const size_t used = s->bytes.len + s->places.len + need + sizeof(Place);
    if (count_of(s) > 1 && used > s->memory_bytes)
        TRY(make_room(s, ctx));
    const Head h = {(uint32_t)key.len, (uint32_t)payload.len, s->sequence++};
    const Place place = {prefix_of(key), s->bytes.len};
    buf_add(&s->bytes, (Str){(const char *)&h, sizeof h});
    buf_add(&s->bytes, key);
    buf_add(&s->bytes, payload);
    buf_add(&s->places, (Str){(const char *)&place, sizeof place});
    CHECK(!s->bytes.overflowed && !s->places.overflowed);
    return ERR_OK;
}

Err intake_sort_finish(RowSorter *s, Ctx *ctx)
{
    sort_memory(s);
    s->next = 0;
    if (s->runs == 0)
        return ERR_OK;
    if (count_of(s) > 0)
        TRY(spill(s, ctx));
    return merge_start(s, ctx);
}

Err intake_sort_next(RowSorter *s, Ctx *ctx, SortedRow *row, bool *more)
{
    Record from_memory;
    const Record *r = NULL;
    if (s->next < count_of(s)) {
        from_memory = record_of(s, s->next++);
        r = &from_memory;
    } else {
        TRY(merge_next(s, ctx, &r));
    }
    *more = r != NULL;
    if (*more)
        *row = (SortedRow){r->key, r->payload};
    return ERR_OK;
}

int64_t intake_sort_folded(const RowSorter *s)
{
    return s->folded;
}

void intake_sort_free(RowSorter *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->runs; i++)
        (void)close(s->run[i]);
    for (size_t i = 0; i < s->cursors; i++)
        cursor_close(&s->cursor[i]);
    buf_free(&s->bytes);
    buf_free(&s->places);
    buf_free(&s->last_key);
    arena_free(s->arena);
}
