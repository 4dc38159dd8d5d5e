// One scenario of the published SDK as a pusher: node pusher.js SCENARIO ENDPOINT KEY
// The clients are simple ones on ws, with tokens that the SDK makes.
'use strict';
const assert = require('node:assert/strict');
const { once } = require('node:events');
const WebSocket = require('ws');
const { AzureKeyCredential, WebPubSubServiceClient, odata } = require('@azure/web-pubsub');

const [scenario, endpoint, key] = process.argv.slice(2);
const options = { allowInsecureConnection: true, retryOptions: { maxRetries: 0 } };
const service = new WebPubSubServiceClient(endpoint, new AzureKeyCredential(key), 'default', options);
const plain = { contentType: 'text/plain' };

// Whatever hangs is a failure.
setTimeout(() => { throw new Error(`${scenario}: nothing for 30 s`); }, 30_000).unref();

// open connects a socket that keeps what it receives in order.
async function open(url, settings = {}) {
  const socket = new WebSocket(url, { perMessageDeflate: false, ...settings });
  const received = [];
  let wake = () => {};
  socket.on('message', (data, isBinary) => {
    received.push(isBinary ? data : data.toString());
    wake();
  });
  socket.next = async () => {
    while (!received.length) await new Promise((resolve) => { wake = resolve; });
    return received.shift();
  };
  socket.closed = once(socket, 'close').then(([code, reason]) => [code, reason.toString()]);
  await once(socket, 'open');
  return socket;
}

// connect is a client of the user, with its connection id.
let clients = 0;
async function connect(userId, { groups = [], ...more } = {}) {
  const mark = `mark ${++clients}`;
  const { url } = await service.getClientAccessToken({ userId, groups: [mark, ...groups], ...more });
  const socket = await open(url);
  [{ connectionId: socket.id }] = await list(mark);
  await service.group(mark).removeConnection(socket.id);
  return socket;
}

async function list(group, options) {
  const connections = [];
  for await (const connection of await service.group(group).listConnections(options)) connections.push(connection);
  return connections;
}

// expect compares the next message of each socket with what it must be. A push
// that must not have come would be the next message, too.
async function expect(message, ...sockets) {
  for (const socket of sockets) assert.deepEqual(await socket.next(), message);
}

const fails = (statusCode, code) => (error) => {
  assert.equal(error.statusCode, statusCode, error.stack);
  if (code) assert.equal(error.code, code);
  return true;
};

const close = (...sockets) => Promise.all(sockets.map((socket) => { socket.close(); return socket.closed; }));

const scenarios = {
  async send() {
    const ann = await connect('ann'), ann2 = await connect('ann'), bob = await connect('bob', { groups: ['room'] });
    await service.sendToAll('text', plain);
    await expect('text', ann, ann2, bob);
    await service.sendToAll({ text: 'wörld', list: [1, null] });
    await expect('{"text":"wörld","list":[1,null]}', ann, ann2, bob);
    await service.sendToAll(new Uint8Array([0, 127, 128, 255]));
    await expect(Buffer.from([0, 127, 128, 255]), ann, ann2, bob);
    await service.sendToUser('ann', 'to ann', plain);
    await expect('to ann', ann, ann2);
    await service.sendToUser('ann', { to: 'ann' });
    await expect('{"to":"ann"}', ann, ann2);
    await service.sendToConnection(ann2.id, 'to ann2', plain);
    await expect('to ann2', ann2);
    await service.sendToConnection(ann2.id, new Uint8Array([2]).buffer);
    await expect(Buffer.from([2]), ann2);
    await service.group('room').sendToAll('to the room', plain);
    await expect('to the room', bob);
    await service.group('room').sendToAll(['to', 'the', 'room']);
    await expect('["to","the","room"]', bob);

    await service.sendToUser('nobody', 'heard', plain);
    await service.group('nowhere').sendToAll('heard', plain);

    await service.sendToAll('last', plain); // and nothing before it
    await expect('last', ann, ann2, bob);
    await close(ann, ann2, bob);
  },

  async selection() {
    const ann = await connect('ann', { groups: ['room'] });
    const bob = await connect("bob's", { groups: ['room', 'attic'] });
    const none = await connect(undefined, { groups: ['room'] });
    const all = [ann, bob, none];

    await service.sendToAll('without ann', { ...plain, excludedConnections: [ann.id] });
    await expect('without ann', bob, none);
    await service.sendToAll('bob alone', { ...plain, excludedConnections: [ann.id, none.id] });
    await expect('bob alone', bob);
    await service.group('room').sendToAll('without bob', { ...plain, excludedConnections: [bob.id] });
    await expect('without bob', ann, none);

    const filters = [
      [odata`userId eq ${"bob's"}`, bob],
      [odata`userId ne ${'ann'} and userId ne ${null}`, bob],
      [odata`userId eq ${null}`, none],
      [odata`connectionId eq ${ann.id}`, ann],
      [odata`not (connectionId eq ${ann.id})`, bob, none],
      [odata`${'attic'} in groups`, bob],
      [odata`not (${'attic'} in groups)`, ann, none],
      [odata`userId in (${'ann'}, ${'eve'})`, ann],
      [odata`startswith(userId, ${'an'}) or endswith(userId, ${"'s"})`, ann, bob],
      [odata`length(userId) gt ${3} and ${'room'} in groups`, bob],
    ];
    for (const [filter, ...meant] of filters) {
      await service.sendToAll(filter, { ...plain, filter });
      await expect(filter, ...meant);
    }
    await service.group('room').sendToAll('a filter in a group', { ...plain, filter: odata`userId eq ${'ann'}` });
    await expect('a filter in a group', ann);
    await service.sendToUser('ann', 'a filter for a user', { ...plain, filter: odata`${'attic'} in groups` });
    await assert.rejects(service.sendToAll('nonsense', { ...plain, filter: 'userId is ann' }), fails(400));

    await service.sendToAll('keeps for 5 s', { ...plain, messageTtlSeconds: 5 });
    await expect('keeps for 5 s', ...all);
    await service.sendToAll('last', plain);
    await expect('last', ...all);
    await close(...all);
  },

  async names() {
    for (const name of ['Zoë', 'a b', 'a/b', 'a+b', 'a%2Fb', '?&#', "it's", '世界']) {
      const one = await connect(name);
      await service.sendToUser(name, `to ${name}`, plain);
      await expect(`to ${name}`, one);
      assert.equal(await service.userExists(name), true, name);
      await service.group(name).addUser(name);
      assert.deepEqual(await list(name), [{ connectionId: one.id, userId: name }]);
      await service.group(name).sendToAll(`group ${name}`, plain);
      await expect(`group ${name}`, one);
      await service.closeUserConnections(name, { reason: name });
      assert.deepEqual(await one.closed, [1000, name]);
    }
  },

  async groups() {
    const ann = await connect('ann'), ann2 = await connect('ann'), bob = await connect('bob');
    const room = service.group('room'), attic = service.group('attic');
    const members = async (group) => (await list(group)).map(({ connectionId }) => connectionId).sort();
    const ids = (...sockets) => sockets.map(({ id }) => id).sort();

    assert.equal(await service.groupExists('room'), false);
    await room.addConnection(ann.id);
    await room.addConnection(ann.id); // a member already
    assert.equal(await service.groupExists('room'), true);
    assert.deepEqual(await list('room'), [{ connectionId: ann.id, userId: 'ann' }]);
    await room.sendToAll('one member', plain);
    await expect('one member', ann);
    await room.removeConnection(ann.id);
    await room.removeConnection(ann.id); // no member any more
    assert.equal(await service.groupExists('room'), false);

    await room.addUser('ann');
    await attic.addUser('ann');
    await attic.addUser('bob');
    assert.deepEqual(await members('room'), ids(ann, ann2));
    assert.deepEqual(await members('attic'), ids(ann, ann2, bob));
    await attic.removeUser('ann');
    assert.deepEqual(await members('attic'), ids(bob));
    await attic.addConnection(ann2.id);
    await service.removeConnectionFromAllGroups(ann2.id);
    assert.deepEqual(await members('room'), ids(ann));
    assert.deepEqual(await members('attic'), ids(bob));
    await attic.addConnection(ann2.id);
    await service.removeUserFromAllGroups('ann');
    assert.deepEqual(await members('room'), []);
    assert.deepEqual(await members('attic'), ids(bob));

    await service.addConnectionsToGroups(['room', 'cellar'], odata`userId eq ${'ann'}`);
    assert.deepEqual(await members('room'), ids(ann, ann2));
    assert.deepEqual(await members('cellar'), ids(ann, ann2));
    await service.removeConnectionsFromGroups(['room', 'attic'], odata`connectionId eq ${ann.id} or userId eq ${'bob'}`);
    assert.deepEqual(await members('room'), ids(ann2));
    assert.deepEqual(await members('attic'), []);
    assert.deepEqual(await members('cellar'), ids(ann, ann2));

    await close(ann2);
    assert.deepEqual(await members('cellar'), ids(ann)); // who has gone is in no group
    await close(ann, bob);
    assert.equal(await service.groupExists('cellar'), false);

    await assert.rejects(room.addConnection(ann.id), fails(404));
    await room.addUser('nobody');
    await room.removeUser('nobody');
    await service.removeUserFromAllGroups('nobody');
    assert.equal(await service.groupExists('room'), false);
    await assert.rejects(service.addConnectionsToGroups(['room'], 'nonsense'), fails(400));
  },

  async pages() {
    const sockets = await Promise.all(Array.from({ length: 25 }, (_, i) => connect(`user ${i}`, { groups: ['room'] })));
    const ids = sockets.map(({ id }) => id).sort();
    for (const maxPageSize of [1, 7, 25, 200]) {
      const found = [];
      let pages = 0;
      for await (const page of (await service.group('room').listConnections({ maxPageSize })).byPage()) {
        assert.ok(page.length <= maxPageSize, `${page.length} on a page of ${maxPageSize}`);
        found.push(...page.map(({ connectionId }) => connectionId));
        pages++;
      }
      assert.deepEqual(found.sort(), ids);
      assert.ok(pages >= 25 / maxPageSize);
    }
    const top = await list('room', { top: 10, maxPageSize: 4 });
    assert.equal(new Set(top.map(({ connectionId }) => connectionId)).size, 10);

    let link; // to the second page
    const first = await (await service.group('room').listConnections({
      maxPageSize: 20,
      onResponse: (response) => { link = new URL(JSON.parse(response.bodyAsText).nextLink); },
    })).byPage().next();
    const rest = await list('room', { continuationToken: link.searchParams.get('continuationToken') });
    assert.deepEqual([...first.value, ...rest].map(({ connectionId }) => connectionId).sort(), ids);
    assert.deepEqual(await list('nowhere'), []);
    await close(...sockets);
  },

  async existence() {
    assert.equal(await service.userExists('ann'), false);
    const ann = await connect('ann');
    assert.equal(await service.userExists('ann'), true);
    assert.equal(await service.userExists('an'), false);
    assert.equal(await service.connectionExists(ann.id), true);
    assert.equal(await service.connectionExists('AAAAAAAAAAAAAAAAAAAAAA'), false);
    assert.equal(await service.connectionExists('not / an ? id'), false);
    assert.equal(await service.groupExists('room'), false);
    await close(ann);
    assert.equal(await service.connectionExists(ann.id), false);
    assert.equal(await service.userExists('ann'), false);
  },

  async closing() {
    const ann = await connect('ann'), ann2 = await connect('ann');
    const bob = await connect('bob', { groups: ['room'] }), eve = await connect('eve', { groups: ['room'] });
    await service.closeConnection(ann.id, { reason: 'enough' });
    assert.deepEqual(await ann.closed, [1000, 'enough']);
    await service.closeUserConnections('ann');
    assert.deepEqual(await ann2.closed, [1000, '']);
    await service.group('room').closeAllConnections({ excluded: [eve.id], reason: 'Feierabend für heute' });
    assert.deepEqual(await bob.closed, [1000, 'Feierabend für heute']);
    await service.closeConnection(ann.id); // gone already

    const zoe = await connect('zoe');
    await service.closeAllConnections({ excluded: [zoe.id], reason: 'all' });
    assert.deepEqual(await eve.closed, [1000, 'all']);
    await service.sendToAll('left over', plain);
    await expect('left over', zoe);
    await service.closeAllConnections({ reason: 'x'.repeat(200) }); // longer than a close frame
    const [code, reason] = await zoe.closed;
    assert.equal(code, 1000);
    assert.ok('x'.repeat(200).startsWith(reason));
  },

  async permissions() {
    const ann = await connect('ann', { roles: ['webpubsub.sendToGroup.lobby'] });
    const has = (permission, targetName) => service.hasPermission(ann.id, permission, { targetName });
    assert.equal(await has('sendToGroup', 'lobby'), true); // by its token
    assert.equal(await has('sendToGroup', 'room'), false);
    assert.equal(await has('joinLeaveGroup', 'lobby'), false);

    await service.grantPermission(ann.id, 'joinLeaveGroup', { targetName: 'room' });
    assert.equal(await has('joinLeaveGroup', 'room'), true);
    assert.equal(await has('joinLeaveGroup', 'attic'), false);
    assert.equal(await has('joinLeaveGroup'), false);
    assert.equal(await has('sendToGroup', 'room'), false);
    await service.revokePermission(ann.id, 'joinLeaveGroup', { targetName: 'room' });
    assert.equal(await has('joinLeaveGroup', 'room'), false);

    await service.grantPermission(ann.id, 'sendToGroup');
    assert.equal(await has('sendToGroup'), true);
    assert.equal(await has('sendToGroup', 'anywhere'), true);
    await service.revokePermission(ann.id, 'sendToGroup');
    assert.equal(await has('sendToGroup'), false);
    assert.equal(await has('sendToGroup', 'anywhere'), false);

    await close(ann);
    assert.equal(await has('sendToGroup', 'lobby'), false);
    await assert.rejects(service.grantPermission(ann.id, 'sendToGroup', { targetName: 'room' }), fails(404));
  },

  async tokens() {
    const { token, url, baseUrl } = await service.getClientAccessToken({ userId: 'ann', groups: ['room'], expirationTimeInMinutes: 5 });
    const inQuery = await open(url);
    const inHeader = await open(baseUrl, { headers: { Authorization: `Bearer ${token}` } });
    await service.sendToUser('ann', 'by user', plain);
    await expect('by user', inQuery, inHeader);
    await service.group('room').sendToAll('by group', plain);
    await expect('by group', inQuery, inHeader);
    await close(inQuery, inHeader);

    const refused = async (url, headers) => {
      const socket = new WebSocket(url, { headers });
      socket.on('error', () => {});
      const [request, response] = await once(socket, 'unexpected-response');
      assert.equal(response.statusCode, 401);
      request.destroy();
    };
    const clientOf = (key, hub, to = endpoint) => new WebPubSubServiceClient(to, new AzureKeyCredential(key), hub, options);
    const urlOf = async (service, settings) => (await service.getClientAccessToken(settings)).url;
    await refused(await urlOf(clientOf('not the gateway\'s key', 'default')));
    await refused(await urlOf(clientOf(key, 'other')).then((url) => url.replace('/hubs/other', '/hubs/default')));
    await refused(await urlOf(clientOf(key, 'default', 'http://elsewhere.example')).then((url) => url.replace('elsewhere.example', new URL(endpoint).host)));
    await refused(await urlOf(service, { expirationTimeInMinutes: -5 }));
    await refused(url.slice(0, -3));
    await refused(`${baseUrl}?access_token=nonsense`);
    await refused(baseUrl, { Authorization: 'Bearer nonsense' });

    const stranger = clientOf('not the gateway\'s key', 'default');
    await assert.rejects(stranger.sendToAll('heard', plain), fails(401));
    await assert.rejects(stranger.userExists('ann'), fails(401));
    await assert.rejects(clientOf(key, 'unknown').sendToAll('heard', plain), (error) => {
      assert.ok([401, 404].includes(error.statusCode), error.stack);
      return true;
    });
  },
};

scenarios[scenario]().then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});
