// Prints the live figures of a workspace, a line a change, through restarts and broken connections.
//
//   node dist/src/watch.js WS0123456789abcdef0123456789abcdef [TASK_CHANNEL]
//
// Every message is complete, so coming back needs no more than asking again.
import * as grpc from '@grpc/grpc-js';
import type { WatchRealtimeResponse__Output } from '../generated/tasktally/v1/WatchRealtimeResponse';
import type { WorkspaceRealtimeStatistics__Output } from '../generated/tasktally/v1/WorkspaceRealtimeStatistics';
import { Backoff, Problem, metadata, sleep, statisticsService } from './connection';

function show(figures: WorkspaceRealtimeStatistics__Output) {
  const status = figures.tasks_by_status;
  const at = new Date((figures.as_of?.seconds as number) * 1_000).toISOString().slice(11, 19);
  console.log(
    `${at} active=${figures.total_tasks} pending=${status?.pending} reserved=${status?.reserved} ` +
      `assigned=${status?.assigned} wrapping=${status?.wrapping} ` +
      `longest_wait=${figures.longest_task_waiting_age?.seconds ?? 0}s workers=${figures.total_workers}`,
  );
}

async function main(workspace: string, channel: string) {
  const service = statisticsService();
  const request = { workspace_sid: workspace, task_channel: channel, heartbeat_interval: { seconds: 5, nanos: 0 } };
  const backoff = new Backoff();
  for (;;) {
    try {
      const messages: AsyncIterable<WatchRealtimeResponse__Output> = service.WatchRealtime(request, metadata());
      for await (const { realtime } of messages) {
        backoff.reset();
        if (realtime) show(realtime);
      }
    } catch (error) {
      const problem = new Problem(error as grpc.ServiceError);
      if (!problem.mayPass()) throw problem;
      const pause = backoff.nextMs(problem);
      const why = `${grpc.status[problem.code]} ${problem.reason}`;
      console.error(`stale: ${why}; again in ${(pause / 1_000).toFixed(1)} s`);
      await sleep(pause);
    }
  }
}

const [workspace, channel = ''] = process.argv.slice(2);
if (!workspace) {
  console.error('usage: watch.js WORKSPACE [TASK_CHANNEL]');
  process.exit(2);
}
main(workspace, channel).catch((problem) => {
  console.error(String(problem));
  process.exit(1);
});
