// The figures on the page. What does not change is not touched, so that nothing flickers and nothing is read out twice.

import { line } from "./trend.js";

const STATUSES = ["pending", "reserved", "assigned", "wrapping"];
const number = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const calendar = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const DAY_S = 86_400;
// Rows where the page scrolls anyway; where it does not, as many as there is room for.
const ROWS = 10;
const wide = matchMedia("(min-width: 1101px)");

export const place = (id) => document.getElementById(id);

export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// A large figure, and how wide it is in the widest of the usual fonts, by which the style makes it fit.
function fit(element, text) {
  if (element.textContent === text) return;
  element.textContent = text;
  const ems = [...text].reduce((all, sign) => all + (/[:,. ]/.test(sign) ? 0.37 : 0.665), 0);
  element.style.setProperty("--ems", ems.toFixed(3));
}

export function time(ms) {
  return clock.format(new Date(ms));
}

// 7 → 0:07, 3725 → 1:02:05, 266400 → 3 d 02 h
export function length(seconds) {
  const two = (part) => String(part).padStart(2, "0");
  if (seconds >= DAY_S) return `${Math.floor(seconds / DAY_S)} d ${two(Math.floor(seconds / 3600) % 24)} h`;
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

export function realtime(figures) {
  const { tasks_by_status: status } = figures;
  fit(place("total-tasks"), number.format(figures.total_tasks));
  say(place("total-workers"), number.format(figures.total_workers));
  for (const name of STATUSES) fit(place(`status-${name}`), number.format(status[name]));
  for (const name of ["completed", "canceled"]) say(place(`status-${name}`), number.format(status[name]));
  for (const name of STATUSES) place("status-parts").querySelector(`.${name}`).style.flexGrow = status[name];
  rows("priorities", figures.tasks_by_priority.toReversed().map(([priority, tasks]) => [`Priority ${priority}`, tasks]));
  rows("activities", figures.activities.map(({ name, sid, workers }) => [name || sid, workers]));
}

const latest = new Map();
const resized = new ResizeObserver((entries) => entries.forEach(({ target: { id } }) => rows(id, latest.get(id))));

function rows(id, all) {
  const list = place(id);
  if (!latest.has(id)) resized.observe(list);
  latest.set(id, all);
  place(`${id}-none`).hidden = all.length > 0;
  const wanted = fullest(all, room(list));
  while (list.children.length > wanted.length) list.lastElementChild.remove();
  const most = Math.max(1, ...all.map(([, count]) => count));
  wanted.forEach(([name, count, isRest], at) => {
    const row = list.children[at] ?? list.appendChild(newRow());
    const [bar, title, figure] = row.children;
    bar.style.width = isRest ? "0" : `${(100 * count) / most}%`;
    say(title, name);
    title.title = name;
    say(figure, number.format(count));
  });
}

// How many rows the list has room for.
function room(list) {
  const first = list.firstElementChild ?? list.appendChild(newRow());
  const { paddingTop, rowGap } = getComputedStyle(list);
  const high = list.clientHeight - parseFloat(paddingTop) + parseFloat(rowGap);
  return wide.matches && first.offsetHeight ? Math.floor(high / (first.offsetHeight + parseFloat(rowGap))) : ROWS;
}

// Those of the largest counts in their old order, and one row for all others.
function fullest(all, room) {
  if (all.length <= room) return all;
  const kept = new Set(all.toSorted(([, one], [, other]) => other - one).slice(0, Math.max(0, room - 1)));
  const others = all.filter((row) => !kept.has(row));
  const rest = others.reduce((sum, [, count]) => sum + count, 0);
  return [...all.filter((row) => kept.has(row)), [kept.size ? `and ${others.length} more` : `${others.length} in all`, rest, true]];
}

function newRow() {
  const row = document.createElement("div");
  const bar = document.createElement("i");
  bar.setAttribute("aria-hidden", "true");
  row.append(bar, document.createElement("dt"), document.createElement("dd"));
  return row;
}

// How long the longest has waited by now, in its colour. The level is said in words, too.
export function wait(age_ms, since_ms, { warn, alarm }) {
  const tile = place("wait");
  const seconds = Math.floor((age_ms ?? 0) / 1000);
  const level = age_ms === null || seconds < Math.min(warn, alarm) ? "calm" : seconds >= alarm ? "alarm" : "warn";
  fit(place("wait-age"), age_ms === null ? "0:00" : length(seconds));
  const since = age_ms === null ? "Nobody waits" : `since ${seconds < DAY_S ? time(since_ms) : calendar.format(new Date(since_ms))}`;
  const over = { calm: "", warn: `, over ${length(warn)}`, alarm: `, over ${length(alarm)}` }[level];
  say(place("wait-said"), since + over);
  if (tile.dataset.level === level) return;
  tile.dataset.level = level;
  say(place("wait-alarm"), level === "calm" ? "" : `Longest wait${over}`);
}

const span = (minutes) => (minutes < 60 ? `${minutes} minutes` : `${minutes / 60} hours`);
const share = (part, whole) => (whole ? (100 * part) / whole : null);

export function windows(told, { target }) {
  told.windows.forEach((figures, at) => {
    const tile = document.querySelectorAll(".window")[at] ?? newWindow(figures);
    const show = (name, text, points, scale, sense) => {
      const row = tile.querySelector(`[data-figure="${name}"]`);
      say(row.querySelector("b"), text);
      trend(row.querySelector(".trend"), points, scale, sense);
      return row;
    };
    say(tile.querySelector(".level dt"), `Service level, accepted within ${told.service_level_s} s`);
    const { trend: past } = figures;
    const why = tile.querySelector(".beside");
    why.hidden = Boolean(past);
    say(why, past ? "" : `No figures: this server keeps less than ${span(figures.minutes)} (--retention).`);
    tile.querySelector("dl").hidden = !past;
    if (!past) return;
    const level = share(figures.accepted_below, figures.reservations_accepted);
    const levels = past.reservations_accepted.map((whole, bucket) => share(past.accepted_below[bucket], whole));
    const shown = level === null ? "–" : `${percent(level)}%`;
    const row = show("level", shown, levels, { high: 100, mark: target }, (value) => `${percent(value)}%`);
    row.dataset.level = level === null ? "none" : level >= target ? "good" : "bad";
    show("created", number.format(figures.tasks_created), past.tasks_created);
    show("accepted", number.format(figures.reservations_accepted), past.reservations_accepted);
    show("canceled", number.format(figures.tasks_canceled), past.tasks_canceled);
    const seconds = (ms) => length(Math.round(ms / 1000));
    const accepted = past.avg_acceptance_ms.map((ms, bucket) => (past.reservations_accepted[bucket] ? ms : null));
    const average = figures.reservations_accepted ? seconds(figures.avg_acceptance_ms) : "–";
    show("acceptance", average, accepted, {}, seconds);
  });
}

// Whole percents that were reached: never 100 where one is missing, nor the target where it was missed.
function percent(share) {
  return String(Math.floor(share));
}

function newWindow({ minutes }) {
  const template = place("window");
  const tile = template.content.firstElementChild.cloneNode(true);
  const [title, id] = [tile.querySelector("h2"), `window-${minutes}`];
  title.id = id;
  title.textContent = span(minutes);
  tile.setAttribute("aria-labelledby", id);
  template.before(tile);
  return tile;
}

function trend(element, points, scale, sense = (value) => number.format(value)) {
  const drawn = JSON.stringify([points, scale]);
  if (element.dataset.drawn === drawn) return;
  element.dataset.drawn = drawn;
  const known = points.filter((point) => point !== null);
  element.replaceChildren(line(points, scale));
  element.setAttribute("role", "img");
  const ends = () => `from ${sense(known[0])} to ${sense(known.at(-1))}, at most ${sense(Math.max(...known))}`;
  element.setAttribute("aria-label", known.length ? `Trend: ${ends()}` : "No trend yet");
}
