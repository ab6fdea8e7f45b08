// tests/ops/columns.test.mjs -- the event engine's folder: what the command line says of it, and that losing any
// of it loses nothing.
import assert from 'node:assert/strict'
import { cpSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { openShop, run } from './shop.mjs'

const EVENTS = 1500
let w, folder, want
before(async () => {
  w = await openShop({ arguments: ['--engine-rows', '256'] })
  folder = join(w.data, 'events', 'engine')
  for (let from = 0; from < EVENTS; from += 500) await send('e', from, 500)
  want = await total()
  await w.stop()
})
after(async () => {
  await w.start()
  await w.close()
})

async function send(prefix, from, count) {
  const events = Array.from({ length: count }, (_, i) => ({
    id: `${prefix}${from + i}`,
    name: `Name ${i % 9}`,
    time: new Date(w.now() - ((from + i) % 20) * 86400e3).toISOString(),
    actor: { kind: 'member', value: `m${(from + i) % 77}` },
    properties: { amount: i / 4, channel: i % 3 ? 'web' : 'till' },
  }))
  await w.want(200, 'POST', '/v1/events', { events })
}

/** Asks again while a damaged file is made again, as the answer says. */
// Persons: to count events takes no look at their bytes.
async function total() {
  const trend = { of: 'any event', measure: 'persons', from: '2020-01-01', to: '2100-01-01', by: 'all', breakdown: ['event'], top: 50 }
  for (;;) {
    const r = await w.call('POST', '/v1/query', { trend })
    if (r.status === 200) return r.body.trend.series
    assert.equal(r.status, 503, r.text)
    assert.equal(r.body.code, 'query.mending', r.text)
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

const events = (verb) => run(['events', verb, '--data', w.data, '--log-level', 'off'])
const files = () => readdirSync(folder).sort()

/** Starts the server; what it answers must be what it answered before. */
async function mustAnswerTheSame() {
  const said = w.log.length
  await w.start()
  assert.deepEqual(await total(), want)
  await w.stop()
  return w.log.slice(said)
}

test('stat says what is there, by column', () => {
  const r = events('stat')
  assert.equal(r.status, 0, r.err)
  for (const word of ['amount', 'channel', 'person and time', 'ids', 'per event', '0 still to be read'])
    assert.ok(r.out.includes(word), r.out)
})

test('what has no place in the columns is counted by its reason, also after a start', async () => {
  await w.start()
  const odd = (id, time, properties) => ({ id, name: 'Name 1', time, actor: { kind: 'member', value: 'm1' }, properties })
  await w.want(200, 'POST', '/v1/events', { events: [
    odd('clock', '1971-01-01T00:00:00Z', {}),
    odd('type', new Date(w.now()).toISOString(), { channel: 7 }),
  ] })
  want = await total()
  await w.stop()
  for (let starts = 0; starts < 2; starts++) {
    const r = events('stat')
    assert.match(r.out, /^ +1 events too far from when they were received$/m)
    assert.match(r.out, /^ +1 values of another type than the first one$/m)
    await mustAnswerTheSame()
  }
})

test('beside a running server it looks from outside, and says so', async () => {
  await w.start()
  const r = events('stat')
  assert.equal(r.status, 0, r.err)
  assert.match(r.out, /^The log: 1,515 records,/)
  assert.match(r.out, /^A server has the log/m)
  await w.stop()
})

test('a sound folder is used as it is', async () => {
  assert.equal(events('verify').status, 0)
  assert.doesNotMatch(await mustAnswerTheSame(), /engine_made_again/)
})

test('looking changes nothing in the folder', () => {
  const all = () => files().map((f) => [f, readFileSync(join(folder, f)).toString('base64')])
  writeFileSync(join(folder, '00000000000000000999.part'), 'half')
  const before = all()
  for (const verb of ['stat', 'verify', 'stat']) assert.equal(events(verb).status, 0)
  assert.deepEqual(all(), before)
})

test('damage that a question meets is mended while the server runs', async () => {
  const name = files().find((f) => f.endsWith('.part'))
  const bytes = readFileSync(join(folder, name))
  bytes[300] ^= 0x10
  writeFileSync(join(folder, name), bytes)
  const said = await mustAnswerTheSame()
  assert.match(said, /file_made_again/)
  assert.doesNotMatch(said, /engine_made_again/)
  assert.equal(events('verify').status, 0)
})

test('damage in any file is found and named, and the server makes the columns again', async () => {
  for (const kind of ['.part', '.ids', 'manifest', 'names']) {
    const name = files().filter((f) => f.endsWith(kind)).at(-1)
    const path = join(folder, name)
    const bytes = readFileSync(path)
    bytes[Math.floor(bytes.length / 2)] ^= 0x10
    writeFileSync(path, bytes)
    const r = events('verify')
    assert.equal(r.status, 1, `${name}: ${r.out}`)
    assert.match(r.out, /can be made again/, name)
    if (kind === '.part' || kind === '.ids') assert.ok((r.out + r.err).includes(name.replace(/\..*/, '')), r.out + r.err)
    if (kind !== '.ids') assert.match(await mustAnswerTheSame(), kind === '.part' ? /./ : /engine_made_again/, name)
    rmSync(folder, { recursive: true })
    await mustAnswerTheSame() // made anew for the next kind
  }
})

test('damage in any file of the log is found and named, also in what the next start makes again', async () => {
  const log = join(w.data, 'events', 'log')
  for (const kind of ['.log', 'manifest']) {
    const name = readdirSync(log).filter((f) => f.endsWith(kind)).at(0)
    const good = readFileSync(join(log, name)), bytes = Buffer.from(good)
    bytes[20] ^= 0x10
    writeFileSync(join(log, name), bytes)
    const r = events('verify')
    assert.equal(r.status, 1, `${name}: ${r.out}`)
    assert.ok(r.out.includes(`log/${name} at byte 0`), r.out + r.err)
    assert.deepEqual(readFileSync(join(log, name)), bytes, 'looking has changed it')
    writeFileSync(join(log, name), good)
    assert.equal(events('verify').status, 0)
  }
})

/* Where the last frame of a segment stands. */
const lastFrame = (bytes) => {
  let last = 0
  for (let at = 64; at + 64 <= bytes.length && bytes.readUInt32LE(at) === 0x31464454;) {
    last = at
    at += 64 + Math.ceil(bytes.readUInt32LE(at + 8) / 8) * 8
  }
  return last
}

test('columns keep what the log has lost with the frame that they end at', async () => {
  const sound = join(w.folder, 'sound'), log = join(w.data, 'events', 'log')
  cpSync(w.data, sound, { recursive: true })
  const path = join(log, readdirSync(log).filter((f) => f.endsWith('.log')).at(-1))
  const bytes = readFileSync(path)
  bytes[lastFrame(bytes) + 40] ^= 0x10
  writeFileSync(path, bytes)
  assert.match(events('verify').out, /cannot be read/)
  assert.doesNotMatch(await mustAnswerTheSame(), /engine_made_again/)
  rmSync(w.data, { recursive: true })
  renameSync(sound, w.data)
  assert.equal(events('verify').status, 0)
})

test('a running server is verified, too', async () => {
  await w.start()
  const r = events('verify')
  assert.equal(r.status, 0, r.out + r.err)
  await w.stop()
})

test('a file that is gone, and the whole folder, are made again', async () => {
  rmSync(join(folder, files().find((f) => f.endsWith('.part'))))
  assert.match(await mustAnswerTheSame(), /engine_made_again/)
  rmSync(folder, { recursive: true })
  await mustAnswerTheSame()
})

test('columns of a log that was put back to an older backup and went on are made again', async () => {
  const older = join(w.folder, 'older'), columns = join(w.folder, 'columns')
  cpSync(w.data, older, { recursive: true })
  await w.start()
  await send('lost', 0, 300)
  await w.stop()
  cpSync(folder, columns, { recursive: true })
  rmSync(w.data, { recursive: true })
  renameSync(older, w.data)
  await w.start()
  await send('other', 0, 400) // more than was lost: by their number alone the columns would fit
  want = await total()
  await w.stop()
  rmSync(folder, { recursive: true })
  renameSync(columns, folder)
  assert.match(await mustAnswerTheSame(), /engine_made_again.*another log/)
})

const sell = () => w.want(201, 'POST', '/v1/sales', w.sale(w.shop, [{ product: w.soap.code, amount_fen: 5000 }]))
const health = async () => (await w.want(200, 'GET', '/healthz', undefined, { as: null })).engine
const metric = async (name) => new RegExp(`^tongdian_${name} (\\S+)$`, 'm').exec(await (await fetch(`${w.url}/metrics`)).text())?.[1]
async function sales() {
  const trend = { of: '"Order Completed"', from: '2020-01-01', to: '2100-01-01', by: 'all' }
  return Number((await w.want(200, 'POST', '/v1/query', { trend })).trend.series[0].cells[0])
}
async function mustBeClosed() {
  const r = await w.call('POST', '/v1/query', { trend: { of: 'any event', from: '2020-01-01', to: '2100-01-01' } })
  assert.deepEqual([r.status, r.body.code], [503, 'query.closed'])
}

test('columns that cannot be opened keep questions waiting, not the tills, and are tried again', async () => {
  rmSync(folder, { recursive: true })
  writeFileSync(folder, '') // no folder can be made here
  const stat = events('stat')
  assert.equal(stat.status, 1)
  assert.match(stat.out, /^The log: [\d,]+ events/)
  assert.match(stat.err, /opening the event engine: disk\.failed/)
  await w.start()
  await sell()
  assert.equal(await health(), 'closed')
  assert.equal(await metric('engine_closed'), '1')
  await mustBeClosed()
  rmSync(folder)
  while ((await health()) !== 'ready') await new Promise((next) => setTimeout(next, 200))
  assert.equal(await metric('engine_closed'), '0')
  assert.equal(await metric('engine_behind'), '0')
  const sold = await sales()
  await sell()
  assert.equal(await sales(), sold + 1)
  await w.stop()
})

test('a server without its engine sells, and the next one with it has read what came', async () => {
  const words = w.options.arguments
  await w.start()
  const sold = await sales()
  await w.stop()
  w.options.arguments = ['--engine', '0']
  await w.start()
  await sell()
  assert.equal(await health(), 'off')
  assert.equal(await metric('engine_behind'), undefined)
  await mustBeClosed()
  await w.stop()
  w.options.arguments = words
  await w.start()
  assert.equal(await health(), 'ready')
  assert.equal(await sales(), sold + 1)
  await w.stop()
})
