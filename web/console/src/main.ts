import { createApp } from 'vue'
import 'element-plus/es/components/base/style/css'
import 'element-plus/es/components/message/style/css'
import 'element-plus/es/components/message-box/style/css'
import './style.css'
import { whenSignedOut } from '@shared/api'
import { i18n, locale } from '@shared/locale'
import { forgetSession } from '@shared/session'
import App from './App.vue'
import { chooseLanguage } from './language'
import { router, signInAgain } from './router'

async function start(): Promise<void> {
  await chooseLanguage(locale.value)
  whenSignedOut(() => {
    forgetSession()
    void router.push(signInAgain())
  })
  createApp(App).use(i18n).use(router).mount('#app')
}

void start()
