-- The newest id of this database: no later one may be smaller.  Every request that writes leaves an audit
-- row; imports and jobs write without one.

-- name: newest_id :one
-- out: id i64
SELECT coalesce(max(id), 0) FROM (
  SELECT max(id) AS id FROM audit
  UNION ALL SELECT max(id) FROM person
  UNION ALL SELECT max(id) FROM orders
  UNION ALL SELECT max(id) FROM job
  UNION ALL SELECT max(id) FROM store
  UNION ALL SELECT max(id) FROM product
  UNION ALL SELECT max(id) FROM campaign
  UNION ALL SELECT max(id) FROM coupon_template
) AS newest;
