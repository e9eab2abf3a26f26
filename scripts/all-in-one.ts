/** `bun run all-in-one`: coordinator and worker in one process for a small installation. See all-in-one/run.ts. */
import { ensureInstalled } from "./installed.ts";

ensureInstalled();
// Only now: what follows imports packages.
const { allInOne } = await import("./all-in-one/run.ts");
await allInOne(process.argv.slice(2));
