-- First replies by idempotency key: four tables in rotation, one per UTC day.  A repeat looks into
-- today's and yesterday's; the others are emptied in steps by a job.  The day is part of the key's hash,
-- so that what is not yet emptied cannot match.

CREATE TABLE reply_0(
  id i64 PRIMARY KEY,                 -- in order of time: rows are appended
  key bytes NOT NULL UNIQUE,          -- a UUIDv7 first: its index grows at the end, too
  fingerprint bytes NOT NULL,
  status i64 NOT NULL,
  body text NOT NULL
);

CREATE TABLE reply_1(
  id i64 PRIMARY KEY,                 -- in order of time: rows are appended
  key bytes NOT NULL UNIQUE,          -- a UUIDv7 first: its index grows at the end, too
  fingerprint bytes NOT NULL,
  status i64 NOT NULL,
  body text NOT NULL
);

CREATE TABLE reply_2(
  id i64 PRIMARY KEY,                 -- in order of time: rows are appended
  key bytes NOT NULL UNIQUE,          -- a UUIDv7 first: its index grows at the end, too
  fingerprint bytes NOT NULL,
  status i64 NOT NULL,
  body text NOT NULL
);

CREATE TABLE reply_3(
  id i64 PRIMARY KEY,                 -- in order of time: rows are appended
  key bytes NOT NULL UNIQUE,          -- a UUIDv7 first: its index grows at the end, too
  fingerprint bytes NOT NULL,
  status i64 NOT NULL,
  body text NOT NULL
);

-- name: request_find_0 :one
-- in: key bytes
-- out: fingerprint bytes, status i64, body text
SELECT fingerprint, status, body FROM reply_0 WHERE key = :key;

-- name: request_keep_0 :exec
-- in: id i64, key bytes, fingerprint bytes, status i64, body text
INSERT INTO reply_0(id, key, fingerprint, status, body) VALUES (:id, :key, :fingerprint, :status, :body)
ON CONFLICT (key) DO NOTHING;

-- name: request_clear_0 :exec
-- in: max i64
DELETE FROM reply_0 WHERE id IN (SELECT id FROM reply_0 ORDER BY id LIMIT :max);

-- name: request_find_1 :one
-- in: key bytes
-- out: fingerprint bytes, status i64, body text
SELECT fingerprint, status, body FROM reply_1 WHERE key = :key;

-- name: request_keep_1 :exec
-- in: id i64, key bytes, fingerprint bytes, status i64, body text
INSERT INTO reply_1(id, key, fingerprint, status, body) VALUES (:id, :key, :fingerprint, :status, :body)
ON CONFLICT (key) DO NOTHING;

-- name: request_clear_1 :exec
-- in: max i64
DELETE FROM reply_1 WHERE id IN (SELECT id FROM reply_1 ORDER BY id LIMIT :max);

-- name: request_find_2 :one
-- in: key bytes
-- out: fingerprint bytes, status i64, body text
SELECT fingerprint, status, body FROM reply_2 WHERE key = :key;

-- name: request_keep_2 :exec
-- in: id i64, key bytes, fingerprint bytes, status i64, body text
INSERT INTO reply_2(id, key, fingerprint, status, body) VALUES (:id, :key, :fingerprint, :status, :body)
ON CONFLICT (key) DO NOTHING;

-- name: request_clear_2 :exec
-- in: max i64
DELETE FROM reply_2 WHERE id IN (SELECT id FROM reply_2 ORDER BY id LIMIT :max);

-- name: request_find_3 :one
-- in: key bytes
-- out: fingerprint bytes, status i64, body text
SELECT fingerprint, status, body FROM reply_3 WHERE key = :key;

-- name: request_keep_3 :exec
-- in: id i64, key bytes, fingerprint bytes, status i64, body text
INSERT INTO reply_3(id, key, fingerprint, status, body) VALUES (:id, :key, :fingerprint, :status, :body)
ON CONFLICT (key) DO NOTHING;

-- name: request_clear_3 :exec
-- in: max i64
DELETE FROM reply_3 WHERE id IN (SELECT id FROM reply_3 ORDER BY id LIMIT :max);
