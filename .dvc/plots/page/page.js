"use strict";
// DVC calls vegaEmbed once a plot while the page is read. The calls are kept until all revisions are known, so that a
// revision has one mark on the whole page, also where a plot lacks another revision.

const CONFIG = {
  background: "white",
  font: "system-ui, 'DejaVu Sans', sans-serif",
  // Okabe and Ito's colours, those of src/context_fbr/figures/style.py.
  range: {
    category: ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"],
    symbol: ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross"],
  },
  view: {stroke: null},
  axis: {
    labelColor: "#555555", labelFontSize: 11, titleColor: "#1a1a1a", titleFontSize: 11, titleFontWeight: "normal",
    domainColor: "#555555", tickColor: "#555555", gridColor: "#b0b0b0", gridOpacity: 0.3,
  },
  header: {labelFontSize: 13, labelFontWeight: 600},
  legend: {
    orient: "top", direction: "vertical", title: null, labelFontSize: 12, labelLimit: 900, symbolSize: 90,
    symbolFillColor: "#555555", symbolStrokeColor: "#555555",
  },
  text: {fontSize: 10},
};
const OPTIONS = {
  config: CONFIG,
  renderer: "svg", // sharp at any size
  logLevel: vega.Error, // Vega warns of a layer without data: a revision may have no intervals, or no baselines
  actions: {export: true, source: false, compiled: false, editor: false}, // the editor is a web page
};
const embed = window.vegaEmbed;
const pending = [];
window.vegaEmbed = (selector, spec) => {
  if (spec.data) pending.push({selector, spec}); // of a plot without data in any revision DVC writes {}
};

/** A new element with attributes and children. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  Object.assign(made, attributes);
  made.append(...children);
  return made;
}

/**
 * Give every encoding by revision the same order of all revisions. Vega-Lite merges legends of equal domains, and if one
 * is switched off, all are: those without a legend get a domain of their own.
 */
function shareRevisions(part, revisions) {
  if (part === null || typeof part !== "object") return;
  if (part.field === "rev" && part.type) {
    part.scale = {...part.scale, domain: part.legend === null ? [...revisions, ""] : revisions};
  }
  Object.values(part).forEach((inner) => shareRevisions(inner, revisions));
}

/** What DVC wrote for an image: its path, and for each revision that has it the address. */
function readImages(block) {
  const [path, ...titles] = [...block.querySelectorAll("p")].map((p) => p.textContent);
  const addresses = [...block.querySelectorAll("img")].map((image) => image.getAttribute("src"));
  return {path, images: titles.map((rev, index) => ({rev, src: addresses[index]}))};
}

/** A column's name for people. */
const words = (name) => name.replaceAll("_", " ");

/** plots/overlays/spheres.png is "Overlays: spheres". */
function headingOf(path) {
  const text = words(path.replace(/^plots\//, "").replace(/\.[a-z]+$/, "")).replaceAll("/", ": ");
  return text[0].toUpperCase() + text.slice(1);
}

/** The mark of a revision in all plots, as a small picture. */
function mark(revisions, rev) {
  const view = new vega.View(vega.parse({
    width: 14, height: 14,
    marks: [{type: "symbol", encode: {enter: {
      x: {value: 7}, y: {value: 7}, size: {value: 90}, stroke: {value: "#555555"}, strokeWidth: {value: 2},
      fill: {value: "#555555"}, fillOpacity: {value: [1, 0, 0.35][revisions.indexOf(rev) % 3]},
      shape: {value: CONFIG.range.symbol[revisions.indexOf(rev) % CONFIG.range.symbol.length]},
    }}}],
  }), {renderer: "none"});
  const holder = element("span");
  view.runAsync().then(() => view.toSVG()).then((svg) => { holder.innerHTML = svg; });
  return holder;
}

/** Note which revisions a plot lacks. */
function absence(revisions, present) {
  const absent = revisions.filter((rev) => !present.includes(rev));
  return absent.length ? [element("p", {}, `Not in ${absent.join(", ")}.`)] : [];
}

function drawPlot(block, spec, revisions) {
  const {text, subtitle} = typeof spec.title === "object" ? spec.title : {text: spec.title};
  delete spec.title;
  shareRevisions(spec, revisions);
  const present = [...new Set(spec.data.values.map((row) => row.rev))];
  const heading = element("h2", {}, text);
  const section = element("section", {id: block.id}, heading, element("p", {}, subtitle ?? ""), ...absence(revisions, present));
  block.removeAttribute("id");
  block.replaceWith(section);
  const target = section.appendChild(element("div", {className: "plot"}));
  if (spec.usermeta?.table) section.append(comparison(spec.data.values, spec.usermeta.table, revisions));
  return embed(target, spec, OPTIONS).then((result) => {
    // Fill the page, but neither blow small plots up nor shrink large ones until they cannot be read.
    const svg = target.querySelector("svg.marks");
    svg.style.maxWidth = `${1.3 * svg.viewBox.baseVal.width}px`;
    svg.style.minWidth = `${0.8 * svg.viewBox.baseVal.width}px`;
    return result;
  }).catch((error) => {
    target.append(element("p", {}, `This plot cannot be drawn: ${error.message}`));
    throw error;
  });
}

/** A table behind a click. */
function details(columns, rows) {
  const line = (kind, cells) => element("tr", {}, ...cells.map((cell) => element(kind, {}, cell)));
  return element("details", {}, element("summary", {}, "Numbers"), element("div", {className: "table"},
    element("table", {},
      line("th", columns), ...rows.map((cells) => line("td", cells)))));
}

/** The rows of a CSV of all revisions. DVC writes its own names over the columns filename and field. */
function numbers(rows) {
  const columns = [...new Set(rows.flatMap(Object.keys))]
    .filter((name) => !["rev", "filename", "field", "step"].includes(name));
  return details(["revision", ...columns.map(words)], rows.map((row) => ["rev", ...columns].map((name) => row[name] ?? "")));
}

/** The means with their intervals, a column for each revision. */
function comparison(rows, {by, value}, revisions) {
  const means = rows.filter((row) => !row.seed && row[value]);
  const plain = (text) => (text && !isNaN(text) ? String(Number(text)) : text ?? ""); // 16.0 is 16
  const nameOf = (row) => by.map((column) => plain(row[column]));
  const names = new Map(means.map((row) => [nameOf(row).join(), nameOf(row)]));
  const rounded = (text) => Number(text).toFixed(3);
  const cell = (name, rev) => {
    const row = means.find((one) => one.rev === rev && nameOf(one).join() === name);
    if (!row) return "";
    return rounded(row[value]) + (row.low && row.high ? ` [${rounded(row.low)}, ${rounded(row.high)}]` : "");
  };
  return details([...by.map(words), ...revisions],
    [...names].map(([key, name]) => [...name, ...revisions.map((rev) => cell(key, rev))]));
}

function layOutImages(block, revisions, tables) {
  const {path, images} = readImages(block);
  const grid = element("div", {className: "images"});
  grid.style.setProperty("--revisions", revisions.length);
  revisions.forEach((rev) => {
    const image = images.find((one) => one.rev === rev);
    const shown = image
      ? element("img", {src: image.src, alt: `${path} of ${rev}`, onclick: () => openViewer(images, images.indexOf(image))})
      : element("p", {className: "absent"}, "not in this revision");
    grid.append(element("figure", {}, element("figcaption", {}, mark(revisions, rev), rev), shown));
  });
  const section = element("section", {id: block.id},
    element("h2", {}, headingOf(path)), element("p", {}, element("code", {}, path)), grid);
  const table = tables.get(path.replace(/\.[a-z]+$/, ".csv"));
  if (table) section.append(numbers(table));
  block.replaceWith(section);
}

/** One image in the whole window; arrow keys change the revision at the same place, d shows what differs. */
function openViewer(images, index) {
  const viewer = document.getElementById("viewer");
  let difference = false;
  const show = () => {
    const before = images[(index + images.length - 1) % images.length];
    const stack = element("div", {className: "stack"}, element("img", {src: images[index].src, alt: images[index].rev}));
    if (difference) stack.append(element("img", {src: before.src, alt: before.rev, className: "over"}));
    const title = difference ? `${before.rev} against ${images[index].rev}: what is equal is black` : images[index].rev;
    viewer.replaceChildren(
      element("div", {className: "bar"},
        element("strong", {}, title),
        ...(images.length > 1 ? [
          element("button", {onclick: () => step(1)}, "next revision (→)"),
          element("button", {onclick: () => { difference = !difference; show(); }}, "difference (d)"),
        ] : []),
        element("button", {onclick: () => viewer.close()}, "close (Esc)")),
      stack);
    viewer.focus(); // or the keys are lost with the button that was pressed
  };
  const step = (by) => { index = (index + images.length + by) % images.length; show(); };
  viewer.onkeydown = (event) => {
    if (event.key === "ArrowRight") step(1);
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "d" && images.length > 1) { difference = !difference; show(); }
  };
  viewer.tabIndex = -1;
  viewer.showModal();
  show();
}

/** Plots and images as sections, in DVC's order, with a table of contents. */
function arrange() {
  const main = document.querySelector("main");
  const imageBlocks = [...main.children].filter((block) => block.querySelector("img"));
  const ofPlots = pending.flatMap(({spec}) => spec.data.values.map((row) => row.rev));
  const ofImages = imageBlocks.flatMap((block) => readImages(block).images.map((image) => image.rev));
  const revisions = [...new Set([...ofPlots, ...ofImages])];

  // Of a folder DVC shows all files: a table beside an image of the same name is the image's, and not a plot.
  const paths = imageBlocks.map((block) => readImages(block).path.replace(/\.[a-z]+$/, ".csv"));
  const tables = new Map();
  const drawn = [];
  pending.forEach(({selector, spec}) => {
    const block = document.querySelector(selector);
    const name = spec.title.text ?? spec.title;
    if (paths.includes(name)) {
      tables.set(name, spec.data.values);
      block.remove();
    } else {
      drawn.push(drawPlot(block, spec, revisions));
    }
  });
  imageBlocks.forEach((block) => layOutImages(block, revisions, tables));
  document.title = `Plots: ${revisions.join(", ")}`;
  document.getElementById("revisions").append(
    ...revisions.map((rev) => element("li", {}, mark(revisions, rev), rev)));
  [["Plots", ".plot"], ["Figures", ".images"]].forEach(([name, kind]) => {
    const links = [...main.querySelectorAll(`section:has(${kind})`)].map((section) =>
      element("a", {href: `#${section.id}`}, section.querySelector("h2").textContent));
    if (links.length) document.getElementById("contents").append(element("p", {}, `${name}:`, ...links));
  });
  return Promise.all(drawn);
}

// For who waits until all is drawn, and looks into the views.
window.drawn = new Promise((resolve) => {
  document.addEventListener("DOMContentLoaded", resolve);
}).then(arrange);
