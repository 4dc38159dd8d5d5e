// A Sample is the node's metrics at one moment. Counters only grow, so that what
// happened meanwhile is the difference of two samples.

export class Sample {
  constructor(state) {
    this.time = state.time / 1000; // seconds
    this.metrics = state.metrics;
  }

  // series returns those of a metric that have all of the labels.
  series(name, labels = {}) {
    const wanted = Object.entries(labels);
    return (this.metrics[name] ?? []).filter((s) => wanted.every(([k, v]) => s.labels?.[k] === v));
  }

  // value sums a counter, a gauge, or the count of a histogram; null if there is none.
  value(name, labels) {
    const list = this.series(name, labels);
    return list.length === 0 ? null : list.reduce((sum, s) => sum + s.value, 0);
  }
}

// grown is how much a counter has grown between two samples. A series that was
// not there before has grown from 0.
export const grown = (from, to, name, labels) => Math.max(0, (to.value(name, labels) ?? 0) - (from.value(name, labels) ?? 0));

// rate is the same for each second.
export const rate = (from, to, name, labels) => grown(from, to, name, labels) / Math.max(0.001, to.time - from.time);

// quantile estimates one of what a histogram observed between two samples, as
// Prometheus does: evenly spread within its bucket, and over the last bound that
// bound. It is null if there was nothing.
export function quantile(from, to, name, q, labels) {
  const buckets = new Map();
  let total = 0;
  for (const [sample, sign] of [[to, 1], [from, -1]]) {
    for (const s of sample.series(name, labels)) {
      total += sign * s.value;
      for (const [bound, n] of s.buckets ?? []) buckets.set(bound, (buckets.get(bound) ?? 0) + sign * n);
    }
  }
  if (total <= 0) return null;
  const rank = q * total;
  let [low, below] = [0, 0];
  for (const [bound, n] of [...buckets].sort(([a], [b]) => a - b)) {
    if (n >= rank) return n === below ? bound : low + (bound - low) * (rank - below) / (n - below);
    [low, below] = [bound, n];
  }
  return low;
}

// Recent keeps the samples of the last minute.
export class Recent {
  #samples = [];

  // add takes the newest. It returns false if the node has been restarted, whose
  // counters began anew: then the others are gone.
  add(sample) {
    const began = (s) => s.value('process_start_time_seconds');
    const same = this.#samples.length === 0 || began(this.#samples[0]) === began(sample);
    if (!same) this.#samples = [];
    this.#samples.push(sample);
    while (this.#samples.length > 2 && this.#samples[1].time <= sample.time - 60) this.#samples.shift();
    return same;
  }

  get now() {
    return this.#samples.at(-1);
  }

  // before returns the sample of so many seconds ago, or the oldest there is.
  before(seconds) {
    const at = this.now.time - seconds - 0.5;
    return this.#samples.find((s) => s.time >= at) ?? this.now;
  }
}
