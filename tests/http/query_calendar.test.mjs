// tests/http/query_calendar.test.mjs -- questions in other calendars than the chain's, over the wire.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { DAY, HOUR, World } from './world.mjs'

const NOON = 1795233600000 // 2026-11-21 12:00 in China
const MINUTE = HOUR / 60

let w
before(async () => (w = await World.open({ clock: NOON })))
after(() => w.close())

const ask = (question) => w.want(200, 'POST', '/v1/query', question)
const refused = async (code, question, pointer) => {
  const problem = await w.refused(400, code, 'POST', '/v1/query', question)
  if (pointer !== undefined) assert.equal(problem.errors?.[0].pointer, pointer, JSON.stringify(problem))
  return problem
}

// ---- a slow calendar of JavaScript's own ------------------------------------------------------------

const formats = {}

/** What clocks show at an instant, as if it were UTC. */
function civil(ms, zone) {
  formats[zone] ??= new Intl.DateTimeFormat('en-US', {
    timeZone: zone, hourCycle: 'h23', year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric',
    minute: 'numeric', second: 'numeric',
  })
  const at = Object.fromEntries(formats[zone].formatToParts(ms).map((p) => [p.type, Number(p.value)]))
  return Date.UTC(at.year, at.month - 1, at.day, at.hour, at.minute, at.second)
}

/** The first quarter of an hour at which clocks show this civil time or a later one. */
function firstShown(local, zone) {
  let at = local - 27 * HOUR
  while (civil(at, zone) < local) at += 15 * MINUTE
  return at
}

const KEYS = {
  day: (day) => day,
  week: (day, first) => Math.floor((day / DAY + 3 - first) / 7),
  month: (day) => new Date(day).toISOString().slice(0, 7),
  quarter: (day) => `${new Date(day).getUTCFullYear()} ${Math.floor(new Date(day).getUTCMonth() / 3)}`,
  year: (day) => new Date(day).getUTCFullYear(),
}

/** When the buckets begin. */
function starts({ zone, cut = 0, first = 0, from, to, by }) {
  const result = []
  let key
  for (let day = Date.parse(from); day <= Date.parse(to); day += DAY) {
    const now = KEYS[by](day, first)
    if (now !== key) result.push(firstShown(day + cut, zone))
    key = now
  }
  return [...new Set(result)].map((ms) => new Date(ms).toISOString())
}

// ---- the tests ---------------------------------------------------------------------------------------

const WEEKDAYS = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday']
const ZONES = [
  'America/New_York', 'Europe/London', 'Australia/Lord_Howe', 'Asia/Kathmandu', 'Africa/Casablanca', 'Pacific/Apia',
  'America/Sao_Paulo', 'Asia/Shanghai', 'Pacific/Chatham', 'America/Havana',
]

test('the buckets of every zone begin when JavaScript says so', async () => {
  let seed = 1
  const below = (n) => (seed = (seed * 48271) % 2147483647) % n
  for (const zone of ZONES)
    for (const by of Object.keys(KEYS)) {
      const day = Date.UTC(1975 + below(120), below(12), 1 + below(28))
      const length = by === 'day' || by === 'week' ? 60 : 700
      const from = new Date(day).toISOString().slice(0, 10)
      const to = new Date(day + below(length) * DAY).toISOString().slice(0, 10)
      const [cut, first] = [below(24) * HOUR + below(2) * 30 * MINUTE, below(7)]
      const cut_over = new Date(cut).toISOString().slice(11, 16)
      const question = { trend: { of: 'any event', from, to, by }, zone, cut_over, week_start: WEEKDAYS[first] }
      const { trend } = await ask(question)
      assert.deepEqual(trend.buckets, starts({ zone, cut, first, from, to, by }), JSON.stringify(question))
    }
})

test('days have 23, 24, 25 hours, and hours that a clock jumps over or shows twice', async () => {
  const hours = async (zone, day, by = 'hour') =>
    (await ask({ trend: { of: 'any event', from: day, to: day, by }, zone })).trend.buckets
  assert.equal((await hours('America/New_York', '2026-03-08')).length, 23)
  assert.equal((await hours('America/New_York', '2026-11-01')).length, 25)
  assert.equal((await hours('America/New_York', '2026-11-01', 'quarter_hour')).length, 100)
  assert.equal((await hours('Asia/Shanghai', '2026-11-01', 'minute')).length, 1440)
  const lord = await hours('Australia/Lord_Howe', '2026-04-05')
  assert.equal(lord.length, 25) // from 02:00 the clock goes back to 01:30: half an hour of its own
  assert.deepEqual(lord.slice(2, 4), ['2026-04-04T15:00:00.000Z', '2026-04-04T15:30:00.000Z'])
  assert.equal((await hours('Pacific/Apia', '2011-12-31')).length, 24)
})

test('an event counts on the day of its zone, in every question', async () => {
  const at = (text, i) => ({
    id: `e-${i}`,
    name: 'Looked',
    time: text,
    actor: { kind: 'member', value: 'm-1' },
  })
  // In New York: 1 November 00:30, 01:30 for the second time, 23:30; 2 November 03:59 and 04:00.
  const times = ['2026-11-01T04:30:00Z', '2026-11-01T06:30:00Z', '2026-11-02T04:30:00Z', '2026-11-02T08:59:00Z',
    '2026-11-02T09:00:00Z']
  await w.want(200, 'POST', '/v1/events', { events: times.map(at) })
  const range = { from: '2026-10-31', to: '2026-11-02', by: 'day' }
  const of = '"Looked"'
  const cells = async (calendar) => (await ask({ trend: { of, ...range }, ...calendar })).trend.series[0].cells
  const zone = 'America/New_York'
  assert.deepEqual(await cells({ zone }), ['0', '3', '2'])
  assert.deepEqual(await cells({ zone, cut_over: '4' }), ['2', '2', '1'])
  assert.deepEqual(await cells({ zone, cut_over: '04:00' }), ['2', '2', '1'])
  assert.deepEqual(await cells({ zone: '+08:00' }), await cells({}))
  assert.deepEqual(await cells({}), ['0', '2', '3'])

  const day = { from: '2026-11-01', to: '2026-11-01' }
  const funnel = async (calendar) =>
    (await ask({ funnel: { steps: [{ of }, { of }], ...day, window_s: 60 * 60 * 23 }, ...calendar })).funnel.steps[1].persons
  assert.equal(await funnel({ zone }), 1)
  assert.equal(await funnel({ zone: 'Asia/Kathmandu', cut_over: '23:00' }), 1)
  const { stickiness } = await ask({ stickiness: { of, ...range }, zone })
  assert.deepEqual(stickiness.series[0].exactly, [0, 1, 0])
  const { lifecycle } = await ask({ lifecycle: { of, ...range }, zone })
  assert.deepEqual(lifecycle.series[0].intervals.map((r) => [r.new, r.returning]), [[0, 0], [1, 0], [0, 1]])
  const { retention } = await ask({ retention: { start: of, returns: of, ...range }, zone, cut_over: '4' })
  assert.equal(retention.series[0].cohorts[0].start, '2026-10-31T08:00:00.000Z')

  const year = { of, from: '2026-01-01', to: '2026-12-31' }
  const quarters = await ask({ stickiness: { ...year, by: 'quarter' }, zone })
  assert.deepEqual(quarters.stickiness.intervals.map((t) => t.slice(0, 13)), ['2026-01-01T05', '2026-04-01T04', '2026-07-01T04', '2026-10-01T04'])
  assert.deepEqual(quarters.stickiness.series[0].exactly, [1, 0, 0, 0])
  const hours = await ask({ lifecycle: { of, ...day, by: 'hour', look_back: 3 }, zone })
  assert.equal(hours.lifecycle.series[0].intervals.length, 25)
  assert.deepEqual(hours.lifecycle.series[0].intervals.flatMap((r, i) => (r.new > 0 ? [i] : [])), [0, 24]) // 00:30, 23:30
  assert.equal(hours.lifecycle.series[0].intervals[2].resurrecting, 1) // 01:30 for the second time
})

test('dates in a rule are those of the zone that the question names', async () => {
  const cells = async (calendar) =>
    (await ask({
      trend: { of: '"Looked" where time >= 2026-11-02', from: '2026-10-01', to: '2026-11-20', by: 'all' },
      ...calendar,
    })).trend.series[0].cells[0]
  assert.equal(await cells({ zone: 'America/New_York' }), '2')
  assert.equal(await cells({}), '3')
})

test('a zone or a cut-over that is none is refused, with the one that was meant', async () => {
  const trend = { of: 'any event', from: '2026-11-01', to: '2026-11-02' }
  const hint = async (zone) => (await refused('query.zone', { trend, zone }, '/zone')).errors[0].detail
  assert.match(await hint('asia/shanghai'), /did you mean "Asia\/Shanghai"/)
  assert.match(await hint('New York'), /did you mean "America\/New_York"/)
  assert.match(await hint('the moon'), /write a name as/)
  for (const zone of ['../../etc/passwd', '/etc/localtime', 'posixrules', 'Asia/../UTC']) await hint(zone)
  for (const cut_over of ['24', '4:5', '04:60', '-1', 'four', '4 ', ''])
    await refused('query.cut_over', { trend, cut_over }, '/cut_over')
  await refused('request.choice', { trend, week_start: 'someday' }, '/week_start')
  await refused('query.range', { trend: { ...trend, from: '2011-12-30', to: '2011-12-30' }, zone: 'Pacific/Apia' })
  await refused('query.combination', { segment: { of: 'did("Looked")' }, zone: 'UTC' })
})

// ---- retention and lifecycle, against a slow model ----------------------------------------------------

const VISITS = 600

/** Visits and purchases of 40 persons in three weeks, with a shop and an amount. */
function visits() {
  let seed = 7
  const below = (n) => (seed = (seed * 48271) % 2147483647) % n
  return Array.from({ length: VISITS }, (_, i) => ({
    id: `v-${i}`,
    name: below(3) > 0 ? 'Visited' : 'Paid',
    time: new Date(NOON - 1 - below(21 * 24 * 60) * MINUTE).toISOString(),
    actor: { kind: 'member', value: `r-${below(40)}` },
    properties: { shop: ['a', 'b', 'c', 'd'][Math.min(below(4), below(4))], amount: below(50) },
  }))
}

const RANGE = { from: '2026-11-04', to: '2026-11-17' }
const ZONE = 'Europe/London'

/** Cohorts of one series by the definitions, person by person. */
function slowRetention(events, q, isOf = () => true) {
  const days = starts({ zone: ZONE, ...RANGE, by: 'day' }).map((t) => Date.parse(t))
  const end = firstShown(Date.parse(RANGE.to) + DAY, ZONE)
  const after = Array.from({ length: (q.follow ?? 0) + 1 }, (_, i) => firstShown(Date.parse(RANGE.to) + (i + 1) * DAY, ZONE))
  const bounds = [...days, ...after]
  const people = [...new Set(events.map((e) => e.actor.value))].map((value) =>
    events
      .filter((e) => e.actor.value === value)
      .map((e) => ({ ...e, at: Date.parse(e.time) }))
      .sort((a, b) => a.at - b.at),
  )
  const count = bounds.length - 1
  const brackets = q.brackets
  const z = brackets || q.zero ? 0 : 1
  return days.map((start, i) => {
    const columns = brackets ? brackets.length : count - i
    const row = { persons: 0, returned: Array(columns - z).fill(0), sums: Array(columns - z).fill(0) }
    for (const rows of people) {
      const visits = rows.filter((e) => e.name === 'Visited')
      const all = visits.filter((e) => q.shop === undefined || e.properties.shop === q.shop)
      const first = q.cohort === 'first_named' ? visits[0] : q.cohort === 'first' ? all.find((e) => e.at >= days[0] && e.at < end) : all[0]
      const own = all.filter((e) => isOf(e) && e.at >= start && e.at < bounds[i + 1])
      const began = q.cohort && q.cohort !== 'recurring' ? own.find((e) => e === first) : own[0]
      if (!began) continue
      row.persons++
      const edge = (k) => (q.rolling ? began.at - (began.at % HOUR) + k * DAY : bounds[i + k])
      const back = (k) =>
        rows.filter((e) => rows.indexOf(e) > rows.indexOf(began) && e.name === 'Paid' && e.at >= edge(k) && e.at < edge(k + 1) &&
          (!q.same_value || e.properties.shop === began.properties.shop))
      for (let c = z; c < columns; c++) {
        const [from, to] = {
          on: [c, c], on_or_after: [c, count - i - 1], on_or_before: [z, c], streak: [z, c],
          bracket: brackets && [brackets[c].first, Math.min(brackets[c].last, count - i - 1)],
        }[q.comes ?? 'on']
        const found = Array.from({ length: Math.max(0, to - from + 1) }, (_, k) => back(from + k))
        const some = q.comes === 'streak' ? found.every((f) => f.length > 0) : found.some((f) => f.length > 0)
        if (!some || found.length === 0) continue
        row.returned[c - z]++
        row.sums[c - z] += found.flat().reduce((sum, e) => sum + e.properties.amount, 0)
      }
    }
    return row
  })
}

test('every kind of retention is that of the slow way, in a zone of its own', async () => {
  const events = visits()
  await w.want(200, 'POST', '/v1/events', { events })
  const questions = [
    {}, { cohort: 'first' }, { cohort: 'first_ever' }, { comes: 'on_or_after' }, { comes: 'on_or_before', zero: true },
    { comes: 'streak' }, { comes: 'streak', zero: true, rolling: true }, { rolling: true, follow: 2 }, { follow: 5 },
    { comes: 'bracket', brackets: [{ first: 0, last: 0 }, { first: 1, last: 3 }, { first: 2, last: 9 }], cohort: 'first' },
    { comes: 'on_or_before', rolling: true, cohort: 'first_ever' },
    { shop: 'a', cohort: 'first_ever' }, { shop: 'a', cohort: 'first_named' }, { shop: 'b', cohort: 'first_named', comes: 'on_or_after' },
  ]
  for (const q of questions) {
    const { shop, ...more } = q
    const start = shop === undefined ? '"Visited"' : `"Visited" where shop == "${shop}"`
    const asked = { start, returns: '"Paid"', ...RANGE, by: 'day', number: 'amount', ...more }
    const { retention } = await ask({ retention: asked, zone: ZONE })
    const rows = retention.series[0].cohorts.map(({ persons, returned, sums }) => ({ persons, returned, sums: sums.map(Number) }))
    assert.deepEqual(rows, slowRetention(events, q), JSON.stringify(q))
    const { number, ...without } = asked // another way through the engine, where nothing needs an order
    const { retention: plain } = await ask({ retention: without, zone: ZONE })
    assert.equal(number, 'amount')
    assert.deepEqual(plain.series[0].cohorts.map((r) => r.returned), rows.map((r) => r.returned), JSON.stringify(q))
  }
})

test('the series of a retention are of what the start had, and of the return when that is asked for', async () => {
  const events = visits()
  for (const same_value of [false, true]) {
    const question = { start: '"Visited"', returns: '"Paid"', ...RANGE, by: 'day', breakdown: ['shop'], top: 2, same_value }
    const { retention } = await ask({ retention: question, zone: ZONE })
    assert.equal(retention.distinct, 4)
    assert.equal(retention.series.length, 3)
    const shown = retention.series.slice(0, 2)
    for (const s of shown) {
      const want = slowRetention(events, { same_value }, (e) => e.properties.shop === s.values[0].value)
      assert.deepEqual(s.cohorts.map((r) => [r.persons, r.returned]), want.map((r) => [r.persons, r.returned]))
    }
    assert.deepEqual(retention.series[2].values, [])
    if (same_value) continue
    const names = shown.map((s) => s.values[0].value)
    const others = slowRetention(events, {}, (e) => !names.includes(e.properties.shop))
    assert.deepEqual(retention.series[2].cohorts.map((r) => r.returned), others.map((r) => r.returned))
  }
})

test('means are of the cohorts whose column is over, pooled and simple', async () => {
  const question = { start: '"Visited"', returns: '"Paid"', from: '2026-11-15', to: '2026-11-21', by: 'day' }
  const { retention } = await ask({ retention: question, zone: ZONE })
  const { cohorts, mean } = retention.series[0]
  assert.deepEqual(cohorts.map((r) => r.complete), [5, 4, 3, 2, 1, 0, 0]) // today is not over
  assert.equal(mean.length, 6)
  mean.forEach((m, c) => {
    const rows = cohorts.filter((r) => r.complete > c && r.persons > 0)
    const sum = (of) => rows.reduce((all, r) => all + of(r), 0)
    assert.equal(m.persons, sum((r) => r.persons))
    assert.equal(m.returned, sum((r) => r.returned[c]))
    if (rows.length === 0) assert.deepEqual([m.pooled, m.simple], [null, null])
    else {
      assert.ok(Math.abs(m.pooled - m.returned / m.persons) < 1e-6)
      assert.ok(Math.abs(m.simple - sum((r) => r.returned[c] / r.persons) / rows.length) < 1e-6)
    }
  })
  const rolling = await ask({ retention: { ...question, rolling: true }, zone: ZONE })
  assert.deepEqual(rolling.retention.series[0].cohorts.map((r) => r.complete), [4, 3, 2, 1, 0, 0, 0])
})

test('a lifecycle has series, and a pulse', async () => {
  const events = visits()
  const question = { of: '"Visited"', from: '2026-11-10', to: '2026-11-16', by: 'week', breakdown: ['shop'], top: 3 }
  const { lifecycle } = await ask({ lifecycle: question, week_start: 'tuesday', zone: ZONE })
  assert.equal(lifecycle.series.length, 4)
  for (const s of lifecycle.series) {
    assert.equal(s.intervals.length, 1)
    const [row] = s.intervals
    assert.equal(row.start, '2026-11-10T00:00:00.000Z')
    const shop = s.values[0]?.value
    const known = lifecycle.series.flatMap((o) => o.values.map((v) => v.value))
    const mine = events.filter((e) => e.name === 'Visited' && (s.other ? !known.includes(e.properties.shop) : e.properties.shop === shop))
    const who = (from, to) => new Set(mine.filter((e) => e.time >= from && e.time < to).map((e) => e.actor.value))
    const [now, before] = [who('2026-11-10', '2026-11-17'), who('2026-11-03', '2026-11-10')]
    const earlier = who('2026-10', '2026-11-10')
    assert.equal(row.new, [...now].filter((p) => !earlier.has(p)).length)
    assert.equal(row.returning, [...now].filter((p) => before.has(p)).length)
    assert.equal(row.resurrecting, [...now].filter((p) => earlier.has(p) && !before.has(p)).length)
    assert.equal(row.dormant, -[...before].filter((p) => !now.has(p)).length || 0)
    const pulse = (row.new + row.resurrecting) / -row.dormant
    if (row.dormant === 0) assert.equal(row.pulse, null)
    else assert.ok(Math.abs(row.pulse - pulse) <= 0.005)
  }
})

test('settings of a retention that do not go together are refused', async () => {
  const question = { start: 'any event', returns: 'any event', ...RANGE }
  const no = (code, q, pointer) => refused(code, { retention: { ...question, ...q } }, `/retention/${pointer}`)
  await no('query.combination', { comes: 'bracket' }, 'brackets')
  await no('query.combination', { brackets: [{ first: 1, last: 2 }] }, 'brackets')
  await no('query.combination', { rolling: true, by: 'quarter' }, 'rolling')
  await no('query.combination', { same_value: true }, 'same_value')
  await no('query.range', { comes: 'bracket', brackets: [{ first: 3, last: 2 }] }, 'brackets/0')
  await no('query.range', { comes: 'bracket', brackets: [{ first: 1, last: 5 }, { first: 2, last: 3 }] }, 'brackets/1')
  await no('query.too_large', { by: 'day', follow: 399 }, 'to')
  await no('query.property', { number: 'shop' }, 'number')
})

test('a range may begin and end within its days, in every question', async () => {
  const zone = 'America/New_York' // its clocks are turned back on 1 November
  const first = Date.parse('2026-10-30T04:00:00Z')
  const times = Array.from({ length: 5 * 72 }, (_, i) => first + i * 20 * MINUTE)
  const events = times.map((ms, i) => ({
    id: `tick-${i}`, name: 'Ticked', time: new Date(ms).toISOString(), actor: { kind: 'member', value: `t-${i}` },
  }))
  for (let i = 0; i < events.length; i += 200) await w.want(200, 'POST', '/v1/events', { events: events.slice(i, i + 200) })
  const of = '"Ticked"'
  let seed = 7
  const below = (n) => (seed = (seed * 48271) % 2147483647) % n
  const clock = (ms) => new Date(ms).toISOString().slice(11, 16)
  for (let round = 0; round < 25; round++) {
    const cut = below(2) * 4 * HOUR
    const days = [below(4), below(4)].sort().map((n) => Date.UTC(2026, 9, 31) + n * DAY)
    const [begins, ends] = [below(96) * 15 * MINUTE, below(96) * 15 * MINUTE]
    const local = (day, ms) => firstShown(day + ms + (ms < cut ? DAY : 0), zone)
    const [from_ms, to_ms] = [local(days[0], begins), local(days[1], ends)]
    const [from, to] = days.map((ms) => new Date(ms).toISOString().slice(0, 10))
    const calendar = { zone, cut_over: clock(cut), from_time: clock(begins), to_time: clock(ends) }
    if (from_ms >= to_ms) {
      await refused('query.range', { trend: { of, from, to }, ...calendar }, '/to_time')
      continue
    }
    const inside = times.filter((ms) => ms >= from_ms && ms < to_ms).length
    const said = JSON.stringify([from, to, calendar])
    for (const by of ['quarter_hour', 'hour', 'day', 'week', 'all']) {
      const { trend } = await ask({ trend: { of, from, to, by }, ...calendar })
      assert.equal(trend.series[0].cells.reduce((sum, n) => sum + Number(n), 0), inside, `${by} ${said}`)
      assert.equal(trend.buckets[0], new Date(from_ms).toISOString(), `${by} ${said}`)
      assert.ok(Date.parse(trend.buckets.at(-1)) < to_ms, `${by} ${said}`)
    }
    const people = { from, to }
    const { funnel } = await ask({ funnel: { steps: [{ of }, { of }], ...people }, ...calendar })
    assert.equal(funnel.steps[0].persons, inside, said)
    const { sessions } = await ask({ sessions: { of, ...people, by: 'all' }, ...calendar })
    assert.equal(sessions.series[0].total.sessions, inside, said)
    const { stickiness } = await ask({ stickiness: { of, ...people, by: 'day' }, ...calendar })
    assert.equal(stickiness.series[0].at_least[0], inside, said)
    const { touch } = await ask({ touch: { conversion: of, touch: of, breakdown: ['event'], ...people }, ...calendar })
    assert.equal(touch.total.conversions, inside, said)
    const { paths } = await ask({ paths: { of, ...people, steps: 2 }, ...calendar })
    assert.equal(paths.steps[0]?.count ?? 0, inside, said)
  }

  const minutes = { of, from: '2026-11-02', to: '2026-11-04', by: 'minute' } // three days of them are too many
  const lately = await ask({ trend: minutes, zone, from_time: '20:00', to_time: '12:00' })
  assert.equal(lately.trend.buckets.length, 40 * 60)

  const range = { of, from: '2026-11-01', to: '2026-11-02' }
  const ten = { from_time: '10' }
  await refused('query.range', { trend: range, from_time: '24' }, '/from_time')
  await refused('query.range', { trend: range, to_time: 'noon' }, '/to_time')
  await refused('query.combination', { lifecycle: { ...range, by: 'day' }, ...ten }, '/from_time')
  await refused('query.combination', { retention: { start: of, returns: of, from: range.from, to: range.to }, ...ten }, '/from_time')
  const rolling = { ...range, by: 'day', measure: 'persons', rolling_days: 7 }
  await refused('query.combination', { trend: rolling, to_time: '10' }, '/to_time')
  await refused('query.combination', { segment: { of: 'did "Ticked"' }, ...ten }, '/from_time')
})
