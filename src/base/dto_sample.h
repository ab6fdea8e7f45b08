/*
 * base/dto_sample.h -- a struct that has one member of every kind, for dto_test.c and dto_fuzz.c.
 */
#pragma once

#include "base/dto.h"

typedef enum SampleColour { SAMPLE_RED, SAMPLE_GREEN, SAMPLE_BLUE } SampleColour;

typedef struct SampleLine {
    Str sku;
    int64_t pieces;
    Str note;
    DtoState note_is;
} SampleLine;

typedef struct Sample {
    int64_t id;
    Str title;
    int64_t face;
    bool open;
    SampleColour colour;
    int32_t day;
    DtoState day_is; /* optional, may be null */
    int64_t at;
    DtoState at_is; /* required, may be null */
    Str phone;
    DtoState phone_is;
    Str email;
    DtoState email_is;
    Str uri;
    DtoState uri_is;
    Str uuid;
    DtoState uuid_is;
    Str code;
    DtoState code_is;
    Str slug;
    DtoState slug_is;
    Str digits;
    DtoState digits_is;
    Str text;
    DtoState text_is;
    Str password;
    DtoState password_is;
    int64_t size; /* default 20 */
    Str language; /* default "zh" */
    SampleLine *lines;
    size_t lines_count;
    int64_t *stores;
    size_t stores_count;
    DtoState stores_is;
    DtoPair *labels;
    size_t labels_count;
    DtoState labels_is;
    Str rule;
    DtoState rule_is;
    Str extra;
    DtoState extra_is;
    SampleLine first;
    DtoState first_is;
} Sample;

static const char *const SAMPLE_COLOURS[] = {"red", "green", "blue"};

#define SAMPLE_STRING(f, from, to)                                                                 \
    {                                                                                              \
        .kind = DTO_STRING, .format = DTO_FORMAT_##f, .size = sizeof(Str), .min = (from),          \
        .max = (to)                                                                                \
    }
static const DtoType SAMPLE_TITLE = SAMPLE_STRING(LINE, 1, 8);
static const DtoType SAMPLE_PHONE = SAMPLE_STRING(PHONE, 0, 32);
static const DtoType SAMPLE_EMAIL = SAMPLE_STRING(EMAIL, 0, 254);
static const DtoType SAMPLE_URI = SAMPLE_STRING(URI, 0, 200);
static const DtoType SAMPLE_UUID = SAMPLE_STRING(UUID, 0, 36);
static const DtoType SAMPLE_CODE = SAMPLE_STRING(CODE, 1, 12);
static const DtoType SAMPLE_SLUG = SAMPLE_STRING(SLUG, 0, 12);
static const DtoType SAMPLE_DIGITS = SAMPLE_STRING(DIGITS, 4, 6);
static const DtoType SAMPLE_TEXT = SAMPLE_STRING(TEXT, 0, 40);
static const DtoType SAMPLE_PASSWORD = SAMPLE_STRING(PASSWORD, 0, 40);
static const DtoType SAMPLE_ID = {.kind = DTO_ID, .size = sizeof(int64_t)};
static const DtoType SAMPLE_DATE = {.kind = DTO_DATE, .size = sizeof(int32_t)};
static const DtoType SAMPLE_TIME = {.kind = DTO_TIME, .size = sizeof(int64_t)};
static const DtoType SAMPLE_BOOL = {.kind = DTO_BOOL, .size = sizeof(bool)};
static const DtoType SAMPLE_MONEY = {
    .kind = DTO_INTEGER, .size = sizeof(int64_t), .min = -100, .max = 1000000};
static const DtoType SAMPLE_COLOUR = {.kind = DTO_ENUM,
                                      .name = "Colour",
                                      .size = sizeof(SampleColour),
                                      .enum_names = SAMPLE_COLOURS,
                                      .count = 3};

#define SAMPLE_FIELD(T, m, t, ...)                                                                 \
    {                                                                                              \
        .name = #m, .type = &(t), .at = offsetof(T, m), .count_at = DTO_NOWHERE,                   \
        .state_at = DTO_NOWHERE, __VA_ARGS__                                                       \
    }
#define SAMPLE_OPTIONAL(T, m, t)                                                                   \
    {                                                                                              \
        .name = #m, .type = &(t), .at = offsetof(T, m), .count_at = DTO_NOWHERE,                   \
        .state_at = offsetof(T, m##_is)                                                            \
    }
static const DtoField SAMPLE_LINE_FIELDS[] = {
    SAMPLE_FIELD(SampleLine, sku, SAMPLE_CODE, .required = true),
    SAMPLE_FIELD(SampleLine, pieces, SAMPLE_MONEY, .required = true),
    SAMPLE_OPTIONAL(SampleLine, note, SAMPLE_TEXT),
};
static const DtoType SAMPLE_LINE = {.kind = DTO_OBJECT,
                                    .name = "SampleLine",
                                    .size = sizeof(SampleLine),
                                    .fields = SAMPLE_LINE_FIELDS,
                                    .count = ARRAY_LEN(SAMPLE_LINE_FIELDS)};
static const DtoType SAMPLE_LINES = {
    .kind = DTO_ARRAY, .size = sizeof(SampleLine *), .max = 3, .item = &SAMPLE_LINE};
static const DtoType SAMPLE_STORES = {
    .kind = DTO_ARRAY, .size = sizeof(int64_t *), .min = 1, .max = 3, .item = &SAMPLE_ID};
static const DtoType SAMPLE_LABELS = {
    .kind = DTO_MAP, .size = sizeof(DtoPair *), .max = 2, .item = &SAMPLE_TITLE};
static const DtoType SAMPLE_RULE = {.kind = DTO_JSON, .size = sizeof(Str), .max = 64};
static const DtoType SAMPLE_EXTRA = {
    .kind = DTO_JSON, .size = sizeof(Str), .max = 64, .object_only = true};

static const DtoField SAMPLE_FIELDS[] = {
    SAMPLE_FIELD(Sample, id, SAMPLE_ID, .required = true),
    SAMPLE_FIELD(Sample, title, SAMPLE_TITLE, .required = true),
    SAMPLE_FIELD(Sample, face, SAMPLE_MONEY, .required = true),
    SAMPLE_FIELD(Sample, open, SAMPLE_BOOL, .required = true),
    SAMPLE_FIELD(Sample, colour, SAMPLE_COLOUR, .has_default = true, .default_i64 = SAMPLE_BLUE),
    {.name = "day",
     .type = &SAMPLE_DATE,
     .at = offsetof(Sample, day),
     .count_at = DTO_NOWHERE,
     .state_at = offsetof(Sample, day_is),
     .nullable = true},
    {.name = "at",
     .type = &SAMPLE_TIME,
     .at = offsetof(Sample, at),
     .count_at = DTO_NOWHERE,
     .state_at = offsetof(Sample, at_is),
     .required = true,
     .nullable = true},
    SAMPLE_OPTIONAL(Sample, phone, SAMPLE_PHONE),
    SAMPLE_OPTIONAL(Sample, email, SAMPLE_EMAIL),
    SAMPLE_OPTIONAL(Sample, uri, SAMPLE_URI),
    SAMPLE_OPTIONAL(Sample, uuid, SAMPLE_UUID),
    SAMPLE_OPTIONAL(Sample, code, SAMPLE_CODE),
    SAMPLE_OPTIONAL(Sample, slug, SAMPLE_SLUG),
    SAMPLE_OPTIONAL(Sample, digits, SAMPLE_DIGITS),
    SAMPLE_OPTIONAL(Sample, text, SAMPLE_TEXT),
    SAMPLE_OPTIONAL(Sample, password, SAMPLE_PASSWORD),
    SAMPLE_FIELD(Sample, size, SAMPLE_MONEY, .has_default = true, .default_i64 = 20),
    SAMPLE_FIELD(Sample, language, SAMPLE_SLUG, .has_default = true, .default_text = "zh"),
    {.name = "lines",
     .type = &SAMPLE_LINES,
     .at = offsetof(Sample, lines),
     .count_at = offsetof(Sample, lines_count),
     .state_at = DTO_NOWHERE,
     .required = true},
    {.name = "stores",
     .type = &SAMPLE_STORES,
     .at = offsetof(Sample, stores),
     .count_at = offsetof(Sample, stores_count),
     .state_at = offsetof(Sample, stores_is)},
    {.name = "labels",
     .type = &SAMPLE_LABELS,
     .at = offsetof(Sample, labels),
     .count_at = offsetof(Sample, labels_count),
     .state_at = offsetof(Sample, labels_is),
     .nullable = true},
    SAMPLE_OPTIONAL(Sample, rule, SAMPLE_RULE),
    SAMPLE_OPTIONAL(Sample, extra, SAMPLE_EXTRA),
    SAMPLE_OPTIONAL(Sample, first, SAMPLE_LINE),
};
static const DtoType SAMPLE = {.kind = DTO_OBJECT,
                               .name = "Sample",
                               .size = sizeof(Sample),
                               .fields = SAMPLE_FIELDS,
                               .count = ARRAY_LEN(SAMPLE_FIELDS)};
