/*
 * modules/intake/intake_xlsx_test.c -- workbooks: cell types, dates, sheets, limits, hostile files.
 */
#include "base/test.h"
#include "modules/intake/intake_source.h"
#include "modules/intake/intake_testing.h"
#include "modules/intake/intake_xlsx_style.h"

#include <stdlib.h>
#include <zip.h>

#define WORKBOOK(pr, sheets) "<workbook xmlns:r='x'>" pr "<sheets>" sheets "</sheets></workbook>"
#define RELS(...)            "<Relationships>" __VA_ARGS__ "</Relationships>"
#define SHEET(rows)          "<worksheet><sheetData>" rows "</sheetData></worksheet>"

static const char ONE_SHEET[] = WORKBOOK("", "<sheet name='A' sheetId='1' r:id='r1'/>");
static const char ONE_REL[] = RELS("<Relationship Id='r1' Target='worksheets/s1.xml'/>");
static const char STYLES[] =
    "<styleSheet><numFmts><numFmt numFmtId='170' formatCode='yyyy\"年\"m\"月\"d\"日\"'/>"
    "<numFmt numFmtId='171' formatCode='[Red]0.00'/></numFmts>"
    "<cellStyleXfs><xf numFmtId='14'/></cellStyleXfs>"
    "<cellXfs><xf numFmtId='0'/><xf numFmtId='14'/><xf numFmtId='22'/><xf numFmtId='170'/>"
    "<xf numFmtId='171'/><xf numFmtId='20'/></cellXfs></styleSheet>";

typedef struct PartText {
    const char *name;
    Str text;
} PartText;

/* The workbook as a file in memory. */
static MemoryFile workbook(const PartText *part, size_t parts)
{
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t *whole = zip_source_buffer_create(NULL, 0, 0, &error);
    CHECK(whole != NULL);
    zip_source_keep(whole);
    zip_t *zip = zip_open_from_source(whole, ZIP_TRUNCATE, &error);
    CHECK(zip != NULL);
    for (size_t i = 0; i < parts; i++) {
        zip_source_t *s = zip_source_buffer(zip, part[i].text.ptr, part[i].text.len, 0);
        CHECK(s != NULL && zip_file_add(zip, part[i].name, s, 0) >= 0);
    }
    CHECK(zip_close(zip) == 0);
    CHECK(zip_source_open(whole) == 0);
    zip_stat_t st;
    CHECK(zip_source_stat(whole, &st) == 0);
    Buf bytes = BUF_MAX(64 << 20);
    char *dst = buf_reserve(&bytes, st.size);
    CHECK(dst != NULL && zip_source_read(whole, dst, st.size) == (zip_int64_t)st.size);
    bytes.len = st.size;
    (void)zip_source_close(whole);
    zip_source_free(whole);
    const MemoryFile f = memory_file(buf_str(&bytes));
    buf_free(&bytes);
    return f;
}

/* Rows as "line:cell|cell|;" with "!reason" for bad ones; a failure ends it with "FAIL reason". */
static void dump(char *out, size_t out_bytes, const PartText *part, size_t parts,
                 TableOptions options)
{
    Buf text = BUF_MAX(1 << 20);
    Ctx ctx = {.arena = arena_new(4096)};
    const MemoryFile f = workbook(part, parts);
    TableSource *t = NULL;
    Err err = intake_table_open(&ctx, f.path, &options, &t);
    TableRow row;
    bool more = err == ERR_OK;
    while (more) {
        err = intake_table_next(t, &ctx, &row, &more);
        if (err != ERR_OK || !more)
            break;
        buf_addf(&text, "%" PRId64 ":", row.line_no);
        for (size_t i = 0; i < row.cells && row.problem == TABLE_ROW_GOOD; i++)
            buf_addf(&text, "%.*s|", STR_ARG(row.cell[i]));
        if (row.problem != TABLE_ROW_GOOD)
            buf_addf(&text, "!%s", intake_problem_reason(row.problem));
        buf_add_char(&text, ';');
    }
    if (err != ERR_OK)
        buf_addf(&text, "FAIL %s", ctx.fault.reason);
    buf_add_char(&text, '\0');
    (void)snprintf(out, out_bytes, "%s", text.ptr);
    intake_table_close(t);
    (void)close(f.fd);
    arena_free(ctx.arena);
    buf_free(&text);
}

#define EXPECT_SHEET(options, want, ...)                                                           \
    do {                                                                                           \
        const PartText parts_[] = {__VA_ARGS__};                                                   \
        static const size_t CHUNKS_[] = {0, 1, 13};                                                \
        for (size_t c_ = 0; c_ < ARRAY_LEN(CHUNKS_); c_++) {                                       \
            char text_[1024];                                                                      \
            TableOptions options_ = options;                                                       \
            options_.chunk_bytes = CHUNKS_[c_];                                                    \
            dump(text_, sizeof text_, parts_, ARRAY_LEN(parts_), options_);                        \
            EXPECT_STREQ(text_, want);                                                             \
        }                                                                                          \
    } while (0)

#define ANY ((TableOptions){0})
#define PART(name, text)                                                                           \
    {                                                                                              \
        name,                                                                                      \
        {                                                                                          \
            text, sizeof(text) - 1                                                                 \
        }                                                                                          \
    }
#define FRAME PART("xl/workbook.xml", ONE_SHEET), PART("xl/_rels/workbook.xml.rels", ONE_REL)

TEST(xlsx_reads_every_kind_of_cell)
{
    EXPECT_SHEET(
        ANY,
        "3:文本|3.8600000000000003|true|2017-03-03|2017-03-03T14:06:53|2017-03-03|;"
        "4:ab|1.50||06:30|42797|#N/A|;",
        FRAME, PART("xl/styles.xml", STYLES),
        PART("xl/sharedStrings.xml",
             "<sst><si><t>a</t></si><si><t>文</t><rPh><t>x</t></rPh><r><t>本</t></r></si></sst>"),
        PART("xl/worksheets/s1.xml",
             SHEET("<row r='2'><c r='A2' t='s'><v>0</v></c><c t='inlineStr'><is><t>b</t></is>"
                   "</c><c><v>3</v></c><c><v>4</v></c><c><v>5</v></c><c><v>6</v></c></row>"
                   "<row r='3'><c r='A3' t='s'><v>1</v></c><c r='B3'><v>3.8600000000000003"
                   "</v></c><c r='C3' t='b'><v>1</v></c><c r='D3' s='1'><v>42797</v></c>"
                   "<c r='E3' s='2'><v>42797.58811342593</v></c><c r='F3' s='3'><v>42797"
                   "</v></c></row>"
                   "<row/><row r='4'><c r='A4' t='str'><f>x</f><v>ab</v></c>"
                   "<c r='B4' s='4'><v>1.50</v></c><c r='D4' t='str'><v>06:30</v></c>"
                   "<c r='E4'><v>42797</v></c><c r='F4' t='e'><v>#N/A</v></c></row>")));
}

TEST(xlsx_chooses_the_sheet_by_name_or_number)
{
    static const char TWO[] =
        WORKBOOK("<workbookPr date1904='1'/>",
                 "<sheet name='A' r:id='r1'/><sheet name='B &amp; C' r:id='r2'/>");
    static const char RELS2[] = RELS("<Relationship Id='r2' Target='/xl/worksheets/s2.xml'/>"
                                     "<Relationship Id='r1' Target='worksheets/s1.xml'/>");
#define TWO_SHEETS                                                                                 \
    PART("xl/workbook.xml", TWO), PART("xl/_rels/workbook.xml.rels", RELS2),                       \
        PART("xl/styles.xml", STYLES),                                                             \
        PART("xl/worksheets/s1.xml",                                                               \
             SHEET("<row r='1'><c><v>1</v></c></row><row r='2'><c><v>2</v></c></row>")),           \
        PART("xl/worksheets/s2.xml",                                                               \
             SHEET("<row r='1'><c><v>1</v></c></row><row r='7'><c s='1'><v>0</v></c></row>"))
    EXPECT_SHEET(ANY, "2:2|;", TWO_SHEETS);
    EXPECT_SHEET(((TableOptions){.sheet_index = 2}), "7:1904-01-01|;", TWO_SHEETS);
    EXPECT_SHEET(((TableOptions){.sheet = STR("B & C")}), "7:1904-01-01|;", TWO_SHEETS);
    EXPECT_SHEET(((TableOptions){.sheet = STR("D")}), "FAIL intake.sheet_not_found", TWO_SHEETS);
    EXPECT_SHEET(((TableOptions){.skip_lines = 1}), "", TWO_SHEETS);
}

TEST(xlsx_pads_short_rows_and_reports_long_ones)
{
    EXPECT_SHEET(ANY, "2:1||;3:!intake.ragged;4:!intake.too_wide;5:|2|;", FRAME,
                 PART("xl/worksheets/s1.xml",
                      SHEET("<row r='1'><c><v>1</v></c><c><v>2</v></c></row>"
                            "<row r='2'><c><v>1</v></c></row>"
                            "<row r='3'><c r='A3'><v>1</v></c><c r='D3'><v>1</v></c></row>"
                            "<row r='4'><c r='ZZ4'><v>1</v></c></row>"
                            "<row r='5'><c r='B5'><v>2</v></c></row>")));
}

TEST(xlsx_refuses_what_is_damaged_or_hostile)
{
    EXPECT_SHEET(ANY, "FAIL intake.xlsx_broken", PART("a.txt", "x"));
    EXPECT_SHEET(ANY, "FAIL intake.xlsx_broken", FRAME);
    EXPECT_SHEET(ANY, "FAIL intake.xlsx_broken", FRAME,
                 PART("xl/worksheets/s1.xml", "<worksheet><sheetData><row><c><v>1"));
    EXPECT_SHEET(ANY, "FAIL intake.xlsx_broken", FRAME,
                 PART("xl/worksheets/s1.xml",
                      "<!DOCTYPE x [<!ENTITY a 'b'>]>" SHEET("<row><c><v>&a;</v></c></row>")));
    EXPECT_SHEET(ANY, "FAIL intake.xlsx_broken", FRAME,
                 PART("xl/worksheets/s1.xml", SHEET("<row><c t='s'><v>5</v></c></row>")));
}

TEST(xlsx_stops_at_a_zip_bomb)
{
    Buf sheet = BUF_MAX(64 << 20);
    buf_add(&sheet, STR("<worksheet><sheetData><row><c><v>1</v></c></row>"));
    while (sheet.len < 40 << 20)
        buf_add(&sheet, STR("                                                                "));
    const PartText parts[] = {FRAME, {"xl/worksheets/s1.xml", buf_str(&sheet)}};
    char text[128];
    dump(text, sizeof text, parts, ARRAY_LEN(parts), ANY);
    EXPECT_STREQ(text, "FAIL intake.zip_bomb");
    buf_free(&sheet);
}

static void expect_date(const char *serial, XlsxKind kind, bool date_1904, const char *want)
{
    Buf out = BUF_MAX(64);
    if (!intake_xlsx_print_date(&out, str_of(serial), kind, date_1904))
        buf_add(&out, STR("no"));
    buf_add_char(&out, '\0');
    char got[64];
    (void)snprintf(got, sizeof got, "%s", out.ptr);
    buf_free(&out);
    EXPECT_STREQ(got, want);
}

TEST(xlsx_serial_numbers_are_the_dates_that_a_spreadsheet_shows)
{
    expect_date("1", XLSX_DATE, false, "1900-01-01");
    expect_date("59", XLSX_DATE, false, "1900-02-28");
    expect_date("60", XLSX_DATE, false, "no");
    expect_date("61", XLSX_DATE, false, "1900-03-01");
    expect_date("45658", XLSX_DATE, false, "2025-01-01");
    expect_date("2958465", XLSX_DATE, false, "9999-12-31");
    expect_date("2958466", XLSX_DATE, false, "no");
    expect_date("-1", XLSX_DATE, false, "no");
    expect_date("45658", XLSX_DATE_TIME, false, "2025-01-01T00:00:00");
    expect_date("45658.999999999", XLSX_DATE_TIME, false, "2025-01-02T00:00:00");
    expect_date("45658.5000057870", XLSX_DATE_TIME, false, "2025-01-01T12:00:00.500");
    expect_date("0.75", XLSX_TIME, false, "18:00:00");
    expect_date("44196", XLSX_DATE, true, "2025-01-01");
    expect_date("4.5658E+4", XLSX_DATE, false, "no");
    expect_date("12", XLSX_NUMBER, false, "no");
}

TEST(xlsx_format_codes_tell_dates_from_numbers)
{
    static const struct {
        const char *code;
        XlsxKind kind;
    } CASES[] = {
        {"General", XLSX_NUMBER},
        {"0.00", XLSX_NUMBER},
        {"#,##0;[Red]-#,##0", XLSX_NUMBER},
        {"\"day\" 0", XLSX_NUMBER},
        {"0\\d", XLSX_NUMBER},
        {"yyyy-mm-dd", XLSX_DATE},
        {"[$-804]yyyy/m/d", XLSX_DATE},
        {"m/d/yy h:mm", XLSX_DATE_TIME},
        {"h:mm AM/PM", XLSX_TIME},
        {"[h]:mm:ss", XLSX_NUMBER},
        {"[Magenta]0", XLSX_NUMBER},
        {"0_d", XLSX_NUMBER},
        {"\"", XLSX_NUMBER},
        {"\\", XLSX_NUMBER},
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
        EXPECT_I64(intake_xlsx_code_kind(str_of(CASES[i].code)), CASES[i].kind);
    EXPECT_I64(intake_xlsx_builtin_kind(0), XLSX_NUMBER);
    EXPECT_I64(intake_xlsx_builtin_kind(14), XLSX_DATE);
    EXPECT_I64(intake_xlsx_builtin_kind(22), XLSX_DATE_TIME);
    EXPECT_I64(intake_xlsx_builtin_kind(46), XLSX_NUMBER);
}
