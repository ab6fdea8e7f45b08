// tests/http/properties.test.mjs -- what a property may be: amounts and times in JSON, types that are pinned, and what is
// kept aside of them.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { DAY, World } from './world.mjs'

const NOON = 1795233600000 // 2026-11-21 12:00 in China
const WEEK = { from: '2026-11-15', to: '2026-11-21' }

let w
before(async () => (w = await World.open({ clock: NOON })))
after(() => w.close())

let count = 0
const event = (name, properties, fields = {}) => ({
  id: `p-${count++}`,
  name,
  time: new Date(NOON - DAY).toISOString(),
  actor: { kind: 'member', value: 'm-1' },
  properties,
  ...fields,
})
const send = (...events) => w.want(200, 'POST', '/v1/events', { events })
async function collect(...events) {
  const receipt = await send(...events)
  assert.deepEqual(receipt, { accepted: events.length, refused: [] })
}
const cell = async (fields) =>
  (await w.want(200, 'POST', '/v1/query', { trend: { ...WEEK, by: 'all', ...fields } })).trend.series[0].cells[0]
const properties = (query = '') => w.want(200, 'GET', `/v1/properties${query}`)
const property = async (name, of = 'event') =>
  (await properties('?limit=1000')).items.find((p) => p.name === name && p.of === of)

test('an amount is a number or a text in the folder\'s currency, exact', async () => {
  await collect(
    event('Paid', { fee: { money: 12.5 } }),
    event('Paid', { fee: { money: '12.50 CNY' } }),
    event('Paid', { fee: { money: '0.01' } }),
    event('Paid', { fee: { money: -3 } }),
  )
  assert.equal((await property('fee')).type, 'amount')
  assert.equal(await cell({ of: '"Paid"', measure: 'sum', number: 'fee' }), '22.01')
  assert.equal(await cell({ of: '"Paid" where fee == 12.50 CNY' }), '2')
})

test('a time is RFC 3339 or milliseconds, to the millisecond', async () => {
  await collect(
    event('Booked', { slot: { time: '2026-11-22T10:00:00.001+08:00' } }),
    event('Booked', { slot: { time: NOON } }),
    event('Booked', { slot: { time: '1969-12-31T23:59:59Z' } }),
  )
  assert.equal((await property('slot')).type, 'time')
  assert.equal(await cell({ of: '"Booked" where slot > 2026-11-22T10:00:00' }), '1')
  assert.equal(await cell({ of: '"Booked" where slot < 2026-11-22' }), '2')
})

test('records and attributes hold amounts and times too', async () => {
  await collect(
    event('Packed', { boxes: [{ worth: { money: 2.5 } }, { worth: { money: '7.50' } }] }),
    { id: 'a-1', kind: 'attributes', actor: { kind: 'member', value: 'm-1' }, time: new Date(NOON - DAY).toISOString(), properties: { credit: { money: 100 }, since: { time: NOON } } },
  )
  assert.equal(await cell({ of: '"Packed" where sum(boxes, worth) == 10.00 CNY' }), '1')
  assert.equal((await property('credit', 'person')).type, 'amount')
  assert.equal((await property('since', 'person')).type, 'time')
})

test('what is no amount and no time is refused by itself, and says what to send', async () => {
  const wrong = [
    { money: 12.345 }, { money: '12.50 USD' }, { money: 'much' }, { money: true }, { money: null }, { money: 1e16 }, { money: '' }, { money: ' CNY' },
    { time: 'yesterday' }, { time: 1.5 }, { time: true }, { time: 1e300 }, { money: 1, time: 2 }, { price: 1 }, {}, { money: [1] },
  ]
  const receipt = await send(...wrong.map((v) => event('Wrong', { v })), event('Right', { v: { money: 1 } }))
  assert.equal(receipt.accepted, 1)
  assert.deepEqual(receipt.refused.map((r) => r.index), wrong.map((_, i) => i))
  for (const refused of receipt.refused) assert.equal(refused.pointer, '/properties')
  assert.match(receipt.refused[0].detail, /CNY.*2 decimal places/)
  assert.match(receipt.refused.at(-2).detail, /"money"/)
})

test('a sale counts whatever another door sent first under its names, and who sent it is told', async () => {
  const before = await property('total')
  assert.equal(before.type, 'amount')
  await collect(
    event('Order Completed', { total: 'free', order_id: 17, products: ['a', 'b'] }),
    event('Order Completed', { total: 5.5, order_id: 'web-17', products: [{ product_id: 'x', quantity: 2, total: 5.5 }] }),
    event('Order Completed', { total: 5.555, order_id: 'web-18', products: [{ product_id: 'x', quantity: 1, total: { money: '0.50' } }] }),
  )
  const [store, product] = [await w.store(), await w.product()]
  await w.want(201, 'POST', '/v1/sales', w.sale(store, [{ product: product.code, amount_fen: 1000, quantity: 3 }]))
  const today = { from: '2026-11-15', to: '2026-11-30', of: '"Order Completed"' }
  for (;;) {
    if ((await cell({ ...today })) === '4') break
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  assert.equal(await cell({ ...today, measure: 'sum', number: 'total' }), '15.50')
  assert.equal(await cell({ ...today, of: '"Order Completed" where sum(products, total) == 5.50 CNY' }), '1')
  const aside = (await properties('?aside=true')).items
  const told = (name) => aside.find((p) => p.name === name && p.of === 'event')
  const total = told('total')
  assert.deepEqual([total.other_type - before.other_type, total.came_as, total.odd_numbers - before.odd_numbers], [1, 'text', 1])
  assert.deepEqual([told('order_id').type, told('order_id').came_as], ['text', 'number'])
  assert.deepEqual([told('products').type, told('products').came_as], ['records', 'texts'])
  assert.equal(told('fee'), undefined)
})

test('amounts of a property that was a number first are numbers, exactly', async () => {
  await collect(
    event('Weighed', { weight: 1.5 }),
    event('Weighed', { weight: { money: '2.25' }, rows: [{ w: 1 }, { w: { money: 3 } }] }),
  )
  assert.equal((await property('weight')).other_type, 0)
  assert.equal(await cell({ of: '"Weighed"', measure: 'sum', number: 'weight' }), '3.75')
  assert.equal(await cell({ of: '"Weighed" where sum(rows, w) == 4' }), '1')
})

test('numbers that are too fine, and another type in a record or a context, are told of their property', async () => {
  await collect(
    event('Weighed', { kg: 0.1234567, parts: [{ n: 1 }, { n: 'one' }] }, { context: { build: 7 } }),
    event('Weighed', { kg: 0.5, parts: [{ n: true }] }, { context: { build: 'seven' } }),
  )
  const { odd_numbers, other_type } = await property('kg')
  assert.deepEqual([odd_numbers, other_type], [1, 0])
  const n = await property('n', 'record')
  assert.deepEqual([n.list, n.type, n.other_type, n.came_as], ['parts', 'number', 2, 'boolean'])
  const build = await property('build', 'context')
  assert.deepEqual([build.type, build.other_type, build.came_as], ['number', 1, 'text'])
  assert.match((await w.call('GET', '/metrics', undefined, { as: null })).text, /engine_kept_aside_total [1-9]/)
})

test('pages of properties are all of them, each once', async () => {
  const all = (await properties('?limit=1000')).items
  const paged = []
  for (let query = '?limit=3', page; query !== ''; query = page.next === undefined ? '' : `?limit=3&cursor=${page.next}`) {
    page = await properties(query)
    paged.push(...page.items)
  }
  assert.deepEqual(paged, all)
  assert.ok(all.length > 15)
  assert.deepEqual(await properties('?cursor=99999999'), { items: [] })
})

test('types and the server\'s own properties outlive a restart', async () => {
  const types = async () => (await properties('?limit=1000')).items.map((p) => [p.of, p.list, p.name, p.type])
  const before = await types()
  await w.restart()
  await cell({ of: '"Paid"' })
  assert.deepEqual(await types(), before)
})
