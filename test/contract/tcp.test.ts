/** The contract's TCP lines: raw TCP names no host, so only ports carry it. */
import { describe } from "bun:test";
import { useStage } from "./line.ts";
import { SHAPES, shapeName } from "./shapes.ts";
import { tcpAdmissionSuite } from "./tcp-admission.ts";
import { tcpLimitsSuite } from "./tcp-limits.ts";
import { tcpTargetsSuite } from "./tcp-targets.ts";
import { tcpSuite } from "./tcp.ts";

for (const shape of SHAPES.filter(({ frontend }) => frontend === "port"))
  describe(shapeName(shape), () => {
    const stage = useStage(shape, { worker: { protocol: "tcp", tcp_auth: "none" } });
    tcpSuite(shape, stage);
    tcpAdmissionSuite(shape, stage);
    tcpLimitsSuite(shape, stage);
    tcpTargetsSuite(shape, stage);
  });
