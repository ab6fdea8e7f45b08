// scripts/check.mjs -- what the compiler cannot see: both languages say the same things, every error
// code has a sentence, and the first page stays small.
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'

const root = fileURLToPath(new URL('..', import.meta.url))
const FIRST_PAGE_MAX = 400_000
const problems = []

const read = (path) => JSON.parse(readFileSync(join(root, path), 'utf8'))
const flat = (table, before = '') =>
  Object.entries(table).flatMap(([key, value]) =>
    typeof value === 'string' ? [before + key] : flat(value, `${before}${key}.`),
  )

for (const folder of [
  'shared/locales',
  'shared/errors',
  'console/src/locales',
  'counter/src/locales',
]) {
  const chinese = new Set(flat(read(`${folder}/zh-CN.json`)))
  const english = new Set(flat(read(`${folder}/en.json`)))
  for (const key of chinese) if (!english.has(key)) problems.push(`${folder}: en has no ${key}`)
  for (const key of english) if (!chinese.has(key)) problems.push(`${folder}: zh-CN has no ${key}`)
}

// Codes of single events are read by machines only.
const sentences = read('shared/errors/en.json')
for (const code of read('shared/codes.json'))
  if (!sentences[code] && !code.startsWith('event.'))
    problems.push(`shared/errors: no sentence for ${code}`)

/** What the browser fetches for a page: its entry, and what that imports without being asked. */
function firstPage(folder, entry, page) {
  const assets = join(root, folder, 'assets')
  const names = readdirSync(assets)
  const html = readFileSync(join(root, folder, entry), 'utf8')
  const wanted = names.filter((name) => html.includes(name) || page.some((p) => name.startsWith(p)))
  for (let i = 0; i < wanted.length; i++) {
    if (!wanted[i].endsWith('.js')) continue
    const code = readFileSync(join(assets, wanted[i]), 'utf8')
    for (const [, name] of code.matchAll(/from"\.\/([^"]+)"/g))
      if (!wanted.includes(name)) wanted.push(name)
  }
  const size = (name) => gzipSync(readFileSync(join(assets, name)), { level: 9 }).length
  return wanted.reduce((sum, name) => sum + size(name), 0)
}

const pages = [
  ['console: sign-in', 'dist', 'index.html', ['SignInPage-', 'zh-CN-', 'zh-cn-']],
  ['console: overview', 'dist', 'index.html', ['OverviewPage-', 'zh-CN-', 'zh-cn-']],
  ['counter', 'dist/counter', 'index.html', ['zh-CN-']],
]
for (const [name, folder, entry, page] of pages) {
  const bytes = firstPage(folder, entry, page)
  console.log(`${name}: ${(bytes / 1000).toFixed(0)} kB compressed`)
  if (bytes > FIRST_PAGE_MAX) problems.push(`${name} is over ${FIRST_PAGE_MAX} bytes`)
}

for (const problem of problems) console.error(problem)
process.exit(problems.length === 0 ? 0 : 1)
