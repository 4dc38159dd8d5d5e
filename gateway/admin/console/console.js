// The console: it polls the state of the node once a second and hands it to the
// views, of which one is visible.

import { find, mark, say } from './dom.js';
import { poll } from './poll.js';
import { ago } from './format.js';
import { setClock } from './key.js';
import * as overview from './overview.js';
import * as sessions from './sessions.js';
import * as client from './client.js';

const views = ['overview', 'sessions', 'client'];
const links = [...document.querySelectorAll('nav a')];
const visible = () => (views.includes(location.hash.slice(1)) ? location.hash.slice(1) : views[0]);

let last = null; // the state that was seen last

function showView() {
  for (const view of views) find(`#${view}`).hidden = view !== visible();
  for (const link of links) {
    if (link.hash === `#${visible()}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  sessions.hide();
  if (last && visible() === 'sessions') sessions.show();
  scrollTo(0, 0);
}

function seen(state) {
  const first = last === null;
  last = state;
  setClock(state.time);
  const began = state.metrics.process_start_time_seconds?.[0].value;
  say(find('#node'), began ? `${state.info}, up ${ago(state.time / 1000 - began)}` : state.info);
  say(find('#status'), state.notReady ?? 'ready');
  mark(find('#status'), 'data-level', state.notReady ? 'warn' : 'good');
  document.body.classList.remove('stale');
  sessions.takeHubs(state.hubs);
  client.takeHubs(state.hubs);
  overview.takeState(state, visible() === 'overview');
  if (first && visible() === 'sessions') sessions.show();
}

function lost(error) {
  say(find('#status'), error.name === 'TypeError' ? 'no answer from the node' : error.message);
  mark(find('#status'), 'data-level', 'bad');
  document.body.classList.add('stale');
}

addEventListener('hashchange', showView);

addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, textarea, select, dialog')) return;
  const view = views[Number(event.key) - 1];
  if (view) {
    location.hash = view;
  } else if (event.key === '/') {
    event.preventDefault();
    location.hash = 'sessions';
    showView();
    sessions.focusSearch();
  }
});

showView();
poll('/console/state', 1000, seen, lost);
