/** The worker's process: `bun run worker [--config FILE] [--check]`. */
import { runMain } from "../shared/runtime/process.ts";
import { runWorker } from "./run.ts";

await runMain(() => runWorker());
