// A wish that must be granted once: the same key is sent until the server's answer is known.
//
// Kept in localStorage from before the first try until the answer, so that a page that was closed or
// a phone that died asks again with the same key.
import { api, Refusal, type Schemas } from './api'
import { asRefusal } from './format'
import { uuid7 } from './uuid'

type Redemption = Schemas['CouponRedemptionView']

export type Wish =
  | { kind: 'redeem'; key: string; at: number; label: string; body: Schemas['CouponRedeem'] }
  | { kind: 'reverse'; key: string; at: number; label: string; id: string; reason: string }

const STORED = 'tongdian.wish'
const WAITS_MS = [500, 1000, 2000, 3000, 5000]
const TRY_MS = 8000
/** Longer than a clerk waits, shorter than the 24 hours for which the server remembers a key. */
const KEPT_MS = 12 * 60 * 60 * 1000

export const redeemWish = (label: string, body: Schemas['CouponRedeem']): Wish => ({
  kind: 'redeem',
  key: uuid7(),
  at: Date.now(),
  label,
  body,
})

export const reverseWish = (label: string, id: string, reason: string): Wish => ({
  kind: 'reverse',
  key: uuid7(),
  at: Date.now(),
  label,
  id,
  reason,
})

/** The wish whose outcome is not known yet, from this or an earlier visit. */
export function openWish(): Wish | null {
  try {
    const wish = JSON.parse(localStorage.getItem(STORED) ?? 'null') as Wish | null
    return wish && Date.now() - wish.at < KEPT_MS ? wish : null
  } catch {
    return null
  }
}

/** From here on the wish is asked for until its outcome is known. */
export function keepWish(wish: Wish): void {
  localStorage.setItem(STORED, JSON.stringify(wish))
}

function send(wish: Wish): Promise<Redemption> {
  const common = { key: wish.key, timeoutMs: TRY_MS }
  if (wish.kind === 'redeem') return api.post('/v1/redemptions', { ...common, body: wish.body })
  const body = { reason: wish.reason }
  return api.post('/v1/redemptions/{id}/reversal', { ...common, path: { id: wish.id }, body })
}

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms)
    window.addEventListener('online', () => resolve(), { once: true })
  })

/**
 * Sends a kept wish until there is an answer or `mayGoOn` says no. Throws the refusal; one with isUnclear means
 * that the outcome is unknown and the wish stays open.
 */
export async function grant(
  wish: Wish,
  onTry: (tries: number) => void,
  mayGoOn: () => boolean,
): Promise<Redemption> {
  for (let tries = 1; ; tries++) {
    try {
      onTry(tries)
      const done = await send(wish)
      localStorage.removeItem(STORED)
      return done
    } catch (error) {
      const refusal = asRefusal(error)
      const again = refusal.isUnclear || refusal.status === 429
      // Signed out in the middle: the answer is still open; the wish is sent again after signing in.
      const keep = again || refusal.status === 401
      if (!keep) localStorage.removeItem(STORED)
      if (!again || !mayGoOn()) throw keep ? new Refusal(0, refusal.code) : refusal
      await pause(WAITS_MS[Math.min(tries, WAITS_MS.length) - 1] ?? 5000)
      if (!mayGoOn()) throw new Refusal(0, refusal.code)
    }
  }
}
