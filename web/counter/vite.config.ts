import { fileURLToPath } from 'node:url'
import { VantResolver } from '@vant/auto-import-resolver'
import vue from '@vitejs/plugin-vue'
import components from 'unplugin-vue-components/vite'
import { defineConfig, type Plugin } from 'vite'

/** Vant's icon font is a data: address, which the page's policy refuses; no icon of it is used. */
const noIconFont: Plugin = {
  name: 'no-icon-font',
  enforce: 'pre',
  transform: (code, id) =>
    id.includes('/vant/es/icon/index.css')
      ? code.replace(/@font-face\s*\{[^}]*\}/g, '')
      : undefined,
}

export default defineConfig({
  base: '/counter/',
  plugins: [noIconFont, vue(), components({ dirs: [], dts: false, resolvers: [VantResolver()] })],
  resolve: { alias: { '@shared': fileURLToPath(new URL('../shared', import.meta.url)) } },
  define: { __INTLIFY_PROD_DEVTOOLS__: false, __VUE_I18N_LEGACY_API__: false },
  server: { proxy: { '/v1': 'http://127.0.0.1:8080' } },
  build: {
    target: 'es2021',
    outDir: '../dist/counter',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
})
