// Does a crowd disturb those who are there? A tenth of the clients stays all
// the time; in the middle third the others come, all at once, and go again.
import { crowd, stay } from './lib/crowd.js';
import { settings } from './lib/env.js';
import { thresholds } from './lib/metrics.js';

const set = settings({ connections: 500, duration: '90s' });
const third = set.duration / 3;
const steady = Math.ceil(set.connections / 10);

export const options = {
  scenarios: {
    steady: crowd({ clients: steady, duration: set.duration }),
    crowd: crowd({ clients: Math.max(1, set.connections - steady), start: third, duration: third }),
  },
  thresholds: {
    ...thresholds(set, 1, '{scenario:steady}'),
    ...thresholds({ p99: 10 * set.p99, connectP99: 10 * set.connectP99 }, 0.99, '{scenario:crowd}'),
  },
};

export default function () {
  stay(set, set.connections / set.rate);
}
