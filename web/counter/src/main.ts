import { createApp } from 'vue'
import './style.css'
import { whenSignedOut } from '@shared/api'
import { i18n, locale } from '@shared/locale'
import { forgetSession } from '@shared/session'
import App from './App.vue'
import { chooseLanguage } from './language'
import { router } from './router'

async function start(): Promise<void> {
  await chooseLanguage(locale.value)
  whenSignedOut(() => {
    forgetSession()
    void router.push('/sign-in')
  })
  createApp(App).use(i18n).use(router).mount('#app')
}

void start()
