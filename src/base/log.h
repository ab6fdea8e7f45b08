/*
 * base/log.h -- one line per event on standard error, as text or JSON.
 *
 * A line has a level, a dotted event name and named fields:
 *     LOG(LOG_INFO, "http.listen", LOG_I64("port", 8080), LOG_STR("address", address));
 * Values are escaped (a line stays a line), and every run of 7 or more digits in a text value is
 * masked to its last two: phone numbers and card numbers cannot reach the log by accident.  Secrets
 * must not be passed at all.  Threads: any; a line is written with one write().
 */
#pragma once

#include "base/arena.h"

typedef enum LogLevel { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF } LogLevel;

typedef struct LogField {
    const char *name;
    bool is_text;
    int64_t i64;
    Str text;
} LogField;

#define LOG_I64(n, v) ((LogField){.name = (n), .i64 = (v)})
#define LOG_STR(n, v) ((LogField){.name = (n), .is_text = true, .text = (v)})
#define LOG_C(n, v)   ((LogField){.name = (n), .is_text = true, .text = str_of(v)})

#define LOG(level, event, ...)                                                                     \
    log_write(level, event, (const LogField[]){__VA_ARGS__},                                       \
              ARRAY_LEN(((const LogField[]){__VA_ARGS__})))

void log_setup(LogLevel lowest, bool json);
bool log_wants(LogLevel level);
void log_write(LogLevel level, const char *event, const LogField *fields, size_t n);

/* Free text with every run of 7 or more digits masked as in the log: for what people typed and others
 * will read, such as audit details.  Digits that blanks or dashes keep apart are one run. */
Str log_mask(Arena *arena, Str text);

/* The line as it would be written, for tests. */
void log_format(Buf *out, bool json, int64_t now_ms, LogLevel level, const char *event,
                const LogField *fields, size_t n);
