// Fetches the page again when the watch stream says that there is news, and exchanges its main
// part. Without scripts the page is the same, as of its loading.
"use strict";
(() => {
  const live = document.getElementById("live");
  const source = new EventSource("/api/v1/watch");
  let busy = false;
  const refresh = async () => {
    if (busy || document.hidden) return;
    busy = true;
    try {
      const open = [...document.querySelectorAll("details")].map((d) => d.open);
      const answer = await fetch(location.href, { cache: "no-store" });
      if (!answer.ok) return;
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      const main = document.getElementById("main");
      main.replaceChildren(...next.getElementById("main").childNodes);
      document.querySelectorAll("details").forEach((d, i) => { d.open = !!open[i]; });
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
