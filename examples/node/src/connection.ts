// What the examples share: clients from the environment, errors with their details, and when to try again.
//
// TASKTALLY_ADDRESS  host:port, default 127.0.0.1:50051
// TASKTALLY_TLS_CA   a PEM file of the authorities that signed the server's certificate; without it, plaintext
// TASKTALLY_TOKEN    a token with the role that the call needs
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as grpc from '@grpc/grpc-js';
import * as loader from '@grpc/proto-loader';
import type { ProtoGrpcType as Ingest } from '../generated/ingest_service';
import type { ProtoGrpcType as Statistics } from '../generated/statistics_service';

const EXAMPLE = path.join(__dirname, '..', '..');
const OPTIONS = { keepCase: true, longs: Number, enums: String, defaults: true, oneofs: false };

function load(directory: string, file: string): grpc.GrpcObject {
  return grpc.loadPackageDefinition(loader.loadSync(file, { ...OPTIONS, includeDirs: [path.join(EXAMPLE, directory)] }));
}

function credentials(): grpc.ChannelCredentials {
  const authorities = process.env.TASKTALLY_TLS_CA;
  return authorities ? grpc.credentials.createSsl(fs.readFileSync(authorities)) : grpc.credentials.createInsecure();
}

const ADDRESS = process.env.TASKTALLY_ADDRESS ?? '127.0.0.1:50051';
// A connection that has died shows within half a minute, also while nothing is sent. The library's own pauses between
// attempts to connect would grow to two minutes.
const CHANNEL = {
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 5_000,
};

export function ingestService() {
  const types = load('../../proto', 'tasktally/v1/ingest_service.proto') as unknown as Ingest;
  return new types.tasktally.v1.IngestService(ADDRESS, credentials(), CHANNEL);
}

export function statisticsService() {
  const types = load('../../proto', 'tasktally/v1/statistics_service.proto') as unknown as Statistics;
  return new types.tasktally.v1.StatisticsService(ADDRESS, credentials(), CHANNEL);
}

export function metadata(): grpc.Metadata {
  const metadata = new grpc.Metadata();
  const token = process.env.TASKTALLY_TOKEN;
  if (token) metadata.set('authorization', `Bearer ${token}`);
  return metadata;
}

type Detail = { type_url: string; value: Buffer };
type Violation = { field: string; description: string };
type Span = { seconds: number; nanos: number };

// The messages of google.rpc, as functions from bytes.
const rpc = loader.loadSync('google/rpc.proto', { ...OPTIONS, includeDirs: [path.join(EXAMPLE, '..')] });

function read<T>(name: string, bytes: Buffer): T {
  const { deserialize } = rpc[`google.rpc.${name}`] as loader.MessageTypeDefinition<object, object> & {
    deserialize(bytes: Buffer): object;
  };
  return deserialize(bytes) as T;
}

// An error of the service: its code, its machine-readable reason, every bad field, and when to come back.
export class Problem {
  readonly code: grpc.status;
  readonly message: string;
  reason = '';
  values: Record<string, string> = {};
  fields: Violation[] = [];
  retryAfterMs?: number;

  constructor(error: grpc.ServiceError) {
    this.code = error.code;
    this.message = error.details;
    for (const bytes of error.metadata?.get('grpc-status-details-bin') ?? []) {
      for (const detail of read<{ details: Detail[] }>('Status', bytes as Buffer).details) this.take(detail);
    }
  }

  private take({ type_url: type, value }: Detail) {
    if (type.endsWith('/google.rpc.ErrorInfo')) {
      const info = read<{ reason: string; metadata: Record<string, string> }>('ErrorInfo', value);
      [this.reason, this.values] = [info.reason, info.metadata];
    } else if (type.endsWith('/google.rpc.BadRequest')) {
      this.fields = read<{ field_violations: Violation[] }>('BadRequest', value).field_violations;
    } else if (type.endsWith('/google.rpc.RetryInfo')) {
      const { seconds, nanos } = read<{ retry_delay: Span }>('RetryInfo', value).retry_delay;
      this.retryAfterMs = seconds * 1_000 + nanos / 1e6;
    }
  }

  // Whether the same call can succeed later. Every call of tasktally may be repeated, ingest too.
  mayPass(): boolean {
    const passing = [grpc.status.UNAVAILABLE, grpc.status.DEADLINE_EXCEEDED];
    return this.retryAfterMs !== undefined || passing.includes(this.code);
  }

  toString(): string {
    const values = Object.entries(this.values).map(([name, value]) => ` ${name}=${value}`);
    const fields = this.fields.map(({ field, description }) => `\n  ${field}: ${description}`);
    return `${grpc.status[this.code]} ${this.reason}${values.join('')}: ${this.message}${fields.join('')}`;
  }
}

// Doubles from a tenth of a second to ten, with jitter, so that clients of one outage do not come back as one.
export class Backoff {
  private tries = 0;

  reset() {
    this.tries = 0;
  }

  // The server's own word, where it gave one, is the least.
  nextMs(problem: Problem): number {
    const most = Math.min(10_000, 100 * 2 ** this.tries);
    this.tries += 1;
    return Math.max(problem.retryAfterMs ?? 0, most / 2 + Math.random() * (most / 2));
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
