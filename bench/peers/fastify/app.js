// Fastify, ajv, ioredis and amqplib: verify, validate, claim, publish with a confirm, commit, answer.
//
// Written as a competent team would: a raw body, a compiled schema, pipelined commands, a confirming channel, mandatory
// and persistent messages, a claim in two phases that is released when the publish fails. It has no spool, no deadlines,
// no log line, no metrics, no summary and no protection of one attempt's claim against another's release.
'use strict';

const crypto = require('node:crypto');
const Ajv = require('ajv/dist/2020');
const amqp = require('amqplib');
const fastify = require('fastify');
const Redis = require('ioredis');

const EXCHANGE = 'fastify';
const TOLERANCE = 300;
const LEASE_MS = 30_000;
const RETENTION = 4 * 24 * 3600;
const secret = process.env.STRIPE_WEBHOOK_SECRET;
const validate = new Ajv({ strict: false }).compile(JSON.parse(process.env.BENCH_SCHEMA));
const self = crypto.randomBytes(8).toString('hex');
let attempts = 0;

function isGenuine(body, header) {
  const fields = Object.fromEntries((header || '').split(',').map((part) => part.split('=', 2)));
  if (!(Math.abs(Date.now() / 1000 - Number(fields.t)) <= TOLERANCE)) return false;
  const expected = crypto.createHmac('sha256', secret).update(`${fields.t}.`).update(body).digest();
  const given = Buffer.from(fields.v1 || '', 'hex');
  return given.length === expected.length && crypto.timingSafeEqual(given, expected);
}

async function main() {
  const redis = new Redis(process.env.REDIS_URL, { enableAutoPipelining: true });
  const connection = await amqp.connect(process.env.RABBITMQ_URL, { noDelay: true });
  const channel = await connection.createConfirmChannel();
  await channel.assertExchange(EXCHANGE, 'topic', { durable: true });
  const returned = new Set();
  channel.on('return', (message) => returned.add(message.properties.messageId));

  function publish(key, body, properties) {
    return new Promise((resolve, reject) => {
      channel.publish(EXCHANGE, key, body, properties, (error) => {
        if (error || returned.delete(properties.messageId)) reject(error || new Error('returned'));
        else resolve();
      });
    });
  }

  const app = fastify({ bodyLimit: 2 * 1024 * 1024 });
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  app.get('/readyz', async () => ({ status: 'ready' }));
  app.post('/webhooks/stripe', async (request, reply) => {
    const body = request.body;
    if (!isGenuine(body, request.headers['stripe-signature'])) {
      return reply.code(401).send({ status: 'rejected', reason: 'invalid_signature' });
    }
    const event = JSON.parse(body);
    if (!validate(event)) return reply.code(422).send({ status: 'rejected', reason: 'invalid_payload' });
    const key = `fastify:${event.id}`;
    const found = await redis.set(key, `pending:${self}${attempts++}`, 'PX', LEASE_MS, 'NX', 'GET');
    if (found !== null) {
      return reply.code(found === 'done' ? 200 : 503).send({ status: 'duplicate', id: event.id });
    }
    const head = JSON.stringify({
      specversion: '1.0',
      id: event.id,
      source: '/stripe',
      type: `com.stripe.${event.type}`,
      time: new Date(event.created * 1000).toISOString(),
      datacontenttype: 'application/json',
    });
    const message = Buffer.concat([Buffer.from(`${head.slice(0, -1)},"data":`), body, Buffer.from('}')]);
    try {
      await publish(`stripe.${event.type}`, message, {
        persistent: true,
        mandatory: true,
        messageId: event.id,
        type: `com.stripe.${event.type}`,
        contentType: 'application/cloudevents+json',
      });
    } catch {
      redis.del(key);
      return reply.code(503).send({ status: 'unavailable', id: event.id });
    }
    redis.set(key, 'done', 'EX', RETENTION);
    return reply.code(202).send({ status: 'accepted', id: event.id });
  });
  await app.listen({ port: Number(process.env.PORT), host: '127.0.0.1' });
}

main();
