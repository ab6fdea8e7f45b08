// tests/http/funnel.test.mjs -- funnels over the wire, and the people behind their numbers.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { dice, everybody } from './people.mjs'
import { DAY, HOUR, World } from './world.mjs'

const NOON = 1795233600000 // 2026-11-21 12:00 in China
const WEEK = { from: '2026-11-15', to: '2026-11-21' }
const NAMES = ['Viewed', 'Added', 'Paid', 'Called']
const CHANNELS = ['web', 'app', 'shop', undefined]

let w
before(async () => {
  w = await World.open({ clock: NOON })
  const events = randomEvents(600)
  for (let at = 0; at < events.length; at += 200)
    await w.want(200, 'POST', '/v1/events', { events: events.slice(at, at + 200) })
})
after(() => w.close())

const ask = async (funnel) => (await w.want(200, 'POST', '/v1/query', { funnel: { ...WEEK, ...funnel } })).funnel
const refused = (code, funnel, pointer, people) =>
  w.refused(400, code, 'POST', '/v1/query', { funnel: { ...WEEK, ...funnel }, people }).then((problem) => {
    if (pointer) assert.equal(problem.errors?.[0].pointer, pointer, JSON.stringify(problem))
  })
const persons = (rows) => rows.map((r) => r.persons)
const STEPS = NAMES.slice(0, 3).map((name) => ({ of: `"${name}"` }))

/** Events of 40 persons in three weeks, in bursts, in no order of time. */
function randomEvents(count) {
  const below = dice(7)
  const events = []
  for (let i = 0; i < count; i++) {
    const near = i > 0 && below(3) > 0 ? events[i - 1] : undefined
    const time = near ? Date.parse(near.time) + (below(11) - 5) * 60e3 : NOON - below(20 * 24 * 60) * 60e3
    const channel = CHANNELS[below(CHANNELS.length)]
    events.push({
      id: `f-${i}`,
      name: NAMES[Math.min(below(4), below(5))],
      time: new Date(Math.min(time, NOON)).toISOString(),
      actor: near?.actor ?? { kind: 'member', value: `m-${below(40)}` },
      properties: channel === undefined ? {} : { channel },
    })
  }
  return events
}

const whoIs = async (funnel, people) => (await everybody(w, { funnel: { ...WEEK, ...funnel } }, people, 7)).who

/** Every bar of steps or an interval: as many as its number, and no one both reaches and drops. */
async function checkBars(question, counts, bar) {
  for (const [i, count] of counts.entries()) {
    const reached = await whoIs(question, { ...bar, step: i + 1 })
    assert.equal(reached.length, count, JSON.stringify([question, bar, i]))
    if (i === 0) continue
    const dropped = await whoIs(question, { ...bar, step: i + 1, outcome: 'dropped' })
    assert.equal(dropped.length, counts[i - 1] - count)
    assert.ok(dropped.every((p) => !reached.includes(p)))
  }
}

const BARRED = [
  {},
  { order: 'any', window_s: 86400 },
  { order: 'strict', entry: 'all', hold_constant: ['channel'] },
  { breakdown: ['channel'], top: 2, by: 'day', window_s: 3600 },
  { breakdown: ['channel'], attribution: 'all', top: 1, by: 'week' },
  { window_sessions: 1, gap_s: 3600, order: 'any', breakdown: ['channel'], top: 2, by: 'week' },
  { window_sessions: 2, order: 'strict', entry: 'nearest', breakdown: ['channel'], by: 'day' },
  { hold_constant: ['channel'], hold_steps: [2, 3], entry: 'first_named', breakdown: ['channel'], attribution: 'last', by: 'day' },
  { hold_constant: ['channel'], hold_steps: [1, 3], entry: 'all', by: 'week', exclude: [{ of: '"Called"' }], exclude_by: 'person' },
  { breakdown: ['channel'], attribution: 'step', attribution_step: 2, unreached: true, top: 2, by: 'week' },
  { hold_constant: ['channel'], hold_value: 'first', entry: 'every', order: 'any_after_first', by: 'day' },
  { breakdown: ['channel', 'source'], attribution: 'step', attribution_step: 2 },
  { breakdown: ['channel'], attribution: 'last', entry: 'first', exclude: [{ of: '"Called"' }], exclude_by: 'person' },
  { entry: 'all', by: 'day', grace_ms: 60000, exclude: [{ of: '"Called"', from_step: 2, to_step: 3 }] },
]

test('the people behind every number of a funnel are as many as it says', async () => {
  for (const more of BARRED) {
    const question = { steps: STEPS, ...more }
    const answer = await ask(question)
    await checkBars(question, persons(answer.steps), {})
    for (const series of [{ steps: answer.steps, intervals: answer.intervals }, ...(answer.series ?? [])]) {
      const { values, other, unreached } = series
      const bar = values === undefined ? {} : unreached ? { unreached } : { values, other }
      await checkBars(question, persons(series.steps), bar)
      const interval = series.intervals?.findIndex((row) => row.persons[0] > 0) ?? -1
      if (interval >= 0) await checkBars(question, series.intervals[interval].persons, { ...bar, interval: interval + 1 })
    }
  }
})

test('who is behind a number is for those who may read persons, of all shops', async () => {
  const as = w.command(['key', 'add', 'analyst-funnel', '--role', 'analyst']).trim()
  const funnel = { ...WEEK, steps: STEPS }
  await w.refused(403, 'auth.permission', 'POST', '/v1/query', { funnel, people: { step: 1 } }, { as })
  const { people } = await w.want(200, 'POST', '/v1/query', { funnel }, { as })
  assert.equal(people, undefined)
})

test('a series of a breakdown is the funnel of its events, when every step has its own value', async () => {
  const answer = await ask({ steps: STEPS, breakdown: ['channel'], attribution: 'all', top: 9 })
  assert.equal(answer.distinct, 4)
  for (const { values, steps } of answer.series) {
    const is = values[0].value === null ? 'channel is missing' : `channel == "${values[0].value}"`
    const alone = await ask({ steps: STEPS.map(({ of }) => ({ of: `${of} where ${is}` })) })
    assert.deepEqual(persons(steps), persons(alone.steps))
  }
})

test('series of the first step add up to the funnel, and whoever has no such step is dropped', async () => {
  const plain = persons((await ask({ steps: STEPS })).steps)
  for (const attribution of ['first', 'last']) {
    const { steps, series } = await ask({ steps: STEPS, breakdown: ['channel'], attribution, top: 2 })
    assert.deepEqual(persons(steps), plain)
    assert.deepEqual(plain.map((_, i) => series.reduce((sum, s) => sum + s.steps[i].persons, 0)), plain)
    assert.deepEqual(series.map((s) => s.other), [false, false, true])
  }
  const { steps } = await ask({ steps: STEPS, breakdown: ['channel'], attribution: 'step', attribution_step: 2 })
  assert.deepEqual(persons(steps), [plain[1], plain[1], plain[2]])
  const whole = { steps: STEPS, breakdown: ['channel'], attribution: 'step', attribution_step: 2, unreached: true }
  const all = await ask(whole)
  assert.deepEqual(persons(all.steps), plain)
  const [unreached, ...more] = all.series.filter((s) => s.unreached)
  assert.deepEqual([persons(unreached.steps), unreached.values, more], [[plain[0] - plain[1], 0, 0], [], []])
  const of_step = await ask({ ...whole, unreached: false })
  assert.deepEqual(all.series.filter((s) => s !== unreached), of_step.series)
  assert.equal((await whoIs(whole, { step: 1, unreached: true })).length, plain[0] - plain[1])
})

test('an interval of a funnel counts as if it were the range', async () => {
  const { steps, intervals } = await ask({ steps: STEPS, by: 'day', window_s: 7200 })
  assert.equal(intervals.length, 7)
  assert.deepEqual(persons(steps), persons((await ask({ steps: STEPS, window_s: 7200 })).steps))
  for (const [i, row] of intervals.entries()) {
    const day = new Date(Date.parse('2026-11-15') + i * DAY).toISOString().slice(0, 10)
    const alone = await ask({ steps: STEPS, from: day, to: day, window_s: 7200 })
    assert.deepEqual(row.persons, persons(alone.steps))
    assert.equal(row.start, new Date(Date.parse(`${day}T00:00:00+08:00`)).toISOString())
    assert.equal(row.complete, i < 6)
  }
})

test('intervals of a funnel are hours to years', async () => {
  const { steps, intervals } = await ask({ steps: STEPS, by: 'hour', window_s: 7200 })
  assert.equal(intervals.length, 7 * 24)
  assert.ok(intervals.every((row, i) => i === 0 || Date.parse(row.start) - Date.parse(intervals[i - 1].start) === HOUR))
  for (const by of ['quarter', 'year']) {
    const whole = await ask({ steps: STEPS, by, window_s: 7200 })
    assert.deepEqual(whole.intervals.map((row) => row.persons), [persons(steps)])
  }
})

test('any other steps may follow the first one in any order', async () => {
  const rows = ['ABC', 'ACB', 'BAC', 'BCA', 'AAC', 'A', 'CB'].flatMap((walk, i) =>
    [...walk].map((step, k) => ({
      id: `w-${i}-${k}`, name: `Walk ${step}`, time: new Date(NOON - DAY + k * HOUR).toISOString(),
      actor: { kind: 'member', value: `w-${i}` }, properties: {},
    })))
  await w.want(200, 'POST', '/v1/events', { events: rows })
  const steps = ['A', 'B', 'C'].map((step) => ({ of: `"Walk ${step}"` }))
  const funnel = async (order, entry) => persons((await ask({ steps, order, ...(entry && { entry }) })).steps)
  assert.deepEqual(await funnel('any_after_first'), [6, 4, 2])
  assert.deepEqual(await funnel('any_after_first', 'first'), [6, 4, 2])
  assert.deepEqual(await funnel('any'), [7, 6, 4])
  assert.deepEqual(await funnel('sequential'), [6, 2, 1])
  // Whoever did step 1 before the range did not do it for the first time in it.
  const before = { id: 'w-0-old', name: 'Walk A', time: new Date(NOON - 90 * DAY).toISOString(), actor: { kind: 'member', value: 'w-0' }, properties: {} }
  await w.want(200, 'POST', '/v1/events', { events: [before] })
  assert.deepEqual(await funnel('any_after_first', 'first_ever'), [5, 3, 1])
  assert.deepEqual(await funnel('sequential', 'first_ever'), [5, 1, 0])
  assert.deepEqual(await funnel('sequential', 'first'), [6, 2, 1])
  await refused('query.combination', { steps, order: 'any', entry: 'first_ever' }, '/funnel/entry')
})

test('a step in the middle may be optional: then there are two funnels', async () => {
  const [first, second, ...rest] = STEPS
  const more = { breakdown: ['channel'], top: 2, by: 'day', times: true, exclude: [{ of: '"Called"', from_step: 1, to_step: 3 }] }
  const both = await ask({ ...more, steps: [first, { ...second, optional: true }, ...rest] })
  const { without, ...whole } = both
  assert.deepEqual(whole, await ask({ ...more, steps: STEPS }))
  assert.deepEqual(without, await ask({ ...more, steps: [first, ...rest], exclude: [{ of: '"Called"', from_step: 1, to_step: 2 }] }))
  const query = { funnel: { ...WEEK, steps: [first, { ...second, optional: true }, ...rest] } }
  for (const [bar, answer] of [[{ step: 2 }, both], [{ step: 2, without: true }, without]]) {
    const { persons: n } = await everybody(w, query, bar)
    const plain = await ask({ steps: query.funnel.steps })
    assert.equal(n, (answer === both ? plain : plain.without).steps[1].persons)
  }
  const optional = (...places) => STEPS.map((step, i) => ({ ...step, optional: places.includes(i) }))
  await refused('query.combination', { steps: optional(0) }, '/funnel/steps/0/optional')
  await refused('query.combination', { steps: optional(2) }, '/funnel/steps/2/optional')
  await refused('query.combination', { steps: optional(1), exclude: [{ of: '"Called"', from_step: 2 }] }, '/funnel/exclude/0')
})

test('all steps of a way may have to be on one business day', async () => {
  const at = (who, name, time) => ({ id: `d-${who}-${name}`, name, time, actor: { kind: 'member', value: `d-${who}` }, properties: {} })
  await w.want(200, 'POST', '/v1/events', { events: [
    at(0, 'Came', '2026-11-18T10:00:00+08:00'), at(0, 'Left', '2026-11-18T23:59:59.999+08:00'),
    at(1, 'Came', '2026-11-18T23:00:00+08:00'), at(1, 'Left', '2026-11-19T00:00:00+08:00'),
    at(2, 'Came', '2026-11-21T01:00:00+08:00'), at(2, 'Left', '2026-11-21T09:00:00+08:00'),
  ] })
  const steps = [{ of: '"Came"' }, { of: '"Left"' }]
  const left = async (more, calendar = {}) =>
    (await w.want(200, 'POST', '/v1/query', { funnel: { ...WEEK, steps, ...more }, ...calendar })).funnel.steps[1].persons
  assert.equal(await left({}), 3)
  assert.equal(await left({ same_day: true }), 2)
  assert.equal(await left({ same_day: true, order: 'any' }), 2)
  assert.equal(await left({ same_day: true }, { cut_over: '4' }), 2) // the second and the first: a night belongs to its evening
  assert.equal(await left({ same_day: true, window_s: 3600 }, { cut_over: '4' }), 1)
  const { intervals } = await ask({ steps, same_day: true, by: 'day' })
  assert.deepEqual(intervals.map((row) => row.complete), [true, true, true, true, true, true, false])
})

test('times of a funnel have a mean, a median and a distribution', async () => {
  const who = (i) => ({ kind: 'member', value: `t-${i}` })
  const at = (i, name, after_s) => ({
    id: `t-${i}-${name}`, name, time: new Date(NOON - DAY + after_s * 1000).toISOString(), actor: who(i), properties: {},
  })
  const took = [0, 1, 5, 9, 1000]
  const events = took.flatMap((s, i) => [at(i, 'Asked', 0), at(i, 'Answered', s), at(i, 'Thanked', 2 * s + 1)])
  await w.want(200, 'POST', '/v1/events', { events })
  const steps = ['Asked', 'Answered', 'Thanked'].map((name) => ({ of: `"${name}"` }))
  const { steps: rows, whole } = await ask({ steps, times: true })
  assert.deepEqual(rows[0], { persons: 5, average_s: 0, median_s: 0, distribution: [] })
  assert.deepEqual(rows[1], { persons: 5, average_s: 203, median_s: 5, distribution: [1, 1, 0, 1, 1, 0, 0, 0, 0, 0, 1] })
  assert.deepEqual(whole, { average_s: 407, median_s: 11, distribution: [0, 1, 1, 0, 1, 1, 0, 0, 0, 0, 0, 1] })
  const four = await ask({ steps: [steps[0], { of: '"Answered"' }], times: true, window_s: 900 })
  assert.equal(four.steps[1].median_s, 3)
})

test('a funnel that cannot be is refused, with the place', async () => {
  const funnel = { steps: STEPS }
  await refused('query.combination', { ...funnel, order: 'any', entry: 'first' }, '/funnel/entry')
  await refused('query.combination', { ...funnel, order: 'strict', grace_ms: 1 }, '/funnel/grace_ms')
  await refused('query.combination', { ...funnel, attribution: 'step' }, '/funnel/attribution_step')
  await refused('query.combination', { ...funnel, attribution_step: 1 }, '/funnel/attribution_step')
  await refused('query.combination', { ...funnel, breakdown: ['channel'], unreached: true }, '/funnel/unreached')
  const of_step = { attribution: 'step', attribution_step: 2, unreached: true }
  await refused('query.combination', { ...funnel, ...of_step }, '/funnel/unreached')
  await refused('query.combination', { ...funnel, ...of_step, breakdown: ['channel', 'source', 'store'] }, '/funnel/unreached')
  await refused('query.combination', { ...funnel, attribution: 'step', attribution_step: 4 }, '/funnel/attribution_step')
  await refused('query.combination', { ...funnel, exclude: [{ of: '"Called"', to_step: 4 }] }, '/funnel/exclude/0/to_step')
  await refused('query.combination', { ...funnel, exclude: [{ of: '"Called"', from_step: 3 }] }, '/funnel/exclude/0/to_step')
  await refused('query.rule', { ...funnel, exclude: [{ of: 'nonsense' }] }, '/funnel/exclude/0/of')
  await refused('query.too_large', { ...funnel, by: 'day', from: '2020-01-01' }, '/funnel/by')
  const broken = { ...funnel, breakdown: ['channel'], top: 1 }
  for (const [people, pointer] of [
    [{ step: 4 }, '/people/step'],
    [{ step: 1, outcome: 'dropped' }, '/people/outcome'],
    [{ step: 1, interval: 1 }, '/people/interval'],
    [{ step: 1, values: [{ value: 'nonsense' }] }, '/people/values'],
    [{ step: 1, unreached: true }, '/people/unreached'],
    [{ step: 1, unreached: true, other: true }, '/people/unreached'],
    [{ step: 1, values: [{ value: 'web' }, { value: 'web' }] }, '/people/values'],
  ])
    await refused('query.bar', broken, pointer, people)
  await refused('request.cursor', funnel, undefined, { step: 1, cursor: 'nonsense' })
})
