// tests/http/query_calendar.test.mjs -- questions in other calendars than the chain's, over the wire.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { DAY, HOUR, World } from './world.mjs'

const NOON = 1795233600000 // 2026-11-21 12:00 in China
const MINUTE = HOUR / 60

let w
before(async () => (w = await World.open({ clock: NOON, arguments: ['--engine', '1'] })))
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
  assert.deepEqual(lifecycle.intervals.map((r) => [r.new, r.returning]), [[0, 0], [1, 0], [0, 1]])
  const { retention } = await ask({ retention: { start: of, returns: of, ...range }, zone, cut_over: '4' })
  assert.equal(retention.cohorts[0].start, '2026-10-31T08:00:00.000Z')
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
