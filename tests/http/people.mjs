// tests/http/people.mjs -- all pages of the people behind a number; numbers by chance for the tests that ask for them.
import assert from 'node:assert/strict'

/** Always the same numbers: a linear congruence. */
export function dice(seed) {
  let state = seed
  return (n) => {
    state = (state * 1103515245 + 12345) % 2147483648
    return Math.floor((state / 2147483648) * n)
  }
}

/** A decimal as a whole number of millionths. */
export const millionths = (text) => {
  const [whole, part = ''] = text.replace('-', '').split('.')
  return BigInt(whole + part.padEnd(6, '0')) * (text.startsWith('-') ? -1n : 1n)
}

/** Of bar `people` of the query: [actor, amount] of each, what it says of all, and the rest of the answer. */
export async function everybody(w, query, people, limit = 200) {
  const found = []
  for (let cursor, pages = 1; ; pages++) {
    const answer = await w.want(200, 'POST', '/v1/query', { ...query, people: { ...people, limit, ...(cursor && { cursor }) } })
    const page = answer.people
    found.push(...page.items.map((p) => [`${p.kind}:${p.value}`, p.amount]))
    if (page.next !== undefined) {
      assert.equal(page.items.length, limit)
      cursor = page.next
      continue
    }
    const said = JSON.stringify([query, people])
    assert.equal(page.persons, found.length, said)
    assert.equal(new Set(found.map(([who]) => who)).size, found.length, said)
    assert.equal(pages, Math.max(1, Math.ceil(found.length / limit)), said)
    if (page.amount !== undefined)
      assert.equal(found.reduce((sum, [, amount]) => sum + millionths(amount), 0n), millionths(page.amount), said)
    return { found, who: found.map(([who]) => who), persons: page.persons, amount: page.amount, nobody: page.nobody, answer }
  }
}
