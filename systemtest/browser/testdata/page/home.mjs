// Sends from the front page of relays in Chromium, and opens what came of it.
import assert from "node:assert/strict";
import process from "node:process";
import { done, load, site, state } from "./browser.mjs";

const jsQR = load("jsqr");
const { KUBBI_TEAM: team, KUBBI_KEY: key } = process.env;
const canary = "canary-5f0c1d";

const opened = async (link) => (await fetch(`${site}/claim`, { method: "POST", body: link })).json();
const send = (page) => page.getByRole("button", { name: "Seal and make a link" });

// linkOf checks the result, and gives the link.
async function linkOf(page) {
  await page.getByRole("heading", { level: 2, name: "Here is the link", exact: true }).waitFor();
  assert.equal(await page.evaluate("document.activeElement.id"), "result-title");
  assert.equal(await page.locator("textarea, form, input[type=password]").count(), 0);
  assert.ok(!(await page.content()).includes(canary));
  const link = await page.getByLabel("The link", { exact: true }).inputValue();
  assert.match(link, /\/r\/[A-Za-z0-9_-]{43}#k=[A-Za-z0-9_-]{43}$/);
  return link;
}

// scanned reads the QR code as a camera would.
async function scanned(page) {
  const { pixels, side } = await page.getByRole("img", { name: "QR code of the link" }).evaluate(async (svg) => {
    const copy = svg.cloneNode(true), side = 300, image = new Image();
    copy.setAttribute("width", side);
    copy.setAttribute("height", side);
    image.src = `data:image/svg+xml,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}`;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = side;
    const context = canvas.getContext("2d");
    context.fillStyle = getComputedStyle(svg).backgroundColor;
    context.fillRect(0, 0, side, side);
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, side, side);
    return { pixels: Array.from({ length: side * side }, (_, i) => String.fromCharCode(data[4 * i])).join(""), side };
  });
  const data = Uint8ClampedArray.from({ length: 4 * side * side }, (_, i) => pixels.charCodeAt(i >> 2));
  return jsQR(data, side, side)?.data;
}

await state("text", {}, async (page, t) => {
  await t.goto(`${site}/`);
  await t.title("kubbi-mcp on this machine");
  await send(page).waitFor();
  await t.look("empty");
  await send(page).click();
  await t.shows("There is nothing to send");
  assert.equal(await page.evaluate("document.activeElement.id"), "text");
  await t.look("nothing");
  await page.keyboard.type(`${canary}\né🐎`);
  await page.getByLabel("Can be opened").selectOption("3 times");
  await send(page).focus();
  await page.keyboard.press("Enter");
  const link = await linkOf(page);
  await t.shows("Whoever has it can open what you sent 3 times, until ");
  await t.look("link");
  assert.equal(await scanned(page), link);
  await page.getByRole("button", { name: "Copy the link" }).click();
  await page.getByRole("button", { name: "Copied" }).waitFor();
  assert.equal(await t.clipboard(), link);
  assert.deepEqual(await opened(link), { content: `${canary}\né🐎`, remaining: 2 });
  await page.getByRole("button", { name: "Send something else" }).click();
  await send(page).waitFor();
  assert.equal(await page.locator("#text").inputValue(), "");
});

await state("files", { width: 320, height: 640 }, async (page, t) => {
  await t.goto(`${site}/`);
  await send(page).waitFor();
  await page.locator("#files").setInputFiles([{ name: "raw.bin", mimeType: "", buffer: Buffer.from([0, 255]) }]);
  await page.getByLabel("A text").fill(canary);
  await t.look("chosen");
  await send(page).click();
  const link = await linkOf(page);
  await t.look("link");
  assert.deepEqual(await opened(link), { files: { "message.txt": canary, "raw.bin": "AP8=" }, remaining: 0 });
});

await state("team", { anywhere: true, expected: [/status of 401/] }, async (page, t) => {
  await t.goto(`${team}/`);
  await t.title("The <b>team");
  await t.shows("Questions go to #help.");
  await t.shows(`"KUBBI_BASE_URL": "${team}"`);
  await page.getByLabel("A text").fill(canary);
  await send(page).click();
  await t.shows("The API key is missing.");
  assert.equal(await page.evaluate("document.activeElement.id"), "key");
  await page.keyboard.type("kb_wrong");
  await page.keyboard.press("Enter");
  await t.shows("this API key is wrong, expired or revoked");
  await t.look("wrong-key");
  await page.locator("#key").fill(key);
  await send(page).click();
  const link = await linkOf(page);
  assert.ok(link.startsWith(`${team}/r/`));
  assert.deepEqual(await opened(link), { content: canary, remaining: 0 });
});

await state("without-scripts", { js: false }, async (page, t) => {
  await t.goto(`${site}/`);
  await t.shows("which needs JavaScript");
  assert.equal(await send(page).isVisible(), false);
  await t.look("page");
});

await done();
