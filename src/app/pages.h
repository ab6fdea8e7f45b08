/*
 * app/pages.h -- the console, the counter page and the API's contract, inside the program.
 *
 * The table is made by tools/embed from the folder that meson's option `pages` names (`./run` passes
 * web/dist); without it, it holds openapi.json only.
 */
#pragma once

#include "http/http_static.h"

extern HttpStaticFile APP_PAGES[]; /* in byte order of path */
extern const size_t APP_PAGES_COUNT;

/* Fills the table: once, before the first request. */
void pages_fill(void);
