// bench/events.mjs -- the event engine beside DuckDB: the same made-up events, the same questions, one run.
//
// Needs: bench/events_bench
// Usage: node bench/events.mjs PROGRAM EVENTS_BENCH [EVENTS [PERSONS]]    (10000000, a fiftieth of EVENTS)
// Prints a table and writes build/bench.json: [{name, value, unit, peer, peer_value, ratio}].
//
// Both have two threads.  Both answer every question in turns, five rounds after a warm-up; the answers
// must agree in every cell, else the exit status is 1.
// The engine is asked by name and finds out what the names mean within its time, which leaves out SQL, HTTP
// and printing the answer.  It has no trend by event name: counts by name are one trend each, summed up.
// DuckDB has integers in place of texts, its rows in the physical order that suits the question, and of
// several ways to say it in SQL the one that was fastest while warming up; its time ends when all rows are
// in memory.
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { cpus, release, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const program = process.argv[3]
const wanted = Number(process.argv[4] ?? 10_000_000)
const people = Number(process.argv[5] ?? Math.max(1, Math.round(wanted / 50)))
const ROUNDS = 5
const THREADS = 2
const DAY = 86400
const folder = mkdtempSync(join(tmpdir(), 'tongdian-bench-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

const run = (...args) => JSON.parse(execFileSync(program, args.map(String)).toString())
const { names, channels, begin_s: begin, days } = run('names')
const end = begin + days * DAY
const rows = []
let peer = 'none'

function row(name, value, unit, peerValue = null) {
  const ratio = peerValue === null ? null : Number((value / peerValue).toFixed(4))
  rows.push({ name, value, unit, peer: peerValue === null ? '' : peer, peer_value: peerValue, ratio })
}

const median = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1]
const code = (name) => names.indexOf(name)

// ---- the questions ---------------------------------------------------------------------------------
//
// ask: what the engine is asked.  ours(reply), theirs(rows): the answer as lines, one per cell that is not
// zero.  sql: the ways to ask DuckDB, of the tables "e" (by event name and time) and "t" (by time).

const cells = (lines) => lines.filter((line) => line[line.length - 1] !== 0).map((line) => line.join(' ')).sort()
const oursTrend = (label) => (reply) =>
  cells(reply.series.flatMap((series) => series.cells.map((n, bucket) => [label(series), bucket, n])))
const theirsTrend = (list) => cells(list.map((line) => line.map(Number)))
const oursFunnel = (reply) => cells(reply.persons.map((n, step) => [step, n]))
const theirsFunnel = (list) => cells(list[0].map((n, step) => [step, Number(n)]))
const words = (word, fields) => [word, ...fields.map(([key, value]) => `${key}=${value}`)].join('\t')

const range = (span) => [['from', end - span * DAY], ['to', end]]
const chosen = ['web', 'mini-program']
const filterWords = [['where', `channel:${chosen.join(',')}`]]
const filterSql = `and channel in (${chosen.map((name) => channels.indexOf(name) + 1)})`

function counts() {
  const from = end - 30 * DAY
  const sql = (table) =>
    `select name, (at_s - ${from}) // ${DAY} as day, count(*) from ${table} where at_s >= ${from} group by all`
  return {
    name: 'counts by event name and day, 30 days',
    ask: words('trend', [...names.map((n) => ['event', n]), ['measure', 'events'], ['every', DAY], ...range(30)]),
    ours: oursTrend((series) => code(series.name)),
    theirs: theirsTrend,
    sql: { 'time order': sql('t'), 'event order': sql('e') },
  }
}

function uniques(title, event, filter) {
  const from = end - 30 * DAY
  const where = `where name = ${code(event)} and at_s >= ${from} ${filter ? filterSql : ''}`
  const day = `(at_s - ${from}) // ${DAY}`
  return {
    name: title,
    ask: words('trend', [
      ['event', event], ['measure', 'persons'], ['every', DAY], ...range(30), ...(filter ? filterWords : []),
    ]),
    ours: oursTrend(() => 0),
    theirs: theirsTrend,
    sql: {
      'count distinct': `select 0, ${day} as day, count(distinct person) from e ${where} group by day`,
      'distinct, then count':
        `select 0, day, count(*) from (select distinct ${day} as day, person from e ${where}) group by day`,
      'a bit per day': `with b as (select person, bit_or(1::uinteger << (${day})::uinteger) as m from e ${where}
        group by person) select 0, d, (select count(*) from b where (m >> d::uinteger) & 1 = 1) from range(30) r(d)`,
    },
  }
}

// Each event of a step looks for the last event of the step before it, and inherits its start.
function asofFunnel(steps, from, window, filter) {
  const source = (event) => `select person, at_s from e where name = ${code(event)} and at_s >= ${from} ${filter}`
  const levels = steps.slice(1).map((event, i) => {
    const start = i === 0 ? 'l.at_s' : 'l.start'
    return `l${i + 2} as materialized (select s.person, s.at_s, ${start} as start from (${source(event)}) s
      asof join l${i + 1} l on s.person = l.person and s.at_s >= l.at_s where s.at_s - ${start} <= ${window})`
  })
  const totals = steps.map((_, i) => `(select count(distinct person) from l${i + 1})`)
  return `with l1 as materialized (${source(steps[0])}), ${levels} select ${totals}`
}

// The same by running maxima over each person's events.
function windowFunnel(steps, from, window, filter) {
  const codes = steps.map(code)
  const over = 'over (partition by person order by at_s)'
  const levels = codes.slice(0, -1).map((step, i) => {
    const reached = i === 0 ? `name = ${step}` : `name = ${step} and at_s - a${i} <= ${window}`
    return `x${i + 1} as (select *, max(case when ${reached} then ${i === 0 ? 'at_s' : `a${i}`} end) ${over}
      as a${i + 1} from x${i})`
  })
  const totals = codes.map((step, i) =>
    `count(distinct person) filter (name = ${step} ${i === 0 ? '' : `and at_s - a${i} <= ${window}`})`)
  return `with x0 as (select person, at_s, name from e where name in (${codes}) and at_s >= ${from} ${filter}),
    ${levels} select ${totals} from x${steps.length - 1}`
}

function funnel(title, steps, span, windowDays, filter) {
  const args = [steps, end - span * DAY, windowDays * DAY, filter ? filterSql : '']
  return {
    name: title,
    ask: words('funnel', [
      ...steps.map((n) => ['event', n]), ['window', windowDays * DAY], ...range(span), ...(filter ? filterWords : []),
    ]),
    ours: oursFunnel,
    theirs: theirsFunnel,
    sql: { 'asof joins': asofFunnel(...args), 'running maxima': windowFunnel(...args) },
  }
}

const orders = `from e where name = ${code('Order Completed')} and at_s >= ${end - 30 * DAY}`

// The most cities up to ten that are shown: the next one has fewer orders, so that there is one answer.
async function clearTop(duck) {
  const { rows: counts } = await duck.query(`select count(*) as n ${orders} group by city order by n desc limit 11`)
  let top = 10
  while (top > 1 && counts.length > top && counts[top - 1][0] === counts[top][0]) top--
  return top
}

function sums(top) {
  const from = end - 30 * DAY
  return {
    name: `sales by day and city, top ${top} and other, 30 days`,
    ask: words('trend', [
      ['event', 'Order Completed'], ['measure', 'sum'], ['sum', 'amount'], ['by', 'city'], ['top', top],
      ['every', DAY], ...range(30),
    ]),
    ours: oursTrend((series) => (series.other ? 0 : Number(series.value.replace('city ', '')))),
    theirs: theirsTrend,
    sql: {
      'one pass': `with g as materialized (select (at_s - ${from}) // ${DAY} as day, city, sum(amount) as fen, count(*) as n
          ${orders} group by all),
        top as (select city from g group by city order by sum(n) desc limit ${top})
        select coalesce(top.city, 0) as c, day, sum(fen) from g left join top using (city) group by all`,
    },
  }
}

const steps3 = ['Product Viewed', 'Product Added', 'Order Completed']
const steps6 = ['App Opened', 'Coupon Claimed', 'Beacon Seen', 'Store Visited', 'Coupon Redeemed', 'Order Completed']
const notYet = ['weekly retention', 'a segment of two aggregates', 'the next event: paths', 'last touch']

// ---- the two sides ---------------------------------------------------------------------------------

async function engine(data) {
  const child = spawn(program, ['serve', data, String(THREADS)], { stdio: ['pipe', 'pipe', 'inherit'] })
  process.on('exit', () => child.kill())
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async () => {
    const { value, done } = await lines.next()
    if (done) throw new Error('the engine has ended')
    return JSON.parse(value)
  }
  const ask = async (question) => {
    child.stdin.write(question + '\n')
    const reply = await next()
    if (reply.error) throw new Error(`${reply.error}: ${question}`)
    return reply
  }
  return { head: await next(), ask, close: () => child.stdin.end() }
}

const SCHEMA = {
  person: 'UINTEGER', at_s: 'UINTEGER', name: 'UTINYINT', channel: 'UTINYINT', store: 'USMALLINT',
  product: 'USMALLINT', city: 'USMALLINT', amount: 'INTEGER',
}

// Null when the package is not installed.
async function duckdb() {
  const api = await import('@duckdb/node-api').catch(() => null)
  if (api === null) return null
  const connection = await (await api.DuckDBInstance.create(':memory:', { threads: String(THREADS) })).connect()
  const query = async (sql) => {
    const before = process.cpuUsage()
    const from = performance.now()
    const reader = await connection.runAndReadAll(sql)
    const ms = performance.now() - from
    const cpu = process.cpuUsage(before)
    return { ms, cpu_ms: (cpu.user + cpu.system) / 1000, rows: reader.getRows() }
  }
  const version = String((await query('select version()')).rows[0][0]).replace(/^v/, '')
  return { query, version }
}

// One table in a file of its own, so that the file's size is the table's.
async function loadDuckdb(duck, table, order) {
  const file = join(folder, `${table}.duckdb`)
  const columns = Object.entries(SCHEMA).map(([name, type]) => `'${name}': '${type}'`)
  const from = performance.now()
  await duck.query(`attach '${file}' as ${table}_file`)
  await duck.query(
    `create table ${table}_file.${table} as from read_csv('${join(folder, 'events.csv')}', header = false,
     columns = {${columns}}) order by ${order}`,
  )
  await duck.query(`checkpoint ${table}_file`)
  await duck.query(`create view ${table} as from ${table}_file.${table}`)
  return { seconds: (performance.now() - from) / 1000, bytes: statSync(file).size }
}

// The way to ask that is fastest once everything is in memory.
async function fastest(duck, question) {
  let best = null
  for (const [name, sql] of Object.entries(question.sql)) {
    const runs = []
    for (let i = 0; i < 3; i++) runs.push(await duck.query(sql))
    const ms = Math.min(...runs.slice(1).map((r) => r.ms))
    if (best === null || ms < best.ms) best = { name, sql, ms, answer: question.theirs(runs[0].rows) }
  }
  return best
}

function firstDifference(ours, theirs) {
  const at = ours.findIndex((line, i) => line !== theirs[i])
  return at < 0 ? `nothing, but DuckDB has ${theirs.length} cells and the engine ${ours.length}`
    : `the engine says "${ours[at]}", DuckDB "${theirs[at]}"`
}

// ---- the run ---------------------------------------------------------------------------------------

const number = (value, digits = 0) =>
  value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
const line = (name, ...columns) => console.log(name.padEnd(50) + columns.map((c) => String(c).padStart(13)).join(''))

const duck = await duckdb()
peer = duck === null ? 'none' : `DuckDB ${duck.version}`
const made = run('generate', wanted, people, folder)
const events = made.events
const loaded = run('load', folder, join(folder, 'engine'))
const stored = duck === null ? null : {
  e: await loadDuckdb(duck, 'e', 'name, at_s'),
  t: await loadDuckdb(duck, 't', 'at_s, person'),
}
rmSync(join(folder, 'offers'))
const ours = await engine(join(folder, 'engine'))
const questions = [
  counts(),
  uniques('persons per day, one event, 30 days', 'Product Viewed', false),
  uniques('the same in 2 of 7 channels', 'Product Viewed', true),
  funnel('funnel of 3 steps within 7 days, 30 days', steps3, 30, 7, false),
  funnel('the same in 2 of 7 channels, every step', steps3, 30, 7, true),
  funnel('funnel of 6 steps on- and offline, 14 of 90 days', steps6, 90, 14, false),
  sums(duck === null ? 10 : await clearTop(duck)),
]
console.log(`${cpus().length} x ${cpus()[0].model}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}, Node ${process.version}`)
console.log(`${number(events)} events of ${number(people)} persons in ${days} days; engine: kernels ${ours.head.kernels}, ` +
  `${THREADS} threads; ${duck === null ? 'NO DUCKDB HERE: npm package @duckdb/node-api is not installed, nothing is compared' : `${peer}, ${THREADS} threads`}\n`)

line('', 'ms', 'DuckDB ms', 'times', 'cpu ms', 'DuckDB cpu', 'times')
let differ = 0
const asked = []
for (const question of questions) {
  const best = duck === null ? null : await fastest(duck, question)
  await ours.ask(question.ask)
  const answer = question.ours(await ours.ask(question.ask))
  asked.push({ question, best, mine: [], theirs: [] })
  if (best !== null && JSON.stringify(answer) !== JSON.stringify(best.answer)) {
    differ++
    console.log(`DIFFERENT: ${question.name}: ${firstDifference(answer, best.answer)}`)
  }
}
for (let round = 0; round < ROUNDS; round++)
  for (const { question, best, mine, theirs } of asked) {
    mine.push(await ours.ask(question.ask))
    if (best !== null) theirs.push(await duck.query(best.sql))
  }
ours.close()

for (const { question, best, mine, theirs } of asked) {
  const ms = median(mine.map((r) => r.ms))
  const cpu = median(mine.map((r) => r.cpu_ms))
  const peerMs = best === null ? null : median(theirs.map((r) => r.ms))
  const peerCpu = best === null ? null : median(theirs.map((r) => r.cpu_ms))
  row(question.name, ms, 'ms', peerMs && Number(peerMs.toFixed(3)))
  row(`${question.name}: processor`, cpu, 'ms', peerCpu && Number(peerCpu.toFixed(3)))
  if (best === null) line(question.name, ms.toFixed(2), '-', '-', cpu.toFixed(2), '-', '-')
  else
    line(question.name, ms.toFixed(2), peerMs.toFixed(1), (peerMs / ms).toFixed(1), cpu.toFixed(2),
      peerCpu.toFixed(1), (peerCpu / cpu).toFixed(1), `  ${best.name}`)
}
for (const name of notYet) line(name, 'not yet')

// ---- bytes and rates -------------------------------------------------------------------------------

const { keys, sequence, store, channel, city, sku, amount, tables, ids, names: dictionary, ...rest } = loaded.bytes
const perEvent = (bytes) => Number((bytes / events).toFixed(3))
const alike = keys + sequence + store + channel + city + sku + amount
const duckBytes = stored === null ? null : perEvent((stored.e.bytes + stored.t.bytes) / 2)
console.log('')
line('bytes per event', 'engine', 'DuckDB')
const bytes = (name, value, peerValue = null) => {
  row(`bytes per event: ${name}`, perEvent(value), 'B', peerValue)
  line(`  ${name}`, perEvent(value).toFixed(2), peerValue === null ? '' : peerValue.toFixed(2))
}
bytes('what DuckDB stores too', alike, duckBytes)
for (const [name, value] of Object.entries({ keys, sequence, store, channel, city, sku, amount }))
  line(`    ${name}`, perEvent(value).toFixed(2))
bytes('tables and checksums', tables)
bytes('texts and actors', dictionary)
for (const [name, value] of Object.entries(rest)) bytes(name, value)
bytes('ids', ids)

const rate = Math.round(events / loaded.settle_s)
const duckRate = stored === null ? null : Math.round(events / stored.e.seconds)
const cpuSum = Object.values(loaded.cpu_s).reduce((a, b) => a + b, 0)
row('events taken in and settled', rate, '/s', duckRate)
row('events taken in and flushed', Math.round(events / loaded.flush_s), '/s')
row('processor per event taken in', Number(((cpuSum * 1e9) / events).toFixed(0)), 'ns')
row('written per byte that stays', Number((loaded.written_bytes / (alike + tables + ids)).toFixed(2)), 'times')
console.log('')
line('taking in, events/s', 'engine', 'DuckDB')
line('  until all is in files', number(events / loaded.flush_s))
line('  until there is one file per week', number(rate), stored === null ? '' : number(duckRate), stored === null ? '' : '  DuckDB: from CSV, sorted')
const each = Object.entries(loaded.cpu_s).map(([name, s]) => `${name} ${number((s * 1e9) / events)}`)
console.log(`  processor, ns per event: ${each.join(', ')}; encoding the events before: ${number((loaded.encode_s * 1e9) / events)}`)
console.log(`  ${loaded.parts} parts, ${number(loaded.stored)} events stored, ${number(loaded.written_bytes / events, 1)} bytes written per event`)
if (loaded.stored !== events) {
  console.log(`DIFFERENT: of ${events} events ${loaded.stored} are stored`)
  differ++
}
mkdirSync('build', { recursive: true })
writeFileSync('build/bench.json', JSON.stringify(rows, null, 1) + '\n')
console.log(differ === 0 ? (duck === null ? '\nnothing was compared' : '\nall answers agree') : `\n${differ} answers differ`)
process.exit(differ === 0 ? 0 : 1)
