// The script of the console. Each page works without it, except for the live tail. It makes no element out of text: rows
// are cloned from <template> and filled by textContent.
(() => {
  "use strict";
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const on = (element, type, listener) => element?.addEventListener(type, listener);

  // What the server does with text from providers: what is invisible or turns other text around becomes its code point.
  const HIDDEN = /[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\u{e0000}-\u{e0fff}]|\p{Surrogate}/gu;
  const visible = text => String(text ?? "").replace(HIDDEN, found => `⟨U+${found.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);

  // Times
  const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const ago = seconds => {
    const distance = Math.abs(seconds);
    if (distance < 1) return "now";
    const [size, unit] = UNITS.find(([size]) => Math.round(distance) >= size) ?? UNITS[3];
    const text = `${Math.floor(Math.round(distance) / size)} ${unit}`;
    return seconds > 0 ? `${text} ago` : `in ${text}`;
  };
  const refreshTimes = () => {
    for (const time of all("time[data-ago]")) time.textContent = ago((Date.now() - Date.parse(time.dateTime)) / 1000);
  };
  setInterval(refreshTimes, 10_000);

  // A word about what has just been done
  let toastTimer;
  const say = text => {
    one(".toast")?.remove();
    const toast = document.createElement("div");
    toast.className = "toast";
    toast.setAttribute("role", "status");
    toast.textContent = text;
    document.body.append(toast);
    clearTimeout(toastTimer);
    toastTimer = setTimeout(() => toast.remove(), 2500);
  };
  const copy = text => navigator.clipboard?.writeText(text).then(() => say("Copied"), () => say("The browser did not allow it"));
  for (const button of all("[data-copy]")) {
    button.hidden = !navigator.clipboard;
    on(button, "click", () => copy(button.dataset.copy));
  }

  // Light and dark
  on(one("[data-theme-form]"), "submit", event => {
    event.preventDefault();
    const root = document.documentElement;
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
    document.cookie = `theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=strict`;
  });

  // Charts say what the pointer is at
  for (const chart of all("[data-chart]")) {
    const readout = one("[data-readout]", chart.parentElement);
    if (!readout) continue;
    on(chart, "pointerover", event => { readout.textContent = event.target.closest("[aria-label]:not(svg)")?.ariaLabel ?? ""; });
    on(chart, "pointerleave", () => { readout.textContent = ""; });
  }

  // Lists: the current row, and the selected ones
  const list = one("[data-list]");
  const rows = () => list ? all("tbody tr", list).filter(row => one("[data-open]", row)) : [];
  const current = () => one("tr.current", list ?? document);
  const move = step => {
    const found = rows();
    if (!found.length) return;
    const old = current();
    const row = found[Math.min(Math.max(found.indexOf(old) + step, 0), found.length - 1)];
    old?.classList.remove("current");
    row.classList.add("current");
    one("[data-open]", row).focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  };
  const form = one("[data-select]");
  const picked = () => all("input[name=event]:checked", form ?? document);
  const showPicked = () => {
    const bar = one("[data-bulk]"), number = picked().length;
    if (!bar) return;
    bar.hidden = !number;
    one("[data-count]", bar).textContent = `${number} selected`;
  };
  const everything = one("[data-all]");
  if (everything) everything.hidden = false;
  on(everything, "change", () => { for (const box of all("input[name=event]", form)) box.checked = everything.checked; showPicked(); });
  on(form, "change", showPicked);
  const copyPicked = one("[data-copy-selected]");
  if (copyPicked) copyPicked.hidden = !navigator.clipboard;
  on(copyPicked, "click", () => copy(picked().map(box => box.value.slice(box.value.indexOf("/") + 1)).join("\n")));
  showPicked();
  on(window, "pageshow", showPicked);

  // Jobs and empty pages look again by themselves
  const refresh = one("[data-refresh]");
  if (refresh) setTimeout(() => { if (!document.hidden && !one("dialog[open]")) location.reload(); }, 1000 * refresh.dataset.refresh);

  // Keys. None of them does what cannot be undone: each goes somewhere, selects, pauses or opens a form.
  let isGoing = false;
  on(document, "keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const field = event.target.closest("input:not([type=checkbox]), textarea, select");
    if (event.key === "Escape") {
      if (field) field.blur();
      else if (!one("dialog[open], :popover-open")) (one("tr.current") ? current().classList.remove("current") : one(".crumb")?.click());
      return;
    }
    if (field || one("dialog[open]")) return;
    if (isGoing) {
      isGoing = false;
      all("[data-go]").find(link => link.dataset.go === event.key)?.click();
      return;
    }
    const act = {
      "/": () => one("input[name=q]")?.select(),
      "?": () => one("#help")?.showModal(),
      g: () => { isGoing = true; setTimeout(() => { isGoing = false; }, 1500); },
      j: () => move(1),
      k: () => move(-1),
      x: () => { const box = one("input[name=event]", current() ?? document.createElement("p")); if (box) { box.checked = !box.checked; showPicked(); } },
      r: () => (one("[data-redeliver]") ?? (picked().length ? one("[data-bulk] button") : null))?.focus(),
      p: () => one("[data-pause]")?.click(),
      Enter: () => { if (!event.target.closest("a, button, summary")) one("[data-open]", current() ?? document.createElement("p"))?.click(); else return true; },
    }[event.key];
    if (act && act() !== true) event.preventDefault();
  });

  // The live tail
  const tail = one("[data-tail]");
  if (!tail) return;
  const MOST_ROWS = 200, MOST_WAITING = 500;
  const body = one("tbody", tail), template = one("template", tail), state = one("[data-tail-state]");
  const missed = one("[data-missed]"), empty = one("[data-tail-empty]"), pause = one("[data-pause]");
  const words = JSON.parse(tail.dataset.words);
  let waiting = [], hidden = 0, isPaused = false, cursor = tail.dataset.cursor;
  const show = (text, tone) => { state.textContent = text; state.className = `status ${tone}`; };
  const took = ms => ms == null ? "" : ms < 10 ? `${ms.toFixed(1)} ms` : ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`;
  const fill = entry => {
    const row = template.content.firstElementChild.cloneNode(true);
    const status = one(".status", row), link = one("[data-open]", row), time = one("time", row);
    const isSpooled = entry.outcome === "accepted" && entry.reason === "spooled";
    const [tone, label] = isSpooled ? ["warn", "spooled"] : words[entry.outcome] ?? ["info", entry.outcome.replaceAll("_", " ")];
    status.textContent = visible(label);
    status.className = `status ${tone}`;
    link.textContent = visible(entry.summary || [label, entry.reason].filter(Boolean).join(": "));
    link.href = entry.event_id ? `/event?${new URLSearchParams({ provider: entry.provider ?? "", id: entry.event_id })}` : `/entries/${entry.id}`;
    one(".under", row).textContent = visible([entry.provider || "unknown provider", entry.summary && entry.type, entry.event_id, entry.queue].filter(Boolean).join(" · "));
    one(".took", row).textContent = took(entry.ms);
    time.dateTime = time.title = new Date(entry.at * 1000).toISOString();
    time.textContent = ago(Date.now() / 1000 - entry.at);
    if (tone === "bad") row.classList.add("failed");
    row.classList.add("live-new");
    return row;
  };
  const draw = () => {
    if (isPaused) return;
    body.prepend(...waiting.splice(0).reverse().map(fill));
    while (body.rows.length > MOST_ROWS) body.lastElementChild.remove();
    empty.hidden = body.rows.length > 0;
    missed.hidden = !hidden;
    missed.textContent = `+${hidden.toLocaleString("en")} not shown`;
  };
  on(pause, "click", () => {
    isPaused = !isPaused;
    pause.setAttribute("aria-pressed", isPaused);
    one("span", pause).textContent = isPaused ? "Go on" : "Pause";
    show(isPaused ? "Paused" : "Live", isPaused ? "warn" : "good");
    draw();
  });
  const connect = () => {
    const address = new URL(tail.dataset.tail, location.origin);
    address.searchParams.set("cursor", cursor);
    const source = new EventSource(address);
    const note = event => { cursor = event.lastEventId || cursor; };
    on(source, "open", () => { if (!isPaused) show("Live", "good"); });
    on(source, "start", note);
    on(source, "entries", event => {
      note(event);
      const message = JSON.parse(event.data);
      hidden += message.more;
      waiting.push(...message.entries);
      if (waiting.length > MOST_WAITING) hidden += waiting.splice(0, waiting.length - MOST_WAITING).length;
      draw();
      if (isPaused) show(`Paused, ${waiting.length} waiting`, "warn");
    });
    on(source, "error", () => {
      show("Connection lost, trying again", "bad");
      if (source.readyState === EventSource.CLOSED) setTimeout(connect, 5000);
    });
  };
  pause.hidden = false;
  connect();
})();
