// tests/http/attributes.test.mjs -- attributes of persons as of each event, over the wire and against a slow model.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { DAY, HOUR, World } from './world.mjs'

const NOON = 1795233600000 // 2026-11-21 12:00 in China
const RANGE = { from: '2026-11-01', to: '2026-11-21' }

let w
before(async () => (w = await World.open({ clock: NOON })))
after(() => w.close())

const ask = (question) => w.want(200, 'POST', '/v1/query', question)
const send = (events) => w.want(200, 'POST', '/v1/events', { events })
const at = (ms) => new Date(ms).toISOString()
const actor = (value) => ({ kind: 'device', value })
let sent = 0
const id = () => `a-${sent++}`
const count = async (of) => Number((await ask({ trend: { ...RANGE, of, by: 'all' } })).trend.series[0].cells[0])
const series = (answer) => Object.fromEntries(answer.series.map((s) => [s.values.map((v) => v.value).join(), Number(s.cells[0])]))

test('a condition as of the event holds from what was said to what is said next', async () => {
  const seen = (ms) => ({ id: id(), name: 'Level Seen', time: at(ms), actor: actor('one') })
  const said = (ms, level) => ({ id: id(), kind: 'attributes', time: at(ms), actor: actor('one'), properties: { level } })
  const tie = NOON - 5 * DAY
  await send([seen(NOON - 9 * DAY), seen(tie), said(tie, 'gold'), seen(tie), seen(NOON - 4 * DAY), said(NOON - 3 * DAY, null), seen(NOON - DAY)])
  await send([{ id: id(), name: 'Level Seen', time: at(NOON - DAY) }]) // by nobody
  const of = (where) => count(`"Level Seen" where ${where}`)
  assert.equal(await of('person.level at event == "gold"'), 2)
  assert.equal(await of('person.level == "gold"'), 0)
  assert.equal(await of('person.level at event != "gold"'), 4)
  assert.equal(await of('person.level at event is missing'), 4)
  await send([said(NOON - 10 * DAY, 'silver')]) // comes late, and has always been so
  assert.equal(await of('person.level at event == "silver"'), 2)
  assert.equal(await of('person.level at event is missing'), 2)
  const tree = { op: '==', left: { person: 'level', at: 'event' }, right: 'silver' }
  assert.equal(await count({ event: 'Level Seen', where: tree }), 2)
  const by = async (breakdown) => series((await ask({ trend: { ...RANGE, of: '"Level Seen"', by: 'all', breakdown } })).trend)
  assert.deepEqual(await by(['person.level at event']), { silver: 2, gold: 2, '': 2 })
  assert.deepEqual(await by(['person.level']), { '': 6 })
  const problem = await w.refused(400, 'query.rule', 'POST', '/v1/query', { segment: { of: 'person.level at event == "gold"' } })
  assert.match(JSON.stringify(problem), /as of which event/)
  const typo = await ask({ trend: { ...RANGE, of: '"Level Seen"', by: 'all', breakdown: ['person.leevl at event'] } })
  assert.deepEqual(series(typo.trend), { '': 6 })
  assert.deepEqual(typo.warnings, ['no event has had the property "person.leevl at event"; did you mean "person.level"?'])
})

test('a consent is an attribute, and holds while it was last said to be true', async () => {
  const said = (who, days, properties) => ({ id: id(), kind: 'attributes', time: at(NOON - days * DAY), actor: actor(who), properties })
  const sms = 'consent.sms.marketing'
  const asked = ['yes', 'again', 'no', 'gone', 'mail'].map((who) => ({ id: id(), name: 'Asked', time: at(NOON - 2 * DAY), actor: actor(who) }))
  await send([
    ...asked,
    { id: id(), name: 'Asked', time: at(NOON - 2 * DAY) }, // by nobody
    said('yes', 3, { [sms]: true }),
    said('again', 1, { [sms]: true }), said('again', 3, { [sms]: false }),
    said('no', 1, { [sms]: false }), said('no', 3, { [sms]: true }),
    said('gone', 3, { [sms]: true }), said('gone', 1, { [sms]: null }),
    said('mail', 3, { 'consent.mail.marketing': true }),
  ])
  const persons = async (of) => (await ask({ segment: { of } })).segment.persons
  assert.equal(await persons('consents("sms", "marketing") and did("Asked")'), 2)
  assert.equal(await persons('not consents("sms", "marketing") and did("Asked")'), 3)
  assert.equal(await persons({ consents: ['mail', 'marketing'] }), 1)
  assert.equal(await persons('consents("mail", "service")'), 0)
  assert.equal(await count('"Asked" where consents("sms", "marketing")'), 2)
  assert.equal(await count('"Asked" where not consents("sms", "marketing")'), 4)
  const dot = await w.refused(400, 'query.rule', 'POST', '/v1/query', { segment: { of: 'consents("a.b", "c")' } })
  assert.match(JSON.stringify(dot), /dot/)
})

// ---- random people against a model that goes through everything --------------------------------------

let state = 20261121
const below = (n) => {
  state = (Math.imul(state, 1103515245) + 12345) >>> 0
  return Math.floor((state / 4294967296) * n)
}
const LEVELS = ['none', 'silver', 'gold']

// Of each actor events and what was said of it, in the order in which they are sent; times of different actors differ.
function randomPeople(actors) {
  const sent = []
  for (let a = 0; a < actors; a++) {
    let ms = NOON - 19 * DAY + a
    const own = []
    for (let i = 1 + below(12); i > 0; i--) {
      ms += below(3) === 0 ? 0 : below(3 * DAY / HOUR) * HOUR
      if (ms >= NOON) break
      const one = { id: id(), time: at(ms), actor: actor(`r-${a}`) }
      if (below(3) > 0) own.push({ ...one, name: below(2) ? 'Rand Seen' : 'Rand Bought' })
      else own.push({ ...one, kind: 'attributes', properties: below(5) === 0 ? { grade: null } : { grade: LEVELS[below(3)], size: below(9) } })
    }
    const late = own.filter((e) => e.kind !== undefined && below(3) === 0)
    sent.push(...own.filter((e) => !late.includes(e)), ...late)
  }
  return sent
}

// Everybody's rows by time, then arrival; `persons` says who is whom.
function modelOf(sent, persons) {
  const people = new Map()
  sent.forEach((e, i) => {
    const who = persons(e.actor.value)
    if (who !== undefined) people.set(who, [...(people.get(who) ?? []), { ...e, ms: Date.parse(e.time), i }])
  })
  const events = []
  for (const [who, rows] of people) {
    rows.sort((x, y) => x.ms - y.ms || x.i - y.i)
    let grade
    let size
    for (const row of rows)
      if (row.kind === undefined) events.push({ who, name: row.name, ms: row.ms, grade, size })
      else if (row.properties.grade === null) grade = undefined
      else ({ grade, size } = row.properties)
  }
  return events
}

const CONDITIONS = [
  ['person.grade at event == "gold"', (e) => e.grade === 'gold'],
  ['person.grade at event != "silver"', (e) => e.grade !== 'silver'],
  ['person.grade at event in ["none", "silver"]', (e) => ['none', 'silver'].includes(e.grade)],
  ['person.grade at event is missing', (e) => e.grade === undefined],
  ['person.size at event between 2 and 5', (e) => e.size >= 2 && e.size <= 5],
  ['not (person.size at event > 3) and person.grade at event contains "l"', (e) => !(e.size > 3) && ['silver', 'gold'].includes(e.grade)],
]

const tally = (events, key, value) => {
  const all = {}
  for (const e of events) (all[key(e)] ??= new Set()).add(value(e))
  return Object.fromEntries(Object.entries(all).map(([k, v]) => [k, v.size]))
}

async function compare(events) {
  for (const [text, holds] of CONDITIONS) {
    const seen = events.filter((e) => e.name === 'Rand Seen' && holds(e))
    assert.equal(await count(`"Rand Seen" where ${text}`), seen.length, text)
    const people = new Set(seen.map((e) => e.who))
    const of = `did("Rand Seen" where ${text})`
    assert.equal((await ask({ segment: { of } })).segment.persons, people.size, of)
    const steps = [{ of: `"Rand Seen" where ${text}` }, { of: `"Rand Bought" where ${text}` }]
    const { funnel } = await ask({ funnel: { ...RANGE, steps, window_s: 86400 * 365 } })
    const bought = (e) => e.name === 'Rand Bought' && holds(e)
    const both = new Set(seen.filter((s) => events.some((e) => bought(e) && e.who === s.who && e.ms > s.ms)).map((s) => s.who))
    assert.equal(funnel.steps[0].persons, people.size, text)
    assert.ok(funnel.steps[1].persons >= both.size, text) // at one instant, arrival decides
    const days = events.filter((e) => e.name === 'Rand Bought' && holds(e))
    const { retention } = await ask({ retention: { ...RANGE, by: 'year', start: `"Rand Bought" where ${text}`, returns: 'any event', zero: true } })
    assert.equal(retention.series[0].cohorts[0].persons, new Set(days.map((e) => e.who)).size, text)
  }
  const trend = { ...RANGE, of: '"Rand Seen"', by: 'all', breakdown: ['person.grade at event'], top: 50 }
  const seen = events.filter((e) => e.name === 'Rand Seen')
  let row = 0
  const key = (e) => e.grade ?? ''
  assert.deepEqual(series((await ask({ trend })).trend), tally(seen, key, () => row++))
  assert.deepEqual(series((await ask({ trend: { ...trend, measure: 'persons' } })).trend), tally(seen, key, (e) => e.who))
  const two = { ...trend, breakdown: ['person.size at event', 'event'] }
  assert.deepEqual(series((await ask({ trend: two })).trend), tally(seen, (e) => `${e.size ?? ''},Rand Seen`, () => row++))
  const { funnel } = await ask({ funnel: { ...RANGE, steps: [{ of: '"Rand Seen"' }, { of: '"Rand Bought"' }], breakdown: ['person.grade at event'], attribution: 'all' } })
  const firsts = Object.fromEntries(funnel.series.map((s) => [s.values[0].value ?? '', s.steps[0].persons]))
  assert.deepEqual(firsts, tally(seen, key, (e) => e.who))
}

const byValue = (rows, number) => Object.fromEntries(rows.map((r) => [r.values[0].value ?? '', number(r)]))

// Every kind of question takes attributes where it takes properties.
async function compareBreakdowns(events) {
  const by = { ...RANGE, of: '"Rand Bought"', breakdown: ['person.grade at event'] }
  const bought = events.filter((e) => e.name === 'Rand Bought')
  const persons = tally(bought, (e) => e.grade ?? '', (e) => e.who)
  const { of, ...series } = by
  const { retention } = await ask({ retention: { ...series, by: 'year', start: of, returns: 'any event' } })
  assert.deepEqual(byValue(retention.series, (s) => s.cohorts[0].persons), persons)
  const { stickiness } = await ask({ stickiness: { ...by, by: 'year' } })
  assert.deepEqual(byValue(stickiness.series, (s) => Number(s.at_least[0])), persons)
  const { lifecycle } = await ask({ lifecycle: { ...by, by: 'year' } })
  assert.deepEqual(byValue(lifecycle.series, (s) => s.intervals[0].new), persons)
  const sizes = bought.filter((e) => e.size !== undefined).map((e) => e.size)
  const sum = { ...RANGE, by: 'all', of, measure: 'sum', number: 'person.size at event' }
  assert.equal(Number((await ask({ trend: sum })).trend.series[0].cells[0]), sizes.reduce((a, b) => a + b, 0))
  const held = { steps: [{ of: '"Rand Bought"' }, { of: '"Rand Bought"' }], hold_constant: ['person.grade at event'], window_s: 86400 * 365 }
  const twice = new Set(bought.filter((e, i) => e.grade && bought.some((x, j) => j < i && x.who === e.who && x.grade === e.grade)).map((e) => e.who))
  assert.equal((await ask({ funnel: { ...RANGE, ...held } })).funnel.steps[1].persons, twice.size)
}

// The last touch of each purchase, by what was so at the touch.
async function compareTouches(events) {
  const touched = []
  events.forEach((e, i) => {
    if (e.name !== 'Rand Bought') return
    const before = events.slice(0, i).filter((x) => x.who === e.who && x.name === 'Rand Seen')
    if (before.length > 0) touched.push(before.at(-1))
  })
  const question = { ...RANGE, conversion: '"Rand Bought"', touch: '"Rand Seen"', breakdown: ['person.grade at event'], look_back_s: 86400 * 60 }
  const { touch } = await ask({ touch: question })
  let row = 0
  assert.deepEqual(byValue(touch.rows, (r) => r.conversions), tally(touched, (e) => e.grade ?? '', () => row++))
}

// Of each actor alone: whoever is linked has events within a second of each other's.
async function compareSessions(events) {
  const starts = new Map()
  for (const e of events) if (e.name === 'Rand Seen' && !starts.has(`${e.who} ${e.ms}`)) starts.set(`${e.who} ${e.ms}`, e)
  const question = { ...RANGE, by: 'all', of: '"Rand Seen"', gap_s: 1, breakdown: ['person.grade at event'] }
  const { sessions } = await ask({ sessions: question })
  let row = 0
  const got = byValue(sessions.series, (s) => s.total.sessions)
  assert.deepEqual(got, tally([...starts.values()], (e) => e.grade ?? '', () => row++))
}

test('random people are counted as a model counts them, linked, apart again and erased', async () => {
  const people = randomPeople(120)
  for (let i = 0; i < people.length; i += 200) await send(people.slice(i, i + 200))
  await compare(modelOf(people, (a) => a))
  await compareSessions(modelOf(people, (a) => a))
  const links = Array.from({ length: 20 }, (_, i) => [`r-${i}`, `r-${60 + i}`])
  const say = (kind, [a, b]) => ({ id: id(), kind, actor: actor(a), other: b && actor(b) })
  await send(links.map((pair) => say('link', pair)))
  const joined = new Map(links.map(([a, b]) => [b, a]))
  await compare(modelOf(people, (a) => joined.get(a) ?? a))
  await send(links.slice(0, 10).map((pair) => say('unlink', pair)))
  links.slice(0, 10).forEach(([, b]) => joined.delete(b))
  const gone = ['r-100', 'r-101', 'r-102', 'r-15']
  await send(gone.map((a) => say('erase', [a])))
  const apart = (a) => (gone.includes(a) ? undefined : (joined.get(a) ?? a))
  await compare(modelOf(people, apart))
  await compareBreakdowns(modelOf(people, apart))
  await compareTouches(modelOf(people, apart))
  await w.restart()
  await compare(modelOf(people, apart))
})
