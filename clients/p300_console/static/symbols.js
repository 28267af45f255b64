// Draws the share of correct symbols by repetitions as the API's answers arrive.
"use strict";
(() => {
  const place = document.getElementById("symbols");
  if (!place) return;
  const at = (name) => document.getElementById(`symbols-${name}`);
  const svg = (name, attributes) => { const one = document.createElementNS("http://www.w3.org/2000/svg", name); for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value); return one; };
  const y = (share) => (190 - 180 * share).toFixed(1);
  let source = null, points = [], about = "";

  function end() { if (source) source.close(); source = null; at("go").disabled = false; }

  function draw(point) {
    points.push(point);
    const x = (n) => (44 + 538 * (n / point.of)).toFixed(1);
    at("curve").setAttribute("points", points.map((p) => `${x(p.repetitions)},${y(p.accuracy)}`).join(" "));
    at("band").setAttribute("points", [...points.map((p) => `${x(p.repetitions)},${y(p.interval[1])}`), ...points.toReversed().map((p) => `${x(p.repetitions)},${y(p.interval[0])}`)].join(" "));
    const dot = svg("circle", { class: "point", cx: x(point.repetitions), cy: y(point.accuracy), r: 4 });
    const tip = svg("title", {}); tip.textContent = `${point.repetitions} repetitions: ${point.right} of ${point.symbols} correct`; dot.append(tip);
    const tick = svg("text", { class: "tick middle", x: x(point.repetitions), y: 203 }); tick.textContent = point.repetitions;
    at("points").append(dot, tick);
    at("about").textContent = `${about} After ${point.repetitions} of ${point.of} repetitions, ${point.right} of ${point.symbols} symbols are correct.`;
  }

  place.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    end(); points = [];
    at("go").disabled = true; at("trouble").hidden = true; at("plot").hidden = false;
    at("points").replaceChildren(); at("curve").setAttribute("points", ""); at("band").setAttribute("points", "");
    source = new EventSource(`${place.dataset.stream}&layout=${encodeURIComponent(at("layout").value)}`);
    const fail = (text) => { at("trouble").textContent = text; at("trouble").hidden = false; end(); };
    source.addEventListener("about", (sent) => {
      const summary = JSON.parse(sent.data);
      about = `${summary.recordings} recordings${summary.seen ? ", used in training: new subjects do worse" : " of held-out subjects"}.`;
      if (summary.left_out.length) about += ` Left out: ${summary.left_out.join(" ")}`;
      at("about").textContent = about;
    });
    source.addEventListener("point", (sent) => { const point = JSON.parse(sent.data); if (point.symbols) draw(point); });
    source.addEventListener("end", () => { if (!points.length) fail("No recording says which symbol was attended."); end(); });
    source.addEventListener("trouble", (sent) => fail(JSON.parse(sent.data).message));
    source.onerror = () => { if (source) fail("The console does not answer."); };
  });
  at("go").disabled = false;  // only now: without this script, the browser would submit the form and leave the page
})();
