// Sends a body and says how far it has come, which fetch can't.

// Lost is the error of an attempt without a clear answer: it may have arrived.
class Lost extends Error {}

// post posts a body once. progress gets a number from 0 to 1. It gives {ok, status, answer,
// seconds}: the answer's JSON, and when to try again.
function post(path, body, headers, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    for (const [name, value] of Object.entries({ Accept: "application/json", "Content-Type": "application/vnd.kubbi.raw", ...headers })) {
      request.setRequestHeader(name, value);
    }
    request.upload.addEventListener("progress", (event) => progress(event.loaded / event.total));
    request.addEventListener("load", () => {
      let answer = {};
      try {
        answer = objectOf(JSON.parse(request.responseText)) ?? {};
      } catch {
        // not from the relay
      }
      const { status } = request;
      const ok = status === 200 || status === 201;
      if (status >= 500 && answer.error !== "insufficient_storage" || ok && Object.keys(answer).length === 0) {
        reject(new Lost("The relay can't take it at the moment."));
      } else {
        resolve({ ok, status, answer, seconds: Number(request.getResponseHeader("Retry-After")) });
      }
    });
    request.addEventListener("error", () => reject(new Lost("The connection broke.")));
    request.send(body);
  });
}

// postAgain posts {key, body} until there is an answer, some times. key is the idempotency
// key, so all attempts count once. It sets lost where one of them may have arrived.
async function postAgain(path, sending, headers, progress) {
  for (let attempt = 0; ; attempt++) {
    try {
      return await post(path, sending.body, { "Idempotency-Key": sending.key, ...headers }, progress);
    } catch (e) {
      sending.lost = true;
      if (attempt === 3) throw e;
      await wait(500 * 2 ** attempt);
    }
  }
}

// refusalOf gives the error for an answer that is not ok.
function refusalOf({ status, answer, seconds }) {
  const again = seconds > 0 ? ` Try again in ${plural(seconds, "second", "seconds")}.` : "";
  const why = typeof answer.message === "string" ? visible(answer.message.slice(0, 500)) : `status ${status}`;
  return new Refusal(`The relay has refused it: ${why}.${again}`);
}

