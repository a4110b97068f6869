// Opens the pages of requests in Chromium, answers them, and has the asker open the answers.
import assert from "node:assert/strict";
import { done, site, state } from "./browser.mjs";

const canary = "canary-5f0c1d";

async function get(path) {
  const answer = await fetch(`${site}${path}`);
  assert.equal(answer.status, 200, path);
  return answer.json();
}

const ask = (kind) => get(`/ask/${kind}`);
const opened = ({ id }) => get(`/open/${id}`);

const send = (page) => page.getByRole("button", { name: "Seal and send" });
const field = (page, name) => page.getByLabel(name, { exact: true });

const hiding = (e) => getComputedStyle(e).getPropertyValue("-webkit-text-security");

// sent checks the receipt, and that the page has kept nothing.
async function sent(page, url) {
  await page.getByRole("heading", { level: 1, name: "Sent", exact: true }).waitFor();
  assert.equal(await page.evaluate("document.activeElement.id"), "result-title");
  assert.equal(await page.locator("input, textarea, form").count(), 0);
  assert.ok(!(await page.content()).includes(canary));
  assert.equal(page.url(), url, "the address has changed");
  assert.equal(await page.evaluate("localStorage.length + sessionStorage.length + document.cookie.length"), 0);
  assert.equal(await page.evaluate("history.length"), 2);
}

await state("fields", { expected: [/status of 409/] }, async (page, t) => {
  const asked = await ask("fields");
  await t.goto(asked.url);
  await t.title("You are asked for 3 values");
  assert.equal(await page.locator("blockquote").textContent(), "The key for staging.\n<b>Not bold</b> ⟦U+202E⟧ é");
  await send(page).waitFor();
  assert.equal(await page.locator("#print").textContent(), asked.fingerprint);
  await t.shows(/59 min \d+ s left/);
  await t.look("empty");
  await send(page).click();
  await t.shows("STRIPE_KEY is empty.");
  assert.equal(await page.evaluate("document.activeElement.id"), "field-STRIPE_KEY");
  assert.equal(await field(page, "PEM").getAttribute("aria-invalid"), "true");
  await t.look("incomplete");
  const key = field(page, "STRIPE_KEY"), pem = field(page, "PEM");
  assert.equal(await key.getAttribute("type"), "password");
  for (const [name, value] of [["autocomplete", "off"], ["spellcheck", "false"], ["autocapitalize", "none"]]) {
    assert.equal(await key.getAttribute(name), value);
    assert.equal(await pem.getAttribute(name), value);
  }
  await page.evaluate(`navigator.clipboard.writeText("${canary} pasted")`);
  await page.getByRole("button", { name: "Paste into STRIPE_KEY" }).click();
  await page.waitForFunction(`document.getElementById("field-STRIPE_KEY").value === "${canary} pasted"`);
  assert.equal(await page.getByText("STRIPE_KEY is empty.").isVisible(), false);
  await page.getByRole("button", { name: "Show STRIPE_KEY" }).click();
  assert.equal(await key.getAttribute("type"), "text");
  await page.getByRole("button", { name: "Hide STRIPE_KEY" }).click();
  assert.equal(await key.getAttribute("type"), "password");
  await field(page, "querySelectorAll").fill(`plain ${canary} "é🐎"`);
  await pem.fill(`-----BEGIN-----\n${canary}\n`);
  assert.equal(await pem.evaluate(hiding), "disc");
  await page.getByRole("button", { name: "Show PEM" }).click();
  assert.equal(await pem.evaluate(hiding), "none");
  await send(page).click();
  await sent(page, asked.url);
  await t.look("sent");
  assert.deepEqual(await opened(asked), { status: "opened", values: {
    STRIPE_KEY: `${canary} pasted`, querySelectorAll: `plain ${canary} "é🐎"`, PEM: `-----BEGIN-----\n${canary}\n` } });
  await page.reload();
  await t.title("Already answered");
});

await state("dropped", {}, async (page, t) => {
  const asked = await ask("fields");
  await t.goto(asked.url);
  await send(page).waitFor();
  const drop = (text, selector) => page.evaluate(`{
    const data = new DataTransfer();
    data.items.add(new File([${JSON.stringify(text)}], "key.txt"));
    const event = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
    if (document.querySelector(${JSON.stringify(selector)}).dispatchEvent(event)) throw new Error("the browser would leave the page");
  }`);
  await drop(`${canary}\n`, "h1");
  await drop(`${canary}\nb\n`, "#field-STRIPE_KEY");
  await t.shows("key.txt has several lines, and this takes one.");
  await drop(`${canary}\n`, "#field-STRIPE_KEY");
  await drop(`${canary}\nb\n`, "#field-PEM");
  await field(page, "querySelectorAll").fill("x");
  await page.waitForFunction(`document.getElementById("field-PEM").value !== ""`);
  await send(page).click();
  await sent(page, asked.url);
  assert.deepEqual((await opened(asked)).values, { STRIPE_KEY: canary, querySelectorAll: "x", PEM: `${canary}\nb\n` });
});

await state("keyboard", {}, async (page, t) => {
  const asked = await ask("secret");
  await t.goto(asked.url);
  await t.title("You are asked for a secret");
  await send(page).waitFor();
  const focused = () => page.evaluate("document.activeElement.textContent || document.activeElement.id");
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "field-STRIPE_KEY");
  await page.keyboard.type(canary);
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "Show STRIPE_KEY");
  await page.keyboard.press("Space");
  assert.equal(await focused(), "Hide STRIPE_KEY");
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "Paste into STRIPE_KEY");
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "Seal and send");
  await page.keyboard.press("Enter");
  await sent(page, asked.url);
  assert.deepEqual((await opened(asked)).values, { STRIPE_KEY: canary });
});

await state("files", { width: 320, height: 640 }, async (page, t) => {
  const asked = await ask("files");
  await t.goto(asked.url);
  await t.title("You are asked for files");
  await t.shows("At most 20 files, 52.4 MB together.");
  await send(page).waitFor();
  await t.look("empty");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate("document.activeElement.id"), "files");
  await send(page).click();
  await t.shows("No file is chosen.");
  assert.equal(await page.evaluate("document.activeElement.id"), "files");
  const large = Buffer.alloc(1_000_000, `${canary} `);
  const picker = page.locator("#files");
  await picker.setInputFiles([
    { name: ".env", mimeType: "", buffer: Buffer.from(`A=${canary}\n`) },
    { name: "photo é.png", mimeType: "image/png", buffer: Buffer.from([0, 255, 254]) },
    { name: "wrong.txt", mimeType: "text/plain", buffer: Buffer.from("x") },
  ]);
  await picker.setInputFiles([{ name: "large.csv", mimeType: "text/csv", buffer: large }]);
  await page.getByRole("button", { name: "Remove wrong.txt" }).click();
  await page.evaluate(`{
    const data = new DataTransfer();
    data.items.add(new File(["dropped"], "env", { type: "text/plain" }));
    const event = (type) => new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true });
    if (document.body.dispatchEvent(event("dragover")) || document.body.dispatchEvent(event("drop"))) throw new Error("the browser would leave the page");
  }`);
  await t.shows(", sent as env");
  await t.shows(", sent as env-2");
  await t.look("chosen");
  await send(page).click();
  await sent(page, asked.url);
  const { files } = await opened(asked);
  assert.deepEqual(files.map(({ name, type, encoding }) => [name, type, encoding]), [
    ["env", "text/plain", ""], ["photo é.png", "image/png", "base64"], ["large.csv", "text/csv", ""], ["env-2", "text/plain", ""]]);
  assert.equal(files[0].content, `A=${canary}\n`);
  assert.equal(files[1].content, "AP/+");
  assert.ok(files[2].content === large.toString());
  assert.equal(files[3].content, "dropped");
});

await state("too-much", {}, async (page, t) => {
  await t.goto((await ask("files")).url);
  await send(page).waitFor();
  await page.evaluate(`{
    const data = new DataTransfer();
    for (let i = 0; i < 21; i++) data.items.add(new File(["x"], "f" + i));
    document.getElementById("files").files = data.files;
    document.getElementById("files").dispatchEvent(new Event("change"));
  }`);
  await t.shows("These are 21 files. At most 20 can be sent.");
  await send(page).click();
  assert.equal(await page.evaluate("document.activeElement.id"), "files");
  for (let i = 0; i < 20; i++) await page.getByRole("button", { name: /Remove/ }).last().click();
  assert.equal(await page.getByText("These are").isVisible(), false);
  await page.evaluate(`{
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(52500000)], "big"));
    document.getElementById("files").files = data.files;
    document.getElementById("files").dispatchEvent(new Event("change"));
  }`);
  await t.shows("These files have 52.5 MB together. At most 52.4 MB can be sent.");
});

await state("wrong-link", {}, async (page, t) => {
  const asked = await ask("secret"), [bare, key] = asked.url.split("#p=");
  const refused = async (words) => {
    await t.shows(words);
    await t.shows("Nothing has been sent.");
    assert.equal(await send(page).isVisible(), false);
    assert.equal(await page.locator("#compare").isVisible(), false);
  };
  await t.goto(bare);
  await refused("The last part of the link is missing");
  await t.look("no-key");
  for (const fragment of [`p=${key.slice(0, 42)}`, `p=${key}A`, `P=${key}`, `p=${key.slice(0, 42)}+`, `k=${key}`, `p=${"A".repeat(43)}`]) {
    await page.goto(`${bare}#${fragment}`); // the page stays, and notices
    await refused("is not whole");
  }
  await page.goto(asked.url);
  await field(page, "STRIPE_KEY").fill(canary);
  await page.goto(`${bare}#`);
  await refused("The last part of the link is missing");
  await page.goto(asked.url);
  await send(page).click();
  await t.title("Sent");
  assert.deepEqual((await opened(asked)).values, { STRIPE_KEY: canary });
});

await state("swapped-key", {}, async (page, t) => {
  const asked = await ask("secret"), other = await ask("secret");
  await t.goto(`${asked.url.split("#")[0]}#${other.url.split("#")[1]}`);
  await send(page).waitFor();
  assert.equal(await page.locator("#print").textContent(), other.fingerprint);
  await field(page, "STRIPE_KEY").fill(canary);
  await send(page).click();
  await t.title("Sent");
  assert.deepEqual(await opened(asked), { status: "does not open" });
});

await state("changed-message", {}, async (page, t) => {
  const asked = await ask("changed");
  await t.goto(asked.url);
  await t.shows("The key for production.");
  await field(page, "STRIPE_KEY").fill(canary);
  await send(page).click();
  await t.title("Sent");
  assert.deepEqual(await opened(asked), { status: "does not open" });
});

await state("insecure", { anywhere: true, expected: [/Cross-Origin-Opener-Policy header has been ignored/] }, async (page, t) => {
  await t.goto((await ask("secret")).url.replace("127.0.0.1", "relay.test"));
  await t.shows("Your browser encrypts only on a page that came over https");
  await t.shows('kubbi-mcp answer "the whole link"');
  assert.equal(await send(page).isVisible(), false);
  await t.look("page");
});

await state("old-browser", {}, async (page, t) => {
  await page.addInitScript(`{
    const make = crypto.subtle.generateKey.bind(crypto.subtle);
    crypto.subtle.generateKey = async (a, ...more) => { if (a === "X25519") throw new DOMException("", "NotSupportedError"); return make(a, ...more); };
  }`);
  await t.goto((await ask("secret")).url);
  await t.shows("Your browser is too old to seal an answer.");
  assert.equal(await send(page).isVisible(), false);
});

await state("second", { expected: [/status of 409/] }, async (page, t) => {
  const asked = await ask("secret");
  await t.goto(asked.url);
  await field(page, "STRIPE_KEY").fill(canary);
  const first = await page.context().newPage();
  await first.goto(asked.url);
  await field(first, "STRIPE_KEY").fill(`${canary} first`);
  await send(first).click();
  await sent(first, asked.url);
  await send(page).click();
  await t.title("Already answered");
  assert.deepEqual((await opened(asked)).values, { STRIPE_KEY: `${canary} first` });
});

await state("lost-once", { expected: [/net::ERR_EMPTY_RESPONSE/] }, async (page, t) => {
  const asked = await ask("lost-once");
  await t.goto(asked.url);
  await field(page, "STRIPE_KEY").fill(canary);
  await send(page).click();
  await sent(page, asked.url);
  assert.deepEqual((await opened(asked)).values, { STRIPE_KEY: canary });
});

for (const change of ["", " changed"]) {
  await state(`lost${change}`, { expected: [/net::ERR_EMPTY_RESPONSE/, /status of 409/] }, async (page, t) => {
    const asked = await ask("lost");
    await t.goto(asked.url);
    await field(page, "STRIPE_KEY").fill(canary);
    await send(page).click();
    await t.shows("The connection broke. What you entered is still here");
    assert.equal(await field(page, "STRIPE_KEY").inputValue(), canary);
    if (change) await field(page, "STRIPE_KEY").fill(canary + change);
    await fetch(`${site}/find`);
    await send(page).click();
    await sent(page, asked.url);
    assert.equal(await page.getByText("before your last change").count(), change ? 1 : 0);
    assert.deepEqual((await opened(asked)).values, { STRIPE_KEY: canary });
  });
}

await state("lost-for-long", { expected: [/net::ERR_EMPTY_RESPONSE/, /status of 409/] }, async (page, t) => {
  const asked = await ask("lost");
  await t.goto(asked.url);
  await field(page, "STRIPE_KEY").fill(canary);
  await send(page).click();
  await t.shows("The connection broke.");
  await fetch(`${site}/find?later`); // the relay has forgotten the attempt
  await send(page).click();
  await t.title("Answered");
  await t.shows("Most likely it is yours");
  assert.ok(!(await page.content()).includes(canary));
  assert.deepEqual((await opened(asked)).values, { STRIPE_KEY: canary });
});

// An attempt that was lost on its way is not taken for an answer.
await state("withdrawn-meanwhile", { expected: [/net::ERR_EMPTY_RESPONSE/, /status of 410/] }, async (page, t) => {
  const asked = await ask("unreachable");
  await t.goto(asked.url);
  await field(page, "STRIPE_KEY").fill(canary);
  await send(page).click();
  await t.shows("The connection broke.");
  await fetch(`${site}/find?${asked.id}`);
  await send(page).click();
  await t.title("Withdrawn");
});

await state("too-late", {}, async (page, t) => {
  await page.clock.install();
  await t.goto((await ask("secret")).url);
  await field(page, "STRIPE_KEY").fill(canary);
  await page.clock.fastForward("59:30");
  await t.shows(/^(1?\d|2\d|30) s left$/);
  await page.clock.fastForward("01:00");
  await t.title("Too late");
  assert.ok(!(await page.content()).includes(canary));
  assert.equal(await page.locator("input").count(), 0);
});

for (const [kind, status, words] of [["expired", 410, "The time is up"], ["answered", 409, "Already answered"], ["withdrawn", 410, "Withdrawn"], ["unknown", 404, "There is nothing here"]]) {
  await state(kind, { expected: [new RegExp(`status of ${status}`)] }, async (page, t) => {
    await t.goto((await ask(kind)).url, status);
    await t.title(words);
    assert.equal(await page.locator("form").count(), 0);
  });
}

await state("without-scripts", { js: false }, async (page, t) => {
  await t.goto((await ask("secret")).url);
  await t.shows("which needs JavaScript");
  await t.shows('kubbi-mcp answer "the whole link"');
  assert.equal(await send(page).isVisible(), false);
  await t.look("page");
});

await done();
