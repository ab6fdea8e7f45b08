// hands.mjs -- what a person does with a page: look, type, press.
import assert from 'node:assert/strict'

/** The page's text, once it has `wanted` in it. */
export async function sees(page, wanted, timeout = 10_000) {
  try {
    await page.waitForFunction(
      (text) => document.body.innerText.replace(/\s+/g, ' ').includes(text),
      { timeout, polling: 50 },
      wanted,
    )
  } catch {
    const text = await textOf(page)
    assert.fail(`${page.url()} does not say "${wanted}" but: ${text.slice(0, 600)} … ${text.slice(600).slice(-600)}`)
  }
}

export const textOf = (page) => page.evaluate(() => document.body.innerText.replace(/\s+/g, ' '))

const PRESSED = 'button, a, label, [role=tab], [role=option], [role=button], [role=menuitem]'

/** Presses the visible button, link, tab, option or menu entry that says `text`. */
export async function press(page, text, within = 'body') {
  const find = (wanted, scope, kinds) => {
    const found = [...document.querySelectorAll(scope)]
      .flatMap((part) => [...part.querySelectorAll(kinds)])
      .find(
        (one) =>
          one.getClientRects().length > 0 &&
          !one.disabled &&
          one.innerText.trim().startsWith(wanted),
      )
    if (!found) return null
    // What still moves would be missed: a menu that unfolds, a dialog that slides in, and what stands below a
    // field's complaint that fades, which moves up at the end only.  What turns for ever does not count.
    const place = JSON.stringify(found.getBoundingClientRect())
    const moves = document
      .getAnimations()
      .some((one) => one.playState === 'running' && one.effect.getComputedTiming().endTime < Infinity)
    const rests = found.place === place && !moves
    found.place = place
    return rests ? found : null
  }
  const handle = await page
    .waitForFunction(find, { polling: 50 }, text, within, PRESSED)
    .catch(() => {
      throw new Error(`${page.url()}: nothing to press says "${text}"`)
    })
  await handle.asElement().click()
}

/** Types into the field with this label, aria-label or placeholder, in place of what is there. */
export async function type(page, label, text) {
  const find = (wanted) => {
    const typed = 'input:not([type=radio], [type=checkbox]), textarea'
    const named = [...document.querySelectorAll(typed)].filter(
      (one) => one.getClientRects().length > 0,
    )
    const says = (one) => [
      ...[...(one.labels ?? [])].map((l) => l.innerText.trim()),
      one.getAttribute('aria-label') ?? '',
      one.placeholder,
      one.closest('.el-form-item')?.querySelector('.el-form-item__label')?.innerText.trim() ?? '',
    ]
    return named.find((one) => says(one).some((name) => name.startsWith(wanted)))
  }
  const handle = await page.waitForFunction(find, { polling: 50 }, label).catch(() => {
    throw new Error(`${page.url()}: no field is called "${label}"`)
  })
  const box = handle.asElement()
  await box.focus()
  await box.evaluate((one) => one.select())
  await page.keyboard.press('Backspace')
  await box.type(text)
}

/** The selector of the table's row that says `text`. */
export async function rowOf(page, text) {
  await sees(page, text)
  const index = await page.$$eval(
    'tbody tr',
    (rows, wanted) => rows.findIndex((row) => row.innerText.includes(wanted)),
    text,
  )
  return `tbody tr:nth-child(${index + 1})`
}

export async function signIn(page, address, { login, password }, words) {
  await page.goto(address, { waitUntil: 'networkidle0' })
  await type(page, words.login, login)
  await type(page, words.password, password)
  await press(page, words.submit)
}

export const ENGLISH = { login: 'Login', password: 'Password', submit: 'Sign in' }
export const CHINESE = { login: '账号', password: '密码', submit: '登录' }

/** Types an amount on the counter's own keys. */
export async function tapAmount(page, digits) {
  for (const digit of digits) {
    const key = await page.waitForFunction(
      (wanted) =>
        [...document.querySelectorAll('.van-key')].find((one) => one.innerText.trim() === wanted),
      { polling: 50 },
      digit,
    )
    await key.asElement().tap()
  }
}
