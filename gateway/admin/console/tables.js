import { cells, element, fill, find, mark, say } from './dom.js';
import { grown, quantile, rate } from './sample.js';
import { bytes, count, seconds, short, words } from './format.js';

// showTables fills what stands below the curves.
export function showTables(state, recent) {
  showHubs(state.hubs, recent);
  showClosed(recent);
  showTrouble(recent);
  showQueues(recent.now);
}

const hubLabels = ['', 'Upstream', 'Breaker', 'Connections', 'In/s', 'Out/s', 'In flight', 'Waiting', 'p50', 'p99', 'Events/s', 'Not ok/min'];
const breakers = ['closed', 'half-open', 'open'];

function showHubs(hubs, recent) {
  const { now } = recent;
  const [three, ten, minute] = [3, 10, 60].map((s) => recent.before(s));
  fill(find('#hubs tbody'), hubs, (h) => h.name, () => cells(hubLabels.length, [3, 4, 5, 6, 7, 8, 9, 10, 11], hubLabels), (row, { name, upstream }) => {
    const hub = { hub: name };
    const breaker = now.value('sluice_upstream_breaker_state', hub) ?? 0;
    const told = upstream !== 'echo'; // that one is built in: it cannot fail
    const answers = (q) => (told ? seconds(quantile(ten, now, 'sluice_upstream_request_duration_seconds', q, hub)) : '–');
    const failed = grown(minute, now, 'sluice_upstream_requests_total', hub) - grown(minute, now, 'sluice_upstream_requests_total', { ...hub, outcome: 'ok' });
    [
      name,
      upstream,
      told ? breakers[breaker] : '–',
      count(now.value('sluice_connections', hub) ?? 0),
      short(rate(three, now, 'sluice_messages_received_total', hub)),
      short(rate(three, now, 'sluice_messages_sent_total', hub)),
      told ? count(now.value('sluice_upstream_in_flight', hub)) : '–',
      told ? count(now.value('sluice_upstream_waiting', hub)) : '–',
      answers(0.5),
      answers(0.99),
      told ? short(rate(ten, now, 'sluice_upstream_requests_total', hub)) : '–',
      told ? count(failed) : '–',
    ].forEach((text, i) => say(row.cells[i], text));
    mark(row.cells[2], 'data-level', told ? ['good', 'warn', 'bad'][breaker] : 'idle');
    mark(row.cells[11], 'data-level', failed > 0 ? 'warn' : 'idle');
  });
}

function showClosed(recent) {
  const { now } = recent;
  const minute = recent.before(60);
  const name = 'sluice_connections_closed_total';
  const ends = new Map(); // of all hubs together
  now.series(name).forEach(({ labels: { reason, code, initiator } }) => ends.set(`${reason} ${code}`, { reason, code, initiator }));
  const rows = [...ends].map(([key, labels]) => ({
    key,
    texts: [words(labels.reason), labels.code, labels.initiator],
    last: grown(minute, now, name, labels),
    total: now.value(name, labels),
  }));
  showCounts('#closed', rows, 'No connection has ended yet.');
}

// What has gone wrong is counted in several metrics, by the label that says why.
const trouble = [
  ['sluice_handshakes_total', 'result', 'handshake'],
  ['sluice_protocol_errors_total', 'kind', 'protocol error'],
  ['sluice_rate_limited_total', 'scope', 'rate limit'],
  ['sluice_messages_dropped_total', 'reason', 'message dropped'],
  ['sluice_auth_failures_total', 'reason', 'token or key'],
  ['sluice_accept_errors_total', 'errno', 'accept'],
  ['sluice_upstream_lost_total', 'event', 'event lost'],
];

function showTrouble(recent) {
  const { now } = recent;
  const minute = recent.before(60);
  const rows = trouble.flatMap(([name, label, what]) => {
    const values = new Set(now.series(name).filter((s) => s.value > 0).map((s) => s.labels[label]));
    if (label === 'result') ['ok', 'http'].forEach((fine) => values.delete(fine));
    return [...values].map((value) => ({
      key: `${name} ${value}`,
      texts: [what, words(value)],
      last: grown(minute, now, name, { [label]: value }),
      total: now.value(name, { [label]: value }),
    }));
  });
  const panics = now.value('sluice_panics_total');
  if (panics > 0) rows.push({ key: 'panic', texts: ['panic', 'a bug: see the log'], last: grown(minute, now, 'sluice_panics_total'), total: panics });
  showCounts('#trouble', rows, 'Nothing yet.');
}

// showCounts fills a table of counts, the largest first, or says that there are none.
function showCounts(selector, rows, none) {
  const table = find(selector);
  const columns = table.tHead.rows[0].cells.length;
  rows.sort((a, b) => b.total - a.total || a.key.localeCompare(b.key));
  if (rows.length === 0) rows.push({ key: '', texts: [none], last: null, total: null });
  fill(table.tBodies[0], rows, (r) => r.key, () => cells(columns, [columns - 2, columns - 1]), (row, r) => {
    r.texts.forEach((text, i) => say(row.cells[i], text));
    say(row.cells[columns - 2], r.last === null ? '' : count(r.last));
    say(row.cells[columns - 1], r.total === null ? '' : count(r.total));
    mark(row, 'data-level', r.last > 0 ? 'now' : 'idle');
  });
}

const queues = [
  ['connections', 'sluice_connections', 'sluice_connections_limit', count],
  ['buffered bytes', 'sluice_buffered_bytes', 'sluice_buffered_bytes_limit', bytes],
  ['bytes for clients to read', 'sluice_send_queue_bytes', null, bytes],
  ['parked sessions', 'sluice_parked_sessions', null, count],
  ['events at upstreams', 'sluice_upstream_in_flight', null, count],
  ['events waiting', 'sluice_upstream_waiting', null, count],
  ['handshakes under way', 'sluice_handshakes_in_flight', null, count],
  ['HTTP connections', 'sluice_http_connections', null, count],
  ['left to drain', 'sluice_drain_remaining_connections', null, count],
];

function showQueues(now) {
  fill(find('#queues tbody'), queues, ([what]) => what, ([what, , limit]) => {
    const row = cells(3, [1, 2]);
    row.cells[0].append(what);
    row.cells[1].append(element('span'));
    if (limit) row.cells[1].append(element('i', { class: 'bar', 'aria-hidden': 'true' }));
    return row;
  }, (row, [, name, limit, write]) => {
    const value = now.value(name) ?? 0;
    const most = limit && now.value(limit);
    say(row.cells[1].firstChild, write(value));
    if (most) row.cells[1].lastChild.style.setProperty('--share', Math.min(1, value / most));
    say(row.cells[2], most ? write(most) : '');
    mark(row, 'data-level', most && value / most > 0.9 ? 'bad' : 'idle');
  });
}
