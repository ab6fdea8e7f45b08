/*
 * tests/lossy/lossy_work.h -- the programs that lossy_test.c runs on the lossy disk and kills.
 *
 * Each runs in a process of its own with liblossy.so preloaded, works in the folder `live` and
 * writes an int64 to descriptor 1 for every promise it makes.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { WORK_RECORD_BYTES = 700, WORK_SLOT_BYTES = 3000, WORK_VALUE_BYTES = 5000 };

/* Fills `data` with bytes that only `seq` gives; work_is_filled recognises them whole. */
void work_fill(char *data, size_t len, int64_t seq);
int work_is_filled(const char *data, size_t len, int64_t seq);

/* Runs workload `name` with argument `arg`.  Returns the exit code; 99 for an unknown name. */
int work_run(const char *name, const char *live, const char *arg);
