// A backend of the hub default on the published express SDK: node backend.js
// Serves events at /events of a free port. Tells of each as a line of JSON.
// With ENDPOINTS (by commas), it wants events from those gateways only.
'use strict';
const express = require('express');
const { WebPubSubEventHandler } = require('@azure/web-pubsub-express');

const tell = (msg, fields) => console.log(JSON.stringify({ msg, ...fields }));

// answers to text messages; what is not here is sent back.
const answers = {
  json: (response) => response.success(JSON.stringify({ hello: 'wörld', list: [1, null] }), 'json'),
  bytes: (response) => response.success(Buffer.from([0, 127, 128, 255]), 'binary'),
  nothing: (response) => response.success(),
  'empty text': (response) => response.success('', 'text'),
  refuse: (response) => response.fail(500, 'no'),
  count(response, { states }) {
    const count = (states.count ?? 0) + 1;
    response.setState('count', count);
    response.success(`${count}`, 'text');
  },
};

const events = new WebPubSubEventHandler('default', {
  path: '/events',
  allowedEndpoints: process.env.ENDPOINTS?.split(','),

  handleConnect(request, response) {
    const { context, claims, query, headers, subprotocols, clientCertificates } = request;
    tell('connect', { context, claims, query, headers, subprotocols, clientCertificates });
    if (query.status) return response.fail(Number(query.status[0]), `refused with ${query.status[0]}`);
    if (query.silent) return response.success();
    if (query.id) response.setState('from', 'Zürich');
    response.success({
      userId: query.id?.[0],
      groups: query.group,
      roles: query.role,
      subprotocol: subprotocols?.includes('chat.v2') ? 'chat.v2' : undefined,
    });
  },

  onConnected({ context }) {
    tell('connected', { context });
  },

  handleUserEvent({ context, data, dataType }, response) {
    tell('message', { context, dataType, data: dataType === 'binary' ? data.toString('hex') : data });
    const answer = dataType === 'text' && answers[data];
    if (answer) return answer(response, context);
    response.success(data, dataType);
  },

  onDisconnected({ context, reason }) {
    tell('disconnected', { context, reason });
  },
});

const server = express()
  .use(events.getMiddleware())
  .use((request, response) => { // not an event to the SDK
    tell('stray', { method: request.method, url: request.url, headers: request.headers });
    response.status(404).end();
  })
  .listen(0, '127.0.0.1', () => tell('listening', { addr: `127.0.0.1:${server.address().port}` }));
