/*
 * modules/intake/intake_xlsx.c -- libzip and expat behind intake_xlsx.h.
 *
 * Workbook, relations, styles and shared strings are read at open; the sheet is parsed while rows are
 * asked for: the end of a row suspends the parser, the next call resumes it.
 */
#include "modules/intake/intake_xlsx.h"

#include "modules/intake/intake_temp.h"
#include "modules/intake/intake_xlsx_style.h"
#include <expat.h>
#include <unistd.h>
#include <zip.h>

enum {
    CHUNK_BYTES = 64 * 1024,
    SHEETS_MAX = 1024,
    PARTS_MAX = 65536, /* files in the archive */
    STRINGS_MAX = 4 * 1024 * 1024,
    STYLES_MAX = 65536,    /* formats and styles by id */
    BUILTIN_FORMATS = 164, /* custom ones start here; the rest of the table is 0, a number */
    NAME_BYTES_MAX = 256,
    RATIO_MAX = 200,
    RATIO_FREE_BYTES = 16 * 1024 * 1024, /* small parts may shrink as well as they like */
};
static const int64_t XML_BYTES_MAX = INT64_C(4) << 30;

typedef struct Part {
    zip_file_t *file;
    int64_t packed_bytes;
    int64_t size_bytes; /* as declared; only for progress */
    int64_t read_bytes;
} Part;

typedef struct Cell {
    size_t from; /* in XlsxReader.content */
    size_t len;
} Cell;

struct XlsxReader {
    Arena *arena;
    zip_t *zip;
    XML_Parser parser;
    Part part;           /* the one being read; the sheet once open */
    int64_t total_bytes; /* of XML so far, over all parts */
    size_t chunk_bytes;
    const char *broken; /* why a handler stopped the parser; a sentence */
    bool date_1904;
    bool suspended;
    bool row_ready;
    bool ended;
    /* which sheet */
    Str want_name;
    int64_t want_index;
    int64_t sheets;
    Str sheet_rel;
    Str sheet_path;
    uint8_t format_kind[STYLES_MAX];
    uint8_t style_kind[STYLES_MAX];
    size_t styles;
    bool in_styles;
    /* shared strings: bytes in the spool, where each starts in `starts` */
    int spool;
    Buf spooling; /* not yet written */
    Buf starts;   /* int64_t each */
    int64_t spooled_bytes;
    /* text of the element that is open */
    Buf text;
    bool in_text;
    bool in_phonetic;
    bool too_long;
    /* the row that is open */
    char cell_type[12];
    int64_t cell_style;
    int64_t column;
    int64_t line_no;
    TableProblem problem;
    Buf content;
    size_t cells;
    Cell cell[TABLE_COLUMNS_MAX];
    Str out[TABLE_COLUMNS_MAX];
};

static Err broken(Ctx *ctx, const char *sentence)
{
    return fail_field(ctx, "", "intake.xlsx_broken", "%s", sentence);
}

/* Element and attribute names without their namespace prefix. */
static bool is_named(const char *name, const char *local)
{
    const char *colon = strrchr(name, ':');
    return strcmp(colon == NULL ? name : colon + 1, local) == 0;
}

static Str attribute(const char **attrs, const char *name)
{
    for (size_t i = 0; attrs[i] != NULL; i += 2)
        if (is_named(attrs[i], name))
            return str_of(attrs[i + 1]);
    return (Str){NULL, 0};
}

static int64_t attribute_i64(const char **attrs, const char *name, int64_t absent)
{
    int64_t v = absent;
    return str_to_i64(attribute(attrs, name), &v) ? v : absent;
}

/* ---- parts of the archive ---- */

static void part_close(XlsxReader *x)
{
    if (x->part.file != NULL)
        (void)zip_fclose(x->part.file);
    x->part = (Part){0};
}

/* False when there is no such part. */
static bool part_open(XlsxReader *x, const char *name)
{
    part_close(x);
    zip_stat_t st;
    if (zip_stat(x->zip, name, 0, &st) != 0)
        return false;
    zip_file_t *f = zip_fopen(x->zip, name, 0);
    if (f == NULL)
        return false;
    x->part =
        (Part){.file = f, .packed_bytes = (int64_t)st.comp_size, .size_bytes = (int64_t)st.size};
    return true;
}

static Err part_read(XlsxReader *x, Ctx *ctx, char *dst, size_t n, size_t *got)
{
    const zip_int64_t r = zip_fread(x->part.file, dst, n);
    if (r < 0)
        return broken(ctx, "the workbook is damaged: save it again");
    x->part.read_bytes += r;
    x->total_bytes += r;
    const bool bomb = x->part.read_bytes > RATIO_FREE_BYTES &&
                      x->part.read_bytes / RATIO_MAX > x->part.packed_bytes;
    if (bomb || x->total_bytes > XML_BYTES_MAX)
        return fail(ctx, ERR_TOO_LARGE, "intake.zip_bomb", "%" PRId64 " bytes out of %" PRId64,
                    x->part.read_bytes, x->part.packed_bytes);
    *got = (size_t)r;
    return ERR_OK;
}

static void on_doctype(void *arg, const char *name, const char *sysid, const char *pubid, int sub)
{
    (void)name, (void)sysid, (void)pubid, (void)sub;
    XlsxReader *x = arg;
    x->broken = "the workbook's XML has a document type, which is not allowed";
    (void)XML_StopParser(x->parser, XML_FALSE);
}

/* Collects the text of the elements that the handlers asked for. */
static void on_text(void *arg, const char *s, int len)
{
    XlsxReader *x = arg;
    if (!x->in_text || x->in_phonetic)
        return;
    buf_add(&x->text, (Str){s, (size_t)len});
    x->too_long = x->too_long || x->text.overflowed;
}

static void parser_start(XlsxReader *x, XML_StartElementHandler on_start,
                         XML_EndElementHandler on_end)
{
    if (x->parser != NULL)
        XML_ParserFree(x->parser);
    x->parser = XML_ParserCreate(NULL);
    CHECK(x->parser != NULL);
    XML_SetUserData(x->parser, x);
    XML_SetElementHandler(x->parser, on_start, on_end);
    XML_SetCharacterDataHandler(x->parser, on_text);
    XML_SetStartDoctypeDeclHandler(x->parser, on_doctype);
    x->in_text = false;
    x->in_phonetic = false;
}

/* Parses one more chunk, or goes on with a suspended one. */
static Err parse_more(XlsxReader *x, Ctx *ctx)
{
    enum XML_Status status = XML_STATUS_OK;
    if (x->suspended) {
        status = XML_ResumeParser(x->parser);
    } else {
        char *dst = XML_GetBuffer(x->parser, CHUNK_BYTES);
        CHECK(dst != NULL);
        size_t got = 0;
        TRY(part_read(x, ctx, dst, x->chunk_bytes, &got));
        x->ended = got == 0;
        status = XML_ParseBuffer(x->parser, (int)got, got == 0);
    }
    x->suspended = status == XML_STATUS_SUSPENDED;
    if (x->broken != NULL)
        return broken(ctx, x->broken);
    if (status == XML_STATUS_ERROR)
        return broken(ctx, "the workbook's XML is damaged: save it again");
    return ERR_OK;
}

/* Reads a whole part through its handlers. */
static Err parse_part(XlsxReader *x, Ctx *ctx, const char *name, XML_StartElementHandler on_start,
                      XML_EndElementHandler on_end)
{
    if (!part_open(x, name))
        return broken(ctx, "this zip file is not an xlsx workbook");
    parser_start(x, on_start, on_end);
    x->ended = false;
    while (!x->ended)
        TRY(parse_more(x, ctx));
    return ERR_OK;
}

/* ---- workbook, relations, styles ---- */

static void on_end_nothing(void *arg, const char *name)
{
    (void)arg, (void)name;
}

static void on_workbook(void *arg, const char *name, const char **attrs)
{
    XlsxReader *x = arg;
    if (is_named(name, "workbookPr")) {
        const Str v = attribute(attrs, "date1904");
        x->date_1904 = str_eq(v, STR("1")) || str_eq(v, STR("true"));
    }
    if (!is_named(name, "sheet") || x->sheets == SHEETS_MAX)
        return;
    x->sheets++;
    const Str id = attribute(attrs, "id");
    const bool wanted = x->want_name.len > 0 ? str_eq(attribute(attrs, "name"), x->want_name)
                                             : x->sheets == x->want_index;
    if (wanted && x->sheet_rel.len == 0 && id.len <= NAME_BYTES_MAX)
        x->sheet_rel = arena_copy(x->arena, id);
}

static void on_relation(void *arg, const char *name, const char **attrs)
{
    XlsxReader *x = arg;
    const Str target = attribute(attrs, "Target");
    if (!is_named(name, "Relationship") || x->sheet_path.len > 0 || target.len > NAME_BYTES_MAX ||
        target.len == 0 || !str_eq(attribute(attrs, "Id"), x->sheet_rel))
        return;
    const bool absolute = target.ptr[0] == '/';
    x->sheet_path = arena_printf(x->arena, "%s%s", absolute ? "" : "xl/",
                                 absolute ? target.ptr + 1 : target.ptr);
}

static void on_style(void *arg, const char *name, const char **attrs)
{
    XlsxReader *x = arg;
    if (is_named(name, "cellXfs"))
        x->in_styles = true;
    const int64_t id = attribute_i64(attrs, "numFmtId", 0);
    if (id < 0 || id >= STYLES_MAX)
        return;
    if (is_named(name, "numFmt"))
        x->format_kind[id] = (uint8_t)intake_xlsx_code_kind(attribute(attrs, "formatCode"));
    if (is_named(name, "xf") && x->in_styles && x->styles < STYLES_MAX)
        x->style_kind[x->styles++] = x->format_kind[id];
}

static void on_style_end(void *arg, const char *name)
{
    XlsxReader *x = arg;
    if (is_named(name, "cellXfs"))
        x->in_styles = false;
}

static Err read_workbook(XlsxReader *x, Ctx *ctx)
{
    TRY(parse_part(x, ctx, "xl/workbook.xml", on_workbook, on_end_nothing));
    if (x->sheet_rel.len == 0)
        return fail_field(ctx, "", "intake.sheet_not_found",
                          "the workbook has %" PRId64 " sheets and none is the one asked for",
                          x->sheets);
    TRY(parse_part(x, ctx, "xl/_rels/workbook.xml.rels", on_relation, on_end_nothing));
    if (x->sheet_path.len == 0)
        return broken(ctx, "the workbook does not say where its sheet is");
    for (int64_t id = 0; id < BUILTIN_FORMATS; id++)
        x->format_kind[id] = (uint8_t)intake_xlsx_builtin_kind(id);
    if (!part_open(x, "xl/styles.xml"))
        return ERR_OK; /* optional: then nothing is a date */
    return parse_part(x, ctx, "xl/styles.xml", on_style, on_style_end);
}

/* ---- shared strings ---- */

static void on_string(void *arg, const char *name, const char **attrs)
{
    (void)attrs;
    XlsxReader *x = arg;
    if (is_named(name, "si"))
        buf_clear(&x->text);
    else if (is_named(name, "rPh"))
        x->in_phonetic = true;
    else if (is_named(name, "t"))
        x->in_text = true;
}

static void on_string_end(void *arg, const char *name)
{
    XlsxReader *x = arg;
    if (is_named(name, "rPh"))
        x->in_phonetic = false;
    if (is_named(name, "t"))
        x->in_text = false;
    if (!is_named(name, "si"))
        return;
    const int64_t start = x->spooled_bytes;
    buf_add(&x->starts, (Str){(const char *)&start, sizeof start});
    buf_add(&x->spooling, buf_str(&x->text));
    x->spooled_bytes += (int64_t)x->text.len;
    if (x->starts.overflowed || x->spooling.overflowed) {
        x->broken = "the workbook has more than 4 million different texts";
        (void)XML_StopParser(x->parser, XML_FALSE);
    }
}

static Err flush_spool(XlsxReader *x, Ctx *ctx)
{
    TRY(intake_temp_write(ctx, x->spool, buf_str(&x->spooling)));
    buf_clear(&x->spooling);
    return ERR_OK;
}

static Err read_strings(XlsxReader *x, Ctx *ctx, const char *temp_dir)
{
    static const char NAME[] = "xl/sharedStrings.xml";
    if (!part_open(x, NAME))
        return ERR_OK; /* a workbook without text */
    TRY(intake_temp_open(ctx, temp_dir, &x->spool));
    parser_start(x, on_string, on_string_end);
    x->ended = false;
    while (!x->ended) {
        TRY(parse_more(x, ctx));
        TRY(flush_spool(x, ctx));
    }
    const int64_t end = x->spooled_bytes;
    buf_add(&x->starts, (Str){(const char *)&end, sizeof end});
    return ERR_OK;
}

static int64_t string_start(const XlsxReader *x, size_t i)
{
    int64_t v = 0;
    memcpy(&v, x->starts.ptr + i * sizeof v, sizeof v);
    return v;
}

/* Appends shared string `index` to the row's content.  False when there is none. */
static bool put_shared(XlsxReader *x, int64_t index)
{
    const size_t count = x->starts.len / sizeof(int64_t);
    if (index < 0 || count == 0 || (size_t)index >= count - 1)
        return false;
    const int64_t from = string_start(x, (size_t)index);
    const size_t len = (size_t)(string_start(x, (size_t)index + 1) - from);
    char *dst = len == 0 ? NULL : buf_reserve(&x->content, len);
    if (dst == NULL)
        return true; /* empty, or the row overflows, which is noticed at its end */
    if (pread(x->spool, dst, len, from) != (ssize_t)len)
        return false;
    x->content.len += len;
    return true;
}

/* ---- the sheet ---- */

static void note(XlsxReader *x, TableProblem problem)
{
    if (x->problem == TABLE_ROW_GOOD)
        x->problem = problem;
}

/* "BC12" -> 54; the next column when there is no reference. */
static int64_t column_of(Str ref, int64_t next)
{
    int64_t v = 0;
    size_t i = 0;
    for (; i < ref.len && i < 4 && ref.ptr[i] >= 'A' && ref.ptr[i] <= 'Z'; i++)
        v = v * 26 + (ref.ptr[i] - 'A' + 1);
    return i == 0 ? next : v - 1;
}

static void start_cell(XlsxReader *x, const char **attrs)
{
    x->column = column_of(attribute(attrs, "r"), x->column + 1);
    x->cell_style = attribute_i64(attrs, "s", 0);
    const Str type = attribute(attrs, "t");
    if (!str_to_c(type, x->cell_type, sizeof x->cell_type))
        x->cell_type[0] = '\0';
    buf_clear(&x->text);
    x->too_long = false;
}

static void start_row(XlsxReader *x, const char **attrs)
{
    x->line_no = attribute_i64(attrs, "r", x->line_no + 1);
    x->column = -1;
    x->cells = 0;
    x->problem = TABLE_ROW_GOOD;
    buf_clear(&x->content);
}

static void on_sheet(void *arg, const char *name, const char **attrs)
{
    XlsxReader *x = arg;
    if (is_named(name, "row"))
        start_row(x, attrs);
    else if (is_named(name, "c"))
        start_cell(x, attrs);
    else if (is_named(name, "rPh"))
        x->in_phonetic = true;
    else if (is_named(name, "v") || is_named(name, "t"))
        x->in_text = true;
}

/* Appends what the cell says to the row's content. */
static void put_content(XlsxReader *x)
{
    const Str raw = buf_str(&x->text), type = str_of(x->cell_type);
    int64_t index = -1;
    if (str_eq(type, STR("s"))) {
        if (!str_to_i64(str_trim(raw), &index) || !put_shared(x, index))
            x->broken = "the workbook names a shared text that it does not have";
        return;
    }
    if (str_eq(type, STR("b"))) {
        buf_add(&x->content, str_eq(raw, STR("1")) ? STR("true") : STR("false"));
        return;
    }
    const bool number = type.len == 0 || str_eq(type, STR("n"));
    const bool styled = number && x->cell_style >= 0 && (size_t)x->cell_style < x->styles;
    const XlsxKind kind = styled ? (XlsxKind)x->style_kind[x->cell_style] : XLSX_NUMBER;
    if (!intake_xlsx_print_date(&x->content, raw, kind, x->date_1904))
        buf_add(&x->content, raw);
}

static void end_cell(XlsxReader *x)
{
    if (x->text.len == 0)
        return;
    if (x->column < 0 || x->column >= TABLE_COLUMNS_MAX) {
        note(x, TABLE_ROW_TOO_WIDE);
        return;
    }
    while (x->cells <= (size_t)x->column)
        x->cell[x->cells++] = (Cell){0, 0};
    const size_t from = x->content.len;
    put_content(x);
    const size_t len = x->content.len - from;
    if (x->too_long || x->content.overflowed || len > TABLE_CELL_BYTES_MAX)
        note(x, TABLE_ROW_TOO_LONG);
    x->cell[x->column] = (Cell){from, len};
}

static void on_sheet_end(void *arg, const char *name)
{
    XlsxReader *x = arg;
    if (is_named(name, "v") || is_named(name, "t"))
        x->in_text = false;
    else if (is_named(name, "rPh"))
        x->in_phonetic = false;
    else if (is_named(name, "c"))
        end_cell(x);
    if (x->broken != NULL)
        (void)XML_StopParser(x->parser, XML_FALSE);
    else if (is_named(name, "row") && (x->cells > 0 || x->problem != TABLE_ROW_GOOD)) {
        x->row_ready = true;
        (void)XML_StopParser(x->parser, XML_TRUE);
    }
}

Err intake_xlsx_next(XlsxReader *x, Ctx *ctx, TableRow *row, bool *more)
{
    x->row_ready = false;
    while (!x->row_ready && (!x->ended || x->suspended))
        TRY(parse_more(x, ctx));
    *more = x->row_ready;
    if (!*more)
        return ERR_OK;
    for (size_t i = 0; i < x->cells; i++)
        x->out[i] =
            str_slice(buf_str(&x->content), x->cell[i].from, x->cell[i].from + x->cell[i].len);
    *row =
        (TableRow){.cell = x->out, .cells = x->cells, .line_no = x->line_no, .problem = x->problem};
    return ERR_OK;
}

static Err start(XlsxReader *x, Ctx *ctx, const TableOptions *options)
{
    if (zip_get_num_entries(x->zip, 0) > PARTS_MAX)
        return broken(ctx, "the zip file has too many parts to be a workbook");
    TRY(read_workbook(x, ctx));
    TRY(read_strings(x, ctx, options->temp_dir));
    if (!part_open(x, x->sheet_path.ptr))
        return broken(ctx, "the workbook's sheet is missing from the file");
    x->ended = false;
    parser_start(x, on_sheet, on_sheet_end);
    return ERR_OK;
}

Err intake_xlsx_open(Ctx *ctx, const char *path, const TableOptions *options, XlsxReader **out)
{
    int why = 0;
    zip_t *zip = zip_open(path, ZIP_RDONLY, &why);
    if (zip == NULL)
        return broken(ctx, "the workbook is damaged: save it again");
    Arena *arena = arena_new(sizeof(XlsxReader) + 4096);
    XlsxReader *x = ARENA_NEW(arena, XlsxReader);
    x->arena = arena;
    x->zip = zip;
    x->spool = -1;
    x->chunk_bytes = options->chunk_bytes == 0 || options->chunk_bytes > CHUNK_BYTES
                         ? CHUNK_BYTES
                         : options->chunk_bytes;
    x->want_name = arena_copy(arena, options->sheet);
    x->want_index = options->sheet_index == 0 ? 1 : options->sheet_index;
    x->text = BUF_MAX(TABLE_CELL_BYTES_MAX + 1);
    x->content = BUF_MAX(TABLE_ROW_BYTES_MAX);
    x->spooling = BUF_MAX(16 * 1024 * 1024); /* what one chunk of XML can hold, and more */
    x->starts = BUF_MAX((STRINGS_MAX + 1) * sizeof(int64_t));
    const Err err = start(x, ctx, options);
    if (err != ERR_OK) {
        intake_xlsx_close(x);
        return err;
    }
    *out = x;
    return ERR_OK;
}

void intake_xlsx_progress(const XlsxReader *x, int64_t *read_bytes, int64_t *size_bytes)
{
    *size_bytes = x->part.size_bytes;
    *read_bytes = x->part.read_bytes < x->part.size_bytes ? x->part.read_bytes : x->part.size_bytes;
}

void intake_xlsx_close(XlsxReader *x)
{
    if (x == NULL)
        return;
    if (x->parser != NULL)
        XML_ParserFree(x->parser);
    part_close(x);
    zip_discard(x->zip);
    if (x->spool >= 0)
        (void)close(x->spool);
    buf_free(&x->text);
    buf_free(&x->content);
    buf_free(&x->spooling);
    buf_free(&x->starts);
    arena_free(x->arena);
}
