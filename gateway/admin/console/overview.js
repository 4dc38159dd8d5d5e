import { element, find, say } from './dom.js';
import { Chart } from './charts.js';
import { History } from './history.js';
import { Recent, Sample, grown, quantile, rate } from './sample.js';
import { bytes, count, percent, seconds, short } from './format.js';
import { showTables } from './tables.js';

// The connections from which on it is the connections that memory grows by.
const enough = 1000;

const recent = new Recent();
const history = new History([
  'connections', 'received', 'sent', 'receivedBytes', 'sentBytes', 'opened', 'refused', 'closed',
  'lag50', 'lag99', 'queued', 'buffered', 'user', 'kernel', 'upstream50', 'upstream99',
], 900);

const figures = new Map(); // by name, the two nodes of each
for (const [name, label] of [
  ['connections', 'Connections'],
  ['messages', 'Messages in, /s'],
  ['bytes', 'Bytes in, /s'],
  ['handshakes', 'Handshakes, /s'],
  ['lag', 'Loop lag, p99'],
  ['cpu', 'Processor'],
  ['user', 'Memory per connection'],
  ['kernel', 'Kernel per connection'],
]) {
  const [value, note] = [element('b'), element('span')];
  figures.set(name, [value, note]);
  find('#figures').append(element('div', {}, element('dt', {}, label), element('dd', {}, value, note)));
}

// How high a curve's axis goes at least, and in which steps.
const decimal = { least: 10 };
const binary = { least: 1024, steps: Array.from({ length: 44 }, (_, i) => 2 ** i) };
const time = { least: 0.001 };

const charts = [
  ['Connections', count, decimal, { connections: 'open' }],
  ['Messages a second', short, decimal, { received: 'in', sent: 'out' }],
  ['Bytes a second', bytes, binary, { receivedBytes: 'in', sentBytes: 'out' }],
  ['Handshakes and ends a second', short, decimal, { opened: 'accepted', closed: 'closed', refused: 'refused' }],
  ['Loop lag', seconds, time, { lag99: 'p99', lag50: 'p50' }],
  ['Waiting bytes', bytes, binary, { queued: 'for clients', buffered: 'buffered in all' }],
  ['Memory', bytes, binary, { user: 'user', kernel: 'kernel' }],
  ['Upstream answers', seconds, time, { upstream99: 'p99', upstream50: 'p50' }],
].map(([title, write, axis, curves]) => new Chart(find('#charts'), history, title, write, axis, curves));

find('#span').addEventListener('change', (event) => {
  for (const chart of charts) chart.span = Number(event.target.value);
});

// takeState shows a state of the node.
export function takeState(state, visible) {
  const sample = new Sample(state);
  if (!recent.add(sample)) history.clear();
  const point = pointOf(state);
  history.add(sample.time, point);
  if (!visible) return;
  showFigures(state, point);
  for (const chart of charts) chart.draw();
  showTables(state, recent);
}

// pointOf is what the curves show of a moment. Rates are of the last three
// seconds, because the loops publish their counts in ticks that do not fit into
// one; quantiles of ten, because in three there is too little to tell.
function pointOf(state) {
  const { now } = recent;
  const [three, ten] = [recent.before(3), recent.before(10)];
  const perSecond = (name, labels) => (three === now ? null : rate(three, now, name, labels));
  const all = perSecond('sluice_handshakes_total');
  const accepted = perSecond('sluice_handshakes_total', { result: 'ok' });
  const http = perSecond('sluice_handshakes_total', { result: 'http' });
  return {
    connections: now.value('sluice_connections') ?? 0,
    received: perSecond('sluice_messages_received_total'),
    sent: perSecond('sluice_messages_sent_total'),
    receivedBytes: perSecond('sluice_received_bytes_total'),
    sentBytes: perSecond('sluice_sent_bytes_total'),
    opened: accepted,
    refused: all === null ? null : Math.max(0, all - accepted - http),
    closed: perSecond('sluice_connections_closed_total'),
    cpu: perSecond('process_cpu_seconds_total'),
    lag50: quantile(ten, now, 'sluice_loop_lag_seconds', 0.5),
    lag99: quantile(ten, now, 'sluice_loop_lag_seconds', 0.99),
    queued: now.value('sluice_send_queue_bytes'),
    buffered: now.value('sluice_buffered_bytes'),
    user: state.memory.user || null,
    kernel: state.memory.kernelSource === 'cgroup' ? state.memory.kernel : null,
    upstream50: quantile(ten, now, 'sluice_upstream_request_duration_seconds', 0.5),
    upstream99: quantile(ten, now, 'sluice_upstream_request_duration_seconds', 0.99),
  };
}

function showFigures(state, point) {
  const { now } = recent;
  const show = (name, value, note) => {
    const [a, b] = figures.get(name);
    say(a, value);
    say(b, note);
  };
  show('connections', count(point.connections), `of ${count(now.value('sluice_connections_limit'))}`);
  show('messages', short(point.received), `${short(point.sent)} out`);
  show('bytes', bytes(point.receivedBytes), `${bytes(point.sentBytes)} out`);
  const minute = recent.before(60);
  const refused = grown(minute, now, 'sluice_handshakes_total') - grown(minute, now, 'sluice_handshakes_total', { result: 'ok' }) - grown(minute, now, 'sluice_handshakes_total', { result: 'http' });
  show('handshakes', short(point.opened), `${count(refused)} refused in a minute`);
  show('lag', seconds(point.lag99), `p50 ${seconds(point.lag50)}`);
  show('cpu', percent(point.cpu), `${count(now.value('go_goroutines'))} goroutines`);
  const each = (growth) => (point.connections >= enough ? bytes(growth / point.connections) : '–');
  const { memory } = state;
  show('user', each(memory.userGrowth), `${bytes(memory.user)} in all`);
  // Without a control group of its own only the buffers are known, which is not what a connection costs.
  const known = memory.kernelSource === 'cgroup';
  show('kernel', known ? each(memory.kernelGrowth) : '–', known ? `${bytes(memory.kernel)} in all` : memory.kernelSource ? `${bytes(memory.kernel)} in buffers` : 'not known here');
}
