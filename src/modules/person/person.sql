-- People.  Identifiers are found by keyed hash and shown masked; values are encrypted under a data key
-- per person, which is wrapped by the master key.

CREATE TABLE person(
  id i64 PRIMARY KEY,
  root i64 NOT NULL,                  -- itself, until a merge links it to another
  data_key bytes NOT NULL,            -- wrapped
  name bytes NOT NULL,                -- sealed; empty = unknown
  store i64 NOT NULL,                 -- where enrolled; 0 = online or unknown
  channel text NOT NULL,
  enrolled_ms i64 NOT NULL
);
CREATE INDEX person_enrolled ON person(enrolled_ms);

-- kind: 1 phone, 2 unionid, 3 card, 4 openid, 5 wecom, 6 email
-- clustered
CREATE TABLE person_identifier(
  kind i64 NOT NULL,
  hash bytes NOT NULL,
  person i64 NOT NULL,
  value bytes NOT NULL,               -- sealed
  created_ms i64 NOT NULL,
  PRIMARY KEY (kind, hash)
);
CREATE INDEX person_identifier_of ON person_identifier(person, kind);

-- Last four characters of a phone or card, hashed with a key of their own.
-- clustered
CREATE TABLE person_last4(
  hash bytes NOT NULL,
  person i64 NOT NULL,
  PRIMARY KEY (hash, person)
);

-- Hashed pairs of neighbouring characters of the name.
-- clustered
CREATE TABLE person_gram(
  hash bytes NOT NULL,
  person i64 NOT NULL,
  PRIMARY KEY (hash, person)
);

-- clustered
CREATE TABLE person_attribute(
  person i64 NOT NULL,
  name text NOT NULL,
  value text NOT NULL,
  PRIMARY KEY (person, name)
);

-- name: person_insert :exec
-- in: id i64, data_key bytes, name bytes, store i64, channel text, enrolled_ms i64
INSERT INTO person(id, root, data_key, name, store, channel, enrolled_ms)
VALUES (:id, :id, :data_key, :name, :store, :channel, :enrolled_ms);

-- name: person_find :one
-- in: id i64
-- out: root i64, data_key bytes, name bytes, store i64, channel text, enrolled_ms i64
SELECT root, data_key, name, store, channel, enrolled_ms FROM person WHERE id = :id;

-- name: person_root :one
-- in: id i64
-- out: root i64
SELECT root FROM person WHERE id = :id;

-- name: person_page :list
-- in: before_ms i64, before_id i64, max i64
-- out: id i64, root i64, data_key bytes, name bytes, store i64, channel text, enrolled_ms i64
SELECT id, root, data_key, name, store, channel, enrolled_ms FROM person
 WHERE enrolled_ms < :before_ms OR (enrolled_ms = :before_ms AND id < :before_id)
 ORDER BY enrolled_ms DESC, id DESC LIMIT :max;

-- name: person_count :one
-- out: people i64
SELECT count(*) FROM person;

-- name: person_count_between :one
-- in: from_ms i64, to_ms i64
-- out: people i64
SELECT count(*) FROM person WHERE enrolled_ms >= :from_ms AND enrolled_ms < :to_ms;

-- name: person_identifier_insert :exec
-- in: kind i64, hash bytes, person i64, value bytes, created_ms i64
INSERT INTO person_identifier(kind, hash, person, value, created_ms)
VALUES (:kind, :hash, :person, :value, :created_ms)
ON CONFLICT (kind, hash) DO NOTHING;

-- name: person_by_identifier :one
-- in: kind i64, hash bytes
-- out: person i64
SELECT person FROM person_identifier WHERE kind = :kind AND hash = :hash;

-- name: person_identifiers :list
-- in: person i64
-- out: kind i64, value bytes, created_ms i64
SELECT kind, value, created_ms FROM person_identifier WHERE person = :person ORDER BY kind, created_ms LIMIT 50;

-- name: person_last4_insert :exec
-- in: hash bytes, person i64
INSERT INTO person_last4(hash, person) VALUES (:hash, :person) ON CONFLICT (hash, person) DO NOTHING;

-- Newest first, those behind `before`; the shop is where the root was enrolled.
-- name: person_by_last4 :list
-- in: hash bytes, before i64, max i64
-- out: person i64, root i64, store i64
SELECT l.person, r.id AS root, r.store
  FROM person_last4 l JOIN person p ON p.id = l.person JOIN person r ON r.id = p.root
 WHERE l.hash = :hash AND l.person < :before ORDER BY l.person DESC LIMIT :max;

-- name: person_gram_insert :exec
-- in: hash bytes, person i64
INSERT INTO person_gram(hash, person) VALUES (:hash, :person) ON CONFLICT (hash, person) DO NOTHING;

-- How many have a pair in their name, counted up to `max`.
-- name: person_gram_count :one
-- in: hash bytes, max i64
-- out: people i64
SELECT count(*) FROM (SELECT 1 FROM person_gram WHERE hash = :hash LIMIT :max) AS found;

-- Who has all four pairs in their name, with that name; as person_by_last4.
-- name: person_by_grams :list
-- in: first bytes, second bytes, third bytes, fourth bytes, before i64, max i64
-- out: person i64, root i64, store i64, data_key bytes, name bytes
SELECT g.person, r.id AS root, r.store, p.data_key, p.name
  FROM person_gram g JOIN person p ON p.id = g.person JOIN person r ON r.id = p.root
 WHERE g.hash = :first AND g.person < :before
   AND EXISTS (SELECT 1 FROM person_gram b WHERE b.hash = :second AND b.person = g.person)
   AND EXISTS (SELECT 1 FROM person_gram c WHERE c.hash = :third AND c.person = g.person)
   AND EXISTS (SELECT 1 FROM person_gram d WHERE d.hash = :fourth AND d.person = g.person)
 ORDER BY g.person DESC LIMIT :max;

-- name: person_attribute_put :exec
-- in: person i64, name text, value text
INSERT INTO person_attribute(person, name, value) VALUES (:person, :name, :value)
ON CONFLICT (person, name) DO UPDATE SET value = excluded.value;

-- name: person_attributes :list
-- in: person i64
-- out: name text, value text
SELECT name, value FROM person_attribute WHERE person = :person ORDER BY name LIMIT 200;

-- What points at nothing, and which rows have an event: for person_check.c.

-- name: person_check_roots :list
-- out: id i64, other i64
SELECT p.id, p.root AS other FROM person p
 WHERE NOT EXISTS (SELECT 1 FROM person r WHERE r.id = p.root) ORDER BY p.id LIMIT 100;

-- name: person_check_identifiers :list
-- out: id i64, other i64
SELECT i.person AS id, i.kind AS other FROM person_identifier i
 WHERE NOT EXISTS (SELECT 1 FROM person p WHERE p.id = i.person) ORDER BY i.person, i.kind LIMIT 100;

-- name: person_check_last4 :list
-- out: id i64
SELECT DISTINCT l.person AS id FROM person_last4 l
 WHERE NOT EXISTS (SELECT 1 FROM person p WHERE p.id = l.person) ORDER BY l.person LIMIT 100;

-- name: person_check_grams :list
-- out: id i64
SELECT DISTINCT g.person AS id FROM person_gram g
 WHERE NOT EXISTS (SELECT 1 FROM person p WHERE p.id = g.person) ORDER BY g.person LIMIT 100;

-- name: person_check_attributes :list
-- out: id i64
SELECT DISTINCT a.person AS id FROM person_attribute a
 WHERE NOT EXISTS (SELECT 1 FROM person p WHERE p.id = a.person) ORDER BY a.person LIMIT 100;

-- name: person_check_enrolled :list
-- in: after i64, max i64
-- out: id i64
SELECT id FROM person WHERE id > :after ORDER BY id LIMIT :max;
