// Loads the console's sentences and Element Plus's own.
import { shallowRef } from 'vue'
import type { Language } from 'element-plus/es/locale'
import { useLanguage, type Locale } from '@shared/locale'

export const elementLanguage = shallowRef<Language>()

export async function chooseLanguage(wanted: Locale): Promise<void> {
  const [element] = await Promise.all([
    wanted === 'en'
      ? import('element-plus/es/locale/lang/en')
      : import('element-plus/es/locale/lang/zh-cn'),
    useLanguage(wanted, async (name) =>
      name === 'en'
        ? (await import('./locales/en.json')).default
        : (await import('./locales/zh-CN.json')).default,
    ),
  ])
  elementLanguage.value = element.default
}
