// scripts/types.mjs -- the TypeScript types of the API, from the rooms' contracts.
//
// TONGDIAN_OPENAPI names an openapi.json that is there already; without it, tools/apigen is compiled
// and run, so that the types can never be older than the contracts.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import openapiTS, { astToString } from 'openapi-typescript'

const root = fileURLToPath(new URL('../..', import.meta.url))

function contracts() {
  const modules = join(root, 'src/modules')
  const rooms = readdirSync(modules, { recursive: true })
    .filter((name) => name.endsWith('.api.yaml'))
    .sort()
    .map((name) => join(modules, name))
  return [join(root, 'src/request/common.api.yaml'), ...rooms, join(root, 'src/jobs/job.api.yaml')]
}

function generate() {
  const folder = mkdtempSync(join(tmpdir(), 'apigen-'))
  const tool = join(folder, 'apigen')
  const sources = readdirSync(join(root, 'tools'))
    .filter((name) => /^apigen.*\.c$/.test(name))
    .map((name) => join(root, 'tools', name))
  const base = ['arena', 'str', 'base', 'clock', 'json_out'].map((name) =>
    join(root, 'src/base', `${name}.c`),
  )
  const flags = ['-std=gnu17', '-D_GNU_SOURCE', '-O1', `-I${join(root, 'src')}`]
  try {
    const compiler = process.env.CC ?? 'cc'
    execFileSync(compiler, [...flags, ...sources, ...base, '-lyaml', '-o', tool])
    execFileSync(tool, ['--openapi', join(folder, 'openapi.json'), ...contracts()])
    return readFileSync(join(folder, 'openapi.json'), 'utf8')
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const given = process.env.TONGDIAN_OPENAPI
const text = given ? readFileSync(given, 'utf8') : generate()
const types = astToString(await openapiTS(JSON.parse(text), { defaultNonNullable: false }))
writeFileSync(new URL('../shared/schema.d.ts', import.meta.url), types)

// The codes stand in the descriptions of the refusals; check.mjs wants a sentence for each.
const codes = new Set(Array.from(text.matchAll(/`([a-z_]+\.[a-z_]+)`: /g), (match) => match[1]))
const listed = JSON.stringify([...codes].sort(), null, 1)
writeFileSync(new URL('../shared/codes.json', import.meta.url), `${listed}\n`)
