// bench/events/random.mjs -- random questions with filters and breakdowns, the same for the same seed.
import { dayBack } from './calendar.mjs'

/** How many times faster than DuckDB the like of them is asked to be. */
export const KINDS = { trends: 10, uniques: 10, funnels: 35, retention: 20, segments: 15 }
export const PER_KIND = 50

/** Numbers in [0, 1), by mulberry32. */
function generator(seed) {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

class Chance {
  constructor(seed, world) {
    this.next = generator(seed)
    this.world = world
  }

  below(n) {
    return Math.floor(this.next() * n)
  }

  between(low, high) {
    return low + this.below(high - low + 1)
  }

  one(list) {
    return list[this.below(list.length)]
  }

  some(list, n) {
    const left = [...list]
    return Array.from({ length: n }, () => left.splice(this.below(left.length), 1)[0])
  }

  /** Frequent events more often: those are what people ask about. */
  event() {
    return this.world.names[Math.floor(this.world.names.length * this.next() ** 1.7)]
  }

  events(n) {
    const out = new Set()
    while (out.size < n) out.add(this.event())
    return [...out]
  }

  range(longest) {
    const end = this.below(60)
    return { from: dayBack(end + this.between(6, longest) - 1), to: dayBack(end) }
  }

  comparison() {
    const { world } = this
    const channels = this.some(world.channels, this.between(1, 3))
    const codes = channels.map((name) => world.channels.indexOf(name) + 1)
    const cities = this.some([...Array(40).keys()], this.between(1, 6)).map((n) => n + 1)
    const store = this.between(1, world.stores), fen = this.between(10, 250) * 100
    return this.one([
      { rule: `channel in ${JSON.stringify(channels)}`, sql: `channel in (${codes})` },
      { rule: `channel not in ${JSON.stringify(channels)}`, sql: `channel not in (${codes})` },
      { rule: `city in [${cities.map((n) => `"city ${n}"`)}]`, sql: `city in (${cities})` },
      { rule: 'store is set', sql: 'store <> 0' },
      { rule: `store != "S${String(store).padStart(4, '0')}"`, sql: `store <> ${store}` },
      { rule: `amount > ${(fen / 100).toFixed(2)} CNY`, sql: `amount > ${fen}` },
      { rule: `amount <= ${(fen / 100).toFixed(2)} CNY`, sql: `amount <> 0 and amount <= ${fen}` },
      { rule: 'sku is missing', sql: 'product = 0' },
    ])
  }

  filter() {
    const kind = this.below(10)
    if (kind < 2) return undefined
    const a = this.comparison()
    if (kind < 7) return a
    const b = this.comparison()
    const word = kind === 9 ? 'or' : 'and'
    return { rule: `(${a.rule}) ${word} (${b.rule})`, sql: `(${a.sql}) ${word} (${b.sql})` }
  }

  step() {
    return { event: this.event(), filter: this.filter() }
  }
}

const MAKE = {
  trends: (c, { trend }, title) => {
    const measure = c.one(['events', 'events', 'sum'])
    const event = measure === 'sum' ? c.one(['Order Completed', 'Product Added', 'Order Refunded']) : c.one([c.event(), c.event(), undefined])
    const breakdown = c.one([undefined, 'channel', 'city', 'store', ...(event === undefined ? ['event'] : [])])
    const by = c.one(['day', 'day', 'week', 'hour'])
    return trend(title, { event, filter: c.filter(), ...c.range(by === 'hour' ? 14 : 90), by, measure, breakdown, top: c.one([5, 10, 20]) })
  },
  uniques: (c, { trend }, title) =>
    trend(title, { ...c.step(), ...c.range(60), by: c.one(['day', 'day', 'week']), measure: 'persons',
      breakdown: c.one([undefined, undefined, 'channel', 'city', 'store']), top: c.one([5, 10, 20]) }),
  funnels: (c, { funnel }, title) =>
    funnel(title, { steps: c.events(c.between(2, 5)).map((event) => ({ event, filter: c.one([undefined, c.filter()]) })), ...c.range(60),
      window: c.one([3600, 86400, 3 * 86400, 7 * 86400, 14 * 86400, 30 * 86400]) }),
  retention: (c, { retention }, title) => {
    const by = c.one(['day', 'week'])
    return retention(title, { start: c.step(), returns: c.step(), ...c.range(by === 'day' ? 30 : 90), by, cohort: c.one(['recurring', 'first']) })
  },
  segments: (c, { segment }, title) => {
    const leaf = (not) => {
      const bought = c.below(3) === 0
      return { event: bought ? c.one(['Order Completed', 'Product Added']) : c.event(), filter: c.filter(), days: c.between(3, 120), not,
        count: not ? undefined : c.one([undefined, 2, 3, 5]), sum: !not && bought ? c.between(50, 900) * 100 : undefined }
    }
    const word = c.one(['and', 'and', 'or'])
    return segment(title, { word, leaves: [leaf(false), ...Array.from({ length: c.below(3) }, () => leaf(word === 'and' && c.below(2) === 0))] })
  },
}

export function randomQuestions(kind, world, build) {
  return Array.from({ length: PER_KIND }, (_, i) =>
    MAKE[kind](new Chance(Object.keys(KINDS).indexOf(kind) * 1000 + i + 1, world), build, `random ${kind} ${i + 1}`))
}
