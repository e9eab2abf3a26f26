/** `bun run sbom [FILE]`: writes the bill of materials (packages/bom.ts) to a file, or to standard output. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../root.ts";
import { bomText, type Product } from "./packages/bom.ts";
import { licenceOf } from "./packages/licences.ts";
import { readLockfile } from "./packages/lockfile.ts";

const read = (file: string) => readFileSync(join(ROOT, file), "utf8");
const { name, version, description } = JSON.parse(read("package.json")) as Product;
const text = bomText(readLockfile(read("bun.lock")), { name, version, description }, (one) => licenceOf(ROOT, one));
const [, , file] = process.argv;
if (file?.startsWith("-") === true) {
  process.stderr.write(`bun run sbom [FILE]: wanted a file's name, got ${file}\n`);
  process.exitCode = 2;
} else if (file === undefined) process.stdout.write(text);
else writeFileSync(file, text);
