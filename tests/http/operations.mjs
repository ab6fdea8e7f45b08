// tests/http/operations.mjs -- whether every operation of the contracts was answered with success.
// Usage: node operations.mjs OPENAPI.json SEEN; SEEN has a line METHOD PATH per request that succeeded.
import { readFileSync } from 'node:fs'

const contracts = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const seen = readFileSync(process.argv[3], 'utf8').split('\n')
// A literal beats a {placeholder}: /v1/sales/quote is not the sale "quote".
const literals = new Set(Object.keys(contracts.paths).filter((path) => !path.includes('{')))
let missing = 0
let found = 0
for (const [path, methods] of Object.entries(contracts.paths)) {
  const pattern = new RegExp(`^${path.replace(/{[a-z_]+}/g, '[^/]+')}$`)
  for (const method of Object.keys(methods).filter((m) => methods[m].operationId)) {
    // A dead job cannot be made through the API: its refusal is tested instead.
    if (methods[method].operationId === 'job_retry') continue
    const hit = seen.some((line) => {
      const [verb, at] = line.split(' ')
      return verb === method.toUpperCase() && pattern.test(at ?? '') && (at === path || !literals.has(at))
    })
    if (hit) found++
    else {
      missing++
      console.log(`FAIL no test succeeds with ${method.toUpperCase()} ${path} (${methods[method].operationId})`)
    }
  }
}
console.log(`${found} operations were exercised, ${missing} not`)
process.exit(missing === 0 ? 0 : 1)
