/** A node of a worker under test: the product's process with parts that fail on order. Started by the harness alone. */
import { runMain } from "../../shared/runtime/process.ts";
import { runWorker } from "../../worker/run.ts";
import { faulty } from "./faulty.ts";

await runMain(() => runWorker(faulty));
