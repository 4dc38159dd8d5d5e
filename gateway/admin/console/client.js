import { choices, element, find, say } from './dom.js';
import { bytes, clock, count } from './format.js';
import * as key from './key.js';

const most = 500; // frames that are kept

const form = find('#connect').elements;
const compose = find('#compose').elements;
const log = find('#frames');

let hubs = [];
let socket = null;

// takeHubs learns which hubs there are.
export function takeHubs(list) {
  hubs = list;
  if (choices(form.hub, list.map((h) => h.name))) showHub();
}

const hub = () => hubs.find((h) => h.name === form.hub.value);

function showHub() {
  choices(form.path, hub()?.paths ?? []);
  find('#subprotocols').replaceChildren(...(hub()?.subprotocols ?? []).map((value) => element('option', { value })));
  form.token.placeholder = hub()?.anonymous ? 'none' : 'required';
  form.make.disabled = !hub()?.keyed;
}

form.hub.addEventListener('change', showHub);

find('#connect').addEventListener('submit', (event) => {
  event.preventDefault();
  if (socket) {
    socket.close();
    return;
  }
  connect();
});

function connect() {
  const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
  socket = new WebSocket(`${scheme}//${location.host}/console/hubs/${encodeURIComponent(form.hub.value)}/client`);
  socket.onopen = () => tell({
    do: 'connect',
    path: form.path.value,
    query: form.query.value.replace(/^\?/, ''),
    subprotocols: form.subprotocols.value.split(/[\s,]+/).filter(Boolean),
    token: form.token.value,
  });
  socket.onmessage = ({ data }) => take(JSON.parse(data));
  socket.onclose = () => {
    socket = null;
    show('not connected');
  };
  show('connecting');
}

const tell = (command) => socket?.send(JSON.stringify(command));

// show says how the connection is, and offers what can be done with it.
function show(state) {
  say(find('#connection'), state);
  say(form.connect, socket ? 'Disconnect' : 'Connect');
  const open = state.startsWith('open');
  for (const name of ['send', 'ping', 'close']) compose[name].disabled = !open;
}

function take(event) {
  if (event.event === 'open') show(event.text ? `open, ${event.text}` : 'open');
  add(event);
}

const directions = { sent: '→', received: '←' };
const heartbeat = (name) => name.startsWith('ping') || name.startsWith('pong');

// add writes one line of the log: when, which way, what, how much, and what it says.
function add(event) {
  const way = directions[event.event.split(' ').at(-1)] ?? '·';
  const pinned = log.scrollHeight - log.scrollTop - log.clientHeight < 20;
  const line = element('div', { class: heartbeat(event.event) ? 'frame heartbeat' : 'frame', 'data-event': event.event },
    element('time', {}, clock(event.time)),
    element('span', { class: 'way', 'aria-hidden': 'true' }, way),
    element('span', { class: 'what' }, what(event)),
    element('span', { class: 'payload' }, payload(event)));
  log.append(line);
  while (log.childElementCount > most) log.firstElementChild.remove();
  if (pinned) log.scrollTop = log.scrollHeight;
}

function what({ event, bytes: size, code, took }) {
  const parts = [event];
  if (code) parts.push(String(code));
  if (event === 'sent' || event === 'received') parts.push(bytes(size));
  if (took) parts.push(`${count(Math.max(1, Math.round(took * 1000)))}\u00a0µs`);
  return parts.join(' ');
}

function payload({ event, text, binary, bytes: size }) {
  if (event === 'open') return text ? `subprotocol ${text}` : '';
  const shown = binary ? hex(atob(binary)) : text ?? '';
  const held = binary ? atob(binary).length : new TextEncoder().encode(shown).length;
  return size > held ? `${shown} … (${bytes(size - held)} more)` : shown;
}

const hex = (binary) => [...binary].map((c) => c.charCodeAt(0).toString(16).padStart(2, '0')).join(' ');

find('#compose').addEventListener('submit', (event) => {
  event.preventDefault();
  tell({ do: 'send', text: compose.text.value });
  compose.text.select();
});

compose.text.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey) || compose.send.disabled) return;
  event.preventDefault();
  find('#compose').requestSubmit();
});

compose.ping.addEventListener('click', () => tell({ do: 'ping' }));
compose.close.addEventListener('click', () => tell({ do: 'close', code: 1000 }));

find('#clear').addEventListener('click', () => log.replaceChildren());
find('#heartbeats').addEventListener('change', ({ target }) => log.classList.toggle('calm', !target.checked));

// A token is made by the data plane, with the key that was typed for the sessions.
form.make.addEventListener('click', async () => {
  if (!key.known()) {
    say(find('#connection'), 'making a token takes the key: type it in the view Sessions');
    return;
  }
  const query = new URLSearchParams({ minutesToExpire: '60' });
  if (form.user.value) query.set('userId', form.user.value);
  const response = await key.ask(`/api/hubs/${encodeURIComponent(form.hub.value)}/:generateToken?${query}`, { method: 'POST' });
  if (!response.ok) {
    say(find('#connection'), await key.problem(response));
    return;
  }
  form.token.value = (await response.json()).token;
  say(find('#connection'), 'token made, for an hour');
});
