/**
 * `node listen.ts COMMAND …`: opens the socket that sallyport.yaml names and runs a command that has it as descriptor 3, as systemd would hand it over. The
 * command may then give its network away: what was opened before keeps working.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { constants } from "node:os";
import { readConfig } from "../../server/config.ts";
import { told } from "../failure.ts";

const [command = "", ...args] = process.argv.slice(2);
const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
try {
  const { host, port } = readConfig().listen;
  const server = createServer().listen(port, host);
  await once(server, "listening");
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle; // Node shows it nowhere else
  const child = spawn(command, args, { stdio: ["ignore", "inherit", "inherit", fd] });
  // From here on the child alone holds the socket, before this process could accept anything.
  server.close();
  for (const signal of signals) process.on(signal, () => child.kill(signal));
  const [status, by] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
  process.exitCode = status ?? 128 + constants.signals[by ?? "SIGKILL"];
} catch (error) {
  const { code } = error as NodeJS.ErrnoException; // where it is one
  console.error(code === "EADDRINUSE" ? "The port is taken: set listen.port in sallyport.yaml to another one." : told(error));
  process.exitCode = 1;
}
