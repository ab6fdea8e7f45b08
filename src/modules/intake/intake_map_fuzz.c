/*
 * modules/intake/intake_map_fuzz.c -- any bytes as a map, and what loads is run over a small table.
 */
#include "modules/intake/intake_rows.h"
#include "modules/intake/intake_testing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(Ctx *ctx, const IntakeMap *map, const char *path)
{
    for (size_t i = 0; i < map->files; i++) {
        RowReader *r = NULL;
        IntakeRow row;
        bool more =
            intake_rows_open(ctx, map, &map->file[i], path, &(IntakeRowsOptions){0}, &r) == ERR_OK;
        while (more && intake_rows_next(r, ctx, &row, &more) == ERR_OK && more)
            CHECK(row.lines <= 3);
        intake_rows_close(r);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Ctx ctx = {.arena = arena_new(1 << 16)};
    const IntakeMap *map = NULL;
    if (intake_map_parse(&ctx, STR("m"), (Str){(const char *)data, size}, &map) == ERR_OK) {
        const MemoryFile f = memory_file(STR("a,b,c,d\n1,2017-01-02,0.10,x y\n1,2017-01-02 "
                                             "10:00:00,4.4e-16,\n2,1500000000,\"1,000\",Type A\n"));
        run(&ctx, map, f.path);
        (void)close(f.fd);
    }
    arena_free(ctx.arena);
    return 0;
}
