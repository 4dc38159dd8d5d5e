// Does it last? For hours a tenth of the clients talks, and the others are
// silent, so that only heartbeats keep them; as they leave, each sends one
// message to show that its connection still works.
import { crowd, stay } from './lib/crowd.js';
import { settings } from './lib/env.js';
import { thresholds } from './lib/metrics.js';

const set = settings({ connections: 500, duration: '2h', rate: 50 });
const talkers = Math.ceil(set.connections / 10);
const ramp = set.duration / 60;

export const options = {
  scenarios: {
    talking: crowd({ clients: talkers, ramp, duration: set.duration }),
    silent: crowd({ clients: Math.max(1, set.connections - talkers), ramp, duration: set.duration, exec: 'silent' }),
  },
  thresholds: {
    ...thresholds(set, 0.999, '{scenario:talking}'),
    // Their one message comes from all at the same moment.
    ...thresholds({ p99: 10 * set.p99, connectP99: set.connectP99 }, 0.999, '{scenario:silent}'),
  },
};

export function silent() {
  stay(set, Infinity);
}

export default function () {
  stay(set, talkers / set.rate);
}
