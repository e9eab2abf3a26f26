/** The contract's line about certificates: it waits for the clock, so all shapes run side by side. */
import { SHAPES } from "./shapes.ts";
import { slowLines } from "./slow.ts";
import { tlsLines } from "./tls.ts";

slowLines(SHAPES.flatMap(tlsLines));
