// Sends events, one JSON object a line, in batches, and does not give up for what passes by itself.
//
//   node dist/src/ingest.js events.ndjson
//
// Each event is accepted, a duplicate, or rejected with a reason; sending the same file again is always safe, so whatever
// is left open (a time-out, a server that died in the middle) is simply sent again. Exit code 1: some were rejected.
import * as fs from 'node:fs';
import * as readline from 'node:readline';
import * as grpc from '@grpc/grpc-js';
import type { Event } from '../generated/tasktally/v1/Event';
import type { IngestEventsResponse__Output } from '../generated/tasktally/v1/IngestEventsResponse';
import { Backoff, Problem, ingestService, metadata, sleep } from './connection';

// Above a thousand events a call nothing is gained; the server takes 10,000 and 4 MiB.
const BATCH = 1_000;
const CALL_TIMEOUT_MS = 10_000;
const GIVE_UP_AFTER_MS = 300_000;

const service = ingestService();

function call(events: Event[]): Promise<IngestEventsResponse__Output> {
  return new Promise((resolve, reject) => {
    const options = { deadline: Date.now() + CALL_TIMEOUT_MS };
    service.IngestEvents({ events }, metadata(), options, (error, answer) => (answer ? resolve(answer) : reject(error)));
  });
}

// The answer to one batch, however often it takes.
async function send(events: Event[]): Promise<IngestEventsResponse__Output> {
  const backoff = new Backoff();
  const deadline = Date.now() + GIVE_UP_AFTER_MS;
  for (;;) {
    try {
      return await call(events);
    } catch (error) {
      const problem = new Problem(error as grpc.ServiceError);
      if (!problem.mayPass() || Date.now() > deadline) throw new Error(`not sent: ${problem}`);
      const pause = backoff.nextMs(problem);
      console.error(`${grpc.status[problem.code]} ${problem.reason}: again in ${(pause / 1_000).toFixed(1)} s`);
      await sleep(pause);
    }
  }
}

// The times of an event as the contract has them; in JSON they are texts.
function timestamp(text: string) {
  const ms = Date.parse(text);
  return { seconds: Math.floor(ms / 1_000), nanos: (ms - Math.floor(ms / 1_000) * 1_000) * 1_000_000 };
}

// JSON of a protobuf message may name its fields in either way: `tasktally export` writes accountSid.
function snakeCase(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [snake(name), snakeCase(inner)]));
}

function event(line: string): Event {
  const raw = snakeCase(JSON.parse(line)) as any;
  if (raw.timestamp) raw.timestamp = timestamp(raw.timestamp);
  for (const name of ['date_created', 'task_queue_entered_date']) {
    if (raw.task?.[name]) raw.task[name] = timestamp(raw.task[name]);
  }
  return raw;
}

function sum({ accepted, duplicates, rejected }: { accepted: number; duplicates: number; rejected: number }): string {
  return `accepted ${accepted}, duplicates ${duplicates}, rejected ${rejected}`;
}

async function main(path: string): Promise<number> {
  const total = { accepted: 0, duplicates: 0, rejected: 0, sent: 0 };
  const flush = async (batch: Event[]) => {
    const answer = await send(batch);
    total.accepted += answer.accepted;
    total.duplicates += answer.duplicates;
    total.rejected += answer.rejected.length;
    for (const { index, event_sid: sid, reason, field, message } of answer.rejected) {
      const why = reason.replace('REJECTION_REASON_', '');
      console.error(`event ${total.sent + index + 1} (${sid}): ${why} ${field}: ${message}`);
    }
    total.sent += batch.length;
  };
  let batch: Event[] = [];
  let number = 0;
  const input = path === '-' ? process.stdin : fs.createReadStream(path);
  for await (const line of readline.createInterface({ input })) {
    number += 1;
    if (line.trim() === '') continue;
    try {
      batch.push(event(line));
    } catch (error) {
      throw new Error(`line ${number} is no event: ${(error as Error).message}; ${sum(total)} before it`);
    }
    if (batch.length < BATCH) continue;
    await flush(batch);
    batch = [];
  }
  if (batch.length > 0) await flush(batch);
  console.log(sum(total));
  return total.rejected > 0 ? 1 : 0;
}

const [path] = process.argv.slice(2);
if (!path) {
  console.error('usage: ingest.js FILE (- for standard input)');
  process.exit(2);
}
main(path).then(
  (code) => process.exit(code),
  (error) => {
    console.error(String(error.message ?? error));
    process.exit(1);
  },
);
