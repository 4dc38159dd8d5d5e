// History is what the curves are drawn of: a point a second, as columns.
export class History {
  #most;
  times = []; // seconds
  columns; // by name

  constructor(names, most) {
    this.#most = most;
    this.columns = Object.fromEntries(names.map((name) => [name, []]));
  }

  add(time, point) {
    this.times.push(time);
    for (const [name, column] of Object.entries(this.columns)) column.push(point[name] ?? null);
    if (this.times.length > this.#most) {
      this.times.shift();
      for (const column of Object.values(this.columns)) column.shift();
    }
  }

  clear() {
    this.times.length = 0;
    for (const column of Object.values(this.columns)) column.length = 0;
  }
}
