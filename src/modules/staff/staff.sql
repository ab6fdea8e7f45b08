-- People who work for the chain, how they sign in, and keys for machines.

CREATE TABLE staff(
  id i64 PRIMARY KEY,
  login text NOT NULL UNIQUE,
  name text NOT NULL,
  role text NOT NULL,
  stores text NOT NULL,               -- '' = every store, else ids separated by commas
  password text NOT NULL,             -- argon2id, encoded
  disabled bool NOT NULL,
  created_ms i64 NOT NULL
);

CREATE TABLE staff_session(
  id i64 PRIMARY KEY,
  hash bytes NOT NULL UNIQUE,         -- of the cookie's token; the token itself is nowhere
  staff i64 NOT NULL,
  created_ms i64 NOT NULL,
  expires_ms i64 NOT NULL
);
CREATE INDEX staff_session_of ON staff_session(staff);
CREATE INDEX staff_session_end ON staff_session(expires_ms);

CREATE TABLE staff_key(
  id i64 PRIMARY KEY,
  hash bytes NOT NULL UNIQUE,
  name text NOT NULL,
  role text NOT NULL,
  stores text NOT NULL,
  hint text NOT NULL,                 -- last four characters, to recognise it in a list
  created_by i64 NOT NULL,
  created_ms i64 NOT NULL,
  revoked_ms i64 NOT NULL             -- 0 = in use
);

-- Wrong passwords, by login and address, whether anybody has that login or not.  Address '' counts those
-- from everywhere.
-- clustered
CREATE TABLE staff_guess(
  login bytes NOT NULL,               -- hashed: people type their password there by mistake
  address text NOT NULL,
  failures i64 NOT NULL CHECK(failures >= 0),
  at_ms i64 NOT NULL,                 -- of the last failure; '': when the hour began
  locked_until_ms i64 NOT NULL,
  known_until_ms i64 NOT NULL,        -- somebody signed in from there: the count of '' is not theirs
  PRIMARY KEY (login, address)
);

-- name: staff_guess_find :one
-- in: login bytes, address text
-- out: failures i64, at_ms i64, locked_until_ms i64, known_until_ms i64
SELECT failures, at_ms, locked_until_ms, known_until_ms FROM staff_guess
 WHERE login = :login AND address = :address;

-- name: staff_guess_put :exec
-- in: login bytes, address text, failures i64, at_ms i64, locked_until_ms i64, known_until_ms i64
INSERT INTO staff_guess(login, address, failures, at_ms, locked_until_ms, known_until_ms)
VALUES (:login, :address, :failures, :at_ms, :locked_until_ms, :known_until_ms)
ON CONFLICT (login, address) DO UPDATE SET failures = excluded.failures, at_ms = excluded.at_ms,
  locked_until_ms = excluded.locked_until_ms, known_until_ms = excluded.known_until_ms;

-- name: staff_guess_forget :exec
-- in: login bytes
DELETE FROM staff_guess WHERE login = :login;

-- name: staff_guess_purge :exec
-- in: at_ms i64, now_ms i64
DELETE FROM staff_guess WHERE at_ms <= :at_ms AND known_until_ms <= :now_ms;

-- name: staff_by_login :one
-- in: login text
-- out: id i64, password text, disabled bool
SELECT id, password, disabled FROM staff WHERE login = :login;

-- name: staff_by_id :one
-- in: id i64
-- out: login text, name text, role text, stores text, disabled bool, created_ms i64
SELECT login, name, role, stores, disabled, created_ms FROM staff WHERE id = :id;

-- name: staff_other_owners :one
-- in: id i64
-- out: owners i64
SELECT count(*) FROM staff WHERE role = 'owner' AND disabled = 0 AND id <> :id;

-- name: staff_list :list
-- out: id i64, login text, name text, role text, stores text, disabled bool, created_ms i64
SELECT id, login, name, role, stores, disabled, created_ms
  FROM staff ORDER BY login LIMIT 1000;

-- name: staff_insert :exec
-- in: id i64, login text, name text, role text, stores text, password text, created_ms i64
INSERT INTO staff(id, login, name, role, stores, password, disabled, created_ms)
VALUES (:id, :login, :name, :role, :stores, :password, 0, :created_ms)
ON CONFLICT (login) DO NOTHING;

-- name: staff_set_password :exec
-- in: id i64, password text
UPDATE staff SET password = :password WHERE id = :id;

-- name: staff_set_role :exec
-- in: id i64, role text, stores text
UPDATE staff SET role = :role, stores = :stores WHERE id = :id;

-- name: staff_set_disabled :exec
-- in: id i64, disabled bool
UPDATE staff SET disabled = :disabled WHERE id = :id;

-- name: staff_session_insert :exec
-- in: id i64, hash bytes, staff i64, created_ms i64, expires_ms i64
INSERT INTO staff_session(id, hash, staff, created_ms, expires_ms)
VALUES (:id, :hash, :staff, :created_ms, :expires_ms);

-- name: staff_session_find :one
-- in: hash bytes
-- out: staff i64, expires_ms i64, name text, role text, stores text, disabled bool
SELECT s.staff, s.expires_ms, a.name, a.role, a.stores, a.disabled
  FROM staff_session s JOIN staff a ON a.id = s.staff WHERE s.hash = :hash;

-- name: staff_session_delete :exec
-- in: hash bytes
DELETE FROM staff_session WHERE hash = :hash;

-- name: staff_session_delete_of :exec
-- in: staff i64
DELETE FROM staff_session WHERE staff = :staff;

-- name: staff_session_delete_others :exec
-- in: staff i64, hash bytes
DELETE FROM staff_session WHERE staff = :staff AND hash <> :hash;

-- name: staff_session_purge :exec
-- in: now_ms i64
DELETE FROM staff_session WHERE expires_ms <= :now_ms;

-- name: staff_key_insert :exec
-- in: id i64, hash bytes, name text, role text, stores text, hint text, created_by i64, created_ms i64
INSERT INTO staff_key(id, hash, name, role, stores, hint, created_by, created_ms, revoked_ms)
VALUES (:id, :hash, :name, :role, :stores, :hint, :created_by, :created_ms, 0);

-- name: staff_key_find :one
-- in: hash bytes
-- out: id i64, name text, role text, stores text, revoked_ms i64
SELECT id, name, role, stores, revoked_ms FROM staff_key WHERE hash = :hash;

-- name: staff_key_list :list
-- out: id i64, name text, role text, stores text, hint text, created_ms i64, revoked_ms i64
SELECT id, name, role, stores, hint, created_ms, revoked_ms FROM staff_key ORDER BY id LIMIT 1000;

-- name: staff_key_by_id :one
-- in: id i64
-- out: role text, stores text
SELECT role, stores FROM staff_key WHERE id = :id;

-- name: staff_key_revoke :exec
-- in: id i64, revoked_ms i64
UPDATE staff_key SET revoked_ms = :revoked_ms WHERE id = :id AND revoked_ms = 0;

-- Shops are the store room's, which stands on this one: here only whether there is one.
-- name: staff_store :one
-- in: id i64
-- out: id i64
SELECT id FROM store WHERE id = :id;

-- What points at nothing, and which rows have an event: for staff_check.c.

-- name: staff_check_sessions :list
-- out: id i64, other i64
SELECT s.staff AS id, s.id AS other FROM staff_session s
 WHERE NOT EXISTS (SELECT 1 FROM staff a WHERE a.id = s.staff) ORDER BY s.staff, s.id LIMIT 100;
