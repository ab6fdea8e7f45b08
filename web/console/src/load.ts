// Loading for pages: one thing, or a list page by page.
import { computed, ref, shallowRef, type ComputedRef, type Ref, type ShallowRef } from 'vue'

interface Loading {
  error: ShallowRef<unknown>
  loading: Ref<boolean>
}

interface Latest extends Loading {
  take: <T>(load: () => Promise<T>, keep: (got: T) => void) => Promise<void>
}

/** A later call wins over an earlier one that answers late. One that fails changes nothing. */
function useLatest(): Latest {
  const error = shallowRef<unknown>()
  const loading = ref(false)
  let latest = 0
  const take: Latest['take'] = async (load, keep) => {
    const mine = ++latest
    loading.value = true
    error.value = undefined
    try {
      const got = await load()
      if (mine === latest) keep(got)
    } catch (reason) {
      if (mine === latest) error.value = reason
    } finally {
      if (mine === latest) loading.value = false
    }
  }
  return { error, loading, take }
}

export interface Loaded<T> extends Loading {
  data: ShallowRef<T | undefined>
  run: () => Promise<void>
}

export function useLoad<T>(load: () => Promise<T>): Loaded<T> {
  const data = shallowRef<T>()
  const { error, loading, take } = useLatest()
  const run = (): Promise<void> => take(load, (got) => (data.value = got))
  return { data, error, loading, run }
}

export interface Page<T> {
  items: T[]
  next?: string
}

export interface Paged<T> extends Loading {
  rows: ShallowRef<T[]>
  more: Ref<boolean>
  /** From the top. */
  reload: () => Promise<void>
  next: () => Promise<void>
  /** All that a DataTable shows and asks for: `v-bind="table"`. */
  table: ComputedRef<{
    rows: T[]
    error: unknown
    loading: boolean
    more: boolean
    onRetry: () => Promise<void>
    onMore: () => Promise<void>
  }>
}

/** A list that the server gives whole is a first page without a next one. */
export function usePaged<T>(load: (cursor: string | undefined) => Promise<Page<T>>): Paged<T> {
  const rows = shallowRef<T[]>([])
  const more = ref(false)
  const { error, loading, take } = useLatest()
  let cursor: string | undefined
  const fetchPage = (fromTop: boolean): Promise<void> =>
    take(
      () => load(fromTop ? undefined : cursor),
      (page) => {
        rows.value = fromTop ? page.items : [...rows.value, ...page.items]
        cursor = page.next
        more.value = cursor !== undefined
      },
    )
  const reload = (): Promise<void> => fetchPage(true)
  // The cursor of what is on its way is not known yet.
  const next = async (): Promise<void> => {
    if (!loading.value) await fetchPage(false)
  }
  const table = computed(() => ({
    rows: rows.value,
    error: error.value,
    loading: loading.value,
    more: more.value,
    onRetry: reload,
    onMore: next,
  }))
  return { rows, error, loading, more, reload, next, table }
}
