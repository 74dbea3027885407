// An SDK of WeChat's API as its documentation would have one: it fetches its token by a GET, puts it
// into each query, and fetches another when it is told that the token is dead. Prints what it was
// given, in JSON.
//
//     sdk_wechat.mjs BASE_URL

import assert from "node:assert/strict";

const [base] = process.argv.slice(2);
const DEAD = [40001, 40014, 42001];
const grants = [];

async function grant() {
  const own = { grant_type: "client_credential", appid: "sdk-own-appid", secret: "sdk-own-secret" };
  const answer = await fetch(`${base}/cgi-bin/token?${new URLSearchParams(own)}`);
  const granted = await answer.json();
  assert.equal(granted.errcode ?? 0, 0, JSON.stringify(granted));
  assert.ok(Number.isInteger(granted.expires_in), JSON.stringify(granted));
  grants.push(granted);
}

async function send(message, again = true) {
  const token = grants.at(-1).access_token;
  const url = `${base}/cgi-bin/message/custom/send?access_token=${encodeURIComponent(token)}`;
  const answer = await fetch(url, { method: "POST", body: JSON.stringify(message) });
  const { errcode } = await answer.json();
  if (DEAD.includes(errcode) && again) {
    await grant();
    return send(message, false);
  }
  assert.equal(errcode, 0);
}

await grant();
await send({ touser: "a", text: { content: "one" } });
await send({ touser: "a", text: { content: "two" } });
await grant();
await send({ touser: "a", text: { content: "three" } });
console.log(JSON.stringify(grants));
