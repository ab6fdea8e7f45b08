-- Campaigns: when, for whom, with which coupons.

CREATE TABLE campaign(
  id i64 PRIMARY KEY,
  code text NOT NULL UNIQUE,
  name text NOT NULL,
  kind text NOT NULL,                 -- the chain's own grouping, e.g. 'A', 'B', 'C'
  start_ms i64 NOT NULL,
  end_ms i64 NOT NULL,                -- first instant after it
  created_ms i64 NOT NULL,
  CHECK(end_ms > start_ms)
);

-- clustered
CREATE TABLE campaign_target(
  campaign i64 NOT NULL,
  person i64 NOT NULL,
  PRIMARY KEY (campaign, person)
);
CREATE INDEX campaign_target_of ON campaign_target(person);

-- name: campaign_insert :exec
-- in: id i64, code text, name text, kind text, start_ms i64, end_ms i64, created_ms i64
INSERT INTO campaign(id, code, name, kind, start_ms, end_ms, created_ms)
VALUES (:id, :code, :name, :kind, :start_ms, :end_ms, :created_ms) ON CONFLICT (code) DO NOTHING;

-- name: campaign_update :exec
-- in: id i64, name text, kind text, start_ms i64, end_ms i64
UPDATE campaign SET name = :name, kind = :kind, start_ms = :start_ms, end_ms = :end_ms WHERE id = :id;

-- name: campaign_find :one
-- in: id i64
-- out: code text, name text, kind text, start_ms i64, end_ms i64, created_ms i64
SELECT code, name, kind, start_ms, end_ms, created_ms FROM campaign WHERE id = :id;

-- name: campaign_by_code :one
-- in: code text
-- out: id i64, name text, kind text, start_ms i64, end_ms i64
SELECT id, name, kind, start_ms, end_ms FROM campaign WHERE code = :code;

-- name: campaign_list :list
-- out: id i64, code text, name text, kind text, start_ms i64, end_ms i64, created_ms i64
SELECT id, code, name, kind, start_ms, end_ms, created_ms FROM campaign ORDER BY start_ms DESC, id DESC LIMIT 1000;

-- name: campaign_target_insert :exec
-- in: campaign i64, person i64
INSERT INTO campaign_target(campaign, person) VALUES (:campaign, :person) ON CONFLICT (campaign, person) DO NOTHING;

-- name: campaign_target_count :one
-- in: campaign i64
-- out: people i64
SELECT count(*) FROM campaign_target WHERE campaign = :campaign;

-- name: campaign_target_total :one
-- out: targetings i64, people i64
SELECT count(*), count(DISTINCT person) FROM campaign_target;

-- What points at nothing, and which rows have an event: for campaign_check.c.

-- name: campaign_check_targets :list
-- out: id i64, other i64
SELECT t.campaign AS id, t.person AS other FROM campaign_target t
 WHERE NOT EXISTS (SELECT 1 FROM person p WHERE p.id = t.person) ORDER BY t.campaign, t.person LIMIT 100;

-- name: campaign_check_targeting :list
-- out: id i64, other i64
SELECT t.campaign AS id, t.person AS other FROM campaign_target t
 WHERE NOT EXISTS (SELECT 1 FROM campaign c WHERE c.id = t.campaign) ORDER BY t.campaign, t.person LIMIT 100;
