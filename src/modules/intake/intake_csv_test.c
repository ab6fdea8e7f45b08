/*
 * modules/intake/intake_csv_test.c -- CSV as it comes: quoting, line ends, encodings, gzip, bad rows.
 */
#include "base/test.h"
#include "modules/intake/intake_bytes.h"
#include "modules/intake/intake_csv.h"
#include "modules/intake/intake_testing.h"

#include <iconv.h>
#include <stdlib.h>
#include <zlib.h>

static const char *reason_at_open(Str content, const TableOptions *options)
{
    static char reason[64];
    Ctx ctx = {.arena = arena_new(4096)};
    const MemoryFile f = memory_file(content);
    TableSource *t = NULL;
    const Err err = intake_table_open(&ctx, f.path, options, &t);
    (void)snprintf(reason, sizeof reason, "%s", err == ERR_OK ? "" : ctx.fault.reason);
    if (err == ERR_OK)
        intake_table_close(t);
    (void)close(f.fd);
    arena_free(ctx.arena);
    return reason;
}

/* The whole table as text: "line:cell|cell|;" per row, "!reason" behind a bad one. */
static void dump(Buf *out, Str content, const TableOptions *options)
{
    Ctx ctx = {.arena = arena_new(4096)};
    const MemoryFile f = memory_file(content);
    TableSource *t = NULL;
    CHECK(intake_table_open(&ctx, f.path, options, &t) == ERR_OK);
    TableRow row;
    bool more = true;
    int64_t row_no = 0;
    for (;;) {
        const Err err = intake_table_next(t, &ctx, &row, &more);
        if (err != ERR_OK)
            buf_addf(out, "FAIL %s", ctx.fault.reason);
        if (err != ERR_OK || !more)
            break;
        CHECK(row.row_no == ++row_no);
        buf_addf(out, "%" PRId64 ":", row.line_no);
        for (size_t i = 0; i < row.cells && row.problem == TABLE_ROW_GOOD; i++) {
            buf_add(out, row.cell[i]);
            buf_add_char(out, '|');
        }
        if (row.problem != TABLE_ROW_GOOD)
            buf_addf(out, "!%s", intake_problem_reason(row.problem));
        buf_add_char(out, ';');
    }
    intake_table_close(t);
    (void)close(f.fd);
    arena_free(ctx.arena);
}

/* The same rows whatever the size of a read. */
static void expect_rows(Str content, TableOptions options, const char *want)
{
    static const size_t CHUNKS[] = {0, 1, 2, 3, 7, 64, 1000};
    for (size_t i = 0; i < ARRAY_LEN(CHUNKS); i++) {
        Buf out = BUF_MAX(1 << 20);
        options.chunk_bytes = CHUNKS[i];
        dump(&out, content, &options);
        buf_add_char(&out, '\0');
        char got[512];
        (void)snprintf(got, sizeof got, "%s", out.ptr);
        buf_free(&out);
        EXPECT_STREQ(got, want);
    }
}

TEST(csv_reads_quotes_newlines_and_both_line_ends)
{
    const TableOptions any = {0};
    expect_rows(STR("a,b\n1,2\n3,4"), any, "2:1|2|;3:3|4|;");
    expect_rows(STR("a,b\r\n1,2\r\n\r\n3,4\r\n"), any, "2:1|2|;4:3|4|;");
    expect_rows(STR("a,b\n\"x,\"\"y\"\"\nz\",\"\"\n,\n"), any, "2:x,\"y\"\nz||;4:||;");
    expect_rows(STR("a,b\n5\" tv,x\"y\n"), any, "2:5\" tv|x\"y|;");
    expect_rows(STR("\xef\xbb\xbf"
                    "a,b\n1,2\n"),
                any, "2:1|2|;");
    expect_rows(STR("a,b\r\n\"1\",\"2\"\r\n"), any, "2:1|2|;");
    expect_rows(STR("a\n\"\"\nx\n"), any, "2:|;3:x|;");
}

TEST(csv_finds_the_delimiter_unless_it_is_told)
{
    const TableOptions any = {0};
    expect_rows(STR("a;b\n1,5;2\n"), any, "2:1,5|2|;");
    expect_rows(STR("a\tb\n1 ; 2\t3\n"), any, "2:1 ; 2|3|;");
    expect_rows(STR("a|b|c\nx,y|2|3\n"), any, "2:x,y|2|3|;");
    expect_rows(STR("a,b;c\n1,2;3\n"), (TableOptions){.delimiter = ';'}, "2:1,2|3|;");
}

TEST(csv_reports_bad_rows_and_goes_on)
{
    const TableOptions any = {0};
    expect_rows(STR("a,b\n1\n2,3\n4,5,6\n"), any, "2:!intake.ragged;3:2|3|;4:!intake.ragged;");
    expect_rows(STR("a,b\n\"x\"y,1\n2,3\n"), any, "2:!intake.quote;3:2|3|;");
    expect_rows(STR("a,b\n1,2\n3,\"never closed\n4,5\n"), any, "2:1|2|;3:!intake.quote;");
    expect_rows(STR("a,b\n1,\0002\n3,4\n"), any, "2:!intake.nul;3:3|4|;");
    expect_rows(STR("a,b\n\"\0\",2\n3,4\n"), any, "2:!intake.nul;3:3|4|;");
    expect_rows(STR("a,b\n1,\xff\n3,\xe4\xb8\xad\n"), any, "2:!intake.encoding;3:3|\xe4\xb8\xad|;");
}

TEST(csv_bounds_cells_rows_and_columns)
{
    Buf file = BUF_MAX(32 << 20);
    buf_add(&file, STR("a,b\n1,"));
    for (int i = 0; i <= TABLE_CELL_BYTES_MAX; i++)
        buf_add_char(&file, 'x');
    buf_add(&file, STR("\n2,3\n\""));
    for (int i = 0; i < 5 << 20; i++) /* a row over the limit, with newlines and quotes inside */
        buf_add(&file, i % 1000 == 0 ? STR("\n") : i % 1000 == 1 ? STR("\"\"") : STR("y"));
    buf_add(&file, STR("\",9\n4,5\n"));
    for (int i = 0; i <= TABLE_COLUMNS_MAX; i++)
        buf_add_char(&file, ',');
    buf_add(&file, STR("\n6,7"));
    Buf out = BUF_MAX(1 << 20);
    dump(&out, buf_str(&file), &(TableOptions){.delimiter = ','});
    buf_add_char(&out, '\0');
    EXPECT_STREQ(out.ptr, "2:!intake.too_long;3:2|3|;4:!intake.too_long;5248:4|5|;"
                          "5249:!intake.too_wide;5250:6|7|;");
    buf_free(&out);
    buf_free(&file);
}

TEST(csv_skips_lines_above_the_header_and_takes_names_from_the_map)
{
    const Str names[] = {STR("x"), STR("y")};
    expect_rows(STR("Report, of\n\na,b\n1,2\n"), (TableOptions){.skip_lines = 2}, "4:1|2|;");
    expect_rows(STR("1,2\n3,4\n"), (TableOptions){.columns = names, .columns_count = 2},
                "1:1|2|;2:3|4|;");
    EXPECT_STREQ(reason_at_open(STR("a,b\n"), &(TableOptions){.skip_lines = 5}), "intake.empty");
}

TEST(csv_refuses_files_that_are_no_table)
{
    const TableOptions any = {0};
    EXPECT_STREQ(reason_at_open(STR(""), &any), "intake.empty");
    EXPECT_STREQ(reason_at_open(STR("\xff\xfe"
                                    "a\0,\0"),
                                &any),
                 "intake.utf16");
    EXPECT_STREQ(reason_at_open(STR("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), &any),
                 "intake.file_unreadable");
    EXPECT_STREQ(reason_at_open(STR("a,\"b"), &any), "intake.header_bad");
    EXPECT_STREQ(reason_at_open(STR("\x1f\x8b\x08nonsense!!!!"), &any), "intake.gzip_broken");
    EXPECT_STREQ(reason_at_open(STR("PK\x03\x04 no workbook"), &any), "intake.xlsx_broken");
    Ctx ctx = {.arena = arena_new(4096)};
    TableSource *t = NULL;
    EXPECT_I64(intake_table_open(&ctx, "/nonexistent/x.csv", &any, &t), ERR_NOT_FOUND);
    arena_free(ctx.arena);
}

static void gzip_into(Buf *out, Str s)
{
    z_stream z = {0};
    CHECK(deflateInit2(&z, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    const size_t bound = deflateBound(&z, s.len);
    char *dst = buf_reserve(out, bound);
    CHECK(dst != NULL);
    char *in = strndup(s.ptr, s.len);
    z.next_in = (Bytef *)in;
    z.avail_in = (uInt)s.len;
    z.next_out = (Bytef *)dst;
    z.avail_out = (uInt)bound;
    CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
    out->len += bound - z.avail_out;
    CHECK(deflateEnd(&z) == Z_OK);
    free(in);
}

TEST(csv_reads_gzip_of_several_members_and_refuses_a_cut_one)
{
    const TableOptions any = {0};
    Buf file = BUF_MAX(1 << 16);
    gzip_into(&file, STR("a,b\n1,"));
    gzip_into(&file, STR("2\n3,4\n"));
    buf_add(&file, STR("\0\0\0\0"));
    expect_rows(buf_str(&file), any, "2:1|2|;3:3|4|;");
    buf_clear(&file);
    gzip_into(&file, STR("a,b\n1,2\n3,4\n"));
    EXPECT_STREQ(reason_at_open(str_slice(buf_str(&file), 0, file.len - 9), &any),
                 "intake.gzip_broken");
    buf_free(&file);
}

/* What is read from a pipe that holds `content`. */
static void expect_piped(Str content, Str want)
{
    char path[40], got[64];
    int ends[2];
    size_t len = 0, n = 0;
    Ctx ctx = {.arena = arena_new(4096)};
    ByteSource *bytes = NULL;
    CHECK(pipe(ends) == 0 && write(ends[1], content.ptr, content.len) == (ssize_t)content.len);
    (void)close(ends[1]);
    CHECK(snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]) < (int)sizeof path);
    CHECK(intake_bytes_open(&ctx, path, 0, &bytes) == ERR_OK);
    do {
        CHECK(intake_bytes_read(bytes, &ctx, got + len, sizeof got - len, &n) == ERR_OK);
        len += n;
    } while (n > 0);
    CHECK(str_eq((Str){got, len}, want));
    intake_bytes_close(bytes);
    (void)close(ends[0]);
    arena_free(ctx.arena);
}

TEST(bytes_of_a_pipe_are_read_packed_or_not)
{
    Buf packed = BUF_MAX(1 << 12);
    gzip_into(&packed, STR("one\ntwo\n"));
    expect_piped(buf_str(&packed), STR("one\ntwo\n"));
    expect_piped(STR("one\ntwo\n"), STR("one\ntwo\n"));
    expect_piped(STR("1"), STR("1"));
    expect_piped(STR(""), STR(""));
    buf_free(&packed);
}

static void to_gb18030(Buf *out, Str s)
{
    const iconv_t c = iconv_open("GB18030", "UTF-8");
    CHECK(c != (iconv_t)-1);
    char *in = s.len == 0 ? NULL : strndup(s.ptr, s.len);
    char *from = in, *to = buf_reserve(out, s.len * 2 + 4);
    size_t in_left = s.len, out_left = s.len * 2 + 4;
    CHECK(to != NULL && iconv(c, &from, &in_left, &to, &out_left) == 0);
    out->len += s.len * 2 + 4 - out_left;
    (void)iconv_close(c);
    free(in);
}

TEST(csv_detects_gb18030_also_behind_many_plain_lines_and_takes_it_by_order)
{
    const TableOptions any = {0};
    const Str utf8 = STR("编号,姓名\n1,张三\n2,李四𠮷\n");
    Buf gb = BUF_MAX(1 << 22);
    to_gb18030(&gb, utf8);
    expect_rows(buf_str(&gb), any, "2:1|张三|;3:2|李四𠮷|;");
    expect_rows(buf_str(&gb), (TableOptions){.encoding = TABLE_ENCODING_GB18030},
                "2:1|张三|;3:2|李四𠮷|;");
    expect_rows(STR("a,b\n1,\xd5\xc5\xff\n"), (TableOptions){.encoding = TABLE_ENCODING_GB18030},
                "2:!intake.encoding;");
    expect_rows(STR("a,b\n1,\xd5"), (TableOptions){.encoding = TABLE_ENCODING_GB18030},
                "2:!intake.encoding;");
    buf_clear(&gb);
    buf_add(&gb, STR("a,b\n")); /* 65,535 bytes of ASCII: the first block ends inside a character */
    while (gb.len < 65530)
        buf_add(&gb, STR("123,6\n"));
    const int64_t line = 2 + (int64_t)(gb.len - 4) / 6;
    while (gb.len < 65535)
        buf_add_char(&gb, 'x');
    to_gb18030(&gb, STR("张,三\n"));
    Buf out = BUF_MAX(1 << 22);
    dump(&out, buf_str(&gb), &any);
    Buf want = BUF_MAX(256);
    buf_addf(&want, "%" PRId64 ":%.*s张|三|;", line, (int)(65535 - 4 - (line - 2) * 6), "xxxxxx");
    CHECK(str_ends_with(buf_str(&out), buf_str(&want)));
    buf_free(&want);
    buf_free(&out);
    buf_free(&gb);
}

/* A random table as CSV, and as dump() should show it. */
static void random_table(uint64_t *seed, Buf *csv, Buf *want)
{
    static const char *const PIECES[] = {
        "a", "0", " ", ",", "\"", "\n", "\r", ";", "é", "中", "\xf0\xa0\xae\xb7", "x", "张"};
    const uint32_t columns = 2 + random_below(seed, 5), rows = random_below(seed, 30);
    for (uint32_t i = 0; i < columns; i++)
        buf_addf(csv, "%sc%u", i == 0 ? "" : ",", i);
    buf_add_char(csv, '\n');
    int64_t line = 2;
    for (uint32_t r = 0; r < rows; r++) {
        buf_addf(want, "%" PRId64 ":", line++);
        for (uint32_t c = 0; c < columns; c++) {
            Buf cell = BUF_MAX(4096);
            for (uint32_t n = random_below(seed, 12); n > 0; n--)
                buf_add(&cell, str_of(PIECES[random_below(seed, ARRAY_LEN(PIECES))]));
            for (size_t i = 0; i < cell.len; i++)
                line += cell.ptr[i] == '\n';
            if (c > 0)
                buf_add_char(csv, ',');
            intake_csv_put_cell(csv, buf_str(&cell), ',');
            buf_add(want, buf_str(&cell));
            buf_add_char(want, '|');
            buf_free(&cell);
        }
        buf_add(csv, random_below(seed, 2) == 0 ? STR("\n") : STR("\r\n"));
        buf_add_char(want, ';');
    }
}

static void expect_same(Str content, TableOptions options, Str want)
{
    Buf got = BUF_MAX(1 << 20);
    dump(&got, content, &options);
    CHECK(str_eq(buf_str(&got), want));
    buf_free(&got);
}

TEST(csv_what_was_written_is_read_in_both_encodings_and_all_chunk_sizes)
{
    uint64_t seed = 20261121;
    for (int round = 0; round < 400; round++) {
        Buf csv = BUF_MAX(1 << 20), want = BUF_MAX(1 << 20), gb = BUF_MAX(1 << 20);
        random_table(&seed, &csv, &want);
        to_gb18030(&gb, buf_str(&csv));
        const TableOptions utf8 = {.delimiter = ',', .chunk_bytes = random_below(&seed, 100)};
        const TableOptions forced = {.delimiter = ',',
                                     .encoding = TABLE_ENCODING_GB18030,
                                     .chunk_bytes = 1 + random_below(&seed, 9)};
        expect_same(buf_str(&csv), utf8, buf_str(&want));
        expect_same(buf_str(&gb), forced, buf_str(&want));
        buf_free(&csv);
        buf_free(&want);
        buf_free(&gb);
    }
}

TEST(csv_resumes_behind_a_row_and_tells_how_far_it_is)
{
    Ctx ctx = {.arena = arena_new(4096)};
    const MemoryFile f = memory_file(STR("a,b\n1,2\n3,4\n5,6\n"));
    TableSource *t = NULL;
    CHECK(intake_table_open(&ctx, f.path, &(TableOptions){0}, &t) == ERR_OK);
    TableRow row;
    bool more = false;
    CHECK(intake_table_skip(t, &ctx, 2) == ERR_OK);
    CHECK(intake_table_next(t, &ctx, &row, &more) == ERR_OK);
    CHECK(more && str_eq(row.cell[0], STR("5")));
    EXPECT_I64(row.row_no, 3);
    int64_t at = 0, size = 0;
    intake_table_progress(t, &at, &size);
    EXPECT_I64(at, 16);
    EXPECT_I64(size, 16);
    CHECK(intake_table_skip(t, &ctx, 99) == ERR_OK); /* past the end is the end */
    CHECK(intake_table_next(t, &ctx, &row, &more) == ERR_OK);
    CHECK(!more);
    intake_table_close(t);
    (void)close(f.fd);
    arena_free(ctx.arena);
}
