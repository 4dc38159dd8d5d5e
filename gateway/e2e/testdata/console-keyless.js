// Chromium at the console of a node without keys: node console-keyless.js CHROMIUM CONSOLE
// One client is connected.
'use strict';
const assert = require('node:assert/strict');
const { visit } = require('./console-page.js');

const [executablePath, address] = process.argv.slice(2);

visit(executablePath, [], async (browser) => {
  const page = await browser.newPage();
  await page.goto(`${address}/#sessions`);
  await page.waitForFunction(() => document.querySelector('#list tbody').rows.length === 1);
  assert.match(await page.textContent('#key-note'), /Look, don’t touch/);
  assert.equal(await page.isVisible('#key'), false);
  for (const button of await page.locator('#list button, #send-all, #close-all').all()) {
    assert.equal(await button.isDisabled(), true, await button.textContent());
  }
  const status = await page.evaluate(() => fetch('/api/hubs/default/:closeConnections', { method: 'POST' }).then((r) => r.status));
  assert.equal(status, 401);
});
