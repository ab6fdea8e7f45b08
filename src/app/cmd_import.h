/*
 * app/cmd_import.h -- what `tongdian import` and `tongdian demo` share.
 */
#pragma once

#include "app/app.h"
#include "modules/intake/intake_run.h"

#include <stdio.h>

/* The map at `path`, or a sentence on standard error and false. */
bool import_load_map(Ctx *ctx, const char *path, const IntakeMap **out);

/* Settings, run and progress on an open app.  Prints what went wrong and returns false. */
bool import_files(App *app, const IntakeMap *map, const char *dir, const char *rejects,
                  IntakeResult *out);

/* The result as tables. */
void import_print(Arena *arena, const IntakeResult *r, FILE *to);

int64_t import_rejected(const IntakeResult *r);
