/**
 * Loaded before every test file (bunfig.toml): a test or hook without a limit of its own may take a minute. Bun's five
 * seconds are too few on a busy machine. Bun 1.4.4 has no key for it, and `setDefaultTimeout` holds for one file only,
 * so that a preload's call would be forgotten at the second: the call is put into each file, on its first line.
 */
import { plugin } from "bun";

const DEFAULT_MS = 60_000;
const CALL = `import { setDefaultTimeout as $limit } from "bun:test"; $limit(${DEFAULT_MS});`;

plugin({
  name: "limits",
  setup(build) {
    build.onLoad({ filter: /\.test\.ts$/ }, async ({ path }) => ({
      contents: CALL + (await Bun.file(path).text()),
      loader: "ts",
    }));
  },
});
