/** `bun run quickstart`: makes sure that the packages are there, then shows the main job. See quickstart/show.ts. */
import { ensureInstalled } from "./installed.ts";

ensureInstalled();
// Only now: what follows imports packages.
const { quickstart } = await import("./quickstart/show.ts");
await quickstart(process.argv.slice(2));
