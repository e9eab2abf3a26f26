/** A screen to share: Xtigervnc with one window, and Debian's websockify that serves noVNC's page and its WebSocket. */
import { freePort } from "../ports.ts";
import { listens, says, startProgram } from "./program.ts";

export interface Desktop {
  /** Of the page and its WebSocket. */
  port: number;
  /** What the window has been told, as xev(1) writes it. */
  events: () => string;
}

/** The screen's only window lies at 0,0 and is white inside its black border, on a black screen. */
export const WINDOW = { width: 400, height: 300 };

/** Calls `defer` for each program that it starts. */
export async function startDesktop(defer: (step: () => Promise<void>) => void): Promise<Desktop> {
  const [vncPort, port] = [await freePort(), await freePort()];
  const options = `-geometry 640x480 -depth 24 -SecurityTypes None -localhost -interface 127.0.0.1 -rfbport ${vncPort}`;
  // It chooses a display that is free, and says which.
  const screen = startProgram(["Xtigervnc", "-displayfd", "1", ...options.split(" ")]);
  defer(screen.stop);
  const display = `:${await says(screen, /^\d+$/m)}`;
  await listens(screen, vncPort);

  const { width, height } = WINDOW;
  const window = startProgram(["xev", "-display", display, "-geometry", `${width}x${height}+0+0`]);
  defer(window.stop);
  await says(window, /MapNotify event/);

  const bridge = startProgram(["websockify", "--web", "/usr/share/novnc", `127.0.0.1:${port}`, `127.0.0.1:${vncPort}`]);
  defer(bridge.stop);
  await listens(bridge, port);
  return { port, events: window.output };
}
