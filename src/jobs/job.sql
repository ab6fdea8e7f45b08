-- The durable queue: work after the reply.

-- state: 1 waiting, 2 running, 3 done, 4 dead
CREATE TABLE job(
  id i64 PRIMARY KEY,
  kind text NOT NULL,
  payload text NOT NULL,
  state i64 NOT NULL CHECK(state >= 1 AND state <= 4),
  due_ms i64 NOT NULL,
  attempts i64 NOT NULL,
  attempts_max i64 NOT NULL,
  last_error text NOT NULL,
  created_ms i64 NOT NULL,
  finished_ms i64 NOT NULL
);
CREATE INDEX job_due ON job(state, due_ms);

-- name: job_insert :exec
-- in: id i64, kind text, payload text, due_ms i64, attempts_max i64, created_ms i64
INSERT INTO job(id, kind, payload, state, due_ms, attempts, attempts_max, last_error, created_ms, finished_ms)
VALUES (:id, :kind, :payload, 1, :due_ms, 0, :attempts_max, '', :created_ms, 0);

-- name: job_due :list
-- in: now_ms i64, max i64
-- out: id i64, kind text, payload text, due_ms i64, attempts i64, attempts_max i64
SELECT id, kind, payload, due_ms, attempts, attempts_max FROM job
 WHERE state = 1 AND due_ms <= :now_ms ORDER BY due_ms, id LIMIT :max;

-- name: job_next_due :list
-- out: due_ms i64
SELECT due_ms FROM job WHERE state = 1 ORDER BY due_ms, id LIMIT 1;

-- Takes a waiting job; another process may have been faster.
-- name: job_take :exec
-- in: id i64
UPDATE job SET state = 2, attempts = attempts + 1 WHERE id = :id AND state = 1;

-- name: job_finish :exec
-- in: id i64, state i64, due_ms i64, last_error text, finished_ms i64
UPDATE job SET state = :state, due_ms = :due_ms, last_error = :last_error, finished_ms = :finished_ms WHERE id = :id;

-- After a crash nobody works on what was running.
-- name: job_release_running :exec
UPDATE job SET state = 1 WHERE state = 2;

-- name: job_find :one
-- in: id i64
-- out: kind text, payload text, state i64, due_ms i64, attempts i64, attempts_max i64, last_error text, created_ms i64, finished_ms i64
SELECT kind, payload, state, due_ms, attempts, attempts_max, last_error, created_ms, finished_ms FROM job WHERE id = :id;

-- name: job_page :list
-- in: before i64, max i64
-- out: id i64, kind text, state i64, due_ms i64, attempts i64, attempts_max i64, last_error text, created_ms i64, finished_ms i64
SELECT id, kind, state, due_ms, attempts, attempts_max, last_error, created_ms, finished_ms
  FROM job WHERE id < :before ORDER BY id DESC LIMIT :max;

-- name: job_retry :exec
-- in: id i64, due_ms i64
UPDATE job SET state = 1, due_ms = :due_ms, attempts = 0, finished_ms = 0 WHERE id = :id AND state = 4;

-- name: job_counts :list
-- out: state i64, jobs i64
SELECT state, count(*) FROM job GROUP BY state ORDER BY state LIMIT 10;

-- name: job_waiting_of :one
-- in: kind text
-- out: jobs i64
SELECT count(*) FROM job WHERE state <= 2 AND kind = :kind;

-- A batch; what is done was due before it finished, and the index has the due times.
-- name: job_purge :exec
-- in: before_ms i64
DELETE FROM job WHERE id IN (SELECT j.id FROM job j WHERE j.state = 3 AND j.due_ms < :before_ms
  AND j.finished_ms < :before_ms ORDER BY j.due_ms, j.id LIMIT 500);
