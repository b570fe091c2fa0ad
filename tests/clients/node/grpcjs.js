// grpc-js, with the proto files, against the binary given as the first argument.
'use strict';

const assert = require('node:assert/strict');
const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');
const { Server, Scenario, plain, still, checkClocks, run } = require('./served.js');

const PROTO = path.join(__dirname, '..', '..', '..', 'proto');
const FILES = ['ingest_service', 'statistics_service'].map((name) => `tasktally/v1/${name}.proto`);
const AS_WRITTEN = { includeDirs: [PROTO], keepCase: true, longs: String, enums: String, defaults: true, oneofs: false };

class Client {
  constructor(server) {
    const { v1 } = grpc.loadPackageDefinition(loader.loadSync(FILES, AS_WRITTEN)).tasktally;
    this.server = server;
    this.scenario = new Scenario(server.address);
    this.statistics = new v1.StatisticsService(server.address, grpc.credentials.createInsecure());
    const gzip = { 'grpc.default_compression_algorithm': grpc.compressionAlgorithms.gzip };
    this.ingest = new v1.IngestService(server.address, grpc.credentials.createInsecure(), gzip);
  }

  call(service, method, request) {
    const options = { deadline: Date.now() + 10_000 };
    return new Promise((resolve, reject) => {
      service[method](request, options, (error, answer) => (error ? reject(error) : resolve(plain(answer))));
    });
  }

  async ask(method, request = {}) {
    const askedMs = Date.now();
    const answer = await this.call(this.statistics, method, { workspace_sid: this.scenario.workspace, ...request });
    return [answer, askedMs];
  }

  send(events) {
    return this.call(this.ingest, 'IngestEvents', { events });
  }

  // A watch whose messages and end are awaited one at a time.
  watch(request, options = { deadline: Date.now() + 10_000 }) {
    return new Messages(this.statistics.WatchRealtime({ workspace_sid: this.scenario.workspace, ...request }, options));
  }
}

class Messages {
  constructor(call) {
    this.call = call;
    this.arrived = [];
    this.waiting = [];
    call.on('data', (message) => this.put({ message: plain(message) }));
    call.on('error', (error) => this.put({ error }));
    call.on('end', () => this.put({ end: true }));
  }

  put(item) {
    const next = this.waiting.shift();
    if (next) next(item);
    else this.arrived.push(item);
  }

  async take() {
    return this.arrived.shift() ?? new Promise((resolve) => this.waiting.push(resolve));
  }

  async next() {
    const item = await this.take();
    assert(item.message, `expected a message, got ${item.error ?? 'the end'}`);
    return item.message;
  }

  // The error that the stream ends with, whatever comes before it.
  async failure() {
    for (;;) {
      const item = await this.take();
      assert(!item.end, 'the stream ended well');
      if (item.error) return item.error;
    }
  }
}

async function failureOf(promise) {
  const answer = await promise.then((found) => found, (error) => ({ error }));
  assert(answer.error, `answered ${JSON.stringify(answer)}`);
  return answer.error;
}

const CHECKS = {
  async 'IngestEvents takes the scenario, compressed by gzip'(client) {
    const events = client.scenario.events();
    const answer = await client.send(events);
    assert(answer.revision > 0);
    delete answer.revision;
    assert.deepEqual(answer, { accepted: events.length, duplicates: 0, rejected: [] });
  },

  async 'StreamEvents answers each message in order, and ends after its caller'(client) {
    const events = client.scenario.events();
    const sizes = [23, 0, 5, 1];
    const stream = new Messages(client.ingest.StreamEvents({ deadline: Date.now() + 10_000 }));
    // The first answer comes before the second request is sent: the stream runs both ways at once.
    stream.call.write({ events: events.slice(0, sizes[0]) });
    const found = [await stream.next()];
    for (const size of sizes.slice(1)) stream.call.write({ events: events.slice(0, size) });
    stream.call.end();
    for (const _ of sizes.slice(1)) found.push(await stream.next());
    assert.deepEqual(found.map((answer) => [answer.accepted, answer.duplicates]), sizes.map((size) => [0, size]));
    assert.deepEqual(await stream.take(), { end: true });
  },

  async 'StreamEvents can be cancelled, and what was acknowledged stays'(client) {
    const stream = new Messages(client.ingest.StreamEvents());
    stream.call.write({ events: client.scenario.events() });
    await stream.next();
    stream.call.cancel();
    assert.equal((await stream.failure()).code, grpc.status.CANCELLED);
    assert.equal((await client.ask('GetRealtime'))[0].total_tasks, 3);
  },

  async 'GetRealtime gives the exact figures, of all channels and of one'(client) {
    for (const [channel, expected] of [['', 'realtime'], ['voice', 'realtime_of_voice']]) {
      const [answer, askedMs] = await client.ask('GetRealtime', { task_channel: channel });
      checkClocks(answer, askedMs);
      assert.deepEqual(still(answer), client.scenario.expected(expected));
    }
  },

  async 'GetCumulative gives the exact figures, of all channels and of one'(client) {
    const [answer, askedMs] = await client.ask('GetCumulative', { split_by_wait_time: client.scenario.raw.thresholds });
    checkClocks(answer, askedMs);
    assert.deepEqual(still(answer), client.scenario.expected('cumulative'));
    const [chat] = await client.ask('GetCumulative', { task_channel: 'chat', minutes: 15 });
    assert.deepEqual(still(chat), client.scenario.expected('cumulative_of_chat'));
  },

  async 'GetStatistics gives both, of one state and one instant'(client) {
    const [answer, askedMs] = await client.ask('GetStatistics', { split_by_wait_time: client.scenario.raw.thresholds });
    const { realtime, cumulative } = answer;
    checkClocks(realtime, askedMs);
    assert.deepEqual([realtime.revision, realtime.as_of], [cumulative.revision, cumulative.as_of]);
    assert.deepEqual(still(realtime), client.scenario.expected('realtime'));
    assert.deepEqual(still(cumulative), client.scenario.expected('cumulative'));
  },

  async 'ListWorkspaces and ListTaskChannels name what was ingested'(client) {
    const { workspace, account } = client.scenario;
    const listed = await client.call(client.statistics, 'ListWorkspaces', {});
    assert.deepEqual(listed, { workspaces: [{ workspace_sid: workspace, account_sid: account }], next_page_token: '' });
    const [channels] = await client.ask('ListTaskChannels');
    assert.deepEqual(channels, { task_channels: client.scenario.expected('task_channels'), next_page_token: '' });
  },

  async 'errors have their code, their text and their details'(client) {
    const bad = await failureOf(client.call(client.statistics, 'GetCumulative', { workspace_sid: 'WSx', minutes: 0 }));
    assert.equal(bad.code, grpc.status.INVALID_ARGUMENT);
    assert.match(bad.details, /workspace_sid .*; minutes /);
    const [details] = bad.metadata.get('grpc-status-details-bin');
    for (const part of ['google.rpc.ErrorInfo', 'BAD_FIELDS', 'tasktally', 'google.rpc.BadRequest']) {
      assert(details.includes(part), `${part} is not in the details`);
    }
    const unknown = await failureOf(client.ask('GetRealtime', { workspace_sid: client.scenario.long('WS404') }));
    assert.equal(unknown.code, grpc.status.NOT_FOUND);
  },

  async 'IngestEvents says of each refused event why, and takes the others'(client) {
    const answer = await client.send(client.scenario.events('refused_events'));
    for (const row of answer.rejected) {
      assert(row.message);
      delete row.message;
    }
    assert.deepEqual(answer.rejected, client.scenario.expected('refused'));
    assert.deepEqual([answer.accepted, answer.duplicates], [1, 0]);
  },

  async 'WatchRealtime pushes the state at once, then each change, then heartbeats'(client) {
    const { scenario } = client;
    const expected = scenario.expected('realtime');
    const watch = client.watch({ min_interval: { nanos: 20e6 }, heartbeat_interval: { seconds: 60 } });
    assert.deepEqual(still((await watch.next()).realtime), expected);
    expected.total_tasks += 1;
    expected.tasks_by_status.pending += 1;
    for (const [name, priority] of [['another_task', 9], ['its_update', 8]]) {
      await client.send([scenario.event(scenario.raw[name])]);
      expected.tasks_by_priority = { 0: 1, 1: 1, 5: 1, [priority]: 1 };
      assert.deepEqual(still((await watch.next()).realtime), expected);
    }
    watch.call.cancel();
    assert.equal((await watch.failure()).code, grpc.status.CANCELLED);

    const beating = client.watch({ heartbeat_interval: { nanos: 100e6 } });
    const beats = [];
    while (beats.length < 4) beats.push((await beating.next()).realtime);
    beating.call.cancel();
    for (const beat of beats) assert.deepEqual(still(beat), expected);
    const moments = beats.map((beat) => beat.as_of);
    assert.deepEqual(moments, [...new Set(moments)].sort((a, b) => a - b));
  },

  async 'WatchRealtime ends with DEADLINE_EXCEEDED at the deadline'(client) {
    const watch = client.watch({}, { deadline: Date.now() + 500 });
    assert.equal((await watch.failure()).code, grpc.status.DEADLINE_EXCEEDED);
  },

  async 'at SIGTERM a watch ends with UNAVAILABLE, and the server exits 0'(client) {
    const watch = client.watch({});
    await watch.next();
    client.server.process.kill('SIGTERM');
    const ended = await watch.failure();
    assert.equal(ended.code, grpc.status.UNAVAILABLE);
    assert(ended.metadata.get('grpc-status-details-bin')[0].includes('SHUTTING_DOWN'));
    assert.equal(await client.server.exited, 0);
  },
};

async function main(binary) {
  const server = await Server.start(binary);
  const client = new Client(server);
  const failed = await run('grpc-js', CHECKS, client);
  client.statistics.close();
  client.ingest.close();
  await server.stop();
  if (failed) process.stderr.write(server.log);
  process.exitCode = failed ? 1 : 0;
}

main(process.argv[2]);
