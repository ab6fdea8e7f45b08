// tests/ops/history.test.mjs -- years of events from files: `tongdian events import` as an operator uses it.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { after, before, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { Machine } from '../crash/machine.mjs'
import { openShop, program, run } from './shop.mjs'

const source = resolve(process.env.TONGDIAN_SOURCE_ROOT ?? new URL('../..', import.meta.url).pathname)
const EVENTS = 60000
const WEEKS = 150
let w, file
before(async () => {
  w = await openShop()
  await w.stop()
  file = join(w.folder, 'history.ndjson')
  writeFileSync(file, Array.from({ length: EVENTS }, (_, i) => line(i)).join(''))
})
after(() => w.close())

// Spread over the weeks in no order; every tenth id is of its own kind of event.
const at = (i) => w.now() - 1000 - ((i * 48271) % (WEEKS * 7 * 86400)) * 1000
const line = (i, more = {}) => JSON.stringify({
  id: `h${i}`,
  name: i % 10 ? 'Page Viewed' : 'Cart Viewed',
  time: new Date(at(i)).toISOString(),
  actor: { kind: 'member', value: `m${i % 4000}` },
  properties: { channel: i % 3 ? 'web' : 'till', amount: (i % 1000) / 4, ...more },
}) + '\n'
const words = (files, more = [], data = w.data) =>
  ['events', 'import', ...files, '--log-level', 'off', '--data', data, ...more]
const bring = (files, more, options) => run(words(files, more), options)
const fresh = (name) => join(w.folder, name)

/** The events of a source's names, as the log counts them and as the columns do. */
async function count(name) {
  const trend = { of: JSON.stringify(name), measure: 'events', from: '2000-01-01', to: '2100-01-01', by: 'all' }
  const log = await w.want(200, 'GET', `/v1/events/counts?name=${encodeURIComponent(name)}&from=2000-01-01&to=2099-12-31`)
  for (;;) {
    const r = await w.call('POST', '/v1/query', { trend })
    if (r.status === 200) {
      assert.equal(Number(r.body.trend.series[0].cells[0]), log.total, name)
      return log.total
    }
    assert.equal(r.status, 503, r.text)
    await new Promise((next) => setTimeout(next, 200))
  }
}

test('while a server runs, it says so, and a dry run looks all the same', async () => {
  await w.start()
  const r = bring([file])
  assert.equal(r.status, 1)
  assert.match(r.err, /stop it first/)
  const dry = bring([file], ['--dry-run'])
  assert.equal(dry.status, 0, dry.err)
  assert.match(dry.out, /60,000 events could be taken/)
  await w.stop()
})

test('killed again and again, and started again: nothing is lost, nothing is twice', async () => {
  let kills = 0
  for (let wait = 40; ; wait *= 1.25) {
    const child = spawn(program, words([file], ['--memory', '8']), { stdio: 'ignore' })
    const timer = setTimeout(() => child.kill('SIGKILL'), wait)
    const status = await new Promise((done) => child.on('close', done))
    clearTimeout(timer)
    if (status === 0) break
    assert.equal(status, null)
    kills += 1
  }
  assert.ok(kills > 1, `${kills} kills`)
  const again = JSON.parse(bring([file], ['--json']).out)
  assert.equal(again.there, EVENTS)
  assert.equal(again.taken, 0)
  await w.start()
  assert.equal(await count('Page Viewed'), (EVENTS * 9) / 10)
  assert.equal(await count('Cart Viewed'), EVENTS / 10)
  await w.stop()
  assert.equal(run(['events', 'verify', '--log-level', 'off', '--data', w.data]).status, 0)
  assert.equal(run(['check', '--log-level', 'off', '--data', w.data]).status, 0)
})

// On a disk that forgets what was not synced.  A slow sync leaves time to cut the power between two batches.
test('after power cuts in the middle each batch is there whole, and another start brings the rest', async () => {
  const lossy = join(process.env.TONGDIAN_BUILD ?? join(program, '..', '..', '..'), 'tests', 'lossy')
  const machine = new Machine({ binary: program, lossy, folder: fresh('machine') })
  const large = fresh('batches.ndjson'), few = fresh('few.ndjson')
  writeFileSync(large, Array.from({ length: 20000 }, (_, i) => line(i, { note: 'x'.repeat(2000) })).join(''))
  writeFileSync(few, line(1) + line(2))
  const more = ['--json', '--key-file', machine.keyFile, '--temp', w.folder]
  assert.equal(run(words([few], more, machine.data)).status, 0)
  machine.format('strict')
  machine.set('sleep_us=100000')
  const syncs = () => Number(machine.stat().syncs)
  for (let cut = 1; cut <= 3; cut++) {
    const from = syncs()
    const child = spawn(program, words([large], more, machine.data), { stdio: 'ignore', env: machine.lossyEnv({}) })
    const ended = new Promise((done) => child.on('close', done))
    while (child.exitCode === null && syncs() < from + 4 + cut) await new Promise((next) => setTimeout(next, 20))
    child.kill('SIGKILL')
    assert.equal(await ended, null)
    machine.reboot(cut, 'strict')
    machine.set('sleep_us=100000')
    const verify = ['events', 'verify', '--log-level', 'off', '--data', machine.data, '--key-file', machine.keyFile]
    assert.equal(run(verify).status, 0)
  }
  const last = JSON.parse(run(words([large], more, machine.data)).out)
  assert.ok(last.there > 2 && last.taken > 0, JSON.stringify(last))
  assert.equal(last.there + last.taken, 20000)
  const again = JSON.parse(run(words([large], more, machine.data)).out)
  assert.deepEqual([again.there, again.taken, again.repeated], [20000, 0, 0])
})

test('Ctrl-C ends it between two batches, says how to go on, and leaves no file behind', async () => {
  const data = fresh('stopped')
  const child = spawn(program, words(['-', file], [], data), { stdio: ['pipe', 'ignore', 'pipe'] })
  let err = ''
  child.stderr.on('data', (d) => (err += d))
  for (let i = 0; i < 20000; i += 1000) // it waits for more lines
    child.stdin.write(Array.from({ length: 1000 }, (_, k) => line(EVENTS + i + k)).join(''))
  await new Promise((next) => setTimeout(next, 500))
  child.kill('SIGINT')
  child.stdin.end(line(EVENTS + 20000))
  assert.equal(await new Promise((done) => child.on('close', done)), 1)
  assert.match(err, /history\.stopped/)
  assert.match(err, /run the same command again/)
  assert.deepEqual(readdirSync(data).sort(), ['events', 'tongdian.db'])
  assert.deepEqual(readdirSync(join(data, 'events')), ['log'])
})

test('files, packed ones and standard input come in together; refused lines are listed, and the status is 3', () => {
  const data = fresh('together')
  const packed = fresh('packed.ndjson.gz'), plain = fresh('plain.ndjson')
  writeFileSync(packed, gzipSync(line(1) + line(2)))
  writeFileSync(plain, line(2) + 'no event\n' + line(3))
  const r = run(words([packed, plain, '-'], ['--source', 'old-shop', '--json'], data), { input: gzipSync(line(4)) })
  assert.equal(r.status, 3, r.err)
  const said = JSON.parse(r.out)
  assert.deepEqual([said.read, said.taken, said.repeated, said.refused], [6, 4, 1, 1])
  assert.deepEqual(said.reasons, [{ reason: 'json.malformed', count: 1, file: 'plain.ndjson', line: 2 }])
  assert.match(readFileSync(said.rejects, 'utf8'), /^plain\.ndjson,2,,,json\.malformed,/m)
  const other = run(words([plain], ['--json', '--rejects', fresh('why.csv')], data)) // of another source: other events
  assert.equal(JSON.parse(other.out).taken, 2)
  assert.ok(existsSync(fresh('why.csv')))
})

test('wrong words change nothing and say what is right', () => {
  const data = fresh('wrong')
  for (const [more, said] of [
    [['--memory', '1'], /--memory takes megabytes, 8 to/],
    [['--fast'], /does not know --fast/],
    [['--map', join(source, 'maps', 'completejourney.yaml')], /no entry with target events/],
  ])
    assert.match(run(words([file], more, data)).err, said)
  assert.match(run(['events', 'import', '--data', data]).err, /^Usage: tongdian events import FILE/)
  assert.match(run(['events', '--help']).out, /events import FILE\.\.\. \[--source NAME\]/)
  assert.ok(!existsSync(data))
  const r = run(words([fresh('nowhere')], [], data))
  assert.equal(r.status, 1)
  assert.match(r.err, /intake\.file_not_found/)
})

test('a real chain\'s year of sales and coupons comes in through its map', async () => {
  const from = ['transactions_sample.csv.gz', 'coupon_redemptions.csv.gz'].map((f) => join(source, 'data', 'completejourney', f))
  const more = ['--map', join(source, 'maps', 'completejourney-events.yaml'), '--source', 'journey-2017', '--json']
  const r = bring(from, more)
  assert.equal(r.status, 0, r.err + r.out)
  assert.equal(JSON.parse(r.out).taken, 75000 + 2102)
  assert.equal(JSON.parse(bring(from, more).out).there, 75000 + 2102)
  await w.start()
  assert.equal(await count('Product Bought'), 75000)
  const ask = async (of, measure, more) => {
    const trend = { of: JSON.stringify(of), measure, from: '2017-01-01', to: '2018-01-01', by: 'all', ...more }
    return Number((await w.want(200, 'POST', '/v1/query', { trend })).trend.series[0].cells[0])
  }
  assert.equal(await ask('Product Bought', 'persons'), 2377)
  assert.equal(await ask('Coupon Redeemed', 'events'), 2102)
  assert.equal(await ask('Coupon Redeemed', 'persons'), 410)
  assert.equal(await ask('Product Bought', 'sum', { number: 'sales' }), 233935.24)
  await w.stop()
})

test('memory stays within its bound whatever the files hold', async () => {
  const data = fresh('memory'), large = fresh('large.ndjson')
  const fd = openSync(large, 'w')
  for (let i = 0; i < 240000; i += 1000)
    writeSync(fd, Array.from({ length: 1000 }, (_, k) => line(i + k, { note: 'x'.repeat(1000) })).join(''))
  closeSync(fd)
  const child = spawn(program, words([large], ['--memory', '8'], data), { stdio: 'ignore' })
  let peak = 0
  const look = setInterval(() => {
    try {
      peak = Math.max(peak, Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1] ?? 0))
    } catch { /* it has ended */ }
  }, 5)
  const status = await new Promise((done) => child.on('close', done))
  clearInterval(look)
  assert.equal(status, 0)
  assert.ok(peak > 0 && peak < 150 * 1024, `${peak} KiB for 290 MB of events`)
  rmSync(large)
})
