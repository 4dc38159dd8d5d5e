// Chromium at the console: node console.js CHROMIUM CONSOLE KEY FOREIGN FOLDER
// The users ann and bob are connected, and others talk. FOREIGN is a page of
// another origin. Pictures go to FOLDER.
'use strict';
const assert = require('node:assert/strict');
const path = require('node:path');
const { visit, tabTo, contrasts } = require('./console-page.js');

const [executablePath, address, key, foreign, folder] = process.argv.slice(2);

// curvesMove holds that figures and curves follow the clients without a reload,
// and that nothing else on the page moves meanwhile.
async function curvesMove(page) {
  const legend = page.locator('#charts figure', { hasText: 'Messages a second' }).locator('b').first();
  await page.waitForFunction((b) => parseFloat(b.textContent) > 0, await legend.elementHandle());
  const canvas = page.locator('#charts canvas').nth(1);
  const picture = () => canvas.evaluate((c) => c.toDataURL());
  await page.evaluate(() => {
    window.shifted = 0;
    new PerformanceObserver((list) => {
      for (const shift of list.getEntries()) window.shifted += shift.value;
    }).observe({ type: 'layout-shift' });
  });
  const before = await picture();
  await page.waitForFunction(([c, old]) => c.toDataURL() !== old, [await canvas.elementHandle(), before]);
  await page.waitForFunction(() => document.querySelector('#hubs tbody').rows[1]?.cells[8].textContent.includes('s')); // p50 of the backend
  const time = () => page.locator('#node').textContent();
  const then = await time();
  await page.waitForFunction((old) => document.querySelector('#node').textContent !== old, then);
  assert.ok(await page.evaluate(() => window.shifted) < 0.01, 'the layout shifts');
}

// findsAndActs goes the whole way from the overview to a message that is sent and
// a session that is closed. The keyboard alone does all but the last.
async function findsAndActs(page) {
  await page.keyboard.press('2');
  await page.waitForSelector('#sessions:not([hidden])');
  assert.match(await page.textContent('#found'), /Type the key/);
  await tabTo(page, '#key input');
  await page.keyboard.type('a-wrong-key-0123456789');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => /token|key/.test(document.querySelector('#found').textContent) && document.querySelector('#found').dataset.level === 'bad');
  assert.equal(await page.locator('#list tbody tr').count(), 0);
  await page.keyboard.type(key);
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelector('#list tbody').rows.length === 3);

  await tabTo(page, '#search input', 'Shift+Tab');
  await page.keyboard.type('ann'); // by user, unless something else is chosen
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => /^1 session$/.test(document.querySelector('#found').textContent));
  const id = await page.textContent('#list code');

  await tabTo(page, '#list button');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#sending[open]');
  assert.match(await page.textContent('#sending .target'), new RegExp(id));
  await page.keyboard.press('Escape');
  await page.waitForSelector('#sending:not([open])', { state: 'attached' });
  await page.keyboard.press('Enter'); // the focus is back on the button
  await page.waitForSelector('#sending[open]');
  await page.keyboard.type('hello from the console');
  await tabTo(page, '#sending [name=go]');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelector('#outcome').textContent === 'Sent to 1 of 1 session.');

  const search = async (by, text) => {
    await page.selectOption('#search select[name=by]', by);
    await page.fill('#search input', text);
    await page.click('#search button');
  };
  const users = (list) => page.waitForFunction((want) => [...document.querySelector('#list tbody').rows].map((r) => r.cells[1].textContent).sort().join() === want, list);
  await search('id', id);
  await users('ann');
  await search('group', 'red');
  await users('ann,bob');
  await search('filter', "endswith(userId,'ob')");
  await users('bob');
  await page.click('#list button:text("Close")');
  await page.fill('#closing input', 'bye bob');
  await page.click('#closing [name=go]');
  await page.waitForFunction(() => document.querySelector('#outcome').textContent === 'Closed 1 of 1 session.');
  await users(''); // without another search
  await search('group', 'red');
  await users('ann');
}

// triesAHub connects the console's own client.
async function triesAHub(page) {
  await page.keyboard.press('Escape');
  await page.click('nav a[href="#client"]');
  await page.fill('#connect [name=user]', 'eve');
  await page.click('#connect [name=make]');
  await page.waitForFunction(() => document.querySelector('#connect [name=token]').value.split('.').length === 3);
  await page.fill('#connect [name=subprotocols]', 'chat.v1');
  await page.click('#connect [name=connect]');
  const frame = (event, text) => page.waitForFunction(([event, text]) =>
    [...document.querySelectorAll(`[data-event="${event}"]`)].some((f) => f.textContent.includes(text)), [event, text]);
  await frame('open', 'chat.v1');
  await page.fill('#compose textarea', 'Grüße <b>');
  await page.keyboard.press('Control+Enter');
  await frame('sent', 'Grüße <b>');
  await frame('received', 'Grüße <b>');
  await page.click('#compose [name=ping]');
  await frame('pong received', 'µs');
  await frame('ping received', ''); // the node's heartbeat
  assert.match(await page.locator('#frames time').first().textContent(), /^\d\d:\d\d:\d\d\.\d{3}$/);
  await page.click('#compose [name=close]');
  await frame('closed', '1000');
  await page.waitForFunction(() => document.querySelector('#connect [name=connect]').textContent === 'Connect');

  await page.fill('#connect [name=token]', 'nonsense');
  await page.click('#connect [name=connect]');
  await frame('refused', '401');
}

// looksRight holds every view in both schemes and on a narrow screen to what can
// be measured, and takes its picture.
async function looksRight(page) {
  const grounds = new Set();
  for (const view of ['overview', 'sessions', 'client']) {
    await page.click(`nav a[href="#${view}"]`);
    for (const [name, colorScheme, width, height] of [['light', 'light', 1440, 1000], ['dark', 'dark', 1440, 1000], ['narrow', 'light', 400, 800]]) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await page.setViewportSize({ width, height });
      await page.waitForFunction(() => [...document.querySelectorAll('.plot')].every((p) => p.clientWidth === 0 || p.querySelector('canvas').clientWidth <= p.clientWidth));
      assert.deepEqual(await page.evaluate(contrasts), [], `${view} ${name}: contrast under 4.5`);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.equal(wide, 0, `${view} ${name}: scrolls sideways`);
      grounds.add(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
      await page.screenshot({ path: path.join(folder, `${view}-${name}.png`), fullPage: name === 'narrow' });
    }
  }
  assert.equal(grounds.size, 2, 'light and dark are the same');
}

// othersAreKeptOut has a foreign page try what it can, also by the name of a
// foreign site that leads here.
async function othersAreKeptOut(browser) {
  const page = await browser.newPage();
  await page.goto(foreign);
  const tried = await page.evaluate(async (console_) => ({
    read: await fetch(`${console_}/console/state`).then(() => 'read', () => 'refused'),
    post: await fetch(`${console_}/api/hubs/default/:closeConnections`, { method: 'POST' }).then(() => 'read', () => 'refused'),
    socket: await new Promise((resolve) => {
      const socket = new WebSocket(`${console_.replace('http', 'ws')}/console/hubs/default/client`);
      socket.onopen = () => resolve('open');
      socket.onclose = () => resolve('refused');
    }),
  }), address);
  assert.deepEqual(tried, { read: 'refused', post: 'refused', socket: 'refused' });
  const response = await page.goto(address.replace('127.0.0.1', 'rebound.example'));
  assert.equal(response.status(), 421);
}

visit(executablePath, ['--host-resolver-rules=MAP rebound.example 127.0.0.1'], async (browser) => {
  const page = await browser.newPage({ viewport: { width: 1440, height: 1000 } });
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(error.stack));
  page.on('console', (message) => { // what was refused on purpose is told, too
    if (message.type() === 'error' && !/ 401 /.test(message.text())) complaints.push(message.text());
  });
  await page.goto(address);
  await page.waitForFunction(() => document.querySelector('#status').textContent === 'ready');
  await curvesMove(page);
  await findsAndActs(page);
  await triesAHub(page);
  await looksRight(page);
  assert.deepEqual(complaints, []);
  await othersAreKeptOut(browser);
});
