/*
 * modules/intake/intake_csv_fuzz.c -- any bytes as a table: no crash, bounded memory, and every promise about rows.
 */
#include "modules/intake/intake_source.h"
#include "modules/intake/intake_testing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
    if (size < 1)
        return 0;
    const TableOptions options = {
        .encoding = data[0] % 3, .skip_lines = data[0] / 3 % 2, .chunk_bytes = data[0] / 6};
    Ctx ctx = {.arena = arena_new(4096)};
    const MemoryFile f = memory_file((Str){(const char *)data + 1, size - 1});
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
