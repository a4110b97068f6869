// The claim page's script. It runs as one module, sends requests only to its own
// relay, and puts text into the page only as text.

const plural = (n, one, many) => `${n} ${n === 1 ? one : many}`;

const bytes = (n) =>
  n === 1 ? "1 byte" : n < 1000 ? `${n} bytes` : n < 999950 ? `${(n / 1e3).toFixed(1)} kB` : `${(n / 1e6).toFixed(1)} MB`;

const times = (n) => (n === 1 ? "once" : n === 2 ? "twice" : `${n} times`);

function kind(type) {
  const known = {
    "text/plain": "text", "text/markdown": "text (Markdown)", "text/csv": "table (CSV)",
    "application/json": "data (JSON)", "application/octet-stream": "file",
  };
  if (Object.hasOwn(known, type)) return known[type];
  const [main, sub] = type.split("/");
  return ["image", "audio", "video"].includes(main) ? `${main} (${sub})` : type;
}

// Invisible characters, and those that reverse the text around them. Names of files
// follow the same rule. Some signs of Arabic and others are of type Cf, but visible.
const hidden = /(?![\t\n\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u{110bd}\u{110cd}])[\p{Cc}\p{Cf}\p{Co}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}]/gu;
const isHidden = (c) => c.search(hidden) === 0;
const isJoiner = (c) => c === "\u200c" || c === "\u200d" || c === "\u180e";
const isSelector = (c) => /^\p{Variation_Selector}$/u.test(c);

// stays reports whether an invisible character belongs to the character before it: a
// joiner that a script or an emoji needs, or a variation selector. There is never a
// second one, so nobody can hide a text in them.
function stays(s, at) {
  const c = String.fromCodePoint(s.codePointAt(at));
  if (at === 0 || !isJoiner(c) && !isSelector(c)) return false;
  const start = at - (at > 1 && s.codePointAt(at - 2) > 0xffff ? 2 : 1);
  const before = String.fromCodePoint(s.codePointAt(start));
  if (isHidden(before)) return isJoiner(c) && isSelector(before) && stays(s, start);
  return before.codePointAt(0) >= 0x600 || isSelector(c) && "0123456789#*©®".includes(before);
}

// visible shows that, so that nothing looks like what it is not.
const visible = (s) =>
  s.replaceAll("\r\n", "\n").replace(hidden, (c, at, all) => (
    stays(all, at) ? c : `⟦U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟧`));

// duration gives a time in words, coarser where it is longer.
function duration(ms) {
  const s = Math.max(0, Math.ceil(ms / 1000));
  if (s >= 3600) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return s >= 60 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${s} s`;
}

// element makes an element. Children are elements or text; an attribute that is
// false or undefined is left out.
function element(name, attributes = {}, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== false && value !== undefined) e.setAttribute(key, value === true ? "" : value);
  }
  e.append(...children);
  return e;
}

