/** The contract's lines about frontends, in every shape. */
import { describe } from "bun:test";
import { addressesSuite } from "./frontends-addresses.ts";
import { frontendsSuite } from "./frontends.ts";
import { SHAPES, shapeName } from "./shapes.ts";

for (const shape of SHAPES)
  describe(shapeName(shape), () => {
    frontendsSuite(shape);
    addressesSuite(shape);
  });
