// shots.mjs -- every page as a picture, at the desk's and the phone's width, in both languages.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { CHINESE, ENGLISH, press, sees, signIn, type } from './hands.mjs'
import { CLERK, OWNER, SHOP_CLERK, openPage } from './world.mjs'

const CONSOLE = [
  ['overview', '/'],
  ['campaigns', '/campaigns'],
  ['people', '/people'],
  ['templates', '/coupons'],
  ['redemptions', '/redemptions'],
  ['stores', '/stores'],
  ['products', '/products'],
  ['staff', '/staff'],
  ['keys', '/keys'],
  ['jobs', '/jobs'],
  ['audit', '/audit'],
  ['nowhere', '/no/such/page'],
]

/** Forms: the page, what opens it in each language, and where it is. */
const FORMS = [
  [
    'template-form',
    '/coupons',
    { en: 'New template', 'zh-CN': '新建券模板' },
    '.el-drawer .preview',
  ],
  ['campaign-form', '/campaigns', { en: 'New campaign', 'zh-CN': '新建活动' }, '.el-drawer form'],
  ['product-form', '/products', { en: 'Edit', 'zh-CN': '修改' }, '.el-drawer form'],
  ['role', '/staff', { en: 'Change role', 'zh-CN': '改角色' }, '.el-dialog form'],
]

/** Of long lists the top is enough. */
const HEIGHT_MAX = 2000

/** Nothing may stick out of the page to the right. */
async function fits(page) {
  const over = await page.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  )
  assert.ok(over <= 0, `${page.url()} is ${over} pixels too wide`)
}

async function shoot(page, path) {
  const isDrawn = () =>
    document.querySelector('main')?.innerText &&
    !document.querySelector('.el-skeleton, .van-loading')
  await page.waitForFunction(isDrawn, { polling: 50 })
  await fits(page)
  const { width } = page.viewport()
  const tall = await page.evaluate(() => document.documentElement.scrollHeight)
  const clip = { x: 0, y: 0, width, height: Math.min(tall, HEIGHT_MAX) }
  await page.screenshot({ path, clip, captureBeyondViewport: true })
}

async function firstIds(page, phone) {
  return page.evaluate(async (wanted) => {
    const { csrf } = await (await fetch('/v1/session')).json()
    const campaigns = await (await fetch('/v1/reports/campaigns')).json()
    const found = await fetch('/v1/people/search', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'X-CSRF-Token': csrf },
      body: JSON.stringify({ q: wanted }),
    })
    const best = campaigns.campaigns.sort((a, b) => b.redemptions - a.redemptions)[0]
    return { campaign: best.id, person: (await found.json()).items[0].id }
  }, phone)
}

async function shootConsole(origin, folder, language, width, phone) {
  const page = await openPage(origin, { language, width, height: width > 600 ? 900 : 844 })
  const name = (what) => join(folder, `${what}-${width}-${language}.png`)
  await page.goto(`${origin}/sign-in`, { waitUntil: 'networkidle0' })
  await shoot(page, name('sign-in'))
  await signIn(page, `${origin}/`, OWNER, language === 'en' ? ENGLISH : CHINESE)
  await page.waitForFunction(() => document.querySelector('main canvas'))
  const { campaign, person } = await firstIds(page, phone)
  const pages = [
    ...CONSOLE,
    ['campaign', `/campaigns/${campaign}`],
    ['person', `/people/${person}`],
  ]
  for (const [what, path] of pages) {
    await page.goto(origin + path, { waitUntil: 'load' })
    await shoot(page, name(what))
  }
  const shootOpened = async (what, form) => {
    await page.waitForSelector(form)
    await new Promise((resolve) => setTimeout(resolve, 500))
    await fits(page)
    await page.screenshot({ path: name(what) })
  }
  for (const [what, path, opens, form] of FORMS) {
    await page.goto(origin + path, { waitUntil: 'networkidle0' })
    await press(page, opens[language])
    await shootOpened(what, form)
  }
  await page.goto(`${origin}/stores`, { waitUntil: 'networkidle0' })
  await page.click('.who')
  await press(page, language === 'en' ? 'Change password' : '修改密码')
  await shootOpened('own-password', '.el-dialog form')
  await page.browserContext().close()
}

/** What somebody sees who works in one shop only. */
async function shootShopClerk(origin, folder, language, width) {
  const page = await openPage(origin, { language, width, height: width > 600 ? 900 : 844 })
  await signIn(page, `${origin}/people`, SHOP_CLERK, language === 'en' ? ENGLISH : CHINESE)
  await page.waitForSelector('main .empty')
  await shoot(page, join(folder, `people-of-a-shop-${width}-${language}.png`))
  await page.browserContext().close()
}

const WORDS = {
  en: { find: 'Find', phone: 'Phone', scan: 'Scan a coupon', shop: 'Shop name', signIn: ENGLISH },
  'zh-CN': { find: '查找', phone: '手机号', scan: '扫券码', shop: '门店名称', signIn: CHINESE },
}

async function shootCounter(origin, folder, language, width, phone) {
  const page = await openPage(origin, { language, width, height: width > 600 ? 900 : 844 })
  const words = WORDS[language]
  const name = (what) => join(folder, `counter-${what}-${width}-${language}.png`)
  await page.goto(`${origin}/counter/`, { waitUntil: 'networkidle0' })
  await shoot(page, name('sign-in'))
  await signIn(page, `${origin}/counter/`, CLERK, words.signIn)
  await page.waitForSelector('main li button')
  await shoot(page, name('shop'))
  await type(page, words.shop, '367')
  await press(page, '367')
  await sees(page, words.scan)
  await shoot(page, name('home'))
  await type(page, words.phone, '13700000000')
  await press(page, words.find)
  await page.waitForSelector('#name')
  await shoot(page, name('enrol'))
  await page.goto(`${origin}/counter/`, { waitUntil: 'networkidle0' })
  await type(page, words.phone, phone)
  await press(page, words.find)
  await page.waitForSelector('main li button')
  await shoot(page, name('wallet'))
  await page.click('main li:first-child button')
  await page.waitForSelector('.panel')
  await shoot(page, name('coupon'))
  await page.goto(`${origin}/counter/today`, { waitUntil: 'networkidle0' })
  await shoot(page, name('today'))
  await page.browserContext().close()
}

export async function shootAll(origin, folder, phone) {
  for (const language of ['en', 'zh-CN'])
    for (const width of [1440, 390]) {
      await shootConsole(origin, folder, language, width, phone)
      await shootShopClerk(origin, folder, language, width)
      await shootCounter(origin, folder, language, width, phone)
    }
}
