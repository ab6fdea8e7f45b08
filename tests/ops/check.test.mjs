// tests/ops/check.test.mjs -- `check` is silent when all is well, and names what was flipped by hand.
import assert from 'node:assert/strict'
import { copyFileSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { check, load, mustBeWell, openShop, run, runBeside, sql } from './shop.mjs'

let w
before(async () => (w = await openShop()))
after(() => w.close())

test('all is well beside the running server, and it says what was counted', () => {
  const counted = mustBeWell(w.data).counted
  assert.equal(counted['Coupon Claimed'], 4)
  assert.ok(counted['Coupon Redeemed'] >= 2)
  assert.equal(counted['Coupon Reversed'], 1)
  assert.ok(counted['Order Completed'] >= 1)
  assert.equal(counted['Order Refunded'], 1)
  assert.equal(counted['Person Enrolled'], 4)
  const text = run(['check', '--data', w.data, '--log-level', 'off'])
  assert.equal(text.status, 0, text.err)
  assert.match(text.out, /All well/)
})

test('what another process writes is seen by the next look: no state of the database outlives a turn', async () => {
  const coupon = await w.claim(w.open)
  const look = async () => (await w.want(200, 'GET', `/v1/coupons/${coupon.code}`)).name
  const was = await look()
  sql(w.db, `UPDATE coupon_template SET name = 'another' WHERE id = ${w.open.id}`)
  assert.equal(await look(), 'another')
  sql(w.db, `UPDATE coupon_template SET name = '${was}' WHERE id = ${w.open.id}`)
  assert.equal(await look(), was)
})

test('all is well while claims, redemptions and sales come in', async () => {
  const l = load(w)
  for (let i = 0; i < 6; i++) {
    const r = await runBeside(['check', '--json', '--log-level', 'off', '--data', w.data])
    assert.equal(r.status, 0, r.out + r.err)
  }
  const done = await l.stop()
  assert.ok(done.claims > 20, JSON.stringify(done))
})

test('a source that our own rooms speak under is refused from outside', async () => {
  const events = [{ id: '1', name: 'Coupon Claimed' }]
  await w.refused(400, 'event.source_reserved', 'POST', '/v1/events', { source: 'coupon', events })
  await w.want(200, 'POST', '/v1/events', { source: 'till', events })
})

const GONE = 1 // a number that nothing has
const FLIPS = [
  ['a stock counter', 'UPDATE coupon_stock SET issued = issued + 1 WHERE issued > 0', /^coupon template \d+: the issued count/],
  ['a day counter of coupons', 'UPDATE coupon_day SET redeemed = redeemed + 1', /^coupon template \d+: the day counts/],
  ['a day counter of discounts', 'UPDATE coupon_day SET discount_fen = discount_fen - 1', /^coupon template \d+: the day counts/],
  ['a coupon state', 'UPDATE coupon_state SET redemption = -17592186044416 WHERE id = (SELECT max(id) FROM coupon_state WHERE redemption > 0)', /^coupon \d+: its state/],
  ['a missing coupon state', 'DELETE FROM coupon_state WHERE id = (SELECT max(id) FROM coupon_state)', /^coupon \d+: its state/],
  ['a coupon of nobody', `UPDATE coupon SET person = ${GONE} WHERE id = (SELECT min(id) FROM coupon_state WHERE redemption < 0)`, /^coupon \d+: its owner, person 1, is not there/],
  ['a coupon without template', `UPDATE coupon SET template = ${GONE} WHERE id = (SELECT max(id) FROM coupon)`, /^coupon \d+: its template 1 is not there/],
  ['a stock without template', `INSERT INTO coupon_stock(id, issued) VALUES (${GONE}, 0)`, /^coupon template 1: is not there, but has a stock/],
  ['a template of no campaign', `UPDATE coupon_template SET campaign = ${GONE}`, /^coupon template \d+: its campaign 1 is not there/],
  ['a gift that is no product', `UPDATE coupon_template SET gift_product = ${GONE}`, /^coupon template \d+: its gift, product 1, is not there/],
  ['a scope of no product', `INSERT INTO coupon_template_product SELECT max(id), ${GONE} FROM coupon_template`, /^coupon template \d+: covers product 1, which/],
  ['a product scope without template', `INSERT INTO coupon_template_product SELECT ${GONE}, max(id) FROM product`, /^coupon template 1: is not there, but covers product/],
  ['a scope of no shop', `INSERT INTO coupon_template_store SELECT max(id), ${GONE} FROM coupon_template`, /^coupon template \d+: is for store 1, which/],
  ['a shop scope without template', `INSERT INTO coupon_template_store SELECT ${GONE}, max(id) FROM store`, /^coupon template 1: is not there, but is for store/],
  ['a redemption of another discount', 'UPDATE coupon_redemption SET discount_fen = discount_fen + 1 WHERE id = (SELECT min(id) FROM coupon_redemption)', /^coupon template \d+: the day counts/],
  ['a redemption without coupon', 'DELETE FROM coupon WHERE id = (SELECT min(coupon) FROM coupon_redemption)', /^redemption \d+: |^coupon \d+: .*redemption/],
  ['a redemption in no shop', `UPDATE coupon_redemption SET store = ${GONE}`, /^redemption \d+: its store 1 is not there/],
  ['a redemption without its order', `UPDATE coupon_redemption SET sale = ${GONE}`, /^redemption \d+: its order 1 is not there/],
  ['a lost reversal', 'DELETE FROM coupon_reversal', /^coupon \d+: its state/],
  ['a reversal without redemption', `INSERT INTO coupon_reversal VALUES (${GONE}00, 0, 0, '')`, /^reversal 100: is not there|reversal.* 100|redemption 100/],
  ['an order total', 'UPDATE orders SET net_fen = net_fen + 1 WHERE kind = 1', /^order \d+: its totals/],
  ['an order line', 'UPDATE order_line SET net_fen = net_fen + 1', /^order \d+: its totals/],
  ['a line without order', `INSERT INTO order_line VALUES (${GONE}, 7, 0, 1, 0, 0, 0, 0, 0)`, /^order 1: is not there, but has a line 7/],
  ['a line of no product', `UPDATE order_line SET product = ${GONE}`, /^order \d+: its product 1 is not there/],
  ['a tender without order', `INSERT INTO order_tender VALUES (${GONE}, 3, 'cash', 0)`, /^order 1: is not there, but has a tender 3/],
  ['tenders that do not pay', "INSERT INTO order_tender SELECT max(id), 99, 'cash', 1 FROM orders", /^order \d+: its tenders/],
  ['a day of sales', 'UPDATE order_day SET net_fen = net_fen + 1', /^store \d+: a day's sales/],
  ['a day without orders', `INSERT INTO order_day VALUES (20200101, ${GONE}, 1, 0, 5, 0, 0, 0)`, /^store 1: its day 20200101 has sales/],
  ['an order of nobody', `UPDATE orders SET person = ${GONE}`, /^order \d+: its buyer, person 1, is not there/],
  ['an order in no shop', `UPDATE orders SET store = ${GONE}`, /^order \d+: its store 1 is not there/],
  ['a return of nothing', `UPDATE orders SET original = ${GONE} WHERE kind = 2`, /^order \d+: is a return of sale 1, which/],
  ['a lost person', 'DELETE FROM person WHERE id = (SELECT min(id) FROM person)', /^person \d+: an identifier of kind 1 names this person/],
  ['a link to nobody', `UPDATE person SET root = ${GONE}`, /^person \d+: is linked to person 1, who/],
  ['last four digits of nobody', `INSERT INTO person_last4 VALUES (x'00', ${GONE})`, /^person 1: last four digits/],
  ['a name of nobody', `INSERT INTO person_gram VALUES (x'00', ${GONE})`, /^person 1: parts of a name/],
  ['attributes of nobody', `INSERT INTO person_attribute VALUES (${GONE}, 'a', 'b')`, /^person 1: attributes are of/],
  ['a target of no campaign', `INSERT INTO campaign_target SELECT ${GONE}, max(id) FROM person`, /^campaign 1: is not there, but has person/],
  ['a target that is nobody', `INSERT INTO campaign_target VALUES (2, ${GONE})`, /^campaign 2: its target person 1 is not there/],
  ['a session of nobody', `INSERT INTO staff_session VALUES (5, x'00', ${GONE}, 0, 0)`, /^staff 1: session 5 is of this account/],
  ['a person without event', "INSERT INTO person SELECT 4242, 4242, data_key, name, store, channel, enrolled_ms FROM person LIMIT 1", /^person 4242: has no event "Person Enrolled"/],
  ['an order whose row is gone', 'DELETE FROM order_line WHERE sale IN (SELECT id FROM orders WHERE kind = 2); DELETE FROM orders WHERE kind = 2', /^order \d+: is not there, but the log has its event "Order Refunded"/],
  ['a redemption whose row is gone', 'DELETE FROM coupon_redemption WHERE id = (SELECT max(id) FROM coupon_redemption)', /^redemption \d+: is not there, but the log has its event/],
  ['an outbox row that says something else', 'UPDATE outbox SET events = (SELECT events FROM outbox ORDER BY id LIMIT 1) WHERE id = (SELECT max(id) FROM outbox)', /^outbox row \d+: the log holds other events/],
  ['an outbox row that was never applied', 'INSERT INTO outbox SELECT 0, at_ms, events FROM outbox ORDER BY id LIMIT 1', /^outbox row: the log's manifest counts it as applied/],
]

test('every kind of row that is flipped by hand is named, and nothing once it is put back', async (t) => {
  await w.stop()
  mustBeWell(w.data)
  const safe = join(w.folder, 'safe.db')
  sql(w.db, 'PRAGMA wal_checkpoint(TRUNCATE)')
  copyFileSync(w.db, safe)
  for (const [name, change, expected] of FLIPS)
    await t.test(name, () => {
      const before = sql(w.db, 'SELECT total_changes()')
      const changed = sql(w.db, `${change}; SELECT total_changes()`)
      assert.notEqual(changed.split('\n').pop(), before, 'the test changed nothing')
      const r = check(w.data)
      sql(w.db, 'PRAGMA wal_checkpoint(TRUNCATE)')
      copyFileSync(safe, w.db)
      assert.equal(r.status, 1)
      const said = r.json.findings.map((f) => `${f.row}: ${f.what}`)
      assert.ok(said.some((s) => expected.test(s)), `${expected} not in\n${said.join('\n')}`)
      for (const f of r.json.findings) assert.ok(f.do.length > 10)
    })
  mustBeWell(w.data)
  await w.start()
})

test('a changed audit row breaks the chain of seals, which is named', async () => {
  await w.stop()
  // Old enough to be sealed at the next start's job.
  sql(w.db, "UPDATE audit SET at_ms = at_ms - 200000; UPDATE job SET due_ms = 0 WHERE kind = 'audit.seal'")
  await w.start()
  for (let i = 0; i < 200 && sql(w.db, 'SELECT count(*) FROM audit_seal') === '0'; i++)
    await new Promise((resolve) => setTimeout(resolve, 400))
  await w.stop()
  mustBeWell(w.data)
  const was = sql(w.db, 'SELECT id, who FROM audit ORDER BY id LIMIT 1').split('|')
  sql(w.db, `UPDATE audit SET who = who + 1 WHERE id = ${was[0]}`)
  const r = check(w.data)
  sql(w.db, `UPDATE audit SET who = ${was[1]} WHERE id = ${was[0]}`)
  assert.equal(r.status, 1)
  assert.match(JSON.stringify(r.json.findings), /"audit".*seal 1 does not fit/)
  mustBeWell(w.data)
  await w.start()
})

test('a command whose clock was set back writes behind what is sealed', async () => {
  const before = sql(w.db, 'SELECT max(id) FROM audit')
  const r = run(['key', 'add', 'late', '--clock', String(Date.now() - 12 * 3600e3), '--data', w.data])
  assert.equal(r.status, 0, r.err)
  assert.ok(BigInt(sql(w.db, 'SELECT max(id) FROM audit')) > BigInt(before))
  mustBeWell(w.data)
})

test('a flipped byte in a file of the event log is named, with the file', async () => {
  await w.stop()
  const folder = join(w.data, 'events', 'log')
  for (const name of readdirSync(folder).filter((n) => n.endsWith('.log') || n === 'manifest')) {
    const file = join(folder, name)
    const good = readFileSync(file)
    const end = good.length - [...good].reverse().findIndex((b) => b !== 0)
    for (const at of [0, 20, 90, Math.floor(end / 2), end - 3]) {
      if (at >= end) continue
      const bad = Buffer.from(good)
      bad[at] ^= 0x10
      writeFileSync(file, bad)
      const r = check(w.data)
      writeFileSync(file, good)
      assert.equal(r.status, 1, `${name} at ${at}`)
      assert.ok(r.json.findings.some((f) => f.row.includes(name)), JSON.stringify(r.json.findings))
    }
  }
  mustBeWell(w.data)
  await w.start()
})

test('a damaged page of the database is named', async () => {
  await w.stop()
  sql(w.db, 'PRAGMA wal_checkpoint(TRUNCATE)')
  const good = readFileSync(w.db)
  const root = Number(sql(w.db, "SELECT rootpage FROM sqlite_schema WHERE name = 'coupon_person'"))
  const bad = Buffer.from(good)
  bad.fill(0xee, (root - 1) * 2048 + 8, (root - 1) * 2048 + 40)
  writeFileSync(w.db, bad)
  const r = run(['check', '--json', '--log-level', 'off', '--data', w.data])
  writeFileSync(w.db, good)
  assert.equal(r.status, 1)
  assert.match(r.out + r.err, /database|corrupt|malformed/)
  mustBeWell(w.data)
  await w.start()
})

test('after a kill -9 all is well, before and after the next start', async () => {
  const l = load(w)
  await new Promise((resolve) => setTimeout(resolve, 700))
  w.server.kill('SIGKILL')
  await w.ended
  await l.stop().catch(() => {})
  mustBeWell(w.data)
  await w.start()
  mustBeWell(w.data)
})

test('a folder that is not there is refused with a sentence', () => {
  const r = run(['check', '--data', join(w.folder, 'none')])
  assert.equal(r.status, 1)
  assert.match(r.err, /no data folder/)
})
