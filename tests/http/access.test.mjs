// tests/http/access.test.mjs -- who may do what: roles, shops, sessions, keys, lockout.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { PASSWORD, World, together, tally } from './world.mjs'

const contracts = JSON.parse(readFileSync(process.env.TONGDIAN_OPENAPI, 'utf8'))
const ROLES = ['owner', 'marketer', 'clerk', 'analyst', 'brand', 'privacy', 'integrator']
const MAY = `
  audit.read             owner privacy
  campaign.read          owner marketer clerk analyst brand integrator
  campaign.write         owner marketer
  catalog.read           owner marketer clerk analyst brand privacy integrator
  catalog.write          owner marketer integrator
  cohort.write           owner marketer analyst
  coupon.claim           owner marketer clerk integrator
  coupon.redeem          owner clerk integrator
  coupon.reverse         owner clerk integrator
  coupon.template.read   owner marketer clerk analyst brand integrator
  coupon.template.write  owner marketer
  event.collect          owner clerk integrator
  event.read             owner marketer analyst privacy integrator
  insight.read           owner marketer analyst brand
  job.read               owner marketer integrator
  job.retry              owner integrator
  key.manage             owner integrator
  order.read             owner marketer clerk analyst privacy integrator
  order.write            owner clerk integrator
  person.enrol           owner clerk integrator
  person.read            owner marketer clerk privacy integrator
  person.reveal          owner privacy
  session                owner marketer clerk analyst brand privacy integrator
  staff.manage           owner
  store.read             owner marketer clerk analyst brand privacy integrator
  store.write            owner integrator`
const table = Object.fromEntries(MAY.trim().split('\n').map((row) => row.trim().split(/\s+/)).map(([p, ...roles]) => [p, roles]))

let w, store, keys
before(async () => {
  w = await World.open()
  store = await w.store()
  keys = {}
  for (const role of ROLES) keys[role] = await w.keyOf(role)
})
after(() => w.close())

function operations() {
  const list = []
  for (const [path, methods] of Object.entries(contracts.paths))
    for (const [method, op] of Object.entries(methods))
      if (op.operationId) list.push({ method: method.toUpperCase(), path: path.replace(/{[a-z_]+}/g, '1'), op })
  return list
}

for (const role of ROLES)
  test(`${role}: every operation is allowed or denied as the table says`, async () => {
    for (const { method, path, op } of operations()) {
      const permission = op['x-permission']
      if (permission === 'public') continue
      assert.ok(table[permission], `${op.operationId}: the table does not know ${permission}`)
      const body = method === 'POST' || method === 'PUT' ? {} : undefined
      const reply = await w.call(method, path, body, { as: keys[role] })
      const denied = reply.status === 403 && reply.body.code === 'auth.permission'
      assert.notEqual(reply.status, 401, `${op.operationId}: ${reply.text}`)
      assert.equal(denied, !table[permission].includes(role), `${role} ${op.operationId}: ${reply.text}`)
    }
  })

test('nobody gets anywhere without a key or a session, nor with a wrong one', async () => {
  for (const { method, path, op } of operations()) {
    if (op['x-permission'] === 'public') continue
    const body = method === 'POST' || method === 'PUT' ? {} : undefined
    await w.refused(401, 'auth.missing', method, path, body, { as: null })
    await w.refused(401, 'auth.key', method, path, body, { as: 'td_wrong' })
    const headers = { cookie: 'td_session=wrong' }
    await w.refused(401, 'auth.session', method, path, body, { as: null, headers })
  }
})

test('a clerk of one shop works in that shop only', async () => {
  const other = await w.store()
  const product = await w.product()
  const clerk = { as: await w.keyOf('clerk', [store.id]) }
  const lines = [{ product: product.code, amount_fen: 5000 }]
  const coupon = await w.claim(await w.template())
  await w.refused(403, 'auth.store', 'POST', '/v1/redemptions', { code: coupon.code, store: other.id }, clerk)
  await w.refused(403, 'auth.store', 'POST', '/v1/sales', w.sale(other, lines), clerk)
  await w.refused(403, 'auth.store', 'POST', '/v1/sales/quote', w.sale(other, lines), clerk)
  const elsewhere = await w.want(201, 'POST', '/v1/redemptions', { code: coupon.code, store: other.id })
  await w.refused(403, 'auth.store', 'POST', `/v1/redemptions/${elsewhere.id}/reversal`, { reason: 'x' }, clerk)
  const foreign = await w.want(201, 'POST', '/v1/sales', w.sale(other, lines))
  await w.refused(403, 'auth.store', 'GET', `/v1/sales/${foreign.id}`, undefined, clerk)
  const back = { till: 'T', number: 'b', lines: [{ line: 1, quantity: 1 }] }
  await w.refused(403, 'auth.store', 'POST', `/v1/sales/${foreign.id}/returns`, back, clerk)
  const own = await w.want(201, 'POST', '/v1/sales', w.sale(store, lines), clerk)
  await w.want(201, 'POST', `/v1/sales/${own.id}/returns`, back, clerk)
})

test('a clerk of one shop sees the redemptions of that shop only', async () => {
  const [mine, other] = [await w.store(), await w.store()]
  const template = await w.template()
  const redeem = async (at) => {
    const { code } = await w.claim(template)
    return (await w.want(201, 'POST', '/v1/redemptions', { code, store: at.id })).id
  }
  const first = await redeem(mine)
  const foreign = await redeem(other)
  const last = await redeem(mine)
  const clerk = { as: await w.keyOf('clerk', [mine.id]) }
  const list = async (query, options) => {
    const page = await w.want(200, 'GET', `/v1/redemptions?${query}`, undefined, options)
    return { ids: page.items.map((one) => one.id), next: page.next, items: page.items }
  }
  assert.deepEqual((await list('', clerk)).ids, [last, first])
  assert.deepEqual((await list(`store=${mine.id}`)).ids, [last, first])
  assert.deepEqual((await list(`store=${other.id}`)).ids, [foreign])
  await w.refused(403, 'auth.store', 'GET', `/v1/redemptions?store=${other.id}`, undefined, clerk)
  await w.refused(404, 'store.unknown', 'GET', '/v1/redemptions?store=99999')
  const top = await list('limit=1', clerk)
  const below = await list(`limit=1&cursor=${top.next}`, clerk)
  assert.deepEqual([...top.ids, ...below.ids], [last, first])
  const { at } = top.items[0]
  assert.equal((await list(`from=${at}`, clerk)).ids[0], last)
  const later = new Date(Date.parse(at) + 1).toISOString()
  assert.deepEqual((await list(`from=${later}`, clerk)).ids, [])
})

test('nobody grants more than they have', async () => {
  const integrator = { as: keys.integrator }
  await w.refused(403, 'staff.beyond', 'POST', '/v1/keys', { name: 'x', role: 'owner' }, integrator)
  const bound = { as: await w.keyOf('integrator', [store.id]) }
  await w.refused(403, 'staff.beyond', 'POST', '/v1/keys', { name: 'x', role: 'clerk' }, bound)
  await w.want(201, 'POST', '/v1/keys', { name: 'x', role: 'clerk', stores: [store.id] }, bound)
})

test('the cookie of a session is out of the reach of scripts and other sites', async () => {
  const { reply } = await w.signIn('admin')
  const cookie = reply.headers.get('set-cookie')
  assert.match(cookie, /^td_session=[A-Za-z0-9_-]{43}; /)
  for (const attribute of ['HttpOnly', 'SameSite=Strict', 'Path=/', 'Max-Age=43200']) assert.ok(cookie.includes(attribute), cookie)
  assert.equal(reply.headers.get('cache-control'), 'no-store')
})

test('a session changes nothing without its CSRF token, nor with that of another', async () => {
  const one = await w.signIn('admin')
  const two = await w.signIn('admin')
  const change = ['POST', '/v1/products', { code: 'CSRF', name: 'x' }]
  await w.refused(403, 'auth.csrf', ...change, one.read)
  const crossed = { as: null, headers: { cookie: one.cookie, 'x-csrf-token': two.csrf } }
  await w.refused(403, 'auth.csrf', ...change, crossed)
  await w.want(200, ...change, one.write)
  await w.want(200, 'GET', '/v1/session', undefined, one.read)
})

const account = async (login, role = 'clerk') => w.want(201, 'POST', '/v1/staff', { login, name: login, role, password: PASSWORD })

test('a wrong password and an unknown name get the same answer; five wrong ones lock the account', async () => {
  await account('lock.me')
  const wrong = { login: 'lock.me', password: 'wrong password' }
  const unknown = await w.refused(401, 'auth.password', 'POST', '/v1/session', { ...wrong, login: 'nobody' }, { as: null })
  for (let i = 0; i < 5; i++)
    assert.deepEqual(await w.refused(401, 'auth.password', 'POST', '/v1/session', wrong, { as: null }), unknown)
  const right = { login: 'lock.me', password: PASSWORD }
  const locked = await w.refused(429, 'auth.locked', 'POST', '/v1/session', right, { as: null })
  const seconds = Number(/try again in (\d+) seconds/.exec(locked.detail)[1])
  assert.ok(seconds > 50 && seconds <= 60)
  const { headers } = await w.call('POST', '/v1/session', right, { as: null })
  assert.ok(Math.abs(Number(headers.get('retry-after')) - seconds) <= 2)
})

test('many guesses at once are locked out like one after the other', async () => {
  await account('many')
  const replies = await together(40, () =>
    w.call('POST', '/v1/session', { login: 'many', password: 'wrong password' }, { as: null }),
  )
  assert.deepEqual(Object.keys(tally(replies, (r) => r.status)).sort().filter((s) => s !== '401'), ['429'])
  const right = await w.call('POST', '/v1/session', { login: 'many', password: PASSWORD }, { as: null })
  assert.equal(right.status, 429)
})

test('a revoked key, a disabled account and a new password end access at once', async () => {
  const made = await w.want(201, 'POST', '/v1/keys', { name: 'gone', role: 'clerk' })
  await w.want(200, 'GET', '/v1/stores', undefined, { as: made.key })
  await w.want(200, 'DELETE', `/v1/keys/${made.id}`)
  await w.refused(401, 'auth.key', 'GET', '/v1/stores', undefined, { as: made.key })
  await w.refused(404, 'staff.key_unknown', 'DELETE', `/v1/keys/${made.id}`)
  const staff = await account('leaver')
  for (const [path, body] of [['password', { password: PASSWORD }], ['disabled', { disabled: true }]]) {
    const session = await w.signIn('leaver')
    await w.want(200, 'GET', '/v1/stores', undefined, session.read)
    await w.want(200, 'POST', `/v1/staff/${staff.id}/${path}`, body)
    await w.refused(401, 'auth.session', 'GET', '/v1/stores', undefined, session.read)
  }
  assert.equal((await w.signIn('leaver')).reply.body.code, 'auth.password')
})

test("one's own password needs the old one; the account's other sessions end", async () => {
  await account('changer')
  const [here, there] = [await w.signIn('changer'), await w.signIn('changer')]
  const next = `${PASSWORD}, changed`
  const change = (old) => ['POST', '/v1/session/password', { old, new: next }, here.write]
  await w.refused(400, 'staff.password_old', ...change('wrong password'))
  assert.equal((await w.call(...change(PASSWORD))).status, 200)
  await w.refused(401, 'auth.session', 'GET', '/v1/session', undefined, there.read)
  assert.equal((await w.signIn('changer')).reply.status, 401)
  assert.equal((await w.signIn('changer', next)).reply.status, 201)
})

test('a new role counts at once', async () => {
  const staff = await account('riser')
  const path = `/v1/staff/${staff.id}/role`
  assert.equal((await w.want(200, 'POST', path, { role: 'marketer' })).role, 'marketer')
  const session = await w.signIn('riser')
  await w.want(200, 'GET', '/v1/overview', undefined, session.read)
  assert.deepEqual((await w.want(200, 'POST', path, { role: 'clerk', stores: [store.id] })).stores, [store.id])
  const again = await w.signIn('riser')
  await w.refused(403, 'auth.permission', 'GET', '/v1/overview', undefined, again.read)
})

test('the last owner stays', async () => {
  const { items } = await w.want(200, 'GET', '/v1/staff')
  const owner = items.find((s) => s.login === 'admin')
  await w.refused(409, 'staff.last_owner', 'POST', `/v1/staff/${owner.id}/disabled`, { disabled: true })
})

test('weak passwords, taken names and unknown roles are refused with the field', async () => {
  const draft = { login: 'newbie', name: 'New', role: 'clerk', password: PASSWORD }
  for (const password of ['short', '1234567890', 'aaaaaaaaaaaa', 'newbienewbie'.slice(0, 6)])
    await w.refused(400, 'staff.password', 'POST', '/v1/staff', { ...draft, password })
  await w.refused(409, 'staff.login_taken', 'POST', '/v1/staff', { ...draft, login: 'ADMIN' })
  const problem = await w.want(400, 'POST', '/v1/staff', { ...draft, role: 'king' })
  assert.equal(problem.errors[0].pointer, '/role')
})

test('an integrator of one shop neither sees nor revokes what is above it, nor changes other shops', async () => {
  const bound = { as: await w.keyOf('integrator', [store.id]) }
  const above = await w.want(201, 'POST', '/v1/keys', { name: 'above', role: 'owner' })
  const below = await w.want(201, 'POST', '/v1/keys', { name: 'below', role: 'clerk', stores: [store.id] })
  const { items } = await w.want(200, 'GET', '/v1/keys', undefined, bound)
  assert.ok(items.some((k) => k.id === below.id) && items.every((k) => k.id !== above.id))
  await w.refused(403, 'staff.beyond', 'DELETE', `/v1/keys/${above.id}`, undefined, bound)
  await w.want(200, 'DELETE', `/v1/keys/${below.id}`, undefined, bound)
  const other = await w.store()
  await w.refused(403, 'auth.store', 'PUT', `/v1/stores/${other.id}`, { code: other.code, name: 'x' }, bound)
  await w.refused(403, 'auth.store', 'POST', '/v1/stores', { code: 'MINE', name: 'x' }, bound)
  await w.want(200, 'PUT', `/v1/stores/${store.id}`, { code: store.code, name: store.name }, bound)
  await w.refused(404, 'store.unknown', 'POST', '/v1/keys', { name: 'x', role: 'clerk', stores: ['99'] })
})

test('a role and shops are given by who has them, and end the sessions', async () => {
  const staff = await account('mover')
  const session = await w.signIn('mover')
  const change = { role: 'marketer', stores: [store.id] }
  await w.refused(404, 'store.unknown', 'POST', `/v1/staff/${staff.id}/role`, { ...change, stores: ['99'] })
  const view = await w.want(200, 'POST', `/v1/staff/${staff.id}/role`, change)
  assert.deepEqual([view.role, view.stores], ['marketer', [store.id]])
  await w.refused(401, 'auth.session', 'GET', '/v1/stores', undefined, session.read)
})

test('people change their own password; their other sessions end', async () => {
  await account('own')
  const here = await w.signIn('own')
  const there = await w.signIn('own')
  const path = '/v1/session/password'
  const next = 'another long sentence'
  await w.refused(400, 'staff.password_old', 'POST', path, { old: 'wrong password', new: next }, here.write)
  await w.refused(400, 'staff.password', 'POST', path, { old: PASSWORD, new: 'short' }, here.write)
  await w.refused(403, 'auth.permission', 'POST', path, { old: PASSWORD, new: next })
  await w.want(200, 'POST', path, { old: PASSWORD, new: next }, here.write)
  await w.want(200, 'GET', '/v1/session', undefined, here.read)
  await w.refused(401, 'auth.session', 'GET', '/v1/session', undefined, there.read)
  assert.equal((await w.signIn('own')).reply.body.code, 'auth.password')
})

test('who tries out numbers is stopped, and every search is audited without its text', async () => {
  const clerk = { as: await w.keyOf('clerk') }
  const phone = w.phone()
  const search = () => w.call('POST', '/v1/people/search', { q: phone }, clerk)
  const replies = await together(40, search)
  const counts = tally(replies, (r) => r.status)
  assert.ok(counts[200] >= 30 && counts[429] >= 5, JSON.stringify(counts))
  assert.equal(replies.find((r) => r.status === 429).body.code, 'request.limited')
  const { items } = await w.want(200, 'GET', '/v1/audit?limit=100')
  assert.equal(items.filter((a) => a.action === 'person_search' && a.detail === 'phone').length, counts[200])
})

test('accounts and keys are made and ended from the terminal beside the running server', async () => {
  w.command(['user', 'add', 'beside', '--role', 'clerk', '--store', store.code], `${PASSWORD}\n`)
  const session = await w.signIn('beside')
  assert.deepEqual(session.reply.body.stores, [store.id])
  const key = w.command(['key', 'add', 'till', '--role', 'clerk', '--store', store.code]).trim()
  await w.want(200, 'GET', '/v1/stores', undefined, { as: key })
  const listed = w.command(['key', 'list']).split('\n').find((line) => line.includes(' till'))
  assert.match(w.command(['key', 'revoke', listed.split(' ')[0]]), /within 60 seconds/)
  assert.match(w.command(['user', 'password', 'beside'], 'a wholly new one\n'), /within 60 seconds/)
  assert.throws(() => w.command(['key', 'add', 'x', '--store', 'NO-SUCH']), /no shop/)
  const { items } = await w.want(200, 'GET', '/v1/audit?limit=100')
  const mine = items.filter((a) => a.detail === 'command line').map((a) => a.action)
  for (const action of ['staff_create', 'staff_key_create', 'staff_key_revoke', 'staff_password'])
    assert.ok(mine.includes(action), action)
})
