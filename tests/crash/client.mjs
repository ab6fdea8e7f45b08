// tests/crash/client.mjs -- HTTP/1.1 on sockets of our own, so that it is known what was answered in full.
import net from 'node:net'

const ANSWER_MS = 15000

// One connection: one request at a time.  request() gives {status, text}, or null when the connection
// ended before the whole answer was here: then nobody knows what happened to the request.
export class Connection {
  constructor(port, key) {
    this.port = port
    this.key = key
    this.socket = null
    this.waiting = null
    this.bytes = Buffer.alloc(0)
  }

  request(method, path, body, idempotencyKey) {
    const text = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body)
    const repeat = idempotencyKey === undefined ? '' : `Idempotency-Key: ${idempotencyKey}\r\n`
    const type = text === '' ? '' : 'Content-Type: application/json\r\n'
    const head =
      `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${this.key}\r\n` +
      `${repeat}${type}Content-Length: ${Buffer.byteLength(text)}\r\n\r\n`
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.end({ status: 0, text: 'no answer' }), ANSWER_MS)
      this.waiting = (answer) => {
        clearTimeout(timer)
        resolve(answer)
      }
      this.open().write(head + text)
    })
  }

  open() {
    if (this.socket !== null) return this.socket
    this.bytes = Buffer.alloc(0)
    const socket = net.connect(this.port, '127.0.0.1')
    socket.setNoDelay(true)
    socket.on('data', (chunk) => this.take(chunk))
    socket.on('error', () => {})
    socket.on('close', () => {
      if (this.socket === socket) this.end(null)
    })
    this.socket = socket
    return socket
  }

  take(chunk) {
    this.bytes = this.bytes.length === 0 ? chunk : Buffer.concat([this.bytes, chunk])
    const head = this.bytes.indexOf('\r\n\r\n')
    if (head < 0) return
    const lines = this.bytes.toString('latin1', 0, head)
    const length = Number(/^content-length: *(\d+)/im.exec(lines)?.[1] ?? 'NaN')
    if (!(this.bytes.length >= head + 4 + length)) return
    const answer = {
      status: Number(lines.slice(9, 12)),
      type: /^content-type: *([^\r\n;]*)/im.exec(lines)?.[1] ?? '',
      text: this.bytes.toString('utf8', head + 4, head + 4 + length),
    }
    this.bytes = this.bytes.subarray(head + 4 + length)
    if (/^connection: *close/im.test(lines)) this.close()
    this.answer(answer)
  }

  answer(answer) {
    const waiting = this.waiting
    this.waiting = null
    waiting?.(answer)
  }

  end(answer) {
    this.close()
    this.answer(answer)
  }

  close() {
    const socket = this.socket
    this.socket = null
    socket?.destroy()
  }
}

// Several connections that share what is to be done: each(items, fn) calls fn(connection, item).
export class Pool {
  constructor(port, key, size) {
    this.connections = Array.from({ length: size }, () => new Connection(port, key))
    this.rivals = new Map()
  }

  // A second connection beside one.
  rival(connection) {
    const had = this.rivals.get(connection)
    if (had !== undefined) return had
    const made = new Connection(connection.port, connection.key)
    this.rivals.set(connection, made)
    return made
  }

  async each(items, fn) {
    let next = 0
    await Promise.all(
      this.connections.map(async (connection) => {
        while (next < items.length) await fn(connection, items[next++])
      }),
    )
  }

  get one() {
    return this.connections[0]
  }

  close() {
    for (const connection of [...this.connections, ...this.rivals.values()]) connection.close()
  }
}
