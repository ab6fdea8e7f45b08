-- Coupon templates (券模板), coupons (券) and what became of them.
--
-- Few random pages per transaction: a coupon row is never updated; a redemption changes one
-- fixed-width integer in coupon_state, appends one row and adds to one counter row of the day.

-- kind: 1 amount off, 2 percent off with cap, 3 gift (one piece of gift_product free)
CREATE TABLE coupon_template(
  id i64 PRIMARY KEY,
  code text NOT NULL UNIQUE,
  name text NOT NULL,
  campaign i64 NOT NULL,              -- 0 = none
  kind i64 NOT NULL CHECK(kind >= 1 AND kind <= 3),
  amount_fen i64 NOT NULL CHECK(amount_fen >= 0),
  rate_bps i64 NOT NULL CHECK(rate_bps >= 0 AND rate_bps <= 10000),
  cap_fen i64 NOT NULL CHECK(cap_fen >= 0),          -- 0 = no cap
  gift_product i64 NOT NULL,          -- 0 = none
  min_spend_fen i64 NOT NULL CHECK(min_spend_fen >= 0),
  claim_from_ms i64 NOT NULL,
  claim_to_ms i64 NOT NULL,
  valid_from_ms i64 NOT NULL,
  valid_to_ms i64 NOT NULL,           -- first instant it no longer can be redeemed
  valid_days i64 NOT NULL CHECK(valid_days >= 0),    -- > 0: valid that many days from the claim, at most until valid_to_ms
  stock i64 NOT NULL CHECK(stock >= 0),              -- 0 = unlimited
  per_person i64 NOT NULL CHECK(per_person >= 0),    -- 0 = unlimited
  by_product bool NOT NULL,           -- only products in coupon_template_product
  by_store bool NOT NULL,             -- only shops in coupon_template_store
  paused bool NOT NULL,
  created_ms i64 NOT NULL,
  CHECK(claim_to_ms > claim_from_ms),
  CHECK(valid_to_ms > valid_from_ms)
);
CREATE INDEX coupon_template_campaign ON coupon_template(campaign);

-- clustered
CREATE TABLE coupon_template_product(
  template i64 NOT NULL,
  product i64 NOT NULL,
  PRIMARY KEY (template, product)
);

-- clustered
CREATE TABLE coupon_template_store(
  template i64 NOT NULL,
  store i64 NOT NULL,
  PRIMARY KEY (template, store)
);

-- The gate of the stock: one narrow row per template.
CREATE TABLE coupon_stock(
  id i64 PRIMARY KEY,                 -- template
  issued i64 NOT NULL CHECK(issued >= 0)
);

-- What happened per template and business day; the sums are the template's counts.
-- clustered
CREATE TABLE coupon_day(
  template i64 NOT NULL,
  day i64 NOT NULL,                   -- yyyymmdd
  issued i64 NOT NULL,
  redeemed i64 NOT NULL,
  reversed i64 NOT NULL,
  discount_fen i64 NOT NULL,          -- of redemptions less reversals
  PRIMARY KEY (template, day)
);

-- Never updated; ids in issue order.
CREATE TABLE coupon(
  id i64 PRIMARY KEY,
  template i64 NOT NULL,
  person i64 NOT NULL,
  valid_from_ms i64 NOT NULL,
  valid_to_ms i64 NOT NULL,
  issued_ms i64 NOT NULL
);
-- The wallet and the per-person limit.
CREATE INDEX coupon_person ON coupon(person, template);

-- redemption: -2^44 = unused, -2^44 + 1 = void, 2^44 + id of the redemption = used.  Of one width, so
-- that an update never moves a row.
CREATE TABLE coupon_state(
  id i64 PRIMARY KEY,                 -- coupon
  redemption i64 NOT NULL
);

CREATE TABLE coupon_redemption(
  id i64 PRIMARY KEY,
  coupon i64 NOT NULL,
  template i64 NOT NULL,
  person i64 NOT NULL,
  store i64 NOT NULL,                 -- 0 = unknown (imported)
  sale i64 NOT NULL,                  -- orders.id, 0 = redeemed without a sale
  discount_fen i64 NOT NULL CHECK(discount_fen >= 0),
  at_ms i64 NOT NULL,
  who i64 NOT NULL
);

CREATE INDEX coupon_redemption_template ON coupon_redemption(template);
CREATE INDEX coupon_redemption_sale ON coupon_redemption(sale);
CREATE INDEX coupon_redemption_at ON coupon_redemption(at_ms);
CREATE INDEX coupon_redemption_store ON coupon_redemption(store, at_ms);

CREATE TABLE coupon_reversal(
  id i64 PRIMARY KEY,                 -- the redemption
  at_ms i64 NOT NULL,
  who i64 NOT NULL,
  reason text NOT NULL
);

-- name: coupon_template_insert :exec
-- in: id i64, code text, name text, campaign i64, kind i64, amount_fen i64, rate_bps i64, cap_fen i64, gift_product i64, min_spend_fen i64, claim_from_ms i64, claim_to_ms i64, valid_from_ms i64, valid_to_ms i64, valid_days i64, stock i64, per_person i64, by_product bool, by_store bool, created_ms i64
INSERT INTO coupon_template(id, code, name, campaign, kind, amount_fen, rate_bps, cap_fen, gift_product,
  min_spend_fen, claim_from_ms, claim_to_ms, valid_from_ms, valid_to_ms, valid_days, stock, per_person,
  by_product, by_store, paused, created_ms)
VALUES (:id, :code, :name, :campaign, :kind, :amount_fen, :rate_bps, :cap_fen, :gift_product,
  :min_spend_fen, :claim_from_ms, :claim_to_ms, :valid_from_ms, :valid_to_ms, :valid_days, :stock, :per_person,
  :by_product, :by_store, 0, :created_ms)
ON CONFLICT (code) DO NOTHING;

-- name: coupon_template_find :one
-- in: id i64
-- out: id i64, code text, name text, campaign i64, kind i64, amount_fen i64, rate_bps i64, cap_fen i64, gift_product i64, min_spend_fen i64, claim_from_ms i64, claim_to_ms i64, valid_from_ms i64, valid_to_ms i64, valid_days i64, stock i64, per_person i64, by_product bool, by_store bool, paused bool, created_ms i64
SELECT id, code, name, campaign, kind, amount_fen, rate_bps, cap_fen, gift_product, min_spend_fen,
  claim_from_ms, claim_to_ms, valid_from_ms, valid_to_ms, valid_days, stock, per_person, by_product,
  by_store, paused, created_ms
  FROM coupon_template WHERE id = :id;

-- name: coupon_template_by_code :one
-- in: code text
-- out: id i64, campaign i64
SELECT id, campaign FROM coupon_template WHERE code = :code;

-- name: coupon_template_page :list
-- in: before i64, max i64
-- out: id i64
SELECT id FROM coupon_template WHERE id < :before ORDER BY id DESC LIMIT :max;

-- name: coupon_template_set_paused :exec
-- in: id i64, paused bool
UPDATE coupon_template SET paused = :paused WHERE id = :id;

-- name: coupon_template_product_insert :exec
-- in: template i64, product i64
INSERT INTO coupon_template_product(template, product) VALUES (:template, :product)
ON CONFLICT (template, product) DO NOTHING;

-- name: coupon_template_has_product :one
-- in: template i64, product i64
-- out: found i64
SELECT 1 FROM coupon_template_product WHERE template = :template AND product = :product;

-- name: coupon_template_product_count :one
-- in: template i64
-- out: products i64
SELECT count(*) FROM coupon_template_product WHERE template = :template;

-- name: coupon_template_store_insert :exec
-- in: template i64, store i64
INSERT INTO coupon_template_store(template, store) VALUES (:template, :store)
ON CONFLICT (template, store) DO NOTHING;

-- name: coupon_template_has_store :one
-- in: template i64, store i64
-- out: found i64
SELECT 1 FROM coupon_template_store WHERE template = :template AND store = :store;

-- name: coupon_stock_insert :exec
-- in: template i64
INSERT INTO coupon_stock(id, issued) VALUES (:template, 0) ON CONFLICT (id) DO NOTHING;

-- name: coupon_stock_find :one
-- in: template i64
-- out: issued i64
SELECT issued FROM coupon_stock WHERE id = :template;

-- Takes one piece if any is left.  The WHERE is the lock: two claimers cannot both take the last.
-- name: coupon_stock_take :exec
-- in: template i64, stock i64
UPDATE coupon_stock SET issued = issued + 1 WHERE id = :template AND (:stock = 0 OR issued < :stock);

-- name: coupon_day_add :exec
-- in: template i64, day i64, issued i64, redeemed i64, reversed i64, discount_fen i64
INSERT INTO coupon_day(template, day, issued, redeemed, reversed, discount_fen)
VALUES (:template, :day, :issued, :redeemed, :reversed, :discount_fen)
ON CONFLICT (template, day) DO UPDATE SET issued = coupon_day.issued + excluded.issued,
  redeemed = coupon_day.redeemed + excluded.redeemed, reversed = coupon_day.reversed + excluded.reversed,
  discount_fen = coupon_day.discount_fen + excluded.discount_fen;

-- name: coupon_template_totals :one
-- in: template i64
-- out: issued i64, redeemed i64, reversed i64, discount_fen i64
SELECT coalesce(CAST(sum(issued) AS BIGINT), 0), coalesce(CAST(sum(redeemed) AS BIGINT), 0),
  coalesce(CAST(sum(reversed) AS BIGINT), 0), coalesce(CAST(sum(discount_fen) AS BIGINT), 0)
  FROM coupon_day WHERE template = :template;

-- name: coupon_days :list
-- in: from_day i64, to_day i64
-- out: day i64, issued i64, redeemed i64, reversed i64, discount_fen i64
SELECT day, CAST(sum(issued) AS BIGINT), CAST(sum(redeemed) AS BIGINT), CAST(sum(reversed) AS BIGINT),
  CAST(sum(discount_fen) AS BIGINT)
  FROM coupon_day WHERE day >= :from_day AND day < :to_day GROUP BY day ORDER BY day LIMIT 1000;

-- name: coupon_insert :exec
-- in: id i64, template i64, person i64, valid_from_ms i64, valid_to_ms i64, issued_ms i64
INSERT INTO coupon(id, template, person, valid_from_ms, valid_to_ms, issued_ms)
VALUES (:id, :template, :person, :valid_from_ms, :valid_to_ms, :issued_ms);

-- name: coupon_state_insert :exec
-- in: id i64
INSERT INTO coupon_state(id, redemption) VALUES (:id, -17592186044416);

-- name: coupon_find :one
-- in: id i64
-- out: template i64, person i64, valid_from_ms i64, valid_to_ms i64, issued_ms i64, state i64
SELECT c.template, c.person, c.valid_from_ms, c.valid_to_ms, c.issued_ms, s.redemption AS state
  FROM coupon c JOIN coupon_state s ON s.id = c.id WHERE c.id = :id;

-- name: coupon_page :list
-- in: after i64, max i64
-- out: id i64
SELECT id FROM coupon WHERE id > :after ORDER BY id LIMIT :max;

-- name: coupon_count_of :one
-- in: person i64, template i64
-- out: coupons i64
SELECT count(*) FROM coupon WHERE person = :person AND template = :template;

-- name: coupon_wallet :list
-- in: person i64, max i64
-- out: id i64, template i64, valid_from_ms i64, valid_to_ms i64, issued_ms i64, state i64
SELECT c.id, c.template, c.valid_from_ms, c.valid_to_ms, c.issued_ms, s.redemption AS state
  FROM coupon c JOIN coupon_state s ON s.id = c.id
 WHERE c.person = :person ORDER BY c.id DESC LIMIT :max;

-- name: coupon_state_set :exec
-- in: id i64, old i64, new i64
UPDATE coupon_state SET redemption = :new WHERE id = :id AND redemption = :old;

-- name: coupon_redemption_insert :exec
-- in: id i64, coupon i64, template i64, person i64, store i64, sale i64, discount_fen i64, at_ms i64, who i64
INSERT INTO coupon_redemption(id, coupon, template, person, store, sale, discount_fen, at_ms, who)
VALUES (:id, :coupon, :template, :person, :store, :sale, :discount_fen, :at_ms, :who);

-- name: coupon_redemption_find :one
-- in: id i64
-- out: coupon i64, template i64, person i64, store i64, sale i64, discount_fen i64, at_ms i64, who i64, reversed_ms i64?
SELECT r.coupon, r.template, r.person, r.store, r.sale, r.discount_fen, r.at_ms, r.who, v.at_ms AS reversed_ms
  FROM coupon_redemption r LEFT JOIN coupon_reversal v ON v.id = r.id WHERE r.id = :id;

-- Standing redemptions of a sale.
-- name: coupon_redemptions_of_sale :list
-- in: sale i64
-- out: id i64
SELECT r.id AS id FROM coupon_redemption r LEFT JOIN coupon_reversal v ON v.id = r.id
 WHERE r.sale = :sale AND v.id IS NULL ORDER BY r.id LIMIT 100;

-- name: coupon_reversal_insert :exec
-- in: id i64, at_ms i64, who i64, reason text
INSERT INTO coupon_reversal(id, at_ms, who, reason) VALUES (:id, :at_ms, :who, :reason);

-- name: coupon_redemption_page :list
-- in: before i64, max i64
-- out: id i64
SELECT id FROM coupon_redemption WHERE id < :before ORDER BY id DESC LIMIT :max;

-- The plain bound on at_ms is what an index can begin at; the OR only sorts out its own instant.
-- name: coupon_redemption_recent :list
-- in: from_ms i64, before_ms i64, before i64, max i64
-- out: id i64, at_ms i64
SELECT id, at_ms FROM coupon_redemption
 WHERE at_ms >= :from_ms AND at_ms <= :before_ms AND (at_ms < :before_ms OR id < :before)
 ORDER BY at_ms DESC, id DESC LIMIT :max;

-- name: coupon_redemption_recent_in :list
-- in: store i64, from_ms i64, before_ms i64, before i64, max i64
-- out: id i64, at_ms i64
SELECT id, at_ms FROM coupon_redemption
 WHERE store = :store AND at_ms >= :from_ms AND at_ms <= :before_ms AND (at_ms < :before_ms OR id < :before)
 ORDER BY at_ms DESC, id DESC LIMIT :max;

-- Everything below serves `tongdian check`.

-- name: coupon_check_issued :list
-- out: template i64, counted i64, stock_says i64, days_say i64
SELECT t.id AS template, coalesce(c.n, 0), coalesce(s.issued, -1), CAST(coalesce(d.n, 0) AS BIGINT)
  FROM coupon_template t
  LEFT JOIN coupon_stock s ON s.id = t.id
  LEFT JOIN (SELECT template, count(*) AS n FROM coupon GROUP BY template) c ON c.template = t.id
  LEFT JOIN (SELECT template, CAST(sum(issued) AS BIGINT) AS n FROM coupon_day GROUP BY template) d ON d.template = t.id
 WHERE coalesce(c.n, 0) <> coalesce(s.issued, -1) OR coalesce(c.n, 0) <> coalesce(d.n, 0)
 ORDER BY t.id LIMIT 100;

-- name: coupon_check_redeemed :list
-- out: template i64, counted i64, discount_fen i64, days_say i64, days_discount_fen i64, reversed i64, days_reversed i64
SELECT t.id AS template, coalesce(r.n, 0), CAST(coalesce(r.d, 0) AS BIGINT), CAST(coalesce(d.n, 0) AS BIGINT),
  CAST(coalesce(d.d, 0) AS BIGINT), CAST(coalesce(r.v, 0) AS BIGINT), CAST(coalesce(d.v, 0) AS BIGINT)
  FROM coupon_template t
  LEFT JOIN (SELECT r.template, count(*) AS n,
       CAST(sum(CASE WHEN v.id IS NULL THEN r.discount_fen ELSE 0 END) AS BIGINT) AS d,
       CAST(sum(CASE WHEN v.id IS NULL THEN 0 ELSE 1 END) AS BIGINT) AS v
       FROM coupon_redemption r LEFT JOIN coupon_reversal v ON v.id = r.id GROUP BY r.template) r ON r.template = t.id
  LEFT JOIN (SELECT template, CAST(sum(redeemed) AS BIGINT) AS n, CAST(sum(discount_fen) AS BIGINT) AS d,
       CAST(sum(reversed) AS BIGINT) AS v FROM coupon_day GROUP BY template) d ON d.template = t.id
 WHERE coalesce(r.n, 0) <> coalesce(d.n, 0) OR coalesce(r.d, 0) <> coalesce(d.d, 0)
    OR coalesce(r.v, 0) <> coalesce(d.v, 0)
 ORDER BY t.id LIMIT 100;

-- Coupons whose state does not agree with their redemptions: a used one without its redemption, an
-- unused one with a redemption that nobody reversed, one with two, one without a state.
-- name: coupon_check_state :list
-- out: id i64, state i64?, standing i64
SELECT c.id, s.redemption AS state, coalesce(r.n, 0)
  FROM coupon c LEFT JOIN coupon_state s ON s.id = c.id
  LEFT JOIN (SELECT r.coupon, count(*) AS n, max(r.id) AS last FROM coupon_redemption r
       LEFT JOIN coupon_reversal v ON v.id = r.id WHERE v.id IS NULL GROUP BY r.coupon) r ON r.coupon = c.id
 WHERE s.redemption IS NULL
    OR (s.redemption < 0 AND coalesce(r.n, 0) <> 0)
    OR (s.redemption > 0 AND (coalesce(r.n, 0) <> 1 OR r.last + 17592186044416 <> s.redemption))
 ORDER BY c.id LIMIT 100;

-- Rows that speak of something that is not there, or of somebody else's coupon.
-- what: 1 a day's counts without template, 2 a state without coupon, 3 a redemption without its coupon,
-- 4 a reversal without redemption
-- name: coupon_check_strays :list
-- out: what i64, id i64
SELECT x.what AS what, x.id AS id FROM
  (SELECT 1 AS what, d.template AS id FROM coupon_day d LEFT JOIN coupon_template t ON t.id = d.template
    WHERE t.id IS NULL
   UNION ALL
   SELECT 2, s.id FROM coupon_state s LEFT JOIN coupon c ON c.id = s.id WHERE c.id IS NULL
   UNION ALL
   SELECT 3, r.coupon FROM coupon_redemption r LEFT JOIN coupon c ON c.id = r.coupon
    WHERE c.id IS NULL OR c.person <> r.person OR c.template <> r.template
   UNION ALL
   SELECT 4, v.id FROM coupon_reversal v LEFT JOIN coupon_redemption r ON r.id = v.id WHERE r.id IS NULL) x
 ORDER BY x.what NULLS LAST, x.id NULLS LAST LIMIT 400;

-- From the counters, not from the coupons.
-- name: coupon_day_totals :one
-- out: issued i64, redeemed i64, reversed i64, discount_fen i64
SELECT coalesce(CAST(sum(issued) AS BIGINT), 0), coalesce(CAST(sum(redeemed) AS BIGINT), 0),
  coalesce(CAST(sum(reversed) AS BIGINT), 0), coalesce(CAST(sum(discount_fen) AS BIGINT), 0)
  FROM coupon_day;

-- name: coupon_totals :one
-- out: templates i64, coupons i64, redemptions i64, reversals i64
SELECT (SELECT count(*) FROM coupon_template), (SELECT count(*) FROM coupon),
  (SELECT count(*) FROM coupon_redemption), (SELECT count(*) FROM coupon_reversal);

-- name: coupon_redeemers :one
-- out: people i64
SELECT count(DISTINCT r.person) FROM coupon_redemption r LEFT JOIN coupon_reversal v ON v.id = r.id
 WHERE v.id IS NULL;

-- What points at nothing, and which rows have an event: for coupon_check.c.

-- name: coupon_check_template_campaign :list
-- out: id i64, other i64
SELECT t.id, t.campaign AS other FROM coupon_template t
 WHERE t.campaign <> 0 AND NOT EXISTS (SELECT 1 FROM campaign c WHERE c.id = t.campaign) ORDER BY t.id LIMIT 100;

-- name: coupon_check_template_gift :list
-- out: id i64, other i64
SELECT t.id, t.gift_product AS other FROM coupon_template t
 WHERE t.gift_product <> 0 AND NOT EXISTS (SELECT 1 FROM product p WHERE p.id = t.gift_product) ORDER BY t.id LIMIT 100;

-- name: coupon_check_scope_template :list
-- out: id i64, other i64
SELECT s.template AS id, s.product AS other FROM coupon_template_product s
 WHERE NOT EXISTS (SELECT 1 FROM coupon_template t WHERE t.id = s.template) ORDER BY s.template, s.product LIMIT 100;

-- name: coupon_check_scope_product :list
-- out: id i64, other i64
SELECT s.template AS id, s.product AS other FROM coupon_template_product s
 WHERE NOT EXISTS (SELECT 1 FROM product p WHERE p.id = s.product) ORDER BY s.template, s.product LIMIT 100;

-- name: coupon_check_scope_store_template :list
-- out: id i64, other i64
SELECT s.template AS id, s.store AS other FROM coupon_template_store s
 WHERE NOT EXISTS (SELECT 1 FROM coupon_template t WHERE t.id = s.template) ORDER BY s.template, s.store LIMIT 100;

-- name: coupon_check_scope_store :list
-- out: id i64, other i64
SELECT s.template AS id, s.store AS other FROM coupon_template_store s
 WHERE NOT EXISTS (SELECT 1 FROM store p WHERE p.id = s.store) ORDER BY s.template, s.store LIMIT 100;

-- name: coupon_check_stock :list
-- out: id i64
SELECT s.id FROM coupon_stock s
 WHERE NOT EXISTS (SELECT 1 FROM coupon_template t WHERE t.id = s.id) ORDER BY s.id LIMIT 100;

-- name: coupon_check_template :list
-- out: id i64, other i64
SELECT c.id, c.template AS other FROM coupon c
 WHERE NOT EXISTS (SELECT 1 FROM coupon_template t WHERE t.id = c.template) ORDER BY c.id LIMIT 100;

-- name: coupon_check_person :list
-- out: id i64, other i64
SELECT c.id, c.person AS other FROM coupon c
 WHERE NOT EXISTS (SELECT 1 FROM person p WHERE p.id = c.person) ORDER BY c.id LIMIT 100;

-- name: coupon_check_redemption_store :list
-- out: id i64, other i64
SELECT r.id, r.store AS other FROM coupon_redemption r
 WHERE r.store <> 0 AND NOT EXISTS (SELECT 1 FROM store s WHERE s.id = r.store) ORDER BY r.id LIMIT 100;

-- name: coupon_check_claimed :list
-- in: after i64, max i64
-- out: id i64
SELECT id FROM coupon WHERE id > :after ORDER BY id LIMIT :max;

-- name: coupon_check_redemptions :list
-- in: after i64, max i64
-- out: id i64
SELECT id FROM coupon_redemption WHERE id > :after ORDER BY id LIMIT :max;

-- name: coupon_check_reversals :list
-- in: after i64, max i64
-- out: id i64
SELECT id FROM coupon_reversal WHERE id > :after ORDER BY id LIMIT :max;
