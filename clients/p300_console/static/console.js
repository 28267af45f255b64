// Keeps a page up to date: fetches it again and replaces the parts (data-part) that have changed.
"use strict";
(() => {
  let wait = Number(document.body.dataset.live || 0);
  const waiting = document.getElementById("unavailable") !== null;

  function swap(part, fresh) {
    if (part.innerHTML === fresh.innerHTML) return;
    const open = new Map([...part.querySelectorAll("details[id]")].map((one) => [one.id, one.open]));
    const focused = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    const scrolled = [part.scrollLeft, part.scrollTop];
    part.replaceChildren(...fresh.childNodes);
    for (const one of part.querySelectorAll("details[id]")) if (open.has(one.id)) one.open = open.get(one.id);
    if (focused) for (const one of part.querySelectorAll("a[href]")) if (one.getAttribute("href") === focused) { one.focus({ preventScroll: true }); break; }
    [part.scrollLeft, part.scrollTop] = scrolled;
  }

  function banner(text) {
    const place = document.getElementById("banner");
    if (place.textContent === text) return;
    place.replaceChildren();
    if (text) { const line = document.createElement("p"); line.textContent = text; place.append(line); }
  }

  async function refresh() {
    if (!document.hidden) {
      try {
        const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        if (answer.ok && waiting) { location.reload(); return; }
        const message = fresh.getElementById("banner")?.textContent.trim() || "";
        const closed = answer.status === 403 ? "The console was restarted: open the address that it prints in its terminal." : "";
        banner(message || answer.ok ? message : closed || `The console answered with status ${answer.status}. This page keeps trying.`);
        if (answer.ok) {
          for (const part of document.querySelectorAll("[data-part]")) {
            const other = fresh.getElementById(part.id);
            if (other) swap(part, other);
          }
          wait = Number(fresh.body.dataset.live || 0);
        }
      } catch {
        banner("The console does not answer: start it again with p300 console. This page keeps trying.");
      }
    }
    if (wait) setTimeout(refresh, wait);
  }

  // The graph may be larger than its frame: scroll to the chosen state.
  for (const graph of document.querySelectorAll(".graph")) {
    const node = graph.querySelector(".node.chosen");
    if (!node) continue;
    const frame = graph.getBoundingClientRect(), place = node.getBoundingClientRect();
    graph.scrollLeft += place.left + place.width / 2 - frame.left - frame.width / 2;
    graph.scrollTop += Math.max(0, place.bottom - frame.bottom + 40);
  }

  if (wait) setTimeout(refresh, wait);
})();
