"use strict";
// Beside the planes: the curves, the slices to look at first, the labels and the facts of a case.

function swatch(style, outlined) {
  const canvas = make("canvas", { width: "30", height: "18", class: "swatch", "aria-hidden": "true" });
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(30, 18);
  const words = new Uint32Array(pixels.data.buffer);
  const table = patternTable(style.pattern, 7);
  for (let y = 0, at = 0; y < 18; y++) {
    for (let x = 0; x < 30; x++, at++) {
      const edge = outlined && (x < 2 || y < 2 || x > 27 || y > 15);
      words[at] = ((edge ? 255 : table[(y % 7) * 7 + (x % 7)]) << 24) | colorWord(style.color, edge ? 0.35 : 0);
    }
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

class Side {
  constructor(viewer, charts) {
    this.viewer = viewer;
    this.charts = charts;
    const { content } = viewer;
    this.curveHost = make("div", { class: "curve", "data-curve": "" });
    viewer.side.append(
      this.curveHead(content.curves), this.curveHost, this.worstList(content.worst), this.labelTable(content),
      this.facts(content));
    viewer.onMove((slice) => this.follow(slice));
    viewer.onLabels = () => this.charts.showLabels(viewer.hidden);
    viewer.onWorst = (step) => this.stepWorst(step);
  }

  async start() {
    if (!this.viewer.content.curves.length) {
      this.curveHost.hidden = true;
      this.charts.document = null;
      return;
    }
    await this.charts.drawCurves(this.curveHost, (slice) => this.viewer.move(0, slice));
    this.chooseCurve(0);
  }

  curveHead(curves) {
    if (!curves.length) return "";
    const select = make("select", { "aria-label": "what the curves show" });
    curves.forEach((curve, number) => select.append(make("option", { value: String(number) }, curve.title)));
    select.addEventListener("change", () => this.chooseCurve(Number(select.value)));
    return make("div", { class: "curve-head" }, make("h3", {}, "By slice"), select,
      make("span", { class: "hint" }, "click on the curve to go to a slice"));
  }

  chooseCurve(number) {
    this.curve = this.viewer.content.curves[number];
    if (!this.curve) return;
    this.charts.setCurve(this.curve, this.viewer.volume.grid.shape[0]);
    this.charts.showLabels(this.viewer.hidden);
    this.follow(this.viewer.at[0]);
  }

  follow(slice) {
    this.charts.moveCursor(slice);
    for (const [key, cell] of this.sliceCells || []) {
      const series = this.curve?.series.find((one) => one.label === key);
      cell.textContent = shown(series?.y[slice], this.curve?.digits);
    }
    this.worstButtons.forEach((button) => button.setAttribute("aria-pressed", String(Number(button.dataset.slice) === slice)));
  }

  worstList(worst) {
    this.worstButtons = worst.map((one, number) => make("button", {
      type: "button", "data-slice": String(one.slice), "aria-pressed": "false",
      onclick: () => this.goWorst(number),
    }, make("b", {}, `slice ${one.slice}`), ` ${one.text}`));
    this.worstAt = -1;
    const title = this.viewer.report.kind === "evaluation" ? "Worst slices" : "Look at these slices first";
    const body = worst.length
      ? make("div", { class: "worst" }, ...this.worstButtons)
      : make("p", { class: "hint" }, "none");
    return make("section", {}, make("h3", {}, title, make("span", { class: "hint" }, " keys n, b")), body);
  }

  goWorst(number) {
    this.worstAt = number;
    const worst = this.viewer.content.worst[number];
    if (worst) this.viewer.move(0, worst.slice);
  }

  stepWorst(step) {
    const count = this.worstButtons.length;
    if (count) this.goWorst((this.worstAt + step + count) % count);
  }

  labelTable(content) {
    const { viewer } = this;
    this.sliceCells = [];
    viewer.labelBoxes = [];
    const table = make("table", { class: "labels" },
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "label"),
        make("th", { scope: "col" }, "this slice"), make("th", { scope: "col" }, content.volume_title))));
    const body = make("tbody");
    const regions = viewer.report.labels.filter((label) => typeof label.key === "string");
    for (const label of [...viewer.labels, ...regions]) {
      const box = make("input", { type: "checkbox", "data-label": String(label.key) });
      box.checked = true;
      box.addEventListener("change", () => viewer.setLabel(label.key, box.checked));
      viewer.labelBoxes.push(box);
      const cell = make("td", { "data-slice-value": String(label.key) });
      this.sliceCells.push([label.key, cell]);
      body.append(make("tr", {},
        make("th", { scope: "row" }, make("label", { class: "toggle" }, box,
          swatch(label.style, viewer.volume.reference !== null), ` ${label.key} ${label.name}`)),
        cell, make("td", {}, shown(content.volume_values[String(label.key)], content.volume_digits))));
    }
    table.append(body);
    const all = (on) => () => viewer.labelBoxes.forEach((box) => box.checked !== on && box.click());
    return make("section", {}, make("h3", {}, "Labels", make("span", { class: "hint" }, " keys 1–9 ")),
      make("div", { class: "scroll" }, table),
      make("div", { class: "controls" }, make("button", { type: "button", onclick: all(true) }, "all"),
        make("button", { type: "button", onclick: all(false) }, "none")));
  }

  facts(content) {
    const list = make("dl");
    for (const [name, value] of content.facts) list.append(make("dt", {}, name), make("dd", {}, value));
    const notes = content.notes.map((text) => make("li", {}, text));
    return make("section", {}, notes.length ? make("ul", { class: "notes" }, ...notes) : null,
      make("details", {}, make("summary", {}, "About this case"), list));
  }
}
