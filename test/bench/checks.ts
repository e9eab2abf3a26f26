/** Whether a proxy's answers are right: figures of one that cuts, changes or holds back mean nothing. */
import type { Stage } from "./stage.ts";
import type { Peer } from "./proxies.ts";
import { KIBIBYTE, sample } from "./sample.ts";

type Key = Stage["key"];

/** Throws when an answer is wrong. */
export async function checkHttp(peer: Peer, key: Key): Promise<void> {
  const call = (path: string, init: RequestInit = {}) =>
    fetch(`http://127.0.0.1:${peer.port}${path}`, { ...init, headers: { cookie: key.cookie, host: key.host } });
  const bytes = sample();
  expect(peer, "the small answer", await (await call("/1k")).text(), KIBIBYTE);
  expect(peer, "a status", (await call("/nowhere")).status, 404);
  expect(peer, "a download", hash(await (await call("/sample")).bytes()), hash(bytes));
  const upload = await call("/upload?hash", { method: "PUT", body: bytes });
  expect(peer, "an upload", await upload.text(), JSON.stringify({ bytes: bytes.length, sha256: hash(bytes) }));
  const events = await (await call("/events?count=3&every=1")).text();
  expect(peer, "an event stream", events.match(/^data: [\d.]+\n\n/gm)?.length, 3);
  await checkEcho(peer, key);
}

// --- internal ---

async function checkEcho(peer: Peer, { cookie, host }: Key): Promise<void> {
  const socket = new WebSocket(`ws://127.0.0.1:${peer.port}/echo`, { headers: { cookie, host } });
  socket.binaryType = "nodebuffer";
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const heard: unknown[] = [];
  socket.onmessage = ({ data }) => {
    heard.push(data);
    if (heard.length === 2) resolve();
  };
  socket.onclose = ({ code }) => reject(new Error(`${peer.name} closed a WebSocket with ${code}`));
  socket.onopen = () => {
    socket.send("text ✓");
    socket.send(new Uint8Array([0, 1, 255]));
  };
  await promise;
  socket.close();
  expect(peer, "a WebSocket's text", heard[0], "text ✓");
  expect(peer, "a WebSocket's bytes", Buffer.from(heard[1] as Buffer).toString("hex"), "0001ff");
}

function expect(peer: Peer, what: string, got: unknown, wanted: unknown): void {
  const short = (value: unknown) => String(value).slice(0, 200);
  if (got !== wanted) throw new Error(`${peer.name} gave ${what} wrong: ${short(got)}; wanted ${short(wanted)}`);
}

function hash(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}
