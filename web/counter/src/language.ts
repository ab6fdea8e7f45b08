// Loads the counter's sentences.
import { translate, useLanguage, type Locale } from '@shared/locale'

export async function chooseLanguage(wanted: Locale): Promise<void> {
  await useLanguage(wanted, async (name) =>
    name === 'en'
      ? (await import('./locales/en.json')).default
      : (await import('./locales/zh-CN.json')).default,
  )
  document.title = translate('app.title')
}
