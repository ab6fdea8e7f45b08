-- Who did what to which thing.  Appended inside the transaction it speaks of; sealed later, in
-- batches, into a chain of hashes, so that a changed or missing row shows.

CREATE TABLE audit(
  id i64 PRIMARY KEY,
  at_ms i64 NOT NULL,
  who i64 NOT NULL,
  who_kind text NOT NULL,
  action text NOT NULL,
  object i64 NOT NULL,
  detail text NOT NULL
);

CREATE TABLE audit_seal(
  id i64 PRIMARY KEY,
  first_audit i64 NOT NULL,
  last_audit i64 NOT NULL,
  rows_sealed i64 NOT NULL,
  hash bytes NOT NULL,
  at_ms i64 NOT NULL
);

-- name: audit_insert :exec
-- in: id i64, at_ms i64, who i64, who_kind text, action text, object i64, detail text
INSERT INTO audit(id, at_ms, who, who_kind, action, object, detail)
VALUES (:id, :at_ms, :who, :who_kind, :action, :object, :detail);

-- name: audit_page :list
-- in: before i64, max i64
-- out: id i64, at_ms i64, who i64, who_kind text, action text, object i64, detail text
SELECT id, at_ms, who, who_kind, action, object, detail FROM audit
 WHERE id < :before ORDER BY id DESC LIMIT :max;

-- Rows of a range in the order of the chain.
-- name: audit_range :each
-- in: after i64, until i64, max i64
-- out: id i64, at_ms i64, who i64, who_kind text, action text, object i64, detail text
SELECT id, at_ms, who, who_kind, action, object, detail FROM audit
 WHERE id > :after AND id <= :until ORDER BY id LIMIT :max;

-- name: audit_seal_last :list
-- out: id i64, last_audit i64, hash bytes
SELECT id, last_audit, hash FROM audit_seal ORDER BY id DESC LIMIT 1;

-- name: audit_seal_each :each
-- out: id i64, first_audit i64, last_audit i64, rows_sealed i64, hash bytes, at_ms i64
SELECT id, first_audit, last_audit, rows_sealed, hash, at_ms FROM audit_seal ORDER BY id;

-- name: audit_seal_insert :exec
-- in: id i64, first_audit i64, last_audit i64, rows_sealed i64, hash bytes, at_ms i64
INSERT INTO audit_seal(id, first_audit, last_audit, rows_sealed, hash, at_ms)
VALUES (:id, :first_audit, :last_audit, :rows_sealed, :hash, :at_ms);
