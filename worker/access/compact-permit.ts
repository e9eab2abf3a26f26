/**
 * The compact form of a permit, `v3.` and 48 characters: with the longest name of its cookie 83 bytes. Browsers send the
 * cookies of all ports of a host to all its servers, and nginx and aiohttp refuse a header line of 8 KiB. Pure: permit.ts
 * hands the keys in.
 *
 * 36 bytes: id of the key (4), tag of the authority that issued it (4), issue and expiry in epoch seconds (4 each), and
 * 160 bits of HMAC-SHA256 over these, the circuit and the person. The last two are not in the text: a worker knows whose
 * circuit a request is for. So a permit can be judged only for a circuit; whose worker issued it and when can be read.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";

/** What can be read of a permit without its circuit; nothing of it is proved. */
export interface PermitStamp {
  tag: number;
  /** Epoch seconds. */
  iat: number;
  exp: number;
}

/** Tells workers of one host apart: which of them can know whether a permit's circuit is gone. */
export function authorityTag(authority: string): number {
  return createHash("sha256").update(`appproxy authority\n${authority}`).digest().readUInt32BE(0);
}

/** `kid` is the key's id in hex. */
export function sealPermit(stamp: PermitStamp, uid: string, cid: string, kid: string, key: Buffer): string {
  const bytes = Buffer.alloc(LENGTH);
  bytes.write(kid, 0, 4, "hex");
  bytes.writeUInt32BE(stamp.tag, 4);
  bytes.writeUInt32BE(stamp.iat, 8);
  bytes.writeUInt32BE(stamp.exp, 12);
  macOf(bytes, uid, cid, key).copy(bytes, MAC_AT);
  return VERSION + bytes.toString("base64url");
}

/** The stamp of a genuine permit of this person and circuit; null for anything else. Every key is tried. */
export function unsealPermit(text: string, uid: string, cid: string, keys: Iterable<Buffer>): PermitStamp | null {
  const bytes = bytesOf(text);
  if (bytes === null) return null;
  const mac = bytes.subarray(MAC_AT);
  for (const key of keys) if (timingSafeEqual(mac, macOf(bytes, uid, cid, key))) return stampOf(bytes);
  return null;
}

/** Null for what has not this form. */
export function readStamp(text: string): PermitStamp | null {
  const bytes = bytesOf(text);
  return bytes === null ? null : stampOf(bytes);
}

// --- internal ---

const VERSION = "v3.";
const LENGTH = 36;
const MAC_AT = 16;
/** 36 bytes are 48 characters and no bit more, so that one permit has one text. */
const FORM = /^v3\.[A-Za-z0-9_-]{48}$/;

function bytesOf(text: string): Buffer | null {
  return FORM.test(text) ? Buffer.from(text.slice(VERSION.length), "base64url") : null;
}

function stampOf(bytes: Buffer): PermitStamp {
  return { tag: bytes.readUInt32BE(4), iat: bytes.readUInt32BE(8), exp: bytes.readUInt32BE(12) };
}

function macOf(bytes: Buffer, uid: string, cid: string, key: Buffer): Buffer {
  const mac = createHmac("sha256", key).update(bytes.subarray(0, MAC_AT)).update(`${cid}\n${uid}`).digest();
  return mac.subarray(0, LENGTH - MAC_AT);
}
