/*
 * modules/intake/intake_bytes.c -- read(2) and zlib behind intake_bytes.h.
 *
 * gzip is told by its magic; several members one after the other are one stream, as gzip(1) reads
 * them.  Zero bytes after the last member (tape padding) are passed over.
 */
#include "modules/intake/intake_bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { CHUNK_BYTES = 64 * 1024 };

struct ByteSource {
    Arena *arena;
    int fd;
    int64_t size_bytes;
    int64_t read_bytes;
    size_t chunk_bytes;
    char *chunk; /* CHUNK_BYTES, [at, len) not yet used */
    size_t at;
    size_t len;
    bool eof;
    bool gzip;
    bool in_member; /* inside a gzip member: the file must not end here */
    z_stream z;
};

static Err refill(ByteSource *b, Ctx *ctx)
{
    if (b->at < b->len || b->eof)
        return ERR_OK;
    ssize_t n = 0;
    do
        n = read(b->fd, b->chunk, b->chunk_bytes);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return fail_field(ctx, "", "intake.file_unreadable", "the file cannot be read (error %d)",
                          errno);
    b->at = 0;
    b->len = (size_t)n;
    b->eof = n == 0;
    b->read_bytes += n;
    return ERR_OK;
}

enum { MAGIC_BYTES = 2 };

/* The first bytes of a pipe, which cannot be read twice: they stay in the chunk. */
static ssize_t read_ahead(ByteSource *b)
{
    while (b->len < MAGIC_BYTES) {
        const ssize_t n = read(b->fd, b->chunk + b->len, MAGIC_BYTES - b->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        b->len += (size_t)n;
        b->read_bytes += n;
    }
    return (ssize_t)b->len;
}

/* Told by the first two bytes, fetched one by one when the chunk is that small. */
static Err detect_gzip(ByteSource *b, Ctx *ctx)
{
    static const unsigned char MAGIC[MAGIC_BYTES] = {0x1f, 0x8b};
    ssize_t n = pread(b->fd, b->chunk, sizeof MAGIC, 0);
    if (n < 0 && errno == ESPIPE)
        n = read_ahead(b);
    if (n < 0)
        return fail_field(ctx, "", "intake.file_unreadable", "this is not a file that can be read");
    if (n < (ssize_t)sizeof MAGIC || memcmp(b->chunk, MAGIC, sizeof MAGIC) != 0)
        return ERR_OK;
    b->gzip = true;
    CHECK(inflateInit2(&b->z, MAX_WBITS + 16) == Z_OK); /* 16: expect the gzip wrapper */
    return ERR_OK;
}

Err intake_bytes_open(Ctx *ctx, const char *path, size_t chunk_bytes, ByteSource **out)
{
    const bool standard = str_eq(str_of(path), STR("-"));
    const int fd =
        standard ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return fail(ctx, ERR_NOT_FOUND, "intake.file_not_found", "no file %s", path);
    if (fd < 0)
        return fail_field(ctx, "", "intake.file_unreadable", "the file cannot be opened (error %d)",
                          errno);
    struct stat st;
    CHECK(fstat(fd, &st) == 0);
    Arena *arena = arena_new(2 * CHUNK_BYTES);
    ByteSource *b = ARENA_NEW(arena, ByteSource);
    *b = (ByteSource){.arena = arena,
                      .fd = fd,
                      .size_bytes = st.st_size,
                      .chunk_bytes =
                          chunk_bytes == 0 || chunk_bytes > CHUNK_BYTES ? CHUNK_BYTES : chunk_bytes,
                      .chunk = arena_bytes(arena, CHUNK_BYTES)};
    const Err err = detect_gzip(b, ctx);
    if (err != ERR_OK) {
        intake_bytes_close(b);
        return err;
    }
    *out = b;
    return ERR_OK;
}

static Err read_plain(ByteSource *b, Ctx *ctx, char *dst, size_t n, size_t *got)
{
    TRY(refill(b, ctx));
    const size_t take = n < b->len - b->at ? n : b->len - b->at;
    memcpy(dst, b->chunk + b->at, take);
    b->at += take;
    *got = take;
    return ERR_OK;
}

/* Between members: the next one starts, or only zero padding follows. */
static bool starts_member(ByteSource *b)
{
    while (b->at < b->len && b->chunk[b->at] == '\0')
        b->at++;
    if (b->at == b->len)
        return false;
    CHECK(inflateReset(&b->z) == Z_OK);
    b->in_member = true;
    return true;
}

static Err read_gzip(ByteSource *b, Ctx *ctx, char *dst, size_t n, size_t *got)
{
    size_t made = 0;
    while (made == 0) {
        TRY(refill(b, ctx));
        if (b->eof && b->in_member)
            return fail_field(ctx, "", "intake.gzip_broken",
                              "the gzip file ends before its data does: copy it again");
        if (b->eof)
            break;
        if (!b->in_member && !starts_member(b))
            continue;
        b->z.next_in = (Bytef *)b->chunk + b->at;
        b->z.avail_in = (uInt)(b->len - b->at);
        b->z.next_out = (Bytef *)dst;
        b->z.avail_out = (uInt)n;
        const int rc = inflate(&b->z, Z_NO_FLUSH);
        b->at = b->len - b->z.avail_in;
        made = n - b->z.avail_out;
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
            return fail_field(ctx, "", "intake.gzip_broken",
                              "the gzip file is damaged: copy it again");
        b->in_member = rc != Z_STREAM_END;
    }
    *got = made;
    return ERR_OK;
}

Err intake_bytes_read(ByteSource *b, Ctx *ctx, char *dst, size_t n, size_t *got)
{
    return b->gzip ? read_gzip(b, ctx, dst, n, got) : read_plain(b, ctx, dst, n, got);
}

void intake_bytes_progress(const ByteSource *b, int64_t *read_bytes, int64_t *size_bytes)
{
    *read_bytes = b->read_bytes - (int64_t)(b->len - b->at);
    *size_bytes = b->size_bytes;
}

void intake_bytes_close(ByteSource *b)
{
    if (b == NULL)
        return;
    if (b->gzip)
        (void)inflateEnd(&b->z);
    (void)close(b->fd);
    arena_free(b->arena);
}
