// bench/events/sides.mjs -- who is asked: a Tongdian server, DuckDB, ClickHouse.  Each is a process of its own that
// can be stopped and started; ask() gives {ms, cpu_ms} of everything from the question to the last byte or row of
// the answer.
import { execFileSync, fork, spawn, spawnSync } from 'node:child_process'
import { createReadStream, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { createServer } from 'node:net'
import { cpus } from 'node:os'
import { join } from 'node:path'

export const THREADS = 2

const children = new Set()
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')))
for (const [signal, status] of [['SIGINT', 130], ['SIGTERM', 143]]) process.on(signal, () => process.exit(status))

/** Seconds of processor since the machine's start: of all that runs on it, and of this run. */
export function spent() {
  const TICK = 100 // per second, USER_HZ
  const of = (pid) => {
    const words = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ')
    return Number(words[11]) + Number(words[12])
  }
  const [user, nice, system, , , irq, soft] = readFileSync('/proc/stat', 'utf8').split('\n')[0].split(/\s+/).slice(1).map(Number)
  const own = [process.pid, ...[...children].map((child) => child.pid)].reduce((sum, pid) => sum + of(pid), 0)
  return { all: (user + nice + system + irq + soft) / TICK, own: own / TICK }
}

function started(child) {
  children.add(child)
  child.on('exit', () => children.delete(child))
  return child
}

function ended(child, signal) {
  if (child.exitCode !== null || child.signalCode !== null) return null
  const end = new Promise((resolve) => child.once('exit', resolve))
  child.kill(signal)
  return end
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** The page cache forgets what is in the folder; whoever has it open must be stopped before. */
export const dropCache = (bench, folder) => execFileSync(bench, ['drop', folder])

// ---- the native client -----------------------------------------------------------------------------

/** One kept connection to a server on this machine: see bench/events_ask.c. */
class Asker {
  constructor(bench, port, pid, headers) {
    this.child = started(spawn(bench, ['ask', String(port), String(pid), ...headers], { stdio: ['pipe', 'pipe', 'inherit'] }))
    this.got = Buffer.alloc(0)
    this.wake = () => {}
    this.child.stdout.on('data', (bytes) => {
      this.got = Buffer.concat([this.got, bytes])
      this.wake()
    })
    this.child.on('exit', () => this.wake())
  }

  async more() {
    if (this.child.exitCode !== null) throw new Error('the client has ended')
    await new Promise((resolve) => (this.wake = resolve))
  }

  /** {status, ms, cpu_ms, text} */
  async ask(path, body) {
    this.child.stdin.write(`${path} ${body.replace(/\s*\n\s*/g, ' ')}\n`)
    let end
    while ((end = this.got.indexOf(10)) < 0) await this.more()
    const head = JSON.parse(this.got.subarray(0, end))
    while (this.got.length < end + 1 + head.bytes) await this.more()
    const text = this.got.subarray(end + 1, end + 1 + head.bytes).toString()
    this.got = this.got.subarray(end + 1 + head.bytes)
    return { status: head.status, ms: head.ms, cpu_ms: head.cpu_ms, text }
  }

  close() {
    return ended(this.child, 'SIGTERM')
  }
}

// ---- Tongdian --------------------------------------------------------------------------------------

/** `tongdian serve` on a data folder.  The clock stands at `nowMs`. */
export class Tongdian {
  constructor({ program, bench, data, key, nowMs, kernels }) {
    Object.assign(this, { program, bench, data, key, nowMs, kernels, name: 'Tongdian' })
  }

  /** Seconds until it listens, and until the engine answers. */
  async start() {
    const words = ['serve', '--data', this.data, '--listen', '127.0.0.1:0', '--clock', String(this.nowMs), '--kernels', this.kernels]
    const pinned = cpus().length > THREADS ? ['taskset', '-c', `0-${THREADS - 1}`] : []
    const [command, ...rest] = [...pinned, this.program, ...words]
    const began = performance.now()
    this.log = ''
    this.child = started(spawn(command, rest, { stdio: ['ignore', 'ignore', 'pipe'] }))
    this.port = await new Promise((resolve, reject) => {
      this.child.stderr.on('data', (bytes) => {
        this.log += bytes
        const found = /server\.ready .*port=(\d+) kernels="(\w+)"/.exec(this.log)
        if (!found) return
        this.computes = found[2]
        resolve(Number(found[1]))
      })
      this.child.on('exit', () => reject(new Error(this.log)))
    })
    const ready = (performance.now() - began) / 1000
    this.asker = new Asker(this.bench, this.port, this.child.pid, [`Authorization: Bearer ${this.key}`])
    const small = JSON.stringify({ trend: { of: '"none of these"', from: '2025-01-01', to: '2025-01-01' } })
    while ((await this.asker.ask('/v1/query', small)).status === 503) await sleep(20)
    return { ready, answers: (performance.now() - began) / 1000 }
  }

  async stop(signal = 'SIGTERM') {
    await this.asker.close()
    await ended(this.child, signal)
  }

  /** One question after the other; {ms, cpu_ms, replies}, or {missing} when it is refused and that `mayBeMissing`. */
  async ask(questions, mayBeMissing = false) {
    const out = { ms: 0, cpu_ms: 0, replies: [] }
    for (const question of questions) {
      const { status, ms, cpu_ms, text } = await this.asker.ask('/v1/query', JSON.stringify(question))
      if (mayBeMissing && (status === 400 || status === 422)) return { missing: text }
      if (status !== 200) throw new Error(`${status} ${text}\n${JSON.stringify(question)}`)
      out.ms += ms
      out.cpu_ms += cpu_ms
      out.replies.push(JSON.parse(text))
    }
    return out
  }

  /** MB of /proc/PID/status: RssAnon is its own, RssFile the page cache of what it maps. */
  memory(name) {
    const status = readFileSync(`/proc/${this.child.pid}/status`, 'utf8')
    return Number((Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)[1]) / 1024).toFixed(1))
  }

  /** Bytes by column, of the log and of the file of names. */
  stat() {
    const said = JSON.parse(execFileSync(this.program, ['events', 'stat', '--json', '--data', this.data, '--log-level', 'off']))
    const bytes = Object.fromEntries(said.columns.map((column) => [column.name, column.bytes]))
    return { bytes: { ...bytes, ids: said.id_bytes }, logBytes: said.log.bytes, namesBytes: said.names_bytes }
  }
}

// ---- DuckDB ----------------------------------------------------------------------------------------

/** One file per table, so that a file's size is the table's.  start() gives false when the package is not installed. */
export class DuckDb {
  constructor({ bench, folder }) {
    Object.assign(this, { bench, folder, name: 'DuckDB', views: [] })
    mkdirSync(folder, { recursive: true })
  }

  async start() {
    const settings = { threads: String(THREADS), memory_limit: '10GB', temp_directory: join(this.folder, 'temporary') }
    this.child = started(fork(new URL('duckdb.mjs', import.meta.url), [JSON.stringify(settings)]))
    this.waiting = new Map()
    const first = await new Promise((resolve) => this.child.once('message', resolve))
    if (first.missing) return false
    this.child.on('message', ({ id, error, ...rest }) => {
      const { resolve, reject } = this.waiting.get(id)
      this.waiting.delete(id)
      if (error) reject(new Error(`DuckDB: ${error}`))
      else resolve(rest)
    })
    this.child.on('exit', () => this.waiting.forEach(({ reject }) => reject(new Error('DuckDB has ended'))))
    this.version = String((await this.ask('select version()')).rows[0][0]).replace(/^v/, '')
    for (const sql of this.views) await this.ask(sql)
    return true
  }

  ask(sql) {
    const id = (this.last = (this.last ?? 0) + 1)
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject })
      this.child.send({ id, sql })
    })
  }

  /** Asks it now, and once more after every start. */
  async keep(sql) {
    this.views.push(sql)
    await this.ask(sql)
  }

  async stop() {
    await ended(this.child, 'SIGTERM')
  }
}

// ---- ClickHouse ------------------------------------------------------------------------------------

const CONFIG = (folder, http, tcp) => `<?xml version="1.0"?>
<yandex>
  <logger><level>warning</level><log>${folder}/server.log</log><errorlog>${folder}/errors.log</errorlog></logger>
  <http_port>${http}</http_port><tcp_port>${tcp}</tcp_port><listen_host>127.0.0.1</listen_host>
  <path>${folder}/data/</path><tmp_path>${folder}/tmp/</tmp_path>
  <users_config>${folder}/users.xml</users_config>
  <default_profile>default</default_profile><default_database>default</default_database>
  <timezone>UTC</timezone><keep_alive_timeout>3600</keep_alive_timeout>
  <mark_cache_size>1073741824</mark_cache_size><uncompressed_cache_size>0</uncompressed_cache_size>
  <max_concurrent_queries>8</max_concurrent_queries>
</yandex>
`
const USERS = `<?xml version="1.0"?>
<yandex>
  <profiles><default>
    <max_threads>${THREADS}</max_threads><max_memory_usage>10000000000</max_memory_usage>
    <log_queries>0</log_queries>
  </default></profiles>
  <users><default>
    <password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
  </default></users>
  <quotas><default><interval><duration>3600</duration></interval></default></quotas>
</yandex>
`

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })

/** Debian's clickhouse-server with a configuration of its own, on this machine's loopback only. */
export class ClickHouse {
  constructor({ bench, folder }) {
    Object.assign(this, { bench, folder, name: 'ClickHouse' })
    const binaries = ['/usr/sbin/clickhouse-server', '/usr/bin/clickhouse-server']
    this.binary = binaries.find((path) => existsSync(path))
  }

  async start() {
    if (this.binary === undefined) return false
    for (const name of ['', 'data', 'tmp']) mkdirSync(join(this.folder, name), { recursive: true })
    const [http, tcp] = [await freePort(), await freePort()]
    writeFileSync(join(this.folder, 'config.xml'), CONFIG(this.folder, http, tcp))
    writeFileSync(join(this.folder, 'users.xml'), USERS)
    this.port = http
    this.child = started(spawn(this.binary, [`--config-file=${this.folder}/config.xml`], { stdio: 'ignore', cwd: this.folder }))
    for (let tries = 0; !(await this.answers()); tries++) {
      if (this.child.exitCode !== null || tries > 600) throw new Error(`ClickHouse does not start: see ${this.folder}/errors.log`)
      await sleep(100)
    }
    this.asker = new Asker(this.bench, this.port, this.child.pid, [])
    this.version = (await this.ask('select version()')).rows[0][0]
    return true
  }

  answers() {
    return new Promise((resolve) => {
      request({ host: '127.0.0.1', port: this.port, path: '/' }, (r) => r.resume().on('end', () => resolve(true)))
        .on('error', () => resolve(false))
        .end()
    })
  }

  async ask(sql) {
    const { status, ms, cpu_ms, text } = await this.asker.ask('/', sql)
    if (status !== 200) throw new Error(`ClickHouse: ${text}\n${sql}`)
    return { ms, cpu_ms, rows: text.split('\n').slice(0, -1).map((line) => line.split('\t')) }
  }

  /** A file of rows in ClickHouse's RowBinary, which bench/events_world.h's WorldEvent is. */
  insert(into, file) {
    const path = `/?query=${encodeURIComponent(`insert into ${into} format RowBinary`)}`
    return new Promise((resolve, reject) => {
      const out = request({ host: '127.0.0.1', port: this.port, path, method: 'POST' }, (reply) => {
        let text = ''
        reply.on('data', (bytes) => (text += bytes))
        reply.on('end', () => (reply.statusCode === 200 ? resolve() : reject(new Error(`ClickHouse: ${text}`))))
      })
      out.on('error', reject)
      createReadStream(file, { highWaterMark: 1 << 20 }).pipe(out)
    })
  }

  async stop() {
    await this.asker.close()
    await ended(this.child, 'SIGTERM')
  }
}

/** A copy of a data folder with its key file; gives its path. */
export function copyData(data, copy) {
  removeData(copy)
  for (const end of ['', '.key'])
    if (spawnSync('cp', ['-a', '--reflink=auto', data + end, copy + end], { stdio: 'inherit' }).status !== 0)
      throw new Error(`${copy} cannot be written`)
  return copy
}

export function removeData(data) {
  for (const end of ['', '.key']) rmSync(data + end, { recursive: true, force: true })
}
