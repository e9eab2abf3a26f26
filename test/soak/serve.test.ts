/** The same of the engine on `Bun.serve`: in `bun run verify --long`. */
import { soaks } from "./short.ts";

soaks("serve");
