"use strict";
// All cases: a table to sort by any score, worst first, and one chart of a score per label.

const EVERY = "every label";
const WORST = "worst label of each case";

class Cohort {
  constructor(report, charts, open) {
    this.report = report;
    this.charts = charts;
    this.open = open;
    const scored = report.columns.some((column) => column.better);
    this.choice = scored && report.cases.length > 1 ? WORST : EVERY;
    this.text = "";
    this.sorted = report.columns.find((column) => column.better) || report.columns[0];
    this.down = false; // worst first
  }

  async build(host) {
    const { report } = this;
    host.append(...report.problems.map((problem) =>
      make("details", { class: `problem ${problem.kind}`, open: problem.items.length < 6 ? "" : null },
        make("summary", {}, problem.title), make("ul", {}, ...problem.items.map((item) => make("li", {}, item))))));
    if (report.cases.length > 1) {
      this.chartHost = make("div", { class: "cohort-chart" });
      host.append(make("section", {}, this.metricChoice(), this.chartHost));
    }
    this.tableHost = make("div", { class: "scroll" });
    host.append(make("section", {}, this.filters(), this.tableHost), this.words("Metric notes", report.metric_notes),
      this.words("Provenance", report.provenance, true));
    this.drawTable();
    if (this.chartHost) {
      await this.charts.drawCohort(this.chartHost, this.open);
      this.chooseMetric(this.sorted.name);
    }
  }

  metricChoice() {
    this.metric = make("select", { "aria-label": "score of the chart", "data-metric": "" });
    for (const column of this.report.columns) this.metric.append(make("option", { value: column.name }, column.title));
    this.metric.addEventListener("change", () => this.chooseMetric(this.metric.value));
    return make("div", { class: "curve-head" }, make("h2", {}, "All cases"), this.metric,
      make("span", { class: "hint" }, "a dot is a case (click it); the box holds the middle half, the line is the median; a triangle is infinite"));
  }

  chooseMetric(name) {
    const column = this.report.columns.find((one) => one.name === name);
    if (!column || !this.chartHost) return;
    this.metric.value = name;
    this.charts.setMetric(column);
  }

  filters() {
    const select = make("select", { "aria-label": "label", "data-label-choice": "" });
    const choices = [[WORST, WORST], [EVERY, EVERY], ...this.report.labels.map((label) => [String(label.key), `${label.key} ${label.name}`])];
    for (const [value, text] of choices) select.append(make("option", { value }, text));
    select.value = this.choice;
    select.addEventListener("change", () => {
      this.choice = select.value;
      this.drawTable();
    });
    const search = make("input", { type: "search", placeholder: "find a case", "aria-label": "find a case" });
    search.addEventListener("input", () => {
      this.text = search.value.toLowerCase();
      this.drawTable();
    });
    this.tally = make("span", { class: "hint" });
    return make("div", { class: "curve-head" }, make("h2", {}, "Cases"), make("label", {}, "show ", select), search, this.tally);
  }

  // How bad a value is: what sorts first. Nothing to say sorts last in either direction.
  badness(value, column) {
    if (value === null || value === undefined) return null;
    if (typeof value === "string" && value !== "inf") return value;
    const number = value === "inf" ? Infinity : value;
    if (column.better === "higher") return -number;
    return column.better === "nearest to zero" ? Math.abs(number) : number;
  }

  chosenRows() {
    const { rows, columns, cases } = this.report;
    const first = columns.find((column) => column.better) || columns[0];
    let chosen = rows;
    if (this.choice === WORST) {
      const worst = new Map();
      for (const row of rows) {
        const before = worst.get(row.case);
        const [now, then] = [row, before].map((one) => (one ? this.badness(one.values[first.name], first) : null));
        if (!before || (now !== null && (then === null || now > then))) worst.set(row.case, row);
      }
      chosen = [...worst.values()];
    } else if (this.choice !== EVERY) chosen = rows.filter((row) => String(row.label) === this.choice);
    if (this.text) chosen = chosen.filter((row) => cases[row.case].id.toLowerCase().includes(this.text));
    const worst = (row) => this.sorted === "case" ? cases[row.case].id : this.badness(row.values[this.sorted.name], this.sorted);
    const order = (one, other) => {
      const [a, b] = [worst(one), worst(other)];
      if (a === null || b === null) return (a === null) - (b === null);
      if (a === b) return one.case - other.case;
      const greater = typeof a === "string" || typeof b === "string" ? String(a).localeCompare(String(b)) : Math.sign(b - a);
      return this.down ? -greater : greater;
    };
    return [...chosen].sort(order);
  }

  drawTable() {
    const { columns, cases, labels } = this.report;
    const names = new Map(labels.map((label) => [label.key, `${label.key} ${label.name}`]));
    const rows = this.chosenRows();
    const head = make("tr", {}, this.heading("case", "case"), make("th", { scope: "col" }, "label"),
      ...columns.map((column) => this.heading(column, column.title, column.help)));
    const body = make("tbody");
    for (const row of rows) {
      const one = cases[row.case];
      const link = one.href !== null
        ? make("a", { href: one.href || `#case=${row.case}` }, one.id)
        : make("span", { title: one.reason }, one.id);
      const status = one.status && one.status !== "scored" && one.status !== "done" ? make("span", { class: "status" }, one.status) : null;
      body.append(make("tr", { "data-case": one.id }, make("th", { scope: "row" }, link, status ? " " : null, status),
        make("td", {}, names.get(row.label) ?? "–"),
        ...columns.map((column) => {
          const value = row.values[column.name];
          return make("td", { class: typeof value === "number" || value === "inf" ? "number" : null },
            value === "inf" ? "∞" : shown(value, column.digits));
        })));
    }
    this.tally.textContent = `${rows.length} rows`;
    this.tableHost.replaceChildren(make("table", { class: "cases" }, make("thead", {}, head), body));
  }

  heading(column, title, help) {
    const on = this.sorted === column;
    const button = make("button", { type: "button", title: help, onclick: () => {
      this.down = on ? !this.down : false;
      this.sorted = column;
      this.drawTable();
      this.tableHost.querySelector("[aria-sort] button")?.focus();
      if (column !== "case") this.chooseMetric(column.name);
    } }, title, on ? (this.down ? " ▴" : " ▾") : "");
    const ascends = (column.better === "higher" || column === "case") !== this.down;
    return make("th", { scope: "col", "aria-sort": on ? (ascends ? "ascending" : "descending") : null }, button);
  }

  words(title, pairs, open = false) {
    const list = make("dl");
    for (const [name, value] of pairs) list.append(make("dt", {}, name), make("dd", {}, value));
    return make("section", {}, make("details", { open: open ? "" : null }, make("summary", {}, title), list));
  }
}
