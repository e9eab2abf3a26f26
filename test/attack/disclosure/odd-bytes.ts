/** Bytes that are no good request: malformed, cut, of other protocols, behind PROXY headers good and bad. */
import { PROXIES } from "./services.ts";
import type { Hand } from "./hand.ts";
import { admittedLines } from "./places.ts";
import type { Shot } from "./shoot.ts";
import { written } from "./world.ts";

/** What is sent to a door, and from where. */
export type Bytes = Pick<Shot, "bytes" | "frame" | "patience" | "from">;

/** Requests that are none, or not whole. */
export function malformed(hand: Hand): Bytes {
  const { random, door } = hand;
  const isLetIn = door.kind === "tcp" || door.name.includes("public");
  const m = (place: string) => (isLetIn ? hand.own(place) : hand.ours(place));
  const host = `Host: ${door.host}`;
  const [once, quickly] = [{ patience: 3000 }, { patience: 150 }];
  return random.pick<() => Bytes>([
    () => ({ bytes: `GET /a?token=${m("a line with a space")} b HTTP/1.1\r\n${host}\r\n\r\n`, ...once }),
    () => ({ bytes: `GET /a?token=${m("another version")} HTTP/${random.pick(["1.2", "2.0", "9", "x"])}\r\n${host}\r\n\r\n`, ...once }), // prettier-ignore
    () => ({ bytes: `GET /a?token=${m("HTTP/0.9")}\r\n\r\n`, ...once }),
    () => ({ bytes: `${m("a method")} / HTTP/1.1\r\n${host}\r\n\r\n`, ...once }),
    () => ({ bytes: `GET / HTTP/1.1\r\n${host}\r\n${m("a line without a colon")}\r\n\r\n`, ...once }),
    () => ({ bytes: `GET / HTTP/1.1\r\n${host}\r\nX: \0${m("a NUL")}\r\n\r\n`, ...once }),
    () => ({ bytes: `GET / HTTP/1.1\r\n${host}\r\nX: a\r\n ${m("a folded line")}\r\n\r\n`, ...once }),
    () => ({ bytes: `GET / HTTP/1.1\r\n${host}\r\nX: a\rb: ${m("a bare CR")}\r\n\r\n`, ...once }),
    () => ({ bytes: `GET /\x80?token=${m("a byte above 127")} HTTP/1.1\r\n${host}\r\n\r\n`, ...once }),
    () => ({ bytes: `GET / HTTP/1.1\r\n${host}\r\nHost: ${m("another Host")}\r\n\r\n`, ...once }),
    () => ({ bytes: `POST / HTTP/1.1\r\n${host}\r\nContent-Length: ${m("Content-Length")}\r\n\r\n`, ...once }),
    () => ({ bytes: `POST / HTTP/1.1\r\n${host}\r\nTransfer-Encoding: ${m("Transfer-Encoding")}\r\n\r\n`, ...once }),
    () => ({ bytes: `POST / HTTP/1.1\r\n${host}\r\nTransfer-Encoding: chunked\r\n\r\n${m("a chunk's size")}\r\n`, ...once }), // prettier-ignore
    () => ({ bytes: `GET /${m("a long target")}?token=${m("a long query")}${"a".repeat(70_000)} HTTP/1.1\r\n${host}\r\n\r\n`, ...once }), // prettier-ignore
    () => ({ bytes: `GET / HTTP/1.1\r\n${host}\r\nCookie: a=${m("a long head")}${"a".repeat(70_000)}\r\n\r\n`, ...once }), // prettier-ignore
    () => ({ bytes: `GET / HTTP/1.1\r\n${host}\r\n${"X: a\r\n".repeat(250)}Authorization: Bearer ${m("many lines")}\r\n\r\n`, ...once }), // prettier-ignore
    () => ({ bytes: `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${m("HTTP/2")}`, ...once }),
    () => ({ bytes: clientHello(m("SNI")), ...once }),
    () => ({ bytes: `SSH-2.0-${m("SSH")}\r\n`, ...once }),
    () => ({ bytes: `${m("garbage")}\n\n`, ...once }),
    // Not whole: nothing comes back.
    () => ({ bytes: `GET /a?token=${m("a target that is cut")}`, ...quickly }),
    () => ({ bytes: `GET / HTTP/1.1\r\n${host}\r\nAuthorization: Bearer ${m("a line that is cut")}`, ...quickly }),
    () => ({ bytes: `POST /v2/proxy/auth HTTP/1.1\r\n${host}\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{"token":"${m("a body that is cut")}`, ...quickly }), // prettier-ignore
  ])();
}

/** From where a PROXY header has to come first. */
export function proxied(hand: Hand): Bytes {
  const { random, door } = hand;
  const from = `${PROXIES.slice(0, 6)}${random.between(0, 200)}.${random.between(1, 250)}`;
  const m = (place: string) => hand.ours(place);
  const request = written({ target: `/lab?token=${hand.own("a query behind a PROXY header")}`, host: door.host, lines: admittedLines(hand) }); // prettier-ignore
  const after = door.kind === "tcp" ? `SSH-2.0-${hand.own("bytes behind a PROXY header")}\r\n` : request;
  const tlv = (text: string) => Buffer.concat([Buffer.from([0x05, 0, text.length]), Buffer.from(text)]);
  const v2 = (text: string) => {
    const rest = Buffer.concat([Buffer.from([127, 7, 0, 1, 127, 0, 0, 1, 0x30, 0x39, 0, 80]), tlv(text)]);
    const length = Buffer.from([rest.length >> 8, rest.length & 255]);
    return Buffer.concat([Buffer.from("\r\n\r\n\0\r\nQUIT\n"), Buffer.from([0x21, 0x11]), length, rest]).toString("latin1"); // prettier-ignore
  };
  const header = random.pick([
    () => "PROXY TCP4 127.7.0.1 127.0.0.1 12345 80\r\n",
    () => v2(m("a TLV of a PROXY header")),
    () => `PROXY TCP4 ${m("an address of a PROXY header")} 127.0.0.1 1 2\r\n`,
    () => `PROXY ${m("a PROXY header")}\r\n`,
    () => `PROXY UNKNOWN ${m("what follows UNKNOWN")}\r\n`,
    () => `${m("no PROXY header")}\r\n\r\n`,
    () => `\r\n\r\n\0\r\nQUIT\n${m("a PROXY header of another version")}`,
  ])();
  return { bytes: header + after, from, patience: 3000 };
}

// --- internal ---

/** The begin of a TLS handshake: a record with a ClientHello that asks for a name. */
function clientHello(name: string): string {
  const u16 = (value: number) => Buffer.from([value >> 8, value & 255]);
  const host = Buffer.from(`${name}.example`);
  const sni = Buffer.concat([
    u16(0),
    u16(host.length + 5),
    u16(host.length + 3),
    Buffer.from([0]),
    u16(host.length),
    host,
  ]);
  const hello = Buffer.concat([u16(0x0303), Buffer.alloc(32), Buffer.from([0]), u16(2), u16(0x1301), Buffer.from([1, 0]), u16(sni.length), sni]); // prettier-ignore
  const handshake = Buffer.concat([Buffer.from([1, 0]), u16(hello.length), hello]);
  return Buffer.concat([Buffer.from([22, 3, 1]), u16(handshake.length), handshake]).toString("latin1");
}
