'use strict'
// The three paths on Fastify and node-postgres: a process for each CPU, a pool of connections in each.
const cluster = require('node:cluster')
const fs = require('node:fs')
const env = process.env

const text = { type: 'string' }
const maybeText = { type: ['string', 'null'] }
const number = { type: 'integer' }
const schemas = {
  agents: {
    number: text, extension: maybeText, context: maybeText, state_interface: maybeText, status: text, extension_status: text, paused: text
  },
  agents_with_orm: {
    id: number, numgroup: number, firstname: text, lastname: text, number: text, passwd: text, context: text, language: text,
    autologoff: { type: ['integer', 'null'] }, group: maybeText, description: text, preprocess_subroutine: maybeText
  }
}

function lead () {
  let ending = false
  for (let i = 0; i < Number(env.WORKERS); i++) cluster.fork()
  cluster.on('exit', () => {
    if (ending) return
    console.error('a worker has ended')
    process.exit(1)
  })
  process.on('SIGTERM', () => {
    ending = true
    for (const worker of Object.values(cluster.workers)) worker.process.kill('SIGTERM')
    process.exit(0)
  })
}

function work () {
  const { Pool } = require('pg')
  const fastify = require('fastify')({ logger: false, keepAliveTimeout: 65000 })
  const pool = new Pool({ max: Number(env.DB_POOL), idleTimeoutMillis: 0 })
  pool.on('error', (error) => console.error(error.message))

  fastify.get('/index', { schema: { response: { 200: { type: 'object', properties: { hello: text } } } } },
    async () => ({ hello: 'world' }))
  for (const [name, properties] of Object.entries(schemas)) {
    // A name makes it a prepared statement, once for a connection.
    const query = { name, text: fs.readFileSync(`${env.SQL_DIR}/${name}.sql`, 'utf8') }
    const schema = { response: { 200: { type: 'array', items: { type: 'object', properties } } } }
    fastify.get(`/${name}`, { schema }, async () => (await pool.query(query)).rows)
  }
  fastify.listen({ host: env.LISTEN, port: Number(env.PORT), backlog: 4096 }).catch((error) => {
    console.error(error.message)
    process.exit(1)
  })
}

if (cluster.isPrimary) lead()
else work()
