/*
 * tools/sqlgen.c -- turns a room's tables and named queries into typed C calls for both databases.
 *
 * Usage: sqlgen ROOM.sql OUT.sql.h OUT.sql.c        The language is docs/formats/sql.md.
 * Exit:  0 written; 1 refused, nothing written (stderr: file:line: what to write instead); 2 usage.
 */
#include "sqlgen.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

_Noreturn void sqlgen_refuse(const Room *room, int line, const char *fmt, ...)
{
    va_list ap;
    fprintf(stderr, "%s:%d: ", room->path, line);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    arena_free(room->arena);
    exit(1);
}

bool tok_is(const Tok *tok, const char *word)
{
    if (tok->kind == TOK_STRING || tok->kind == TOK_PARAM || tok->kind == TOK_NOTE)
        return false;
    const Str w = str_of(word);
    if (tok->text.len != w.len)
        return false;
    for (size_t i = 0; i < w.len; i++) {
        const char c = tok->text.ptr[i];
        if ((c >= 'A' && c <= 'Z' ? c + 32 : c) != w.ptr[i])
            return false;
    }
    return true;
}

static Str base_name(Str path)
{
    size_t from = 0;
    for (int64_t slash = str_index(path, '/', 0); slash >= 0; slash = str_index(path, '/', from))
        from = (size_t)slash + 1;
    return str_slice(path, from, path.len);
}

static Str read_file(Room *room)
{
    FILE *f = fopen(room->path, "rb");
    if (f == NULL)
        sqlgen_refuse(room, 0, "cannot be opened");
    char *text = arena_bytes(room->arena, SQLGEN_FILE_BYTES_MAX);
    const size_t len = fread(text, 1, SQLGEN_FILE_BYTES_MAX, f);
    fclose(f);
    if (len == SQLGEN_FILE_BYTES_MAX)
        sqlgen_refuse(room, 0, "is larger than %d bytes: split the room", SQLGEN_FILE_BYTES_MAX);
    const Str s = {text, len};
    if (!str_is_utf8(s))
        sqlgen_refuse(room, 0, "is not UTF-8");
    return s;
}

static bool write_file(const char *path, const Buf *b)
{
    FILE *f = b->overflowed ? NULL : fopen(path, "wb");
    bool ok = f != NULL && fwrite(b->ptr, 1, b->len, f) == b->len;
    ok = f != NULL && fclose(f) == 0 && ok;
    if (!ok)
        fprintf(stderr, "%s: cannot be written\n", path);
    return ok;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: sqlgen ROOM.sql OUT.sql.h OUT.sql.c\n");
        return 2;
    }
    Room room = {.path = argv[1], .arena = arena_new(1 << 20)};
    const Str file = base_name(str_of(argv[1]));
    if (!str_ends_with(file, STR(".sql")) || file.len == 4)
        sqlgen_refuse(&room, 0, "the file must be called ROOM.sql");
    room.name = str_slice(file, 0, file.len - 4);
    sqlgen_read(&room, sqlgen_lex(&room, read_file(&room)));
    Buf header = BUF_MAX(SQLGEN_OUT_BYTES_MAX), source = BUF_MAX(SQLGEN_OUT_BYTES_MAX);
    sqlgen_emit_header(&room, &header);
    sqlgen_emit_source(&room, base_name(str_of(argv[2])), &source);
    const bool ok = write_file(argv[2], &header) && write_file(argv[3], &source);
    buf_free(&header);
    buf_free(&source);
    arena_free(room.arena);
    return ok ? 0 : 1;
}
