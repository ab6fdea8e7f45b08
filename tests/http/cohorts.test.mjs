// tests/http/cohorts.test.mjs -- rules about persons with a name, kept and asked over the wire.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { DAY, HOUR, World, tally, together } from './world.mjs'

const NOON = 1795233600000 // 2026-11-21 12:00 in China
const RANGE = { from: '2026-10-01', to: '2026-11-21' }

let w
before(async () => (w = await World.open({ clock: NOON })))
after(() => w.close())

const path = (name) => `/v1/cohorts/${encodeURIComponent(name)}`
const put = (name, rule) => w.want(200, 'PUT', path(name), { rule })
const remove = (name) => w.want(200, 'DELETE', path(name))
const ask = (question) => w.want(200, 'POST', '/v1/query', question)
const persons = async (of) => (await ask({ segment: { of } })).segment.persons
const count = async (of) => Number((await ask({ trend: { ...RANGE, of, by: 'all' } })).trend.series[0].cells[0])
const segment = (name) => `segment(${JSON.stringify(name)})`
const refused = (status, code, method, name, body) => w.refused(status, code, method, path(name), body)

test('a cohort is kept in its canonical text, given another rule, listed and deleted', async () => {
  const made = await put('常客 A/B', 'did( "Bought",count>=2 )and tier=="gold"')
  assert.equal(made.rule, 'did("Bought", count >= 2) and person.tier == "gold"')
  assert.deepEqual(await w.want(200, 'GET', path('常客 A/B')), made)
  const tree = { op: 'not', arg: { segment: '常客 A/B' } }
  const other = await put('others', tree)
  assert.equal(other.rule, 'not segment("常客 A/B")')
  assert.deepEqual([other.uses, other.used_by], [['常客 A/B'], []])
  const again = await put('常客 A/B', 'true')
  assert.deepEqual([again.rule, again.created, again.used_by], ['true', made.created, ['others']])
  const { items } = await w.want(200, 'GET', '/v1/cohorts')
  assert.deepEqual(items.map((c) => c.name), ['others', '常客 A/B'])
  const problem = await refused(409, 'cohort.in_use', 'DELETE', '常客 A/B')
  assert.match(JSON.stringify(problem), /others/)
  await remove('others')
  await remove('常客 A/B')
  await refused(404, 'cohort.unknown', 'GET', 'others')
  await refused(404, 'cohort.unknown', 'DELETE', 'others')
})

test('a rule that is none is refused with its place, and what was there stays', async () => {
  await put('Regulars', 'did("Bought")')
  for (const [rule, hint] of [
    ['did("Bought"', /line 1, column/],
    ['"Bought"', /column/],
    ['segment("regulars")', /did you mean .*Regulars/],
    [{ op: 'nand' }, /no operator/],
    [3, /./],
  ])
    assert.match(JSON.stringify(await refused(400, 'cohort.rule', 'PUT', 'Regulars', { rule })), hint)
  assert.equal((await w.want(200, 'GET', path('Regulars'))).rule, 'did("Bought")')
  await put('B', segment('Regulars'))
  const circle = await refused(400, 'cohort.circle', 'PUT', 'Regulars', { rule: `true or ${segment('B')}` })
  assert.match(JSON.stringify(circle), /Regulars.* > .*B.* > .*Regulars/)
  await remove('B')
  await remove('Regulars')
  const clerk = await w.keyOf('clerk')
  await w.refused(403, 'auth.permission', 'PUT', path('x'), { rule: 'true' }, { as: clerk })
})

test('of rules that come at once none makes a circle, and none is lost', async () => {
  const same = await together(32, () => w.call('PUT', path('once'), { rule: 'true' }))
  assert.deepEqual(tally(same, (r) => r.status), { 200: 32 })
  for (let round = 0; round < 5; round++) {
    const names = Array.from({ length: 4 }, (_, i) => `round ${round} ${i}`)
    for (const name of names) await put(name, 'true')
    const replies = await together(16, (i) => w.call('PUT', path(names[i % 4]), { rule: segment(names[(i + 1) % 4]) }))
    const said = tally(replies, (r) => `${r.status} ${r.body.code ?? ''}`)
    assert.equal((said['200 '] ?? 0) + (said['400 cohort.circle'] ?? 0), 16, JSON.stringify(said))
    const uses = await Promise.all(names.map(async (n) => (await w.want(200, 'GET', path(n))).uses.length))
    assert.equal(uses.reduce((a, b) => a + b), 3)
    for (let left = names; left.length > 0;) {
      const free = await Promise.all(left.map(async (n) => (await w.want(200, 'GET', path(n))).used_by.length === 0))
      for (const name of left.filter((_, i) => free[i])) await remove(name)
      left = left.filter((_, i) => !free[i])
    }
  }
  await remove('once')
})

// ---- in questions, against a model ---------------------------------------------------------------------

let state = 7
const below = (n) => {
  state = (Math.imul(state, 1103515245) + 12345) >>> 0
  return Math.floor((state / 4294967296) * n)
}

// Person i: events of two kinds and a level, which everybody has from a while ago on.
function people(n) {
  return Array.from({ length: n }, (_, i) => ({
    actor: { kind: 'member', value: `c-${i}` },
    level: ['gold', 'silver', undefined][below(3)],
    days: { Bought: Array.from({ length: below(4) }, () => 1 + below(40)), Viewed: Array.from({ length: below(5) }, () => 1 + below(40)) },
  }))
}

// Within 30 days is after the instant that long ago; these events lie an hour before whole days.
const recent = (days) => days.filter((d) => d * DAY + HOUR < 30 * DAY)
const is = {
  buyers: (p) => recent(p.days.Bought).length >= 1,
  golden: (p) => p.level === 'gold' && is.buyers(p),
  idle: (p) => !is.golden(p) && p.days.Viewed.length > 0,
}
const RULES = {
  buyers: 'did("Bought", within 30d)',
  golden: 'level == "gold" and segment("buyers")',
  idle: 'not segment("golden") and did("Viewed" where person.level != "x")',
}

async function compare(all) {
  const some = all.filter((p) => p.days.Bought.length + p.days.Viewed.length > 0 || p.level !== undefined)
  for (const [name, holds] of Object.entries(is)) {
    assert.equal(await persons(segment(name)), some.filter(holds).length, name)
    assert.equal(await persons(`not ${segment(name)}`), some.filter((p) => !holds(p)).length, name)
    const viewed = (take) => some.filter(take).reduce((n, p) => n + p.days.Viewed.length, 0)
    assert.equal(await count(`"Viewed" where ${segment(name)}`), viewed(holds), name)
    assert.equal(await count(`"Viewed" where not ${segment(name)} or level == "y"`), viewed((p) => !holds(p)), name)
  }
  const steps = [{ of: `"Viewed" where ${segment('golden')} or ${segment('idle')}` }]
  const { funnel } = await ask({ funnel: { ...RANGE, steps } })
  assert.equal(funnel.steps[0].persons, some.filter((p) => p.days.Viewed.length > 0 && (is.golden(p) || is.idle(p))).length)
  const start = `"Bought" where ${segment('golden')}`
  const { retention } = await ask({ retention: { ...RANGE, by: 'year', start, returns: 'any event', zero: true } })
  assert.equal(retention.series[0].cohorts[0].persons, some.filter(is.golden).length)
  const both = `did("Bought" where ${segment('golden')}) and not (${segment('idle')} or ${segment('buyers')}) or ${segment('golden')}`
  assert.equal(await persons(both), some.filter(is.golden).length)
}

test('questions about cohorts are answered as of now, as a model answers them', async () => {
  const all = people(80)
  const events = all.flatMap((p, i) => [
    ...Object.entries(p.days).flatMap(([name, days]) =>
      days.map((d, k) => ({ id: `${name}-${i}-${k}`, name, actor: p.actor, time: new Date(NOON - d * DAY - HOUR).toISOString() })),
    ),
    ...(p.level ? [{ id: `l-${i}`, kind: 'attributes', actor: p.actor, time: new Date(NOON - 60 * DAY).toISOString(), properties: { level: p.level } }] : []),
  ])
  for (let i = 0; i < events.length; i += 200) await w.want(200, 'POST', '/v1/events', { events: events.slice(i, i + 200) })
  for (const [name, rule] of Object.entries(RULES)) await put(name, rule)
  await compare(all)
  all[0].level = 'gold'
  const said = { id: 'said', kind: 'attributes', actor: all[0].actor, properties: { level: 'gold' } }
  await w.want(200, 'POST', '/v1/events', { events: [said] })
  await compare(all)
  await w.restart()
  await compare(all)
})

test('what a cohort says wrong or doubtful is told where it is asked', async () => {
  await put('typo', 'did("Boughtt")')
  const answer = await ask({ segment: { of: segment('typo') } })
  assert.match(answer.warnings.join(), /did you mean .*Bought/)
  await put('wrong', 'level > 3')
  const problem = await w.refused(400, 'query.rule', 'POST', '/v1/query', { trend: { ...RANGE, of: `any event where ${segment('wrong')}` } })
  assert.equal(problem.errors[0].pointer, '/trend/of')
  assert.match(JSON.stringify(problem), /in the cohort .*wrong.*: line 1, column/)
  const none = await w.refused(400, 'query.rule', 'POST', '/v1/query', { segment: { of: segment('Golden') } })
  assert.match(JSON.stringify(none), /did you mean .*golden/)
})
