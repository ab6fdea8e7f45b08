// tests/http/people.test.mjs -- the people behind every number of every question, over the wire.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { dice, everybody, millionths } from './people.mjs'
import { DAY, World } from './world.mjs'

const NOON = 1795233600000 // 2026-11-21 12:00 in China
const WEEKS = { from: '2026-11-08', to: '2026-11-21' }
const NAMES = ['Viewed', 'Added', 'Paid', 'Called']
const CHANNELS = ['web', 'app', 'shop', undefined]

const actor = (i) => ({ kind: 'member', value: `m-${i}` })

/** Of 45 persons and nobody, in bursts, in no order of time. */
function randomEvents(count) {
  const below = dice(11)
  const events = []
  for (let i = 0; i < count; i++) {
    const near = i > 0 && below(3) > 0 ? events[i - 1] : undefined
    const time = near ? Date.parse(near.time) + (below(21) - 8) * 60e3 : NOON - below(20 * 24 * 60) * 60e3
    const channel = CHANNELS[below(CHANNELS.length)]
    const lines = Array.from({ length: below(4) }, () => ({ sku: `s-${below(3)}`, price: below(900) / 4 }))
    events.push({
      id: `w-${i}`,
      name: NAMES[Math.min(below(4), below(5))],
      time: new Date(Math.min(time, NOON)).toISOString(),
      ...(below(9) > 0 && { actor: near?.actor ?? actor(below(45)) }),
      properties: {
        ...(channel && { channel }),
        ...(below(3) > 0 && { spent: (below(4000) - 1000) / 8 }),
        ...(lines.length > 0 && { lines }),
      },
    })
  }
  return events
}

const EVENTS = randomEvents(900)
let w
before(async () => {
  w = await World.open({ clock: NOON })
  for (let at = 0; at < EVENTS.length; at += 180)
    await w.want(200, 'POST', '/v1/events', { events: EVENTS.slice(at, at + 180) })
})
after(() => w.close())

const refused = (query, people, pointer) =>
  w.refused(400, 'query.bar', 'POST', '/v1/query', { ...query, people }).then((problem) => {
    assert.equal(problem.errors?.[0].pointer, pointer, JSON.stringify([people, problem]))
  })

// ---- every bar of an answer: how it is told, and what it says ------------------------------------------

const series = ({ values, other }) => (other ? { other } : values.length > 0 ? { values } : {})
const persons = (count) => ({ persons: Number(count) })
const amount = (number, more) => ({ amount: millionths(String(number)), ...more })
const places = (list) => list.map((row, i) => [row, i + 1])
const NUMBERS = {
  events: (cell) => amount(cell),
  sum: (cell) => amount(cell),
  persons,
  persons_so_far: persons,
}

const BARS = {
  trend: (answer, question) =>
    answer.series.flatMap((s) =>
      places(s.cells).map(([cell, interval]) => {
        const part = s.letter ? question.series['ABCDEFGH'.indexOf(s.letter)] : question
        const number = NUMBERS[part.measure ?? 'events']
        return [{ ...(s.letter && { letter: s.letter }), ...series(s), interval }, number ? number(cell) : { is_empty: cell === '' || cell === '0' }]
      }),
    ),
  retention: (answer) =>
    answer.series.flatMap((s) =>
      places(s.cohorts).flatMap(([row, interval]) => [
        [{ ...series(s), interval }, persons(row.persons)],
        ...places(row.returned).map(([count, column]) => [{ ...series(s), interval, column }, persons(count)]),
      ]),
    ),
  stickiness: (answer) =>
    answer.series.flatMap((s) =>
      ['exactly', 'at_least'].flatMap((outcome) =>
        places(s[outcome]).map(([count, n]) => [{ ...series(s), outcome, n }, persons(count)]),
      ),
    ),
  lifecycle: (answer) =>
    answer.series.flatMap((s) =>
      places(s.intervals).flatMap(([row, interval]) =>
        ['new', 'returning', 'resurrecting', 'dormant'].map((outcome) => [
          { ...series(s), interval, outcome },
          persons(Math.abs(row[outcome])),
        ]),
      ),
    ),
  segment: (answer) => [[{}, persons(answer.persons)]],
  paths: (answer, { count }) => {
    const number = count === 'persons' ? persons : amount
    const node = ({ event, value, other }) => (other ? { other } : { event, ...(value !== undefined && { value }) })
    return places(answer.steps).flatMap(([step, k]) => [
      [{ step: k }, number(step.count)],
      [{ step: k, outcome: 'ended' }, number(step.ended)],
      ...step.nodes.flatMap((n) => [
        [{ step: k, from: node(n) }, number(n.count)],
        [{ step: k, from: node(n), outcome: 'ended' }, number(n.ended)],
      ]),
      ...step.edges.map((e) => [
        { step: k, from: node(step.nodes[e.from]), to: node(answer.steps[k].nodes[e.to]) },
        number(e.count),
      ]),
    ])
  },
  transitions: (answer) =>
    answer.rows.map(({ from, to, count }) => [{ from: { event: from }, to: { event: to } }, amount(count)]),
  sessions: (answer) => [
    ...answer.series.flatMap((s) => {
      const which = s.other ? { other: true } : s.values.length > 0 ? { values: s.values } : {}
      return [[s.total, {}], ...places(s.cells).map(([cell, interval]) => [cell, { interval }])].flatMap(([cell, at]) => [
        [{ ...which, ...at }, amount(cell.sessions, persons(cell.persons))],
        [{ ...which, ...at, outcome: 'bounced' }, amount(cell.bounced)],
      ])
    }),
    ...answer.entries.map(({ event, sessions }) => [{ from: { event } }, amount(sessions)]),
    ...answer.exits.map(({ event, sessions }) => [{ to: { event } }, amount(sessions)]),
  ],
  touch: (answer) => [
    ...answer.rows.map((row) => [series(row), amount(row.conversions)]),
    [{}, amount(answer.total.conversions)],
    [{ outcome: 'direct' }, amount(answer.direct.conversions)],
  ],
}

async function checkBar(query, bar, want) {
  const got = await everybody(w, query, bar, want.persons > 0 ? 1 + (want.persons % 9) * 5 : 200)
  const said = JSON.stringify([query, bar, want.persons, String(want.amount), got.persons, got.amount, got.nobody])
  if (want.persons !== undefined) assert.equal(got.persons, want.persons, said)
  if (want.amount !== undefined) assert.equal(millionths(got.amount) + millionths(got.nobody), want.amount, said)
  if (want.is_empty !== undefined) assert.equal(got.persons === 0 && got.nobody === '0', want.is_empty, said)
}

/** How many of its numbers are not 0. */
async function checkEveryBar(query) {
  const kind = Object.keys(BARS).find((name) => query[name] !== undefined)
  const answer = await w.want(200, 'POST', '/v1/query', query)
  const bars = BARS[kind](answer[kind], query[kind])
  for (const [bar, want] of bars) await checkBar(query, bar, want)
  return bars.filter(([, want]) => want.persons > 0 || (want.amount ?? 0n) !== 0n || want.is_empty === false).length
}

// ---- random questions ----------------------------------------------------------------------------------

const random = dice(5)
const pick = (list) => list[random(list.length)]
const maybe = (more) => (random(2) === 0 ? more : {})
const some = () =>
  pick(['"Viewed"', 'any of("Added", "Paid")', 'any event', '"Viewed" where channel == "web"', 'any event where spent > 0'])
const broken = () => maybe(pick([{ breakdown: ['channel'], top: pick([1, 2, 9]) }, { breakdown: ['event', 'channel'], top: 3 }]))
const measure = () =>
  pick([
    {},
    { measure: 'persons' },
    { measure: 'persons_so_far' },
    { measure: 'sum', number: 'spent' },
    { measure: 'sum', number: 'lines.price', ...maybe({ records: 'any(lines, sku != "s-1")' }) },
    { measure: 'average', number: 'spent' },
    { measure: 'distinct', number: 'channel' },
    { measure: 'median', per: 'person', ...maybe({ number: 'spent' }) },
  ])

const QUESTIONS = {
  trend: () => ({ of: some(), by: pick(['week', 'month', 'all']), ...measure(), ...broken() }),
  lettered: () => ({
    by: 'week', series: [{ of: some(), ...measure() }, { of: some(), measure: 'persons' }],
    ...maybe({ breakdown: ['channel'], top: 2, formula: 'A + B' }),
  }),
  retention: () => ({
    start: some(), returns: some(), by: 'week', follow: random(3), comes: pick(['on', 'on_or_after', 'on_or_before', 'streak']),
    cohort: pick(['recurring', 'first', 'first_ever', 'first_named']), zero: random(2) === 0, rolling: random(3) === 0, ...broken(),
  }),
  bracketed: () => ({
    start: some(), returns: some(), by: 'day', comes: 'bracket', brackets: [{ first: 0, last: 2 }, { first: 2, last: 9 }],
    breakdown: ['channel'], top: 1, same_value: random(2) === 0, number: 'spent', from: '2026-11-18',
  }),
  stickiness: () => ({ of: some(), by: pick(['day', 'week']), from: '2026-11-15', ...broken() }),
  lifecycle: () => ({ of: some(), by: 'week', ...maybe({ look_back: 2 }), ...broken() }),
  paths: () => ({
    steps: 3, top: 2, gap_s: 86400 * 3, count: pick(['transitions', 'persons', 'first']), collapse: random(2) === 0,
    ...maybe({ property: 'channel' }), ...pick([{}, { start: '"Added"' }, { end: '"Paid"' }, { direction: 'backward' }]),
  }),
  transitions: () => ({ gap_s: pick([1800, 86400 * 9]), top: 9, collapse: random(2) === 0, ...maybe({ of: 'any of("Viewed", "Paid")' }) }),
  sessions: () => ({ by: pick(['week', 'all']), gap_s: pick([600, 7200]), names: 3, ...maybe({ breakdown: ['channel'], top: 2 }), median: random(2) === 0 }),
  touch: () => ({
    conversion: '"Paid"', touch: pick(['any event', '"Viewed"']), look_back_s: pick([3600, 864000]), top: pick([1, 2, 9]),
    model: pick(['last', 'first', 'linear', 'u_shaped', 'participation']), breakdown: pick([['channel'], ['event', 'channel']]),
  }),
}

const KINDS = { lettered: 'trend', bracketed: 'retention' }
const CALENDARS = [{}, { zone: 'America/New_York', cut_over: '04:30', week_start: 'sunday' }, { zone: '+05:45', week_start: 'thursday' }]

async function checkQuestions(name, rounds) {
  let full = 0
  for (let i = 0; i < rounds; i++)
    full += await checkEveryBar({ [KINDS[name] ?? name]: { ...WEEKS, ...QUESTIONS[name]() }, ...pick(CALENDARS) })
  assert.ok(full > 2 * rounds, `${full} numbers of ${name} were not 0`)
}

const SEGMENTS = ['did("Viewed", within 9d)', 'not did("Paid")', 'did("Paid", count >= 2, sum(spent) > 10) or did("Called")']

async function checkSome(rounds) {
  for (const name of Object.keys(QUESTIONS)) await checkQuestions(name, rounds)
  for (const of of SEGMENTS) await checkEveryBar({ segment: { of } })
}

test('the people behind every number are as many as it says, or what each has of it adds up to it', () => checkSome(7))

test('the people behind a bar of a trend are those who did it then, each as often as they did', async () => {
  const question = { trend: { ...WEEKS, of: '"Viewed"', by: 'day', breakdown: ['channel'], top: 2 } }
  const { trend } = await w.want(200, 'POST', '/v1/query', question)
  const shown = trend.series.filter((s) => !s.other).map((s) => s.values[0].value ?? undefined)
  for (const s of trend.series)
    for (const [i, start] of trend.buckets.entries()) {
      const at = Date.parse(start)
      const rows = EVENTS.filter(({ name, time, properties: { channel } }) => {
        const in_time = Date.parse(time) >= at && Date.parse(time) < at + DAY
        return name === 'Viewed' && in_time && (s.other ? !shown.includes(channel) : channel === (s.values[0].value ?? undefined))
      })
      const often = {}
      for (const e of rows) if (e.actor) often[`member:${e.actor.value}`] = (often[`member:${e.actor.value}`] ?? 0) + 1
      const got = await everybody(w, question, { ...series(s), interval: i + 1 })
      assert.deepEqual(Object.fromEntries(got.found), Object.fromEntries(Object.entries(often).map(([k, n]) => [k, String(n)])))
      assert.equal(got.nobody, String(rows.filter((e) => !e.actor).length))
    }
})

test('they are as many behind links, unlinks and erasures, too, and nobody who is gone is among them', async () => {
  const say = (kind, i, more = {}) => ({ id: `say-${kind}-${i}`, kind, actor: actor(i), ...more })
  const links = Array.from({ length: 12 }, (_, i) => say('link', i, { other: actor(i % 2 === 0 ? i + 20 : i + 1) }))
  await w.want(200, 'POST', '/v1/events', { events: links })
  await w.want(200, 'POST', '/v1/events', { events: [say('unlink', 4, { other: actor(24) }), say('erase', 30), say('erase', 22)] })
  await checkSome(3)
  const all = { trend: { ...WEEKS, of: 'any event', by: 'all', measure: 'persons' } }
  const { who } = await everybody(w, all, { interval: 1 }, 9)
  assert.ok(!who.includes('member:m-30') && !who.includes('member:m-22'))
  assert.ok(!(who.includes('member:m-0') && who.includes('member:m-20')), 'they are one person')
})

// ---- rights, and what no answer has ----------------------------------------------------------------------

test('who is behind a number of any question is for those who may read persons, of all shops', async () => {
  const as = w.command(['key', 'add', 'analyst-people', '--role', 'analyst']).trim()
  for (const [name, question] of Object.entries(QUESTIONS)) {
    const query = { [KINDS[name] ?? name]: { ...WEEKS, ...question() } }
    await w.refused(403, 'auth.permission', 'POST', '/v1/query', { ...query, people: {} }, { as })
    const { people } = await w.want(200, 'POST', '/v1/query', query, { as })
    assert.equal(people, undefined)
  }
})

test('a number that the answer does not have is refused, with the place', async () => {
  const of = { ...WEEKS, of: '"Viewed"' }
  const trend = { trend: { ...of, by: 'week', breakdown: ['channel'], top: 2 } }
  const web = { values: [{ value: 'web' }] }
  await refused(trend, { interval: 1 }, '/people/values')
  await refused(trend, { interval: 1, values: [{ value: 'nonsense' }] }, '/people/values')
  await refused(trend, { interval: 1, ...web, other: true }, '/people/values')
  await refused(trend, { other: true }, '/people/interval')
  await refused(trend, { other: true, interval: 9 }, '/people/interval')
  await refused(trend, { other: true, interval: 1, letter: 'A' }, '/people/letter')
  await refused(trend, { other: true, interval: 1, step: 1 }, '/people/step')
  const lettered = { trend: { ...WEEKS, series: [{ of: '"Viewed"' }] } }
  await refused(lettered, { interval: 1 }, '/people/letter')
  await refused(lettered, { interval: 1, letter: 'B' }, '/people/letter')
  const retention = { retention: { ...WEEKS, start: 'any event', returns: 'any event', by: 'week' } }
  await refused(retention, { column: 1 }, '/people/interval')
  await refused(retention, { interval: 1, column: 9 }, '/people/column')
  await refused(retention, { interval: 1, ...web }, '/people/values')
  await refused({ stickiness: of }, { n: 15 }, '/people/n')
  await refused({ stickiness: of }, { n: 1, outcome: 'new' }, '/people/outcome')
  await refused({ lifecycle: of }, { interval: 1, outcome: 'exactly' }, '/people/outcome')
  await refused({ lifecycle: of }, { interval: 1, n: 1 }, '/people/n')
  await refused({ segment: { of: 'did("Viewed")' } }, { other: true }, '/people/other')
  await refused({ paths: WEEKS }, {}, '/people/step')
  await refused({ paths: WEEKS }, { step: 6 }, '/people/step')
  await refused({ paths: WEEKS }, { step: 1, from: { event: 'nonsense' } }, '/people/from')
  await refused({ paths: WEEKS }, { step: 1, from: { event: 'Viewed', value: 'x' } }, '/people/from')
  await refused({ paths: WEEKS }, { step: 1, to: { event: 'Viewed' } }, '/people/to')
  await refused({ transitions: WEEKS }, { from: { event: 'Viewed' } }, '/people/from')
  await refused({ transitions: WEEKS }, { from: { event: 'Viewed' }, to: { event: 'Viewed' } }, '/people/from')
  await refused({ sessions: WEEKS }, { from: { event: 'nonsense' } }, '/people/from')
  await refused({ sessions: WEEKS }, { from: { event: 'Viewed' }, to: { event: 'Paid' } }, '/people/to')
  await refused({ sessions: WEEKS }, { from: { event: 'Viewed' }, interval: 1 }, '/people/from')
  await refused({ sessions: WEEKS }, { ...web }, '/people/values')
  const touch = { touch: { ...WEEKS, conversion: '"Paid"', touch: 'any event', breakdown: ['channel'] } }
  await refused(touch, { values: [{ value: 'nonsense' }] }, '/people/values')
  await refused(touch, { ...web, outcome: 'direct' }, '/people/values')
  await w.refused(400, 'request.cursor', 'POST', '/v1/query', { ...touch, people: { cursor: 'nonsense' } })
})
