// bench/events/calendar.mjs -- days, weeks and "now", as instants and as the peers' SQL.
//
// The chain's days begin at midnight in UTC+8.  The last whole one is the world's last but one; "now" is its end.

export const DAY = 86400
const WEEK = 7 * DAY
const OFFSET = 8 * 3600
export const LAST_DAY = '2025-06-29' // a Sunday
export const NOW = Date.UTC(2025, 5, 30) / 1000 - OFFSET

/** The day that lies `back` before the last one. */
export const dayBack = (back) => new Date(Date.parse(LAST_DAY) - back * DAY * 1000).toISOString().slice(0, 10)
export const begin = (day) => Date.parse(day) / 1000 - OFFSET
export const range = (days) => ({ from: dayBack(days - 1), to: LAST_DAY })
export const within = ({ from, to }, more = 0) => `at_s >= ${begin(from)} and at_s < ${begin(to) + DAY + more}`
export const clickWithin = ({ from, to }, more = 0) => {
  const [a, b] = [begin(from), begin(to) + DAY + more]
  return `ts >= toDateTime(${a}) and ts < toDateTime(${b}) and day >= toDate(toDateTime(${a})) and day <= toDate(toDateTime(${b}))`
}

/** The number of the bucket that at_s lies in, from 0, and how many there are.  Weeks begin on Mondays. */
export function buckets({ from, to, by }) {
  const size = { hour: 3600, day: DAY, week: WEEK }[by]
  const start = by === 'week' ? begin(from) - ((new Date(from).getUTCDay() + 6) % 7) * DAY : begin(from)
  return { sql: `((at_s - ${start}) // ${size})`, click: `intDiv(toUInt32(ts) - ${start}, ${size})`,
    count: Math.ceil((begin(to) + DAY - start) / size) }
}
