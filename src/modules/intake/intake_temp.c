/*
 * modules/intake/intake_temp.c -- O_TMPFILE, or make and unlink where the file system has it not.
 */
#include "modules/intake/intake_temp.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static Err temp_failed(Ctx *ctx, const char *what)
{
    return fail(ctx, ERR_BUSY, "intake.temp_failed", "temporary file: %s, error %d", what, errno);
}

Err intake_temp_open(Ctx *ctx, const char *dir, int *fd)
{
    const char *where = dir == NULL ? "/tmp" : dir;
    int f = open(where, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (f < 0 && errno != ENOENT) {
        const Str name = arena_printf(ctx->arena, "%s/intake.XXXXXX", where);
        char *path = arena_bytes(ctx->arena, name.len + 1);
        memcpy(path, name.ptr, name.len + 1);
        f = mkostemp(path, O_CLOEXEC);
        if (f >= 0)
            (void)unlink(path);
    }
    if (f < 0)
        return temp_failed(ctx, "open");
    *fd = f;
    return ERR_OK;
}

Err intake_temp_write(Ctx *ctx, int fd, Str s)
{
    while (s.len > 0) {
        const ssize_t n = write(fd, s.ptr, s.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return temp_failed(ctx, "write");
        s = str_slice(s, (size_t)n, s.len);
    }
    return ERR_OK;
}

Err intake_temp_read(Ctx *ctx, int fd, int64_t at, char *dst, size_t n, size_t *got)
{
    size_t done = 0;
    while (done < n) {
        const ssize_t r = pread(fd, dst + done, n - done, at + (int64_t)done);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return temp_failed(ctx, "read");
        if (r == 0)
            break;
        done += (size_t)r;
    }
    *got = done;
    return ERR_OK;
}
