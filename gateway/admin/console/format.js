// How figures are written. All of them take null for "not known".

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const three = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });
const none = '–';

const scaled = (value, base, units) => {
  let i = 0;
  while (Math.abs(value) >= base * 0.9995 && i < units.length - 1) {
    value /= base;
    i++;
  }
  return [value < 1000 ? three.format(value) : whole.format(value), units[i]];
};

export const count = (n) => (n === null ? none : whole.format(n));

// short is for axes and rates: 950, 12.3k, 4.56M.
export const short = (n) => (n === null ? none : scaled(Math.round(n * 100) / 100, 1000, ['', 'k', 'M', 'G']).join(''));

export const bytes = (n) => (n === null ? none : scaled(n, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB']).join('\u00a0'));

// seconds is for durations from microseconds on.
export function seconds(s) {
  if (s === null) return none;
  if (s === 0) return '0';
  if (s < 0.001) return `${three.format(s * 1e6)}\u00a0µs`;
  if (s < 1) return `${three.format(s * 1e3)}\u00a0ms`;
  return `${three.format(s)}\u00a0s`;
}

export const percent = (share) => (share === null ? none : `${three.format(share * 100)}\u00a0%`);

// ago writes how long something has been going on, in its two largest units.
export function ago(s) {
  const parts = [['d', 86400], ['h', 3600], ['min', 60], ['s', 1]];
  const out = [];
  for (const [unit, size] of parts) {
    const n = Math.floor(s / size);
    s -= n * size;
    if (n > 0 || unit === 's' && out.length === 0) out.push(`${n}\u00a0${unit}`);
    if (out.length === 2) break;
  }
  return out.join(' ');
}

const two = (n) => String(n).padStart(2, '0');

// clock is the time of day of Unix milliseconds, to the millisecond.
export function clock(ms) {
  const d = new Date(ms);
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}.${String(d.getMilliseconds()).padStart(3, '0')}`;
}

// words makes a label's value readable: slow_consumer_age.
export const words = (label) => label.replaceAll('_', ' ');
