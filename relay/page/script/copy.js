// copyButton copies a text as it was sent.
function copyButton(text, ...label) {
  const button = element("button", { type: "button" }, "Copy", ...label);
  button.addEventListener("click", async () => {
    let done = true;
    try {
      await navigator.clipboard.writeText(text);
    } catch { // not a secure context, or not allowed
      const area = element("textarea", { class: "sr", readonly: true, tabindex: "-1", "aria-hidden": "true" });
      area.value = text;
      document.body.append(area);
      area.select();
      done = document.execCommand("copy");
      area.remove();
      button.focus();
    }
    say(done ? "Copied." : "Copying did not work: select the text instead.");
    button.firstChild.data = done ? "Copied" : "Not copied";
    setTimeout(() => { button.firstChild.data = "Copy"; }, 2000);
  });
  return button;
}

