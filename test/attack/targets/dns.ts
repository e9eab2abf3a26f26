/** A DNS server for the names of the suite (RFC 1035), over UDP. Some answers change from one question to the next. */
import { createSocket, type RemoteInfo } from "node:dgram";
import ipaddr from "ipaddr.js";

/** What a name has: addresses of both families, or another name. */
export type Records = { addresses: string[] } | { cname: string };

/** By name, in lower case and without the root's dot. Of several the first question gets the first, and the last one stays. */
export type Zone = Readonly<Record<string, readonly [Records, ...Records[]]>>;

export interface DnsServer {
  /** How often IPv4 addresses of a name have been asked for. */
  asked(name: string): number;
  stop(): void;
}

const [A, CNAME, AAAA] = [1, 5, 28];
const NO_SUCH_NAME = 3;

export async function startDns(zone: Zone, address: string, port: number): Promise<DnsServer> {
  const counts = new Map<string, number>();
  const socket = createSocket("udp4");
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.on("message", (question: Buffer, { address: to, port: at }: RemoteInfo) => {
    socket.send(answerTo(question, zone, counts), at, to);
  });
  socket.bind(port, address, resolve);
  await promise;
  return { asked: (name) => counts.get(name) ?? 0, stop: () => socket.close() };
}

// --- internal ---

function answerTo(question: Buffer, zone: Zone, counts: Map<string, number>): Buffer {
  const { name, type, end } = readQuestion(question);
  if (type === A) counts.set(name, (counts.get(name) ?? 0) + 1);
  const isKnown = zone[name] !== undefined;
  const records = isKnown ? recordsOf(name, type, zone, counts) : [];
  const head = Buffer.alloc(12);
  question.copy(head, 0, 0, 2);
  // An answer (RFC 1035 §4.1.1) that recursion was used for.
  head.writeUInt16BE(0x8180 | (isKnown ? 0 : NO_SUCH_NAME), 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(records.length, 6);
  return Buffer.concat([head, question.subarray(12, end), ...records]);
}

function readQuestion(question: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = question[at] ?? 0; length > 0; length = question[at] ?? 0) {
    labels.push(question.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join(".").toLowerCase(), type: question.readUInt16BE(at + 1), end: at + 5 };
}

/** Along all other names, as a resolver does. */
function recordsOf(name: string, type: number, zone: Zone, counts: Map<string, number>): Buffer[] {
  const said = zone[name] ?? [];
  // Both families of one look: A comes first, or with AAAA.
  const now = said[Math.min(Math.max(0, (counts.get(name) ?? 1) - 1), said.length - 1)];
  if (now === undefined) return [];
  if ("cname" in now) return [record(name, CNAME, wireName(now.cname)), ...recordsOf(now.cname, type, zone, counts)];
  const bytes = now.addresses.map((one) => Buffer.from(ipaddr.parse(one).toByteArray()));
  return bytes.filter(({ length }) => length === (type === AAAA ? 16 : type === A ? 4 : 0)).map((one) => record(name, type, one)); // prettier-ignore
}

function record(name: string, type: number, data: Buffer): Buffer {
  const rest = Buffer.alloc(10);
  rest.writeUInt16BE(type, 0);
  rest.writeUInt16BE(1, 2);
  rest.writeUInt16BE(data.length, 8);
  return Buffer.concat([wireName(name), rest, data]);
}

function wireName(name: string): Buffer {
  const labels = name.split(".").map((label) => Buffer.from([label.length, ...Buffer.from(label, "latin1")]));
  return Buffer.concat([...labels, Buffer.from([0])]);
}
