/** The contract's lines about routes, in every shape. */
import { describe } from "bun:test";
import { routesSuite } from "./routes.ts";
import { routeUpdatesSuite } from "./routes-updates.ts";
import { SHAPES, shapeName } from "./shapes.ts";

for (const shape of SHAPES)
  describe(shapeName(shape), () => {
    routesSuite(shape);
    routeUpdatesSuite(shape);
  });
