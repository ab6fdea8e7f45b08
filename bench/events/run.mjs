// bench/events/run.mjs -- the run of bench/events.mjs: options, data, rounds, tables.
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { report, verdict } from '../report.mjs'
import { KINDS, PER_KIND } from './random.mjs'
import { ClickHouse, copyData, dropCache, DuckDb, removeData, spent, THREADS, Tongdian } from './sides.mjs'

const HOME = 'build/bench-data'
const PARTS = ['questions', 'random', 'cold', 'start', 'ingest', 'changed']
const ASKS = 3 /* of each question in a round, of Tongdian, while they are short */
const RANDOM_ROUNDS = 2
const COLD_ROUNDS = 5
const LARGE = 50_000_000 /* events: from here on the ratios count */
const SHORT_MS = 5 /* below, no question takes longer */
const SLOWER_MAX = 1.5 /* of links and erasures of one person in a hundred each */
const DISK_PER_EVENT = 320 /* bytes, at most: the log, a copy of it, columns, the peers' tables and what they are loaded from */

// ---- options -----------------------------------------------------------------------------------------

function readOptions([program, bench, soak, ...words]) {
  const o = { program, bench, soak, kernels: 'auto', events: Number(process.env.TONGDIAN_BENCH_EVENTS ?? 10_000_000), rounds: 5, only: PARTS }
  const fail = (text) => {
    console.error(`bench: ${text}: see the head of bench/events.mjs`)
    process.exit(2)
  }
  const numbers = { '--events': 'events', '--persons': 'persons', '--rounds': 'rounds' }
  while (words.length > 0) {
    const word = words.shift()
    if (word === '--quick') o.events = 1_000_000
    else if (word === '--large') o.events = 100_000_000
    else if (word === '--fresh') o.fresh = true
    else if (word === '--remove') o.remove = true
    else if (word === '--kernels') o.kernels = words.shift() ?? ''
    else if (word === '--only') o.only = (words.shift() ?? '').split(',')
    else if (word in numbers) o[numbers[word]] = Number(words.shift())
    else fail(`there is no option ${word}`)
  }
  o.persons ??= Math.max(1, Math.round(o.events / 50))
  if (!Object.values(numbers).every((name) => Number.isInteger(o[name]) && o[name] > 0)) fail('a number is wrong')
  if (!o.only.every((part) => PARTS.includes(part))) fail(`--only takes ${PARTS}`)
  return o
}

// ---- what is said ------------------------------------------------------------------------------------

/** What is asked of rows by their name: of the value, or of how many `times` it DuckDB takes; questions have their own. */
const BOUNDS = [
  { of: /^cold: /, times: 5, large: true },
  { of: /^bytes per event: what the peers store too$/, most: 7, large: true },
  { of: /^bytes per event: ids/, most: 10, large: true },
  { of: /^the log alone: a core$/, least: 5, large: true },
  { of: /^log and engine, until the last one is visible: a core$/, least: 2, large: true },
  { of: /^events over HTTP$/, least: 250_000 },
  { of: /^after a clean stop: answers questions$/, most: 0.5 },
  { of: /^after kill -9 .*: answers questions$/, most: 3 },
  { of: /^memory and mapped files of the server, at most$/, most: 1024 },
  { of: /: processor, as much as before$/, most: SLOWER_MAX },
]
const rows = []
let isLarge = false
const boundOf = (name) => BOUNDS.find(({ of, large }) => of.test(name) && (isLarge || !large))

function row(name, value, unit, peer = '', peerValue = null, bound = boundOf(name)) {
  const round = (n) => (n === null ? null : Number(n.toFixed(4)))
  const ratio = peerValue === null ? null : round(value / peerValue)
  rows.push({ name, value: round(value), unit, peer, peer_value: round(peerValue), ratio, ...verdict(bound, value, peer, peerValue) })
}

function sayAsked() {
  heading('what is asked', 'is', 'of', 'met')
  for (const { name, is, bound, met } of rows.filter((r) => r.bound !== undefined)) line(`  ${name}`, brief(is), bound, met ? 'yes' : 'NO')
}

const began = performance.now()
const progress = (text) => console.error(`[${((performance.now() - began) / 1000).toFixed(0)} s] ${text}`)
const number = (value, digits = 0) =>
  value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
const line = (name, ...columns) => console.log(name.padEnd(52) + columns.map((c) => String(c).padStart(11)).join(''))
const heading = (text, ...columns) => {
  console.log('')
  line(text, ...columns)
}
const brief = (ms) => (ms < 100 ? ms.toFixed(2) : ms.toFixed(0))
const sorted = (list) => [...list].sort((a, b) => a - b)
const median = (list) => sorted(list)[list.length >> 1]

let differ = 0
function mustAgree(name, ours, theirs, peer) {
  if (JSON.stringify(ours) === JSON.stringify(theirs)) return true
  const at = ours.findIndex((text, i) => text !== theirs[i])
  differ++
  console.log(`DIFFERENT from ${peer}: ${name}: ` + (at < 0 ? `${theirs.length} cells, Tongdian has ${ours.length}`
    : `Tongdian says "${ours[at]}", ${peer} "${theirs[at]}"; ${ours.length} and ${theirs.length} cells`))
  return false
}

/** A question that cannot be answered ends nothing but itself. */
function fails(question, error) {
  differ++
  console.log(`FAILED: ${question.name}: ${error.message}`)
}

// ---- the data ----------------------------------------------------------------------------------------

/** What the files were made by: when it changes they are made again. */
function stampOf(o) {
  const hash = createHash('sha256').update(JSON.stringify([o.events, o.persons]))
  for (const file of ['bench/events_world.c', 'bench/events_load.c', 'bench/events_bench.c', 'src/engine/part/part.h'])
    hash.update(readFileSync(file))
  return hash.digest('hex').slice(0, 16)
}

class Data {
  constructor(o) {
    this.o = o
    this.folder = join(process.cwd(), HOME, `events-${o.events}-${o.persons}`)
    this.store = join(this.folder, 'store', 'data')
    this.copy = join(this.folder, 'copy', 'data')
    this.file = join(this.folder, 'made.json')
    const stamp = stampOf(o)
    this.made = existsSync(this.file) ? JSON.parse(readFileSync(this.file)) : {}
    if (o.fresh || this.made.stamp !== stamp) {
      rmSync(this.folder, { recursive: true, force: true })
      this.made = { stamp }
    }
    this.checkRoom()
    for (const name of ['store', 'copy', 'raw']) mkdirSync(join(this.folder, name), { recursive: true })
  }

  checkRoom() {
    mkdirSync(HOME, { recursive: true })
    const { bavail, bsize } = statfsSync(HOME)
    const needs = this.made.loaded ? DISK_PER_EVENT / 2 : DISK_PER_EVENT
    if (bavail * bsize >= needs * this.o.events) return
    console.error(`bench: ${this.o.events} events need ${number((needs * this.o.events) / 1e9)} GB of disk, ${HOME} has ${number((bavail * bsize) / 1e9)}`)
    process.exit(2)
  }

  bench(...words) {
    const { status, stdout } = spawnSync(this.o.bench, words.map(String), { stdio: ['ignore', 'pipe', 'inherit'] })
    if (status !== 0) throw new Error(`events_bench ${words.join(' ')} failed`)
    return JSON.parse(stdout.toString())
  }

  /** Does it once; what it gives is remembered. */
  async once(name, text, make) {
    if (this.made[name] === undefined) {
      progress(text)
      const value = await make()
      this.made[name] = value ?? {}
      writeFileSync(`${this.file}.new`, JSON.stringify(this.made, null, 1))
      renameSync(`${this.file}.new`, this.file)
    }
    return this.made[name]
  }

  raw() {
    const folder = join(this.folder, 'raw')
    if (!existsSync(join(folder, 'done'))) {
      progress(`making ${number(this.o.events)} events`)
      this.bench('generate', this.o.events, this.o.persons, folder)
      writeFileSync(join(folder, 'done'), '')
    }
    return folder
  }

  /** The files that only the loading needs. */
  dropRaw() {
    rmSync(join(this.folder, 'raw'), { recursive: true, force: true })
  }

  async loadTongdian(origin) {
    const { key } = await this.once('key', 'making a data folder', () => {
      removeData(this.store)
      const words = ['key', 'add', 'bench', '--role', 'owner', '--data', this.store, '--log-level', 'off']
      return { key: execFileSync(this.o.program, words, { stdio: ['ignore', 'pipe', 'ignore'] }).toString().trim() }
    })
    this.key = key
    await this.once('logOnly', 'appending to a log alone', () => {
      const scratch = join(this.folder, 'scratch')
      mkdirSync(scratch, { recursive: true })
      const out = this.bench('load', this.raw(), scratch, origin, 'log', Math.min(this.o.events, 4_000_000))
      rmSync(scratch, { recursive: true })
      return out
    })
    return this.once('loaded', 'loading Tongdian', () => {
      rmSync(join(this.store, 'events'), { recursive: true, force: true })
      return this.bench('load', this.raw(), this.store, origin, 'engine')
    })
  }
}

async function loadDuckdb(data, duck, { DUCKDB_COLUMNS, DUCKDB_ORDERS }) {
  const names = Object.keys(DUCKDB_ORDERS)
  const from = (table, i) => (i > 0 ? `${names[0]}_file.${names[0]}` : `read_csv('${join(data.raw(), 'events.csv')}', header = false,
    columns = {${Object.entries(DUCKDB_COLUMNS).map(([name, type]) => `'${name}': '${type}'`)}})`)
  const loaded = await data.once('duckdb', 'loading DuckDB', async () => {
    const out = {}
    for (const [i, table] of names.entries()) {
      progress(`  its table in the order of ${DUCKDB_ORDERS[table]}`)
      const file = join(duck.folder, `${table}.duckdb`)
      rmSync(file, { force: true })
      const began = performance.now()
      await duck.ask(`attach '${file}' as ${table}_file`)
      await duck.ask(`create table ${table}_file.${table} as from ${from(table, i)} order by ${DUCKDB_ORDERS[table]}`)
      await duck.ask(`checkpoint ${table}_file`)
      out[table] = { seconds: (performance.now() - began) / 1000, bytes: statSync(file).size }
    }
    for (const table of names) await duck.ask(`detach ${table}_file`)
    return out
  })
  for (const table of names) {
    await duck.keep(`attach '${join(duck.folder, `${table}.duckdb`)}' as ${table}_file (read_only)`)
    await duck.keep(`create or replace view ${table} as from ${table}_file.${table}`)
  }
  return loaded
}

async function loadClickhouse(data, click, { CLICKHOUSE_COLUMNS, CLICKHOUSE_ORDERS }) {
  const columns = Object.entries(CLICKHOUSE_COLUMNS)
  const names = columns.map(([name]) => name)
  return data.once('clickhouse', 'loading ClickHouse', async () => {
    const out = {}
    for (const [table, order] of Object.entries(CLICKHOUSE_ORDERS)) {
      progress(`  its table in the order of ${order}`)
      const began = performance.now()
      await click.ask(`drop table if exists ${table}`)
      await click.ask(`create table ${table} (${columns.map((c) => c.join(' '))}, day Date default toDate(ts))
        engine = MergeTree partition by tuple() order by ${order}`)
      await click.insert(`${table} (${names})`, join(data.raw(), 'rows'))
      await click.ask(`optimize table ${table} final`)
      const { rows: [[bytes]] } = await click.ask(`select sum(bytes) from system.parts where active and table = '${table}'`)
      out[table] = { seconds: (performance.now() - began) / 1000, bytes: Number(bytes) }
    }
    return out
  })
}

// ---- asking ------------------------------------------------------------------------------------------

/** The way to ask a peer that is fastest once everything is in memory, and its answer. */
async function fastest(peer, ways, read) {
  let best = null
  for (const [name, sql] of Object.entries(ways)) {
    const runs = [await peer.ask(sql), await peer.ask(sql)]
    if (best === null || runs[1].ms < best.ms) best = { name, sql, ms: runs[1].ms, answer: read(runs[0].rows) }
  }
  return best
}

/** With a break-down to the top values: as many as have one answer, since equal ones may be cut in any order. */
async function settled(duck, question) {
  if (question.topSql === undefined || duck === null) return question
  const { top } = question.ask[0].trend
  const { rows: counts } = await duck.ask(question.topSql)
  let clear = top
  while (clear > 1 && counts.length > clear && Number(counts[clear - 1][0]) === Number(counts[clear][0])) clear--
  return clear === top ? question : { ...question.withTop(clear), least: question.least }
}

const peersOf = ({ duck, click }) => [
  duck && { side: duck, ways: 'sql', read: 'theirs' },
  click && { side: click, ways: 'click', read: 'clicks' },
].filter(Boolean)

/** The question in the form that the server knows: {ask, ours}, or {missing}. */
async function formOf(ours, { forms = [], ask, ours: read }) {
  let missing
  for (const form of forms) {
    missing = (await ours.ask(form.ask, true)).missing
    if (missing === undefined) return form
  }
  return ask === undefined ? { missing } : { ask, ours: read }
}

/** Warms up; the answers must agree. */
async function meet(sides, asking, peers) {
  const form = await formOf(sides.ours, asking)
  const question = { ...asking, ...form }
  const first = form.missing ? form : await sides.ours.ask(question.ask).then(() => sides.ours.ask(question.ask))
  const asked = { question, missing: first.missing, mine: [], theirs: peers.map(() => []), best: [] }
  for (const { side, ways, read } of peers) {
    const best = await fastest(side, question[ways], question[read])
    asked.best.push(best)
    if (!first.missing) mustAgree(question.name, question.ours(first.replies), best.answer, side.name)
  }
  if (first.missing && peers.length > 1) mustAgree(question.name, asked.best[0].answer, asked.best[1].answer, 'each other')
  return asked
}

async function round(sides, peers, asked) {
  const { question, mine, theirs, best } = asked
  for (let i = 0; i < ASKS && !asked.missing && (i === 0 || mine.at(-1).ms < 50); i++) mine.push(await sides.ours.ask(question.ask))
  for (const [i, { side }] of peers.entries()) theirs[i].push(await side.ask(best[i].sql))
}

const medians = (runs) => (runs.length === 0 ? { ms: NaN, cpu: NaN } : { ms: median(runs.map((r) => r.ms)), cpu: median(runs.map((r) => r.cpu_ms)) })

// ---- the parts of a run --------------------------------------------------------------------------------

/** What else ran on the machine meanwhile: wall times are worth less then. */
function sayOthers(from) {
  const to = spent()
  const others = (to.all - from.all - (to.own - from.own)) / ((performance.now() - from.at) / 1000) / cpus().length
  const share = Math.max(0, others * 100)
  row('processors that others used meanwhile', share, '%')
  console.log(`\nothers used ${share.toFixed(0)} % of the processors during these rounds${share > 7 ? ': look at the processor times rather than at the wall times' : ''}`)
}

async function questions(o, sides, list, mark = '') {
  const peers = peersOf(sides)
  const all = []
  for (const each of list) {
    const question = await settled(sides.duck, each)
    progress(`warming up: ${question.name}`)
    const asked = await meet(sides, question, peers).catch((error) => fails(question, error))
    if (asked !== undefined) all.push(asked)
  }
  const from = { ...spent(), at: performance.now() }
  for (let i = 0; i < o.rounds; i++) {
    progress(`round ${i + 1} of ${o.rounds}`)
    for (const asked of all) await round(sides, peers, asked)
  }
  sayOthers(from)
  const columns = peers.flatMap(({ side }) => [side.name, 'times', 'cpu', 'times'])
  heading(`milliseconds, warm${mark}`, 'wall', 'cpu', ...columns, 'at least')
  for (const asked of all) printQuestion(sides.ours, peers, asked, mark)
  return all
}

const share = (computes) => (computes === 'avx512' ? 1 : 3) /* without AVX-512 a third is asked */

/** Of large stores the ratio is judged, of others the time: there a ratio says how long everything else takes. */
const boundOfQuestion = ({ computes }, { least }) => (isLarge ? { times: least / share(computes) } : { most: SHORT_MS * share(computes) })

const saidOf = (row) => (row === undefined ? '' : row.met ? row.bound : `NOT ${row.bound}`)

function printQuestion(ours, peers, { question, missing, mine, theirs, best }, mark) {
  const name = question.name + mark
  const bound = mark === '' ? boundOfQuestion(ours, question) : undefined
  const our = medians(mine)
  const shown = missing ? ['not there', 'yet'] : [brief(our.ms), brief(our.cpu)]
  for (const [i, { side }] of peers.entries()) {
    const their = medians(theirs[i])
    const times = (a, b) => (missing ? '-' : (a / b).toFixed(1))
    shown.push(brief(their.ms), times(their.ms, our.ms), brief(their.cpu), times(their.cpu, our.cpu))
    if (missing) continue
    row(name, our.ms, 'ms', `${side.name} ${side.version}`, their.ms, bound)
    row(`${name}: processor`, our.cpu, 'ms', `${side.name} ${side.version}`, their.cpu)
  }
  if (peers.length === 0 && !missing) {
    row(name, our.ms, 'ms', '', null, bound)
    row(`${name}: processor`, our.cpu, 'ms')
  }
  line(question.name, ...shown, missing || mark !== '' ? '' : saidOf(rows.findLast((r) => r.name === name && r.bound !== undefined)))
  if (missing) console.log(`    ${missing.slice(0, 200)}`)
  if (process.env.TONGDIAN_BENCH_WAYS) console.log(`    ${peers.map(({ side }, i) => `${side.name}: ${best[i].name}`).join('; ')}`)
}

const tenth = (list) => sorted(list)[Math.floor(list.length / 10)]

/** How many of the random questions are within half of what the eight ones are asked for. */
function sayReached(o, kind, wall, ms) {
  if (!isLarge) return `${ms.filter((n) => n <= SHORT_MS).length} <= ${SHORT_MS} ms`
  const least = KINDS[kind] / 2
  return `${wall.filter((n) => n >= least).length} >= ${least}`
}

async function random(o, sides, make) {
  const peers = peersOf({ duck: sides.duck })
  heading('50 random questions of a kind, beside DuckDB', 'ms', 'worst ms', 'times', 'worst 10%', 'worst', 'cpu times', 'worst 10%', 'agree', 'at least')
  for (const kind of Object.keys(KINDS)) {
    const wall = [], cpu = [], ms = []
    let agree = 0, worst = { times: Infinity }
    for (const [i, each] of make(kind).entries()) {
      if (i % 10 === 0) progress(`random ${kind} ${i + 1}`)
      const before = differ
      const question = await settled(sides.duck, each)
      const asked = await meet(sides, question, peers).catch((error) => fails(question, error))
      if (asked === undefined) continue
      if (differ > before) console.log(`    ${JSON.stringify(question.ask)}\n    ${asked.best[0]?.sql.replace(/\s+/g, ' ')}`)
      else agree++
      for (let k = 0; k < RANDOM_ROUNDS; k++) await round(sides, peers, asked)
      const our = medians(asked.mine), their = medians(asked.theirs[0] ?? [])
      ms.push(our.ms)
      wall.push(their.ms / our.ms)
      if (their.ms / our.ms < worst.times) worst = { times: their.ms / our.ms, text: `${JSON.stringify(asked.question.ask[0])}: ${brief(our.ms)} ms, DuckDB ${brief(their.ms)}` }
      cpu.push(their.cpu / our.cpu)
    }
    if (ms.length === 0) continue
    line(`  ${kind}`, brief(median(ms)), brief(sorted(ms).at(-1)), ...[median(wall), tenth(wall), sorted(wall)[0], median(cpu), tenth(cpu)]
      .map((n) => n.toFixed(1)), `${agree}/${PER_KIND}`, sayReached(o, kind, wall, ms))
    if (worst.text) console.log(`    worst: ${worst.text}`)
    row(`random ${kind}: median`, median(ms), 'ms')
    row(`random ${kind}: slowest`, sorted(ms).at(-1), 'ms')
    for (const [what, value] of [['median', median(wall)], ['worst tenth', tenth(wall)], ['worst', sorted(wall)[0]], ['processor, median', median(cpu)],
      ['processor, worst tenth', tenth(cpu)]])
      if (sides.duck) row(`random ${kind}: times faster than DuckDB, ${what}`, value, 'times')
    row(`random ${kind}: answers that agree`, agree, `of ${PER_KIND}`)
  }
}

/** Milliseconds of the first question after a start, with nothing of `folder` in memory. */
async function askCold(o, side, folder, question) {
  await side.stop()
  dropCache(o.bench, folder)
  await side.start()
  dropCache(o.bench, folder) // opening has read, too: of small files all, with a long read-ahead
  return (await side.ask(question)).ms
}

async function cold(sides, all, data) {
  const { o } = data, peers = peersOf(sides)
  heading(`milliseconds, cold: the first question after a start, median of ${COLD_ROUNDS}`, 'wall', 'warm', ...peers.flatMap(({ side }) => [side.name, 'times']))
  for (const { question, missing, mine, best } of all) {
    if (missing) continue
    progress(`cold: ${question.name}`)
    const ours = [], theirs = peers.map(() => [])
    for (let k = 0; k < COLD_ROUNDS; k++) {
      ours.push(await askCold(o, sides.ours, data.store, question.ask))
      for (const [i, { side }] of peers.entries()) theirs[i].push(await askCold(o, side, side.folder, best[i].sql))
    }
    const ms = median(ours), shown = [brief(ms), brief(medians(mine).ms)]
    for (const [i, { side }] of peers.entries()) {
      const their = median(theirs[i])
      shown.push(brief(their), (their / ms).toFixed(1))
      row(`cold: ${question.name}`, ms, 'ms', `${side.name} ${side.version}`, their)
    }
    line(`  ${question.name}`, ...shown)
  }
}

function sayStart(name, { ready, answers }) {
  row(`${name}: listens`, ready, 's')
  row(`${name}: answers questions`, answers, 's')
  line(`  ${name}`, ready.toFixed(3), answers.toFixed(3))
}

/** On a copy, which has new events in memory at the end. */
function loadOverHttp(o, server) {
  const script = join(o.folder, 'script')
  const sizes = [100, 200, 300, 400, 500]
  const body = (size, line) => JSON.stringify({ source: 'bench-http', events: Array.from({ length: size }, (_, i) => ({
    id: `$I-${i}`, name: i % 3 === 0 ? 'Product Viewed' : 'Page Viewed', time: new Date(server.nowMs - ((line * 997 + i * 61) % 86400) * 1000).toISOString(),
    actor: { kind: 'person', value: String((line * 7919 + i * 104729) % o.persons) }, store: `S${String(1 + (i % 500)).padStart(4, '0')}`,
    properties: { channel: i % 2 === 0 ? 'web' : 'mini-program', city: `city ${1 + (i % 300)}`, price: 990 + i },
  })) })
  writeFileSync(script, sizes.map((size, i) => `POST /v1/events 200 ${body(size, i)}\n`).join(''))
  const requests = o.events <= 2_000_000 ? 1500 : 6000
  const words = ['--port', server.port, '--script', script, '--connections', 16, '--requests', requests, '--header', `Authorization: Bearer ${server.key}`]
  const text = execFileSync(o.soak, words.map(String)).toString()
  const found = /rate (\d+)\/s {2}p50 ([\d.]+) ms {2}p99 ([\d.]+) ms/.exec(text)
  return { rate: Number(found[1]) * 300, p50: Number(found[2]), p99: Number(found[3]), events: requests * 300 }
}

async function ingest(o, sides, data) {
  progress('copying the data folder')
  await sides.ours.stop()
  copyData(data.store, data.copy)
  const copy = new Tongdian({ ...sides.ours, data: data.copy })
  await copy.start()
  progress('events over HTTP')
  const got = loadOverHttp({ ...o, folder: data.folder }, copy)
  heading('events over HTTP, batches of 100 to 500, durable', 'events/s', 'p50 ms', 'p99 ms')
  line(`  the load generator beside it on ${cpus().length} processors`, number(got.rate), got.p50.toFixed(1), got.p99.toFixed(1))
  row('events over HTTP', got.rate, '/s')
  row('events over HTTP: p50 of a batch', got.p50, 'ms')
  row('events over HTTP: p99 of a batch', got.p99, 'ms')
  await copy.stop('SIGKILL')
  const killed = await copy.start()
  heading('seconds from the start', 'listens', 'answers')
  sayStart(`after kill -9 with ${number(got.events)} new events`, killed)
  await copy.stop()
  removeData(data.copy)
  await sides.ours.start()
}

async function starts(sides, data) {
  heading('seconds from the start', 'listens', 'answers')
  await sides.ours.stop()
  sayStart('after a clean stop', await sides.ours.start())
  await sides.ours.stop()
  dropCache(data.o.bench, data.store)
  sayStart('the same, nothing of it in memory', await sides.ours.start())
}

const partsOf = (folder) => readdirSync(join(folder, 'events', 'engine')).filter((name) => name.endsWith('.part')).length

/** All questions of a copy, and how much slower they are than those of the original, which are asked in turn. */
async function askChanged(o, { ours, copy, duck }, list, mark) {
  const again = await questions(o, { ours: copy, duck }, list, mark)
  const runs = again.map(() => ({ before: [], after: [] }))
  for (let i = 0; i < o.rounds * ASKS; i++)
    for (const [k, { question, missing }] of again.entries()) {
      if (missing) continue
      runs[k].before.push(await ours.ask(question.ask))
      runs[k].after.push(await copy.ask(question.ask))
    }
  heading(`processor time${mark}`, 'before', 'after', 'times')
  for (const [k, { question, missing }] of again.entries()) {
    if (missing) continue
    const was = medians(runs[k].before).cpu, is = medians(runs[k].after).cpu
    row(`${question.name}${mark}: processor, as much as before`, is / was, 'times')
    line(`  ${question.name}`, brief(was), brief(is), (is / was).toFixed(2), is <= SLOWER_MAX * was ? '' : `OVER ${SLOWER_MAX}`)
  }
}

/** The questions once more after some persons were linked and others erased: exact, and how much slower.  First right after
 *  the change: what moved is in memory, or in files of its own beside those with the dead rows.  Then merged. */
async function changed(o, sides, data, world, list) {
  const { every, linked, erased } = world.change
  progress('copying the data folder, linking and erasing')
  const everybody = async (side) => (await side.ask([{ segment: { of: 'did(any event)' } }])).replies[0].segment.persons
  const persons = await everybody(sides.ours)
  await sides.ours.stop()
  copyData(data.store, data.copy)
  data.bench('change', data.copy, o.persons, sides.ours.nowMs)
  const copy = new Tongdian({ ...sides.ours, data: data.copy })
  const mark = ', 1 % linked, 1 % erased'
  const files = partsOf(data.copy)
  await sides.ours.start()
  await copy.start()
  if ((await everybody(copy)) === persons) {
    console.log(`\n${mark.slice(2)}: not there yet: links and erasures in the log change nothing`)
  } else {
    const person = `case when person % ${every} = ${linked + 1} then person - 1 else person end as person`
    for (const table of ['e', 't', 'p'])
      if (sides.duck) await sides.duck.ask(`create or replace view ${table} as select * replace (${person}) from ${table}_file.${table}
        where person % ${every} <> ${erased}`)
    await askChanged(o, { ...sides, copy }, list, `${mark}, right after`)
    console.log(`${files} files before the change, ${partsOf(data.copy)} at the end of these rounds`)
    progress('merging')
    await copy.stop()
    const merged = data.bench('settle', data.copy)
    await copy.start()
    await askChanged(o, { ...sides, copy }, list, `${mark}, merged`)
    console.log(`${merged.parts} files, with ${merged.dead_rows} rows of who was moved or erased`)
    for (const table of ['e', 't', 'p']) if (sides.duck) await sides.duck.ask(`create or replace view ${table} as from ${table}_file.${table}`)
  }
  await copy.stop()
  removeData(data.copy)
}

// ---- bytes and rates -------------------------------------------------------------------------------------

const SHARED = ['person and time', 'event name', 'where things stand', 'channel', 'city', 'sku', 'amount', 'store'] /* that the peers store, too */
const APART = ['ids', 'received', 'source']

function bytes(ours, events, { duckdb, clickhouse }) {
  const { bytes: columns, logBytes, namesBytes } = ours.stat()
  const sum = (names) => names.reduce((total, name) => total + (columns[name] ?? 0), 0) / events
  const mean = (tables) => (tables ? Object.values(tables).reduce((a, t) => a + t.bytes, 0) / Object.keys(tables).length / events : null)
  const rest = Object.keys(columns).filter((name) => !SHARED.includes(name) && !APART.includes(name))
  heading('bytes per event', 'Tongdian', 'DuckDB', 'ClickHouse')
  const say = (name, value, duck = null, click = null) => {
    row(`bytes per event: ${name}`, value, 'B', duck === null ? '' : 'DuckDB, mean of its tables', duck)
    if (click !== null) row(`bytes per event: ${name}`, value, 'B', 'ClickHouse, mean of its tables', click)
    line(`  ${name}`, value.toFixed(2), duck?.toFixed(2) ?? '', click?.toFixed(2) ?? '')
  }
  say('what the peers store too', sum(SHARED), mean(duckdb), mean(clickhouse))
  for (const name of SHARED) line(`      ${name}`, sum([name]).toFixed(2))
  say('ids, received time, source', sum(APART))
  if (rest.length > 0) say(rest.join(', '), sum(rest))
  say('dictionaries: names, texts, keys of actors', namesBytes / events)
  say('the log', logBytes / events)
}

function rates(events, { loaded, logOnly, duckdb, clickhouse }) {
  const perCore = (n, cpu) => n / cpu / 1e6
  heading('taking in, through the C API, million events/s', 'a core', 'wall', 'DuckDB', 'ClickHouse')
  const peer = (tables) => (tables ? number(events / tables.e.seconds / 1e6, 2) : '')
  const say = (name, n, cpu, wall, ...peers) => {
    row(`${name}: a core`, perCore(n, cpu), 'million/s')
    row(name, n / wall / 1e6, 'million/s')
    line(`  ${name}`, perCore(n, cpu).toFixed(2), (n / wall / 1e6).toFixed(2), ...peers)
  }
  say('the log alone', logOnly.events, logOnly.load_cpu_s, logOnly.load_s)
  say('log and engine, until the last one is visible', loaded.events, loaded.load_cpu_s, loaded.load_s)
  say('until every week is one file', loaded.events, loaded.settled_cpu_s, loaded.settled_s, peer(duckdb), peer(clickhouse))
  console.log(`  the processor's time is without encoding, ${number((loaded.encode_cpu_s / loaded.events) * 1e9)} ns per event, and with group fdatasync; ` +
    `wall time includes it.  DuckDB: from CSV, sorted.`)
  const each = Object.entries({ 'appending and offering': loaded.appending_s, ...loaded.threads_s })
  console.log(`  nanoseconds of processor per event, until all is merged: ${each.map(([name, s]) => `${name} ${number((s * 1e9) / events)}`).join(', ')}`)
  row('bytes written into columns per event', loaded.written_bytes / events, 'B')
  console.log(`  ${loaded.parts} files, ${number(loaded.written_bytes / events, 1)} bytes written per event into columns`)
  if (loaded.stored !== loaded.events) {
    differ++
    console.log(`DIFFERENT: of ${loaded.events} events ${loaded.stored} are stored`)
  }
}

// ---- the run ---------------------------------------------------------------------------------------------

async function openSides(o, data, orders, now) {
  const duck = new DuckDb({ bench: o.bench, folder: join(data.folder, 'duckdb') })
  const click = new ClickHouse({ bench: o.bench, folder: join(data.folder, 'clickhouse') })
  const sides = { duck: (await duck.start()) ? duck : null, click: (await click.start()) ? click : null }
  const monday = Date.UTC(1970, 0, 5) - 8 * 3600 * 1000 // as the server's engine has it
  const loaded = await data.loadTongdian(monday)
  const tables = { duckdb: sides.duck && (await loadDuckdb(data, duck, orders)), clickhouse: sides.click && (await loadClickhouse(data, click, orders)) }
  data.dropRaw()
  sides.ours = new Tongdian({ program: o.program, bench: o.bench, data: data.store, key: data.key, nowMs: now * 1000, kernels: o.kernels })
  return { sides, loads: { loaded, logOnly: data.made.logOnly, ...tables } }
}

function describe(o, world, { ours, duck, click }, events) {
  const who = (side, missing) => (side === null ? `NO ${missing}` : `${side.name} ${side.version}`)
  console.log(`${cpus().length} x ${cpus()[0].model}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}, Node ${process.version}; ` +
    `load average ${loadavg()[0].toFixed(2)}`)
  console.log(`${number(events)} events of ${number(o.persons)} persons in ${world.days} days; kernels ${ours.computes}; ${THREADS} threads each: ` +
    `${who(duck, 'DUCKDB HERE (npm package @duckdb/node-api)')}, ${who(click, 'CLICKHOUSE HERE (Debian package clickhouse-server)')}`)
  rows.push({ name: 'kernels', value: ours.computes, unit: '', peer: '', peer_value: null, ratio: null })
  row('events', events, '')
}

async function runParts(o, data, sides, world, list, makeRandom) {
  const wants = (part) => o.only.includes(part)
  let all = []
  if (/engine_made_again/.test(sides.ours.log)) console.log('THE COLUMNS WERE MADE AGAIN by the server: run with --fresh')
  if (wants('questions') || wants('cold')) all = await questions(o, sides, list)
  const memory = { own: sides.ours.memory('RssAnon'), mapped: sides.ours.memory('RssFile') }
  if (wants('random') && sides.duck) await random(o, sides, makeRandom)
  row('memory of the server', memory.own, 'MB')
  row('memory and mapped files of the server, at most', sides.ours.memory('VmHWM'), 'MB')
  row('page cache that it maps', memory.mapped, 'MB')
  console.log(`\nthe server has ${number(memory.own)} MB of its own after the questions, and maps ${number(memory.mapped)} MB of files that are in memory`)
  if (wants('cold')) await cold(sides, all, data)
  if (wants('start')) await starts(sides, data)
  if (wants('ingest')) await ingest(o, sides, data)
  if (wants('changed')) await changed(o, sides, data, world, list)
  await sides.ours.stop()
}

export async function run({ eight, random: makeRandom, orders, now }) {
  const o = readOptions(process.argv.slice(2))
  isLarge = o.events >= LARGE
  if (o.remove) {
    rmSync(HOME, { recursive: true, force: true })
    return
  }
  const others = existsSync(HOME) ? readdirSync(HOME).filter((name) => name !== `events-${o.events}-${o.persons}`) : []
  if (others.length > 0) progress(`${HOME} also has ${others}: --remove removes all`)
  const data = new Data(o)
  const world = data.bench('names')
  const { sides, loads } = await openSides(o, data, orders, now)
  const events = loads.loaded.events
  await sides.ours.start()
  describe(o, world, sides, events)
  await runParts(o, data, sides, world, eight(world), (kind) => makeRandom(world, kind))
  bytes(sides.ours, events, loads)
  rates(events, loads)
  for (const side of [sides.duck, sides.click]) await side?.stop()
  sayAsked()
  report('events', rows)
  const compared = sides.duck !== null || sides.click !== null
  console.log(differ === 0 ? (compared ? '\nall answers agree' : '\nnothing was compared') : `\n${differ} answers differ`)
  process.exitCode = differ === 0 ? 0 : 1
}
