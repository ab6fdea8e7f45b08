// tests/crash/model.mjs -- what the program has promised: every wish, its answer, and what follows of it.
//
// A wish is one request that changes something, with its Idempotency-Key.  It may be sent several
// times.  It ends as kept (2xx: from now on it must be there), refused (4xx: nothing happened), or
// unsure (nobody answered, or 5xx): then sending it again with its key must make it happen once.
import { Finding } from './machine.mjs'

// The refusals that rivals for one coupon, piece of stock or line may get.
const REFUSALS = {
  enrol: [],
  claim: ['coupon.limit', 'coupon.sold_out'],
  redeem: ['coupon.used'],
  sale: ['coupon.used'],
  reversal: ['coupon.reversed', 'coupon.with_sale'],
  return: ['order.returned'],
  batch: [],
}

export function count(map, key, n = 1) {
  map.set(key, (map.get(key) ?? 0) + n)
}

export class Model {
  round = 0
  faulty = false // the disk is made to fail: 5xx is an answer
  templates = [] // ids
  stores = []
  products = []
  wishes = [] // all but the batches, oldest first
  people = new Map() // id -> phone
  coupons = new Map() // id -> {id, code, template, person, round}
  redemptions = new Map() // id -> {id, coupon, template, person, sale, discount, reversed}
  sales = new Map() // id -> {id, kind, person, net, text, round, left}: pieces left of each line
  batches = [] // {id, person, count, state: kept | unsure | none, round}
  answers = new Map() // "201", "409 coupon.used", ... -> how often

  fork() {
    return Object.assign(new Model(), structuredClone({ ...this }))
  }

  wish(kind, path, body, key) {
    const wish = { kind, path, text: JSON.stringify(body), key, round: this.round }
    this.wishes.push(wish)
    return wish
  }

  get unsure() {
    return this.wishes.filter((wish) => wish.unsure)
  }

  kept(round) {
    return this.wishes.filter((wish) => wish.reply !== undefined && wish.round === round)
  }

  // One attempt ended.  answer: {status, text}, or null when none came.
  answered(wish, answer) {
    const code = answer === null ? 'none' : codeOf(answer)
    count(this.answers, code)
    const broken = answer !== null && answer.status >= 500 && this.faulty
    if (answer !== null && answer.status >= 200 && answer.status < 300) return this.keep(wish, answer)
    wish.lost ||= answer === null // that attempt may still have happened, whatever another is told
    wish.unsure = wish.reply === undefined && (wish.lost || broken)
    if (answer === null || broken) return
    if (!REFUSALS[wish.kind].includes(code.slice(4)))
      throw new Finding(`${describe(wish)} was answered ${code}: ${answer.text.slice(0, 200)}`)
  }

  keep(wish, answer) {
    wish.unsure = false
    if (wish.reply === undefined) {
      wish.reply = answer
      TAKE[wish.kind](this, wish, JSON.parse(answer.text))
    } else if (wish.reply.status !== answer.status || wish.reply.text !== answer.text) {
      throw lost(wish, answer)
    }
  }

  // Events have no Idempotency-Key: what came of an unsure batch, only the log can tell.
  batchAnswered(batch, answer) {
    count(this.answers, answer === null ? 'none' : codeOf(answer))
    batch.state = 'unsure'
    if (answer === null || (answer.status >= 500 && this.faulty)) return
    if (answer.status !== 200 || JSON.parse(answer.text).accepted !== batch.count)
      throw new Finding(`a batch of ${batch.count} events was answered ${answer.status} ${answer.text}`)
    batch.state = 'kept'
  }

  addPerson(id, phone) {
    if (this.people.get(id) === undefined) this.people.set(id, phone)
    else if (this.people.get(id) !== phone) throw new Finding(`person ${id} has two phone numbers`)
  }

  addRedemption(id, coupon, discount, sale) {
    const { template, person } = this.coupons.get(coupon)
    if (this.redemptions.has(id)) throw new Finding(`redemption ${id} was given to two redeemers`)
    this.redemptions.set(id, { id, coupon, template, person, sale, discount, reversed: false })
  }

  addReceipt(wish, reply, left) {
    const { id, kind, person, net_fen } = reply
    if (this.sales.has(id)) throw new Finding(`receipt ${id} was stored for two sales`)
    this.sales.set(id, { id, kind, person, net: net_fen, text: wish.reply.text, round: wish.round, left })
  }
}

// What a kept wish brought into the world.
const TAKE = {
  enrol(model, wish, reply) {
    model.addPerson(reply.id, JSON.parse(wish.text).phone)
  },
  claim(model, wish, reply) {
    const { id, code, template, person } = reply
    model.addPerson(person, JSON.parse(wish.text).phone)
    if (model.coupons.has(id)) throw new Finding(`coupon ${id} was given to two claimers`)
    model.coupons.set(id, { id, code, template, person, round: wish.round })
  },
  redeem(model, wish, reply) {
    model.addRedemption(reply.id, reply.coupon, reply.discount_fen)
  },
  sale(model, wish, reply) {
    const redemptions = reply.redemptions.map((r) => r.redemption)
    for (const r of reply.redemptions) model.addRedemption(r.redemption, r.coupon, r.discount_fen, reply.id)
    model.addReceipt(wish, reply, reply.lines.map((line) => line.quantity))
    model.sales.get(reply.id).redemptions = redemptions
  },
  reversal(model, wish, reply) {
    model.redemptions.get(reply.id).reversed = true
  },
  // With the last piece of a sale its coupons come back.
  return(model, wish, reply) {
    const sale = model.sales.get(reply.original)
    for (const { line, quantity } of JSON.parse(wish.text).lines) sale.left[line - 1] -= quantity
    if (sale.left.some((n) => n < 0)) throw new Finding(`more came back than sale ${sale.id} had`)
    if (sale.left.every((n) => n === 0))
      for (const id of sale.redemptions) model.redemptions.get(id).reversed = true
    model.addReceipt(wish, reply, [])
  },
}

// "201", "409 coupon.used", "503 disk.full".
export function codeOf(answer) {
  if (answer.status < 400) return String(answer.status)
  return `${answer.status} ${/"code":"([^"]*)"/.exec(answer.text)?.[1] ?? ''}`
}

// The answer to a repeat is not the first one: that was forgotten, or done again.
export function lost(wish, answer) {
  const first = `${wish.reply.status} ${wish.reply.text}`
  return new Finding(`lost: ${describe(wish)}\n      was ${first}\n      now ${answer.status} ${answer.text}`)
}

export function describe(wish) {
  return `${wish.kind} ${wish.key} (POST ${wish.path} ${wish.text})`
}
