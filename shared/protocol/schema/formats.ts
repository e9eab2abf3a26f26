/** Teaches TypeBox's compiler the string formats that the schemas name. Imported for its effect by what compiles schemas outside Elysia. */
import { FormatRegistry } from "@sinclair/typebox";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

// Elysia registers the same names, and takes "urn:uuid:…" too: a second name of one thing.
FormatRegistry.Set("uuid", (text) => UUID.test(text));
if (!FormatRegistry.Has("date-time")) FormatRegistry.Set("date-time", (text) => !Number.isNaN(Date.parse(text)));
if (!FormatRegistry.Has("uri")) FormatRegistry.Set("uri", (text) => URL.canParse(text));
