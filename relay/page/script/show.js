const rasters = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"]; // an SVG may hold scripts
const maxText = 256 * 1024; // characters that are shown; all can be copied and saved
const maxTree = 1024 * 1024; // characters of JSON that is shown as a tree

// textOf gives what reads as text, null for what does not.
function textOf({ type, data }) {
  const main = type.split("/")[0];
  if (["audio", "video", "font"].includes(main) || rasters.includes(type)) return null;
  try {
    const text = utf8(data);
    return main === "text" || !text.includes("\0") ? text : null;
  } catch {
    return null;
  }
}

const filename = ({ name, type }) =>
  name || { "application/json": "content.json", "text/markdown": "content.md", "text/csv": "content.csv" }[type] || "content.txt";

// saveLink saves under a name. What is saved has no type by which anything
// would open it.
function saveLink(parts, name, ...label) {
  const blob = new Blob(parts, { type: "application/octet-stream" });
  return element("a", { class: "button", href: URL.createObjectURL(blob), download: name }, ...label);
}

// pngOf gives an image as PNG, the only type of image that browsers copy.
async function pngOf(image, data, type) {
  if (type === "image/png") return new Blob([data], { type });
  await image.decode();
  const canvas = element("canvas", { width: image.naturalWidth, height: image.naturalHeight });
  canvas.getContext("2d").drawImage(image, 0, 0);
  return new Promise((resolve, reject) => { canvas.toBlob((b) => (b ? resolve(b) : reject(new Error("no image"))), "image/png"); });
}

function textBlock(text, name) {
  const label = name ? `Text of ${name}` : "The text";
  return element("pre", { tabindex: "0", dir: "auto", "aria-label": label, role: "group" }, visible(text.slice(0, maxText)));
}

// isShort reports whether an item is a single line of text, which may be a password. It is
// shown only when somebody asks for it.
const isShort = ({ name, type }, text) => name === undefined && type === "text/plain" && /^[^\r\n]{1,128}\n?$/u.test(text);

// hiddenBlock shows a block only when somebody asks for it.
function hiddenBlock(words, block, look) {
  const details = element("details", { class: "source" }, element("summary", { class: look }, words));
  details.addEventListener("toggle", () => details.append(block()), { once: true });
  return details;
}

// itemOf shows a file, or the only content, which has no name.
function itemOf(item) {
  const { name, type, role, data } = item;
  const text = textOf(item);
  const which = name ? [element("span", { class: "sr" }, ` ${name}`)] : [];
  const actions = element("p", { class: "actions" });
  if (text) actions.append(copyButton(text, ...which.map((e) => e.cloneNode(true))));
  actions.append(saveLink([data], filename(item), "Save", ...which));
  const meta = element("p", { class: "meta" }, `${visible(kind(type))}, ${bytes(data.length)}`);
  if (role) meta.append(", ", element("span", { class: "role" }, role));
  const article = element("article", { class: "item" }, element("h2", { class: "name", dir: "auto" }, name || "The content"), meta, actions);
  const note = (words) => article.append(element("p", { class: "meta" }, words));
  if (rasters.includes(type)) {
    const image = element("img", { alt: name ? `The image ${name}` : "The image" });
    const picture = element("p", { class: "picture" }, image);
    image.addEventListener("error", () => picture.replaceWith(element("p", { class: "meta" }, "This image can't be shown here.")));
    image.src = URL.createObjectURL(new Blob([data], { type }));
    article.append(picture);
    if (globalThis.ClipboardItem && navigator.clipboard?.write) {
      actions.prepend(copyButton(() => new ClipboardItem({ "image/png": pngOf(image, data, type) }), ...which.map((e) => e.cloneNode(true))));
    }
  } else if (data.length === 0) {
    note("It is empty.");
  } else if (text === null) {
    note("It can't be shown here. Save it to open it with another program.");
  } else {
    const json = type === "application/json" || type.endsWith("+json");
    const tree = json && text.length <= maxTree ? readJSON(text) : null;
    const shown = tree ? indented(text, tree) : text;
    if (tree?.nodes) {
      article.append(element("div", { class: "tree" }, treeOf(text, tree)));
      article.append(hiddenBlock("As text", () => textBlock(shown, name)));
    } else if (isShort(item, text)) {
      article.append(hiddenBlock("Show it", () => textBlock(text, name), "button"));
    } else {
      article.append(textBlock(shown, name));
    }
    if (shown.length > maxText) note("This is only the beginning: copy or save it to get all.");
    if (visible(text) !== text.replaceAll("\r\n", "\n")) {
      note("Characters that can't be seen stand here as ⟦U+…⟧. Copied or saved, they are as they were sent.");
    }
  }
  return article;
}

