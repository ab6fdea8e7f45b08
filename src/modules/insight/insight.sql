-- What campaigns brought.  Owns no tables: it reads other rooms'.

-- Standing redemptions of a campaign's coupons.
-- name: insight_campaign_redemptions :one
-- in: campaign i64
-- out: redemptions i64, people i64, discount_fen i64
SELECT count(*), count(DISTINCT r.person), coalesce(CAST(sum(r.discount_fen) AS BIGINT), 0)
  FROM coupon_template t JOIN coupon_redemption r ON r.template = t.id
  LEFT JOIN coupon_reversal v ON v.id = r.id
 WHERE t.campaign = :campaign AND v.id IS NULL;

-- Net sales to a campaign's targets in [from, to); who only brought something back is no buyer.
-- name: insight_campaign_sales :one
-- in: campaign i64, from_ms i64, to_ms i64
-- out: net_fen i64, buyers i64
SELECT coalesce(CAST(sum(o.net_fen) AS BIGINT), 0), count(DISTINCT CASE WHEN o.kind = 1 THEN o.person END)
  FROM orders o JOIN campaign_target g ON g.person = o.person
 WHERE g.campaign = :campaign AND o.at_ms >= :from_ms AND o.at_ms < :to_ms;

-- name: insight_campaign_coupons :list
-- in: campaign i64
-- out: id i64, code text, name text, issued i64, redeemed i64, reversed i64, discount_fen i64
SELECT t.id AS id, t.code AS code, t.name AS name, coalesce(CAST(sum(d.issued) AS BIGINT), 0),
  coalesce(CAST(sum(d.redeemed) AS BIGINT), 0), coalesce(CAST(sum(d.reversed) AS BIGINT), 0),
  coalesce(CAST(sum(d.discount_fen) AS BIGINT), 0)
  FROM coupon_template t LEFT JOIN coupon_day d ON d.template = t.id
 WHERE t.campaign = :campaign GROUP BY t.id, t.code, t.name
 ORDER BY coalesce(CAST(sum(d.redeemed) AS BIGINT), 0) DESC NULLS LAST, t.id NULLS LAST LIMIT 1000;

-- name: insight_campaign_days :list
-- in: campaign i64
-- out: day i64, redeemed i64
SELECT d.day AS day, CAST(sum(d.redeemed - d.reversed) AS BIGINT)
  FROM coupon_day d JOIN coupon_template t ON t.id = d.template
 WHERE t.campaign = :campaign GROUP BY d.day ORDER BY d.day NULLS LAST LIMIT 731;

-- name: insight_campaign_order_days :list
-- in: campaign i64, from_ms i64, to_ms i64
-- out: day i64, orders i64, net_fen i64
SELECT o.business_day AS day, CAST(sum(CASE WHEN o.kind = 1 THEN 1 ELSE 0 END) AS BIGINT),
  CAST(sum(o.net_fen) AS BIGINT)
  FROM orders o JOIN campaign_target g ON g.person = o.person
 WHERE g.campaign = :campaign AND o.at_ms >= :from_ms AND o.at_ms < :to_ms
 GROUP BY o.business_day ORDER BY o.business_day NULLS LAST LIMIT 731;

-- name: insight_overview_totals :one
-- out: people i64, stores i64, products i64
SELECT (SELECT count(*) FROM person), (SELECT count(*) FROM store), (SELECT count(*) FROM product);

-- The shops that sold most.
-- name: insight_stores :list
-- in: max i64
-- out: code text, name text, sales i64, returns i64, net_fen i64, coupon_discount_fen i64
SELECT s.code AS code, s.name AS name, coalesce(d.s, 0), coalesce(d.r, 0), coalesce(d.n, 0), coalesce(d.c, 0)
  FROM store s LEFT JOIN (SELECT store, CAST(sum(sales) AS BIGINT) AS s, CAST(sum(returns) AS BIGINT) AS r,
    CAST(sum(net_fen) AS BIGINT) AS n, CAST(sum(coupon_discount_fen) AS BIGINT) AS c
    FROM order_day GROUP BY store) d ON d.store = s.id
 ORDER BY coalesce(d.n, 0) DESC NULLS LAST, s.code NULLS LAST LIMIT :max;
