/*
 * modules/intake/intake_gb18030.c -- encoding detection and iconv behind intake_gb18030.h.
 */
#include "modules/intake/intake_gb18030.h"

#include <errno.h>
#include <iconv.h>

enum { BLOCK_BYTES = 64 * 1024 };

static const char NOT_TEXT = (char)0xff; /* never part of UTF-8 */

struct TextSource {
    Arena *arena;
    ByteSource *bytes;
    TableEncoding encoding; /* DETECT until something that is not ASCII has been seen */
    iconv_t converter;      /* open when encoding is GB18030 */
    char *block;            /* BLOCK_BYTES, [at, len) not yet handed over */
    char *scratch;          /* 4 * BLOCK_BYTES, for trying GB18030 */
    size_t at;
    size_t len;
    bool started; /* the byte order mark has been looked at */
    bool eof;
};

static iconv_t converter_new(void)
{
    const iconv_t c = iconv_open("UTF-8", "GB18030");
    CHECK(c != (iconv_t)-1); /* part of libc */
    return c;
}

TextSource *intake_text_open(ByteSource *bytes, TableEncoding encoding)
{
    Arena *arena = arena_new(BLOCK_BYTES + 1024);
    TextSource *t = ARENA_NEW(arena, TextSource);
    *t = (TextSource){.arena = arena,
                      .bytes = bytes,
                      .encoding = encoding,
                      .block = arena_bytes(arena, BLOCK_BYTES)};
    if (encoding == TABLE_ENCODING_GB18030)
        t->converter = converter_new();
    return t;
}

/* Moves what is left to the front and fills the block, so that detection sees the same bytes
 * whatever the size of a read. */
static Err fill_block(TextSource *t, Ctx *ctx)
{
    memmove(t->block, t->block + t->at, t->len - t->at);
    t->len -= t->at;
    t->at = 0;
    while (t->len < BLOCK_BYTES && !t->eof) {
        size_t got = 0;
        TRY(intake_bytes_read(t->bytes, ctx, t->block + t->len, BLOCK_BYTES - t->len, &got));
        t->len += got;
        t->eof = got == 0;
    }
    return ERR_OK;
}

size_t intake_text_ascii_prefix(Str s)
{
    size_t i = 0;
    for (uint64_t eight = 0; i + sizeof eight <= s.len; i += sizeof eight) {
        memcpy(&eight, s.ptr + i, sizeof eight);
        if ((eight & UINT64_C(0x8080808080808080)) != 0)
            break;
    }
    while (i < s.len && (unsigned char)s.ptr[i] < 0x80)
        i++;
    return i;
}

/* `s` without a last UTF-8 sequence that the end of the block cuts. */
static Str without_cut_tail(Str s)
{
    for (size_t back = 1; back <= 3 && back <= s.len; back++) {
        const unsigned char c = (unsigned char)s.ptr[s.len - back];
        if (c < 0x80)
            return s;
        if (c >= 0xc0)
            return back < (c >= 0xf0   ? 4u
                           : c >= 0xe0 ? 3u
                                       : 2u)
                       ? str_slice(s, 0, s.len - back)
                       : s;
    }
    return s;
}

/* NUL bytes are no question of encoding: the row reader refuses them. */
static bool is_utf8_but_nul(Str s)
{
    size_t from = 0;
    for (;;) {
        const int64_t nul = str_index(s, '\0', from);
        if (!str_is_utf8(str_slice(s, from, nul < 0 ? s.len : (size_t)nul)))
            return false;
        if (nul < 0)
            return true;
        from = (size_t)nul + 1;
    }
}

static bool is_gb18030(TextSource *t, Str s, iconv_t converter)
{
    if (t->scratch == NULL)
        t->scratch = arena_bytes(t->arena, 4 * BLOCK_BYTES);
    char *in = t->block + (s.ptr - t->block), *out = t->scratch;
    size_t in_left = s.len, out_left = 4 * BLOCK_BYTES;
    const size_t rc = iconv(converter, &in, &in_left, &out, &out_left);
    const bool cut_at_end = rc == (size_t)-1 && errno == EINVAL && !t->eof;
    (void)iconv(converter, NULL, NULL, NULL, NULL);
    return rc != (size_t)-1 || cut_at_end;
}

/* Decides for good; the block has something other than ASCII. */
static void detect(TextSource *t)
{
    const Str s = {t->block + t->at, t->len - t->at};
    t->encoding = TABLE_ENCODING_UTF8;
    if (is_utf8_but_nul(t->eof ? s : without_cut_tail(s)))
        return;
    const iconv_t c = converter_new();
    if (!is_gb18030(t, s, c)) {
        (void)iconv_close(c);
        return;
    }
    t->encoding = TABLE_ENCODING_GB18030;
    t->converter = c;
}

static Err look_at_mark(TextSource *t, Ctx *ctx)
{
    const Str s = {t->block, t->len};
    t->started = true;
    if (str_starts_with(s, STR("\xff\xfe")) || str_starts_with(s, STR("\xfe\xff")))
        return fail_field(ctx, "", "intake.utf16",
                          "the file is UTF-16: save it as CSV UTF-8 and try again");
    if (str_starts_with(s, STR("\xef\xbb\xbf")) && t->encoding != TABLE_ENCODING_GB18030) {
        t->at = 3;
        t->encoding = TABLE_ENCODING_UTF8;
    }
    if (str_starts_with(s, STR("\x84\x31\x95\x33")) && t->encoding != TABLE_ENCODING_UTF8)
        t->at = 4; /* the same mark in GB18030 */
    return ERR_OK;
}

/* Makes sure that there is something in the block and that its encoding is known, as far as needed.
 * A block that ends inside its first character outside ASCII is handed over up to there first, so
 * that no decision rests on a torn character. */
static Err prepare_block(TextSource *t, Ctx *ctx, size_t *usable)
{
    if (t->at == t->len)
        TRY(fill_block(t, ctx));
    if (!t->started)
        TRY(look_at_mark(t, ctx));
    *usable = t->len - t->at;
    if (t->encoding != TABLE_ENCODING_DETECT)
        return ERR_OK;
    const size_t ascii = intake_text_ascii_prefix((Str){t->block + t->at, *usable});
    if (ascii > 0 && ascii + 4 > *usable && ascii < *usable && !t->eof) {
        *usable = ascii;
        return ERR_OK;
    }
    if (ascii == 0 && *usable < 4 && !t->eof)
        TRY(fill_block(t, ctx));
    if (ascii < *usable)
        detect(t);
    *usable = t->len - t->at;
    return ERR_OK;
}

static Err convert(TextSource *t, Ctx *ctx, char *dst, size_t n, size_t *got)
{
    char *out = dst;
    size_t out_left = n;
    while (out == dst) {
        if (t->at == t->len)
            TRY(fill_block(t, ctx));
        if (t->at == t->len)
            break;
        char *in = t->block + t->at;
        size_t in_left = t->len - t->at;
        const size_t rc = iconv(t->converter, &in, &in_left, &out, &out_left);
        const int why = rc == (size_t)-1 ? errno : 0;
        t->at = t->len - in_left;
        if (why == EINVAL && !t->eof) {
            TRY(fill_block(t, ctx)); /* the character goes on in the next block */
        } else if ((why == EILSEQ || why == EINVAL) && out_left > 0) {
            *out++ = NOT_TEXT;
            out_left--;
            t->at++;
        }
    }
    *got = n - out_left;
    return ERR_OK;
}

Err intake_text_read(TextSource *t, Ctx *ctx, char *dst, size_t n, size_t *got)
{
    CHECK(n >= TEXT_READ_BYTES_MIN);
    if (t->encoding == TABLE_ENCODING_GB18030 && t->started)
        return convert(t, ctx, dst, n, got);
    if (t->encoding == TABLE_ENCODING_UTF8 && t->started && t->at == t->len)
        return intake_bytes_read(t->bytes, ctx, dst, n, got);
    size_t usable = 0;
    TRY(prepare_block(t, ctx, &usable));
    if (t->encoding == TABLE_ENCODING_GB18030)
        return convert(t, ctx, dst, n, got);
    const size_t take = n < usable ? n : usable;
    memcpy(dst, t->block + t->at, take);
    t->at += take;
    *got = take;
    return ERR_OK;
}

void intake_text_close(TextSource *t)
{
    if (t == NULL)
        return;
    if (t->encoding == TABLE_ENCODING_GB18030)
        (void)iconv_close(t->converter);
    intake_bytes_close(t->bytes);
    arena_free(t->arena);
}
