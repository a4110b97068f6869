// Runs the states of pages in Chromium, with the page's own policy in force: any console
// message is a fault. axe-core looks at the page, light and dark.
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { join, dirname } from "node:path";
import process from "node:process";

export const { KUBBI_SITE: site, KUBBI_OUT: out } = process.env;
const { KUBBI_CHROMIUM: executablePath, KUBBI_SCREENSHOTS: shots, KUBBI_PAGE: modules, KUBBI_STATE: only } = process.env;
const require = createRequire(join(dirname(modules), "check.mjs"));
export const load = (name) => require(name);
const { chromium } = load("playwright-core");
const axe = load("axe-core");

const args = ["--host-resolver-rules=MAP *.test 127.0.0.1"];
if (process.getuid() === 0) args.push("--no-sandbox");
const browser = await chromium.launch({ executablePath, args });
if (shots) await mkdir(shots, { recursive: true });

let passed = 0, failed = 0;

// late ends a state that would never end.
const late = () => new Promise((_, fail) => { setTimeout(() => fail(new Error("it takes too long")), 90_000).unref(); });

// state runs steps. expected are console messages that belong to it; anywhere allows
// requests to other origins. KUBBI_STATE names one state, which then runs alone.
export async function state(name, options, steps) {
  const { js = true, width = 900, height = 900, expected = [], anywhere = false } = options;
  if (only && only !== name) return;
  const start = Date.now();
  const faults = [];
  const context = await browser.newContext({
    javaScriptEnabled: js, viewport: { width, height }, locale: "en-GB", timezoneId: "UTC", colorScheme: "light", reducedMotion: "reduce",
  });
  context.setDefaultTimeout(30_000);
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: site });
  const page = await context.newPage();
  const tools = new Tools(name, page, js);
  page.on("console", (m) => {
    if (["error", "warning"].includes(m.type()) && !tools.examining && !expected.some((e) => e.test(m.text()))) faults.push(`console: ${m.text()}`);
  });
  page.on("pageerror", (e) => faults.push(`error: ${e.message}`));
  page.on("dialog", (d) => { faults.push("a dialog"); d.dismiss(); });
  page.on("request", (r) => {
    const url = new URL(r.url());
    if (!["data:", "blob:"].includes(url.protocol) && url.origin !== site && !anywhere) faults.push(`request to ${url.origin}`);
  });
  try {
    await Promise.race([steps(page, tools), late()]);
    assert.deepEqual(faults, []);
    passed++;
    console.log(`ok ${name}, ${Date.now() - start} ms`);
  } catch (e) {
    failed++;
    console.log(`FAILED ${name}: ${e.stack}\n${faults.join("\n")}`);
    if (shots) await page.screenshot({ path: join(shots, `FAILED-${name}.png`), timeout: 5000 }).catch(() => {});
  }
  await context.close();
}

// withScripts gives a page that looks the same, where axe-core can run.
async function withScripts(page) {
  const context = await browser.newContext({ bypassCSP: true, viewport: page.viewportSize(), reducedMotion: "reduce" });
  const twin = await context.newPage();
  await twin.setContent((await page.content()).replace(/<script[^]*<\/script>/, ""));
  page.on("close", () => context.close().catch(() => {}));
  return twin;
}

class Tools {
  constructor(name, page, js) {
    Object.assign(this, { name, page, js, examining: false });
  }

  // look checks width and ground, and lets axe-core look for faults. The policy may forbid
  // what axe-core does: meanwhile console messages are no faults.
  async look(label) {
    const { page } = this;
    const examined = this.js ? page : await withScripts(page);
    for (const colorScheme of ["dark", "light"]) {
      await page.emulateMedia({ colorScheme });
      const wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
      assert.ok(wide <= 0, `${label} is ${wide} px too wide`);
      const ground = await page.evaluate("getComputedStyle(document.body).backgroundColor");
      assert.equal(ground, colorScheme === "dark" ? "rgb(21, 23, 27)" : "rgb(244, 243, 239)");
      if (shots) await page.screenshot({ path: join(shots, `${this.name}-${label}-${colorScheme}.png`) });

      this.examining = true;
      await examined.emulateMedia({ colorScheme });
      const dark = colorScheme === "dark"; // it comes first, and only colours differ
      if (dark) await examined.evaluate(axe.source);
      const { violations, passes } = await examined.evaluate(dark ? 'axe.run({ runOnly: ["color-contrast"] })' : "axe.run()");
      this.examining = false;
      assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" ")}`), [], `${label}, ${colorScheme}`);
      assert.ok(passes.length > (dark ? 0 : 10), `axe looked at ${passes.length} things`);
    }
  }

  async save(link) {
    const [download] = await Promise.all([this.page.waitForEvent("download"), link.click()]);
    await download.saveAs(join(out, this.name, download.suggestedFilename()));
  }

  async shows(words) {
    await this.page.getByText(words).first().waitFor();
  }

  async title(words) {
    await this.page.getByRole("heading", { level: 1, name: words, exact: true }).waitFor();
  }

  async goto(url, status = 200) {
    const answer = await this.page.goto(url);
    assert.equal(answer.status(), status);
  }

  // open goes to a claim page and checks that this counted nothing.
  async open(url, status = 200) {
    await this.goto(url, status);
    if (status === 200) assert.equal((await inspect(url)).retrieval_count, 0);
  }

  button() {
    return this.page.locator("#open");
  }

  async press() {
    await this.button().click();
  }

  clipboard() {
    return this.page.evaluate("navigator.clipboard.readText()");
  }
}

export const inspect = async (url) => (await fetch(`${url.split("#")[0]}/inspect`)).json();

// done ends the browser and says how it went.
export async function done() {
  await browser.close();
  console.log(`${passed} states passed, ${failed} failed`);
  process.exit(failed ? 1 : 0);
}
