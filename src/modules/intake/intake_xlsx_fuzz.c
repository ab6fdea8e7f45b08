/*
 * modules/intake/intake_xlsx_fuzz.c -- any bytes as a workbook, or as the parts of one.
 *
 * An odd first byte: the rest is the file.  An even one: the rest, cut at NUL bytes, is the sheet, the
 * shared strings and the styles of a workbook that is sound otherwise, so that the fuzzer reaches the
 * XML without having to guess checksums.
 */
#include "modules/intake/intake_source.h"
#include "modules/intake/intake_testing.h"

#include <zip.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add_part(zip_t *zip, const char *name, Str text)
{
    zip_source_t *s = zip_source_buffer(zip, text.ptr, text.len, 0);
    CHECK(s != NULL);
    const zip_int64_t i = zip_file_add(zip, name, s, 0);
    CHECK(i >= 0 && zip_set_file_compression(zip, (zip_uint64_t)i, ZIP_CM_STORE, 0) == 0);
}

/* Up to the next NUL byte. */
static Str next_piece(Str s, size_t *at)
{
    const int64_t nul = str_index(s, '\0', *at);
    const Str piece = str_slice(s, *at, nul < 0 ? s.len : (size_t)nul);
    *at = nul < 0 ? s.len : (size_t)nul + 1;
    return piece.len == 0 ? STR(" ") : piece;
}

static MemoryFile workbook(Str pieces)
{
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t *whole = zip_source_buffer_create(NULL, 0, 0, &error);
    CHECK(whole != NULL);
    zip_source_keep(whole);
    zip_t *zip = zip_open_from_source(whole, ZIP_TRUNCATE, &error);
    CHECK(zip != NULL);
    size_t at = 0;
    add_part(zip, "xl/workbook.xml",
             STR("<w xmlns:r='x'><sheets><sheet name='A' r:id='r1'/></sheets></w>"));
    add_part(zip, "xl/_rels/workbook.xml.rels",
             STR("<R><Relationship Id='r1' Target='s.xml'/></R>"));
    add_part(zip, "xl/s.xml", next_piece(pieces, &at));
    add_part(zip, "xl/sharedStrings.xml", next_piece(pieces, &at));
    add_part(zip, "xl/styles.xml", next_piece(pieces, &at));
    CHECK(zip_close(zip) == 0 && zip_source_open(whole) == 0);
    zip_stat_t st;
    CHECK(zip_source_stat(whole, &st) == 0);
    Buf bytes = BUF_MAX(16 << 20);
    char *dst = buf_reserve(&bytes, st.size);
    CHECK(dst != NULL && zip_source_read(whole, dst, st.size) == (zip_int64_t)st.size);
    bytes.len = st.size;
    (void)zip_source_close(whole);
    zip_source_free(whole);
    const MemoryFile f = memory_file(buf_str(&bytes));
    buf_free(&bytes);
    return f;
}

static void check_row(const TableRow *row, size_t columns)
{
    CHECK(row->cells <= TABLE_COLUMNS_MAX);
    if (row->problem != TABLE_ROW_GOOD)
        return;
    CHECK(row->cells == columns);
    for (size_t i = 0; i < row->cells; i++) {
        CHECK(row->cell[i].len <= TABLE_CELL_BYTES_MAX);
        CHECK(str_is_utf8(row->cell[i]));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const Str rest = {(const char *)data + 1, size - 1};
    const TableOptions options = {.skip_lines = data[0] / 2 % 2, .chunk_bytes = data[0] / 4};
    const MemoryFile f = data[0] % 2 == 1 ? memory_file(rest) : workbook(rest);
    Ctx ctx = {.arena = arena_new(4096)};
    TableSource *t = NULL;
    TableRow row;
    bool more = intake_table_open(&ctx, f.path, &options, &t) == ERR_OK;
    size_t columns = 0;
    if (more)
        (void)intake_table_columns(t, &columns);
    while (more && intake_table_next(t, &ctx, &row, &more) == ERR_OK && more)
        check_row(&row, columns);
    intake_table_close(t);
    (void)close(f.fd);
    arena_free(ctx.arena);
    return 0;
}
