// A server of the built binary, a simulated centre in it, and a browser; what the checks share.
'use strict';

const { execFile, spawn } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const readline = require('node:readline');
const { promisify } = require('node:util');
const { chromium } = require('playwright-core');

const run = promisify(execFile);
const axeSource = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

// A port that nobody listens on now: a server that is killed comes back on it.
async function freePort() {
  const listener = net.createServer();
  await new Promise((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const { port } = listener.address();
  await new Promise((resolve) => listener.close(resolve));
  return port;
}

class Server {
  constructor(binary) {
    this.binary = binary;
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tasktally-wallboard-'));
    this.flags = [];
  }

  async start(...flags) {
    this.flags = flags;
    this.port ??= await freePort();
    this.origin = `http://127.0.0.1:${this.port}`;
    const data = path.join(this.folder, 'data');
    this.process = spawn(this.binary, ['serve', '--listen', `127.0.0.1:${this.port}`, '--data-dir', data, ...flags]);
    this.log = '';
    this.process.stderr.on('data', (text) => { this.log += text; });
    this.exited = new Promise((resolve) => this.process.on('exit', resolve));
    const lines = readline.createInterface({ input: this.process.stdout });
    this.greeting = [];
    await new Promise((resolve, reject) => {
      lines.on('line', (line) => {
        this.greeting.push(line);
        if (line.includes('grpcurl')) resolve();
      });
      lines.on('close', () => reject(new Error(`the server ended:\n${this.log}`)));
    });
    return this;
  }

  async kill() {
    this.process.kill('SIGKILL');
    await this.exited;
  }

  async end() {
    await this.kill();
    fs.rmSync(this.folder, { recursive: true });
  }

  // What the service's own client program says.
  async tasktally(args, token) {
    const env = { ...process.env, TASKTALLY_ADDRESS: `127.0.0.1:${this.port}`, ...(token ? { TASKTALLY_TOKEN: token } : {}) };
    return (await run(this.binary, args, { env })).stdout;
  }

  async json(path, headers = {}) {
    const answer = await fetch(this.origin + path, { headers });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }

  // One event, as the task router sends it; answered once it is durable.
  async callback(fields, headers = {}) {
    const body = new URLSearchParams({ TimestampMs: String(Date.now()), ...fields });
    const answer = await fetch(`${this.origin}/v1/events/callback`, { method: 'POST', body, headers });
    if (answer.status !== 204) throw new Error(`callback: ${answer.status} ${await answer.text()}`);
  }
}

const sid = (kind, number) => kind + number.toString(16).padStart(32, '0');
let events = 0;

const WORKSPACE = sid('WS', 0xb0a2d);
const ACCOUNT = sid('AC', 1);

function created(number, more = {}) {
  events += 1;
  return {
    Sid: sid('EV', 0xeeee0000 + events), EventType: 'task.created', AccountSid: ACCOUNT, WorkspaceSid: WORKSPACE,
    TaskSid: sid('WT', number), TaskDateCreated: String(Math.floor(Date.now() / 1000)), TaskPriority: '5',
    TaskChannelUniqueName: 'voice', TaskAssignmentStatus: 'pending', TaskVersion: '0', ...more,
  };
}

class Browser {
  static async open() {
    const browser = new Browser();
    const executablePath = process.env.CHROMIUM ?? 'chromium';
    browser.chromium = await chromium.launch({
      executablePath: path.isAbsolute(executablePath) ? executablePath : (await run('which', [executablePath])).stdout.trim(),
      // As root there is no sandbox; and the pages are our own.
      args: ['--no-sandbox', '--disable-dev-shm-usage'],
    });
    // Requests to any other origin than the server's, and what the pages complained of.
    browser.strays = [];
    browser.complaints = [];
    return browser;
  }

  async page(origin, { width = 1920, height = 1080, colorScheme = 'light', context } = {}) {
    context ??= await this.chromium.newContext({ viewport: { width, height }, colorScheme, reducedMotion: 'reduce' });
    context.on('request', (request) => {
      if (!request.url().startsWith(`${origin}/`)) this.strays.push(request.url());
    });
    const page = await context.newPage();
    page.on('pageerror', (error) => this.complaints.push(error.message));
    page.on('console', (message) => {
      // That nobody answers is what some checks are about.
      const expected = /ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY|status of (401|403|404|429|503)/.test(message.text());
      if (message.type() === 'error' && !expected) this.complaints.push(message.text());
    });
    return page;
  }

  async end() {
    await this.chromium.close();
  }
}

// What axe has to say against the page as it is.
async function axe(page) {
  await page.evaluate(axeSource);
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations', 'incomplete'] }));
  return found.violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.target).join(', ')}`);
}

let [passed, failed] = [0, 0];

async function check(name, what) {
  try {
    const said = await what();
    passed += 1;
    console.log(`ok ${name}${said ? ` (${said})` : ''}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${name}: ${error.stack}`);
  }
}

// Waits until `what` answers something; what it throws last is what it failed of.
async function eventually(what, seconds = 20) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    try {
      return await what();
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

function summary() {
  console.log(`wallboard: ${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

module.exports = { ACCOUNT, Browser, Server, WORKSPACE, axe, check, created, eventually, sid, summary };
