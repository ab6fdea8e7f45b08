// bench/history.mjs -- years of history in no order: taken in as it comes, or by `tongdian events import`.
//
// Needs: bench/history_bench
// Usage: node bench/history.mjs PROGRAM HISTORY_BENCH [EVENTS] [WEEKS] [ROUNDS]
//   PROGRAM  the tongdian binary (release build)   HISTORY_BENCH   the native half
//   EVENTS (4000000) over WEEKS (150), in no order; ROUNDS (3) of reading both logs into columns, in turn
// Prints what each way costs until every week is one file, DuckDB's reading and sorting of the same file beside it,
// and writes build/bench.json.  What is compared is processor time and bytes: who else runs changes the rest.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { report } from './report.mjs'

const [program, native] = process.argv.slice(2)
const [events, weeks, rounds] = [4000000, 150, 3].map((n, i) => Number(process.argv[4 + i] ?? n))
const folder = mkdtempSync(join(tmpdir(), 'tongdian-history-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
const [file, comes, sorted] = ['history.ndjson', 'comes', 'sorted'].map((name) => join(folder, name))

/** Runs a program; gives its output and its processor seconds. */
function run(command, words, options) {
  const timed = ['-c', 'TIMEFORMAT="%U %S"; time "$@"', 'run', resolve(command), ...words]
  const r = spawnSync('bash', timed, { encoding: 'utf8', ...options })
  if (r.status !== 0) throw new Error(r.stdout + r.stderr)
  const [user, system] = r.stderr.trim().split('\n').at(-1).split(' ').map(Number)
  return { out: r.stdout, cpu_s: user + system }
}
const told = (words) => JSON.parse(run(native, words).out)
const median = (list) => list.sort((a, b) => a - b)[Math.floor(list.length / 2)]

// ---- both ways -------------------------------------------------------------------------------------

run(native, ['make', String(events), String(weeks), file])
const size = statSync(file).size
console.log(`${events} events over ${weeks} weeks in no order, ${Math.round(size / events)} bytes of JSON each`)
const append = told(['append', file, comes])
const brought = run(program, ['events', 'import', file, '--data', sorted, '--json', '--log-level', 'off'])
if (JSON.parse(brought.out).taken !== events) throw new Error(brought.out)
const reads = { comes: [], sorted: [] }
for (let i = 0; i < rounds; i++)
  for (const [name, data] of [['comes', comes], ['sorted', sorted]]) {
    rmSync(join(data, 'events', 'engine'), { recursive: true, force: true })
    const r = told(['read', data])
    if (r.events !== events) throw new Error(`${name}: ${r.events} of ${events}`)
    reads[name].push(r)
  }
const of = (name, field) => median(reads[name].map((r) => r.settled[field]))

// ---- the peer --------------------------------------------------------------------------------------

const DUCK = `
  const { DuckDBInstance } = await import('@duckdb/node-api')
  const c = await (await DuckDBInstance.create(process.argv[2], { threads: '2' })).connect()
  await c.run("create table e as select * from read_json('" + process.argv[1] + "', format = 'newline_delimited') order by time")
  await c.run('checkpoint')`
function duckdb() {
  const words = ['--input-type=module', '-e', DUCK, file, join(folder, 'peer.duckdb')]
  try {
    return run(process.execPath, words, { cwd: new URL('.', import.meta.url).pathname }).cpu_s
  } catch (error) {
    console.log(`without DuckDB: ${error.message.split('\n').find((l) => l.includes('rror')) ?? ''}`)
    return null
  }
}
const duck = duckdb()

// ---- figures ---------------------------------------------------------------------------------------

const rows = []
function say(name, unit, a, b, digits = 2, peer = null) {
  const shown = (n) => n.toFixed(digits).padStart(9)
  const beside = peer === null ? '' : `   DuckDB ${shown(peer)}`
  console.log(`${name.padEnd(52)} ${shown(a)} as it comes ${shown(b)} import   ratio ${(a / b).toFixed(2)}${beside}`)
  rows.push({ name, value: b, unit, peer: 'as it comes', peer_value: a, ratio: a / b })
}
const us = (s) => (s / events) * 1e6
const shares = (name) => us(of(name, 'cpu_s'))
say('into the log, processor us per event', 'us', us(append.cpu_s), us(brought.cpu_s))
say('columns until every week is one file, us per event', 'us', shares('comes'), shares('sorted'))
say('both, us per event', 'us', us(append.cpu_s) + shares('comes'), us(brought.cpu_s) + shares('sorted'), 2,
  duck === null ? null : us(duck))
say('bytes of columns written per event', 'bytes', of('comes', 'written') / events, of('sorted', 'written') / events)
say('files of columns written', 'files', of('comes', 'made'), of('sorted', 'made'), 0)
say('bytes of columns kept per event', 'bytes', of('comes', 'bytes') / events, of('sorted', 'bytes') / events)
mkdirSync('build', { recursive: true })
report('history', rows)
