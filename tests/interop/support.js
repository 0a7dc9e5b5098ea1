// What the clients in JavaScript share: the run of their tests, the payloads, the wishes.
//
// A client is started with: URL of a `throng echo`, its mode of compression, `offer` or `plain`,
// and the URL of one that pings a peer after 0.2 s of silence and cuts it 0.6 s later.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';

const TEST_MS = 20_000;
export const MIB = 1 << 20;

export const [url, mode, offer, impatientUrl] = process.argv.slice(2);
assert(['offer', 'plain'].includes(offer), 'usage: URL off|shared|dedicated offer|plain URL');
export const offered = offer === 'offer';
export const compressed = offered && mode !== 'off';

// Runs each test and prints a line for it: `ok NAME` or `FAILED NAME: why`.
export async function runTests(tests) {
  for (const [name, test] of Object.entries(tests)) {
    let timer;
    try {
      const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`took more than ${TEST_MS / 1000} s`)), TEST_MS);
      });
      await Promise.race([test(), late]);
      console.log(`ok ${name}`);
    } catch (error) {
      console.log(`FAILED ${name}: ${String(error.stack ?? error).replace(/\n\s*/g, ' | ')}`);
    } finally {
      clearTimeout(timer);
    }
  }
}

// Text that shrinks to a few per cent, with characters of one to four bytes.
export function text(bytes) {
  const line = '{"type":"text","room":"lobby","content":"grüße, 世界, 🦀"}\n';
  const lineBytes = Buffer.byteLength(line);
  const whole = line.repeat(Math.floor(bytes / lineBytes));
  return whole + '.'.repeat(bytes % lineBytes);
}

export const noise = (bytes) => randomBytes(bytes);

// The same noise again and again, further apart than a small window reaches.
export const echoes = () => Buffer.concat(Array(64).fill(noise(4096)));

// Asks the runner to stop the server, and waits until it says that it has done so.
export async function stopServer() {
  console.log('stop the server');
  const lines = createInterface({ input: process.stdin });
  await new Promise((resolve) => { lines.once('line', resolve); });
  lines.close();
}
