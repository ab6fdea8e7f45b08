// tests/crash/load.mjs -- what shops and customers do all at once, chosen by a seed.
import { randomBytes } from 'node:crypto'

const RECENT = 300
const RETRY_MS = 20

// Seeded, so that a round can be played again (mulberry32).
export class Chance {
  constructor(seed) {
    this.state = seed >>> 0
  }

  next() {
    this.state = (this.state + 0x6d2b79f5) >>> 0
    let z = this.state
    z = Math.imul(z ^ (z >>> 15), z | 1)
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61)
    return (z ^ (z >>> 14)) >>> 0
  }

  below(n) {
    return this.next() % n
  }

  one(list) {
    return list[this.below(list.length)]
  }

  // One of the newest of a growing list or map.
  recent(collection) {
    const size = collection.length
    return size === 0 ? undefined : collection[size - 1 - this.below(Math.min(size, RECENT))]
  }
}

// key: a UUIDv7, or a plain word; both are allowed.
function newKey(chance) {
  const hex = Date.now().toString(16).padStart(12, '0') + '7' + randomBytes(10).toString('hex').slice(0, 19)
  if (chance.below(5) === 0) return `wish-${hex}`
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

export class Load {
  constructor(model, pool, chance, collecting = true) {
    this.collecting = collecting
    this.model = model
    this.pool = pool
    this.chance = chance
    this.over = false
    this.wallet = [...model.coupons.values()]
    this.used = [...model.redemptions.values()]
    this.receipts = [...model.sales.values()].filter((sale) => sale.kind === 'sale')
    this.phones = [...model.people.values()]
    this.done = 0
  }

  // Ends when the program does, or at stop().  A finding ends it too.
  run() {
    const worker = async (connection, number) => {
      while (!this.over) await this.step(connection, number)
    }
    this.running = Promise.all(this.pool.connections.map(worker)).finally(() => (this.over = true))
    this.running.catch((error) => (this.error = error)) // whoever calls stop() hears of it, too
    return this
  }

  async stop() {
    this.over = true
    await this.running
  }

  step(connection, number) {
    const n = this.chance.below(100)
    let at = 0
    for (const [share, act] of ACTS) if (n < (at += share)) return act(this, connection, number)
  }

  // Sends a wish until there is an answer; a few are sent by two connections at once.
  async send(connection, wish) {
    const connections = this.chance.below(12) === 0 ? [connection, this.rival(connection)] : [connection]
    await Promise.all(connections.map((c) => this.attempt(c, wish)))
  }

  // A further connection, for what happens at the same time.
  rival(connection) {
    return this.pool.rival(connection)
  }

  async attempt(connection, wish) {
    for (;;) {
      const had = wish.reply !== undefined
      const answer = await connection.request('POST', wish.path, wish.text, wish.key)
      this.model.answered(wish, answer)
      if (answer === null) this.over = true
      else if (answer.status < 300 && !had) this.remember(wish)
      if (answer === null || answer.status < 500 || this.over) return
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
    }
  }

  // What was kept can be acted upon.
  remember(wish) {
    this.done++
    const reply = JSON.parse(wish.reply.text)
    if (wish.kind === 'claim') this.wallet.push(this.model.coupons.get(reply.id))
    if (wish.kind === 'claim' || wish.kind === 'enrol') this.phones.push(JSON.parse(wish.text).phone)
    if (wish.kind === 'redeem') this.used.push(this.model.redemptions.get(reply.id))
    if (wish.kind === 'sale') {
      this.receipts.push(this.model.sales.get(reply.id))
      for (const r of reply.redemptions) this.used.push(this.model.redemptions.get(r.redemption))
    }
  }

  wish(kind, path, body) {
    return this.model.wish(kind, path, body, newKey(this.chance))
  }

  newPhone() {
    return `1${this.chance.one([38, 39, 50, 58, 86])}${String(this.chance.below(1e8)).padStart(8, '0')}`
  }

  sale(number, coupons, phone) {
    const lines = Array.from({ length: 1 + this.chance.below(4) }, () => ({
      product: this.chance.one(this.model.products),
      quantity: 1 + this.chance.below(5),
      amount_fen: 2000 + this.chance.below(20000),
    }))
    const receipt = { till: `T${number}`, number: newKey(this.chance), lines, coupons }
    if (phone !== undefined) receipt.phone = phone
    return this.wish('sale', '/v1/sales', { store: this.chance.one(this.model.stores), ...receipt })
  }

  redemption(coupon, byCode) {
    const which = byCode ? { code: coupon.code } : { coupon: coupon.id }
    const store = this.chance.one(this.model.stores)
    return this.wish('redeem', '/v1/redemptions', { ...which, store, spend_fen: 30000 })
  }
}

// ---- what there is to do: its share of a hundred, how ----

function claim(load, connection, phone) {
  const { chance, model } = load
  const template = chance.one(model.templates)
  const body = { phone, channel: chance.one(['h5', 'counter']) }
  if (chance.below(3) === 0) body.name = chance.one(['李雷', '韩梅梅', 'Zoë'])
  return load.send(connection, load.wish('claim', `/v1/coupon-templates/${template}/claims`, body))
}

function redeem(load, connection, byCode) {
  const coupon = load.chance.recent(load.wallet)
  if (coupon === undefined) return claim(load, connection, load.newPhone())
  return load.send(connection, load.redemption(coupon, byCode))
}

// Two tills, one coupon, one moment.
async function race(load, connection, number) {
  const coupon = load.wallet.at(-1)
  if (coupon === undefined) return
  const till = load.chance.below(2) === 0
  const wish = till ? load.redemption(coupon, false) : load.sale(number, [{ code: coupon.code }])
  const rival = load.redemption(coupon, true)
  await Promise.all([load.attempt(connection, wish), load.attempt(load.rival(connection), rival)])
}

function sell(load, connection, number) {
  const coupon = load.chance.below(4) === 0 ? undefined : load.chance.recent(load.wallet)
  const phone = load.chance.below(2) === 0 ? undefined : load.chance.recent(load.phones)
  if (coupon === undefined) return load.send(connection, load.sale(number, [], phone))
  return load.send(connection, load.sale(number, [{ coupon: coupon.id }]))
}

function reverse(load, connection) {
  const redemption = load.chance.recent(load.used)
  if (redemption === undefined) return sell(load, connection, 0)
  const path = `/v1/redemptions/${redemption.id}/reversal`
  return load.send(connection, load.wish('reversal', path, { reason: 'wrong customer' }))
}

function giveBack(load, connection, number) {
  const sale = load.chance.recent(load.receipts)
  if (sale === undefined) return sell(load, connection, number)
  const all = sale.left.flatMap((quantity, i) => (quantity > 0 ? [{ line: i + 1, quantity }] : []))
  const lines = load.chance.below(2) === 0 && all.length > 0 ? all : [{ line: 1, quantity: 1 }]
  const body = { till: `T${number}`, number: newKey(load.chance), lines }
  return load.send(connection, load.wish('return', `/v1/sales/${sale.id}/returns`, body))
}

async function collect(load, connection) {
  const { chance, model } = load
  if (!load.collecting) return claim(load, connection, load.newPhone())
  const coupon = chance.recent(load.wallet)
  if (coupon === undefined) return
  const batch = { id: newKey(chance), person: coupon.person, count: 1 + chance.below(40), round: model.round }
  model.batches.push(batch)
  const events = Array.from({ length: batch.count }, (_, i) => ({
    id: `${batch.id}-${i}`,
    name: 'Page Viewed',
    actor: { kind: 'person', value: batch.person },
    properties: { batch: batch.id, place: i, price: 12.5, tags: ['a', 'b'] },
    context: { page: 'x'.repeat(chance.below(200)) },
  }))
  batch.state = 'unsure'
  const answer = await connection.request('POST', '/v1/events', { source: 'crash', events })
  model.batchAnswered(batch, answer)
  if (answer === null) load.over = true
  else if (answer.status < 300) load.done++
  else await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
}

const ACTS = [
  [20, (load, connection) => claim(load, connection, load.newPhone())],
  [12, (load, connection) => claim(load, connection, load.chance.recent(load.phones) ?? load.newPhone())],
  [4, enrol],
  [12, (load, connection) => redeem(load, connection, true)],
  [8, (load, connection) => redeem(load, connection, false)],
  [8, race],
  [14, sell],
  [6, reverse],
  [6, giveBack],
  [10, collect],
]

function enrol(load, connection) {
  const body = { phone: load.newPhone(), name: '王芳' }
  return load.send(connection, load.wish('enrol', '/v1/people', body))
}
