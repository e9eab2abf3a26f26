/**
 * What tests of a proxy in front share, which is 127.0.0.1 to the worker; ::1 is anybody else. The headers are those of a client
 * at 203.0.113.7.
 */
import { expect } from "bun:test";
import { dial } from "../../../contract/client.ts";
import type { Shape } from "../../../contract/shapes.ts";
import type { Stage } from "../../../contract/stage.ts";
import { told } from "../../../contract/upstreams.ts";
import type { Wire } from "../../../contract/wire.ts";
import { binary, INET, INET6, line, LONG_TLV, UNIX } from "./headers.ts";

export const PORT: Shape = { engine: "sockets", frontend: "port", place: "in process" };
export const CLIENT = "203.0.113.7";
/** Somebody who is no proxy. */
export const STRANGER = "::1";
/** Both families come in by one socket: the proxy's address is an IPv4 one in IPv6 there. */
export const BOTH = { port_proxy: { bind_host: "::", advertised_host: "127.0.0.1" } };
export const WITH = { accept_proxy_protocol: true, trusted_proxies: ["127.0.0.1", "10.0.0.0/8"] };

export const HEADERS: [what: string, header: Buffer, peer: string][] = [
  ["v1 of IPv4", line(CLIENT), CLIENT],
  ["v1 of IPv6", Buffer.from("PROXY TCP6 2001:db8::7 ::1 1 2\r\n"), "2001:db8::7"],
  ["v1 UNKNOWN", Buffer.from("PROXY UNKNOWN\r\n"), "127.0.0.1"],
  ["v2 of IPv4, with TLVs", binary({ block: Buffer.concat([INET, LONG_TLV]) }), CLIENT],
  ["v2 of IPv6", binary({ family: 0x21, block: INET6 }), "2001:db8::7"],
  ["v2 LOCAL", binary({ command: 0x20, block: INET }), "127.0.0.1"],
  ["v2 of AF_UNIX", binary({ family: 0x31, block: UNIX }), "127.0.0.1"],
];

export const BAD: [what: string, bytes: Buffer | string][] = [
  ["no header", "GET / HTTP/1.1\r\nHost: me\r\nX-Secret: s3cret\r\n\r\n"],
  ["a malformed line", "PROXY TCP4 s3cret 1.2.3.4 1 2\r\n"],
  ["a line without an end", `PROXY UNKNOWN ${"s3cret".repeat(20)}`],
  ["a header that is too long", binary({ block: Buffer.alloc(60_000) })],
  ["a version that is not known", binary({ command: 0x31 })],
];

/** Opens a connection, says these pieces one after the other, each in a packet of its own. */
export async function say(port: number, ...pieces: (Buffer | string)[]): Promise<Wire> {
  const wire = await dial(port);
  for (const [at, piece] of pieces.entries()) {
    if (at > 0) await Bun.sleep(1);
    await wire.send(piece);
  }
  return wire;
}

/** What the log has told of headers that were refused. */
export function refusals({ lines }: Stage): Record<string, unknown>[] {
  return lines.filter(({ key }) => key === "proxy_worker.accept_proxy_protocol");
}

/** Resolves with the milliseconds until a silent connection was reset. */
export async function silence(port: number): Promise<number> {
  const began = performance.now();
  const wire = await dial(port);
  expect(await wire.end()).toBe("reset");
  return performance.now() - began;
}

/** The first request's answer on a connection. */
export async function answerOf(wire: Wire): Promise<{ status: number; pairs: Map<string, string> }> {
  const head = await wire.head();
  const body = await wire.body(head);
  const pairs = head.status === 200 ? told(body).pairs : [];
  return { status: head.status, pairs: new Map(pairs.map(([name, value]) => [name.toLowerCase(), value])) };
}
