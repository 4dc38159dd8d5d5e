// Does it work at all? A few clients for a few seconds, and one that sends
// messages of every length at which the frame's header changes (RFC 6455,
// section 5.2). Everything must be right.
import { Client } from './lib/client.js';
import { crowd, gracefulStop, stay } from './lib/crowd.js';
import { settings } from './lib/env.js';
import { thresholds } from './lib/metrics.js';

const set = settings({ connections: 5, duration: '3s', rate: 50 });

export const options = {
  scenarios: {
    lengths: { executor: 'per-vu-iterations', vus: 1, maxDuration: '1m', exec: 'lengths', gracefulStop },
    clients: crowd({ clients: set.connections, duration: set.duration }),
  },
  thresholds: {
    ...thresholds(set, 1, '{scenario:clients}'),
    // Here k6 is busy with its own long messages.
    ...thresholds({ p99: 10 * set.p99, connectP99: set.connectP99 }, 1, '{scenario:lengths}'),
    ws_ping: ['min>0'], // of no samples it is 0
  },
};

export function lengths() {
  new Client(set.url, (client) => {
    client.socket.ping();
    for (const length of [0, 1, 125, 126, 65535, 65536]) {
      client.send('x'.repeat(length));
      client.send(new Uint8Array(length).map((_, i) => i).buffer);
    }
    client.send('κόσμε 👋');
    client.leave();
  });
}

export default function () {
  stay(set, set.connections / set.rate);
}
