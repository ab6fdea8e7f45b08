// Who is signed in and what they may do.
import { reactive } from 'vue'
import { api, setCsrf, type Schemas } from './api'

export type Me = Schemas['Me']

export const session = reactive<{ me: Me | null; known: boolean }>({ me: null, known: false })

function remember(me: Me | null): void {
  session.me = me
  session.known = true
  setCsrf(me?.csrf ?? '')
}

/** Asks once; later calls return at once. A server that cannot be reached is an error. */
export async function loadSession(): Promise<void> {
  if (session.known) return
  try {
    remember(await api.get('/v1/session'))
  } catch (error) {
    if ((error as { status?: number }).status !== 401) throw error
    remember(null)
  }
}

export async function signIn(login: string, password: string): Promise<void> {
  remember(await api.post('/v1/session', { body: { login, password } }))
}

export async function signOut(): Promise<void> {
  try {
    await api.delete('/v1/session')
  } finally {
    remember(null)
  }
}

export function forgetSession(): void {
  remember(null)
}

export function may(permission: string): boolean {
  return session.me?.permissions.includes(permission) ?? false
}
