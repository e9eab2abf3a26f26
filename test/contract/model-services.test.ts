/** Model services, in every shape. */
import { describe } from "bun:test";
import { modelServices } from "./model-services.ts";
import { SHAPES, shapeName } from "./shapes.ts";

for (const shape of SHAPES) describe(shapeName(shape), () => modelServices(shape));
