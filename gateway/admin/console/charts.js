import uPlot from '/console/uplot/uPlot.esm.js';
import { element, find, say } from './dom.js';

const height = 128;
const dark = matchMedia('(prefers-color-scheme: dark)');

// Chart is a figure with curves: columns of the history, by their labels. Its
// legend says in words what they do: the values under the pointer, or else the
// last ones.
export class Chart {
  #plot = null;
  #box;
  #legend = []; // the columns, and where their values are written
  #write;
  #axis;
  #history;
  #span = 300;

  // write makes a text of a value. axis has the least height, and maybe the steps.
  constructor(parent, history, title, write, axis, curves) {
    this.#history = history;
    this.#write = write;
    this.#axis = axis;
    const legend = element('p', { class: 'legend' });
    for (const [name, label] of Object.entries(curves)) {
      const value = element('b');
      this.#legend.push([name, value]);
      legend.append(element('span', { class: `curve-${this.#legend.length}` }, `${label} `, value));
    }
    this.#box = element('div', { class: 'plot', 'aria-hidden': 'true' });
    parent.append(element('figure', { class: 'panel' }, element('figcaption', {}, element('h4', {}, title), legend), this.#box));
    new ResizeObserver(() => this.#resize()).observe(this.#box);
    dark.addEventListener('change', () => this.#make());
    this.#make();
  }

  // span is how many seconds are shown.
  set span(seconds) {
    this.#span = seconds;
    this.draw();
  }

  draw() {
    this.#plot.setData(this.#data());
    this.#tell();
  }

  #data() {
    return [this.#history.times, ...this.#legend.map(([name]) => this.#history.columns[name])];
  }

  #tell() {
    const at = this.#plot?.cursor.idx ?? this.#history.times.length - 1;
    for (const [name, value] of this.#legend) say(value, this.#write(this.#history.columns[name][at] ?? null));
  }

  #resize() {
    const width = this.#box.clientWidth;
    if (width > 0 && width !== this.#plot.width) this.#plot.setSize({ width, height });
  }

  // #make draws anew, in the colours that are in force.
  #make() {
    this.#plot?.destroy();
    const style = getComputedStyle(find(':root'));
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = {
      stroke: colour('--quiet'),
      font: '11px system-ui, sans-serif',
      grid: { stroke: colour('--grid'), width: 1 },
      ticks: { show: false },
      gap: 6,
    };
    const { least, steps } = this.#axis;
    this.#plot = new uPlot({
      width: this.#box.clientWidth || 300,
      height,
      padding: [8, 24, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, sync: { key: 'console' }, points: { size: 6 } },
      hooks: { setCursor: [() => this.#tell()] },
      scales: {
        x: { range: () => this.#shown() },
        y: { range: (_, low, high) => [0, Math.max(least, (high ?? 0) * 1.1)] },
      },
      axes: [
        { ...axis, size: 22, space: 64, values: (_, ticks, __, ___, step) => ticks.map((t) => time(t, step)) },
        { ...axis, size: 62, space: 30, ...(steps && { incrs: steps }), values: (_, ticks) => ticks.map(this.#write) },
      ],
      series: [{}, ...this.#legend.map((_, i) => ({
        stroke: colour(`--curve-${i + 1}`),
        fill: i === 0 ? colour('--curve-fill') : undefined,
        width: 1.5,
        points: { show: false },
      }))],
    }, this.#data(), this.#box);
  }

  // #shown is what there is, from a minute up to the span.
  #shown() {
    const { times } = this.#history;
    const end = times.at(-1) ?? Date.now() / 1000;
    return [Math.max(end - this.#span, Math.min(times[0] ?? end, end - 60)), end];
  }
}

// time writes the time of day, to the second where the steps are that small.
const time = (t, step) => new Date(t * 1000).toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit', ...(step < 60 && { second: '2-digit' }) });
