-- The newest id of this database: no later one may be smaller.  Every request that writes leaves an audit
-- row; imports and jobs write without one.

-- name: newest_id :one
-- out: id i64
SELECT coalesce(max(id), 0) FROM (
  SELECT max(id) AS id FROM audit
  UNION ALL SELECT max(id) FROM person
  UNION ALL SELECT max(id) FROM orders
  UNION ALL SELECT max(id) FROM job
) AS newest;
