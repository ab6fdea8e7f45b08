// tests/http/input.test.mjs -- wrong input: a clear answer that names the field, and nothing half done.
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { gunzipSync, gzipSync } from 'node:zlib'
import { World } from './world.mjs'

let w, store, product
before(async () => {
  w = await World.open()
  store = await w.store()
  product = await w.product()
})
after(() => w.close())

/** [what, path, body, code, pointer, words of the sentence] */
function table() {
  const draft = w.draft()
  const sale = (fields) => ({ ...w.sale(store, [{ product: product.code, amount_fen: 100 }]), ...fields })
  const lines = (line) => sale({ lines: [line] })
  const templates = '/v1/coupon-templates'
  return [
    ['no JSON', '/v1/products', 'hello', 'json.malformed', undefined, /byte|JSON/i],
    ['cut JSON', '/v1/products', '{"code":"a","name":', 'json.malformed', undefined, /byte|JSON/i],
    ['two values', '/v1/products', '{} {}', 'json.malformed', undefined, /byte|JSON/i],
    ['an empty body', '/v1/products', '', undefined, undefined, /./],
    ['a list', '/v1/products', [], undefined, undefined, /object/],
    ['null', '/v1/products', 'null', undefined, undefined, /object/],
    ['a missing field', '/v1/products', { code: 'x' }, undefined, '/name', /./],
    ['an unknown field', '/v1/products', { code: 'x', name: 'x', prise: 1 }, 'request.unknown_field', '/prise', /./],
    ['a field twice', '/v1/products', '{"code":"x","code":"y","name":"x"}', 'request.repeated', '/code', /once/],
    ['a number for a text', '/v1/products', { code: 7, name: 'x' }, undefined, '/code', /./],
    ['null for a required text', '/v1/products', { code: null, name: 'x' }, undefined, '/code', /./],
    ['an empty code', '/v1/products', { code: '', name: 'x' }, undefined, '/code', /./],
    ['a long code', '/v1/products', { code: 'x'.repeat(65), name: 'x' }, undefined, '/code', /64/],
    ['a line break in a line', '/v1/products', { code: 'x', name: 'a\nb' }, undefined, '/name', /./],
    ['U+0000', '/v1/products', '{"code":"x","name":"a\\u0000b"}', undefined, '/name', /./],
    ['a lone surrogate', '/v1/products', '{"code":"x","name":"\\ud800"}', undefined, undefined, /./],
    ['bytes that are no UTF-8', '/v1/products', new Uint8Array([123, 34, 255, 34, 58, 49, 125]), undefined, undefined, /./],
    ['a text for a boolean', `${templates}/1/pause`, { paused: 'yes' }, undefined, '/paused', /true/],
    ['an unknown kind', templates, { ...draft, kind: 'free' }, undefined, '/kind', /amount/],
    ['a fraction', templates, { ...draft, amount_fen: 1.5 }, undefined, '/amount_fen', /./],
    ['too much', templates, { ...draft, amount_fen: 1000000000001 }, undefined, '/amount_fen', /1000000000000/],
    ['more than 64 bits', templates, JSON.stringify(draft).replace('1000', '1' + '0'.repeat(30)), undefined, '/amount_fen', /./],
    ['below zero', templates, { ...draft, stock: -1 }, undefined, '/stock', /0/],
    ['no instant', templates, { ...draft, claim_from: 'yesterday' }, undefined, '/claim_from', /./],
    ['the 30th of February', templates, { ...draft, claim_from: '2026-02-30T00:00:00Z' }, undefined, '/claim_from', /./],
    ['an end before its start', templates, { ...draft, claim_to: draft.claim_from }, 'coupon.template', '/claim_to', /after/],
    ['an amount coupon without amount', templates, { ...draft, amount_fen: 0 }, 'coupon.template', '/amount_fen', /./],
    ['a percent coupon without rate', templates, { ...draft, kind: 'percent' }, 'coupon.template', '/rate_bps', /./],
    ['a gift coupon without gift', templates, { ...draft, kind: 'gift' }, 'coupon.template', '/gift_product', /./],
    ['an id that is none', templates, { ...draft, campaign: 'spring' }, undefined, '/campaign', /./],
    ['a wrong id in a list', templates, { ...draft, products: [product.id, 'x'] }, undefined, '/products/1', /./],
    ['a phone that is none', '/v1/people', { phone: '12345' }, 'person.phone', '/phone', /./],
    ['neither phone nor card', '/v1/people', { name: 'x' }, 'person.identifier', undefined, /phone/],
    ['a name of 121 bytes', '/v1/people', { card: 'c', name: '名'.repeat(41) }, undefined, '/name', /120/],
    ['two who', `${templates}/1/claims`, { phone: '13800138000', card: 'c' }, 'coupon.who', undefined, /one/],
    ['nobody', `${templates}/1/claims`, {}, 'coupon.who', undefined, /one/],
    ['a search for one letter', '/v1/people/search', { q: 'x' }, 'person.search', undefined, /two|last/],
    ['neither code nor coupon', '/v1/redemptions', { store: store.id }, 'coupon.which', undefined, /one/],
    ['no lines', '/v1/sales', sale({ lines: [] }), undefined, '/lines', /1/],
    ['501 lines', '/v1/sales', sale({ lines: Array(501).fill({ product: product.code, amount_fen: 1 }) }), undefined, '/lines', /500/],
    ['a line without amount', '/v1/sales', lines({ product: product.code }), undefined, '/lines/0/amount_fen', /./],
    ['no pieces', '/v1/sales', lines({ product: product.code, amount_fen: 1, quantity: 0 }), undefined, '/lines/0/quantity', /1/],
    ['an unknown product', '/v1/sales', lines({ product: 'NO-SUCH', amount_fen: 1 }), 'catalog.product_unknown', '/lines/0/product', /code/],
    ['a sale tomorrow', '/v1/sales', sale({ at: new Date(Date.now() + 3 * 864e5).toISOString() }), 'order.invalid', '/at', /future/],
    ['hours in prose', '/v1/stores', { code: 'h', name: 'h', hours: 'always' }, 'store.invalid', '/hours', /Mo-Fr/],
    ['a place off the globe', '/v1/stores', { code: 'h', name: 'h', lat_e7: 900000001, lng_e7: 0 }, undefined, '/lat_e7', /900000000/],
    ['no events', '/v1/events', { events: [] }, undefined, '/events', /1/],
  ]
}

test('every wrong input is refused with a code, the field and a sentence', async (t) => {
  for (const [what, path, body, code, pointer, words] of table())
    await t.test(what, async () => {
      const problem = await w.want(400, 'POST', path, body)
      if (code) assert.equal(problem.code, code, JSON.stringify(problem))
      if (pointer) assert.equal(problem.errors?.[0].pointer, pointer, JSON.stringify(problem))
      const sentence = problem.errors?.[0].detail ?? problem.detail
      assert.match(sentence ?? '', words, JSON.stringify(problem))
      assert.ok(sentence.length > 8, `says too little: ${sentence}`)
    })
  const page = await w.want(200, 'GET', '/v1/products?limit=200')
  assert.equal(page.items.length, 1, 'a refused product was stored')
})

test('every wrong address and parameter is refused', async () => {
  for (const [path, status, code, pointer] of [
    ['/v1/nothing', 404],
    ['/v1/products/../../etc/passwd', 404],
    ['/v1/stores/abc', 404, 'not_found'],
    ['/v1/stores/-1', 404],
    ['/v1/stores/99999999999999999999', 404, 'not_found'],
    ['/v1/stores/123', 404, 'store.unknown'],
    ['/v1/people/123', 404, 'person.unknown'],
    ['/v1/campaigns/123', 404, 'campaign.unknown'],
    ['/v1/coupon-templates/123', 404, 'coupon.template_unknown'],
    ['/v1/reports/campaigns/123', 404, 'campaign.unknown'],
    ['/v1/sales/123', 404, 'order.unknown'],
    ['/v1/products?limit=0', 400, undefined, '?limit'],
    ['/v1/products?limit=201', 400, undefined, '?limit'],
    ['/v1/products?limit=ten', 400, undefined, '?limit'],
    ['/v1/products?limit=1&limit=2', 400, undefined, '?limit'],
    ['/v1/products?page=2', 400, undefined, '?page'],
    ['/v1/products?cursor=!!', 400],
    ['/v1/products?cursor=abcd', 400, 'request.cursor', '?cursor'],
    ['/v1/people?cursor=eHl6', 400, 'request.cursor', '?cursor'],
    ['/v1/overview?from=2026-13-01', 400, undefined, '?from'],
    ['/v1/overview?from=2026-02-02&to=2026-02-01', 400, 'insight.range'],
    ['/v1/events/counts?from=2026-02-02', 400, undefined, '?to'],
  ]) {
    const reply = await w.call('GET', path)
    assert.equal(reply.status, status, `${path}: ${reply.text}`)
    if (code) assert.equal(reply.body.code, code, path)
    if (pointer) assert.equal(reply.body.errors?.[0].pointer, pointer, `${path}: ${reply.text}`)
    assert.ok((reply.body.detail ?? reply.body.title).length > 8, `${path} says too little: ${reply.text}`)
  }
})

test('another method is 405 and names those that work; HEAD is GET without the body', async () => {
  const reply = await w.call('PUT', '/v1/products', {})
  assert.equal(reply.status, 405, reply.text)
  assert.deepEqual(reply.headers.get('allow').split(/, */).sort().filter((m) => m !== 'HEAD' && m !== 'OPTIONS'), ['GET', 'POST'])
  const head = await w.call('HEAD', '/v1/products')
  assert.equal(head.status, 200)
  assert.equal(head.text, '')
  assert.ok(Number(head.headers.get('content-length')) > 0)
})

test('a body that is too large or too deep is refused, whatever says so first', async () => {
  const deep = (n) => `{"code":"x","name":"x","size":${'['.repeat(n)}${']'.repeat(n)}}`
  const problem = await w.want(400, 'POST', '/v1/products', deep(5000))
  assert.match(problem.code, /^(json\.too_deep|request\..*)$/)
  const large = JSON.stringify({ code: 'x', name: 'x'.repeat(1 << 20) })
  assert.equal((await w.call('POST', '/v1/products', large)).status, 413)
  const bomb = gzipSync(Buffer.alloc(64 << 20, 32))
  const headers = { 'content-encoding': 'gzip' }
  assert.equal((await w.call('POST', '/v1/products', bomb, { headers })).status, 413)
  const almost = JSON.stringify({ code: 'x', name: 'x'.repeat((1 << 20) - 100) })
  const long = await w.want(400, 'POST', '/v1/products', almost)
  assert.equal(long.errors[0].pointer, '/name')
})

test('a gzipped body is read, a broken one refused, and long replies come gzipped to who asks', async () => {
  const headers = { 'content-encoding': 'gzip' }
  const body = gzipSync(JSON.stringify({ code: 'ZIP', name: 'zipped' }))
  await w.want(200, 'POST', '/v1/products', body, { headers })
  const broken = await w.call('POST', '/v1/products', body.subarray(0, body.length - 6), { headers })
  assert.equal(broken.status, 400, broken.text)
  const unknown = await w.call('POST', '/v1/products', '{}', { headers: { 'content-encoding': 'br' } })
  assert.equal(unknown.status, 415, unknown.text)
  const raw = await rawGet('/metrics', 'Accept-Encoding: gzip')
  assert.match(raw.head, /content-encoding: gzip/i)
  assert.match(gunzipSync(raw.body).toString(), /tongdian_http_requests_total/)
})

/** A GET that nothing decodes on the way. */
function rawGet(path, header) {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(w.url).port), '127.0.0.1')
    const parts = []
    socket.on('error', reject)
    socket.on('data', (part) => parts.push(part))
    socket.on('end', () => {
      const all = Buffer.concat(parts)
      const at = all.indexOf('\r\n\r\n')
      resolve({ head: all.subarray(0, at).toString('latin1'), body: all.subarray(at + 4) })
    })
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${header}\r\n\r\n`)
  })
}

test('pages by cursor show everything once, in order, also while more comes in', async () => {
  for (let i = 0; i < 23; i++) await w.product({ code: `PAGE 货号&${String(i).padStart(2, '0')}` })
  const seen = []
  let cursor = ''
  do {
    const page = await w.want(200, 'GET', `/v1/products?limit=5${cursor}`)
    assert.ok(page.items.length <= 5)
    seen.push(...page.items.map((p) => p.code))
    if (seen.length === 10) await w.product({ code: 'AAA-late' })
    cursor = page.next === undefined ? undefined : `&cursor=${page.next}`
  } while (cursor !== undefined)
  assert.deepEqual(seen, [...seen].sort())
  assert.equal(new Set(seen).size, seen.length)
  assert.equal(seen.filter((c) => c.startsWith('PAGE ')).length, 23)
})

test('text in any language goes in and comes back the same', async () => {
  for (const name of ['上海南京路店 🧴', 'Ærø "quoted" \\ back', 'e\u0301 combining', '\u200f\u05d0 right to left', "'; DROP TABLE store; --"]) {
    const made = await w.product({ name })
    const { items } = await w.want(200, 'GET', `/v1/products?code=${made.code}`)
    assert.equal(items[0].name, name)
  }
})

test('health and metrics answer without a key, and no reply may be cached or sniffed', async () => {
  const health = await w.want(200, 'GET', '/healthz', undefined, { as: null })
  assert.equal(health.ok, true)
  const metrics = await w.call('GET', '/metrics', undefined, { as: null })
  assert.equal(metrics.status, 200)
  assert.match(metrics.type, /^text\/plain; version=0\.0\.4/)
  for (const line of metrics.text.trimEnd().split('\n'))
    assert.match(line, /^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+({[^}]*})? -?[0-9.e+]+)$/, line)
  const reply = await w.call('GET', '/v1/stores')
  assert.equal(reply.headers.get('x-content-type-options'), 'nosniff')
  assert.equal(reply.headers.get('cache-control'), 'no-store')
  assert.equal(reply.headers.get('x-powered-by'), null)
})
