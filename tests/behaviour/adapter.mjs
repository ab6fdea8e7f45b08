// tests/behaviour/adapter.mjs -- a case's data and question in our words, and our answer in its words.
//
// Nothing is computed here that a question answers: the adapter translates, cuts and labels.  What our
// questions cannot say is a Skip with its reason.  All cases live in one server: every name, property, actor
// and id begins with a tag of the case.  Every question names the case's zone.

import assert from 'node:assert/strict'

export class Skip extends Error {}
const skip = (reason) => {
  throw new Skip(reason)
}

const HOUR = 3600e3
const DAY = 24 * HOUR

// ---- time -------------------------------------------------------------------------------------------

/** An instant; without a zone it is UTC. */
const instant = (text) => Date.parse(/(Z|[+-]\d\d:\d\d)$/.test(text) ? text : `${text.replace(' ', 'T')}Z`)

/** The civil time of an instant in a zone, as if it were UTC. */
function civil(ms, zone) {
  const parts = new Intl.DateTimeFormat('en-US', {
    timeZone: zone, hourCycle: 'h23', year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric',
    minute: 'numeric', second: 'numeric',
  }).formatToParts(ms)
  const at = Object.fromEntries(parts.map((p) => [p.type, Number(p.value)]))
  return Date.UTC(at.year, at.month - 1, at.day, at.hour, at.minute, at.second) + (ms % 1000)
}

const dayOf = (ms) => new Date(ms).toISOString().slice(0, 10)
const dayStart = (ms) => ms - (ms % DAY)
const MONTHS = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ')

const monthsOn = (ms, n) => Date.UTC(new Date(ms).getUTCFullYear(), new Date(ms).getUTCMonth() + n)

/** The start of the interval that this civil time is in; hours are asked for by whole days. */
const START = {
  hour: dayStart,
  day: dayStart,
  week: (ms) => dayStart(ms) - new Date(ms).getUTCDay() * DAY, // theirs begin on Sunday, but those of a lifecycle
  lifecycle_week: (ms) => dayStart(ms) - ((new Date(ms).getUTCDay() + 6) % 7) * DAY,
  month: (ms) => monthsOn(ms, 0),
}

/** One end of a range, as a civil day. */
function day(text, { now, first }, otherwise) {
  if (text === undefined || text === null) return dayStart(otherwise)
  if (text === 'all') return dayStart(first)
  const hoursAgo = /^-(\d+)h$/.exec(text)
  if (hoursAgo) return dayStart(now - hoursAgo[1] * HOUR)
  const ago = /^(?:-(\d+))?([dwm])(Start)?$/.exec(text)
  if (ago) {
    const [, n = 0, unit, whole] = ago
    if (unit === 'm') return monthsOn(now, -n) + (whole ? 0 : dayStart(now) - monthsOn(now, 0))
    return dayStart(now) - n * (unit === 'w' ? 7 : 1) * DAY
  }
  const date = /^(\d{4})-(\d{1,2})-(\d{1,2})/.exec(text) ?? skip(`a range from ${text}`)
  return Date.UTC(date[1], date[2] - 1, date[3])
}

// A retention is of whole days, whatever the hour; only in another zone than UTC that day is not told.
const HOURS = /^-\d+h$|^.{10}[ T](?!00:00:00|23:59:59)/
const countsDays = (q) => q.query === 'Retention' || ofLifecycle(q)
const withinADay = (end, q) =>
  HOURS.test(q.filter[end]) && (end === 'date_to' || countsDays(q)) && (q.query !== 'Retention' || q.timezone !== 'UTC')

/** When a range begins on its first day. */
function clockOf(q) {
  const text = q.filter.date_from
  if (!HOURS.test(text) || countsDays(q)) return {}
  const ago = /^-(\d+)h$/.exec(text)
  const at = ago ? instant(q.now) - ago[1] * HOUR : instant(text)
  return { from_time: new Date(at).toISOString().slice(11, 16) }
}

// ---- what we cannot say, by rule ------------------------------------------------------------------------

const ofFunnel = (q) => /^ClickhouseFunnel/.test(q.query)
const ofLifecycle = (q) => q.query === 'Trends' && q.filter.shown_as === 'Lifecycle'
const ofTrend = (q) => q.query === 'Trends' && !ofLifecycle(q)
const people = (q) => q.method === 'get_actors'
const actionsOf = (f) => (f.actions ?? []).map((a) => ({ type: 'actions', ...a }))
const entities = (f) => [...(f.events ?? []), ...actionsOf(f)].sort((a, b) => (a.order ?? 0) - (b.order ?? 0))
const ordered = (q, name, order) => q.query.includes(name) || q.filter.funnel_order_type === order
const orderOf = (q) =>
  ordered(q, 'Unordered', 'unordered') ? 'any' : ordered(q, 'Strict', 'strict') ? 'strict' : 'sequential'

const AT_ONCE = ['ActionsTable', 'ActionsBarValue', 'ActionsPie'] // one value of the whole range
const DISPLAYED = [undefined, null, 'ActionsLineGraph', ...AT_ONCE]
const percentile = (percent) => ({ measure: 'percentile', percentile_bps: percent * 100, nearest_rank: true })
const MEASURES = {
  total: { measure: 'events' },
  dau: { measure: 'persons' },
  sum: { measure: 'sum' },
  avg: { measure: 'average' },
  min: { measure: 'min' },
  max: { measure: 'max' },
  median: { measure: 'median' },
  p90: percentile(90),
  p95: percentile(95),
  p99: percentile(99),
}
const DAILY = ['day', 'week', 'month']
const HOURLY = ['hour', ...DAILY] // trends and funnels
const PERIODS = { Day: 'day', Week: 'week', Month: 'month' }
const BREAKDOWNS = { group: 'group' }
const FILTERS = {
  formula: 'formulas',
  compare: 'the period before, beside it',
  smoothing_intervals: 'smoothing',
  breakdown_histogram_bin_count: 'breakdown by ranges of numbers',
  aggregation_group_type_index: 'groups counted, not persons',
}

const PAGES = { $pageview: '$current_url', $screen: '$screen_name' } // what a node of a path is named by
const pathOf = (q) => q.filter.path_type ?? '$pageview'

/** What this question is that cannot be asked, or something false; every reason is told. */
const CANNOT = [
  (q) => q.query === 'Paths' && !PAGES[pathOf(q)] && `paths of ${pathOf(q)}`,
  (q) => q.query === 'ClickhouseFunnelTimeToConvert' && 'distribution of the times to convert in spans of one length',
  (q) => q.filter.breakdown_attribution_type === 'step' && orderOf(q) === 'any' &&
    'attribution to a step by its name, in any order',
  (q) => q.filter.exclusions?.length > 1 && orderOf(q) === 'any' &&
    'several exclusions in any order, which end ways that begin behind them, too',
  (q) => q.method === 'get_cached_result' && 'a cache of answers',
  (q) => Object.keys(FILTERS).filter((key) => q.filter[key]).map((key) => FILTERS[key]).join(' + '),
  (q) => ofFunnel(q) && entities(q.filter).length === 0 && 'a question without an event',
  (q) => people(q) && !ofFunnel(q) && 'the persons behind a number',
  ({ filter: f }) => f.breakdown && BREAKDOWNS[f.breakdown_type] && `breakdown by ${BREAKDOWNS[f.breakdown_type]}`,
  (q) => ofTrend(q) && !['Volume', undefined].includes(q.filter.shown_as) && `shown as ${q.filter.shown_as}`,
  (q) => ofTrend(q) && entities(q.filter).map((e) => !MEASURES[e.math ?? 'total'] && `measure ${e.math}`).find(Boolean),
  (q) => ofTrend(q) && entities(q.filter).some((e) => /^\$session_/.test(e.math_property)) && 'numbers of sessions',
  (q) => ofTrend(q) && !DISPLAYED.includes(q.filter.display) && `display ${q.filter.display}`,
  (q) => q.filter.breakdown_type === 'cohort' && !ofTrend(q) && 'breakdown by cohort',
  (q) => q.filter.interval && !(ofTrend(q) || ofFunnel(q) ? HOURLY : DAILY).includes(q.filter.interval) && `by ${q.filter.interval}`,
  (q) => !PERIODS[q.filter.period ?? 'Day'] && `by ${q.filter.period.toLowerCase()}`,
  (q) => ['date_from', 'date_to'].some((end) => withinADay(end, q)) && 'a range of parts of days',
  (q) => q.query === 'ClickhouseFunnelTrends' && instant(q.filter.date_to ?? q.now) > instant(q.now) &&
    /[ T]/.test(q.filter.date_to) && 'an interval that is not over',
  (q) => q.active_overrides.some(([name]) => /BY_DISTINCT_IDS/.test(name)) && 'identifiers counted, not persons',
]

export const reasons = (q) => CANNOT.map((rule) => rule(q)).filter(Boolean)

// ---- conditions -------------------------------------------------------------------------------------

const OTHERS = {
  'static-cohort': 'cohorts that are lists',
  group: 'conditions on groups',
  element: 'elements of pages',
  session: 'conditions on sessions',
}

/** How a filter's value stands for one of the property's own type. */
const TYPED = {
  string: String,
  number: Number,
  boolean: (v) => v === true || v === 'true' || v === 'True',
}

const list = (op, many) => (left, values) =>
  values.length === 1 ? { op, left, right: values[0] } : { op: many, left, right: values }
const compared = (op) => (left, values) => ({ op, left, right: values[0] })
const negated = (make) => (left, values) => ({ op: 'not', arg: make(left, values) })
const OPERATORS = {
  exact: list('==', 'in'),
  is_not: list('!=', 'not in'),
  icontains: compared('contains'),
  not_icontains: negated(compared('contains')),
  gt: compared('>'),
  gte: compared('>='),
  lt: compared('<'),
  lte: compared('<='),
  is_set: (left) => ({ op: 'is set', left }),
  is_not_set: (left) => ({ op: 'is missing', left }),
}

/** One case as a world of its own among the others: `tag` is in front of every name. */
export class Place {
  constructor(tag, c, zone) {
    Object.assign(this, { tag, c, zone })
    this.persons = Object.fromEntries(c.persons.flatMap((p) => p.distinct_ids.map((d) => [d, p.id])))
    this.sent = 0
  }

  name(text) {
    return `${this.tag}:${text}`
  }

  /** As a question names it, in a breakdown. */
  property(key, type) {
    return type === 'person' ? `person.${this.name(key)}` : this.name(key)
  }

  time(e) {
    return civil(instant(e.timestamp), this.zone)
  }

  /** With the note "separate team" the event behind "no events" is another team's, which must not count. */
  strange(e) {
    const before = this.c.events[this.c.events.indexOf(e) - 1]
    return this.c.notes.includes('separate team') && before?.event === 'no events'
  }

  /** Events that were not sent yet, of the first `count`. */
  events(count) {
    const given = this.c.events.slice(this.sent, count).filter((e) => !this.strange(e))
    const fresh = given.map((e, i) => ({
      id: this.name(this.sent + i),
      name: this.name(e.event),
      time: new Date(instant(e.timestamp)).toISOString(),
      actor: { kind: 'member', value: this.name(this.persons[e.distinct_id] ?? e.distinct_id) },
      properties: Object.fromEntries(
        Object.entries(e.properties ?? {}).filter(([, v]) => v !== null).map(([k, v]) => [this.name(k), this.value(k, v)]),
      ),
    }))
    this.sent = Math.max(this.sent, count)
    return fresh
  }

  /** What is said of persons, once. */
  opening() {
    if (this.is_open) return []
    this.is_open = true
    const said = this.c.persons.filter((p) => Object.values(p.properties ?? {}).some((v) => v !== null))
    return said.map((p) => ({
      id: this.name(p.id),
      kind: 'attributes',
      time: '2000-01-01T00:00:00Z',
      actor: { kind: 'member', value: this.name(p.id) },
      properties: Object.fromEntries(
        Object.entries(p.properties).filter(([, v]) => v !== null)
          .map(([k, v]) => [this.name(k), this.value(k, v, 'person')]),
      ),
    }))
  }

  cohorts() {
    const any = (groups) => ({ op: 'or', args: groups.map((g) => ({ op: 'and', args: this.conditions(g.properties) })) })
    return this.c.cohorts.map((cohort) => ({ name: this.name(cohort.id), rule: any(cohort.groups) }))
  }

  /** Theirs are all texts; ours have the type of the first one. */
  value(key, v, of = 'event') {
    return this.types(key, of).length > 1 ? String(v) : v
  }

  /** The civil time of an answer's instant. */
  at(start) {
    return civil(Date.parse(start), this.zone)
  }

  values(key, of) {
    const all = of === 'person' ? this.c.persons : this.c.events
    return all.map((e) => e.properties?.[key]).filter((v) => v !== undefined && v !== null)
  }

  types(key, of) {
    return [...new Set(this.values(key, of).map((v) => typeof v))]
  }

  condition({ key, value, operator, type = 'event' }) {
    if (/^(precalculated-)?cohort$/.test(type)) return { segment: this.name(value) }
    if (!['event', 'person'].includes(type)) skip(OTHERS[type] ?? `conditions on ${type}`)
    const make = OPERATORS[operator ?? 'exact'] ?? skip(`condition ${operator}`)
    const seen = this.values(key, type)
    const types = this.types(key, type)
    if (types.length > 1) skip('a property of several types')
    const values = [value].flat().map(TYPED[types[0] ?? 'string'])
    const part = String(values[0])
    const folds = (v) => String(v).toLowerCase().includes(part.toLowerCase()) !== String(v).includes(part)
    if (/icontains/.test(operator) && seen.some(folds)) skip('texts that are the same but for their case')
    return make({ [type === 'person' ? 'person' : 'prop']: this.name(key) }, values)
  }

  /** Filters in any of their forms: a list, a tree with AND and OR, an object of key: value. */
  conditions(filters) {
    if (!filters) return []
    if (Array.isArray(filters)) return filters.flatMap((f) => this.conditions(f))
    if (Array.isArray(filters.values)) {
      const args = filters.values.flatMap((f) => this.conditions(f))
      return args.length === 0 ? [] : [{ op: filters.type === 'OR' ? 'or' : 'and', args }]
    }
    if ('key' in filters && ('value' in filters || 'operator' in filters)) return [this.condition(filters)]
    return Object.entries(filters).map(([word, value]) => {
      const [key, operator] = word.split('__')
      return this.condition({ key, operator, value })
    })
  }

  pick(event, conditions) {
    const all = () => [...new Set(this.c.events.map((e) => this.name(e.event)))]
    return {
      event: event === undefined || event === null ? all() : this.name(event),
      ...(conditions.length > 0 && { where: { op: 'and', args: conditions } }),
    }
  }

  /** The events that an entity of the question means, as a rule of scope step. */
  of(entity, filter) {
    const tests = filter.filter_test_accounts ? this.c.team.test_account_filters : []
    if (filter.filter_test_accounts && tests.length === 0) skip('the filter of test accounts is not in the case')
    const common = this.conditions([filter.properties ?? [], tests, entity.properties ?? []])
    const action = this.c.actions.find((a) => a.id === entity.id && typeof entity.id === 'number')
    if (!action) return this.pick(entity.id, common)
    const picks = action.steps.map((s) => {
      if (s.tag_name || s.text || s.href || s.selector) skip('elements of pages')
      if (s.url) skip('actions by address')
      return this.pick(s.event, [...common, ...this.conditions(s.properties)])
    })
    return picks.length === 1 ? picks[0] : { any_of: picks }
  }

  /** Persons as theirs, a page of them. */
  people(found, { limit = 100, offset = 0 }) {
    const theirs = found.map((value) => value.slice(this.tag.length + 1)).slice(offset, offset + limit)
    return theirs.map((id) => ({ id, distinct_ids: this.c.persons.find((p) => p.id === id)?.distinct_ids }))
  }

  title(entity) {
    return this.c.actions.find((a) => a.id === entity.id)?.name ?? entity.name ?? entity.id
  }

  /** The civil days of a question, and its interval. */
  range(q, { by = q.filter.interval ?? 'day', from = q.filter.date_from } = {}) {
    const now = instant(q.now) // theirs count days back from today as UTC has it
    const clock = { now, first: Math.min(now, ...this.c.events.map((e) => this.time(e))) }
    const to = day(q.filter.date_to, clock, now)
    const start = START[by === 'week' && ofLifecycle(q) ? 'lifecycle_week' : by]
    return { by, from: dayOf(start(day(from, clock, now - 7 * DAY))), to: dayOf(to) }
  }
}

// ---- questions and answers --------------------------------------------------------------------------

const UNITS = { second: 1, minute: 60, hour: 3600, day: 86400, week: 604800 }
const windowOf = (f) =>
  f.funnel_window_interval
    ? f.funnel_window_interval * (UNITS[f.funnel_window_interval_unit ?? 'day'] ?? skip('windows of months'))
    : (f.funnel_window_days ?? 14) * 86400

const ATTRIBUTIONS = { first_touch: 'first_known', last_touch: 'last_known', step: 'step', all_events: 'all' }

/** Theirs puts a person into a series for every value that the step ever had. */
function creditedStep(place, f) {
  const n = Number(f.breakdown_attribution_value)
  const { id } = entities(f)[n]
  const of = (p) => place.c.events.filter((e) => e.event === id && p.distinct_ids.includes(e.distinct_id))
  const combinations = (p) => of(p).map((e) => [f.breakdown].flat().map((key) => e.properties?.[key] ?? ''))
  if (place.c.persons.some((p) => new Set(combinations(p).map(String)).size > 1)) skip('a step with several values')
  return n + 1
}

function breakdownOf(place, f) {
  if (!f.breakdown) return {}
  const attribution = ATTRIBUTIONS[f.breakdown_attribution_type ?? 'first_touch'] ?? skip('another attribution')
  return {
    breakdown: [f.breakdown].flat().map((key) => place.property(key, f.breakdown_type)),
    top: f.breakdown_limit ?? 10,
    attribution,
    ...(attribution === 'step' && { attribution_step: creditedStep(place, f) }),
  }
}

/** Whoever did it between is out, at theirs; but in any order only the way ends there. */
function exclusionsOf(place, q) {
  const f = q.filter
  if (!f.exclusions?.length) return {}
  const exclude = f.exclusions.map((x) => ({
    of: place.of(x, f), from_step: x.funnel_from_step + 1, to_step: x.funnel_to_step + 1,
  }))
  return { exclude, exclude_by: orderOf(q) === 'any' ? 'path' : 'person' }
}

function funnelOf(place, q, by) {
  const f = q.filter
  const { from, to } = place.range(q, { by: by ?? 'day' })
  const steps = entities(f).map((e) => ({ of: place.of(e, f) }))
  const more = { ...breakdownOf(place, f), ...exclusionsOf(place, q), ...(by && { by }) }
  return { steps, from, to, order: orderOf(q), window_s: windowOf(f), ...more }
}

const textOf = ({ value }) => value ?? ''
const valuesOf = (series) => (series.other ? ['Other'] : series.values.map(textOf))

/** Everybody behind one number, in our order. */
async function everybody(question, bar, ask) {
  const found = []
  for (let cursor; ; ) {
    const { people } = await ask({ funnel: question, people: { ...bar, limit: 200, ...(cursor && { cursor }) } })
    found.push(...people.items.map((p) => p.value))
    cursor = people.next
    if (cursor === undefined) {
      assert.equal(found.length, people.persons, 'other persons than their number')
      return found
    }
  }
}

/** The series of a question about people, as our answer has it; null = nobody is in such a one. */
async function seriesOf(question, wanted, ask) {
  if (wanted === undefined || wanted === null || !question.breakdown) return {}
  const { series } = (await ask({ funnel: question })).funnel
  const found = series.find((s) => String(valuesOf(s)) === String([wanted].flat()))
  return found ? { values: found.values, other: found.other } : null
}

/** Those who came exactly so far. */
const stuckAt = (question, bar, n, ask) =>
  n < question.steps.length
    ? everybody(question, { ...bar, step: n + 1, outcome: 'dropped' }, ask)
    : everybody(question, { ...bar, step: n }, ask)

async function reachedOrLost(question, bar, { funnel_step: step, funnel_custom_steps: custom }, ask) {
  if (custom?.length > 0) {
    const groups = []
    for (const n of custom) groups.push(...(await stuckAt(question, bar, n, ask)))
    return groups
  }
  return everybody(question, step > 0 ? { ...bar, step } : { ...bar, step: -step, outcome: 'dropped' }, ask)
}

async function actors(place, q, ask) {
  const question = funnelOf(place, q)
  const bar = await seriesOf(question, q.filter.funnel_step_breakdown, ask)
  const found = bar === null ? [] : await reachedOrLost(question, bar, q.filter, ask)
  return [null, place.people(found, q.filter)]
}

const stepRow = (place, e, i, row, values) => ({
  action_id: e.id,
  name: place.title(e),
  custom_name: null,
  order: i,
  type: e.type ?? 'events',
  count: row.persons,
  average_conversion_time: i > 0 && row.persons > 0 ? row.average_s : null,
  median_conversion_time: i > 0 && row.persons > 0 ? row.median_s : null,
  ...(values && { breakdown: values, breakdown_value: values }),
})

async function funnel(place, q, ask) {
  if (people(q)) return actors(place, q, ask)
  const all = entities(q.filter)
  const question = funnelOf(place, q)
  const { funnel: plain } = await ask({ funnel: question })
  // Times are another way through the engine.
  const { funnel: timed } = await ask({ funnel: { ...question, times: true } })
  const persons = (answer) => [answer, ...(answer.series ?? [])].map((s) => s.steps.map((r) => r.persons))
  assert.deepEqual(persons(timed), persons(plain), 'with times other persons are counted')
  const rows = (series, values) => series.steps.map((row, i) => stepRow(place, all[i], i, row, values))
  if (!timed.series) return rows(timed)
  // Theirs are in the order of their values.
  const order = (a, b) => a.other - b.other || (String(valuesOf(a)) < String(valuesOf(b)) ? -1 : 1)
  return timed.series.sort(order).map((s) => rows(s, valuesOf(s)))
}

/** Of each interval, how many came from one step to another. */
async function funnelOverTime(place, q, ask) {
  const { interval: by = 'day', funnel_from_step: first = 0, entrance_period_start: start, drop_off: lost } = q.filter
  const question = funnelOf(place, q, by)
  if (by === 'day' && Date.parse(question.to) - Date.parse(question.from) >= 400 * DAY) skip('more than 400 intervals')
  const last = q.filter.funnel_to_step ?? question.steps.length - 1
  const { intervals, series } = (await ask({ funnel: question })).funnel
  const rate = ({ persons }) => (persons[first] === 0 ? 0 : Math.round((10000 * persons[last]) / persons[first]) / 100)
  if (!people(q) && series)
    return series.map((s) => ({ breakdown_value: valuesOf(s), data: s.intervals.map(rate) }))
  if (!people(q))
    return intervals.map((row) => ({
      timestamp: dayOf(place.at(row.start)),
      is_period_final: row.complete,
      reached_from_step_count: row.persons[first],
      reached_to_step_count: row.persons[last],
      conversion_rate: rate(row),
    }))
  const interval = intervals.findIndex((row) => place.at(row.start) === instant(start)) + 1
  const reached = await everybody(question, { interval, step: last + 1 }, ask)
  const began = lost ? await everybody(question, { interval, step: first + 1 }, ask) : []
  return [null, place.people(lost ? began.filter((p) => !reached.includes(p)) : reached, q.filter)]
}

const label = (ms, by) => {
  const t = new Date(ms)
  const date = `${t.getUTCDate()}-${MONTHS[t.getUTCMonth()]}-${t.getUTCFullYear()}`
  return by === 'hour' ? `${date} ${t.toISOString().slice(11, 16)}` : date
}
const stamp = (ms, by) => (by === 'hour' ? new Date(ms).toISOString().slice(0, 19).replace('T', ' ') : dayOf(ms))

/** A breakdown by cohorts is a question for each of them. */
async function trendOfCohorts(place, q, ask) {
  const { breakdown, breakdown_type, ...filter } = q.filter
  const ids = typeof breakdown === 'string' ? JSON.parse(breakdown) : [breakdown].flat()
  const results = []
  for (const id of ids) {
    const cohort = place.c.cohorts.find((c) => c.id === id)
    const properties = [filter.properties ?? [], cohort ? [{ key: 'id', value: id, type: 'cohort' }] : []]
    const rows = await trend(place, { ...q, filter: { ...filter, properties } }, ask)
    results.push(...rows.map((r) => ({ ...r, label: `${r.label} - ${cohort?.name ?? 'all users'}`, breakdown_value: id })))
  }
  return results
}

async function trend(place, q, ask) {
  const range = place.range(q)
  const results = []
  const { breakdown, breakdown_type: type } = q.filter
  if (breakdown && type === 'cohort') return trendOfCohorts(place, q, ask)
  for (const e of entities(q.filter)) {
    if (e.math_property && place.types(e.math_property).length > 1) skip('a property of several types')
    const question = {
      ...range,
      of: place.of(e, q.filter),
      ...MEASURES[e.math ?? 'total'],
      ...(e.math_property && { number: place.name(e.math_property) }),
      ...(breakdown && { breakdown: [breakdown].flat().map((k) => place.property(k, type)), top: 25 }),
    }
    const { trend } = await ask({ trend: question })
    const { trend: whole } = await ask({ trend: { ...question, by: 'all' } })
    const times = trend.buckets.map((start) => place.at(start))
    trend.series.forEach((s, i) => {
      if (s.other) return // their answers have no such series
      const [value] = s.values.map((v) => v.value ?? '')
      const data = s.cells.map(Number)
      results.push({
        label: q.filter.breakdown ? `${place.title(e)} - ${value || 'none'}` : place.title(e),
        ...(q.filter.breakdown && { breakdown_value: value }),
        count: data.reduce((sum, n) => sum + n, 0),
        data,
        labels: times.map((t) => label(t, range.by)),
        days: times.map((t) => stamp(t, range.by)),
        ...(AT_ONCE.includes(q.filter.display) && { aggregated_value: Number(whole.series[i].cells[0]) }),
      })
    })
  }
  // Theirs begin with those without a value; of those with equally many events, with the last value.
  const counts = breakdown && entities(q.filter).every((e) => (e.math ?? 'total') === 'total')
  const tie = (a, b) => (counts && a.count === b.count ? (a.breakdown_value < b.breakdown_value ? 1 : -1) : 0)
  return results.sort((a, b) => (b.breakdown_value === '') - (a.breakdown_value === '') || tie(a, b))
}

async function lifecycle(place, q, ask) {
  const answer = await ask({ lifecycle: { ...place.range(q), of: place.of(entities(q.filter)[0], q.filter) } })
  const rows = answer.lifecycle.series[0].intervals
  return ['new', 'returning', 'resurrecting', 'dormant'].map((status) => ({
    status,
    data: rows.map((r) => r[status]),
    days: rows.map((r) => dayOf(place.at(r.start))),
  }))
}

const entity = (given = { id: '$pageview' }) => (typeof given === 'string' ? JSON.parse(given) : given)

async function retention(place, q, ask) {
  const f = q.filter
  const { period = 'Day', total_intervals: count = 11 } = f
  const first = f.retention_type === 'retention_first_time'
  const { by, to: day } = place.range(q, { by: PERIODS[period] })
  const later = (ms, n) => (by === 'month' ? monthsOn(ms, n) : ms + n * (by === 'week' ? 7 : 1) * DAY)
  const last = START[by](Date.parse(day)) // theirs are whole intervals
  const [from, to] = [dayOf(later(last, 1 - count)), dayOf(later(last, 1) - DAY)]
  const answer = await ask({
    retention: {
      by,
      from,
      to,
      start: place.of(entity(f.target_entity), f),
      returns: place.of(entity(f.returning_entity ?? f.target_entity), f),
      cohort: first ? 'first_ever' : 'recurring',
    },
  })
  return answer.retention.series[0].cohorts.map((row, i) => ({
    label: `${period} ${i}`,
    date: new Date(place.at(row.start)).toISOString().replace('.000Z', '+00:00'),
    values: [row.persons, ...row.returned].map((n) => ({ count: n })),
  }))
}

/** Theirs are the ways from step to step, the most frequent first. */
async function paths(place, q, ask) {
  const { from, to } = place.range(q, { by: 'day' })
  const of = place.of({ id: pathOf(q) }, q.filter)
  const { paths: answer } = await ask({ paths: { of, from, to, property: place.name(PAGES[pathOf(q)]), top: 50 } })
  const { steps } = answer
  const name = (step, i) => `${step + 1}_${steps[step].nodes[i].value ?? ''}`
  const ways = steps.flatMap((s, i) =>
    s.edges.map((e) => ({ source: name(i, e.from), target: name(i + 1, e.to), value: e.count })),
  )
  const text = (way) => `${way.source} ${way.target}`
  return ways.sort((a, b) => b.value - a.value || (text(a) < text(b) ? -1 : 1))
}

const KINDS = [
  [(q) => q.query === 'Paths', paths],
  [(q) => q.query.startsWith('ClickhouseFunnelTrends'), funnelOverTime],
  [(q) => ofFunnel(q), funnel],
  [(q) => q.query === 'Retention', retention],
  [(q) => ofLifecycle(q), lifecycle],
  [(q) => q.query === 'Trends', trend],
]

/** The answer to the case's question, in the case's shape. */
export function answerTo(place, q, ask) {
  const [, kind] = KINDS.find(([is]) => is(q)) ?? skip(`questions ${q.query}`)
  const week_start = ofLifecycle(q) ? 'monday' : 'sunday'
  return kind(place, q, (question) => ask({ ...question, zone: place.zone, week_start, ...clockOf(q) }))
}
