/**
 * At which place a listener of ours stands among those that share its address (SO_REUSEPORT). The kernel tells nobody: who
 * leaves is followed by the last one in its place, and who came later has not seen that. So it is tried: one SYN is
 * steered to each place, and whoever drops it says whose place that is. Linux with glibc.
 *
 * Nobody notices. Only that SYN is steered; our listener is told not to hear it, and its sender not to hear an answer: no
 * connection comes about. Another listener, which has answered, hears from the kernel that there is nobody.
 */
import { ptr } from "bun:ffi";
import { libc, type Libc } from "../../shared/net/linux-libc.ts";
import { attach, BPF, SO, type Instruction } from "./linux-bpf.ts";
import { isOpen, NOBODY, type OwnSocket } from "./linux-reuseport.ts";

/** Its number among `count`, from 0; null when that can't be found out. All others are spread over all afterwards. */
export function placeOf(own: OwnSocket, count: number): number | null {
  const calls = libc();
  if (calls === null || !isOpen(own)) return null;
  const address = addressOf(calls, own.fd);
  for (let at = 0; at < count; at++) if (isAt(calls, own.fd, { address, at })) return at;
  return null;
}

// --- internal ---

interface Try {
  /** Where the listener listens, as the kernel writes it. */
  address: Buffer;
  at: number;
}

const [AF_INET, AF_INET6] = [2, 10];
/** SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC */
const STREAM = 1 | 0o4000 | 0o2000000;
const SOL_SOCKET = 1;
const SO_MEMINFO = 55;
/** Of the numbers that SO_MEMINFO gives: how many packets the socket has dropped. */
const DROPPED = 8 * 4;
/** A SYN over loopback takes some 20 µs, and more where others want the processor. Milliseconds. */
const [QUICK_MS, PATIENCE_MS] = [0.5, 50];
const TRIES = 3;
const SYN = 2;
const LOOPBACK4 = Buffer.from([127, 0, 0, 1]);
const LOOPBACK6 = Buffer.from("00000000000000000000000000000001", "hex");

function isAt(calls: Libc, fd: number, what: Try): boolean {
  for (let tries = 0; tries < TRIES; tries++) {
    const heard = send(calls, fd, what);
    if (heard !== "nobody") return heard === "ours";
  }
  return false;
}

/** Who has heard a SYN that was steered there. */
function send(calls: Libc, fd: number, { address, at }: Try): "ours" | "another" | "nobody" {
  const isV6 = familyOf(address) === AF_INET6;
  const sender = calls.socket(familyOf(address), STREAM, 0);
  if (sender === -1) return "nobody";
  try {
    const port = bindSender(calls, sender, address);
    const before = droppedBy(calls, fd);
    const isSteered =
      port !== null &&
      attach(sender, SO.ATTACH_FILTER, [{ code: BPF.RETURN, k: 0 }]) &&
      attach(fd, SO.ATTACH_FILTER, withoutSynOf(port)) &&
      attach(fd, SO.ATTACH_REUSEPORT_CBPF, [
        // Options between the IP header and TCP's port are rare, and lead a stranger's connection at most to another place.
        { code: BPF.LOAD_HALF, k: BPF.IP_HEADER + (isV6 ? 40 : 20) },
        { code: BPF.JUMP_IF_EQUAL, k: port, no: 1 },
        { code: BPF.RETURN, k: at },
        { code: BPF.RETURN, k: NOBODY },
      ]);
    if (!isSteered) return "nobody";
    calls.connect(sender, ptr(address), address.length);
    const began = performance.now();
    for (let waited = 0; ; waited = performance.now() - began) {
      if (droppedBy(calls, sender) > 0) return "another";
      if (droppedBy(calls, fd) !== before) return "ours";
      if (waited > PATIENCE_MS) return "nobody";
      // The kernel may want this processor for it.
      if (waited > QUICK_MS) Bun.sleepSync(1);
    }
  } finally {
    calls.setsockopt(fd, SOL_SOCKET, SO.DETACH_FILTER, ptr(unused), unused.length);
    calls.close(sender);
  }
}

/** Hears all but the SYN of a port: a filter stays with connections that come about meanwhile, and they have no SYN any more. */
function withoutSynOf(port: number): Instruction[] {
  return [
    { code: BPF.LOAD_HALF, k: 0 },
    { code: BPF.JUMP_IF_EQUAL, k: port, no: 3 },
    { code: BPF.LOAD_BYTE, k: 13 },
    { code: BPF.JUMP_IF_ANY_BIT, k: SYN, no: 1 },
    { code: BPF.RETURN, k: 0 },
    { code: BPF.RETURN, k: 0xffff_ffff },
  ];
}

/** Binds it on this machine; gives its port. */
function bindSender(calls: Libc, sender: number, to: Buffer): number | null {
  const address = Buffer.from(to);
  address.writeUInt16BE(0, 2);
  if (isAny(to)) (familyOf(to) === AF_INET6 ? LOOPBACK6 : LOOPBACK4).copy(address, hostAt(to));
  if (calls.bind(sender, ptr(address), address.length) !== 0) return null;
  return addressOf(calls, sender).readUInt16BE(2);
}

function droppedBy(calls: Libc, fd: number): number {
  length.writeUInt32LE(figures.length);
  return calls.getsockopt(fd, SOL_SOCKET, SO_MEMINFO, ptr(figures), ptr(length)) === 0
    ? figures.readUInt32LE(DROPPED)
    : 0;
}

/** Where a socket is bound. One that listens everywhere is reached on this machine. */
function addressOf(calls: Libc, fd: number): Buffer {
  const address = Buffer.alloc(28);
  length.writeUInt32LE(address.length);
  calls.getsockname(fd, ptr(address), ptr(length));
  return address.subarray(0, length.readUInt32LE());
}

function familyOf(address: Buffer): number {
  return address.readUInt16LE(0);
}

function hostAt(address: Buffer): number {
  return familyOf(address) === AF_INET ? 4 : 8;
}

function isAny(address: Buffer): boolean {
  const at = hostAt(address);
  return address.subarray(at, at + (at === 4 ? 4 : 16)).every((byte) => byte === 0);
}

const [figures, length, unused] = [Buffer.alloc(64), Buffer.alloc(4), Buffer.alloc(4)];
