// tests/http/rules.test.mjs -- who may have a coupon and when, and codes that nobody can guess.
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { after, before, test } from 'node:test'
import { DAY, HOUR, World } from './world.mjs'

// 2026-11-21 12:00 in China; the clock stands, and moves on, never back, by a restart.
const NOON = 1795233600000
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const at = (ms) => new Date(ms).toISOString()

let w, store
before(async () => {
  w = await World.open({ clock: NOON })
  store = await w.store()
})
after(() => w.close())

const redeem = (coupon) => ['POST', '/v1/redemptions', { code: coupon.code, store: store.id }]

test('a template is open from claim_from on and until claim_to', async () => {
  const claim = (template) => ['POST', `/v1/coupon-templates/${template.id}/claims`, { phone: w.phone() }]
  const window = (from, to) => w.template({ claim_from: at(from), claim_to: at(to) })
  await w.want(201, ...claim(await window(w.clock, w.clock + 1)))
  await w.refused(409, 'coupon.not_open', ...claim(await window(w.clock + 1, w.clock + DAY)))
  await w.refused(409, 'coupon.not_open', ...claim(await window(w.clock - DAY, w.clock)))
})

test('a person may have as many as the template says, by phone or card, redeemed or not', async () => {
  const template = await w.template({ per_person: 2 })
  const phone = w.phone()
  await w.want(201, 'POST', '/v1/people', { phone, card: 'CARD-LIMIT' })
  const path = `/v1/coupon-templates/${template.id}/claims`
  const one = await w.want(201, 'POST', path, { phone })
  await w.want(201, ...redeem(one))
  await w.want(201, 'POST', path, { card: 'CARD-LIMIT' })
  await w.refused(409, 'coupon.limit', 'POST', path, { phone: `0086${phone}` })
  await w.want(201, 'POST', path, { phone: w.phone() })
})

test('a coupon is redeemed in its window only, and time decides on the spot', async () => {
  const now = w.clock
  const later = await w.claim(await w.template({ valid_from: at(now + HOUR), valid_to: at(now + 2 * HOUR) }))
  const days = await w.claim(await w.template({ valid_days: 3, valid_to: at(now + 30 * DAY) }))
  const soon = await w.claim(await w.template({ valid_to: at(now + 1) }))
  assert.equal(later.state, 'not_yet')
  assert.equal(Date.parse(days.valid_to), now + 3 * DAY)
  await w.refused(409, 'coupon.not_yet', ...redeem(later))
  await w.restart(now + HOUR)
  await w.refused(409, 'coupon.expired', ...redeem(soon))
  assert.equal((await w.want(200, 'GET', `/v1/coupons/${soon.code}`)).state, 'expired')
  await w.want(201, ...redeem(later))
  await w.restart(now + 3 * DAY - 1)
  assert.equal((await w.want(200, 'GET', `/v1/coupons/${days.code}`)).state, 'issued')
  await w.restart(now + 3 * DAY)
  await w.refused(409, 'coupon.expired', ...redeem(days))
})

test('a repeat gets its first reply the next day too', async () => {
  const coupon = await w.claim(await w.template())
  const options = { key: '018f0000-0000-7000-8000-000000000001' }
  const first = await w.call(...redeem(coupon), options)
  await w.restart(w.clock + 20 * HOUR)
  assert.equal((await w.call(...redeem(coupon), options)).text, first.text)
})

test('a clock that was set back over a restart gives no id twice', async () => {
  const template = await w.template({ per_person: 0 })
  const before = await w.want(201, 'POST', '/v1/people', { phone: w.phone() })
  for (const clock of [w.clock - 12 * HOUR, w.clock - 12 * HOUR]) { // and stands there over the next one
    await w.restart(clock)
    const person = await w.want(201, 'POST', '/v1/people', { phone: w.phone() })
    assert.ok(BigInt(person.id) > BigInt(before.id))
    await w.want(201, ...redeem(await w.claim(template)))
  }
})

test('codes are forgiven what people mistype, and cannot be guessed or forged', async () => {
  const template = await w.template({ per_person: 0 })
  const phone = w.phone()
  const first = await w.claim(template, { phone })
  const second = await w.claim(template, { phone })
  const plain = first.code.replaceAll('-', '')
  for (const typed of [plain, plain.toLowerCase(), plain.match(/.{1,5}/g).join(' '), first.code.replaceAll('0', 'o').replaceAll('1', 'l')])
    assert.equal((await w.want(200, 'GET', `/v1/coupons/${encodeURIComponent(typed)}`)).id, first.id)
  // neighbours share nothing but their first characters: the rest is keyed
  const secret = (c) => c.code.replaceAll('-', '').slice(8)
  assert.notEqual(secret(first), secret(second))

  const served = async () => Number(/tongdian_db_writes_total (\d+)/.exec((await w.call('GET', '/metrics')).text)[1])
  const writes = await served()
  const wrong = []
  for (let i = 0; i < plain.length; i++) {
    const other = ALPHABET[(ALPHABET.indexOf(plain[i]) + 1 + randomInt(30)) % 32]
    wrong.push(plain.slice(0, i) + (other === plain[i] ? (plain[i] === 'Z' ? 'Y' : 'Z') : other) + plain.slice(i + 1))
  }
  for (let i = 0; i < 200; i++) wrong.push(Array.from({ length: 20 }, (_, k) => (k === 0 ? '1' : ALPHABET[randomInt(32)])).join(''))
  wrong.push('1', '', ' ', '-'.repeat(24), plain.slice(1), `${plain}0`, '1ABC-DEFG-HJKM-NPQR-STUU', '券'.repeat(8))
  for (const code of wrong) {
    const reply = await w.call('POST', '/v1/redemptions', { code, store: store.id })
    assert.equal(reply.status, 400, `${code}: ${reply.text}`)
    if (code.length === 20) assert.equal(reply.body.code, 'coupon.code_wrong')
  }
  const more = (await served()) - writes // jobs write now and then
  assert.ok(more < wrong.length / 4, `${more} transactions for ${wrong.length} forged codes`)
})
