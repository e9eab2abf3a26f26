/** All requests of the suite. */
import type { RequestRow } from "../row.ts";
import { CHUNKS } from "./chunks.ts";
import { CODINGS } from "./codings.ts";
import { HOPS } from "./hops.ts";
import { LENGTHS } from "./lengths.ts";
import { LINES } from "./lines.ts";
import { TARGET_ROWS } from "./targets.ts";

export const REQUESTS: RequestRow[] = [...LENGTHS, ...CODINGS, ...CHUNKS, ...LINES, ...TARGET_ROWS, ...HOPS];
