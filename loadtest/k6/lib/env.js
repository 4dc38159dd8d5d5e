// What the caller says with -e NAME=VALUE. The README has the table.

// settings fills what the caller left open with a script's own defaults.
// Durations are in seconds, latencies in milliseconds, and rate is what all
// connections do together in a second.
export function settings(defaults) {
  const connections = number('CONNECTIONS', defaults.connections, 1);
  return {
    url: __ENV.URL || 'ws://127.0.0.1:8080/',
    connections: Math.ceil(connections),
    duration: seconds('DURATION', defaults.duration),
    rate: number('RATE', defaults.rate || connections, 0),
    size: number('SIZE', 128, 0),
    p99: number('P99', 100, 0),
    connectP99: number('CONNECT_P99', 1000, 0),
  };
}

function number(name, fallback, least) {
  const value = Number(__ENV[name] || fallback);
  if (!(value >= least && value < Infinity)) {
    throw new Error(`${name}=${__ENV[name]}: want a number of at least ${least}`);
  }
  return value;
}

const units = { h: 3600, m: 60, s: 1, ms: 0.001 };

function seconds(name, fallback) {
  const text = __ENV[name] || fallback;
  if (!/^(\d+(\.\d+)?(h|ms|m|s))+$/.test(text)) {
    throw new Error(`${name}=${text}: want a duration such as 90s or 1h30m`);
  }
  let sum = 0;
  for (const [, value, unit] of text.matchAll(/([\d.]+)(h|ms|m|s)/g)) {
    sum += Number(value) * units[unit];
  }
  return sum;
}
