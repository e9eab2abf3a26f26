/** The contract's lines that wait for the clock, in every shape, side by side. */
import { ACCOUNTING } from "./accounting.ts";
import { HTTP_SLOW } from "./http-slow.ts";
import { slowLines } from "./slow.ts";

slowLines([...HTTP_SLOW, ...ACCOUNTING]);
