// Fetches the page again when the watch stream says that there is news, and changes what differs in place:
// no element that holds the focus, the selection or an open tooltip is ever replaced or moved. Without
// scripts the page is the same, as of its loading.
"use strict";
(() => {
  const live = document.getElementById("live");
  const source = new EventSource("/api/v1/watch");
  let busy = false;
  const inside = (node, other) => other && (node === other || node.contains(other));
  const selected = (node) => {
    const s = getSelection();
    return s && !s.isCollapsed && s.rangeCount > 0 && s.getRangeAt(0).intersectsNode(node);
  };
  const held = (node) => inside(node, document.activeElement) || selected(node);
  // A chart that is being read keeps its values until the reader has left it.
  const read = (node) => node.nodeType === 1 && node.classList.contains("chart") && (node.matches(":hover") || node.querySelector("input:focus"));
  const key = (node) => (node.nodeType === 1 ? node.id : "");
  const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && key(a) === key(b) &&
    (a.nodeName !== "A" || key(a) || a.getAttribute("href") === b.getAttribute("href")) && (a.nodeName !== "INPUT" || a.type === b.type);
  const attributes = (to, from) => {
    for (const { name, value } of from.attributes) if (to.getAttribute(name) !== value) to.setAttribute(name, value);
    for (const { name } of [...to.attributes]) if (!from.hasAttribute(name) && !(name === "open" && to.nodeName === "DETAILS")) to.removeAttribute(name);
  };
  const morph = (to, from) => {
    if (to.nodeType !== 1) {
      if (to.data !== from.data && !selected(to)) to.data = from.data;
      return;
    }
    if (to.hasAttribute("data-keep") || read(to)) return;
    if (to.nodeName === "DETAILS" && to.open) from.setAttribute("open", "");
    if (to.nodeName === "DETAILS" && !to.open) from.removeAttribute("open");
    attributes(to, from);
    children(to, from);
  };
  // Finds the node that becomes the next one: that with the same id, else the first one alike.
  const match = (at, next, placed) => {
    for (let node = at; node; node = node.nextSibling) if (!placed.has(node) && alike(node, next)) return node;
    return null;
  };
  const children = (to, from) => {
    let at = to.firstChild;
    const placed = new Set(); // what was found and could not be moved
    for (const next of [...from.childNodes]) {
      const node = match(at, next, placed);
      if (!node) {
        to.insertBefore(document.importNode(next, true), at);
        continue;
      }
      if (node !== at && held(node)) {
        // The others make way: what stands before it is put behind it, and finds its place from there.
        while (at !== node && !held(at)) {
          const behind = at;
          at = at.nextSibling;
          to.insertBefore(behind, node.nextSibling);
        }
      }
      if (node !== at && !held(node)) to.insertBefore(node, at);
      morph(node, next);
      placed.add(node);
      while (at && placed.has(at)) at = at.nextSibling;
    }
    while (at) {
      const rest = at;
      at = at.nextSibling;
      if (!placed.has(rest) && !held(rest)) rest.remove();
    }
  };
  const refresh = async () => {
    if (busy || document.hidden) return;
    busy = true;
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      if (!answer.ok) return;
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      children(document.body, next.body);
      document.title = next.title;
      live.textContent = "live";
    } catch {
      live.textContent = "connection lost";
    } finally {
      busy = false;
    }
  };
  source.addEventListener("update", refresh);
  source.addEventListener("level", refresh);
  source.addEventListener("open", () => { live.textContent = "live"; });
  source.addEventListener("error", () => { live.textContent = "connection lost"; });
})();
