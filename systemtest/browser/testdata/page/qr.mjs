// Draws QR codes with the front page's own code, outside of a browser, and reads them with
// jsQR: what comes in on stdin, the script's files named on the command line.
import { readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";

const jsQR = createRequire(join(dirname(process.env.KUBBI_PAGE), "qr.mjs"))("jsqr");
const [dir, ...files] = process.argv.slice(2);
const code = await Promise.all(files.map((f) => readFile(f, "utf8")));
const whole = join(dir, "page.mjs");
await writeFile(whole, `${code.join("")}\nexport { qrCode };\n`);
const { qrCode } = await import(pathToFileURL(whole));

const scale = 3, around = 4;

// read reads a code as a camera would.
function read(grid) {
  const side = (grid.length + 2 * around) * scale, pixels = new Uint8ClampedArray(side * side * 4).fill(255);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const dark = grid[Math.floor(y / scale) - around]?.[Math.floor(x / scale) - around];
      if (dark) pixels.fill(0, (y * side + x) * 4, (y * side + x) * 4 + 3);
    }
  }
  return jsQR(pixels, side, side)?.binaryData ?? [];
}

let input = "";
for await (const piece of process.stdin) input += piece;
process.stdout.write(JSON.stringify(JSON.parse(input).map((base64) => {
  const grid = qrCode(Buffer.from(base64, "base64"));
  return grid ? { side: grid.length, read: Buffer.from(read(grid)).toString("base64") } : { side: 0, read: "" };
})));
