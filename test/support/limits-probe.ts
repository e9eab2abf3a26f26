/** A process that raises Bun's limits and says what it has then. Started by limits.test.ts. */
import { maxHeaderSize } from "node:http";
import { raiseHttpLimits } from "../../shared/runtime/limits.ts";

raiseHttpLimits();
const requests = process.env["BUN_CONFIG_MAX_HTTP_REQUESTS"];
process.stdout.write(JSON.stringify({ pid: process.pid, maxHeaderSize, requests, args: process.argv.slice(2) }));
