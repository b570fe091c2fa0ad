// A row of numbers as a line. Numbers that are not known are gaps.

const SVG = "http://www.w3.org/2000/svg";
const WIDE = 100;
const HIGH = 30;

function piece(kind, marks) {
  const made = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(marks)) made.setAttribute(name, value);
  return made;
}

// `low` and `high` bound the scale where they are given; `mark` is a level to be seen beside the line.
export function line(points, { low = 0, high, mark } = {}) {
  const known = points.filter((point) => point !== null);
  const top = high ?? Math.max(1, ...known);
  const x = (at) => (points.length < 2 ? WIDE : (at * WIDE) / (points.length - 1));
  const y = (value) => HIGH - ((value - low) * HIGH) / (top - low || 1);
  const drawn = piece("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  if (mark !== undefined) drawn.append(piece("path", { class: "mark", d: `M0 ${y(mark)}H${WIDE}` }));
  for (const run of runs(points)) {
    const path = run.map(([at, value]) => `${x(at).toFixed(2)} ${y(value).toFixed(2)}`).join("L");
    const [first, last] = [x(run[0][0]), x(run.at(-1)[0])];
    drawn.append(piece("path", { class: "under", d: `M${first} ${HIGH}L${path}L${last} ${HIGH}Z` }));
    drawn.append(piece("path", { class: "run", d: `M${path}` }));
  }
  const end = points.findLastIndex((point) => point !== null);
  if (end >= 0) drawn.append(piece("path", { class: "end", d: `M${x(end)} ${y(points[end])}h0` }));
  return drawn;
}

// The stretches of known numbers, each with its places.
function runs(points) {
  const found = [];
  points.forEach((value, at) => {
    if (value === null) return;
    if (at === 0 || points[at - 1] === null) found.push([]);
    found.at(-1).push([at, value]);
  });
  return found;
}
