// The dashboard's charts: the last five minutes of numbers, drawn by uPlot (a global). They never
// ask for anything.

import { bytes, clock, count, make, time } from './admin-words.js';

const uPlot = globalThis.uPlot;
const SPAN_S = 300;
const SPAN_MIN_S = 60;
const HEIGHT = 180;

const POWERS_OF_TWO = Array.from({ length: 45 }, (_, power) => 2 ** power);

const CHARTS = [
  { id: 'messages', title: 'Messages a second', format: count,
    series: [['in', 'In', (now) => now.rates?.messages_in],
      ['out', 'Out', (now) => now.rates?.messages_out]] },
  { id: 'bytes', title: 'Bytes a second', format: bytes, incrs: POWERS_OF_TWO,
    series: [['in', 'In', (now) => now.rates?.bytes_in],
      ['out', 'Out', (now) => now.rates?.bytes_out]] },
  { id: 'times', title: 'Fan-out time, and loop lag', format: time,
    series: [['p99', 'p99', (now) => now.fan_out.p99_us],
      ['p50', 'p50', (now) => now.fan_out.p50_us],
      ['lag', 'Lag', (now) => Math.max(...now.loops.map((each) => each.lag_us))]] },
  { id: 'connections', title: 'Open connections', format: count,
    series: [['open', 'Open', (now) => now.connections.open]] },
];

const STYLES = [
  { colour: '--accent', fill: '--accent-fill', width: 2 },
  { colour: '--second', width: 1.5 },
  { colour: '--second', width: 1.5, dash: [4, 4] },
];

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// A value between two that are missing is no line: it gets a point.
function alone(plot, series) {
  const values = plot.data[series];
  return values.flatMap((value, at) => (
    value != null && values[at - 1] == null && values[at + 1] == null ? [at] : []));
}

class Chart {
  constructor(plan, at) {
    this.plan = plan;
    this.at = at; // the times of all charts
    this.values = plan.series.map(() => []);
    this.keys = plan.series.map(([name, words]) => {
      const value = make('b', 'key-value', '–');
      const key = make('span', 'key', words, value);
      key.dataset.series = name;
      key.value = value;
      return key;
    });
    this.keys.forEach((key, index) => { key.dataset.style = index; });
    this.place = make('div', 'plot');
    this.place.setAttribute('role', 'img');
    this.place.setAttribute('aria-label', `${plan.title}, the last five minutes`);
    this.element = make('div', 'panel chart',
      make('div', 'chart-head', make('h3', '', plan.title), make('p', 'keys', ...this.keys)),
      this.place);
    this.element.id = `chart-${plan.id}`;
  }

  build() {
    this.plot?.destroy();
    const { format, incrs } = this.plan;
    const axis = (values, more) => ({ stroke: colour('--muted'), gap: 6, ticks: { show: false },
      grid: { stroke: colour('--grid'), width: 1 }, font: '12px system-ui, sans-serif',
      values: (_, splits) => splits.map(values), ...more });
    this.plot = new uPlot({
      width: this.place.clientWidth, height: HEIGHT, padding: [10, 24, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
      scales: { x: { range: () => this.range() },
        y: { range: (_, __, max) => [0, (max || 1) * 1.12] } },
      axes: [axis((at) => clock(at * 1000), { size: 28, space: 70, incrs: [15, 30, 60, 120],
        grid: { show: false } }), axis(format, { size: 64, space: 36, ...(incrs && { incrs }) })],
      series: [{}, ...this.plan.series.map((_, index) => {
        const { colour: stroke, fill, ...style } = STYLES[index];
        return { stroke: colour(stroke), fill: fill && index === 0 ? colour(fill) : undefined,
          points: { show: false, filter: alone, size: 4, fill: colour(stroke) }, ...style };
      })],
      hooks: { setCursor: [() => this.tell()] },
    }, this.data(), this.place);
    this.place.plot = this.plot;
  }

  range() {
    const last = this.at.at(-1) ?? Date.now() / 1000;
    const span = Math.min(SPAN_S, Math.max(SPAN_MIN_S, last - (this.at[0] ?? last)));
    return [last - span, last];
  }

  data() { return [this.at, ...this.values]; }

  draw() {
    this.plot.setData(this.data());
    this.tell();
  }

  // The values under the cursor, else the last.
  tell() {
    const at = this.plot?.cursor.idx ?? this.at.length - 1;
    this.keys.forEach((key, index) => {
      const value = this.values[index][at];
      const text = value == null ? '–' : this.plan.format(value);
      if (key.value.textContent !== text) key.value.textContent = text;
    });
  }
}

export class Charts {
  #at = [];
  #charts;

  constructor(place) {
    this.#charts = CHARTS.map((plan) => new Chart(plan, this.#at));
    place.append(...this.#charts.map((chart) => chart.element));
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#build());
    document.addEventListener('visibilitychange', () => this.#draw());
    new ResizeObserver(() => {
      for (const { place: within, plot } of this.#charts) {
        const width = within.clientWidth;
        if (plot && width > 0 && width !== plot.width) plot.setSize({ width, height: HEIGHT });
      }
    }).observe(place);
  }

  // Takes a snapshot, or null where there is a gap.
  add(now, at = Date.now()) {
    this.#at.push(at / 1000);
    for (const { plan, values } of this.#charts) {
      plan.series.forEach(([, , value], index) => {
        values[index].push(now ? value(now) ?? null : null);
      });
    }
    while (this.#at[0] < at / 1000 - SPAN_S) {
      this.#at.shift();
      for (const { values } of this.#charts) values.forEach((each) => each.shift());
    }
    this.#draw();
  }

  #build() { this.#charts.forEach((chart) => chart.build()); }

  #draw() {
    if (document.hidden) return;
    if (!this.#charts[0].plot) this.#build();
    this.#charts.forEach((chart) => chart.draw());
  }
}
