// bench/records.mjs -- the write path over HTTP beside the raw rate of the same statements, in one run.
//
// Needs: bench/records_raw tests/soak
// Usage: node bench/records.mjs PROGRAM RAW SOAK [PEOPLE [engine]]
//   PROGRAM  the tongdian binary (release build)     RAW   build/.../bench/records_raw
//   SOAK     the load generator (tests/soak)         PEOPLE coupons per kind of write (200000)
//   engine   only what the event engine costs: two servers, with it and without, loaded in turn
// Prints a table and writes build/bench.json: [{name, value, unit, peer, peer_value, ratio}].
// Latencies at full load are of a closed loop with 256 connections; those at half load of an open loop
// at half that rate, counted from the moment that a request was due.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeKey, startServer, stopServer } from './server.mjs'
import { report } from './report.mjs'

const [program, raw, soak] = process.argv.slice(2)
const people = 2 * Math.round(Number(process.argv[5] ?? 200000) / 2)
const CONNECTIONS = 256
const folder = mkdtempSync(join(tmpdir(), 'tongdian-bench-'))
let data = join(folder, 'data')
const rows = []

function row(name, value, unit, peer = '', peerValue = null) {
  const ratio = peerValue === null ? null : Number((value / peerValue).toFixed(3))
  value = Number(value.toFixed(3))
  rows.push({ name, value, unit, peer, peer_value: peerValue, ratio })
  const beside = peerValue === null ? '' : `${peer} ${Math.round(peerValue)}  ratio ${ratio}`
  console.log(`${name.padEnd(44)} ${String(value).padStart(10)} ${unit.padEnd(8)} ${beside}`)
}

// ---- the server ------------------------------------------------------------------------------------

let key = makeKey(program, data) // of the server that is asked

async function start(more = []) {
  const began = performance.now()
  const started = await startServer(program, data, more)
  return { ...started, seconds: (performance.now() - began) / 1000 }
}

let server

// A figure of /proc/PID/status in MB.  What a process has of its own is RssAnon; RssFile is the page cache
// of the data, mapped for reading, which the system takes back when it needs it.
function memory(name) {
  const status = readFileSync(`/proc/${server.child.pid}/status`, 'utf8')
  return Number((Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)[1]) / 1024).toFixed(1))
}

// Microseconds of processor that the server's threads have taken: all of them, and those of the event engine.
function spent() {
  const sum = { all: 0, engine: 0 }
  for (const task of readdirSync(`/proc/${server.child.pid}/task`)) {
    const read = (what) => readFileSync(`/proc/${server.child.pid}/task/${task}/${what}`, 'utf8')
    const us = Number(read('schedstat').split(' ')[0]) / 1000
    sum.all += us
    if (read('comm').startsWith('engine-')) sum.engine += us
  }
  return sum
}

async function call(method, path, body) {
  const options = {
    method,
    headers: { authorization: `Bearer ${key}`, 'idempotency-key': crypto.randomUUID() },
    body: body === undefined ? undefined : JSON.stringify(body),
  }
  const ask = () => fetch(`http://127.0.0.1:${server.port}/v1${path}`, options)
  const reply = await ask().catch(ask) // the kept connection was idle for too long, and is closed
  if (!reply.ok) throw new Error(`${method} ${path}: ${await reply.text()}`)
  return reply.json()
}

// ---- load ------------------------------------------------------------------------------------------

function load(line, requests, extra = []) {
  const script = join(folder, 'script')
  writeFileSync(script, line + '\n')
  const text = execFileSync(soak, [
    '--port', String(server.port), '--script', script, '--connections', String(CONNECTIONS),
    '--requests', String(requests), '--header', `Authorization: Bearer ${key}`,
    '--idempotency', '1', ...extra,
  ]).toString()
  const found = /rate (\d+)\/s {2}p50 ([\d.]+) ms {2}p99 ([\d.]+) ms/.exec(text)
  return { rate: Number(found[1]), p50: Number(found[2]), p99: Number(found[3]) }
}

// A closed loop at full load, then an open loop at half that rate.
function both(name, line, halfLine, peerRate, base = 0, halfBase = 0) {
  const full = load(line, people, ['--base', String(base)])
  row(`${name} over HTTP`, full.rate, '/s', 'raw', peerRate)
  row(`${name} p50 at full load`, full.p50, 'ms')
  row(`${name} p99 at full load`, full.p99, 'ms')
  const rate = String(Math.round(full.rate / 2))
  const half = load(halfLine, people, ['--base', String(halfBase), '--rate', rate])
  row(`${name} p50 at half load`, half.p50, 'ms')
  row(`${name} p99 at half load`, half.p99, 'ms')
}

// A script that reads a thousand people one by one.
async function profiles() {
  const ids = []
  for (let page = '/people?limit=100'; ids.length < 1000; ) {
    const { items, next } = await call('GET', page)
    ids.push(...items.map((person) => person.id))
    if (!next) break
    page = `/people?limit=100&cursor=${next}`
  }
  return ids.map((id) => `GET /v1/people/${id} 200`).join('\n')
}

const line = '{"product":"P1","amount_fen":2500}'
const selling = (store) =>
  `POST /v1/sales 201 {"store":"${store}","till":"T1","number":"$I",` +
  `"lines":[${line},${line},${line}],"coupons":[{"coupon":"$P"}]}`

// A shop with a product, and what makes templates of coupons.
async function shop() {
  const store = (await call('POST', '/stores', { code: 'S1', name: 'one' })).id
  await call('POST', '/products', { code: 'P1', name: 'product' })
  const template = async (code) =>
    (
      await call('POST', '/coupon-templates', {
        code, name: 'ten off', kind: 'amount', amount_fen: 1000, per_person: 1,
        claim_from: '2020-01-01T00:00:00Z', claim_to: '2090-01-01T00:00:00Z',
        valid_from: '2020-01-01T00:00:00Z', valid_to: '2090-01-01T00:00:00Z',
      })
    ).id
  return { store, template }
}

// ---- the run ---------------------------------------------------------------------------------------

async function writes() {
  server = await start()
  const rates = Object.fromEntries(
    execFileSync(raw, [join(folder, 'raw'), String(people), String(CONNECTIONS)])
      .toString()
      .trim()
      .split('\n')
      .map((line) => line.split(' '))
      .map(([name, rate]) => [name, Number(rate)]),
  )
  const { store, template } = await shop()
  const claims = async (code) =>
    `POST /v1/coupon-templates/${await template(code)}/claims 201 {"phone":"138$N"}`
  const enrolling = load(await claims('T0'), people) // coupons 1 .. people; makes the people
  row('claims that enrol a new person over HTTP', enrolling.rate, '/s')
  both('claims of one template', await claims('T1'), await claims('T2'), rates.claim)
  // Coupons are numbered in the order of the claims: T0's are 1 to people, T1's and T2's follow.
  const redeem = `POST /v1/redemptions 201 {"coupon":"$P","store":"${store}"}`
  both('redemptions', redeem, redeem, rates.redeem, 0, people)
  const sale = selling(store)
  // The second half of T2's coupons is left for the sales at half load.
  const sold = load(sale, people / 2, ['--base', String(2 * people)])
  row('sales with redemption over HTTP', sold.rate, '/s', 'raw', rates.sell)
  row('sales with redemption p50 at full load', sold.p50, 'ms')
  row('sales with redemption p99 at full load', sold.p99, 'ms')
  const soldHalf = load(sale, people / 2, ['--base', String(2.5 * people), '--rate', String(Math.round(sold.rate / 2))])
  row('sales with redemption p50 at half load', soldHalf.p50, 'ms')
  row('sales with redemption p99 at half load', soldHalf.p99, 'ms')
  row('profile point reads', load(await profiles(), people).rate, '/s')
  row('wallets by phone, three coupons each', load(`POST /v1/wallets 200 {"phone":"138$N"}`, people).rate, '/s')
  row('private memory under all this load', memory('RssAnon'), 'MB')
  await stopServer(server)
  server = await start()
  row('start-up on this data', Number(server.seconds.toFixed(3)), 's')
  await stopServer(server)
}

// The real chain: what one shop's machine would hold.
async function chain() {
  data = join(folder, 'demo')
  execFileSync(program, ['demo', '--once', '--data', data], { stdio: 'ignore' })
  key = makeKey(program, data)
  server = await start()
  row('start-up on the demo data', Number(server.seconds.toFixed(3)), 's')
  for (const path of ['/stores', '/products', '/people', '/campaigns', '/coupon-templates', '/overview', '/audit', '/jobs'])
    await call('GET', path)
  await call('POST', '/people/search', { q: '0001' })
  await call('GET', `/people/${(await call('GET', '/people?limit=1')).items[0].id}/timeline`)
  await call('POST', '/people', { phone: '13800000001' })
  await call('POST', '/wallets', { phone: '13800000001' })
  await call('POST', '/stores', { code: 'BENCH', name: 'bench' })
  row('private memory after one request of a kind', memory('RssAnon'), 'MB')
  row('pages of the data mapped beside it', memory('RssFile'), 'MB')
  row('size of the program', Number((statSync(program).size / 1e6).toFixed(2)), 'MB')
  await stopServer(server)
}

const ROUNDS = 10
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1]

/** What the event engine costs: two servers, with it and without, loaded in turn. */
async function engine() {
  const sides = []
  for (const on of [1, 0]) {
    data = join(folder, `engine-${on}`)
    key = makeKey(program, data)
    server = await start(['--engine', String(on)])
    const { store, template } = await shop()
    sides.push({ server, key, store, template, seen: {} })
  }
  const count = people / 8
  for (let round = 0; round < ROUNDS; round++)
    for (const side of round % 2 ? [...sides].reverse() : sides) {
      server = side.server
      key = side.key
      const claims = `POST /v1/coupon-templates/${await side.template(`T${round}`)}/claims 201 {"phone":"138$N"}`
      for (const [name, script] of [['claims', claims], ['sales with redemption', selling(side.store)]]) {
        const before = spent()
        const loaded = load(script, count, ['--base', String(round * count)])
        ;(side.seen[name] ??= []).push({ ...loaded, us: (spent().all - before.all) / count, engine_us: (spent().engine - before.engine) / count })
      }
    }
  const [on, off] = sides.map((side) => (name, what) => median(side.seen[name].map((one) => one[what])))
  for (const name of Object.keys(sides[0].seen)) {
    row(`${name}, with the event engine`, on(name, 'rate'), '/s', 'without', off(name, 'rate'))
    row(`${name}, with the event engine, p99`, on(name, 'p99'), 'ms', 'without', off(name, 'p99'))
    row(`${name}, with the event engine, processor`, on(name, 'us'), 'us', 'without', off(name, 'us'))
    row(`${name}, the event engine's threads alone`, on(name, 'engine_us'), 'us')
  }
  for (const side of sides) {
    server = side.server
    row(`private memory ${side === sides[0] ? 'with' : 'without'} it`, memory('RssAnon'), 'MB')
    await stopServer(server)
  }
}

console.log(`${cpus().length} x ${cpus()[0].model}; ${people} of each; ${CONNECTIONS} connections\n`)
if (process.argv[6] !== 'engine') {
  await writes()
  await chain()
}
await engine()
mkdirSync('build', { recursive: true })
report('records', rows)
rmSync(folder, { recursive: true })
