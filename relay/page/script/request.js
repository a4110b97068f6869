// The page of a request: somebody asks for values or files, and the answer is sealed here
// for the asker alone.

const page = at("page"), form = at("answer"), button = at("send"), progress = at("progress");
const question = JSON.parse(page.dataset.question);
const token = location.pathname.split("/").pop();
const label = button.textContent;
let fields = [...form.querySelectorAll("input.value, textarea.value")];
let files = []; // of {name, file}
let publicKey = null; // the asker's; null: nothing can be answered
let looks = 0, busy = false, over = false;

// An answer is {key, body, lost}: its idempotency key, what is posted, and whether an
// attempt to send it was lost, so that it may have arrived. current is that of the values as
// they are, null if they have changed; earlier are lost ones of other values.
let current = null, earlier = [];

const secure = () => {
  if (globalThis.crypto?.subtle) return;
  throw new Refusal("Your browser encrypts only on a page that came over https, or from this machine. Open this link with https, or on the machine where the relay runs.");
};

// askerKey reads the public key after the # of the link, and tries it.
async function askerKey() {
  secure();
  if (location.hash === "") {
    throw new Refusal("The last part of the link is missing: a # and what follows it. Without it nothing can be sealed for the asker. Copy the whole link again, or ask for it.");
  }
  const text = /^#p=([A-Za-z0-9_-]{43})$/.exec(location.hash)?.[1];
  const raw = text && fromBase64(text);
  const damaged = new Refusal("The last part of the link, after the #, is not whole. It is the asker's key. Copy the whole link again, or ask for it.");
  if (!raw) throw damaged;
  try {
    await crypto.subtle.generateKey("X25519", false, ["deriveBits"]);
  } catch {
    throw new Refusal("Your browser is too old to seal an answer. Update it: Chrome and Edge can since version 133, Firefox since 130, Safari since 17.");
  }
  try {
    await hpkeSeal(raw, nothing, nothing, nothing);
  } catch {
    throw damaged;
  }
  return raw;
}

// look shows the form if this link can be answered.
async function look() {
  const mine = ++looks; // the link may change while this one is looked at
  let key = null, refusal = "", print = "";
  try {
    key = await askerKey();
    print = await fingerprintOf(key);
  } catch (e) {
    refusal = e instanceof Refusal ? e.message : "This can't be answered in this browser.";
  }
  if (over || mine !== looks) return;
  changed();
  publicKey = key;
  at("print").textContent = print;
  at("compare").hidden = at("where").hidden = form.hidden = refusal !== "";
  at("notice").hidden = true;
  if (refusal) warn(`${refusal} Nothing has been sent. In a terminal, kubbi-mcp answer "the whole link" does the same.`);
}

// changed forgets the answer that was made of other values.
function changed() {
  if (current?.lost) earlier.push(current);
  current = null;
  tooMuch();
}

// tooMuch says at once if the files are more than the relay takes.
function tooMuch() {
  const limits = question.limits, size = files.reduce((sum, { file }) => sum + file.size, 0);
  let words = "";
  if (files.length > limits.files) words = `These are ${files.length} files. At most ${limits.files} can be sent.`;
  else if (sealedSize(size) > limits.bytes) words = `These files have ${bytes(size)} together. At most ${bytes(limits.bytes)} can be sent.`;
  if (question.files) fault(at("files"), words);
  return words !== "";
}

// fault shows what is wrong with a field; "": nothing.
function fault(field, words) {
  const note = at(`error-${field.id}`);
  note.textContent = words;
  note.hidden = words === "";
  if (words) field.setAttribute("aria-invalid", "true");
  else field.removeAttribute("aria-invalid");
}

// complete looks whether everything is there, and goes to the first field that is not.
function complete() {
  let first = null;
  for (const field of fields) {
    const empty = field.value === "";
    fault(field, empty ? `${field.dataset.name} is empty.` : "");
    if (empty) first ??= field;
  }
  if (question.files && (tooMuch() || files.length === 0)) {
    if (files.length === 0) fault(at("files"), "No file is chosen.");
    first ??= at("files");
  }
  first?.focus();
  return !first;
}

// sealAnswer seals what is there now.
async function sealAnswer(report) {
  const key = await newKey();
  const to = [await wrapKey(key, publicKey, await answerBinding(question, token))];
  let made;
  try {
    made = question.files
      ? await sealFiles(key, files, { to }, report)
      : await sealText(key, "application/json", JSON.stringify(Object.fromEntries(fields.map((f) => [f.dataset.name, wellFormed(f.value)]))), { to }, report);
  } catch (e) {
    if (e instanceof DOMException && question.files) throw new Refusal("A file can't be read: it may have changed or moved. Remove it and choose it again.");
    throw e;
  }
  if (made.sealed.size > question.limits.bytes) {
    throw new Refusal(`This has ${bytes(made.sealed.size)} when it is sealed. At most ${bytes(question.limits.bytes)} can be sent.`);
  }
  return { key: toBase64(random(32)), body: createBody(made), lost: false };
}

// wellFormed replaces halves of characters, which no JSON of Go's may have.
const wellFormed = (text) => utf8(bytesOf(text));

// deliver posts an answer.
const deliver = (answer, report) => postAgain(location.pathname, answer, {}, report);

// end takes everything that was typed off the page, and shows words in its place.
function end(title, ...content) {
  over = true;
  for (const field of fields) field.value = "";
  fields = files = earlier = [];
  current = null;
  const heading = element("h1", { id: "result-title", tabindex: "-1" }, title);
  at("result").replaceChildren(heading, ...content);
  at("ask").remove();
  at("result").hidden = false;
  document.title = title;
  heading.focus();
  scrollTo(0, 0);
}

const paragraph = (words, name) => element("p", { class: name }, words);

function receipt({ answered_at: answered, expires_at: expires }, note) {
  end("Sent", paragraph("The asker, and nobody else, can open your answer. You can close this page.", "lead"),
    ...(note ? [paragraph(note, "notice")] : []),
    element("dl", { class: "facts" },
      element("div", {}, element("dt", {}, "Taken by the relay"), element("dd", {}, localTime(answered))),
      element("div", {}, element("dt", {}, "Erased at the latest"), element("dd", {}, localTime(expires)))));
}

// answeredBefore tells whose the answer is that the relay has taken, if anybody can know.
async function answeredBefore() {
  for (const answer of earlier) {
    const { ok, answer: words } = await deliver(answer, () => {}).catch(() => ({}));
    if (ok) return receipt(words, "What the relay has taken is what you sent first, before your last change: the connection broke then. Tell the asker if that matters.");
  }
  if (earlier.length > 0 || current.lost) {
    return end("Answered", paragraph("The relay has taken an answer. Most likely it is yours: an earlier attempt may have arrived although the connection broke.", "lead"),
      paragraph("Ask the asker whether it came, and whether it is the right one.", "notice"));
  }
  return location.reload(); // to the page that says why
}

async function send() {
  if (busy || over || !publicKey) return;
  at("notice").hidden = true;
  if (!complete()) return;
  busy = true;
  form.inert = true;
  button.textContent = "Sending…";
  progress.hidden = false;
  say("Sending.");
  const report = (from, to) => (part) => { progress.value = from + (to - from) * part; };
  try {
    current ??= await sealAnswer(report(0, 0.3));
    const taken = await deliver(current, report(0.3, 1));
    if (taken.ok) receipt(taken.answer);
    else if (taken.status === 409) await answeredBefore();
    else if (taken.status === 404 || taken.status === 410) location.reload(); // to the page that says why
    else throw refusalOf(taken);
  } catch (e) {
    if (e instanceof Lost) warn(`${e.message} What you entered is still here: press the button again. It counts as one answer only.`);
    else warn(e instanceof Refusal ? e.message : "This can't be sealed in this browser.");
  } finally {
    busy = false;
    form.inert = false;
    if (!over) {
      button.textContent = label;
      progress.hidden = true;
      button.focus({ preventScroll: true });
    }
  }
}

// helpers makes the buttons of a field work: show and hide, and paste.
function helpers(field) {
  const toggle = at(`show-${field.id}`), paste = at(`paste-${field.id}`);
  toggle?.addEventListener("click", () => {
    const shown = toggle.firstChild.data === "Hide";
    if (field.type === "textarea") field.classList.toggle("masked", shown);
    else field.type = shown ? "password" : "text";
    toggle.firstChild.data = shown ? "Show" : "Hide";
  });
  paste.hidden = !navigator.clipboard?.readText;
  paste.addEventListener("click", async () => {
    try {
      field.value = await navigator.clipboard.readText();
      changed();
      fault(field, "");
      say(`Pasted into ${field.dataset.name}.`);
    } catch {
      say("Pasting did not work: use the keyboard or the menu.");
      field.focus();
    }
  });
  field.addEventListener("input", () => {
    changed();
    fault(field, "");
  });
}

// fill puts the text of a file into the field that it was dropped on.
async function fill([file], field) {
  if (!file || !fields.includes(field)) return;
  try {
    field.value = await textOfFile(file, field.type === "textarea");
    changed();
    fault(field, "");
    say(`${visible(file.name)} is in ${field.dataset.name}.`);
  } catch (e) {
    fault(field, e instanceof Refusal ? e.message : "This file can't be read.");
  }
}

fields.forEach(helpers);
if (question.files) files = filePicker({ input: at("files"), list: at("chosen"), zone: form, changed });
else onDrop(form, fill);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
addEventListener("hashchange", look);
look();
countDown(
  () => { if (!over) say("Less than a minute is left."); },
  () => {
    if (!over && !busy) end("Too late", paragraph("The time for this request has passed, and nothing was sent. Ask for a new link.", "lead"));
  },
);
