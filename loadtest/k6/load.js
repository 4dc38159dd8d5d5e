// Does it hold what is expected of it? Clients come during the first tenth of
// the time, stay, and talk.
import { crowd, stay } from './lib/crowd.js';
import { settings } from './lib/env.js';
import { thresholds } from './lib/metrics.js';

const set = settings({ connections: 100, duration: '1m' });

export const options = {
  scenarios: {
    clients: crowd({ clients: set.connections, ramp: set.duration / 10, duration: set.duration }),
  },
  thresholds: thresholds(set, 0.999),
};

export default function () {
  stay(set, set.connections / set.rate);
}
