// Chromium at a page whose client has a token, and the SDK that pushes to it:
// node pushed.js CHROMIUM ENDPOINT KEY PAGE
'use strict';
const assert = require('node:assert/strict');
const { chromium } = require('playwright-core');
const { AzureKeyCredential, WebPubSubServiceClient } = require('@azure/web-pubsub');

const [executablePath, endpoint, key, address] = process.argv.slice(2);
const service = new WebPubSubServiceClient(endpoint, new AzureKeyCredential(key), 'default', { allowInsecureConnection: true });

// connect runs in the page: it is done once the socket is open, and keeps what
// happens then in window.seen, a promise.
function connect(url) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => resolve();
    socket.onerror = () => reject(new Error('not connected'));
    window.seen = new Promise((done) => {
      const messages = [];
      socket.onmessage = ({ data }) => messages.push(typeof data === 'string' ? data : Array.from(new Uint8Array(data)));
      socket.onclose = ({ code, reason, wasClean }) => done({ messages, code, reason, wasClean });
    });
  });
}

async function main() {
  const browser = await chromium.launch({
    executablePath,
    args: [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync',
    ],
  });
  try {
    const page = await browser.newPage();
    await page.goto(address);
    const { url } = await service.getClientAccessToken({ userId: 'ann', groups: ['room'] });
    await page.evaluate(connect, url);
    await service.sendToUser('ann', 'Grüße', { contentType: 'text/plain' });
    await service.group('room').sendToAll({ list: [1, null] });
    await service.sendToAll(new Uint8Array([0, 127, 128, 255]));
    await service.closeUserConnections('ann', { reason: 'enough' });
    assert.deepEqual(await page.evaluate(() => window.seen), {
      messages: ['Grüße', '{"list":[1,null]}', [0, 127, 128, 255]],
      code: 1000,
      reason: 'enough',
      wasClean: true,
    });
    await assert.rejects(page.evaluate(connect, url.slice(0, -3)), /not connected/);
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
