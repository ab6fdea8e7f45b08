// Numbers, money, times and refusals as people read them. Money is integer minor units.
import { Refusal } from './api'
import { errorSentences, locale, translate } from './locale'
import { session } from './session'

const exponent = (): number => session.me?.exponent ?? 2
const currency = (): string => session.me?.currency ?? 'CNY'

/** -1234 -> "-¥12.34"; `trim` leaves out zeros behind the point. */
export function money(fen: number, trim = false): string {
  const digits = trim && fen % 10 ** exponent() === 0 ? 0 : exponent()
  return new Intl.NumberFormat(locale.value, {
    style: 'currency',
    currency: currency(),
    currencyDisplay: 'narrowSymbol',
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(fen / 10 ** exponent())
}

/** Large amounts where room is short: "¥1.2M", "¥120万". */
export function moneyShort(fen: number): string {
  return new Intl.NumberFormat(locale.value, {
    style: 'currency',
    currency: currency(),
    currencyDisplay: 'narrowSymbol',
    notation: 'compact',
    maximumFractionDigits: 1,
  }).format(fen / 10 ** exponent())
}

/** The number alone, without zeros that say nothing: 1050 -> "10.5". */
export function moneyPlain(fen: number): string {
  return String(fen / 10 ** exponent())
}

/** "12.3" -> 1230; null when it is no amount of this currency. */
export function parseMoney(text: string): number | null {
  const match = /^(\d{1,10})(?:[.,。](\d*))?$/.exec(
    text.trim().replace(/[,，](?=\d{3}(\D|$))/g, ''),
  )
  const fraction = match?.[2] ?? ''
  if (!match || fraction.length > exponent()) return null
  return Number(match[1] + fraction.padEnd(exponent(), '0'))
}

export function count(value: number): string {
  return new Intl.NumberFormat(locale.value).format(value)
}

/** Basis points: 1656 -> "16.56 %". */
export function percent(bps: number): string {
  return `${(bps / 100).toFixed(2)} %`
}

export function dateTime(at: string | undefined): string {
  if (!at) return ''
  return new Intl.DateTimeFormat(locale.value, {
    year: 'numeric',
    month: 'short',
    day: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  }).format(new Date(at))
}

export function time(at: string): string {
  return new Intl.DateTimeFormat(locale.value, {
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  }).format(new Date(at))
}

/** An instant's date here; a business day ("2026-11-21") has no zone and must not shift. */
export function date(at: string | undefined): string {
  if (!at) return ''
  const timeZone = at.length === 10 ? 'UTC' : undefined
  const options = { year: 'numeric', month: 'short', day: 'numeric', timeZone } as const
  return new Intl.DateTimeFormat(locale.value, options).format(new Date(at))
}

/** A business day without its year. */
export function day(text: string): string {
  const options = { month: 'short', day: 'numeric', timeZone: 'UTC' } as const
  return new Intl.DateTimeFormat(locale.value, options).format(new Date(`${text}T00:00:00Z`))
}

/** The last instant before an end that is no longer part of it. */
export function lastInstant(end: string): string {
  return new Date(new Date(end).getTime() - 1).toISOString()
}

export function asRefusal(error: unknown): Refusal {
  return error instanceof Refusal ? error : new Refusal(-1, 'page.failed', String(error))
}

/** What went wrong and what to do, in the reader's language. */
export function explain(error: unknown): string {
  const refusal = asRefusal(error)
  const known = errorSentences.value[refusal.code]
  const inEnglish = locale.value === 'en' && refusal.detail
  if (refusal.pointer && inEnglish) return refusal.detail
  return known ?? (inEnglish || translate('error.unknown', { code: refusal.code }))
}
