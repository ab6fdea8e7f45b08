/*
 * base/pages.c
 */
#include "base/pages.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE /* Linux 5.14; not in every libc's header */
#define MADV_POPULATE_WRITE 23
#endif

/* Pieces, because who maps memory in another thread waits while one comes. */
enum { WORTH_BYTES = 64 * 1024, PIECE_BYTES = 256 * 1024 };

void pages_bring(void *block, size_t bytes)
{
    if (bytes < WORTH_BYTES)
        return;
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t to = ((uintptr_t)block + bytes) / page * page;
    uintptr_t at = ((uintptr_t)block + page - 1) / page * page;
    for (size_t some; at < to; at += some) {
        some = to - at < PIECE_BYTES ? to - at : PIECE_BYTES;
        /* An older kernel refuses: then each page comes when it is touched. */
        if (madvise((void *)at, some, MADV_POPULATE_WRITE) != 0)
            return;
    }
}
