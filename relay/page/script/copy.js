// copyButton copies a text as it was sent, or the ClipboardItem that a function gives.
function copyButton(what, ...label) {
  const button = element("button", { type: "button" }, "Copy", ...label), isText = typeof what === "string";
  button.addEventListener("click", async () => {
    let done = true;
    try {
      await (isText ? navigator.clipboard.writeText(what) : navigator.clipboard.write([what()]));
    } catch { // not a secure context, or not allowed
      done = isText && copySelected(what);
      button.focus();
    }
    say(done ? "Copied." : `Copying did not work: ${isText ? "select the text instead" : "save it instead"}.`);
    button.firstChild.data = done ? "Copied" : "Not copied";
    setTimeout(() => { button.firstChild.data = "Copy"; }, 2000);
  });
  return button;
}

// copySelected copies a text in the old way, and says whether that worked.
function copySelected(text) {
  const area = element("textarea", { class: "sr", readonly: true, tabindex: "-1", "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

