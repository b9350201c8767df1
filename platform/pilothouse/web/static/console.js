/* Pilothouse console: improves pages that work without it. Plain ES, no dependency. Public: window.PH. */
(() => {
  "use strict";
  const doc = document, root = doc.documentElement, $ = (s, e = doc) => e.querySelector(s), $$ = (s, e = doc) => [...e.querySelectorAll(s)];
  const policy = window.trustedTypes ? trustedTypes.createPolicy("ph", { createHTML: s => s }) : { createHTML: s => s };
  const parse = html => { const t = doc.createElement("template"); t.innerHTML = policy.createHTML(html); return t.content; };
  const el = (tag, props = {}, ...kids) => { const e = doc.createElement(tag); for (const [k, v] of Object.entries(props)) k in e && k !== "role" ? e[k] = v : e.setAttribute(k, v); e.append(...kids); return e; };
  const emit = (name, detail) => doc.dispatchEvent(new CustomEvent("ph:" + name, { detail }));
  const csrf = () => $('meta[name="csrf-token"]')?.content || "";
  const skew = Date.now() - (+root.dataset.now || Date.now());
  const now = () => Date.now() - skew;
  const NB = "\u00a0", S = 1e3, M = 6e4, H = 36e5, D = 864e5;
  const two = n => String(Math.floor(n)).padStart(2, "0");

  /* ---- figures: the same forms as web/formats.py ---- */
  const duration = ms => {
    const unit = ms < S - .5 ? 1 : ms < M - 50 ? 100 : ms < H - S / 2 ? S : ms < D - M / 2 ? M : H;
    ms = Math.max(0, Math.round(ms / unit) * unit);
    const pair = (a, an, b, bn) => Math.floor(ms / a) + NB + an + NB + two(ms % a / b) + NB + bn;
    return ms < S ? ms + NB + "ms" : ms < M ? (ms / S).toFixed(1) + NB + "s" : ms < H ? pair(M, "m", S, "s") : ms < D ? pair(H, "h", M, "m") : pair(D, "d", H, "h");
  };
  const since = at => {
    const d = now() - at, n = Math.abs(d);
    if (n < 5 * S) return "now";
    const t = n >= D ? Math.floor(n / D) + "d" : n >= H ? Math.floor(n / H) + "h" : n >= M ? Math.floor(n / M) + "m" : Math.floor(n / S) + "s";
    return d > 0 ? t + " ago" : "in " + t;
  };
  const put = (e, text) => { if (e.textContent !== text) e.textContent = text; };
  const tick = (e = doc) => { for (const t of $$("[data-t]", e)) put(t, since(+t.dataset.t)); for (const r of $$("[data-run]", e)) put(r, duration(now() - r.dataset.run)); };
  setInterval(() => doc.hidden || tick(), 1000);

  /* ---- saying things ---- */
  const say = text => { const s = $("#say"); if (s) { s.textContent = ""; setTimeout(() => s.textContent = text, 30); } };
  const TONES = { success: "ok", error: "bad", warning: "warn", info: "run" };
  const ICONS = { ok: "m5.2 8.2 2 2 3.6-4.2", bad: "M8 4.6v4M8 11.1v.1", warn: "M8 4.6v4M8 11.1v.1", run: "M8 7.4v3.8M8 4.9V5" };
  const glyph = d => parse(`<svg class="i" viewBox="0 0 16 16" aria-hidden="true"><circle cx="8" cy="8" r="6.25"/><path d="${d}"/></svg>`);
  const cross = () => parse('<svg class="i" viewBox="0 0 16 16" aria-hidden="true"><path d="m4 4 8 8M12 4l-8 8"/></svg>');
  const toast = ({ title, text = "", tone = "success", url, label = "View", undo }) => {
    const box = $("#toasts"); if (!box) return;
    const t = TONES[tone] || tone, node = el("div", { className: "toast t-" + t }), body = el("div", {}, el("b", { textContent: title }));
    let timer; const close = () => { clearTimeout(timer); node.remove(); }, wait = () => { if (t !== "bad") timer = setTimeout(close, 7000); };
    if (text) body.append(el("p", { textContent: text }));
    if (url) body.append(el("a", { className: "link", href: url, textContent: label }));
    if (undo) { const b = el("button", { className: "link", type: "button", textContent: undo.label }); b.onclick = () => { close(); send(undo.url, new URLSearchParams(undo.fields)); }; body.append(b); }
    const x = el("button", { className: "btn ghost small icon", type: "button", "aria-label": "Dismiss" }, cross()); x.onclick = close;
    node.append(glyph(ICONS[t] || ICONS.run), body, x);
    node.onmouseenter = node.onfocusin = () => clearTimeout(timer); node.onmouseleave = node.onfocusout = wait;
    box.append(node); while (box.children.length > 3) box.firstChild.remove(); wait();
  };
  const copy = async (text, what) => {
    try { await navigator.clipboard.writeText(text); toast({ title: "Copied " + (what || "it"), text: text.length > 80 ? text.slice(0, 80) + "…" : text }); }
    catch { toast({ title: "The browser refused to copy", text: "Select the text and press Ctrl C.", tone: "warning" }); }
  };

  /* ---- requests ---- */
  const here = () => location.pathname + location.search;
  const gone = r => { if (r.status === 401) { emit("leaving"); guarded.clear(); location.href = "/login?next=" + encodeURIComponent(here()); return true; } return false; };
  /* asks for a part of a page; a server that does not answer at all must not hold up what is asked next */
  const ask = (url, part, headers) => fetch(url, { headers: { "X-Ph-Fragment": part, ...headers }, cache: "no-store", signal: AbortSignal.timeout(10 * S) });
  const send = async (url, body, form) => {
    try {
      const r = await fetch(url, { method: "POST", body, headers: { "X-CSRF-Token": csrf(), "X-Ph-Async": "1", Accept: "application/json" }, signal: AbortSignal.timeout(M) });
      if (gone(r)) return;
      const j = r.headers.get("Content-Type")?.includes("json") ? await r.json() : null;
      if (j?.type?.endsWith("/proof_wanted")) return location.href = "/login?again=1&next=" + encodeURIComponent(here());
      if (!r.ok) revert(form);
      if (!r.ok) return toast({ title: j?.title || "That did not work", text: j?.detail || `The server answered ${r.status}.`, tone: "error" });
      if (!j) return location.reload();
      if (j.html && form?.dataset.target) { const t = $(form.dataset.target); t?.replaceChildren(parse(j.html)); tick(t); }
      if (j.toast) { if (j.url || j.refresh && !live.length) sessionStorage.phToast = JSON.stringify(j.toast); else toast(j.toast); } /* or the page that comes next says it */
      if (j.url) location.href = j.url;
      if (j.refresh) { clearSelection(); live.length ? pull(true) : location.reload(); emit("refresh"); }
    } catch (e) { revert(form); toast(e.name === "TimeoutError" ? { title: "The server did not answer", text: "Look whether it was done before you try again.", tone: "error" } : { title: "The server cannot be reached", text: "Nothing was changed. Try again.", tone: "error" }); }
  };
  /* what was not stored must not look as if it were */
  let changed = null;
  const revert = form => { if (form?.hasAttribute("data-reset")) form.reset(); else if (form && changed?.form === form && changed.type === "checkbox") changed.checked = !changed.checked; };
  const submitting = new Set();
  const busy = (b, on) => { if (!b) return; on ? b.setAttribute("aria-busy", "true") : b.removeAttribute("aria-busy"); if (on && b.dataset.busy) { b.dataset.was = b.textContent; b.textContent = b.dataset.busy; } else if (b.dataset.was) { b.textContent = b.dataset.was; delete b.dataset.was; } };
  doc.addEventListener("submit", async ev => {
    const form = ev.target, by = ev.submitter;
    if (form.method === "dialog") return;
    const asks = by?.dataset.confirm ? by : form.dataset.confirm ? form : null;
    if (asks && !form.dataset.sure) { ev.preventDefault(); const into = $("[data-said]", form); if (await confirmBox(asks.dataset, into)) { form.dataset.sure = 1; form.append(el("input", { type: "hidden", name: "confirmed", value: "1" })); form.requestSubmit(by); } return; }
    delete form.dataset.sure;
    if (form.hasAttribute("data-prefs") && by) { ev.preventDefault(); return pref(by.name, by.value); }
    if (form.method === "get") {
      for (const i of $$("input[name], select[name]", form)) if (!i.value) { i.disabled = true; setTimeout(() => i.disabled = false); }
      if (form.hasAttribute("data-custom-range")) for (const i of $$("[type=datetime-local]", form)) if (i.value) { const at = new Date(i.value).getTime(); i.type = "hidden"; i.value = at; }
      return;
    }
    if (submitting.has(form)) return ev.preventDefault();
    submitting.add(form); busy(by, true); guarded.delete(form);
    if (!form.hasAttribute("data-async")) return setTimeout(() => { submitting.delete(form); busy(by, false); }, 30 * S); /* stopped by the reader, or never answered */
    ev.preventDefault();
    const data = new FormData(form, by); if (!data.has("csrf_token")) data.append("csrf_token", csrf());
    await send(by?.getAttribute("formaction") || form.action, new URLSearchParams(data), form);
    submitting.delete(form); busy(by, false); $$("[name=confirmed]", form).forEach(e => e.remove());
  });
  addEventListener("pageshow", ev => { if (ev.persisted) { submitting.clear(); $$("[aria-busy]").forEach(b => busy(b, false)); } });
  const guarded = new Set();
  const typed = () => import(root.dataset.typed); /* keeps what was typed; fetched where there is something to keep or to give back */
  doc.addEventListener("input", ev => { const f = ev.target.form; if (f?.hasAttribute("data-guard")) guarded.add(f); if (f?.method === "post") typed().then(m => m.edit(f)); });
  addEventListener("beforeunload", ev => { if (guarded.size) ev.preventDefault(); });

  /* ---- dialogs ---- */
  const open = d => { d = typeof d === "string" ? $("#" + d) : d; if (d && !d.open) d.showModal(); return d; };
  const confirmBox = ({ confirm, confirmText = "", confirmVerb = "Go on", confirmName }, into) => new Promise(done => {
    const d = $("#confirm"); if (!d) return done(window.confirm(confirm + "\n" + confirmText));
    $("#confirm-title").textContent = confirm; $("#confirm-text").textContent = confirmText;
    const yes = $("[value=yes]", d), field = $(".field", d), input = $("input", field); yes.textContent = confirmVerb;
    field.hidden = !confirmName && !into; input.value = ""; $("label", field).textContent = confirmName ? `Type ${confirmName} to go on` : into?.dataset.said || "";
    d.onclose = () => { if (into) into.value = input.value; done(d.returnValue === "yes" && (!confirmName || input.value === confirmName)); }; d.returnValue = ""; open(d);
  });
  doc.addEventListener("click", ev => { if (ev.target.nodeName === "DIALOG" && ev.target.open) { const r = ev.target.getBoundingClientRect(); if (ev.clientX < r.left || ev.clientX > r.right || ev.clientY < r.top || ev.clientY > r.bottom) ev.target.close(); } });

  /* ---- menus: details.menu ---- */
  const menus = () => $$("details.menu[open]");
  doc.addEventListener("click", ev => { for (const m of menus()) if (!m.contains(ev.target)) m.open = false; });
  doc.addEventListener("toggle", ev => {
    const m = ev.target; if (!m.matches?.("details.menu") || !m.open) return;
    for (const o of menus()) if (o !== m && !o.contains(m)) o.open = false;
    const p = $(".pop", m); p.style.translate = "";
    const r = p.getBoundingClientRect(); p.style.translate = Math.max(4 - r.left, Math.min(0, root.clientWidth - 4 - r.right)) + "px";
    if (r.bottom > innerHeight - 4 && r.top > r.height + 60) p.classList.add("up");
  }, true);

  /* ---- preferences ---- */
  const cookie = (k, v) => doc.cookie = `ph_${k}=${encodeURIComponent(v)};path=/;max-age=31536000;samesite=lax` + (location.protocol === "https:" ? ";secure" : "");
  const pref = (name, value) => {
    cookie(name, value); root.dataset[name] = value;
    $$(`[data-prefs] [name=${name}]`).forEach(b => b.setAttribute("aria-pressed", b.value === value));
    if (name === "theme") emit("theme", value);
    if (name === "times") location.reload();
  };
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !doc.cookie.includes("ph_zone=" + encodeURIComponent(zone))) cookie("zone", zone);
  doc.addEventListener("change", ev => { const s = ev.target.dataset?.prefSwitch; if (s) pref(s, ev.target.checked ? "on" : "off"); if (ev.target.hasAttribute?.("data-submit")) { changed = ev.target; changed.form.requestSubmit(); } });

  /* ---- drawer ---- */
  let scrim;
  const drawer = on => {
    root.classList.toggle("drawer-open", on); $("[data-drawer]")?.setAttribute("aria-expanded", on);
    if (on) { scrim = el("button", { className: "scrim", type: "button", "aria-label": "Close the menu", tabIndex: -1 }); scrim.onclick = () => drawer(false); doc.body.append(scrim); $("#side a")?.focus(); }
    else if (scrim) { scrim.remove(); scrim = null; $("[data-drawer]")?.focus(); }
  };

  /* ---- live regions: keyed patch of server-rendered children ---- */
  const live = $$("[data-live]").map(node => ({ node, etag: "", every: +node.dataset.every * S || 5 * S, wait: 0, timer: 0, held: null, at: Date.now(), busy: false }));
  const button = $("[data-live-toggle]");
  let paused = false, spoken = 0;
  const state = (word, name) => { if (button) { button.dataset.state = name; put($("[data-live-word]", button), word); button.setAttribute("aria-pressed", !paused); } };
  const holding = n => n.matches("tbody") && (scrollY > 60 || n.querySelector("[data-sel]:checked") || menus().length || $("dialog[open]"));
  const FOCUS = "a, button, input:not([type=hidden]), select, summary";
  const revived = (fresh, old) => {
    const a = $("[data-sel]", fresh), b = $("[data-sel]", old); if (a && b) a.checked = b.checked;
    for (const c of ["sel", "cur"]) fresh.classList.toggle(c, old.classList.contains(c));
    const focus = old.contains(doc.activeElement) ? $$(FOCUS, old).indexOf(doc.activeElement) : -1;
    const opened = $$("details", old).map(d => d.open); $$("details", fresh).forEach((d, i) => { if (i in opened) d.open = opened[i]; });
    if (old.nodeName === "DETAILS") fresh.open = old.open;
    old.replaceWith(fresh); if (focus >= 0) $$(FOCUS, fresh)[focus]?.focus({ preventScroll: true });
  };
  const patch = (r, content, force) => {
    const { node } = r, fresh = [...content.children].filter(e => e.dataset.k), known = new Map([...node.children].filter(e => e.dataset.k).map(e => [e.dataset.k, e]));
    for (const t of $$("template[data-into]", content)) { const into = $(t.dataset.into); if (into) into.replaceChildren(t.content.cloneNode(true)); }
    for (const t of $$("template[data-replace]", content)) $(t.dataset.replace)?.replaceWith(t.content.cloneNode(true));
    const rows = node.matches("tbody"), added = fresh.filter(e => !known.has(e.dataset.k));
    for (const e of fresh) { const old = known.get(e.dataset.k); if (old && old.dataset.r !== e.dataset.r) { revived(e, old); known.set(e.dataset.k, e); } }
    if (added.length && !force && (holding(node) || (!known.size && doc.activeElement.matches("input, textarea")))) { r.held = content; heldPill(r, added.length); return; }
    r.held = null; heldPill(r, 0);
    if (!node.children.length !== !fresh.length && rows) return location.reload();
    const wanted = new Set(fresh.map(e => e.dataset.k));
    for (const [k, e] of known) if (!wanted.has(k)) e.remove();
    let at = node.firstElementChild;
    for (const e of fresh) {
      const here = known.get(e.dataset.k) || e;
      if (here === at) at = at.nextElementSibling; else node.insertBefore(here, at);
      if (rows && !known.has(e.dataset.k)) here.classList.add("new");
    }
    const shown = $("[data-shown]"); if (rows && shown) put(shown, fresh.length.toLocaleString("en"));
    if (rows && added.length && Date.now() - spoken > 30 * S) { spoken = Date.now(); say(`${added.length} new`); }
    tick(node); selection();
  };
  const heldPill = (r, n) => {
    r.pill?.remove(); r.pill = null;
    if (n) { r.pill = el("button", { className: "held", type: "button", textContent: `↑ ${n} new` }); r.pill.onclick = () => { scrollTo({ top: 0 }); const c = r.held; r.held = null; heldPill(r, 0); r.etag = ""; if (c) pull(true); }; doc.body.append(r.pill); }
    if (!paused) state("Live", n ? "hold" : "live");
  };
  const meta = m => {
    for (const [k, v] of Object.entries(m.counts || {})) $$(`[data-count="${CSS.escape(k)}"]`).forEach(e => put(e, v.toLocaleString("en")));
    for (const [k, v] of Object.entries(m.badges || {})) $$(`[data-badge="${CSS.escape(k)}"]`).forEach(e => { e.hidden = !v; put(e, v.toLocaleString("en")); });
    if ("unread" in m) unread(m.unread);
    (m.toasts || []).forEach(t => { if (t.id > (localStorage.phSeen || "")) { localStorage.phSeen = t.id; toast(t); } });
  };
  const load = async (r, force) => {
    if (r.busy) return; r.busy = true; clearTimeout(r.timer);
    const u = new URL(location.href); u.searchParams.delete("peek");
    try {
      const a = await ask(u, r.node.dataset.live, r.etag && { "If-None-Match": r.etag });
      if (gone(a)) return;
      if (a.status !== 304) {
        if (a.status === 403 || a.status === 404) return emit("leaving"), location.reload(); /* not this reader's any more, or gone: the page says so */
        if (!a.ok) throw a;
        const html = await a.text(), m = JSON.parse(a.headers.get("X-Ph-Meta") || "{}");
        r.etag = a.headers.get("ETag") || ""; patch(r, parse(html), force); meta(m);
        if (m.stop) r.stopped = true;
      } else if (force && r.held) { r.etag = ""; }
      r.wait = 0; r.at = heard = Date.now(); if (!paused && !r.held) state("Live", "live");
    } catch { r.wait = Math.min(60 * S, (r.wait || r.every) * 2); if (!paused) state("Reconnecting…", "lost"); }
    finally { r.busy = false; plan(r); health(); }
  };
  const plan = r => { clearTimeout(r.timer); if (!paused && !r.stopped && !doc.hidden) r.timer = setTimeout(() => load(r), (r.wait || r.every) * (.9 + Math.random() * .2)); };
  /* every page says when what it shows is old: the server is away, or fails at the part of the page that is live */
  let pill = null, heard = Date.now();
  const health = () => {
    const away = Date.now() - heard > 4 * S, late = live.find(r => r.wait > 3 * r.every);
    if (away || late) {
      if (pill) return;
      const text = away ? "The server does not answer." : "This page cannot be updated now.";
      pill = parse(`<p class="lost">${text} What you see is from <time data-t="${(away ? heard : late.at) - skew}"></time>. <button class="link" type="button">Try now</button></p>`).firstChild;
      $("button", pill).onclick = retry; tick(pill); $("#content").prepend(pill); say(text); if (!paused) state("Reconnecting…", "lost");
    } else if (pill) { pill.remove(); pill = null; say("Connected again"); paused || pull(); }
  };
  const pull = force => live.forEach(r => load(r, force));
  const toggleLive = () => { if (!live.length) return; paused = !paused; state(paused ? "Paused" : "Live", paused ? "paused" : "live"); say(paused ? "Live updates paused" : "Live updates on"); paused ? live.forEach(r => clearTimeout(r.timer)) : pull(); };
  if (!live.length && button) button.hidden = true;
  live.forEach(plan);
  doc.addEventListener("visibilitychange", () => doc.hidden ? live.forEach(r => clearTimeout(r.timer)) : (tick(), retry()));
  addEventListener("online", () => retry());

  /* ---- selection ---- */
  const boxes = () => $$("[data-sel]"); let lastBox = null;
  const selection = () => {
    const all = boxes(), on = all.filter(b => b.checked), bar = $("[data-bulk]"), head = $("[data-all]");
    all.forEach(b => b.closest("tr").classList.toggle("sel", b.checked));
    if (head) { head.checked = on.length > 0 && on.length === all.length; head.indeterminate = on.length > 0 && on.length < all.length; }
    if (bar) { bar.classList.toggle("on", on.length > 0); put($("[data-bulk-count]", bar), on.length + " selected"); }
  };
  const clearSelection = () => { boxes().forEach(b => b.checked = false); selection(); };
  doc.addEventListener("click", ev => {
    const b = ev.target.closest?.("[data-sel]"); if (!b) return;
    if (ev.shiftKey && lastBox) { const a = boxes(), i = a.indexOf(lastBox), j = a.indexOf(b); if (i >= 0) a.slice(Math.min(i, j), Math.max(i, j) + 1).forEach(x => x.checked = b.checked); }
    lastBox = b; selection();
  });
  doc.addEventListener("change", ev => { if (ev.target.matches?.("[data-all]")) { boxes().forEach(b => b.checked = ev.target.checked); selection(); } });

  /* ---- rows and peek ---- */
  const rowsOf = () => $$("[data-rows] > tr[data-k]"), current = () => $("tr.cur");
  const go = step => {
    const all = rowsOf(); if (!all.length) return;
    const i = all.indexOf(current()), n = all[Math.max(0, Math.min(all.length - 1, i < 0 ? (step > 0 ? 0 : all.length - 1) : i + step))];
    current()?.classList.remove("cur"); n.classList.add("cur"); n.scrollIntoView({ block: "nearest" }); ($("a.main", n) || $(FOCUS, n))?.focus({ preventScroll: true });
    if (panel) peek(n);
  };
  let panel = null, peeking = 0;
  const peek = async row => {
    const link = row && $("a.main", row); if (!link) return;
    const mine = ++peeking; current()?.classList.remove("cur"); row.classList.add("cur");
    if (!panel) {
      panel = el("aside", { className: "peek", "aria-label": "Preview", tabIndex: -1 });
      panel.append(parse('<div class="bar"><b></b><kbd>k</kbd><kbd>j</kbd><a class="btn small">Open page</a></div><div class="in" tabindex="-1"></div>'));
      const x = el("button", { className: "btn ghost icon", type: "button", "aria-label": "Close the preview", title: "Close (Esc)" }, cross()); x.onclick = unpeek; $(".bar", panel).append(x); doc.body.append(panel);
    }
    $("b", panel).textContent = link.textContent.trim(); $("a", panel).href = link.href;
    const box = $(".in", panel), u = new URL(location.href); u.searchParams.set("peek", row.dataset.k); history.replaceState(null, "", u);
    const slow = setTimeout(() => mine === peeking && box.replaceChildren(parse('<div class="skel"><i></i><i></i><i></i><i></i></div>')), 180);
    try {
      const a = await ask(link.href, "peek");
      if (gone(a) || mine !== peeking) return;
      if (!a.ok) throw a;
      box.replaceChildren(parse(await a.text())); $$("h1", box).forEach(h => h.setAttribute("aria-level", 2)); tick(box); box.scrollTop = 0;
    } catch { const b = el("button", { className: "btn small", type: "button", textContent: "Retry" }); b.onclick = () => peek(row); box.replaceChildren(el("p", { className: "muted", textContent: "Could not load the preview." }), b); }
    finally { clearTimeout(slow); }
  };
  const unpeek = () => { if (!panel) return; panel.remove(); panel = null; peeking++; const u = new URL(location.href); u.searchParams.delete("peek"); history.replaceState(null, "", u); $("a.main", current() || doc)?.focus({ preventScroll: true }); };
  const asked = new URLSearchParams(location.search).get("peek"); if (asked) { const row = $(`tr[data-k="${CSS.escape(asked)}"]`); row && peek(row); }

  /* ---- bell: there only where a plugin brings notifications ---- */
  const bell = $("#bell"), title = doc.title;
  const unread = n => { const b = $("[data-unread]"); if (!b) return; b.hidden = !n; put(b, n > 99 ? "99+" : String(n)); $("summary", bell).setAttribute("aria-label", n ? `Notifications, ${n} unread` : "Notifications"); doc.title = n ? `(${n}) ${title}` : title; };
  const fillBell = async () => {
    const p = $("[data-panel]", bell), slow = setTimeout(() => p.replaceChildren(parse('<div class="skel"><i></i><i></i><i></i></div>')), 180);
    try { const a = await ask(bell.dataset.url, "bell"); if (gone(a)) return; if (!a.ok) throw a; p.replaceChildren(parse(await a.text())); tick(p); }
    catch { const b = el("button", { type: "button", textContent: "Could not load. Retry" }); b.onclick = fillBell; p.replaceChildren(b); }
    finally { clearTimeout(slow); }
  };
  bell?.addEventListener("toggle", () => bell.open && fillBell());
  const BELL = .7 * S; /* so that a toast comes within a second of its event, the way through the worker included */
  let bellTag = "", bellWait = BELL, bellTimer = 0, bellBusy = false;
  const watchBell = async () => {
    if (bellBusy) return; bellBusy = true;
    if (!doc.hidden) try {
      const a = await ask(bell.dataset.url, "unread", bellTag && { "If-None-Match": bellTag });
      if (gone(a)) return;
      if (a.ok) { bellTag = a.headers.get("ETag") || ""; meta(JSON.parse(a.headers.get("X-Ph-Meta") || "{}")); }
      else if (a.status !== 304) throw a;
      bellWait = BELL; heard = Date.now();
    } catch { bellWait = Math.min(60 * S, bellWait * 2); }
    bellBusy = false; health();
    bellTimer = setTimeout(watchBell, bellWait);
  };
  if (bell) bellTimer = setTimeout(watchBell, BELL);
  const retry = () => { if (bell) { clearTimeout(bellTimer); bellWait = BELL; watchBell(); } if (!paused) pull(); };
  /* opening a notice marks it as read, by POST: a browser that fetches ahead must not */
  const opened = ev => { const a = ev.target.closest?.("a[data-read]"); if (a) navigator.sendBeacon(a.dataset.read, new URLSearchParams({ csrf_token: csrf() })); };
  doc.addEventListener("click", opened); doc.addEventListener("auxclick", opened);

  /* ---- palette: its script comes with its first use; what is typed meanwhile is there then ---- */
  const pal = $("#palette");
  const palette = () => {
    if (!pal || pal.open) return;
    const q = $("input", pal); q.value = ""; open(pal); q.focus();
    import(pal.dataset.script).then(m => m.start(), () => put($("#palette-list"), "The search cannot be loaded now. Close it and try again."));
  };

  /* ---- clicks by attribute ---- */
  doc.addEventListener("click", ev => {
    const t = ev.target.closest?.("[data-copy], [data-copy-near], [data-copy-link], [data-open], [data-drawer], [data-live-toggle], [data-bulk-clear], [data-peek], [data-refresh]"); if (!t) return;
    const d = t.dataset;
    if ("copy" in d) copy(d.copy, d.what);
    else if ("copyNear" in d) copy($("pre", t.parentNode).textContent, d.what);
    else if ("copyLink" in d) copy(location.href, "the link to this view");
    else if ("open" in d) { menus().forEach(m => m.open = false); d.open === "palette" ? palette() : open(d.open); }
    else if ("drawer" in d) drawer(!root.classList.contains("drawer-open"));
    else if ("liveToggle" in d) toggleLive();
    else if ("bulkClear" in d) clearSelection();
    else if ("peek" in d) { ev.preventDefault(); peek(t.closest("tr")); }
    else if ("refresh" in d) pull(true);
  });

  /* ---- keyboard ---- */
  let chord = 0;
  const press = s => { const e = $(s); if (e) e.click(); return !!e; };
  const KEYS = {
    "?": () => open("keyhelp"), "/": () => { const s = $("[data-search]"); s?.focus(); s?.select(); }, j: () => go(1), k: () => go(-1), n: () => { if (bell) { bell.open = !bell.open; $("summary", bell).focus(); } },
    x: () => { const b = $("[data-sel]", current() || el("i")); if (b) { b.checked = !b.checked; lastBox = b; selection(); } }, p: () => panel ? unpeek() : peek(current() || rowsOf()[0]),
    l: toggleLive, r: () => live.length ? pull(true) : location.reload(), t: () => { const m = $("#range"); if (m) { m.open = !m.open; $("a", m)?.focus(); } },
    "[": () => press("[rel=prev]"), "]": () => press("[rel=next]"), c: () => press("[data-copy-link]") || copy(location.href, "the link to this view"), e: () => press("[data-key=e]"),
  };
  doc.addEventListener("keydown", ev => {
    if ((ev.ctrlKey || ev.metaKey) && ev.key.toLowerCase() === "k") { ev.preventDefault(); return palette(); }
    if (ev.key === "Escape") {
      const m = menus()[0]; if ($("dialog[open]")) return;
      if (m) { m.open = false; $("summary", m).focus(); } else if (root.classList.contains("drawer-open")) drawer(false); else if (panel) unpeek(); else if (ev.target.matches?.("[data-search]")) ev.target.blur(); else if (boxes().some(b => b.checked)) clearSelection(); else current()?.classList.remove("cur");
      return;
    }
    if (ev.target.matches?.("input:not([type=checkbox]), textarea, select, [contenteditable], [data-plot]")) return; /* arrows and letters are the field's own */
    const m = ev.target.closest?.("details.menu[open]"), down = ev.key === "ArrowDown";
    if (m && (down || ev.key === "ArrowUp")) { const a = $$(FOCUS, $(".pop", m)), i = a.indexOf(ev.target); ev.preventDefault(); return a[(i + (down ? 1 : i < 0 ? 0 : -1) + a.length) % a.length]?.focus(); }
    if (ev.ctrlKey || ev.metaKey || ev.altKey || root.dataset.keys === "off" || $("dialog[open]")) return;
    if (Date.now() - chord < 1200) { chord = 0; const a = $(`[data-g="${CSS.escape(ev.key)}"]`); if (a) { ev.preventDefault(); a.click(); } return; }
    if (ev.key === "g") { chord = Date.now(); return; }
    if (ev.key === "Enter" && current() && ev.target === doc.body) return $("a.main", current())?.click();
    const f = KEYS[ev.key]; if (f) { ev.preventDefault(); f(); }
  });

  /* ---- start ---- */
  if (/Mac|iPhone|iPad/.test(navigator.platform)) $$("[data-mod]").forEach(k => k.textContent = "⌘K");
  for (const c of $$("[data-countdown]")) { let n = +c.dataset.countdown; const t = setInterval(() => { n -= 1; c.textContent = Math.max(0, n); if (n <= 0) { clearInterval(t); if ("reload" in c.dataset) location.reload(); } }, S); }
  const wait = $("[data-wait-for]");
  if (wait) setInterval(async () => { if (doc.hidden) return; try { const a = await fetch(wait.dataset.waitFor, { headers: { Accept: "application/json" }, cache: "no-store" }); if (gone(a) || !a.ok) return; const j = await a.json(); if (j.url) location.href = j.url; } catch { /* asks again */ } }, 2000);
  for (const s of $$(".scroll[tabindex]")) if (s.scrollWidth > s.clientWidth && !$("tbody :is(a, button)", s)) s.tabIndex = 0; /* what scrolls is reached by keys */
  if (sessionStorage.phToast) { toast(JSON.parse(sessionStorage.phToast)); delete sessionStorage.phToast; }
  tick(); selection(); if (sessionStorage.phTyped) typed(); $("[data-focus]")?.focus();
  const told = $("#content > .callout :is(b, span)"); if (told) say(told.textContent); /* what stands there from the start no reader of the screen announces */
  if (navigator.platform && bell) unread(+($("[data-unread]").textContent || 0));
  window.PH = { $, $$, el, gone, open, pref, parse, say, toast, tick, pull, copy, duration, since, emit };
})();
