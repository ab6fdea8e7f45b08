// tests/ops/migrate.test.mjs -- what the schema is, and a start that refuses politely.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { run, sql } from './shop.mjs'

let folder, data, db
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'tongdian-migrate-'))
  data = join(folder, 'data')
  db = join(data, 'tongdian.db')
  assert.equal(run(['user', 'list', '--data', data, '--log-level', 'off']).status, 0)
})
after(() => rmSync(folder, { recursive: true }))
const on = (...words) => run([...words, '--data', data, '--log-level', 'off'])

test('a current schema is current, and there is nothing to do', () => {
  const s = on('migrate', '--status')
  assert.equal(s.status, 0, s.err)
  assert.match(s.out, /coupon +current/)
  assert.match(on('migrate').out, /Nothing to do/)
})

test('a room that is missing is installed', () => {
  sql(db, "DROP TABLE campaign_target; DROP TABLE campaign; DELETE FROM schema_room WHERE room = 'campaign'")
  const s = on('migrate', '--status')
  assert.equal(s.status, 3)
  assert.match(s.out, /campaign +missing/)
  assert.match(on('check').err, /tables of room campaign are missing/)
  const m = on('migrate')
  assert.equal(m.status, 0, m.err)
  assert.match(m.out, /1 rooms installed/)
  assert.equal(on('migrate', '--status').status, 0)
  assert.equal(on('check').status, 0)
})

test('changed tables without a migration are refused with the room and the file that is needed', () => {
  const was = sql(db, "SELECT checksum FROM schema_room WHERE room = 'coupon'")
  sql(db, "UPDATE schema_room SET checksum = '0000000000000000' WHERE room = 'coupon'")
  for (const words of [['serve', '--listen', '127.0.0.1:0'], ['migrate']]) {
    const r = on(...words)
    assert.equal(r.status, 1)
    assert.match(r.err, /schema\.changed.*migrations\/NNNN_coupon_what\.sql/)
  }
  assert.match(on('migrate', '--status').out, /coupon +changed/)
  sql(db, `UPDATE schema_room SET checksum = '${was}' WHERE room = 'coupon'`)
})

test('a database of a newer program is refused', () => {
  sql(db, "INSERT INTO schema_migration VALUES (9999, '9999_coupon_future', 'x', 0)")
  for (const words of [['serve', '--listen', '127.0.0.1:0'], ['migrate'], ['migrate', '--status'], ['check']]) {
    const r = on(...words)
    assert.equal(r.status, 1)
    assert.match(r.err, /schema\.newer/)
    assert.match(r.err, /install that version/)
  }
  sql(db, 'DELETE FROM schema_migration WHERE number = 9999')
  assert.equal(on('migrate').status, 0)
})
