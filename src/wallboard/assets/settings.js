// What this board shows and how, as the page's address says it: a bookmark brings it back.

const WHOLE = { within: [20, 1, 86400], target: [80, 0, 100], warn: [60, 1, 86400], alarm: [180, 1, 86400] };
const THEMES = ["auto", "light", "dark"];

function whole(text, [usual, least, most]) {
  const number = /^\d{1,6}$/.test(text ?? "") ? Number(text) : NaN;
  return number >= least && number <= most ? number : usual;
}

export function read(search = location.search) {
  const given = new URLSearchParams(search);
  const settings = {
    workspace: given.get("workspace") ?? "",
    channel: given.get("channel") ?? "",
    title: (given.get("title") ?? "").slice(0, 60),
    theme: THEMES.includes(given.get("theme")) ? given.get("theme") : "auto",
    // Whether nobody chose the workspace: the page found it. A reload knows it still, a bookmark does not.
    isFound: !given.get("workspace") || history.state?.isFound === true,
  };
  for (const [name, bounds] of Object.entries(WHOLE)) settings[name] = whole(given.get(name), bounds);
  return settings;
}

// Only what differs from the usual stands in the address.
export function write(settings) {
  const given = new URLSearchParams();
  for (const name of ["workspace", "channel", "title"]) if (settings[name]) given.set(name, settings[name]);
  for (const [name, [usual]] of Object.entries(WHOLE)) if (settings[name] !== usual) given.set(name, settings[name]);
  if (settings.theme !== "auto") given.set("theme", settings.theme);
  const query = given.toString();
  history.replaceState({ isFound: settings.isFound }, "", query ? `?${query}` : location.pathname);
}

export function nextTheme(theme) {
  return THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
}

// What a form of these fields says, within their bounds.
export function ofForm(form) {
  const said = { title: form.elements.title.value.trim().slice(0, 60) };
  for (const [name, bounds] of Object.entries(WHOLE)) said[name] = whole(form.elements[name].value, bounds);
  return said;
}

// What is wrong with it beyond the bounds of each field, or null.
export function wrong({ warn, alarm }) {
  return warn > alarm ? `The warning cannot come after the alarm: ${warn} s is more than ${alarm} s.` : null;
}

export function intoForm(settings, form) {
  form.elements.title.value = settings.title;
  for (const name of Object.keys(WHOLE)) form.elements[name].value = settings[name];
}
