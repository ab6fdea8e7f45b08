// bench/events/duckdb.mjs -- DuckDB in a process of its own, so that its memory and its time are its own.
//
// Started by sides.mjs.  Each message is {id, sql}; the answer {id, ms, cpu_ms, rows} or {id, error}: rows are
// arrays of texts, numbers and nulls, and the clock stands once all of them are in memory.
const api = await import('@duckdb/node-api').catch(() => null)
if (api === null) {
  process.send({ missing: true })
  process.disconnect()
} else {
  const instance = await api.DuckDBInstance.create(':memory:', JSON.parse(process.argv[2]))
  const connection = await instance.connect()
  const plain = (value) => (typeof value === 'bigint' ? String(value) : value)
  process.on('message', async ({ id, sql }) => {
    try {
      const before = process.cpuUsage()
      const from = performance.now()
      const reader = await connection.runAndReadAll(sql)
      const ms = performance.now() - from
      const cpu = process.cpuUsage(before)
      const rows = reader.getRows().map((row) => row.map(plain))
      process.send({ id, ms, cpu_ms: (cpu.user + cpu.system) / 1000, rows })
    } catch (error) {
      process.send({ id, error: `${error.message}\n${sql}` })
    }
  })
  process.send({ ready: true })
}
