/** Streamlit: a slider and a chat, whose values travel over its one WebSocket. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../ports.ts";
import { serve, type RealApp } from "./real-app.ts";
import { slide } from "./slide.ts";

export const STREAMLIT: RealApp = {
  name: "streamlit",
  path: () => "/",
  async start(directory, home) {
    writeFileSync(join(home, "app.py"), APP);
    const port = await freePort();
    return serve(
      port,
      [
        join(directory, "bin/python"),
        "-m",
        "streamlit",
        "run",
        "app.py",
        "--server.address=127.0.0.1",
        `--server.port=${port}`,
        "--server.headless=true",
        "--browser.gatherUsageStats=false",
        "--server.fileWatcherType=none",
      ],
      { env: { HOME: home }, cwd: home },
    );
  },
  async use(page, round) {
    await slide(page, page.getByRole("slider").first(), round);
    await page.locator('[data-testid="stChatInput"] textarea').fill(`round ${round}`);
    await page.keyboard.press("Enter");
    await page.getByText(`echo of round ${round}.`).waitFor();
  },
};

// --- internal ---

const APP = `import streamlit as st

number = st.slider("number", 0, 20, 0)
st.write(f"doubled is {number * 2}.")
said = st.chat_input("say something")
if said:
    st.chat_message("assistant").write(f"echo of {said}.")
`;
