// One scenario of the ws package's client: node client.js SCENARIO URL
'use strict';
const assert = require('node:assert/strict');
const { once } = require('node:events');
const WebSocket = require('ws');

const [scenario, url] = process.argv.slice(2);

// Whatever hangs is a failure.
setTimeout(() => { throw new Error(`${scenario}: nothing for 20 s`); }, 20_000).unref();

async function connect(options = {}, protocols = []) {
  const socket = new WebSocket(url, protocols, { perMessageDeflate: false, ...options });
  await once(socket, 'open');
  return socket;
}

// expectEcho sends with the function send and compares what comes back.
async function expectEcho(socket, data, send = () => socket.send(data)) {
  const answer = once(socket, 'message');
  send();
  const [got, isBinary] = await answer;
  assert.equal(isBinary, typeof data !== 'string');
  assert.ok(got.equals(Buffer.from(data)), `echo of ${data.length} differs: ${got.length}`);
}

async function close(socket, code, reason) {
  const closed = once(socket, 'close');
  socket.close(code, reason);
  const [gotCode] = await closed;
  assert.equal(gotCode, code ?? 1005);
}

// noise is incompressible and the same in every run.
function noise(length) {
  const bytes = Buffer.alloc(length);
  for (let i = 0, state = 1; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

async function sizes(socket) {
  for (const length of [0, 1, 125, 126, 65535, 65536, 1 << 20]) {
    await expectEcho(socket, 'é'.repeat(length >> 1) + 'x'.repeat(length & 1));
    await expectEcho(socket, noise(length));
  }
}

async function refused(options, status) {
  const socket = new WebSocket(url, { perMessageDeflate: false, ...options });
  socket.on('error', () => {});
  const [request, response] = await once(socket, 'unexpected-response');
  assert.equal(response.statusCode, status);
  request.destroy();
}

const scenarios = {
  async plain() {
    const socket = await connect();
    assert.equal(socket.extensions, '');
    await sizes(socket);
    await close(socket, 1000);
  },

  async deflate() {
    const socket = await connect({ perMessageDeflate: { threshold: 0 } });
    assert.match(socket.extensions, /permessage-deflate/);
    await sizes(socket);
    await close(socket, 1000);
  },

  async fragments() {
    for (const perMessageDeflate of [false, { threshold: 0 }]) {
      const socket = await connect({ perMessageDeflate });
      const pong = once(socket, 'pong');
      await expectEcho(socket, 'Grüße, 世界', () => {
        const bytes = Buffer.from('Grüße, 世界'); // cut inside of characters
        socket.send(bytes.subarray(0, 3), { fin: false, binary: false });
        socket.ping('between');
        socket.send(bytes.subarray(3, 3), { fin: false });
        socket.send(bytes.subarray(3, 11), { fin: false });
        socket.send(bytes.subarray(11), { fin: true });
      });
      assert.equal((await pong)[0].toString(), 'between');
      await close(socket, 1000);
    }
  },

  async ping() {
    const socket = await connect();
    for (const payload of ['', 'x', 'y'.repeat(125)]) {
      const pong = once(socket, 'pong');
      socket.ping(payload);
      assert.equal((await pong)[0].toString(), payload);
    }
    await close(socket, 1000);
  },

  async close() {
    for (const code of [undefined, 1000, 1001, 3000, 4999]) {
      await close(await connect(), code, code && 'bye');
    }
  },

  async toobig() {
    const socket = await connect({ perMessageDeflate: { threshold: 0 } });
    const closed = once(socket, 'close');
    socket.send('x'.repeat((1 << 20) + 1)); // small once deflated
    assert.equal((await closed)[0], 1009);
  },

  async subprotocol() {
    const chosen = await connect({}, ['unknown', 'chat.v2', 'chat.v1']);
    assert.equal(chosen.protocol, 'chat.v2'); // the client's order decides
    await close(chosen, 1000);
    const none = await connect();
    assert.equal(none.protocol, '');
    await close(none, 1000);
  },

  async origin() {
    await close(await connect({ origin: 'https://app.example' }), 1000);
    await close(await connect({ origin: url.replace(/^ws(.*)\/$/, 'http$1') }), 1000); // same origin
    await refused({ origin: 'https://evil.example' }, 403);
    await refused({ origin: 'https://app.example.evil.example' }, 403);
  },
};

scenarios[scenario]().catch((error) => {
  console.error(error);
  process.exitCode = 1;
  process.exit();
});
