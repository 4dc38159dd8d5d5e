// Do newcomers disturb those who are there? RATE clients a second connect,
// have one message echoed and leave, beside CONNECTIONS that stay and send one
// message a second each.
import { Client, message } from './lib/client.js';
import { crowd, gracefulStop, stay } from './lib/crowd.js';
import { settings } from './lib/env.js';
import { thresholds } from './lib/metrics.js';

const set = settings({ connections: 100, duration: '1m', rate: 200 });

export const options = {
  scenarios: {
    steady: crowd({ clients: set.connections, duration: set.duration, exec: 'steady' }),
    storm: {
      executor: 'constant-arrival-rate',
      rate: Math.ceil(set.rate),
      duration: `${set.duration}s`,
      preAllocatedVUs: Math.ceil(set.rate), // enough for visits of a second each
      gracefulStop,
    },
  },
  thresholds: {
    ...thresholds(set, 1, '{scenario:steady}'),
    ...thresholds({ p99: 10 * set.p99, connectP99: set.connectP99 }, 0.999, '{scenario:storm}'),
    dropped_iterations: ['count==0'], // else the storm was milder than planned
  },
};

export function steady() {
  stay(set, 1);
}

export default function () {
  new Client(set.url, (client) => {
    client.send(message(set.size));
    client.leave();
  });
}
