-- Imports under way, and what earlier ones brought.

-- How far an import came: written in the transaction of the rows themselves, forgotten when the whole run
-- is done.  `run` is made of the map and of the files that it reads.
-- clustered
CREATE TABLE intake_progress(
  run text NOT NULL,
  part i64 NOT NULL,                  -- 0, 1, ...: the run's files in the order of the map
  done i64 NOT NULL,                  -- ordinal of the last row that is in
  added i64 NOT NULL,
  altered i64 NOT NULL,
  same i64 NOT NULL,
  rejected i64 NOT NULL,              -- rows of the file, beyond those that could not be read
  products i64 NOT NULL,              -- made because a row referred to them
  stores i64 NOT NULL,
  people i64 NOT NULL,
  updated_ms i64 NOT NULL,
  PRIMARY KEY (run, part)
);

-- Rows of a run under way that a room refused, so that a resumed run's rejects file is whole.
-- clustered
CREATE TABLE intake_reject(
  run text NOT NULL,
  part i64 NOT NULL,
  ordinal i64 NOT NULL,
  line i64 NOT NULL,
  field text NOT NULL,                -- column of the file, '' = the row as a whole
  value text NOT NULL,                -- masked
  reason text NOT NULL,
  sentence text NOT NULL,
  PRIMARY KEY (run, part, ordinal)
);

-- Past redemptions that an import brought: (template, person, time) is one redemption, also after somebody
-- reversed it.
-- clustered
CREATE TABLE intake_redemption(
  template i64 NOT NULL,
  person i64 NOT NULL,
  at_ms i64 NOT NULL,
  PRIMARY KEY (template, person, at_ms)
);

-- name: intake_progress_find :one
-- in: run text, part i64
-- out: done i64, added i64, altered i64, same i64, rejected i64, products i64, stores i64, people i64
SELECT done, added, altered, same, rejected, products, stores, people
  FROM intake_progress WHERE run = :run AND part = :part;

-- name: intake_progress_add :exec
-- in: run text, part i64, done i64, added i64, altered i64, same i64, rejected i64, products i64, stores i64, people i64, at_ms i64
INSERT INTO intake_progress(run, part, done, added, altered, same, rejected, products, stores, people, updated_ms)
VALUES (:run, :part, :done, :added, :altered, :same, :rejected, :products, :stores, :people, :at_ms)
ON CONFLICT (run, part) DO UPDATE SET done = excluded.done, added = intake_progress.added + excluded.added,
  altered = intake_progress.altered + excluded.altered, same = intake_progress.same + excluded.same,
  rejected = intake_progress.rejected + excluded.rejected, products = intake_progress.products + excluded.products,
  stores = intake_progress.stores + excluded.stores, people = intake_progress.people + excluded.people,
  updated_ms = excluded.updated_ms;

-- name: intake_progress_forget :exec
-- in: run text
DELETE FROM intake_progress WHERE run = :run;

-- name: intake_reject_insert :exec
-- in: run text, part i64, ordinal i64, line i64, field text, value text, reason text, sentence text
INSERT INTO intake_reject(run, part, ordinal, line, field, value, reason, sentence)
VALUES (:run, :part, :ordinal, :line, :field, :value, :reason, :sentence);

-- name: intake_rejects :each
-- in: run text, part i64
-- out: line i64, field text, value text, reason text, sentence text
SELECT line, field, value, reason, sentence FROM intake_reject
 WHERE run = :run AND part = :part ORDER BY ordinal;

-- name: intake_reject_forget :exec
-- in: run text
DELETE FROM intake_reject WHERE run = :run;

-- name: intake_redemption_insert :exec
-- in: template i64, person i64, at_ms i64
INSERT INTO intake_redemption(template, person, at_ms) VALUES (:template, :person, :at_ms)
ON CONFLICT (template, person, at_ms) DO NOTHING;

-- Redemptions that contradict their campaign: by people who were no targets, or outside its dates.
-- name: intake_stray_redemptions :one
-- out: untargeted i64, undated i64
SELECT coalesce(CAST(sum(CASE WHEN g.person IS NULL THEN 1 ELSE 0 END) AS BIGINT), 0),
  coalesce(CAST(sum(CASE WHEN r.at_ms < c.start_ms OR r.at_ms >= c.end_ms THEN 1 ELSE 0 END) AS BIGINT), 0)
  FROM coupon_redemption r JOIN coupon_template t ON t.id = r.template JOIN campaign c ON c.id = t.campaign
  LEFT JOIN campaign_target g ON g.campaign = t.campaign AND g.person = r.person;
