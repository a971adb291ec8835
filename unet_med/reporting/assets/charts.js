"use strict";
// The charts that Python described for Bokeh: fills in data, moves the cursor, answers to clicks.

async function embed(item, host) {
  const target = make("div");
  host.replaceChildren(target);
  const copy = JSON.parse(JSON.stringify(item)); // the library takes what it is given apart
  copy.target_id = null;
  await Bokeh.embed.embed_item(copy, target);
  return Bokeh.documents[Bokeh.documents.length - 1];
}

// The second of two quick clicks is an event of its own.
function onClick(figure, react) {
  for (const name of ["tap", "doubletap"]) figure.on_event(name, react);
}

class Charts {
  constructor(report) {
    this.report = report;
  }

  async drawCurves(host, go) {
    this.document = await embed(this.report.curve_chart, host);
    const [figure] = this.document.roots();
    onClick(figure, (event) => go(Math.max(0, Math.min(this.count - 1, Math.round(event.x)))));
    host.setAttribute("aria-hidden", "true"); // the table of labels says the same in words
  }

  model(name) {
    return this.document.get_model_by_name(name);
  }

  setCurve(curve, count) {
    this.count = count;
    const x = Array.from({ length: count }, (_, index) => index);
    const values = [];
    this.report.labels.forEach((label, number) => {
      const source = this.model(`curve ${number}`);
      if (!source) return;
      const series = curve.series.find((one) => one.label === label.key);
      const y = series ? series.y.map((one) => (one === null ? NaN : one)) : x.map(() => NaN);
      const other = series?.reference ? series.reference.map((one) => (one === null ? NaN : one)) : x.map(() => NaN);
      values.push(...y, ...other);
      source.data = { x, y, reference: other };
      this.model(`dots ${number}`).data = this.marked(y);
    });
    const top = curve.high ?? Math.max(1e-6, ...values.filter(Number.isFinite)) * 1.05;
    const { x_range: across, y_range: up } = this.document.roots()[0];
    across.setv({ start: -0.5, end: count - 0.5 });
    across.setv({ reset_start: -0.5, reset_end: count - 0.5 });
    up.setv({ start: -0.03 * top, end: top * 1.03 });
    up.setv({ reset_start: -0.03 * top, reset_end: top * 1.03 });
    this.model("value axis").axis_label = curve.title;
  }

  // Marks on every few points of a line, and wherever a point has no neighbor to draw a line to.
  marked(y) {
    const every = Math.max(1, Math.ceil(y.length / 30));
    const known = (index) => index >= 0 && index < y.length && !Number.isNaN(y[index]);
    const x = y.map((_, index) => index).filter((index) => known(index)
      && (index % every === 0 || !(known(index - 1) || known(index + 1))));
    return { x, y: x.map((index) => y[index]) };
  }

  showLabels(hidden) {
    if (!this.document) return;
    this.report.labels.forEach((label, number) => {
      for (const part of ["line", "marks", "other"]) {
        const renderer = this.model(`${part} ${number}`);
        if (renderer) renderer.visible = !hidden.has(label.key);
      }
    });
  }

  moveCursor(slice) {
    const cursor = this.document?.get_model_by_name("cursor");
    if (cursor) cursor.location = slice;
  }

  // Dots and boxes of one metric, one column per label.
  async drawCohort(host, open) {
    this.cohort = await embed(this.report.cohort_chart, host);
    const [figure] = this.cohort.roots();
    onClick(figure, (event) => {
      const { x_range: across, y_range: up } = figure;
      const { x, y, number } = this.points;
      let [best, least] = [-1, 0.03 ** 2];
      x.forEach((at, index) => {
        const distance = ((at - event.x) / (across.end - across.start)) ** 2
          + ((y[index] - event.y) / (up.end - up.start)) ** 2;
        if (distance < least) [best, least] = [index, distance];
      });
      if (best >= 0) open(number[best]);
    });
    host.setAttribute("aria-hidden", "true"); // the table says the same in words
  }

  setMetric(column) {
    const { labels, rows, boxes } = this.report;
    const place = new Map(labels.map((label, index) => [label.key, index]));
    const finite = rows.map((row) => row.values[column.name]).filter((value) => typeof value === "number");
    const [least, most] = finite.length ? [Math.min(...finite), Math.max(...finite)] : [0, 1];
    const span = most - least || Math.abs(most) || 1;
    const beyond = most + 0.12 * span;
    const points = { x: [], y: [], number: [], marker: [] };
    rows.forEach((row, index) => {
      const value = row.values[column.name];
      if (value === null || value === undefined || !place.has(row.label)) return;
      const jitter = (((index * 2654435761) % 4294967296) / 4294967296 - 0.5) * 0.5;
      points.x.push(place.get(row.label) + jitter);
      points.y.push(value === "inf" ? beyond : value);
      points.marker.push(value === "inf" ? "triangle" : "circle");
      points.number.push(row.case);
    });
    this.points = points;
    this.cohort.get_model_by_name("points").data = { ...points };
    const data = { x: [], low: [], q1: [], median: [], q3: [], high: [] };
    for (const box of boxes[column.name] || []) {
      data.x.push(place.get(box.label));
      for (const part of ["low", "q1", "median", "q3", "high"]) {
        data[part].push(box[part] === "inf" ? beyond : box[part]);
      }
    }
    this.cohort.get_model_by_name("boxes").data = data;
    const { y_range: up } = this.cohort.roots()[0];
    const fixed = column.low !== null && column.high !== null;
    up.setv(fixed
      ? { start: column.low - 0.02, end: column.high + 0.02 }
      : { start: least - 0.06 * span, end: points.marker.includes("triangle") ? beyond + 0.08 * span : most + 0.06 * span });
    this.cohort.get_model_by_name("metric axis").axis_label = column.title;
  }
}
