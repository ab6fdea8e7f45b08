-- The outbox carries events out of transactions: written inside them, applied to the event log after.

-- One row per commit group: the encoded events of all its transactions.
CREATE TABLE outbox(
  id i64 PRIMARY KEY,
  at_ms i64 NOT NULL,
  events bytes NOT NULL
);

-- name: outbox_insert :exec
-- in: id i64, at_ms i64, events bytes
INSERT INTO outbox(id, at_ms, events) VALUES (:id, :at_ms, :events);

-- name: outbox_after :list
-- in: after i64, max i64
-- out: id i64, events bytes
SELECT id, events FROM outbox WHERE id > :after ORDER BY id LIMIT :max;

-- name: outbox_bounds :one
-- out: last i64
SELECT coalesce(max(id), 0) FROM outbox;

-- The oldest first; numbers rise with time, but for blocks that other processes took.
-- name: outbox_oldest :list
-- in: max i64
-- out: id i64, at_ms i64, bytes i64
SELECT id, at_ms, length(events) FROM outbox ORDER BY id LIMIT :max;

-- name: outbox_delete :exec
-- in: id i64
DELETE FROM outbox WHERE id = :id;
