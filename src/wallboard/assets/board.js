// The wallboard: puts the address, the server's figures and the page together.

import * as session from "./session.js";
import * as settings from "./settings.js";
import { Source } from "./source.js";
import * as view from "./view.js";

const { place, say } = view;
const LOOK_EVERY_MS = 30_000;
const SHORT_SID = 12;
const ABSENT = ["No answer", "The server is not there yet. This page goes on trying."];
const EMPTY = ["Nothing to show yet", "The first event that the server accepts brings its workspace here."];

let chosen = settings.read();
let told = null;
let toldWindows = null;
let isLive = false;
// When the figures came, and when anything did.
let toldAt = 0;
let heardAt = 0;

const source = new Source({
  live() {
    if (isLive) return;
    isLive = true;
    link("live", "Live");
    show("board");
  },
  stale() {
    isLive = false;
    if (told) link("stale", `Stale since ${view.time(told.as_of_ms + (heardAt - toldAt))}`);
    else link("connecting", "Connecting");
  },
  realtime(figures) {
    told = figures;
    toldAt = heardAt = performance.now();
    view.realtime(figures);
    tick();
  },
  windows(figures) {
    heardAt = performance.now();
    toldWindows = figures;
    view.windows(figures, chosen);
  },
  async refused(status, message) {
    if (status === 401) return begin();
    if (status === 404) return notice("No such workspace", "Nothing is known of it any more. Choose another one above.");
    if (!told) notice("No figures yet", message || `The server answered ${status}.`);
  },
});
function link(state, text) {
  document.body.dataset.link = state;
  say(place("link"), text);
}

function show(view) {
  document.body.dataset.view = view;
  for (const id of ["board", "notice", "door"]) place(id).hidden = id !== view;
}

function notice(title, text) {
  say(place("notice-title"), title);
  say(place("notice-text"), text);
  show("notice");
}

// The wait goes on between two messages, by this page's own clock alone: nobody's time of day is asked.
function tick() {
  if (!told || document.body.dataset.link === "stale") return;
  const { longest_wait: longest } = told;
  const age = longest && longest.age_ms + (performance.now() - toldAt);
  view.wait(age, longest?.since_ms, chosen);
}

async function list(path) {
  const answer = await fetch(path, { cache: "no-store" });
  if (answer.status === 401) throw new Error("signed out");
  return answer.ok ? answer.json() : null;
}

function fill(select, options, value) {
  const wanted = options.some(([other]) => other === value) || !value ? options : [...options, [value, short(value)]];
  const same = wanted.length === select.options.length && wanted.every(([other], at) => select.options[at].value === other);
  if (!same) select.replaceChildren(...wanted.map(([other, text]) => new Option(text, other)));
  select.value = value;
}

const short = (sid) => (/^WS[0-9a-f]{32}$/i.test(sid) ? `${sid.slice(0, SHORT_SID)}…` : sid);

async function lists() {
  const known = await list("/wallboard/workspaces");
  if (known === null) return null;
  const sids = known.workspaces;
  if (!chosen.workspace && sids.length) choose({ workspace: sids[0] });
  fill(place("workspace"), sids.map((sid) => [sid, short(sid)]), chosen.workspace);
  if (!chosen.workspace) return false; // Nothing has been accepted yet.
  const channels = await list(`/wallboard/channels?workspace=${encodeURIComponent(chosen.workspace)}`);
  const names = (channels?.channels ?? []).map((name) => [name, name]);
  fill(place("channel"), [["", "All channels"], ...names], chosen.channel);
  return true;
}

function choose(changes) {
  chosen = { ...chosen, ...changes };
  settings.write(chosen);
  dress();
}

function dress() {
  document.documentElement.dataset.theme = chosen.theme;
  say(place("theme"), `Theme: ${chosen.theme}`);
  say(place("title"), chosen.title || "tasktally");
  document.title = `${chosen.title || chosen.channel || "Wallboard"} · tasktally`;
}

function listen() {
  const asked = new URLSearchParams({ workspace: chosen.workspace, channel: chosen.channel, within: chosen.within });
  source.open(`/wallboard/stream?${asked}`);
}

let looking = 0;

// From whatever is known of the caller to the figures, or to the door.
async function begin() {
  clearTimeout(looking);
  const state = await session.ask();
  place("sign-out").hidden = state !== "signed-in";
  if (state === "needed") {
    source.close();
    told = null;
    isLive = false;
    link("connecting", "Signed out");
    show("door");
    place("token").focus();
    return;
  }
  try {
    const there = state === null ? null : await lists();
    if (there) {
      if (source.address === null) listen();
    } else if (!told) {
      notice(...(there === null ? ABSENT : EMPTY));
    }
  } catch {
    // Signed out meanwhile, or gone: the next look tells.
  }
  looking = setTimeout(begin, source.address === null ? 2000 : LOOK_EVERY_MS);
}

function restart() {
  source.close();
  told = toldWindows = null;
  isLive = false;
  link("connecting", "Connecting");
  begin();
}

place("workspace").addEventListener("change", (event) => {
  choose({ workspace: event.target.value, channel: "" });
  restart();
});
place("channel").addEventListener("change", (event) => {
  choose({ channel: event.target.value });
  restart();
});
place("choice").addEventListener("submit", (event) => event.preventDefault());
place("theme").addEventListener("click", () => choose({ theme: settings.nextTheme(chosen.theme) }));
place("open-settings").addEventListener("click", () => {
  settings.intoForm(chosen, place("settings-form"));
  place("settings").showModal();
});
place("settings-cancel").addEventListener("click", () => place("settings").close());
place("settings-form").addEventListener("submit", () => {
  const within = chosen.within;
  choose(settings.ofForm(place("settings-form")));
  if (toldWindows) view.windows(toldWindows, chosen);
  tick();
  if (chosen.within !== within) restart();
});
place("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  say(place("door-said"), "");
  const wrong = await session.signIn(place("token").value.trim());
  place("token").value = "";
  if (wrong === null) return restart();
  say(place("door-said"), wrong);
  place("token").focus();
});
place("sign-out").addEventListener("click", async () => {
  source.close();
  await session.signOut();
  restart();
});

setInterval(tick, 200);
dress();
begin();
