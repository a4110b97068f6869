// The claim page's script. It runs as one module, sends what it asks for to
// its own relay alone, and puts text into the page as text only.

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

// What can't be seen, or turns the text around it.
const hidden = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\u{e0000}-\u{e007f}]/gu;

// visible shows that, so that nothing looks like what it is not.
const visible = (s) =>
  s.replaceAll("\r\n", "\n").replace(hidden, (c) => `⟦U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟧`);

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

