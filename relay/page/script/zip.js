const crcTable = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let i = 0; i < 8; i++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc32(data) {
  let c = 0xffffffff;
  for (let i = 0; i < data.length; i++) c = crcTable[(c ^ data[i]) & 0xff] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

// zipOf gives the parts of a zip file in which the files are as they are. A
// relay's packages are far from the format's 4 GiB and 65,535 files.
function zipOf(files, time) {
  const date = ((Math.max(1980, time.getUTCFullYear()) - 1980) << 9) | ((time.getUTCMonth() + 1) << 5) | time.getUTCDate();
  const clock = (time.getUTCHours() << 11) | (time.getUTCMinutes() << 5) | (time.getUTCSeconds() >> 1);
  const fields = (...sizes) => { // pairs of bytes and value, little-endian
    const view = new DataView(new ArrayBuffer(sizes.reduce((sum, [size]) => sum + size, 0)));
    let at = 0;
    for (const [size, value] of sizes) {
      if (size === 2) view.setUint16(at, value, true);
      else view.setUint32(at, value, true);
      at += size;
    }
    return new Uint8Array(view.buffer);
  };
  const body = [], directory = [];
  let at = 0, directorySize = 0;
  for (const { name, data } of files) {
    const file = new TextEncoder().encode(name);
    const common = [[2, 20], [2, 0x800], [2, 0], [2, clock], [2, date], [4, crc32(data)], [4, data.length], [4, data.length], [2, file.length], [2, 0]];
    const head = fields([4, 0x04034b50], ...common);
    const entry = fields([4, 0x02014b50], [2, 20], ...common, [2, 0], [2, 0], [2, 0], [4, 0], [4, at]);
    body.push(head, file, data);
    directory.push(entry, file);
    at += head.length + file.length + data.length;
    directorySize += entry.length + file.length;
  }
  const end = fields([4, 0x06054b50], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, directorySize], [4, at], [2, 0]);
  return [...body, ...directory, end];
}

