// tests/scale/ask.mjs PROGRAM DATA KEY -- starts the server on a large data folder and asks it what people
// ask; prints how long each took.  Exit status 0: everything was answered.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'

const [program, data, key] = process.argv.slice(2)
const began = performance.now()
const server = spawn(program, ['serve', '--listen', '127.0.0.1:0', '--data', data, '--log-level', 'info'], {
  stdio: ['ignore', 'ignore', 'pipe'],
})
process.on('exit', () => server.kill('SIGKILL')) // also when something was not answered
const port = await new Promise((resolve, reject) => {
  let text = ''
  server.stderr.on('data', (bytes) => {
    text += bytes
    const found = /server\.ready .*port=(\d+)/.exec(text)
    if (found) resolve(found[1])
  })
  server.on('exit', () => reject(new Error(text)))
})
const took = (what, since) => console.log(`  ${what}: ${(performance.now() - since).toFixed(0)} ms`)
took('start', began)

async function ask(method, path, body) {
  const since = performance.now()
  const reply = await fetch(`http://127.0.0.1:${port}/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, 'idempotency-key': crypto.randomUUID() },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(300000),
  })
  const answer = await reply.json()
  assert.ok(reply.ok, `${method} ${path}: ${reply.status} ${JSON.stringify(answer)}`)
  took(`${method} ${path}`, since)
  return answer
}

const found = await ask('POST', '/people/search', { q: '2261.0' })
assert.equal(found.items.length, 1)
const id = found.items[0].id
await ask('GET', `/people/${id}`)
const { items } = await ask('GET', `/people/${id}/timeline`)
assert.ok(items.length > 0)
for (const path of ['/people', '/stores', '/overview', '/campaigns']) await ask('GET', path)
server.kill('SIGTERM')
await new Promise((resolve) => server.removeAllListeners('exit').on('exit', resolve))
