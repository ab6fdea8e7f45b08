// Every page of the console, and who may see it. The menu is made from the same table.
import { markRaw, type Component } from 'vue'
import {
  Avatar,
  Bell,
  Box,
  DataLine,
  Flag,
  Key,
  Memo,
  Shop,
  Tickets,
  CircleCheck,
  User,
} from '@element-plus/icons-vue'
import { createRouter, createWebHistory, type RouteLocationRaw } from 'vue-router'
import { loadSession, may, session } from '@shared/session'

declare module 'vue-router' {
  interface RouteMeta {
    bare?: boolean
    permission?: string
  }
}

interface MenuItem {
  name: string
  path: string
  icon: Component
  permission: string
}

const item = (name: string, path: string, icon: Component, permission: string): MenuItem => ({
  name,
  path,
  icon: markRaw(icon),
  permission,
})

export const MENU: { group: string; items: MenuItem[] }[] = [
  {
    group: 'results',
    items: [
      item('overview', '/', DataLine, 'insight.read'),
      item('campaigns', '/campaigns', Flag, 'insight.read'),
    ],
  },
  {
    group: 'customers',
    items: [
      item('people', '/people', User, 'person.read'),
      item('templates', '/coupons', Tickets, 'coupon.template.read'),
      item('redemptions', '/redemptions', CircleCheck, 'coupon.template.read'),
    ],
  },
  {
    group: 'chain',
    items: [
      item('stores', '/stores', Shop, 'store.read'),
      item('products', '/products', Box, 'catalog.read'),
    ],
  },
  {
    group: 'operation',
    items: [
      item('staff', '/staff', Avatar, 'staff.manage'),
      item('keys', '/keys', Key, 'key.manage'),
      item('jobs', '/jobs', Bell, 'job.read'),
      item('audit', '/audit', Memo, 'audit.read'),
    ],
  },
]

const PAGES: Record<string, () => Promise<Component>> = {
  overview: () => import('./insight/OverviewPage.vue'),
  campaigns: () => import('./campaign/CampaignsPage.vue'),
  people: () => import('./person/PeoplePage.vue'),
  templates: () => import('./coupon/TemplatesPage.vue'),
  redemptions: () => import('./coupon/RedemptionsPage.vue'),
  stores: () => import('./store/StoresPage.vue'),
  products: () => import('./catalog/ProductsPage.vue'),
  staff: () => import('./staff/StaffPage.vue'),
  keys: () => import('./staff/KeysPage.vue'),
  jobs: () => import('./job/JobsPage.vue'),
  audit: () => import('./audit/AuditPage.vue'),
}

const menuItems = (): MenuItem[] => MENU.flatMap((group) => group.items)

export const router = createRouter({
  history: createWebHistory(),
  scrollBehavior: (_to, _from, saved) => saved ?? { top: 0 },
  routes: [
    {
      path: '/sign-in',
      name: 'signIn',
      component: () => import('./staff/SignInPage.vue'),
      meta: { bare: true },
    },
    ...menuItems().map(({ name, path, permission }) => ({
      path,
      name,
      component: PAGES[name] as () => Promise<Component>,
      meta: { permission },
    })),
    {
      path: '/campaigns/:id(\\d+)',
      name: 'campaign',
      component: () => import('./campaign/CampaignPage.vue'),
      meta: { permission: 'insight.read' },
      props: true,
    },
    {
      path: '/people/:id(\\d+)',
      name: 'person',
      component: () => import('./person/PersonPage.vue'),
      meta: { permission: 'person.read' },
      props: true,
    },
    {
      path: '/:rest(.*)*',
      name: 'nowhere',
      component: () => import('./components/NowherePage.vue'),
    },
  ],
})

/** The sign-in page, which leads back here. */
export function signInAgain(): RouteLocationRaw {
  const { fullPath, name } = router.currentRoute.value
  return name === 'signIn' ? { name } : { name: 'signIn', query: { next: fullPath } }
}

/** The first page of the menu that this person may see. */
export function firstPage(): string {
  return menuItems().find((entry) => may(entry.permission))?.path ?? '/nowhere'
}

router.beforeEach(async (to) => {
  try {
    await loadSession()
  } catch {
    // The server cannot be reached: the sign-in page says so when it is used.
  }
  if (!session.me) {
    return to.name === 'signIn' ? true : { name: 'signIn', query: { next: to.fullPath } }
  }
  if (to.name === 'signIn') return firstPage()
  if (to.meta.permission && !may(to.meta.permission)) {
    const other = firstPage()
    return other === to.path ? true : other
  }
  return true
})
