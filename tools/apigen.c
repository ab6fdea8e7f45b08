/*
 * tools/apigen.c -- turns contracts into C structs, descriptor and operation tables, and openapi.json.
 *
 * Usage: apigen COMMON.yaml ROOM.api.yaml OUT.api.h OUT.api.c
 *        apigen --openapi OUT.json COMMON.yaml ROOM.api.yaml...
 * COMMON stands for ROOM when its own C is wanted.          The language is docs/formats/contract.md.
 * Exit:  0 written; 1 refused, nothing written (stderr: file:line: what to write instead); 2 usage.
 */
#include "apigen.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static File *files[APIGEN_FILES_MAX];
static int file_count;
static Arena *arena;

static void close_all(void)
{
    for (int i = 0; i < file_count; i++)
        yaml_document_delete(&files[i]->doc);
    arena_free(arena);
}

_Noreturn void apigen_refuse(const File *file, int line, const char *fmt, ...)
{
    va_list ap;
    fprintf(stderr, "%s:%d: ", file->path, line);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    close_all();
    exit(1);
}

static Str base_name(Str path)
{
    size_t from = 0;
    for (int64_t slash = str_index(path, '/', 0); slash >= 0; slash = str_index(path, '/', from))
        from = (size_t)slash + 1;
    return str_slice(path, from, path.len);
}

/* The file at `path`, read and checked once. */
static File *load(const char *path)
{
    for (int i = 0; i < file_count; i++)
        if (str_eq(str_of(files[i]->path), str_of(path)))
            return files[i];
    CHECK(file_count < APIGEN_FILES_MAX);
    File *file = ARENA_NEW(arena, File);
    file->path = path;
    file->arena = arena;
    file->base = base_name(str_of(path));
    const Str stem = str_slice(file->base, 0, file->base.len - 5);
    file->room = str_ends_with(stem, STR(".api")) ? str_slice(stem, 0, stem.len - 4) : stem;
    file->common = file_count == 0 ? file : files[0];
    files[file_count++] = file;
    if (!str_ends_with(file->base, STR(".yaml")) || !name_is_snake(file->room))
        apigen_refuse(file, 0, "the file must be called ROOM.api.yaml, or common.yaml");
    yaml_load(file);
    schemas_read(file);
    operations_read(file);
    return file;
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

static bool write_c(char **argv)
{
    (void)load(argv[1]);
    File *room = load(argv[2]);
    Buf header = BUF_MAX(APIGEN_OUT_BYTES_MAX), source = BUF_MAX(APIGEN_OUT_BYTES_MAX);
    emit_header(room, &header);
    emit_source(room, base_name(str_of(argv[3])), &source);
    const bool ok = write_file(argv[3], &header) && write_file(argv[4], &source);
    buf_free(&header);
    buf_free(&source);
    return ok;
}

static bool write_openapi(int argc, char **argv)
{
    for (int i = 3; i < argc; i++)
        (void)load(argv[i]);
    Buf out = BUF_MAX(APIGEN_OUT_BYTES_MAX);
    emit_openapi(files, file_count, &out);
    const bool ok = write_file(argv[2], &out);
    buf_free(&out);
    return ok;
}

int main(int argc, char **argv)
{
    const bool openapi = argc > 3 && str_eq(str_of(argv[1]), STR("--openapi"));
    if ((!openapi && argc != 5) || argc - 3 > APIGEN_FILES_MAX) {
        fprintf(stderr, "usage: apigen COMMON.yaml ROOM.api.yaml OUT.api.h OUT.api.c\n"
                        "       apigen --openapi OUT.json COMMON.yaml ROOM.api.yaml...\n");
        return 2;
    }
    arena = arena_new(1 << 20);
    const bool ok = openapi ? write_openapi(argc, argv) : write_c(argv);
    close_all();
    return ok ? 0 : 1;
}
