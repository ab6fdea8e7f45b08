// What a coupon gives, in one sentence.
import type { Schemas } from './api'
import { money, moneyPlain } from './format'
import { locale, translate } from './locale'

export interface CouponTerms {
  kind: Schemas['CouponKind']
  amount_fen: number
  rate_bps: number
  cap_fen: number
  min_spend_fen: number
  gift_name?: string
}

const inChinese = (): boolean => locale.value === 'zh-CN'
const amount = (fen: number): string => (inChinese() ? moneyPlain(fen) : money(fen, true))

/** 1500 off is "8.5" in Chinese (85 % of the price), "15 %" in English. */
function rate(bps: number): string {
  return inChinese() ? String((10000 - bps) / 1000) : String(bps / 100)
}

function base(terms: CouponTerms): string {
  if (terms.kind === 'gift') return translate('coupon.gift', { name: terms.gift_name ?? '' }).trim()
  if (terms.kind === 'percent' && terms.rate_bps === 10000) return translate('coupon.free')
  if (terms.kind === 'percent') return translate('coupon.percent', { rate: rate(terms.rate_bps) })
  // Imported coupons may not say what they give.
  if (terms.amount_fen === 0) return translate('coupon.asPrinted')
  return translate('coupon.amount', { amount: amount(terms.amount_fen) })
}

/** "满 50 减 10", "10 off over 50", "8.5 折，最多减 20". */
export function couponSentence(terms: CouponTerms): string {
  const spend = terms.min_spend_fen
  const parts = { what: base(terms), spend: amount(spend), amount: amount(terms.amount_fen) }
  let text = parts.what
  if (spend > 0 && terms.kind === 'amount' && terms.amount_fen > 0)
    text = translate('coupon.amountOver', parts)
  else if (spend > 0) text = translate('coupon.over', parts)
  if (terms.kind === 'percent' && terms.cap_fen > 0)
    text += translate('coupon.cap', { cap: amount(terms.cap_fen) })
  return text
}
