// tests/http/loop.test.mjs -- the loop: claim, redeem, reverse, report; and every other operation once.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { DAY, PASSWORD, World } from './world.mjs'

let w
before(async () => (w = await World.open()))
after(() => w.close())

test('a coupon claimed online is redeemed with a sale, taken back, and the report shows it', async () => {
  const campaign = await w.want(201, 'POST', '/v1/campaigns', {
    code: 'C1',
    name: 'First',
    kind: 'TypeA',
    start: new Date(w.now() - DAY).toISOString(),
    end: new Date(w.now() + DAY).toISOString(),
  })
  assert.deepEqual(await w.want(200, 'GET', `/v1/campaigns/${campaign.id}`), campaign)
  const store = await w.store({ city: '上海', hours: 'Mo-Su 10:00-22:00' })
  const soap = await w.product({ name: 'Soap 香皂' })
  const template = await w.template({ campaign: campaign.id, stock: 10 })
  const phone = w.phone()
  const coupon = await w.claim(template, { phone, name: '李雷', channel: 'h5' })
  assert.equal(coupon.state, 'issued')
  assert.match(coupon.code, /^[0-9A-Z]{4}(-[0-9A-Z]{4}){4}$/)
  assert.equal(coupon.phone.includes(phone), false)

  const look = await w.want(200, 'GET', `/v1/coupons/${coupon.code}`)
  assert.deepEqual(look, coupon)
  const wallet = await w.want(200, 'POST', '/v1/wallets', { phone })
  assert.deepEqual(wallet.items.map((c) => c.id), [coupon.id])

  const lines = [{ product: soap.code, quantity: 2, amount_fen: 5000 }]
  const draft = w.sale(store, lines, { coupons: [{ code: coupon.code }], tenders: [{ kind: 'wechat', amount_fen: 4000 }] })
  const quote = await w.want(200, 'POST', '/v1/sales/quote', draft)
  assert.equal(quote.net_fen, 4000)
  assert.equal(quote.id, undefined)
  const sale = await w.want(201, 'POST', '/v1/sales', draft)
  assert.equal(sale.net_fen, 4000)
  assert.equal(sale.coupon_discount_fen, 1000)
  assert.equal(sale.person, coupon.person)
  const stored = await w.want(200, 'GET', `/v1/sales/${sale.id}`)
  assert.equal(stored.net_fen, 4000)
  assert.deepEqual(stored.lines, sale.lines)
  assert.equal((await w.want(200, 'GET', `/v1/coupons/${coupon.code}`)).state, 'redeemed')

  const report = await w.want(200, 'GET', `/v1/reports/campaigns/${campaign.id}`)
  assert.equal(report.campaign.redemptions, 1)
  assert.equal(report.campaign.discount_fen, 1000)
  assert.deepEqual([report.coupons[0].issued, report.coupons[0].redeemed], [1, 1])

  const redemption = sale.redemptions[0].redemption
  const reversal = (id) => ['POST', `/v1/redemptions/${id}/reversal`, { reason: 'wrong customer' }]
  await w.refused(409, 'coupon.with_sale', ...reversal(redemption))
  const returned = await w.want(201, 'POST', `/v1/sales/${sale.id}/returns`, {
    till: 'T1',
    number: 'back-1',
    lines: [{ line: 1, quantity: 2 }],
  })
  assert.equal(returned.net_fen, -4000)
  assert.equal((await w.want(200, 'GET', `/v1/coupons/${coupon.code}`)).state, 'issued')
  const after = await w.want(200, 'GET', `/v1/reports/campaigns/${campaign.id}`)
  assert.equal(after.campaign.redemptions, 0)
  assert.equal(after.campaign.discount_fen, 0)

  const alone = await w.want(201, 'POST', '/v1/redemptions', { code: coupon.code, store: store.id })
  assert.equal(alone.discount_fen, 1000)
  assert.ok((await w.want(200, ...reversal(alone.id))).reversed_at)
  await w.refused(409, 'coupon.reversed', ...reversal(alone.id))
  const last = await w.want(201, 'POST', '/v1/redemptions', { coupon: coupon.id, store: store.id })
  const list = await w.want(200, 'GET', '/v1/redemptions')
  assert.deepEqual(list.items.map((r) => r.id), [last.id, alone.id, redemption])
  const view = await w.want(200, 'GET', `/v1/coupon-templates/${template.id}`)
  assert.deepEqual([view.issued, view.redeemed, view.reversed, view.discount_fen], [1, 3, 2, 1000])
  const overview = await w.want(200, 'GET', '/v1/overview')
  assert.deepEqual([overview.people, overview.stores, overview.products], [1, 1, 1])
  const campaigns = await w.want(200, 'GET', '/v1/reports/campaigns')
  assert.equal(campaigns.campaigns.length, 1)
  assert.equal((await w.want(200, 'GET', '/v1/campaigns')).items.length, 1)
  assert.equal((await w.want(200, 'GET', '/v1/coupon-templates')).items.length, 1)
})

test('a paused template gives no coupons until it is resumed', async () => {
  const template = await w.template()
  const path = `/v1/coupon-templates/${template.id}`
  assert.equal((await w.want(200, 'POST', `${path}/pause`, { paused: true })).paused, true)
  await w.refused(409, 'coupon.paused', 'POST', `${path}/claims`, { phone: w.phone() })
  await w.want(200, 'POST', `${path}/pause`, { paused: false })
  await w.claim(template)
})

test('a person is enrolled, found, shown masked, revealed with a reason, and has a timeline', async () => {
  const phone = w.phone()
  const made = await w.want(201, 'POST', '/v1/people', { phone, card: 'CARD-77', name: '韩梅梅' })
  assert.equal(made.created, true)
  const again = await w.want(201, 'POST', '/v1/people', { phone: `+86 ${phone}` })
  assert.deepEqual(again, { id: made.id, created: false })
  const person = await w.want(200, 'GET', `/v1/people/${made.id}`)
  assert.equal(person.name, '韩梅梅')
  for (const q of [phone, 'CARD-77', phone.slice(-4), '梅梅']) {
    const found = await w.want(200, 'POST', '/v1/people/search', { q })
    assert.ok(found.items.some((p) => p.id === made.id), `search ${q.length} characters`)
  }
  const revealed = await w.want(200, 'POST', `/v1/people/${made.id}/reveal`, { reason: 'asked by the customer' })
  assert.ok(revealed.phone.endsWith(phone))
  await w.claim(await w.template(), { person: made.id })
  const timeline = await w.want(200, 'GET', `/v1/people/${made.id}/timeline`)
  assert.ok(timeline.items.some((e) => e.name === 'Coupon Claimed'), JSON.stringify(timeline))
  assert.ok((await w.want(200, 'GET', '/v1/people')).items.some((p) => p.id === made.id))
  const audit = await w.want(200, 'GET', '/v1/audit')
  assert.ok(audit.items.some((a) => a.action === 'person_reveal' && a.object === made.id))
})

test('shops, products, accounts, keys, jobs and the session answer', async () => {
  const store = await w.store()
  assert.deepEqual(await w.want(200, 'GET', `/v1/stores/${store.id}`), store)
  const renamed = await w.want(200, 'PUT', `/v1/stores/${store.id}`, { code: store.code, name: 'New name' })
  assert.equal(renamed.name, 'New name')
  assert.ok((await w.want(200, 'GET', '/v1/stores')).items.some((s) => s.name === 'New name'))
  const product = await w.product()
  const byCode = await w.want(200, 'GET', `/v1/products?code=${product.code}`)
  assert.deepEqual(byCode.items, [product])
  const staff = await w.want(201, 'POST', '/v1/staff', { login: 'wang', name: 'Wang', role: 'clerk', password: PASSWORD })
  assert.equal((await w.want(200, 'POST', `/v1/staff/${staff.id}/disabled`, { disabled: true })).disabled, true)
  await w.want(200, 'POST', `/v1/staff/${staff.id}/password`, { password: `${PASSWORD} 2` })
  assert.equal((await w.want(200, 'GET', '/v1/staff')).items.length, 2)
  const made = await w.want(201, 'POST', '/v1/keys', { name: 'till', role: 'clerk' })
  assert.ok((await w.want(200, 'GET', '/v1/keys')).items.some((k) => k.id === made.id))
  await w.want(200, 'DELETE', `/v1/keys/${made.id}`)
  await w.want(200, 'GET', '/v1/jobs')
  await w.refused(404, 'job.unknown', 'POST', '/v1/jobs/1/retry')
  const session = await w.signIn('admin')
  assert.equal((await w.want(200, 'GET', '/v1/session', undefined, session.read)).login, 'admin')
  await w.want(200, 'DELETE', '/v1/session', undefined, session.write)
  await w.refused(401, 'auth.session', 'GET', '/v1/session', undefined, session.read)
})

test('the contract that is served names every operation', async () => {
  const served = await w.want(200, 'GET', '/openapi.json', undefined, { as: null })
  const ours = JSON.parse(readFileSync(process.env.TONGDIAN_OPENAPI, 'utf8'))
  assert.deepEqual(served.paths, ours.paths)
})

test('an event with a text that is no Unicode costs itself, and not its batch', async () => {
  const time = new Date(w.now()).toISOString()
  const event = (id, more) => ({ id, name: 'Half Emoji', time, ...more })
  const receipt = await w.want(200, 'POST', '/v1/events', {
    source: 'shop-app',
    events: [
      event('h1', { properties: { 'caf\u00e9 "quoted"': '\u6c34\n', weight: 12.5, large: 1e3, third: 0.125 } }),
      event('h2', { properties: { text: '\ud83d' } }),
      event('h3', { properties: { ['\ud83d']: 1 } }),
      event('h4', { properties: { list: ['fine', '\ude00'] } }),
      event('h5', { properties: { text: 'a\0b' } }),
      event('h6'),
    ],
  })
  assert.equal(receipt.accepted, 2)
  assert.deepEqual(receipt.refused.map((r) => [r.index, r.code]), [1, 2, 3, 4].map((i) => [i, 'event.text']))
})

test('events are collected, the bad ones listed, and counted by day', async () => {
  const time = new Date(w.now()).toISOString()
  const receipt = await w.want(200, 'POST', '/v1/events', {
    source: 'shop-app',
    events: [
      { id: 'e1', name: 'Page Viewed', time, actor: { kind: 'cookie', value: 'c-1' }, properties: { path: '/soap' } },
      { id: 'e2', name: '', time },
    ],
  })
  assert.equal(receipt.accepted, 1)
  assert.equal(receipt.refused[0].index, 1)
  const day = time.slice(0, 10)
  const counts = await w.want(200, 'GET', `/v1/events/counts?from=${day}&to=${day}&name=Page%20Viewed`)
  assert.equal(counts.total, 1)
})
