// What the pages do beyond forms and links. Without it everything still works.
"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");

  // Messages in the language of the page: {} is replaced by what they are about.
  const words = JSON.parse(document.body.dataset.words);
  const t = (key, about) => (words[key] || key).replace("{}", about);

  // htmx moves elements with moveBefore where there is one. In Chromium 156 a
  // page whose list was clicked and then lost a row by it stops answering, so
  // htmx is left its older way, insertBefore.
  for (const kind of [Element, Document, DocumentFragment]) delete kind.prototype.moveBefore;

  // The live part is reloaded while the page is visible, unless the user is
  // choosing tasks or typing in it, or has paused it.
  const live = () => document.getElementById("live");
  const pause = document.getElementById("pause");
  let looked = Date.now();
  const paused = () => pause && pause.getAttribute("aria-pressed") === "true";
  const busy = () => {
    const part = live(), at = document.activeElement;
    return part.querySelector("[name=pick]:checked") ||
      part.contains(at) && at.matches("input:not([type=checkbox]), textarea, select");
  };
  const look = () => {
    looked = Date.now();
    htmx.trigger(live(), "refresh");
  };
  let again = 5; // looks that come at once, since not all was counted yet
  const tick = () => {
    if (!live() || document.hidden || paused() || busy()) return;
    const more = live().hasAttribute("data-again") && again > 0;
    if (Date.now() - looked < (more ? 200 : live().dataset.every * 1000)) return;
    if (more) again--;
    look();
  };

  // A reload that fails leaves the page, says so, and is retried: an old page is
  // better than none.
  const away = document.getElementById("away");
  const say = (text, link) => {
    const [says, leads] = away.children;
    text = text && text + " " + t("Shown as of {}.", live().dataset.at) + " ";
    if (says.textContent === text) return; // it is read out once
    says.textContent = text;
    leads.textContent = link || "";
    leads.hidden = !link;
    leads.href = location.href;
    away.hidden = !text;
  };
  const failed = (status) => {
    if (status === 401) {
      say(t("Your session has ended."), t("Log in again"));
    } else if (status === 404) {
      say(t("This no longer exists."));
    } else if (status === 403) {
      say(t("You no longer have access."));
    } else {
      say(status ? t("Not reachable (the answer was {}); retrying.", status) : t("Not reachable; retrying."));
    }
  };
  // A redirect is a login's: followed, it would be refused by the page's policy, which
  // looks like an unreachable server.
  document.addEventListener("htmx:before:request", (event) => {
    event.detail.ctx.request.redirect = "manual";
  });
  document.addEventListener("htmx:after:request", (event) => {
    if (!live() || event.target !== live()) return;
    const { response, text } = event.detail.ctx;
    // An answer without the part is not this page: a proxy's login, perhaps.
    if (response.status === 200 && text.includes('id="live"')) {
      const [, language] = text.match(/<html lang="([^"]+)"/) || [];
      if (language !== root.lang) { // chosen in another tab
        event.preventDefault();
        location.reload();
        return;
      }
      say("");
      return;
    }
    event.preventDefault(); // nothing is swapped
    failed(response.status === 200 || response.raw.type === "opaqueredirect" ? 401 : response.status);
  });
  document.addEventListener("htmx:error", (event) => {
    if (event.target === live()) failed(0); // no answer at all
  });

  if (live()) {
    setInterval(tick, 1000);
    setTimeout(tick, 250); // htmx is ready by then
    document.addEventListener("visibilitychange", tick);
  }
  if (pause) {
    pause.addEventListener("click", () => {
      const now = !paused();
      pause.setAttribute("aria-pressed", now);
      document.getElementById("paused").hidden = !now; // the name of the button stays, since its state is read out
    });
  }

  // How long tasks have been running is counted here between two reloads, by the server's
  // clock, as long as what is shown is current and seen.
  let ahead = 0; // of the server's clock, in milliseconds
  const synchronize = () => {
    if (live()) ahead = Date.now() - live().dataset.now;
  };
  const two = (n) => String(n).padStart(2, "0");
  const elapse = () => {
    if (document.hidden || paused() || !live() || !away.hidden) return;
    for (const since of document.querySelectorAll("time[data-elapsed]")) {
      const s = Math.max(0, Math.floor((Date.now() - ahead - Date.parse(since.dateTime)) / 1000));
      const minutes = Math.floor(s / 60);
      since.textContent = minutes < 60 ? minutes + ":" + two(s % 60) : Math.floor(minutes / 60) + ":" + two(minutes % 60) + ":" + two(s % 60);
    }
  };
  synchronize();
  setInterval(elapse, 1000);
  document.addEventListener("htmx:after:swap", synchronize);

  // Times that are also shown in the reader's zone.
  const localize = () => {
    for (const at of document.querySelectorAll("time[data-reader]")) {
      at.textContent = new Date(at.dateTime).toLocaleString(root.lang, { dateStyle: "medium", timeStyle: "medium" });
      at.title = t("your time");
    }
  };
  localize();
  document.addEventListener("htmx:after:swap", localize);

  // Lists: how many are selected, and all at once.
  const count = (list) => {
    const boxes = [...list.querySelectorAll("[name=pick]")];
    const picked = boxes.filter((box) => box.checked).length;
    for (const says of list.querySelectorAll("[data-picked]")) {
      says.textContent = picked ? t("{} selected", picked) : t("selected");
      says.parentElement.disabled = !picked;
    }
    const all = list.querySelector("[data-all]");
    if (all) {
      all.checked = picked > 0 && picked === boxes.length;
      all.indeterminate = picked > 0 && picked < boxes.length;
    }
  };
  const countAll = () => document.querySelectorAll("[data-list]").forEach(count);
  document.addEventListener("change", (event) => {
    const list = event.target.closest("[data-list]");
    if (!list) return;
    if (event.target.matches("[data-all]")) {
      for (const box of list.querySelectorAll("[name=pick]")) box.checked = event.target.checked;
    }
    count(list);
  });
  document.addEventListener("htmx:after:swap", countAll);
  addEventListener("pageshow", countAll);

  // A form that changes something is sent once. The button is disabled after
  // its name has gone into what is sent.
  document.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (event.target.method !== "post" || !button) return;
    setTimeout(() => {
      button.disabled = true;
      if (button.dataset.busy) button.textContent = button.dataset.busy;
    });
  });

  // Empty fields of a filter stay out of the address.
  document.addEventListener("submit", (event) => {
    if (!event.target.matches(".filters:not([data-download]), .find")) return;
    for (const field of event.target.querySelectorAll("input[name]")) {
      if (!field.value.trim()) field.disabled = true;
    }
  });
  addEventListener("pageshow", () => {
    for (const field of document.querySelectorAll(".filters input, .find input")) field.disabled = false;
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button || !navigator.clipboard) return;
    navigator.clipboard.writeText(button.dataset.copy).then(() => {
      const before = button.innerHTML;
      button.textContent = t("Copied");
      setTimeout(() => { button.innerHTML = before; }, 1500);
    });
  });

  // Shortcuts, which a user can switch off: programs for speech input send letters.
  const keys = document.getElementById("keys");
  if (keys) {
    const use = document.getElementById("use-keys"), find = document.getElementById("find-id"), kept = "claimcheck-keys";
    try { use.checked = localStorage.getItem(kept) !== "off"; } catch { /* storage is blocked: they are on */ }
    use.addEventListener("change", () => {
      try { localStorage.setItem(kept, use.checked ? "on" : "off"); } catch { /* until the next page */ }
    });
    const show = () => keys.showModal();
    document.getElementById("show-keys").addEventListener("click", show);
    document.getElementById("hide-keys").addEventListener("click", () => keys.close());
    const shortcuts = { "/": () => find.focus(), "?": show, r: () => live() ? look() : location.reload() };
    document.addEventListener("keydown", (event) => {
      const does = shortcuts[event.key];
      if (!does || !use.checked || keys.open || event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat) return;
      if (event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]")) return;
      event.preventDefault(); // else the field that is focused receives the character
      does();
    });
  }

  // What was done, or is wrong, is read out first.
  const first = document.querySelector("[data-focus]");
  if (first) first.focus();

  // An action on many tasks goes on by itself.
  const going = document.querySelector("[data-continue]");
  if (going) {
    const next = setTimeout(() => going.requestSubmit(going.querySelector("button")), 300);
    going.querySelector("[data-stop]").addEventListener("click", () => clearTimeout(next));
  }
})();
