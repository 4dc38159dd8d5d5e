// What happens beyond that? Clients come in four equal steps, leave together,
// and then a quarter comes back. Latency may suffer while all are there; after
// them it must be what it was.
import { crowd, stay } from './lib/crowd.js';
import { settings } from './lib/env.js';
import { thresholds } from './lib/metrics.js';

const set = settings({ connections: 1000, duration: '5m' });
const fifth = set.duration / 5;
const quarter = Math.ceil(set.connections / 4);

const step = (n) => crowd({ clients: quarter, start: n * fifth, ramp: fifth / 2, duration: (4 - n) * fifth });

export const options = {
  scenarios: {
    step1: step(0),
    step2: step(1),
    step3: step(2),
    step4: step(3),
    after: crowd({ clients: quarter, start: 4 * fifth, ramp: fifth / 2, duration: fifth }),
  },
  thresholds: {
    ...thresholds({ p99: 10 * set.p99, connectP99: 10 * set.connectP99 }, 0.99),
    ...thresholds(set, 0.999, '{scenario:after}'),
  },
};

export default function () {
  stay(set, set.connections / set.rate);
}
