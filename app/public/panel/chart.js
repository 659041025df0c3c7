// Lines over time, with marks for what was done.

import { grouped } from "./page.js";

const SVG = "http://www.w3.org/2000/svg";
const MAX_POINTS = 300;
const TOP = 20;
const BOTTOM = 8;

function element(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) {
    made.setAttribute(key, String(value));
  }
  if (text !== undefined) {
    made.textContent = text;
  }
  return made;
}

/** Adds a point and forgets the oldest beyond what is drawn. */
export function remember(points, point) {
  points.push(point);
  points.splice(0, points.length - MAX_POINTS);
}

/**
 * Draws points `{x, …}` as one line for each of `lines` (`{key, look}`). A value that is null leaves
 * a gap. Marks are `{x, what}`.
 */
export function draw(svg, points, { lines, label, marks = [] }) {
  if (points.length === 0) {
    return;
  }
  // As wide as it is shown, so that its words keep their size on a phone.
  const { height } = svg.viewBox.baseVal;
  const width = Math.max(240, svg.clientWidth);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const values = points.flatMap((point) => lines.map(({ key }) => point[key] ?? 0));
  const most = Math.max(1, ...values);
  const first = points[0].x;
  const span = Math.max(1, points.at(-1).x - first);
  const across = (x) => (((x - first) / span) * width).toFixed(1);
  const up = (y) => (height - BOTTOM - (y / most) * (height - TOP - BOTTOM)).toFixed(1);
  const drawn = lines.map(({ key, look }) => {
    let pen = "M";
    let path = "";
    for (const point of points) {
      if (point[key] === null) {
        pen = "M";
        continue;
      }
      path += `${pen}${across(point.x)},${up(point[key])}`;
      pen = "L";
    }
    return element("path", { class: `line ${look}`, d: path });
  });
  for (const mark of marks.filter((it) => it.x >= first)) {
    const x = across(mark.x);
    const line = element("line", { class: "mark", x1: x, x2: x, y1: TOP, y2: height - BOTTOM });
    line.append(element("title", {}, mark.what));
    drawn.push(line);
  }
  const top = most < 10 ? most.toFixed(1) : grouped(Math.round(most));
  drawn.push(element("text", { x: 4, y: 14 }, `${label}, up to ${top}`));
  svg.replaceChildren(...drawn);
}
