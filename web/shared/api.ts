// The one door to the server: typed by the contracts, refusals as one kind of error.
import type { components, paths } from './schema'

export type Schemas = components['schemas']
type Method = 'get' | 'post' | 'put' | 'delete'
type PathsWith<M extends Method> = {
  [P in keyof paths]: paths[P][M] extends { responses: unknown } ? P : never
}[keyof paths]
type Json<C> = C extends { content: { 'application/json': infer T } } ? T : never
type Reply<O> = O extends { responses: infer R }
  ? Json<R extends { 200: infer A } ? A : R extends { 201: infer B } ? B : never>
  : never
type Part<O, K extends string> = O extends { parameters: { [N in K]?: infer V } } ? V : undefined

export interface Ask<O> {
  path?: Part<O, 'path'>
  query?: Part<O, 'query'>
  body?: O extends { requestBody?: infer B } ? Json<NonNullable<B>> : undefined
  /** Idempotency-Key: the same for every try of one wish. */
  key?: string
  timeoutMs?: number
}

/** Why a request did not succeed. `code` is the server's, or `net.offline` or `net.timeout`. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly detail = '',
    readonly pointer = '',
  ) {
    super(`${code} ${detail}`)
  }

  /** Nobody knows whether it was done: the same key must be sent again to find out. */
  get isUnclear(): boolean {
    return this.status === 0 || this.status >= 502 || this.code === 'idempotency.in_flight'
  }
}

const TIMEOUT_MS = 20_000

let csrf = ''
let onSignedOut: (() => void) | undefined

export function setCsrf(token: string): void {
  csrf = token
}

/** Called when the server says that nobody is signed in any more. */
export function whenSignedOut(callback: () => void): void {
  onSignedOut = callback
}

function address(template: string, path: unknown, query: unknown): string {
  const values = (path ?? {}) as Record<string, string>
  const filled = template.replace(/\{(\w+)\}/g, (_, name: string) =>
    encodeURIComponent(values[name] ?? ''),
  )
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query ?? {}))
    if (value !== undefined && value !== '') search.append(name, String(value))
  const text = search.toString()
  return text ? `${filled}?${text}` : filled
}

async function refusalOf(response: Response): Promise<Refusal> {
  let problem: Partial<Schemas['Problem']> = {}
  try {
    problem = (await response.json()) as Partial<Schemas['Problem']>
  } catch {
    // A proxy's page instead of a problem: the status has to do.
  }
  const field = problem.errors?.[0]
  return new Refusal(
    response.status,
    problem.code ?? 'http.failed',
    field?.detail ?? problem.detail ?? '',
    field?.pointer ?? '',
  )
}

async function send(url: string, init: RequestInit, timeoutMs: number): Promise<Response> {
  const stop = new AbortController()
  const timer = setTimeout(() => stop.abort(), timeoutMs)
  try {
    return await fetch(url, { ...init, credentials: 'same-origin', signal: stop.signal })
  } catch {
    throw new Refusal(0, stop.signal.aborted ? 'net.timeout' : 'net.offline')
  } finally {
    clearTimeout(timer)
  }
}

async function call(method: Method, template: string, ask: Ask<unknown>): Promise<unknown> {
  const headers: Record<string, string> = { Accept: 'application/json' }
  if (ask.body !== undefined) headers['Content-Type'] = 'application/json'
  if (method !== 'get' && csrf) headers['X-CSRF-Token'] = csrf
  if (ask.key) headers['Idempotency-Key'] = ask.key
  const body = ask.body === undefined ? undefined : JSON.stringify(ask.body)
  const init = { method: method.toUpperCase(), headers, body }
  const url = address(template, ask.path, ask.query)
  const response = await send(url, init, ask.timeoutMs ?? TIMEOUT_MS)
  if (!response.ok) {
    const refusal = await refusalOf(response)
    const lost = refusal.status === 401 && refusal.code !== 'auth.password'
    if (lost && template !== '/v1/session') onSignedOut?.()
    throw refusal
  }
  try {
    return await response.json()
  } catch {
    throw new Refusal(0, 'net.offline')
  }
}

export const api = {
  get: <P extends PathsWith<'get'>>(
    path: P,
    ask: Ask<paths[P]['get']> = {},
  ): Promise<Reply<paths[P]['get']>> =>
    call('get', path, ask as Ask<unknown>) as Promise<Reply<paths[P]['get']>>,
  post: <P extends PathsWith<'post'>>(
    path: P,
    ask: Ask<paths[P]['post']> = {},
  ): Promise<Reply<paths[P]['post']>> =>
    call('post', path, ask as Ask<unknown>) as Promise<Reply<paths[P]['post']>>,
  put: <P extends PathsWith<'put'>>(
    path: P,
    ask: Ask<paths[P]['put']> = {},
  ): Promise<Reply<paths[P]['put']>> =>
    call('put', path, ask as Ask<unknown>) as Promise<Reply<paths[P]['put']>>,
  delete: <P extends PathsWith<'delete'>>(
    path: P,
    ask: Ask<paths[P]['delete']> = {},
  ): Promise<Reply<paths[P]['delete']>> =>
    call('delete', path, ask as Ask<unknown>) as Promise<Reply<paths[P]['delete']>>,
}
