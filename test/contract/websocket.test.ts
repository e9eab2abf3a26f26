/** The contract's WebSocket lines in every shape. */
import { describe } from "bun:test";
import { SHAPES, shapeName } from "./shapes.ts";
import { webSocketOpening } from "./websocket-open.ts";
import { webSocketPressure } from "./websocket-pressure.ts";
import { webSocketTalk } from "./websocket-talk.ts";

for (const shape of SHAPES)
  describe(shapeName(shape), () => {
    webSocketOpening(shape);
    webSocketTalk(shape);
    webSocketPressure(shape);
  });
