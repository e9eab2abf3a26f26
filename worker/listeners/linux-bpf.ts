/**
 * Small programs for the kernel, in its classic language (bpf(4), linux/filter.h): which listener gets a connection, and
 * which packets a socket hears. Written and attached here; what they are for is in linux-reuseport.ts and linux-place.ts.
 */
import { ptr } from "bun:ffi";
import { libc } from "../../shared/net/linux-libc.ts";

/** `yes` and `no` are so many instructions to leave out, 0 unless given. */
export interface Instruction {
  code: number;
  k?: number;
  yes?: number;
  no?: number;
}

/** Instructions, and places from which they load. */
export const BPF = {
  LOAD_WORD: 0x20,
  LOAD_HALF: 0x28,
  LOAD_BYTE: 0x30,
  ADD: 0x04,
  MODULO: 0x94,
  JUMP_IF_EQUAL: 0x15,
  JUMP_IF_NOT_BELOW: 0x35,
  JUMP_IF_ANY_BIT: 0x45,
  RETURN: 0x06,
  RETURN_RESULT: 0x16,
  /** SKF_AD_OFF + SKF_AD_RANDOM: a fresh random number. */
  RANDOM: -0x1000 + 56,
  /** SKF_NET_OFF: the packet's IP header. */
  IP_HEADER: -0x10_0000,
} as const;

/** Options of SOL_SOCKET that take a program. */
export const SO = { ATTACH_FILTER: 26, DETACH_FILTER: 27, ATTACH_REUSEPORT_CBPF: 51 } as const;

/** Gives the socket a program, in the place of the one before. False when the kernel takes none. */
export function attach(fd: number, option: number, instructions: readonly Instruction[]): boolean {
  instructions.forEach(({ code, k = 0, yes = 0, no = 0 }, at) => {
    filter.writeUInt16LE(code, at * SIZE);
    filter.writeUInt8(yes, at * SIZE + 2);
    filter.writeUInt8(no, at * SIZE + 3);
    filter.writeUInt32LE(k >>> 0, at * SIZE + 4);
  });
  program.writeUInt16LE(instructions.length, 0);
  program.writeBigUInt64LE(BigInt(ptr(filter)), 8);
  return libc()?.setsockopt(fd, SOL_SOCKET, option, ptr(program), program.length) === 0;
}

// --- internal ---

const SOL_SOCKET = 1;
/** struct sock_filter { u16 code; u8 jt, jf; u32 k; } */
const SIZE = 8;
const MOST = 16;
/** It is read by its address, which the collector does not know of: so it stays. */
const filter = Buffer.alloc(SIZE * MOST);
/** struct sock_fprog { u16 len; struct sock_filter *filter; } */
const program = Buffer.alloc(16);
