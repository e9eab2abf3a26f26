/** A file of 200 MB, or less, that no cache, compression or mixed-up order would leave alike, and what it hashes to. */
import { closeSync, openSync, writeSync } from "node:fs";
import { randomFillSync } from "node:crypto";
import { sha256 } from "../app.ts";

const SIZE = 200 * 1024 * 1024;

export function writeBigFile(path: string, size = SIZE): void {
  const block = Buffer.allocUnsafe(4 * 1024 * 1024);
  const file = openSync(path, "w");
  for (let written = 0; written < size; written += block.length) writeSync(file, randomFillSync(block));
  closeSync(file);
}

export function hashOf(path: string): Promise<string> {
  return sha256(Bun.file(path).stream());
}
