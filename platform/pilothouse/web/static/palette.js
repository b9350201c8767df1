// The command palette: pages, acts and preferences at once, what plugins find after two letters.
const { $, $$, el, gone, open, pref } = PH, root = document.documentElement;
const pal = $("#palette"), input = $("#palette-q"), list = $("#palette-list");
let hits = [], chosen = 0, abort = null, remote = [];

/** Where the letters of `q` stand in a text: as a part first, else one after the other; -1 where they do not. */
const fuzzy = (text, q) => {
  text = text.toLowerCase();
  const part = text.indexOf(q);
  if (part >= 0) return part;
  let at = -1;
  for (const letter of q) { at = text.indexOf(letter, at + 1); if (at < 0) return -1; }
  return 1000 + at;
};

const local = () => [
  ...$$("[data-nav]").map(link => ({ group: "Go to", title: link.dataset.nav, url: link.href, key: link.dataset.g && "g " + link.dataset.g })),
  ...$$("[data-cmd]").map(button => ({ group: "Actions", title: button.dataset.cmd, run: () => button.click(), key: button.dataset.key })),
  ...["light", "dark", "system"].map(theme => ({ group: "Preferences", title: `Theme: ${theme}`, run: () => pref("theme", theme) })),
  ...["compact", "default", "roomy"].map(density => ({ group: "Preferences", title: `Density: ${density}`, run: () => pref("density", density) })),
  { group: "Preferences", title: "Switch absolute and relative times", run: () => pref("times", root.dataset.times === "absolute" ? "relative" : "absolute") },
  { group: "Preferences", title: "Keyboard shortcuts", run: () => open("keyhelp"), key: "?" },
];

const draw = (gap = "") => {
  const q = input.value.trim().toLowerCase();
  const ranked = local().map(hit => ({ ...hit, rank: q ? fuzzy(hit.title, q) : 0 }));
  const mine = ranked.filter(hit => hit.rank >= 0 && (q || hit.group !== "Preferences")).sort((a, b) => a.rank - b.rank);
  hits = [...remote, ...mine];
  const groups = [...new Set(hits.map(hit => hit.group))];
  hits = groups.flatMap(group => hits.filter(hit => hit.group === group).slice(0, 8));
  chosen = Math.min(chosen, Math.max(0, hits.length - 1));
  list.replaceChildren();
  let group = "", holder;
  hits.forEach((hit, index) => {
    if (hit.group !== group) {
      group = hit.group;
      holder = el("div", { role: "group", "aria-label": group }, el("h3", { textContent: group, "aria-hidden": "true" }));
      list.append(holder);
    }
    const option = el("div", { role: "option", id: "o" + index, "aria-selected": index === chosen }, el("span", { textContent: hit.title }), el("span", { className: "sub", textContent: hit.detail || "" }));
    if (hit.key) option.append(el("kbd", { textContent: hit.key }));
    option.onclick = event => pick(index, event.ctrlKey || event.metaKey);
    option.onmousemove = () => { if (chosen !== index) { chosen = index; mark(); } };
    holder.append(option);
  });
  if (gap) list.append(el("p", { className: "none", textContent: gap }));
  else if (!hits.length) list.append(el("p", { className: "none", textContent: q ? `Nothing found for “${input.value.trim()}”` : "Nothing to choose from" }));
  mark();
};

const mark = () => {
  $$("[role=option]", list).forEach((option, index) => option.setAttribute("aria-selected", index === chosen));
  input.setAttribute("aria-activedescendant", hits.length ? "o" + chosen : "");
  $("#o" + chosen)?.scrollIntoView({ block: "nearest" });
};

const pick = (index, tab) => {
  const hit = hits[index];
  if (!hit) return;
  pal.close();
  if (!hit.url) hit.run(); else if (tab) window.open(hit.url); else location.href = hit.url;
};

const look = async () => {
  abort?.abort();
  const q = input.value.trim();
  if (q.length < 2) { remote = []; return draw(); }
  const mine = abort = new AbortController();
  try {
    const answer = await fetch(input.dataset.url + "?q=" + encodeURIComponent(q), { signal: mine.signal });
    if (gone(answer)) return;
    if (!answer.ok) throw answer;
    remote = (await answer.json()).flatMap(group => group.hits.map(hit => ({ ...hit, group: group.title })));
    draw();
  } catch { if (!mine.signal.aborted) { remote = []; draw("What is stored cannot be searched now; pages and acts can."); } }
};

input.addEventListener("input", () => { chosen = 0; draw(); look(); });
input.addEventListener("keydown", event => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) { event.preventDefault(); chosen = (chosen + step + hits.length) % (hits.length || 1); mark(); }
  else if (event.key === "Enter") { event.preventDefault(); pick(chosen, event.ctrlKey || event.metaKey); }
});

export const start = () => { remote = []; chosen = 0; draw(); look(); };
