// tests/behaviour/expect.mjs -- what a case expects of an answer: paths into it and comparisons.
import { isDeepStrictEqual } from 'node:util'

const plain = (value) => (value === undefined ? null : JSON.parse(JSON.stringify(value))) // -0 is 0
const same = (a, b) => isDeepStrictEqual(plain(a), plain(b))
const sorted = (values) => values.map((v) => JSON.stringify(v)).sort()
const byText = (key) => (a, b) => (key(a) < key(b) ? -1 : 1)
const rank = (v) => JSON.stringify(v?.breakdown_value ?? v?.[0]?.breakdown ?? v)

const AGGREGATES = {
  '#len': (v) => v.length,
  '#sum': (v) => v.reduce((sum, n) => sum + n, 0),
  '#set': (v) => [...new Set(v)],
  '#sorted': (v) => [...v].sort(byText(rank)),
}

/** The value at a path; undefined where there is none. */
export function dig(value, path) {
  if (path.length === 0 || value === undefined || value === null) return value
  const [step, ...rest] = path
  if (typeof step === 'number') return dig(value[step < 0 ? value.length + step : step], rest)
  if (step?.each) {
    const meant = (v) => step.each.every(([where, op, want]) => OPS[op](dig(v, where), { value: want }))
    // What is said of all of them stands behind what is taken of each.
    const all = rest.findIndex((word) => typeof word === 'string' && AGGREGATES[word])
    const own = all < 0 ? rest : rest.slice(0, all)
    const list = value.filter(meant).map((v) => dig(v, own))
    return all < 0 ? list : dig(list, rest.slice(all))
  }
  if (Array.isArray(step.slice)) return dig(value.slice(step.slice[0] ?? 0, step.slice[1] ?? undefined), rest)
  if (AGGREGATES[step]) return dig(AGGREGATES[step](value), rest)
  if (typeof step !== 'string' || step.startsWith('.')) throw new Error(`a path with ${JSON.stringify(step)}`)
  return dig(value[step], rest)
}

const contains = (got, want) => got?.includes?.(want) || got?.some?.((g) => same(g, want)) || false
const subset = (got, want) => Object.entries(want).every(([k, v]) => same(got?.[k], v))
const ofOther = (compare) => (got, x, others) => compare(got, { value: dig(others[x.other_call], x.other_path) })
const elements = (got, x) => Array.isArray(got) && same(sorted(got), sorted(x.value))
const IGNORED = ['people', 'converted_people_url', 'dropped_people_url']
const given = (step) => Object.fromEntries(Object.entries(step).filter(([k]) => !IGNORED.includes(k)))

const OPS = {
  '==': (got, x) => same(got, x.value),
  '!=': (got, x) => !same(got, x.value),
  '<': (got, x) => got < x.value,
  '>': (got, x) => got > x.value,
  '~=': (got, x) => Math.abs(got - x.value) < 0.5 * 10 ** -(x.places ?? 7),
  same_elements: elements,
  contains: (got, x) => contains(got, x.value),
  not_contains: (got, x) => !contains(got, x.value),
  in: (got, x) => contains(x.value, got),
  truthy: (got) => Boolean(got),
  contains_subset: (got, x) => subset(got, x.value),
  funnel_steps: (got, { value }) => got?.length === value.length && value.every((s, i) => subset(got[i], given(s))),
  lifecycle_statuses: (got, x) => x.value.every((s) => same(got.find((g) => g.status === s.status)?.data, s.data)),
  '==other': ofOther((got, x) => same(got, x.value)),
  '!=other': ofOther((got, x) => !same(got, x.value)),
  same_elementsother: ofOther(elements),
}

/** Why an expectation cannot be looked at: it is about a question without answer. */
export const unseen = (x, answers) =>
  x.other_call !== undefined && answers[x.other_call] === undefined && 'a question that was not asked'

/** Null when the answer is as expected, otherwise what is wrong. */
export function wrong(x, answer, others) {
  const got = dig(answer, x.path)
  const compare = OPS[x.op]
  if (!compare) throw new Error(`an expectation ${x.op}`)
  const chosen = x.path.some((step) => step?.each?.length > 0) // then each of those is meant, and there is one
  if (chosen ? got.length > 0 && got.every((g) => compare(g, x, others)) : compare(got, x, others)) return null
  const want = x.other_call === undefined ? x.value : { call: x.other_call, path: x.other_path }
  return `at ${JSON.stringify(x.path)} expected ${x.op} ${JSON.stringify(want)}, got ${JSON.stringify(plain(got))}`
}
