// Where does it end? Clients come, all the time and at the same pace, until a
// threshold breaks: the run then stops with k6's status 99, and the number of
// VUs that it names is how many there were. A run that ends with 0 did not get
// there.
import { crowd, stay } from './lib/crowd.js';
import { settings } from './lib/env.js';
import { thresholds } from './lib/metrics.js';

const set = settings({ connections: 10000, duration: '10m' });

export const options = {
  scenarios: {
    clients: crowd({ clients: set.connections, ramp: set.duration, duration: set.duration }),
  },
  thresholds: abortOnFail(thresholds(set, 0.99)),
};

function abortOnFail(limits) {
  const abort = ([name, expressions]) => [name, expressions.map((threshold) => ({ threshold, abortOnFail: true }))];
  return Object.fromEntries(Object.entries(limits).map(abort));
}

export default function () {
  stay(set, set.connections / set.rate);
}
