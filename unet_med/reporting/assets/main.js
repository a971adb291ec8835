"use strict";
// Starts the page and follows the address: #cohort, or #case=3&slice=82 for one slice of one case.

function readJson(id) {
  const element = document.getElementById(id);
  return element ? JSON.parse(element.textContent) : null;
}

class Page {
  constructor() {
    this.report = readJson("report");
    this.cohortHost = document.getElementById("cohort");
    this.caseHost = document.getElementById("case");
    this.head = document.getElementById("case-head");
    this.status = document.getElementById("status");
    this.charts = new Charts(this.report);
    this.queue = Promise.resolve();
  }

  async start() {
    if (typeof DecompressionStream === "undefined" || typeof OffscreenCanvas === "undefined") {
      this.status.textContent = "This browser is too old to show the slices: use Chrome or Edge 80, Firefox 113, Safari 16.4, or newer.";
    }
    window.addEventListener("hashchange", () => this.route());
    if (this.report.rows.length || this.report.problems.length) {
      this.cohort = new Cohort(this.report, this.charts, (number) => this.open(number));
      await this.cohort.build(this.cohortHost);
    }
    await this.route();
  }

  open(number) {
    const { href } = this.report.cases[number];
    if (href === null) return;
    window.location.href = href || `#case=${number}`;
  }

  shownCases() {
    return this.report.cases.map((one, number) => number).filter((number) => document.getElementById(`case-${number}`));
  }

  route() {
    this.queue = this.queue.then(() => this.follow()).catch((error) => {
      this.status.textContent = `This page could not be shown: ${error.message}`;
      throw error;
    });
    return this.queue;
  }

  async follow() {
    const wanted = new URLSearchParams(window.location.hash.slice(1));
    const here = this.shownCases();
    const single = this.report.cases.length === 1;
    let number = wanted.has("case") ? Number(wanted.get("case")) : null;
    if (number === null && single && here.length) [number] = here;
    const showCase = number !== null && here.includes(number);
    document.body.classList.toggle("case-shown", showCase);
    this.caseHost.hidden = !showCase;
    this.cohortHost.hidden = showCase && !single;
    if (!showCase) {
      this.close();
      this.head.replaceChildren();
      return;
    }
    if (this.number !== number) await this.show(number);
    if (wanted.has("slice")) this.viewer.move(0, Number(wanted.get("slice")));
  }

  close() {
    this.viewer?.close();
    this.viewer = null;
    this.number = null;
  }

  async show(number) {
    this.close();
    this.status.textContent = "unpacking …";
    const content = readJson(`case-${number}`);
    const one = this.report.cases[number];
    this.headline(number, one);
    const volume = await CaseVolume.open(content);
    this.viewer = new Viewer(this.report, content, volume, this.caseHost);
    this.number = number;
    this.viewer.build();
    const side = new Side(this.viewer, this.charts);
    await side.start();
    const first = content.worst.length ? content.worst[0].slice : this.viewer.at[0];
    this.viewer.move(0, first);
    const { viewer, status } = this;
    status.textContent = volume.loaded ? "" : "unpacking the scan …";
    volume.loadImage(first, () => {
      if (volume.loaded && this.viewer === viewer) status.textContent = "";
      viewer.redraw();
    }).catch((error) => {
      status.textContent = `The scan could not be unpacked: ${error.message}`;
    });
    this.viewer.planes[0].frame.focus({ preventScroll: true });
  }

  headline(number, one) {
    const here = this.shownCases();
    const at = here.indexOf(number);
    const links = [...this.report.links];
    if (this.report.cases.length > 1) {
      links.push(["← all cases", "#cohort"]);
      if (at > 0) links.push(["previous", `#case=${here[at - 1]}`]);
      if (at + 1 < here.length) links.push(["next", `#case=${here[at + 1]}`]);
    }
    const [back, ...others] = links.map(([text, href]) => make("a", { href }, text));
    this.head.replaceChildren(...[back, make("h2", {}, one.id), ...others].filter(Boolean));
  }

  // What is shown, for tests and for whoever scripts the page.
  state() {
    const { viewer } = this;
    if (!viewer) return null;
    return {
      case: this.number, slice: viewer.at[0], at: viewer.at, position_mm: viewer.volume.grid.positions_mm[viewer.at[0]],
      voxel: viewer.volume.fileIndex(viewer.at), world: viewer.volume.world(viewer.at), hidden: [...viewer.hidden],
      prediction: viewer.volume.labelAt("prediction", viewer.at), reference: viewer.volume.labelAt("reference", viewer.at),
      value: viewer.volume.valueAt(viewer.at), show: viewer.show, window: viewer.window ?? null,
      loaded: viewer.volume.loaded,
      drawn: !viewer.pending,
    };
  }
}

const page = new Page();
window.unetMed = page;
page.ready = page.start();
