// tests/ops/erase.test.mjs -- somebody is erased: no byte of them is left in the log or the outbox, the others are as
// they were, the columns answer the same, also when they are made again, and an older backup forgets them too.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { copyFileSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { mustBeWell, openShop, program, run, sql } from './shop.mjs'

const MARK = 'Zhuque-7731'
const quiet = ['--log-level', 'off']
let w, log
before(async () => {
  w = await openShop({ arguments: ['--engine-rows', '256'] })
  log = join(w.data, 'events', 'log')
})
after(() => w.close())

const at = (name) => join(w.folder, name)
const who = (value) => ({ kind: 'member', value })
const send = (events) => w.want(200, 'POST', '/v1/events', { events })
const event = (id, value, more) => ({ id, name: 'Page Viewed', time: new Date(w.now()).toISOString(), actor: who(value), ...more })
const marked = (i) => event(`${MARK}-${i}`, MARK, {
  name: i % 5 ? 'Page Viewed' : `Seen ${MARK}`, store: MARK,
  properties: { text: MARK, [MARK]: i, texts: ['a', MARK], lines: [{ sku: MARK }] }, context: { page: MARK },
})

/** Files below the folder in which the text stands. */
function filesWith(folder, text) {
  return readdirSync(folder, { recursive: true }).filter((name) => {
    const path = join(folder, name)
    return statSync(path).isFile() && readFileSync(path).includes(text)
  })
}

const erase = (data, words = []) => run(['events', 'erase', ...words, '--data', data, ...quiet])
const exported = (data) => run(['export', 'events', '--format', 'jsonl', '--data', data, ...quiet]).out.split('\n').filter((l) => l)
const others = (lines) => lines.filter((l) => !l.includes(MARK))

async function answers() {
  const trend = { of: 'any event', from: '2020-01-01', to: '2100-01-01', by: 'all', breakdown: ['event'], top: 50 }
  const r = await w.want(200, 'POST', '/v1/query', { trend })
  return r.trend.series.map((s) => JSON.stringify(s)).sort()
}

const trimmed = async () => {
  await new Promise((resolve) => setTimeout(resolve, 1500)) // the lazy sync of the log
  sql(w.db, 'UPDATE outbox SET at_ms = 0')
  for (let i = 0; i < 60 && sql(w.db, 'SELECT count(*) FROM outbox') !== '0'; i++) await new Promise((resolve) => setTimeout(resolve, 250))
  assert.equal(sql(w.db, 'SELECT count(*) FROM outbox'), '0')
}

/** Starts a server on a folder; when it answers, stops it. */
async function startOnce(data) {
  const server = spawn(program, ['serve', '--listen', '127.0.0.1:0', '--data', data], { stdio: ['ignore', 'ignore', 'pipe'] })
  const ended = new Promise((resolve) => server.on('exit', resolve))
  let said = ''
  server.stderr.on('data', (d) => (said += d))
  for (let i = 0; i < 500 && !said.includes('server.ready'); i++) await new Promise((resolve) => setTimeout(resolve, 20))
  assert.match(said, /events.erase_again[^]*server.ready/)
  server.kill('SIGTERM')
  assert.equal(await ended, 0, said)
}

let lines, want
test('who is erased leaves no byte in any file of the log or the columns, and nobody else changes', async () => {
  for (let i = 0; i < 40; i++) await send([event(`o${i}`, `m${i % 7}`), marked(i), event(`p${i}`, `m${i % 5}`)])
  await trimmed()
  await w.stop()
  const made = run(['backup', '--out', at('older'), '--data', w.data, ...quiet])
  assert.equal(made.status, 0, made.err)
  const before = exported(w.data)
  assert.ok(filesWith(log, MARK).length > 0)
  assert.ok(filesWith(join(w.data, 'events', 'engine'), MARK).length > 0)
  const r = erase(w.data, ['member', MARK])
  assert.equal(r.status, 0, r.out + r.err)
  assert.match(r.out, /Erased 41 records/) // and what asked for it
  assert.deepEqual(filesWith(join(w.data, 'events'), MARK), [])
  lines = exported(w.data)
  assert.deepEqual(lines, others(before))
  assert.equal(lines.length, before.length - 40)
  const json = mustBeWell(w.data)
  assert.equal(json.counted.erased, 41)
  assert.match(run(['events', 'stat', '--data', w.data, ...quiet]).out, /^Erased: 1 actors/m)
  assert.equal(run(['events', 'verify', '--data', w.data, ...quiet]).status, 0)
})

test('the columns that heard of it stay, and columns made again from the log answer the same', async () => {
  const said = w.log.length
  await w.start()
  want = await answers()
  assert.ok(!want.some((s) => s.includes('Seen')), want)
  await w.stop()
  assert.doesNotMatch(w.log.slice(said), /engine_made_again/)
  assert.deepEqual(filesWith(join(w.data, 'events'), MARK), [])
  rmSync(join(w.data, 'events', 'engine'), { recursive: true })
  await w.start()
  assert.deepEqual(await answers(), want)
  await w.stop()
})

test('columns that never heard of an erasure are made again', async () => {
  await w.start()
  await send([event('x1', 'once'), event('x2', 'm1')])
  want = await answers()
  await w.stop()
  const engine = join(w.data, 'events', 'engine'), aside = at('engine-aside')
  renameSync(engine, aside)
  assert.match(erase(w.data, ['member', 'once']).out, /Erased 2 records/)
  renameSync(aside, engine)
  const said = w.log.length
  await w.start()
  assert.notDeepEqual(await answers(), want)
  await w.stop()
  assert.match(w.log.slice(said), /engine_made_again.*not heard of an erasure/)
})

test('an older backup forgets whom the newer log forgot, before it serves', async () => {
  const data = at('again')
  copyFileSync(`${w.data}.key`, `${data}.key`)
  const wrong = run(['restore', '--from', at('older'), '--data', data, '--erased', at('nowhere'), ...quiet])
  assert.equal(wrong.status, 1)
  assert.match(wrong.err, /neither a data folder nor a backup/)
  rmSync(`${data}.partial`, { recursive: true, force: true })
  const r = run(['restore', '--from', at('older'), '--data', data, '--erased', w.data, ...quiet])
  assert.equal(r.status, 0, r.err)
  assert.ok(filesWith(join(data, 'events', 'log'), MARK).length > 0)
  await startOnce(data)
  assert.deepEqual(filesWith(join(data, 'events', 'log'), MARK), [])
  assert.deepEqual(exported(data), lines)
  mustBeWell(data)
  const without = run(['restore', '--from', at('older'), '--data', at('without'), ...quiet])
  assert.match(without.out, /restore with --erased/)
})

test('rows stay well without the events of who was erased', () => {
  const claimed = exported(w.data).map((l) => JSON.parse(l)).find((e) => e.name === 'Coupon Claimed')
  const r = erase(w.data, ['person', String(claimed.person)])
  assert.match(r.out, /Erased ([2-9]|\d\d+) records/, r.err) // more than what asked for it
  assert.ok(!exported(w.data).some((l) => JSON.parse(l).person === claimed.person))
  mustBeWell(w.data)
})

test('how many wait, and since when, is said while the server runs', async () => {
  await w.start()
  const text = await (await fetch(`${w.url}/metrics`)).text()
  assert.match(text, /^tongdian_events_erasures_waiting 0$/m)
  assert.match(text, /^tongdian_events_erasures_waiting_seconds 0$/m)
  for (const zero of ['events_erase_unread_segments', 'events_erase_ledger_full', 'engine_erasures_waiting', 'engine_erasures_waiting_seconds'])
    assert.match(text, new RegExp(`^tongdian_${zero} 0$`, 'm'))
  await w.stop()
})

/** Undefined while a file goes away that is looked at. */
function leftNow() {
  try {
    return filesWith(join(w.data, 'events'), MARK)
  } catch (e) {
    if (e.code !== 'ENOENT') throw e
  }
}

test('whom a server is asked to erase leaves every file by a job, behind the day that it waits', async () => {
  await w.start()
  await send([marked(100), event('z1', 'm1'), { id: 'tied', kind: 'link', actor: who('m1'), other: who(MARK) }])
  await w.stop()
  assert.equal(exported(w.data).filter((l) => l.includes(MARK)).length, 1)
  const before = exported(w.data).map((l) => JSON.parse(l)).filter((e) => e.kind !== 'link' && !e.name?.includes(MARK))
  await w.start()
  await send([{ id: 'please', kind: 'erase', actor: who(MARK) }])
  await w.stop()
  const left = exported(w.data) // nothing was rewritten yet
  assert.ok(leftNow().length > 1)
  assert.deepEqual(left.map((l) => JSON.parse(l)), before)
  await w.start()
  assert.ok(leftNow().length > 1)
  await w.stop()
  await w.start(Date.now() + 2 * 86400e3)
  for (let i = 0; i < 300 && leftNow()?.length !== 0; i++) await new Promise((resolve) => setTimeout(resolve, 100))
  assert.deepEqual(leftNow(), [])
  assert.match(await (await fetch(`${w.url}/metrics`)).text(), /^tongdian_engine_erasures_waiting 0$/m)
  await w.stop()
  mustBeWell(w.data)
})
