-- Cohorts: rules about persons, by name.

CREATE TABLE cohort(
  id i64 PRIMARY KEY,
  name text NOT NULL UNIQUE,
  rule text NOT NULL,                 -- canonical (docs/formats/rules.md)
  created_ms i64 NOT NULL,
  changed_ms i64 NOT NULL
);

-- Which others the rule of a cohort names.
-- clustered
CREATE TABLE cohort_use(
  cohort i64 NOT NULL,
  uses i64 NOT NULL,
  PRIMARY KEY (cohort, uses)
);
CREATE INDEX cohort_use_of ON cohort_use(uses);

-- name: cohort_insert :exec
-- in: id i64, name text, rule text, now_ms i64
INSERT INTO cohort(id, name, rule, created_ms, changed_ms) VALUES (:id, :name, :rule, :now_ms, :now_ms);

-- name: cohort_update :exec
-- in: id i64, rule text, now_ms i64
UPDATE cohort SET rule = :rule, changed_ms = :now_ms WHERE id = :id;

-- name: cohort_delete :exec
-- in: id i64
DELETE FROM cohort WHERE id = :id;

-- name: cohort_by_name :one
-- in: name text
-- out: id i64, rule text, created_ms i64, changed_ms i64
SELECT id, rule, created_ms, changed_ms FROM cohort WHERE name = :name;

-- name: cohort_list :list
-- out: id i64, name text, rule text, created_ms i64, changed_ms i64
SELECT id, name, rule, created_ms, changed_ms FROM cohort ORDER BY name LIMIT 1000;

-- name: cohort_count :one
-- out: cohorts i64
SELECT count(*) AS cohorts FROM cohort;

-- name: cohort_use_insert :exec
-- in: cohort i64, uses i64
INSERT INTO cohort_use(cohort, uses) VALUES (:cohort, :uses);

-- name: cohort_use_clear :exec
-- in: cohort i64
DELETE FROM cohort_use WHERE cohort = :cohort;

-- Pairs of names: who names whom.
-- name: cohort_use_list :list
-- out: user text, used text
SELECT c.name AS user, u.name AS used FROM cohort_use x JOIN cohort c ON c.id = x.cohort JOIN cohort u ON u.id = x.uses
 ORDER BY c.name, u.name LIMIT 16000;

-- What points at nothing: for cohort_check.c.

-- name: cohort_check_uses :list
-- out: id i64, other i64
SELECT x.cohort AS id, x.uses AS other FROM cohort_use x
 WHERE NOT EXISTS (SELECT 1 FROM cohort c WHERE c.id = x.uses) ORDER BY x.cohort, x.uses LIMIT 100;

-- name: cohort_check_users :list
-- out: id i64, other i64
SELECT x.cohort AS id, x.uses AS other FROM cohort_use x
 WHERE NOT EXISTS (SELECT 1 FROM cohort c WHERE c.id = x.cohort) ORDER BY x.cohort, x.uses LIMIT 100;
