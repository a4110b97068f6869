// QR codes (ISO/IEC 18004) of bytes, with error correction level M, in versions 1 to 20. A
// link may have 666 bytes. A key that leaves the page could be drawn elsewhere; so it is here.

// By version: blocks of codewords, and check codewords of each.
const qrBlocks = [1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16];
const qrChecks = [10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26];

// qrPlaces are the rows and columns of the alignment patterns.
function qrPlaces(version) {
  if (version === 1) return [];
  const count = Math.floor(version / 7) + 2, last = version * 4 + 10;
  const step = Math.ceil((last - 6) / (count - 1) / 2) * 2;
  return [6, ...Array.from({ length: count - 1 }, (_, i) => last - step * (count - 2 - i))];
}

// qrCodewords is how many codewords a version has room for.
function qrCodewords(version) {
  const size = version * 4 + 17, places = qrPlaces(version).length;
  const patterns = places && places ** 2 * 25 - 3 * 25 - (places - 2) * 2 * 5; // those on a timing line share 5 modules with it
  return Math.floor((size ** 2 - 3 * 64 - 2 * (size - 16) - 31 - patterns - (version > 6 ? 36 : 0)) / 8);
}

// qrCheck gives the check codewords of a block: the rest of a division in GF(256).
function qrCheck(data, count) {
  const times = (a, b) => {
    let product = 0;
    for (let bit = 7; bit >= 0; bit--) product = (product << 1) ^ (product >> 7) * 0x11d ^ (b >> bit & 1) * a;
    return product;
  };
  let divisor = [1];
  for (let i = 0, root = 1; i < count; i++, root = times(root, 2)) {
    divisor = [...divisor, 0].map((c, at) => c ^ (at > 0 ? times(divisor[at - 1], root) : 0));
  }
  const rest = [...data, ...Array(count).fill(0)];
  for (let i = 0; i < data.length; i++) {
    const factor = rest[i];
    divisor.forEach((c, at) => { rest[i + at] ^= times(c, factor); });
  }
  return rest.slice(data.length);
}

// qrBits gives the bits of all codewords, in the order in which they are drawn.
function qrBits(data, version) {
  const blocks = qrBlocks[version - 1], checks = qrChecks[version - 1], all = qrCodewords(version);
  const room = all - blocks * checks;
  const bits = [0b0100n, BigInt(data.length)].map((n, i) => n.toString(2).padStart(i === 0 ? 4 : version < 10 ? 8 : 16, "0")).join("") +
    [...data].map((b) => b.toString(2).padStart(8, "0")).join("");
  const words = (bits + "0000").slice(0, room * 8).match(/.{1,8}/g).map((b) => parseInt(b.padEnd(8, "0"), 2));
  for (let pad = 0xec; words.length < room; pad ^= 0xec ^ 0x11) words.push(pad);
  const parts = [], check = [];
  for (let i = 0, at = 0; i < blocks; i++) {
    const length = Math.floor(room / blocks) + (i < blocks - room % blocks ? 0 : 1);
    parts.push(words.slice(at, at += length));
    check.push(qrCheck(parts[i], checks));
  }
  const woven = (lists) => lists.at(-1).flatMap((_, at) => lists.map((l) => l[at]).filter((w) => w !== undefined));
  return [...woven(parts), ...woven(check)].map((w) => w.toString(2).padStart(8, "0")).join("");
}

// qrRemainder appends the rest of a division in GF(2) to a number.
function qrRemainder(number, divisor) {
  const bits = divisor.toString(2).length - 1;
  let rest = number << bits;
  for (let at = number.toString(2).length - 1; at >= 0; at--) if (rest >> (at + bits) & 1) rest ^= divisor << at;
  return number << bits | rest;
}

const qrMasks = [
  (r, c) => (r + c) % 2, (r) => r % 2, (_, c) => c % 3, (r, c) => (r + c) % 3, (r, c) => (Math.floor(r / 2) + Math.floor(c / 3)) % 2,
  (r, c) => r * c % 2 + r * c % 3, (r, c) => (r * c % 2 + r * c % 3) % 2, (r, c) => ((r + c) % 2 + r * c % 3) % 2,
];

// qrCode gives the rows of a QR code, each an array of 0 and 1; null: the bytes are too many.
function qrCode(data) {
  const version = qrBlocks.findIndex((blocks, i) => data.length <= qrCodewords(i + 1) - blocks * qrChecks[i] - (i < 9 ? 2 : 3)) + 1;
  if (version === 0) return null;
  const size = version * 4 + 17, grid = Array.from({ length: size }, () => Array(size).fill(null));
  const square = (row, column, radius, dark) => {
    for (let r = -radius; r <= radius; r++) {
      for (let c = -radius; c <= radius; c++) {
        if (grid[row + r]?.[column + c] !== undefined) grid[row + r][column + c] = dark(Math.max(Math.abs(r), Math.abs(c))) ? 1 : 0;
      }
    }
  };
  for (const [row, column] of [[3, 3], [3, size - 4], [size - 4, 3]]) square(row, column, 4, (d) => d !== 2 && d !== 4);
  for (let i = 8; i < size - 8; i++) grid[6][i] = grid[i][6] = 1 - i % 2;
  const places = qrPlaces(version), end = places.at(-1);
  for (const row of places) {
    for (const column of places) {
      if (![[6, 6], [6, end], [end, 6]].some(([r, c]) => r === row && c === column)) square(row, column, 2, (d) => d !== 1);
    }
  }
  const number = qrRemainder(version, 0x1f25);
  for (let i = 0; i < 18 && version > 6; i++) {
    const far = size - 11 + i % 3, near = Math.floor(i / 3);
    grid[far][near] = grid[near][far] = number >> i & 1;
  }
  const format = (mask) => { // bits 0 to 14, twice
    const bits = qrRemainder(mask, 0x537) ^ 0x5412; // level M is 00
    for (let i = 0; i < 15; i++) {
      const bit = bits >> i & 1;
      grid[i < 6 ? i : i < 8 ? i + 1 : size - 15 + i][8] = bit;
      grid[8][i < 8 ? size - 1 - i : i === 8 ? 7 : 14 - i] = bit;
    }
    grid[size - 8][8] = 1;
  };
  format(0); // so that its places are taken
  const free = [];
  for (let right = size - 1, up = true; right > 0; right -= right === 8 ? 3 : 2, up = !up) { // the column of the timing line is left out
    for (let i = 0; i < size; i++) {
      const row = up ? size - 1 - i : i;
      for (const column of [right, right - 1]) if (grid[row][column] === null) free.push([row, column]);
    }
  }
  const bits = qrBits(data, version);
  let best = null, least = Infinity;
  qrMasks.forEach((light, mask) => {
    format(mask);
    free.forEach(([r, c], i) => { grid[r][c] = Number(bits[i] ?? 0) ^ (light(r, c) === 0 ? 1 : 0); });
    const penalty = qrPenalty(grid);
    if (penalty < least) [least, best] = [penalty, grid.map((row) => [...row])];
  });
  return best;
}

// qrPenalty says how much in a code may mislead a reader.
function qrPenalty(grid) {
  const rows = grid.map((row) => row.join("")), columns = grid.map((_, c) => grid.map((row) => row[c]).join(""));
  let penalty = 0;
  for (const line of [...rows, ...columns]) {
    for (const [run] of line.matchAll(/0{5,}|1{5,}/g)) penalty += run.length - 2;
    penalty += 40 * [...line.matchAll(/(?=10111010000|00001011101)/g)].length;
  }
  for (let r = 1; r < grid.length; r++) {
    for (let c = 1; c < grid.length; c++) {
      if (grid[r][c] === grid[r - 1][c] && grid[r][c] === grid[r][c - 1] && grid[r][c] === grid[r - 1][c - 1]) penalty += 3;
    }
  }
  const dark = rows.join("").replaceAll("0", "").length / grid.length ** 2;
  return penalty + 10 * Math.floor(Math.abs(dark - 0.5) * 20);
}

// qrImage draws a text; null: it is too long.
function qrImage(text, label) {
  const grid = qrCode(bytesOf(text));
  if (!grid) return null;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), around = 4, side = grid.length + 2 * around;
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", grid.flatMap((row, r) => row.map((dark, c) => (dark ? `M${c + around} ${r + around}h1v1h-1z` : ""))).join(""));
  for (const [name, value] of [["viewBox", `0 0 ${side} ${side}`], ["role", "img"], ["aria-label", label], ["class", "qr"], ["shape-rendering", "crispEdges"]]) {
    svg.setAttribute(name, value);
  }
  svg.append(path);
  return svg;
}

