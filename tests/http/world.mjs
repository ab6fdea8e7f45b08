// tests/http/world.mjs -- a real server on a fresh data folder, and what the tests ask of it.
//
// A world starts the program with `serve` on a free port of 127.0.0.1, on SQLite or, when
// TONGDIAN_HTTP_DB is postgres, on a database of its own in the server of TONGDIAN_TEST_PG.  Every
// reply is looked at as it passes: refusals must have the shape of RFC 9457, and no phone number that
// a test used may stand in a reply or, at the end, in the server's log.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const program = process.env.TONGDIAN
const postgres = process.env.TONGDIAN_HTTP_DB === 'postgres'
export const PASSWORD = 'correct horse battery'
export const HOUR = 3600e3
export const DAY = 24 * HOUR
const PATIENCE_MS = 60e3 // sanitizers are slow

/** One connection per reply, so that n requests at once are n connections. */
export function together(count, make) {
  return Promise.all(Array.from({ length: count }, (_, i) => make(i)))
}

/** How often each value of `of(item)` occurs. */
export function tally(items, of) {
  const counts = {}
  for (const item of items) counts[of(item)] = (counts[of(item)] ?? 0) + 1
  return counts
}

function makeDatabase() {
  if (!postgres) return null
  const base = process.env.TONGDIAN_TEST_PG
  const name = `tongdian_test_${randomBytes(6).toString('hex')}`
  execFileSync('psql', [base, '-qc', `CREATE DATABASE ${name}`], { stdio: 'pipe' })
  return { url: base.replace(/\/[^/]*$/, `/${name}`), name, base }
}

function dropDatabase(database) {
  if (database)
    execFileSync('psql', [database.base, '-qc', `DROP DATABASE ${database.name}`], { stdio: 'pipe' })
}

/** A mainland mobile number nobody else in this run has. */
let phoneCount = 0
const phoneBlock = 100 + (process.pid % 900)
export function freshPhone() {
  phoneCount += 1
  return `138${phoneBlock}${String(phoneCount).padStart(5, '0')}`
}

export class World {
  static async open(options = {}) {
    const world = new World()
    world.folder = mkdtempSync(join(tmpdir(), 'tongdian-http-'))
    world.database = makeDatabase()
    world.log = ''
    world.phones = new Set()
    world.seen = new Set()
    world.options = options
    world.command(['user', 'add', 'admin', '--role', 'owner'], `${PASSWORD}\n`)
    world.key = world.command(['key', 'add', 'owner-key', '--role', 'owner']).trim()
    await world.start(options.clock)
    return world
  }

  arguments() {
    const words = ['--data', join(this.folder, 'data')]
    return this.database ? [...words, '--db', this.database.url] : words
  }

  command(words, input = '') {
    return execFileSync(program, [...words, ...this.arguments()], {
      input,
      stdio: ['pipe', 'pipe', 'pipe'],
      encoding: 'utf8',
    })
  }

  async start(clock) {
    const words = ['serve', '--listen', '127.0.0.1:0', ...this.arguments()]
    if (clock !== undefined) words.push('--clock', String(clock))
    words.push(...(this.options.arguments ?? []))
    this.clock = clock
    this.server = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.ended = new Promise((resolve) => this.server.on('exit', (code, signal) => resolve({ code, signal })))
    const began = this.log.length
    const hear = (text) => (this.log += text)
    this.server.stdout.on('data', hear)
    this.server.stderr.on('data', hear)
    const until = Date.now() + PATIENCE_MS
    for (;;) {
      const ready = /server\.ready.*port=(\d+)/.exec(this.log.slice(began))
      if (ready) {
        this.url = `http://127.0.0.1:${ready[1]}`
        return
      }
      assert.equal(this.server.exitCode, null, `the server ended:\n${this.log}`)
      assert.ok(Date.now() < until, `the server is not ready:\n${this.log}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** Ends the server as an operator would; it must end well. */
  async stop() {
    this.server.kill('SIGTERM')
    const { code, signal } = await this.ended
    assert.deepEqual({ code, signal }, { code: 0, signal: null }, this.log.slice(-4000))
  }

  async restart(clock = this.clock) {
    await this.stop()
    await this.start(clock)
  }

  async close() {
    await this.stop()
    dropDatabase(this.database)
    rmSync(this.folder, { recursive: true })
    for (const phone of this.phones)
      assert.ok(!this.log.includes(phone), 'a phone number stands in the log of the server')
    assert.ok(!this.log.includes(PASSWORD), 'a password stands in the log of the server')
    assert.ok(!this.log.includes(this.key), 'a key stands in the log of the server')
    if (process.env.TONGDIAN_HTTP_SEEN)
      appendFileSync(process.env.TONGDIAN_HTTP_SEEN, [...this.seen, ''].join('\n'))
  }

  /**
   * One request.  `as`: an API key, null for nobody; default the owner's.  `key`: the Idempotency-Key,
   * null for none, default a fresh one.  `body` is sent as JSON; a string or bytes as they are.
   */
  async call(method, path, body, { as = this.key, key = randomUUID(), headers = {} } = {}) {
    const head = { ...headers }
    if (as) head.authorization = `Bearer ${as}`
    if (key && method !== 'GET' && method !== 'HEAD') head['idempotency-key'] = key
    const raw = typeof body === 'string' || body instanceof Uint8Array
    if (body !== undefined && !head['content-type']) head['content-type'] = 'application/json'
    const response = await fetch(this.url + path, {
      method,
      headers: head,
      body: body === undefined || raw ? body : JSON.stringify(body),
      redirect: 'manual',
    })
    const text = await response.text()
    const type = response.headers.get('content-type') ?? ''
    const reply = { status: response.status, headers: response.headers, text, type, body: undefined }
    if (type.includes('json') && text !== '') reply.body = JSON.parse(text)
    if (response.ok) this.seen.add(`${method} ${path.split('?')[0]}`)
    this.inspect(method, path, reply)
    return reply
  }

  inspect(method, path, reply) {
    const { status, body, type, text } = reply
    if (status >= 400 && method !== 'HEAD') {
      assert.equal(type, 'application/problem+json', `${method} ${path}: ${status} ${text}`)
      assert.equal(body.status, status)
      assert.match(body.code, /^[a-z_0-9]+(\.[a-z_0-9]+)?$/)
      assert.ok(body.title.length > 0)
      assert.ok(status < 500 || status === 503, `${method} ${path}: ${text}\n${this.log.slice(-2000)}`)
    }
    if (path.endsWith('/reveal') && status === 200) return
    for (const phone of this.phones)
      assert.ok(!text.includes(phone), `${method} ${path} shows a whole phone number`)
  }

  /** As call(), but anything else than `status` fails; returns the body. */
  async want(status, method, path, body, options) {
    const reply = await this.call(method, path, body, options)
    assert.equal(reply.status, status, `${method} ${path}: ${reply.text}`)
    return reply.body
  }

  /** Expects a refusal with this status and code; returns the problem. */
  async refused(status, code, method, path, body, options) {
    const problem = await this.want(status, method, path, body, options)
    assert.equal(problem.code, code, JSON.stringify(problem))
    return problem
  }

  /** A number that must not show up in any reply or in the log. */
  phone() {
    const phone = freshPhone()
    this.phones.add(phone)
    return phone
  }

  now() {
    return this.clock ?? Date.now()
  }

  /** An API key of this role, in these shops (all when none). */
  async keyOf(role, stores = []) {
    const made = await this.want(201, 'POST', '/v1/keys', { name: `${role} key`, role, stores })
    return made.key
  }

  async store(fields = {}) {
    const code = `S${randomBytes(4).toString('hex')}`
    return this.want(201, 'POST', '/v1/stores', { code, name: `Shop ${code}`, ...fields })
  }

  async product(fields = {}) {
    const code = `P${randomBytes(4).toString('hex')}`
    return this.want(200, 'POST', '/v1/products', { code, name: `Product ${code}`, ...fields })
  }

  draft(fields = {}) {
    const at = (ms) => new Date(ms).toISOString()
    const now = this.now()
    return {
      code: `T${randomBytes(5).toString('hex')}`,
      name: 'Ten off',
      kind: 'amount',
      ...(fields.kind === undefined || fields.kind === 'amount' ? { amount_fen: 1000 } : {}),
      claim_from: at(now - DAY),
      claim_to: at(now + 30 * DAY),
      valid_from: at(now - DAY),
      valid_to: at(now + 60 * DAY),
      ...fields,
    }
  }

  async template(fields = {}) {
    return this.want(201, 'POST', '/v1/coupon-templates', this.draft(fields))
  }

  async claim(template, who = { phone: this.phone() }, options) {
    return this.want(201, 'POST', `/v1/coupon-templates/${template.id}/claims`, who, options)
  }

  /** A sale as a till sends it; receipts number themselves. */
  sale(store, lines, fields = {}) {
    this.receipts = (this.receipts ?? 0) + 1
    return { store: store.id, till: 'T1', number: `R${this.receipts}`, lines, ...fields }
  }

  /** Signs in; returns the options for call() that act as this session. */
  async signIn(login, password = PASSWORD) {
    const reply = await this.call('POST', '/v1/session', { login, password }, { as: null, key: null })
    if (reply.status !== 201) return { reply }
    const cookie = reply.headers.get('set-cookie').split(';')[0]
    const csrf = reply.body.csrf
    return { reply, csrf, cookie, read: { as: null, key: null, headers: { cookie } } ,
      write: { as: null, headers: { cookie, 'x-csrf-token': csrf } } }
  }
}
