// The browsable API: openapi.json as a list of operations that open.  No library, no other host.

const place = document.getElementById('operations')
const filter = document.getElementById('filter')

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties)
  made.append(...children)
  return made
}

function resolve(api, schema) {
  if (!schema?.$ref) return schema ?? {}
  return schema.$ref
    .slice(2)
    .split('/')
    .reduce((node, key) => node[key], api)
}

// An example value of a schema, so that a reader sees the shape at once.
function example(api, schema, depth = 0) {
  const s = resolve(api, schema)
  if (depth > 4) return '…'
  if (s.enum) return s.enum[0]
  const type = Array.isArray(s.type) ? s.type[0] : s.type
  if (type === 'object') {
    const pairs = Object.entries(s.properties ?? {})
    return Object.fromEntries(pairs.map(([key, value]) => [key, example(api, value, depth + 1)]))
  }
  if (type === 'array') return [example(api, s.items, depth + 1)]
  if (type === 'integer') return s.default ?? s.minimum ?? 0
  if (type === 'boolean') return s.default ?? true
  const formats = {
    date: '2026-11-21',
    'date-time': '2026-11-21T08:00:00Z',
    id: '382662900445085696',
  }
  return s.default ?? formats[s.format] ?? s.format ?? 'text'
}

function json(value) {
  return element('pre', { textContent: JSON.stringify(value, null, 2) })
}

function content(api, holder) {
  const media = holder?.content?.['application/json']
  return media ? json(example(api, media.schema)) : element('p', { textContent: 'No body.' })
}

function parameters(list) {
  const rows = list.map((p) =>
    element(
      'tr',
      {},
      element('td', {}, element('code', { textContent: p.name })),
      element('td', { textContent: p.in + (p.required ? ', required' : '') }),
      element('td', { textContent: p.description ?? p.schema?.format ?? p.schema?.type ?? '' }),
    ),
  )
  return element('table', {}, ...rows)
}

function refusals(responses) {
  const rows = Object.entries(responses)
    .filter(([status]) => !status.startsWith('2'))
    .map(([status, response]) =>
      element(
        'tr',
        {},
        element('td', { textContent: status }),
        element('td', { textContent: response.description ?? '' }),
      ),
    )
  return element('table', {}, ...rows)
}

function operation(api, method, path, op) {
  const success = Object.entries(op.responses).find(([status]) => status.startsWith('2'))
  const inside = element('div', { className: 'inside' })
  if (op['x-permission']) {
    inside.append(element('p', { textContent: `Permission: ${op['x-permission']}` }))
  }
  if (op.parameters?.length) {
    inside.append(element('h3', { textContent: 'Parameters' }), parameters(op.parameters))
  }
  if (op.requestBody) {
    inside.append(element('h3', { textContent: 'Body' }), content(api, op.requestBody))
  }
  if (success) {
    inside.append(element('h3', { textContent: `Reply ${success[0]}` }), content(api, success[1]))
  }
  inside.append(element('h3', { textContent: 'Refusals' }), refusals(op.responses))
  const head = element(
    'summary',
    {},
    element('span', { className: `method ${method}`, textContent: method.toUpperCase() }),
    element('code', { textContent: path }),
    element('span', { className: 'what', textContent: op.summary ?? '' }),
  )
  const box = element('details', { id: op.operationId }, head, inside)
  box.dataset.text = `${method} ${path} ${op.operationId} ${inside.textContent}`.toLowerCase()
  return box
}

function show(api) {
  const groups = new Map()
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, op] of Object.entries(methods)) {
      const room = op.operationId.split('_')[0]
      if (!groups.has(room)) groups.set(room, [])
      groups.get(room).push(operation(api, method, path, op))
    }
  }
  place.replaceChildren()
  for (const [room, boxes] of groups) {
    place.append(element('section', {}, element('h2', { textContent: room }), ...boxes))
  }
}

filter.addEventListener('input', () => {
  const wanted = filter.value.trim().toLowerCase()
  for (const box of place.querySelectorAll('details')) {
    box.hidden = wanted !== '' && !box.dataset.text.includes(wanted)
  }
  for (const section of place.querySelectorAll('section')) {
    section.hidden = !section.querySelector('details:not([hidden])')
  }
})

try {
  show(await (await fetch('/openapi.json')).json())
  document.getElementById(location.hash.slice(1))?.setAttribute('open', '')
} catch {
  place.replaceChildren(
    element('p', { textContent: 'The contract could not be loaded: reload the page.' }),
  )
}
