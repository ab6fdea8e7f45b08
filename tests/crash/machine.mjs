// tests/crash/machine.mjs -- a machine that can lose its power: the program, its folder, its lossy disk.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'

const START_MS = 30000
const OUTPUT_BYTES_KEPT = 200000

// A finding is what the test exists to report; anything else that is thrown is a mistake of the driver.
export class Finding extends Error {}

export class Machine {
  constructor({ binary, lossy, folder }) {
    this.binary = binary
    this.tool = path.join(lossy, 'lossy-disk')
    this.library = path.join(lossy, 'liblossy.so')
    this.sql = path.join(lossy, '..', 'crash', 'crash-sql')
    this.folder = folder
    this.data = path.join(folder, 'data')
    this.keyFile = path.join(folder, 'keys') // beside the data, as on a real machine
    for (const file of [this.tool, this.library, this.sql])
      if (!fs.existsSync(file)) throw new Error(`${file} is missing: build it first`)
    fs.mkdirSync(folder, { recursive: true })
  }

  disk(...args) {
    return execFileSync(this.tool, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  }

  set(...knobs) {
    this.disk('set', this.data, ...knobs)
  }

  stat() {
    const words = this.disk('stat', this.data).trim().split(' ')
    return Object.fromEntries(words.map((word) => word.split('=')))
  }

  format(mode) {
    fs.rmSync(`${this.data}.platter`, { recursive: true, force: true })
    this.disk('format', '-m', mode, this.data)
  }

  empty(mode) {
    fs.rmSync(this.data, { recursive: true, force: true })
    fs.mkdirSync(this.data)
    this.format(mode)
  }

  // What the disk kept, as a folder of its own.
  crash(seed, name) {
    const after = path.join(this.folder, name)
    fs.rmSync(after, { recursive: true, force: true })
    this.disk('-s', String(seed >>> 0), '-o', after, 'crash', this.data)
    return after
  }

  // The machine comes up again with what the disk kept.
  reboot(seed, mode) {
    const after = this.crash(seed, 'after')
    fs.rmSync(this.data, { recursive: true, force: true })
    fs.renameSync(after, this.data)
    this.format(mode)
  }

  lossyEnv(extra) {
    return { ...process.env, ...extra, LD_PRELOAD: this.library, LOSSY_DIR: this.data,
      ASAN_OPTIONS: 'verify_asan_link_order=0' }
  }

  key() {
    const args = ['key', 'add', 'crash', '--role', 'owner', '--data', this.data, '--key-file', this.keyFile]
    const ran = spawnSync(this.binary, args, { env: this.lossyEnv({}), encoding: 'utf8' })
    if (ran.status !== 0) throw new Finding(`tongdian key add failed: ${ran.stderr}`)
    return ran.stdout.trim()
  }

  // Starts the program; data is the lossy folder, or another one that is read as it is.
  launch(data = this.data, env = {}) {
    const args = ['serve', '--data', data, '--key-file', this.keyFile, '--listen', '127.0.0.1:0']
    args.push('--engine-rows', '500') // many files of columns, and merges of them
    const lossy = data === this.data ? this.lossyEnv(env) : { ...process.env, ...env }
    return new Program(spawn(this.binary, args, { env: lossy, stdio: ['ignore', 'pipe', 'pipe'] }))
  }

  async start(data, env) {
    const program = this.launch(data, env)
    await program.ready()
    // It can be made again from the log, but on a disk that keeps what was synced it must not need to.
    if (program.output.includes('events.engine_made_again')) {
      await program.kill()
      throw new Finding(`the event engine is damaged: ${program.tail()}`)
    }
    return program
  }

  // Rows of one query on a folder that no program uses, as lists of texts.
  query(data, sql) {
    const ran = spawnSync(this.sql, [path.join(data, 'tongdian.db'), sql], { encoding: 'utf8' })
    if (ran.status !== 0) throw new Finding(`the database cannot be read: ${ran.stderr.trim()}`)
    return ran.stdout.split('\n').filter((line) => line !== '').map((line) => line.split('\t'))
  }

  get hasCheck() {
    this.checks ??= /^ {2}check /m.test(spawnSync(this.binary, ['help'], { encoding: 'utf8' }).stdout)
    return this.checks
  }

  check(data) {
    const args = ['check', '--data', data, '--key-file', this.keyFile]
    const ran = spawnSync(this.binary, args, { encoding: 'utf8' })
    if (ran.status !== 0) throw new Finding(`tongdian check: ${ran.stdout.trim()} ${ran.stderr.trim()}`)
  }

  remove() {
    fs.rmSync(this.folder, { recursive: true, force: true })
  }
}

export class Program {
  constructor(child) {
    this.child = child
    this.output = ''
    this.over = new Promise((resolve) => {
      child.on('close', (status, signal) => resolve({ status, signal }))
    })
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk) => {
        this.output = (this.output + chunk).slice(-OUTPUT_BYTES_KEPT)
        this.heard?.()
      })
  }

  // Waits for the line that says the port.
  async ready() {
    let timer
    const late = new Promise((resolve) => (timer = setTimeout(() => resolve('late'), START_MS)))
    const said = new Promise((resolve) => (this.heard = () => this.portOf() && resolve('ready')))
    const how = await Promise.race([late, said, this.over.then(() => 'over')])
    clearTimeout(timer)
    this.heard = undefined
    if (how === 'ready') return this.portOf()
    await this.kill()
    throw new Finding(`the program does not start (${how}): ${this.tail()}`)
  }

  portOf() {
    const line = /server\.ready.*?port=(\d+)/.exec(this.output)
    if (line !== null) this.port ??= Number(line[1])
    return this.port
  }

  tail(lines = 8) {
    return this.output.trim().split('\n').slice(-lines).join('\n      ')
  }

  async kill() {
    this.child.kill('SIGKILL')
    return this.over
  }

  async stop() {
    this.child.kill('SIGTERM')
    return this.over
  }
}
