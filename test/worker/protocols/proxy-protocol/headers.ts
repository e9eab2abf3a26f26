/** PROXY headers as bytes, built for tests by hand. */

/** Of 203.0.113.7:56324 to 192.0.2.1:443. */
export const INET = Buffer.from("cb007107c0000201dc0401bb", "hex");
/** Of [2001:db8::7]:56324 to [2001:db8::1]:443. */
export const INET6 = Buffer.from(`20010db8${"00".repeat(11)}0720010db8${"00".repeat(11)}01dc0401bb`, "hex");
/** Two paths. */
export const UNIX = Buffer.alloc(216, "/run/a");
/** PP2_TYPE_NOOP with 1000 bytes. */
export const LONG_TLV = Buffer.concat([Buffer.from([4, 1000 >> 8, 1000 & 255]), Buffer.alloc(1000, "x")]);

/** Version 2; without more it tells a TCP connection over IPv4. */
export function binary({ command = 0x21, family = 0x11, block = Buffer.alloc(0) }): Buffer {
  const fixed = Buffer.from([13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10, command, family, 0, 0]);
  fixed.writeUInt16BE(block.length, 14);
  return Buffer.concat([fixed, block]);
}

/** Version 1, of a TCP connection over IPv4. */
export function line(source: string): Buffer {
  return Buffer.from(`PROXY TCP4 ${source} 192.0.2.1 56324 443\r\n`, "latin1");
}
