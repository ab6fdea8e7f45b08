/*
 * base/file_test.c -- the promises of base/file.h on a scratch folder.
 */
#include "base/file.h"
#include "base/test.h"
#include "base/test_folder.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Scratch {
    char path[64];
    Str folder;
    Ctx ctx;
} Scratch;

static void scratch_open(Scratch *s)
{
    *s = (Scratch){.path = "/tmp/file_test.XXXXXX", .ctx.arena = arena_new(4096)};
    CHECK(mkdtemp(s->path) != NULL);
    s->folder = str_of(s->path);
}

static void scratch_close(Scratch *s)
{
    test_remove_folder(s->folder);
    arena_free(s->ctx.arena);
}

TEST(file_written_bytes_are_read_back_and_reading_stops_at_the_end)
{
    Scratch s;
    scratch_open(&s);
    File f = FILE_NONE;
    EXPECT_I64(file_open(&s.ctx, s.folder, STR("a.log"), FILE_CREATE, &f), ERR_OK);
    EXPECT_I64(file_write_at(&s.ctx, f, 3, STR("hello")), ERR_OK);
    EXPECT_I64(file_sync(&s.ctx, f), ERR_OK);
    char got_bytes[16];
    size_t got = 0;
    EXPECT_I64(file_read_at(&s.ctx, f, 0, got_bytes, sizeof got_bytes, &got), ERR_OK);
    EXPECT_I64((int64_t)got, 8);
    CHECK(memcmp(got_bytes, "\0\0\0hello", 8) == 0);
    Str map;
    EXPECT_I64(file_map(&s.ctx, f, &map), ERR_OK);
    CHECK(str_eq(map, (Str){"\0\0\0hello", 8}));
    file_unmap(map);
    file_close(&f);
    scratch_close(&s);
}

/* The limit on a file's size cuts the first try within the second piece. */
TEST(file_pieces_stand_behind_each_other_also_after_a_short_write)
{
    static const Str pieces[] = {{"one", 3}, {"", 0}, {"two, ", 5}, {"three", 5}};
    Scratch s;
    scratch_open(&s);
    (void)signal(SIGXFSZ, SIG_IGN);
    struct rlimit before;
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    const struct rlimit tight = {6, before.rlim_max};
    File f = FILE_NONE;
    char got_bytes[16];
    size_t got = 0;
    EXPECT_I64(file_open(&s.ctx, s.folder, STR("a.log"), FILE_CREATE, &f), ERR_OK);
    CHECK(setrlimit(RLIMIT_FSIZE, &tight) == 0);
    const Err full = file_write_pieces(&s.ctx, f, 1, pieces, ARRAY_LEN(pieces));
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    EXPECT_I64(full, ERR_BUSY);
    EXPECT_I64(file_read_at(&s.ctx, f, 0, got_bytes, sizeof got_bytes, &got), ERR_OK);
    EXPECT_I64((int64_t)got, 6);
    CHECK(memcmp(got_bytes, "\0onetw", 6) == 0);
    EXPECT_I64(file_write_pieces(&s.ctx, f, 1, pieces, ARRAY_LEN(pieces)), ERR_OK);
    EXPECT_I64(file_read_at(&s.ctx, f, 0, got_bytes, sizeof got_bytes, &got), ERR_OK);
    EXPECT_I64((int64_t)got, 14);
    CHECK(memcmp(got_bytes, "\0onetwo, three", 14) == 0);
    file_close(&f);
    scratch_close(&s);
}

TEST(file_whose_bytes_will_be_read_is_as_it_was_whatever_stretch_is_named)
{
    Scratch s;
    File f;
    Str map;
    scratch_open(&s);
    EXPECT_I64(file_replace(&s.ctx, s.folder, STR("a"), STR("hello")), ERR_OK);
    EXPECT_I64(file_open(&s.ctx, s.folder, STR("a"), FILE_READ, &f), ERR_OK);
    EXPECT_I64(file_map(&s.ctx, f, &map), ERR_OK);
    const uint64_t stretches[][2] = {{0, 5}, {3, 1}, {0, UINT64_MAX}, {5, 1}, {UINT64_MAX, 1}};
    for (size_t i = 0; i < ARRAY_LEN(stretches); i++)
        file_will_read(map, stretches[i][0], stretches[i][1]);
    file_will_read(STR(""), 0, 1);
    CHECK(str_eq(map, STR("hello")));
    file_unmap(map);
    file_close(&f);
    scratch_close(&s);
}

/* How many of the map's pages are in memory. */
static uint32_t pages_of(Str map)
{
    unsigned char there[256];
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), count = map.len / page;
    uint32_t n = 0;
    CHECK(count <= sizeof there && mincore((void *)(uintptr_t)map.ptr, map.len, there) == 0);
    for (size_t i = 0; i < count; i++)
        n += there[i] & 1;
    return n;
}

TEST(file_map_reads_a_touched_page_alone_when_it_shall_not_read_around)
{
    enum { BYTES = 1 << 20 };
    Scratch s;
    File f;
    Str map;
    scratch_open(&s);
    EXPECT_I64(file_open(&s.ctx, s.folder, STR("a"), FILE_CREATE, &f), ERR_OK);
    EXPECT_I64(file_write_zeros(&s.ctx, f, 0, BYTES), ERR_OK);
    EXPECT_I64(file_sync(&s.ctx, f), ERR_OK);
    CHECK(posix_fadvise(f.fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
    EXPECT_I64(file_map(&s.ctx, f, &map), ERR_OK);
    const uint32_t before = pages_of(map); /* some file systems are memory */
    file_read_around(map, false);
    EXPECT_I64(*(const volatile char *)(map.ptr + BYTES / 2), 0);
    CHECK(pages_of(map) <= before + 1);
    file_read_around(map, true);
    file_read_around(STR(""), false);
    EXPECT_I64(map.ptr[0], 0);
    file_unmap(map);
    file_close(&f);
    scratch_close(&s);
}

/* A file of whole pages, all of the same byte, as a map. */
static Str map_of(Scratch *s, File *f, Str name, size_t bytes, char fill)
{
    char *content = (char *)arena_bytes(s->ctx.arena, bytes);
    Str map;
    memset(content, fill, bytes);
    CHECK(file_open(&s->ctx, s->folder, name, FILE_CREATE, f) == ERR_OK);
    CHECK(file_write_at(&s->ctx, *f, 0, (Str){content, bytes}) == ERR_OK);
    CHECK(file_map(&s->ctx, *f, &map) == ERR_OK);
    return map;
}

static int byte_at(Str map, size_t at)
{
    return *(const volatile char *)(map.ptr + at);
}

TEST(file_whose_map_loses_a_page_reads_as_zeros_is_known_as_lost_and_others_are_as_they_were)
{
    Scratch s;
    scratch_open(&s);
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    File cut, other;
    const Str map = map_of(&s, &cut, STR("cut"), 8 * page, 7),
              beside = map_of(&s, &other, STR("other"), 3 * page + 5, 9);
    const atomic_bool *lost = file_map_lost(map);
    EXPECT_I64(byte_at(map, 6 * page), 7);
    CHECK(file_is_whole(lost));
    CHECK(file_truncate(&s.ctx, cut, (int64_t)(2 * page)) == ERR_OK);
    EXPECT_I64(byte_at(map, page), 7); /* nobody has met it */
    CHECK(file_is_whole(lost));
    EXPECT_I64(byte_at(map, 6 * page), 0);
    CHECK(!file_is_whole(lost));
    EXPECT_I64(byte_at(map, page), 0); /* all of it: it is not half believed */
    file_will_read(map, 0, map.len);
    EXPECT_I64(byte_at(beside, 3 * page + 4), 9);
    CHECK(file_is_whole(file_map_lost(beside)) && file_is_whole(file_map_lost(STR("memory"))));
    file_unmap(map);
    const Str again = map_of(&s, &cut, STR("cut"), page, 3);
    CHECK(file_is_whole(file_map_lost(again)));
    EXPECT_I64(byte_at(again, 1), 3);
    file_unmap(again);
    file_unmap(beside);
    file_close(&cut);
    file_close(&other);
    scratch_close(&s);
}

static void *read_to_the_end(void *arg)
{
    const Str *map = arg;
    const atomic_bool *lost = file_map_lost(*map);
    int64_t wrong = 0;
    while (file_is_whole(lost))
        for (size_t at = 0; at < map->len; at += 512)
            wrong += byte_at(*map, at) != 5 && file_is_whole(lost);
    return (void *)(intptr_t)wrong;
}

TEST(file_whose_map_is_lost_beside_readers_gives_none_of_them_zeros_that_it_says_are_its_own)
{
    enum { READERS = 3, ROUNDS = 20 };
    Scratch s;
    scratch_open(&s);
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t readers[READERS];
        File f;
        Str map = map_of(&s, &f, STR("cut"), 64 * (size_t)sysconf(_SC_PAGESIZE), 5);
        for (int i = 0; i < READERS; i++)
            CHECK(pthread_create(&readers[i], NULL, read_to_the_end, &map) == 0);
        CHECK(usleep(1000) == 0);
        CHECK(file_truncate(&s.ctx, f, 0) == ERR_OK);
        for (int i = 0; i < READERS; i++) {
            void *wrong = NULL;
            CHECK(pthread_join(readers[i], &wrong) == 0);
            EXPECT_I64((intptr_t)wrong, 0);
        }
        file_unmap(map);
        file_close(&f);
    }
    scratch_close(&s);
}

/* What is no map of ours ends the process, as does a signal that somebody sends. */
static int end_of_child(void (*what)(Scratch *s))
{
    int status = 0;
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        const struct rlimit no_core = {0, 0};
        Scratch s;
        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)close(STDERR_FILENO); /* where a sanitizer tells of it */
        scratch_open(&s);
        File f;
        (void)map_of(&s, &f, STR("ours"), 100, 1);
        test_remove_folder(s.folder);
        what(&s);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}

static void read_foreign_map(Scratch *s)
{
    (void)s;
    const int fd = memfd_create("foreign", 0);
    CHECK(fd >= 0);
    const char *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED);
    (void)byte_at((Str){map, 4096}, 0);
}

static void send_signal(Scratch *s)
{
    (void)s;
    (void)raise(SIGBUS);
}

TEST(file_maps_take_no_signal_that_is_not_theirs)
{
    CHECK(end_of_child(read_foreign_map) != 0);
    CHECK(end_of_child(send_signal) != 0);
}

TEST(file_names_that_could_leave_the_folder_are_refused)
{
    Scratch s;
    scratch_open(&s);
    static const Str BAD[] = {{"", 0}, {"..", 2}, {"a/b", 3}, {"/etc", 4}, {"a\0b", 3}, {".x", 2}};
    for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
        File f = FILE_NONE;
        EXPECT_I64(file_open(&s.ctx, s.folder, BAD[i], FILE_WRITE, &f), ERR_INVALID);
        EXPECT_STREQ(s.ctx.fault.reason, "file.name");
    }
    scratch_close(&s);
}

TEST(file_missing_says_so_and_removing_it_is_ok)
{
    Scratch s;
    scratch_open(&s);
    File f = FILE_NONE;
    EXPECT_I64(file_open(&s.ctx, s.folder, STR("none"), FILE_READ, &f), ERR_NOT_FOUND);
    EXPECT_STREQ(s.ctx.fault.reason, "file.missing");
    EXPECT_I64(file_remove(&s.ctx, s.folder, STR("none")), ERR_OK);
    scratch_close(&s);
}

TEST(file_replace_swaps_the_whole_content_and_leaves_no_temporary_file)
{
    Scratch s;
    scratch_open(&s);
    EXPECT_I64(file_replace(&s.ctx, s.folder, STR("m"), STR("a longer first content")), ERR_OK);
    EXPECT_I64(file_replace(&s.ctx, s.folder, STR("m"), STR("second")), ERR_OK);
    Str content;
    EXPECT_I64(file_load(&s.ctx, s.folder, STR("m"), 100, &content), ERR_OK);
    CHECK(str_eq(content, STR("second")));
    EXPECT_I64(file_load(&s.ctx, s.folder, STR("m"), 5, &content), ERR_TOO_LARGE);
    Str *names = NULL;
    size_t n = 0;
    EXPECT_I64(file_list(&s.ctx, s.folder, &names, &n), ERR_OK);
    EXPECT_I64((int64_t)n, 1);
    scratch_close(&s);
}

/* From an odd address, which a disk would not take as it is. */
TEST(file_replace_of_a_large_content_keeps_every_byte_whatever_its_size_and_address)
{
    enum { MIB = 1 << 20 };
    static const size_t SIZES[] = {MIB - 1, MIB, MIB + 1, MIB + 4095, 2 * MIB, 3 * MIB + 4097};
    Scratch s;
    scratch_open(&s);
    for (size_t i = 0; i < ARRAY_LEN(SIZES); i++) {
        char *const bytes = (char *)arena_bytes(s.ctx.arena, SIZES[i] + 1) + i % 2;
        for (size_t at = 0; at < SIZES[i]; at++)
            bytes[at] = (char)(at * 7 + at / 4096 + at / MIB * 31 + i);
        const Str large = {bytes, SIZES[i]};
        EXPECT_I64(file_replace(&s.ctx, s.folder, STR("m"), large), ERR_OK);
        Str content;
        EXPECT_I64(file_load(&s.ctx, s.folder, STR("m"), 4 * MIB, &content), ERR_OK);
        CHECK(str_eq(content, large));
    }
    scratch_close(&s);
}

TEST(file_list_is_sorted_and_knows_more_names_than_its_first_guess)
{
    Scratch s;
    scratch_open(&s);
    for (int i = 199; i >= 0; i--) {
        const Str name = arena_printf(s.ctx.arena, "f%03d", i);
        EXPECT_I64(file_replace(&s.ctx, s.folder, name, name), ERR_OK);
    }
    Str *names = NULL;
    size_t n = 0;
    EXPECT_I64(file_list(&s.ctx, s.folder, &names, &n), ERR_OK);
    EXPECT_I64((int64_t)n, 200);
    CHECK(str_eq(names[0], STR("f000")) && str_eq(names[199], STR("f199")));
    scratch_close(&s);
}

TEST(file_lock_is_held_by_one)
{
    Scratch s;
    scratch_open(&s);
    File a = FILE_NONE, b = FILE_NONE;
    EXPECT_I64(file_open_locked(&s.ctx, s.folder, STR("lock"), &a), ERR_OK);
    EXPECT_I64(file_open_locked(&s.ctx, s.folder, STR("lock"), &b), ERR_CONFLICT);
    EXPECT_STREQ(s.ctx.fault.reason, "file.locked");
    file_close(&a);
    EXPECT_I64(file_open_locked(&s.ctx, s.folder, STR("lock"), &b), ERR_OK);
    file_close(&b);
    scratch_close(&s);
}

TEST(file_zeros_overwrite_exactly_their_range)
{
    Scratch s;
    scratch_open(&s);
    File f = FILE_NONE;
    EXPECT_I64(file_open(&s.ctx, s.folder, STR("z"), FILE_CREATE, &f), ERR_OK);
    enum { BYTES = 300000, FROM = 100, TO = 250001 }; /* several pieces, cut at both ends */
    char *const bytes = arena_bytes(s.ctx.arena, BYTES), *const got_bytes =
                                                             arena_bytes(s.ctx.arena, BYTES);
    memset(bytes, 'x', BYTES);
    EXPECT_I64(file_write_at(&s.ctx, f, 0, (Str){bytes, BYTES}), ERR_OK);
    EXPECT_I64(file_write_zeros(&s.ctx, f, FROM, TO), ERR_OK);
    memset(bytes + FROM, 0, TO - FROM);
    size_t got = 0;
    EXPECT_I64(file_read_at(&s.ctx, f, 0, got_bytes, BYTES, &got), ERR_OK);
    CHECK(got == BYTES && memcmp(bytes, got_bytes, BYTES) == 0);
    file_close(&f);
    scratch_close(&s);
}

TEST(file_of_zeros_has_its_size_whatever_was_there)
{
    static const int64_t SIZES[] = {0, 1, 4095, 4096, 65537, 1 << 20, (3 << 20) + 100};
    Scratch s;
    scratch_open(&s);
    for (size_t i = 0; i < ARRAY_LEN(SIZES); i++) {
        File f = FILE_NONE;
        int64_t bytes = -1;
        size_t got = 0;
        EXPECT_I64(file_create_zeros(&s.ctx, s.folder, STR("z"), SIZES[i]), ERR_OK);
        EXPECT_I64(file_open(&s.ctx, s.folder, STR("z"), FILE_WRITE, &f), ERR_OK);
        EXPECT_I64(file_size(&s.ctx, f, &bytes), ERR_OK);
        EXPECT_I64(bytes, SIZES[i]);
        char *const read = arena_bytes(s.ctx.arena, (size_t)bytes + 1);
        EXPECT_I64(file_read_at(&s.ctx, f, 0, read, (size_t)bytes, &got), ERR_OK);
        EXPECT_I64((int64_t)got, bytes);
        for (size_t at = 0; at < got; at++)
            CHECK(read[at] == 0);
        EXPECT_I64(file_write_at(&s.ctx, f, 0, STR("older")), ERR_OK);
        file_close(&f);
    }
    scratch_close(&s);
}

TEST(file_folders_are_made_with_their_parents_and_again_is_ok)
{
    Scratch s;
    scratch_open(&s);
    const Str deep = arena_printf(s.ctx.arena, "%s/a/b", s.path);
    EXPECT_I64(file_make_folder(&s.ctx, deep), ERR_OK);
    EXPECT_I64(file_make_folder(&s.ctx, deep), ERR_OK);
    EXPECT_I64(file_replace(&s.ctx, deep, STR("x"), STR("y")), ERR_OK);
    EXPECT_I64(file_remove(&s.ctx, deep, STR("x")), ERR_OK);
    int64_t free_bytes = -1;
    EXPECT_I64(file_free_bytes(&s.ctx, deep, &free_bytes), ERR_OK);
    CHECK(free_bytes >= 0);
    CHECK(rmdir(deep.ptr) == 0);
    CHECK(rmdir(arena_printf(s.ctx.arena, "%s/a", s.path).ptr) == 0);
    scratch_close(&s);
}

/* The limit on a file's size stands in for a full disk: the kernel refuses the same write. */
TEST(file_on_a_full_disk_is_busy_and_heals)
{
    Scratch s;
    scratch_open(&s);
    (void)signal(SIGXFSZ, SIG_IGN);
    struct rlimit before;
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    const Str large = {arena_alloc(s.ctx.arena, 2 << 20, 1), 2 << 20};
    const struct rlimit tight = {8192, before.rlim_max};
    File f = FILE_NONE;
    EXPECT_I64(file_open(&s.ctx, s.folder, STR("big"), FILE_CREATE, &f), ERR_OK);
    CHECK(setrlimit(RLIMIT_FSIZE, &tight) == 0);
    const Err full = file_write_zeros(&s.ctx, f, 0, 20000);
    const Err no_zeros = file_create_zeros(&s.ctx, s.folder, STR("big"), 20000);
    const Err replaced =
        file_replace(&s.ctx, s.folder, STR("r"), arena_printf(s.ctx.arena, "%9000d", 1));
    const Err replaced_large = file_replace(&s.ctx, s.folder, STR("l"), large);
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    EXPECT_I64(full, ERR_BUSY);
    EXPECT_I64(no_zeros, ERR_BUSY);
    EXPECT_I64(replaced, ERR_BUSY);
    EXPECT_I64(replaced_large, ERR_BUSY);
    EXPECT_STREQ(s.ctx.fault.reason, "disk.full");
    EXPECT_I64(file_write_zeros(&s.ctx, f, 0, 20000), ERR_OK);
    file_close(&f);
    Str *names = NULL;
    size_t n = 0;
    EXPECT_I64(file_list(&s.ctx, s.folder, &names, &n), ERR_OK);
    EXPECT_I64((int64_t)n, 1); /* the failed replacement left nothing */
    scratch_close(&s);
}
