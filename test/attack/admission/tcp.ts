/**
 * Who may connect to TCP circuits (security 6): circuits of each kind, what somebody has done before they come, and what they say
 * first. There is no credential, so nothing that is said may let in. Each circuit has an app of its own, which counts.
 */
import { JWT_SECRET } from "../../support/manager.ts";
import { combinations } from "../../support/combinations.ts";
import { askFrom, freshAddress } from "../../support/from-address.ts";
import { until } from "../../support/until.ts";
import { dial } from "../../contract/client.ts";
import type { Opened, Stage, Wish } from "../../contract/stage.ts";
import { listen, type Upstream } from "../../contract/upstreams.ts";
import { mintSetupToken } from "../../../shared/protocol/jwt.ts";
import { STRANGER } from "./door.ts";
import { permits } from "./forgery.ts";

interface TcpKind {
  name: string;
  wish: Wish;
  /** Needs nobody to have passed /setup. */
  isPublic?: true;
  /** Nobody gets in. */
  isShut?: true;
}

const ELSEWHERE = "10.0.0.0/8";

const KINDS: TcpKind[] = [
  { name: "private", wish: {} },
  { name: "public", wish: { public: true }, isPublic: true },
  { name: "for addresses that hold this one", wish: { allowedClientIps: "127.0.0.0/8" } },
  { name: "for other addresses", wish: { allowedClientIps: ELSEWHERE }, isShut: true },
  { name: "public from other addresses", wish: { public: true, allowedClientIps: ELSEWHERE }, isShut: true },
  { name: "with a list that can't be read", wish: { public: true, allowedClientIps: "everybody" }, isShut: true },
  { name: "ended", wish: {}, isShut: true },
];

/** What a circuit is to somebody who wants in. */
interface Scene {
  stage: Stage;
  to: Opened;
  another: Opened;
  /** That had the port before. */
  former: Opened;
}

interface Deed {
  name: string;
  letsIn: boolean;
  act: (scene: Scene) => Promise<unknown>;
}

const DEEDS: Deed[] = [
  { name: "nothing", letsIn: false, act: async () => undefined },
  { name: "passed /setup", letsIn: true, act: async ({ stage, to }) => use(stage, await link(to)) },
  { name: "passed /setup twice", letsIn: true, act: async ({ stage, to }) => {
    const token = await link(to);
    await use(stage, token);
    await use(stage, token);
  } },
  { name: "passed /setup for another circuit", letsIn: false, act: async ({ stage, another }) => use(stage, await link(another)) },
  { name: "came with a link of the circuit that had the port before", letsIn: false, act: async ({ stage, former }) => use(stage, await link(former)) },
  { name: "another address passed /setup", letsIn: false, act: async ({ stage, to }) => use(stage, await link(to), { from: freshAddress() }) },
  { name: "another address passed /setup in this one's name", letsIn: false, act: async ({ stage, to }) => use(stage, await link(to), { from: freshAddress(), lines: "X-Forwarded-For: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\n" }) },
  { name: "came second with a link", letsIn: false, act: async ({ stage, to }) => {
    const token = await link(to);
    await use(stage, token, { from: freshAddress() });
    await use(stage, token);
  } },
  { name: "came late with a link", letsIn: false, act: async ({ stage, to }) => use(stage, await link(to, { age: 120_000 })) },
  { name: "came with a forged link", letsIn: false, act: async ({ stage, to }) => use(stage, await link(to, { secret: "guessed-jwt-secret-0123" })) },
  { name: "had a link prefetched", letsIn: false, act: async ({ stage, to }) => use(stage, await link(to), { lines: "Sec-Purpose: prefetch\r\n" }) },
  { name: "had a link looked at", letsIn: false, act: async ({ stage, to }) => use(stage, await link(to), { method: "HEAD" }) },
]; // prettier-ignore

/** What is said first; `permit` is the circuit's own. */
const OPENINGS: [name: string, bytes: (to: Opened, permit: string) => Buffer][] = [
  ["nothing", () => Buffer.alloc(0)],
  ["a request with a permit", ({ host, cookie }, permit) => Buffer.from(`GET / HTTP/1.1\r\nHost: ${host}\r\nCookie: ${cookie}\r\nAuthorization: Bearer ${permit}\r\n\r\n`)],
  ["a PROXY header", () => Buffer.from("PROXY TCP4 10.0.0.1 127.0.0.1 1 2\r\n")],
  ["a binary PROXY header", () => Buffer.from("0d0a0d0a000d0a515549540a2111000c0a0000017f00000100010002", "hex")],
  ["a TLS record", () => Buffer.from("1603010005010000010303", "hex")],
  ["an SSH banner", () => Buffer.from("SSH-2.0-OpenSSH_9.9\r\n")],
]; // prettier-ignore

export interface TcpFound {
  faults: string[];
  letIn: number;
  refused: number;
}

/** `isOpen`: addresses need not have passed /setup (`tcp_auth = "none"`). */
export async function tryTcp(stage: Stage, isOpen: boolean): Promise<TcpFound> {
  const found: TcpFound = { faults: [], letIn: 0, refused: 0 };
  const another = await stage.open({ upstream: greeter().port, protocol: "tcp" });
  for (const { kind, deed } of combinations({ kind: KINDS, deed: DEEDS })) {
    const app = greeter();
    const former = await stage.open({ upstream: app.port, protocol: "tcp", circuit: { user_id: STRANGER } });
    await stage.close(former);
    const { port } = former;
    const to = await stage.open({ ...kind.wish, upstream: app.port, protocol: "tcp", circuit: { port } });
    await deed.act({ stage, to, another, former });
    if (kind.name === "ended") await stage.close(to);
    const letsIn = kind.isShut !== true && (isOpen || kind.isPublic === true || deed.letsIn);
    const permit = permits.issue(to.circuit.user_id ?? "", to.circuit.id, Math.floor(Date.now() / 1000), 3600);
    for (const [opening, bytes] of OPENINGS) {
      const name = `${kind.name} · ${deed.name} · ${opening}`;
      const isIn = await knock(port, bytes(to, permit));
      if (isIn !== letsIn) found.faults.push(`${name}: ${isIn ? "was let in" : "was refused"}`);
      found[letsIn ? "letIn" : "refused"]++;
    }
    const wanted = letsIn ? OPENINGS.map(([, bytes]) => bytes(to, permit).toString("latin1")) : [];
    const fault = await heardOtherwise(app, wanted);
    if (fault !== null) found.faults.push(`${kind.name} · ${deed.name}: ${fault}`);
    if (kind.name !== "ended") await stage.close(to);
    app.stop();
  }
  return found;
}

// --- internal ---

function greeter(): Upstream {
  return listen(async (wire) => {
    await wire.send("hello");
    await wire.wait(() => wire.ended !== null, "the client to end", 600_000);
    wire.close();
  });
}

/** Connects and speaks first; whether the app greets. */
async function knock(port: number, bytes: Buffer): Promise<boolean> {
  const wire = await dial(port).catch(() => null);
  if (wire === null) return false;
  await wire.send(bytes).catch(() => undefined);
  await wire.wait(() => wire.received > 0 || wire.ended !== null, "a greeting or the end");
  const isIn = wire.received > 0;
  // What was sent has to arrive all the same.
  wire.finish();
  await wire.end();
  return isIn;
}

/** What an app has heard, a connection each, is what it should; null then. */
async function heardOtherwise(app: Upstream, wanted: readonly string[]): Promise<string | null> {
  const heard = () => app.wires.map((wire) => wire.text());
  const areOver = () => app.wires.every(({ ended }) => ended !== null);
  await until(() => areOver() && app.wires.length >= wanted.length, 30_000, "the app to hear all").catch(
    () => undefined,
  );
  return Bun.deepEquals(heard().toSorted(), [...wanted].toSorted())
    ? null
    : `the app has heard ${JSON.stringify(heard())}`;
}

async function link({ circuit }: Opened, { age = 0, secret = JWT_SECRET } = {}): Promise<string> {
  const claims = { id: crypto.randomUUID(), circuit: circuit.id, redirect: "" };
  return mintSetupToken(claims, secret, crypto.randomUUID(), Date.now() - age);
}

interface Way {
  from?: string;
  lines?: string;
  method?: string;
}

function use(
  stage: Stage,
  token: string,
  { from = "127.0.0.1", lines = "", method = "GET" }: Way = {},
): Promise<string> {
  const head = `${method} /setup?token=${token} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n${lines}\r\n`;
  return askFrom(from, stage.apiPort(), head);
}
