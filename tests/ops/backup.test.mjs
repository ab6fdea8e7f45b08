// tests/ops/backup.test.mjs -- a backup beside the load, restored elsewhere; and everything in between.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { check, load, mustBeWell, openShop, program, run, runBeside, sql } from './shop.mjs'

let w
const at = (name) => join(w.folder, name)
const quiet = ['--log-level', 'off']
before(async () => (w = await openShop()))
after(() => w.close())

const backup = (name, kill) => runBeside(['backup', '--out', at(name), '--data', w.data, ...quiet], kill)
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

function restore(name, data) {
  copyFileSync(`${w.data}.key`, `${at(data)}.key`)
  return run(['restore', '--from', at(name), '--data', at(data), ...quiet])
}

/** Starts and stops a server on a folder: what a restart does to it. */
async function startOnce(data) {
  const server = spawn(program, ['serve', '--listen', '127.0.0.1:0', '--data', data], { stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = new Promise((resolve) => server.on('exit', resolve))
  let log = ''
  server.stderr.on('data', (d) => (log += d))
  for (let i = 0; i < 500 && !log.includes('server.ready'); i++) await sleep(20)
  assert.ok(log.includes('server.ready'), log)
  server.kill('SIGTERM')
  assert.equal(await ended, 0, log)
}

test('a backup under load, restored elsewhere, is complete and well', async () => {
  const l = load(w)
  await sleep(1500)
  let replayed = 0
  for (let i = 0; i < 3; i++) {
    const claimed = l.done.claims, redeemed = l.done.redemptions
    const made = await backup(`b${i}`)
    const claimedAfter = l.done.claims + 8
    assert.equal(made.status, 0, made.err)
    assert.match(made.out, /key file is not in it/)
    const r = restore(`b${i}`, `r${i}`)
    assert.equal(r.status, 0, r.err)
    const before = mustBeWell(at(`r${i}`))
    const claims = before.counted['Coupon Claimed'] - 4
    assert.ok(claims >= claimed && claims <= claimedAfter, `${claimed} <= ${claims} <= ${claimedAfter}`)
    assert.ok(before.counted['Coupon Redeemed'] >= redeemed)
    replayed += before.counted.outbox_waiting
    await startOnce(at(`r${i}`))
    const later = mustBeWell(at(`r${i}`))
    assert.equal(later.counted.outbox_waiting, 0)
    assert.equal(later.counted.events, before.counted.events) // those that waited were counted
    assert.equal(later.counted['Coupon Claimed'], before.counted['Coupon Claimed'])
  }
  await l.stop()
  assert.ok(replayed > 0, 'no backup had events to replay: the test proves nothing')
})

test('nothing but the manifest names keys, and no key is in the backup', () => {
  const secret = readFileSync(`${w.data}.key`, 'utf8').split('\n').filter((l) => /^\d/.test(l)).map((l) => l.split(' ')[1])
  assert.ok(secret.length >= 2)
  const manifest = readFileSync(at('b0/backup.json'), 'utf8')
  for (const s of secret) assert.ok(!manifest.includes(s))
  assert.equal(existsSync(at('b0/data.key')), false)
})

test('the outbox is not trimmed while a backup holds the lock, and is afterwards', async () => {
  const rows = () => Number(sql(w.db, 'SELECT count(*) FROM outbox WHERE at_ms = 0'))
  const holder = spawn('flock', [join(w.data, 'backup.hold'), 'sleep', '30'], { stdio: 'ignore', detached: true })
  await sleep(300)
  await w.claim(w.open)
  await sleep(1500) // the lazy sync of the log
  sql(w.db, 'UPDATE outbox SET at_ms = 0')
  const held = rows()
  assert.ok(held > 0)
  await sleep(7000)
  assert.equal(rows(), held)
  process.kill(-holder.pid)
  for (let i = 0; i < 40 && rows() > 0; i++) await sleep(250)
  assert.equal(rows(), 0)
  mustBeWell(w.data)
})

test('a backup that is killed does no harm', async () => {
  const l = load(w, 4)
  for (const [i, ms] of [5, 20, 40, 60, 90, 130, 200].entries()) {
    const r = await backup(`k${i}`, ms)
    if (existsSync(at(`k${i}`))) { // it was faster; or was killed after it had given the backup its name
      assert.equal(restore(`k${i}`, `kr${i}`).status, 0)
      continue
    }
    assert.notEqual(r.status, 0)
    const refused = restore(`k${i}.partial`, `kr${i}`)
    assert.equal(refused.status, 1)
    if (existsSync(at(`k${i}.partial`))) {
      const again = await backup(`k${i}`)
      assert.equal(again.status, 1)
      assert.match(again.err, /did not end/)
      rmSync(at(`k${i}.partial`), { recursive: true })
    }
    assert.equal((await backup(`k${i}`)).status, 0)
    mustBeWell(w.data)
  }
  await l.stop()
})

test('a backup of a stopped server is the same', async () => {
  await w.stop()
  const r = await backup('stopped')
  assert.equal(r.status, 0, r.err)
  assert.equal(restore('stopped', 'stopped-r').status, 0)
  assert.deepEqual(mustBeWell(at('stopped-r')).counted, mustBeWell(w.data).counted)
  await w.start()
})

test('what is there already is not overwritten', async () => {
  assert.match((await backup('stopped')).err, /is there already/)
  const r = restore('stopped', 'data')
  assert.equal(r.status, 1)
  assert.match(r.err, /not empty/)
  mkdirSync(at('empty'))
  assert.equal(restore('stopped', 'empty').status, 0)
  mustBeWell(at('empty'))
})

test('a damaged backup is refused and names the file', () => {
  for (const [n, file] of ['tongdian.db', 'events/log/manifest', 'backup.json'].entries()) {
    const path = at(`b1/${file}`)
    const good = readFileSync(path)
    const bad = Buffer.from(good)
    bad[Math.floor(bad.length / 2)] ^= 1
    if (file === 'backup.json') bad.fill(0x20, 0, 40)
    writeFileSync(path, bad)
    const r = restore('b1', `damaged${n}`)
    writeFileSync(path, good)
    assert.equal(r.status, 1)
    assert.match(r.err, /backup\.(damaged|manifest)/)
    assert.equal(existsSync(at(`damaged${n}`)), false)
  }
  rmSync(at('b2/events/log/manifest'))
  assert.equal(restore('b2', 'missing').status, 1)
})

test('a wrong key file is noticed, a missing one asked for', () => {
  const other = at('other')
  assert.equal(run(['user', 'list', '--data', other, ...quiet]).status, 0)
  copyFileSync(`${other}.key`, `${at('wrongkey')}.key`)
  const wrong = run(['restore', '--from', at('b0'), '--data', at('wrongkey'), ...quiet])
  assert.equal(wrong.status, 0)
  assert.match(wrong.out, /WRONG KEY FILE/)
  const none = run(['restore', '--from', at('b0'), '--data', at('nokey'), ...quiet])
  assert.match(none.out, /Put the key file/)
})

test('words that are missing are asked for', () => {
  assert.match(run(['backup', '--data', w.data, ...quiet]).err, /needs --out/)
  assert.match(run(['restore', '--data', w.data, ...quiet]).err, /needs --from/)
})

test('on PostgreSQL check works and backup says what to do', { skip: !process.env.TONGDIAN_TEST_PG }, async () => {
  process.env.TONGDIAN_HTTP_DB = 'postgres'
  const { execFileSync } = await import('node:child_process')
  const base = process.env.TONGDIAN_TEST_PG
  const name = `tongdian_test_ops_${process.pid}`
  execFileSync('psql', [base, '-qc', `CREATE DATABASE ${name}`])
  const words = ['--data', at('pg'), '--db', base.replace(/\/[^/]*$/, `/${name}`), ...quiet]
  try {
    assert.equal(run(['user', 'list', ...words]).status, 0)
    const c = check(at('pg'), words.slice(2))
    assert.equal(c.status, 0, c.out)
    const r = run(['backup', '--out', at('pgb'), ...words])
    assert.equal(r.status, 1)
    assert.match(r.err, /pg_dump/)
    assert.equal(run(['migrate', '--status', ...words]).status, 0)
  } finally {
    execFileSync('psql', [base, '-qc', `DROP DATABASE ${name}`])
  }
})
