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

// ---- of several actors ---------------------------------------------------------------------------------

const KEYS = ['k0', 'k1', 'k2', 'k3', 'k4', 'k5']
const device = (value) => ({ kind: 'device', value })
let state = 20261123
const below = (n) => (state = (state * 48271) % 2147483647) % n
let ids = 0

/** The same through both doors, page by page. */
async function readBoth(value, limit, order, names) {
  const found = []
  let cursor
  for (let pages = 0; pages < 200; pages++) {
    const query = [['kind', 'device'], ['value', value], ['limit', limit], ['order', order], ...names.map((n) => ['name', n])]
    if (cursor) query.push(['cursor', cursor])
    const page = await w.want(200, 'GET', `/v1/actors/timeline?${new URLSearchParams(query.map(([k, v]) => [k, String(v)]))}`)
    const asked = { ...device(value), limit, order, names, ...(cursor && { cursor }) }
    assert.deepEqual((await w.want(200, 'POST', '/v1/query', { timeline: asked })).timeline, page)
    assert.ok(page.items.length <= limit)
    found.push(...page.items.map((e) => Number(e.properties[0].value)))
    cursor = page.next
    if (!cursor) return found
  }
  assert.fail('it does not end')
}

test('a timeline is that of all actors who are one person now: linked, apart again, erased, many at one instant', async () => {
  const events = [], links = new Map()
  const post = (body) => w.want(200, 'POST', '/v1/events', { events: [].concat(body) })
  const said = (kind, fields) => post({ id: `t-${ids++}`, kind, time: new Date(NOON).toISOString(), ...fields })
  const together = (key) => {
    const found = new Set([key])
    for (let size = 0; size !== found.size;) {
      size = found.size
      for (const [a, b] of links.values()) if (found.has(a) !== found.has(b)) found.add(a).add(b)
    }
    return found
  }
  let several = 0
  for (let round = 0; round < 40; round++) {
    await post(Array.from({ length: 1 + below(8) }, () => {
      const one = { n: events.length, key: KEYS[below(6)], ms: NOON - (1 + below(9)) * HOUR, name: below(3) === 0 ? 'Bought' : 'Viewed' }
      events.push(one)
      return { id: `t-${ids++}`, name: one.name, time: new Date(one.ms).toISOString(), actor: device(one.key), properties: { n: one.n } }
    }))
    const [a, b] = [KEYS[below(6)], KEYS[below(6)]].sort()
    if (a !== b) {
      const undo = links.has(a + b)
      await said(undo ? 'unlink' : 'link', { actor: device(a), other: device(b) })
      if (undo) links.delete(a + b)
      else links.set(a + b, [a, b])
    }
    if (round === 25) {
      await said('erase', { actor: device('k2') })
      for (const [name, pair] of links) if (pair.includes('k2')) links.delete(name)
      for (const e of events) e.gone ||= e.key === 'k2'
    }
    await w.want(200, 'POST', '/v1/query', { segment: { of: 'did(any event)' } }) // what was sent is read
    const key = KEYS[below(6)], names = [[], ['Bought'], ['Bought', 'Viewed']][below(3)], order = ['newest', 'oldest'][below(2)]
    const whom = together(key)
    several += whom.size > 2
    const want = events.filter((e) => !e.gone && whom.has(e.key) && (names.length === 0 || names.includes(e.name)))
      .sort((x, y) => x.ms - y.ms || x.n - y.n).map((e) => e.n)
    assert.deepEqual(await readBoth(key, 1 + below(12), order, names), order === 'newest' ? want.reverse() : want, `round ${round}`)
  }
  assert.ok(several > 10)
})

test('lists are told as JSON and times as times; of a list that is too long the rest is left out', async () => {
  const lines = [{ sku: 'a"b', n: 2, price: { money: '5.50' }, at: { time: NOON } }, { sku: 'c', last: true }]
  const long = Array.from({ length: 1000 }, (_, i) => `${i}`.padStart(100, '0'))
  await w.want(200, 'POST', '/v1/events', { events: [{
    id: `t-${ids++}`, name: 'Packed', time: new Date(NOON - HOUR).toISOString(), actor: device('lists'),
    properties: { lines, tags: ['x', 'y'], none: [], long, huge: ['\u0001'.repeat(30000)], due: { time: '1969-12-31T23:59:59Z' }, worth: { money: 7 } },
  }] })
  const { timeline } = await w.want(200, 'POST', '/v1/query', { timeline: device('lists') })
  const told = Object.fromEntries(timeline.items[0].properties.map((p) => [p.name, p.value]))
  assert.deepEqual(JSON.parse(told.lines), [{ sku: 'a"b', n: 2, price: '5.50', at: new Date(NOON).toISOString() }, { sku: 'c', last: true }])
  assert.deepEqual([told.tags, told.none, told.huge, told.due, told.worth], ['["x","y"]', '[]', '["..."]', '1969-12-31T23:59:59.000Z', '7.00'])
  const some = JSON.parse(told.long)
  assert.deepEqual([some.at(-1), some.slice(0, -1)], ['...', long.slice(0, some.length - 1)])
  assert.ok(some.length > 300 && told.long.length <= 32100)
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
