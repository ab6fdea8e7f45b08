// All shops of the chain, fetched page by page and kept while the page is open.
import { api, type Schemas } from './api'

export type Store = Schemas['StoreView']

let kept: Promise<Store[]> | undefined

async function fetchAll(): Promise<Store[]> {
  const stores: Store[] = []
  let cursor: string | undefined
  do {
    const page = await api.get('/v1/stores', { query: { cursor, limit: 200 } })
    stores.push(...page.items)
    cursor = page.next
  } while (cursor)
  return stores
}

export function allStores(): Promise<Store[]> {
  kept ??= fetchAll().catch((error: unknown) => {
    kept = undefined
    throw error
  })
  return kept
}

export function forgetStores(): void {
  kept = undefined
}

/** The names of shops by id. */
export async function storeNames(): Promise<Map<string, string>> {
  return new Map((await allStores()).map((store) => [store.id, store.name]))
}
