// The front page of a relay: sends a text or files, sealed here, and gives the link.

const form = at("send-form"), button = at("send"), progress = at("progress"), text = at("text"), apiKey = at("key");
const limits = JSON.parse(at("page").dataset.limits);
const label = button.textContent;
let busy = false, current = null; // {seal, key, body}: what is sealed and not yet known to be taken

function changed() {
  current = null;
  fault("");
}

function fault(words, field = text) {
  at("fault").textContent = words;
  at("fault").hidden = words === "";
  for (const f of [text, at("files"), apiKey]) f?.removeAttribute("aria-invalid");
  if (!words) return false;
  field.setAttribute("aria-invalid", "true");
  field.focus();
  return true;
}

// wrong says what is missing or too much.
function wrong() {
  const size = files.reduce((sum, { file }) => sum + file.size, 0) + bytesOf(text.value).length;
  if (files.length === 0 && text.value === "") return fault("There is nothing to send: write something, or choose a file.");
  if (files.length > limits.files) return fault(`These are ${files.length} files. At most ${limits.files} can be sent.`, at("files"));
  if (sealedSize(size) > limits.bytes) return fault(`This has ${bytes(size)} together. At most ${bytes(limits.bytes)} can be sent.`, at("files"));
  return apiKey?.value === "" && fault("The API key is missing.", apiKey);
}

// sealed seals what is there: a text alone, or files, among them the text.
async function sealed(report) {
  const key = await newKey(), options = {};
  let made;
  try {
    if (files.length === 0) {
      made = await sealText(key, "text/plain", utf8(bytesOf(text.value)), options, report);
    } else {
      const message = { name: freeName("message.txt", files.map((f) => f.name)), file: new Blob([text.value], { type: "text/plain" }) };
      made = await sealFiles(key, text.value ? [message, ...files] : files, options, report);
    }
  } catch (e) {
    if (e instanceof DOMException && files.length > 0) throw new Refusal("A file can't be read: it may have changed or moved. Remove it and choose it again.");
    throw e;
  }
  const often = Number(at("often").value);
  const terms = { ttl_seconds: Number(at("ttl").value), ...(often > 0 && { max_retrievals: often }) };
  return { seal: key.raw, key: toBase64(random(32)), body: createBody(made, terms), lost: false };
}

// done shows the link, and takes all that was typed off the page.
function done({ claim_url: link, expires_at: end, max_retrievals: often }, seal) {
  const whole = `${link}#k=${toBase64(seal)}`;
  const field = element("input", { class: "value", id: "link", readonly: true, "aria-label": "The link" });
  field.value = whole;
  field.addEventListener("focus", () => field.select());
  const again = element("button", { type: "button" }, "Send something else");
  again.addEventListener("click", () => location.reload());
  const image = qrImage(whole, "QR code of the link");
  const heading = element("h2", { id: "result-title", tabindex: "-1" }, "Here is the link");
  at("result").replaceChildren(heading,
    element("p", {}, `Pass it on whole. Whoever has it can open what you sent${often ? ` ${times(often)},` : ""} until ${localTime(end)}.`),
    field, element("p", { class: "actions" }, copyButton(whole, element("span", { class: "sr" }, " the link")), again),
    ...(image ? [image] : []),
    element("p", { class: "meta" }, "Its last part, after the #, is the key. It was made in this browser, and the relay does not have it. Nobody can make the link anew when this page is closed."));
  at("compose").remove();
  at("result").hidden = false;
  heading.focus();
}

async function send() {
  if (busy) return;
  at("notice").hidden = true;
  if (wrong()) return;
  busy = true;
  form.inert = true;
  button.textContent = "Sending…";
  progress.hidden = false;
  say("Sending.");
  const report = (from, to) => (part) => { progress.value = from + (to - from) * part; };
  try {
    current ??= await sealed(report(0, 0.3));
    const headers = apiKey ? { Authorization: `Bearer ${apiKey.value.trim()}` } : {};
    const taken = await postAgain("/api/v1/kubbis", current, headers, report(0.3, 1));
    if (!taken.ok) throw refusalOf(taken);
    const { seal } = current;
    for (const f of [text, apiKey]) if (f) f.value = "";
    current = null;
    done(taken.answer, seal);
  } catch (e) {
    if (e instanceof Lost) warn(`${e.message} What you entered is still here: press the button again. It is sent once only.`);
    else warn(e instanceof Refusal ? e.message : "This can't be sealed in this browser.");
  } finally {
    busy = false;
    form.inert = false;
    button.textContent = label;
    progress.hidden = true;
    if (button.isConnected) button.focus({ preventScroll: true });
  }
}

const files = filePicker({ input: at("files"), list: at("chosen"), zone: form, changed: () => changed() });
for (const field of [text, at("ttl"), at("often")]) field.addEventListener("input", changed);
apiKey?.addEventListener("input", () => fault(""));
form.addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
if (globalThis.crypto?.subtle) {
  form.hidden = false;
  at("notice").hidden = true;
} else {
  warn("Your browser encrypts only on a page that came over https, or from this machine. Open this page with https, or send from a terminal: kubbi-mcp send --sealed FILE");
}
