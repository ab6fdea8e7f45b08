// tests/http/explain.test.mjs -- why a condition holds for somebody: the same answer as a segment's, from the log and by
// other code; and rules as text and as tree.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { DAY, HOUR, World } from './world.mjs'
import { dice } from './people.mjs'

const NOON = 1795233600000 // 2026-11-21 12:00 in China

let w
before(async () => (w = await World.open({ clock: NOON, arguments: ['--engine', '1'] })))
after(() => w.close())

const send = (events) => w.want(200, 'POST', '/v1/events', { events })
const at = (ms) => new Date(ms).toISOString()
const actor = (value) => ({ kind: 'device', value })
let sent = 0
const id = () => `e-${sent++}`
const event = (who, name, ms, properties) => ({ id: id(), name, time: at(ms), actor: actor(who), ...(properties && { properties }) })
const said = (who, ms, properties) => ({ id: id(), kind: 'attributes', time: at(ms), actor: actor(who), properties })
const about = (kind, who, other) => ({ id: id(), kind, time: at(NOON - HOUR), actor: actor(who), ...(other && { other: actor(other) }) })
const explain = (of, who) => w.want(200, 'POST', '/v1/explain', { of, ...actor(who) })
const read = (rule, scope) => w.want(200, 'POST', '/v1/rules', { rule, ...(scope && { scope }) })

test('a condition is told part by part, with what was found', async () => {
  await send([
    event('ann', 'Bought', NOON - 3 * DAY, { spent: 12.5 }),
    event('ann', 'Bought', NOON - 2 * DAY, { spent: 30 }),
    event('ann', 'Bought', NOON + DAY, { spent: 1000 }), // not yet
    said('ann', NOON - DAY, { city: 'Suzhou', 'consent.sms.marketing': true }),
  ])
  const told = await explain('did("Bought", count >= 2, sum(spent) > 100) or city == "Suzhou" and not consents("sms", "marketing")', 'ann')
  assert.deepEqual([told.holds, told.events, told.warnings], [false, 2, []])
  assert.deepEqual(told.nodes.map((n) => [n.level, n.holds]), [[0, false], [1, false], [2, true], [2, false], [1, false], [2, true], [2, false], [3, true]])
  assert.equal(told.nodes[3].text, 'sum(spent) > 100')
  assert.equal(told.nodes[3].found, '42.5')
  assert.equal(told.nodes[5].found, '"Suzhou"')
  assert.equal((await explain('true', 'nobody ever')).events, 0)
})

test('below a cohort stands its rule', async () => {
  await w.want(200, 'PUT', '/v1/cohorts/Buyers', { rule: 'did("Bought")' })
  await w.want(200, 'PUT', '/v1/cohorts/Others', { rule: 'not segment("Buyers")' })
  const { holds, nodes } = await explain('segment("Others")', 'ann')
  assert.equal(holds, false)
  assert.deepEqual(nodes.map((n) => `${n.level} ${n.text}`), [
    '0 segment("Others")', '1 not segment("Buyers")', '2 segment("Buyers")', '3 did("Bought")',
  ])
})

test('who asks must be allowed to see persons and questions, and is told what is wrong and where', async () => {
  const refused = (status, code, path, body, as) => w.refused(status, code, 'POST', path, body, ...(as ? [{ as }] : []))
  await refused(403, 'auth.permission', '/v1/explain', { of: 'true', ...actor('ann') }, await w.keyOf('clerk'))
  const tree = { op: 'and', args: [true, { op: '==', left: { person: 'city' }, right: { money: '1' } }] }
  const problem = await refused(400, 'query.rule', '/v1/explain', { of: tree, ...actor('ann') })
  assert.match(problem.errors[0].pointer, /^\/of\/args\/1/)
  const typo = await refused(400, 'query.rule', '/v1/rules', { rule: 'segment("Buyer")' })
  assert.match(JSON.stringify(typo), /did you mean .*Buyers/)
  await refused(400, 'query.rule', '/v1/rules', { rule: '"Bought"', scope: 'event' })
  const { warnings } = await explain('did("Bougth")', 'ann')
  assert.match(warnings[0], /Bought/)
})

test('a rule is given back as text and as tree, and either gives both again', async () => {
  for (const [rule, scope] of [
    ['did( "Bought",count>=2 )and tier=="gold"', 'person'],
    ['spent>3.50 and any(lines,sku=="A")', 'event'],
    ['any of("Bought" where spent>3,["A","B"])', 'step'],
    ['sequence("A" then "B" within 7d of first, within 30d)', undefined],
  ]) {
    const both = async (given) => (({ text, tree }) => [text, tree])(await read(given, scope))
    const [text, tree] = await both(rule)
    assert.deepEqual(await both(text), [text, tree])
    assert.deepEqual(await both(tree), [text, tree])
  }
})

test('of a machine with more events than a person has nothing is explained', async () => {
  const many = (from, count) => Array.from({ length: count }, (_, i) => event('robot', 'Polled', NOON - (from + i) * 1000))
  for (let sent = 0; sent < 20000; sent += 2000) await send(many(sent, 2000))
  assert.deepEqual([(await explain('days_active() > 0', 'robot')).holds], [true])
  await send(many(20000, 1))
  const problem = await w.refused(400, 'query.too_large', 'POST', '/v1/explain', { of: 'true', ...actor('robot') })
  assert.equal(problem.errors[0].pointer, '/value')
})

// ---- everybody by chance, told by the log as by the columns ------------------------------------------

const RULES = [
  'did("Seen", within 10d)', 'did("Paid", count >= 2, sum(spent) > 30)', 'not did("Seen") and days_active() >= 2',
  'count("Paid" where spent > 10) == 1', 'avg("Paid", spent) <= 12.5', 'distinct("Paid", spent) > 1',
  'first("Seen") < 2026-11-10', 'last("Paid").spent >= 20', 'last("Paid").spent is missing',
  'sequence("Seen" then "Paid" within 2d)', 'stopped("Seen", for 5d)', 'resumed("Paid", after 3d, within 6d)',
  'grade == "gold"', 'grade != "gold" and size > 3', 'size is missing', 'did("Seen" where person.grade at event == "gold")',
  'did("Paid" where person.grade == "silver", within 2 calendar weeks)', 'consents("sms", "marketing")',
]

function life(below, who, a) {
  const out = []
  for (let i = below(9), ms = NOON - 20 * DAY + a; i > 0; i--) {
    ms += below(3) === 0 ? 0 : below(60) * HOUR
    const kind = below(4)
    if (kind === 0) out.push(event(who, 'Seen', ms))
    else if (kind === 1) out.push(event(who, 'Paid', ms, below(4) ? { spent: below(60) / 2 } : undefined))
    else if (kind === 2) out.push(said(who, ms, { grade: below(4) ? ['gold', 'silver'][below(2)] : null, size: below(9) }))
    else out.push(said(who, ms, { 'consent.sms.marketing': below(2) === 0 }))
  }
  return out
}

async function members(of) {
  const found = []
  for (let cursor; ; ) {
    const { segment } = await w.want(200, 'POST', '/v1/query', { segment: { of, limit: 200, ...(cursor && { cursor }) } })
    found.push(...segment.items.map((p) => p.value))
    cursor = segment.next
    if (!cursor) return new Set(found)
  }
}

test('a condition holds for exactly those whom a segment finds, linked, apart again and erased', async () => {
  const below = dice(7)
  const who = Array.from({ length: 40 }, (_, a) => `x-${a}`)
  const lives = who.flatMap((name, a) => [event(name, 'Here', NOON - 30 * DAY), ...life(below, name, a)])
  await send(lives)
  const pairs = [['x-1', 'x-2'], ['x-2', 'x-3'], ['x-9', 'x-8'], ['x-20', 'x-30'], ['x-30', 'x-31'], ['x-12', 'x-13']]
  await send(pairs.map(([a, b]) => about('link', a, b)))
  await send([about('unlink', 'x-30', 'x-31'), about('erase', 'x-5'), about('erase', 'x-13'), about('erase', 'x-6')])
  await send([event('x-6', 'Here', NOON - 30 * DAY), event('x-6', 'Paid', NOON - DAY, { spent: 40 })]) // somebody else
  const first = (name) => ({ 'x-2': 'x-1', 'x-3': 'x-1', 'x-9': 'x-8', 'x-30': 'x-20' })[name] ?? name
  const gone = ['x-5', 'x-13']
  for (const of of RULES) {
    const found = await members(`(${of}) and did("Here")`)
    for (const name of who) {
      const { holds, events } = await explain(of, name)
      if (gone.includes(name)) assert.equal(events, 0, name)
      else assert.equal(holds, found.has(first(name)), `${of} of ${name}`)
    }
  }
})

test('values of another type, and numbers for amounts, are to an explanation what they are to a segment', async () => {
  const values = { a: 12.5, b: { money: '12.50' }, c: '12.50', d: 12.555, e: true, f: ['x'], g: { money: 3 }, h: { time: NOON }, i: 4, j: [] }
  const people = Object.keys(values).map((key) => `mix-${key}`)
  const mixed = Object.entries(values).flatMap(([key, v]) => [
    event(`mix-${key}`, 'Mixed', NOON - DAY, { total: v, kg: v, rows: [{ price: v, kg: v }, {}], list: v, note: v }),
  ])
  await send([event('mix-first', 'Mixed', NOON - DAY, { kg: 1.5, rows: [{ price: { money: 1 }, kg: 1 }], list: [{ x: 1 }], note: 'x' }), ...mixed])
  const rules = [
    'did("Mixed" where total is set)', 'did("Mixed", sum(total) > 3.00 CNY)', 'did("Mixed" where total != 12.50 CNY)',
    'did("Mixed" where kg is set)', 'did("Mixed", sum(kg) > 3.5)', 'did("Mixed" where kg is missing)', 'did("Mixed" where note is set)',
    'did("Mixed" where any(rows, price >= 3.00 CNY))', 'did("Mixed" where sum(rows, kg) > 3)', 'did("Mixed" where count(rows) == 2)',
    'did("Mixed" where list is set)', 'did("Mixed" where note == "12.50")', 'did("Mixed" where count(list) == 0)',
  ]
  let some = 0
  for (const rule of rules) {
    const inside = new Set((await w.want(200, 'POST', '/v1/query', { segment: { of: rule, limit: 200 } })).segment.items.map((p) => p.value))
    for (const who of people) {
      assert.equal((await explain(rule, who)).holds, inside.has(who), `${rule} of ${who}`)
      some += inside.has(who)
    }
  }
  assert.ok(some > 20)
})
