// bench/report.mjs -- where the figures of a run go: build/bench.json, [{bench, name, value, unit, peer, peer_value, ratio, ...}].
import { existsSync, readFileSync, writeFileSync } from 'node:fs'

const FILE = 'build/bench.json'

/** {is, bound, met} of a figure of which something is asked: `least`, `most`, or how many `times` it DuckDB takes. */
export function verdict(bound, value, peer, peerValue) {
  if (bound === undefined || peer.startsWith('ClickHouse')) return {}
  const { times, least, most } = bound
  if (times !== undefined && peerValue !== null) return { is: peerValue / value, bound: `${times} times`, met: peerValue / value >= times }
  if (least !== undefined) return { is: value, bound: `>= ${least}`, met: value >= least }
  if (most !== undefined) return { is: value, bound: `<= ${most}`, met: value <= most }
  return {}
}

/** The figures of this bench in place of its older ones; those of others stay. */
export function report(bench, rows) {
  const others = existsSync(FILE) ? JSON.parse(readFileSync(FILE, 'utf8')).filter((row) => row.bench !== bench && row.bench !== undefined) : []
  writeFileSync(FILE, JSON.stringify([...others, ...rows.map((row) => ({ bench, ...row }))], null, 1) + '\n')
}
