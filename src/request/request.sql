-- First replies by idempotency key: four tables in rotation, one per UTC day, each emptied whole.
-- A repeat looks into today's and yesterday's; tomorrow's stands ready.

-- Which day each table holds.
CREATE TABLE reply_slot(
  id i64 PRIMARY KEY,                 -- 0 to 3
  day i64 NOT NULL                    -- days since 1970
);

-- clustered
CREATE TABLE reply_0(
  key bytes PRIMARY KEY,              -- a UUIDv7 sorts by time, so rows are appended
  fingerprint bytes NOT NULL,
  status i64 NOT NULL,
  body text NOT NULL
);

-- clustered
CREATE TABLE reply_1(
  key bytes PRIMARY KEY,              -- a UUIDv7 sorts by time, so rows are appended
  fingerprint bytes NOT NULL,
  status i64 NOT NULL,
  body text NOT NULL
);

-- clustered
CREATE TABLE reply_2(
  key bytes PRIMARY KEY,              -- a UUIDv7 sorts by time, so rows are appended
  fingerprint bytes NOT NULL,
  status i64 NOT NULL,
  body text NOT NULL
);

-- clustered
CREATE TABLE reply_3(
  key bytes PRIMARY KEY,              -- a UUIDv7 sorts by time, so rows are appended
  fingerprint bytes NOT NULL,
  status i64 NOT NULL,
  body text NOT NULL
);

-- name: request_slots :list
-- out: id i64, day i64
SELECT id, day FROM reply_slot ORDER BY id LIMIT 4;

-- name: request_slot_put :exec
-- in: id i64, day i64
INSERT INTO reply_slot(id, day) VALUES (:id, :day) ON CONFLICT (id) DO UPDATE SET day = excluded.day;

-- name: request_find_0 :one
-- in: key bytes
-- out: fingerprint bytes, status i64, body text
SELECT fingerprint, status, body FROM reply_0 WHERE key = :key;

-- name: request_keep_0 :exec
-- in: key bytes, fingerprint bytes, status i64, body text
INSERT INTO reply_0(key, fingerprint, status, body) VALUES (:key, :fingerprint, :status, :body)
ON CONFLICT (key) DO NOTHING;

-- name: request_clear_0 :exec
DELETE FROM reply_0;

-- name: request_find_1 :one
-- in: key bytes
-- out: fingerprint bytes, status i64, body text
SELECT fingerprint, status, body FROM reply_1 WHERE key = :key;

-- name: request_keep_1 :exec
-- in: key bytes, fingerprint bytes, status i64, body text
INSERT INTO reply_1(key, fingerprint, status, body) VALUES (:key, :fingerprint, :status, :body)
ON CONFLICT (key) DO NOTHING;

-- name: request_clear_1 :exec
DELETE FROM reply_1;

-- name: request_find_2 :one
-- in: key bytes
-- out: fingerprint bytes, status i64, body text
SELECT fingerprint, status, body FROM reply_2 WHERE key = :key;

-- name: request_keep_2 :exec
-- in: key bytes, fingerprint bytes, status i64, body text
INSERT INTO reply_2(key, fingerprint, status, body) VALUES (:key, :fingerprint, :status, :body)
ON CONFLICT (key) DO NOTHING;

-- name: request_clear_2 :exec
DELETE FROM reply_2;

-- name: request_find_3 :one
-- in: key bytes
-- out: fingerprint bytes, status i64, body text
SELECT fingerprint, status, body FROM reply_3 WHERE key = :key;

-- name: request_keep_3 :exec
-- in: key bytes, fingerprint bytes, status i64, body text
INSERT INTO reply_3(key, fingerprint, status, body) VALUES (:key, :fingerprint, :status, :body)
ON CONFLICT (key) DO NOTHING;

-- name: request_clear_3 :exec
DELETE FROM reply_3;
