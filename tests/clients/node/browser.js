// The browser example in headless Chromium, over gRPC-Web, against the binary given as the first argument.
'use strict';

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { chromium } = require('playwright-core');
const { Server, Scenario, run } = require('./served.js');

const BUILT = path.join(__dirname, '..', '..', '..', 'examples', 'browser', 'dist');
const TYPES = { '.html': 'text/html', '.js': 'text/javascript' };
const WAIT_MS = 60_000;

// The built page, at an origin of its own.
function pages() {
  const server = http.createServer((request, response) => {
    const name = request.url.split('?')[0] === '/' ? '/index.html' : request.url.split('?')[0];
    const file = path.join(BUILT, path.basename(name));
    if (!fs.existsSync(file)) return response.writeHead(404).end();
    return response.writeHead(200, { 'content-type': TYPES[path.extname(file)] }).end(fs.readFileSync(file));
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

class Page {
  constructor(page, origin) {
    Object.assign(this, { page, origin });
  }

  // Watches as somebody would who fills the form.
  async watch(server, workspace, token = '') {
    await this.page.goto(`${this.origin}/?server=http://${server.address}&workspace=${workspace}`);
    await this.page.getByLabel('Token').fill(token);
    await this.page.getByRole('button', { name: 'Watch' }).click();
  }

  async send(events) {
    await this.page.getByLabel('Events').fill(events.map((event) => JSON.stringify(event)).join('\n'));
    await this.page.getByRole('button', { name: 'Send' }).click();
  }

  async shows(id, wanted) {
    const found = () => this.page.locator(`#${id}`).textContent();
    const deadline = Date.now() + WAIT_MS;
    while (!wanted.test(await found())) {
      assert(Date.now() < deadline, `#${id} shows ${JSON.stringify(await found())}, not ${wanted}`);
      await this.page.waitForTimeout(50);
    }
  }
}

// As JSON has times.
function written(event) {
  const time = ({ seconds, nanos }) => new Date(seconds * 1_000 + nanos / 1e6).toISOString();
  const task = event.task?.date_created ? { ...event.task, date_created: time(event.task.date_created) } : event.task;
  return { ...event, timestamp: time(event.timestamp), ...(task && { task }) };
}

const checks = {
  'a page of a named origin sends events and watches the figures of the contract\'s own example': async (world) => {
    const { page, server, scenario } = world;
    const events = scenario.events().map(written);
    await page.watch(server, scenario.workspace);
    // Before the first event nobody knows the workspace.
    await page.shows('state', /^NotFound WORKSPACE_NOT_FOUND workspace_sid=WS/);
    await page.send([...events, { ...events[7], sid: `EV${'9'.repeat(32)}`, task: {} }]);
    await page.shows('told', new RegExp(`^accepted ${events.length}, duplicates 0, rejected 1\nevent ${events.length + 1} .*MISSING_FIELD task`));
    await page.watch(server, scenario.workspace);
    const { total_tasks: tasks, total_workers: workers } = scenario.expected('realtime');
    await page.shows('tasks', new RegExp(`^${tasks}$`));
    await page.shows('workers', new RegExp(`^${workers}$`));
    await page.shows('longest', /^\d+ s$/);
  },

  'a killed server is told as stale, and is live again by itself': async ({ page, server, scenario }) => {
    await page.watch(server, scenario.workspace);
    await page.shows('state', /^live$/);
    await server.kill();
    await page.shows('state', /^stale: Unavailable/);
    await server.restart();
    await page.shows('state', /^live$/);
  },

  'an error is told with its reason and every bad field': async ({ page, server }) => {
    await page.watch(server, 'WSx');
    await page.shows('state', /^InvalidArgument BAD_FIELDS.*\n {2}workspace_sid: must be WS/);
  },

  'a page shows a token, and is told without one': async ({ page, binary, scenario }) => {
    const made = execFileSync(binary, ['credentials', 'new', '--name', 'page', '--roles', 'read,ingest'], {
      stdio: ['ignore', 'pipe', fs.openSync(path.join(page.folder, 'token'), 'w')],
    });
    const file = path.join(page.folder, 'credentials.toml');
    fs.writeFileSync(file, made);
    const token = fs.readFileSync(path.join(page.folder, 'token'), 'utf8').trim().split(/\s+/).pop();
    const server = await Server.start(binary, '--credentials', file, '--http-cors-origin', page.origin);
    try {
      await page.watch(server, scenario.workspace);
      await page.shows('state', /^Unauthenticated CREDENTIALS_MISSING/);
      await page.watch(server, scenario.workspace, token);
      await page.shows('state', /^NotFound WORKSPACE_NOT_FOUND/);
    } finally {
      await server.stop();
    }
  },

  'a page of another origin reaches nothing': async ({ page, binary, scenario }) => {
    const server = await Server.start(binary, '--http-cors-origin', 'http://elsewhere.example');
    try {
      await page.watch(server, scenario.workspace);
      // What a browser keeps from a page it does not explain to it.
      await page.shows('state', /^stale: Unavailable : Failed to fetch/);
    } finally {
      await server.stop();
    }
  },
};

async function main() {
  const binary = process.argv[2];
  const served = await pages();
  const origin = `http://127.0.0.1:${served.address().port}`;
  const server = await Server.start(binary, '--http-cors-origin', origin);
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
  const page = new Page(await browser.newPage(), origin);
  page.folder = server.folder;
  const failed = await run('examples/browser', checks, { binary, page, server, scenario: new Scenario(server.address) });
  await browser.close();
  await server.stop();
  served.close();
  process.exit(failed ? 1 : 0);
}

main();
