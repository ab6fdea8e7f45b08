// Finding: what a code gives, or whose phone this is.
import { api, Refusal } from '@shared/api'
import { desk } from './desk'

export async function findCode(code: string): Promise<void> {
  desk.wallet = null
  desk.coupon = await api.get('/v1/coupons/{code}', { path: { code } })
}

/** False when nobody has this phone number yet. */
export async function findPhone(phone: string): Promise<boolean> {
  desk.phone = phone
  try {
    desk.wallet = await api.post('/v1/wallets', { body: { phone } })
    return true
  } catch (error) {
    if (error instanceof Refusal && error.code === 'person.unknown') return false
    throw error
  }
}
