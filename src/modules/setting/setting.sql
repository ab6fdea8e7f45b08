-- Facts that hold for the whole data folder: currency, zone, default region.

CREATE TABLE setting(
  name text PRIMARY KEY,
  value text NOT NULL
);

-- name: setting_list :list
-- out: name text, value text
SELECT name, value FROM setting ORDER BY name LIMIT 200;

-- name: setting_put :exec
-- in: name text, value text
INSERT INTO setting(name, value) VALUES (:name, :value)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;
