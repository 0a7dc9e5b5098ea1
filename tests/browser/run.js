// Runs the browser tests: node run.js [part of a test's name]

import { Server, Tabs, launchBrowser } from './support.js';
import { chat } from './tests/chat.js';
import { client } from './tests/client.js';
import { connection } from './tests/connection.js';
import { look } from './tests/look.js';
import { tokens } from './tests/tokens.js';

const wanted = process.argv[2] ?? '';
const tests = Object.entries({ ...chat, ...client, ...connection, ...look, ...tokens })
  .filter(([name]) => name.includes(wanted));
const TEST_MS = 60_000;

let passed = 0;
let failed = 0;
const server = await Server.start();
const browser = await launchBrowser();

for (const [name, test] of tests) {
  const started = Date.now();
  const tabs = new Tabs(browser, server);
  let timer;
  try {
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`took more than ${TEST_MS / 1000} s`)), TEST_MS);
    });
    await Promise.race([test({ browser, server, tabs }), late]);
    await tabs.close();
    passed += 1;
    console.log(`ok     ${name} (${Date.now() - started} ms)`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${name}\n${String(error.stack ?? error).replace(/^/gm, '       ')}`);
    await tabs.close().catch(() => {});
  } finally {
    clearTimeout(timer);
  }
}

await browser.close();
await server.stop();
if (tests.length === 0) console.log(`no test has "${wanted}" in its name`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || tests.length === 0 ? 1 : 0;
