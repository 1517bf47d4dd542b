"use strict";
// Tables, figures, origins and volumes of the report. Everything is in this file: nothing is fetched.

const parse = id => JSON.parse(document.getElementById(id).textContent);
const { copies, figures, names, origins } = parse("content");
const volumes = parse("volumes");
const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
const shown = value => (value === null ? "-" : String(value));
const text = (column, value) => (column.name === "model" ? names[value] ?? value : shown(value));
const volumeNames = (task, row) => {
  const [model, patch, seed, , file] = row;
  return { image: `${task}/${file}/image`, label: `${task}/${file}/label`, prediction: `${task}-${model}-${patch}-${seed}/${file}` };
};

// Tables: sorted by a click on a heading, filtered by a text; the first rows, or all.
const FIRST = 20;

function fillTable(place) {
  const { columns, rows } = copies[place.dataset.copy];
  const task = place.dataset.task;
  const looks = place.dataset.look !== undefined;
  let order = null, descending = false, filter = "", all = false;
  const body = element("tbody");
  const count = element("span", { className: "note" });
  const more = element("button", { type: "button", onclick: () => { all = !all; draw(); } });
  const input = element("input", { type: "search", placeholder: "filter", oninput: () => { filter = input.value.toLowerCase(); draw(); } });
  input.setAttribute("aria-label", `filter ${place.dataset.title}`);
  const heads = columns.map((column, index) => {
    const head = element("th", { scope: "col" }, element("button", { type: "button", onclick: () => {
      descending = order === index && !descending;
      order = index;
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      draw();
    } }, column.title));
    return head;
  });
  const voxels = size => typeof size === "number" ? size ** 3 : size.split("x").reduce((product, edge) => product * edge, 1);
  const compare = (a, b) => {
    if (a === null || b === null) return (a === null) - (b === null);
    if (columns[order].title === "patch") return voxels(a) - voxels(b);
    return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  };

  function draw() {
    let found = rows;
    if (filter) found = rows.filter(row => row.some((value, i) => text(columns[i], value).toLowerCase().includes(filter)));
    if (order !== null) found = [...found].sort((a, b) => (descending ? -1 : 1) * compare(a[order], b[order]));
    const visible = all ? found : found.slice(0, FIRST);
    body.replaceChildren(...visible.map(row => {
      const cells = row.map((value, i) => element("td", {}, text(columns[i], value)));
      if (looks) cells.push(element("td", {}, lookButton(task, row)));
      return element("tr", {}, ...cells);
    }));
    count.textContent = `${visible.length} of ${rows.length} rows`;
    more.textContent = all ? `first ${FIRST}` : `all ${found.length}`;
    more.hidden = found.length <= FIRST;
  }

  draw();
  const last = looks ? [element("th", { scope: "col" }, "volumes")] : [];
  const head = element("thead", {}, element("tr", {}, ...heads, ...last));
  const table = element("table", {}, element("caption", { hidden: true }, place.dataset.title), head, body);
  const tools = element("div", { className: "tools" }, input, count, more);
  place.replaceChildren(tools, element("div", { className: "scroll" }, table));
}

function lookButton(task, row) {
  const used = volumeNames(task, row);
  if (!Object.values(used).every(name => name in volumes)) return "not in this file";
  const label = `look at ${row[4]} of ${names[row[0]] ?? row[0]}, patch ${row[1]}`;
  const button = element("button", { type: "button", className: "look", onclick: () => look(task, row) }, "look");
  button.setAttribute("aria-label", label);
  return button;
}

// Figures: drawn when they come near the screen, and again when the colours of the system change.
const dark = matchMedia("(prefers-color-scheme: dark)");
const drawn = new Map();

function colours() {
  const style = getComputedStyle(document.documentElement);
  const [ink, line, paper] = ["--ink", "--line", "--paper"].map(name => style.getPropertyValue(name).trim());
  return {
    background: paper,
    axis: { labelColor: ink, titleColor: ink, gridColor: line, domainColor: line, tickColor: line },
    legend: { labelColor: ink, titleColor: ink, labelLimit: 260 },
    view: { stroke: line },
  };
}

async function drawFigure(place) {
  const { spec, copy, task } = figures[place.dataset.figure];
  const { columns, rows } = copies[copy];
  const values = rows.map(row => Object.fromEntries(columns.map((column, i) => [column.title, row[i]])));
  for (const value of values) value.network = names[value.network] ?? value.network;
  const narrow = place.clientWidth < 700;
  const width = Math.max(220, Math.min(spec.width, place.clientWidth - (narrow ? 70 : 260)));
  const legend = narrow ? { orient: "bottom", columns: 1 } : {};
  const config = colours();
  const own = { ...spec, width, data: { name: "rows", values }, config: { ...config, legend: { ...config.legend, ...legend } } };
  const result = await vegaEmbed(place, own, { actions: false, renderer: "svg" });
  drawn.set(place, result);
  result.view.addEventListener("click", (event, item) => {
    const datum = item?.datum;
    if (!datum?.case) return;
    const overlays = copies[`${task}/overlays`]?.rows ?? [];
    const row = overlays.find(other => (names[other[0]] ?? other[0]) === datum.network && other[1] === datum.patch && other[4] === datum.case)
      ?? overlays.find(other => other[4] === datum.case);
    const said = place.closest("figure").querySelector(".said");
    if (row && Object.values(volumeNames(task, row)).every(name => name in volumes)) look(task, row);
    else said.textContent = `${datum.case}: its volumes are not in this file; the table below lists those that are.`;
  });
}

const near = new IntersectionObserver(entries => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    near.unobserve(entry.target);
    drawFigure(entry.target);
  }
}, { rootMargin: "400px" });
dark.addEventListener("change", () => { for (const place of drawn.keys()) drawFigure(place); });
addEventListener("beforeprint", () => document.querySelectorAll(".figure").forEach(place => drawn.has(place) || drawFigure(place)));

// Origins: what a number is, of which cells, in which file, and the command that computes it.
const dialog = id => document.getElementById(id);

function showOrigin(button) {
  const origin = origins[button.dataset.origin];
  const list = element("dl");
  const add = (name, ...value) => list.append(element("dt", {}, name), element("dd", {}, ...value));
  const places = [...button.querySelectorAll("data")].map(data => {
    const place = JSON.parse(data.dataset.at).join(" / ");
    return element("div", {}, element("code", {}, `${data.dataset.file}: ${place}`), ` = ${data.value || "-"}`);
  });
  add("value", ...places);
  add("statistic", origin.statistic);
  add("cells", origin.cells);
  add("command", element("code", {}, origin.command));
  add("files", ...origin.files.map(([path, hash]) => element("div", {}, element("code", {}, `${path}  sha256 ${hash}`))));
  add("computed from", ...origin.inputs.map(([path, hash]) => element("div", {}, element("code", {}, `${path}  md5 ${hash}`))));
  dialog("origin").querySelector(".content").replaceChildren(list);
  dialog("origin").showModal();
}

// Volumes, in NiiVue, which is unpacked at the first use.
const LABEL = [0, 114, 178], PREDICTION = [230, 159, 0];
let viewer = null;

async function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed), character => character.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")));
}

async function start() {
  if (viewer) return viewer;
  if (!globalThis.niivue) {
    const script = await (await unpack(document.getElementById("packed-viewer").textContent.trim())).text();
    document.head.append(element("script", { textContent: script }));
  }
  viewer = new niivue.Niivue({ dragAndDropEnabled: false, isColorbar: false, backColor: [0, 0, 0, 1], show3Dcrosshair: true,
    crosshairWidth: 0.4, crosshairColor: [0.8, 0.8, 0.8, 0.6], logLevel: "error" });
  await viewer.attachToCanvas(dialog("viewer").querySelector("canvas"));
  viewer.setSliceType(viewer.sliceTypeMultiplanar);
  return viewer;
}

async function volume(name, packed, colour) {
  const buffer = await (await unpack(packed)).arrayBuffer();
  const image = await niivue.NVImage.loadFromUrl({ url: `${name}.nii`, name: `${name}.nii`, buffer, colormap: "gray", opacity: 1 });
  if (colour) {
    const shades = [1, 0.75, 0.55, 0.4].map(share => colour.map(value => Math.round(value * share)));
    image.setColormapLabel({ R: [0, ...shades.map(c => c[0])], G: [0, ...shades.map(c => c[1])], B: [0, ...shades.map(c => c[2])],
      A: [0, 255, 255, 255, 255], I: [0, 1, 2, 3, 4], labels: ["", "1", "2", "3", "4"] });
    image.opacity = 0.5;
  }
  return image;
}

async function look(task, row) {
  const [model, patch, seed, place, file, dice, hausdorff] = row;
  const used = volumeNames(task, row);
  const box = dialog("viewer");
  box.querySelector("h2").textContent = `${file}: ${names[model] ?? model}, patch ${patch}, seed ${seed} (${place} case)`;
  box.querySelector(".note").textContent = `Dice ${shown(dice)}, Hausdorff distance ${shown(hausdorff)} voxels. Images have 64 greys.`;
  box.showModal();
  const nv = await start();
  while (nv.volumes.length) nv.removeVolume(nv.volumes[0]);
  nv.addVolume(await volume("image", volumes[used.image]));
  nv.addVolume(await volume("label", volumes[used.label], LABEL));
  nv.addVolume(await volume("prediction", volumes[used.prediction], PREDICTION));
  apply();
  box.dataset.shown = used.prediction;
}

function apply() {
  const box = dialog("viewer");
  box.querySelectorAll("input[data-volume]").forEach(input => viewer.setOpacity(Number(input.dataset.volume), input.checked ? (input.dataset.volume === "0" ? 1 : 0.5) : 0));
  const kind = box.querySelector("select").value;
  viewer.setSliceType(kind === "3D" ? viewer.sliceTypeRender : viewer.sliceTypeMultiplanar);
}

document.querySelectorAll("[data-copy]").forEach(fillTable);
const [firstFigure, ...otherFigures] = document.querySelectorAll(".figure");
if (firstFigure) drawFigure(firstFigure); // at once: it is what people look for
otherFigures.forEach(place => near.observe(place));
document.addEventListener("click", event => {
  const button = event.target.closest("button.origin");
  if (button) showOrigin(button);
});
document.querySelectorAll("dialog button.close").forEach(button => button.addEventListener("click", () => button.closest("dialog").close()));
dialog("viewer").querySelectorAll("input, select").forEach(input => input.addEventListener("change", apply));
