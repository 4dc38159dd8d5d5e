import { choices, element, fill, find, say } from './dom.js';
import { count } from './format.js';
import * as key from './key.js';
import { act } from './act.js';

const interval = 2000; // milliseconds until the page of sessions is asked for again

const search = find('#search');
const secret = find('#key');
const fields = search.elements;

let hubs = [];
let shown = null; // what was searched for: {hub, by, text}
let pages = ['']; // where each page up to this one begins
let next = '';
let asked = 0; // which request is the last one
let timer = 0;

// takeHubs learns which hubs there are.
export function takeHubs(list) {
  hubs = list;
  choices(fields.hub, list.map((h) => h.name));
  showKey();
}

// show is called when the view becomes visible, and hide when it no longer is.
export function show() {
  if (!shown) shown = read();
  refresh();
}

export function hide() {
  clearTimeout(timer);
}

export const focusSearch = () => fields.text.focus();

const keyed = (name) => hubs.find((h) => h.name === name)?.keyed ?? false;

const read = () => ({ hub: fields.hub.value, by: fields.by.value, text: fields.by.value && fields.text.value });

search.addEventListener('submit', (event) => {
  event.preventDefault();
  shown = read();
  pages = [''];
  showKey();
  refresh();
});

fields.hub.addEventListener('change', showKey);

fields.by.addEventListener('change', () => {
  fields.text.placeholder = fields.by.value === 'filter' ? "startswith(userId,'ann')" : '';
});

// What is written is meant: then it is searched by something.
fields.text.addEventListener('input', () => {
  if (fields.text.value && !fields.by.value) fields.by.value = 'user';
});

secret.addEventListener('submit', (event) => {
  event.preventDefault();
  const { value } = secret.elements.key;
  if (!value) return;
  key.use(value);
  secret.elements.key.value = '';
  showKey();
  refresh();
});

secret.elements.forget.addEventListener('click', () => {
  key.forget();
  showKey();
  refresh();
});

// showKey says what can be done with the key there is, or without one.
function showKey() {
  const hub = fields.hub.value;
  const usable = keyed(hub);
  secret.hidden = !usable;
  secret.elements.forget.disabled = !key.known();
  say(find('#key-note'), !usable
    ? `Look, don’t touch: no key is configured for the hub ${hub}. With one in keys or api_keys, sessions can be closed and sent to here.`
    : key.known()
      ? 'The key is kept until this tab is closed.'
      : 'Sessions of this hub take its key: an access key, which signs here and is not sent, or an API key. It is kept until this tab is closed.');
}

// refresh asks for the page of sessions, now and from time to time.
async function refresh() {
  clearTimeout(timer);
  if (!shown?.hub) return;
  const mine = ++asked;
  const query = new URLSearchParams({ after: pages.at(-1) });
  if (shown.by) query.set(shown.by, shown.text);
  let problem = '';
  let page = { sessions: [] };
  if (keyed(shown.hub) && !key.known()) {
    problem = 'Type the key to see the sessions.';
  } else {
    try {
      const response = await key.ask(`/console/hubs/${encodeURIComponent(shown.hub)}/sessions?${query}`);
      if (response.ok) page = await response.json();
      else problem = await key.problem(response);
    } catch (error) {
      problem = `No answer: ${error.message}`;
    }
  }
  if (mine !== asked) return; // another search is under way
  list(page, problem);
  if (!find('#sessions').hidden) timer = setTimeout(refresh, interval);
}

function list(page, problem) {
  next = page.next ?? '';
  const touchable = keyed(shown.hub) && key.known() && !problem;
  fill(find('#list tbody'), page.sessions, (s) => s.connectionId, makeRow, (row, s) => {
    say(row.cells[1], s.userId ?? '');
    for (const button of row.querySelectorAll('button')) button.disabled = !touchable;
  });
  const n = page.sessions.length;
  const where = pages.length > 1 || next ? `Page ${pages.length}: ${count(n)} sessions` : `${count(n)} ${n === 1 ? 'session' : 'sessions'}`;
  say(find('#found'), problem || (n === 0 ? 'No session found.' : where));
  find('#found').dataset.level = problem ? 'bad' : 'idle';
  find('#send-all').disabled = find('#close-all').disabled = !touchable || n === 0;
  find('#previous').disabled = pages.length === 1;
  find('#next').disabled = !next;
}

function makeRow({ connectionId }) {
  const what = { by: 'id', text: connectionId };
  const button = (label, action) => {
    const b = element('button', { type: 'button', 'aria-label': `${label} ${connectionId}` }, `${label}…`);
    b.addEventListener('click', () => touch(action, what));
    return b;
  };
  return element('tr', {},
    element('th', { scope: 'row' }, element('code', {}, connectionId)),
    element('td'),
    element('td', { class: 'actions' }, button('Send', 'send'), button('Close', 'close')));
}

// touch sends to sessions or closes them, and says what has become of it.
async function touch(action, what) {
  const outcome = await act(action, shown.hub, what);
  if (!outcome) return;
  say(find('#outcome'), outcome);
  refresh();
}

find('#send-all').addEventListener('click', () => touch('send', shown));
find('#close-all').addEventListener('click', () => touch('close', shown));

find('#next').addEventListener('click', () => {
  pages.push(next);
  refresh();
});

find('#previous').addEventListener('click', () => {
  pages.pop();
  refresh();
});
