// Closing sessions and sending to them: a dialog, and a request to the data plane.

import { find, say } from './dom.js';
import * as key from './key.js';

// act asks what to send, or for what reason to close, and does it. It returns
// what has become of it, or "" if it was given up.
export async function act(action, hub, what) {
  const dialog = find(action === 'send' ? '#sending' : '#closing');
  const { elements } = find('form', dialog);
  say(find('.target', dialog), describe(hub, what));
  say(find('.problem', dialog), '');
  elements.text.value = '';
  dialog.showModal();
  elements.text.focus();
  for (;;) {
    if (!await decided(dialog)) return '';
    try {
      elements.go.disabled = true;
      const response = await key.ask(...request(action, hub, what, elements));
      if (response.ok) {
        dialog.close();
        return outcome(action, response.headers);
      }
      say(find('.problem', dialog), await key.problem(response));
    } catch (error) {
      say(find('.problem', dialog), `No answer: ${error.message}`);
    } finally {
      elements.go.disabled = false;
    }
  }
}

// decided waits until the dialog is confirmed, or left.
function decided(dialog) {
  return new Promise((resolve) => {
    const done = new AbortController();
    const settle = (yes) => {
      done.abort();
      if (!yes) dialog.close();
      resolve(yes);
    };
    const on = (target, name, handle) => target.addEventListener(name, handle, { signal: done.signal });
    on(find('form', dialog), 'submit', (event) => {
      event.preventDefault();
      settle(true);
    });
    on(find('[name=cancel]', dialog), 'click', () => settle(false));
    on(dialog, 'cancel', (event) => { // Escape
      event.preventDefault();
      settle(false);
    });
  });
}

function describe(hub, { by, text }) {
  return {
    id: `The connection ${text} of the hub ${hub}.`,
    user: `Every session of the user ${text} in the hub ${hub}.`,
    group: `Every session in the group ${text} of the hub ${hub}.`,
    filter: `Every session of the hub ${hub} that meets ${text}.`,
  }[by] ?? `Every session of the hub ${hub}.`;
}

// request is the one of the data plane's that does it.
function request(action, hub, { by, text }, elements) {
  let path = `/api/hubs/${encodeURIComponent(hub)}`;
  const segment = { id: 'connections', user: 'users', group: 'groups' }[by];
  if (segment) path += `/${segment}/${encodeURIComponent(text)}`;
  const query = new URLSearchParams(by === 'filter' ? { filter: text } : {});
  if (action === 'send') {
    return [`${path}/:send${suffix(query)}`, { method: 'POST', headers: { 'Content-Type': elements.type.value }, body: elements.text.value }];
  }
  if (elements.text.value) query.set('reason', elements.text.value);
  return by === 'id'
    ? [path + suffix(query), { method: 'DELETE' }]
    : [`${path}/:closeConnections${suffix(query)}`, { method: 'POST' }];
}

const suffix = (query) => (query.size ? `?${query}` : '');

function outcome(action, headers) {
  const [matched, queued, dropped, pending] = ['Matched', 'Queued', 'Dropped', 'Pending'].map((n) => Number(headers.get(`Sluice-${n}`) ?? 0));
  const parts = [`${action === 'send' ? 'Sent to' : 'Closed'} ${queued} of ${matched} ${matched === 1 ? 'session' : 'sessions'}`];
  if (dropped) parts.push(`not possible for ${dropped}`);
  if (pending) parts.push(`${pending} loops have not answered yet`);
  return `${parts.join(', ')}.`;
}
