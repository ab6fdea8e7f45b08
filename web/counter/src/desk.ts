// What the clerk is doing: the shop, the customer, the coupon in hand. Gone when the page is closed,
// but for the shop.
import { reactive } from 'vue'
import type { Schemas } from '@shared/api'
import type { Store } from '@shared/stores'

const STORED = 'tongdian.shop'

export interface Shop {
  id: string
  name: string
}

interface Desk {
  shop: Shop | null
  phone: string
  wallet: Schemas['CouponWallet'] | null
  coupon: Schemas['CouponView'] | null
  outcome: Outcome | null
}

/** How the last wish ended. */
export type Outcome =
  | { kind: 'redeem'; label: string; at: number; done: Schemas['CouponRedemptionView'] }
  | { kind: 'reverse'; label: string; at: number; done: Schemas['CouponRedemptionView'] }
  | { kind: 'refused'; label: string; at: number; refusal: unknown }

function storedShop(): Shop | null {
  try {
    return JSON.parse(localStorage.getItem(STORED) ?? 'null') as Shop | null
  } catch {
    return null
  }
}

export const desk = reactive<Desk>({
  shop: storedShop(),
  phone: '',
  wallet: null,
  coupon: null,
  outcome: null,
})

export function chooseShop(store: Store): void {
  desk.shop = { id: store.id, name: store.name }
  localStorage.setItem(STORED, JSON.stringify(desk.shop))
}

export function nextCustomer(): void {
  Object.assign(desk, { phone: '', wallet: null, coupon: null, outcome: null })
}

/** The alphabet of codes has no I, L, O and U: what people read into it is put right. */
export function tidyCode(text: string): string {
  const code = text
    .toUpperCase()
    .replace(/O/g, '0')
    .replace(/[IL]/g, '1')
    .replace(/[^0-9A-Z]/g, '')
    .slice(0, 20)
  return code.replace(/(.{4})(?=.)/g, '$1-')
}

/** The code in what was scanned: alone, or inside of an address. */
export function codeInScan(text: string): string {
  const match = /(?:^|[^0-9A-Za-z])((?:[0-9A-Za-z]{4}-?){4}[0-9A-Za-z]{4})(?=$|[^0-9A-Za-z])/.exec(
    text,
  )
  return tidyCode(match?.[1] ?? text)
}
