// world.mjs -- what the flows stand on: a throw-away data folder, the server, a browser that is
// watched. Everything that was started is stopped by end().
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import puppeteer from 'puppeteer-core'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))
export const OWNER = { login: 'owner.li', password: 'correct horse 4711', role: 'owner' }
export const CLERK = { login: 'clerk.wang', password: 'battery staple 4711', role: 'clerk' }
export const MARKETER = {
  login: 'marketer.zhou',
  password: 'paper clip bucket 4711',
  role: 'marketer',
}
/** Works in one shop only; made by the flow that needs it. */
export const SHOP_CLERK = { login: 'clerk.chen', password: 'umbrella stand 4711', role: 'clerk' }

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--use-fake-ui-for-media-stream',
  '--use-fake-device-for-media-stream',
]

const folders = []
const servers = []
let browser

function folder(name) {
  const path = mkdtempSync(join(tmpdir(), `tongdian-${name}-`))
  folders.push(path, `${path}.key`)
  return path
}

function freePort() {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address()
      probe.close(() => resolve(port))
    })
  })
}

/** A folder with the demo's data, or an empty one; both with the three accounts. */
export function makeData(binary, filled) {
  const data = folder(filled ? 'demo' : 'empty')
  const quiet = { stdio: ['pipe', 'ignore', 'pipe'], cwd: ROOT }
  if (filled) {
    const knowsDemo = / demo /.test(spawnSync(binary, ['help'], { encoding: 'utf8' }).stdout)
    const map = [
      '--map',
      join(ROOT, 'maps/completejourney.yaml'),
      join(ROOT, 'data/completejourney'),
    ]
    const command = knowsDemo ? ['demo', '--once'] : ['import', ...map]
    execFileSync(binary, [...command, '--data', data], quiet)
  }
  for (const { login, password, role } of [OWNER, CLERK, MARKETER]) {
    const account = ['user', 'add', login, '--name', login, '--role', role, '--data', data]
    execFileSync(binary, account, { ...quiet, input: `${password}\n` })
  }
  return data
}

/** Starts the server and waits until it answers. */
export async function serve(binary, data) {
  const origin = `http://127.0.0.1:${await freePort()}`
  const dist = join(ROOT, 'web/dist')
  const built = process.env.TONGDIAN_TEST_PAGES ?? (existsSync(dist) ? dist : '')
  const pages = built ? ['--web', built] : []
  const options = ['serve', '--data', data, '--listen', origin.slice(7), ...pages]
  const server = spawn(binary, options, { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  server.stderr.on('data', (text) => (said = (said + text).slice(-4000)))
  servers.push(server)
  for (let i = 0; i < 100; i++) {
    if (server.exitCode !== null) break
    const answer = await fetch(`${origin}/healthz`).catch(() => null)
    if (answer) return origin
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error(`the server does not answer\n${said}`)
}

export async function openBrowser() {
  browser = await puppeteer.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    userDataDir: folder('chromium'),
    args: FLAGS,
    headless: true,
  })
}

/** What pages must never do, with where it happened. */
export const complaints = []

function watch(page, origin) {
  const complain = (what) => complaints.push(`${page.url()}: ${what}`)
  page.on('request', (request) => {
    const url = request.url()
    if (!url.startsWith(origin) && !/^(data|blob|about):/.test(url)) complain(`asked ${url}`)
  })
  page.on('pageerror', (error) => complain(error.message))
  page.on('console', (message) => {
    // A refusal of the API is what some flows are about; a broken page or policy never is.
    const isRefusal =
      /^Failed to load resource: (the server responded with a status of 4|net::ERR_)/
    if (message.type() === 'error' && !isRefusal.test(message.text())) complain(message.text())
    if (message.type() === 'warn' && /intlify|Vue warn/.test(message.text()))
      complain(message.text())
  })
}

/** A page of its own browser context: its own cookies and storage. */
export async function openPage(origin, { language = 'en', width = 1440, height = 900 } = {}) {
  const context = await browser.createBrowserContext()
  const page = await context.newPage()
  page.setDefaultTimeout(10_000)
  await page.setViewport({ width, height, isMobile: width < 600, hasTouch: width < 600 })
  watch(page, origin)
  await page.goto(`${origin}/icon.svg`)
  await page.evaluate((l) => localStorage.setItem('tongdian.language', l), language)
  return page
}

export async function end() {
  await browser?.close()
  await Promise.all(
    servers.map((server) => {
      if (server.exitCode !== null) return undefined
      const gone = new Promise((resolve) => server.once('exit', resolve))
      server.kill('SIGTERM')
      return gone
    }),
  )
  for (const path of folders) {
    rmSync(path, { recursive: true, force: true })
    rmSync(`${path}.login`, { force: true }) // the demo's password stands beside its folder
  }
}
