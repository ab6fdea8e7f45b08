// tests/http/odd.test.mjs -- odd events over the wire: what is wrong is named and costs nobody else, what is only odd
// comes back as it was sent, what is too much is counted.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { DAY, World } from './world.mjs'

const NOON = 1795233600000 // 2026-11-21 12:00 in China
const WEEK = { from: '2026-11-15', to: '2026-11-21' }

let w
before(async () => (w = await World.open({ clock: NOON })))
after(() => w.close())

const ask = (question) => w.want(200, 'POST', '/v1/query', question)
const trend = async (fields) => (await ask({ trend: { ...WEEK, by: 'all', ...fields } })).trend
const total = async (of, fields = {}) => (await trend({ of, ...fields })).series[0].cells[0]
/** A text in the rule language. */
const quoted = (text) =>
  `"${text.replace(/[\\"]/g, '\\$&').replace(/[\u0000-\u001f\u007f]/g, (c) => `\\u{${c.codePointAt(0).toString(16)}}`)}"`

let count = 0
const event = (fields = {}) => ({
  id: `odd-${count++}`,
  name: 'Seen',
  time: new Date(NOON - DAY).toISOString(),
  actor: { kind: 'member', value: `m-${count % 7}` },
  ...fields,
})
const send = (events, options) => w.want(200, 'POST', '/v1/events', { events }, options)
async function sendAll(events) {
  for (let from = 0; from < events.length; from += 2000) {
    const receipt = await send(events.slice(from, from + 2000))
    assert.deepEqual(receipt.refused, [])
  }
}

/** What `events stat` says of the reason; the server is stopped meanwhile. */
async function keptAside(words) {
  await w.stop()
  const said = w.command(['events', 'stat', '--log-level', 'off'])
  await w.start(NOON)
  const line = said.split('\n').find((l) => l.includes(words))
  return line === undefined ? 0 : Number(line.trim().split(' ')[0].replace(/\D/g, ''))
}

// ---- what is wrong ----------------------------------------------------------------------------------

const many = (n, make) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`p${i}`, make(i)]))
const nested = (depth) => (depth === 0 ? 1 : [nested(depth - 1)])
const bytes = (...parts) => Buffer.concat(parts.map((p) => (typeof p === 'string' ? Buffer.from(p) : Buffer.from(p))))

/** [what, the event's JSON as bytes or an event, its code]: `%` stands for an id. */
const WRONG = [
  ['a name with U+0000', '{"id":"%","name":"a\\u0000b"}', 'event.text'],
  ['a name that is no UTF-8', bytes('{"id":"%","name":"a', [0xff, 0xfe], '"}'), 'event.text'],
  ['a name with half an emoji', '{"id":"%","name":"\\ud83d"}', 'event.text'],
  ['the other half', '{"id":"%","name":"\\ude00 x"}', 'event.text'],
  ['an overlong encoding', bytes('{"id":"%","name":"', [0xc0, 0x80], '"}'), 'event.text'],
  ['an encoded surrogate', bytes('{"id":"%","name":"', [0xed, 0xa0, 0x80], '"}'), 'event.text'],
  ['a value with U+0000', '{"id":"%","name":"Seen","properties":{"a":"\\u0000"}}', 'event.text'],
  ['a value with half an emoji', '{"id":"%","name":"Seen","properties":{"a":"\\ud83d"}}', 'event.text'],
  ['a property name with U+0000', '{"id":"%","name":"Seen","properties":{"a\\u0000":1}}', 'event.text'],
  ['a property name with half an emoji', '{"id":"%","name":"Seen","properties":{"\\udc00":1}}', 'event.text'],
  ['a property name that is no UTF-8', bytes('{"id":"%","name":"Seen","properties":{"', [0x80], '":1}}'), 'event.text'],
  ['a text of a list with U+0000', '{"id":"%","name":"Seen","properties":{"a":["b","\\u0000"]}}', 'event.text'],
  ['a text of a record with half an emoji', '{"id":"%","name":"Seen","properties":{"a":[{"b":"\\ud800"}]}}', 'event.text'],
  ['a context that is no UTF-8', bytes('{"id":"%","name":"Seen","context":{"a":"', [0xe4, 0xb8], '"}}'), 'event.text'],
  ['an id with U+0000', '{"id":"%\\u0000","name":"Seen"}', 'event.text'],
  ['an actor with U+0000', '{"id":"%","name":"Seen","actor":{"kind":"member","value":"\\u0000"}}', 'event.text'],
  ['a store with half an emoji', '{"id":"%","name":"Seen","store":"\\ud800"}', 'event.text'],
  ['a name of 256 bytes', { name: 'n'.repeat(256) }, 'event.length'],
  ['a name of a megabyte', { name: 'n'.repeat(1 << 20) }, 'event.length'],
  ['a value of a megabyte', { properties: { a: 'v'.repeat(1 << 20) } }, 'event.length'],
  ['a value of 32,769 bytes', { properties: { a: 'v'.repeat(32769) } }, 'event.length'],
  ['a property name of 256 bytes', { properties: { ['p'.repeat(256)]: 1 } }, 'event.length'],
  ['a property without a name', { properties: { '': 1 } }, undefined],
  ['an id of 256 bytes', { id: 'i'.repeat(256) }, 'event.length'],
  ['an actor of 256 bytes', { actor: { kind: 'member', value: 'a'.repeat(256) } }, 'event.length'],
  ['a store of 65 bytes', { store: 's'.repeat(65) }, 'event.length'],
  ['more than 512 KiB', { properties: many(20, () => 'v'.repeat(30000)) }, 'event.size'],
  ['257 properties', { properties: many(257, (i) => i) }, 'event.count'],
  ['257 of context', { context: many(257, (i) => i) }, 'event.count'],
  ['1,001 texts', { properties: { a: Array(1001).fill('t') } }, 'event.count'],
  ['2,001 records', { properties: { a: Array(2001).fill({ b: 1 }) } }, 'event.count'],
  ['65 fields of a record', { properties: { a: [many(65, (i) => i)] } }, 'event.count'],
  ['a list of a list', { properties: { a: [['b']] } }, undefined],
  ['lists to a depth of 25', { properties: { a: nested(25) } }, undefined],
  ['texts and records in one list', { properties: { a: [{ b: 1 }, 'c'] } }, undefined],
  ['a record in a record', { properties: { a: [{ b: { c: 1 } }] } }, undefined],
  ['an object as a value', { properties: { a: { b: 1 } } }, undefined],
  ['a property twice', '{"id":"%","name":"Seen","properties":{"a":1,"a":2}}', 'event.prop_twice'],
  ['a field of a record twice', '{"id":"%","name":"Seen","properties":{"a":[{"b":1,"b":2}]}}', 'event.prop_twice'],
  ['a number without end', '{"id":"%","name":"Seen","properties":{"a":1e400}}', undefined],
  ['a number of ten places', '{"id":"%","name":"Seen","properties":{"a":0.0123456789}}', undefined],
  ['no id', { id: undefined }, 'event.missing'],
  ['no name', { name: undefined }, 'event.missing'],
  ['an empty name', { name: '' }, 'event.missing'],
  ['a number as name', { name: 7 }, undefined],
  ['half an actor', { actor: { kind: 'member' } }, undefined],
  ['an actor without a value', { actor: { kind: 'member', value: '' } }, 'event.actor'],
  ['a time in prose', { time: 'yesterday' }, undefined],
  ['a time before 1970', { time: '1969-12-31T23:59:59Z' }, 'event.time'],
  ['a time without end', '{"id":"%","name":"Seen","time":99999999999999999}', undefined],
  ['an unknown kind', { kind: 'guess' }, undefined],
  ['an unknown field', { colour: 'red' }, undefined],
  ['a link to nobody', { kind: 'link', other: null }, undefined],
  ['null', 'null', undefined],
  ['a text', '"Seen"', undefined],
  ['a list', '[]', undefined],
]

function asBytes([, what]) {
  if (typeof what === 'string' || Buffer.isBuffer(what)) {
    const at = what.indexOf('%')
    if (at < 0) return Buffer.from(what)
    const rest = Buffer.isBuffer(what) ? what.subarray(at + 1) : what.slice(at + 1)
    return bytes(what.slice(0, at).toString('latin1'), `odd-${count++}`, rest)
  }
  return Buffer.from(JSON.stringify(event(what)))
}

/** The wrong ones, a good one behind each. */
function mixed() {
  const parts = [Buffer.from('{"events":[')]
  WRONG.forEach((wrong, i) =>
    parts.push(Buffer.from(i > 0 ? ',' : ''), asBytes(wrong), Buffer.from(`,${JSON.stringify(event({ name: 'Good one' }))}`)),
  )
  return Buffer.concat([...parts, Buffer.from(']}')])
}

function checkReceipt(receipt) {
  assert.equal(receipt.accepted, WRONG.length)
  assert.deepEqual(receipt.refused.map((r) => r.index), WRONG.map((_, i) => 2 * i))
  receipt.refused.forEach((r, i) => {
    const [what, , code] = WRONG[i]
    if (code !== undefined) assert.equal(r.code, code, `${what}: ${JSON.stringify(r)}`)
    assert.match(r.code, /^event\./, what)
    assert.ok(r.detail.length > 8 && r.detail.length <= 300, `${what} says too little: ${JSON.stringify(r)}`)
  })
}

test('each wrong event is named by its place and reason, and those around it go in', async () => {
  checkReceipt(await w.want(200, 'POST', '/v1/events', mixed()))
  assert.equal(await total('"Good one"'), String(WRONG.length))
  assert.equal(await total('any event'), String(WRONG.length))
})

test('the same of a gzipped batch, alone and one by one', async () => {
  const headers = { 'content-encoding': 'gzip' }
  checkReceipt(await w.want(200, 'POST', '/v1/events', gzipSync(mixed()), { headers }))
  for (const wrong of WRONG) {
    const receipt = await w.want(200, 'POST', '/v1/events', bytes('{"events":[', asBytes(wrong), ']}'))
    assert.equal(receipt.accepted, 0, wrong[0])
    assert.equal(receipt.refused.length, 1, wrong[0])
  }
  assert.equal(await total('any event'), String(2 * WRONG.length))
  assert.equal(await total('"Seen"'), '0')
})

test('wrong attributes, links and erasures cost nobody else, either', async () => {
  const member = (value) => ({ kind: 'member', value })
  const receipt = await send([
    event({ name: undefined, kind: 'attributes', actor: member('x\u0000'), properties: { tier: 'gold' } }),
    event({ name: undefined, kind: 'attributes', actor: null, properties: { tier: 'gold' } }),
    event({ name: undefined, kind: 'attributes', actor: member('m-1'), properties: { tier: 'gold "1"' } }),
    event({ name: undefined, kind: 'link', actor: member('m-1'), other: member('') }),
    event({ name: undefined, kind: 'link', actor: member('m-1'), other: member('m-2') }),
    event({ name: undefined, kind: 'erase', actor: null }),
    event({ name: 'Linked', actor: member('m-2') }),
  ])
  assert.equal(receipt.accepted, 3)
  assert.deepEqual(receipt.refused.map((r) => r.index), [0, 1, 3, 5])
  const { segment } = await ask({ segment: { of: 'person.tier == "gold \\"1\\"" and did("Linked")' } })
  assert.equal(segment.persons, 1)
})

// ---- what is only odd --------------------------------------------------------------------------------

const NAMES = [
  'a "quoted" name', "it's", 'back\\slash', '`tick`', '<b>&amp;</b>', "'; DROP TABLE event; --", '%s%n%d', '../../etc/passwd',
  '${jndi:x}', 'line\nbreak', 'tab\there', '名字', '👩‍👩‍👧‍👦', 'e\u0301', '\u202Ertl', '\u{10FFFF}', '\uFEFFmark', ' blanks ', '\u0001', '\u007F',
  'n'.repeat(255), '界'.repeat(85), 'null', 'any event', 'context.page', 'a.b.c', '0', '-', '"', '\\',
]

test('odd names and values come back as they were sent, in answers and in rules', async () => {
  await sendAll(NAMES.map((name) => event({ name, properties: { value: name, [name]: 1, tags: [name], lines: [{ sku: name }] } })))
  const { series } = await trend({ of: 'any event where value is set', breakdown: ['value'], top: 256 })
  assert.deepEqual(series.filter((s) => !s.other).map((s) => s.values[0].value).sort(), [...NAMES].sort())
  const named = await trend({ of: 'any event where value is set', breakdown: ['event'], top: 256 })
  assert.deepEqual(named.series.filter((s) => !s.other).map((s) => s.values[0].value).sort(), [...NAMES].sort())
  for (const name of NAMES) {
    const q = quoted(name)
    assert.equal(await total(q), '1', name)
    assert.equal(await total(`any event where value == ${q}`), '1', name)
    assert.equal(await total(`any event where tags contains ${q}`), '1', name)
    assert.equal(await total(`${q} where any(lines, sku == ${q})`), '1', name)
  }
})

test('a text of 32,768 bytes and an empty one are values like others', async () => {
  const long = '长'.repeat(10922) + 'ab'
  assert.equal(Buffer.byteLength(long), 32768)
  await sendAll([event({ name: 'Long', properties: { note: long } }), event({ name: 'Long', properties: { note: '' } })])
  const { series } = await trend({ of: '"Long"', breakdown: ['note'], top: 10 })
  assert.deepEqual(series.filter((s) => !s.other).map((s) => s.values[0].value).sort(), ['', long])
})

// ---- what is much ------------------------------------------------------------------------------------

test('ten thousand names are counted each, and the question has its bounds', async () => {
  const NAMES_MANY = 10000
  await sendAll(Array.from({ length: NAMES_MANY }, (_, i) => event({ name: `Many ${i}`, properties: { of_many: true } })))
  const many = 'any event where of_many == true'
  assert.equal(await total(many), String(NAMES_MANY))
  const answer = await trend({ of: many, breakdown: ['event'], top: 256 })
  assert.equal(answer.distinct, NAMES_MANY)
  assert.equal(answer.series.length, 257)
  assert.equal(answer.series.reduce((sum, s) => sum + Number(s.cells[0]), 0), NAMES_MANY)
  for (const i of [0, 4711, NAMES_MANY - 1]) assert.equal(await total(`"Many ${i}"`), '1')
  assert.equal(await total('"Good one"'), String(2 * WRONG.length))
})

test('of 600 rare properties of one name 512 are in columns, and the rest is counted', async () => {
  const before = await keptAside('values of too many properties of one event name')
  await sendAll(Array.from({ length: 600 }, (_, i) => event({ name: 'Rare', properties: { [`rare ${i}`]: i } })))
  assert.equal(await total('"Rare"'), '600')
  assert.equal(await total('"Rare"', { measure: 'sum', number: 'rare 511' }), '511')
  assert.equal(await total('"Rare"', { measure: 'sum', number: 'rare 599' }), '0')
  assert.equal((await keptAside('values of too many properties of one event name')) - before, 600 - 512)
  assert.equal(await total('"Rare"'), '600')
})

test('lists of many records add up, and fields beyond the 128th are counted', async () => {
  const before = await keptAside('values of too many fields of one list of records')
  const lines = Array.from({ length: 2000 }, (_, i) => ({ sku: `S${i % 10}`, quantity: i }))
  await sendAll([
    event({ name: 'Large order', properties: { orders: lines } }),
    ...Array.from({ length: 3 }, (_, i) => event({ name: 'Wide order', properties: { wide: [many(64, (f) => f + 64 * i)].map((r) => Object.fromEntries(Object.entries(r).map(([k, v]) => [`${k}-${i}`, v]))) } })),
  ])
  assert.equal(await total('"Large order"', { measure: 'sum', number: 'orders.quantity' }), String((1999 * 2000) / 2))
  assert.equal(await total('"Large order" where count(orders) == 2000'), '1')
  assert.equal(await total('"Wide order" where count(wide) == 1'), '3')
  assert.equal((await keptAside('values of too many fields of one list of records')) - before, 3 * 64 - 128)
})

test('an answer that would be too large is refused as that', async () => {
  const texts = Array.from({ length: 300 }, (_, i) => `${i} `.padEnd(32768, 'x'))
  for (let from = 0; from < 300; from += 100)
    await sendAll(texts.slice(from, from + 100).map((novel) => event({ name: 'Wordy', properties: { novel } })))
  const problem = await w.refused(413, 'request.reply_size', 'POST', '/v1/query', {
    trend: { ...WEEK, by: 'all', of: '"Wordy"', breakdown: ['novel'], top: 256 },
  })
  assert.match(problem.detail, /ask for less/)
  assert.equal((await trend({ of: '"Wordy"', breakdown: ['novel'], top: 5 })).distinct, 300)
})
