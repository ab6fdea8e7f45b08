// tests/crash/judge.mjs -- is everything that was promised there, once, and nothing else?
//
// First what was unsure is settled by sending it again with its key; after that nothing is unsure, and
// every sum must agree to the last one.  The first thing that is wrong is thrown as a Finding.
import { Finding } from './machine.mjs'
import { codeOf, count, describe, lost } from './model.mjs'

const OLDER_SAMPLE = 150 // of earlier rounds, besides everything of this one
const TIMELINES = 30
const PAGE = 200

export async function judge(model, pool, chance) {
  const view = new View(pool)
  const round = model.round
  const kept = model.kept(round)
  await view.want('GET', '/healthz')
  const older = model.wishes.filter((wish) => wish.reply !== undefined && wish.round !== round)
  await again(model, pool, [...kept, ...sample(chance, older, OLDER_SAMPLE)])
  const settled = await settle(model, pool)
  await again(model, pool, settled)
  await settleBatches(model, view)
  await checkTotals(model, view)
  await checkRedemptions(model, view)
  const mine = (list) => list.filter((x) => x.round === round)
  const others = (list) => sample(chance, list.filter((x) => x.round !== round), OLDER_SAMPLE)
  const some = (map) => [...mine([...map.values()]), ...others([...map.values()])]
  await checkCoupons(model, pool, some(model.coupons))
  await checkSales(pool, some(model.sales))
  await checkPeople(model, view, chance)
}

// Questions to the program; anything but 200 is a finding.
class View {
  constructor(pool) {
    this.pool = pool
  }

  async want(method, path, body) {
    return wanted(this.pool.one, method, path, body)
  }

  // Every item of a list that comes in pages.
  async all(path) {
    const items = []
    for (let next = ''; ; ) {
      const page = await this.want('GET', `${path}?limit=${PAGE}${next}`)
      items.push(...page.items)
      if (page.next === undefined) return items
      next = `&cursor=${encodeURIComponent(page.next)}`
    }
  }

  // What a person's timeline shows: "Coupon Redeemed 17" -> how often.
  async timeline(person) {
    const seen = new Map()
    for (const event of await this.all(`/v1/people/${person}/timeline`)) {
      const props = Object.fromEntries(event.properties.map((p) => [p.name, p.value]))
      const of = props.batch ?? props.redemption_id ?? props.coupon_id ?? props.order_id ?? ''
      count(seen, `${event.name} ${of}`.trim())
    }
    return seen
  }
}

async function wanted(connection, method, path, body) {
  const answer = await connection.request(method, path, body)
  if (answer === null) throw new Finding(`${method} ${path}: the program ended`)
  if (answer.status !== 200) throw new Finding(`${method} ${path}: ${codeOf(answer)} ${answer.text}`)
  return JSON.parse(answer.text)
}

function sample(chance, list, n) {
  return list.length <= n ? list : Array.from({ length: n }, () => chance.one(list))
}

function same(what, got, want) {
  if (got !== want) throw new Finding(`${what}: ${got}, promised ${want}`)
}

// ---- wishes ----

async function send(model, connection, wish) {
  const answer = await connection.request('POST', wish.path, wish.text, wish.key)
  if (answer === null) throw new Finding(`${describe(wish)}: the program ended`)
  if (answer.status >= 500) throw new Finding(`${describe(wish)}: ${codeOf(answer)}`)
  if (wish.reply !== undefined && answer.status >= 400) throw lost(wish, answer)
  model.answered(wish, answer)
}

// The repeat of a kept wish must get the same bytes.
async function again(model, pool, wishes) {
  await pool.each(wishes.filter((wish) => wish.reply !== undefined), (c, wish) => send(model, c, wish))
}

// Prerequisites first: a reversal of an unsure redemption was never sent, so any order will do.
async function settle(model, pool) {
  const unsure = model.unsure
  for (const wish of unsure) wish.lost = false
  await pool.each(unsure, (c, wish) => send(model, c, wish))
  return unsure
}

async function settleBatches(model, view) {
  for (const batch of model.batches.filter((b) => b.state === 'unsure')) {
    const there = (await view.timeline(batch.person)).get(`Page Viewed ${batch.id}`) ?? 0
    if (there !== 0 && there !== batch.count)
      throw new Finding(`a batch of ${batch.count} events is there by half: ${there}`)
    batch.state = there === 0 ? 'none' : 'kept'
  }
}

// ---- sums ----

// What each person's timeline must show; '' is nobody.
function timelines(model) {
  const people = new Map([['', new Map()], ...[...model.people.keys()].map((id) => [id, new Map()])])
  const add = (person, what, n) => count(people.get(person ?? ''), what, n)
  for (const id of model.people.keys()) add(id, 'Person Enrolled')
  for (const c of model.coupons.values()) add(c.person, `Coupon Claimed ${c.id}`)
  for (const r of model.redemptions.values()) {
    add(r.person, `Coupon Redeemed ${r.id}`)
    if (r.reversed) add(r.person, `Coupon Reversed ${r.id}`)
  }
  for (const s of model.sales.values())
    add(s.person, `Order ${s.kind === 'sale' ? 'Completed' : 'Refunded'} ${s.id}`)
  for (const b of model.batches)
    if (b.state === 'kept') add(b.person, `Page Viewed ${b.id}`, b.count)
  return people
}

async function checkTotals(model, view) {
  const events = new Map() // name, without the id behind it
  for (const timeline of timelines(model).values())
    for (const [what, n] of timeline) count(events, what.replace(/ [^ ]*\d[^ ]*$/, ''), n)
  const counts = await view.want('GET', '/v1/events/counts?from=2020-01-01&to=2100-01-01')
  const seen = new Map()
  for (const row of counts.items) count(seen, row.name, row.count)
  for (const name of new Set([...events.keys(), ...seen.keys()]))
    same(`events "${name}"`, seen.get(name) ?? 0, events.get(name) ?? 0)
  await checkColumns(view, events)
  await checkTemplates(model, view)
  const overview = await view.want('GET', '/v1/overview')
  const sales = [...model.sales.values()]
  same('people', overview.people, model.people.size)
  same('coupons', overview.coupons, model.coupons.size)
  same('sales', overview.orders, sales.filter((sale) => sale.kind === 'sale').length)
  same('turnover', overview.net_fen, sales.reduce((sum, sale) => sum + sale.net, 0))
}

// The event engine, which makes files of its own of what the log was given, has the same events.
async function checkColumns(view, events) {
  const trend = { of: 'any event', from: '2020-01-01', to: '2100-01-01', by: 'all', breakdown: ['event'], top: 256 }
  const answer = await view.want('POST', '/v1/query', { trend })
  const seen = new Map(answer.trend.series.map((s) => [s.values[0].value, Number(s.cells[0])]))
  for (const name of new Set([...events.keys(), ...seen.keys()]))
    same(`events "${name}" in columns`, seen.get(name) ?? 0, events.get(name) ?? 0)
}

async function checkTemplates(model, view) {
  const zero = () => ({ issued: 0, redeemed: 0, reversed: 0, discount_fen: 0, stock: undefined })
  const want = new Map(model.templates.map((id) => [id, zero()]))
  for (const coupon of model.coupons.values()) want.get(coupon.template).issued++
  for (const r of model.redemptions.values()) {
    const sums = want.get(r.template)
    sums.redeemed++
    sums.reversed += r.reversed ? 1 : 0
    sums.discount_fen += r.reversed ? 0 : r.discount
  }
  for (const [id, sums] of want) {
    const got = await view.want('GET', `/v1/coupon-templates/${id}`)
    for (const name of ['issued', 'redeemed', 'reversed', 'discount_fen'])
      same(`${name} of template ${id}`, got[name], sums[name])
    if (got.stock > 0 && got.issued > got.stock) throw new Finding(`template ${id} gave more than its stock`)
  }
}

async function checkRedemptions(model, view) {
  const active = new Map()
  const listed = await view.all('/v1/redemptions')
  for (const r of listed) {
    const mine = model.redemptions.get(r.id)
    if (mine === undefined) throw new Finding(`redemption ${r.id} of coupon ${r.coupon} was promised to nobody`)
    same(`coupon of redemption ${r.id}`, r.coupon, mine.coupon)
    same(`redemption ${r.id} is taken back`, r.reversed_at !== undefined, mine.reversed)
    if (r.reversed_at === undefined) count(active, r.coupon)
  }
  same('redemptions in the list', listed.length, model.redemptions.size)
  for (const [coupon, n] of active) if (n > 1) throw new Finding(`coupon ${coupon} is redeemed ${n} times`)
}

// ---- one by one ----

async function checkCoupons(model, pool, coupons) {
  const active = new Map()
  for (const r of model.redemptions.values()) if (!r.reversed) active.set(r.coupon, r.id)
  await pool.each(coupons, async (connection, coupon) => {
    const got = await wanted(connection, 'GET', `/v1/coupons/${coupon.code}`)
    same(`id of coupon ${coupon.code}`, got.id, coupon.id)
    same(`person of coupon ${coupon.id}`, got.person, coupon.person)
    same(`redemption of coupon ${coupon.id}`, got.redemption, active.get(coupon.id))
    same(`state of coupon ${coupon.id}`, got.state, active.has(coupon.id) ? 'redeemed' : 'issued')
  })
}

async function checkSales(pool, sales) {
  await pool.each(sales, async (connection, sale) => {
    const got = await wanted(connection, 'GET', `/v1/sales/${sale.id}`)
    const promised = JSON.parse(sale.text)
    for (const name of ['kind', 'person', 'store', 'till', 'number', 'net_fen', 'coupon_discount_fen', 'lines'])
      same(`${name} of receipt ${sale.id}`, JSON.stringify(got[name]), JSON.stringify(promised[name]))
  })
}

async function checkPeople(model, view, chance) {
  const expected = timelines(model)
  const fresh = model.batches.filter((b) => b.round === model.round).map((b) => b.person)
  const any = sample(chance, [...model.people.keys()], TIMELINES)
  const people = new Set([...sample(chance, fresh, TIMELINES), ...any])
  for (const id of people) {
    const want = expected.get(id)
    const got = await view.timeline(id)
    for (const what of new Set([...want.keys(), ...got.keys()]))
      same(`"${what}" in the timeline of person ${id}`, got.get(what) ?? 0, want.get(what) ?? 0)
    const wallet = await view.want('POST', '/v1/wallets', { phone: model.people.get(id) })
    const coupons = [...want.keys()].filter((what) => what.startsWith('Coupon Claimed ')).length
    same(`coupons in the wallet of person ${id}`, wallet.items.length, Math.min(coupons, PAGE))
  }
}

// ---- the files, while no program has them open ----

const QUERIES = {
  'the database is damaged': ["PRAGMA integrity_check", 'ok'],
  'a row points nowhere': ['PRAGMA foreign_key_check', ''],
  'a coupon is redeemed twice': [
    `SELECT coupon, count(*) FROM coupon_redemption r WHERE NOT EXISTS
     (SELECT 1 FROM coupon_reversal v WHERE v.id = r.id) GROUP BY coupon HAVING count(*) > 1`, ''],
}

export function judgeFiles(machine, data) {
  for (const [what, [sql, want]] of Object.entries(QUERIES)) {
    const rows = machine.query(data, sql).map((row) => row.join(' ')).join(', ')
    if (rows !== want) throw new Finding(`${what}: ${rows}`)
  }
  if (machine.hasCheck) machine.check(data)
}
