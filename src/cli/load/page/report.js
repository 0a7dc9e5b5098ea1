// Draws the data that stands in the page.
'use strict';

const data = JSON.parse(document.getElementById('data').textContent);
const element = (id) => document.getElementById(id);
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function add(parent, name, text, className) {
  const child = document.createElement(name);
  if (text !== undefined) child.textContent = text;
  if (className) child.className = className;
  parent.append(child);
  return child;
}

// ---- words and figures ----

function digits(number) {
  return Number(number.toPrecision(3)).toLocaleString('en', { maximumSignificantDigits: 3 });
}

function time(us) {
  if (us == null) return '–';
  if (us < 1e3) return `${digits(us)} µs`;
  return us < 1e6 ? `${digits(us / 1e3)} ms` : `${digits(us / 1e6)} s`;
}

function count(number) {
  if (number == null) return '–';
  if (number >= 1e6) return `${digits(number / 1e6)} M`;
  return number >= 1e4 ? `${digits(number / 1e3)} k` : digits(number);
}

// One in so many, as a share: 100 is 99 %.
function share(oneIn) {
  const percent = 100 - 100 / oneIn;
  const nines = Math.max(0, Math.round(Math.log10(oneIn)) - 2);
  return `${Number(percent.toFixed(nines))} %`;
}

// A number and its unit stay on one line.
function together(text) {
  return text.replace(/(\d) (µs|ms|s|B|KiB|MiB|GiB|%)(?!\w)/g, '$1\u00a0$2');
}

function fillPage() {
  document.title = `throng load: ${data.title}`;
  element('title').textContent = data.title;
  element('subtitle').textContent = data.subtitle;
  for (const text of [...data.examples.map((it) => `Error: ${it}`), ...data.warnings]) {
    add(element('warnings'), 'li', text);
  }
  for (const [name, value, words] of data.tiles) {
    const tile = add(element('tiles'), 'div', undefined, 'tile');
    add(tile, 'div', name, 'name');
    add(tile, 'div', together(value), 'value');
    add(tile, 'div', together(words), 'words');
  }
  for (const [name, value] of data.settings) {
    const row = add(element('settings'), 'tr');
    add(row, 'th', name).scope = 'row';
    add(row, 'td', value);
  }
  element('rate-title').textContent
    = `${data.unit[0].toUpperCase()}${data.unit.slice(1)} a second, second by second`;
}

// ---- charts ----

const axis = (values, size) => ({
  stroke: color('--muted'), grid: { stroke: color('--line'), width: 1 }, ticks: { show: false },
  font: '12px system-ui, sans-serif', values, size, gap: 6,
});

const line = (label, name, value, more = {}) => ({
  label, stroke: color(name), width: 2, value: (_, it) => value(it),
  points: { show: data.seconds.length < 30, size: 6 }, ...more,
});

// Tenfold steps are labelled; uPlot gives null for what lies between them.
const tenfold = (format) => (_, splits) => splits.map(
  (it) => (it != null && Number.isInteger(Math.round(Math.log10(it) * 1e6) / 1e6)
    ? format(it) : ''));

// A tenfold scale from a whole step below the least to one above the most.
function tenfoldRange(_, min, max) {
  const low = Math.floor(Math.log10(Math.max(min ?? 1, 0.1)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(max ?? 10, 1))));
  return [10 ** low, 10 ** high];
}

const secondsAxis = () => axis((_, splits) => splits.map(
  (it) => (Number.isInteger(it) ? `${it} s` : '')), 32);
const wholeSeconds = { time: false, range: (_, min, max) => (min === max ? [0, max + 1] : [min, max]) };

function rateChart() {
  const [at, rate] = [0, 1].map((column) => data.seconds.map((row) => row[column]));
  return {
    options: {
      scales: { x: wholeSeconds, y: { range: (_, __, max) => [0, (max || 1) * 1.1] } },
      axes: [secondsAxis(), axis((_, splits) => splits.map(count), 58)],
      series: [{ label: 'second', value: (_, it) => it ?? '–' },
        line(`${data.unit} a second`, '--series-1', count, { fill: color('--fill') })],
    },
    columns: [at, rate],
  };
}

function latencyChart() {
  const columns = [0, 2, 3, 4].map((column) => data.seconds.map((row) => row[column] || null));
  return {
    options: {
      scales: { x: wholeSeconds, y: { distr: 3, log: 10, range: tenfoldRange } },
      axes: [secondsAxis(), axis(tenfold(time), 58)],
      series: [{ label: 'second', value: (_, it) => it ?? '–' },
        line('half within', '--series-1', time), line('99 % within', '--series-2', time),
        line('slowest', '--series-3', time)],
    },
    columns,
  };
}

function curveChart() {
  const columns = [0, 1].map((column) => data.curve.map((point) => point[column] || null));
  return {
    options: {
      scales: { x: { time: false, distr: 3, log: 10, range: (_, min, max) => [min, Math.max(max, 10)] },
        y: { distr: 3, log: 10, range: tenfoldRange } },
      axes: [axis(tenfold(share), 32), axis(tenfold(time), 58)],
      series: [{ label: 'share', value: (_, it) => (it == null ? '–' : share(it)) },
        line('done within', '--series-1', time, { points: { show: false }, fill: color('--fill') })],
    },
    columns,
  };
}

function draw() {
  for (const [id, chart] of [['rate', rateChart], ['latency', latencyChart],
    ['curve', curveChart]]) {
    const place = element(id);
    const { options, columns } = chart();
    place.replaceChildren();
    if (columns[0].length === 0 || data.curve.length === 0) {
      element(`${id}-panel`).hidden = true;
      continue;
    }
    const width = place.clientWidth;
    const plot = new uPlot({ width, height: width < 500 ? 220 : 280, padding: [12, 18, 0, 0],
      cursor: { y: false, drag: { x: false, y: false } }, ...options }, columns, place);
    place.plot = plot;
  }
}

fillPage();
draw();
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
let drawnWidth = innerWidth;
addEventListener('resize', () => {
  if (innerWidth !== drawnWidth) {
    drawnWidth = innerWidth;
    draw();
  }
});
