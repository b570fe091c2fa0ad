// The wallboard: puts the address, the server's figures and the page together.

import * as session from "./session.js";
import * as settings from "./settings.js";
import { Source } from "./source.js";
import * as view from "./view.js";

const { place, say } = view;
const LOOK_EVERY_MS = 30_000;
const SHORT_SID = 12;
const ABSENT = ["No answer", "The server is not there yet. This page goes on trying."];
const EMPTY_LINK = "No workspace yet";
const OFFERED = 6;
const EMPTY = ["Nothing to show yet", "The first event that the server accepts brings its workspace here."];

let chosen = settings.read();
let told = null;
let toldWindows = null;
let isLive = false;
// When the figures came, and when anything did.
let toldAt = 0;
let heardAt = 0;
// Workspaces that this page has known, and whether somebody was signed in when it last asked.
const seen = new Set();
let wasSignedIn = false;

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
    seen.add(chosen.workspace);
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
    if (status === 404) return missing();
    if (told) return;
    link("connecting", "Trying again");
    notice("No figures yet", message || `The server answered ${status}.`);
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

function notice(title, text, offered = []) {
  say(place("notice-title"), title);
  say(place("notice-text"), text);
  const offer = place("notice-offer");
  if (offer.dataset.of !== `${offered}`) {
    offer.dataset.of = `${offered}`;
    offer.replaceChildren(...offered.slice(0, OFFERED).map(button));
  }
  show("notice");
}

function button(sid) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "strong";
  made.title = sid;
  made.textContent = `Show ${short(sid)}`;
  made.addEventListener("click", () => take(sid));
  return made;
}

// A workspace that somebody chose.
function take(workspace) {
  choose({ workspace, channel: "", isFound: false });
  restart();
}

// The workspace is not there: where nobody chose it the page goes on to another one, else it offers those that there are.
async function missing() {
  const wanted = chosen.workspace;
  const known = await list("/wallboard/workspaces").catch(() => null);
  // Nobody answers, or it is there by now, or another one was chosen meanwhile: the next try tells.
  if (known === null || known.workspaces.includes(wanted) || wanted !== chosen.workspace) return;
  told = toldWindows = null;
  isLive = false;
  const sids = known.workspaces;
  if (chosen.isFound) {
    choose({ workspace: sids[0] ?? "" });
    return restart();
  }
  link("absent", "No such workspace");
  options(sids);
  const what = seen.has(wanted) ? `Nothing is known of ${short(wanted)} any more.` : `Nothing is known of ${short(wanted)} here.`;
  const next = sids.length ? "These are known:" : "It is shown as soon as the server accepts an event of it.";
  notice("No such workspace", `${what} ${next}`, sids);
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
  options(sids);
  if (!chosen.workspace) return false; // Nothing has been accepted yet.
  const channels = await list(`/wallboard/channels?workspace=${encodeURIComponent(chosen.workspace)}`);
  const names = (channels?.channels ?? []).map((name) => [name, name]);
  fill(place("channel"), [["", "All channels"], ...names], chosen.channel);
  return true;
}

function options(sids) {
  for (const sid of sids) seen.add(sid);
  fill(place("workspace"), sids.map((sid) => [sid, short(sid)]), chosen.workspace);
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
    if (wasSignedIn) say(place("door-said"), "Your session has ended. Sign in again.");
    wasSignedIn = false;
    source.close();
    told = null;
    isLive = false;
    link("connecting", "Signed out");
    show("door");
    place("token").focus();
    return;
  }
  if (state !== null) wasSignedIn = state === "signed-in";
  try {
    const there = state === null ? null : await lists();
    if (there) {
      if (source.address === null) listen();
    } else if (!told) {
      if (there === false) link("absent", EMPTY_LINK);
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
  take(event.target.value);
});
place("channel").addEventListener("change", (event) => {
  // A channel is one of its workspace: whoever chose it chose that, too.
  choose({ channel: event.target.value, isFound: false });
  restart();
});
place("choice").addEventListener("submit", (event) => event.preventDefault());
place("theme").addEventListener("click", () => choose({ theme: settings.nextTheme(chosen.theme) }));
place("open-settings").addEventListener("click", () => {
  settings.intoForm(chosen, place("settings-form"));
  say(place("settings-said"), "");
  place("settings").showModal();
});
place("settings-cancel").addEventListener("click", () => place("settings").close());
place("settings-form").addEventListener("submit", (event) => {
  const { within } = chosen;
  const wanted = settings.ofForm(place("settings-form"));
  const wrong = settings.wrong(wanted);
  say(place("settings-said"), wrong ?? "");
  if (wrong !== null) return event.preventDefault();
  choose(wanted);
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
  wasSignedIn = false;
  await session.signOut();
  restart();
});

setInterval(tick, 200);
dress();
begin();
