// tests/http/repeat.test.mjs -- Idempotency-Key: the first reply again, also after a restart.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { World } from './world.mjs'

let w, store, product
before(async () => {
  w = await World.open()
  store = await w.store()
  product = await w.product()
})
after(() => w.close())

const couponOf = async () => w.claim(await w.template())

test('a repeat gets the first reply byte for byte, whatever happened in between, also after a restart', async () => {
  const one = await couponOf()
  const two = await couponOf()
  const template = await w.template()
  const requests = [
    ['/v1/redemptions', { code: one.code, store: store.id }],
    ['/v1/sales', w.sale(store, [{ product: product.code, amount_fen: 5000 }], { coupons: [{ coupon: two.id }] })],
    [`/v1/coupon-templates/${template.id}/claims`, { phone: w.phone() }],
    ['/v1/people', { phone: w.phone(), name: '王芳' }],
  ].map(([path, body]) => ({ path, body, key: randomUUID() }))
  for (const r of requests) r.first = await w.call('POST', r.path, r.body, { key: r.key })
  for (const r of requests) assert.equal(r.first.status, 201, r.first.text)
  const redemption = requests[0].first.body.id
  await w.want(200, 'POST', `/v1/redemptions/${redemption}/reversal`, { reason: 'test' })
  for (const round of ['at once', 'after a restart']) {
    for (const r of requests) {
      const again = await w.call('POST', r.path, r.body, { key: r.key })
      assert.equal(again.status, 201, `${round}: ${r.path} ${again.text}`)
      assert.equal(again.text, r.first.text)
    }
    await w.restart()
  }
  const view = await w.want(200, 'GET', `/v1/coupon-templates/${template.id}`)
  assert.equal(view.issued, 1)
})

test('the same key with another body, path or query is refused; another caller or operation has its own', async () => {
  const coupon = await couponOf()
  const key = randomUUID()
  const body = { code: coupon.code, store: store.id }
  await w.want(201, 'POST', '/v1/redemptions', body, { key })
  await w.refused(422, 'idempotency.reused', 'POST', '/v1/redemptions', { ...body, spend_fen: 1 }, { key })
  await w.want(201, 'POST', '/v1/sales', w.sale(store, [{ product: product.code, amount_fen: 1 }]), { key })
  const other = await w.keyOf('clerk')
  await w.refused(409, 'coupon.used', 'POST', '/v1/redemptions', body, { key, as: other })
})

test('a refusal is not remembered: the same key may be tried again when the reason is gone', async () => {
  const template = await w.template()
  const path = `/v1/coupon-templates/${template.id}`
  await w.want(200, 'POST', `${path}/pause`, { paused: true })
  const claim = ['POST', `${path}/claims`, { phone: w.phone() }, { key: randomUUID() }]
  await w.refused(409, 'coupon.paused', ...claim)
  await w.want(200, 'POST', `${path}/pause`, { paused: false })
  await w.want(201, ...claim)
})

test('where money moves the key is required, and it must be visible ASCII', async () => {
  const coupon = await couponOf()
  const sale = await w.want(201, 'POST', '/v1/sales', w.sale(store, [{ product: product.code, amount_fen: 9 }]))
  const back = { till: 'T', number: 'b', lines: [{ line: 1, quantity: 1 }] }
  for (const [path, body] of [
    ['/v1/redemptions', { code: coupon.code, store: store.id }],
    ['/v1/redemptions/1/reversal', { reason: 'x' }],
    ['/v1/sales', w.sale(store, [{ product: product.code, amount_fen: 9 }])],
    [`/v1/sales/${sale.id}/returns`, back],
  ])
    await w.refused(400, 'idempotency.missing', 'POST', path, body, { key: null })
  const body = { code: coupon.code, store: store.id }
  await w.refused(400, 'idempotency.malformed', 'POST', '/v1/redemptions', body, { key: 'x'.repeat(256) })
  await w.refused(400, 'idempotency.malformed', 'POST', '/v1/redemptions', body, { key: 'schl\u00fcssel' })
  const first = await w.want(201, 'POST', '/v1/redemptions', body, { key: '"till 7, receipt 12"' })
  assert.deepEqual(await w.want(201, 'POST', '/v1/redemptions', body, { key: 'till 7, receipt 12' }), first)
})
