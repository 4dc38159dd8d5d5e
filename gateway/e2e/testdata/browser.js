// Chromium at two pages: node browser.js CHROMIUM GATEWAY ALLOWED REFUSED
// The page ALLOWED may connect to the WebSocket URL GATEWAY, REFUSED may not.
'use strict';
const assert = require('node:assert/strict');
const { chromium } = require('playwright-core');

const [executablePath, gateway, allowed, refused] = process.argv.slice(2);

// visit runs in the page: it connects, has a text and bytes echoed, and closes.
function visit(gateway) {
  return new Promise((resolve) => {
    const seen = { opened: false, echoes: [] };
    const socket = new WebSocket(gateway);
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => {
      seen.opened = true;
      seen.deflate = socket.extensions.includes('permessage-deflate');
      socket.send('Grüße '.repeat(1000));
      socket.send(new Uint8Array([0, 127, 128, 255]));
    };
    socket.onmessage = ({ data }) => {
      seen.echoes.push(typeof data === 'string' ? data : Array.from(new Uint8Array(data)));
      if (seen.echoes.length === 2) socket.close(4000, 'enough');
    };
    socket.onclose = ({ code, wasClean }) => resolve({ ...seen, code, wasClean });
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
    await page.goto(allowed);
    assert.deepEqual(await page.evaluate(visit, gateway), {
      opened: true,
      deflate: true,
      echoes: ['Grüße '.repeat(1000), [0, 127, 128, 255]],
      code: 4000,
      wasClean: true,
    });
    await page.goto(refused);
    assert.deepEqual(await page.evaluate(visit, gateway), {
      opened: false,
      echoes: [],
      code: 1006,
      wasClean: false,
    });
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
