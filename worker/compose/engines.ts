/** The engines by the names that `proxy_worker.engine` has for them. */
import { bunEngine } from "../engine/bun/engine.ts";
import { socketsEngine } from "../engine/sockets/engine.ts";

export const ENGINES = { serve: bunEngine, sockets: socketsEngine } as const;
