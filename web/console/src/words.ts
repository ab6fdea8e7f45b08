// Friendly words for names that come from the server and may be unknown to this page.
import { i18n } from '@shared/locale'

/** words('event', 'Coupon Claimed') reads event.coupon_claimed, else gives the name itself. */
export function words(list: string, name: string): string {
  const key = `${list}.${name.toLowerCase().replace(/[^a-z0-9]+/g, '_')}`
  return i18n.global.te(key) ? i18n.global.t(key) : name
}
