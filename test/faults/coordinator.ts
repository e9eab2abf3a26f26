/** A coordinator under test: the product's process with parts that fail on order. Started by the harness alone. */
import { runCoordinator } from "../../coordinator/run.ts";
import { runMain } from "../../shared/runtime/process.ts";
import { faulty } from "./faulty.ts";

await runMain(() => runCoordinator(faulty));
