// tests/http/query_left.test.mjs -- questions that nobody waits for any more: whoever asked has hung up, or the server
// stops.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { HOUR, World } from './world.mjs'

const NOON = 1795233600000 // 2026-11-21 12:00 in China
const PEOPLE = 20
const AT_ONCE = 8 // questions: four times as many as there are threads for them

let w
before(async () => {
  w = await World.open({ clock: NOON })
  const events = Array.from({ length: PEOPLE }, (_, i) => ({
    id: `${i}`,
    name: 'Visited',
    time: new Date(NOON - HOUR).toISOString(),
    actor: { kind: 'member', value: `m-${i}` },
    properties: { channel: `c-${i}` },
  }))
  await w.want(200, 'POST', '/v1/events', { events })
})
after(() => w.close())

const quick = { trend: { from: '2026-11-20', to: '2026-11-21', by: 'all', of: '"Visited"' } }

// Takes long without many events: a formula of 63 operations in each of 57,600 cells.
const long = {
  trend: {
    ...{ from: '2026-11-20', to: '2026-11-21', by: 'minute', breakdown: ['channel'], top: PEOPLE },
    ...{ series: [{ of: '"Visited"' }], formula: 'A/7' + '+A/7-A/7'.repeat(31) },
  },
}

const ask = (question, signal) =>
  fetch(`${w.url}/v1/query`, {
    method: 'POST',
    headers: { authorization: `Bearer ${w.key}`, 'content-type': 'application/json' },
    body: JSON.stringify(question),
    signal,
  })

async function took(what) {
  const began = performance.now()
  await what()
  return performance.now() - began
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

test('whoever hangs up ends the question, and its thread takes the next one', async () => {
  const alone = await took(() => w.want(200, 'POST', '/v1/query', long))
  const leaving = new AbortController()
  const kept = w.want(200, 'POST', '/v1/query', long)
  const left = Array.from({ length: AT_ONCE }, () => ask(long, leaving.signal))
  const ends = Promise.allSettled(left)
  await pause(alone / 4)
  leaving.abort()
  for (const end of await ends) assert.equal(end.reason?.name, 'AbortError')
  const next = await took(() => w.want(200, 'POST', '/v1/query', quick))
  assert.ok(next < alone, `${next} ms behind questions of ${alone} ms that nobody waits for`)
  assert.equal((await kept).trend.formula.length, PEOPLE)
})

test('a server that stops ends its questions, and says so', async () => {
  const alone = await took(() => w.want(200, 'POST', '/v1/query', long))
  const replies = Array.from({ length: AT_ONCE }, () => ask(long).then(async (r) => ({ status: r.status, body: await r.json() })))
  const ends = Promise.allSettled(replies)
  await pause(alone / 4)
  const stopped = await took(() => w.stop())
  assert.ok(stopped < alone * 2, `${stopped} ms, with questions of ${alone} ms`)
  const seen = (await ends).map((end) => (end.status === 'fulfilled' ? end.value : { status: 0 }))
  assert.ok(seen.some((r) => r.status === 409 && r.body.code === 'query.stopped'), JSON.stringify(seen.map((r) => r.status)))
  await w.start(NOON)
})

test('a question that takes longer than its own deadline is refused then, and says how to ask again', async () => {
  const alone = await took(() => w.want(200, 'POST', '/v1/query', { ...long, deadline_ms: 60000 }))
  const problem = await w.refused(503, 'query.deadline', 'POST', '/v1/query', { ...long, deadline_ms: 1 })
  assert.match(JSON.stringify(problem), /later deadline_ms/)
  assert.ok((await took(() => w.refused(503, 'query.deadline', 'POST', '/v1/query', { ...long, deadline_ms: 5 }))) < alone)
  await w.refused(400, 'request.range', 'POST', '/v1/query', { ...long, deadline_ms: 0 })
})
