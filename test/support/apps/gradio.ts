/** Gradio: a chat, whose answers come as server-sent events. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../ports.ts";
import { serve, type RealApp } from "./real-app.ts";

export const GRADIO: RealApp = {
  name: "gradio",
  path: () => "/",
  async start(directory, home) {
    const port = await freePort();
    writeFileSync(join(home, "app.py"), APP);
    return serve(port, [join(directory, "bin/python"), "app.py", String(port)], {
      env: { HOME: home, GRADIO_ANALYTICS_ENABLED: "False", HF_HUB_OFFLINE: "1", GRADIO_TEMP_DIR: home },
      cwd: home,
    });
  },
  async use(page, round) {
    await page.locator("textarea").first().fill(`round ${round}`);
    await page.locator("textarea").first().press("Enter");
    await page.getByText(`echo of round ${round}.`).first().waitFor();
  },
};

// --- internal ---

const APP = `import sys
import time
import gradio as gr


def answer(message, history):
    for end in range(1, len(message) + 1):
        time.sleep(0.02)
        yield f"echo of {message[:end]}"
    yield f"echo of {message}."


gr.ChatInterface(answer).launch(server_name="127.0.0.1", server_port=int(sys.argv[1]))
`;
