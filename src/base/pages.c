/*
 * base/pages.c
 */
#include "base/pages.h"

#include <stdint.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE /* Linux 5.14; not in every libc's header */
#define MADV_POPULATE_WRITE 23
#endif

enum { PAGE = 4096, WORTH_BYTES = 64 * 1024 };

void pages_bring(void *block, size_t bytes)
{
    if (bytes < WORTH_BYTES)
        return;
    const uintptr_t from = ((uintptr_t)block + PAGE - 1) / PAGE * PAGE;
    const uintptr_t to = ((uintptr_t)block + bytes) / PAGE * PAGE;
    /* An older kernel refuses, and a page of 16 KiB may, too: then each comes when it is touched. */
    (void)madvise((void *)from, to - from, MADV_POPULATE_WRITE);
}
