// tests/behaviour/suite.mjs [WORD] -- asks every question of cases/ and compares; see README.md.
import { readdirSync, readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { World } from '../http/world.mjs'
import { answerTo, Place, reasons, Skip } from './adapter.mjs'
import { unseen, wrong } from './expect.mjs'

const CLOCK = Date.UTC(2022, 11, 31) // later than every event of every case
const folder = new URL('cases/', import.meta.url)
const word = process.argv[2] ?? ''
const files = readdirSync(folder).filter((name) => name.endsWith('.json.gz'))
const casesOf = (file) => JSON.parse(gunzipSync(readFileSync(new URL(file, folder))))

const world = await World.open({ clock: CLOCK })
process.on('exit', () => world.server.kill()) // also when a case is not understood at all
const ask = (question) => world.want(200, 'POST', '/v1/query', question)

/** An answer, or why there is none. */
async function answer(place, q) {
  const why = reasons(q)
  if (why.length > 0) return { why: why.join(' + ') }
  try {
    const events = [...place.opening(), ...place.events(q.events_so_far)]
    for (const { name, rule } of place.cohorts()) await world.want(200, 'PUT', `/v1/cohorts/${encodeURIComponent(name)}`, { rule })
    if (events.length > 0) await world.want(200, 'POST', '/v1/events', { events })
    return { answer: await answerTo(place, q, ask) }
  } catch (e) {
    if (e instanceof Skip) return { why: e.message }
    return { problem: e.message }
  }
}

/** One case: a verdict per question. */
async function verdicts(tag, c) {
  const places = {}
  const replies = {}
  for (const q of c.queries) {
    const place = (places[q.timezone] ??= new Place(`${tag}${q.timezone}`, c, q.timezone))
    replies[q.call] = await answer(place, q)
  }
  const answers = Object.fromEntries(Object.entries(replies).map(([call, r]) => [call, r.answer]))
  return c.queries.map((q) => ({ name: `${c.id} ${q.call}`, ...verdict(q, replies[q.call], answers) }))
}

/** Of one question: why it is skipped, or its faults and what of it was left out. */
function verdict(q, { why, problem, answer }, answers) {
  if (why) return { why }
  if (problem) return { faults: [problem] }
  const left = q.expect.map((x) => unseen(x, answers)).filter(Boolean)
  const looked = q.expect.filter((x) => !unseen(x, answers))
  if (looked.length === 0) return { why: left[0] }
  return { faults: looked.map((x) => faultOf(x, answer, answers)).filter(Boolean), left: new Set(left) }
}

function faultOf(x, answer, answers) {
  try {
    return wrong(x, answer, answers)
  } catch (e) {
    return `at ${JSON.stringify(x.path)}: ${e.message}`
  }
}

const SIGNS = { passed: 'ok', failed: 'FAIL', skipped: 'skip' }
const count = (counts, key) => (counts[key] = (counts[key] ?? 0) + 1)
const told = (n) => `${n.passed} passed, ${n.failed} failed, ${n.skipped} skipped`
const sum = { passed: 0, failed: 0, skipped: 0 }
const summary = []
for (const [f, file] of files.entries()) {
  const [skipped, left, here] = [{}, {}, { passed: 0, failed: 0, skipped: 0 }]
  for (const [i, c] of casesOf(file).entries()) {
    if (!`${file} ${c.id}`.includes(word)) continue
    for (const v of await verdicts(`${f}.${i}`, c)) {
      const result = v.why ? 'skipped' : v.faults.length > 0 ? 'failed' : 'passed'
      count(here, result)
      count(sum, result)
      if (v.why) count(skipped, v.why)
      v.left?.forEach((what) => count(left, what))
      console.log(`${SIGNS[result]} ${v.name}${v.why ? `: ${v.why}` : ''}`)
      v.faults?.forEach((fault) => console.log(`     ${fault.slice(0, 2000)}`))
    }
  }
  summary.push(`${file.replace('.json.gz', '')}: ${told(here)}`)
  const most = Object.entries(skipped).sort((a, b) => b[1] - a[1])
  summary.push(...most.map(([why, n]) => `    ${n} skipped: ${why}`))
  summary.push(...Object.entries(left).map(([what, n]) => `    ${n} compared without ${what}`))
}
await world.close()
console.log(['', ...summary, '', told(sum)].join('\n'))
process.exitCode = sum.failed > 0 ? 1 : 0
