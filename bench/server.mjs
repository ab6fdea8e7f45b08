// bench/server.mjs -- a server of its own for a figure.
import { execFileSync, spawn } from 'node:child_process'

/** A key for the data folder, which is made when it is missing. */
export function makeKey(program, data) {
  const args = ['key', 'add', 'bench', '--role', 'owner', '--data', data]
  return execFileSync(program, args, { stdio: ['ignore', 'pipe', 'ignore'] }).toString().trim()
}

const children = new Set()
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL'))) // also when a figure could not be taken

/** Serves the folder: {child, port} once it answers. */
export async function startServer(program, data, more = []) {
  const child = spawn(program, ['serve', '--data', data, '--listen', '127.0.0.1:0', ...more], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  children.add(child)
  const port = await new Promise((resolve, reject) => {
    let text = ''
    child.stderr.on('data', (bytes) => {
      text += bytes
      const found = /server\.ready .*port=(\d+)/.exec(text)
      if (found) resolve(Number(found[1]))
    })
    child.on('exit', () => reject(new Error(text)))
  })
  return { child, port }
}

export function stopServer(server) {
  children.delete(server.child)
  return new Promise((resolve) => {
    server.child.removeAllListeners('exit')
    server.child.on('exit', resolve)
    server.child.kill('SIGTERM')
  })
}
