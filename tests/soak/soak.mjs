// tests/soak/soak.mjs -- one soak: a fresh server, claims, then redemptions beside reads, 300 slow clients.
// Usage: node soak.mjs SOAK_PROGRAM CONNECTIONS REQUESTS
//
// Half of the requests claim, each for a person of its own.  The other half redeem those coupons by
// number, each once, and read beside it: so every request has one right answer, and the counts at the
// end must be what was asked for.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { World } from '../http/world.mjs'

const [soak, connections, total] = process.argv.slice(2).map((word, i) => (i === 0 ? word : Number(word)))
const half = total / 2
const slow = 300

const w = await World.open()
const store = await w.store()
const product = await w.product()
const template = await w.template({ amount_fen: 100, stock: 0 })

function drive(name, requests, lines) {
  const script = join(w.folder, name)
  writeFileSync(script, `header Authorization: Bearer ${w.key}\n${lines.join('\n')}\n`)
  const words = ['--port', new URL(w.url).port, '--script', script, '--connections', connections, '--requests', requests]
  words.push('--slow', slow, '--idempotency', 1, '--timeout-ms', 30000, '--seconds-max', 1500)
  return new Promise((resolve) =>
    execFile(soak, words.map(String), { maxBuffer: 1 << 24 }, (error, out, err) => {
      console.log(`# ${name} over ${connections} connections\n${out}${err}`)
      resolve(error === null)
    }),
  )
}

const post = (path, status, body) => `POST ${path} ${status} ${JSON.stringify(body)}`
const claimed = await drive('claims', half, [
  post(`/v1/coupon-templates/${template.id}/claims`, 201, { phone: '139$N' }),
])
const sale = w.sale(store, [{ product: product.code, amount_fen: 5000 }], { number: '$N' })
const redeemed = await drive('redemptions', half, [
  post('/v1/redemptions', 201, { coupon: '$I', store: store.id }),
  post('/v1/wallets', 200, { phone: '139$N' }),
  post('/v1/sales', 201, sale),
  `GET /v1/stores/${store.id} 200`,
])
const view = await w.want(200, 'GET', `/v1/coupon-templates/${template.id}`)
assert.equal(view.issued, half)
assert.equal(view.redeemed, half / 4)
await w.close()
process.exit(claimed && redeemed ? 0 : 1)
