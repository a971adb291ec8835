"use strict";
// One of the three planes: draws a slice with its masks and answers to wheel, pointer and keys.
// Left on the screen is the patient's right (axial, coronal) or front (sagittal); up is front or head.

const WHEEL_STEP = 40; // pixels of a wheel or trackpad that make one slice

function patternTable(kind, period) {
  // Opacity (of 255) of a filled mask within one period of rows and columns.
  const table = new Uint8Array(period * period);
  const thick = Math.max(1, Math.round(period * 0.36));
  for (let y = 0; y < period; y++) {
    for (let x = 0; x < period; x++) {
      const on = [
        true,
        (x + y) % period < thick,
        (x - y + period) % period < thick,
        y % period < thick,
        x % period < thick,
        x < thick && y < thick,
      ][kind];
      table[y * period + x] = kind === 0 ? 140 : on ? 205 : 85;
    }
  }
  return table;
}

class Plane {
  constructor(viewer, world, host) {
    const { grid } = viewer.volume;
    this.viewer = viewer;
    this.world = world;
    this.stack = grid.world.indexOf(world);
    const [columnWorld, rowWorld] = [0, 1, 2].filter((axis) => axis !== world);
    this.column = grid.world.indexOf(columnWorld);
    this.row = grid.world.indexOf(rowWorld);
    this.count = grid.shape[this.stack];
    this.wheel = 0;
    this.host = host;
    this.name = AXIS_NAMES[world];
    this.canvas = make("canvas", { "aria-hidden": "true" });
    this.frame = make("div", {
      class: "plane", tabindex: "0", role: "slider", "aria-orientation": "vertical",
      "aria-label": `${this.name} slices`, "aria-valuemin": "0", "aria-valuemax": String(this.count - 1),
      "data-plane": this.name,
    }, this.canvas);
    const [low, high] = [LETTERS[columnWorld], LETTERS[rowWorld]];
    const letters = { left: low[1], right: low[0], top: high[1], bottom: high[0] };
    for (const [side, letter] of Object.entries(letters)) {
      this.frame.append(make("span", { class: `letter ${side}`, "data-side": side }, letter));
    }
    this.caption = make("span", { class: "caption" });
    this.slider = make("input", {
      type: "range", min: "0", max: String(this.count - 1), step: "1",
      "aria-label": `${this.name} slice`, "data-slider": this.name,
    });
    host.append(make("div", { class: "plane-head" }, this.caption), this.frame, this.slider);
    this.listen();
  }

  get index() {
    return this.viewer.at[this.stack];
  }

  listen() {
    const move = (value) => this.viewer.move(this.stack, value);
    this.slider.addEventListener("input", () => move(Number(this.slider.value)));
    this.frame.addEventListener("wheel", (event) => {
      event.preventDefault();
      const unit = event.deltaMode === 1 ? WHEEL_STEP : 1;
      this.wheel += Math.max(-WHEEL_STEP, Math.min(WHEEL_STEP, event.deltaY * unit));
      const steps = Math.trunc(this.wheel / WHEEL_STEP);
      this.wheel -= steps * WHEEL_STEP;
      if (steps) move(this.index + steps);
    }, { passive: false });
    this.frame.addEventListener("keydown", (event) => {
      const step = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10 }[event.key];
      const end = { Home: 0, End: this.count - 1 }[event.key];
      if (event.ctrlKey || event.metaKey || event.altKey || (step === undefined && end === undefined)) return;
      event.preventDefault();
      move(end === undefined ? this.index + step : end);
    });
    this.frame.addEventListener("pointerdown", (event) => this.grasp(event));
    this.frame.addEventListener("contextmenu", (event) => event.preventDefault());
    this.frame.addEventListener("dblclick", () => this.viewer.enlarge(this.world));
  }

  // Left button: the crosshair follows. Right button, or with shift: window and level.
  grasp(event) {
    this.frame.focus({ preventScroll: true });
    const windowing = event.button === 2 || event.shiftKey;
    let last = [event.clientX, event.clientY];
    const follow = (now) => {
      if (windowing) this.viewer.shiftWindow(now.clientX - last[0], now.clientY - last[1]);
      else this.point(now);
      last = [now.clientX, now.clientY];
    };
    this.frame.setPointerCapture(event.pointerId);
    this.frame.addEventListener("pointermove", follow);
    const release = () => this.frame.removeEventListener("pointermove", follow);
    this.frame.addEventListener("pointerup", release, { once: true });
    this.frame.addEventListener("pointercancel", release, { once: true });
    if (!windowing) this.point(event);
  }

  point(event) {
    const box = this.canvas.getBoundingClientRect();
    const at = [...this.viewer.at];
    at[this.column] = this.indexAt(this.column, (event.clientX - box.left) / box.width);
    at[this.row] = this.indexAt(this.row, (event.clientY - box.top) / box.height);
    this.viewer.moveTo(at);
  }

  // Index along a stored axis at a share of the screen: world coordinates fall to the right and down.
  indexAt(axis, share) {
    const { shape, reversed } = this.viewer.volume.grid;
    const along = reversed[axis] ? share : 1 - share;
    return Math.max(0, Math.min(shape[axis] - 1, Math.floor(along * shape[axis])));
  }

  shareOf(axis, index) {
    const { shape, reversed } = this.viewer.volume.grid;
    const along = (index + 0.5) / shape[axis];
    return reversed[axis] ? along : 1 - along;
  }

  // Fit the canvas into its host, in physical proportions.
  fit(width, height) {
    const { shape, spacing_mm: spacing } = this.viewer.volume.grid;
    const wide = shape[this.column] * spacing[this.column];
    const high = shape[this.row] * spacing[this.row];
    const scale = Math.min(width / wide, height / high);
    const ratio = window.devicePixelRatio || 1;
    this.ratio = ratio;
    this.canvas.width = Math.max(2, Math.round(wide * scale * ratio));
    this.canvas.height = Math.max(2, Math.round(high * scale * ratio));
    this.canvas.style.width = `${this.canvas.width / ratio}px`;
    this.canvas.style.height = `${this.canvas.height / ratio}px`;
    this.overlay = new OffscreenCanvas(this.canvas.width, this.canvas.height);
    this.pixels = new ImageData(this.canvas.width, this.canvas.height);
  }

  draw() {
    if (!this.pixels) return;
    const context = this.canvas.getContext("2d");
    context.fillStyle = this.viewer.volume.image ? "#000" : "#24282c";
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    if (this.viewer.volume.image && this.viewer.show.scan) this.drawScan(context);
    this.drawMasks();
    this.overlay.getContext("2d").putImageData(this.pixels, 0, 0);
    context.drawImage(this.overlay, 0, 0);
    if (this.viewer.show.cross) this.drawCross(context);
    const text = this.viewer.sliceText(this);
    this.caption.textContent = text;
    this.slider.value = String(this.index);
    this.slider.setAttribute("aria-valuetext", text);
    this.frame.setAttribute("aria-valuenow", String(this.index));
    this.frame.setAttribute("aria-valuetext", text);
  }

  drawScan(context) {
    const { image, imageCodes, grid } = this.viewer.volume;
    const strides = [image.shape[1] * image.shape[2], image.shape[2], 1];
    const [height, width] = [image.shape[this.row], image.shape[this.column]];
    const slice = this.stack === 0 ? this.index : Math.floor(this.index / image.factor);
    const start = Math.min(slice, image.shape[this.stack] - 1) * strides[this.stack];
    const pixels = new ImageData(width, height);
    const words = new Uint32Array(pixels.data.buffer);
    const { grays } = this.viewer;
    const upside = !grid.reversed[this.row];
    const mirrored = !grid.reversed[this.column];
    for (let y = 0, to = 0; y < height; y++) {
      const line = start + (upside ? height - 1 - y : y) * strides[this.row];
      for (let x = 0; x < width; x++, to++) {
        words[to] = grays[imageCodes[line + (mirrored ? width - 1 - x : x) * strides[this.column]]];
      }
    }
    const small = new OffscreenCanvas(width, height);
    small.getContext("2d").putImageData(pixels, 0, 0);
    // Blocks at the far end may reach beyond the grid.
    const [wide, before] = this.drawnLength(this.column, width, this.canvas.width, mirrored);
    const [high, above] = this.drawnLength(this.row, height, this.canvas.height, upside);
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    context.drawImage(small, -before, -above, wide, high);
  }

  drawnLength(axis, count, pixels, turned) {
    const factor = axis === 0 ? 1 : this.viewer.volume.image.factor;
    const length = (count * factor * pixels) / this.viewer.volume.grid.shape[axis];
    return [length, turned ? length - pixels : 0];
  }

  // The codes that a mask has on the screen, one per pixel: the voxel there, never a mixture.
  onScreen(mask, visible) {
    const { width, height } = this.canvas;
    const codes = new Uint16Array(width * height);
    if (!mask) return codes;
    const strides = [mask.shape[1] * mask.shape[2], mask.shape[2], 1];
    const place = (axis, index) =>
      Math.min(axis === 0 ? index : Math.floor(index / mask.factor), mask.shape[axis] - 1) * strides[axis];
    const start = place(this.stack, this.index);
    const columns = new Int32Array(width);
    for (let x = 0; x < width; x++) columns[x] = place(this.column, this.indexAt(this.column, (x + 0.5) / width));
    for (let y = 0, to = 0; y < height; y++) {
      const line = start + place(this.row, this.indexAt(this.row, (y + 0.5) / height));
      for (let x = 0; x < width; x++, to++) {
        const code = mask.values[line + columns[x]];
        codes[to] = visible[code] ? code : 0;
      }
    }
    return codes;
  }

  drawMasks() {
    const { viewer } = this;
    const visible = viewer.visibleCodes();
    const words = new Uint32Array(this.pixels.data.buffer);
    words.fill(0);
    if (viewer.show.prediction) this.fill(words, this.onScreen(viewer.volume.prediction, visible));
    if (viewer.show.reference && viewer.volume.reference) {
      this.outline(words, this.onScreen(viewer.volume.reference, visible));
    }
  }

  fill(words, codes) {
    const { width, height } = this.canvas;
    const period = Math.max(5, Math.round(7 * this.ratio));
    const { styles, opacity, show } = this.viewer;
    const tables = styles.map((style) => patternTable(show.patterns ? style.pattern : 0, period));
    for (let y = 0, at = 0; y < height; y++) {
      for (let x = 0; x < width; x++, at++) {
        const code = codes[at];
        if (!code) continue;
        const alpha = tables[code][(y % period) * period + (x % period)] * opacity;
        words[at] = (alpha << 24) | styles[code].bgr;
      }
    }
  }

  outline(words, codes) {
    const { width, height } = this.canvas;
    const { styles } = this.viewer;
    const thick = Math.max(2, Math.round(1.5 * this.ratio));
    const black = (170 << 24) | 0;
    const unit = Math.round(3 * this.ratio);
    for (let y = 0, at = 0; y < height; y++) {
      for (let x = 0; x < width; x++, at++) {
        const code = codes[at];
        const left = x >= thick ? codes[at - thick] : 0;
        const right = x + thick < width ? codes[at + thick] : 0;
        const up = y >= thick ? codes[at - thick * width] : 0;
        const down = y + thick < height ? codes[at + thick * width] : 0;
        if (left === code && right === code && up === code && down === code) continue;
        if (!code) {
          words[at] = black; // a dark seam outside, so that the line shows on a bright scan
          continue;
        }
        const [on, off] = styles[code].dash;
        const gap = off && (x + y) % ((on + off) * unit) >= on * unit;
        words[at] = gap ? black : (255 << 24) | styles[code].light;
      }
    }
  }

  drawCross(context) {
    const x = this.shareOf(this.column, this.viewer.at[this.column]) * this.canvas.width;
    const y = this.shareOf(this.row, this.viewer.at[this.row]) * this.canvas.height;
    const gap = 9 * this.ratio;
    context.strokeStyle = "rgba(255,255,255,0.55)";
    context.lineWidth = Math.max(1, this.ratio);
    context.beginPath();
    for (const [fromX, fromY, toX, toY] of [
      [0, y, x - gap, y], [x + gap, y, this.canvas.width, y],
      [x, 0, x, y - gap], [x, y + gap, x, this.canvas.height],
    ]) {
      context.moveTo(fromX, fromY);
      context.lineTo(toX, toY);
    }
    context.stroke();
  }
}
