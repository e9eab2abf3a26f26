/**
 * Plays the rows in a network of its own in which every address is the machine's: a coordinator is told each as a kernel's, and
 * a worker of each engine is given each as a route, for HTTP, WebSockets, TCP and probes. Prints as JSON what came of it, and
 * at which addresses apps that listen on all of them were connected to. Started by targets.test.ts.
 */
import { dialAll, type Dials } from "./dial.ts";
import { startDns } from "./dns.ts";
import { judgeAll, type Judgements } from "./judge.ts";
import { ENGINES, ZONE, type Engine } from "./rows.ts";

export interface Findings {
  api: Judgements;
  dials: Record<Engine, Dials>;
}

const NAMESERVER = "127.0.0.53";

if (import.meta.main) {
  const dns = await startDns(ZONE, NAMESERVER, 53);
  const api = await judgeAll();
  const [serve, sockets] = [await dialAll(ENGINES[0], dns), await dialAll(ENGINES[1], dns)];
  const findings: Findings = { api, dials: { serve, sockets } };
  console.log(JSON.stringify(findings));
  process.exit(0); // whatever is still open
}
