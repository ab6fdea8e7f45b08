/*
 * modules/catalog/catalog.h -- products: what a till's line, a coupon's scope and a report name.
 *
 * Owns:     table product.
 * Promises: a code names one product and never changes; a failed call changed nothing.
 * Depends:  base, db.      Threads: any.
 */
#pragma once

#include "db/db.h"

enum { CATALOG_CODE_BYTES_MAX = 64, CATALOG_TEXT_BYTES_MAX = 200, CATALOG_PAGE_MAX = 1000 };

typedef struct Product {
    int64_t id;
    Str code; /* SKU or bar code as the tills send it, unique */
    Str name;
    Str brand; /* "" = unknown, and so are those below */
    Str department;
    Str category;
    Str size;
} Product;

/* NOT_FOUND "catalog.product_unknown". */
MUST_USE Err catalog_product_find(Ctx *ctx, int64_t id, Product *out);

/* By code; *id = 0 when there is none. */
MUST_USE Err catalog_product_by_code(Ctx *ctx, Str code, int64_t *id);

/*
 * The product with in->code gets the given texts, what is empty in `in` stays as it is; without such
 * a product it is created, named by its code when it has no name.  *changed = whether anything was
 * written.
 * Errors: INVALID "catalog.invalid" with the field; CONFLICT "catalog.code_taken" (another process created it
 * at this very moment: put it again).
 */
MUST_USE Err catalog_product_put(Tx *tx, const Product *in, int64_t *id, bool *changed);

/* In the order of codes, those behind `after_code` ("" = from the first), at most `max` and at most
 * CATALOG_PAGE_MAX. */
MUST_USE Err catalog_product_page(Ctx *ctx, Str after_code, int64_t max, Product **out,
                                  size_t *count);

MUST_USE Err catalog_product_count(Ctx *ctx, int64_t *products);
