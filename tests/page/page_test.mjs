// The chat page in a real browser against a real node: pick, ask, watch it stream, stop, see the ring.
// usage: node page_test.mjs EXO_BINARY CHROMIUM; needs web/node_modules (playwright-core).
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const { chromium } = createRequire(new URL('../../web/package.json', import.meta.url))('playwright-core');
const [exo, browserPath] = process.argv.slice(2);

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

const folder = mkdtempSync(join(tmpdir(), 'exo-page-'));
const ports = [await freePort(), await freePort()];
const discovery = await freePort();
const nodes = ports.map((port, i) =>
  spawn(exo, ['serve', '--interface', 'lo', '--name', ['study', 'kitchen'][i], '--port', port, '--peer-port', '0', '--discovery-port', discovery,
    '--secret', 'page test', '--data-dir', join(folder, `${i}`), '--threads', '1', '--model', 'exo-demo', '--min-stages', '2'], { stdio: 'ignore' }),
);
let browser;
try {
  browser = await chromium.launch({
    executablePath: browserPath,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  const page = await browser.newPage();
  const problems = [];
  page.on('pageerror', (error) => problems.push(error.message));
  const url = `http://127.0.0.1:${ports[0]}/`;
  for (let i = 0; ; ++i) {
    if (await page.goto(url).then(() => true, () => false)) break;
    assert(i < 100, 'the node does not serve the page');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }

  // The ring: both devices, all layers, ready.
  await page.getByText('ready · ring-memory-weighted').waitFor({ timeout: 30000 });
  const ring = page.getByRole('img', { name: 'The ring of devices' });
  assert.match(await ring.textContent(), /study.*layers 0–3|kitchen.*layers 0–3/);
  assert.match(await ring.textContent(), /layers 4–7/);

  // A question, answered as a stream, with its speed below.
  await page.getByLabel('Message').fill('What is exo?');
  await page.getByLabel('Message').press('Enter');
  const answer = page.locator('[data-role=assistant]').last();
  await answer.getByText(/tokens\/s/).waitFor({ timeout: 30000 });
  assert.match(await answer.textContent(), /exo/i);
  assert.equal(await page.locator('[data-role=user]').first().textContent().then((text) => text.trim()), 'What is exo?');

  // Stop ends an answer and the page goes on.
  await page.route('**/v1/chat/completions', (route) =>
    route.continue({ postData: JSON.stringify({ ...route.request().postDataJSON(), ignore_eos: true, max_tokens: 3000 }) }));
  await page.getByLabel('Message').fill('Tell me a story about a fox.');
  await page.getByRole('button', { name: 'Send' }).click();
  const story = page.locator('[data-role=assistant]').last();
  await page.waitForFunction((element) => element.textContent.length > 40, await story.elementHandle());
  await page.getByRole('button', { name: 'Stop' }).click();
  await story.getByText('stopped').waitFor();
  await page.getByRole('button', { name: 'Send' }).waitFor();

  // The conversation survives a reload; a new chat clears it.
  await page.reload();
  assert.equal(await page.locator('[data-role=user]').count(), 2);
  await page.getByRole('button', { name: 'New chat' }).click();
  assert.equal(await page.locator('[data-role=user]').count(), 0);

  // On a telephone the ring is behind a button.
  await page.setViewportSize({ width: 390, height: 800 });
  assert.equal(await ring.isVisible(), false);
  await page.getByRole('button', { name: '2 devices' }).click();
  assert.equal(await ring.isVisible(), true);
  assert.deepEqual(problems, []);
  console.log('the page works');
} finally {
  await browser?.close();
  for (const node of nodes) node.kill();
  rmSync(folder, { recursive: true, force: true });
}
