"use strict";
(() => {
  // Texts of a run reach the page through textContent alone, never as markup.
  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const svgNode = (tag, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  };
  const number = (value) => {
    if (value === null || value === undefined) return "";
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-3 || size >= 1e7)) return value.toExponential(3);
    return String(Number(value.toPrecision(5)));
  };

  // ---- hover values of the charts
  const nearest = (xs, x) => {
    let low = 0, high = xs.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (xs[middle] < x) low = middle; else high = middle;
    }
    return Math.abs(xs[low] - x) <= Math.abs(xs[high] - x) ? low : high;
  };
  const activateChart = (figure) => {
    const svg = figure.querySelector("svg");
    const data = JSON.parse(figure.querySelector("script").textContent);
    const {left, right, top, bottom} = data.plot;
    const toX = (x) => left + (x - data.x[0]) / (data.x[1] - data.x[0]) * (right - left);
    const scale = data.log ? Math.log10 : (y) => y;
    const toY = (y) => bottom - (scale(y) - scale(data.y[0])) / (scale(data.y[1]) - scale(data.y[0])) * (bottom - top);
    const group = svgNode("g", {});
    const tip = make("div", "tip");
    tip.hidden = true;
    svg.append(group);
    figure.append(tip);
    const hide = () => { tip.hidden = true; group.replaceChildren(); };
    const show = (event) => {
      const box = svg.getBoundingClientRect();
      const px = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
      if (px < left - 8 || px > right + 8) { hide(); return; }
      const wanted = data.x[0] + (px - left) / (right - left) * (data.x[1] - data.x[0]);
      let at = null;
      for (const series of data.series) {
        const x = series.x[nearest(series.x, wanted)];
        if (at === null || Math.abs(x - wanted) < Math.abs(at - wanted)) at = x;
      }
      if (at === null) return;
      group.replaceChildren(svgNode("line", {class: "cross", x1: toX(at), x2: toX(at), y1: top, y2: bottom}));
      tip.replaceChildren(make("b", "", data.xLabel + " " + number(at)));
      const reach = (data.x[1] - data.x[0]) / 60;
      data.series.forEach((series, index) => {
        const i = nearest(series.x, at);
        if (Math.abs(series.x[i] - at) > reach || series.y[i] === null) return;
        const line = make("div", "", "");
        const swatch = make("i");
        swatch.style.background = "var(--s" + index % 8 + ")";
        line.append(swatch, make("em", "", ""), make("span", "", number(series.y[i]) + (data.unit ? " " + data.unit : "")));
        line.children[1].style.fontStyle = "normal";
        line.children[1].textContent = series.name;
        tip.append(line);
        const y = series.top ? series.top[i] : series.y[i];
        if (!data.log || y > 0) {
          group.append(svgNode("circle", {class: "dot", cx: toX(series.x[i]), cy: toY(y), r: 4, fill: "var(--s" + index % 8 + ")"}));
        }
      });
      tip.hidden = false;
      const figureBox = figure.getBoundingClientRect();
      const x = box.left - figureBox.left + toX(at) / svg.viewBox.baseVal.width * box.width;
      const flip = x + tip.offsetWidth + 24 > figureBox.width;
      tip.style.left = Math.max(4, flip ? x - tip.offsetWidth - 14 : x + 14) + "px";
      tip.style.top = (box.top - figureBox.top + 6) + "px";
    };
    svg.addEventListener("pointermove", show);
    svg.addEventListener("pointerleave", hide);
  };
  document.querySelectorAll("figure.chart").forEach(activateChart);

  // ---- configuration filter
  const configuration = document.getElementById("configuration-filter");
  if (configuration) {
    const rows = [...document.querySelectorAll(".configuration tbody tr")];
    const changed = document.getElementById("configuration-changed");
    const apply = () => {
      const wanted = configuration.value.toLowerCase();
      for (const row of rows) {
        row.hidden = (changed.checked && !row.classList.contains("changed")) || !row.textContent.toLowerCase().includes(wanted);
      }
    };
    configuration.addEventListener("input", apply);
    changed.addEventListener("change", apply);
  }

  // ---- completions viewer
  const source = document.getElementById("completions-data");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const rowsPerPage = 25;
  // A row: [step, index of the prompt, completion, finish reason, numbers, other texts]
  const [kStep, kPrompt, kCompletion, kFinish, kNumbers, kTexts] = [0, 1, 2, 3, 4, 5];
  const get = (id) => document.getElementById(id);
  const search = get("c-search"), step = get("c-step"), finish = get("c-finish"), column = get("c-column"), low = get("c-low"), high = get("c-high");
  const body = get("c-body"), count = get("c-count"), pageLabel = get("c-page"), previous = get("c-previous"), next = get("c-next");
  const lower = data.rows.map((row) => (data.prompts[row[kPrompt]] + "\n" + row[kCompletion] + "\n" + row[kTexts].map((t) => t[1]).join("\n")).toLowerCase());
  const option = (select, value, text) => { const o = make("option", "", text); o.value = value; select.append(o); };
  const distinct = (key) => [...new Set(data.rows.map((row) => row[key]))];
  distinct(kStep).sort((a, b) => a - b).forEach((value) => option(step, String(value), "step " + value));
  distinct(kFinish).filter(Boolean).sort().forEach((value) => option(finish, value, value));
  data.columns.forEach((name, index) => option(column, String(index), name));
  step.hidden = step.options.length < 3;
  finish.hidden = finish.options.length < 3;
  for (const control of [column, low, high]) control.hidden = data.columns.length === 0;

  let page = 0, order = {key: null, down: false}, shown = [];
  const valueOf = (row, key) => key === "step" ? row[kStep] : key === "finish" ? row[kFinish] : row[kNumbers][Number(key)];
  const highlighted = (parent, text, wanted) => {
    if (!wanted) { parent.textContent = text; return; }
    const lowerText = text.toLowerCase();
    // Lower case can change the length of a few letters; then positions would not fit.
    if (lowerText.length !== text.length) { parent.textContent = text; return; }
    let from = 0;
    for (let at = lowerText.indexOf(wanted); at >= 0; at = lowerText.indexOf(wanted, from)) {
      parent.append(text.slice(from, at), make("mark", "", text.slice(at, at + wanted.length)));
      from = at + wanted.length;
    }
    parent.append(text.slice(from));
  };
  const clipped = (text, wanted) => {
    const flat = text.replace(/\s+/g, " ").trim();
    const at = wanted ? flat.toLowerCase().indexOf(wanted) : -1;
    const begin = at > 12 ? at - 8 : 0;
    return (begin > 0 ? "…" : "") + flat.slice(begin, begin + 200);
  };
  const open = (tr, row) => {
    if (tr.nextSibling && tr.nextSibling.classList.contains("opened")) { tr.nextSibling.remove(); return; }
    const detail = make("tr", "opened"), cell = make("td");
    cell.colSpan = tr.children.length;
    const wanted = search.value.toLowerCase();
    const parts = [["prompt", data.prompts[row[kPrompt]]], ["completion", row[kCompletion]], ...row[kTexts]];
    for (const [name, text] of parts) {
      cell.append(make("div", "name", name));
      const box = make("div", "text");
      highlighted(box, text, wanted);
      cell.append(box);
    }
    detail.append(cell);
    tr.after(detail);
  };
  const draw = () => {
    const pages = Math.max(1, Math.ceil(shown.length / rowsPerPage));
    page = Math.min(Math.max(page, 0), pages - 1);
    const wanted = search.value.toLowerCase();
    body.replaceChildren();
    for (const index of shown.slice(page * rowsPerPage, (page + 1) * rowsPerPage)) {
      const row = data.rows[index], tr = make("tr", "row");
      tr.tabIndex = 0;
      tr.append(make("td", "number", String(row[kStep])));
      for (const text of [data.prompts[row[kPrompt]], row[kCompletion]]) {
        const cell = make("td", "clip");
        highlighted(cell, clipped(text, wanted), wanted);
        tr.append(cell);
      }
      for (const value of row[kNumbers]) tr.append(make("td", "number", number(value)));
      if (data.hasFinish) tr.append(make("td", "", row[kFinish]));
      tr.addEventListener("click", () => open(tr, row));
      tr.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(tr, row); } });
      body.append(tr);
    }
    count.textContent = shown.length === data.rows.length ? data.rows.length + " completions" : shown.length + " of " + data.rows.length + " completions";
    pageLabel.textContent = "page " + (page + 1) + " of " + pages;
    previous.disabled = page === 0;
    next.disabled = page + 1 >= pages;
  };
  const apply = () => {
    const wanted = search.value.toLowerCase();
    const least = low.value === "" ? null : Number(low.value), most = high.value === "" ? null : Number(high.value);
    shown = [];
    data.rows.forEach((row, index) => {
      if (step.value !== "" && String(row[kStep]) !== step.value) return;
      if (finish.value !== "" && row[kFinish] !== finish.value) return;
      if (least !== null || most !== null) {
        const value = row[kNumbers][Number(column.value)];
        if (value === null || (least !== null && value < least) || (most !== null && value > most)) return;
      }
      if (wanted && !lower[index].includes(wanted)) return;
      shown.push(index);
    });
    if (order.key !== null) {
      const sign = order.down ? -1 : 1;
      const compare = (a, b) => {
        const x = valueOf(data.rows[a], order.key), y = valueOf(data.rows[b], order.key);
        if (x === y) return a - b;
        if (x === null) return 1;
        if (y === null) return -1;
        return x < y ? -sign : sign;
      };
      shown.sort(compare);
    }
    page = 0;
    draw();
  };
  document.querySelectorAll(".viewer th[data-sort]").forEach((head) => {
    const label = head.textContent;
    head.addEventListener("click", () => {
      const key = head.dataset.sort;
      order = {key, down: order.key === key ? !order.down : key !== "step" && key !== "finish"};
      document.querySelectorAll(".viewer th[data-sort]").forEach((other) => { other.textContent = other.dataset.label; });
      head.textContent = label + (order.down ? " ↓" : " ↑");
      apply();
    });
    head.dataset.label = label;
  });
  for (const control of [search, low, high]) control.addEventListener("input", apply);
  for (const control of [step, finish, column]) control.addEventListener("change", apply);
  previous.addEventListener("click", () => { --page; draw(); });
  next.addEventListener("click", () => { ++page; draw(); });
  apply();
})();
