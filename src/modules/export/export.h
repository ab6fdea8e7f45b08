/*
 * modules/export/export.h -- everything as tables, row by row, for other programs.
 *
 * Owns:     nothing; it reads other rooms' tables and the event log.
 * Promises: memory is bounded whatever there is (pages of EXPORT_PAGE rows); no full identifier, no
 *           name and no coupon code leaves: phone and card are masked, people are known by their
 *           number; nothing of whoever was erased before it began is among the events; what is added
 *           while it runs may or may not be in it, nothing comes twice.
 *           People, redemptions and events come newest first, the others oldest first.
 * Depends:  base, db, events, store, catalog, person, campaign, coupon, order.      Threads: any.
 */
#pragma once

#include "db/db.h"
#include "events/events.h"

enum { EXPORT_PAGE = 500, EXPORT_COLUMNS_MAX = 16 };

typedef enum ExportType {
    EXPORT_TEXT,
    EXPORT_ID, /* 63 bits: a text in JSON */
    EXPORT_COUNT,
    EXPORT_MONEY, /* minor units */
    EXPORT_TIME,  /* UTC milliseconds */
    EXPORT_DAY,   /* yyyymmdd */
    EXPORT_JSON,  /* text: one JSON value */
} ExportType;

typedef struct ExportColumn {
    const char *name;
    ExportType type;
} ExportColumn;

typedef struct ExportValue {
    bool present;
    int64_t number;
    Str text;
} ExportValue;

typedef enum ExportKind {
    EXPORT_PEOPLE,
    EXPORT_ORDERS, /* one row per line */
    EXPORT_COUPONS,
    EXPORT_REDEMPTIONS,
    EXPORT_EVENTS, /* needs the log */
    EXPORT_KIND_COUNT
} ExportKind;

typedef struct ExportTable {
    const char *name;
    const ExportColumn *column;
    size_t columns;
} ExportTable;

extern const ExportTable EXPORT_TABLES[EXPORT_KIND_COUNT];

/* Called per row, with a value per column; they live only during the call.  An Err stops and is
 * returned. */
typedef Err (*ExportFn)(void *arg, Ctx *ctx, const ExportValue *row);

/* `log` may be NULL but for EXPORT_EVENTS.  *rows = how many.  Errors: of events, those of events_hidden(); what `fn`
 * returned. */
MUST_USE Err export_rows(Ctx *ctx, EventsLog *log, ExportKind kind, ExportFn fn, void *arg,
                         int64_t *rows);
