// The figures as the server pushes them, and the end of each silence.
//
// The server says something every two seconds at least. Where it is silent for longer, or the connection breaks, what is
// shown is stale, and a new connection is tried, by and by less often, until one holds. An event source would not tell
// why it has no connection, and asking for that beside it takes a second of the server's places: so the stream is read
// here, and the one request either is the stream or says why there is none.

const SILENCE_MS = 6500;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5000;

export class Source {
  // `on` has realtime, windows, live, stale and refused.
  constructor(on) {
    this.on = on;
    this.address = null;
    this.stop = null;
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
    this.stop?.abort();
    this.stop = null;
  }

  async connect() {
    this.drop();
    const stop = (this.stop = new AbortController());
    this.heard();
    let refusal = null;
    let problem = null;
    try {
      const answer = await fetch(this.address, { signal: stop.signal, cache: "no-store" });
      if (answer.ok) problem = await this.take(answer.body, stop);
      else refusal = { status: answer.status, message: await said(answer) };
    } catch {
      // Nobody there, or nothing that makes sense: tried again.
    }
    if (stop !== this.stop) return;
    if (refusal) this.refused(refusal);
    else this.broken(problem);
  }

  // Until the stream ends: with why, where the server says so as its last word.
  async take(body, stop) {
    for await (const { name, data } of events(body)) {
      if (stop !== this.stop) return null;
      if (name === "error") return data;
      this.heard();
      this.wait = FIRST_WAIT_MS;
      this.on.live();
      this.on[name]?.(data);
    }
    return null;
  }

  heard() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.broken(), SILENCE_MS);
  }

  broken(problem = null) {
    this.on.stale();
    this.again(problem?.status === 401 ? 0 : this.wait);
  }

  refused({ status, message }) {
    // Before it is told, which may lead to another address or to none.
    this.again(this.wait);
    this.on.refused(status, message);
  }

  again(wait) {
    this.drop();
    this.timer = setTimeout(() => this.connect(), wait);
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT_MS);
  }
}

async function said(answer) {
  try {
    return (await answer.json()).message ?? "";
  } catch {
    return "";
  }
}

// Server-sent events as this server writes them: a name, one line of JSON, an empty line.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const texts = (rest + value).split("\n\n");
    rest = texts.pop();
    for (const text of texts) {
      const [, name, data] = /^event: (\w+)\ndata: (.*)$/.exec(text) ?? [];
      if (name) yield { name, data: JSON.parse(data) };
    }
  }
}
