// The figures on the page. What does not change is not touched, so that nothing flickers and nothing is read out twice.

import { line } from "./trend.js";

const STATUSES = ["pending", "reserved", "assigned", "wrapping"];
const number = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export const place = (id) => document.getElementById(id);

export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function time(ms) {
  return clock.format(new Date(ms));
}

// 7 → 0:07, 3725 → 1:02:05
export function length(seconds) {
  const two = (part) => String(part).padStart(2, "0");
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

export function realtime(figures) {
  const { tasks_by_status: status } = figures;
  say(place("total-tasks"), number.format(figures.total_tasks));
  say(place("total-workers"), number.format(figures.total_workers));
  for (const name of [...STATUSES, "completed", "canceled"]) say(place(`status-${name}`), number.format(status[name]));
  for (const name of STATUSES) place("status-parts").querySelector(`.${name}`).style.flexGrow = status[name];
  rows("priorities", figures.tasks_by_priority.toReversed().map(([priority, tasks]) => [`Priority ${priority}`, tasks]));
  rows("activities", figures.activities.map(({ name, sid, workers }) => [name || sid, workers]));
}

function rows(id, wanted) {
  const list = place(id);
  place(`${id}-none`).hidden = wanted.length > 0;
  while (list.children.length > wanted.length) list.lastElementChild.remove();
  const most = Math.max(1, ...wanted.map(([, count]) => count));
  wanted.forEach(([name, count], at) => {
    const row = list.children[at] ?? list.appendChild(newRow());
    const [bar, title, figure] = row.children;
    bar.parentElement.firstElementChild.style.width = `${(100 * count) / most}%`;
    say(title, name);
    title.title = name;
    say(figure, number.format(count));
  });
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
  say(place("wait-age"), age_ms === null ? "0:00" : length(seconds));
  const since = age_ms === null ? "Nobody waits" : `since ${time(since_ms)}`;
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
    if (!past) return ["level", "created", "accepted", "canceled", "acceptance"].forEach((name) => show(name, "–", []));
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

// Never 100 where one is missing.
function percent(share) {
  return share === 100 ? "100" : (Math.floor(share * 10) / 10).toFixed(share < 10 ? 1 : 0);
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
