/** The contract's HTTP lines in every shape. */
import { describe } from "bun:test";
import { httpCors } from "./http-cors.ts";
import { httpEndings } from "./http-endings.ts";
import { httpFailures } from "./http-failures.ts";
import { httpFloods } from "./http-floods.ts";
import { httpForwarded } from "./http-forwarded.ts";
import { httpHeaders } from "./http-headers.ts";
import { httpMessages } from "./http-messages.ts";
import { httpRepeats } from "./http-repeats.ts";
import { httpRequests } from "./http-requests.ts";
import { httpStreams } from "./http-streams.ts";
import { httpTargets } from "./http-targets.ts";
import { useStage } from "./line.ts";
import { SHAPES, shapeName } from "./shapes.ts";

const SUITES = [
  httpMessages,
  httpFloods,
  httpHeaders,
  httpForwarded,
  httpRequests,
  httpEndings,
  httpRepeats,
  httpStreams,
  httpCors,
  httpFailures,
  httpTargets,
];

for (const shape of SHAPES)
  describe(shapeName(shape), () => {
    const stage = useStage(shape, { ports: 512 });
    for (const suite of SUITES) suite(shape, stage);
  });
