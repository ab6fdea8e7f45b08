// tests/http/funnel_ways.test.mjs -- which ways of a person count, and what their steps share: against slow obvious code.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { dice, everybody } from './people.mjs'
import { DAY, HOUR, World } from './world.mjs'

const NOON = 1795233600000 // 2026-11-21 12:00 in China
const WEEK = { from: '2026-11-15', to: '2026-11-21' }
const FROM = Date.parse('2026-11-15T00:00:00+08:00')
const TO = FROM + 7 * DAY
const NAMES = ['Viewed', 'Added', 'Paid', 'Called']
const CHANNELS = ['web', 'app', 'shop', undefined]

const random = dice(11)
const pick = (list) => list[random(list.length)]
const EVENTS = randomEvents(900)

let w
before(async () => {
  w = await World.open({ clock: NOON })
  for (let at = 0; at < EVENTS.length; at += 300)
    await w.want(200, 'POST', '/v1/events', { events: EVENTS.slice(at, at + 300) })
})
after(() => w.close())

/** Events of 30 persons in two weeks, in bursts, in no order of time. */
function randomEvents(count) {
  const events = []
  for (let i = 0; i < count; i++) {
    const near = i > 0 && random(4) > 0 ? events[i - 1] : undefined
    const time = near ? Date.parse(near.time) + (random(121) - 30) * 60e3 : NOON - random(14 * 24 * 60) * 60e3
    const channel = pick(CHANNELS)
    events.push({
      id: `y-${i}`,
      name: pick(NAMES),
      time: new Date(Math.min(time, NOON)).toISOString(),
      actor: near?.actor ?? { kind: 'member', value: `y-${random(30)}` },
      properties: channel === undefined ? {} : { channel },
    })
  }
  return events
}

// ---- the slow way --------------------------------------------------------------------------------------

/** Each person's events, in (time, arrival) order. */
function persons() {
  const all = new Map()
  for (const { name, time, actor, properties } of EVENTS) {
    if (!all.has(actor.value)) all.set(actor.value, [])
    all.get(actor.value).push({ name, at: Date.parse(time), channel: properties.channel })
  }
  return [...all.values()].map((events) => events.sort((a, b) => a.at - b.at).map((e, place) => ({ ...e, place })))
}

/** Numbers the sessions of the events that are looked at. */
function numberSessions(events, { gap_s = 1800, max_s = 86400 }) {
  let number = 0
  let start, before
  for (const e of events.filter(({ at }) => at >= FROM - max_s * 1000)) {
    if (start === undefined || e.at - before > gap_s * 1000 || e.at - start >= max_s * 1000) [start, number] = [e.at, number + 1]
    before = e.at
    e.session = number
  }
}

/** The way from one event, whose held steps have `value`: undefined when it begins none. */
function wayFrom(q, events, entry, value) {
  const holds = (step) => q.hold_constant !== undefined && (q.hold_steps ?? [1, 2, 3]).includes(step)
  const fills = (e, step) => q.takes[step - 1](e) && (!holds(step) || (value !== undefined && e.channel === value))
  if (entry.at < FROM || entry.at >= TO || !fills(entry, 1)) return undefined
  const way = [entry]
  for (const e of events)
    if (way.length < 3 && e.place > way.at(-1).place && fills(e, way.length + 1) && e.at - entry.at <= q.window_s * 1000 &&
        (q.window_sessions === undefined || e.session < entry.session + q.window_sessions))
      way.push(e)
  return way
}

/** What comes first of all time, of the value when step 1 is held. */
function beginsEver(q, events, entry, value) {
  const first_held = q.hold_constant !== undefined && (q.hold_steps ?? [1]).includes(1)
  const first = events.find((e) =>
    (q.entry === 'first_named' ? e.name === q.name : q.takes[0](e)) && (!first_held || e.channel === value))
  return first.place === entry.place
}

/** Less than 0: the way `a` counts rather than `b`. */
function compareWays(q, a, b) {
  if (a.length !== b.length) return b.length - a.length
  if (q.entry === 'nearest') {
    if (a.at(-1) !== b.at(-1)) return a.at(-1).place - b.at(-1).place
    if (a[0] !== b[0]) return b[0].place - a[0].place
  }
  const differs = a.findIndex((e, k) => e !== b[k])
  return differs < 0 ? 0 : a[differs].place - b[differs].place
}

/** The values whose ways count: undefined is none. */
function valuesOf(q, events) {
  if (q.hold_constant === undefined) return [undefined]
  if (q.hold_value !== 'first') return CHANNELS
  const first = events.find((e) => e.channel !== undefined && q.takes[0](e) && e.at >= FROM && e.at < TO)
  return first === undefined ? [] : [first.channel]
}

/** The ways of a person that count: but for `every` it is one. */
function waysOf(q, events) {
  const values = valuesOf(q, events)
  numberSessions(events, q)
  const ways = values.flatMap((value) => {
    let mine = events.map((entry) => wayFrom(q, events, entry, value)).filter((way) => way !== undefined)
    if (q.entry.startsWith('first')) mine = mine.slice(0, 1)
    return q.entry.startsWith('first_') ? mine.filter(([entry]) => beginsEver(q, events, entry, value)) : mine
  })
  ways.sort((a, b) => compareWays(q, a, b))
  return q.entry === 'every' ? ways : ways.slice(0, 1)
}

function slowFunnel(q) {
  const of_persons = persons().map((events) => waysOf(q, events))
  return [1, 2, 3].map((depth) => {
    const reached = of_persons.map((ways) => ways.filter((way) => way.length >= depth))
    const there = reached.flat()
    const ms = depth === 1 ? 0 : there.reduce((sum, way) => sum + way[depth - 1].at - way[depth - 2].at, 0)
    const average = there.length === 0 ? 0 : Math.floor(ms / there.length)
    const ways = q.entry === 'every' ? { ways: there.length } : {}
    return { persons: reached.filter((ways) => ways.length > 0).length, average_s: Math.floor((average + 500) / 1000), ...ways }
  })
}

// ---- random funnels ------------------------------------------------------------------------------------

function randomFunnel() {
  const name = pick(NAMES)
  const filtered = random(3) === 0
  const others = [pick(NAMES), pick(NAMES)]
  const steps = [`"${name}"${filtered ? ' where channel == "web"' : ''}`, ...others.map((n) => `"${n}"`)]
  const takes = [(e) => e.name === name && (!filtered || e.channel === 'web'), ...others.map((n) => (e) => e.name === n)]
  const hold = pick([{}, { hold_constant: ['channel'] }, { hold_constant: ['channel'], hold_steps: pick([[1, 2], [2, 3], [1, 3], [3, 1, 2]]) }])
  const sessions = pick([{}, { window_sessions: 1 + random(4), ...(random(2) ? { gap_s: 600 } : {}), ...(random(2) ? { max_s: 3600 } : {}) }])
  const asked = {
    window_s: pick([3600, 3 * 86400, 31622400]),
    entry: pick(['best', 'first', 'nearest', 'first_ever', 'first_named', 'every']),
    ...hold, ...sessions,
  }
  const held = (hold.hold_steps ?? [1]).includes(1)
  if (hold.hold_constant && held && random(3) === 0) asked.hold_value = 'first'
  if (!held && asked.entry === 'every') asked.entry = 'best'
  return { asked: { ...WEEK, steps: steps.map((of) => ({ of })), times: true, ...asked }, slow: { ...asked, takes, name } }
}

test('funnels within sessions, of chosen steps and of every entry are those of the slow way', async () => {
  const differ = new Set()
  for (let i = 0; i < 250; i++) {
    const { asked, slow } = randomFunnel()
    const { funnel } = await w.want(200, 'POST', '/v1/query', { funnel: asked })
    const got = funnel.steps.map(({ persons, average_s, ways }) => ({ persons, average_s, ...(ways !== undefined && { ways }) }))
    assert.deepEqual(got, slowFunnel(slow), JSON.stringify(asked))
    differ.add(JSON.stringify(got))
    if (i % 10 > 0) continue
    for (const [k, row] of funnel.steps.entries())
      assert.equal((await everybody(w, { funnel: asked }, { step: k + 1 })).persons, row.persons)
  }
  assert.ok(differ.size > 100, `${differ.size} different answers`)
})

// ---- by hand -------------------------------------------------------------------------------------------

const happen = (who, rows) =>
  w.want(200, 'POST', '/v1/events', { events: rows.map(([name, at, properties = {}], i) => ({
    id: `${who}-${i}`, name, time: new Date(NOON - DAY + at).toISOString(), actor: { kind: 'member', value: who }, properties,
  })) })

const reach = async (funnel) =>
  (await w.want(200, 'POST', '/v1/query', { funnel: { ...WEEK, ...funnel } })).funnel.steps.map((row) => row.persons)

test('a way ends with so many sessions, of all events of the person, as the question of sessions cuts them', async () => {
  await happen('s-1', [['Began', 0], ['Idled', HOUR / 2], ['Ended', HOUR]])
  await happen('s-2', [['Began', 0], ['Ended', HOUR / 2 + 1]])
  await happen('s-3', [['Began', 0], ['Idled', HOUR], ['Ended', 2 * HOUR]])
  const steps = ['Began', 'Ended'].map((name) => ({ of: `"${name}"` }))
  assert.deepEqual(await reach({ steps }), [3, 3])
  assert.deepEqual(await reach({ steps, window_sessions: 1 }), [3, 1])
  assert.deepEqual(await reach({ steps, window_sessions: 2 }), [3, 2])
  assert.deepEqual(await reach({ steps, window_sessions: 3 }), [3, 3])
  assert.deepEqual(await reach({ steps, window_sessions: 1, gap_s: 1801 }), [3, 2])
  assert.deepEqual(await reach({ steps, window_sessions: 1, max_s: 3600 }), [3, 0])
  assert.deepEqual(await reach({ steps, window_sessions: 3, window_s: 3600 }), [3, 2])
})

test('only chosen steps need the same value, and what is excluded needs it, too', async () => {
  const tea = { sku: 'tea' }
  const rice = { sku: 'rice' }
  await happen('k-1', [['Opened', 0], ['Looked', 1000, tea], ['Bought', 2000, tea]])
  await happen('k-2', [['Opened', 0], ['Looked', 1000, tea], ['Bought', 2000, rice]])
  await happen('k-3', [['Opened', 0, rice], ['Looked', 1000, tea], ['Dropped', 1500, rice], ['Bought', 2000, tea]])
  await happen('k-4', [['Opened', 0]])
  const steps = ['Opened', 'Looked', 'Bought'].map((name) => ({ of: `"${name}"` }))
  const held = { steps, hold_constant: ['sku'], hold_steps: [2, 3] }
  assert.deepEqual(await reach({ steps }), [4, 3, 3])
  assert.deepEqual(await reach({ steps, hold_constant: ['sku'] }), [1, 0, 0])
  assert.deepEqual(await reach(held), [4, 3, 2])
  const exclude = (sku) => ({ exclude: [{ of: `"Dropped"${sku}`, from_step: 2 }] })
  assert.deepEqual(await reach({ ...held, ...exclude('') }), [4, 3, 2])
  await happen('k-5', [['Opened', 0], ['Looked', 1000, tea], ['Dropped', 1500, tea], ['Bought', 2000, tea]])
  assert.deepEqual(await reach({ ...held, ...exclude('') }), [5, 4, 2])
  // Without the optional step the held ones are counted anew.
  const [first, second, third] = steps
  const { funnel } = await w.want(200, 'POST', '/v1/query', { funnel: {
    ...WEEK, hold_constant: ['sku'], hold_steps: [3, 4], steps: [first, { of: '"Dropped"', optional: true }, second, third],
  } })
  assert.deepEqual(funnel.without.steps.map((row) => row.persons), await reach(held))
})

test('the first event of a name may be the only one that begins a way, and then has to be one that does', async () => {
  await happen('n-1', [['Joined', 0, { plan: 'paid' }], ['Stayed', 1000]])
  await happen('n-2', [['Joined', 0, { plan: 'free' }], ['Joined', 500, { plan: 'paid' }], ['Stayed', 1000]])
  await happen('n-3', [['Joined', -30 * DAY, { plan: 'free' }], ['Joined', 500, { plan: 'paid' }], ['Stayed', 1000]])
  const steps = [{ of: '"Joined" where plan == "paid"' }, { of: '"Stayed"' }]
  assert.deepEqual(await reach({ steps, entry: 'first_ever' }), [3, 3])
  assert.deepEqual(await reach({ steps, entry: 'first_named' }), [1, 1])
})

test('the nearest way is as long as the best one, ends first and begins last', async () => {
  await happen('z-1', [['Asked', 0], ['Asked', 5000], ['Told', 9000], ['Asked', 20000], ['Told', 21000]])
  const funnel = { ...WEEK, steps: [{ of: '"Asked"' }, { of: '"Told"' }], times: true }
  const took = async (entry) => (await w.want(200, 'POST', '/v1/query', { funnel: { ...funnel, entry } })).funnel.whole.average_s
  assert.equal(await took('best'), 9)
  assert.equal(await took('nearest'), 4)
})

test('every first step may begin a way that counts', async () => {
  const funnel = { steps: [{ of: '"Knocked"' }, { of: '"Entered"' }] }
  await happen('e-1', [['Knocked', 0], ['Knocked', 5000], ['Entered', 9000], ['Knocked', 20000]])
  const ways = async (entry) =>
    (await w.want(200, 'POST', '/v1/query', { funnel: { ...WEEK, ...funnel, entry } })).funnel.steps.map((row) => [row.persons, row.ways])
  assert.deepEqual(await ways('all'), [[1, 2], [1, 1]])
  assert.deepEqual(await ways('every'), [[1, 3], [1, 2]])
})

test('only the value of the first step of all may count', async () => {
  await happen('v-1', [['Chose', 0, { plan: 'free' }], ['Chose', 1000, { plan: 'paid' }], ['Kept', 2000, { plan: 'paid' }]])
  const funnel = { steps: [{ of: '"Chose"' }, { of: '"Kept"' }], hold_constant: ['plan'] }
  assert.deepEqual(await reach(funnel), [1, 1])
  assert.deepEqual(await reach({ ...funnel, hold_value: 'first' }), [1, 0])
})

test('choices that do not go together are refused, with the place', async () => {
  const steps = NAMES.slice(0, 3).map((name) => ({ of: `"${name}"` }))
  const held = { hold_constant: ['channel'], hold_steps: [2, 3] }
  for (const [funnel, pointer] of [
    [{ order: 'any', entry: 'nearest' }, '/funnel/entry'],
    [{ order: 'any', entry: 'first_named' }, '/funnel/entry'],
    [{ order: 'any_after_first', entry: 'nearest' }, '/funnel/entry'],
    [{ gap_s: 60 }, '/funnel/gap_s'],
    [{ max_s: 60 }, '/funnel/max_s'],
    [{ hold_steps: [1, 2] }, '/funnel/hold_steps'],
    [{ ...held, hold_steps: [1, 4] }, '/funnel/hold_steps/1'],
    [{ ...held, hold_steps: [1, 2, 1] }, '/funnel/hold_steps/2'],
    [{ ...held, order: 'strict' }, '/funnel/hold_steps'],
    [{ ...held, order: 'any' }, '/funnel/hold_steps'],
    [{ ...held, order: 'any_after_first' }, '/funnel/hold_steps'],
    [{ ...held, entry: 'all' }, '/funnel/hold_steps'],
    [{ ...held, entry: 'every' }, '/funnel/hold_steps'],
    [{ hold_value: 'first' }, '/funnel/hold_value'],
    [{ ...held, hold_value: 'first' }, '/funnel/hold_value'],
    [{ hold_constant: ['channel'], order: 'any', hold_value: 'first' }, '/funnel/hold_value'],
    [{ hold_constant: ['channel'], breakdown: ['channel'], attribution: 'all', hold_value: 'first' }, '/funnel/hold_value'],
    [{ ...held, breakdown: ['channel'], attribution: 'all' }, '/funnel/hold_steps'],
  ]) {
    const problem = await w.refused(400, 'query.combination', 'POST', '/v1/query', { funnel: { ...WEEK, steps, ...funnel } })
    assert.equal(problem.errors?.[0].pointer, pointer, JSON.stringify(problem))
  }
  for (const funnel of [{ window_sessions: 13 }, { window_sessions: 0 }, { ...held, hold_steps: [1] }, { window_sessions: 1, max_s: 86401 }])
    await w.want(400, 'POST', '/v1/query', { funnel: { ...WEEK, steps, ...funnel } })
})
