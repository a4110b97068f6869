// stringEnd gives the place after a string of JSON that begins there.
function stringEnd(text, start) {
  for (let at = start + 1; ; at++) {
    at = text.indexOf('"', at);
    let slashes = 0;
    while (text[at - 1 - slashes] === "\\" && at - 1 - slashes > start) slashes++;
    if (slashes % 2 === 0) return at + 1;
  }
}

const maxDepth = 512;

// readJSON reads JSON text into a tree whose numbers and strings stay as they
// were written, which JSON.parse does not keep: {kind, start, end, nodes, keys},
// the places being those in the text. It gives null for what is no JSON, or nests
// deeper than is sane.
function readJSON(text) {
  try {
    JSON.parse(text); // what follows may trust the text
  } catch {
    return null;
  }
  const space = /[ \t\n\r]*/y, word = /[^,\]} \t\n\r]+/y;
  let at = 0;
  const skip = () => {
    space.lastIndex = at;
    space.test(text);
    at = space.lastIndex;
  };
  const string = () => {
    const start = at;
    at = stringEnd(text, start);
    return { kind: "string", start, end: at };
  };
  const value = (level) => {
    skip();
    const first = text[at], start = at;
    if (first === '"') return string();
    if (first !== "{" && first !== "[") {
      word.lastIndex = at;
      word.test(text);
      at = word.lastIndex;
      return { kind: /[-0-9]/.test(first) ? "number" : "literal", start, end: at };
    }
    if (level >= maxDepth) throw new RangeError("too deep");
    const close = first === "{" ? "}" : "]";
    const node = { kind: first === "{" ? "object" : "array", start, end: 0, nodes: [], keys: first === "{" ? [] : null };
    at++;
    for (skip(); text[at] !== close; skip()) {
      if (text[at] === ",") at++;
      skip();
      if (node.keys) {
        const { start, end } = string();
        node.keys.push(JSON.parse(text.slice(start, end)));
        skip();
        at++; // the colon
      }
      node.nodes.push(value(level + 1));
    }
    node.end = ++at;
    return node;
  };
  try {
    return value(0);
  } catch {
    return null;
  }
}

// member gives the text of a member of an object, which is valid JSON.
function member(text, name) {
  const mark = /["{}[\],:]/g;
  let depth = 0, key, from = 0, found;
  for (let m; (m = mark.exec(text)); ) {
    const c = m[0], at = m.index;
    if (c === '"') {
      mark.lastIndex = stringEnd(text, at);
      if (depth === 1 && from === 0) key = JSON.parse(text.slice(at, mark.lastIndex));
    } else if (c === "{" || c === "[") {
      depth++;
    } else if (depth === 1 && c === ":") {
      from = at + 1;
    } else if (depth === 1) { // the end of the member
      if (from > 0 && key === name) found = text.slice(from, at).trim();
      from = 0;
    }
    if (c === "}" || c === "]") depth--;
  }
  return found;
}

// indented is JSON text with its lines broken, and otherwise as it was written.
function indented(text, node, margin = "") {
  if (!node.nodes) return text.slice(node.start, node.end);
  const [open, close] = node.keys ? "{}" : "[]";
  if (node.nodes.length === 0) return open + close;
  const inner = margin + "  ";
  const lines = node.nodes.map((n, i) => inner + (node.keys ? JSON.stringify(node.keys[i]) + ": " : "") + indented(text, n, inner));
  return `${open}\n${lines.join(",\n")}\n${margin}${close}`;
}

// treeOf shows a tree as nested details, which a keyboard and a screen reader
// can work with. What is closed is made when it is opened.
function treeOf(text, node, key, index = false) {
  const label = key === undefined ? [] : [
    element("span", { class: index ? "key index" : "key" }, visible(key)), element("span", { class: "colon" }, ": "),
  ];
  if (!node.nodes) {
    return element("span", { class: "leaf" }, ...label, element("span", { class: node.kind }, visible(text.slice(node.start, node.end))));
  }
  const count = node.keys ? plural(node.nodes.length, "member", "members") : plural(node.nodes.length, "item", "items");
  const list = element("ul");
  const details = element("details", {}, element("summary", {}, ...label, element("span", { class: "meta" }, count)), list);
  let made = 0;
  const more = () => { // some at a time: a list of a million is no use to anybody
    const end = Math.min(made + 200, node.nodes.length);
    for (; made < end; made++) {
      list.append(element("li", {}, treeOf(text, node.nodes[made], node.keys ? node.keys[made] : String(made), !node.keys)));
    }
    if (made < node.nodes.length) {
      const button = element("button", { type: "button" }, `Show more (${node.nodes.length - made} left)`);
      const last = element("li", {}, button);
      button.addEventListener("click", () => {
        last.remove();
        const at = list.children.length;
        more();
        const next = list.children[at];
        next.tabIndex = -1;
        next.focus();
      });
      list.append(last);
    }
  };
  const fill = () => { if (made === 0) more(); };
  details.addEventListener("toggle", () => { if (details.open) fill(); });
  if (node.nodes.length <= 20) {
    fill();
    details.open = true;
  }
  return details;
}

