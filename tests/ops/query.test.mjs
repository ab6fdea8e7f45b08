// tests/ops/query.test.mjs -- `tongdian query`: the answers of POST /v1/query without a server and beside one, with
// what only the log has, and nothing written.
import assert from 'node:assert/strict'
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { openShop, run } from './shop.mjs'

const QUESTIONS = [
  { trend: { of: 'any event', from: '2020-01-01', to: '2100-01-01', by: 'all', breakdown: ['event'], top: 50 } },
  { trend: { of: '"Name 1" where channel == "web"', from: '2020-01-01', to: '2100-01-01', by: 'month', measure: 'sum', number: 'amount' } },
  { funnel: { steps: [{ of: '"Name 1"' }, { of: '"Name 2"' }], from: '2020-01-01', to: '2100-01-01' } },
  { segment: { of: 'did("Name 3", count >= 2) and not did("Name 4", within 2d)', limit: 5 } },
  { trend: { of: '"Name 1"', from: '2020-01-01', to: '2100-01-01', by: 'all', breakdown: ['channel'] }, people: { interval: 1, values: [{ value: 'web' }], limit: 3 } },
  { trend: { of: '"Name 1" where segment("Threes") and person.level at event != "low"', from: '2020-01-01', to: '2100-01-01', by: 'all', breakdown: ['person.level at event'] } },
]

const now = Date.now()
let w, folder
before(async () => {
  w = await openShop({ arguments: ['--engine-rows', '2048', '--kernels', 'plain', '--clock', String(now)] })
  folder = join(w.data, 'events', 'engine')
  await send('first', 1200)
  await w.want(200, 'PUT', '/v1/cohorts/Threes', { rule: 'did("Name 3", count >= 2)' })
  const said = (i) => ({ id: `said${i}`, kind: 'attributes', actor: { kind: 'member', value: `m${i}` }, properties: { level: i % 2 ? 'low' : 'high' } })
  await w.want(200, 'POST', '/v1/events', { events: Array.from({ length: 77 }, (_, i) => ({ ...said(i), time: new Date(now - 10 * 86400e3).toISOString() })) })
  await w.stop() // into files
  await w.start()
})
after(() => w.close())

async function send(prefix, count, batch = 400) {
  for (let from = 0; from < count; from += batch) {
    const events = Array.from({ length: batch }, (_, i) => ({
      id: `${prefix}${from + i}`,
      name: `Name ${(from + i) % 9}`,
      time: new Date(now - ((from + i) % 20) * 86400e3 - i * 1000).toISOString(),
      actor: { kind: 'member', value: `m${(from + i) % 77}` },
      properties: { amount: i / 4, channel: i % 3 ? 'web' : 'till' },
    }))
    await w.want(200, 'POST', '/v1/events', { events })
  }
}

const words = (more) => ['query', '--data', w.data, '--log-level', 'off', '--clock', String(now), ...more]
const ask = (question, more = []) => run(words(['--json', '-', ...more]), { input: JSON.stringify(question) })

function answer(question) {
  const r = ask(question)
  assert.equal(r.status, 0, r.err)
  const { took_us, ...rest } = JSON.parse(r.out)
  assert.ok(took_us >= 0)
  return rest
}

async function served(question) {
  const { took_us, ...rest } = await w.want(200, 'POST', '/v1/query', question)
  assert.ok(took_us >= 0)
  return rest
}

const files = () => readdirSync(folder).sort().map((name) => [name, readFileSync(join(folder, name)).toString('base64')])

test('beside a running server it gives the same answers', async () => {
  for (const question of QUESTIONS) assert.deepEqual(answer(question), await served(question))
})

test('after a kill, what the columns lack is read from the log, and nothing in their folder changes', async () => {
  await send('second', 400)
  const want = []
  for (const question of QUESTIONS) want.push(await served(question))
  w.server.kill('SIGKILL')
  await w.ended
  const there = files()
  for (const [i, question] of QUESTIONS.entries()) assert.deepEqual(answer(question), want[i])
  assert.deepEqual(files(), there)
})

test('without columns all is read from the log, as far as it fits into memory', () => {
  const want = QUESTIONS.map(answer)
  renameSync(folder, `${folder}.away`)
  for (const [i, question] of QUESTIONS.entries()) assert.deepEqual(answer(question), want[i])
  const r = ask(QUESTIONS[0], ['--engine-rows', '256'])
  assert.equal(r.status, 1)
  assert.match(r.err, /query\.reading: .* events are in the log only/)
  assert.ok(!readdirSync(join(w.data, 'events')).includes('engine'))
  renameSync(`${folder}.away`, folder)
})

test('columns of another log are not asked', () => {
  const log = join(w.data, 'events', 'log')
  renameSync(log, `${log}.away`)
  mkdirSync(log)
  const r = ask(QUESTIONS[0])
  assert.equal(r.status, 1)
  assert.match(r.err, /made of another log/)
  rmSync(log, { recursive: true })
  renameSync(`${log}.away`, log)
})

test('columns of a log that was put back to an older backup and went on are not asked, although their numbers fit', async () => {
  const older = join(w.folder, 'older'), columns = join(w.folder, 'columns'), own = join(w.folder, 'own')
  cpSync(w.data, older, { recursive: true })
  await w.start()
  await send('lost', 400)
  await w.stop()
  cpSync(folder, columns, { recursive: true })
  rmSync(w.data, { recursive: true })
  renameSync(older, w.data)
  await w.start()
  await send('other', 800, 200) // the clock stands: the batches tell the logs apart
  await w.stop()
  renameSync(folder, own)
  renameSync(columns, folder)
  const r = ask(QUESTIONS[0])
  assert.equal(r.status, 1)
  assert.match(r.err, /query\.closed: the columns were made of another log: start a server, which/)
  rmSync(folder, { recursive: true })
  renameSync(own, folder)
  assert.equal(ask(QUESTIONS[0]).status, 0)
})

test('columns that have not heard of an erasure are not asked', () => {
  const aside = join(w.folder, 'aside')
  const had = answer(QUESTIONS[0])
  cpSync(folder, aside, { recursive: true })
  const erased = run(['events', 'erase', 'member', 'm5', '--data', w.data, '--log-level', 'off', '--clock', String(now)])
  assert.equal(erased.status, 0, erased.err)
  assert.notDeepEqual(answer(QUESTIONS[0]), had)
  const own = join(w.folder, 'own')
  renameSync(folder, own)
  renameSync(aside, folder)
  const r = ask(QUESTIONS[0])
  assert.equal(r.status, 1)
  assert.match(r.err, /query\.closed: the columns have not heard of an erasure .*: start a server, which/)
  rmSync(folder, { recursive: true })
  renameSync(own, folder)
})

test('damage that a question meets is said, and left to a server', () => {
  const there = files()
  for (const [name, text] of there.filter(([name]) => name.endsWith('.part'))) {
    const bytes = Buffer.from(text, 'base64')
    bytes[300] ^= 0x10
    writeFileSync(join(folder, name), bytes)
  }
  const damaged = files()
  const r = ask(QUESTIONS[1])
  assert.equal(r.status, 1)
  assert.match(r.err, /query\.mending: a file of the columns is damaged: a server makes it again/)
  assert.deepEqual(files(), damaged)
  for (const [name, text] of there) writeFileSync(join(folder, name), Buffer.from(text, 'base64'))
})

test('a table has a line per bucket and a column per series, or a line per row', () => {
  const trend = { of: '["Name 1", "Name 2"]', from: '2020-01-01', to: '2100-01-01', by: 'all', breakdown: ['event'] }
  const { trend: { series } } = answer({ trend })
  const r = ask({ trend }, ['--table'])
  assert.equal(r.status, 0, r.err)
  const [heading, line] = r.out.split('\n').map((text) => text.trim().split(/\s{2,}/))
  assert.deepEqual(heading, ['cells', ...series.map(({ values }) => values[0].value)])
  assert.deepEqual(line, ['2020-01-01', ...series.map(({ cells }) => cells[0])])
  const funnel = ask(QUESTIONS[2], ['--table'])
  const counts = answer(QUESTIONS[2]).funnel.steps.map(({ persons }) => String(persons))
  assert.deepEqual(funnel.out.trim().split('\n').map((text) => text.trim()), ['persons', ...counts])
  const segment = ask(QUESTIONS[3], ['--table'])
  assert.match(segment.out, /^persons: \d+\neverybody: \d+\nkind +value\nmember +m\d+\n/)
})

test('a table shows instants as the clocks of the zone that the question names', () => {
  const trend = { of: 'any event', from: '2020-01-01', to: '2020-07-01', by: 'quarter' }
  const first = (question) => {
    const r = ask(question, ['--table'])
    assert.equal(r.status, 0, r.err)
    return r.out.split('\n').slice(1, 4).map((line) => line.trim().split(/\s{2,}/)[0])
  }
  const days = ['2020-01-01', '2020-04-01', '2020-07-01'] // and the clocks were turned in March
  assert.deepEqual(first({ trend }), days)
  assert.deepEqual(first({ trend, zone: 'America/New_York' }), days)
  assert.deepEqual(first({ trend, zone: '+02:30' }), days)
})

test('a question may stand in a file', () => {
  const file = join(w.folder, 'question.json')
  writeFileSync(file, JSON.stringify(QUESTIONS[2]))
  const r = run(words(['--json', file]))
  assert.equal(r.status, 0, r.err)
  assert.deepEqual(JSON.parse(r.out).funnel, answer(QUESTIONS[2]).funnel)
})

test('what is wrong with a question is said with its place', () => {
  const wrong = [
    [{ trend: { of: '"X', from: '2020-01-01', to: '2020-01-02' } }, /query\.rule at \/trend\/of: line 1, column 1: /],
    [{ nothing: {} }, /request\.unknown_field at \/nothing: /],
    [{}, /query\.one: ask one question at a time/],
  ]
  for (const [question, words] of wrong) {
    const r = ask(question)
    assert.equal(r.status, 1)
    assert.equal(r.out, '')
    assert.match(r.err, words)
  }
  assert.match(run(words(['--json', '-']), { input: '{' }).err, /json\./)
})

test('what is wrong with the command line is said', () => {
  assert.match(run(words(['--json', join(w.folder, 'none')])).err, /can't read .*none: No such file/)
  const usage = run(words([]))
  assert.equal(usage.status, 2)
  assert.match(usage.err, /Usage: tongdian query --json FILE/)
  assert.match(run(['query', '--help']).out, /one question about all events/)
  const r = run(['query', '--json', '-', '--data', join(w.folder, 'nowhere')], { input: '{}' })
  assert.equal(r.status, 1)
  assert.match(r.err, /there is no data folder/)
})

test('answers are the same with every set of instructions; one that is not there is refused before anything starts', async () => {
  assert.match(w.log, /server\.ready .*kernels="plain"/)
  const question = QUESTIONS[1]
  const want = answer(question)
  for (const kernels of ['plain', 'avx2', 'auto']) {
    const r = ask(question, ['--kernels', kernels])
    if (kernels === 'avx2' && r.status === 2) continue // not on every processor
    assert.equal(r.status, 0, r.err)
    assert.deepEqual({ ...JSON.parse(r.out), took_us: undefined }, { ...want, took_us: undefined })
  }
  const wrong = run(words(['--kernels', 'avx1024', '--json', '-']))
  assert.equal(wrong.status, 2)
  assert.match(wrong.err, /--kernels takes auto, or one that this processor has \(here the best is \w+, and plain is everywhere\), not avx1024/)
})

test('a timeline is read from the log, which only one may hold', async () => {
  await w.start()
  const actor = { kind: 'member', value: 'm7' }
  const beside = ask({ timeline: actor })
  assert.equal(beside.status, 1)
  assert.match(beside.err, /a server holds the log, which has the events: ask it/)
})

test('without a server a timeline has what the server would say', async () => {
  const question = { timeline: { kind: 'member', value: 'm7', limit: 20, order: 'oldest' } }
  const want = (await w.want(200, 'POST', '/v1/query', question)).timeline
  assert.equal(want.items.length, 20)
  await w.stop()
  const found = answer(question).timeline
  const table = ask(question, ['--table'])
  assert.deepEqual(found.items.map(({ place, ...rest }) => rest), want.items.map(({ place, ...rest }) => rest))
  assert.equal(table.status, 0, table.err)
  assert.match(table.out, /Name \d/)
})

test('the figures of the log and its columns are the same beside a server and without one, for people and programs', async () => {
  const words = ['events', 'stat', '--data', w.data, '--log-level', 'off']
  const alone = JSON.parse(run([...words, '--json']).out)
  await w.start()
  const beside = run([...words, '--json'])
  assert.equal(beside.status, 0, beside.err)
  const { log, ...columns } = JSON.parse(beside.out)
  const { log: owned, ...mine } = alone
  assert.deepEqual(columns, mine)
  assert.equal(owned.events > 1200 && owned.records > owned.events, true)
  assert.deepEqual(log, { records: owned.records, segments: owned.segments, bytes: owned.bytes })
  const sum = (rows, of) => rows.reduce((total, row) => total + row[of], 0)
  assert.equal(sum(columns.weeks, 'files'), columns.files)
  assert.equal(sum(columns.weeks, 'bytes'), columns.file_bytes)
  assert.ok(sum(columns.columns, 'bytes') <= columns.file_bytes && columns.names_bytes > 0)
  assert.ok(columns.weeks.every((week, i) => i === 0 || columns.weeks[i - 1].from < week.from))
  assert.ok(columns.dictionaries.find((d) => d.of === 'channel').texts >= 2)
  await w.want(200, 'POST', '/v1/events', { events: [{ id: 'behind', name: 'Behind', time: new Date(now).toISOString() }] })
  assert.equal(JSON.parse(run([...words, '--json']).out).behind, columns.behind + 1)
  const text = run(words)
  assert.match(text.out, /records, [\d,]+ bytes in \d+ segments/)
  assert.match(text.out, /week from +files +rows/)
  assert.match(text.out, /dictionary +texts/)
  assert.match(text.out, /A server has the log/)
  assert.equal(run(['events', 'stat', '--nonsense']).status, 2)
})
