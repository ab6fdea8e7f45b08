// tests/ops/parts.mjs -- a reader of the columns' files, written from docs/formats/event-parts.md alone: whatever it
// needs to know and the page does not say is missing there.  It is slow, believes nothing that has no right checksum,
// and shares no code with the program.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const NOBODY = 0, FIRST_ACTOR = 2048, FIRST_PROPERTY = 16, BLOCK_BITS = 11, SECOND_BITS = 20
const MS = 1, NAME = 2, SOURCE = 3, STORE = 4, RECEIVED = 5, RECORDED = 6
const ALL_ONES = 0xffffffff
export const WEEK_MS = 604800000

// ---- bytes -----------------------------------------------------------------------------------------

const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? (byte >>> 1) ^ 0x82f63b78 : byte >>> 1
  return byte >>> 0
})
function crc32c(bytes) {
  let crc = ALL_ONES
  for (const byte of bytes) crc = CRC[(crc ^ byte) & 255] ^ (crc >>> 8)
  return (crc ^ ALL_ONES) >>> 0
}

/** Numbers and texts one behind the other. */
class Bytes {
  constructor(bytes, at = 0) {
    Object.assign(this, { bytes, at })
  }
  get left() {
    return this.bytes.length - this.at
  }
  take(n) {
    assert.ok(n <= this.left, 'the bytes end before')
    this.at += n
    return this.bytes.subarray(this.at - n, this.at)
  }
  u8 = () => this.take(1)[0]
  u32 = () => this.take(4).readUInt32LE()
  u64 = () => Number(this.take(8).readBigUInt64LE())
  i64 = () => this.take(8).readBigInt64LE()
  text = () => this.take(this.u32()).toString()
  many = (n, one) => Array.from({ length: n }, one)
}

/** Value i of integers of `width` bits. */
function packed(bytes, i, width) {
  let value = 0n
  for (let bit = 0; bit < width; bit++) {
    const at = i * width + bit
    value |= BigInt((bytes[at >> 3] >> (at & 7)) & 1) << BigInt(bit)
  }
  return value
}

// ---- names -----------------------------------------------------------------------------------------

/** Who is whom: `L`, `U` and `X` in their order. */
class Persons {
  person = new Map() // actor -> person, of those that were ever linked or erased
  links = []
  joined = new Map() // person -> actors, in the order in which they ever came to it
  moves = new Map() // person -> the last generation in which it was moved
  generation = 0

  personOf(actor) {
    return this.person.get(actor) ?? actor
  }
  /** Who hangs together with this actor. */
  group(actor) {
    const out = new Set([actor])
    for (let size = 0; size < out.size; ) {
      size = out.size
      for (const link of this.links) if (link.some((a) => out.has(a))) link.forEach((a) => out.add(a))
    }
    return [...out].sort((a, b) => a - b)
  }
  move(person) {
    this.moves.set(person, ++this.generation)
  }
  /** These may belong to another person now. */
  regroup(actors) {
    for (const actor of actors.sort((a, b) => a - b)) {
      const [person] = this.group(actor)
      if (person === this.personOf(actor)) continue
      this.person.set(actor, person)
      const joined = this.joined.get(person) ?? []
      if (actor !== person && !joined.includes(actor)) this.joined.set(person, [...joined, actor])
    }
  }
  link(a, b) {
    const [x, y] = [this.personOf(a), this.personOf(b)]
    if (x !== y) this.move(Math.max(x, y))
    this.links.push([a, b])
    this.regroup(this.group(a))
  }
  unlink(a, b) {
    const before = this.group(a), person = this.personOf(a)
    this.links = this.links.filter((link) => !(link.includes(a) && link.includes(b)))
    this.regroup(before)
    if (this.personOf(a) !== this.personOf(b)) this.move(person)
  }
  erase(a) {
    const others = this.group(a).filter((actor) => actor !== a)
    this.move(this.personOf(a))
    this.links = this.links.filter((link) => !link.includes(a))
    this.person.set(a, NOBODY)
    this.regroup(others)
  }
}

function readNames(bytes) {
  const names = { events: [''], properties: new Map(), actors: [], persons: new Persons() }
  const texts = (property) => {
    if (!names.properties.has(property)) names.properties.set(property, {})
    return (names.properties.get(property).texts ??= [null])
  }
  const entries = {
    E: (r) => names.events.push(r.text()),
    P: (r) => {
      const type = r.u8(), key = new Bytes(r.take(r.u32())), space = String.fromCharCode(key.u8())
      const list = space === 'i' ? key.u32() : undefined
      names.properties.set(FIRST_PROPERTY + names.known++, { type, space, list, name: key.take(key.left).toString() })
    },
    T: (r) => Object.assign(names.properties.get(r.u32()), { type: r.u8() }),
    V: (r) => texts(r.u32()).push(r.text()),
    F: (r) => texts(r.u32()).push(undefined),
    C: (r) => [r.u32(), r.u32()],
    A: (r) => names.actors.push(r.text()),
    L: (r) => names.persons.link(r.u32(), r.u32()),
    U: (r) => names.persons.unlink(r.u32(), r.u32()),
    X: (r) => names.persons.erase(r.u32(), r.u32()),
  }
  names.known = 0
  for (const all = new Bytes(bytes); all.left > 0; ) {
    const length = all.u32(), sum = all.u32(), record = new Bytes(all.take(length))
    assert.equal(crc32c(record.bytes), sum, 'names')
    while (record.left > 0) entries[String.fromCharCode(record.u8())](record)
  }
  return names
}

// ---- parts -----------------------------------------------------------------------------------------

function readTables(r, head) {
  const table = (n, one) => {
    const out = r.many(n, one)
    r.take((8 - (r.at % 8)) % 8)
    return out
  }
  const list = () => ({ event: r.u32(), rows: r.u32(), firstEntry: r.u32(), entries: r.u32(), firstColumn: r.u32(), columns: r.u32(), keysAt: r.u64(), keysBytes: r.u64() })
  const lists = table(head.lists, list)
  const columns = table(head.columns, () => ({ property: r.u32(), kind: r.u8(), width: r.u8(), scale: r.u8(), nullable: r.u8(), base: r.i64(), largest: r.i64(), at: r.u64(), bytes: r.u64() }))
  const directory = table(head.entries, () => ({ block: r.u32(), row: r.u32(), keysAt: r.u32() }))
  const blocks = table(head.blocks + 1, () => ({ block: r.u32(), event: r.u32() }))
  const items = table(head.items, () => ({ list: r.u32(), property: r.u32(), of: list() }))
  return { lists, columns, directory, blocks, items }
}

function readHead(bytes) {
  const r = new Bytes(bytes)
  assert.equal(r.take(8).toString(), 'TDEVPRT1')
  assert.equal(r.u32(), 2)
  assert.equal(r.u32(), crc32c(bytes.subarray(16, 256)), 'head')
  return {
    weekMs: Number(r.i64()), from: r.u64(), to: r.u64(), bytes: r.u64(),
    events: r.u32(), lists: r.u32(), columns: r.u32(), entries: r.u32(), blocks: r.u32(), width: r.u32(),
    sequenceAt: r.u64(), sequenceBytes: r.u64(), tablesAt: r.u64(), tablesBytes: r.u64(),
    piecesAt: r.u64(), pieces: r.u32(), tablesSum: r.u32(), leastMs: Number(r.i64()), mostMs: Number(r.i64()),
    generation: r.u32(), items: r.u32(),
  }
}

function openPart(bytes) {
  const head = readHead(bytes)
  assert.equal(head.bytes, bytes.length)
  assert.equal(crc32c(bytes.subarray(head.tablesAt, head.piecesAt + 4 * head.pieces)), head.tablesSum, 'tables')
  const sums = new Bytes(bytes, head.piecesAt)
  for (let at = 256; at < head.tablesAt; at += 65536)
    assert.equal(crc32c(bytes.subarray(at, Math.min(at + 65536, head.tablesAt))), sums.u32(), 'a piece')
  assert.ok(bytes.subarray(-128).every((byte) => byte === 0))
  const tables = readTables(new Bytes(bytes, head.tablesAt), head)
  assert.ok(tables.blocks.at(-1).block === ALL_ONES && tables.blocks.at(-1).event === head.events)
  return { bytes, head, ...tables, dead: 0 }
}

/** The keys of one block in one list. */
function readKeys(part, list, entry, next) {
  const n = next.row - entry.row, control = list.keysAt + entry.keysAt
  const r = new Bytes(part.bytes, control + Math.ceil(n / 4))
  const keys = []
  for (let i = 0, key = 0; i < n; i++) {
    const bytes = ((part.bytes[control + (i >> 2)] >> (2 * (i & 3))) & 3) + 1
    keys.push((key += r.take(bytes).readUIntLE(0, bytes)))
  }
  assert.equal(r.at, list.keysAt + next.keysAt)
  return keys
}

/** What a row of a list, or an item, has in its columns: property -> code, or [number, decimal places]. */
function readRow(part, list, row) {
  const out = new Map()
  for (const c of part.columns.slice(list.firstColumn, list.firstColumn + list.columns)) {
    const stored = packed(part.bytes.subarray(c.at, c.at + c.bytes), row, c.width)
    if (c.kind === 1 && stored > 0n) out.set(c.property, Number(stored))
    if (c.kind === 2 && !(c.nullable && stored === 0n))
      out.set(c.property, [c.base + stored - BigInt(c.nullable), c.scale])
  }
  return out
}

/** How many items stand before a row of a list. */
function itemsBefore(part, list, items, row) {
  let before = part.bytes.readUInt32LE(items.of.keysAt + 4 * Math.floor(row / 256))
  for (let at = row - (row % 256); at < row; at++) before += Number(readRow(part, list, at).get(items.property)?.[0] ?? 0n)
  return before
}

function readItems(part, number, row, values, isList) {
  const out = new Map()
  for (const property of [...values.keys()].filter(isList)) {
    const items = part.items.find((i) => i.list === number && i.property === property), count = Number(values.get(property)[0])
    const from = count === 0 ? 0 : itemsBefore(part, part.lists[number], items, row)
    out.set(property, Array.from({ length: count }, (_, i) => readRow(part, items.of, from + i)))
  }
  return out
}

/** Every row of a part that is alive, block by block in the order of (person, time, arrival). */
function* readPart(part, moves, isList) {
  const { head } = part
  for (const [b, { block, event: first }] of part.blocks.slice(0, -1).entries()) {
    const cursors = part.lists.map((list) => {
      const entries = part.directory.slice(list.firstEntry, list.firstEntry + list.entries + 1)
      assert.equal(entries.at(-1).block, ALL_ONES)
      const at = entries.findIndex((entry) => entry.block === block)
      return { row: entries[at]?.row, keys: at < 0 ? [] : readKeys(part, list, entries[at], entries[at + 1]), taken: 0 }
    })
    for (let i = first; i < part.blocks[b + 1].event; i++) {
      const number = Number(packed(part.bytes.subarray(head.sequenceAt), i, head.width))
      const list = part.lists[number], cursor = cursors[number]
      const key = cursor.keys[cursor.taken], row = cursor.row + cursor.taken++
      const person = block * (1 << BLOCK_BITS) + (key >>> SECOND_BITS)
      if ((moves.get(person) ?? 0) > head.generation) {
        part.dead++
        continue
      }
      const values = readRow(part, list, row)
      const second = key & ((1 << SECOND_BITS) - 1), ms = values.get(MS)?.[0] ?? 0n
      const event = list.event === ALL_ONES ? values.get(NAME) : list.event
      yield { person, event, timeMs: head.weekMs + second * 1000 + Number(ms), values, items: readItems(part, number, row, values, isList) }
    }
    for (const cursor of cursors) assert.equal(cursor.taken, cursor.keys.length)
  }
}

// ---- ids -------------------------------------------------------------------------------------------

function readIds(bytes) {
  const r = new Bytes(bytes)
  assert.equal(r.take(8).toString(), 'TDEVIDS1')
  assert.equal(r.u32(), 1)
  assert.equal(r.u32(), crc32c(bytes.subarray(16, 64)), 'head of ids')
  assert.equal(r.u32(), crc32c(bytes.subarray(64)), 'ids')
  const count = r.u32(), bits = r.u32(), hashes = new Set()
  const ends = Array.from({ length: 1 << bits }, (_, bucket) => bytes.readUInt32LE(64 + 4 * bucket))
  const rest = bytes.subarray(64 + (4 << bits))
  for (let i = 0, bucket = 0; i < count; i++) {
    while (i >= ends[bucket]) bucket++
    hashes.add((BigInt(bucket) << BigInt(64 - bits)) | packed(rest, i, 64 - bits))
  }
  return hashes
}

const U64 = (n) => BigInt.asUintN(64, n)
const turned = (n, by) => U64(n << BigInt(by)) | (n >> BigInt(64 - by))

/** SipHash-1-3 (J.-P. Aumasson, D. J. Bernstein): a round for each word, three at the end. */
function sipHash(key, bytes) {
  const [k0, k1] = [key.readBigUInt64LE(0), key.readBigUInt64LE(8)]
  let [a, b, c, d] = [k0 ^ 0x736f6d6570736575n, k1 ^ 0x646f72616e646f6dn, k0 ^ 0x6c7967656e657261n, k1 ^ 0x7465646279746573n]
  const round = () => {
    a = U64(a + b), b = turned(b, 13) ^ a, a = turned(a, 32)
    c = U64(c + d), d = turned(d, 16) ^ c
    a = U64(a + d), d = turned(d, 21) ^ a
    c = U64(c + b), b = turned(b, 17) ^ c, c = turned(c, 32)
  }
  const padded = Buffer.alloc((bytes.length >> 3) * 8 + 8)
  bytes.copy(padded)
  padded[padded.length - 1] = bytes.length
  for (let at = 0; at < padded.length; at += 8) {
    const word = padded.readBigUInt64LE(at)
    d ^= word
    round()
    a ^= word
  }
  c ^= 0xffn
  round(), round(), round()
  return a ^ b ^ c ^ d
}

// ---- the folder ------------------------------------------------------------------------------------

function readManifest(bytes) {
  const r = new Bytes(bytes)
  assert.equal(r.take(8).toString(), 'TDEVENG1')
  assert.equal(r.u32(), 8)
  assert.equal(r.u32(), crc32c(bytes.subarray(16)), 'manifest')
  const head = { key: r.take(16), originMs: Number(r.i64()), seq: r.u64(), nextFile: r.u64(), names: r.u64(), namesBytes: r.u64() }
  const more = { forgotten: r.u32(), mark: r.u32(), erasedSinceMs: Number(r.i64()), aside: r.many(11, r.u64) }
  return { ...head, ...more, files: r.many(r.u64(), r.u64) }
}

/**
 * Of every file the rows that are alive, {person, actor, event, timeMs, values, items} in words as far as they are names,
 * how many are dead, whether names share a list, and the hashes of its ids.
 */
export function readFolder(folder) {
  const read = (name) => readFileSync(join(folder, name))
  const file = (number, suffix) => read(`${String(number).padStart(20, '0')}.${suffix}`)
  const manifest = readManifest(read('manifest'))
  const names = readNames(file(manifest.names, 'names').subarray(0, manifest.namesBytes))
  const { persons } = names
  const keyOf = (actor) => (actor === NOBODY ? '' : names.actors[actor - FIRST_ACTOR])
  const actorOf = (person, k) => (k === undefined ? person : persons.joined.get(person)[k - 1])
  const wordOf = (property, value) => {
    if (Array.isArray(value)) return `${value[0]}e-${value[1]}`
    return names.properties.get(property).texts[value]
  }
  const isList = (property) => property >= FIRST_PROPERTY && names.properties.get(property).type >= 6
  const inWords = (values) => Object.fromEntries([...values].flatMap(([property, value]) => {
    const { space, name } = names.properties.get(property) ?? {}
    return property < FIRST_PROPERTY || isList(property) ? [] : [[space + name, wordOf(property, value)]]
  }))
  const itemsInWords = (items) => Object.fromEntries([...items].map(([property, rows]) => {
    const { space, name } = names.properties.get(property)
    return [space + name, rows.map((row) => (row.has(property) ? wordOf(property, row.get(property)) : inWords(row)))]
  }))
  const files = []
  for (const number of manifest.files) {
    const part = openPart(file(number, 'part'))
    assert.equal((part.head.weekMs - manifest.originMs) % WEEK_MS, 0)
    const rows = [...readPart(part, persons.moves, isList)].map(({ person, event, timeMs, values, items }) => ({
      person, timeMs, event: names.events[event], actor: keyOf(actorOf(person, values.get(RECORDED))),
      source: wordOf(SOURCE, values.get(SOURCE)), store: values.has(STORE) ? wordOf(STORE, values.get(STORE)) : '',
      receivedMs: timeMs + Number(values.get(RECEIVED)[0]), values: inWords(values), items: itemsInWords(items),
    }))
    const rest = part.lists.some(({ event }) => event === ALL_ONES)
    files.push({ weekMs: part.head.weekMs, ids: readIds(file(number, 'ids')), rows, dead: part.dead, rest })
  }
  const strays = readdirSync(folder).filter((name) => name !== 'manifest' && !manifest.files.includes(parseInt(name)) && parseInt(name) !== manifest.names)
  const text = (words) => Buffer.concat([Buffer.from([Buffer.byteLength(words)]), Buffer.from(words)]) // shorter than 128 bytes
  const hashOf = (source, id) => sipHash(manifest.key, Buffer.concat([text(source), text(id)]))
  return { manifest, files, rows: files.flatMap(({ rows }) => rows), strays, hashOf }
}
