// Values under the pointer or chosen with the arrow keys, and which channels are shown. The page is complete without it.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const hidden = new Set();
  const all = (selector, of = document) => [...of.querySelectorAll(selector)];
  const number = (value, digits) => value === null || value === undefined ? "–" : value.toFixed(digits);

  for (const svg of all("svg[data-chart]")) {
    const { x, series, plot: [left, top, width, height], range: [low, high], label } = JSON.parse(svg.dataset.chart);
    const cursor = document.createElementNS(SVG, "path");
    cursor.setAttribute("class", "cursor");
    svg.append(cursor);
    const out = document.createElement("p");
    out.className = "values";
    out.setAttribute("aria-live", "polite");
    svg.after(out);
    let at = -1;
    const show = (index) => {
      at = Math.min(Math.max(index, 0), x.length - 1);
      const px = left + width * (x[at] - low) / ((high - low) || 1);
      cursor.setAttribute("d", `M${px} ${top}v${height}`);
      const digits = Math.max(...series.map((one) => (String(one.y[at] ?? "").split(".")[1] || "").length));
      const seen = series.filter((one) => !hidden.has(String(one.channel)));
      const largest = seen.length > 6 ? [...seen].sort((a, b) => Math.abs(b.y[at]) - Math.abs(a.y[at])).slice(0, 6) : seen;
      out.textContent = `${x[at]} ${label}: ` + largest.map((one) => `${one.name} ${number(one.y[at], digits)}`).join(", ")
        + (seen.length > 6 ? " (largest six)" : "");
    };
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const value = low + (high - low) * ((event.clientX - box.left) * svg.viewBox.baseVal.width / box.width - left) / width;
      show(x.reduce((best, one, index) => Math.abs(one - value) < Math.abs(x[best] - value) ? index : best, 0));
    });
    svg.addEventListener("keydown", (event) => {
      const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: x.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      show(to);
    });
    svg.addEventListener("focus", () => { if (at < 0) show(Math.floor(x.length / 2)); });
  }

  for (const form of all("fieldset.channels")) {
    form.hidden = false;
    const boxes = all("input[type=checkbox]", form);
    const update = () => {
      hidden.clear();
      for (const box of boxes) if (!box.checked) hidden.add(box.value);
      for (const part of all("[data-channel]")) part.classList.toggle("off", hidden.has(part.dataset.channel));
    };
    form.addEventListener("change", update);
    for (const button of all("button", form)) {
      button.addEventListener("click", () => {
        for (const box of boxes) box.checked = button.value === "all";
        update();
      });
    }
  }
})();
