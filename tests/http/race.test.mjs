// tests/http/race.test.mjs -- many at once: exactly as many as there are, and never one more.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { tally, together, World } from './world.mjs'

let w, store
before(async () => {
  w = await World.open()
  store = await w.store()
})
after(() => w.close())

const answers = (replies) => tally(replies, (r) => `${r.status} ${r.body.code?.includes('.') ? r.body.code : ''}`.trim())

test('1,000 parallel claims on a stock of 100 give exactly 100', async () => {
  const template = await w.template({ stock: 100 })
  const people = Array.from({ length: 1000 }, () => ({ phone: w.phone() }))
  const path = `/v1/coupon-templates/${template.id}/claims`
  const replies = await together(1000, (i) => w.call('POST', path, people[i]))
  const got = replies.filter((r) => r.status === 201)
  assert.equal(got.length, 100)
  assert.equal(new Set(got.map((r) => r.body.code)).size, 100)
  assert.deepEqual(tally(replies.filter((r) => r.status !== 201), (r) => r.body.code), { 'coupon.sold_out': 900 })
  assert.equal((await w.want(200, 'GET', `/v1/coupon-templates/${template.id}`)).issued, 100)
})

test('64 parallel claims of one person where one may have three give exactly three', async () => {
  const template = await w.template({ per_person: 3 })
  const phone = w.phone()
  const path = `/v1/coupon-templates/${template.id}/claims`
  const replies = await together(64, () => w.call('POST', path, { phone }))
  assert.equal(replies.filter((r) => r.status === 201).length, 3)
  assert.deepEqual(tally(replies.filter((r) => r.status !== 201), (r) => r.body.code), { 'coupon.limit': 61 })
  assert.equal((await w.want(200, 'POST', '/v1/wallets', { phone })).items.length, 3)
})

test('64 parallel enrolments of one phone make one person', async () => {
  const phone = w.phone()
  const replies = await together(64, () => w.call('POST', '/v1/people', { phone }))
  assert.deepEqual(tally(replies, (r) => r.status), { 201: 64 })
  assert.equal(new Set(replies.map((r) => r.body.id)).size, 1)
  assert.equal(replies.filter((r) => r.body.created).length, 1)
})

for (const [how, which] of [['by its code', (c) => ({ code: c.code })], ['by its wallet id', (c) => ({ coupon: c.id })]])
  test(`64 parallel redeems of one coupon ${how} redeem it exactly once`, async () => {
    const template = await w.template()
    const coupon = await w.claim(template)
    const body = { ...which(coupon), store: store.id }
    const replies = await together(64, () => w.call('POST', '/v1/redemptions', body))
    assert.equal(replies.filter((r) => r.status === 201).length, 1)
    assert.deepEqual(tally(replies.filter((r) => r.status !== 201), (r) => r.body.code), { 'coupon.used': 63 })
    assert.equal((await w.want(200, 'GET', `/v1/coupon-templates/${template.id}`)).redeemed, 1)
  })

test('64 parallel sales with one coupon sell once with it', async () => {
  const product = await w.product()
  const coupon = await w.claim(await w.template())
  const replies = await together(64, () =>
    w.call('POST', '/v1/sales', w.sale(store, [{ product: product.code, amount_fen: 3000 }], { coupons: [{ code: coupon.code }] })),
  )
  assert.deepEqual(answers(replies), { 201: 1, '409 coupon.used': 63 })
})

test('64 parallel sales with one receipt number are one sale', async () => {
  const product = await w.product()
  const sale = w.sale(store, [{ product: product.code, amount_fen: 3000 }])
  const replies = await together(64, () => w.call('POST', '/v1/sales', sale))
  assert.deepEqual(answers(replies), { 201: 1, '409 order.exists': 63 })
})

test('64 parallel reversals of one redemption take it back once', async () => {
  const coupon = await w.claim(await w.template())
  const redemption = await w.want(201, 'POST', '/v1/redemptions', { code: coupon.code, store: store.id })
  const path = `/v1/redemptions/${redemption.id}/reversal`
  const replies = await together(64, () => w.call('POST', path, { reason: 'test' }))
  assert.deepEqual(answers(replies), { 200: 1, '409 coupon.reversed': 63 })
  assert.equal((await w.want(200, 'GET', `/v1/coupons/${coupon.code}`)).state, 'issued')
})

test('64 parallel returns of the last piece return it once', async () => {
  const product = await w.product()
  const sale = await w.want(201, 'POST', '/v1/sales', w.sale(store, [{ product: product.code, amount_fen: 999 }]))
  const replies = await together(64, (i) =>
    w.call('POST', `/v1/sales/${sale.id}/returns`, { till: 'T9', number: `r${i}`, lines: [{ line: 1, quantity: 1 }] }),
  )
  assert.deepEqual(answers(replies), { 201: 1, '409 order.returned': 63 })
})

test('64 parallel requests with one Idempotency-Key do one thing and give one answer', async () => {
  const coupon = await w.claim(await w.template())
  const body = { code: coupon.code, store: store.id }
  const key = randomUUID()
  const send = () => w.call('POST', '/v1/redemptions', body, { key })
  const replies = await together(64, send)
  const texts = new Set(replies.filter((r) => r.status === 201).map((r) => r.text))
  assert.equal(texts.size, 1)
  for (const r of replies)
    assert.ok(r.status === 201 || r.body.code === 'idempotency.in_flight', `${r.status} ${r.text}`)
  assert.equal((await send()).text, [...texts][0])
})
