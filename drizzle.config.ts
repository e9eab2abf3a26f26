/** For `bun run migrations`: writes the next migration when coordinator/db/schema.ts has changed. */
import { defineConfig } from "drizzle-kit";

export default defineConfig({ dialect: "sqlite", schema: "./coordinator/db/schema.ts", out: "./drizzle" });
