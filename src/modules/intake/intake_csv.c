/*
 * modules/intake/intake_csv.c -- the CSV parser behind intake_csv.h.
 *
 * A row is parsed where it lies in the buffer, in two steps: scan_row() only marks where the cells
 * are, so that a row cut by the end of the buffer can be scanned again after more was read; then
 * doubled quotes are taken out in place.  A newline that is not part of the file stands behind the
 * last byte, so that the inner loop needs no bounds check.
 */
#include "modules/intake/intake_csv.h"

#include "modules/intake/intake_gb18030.h"

enum {
    BUFFER_BYTES = 256 * 1024,
    DETECT_ROWS = 20,
};

typedef struct Cell {
    size_t from;
    size_t len;
    bool doubled; /* has doubled quotes that must become single ones */
} Cell;

struct CsvReader {
    Arena *arena;
    ByteSource *bytes; /* owned by text */
    TextSource *text;
    Buf buf;          /* [at, buf.len) is not yet parsed */
    size_t at;        /* start of the next row */
    size_t next;      /* behind the row that was scanned last */
    size_t want;      /* bytes that the buffer is filled up to */
    int64_t line_no;  /* of the next row */
    int64_t newlines; /* in the row that was scanned last */
    size_t cells;
    TableProblem problem;
    bool eof;
    char delimiter;
    bool stops[256]; /* bytes that end the inner loop */
    Cell cell[TABLE_COLUMNS_MAX];
    Str out[TABLE_COLUMNS_MAX];
};

static void set_delimiter(CsvReader *c, char delimiter)
{
    c->delimiter = delimiter;
    memset(c->stops, 0, sizeof c->stops);
    c->stops[(unsigned char)delimiter] = true;
    c->stops['\n'] = true;
    c->stops['\0'] = true;
}

static void note(CsvReader *c, TableProblem problem)
{
    if (c->problem == TABLE_ROW_GOOD)
        c->problem = problem;
}

/* Moves the unparsed rest to the front and reads until the buffer is full or the file ends. */
static Err fill(CsvReader *c, Ctx *ctx)
{
    if (c->at == 0 && c->buf.len > 0 && c->want < TABLE_ROW_BYTES_MAX)
        c->want *= 2;
    if (c->at > 0) {
        memmove(c->buf.ptr, c->buf.ptr + c->at, c->buf.len - c->at);
        c->buf.len -= c->at;
        c->at = 0;
    }
    CHECK(buf_reserve(&c->buf, c->want + 1 - c->buf.len) != NULL);
    while (!c->eof && c->want - c->buf.len >= TEXT_READ_BYTES_MIN) {
        size_t got = 0;
        TRY(intake_text_read(c->text, ctx, c->buf.ptr + c->buf.len, c->want - c->buf.len, &got));
        c->buf.len += got;
        c->eof = got == 0;
    }
    c->buf.ptr[c->buf.len] = '\n';
    return ERR_OK;
}

static void put_cell(CsvReader *c, const char *from, const char *to, bool doubled)
{
    if (c->cells == TABLE_COLUMNS_MAX) {
        note(c, TABLE_ROW_TOO_WIDE);
        return;
    }
    size_t len = (size_t)(to - from);
    if (len > TABLE_CELL_BYTES_MAX) {
        note(c, TABLE_ROW_TOO_LONG);
        len = TABLE_CELL_BYTES_MAX;
    }
    c->cell[c->cells++] = (Cell){(size_t)(from - c->buf.ptr), len, doubled};
}

/* From `p` to the delimiter or newline that ends the cell. */
static const char *scan_to_stop(CsvReader *c, const char *p, const char *end)
{
    for (;;) {
        while (!c->stops[(unsigned char)*p])
            p++;
        if (*p != '\0' || p == end)
            return p;
        note(c, TABLE_ROW_NUL);
        p++;
    }
}

static const char *scan_plain(CsvReader *c, const char *from, const char *end)
{
    const char *stop = scan_to_stop(c, from, end);
    const bool crlf = *stop == '\n' && stop < end && stop > from && stop[-1] == '\r';
    put_cell(c, from, crlf ? stop - 1 : stop, false);
    return stop;
}

/* `from` is the opening quote.  `end` when the row is cut by the end of the buffer. */
static const char *scan_quoted(CsvReader *c, const char *from, const char *end)
{
    bool doubled = false;
    const char *p = from + 1;
    for (;; p += 2) {
        const char *quote = memchr(p, '"', (size_t)(end - p));
        const char *to = quote == NULL ? end : quote;
        for (const char *nl = p; (nl = memchr(nl, '\n', (size_t)(to - nl))) != NULL; nl++)
            c->newlines++;
        if (memchr(p, '\0', (size_t)(to - p)) != NULL)
            note(c, TABLE_ROW_NUL);
        p = to;
        if (p == end || p + 1 == end || p[1] != '"')
            break;
        doubled = true;
    }
    if (p == end)
        note(c, TABLE_ROW_QUOTE); /* never closed, if this is the end of the file */
    put_cell(c, from + 1, p, doubled);
    if (p == end)
        return end;
    p++;
    const char *stop = scan_to_stop(c, p, end);
    const bool crlf = *stop == '\n' && stop == p + 1 && *p == '\r';
    if (stop != p && !crlf)
        note(c, TABLE_ROW_QUOTE);
    return stop;
}

/* Marks the cells of the row at c->at.  False when the row goes on behind the buffer. */
static bool scan_row(CsvReader *c)
{
    const char *p = c->buf.ptr + c->at, *end = c->buf.ptr + c->buf.len;
    c->cells = 0;
    c->newlines = 1;
    c->problem = TABLE_ROW_GOOD;
    for (;; p++) {
        p = *p == '"' && p < end ? scan_quoted(c, p, end) : scan_plain(c, p, end);
        if (p == end && !c->eof)
            return false;
        if (p == end || *p == '\n')
            break;
    }
    c->next = (size_t)(p - c->buf.ptr) + (p < end);
    return true;
}

/* Passes over a row that is longer than the buffer may grow. */
static Err skip_long_row(CsvReader *c, Ctx *ctx)
{
    bool cell_starts = true, quoted_cell = false, inside = false;
    c->newlines = 0;
    for (;; c->at++) {
        if (c->at == c->buf.len && !c->eof)
            TRY(fill(c, ctx));
        if (c->at == c->buf.len)
            break;
        const char b = c->buf.ptr[c->at];
        if (cell_starts)
            quoted_cell = b == '"';
        if (quoted_cell && b == '"')
            inside = !inside;
        c->newlines += b == '\n';
        if (b == '\n' && !inside)
            break;
        cell_starts = b == c->delimiter && !inside;
    }
    c->next = c->at + (c->at < c->buf.len);
    c->cells = 0;
    c->problem = TABLE_ROW_TOO_LONG;
    return ERR_OK;
}

/* Takes every second quote of a doubled pair out. */
static size_t undouble(char *p, size_t len)
{
    size_t to = 0;
    for (size_t i = 0; i < len; i++) {
        p[to++] = p[i];
        if (p[i] == '"' && i + 1 < len && p[i + 1] == '"')
            i++;
    }
    return to;
}

static void finish_row(CsvReader *c, TableRow *row)
{
    const Str raw = {c->buf.ptr + c->at, c->next - c->at};
    const Str odd = str_slice(raw, intake_text_ascii_prefix(raw), raw.len);
    if (c->problem == TABLE_ROW_GOOD && !str_is_utf8(odd))
        c->problem = TABLE_ROW_ENCODING;
    for (size_t i = 0; i < c->cells; i++) {
        const Cell *cell = &c->cell[i];
        char *p = c->buf.ptr + cell->from;
        c->out[i] = (Str){p, cell->doubled ? undouble(p, cell->len) : cell->len};
    }
    *row =
        (TableRow){.cell = c->out, .cells = c->cells, .line_no = c->line_no, .problem = c->problem};
    c->line_no += c->newlines;
    c->at = c->next;
}

/* The next row's cells are marked, or the file ends. */
static Err scan_next(CsvReader *c, Ctx *ctx, bool *more)
{
    *more = false;
    if (c->at == c->buf.len && !c->eof)
        TRY(fill(c, ctx));
    if (c->at == c->buf.len)
        return ERR_OK;
    *more = true;
    while (!scan_row(c)) {
        if (c->buf.len - c->at + TEXT_READ_BYTES_MIN > TABLE_ROW_BYTES_MAX)
            return skip_long_row(c, ctx);
        TRY(fill(c, ctx));
    }
    return ERR_OK;
}

Err intake_csv_next(CsvReader *c, Ctx *ctx, TableRow *row, bool *more)
{
    for (;;) {
        TRY(scan_next(c, ctx, more));
        if (!*more)
            return ERR_OK;
        const char first = c->buf.ptr[c->at];
        const bool empty =
            c->cells == 1 && c->cell[0].len == 0 && first != '"' && c->problem == TABLE_ROW_GOOD;
        if (!empty)
            break;
        c->line_no += c->newlines;
        c->at = c->next;
    }
    finish_row(c, row);
    return ERR_OK;
}

/* How well `delimiter` fits the first rows: 0 when it does not divide the header at all. */
static int64_t fit(CsvReader *c, char delimiter)
{
    set_delimiter(c, delimiter);
    const size_t start = c->at;
    size_t header = 0, rows = 0, same = 0;
    while (rows < DETECT_ROWS && c->at < c->buf.len && scan_row(c)) {
        if (rows == 0)
            header = c->cells;
        same += c->cells == header;
        rows++;
        c->at = c->next;
    }
    c->at = start;
    if (header < 2)
        return 0;
    return (int64_t)(same * 1000 / rows) * 1000 + (int64_t)header;
}

static void detect_delimiter(CsvReader *c)
{
    static const char CANDIDATES[] = {',', ';', '\t', '|'};
    char best = CANDIDATES[0];
    int64_t best_fit = 0;
    for (size_t i = 0; i < ARRAY_LEN(CANDIDATES); i++) {
        const int64_t f = fit(c, CANDIDATES[i]);
        if (f > best_fit) {
            best_fit = f;
            best = CANDIDATES[i];
        }
    }
    set_delimiter(c, best);
}

static Err skip_lines(CsvReader *c, Ctx *ctx, int64_t lines)
{
    while (lines > 0 && (c->at < c->buf.len || !c->eof)) {
        if (c->at == c->buf.len)
            TRY(fill(c, ctx));
        const int64_t nl = str_index(buf_str(&c->buf), '\n', c->at);
        c->at = nl < 0 ? c->buf.len : (size_t)nl + 1;
        c->line_no += nl >= 0;
        lines -= nl >= 0;
    }
    return ERR_OK;
}

static Err start(CsvReader *c, Ctx *ctx, const TableOptions *options)
{
    TRY(fill(c, ctx));
    TRY(skip_lines(c, ctx, options->skip_lines));
    if (options->delimiter != 0)
        set_delimiter(c, options->delimiter);
    else
        detect_delimiter(c);
    return ERR_OK;
}

Err intake_csv_open(Ctx *ctx, const char *path, const TableOptions *options, CsvReader **out)
{
    ByteSource *bytes = NULL;
    TRY(intake_bytes_open(ctx, path, options->chunk_bytes, &bytes));
    Arena *arena = arena_new(sizeof(CsvReader) + 1024);
    CsvReader *c = ARENA_NEW(arena, CsvReader);
    c->arena = arena;
    c->bytes = bytes;
    c->text = intake_text_open(bytes, options->encoding);
    c->buf = BUF_MAX(TABLE_ROW_BYTES_MAX + 1);
    c->want = BUFFER_BYTES;
    c->line_no = 1;
    const Err err = start(c, ctx, options);
    if (err != ERR_OK) {
        intake_csv_close(c);
        return err;
    }
    *out = c;
    return ERR_OK;
}

void intake_csv_progress(const CsvReader *c, int64_t *read_bytes, int64_t *size_bytes)
{
    intake_bytes_progress(c->bytes, read_bytes, size_bytes);
}

void intake_csv_close(CsvReader *c)
{
    if (c == NULL)
        return;
    intake_text_close(c->text);
    buf_free(&c->buf);
    arena_free(c->arena);
}

void intake_csv_put_cell(Buf *out, Str cell, char delimiter)
{
    bool plain = true;
    for (size_t i = 0; i < cell.len; i++) {
        const char b = cell.ptr[i];
        plain = plain && b != delimiter && b != '"' && b != '\n' && b != '\r';
    }
    if (plain) {
        buf_add(out, cell);
        return;
    }
    buf_add_char(out, '"');
    for (size_t i = 0; i < cell.len; i++) {
        if (cell.ptr[i] == '"')
            buf_add_char(out, '"');
        buf_add_char(out, cell.ptr[i]);
    }
    buf_add_char(out, '"');
}
