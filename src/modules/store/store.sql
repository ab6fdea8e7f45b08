-- Shops (门店): where they are and when they are open.

CREATE TABLE store(
  id i64 PRIMARY KEY,
  code text NOT NULL UNIQUE,
  name text NOT NULL,
  phone text NOT NULL,
  city text NOT NULL,
  address text NOT NULL,
  hours text NOT NULL,                -- schema.org openingHours, e.g. 'Mo-Su 09:00-21:00'
  lat_e7 i64,                         -- degrees * 10^7, in the datum below
  lng_e7 i64,
  datum text NOT NULL CHECK(datum IN ('wgs84', 'gcj02', 'bd09')),
  zone text NOT NULL,                 -- IANA name
  cutover_hour i64 NOT NULL CHECK(cutover_hour >= 0 AND cutover_hour <= 23),
  created_ms i64 NOT NULL
);

-- name: store_insert :exec
-- in: id i64, code text, name text, phone text, city text, address text, hours text, lat_e7 i64?, lng_e7 i64?, datum text, zone text, cutover_hour i64, created_ms i64
INSERT INTO store(id, code, name, phone, city, address, hours, lat_e7, lng_e7, datum, zone, cutover_hour, created_ms)
VALUES (:id, :code, :name, :phone, :city, :address, :hours, :lat_e7, :lng_e7, :datum, :zone, :cutover_hour, :created_ms)
ON CONFLICT (code) DO NOTHING;

-- name: store_update :exec
-- in: id i64, name text, phone text, city text, address text, hours text, lat_e7 i64?, lng_e7 i64?, datum text, zone text, cutover_hour i64
UPDATE store SET name = :name, phone = :phone, city = :city, address = :address, hours = :hours,
  lat_e7 = :lat_e7, lng_e7 = :lng_e7, datum = :datum, zone = :zone, cutover_hour = :cutover_hour
 WHERE id = :id;

-- name: store_find :one
-- in: id i64
-- out: code text, name text, phone text, city text, address text, hours text, lat_e7 i64?, lng_e7 i64?, datum text, zone text, cutover_hour i64, created_ms i64
SELECT code, name, phone, city, address, hours, lat_e7, lng_e7, datum, zone, cutover_hour, created_ms
  FROM store WHERE id = :id;

-- name: store_by_code :one
-- in: code text
-- out: id i64, name text
SELECT id, name FROM store WHERE code = :code;

-- name: store_page :list
-- in: after text, max i64
-- out: id i64, code text, name text, phone text, city text, address text, hours text, lat_e7 i64?, lng_e7 i64?, datum text, zone text, cutover_hour i64, created_ms i64
SELECT id, code, name, phone, city, address, hours, lat_e7, lng_e7, datum, zone, cutover_hour, created_ms
  FROM store WHERE code > :after ORDER BY code LIMIT :max;

-- name: store_count :one
-- out: stores i64
SELECT count(*) FROM store;
