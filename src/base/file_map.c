/*
 * base/file_map.c -- files as memory, and what becomes of them when the disk does not give a page.
 *
 * The kernel then sends SIGBUS to the thread that reads.  Of a map that is known here the whole place becomes zeros, which
 * the thread reads instead, and the map is lost; any other SIGBUS ends the process as it always did.
 */
#include "base/file.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* A kernel lets a process have 65,530 maps unless it is told otherwise. */
enum { CHUNK_MAPS = 1024, CHUNKS = 64 };

/* The handler reads these whatever another thread is at: `from` is set last, and cleared first. */
typedef struct Map {
    _Atomic uintptr_t from, to; /* 0 = a free place */
    atomic_bool lost;
} Map;

static Map *_Atomic chunks[CHUNKS]; /* never given back */
static pthread_mutex_t places = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct sigaction before;
static const atomic_bool NEVER_LOST;

/* ---- in the handler: nothing but atomics and calls of the kernel --------------------------------- */

static bool has_address(Map *map, uintptr_t address)
{
    const uintptr_t from = atomic_load(&map->from);
    return from != 0 && address >= from && address < atomic_load(&map->to);
}

/* NULL: it is in none. */
static Map *map_at(uintptr_t address)
{
    for (size_t c = 0; c < CHUNKS; c++) {
        Map *const chunk = atomic_load(&chunks[c]);
        for (size_t i = 0; chunk != NULL && i < CHUNK_MAPS; i++)
            if (has_address(&chunk[i], address))
                return &chunk[i];
    }
    return NULL;
}

/* As a whole: page by page the zeros would be thousands of maps.  Nobody may see them who can believe the map.  When the
 * place was given to another map meanwhile nothing is done: the reader comes again. */
static bool put_zeros(Map *map, uintptr_t address)
{
    const uintptr_t from = atomic_load(&map->from), to = atomic_load(&map->to);
    if (from == 0 || address < from || address >= to)
        return true;
    atomic_store(&map->lost, true);
    return mmap((void *)from, to - from, PROT_READ, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1,
                0) != MAP_FAILED;
}

static void on_bus_error(int signal, siginfo_t *info, void *context)
{
    (void)context;
    const int error = errno;
    const bool of_memory = info->si_code > 0; /* else somebody sent it */
    const uintptr_t address = (uintptr_t)info->si_addr;
    Map *const map = of_memory ? map_at(address) : NULL;
    if (map == NULL || !put_zeros(map, address)) {
        (void)sigaction(SIGBUS, &before, NULL);
        if (!of_memory)
            (void)raise(signal); /* what memory does comes again by itself */
    }
    errno = error;
}

static void watch_bus_errors(void)
{
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    (void)sigemptyset(&action.sa_mask);
    CHECK(sigaction(SIGBUS, &action, &before) == 0);
}

/* ---- places ---------------------------------------------------------------------------------------- */

static size_t taken; /* all places before this one; under the lock */

/* Under the lock. */
static Map *place_at(size_t number)
{
    Map *_Atomic *const chunk = &chunks[number / CHUNK_MAPS];
    if (atomic_load(chunk) == NULL) {
        Map *const made = calloc(CHUNK_MAPS, sizeof *made);
        CHECK(made != NULL);
        atomic_store(chunk, made);
    }
    return &atomic_load(chunk)[number % CHUNK_MAPS];
}

/* Under the lock.  NULL: all are taken. */
static Map *take_place(void)
{
    for (; taken < (size_t)CHUNKS * CHUNK_MAPS; taken++)
        if (atomic_load(&place_at(taken)->from) == 0)
            return place_at(taken++);
    return NULL;
}

static void free_place(Map *place)
{
    size_t c = 0;
    (void)pthread_mutex_lock(&places);
    while (place < atomic_load(&chunks[c]) || place >= atomic_load(&chunks[c]) + CHUNK_MAPS)
        c++;
    const size_t number = c * CHUNK_MAPS + (size_t)(place - atomic_load(&chunks[c]));
    taken = number < taken ? number : taken;
    atomic_store(&place->from, 0);
    (void)pthread_mutex_unlock(&places);
}

/* Whoever made a map asks for it next: thousands are opened one behind the other. */
static _Thread_local Map *newest;

static bool add_map(Str map)
{
    (void)pthread_once(&once, watch_bus_errors);
    (void)pthread_mutex_lock(&places);
    Map *const place = take_place();
    if (place != NULL) {
        atomic_store(&place->lost, false);
        atomic_store(&place->to, (uintptr_t)map.ptr + map.len);
        atomic_store(&place->from, (uintptr_t)map.ptr);
    }
    (void)pthread_mutex_unlock(&places);
    newest = place;
    return place != NULL;
}

static Map *place_of(Str map)
{
    const uintptr_t at = (uintptr_t)map.ptr;
    return newest != NULL && has_address(newest, at) ? newest : map_at(at);
}

const atomic_bool *file_map_lost(Str map)
{
    const Map *const place = map.len > 0 ? place_of(map) : NULL;
    return place != NULL ? &place->lost : &NEVER_LOST;
}

/* ---- maps ------------------------------------------------------------------------------------------ */

Err file_map(Ctx *ctx, File file, Str *out)
{
    int64_t bytes = 0;
    TRY(file_size(ctx, file, &bytes));
    if (bytes == 0) {
        *out = STR("");
        return ERR_OK;
    }
    void *at = mmap(NULL, (size_t)bytes, PROT_READ, MAP_SHARED, file.fd, 0);
    if (at == MAP_FAILED)
        return fail(ctx, ERR_INTERNAL, "disk.failed", "mmap fd %d: errno %d", file.fd, errno);
    const Str map = {at, (size_t)bytes};
    if (!add_map(map)) {
        CHECK(munmap(at, map.len) == 0);
        return fail(ctx, ERR_INTERNAL, "disk.failed", "mmap fd %d: too many", file.fd);
    }
    *out = map;
    return ERR_OK;
}

void file_unmap(Str map)
{
    if (map.len == 0)
        return;
    Map *const place = place_of(map);
    CHECK(place != NULL);
    free_place(place); /* first: the address may be another map's at once */
    CHECK(munmap((void *)(uintptr_t)map.ptr, map.len) == 0);
}

void file_will_read(Str map, uint64_t at, uint64_t bytes)
{
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), from = at - at % page;
    if (at >= map.len)
        return;
    const uint64_t to = bytes < map.len - at ? at + bytes : map.len;
    /* What the kernel does not want to do it need not. */
    (void)madvise((void *)((uintptr_t)map.ptr + from), to - from, MADV_WILLNEED);
}

void file_read_around(Str map, bool around)
{
    if (map.len > 0)
        (void)madvise((void *)(uintptr_t)map.ptr, map.len, around ? MADV_NORMAL : MADV_RANDOM);
}
