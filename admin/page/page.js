"use strict";
// The status page. It asks the daemon once a second and shows what it says. Whatever
// comes from there is put in as text: nothing here makes markup of it.

const everyMs = 1000;
const keptSeconds = 600;
const dashes = ["", "7 4", "2 3", "9 3 2 3", "4 2", "12 4"];

let history = null;    // what /api/history said, gone on with
let paused = false;
let failing = 0;       // since when the daemon does not answer, 0: it does

const byId = (id) => document.getElementById(id);

// element makes one: its class, text, or children.
function element(name, className, ...content) {
  const e = document.createElement(name);
  if (className) e.className = className;
  e.append(...content);
  return e;
}

function svg(name, attributes, text) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  if (text !== undefined) e.textContent = text;
  return e;
}

// set changes an element's text only where it differs, so that a selection stays and a
// screen reader is not told the same again.
function set(e, text) {
  if (e.textContent !== text) e.textContent = text;
}

const key = (text) => element("bdi", "key", text);

// Figures, for people.

function number(n) {
  if (n > 0 && n < 10) return n.toFixed(1).replace(/\.0$/, "");
  return Math.round(n).toLocaleString("en");
}

function bytes(n) {
  for (const unit of ["B", "KiB", "MiB"]) {
    if (n < 1024) return (n < 10 && unit !== "B" ? n.toFixed(1) : Math.round(n)) + " " + unit;
    n /= 1024;
  }
  return n.toFixed(1) + " GiB";
}

function seconds(s) {
  if (s === 0) return "0 s";
  if (s < 0.001) return (s * 1e6).toFixed(0) + " µs";
  if (s < 1) return (s * 1e3).toPrecision(s < 0.1 ? 2 : 3) + " ms";
  if (s < 60) return s.toPrecision(s < 10 ? 2 : 3).replace(/\.0$/, "") + " s";
  if (s < 3600) return Math.floor(s / 60) + " min " + Math.round(s % 60) + " s";
  if (s < 86400) return Math.floor(s / 3600) + " h " + Math.round(s % 3600 / 60) + " min";
  return Math.floor(s / 86400) + " d " + Math.round(s % 86400 / 3600) + " h";
}

// between is the time from one to another, in seconds, to the microsecond: Date knows
// milliseconds only.
function between(from, to) {
  const micros = (text) => {
    const fraction = (/\.(\d+)/.exec(text) || ["", ""])[1].padEnd(6, "0").slice(0, 6);
    return Math.floor(Date.parse(text) / 1000) * 1e6 + Number(fraction);
  };
  return Math.max(0, micros(to) - micros(from)) / 1e6;
}

const delay = (d) => d.count ? seconds(d.median) + " · " + seconds(d.p99) : "–";

// moment is a time of day, to the millisecond, and its date unless that is today's.
function moment(text) {
  const d = new Date(text);
  const two = (n, digits = 2) => String(n).padStart(digits, "0");
  const time = `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}.${two(d.getMilliseconds(), 3)}`;
  const today = d.toDateString() === new Date().toDateString();
  const e = element("time", "number", today ? time : `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${time}`);
  e.dateTime = text;
  return e;
}

// Asking.

class Refused extends Error {}

async function ask(path) {
  const headers = {};
  const token = sessionStorage.getItem("mcsqueal-token");
  if (token) headers.Authorization = "Bearer " + token;
  const answer = await fetch(path, { headers, cache: "no-store", signal: AbortSignal.timeout(8000) });
  if (answer.status === 401) throw new Refused(token ? "wrong" : "missing");
  if (!answer.ok) throw new Error((await answer.text()).trim() || answer.statusText);
  return answer;
}

const askJSON = async (path) => (await ask(path)).json();

byId("ask-token").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("mcsqueal-token", byId("token").value);
  byId("token").value = "";
  byId("ask-token").hidden = true;
  tick();
});

function wantToken(refusal) {
  byId("token-wrong").hidden = refusal.message !== "wrong";
  if (!byId("ask-token").hidden) return;
  sessionStorage.removeItem("mcsqueal-token");
  byId("main").hidden = true;
  byId("ask-token").hidden = false;
  set(byId("verdict"), "a token is asked for");
  byId("verdict").className = "verdict is-warn";
  byId("token").focus();
}

// The page's parts.

function figure(id, level, value, ...lines) {
  const e = byId(id);
  e.className = level ? "is-" + level : "";
  set(e.querySelector("[data-figure]"), value);
  lines.forEach((line, i) => set(e.querySelector(`[data-line="${i + 1}"]`), line || ""));
}

function showWay(s) {
  const now = Date.parse(s.now);
  const ago = (t) => seconds(Math.max(0, (now - Date.parse(t)) / 1000)) + " ago";
  figure("way-source", s.source.tailing ? "" : "bad", s.source.tailing ? "is read" : "is not read",
    [s.source.address, s.source.version].filter(Boolean).join(", "),
    s.source.heard ? "heard " + ago(s.source.heard) : "not heard of yet");
  figure("way-read", s.source.unreadable_seconds > 5 ? "warn" : "", number(s.read.keys_per_second) + " keys/s",
    number(s.read.transactions_per_second) + " commits/s" + (s.source.newest_commit ? ", newest " + ago(s.source.newest_commit) : ""),
    "commit to read " + delay(s.read.commit_to_read) + "; to visible " + delay(s.read.read_to_visible));
  const full = s.log.capacity_bytes && s.log.used_bytes / s.log.capacity_bytes;
  figure("way-log", full > 0.9 ? "warn" : "", bytes(s.log.used_bytes) + " of " + bytes(s.log.capacity_bytes),
    "waits for the fastest cluster",
    s.log.catch_up_readings ? s.log.catch_up_readings + " further reading(s), to catch up" : "every cluster is served from it");
  const rate = s.clusters.reduce((sum, c) => sum + c.deletes_per_second, 0);
  const behind = s.clusters.filter((c) => c.state !== "in_step").length;
  figure("way-out", behind ? "warn" : "", number(rate) + " deletes/s",
    `${s.clusters.length - behind} of ${s.clusters.length} in step`,
    "worst lag " + seconds(Math.max(0, ...s.clusters.map((c) => c.lag_seconds))));
}

const levels = { info: "good", warning: "warn", error: "bad" };

function adviceItem(a) {
  const li = element("li", "is-" + (levels[a.level] || "warn"), a.what);
  if (a.do) li.append(element("span", "do", a.do));
  return li;
}

const states = { in_step: ["in step", "good"], catching_up: ["catching up", "warn"], waiting: ["waits for a reading", "warn"], gap: ["at a gap", "bad"] };

// cell is a table's cell that says its column's name where columns do not show.
function cell(name, className, ...content) {
  const td = element("td", className, element("span", "", ...content));
  td.dataset.name = name;
  td.setAttribute("role", "cell");
  return td;
}

function row(className, ...cells) {
  const tr = element("tr", className, ...cells);
  tr.setAttribute("role", "row");
  return tr;
}

function clusterRows(c) {
  const [says, level] = states[c.state] || [c.state, "warn"];
  const name = element("th", "", element("bdi", "", c.name));
  name.scope = "row";
  name.setAttribute("role", "rowheader");
  const caches = element("ul", "caches");
  for (const each of c.connections || []) {
    const li = element("li", "", element("bdi", "", each.address), " ");
    li.append(each.connected
      ? element("span", "quiet", [each.version, each.protocol].filter(Boolean).join(", "))
      : element("span", "tag is-bad", "not connected"));
    caches.append(li);
  }
  const slow = c.lag_seconds > 5;
  const rows = [row("", name,
    cell("state", "", element("span", "tag is-" + level, says)),
    // At a gap nobody knows what is missing, nor since when.
    cell("lag", "number", element("span", slow ? "tag is-warn" : "", c.state === "gap" ? "–" : seconds(c.lag_seconds))),
    cell("deletes/s", "number", number(c.deletes_per_second)),
    cell("in flight", "number", number(c.in_flight)),
    cell("delay: half · 99 %", "number", delay(c.commit_to_acknowledged)),
    cell("deleted · not found", "number", number(c.deleted) + " · " + number(c.not_found)),
    cell("caches", "", caches),
    cell("has acknowledged up to", "", element("span", "place", c.position || "–")))];
  if (c.advice && c.advice.length) {
    const td = element("td", "", element("ul", "advice", ...c.advice.map(adviceItem)));
    td.colSpan = 9;
    td.setAttribute("role", "cell");
    rows.push(row("more", td));
  }
  return rows;
}

// showClusters replaces only what has changed, so that what is selected stays so.
function showClusters(s) {
  const table = byId("clusters");
  const bodies = new Map([...table.tBodies].map((b) => [b.dataset.cluster, b]));
  for (const c of s.clusters) {
    const body = element("tbody", "", ...clusterRows(c));
    body.dataset.cluster = c.name;
    body.setAttribute("role", "rowgroup");
    const old = bodies.get(c.name);
    bodies.delete(c.name);
    if (!old) table.append(body);
    else if (!old.isEqualNode(body)) old.replaceWith(body);
  }
  for (const gone of bodies.values()) gone.remove();
}

// The picture. A lag of milliseconds and one of hours are both to be seen, so its height
// is by powers of ten.
const ticks = [[0, "0"], [0.1, "0.1 s"], [1, "1 s"], [10, "10 s"], [60, "1 min"], [600, "10 min"], [3600, "1 h"], [86400, "1 d"], [864000, "10 d"]];
const height = (lag) => Math.log10(1 + lag / 0.01);

function goOn(s) {
  if (!history) return;
  const t = Date.parse(s.now);
  if (t <= Date.parse(history.until)) return;
  history.until = s.now;
  const old = new Map(history.clusters.map((c) => [c.name, c]));
  const length = history.keys_per_second.push(s.read.keys_per_second);
  history.clusters = s.clusters.map((c) => {
    const h = old.get(c.name) || { name: c.name, lag_seconds: new Array(length - 1).fill(-1) };
    h.lag_seconds.push(c.lag_seconds);
    return h;
  });
  if (length > keptSeconds) {
    history.keys_per_second.shift();
    for (const c of history.clusters) c.lag_seconds.shift();
  }
}

function showLag() {
  if (!history) return;
  const picture = byId("lag");
  const width = Math.max(260, picture.clientWidth);
  picture.setAttribute("viewBox", `0 0 ${width} 180`);
  const left = 48, right = width - 4, top = 8, bottom = 158;
  const worst = Math.max(1, ...history.clusters.flatMap((c) => c.lag_seconds));
  const shown = ticks.filter(([at], i) => i < 3 || ticks[i - 1][0] < worst);
  const most = Math.max(height(worst), height(shown[shown.length - 1][0]));
  const y = (lag) => bottom - (bottom - top) * height(lag) / most;
  const x = (age) => right - (right - left) * age / keptSeconds;
  const parts = [];
  for (const [at, says] of shown) {
    parts.push(svg("line", { class: "grid", x1: left, x2: right, y1: y(at), y2: y(at) }));
    parts.push(svg("text", { x: left - 6, y: y(at) + 4, "text-anchor": "end" }, says));
  }
  for (const age of width > 500 ? [600, 480, 360, 240, 120, 0] : [600, 300, 0]) {
    parts.push(svg("text", { x: x(age), y: 174, "text-anchor": age === 600 ? "start" : age ? "middle" : "end" }, age ? `−${age / 60} min` : "now"));
  }
  const legend = [], told = [];
  history.clusters.forEach((c, i) => {
    let d = "", pen = "M";
    c.lag_seconds.forEach((lag, j) => {
      if (lag < 0) { pen = "M"; return; }
      d += pen + x((c.lag_seconds.length - 1 - j) * history.seconds).toFixed(1) + " " + y(lag).toFixed(1);
      pen = "L";
    });
    const look = { class: "s" + i % 6, "stroke-dasharray": dashes[i % dashes.length] };
    if (d) parts.push(svg("path", { ...look, d }));
    const now = c.lag_seconds[c.lag_seconds.length - 1], worst = Math.max(0, ...c.lag_seconds);
    const sample = svg("svg", { viewBox: "0 0 28 10", "aria-hidden": "true" });
    sample.append(svg("line", { ...look, x1: 0, x2: 28, y1: 5, y2: 5, "stroke-width": 2.5 }));
    legend.push(element("li", "", sample, element("bdi", "", c.name), element("span", "quiet", ` now ${seconds(Math.max(0, now))}, worst ${seconds(worst)}`)));
    told.push(`${c.name}: now ${seconds(Math.max(0, now))}, worst in ten minutes ${seconds(worst)}.`);
  });
  picture.replaceChildren(...parts);
  const list = element("ul", "legend", ...legend);
  list.id = "lag-legend";
  if (!list.isEqualNode(byId("lag-legend"))) byId("lag-legend").replaceWith(list);
  set(byId("lag-says"), told.join(" "));
}

// Invalidations.

const outcomes = {
  acknowledged: ["acknowledged", "good"], waiting: ["not acknowledged yet", "warn"], refused: ["refused for now, and tried again; last", "bad"],
  set_aside: ["refused for good", "bad"], no_match: ["does not want this key", ""], unsure: ["acknowledged, or among the keys that are refused", "warn"],
};

function delivered(inv, d) {
  const [says, level] = outcomes[d.state] || [d.state, "warn"];
  const li = element("li", "", element("bdi", "", d.cluster), " ", element("span", level ? "tag is-" + level : "quiet", says));
  if (d.at) {
    li.append(" at ", moment(d.at));
    if (inv.time && d.state === "acknowledged") li.append(element("span", "quiet", ", " + seconds(between(inv.time, d.at)) + " after the commit"));
  } else if (d.state === "acknowledged") {
    li.append(element("span", "quiet", " at a time that is not remembered"));
  }
  if (d.reason) li.append(element("span", "quiet", ": ", key(d.reason)));
  return li;
}

function invalidations(list, caption) {
  const table = element("table", "stack");
  table.setAttribute("role", "table");
  table.append(element("caption", "hidden", caption));
  const head = element("tr", "");
  head.setAttribute("role", "row");
  for (const name of ["committed", "key", "because of", "transaction", "clusters"]) {
    const th = element("th", "", name);
    th.scope = "col";
    th.setAttribute("role", "columnheader");
    head.append(th);
  }
  const thead = element("thead", "", head), tbody = element("tbody", "");
  thead.setAttribute("role", "rowgroup");
  tbody.setAttribute("role", "rowgroup");
  for (const inv of list) {
    const table = [inv.schema, inv.table].filter(Boolean).join(".");
    tbody.append(row("",
      cell("committed", "", inv.time ? moment(inv.time) : "–"),
      cell("key", "", key(inv.key)),
      cell("because of", "", inv.cause || "–", table ? " on " : "", key(table)),
      cell("transaction", "", element("span", "place", (inv.gtid ? inv.gtid + "\n" : "") + inv.log + ":" + inv.pos)),
      cell("clusters", "", element("ul", "caches", ...inv.delivered.map((d) => delivered(inv, d))))));
  }
  table.append(thead, tbody);
  return table;
}

function showLatest(m) {
  const found = m.found || [];
  byId("latest").replaceChildren(found.length ? invalidations(found, "The last invalidations, the newest first") : element("p", "quiet", "None yet."));
  set(byId("latest-says"), found.length ? `The last ${found.length}, the newest first. Where there are more in a second, some pass unseen here.` : "");
}

byId("pause").addEventListener("click", () => {
  paused = !paused;
  byId("pause").setAttribute("aria-pressed", String(paused));
});

byId("find").addEventListener("submit", async (event) => {
  event.preventDefault();
  const wanted = byId("key").value, part = byId("part").checked, place = byId("found");
  place.replaceChildren(element("p", "quiet", "looking …"));
  try {
    const m = await askJSON("/api/keys?key=" + encodeURIComponent(wanted) + (part ? "&part=1" : ""));
    place.replaceChildren(...answerTo(wanted, part, m));
  } catch (err) {
    if (err instanceof Refused) return wantToken(err);
    place.replaceChildren(element("p", "bad", "It could not be looked up: " + err.message));
  }
});

// answerTo says what was found, and never more than is known.
function answerTo(wanted, part, m) {
  const found = m.found || [];
  const reach = element("p", "quiet");
  if (m.since) {
    reach.append("The memory reaches back to ", moment(m.since), " ", element("span", "place", `(${m.log}:${m.pos})`),
      m.whole ? ", when this reading of the log began. Of what was before, nothing is known here." : ". Of what was before, nothing is remembered.");
  } else {
    reach.append("Nothing is remembered yet: no commit has been read since the reading began.");
  }
  if (m.waiting) reach.append(` ${number(m.waiting)} commit(s) that were read cannot be read on the source yet; they were not looked at.`);
  if (found.length) {
    const all = found.every((inv) => inv.delivered.every((d) => d.state === "acknowledged" || d.state === "no_match"));
    const says = part ? `${m.more ? "More than " : ""}${found.length} invalidation(s) of keys with that in them`
      : (all ? "Yes" : "It is on its way, or was held up") + `: ${m.more ? "more than " : ""}${found.length} invalidation(s)`;
    return [element("p", "answer", says + (m.more ? "; the newest are:" : ":")), invalidations(found, "What was found, the newest first"), reach];
  }
  const hint = element("p", "quiet", "What the source's log still holds can be searched with: ",
    element("code", "", "mcsqueal replay --config FILE --from oldest --dry-run"));
  return [element("p", "answer", "Not as far as is remembered here", element("span", "quiet", " — which is no proof that it never was.")), reach, hint];
}

function showTrouble(s) {
  const parts = [];
  for (const c of s.clusters) {
    for (const [title, keys, count] of [["refused for now", c.refused_keys, c.refused], ["refused for good", c.set_aside_keys, c.set_aside]]) {
      if (!keys || !keys.length) continue;
      const list = element("ul", "");
      for (const k of keys) list.append(element("li", "", key(k.key), element("span", "quiet", " "), key(k.reason), " ", moment(k.at)));
      parts.push(element("h3", "", element("bdi", "", c.name), `: ${number(count)} ${title}` + (keys.length < count ? `, the last ${keys.length} of them:` : ":")), list);
    }
  }
  byId("trouble").hidden = !parts.length;
  const fresh = element("div", "", ...parts);
  fresh.id = "troubled";
  if (!byId("troubled").isEqualNode(fresh)) byId("troubled").replaceWith(fresh);
}

function show(s) {
  byId("main").hidden = false;
  const verdict = byId("verdict");
  // A cluster may be served from what is read, and none of its caches be there to be served.
  const trouble = s.clusters.some((c) => (c.advice || []).some((a) => a.level === "error"));
  const well = s.ready && !trouble;
  verdict.className = "verdict " + (well ? "is-good" : "is-bad");
  set(verdict, well ? "in step" : s.ready ? "in trouble" : "not in step");
  set(byId("about"), `${s.version}, running for ${seconds(Math.max(0, Math.round((Date.parse(s.now) - Date.parse(s.started)) / 1000)))}`);
  document.title = (well ? "" : "! ") + "mcsqueal";
  const problems = byId("problems"), fresh = element("ul", "advice", ...(s.problems || []).map((p) => adviceItem({ level: "error", what: p })));
  problems.hidden = s.ready;
  fresh.id = "problems";
  fresh.hidden = problems.hidden;
  if (!problems.isEqualNode(fresh)) problems.replaceWith(fresh);
  showWay(s);
  goOn(s);
  showLag();
  showClusters(s);
  showTrouble(s);
}

async function tick() {
  try {
    if (!history) history = await askJSON("/api/history");
    show(await askJSON("/api/status"));
    if (!paused) showLatest(await askJSON("/api/latest"));
    failing = 0;
  } catch (err) {
    if (err instanceof Refused) return wantToken(err);
    failing = failing || Date.now();
    const verdict = byId("verdict");
    verdict.className = "verdict is-bad";
    set(verdict, `no answer since ${new Date(failing).toLocaleTimeString()}: ${err.message}`);
    history = null; // of the time until it answers again nothing is known
  }
}

byId("config").addEventListener("toggle", async () => {
  if (!byId("config").open) return;
  try {
    set(byId("config-text"), await (await ask("/api/config")).text());
  } catch (err) {
    if (err instanceof Refused) return wantToken(err);
    set(byId("config-text"), "It could not be had: " + err.message);
  }
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches && event.target.matches("input, textarea");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  byId("key").focus();
});

async function run() {
  for (;;) {
    // Nobody looks at a page that is hidden.
    if (document.visibilityState === "visible" && byId("ask-token").hidden) await tick();
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
run();
