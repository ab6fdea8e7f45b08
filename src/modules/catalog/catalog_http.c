/*
 * modules/catalog/catalog_http.c -- the doors of catalog.api.yaml.
 */
#include "modules/catalog/catalog_http.h"

#include "catalog.api.h"
#include "modules/catalog/catalog.h"

static ApiProductView view_of(const Product *p)
{
    return (ApiProductView){.id = p->id,
                            .code = p->code,
                            .name = p->name,
                            .brand = p->brand,
                            .department = p->department,
                            .category = p->category,
                            .size = p->size};
}

static Err one_by_code(Ctx *ctx, Str code, ApiProductPage *out)
{
    int64_t id = 0;
    TRY(catalog_product_by_code(ctx, code, &id));
    out->items = ARENA_ARRAY(ctx->arena, ApiProductView, 1);
    if (id == 0)
        return ERR_OK;
    Product p;
    TRY(catalog_product_find(ctx, id, &p));
    out->items[out->items_count++] = view_of(&p);
    return ERR_OK;
}

static Err list(Work *work, Call *call)
{
    Ctx *ctx = work->ctx;
    const ApiCatalogProductListQuery *q = call->query;
    ApiProductPage *out = call->reply;
    if (q->code_is == DTO_VALUE)
        return one_by_code(ctx, q->code, out);
    Product *products = NULL;
    Str after;
    TRY(request_cursor_read_text(ctx, q->cursor_is == DTO_VALUE ? q->cursor : STR(""), &after));
    TRY(catalog_product_page(ctx, after, q->limit, &products, &out->items_count));
    out->items = ARENA_ARRAY(ctx->arena, ApiProductView, out->items_count + 1);
    for (size_t i = 0; i < out->items_count; i++)
        out->items[i] = view_of(&products[i]);
    if (out->items_count == (size_t)q->limit)
        DTO_SET(out, next, request_cursor_make_text(ctx, products[out->items_count - 1].code));
    return ERR_OK;
}

static Str text_or_empty(DtoState is, Str value)
{
    return is == DTO_VALUE ? value : STR("");
}

static Err put(Tx *tx, Call *call)
{
    const ApiProductDraft *in = call->body;
    const Product draft = {.code = in->code,
                           .name = in->name,
                           .brand = text_or_empty(in->brand_is, in->brand),
                           .department = text_or_empty(in->department_is, in->department),
                           .category = text_or_empty(in->category_is, in->category),
                           .size = text_or_empty(in->size_is, in->size)};
    int64_t id = 0;
    bool changed = false;
    TRY(catalog_product_put(tx, &draft, &id, &changed));
    Product p;
    TRY(catalog_product_find(tx->ctx, id, &p));
    *(ApiProductView *)call->reply = view_of(&p);
    call->object = id;
    return ERR_OK;
}

const Door CATALOG_DOORS[] = {{.operation = &API_OP_CATALOG_PRODUCT_LIST, .work = list},
                              {.operation = &API_OP_CATALOG_PRODUCT_PUT, .apply = put},
                              {0}};
