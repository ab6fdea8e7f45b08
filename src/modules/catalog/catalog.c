/*
 * modules/catalog/catalog.c -- what a product may be, and keeping it.
 */
#include "modules/catalog/catalog.h"

#include "base/id.h"
#include "catalog.sql.h"

static Err check(Ctx *ctx, const Product *p)
{
    if (p->code.len == 0 || !str_is_line(p->code, CATALOG_CODE_BYTES_MAX))
        return fail_field(ctx, "/code", "catalog.invalid",
                          "give the product a code of its own, at most 64 bytes");
    if (p->name.len == 0)
        return fail_field(ctx, "/name", "catalog.invalid", "give the product a name");
    const struct {
        Str text;
        const char *pointer;
    } texts[] = {{p->name, "/name"},
                 {p->brand, "/brand"},
                 {p->department, "/department"},
                 {p->category, "/category"},
                 {p->size, "/size"}};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (!str_is_line(texts[i].text, CATALOG_TEXT_BYTES_MAX))
            return fail_field(ctx, texts[i].pointer, "catalog.invalid",
                              "one line of at most 200 bytes");
    return ERR_OK;
}

Err catalog_product_find(Ctx *ctx, int64_t id, Product *out)
{
    Row_catalog_product_find r;
    const Err err = sql_catalog_product_find(ctx, id, &r);
    if (err == ERR_NOT_FOUND)
        return fail(ctx, ERR_NOT_FOUND, "catalog.product_unknown", "product %" PRId64, id);
    TRY(err);
    *out = (Product){.id = id,
                     .code = r.code,
                     .name = r.name,
                     .brand = r.brand,
                     .department = r.department,
                     .category = r.category,
                     .size = r.size};
    return ERR_OK;
}

/* The product with that code; out->id = 0 when there is none. */
static Err by_code(Ctx *ctx, Str code, Product *out)
{
    Row_catalog_product_by_code r = {0};
    const Err err = sql_catalog_product_by_code(ctx, code, &r);
    if (err != ERR_NOT_FOUND)
        TRY(err);
    *out = (Product){0};
    if (err == ERR_OK)
        *out = (Product){.id = r.id,
                         .code = code,
                         .name = r.name,
                         .brand = r.brand,
                         .department = r.department,
                         .category = r.category,
                         .size = r.size};
    return ERR_OK;
}

Err catalog_product_by_code(Ctx *ctx, Str code, int64_t *id)
{
    Product p;
    TRY(by_code(ctx, code, &p));
    *id = p.id;
    return ERR_OK;
}

static Err create(Tx *tx, const Product *in, int64_t *id)
{
    Product p = *in;
    if (p.name.len == 0)
        p.name = p.code;
    TRY(check(tx->ctx, &p));
    const int64_t new_id = id_next(tx->ctx->now_ms);
    int64_t changed = 0;
    TRY(sql_catalog_product_insert(tx,
                                   &(In_catalog_product_insert){.id = new_id,
                                                                .code = p.code,
                                                                .name = p.name,
                                                                .brand = p.brand,
                                                                .department = p.department,
                                                                .category = p.category,
                                                                .size = p.size,
                                                                .created_ms = tx->ctx->now_ms},
                                   &changed));
    if (changed == 0)
        return fail(tx->ctx, ERR_CONFLICT, "catalog.code_taken", "%.*s", STR_ARG(p.code));
    *id = new_id;
    return ERR_OK;
}

static Err update(Tx *tx, const Product *p)
{
    TRY(check(tx->ctx, p));
    return sql_catalog_product_update(tx,
                                      &(In_catalog_product_update){.id = p->id,
                                                                   .name = p->name,
                                                                   .brand = p->brand,
                                                                   .department = p->department,
                                                                   .category = p->category,
                                                                   .size = p->size},
                                      NULL);
}

Err catalog_product_put(Tx *tx, const Product *in, int64_t *id, bool *changed)
{
    Product p;
    TRY(by_code(tx->ctx, in->code, &p));
    if (p.id == 0) {
        TRY(create(tx, in, id));
        *changed = true;
        return ERR_OK;
    }
    bool differs = str_merge(&p.name, in->name);
    differs |= str_merge(&p.brand, in->brand);
    differs |= str_merge(&p.department, in->department);
    differs |= str_merge(&p.category, in->category);
    differs |= str_merge(&p.size, in->size);
    if (differs)
        TRY(update(tx, &p));
    *id = p.id;
    *changed = differs;
    return ERR_OK;
}

Err catalog_product_page(Ctx *ctx, Str after_code, int64_t max, Product **out, size_t *count)
{
    Row_catalog_product_page *rows = NULL;
    size_t n = 0;
    const int64_t limit = max < 0 ? 0 : max < CATALOG_PAGE_MAX ? max : CATALOG_PAGE_MAX;
    TRY(sql_catalog_product_page(ctx, after_code, limit, &rows, &n));
    Product *products = ARENA_ARRAY(ctx->arena, Product, n + 1);
    for (size_t i = 0; i < n; i++)
        products[i] = (Product){.id = rows[i].id,
                                .code = rows[i].code,
                                .name = rows[i].name,
                                .brand = rows[i].brand,
                                .department = rows[i].department,
                                .category = rows[i].category,
                                .size = rows[i].size};
    *out = products;
    *count = n;
    return ERR_OK;
}

Err catalog_product_count(Ctx *ctx, int64_t *products)
{
    Row_catalog_product_count row;
    TRY(sql_catalog_product_count(ctx, &row));
    *products = row.products;
    return ERR_OK;
}
