// Idempotency keys for forms: one key per content, so that pressing twice does it once, and a
// changed form is another wish.
import { uuid7 } from '@shared/uuid'

export function useKeys(): (body: object) => string {
  let text = ''
  let key = ''
  return (body) => {
    const now = JSON.stringify(body)
    if (now !== text) {
      text = now
      key = uuid7()
    }
    return key
  }
}
