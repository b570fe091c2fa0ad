// What the Node client shares with the Python ones: a server of its own, the scenario, answers in one form, counted checks.
'use strict';

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const readline = require('node:readline');

const SHORT_SID = /^(AC|WS|EV|WT|WR|WK|WA|TC|WQ|WW)([0-9a-f]{1,31})$/;
const TIMES = new Set(['timestamp', 'date_created', 'longest_task_waiting_since', 'start_time', 'end_time']);
// They move with the clock; checked against one another.
const MOVING = new Set(['as_of', 'revision', 'longest_task_waiting_age', 'start_time', 'end_time']);

// The built binary on a free port and a folder of its own, with further flags if there are any.
class Server {
  static async start(binary, ...flags) {
    const server = new Server();
    server.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tasktally-client-'));
    Object.assign(server, { binary, flags, log: '' });
    await server.begin('127.0.0.1:0');
    return server;
  }

  async begin(address) {
    const data = path.join(this.folder, 'data');
    this.process = spawn(this.binary, ['serve', '--listen', address, '--data-dir', data, ...this.flags]);
    this.process.stderr.on('data', (text) => { this.log += text; });
    this.exited = new Promise((resolve) => this.process.on('exit', (code, signal) => resolve(signal ?? code)));
    const lines = readline.createInterface({ input: this.process.stdout });
    const first = await new Promise((resolve) => { lines.once('line', resolve); lines.once('close', () => resolve('')); });
    const found = / listens on (127\.0\.0\.1:\d+)$/.exec(first);
    assert(found, `expected where it listens, got ${JSON.stringify(first)}\n${this.log}`);
    this.address = found[1];
  }

  async kill() {
    this.process.kill('SIGKILL');
    await this.exited;
  }

  // On the same data, where it was.
  restart() {
    return this.begin(this.address);
  }

  async stop() {
    await this.kill();
    fs.rmSync(this.folder, { recursive: true });
  }
}

// tests/clients/scenario.json, with sids written out and times made absolute.
class Scenario {
  constructor(address) {
    this.raw = JSON.parse(fs.readFileSync(path.join(__dirname, '..', 'scenario.json'), 'utf8'));
    this.baseMs = (Math.floor(Date.now() / 1000) - 60) * 1000;
    this.baseUrl = `http://${address}`;
    this.workspace = this.long(this.raw.workspace);
    this.account = this.long(this.raw.account);
  }

  long(text) {
    const found = SHORT_SID.exec(text);
    if (found) return found[1] + found[2].padStart(32, '0');
    return text.replace('{base}', this.baseUrl).replace('{workspace}', this.workspace);
  }

  expand(value, moment, key) {
    if (Array.isArray(value)) return value.map((item) => this.expand(item, moment));
    if (typeof value === 'string') return this.long(value);
    if (typeof value === 'number') return TIMES.has(key) ? moment(this.baseMs + value) : value;
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, this.expand(item, moment, name)]));
  }

  // Times as milliseconds since 1970.
  expected(name) {
    return this.expand(this.raw[name], (ms) => ms);
  }

  event(raw) {
    return { workspace_sid: this.workspace, account_sid: this.account, ...this.expand(raw, timestamp) };
  }

  events(name = 'events') {
    return this.raw[name].map((raw) => this.event(raw));
  }
}

function timestamp(ms) {
  return { seconds: Math.floor(ms / 1000), nanos: (((ms % 1000) + 1000) % 1000) * 1e6 };
}

// Counts, durations and times as numbers, the latter two in milliseconds.
function plain(value, key) {
  if (Array.isArray(value)) return value.map((item) => plain(item, key));
  if (typeof value === 'string') return key !== 'sid' && /^-?\d+$/.test(value) ? Number(value) : value;
  if (typeof value !== 'object' || value === null) return value;
  const names = Object.keys(value);
  if (names.length === 2 && 'seconds' in value && 'nanos' in value) return Number(value.seconds) * 1000 + value.nanos / 1e6;
  // An absent message is null here; the scenario does not name it.
  const present = names.filter((name) => value[name] !== null);
  return Object.fromEntries(present.map((name) => [name, plain(value[name], name)]));
}

// The answer without what moves with the clock.
function still(answer) {
  return Object.fromEntries(Object.entries(answer).filter(([name]) => !MOVING.has(name)));
}

// What moves with the clock agrees with itself. askedMs: when the question was sent.
function checkClocks(answer, askedMs) {
  assert(askedMs <= answer.as_of && answer.as_of <= Date.now(), `as_of ${answer.as_of}, asked at ${askedMs}`);
  assert(answer.revision > 0, `revision ${answer.revision}`);
  if ('longest_task_waiting_age' in answer) {
    const since = answer.longest_task_waiting_since ?? answer.as_of;
    assert.equal(answer.longest_task_waiting_age, answer.as_of - since);
  }
  if ('end_time' in answer) {
    assert.equal(answer.end_time, (Math.floor(answer.as_of / 1000) + 1) * 1000);
    assert.equal(answer.start_time, answer.end_time - 15 * 60 * 1000);
  }
}

// Runs every check, in order, and says how many passed.
async function run(name, checks, world) {
  let failed = 0;
  for (const [what, check] of Object.entries(checks)) {
    try {
      await check(world);
      console.log(`ok      ${name}: ${what}`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED  ${name}: ${what}\n${error.stack}`);
    }
  }
  console.log(`${name}: ${Object.keys(checks).length - failed} passed, ${failed} failed`);
  return failed;
}

module.exports = { Server, Scenario, plain, still, checkClocks, run };
