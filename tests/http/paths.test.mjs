// tests/http/paths.test.mjs -- paths, transitions, sessions and attribution over the wire, on events few enough to
// count by hand.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { everybody } from './people.mjs'
import { DAY, HOUR, World } from './world.mjs'

const NOON = 1795233600000 // 2026-11-21 12:00 in China
const WEEK = { from: '2026-11-15', to: '2026-11-21' }
const MINUTE = 60000

let w
let next = 0
const ask = async (question) => (await w.want(200, 'POST', '/v1/query', question))[Object.keys(question)[0]]
const refused = async (code, question, pointer) => {
  const problem = await w.refused(400, code, 'POST', '/v1/query', question)
  if (pointer !== undefined) assert.equal(problem.errors?.[0].pointer, pointer, JSON.stringify(problem))
}

// [who, minutes behind nine o'clock, name, properties]; who '' is nobody.
const send = (rows, begin = NOON - 3 * HOUR) =>
  w.want(200, 'POST', '/v1/events', {
    events: rows.map(([who, minute, name, properties = {}]) => ({
      id: `e-${next++}`,
      name,
      time: new Date(begin + minute * MINUTE).toISOString(),
      ...(who === '' ? {} : { actor: { kind: 'member', value: who } }),
      properties,
    })),
  })

const WALKS = [
  ['p1', 0, 'Viewed', { page: 'home' }],
  ['p1', 1, 'Viewed', { page: 'tea' }],
  ['p1', 2, 'Added'],
  ['p1', 3, 'Paid'],
  ['p1', 60, 'Viewed', { page: 'home' }],
  ['p2', 0, 'Viewed', { page: 'home' }],
  ['p2', 5, 'Added'],
  ['p2', 10, 'Viewed', { page: 'tea' }],
  ['p3', 0, 'Searched'],
  ['p3', 30, 'Viewed', { page: 'tea' }], // exactly half an hour: still the same path
  ['p3', 61, 'Paid'],
  ['', 0, 'Viewed', { page: 'home' }],
  ['', 1, 'Paid'],
]

before(async () => {
  w = await World.open({ clock: NOON })
  await send(WALKS)
})
after(() => w.close())

const nodes = (step) => step.nodes.map((n) => [n.other ? '*' : n.value === undefined ? n.event : `${n.event} ${n.value}`, n.count, n.ended])
const edges = (steps, k) =>
  steps[k].edges.map((e) => [nodes(steps[k])[e.from][0], nodes(steps[k + 1])[e.to][0], e.count])
const paths = async (more) => (await ask({ paths: { ...WEEK, ...more } })).steps

test('paths say what persons do step by step, and where they stop', async () => {
  const steps = await paths({ steps: 3 })
  assert.deepEqual(
    steps.map((s) => [s.count, s.ended, s.distinct]),
    [
      [5, 2, 3],
      [3, 1, 2],
      [2, 2, 2],
    ],
  )
  assert.deepEqual(steps.map(nodes), [
    [
      ['Viewed', 3, 1],
      ['Paid', 1, 1],
      ['Searched', 1, 0],
    ],
    [
      ['Added', 2, 0],
      ['Viewed', 1, 1],
    ],
    [
      ['Viewed', 1, 1],
      ['Paid', 1, 1],
    ],
  ])
  assert.deepEqual(edges(steps, 0), [
    ['Viewed', 'Added', 2],
    ['Searched', 'Viewed', 1],
  ])
  assert.deepEqual(steps[2].edges, [])
})

test('what is not among the top ones is other', async () => {
  const steps = await paths({ steps: 2, top: 1 })
  assert.deepEqual(steps.map(nodes), [
    [
      ['Viewed', 3, 1],
      ['*', 2, 1],
    ],
    [
      ['Added', 2, 0],
      ['*', 1, 1],
    ],
  ])
  assert.deepEqual(edges(steps, 0), [
    ['Viewed', 'Added', 2],
    ['*', '*', 1],
  ])
})

test('paths go from a start to an end, or as far as a window', async () => {
  const both = await paths({ start: '"Viewed"', end: '"Paid"' })
  assert.deepEqual(both.map(nodes), [[['Viewed', 1, 0]], [['Added', 1, 0]], [['Paid', 1, 1]]])
  const wide = await paths({ start: '"Viewed"', end: '"Paid"', gap_s: 7200 })
  assert.deepEqual(wide.map((s) => [s.count, s.ended]), [[2, 0], [2, 1], [1, 1]])
  assert.deepEqual(await paths({ start: '"Paid"', end: '"Paid"', gap_s: 7200 }), [])
  const near = await paths({ window_s: 120 })
  assert.deepEqual(near.map((s) => [s.count, s.ended]), [[5, 4], [1, 1]])
  const back = await paths({ end: '"Paid"', window_s: 60 })
  assert.deepEqual(back.map(nodes)[1], [['Added', 1, 1]])
  const { persons } = await everybody(w, { paths: { ...WEEK, start: '"Viewed"', end: '"Paid"', gap_s: 7200 } }, { step: 2 })
  assert.equal(persons, 2)
})

test('paths count persons, repeats, a property and the gap as they are told to', async () => {
  const [first] = await paths({ count: 'persons', steps: 1 })
  assert.deepEqual([first.count, nodes(first)[0]], [3, ['Viewed', 2, 1]])
  const once = await paths({ count: 'first' })
  assert.deepEqual(once.map((s) => s.count), [3, 3, 2])
  assert.deepEqual(nodes(once[0]), [['Viewed', 2, 0], ['Searched', 1, 0]])
  // p2 never paid.
  const { persons } = await everybody(w, { paths: { ...WEEK, count: 'first', start: '"Paid"' } }, { step: 1 })
  assert.equal(persons, 2)
  const repeated = await paths({ collapse: false })
  assert.deepEqual(
    repeated.map((s) => s.count),
    [5, 3, 2, 1],
  )
  const pages = await paths({ property: 'page', steps: 1, top: 50 })
  assert.deepEqual(nodes(pages[0]), [
    ['Viewed home', 3, 1],
    ['Paid null', 1, 1],
    ['Searched null', 1, 0],
  ])
  assert.equal((await paths({ gap_s: 3600 }))[0].count, 3)
  assert.equal((await paths({ of: '"Viewed" where page == "tea"' }))[0].count, 3)
})

test('paths go on from a start, or back from an end', async () => {
  const on = await paths({ start: '"Added"' })
  assert.deepEqual(nodes(on[0]), [['Added', 2, 0]])
  assert.deepEqual(new Set(nodes(on[1]).map(String)), new Set(['Viewed,1,1', 'Paid,1,1']))
  const back = await paths({ end: '"Paid"' })
  assert.deepEqual(back.map(nodes), [[['Paid', 2, 1]], [['Added', 1, 0]], [['Viewed', 1, 1]]])
  const last = await paths({ direction: 'backward', steps: 1 })
  assert.deepEqual(new Set(nodes(last[0]).map(String)), new Set(['Viewed,3,1', 'Paid,2,1']))
  assert.deepEqual(await paths({ start: '"Never"' }), [])
})

test('transitions are the pairs of neighbours', async () => {
  const transitions = (more) => ask({ transitions: { ...WEEK, ...more } })
  const rows = (answer) => answer.rows.map((r) => `${r.from} > ${r.to}: ${r.count}`)
  const plain = await transitions({})
  assert.deepEqual([plain.total, plain.distinct, rows(plain)[0]], [5, 4, 'Viewed > Added: 2'])
  assert.deepEqual(rows(plain).slice(1).sort(), ['Added > Paid: 1', 'Added > Viewed: 1', 'Searched > Viewed: 1'])
  const all = await transitions({ collapse: false })
  assert.deepEqual([all.total, all.distinct], [6, 5])
  const one = await transitions({ top: 1 })
  assert.deepEqual([one.total, rows(one)], [5, ['Viewed > Added: 2']])
  const some = await transitions({ of: 'any of("Viewed", "Paid")', gap_s: 3600 })
  assert.deepEqual(rows(some), ['Viewed > Paid: 2', 'Paid > Viewed: 1'])
  const filtered = await transitions({ of: 'any event where page == "home" or page is missing' })
  assert.deepEqual(rows(filtered).sort(), ['Added > Paid: 1', 'Viewed > Added: 2'])
})

test('sessions begin, end and last as the events say', async () => {
  const sessions = (more) => ask({ sessions: { ...WEEK, median: true, ...more } })
  const day = await sessions({})
  assert.equal(day.buckets.length, 7)
  const total = {
    sessions: 5,
    persons: 3,
    events: 11,
    events_per_session: '2.20',
    bounced: 2,
    bounce_bps: 4000,
    average_s: 516,
    median_s: 180,
  }
  assert.deepEqual(day.series, [{ values: [], other: false, cells: [...Array(6).fill(zero()), total], total }])
  assert.deepEqual(day.entries[0], { event: 'Viewed', sessions: 3 })
  assert.deepEqual(day.exits, [
    { event: 'Viewed', sessions: 3 },
    { event: 'Paid', sessions: 2 },
  ])
  assert.deepEqual([day.entries_distinct, day.exits_distinct], [3, 2])
  const pages = await sessions({ breakdown: ['page'], top: 1, by: 'all', median: false, names: 1 })
  assert.deepEqual(
    pages.series.map((s) => [s.values[0]?.value, s.other, s.total.sessions, s.total.persons, s.total.median_s]),
    [
      ['home', false, 3, 2, undefined],
      [undefined, true, 2, 1, undefined],
    ],
  )
  assert.deepEqual([pages.distinct, pages.entries.length], [2, 1])
  assert.equal((await sessions({ gap_s: 3600 })).series[0].total.sessions, 3)
  const two = await sessions({ breakdown: ['page', 'event'], by: 'all', median: false })
  assert.equal(two.series.reduce((sum, s) => sum + s.total.sessions, 0), 5)
  assert.ok(two.series.every((s) => s.values.length === 2))
  // Nothing lasts longer than max_s, and each event is in one session.
  const short = (await sessions({ max_s: 1, by: 'all' })).series[0].total
  assert.deepEqual([short.sessions, short.events, short.average_s], [11, 11, 0])
})

function zero() {
  return {
    sessions: 0,
    persons: 0,
    events: 0,
    events_per_session: '0.00',
    bounced: 0,
    bounce_bps: 0,
    average_s: 0,
    median_s: 0,
  }
}

// A visit after midnight belongs to the business day in which it began, and a day is the longest it lasts.
test('a session is cut after a day, and belongs to the day in which it began', async () => {
  const rows = []
  for (let minute = 0; minute < 30 * 60; minute += 20) rows.push(['bot', minute, 'Polled'])
  await send(rows, NOON - 3 * DAY)
  const { series } = await ask({ sessions: { ...WEEK, of: '"Polled"' } })
  assert.deepEqual(
    series[0].cells.map((c) => [c.sessions, c.events, c.average_s]),
    [
      [0, 0, 0],
      [0, 0, 0],
      [0, 0, 0],
      [1, 72, 71 * 1200],
      [1, 18, 17 * 1200],
      [0, 0, 0],
      [0, 0, 0],
    ],
  )
})

const BOUGHT = [
  ['t1', 0, 'Clicked', { campaign: 'A', channel: 'mail' }],
  ['t1', 1, 'Clicked', { campaign: 'B', channel: 'mail' }],
  ['t1', 2, 'Clicked', { campaign: 'A', channel: 'app' }],
  ['t1', 3, 'Bought', { worth: 10.01 }],
  ['t2', 0, 'Bought', { worth: 5 }],
  ['t2', 1, 'Clicked', { campaign: 'A', channel: 'app' }],
  ['t3', 0, 'Clicked', { channel: 'app' }],
  ['t3', 1, 'Bought'],
  ['', 0, 'Clicked', { campaign: 'A' }],
  ['', 1, 'Bought', { worth: 0.5 }],
]

test('conversions are credited to the touches before them', async () => {
  await send(BOUGHT)
  await send([['t3', 0, 'Clicked', { campaign: 'old', channel: 'mail' }]], NOON - 8 * DAY - 3 * HOUR)
  const touch = (more) =>
    ask({ touch: { ...WEEK, conversion: '"Bought"', touch: '"Clicked"', breakdown: ['campaign'], ...more } })
  const rows = (answer) => answer.rows.map((r) => [r.other ? '*' : r.values.map((v) => v.value).join(), r.conversions, r.credit])
  const last = await touch({})
  assert.deepEqual(new Set(rows(last).map(String)), new Set(['A,1,1', ',1,1']))
  assert.deepEqual(last.direct, { conversions: 2, credit: '2' })
  assert.deepEqual(last.total, { conversions: 4, credit: '4' })
  const linear = await touch({ model: 'linear' })
  assert.deepEqual(rows(linear), [
    ['', 1, '1'],
    ['A', 1, '0.666667'],
    ['B', 1, '0.333333'],
  ])
  const worth = await touch({ model: 'linear', number: 'worth' })
  assert.deepEqual(rows(worth), [
    ['A', 1, '6.673333'], // of three equal remainders the earlier two
    ['B', 1, '3.336667'],
    ['', 1, '0'],
  ])
  assert.deepEqual([worth.direct.credit, worth.total.credit], ['5.5', '15.51'])
  const u = await touch({ model: 'u_shaped', number: 'worth', breakdown: ['campaign', 'channel'] })
  assert.deepEqual(rows(u), [
    ['A,mail', 1, '4.004'],
    ['A,app', 1, '4.004'],
    ['B,mail', 1, '2.002'],
    [',app', 1, '0'],
  ])
  const all = await touch({ model: 'participation', number: 'worth', top: 1 })
  assert.deepEqual(rows(all), [
    ['A', 1, '10.01'],
    ['*', 2, '10.01'],
  ])
  const long = await touch({ model: 'first', look_back_s: 9 * 86400, number: 'worth' })
  assert.deepEqual(rows(long), [
    ['A', 1, '10.01'],
    ['old', 1, '0'],
  ])
})

test('of each person one conversion may count, and touches may fade', async () => {
  const touch = (more) =>
    ask({ touch: { ...WEEK, conversion: '"Settled"', touch: '"Rang"', breakdown: ['campaign'], ...more } })
  const rows = (answer) => answer.rows.map((r) => [r.values[0].value, r.conversions, r.credit])
  const one = (minute, campaign) => ['d1', minute, 'Rang', { campaign }]
  await send([one(0, 'A'), one(10, 'B'), one(20, 'C'), ['d1', 21, 'Settled'], one(30, 'D'), ['d1', 31, 'Settled'], ['', 31, 'Settled']], NOON - 2 * DAY)
  const decay = { model: 'time_decay', half_life_s: 600 }
  assert.deepEqual(rows(await touch({ ...decay, count: 'first' })), [['C', 1, '0.571429'], ['B', 1, '0.285714'], ['A', 1, '0.142857']])
  const last = await touch({ ...decay, count: 'last' })
  assert.deepEqual(rows(last), [['D', 1, '0.533333'], ['C', 1, '0.266667'], ['B', 1, '0.133333'], ['A', 1, '0.066667']])
  assert.deepEqual([last.direct, last.total], [{ conversions: 0, credit: '0' }, { conversions: 1, credit: '1' }])
  const each = await touch({})
  assert.deepEqual([rows(each).map(String).sort(), each.total.conversions, each.direct.conversions], [['C,1,1', 'D,1,1'], 3, 1])
})

test('conditions on parts of texts hold in these questions too', async () => {
  const of = 'any event where page contains "om"'
  assert.equal((await paths({ of }))[0].count, 3)
  assert.equal((await paths({ start: of, of: 'any of("Added", "Viewed")' }))[0].count, 3)
  assert.equal((await ask({ sessions: { ...WEEK, of } })).series[0].total.events, 3)
  assert.equal((await ask({ transitions: { ...WEEK, of, gap_s: 7200, collapse: false } })).total, 1)
  const touch = { ...WEEK, conversion: '"Bought"', touch: '"Clicked" where channel starts with "m"', breakdown: ['campaign'] }
  assert.deepEqual((await ask({ touch })).rows.map((r) => r.values[0].value), ['B'])
})

test('what does not go together is refused with the place', async () => {
  await refused('query.combination', { paths: { ...WEEK, start: 'any event', end: 'any event', direction: 'backward' } }, '/paths/direction')
  await refused('query.combination', { paths: { ...WEEK, start: 'any event', direction: 'backward' } }, '/paths/direction')
  await refused('query.combination', { paths: { ...WEEK, end: 'any event', direction: 'forward' } }, '/paths/direction')
  await refused('query.rule', { paths: { ...WEEK, of: 'nonsense' } }, '/paths/of')
  await refused('query.rule', { paths: { ...WEEK, start: 'nonsense' } }, '/paths/start')
  await refused('query.rule', { paths: { ...WEEK, end: 'nonsense' } }, '/paths/end')
  await refused('query.range', { paths: { from: '2026-02-02', to: '2026-02-01' } })
  await refused('query.rule', { transitions: { ...WEEK, of: 'nonsense' } }, '/transitions/of')
  await refused('query.rule', { sessions: { ...WEEK, of: 'nonsense' } }, '/sessions/of')
  const long = { from: '2025-01-01', to: '2026-11-21', breakdown: ['page'], top: 10 }
  await refused('query.too_large', { sessions: long }, '/sessions/to')
  const touch = { ...WEEK, conversion: '"Bought"', touch: '"Clicked"', breakdown: ['campaign'] }
  await refused('query.rule', { touch: { ...touch, conversion: 'nonsense' } }, '/touch/conversion')
  await refused('query.rule', { touch: { ...touch, touch: 'nonsense' } }, '/touch/touch')
  await refused('query.property', { touch: { ...touch, number: 'campaign' } }, '/touch/number')
  await refused('query.one', { touch, paths: WEEK })
})
