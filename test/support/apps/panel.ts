/** Panel (Bokeh's server): a slider whose value is sent over a WebSocket that is opened with a token as subprotocol. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../ports.ts";
import { serve, type RealApp } from "./real-app.ts";
import { slide } from "./slide.ts";

export const PANEL: RealApp = {
  name: "panel",
  // panel/config.py: `reconnect` is False unless the app asks for it.
  staysLost: true,
  path: () => "/app",
  async start(directory, home) {
    writeFileSync(join(home, "app.py"), APP);
    const port = await freePort();
    return serve(
      port,
      [
        join(directory, "bin/python"),
        "-m",
        "panel",
        "serve",
        "app.py",
        "--address=127.0.0.1",
        `--port=${port}`,
        // What it is called by is not known when it starts.
        "--allow-websocket-origin=*",
      ],
      { env: { HOME: home }, cwd: home },
    );
  },
  async use(page, round) {
    await slide(page, page.locator(".noUi-handle").first(), round);
  },
};

// --- internal ---

const APP = `import panel as pn

pn.extension()
number = pn.widgets.IntSlider(name="number", start=0, end=20, value=0)
doubled = pn.bind(lambda value: f"doubled is {value * 2}.", number)
pn.Column(number, pn.pane.Str(doubled)).servable()
`;
