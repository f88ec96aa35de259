"use strict";
// The mesh page: asks the control plane for mesh.json again and again, and draws it. What comes from the mesh is put into the page
// as text and attributes of our own, never as markup.
(() => {
  const REFRESH = 2000, PATIENCE = 200, QUIET = 60000, HOUR = 3600000, MOST_NODES = 14, MOST_ROWS = 200, MOST_CERTIFICATES = 24;
  const SVG = "http://www.w3.org/2000/svg";
  const STEPS = ["prepare", "distribute", "activate", "taint", "revoke"];
  const REACHED = {"": 0, prepared: 1, distributed: 2, active: 3, tainted: 4};
  let state = null, lastAnswer = 0, picked = null;

  const $ = id => document.getElementById(id);
  function put(parent, tag, className, text) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  }
  function draw(parent, tag, attributes, text) {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  }
  const short = (text, most) => text.length > most ? text.slice(0, most - 1) + "…" : text;
  const number = value => value.toLocaleString("en");
  const counted = (value, one, many = one + "s") => number(value) + " " + (value === 1 ? one : many);
  function bytes(value) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let unit = 0;
    while (value >= 1024 && unit < units.length - 1) { value /= 1024; unit++; }
    return (unit === 0 ? value : value.toFixed(1)) + " " + units[unit];
  }
  function duration(ms) {
    const s = Math.max(0, Math.floor(ms / 1000));
    if (s < 60) return s + " s";
    if (s < 3600) return Math.floor(s / 60) + " min";
    if (s < 2 * 86400) return Math.floor(s / 3600) + " h" + (s % 3600 < 60 ? "" : " " + Math.floor(s % 3600 / 60) + " min");
    return Math.floor(s / 86400) + " d";
  }
  const ago = time => duration(state.time - time) + " ago";
  const target = flow => flow.destination + ":" + flow.port;
  const isQuiet = flow => flow.open === 0 && state.time - flow.last_seen > QUIET;

  // Tiles.

  function tiles() {
    $("domain").textContent = state.trust_domain + " · " +
      [counted(state.workloads, "workload"), counted(state.services, "service"), counted(state.policies, "policy", "policies")].join(", ");
    const others = state.other_control_planes;
    $("planes").hidden = others.length === 0;
    $("planes").textContent = "Agents and connections of " + state.control_plane + " alone; others of its store have pages of their own: " +
      others.join(", ");
    const connected = state.agents.filter(agent => agent.connected);
    $("tile-agents").textContent = number(state.agents_connected);
    const pairs = new Set(state.flows.filter(flow => flow.verdict === "allowed").map(flow => flow.source + " " + flow.destination));
    $("tile-pairs").textContent = number(pairs.size);
    $("tile-open").textContent = number(state.flows.reduce((sum, flow) => sum + flow.open, 0));
    const denied = state.flows.filter(flow => flow.verdict === "denied" && state.time - flow.last_seen < HOUR);
    $("tile-denied").textContent = denied.length === 0 ? "0" : number(denied.length) + (denied.length === 1 ? " pair" : " pairs");
    $("tile-denied-box").classList.toggle("bad", denied.length > 0);
    const ends = connected.filter(agent => agent.not_after !== null).map(agent => agent.not_after);
    const next = ends.length === 0 ? null : Math.min(...ends) - state.time;
    $("tile-certificate").textContent = next === null ? "–" : next <= 0 ? "ended" : duration(next);
    $("tile-certificate-box").classList.toggle("bad", next !== null && next <= 0.1 * state.workload_ttl);
  }

  // Who talks to whom: sources on the left, destinations on the right.

  function nodes(flows, name) {
    const found = new Map();
    for (const flow of flows) {
      const key = name(flow);
      const node = found.get(key) || {key, connections: 0, open: 0, denied: false, weight: 0};
      node.connections += flow.connections;
      node.open += flow.open;
      node.denied = node.denied || flow.verdict === "denied";
      // What is open or recent comes first.
      node.weight += (isQuiet(flow) ? 0 : 1e5) + Math.log1p(flow.connections);
      found.set(key, node);
    }
    const sorted = [...found.values()].sort((a, b) => b.weight - a.weight || (a.key < b.key ? -1 : 1));
    // Some of those that were denied are there in any case, and never those alone.
    const kept = new Set(sorted.filter(node => node.denied).slice(0, MOST_NODES / 2));
    for (const node of sorted) if (kept.size < MOST_NODES) kept.add(node);
    return {shown: [...kept].sort((a, b) => a.key < b.key ? -1 : 1), left: sorted.length - kept.size};
  }

  function graph() {
    const box = $("graph");
    const focused = box.contains(document.activeElement) ? document.activeElement.dataset.node : null, wasPicked = picked;
    box.replaceChildren();
    const flows = state.flows.filter(flow => flow.path !== "probe");
    $("graph-empty").hidden = flows.length > 0;
    $("graph-note").textContent = "";
    if (flows.length === 0) return;
    const left = nodes(flows, flow => flow.source), right = nodes(flows, target);
    const row = 50, top = 26, width = 1120, nodeWidth = 300, nodeHeight = 38;
    const rows = Math.max(left.shown.length, right.shown.length);
    const height = top + rows * row;
    const svg = draw(box, "svg", {viewBox: `0 0 ${width} ${height}`, role: "group", "aria-labelledby": "h-graph"});
    draw(svg, "text", {x: 0, y: 8, class: "title"}, "sources");
    draw(svg, "text", {x: width - nodeWidth, y: 8, class: "title"}, "destinations");
    const place = (list, i) => top + (i + 0.5) * (rows * row / list.length);
    // The table of connections has them for who does not see them.
    const links = draw(svg, "g", {"aria-hidden": "true"});
    const position = new Map();
    left.shown.forEach((node, i) => position.set("s" + node.key, place(left.shown, i)));
    right.shown.forEach((node, i) => position.set("d" + node.key, place(right.shown, i)));
    // Denied ones last, so that they lie on top.
    const order = {allowed: 0, failed: 1, denied: 2};
    const between = new Map();
    for (const flow of [...flows].sort((a, b) => order[a.verdict] - order[b.verdict])) {
      const y1 = position.get("s" + flow.source), y2 = position.get("d" + target(flow));
      if (y1 === undefined || y2 === undefined) continue;
      // Links of the same two ends lie beside each other.
      const pair = flow.source + " " + target(flow), nth = between.get(pair) || 0;
      between.set(pair, nth + 1);
      const shift = nth * 8, x1 = nodeWidth, x2 = width - nodeWidth, middle = (x1 + x2) / 2;
      const kind = flow.verdict === "allowed" ? (flow.path === "plaintext" ? "plain" : "allowed") : flow.verdict;
      const link = draw(links, "path", {
        d: `M${x1},${y1 + shift} C${middle},${y1 + shift} ${middle},${y2 + shift} ${x2},${y2 + shift}`,
        class: "link " + kind + (isQuiet(flow) ? " quiet" : ""),
        "stroke-width": (1.5 + Math.min(5, Math.log10(1 + flow.connections) * 1.6)).toFixed(1)});
      link.dataset.source = flow.source;
      link.dataset.destination = target(flow);
      draw(link, "title", {}, `${flow.source} to ${target(flow)}: ${flow.verdict}, ${number(flow.connections)} connections, ` +
        `${flow.open} open, ${flow.path}, ${ago(flow.last_seen)}` + (flow.reason ? `, ${flow.reason}` : ""));
    }
    const side = (list, x, name) => list.forEach((node, i) => {
      const y = place(list, i), counts = counted(node.connections, "connection") + (node.open ? `, ${number(node.open)} open` : "");
      const g = draw(svg, "g", {class: "node", role: "img", tabindex: 0, "aria-label": `${name} ${node.key}: ${counts}` + (node.denied ? ", some denied" : "")});
      g.dataset.node = name + " " + node.key;
      draw(g, "rect", {x, y: y - nodeHeight / 2, width: nodeWidth, height: nodeHeight, rx: 8, class: "box" + (node.denied ? " denied" : "")});
      draw(g, "text", {x: x + 14, y: y - 7}, short(node.key, 38));
      draw(g, "text", {x: x + 14, y: y + 9, class: "sub"}, counts);
      draw(g, "title", {}, node.key);
      for (const event of ["mouseenter", "focus"]) g.addEventListener(event, () => pick(name, node.key));
      for (const event of ["mouseleave", "blur"]) g.addEventListener(event, () => pick(null));
      if (g.dataset.node === focused) g.focus({preventScroll: true});
    });
    side(left.shown, 0, "source");
    side(right.shown, width - nodeWidth, "destination");
    const more = [];
    if (left.left > 0) more.push(`${number(left.left)} more sources`);
    if (right.left > 0) more.push(`${number(right.left)} more destinations`);
    if (state.flows_total > state.flows.length) more.push(`${number(state.flows_total - state.flows.length)} more pairs`);
    if (more.length > 0) $("graph-note").textContent = "Not shown: " + more.join(", ") + "; byrniectl flows has all.";
    if (wasPicked) pick(wasPicked.which, wasPicked.key);
  }

  function pick(which, key) {
    picked = which ? {which, key} : null;
    $("graph").classList.toggle("picked", picked !== null);
    for (const link of $("graph").querySelectorAll(".link")) {
      link.classList.toggle("on", picked !== null && link.dataset[which] === key);
    }
  }

  // Tables.

  function ends(row, flow) {
    const source = put(row, "td");
    put(source, "span", "name", flow.source);
    source.title = flow.source_id;
    if (!flow.source_id) put(source, "span", "sub", "no identity");
    const destination = put(row, "td");
    put(destination, "span", "name", target(flow));
    destination.title = flow.destination_id;
    if (flow.service) put(destination, "span", "sub", "called as " + flow.service);
  }

  function denied() {
    const rows = state.flows.filter(flow => flow.verdict === "denied");
    const body = $("denied").tBodies[0];
    body.replaceChildren();
    $("denied").hidden = rows.length === 0;
    $("denied-empty").hidden = rows.length > 0;
    document.querySelector(".denied-card").classList.toggle("some", rows.length > 0);
    for (const flow of rows.slice(0, MOST_ROWS)) {
      const row = put(body, "tr");
      ends(row, flow);
      put(put(row, "td"), "span", "chip denied", flow.reason || "denied");
      put(row, "td", "n", number(flow.connections));
      put(row, "td", "when", ago(flow.last_seen));
    }
  }

  function flows() {
    const wanted = $("filter").value.trim().toLowerCase();
    const rows = state.flows.filter(flow => !wanted || [flow.source, target(flow), flow.source_id, flow.destination_id, flow.service,
      flow.path, flow.verdict, flow.reason].some(text => text.toLowerCase().includes(wanted)));
    const body = $("flows").tBodies[0];
    body.replaceChildren();
    $("flows").hidden = rows.length === 0;
    $("flows-empty").hidden = rows.length > 0;
    for (const flow of rows.slice(0, MOST_ROWS)) {
      const row = put(body, "tr");
      ends(row, flow);
      put(row, "td", "", flow.path);
      put(put(row, "td"), "span", "chip " + (["allowed", "denied", "failed"].includes(flow.verdict) ? flow.verdict : ""), flow.verdict);
      put(row, "td", "n", number(flow.connections));
      put(row, "td", "n", number(flow.open));
      put(row, "td", "n", bytes(flow.sent));
      put(row, "td", "n", bytes(flow.received));
      put(row, "td", "when", ago(flow.last_seen));
      put(row, "td", "", flow.reason);
    }
  }

  // Certificates, each with what is left of its life.

  function certificates() {
    const box = $("certificates");
    box.replaceChildren();
    const known = state.agents.filter(agent => agent.not_after !== null);
    $("certificates-empty").hidden = known.length > 0;
    $("certificates-note").textContent = known.length > MOST_CERTIFICATES ?
      `The ${MOST_CERTIFICATES} that end first, of ${number(state.agents_total)}; byrniectl certs has all.` : "";
    if (known.length === 0) return;
    const span = Math.max(state.workload_ttl, ...known.map(agent => agent.not_after - state.time));
    const axis = put(box, "div", "cert axis");
    put(axis, "span");
    const ticks = put(axis, "div", "ticks");
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      put(ticks, "span", "", share === 0 ? "now" : "+" + duration(share * span)).style.left = 100 * share + "%";
    }
    put(axis, "span");
    for (const agent of known.slice(0, MOST_CERTIFICATES)) {
      const left = agent.not_after - state.time;
      const row = put(box, "div", "cert" + (left <= 0 ? " over" : left < 0.3 * state.workload_ttl ? " late" : "") + (agent.connected ? "" : " away"));
      put(row, "span", "who", agent.name + (agent.connected ? "" : " (gone)")).title =
        `${agent.id} at ${agent.address}, proven by ${agent.proof || "not known"}`;
      put(put(row, "div", "track"), "div", "bar").style.width = Math.max(0, Math.min(100, 100 * left / span)) + "%";
      put(row, "span", "left", left <= 0 ? "ended" : duration(left));
    }
  }

  // Whom the mesh trusts, and where a move to another root stands.

  function trust() {
    const trusted = state.trust, reached = REACHED[trusted.step] || 0;
    $("trust-mode").textContent = trusted.mode;
    $("steps").replaceChildren();
    $("steps").hidden = !trusted.rotates;
    STEPS.forEach((step, i) => put($("steps"), "li", i < reached ? "done" : i === reached && trusted.step ? "next" : "", step));
    $("trust-text").textContent = trusted.step ?
      `A rotation is under way: ${trusted.step} ${ago(trusted.since)}${trusted.automatic ? ", going by itself" : ""}. Next: ${trusted.move}, which ${trusted.consequence}.` :
      trusted.rotates ? "No rotation is under way." : "";
    const roots = $("roots");
    roots.replaceChildren();
    for (const root of trusted.roots) {
      const box = put(roots, "div", "root");
      const line = put(box, "div");
      if (root.signs) put(line, "span", "chip allowed", "signs");
      if (root.trusted) put(line, "span", "chip", "trusted");
      if (root.tainted) put(line, "span", "chip failed", "tainted");
      put(line, "span", "name", root.subject || "root");
      put(box, "span", "sub", "ends " + new Date(root.not_after).toISOString().slice(0, 10) + ", in " + duration(root.not_after - state.time));
      put(box, "code", "", root.fingerprint);
    }
    const blockers = $("blockers");
    blockers.replaceChildren();
    for (const blocker of trusted.blockers) {
      put(blockers, "div", "blocker", `${blocker.agent}${blocker.address ? " at " + blocker.address : ""}: ${blocker.reason}`);
    }
    const more = trusted.blockers_total - trusted.blockers.length;
    if (more > 0) put(blockers, "div", "blocker", `and ${number(more)} more; byrniectl trust status has all`);
  }

  // Time and again.

  function freshness() {
    const box = $("freshness"), behind = Date.now() - lastAnswer;
    const stale = lastAnswer === 0 ? false : behind > 3 * REFRESH;
    box.classList.toggle("live", lastAnswer !== 0 && !stale);
    box.classList.toggle("stale", stale);
    if (lastAnswer !== 0) {
      say(stale ? "the control plane has not answered for " + duration(behind) : isSelecting() ? "waiting while text is selected" : "live");
    }
  }

  // Only what is new: a screen reader reads it out.
  function say(text) {
    if ($("freshness-text").textContent !== text) $("freshness-text").textContent = text;
  }

  // What is being copied is not to go away below the hand.
  const isSelecting = () => !document.getSelection().isCollapsed;

  async function refresh() {
    try {
      const response = await fetch("mesh.json", {cache: "no-store"});
      if (response.status === 503) {
        setTimeout(refresh, PATIENCE);  // Nobody has looked for a while: it is being gathered.
        return;
      }
      if (!response.ok) throw new Error(`mesh.json: ${response.status}`);
      const answer = await response.json();
      lastAnswer = Date.now();
      if (state === null || !isSelecting()) show(answer);
    } catch (error) {
      console.error(error);
      if (lastAnswer === 0) say("the control plane does not answer");
    }
    freshness();
  }

  function show(answer) {
    state = answer;
    for (const part of [tiles, graph, denied, certificates, trust, flows]) part();
    document.body.dataset.state = "drawn";
  }

  $("filter").addEventListener("input", () => { if (state) flows(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  setInterval(() => { if (!document.hidden) refresh(); }, REFRESH);
  setInterval(freshness, 1000);
  refresh();
})();
