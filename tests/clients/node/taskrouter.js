// TaskRouter's own Node library, unchanged but for its base URL, against the binary given as the first argument.
'use strict';

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');
const twilio = require('twilio');
const { Server, Scenario, plain, still, run } = require('./served.js');

const PROTO = path.join(__dirname, '..', '..', '..', 'proto');
const FILES = ['ingest_service', 'statistics_service'].map((name) => `tasktally/v1/${name}.proto`);
const AS_WRITTEN = { includeDirs: [PROTO], keepCase: true, longs: String, enums: String, defaults: true, oneofs: false };
// The contract's durations, which are seconds here; `plain` has made them milliseconds.
const DURATIONS = new Set(['avg_task_acceptance_time', 'longest_task_waiting_age', 'avg', 'min', 'max', 'total']);
const STRANGER = `AC${'f'.repeat(32)}`;
const KEY = `SK${'1'.repeat(32)}`;

class World {
  constructor(open, closed, tokens) {
    Object.assign(this, { open, closed, tokens, scenario: new Scenario(open.address) });
    this.account = this.scenario.account;
    this.services = grpc.loadPackageDefinition(loader.loadSync(FILES, AS_WRITTEN)).tasktally.v1;
    this.workspace = this.of(open, this.account, 'anything');
  }

  of(server, user, token, sid = this.scenario.workspace) {
    // A key (SK…) is used on behalf of an account; TaskRouter's library insists on being told.
    const client = twilio(user, token, { accountSid: this.account });
    client.taskrouter.baseUrl = `http://${server.address}`;
    return client.taskrouter.v1.workspaces(sid);
  }

  asCaller(user, name) {
    return this.of(this.closed, user, this.tokens[name] ?? name).realTimeStatistics().fetch();
  }

  call(server, service, method, request, token) {
    const stub = new this.services[service](server.address, grpc.credentials.createInsecure());
    const metadata = new grpc.Metadata();
    if (token) metadata.set('authorization', `Bearer ${token}`);
    const options = { deadline: Date.now() + 10_000 };
    return new Promise((resolve, reject) => {
      stub[method](request, metadata, options, (error, answer) => (error ? reject(error) : resolve(plain(answer))));
    }).finally(() => stub.close());
  }

  ask(method, request = {}) {
    return this.call(this.open, 'StatisticsService', method, { workspace_sid: this.scenario.workspace, ...request });
  }

  async feed() {
    const events = this.scenario.events();
    for (const [server, token] of [[this.open], [this.closed, this.tokens.feeder]]) {
      const answer = await this.call(server, 'IngestService', 'IngestEvents', { events }, token);
      assert.equal(answer.accepted, events.length);
    }
  }
}

const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());

// An answer over gRPC as TaskRouter's library shows it.
function inTheirForm(value, key) {
  if (Array.isArray(value)) return value.map((item) => inTheirForm(item));
  if (DURATIONS.has(key)) return Math.floor(value / 1000);
  if (key === 'longest_task_waiting_sid') return value || null;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, inTheirForm(item, name)]));
}

function same(instance, answer) {
  const expected = inTheirForm(still(answer));
  const names = Object.keys(expected).filter((name) => camel(name) in instance);
  assert(names.length >= 9, names.join());
  for (const name of names) assert.deepEqual(instance[camel(name)], expected[name], name);
}

async function refused(promise) {
  const error = await promise.then((answer) => assert.fail(`answered ${JSON.stringify(answer)}`), (found) => found);
  assert.equal(error.constructor.name, 'RestException', error.stack);
  return error;
}

const seconds = (ms) => ({ seconds: Math.floor(ms / 1000), nanos: 0 });

const CHECKS = {
  async 'RealTimeStatistics: equal to gRPC\'s, of all channels, of one, and of one by its sid'(world) {
    for (const channel of ['', 'voice', 'chat', world.scenario.long('TC1'), 'unknown']) {
      const parameters = channel ? { taskChannel: channel } : {};
      const answer = await world.ask('GetRealtime', { task_channel: channel });
      const found = await world.workspace.realTimeStatistics().fetch(parameters);
      same(found, answer);
      const later = found.longestTaskWaitingAge - Math.floor(answer.longest_task_waiting_age / 1000);
      assert(Number.isInteger(later) && later >= 0 && later < 30, String(found.longestTaskWaitingAge));
    }
  },

  async 'CumulativeStatistics: equal to gRPC\'s, with each parameter'(world) {
    const [start, end] = [world.scenario.baseMs - 300_000, world.scenario.baseMs + 10_000];
    const both = { start_time: seconds(start), end_time: seconds(end) };
    for (const [ours, theirs] of [
      [{}, {}],
      [{ minutes: 480 }, { minutes: 480 }],
      [{ start_time: both.start_time }, { startDate: new Date(start) }],
      [both, { startDate: new Date(start), endDate: new Date(end) }],
      [{ task_channel: 'chat' }, { taskChannel: 'chat' }],
      [{ split_by_wait_time: [5, 10] }, { splitByWaitTime: '5,10' }],
    ]) {
      const found = await world.workspace.cumulativeStatistics().fetch(theirs);
      same(found, await world.ask('GetCumulative', ours));
      assert(found.startTime instanceof Date && found.endTime instanceof Date, String(found.startTime));
      if (ours.end_time) assert.deepEqual([found.startTime.getTime(), found.endTime.getTime()], [start, end]);
    }
  },

  async 'Statistics: both, equal to gRPC\'s'(world) {
    const answer = await world.ask('GetStatistics', { split_by_wait_time: [5, 10] });
    const found = await world.workspace.statistics().fetch({ splitByWaitTime: '5,10' });
    assert.deepEqual([found.accountSid, found.workspaceSid, found.url], [answer.account_sid, answer.workspace_sid, answer.url]);
    for (const part of ['realtime', 'cumulative']) {
      const { longest_task_waiting_since: _, ...expected } = inTheirForm(still(answer[part]));
      for (const name of Object.keys(expected)) assert.deepEqual(found[part][name], expected[name], `${part}.${name}`);
    }
  },

  async 'each error is the library\'s own exception, with TaskRouter\'s code and every bad parameter'(world) {
    for (const sid of [world.scenario.long('WS404'), 'WS12']) {
      const unknown = world.of(world.open, world.account, 'x', sid);
      const error = await refused(unknown.realTimeStatistics().fetch());
      assert.deepEqual([error.status, error.code], [404, 20404]);
      assert.equal(error.moreInfo, 'https://www.twilio.com/docs/errors/20404');
    }
    for (const [parameters, names] of [
      [{ minutes: 0 }, ['Minutes']],
      [{ minutes: 'x', splitByWaitTime: '5;30' }, ['Minutes', 'SplitByWaitTime']],
      [{ startDate: 'yesterday', endDate: '2026-02-30' }, ['StartDate', 'EndDate']],
      [{ startDate: new Date(0) }, ['StartDate', 'oldest']],
    ]) {
      for (const resource of [world.workspace.statistics(), world.workspace.cumulativeStatistics()]) {
        const error = await refused(resource.fetch(parameters));
        assert.deepEqual([error.status, error.code], [400, 20001]);
        for (const name of names) assert(error.message.includes(name), error.message);
      }
    }
  },

  async 'Basic: AC… and its token, any user name, and who may not'(world) {
    for (const user of [world.account, KEY]) assert.equal((await world.asCaller(user, 'reader')).totalTasks, 3);
    for (const [user, name, status, code] of [
      [world.account, 'tt_wrong', 401, 20003],
      [STRANGER, 'reader', 401, 20003],
      [KEY, 'feeder', 403, 20403],
      [STRANGER, 'stranger', 404, 20404],
    ]) {
      const error = await refused(world.asCaller(user, name));
      assert.deepEqual([error.status, error.code], [status, code], `${user} ${name}`);
    }
  },
};

function madeCredentials(binary, folder, account) {
  const tokens = {};
  const entries = [['feeder', 'all', 'ingest'], ['reader', account, 'read'], ['stranger', STRANGER, 'read']].map(([name, whose, roles]) => {
    const made = spawnSync(binary, ['credentials', 'new', '--name', name, '--account', whose, '--roles', roles], { encoding: 'utf8' });
    tokens[name] = made.stderr.trim().split(/\s+/).at(-1);
    return made.stdout;
  });
  const file = path.join(folder, 'credentials.toml');
  fs.writeFileSync(file, entries.join(''));
  return { file, tokens };
}

async function main(binary) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tasktally-taskrouter-'));
  const { file, tokens } = madeCredentials(binary, folder, `AC${'1'.padStart(32, '0')}`);
  const servers = [await Server.start(binary), await Server.start(binary, '--credentials', file)];
  const world = new World(...servers, tokens);
  await world.feed();
  const failed = await run('twilio-node', CHECKS, world);
  if (failed) servers.forEach((server) => console.error(server.log));
  for (const server of servers) await server.stop();
  fs.rmSync(folder, { recursive: true });
  return failed ? 1 : 0;
}

main(process.argv[2]).then((code) => process.exit(code));
