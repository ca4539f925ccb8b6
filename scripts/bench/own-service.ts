import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("../sallyport.ts", import.meta.url));

/** `sallyport serve` as a process of its own, on a free port; disposing ends it. */
export async function startOwnService(
  dataDir: string,
  signal: AbortSignal,
): Promise<AsyncDisposable & { readonly url: string; readonly pid: number }> {
  const env = { ...process.env, SALLYPORT_DATA: dataDir, SALLYPORT_HOST: "127.0.0.1", PORT: "0", LOG_LEVEL: "info" };
  const child = spawn(process.execPath, [program, "serve"], { env, stdio: ["ignore", "ignore", "pipe"] });
  const exited = once(child, "exit");
  let said = "";
  const { promise: url, resolve, reject } = Promise.withResolvers<string>();
  child.stderr.on("data", (data) => {
    said = (said + String(data)).slice(-10_000);
    const found = /"url":"(https:[^"]+)"/u.exec(said)?.[1];
    if (found !== undefined) resolve(found);
  });
  const stop = (): void => reject(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  void exited.then(() => reject(new Error(`The service ended before it answered:\n${said}`)));
  const end = async (): Promise<void> => {
    child.kill("SIGTERM");
    await exited;
  };
  try {
    return { url: await url, pid: child.pid ?? 0, [Symbol.asyncDispose]: end };
  } catch (error) {
    await end();
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Resident bytes of a service, and of the processes that generate for it. */
export function memoryOf(pid: number): { service: number; engine: number } {
  const engines = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
    .split(" ")
    .filter((child) => child !== "" && readFileSync(`/proc/${child}/cmdline`, "utf8").includes("llama-child"));
  return { service: residentBytes(pid), engine: engines.reduce((sum, child) => sum + residentBytes(child), 0) };
}

function residentBytes(pid: number | string): number {
  return 1024 * Number(/^VmRSS:\s+(\d+) kB/mu.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}
