// tests/ops/tls.test.mjs -- an authority of our own, HTTPS with it, and the page for phones.
import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { program, run } from './shop.mjs'

let folder, data, tls, server, https, trust, ended
const file = (name) => join(tls, name)
const text = (name) => execFileSync('openssl', ['x509', '-in', file(name), '-noout', '-text'], { encoding: 'utf8' })

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'tongdian-tls-'))
  data = join(folder, 'data')
  tls = join(folder, 'data-tls')
})
after(async () => {
  server?.kill('SIGTERM')
  assert.equal(await ended, 0)
  rmSync(folder, { recursive: true })
})

test('init makes an authority and a certificate beside the data folder, and says what to do', () => {
  const r = run(['tls', 'init', '--host', 'till.example,192.168.7.7', '--data', data])
  assert.equal(r.status, 0, r.err)
  for (const word of ['till.example', '192.168.7.7', 'localhost', '127.0.0.1', '--trust-listen', 'authority.key'])
    assert.ok(r.out.includes(word), r.out)
  for (const key of ['authority.key', 'server.key']) assert.equal(statSync(file(key)).mode & 0o777, 0o600)
  const ca = text('authority.pem')
  assert.match(ca, /CA:TRUE, pathlen:0/)
  assert.match(ca, /prime256v1/)
  assert.match(ca, /Name Constraints: critical/)
  const cert = text('server.pem')
  assert.match(cert, /DNS:till\.example, IP Address:192\.168\.7\.7, DNS:localhost, IP Address:127\.0\.0\.1/)
  assert.match(cert, /TLS Web Server Authentication/)
  const [from, to] = ['startdate', 'enddate'].map((d) =>
    Date.parse(execFileSync('openssl', ['x509', '-in', file('server.pem'), '-noout', `-${d}`], { encoding: 'utf8' }).split('=')[1]))
  assert.ok((to - from) / 86400e3 <= 825)
  assert.match(execFileSync('openssl', ['verify', '-x509_strict', '-CAfile', file('authority.pem'), file('server.pem')], { encoding: 'utf8' }), /OK/)
})

test('init twice is refused; a wrong host too', () => {
  const twice = run(['tls', 'init', '--data', data])
  assert.equal(twice.status, 1)
  assert.match(twice.err, /tls\.exists/)
  for (const host of ['bad host', 'a..b', '-x', 'a/b', ''.padEnd(300, 'a')]) {
    const r = run(['tls', 'init', '--host', host, '--out', join(folder, 'wrong')])
    assert.equal(r.status, 1, host)
    assert.match(r.err, /tls\.host/)
  }
  assert.equal(run(['tls', 'what']).status, 2)
  assert.match(run(['tls', 'renew', '--out', join(folder, 'none')]).err, /tls\.missing/)
})

test('renew keeps the authority and the hosts, makes a new key; a foreign host is refused', () => {
  const [ca, key] = [readFileSync(file('authority.pem'), 'utf8'), readFileSync(file('server.key'), 'utf8')]
  const r = run(['tls', 'renew', '--host', 'shop.local,10.1.2.3', '--data', data])
  assert.equal(r.status, 0, r.err)
  assert.equal(readFileSync(file('authority.pem'), 'utf8'), ca)
  assert.notEqual(readFileSync(file('server.key'), 'utf8'), key)
  assert.match(text('server.pem'), /DNS:till\.example.*DNS:shop\.local/)
  const now = readFileSync(file('server.pem'), 'utf8')
  const foreign = run(['tls', 'renew', '--host', 'bank.example', '--data', data])
  assert.equal(foreign.status, 1)
  assert.match(foreign.err, /tls\.constraint/)
  assert.equal(readFileSync(file('server.pem'), 'utf8'), now)
})

test('the server speaks HTTPS with it: trusted with the authority, not without', async () => {
  server = spawn(program, ['serve', '--data', data, '--listen', '127.0.0.1:0', '--tls-cert', file('server.pem'),
    '--tls-key', file('server.key'), '--trust-listen', '127.0.0.1:0'], { stdio: ['ignore', 'pipe', 'pipe'] })
  ended = new Promise((resolve) => server.on('exit', resolve))
  let log = ''
  server.stderr.on('data', (d) => (log += d))
  for (let i = 0; i < 500 && !log.includes('trust.ready'); i++) await new Promise((resolve) => setTimeout(resolve, 20))
  https = /server\.ready.*port=(\d+)/.exec(log)?.[1]
  trust = /trust\.ready.*port=(\d+)/.exec(log)?.[1]
  assert.ok(https && trust, log)
  const curl = (...words) => spawnSync('curl', ['-sS', '--max-time', '10', ...words], { encoding: 'utf8' })
  const good = curl('--cacert', file('authority.pem'), `https://localhost:${https}/healthz`)
  assert.equal(good.stdout, '{"ok":true,"engine":"ready"}', good.stderr)
  assert.equal(curl('--cacert', file('authority.pem'), '--resolve', `till.example:${https}:127.0.0.1`, `https://till.example:${https}/healthz`).stdout, '{"ok":true,"engine":"ready"}')
  assert.equal(curl(`https://localhost:${https}/healthz`).status, 60)
  assert.equal(curl('--cacert', file('authority.pem'), '--resolve', `other.example:${https}:127.0.0.1`, `https://other.example:${https}/healthz`).status, 60)
  const s = spawnSync('openssl', ['s_client', '-connect', `127.0.0.1:${https}`, '-CAfile', file('authority.pem'), '-verify_return_error', '-verify_ip', '127.0.0.1'], { input: '', encoding: 'utf8' })
  assert.match(s.stdout, /Verify return code: 0 \(ok\)/)
})

test('the page for phones: both languages, a QR code, the certificate, no scripts, nothing else', async () => {
  const base = `http://127.0.0.1:${trust}`
  const home = await fetch(base + '/', { redirect: 'manual' })
  assert.equal(home.status, 302)
  assert.equal(home.headers.get('location'), '/trust')
  const page = await fetch(base + '/trust')
  const html = await page.text()
  assert.equal(page.status, 200)
  assert.match(page.headers.get('content-security-policy'), /default-src 'none'/)
  for (const part of ['下载证书', 'Download the certificate', 'iPhone', '安卓', 'Android', '<svg', '/trust</code>'])
    assert.ok(html.includes(part), part)
  assert.ok(!/<script|onclick=|https?:\/\/(?!\d)/.test(html))
  const print = execFileSync('openssl', ['x509', '-in', file('authority.pem'), '-noout', '-fingerprint', '-sha256'], { encoding: 'utf8' })
  assert.ok(html.includes(print.split('=')[1].trim()))
  const cert = await fetch(base + '/trust/authority.crt')
  assert.equal(cert.headers.get('content-type'), 'application/x-x509-ca-cert')
  assert.deepEqual(Buffer.from(await cert.arrayBuffer()), readFileSync(file('authority.crt')))
  for (const path of ['/healthz', '/metrics', '/v1/session', '/trust/authority.key']) assert.equal((await fetch(base + path)).status, 404)
})

test('the trust page needs an authority to show', () => {
  const r = run(['serve', '--data', join(folder, 'plain'), '--listen', '127.0.0.1:0', '--trust-listen', '127.0.0.1:0', '--log-level', 'off'])
  assert.equal(r.status, 1)
  assert.match(r.err, /tls\.missing/)
})
