// bench/ingest.mjs -- events taken in over HTTP: JSON batches, durable, the load generator beside the server.
//
// Needs: tests/soak
// Usage: node bench/ingest.mjs PROGRAM SOAK [EVENTS] [BATCH] [CONNECTIONS] [ENGINE]
//   PROGRAM  the tongdian binary (release build)   SOAK   the load generator (tests/soak)
//   EVENTS (4000000), of BATCH (200) each, over CONNECTIONS (32); ENGINE 1 (default): the columns follow
// Prints the rate, and the processor time of every kind of thread and of the load generator per event:
// what is compared is the time, since who else runs on the machine changes the rate.
import { spawn, spawnSync, execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const [program, soak] = process.argv.slice(2)
const [events, batch, connections, engine] = [4000000, 200, 32, 1].map((n, i) => Number(process.argv[4 + i] ?? n))
const folder = mkdtempSync(join(tmpdir(), 'tongdian-ingest-'))
const data = join(folder, 'data')
const LINES = 20
const PERSONS = 200000

// ---- what is sent ----------------------------------------------------------------------------------

const NAMES = ['Page Viewed', 'Page Viewed', 'Page Viewed', 'Product Viewed', 'Product Viewed', 'Product Added',
  'Store Visited', 'App Opened', 'Coupon Claimed', 'Order Completed']
const CHANNELS = ['web', 'push', 'ad', 'sms', 'email', 'mini-program', 'shop']
let state = 7
const below = (n) => (state = (state * 48271) % 2147483647) % n

// $N makes the ids of every request new.
function event(i) {
  const name = NAMES[below(NAMES.length)]
  const shop = below(4) === 0
  const properties = { channel: CHANNELS[below(7)], city: `city ${1 + below(300)}` }
  if (/Product|Order/.test(name)) properties.sku = `SKU-${String(1 + below(20000)).padStart(6, '0')}`
  if (/Order|Added/.test(name)) properties.amount = 1 + below(50000) / 100
  return {
    id: `$N-${i}`, name, time: new Date(Date.now() - below(3600000)).toISOString(),
    actor: { kind: 'member', value: String(1000000 + below(PERSONS)) }, ...(shop && { store: `S${below(500)}` }), properties,
  }
}
function line() {
  const list = Array.from({ length: batch }, (_, i) => event(i))
  return `POST /v1/events 200 ${JSON.stringify({ source: 'bench', events: list })}`
}

// ---- the run ---------------------------------------------------------------------------------------

const key = execFileSync(program, ['key', 'add', 'bench', '--role', 'owner', '--data', data],
  { stdio: ['ignore', 'pipe', 'ignore'] }).toString().trim()
const script = join(folder, 'script')
writeFileSync(script, Array.from({ length: LINES }, line).join('\n') + '\n')
const server = spawn(program, ['serve', '--data', data, '--listen', '127.0.0.1:0', '--engine', String(engine)],
  { stdio: ['ignore', 'ignore', 'pipe'] })
process.on('exit', () => {
  server.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})
const port = await new Promise((resolve, reject) => {
  let text = ''
  server.stderr.on('data', (bytes) => {
    text += bytes
    const found = /server\.ready .*port=(\d+)/.exec(text)
    if (found) resolve(Number(found[1]))
  })
  server.on('exit', () => reject(new Error(text)))
})
if (process.env.PROFILE !== undefined)
  spawn('perf', ['record', '-q', '-g', '-o', process.env.PROFILE, '-p', String(server.pid)], { stdio: 'inherit' })

function spent() {
  const of = {}
  for (const task of readdirSync(`/proc/${server.pid}/task`)) {
    const read = (what) => readFileSync(`/proc/${server.pid}/task/${task}/${what}`, 'utf8').trim()
    of[read('comm')] = (of[read('comm')] ?? 0) + Number(read('schedstat').split(' ')[0])
  }
  return of
}

const requests = Math.round(events / batch)
const before = spent()
const run = spawnSync(soak, ['--port', String(port), '--script', script, '--connections', String(connections),
  '--requests', String(requests), '--header', `Authorization: Bearer ${key}`])
const text = run.stdout.toString() + run.stderr.toString()
const after = spent()
const found = /rate (\d+)\/s {2}p50 ([\d.]+) ms {2}p99 ([\d.]+) ms/.exec(text)
if (run.status !== 0 || found === null) throw new Error(text)
const each = Object.entries(after)
  .map(([name, ns]) => [name, Math.round((ns - (before[name] ?? 0)) / (requests * batch))])
  .filter(([, ns]) => ns > 0)
console.log(`${Number(found[1]) * batch} events/s in batches of ${batch}, p50 ${found[2]} ms, p99 ${found[3]} ms; ` +
  `bytes per event ${Math.round(line().length / batch)}`)
console.log(`processor, ns per event: ${each.map((e) => e.join(' ')).join(', ')}`)
process.exit(0)
