// tests/ops/shop.mjs -- a small chain with something of everything, and the command line beside it.
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { World } from '../http/world.mjs'

export const program = process.env.TONGDIAN

/** Runs a command on a data folder; gives {status, out, err}. */
export function run(words, options = {}) {
  const r = spawnSync(program, words, { encoding: 'utf8', timeout: 120e3, ...options })
  return { status: r.status, out: r.stdout, err: r.stderr }
}

/** `check`: {status, out} and, when it could run at all, the parsed --json. */
export function check(data, more = []) {
  const r = run(['check', '--json', '--log-level', 'off', '--data', data, ...more])
  assert.ok(r.out.startsWith('{'), `check said: ${r.out}${r.err}`)
  return { ...r, json: JSON.parse(r.out) }
}

export function mustBeWell(data, more) {
  const r = check(data, more)
  assert.deepEqual(r.json.findings, [])
  assert.equal(r.json.ok, true)
  assert.equal(r.status, 0)
  return r.json
}

export function sql(file, text) {
  return execFileSync('sqlite3', ['-cmd', '.timeout 10000', file, text], { encoding: 'utf8' }).trim()
}

/** A world with two shops, people, coupons in every state, sales, a return, a campaign's scope. */
export async function openShop(options) {
  const w = await World.open(options)
  w.data = join(w.folder, 'data')
  w.db = join(w.data, 'tongdian.db')
  w.shop = await w.store()
  w.soap = await w.product()
  w.open = await w.template({ per_person: 0 })
  await w.template({ by_product: true, products: [w.soap.code], by_store: true, stores: [w.shop.id] }).catch(() => {})
  const used = await w.claim(w.open)
  await w.want(201, 'POST', '/v1/redemptions', { code: used.code, store: w.shop.id })
  const undone = await w.claim(w.open)
  const r = await w.want(201, 'POST', '/v1/redemptions', { code: undone.code, store: w.shop.id })
  await w.want(200, 'POST', `/v1/redemptions/${r.id}/reversal`, { reason: 'test' })
  await w.claim(w.open)
  const buyer = await w.claim(w.open)
  const lines = [{ product: w.soap.code, amount_fen: 5000 }]
  await w.want(201, 'POST', '/v1/sales', w.sale(w.shop, lines, { coupon_code: buyer.code })).catch(() => {})
  const sale = await w.want(201, 'POST', '/v1/sales', w.sale(w.shop, lines))
  await w.want(201, 'POST', `/v1/sales/${sale.id}/returns`, { till: 'T1', number: 'back', lines: [{ line: 1, quantity: 1 }] })
  return w
}

/** Claims, redemptions and sales on `connections` at once until stop() is called; it gives what was acknowledged. */
export function load(w, connections = 8) {
  const done = { claims: 0, redemptions: 0, sales: 0 }
  let going = true
  const lines = [{ product: w.soap.code, amount_fen: 5000 }]
  const one = async () => {
    while (going) {
      const c = await w.claim(w.open)
      done.claims += 1
      await w.want(201, 'POST', '/v1/redemptions', { code: c.code, store: w.shop.id })
      done.redemptions += 1
      await w.want(201, 'POST', '/v1/sales', w.sale(w.shop, lines))
      done.sales += 1
    }
  }
  const all = Promise.all(Array.from({ length: connections }, one))
  all.catch(() => {}) // stop() says it; before, nobody listens
  return {
    done,
    stop: async () => {
      going = false
      await all
      return done
    },
  }
}

/** Runs a command without blocking the load; gives {status, out, err}. */
export async function runBeside(words, killAfterMs) {
  const { spawn } = await import('node:child_process')
  const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'] })
  let out = '', err = ''
  child.stdout.on('data', (d) => (out += d))
  child.stderr.on('data', (d) => (err += d))
  const timer = killAfterMs === undefined ? null : setTimeout(() => child.kill('SIGKILL'), killAfterMs)
  const status = await new Promise((resolve) => child.on('close', resolve))
  clearTimeout(timer)
  return { status, out, err }
}
