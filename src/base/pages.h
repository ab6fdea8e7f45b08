/*
 * base/pages.h -- new memory whose pages come all at once.
 *
 * The first touch of each page is an exception, which on a virtual machine takes several times as long as
 * making the page.  Who is about to fill a large block at random, or at once, asks for its pages before.
 * Threads: any.
 */
#pragma once

#include <stddef.h>

/* The whole pages of a block that will be written soon are in memory afterwards, as far as the system has any; their
 * bytes do not change.  Of small blocks there is nothing to gain: nothing is done. */
void pages_bring(void *block, size_t bytes);
