// tests/ops/reader.mjs -- a reader of the event log and of the columns, made of docs/formats/{events,event-log,event-parts}.md
// alone: whatever it needs stands there.  Small data only.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const CASTAGNOLI = Uint32Array.from({ length: 256 }, (_, i) => {
  for (let k = 0; k < 8; k++) i = i & 1 ? (i >>> 1) ^ 0x82f63b78 : i >>> 1
  return i
})
function crc(bytes) {
  let c = ~0
  for (const b of bytes) c = CASTAGNOLI[(c ^ b) & 255] ^ (c >>> 8)
  return ~c >>> 0
}
const align8 = (n) => Math.ceil(n / 8) * 8
const u32 = (b, at) => b.readUInt32LE(at)
const u64 = (b, at) => Number(b.readBigUInt64LE(at))
const i64 = (b, at) => b.readBigInt64LE(at)

/** Numbers that are equal look the same: `value` times 10^-`scale`. */
function number(value, scale) {
  for (; scale > 0 && value % 10n === 0n; scale--) value /= 10n
  return `${value}e-${scale}`
}

// ---- events as bytes ----------------------------------------------------------------------------------------

class Pieces {
  constructor(bytes, at = 0) { Object.assign(this, { bytes, at }) }
  byte() { return this.bytes[this.at++] }
  varint() {
    for (let v = 0n, shift = 0n; ; shift += 7n) {
      const b = this.byte()
      v |= BigInt(b & 0x7f) << shift
      if (b < 0x80) return v
    }
  }
  count() { return Number(this.varint()) }
  zigzag() { const v = this.varint(); return v & 1n ? -((v + 1n) >> 1n) : v >> 1n }
  text() { const n = this.count(); this.at += n; return this.bytes.toString('utf8', this.at - n, this.at) }
  value(type) {
    switch (type) {
      case 0: return null
      case 1: return this.text()
      case 2: { const v = this.zigzag(); return number(v, this.byte()) }
      case 4: return `${this.byte()}e-0`
      case 3: case 5: return `${this.zigzag()}e-0`
      case 6: return Array.from({ length: this.count() }, () => this.text())
      default: return Array.from({ length: this.count() }, () => this.properties())
    }
  }
  properties() {
    const all = {}
    for (let n = this.count(); n > 0; n--) { const name = this.text(); all[name] = this.value(this.byte()) }
    return all
  }
  record() {
    const length = this.count(), end = this.at + length
    assert.equal(this.byte(), 1)
    const e = { kind: this.byte() }
    if (e.kind === 0) { assert.equal(this.at, end); return e }
    const time = this.zigzag()
    Object.assign(e, { time: Number(time), received: Number(time + this.zigzag()), source: this.text(), id: this.text(), name: this.text() })
    e.actor = [this.text(), this.text()].join('\0')
    e.store = this.text()
    if (e.kind === 3 || e.kind === 4) e.other = [this.text(), this.text()].join('\0')
    e.properties = this.properties()
    e.context = this.properties()
    assert.equal(this.at, end)
    return e
  }
}

// ---- the log ------------------------------------------------------------------------------------------------

/** All records of a sound log, in the order of arrival. */
export function readLog(folder) {
  const records = []
  let next = 1
  for (const name of readdirSync(folder).filter((f) => /^\d{20}\.log$/.test(f)).sort()) {
    const b = readFileSync(join(folder, name))
    assert.equal(b.toString('latin1', 0, 8), 'TDEVLOG1')
    assert.equal(u32(b, 12), crc(b.subarray(16, 64)))
    assert.equal(u64(b, 16), next)
    assert.equal(Number(name.slice(0, 20)), next)
    let at = 64, before = 0
    for (; at + 64 <= b.length && b.toString('latin1', at, at + 4) === 'TDF1';) {
      const bytes = u32(b, at + 8), count = u32(b, at + 24), events = b.subarray(at + 64, at + 64 + bytes)
      assert.equal(u32(b, at + 4), crc(b.subarray(at + 8, at + 64)))
      assert.equal(u32(b, at + 12), crc(events))
      assert.equal(u64(b, at + 16), next)
      assert.equal(u32(b, at + 28), before)
      const pieces = new Pieces(events)
      for (let i = 0; i < count; i++) records.push({ seq: next++, ...pieces.record() })
      assert.equal(pieces.at, bytes)
      before = u32(b, at + 4)
      at += align8(64 + bytes)
    }
    assert.ok(b.subarray(at).every((x) => x === 0))
  }
  return records
}

// ---- the columns' names ----------------------------------------------------------------------------------------

/** Which actors are one person: the smallest of those that hang together. */
class Persons {
  links = []
  erased = new Set()
  person = new Map()
  joined = new Map()
  moved = new Map() // person -> generation
  generation = 0
  of(actor) { return this.erased.has(actor) ? 0 : this.person.get(actor) ?? actor }
  change(kind, a, b) {
    const moves = kind === 'X' ? this.of(a) : kind === 'L' ? Math.max(this.of(a), this.of(b)) : this.of(a)
    const was = new Map([...this.all(), a, b].filter((x) => x).map((x) => [x, this.of(x)]))
    if (kind === 'L') this.links.push([a, b])
    else this.links = this.links.filter(([x, y]) => kind === 'X' ? x !== a && y !== a : !(x === a && y === b) && !(x === b && y === a))
    if (kind === 'X') this.erased.add(a)
    this.gather([...was.keys()])
    const changed = [...was.keys()].filter((x) => this.of(x) !== was.get(x)).sort((x, y) => x - y)
    for (const x of changed)
      if (this.of(x) !== x && this.of(x) !== 0) this.join(this.of(x), x)
    if (changed.length > 0) this.moved.set(moves, ++this.generation)
  }
  all() { return this.links.flat() }
  gather(actors) {
    this.person = new Map(actors.map((x) => [x, x]))
    for (let again = true; again;) {
      again = false
      for (const [x, y] of this.links) {
        const low = Math.min(this.person.get(x), this.person.get(y))
        again ||= this.person.get(x) !== low || this.person.get(y) !== low
        this.person.set(x, low).set(y, low)
      }
    }
  }
  join(person, actor) {
    const list = this.joined.get(person) ?? []
    this.joined.set(person, list)
    if (!list.includes(actor)) list.push(actor)
  }
}

function readNames(b) {
  const names = { events: [''], props: new Map(), texts: new Map([[3, ['']], [4, ['']]]), actors: new Map(), persons: new Persons() }
  let prop = 16, actor = 2048
  for (let at = 0, end; at < b.length; at = end) {
    end = at + 8 + u32(b, at)
    assert.equal(u32(b, at + 4), crc(b.subarray(at + 8, end)))
    for (at += 8; at < end;) {
      const kind = b.toString('latin1', at++, at)
      const one = () => { at += 4; return u32(b, at - 4) }
      const text = () => { const n = one(); at += n; return b.subarray(at - n, at) }
      if (kind === 'E') names.events.push(text().toString())
      else if (kind === 'P') {
        const type = b[at++], key = text(), space = String.fromCharCode(key[0])
        const list = space === 'i' ? u32(key, 1) : 0
        names.props.set(prop, { type, space, list, name: key.toString('utf8', space === 'i' ? 5 : 1) })
        names.texts.set(prop++, [''])
      } else if (kind === 'T') names.props.get(one()).type = b[at++]
      else if (kind === 'V') names.texts.get(one()).push(text().toString())
      else if (kind === 'F') names.texts.get(one()).push('')
      else if (kind === 'C') { one(); one() }
      else if (kind === 'A') names.actors.set(actor++, text().toString())
      else if ('LUX'.includes(kind)) { const a = one(); names.persons.change(kind, a, one()) }
      else assert.fail(`an entry ${kind}`)
    }
    assert.equal(at, end)
  }
  return names
}

/** The event of a list that several names share. */
export const REST = 0xffffffff

// ---- parts -----------------------------------------------------------------------------------------------------

function packed(b, at, width, i) {
  const bit = i * width, from = at + (bit >> 3), shift = bit & 7
  let v = 0n
  for (let k = ((shift + width + 7) >> 3) - 1; k >= 0; k--) v = (v << 8n) | BigInt(b[from + k])
  return (v >> BigInt(shift)) & ((1n << BigInt(width)) - 1n)
}

function readPart(b) {
  assert.equal(b.toString('latin1', 0, 8), 'TDEVPRT1')
  assert.equal(u32(b, 8), 2)
  assert.equal(u32(b, 12), crc(b.subarray(16, 256)))
  assert.equal(u64(b, 40), b.length)
  const part = { weekMs: Number(i64(b, 16)), rows: u32(b, 48), sequenceAt: u64(b, 72), width: u32(b, 68), generation: u32(b, 136), bytes: b }
  const [lists, columns, entries, blocks] = [52, 56, 60, 64].map((at) => u32(b, at)), items = u32(b, 140)
  const data = b.subarray(256, u64(b, 88)), pieces = u32(b, 112), sumsAt = u64(b, 104)
  assert.equal(pieces, Math.ceil(data.length / 65536))
  for (let i = 0; i < pieces; i++) assert.equal(u32(b, sumsAt + 4 * i), crc(data.subarray(i * 65536, (i + 1) * 65536)))
  assert.equal(u32(b, 116), crc(b.subarray(u64(b, 88), sumsAt + 4 * pieces)))
  assert.ok(b.subarray(sumsAt + 4 * pieces).every((x) => x === 0))
  let at = u64(b, 88)
  const table = (n, size, entry) => {
    const all = Array.from({ length: n }, (_, i) => entry(at + i * size))
    at = align8(at + n * size)
    return all
  }
  const list = (x) => ({ event: u32(b, x), rows: u32(b, x + 4), dir: u32(b, x + 8), dirs: u32(b, x + 12), column: u32(b, x + 16), columns: u32(b, x + 20), keysAt: u64(b, x + 24) })
  part.lists = table(lists, 40, list)
  part.columns = table(columns, 40, (x) => ({ prop: u32(b, x), kind: b[x + 4], width: b[x + 5], scale: b[x + 6], nullable: b[x + 7], base: i64(b, x + 8), at: u64(b, x + 24) }))
  part.dir = table(entries, 12, (x) => ({ block: u32(b, x), row: u32(b, x + 4), keys: u32(b, x + 8) }))
  part.blocks = table(blocks + 1, 8, (x) => ({ block: u32(b, x), row: u32(b, x + 4) }))
  part.items = table(items, 48, (x) => ({ of: u32(b, x), prop: u32(b, x + 4), ...list(x + 8) }))
  return part
}

/** Of a row of a list, or an item: property -> value; what is none is left out. */
function rowValues(part, list, row) {
  const all = new Map()
  for (const c of part.columns.slice(list.column, list.column + list.columns)) {
    const stored = packed(part.bytes, c.at, c.width, row)
    if (c.kind === 1 ? stored > 0n : !c.nullable || stored > 0n)
      all.set(c.prop, c.kind === 1 ? Number(stored) : { value: c.base + stored - BigInt(c.nullable), scale: c.scale })
  }
  return all
}

function readKeys(b, at, n) {
  const keys = []
  for (let i = 0, from = at + Math.ceil(n / 4), key = 0; i < n; i++) {
    const size = (b[at + (i >> 2)] >> ((i & 3) * 2) & 3) + 1
    key += b.readUIntLE(from, size)
    from += size
    keys.push(key)
  }
  return keys
}

/** Calls `fn` for every row, in the order of the sequence: list, row of it, person, second. */
function eachRow(part, fn) {
  const code = BigInt(part.lists.length - 1).toString(2).length
  assert.equal(part.width, part.lists.length === 1 ? 0 : code)
  for (let i = 0; i + 1 < part.blocks.length; i++) {
    const { block, row: first } = part.blocks[i], end = part.blocks[i + 1].row
    const cursors = part.lists.map((l) => {
      const d = part.dir.slice(l.dir, l.dir + l.dirs).findIndex((x) => x.block === block)
      if (d < 0) return null
      const here = part.dir[l.dir + d], next = part.dir[l.dir + d + 1]
      return { row: here.row, keys: readKeys(part.bytes, l.keysAt + here.keys, next.row - here.row) }
    })
    for (let row = first, last = 0; row < end; row++) {
      const number = Number(packed(part.bytes, part.sequenceAt, part.width, row)), cursor = cursors[number], key = cursor.keys.shift()
      assert.ok(key >= last)
      last = key
      fn(number, cursor.row++, block * 2048 + (key >>> 20), key & 0xfffff)
    }
  }
}

// ---- ids -------------------------------------------------------------------------------------------------------

/** SipHash-1-3 (J.-P. Aumasson, D. J. Bernstein). */
function siphash(key, data) {
  const word = (b, at) => b.readBigUInt64LE(at), cut = (v) => BigInt.asUintN(64, v), rotl = (v, n) => cut(v << n) | (v >> (64n - n))
  let v0 = word(key, 0) ^ 0x736f6d6570736575n, v1 = word(key, 8) ^ 0x646f72616e646f6dn
  let v2 = word(key, 0) ^ 0x6c7967656e657261n, v3 = word(key, 8) ^ 0x7465646279746573n
  const mix = () => {
    v0 = cut(v0 + v1), v1 = rotl(v1, 13n) ^ v0, v0 = rotl(v0, 32n), v2 = cut(v2 + v3), v3 = rotl(v3, 16n) ^ v2
    v0 = cut(v0 + v3), v3 = rotl(v3, 21n) ^ v0, v2 = cut(v2 + v1), v1 = rotl(v1, 17n) ^ v2, v2 = rotl(v2, 32n)
  }
  const padded = Buffer.alloc(align8(data.length + 1))
  data.copy(padded)
  padded[padded.length - 1] = data.length & 255
  for (let at = 0; at < padded.length; at += 8) {
    v3 ^= word(padded, at)
    mix()
    v0 ^= word(padded, at)
  }
  v2 ^= 0xffn
  for (let i = 0; i < 3; i++) mix()
  return v0 ^ v1 ^ v2 ^ v3
}

function textBytes(text) {
  const b = Buffer.from(text)
  return Buffer.concat([Buffer.from(b.length < 128 ? [b.length] : [(b.length & 127) | 128, b.length >> 7]), b])
}

function readIds(b) {
  assert.equal(b.toString('latin1', 0, 8), 'TDEVIDS1')
  assert.equal(u32(b, 12), crc(b.subarray(16, 64)))
  assert.equal(u32(b, 16), crc(b.subarray(64)))
  const count = u32(b, 20), bits = u32(b, 24), hashes = []
  for (let bucket = 0; bucket < 1 << bits; bucket++)
    for (const end = u32(b, 64 + 4 * bucket); hashes.length < end;)
      hashes.push((BigInt(bucket) << BigInt(64 - bits)) | packed(b, 64 + (4 << bits), 64 - bits, hashes.length))
  assert.equal(hashes.length, count)
  return hashes
}

/** Every row that is alive, as the log's records have it, with the actors that are one person with its own. */
export function readColumns(folder) {
  const m = readFileSync(join(folder, 'manifest'))
  assert.equal(m.toString('latin1', 0, 8), 'TDEVENG1')
  assert.equal(u32(m, 8), 8)
  assert.equal(u32(m, 12), crc(m.subarray(16)))
  const file = (n, suffix) => readFileSync(join(folder, `${String(n).padStart(20, '0')}${suffix}`))
  const names = readNames(file(u64(m, 56), '.names').subarray(0, u64(m, 64)))
  const rows = [], parts = [], ids = new Set(), origin = Number(i64(m, 32)), week = 604_800_000
  for (let i = 0; i < u64(m, 176); i++) {
    const part = readPart(file(u64(m, 184 + 8 * i), '.part'))
    for (const hash of readIds(file(u64(m, 184 + 8 * i), '.ids'))) ids.add(`${part.weekMs} ${hash}`)
    readRows(part, names, rows)
    parts.push(part)
  }
  /** Whether an event of this source and id would be known if it came again. */
  const knows = (e) => ids.has(`${e.time - ((((e.time - origin) % week) + week) % week)} ${siphash(m.subarray(16, 32), Buffer.concat([textBytes(e.source), textBytes(e.id)]))}`)
  return { rows, parts, knows, until: u64(m, 40), persons: names.persons }
}

function readRows(part, names, rows) {
  const text = (prop, code) => names.texts.get(prop)[code]
  const plain = (prop, v) => names.props.get(prop)?.type === 1 ? text(prop, v) : number(v.value, v.scale)
  const starts = new Map()
  for (const items of part.items) { // they stand in the order of their events
    const list = part.lists[items.of], of = []
    let next = 0
    for (let row = 0; row < list.rows; row++) {
      if (row % 256 === 0) assert.equal(u32(part.bytes, items.keysAt + row / 64), next)
      of.push(next)
      next += Number(rowValues(part, list, row).get(items.prop)?.value ?? 0n)
    }
    assert.equal(next, items.rows)
    starts.set(`${items.of} ${items.prop}`, { items, of })
  }
  eachRow(part, (inList, row, person, second) => {
    const list = part.lists[inList], values = rowValues(part, list, row)
    const ordinal = values.get(6) ?? 0
    const actor = ordinal === 0 ? person : names.persons.joined.get(person)[ordinal - 1]
    if ((names.persons.moved.get(person) ?? 0) > part.generation) return
    const time = part.weekMs + second * 1000 + Number(values.get(1)?.value ?? 0n)
    const event = list.event === REST ? values.get(2) : list.event
    const e = { kind: event === 0 ? 2 : 1, time, received: time + Number(values.get(5).value), name: names.events[event],
      source: text(3, values.get(3)), store: text(4, values.get(4) ?? 0), actor: person === 0 ? '\0' : names.actors.get(actor),
      person, properties: {}, context: {} }
    for (const [prop, v] of values) {
      const p = names.props.get(prop)
      if (p === undefined) continue
      const to = p.space === 'c' ? e.context : e.properties
      const at = starts.get(`${inList} ${prop}`)
      if (p.space === 'g') to[p.name] = null
      else if (p.type !== 6 && p.type !== 7) to[p.name] = plain(prop, v)
      else to[p.name] = Array.from({ length: Number(v.value) }, (_, i) => {
        const item = rowValues(part, at.items, at.of[row] + i)
        if (p.type === 6) return text(prop, item.get(prop) ?? 0)
        return Object.fromEntries([...item].map(([field, value]) => [names.props.get(field).name, plain(field, value)]))
      })
    }
    rows.push(e)
  })
}
