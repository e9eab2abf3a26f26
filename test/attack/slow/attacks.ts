/**
 * The attacks, each from an address of its own (but slowhttptest's, which is everybody's). Each goes on for as long as its size
 * says and gives what was not as documented: of the engine on raw sockets README.md and test/contract/CONTRACT.md say what is
 * cut and how; `Bun.serve` cuts nothing that is slow, and that is known.
 */
import type { Opened, Stage } from "../../contract/stage.ts";
import { handshake } from "../../contract/websocket-peer.ts";
import { owed } from "../../support/owed.ts";
import { until } from "../../support/until.ts";
import { BIG, type AttackedApp } from "./apps.ts";
import { openMany, type Client } from "./client.ts";
import { slowhttptest, type Mode } from "./slowhttptest.ts";
import { ADDRESS_LIMIT, type Size } from "./size.ts";

/** What is attacked. */
export interface Target {
  stage: Stage;
  to: Opened;
  app: AttackedApp;
  size: Size;
  /** Those that are still there when all is over. */
  clients: Client[];
}

export interface Attack {
  name: string;
  over: "http" | "tcp";
  needs?: "slowhttptest";
  run: (target: Target) => Promise<string[]>;
}

export const ATTACKS: readonly Attack[] = [
  ...(["heads", "bodies", "readers", "ranges"] as const).map((mode): Attack => ({
    name: `slowhttptest: ${mode}`,
    over: "http",
    needs: "slowhttptest",
    run: (target) => bySlowhttptest(mode, target),
  })),
  { name: "idle connections", over: "http", run: idle },
  { name: "heads that drip", over: "http", run: drippingHeads },
  { name: "bodies, chunk sizes and trailers that drip", over: "http", run: drippingBodies },
  { name: "bodies that stop", over: "http", run: silentBodies },
  { name: "WebSocket frames whose heads drip", over: "http", run: drippingFrames },
  { name: "HTTP readers that stop", over: "http", run: (target) => stalled(target, "127.0.1.6", request(target.to, "GET", "/big")) },
  { name: "WebSocket readers that stop", over: "http", run: (target) => stalled(target, "127.0.1.7", request(target.to, "GET", "/socket", handshake())) },
  { name: "idle TCP connections", over: "tcp", run: idleTcp },
  { name: "TCP that drips", over: "tcp", run: drippingTcp },
  { name: "TCP readers that stop", over: "tcp", run: stalledTcp },
]; // prettier-ignore

// --- internal ---

const isStrict = ({ stage }: Target) => stage.shape.engine === "sockets";
const passed = ({ size }: Target) => Bun.sleep(size.seconds * 1000);
/** A limit is kept within half a second on a machine that has the time. Milliseconds. */
const late = (seconds: number) => owed(seconds * 1000 + 3000);

function request(to: Opened, method: string, path: string, more: readonly [string, string][] = []): string {
  return `${method} ${path} HTTP/1.1\r\n${[...to.headers(), ...more].map((line) => `${line.join(": ")}\r\n`).join("")}\r\n`;
}

async function from(target: Target, address: string, count: number): Promise<Client[]> {
  const clients = await openMany(count, target.to.port, address);
  target.clients.push(...clients);
  return clients;
}

/** Says which of them are not so, within the time; in words, with how many. */
async function all(clients: readonly Client[], what: string, ms: number, holds: (one: Client) => boolean): Promise<string[]> {
  const others = (await Promise.all(clients.map((one) => one.until(() => holds(one), ms)))).filter((isSo) => !isSo).length;
  const [first] = clients.filter((one) => !holds(one));
  return others === 0 ? [] : [`${others} of ${clients.length} were not ${what}, but ended by ${String(first?.ended)} with ${JSON.stringify(first?.said.slice(0, 60))}`];
} // prettier-ignore

/** A byte of each text at a time, until all are sent or the time is over. */
async function drip({ size }: Target, clients: readonly Client[], text: string): Promise<void> {
  const ends = performance.now() + size.seconds * 1000;
  for (let at = 0; at < text.length && performance.now() < ends; at++) {
    for (const client of clients) client.send(text[at] ?? "");
    await Bun.sleep(size.paceMs);
  }
}

/** Those for ranges are over before it counts them: the app has. */
async function bySlowhttptest(mode: Mode, { to, app, size }: Target): Promise<string[]> {
  const before = app.ranges();
  const url = to.url(mode === "readers" ? "/big" : "/");
  const made = await slowhttptest(mode, url, size.connections, size.seconds);
  const seen = mode === "ranges" ? app.ranges() - before : made;
  return seen >= size.connections * 0.9 ? [] : [`slowhttptest made ${seen} of ${size.connections} connections`];
}

/** Half of them have had an answer. On raw sockets all are closed in good order: for others of their address, or in the end. */
async function idle(target: Target): Promise<string[]> {
  const { stage, to, size } = target;
  const clients = await from(target, "127.0.1.1", size.idle);
  // The first ones have made way for the last.
  for (const client of clients.slice(size.idle / 2)) client.send(request(to, "GET", "/"));
  await passed(target);
  if (!isStrict(target)) return [];
  const limit = size.limits.address_connections || ADDRESS_LIMIT;
  const isTold = () => stage.lines.some(({ msg }) => String(msg).startsWith("no room for connections"));
  return [
    ...(await all(clients, "closed", late(size.limits.idle_timeout), ({ ended }) => ended === "end")),
    ...(size.idle > limit && !isTold() ? ["that there was no room is not in the log"] : []),
  ]; // prettier-ignore
}

async function drippingHeads(target: Target): Promise<string[]> {
  const clients = await from(target, "127.0.1.2", target.size.drips);
  await drip(target, clients, request(target.to, "GET", "/", [["X-Slow", "x".repeat(1000)]]));
  if (!isStrict(target)) return [];
  const isTold = ({ said, ended }: Client) => said.startsWith("HTTP/1.1 408 ") && ended === "end";
  return all(clients, "told 408", late(target.size.limits.head_timeout), isTold);
}

/** What moves has no limit (dataplane H1): everything reaches the app. */
async function drippingBodies(target: Target): Promise<string[]> {
  const { to, size, app } = target;
  const before = app.taken();
  const shapes: [more: [string, string], rest: string, least: number][] = [
    [["Content-Length", "1000"], "x".repeat(1000), 1],
    [["Transfer-Encoding", "chunked"], `${"0".repeat(7)}5\r\nhello\r\n`.repeat(10), 0],
    [["Transfer-Encoding", "chunked"], `0\r\nX-Slow: ${"x".repeat(1000)}`, 0],
  ];
  const groups = await Promise.all(
    shapes.map(async ([more, rest, least]) => {
      const clients = await from(target, "127.0.1.3", size.drips);
      for (const client of clients) client.send(request(to, "POST", "/", [more]));
      await drip(target, clients, rest);
      return { clients, least };
    }),
  );
  const stillThere = groups.flatMap(({ clients }) => clients);
  const wanted = size.drips * 2;
  return [
    ...(isStrict(target) ? stillThere.filter(({ ended }) => ended !== null).map(({ said }) => `a body that moved was cut with ${JSON.stringify(said.slice(0, 60))}`) : []),
    ...(app.taken() - before < wanted ? [`the app got ${app.taken() - before} bytes of bodies that drip, wanted ${wanted}`] : []),
  ]; // prettier-ignore
}

async function silentBodies(target: Target): Promise<string[]> {
  const { to, size } = target;
  const clients = await from(target, "127.0.1.4", size.drips);
  for (const client of clients) client.send(`${request(to, "POST", "/", [["Content-Length", "10"]])}half`);
  await passed(target);
  if (!isStrict(target)) return [];
  const isTold = ({ said, ended }: Client) => said.startsWith("HTTP/1.1 408 ") && ended === "end";
  return all(clients, "told 408", late(size.limits.body_timeout), isTold);
}

/** The head of a frame of 127 bits of length, with its mask, and then some of it. */
async function drippingFrames(target: Target): Promise<string[]> {
  const { to, size } = target;
  const clients = await from(target, "127.0.1.5", size.drips);
  for (const client of clients) client.send(request(to, "GET", "/socket", handshake()));
  const refused = await all(clients, "let in", owed(10_000), ({ said }) => said.startsWith("HTTP/1.1 101 "));
  await drip(target, clients, `\x82\xff${"\0".repeat(5)}\x01\0\0${"\0".repeat(4)}${"x".repeat(1000)}`);
  const cut = clients.filter(({ ended }) => ended !== null).length;
  return [...refused, ...(cut > 0 ? [`${cut} WebSockets that moved were cut`] : [])];
}

/** Who takes nothing for too long is reset, and so is the app's side; the rest of the answer is lost. */
async function stalled(target: Target, address: string, asks: string): Promise<string[]> {
  const { size } = target;
  const clients = await from(target, address, size.stalled);
  for (const client of clients) {
    client.pause();
    client.send(asks);
  }
  if (!isStrict(target)) {
    await passed(target);
    return [];
  }
  const isCut = () => clients.every((client) => !client.isConnected);
  await until(isCut, late(size.limits.reader_timeout + size.seconds), "readers that stop to be cut").catch(() => undefined); // prettier-ignore
  // What has come by then is there, and then the reset; one that is still there gets the rest, which is told.
  for (const client of clients) client.resume();
  return all(clients, "reset", owed(10_000), ({ ended, received }) => ended === "reset" && received < BIG * 4);
}

/** Those that a circuit has no room for are closed at once; the others may stay. */
async function idleTcp(target: Target): Promise<string[]> {
  const { stage, size } = target;
  const clients = await from(target, "127.0.2.1", size.idle);
  await passed(target);
  const limit = size.limits.address_connections || ADDRESS_LIMIT;
  const open = clients.filter(({ ended }) => ended === null).length;
  const isTold = stage.lines.some(({ msg }) => String(msg).startsWith("no room for connections"));
  return [
    ...(open === Math.min(limit, size.idle) ? [] : [`${open} of ${size.idle} are open, wanted ${Math.min(limit, size.idle)}`]),
    ...(size.idle > limit && !isTold ? ["that there was no room is not in the log"] : []),
  ]; // prettier-ignore
}

async function drippingTcp(target: Target): Promise<string[]> {
  const clients = await from(target, "127.0.2.2", target.size.drips);
  await drip(target, clients, "x".repeat(1000));
  const echoed = await all(clients, "answered", owed(10_000), ({ received }) => received > 0);
  return [
    ...echoed,
    ...clients.flatMap(({ ended }) => (ended === null ? [] : ["a TCP connection that moved was cut"])),
  ];
}

/** One that lives and takes nothing is left alone, and holds its app back. */
async function stalledTcp(target: Target): Promise<string[]> {
  const clients = await from(target, "127.0.2.3", target.size.stalled);
  for (const client of clients) {
    client.pause();
    client.send("more");
  }
  await passed(target);
  const cut = clients.filter(({ ended }) => ended !== null).length;
  return cut > 0 ? [`${cut} TCP readers that live were cut`] : [];
}
