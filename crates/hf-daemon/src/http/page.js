"use strict";
// Keeps the page fresh. Everything is written as text, never as HTML.
const byId = (id) => document.getElementById(id);
const grouped = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, "\u202f");
// Control characters, and those that turn text around, as the service itself shows them.
const plain = (text) => text.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, "\ufffd");
const svg = (name) => document.createElementNS("http://www.w3.org/2000/svg", name);

function draw(seconds) {
  const most = Math.max(1, ...seconds.map((s) => s.scans));
  const line = seconds.map((s, x) => `${x},${(100 - (s.scans * 100) / most).toFixed(1)}`).join(" ");
  const chart = byId("chart");
  chart.replaceChildren();
  seconds.forEach((s, x) => {
    if (s.detected === 0) return;
    const mark = svg("path");
    mark.setAttribute("class", "mark");
    mark.setAttribute("d", `M${x} 0V100`);
    chart.append(mark);
  });
  const area = svg("polygon");
  area.setAttribute("points", `0,100 ${line} ${seconds.length - 1},100`);
  const curve = svg("polyline");
  curve.setAttribute("points", line);
  chart.append(area, curve);
  byId("most").textContent = most;
}

function list(findings) {
  if (findings.length === 0) return;
  const rows = findings.slice(0, 50).map((f) => {
    const row = document.createElement("tr");
    for (const text of [f.at, f.names.join(", "), f.path, `${f.door} ${f.client}`]) {
      const cell = document.createElement("td");
      cell.textContent = plain(text);
      row.append(cell);
    }
    return row;
  });
  byId("findings").replaceChildren(...rows);
}

function state(good, word) {
  byId("state").className = good ? "good" : "bad";
  byId("word").textContent = word;
}

async function refresh() {
  try {
    const [stats, findings, health] = await Promise.all(
      ["v1/stats", "v1/findings", "v1/health"].map(async (path) => (await fetch(path)).json()),
    );
    for (const id of ["scans", "clean", "detected", "incomplete", "error", "queued", "signatures"]) {
      byId(id).textContent = grouped(stats[id]);
    }
    draw(stats.seconds);
    list(findings.findings);
    state(health.ready, health.ready ? "Scanning" : "Not scanning");
  } catch {
    state(false, "No answer from the service");
  }
  setTimeout(refresh, 2000);
}

setTimeout(refresh, 2000);
