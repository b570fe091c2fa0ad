// The figures as the server pushes them, and the end of each silence.
//
// The server says something every two seconds at least. Where it is silent for longer, or the connection breaks, what is
// shown is stale, and a new connection is tried, by and by less often, until one holds.

const SILENCE_MS = 6500;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5000;

export class Source {
  // `on` has realtime, windows, live, stale and refused.
  constructor(on) {
    this.on = on;
    this.address = null;
    this.events = null;
    this.timer = 0;
    this.wait = FIRST_WAIT_MS;
  }

  open(address) {
    this.close();
    this.address = address;
    this.wait = FIRST_WAIT_MS;
    this.connect();
  }

  close() {
    this.address = null;
    this.drop();
  }

  drop() {
    clearTimeout(this.timer);
    this.events?.close();
    this.events = null;
  }

  connect() {
    this.drop();
    const events = (this.events = new EventSource(this.address));
    const heard = () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.broken(), SILENCE_MS);
    };
    heard();
    const take = (name) => (event) => {
      if (events !== this.events) return;
      heard();
      this.wait = FIRST_WAIT_MS;
      this.on.live();
      this.on[name](JSON.parse(event.data));
    };
    events.addEventListener("realtime", take("realtime"));
    events.addEventListener("windows", take("windows"));
    // Said by the server as its last word, with data; or by the browser, that there is no connection.
    events.addEventListener("error", (event) => {
      if (events !== this.events) return;
      this.broken(event.data ? JSON.parse(event.data) : null);
    });
  }

  broken(problem = null) {
    this.drop();
    this.on.stale();
    const again = () => {
      if (this.address) this.diagnose();
    };
    this.timer = setTimeout(again, problem?.status === 401 ? 0 : this.wait);
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT_MS);
  }

  // An event source does not tell why it has no connection. Whether one is to be had, a request tells.
  async diagnose() {
    const address = this.address;
    const stop = new AbortController();
    const late = setTimeout(() => stop.abort(), SILENCE_MS);
    let status = 0;
    let message = "";
    try {
      const answer = await fetch(address, { signal: stop.signal, cache: "no-store" });
      status = answer.status;
      if (status !== 200) message = (await answer.json()).message ?? "";
    } catch {
      // Nobody there, or nothing that makes sense: tried again.
    }
    clearTimeout(late);
    stop.abort();
    if (address !== this.address) return;
    if (status === 200) return this.connect();
    if (status) this.on.refused(status, message);
    if (address === this.address) this.broken();
  }
}
