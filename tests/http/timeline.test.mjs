// tests/http/timeline.test.mjs -- what happened with a person, or an actor that is none: in both directions, by
// names, and from one event to its neighbours.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { HOUR, World } from './world.mjs'

const NOON = 1795233600000 // 2026-11-21 12:00 in China
const COUNT = 12

let w
before(async () => {
  w = await World.open({ clock: NOON })
  const event = (i, value) => ({
    id: `${value}-${i}`,
    name: i % 4 === 3 ? 'Bought' : 'Viewed',
    time: new Date(NOON - 24 * HOUR + (i - (i % 2)) * HOUR).toISOString(), // two at each instant
    actor: { kind: 'cookie', value },
    properties: { n: i + 0.12345 },
  })
  for (const value of ['c1', 'c2'])
    await w.want(200, 'POST', '/v1/events', { events: Array.from({ length: COUNT }, (_, i) => event(i, value)) })
})
after(() => w.close())

const path = (query) =>
  `/v1/actors/timeline?${new URLSearchParams([['kind', 'cookie'], ['value', 'c1'], ...query].map(([k, v]) => [k, String(v)]))}`
const timeline = (...query) => w.want(200, 'GET', path(query))
const numbers = (page) => page.items.map((e) => Math.floor(Number(e.properties[0].value)))
const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i)

// All pages, one behind the other.
async function read(...query) {
  const found = []
  let cursor
  for (let pages = 0; pages < 100; pages++) {
    const page = await timeline(...query, ...(cursor ? [['cursor', cursor]] : []))
    found.push(...page.items)
    cursor = page.next
    if (!cursor) return found
  }
  assert.fail('it does not end')
}

test('a timeline is newest first, or oldest first, page by page', async () => {
  const all = await timeline()
  assert.deepEqual(numbers(all), range(0, COUNT).reverse())
  assert.equal(all.next, undefined)
  assert.equal(all.items[0].properties[0].value, '11.12345') // with all its places
  for (const limit of [1, 5, 12]) {
    const newest = await read(['limit', limit])
    assert.deepEqual(numbers({ items: newest }), range(0, COUNT).reverse(), `limit ${limit}`)
    const oldest = await read(['limit', limit], ['order', 'oldest'])
    assert.deepEqual(numbers({ items: oldest }), range(0, COUNT), `limit ${limit}`)
  }
})

test('from an event its neighbours are a page of one, also those with a name', async () => {
  const { items } = await timeline(['order', 'oldest'])
  const beside = async (i, order, ...names) => {
    const page = await timeline(['cursor', items[i].place], ['order', order], ['limit', 1], ...names.map((n) => ['name', n]))
    return numbers(page)
  }
  assert.deepEqual(await beside(5, 'newest'), [4])
  assert.deepEqual(await beside(5, 'oldest'), [6])
  assert.deepEqual(await beside(5, 'newest', 'Bought'), [3])
  assert.deepEqual(await beside(5, 'oldest', 'Bought'), [7])
  assert.deepEqual(await beside(5, 'oldest', 'Bought', 'Viewed'), [6])
  assert.deepEqual(await beside(0, 'newest'), [])
  assert.deepEqual(await beside(11, 'oldest'), [])
  assert.deepEqual(await beside(11, 'newest', 'Never'), [])
})

test('names are found however many others lie between', async () => {
  for (const limit of [1, 2, 200]) {
    const bought = await read(['name', 'Bought'], ['limit', limit])
    assert.deepEqual(numbers({ items: bought }), [11, 7, 3], `limit ${limit}`)
    const oldest = await read(['name', 'Bought'], ['limit', limit], ['order', 'oldest'])
    assert.deepEqual(numbers({ items: oldest }), [3, 7, 11], `limit ${limit}`)
  }
  const rare = Array.from({ length: 5200 }, (_, i) => ({
    id: `r-${i}`,
    name: i === 0 ? 'Rare' : 'Viewed',
    time: new Date(NOON - 48 * HOUR + i).toISOString(),
    actor: { kind: 'cookie', value: 'busy' },
    properties: {},
  }))
  for (let at = 0; at < rare.length; at += 1000)
    await w.want(200, 'POST', '/v1/events', { events: rare.slice(at, at + 1000) })
  const query = (cursor) => `/v1/actors/timeline?kind=cookie&value=busy&name=Rare${cursor ? `&cursor=${cursor}` : ''}`
  const first = await w.want(200, 'GET', query())
  assert.deepEqual(first.items, []) // it looked long enough
  const second = await w.want(200, 'GET', query(first.next))
  assert.deepEqual([second.items.length, second.next], [1, undefined])
})

test('a person has the same timeline', async () => {
  const { id } = await w.want(201, 'POST', '/v1/people', { phone: w.phone(), name: 'A B' })
  await w.claim(await w.template(), { person: id })
  const oldest = await w.want(200, 'GET', `/v1/people/${id}/timeline?order=oldest`)
  const names = oldest.items.map((e) => e.name)
  assert.ok(names.includes('Person Enrolled') && names.includes('Coupon Claimed'), String(names))
  const newest = await w.want(200, 'GET', `/v1/people/${id}/timeline`)
  assert.deepEqual(newest.items, [...oldest.items].reverse())
  const claimed = await w.want(200, 'GET', `/v1/people/${id}/timeline?name=${encodeURIComponent('Coupon Claimed')}`)
  assert.deepEqual(claimed.items.map((e) => e.name), ['Coupon Claimed'])
})

test('who was erased has no timeline, at once, and who comes with the key later begins a new one', async () => {
  const of = (value) => w.want(200, 'GET', `/v1/actors/timeline?kind=cookie&value=${value}&limit=200`)
  const send = (event) => w.want(200, 'POST', '/v1/events', { events: [event] })
  const seen = (id, hours) => ({ id, name: 'Viewed', time: new Date(NOON - hours * HOUR).toISOString(), actor: { kind: 'cookie', value: 'gone' } })
  await send(seen('g1', 3))
  await send(seen('g2', 1))
  assert.equal((await of('gone')).items.length, 2)
  await send({ id: 'g3', kind: 'erase', time: new Date(NOON - 2 * HOUR).toISOString(), actor: { kind: 'cookie', value: 'gone' } })
  assert.deepEqual((await of('gone')).items, [])
  await send(seen('g4', 5))
  assert.deepEqual((await of('gone')).items.map((e) => Date.parse(e.at)), [NOON - 5 * HOUR])
})

test('who may not see people sees no timeline, and a cursor is one of ours', async () => {
  await w.refused(400, 'request.cursor', 'GET', path([['cursor', 'nonsense']]))
  await w.refused(400, 'request.choice', 'GET', path([['order', 'sideways']]))
  await w.refused(400, 'request.missing', 'GET', '/v1/actors/timeline?kind=cookie')
  const analyst = await w.keyOf('analyst')
  await w.refused(403, 'auth.permission', 'GET', path([]), undefined, { as: analyst })
  const { id } = await w.store()
  const scoped = await w.keyOf('marketer', [id])
  await w.refused(403, 'auth.permission', 'GET', path([]), undefined, { as: scoped })
  assert.deepEqual(await w.want(200, 'GET', '/v1/actors/timeline?kind=cookie&value=never'), { items: [] })
})
