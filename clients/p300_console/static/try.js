// Replays the flashes of one symbol: each event holds the answers of /predict and /decode after one flash.
"use strict";
(() => {
  const place = document.getElementById("try");
  if (!place) return;
  const at = (id) => document.getElementById(id);
  const cells = [...place.querySelectorAll("td[data-symbol]")];
  const n = Number(place.dataset.flashes), attended = place.dataset.attended, enough = Number(place.dataset.stop);
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let source = null, shown = 0, points = [], stopped = false, said = "";
  for (const cell of cells) cell.classList.toggle("attended", cell.dataset.symbol === attended);

  function clear() {
    shown = 0; points = []; stopped = false; said = "";
    at("curve").setAttribute("points", ""); at("dots").replaceChildren();
    at("stopped").textContent = "not yet"; at("best").textContent = at("confidence").textContent = at("probability").textContent = "–";
    at("flash").textContent = `0 of ${n}`; at("trouble").hidden = true; at("again").hidden = true;
    for (const cell of cells) { cell.classList.remove("lit", "best"); cell.style.removeProperty("--p"); cell.querySelector(".share").textContent = ""; }
  }

  function show(step) {
    shown = step.flash;
    const lit = new Set(step.lit);
    cells.forEach((cell, k) => {
      const p = step.posterior[k];
      cell.style.setProperty("--p", p.toFixed(4));
      cell.classList.toggle("lit", !still && lit.has(k));
      cell.classList.toggle("best", cell.dataset.symbol === step.symbol);
      cell.querySelector(".share").textContent = p >= 0.005 ? `${Math.round(100 * p)} %` : "";
    });
    const x = 36 + 560 * (step.flash / n);
    points.push(`${x.toFixed(1)},${(170 - 160 * step.confidence).toFixed(1)}`);
    at("curve").setAttribute("points", points.join(" "));
    at("best").textContent = step.symbol;
    at("confidence").textContent = `${(100 * step.confidence).toFixed(1)} %`;
    at("flash").textContent = `${step.flash} of ${step.of}`;
    at("probability").textContent = step.probability === null ? "no usable epoch" : step.probability.toFixed(3);
    at("model").textContent = step.model;
    at("notes").textContent = step.notes.join(" "); at("notes").hidden = !step.notes.length;
    if (step.probability !== null) {
      const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
      dot.setAttribute("cx", x.toFixed(1)); dot.setAttribute("cy", (110 - 100 * step.probability).toFixed(1)); dot.setAttribute("r", step.target ? "4" : "2.5");
      dot.setAttribute("class", step.target ? "dot target" : "dot other");
      at("dots").append(dot);
    }
    if (!stopped && step.confidence >= enough) {
      stopped = true;
      const right = attended ? (step.symbol === attended ? ", correct" : ", wrong") : "";
      at("stopped").textContent = `after flash ${step.flash}: ${step.symbol}${right}`;
    }
    if (said !== step.symbol) { said = step.symbol; at("said").textContent = `Most likely symbol ${said} after flash ${step.flash}`; }
  }

  function stop(text) {
    if (source) source.close();
    source = null;
    for (const cell of cells) cell.classList.remove("lit");
    at("go").textContent = text;
    at("again").hidden = shown === 0 || shown >= n;
  }

  function start() {
    if (shown >= n) clear();
    at("go").textContent = "Pause"; at("trouble").hidden = true;
    source = new EventSource(`${place.dataset.stream}&start=${shown}`);
    source.addEventListener("flash", (event) => show(JSON.parse(event.data)));
    source.addEventListener("end", () => { stop("Replay"); at("said").textContent = `All flashes shown. Most likely symbol ${at("best").textContent}, ${at("confidence").textContent}`; });
    source.addEventListener("trouble", (event) => { const box = at("trouble"); box.textContent = JSON.parse(event.data).message; box.hidden = false; stop("Try again"); });
    source.onerror = () => { if (source) { const box = at("trouble"); box.textContent = "The console does not answer."; box.hidden = false; stop("Try again"); } };
  }

  at("go").addEventListener("click", () => (source ? stop("Resume") : start()));
  at("go").disabled = false;  // a click before this would be lost
  at("again").addEventListener("click", () => { stop("Start"); clear(); start(); });
})();
