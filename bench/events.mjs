// bench/events.mjs -- the event engine beside DuckDB and ClickHouse: the same made-up events, the same questions, one
// run.
//
// Needs: bench/events_bench tests/soak
// Peers: clickhouse
// Usage: node bench/events.mjs PROGRAM EVENTS_BENCH SOAK [options]     (normally `./run bench events [options]`)
//   --events N   how many, about (10000000; also TONGDIAN_BENCH_EVENTS)   --quick  a million   --large  100 million
//   --persons N  (a fiftieth of the events)       --rounds N  (5)
//   --kernels NAME  the server computes with avx512, avx2 or plain (auto)
//   --only WORD[,WORD...]  of: questions random cold start ingest changed (all)
//   --fresh      makes the data again             --remove    removes the data of every size, and ends
// TONGDIAN_BENCH_WAYS=1 also says which way to ask each peer was the fastest.
//
// Everything is asked end to end: Tongdian is a real server on a data folder that was loaded through the log, asked with
// POST /v1/query over one kept connection; the time is from the first byte sent to the last one received, the processor's
// that of the whole server.  ClickHouse is asked in the same way.  DuckDB is a process of its own, its time ends when
// all rows are in memory.  All have two threads, and nobody keeps results.
//
// Both peers have integers in place of texts, their rows in every physical order below, and of several ways to say a
// question in SQL the one that was fastest while warming up.  They take turns, question by question, for as many
// rounds as there are; medians are shown.  Every answer must agree in every cell, else the exit status is 1.
//
// Prints tables and writes build/bench.json: [{bench, name, value, unit, peer, peer_value, ratio, is, bound, met}].  What was loaded stays in
// build/bench-data/ for the next run with as many events and persons.
import { begin, buckets, DAY, dayBack, LAST_DAY, NOW, range, within, clickWithin } from './events/calendar.mjs'
import { randomQuestions } from './events/random.mjs'
import { run } from './events/run.mjs'

// ---- the physical orders of the peers --------------------------------------------------------------
//
// DuckDB: three tables; ClickHouse: two.  The columns are those of WorldEvent in bench/events_world.h, 0 = none.

export const DUCKDB_COLUMNS = {
  person: 'UINTEGER', at_s: 'UINTEGER', amount: 'INTEGER', store: 'USMALLINT', product: 'USMALLINT', city: 'USMALLINT',
  name: 'UTINYINT', channel: 'UTINYINT',
}
export const DUCKDB_ORDERS = { e: 'name, at_s', t: 'at_s, person', p: 'person, at_s' }

export const CLICKHOUSE_COLUMNS = {
  person: 'UInt32', ts: 'DateTime', amount: 'Int32', store: 'UInt16', product: 'UInt16', city: 'UInt16',
  name: 'UInt8', channel: 'UInt8',
}
export const CLICKHOUSE_ORDERS = { e: '(name, day, person)', p: '(person, ts)' } // day Date default toDate(ts)

// ---- answers ---------------------------------------------------------------------------------------
//
// An answer is its cells that are not zero, each a line of numbers.

const cells = (lines) => lines.filter((line) => Number(line.at(-1)) !== 0).map((line) => line.join(' ')).sort()
const numbers = (rows) => cells(rows.map((row) => row.map(Number)))
const cumulated = (rows, depth) => {
  const out = new Map()
  for (const row of rows.map((r) => r.map(Number))) {
    const [n, level] = [row.at(-1), row.at(-2)]
    for (let step = 0; step < level && step < depth; step++) {
      const key = [...row.slice(0, -2), step].join(' ')
      out.set(key, (out.get(key) ?? 0) + n)
    }
  }
  return cells([...out].map(([key, n]) => [key, n]))
}

// ---- questions: what Tongdian is asked, and the peers' SQL ------------------------------------------
//
// {name, ask, ours(replies), sql, theirs(rows), click, clicks(rows)}: the requests that together are the question, the
// answer as cells; for each peer the ways to ask it and the answer as cells.  `forms`: {ask, ours} that a server may not
// know; the first one that it does is asked instead, and without any the question counts as not there yet.  `least`:
// how many times faster than DuckDB the answer should be.

export function questionsOf(world) {
  const code = (name) => world.names.indexOf(name)
  const OTHER = -1, ALL = '1 = 1'
  const quoted = JSON.stringify

  /** A step of the rule language.  `filter`: {rule, sql}. */
  const step = ({ event, filter }) =>
    (event === undefined ? 'any event' : quoted(event)) + (filter ? ` where ${filter.rule}` : '')
  const stepSql = ({ event, filter }) =>
    [event === undefined ? [] : `name = ${code(event)}`, filter ? `(${filter.sql})` : []].flat().join(' and ') || ALL

  const keyOf = {
    event: (text) => code(text),
    channel: (text) => world.channels.indexOf(text) + 1,
    city: (text) => Number(text.slice(5)),
    store: (text) => Number(text.slice(1)),
  }
  const column = { event: 'name', channel: 'channel', city: 'city', store: 'store' }
  const fen = (text) => BigInt(text.replace('.', ''))

  function trend(title, { event, filter, from, to, by = 'day', measure = 'events', breakdown, top = 50 }) {
    const { sql: bucket, click: clickBucket } = buckets({ from, to, by })
    const where = `where ${within({ from, to })} and ${stepSql({ event, filter })}`
    const clickWhere = `where ${clickWithin({ from, to })} and ${stepSql({ event, filter })}`
    const key = breakdown === undefined ? '0' : column[breakdown]
    const value = { events: 'count(*)', persons: 'count(distinct person)', sum: 'sum(amount)' }[measure]
    const clickValue = { events: 'count()', persons: 'uniqExact(person)', sum: 'sum(amount)' }[measure]
    const tops = (table) => `with top as (select ${key} as k from ${table} ${where} group by k order by count(*) desc limit ${top})`
    const limited = breakdown !== undefined && top < 30
    const clickKey = limited ? `if(${key} in (select ${key} from e ${clickWhere} group by ${key} order by count() desc limit ${top}),
      toInt32(${key}), toInt32(${OTHER}))` : key
    const sql = {}
    for (const [order, table] of Object.entries(event === undefined ? { 'time order': 't', 'event order': 'e' } : { 'event order': 'e' }))
      sql[order] = limited
        ? `${tops(table)} select coalesce(top.k, ${OTHER}) as key, bucket, ${value} from (select ${key} as k, ${bucket} as bucket,
            person, amount from ${table} ${where}) left join top using (k) group by all`
        : `select ${key} as key, ${bucket} as bucket, ${value} from ${table} ${where} group by all`
    if (measure === 'sum' && limited)
      sql['one pass'] = `with g as materialized (select ${bucket} as bucket, ${key} as k, sum(amount) as v, count(*) as n from e ${where}
          group by all), top as (select k from g group by k order by sum(n) desc limit ${top})
        select coalesce(top.k, ${OTHER}) as key, bucket, sum(v) from g left join top using (k) group by all`
    if (measure === 'persons' && !limited)
      sql['distinct, then count'] = `select key, bucket, count(*) from (select distinct ${key} as key, ${bucket} as bucket, person
        from e ${where}) group by all`
    if (measure === 'persons' && breakdown === undefined && buckets({ from, to, by }).count <= 32)
      sql['a bit per bucket'] = `with b as (select person, bit_or(1::uinteger << (${bucket})::uinteger) as m from e ${where}
        group by person) select 0, d, (select count(*) from b where (m >> d::uinteger) & 1 = 1) from range(32) r(d)`
    const question = { of: step({ event, filter }), from, to, by, measure }
    if (breakdown !== undefined) Object.assign(question, { breakdown: [breakdown], top })
    if (measure === 'sum') question.number = 'amount'
    return {
      name: title,
      ask: [{ trend: question }],
      ours: ([{ trend: { series } }]) => cells(series.flatMap(({ values, other, cells: row }) => {
        const label = other ? OTHER : breakdown === undefined || values[0].value === null ? 0 : keyOf[breakdown](values[0].value)
        return row.map((n, i) => [label, i, measure === 'sum' ? fen(n) : n])
      })),
      sql,
      theirs: numbers,
      click: { 'event order': `select ${clickKey} as key, ${clickBucket} as bucket, ${clickValue} from e ${clickWhere} group by key, bucket` },
      clicks: numbers,
      topSql: limited ? `select count(*) as n from e ${where} group by ${key} order by n desc limit ${top + 1}` : undefined,
      withTop: (clear) => trend(title, { event, filter, from, to, by, measure, breakdown, top: clear }),
    }
  }

  // Each event of a step looks for the last event of the step before it, and inherits its start.
  function asofFunnel(steps, span, window, same) {
    const source = (s, more) =>
      `select person, ${same.map((c) => `${c}, `).join('')}at_s from e where ${stepSql(s)} and ${within(span, more)}`
    const keys = same.map((c) => `, s.${c}`).join('')
    const on = same.map((c) => ` and s.${c} = l.${c}`).join('')
    const levels = steps.slice(1).map((s, i) => {
      const start = i === 0 ? 'l.at_s' : 'l.start'
      return `l${i + 2} as materialized (select s.person${keys}, s.at_s, ${start} as start from (${source(s, window)}) s
        asof join l${i + 1} l on s.person = l.person${on} and s.at_s >= l.at_s where s.at_s - ${start} <= ${window})`
    })
    const totals = steps.map((_, i) => `select ${[...same, i].join(', ')}, count(distinct person) from l${i + 1} group by all`)
    return `with ${[`l1 as materialized (${source(steps[0], 0)})`, ...levels].join(', ')} ${totals.join(' union all ')}`
  }

  // The same by running maxima over each person's events.
  function windowFunnel(steps, span, window, same) {
    const over = `over (partition by ${['person', ...same].join(', ')} order by at_s)`
    const is = steps.map((s, i) => `(${stepSql(s)}${i === 0 ? ` and at_s < ${begin(span.to) + DAY}` : ''})`)
    const levels = steps.slice(0, -1).map((_, i) => {
      const reached = i === 0 ? is[0] : `${is[i]} and at_s - a${i} <= ${window}`
      return `x${i + 1} as (select *, max(case when ${reached} then ${i === 0 ? 'at_s' : `a${i}`} end) ${over} as a${i + 1} from x${i})`
    })
    const totals = steps.map((_, i) => `select ${[...same, i].join(', ')}, count(distinct person) from y where ${is[i]}
      ${i === 0 ? '' : `and at_s - a${i} <= ${window}`} group by all`)
    return `with ${[`x0 as (select * from e where ${within(span, window)} and (${is.join(' or ')}))`, ...levels].join(', ')},
      y as materialized (select * from x${steps.length - 1}) ${totals.join(' union all ')}`
  }

  function clickFunnel(table, steps, span, window, same) {
    const is = steps.map((s, i) => `${stepSql(s)}${i === 0 ? ` and ts < toDateTime(${begin(span.to) + DAY})` : ''}`)
    return `select ${[...same, 'l'].join(', ')}, count() from (select ${['person', ...same].join(', ')}, windowFunnel(${window})(ts, ${is.join(', ')}) as l
      from ${table} where ${clickWithin(span, window)} and name in (${steps.map((s) => code(s.event))}) group by ${['person', ...same].join(', ')})
      group by ${[...same, 'l'].join(', ')}`
  }

  /** `same`: a property that stays the same over all steps. */
  function funnel(title, { steps, from, to, window, same }) {
    const held = same === undefined ? [] : [column[same]]
    const span = { from, to }
    const values = same === undefined ? [undefined] : world.channels
    const one = (value) => ({ funnel: { from, to, window_s: window, steps: steps.map(({ event, filter }) => {
      const both = [filter?.rule, value === undefined ? undefined : `${same} == ${quoted(value)}`].filter(Boolean)
      return { of: step({ event, filter: both.length > 0 ? { rule: both.join(' and ') } : undefined }) }
    }) } })
    const holding = {
      ask: [{ funnel: { ...one().funnel, hold_constant: [same], breakdown: [same], attribution: 'all', top: values.length } }],
      ours: ([{ funnel: { series } }]) => cells(series.flatMap(({ values: [{ value }], steps: rows }) =>
        rows.map(({ persons }, level) => [keyOf[same](value), level, persons]))),
    }
    return {
      name: title,
      forms: same === undefined ? [] : [holding], // else a funnel per value
      ask: values.map(one),
      ours: (replies) => cells(replies.flatMap(({ funnel: { steps: rows } }, i) =>
        rows.map(({ persons }, level) => (same === undefined ? [level, persons] : [i + 1, level, persons])))),
      sql: { 'asof joins': asofFunnel(steps, span, window, held), 'running maxima': windowFunnel(steps, span, window, held) },
      theirs: numbers,
      click: {
        'event order': clickFunnel('e', steps, span, window, held),
        'person order': clickFunnel('p', steps, span, window, held),
      },
      clicks: (rows) => cumulated(rows, steps.length),
    }
  }

  function retention(title, { start, returns, from, to, by = 'week', cohort = 'recurring' }) {
    const { sql: interval, click: clickInterval, count } = buckets({ from, to, by })
    const [s, r] = [stepSql(start), stepSql(returns)]
    const any = s === ALL
    const first = cohort === 'first'
    const bits = (table) => `with g as (select person, ${first ? `1::ubigint << (min(${interval}) filter (${s}))::ubigint`
      : `bit_or(case when ${s} then 1::ubigint << ${interval}::ubigint else 0 end)`} as s,
        bit_or(case when ${r} then 1::ubigint << ${interval}::ubigint else 0 end) as r
        from ${table} where ${within({ from, to })} and (${s} or ${r}) group by person),
      c as (select s, r, count(*) as n from g where s > 0 group by all)
      select i, k, sum(n) from c, range(${count}) a(i), range(${count}) b(k) where i + k < ${count} and (s >> i::ubigint) & 1 = 1
      and (k = 0 or (r >> (i + k)::ubigint) & 1 = 1) group by all`
    const joined = `with s as materialized (select person, ${first ? `min(${interval}) as i` : `${interval} as i`} from e
        where ${within({ from, to })} and ${s} group by ${first ? 'person' : 'all'}),
      r as (select distinct person, ${interval} as j from e where ${within({ from, to })} and ${r})
      select i, 0, count(*) from s group by i union all select i, j - i, count(*) from s join r using (person) where j > i group by all`
    const shift = (what) => `groupBitOr(if(${what}, bitShiftLeft(toUInt64(1), toUInt8(${clickInterval})), toUInt64(0)))`
    const clickBits = (table) => `select i, k, sum(n) from (select toUInt8(arrayJoin(range(${count}))) as i, s, r, n from (
        select s, r, count() as n from (select person, ${shift(s)} as s, ${shift(r)} as r
          from ${table} where ${clickWithin({ from, to })} ${any ? '' : `and (${s} or ${r})`} group by person) group by s, r))
      array join range(${count}) as k where i + k < ${count} and bitAnd(bitShiftRight(s, i), 1) = 1
        and (k = 0 or bitAnd(bitShiftRight(r, toUInt8(i + k)), 1) = 1) group by i, k`
    return {
      name: title,
      ask: [{ retention: { start: step(start), returns: step(returns), from, to, by, cohort } }],
      ours: ([{ retention: { series: [{ cohorts }] } }]) =>
        cells(cohorts.flatMap(({ persons, returned }, i) => [persons, ...returned].map((n, k) => [i, k, n]))),
      sql: any ? { 'bits, person order': bits('p'), 'bits, time order': bits('t') }
        : { 'bits, event order': bits('e'), 'distinct and join': joined },
      theirs: numbers,
      click: any ? { 'bits, person order': clickBits('p') } : { 'bits, event order': clickBits('e') },
      clicks: numbers,
    }
  }

  /** Leaves {event, filter, days, count, sum, not}, joined by `word`.  `sum` in fen. */
  function segment(title, { leaves, word = 'and' }) {
    const rule = leaves.map(({ event, filter, days, count, sum, not }) => {
      const having = [count ? `, count >= ${count}` : '', sum ? `, sum(amount) > ${(sum / 100).toFixed(2)} CNY` : ''].join('')
      return `${not ? 'not ' : ''}did(${step({ event, filter })}, within ${days}d${having})`
    })
    const is = (leaf) => `(${stepSql(leaf)} and at_s > ${NOW - leaf.days * DAY} and at_s <= ${NOW})`
    const clickIs = (leaf) => `(${stepSql(leaf)} and ts > toDateTime(${NOW - leaf.days * DAY}) and ts <= toDateTime(${NOW}))`
    const holds = (leaf) => `(count(*) filter (${is(leaf)}) ${leaf.not ? '= 0' : `>= ${leaf.count ?? 1}`}
      ${leaf.sum ? `and coalesce(sum(amount) filter (${is(leaf)}), 0) > ${leaf.sum}` : ''})`
    const clickHolds = (leaf) => `(countIf(${clickIs(leaf)}) ${leaf.not ? '= 0' : `>= ${leaf.count ?? 1}`}
      ${leaf.sum ? `and sumIf(amount, ${clickIs(leaf)}) > ${leaf.sum}` : ''})`
    const persons = (leaf) => `select person from e where ${is(leaf)} group by person having count(*) >= ${leaf.count ?? 1}
      ${leaf.sum ? `and sum(amount) > ${leaf.sum}` : ''}`
    const did = leaves.filter((leaf) => !leaf.not)
    const sql = { 'one pass': `select count(*) from (select person from e where ${leaves.map(is).join(' or ')} group by person
      having ${leaves.map(holds).join(` ${word} `)})` }
    if (word === 'and')
      sql['semi and anti joins'] = `select count(*) from (${persons(did[0])}) o ${leaves.filter((leaf) => leaf !== did[0])
        .map((leaf) => `${leaf.not ? 'anti' : 'semi'} join (${persons(leaf)}) using (person)`).join(' ')}`
    return {
      name: title,
      ask: [{ segment: { of: rule.join(` ${word} `) } }],
      ours: ([{ segment: { persons: n } }]) => [String(n)],
      sql,
      theirs: (rows) => [String(rows[0][0])],
      click: { 'one pass': `select count() from (select person from e where ${leaves.map(clickIs).join(' or ')} group by person
        having ${leaves.map(clickHolds).join(` ${word} `)})` },
      clicks: (rows) => [String(rows[0][0])],
    }
  }

  /** What people did next within half an hour: the twenty most frequent pairs, by how often. */
  function paths(title, { from, to, gap, top }) {
    const next = (table) => `select name, next, count(*) as n from (select name, at_s, lead(name) over w as next, lead(at_s) over w as next_s
      from ${table} where ${within({ from, to })} window w as (partition by person order by at_s)) where next_s - at_s <= ${gap}
      group by all order by n desc limit ${top}`
    return {
      name: title,
      forms: [{
        ask: [{ transitions: { from, to, gap_s: gap, collapse: false, top } }],
        ours: ([{ transitions: { rows } }]) => cells(rows.map((row) => [code(row.from), code(row.to), row.count])),
      }],
      sql: { 'time order': next('t'), 'person order': next('p') },
      theirs: numbers,
      click: { 'person order': `select pair.1 as a, pair.2 as b, count() as n from (select arrayJoin(arrayFilter(x -> x.3 <= ${gap},
        arrayMap((x, y) -> (x.2, y.2, y.1 - x.1), arrayPopBack(s), arrayPopFront(s)))) as pair from (
          select person, arraySort(groupArray((toUInt32(ts), name))) as s from p where ${clickWithin({ from, to })} group by person))
        group by a, b order by n desc limit ${top}` },
      clicks: numbers,
    }
  }

  const TOUCHES = ['Push Clicked', 'Ad Clicked', 'SMS Clicked', 'Email Clicked']

  /** Orders and their amounts by the channel of the last touch within a week before. */
  function touch(title, { from, to, look }) {
    const touched = TOUCHES.map(code)
    const order = code('Order Completed')
    return {
      name: title,
      forms: [{
        ask: [{ touch: { conversion: quoted('Order Completed'), touch: `[${TOUCHES.map(quoted).join(', ')}]`, from, to,
          look_back_s: look, model: 'last', breakdown: ['channel'], number: 'amount' } }],
        ours: ([{ touch: { rows, direct } }]) => cells([
          [0, direct.conversions, fen(direct.credit)],
          ...rows.map(({ values: [{ value }], conversions, credit }) => [keyOf.channel(value), conversions, fen(credit)]),
        ]),
      }],
      sql: { 'asof join': `with o as (select person, at_s, amount from e where name = ${order} and ${within({ from, to })}),
        c as (select person, at_s, channel from e where name in (${touched}) and at_s >= ${begin(from) - look} and at_s < ${begin(to) + DAY})
        select case when o.at_s - c.at_s <= ${look} then channel else 0 end as credited, count(*), sum(o.amount)
        from o asof left join c on o.person = c.person and o.at_s >= c.at_s group by credited` },
      theirs: numbers,
      click: { 'event order': `select credited, count(), sum(amount) from (select o.2 as amount, arrayFirst(z -> z.1 <= o.1, touches) as last,
        if(last.1 > 0 and o.1 - last.1 <= ${look}, last.2, 0) as credited from (
          select person, groupArrayIf((toUInt32(ts), amount), name = ${order}) as orders,
            arrayReverseSort(groupArrayIf((toUInt32(ts), channel), name != ${order})) as touches from e
          where (name = ${order} and ${clickWithin({ from, to })}) or (name in (${touched})
            and ts >= toDateTime(${begin(from) - look}) and ts < toDateTime(${begin(to) + DAY})) group by person)
        array join orders as o) group by credited` },
      clicks: numbers,
    }
  }

  return { trend, funnel, retention, segment, paths, touch }
}

// ---- the eight questions, and what they are beside --------------------------------------------------

export function eight(world) {
  const { trend, funnel, retention, segment, paths, touch } = questionsOf(world)
  const codes = (names) => names.map((name) => world.channels.indexOf(name) + 1)
  const inChannels = (...names) => ({ rule: `channel in ${JSON.stringify(names)}`, sql: `channel in (${codes(names)})` })
  const some = inChannels('web', 'mini-program')
  const three = ['Product Viewed', 'Product Added', 'Order Completed'].map((event) => ({ event }))
  const six = ['App Opened', 'Coupon Claimed', 'Beacon Seen', 'Store Visited', 'Coupon Redeemed', 'Order Completed']
    .map((event) => ({ event }))
  const month = range(30), quarter = range(90)
  const weeks = { from: dayBack(13 * 7 - 1), to: LAST_DAY }, all = { from: dayBack(25 * 7 - 1), to: LAST_DAY }
  const viewed = { event: 'Product Viewed', measure: 'persons' }
  const list = [
    [10, trend('counts by event name and day, 30 days', { ...month, breakdown: 'event' })],
    [10, trend('persons per day, one event, 30 days', { ...month, ...viewed })],
    [10, trend('the same in 2 of 7 channels', { ...month, ...viewed, filter: some })],
    [10, trend('sales by day and city, top 10 and other, 30 days', { ...month, event: 'Order Completed', measure: 'sum', breakdown: 'city', top: 10 })],
    [35, funnel('funnel of 3 steps within 7 days, 30 days', { ...month, steps: three, window: 7 * DAY })],
    [20, funnel('the same by channel, held constant', { ...month, steps: three, window: 7 * DAY, same: 'channel' })],
    [20, funnel('funnel of 6 steps on- and offline, 14 of 90 days', { ...quarter, steps: six, window: 14 * DAY })],
    [20, funnel('funnel of 3 steps within 30 days, 90 days', { ...quarter, steps: three, window: 30 * DAY })],
    [20, retention('weekly retention of two events in 2 of 7 channels', { ...weeks, start: { event: 'Product Viewed', filter: some },
      returns: { event: 'Order Completed', filter: some } })],
    [100, retention('weekly retention of any activity, 25 weeks', { ...all, start: {}, returns: {} })],
    [15, segment('segment: orders, their sum, and no visit', { leaves: [
      { event: 'Order Completed', days: 90, count: 2, sum: 30000 }, { event: 'Store Visited', days: 30, not: true }] })],
    [35, paths('next event within 30 minutes, top 20, 30 days', { ...month, gap: 1800, top: 20 })],
    [8, touch('orders by last touch within 7 days, 90 days', { ...quarter, look: 7 * DAY })],
  ]
  return list.map(([least, question]) => ({ ...question, least }))
}

// ---- the run ---------------------------------------------------------------------------------------

await run({ eight, random: (world, kind) => randomQuestions(kind, world, questionsOf(world)),
  orders: { DUCKDB_COLUMNS, DUCKDB_ORDERS, CLICKHOUSE_COLUMNS, CLICKHOUSE_ORDERS }, now: NOW })
