/** For `bun run migrations`: writes the next migration when coordinator/store/schema.ts has changed. */
import { defineConfig } from "drizzle-kit";

export default defineConfig({ dialect: "sqlite", schema: "./coordinator/store/schema.ts", out: "./drizzle" });
