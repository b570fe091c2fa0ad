// What ingest and watch share: clients over gRPC-Web, errors with their details, and when to try again.
import { type Client, Code, ConnectError, type Interceptor, createClient } from '@connectrpc/connect';
import { createGrpcWebTransport } from '@connectrpc/connect-web';
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from './generated/rpc_pb';
import { IngestService } from './generated/tasktally/v1/ingest_service_pb';
import { StatisticsService } from './generated/tasktally/v1/statistics_service_pb';

export interface Services {
  ingest: Client<typeof IngestService>;
  statistics: Client<typeof StatisticsService>;
}

// The page's origin must be one that the server lets in: `tasktally serve --http-cors-origin http://127.0.0.1:8080`.
export function connect(baseUrl: string, token: string): Services {
  const authorize: Interceptor = (next) => (request) => {
    if (token) request.header.set('authorization', `Bearer ${token}`);
    return next(request);
  };
  const transport = createGrpcWebTransport({ baseUrl, interceptors: [authorize] });
  return { ingest: createClient(IngestService, transport), statistics: createClient(StatisticsService, transport) };
}

// An error of the service: its code, its machine-readable reason, every bad field, and when to come back.
export class Problem {
  readonly code: Code;
  readonly message: string;
  readonly reason: string;
  readonly values: Record<string, string>;
  readonly fields: { field: string; description: string }[];
  readonly retryAfterMs?: number;

  constructor(reason: unknown) {
    const error = ConnectError.from(reason);
    const [info] = error.findDetails(ErrorInfoSchema);
    const [bad] = error.findDetails(BadRequestSchema);
    const [retry] = error.findDetails(RetryInfoSchema);
    // A connection that could not be made, or broke, is an error of fetch, and has no code of the service's.
    this.code = error.cause instanceof TypeError ? Code.Unavailable : error.code;
    this.message = error.rawMessage;
    this.reason = info?.reason ?? '';
    this.values = info?.metadata ?? {};
    this.fields = bad?.fieldViolations ?? [];
    const delay = retry?.retryDelay;
    if (delay) this.retryAfterMs = Number(delay.seconds) * 1_000 + delay.nanos / 1e6;
  }

  // Whether the same call can succeed later. Every call of tasktally may be repeated, ingest too.
  get mayPass(): boolean {
    return this.retryAfterMs !== undefined || [Code.Unavailable, Code.DeadlineExceeded].includes(this.code);
  }

  toString(): string {
    const values = Object.entries(this.values).map(([name, value]) => ` ${name}=${value}`);
    const fields = this.fields.map(({ field, description }) => `\n  ${field}: ${description}`);
    return `${Code[this.code]} ${this.reason}${values.join('')}: ${this.message}${fields.join('')}`;
  }
}

// Doubles from a tenth of a second to ten, with jitter, so that pages of one outage do not come back as one.
export class Backoff {
  private tries = 0;

  reset() {
    this.tries = 0;
  }

  // Waits; the server's own word, where it gave one, is the least. Answers how long it was.
  async wait(problem: Problem, signal?: AbortSignal): Promise<void> {
    const most = Math.min(10_000, 100 * 2 ** this.tries);
    this.tries += 1;
    const ms = Math.max(problem.retryAfterMs ?? 0, most / 2 + Math.random() * (most / 2));
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      signal?.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
    });
  }
}
