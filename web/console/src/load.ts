// Loading for pages: one thing, or a list page by page.
import { ref, shallowRef, type Ref, type ShallowRef } from 'vue'

export interface Loaded<T> {
  data: ShallowRef<T | undefined>
  error: ShallowRef<unknown>
  loading: Ref<boolean>
  run: () => Promise<void>
}

/** A later call wins over an earlier one that answers late. */
export function useLoad<T>(load: () => Promise<T>): Loaded<T> {
  const data = shallowRef<T>()
  const error = shallowRef<unknown>()
  const loading = ref(false)
  let latest = 0
  const run = async (): Promise<void> => {
    const mine = ++latest
    loading.value = true
    error.value = undefined
    try {
      const got = await load()
      if (mine === latest) data.value = got
    } catch (reason) {
      if (mine === latest) error.value = reason
    } finally {
      if (mine === latest) loading.value = false
    }
  }
  return { data, error, loading, run }
}

export interface Page<T> {
  items: T[]
  next?: string
}

export interface Paged<T> {
  rows: ShallowRef<T[]>
  error: ShallowRef<unknown>
  loading: Ref<boolean>
  more: Ref<boolean>
  /** From the top. */
  reload: () => Promise<void>
  next: () => Promise<void>
}

export function usePaged<T>(load: (cursor: string | undefined) => Promise<Page<T>>): Paged<T> {
  const rows = shallowRef<T[]>([])
  const error = shallowRef<unknown>()
  const loading = ref(false)
  const more = ref(false)
  let cursor: string | undefined
  let latest = 0
  const fetchPage = async (fromTop: boolean): Promise<void> => {
    const mine = ++latest
    loading.value = true
    error.value = undefined
    try {
      const page = await load(fromTop ? undefined : cursor)
      if (mine !== latest) return
      rows.value = fromTop ? page.items : [...rows.value, ...page.items]
      cursor = page.next
      more.value = cursor !== undefined
    } catch (reason) {
      if (mine === latest) error.value = reason
    } finally {
      if (mine === latest) loading.value = false
    }
  }
  return { rows, error, loading, more, reload: () => fetchPage(true), next: () => fetchPage(false) }
}
