/*
 * tools/embed.c -- puts built pages into the program: a folder becomes a table of http/http_static.h.
 *
 * Usage: embed OUT.c OUT.d NAME [FOLDER [PREFIX=FILE ...]]
 * Writes OUT.c, which defines `const HttpStaticFile NAME[]` in byte order of path and
 * `const size_t NAME_COUNT`; the bytes are taken in by the assembler (.incbin), compressed copies are
 * written beside OUT.c.  OUT.d lists the files read, for the build.  PATH=FILE adds one file under a
 * path of its own.  Without a folder the table is empty.
 */
#include "base/str.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { FILES_MAX = 2000, PATH_BYTES = 1024, FILE_BYTES_MAX = 32 << 20, WORTH_BYTES = 512 };

typedef struct Entry {
    char path[PATH_BYTES]; /* as the browser asks, without the leading slash */
    char file[PATH_BYTES];
    char gzip[PATH_BYTES]; /* "" = not worth it */
    uint32_t crc;
    size_t bytes;
} Entry;

static Entry entries[FILES_MAX];
static size_t entry_count;

static void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
static void die(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "embed: ");
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "\n");
    va_end(ap);
    exit(1);
}

static void join(char out[PATH_BYTES], const char *a, const char *between, const char *b)
{
    const int n = snprintf(out, PATH_BYTES, "%s%s%s", a, between, b);
    if (n < 0 || n >= PATH_BYTES)
        die("the path is too long: %s", b);
}

static void add(const char *path, const char *file)
{
    if (entry_count == FILES_MAX)
        die("more than %d files", FILES_MAX);
    Entry *e = &entries[entry_count++];
    join(e->path, path, "", "");
    join(e->file, file, "", "");
}

static void walk(const char *folder, const char *prefix)
{
    DIR *dir = opendir(folder);
    if (dir == NULL)
        die("can't read the folder %s: build the pages first", folder);
    for (struct dirent *d = readdir(dir); d != NULL; d = readdir(dir)) {
        if (d->d_name[0] == '.')
            continue;
        char file[PATH_BYTES], path[PATH_BYTES];
        struct stat st;
        join(file, folder, "/", d->d_name);
        join(path, prefix, prefix[0] == '\0' ? "" : "/", d->d_name);
        if (stat(file, &st) != 0)
            die("can't read %s", file);
        if (S_ISDIR(st.st_mode))
            walk(file, path);
        else
            add(path, file);
    }
    (void)closedir(dir);
}

static int by_path(const void *a, const void *b)
{
    const Entry *x = a, *y = b;
    return strcmp(x->path, y->path);
}

static const char *mime_of(const char *path)
{
    static const struct {
        const char *ending, *mime;
    } MIMES[] = {{".html", "text/html; charset=utf-8"},
                 {".js", "text/javascript; charset=utf-8"},
                 {".css", "text/css; charset=utf-8"},
                 {".json", "application/json"},
                 {".svg", "image/svg+xml"},
                 {".png", "image/png"},
                 {".ico", "image/x-icon"},
                 {".woff2", "font/woff2"},
                 {".wasm", "application/wasm"},
                 {".txt", "text/plain; charset=utf-8"},
                 {".webmanifest", "application/manifest+json"}};
    for (size_t i = 0; i < ARRAY_LEN(MIMES); i++)
        if (str_ends_with(str_of(path), str_of(MIMES[i].ending)))
            return MIMES[i].mime;
    return "application/octet-stream";
}

static unsigned char *read_file(Entry *e)
{
    static unsigned char bytes[FILE_BYTES_MAX];
    const int fd = open(e->file, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);
    if (n < 0 || (size_t)n == sizeof bytes)
        die("can't read %s, or it is too large", e->file);
    (void)close(fd);
    e->bytes = (size_t)n;
    e->crc = (uint32_t)crc32(0, bytes, (uInt)n);
    return bytes;
}

/* A compressed copy beside the output, when it saves a tenth. */
static void compress_file(Entry *e, const char *out, size_t index)
{
    const unsigned char *bytes = read_file(e);
    char number[32];
    (void)snprintf(number, sizeof number, "%zu.gz", index);
    join(e->gzip, out, ".", number);
    gzFile gz = e->bytes < WORTH_BYTES ? NULL : gzopen(e->gzip, "wb9");
    struct stat st;
    if (gz == NULL || gzwrite(gz, bytes, (unsigned)e->bytes) != (int)e->bytes ||
        gzclose(gz) != Z_OK || stat(e->gzip, &st) != 0 || (size_t)st.st_size > e->bytes * 9 / 10)
        e->gzip[0] = '\0';
}

static void take_in(FILE *f, const char *name, const char *file)
{
    fprintf(f,
            "__asm__(\".section .rodata\\n%s: .incbin \\\"%s\\\"\\n%s_end: .byte 0\\n"
            ".previous\\n\");\nextern const char %s[], %s_end[];\n",
            name, file, name, name, name);
}

static void emit(const char *out, const char *name)
{
    FILE *f = fopen(out, "w");
    if (f == NULL)
        die("can't write %s", out);
    fprintf(f, "/* Generated by tools/embed.  Do not edit. */\n#include \"app/pages.h\"\n\n");
    char symbol[64];
    for (size_t i = 0; i < entry_count; i++) {
        (void)snprintf(symbol, sizeof symbol, "page_%zu", i);
        take_in(f, symbol, entries[i].file);
        (void)snprintf(symbol, sizeof symbol, "page_gz_%zu", i);
        if (entries[i].gzip[0] != '\0')
            take_in(f, symbol, entries[i].gzip);
    }
    fprintf(f,
            "\nHttpStaticFile %s[%zu] = {{0}};\nconst size_t %s_COUNT = %zu;\n\n"
            "void pages_fill(void)\n{\n",
            name, entry_count + 1, name, entry_count);
    for (size_t i = 0; i < entry_count; i++) {
        const Entry *e = &entries[i];
        fprintf(
            f,
            "    %s[%zu] = (HttpStaticFile){\"%s\", \"%s\",\n        {page_%zu, (size_t)(page_%zu_end - "
            "page_%zu)},\n",
            name, i, e->path, mime_of(e->path), i, i, i);
        if (e->gzip[0] != '\0')
            fprintf(f, "        {page_gz_%zu, (size_t)(page_gz_%zu_end - page_gz_%zu)},\n", i, i,
                    i);
        else
            fprintf(f, "        {NULL, 0},\n");
        fprintf(f, "        \"%08x-%zx\"};\n", e->crc, e->bytes);
    }
    fprintf(f, "}\n");
    if (fclose(f) != 0)
        die("can't write %s", out);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: embed OUT.c OUT.d NAME [FOLDER [PATH=FILE ...]]\n");
        return 2;
    }
    if (argc > 4 && argv[4][0] != '\0')
        walk(argv[4], "");
    for (int i = 5; i < argc; i++) {
        char *equals = strchr(argv[i], '=');
        if (equals == NULL)
            die("PATH=FILE, not %s", argv[i]);
        *equals = '\0';
        add(argv[i], equals + 1);
    }
    qsort(entries, entry_count, sizeof *entries, by_path);
    for (size_t i = 0; i < entry_count; i++)
        compress_file(&entries[i], argv[1], i);
    emit(argv[1], argv[3]);
    FILE *d = fopen(argv[2], "w");
    if (d == NULL)
        die("can't write %s", argv[2]);
    fprintf(d, "%s:", argv[1]);
    for (size_t i = 0; i < entry_count; i++)
        fprintf(d, " %s", entries[i].file);
    fprintf(d, "\n");
    return fclose(d) == 0 ? 0 : 1;
}
