import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import { setTimeout as pause } from "node:timers/promises";

/**
 * Waits until no other process of this host holds `name`, and holds it until disposed; `waiting` is called while another one does. The hold is
 * a socket in Linux's abstract namespace: it ends with its process, however that ends, and leaves no file behind.
 */
export async function hold(name: string, signal: AbortSignal, waiting: () => void): Promise<AsyncDisposable> {
  const path = `\0sallyport ${createHash("sha256").update(name).digest("hex")}`;
  while (true) {
    signal.throwIfAborted();
    const server = createServer();
    try {
      server.listen(path);
      await once(server, "listening");
      return server;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error; // what `listen` fails with
      waiting();
      await pause(500, undefined, { signal });
    }
  }
}
