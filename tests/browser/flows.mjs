// flows.mjs BINARY -- what people do with the console and the counter, and what they must see.
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import qrcode from 'qrcode-generator'
import { CHINESE, ENGLISH, press, rowOf, sees, signIn, tapAmount, textOf, type } from './hands.mjs'
import { shootAll } from './shots.mjs'
import {
  CLERK,
  MARKETER,
  OWNER,
  ROOT,
  SHOP_CLERK,
  complaints,
  end,
  makeData,
  openBrowser,
  openPage,
  serve,
} from './world.mjs'

const binary = process.argv[2]
const PHONE = '13800138000'
const SECOND_PHONE = '13800138001'
const shots = join(ROOT, 'build/screenshots')
let passed = 0
let failed = 0

async function flow(name, body) {
  const started = Date.now()
  try {
    await body()
    passed++
    console.log(`ok    ${name} (${Date.now() - started} ms)`)
  } catch (error) {
    failed++
    console.log(`FAIL  ${name}\n      ${error.stack}`)
    if (console_) await console_.screenshot({ path: join(shots, `failed-${failed}-console.png`) })
    if (counter) await counter.screenshot({ path: join(shots, `failed-${failed}-counter.png`) })
  }
}

let origin
let console_
let counter
let code = ''
const cameraScripts = []

/** The counter, at its start page. */
async function toStart() {
  await counter.goto(`${origin}/counter/`, { waitUntil: 'networkidle0' })
  await sees(counter, 'Scan a coupon')
}

async function findByCode(text) {
  await toStart()
  await press(counter, 'Code')
  await type(counter, 'Code', text)
  await press(counter, 'Find')
}

async function redeemInHand() {
  await sees(counter, 'Usable')
  await tapAmount(counter, '60')
  await press(counter, 'Redeem')
}

/** Loses the answer to the next request to `path`: the server has done it, the page does not know. */
async function loseNextAnswer(page, path) {
  let lost = false
  await page.setRequestInterception(true)
  const intercept = async (request) => {
    if (lost || request.method() !== 'POST' || !request.url().endsWith(path))
      return request.continue()
    lost = true
    const cookies = (await page.cookies()).map((one) => `${one.name}=${one.value}`).join('; ')
    const headers = { ...request.headers(), cookie: cookies }
    const reply = await fetch(request.url(), { method: 'POST', headers, body: request.postData() })
    assert.equal(reply.status, 201)
    return request.abort('connectionreset')
  }
  page.on('request', intercept)
  return async () => {
    page.off('request', intercept)
    await page.setRequestInterception(false)
    assert.ok(lost, 'no answer was lost')
  }
}

/** From the next load on, the page's camera sees this text as a QR code. */
async function holdBeforeCamera(page, text) {
  const qr = qrcode(0, 'M')
  qr.addData(text)
  qr.make()
  const size = qr.getModuleCount()
  const rows = Array.from({ length: size }, (_, y) =>
    Array.from({ length: size }, (__, x) => qr.isDark(y, x)),
  )
  const { identifier } = await page.evaluateOnNewDocument((dark) => {
    const canvas = document.createElement('canvas')
    canvas.width = canvas.height = 640
    const pen = canvas.getContext('2d')
    const module = 480 / dark.length
    const draw = () => {
      pen.fillStyle = 'white'
      pen.fillRect(0, 0, 640, 640)
      pen.fillStyle = 'black'
      dark.forEach((row, y) =>
        row.forEach(
          (on, x) =>
            on && pen.fillRect(80 + x * module, 80 + y * module, module + 0.5, module + 0.5),
        ),
      )
    }
    setInterval(draw, 100)
    navigator.mediaDevices.getUserMedia = async () => canvas.captureStream(10)
  }, rows)
  cameraScripts.push(identifier)
}

/** No request to `path` gets through until the returned function is called. */
async function refuse(page, path) {
  await page.setRequestInterception(true)
  const intercept = (request) =>
    request.url().endsWith(path) ? request.abort('connectionrefused') : request.continue()
  page.on('request', intercept)
  return async () => {
    page.off('request', intercept)
    await page.setRequestInterception(false)
  }
}

async function flows() {
  await flow('a wrong password is refused with what to do', async () => {
    await signIn(console_, `${origin}/`, { ...OWNER, password: 'not the password' }, ENGLISH)
    await sees(console_, 'Name or password is wrong')
  })

  await flow('the right password leads to the overview with its numbers', async () => {
    await type(console_, 'Password', OWNER.password)
    await press(console_, 'Sign in')
    await sees(console_, 'Net sales by day')
    await sees(console_, '$233,935.24')
    await sees(console_, '47,243')
    await console_.waitForFunction(() => document.querySelectorAll('main canvas').length >= 2)
  })

  await flow('the language switches at once and is remembered', async () => {
    await press(console_, '中文')
    await sees(console_, '每日净销售额')
    await console_.reload({ waitUntil: 'networkidle0' })
    await sees(console_, '净销售额')
    assert.equal(await console_.evaluate(() => document.documentElement.lang), 'zh-CN')
    await press(console_, 'English')
    await sees(console_, 'Net sales by day')
  })

  await flow('the campaign report shows the rates per kind', async () => {
    await press(console_, 'Campaign report')
    for (const rate of ['16.56 %', '6.50 %', '5.92 %']) await sees(console_, rate)
    await press(console_, 'Type A / 18')
    await sees(console_, 'not proof of cause')
    await sees(console_, 'Redemptions by day')
  })

  await flow('a template is made in the form, which says what it gives', async () => {
    await console_.goto(`${origin}/coupons`, { waitUntil: 'networkidle0' })
    await press(console_, 'New template')
    await sees(console_, '$10 off over $50')
    await press(console_, 'Create', 'form')
    await sees(console_, 'Fill this in.')
    await type(console_, 'Name', 'Browser test')
    await type(console_, 'Code', 'BROWSER-1')
    await type(console_, 'Amount off', '12.50')
    await type(console_, 'Per person', '3')
    await sees(console_, '$12.50 off over $50')
    await press(console_, 'Create', 'form')
    await sees(console_, 'BROWSER-1')
  })

  await flow('a code that is taken is marked at its field', async () => {
    await console_.goto(`${origin}/coupons`, { waitUntil: 'networkidle0' })
    await press(console_, 'New template')
    await type(console_, 'Name', 'Again')
    await type(console_, 'Code', 'BROWSER-1')
    await press(console_, 'Create', 'form')
    await sees(console_, 'Another template has this code')
  })

  await flow('a coupon is given by phone', async () => {
    await console_.goto(`${origin}/coupons`, { waitUntil: 'networkidle0' })
    await press(console_, 'Give', 'tbody tr:first-child')
    await type(console_, 'Phone', PHONE)
    await press(console_, 'Give', '.el-dialog')
    await sees(console_, 'Its code')
    code = await console_.$eval('.el-dialog input.code', (one) => one.value)
    assert.match(code, /^[0-9A-Z]{4}(-[0-9A-Z]{4}){4}$/)
  })

  await flow('a pause is shown, and the template is not given out meanwhile', async () => {
    await console_.goto(`${origin}/coupons`, { waitUntil: 'networkidle0' })
    await press(console_, 'Pause', 'tbody tr:first-child')
    await sees(console_, 'Paused')
    await press(console_, 'Resume', 'tbody tr:first-child')
    await sees(console_, 'Given out again')
  })

  await flow(
    'a person is found by phone, by the last four, and not by a wrong number',
    async () => {
      await console_.goto(`${origin}/people`, { waitUntil: 'networkidle0' })
      for (const wanted of [PHONE, '8000']) {
        await type(console_, 'Phone, last four', wanted)
        await press(console_, 'Search')
        await sees(console_, `1 found for “${wanted}”`)
      }
      await type(console_, 'Phone, last four', '13900139000')
      await press(console_, 'Search')
      await sees(console_, 'Nobody found')
    },
  )

  await flow(
    'the person page shows wallet and timeline, and the phone only with a reason',
    async () => {
      await type(console_, 'Phone, last four', PHONE)
      await press(console_, 'Search')
      await sees(console_, '1 found')
      await press(console_, 'No name', 'tbody')
      await sees(console_, 'Coupon claimed')
      await sees(console_, '$12.50 off over $50')
      assert.ok(!(await textOf(console_)).includes(PHONE), 'the phone is shown unmasked')
      await press(console_, 'Show full phone')
      await type(console_, 'e.g. the customer called', 'browser test')
      await press(console_, 'Show full phone', '.el-message-box')
      await sees(console_, PHONE)
    },
  )

  await flow('the counter asks for the shop once', async () => {
    await signIn(counter, `${origin}/counter/`, CLERK, ENGLISH)
    await sees(counter, 'Which shop are you in?')
    await type(counter, 'Shop name', '367')
    await press(counter, '367')
    await sees(counter, 'Scan a coupon')
    await toStart()
  })

  await flow('a coupon is redeemed by its code, typed badly', async () => {
    await findByCode(code.toLowerCase().replace(/-/g, ' ').replace(/0/g, 'o'))
    await sees(counter, '$12.50 off over $50')
    await tapAmount(counter, '40')
    await sees(counter, '$10.00 more is needed')
    await toStart()
    await findByCode(code)
    await redeemInHand()
    await sees(counter, '$12.50 off')
    await sees(counter, 'Redeemed')
    await counter.screenshot({ path: join(shots, 'counter-redeemed-390-en.png') })
  })

  await flow('it is undone within the minute', async () => {
    await press(counter, 'Undo (')
    await sees(counter, 'The coupon can be used again.')
  })

  await flow('it is redeemed again by the phone number alone', async () => {
    await toStart()
    await type(counter, 'Phone', PHONE)
    await press(counter, 'Find')
    await sees(counter, '1 usable')
    await press(counter, '$12.50 off')
    await redeemInHand()
    await sees(counter, 'Redeemed')
  })

  await flow('a second time it is refused, with the reason', async () => {
    await findByCode(code)
    await sees(counter, 'it cannot be used again')
    assert.equal(
      await counter.$$eval('button', (all) => all.filter((b) => b.innerText === 'Redeem').length),
      0,
    )
  })

  await flow('a coupon redeemed elsewhere meanwhile is refused, with the reason', async () => {
    await giveAnother()
    await findByCode(code)
    await sees(counter, 'Usable')
    await redeemElsewhere()
    await tapAmount(counter, '60')
    await press(counter, 'Redeem')
    await sees(counter, 'Not redeemed')
    await sees(counter, 'has been redeemed already')
    await counter.screenshot({ path: join(shots, 'counter-refused-390-en.png') })
  })

  await flow('a lost answer is asked for again with the same key: redeemed once', async () => {
    await giveAnother()
    await findByCode(code)
    await sees(counter, 'Usable')
    await tapAmount(counter, '60')
    const restore = await loseNextAnswer(counter, '/v1/redemptions')
    await press(counter, 'Redeem')
    await sees(counter, '$12.50 off')
    await sees(counter, 'Redeemed')
    await restore()
    await toStart()
    await press(counter, 'Today in')
    await sees(counter, '3 in all')
  })

  await flow('a wish whose outcome is unknown survives closing the page', async () => {
    await press(counter, '← Back')
    await type(counter, 'Phone', SECOND_PHONE)
    await press(counter, 'Find')
    await sees(counter, 'This phone is not known yet')
    await type(counter, 'Name', 'Zhang San')
    await press(counter, 'Enrol')
    await sees(counter, 'No coupons in this wallet')
    await giveAnother(SECOND_PHONE)
    await findByCode(code)
    await sees(counter, 'Usable')
    await tapAmount(counter, '60')
    const restore = await refuse(counter, '/v1/redemptions')
    await press(counter, 'Redeem')
    await sees(counter, 'No connection')
    await counter.screenshot({ path: join(shots, 'counter-lost-390-en.png') })
    await toStart()
    await sees(counter, 'The outcome of one is not known')
    await counter.screenshot({ path: join(shots, 'counter-open-390-en.png') })
    await restore()
    await press(counter, 'The outcome of one')
    await sees(counter, 'Redeemed')
  })

  await flow('with no network the counter says so and goes on by itself', async () => {
    await giveAnother(SECOND_PHONE)
    await findByCode(code)
    await sees(counter, 'Usable')
    await tapAmount(counter, '60')
    await counter.setOfflineMode(true)
    await sees(counter, 'The network is down')
    await press(counter, 'Redeem')
    await sees(counter, 'No connection')
    await counter.setOfflineMode(false)
    await sees(counter, 'Redeemed')
  })

  await flow('a QR code in front of the camera leads to its coupon', async () => {
    await giveAnother(SECOND_PHONE)
    await holdBeforeCamera(counter, `https://example.invalid/c?code=${code}&from=sms`)
    await toStart()
    await press(counter, 'Scan a coupon')
    await sees(counter, 'Usable')
    await sees(counter, '$12.50 off over $50')
  })

  await flow('the camera opens, and typing stays possible', async () => {
    for (const script of cameraScripts) await counter.removeScriptToEvaluateOnNewDocument(script)
    await toStart()
    await press(counter, 'Scan a coupon')
    await sees(counter, 'Hold the code inside the frame.')
    await counter.waitForFunction(() => document.querySelector('video')?.videoWidth > 0)
    await press(counter, 'Type instead')
    await sees(counter, 'Scan a coupon')
  })

  await flow('the console lists redemptions and takes one back with a reason', async () => {
    await console_.goto(`${origin}/redemptions`, { waitUntil: 'networkidle0' })
    await press(console_, 'Undo', 'tbody tr:first-child')
    await press(console_, 'Undo', '.el-message-box')
    await sees(console_, 'Say why.')
    await type(console_, 'e.g. pressed by mistake', 'browser test')
    await press(console_, 'Undo', '.el-message-box')
    await sees(console_, 'Undone')
  })

  await flow('an API key is shown once', async () => {
    await console_.goto(`${origin}/keys`, { waitUntil: 'networkidle0' })
    await press(console_, 'New key')
    await type(console_, 'What for', 'browser test')
    await press(console_, 'New key', '.el-dialog')
    await sees(console_, 'it is not shown again')
    const key = await console_.$eval('.el-dialog input.code', (one) => one.value)
    assert.match(key, /^td_/)
    await console_.reload({ waitUntil: 'networkidle0' })
    await sees(console_, 'browser test')
    assert.ok(!(await console_.content()).includes(key))
  })

  await flow('a shop is added and changed', async () => {
    await console_.goto(`${origin}/stores`, { waitUntil: 'networkidle0' })
    await press(console_, 'Add a shop')
    await type(console_, 'Code', '0-BROWSER')
    await type(console_, 'Name', 'Browser Street')
    await press(console_, 'Save')
    await sees(console_, 'Browser Street')
    await press(console_, 'Edit', 'tbody tr:first-child')
    await type(console_, 'City', '上海')
    await press(console_, 'Save')
    await sees(console_, '上海')
  })

  await flow('a marketer sees the menu of a marketer only', async () => {
    const page = await openPage(origin)
    await signIn(page, `${origin}/staff`, MARKETER, ENGLISH)
    await sees(page, 'Net sales by day')
    const text = await textOf(page)
    assert.ok(text.includes('Coupon templates') && !text.includes('Staff accounts'))
    await page.click('.who')
    await press(page, 'Sign out')
    await sees(page, 'Sign in to Tongdian')
    await page.browserContext().close()
  })

  await flow(
    'people change their own password, and each mistake is marked at its field',
    async () => {
      const page = await openPage(origin, { width: 390, height: 844 })
      const next = `${MARKETER.password} indeed`
      await signIn(page, `${origin}/`, MARKETER, ENGLISH)
      await sees(page, 'Net sales by day')
      await page.click('.who')
      await press(page, 'Change password')
      await type(page, 'Present password', 'not my password')
      await type(page, 'New password', 'short')
      await type(page, 'New password again', 'other')
      await press(page, 'Change password', '.el-dialog')
      await sees(page, 'At least 10 characters')
      await sees(page, 'This is not the same as the new password.')
      await type(page, 'New password', next)
      await type(page, 'New password again', next)
      await press(page, 'Change password', '.el-dialog')
      await sees(page, 'This is not your present password')
      await new Promise((resolve) => setTimeout(resolve, 500))
      await page.screenshot({ path: join(shots, 'own-password-wrong-390-en.png') })
      await type(page, 'Present password', MARKETER.password)
      await press(page, 'Change password', '.el-dialog')
      await sees(page, 'Your password is changed.')
      await page.reload({ waitUntil: 'networkidle0' })
      await sees(page, 'Net sales by day')
      await page.browserContext().close()
      MARKETER.password = next
    },
  )

  await flow('an account gets another role', async () => {
    await console_.goto(`${origin}/staff`, { waitUntil: 'networkidle0' })
    assert.ok(!(await textOf(console_)).includes('Analyst'))
    await press(console_, 'Change role', await rowOf(console_, MARKETER.login))
    await console_.click('.el-dialog .el-select')
    await press(console_, 'Analyst')
    await press(console_, 'Save', '.el-dialog')
    await sees(console_, 'Saved')
    await sees(console_, 'Analyst')
    const own = await console_.$eval(await rowOf(console_, OWNER.login), (row) => row.innerText)
    assert.ok(!own.includes('Change role'), 'owners could take their own role away')
  })

  await flow('a campaign is made; what is missing or taken is marked at its field', async () => {
    for (const answer of ['The campaign is made.', 'Another campaign has this code']) {
      await console_.goto(`${origin}/campaigns`, { waitUntil: 'networkidle0' })
      await press(console_, 'New campaign')
      await press(console_, 'Create', 'form')
      await sees(console_, 'Fill this in.')
      await type(console_, 'Name', '<b>Winter</b>')
      await type(console_, 'Code', 'WINTER-1')
      await type(console_, 'First day', '2026-12-01')
      await type(console_, 'Last day', '2026-11-30\n')
      await sees(console_, 'must not be before the first')
      await type(console_, 'Last day', '2026-12-24\n')
      await press(console_, 'Create', 'form')
      await sees(console_, answer)
    }
    await console_.goto(`${origin}/campaigns`, { waitUntil: 'networkidle0' })
    await sees(console_, '<b>Winter</b>')
    await sees(console_, 'Dec 1, 2026 – Dec 24, 2026')
  })

  await flow(
    'a product is added and changed; a code that is taken is not overwritten',
    async () => {
      for (const answer of ['Saved', 'Another product has this code']) {
        await console_.goto(`${origin}/products`, { waitUntil: 'networkidle0' })
        await press(console_, 'Add a product')
        await type(console_, 'Code', '0-TEA')
        await type(console_, 'Name', 'Green tea')
        await type(console_, 'Brand', 'Longjing')
        await press(console_, 'Save', 'form')
        await sees(console_, answer)
      }
      await console_.goto(`${origin}/products`, { waitUntil: 'networkidle0' })
      await press(console_, 'Edit', await rowOf(console_, '0-TEA'))
      await type(console_, 'Brand', ' ')
      await press(console_, 'Save', 'form')
      await sees(console_, 'This can be changed, not emptied.')
      await type(console_, 'Brand', 'Biluochun')
      await press(console_, 'Save', 'form')
      await sees(console_, 'Saved')
      await sees(console_, 'Biluochun')
    },
  )

  await flow(
    'who works in one shop searches for people, and sees its redemptions only',
    async () => {
      await makeShopClerk()
      const page = await openPage(origin, { width: 390, height: 844 })
      await signIn(page, `${origin}/people`, SHOP_CLERK, ENGLISH)
      await sees(page, 'Search for a customer')
      assert.ok(!(await textOf(page)).includes('Try again'))
      await type(page, 'Phone, last four', PHONE)
      await press(page, 'Search')
      await sees(page, `1 found for “${PHONE}”`)
      await page.goto(`${origin}/redemptions`, { waitUntil: 'networkidle0' })
      await sees(page, 'No redemptions yet')
      await page.browserContext().close()
    },
  )

  await flow('an empty folder says what to do first', async () => {
    const own = await serve(binary, makeData(binary, false))
    const page = await openPage(own, { language: 'zh-CN' })
    await signIn(page, `${own}/`, OWNER, CHINESE)
    await sees(page, '还没有数据，从这里开始')
    await page.screenshot({ path: join(shots, 'overview-empty-1440-zh-CN.png') })
    await press(page, '添加一家门店')
    await sees(page, '还没有门店')
    await page.browserContext().close()
  })

  await flow('every page is shown in both widths and languages', async () => {
    await shootAll(origin, shots, SECOND_PHONE)
  })

  await flow('no page asked another host, broke, or went against the policy', async () => {
    assert.deepEqual(complaints, [])
  })
}

/** One more coupon of the test's template, through the console. */
async function giveAnother(phone = PHONE) {
  await console_.goto(`${origin}/coupons`, { waitUntil: 'networkidle0' })
  await press(console_, 'Give', 'tbody tr:first-child')
  await type(console_, 'Phone', phone)
  await press(console_, 'Give', '.el-dialog')
  await sees(console_, 'Its code')
  code = await console_.$eval('.el-dialog input.code', (one) => one.value)
}

/** An account for the shop that was added by hand, in which nothing was redeemed. */
async function makeShopClerk() {
  const status = await console_.evaluate(async (account) => {
    const { csrf } = await (await fetch('/v1/session')).json()
    const stores = (await (await fetch('/v1/stores?limit=200')).json()).items
    const store = stores.find((one) => one.code === '0-BROWSER').id
    const reply = await fetch('/v1/staff', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'X-CSRF-Token': csrf },
      body: JSON.stringify({ ...account, name: account.login, stores: [store] }),
    })
    return reply.status
  }, SHOP_CLERK)
  assert.equal(status, 201)
}

/** Redeems `code` in the session of the counter, but behind the page's back. */
async function redeemElsewhere() {
  const status = await counter.evaluate(async (wanted) => {
    const { csrf } = await (await fetch('/v1/session')).json()
    const { id } = JSON.parse(localStorage.getItem('tongdian.shop'))
    const reply = await fetch('/v1/redemptions', {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        'X-CSRF-Token': csrf,
        'Idempotency-Key': 'elsewhere-1',
      },
      body: JSON.stringify({ code: wanted, store: id, spend_fen: 6000 }),
    })
    return reply.status
  }, code)
  assert.equal(status, 201)
}

mkdirSync(shots, { recursive: true })
try {
  origin = await serve(binary, makeData(binary, true))
  await openBrowser()
  console_ = await openPage(origin)
  counter = await openPage(origin, { width: 390, height: 844 })
  await flows()
} catch (error) {
  failed++
  console.log(`FAIL  ${error.stack}`)
} finally {
  await end()
}
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)
