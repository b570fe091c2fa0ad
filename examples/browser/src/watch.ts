// The live figures of a workspace, through restarts and broken connections. Every message is complete, so coming back
// needs no more than asking again.
import type { WorkspaceRealtimeStatistics } from './generated/tasktally/v1/statistics_pb';
import { Backoff, Problem, type Services } from './service';

export interface Watcher {
  show(figures: WorkspaceRealtimeStatistics): void;
  // What is shown is old, and will be new again by itself.
  stale(problem: Problem): void;
}

const HEARTBEAT_S = 5;

// Goes on until the signal; throws what will not pass by itself.
export async function watch({ statistics }: Services, workspaceSid: string, watcher: Watcher, signal: AbortSignal) {
  const backoff = new Backoff();
  while (!signal.aborted) {
    // A connection that has died without a word shows by the heartbeat that does not come.
    const silence = new AbortController();
    let alarm = 0;
    const heard = () => {
      clearTimeout(alarm);
      alarm = window.setTimeout(() => silence.abort(new TypeError('no heartbeat')), 3 * HEARTBEAT_S * 1_000);
    };
    heard();
    try {
      const request = { workspaceSid, heartbeatInterval: { seconds: BigInt(HEARTBEAT_S) } };
      for await (const { realtime } of statistics.watchRealtime(request, { signal: AbortSignal.any([signal, silence.signal]) })) {
        heard();
        backoff.reset();
        if (realtime) watcher.show(realtime);
      }
    } catch (error) {
      if (signal.aborted) return;
      const problem = new Problem(silence.signal.aborted ? silence.signal.reason : error);
      if (!problem.mayPass) throw problem;
      watcher.stale(problem);
      await backoff.wait(problem, signal);
    } finally {
      clearTimeout(alarm);
    }
  }
}
