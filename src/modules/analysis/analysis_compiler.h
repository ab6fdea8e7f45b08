/*
 * modules/analysis/analysis_compiler.h -- what the parts of the compiler of conditions share.  Private to them.
 *
 *   analysis_compile.c   texts, numbers, comparisons, trees, steps
 *   analysis_persons.c   attributes of persons
 *   analysis_records.c   products, records, lists of texts
 *
 * Owns: nothing; everything lives in ctx->arena.  Threads: one compiler each.
 * Errors: those of analysis_inside.h.
 */
#pragma once

#include "modules/analysis/analysis_inside.h"

typedef struct Compiler {
    Ctx *ctx;
    const AnalysisNames *names;
    AnalysisTexts *texts;
    bool of_person;         /* rows are PART_PERSON: attributes are their properties */
    const SchemaProp *list; /* whose records the condition is about; NULL: about events */
} Compiler;

/* What an operand is in the columns. */
typedef struct Operand {
    enum {
        OPERAND_MISSING,
        OPERAND_TEXT,
        OPERAND_NUMBER,
        OPERAND_TIME, /* of the event */
        OPERAND_LIST, /* how many it has is a number */
        OPERAND_MADE, /* a number that `made` looks at, for which a range is to come */
    } kind;
    uint32_t prop;
    uint8_t scale;      /* OPERAND_NUMBER: that filters of it shall have */
    const Dict *texts;  /* OPERAND_TEXT */
    const Filter *made; /* OPERAND_MADE */
} Operand;

/* ---- analysis_compile.c --------------------------------------------------------------------------- */

Filter *compiler_filter(Compiler *c, FilterKind kind);
Filter *compiler_gather(Compiler *c, FilterKind kind, const Filter **args, uint32_t count);
const Filter *compiler_negated(Compiler *c, const Filter *f);

MUST_USE Err compiler_condition(Compiler *c, const RuleNode *n, const Filter **out);
MUST_USE Err compiler_operand(Compiler *c, const RuleNode *n, RuleType wanted, Operand *out);

/* It is one of these; what nobody has had falls out.  Of none, FILTER_NONE. */
MUST_USE Err compiler_texts_in(Compiler *c, const Operand *o, const Str *texts, uint32_t count,
                               const Filter **out);

/* A condition that is no tree of others, on one row. */
MUST_USE Err compiler_comparison(Compiler *c, const RuleNode *n, const Filter **out);

/* ---- analysis_persons.c --------------------------------------------------------------------------- */

/* A comparison of a PERSON_AT: FILTER_CHANGES, or all or none. */
MUST_USE Err compiler_changes(Compiler *c, const RuleNode *n, const Filter **out);

/* ---- analysis_records.c --------------------------------------------------------------------------- */

/* The property that the node names, of events or of the records in question; NULL: none has had it. */
const SchemaProp *compiler_named(const Compiler *c, const RuleNode *n);

/* `wanted` is the type of what the operand is compared with. */
Operand compiler_product(Compiler *c, const RuleNode *n, RuleType wanted);

/* The two columns of a product of this type, UNKNOWN for any; .of.prop PROP_NONE: it is missing everywhere. */
AnalysisColumn compiler_factors(const Compiler *c, const RuleNode *n, RuleType wanted);
Operand compiler_items_sum(Compiler *c, const RuleNode *n, RuleType wanted);
MUST_USE Err compiler_items_count(Compiler *c, const RuleNode *n, RuleType wanted, Operand *out);

/* RULE_ITEMS_ANY, RULE_ITEMS_ALL. */
MUST_USE Err compiler_records(Compiler *c, const RuleNode *n, const Filter **out);

/* The list of texts that a node names; NULL: it names none. */
const SchemaProp *compiler_texts(const Compiler *c, const RuleNode *n);

/* One of the list's texts is one of these. */
MUST_USE Err compiler_texts_have(Compiler *c, const SchemaProp *list, const Str *texts,
                                 uint32_t count, const Filter **out);

/* RULE_CONTAINS_ANY, RULE_CONTAINS_ALL. */
MUST_USE Err compiler_contains_list(Compiler *c, const RuleNode *n, const Filter **out);
