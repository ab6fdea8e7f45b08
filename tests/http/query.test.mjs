// tests/http/query.test.mjs -- questions about all events, over the wire.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { DAY, HOUR, World } from './world.mjs'

const NOON = 1795233600000 // 2026-11-21 12:00 in China
const WEEK = { from: '2026-11-15', to: '2026-11-21' }

let w
before(async () => (w = await World.open({ clock: NOON })))
after(() => w.close())

const ask = (question) => w.want(200, 'POST', '/v1/query', question)
const cells = async (trend) => (await ask({ trend: { ...WEEK, by: 'all', ...trend } })).trend.series[0].cells[0]
const refused = (code, question, pointer) =>
  w.refused(400, code, 'POST', '/v1/query', question).then((problem) => {
    if (pointer !== undefined) assert.equal(problem.errors?.[0].pointer, pointer, JSON.stringify(problem))
    return problem
  })

// Person i of `count`: viewed i + 1 pages on as many days before noon; the even ones visited a shop an hour
// after the last, every fourth bought there.
function eventsOf(count) {
  const events = []
  const add = (i, name, time, properties, store) =>
    events.push({
      id: `${i}-${events.length}`,
      name,
      time: new Date(time).toISOString(),
      actor: { kind: 'member', value: `m-${i}` },
      properties,
      store,
    })
  for (let i = 0; i < count; i++) {
    for (let day = 0; day <= i % 5; day++)
      add(i, 'Page Viewed', NOON - day * DAY - 3 * HOUR, { channel: ['web', 'app', 'mini'][i % 3], depth: i % 7 })
    if (i % 2 === 0) add(i, 'Store Visited', NOON - 2 * HOUR, {}, `S${i % 3}`)
    if (i % 4 === 0) add(i, 'Bought', NOON - HOUR, { weight: 1.25 * i }, `S${i % 3}`)
  }
  return events
}

test('what was acknowledged is counted by the next question, once', async () => {
  const events = eventsOf(60)
  assert.equal(await cells({ of: '"Page Viewed"' }), '0')
  await w.want(200, 'POST', '/v1/events', { events })
  const pages = String(events.filter((e) => e.name === 'Page Viewed').length)
  assert.equal(await cells({ of: '"Page Viewed"' }), pages)
  await w.want(200, 'POST', '/v1/events', { events: events.slice(0, 50) })
  assert.equal(await cells({ of: '"Page Viewed"' }), pages)
})

test('what no event has had yet is nobody\'s, and warned of with the nearest name', async () => {
  const one = { ...WEEK, of: '"Page Viewed"', by: 'all' }
  const all = await cells({ of: '"Page Viewed"' })
  const typo = await ask({ trend: { ...one, breakdown: ['chanel', 'channel'], top: 1 } })
  assert.deepEqual(typo.warnings, ['no event has had the property "chanel"; did you mean "channel"?'])
  assert.equal(typo.trend.distinct, 3) // those of the known one
  const by = await ask({ trend: { ...one, breakdown: ['yet to come'] } })
  assert.deepEqual(by.trend.series.map((s) => [s.values[0].value, s.cells[0]]), [[null, all]])
  assert.deepEqual(by.warnings, ['no event has had the property "yet to come"'])
  const numbers = { sum: '0', average: '', min: '', max: '', median: '', distinct: '0' }
  for (const [measure, want] of Object.entries(numbers)) {
    const r = await ask({ trend: { ...one, measure, number: 'total to come' } })
    assert.equal(r.trend.series[0]?.cells[0] ?? '', want, measure)
    assert.equal(r.warnings.length, 1)
  }
  const parts = await ask({ trend: { ...WEEK, by: 'all', series: [{ of: '"Page Viewed"' }, { of: '"Page Vewed"' }], breakdown: ['never'] } })
  assert.deepEqual(parts.warnings, ['no event has had the property "never"', 'line 1, column 1: no event "Page Vewed" is known; did you mean "Page Viewed"?'])
  const records = await ask({ trend: { ...one, records: 'any(cartons, weight > 2)' } })
  assert.deepEqual(records.trend.series.map((s) => s.cells[0]), ['0'])
  assert.ok(records.warnings.length > 0)
})

test('every question takes a property that no event has had', async () => {
  const steps = [{ of: '"Page Viewed"' }, { of: '"Store Visited"' }], of = '"Page Viewed"', breakdown = ['never']
  const questions = {
    funnel: { ...WEEK, steps, window_s: 86400, breakdown },
    retention: { ...WEEK, start: of, returns: of, by: 'day', follow: 2, breakdown },
    stickiness: { ...WEEK, of, by: 'day', breakdown },
    lifecycle: { ...WEEK, of, by: 'day', breakdown },
    sessions: { ...WEEK, of, breakdown },
    touch: { ...WEEK, conversion: '"Bought"', touch: of, breakdown },
    paths: { ...WEEK, of, property: 'never' },
  }
  for (const [kind, question] of Object.entries(questions)) {
    const r = await ask({ [kind]: question })
    assert.deepEqual(r.warnings, ['no event has had the property "never"'], kind)
    if (r[kind].series) assert.deepEqual([...new Set(r[kind].series.map((s) => s.values[0].value))], [null], kind)
  }
  const held = await ask({ funnel: { ...questions.funnel, breakdown: undefined, hold_constant: ['never'] } })
  assert.deepEqual(held.warnings, ['no event has had the property "never"'])
})

test('a trend has its buckets, series and the others', async () => {
  const { trend } = await ask({
    trend: { ...WEEK, of: '"Page Viewed"', measure: 'persons', breakdown: ['channel'], top: 2 },
  })
  assert.equal(trend.buckets.length, 7)
  assert.equal(trend.buckets[0], '2026-11-14T16:00:00.000Z') // midnight in China
  assert.equal(trend.distinct, 3)
  assert.deepEqual(
    trend.series.map((s) => s.other),
    [false, false, true],
  )
  const today = trend.series.map((s) => Number(s.cells[6]))
  assert.deepEqual(today, [20, 20, 20])
  assert.deepEqual(trend.series[2].values, [])
})

test('sums are exact, and of numbers only', async () => {
  const want = eventsOf(60)
    .filter((e) => e.name === 'Bought')
    .reduce((sum, e) => sum + e.properties.weight * 100, 0)
  assert.equal(Number(await cells({ of: '"Bought"', measure: 'sum', number: 'weight' })) * 100, want)
  await refused('query.property', { trend: { ...WEEK, of: '"Page Viewed"', measure: 'sum', number: 'channel' } }, '/trend/number')
})

test('measures of numbers are exact, of events or per person, and empty where there is none', async () => {
  const bought = (measure, more) => cells({ of: '"Bought"', measure, number: 'weight', ...more })
  // 0, 5, 10 to 70
  assert.equal(await bought('average'), '35')
  assert.equal(await bought('min'), '0')
  assert.equal(await bought('max'), '70')
  assert.equal(await bought('median'), '35')
  assert.equal(await bought('percentile', { percentile_bps: 2500 }), '17.5')
  assert.equal(await bought('percentile', { percentile_bps: 2500, nearest_rank: true }), '15')
  assert.equal(await bought('percentile', { percentile_bps: 0, nearest_rank: true }), '0')
  assert.equal(await cells({ of: '"Bought" where weight < 11', measure: 'average', number: 'weight' }), '5')
  assert.equal(await cells({ of: '"Bought" where weight > 0 and weight < 16', measure: 'average', number: 'weight' }), '10')
  assert.equal(await cells({ of: '"Page Viewed"', measure: 'average', number: 'weight' }), '')
  // 1 to 5 pages each
  const pages = (measure, more) => cells({ of: '"Page Viewed"', measure, per: 'person', ...more })
  assert.equal(await pages('average'), '3')
  assert.equal(await pages('max'), '5')
  assert.equal(await pages('percentile', { percentile_bps: 9000 }), '5')
  assert.equal(await pages('average', { number: 'depth' }), (depths().reduce((a, b) => a + b, 0) / 60).toFixed(6))
  assert.equal(await cells({ of: '"Page Viewed"', measure: 'distinct', number: 'channel' }), '3')
  assert.equal(await cells({ of: 'any event', measure: 'distinct', number: 'event' }), '3')
  assert.equal(await cells({ of: '"Bought"', measure: 'distinct', number: 'weight' }), '15')
})

// The depths of each person's pages together.
function depths() {
  return Array.from({ length: 60 }, (_, i) => (i % 7) * ((i % 5) + 1))
}

test('persons so far are those of a bucket and of all before it', async () => {
  const day = { of: 'any event', from: '2026-11-21', to: '2026-11-21', by: 'hour' }
  const hours = async (measure) => (await ask({ trend: { ...day, measure } })).trend.series[0].cells.slice(8, 13)
  assert.deepEqual(await hours('persons'), ['0', '60', '30', '15', '0'])
  assert.deepEqual(await hours('persons_so_far'), ['0', '60', '60', '60', '60'])
})

test('several series have letters, and a formula computes with them', async () => {
  const series = [{ of: '"Page Viewed"', measure: 'persons' }, { of: '"Bought"', measure: 'persons' }]
  const { trend } = await ask({ trend: { ...WEEK, series, formula: 'B / A * 100' } })
  assert.deepEqual(
    trend.series.map((s) => [s.letter, s.cells[6]]),
    [
      ['A', '60'],
      ['B', '15'],
    ],
  )
  assert.deepEqual(trend.formula[0].cells, ['', '', '0', '0', '0', '0', '25'])
  const one = await ask({ trend: { ...WEEK, by: 'all', of: '"Bought"', measure: 'sum', number: 'weight', formula: '-A / 7' } })
  assert.equal(one.trend.series[0].letter, undefined)
  assert.deepEqual(one.trend.formula[0].cells, ['-75'])
})

test('a formula has the rows of A, and the others', async () => {
  const by = { ...WEEK, by: 'all', breakdown: ['store'], top: 1 }
  const series = [{ of: '"Store Visited"' }, { of: '"Bought"', measure: 'average', number: 'weight' }]
  const { trend } = await ask({ trend: { ...by, series, formula: 'A + B' } })
  const rows = (letter) => trend.series.filter((s) => s.letter === letter).map((s) => [s.values[0]?.value, ...s.cells])
  const weights = (take) => {
    const numbers = eventsOf(60).filter((e) => e.name === 'Bought' && take(e.store)).map((e) => e.properties.weight)
    return numbers.reduce((a, b) => a + b, 0) / numbers.length
  }
  const [[top]] = rows('A')
  assert.deepEqual(rows('A'), [
    [top, '10'],
    [undefined, '20'],
  ])
  assert.deepEqual(rows('B'), [
    [top, String(weights((store) => store === top))],
    [undefined, String(weights((store) => store !== top))],
  ])
  assert.deepEqual(
    trend.formula.map((s) => [s.values[0]?.value, s.other, Number(s.cells[0])]),
    [
      [top, false, 10 + weights((store) => store === top)],
      [undefined, true, 20 + weights((store) => store !== top)],
    ],
  )
})

test('without a breakdown eight series may have a bucket per minute: nothing is kept for rows that cannot come', async () => {
  const series = Array.from({ length: 8 }, () => ({ of: '"Page Viewed"' }))
  const { trend } = await ask({ trend: { from: '2026-11-20', to: '2026-11-21', by: 'minute', series } })
  assert.deepEqual(
    trend.series.map((s) => s.cells.length),
    Array(8).fill(2 * 24 * 60),
  )
  assert.equal(trend.series[7].cells.reduce((sum, cell) => sum + Number(cell), 0), Number(await cells({ of: '"Page Viewed"', from: '2026-11-20' })))
  await refused('query.too_large', { trend: { from: '2026-11-20', to: '2026-11-21', by: 'minute', series, breakdown: ['channel'] } })
})

test('settings of a trend that do not go together are refused, with their place', async () => {
  const of = '"Bought"'
  const refuse = (code, trend, pointer) => refused(code, { trend: { ...WEEK, ...trend } }, pointer)
  await refuse('query.combination', {}, '/trend/of')
  await refuse('query.combination', { of, series: [{ of }] }, '/trend/of')
  await refuse('query.combination', { measure: 'sum', series: [{ of }] }, '/trend/series')
  await refuse('query.combination', { of, measure: 'sum', number: 'weight', per: 'person' }, '/trend/per')
  await refuse('query.combination', { of, measure: 'percentile', number: 'weight' }, '/trend/percentile_bps')
  await refuse('query.combination', { of, percentile_bps: 1 }, '/trend/percentile_bps')
  await refuse('query.combination', { of, nearest_rank: true }, '/trend/nearest_rank')
  await refuse('query.property', { series: [{ of }, { of, measure: 'max' }] }, '/trend/series/1/number')
  assert.match((await refuse('query.property', { of, measure: 'sum' }, '/trend/number')).detail, /say in number of which/)
  for (const measure of ['events', 'persons', 'persons_so_far'])
    await refuse('query.combination', { of, measure, number: 'weight' }, '/trend/number')
  await refuse('query.combination', { series: [{ of }, { of, number: 'weight' }] }, '/trend/series/1/number')
  await refuse('query.rule', { series: [{ of }, { of: '"Bought" whre' }] }, '/trend/series/1/of')
  await refuse('query.too_large', { from: '2026-01-01', by: 'hour', top: 9, series: Array(8).fill({ of }) })
  const problem = await refuse('query.formula', { series: [{ of }, { of }], formula: 'A / (B + C)' }, '/trend/formula')
  assert.match(JSON.stringify(problem), /at character 10: there is no series C, only A to B/)
})

test('conditions are rules, as text or as their tree', async () => {
  const text = await cells({ of: '"Page Viewed" where channel == "web" and depth between 2 and 4' })
  const want = eventsOf(60).filter(
    (e) => e.properties.channel === 'web' && e.properties.depth >= 2 && e.properties.depth <= 4,
  ).length
  assert.equal(text, String(want))
  const tree = {
    event: 'Page Viewed',
    where: {
      op: 'and',
      args: [
        { op: '==', left: { prop: 'channel' }, right: 'web' },
        { op: 'between', left: { prop: 'depth' }, low: 2, high: 4 },
      ],
    },
  }
  assert.equal(await cells({ of: tree }), text)
})

test('a funnel counts persons who go all the way, online and in the shop', async () => {
  const question = (window_s) => ({
    funnel: {
      ...WEEK,
      window_s,
      times: true,
      steps: [{ of: '"Page Viewed"' }, { of: '"Store Visited"' }, { of: '"Bought" where weight > 0' }],
    },
  })
  const { funnel } = await ask(question(86400))
  assert.deepEqual(
    funnel.steps.map((s) => s.persons),
    [60, 30, 14],
  )
  assert.deepEqual(
    funnel.steps.map((s) => s.average_s),
    [0, 3600, 3600],
  )
  const plain = await ask({ funnel: { ...question(86400).funnel, times: false } })
  assert.deepEqual(
    plain.funnel.steps,
    funnel.steps.map(({ persons }) => ({ persons })),
  )
  const short = await ask(question(3600))
  assert.deepEqual(
    short.funnel.steps.map((s) => s.persons),
    [60, 30, 0],
  )
})

test('a funnel in any order counts persons by how many different steps they did', async () => {
  const steps = [{ of: '"Bought" where weight > 0' }, { of: '"Store Visited"' }, { of: '"Page Viewed"' }]
  const question = { ...WEEK, steps, window_s: 86400, times: true }
  const answer = async (more) => (await ask({ funnel: { ...question, ...more } })).funnel.steps
  const rows = await answer({ order: 'any' })
  assert.deepEqual(
    rows.map((s) => s.persons),
    [60, 30, 14],
  )
  assert.deepEqual(
    rows.map((s) => s.average_s),
    [0, 3600, 3600],
  )
  assert.deepEqual(
    (await answer({ order: 'any', times: false })).map((s) => s.persons),
    [60, 30, 14],
  )
  for (const sequential of [{}, { order: 'sequential' }])
    assert.deepEqual(
      (await answer(sequential)).map((s) => s.persons),
      [14, 0, 0],
    )
  await refused('query.combination', { funnel: { ...question, order: 'any', entry: 'first' } }, '/funnel/entry')
})

test('a strict funnel ends at any other event of the person', async () => {
  const [page, shop, bought] = [{ of: '"Page Viewed"' }, { of: '"Store Visited"' }, { of: '"Bought" where weight > 0' }]
  const rows = async (steps, more) =>
    (await ask({ funnel: { ...WEEK, steps, window_s: 86400, order: 'strict', ...more } })).funnel.steps
  const persons = async (steps, more) => (await rows(steps, more)).map((s) => s.persons)
  assert.deepEqual(await persons([page, shop, bought]), [60, 30, 14])
  assert.deepEqual(await persons([page, bought]), [60, 0]) // the shop is between
  assert.deepEqual(await persons([page, shop], { entry: 'first' }), [60, 6]) // an earlier page is followed by one
  const timed = await rows([page, shop, bought], { times: true })
  assert.deepEqual(
    timed.map((s) => s.average_s),
    [0, 3600, 3600],
  )
})

test('retention counts who came back, by the day they started', async () => {
  const question = { ...WEEK, start: '"Page Viewed"', returns: '"Page Viewed"', by: 'day' }
  const { retention } = await ask({ retention: question })
  // 60 people; i % 5 + 1 days up to today
  assert.deepEqual(
    retention.series[0].cohorts.map((c) => c.persons),
    [0, 0, 12, 24, 36, 48, 60],
  )
  assert.deepEqual(retention.series[0].cohorts[3].returned, [24, 24, 24])
  assert.equal(retention.series[0].cohorts[3].complete, 2) // today is not over
  const first = await ask({ retention: { ...question, cohort: 'first', comes: 'on_or_after' } })
  assert.deepEqual(
    first.retention.series[0].cohorts.map((c) => c.persons),
    [0, 0, 12, 12, 12, 12, 12],
  )
})

const segment = async (of, more = {}) => (await ask({ segment: { of, ...more } })).segment

test('a segment counts the persons who did and who did not', async () => {
  // 60 members, who all viewed a page; the even ones visited a shop, every fourth bought 1.25 * i there
  assert.deepEqual(await segment('did("Page Viewed")'), { persons: 60, everybody: 60, items: [] })
  const count = async (of) => (await segment(of)).persons
  assert.equal(await count('did("Store Visited", within 1d)'), 30)
  assert.equal(await count('not did("Store Visited")'), 30)
  assert.equal(await count('did("Store Visited") and not did("Bought")'), 15)
  assert.equal(await count('did("Page Viewed", count >= 3, days >= 3)'), 36)
  assert.equal(await count('sum("Bought", weight) > 60 or count("Page Viewed") == 1'), 3 + 12 - 1)
  assert.equal(await count('first("Page Viewed").channel == "web"'), 20)
  assert.equal(await count('last("Page Viewed") within 2h'), 0)
  assert.equal(await count('sequence("Page Viewed" then "Store Visited" within 2h then "Bought")'), 15)
  assert.equal(await count('stopped("Page Viewed", for 1h)'), 60)
  assert.equal(await count('resumed("Page Viewed", after 12h, within 10h)'), 48)
  assert.equal(await count('days_active(within 3 calendar days) == 3'), 36)
  const tree = { op: 'not', arg: { did: { event: 'Store Visited', within: '1d' } } }
  assert.equal(await count(tree), 30)
})

test('the persons of a segment come in pages', async () => {
  const of = 'did("Bought") and not did("Bought" where store == "S0")'
  const want = Array.from({ length: 60 }, (_, i) => i).filter((i) => i % 4 === 0 && i % 3 !== 0)
  const got = []
  for (let cursor; ; ) {
    const page = await segment(of, { limit: 4, cursor })
    assert.equal(page.persons, want.length)
    got.push(...page.items)
    cursor = page.next
    if (cursor === undefined) break
    assert.equal(page.items.length, 4)
  }
  assert.deepEqual(
    got,
    want.map((i) => ({ kind: 'member', value: `m-${i}` })),
  )
})

test('who persons are is for those who may read persons everywhere', async () => {
  const question = (limit) => ({ segment: { of: 'did(any event)', limit } })
  const as = await w.keyOf('analyst')
  const { segment: counted } = await w.want(200, 'POST', '/v1/query', question(0), { as })
  assert.equal(counted.persons, counted.everybody)
  await w.refused(403, 'auth.permission', 'POST', '/v1/query', question(1), { as })
  const store = await w.store()
  const scoped = await w.keyOf('marketer', [store.id])
  await w.refused(403, 'auth.permission', 'POST', '/v1/query', question(1), { as: scoped })
  await refused('request.cursor', { segment: { of: 'did(any event)', limit: 1, cursor: 'nonsense' } })
})

test('stickiness counts persons by the number of days on which they came', async () => {
  const { stickiness } = await ask({ stickiness: { ...WEEK, of: '"Page Viewed"' } })
  assert.equal(stickiness.intervals.length, 7)
  assert.equal(stickiness.intervals[0], '2026-11-14T16:00:00.000Z')
  assert.deepEqual(stickiness.series, [
    { values: [], other: false, exactly: [12, 12, 12, 12, 12, 0, 0], at_least: [60, 48, 36, 24, 12, 0, 0] },
  ])
  const weeks = await ask({ stickiness: { ...WEEK, of: '"Page Viewed"', by: 'week' } })
  assert.deepEqual(weeks.stickiness.series[0].exactly, [60, 0]) // a Sunday, and the week behind it
  const split = await ask({ stickiness: { ...WEEK, of: '"Page Viewed"', breakdown: ['channel'], top: 2 } })
  assert.deepEqual(
    split.stickiness.series.map((s) => [s.other, s.values.length, s.at_least]),
    [false, false, true].map((other) => [other, other ? 0 : 1, [20, 16, 12, 8, 4, 0, 0]]),
  )
})

// Who came on which days of November; noon of the last is now.
const CAME = { l1: [1, 15, 17, 18], l2: [14, 21], l3: [16] }

test('a lifecycle says who is new, returns, comes again and stays away', async () => {
  const events = Object.entries(CAME).flatMap(([value, days]) =>
    days.map((day) => ({
      id: `${value}-${day}`,
      name: 'Came',
      time: new Date(NOON - (21 - day) * DAY).toISOString(),
      actor: { kind: 'member', value },
    })),
  )
  const nobody = { id: 'nobody', name: 'Came', time: new Date(NOON - DAY).toISOString() }
  await w.want(200, 'POST', '/v1/events', { events: [...events, nobody] })
  const lives = async (question) => {
    const { lifecycle } = await ask({ lifecycle: { ...WEEK, of: '"Came"', by: 'day', ...question } })
    return lifecycle.series[0].intervals
  }
  const counts = (rows) => rows.map((r) => [r.new, r.returning, r.resurrecting, r.dormant])
  const ever = await lives({})
  assert.deepEqual(counts(ever), [
    [0, 0, 1, -1],
    [1, 0, 0, -1],
    [0, 0, 1, -1],
    [0, 1, 0, 0],
    [0, 0, 0, -1],
    [0, 0, 0, 0],
    [0, 0, 1, 0],
  ])
  assert.equal(ever[0].start, '2026-11-14T16:00:00.000Z')
  assert.deepEqual(
    ever.map((r) => r.complete),
    [true, true, true, true, true, true, false], // today is not over
  )
  assert.deepEqual(counts(await lives({ look_back: 3 })), [
    [1, 0, 0, -1],
    [1, 0, 0, -1],
    [0, 0, 1, -1],
    [0, 1, 0, 0],
    [0, 0, 0, -1],
    [0, 0, 0, 0],
    [1, 0, 0, 0],
  ])
  const week = await lives({ by: 'week', from: '2026-11-18', to: '2026-11-18' })
  assert.equal(week[0].start, '2026-11-15T16:00:00.000Z') // whole, from Monday
  assert.deepEqual(counts(week), [[1, 2, 0, 0]])
  const { stickiness } = await ask({ stickiness: { ...WEEK, of: '"Came"' } })
  assert.deepEqual(stickiness.series[0].exactly, [2, 0, 1, 0, 0, 0, 0]) // nobody is not a person
})

test('a condition on parts of texts holds in every question', async () => {
  const of = '"Page Viewed" where channel contains "e" and channel < "x"' // web: members 0, 3, 6, ...
  assert.equal(await cells({ of, measure: 'persons' }), '20')
  const { funnel } = await ask({ funnel: { ...WEEK, window_s: 86400, steps: [{ of }, { of: '"Store Visited"' }] } })
  assert.deepEqual(
    funnel.steps.map((s) => s.persons),
    [20, 10],
  )
  const { retention } = await ask({ retention: { ...WEEK, start: of, returns: of, by: 'day' } })
  assert.deepEqual(
    retention.series[0].cohorts.map((c) => c.persons),
    [0, 0, 4, 8, 12, 16, 20],
  )
  const { stickiness } = await ask({ stickiness: { ...WEEK, of } })
  assert.deepEqual(stickiness.series[0].exactly, [4, 4, 4, 4, 4, 0, 0])
  const { lifecycle } = await ask({ lifecycle: { ...WEEK, of, by: 'day' } })
  assert.deepEqual(
    lifecycle.series[0].intervals.map((r) => [r.new, r.returning]),
    [0, 0, 4, 4, 4, 4, 4].map((fresh, i) => [fresh, Math.max(0, 4 * (i - 2))]),
  )
  assert.equal((await segment(`did(${of})`)).persons, 20)
  assert.equal((await segment(`did("Page Viewed") and not did(${of})`)).persons, 40)
  assert.equal((await segment('last("Page Viewed").channel starts with "w"')).persons, 20)
  assert.equal((await segment(`sequence(${of} then "Store Visited" where store ends with "0")`)).persons, 10)
})

// What each order's lines are: [sku, category, price, quantity].
const BASKETS = [
  [['green', 'tea', 12.5, 2], ['cup', 'ware', 30, 1]],
  [['black', 'tea', 9.9, 1]],
  [['cup', 'ware', 30, 4], ['pot', 'ware', 99.95, 1], ['green', 'tea', 12.5, 0.25]],
  [],
]
const TAGS = [['vip', 'gift'], ['gift'], [], undefined]

test('conditions see order lines and lists of texts, and products', async () => {
  const events = Array.from({ length: 40 }, (_, i) => ({
    id: `basket-${i}`,
    name: 'Basket',
    time: new Date(NOON - i * HOUR).toISOString(),
    actor: { kind: 'member', value: `b-${i % 20}` },
    properties: {
      boxes: i % 4,
      fee: 2.5,
      tags: TAGS[i % 4],
      lines: BASKETS[i % 4].map(([sku, category, price, quantity]) => ({ sku, category, price, quantity })),
    },
  }))
  await w.want(200, 'POST', '/v1/events', { events })
  const hits = async (where) => Number(await cells({ of: `"Basket" where ${where}`, measure: 'events' })) / 10
  assert.equal(await hits('any(lines, category == "tea" and quantity >= 1)'), 2)
  assert.equal(await hits('any(lines, category == "tea") and any(lines, quantity >= 1)'), 3)
  assert.equal(await hits('all(lines, category == "ware" or price < 10)'), 1)
  assert.equal(await hits('not any(lines, sku == "cup")'), 2)
  assert.equal(await hits('count(lines) == 0'), 1)
  assert.equal(await hits('count(lines where category == "ware") between 1 and 2'), 2)
  assert.equal(await hits('sum(lines, price * quantity) == 55'), 1)
  assert.equal(await hits('sum(lines, price * quantity) > 223.074'), 1)
  assert.equal(await hits('sum(lines, price * quantity) > 223.075'), 0)
  assert.equal(await hits('sum(lines, quantity) < 1'), 1)
  assert.equal(await hits('boxes * fee >= 5'), 2)
  assert.equal(await hits('tags contains "gift"'), 2)
  assert.equal(await hits('tags contains all ["gift", "vip"]'), 1)
  assert.equal(await hits('tags contains any ["vip", "new"]'), 1)
  assert.equal(await hits('tags is set'), 3)
  const tree = { event: 'Basket', where: { any: { list: 'lines', where: { op: '==', left: { item: 'sku' }, right: 'pot' } } } }
  assert.equal(await cells({ of: tree }), '10')
  assert.equal((await segment('did("Basket" where any(lines, sku == "pot"))')).persons, 5)
  const people = async (of) => (await segment(of)).persons / 5
  const boxes = new Map()
  for (const { actor, properties: { boxes: n, fee } } of events)
    if (actor && n !== undefined && fee !== undefined) boxes.set(actor.value, (boxes.get(actor.value) ?? 0) + Math.round(n * fee * 1e6))
  const over = (least) => [...boxes.values()].filter((sum) => sum >= least * 1e6).length / 5
  for (const least of [1, 5, 5.000001, 12, 100]) assert.equal(await people(`sum("Basket", boxes * fee) >= ${least}`), over(least), String(least))
  assert.equal(await people('did("Basket", distinct(boxes * fee) >= 1)'), boxes.size / 5)
  const { funnel } = await ask({
    funnel: { ...WEEK, window_s: 604800, steps: [{ of: '"Basket" where any(lines, sku == "black")' }, { of: tree }] },
  })
  assert.deepEqual(
    funnel.steps.map((s) => s.persons),
    [5, 0],
  )
  const typo = await ask({ trend: { ...WEEK, of: '"Basket" where any(lines, catgory == "tea")' } })
  assert.match(typo.warnings[0], /did you mean "category"/)
})

test('a trend of order lines takes each line as a row', async () => {
  const over = (trend) => ask({ trend: { ...WEEK, of: '"Basket"', by: 'all', ...trend } }).then((r) => r.trend)
  const rows = (trend) => Object.fromEntries(trend.series.map((s) => [s.values.map((v) => v.value).join(), s.cells[0]]))
  const bySku = await over({ measure: 'sum', number: 'lines.quantity', breakdown: ['lines.sku'] })
  assert.deepEqual(rows(bySku), { green: '22.5', cup: '50', black: '10', pot: '10' })
  assert.deepEqual(rows(await over({ breakdown: ['lines.category', 'boxes'] })), {
    'tea,0': '10', 'ware,0': '10', 'tea,1': '10', 'ware,2': '20', 'tea,2': '10',
  })
  const persons = await over({ measure: 'persons', breakdown: ['lines.category'] })
  assert.deepEqual(rows(persons), { tea: '15', ware: '10' })
  const tea = { records: 'any(lines, category == "tea")' }
  assert.equal((await over({ ...tea, measure: 'sum', number: 'lines.price' })).series[0].cells[0], '349')
  assert.equal((await over(tea)).series[0].cells[0], '30')
  assert.equal((await over({ ...tea, of: '"Basket" where boxes == 2' })).series[0].cells[0], '10')
  assert.equal((await over({ ...tea, measure: 'average', number: 'lines.price' })).series[0].cells[0], '11.633333')
  const { stickiness } = await ask({ stickiness: { ...WEEK, of: '"Basket"', breakdown: ['lines.category'] } })
  assert.equal(stickiness.series.length, 2)
  const colours = await ask({ trend: { ...WEEK, of: '"Basket"', by: 'all', breakdown: ['lines.colour'] } })
  const lines = (await over({ breakdown: ['lines.category'] })).series.reduce((sum, s) => sum + Number(s.cells[0]), 0)
  assert.deepEqual(colours.trend.series.map((s) => [s.values[0].value, s.cells[0]]), [[null, String(lines)]])
  assert.equal(colours.warnings.length, 1)
  await refused('query.property', { trend: { ...WEEK, of: '"Basket"', breakdown: ['lines'] } }, '/trend/breakdown')
  await refused('query.rule', { trend: { ...WEEK, of: '"Basket"', records: 'boxes == 2' } }, '/trend/records')
  const two = { measure: 'sum', number: 'parcels.weight', breakdown: ['lines.sku'] }
  await w.want(200, 'POST', '/v1/events', {
    events: [{ id: 'p', name: 'Other', time: new Date(NOON).toISOString(), properties: { parcels: [{ weight: 1 }] } }],
  })
  await refused('query.combination', { trend: { ...WEEK, of: '"Basket"', ...two } }, '/trend/breakdown')
})

test('the lines of a sale are seen when its answer is there', async () => {
  const store = await w.store()
  const sold = '"Order Completed" where any(products, quantity >= 3 and total > 20 CNY)'
  assert.equal(await cells({ of: sold }), '0')
  const product = await w.product()
  for (const quantity of [3, 2]) {
    const lines = [{ product: product.code, quantity, amount_fen: quantity * 1000 }]
    await w.want(201, 'POST', '/v1/sales', w.sale(store, lines, { at: new Date(NOON).toISOString() }))
  }
  assert.equal(await cells({ of: sold }), '1')
})

test('an event that a write caused is there when its answer is', async () => {
  const template = await w.template({})
  assert.equal(await cells({ of: '"Coupon Claimed"' }), '0')
  await w.want(201, 'POST', `/v1/coupon-templates/${template.id}/claims`, { phone: w.phone() })
  assert.equal(await cells({ of: '"Coupon Claimed"' }), '1')
})

test('after a restart everything is there, once', async () => {
  const before = await ask({ trend: { ...WEEK, of: 'any event', breakdown: ['event', 'store'] } })
  const tea = await cells({ of: '"Basket" where any(lines, category == "tea")' })
  await w.restart()
  const after = await ask({ trend: { ...WEEK, of: 'any event', breakdown: ['event', 'store'] } })
  assert.deepEqual(after.trend, before.trend)
  assert.equal(tea, '30')
  assert.equal(await cells({ of: '"Basket" where any(lines, category == "tea")' }), tea)
})

test('a question that cannot be understood says where and why', async () => {
  const typo = await refused('query.rule', { trend: { ...WEEK, of: '"Page Viewed" where channel = "web"' } }, '/trend/of')
  assert.match(JSON.stringify(typo), /line 1, column/)
  const step = { funnel: { ...WEEK, steps: [{ of: '"A"' }, { of: 'nonsense' }] } }
  await refused('query.rule', step, '/funnel/steps/1/of')
  await refused('query.range', { trend: { of: 'any event', from: '2026-02-02', to: '2026-02-01' } }, '/trend/from')
  await refused('query.range', { paths: { from: '2026-02-02', to: '2026-02-01' } }, '/paths/from')
  await refused('query.too_large', { trend: { of: 'any event', from: '2016-01-01', to: '2026-02-01', by: 'hour' } })
  const number = await refused('query.rule', { trend: { ...WEEK, of: 3 } }, '/trend/of')
  assert.match(number.detail, /a text, or the object of its tree/)
  const tree = { event: 'Page Viewed', where: { op: 'and', args: [true, { op: '==', left: { prop: 'channel' }, right: 3 }] } }
  await refused('query.rule', { trend: { ...WEEK, of: tree } }, '/trend/of/where/args/1/right')
  await refused('request.cursor', { segment: { of: 'true', limit: 3, cursor: 'zzz' } }, '/segment/cursor')
  await refused('request.cursor', { segment: { of: 'true' }, people: { cursor: 'zzz' } }, '/people/cursor')
  await refused('query.rule', { stickiness: { ...WEEK, of: 'nonsense' } }, '/stickiness/of')
  await refused('query.rule', { lifecycle: { ...WEEK, of: 'nonsense' } }, '/lifecycle/of')
  await refused('query.range', { lifecycle: { of: 'any event', from: '1970-01-01', to: '1970-01-02' } })
  const long = { of: 'any event', from: '2026-01-01', to: '2026-02-01', by: 'day', look_back: 399 }
  await refused('query.too_large', { lifecycle: long }, '/lifecycle/to')
  await refused('query.rule', { segment: { of: '"Page Viewed"' } }, '/segment/of')
  await refused('query.rule', { segment: { of: 'segment("Regulars")' } }, '/segment/of') // there is none
  await refused('query.one', {})
  await refused('query.one', { ...step, trend: { ...WEEK, of: 'any event' } })
  const hint = await ask({ trend: { ...WEEK, of: '"Page Veiwed"' } })
  assert.match(hint.warnings[0], /did you mean "Page Viewed"/)
})

test('who may not see reports may not ask', async () => {
  const as = await w.keyOf('clerk')
  await w.refused(403, 'auth.permission', 'POST', '/v1/query', { trend: { ...WEEK, of: 'any event' } }, { as })
})

// ---- who is whom -------------------------------------------------------------------------------------

const actor = (value) => ({ kind: 'device', value })
let said = 0
const say = (kind, who, more = {}) =>
  w.want(200, 'POST', '/v1/events', { events: [{ kind, id: `said-${said++}`, actor: actor(who), ...more }] })
const happened = (name, who, hoursAgo, properties = {}) =>
  w.want(200, 'POST', '/v1/events', {
    events: [{ id: `who-${said++}`, name, time: new Date(NOON - hoursAgo * HOUR).toISOString(), actor: actor(who), properties }],
  })
const opened = { steps: [{ of: '"Shelf Seen"' }, { of: '"Shelf Bought"' }], ...WEEK }
const funnel = async () => (await ask({ funnel: opened })).funnel.steps.map((s) => s.persons)

test('a link makes two actors one person in every question, an unlink undoes it exactly', async () => {
  await happened('Shelf Seen', 'phone-a', 5)
  await happened('Shelf Bought', 'till-a', 4)
  const everybody = (await ask({ segment: { of: 'true' } })).segment.everybody
  assert.deepEqual(await funnel(), [1, 0])
  await say('link', 'phone-a', { other: actor('till-a') })
  assert.deepEqual(await funnel(), [1, 1])
  assert.equal((await ask({ segment: { of: 'true' } })).segment.everybody, everybody - 1)
  assert.equal((await ask({ segment: { of: 'did("Shelf Seen") and did("Shelf Bought")' } })).segment.persons, 1)
  await say('unlink', 'till-a', { other: actor('phone-a') })
  assert.deepEqual(await funnel(), [1, 0])
  assert.equal((await ask({ segment: { of: 'true' } })).segment.everybody, everybody)
})

test('who is erased counts nowhere, and who comes with the key again is somebody else', async () => {
  await happened('Shelf Seen', 'gone-a', 5)
  const before = await cells({ of: '"Shelf Seen"' })
  await say('erase', 'gone-a')
  assert.equal(await cells({ of: '"Shelf Seen"' }), String(Number(before) - 1))
  await happened('Shelf Seen', 'gone-a', 4)
  assert.equal(await cells({ of: '"Shelf Seen"' }), before)
})

test('conditions on attributes hold as of now, for people and for their events', async () => {
  await happened('Shelf Tasted', 'taste-a', 9)
  await happened('Shelf Tasted', 'taste-b', 9)
  await happened('Shelf Tasted', 'taste-c', 9)
  await w.want(200, 'POST', '/v1/events', { events: [{ id: `who-${said++}`, name: 'Shelf Tasted' }] }) // by nobody
  const tasted = (where) => cells({ of: `"Shelf Tasted" where ${where}` })
  const people = async (of) => (await ask({ segment: { of } })).segment.persons
  await say('attributes', 'taste-a', { properties: { town: 'Hangzhou', visits: 3 } })
  await say('attributes', 'taste-b', { properties: { town: 'Shanghai' } })
  assert.equal(await tasted('person.town == "Hangzhou"'), '1')
  assert.equal(await tasted('person.town != "Hangzhou"'), '3') // also of who has none, and of nobody
  assert.equal(await tasted('person.town is missing'), '2')
  assert.equal(await tasted('person.town starts with "S" or person.visits >= 3'), '2')
  assert.equal(await people('did("Shelf Tasted") and town in ["Hangzhou", "Shanghai"]'), 2)
  assert.equal(await people('did("Shelf Tasted" where person.visits between 2 and 4) and town is set'), 1)
  await say('attributes', 'taste-a', { properties: { town: 'Shanghai' } })
  assert.equal(await tasted('person.town == "Shanghai"'), '2')
  await say('attributes', 'taste-b', { properties: { town: null } })
  assert.equal(await tasted('person.town == "Shanghai"'), '1')
  assert.equal(await people('did("Shelf Tasted") and town is missing'), 2)
  await say('link', 'taste-a', { other: actor('taste-c') })
  assert.equal(await tasted('person.town == "Shanghai"'), '2')
  assert.equal(await cells({ of: 'any event where person.visits == 3' }), '2') // what was said is no event
  const between = { id: `who-${said++}`, kind: 'attributes', actor: actor('path-a'), properties: { town: 'x' } }
  await happened('Path First', 'path-a', 3)
  await w.want(200, 'POST', '/v1/events', { events: [{ ...between, time: new Date(NOON - 2.9 * HOUR).toISOString() }] })
  await happened('Path Second', 'path-a', 2.8)
  const steps = { transitions: { ...WEEK, top: 50 } }
  const pairs = (await ask(steps)).transitions.rows.map((t) => `${t.from} > ${t.to}`)
  assert.ok(pairs.includes('Path First > Path Second'), pairs.join(', '))
  await refused('query.rule', { trend: { ...WEEK, of: '"Shelf Tasted" where person.town > 3' } }, '/trend/of')
  const weeks = { from: '2026-11-09', to: '2026-11-22', by: 'week' }
  const active = async () => [
    (await ask({ retention: { ...weeks, start: 'any event', returns: 'any event' } })).retention,
    (await ask({ lifecycle: { ...weeks, of: 'any event' } })).lifecycle,
  ]
  const before = await active()
  await say('attributes', 'mute-a', { properties: { town: 'x' } }) // and never did anything
  assert.deepEqual(await active(), before)
})

test('what is no event needs a right of its own, and says what is wrong with it', async () => {
  const send = (event) => w.want(200, 'POST', '/v1/events', { events: [event] })
  for (const [event, pointer] of [
    [{ id: 'x1', kind: 'marry', actor: actor('a') }, '/kind'],
    [{ id: 'x2', kind: 'link', actor: actor('a') }, '/other'],
    [{ id: 'x3', kind: 'erase' }, '/actor'],
    [{ id: 'x4', kind: 'link', actor: actor('a'), other: { kind: 'device' } }, '/other'],
  ]) {
    const receipt = await send(event)
    assert.equal(receipt.accepted, 0, JSON.stringify(event))
    assert.ok(receipt.refused[0].pointer.startsWith(pointer), JSON.stringify(receipt.refused[0]))
  }
})

test('persons of the last days are counted each day, also by days before the range', async () => {
  const days = (more) => ({ from: '2026-11-19', to: '2026-11-21', of: '"Roamed"', measure: 'persons', ...more })
  const events = Array.from({ length: 70 }, (_, i) => ({
    ...{ id: `roamed-${i}`, name: 'Roamed', time: new Date(NOON - (i % 7) * DAY - HOUR).toISOString() },
    ...{ actor: { kind: 'member', value: `m-${i % 31}` }, properties: { channel: ['web', 'app', 'mini'][i % 3] } },
  }))
  await w.want(200, 'POST', '/v1/events', { events })
  const rolled = (n, of = events) =>
    [2, 1, 0].map((back) => {
      const end = NOON - back * DAY, in_ = of.filter((e) => Date.parse(e.time) <= end && Date.parse(e.time) > end - n * DAY)
      return String(new Set(in_.map((e) => e.actor.value)).size)
    })
  for (const n of [1, 2, 3, 30]) {
    const { trend } = await ask({ trend: days({ rolling_days: n }) })
    assert.deepEqual(trend.buckets.length, 3)
    assert.deepEqual(trend.series[0].cells, rolled(n), String(n))
  }
  assert.notDeepEqual(rolled(1), rolled(3))
  assert.notDeepEqual(rolled(3), rolled(30))
  const { trend: by } = await ask({ trend: days({ rolling_days: 3, breakdown: ['channel'] }) })
  assert.equal(by.series.length, 3)
  for (const s of by.series)
    assert.deepEqual(s.cells, rolled(3, events.filter((e) => e.properties.channel === s.values[0].value)))
  const part = { of: '"Roamed"', measure: 'persons' }
  const share = await ask({ trend: { from: '2026-11-19', to: '2026-11-21', series: [part, { ...part, rolling_days: 30 }], formula: 'A / B * 100' } })
  assert.deepEqual(share.trend.formula[0].cells.map(Number).map(Math.round), rolled(1).map((n, i) => Math.round((n / rolled(30)[i]) * 100)))
  for (const interval of [1, 3]) {
    const { people } = await ask({ trend: days({ rolling_days: 2 }), people: { interval, limit: 200 } })
    assert.equal(String(people.persons), rolled(2)[interval - 1])
  }
  const no = (more) => refused('query.combination', { trend: days({ rolling_days: 7, ...more }) }, '/trend/rolling_days')
  await no({ measure: 'events' })
  await no({ measure: 'persons_so_far' })
  await no({ by: 'week' })
  await no({ by: 'hour' })
  await refused('query.combination', { trend: { ...WEEK, series: [part], rolling_days: 7 } }, '/trend/series')
})
