// Forms that the server is asked to take: what is under way, and what was refused.
import { computed, ref, shallowRef, type ComputedRef, type Ref } from 'vue'
import type { FormInstance } from 'element-plus/es/components/form/index'
import { Refusal } from '@shared/api'
import { asRefusal, explain } from '@shared/format'

export interface Form {
  /** The `ref` of an el-form that has rules: nothing is sent before they hold. */
  form: Ref<FormInstance | undefined>
  busy: Ref<boolean>
  /** The sentence that stands beside a field. */
  problemOf: (field: string) => string
  /** Where no field is to blame. */
  general: ComputedRef<string>
  submit: () => Promise<void>
}

/**
 * `submit` forgets the last refusal and calls `send`, which tells of success itself; what `send`
 * throws is shown until the next try. `fields` says where on the page a code ("staff.last_owner")
 * or a pointer ("/name") belongs.
 */
export function useForm(send: () => Promise<void>, fields: Record<string, string> = {}): Form {
  const form = ref<FormInstance>()
  const busy = ref(false)
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
  const submit = async (): Promise<void> => {
    if (busy.value) return
    error.value = undefined
    if (form.value && !(await form.value.validate().catch(() => false))) return
    busy.value = true
    try {
      await send()
    } catch (reason) {
      error.value = reason
    } finally {
      busy.value = false
    }
  }
  return { form, busy, problemOf, general, submit }
}
