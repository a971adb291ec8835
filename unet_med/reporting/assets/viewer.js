"use strict";
// A case: three planes, the curves beside them, the worst slices, labels to switch on and off.

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function shown(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  return typeof value === "number" ? value.toFixed(digits) : String(value);
}

const CT_WINDOWS = { "soft tissue": [40, 400], lung: [-600, 1500], bone: [400, 1800], brain: [40, 80] };

function colorWord(color, towardsWhite = 0) {
  // A color as the 24 low bits of a pixel: blue, green, red.
  const part = (at) => {
    const value = parseInt(color.slice(at, at + 2), 16);
    return Math.round(value + (255 - value) * towardsWhite);
  };
  return (part(5) << 16) | (part(3) << 8) | part(1);
}

class Viewer {
  constructor(report, content, volume, host) {
    this.report = report;
    this.content = content;
    this.volume = volume;
    this.host = host;
    this.listeners = [];
    const { shape } = volume.grid;
    this.at = shape.map((size) => Math.floor(size / 2));
    this.show = { prediction: true, reference: true, scan: true, cross: true, patterns: true };
    this.opacity = 0.6;
    this.hidden = new Set();
    const known = new Map(report.labels.map((label) => [label.key, label]));
    this.labels = volume.codes.filter((value) => value !== 0).map((value) =>
      known.get(value) || { key: value, name: "", style: report.styles[value % report.styles.length] });
    const byValue = new Map(this.labels.map((label) => [label.key, label]));
    this.styles = volume.codes.map((value) => {
      const style = byValue.get(value)?.style || report.styles[0];
      return { ...style, bgr: colorWord(style.color), light: colorWord(style.color, 0.35) };
    });
    if (volume.image) this.window = [...volume.image.window];
    this.makeGrays();
  }

  onMove(listener) {
    this.listeners.push(listener);
  }

  // Go to a slice of one stored axis.
  move(axis, index) {
    const at = [...this.at];
    at[axis] = index;
    this.moveTo(at);
  }

  moveTo(at) {
    const { shape } = this.volume.grid;
    this.at = at.map((index, axis) => Math.max(0, Math.min(shape[axis] - 1, index)));
    this.redraw();
    this.listeners.forEach((listener) => listener(this.at[0]));
  }

  redraw() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.planes.forEach((plane) => plane.draw());
      this.tellVoxel();
    });
  }

  visibleCodes() {
    return this.volume.codes.map((value) => value !== 0 && !this.hidden.has(value));
  }

  makeGrays() {
    const { image } = this.volume;
    this.grays = new Uint32Array(256);
    if (!image) return;
    const [low, high] = this.window;
    image.values.forEach((value, code) => {
      const gray = Math.max(0, Math.min(255, Math.round(((value - low) / Math.max(high - low, 1e-12)) * 255)));
      this.grays[code] = ((255 << 24) | (gray << 16) | (gray << 8) | gray) >>> 0;
    });
  }

  setWindow(low, high) {
    this.window = [low, high];
    this.makeGrays();
    this.levelInput.value = String((low + high) / 2);
    this.widthInput.value = String(high - low);
    this.windowText.textContent = `level ${shown((low + high) / 2, 0)}, width ${shown(high - low, 0)}`;
    this.redraw();
  }

  shiftWindow(right, down) {
    if (!this.window) return;
    const [low, high] = this.window;
    const width = Math.max((high - low) * Math.exp(right / 200), 1e-6);
    const level = (low + high) / 2 + (down / 300) * (high - low);
    this.setWindow(level - width / 2, level + width / 2);
  }

  sliceText(plane) {
    const { grid } = this.volume;
    const { index, count } = plane;
    const mm = plane.stack === 0
      ? grid.positions_mm[index]
      : this.volume.world(this.at.map((_, axis) => (axis === plane.stack ? index : (grid.shape[axis] - 1) / 2)))[plane.world];
    const number = this.fileSlice(plane.stack, index);
    return `${plane.name} slice ${number} of 0–${count - 1} · ${"xyz"[plane.world]} = ${mm.toFixed(1)} mm`;
  }

  // The index along an axis as the file counts it; slices of the curve are in that order already.
  fileSlice(axis, index) {
    return this.volume.grid.file_flips[axis] ? this.volume.grid.shape[axis] - 1 - index : index;
  }

  tellVoxel() {
    const name = (value) => {
      if (value === null) return "none";
      if (value === 0) return "background";
      const label = this.labels.find((one) => one.key === value);
      return label && label.name ? `${value} ${label.name}` : String(value);
    };
    const mm = this.volume.world(this.at).map((one) => one.toFixed(1)).join(", ");
    const parts = [`voxel (${this.volume.fileIndex(this.at).join(", ")})`, `(${mm}) mm`];
    const value = this.volume.valueAt(this.at);
    if (value !== null) parts.push(`value ≈ ${Number(value.toPrecision(3))}`);
    if (this.volume.prediction) parts.push(`prediction: ${name(this.volume.labelAt("prediction", this.at))}`);
    if (this.volume.reference) parts.push(`reference: ${name(this.volume.labelAt("reference", this.at))}`);
    this.voxelText.textContent = parts.join(" · ");
  }

  build() {
    const [planesHost, side] = [make("div", { class: "planes" }), make("div", { class: "side" })];
    this.voxelText = make("p", { class: "voxel" });
    const main = this.volume.grid.world[0];
    this.order = [main, ...[2, 1, 0].filter((world) => world !== main)];
    this.planes = this.order.map((world) => {
      const host = make("div", { class: "plane-host" });
      planesHost.append(host);
      return new Plane(this, world, host);
    });
    this.planesHost = planesHost;
    this.enlarge(main);
    const left = make("div", { class: "left" }, planesHost, this.voxelText, this.controls());
    this.host.replaceChildren(make("div", { class: "case-grid" }, left, side));
    this.side = side;
    this.observer = new ResizeObserver(() => this.fit());
    this.observer.observe(this.host); // the planes have no box of their own in a narrow window
    this.fit();
    this.onKeys = (event) => this.shortcut(event);
    document.addEventListener("keydown", this.onKeys);
  }

  close() {
    this.observer.disconnect();
    document.removeEventListener("keydown", this.onKeys);
  }

  enlarge(world) {
    this.planes.forEach((plane) => plane.host.classList.toggle("main", plane.world === world));
    this.planesHost.prepend(this.planes.find((plane) => plane.world === world).host);
    if (this.observer) this.fit();
  }

  fit() {
    const narrow = window.innerWidth < 760;
    for (const plane of this.planes) {
      const isMain = plane.host.classList.contains("main");
      const width = plane.host.clientWidth;
      const tall = Math.max(260, window.innerHeight - 250);
      plane.fit(Math.max(width, 60), isMain ? tall : narrow ? tall * 0.6 : (tall - 70) / 2);
    }
    this.redraw();
  }

  toggle(name, text, key) {
    const box = make("input", { type: "checkbox", "data-show": name });
    box.checked = this.show[name];
    box.addEventListener("change", () => {
      this.show[name] = box.checked;
      this.redraw();
    });
    this.boxes = { ...this.boxes, [key]: box };
    return make("label", { class: "toggle", title: `key ${key}` }, box, text);
  }

  controls() {
    const row = make("div", { class: "controls" });
    if (this.volume.prediction) row.append(this.toggle("prediction", "prediction (filled)", "p"));
    if (this.volume.reference) row.append(this.toggle("reference", "reference (outlined)", "r"));
    if (this.volume.image) row.append(this.toggle("scan", "scan", "s"));
    row.append(this.toggle("cross", "crosshair", "c"), this.toggle("patterns", "patterns", "h"));
    const opacity = make("input", { type: "range", min: "0", max: "1", step: "0.05", value: String(this.opacity), "aria-label": "opacity of the prediction" });
    opacity.addEventListener("input", () => {
      this.opacity = Number(opacity.value);
      this.redraw();
    });
    row.append(make("label", { class: "toggle" }, "opacity", opacity));
    if (this.volume.image) row.append(this.windowControls());
    return row;
  }

  windowControls() {
    const { values, window: first } = this.volume.image;
    const [low, high] = [values[0], values[values.length - 1]];
    const range = { type: "range", step: "any" };
    this.levelInput = make("input", { ...range, min: low, max: high, "aria-label": "window level" });
    this.widthInput = make("input", { ...range, min: (high - low) / 256, max: (high - low) * 1.2, "aria-label": "window width" });
    this.windowText = make("span", { class: "window-text" });
    const apply = () => {
      const [level, width] = [Number(this.levelInput.value), Number(this.widthInput.value)];
      this.setWindow(level - width / 2, level + width / 2);
    };
    this.levelInput.addEventListener("input", apply);
    this.widthInput.addEventListener("input", apply);
    const group = make("span", { class: "window", role: "group", "aria-label": "window of the scan" },
      make("label", { class: "toggle" }, "level", this.levelInput),
      make("label", { class: "toggle" }, "width", this.widthInput), this.windowText,
      make("button", { type: "button", onclick: () => this.setWindow(...first) }, "reset window"));
    if (low <= -500) {
      for (const [name, [level, width]] of Object.entries(CT_WINDOWS)) {
        group.append(make("button", { type: "button", onclick: () => this.setWindow(level - width / 2, level + width / 2) }, name));
      }
    }
    queueMicrotask(() => this.setWindow(...first));
    return group;
  }

  setLabel(value, on) {
    if (on) this.hidden.delete(value);
    else this.hidden.add(value);
    this.redraw();
    this.onLabels?.();
  }

  shortcut(event) {
    const typing = event.target.closest?.("input:not([type=range]):not([type=checkbox]), select, textarea");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const box = this.boxes[event.key];
    const digit = "123456789".indexOf(event.key);
    const step = { n: 1, b: -1 }[event.key];
    if (box) box.click();
    else if (event.key.length === 1 && digit >= 0 && this.labelBoxes?.[digit]) this.labelBoxes[digit].click();
    else if (step) this.onWorst?.(step);
    else return;
    event.preventDefault();
  }
}
