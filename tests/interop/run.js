// Runs throng against other people's WebSocket programs, with and without compression:
//
//     node tests/interop/run.js [part of a pairing's name]
//
// our server with node's `ws`, Python's `websockets` and Chromium; our client, which is
// examples/interop.rs, with `ws` and `websockets`. THRONG and CLIENT name the programs where they
// are not in target/release. Installs nothing: that is done by tests/run.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const THRONG = process.env.THRONG ?? here('../../target/release/throng');
const CLIENT = process.env.CLIENT ?? here('../../target/release/examples/interop');
const PYTHON = here('venv/bin/python');
const MODES = ['off', 'shared', 'dedicated'];
const START_MS = 10_000;
const PAIRING_MS = 120_000;
const LANES = 3;

const running = new Set();
let passed = 0;
let failed = 0;

function start(command) {
  const child = spawn(command[0], command.slice(1), { stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, THRONG_LOG: 'warn' } });
  child.lines = createInterface({ input: child.stdout });
  child.ended = new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message)); // it could not be started
    child.once('close', (code, signal) => resolve(code ?? signal));
  });
  child.stdin.on('error', () => {}); // it has ended, and `ended` says so
  running.add(child);
  child.ended.then(() => running.delete(child));
  return child;
}

// Starts a server, and gives it with the WebSocket URL from the first line that it prints.
async function startServer(command) {
  const child = start(command);
  let timer;
  const line = await Promise.race([
    new Promise((resolve) => { child.lines.once('line', resolve); }),
    child.ended.then((code) => `ended with ${code}`),
    new Promise((resolve) => { timer = setTimeout(resolve, START_MS, 'silence'); }),
  ]);
  clearTimeout(timer);
  child.url = /^listening on (?:http|ws):(\/\/\S+)$/.exec(line)?.[1];
  if (!child.url) throw new Error(`${command.join(' ')}: ${line}`);
  child.url = `ws:${child.url}`;
  return child;
}

async function stop(child) {
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), START_MS);
  const code = await child.ended;
  clearTimeout(timer);
  return code;
}

function report(pairing, line) {
  const ok = line.startsWith('ok ');
  if (ok) passed += 1; else failed += 1;
  const [, verdict, test] = /^(\S+) (.*)$/.exec(line);
  console.log(`${verdict.padEnd(6)} ${pairing}: ${test}`);
}

// Runs a client to its end. Each line that it prints is a test; one may ask to stop the server.
async function runClient(pairing, command, server) {
  const client = start(command);
  let tests = 0;
  client.lines.on('line', (line) => {
    if (line === 'stop the server') {
      server.kill('SIGTERM');
      client.stdin.write('stopping\n');
    } else if (/^(ok|FAILED) /.test(line)) {
      tests += 1;
      report(pairing, line);
    } else {
      console.log(`       ${pairing}: ${line}`);
    }
  });
  const timer = setTimeout(() => client.kill('SIGKILL'), PAIRING_MS);
  const code = await client.ended;
  clearTimeout(timer);
  if (code !== 0) report(pairing, `FAILED the client ended with ${code}`);
  else if (tests === 0) report(pairing, 'FAILED the client tested nothing');
}

const echo = (mode, ...options) => [THRONG, 'echo', '--listen', '127.0.0.1:0', '--compress', mode,
  '--max-message', String(16 << 20), ...options];

const CLIENTS = {
  chromium: [process.execPath, here('clients/chromium.js')],
  ws: [process.execPath, here('clients/ws.js')],
  websockets: [PYTHON, here('clients/python_websockets.py')],
};
const SERVERS = {
  ws: [process.execPath, here('servers/ws.js')],
  websockets: [PYTHON, here('servers/python_websockets.py')],
};

// One pairing: how it is called, and what runs it.
function* pairings(impatient) {
  for (const [name, command] of Object.entries(CLIENTS)) {
    for (const mode of MODES) {
      // A browser offers compression, and cannot be told not to.
      for (const offer of name === 'chromium' ? ['offer'] : ['offer', 'plain']) {
        const pairing = `throng echo (${mode}), client ${name} (${offer})`;
        yield [pairing, async () => {
          const server = await startServer(echo(mode));
          await runClient(pairing, [...command, server.url, mode, offer, impatient.url], server);
          const code = await stop(server);
          if (code !== 0) report(pairing, `FAILED the server ended with ${code}`);
        }];
      }
    }
  }
  for (const [name, command] of Object.entries(SERVERS)) {
    for (const deflate of ['off', 'deflate']) {
      for (const mode of MODES) {
        const pairing = `client of throng (${mode}), server ${name} (${deflate})`;
        yield [pairing, async () => {
          const server = await startServer([...command, deflate]);
          const wanted = deflate === 'deflate' && mode !== 'off' ? 'compressed' : 'plain';
          await runClient(pairing, [CLIENT, server.url, mode, wanted], server);
          await stop(server);
        }];
      }
    }
  }
}

async function lane(jobs) {
  for (let job = jobs.next(); !job.done; job = jobs.next()) {
    const [pairing, run] = job.value;
    await run().catch((error) => report(pairing, `FAILED to run: ${error.message}`));
  }
}

process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

const wanted = process.argv[2] ?? '';
const impatient = await startServer(echo('shared', '--ping-interval', '0.2', '--pong-timeout',
  '0.6'));
const jobs = [...pairings(impatient)].filter(([pairing]) => pairing.includes(wanted)).values();
await Promise.all(Array.from({ length: LANES }, () => lane(jobs)));
await stop(impatient);
console.log(`${passed} passed, ${failed} failed`);
process.exit(passed > 0 && failed === 0 ? 0 : 1);
