// tests/crash/world.mjs -- one chain on one machine, through load, power cuts and restarts.
import { Connection, Pool } from './client.mjs'
import { judge, judgeFiles } from './judge.mjs'
import { Load } from './load.mjs'
import { Finding } from './machine.mjs'
import { Model } from './model.mjs'

const CONNECTIONS = 48
const YEAR_MS = 365 * 86400e3
const CLOCK_STEP_MS = 90e3 // more than the outbox keeps what the log has

// What all rounds together met: a proof that never saw a thing says nothing about it.
export const met = {
  checkpoints: 0,
  outboxes_trimmed: 0,
  cuts_while_starting: 0,
  cuts_while_stopping: 0,
  orderly_stops: 0,
  ext4: 0,
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

export class World {
  constructor(machine, chance) {
    this.machine = machine
    this.chance = chance
  }

  // A new chain: empty folder, its first key, its shops, products and coupons.  Runs when this returns.
  // A world with a clock stands at one instant, and jumps ahead with each start.
  async open(mode, env = {}, clock = false) {
    await this.close()
    this.mode = mode
    this.env = env
    this.clock = clock ? Date.now() : 0
    this.model = new Model()
    this.machine.empty(mode)
    this.key = this.machine.key()
    this.machine.set('writeback_permille=10')
    await this.start()
    await this.furnish()
  }

  async start() {
    this.program = await this.machine.start(this.machine.data, { ...this.env, ...this.tick() })
    this.pool = new Pool(this.program.port, this.key, CONNECTIONS)
    this.aside = new Connection(this.program.port, this.key) // for questions beside the load
  }

  // What time the next start has.
  tick() {
    if (this.clock === 0) return {}
    this.clock += CLOCK_STEP_MS
    return { TONGDIAN_CLOCK: String(this.clock) }
  }

  async metric(name) {
    const answer = await this.aside.request('GET', '/metrics')
    return Number(new RegExp(`^tongdian_${name} (\\d+)$`, 'm').exec(answer.text)[1])
  }

  // Ends what runs, without grace.
  async close() {
    this.pool?.close()
    this.aside?.close()
    await this.program?.kill()
    this.program = undefined
  }

  async furnish() {
    const { model } = this
    const now = Date.now()
    const at = (ms) => new Date(ms).toISOString()
    const open = { claim_from: at(now - YEAR_MS), claim_to: at(now + YEAR_MS) }
    const draft = { ...open, valid_from: at(now - YEAR_MS), valid_to: at(now + YEAR_MS) }
    for (let i = 0; i < 4; i++)
      model.stores.push((await this.make('/v1/stores', { code: `S${i}`, name: `Shop ${i}` })).id)
    for (let i = 0; i < 8; i++)
      model.products.push((await this.make('/v1/products', { code: `P${i}`, name: `Soap ${i}` })).code)
    const templates = [
      { kind: 'amount', amount_fen: 500, per_person: 0 },
      { kind: 'percent', rate_bps: 1500, cap_fen: 3000, per_person: 2 },
      { kind: 'amount', amount_fen: 800, min_spend_fen: 1000, per_person: 1 },
      { kind: 'amount', amount_fen: 900, stock: 300, per_person: 0 },
    ]
    for (const [i, t] of templates.entries()) {
      const body = { code: `C${i}`, name: `Coupon ${i}`, ...draft, ...t }
      model.templates.push((await this.make('/v1/coupon-templates', body)).id)
    }
  }

  async make(path, body) {
    const answer = await this.pool.one.request('POST', path, body)
    if (answer === null || answer.status >= 300)
      throw new Finding(`POST ${path}: ${answer?.status} ${answer?.text}`)
    return JSON.parse(answer.text)
  }

  load(collecting = true) {
    return new Load(this.model, this.pool, this.chance, collecting).run()
  }

  // The power fails.  Nothing that the program does after this counts.
  async cut() {
    this.pool.close()
    this.aside.close()
    await this.program.kill()
  }

  // One of the worlds that the disk may hold now; judged and thrown away.
  async judgeOne(seed) {
    const data = this.machine.crash(seed, 'one')
    const model = this.model.fork()
    const program = await this.machine.start(data, this.tick())
    const pool = new Pool(program.port, this.key, CONNECTIONS)
    try {
      model.faulty = false
      await judge(model, pool, this.chance)
    } catch (error) {
      throw said(error, program)
    } finally {
      pool.close()
      await program.kill()
    }
    judgeFiles(this.machine, data)
    const [[first]] = this.machine.query(data, 'SELECT coalesce(min(id), 1) FROM outbox')
    met.outboxes_trimmed += first === '1' ? 0 : 1
  }

  // The machine comes up with one of those worlds, and what was unsure is settled for good; `again`:
  // after the power failed once more while the program started.
  async resume(seed, again) {
    this.machine.reboot(seed, this.mode)
    if (again) {
      const program = this.machine.launch(this.machine.data, this.tick())
      await sleep(this.chance.below(120))
      await program.kill()
      met.cuts_while_starting++
      this.machine.reboot(seed + 1, this.mode)
    }
    await this.start()
    await this.judgeLive()
  }

  async judgeLive() {
    const model = this.model.fork()
    model.faulty = false
    try {
      await judge(model, this.pool, this.chance)
    } catch (error) {
      throw said(error, this.program)
    }
    this.model = model
  }
}

// With what the program itself had to say.
function said(error, program) {
  if (error instanceof Finding) error.message += `\n      its last words: ${program.tail()}`
  return error
}
