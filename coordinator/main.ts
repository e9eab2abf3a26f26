/** The coordinator's process: `bun run coordinator [--config FILE] [--check]`. */
import { runMain } from "../shared/runtime/process.ts";
import { runCoordinator } from "./run.ts";

await runMain(() => runCoordinator());
