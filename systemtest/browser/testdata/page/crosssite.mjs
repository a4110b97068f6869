// Has Chromium open pages of another site, which send claims to a relay in every
// way that a page has without being asked for leave, and then opens the claim
// page itself. The test looks at the relay afterwards.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import process from "node:process";

const { KUBBI_CASES: cases, KUBBI_CHROMIUM: executablePath, KUBBI_PAGE: modules } = process.env;
const { chromium } = createRequire(join(dirname(modules), "crosssite.mjs"))("playwright-core");

const args = ["--host-resolver-rules=MAP *.test 127.0.0.1"];
if (process.getuid() === 0) args.push("--no-sandbox");
const browser = await chromium.launch({ executablePath, args });

const form = (type, more = "") => (to) => `<form method="post" enctype="${type}" action="${to}"><input name="key" value="k"></form>${more}<script>document.forms[0].submit()</script>`;
const attacks = {
  "text/plain form": form("text/plain"),
  "multipart form": form("multipart/form-data"),
  "urlencoded form": form("application/x-www-form-urlencoded"),
  "form without a referrer": (to) => `<meta name="referrer" content="no-referrer">${form("text/plain")(to)}`,
  "form like the page's own": (to) => `<meta name="referrer" content="no-referrer">${form("application/x-www-form-urlencoded")(to)}`,
  "no-cors fetch": (to) => `<script>fetch("${to}", { method: "POST", mode: "no-cors", body: "x" })</script>`,
  "fetch without a referrer": (to) => `<script>fetch("${to}", { method: "POST", mode: "no-cors", referrerPolicy: "no-referrer" })</script>`,
  beacon: (to) => `<script>navigator.sendBeacon("${to}", "x")</script>`,
};

// The other site is a server of its own: Chromium would keep a page without an
// address away from this machine by itself.
let evilPage = "";
const server = createServer((_, answer) => answer.setHeader("Content-Type", "text/html").end(evilPage));
await new Promise((done) => { server.listen(0, "127.0.0.1", done); });
const evil = `http://evil.test:${server.address().port}`;

let sentOut = 0, opened = 0;
for (const { name, url, scripted, plain } of JSON.parse(cases)) {
  for (const [attack, html] of Object.entries(attacks)) {
    const context = await browser.newContext();
    const page = await context.newPage();
    evilPage = html(`${url}/claim`);
    const sent = context.waitForEvent("request", { predicate: (r) => r.url() === `${url}/claim`, timeout: 20_000 });
    await page.goto(`${evil}/`, { waitUntil: "commit" });
    const request = await sent;
    const answer = await request.response(); // null where the page is not shown one
    const { origin, "sec-fetch-site": site } = await request.allHeaders();
    console.log(`${name}, ${attack}: ${answer?.status() ?? request.failure()?.errorText}, Origin ${origin}, Sec-Fetch-Site ${site}`);
    assert.equal(request.method(), "POST");
    if (answer) assert.equal(answer.status(), 400);
    sentOut++;
    await context.close();
  }
  for (const [link, javaScriptEnabled] of [[scripted, true], [plain, false]]) {
    const context = await browser.newContext({ javaScriptEnabled });
    const page = await context.newPage();
    page.on("request", (r) => {
      if (r.headers().referer?.includes("/r/")) console.log(`FAILED: a Referer has the claim URL: ${r.method()}`);
    });
    await page.goto(link);
    await page.getByRole("button", { name: "Show it now" }).click();
    await page.getByText("Burned.").waitFor({ timeout: 20_000 });
    await page.getByText("Show it", { exact: true }).click(); // a single line may be a password
    await page.getByText("the content", { exact: true }).waitFor();
    opened++;
    await context.close();
  }
}
await browser.close();
server.close();
console.log(`${sentOut} attacks sent, ${opened} pages opened`);
