/** A short soak of the engine on raw sockets, whose every byte is its own. */
import { soaks } from "./short.ts";

soaks("sockets");
