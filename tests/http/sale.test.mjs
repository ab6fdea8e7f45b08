// tests/http/sale.test.mjs -- what coupons take off a basket, line by line, and what comes back.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { World } from './world.mjs'

let w, store, a, b, c
before(async () => {
  w = await World.open()
  store = await w.store()
  ;[a, b, c] = [await w.product(), await w.product(), await w.product()]
})
after(() => w.close())

const sum = (lines, field) => lines.reduce((total, line) => total + line[field], 0)
const line = (product, amount_fen, quantity = 1) => ({ product: product.code, amount_fen, quantity })
const sell = (lines, fields) => w.want(201, 'POST', '/v1/sales', w.sale(store, lines, fields))
const couponOf = async (template, who) => w.claim(await w.template(template), who)

/** The sums that must hold for every sale and return. */
function balanced(sale, before_fen) {
  assert.equal(sum(sale.lines, 'net_fen'), sale.net_fen)
  assert.equal(sum(sale.lines, 'coupon_discount_fen'), sale.coupon_discount_fen)
  assert.equal(sale.net_fen + sale.coupon_discount_fen, before_fen)
  assert.equal(sum(sale.redemptions, 'discount_fen'), sale.coupon_discount_fen)
}

test('an amount coupon is split over the lines to the last fen', async () => {
  const coupon = await couponOf({ amount_fen: 1000 })
  const sale = await sell([line(a, 333), line(b, 333), line(c, 1000)], { coupons: [{ code: coupon.code }] })
  balanced(sale, 1666)
  assert.equal(sale.coupon_discount_fen, 1000)
  assert.deepEqual(sale.lines.map((l) => l.coupon_discount_fen), [200, 200, 600])
})

test('an amount coupon never makes a sale negative', async () => {
  const coupon = await couponOf({ amount_fen: 1000 })
  const sale = await sell([line(a, 300), line(b, 1)], { coupons: [{ code: coupon.code }] })
  balanced(sale, 301)
  assert.equal(sale.net_fen, 0)
})

test('a percent coupon rounds down and stops at its cap', async () => {
  const coupon = await couponOf({ kind: 'percent', rate_bps: 1500 })
  const sale = await sell([line(a, 999), line(b, 1000)], { coupons: [{ code: coupon.code }] })
  balanced(sale, 1999)
  assert.equal(sale.coupon_discount_fen, 299)
  const capped = await couponOf({ kind: 'percent', rate_bps: 5000, cap_fen: 700 })
  const big = await sell([line(a, 100001), line(b, 3)], { coupons: [{ code: capped.code }] })
  balanced(big, 100004)
  assert.equal(big.coupon_discount_fen, 700)
})

test('a gift coupon makes one piece of its product free, and needs it in the basket', async () => {
  const template = { kind: 'gift', gift_product: c.id }
  const coupon = await couponOf(template)
  assert.equal(coupon.gift_name, c.name)
  await w.refused(409, 'coupon.no_product', 'POST', '/v1/sales', w.sale(store, [line(a, 500)], { coupons: [{ code: coupon.code }] }))
  const sale = await sell([line(a, 500), line(c, 1200, 3)], { coupons: [{ code: coupon.code }] })
  balanced(sale, 1700)
  assert.deepEqual(sale.lines.map((l) => l.coupon_discount_fen), [0, 400])
})

test('a coupon for some products counts, and takes off, only those', async () => {
  const coupon = await couponOf({ products: [a.id, b.id], amount_fen: 500, min_spend_fen: 2000 })
  const few = w.sale(store, [line(a, 1999), line(c, 9000)], { coupons: [{ code: coupon.code }] })
  await w.refused(409, 'coupon.min_spend', 'POST', '/v1/sales', few)
  const sale = await sell([line(a, 1500), line(b, 500), line(c, 9000)], { coupons: [{ code: coupon.code }] })
  balanced(sale, 11000)
  assert.deepEqual(sale.lines.map((l) => l.coupon_discount_fen), [375, 125, 0])
})

test('a coupon for some shops is refused in the others', async () => {
  const other = await w.store()
  const coupon = await couponOf({ stores: [other.id] })
  const body = { code: coupon.code }
  await w.refused(409, 'coupon.store', 'POST', '/v1/redemptions', { ...body, store: store.id })
  await w.refused(409, 'coupon.store', 'POST', '/v1/sales', w.sale(store, [line(a, 5000)], { coupons: [body] }))
  await w.want(201, 'POST', '/v1/redemptions', { ...body, store: other.id })
})

test('two coupons: each on what the one before left; the same twice is refused', async () => {
  const phone = w.phone()
  const half = await couponOf({ kind: 'percent', rate_bps: 5000 }, { phone })
  const ten = await couponOf({ amount_fen: 1000 }, { phone })
  const twice = w.sale(store, [line(a, 5000)], { coupons: [{ code: ten.code }, { coupon: ten.id }] })
  await w.refused(409, 'order.coupon_twice', 'POST', '/v1/sales', twice)
  const sale = await sell([line(a, 3001), line(b, 2000)], { phone, coupons: [{ code: half.code }, { coupon: ten.id }] })
  balanced(sale, 5001)
  assert.deepEqual(sale.redemptions.map((r) => r.discount_fen), [2500, 1000])
})

test("somebody else's coupon, and coupons of two people, are refused and stay good", async () => {
  const mine = await couponOf()
  const yours = await couponOf()
  const stranger = w.phone()
  await w.want(201, 'POST', '/v1/people', { phone: stranger })
  const lines = [line(a, 5000)]
  const asStranger = w.sale(store, lines, { phone: stranger, coupons: [{ code: mine.code }] })
  await w.refused(409, 'order.coupon_person', 'POST', '/v1/sales', asStranger)
  const both = w.sale(store, lines, { coupons: [{ code: mine.code }, { code: yours.code }] })
  await w.refused(409, 'order.coupon_person', 'POST', '/v1/sales', both)
  for (const coupon of [mine, yours])
    assert.equal((await w.want(200, 'GET', `/v1/coupons/${coupon.code}`)).state, 'issued')
})

test('tenders must be what is to pay, and the answer says how much that is; nothing is stored', async () => {
  const coupon = await couponOf({ amount_fen: 1000 })
  const wrong = w.sale(store, [line(a, 5000)], { coupons: [{ code: coupon.code }], tenders: [{ kind: 'cash', amount_fen: 5000 }] })
  const problem = await w.refused(409, 'order.tender_mismatch', 'POST', '/v1/sales', wrong)
  assert.match(problem.detail, /to pay 4000, tendered 5000/)
  assert.equal((await w.want(200, 'GET', `/v1/coupons/${coupon.code}`)).state, 'issued')
  const right = { ...wrong, tenders: [{ kind: 'cash', amount_fen: 5000 }, { kind: 'change', amount_fen: -1000 }] }
  assert.equal((await w.want(201, 'POST', '/v1/sales', right)).tenders.length, 2)
})

test('by the phone alone: the wallet shows what is there, and its id redeems', async () => {
  const phone = w.phone()
  const template = await w.template({ amount_fen: 200, per_person: 2 })
  const [one] = [await w.claim(template, { phone }), await w.claim(template, { phone })]
  const wallet = await w.want(200, 'POST', '/v1/wallets', { phone })
  assert.equal(wallet.items.length, 2)
  const sale = await sell([line(a, 5000)], { phone, coupons: [{ coupon: one.id }] })
  assert.equal(sale.person, wallet.person)
  const after = await w.want(200, 'POST', '/v1/wallets', { phone })
  assert.deepEqual(after.items.map((i) => i.state).sort(), ['issued', 'redeemed'])
  const nobody = await sell([line(a, 100)], { phone: w.phone() })
  assert.equal(nobody.person, undefined)
})

test('a coupon that would take nothing off is not burnt', async () => {
  const coupon = await couponOf({ kind: 'percent', rate_bps: 100 })
  const sale = w.sale(store, [line(a, 99)], { coupons: [{ code: coupon.code }] })
  await w.refused(409, 'coupon.no_effect', 'POST', '/v1/sales', sale)
  assert.equal((await w.want(200, 'GET', `/v1/coupons/${coupon.code}`)).state, 'issued')
})

/** A small generator with a seed, so that a failure can be run again. */
function dice(seed) {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

test('returns in random pieces take back exactly what was paid, and never more', async () => {
  for (let seed = 1; seed <= 12; seed++) {
    const roll = dice(seed)
    const lines = [a, b, c].slice(0, 1 + roll(3)).map((p) => line(p, 1 + roll(10000), 1 + roll(7)))
    const coupon = await couponOf({ amount_fen: 1 + roll(2500) })
    const sale = await sell(lines, { coupons: [{ code: coupon.code }] })
    const left = sale.lines.map((l) => l.quantity)
    const refunded = sale.lines.map(() => ({ net: 0, off: 0 }))
    for (let part = 1; left.some((n) => n > 0); part++) {
      const wanted = left.map((n, i) => ({ line: i + 1, quantity: Math.min(n, roll(n + 1)) })).filter((l) => l.quantity > 0)
      if (wanted.length === 0) continue
      const back = await w.want(201, 'POST', `/v1/sales/${sale.id}/returns`, { till: 'T1', number: `s${seed}-${part}`, lines: wanted })
      assert.equal(sum(back.lines, 'net_fen'), back.net_fen)
      back.lines.forEach((l, i) => {
        const at = wanted[i].line - 1
        assert.equal(l.quantity, -wanted[i].quantity)
        assert.ok(l.net_fen <= 0 && l.coupon_discount_fen <= 0)
        refunded[at].net -= l.net_fen
        refunded[at].off -= l.coupon_discount_fen
        left[at] -= wanted[i].quantity
        assert.ok(refunded[at].net <= sale.lines[at].net_fen, `seed ${seed}`)
      })
    }
    sale.lines.forEach((l, i) => assert.deepEqual(refunded[i], { net: l.net_fen, off: l.coupon_discount_fen }, `seed ${seed}`))
    const more = { till: 'T1', number: `s${seed}-more`, lines: [{ line: 1, quantity: 1 }] }
    await w.refused(409, 'order.returned', 'POST', `/v1/sales/${sale.id}/returns`, more)
  }
})

test('a return cannot be returned, and a line not named twice', async () => {
  const sale = await sell([line(a, 500, 2)])
  const path = `/v1/sales/${sale.id}/returns`
  const one = { line: 1, quantity: 1 }
  await w.refused(409, 'order.returned', 'POST', path, { till: 'T1', number: 'tw', lines: [one, one] })
  const back = await w.want(201, 'POST', path, { till: 'T1', number: 'ok', lines: [one] })
  await w.refused(409, 'order.not_a_sale', 'POST', `/v1/sales/${back.id}/returns`, { till: 'T1', number: 'x', lines: [one] })
  await w.refused(404, 'order.unknown', 'POST', '/v1/sales/12345/returns', { till: 'T1', number: 'x', lines: [one] })
})
