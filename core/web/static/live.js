// Keeps a page as it is on the server: listens for what changes (docs/live.md), reads the page again, and puts in what
// differs. Nothing that somebody types, selects or has unfolded is touched. Without it the page works all the same.
"use strict";

(() => {
  const main = document.querySelector("main[data-live]");
  if (!main || !window.EventSource) return;
  const EVENTS = ["timeline", "queue", "cron", "inbound", "notification", "reset"];
  const AT_MOST_EVERY_MS = 1500;
  const GIVE_UP_AFTER = 3;
  let source = null;
  let since = main.dataset.since;
  let timer = 0;
  let readAt = 0;
  let failures = 0;

  function listen() {
    const asked = new URLSearchParams({ topics: main.dataset.live, since });
    source = new EventSource(`/api/live?${asked}`);
    source.onopen = () => { failures = 0; };
    source.onerror = () => {
      if (source && source.readyState === EventSource.CLOSED && ++failures < GIVE_UP_AFTER) setTimeout(look, 30000);
    };
    for (const name of EVENTS) {
      source.addEventListener(name, (event) => {
        since = event.lastEventId || since;
        soon();
      });
    }
  }

  // A page that nobody sees holds no connection, of which a browser has six for each host.
  function look() {
    const wanted = document.visibilityState === "visible";
    if (wanted && (!source || source.readyState === EventSource.CLOSED)) listen();
    if (!wanted && source) {
      source.close();
      source = null;
    }
  }

  function soon() {
    if (timer) return;
    timer = setTimeout(read, Math.max(100, readAt + AT_MOST_EVERY_MS - Date.now()));
  }

  async function read() {
    readAt = Date.now();
    try {
      const answer = await fetch(location.href, { credentials: "same-origin", redirect: "error" });
      if (answer.ok) put(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch {
      // Away for the moment; the next event tries again.
    } finally {
      timer = 0;
    }
  }

  function put(fresh) {
    for (const part of main.querySelectorAll("[data-part]")) {
      const now = fresh.getElementById(part.id);
      if (now) follow(part, now);
    }
    main.dispatchEvent(new CustomEvent("live"));
  }

  const isField = (node) => node.nodeType === 1 && node.matches("input:not([type=hidden]), textarea, select");
  const isBlank = (node) => node.nodeType === 3 && !node.data.trim();
  const isChanged = (field) =>
    field === document.activeElement || field.checked !== field.defaultChecked
    || (field.defaultValue !== undefined && field.value !== field.defaultValue);

  function isInUse(node) {
    if (node.nodeType !== 1) return false;
    const selection = getSelection();
    if (!selection.isCollapsed && selection.containsNode(node, true)) return true;
    return [node, ...node.querySelectorAll("*")].some((one) => isField(one) && isChanged(one));
  }

  const isAlike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.id || "") === (b.id || "");

  // Make one node what the other is, and keep what can stay: moved, a frame would load anew.
  function follow(old, now) {
    if (old.nodeType !== 1) {
      if (old.data !== now.data) old.data = now.data;
      return;
    }
    if (isField(old)) return;
    for (const { name } of [...old.attributes]) {
      if (name !== "open" && !now.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const { name, value } of now.attributes) {
      if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    followChildren(old, now);
  }

  function followChildren(old, now) {
    const wanted = [...now.childNodes].filter((node) => !isBlank(node));
    const ids = new Set(wanted.map((node) => node.id).filter(Boolean));
    for (const child of [...old.children]) {
      if (child.id && !ids.has(child.id) && !isInUse(child)) child.remove();
    }
    let at = old.firstChild;
    const next = () => {
      while (at && (isBlank(at) || (at.id && !ids.has(at.id)))) at = at.nextSibling;
    };
    for (const node of wanted) {
      next();
      const named = node.id ? [...old.children].find((child) => child.id === node.id) : null;
      const have = named || (at && !at.id && isAlike(at, node) ? at : null);
      if (!have) {
        old.insertBefore(document.importNode(node, true), at);
        continue;
      }
      if (have === at) at = at.nextSibling;
      else old.insertBefore(have, at);
      if (!isAlike(have, node)) continue;
      follow(have, node);
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      if (!isBlank(gone) && !isInUse(gone)) gone.remove();
    }
  }

  document.addEventListener("visibilitychange", look);
  addEventListener("pagehide", () => { if (source) source.close(); source = null; });
  addEventListener("pageshow", look);
  look();
})();
