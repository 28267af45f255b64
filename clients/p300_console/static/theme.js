// Applies the chosen colours before anything is drawn. Without a choice, the system's setting applies.
"use strict";
(() => {
  const root = document.documentElement;
  const chosen = localStorage.getItem("p300-theme");
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;
  const isDark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const update = () => { button.textContent = isDark() ? "Light" : "Dark"; button.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`); };
    button.hidden = false;
    button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; localStorage.setItem("p300-theme", root.dataset.theme); update(); });
    update();
  });
})();
