// The files that somebody has chosen or dropped.

// safeName gives a valid name like this one, as Safe in internal/filename does.
function safeName(name) {
  const valid = (s) => isFileName(s) && !s.endsWith(".") && !deviceName.test(s);
  if (valid(name)) return name;
  let safe = name.replace(/[\p{Cc}\p{Cs}/\\:*?"<>|]/gu, "_").replace(hidden, (c, at, all) => (stays(all, at) ? c : ""))
    .replace(/\.{2,}/g, ".").replace(/^[.\-\p{Zs}\u2800\p{M}]+|[.\p{Zs}\u2800\u200c\u200d\u180e]+$/gu, "");
  if (deviceName.test(safe)) safe = safe.replace(/(?=\.)|$/, "_");
  while (bytesOf(safe).length > 255) safe = safe.replace(/.(?=(\.[^.]{1,16})?$)/su, "");
  return valid(safe) ? safe : "file";
}

// freeName gives a name that no other file has, on any system.
function freeName(name, taken) {
  const fold = (s) => s.normalize("NFD").toLowerCase();
  const used = new Set(taken.map(fold));
  const [, stem, ending] = /^(.*?)(\.[^.]{1,16})?$/su.exec(name);
  const short = [...stem];
  while (bytesOf(short.join("")).length > 180) short.pop(); // room for the number and the ending
  for (let n = 1, free = name; ; free = safeName(`${short.join("")}-${++n}${ending ?? ""}`)) {
    if (!used.has(fold(free))) return free;
  }
}

// filePicker fills a list of files from an input and from what is dropped anywhere on the
// page. changed is called after each change. It gives the list, of {name, file}.
function filePicker({ input, list, zone, changed }) {
  const chosen = [];
  const show = () => {
    list.replaceChildren(...chosen.map((entry) => {
      const remove = element("button", { type: "button" }, "Remove", element("span", { class: "sr" }, ` ${visible(entry.file.name)}`));
      remove.addEventListener("click", () => {
        chosen.splice(chosen.indexOf(entry), 1);
        show();
        say(`${visible(entry.file.name)} is removed.`);
        input.focus();
      });
      const renamed = entry.name === entry.file.name ? [] : [`, sent as ${entry.name}`];
      return element("li", {}, element("bdi", { class: "name" }, visible(entry.file.name)),
        element("span", { class: "meta" }, bytes(entry.file.size), ...renamed), remove);
    }));
    changed();
  };
  const add = (files) => {
    for (const file of files) chosen.push({ file, name: freeName(safeName(file.name), chosen.map((c) => c.name)) });
    show();
    say(`${plural(chosen.length, "file is", "files are")} chosen.`);
  };
  input.addEventListener("change", () => {
    add(input.files);
    input.value = ""; // the same file can be chosen again
  });
  onDrop(zone, add);
  return chosen;
}

// onDrop calls a function with the files that are dropped on the page, and their target.
// Without it the browser would leave the page for the file, and what was typed would be lost.
function onDrop(zone, dropped) {
  const carries = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    zone.classList.add("over");
  });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) zone.classList.remove("over"); });
  addEventListener("drop", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    zone.classList.remove("over");
    // A folder has no bytes of its own; it can't be read.
    const entries = [...event.dataTransfer.items].filter((i) => i.kind === "file" && !i.webkitGetAsEntry?.()?.isDirectory);
    if (!zone.inert) dropped(entries.map((i) => i.getAsFile()).filter(Boolean), event.target);
  });
}

// textOfFile gives the text of a file for a field. For a field of one line, the file may have
// one line only, and its end is left out.
async function textOfFile(file, lines) {
  let text;
  try {
    if (file.size > 1 << 20) throw new RangeError("too long");
    text = utf8(new Uint8Array(await file.arrayBuffer()));
  } catch {
    throw new Refusal(`${visible(file.name)} has no text that fits in here.`);
  }
  if (lines) return text;
  text = text.replace(/\r?\n$/, "");
  if (/[\r\n]/.test(text)) throw new Refusal(`${visible(file.name)} has several lines, and this takes one.`);
  return text;
}

