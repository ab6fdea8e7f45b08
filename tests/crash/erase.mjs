// tests/crash/erase.mjs -- the power fails while somebody is erased: nobody else's events are lost, and whoever was
// asked to be erased is, once the erasing has been run again.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { Finding } from './machine.mjs'

const MARK = 'Zhuque-7731'
const CUTS = 16

function words(machine, data, verb) {
  return [...verb, '--data', data, '--key-file', machine.keyFile, '--log-level', 'off']
}

function run(machine, data, verb) {
  const ran = spawnSync(machine.binary, words(machine, data, verb), { encoding: 'utf8' })
  if (ran.status !== 0) throw new Finding(`tongdian ${verb.join(' ')}: ${ran.stdout}${ran.stderr}`)
  return ran.stdout
}

const exported = (machine, data) => run(machine, data, ['export', 'events', '--format', 'jsonl']).split('\n').filter((l) => l)
const others = (lines) => lines.filter((line) => !line.includes(MARK))

/** Of the log and of its columns. */
function filesWithMark(data) {
  const events = path.join(data, 'events')
  return fs.readdirSync(events, { recursive: true }).filter((name) => {
    const file = path.join(events, name)
    return fs.statSync(file).isFile() && fs.readFileSync(file).includes(MARK)
  })
}

async function fill(machine, key) {
  const program = await machine.start(machine.data)
  for (let from = 0; from < 2000; from += 200) {
    const events = Array.from({ length: 200 }, (_, i) => ({
      id: `${i % 9 ? 'e' : MARK}-${from + i}`,
      name: 'Page Viewed',
      time: 1750000000000 + from + i,
      actor: { kind: 'member', value: i % 9 ? `m${i % 50}` : MARK },
      properties: { text: i % 9 ? 'some text' : MARK },
    }))
    const r = await fetch(`http://127.0.0.1:${program.port}/v1/events`, {
      method: 'POST', body: JSON.stringify({ events }),
      headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    })
    assert.equal(r.status, 200, await r.text())
  }
  await program.stop()
}

/** Erases, for so many milliseconds; gives whether it came to its end. */
async function eraseUntil(machine, ms) {
  const child = spawn(machine.binary, words(machine, machine.data, ['events', 'erase', 'member', MARK]), { env: machine.lossyEnv({}), stdio: 'ignore' })
  const timer = setTimeout(() => child.kill('SIGKILL'), ms)
  const status = await new Promise((resolve) => child.on('exit', resolve))
  clearTimeout(timer)
  return status === 0
}

function judge(machine, data, want) {
  machine.check(data)
  if (!/To be erased|Erased: 1/.test(run(machine, data, ['events', 'erase']))) // the asking itself was lost
    run(machine, data, ['events', 'erase', 'member', MARK])
  assert.deepEqual(filesWithMark(data), [])
  assert.deepEqual(exported(machine, data), want)
  machine.check(data)
}

/** Cuts an erasing at many moments. */
export async function cutErasings(machine, chance) {
  machine.empty('strict')
  const key = machine.key()
  await fill(machine, key)
  const base = path.join(machine.folder, 'base')
  fs.cpSync(machine.data, base, { recursive: true })
  const want = others(exported(machine, base))
  if (filesWithMark(base).length === 0) throw new Finding('nothing to erase: this proves nothing')
  let ended = 0, whole = 600
  for (let i = 0; i < CUTS; i++) {
    fs.rmSync(machine.data, { recursive: true, force: true })
    fs.cpSync(base, machine.data, { recursive: true })
    machine.format(i % 2 ? 'ext4' : 'strict')
    machine.set('sleep_us=2000') // so that more of the time is spent between two writes
    const began = Date.now()
    const done = await eraseUntil(machine, i === 0 ? 60000 : chance.below(whole))
    if (i === 0) whole = Date.now() - began
    ended += done
    const after = machine.crash(chance.next(), 'after')
    if (done) assert.deepEqual(filesWithMark(after), []) // what was said to be done is on disk
    judge(machine, after, want)
  }
  if (ended === CUTS) throw new Finding('no erasing was cut: this proves nothing')
  return `${CUTS - ended} of ${CUTS} cut within ${whole} ms`
}
