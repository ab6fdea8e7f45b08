// tests/crash/crash.mjs -- the crash test: the real program, real load, a disk that keeps what was synced.
//
//   crash.mjs BINARY LOSSY_DIR [--rounds N] [--seed N] [--seeds N] [--only WORD] [--keep]
//
// Prints a line per proof and `N passed, N failed` at the end.  `--seed N --rounds 1 --only rounds`
// plays one round again; --keep leaves its folder.  README.md says what each proof is about.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { cutErasings } from './erase.mjs'
import { Chance } from './load.mjs'
import { Finding, Machine } from './machine.mjs'
import { codeOf } from './model.mjs'
import { met, sleep, World } from './world.mjs'

const { values: option, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '20' },
    seed: { type: 'string', default: String(Date.now() % 1e9) },
    seeds: { type: 'string', default: '2' },
    only: { type: 'string', default: '' },
    keep: { type: 'boolean', default: false },
  },
})
const [binary, lossy] = positionals.map((name) => path.resolve(name))
const rounds = Number(option.rounds)
const firstSeed = Number(option.seed)
const seedsPerCut = Number(option.seeds)
const work = fs.mkdtempSync(path.join(process.env.TMPDIR ?? os.tmpdir(), 'tongdian-crash-'))
const ROUNDS_PER_FOLDER = 7
const DROP_ROUNDS = 20

let passed = 0
let failed = 0
let worlds = 0

function newWorld(chance) {
  const folder = path.join(work, `world-${worlds++}`)
  return new World(new Machine({ binary, lossy, folder }), chance)
}

async function discard(world) {
  await world?.close()
  if (!option.keep) world?.machine.remove()
}

// One line per proof.
async function proof(name, run) {
  if (!name.includes(option.only)) return
  const began = Date.now()
  const seconds = () => ((Date.now() - began) / 1000).toFixed(1)
  try {
    const note = await run()
    passed++
    console.log(`ok   ${name} (${note ? `${note}, ` : ''}${seconds()} s)`)
  } catch (error) {
    failed++
    const why = error instanceof Finding ? error.message : error.stack
    console.log(`FAIL ${name} (${seconds()} s)\n      ${why}`)
  }
}

function sum(model, word) {
  return [...model.answers].reduce((n, [code, times]) => n + (code.startsWith(word) ? times : 0), 0)
}

// ---- rounds ----

// How a run of the program ends: mostly at once; sometimes while it is stopping; sometimes in order.
async function end(world, load, seed) {
  const how = { 3: 'cuts_while_stopping', 7: 'orderly_stops' }[seed % 10]
  if (how !== undefined) {
    met[how]++
    world.model.faulty = true // 503 "http.stopping"
    const over = world.program.stop()
    if (how === 'cuts_while_stopping') await sleep(world.chance.below(80))
    else if ((await over).status !== 0) throw new Finding(`a stop ended badly: ${world.program.tail()}`)
  }
  await world.program.kill()
  await load.stop()
  await world.cut()
}

// Load until the power fails.
async function fill(world, number, seed) {
  const { chance, model, machine } = world
  model.round = number
  machine.set(`writeback_permille=${chance.one([0, 10, 200])}`)
  // Batches of events sync the log; without them, what came through the outbox must be replayed.
  const load = world.load(seed % 2 === 0)
  await sleep(200 + chance.below(1300))
  const checkpoints = await world.metric('db_checkpoints_total')
  met.checkpoints += checkpoints
  met.ext4 += world.mode === 'ext4' ? 1 : 0
  const mb = (await world.metric('db_wal_bytes')) >> 20
  await end(world, load, seed)
  if (machine.stat().syncs === '0') throw new Error('the disk saw no sync: is the library preloaded?')
  const unsure = model.unsure.length + model.batches.filter((b) => b.state === 'unsure').length
  const wishes = `${load.done} kept, ${unsure} unsure, ${model.wishes.length} in all`
  return `${world.mode}, ${wishes}, log ${mb} MB, ${checkpoints} checkpoints`
}

// What the disk may have kept, in as many ways as were asked for; the last one goes on.
async function verdict(world, seed) {
  for (let i = 1; i < seedsPerCut; i++) await world.judgeOne(world.chance.next())
  await world.resume(world.chance.next(), seed % 3 === 1)
}

async function allRounds() {
  let world
  for (let i = 0; i < rounds; i++) {
    const seed = firstSeed + i
    await proof(`rounds: ${i + 1} of ${rounds}, seed ${seed}`, async () => {
      try {
        if (world === undefined || i % ROUNDS_PER_FOLDER === 0) {
          await discard(world)
          world = newWorld(new Chance(seed))
          await world.open(seed % 3 === 1 ? 'ext4' : 'strict', {}, seed % 3 === 2)
        }
        world.chance = new Chance(seed)
        const note = await fill(world, i, seed)
        await verdict(world, seed)
        return note
      } catch (error) {
        await discard(world)
        world = undefined
        throw error
      }
    })
  }
  await discard(world)
  if (rounds >= 20) await proof('rounds: what they met', whatTheyMet)
}

function whatTheyMet() {
  const needed = Object.keys(met).filter((what) => what !== 'checkpoints') // a slow machine writes less
  const never = needed.filter((what) => met[what] === 0)
  if (never.length > 0) throw new Finding(`never met: ${never}`)
  return Object.entries(met).map(([what, n]) => `${n} ${what.replaceAll('_', ' ')}`).join(', ')
}

// ---- a disk that lies must be found out ----

// Runs rounds with `lie` in the environment until one is found to have lost something.
async function findLoss(lie) {
  for (let i = 0; i < DROP_ROUNDS; i++) {
    const seed = 2 * (firstSeed + i) // even: with batches of events
    const world = newWorld(new Chance(seed))
    try {
      await world.open('strict')
      await world.close()
      world.machine.format('strict') // the installation is durable: the loss is that of the load
      world.env = lie
      await world.start()
      await fill(world, 0, seed)
      const found = await verdict(world, seed).catch((error) => error)
      if (found instanceof Finding) return `round ${i + 1}: ${found.message.split('\n')[0].slice(0, 80)}`
      if (found !== undefined) throw found
    } finally {
      await discard(world)
    }
  }
  throw new Finding(`${DROP_ROUNDS} rounds found nothing lost: the test proves nothing`)
}

async function lies() {
  await proof('lies: without any sync, a loss is found', () => findLoss({ LOSSY_DROP_SYNC: '1' }))
  await proof('lies: without the syncs of the database (synchronous=OFF), a loss is found', () =>
    findLoss({ LOSSY_DROP_ONLY: '*/tongdian.db*' }))
  await proof('lies: without the sync of each commit (synchronous=NORMAL), a loss is found', () =>
    findLoss({ LOSSY_DROP_ONLY: '*/tongdian.db-wal' }))
  await proof('lies: without the syncs of the event log, a loss is found', () =>
    findLoss({ LOSSY_DROP_ONLY: '*/events/log/*' }))
  await proof('lies: without the syncs of the event engine, damage is found', () =>
    findLoss({ LOSSY_DROP_ONLY: '*/events/engine/*' }))
}

// ---- faults ----

async function withWorld(run, env) {
  const world = newWorld(new Chance(firstSeed))
  try {
    await world.open('strict', env)
    return await run(world)
  } finally {
    await discard(world)
  }
}

async function cutAndJudge(world, load) {
  await world.program.kill()
  await load.stop()
  await world.cut()
  await world.judgeOne(world.chance.next())
  await world.resume(world.chance.next(), false)
}

// How many ms it took until `is` held.  What went wrong in the load in the meantime comes first.
async function until(load, what, ms, is) {
  const began = Date.now()
  while (!(await is())) {
    if (load.error !== undefined) throw load.error
    if (Date.now() - began > ms) throw new Finding(`${what} took over ${ms} ms`)
    await sleep(5)
  }
  return Date.now() - began
}

// A write that nobody has asked for yet, on a connection of its own.
async function probe(world) {
  const body = { phone: `139${String(world.chance.below(1e8)).padStart(8, '0')}` }
  const path = `/v1/coupon-templates/${world.model.templates[0]}/claims`
  const wish = world.model.wish('claim', path, body, `probe-${world.chance.next()}-${world.chance.next()}`)
  const answer = await world.aside.request('POST', path, wish.text, wish.key)
  world.model.answered(wish, answer)
  return answer
}

async function fullDisk(world) {
  const { model, machine } = world
  const load = world.load()
  await sleep(300)
  model.faulty = true
  machine.set('room=0')
  await until(load, 'a clear refusal', 3000, () => sum(model, '503 disk.full') > 0)
  const refused = await probe(world)
  if (codeOf(refused) !== '503 disk.full' || refused.type !== 'application/problem+json')
    throw new Finding(`a full disk is answered ${refused.status} ${refused.type} ${refused.text}`)
  if (!/disk\.full/.test(world.program.output)) throw new Finding('the log does not say that the disk is full')
  const read = await world.aside.request('GET', `/v1/coupon-templates/${model.templates[0]}`)
  if (read.status !== 200) throw new Finding(`reading on a full disk: ${codeOf(read)}`)
  await sleep(500)
  const broken = [...model.answers.keys()].filter((code) => code.startsWith('5'))
  const strange = broken.filter((code) => code !== '503 disk.full')
  if (strange.length > 0) throw new Finding(`a full disk was also answered ${strange}`)
  machine.set('room=none')
  const back = await until(load, 'service after there is room', 1000, async () => (await probe(world)).status === 201)
  await sleep(300)
  const healthy = await until(load, 'health after there is room', 10000, async () => {
    const answer = await world.aside.request('GET', '/healthz')
    return answer.status === 200
  })
  const times = sum(model, '503')
  await cutAndJudge(world, load)
  return `${times} times 503, service back after ${back} ms, health after ${healthy} ms`
}

// The disk has room for the database, but none for the next segment of the event log.
async function fullLog(world) {
  const { model, machine, aside } = world
  const before = world.load()
  await until(before, 'somebody to speak of', 5000, () => before.wallet.length > 100)
  await before.stop()
  model.faulty = true
  machine.set('room=30000000')
  for (const [count, bytes] of [[10, 30000], [1, 30000], [1, 300], [1, 0]])
    await until(before, 'a full event log', 60000, async () => {
      return codeOf(await pages(world, count, bytes)) === '503 disk.full'
    })
  for (let i = 0; i < 20; i++)
    if ((await probe(world)).status !== 201) throw new Finding('no claims while the event log is full')
  const health = async () => (await aside.request('GET', '/healthz')).status
  if ((await health()) !== 503) throw new Finding('the program says that it is well')
  machine.set('room=none')
  const load = world.load()
  const taken = async () => (await pages(world, 10, 30000)).status === 200
  const back = await until(load, 'events after there is room', 5000, taken)
  const healthy = await until(load, 'health after there is room', 15000, async () => (await health()) === 200)
  await cutAndJudge(world, load)
  return `events back after ${back} ms, health after ${healthy} ms`
}

// Events of about three times `bytes` each; a body may have 1 MB.
async function pages(world, count, bytes) {
  const { model, aside, chance } = world
  const person = [...model.people.keys()].at(-1)
  const batch = { id: `pages-${chance.next()}-${chance.next()}`, person, count, round: model.round }
  model.batches.push(batch)
  const page = 'x'.repeat(bytes)
  const events = Array.from({ length: count }, (_, i) => ({
    id: `${batch.id}-${i}`,
    name: 'Page Viewed',
    actor: { kind: 'person', value: person },
    properties: { batch: batch.id },
    context: { page, before: page, next: page },
  }))
  const answer = await aside.request('POST', '/v1/events', { source: 'crash', events })
  model.batchAnswered(batch, answer)
  return answer
}

async function failingSync(world) {
  const { model, machine } = world
  const load = world.load()
  model.faulty = true
  for (let i = 0; i < 6; i++) {
    await sleep(100 + world.chance.below(100))
    machine.set('fail_sync=1')
  }
  await sleep(200)
  const before = load.done
  await until(load, 'service after a failed sync', 2000, () => load.done > before + 20)
  if (sum(model, '5') === 0) throw new Finding('nobody heard of six failed syncs')
  await cutAndJudge(world, load)
  const broken = [...model.answers].filter(([code]) => code.startsWith('5'))
  return broken.map(([code, n]) => `${n} times ${code}`).join(', ')
}

// The write-ahead log is written over after a checkpoint: if the database file's sync failed before,
// what it was to hold exists nowhere else.
async function failingCheckpoint(world) {
  const { model, machine, program } = world
  const load = world.load()
  model.faulty = true
  machine.set('fail_sync=1')
  await until(load, 'a checkpoint', 60000, () => machine.stat().fail_sync === '0')
  const how = await Promise.race([program.over, sleep(1500)])
  await cutAndJudge(world, load)
  if (how !== undefined && !/db\.sync_failed/.test(program.output))
    throw new Finding(`it stopped for another reason: ${program.tail()}`)
  return how === undefined ? 'it went on' : 'it stopped, as it must'
}

async function slowDisk(world) {
  world.machine.set('sleep_us=5000')
  const load = world.load()
  await sleep(1500)
  await cutAndJudge(world, load)
  return `${load.done} kept`
}

// The power fails while a data folder is made: the next start must make it, or go on with it.
async function firstStart() {
  const chance = new Chance(firstSeed)
  const world = newWorld(chance)
  const { machine } = world
  for (let i = 0; i < 12; i++) {
    const mode = i % 4 === 3 ? 'ext4' : 'strict'
    machine.empty(mode)
    const program = machine.launch()
    await sleep(chance.below(250))
    await program.kill()
    machine.reboot(chance.next(), mode)
    const again = await machine.start(machine.data)
    await again.kill()
  }
  await discard(world)
}

async function erasings() {
  const chance = new Chance(firstSeed)
  const world = newWorld(chance)
  const note = await cutErasings(world.machine, chance)
  await discard(world)
  return note
}

async function faults() {
  await proof('faults: a folder whose first start was cut off starts', firstStart)
  await proof('faults: a full disk is said clearly, and service comes back with the room', () =>
    withWorld(fullDisk))
  await proof('faults: an event log without room loses nothing, and catches up', () =>
    withWorld(fullLog))
  // Not that of tongdian.db, which no service outlives: the next proof.
  await proof('faults: a sync that fails loses nothing that was promised', () =>
    withWorld(failingSync, { LOSSY_FAIL_ONLY: '*[!b]' }))
  await proof('faults: a checkpoint whose sync fails loses nothing', () =>
    withWorld(failingCheckpoint, { LOSSY_FAIL_ONLY: '*/tongdian.db' }))
  await proof('faults: an erasing that is cut loses nobody else, and is done by the next one', erasings)
  await proof('faults: a slow disk loses nothing', () => withWorld(slowDisk))
}

await faults()
await lies()
await allRounds()
if (option.keep && failed > 0) console.log(`left: ${work}`)
else fs.rmSync(work, { recursive: true, force: true })
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 && passed > 0 ? 0 : 1)
