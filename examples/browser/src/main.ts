// The page: what is asked for in a form, and in the address, so that it can be kept.
import { ingest } from './ingest';
import { Problem, connect } from './service';
import { watch } from './watch';

function find<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`index.html has no #${id}`);
  return found as T;
}

const form = find<HTMLFormElement>('connection');
const state = find('state');
const told = find('told');
let running = new AbortController();

const asked = new URLSearchParams(location.search);
for (const name of ['server', 'workspace']) {
  if (asked.has(name)) find<HTMLInputElement>(name).value = asked.get(name) ?? '';
}

function services() {
  return connect(find<HTMLInputElement>('server').value, find<HTMLInputElement>('token').value);
}

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  running.abort();
  running = new AbortController();
  const watcher = {
    show(figures: { totalTasks: bigint; totalWorkers: bigint; longestTaskWaitingAge?: { seconds: bigint } }) {
      state.textContent = 'live';
      find('tasks').textContent = String(figures.totalTasks);
      find('workers').textContent = String(figures.totalWorkers);
      find('longest').textContent = `${figures.longestTaskWaitingAge?.seconds ?? 0} s`;
    },
    stale(problem: Problem) {
      state.textContent = `stale: ${problem}`;
    },
  };
  try {
    await watch(services(), find<HTMLInputElement>('workspace').value, watcher, running.signal);
  } catch (problem) {
    state.textContent = String(problem);
  }
});

find('send').addEventListener('click', async () => {
  try {
    const stale = (problem: Problem) => (told.textContent = `again soon: ${problem}`);
    const { accepted, duplicates, rejected } = await ingest(services(), find<HTMLTextAreaElement>('events').value, stale);
    told.textContent = [`accepted ${accepted}, duplicates ${duplicates}, rejected ${rejected.length}`, ...rejected].join('\n');
  } catch (problem) {
    told.textContent = String(problem);
  }
});
