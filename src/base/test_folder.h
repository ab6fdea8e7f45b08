/*
 * base/test_folder.h -- the end of a folder that a test, its kit or a fuzzer has made.
 */
#pragma once

#include "base/arena.h"
#include "base/file.h"

#include <unistd.h>

/* Removes the files in it. */
static inline void test_empty_folder(Str folder)
{
    Ctx ctx = {.arena = arena_new(4096)};
    Str *names = NULL;
    size_t n = 0;
    CHECK(file_list(&ctx, folder, &names, &n) == ERR_OK);
    for (size_t i = 0; i < n; i++)
        CHECK(file_remove(&ctx, folder, names[i]) == ERR_OK);
    arena_free(ctx.arena);
}

/* The same, and then the folder: those in it must have gone before. */
static inline void test_remove_folder(Str folder)
{
    char path[FILE_PATH_BYTES_MAX + 1];
    test_empty_folder(folder);
    CHECK(str_to_c(folder, path, sizeof path) && rmdir(path) == 0);
}
