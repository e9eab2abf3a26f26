/** The contract's lines that wait for the clock, in every shape, side by side. */
import { ACCOUNTING } from "./accounting.ts";
import { HTTP_SLOW } from "./http-slow.ts";
import { ROUTES_SLOW } from "./routes-slow.ts";
import { slowLines } from "./slow.ts";
import { TCP_SLOW } from "./tcp-slow.ts";
import { WEBSOCKET_SLOW } from "./websocket-slow.ts";

slowLines([...HTTP_SLOW, ...ACCOUNTING, ...TCP_SLOW, ...ROUTES_SLOW, ...WEBSOCKET_SLOW]);
