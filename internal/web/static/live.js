// Fetches the page again when the watch stream says that there is news, and exchanges its main
// part. Without scripts the page is the same, as of its loading.
"use strict";
(() => {
  const live = document.getElementById("live");
  const source = new EventSource("/api/v1/watch");
  let busy = false;
  // Where the keyboard is: an element of the main part by what it leads to or says, and the number
  // of those alike before it.
  const stops = (main) => [...main.querySelectorAll("a[href], summary, button, input, [tabindex]")];
  const name = (e) => e.tagName + (e.getAttribute("href") ?? e.getAttribute("aria-label") ?? e.id);
  const alike = (main, key) => stops(main).filter((e) => name(e) === key);
  const refresh = async () => {
    if (busy || document.hidden) return;
    busy = true;
    try {
      const open = [...document.querySelectorAll("details")].map((d) => d.open);
      const answer = await fetch(location.href, { cache: "no-store" });
      if (!answer.ok) return;
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      const main = document.getElementById("main");
      const focused = main.contains(document.activeElement) && document.activeElement !== main ? document.activeElement : null;
      const key = focused && name(focused);
      const at = focused ? alike(main, key).indexOf(focused) : -1;
      main.replaceChildren(...next.getElementById("main").childNodes);
      document.querySelectorAll("details").forEach((d, i) => { d.open = !!open[i]; });
      if (at >= 0) alike(main, key)[at]?.focus({ preventScroll: true });
      document.querySelector("footer time").replaceWith(next.querySelector("footer time"));
      live.textContent = "· live";
    } catch {
      live.textContent = "· connection lost";
    } finally {
      busy = false;
    }
  };
  source.addEventListener("update", refresh);
  source.addEventListener("level", refresh);
  source.addEventListener("open", () => { live.textContent = "· live"; });
  source.addEventListener("error", () => { live.textContent = "· connection lost"; });
})();
