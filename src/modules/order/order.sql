-- A till's sale: lines, tenders, and each line's share of the discounts, stored once in minor units; a
-- return gives back exactly its share.

CREATE TABLE orders(
  id i64 PRIMARY KEY,
  person i64 NOT NULL,                -- 0 = nobody we know
  store i64 NOT NULL,
  till text NOT NULL,
  business_day i64 NOT NULL,          -- yyyymmdd
  number text NOT NULL,               -- the till's own receipt number
  kind i64 NOT NULL CHECK(kind IN (1, 2)),           -- 1 sale, 2 return
  original i64 NOT NULL,              -- return: the sale; else 0
  net_fen i64 NOT NULL,               -- what the chain receives; negative for a return
  retail_discount_fen i64 NOT NULL,
  coupon_discount_fen i64 NOT NULL,
  match_discount_fen i64 NOT NULL,
  lines i64 NOT NULL CHECK(lines >= 0),
  at_ms i64 NOT NULL,
  who i64 NOT NULL
);
-- A till's natural key (POSLog): the same receipt imported or sent twice is one sale.
CREATE UNIQUE INDEX orders_natural ON orders(store, business_day, till, number);
CREATE INDEX orders_at ON orders(at_ms);
-- The returns of a sale.
CREATE INDEX orders_original ON orders(original) WHERE original <> 0;

-- clustered
CREATE TABLE order_line(
  sale i64 NOT NULL,                  -- orders.id
  line i64 NOT NULL,                  -- 1, 2, ...
  product i64 NOT NULL,
  quantity i64 NOT NULL,              -- pieces; 0 is possible in imported data
  net_fen i64 NOT NULL,
  retail_discount_fen i64 NOT NULL,
  coupon_discount_fen i64 NOT NULL,
  match_discount_fen i64 NOT NULL,
  original_line i64 NOT NULL,         -- return: the line of the original sale; else 0
  PRIMARY KEY (sale, line)
);

-- clustered
CREATE TABLE order_tender(
  sale i64 NOT NULL,
  line i64 NOT NULL,
  kind text NOT NULL,
  amount_fen i64 NOT NULL,
  PRIMARY KEY (sale, line)
);

-- Sales per shop and day: derived, and kept in the same transaction as the order.
-- clustered
CREATE TABLE order_day(
  day i64 NOT NULL,                   -- business day, yyyymmdd
  store i64 NOT NULL,
  sales i64 NOT NULL,
  returns i64 NOT NULL,
  net_fen i64 NOT NULL,
  retail_discount_fen i64 NOT NULL,
  coupon_discount_fen i64 NOT NULL,
  match_discount_fen i64 NOT NULL,
  PRIMARY KEY (day, store)
);

-- name: order_insert :exec
-- in: id i64, person i64, store i64, till text, business_day i64, number text, kind i64, original i64, net_fen i64, retail_discount_fen i64, coupon_discount_fen i64, match_discount_fen i64, lines i64, at_ms i64, who i64
INSERT INTO orders(id, person, store, till, business_day, number, kind, original, net_fen, retail_discount_fen,
  coupon_discount_fen, match_discount_fen, lines, at_ms, who)
VALUES (:id, :person, :store, :till, :business_day, :number, :kind, :original, :net_fen, :retail_discount_fen,
  :coupon_discount_fen, :match_discount_fen, :lines, :at_ms, :who)
ON CONFLICT (store, business_day, till, number) DO NOTHING;

-- name: order_by_natural :one
-- in: store i64, business_day i64, till text, number text
-- out: id i64
SELECT id FROM orders WHERE store = :store AND business_day = :business_day AND till = :till AND number = :number;

-- name: order_find :one
-- in: id i64
-- out: person i64, store i64, till text, business_day i64, number text, kind i64, original i64, net_fen i64, retail_discount_fen i64, coupon_discount_fen i64, match_discount_fen i64, lines i64, at_ms i64, who i64
SELECT person, store, till, business_day, number, kind, original, net_fen, retail_discount_fen,
  coupon_discount_fen, match_discount_fen, lines, at_ms, who FROM orders WHERE id = :id;

-- name: order_page :list
-- in: after i64, max i64
-- out: id i64
SELECT id FROM orders WHERE id > :after ORDER BY id LIMIT :max;

-- name: order_line_insert :exec
-- in: sale i64, line i64, product i64, quantity i64, net_fen i64, retail_discount_fen i64, coupon_discount_fen i64, match_discount_fen i64, original_line i64
INSERT INTO order_line(sale, line, product, quantity, net_fen, retail_discount_fen, coupon_discount_fen, match_discount_fen, original_line)
VALUES (:sale, :line, :product, :quantity, :net_fen, :retail_discount_fen, :coupon_discount_fen, :match_discount_fen, :original_line);

-- name: order_lines :list
-- in: sale i64
-- out: line i64, product i64, quantity i64, net_fen i64, retail_discount_fen i64, coupon_discount_fen i64, match_discount_fen i64, original_line i64
SELECT line, product, quantity, net_fen, retail_discount_fen, coupon_discount_fen, match_discount_fen, original_line
  FROM order_line WHERE sale = :sale ORDER BY line LIMIT 1000;

-- What earlier returns already took back of each line of a sale.
-- name: order_returned :list
-- in: original i64
-- out: line i64, quantity i64, net_fen i64, retail_discount_fen i64, coupon_discount_fen i64, match_discount_fen i64
SELECT l.original_line AS line, CAST(sum(l.quantity) AS BIGINT), CAST(sum(l.net_fen) AS BIGINT),
  CAST(sum(l.retail_discount_fen) AS BIGINT), CAST(sum(l.coupon_discount_fen) AS BIGINT),
  CAST(sum(l.match_discount_fen) AS BIGINT)
  FROM orders o JOIN order_line l ON l.sale = o.id
 WHERE o.original = :original AND o.original <> 0 GROUP BY l.original_line ORDER BY l.original_line LIMIT 1000;

-- name: order_tender_insert :exec
-- in: sale i64, line i64, kind text, amount_fen i64
INSERT INTO order_tender(sale, line, kind, amount_fen) VALUES (:sale, :line, :kind, :amount_fen);

-- name: order_tenders :list
-- in: sale i64
-- out: line i64, kind text, amount_fen i64
SELECT line, kind, amount_fen FROM order_tender WHERE sale = :sale ORDER BY line LIMIT 100;

-- name: order_day_add :exec
-- in: day i64, store i64, sales i64, returns i64, net_fen i64, retail_discount_fen i64, coupon_discount_fen i64, match_discount_fen i64
INSERT INTO order_day(day, store, sales, returns, net_fen, retail_discount_fen, coupon_discount_fen, match_discount_fen)
VALUES (:day, :store, :sales, :returns, :net_fen, :retail_discount_fen, :coupon_discount_fen, :match_discount_fen)
ON CONFLICT (day, store) DO UPDATE SET sales = order_day.sales + excluded.sales, returns = order_day.returns + excluded.returns,
  net_fen = order_day.net_fen + excluded.net_fen,
  retail_discount_fen = order_day.retail_discount_fen + excluded.retail_discount_fen,
  coupon_discount_fen = order_day.coupon_discount_fen + excluded.coupon_discount_fen,
  match_discount_fen = order_day.match_discount_fen + excluded.match_discount_fen;

-- name: order_days :list
-- in: from_day i64, to_day i64
-- out: day i64, sales i64, returns i64, net_fen i64, retail_discount_fen i64, coupon_discount_fen i64, match_discount_fen i64
SELECT day, CAST(sum(sales) AS BIGINT), CAST(sum(returns) AS BIGINT), CAST(sum(net_fen) AS BIGINT),
  CAST(sum(retail_discount_fen) AS BIGINT), CAST(sum(coupon_discount_fen) AS BIGINT), CAST(sum(match_discount_fen) AS BIGINT)
  FROM order_day WHERE day >= :from_day AND day < :to_day GROUP BY day ORDER BY day LIMIT 1000;

-- name: order_totals :one
-- out: sales i64, returns i64, net_fen i64, retail_discount_fen i64, coupon_discount_fen i64, match_discount_fen i64, first_day i64, last_day i64
SELECT coalesce(CAST(sum(sales) AS BIGINT), 0), coalesce(CAST(sum(returns) AS BIGINT), 0),
  coalesce(CAST(sum(net_fen) AS BIGINT), 0), coalesce(CAST(sum(retail_discount_fen) AS BIGINT), 0),
  coalesce(CAST(sum(coupon_discount_fen) AS BIGINT), 0), coalesce(CAST(sum(match_discount_fen) AS BIGINT), 0),
  coalesce(min(day), 0), coalesce(max(day), 0)
  FROM order_day;

-- Everything below serves `tongdian check`.

-- name: order_check_lines :list
-- out: id i64, net_fen i64, lines_net_fen i64
SELECT o.id, o.net_fen, CAST(coalesce(l.net, 0) AS BIGINT) FROM orders o
  LEFT JOIN (SELECT sale, count(*) AS n, CAST(sum(net_fen) AS BIGINT) AS net,
       CAST(sum(retail_discount_fen) AS BIGINT) AS r, CAST(sum(coupon_discount_fen) AS BIGINT) AS c,
       CAST(sum(match_discount_fen) AS BIGINT) AS m FROM order_line GROUP BY sale) l ON l.sale = o.id
 WHERE coalesce(l.n, 0) <> o.lines OR coalesce(l.net, 0) <> o.net_fen OR coalesce(l.r, 0) <> o.retail_discount_fen
    OR coalesce(l.c, 0) <> o.coupon_discount_fen OR coalesce(l.m, 0) <> o.match_discount_fen
 ORDER BY o.id LIMIT 100;

-- name: order_check_days :list
-- out: day i64, store i64, net_fen i64, days_net_fen i64
SELECT o.business_day AS day, o.store AS store, o.net AS net_fen, coalesce(d.net_fen, 0) FROM
  (SELECT business_day, store, CAST(sum(net_fen) AS BIGINT) AS net,
     CAST(sum(CASE WHEN kind = 1 THEN 1 ELSE 0 END) AS BIGINT) AS sales,
     CAST(sum(CASE WHEN kind = 2 THEN 1 ELSE 0 END) AS BIGINT) AS returns,
     CAST(sum(retail_discount_fen) AS BIGINT) AS r, CAST(sum(coupon_discount_fen) AS BIGINT) AS c,
     CAST(sum(match_discount_fen) AS BIGINT) AS m
     FROM orders GROUP BY business_day, store) o
  LEFT JOIN order_day d ON d.day = o.business_day AND d.store = o.store
 WHERE coalesce(d.net_fen, 0) <> o.net OR coalesce(d.sales, 0) <> o.sales OR coalesce(d.returns, 0) <> o.returns
    OR coalesce(d.retail_discount_fen, 0) <> o.r OR coalesce(d.coupon_discount_fen, 0) <> o.c
    OR coalesce(d.match_discount_fen, 0) <> o.m
 ORDER BY o.business_day NULLS FIRST, o.store NULLS FIRST LIMIT 100;

-- A sale's coupon discount is that of its standing redemptions (imported sales have none).
-- name: order_check_redemptions :list
-- out: id i64
SELECT o.id AS id FROM orders o
  JOIN (SELECT r.sale, CAST(sum(r.discount_fen) AS BIGINT) AS d FROM coupon_redemption r
        LEFT JOIN coupon_reversal v ON v.id = r.id WHERE r.sale <> 0 AND v.id IS NULL GROUP BY r.sale) c ON c.sale = o.id
 WHERE o.coupon_discount_fen <> c.d ORDER BY o.id NULLS LAST LIMIT 100;

-- name: order_check_tenders :list
-- out: id i64, net_fen i64, tendered_fen i64
SELECT o.id, o.net_fen, CAST(t.n AS BIGINT) FROM orders o
  JOIN (SELECT sale, CAST(sum(amount_fen) AS BIGINT) AS n FROM order_tender GROUP BY sale) t ON t.sale = o.id
 WHERE t.n <> o.net_fen ORDER BY o.id LIMIT 100;

-- name: order_count :one
-- out: orders i64, lines i64, people i64, stores i64
SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM order_line),
  (SELECT count(DISTINCT person) FROM orders WHERE person <> 0), (SELECT count(DISTINCT store) FROM orders);

-- What points at nothing, and which rows have an event: for order_check.c.

-- name: order_check_lines_of :list
-- out: id i64, other i64
SELECT l.sale AS id, l.line AS other FROM order_line l
 WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.id = l.sale) ORDER BY l.sale, l.line LIMIT 100;

-- name: order_check_tenders_of :list
-- out: id i64, other i64
SELECT t.sale AS id, t.line AS other FROM order_tender t
 WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.id = t.sale) ORDER BY t.sale, t.line LIMIT 100;

-- name: order_check_days_of :list
-- out: id i64, other i64
SELECT d.store AS id, d.day AS other FROM order_day d
 WHERE (d.sales <> 0 OR d.returns <> 0 OR d.net_fen <> 0)
   AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.store = d.store AND o.business_day = d.day)
 ORDER BY d.store, d.day LIMIT 100;

-- name: order_check_person :list
-- out: id i64, other i64
SELECT o.id, o.person AS other FROM orders o
 WHERE o.person <> 0 AND NOT EXISTS (SELECT 1 FROM person p WHERE p.id = o.person) ORDER BY o.id LIMIT 100;

-- name: order_check_store :list
-- out: id i64, other i64
SELECT o.id, o.store AS other FROM orders o
 WHERE o.store <> 0 AND NOT EXISTS (SELECT 1 FROM store s WHERE s.id = o.store) ORDER BY o.id LIMIT 100;

-- name: order_check_product :list
-- out: id i64, other i64
SELECT l.sale AS id, l.product AS other FROM order_line l
 WHERE l.product <> 0 AND NOT EXISTS (SELECT 1 FROM product p WHERE p.id = l.product) ORDER BY l.sale, l.line LIMIT 100;

-- name: order_check_original :list
-- out: id i64, other i64
SELECT o.id, o.original AS other FROM orders o
 WHERE o.kind = 2 AND NOT EXISTS (SELECT 1 FROM orders s WHERE s.id = o.original AND s.kind = 1)
 ORDER BY o.id LIMIT 100;

-- name: order_check_redeemed :list
-- out: id i64, other i64
SELECT r.id, r.sale AS other FROM coupon_redemption r
 WHERE r.sale <> 0 AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.id = r.sale) ORDER BY r.id NULLS LAST LIMIT 100;

-- name: order_check_sales :list
-- in: after i64, max i64
-- out: id i64
SELECT id FROM orders WHERE id > :after AND kind = 1 ORDER BY id LIMIT :max;

-- name: order_check_returns :list
-- in: after i64, max i64
-- out: id i64
SELECT id FROM orders WHERE id > :after AND kind = 2 ORDER BY id LIMIT :max;
