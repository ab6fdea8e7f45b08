// The language of the page: remembered, loaded when it is needed.
import { ref } from 'vue'
import { createI18n } from 'vue-i18n'

export type Locale = 'zh-CN' | 'en'
type Table = { [key: string]: string | Table }

const STORED = 'tongdian.language'

function firstChoice(): Locale {
  const stored = localStorage.getItem(STORED)
  if (stored === 'zh-CN' || stored === 'en') return stored
  return navigator.language.toLowerCase().startsWith('zh') ? 'zh-CN' : 'en'
}

export const locale = ref<Locale>(firstChoice())
export const errorSentences = ref<Record<string, string>>({})

export const i18n = createI18n({
  legacy: false,
  locale: locale.value,
  fallbackLocale: [],
  messages: {} as Record<string, Table>,
})

/** Outside of components; inside, useI18n() gives the same. */
export const translate = i18n.global.t as (key: string, values?: object) => string

export type LoadMessages = (wanted: Locale) => Promise<Table>

async function loadShared(wanted: Locale): Promise<[Table, Record<string, string>]> {
  const [words, errors] =
    wanted === 'en'
      ? await Promise.all([import('./locales/en.json'), import('./errors/en.json')])
      : await Promise.all([import('./locales/zh-CN.json'), import('./errors/zh-CN.json')])
  return [words.default, errors.default]
}

/** Switches the page to a language, once its sentences are there. */
export async function useLanguage(wanted: Locale, load: LoadMessages): Promise<void> {
  const [[shared, errors], own] = await Promise.all([loadShared(wanted), load(wanted)])
  i18n.global.setLocaleMessage(wanted, shared)
  i18n.global.mergeLocaleMessage(wanted, own)
  i18n.global.locale.value = wanted
  errorSentences.value = errors
  locale.value = wanted
  document.documentElement.lang = wanted
  localStorage.setItem(STORED, wanted)
}
