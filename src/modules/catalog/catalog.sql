-- Products: what a till's line, a coupon's scope and a report name.

CREATE TABLE product(
  id i64 PRIMARY KEY,
  code text NOT NULL UNIQUE,          -- SKU or bar code as the tills send it
  name text NOT NULL,
  brand text NOT NULL,
  department text NOT NULL,
  category text NOT NULL,
  size text NOT NULL,
  created_ms i64 NOT NULL
);

-- name: catalog_product_insert :exec
-- in: id i64, code text, name text, brand text, department text, category text, size text, created_ms i64
INSERT INTO product(id, code, name, brand, department, category, size, created_ms)
VALUES (:id, :code, :name, :brand, :department, :category, :size, :created_ms)
ON CONFLICT (code) DO NOTHING;

-- name: catalog_product_update :exec
-- in: id i64, name text, brand text, department text, category text, size text
UPDATE product SET name = :name, brand = :brand, department = :department, category = :category, size = :size
 WHERE id = :id;

-- name: catalog_product_by_code :one
-- in: code text
-- out: id i64, name text, brand text, department text, category text, size text
SELECT id, name, brand, department, category, size FROM product WHERE code = :code;

-- name: catalog_product_find :one
-- in: id i64
-- out: code text, name text, brand text, department text, category text, size text, created_ms i64
SELECT code, name, brand, department, category, size, created_ms FROM product WHERE id = :id;

-- name: catalog_product_page :list
-- in: after text, max i64
-- out: id i64, code text, name text, brand text, department text, category text, size text
SELECT id, code, name, brand, department, category, size
  FROM product WHERE code > :after ORDER BY code LIMIT :max;

-- name: catalog_product_count :one
-- out: products i64
SELECT count(*) FROM product;
