// Opens claim pages in Chromium.
import assert from "node:assert/strict";
import { done, inspect, site, state } from "./browser.mjs";

const text = "The door code is 4711.\n\n<img src=x onerror=alert(1)> & \"quotes\"\nžluťoučký kůň 🐎\nphoto_\u202egnp.exe\n";
const json = '{"order":20260328,"price":1.50,"big":12345678901234567890,"paid":true,"note":null,"lines":[{"name":"Tea, \\"green\\"","count":2},{"name":"Cups","count":4}],"empty":{}}';

async function make(kind) {
  const answer = await fetch(`${site}/make/${kind}`);
  assert.equal(answer.status, 200, kind);
  return (await answer.json()).url;
}

async function gone(url) {
  assert.equal((await inspect(url)).error, "gone");
}

await state("text", { expected: [/status of 410/] }, async (page, t) => {
  const url = await make("text");
  await t.open(url);
  await t.title("Somebody has sent you a text");
  await t.shows("It is shown once, and then erased.");
  await t.shows(/59 min \d+ s left/);
  await t.look("preview");
  for (let i = 0; i < 3; i++) await page.reload();
  assert.equal((await inspect(url)).retrieval_count, 0);
  await t.press();
  await t.title("Here it is");
  await t.shows("Burned.");
  assert.equal(await page.locator("pre").textContent(), text.replace("\u202e", "⟦U+202E⟧"));
  assert.equal(await page.locator("pre img").count(), 0);
  await page.getByRole("button", { name: "Copy" }).click();
  await page.getByRole("button", { name: "Copied" }).waitFor();
  assert.equal(await t.clipboard(), text);
  await page.getByRole("button", { name: "Copy", exact: true }).waitFor();
  await t.save(page.getByRole("link", { name: "Save" }));
  await t.look("opened");
  await gone(url);
  await page.reload();
  await t.title("Already opened");
});

await state("short", {}, async (page, t) => {
  await t.open(await make("sealed-short"));
  await t.shows("the <b>deploy</b> bot");
  await t.shows("[1,2]");
  assert.equal(await page.locator("dd b").count(), 0);
  assert.equal(await page.getByText("Kept by").isVisible(), true);
  assert.equal(await page.locator("#until").evaluate((e) => e.getClientRects().length), 1, "the time wraps");
  await t.look("preview");
  await t.press();
  await t.title("Here it is");
  assert.ok(!(await page.content()).includes("hunter2"));
  await page.getByRole("button", { name: "Copy" }).click();
  await page.getByRole("button", { name: "Copied" }).waitFor();
  assert.equal(await t.clipboard(), "hunter2 \u00e9");
  await t.look("hidden");
  await page.getByText("Show it", { exact: true }).focus();
  await page.keyboard.press("Enter");
  await page.locator("pre").waitFor();
  assert.equal(await page.locator("pre").textContent(), "hunter2 \u00e9");
});

await state("plain-short", { js: false }, async (page, t) => {
  await t.open(await make("short"));
  await t.shows("the <b>deploy</b> bot");
  await t.press();
  await t.title("Here it is");
  assert.equal(await page.locator("pre").isVisible(), false);
  await page.getByText("Show it", { exact: true }).click();
  assert.equal(await page.locator("pre").textContent(), "hunter2 \u00e9");
});

await state("keyboard", {}, async (page, t) => {
  const url = await make("thrice");
  await t.open(url);
  await t.shows("You can open it 3 times more before it is erased.");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate("document.activeElement.id"), "open");
  await page.keyboard.press("Enter");
  await t.title("Here it is");
  assert.equal(await page.evaluate("document.activeElement.id"), "result-title");
  await t.shows(/^It can be opened twice more, until /);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate("document.activeElement.textContent"), "Copy");
  assert.equal((await inspect(url)).retrieval_count, 1);
});

await state("json", {}, async (page, t) => {
  await t.open(await make("json"));
  await t.title("Somebody has sent you some data");
  await t.press();
  await t.title("Here it is");
  const tree = page.locator(".tree");
  await t.shows("12345678901234567890");
  assert.equal(await tree.locator("details").count(), 5);
  const lines = tree.locator("details", { has: page.locator("> summary", { hasText: "lines" }) }).last();
  await lines.locator("> summary").focus();
  await page.keyboard.press("Enter");
  assert.equal(await lines.getAttribute("open"), null);
  await page.keyboard.press("Space");
  assert.equal(await lines.getAttribute("open"), "");
  assert.equal(await tree.locator(".number").first().textContent(), "20260328");
  assert.ok((await tree.textContent()).includes("price: 1.50"));
  await t.look("opened");
  await page.getByText("As text").click();
  await t.shows('"name": "Tea, \\"green\\""');
  await page.getByRole("button", { name: "Copy" }).click();
  await page.getByRole("button", { name: "Copied" }).waitFor();
  assert.equal(await t.clipboard(), json);
  await t.save(page.getByRole("link", { name: "Save" }));
});

async function packageShown(page, t) {
  await t.title("Here are your 7 files");
  const image = page.getByRole("img", { name: "The image chart.png" });
  await image.waitFor();
  assert.equal(await image.evaluate((e) => e.decode().then(() => e.naturalWidth)), 360);
  assert.equal(await page.getByRole("heading", { name: "Not a page" }).count(), 0);
  assert.equal(await page.locator("main svg, main script").count(), 0);
  await t.shows("<script>alert(1)</script><h1>Not a page</h1>");
  await t.shows("It is empty.");
  await t.shows("It can't be shown here.");
  await t.save(page.getByRole("link", { name: "Save all as a zip file" }));
  await t.save(page.getByRole("link", { name: "Save README.md" }));
  await t.save(page.getByRole("link", { name: "Save chart.png" }));
}

await state("package", {}, async (page, t) => {
  const url = await make("package");
  await t.open(url);
  await t.title("Somebody has sent you 7 files");
  await t.shows("They are shown once, and then erased.");
  await t.shows("drawing.svg");
  await t.look("preview");
  await t.press();
  await packageShown(page, t);
  await page.getByRole("button", { name: "Copy chart.png" }).click();
  await page.getByRole("button", { name: "Copied chart.png" }).waitFor();
  assert.deepEqual(await page.evaluate("navigator.clipboard.read().then((items) => items[0].types)"), ["image/png"]);
  await t.look("opened");
  await gone(url);
});

await state("phone", { width: 320, height: 640 }, async (page, t) => {
  await t.open(await make("package"));
  await t.look("preview");
  await t.press();
  await t.title("Here are your 7 files");
  await page.getByRole("img").first().waitFor();
  await t.look("opened");
});

await state("large", {}, async (page, t) => {
  await t.open(await make("large"));
  assert.equal(await page.getByText("without JavaScript").count(), 0);
  await t.press();
  await t.title("Here are your 8 files");
});

await state("sealed-text", {}, async (page, t) => {
  const url = await make("sealed-text");
  await t.open(url);
  await t.title("Somebody has sent you something secret");
  await t.button().waitFor();
  await t.look("preview");
  await t.press();
  await t.title("Here it is");
  assert.equal(await page.locator("pre").textContent(), text.replace("\u202e", "⟦U+202E⟧"));
  await t.save(page.getByRole("link", { name: "Save" }));
  await t.look("opened");
  assert.equal(page.url(), url, "the link has lost its key");
  assert.equal(await page.evaluate("localStorage.length + sessionStorage.length + document.cookie.length"), 0);
  await gone(url);
});

await state("sealed-package", {}, async (page, t) => {
  const url = await make("sealed-package");
  await t.open(url);
  await t.title("Somebody has sent you something secret");
  await t.shows("nobody else can see");
  await t.press();
  await packageShown(page, t);
  await gone(url);
});

await state("sealed-json", {}, async (page, t) => {
  await t.open(await make("sealed-json"));
  await t.press();
  await t.title("Here it is");
  await page.getByRole("button", { name: "Copy" }).click();
  await page.getByRole("button", { name: "Copied" }).waitFor();
  assert.equal(await t.clipboard(), json);
});

await state("wrong-key", {}, async (page, t) => {
  const url = await make("sealed-text"), [bare, key] = url.split("#k=");
  const refused = async (words) => {
    await t.shows(words);
    await t.shows("Nothing has been opened.");
    assert.equal(await t.button().isVisible(), false);
    assert.equal((await inspect(url)).retrieval_count, 0);
  };
  await t.open(bare);
  await refused("The last part of the link is missing");
  await t.look("no-key");
  const other = (await make("sealed-text")).split("#k=")[1];
  for (const [fragment, words] of [
    [`k=${other}`, "The key in this link is not the one for this."], [`k=${key.slice(0, 42)}`, "is not whole"],
    [`k=${key}A`, "is not whole"], [`K=${key}`, "is not whole"], [`k=${key.slice(0, 42)}+`, "is not whole"],
  ]) {
    await page.goto(`${bare}#${fragment}`); // the page stays, and notices
    await refused(words);
  }
  await t.look("wrong-key");
  await page.goto(url);
  await t.press();
  await t.title("Here it is");
});

await state("not-sealed", {}, async (page, t) => {
  const url = await make("text"), key = (await make("sealed-text")).split("#")[1];
  await t.open(`${url}#${key}`);
  await t.shows("what it leads to is not sealed");
  assert.equal(await t.button().isVisible(), false);
  assert.equal((await inspect(url)).retrieval_count, 0);
});

await state("recipient", {}, async (page, t) => {
  const url = await make("recipient"), refused = "This is sealed for the key of whoever it was sent to";
  await t.open(url);
  await t.shows(refused);
  await t.look("page");
  await page.goto(`${url}#i=${"A".repeat(86)}`); // as the asker of a request has it
  await t.shows(refused);
  assert.equal(await t.button().isVisible(), false);
});

await state("changed", {}, async (page, t) => {
  await t.open(await make("sealed-changed"));
  await t.press();
  await t.shows("What came can't be opened");
  assert.equal(await page.getByText("Nothing has been opened").isVisible(), false);
  await t.look("changed");
  await t.press(); // the relay still has it, for this page
  await t.title("Here it is");
  await t.shows("Burned.");
});

await state("lost", { expected: [/net::ERR_EMPTY_RESPONSE/] }, async (page, t) => {
  const url = await make("lost");
  await t.open(url);
  await t.press();
  await t.title("Here it is");
  await t.shows("Burned.");
  await gone(url);
});

for (const [kind, status, words] of [["expired", 410, "Too late"], ["burned", 410, "Already opened"], ["deleted", 410, "Taken back"], ["unknown", 404, "There is nothing here"]]) {
  await state(kind, { expected: [new RegExp(`status of ${status}`)] }, async (page, t) => {
    await t.open(await make(kind), status);
    await t.title(words);
    await t.look("page");
    assert.equal(await t.button().count(), 0);
  });
}

await state("taken-meanwhile", { expected: [/status of 410/] }, async (page, t) => {
  const url = await make("text");
  await t.open(url);
  assert.equal((await fetch(`${url}/claim`, { method: "POST" })).status, 200);
  await t.press();
  await t.title("Already opened");
});

await state("time-is-up", {}, async (page, t) => {
  await page.clock.install();
  await t.open(await make("text"));
  await page.clock.fastForward("59:30");
  await t.shows(/^(1?\d|2\d|30) s left$/);
  await page.clock.fastForward("01:00");
  await t.shows("Too late: the time for this link has passed");
  assert.equal(await t.button().isVisible(), false);
  await t.look("page");
});

await state("plain-text", { js: false }, async (page, t) => {
  const url = await make("text");
  await t.open(url);
  await t.title("Somebody has sent you a text");
  await t.press();
  await t.title("Here it is");
  await t.shows("Burned.");
  assert.equal(await page.locator("pre").textContent(), text.replace("\u202e", "⟦U+202E⟧"));
  await t.save(page.getByRole("link", { name: "Save" }));
  await t.look("opened");
});

await state("plain-json", { js: false }, async (page, t) => {
  await t.open(await make("json"));
  await t.press();
  await t.title("Here it is");
  await t.shows("12345678901234567890");
  await page.getByText("lines", { exact: true }).click();
  await t.look("opened");
});

await state("plain-package", { js: false }, async (page, t) => {
  await t.open(await make("package"));
  await t.look("preview");
  await t.press();
  await packageShown(page, t);
  await t.look("opened");
});

await state("plain-large", { js: false }, async (page, t) => {
  await t.open(await make("large"));
  await t.shows("without JavaScript your browser saves it as one zip file");
  await t.save(t.button());
});

await state("plain-sealed", { js: false }, async (page, t) => {
  const url = await make("sealed-text");
  await t.open(url);
  await t.shows("needs JavaScript");
  await t.shows('kubbi-mcp claim "the whole link"');
  assert.equal(await t.button().isVisible(), false);
  await t.look("page");
});

for (const [kind, status, words] of [["unknown", 404, "There is nothing here"], ["burned", 410, "Already opened"]]) {
  await state(`plain-${kind}`, { js: false, expected: [new RegExp(`status of ${status}`)] }, async (page, t) => {
    await t.open(await make(kind), status);
    await t.title(words);
  });
}

await done();
