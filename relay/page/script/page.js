// What the relay's pages have in common.

const at = (id) => document.getElementById(id);

// say tells a screen reader.
const say = (words) => { at("status").textContent = words; };

// warn shows a notice to everybody.
function warn(words) {
  at("notice").textContent = words;
  at("notice").hidden = false;
  at("notice").scrollIntoView({ block: "nearest" });
}

const wait = (ms) => new Promise((done) => { setTimeout(done, ms); });

const localTime = (time) => new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" }).format(new Date(time));

// countDown says how much time is left, by how long this page has been open and
// not by this machine's idea of the time. It calls soon within the last minute, and
// over at the end.
function countDown(soon, over) {
  const { left, expires } = at("page").dataset;
  const out = at("left"); // it may leave the page
  const end = Date.now() + Number(left);
  let told = false;
  const tick = () => {
    const left = end - Date.now();
    out.textContent = left > 0 ? `${duration(left)} left` : "the time is up";
    if (left <= 60_000 && left > 0 && !told) {
      told = true;
      soon();
    }
    if (left <= 0) {
      clearInterval(timer);
      over();
    }
  };
  const timer = setInterval(tick, 1000);
  at("until").textContent = localTime(expires);
  tick();
}

