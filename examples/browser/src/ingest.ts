// Sends events, one JSON object a line, in batches, and does not give up for what passes by itself. Sending the same events
// again is always safe, so whatever is left open (a time-out, a server that died in the middle) is simply sent again.
import { fromJsonString } from '@bufbuild/protobuf';
import { type Event, EventSchema } from './generated/tasktally/v1/event_pb';
import { RejectionReason } from './generated/tasktally/v1/ingest_service_pb';
import { Backoff, Problem, type Services } from './service';

const BATCH = 1_000;
const CALL_TIMEOUT_MS = 10_000;
const GIVE_UP_AFTER_MS = 300_000;

export interface Told {
  accepted: number;
  duplicates: number;
  rejected: string[];
}

async function send({ ingest }: Services, events: Event[], stale: (problem: Problem) => void) {
  const backoff = new Backoff();
  const deadline = Date.now() + GIVE_UP_AFTER_MS;
  for (;;) {
    try {
      return await ingest.ingestEvents({ events }, { timeoutMs: CALL_TIMEOUT_MS });
    } catch (error) {
      const problem = new Problem(error);
      if (!problem.mayPass || Date.now() > deadline) throw problem;
      stale(problem);
      await backoff.wait(problem);
    }
  }
}

export async function ingest(services: Services, text: string, stale: (problem: Problem) => void): Promise<Told> {
  const events = text.split('\n').filter((line) => line.trim() !== '').map((line) => fromJsonString(EventSchema, line));
  const told: Told = { accepted: 0, duplicates: 0, rejected: [] };
  for (let sent = 0; sent < events.length; sent += BATCH) {
    const answer = await send(services, events.slice(sent, sent + BATCH), stale);
    told.accepted += Number(answer.accepted);
    told.duplicates += Number(answer.duplicates);
    for (const { index, eventSid, reason, field, message } of answer.rejected) {
      told.rejected.push(`event ${sent + index + 1} (${eventSid}): ${RejectionReason[reason]} ${field}: ${message}`);
    }
  }
  return told;
}
