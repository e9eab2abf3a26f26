/** The contract's line about stops: it waits for the clock, so all shapes run side by side. */
import { STOPS } from "./frontends-stop.ts";
import { slowLines } from "./slow.ts";

slowLines(STOPS);
