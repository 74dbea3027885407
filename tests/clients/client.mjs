// Node: its fetch, node:http, node:http2, and the package ws.

import { createHash } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import { createRequire } from "node:module";
import { text } from "node:stream/consumers";

// Debian has its packages where NODE_PATH says, which only `require` looks at.
const require = createRequire(import.meta.url);
const WebSocket = require("ws");

const { JING, AICLK, SANDBOX } = process.env;
const USER = JSON.stringify({ name: "张三", tags: ["a", "b"] });
const PICTURE = "not really a picture\n".repeat(10_000);
const NODE = `Node ${process.versions.node}`;
const WS = `ws ${require("ws/package.json").version}`;

// === fetch ===

const get = () => fetch(`${JING}/v1/user/list?page=1`).then((answer) => echoed(answer, { query: "page=1" }));

const post = () => fetch(`${JING}/v1/user`, {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: USER,
}).then((answer) => echoed(answer, { body_sha256: sha256(USER) }));

const chunked = () => fetch(`${JING}/v1/picture`, {
  method: "POST",
  duplex: "half",
  body: new Blob([PICTURE]).stream(),
}).then((answer) => echoed(answer, { body_sha256: sha256(PICTURE) }));

async function head() {
  const answer = await fetch(`${JING}/v1/user/list`, { method: "HEAD" });
  equal([answer.status, await answer.text()], [200, ""]);
}

async function streamed() {
  const answer = await fetch(`${JING}/v1/-/stream?chunks=3&delay_ms=5`);
  equal(await answer.text(), "data: sandbox\n\n".repeat(3));
}

async function query() {
  const answer = await fetch(`${JING}/v1/user/list?filter={"name":["a|b"]}`);
  equal(decodeURIComponent((await answer.json()).data.query), 'filter={"name":["a|b"]}');
}

async function multipart() {
  const form = new FormData();
  form.append("file", new Blob([PICTURE], { type: "image/png" }), "a.png");
  const answer = await fetch(`${AICLK}/openapi/picture`, { method: "POST", body: form });
  const { data } = await answer.json();
  equal(data.body_length > PICTURE.length, true);
  return answer.headers.get("tokenward-retry");
}

async function echoed(answer, expected) {
  const { data } = JSON.parse(await answer.text());
  for (const name in expected) equal(data[name], expected[name]);
  return answer.headers.get("tokenward-retry");
}

// === node:http ===

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

async function request(path, options = {}, body = "") {
  const request = http.request(JING + path, { agent, timeout: 20_000, ...options });
  request.on("timeout", () => request.destroy(new Error("timeout")));
  if (!options.headers?.expect) request.end(body);
  else request.on("continue", () => request.end(body)).flushHeaders();
  const [answer] = await once(request, "response");
  const { data } = JSON.parse(await text(answer));
  return { status: answer.statusCode, data, reused: request.reusedSocket };
}

// As it is written here: `path` is not encoded.
async function rawQuery() {
  const path = '/v1/user/list?filter={"name":["a","b"]}';
  const { data } = await request("", { path });
  equal(data.query, "filter={%22name%22:[%22a%22,%22b%22]}");
}

async function expect100() {
  const headers = { expect: "100-continue", "content-length": PICTURE.length };
  const { data } = await request("/v1/picture", { method: "POST", headers }, PICTURE);
  equal(data.body_sha256, sha256(PICTURE));
}

async function expectRefused() {
  const headers = { expect: "100-continue", "content-length": PICTURE.length };
  const request = http.request(`${JING}/v1/oauth2/token`, { method: "POST", headers });
  const continued = once(request, "continue").then(() => "continue");
  request.flushHeaders();
  const answered = once(request, "response").then(([answer]) => answer.statusCode);
  equal(await Promise.race([continued, answered]), 403);
  request.destroy();
}

async function keepAlive() {
  await request("/v1/user/list");
  equal((await request("/v1/user/list")).reused, true);
  equal((await request("/v1/user/list")).reused, true);
}

// === node:http2 ===

async function overHttp2() {
  const session = http2.connect(JING);
  const one = async (path) => {
    const stream = session.request({ ":method": "POST", ":path": path }).end(PICTURE);
    const [headers] = await once(stream, "response");
    equal(JSON.parse(await text(stream)).data.body_sha256, sha256(PICTURE));
    return headers["tokenward-retry"];
  };
  try {
    const failed = once(session, "error").then(([error]) => { throw error; });
    const retries = Promise.all([one("/v1/a"), one("/v1/b"), one("/v1/c")]);
    return (await Promise.race([retries, failed]))[0];
  } finally {
    session.destroy();
  }
}

// === ws ===

async function webSocket() {
  const socket = new WebSocket(`${JING.replace("http", "ws")}/v1/-/websocket`, { handshakeTimeout: 20_000 });
  let retry;
  socket.on("upgrade", (answer) => { retry = answer.headers["tokenward-retry"]; });
  try {
    await once(socket, "open");
    for (const sent of ["张三", PICTURE]) {
      socket.send(sent);
      const [received, isBinary] = await once(socket, "message");
      equal([received.toString(), isBinary], [sent, false]);
    }
    socket.ping("there?");
    equal((await once(socket, "pong"))[0].toString(), "there?");
    socket.close(1000, "done");
    const [code, reason] = await once(socket, "close");
    equal([code, reason.toString()], [1000, "done"]);
  } finally {
    socket.terminate();
  }
  return retry;
}

// === all of them ===

const sha256 = (data) => createHash("sha256").update(data).digest("hex");

function equal(found, expected) {
  const [one, other] = [found, expected].map((value) => JSON.stringify(value));
  if (one !== other) throw new Error(`${one} instead of ${other}`.slice(0, 400));
}

async function check(client, name, call) {
  let result = "ok";
  try {
    const late = new Promise((_, fail) => setTimeout(fail, 20_000, new Error("timeout")).unref());
    await Promise.race([call(), late]);
  } catch (error) {
    result = [error.message, error.cause?.message].join(" ").replace(/\s+/g, " ");
  }
  console.log([client, name, result].join("\t"));
}

async function dead(client, name, call) {
  await check(client, `dead token, ${name}`, async () => {
    await fetch(`${SANDBOX}/-/fault?kind=expire`, { method: "POST" });
    equal(await call(), "recovered");
  });
}

const FETCH = `fetch ${NODE}`;
await check(FETCH, "GET", get);
await check(FETCH, "HEAD", head);
await check(FETCH, "streamed answer", streamed);
await check(FETCH, "POST JSON", post);
await check(FETCH, "JSON in the query", query);
await check(FETCH, "chunked upload", chunked);
await check(FETCH, "multipart upload", multipart);
await dead(FETCH, "GET", get);
await dead(FETCH, "POST JSON", post);
await dead(FETCH, "upload", chunked);
await dead(FETCH, "multipart", multipart);

const HTTP = `http ${NODE}`;
await check(HTTP, "JSON in the query", rawQuery);
await check(HTTP, "Expect: 100-continue", expect100);
await check(HTTP, "Expect, refused", expectRefused);
await check(HTTP, "keep-alive", keepAlive);
await check(HTTP, "HTTP/2, prior knowledge", overHttp2);
await dead(HTTP, "HTTP/2", overHttp2);

await check(WS, "WebSocket", webSocket);
await dead(WS, "WebSocket", webSocket);
// Connections that are kept alive would keep this program.
process.exit();
