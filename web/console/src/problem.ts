// What the server refused of a form: the field it is about, and the sentence that stands beside it.
import { computed, shallowRef, type ComputedRef, type ShallowRef } from 'vue'
import { Refusal } from '@shared/api'
import { asRefusal, explain } from '@shared/format'

export interface Problem {
  error: ShallowRef<unknown>
  problemOf: (field: string) => string
  /** Where no field is to blame. */
  general: ComputedRef<string>
}

/** `fields` says where on the page a code ("staff.last_owner") or a pointer ("/name") belongs. */
export function useProblem(fields: Record<string, string>): Problem {
  const error = shallowRef<unknown>()
  const found = computed(() => {
    if (!error.value) return { field: '', text: '' }
    const refusal = asRefusal(error.value)
    const byCode = fields[refusal.code]
    // The sentence of a code that is about one field says more than the detail.
    if (byCode) return { field: byCode, text: explain(new Refusal(refusal.status, refusal.code)) }
    return { field: fields[refusal.pointer] ?? '', text: explain(refusal) }
  })
  const problemOf = (field: string): string => (found.value.field === field ? found.value.text : '')
  const general = computed(() => problemOf(''))
  return { error, problemOf, general }
}
