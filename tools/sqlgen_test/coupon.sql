-- Coupons: what can be claimed and what was.

CREATE TABLE coupon(
    id i64 PRIMARY KEY,
    code text NOT NULL UNIQUE,
    face i64 NOT NULL CHECK (face > 0),
    left_count i64 NOT NULL,
    open bool NOT NULL DEFAULT 1,
    at_ms i64 NOT NULL CHECK (at_ms > 0),
    end_at_ms i64,
    note text,
    secret bytes -- sealed
);
CREATE INDEX coupon_at ON coupon(at_ms) WHERE open = 1;

-- clustered
CREATE TABLE coupon_claim(
    coupon_id i64 NOT NULL REFERENCES coupon(id),
    person_id i64 NOT NULL,
    at_ms i64 NOT NULL,
    PRIMARY KEY (coupon_id, person_id)
);

-- name: coupon_insert :exec
-- in: id i64, code text, face i64, left_count i64,
-- in: open bool, at_ms i64, end_at_ms i64?, note text?, secret bytes?
INSERT INTO coupon(id, code, face, left_count, open, at_ms, end_at_ms, note, secret)
VALUES (:id, :code, :face, :left_count, :open, :at_ms, :end_at_ms, :note, :secret)
ON CONFLICT DO NOTHING;

-- Finds one.
-- name: coupon_find :one
-- in: code text
-- out: id i64, face i64, open bool, end_at_ms i64?, note text?, secret bytes?
SELECT id, face, open, end_at_ms, note, secret FROM coupon WHERE code = :code;

-- The WHERE is the lock: two claimers cannot both see the last.
-- name: coupon_take :exec
-- in: id i64
UPDATE coupon SET left_count = left_count - 1 WHERE id = :id AND left_count > 0 AND open = 1;

-- name: coupon_take_left :one
-- in: id i64
-- out: left_count i64
UPDATE coupon SET left_count = left_count - 1 WHERE id = :id AND left_count > 0
RETURNING left_count;

-- name: coupon_claim_insert :exec
-- in: coupon_id i64, person_id i64, now_ms i64
INSERT INTO coupon_claim(coupon_id, person_id, at_ms) VALUES (:coupon_id, :person_id, :now_ms)
ON CONFLICT (coupon_id, person_id) DO NOTHING;

-- name: coupon_page :list
-- in: below i64, n i64
-- out: id i64, code text, note text?, claims i64, state text
SELECT c.id, c.code, c.note, count(l.person_id) AS claims,
       CASE WHEN c.open = 1 AND c.left_count > 0 THEN 'it''s "open"' ELSE 'closed\' END AS state
  FROM coupon AS c LEFT JOIN coupon_claim AS l ON l.coupon_id = c.id
 WHERE c.id < :below
 GROUP BY c.id, c.code, c.note, c.open, c.left_count
 ORDER BY c.end_at_ms DESC NULLS LAST, c.id DESC LIMIT :n;

-- name: coupon_each_claim :each
-- in: coupon_id i64
-- out: person_id i64, at_ms i64
SELECT person_id, at_ms FROM coupon_claim WHERE coupon_id = :coupon_id ORDER BY at_ms, person_id;

-- name: coupon_total :one
-- out: face i64, most i64?, half i64, open_face i64
-- division: floor of non-negatives
SELECT COALESCE(CAST(sum(face) AS BIGINT), 0), max(face), count(*) / 2,
       COALESCE(CAST(sum(face) FILTER (WHERE open = 1) AS BIGINT), 0) FROM coupon;

-- name: coupon_forget :exec
-- in: before_ms i64
DELETE FROM coupon_claim WHERE at_ms < :before_ms;
