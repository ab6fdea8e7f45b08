// tests/ops/parts.test.mjs -- docs/formats/event-parts.md says all that a stranger needs: a reader that was written from
// the page alone (parts.mjs) finds every event in the files, under whoever it belongs to, and nothing else.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { World } from '../http/world.mjs'
import { readFolder, WEEK_MS } from './parts.mjs'

const MEMBERS = 60, NAMES = 600, EVENTS = 2400, BATCH = 300, WEEKS = 2

const LAST_MS = Date.now()
let w, shop, folder
before(async () => {
  w = await World.open({ arguments: ['--engine', '1'] })
  shop = await w.store()
  for (let from = 0; from < EVENTS; from += BATCH) {
    if (from === EVENTS / 2) await w.restart() // what there is goes to files
    await sendBatch(from)
  }
  const trend = { of: 'any event', from: '2020-01-01', to: '2100-01-01', by: 'all' }
  await w.want(200, 'POST', '/v1/query', { trend }) // an answer has heard of everything that was acknowledged
  await w.stop()
  folder = readFolder(join(w.folder, 'data', 'events', 'engine'))
})
after(async () => {
  await w.start()
  await w.close()
})

// ---- what is sent, and the model of it ---------------------------------------------------------------

let seed = 7
const below = (n) => (seed = (seed * 48271) % 2147483647) % n
const pick = (list) => list[below(list.length)]

const people = [] // {key, group, gone}: in the order in which they were heard of
const sent = [] // events: {n, who, ...}; what is said of persons: {said, who}
let links = [] // pairs of people

const known = (key) => people.find((p) => p.key === key && !p.gone)
function someone() {
  if (below(10) === 0) return null
  const key = `m${below(MEMBERS)}`
  if (!known(key)) people.push({ key, gone: false })
  return known(key)
}
const actorOf = (who) => (who ? { kind: 'member', value: who.key } : undefined)

/** One event with something of every type, mostly. */
function makeEvent(n) {
  const who = someone(), time = LAST_MS - below(WEEKS * WEEK_MS)
  const properties = { n }
  if (below(2)) properties.channel = pick(['web', 'till', '店'])
  if (below(2)) properties.amount = (below(2000000) - 500000) / 1000
  if (below(3) === 0) properties.gift = below(2) === 1
  if (below(3) === 0) properties.tags = pick([['vip'], ['new', 'vip'], []])
  if (below(3) === 0) properties.lines = Array.from({ length: below(5) }, () => ({ sku: `sku ${below(20)}`, price: below(9999) / 100 }))
  const event = { id: `n${n}`, name: `Name ${below(4) ? below(NAMES) : 0}`, time: new Date(time).toISOString(), properties }
  if (below(2)) event.context = { page: `/p${below(30)}` }
  if (below(3) === 0) event.store = shop.code
  if (who) event.actor = actorOf(who)
  sent.push({ n, who, event, timeMs: time })
  return event
}

/** What is said of persons: the model follows. */
function makeChange(n) {
  const who = someone() ?? someone() ?? known('m0') ?? people.find((p) => !p.gone), record = { id: `c${n}`, actor: actorOf(who) }
  const what = below(12)
  if (what < 6) {
    const other = people.filter((p) => !p.gone && p !== who)[below(5)]
    if (other && !links.some((l) => l.includes(who) && l.includes(other))) links.push([who, other])
    return other ? { ...record, kind: 'link', other: actorOf(other) } : undefined
  }
  if (what < 8 && links.length > 0) {
    const [a, b] = links.splice(below(links.length), 1)[0]
    return { ...record, kind: 'unlink', actor: actorOf(b), other: actorOf(a) }
  }
  if (what < 11) {
    const time = LAST_MS - below(WEEK_MS), properties = { city: `city ${n}` }
    sent.push({ said: properties.city, who, timeMs: time })
    return { ...record, kind: 'attributes', time: new Date(time).toISOString(), properties }
  }
  who.gone = true
  links = links.filter((l) => !l.includes(who))
  return { ...record, kind: 'erase' }
}

async function sendBatch(from) {
  const events = Array.from({ length: BATCH }, (_, i) => makeEvent(from + i))
  const changes = Array.from({ length: 12 }, (_, i) => makeChange(from + i)).filter((change) => change !== undefined)
  for (const records of [events, ...changes.map((change) => [change])]) {
    const receipt = await w.want(200, 'POST', '/v1/events', { events: records })
    assert.deepEqual(receipt.refused, [])
  }
}

/** The people who hang together with this one. */
function groupOf(who) {
  const group = new Set([who])
  for (let size = 0; size < group.size; ) {
    size = group.size
    for (const link of links) if (link.some((p) => group.has(p))) link.forEach((p) => group.add(p))
  }
  return group
}

// ---- what is read ------------------------------------------------------------------------------------

const number = (text) => (([coefficient, places]) => Number(coefficient) / 10 ** places)(text.split('e-'))
const expected = () => sent.filter(({ who }) => !who?.gone)

/** A row as it was sent. */
function asSent(row) {
  const { en, eamount, egift, echannel, cpage } = row.values
  const properties = { n: number(en) }
  if (echannel !== undefined) properties.channel = echannel
  if (eamount !== undefined) properties.amount = number(eamount)
  if (egift !== undefined) properties.gift = number(egift) === 1
  if (row.items.etags) properties.tags = row.items.etags
  if (row.items.elines) properties.lines = row.items.elines.map(({ isku, iprice }) => ({ sku: isku, price: number(iprice) }))
  return { name: row.event, timeMs: row.timeMs, actor: row.actor, store: row.store, page: cpage, properties }
}

test('every event is found once, with all that it was sent with, and nothing of who was erased', () => {
  const want = expected().filter(({ event }) => event)
  const got = folder.rows.filter(({ values }) => values.en !== undefined).sort((a, b) => number(a.values.en) - number(b.values.en))
  assert.ok(want.length > EVENTS / 2 && want.length < EVENTS)
  assert.deepEqual(got.map(({ values }) => number(values.en)), want.map(({ n }) => n))
  got.forEach((row, i) => {
    const { event, who, timeMs } = want[i]
    assert.deepEqual(asSent(row), {
      name: event.name, timeMs, actor: who ? `member\0${who.key}` : '', store: event.store ?? '', page: event.context?.page, properties: event.properties,
    })
    assert.ok(row.source !== '' && Math.abs(row.receivedMs - Date.now()) < 600e3)
  })
})

test('rows stand under whoever their actor belongs to, after links, unlinks and erasures', () => {
  const who = new Map(expected().filter(({ event, who }) => event && who).map((e) => [e.n, e.who]))
  const persons = new Map() // person -> one of the people
  let linked = 0
  for (const row of folder.rows.filter(({ values, actor }) => values.en !== undefined && actor !== '')) {
    const one = who.get(number(row.values.en))
    if (!persons.has(row.person)) persons.set(row.person, groupOf(one))
    assert.ok(persons.get(row.person).has(one))
    linked += persons.get(row.person).size > 1
  }
  assert.equal(new Set([...persons.values()].map((group) => [...group].map((p) => people.indexOf(p)).sort().join())).size, persons.size)
  assert.ok(linked > 100)
})

test('what was said of persons stands beside their events', () => {
  const said = folder.rows.filter(({ values }) => values.pcity !== undefined)
  assert.deepEqual(said.map(({ values }) => values.pcity).sort(), expected().flatMap((e) => e.said ?? []).sort())
  assert.ok(said.length > 20 && said.every(({ event }) => event === ''))
})

test('rows of a file come in the order of person and time', () => {
  for (const { rows } of folder.files)
    rows.slice(1).forEach((row, i) => {
      const before = rows[i]
      assert.ok(before.person < row.person || (before.person === row.person && before.timeMs <= row.timeMs))
    })
})

test('the files had something of everything: dead rows, names that share a list, files of one week', () => {
  assert.ok(folder.files.some(({ dead }) => dead > 0))
  assert.ok(folder.files.some(({ rest }) => rest))
  assert.ok(new Set(folder.files.map(({ weekMs }) => weekMs)).size < folder.files.length)
})

test('the id of every event is in a file of its week', () => {
  const source = folder.rows.find(({ values }) => values.en !== undefined).source
  for (const { event, timeMs } of sent.filter(({ event }) => event)) {
    const hash = folder.hashOf(source, event.id)
    assert.ok(folder.files.some(({ weekMs, ids }) => timeMs >= weekMs && timeMs < weekMs + WEEK_MS && ids.has(hash)), event.id)
  }
})

test('nothing else lies in the folder', () => {
  assert.deepEqual(folder.strays, [])
  assert.deepEqual(folder.manifest.aside, Array(11).fill(0))
})
