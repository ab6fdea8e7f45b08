// tests/ops/formats.test.mjs -- the formats of the event log and of its columns, read by a program that knows them from
// docs/formats/ only: both say the same, row by row.
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { dice } from '../http/people.mjs'
import { readColumns, readLog, REST } from './reader.mjs'
import { openShop, run } from './shop.mjs'

let w, base
before(async () => {
  w = await openShop({ arguments: ['--engine', '1', '--engine-rows', '256'] })
  base = w.now()
})
after(async () => {
  await w.start()
  await w.close()
})

const who = (i) => ({ kind: 'member', value: `m${i}` })
const send = async (events) => assert.deepEqual((await w.want(200, 'POST', '/v1/events', { events })).refused, [])

/** Every type, with values and without, of more names than a part has lists, over five weeks. */
function event(i) {
  const properties = { n: i % 7 ? i : i / 4, channel: i % 3 ? 'web' : '微信', member: i % 2 === 0 }
  if (i % 4 === 0) properties.tags = ['a', '', `t${i % 5}`].slice(i % 3)
  if (i % 5 === 0) properties.lines = Array.from({ length: i % 4 }, (_, k) => ({ sku: `s${k + i % 9}`, price: k * 1.25, ...(k % 2 && { gift: true }) }))
  return { id: `e${i}`, name: i % 2 ? 'Seen' : `Name ${i % 900}`,
    time: new Date(base - (i % 10 ? i * 7919 : i * 7_919_777) % 3_000_000_000).toISOString(),
    ...(i % 11 && { actor: who(i % 40) }), ...(i % 6 === 0 && { store: `S${i % 3}` }), properties, context: i % 8 ? {} : { page: `/p${i % 4}` } }
}

/** What the columns shall hold of the log: events once by source and id, of who was not erased since. */
function expected(records, until) {
  const ids = new Set(), rows = []
  for (const e of records.filter((r) => r.seq < until)) {
    if (e.kind === 5) for (let i = rows.length - 1; i >= 0; i--) if (rows[i].actor === e.actor) rows.splice(i, 1)
    if ((e.kind !== 1 && e.kind !== 2) || ids.has(`${e.source}\0${e.id}`)) continue
    ids.add(`${e.source}\0${e.id}`)
    rows.push(e)
  }
  return rows
}

const line = ({ kind, time, received, source, name, actor, store, properties, context }) => {
  const sorted = (o) => Object.fromEntries(Object.entries(o).sort(([a], [b]) => (a < b ? -1 : 1)))
  const deep = (o) => sorted(Object.fromEntries(Object.entries(o).map(([k, v]) => [k, Array.isArray(v) ? v.map((x) => (typeof x === 'object' ? sorted(x) : x)) : v])))
  return JSON.stringify([kind, time, received, source, name, actor, store, deep(properties), deep(context)])
}

/** Stops the server once its columns have everything: what waits for room would be read again by the next start. */
async function stop() {
  await w.want(200, 'POST', '/v1/query', { trend: { of: 'any event', from: '2020-01-01', to: '2100-01-01', by: 'all' } })
  await w.stop()
}

function compare() {
  const folder = join(w.data, 'events'), records = readLog(join(folder, 'log'))
  const columns = readColumns(join(folder, 'engine'))
  const rows = expected(records, columns.until)
  assert.equal(columns.until, records.at(-1).seq + 1)
  assert.deepEqual(columns.rows.map(line).sort(), rows.map(line).sort())
  assert.deepEqual(rows.filter((e) => !columns.knows(e)), [])
  return { records, columns }
}

test('a reader made of the documents finds in the columns what it finds in the log', async () => {
  for (let from = 0; from < 2000; from += 500) await send(Array.from({ length: 500 }, (_, i) => event(from + i)))
  await send(Array.from({ length: 40 }, (_, i) => ({ id: `p${i}`, kind: 'attributes', time: new Date(w.now()).toISOString(), actor: who(i), properties: { level: i % 3, city: 'A' } })))
  await send(Array.from({ length: 9 }, (_, i) => ({ id: `q${i}`, kind: 'attributes', time: new Date(w.now()).toISOString(), actor: who(i), properties: { city: null } })))
  await send(Array.from({ length: 100 }, (_, i) => event(i * 7))) // they have come before
  await stop()
  assert.ok(compare().columns.rows.length > 2000)
})

test('the same when they are made again, few and large, with names that share a list', async () => {
  const usual = w.options.arguments
  rmSync(join(w.data, 'events', 'engine'), { recursive: true })
  w.options.arguments = ['--engine', '1', '--engine-rows', '100000']
  await w.start()
  await stop()
  w.options.arguments = usual
  const { columns } = compare()
  assert.ok(columns.parts.length >= 5 && columns.parts.some((p) => p.lists.at(-1).event === REST))
})

test('the same while persons are linked, undone and erased, before and after merges', async () => {
  const change = (id, kind, a, b) => ({ id, kind, time: new Date(w.now()).toISOString(), actor: who(a), ...(b && { other: who(b) }) })
  await w.start()
  await send([[5, 6], [5, 38], [5, 7], [9, 4], [9, 5], [20, 21], [22, 21], [30, 31]].map(([a, b], i) => change(`l${i}`, 'link', a, b)))
  await send(Array.from({ length: 300 }, (_, i) => event(2000 + i)))
  await send([change('u1', 'unlink', 9, 5), change('u2', 'unlink', 20, 21), change('x1', 'erase', 30), change('x2', 'erase', 38)])
  await send(Array.from({ length: 300 }, (_, i) => event(2300 + i)))
  await send([change('l9', 'link', 38, 4), change('l10', 'link', 21, 6)])
  await stop()
  const { records, columns } = compare()
  assert.ok(columns.persons.generation > 8)
  const person = new Map(columns.rows.map((e) => [e.actor, columns.persons.of(e.person)]))
  const one = (...actors) => assert.equal(new Set(actors.map((i) => person.get(`member\0m${i}`))).size, 1, actors.join())
  one(5, 6, 7, 21, 22)
  one(4, 9, 38)
  assert.notEqual(person.get('member\0m4'), person.get('member\0m5'))
  assert.equal(run(['events', 'erase', '--data', w.data, '--log-level', 'off']).status, 0)
  const left = readLog(join(w.data, 'events', 'log'))
  assert.ok(left.filter((r) => r.kind === 0).length > 10)
  assert.deepEqual(left.map((r) => r.seq), records.map((r) => r.seq))
  compare()
})

/** A batch by chance: new events, some that have come before, links and what undoes them, erasures of a few. */
function batch(below, state) {
  const time = new Date(w.now()).toISOString()
  const change = (kind, a, b) => ({ id: `r${state.changes++}`, kind, time, actor: who(a), ...(b !== undefined && { other: who(b) }) })
  return Array.from({ length: 1 + below(150) }, () => {
    const what = below(100), old = below(state.next)
    if (what < 75) return event(state.next++)
    // Of who may be erased none comes again: the log would have it as another event, the columns know its id.
    if (what < 85) return old % 40 < 30 || old % 11 === 0 ? event(old) : event(state.next++)
    if (what < 92) return change('link', below(40), 40 + below(20))
    if (what < 97) return change('unlink', below(40), 40 + below(20))
    return what < 98 ? change('erase', 30 + below(10)) : change('attributes', below(30))
  })
}

test('the same whatever comes, comes again, is linked and erased, and however the server ends', async () => {
  const below = dice(41), state = { next: 2600, changes: 0 }
  for (let round = 0; round < 5; round++) {
    await w.start()
    for (let n = 1 + below(6); n > 0; n--) await send(batch(below, state))
    if (round % 3 === 1) {
      w.server.kill('SIGKILL')
      await w.ended
      await w.start()
    }
    await stop()
    if (round % 4 === 3) assert.equal(run(['events', 'erase', '--data', w.data, '--log-level', 'off']).status, 0)
    compare()
    assert.equal(run(['events', 'verify', '--data', w.data, '--log-level', 'off']).status, 0)
  }
})
