import { createRouter, createWebHistory } from 'vue-router'
import { loadSession, session } from '@shared/session'
import { desk } from './desk'
import CouponPage from './pages/CouponPage.vue'
import DonePage from './pages/DonePage.vue'
import EnrolPage from './pages/EnrolPage.vue'
import HomePage from './pages/HomePage.vue'
import ShopPage from './pages/ShopPage.vue'
import SignInPage from './pages/SignInPage.vue'
import TodayPage from './pages/TodayPage.vue'
import WalletPage from './pages/WalletPage.vue'
import WorkPage from './pages/WorkPage.vue'

// All pages but the scanner come with the first one: the network may be gone when they are needed.
export const router = createRouter({
  history: createWebHistory('/counter/'),
  routes: [
    { path: '/', name: 'home', component: HomePage },
    { path: '/sign-in', name: 'signIn', component: SignInPage },
    { path: '/shop', name: 'shop', component: ShopPage },
    { path: '/scan', name: 'scan', component: () => import('./pages/ScanPage.vue') },
    { path: '/enrol', name: 'enrol', component: EnrolPage },
    { path: '/wallet', name: 'wallet', component: WalletPage },
    { path: '/coupon', name: 'coupon', component: CouponPage },
    { path: '/work', name: 'work', component: WorkPage },
    { path: '/done', name: 'done', component: DonePage },
    { path: '/today', name: 'today', component: TodayPage },
    { path: '/:rest(.*)*', redirect: '/' },
  ],
})

/** What a page needs in hand: without it (a reload), the clerk starts again. */
const NEEDS: Record<string, () => boolean> = {
  enrol: () => desk.phone !== '',
  wallet: () => desk.wallet !== null,
  coupon: () => desk.coupon !== null,
  done: () => desk.outcome !== null,
}

router.beforeEach(async (to) => {
  try {
    await loadSession()
  } catch {
    // No network: a clerk who is known stays; another one sees the sign-in page.
  }
  if (!session.me) return to.name === 'signIn' ? true : '/sign-in'
  if (to.name === 'signIn') return '/'
  if (!desk.shop && to.name !== 'shop') return '/shop'
  const ready = NEEDS[String(to.name)]
  return ready && !ready() ? '/' : true
})
