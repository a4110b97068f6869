const page = at("page"), form = at("claim"), button = at("open"), notice = at("notice");
const idempotencyKey = form.elements.key.value; // the same in every attempt: they count once
const label = button.textContent;
let busy = false, over = false;
let counted = false; // it has been opened, though what came may be of no use
let offers = 0;

const sealed = () => (page.dataset.sealed === undefined ? null :
  { v: Number(page.dataset.version), kid: page.dataset.kid, to: page.dataset.to !== undefined });

// offer shows the button if what is here can be opened with this link.
async function offer() {
  const mine = ++offers; // the link may change while this one is looked at
  let refusal = "";
  try {
    await unlock(sealed());
  } catch (e) {
    refusal = e instanceof Refusal ? e.message : "This can't be opened in this browser.";
  }
  if (over || busy || mine !== offers) return;
  form.hidden = refusal !== "";
  notice.hidden = true;
  if (refusal) warn(counted ? refusal : `${refusal} Nothing has been opened.`);
}

const request = (method) => fetch(`${location.pathname}/claim`, {
  method, headers: { Accept: "application/json", "Idempotency-Key": idempotencyKey },
  cache: "no-store", credentials: "omit", redirect: "error", referrerPolicy: "strict-origin", keepalive: method === "DELETE",
});

// claim gets the payload's JSON. An answer that is lost on the way is asked for
// again.
async function claim() {
  for (let attempt = 0; ; attempt++) {
    let trouble = "The connection broke.";
    try {
      const response = await request("POST");
      const text = await response.text();
      if (response.ok) return { text, left: response.headers.get("Kubbi-Remaining-Reads") };
      if (response.status === 404 || response.status === 410) {
        location.reload(); // to the page that says why
        return null;
      }
      if (response.status < 500) {
        const seconds = Number(response.headers.get("Retry-After"));
        throw new Refusal(seconds > 0 ? `Too many wrong links were tried from your network. Try again in ${plural(seconds, "second", "seconds")}.` : "That was refused.");
      }
      trouble = "What keeps your things can't be reached at the moment.";
    } catch (e) {
      if (e instanceof Refusal) throw e;
    }
    if (attempt === 3) throw new Refusal(`${trouble} Press the button again: within a minute it counts as one time only.`);
    await wait(500 * 2 ** attempt);
  }
}

// itemsOf gives what was claimed as items. It checks the seal again: what was
// looked at need not be what was claimed.
async function itemsOf(text) {
  const answer = JSON.parse(text);
  const seal = objectOf(answer.metadata?.sealed);
  const key = await unlock(seal);
  if (key) return { answer, ...await openSealed(key, answer) };
  const isPackage = Array.isArray(answer.files);
  if (isPackage) {
    const items = answer.files.map(({ name, content_type: type, role, content, encoding }) => (
      { name, type, role, data: encoding === "base64" ? fromPaddedBase64(content) : new TextEncoder().encode(content) }));
    return { answer, isPackage, items };
  }
  const json = answer.content_type === "application/json";
  return { answer, isPackage, items: [{ type: answer.content_type, data: new TextEncoder().encode(json ? member(text, "content") : answer.content) }] };
}

function outcome({ burned, expires_at: end }, left) {
  if (burned) {
    return element("p", { class: "notice" }, element("strong", {}, "Burned."),
      " This was the last time it could be opened, and it is erased. Save what you need before you close this page.");
  }
  const again = left === "unlimited" || left === null ? "again" : `${times(Number(left))} more`;
  return element("p", { class: "lead" }, `It can be opened ${again}, until ${localTime(end)}.`);
}

function show({ answer, isPackage, items }, left) {
  const words = !isPackage ? "Here it is" : items.length === 1 ? "Here is your file" : `Here are your ${items.length} files`;
  const title = element("h1", { id: "result-title", tabindex: "-1" }, words);
  const result = at("result");
  result.replaceChildren(title, outcome(answer, left));
  if (items.length > 1) {
    result.append(element("p", { class: "actions" }, saveLink(zipOf(items, new Date(answer.created_at)), "kubbi.zip", "Save all as a zip file")));
  }
  result.append(...items.map(itemOf));
  at("preview").hidden = true;
  result.hidden = false;
  document.title = "What was sent to you";
  title.focus();
  scrollTo(0, 0);
}

async function open() {
  if (busy || over) return;
  busy = true;
  button.setAttribute("aria-disabled", "true");
  button.textContent = "Opening…";
  notice.hidden = true;
  let came = false;
  try {
    await unlock(sealed()); // the link may be another one by now
    at("hint").hidden = true; // nobody can be sure of that any more
    const got = await claim();
    if (!got) return;
    came = counted = true;
    const opened = await itemsOf(got.text);
    show(opened, got.left);
    over = true;
    request("DELETE").catch(() => {}); // it is safely here: the relay may forget it
  } catch (e) {
    const why = e instanceof Refusal ? e.message : "The answer was not whole.";
    warn(came ? `What came can't be opened: ${why.replace(/\.$/, "")}. This has counted as one time; press the button again within a minute to fetch the same once more.` : why);
  } finally {
    busy = false;
    button.removeAttribute("aria-disabled");
    button.textContent = label;
  }
}

at("large")?.remove();
form.addEventListener("submit", (event) => {
  event.preventDefault();
  open();
});
addEventListener("hashchange", offer);
offer();
countDown(
  () => { if (!over) say("Less than a minute is left."); },
  () => {
    if (over || busy) return;
    over = true;
    form.hidden = true;
    warn("Too late: the time for this link has passed, and what was sent has been erased. Ask the sender to send it again.");
  },
);
