// bench/ingest.mjs -- events taken in: what each stage costs, by the C API and over HTTP, beside other stores.
//
// Needs: bench/events_bench tests/soak
// Peers: clickhouse
// Usage: node bench/ingest.mjs PROGRAM EVENTS_BENCH SOAK [options]     (normally `./run bench ingest [options]`)
//   --events N     of the C API (2000000)      --persons N  (a fiftieth of the events)     --rounds N  (3)
//   --http N       events over HTTP, of each batch size (1000000)
//   --batches N[,N...]  events of a batch over HTTP (100,200,300,400,500)    --connections N  (32)
//   --peer N       events that each peer takes, in batches of 200 (20000)
//   --only WORD[,WORD...]  of: api http fair peers (all)
//
// C API: encoded events go to the log in batches of 8,192, each synced, and to the engine once they are on disk; all
// is written to files and merged to one per week.  Shown is the processor time of each thread per event, without
// the encoding, which is beside it; "the log alone" is the same without an engine.  HTTP: JSON batches to a server
// with the engine, each acknowledged once it is on disk; the load generator runs beside it.  DuckDB takes each batch
// as one statement from a file of JSON into a table with a primary key, ClickHouse as one JSONEachRow insert over
// HTTP, which neither syncs nor looks for repeated ids.  Fair: a question every tenth of a second while events come in.
//
// Prints tables and writes build/bench.json: [{bench, name, value, unit, peer, peer_value, ratio, is, bound, met}].  What is compared is the
// processor time: who else runs on the machine changes the rates.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { ClickHouse, DuckDb } from './events/sides.mjs'
import { makeKey, startServer } from './server.mjs'
import { report, verdict } from './report.mjs'

const PARTS = ['api', 'http', 'fair', 'peers']
const ORIGIN_MS = 345600000 // a Monday
const LINES = 20 // of the script; every request has ids of its own
const PEER_BATCH = 200
const o = readOptions(process.argv.slice(2))
const folder = mkdtempSync(join(tmpdir(), 'tongdian-ingest-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

function readOptions([program, bench, soak, ...words]) {
  const read = { program, bench, soak, events: 2000000, rounds: 3, http: 1000000, connections: 32, peer: 20000 }
  const numbers = ['events', 'persons', 'rounds', 'http', 'connections', 'peer']
  let batches = '100,200,300,400,500', only = PARTS.join(',')
  while (words.length > 0) {
    const name = words.shift().replace(/^--/, '')
    if (name === 'batches') batches = words.shift()
    else if (name === 'only') only = words.shift()
    else if (numbers.includes(name)) read[name] = Number(words.shift())
    else throw new Error(`there is no option --${name}`)
  }
  read.persons ??= Math.max(1, Math.round(read.events / 50))
  read.batches = batches.split(',').map(Number)
  read.only = only.split(',')
  if (![...numbers.map((n) => read[n]), ...read.batches].every((n) => Number.isInteger(n) && n > 0)) throw new Error('a number is wrong')
  if (!read.only.every((part) => PARTS.includes(part))) throw new Error(`--only takes ${PARTS}`)
  return read
}

// ---- what is said ------------------------------------------------------------------------------------

const BOUNDS = [ /* what is asked */
  { of: /^C API: events per second and core$/, least: 2_000_000 },
  { of: /^C API, the log alone: events per second and core$/, least: 5_000_000 },
  { of: /^HTTP in batches of \d+$/, least: 250_000 },
]
const rows = []
function row(name, value, unit, peer = '', peerValue = null) {
  const round = (n) => (n === null ? null : Number(n.toFixed(2)))
  rows.push({ name, value: round(value), unit, peer, peer_value: round(peerValue), ratio: peerValue === null ? null : round(value / peerValue), ...verdict(BOUNDS.find(({ of }) => of.test(name)), value, peer, peerValue) })
}
const number = (n) => Math.round(n).toLocaleString('en-US')
const line = (name, ...columns) => console.log(name.padEnd(58) + columns.map((c) => String(c).padStart(12)).join(''))
const heading = (text, ...columns) => {
  console.log('')
  line(text, ...columns)
}
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1]
const sum = (list) => list.reduce((a, b) => a + b, 0)

// ---- the C API ---------------------------------------------------------------------------------------

const STAGES = {
  append: "append: checksum, the actors' hashes, a copy for the engine",
  'events-sync': 'events-sync: frames written, group fdatasync',
  'events-keep': 'events-keep: index of full segments, room for the next',
  'engine-apply': 'engine-apply: decoding, dictionaries, repeated ids, slices',
  'engine-keep': 'engine-keep: slices to files, files to one per week',
}

/** Nanoseconds of processor per event by stage, and events per second of wall time until all is acknowledged. */
function load(from, mode) {
  const data = join(folder, 'loaded')
  const said = JSON.parse(execFileSync(o.bench, ['load', from, data, String(ORIGIN_MS), mode], { stdio: ['ignore', 'pipe', 'ignore'] }))
  rmSync(data, { recursive: true, force: true })
  const each = (seconds) => (seconds * 1e9) / said.events
  const stages = { append: each(said.appending_s) }
  for (const [name, seconds] of Object.entries(said.threads_s)) stages[name] = each(seconds)
  return { written: said.written_bytes / said.events, stages, encode: each(said.encode_cpu_s), rate: said.events / said.load_s, events: said.events }
}

function api() {
  const from = join(folder, 'rows')
  execFileSync(o.bench, ['generate', String(o.events), String(o.persons), from])
  const runs = { engine: [], log: [] }
  for (let round = 0; round < o.rounds; round++) for (const mode of ['engine', 'log']) runs[mode].push(load(from, mode))
  const middle = (mode, pick) => median(runs[mode].map(pick))
  heading(`C API: ${number(runs.log[0].events)} events, medians of ${o.rounds} rounds; ns of processor per event`, 'with engine', 'log alone')
  for (const [stage, text] of Object.entries(STAGES)) {
    const of = (mode) => middle(mode, (run) => run.stages[stage] ?? 0)
    line(`  ${text}`, Math.round(of('engine')), of('log') === 0 ? '' : Math.round(of('log')))
    row(`C API: ${stage}`, of('engine'), 'ns')
  }
  const total = (mode) => middle(mode, (run) => sum(Object.values(run.stages)))
  line('  together', Math.round(total('engine')), Math.round(total('log')))
  line('  events/s per core', number(1e9 / total('engine')), number(1e9 / total('log')))
  line('  events/s, wall', number(middle('engine', (run) => run.rate)), number(middle('log', (run) => run.rate)))
  line('  beside it: building and encoding an event', Math.round(middle('engine', (run) => run.encode)), '')
  const written = middle('engine', (run) => run.written)
  line('  bytes written into columns per event, until merged', written.toFixed(1))
  row('C API: bytes written into columns per event', written, 'B')
  row('C API: all stages', total('engine'), 'ns')
  row('C API: events per second and core', 1e9 / total('engine'), '/s')
  row('C API, the log alone: all stages', total('log'), 'ns')
  row('C API, the log alone: events per second and core', 1e9 / total('log'), '/s')
}

// ---- over HTTP ---------------------------------------------------------------------------------------

const NAMES = ['Page Viewed', 'Page Viewed', 'Page Viewed', 'Product Viewed', 'Product Viewed', 'Product Added',
  'Store Visited', 'App Opened', 'Coupon Claimed', 'Order Completed']
const CHANNELS = ['web', 'push', 'ad', 'sms', 'email', 'mini-program', 'shop']
const PERSONS = 200000
let state = 7
const below = (n) => (state = (state * 48271) % 2147483647) % n

function event(id) {
  const name = NAMES[below(NAMES.length)]
  const shop = below(4) === 0
  const properties = { channel: CHANNELS[below(7)], city: `city ${1 + below(300)}` }
  if (/Product|Order/.test(name)) properties.sku = `SKU-${String(1 + below(20000)).padStart(6, '0')}`
  if (/Order|Added/.test(name)) properties.amount = 1 + below(50000) / 100
  return {
    id, name, time: new Date(Date.now() - below(3600000)).toISOString(),
    actor: { kind: 'member', value: String(1000000 + below(PERSONS)) }, ...(shop && { store: `S${below(500)}` }), properties,
  }
}

// $N is the number of the request.
const batchOf = (size) => Array.from({ length: size }, (_, i) => event(`$N-${i}`))

async function serve() {
  const data = join(folder, 'data')
  const key = makeKey(o.program, data)
  return { key, ...(await startServer(o.program, data)) }
}

/** Nanoseconds of processor of the server's threads, by name. */
function spent(pid) {
  const of = {}
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const read = (what) => readFileSync(`/proc/${pid}/task/${task}/${what}`, 'utf8').trim()
    of[read('comm')] = (of[read('comm')] ?? 0) + Number(read('schedstat').split(' ')[0])
  }
  return of
}

let asked = 0 // requests so far: each has ids of its own
function wordsOf(server, size) {
  const script = join(folder, 'script')
  const body = () => JSON.stringify({ source: 'bench', events: batchOf(size) })
  writeFileSync(script, Array.from({ length: LINES }, () => `POST /v1/events 200 ${body()}\n`).join(''))
  const requests = Math.ceil(o.http / size)
  asked += requests
  return ['--port', server.port, '--script', script, '--connections', o.connections, '--requests', requests,
    '--base', asked - requests, '--header', `Authorization: Bearer ${server.key}`].map(String)
}

function readSoak(text, size) {
  const found = /rate (\d+)\/s {2}p50 ([\d.]+) ms {2}p99 ([\d.]+) ms/.exec(text)
  if (found === null) throw new Error(text)
  return { rate: Number(found[1]) * size, p50: found[2], p99: found[3] }
}

function drive(server, size) {
  const words = wordsOf(server, size)
  const before = spent(server.child.pid)
  const run = spawnSync(o.soak, words)
  const after = spent(server.child.pid)
  const each = {}
  for (const [name, ns] of Object.entries(after)) {
    const per = (ns - (before[name] ?? 0)) / (Math.ceil(o.http / size) * size)
    if (per >= 1) each[name] = per
  }
  return { ...readSoak(run.stdout.toString() + run.stderr.toString(), size), each }
}

async function http() {
  const server = await serve()
  heading(`HTTP: JSON, durable, the load generator beside it on ${cpus().length} processors`, 'events/s', 'p50 ms', 'p99 ms', 'server ns')
  for (const size of o.batches) {
    const got = drive(server, size)
    const threads = Object.entries(got.each).sort((a, b) => b[1] - a[1])
    line(`  batches of ${size}`, number(got.rate), got.p50, got.p99, Math.round(sum(Object.values(got.each))))
    console.log(`    ${threads.map(([name, ns]) => `${name} ${Math.round(ns)}`).join(', ')}`)
    row(`HTTP in batches of ${size}`, got.rate, '/s')
    row(`HTTP in batches of ${size}: p99 of a batch`, Number(got.p99), 'ms')
    for (const [name, ns] of threads) row(`HTTP in batches of ${size}: ${name}`, ns, 'ns')
  }
  server.child.kill('SIGKILL')
  return server
}

// ---- questions while events come in ----------------------------------------------------------------------

const ASK_MS = 100
const DAY_MS = 86400000
const dayOf = (ms) => new Date(ms).toISOString().slice(0, 10)

/** Milliseconds of one question about everything so far. */
async function ask(server) {
  const question = { trend: { of: '"Order Completed"', measure: 'persons', breakdown: ['channel'], top: 7,
    from: dayOf(Date.now() - 2 * DAY_MS), to: dayOf(Date.now() + DAY_MS), by: 'hour' } }
  const began = performance.now()
  const reply = await fetch(`http://127.0.0.1:${server.port}/v1/query`, {
    method: 'POST', headers: { authorization: `Bearer ${server.key}`, 'content-type': 'application/json' }, body: JSON.stringify(question),
  })
  const text = await reply.text()
  if (reply.status !== 200) throw new Error(text)
  return performance.now() - began
}

/** Asks every tenth of a second for as long as `going` says. */
async function askOn(server, going) {
  const took = []
  while (going()) {
    const ms = await ask(server)
    took.push(ms)
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, ASK_MS - ms)))
  }
  return took.sort((a, b) => a - b)
}

async function driveAsked(server, size) {
  const child = spawn(o.soak, wordsOf(server, size))
  let text = '', ends = false
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => (text += bytes))
  const ended = new Promise((resolve) => child.on('close', resolve)).then(() => (ends = true))
  const took = await askOn(server, () => !ends)
  await ended
  return { ...readSoak(text, size), took }
}

async function fair() {
  const server = await serve()
  const size = o.batches.at(-1)
  drive(server, size)
  const alone = drive(server, size)
  const beside = await driveAsked(server, size)
  const until = performance.now() + 5000
  const quiet = await askOn(server, () => performance.now() < until)
  const at = (list, share) => list[Math.floor((list.length - 1) * share)]
  heading(`HTTP: batches of ${size}, and a question every ${ASK_MS} ms`, 'events/s', 'question p50', 'p99')
  line('  events alone', number(alone.rate))
  line('  both', number(beside.rate), at(beside.took, 0.5).toFixed(1), at(beside.took, 0.99).toFixed(1))
  line('  questions alone, over all of it', '', at(quiet, 0.5).toFixed(1), at(quiet, 0.99).toFixed(1))
  row('events while questions are asked', beside.rate, '/s', 'without questions', alone.rate)
  row('a question while events come in: p50', at(beside.took, 0.5), 'ms', 'while none do', at(quiet, 0.5))
  row('a question while events come in: p99', at(beside.took, 0.99), 'ms', 'while none do', at(quiet, 0.99))
  server.child.kill('SIGKILL')
}

// ---- the peers ---------------------------------------------------------------------------------------

/** Rows as the peers take them: one object per event, everything a column. */
function peerBatches() {
  let id = 0
  const flat = ({ actor, properties, store = '', ...rest }) =>
    ({ source: 'bench', ...rest, actor: `${actor.kind}:${actor.value}`, store, sku: '', amount: 0, ...properties })
  return Array.from({ length: Math.ceil(o.peer / PEER_BATCH) }, () =>
    Array.from({ length: PEER_BATCH }, () => JSON.stringify(flat(event(String(id++))))))
}

async function duckdb(batches) {
  const side = new DuckDb({ bench: o.bench, folder: join(folder, 'duckdb') })
  if (!(await side.start())) return null
  const files = batches.map((batch, i) => {
    const path = join(folder, `batch-${i}.json`)
    writeFileSync(path, batch.join('\n') + '\n')
    return path
  })
  await side.ask(`attach '${join(folder, 'duckdb', 'events.db')}' as store`)
  await side.ask(`create table store.events (source varchar, id varchar, name varchar, time timestamp, actor varchar, store varchar,
    channel varchar, city varchar, sku varchar, amount decimal(18, 2), primary key (source, id))`)
  const columns = `{source: 'VARCHAR', id: 'VARCHAR', name: 'VARCHAR', time: 'TIMESTAMP', actor: 'VARCHAR', store: 'VARCHAR',
    channel: 'VARCHAR', city: 'VARCHAR', sku: 'VARCHAR', amount: 'DECIMAL(18, 2)'}`
  return take(side, files.map((path) => `insert or ignore into store.events select * from
    read_json('${path}', format = 'newline_delimited', columns = ${columns})`))
}

async function clickhouse(batches) {
  const side = new ClickHouse({ bench: o.bench, folder: join(folder, 'clickhouse') })
  if (!(await side.start())) return null
  await side.ask(`create table events (source String, id String, name String, time String, actor String, store String, channel String,
    city String, sku String, amount Float64, day Date default toDate(substring(time, 1, 10))) engine = MergeTree
    partition by toMonday(day) order by (actor, time)`)
  return take(side, batches.map((batch) => `insert into events (source, id, name, time, actor, store, channel, city, sku, amount)
    format JSONEachRow ${batch.join(' ')}`))
}

/** One batch after the other. */
async function take(side, statements) {
  const took = { ms: 0, cpu_ms: 0 }
  for (const sql of statements) {
    const { ms, cpu_ms } = await side.ask(sql)
    took.ms += ms
    took.cpu_ms += cpu_ms
  }
  await side.stop()
  const events = statements.length * PEER_BATCH
  return { name: `${side.name} ${side.version}`, rate: (events * 1000) / took.ms, ns: (took.cpu_ms * 1e6) / events }
}

async function peers() {
  const mine = rows.filter(({ name }) => name.startsWith(`HTTP in batches of ${PEER_BATCH}:`) && !name.includes('p99'))
  const batches = peerBatches()
  heading(`peers: one batch of ${PEER_BATCH} after the other`, 'events/s', 'ns per event')
  if (mine.length > 0) line('  Tongdian over HTTP, from above', '', Math.round(sum(mine.map(({ value }) => value))))
  for (const peer of [duckdb, clickhouse]) {
    const got = await peer(batches)
    if (got === null) {
      line(`  ${peer.name} is not installed`)
      continue
    }
    line(`  ${got.name}`, number(got.rate), Math.round(got.ns))
    if (mine.length > 0) row('processor per event of a batch', sum(mine.map(({ value }) => value)), 'ns', got.name, got.ns)
    row(`a batch of ${PEER_BATCH} after the other: ${got.name}`, got.rate, '/s')
  }
}

console.log(`load of the machine at the start ${loadavg()[0].toFixed(2)}; ${cpus()[0].model}`)
if (o.only.includes('api')) api()
if (o.only.includes('http')) await http()
if (o.only.includes('fair')) await fair()
if (o.only.includes('peers')) await peers()
mkdirSync('build', { recursive: true })
for (const { name, bound, met } of rows) if (met === false) console.log(`\nNOT ${bound}: ${name}`)
report('ingest', rows)
process.exit(0)
